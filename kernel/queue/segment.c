/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/segment: the log's files.  A segment's name is stable before anything is written that
 * relies on it, and so is the number in it: no id that was made from it comes again.
 */
#include "queue/store_private.h"

#include "base/io.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

void segment_name(uint32_t number, const char *suffix, char out[NAME_MAX_BYTES])
{
	(void)snprintf(out, NAME_MAX_BYTES, "%010u.%s", number, suffix);
}

void store_event(struct store *s, enum store_event_kind kind, const char *name, struct queue_id id,
    int errnum, const char *text)
{
	struct store_event ev = {kind, name, id, errnum, text};

	if (s->opt.event)
		s->opt.event(s->opt.event_ctx, &ev);
}

void segment_damaged(struct store *s, struct store_segment *seg, const char *text)
{
	char name[NAME_MAX_BYTES];

	store_table_lock(s);
	bool first = !seg->damaged;
	seg->damaged = true;
	condvar_signal(&s->house_cv);
	store_table_unlock(s);
	segment_name(seg->number, "seg", name);
	if (first)
		store_event(s, STORE_EVENT_DAMAGED, name, (struct queue_id){0, 0}, 0, text);
}

void *store_grow(void *array, size_t size, size_t *cap, size_t need)
{
	if (need <= *cap)
		return array;
	size_t n = *cap ? *cap * 2 : 1;
	if (n < need)
		n = need;
	void *p = reallocarray(array, n, size);
	MUST(p);
	*cap = n;
	return p;
}

int segment_writev(struct store *s, int fd, struct iovec *iov, size_t n, uint64_t at)
{
	while (n) {
		int count = n > IOV_MAX ? IOV_MAX : (int)n;
		ssize_t r = s->io->pwritev(s->io->ctx, fd, iov, count, at);

		if (r < 0)
			return (int)r;
		if (r == 0)
			return -EIO;
		at += (uint64_t)r;
		size_t done = (size_t)r;
		for (; n && done >= iov->iov_len; iov++, n--)
			done -= iov->iov_len;
		if (n) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= done;
		}
	}
	return 0;
}

int segment_read(struct store *s, int fd, void *buf, size_t n, uint64_t at)
{
	ssize_t r = s->io->pread(s->io->ctx, fd, buf, n, at);

	if (r < 0)
		return (int)r;
	return (size_t)r == n ? 0 : -EIO;
}

/* Where a segment of this number belongs in the sorted array. */
static size_t position(struct store *s, uint32_t number) REQUIRES(lk_store_table);
static size_t position(struct store *s, uint32_t number)
{
	size_t low = 0, high = s->n_segments;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->segments[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct store_segment *segment_find(struct store *s, uint32_t number)
{
	size_t i = position(s, number);

	return i < s->n_segments && s->segments[i]->number == number ? s->segments[i] : NULL;
}

void segment_register(struct store *s, struct store_segment *seg)
{
	store_table_lock(s);
	size_t i = position(s, seg->number);
	s->segments =
	    store_grow(s->segments, sizeof *s->segments, &s->cap_segments, s->n_segments + 1);
	memmove(&s->segments[i + 1], &s->segments[i], (s->n_segments - i) * sizeof *s->segments);
	s->segments[i] = seg;
	s->n_segments++;
	store_table_unlock(s);
}

void segment_unregister(struct store *s, struct store_segment *seg)
{
	size_t i = position(s, seg->number);

	MUST(i < s->n_segments && s->segments[i] == seg);
	s->n_segments--;
	memmove(&s->segments[i], &s->segments[i + 1], (s->n_segments - i) * sizeof *s->segments);
	seg->state = SEGMENT_GONE;
}

void segment_free(struct store *s, struct store_segment **seg)
{
	if (!*seg)
		return;
	if ((*seg)->fd >= 0)
		s->io->close(s->io->ctx, (*seg)->fd);
	free((*seg)->serials);
	free(*seg);
	*seg = NULL;
}

void segment_unpin(struct store *s, struct store_segment *seg)
{
	store_table_lock(s);
	bool last = --seg->pins == 0 && seg->state == SEGMENT_GONE;
	store_table_unlock(s);
	if (last)
		segment_free(s, &seg);
}

static int write_header(
    struct store *s, const struct store_segment *seg, const struct store_segment *before)
{
	uint8_t raw[SEGMENT_HEADER_BYTES];
	struct iovec iov = {raw, sizeof raw};
	struct segment_header h = {.mark = seg->mark,
	    .created_us = (uint64_t)clock_wall_us(),
	    .number = seg->number,
	    .generation = seg->generation};

	if (before) {
		h.void_segment = before->number;
		h.void_offset = (uint32_t)before->synced;
	}
	segment_header_encode(&h, raw);
	int e = segment_writev(s, seg->fd, &iov, 1, 0);
	if (!e)
		e = s->io->fdatasync(s->io->ctx, seg->fd);
	return e ? e : s->io->sync_dir(s->io->ctx, "");
}

int segment_create(struct store *s, enum segment_state state, uint32_t generation,
    const struct store_segment *before, struct store_segment **out)
{
	char name[NAME_MAX_BYTES];
	struct store_segment *seg = calloc(1, sizeof *seg);

	MUST(seg);
	store_queue_lock(s);
	/* ids that were given out beyond their segment's share have used the numbers behind it */
	uint64_t used = s->next_serial / IDS_PER_SEGMENT + 1;
	if (s->next_number < used)
		s->next_number = (uint32_t)used;
	seg->number = s->next_number++;
	store_queue_unlock(s);
	seg->generation = generation;
	seg->state = state;
	seg->note_for = before ? before->number : 0;
	seg->size = seg->synced = SEGMENT_HEADER_BYTES;
	io_random(&seg->mark, sizeof seg->mark);
	segment_name(seg->number, "seg", name);
	seg->fd = s->io->open(s->io->ctx, name, STORAGE_CREATE);
	int e = seg->fd < 0 ? seg->fd : write_header(s, seg, before);
	if (e) {
		/* the number stays used; a name that cannot be removed is cleared away by the next
		 * recovery */
		if (seg->fd >= 0)
			(void)s->io->unlink(s->io->ctx, name);
		segment_free(s, &seg);
		return e;
	}
	segment_register(s, seg);
	*out = seg;
	return 0;
}
