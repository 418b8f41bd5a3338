/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/compact: housekeeping, one piece at a time, by one thread: body files of finished messages,
 * sidecars, segments that nothing needs, and copying what is needed out of segments that hold
 * little of it.
 *
 * Copies go to segments of their own, one generation further, with the state folded into one
 * record, so what is old lies together and a message that waits for a hundred days is copied a few
 * times, not at each pass. The order that keeps finished messages finished: a copy is stable before
 * the table points to it; a segment's name is gone for good before the DONE records that it made
 * necessary may go (table.c).
 */
#include "queue/store_private.h"

#include "base/codec.h"
#include "thread/start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GENERATIONS   8u
#define SOURCES_MAX   64u
#define UNLINK_MAX    16u
#define SMALL_MERGED  8u /* so many small segments of a generation are made one */
#define SMALL_PART    8u /* small: below this part of segment_bytes */
#define REST_US       (60 * US_PER_SEC)
#define LOOK_EVERY_US (1 * US_PER_SEC)

static void rest(struct store *s)
{
	if (s->opt.manual)
		return;
	store_table_lock(s);
	s->house_after_us = clock_mono_us() + REST_US;
	store_table_unlock(s);
}

/* ---- body files ---- */
static bool drop_bodies(struct store *s)
{
	store_table_lock(s);
	struct body_gone *list = s->bodies_gone, *next;
	s->bodies_gone = NULL;
	store_table_unlock(s);
	if (!list)
		return false;
	for (; list; list = next) {
		next = list->next;
		store_body_discard(s, list->id);
		free(list);
	}
	return true;
}

/* ---- sidecars ---- */
static bool make_sidecar(struct store *s)
{
	struct store_segment *todo = NULL;

	store_table_lock(s);
	for (size_t i = 0; i < s->n_segments && !todo; i++)
		if (s->segments[i]->state == SEGMENT_SEALED && !s->segments[i]->has_sidecar &&
		    (s->segments[i]->needed || s->segments[i]->damaged))
			todo = s->segments[i];
	store_table_unlock(s);
	if (!todo)
		return false;
	struct arena *a = arena_new(0);
	struct sidecar unused;
	sidecar_get(s, todo, a, &unused);
	arena_free(&a);
	return true;
}

/* ---- segments that nothing needs ---- */
static bool may_go(struct store *s, const struct store_segment *seg) REQUIRES(lk_store_table);
static bool may_go(struct store *s, const struct store_segment *seg)
{
	if (seg->state != SEGMENT_SEALED || seg->needed)
		return false;
	/* it is the only one that says where the voided one ends */
	const struct store_segment *before = seg->note_for ? segment_find(s, seg->note_for) : NULL;
	return !before || !before->voided;
}

static int take_name_away(struct store *s, const struct store_segment *seg, bool aside)
{
	char name[NAME_MAX_BYTES], other[NAME_MAX_BYTES];

	segment_name(seg->number, "seg", name);
	segment_name(seg->number, "bad", other);
	int e = aside ? s->io->rename(s->io->ctx, name, other) : s->io->unlink(s->io->ctx, name);
	segment_name(seg->number, "idx", name);
	(void)s->io->unlink(s->io->ctx, name); /* if there is one */
	if (aside && !e)
		store_event(s, STORE_EVENT_SET_ASIDE, other, (struct queue_id){0, 0}, 0,
		    "a damaged segment was set aside");
	return e;
}

static void forget(struct store *s, struct store_segment *seg)
{
	size_t pos = 0;
	bool more = true;

	while (more) {
		store_table_lock(s);
		more = table_forget_segment(s, seg, &pos);
		store_table_unlock(s);
	}
	store_table_lock(s);
	segment_unregister(s, seg);
	s->stats.unlinked++;
	bool unused = seg->pins == 0;
	store_table_unlock(s);
	if (unused)
		segment_free(s, &seg);
}

static bool unlink_dead(struct store *s)
{
	struct store_segment *dead[UNLINK_MAX];
	bool aside[UNLINK_MAX];
	size_t n = 0, gone = 0;

	store_table_lock(s);
	for (size_t i = 0; i < s->n_segments && n < UNLINK_MAX; i++)
		if (may_go(s, s->segments[i])) {
			aside[n] = s->segments[i]->damaged;
			dead[n++] = s->segments[i];
		}
	store_table_unlock(s);
	while (gone < n && take_name_away(s, dead[gone], aside[gone]) == 0)
		gone++;
	if (!n)
		return false;
	if (!gone || s->io->sync_dir(s->io->ctx, "") != 0) {
		rest(s);
		return false;
	}
	for (size_t i = 0; i < gone; i++)
		forget(s, dead[i]);
	return true;
}

/* ---- copying ---- */
struct move {
	struct record_header h;
	uint32_t offset;
};

struct pass {
	struct store *s;
	struct store_segment *sources[SOURCES_MAX];
	size_t n_sources;
	struct store_segment *out;
	uint64_t at;
	struct move *moves; /* written, not yet in the table */
	size_t n_moves, cap_moves;
	struct arena *scratch; /* of one record */
	int error;
};

