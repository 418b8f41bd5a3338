/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A chain of blocks, newest first; allocation moves a mark in the newest one.  A block that a
 * release gives back is kept as a spare, so that a loop of mark and release that happens to
 * straddle a block's end does not call malloc each time. Text flagged SECRET that was copied here
 * makes the arena wipe what it gives up.
 */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
enum { REDZONE = 16, BYTE_ALIGN = 8 }; /* a granule of the shadow: else its neighbour is open too */
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { REDZONE = 0, BYTE_ALIGN = 1 };
#endif

enum {
	ALIGN = 16,
	FIRST_DEFAULT = 4 << 10,
	GROW_MAX = 256 << 10,
	KEEP_MAX = 64 << 10,
};

struct block {
	struct block *prev;
	size_t size, used; /* of data */
	_Alignas(ALIGN) char data[];
};

struct arena {
	struct block *top, *spare;
	size_t next_size, keep_max, total;
	char *last;               /* the newest allocation: the one that can grow where it is */
	struct cleanup *cleanups; /* newest first */
	bool secret;
};

struct cleanup { /* in the arena itself */
	struct cleanup *next;
	void (*fn)(void *arg);
	void *arg;
};

static void *must_malloc(size_t size)
{
	void *p = malloc(size);
	if (!p)
		die(__FILE__, __LINE__, "out of memory: %zu bytes", size);
	return p;
}

static struct block *block_new(size_t size)
{
	if (size > SIZE_MAX / 2)
		die(__FILE__, __LINE__, "out of memory: %zu bytes", size);
	struct block *b = must_malloc(sizeof *b + size);
	b->prev = NULL;
	b->size = size;
	b->used = 0;
	POISON(b->data, size);
	return b;
}

/* Give up what lies behind `keep` bytes of a block. */
static void block_cut(const struct arena *a, struct block *b, size_t keep)
{
	if (a->secret) {
		UNPOISON(b->data + keep, b->used - keep);
		explicit_bzero(b->data + keep, b->used - keep);
	}
	b->used = keep;
	POISON(b->data + keep, b->size - keep);
}

static void block_free(const struct arena *a, struct block *b)
{
	if (!b)
		return;
	block_cut(a, b, 0);
	UNPOISON(b->data, b->size);
	free(b);
}

static void run_cleanups(struct arena *a, const void *until)
{
	while (a->cleanups && a->cleanups != until) {
		struct cleanup *c = a->cleanups;
		a->cleanups = c->next;
		c->fn(c->arg);
	}
}

void arena_on_free(struct arena *a, void (*fn)(void *arg), void *arg)
{
	struct cleanup *c = ARENA_NEW(a, struct cleanup);
	*c = (struct cleanup){a->cleanups, fn, arg};
	a->cleanups = c;
}

struct arena *arena_new(size_t first)
{
	struct arena *a = must_malloc(sizeof *a);
	*a = (struct arena){0};
	a->next_size = first ? first : FIRST_DEFAULT;
	a->keep_max = a->next_size > KEEP_MAX ? a->next_size : KEEP_MAX;
	return a;
}

void arena_free(struct arena **a)
{
	if (!*a)
		return;
	run_cleanups(*a, NULL);
	while ((*a)->top) {
		struct block *b = (*a)->top;
		(*a)->top = b->prev;
		block_free(*a, b);
	}
	block_free(*a, (*a)->spare);
	free(*a);
	*a = NULL;
}

#ifndef ARENA_MALLOC
/* Keep b for the next growth if it is better than what is kept, else free it. */
static void block_retire(struct arena *a, struct block *b)
{
	block_cut(a, b, 0);
	if (b->size <= a->keep_max && (!a->spare || a->spare->size < b->size)) {
		struct block *worse = a->spare;
		a->spare = b;
		b = worse;
	}
	block_free(a, b);
}

static void push_block(struct arena *a, size_t need)
{
	struct block *b = a->spare;
	if (b && b->size >= need) {
		a->spare = NULL;
	} else {
		size_t size = a->next_size;
		if (size < GROW_MAX)
			a->next_size = size * 2 < GROW_MAX ? size * 2 : GROW_MAX;
		b = block_new(size > need ? size : need);
	}
	b->prev = a->top;
	a->top = b;
}

