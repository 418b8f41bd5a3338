/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/load: reading a message back.  Under the lock only its places are copied and their segments
 * pinned, so that a compaction that moves it meanwhile does not matter.  What is read is verified
 * before anything in it is believed.
 */
#include "queue/store_private.h"

#include "base/codec.h"

#include <errno.h>
#include <stdlib.h>

#define ONE_READ ((uint32_t)64 << 10) /* a record up to this size is read whole at once */

enum rc load_plan(
    struct store *s, struct arena *a, uint64_t serial, struct load_plan *out, struct error *err)
{
	store_table_lock(s);
	const struct live *e = table_find(s, serial);
	if (!e || e->state != LIVE_QUEUED) {
		store_table_unlock(s);
		return error_set(err, RC_FAIL, "no such message in the queue");
	}
	*out = (struct load_plan){.seg = segment_find(s, e->segment),
	    .offset = e->offset,
	    .size = e->size,
	    .id = e->id,
	    .sequence = e->sequence};
	out->seg->pins++;
	if (e->extra && e->extra->n_changes) {
		out->n_changes = e->extra->n_changes;
		out->changes = ARENA_ARRAY(a, struct change, out->n_changes);
		out->change_segs = ARENA_ARRAY(a, struct store_segment *, out->n_changes);
		memcpy(out->changes, e->extra->changes, out->n_changes * sizeof *out->changes);
		for (size_t i = 0; i < out->n_changes; i++) {
			out->change_segs[i] = segment_find(s, out->changes[i].segment);
			out->change_segs[i]->pins++;
		}
		out->sequence = out->changes[out->n_changes - 1].sequence;
	}
	store_table_unlock(s);
	return RC_OK;
}

void load_plan_done(struct store *s, struct load_plan *p)
{
	for (size_t i = 0; i < p->n_changes; i++)
		segment_unpin(s, p->change_segs[i]);
	p->n_changes = 0;
	segment_unpin(s, p->seg);
	p->seg = NULL;
}

int load_record(struct store *s, struct arena *a, const struct load_plan *p,
    struct record_header *out_h, slice_t *out_meta, slice_t *out_body)
{
	struct record_header h;
	size_t first = out_body || p->size <= ONE_READ ? p->size : RECORD_HEADER_BYTES;
	char *buf = arena_bytes(a, first), *meta = buf + RECORD_HEADER_BYTES;
	int e = segment_read(s, p->seg->fd, buf, first, p->offset);

	if (e)
		return e;
	if (!record_header_decode(buf, first, p->seg->mark, p->seg->number, &h) ||
	    record_size(&h) != p->size || h.id.serial != p->id.serial)
		return -EBADMSG;
	if (first < p->size) {
		meta = arena_bytes(a, h.meta_len);
		e = segment_read(s, p->seg->fd, meta, h.meta_len, p->offset + RECORD_HEADER_BYTES);
		if (e)
			return e;
	}
	if (crc32c(0, meta, h.meta_len) != h.meta_crc)
		return -EBADMSG;
	if (out_body && crc32c(0, meta + h.meta_len, h.body_len) != h.body_crc)
		return -EBADMSG;
	*out_h = h;
	*out_meta = slice_tainted(meta, h.meta_len);
	if (out_body)
		*out_body = slice_tainted(meta + h.meta_len, h.body_len);
	return 0;
}

static bool load_change(
    struct store *s, struct arena *a, const struct load_plan *p, size_t i, struct queue_message *m)
{
	struct load_plan one = {.seg = p->change_segs[i],
	    .offset = p->changes[i].offset,
	    .size = p->changes[i].size,
	    .id = p->id};
	struct record_header h;
	slice_t meta = {0};

	if (load_record(s, a, &one, &h, &meta, NULL))
		return false;
	if (h.type == RECORD_PROGRESS)
		return record_progress_apply(a, meta.ptr, meta.len, m, NULL) == RC_OK;
	return h.type == RECORD_EDIT && record_edit_apply(a, meta.ptr, meta.len, m, NULL) == RC_OK;
}

void load_changes(
    struct store *s, struct arena *a, const struct load_plan *p, struct queue_message *m)
{
	for (size_t i = 0; i < p->n_changes; i++)
		if (!load_change(s, a, p, i, m))
			segment_damaged(
			    s, p->change_segs[i], "a damaged record of progress was left out");
}

void load_lost(struct store *s, const struct load_plan *p, const char *text)
{
	char name[NAME_MAX_BYTES];

	segment_damaged(s, p->seg, text);
	store_table_lock(s);
	table_lose(s, p->id.serial);
	store_table_unlock(s);
	segment_name(p->seg->number, "seg", name);
	store_event(s, STORE_EVENT_LOST, name, p->id, 0, text);
}

static enum rc read_back(struct store *s, struct arena *a, const struct load_plan *p, unsigned what,
    struct queue_message *m, struct error *err)
{
	struct record_message_sizes sizes;
	struct record_header h;
	slice_t meta, body = slice_tainted("", 0);
	int e = load_record(s, a, p, &h, &meta, what & STORE_LOAD_BODY ? &body : NULL);