static bool is_sparse(const struct store *s, const struct store_segment *seg)
{
	(void)s;
	return seg->needed_bytes * 2 < seg->size - SEGMENT_HEADER_BYTES;
}

static bool is_ripe(const struct store *s, const struct store_segment *seg, int64_t now)
{
	return seg->state == SEGMENT_SEALED && seg->needed && seg->has_sidecar &&
	       (s->opt.compact_age_us < 0 || now - seg->sealed_us >= s->opt.compact_age_us);
}

static void choose_generation(struct store *s, struct pass *p, uint32_t generation, bool small)
    REQUIRES(lk_store_table);
static void choose_generation(struct store *s, struct pass *p, uint32_t generation, bool small)
{
	int64_t now = clock_mono_us();
	uint64_t bytes = 0;

	p->n_sources = 0;
	for (size_t i = 0; i < s->n_segments && p->n_sources < SOURCES_MAX; i++) {
		struct store_segment *seg = s->segments[i];
		uint32_t its = seg->generation < GENERATIONS ? seg->generation : GENERATIONS - 1;

		if (its != generation || !is_ripe(s, seg, now))
			continue;
		if (!is_sparse(s, seg) && !(small && seg->size < s->opt.segment_bytes / SMALL_PART))
			continue;
		if (p->n_sources && bytes + seg->needed_bytes > s->opt.segment_bytes)
			break;
		bytes += seg->needed_bytes;
		p->sources[p->n_sources++] = seg;
	}
	if (small && p->n_sources < SMALL_MERGED)
		p->n_sources = 0;
}

static bool choose(struct store *s, struct pass *p)
{
	store_table_lock(s);
	for (size_t i = 0; i < s->n_segments && !p->n_sources; i++) {
		struct store_segment *seg = s->segments[i];

		if (seg->state == SEGMENT_SEALED && seg->needed && (seg->damaged || seg->voided))
			p->sources[p->n_sources++] = seg;
	}
	for (uint32_t g = 0; g < GENERATIONS && !p->n_sources; g++)
		choose_generation(s, p, g, false);
	for (uint32_t g = 0; g < GENERATIONS && !p->n_sources; g++)
		choose_generation(s, p, g, true);
	store_table_unlock(s);
	return p->n_sources > 0;
}

static void write_record(struct pass *p, struct record_header *h, struct iovec *iov, size_t n)
{
	uint8_t raw[RECORD_HEADER_BYTES];

	h->mark = p->out->mark;
	h->segment = p->out->number;
	h->synced = (uint32_t)p->out->synced;
	record_header_encode(h, raw);
	iov[0] = (struct iovec){raw, sizeof raw};
	p->error = segment_writev(p->s, p->out->fd, iov, n, p->at);
	if (p->error)
		return;
	p->moves = store_grow(p->moves, sizeof *p->moves, &p->cap_moves, p->n_moves + 1);
	p->moves[p->n_moves++] = (struct move){*h, (uint32_t)p->at};
	p->at += record_size(h);
}

static struct iovec piece(slice_t s)
{
	return (struct iovec){(void *)(uintptr_t)s.ptr, s.len};
}

/* -EBADMSG: cannot be read. */
static int fold(struct pass *p, const struct load_plan *plan, struct record_header *h,
    slice_t *envelope, slice_t *tail, slice_t *body)
{
	struct record_message_sizes sizes;
	struct queue_message m;
	slice_t meta = {0};
	int e = load_record(p->s, p->scratch, plan, h, &meta, body);

	if (e)
		return e == -EIO ? -EBADMSG : e;
	if (record_message_decode(p->scratch, meta.ptr, meta.len, &m, &sizes, NULL) != RC_OK)
		return -EBADMSG;
	*envelope = slice_sub(meta, 0, sizes.envelope_len);
	*tail = slice_sub(meta, sizes.envelope_len, meta.len);
	if (!plan->n_changes)
		return 0;
	load_changes(p->s, p->scratch, plan, &m);
	m.facts = slice_sub(*tail, 0, sizes.facts_len); /* only its length counts here */
	if (record_message_encode(p->scratch, &m, envelope, NULL) != RC_OK)
		return -EBADMSG;
	h->meta_len = envelope->len + tail->len;
	h->meta_crc = crc32c(crc32c(0, envelope->ptr, envelope->len), tail->ptr, tail->len);
	h->sequence = plan->sequence;
	return 0;
}

static void copy_message(struct pass *p, uint64_t serial)
{
	struct load_plan plan;
	struct record_header h;
	slice_t envelope = {0}, tail = {0}, body = {0};

	if (load_plan(p->s, p->scratch, serial, &plan, NULL) != RC_OK)
		return;
	int e = fold(p, &plan, &h, &envelope, &tail, &body);
	if (!e) {
		struct iovec iov[4] = {{0}, piece(envelope), piece(tail), piece(body)};

		write_record(p, &h, iov, 4);
	} else if (e == -EBADMSG) {
		load_lost(p->s, &plan, "a message cannot be read back");
	} else {
		p->error = e;
	}
	load_plan_done(p->s, &plan);
}

