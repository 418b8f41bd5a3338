/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/body.h"

#include <stdlib.h>

struct body_chunk {
	struct body_chunk *next, *prev;
	uint32_t len;
	char bytes[BODY_CHUNK];
};

#define SPILL_IOV 64

bool body_budget_take(struct body_budget *b, size_t bytes)
{
	int64_t n = (int64_t)bytes;
	if (atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed) + n <= b->limit)
		return true;
	(void)atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
	return false;
}

void body_budget_give(struct body_budget *b, size_t bytes)
{
	(void)atomic_fetch_sub_explicit(&b->used, (int64_t)bytes, memory_order_relaxed);
}

void body_builder_init(struct body_builder *b, struct body_budget *budget,
    const struct body_spill *spill, void *spill_ctx, size_t threshold, const char *id)
{
	*b = (struct body_builder){.budget = budget,
	    .spill = spill,
	    .spill_ctx = spill_ctx,
	    .threshold = threshold,
	    .id = id};
}

/* A builder's first chunk may come out of all of the budget, others only as long as half of it is
 * free: what is small, or goes to a file and needs a buffer, gets in beside many who are large. */
static bool may_take(const struct body_builder *b)
{
	struct body_budget *all = b->budget;
	return !b->chunk_count ||
	       atomic_load_explicit(&all->used, memory_order_relaxed) < all->limit / 2;
}

/* Chunks outlive the arena that reads them in: they pass from builder to message, and a spill frees
 * them early. */
static struct body_chunk *chunk_new(struct body_builder *b)
{
	if (!may_take(b) || !body_budget_take(b->budget, sizeof(struct body_chunk)))
		return NULL;
	struct body_chunk *c = malloc(sizeof *c);
	if (!c) {
		body_budget_give(b->budget, sizeof *c);
		return NULL;
	}
	c->next = NULL;
	c->prev = b->last;
	c->len = 0;
	*(b->last ? &b->last->next : &b->first) = c;
	b->last = c;
	b->chunk_count++;
	return c;
}

static void chunks_free(struct body_chunk *c, struct body_budget *budget)
{
	while (c) {
		struct body_chunk *next = c->next;
		free(c);
		body_budget_give(budget, sizeof *c);
		c = next;
	}
}

static void fail(struct body_builder *b, enum rc rc)
{
	if (!b->failed)
		b->failed = rc;
	chunks_free(b->first, b->budget);
	b->first = b->last = NULL;
	b->chunk_count = 0;
	if (b->file)
		b->spill->abort(&b->file);
	b->file = NULL;
}

static bool write_iov(struct body_builder *b, const struct iovec *iov, size_t n)
{
	enum rc rc = b->spill->write(b->file, iov, n, &b->why);
	if (rc)
		fail(b, rc);
	return rc == RC_OK;
}

static bool chunks_to_file(struct body_builder *b)
{
	struct iovec iov[SPILL_IOV];
	size_t n = 0;
	for (struct body_chunk *c = b->first; c; c = c->next) {
		iov[n++] = (struct iovec){c->bytes, c->len};
		if ((n == SPILL_IOV || !c->next) && !write_iov(b, iov, n))
			return false;
		n %= SPILL_IOV;
	}
	chunks_free(b->first, b->budget);
	b->first = b->last = NULL;
	b->chunk_count = 0;
	return true;
}

/* Room to write, or NULL when all has failed. */
static struct body_chunk *room(struct body_builder *b)
{
	if (b->last && b->last->len < BODY_CHUNK)
		return b->last;
	if (b->file && b->last) { /* one chunk is the buffer of the file */
		struct iovec iov = {b->last->bytes, b->last->len};
		if (!write_iov(b, &iov, 1))
			return NULL;
		b->last->len = 0;
		return b->last;
	}
	bool large = !b->file && b->bytes >= b->threshold;
	struct body_chunk *c = large ? NULL : chunk_new(b);
	if (c)
		return c;
	if (!b->spill) {
		(void)error_set(&b->why, RC_DEFER, "no room for the message");
		fail(b, RC_DEFER);
		return NULL;
	}
	if (!b->file) {
		enum rc rc = b->spill->begin(b->spill_ctx, b->id, &b->file, &b->why);
		if (rc) {
			b->file = NULL;
			fail(b, rc);
			return NULL;
		}
	}
	struct body_chunk *keep = b->last; /* reused as the buffer */
	if (keep) {
		b->last = keep->prev;
		*(b->last ? &b->last->next : &b->first) = NULL;
		if (!chunks_to_file(b)) {
			chunks_free(keep, b->budget);
			return NULL;
		}
		keep->prev = keep->next = NULL;
		b->first = b->last = keep;
		b->chunk_count = 1;
		return room(b);
	}
	/* not even one chunk is to be had: the budget of others is in the way, not the size of this
	 * one */
	(void)error_set(&b->why, RC_DEFER, "no memory for the message");
	fail(b, RC_DEFER);
	return NULL;
}