static char *take(struct arena *a, size_t size, size_t align)
{
	/* a size that would wrap below is an attempt at all of memory: block_new dies of it */
	size_t need = size < SIZE_MAX / 2 ? size + REDZONE : size;
	struct block *b = a->top;
	size_t at = b ? (b->used + align - 1) & ~(align - 1) : 0;
	if (!b || at > b->size || need > b->size - at) {
		push_block(a, need);
		b = a->top;
		at = 0;
	}
	b->used = at + need;
	a->total += size;
	a->last = b->data + at;
	UNPOISON(a->last, size);
	return a->last;
}

void *arena_extend(struct arena *a, void *p, size_t old, size_t size)
{
	struct block *b = a->top;
	if (!p || p != a->last || size < old)
		return NULL;
	size_t at = (size_t)(a->last - b->data);
	size_t room = b->size - at; /* at least REDZONE: take() put one behind the old end */
	if (size > room - REDZONE)
		return NULL;
	b->used = at + size + REDZONE;
	a->total += size - old;
	UNPOISON(p, size);
	return p;
}

void arena_reset(struct arena *a)
{
	run_cleanups(a, NULL);
	while (a->top) {
		struct block *b = a->top;
		a->top = b->prev;
		block_retire(a, b);
	}
	a->top = a->spare;
	a->spare = NULL;
	if (a->top)
		a->top->prev = NULL;
	a->total = 0;
	a->last = NULL;
	a->secret = false;
}

void arena_release(struct arena *a, struct arena_mark m)
{
	run_cleanups(a, m.cleanup);
	while (a->top && a->top != m.block) {
		struct block *b = a->top;
		a->top = b->prev;
		block_retire(a, b);
	}
	MUST(a->top == m.block); /* a mark of another arena, or from before a reset */
	if (a->top) {
		MUST(m.used <= a->top->used);
		block_cut(a, a->top, m.used);
	}
	a->total = m.total;
	a->last = NULL;
}
#else
/* One block for each allocation: ASan and valgrind then see the edges of every one. */
static char *take(struct arena *a, size_t size, size_t align)
{
	(void)align;
	struct block *b = block_new(size);
	b->used = size;
	b->prev = a->top;
	a->top = b;
	a->total += size;
	UNPOISON(b->data, size);
	return b->data;
}

void *arena_extend(struct arena *a, void *p, size_t old, size_t size)
{
	(void)a, (void)p, (void)old, (void)size;
	return NULL;
}

void arena_release(struct arena *a, struct arena_mark m)
{
	run_cleanups(a, m.cleanup);
	while (a->top && a->top != m.block) {
		struct block *b = a->top;
		a->top = b->prev;
		block_free(a, b);
	}
	MUST(a->top == m.block);
	a->total = m.total;
}

void arena_reset(struct arena *a)
{
	arena_release(a, (struct arena_mark){0});
	a->secret = false;
}
#endif

struct arena_mark arena_mark(struct arena *a)
{
	/* what was allocated before must not grow over the mark: the release would cut it */
	a->last = NULL;
	return (struct arena_mark){a->top, a->top ? a->top->used : 0, a->total, a->cleanups};
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p = take(a, size, ALIGN);
	memset(p, 0, size);
	return p;
}

char *arena_bytes(struct arena *a, size_t size)
{
	return take(a, size, BYTE_ALIGN);
}

size_t arena_times(size_t n, size_t size)
{
	size_t all;
	if (__builtin_mul_overflow(n, size, &all))
		die(__FILE__, __LINE__, "array of %zu elements of %zu bytes", n, size);
	return all;
}

void arena_wipes(struct arena *a)
{
	a->secret = true;
}

size_t arena_used(const struct arena *a)
{
	return a->total;
}

slice_t arena_dup(struct arena *a, slice_t s)
{
	if (slice_is_absent(s))
		return s;
	if (s.flags & HEDDLE_SECRET)
		arena_wipes(a);
	char *p = arena_bytes(a, s.len);
	if (s.len)
		memcpy(p, s.ptr, s.len);
	s.ptr = p;
	return s;
}

char *arena_cstr(struct arena *a, slice_t s)
{
	if (s.flags & HEDDLE_SECRET)
		arena_wipes(a);
	char *p = arena_bytes(a, (size_t)s.len + 1);
	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = '\0';
	return p;
}

slice_t arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	MUST(n >= 0);
	size_t len = (size_t)n;
	char *p = arena_bytes(a, len + 1);
	if (len < sizeof small)
		memcpy(p, small, len + 1);
	else
		(void)vsnprintf(p, len + 1, fmt, again);
	va_end(again);
	return slice_of(p, len, HEDDLE_CLEAN);
}

slice_t arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	slice_t s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}