static void copy_change(struct pass *p, struct store_segment *from, const struct sidecar_entry *e)
{
	struct load_plan one = {
	    .seg = from, .offset = e->offset, .size = (uint32_t)record_size(&e->h), .id = e->h.id};
	struct record_header h;
	slice_t meta = {0};

	if (load_record(p->s, p->scratch, &one, &h, &meta, NULL)) {
		/* unreadable: fold what can be read into a new copy of the message, which ends the
		 * need for it */
		copy_message(p, e->h.id.serial);
		return;
	}
	struct iovec iov[2] = {{0}, piece(meta)};
	write_record(p, &h, iov, 2);
}

static void copy_done(struct pass *p, const struct sidecar_entry *e)
{
	struct record_header h = e->h;
	struct iovec iov[1];

	write_record(p, &h, iov, 1);
}

/* Messages first: folding them makes many of the other records unnecessary. */
static void copy_from(struct pass *p, struct store_segment *from, bool messages)
{
	struct arena *a = arena_new(0);
	struct sidecar side;
	struct sidecar_entry e;

	sidecar_get(p->s, from, a, &side);
	while (!p->error && side.entries.len &&
	       sidecar_entry_decode(&side.entries, from->mark, from->number, &e)) {
		if ((e.h.type == RECORD_MESSAGE) != messages)
			continue;
		store_table_lock(p->s);
		bool needed = table_needs(p->s, &e.h, from->number, e.offset);
		store_table_unlock(p->s);
		if (!needed)
			continue;
		if (messages)
			copy_message(p, e.h.id.serial);
		else if (e.h.type == RECORD_DONE)
			copy_done(p, &e);
		else
			copy_change(p, from, &e);
		arena_reset(p->scratch);
	}
	arena_free(&a);
}

static void sync_moves(struct pass *p)
{
	struct store *s = p->s;

	if (p->error || !p->n_moves)
		return;
	p->error = s->io->fdatasync(s->io->ctx, p->out->fd);
	if (p->error)
		return;
	store_table_lock(s);
	p->out->size = p->out->synced = p->at;
	for (size_t i = 0; i < p->n_moves; i++)
		if (table_find(s, p->moves[i].h.id.serial))
			table_record(s, &p->moves[i].h, p->out, p->moves[i].offset);
	s->stats.syncs++;
	store_table_unlock(s);
	p->n_moves = 0;
}

/* What was copied but not synced must not be believed, yet may come back: its messages' DONE
 * records stay until it is gone. */
static void seal(struct pass *p)
{
	struct store *s = p->s;

	store_table_lock(s);
	for (size_t i = 0; i < p->n_moves; i++)
		if (p->moves[i].h.type == RECORD_MESSAGE)
			table_copy_only(s, p->moves[i].h.id, p->out);
	p->out->size = p->out->synced;
	p->out->voided = p->error != 0;
	p->out->state = SEGMENT_SEALED;
	p->out->sealed_us = clock_mono_us();
	s->stats.compacted += p->error ? 0 : p->n_sources;
	store_table_unlock(s);
}

static bool compact(struct store *s)
{
	struct pass p = {.s = s};
	uint32_t generation = 0;

	if (!choose(s, &p))
		return false;
	for (size_t i = 0; i < p.n_sources; i++)
		if (generation < p.sources[i]->generation)
			generation = p.sources[i]->generation;
	generation = generation + 1 < GENERATIONS ? generation + 1 : GENERATIONS - 1;
	if (segment_create(s, SEGMENT_OUTPUT, generation, NULL, &p.out)) {
		rest(s);
		return false;
	}
	p.at = p.out->size;
	p.scratch = arena_new(0);
	for (size_t i = 0; i < p.n_sources; i++)
		copy_from(&p, p.sources[i], true);
	sync_moves(&p);
	for (size_t i = 0; i < p.n_sources && !p.error; i++)
		copy_from(&p, p.sources[i], false);
	sync_moves(&p);
	seal(&p);
	arena_free(&p.scratch);
	free(p.moves);
	if (p.error) {
		char name[NAME_MAX_BYTES];

		segment_name(p.out->number, "seg", name);
		store_event(s, STORE_EVENT_FAILED, name, (struct queue_id){0, 0}, -p.error,
		    "a compaction could not be written");
		rest(s);
	}
	return p.error == 0;
}

bool store_compact_step(struct store *s)
{
	if (!store_is_recovered(s) || store_is_stopped(s))
		return false;
	store_table_lock(s);
	bool resting = s->house_after_us > clock_mono_us();
	store_table_unlock(s);
	if (resting)
		return false;
	return drop_bodies(s) || make_sidecar(s) || unlink_dead(s) || compact(s);
}

void *house_thread(void *store)
{
	struct store *s = store;

	thread_name("queue-house");
	for (;;) {
		store_table_lock(s);
		bool stop = s->house_stop;
		store_table_unlock(s);
		if (stop)
			return NULL;
		if (store_compact_step(s))
			continue;
		store_table_lock(s);
		if (!s->house_stop)
			(void)store_table_wait(s, &s->house_cv, clock_mono_us() + LOOK_EVERY_US);
		store_table_unlock(s);
	}
}
