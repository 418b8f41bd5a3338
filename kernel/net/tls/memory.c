/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * wolfSSL's memory.  Each of its sessions has a block of 37 KiB (room for nine certificates, nearly
 * all of it zeros): blocks of that size get pages of their own, so that the zero pages of one that
 * is parked can be given back. The functions have no context and we have no globals: a head in
 * front of each block says what it is.
 */
#include "net/tls/tls_private.h"

#include <stdlib.h>
#include <sys/mman.h>

struct head {
	_Alignas(16) size_t size;
	size_t mapped; /* bytes of the mapping that begins with this head; 0: malloc's */
};
enum { PAGE = 4096, MAP_FROM = 32 << 10, MAP_TO = 64 << 10 };

enum { SPARES_MAX = 2 };

/* Mappings of sessions that ended on this thread, for those that begin: making one and giving it
 * back is three calls and ten page faults. */
static _Thread_local struct {
	struct head *spares[SPARES_MAX];
} mine;

static void *head_init(struct head *h, size_t size, size_t mapped)
{
	h->size = size;
	h->mapped = mapped;
	return h + 1;
}

static void *block_new(size_t n)
{
	if (n > SIZE_MAX - sizeof(struct head) - PAGE)
		return NULL;
	size_t whole = n + sizeof(struct head);
	if (n < MAP_FROM || n > MAP_TO) {
		struct head *h = malloc(whole);
		return h ? head_init(h, n, 0) : NULL;
	}
	whole = (whole + PAGE - 1) / PAGE * PAGE;
	for (int i = 0; i < SPARES_MAX; i++) {
		struct head *h = mine.spares[i];
		if (h && h->mapped == whole) {
			mine.spares[i] = NULL;
			return head_init(h, n, whole);
		}
	}
	/* all of it is written at once: one step instead of a fault for each page */
	void *p = mmap(
	    NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	/* neighbours become one area: a huge page would undo what giving back gains */
	(void)madvise(p, whole, MADV_NOHUGEPAGE);
	return head_init(p, n, whole);
}

static void block_free(void *p)
{
	if (!p)
		return;
	struct head *h = (struct head *)p - 1;
	if (!h->mapped) {
		free(h);
		return;
	}
	for (int i = 0; i < SPARES_MAX; i++) {
		if (!mine.spares[i]) {
			mine.spares[i] = h;
			return;
		}
	}
	(void)munmap(h, h->mapped);
}

static void *block_resize(void *p, size_t n)
{
	if (!p)
		return block_new(n);
	struct head *h = (struct head *)p - 1;
	if (!h->mapped && (n < MAP_FROM || n > MAP_TO)) {
		if (n > SIZE_MAX - sizeof *h || !(h = realloc(h, n + sizeof *h)))
			return NULL;
		return head_init(h, n, 0);
	}
	void *q = block_new(n);
	if (!q)
		return NULL;
	memcpy(q, p, n < h->size ? n : h->size);
	block_free(p);
	return q;
}

enum rc tls_memory_init(struct error *err)
{
	if (wolfSSL_SetAllocators(block_new, block_free, block_resize) != 0 ||
	    wolfSSL_Init() != WOLFSSL_SUCCESS)
		return error_set(err, RC_ERROR, "wolfSSL cannot be started");
	return RC_OK;
}

void tls_memory_thread_exit(void)
{
	for (int i = 0; i < SPARES_MAX; i++) {
		if (mine.spares[i])
			(void)munmap(mine.spares[i], mine.spares[i]->mapped);
		mine.spares[i] = NULL;
	}
}

void tls_memory_give_back(void *p)
{
	static const char zeros[PAGE];
	struct head *h = p ? (struct head *)p - 1 : NULL;
	if (!h || !h->mapped)
		return;
	char *base = (char *)h;
	size_t run = 0;
	/* the first page has the head; a page of zeros that is given back reads as zeros */
	for (size_t at = PAGE; at <= h->mapped; at += PAGE) {
		if (at < h->mapped && memcmp(base + at, zeros, PAGE) == 0) {
			run += PAGE;
			continue;
		}
		if (run)
			(void)madvise(base + at - run, run, MADV_DONTNEED);
		run = 0;
	}
}
