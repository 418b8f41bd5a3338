/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/recover: what earlier runs left.  First all records of all old segments go into the table
 * (sidecars: no body is read), then each message that is still queued is told about.  Housekeeping
 * waits until that is done; new messages do not: their segments are younger than all that is read
 * here.
 */
#include "queue/store_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct names {
	struct store *s;
	uint32_t *segments;
	size_t n, cap;
	struct queue_id *orphans;
	size_t n_orphans, cap_orphans;
	char (*strays)[NAME_MAX_BYTES];
	size_t n_strays, cap_strays;
};

/* NNNNNNNNNN.SUFFIX */
static bool parse_name(const char *name, uint32_t *out_number, const char **out_suffix)
{
	uint64_t n = 0;

	for (int i = 0; i < 10; i++) {
		if (!ascii_isdigit(name[i]))
			return false;
		n = n * 10 + (uint64_t)(name[i] - '0');
	}
	if (name[10] != '.' || n > UINT32_MAX || strlen(name) >= NAME_MAX_BYTES)
		return false;
	*out_number = (uint32_t)n;
	*out_suffix = name + 11;
	return true;
}

static void sort_name(void *arg, const char *name)
{
	struct names *l = arg;
	const char *suffix;
	uint32_t number;

	if (!parse_name(name, &number, &suffix) || number >= l->s->first_number)
		return;
	if (strcmp(suffix, "seg") == 0) {
		l->segments = store_grow(l->segments, sizeof *l->segments, &l->cap, l->n + 1);
		l->segments[l->n++] = number;
	} else if (strcmp(suffix, "idx") == 0 || strcmp(suffix, "tmp") == 0) {
		l->strays =
		    store_grow(l->strays, sizeof *l->strays, &l->cap_strays, l->n_strays + 1);
		(void)snprintf(l->strays[l->n_strays++], NAME_MAX_BYTES, "%s", name);
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* ---- opening ---- */
/* A file whose header is gone.  Before the header is stable nothing is written behind it. */
static int no_header(struct store *s, const char *name, int64_t size)
{
	char aside[NAME_MAX_BYTES];

	if (size <= (int64_t)SEGMENT_HEADER_BYTES)
		return s->io->unlink(s->io->ctx, name);
	store_event(s, STORE_EVENT_DAMAGED, name, (struct queue_id){0, 0}, 0,
	    "the header of a segment is damaged: nothing in it can be read");
	(void)snprintf(aside, sizeof aside, "%.10s.bad", name);
	int e = s->io->rename(s->io->ctx, name, aside);
	if (!e)
		e = s->io->sync_dir(s->io->ctx, "");
	if (!e)
		store_event(s, STORE_EVENT_SET_ASIDE, aside, (struct queue_id){0, 0}, 0,
		    "a damaged segment was set aside");
	return e;
}

static int open_old(struct store *s, uint32_t number, struct segment_header *out_h)
{
	char name[NAME_MAX_BYTES];
	uint8_t raw[SEGMENT_HEADER_BYTES];

	segment_name(number, "seg", name);
	int fd = s->io->open(s->io->ctx, name, STORAGE_READ);
	if (fd < 0)
		return fd;
	int64_t size = s->io->size(s->io->ctx, fd);
	ssize_t n = s->io->pread(s->io->ctx, fd, raw, sizeof raw, 0);
	*out_h = (struct segment_header){0};
	if (size < 0 || n < 0 || !segment_header_decode(raw, (size_t)n, out_h) ||
	    out_h->number != number) {
		s->io->close(s->io->ctx, fd);
		return size < 0 ? (int)size : no_header(s, name, size);
	}
	struct store_segment *seg = calloc(1, sizeof *seg);
	MUST(seg);
	seg->number = number;
	seg->generation = out_h->generation;
	seg->mark = out_h->mark;
	seg->fd = fd;
	seg->size = seg->synced = (uint64_t)size;
	seg->state = SEGMENT_SEALED;
	seg->note_for = out_h->void_segment;
	segment_register(s, seg);
	return 0;
}

/* What the header of a segment says about the end of the one before it. */
static void take_note(struct store *s, const struct segment_header *h)
{
	store_table_lock(s);
	struct store_segment *seg = h->void_segment ? segment_find(s, h->void_segment) : NULL;
	if (seg && h->void_offset >= SEGMENT_HEADER_BYTES) {
		seg->end_note = h->void_offset;
		if (seg->size > h->void_offset) {
			seg->size = seg->synced = h->void_offset;
			seg->voided = true;
		}
	}
	store_table_unlock(s);
}

static enum rc open_all(struct store *s, struct names *l, struct error *err)
{
	struct segment_header *headers = calloc(l->n + 1, sizeof *headers);

	MUST(headers);
	if (l->n)
		qsort(l->segments, l->n, sizeof *l->segments, by_number);
	for (size_t i = 0; i < l->n; i++) {
		int e = open_old(s, l->segments[i], &headers[i]);

		if (e) {
			free(headers);
			return error_errno(
			    err, RC_ERROR, -e, "open queue segment %u", l->segments[i]);
		}
	}
	for (size_t i = 0; i < l->n; i++)
		take_note(s, &headers[i]);
	free(headers);
	return RC_OK;
}

/* ---- filling the table ---- */
static struct store_segment *nth_old(struct store *s, uint32_t number)
{
	store_table_lock(s);
	struct store_segment *seg = segment_find(s, number);
	store_table_unlock(s);
	return seg;
}

static void fill_table(struct store *s, struct store_segment *seg, struct arena *a)
{
	struct sidecar side;
	struct sidecar_entry e;

	sidecar_get(s, seg, a, &side);
	store_table_lock(s);
	seg->size = seg->synced = side.h.data_end;
	while (side.entries.len && sidecar_entry_decode(&side.entries, seg->mark, seg->number, &e))
		table_record(s, &e.h, seg, e.offset);
	store_table_unlock(s);
}

/* ---- telling ---- */
static bool body_is_there(struct store *s, const struct queue_message *m)
{
	char name[NAME_MAX_BYTES];

	if (!(m->flags & QUEUE_MSG_BODY_FILE))
		return true;
	body_name(m->id, name);
	int fd = s->io->open(s->io->ctx, name, STORAGE_READ);
	if (fd < 0)
		return false;
	bool good = s->io->size(s->io->ctx, fd) == (int64_t)m->body_size;
	s->io->close(s->io->ctx, fd);
	return good;
}

static void tell_one(struct store *s, struct store_segment *seg, const struct sidecar_entry *e,
    struct arena *a, store_found_fn *found, void *ctx)
{
	struct record_message_sizes sizes;
	struct queue_message m;
	struct load_plan p;

	if (load_plan(s, a, e->h.id.serial, &p, NULL) != RC_OK)
		return;
	if (p.seg == seg && p.offset == e->offset) {
		if (record_message_decode(a, e->envelope.ptr, e->envelope.len, &m, &sizes, NULL) !=
		    RC_OK) {
			load_lost(s, &p, "a message's envelope cannot be read");
		} else {
			m.id = e->h.id;
			load_changes(s, a, &p, &m);
			if (!body_is_there(s, &m))
				load_lost(s, &p,
				    "the file of a large body is missing or has the wrong size");
			else if (found)
				found(ctx, &m);
		}
	}
	load_plan_done(s, &p);
}

static void tell_segment(
    struct store *s, struct store_segment *seg, struct arena *a, store_found_fn *found, void *ctx)
{
	struct sidecar side;
	struct sidecar_entry e;
	struct arena *scratch = arena_new(0);

	sidecar_get(s, seg, a, &side);
	while (
	    side.entries.len && sidecar_entry_decode(&side.entries, seg->mark, seg->number, &e)) {
		if (e.h.type == RECORD_MESSAGE)
			tell_one(s, seg, &e, scratch, found, ctx);
		arena_reset(scratch);
	}
	arena_free(&scratch);
}

/* ---- what belongs to nothing ---- */
static void note_body(void *arg, const char *name)
{
	struct names *l = arg;
	struct queue_id id;

	if (!queue_id_parse(slice_cstr(name), &id) ||
	    id.serial / IDS_PER_SEGMENT >= l->s->first_number)
		return; /* of this run, or not ours */
	l->orphans = store_grow(l->orphans, sizeof *l->orphans, &l->cap_orphans, l->n_orphans + 1);
	l->orphans[l->n_orphans++] = id;
}

static void clear_orphans(struct store *s, struct names *l)
{
	bool damaged = false;

	store_table_lock(s);
	for (size_t i = 0; i < s->n_segments; i++)
		damaged |= s->segments[i]->damaged;
	store_table_unlock(s);
	/* after damage a body may be all that is left of a message */
	if (damaged || s->io->list(s->io->ctx, BODY_DIR, note_body, l))
		return;
	for (size_t i = 0; i < l->n_orphans; i++) {
		store_table_lock(s);
		const struct live *e = table_find(s, l->orphans[i].serial);
		bool queued = e && e->state == LIVE_QUEUED;
		store_table_unlock(s);
		if (!queued)
			store_body_discard(s, l->orphans[i]);
	}
}

static void clear_strays(struct store *s, struct names *l)
{
	for (size_t i = 0; i < l->n_strays; i++) {
		const char *suffix;
		uint32_t number;

		if (!parse_name(l->strays[i], &number, &suffix))
			continue;
		if (strcmp(suffix, "tmp") == 0 || !nth_old(s, number))
			(void)s->io->unlink(s->io->ctx, l->strays[i]);
	}
}

enum rc store_recover(struct store *s, store_found_fn *found, void *ctx, struct error *err)
{
	struct names l = {.s = s};
	struct arena *a = arena_new(0);
	int e = s->io->list(s->io->ctx, "", sort_name, &l);
	enum rc rc = e ? error_errno(err, RC_ERROR, -e, "list the queue") : open_all(s, &l, err);

	for (size_t i = 0; rc == RC_OK && i < l.n; i++) {
		struct store_segment *seg = nth_old(s, l.segments[i]);

		if (seg)
			fill_table(s, seg, a);
		arena_reset(a);
	}
	if (rc == RC_OK) {
		store_table_lock(s);
		table_purge(s);
		store_table_unlock(s);
	}
	for (size_t i = 0; rc == RC_OK && i < l.n; i++) {
		struct store_segment *seg = nth_old(s, l.segments[i]);

		if (seg)
			tell_segment(s, seg, a, found, ctx);
		arena_reset(a);
	}
	if (rc == RC_OK) {
		clear_orphans(s, &l);
		clear_strays(s, &l);
		atomic_store_explicit(&s->recovered, true, memory_order_release);
	}
	free(l.segments);
	free(l.orphans);
	free(l.strays);
	arena_free(&a);
	return rc;
}