void body_builder_add(struct body_builder *b, const char *p, size_t n)
{
	b->bytes += b->failed ? n : 0;
	while (n && !b->failed) {
		struct body_chunk *c = room(b);
		if (!c) {
			b->bytes += n;
			return;
		}
		size_t take = n < BODY_CHUNK - c->len ? n : BODY_CHUNK - c->len;
		memcpy(c->bytes + c->len, p, take);
		c->len += (uint32_t)take;
		b->bytes += take;
		p += take;
		n -= take;
	}
}

bool body_builder_may_write(const struct body_builder *b, size_t n)
{
	if (!b->spill || b->failed || (b->last && b->last->len + n <= BODY_CHUNK))
		return false;
	return b->file || b->bytes + n > b->threshold || !may_take(b);
}

bool body_builder_blocks(const struct body_builder *b)
{
	return b->file != NULL;
}

struct chunk_owner {
	struct body_chunk *first;
	struct body_budget *budget;
};

static void release_chunks(void *arg)
{
	struct chunk_owner *o = arg;
	chunks_free(o->first, o->budget);
}

static enum rc finish_file(struct body_builder *b, struct message *m, struct error *err)
{
	if (!chunks_to_file(b)) {
		if (err)
			*err = b->why;
		return b->failed;
	}
	enum rc rc = b->spill->finish(&b->file, &m->body.crc, err);
	b->file = NULL;
	if (rc)
		return rc;
	m->body.in_file = true;
	return RC_OK;
}

enum rc body_builder_finish(struct body_builder *b, struct message *m, struct error *err)
{
	if (b->failed) {
		if (err)
			*err = b->why;
		return b->failed;
	}
	m->body.bytes = b->bytes;
	m->body.lines = b->lines;
	m->body.zeros = b->zeros;
	if (b->file)
		return finish_file(b, m, err);
	slice_t *chunks = ARENA_ARRAY(m->arena, slice_t, b->chunk_count ? b->chunk_count : 1);
	uint32_t n = 0;
	for (struct body_chunk *c = b->first; c; c = c->next)
		chunks[n++] = slice_tainted(c->bytes, c->len);
	m->body.chunks = chunks;
	m->body.chunk_count = n;
	if (b->first) {
		struct chunk_owner *o = ARENA_NEW(m->arena, struct chunk_owner);
		*o = (struct chunk_owner){b->first, b->budget};
		arena_on_free(m->arena, release_chunks, o);
		b->first = b->last = NULL;
	}
	return RC_OK;
}

void body_builder_drop(struct body_builder *b)
{
	if (!b->budget)
		return;
	fail(b, RC_FAIL);
}

static slice_t visible(struct arena *a, char *p, size_t n)
{
	(void)a;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '\n' || p[i] == '\0')
			p[i] = ' ';
	return slice_tainted(p, n);
}

slice_t body_builder_start(struct arena *a, const struct body_builder *b, size_t max)
{
	if (max > b->bytes)
		max = (size_t)b->bytes;
	char *out = arena_bytes(a, max ? max : 1);
	size_t n = 0;
	for (const struct body_chunk *c = b->first; c && n < max; c = c->next) {
		size_t take = c->len < max - n ? c->len : max - n;
		memcpy(out + n, c->bytes, take);
		n += take;
	}
	return visible(a, out, n);
}

slice_t body_builder_end(struct arena *a, const struct body_builder *b, size_t max)
{
	if (max > b->bytes)
		max = (size_t)b->bytes;
	char *out = arena_bytes(a, max ? max : 1);
	size_t left = max;
	for (const struct body_chunk *c = b->last; c && left; c = c->prev) {
		size_t take = c->len < left ? c->len : left;
		left -= take;
		memcpy(out + left, c->bytes + c->len - take, take);
	}
	return visible(a, out + left, max - left);
}

void dot_writer_init(struct dot_writer *w)
{
	w->at_line_start = true;
}

size_t dot_writer_put(struct dot_writer *w, slice_t in, size_t *used, char *out, size_t cap)
{
	size_t i = 0, n = 0;
	while (i < in.len && n + 2 <= cap) {
		if (w->at_line_start && in.ptr[i] == '.')
			out[n++] = '.';
		w->at_line_start = false;
		const char *nl = memchr(in.ptr + i, '\n', in.len - i);
		size_t run = nl ? (size_t)(nl - in.ptr) - i : in.len - i;
		if (run > cap - n)
			run = cap - n;
		memcpy(out + n, in.ptr + i, run);
		i += run;
		n += run;
		if (i < in.len && in.ptr[i] == '\n') {
			if (n + 2 > cap)
				break;
			out[n++] = '\r';
			out[n++] = '\n';
			i++;
			w->at_line_start = true;
		}
	}
	*used = i;
	return n;
}