	if (e && e != -EBADMSG && e != -EIO)
		return error_errno(err, RC_DEFER, -e, "read the queue");
	if (e || h.type != RECORD_MESSAGE ||
	    record_message_decode(a, meta.ptr, meta.len, m, &sizes, NULL) != RC_OK ||
	    (uint64_t)sizes.envelope_len + sizes.facts_len + sizes.headers_len != meta.len) {
		load_lost(s, p, "a message cannot be read back");
		return error_set(err, RC_ERROR, "the message in the queue is damaged");
	}
	m->id = h.id;
	m->facts = slice_sub(meta, sizes.envelope_len, sizes.facts_len);
	if (what & STORE_LOAD_HEADERS) {
		slice_t *headers = ARENA_NEW(a, slice_t);

		*headers = slice_sub(meta, sizes.envelope_len + sizes.facts_len, sizes.headers_len);
		m->headers = headers;
		m->n_headers = 1;
	}
	if (what & STORE_LOAD_BODY && !(m->flags & QUEUE_MSG_BODY_FILE)) {
		struct iovec *iov = ARENA_NEW(a, struct iovec);

		*iov = (struct iovec){(void *)(uintptr_t)body.ptr, body.len};
		m->body = iov;
		m->n_body = 1;
	}
	return RC_OK;
}

enum rc store_load(struct store *s, struct arena *a, struct queue_id id, unsigned what,
    struct queue_message *out, struct error *err)
{
	struct load_plan p;
	struct queue_message m;
	enum rc rc = load_plan(s, a, id.serial, &p, err);

	if (rc != RC_OK)
		return rc;
	rc = read_back(s, a, &p, what, &m, err);
	if (rc == RC_OK) {
		load_changes(s, a, &p, &m);
		*out = m;
	}
	load_plan_done(s, &p);
	return rc;
}

/* ---- bodies piece by piece ---- */
struct store_reader {
	struct store *store;
	struct load_plan plan; /* pins the segment */
	uint64_t at, left, size;
	uint32_t crc, want_crc;
	int file; /* of its own, or -1 */
};

static enum rc open_body_file(
    struct store_reader *r, const struct queue_message *m, struct error *err)
{
	char name[NAME_MAX_BYTES];
	const struct storage_io *io = r->store->io;

	body_name(m->id, name);
	r->file = io->open(io->ctx, name, STORAGE_READ);
	if (r->file < 0)
		return error_errno(err, RC_ERROR, -r->file, "open %s", name);
	if (io->size(io->ctx, r->file) != (int64_t)m->body_size)
		return error_set(err, RC_ERROR, "%s has not the size it had", name);
	r->size = r->left = m->body_size;
	r->want_crc = m->body_crc;
	return RC_OK;
}

static enum rc aim_reader(struct store_reader *r, struct arena *a, struct error *err)
{
	struct record_message_sizes sizes;
	struct queue_message m;
	struct record_header h;
	slice_t meta = {0};
	int e = load_record(r->store, a, &r->plan, &h, &meta, NULL);

	if (e || record_message_decode(a, meta.ptr, meta.len, &m, &sizes, NULL) != RC_OK) {
		load_lost(r->store, &r->plan, "a message cannot be read back");
		return error_set(err, RC_ERROR, "the message in the queue is damaged");
	}
	m.id = h.id;
	if (m.flags & QUEUE_MSG_BODY_FILE)
		return open_body_file(r, &m, err);
	r->at = (uint64_t)r->plan.offset + RECORD_HEADER_BYTES + h.meta_len;
	r->size = r->left = h.body_len;
	r->want_crc = h.body_crc;
	return RC_OK;
}

enum rc store_reader_open(
    struct store *s, struct queue_id id, struct store_reader **out, struct error *err)
{
	struct arena *a = arena_new(0);
	struct store_reader *r = calloc(1, sizeof *r);
	MUST(r);
	r->store = s;
	r->file = -1;
	enum rc rc = load_plan(s, a, id.serial, &r->plan, err);
	if (rc == RC_OK) {
		rc = aim_reader(r, a, err);
		/* only the body's segment stays pinned */
		for (size_t i = 0; i < r->plan.n_changes; i++)
			segment_unpin(s, r->plan.change_segs[i]);
		r->plan.n_changes = 0;
	}
	if (rc == RC_OK)
		*out = r;
	else
		store_reader_close(&r);
	arena_free(&a);
	return rc;
}

uint64_t store_reader_size(const struct store_reader *r)
{
	return r->size;
}

enum rc store_reader_read(
    struct store_reader *r, void *buf, size_t cap, size_t *out_n, struct error *err)
{
	size_t n = cap < r->left ? cap : (size_t)r->left;
	int fd = r->file >= 0 ? r->file : r->plan.seg->fd;

	if (!r->left) {
		if (r->crc != r->want_crc)
			return error_set(err, RC_ERROR, "the body of the message is damaged");
		*out_n = 0;
		return RC_OK;
	}
	int e = segment_read(r->store, fd, buf, n, r->at);
	if (e)
		return error_errno(err, RC_ERROR, -e, "read the body of the message");
	r->crc = crc32c(r->crc, buf, n);
	r->at += n;
	r->left -= n;
	*out_n = n;
	return RC_OK;
}

void store_reader_close(struct store_reader **reader)
{
	struct store_reader *r = *reader;

	if (!r)
		return;
	if (r->file >= 0)
		r->store->io->close(r->store->io->ctx, r->file);
	if (r->plan.seg)
		segment_unpin(r->store, r->plan.seg);
	free(r);
	*reader = NULL;
}
