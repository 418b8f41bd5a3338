/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The store by itself: what comes back, batches, faults of the disk, damage, threads. */
#include "lib/storage_shim.h"
#include "lib/tap.h"

#include "mail.inc"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct events {
	unsigned count[5];
	char aside[64];
};

static void on_event(void *ctx, const struct store_event *ev)
{
	struct events *e = ctx;

	e->count[ev->kind]++;
	if (ev->kind == STORE_EVENT_SET_ASIDE)
		(void)snprintf(e->aside, sizeof e->aside, "%s", ev->name);
}

static struct store *open_at(
    const struct storage_io *io, uint64_t segment_bytes, struct events *events)
{
	struct store_options o = {.segment_bytes = segment_bytes,
	    .body_threshold = 20000,
	    .compact_age_us = -1,
	    .manual = true,
	    .event = events ? on_event : NULL,
	    .event_ctx = events};
	struct store *s = NULL;
	struct error err = {0};

	if (!CHECK_EQ_INT(store_open(io, &o, &s, &err), RC_OK))
		exit(1);
	return s;
}

struct list {
	struct queue_id ids[3000];
	size_t n;
	uint32_t flags;
	size_t n_notes;
};

static void add_found(void *ctx, const struct queue_message *m)
{
	struct list *l = ctx;

	l->ids[l->n++] = m->id;
	l->flags = m->flags;
	l->n_notes = m->n_notes;
}

static struct store *reopen(
    struct shim *disk, struct store **old, struct list *l, struct events *ev)
{
	struct error err = {0};

	store_close(old);
	struct store *s = open_at(shim_io(disk), 64 << 10, ev);
	l->n = 0;
	CHECK_EQ_INT(store_recover(s, add_found, l, &err), RC_OK);
	return s;
}

static void answer(void *arg, enum rc rc, const struct error *why)
{
	*(int *)arg = (int)rc;
	(void)why;
}

/* Queue number `n`; its id. */
static struct queue_id put(struct store *s, uint64_t n, int want)
{
	struct arena *a = arena_new(0);
	struct mail m;
	int rc = -1;

	mail_make(a, store_next_id(s), n, 60000, &m);
	CHECK_EQ_INT(mail_append(s, a, &m, answer, &rc), RC_OK);
	CHECK_EQ_INT(rc, -1); /* not before it is stable */
	while (store_commit_step(s))
		;
	CHECK_EQ_INT(rc, want);
	arena_free(&a);
	return m.m.id;
}

static bool whole(struct store *s, struct queue_id id, uint64_t n)
{
	struct arena *a = arena_new(0);
	const char *why = NULL;
	struct mail m;

	mail_make(a, id, n, 60000, &m);
	bool good = mail_is_whole(s, a, &m, &why);
	arena_free(&a);
	return good;
}

static enum rc finish(struct store *s, struct queue_id id)
{
	struct arena *a = arena_new(0);
	struct error err;
	enum rc rc = store_finish_wait(s, a, id, &err);

	arena_free(&a);
	return rc;
}

static struct list *list_new(void)
{
	struct list *l = calloc(1, sizeof *l);

	MUST(l);
	return l;
}

