/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/table: where the records of each message lie, and so which records of a segment are needed.
 *
 * needed are: the newest MESSAGE record of a queued message, the changes after it, and a DONE
 * record as long as another segment still holds a MESSAGE record of that message: without it that
 * message would return.  A sealed segment that nothing needs is unlinked, and only when its name is
 * gone for good is it taken out of the lists of copies, which frees the DONE records that were kept
 * because of it. Everything here runs under lk_store_table and does no I/O.
 */
#include "queue/store_private.h"

#include <stdlib.h>

/* ---- the hash ---- */
static size_t bucket_of(uint64_t serial, size_t n_buckets)
{
	return (size_t)((serial * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (n_buckets - 1);
}

struct live *table_find(struct store *s, uint64_t serial)
{
	if (!s->n_buckets)
		return NULL;
	for (struct live *e = s->buckets[bucket_of(serial, s->n_buckets)]; e; e = e->next)
		if (e->id.serial == serial)
			return e;
	return NULL;
}

static void rehash(struct store *s) REQUIRES(lk_store_table);
static void rehash(struct store *s)
{
	size_t n = s->n_buckets ? s->n_buckets * 2 : 1024;
	struct live **buckets = calloc(n, sizeof *buckets);

	MUST(buckets);
	for (size_t i = 0; i < s->n_buckets; i++) {
		struct live *next;

		for (struct live *e = s->buckets[i]; e; e = next) {
			struct live **b = &buckets[bucket_of(e->id.serial, n)];

			next = e->next;
			e->next = *b;
			*b = e;
		}
	}
	free(s->buckets);
	s->buckets = buckets;
	s->n_buckets = n;
}

static struct live *find_or_add(struct store *s, struct queue_id id) REQUIRES(lk_store_table);
static struct live *find_or_add(struct store *s, struct queue_id id)
{
	struct live *e = table_find(s, id.serial);

	if (e)
		return e;
	if (s->n_entries >= s->n_buckets)
		rehash(s);
	e = calloc(1, sizeof *e);
	MUST(e);
	e->id = id;
	struct live **b = &s->buckets[bucket_of(id.serial, s->n_buckets)];
	e->next = *b;
	*b = e;
	s->n_entries++;
	return e;
}

static void free_extra(struct live *e)
{
	if (!e->extra)
		return;
	free(e->extra->changes);
	free(e->extra->copies);
	free(e->extra);
	e->extra = NULL;
}

static void remove_entry(struct store *s, struct live *gone) REQUIRES(lk_store_table);
static void remove_entry(struct store *s, struct live *gone)
{
	struct live **link = &s->buckets[bucket_of(gone->id.serial, s->n_buckets)];

	while (*link != gone)
		link = &(*link)->next;
	*link = gone->next;
	s->n_entries--;
	free_extra(gone);
	free(gone);
}

static struct live_extra *extra_of(struct live *e)
{
	if (!e->extra) {
		e->extra = calloc(1, sizeof *e->extra);
		MUST(e->extra);
	}
	return e->extra;
}

/* ---- counting what is needed ---- */
static void need(struct store *s, uint32_t segment, uint32_t size) REQUIRES(lk_store_table);
static void need(struct store *s, uint32_t segment, uint32_t size)
{
	struct store_segment *seg = segment_find(s, segment);

	MUST(seg);
	seg->needed++;
	seg->needed_bytes += size;
}

static void unneed(struct store *s, uint32_t segment, uint32_t size) REQUIRES(lk_store_table);
static void unneed(struct store *s, uint32_t segment, uint32_t size)
{
	struct store_segment *seg = segment_find(s, segment);

	MUST(seg && seg->needed && seg->needed_bytes >= size);
	seg->needed--;
	seg->needed_bytes -= size;
}

static bool has_copy(const struct live *e, uint32_t segment)
{
	for (uint32_t i = 0; e->extra && i < e->extra->n_copies; i++)
		if (e->extra->copies[i] == segment)
			return true;
	return false;
}

static void add_copy(struct live *e, uint32_t segment)
{
	struct live_extra *x = extra_of(e);
	size_t cap = x->cap_copies;

	if (has_copy(e, segment))
		return;
	x->copies = store_grow(x->copies, sizeof *x->copies, &cap, x->n_copies + 1);
	x->cap_copies = (uint32_t)cap;
	x->copies[x->n_copies++] = segment;
}

/* A DONE record is needed while a segment other than its own holds a MESSAGE record. */
static void judge_done(struct store *s, struct live *e) REQUIRES(lk_store_table);
static void judge_done(struct store *s, struct live *e)
{
	bool now = false;

	for (uint32_t i = 0; e->extra && i < e->extra->n_copies; i++)
		now |= e->extra->copies[i] != e->segment;
	if (now && !e->needed)
		need(s, e->segment, e->size);
	if (!now && e->needed)
		unneed(s, e->segment, e->size);
	e->needed = now;
}

/* Changes that the MESSAGE record contains already are no longer needed. */
static void drop_changes(struct store *s, struct live *e, uint64_t up_to) REQUIRES(lk_store_table);
static void drop_changes(struct store *s, struct live *e, uint64_t up_to)
{
	struct live_extra *x = e->extra;
	uint32_t kept = 0;

	if (!x)
		return;
	for (uint32_t i = 0; i < x->n_changes; i++) {
		if (x->changes[i].sequence <= up_to)
			unneed(s, x->changes[i].segment, x->changes[i].size);
		else
			x->changes[kept++] = x->changes[i];
	}
	x->n_changes = kept;
	if (!kept) {
		free(x->changes);
		x->changes = NULL;
		x->cap_changes = 0;
	}
}

/* ---- records ---- */
static void note_serial(struct store_segment *seg, uint64_t serial)
{
	seg->serials =
	    store_grow(seg->serials, sizeof *seg->serials, &seg->cap_serials, seg->n_serials + 1);
	seg->serials[seg->n_serials++] = serial;
}

static void add_message(struct store *s, const struct record_header *h, struct store_segment *seg,
    uint32_t offset) REQUIRES(lk_store_table);
static void add_message(
    struct store *s, const struct record_header *h, struct store_segment *seg, uint32_t offset)
{
	struct live *e = find_or_add(s, h->id);

	note_serial(seg, h->id.serial);
	if (e->state == LIVE_DONE) {
		add_copy(e, seg->number);
		judge_done(s, e);
		return;
	}
	if (e->state == LIVE_QUEUED) {
		/* the highest sequence wins; of equals, which say the same, the younger copy */
		if (h->sequence < e->sequence ||
		    (h->sequence == e->sequence && seg->number < e->segment)) {
			add_copy(e, seg->number);
			return;
		}
		unneed(s, e->segment, e->size);
		add_copy(e, e->segment);
	} else {
		s->stats.messages++;
	}
	e->state = LIVE_QUEUED;
	e->sequence = h->sequence;
	e->segment = seg->number;
	e->offset = offset;
	e->size = (uint32_t)record_size(h);
	e->body_file = h->flags & RECORD_BODY_FILE;
	need(s, e->segment, e->size);
	drop_changes(s, e, e->sequence);
}

static void add_change(struct store *s, const struct record_header *h, struct store_segment *seg,
    uint32_t offset) REQUIRES(lk_store_table);
static void add_change(
    struct store *s, const struct record_header *h, struct store_segment *seg, uint32_t offset)
{
	struct change c = {h->sequence, seg->number, offset, (uint32_t)record_size(h), h->type};
	struct live *e = find_or_add(s, h->id);

	if (e->state == LIVE_DONE || (e->state == LIVE_QUEUED && h->sequence <= e->sequence))
		return;
	struct live_extra *x = extra_of(e);
	uint32_t i = x->n_changes;
	while (i && x->changes[i - 1].sequence > c.sequence)
		i--;
	if (i && x->changes[i - 1].sequence == c.sequence) {
		/* the same record, copied by a compaction */
		unneed(s, x->changes[i - 1].segment, x->changes[i - 1].size);
		x->changes[i - 1] = c;
	} else {
		size_t cap = x->cap_changes;

		x->changes = store_grow(x->changes, sizeof c, &cap, x->n_changes + 1);
		x->cap_changes = (uint32_t)cap;
		memmove(&x->changes[i + 1], &x->changes[i], (x->n_changes - i) * sizeof c);
		x->changes[i] = c;
		x->n_changes++;
	}
	need(s, c.segment, c.size);
}

static void forget_body(struct store *s, const struct live *e) REQUIRES(lk_store_table);
static void forget_body(struct store *s, const struct live *e)
{
	struct body_gone *b = malloc(sizeof *b);

	MUST(b);
	*b = (struct body_gone){s->bodies_gone, e->id};
	s->bodies_gone = b;
	condvar_signal(&s->house_cv);
}

/* From QUEUED or UNKNOWN to nothing needed: all its MESSAGE records are in copies. */
static void release_all(struct store *s, struct live *e) REQUIRES(lk_store_table);
static void release_all(struct store *s, struct live *e)
{
	drop_changes(s, e, UINT64_MAX);
	if (e->state != LIVE_QUEUED)
		return;
	unneed(s, e->segment, e->size);
	add_copy(e, e->segment);
	s->stats.messages--;
	if (e->body_file)
		forget_body(s, e);
}

static void add_done(struct store *s, const struct record_header *h, struct store_segment *seg,
    uint32_t offset) REQUIRES(lk_store_table);
static void add_done(
    struct store *s, const struct record_header *h, struct store_segment *seg, uint32_t offset)
{
	struct live *e = find_or_add(s, h->id);

	if (e->state == LIVE_DONE) {
		/* a compaction's copy: the younger one is kept */
		if (e->segment >= seg->number)
			return;
		if (e->needed)
			unneed(s, e->segment, e->size);
		e->needed = false;
	} else {
		release_all(s, e);
	}
	e->state = LIVE_DONE;
	e->segment = seg->number;
	e->offset = offset;
	e->size = (uint32_t)record_size(h);
	judge_done(s, e);
}

void table_record(
    struct store *s, const struct record_header *h, struct store_segment *seg, uint32_t offset)
{
	if (h->type == RECORD_MESSAGE)
		add_message(s, h, seg, offset);
	else if (h->type == RECORD_DONE)
		add_done(s, h, seg, offset);
	else
		add_change(s, h, seg, offset);
}

void table_copy_only(struct store *s, struct queue_id id, struct store_segment *seg)
{
	struct live *e = table_find(s, id.serial);

	if (!e)
		return;
	note_serial(seg, id.serial);
	add_copy(e, seg->number);
	if (e->state == LIVE_DONE)
		judge_done(s, e);
}

static void forget_one(struct store *s, uint64_t serial, uint32_t segment) REQUIRES(lk_store_table);
static void forget_one(struct store *s, uint64_t serial, uint32_t segment)
{
	struct live *e = table_find(s, serial);

	if (!e || !e->extra)
		return;
	struct live_extra *x = e->extra;
	for (uint32_t i = 0; i < x->n_copies; i++)
		if (x->copies[i] == segment) {
			x->copies[i] = x->copies[--x->n_copies];
			break;
		}
	if (e->state != LIVE_DONE)
		return;
	judge_done(s, e);
	if (!x->n_copies)
		remove_entry(s, e);
}

bool table_forget_segment(struct store *s, struct store_segment *seg, size_t *pos)
{
	size_t end = seg->n_serials - *pos > 1024 ? *pos + 1024 : seg->n_serials;

	for (; *pos < end; ++*pos)
		forget_one(s, seg->serials[*pos], seg->number);
	return *pos < seg->n_serials;
}

void table_lose(struct store *s, uint64_t serial)
{
	struct live *e = table_find(s, serial);

	if (!e || e->state == LIVE_DONE)
		return;
	e->body_file = false; /* what is left of it stays for a person to look at */
	release_all(s, e);
	remove_entry(s, e);
}

bool table_needs(struct store *s, const struct record_header *h, uint32_t segment, uint32_t offset)
{
	const struct live *e = table_find(s, h->id.serial);

	if (!e)
		return false;
	if (h->type == RECORD_DONE)
		return e->state == LIVE_DONE && e->needed && e->segment == segment &&
		       e->offset == offset;
	if (e->state != LIVE_QUEUED)
		return false;
	if (h->type == RECORD_MESSAGE)
		return e->segment == segment && e->offset == offset;
	for (uint32_t i = 0; e->extra && i < e->extra->n_changes; i++)
		if (e->extra->changes[i].segment == segment &&
		    e->extra->changes[i].offset == offset)
			return true;
	return false;
}

void table_purge(struct store *s)
{
	for (size_t i = 0; i < s->n_buckets; i++) {
		struct live *next;

		for (struct live *e = s->buckets[i]; e; e = next) {
			next = e->next;
			if (e->state == LIVE_UNKNOWN ||
			    (e->state == LIVE_DONE && (!e->extra || !e->extra->n_copies))) {
				drop_changes(s, e, UINT64_MAX);
				remove_entry(s, e);
			}
		}
	}
}

void table_free(struct store *s)
{
	for (size_t i = 0; i < s->n_buckets; i++) {
		struct live *next;

		for (struct live *e = s->buckets[i]; e; e = next) {
			next = e->next;
			free_extra(e);
			free(e);
		}
	}
	free(s->buckets);
	s->buckets = NULL;
	s->n_buckets = s->n_entries = 0;
}