TEST(accept_restart_finish_restart)
{
	struct shim *disk = shim_new();
	struct store *s = open_at(shim_io(disk), 64 << 10, NULL);
	struct queue_id ids[40];
	struct error err = {0};
	struct list *l = list_new();

	CHECK_EQ_INT(store_recover(s, NULL, NULL, &err), RC_OK);
	for (uint64_t i = 0; i < 40; i++)
		ids[i] = put(s, i, RC_OK);
	for (uint64_t i = 0; i < 40; i++)
		CHECK(whole(s, ids[i], i));
	s = reopen(disk, &s, l, NULL);
	CHECK_EQ_INT(l->n, 40);
	for (uint64_t i = 0; i < 40; i++)
		CHECK(whole(s, ids[i], i));
	for (uint64_t i = 0; i < 40; i += 2)
		CHECK_EQ_INT(finish(s, ids[i]), RC_OK);
	CHECK_EQ_INT(finish(s, ids[0]), RC_FAIL);
	s = reopen(disk, &s, l, NULL);
	CHECK_EQ_INT(l->n, 20);
	while (store_compact_step(s))
		;
	for (uint64_t i = 1; i < 40; i += 2)
		CHECK(whole(s, ids[i], i) && finish(s, ids[i]) == RC_OK);
	s = reopen(disk, &s, l, NULL);
	CHECK_EQ_INT(l->n, 0);
	while (store_compact_step(s))
		;
	struct store_stats st;
	store_stats(s, &st);
	CHECK_EQ_INT(st.segments, 1); /* the active one: everything else has gone */
	char name[64];
	CHECK(!shim_nth(disk, "Z", 0, name) && !shim_nth(disk, ".idx", 0, name));
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(ids_never_return)
{
	struct shim *disk = shim_new();
	struct store *s = NULL;
	struct list *l = list_new();
	uint64_t last = 0;

	for (int run = 0; run < 5; run++) {
		s = reopen(disk, &s, l, NULL);
		for (int i = 0; i < 3; i++) {
			struct queue_id id = store_next_id(s);

			CHECK(id.serial > last);
			last = id.serial;
		}
		while (store_compact_step(s))
			;
	}
	/* more ids than a segment has, without a message: a new segment is begun */
	for (uint64_t i = 0; i < 238328 * 2; i++) {
		struct queue_id id = store_next_id(s);

		if (id.serial <= last)
			(void)CHECK(false); /* ids grow */
		last = id.serial;
		if (i == 200000)
			CHECK(store_commit_step(s));
	}
	s = reopen(disk, &s, l, NULL);
	CHECK(store_next_id(s).serial > last);
	store_close(&s);
	shim_free(&disk);
	free(l);
}

static int64_t stepping_clock(void *ctx)
{
	int64_t *now = ctx;

	return *now -= 10 * US_PER_SEC;
}

TEST(a_clock_that_is_set_back)
{
	struct shim *disk = shim_new();
	int64_t now = 1764020000 * US_PER_SEC;
	struct store_options o = {.manual = true, .now_us = stepping_clock, .now_ctx = &now};
	struct store *s;
	struct error err;

	CHECK_EQ_INT(store_open(shim_io(disk), &o, &s, &err), RC_OK);
	struct queue_id a = store_next_id(s), b = store_next_id(s);
	CHECK(b.serial > a.serial && b.seconds >= a.seconds);
	store_close(&s);
	shim_free(&disk);
}

TEST(one_sync_for_a_batch)
{
	struct shim *disk = shim_new();
	struct store *s = open_at(shim_io(disk), 4 << 20, NULL);
	struct arena *a = arena_new(0);
	int rc[64];

	unsigned before = shim_calls(disk, SHIM_FDATASYNC);
	for (int i = 0; i < 64; i++) {
		struct mail *m = ARENA_NEW(a, struct mail);

		mail_make(a, store_next_id(s), (uint64_t)i, 10000, m);
		rc[i] = -1;
		CHECK_EQ_INT(mail_append(s, a, m, answer, &rc[i]), RC_OK);
	}
	CHECK_EQ_INT(shim_calls(disk, SHIM_FDATASYNC), before);
	CHECK(store_commit_step(s));
	CHECK_EQ_INT(shim_calls(disk, SHIM_FDATASYNC), before + 1);
	for (int i = 0; i < 64; i++)
		CHECK_EQ_INT(rc[i], RC_OK);
	store_close(&s);
	arena_free(&a);
	shim_free(&disk);
}

/* Zeros are written behind small batches, and are nothing: not to a restart after a power cut, not
 * to the sealed segment, not when the disk is full. */
TEST(zeros_ahead)
{
	struct store_options o = {.segment_bytes = 64 << 10,
	    .body_threshold = 20000,
	    .compact_age_us = -1,
	    .zero_bytes = 32 << 10,
	    .manual = true};
	struct shim *disk = shim_new(), *after;
	struct events ev = {{0}, ""};
	struct list *l = list_new();
	struct store *s = NULL;
	struct error err = {0};
	struct arena *a = arena_new(0);
	char name[64];
	unsigned syncs = 0;

	CHECK_EQ_INT(store_open(shim_io(disk), &o, &s, &err), RC_OK);
	for (int i = 0; i < 10; i++) {
		struct queue_message m = {.id = store_next_id(s)};
		int rc = -1;

		syncs = shim_calls(disk, SHIM_FDATASYNC);
		CHECK_EQ_INT(store_append(s, a, &m, NULL, answer, &rc, &err), RC_OK);
		CHECK(store_commit_step(s));
		CHECK_EQ_INT(rc, RC_OK);
	}
	CHECK_EQ_INT(shim_calls(disk, SHIM_FDATASYNC), syncs + 1); /* once for many */
	CHECK(shim_nth(disk, ".seg", 0, name));
	CHECK(shim_size(disk, name) > 32 << 10);
	after = shim_crash(disk, SHIM_FORGET, 1);
	store_close(&s);
	CHECK(shim_size(disk, name) < 8 << 10);
	shim_free(&disk);

	s = reopen(after, &s, l, &ev);
	CHECK_EQ_INT(l->n, 10);
	CHECK_EQ_INT(ev.count[STORE_EVENT_DAMAGED], 0);
	store_close(&s);

	/* no room for them is no failure, and a sync of them that fails ends the segment */
	for (int i = 0; i < 4; i++) {
		struct queue_message m = {0};
		int rc = -1;

		CHECK_EQ_INT(store_open(shim_io(after), &o, &s, &err), RC_OK);
		shim_capacity(after, i == 0 ? 50000 : 0); /* the crash left its zeros */
		if (i == 1)
			shim_fail(after, SHIM_FDATASYNC, 2, 1, EIO);
		m.id = store_next_id(s);
		CHECK_EQ_INT(store_append(s, a, &m, NULL, answer, &rc, &err), RC_OK);
		CHECK(store_commit_step(s));
		CHECK_EQ_INT(rc, RC_OK);
		m.id = store_next_id(s);
		CHECK_EQ_INT(store_append_wait(s, a, &m, &err), RC_OK);
		CHECK(!store_is_stopped(s));
		store_close(&s);
	}
	struct shim *last = shim_crash(after, SHIM_FORGET, 2);
	s = reopen(last, &s, l, &ev);
	CHECK_EQ_INT(l->n, 18);
	store_close(&s);
	arena_free(&a);
	shim_free(&last);
	shim_free(&after);
	free(l);
}

TEST(a_failed_sync)
{
	struct shim *disk = shim_new();
	struct events ev = {{0}, ""};
	struct list *l = list_new();
	struct store *s = NULL;

	s = reopen(disk, &s, l, &ev);
	struct queue_id good = put(s, 1, RC_OK);
	shim_fail(disk, SHIM_FDATASYNC, 1, 1, EIO);
	unsigned before = shim_calls(disk, SHIM_FDATASYNC);
	struct queue_id bad = put(s, 24, RC_DEFER);
	/* the sync was not tried again: the second is the new segment's */
	CHECK_EQ_INT(shim_calls(disk, SHIM_FDATASYNC), before + 2);
	CHECK_EQ_INT(ev.count[STORE_EVENT_FAILED], 1);
	CHECK(!store_is_stopped(s));
	struct queue_id after = put(s, 3, RC_OK);
	CHECK(!whole(s, bad, 24));
	/* although its bytes are all in the file, it does not come back, also not after
	 * housekeeping */
	for (int round = 0; round < 3; round++) {
		s = reopen(disk, &s, l, &ev);
		CHECK_EQ_INT(l->n, 2);
		CHECK(whole(s, good, 1) && whole(s, after, 3));
		while (round && store_compact_step(s))
			;
	}
	CHECK_EQ_INT(ev.count[STORE_EVENT_DAMAGED], 0);
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(two_failed_syncs_stop_it)
{
	struct shim *disk = shim_new();
	struct events ev = {{0}, ""};
	struct list *l = list_new();
	struct store *s = NULL;
	struct arena *a = arena_new(0);
	struct error err;

	s = reopen(disk, &s, l, &ev);
	struct queue_id good = put(s, 1, RC_OK);
	shim_fail(disk, SHIM_FDATASYNC, 1, 2, EIO);
	(void)put(s, 2, RC_DEFER);
	CHECK(store_is_stopped(s));
	CHECK_EQ_INT(ev.count[STORE_EVENT_STOPPED], 1);
	CHECK_EQ_INT(finish(s, good), RC_DEFER);
	struct queue_message m = {.id = store_next_id(s)};
	CHECK_EQ_INT(store_append_wait(s, a, &m, &err), RC_DEFER);
	CHECK(!store_compact_step(s));
	s = reopen(disk, &s, l, &ev);
	CHECK(whole(s, good, 1));
	arena_free(&a);
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(a_full_disk)
{
	struct shim *disk = shim_new();
	struct events ev = {{0}, ""};
	struct list *l = list_new();
	struct store *s = NULL;
	struct queue_id ids[100];
	size_t n = 0, refused = 0;
	uint64_t bytes, inodes;
	struct error err;

	s = reopen(disk, &s, l, &ev);
	shim_capacity(disk, 40000);
	struct arena *a = arena_new(0);
	for (uint64_t i = 0; i < 100; i++) {
		struct mail m;
		int rc = -1;

		mail_make(a, store_next_id(s), i, 8000, &m);
		CHECK_EQ_INT(mail_append(s, a, &m, answer, &rc), RC_OK);
		CHECK(store_commit_step(s));
		if (rc == RC_OK)
			ids[n++] = m.m.id;
		else
			refused++;
	}
	CHECK(n > 3 && refused > 3);
	CHECK(!store_is_stopped(s)); /* a smaller one may still fit */
	CHECK_EQ_INT(store_space(s, &bytes, &inodes, &err), RC_OK);
	CHECK(bytes < 8000);
	shim_capacity(disk, 0);
	ids[n++] = put(s, 4, RC_OK);
	s = reopen(disk, &s, l, &ev);
	CHECK_EQ_INT(l->n, n);
	for (size_t i = 0; i < n && i < l->n; i++)
		CHECK(l->ids[i].serial == ids[i].serial);
	CHECK_EQ_INT(ev.count[STORE_EVENT_DAMAGED], 0);
	arena_free(&a);
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(short_writes)
{
	struct shim *disk = shim_new();
	struct list *l = list_new();
	struct store *s = NULL;
	struct queue_id ids[20];

	s = reopen(disk, &s, l, NULL);
	shim_short_writes(disk, 700);
	for (uint64_t i = 0; i < 20; i++)
		ids[i] = put(s, i, RC_OK);
	s = reopen(disk, &s, l, NULL);
	for (uint64_t i = 0; i < 20; i++)
		CHECK(whole(s, ids[i], i));
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(a_compaction_that_cannot_write)
{
	for (unsigned nth = 1; nth < 12; nth++) {
		struct shim *disk = shim_new();
		struct list *l = list_new();
		struct store *s = NULL;
		struct queue_id ids[30];

		s = reopen(disk, &s, l, NULL);
		for (uint64_t i = 0; i < 30; i++)
			ids[i] = put(s, i, RC_OK);
		for (uint64_t i = 0; i < 30; i++)
			if (i % 5)
				CHECK_EQ_INT(finish(s, ids[i]), RC_OK);
		shim_fail(disk, nth % 2 ? SHIM_PWRITEV : SHIM_FDATASYNC, nth / 2 + 1, 1,
		    nth % 2 ? ENOSPC : EIO);
		for (int i = 0; i < 40; i++)
			(void)store_compact_step(s);
		for (uint64_t i = 0; i < 30; i += 5)
			CHECK(whole(s, ids[i], i));
		shim_fail(disk, nth % 2 ? SHIM_PWRITEV : SHIM_FDATASYNC, 1, 0, 0);
		CHECK_EQ_INT(finish(s, ids[0]), RC_OK);
		struct shim *after = shim_crash(disk, SHIM_TEAR, nth);
		store_close(&s);
		s = reopen(after, &s, l, NULL);
		CHECK_EQ_INT(l->n, 5);
		for (uint64_t i = 5; i < 30; i += 5)
			CHECK(whole(s, ids[i], i));
		store_close(&s);
		shim_free(&after);
		shim_free(&disk);
		free(l);
	}
}

/* Damage at any place of any file: what is whole comes back and is kept, the rest is set aside and
 * named. */
static void damage(const char *suffix, size_t nth, uint64_t at, size_t bytes, bool drop_sidecars)
{
	struct shim *disk = shim_new();
	struct events ev = {{0}, ""};
	struct list *l = list_new();
	struct store *s = NULL;
	struct queue_id ids[40];
	char name[64];

	s = reopen(disk, &s, l, NULL);
	for (uint64_t i = 0; i < 40; i++)
		ids[i] = put(s, i, RC_OK);
	while (store_compact_step(s))
		;
	if (!CHECK(shim_nth(disk, suffix, nth, name)))
		return;
	shim_damage(disk, name, at, bytes);
	for (char idx[64]; drop_sidecars && shim_nth(disk, ".idx", 0, idx);)
		(void)shim_io(disk)->unlink(disk, idx);
	s = reopen(disk, &s, l, &ev);
	size_t good = 0, lost = 0;
	for (uint64_t i = 0; i < 40; i++) {
		if (whole(s, ids[i], i))
			good++;
		else
			lost++;
	}
	while (store_compact_step(s))
		;
	bool segment = strcmp(suffix, ".seg") == 0;
	CHECK(lost <= (segment ? 3u + 40u * (at < SEGMENT_HEADER_BYTES && bytes > 600) : 0u));
	CHECK(!segment || at < SEGMENT_HEADER_BYTES || lost > 0);
	CHECK_EQ_INT(ev.count[STORE_EVENT_SET_ASIDE], lost > 0);
	if (lost)
		CHECK(shim_exists(disk, ev.aside) && strstr(ev.aside, ".bad"));
	/* and it stays so */
	s = reopen(disk, &s, l, &ev);
	CHECK_EQ_INT(l->n, good);
	size_t again = 0;
	for (uint64_t i = 0; i < 40; i++)
		again += whole(s, ids[i], i);
	CHECK_EQ_INT(again, good);
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(damaged_sealed_segments)
{
	for (uint64_t at = 1100; at < 60000; at += 9973) {
		damage(".seg", 0, at, 300, true);
		damage(".seg", 1, at, 1, true);
	}
	damage(".seg", 1, 3, 60, true);   /* one copy of the header */
	damage(".seg", 1, 0, 1000, true); /* both */
}

TEST(damage_behind_a_good_sidecar)
{
	for (uint64_t at = 1100; at < 60000; at += 19973)
		damage(".seg", 0, at, 300, false);
}

TEST(damaged_sidecars)
{
	for (uint64_t at = 0; at < 2000; at += 331)
		damage(".idx", 0, at, 3, false);
}

TEST(damage_in_what_was_active)
{
	struct shim *disk = shim_new();
	struct events ev = {{0}, ""};
	struct list *l = list_new();
	struct store *s = NULL;
	struct queue_id ids[6];
	char name[64];

	s = reopen(disk, &s, l, NULL);
	for (uint64_t i = 0; i < 6; i++)
		ids[i] = put(s, 1000 + i, RC_OK);
	CHECK(shim_nth(disk, ".seg", 0, name));
	shim_damage(
	    disk, name, SEGMENT_HEADER_BYTES + 70, 10); /* the first message: not the last batch */
	s = reopen(disk, &s, l, &ev);
	CHECK_EQ_INT(l->n, 5);
	CHECK_EQ_INT(ev.count[STORE_EVENT_DAMAGED], 1);
	CHECK(!whole(s, ids[0], 1000) && whole(s, ids[1], 1001) && whole(s, ids[5], 1005));
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(a_body_that_looks_like_records)
{
	struct shim *disk = shim_new();
	struct list *l = list_new();
	struct store *s = NULL;
	struct arena *a = arena_new(0);
	struct error err;
	char name[64], *raw = arena_bytes(a, 4000);

	/* the bytes of another segment's DONE inside of a body, then damage before it */
	s = reopen(disk, &s, l, NULL);
	struct queue_id first = put(s, 1, RC_OK);
	CHECK(shim_nth(disk, ".seg", 0, name));
	struct record_header h = {
	    .sequence = UINT64_MAX, .id = first, .segment = 1, .type = RECORD_DONE};
	for (size_t i = 0; i + RECORD_HEADER_BYTES < 4000; i += RECORD_HEADER_BYTES)
		record_header_encode(&h, raw + i);
	struct iovec iov = {raw, 3900};
	struct queue_message m = {.id = store_next_id(s), .body = &iov, .n_body = 1};
	CHECK_EQ_INT(store_append_wait(s, a, &m, &err), RC_OK);
	(void)put(s, 3, RC_OK);
	shim_damage(disk, name, shim_size(disk, name) > 6000 ? SEGMENT_HEADER_BYTES + 2 : 0, 2);
	s = reopen(disk, &s, l, NULL);
	CHECK(l->n >= 2); /* only the damaged one is missing */
	arena_free(&a);
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(progress_and_edits_after_a_restart)
{
	struct shim *disk = shim_new();
	struct list *l = list_new();
	struct store *s = NULL;
	struct arena *a = arena_new(0);
	struct error err;
	struct queue_message m;

	s = reopen(disk, &s, l, NULL);
	struct queue_id id = put(s, 2, RC_OK);
	struct queue_outcome o = {0, QUEUE_RCPT_DELIVERED, 0, SL("")};
	struct queue_progress p = {id, &o, 1, 12345, SL("child")};
	struct queue_edit e = {.kind = QUEUE_EDIT_FREEZE, .when_us = 9};
	CHECK_EQ_INT(store_progress_wait(s, a, &p, 1, &err), RC_OK);
	CHECK_EQ_INT(store_edit_wait(s, a, id, &e, &err), RC_OK);
	for (int round = 0; round < 3; round++) {
		s = reopen(disk, &s, l, NULL);
		CHECK(l->n == 1 && l->flags & QUEUE_MSG_FROZEN && l->n_notes == 1);
		CHECK_EQ_INT(store_load(s, a, id, 0, &m, &err), RC_OK);
		CHECK(m.recipients[0].state == QUEUE_RCPT_DELIVERED && m.next_attempt_us == 12345);
		CHECK(m.frozen_us == 9 && m.n_headers == 0);
		CHECK_EQ_STR(m.notes[0], "child");
		while (store_compact_step(s))
			;
	}
	p.id.serial++;
	CHECK_EQ_INT(store_progress_wait(s, a, &p, 1, &err), RC_FAIL);
	arena_free(&a);
	store_close(&s);
	shim_free(&disk);
	free(l);
}

TEST(orphans_go)
{
	struct shim *disk = shim_new();
	struct list *l = list_new();
	struct store *s = NULL;
	struct store_body *b;
	struct error err;
	char text[QUEUE_ID_LEN + 1], name[64];

	s = reopen(disk, &s, l, NULL);
	struct queue_id id = store_next_id(s);
	CHECK_EQ_INT(store_body_begin(s, id, &b, &err), RC_OK);
	struct queue_message m = {.id = id};
	CHECK_EQ_INT(store_body_finish(&b, &m, &err), RC_OK);
	queue_id_text(id, text);
	(void)snprintf(name, sizeof name, "body/%s", text);
	CHECK(shim_exists(disk, name));
	s = reopen(disk, &s, l, NULL);
	CHECK(!shim_exists(disk, name));
	store_close(&s);
	shim_free(&disk);
	free(l);
}

/* ---- with threads, on a real directory ---- */
#define THREADS 8
#define EACH    60

struct sender {
	struct store *s;
	struct queue_id ids[EACH];
	uint64_t base;
};

static void *send_some(void *arg)
{
	struct sender *x = arg;
	struct arena *a = arena_new(0);
	struct error err;

	for (uint64_t i = 0; i < EACH; i++) {
		struct mail m;

		mail_make(a, store_next_id(x->s), x->base + i, 9000, &m);
		struct iovec iov = {(void *)(uintptr_t)m.body.ptr, m.body.len};
		m.m.body = &iov;
		m.m.n_body = 1;
		CHECK_EQ_INT(store_append_wait(x->s, a, &m.m, &err), RC_OK);
		x->ids[i] = m.m.id;
		struct queue_outcome o = {0, QUEUE_RCPT_PENDING, 10, SL("later")};
		struct queue_progress p = {m.m.id, &o, 1, 10, SL("")};
		CHECK_EQ_INT(store_progress_wait(x->s, a, &p, 1, &err), RC_OK);
		if (i % 4)
			CHECK_EQ_INT(store_finish_wait(x->s, a, m.m.id, &err), RC_OK);
		arena_reset(a);
	}
	arena_free(&a);
	return NULL;
}

TEST(many_threads_on_a_real_directory)
{
	static struct sender x[THREADS];
	struct storage_io *io;
	struct store_options o = {.segment_bytes = 32 << 10, .compact_age_us = -1};
	struct error err;
	struct store *s;
	pthread_t t[THREADS];
	struct list *l = list_new();
	char dir[4096];

	(void)snprintf(dir, sizeof dir, "%s/queue", tap_dir());
	CHECK_EQ_INT(storage_real_new(dir, &io, &err), RC_OK);
	CHECK_EQ_INT(store_open(io, &o, &s, &err), RC_OK);
	for (size_t i = 0; i < THREADS; i++) {
		x[i] = (struct sender){.s = s, .base = i * 1000};
		CHECK(pthread_create(&t[i], NULL, send_some, &x[i]) == 0);
	}
	CHECK_EQ_INT(store_recover(s, NULL, NULL, &err), RC_OK); /* while they send */
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(t[i], NULL);
	struct store_stats st;
	store_stats(s, &st);
	CHECK_EQ_INT(st.appended, THREADS * EACH);
	CHECK_EQ_INT(st.messages, THREADS * EACH / 4);
	store_close(&s);
	CHECK_EQ_INT(store_open(io, &o, &s, &err), RC_OK);
	CHECK_EQ_INT(store_recover(s, add_found, l, &err), RC_OK);
	CHECK_EQ_INT(l->n, THREADS * EACH / 4);
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < THREADS; i++)
		for (uint64_t k = 0; k < EACH; k += 4) {
			const char *why = "";
			struct mail m;

			mail_make(a, x[i].ids[k], x[i].base + k, 9000, &m);
			CHECK(mail_is_whole(s, a, &m, &why));
			arena_reset(a);
		}
	arena_free(&a);
	store_close(&s);
	storage_real_free(&io);
	CHECK(io == NULL);
	free(l);
}

TAP_MAIN()
