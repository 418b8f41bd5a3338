/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/store: opening and closing, ids, and handing records to the committer.  An op lives in its
 * caller's arena and points at the caller's bytes: nothing of a body is copied, and its CRC is made
 * once, here, by the caller's thread.
 */
#include "queue/store_private.h"

#include "base/codec.h"
#include "thread/gate.h"
#include "thread/start.h"

#include <errno.h>
#include <stdlib.h>

/* ---- life ---- */
static void note_number(void *arg, const char *name)
{
	uint32_t *highest = arg;
	uint64_t n = 0;
	size_t i = 0;

	for (; ascii_isdigit(name[i]) && i < 10; i++)
		n = n * 10 + (uint64_t)(name[i] - '0');
	if (i == 10 && name[i] == '.' && n < UINT32_MAX && n > *highest)
		*highest = (uint32_t)n;
}

static int prepare_dir(struct store *s)
{
	uint32_t highest = 0;
	int e = s->io->make_dir(s->io->ctx, BODY_DIR);

	if (e && e != -EEXIST)
		return e;
	e = s->io->list(s->io->ctx, "", note_number, &highest);
	if (e)
		return e;
	store_queue_lock(s);
	s->next_number = s->first_number = highest ? highest + RUN_GAP : 1;
	store_queue_unlock(s);
	return commit_roll(s); /* syncs the directory */
}

static struct store *make_store(const struct storage_io *io, const struct store_options *o)
{
	struct store *s = calloc(1, sizeof *s);

	MUST(s);
	s->io = io;
	s->opt = *o;
	if (!s->opt.segment_bytes)
		s->opt.segment_bytes = UINT64_C(64) << 20;
	if (!s->opt.zero_bytes && !s->opt.manual)
		s->opt.zero_bytes = UINT64_C(256) << 10;
	if (!s->opt.body_threshold)
		s->opt.body_threshold = (size_t)256 << 10;
	if (!s->opt.compact_age_us)
		s->opt.compact_age_us = 60 * US_PER_SEC;
	mutex_init(&s->queue_lock, LOCK_store_queue);
	mutex_init(&s->table_lock, LOCK_store_table);
	condvar_init(&s->queue_cv);
	condvar_init(&s->house_cv);
	store_queue_lock(s);
	s->pending_tail = &s->pending;
	store_queue_unlock(s);
	return s;
}

static enum rc start_threads(struct store *s, struct error *err)
{
	int e = thread_start(&s->committer, 0, commit_thread, s);

	if (e)
		return error_errno(err, RC_ERROR, e, "start the committer");
	s->has_threads = true;
	e = thread_start(&s->housekeeper, 0, house_thread, s);
	if (e)
		return error_errno(err, RC_ERROR, e, "start the housekeeper");
	s->has_house = true;
	return RC_OK;
}

enum rc store_open(const struct storage_io *io, const struct store_options *options,
    struct store **out, struct error *err)
{
	struct store *s = make_store(io, options);
	int e = prepare_dir(s);
	enum rc rc = RC_OK;

	if (e)
		rc = error_errno(err, RC_ERROR, -e, "open the queue");
	else if (!s->opt.manual)
		rc = start_threads(s, err);
	if (rc != RC_OK) {
		store_close(&s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

static void stop_threads(struct store *s)
{
	store_queue_lock(s);
	s->closing = true;
	condvar_broadcast(&s->queue_cv);
	store_queue_unlock(s);
	store_table_lock(s);
	s->house_stop = true;
	condvar_broadcast(&s->house_cv);
	store_table_unlock(s);
	if (s->has_house)
		(void)pthread_join(s->housekeeper, NULL);
	if (s->has_threads) {
		(void)pthread_join(s->committer, NULL);
	} else {
		while (s->active && store_commit_step(s))
			;
	}
	if (s->active)
		commit_cut(s, s->active);
}

void store_close(struct store **store)
{
	struct store *s = *store;

	if (!s)
		return;
	stop_threads(s);
	store_table_lock(s);
	for (size_t i = 0; i < s->n_segments; i++)
		segment_free(s, &s->segments[i]);
	free(s->segments);
	s->segments = NULL;
	table_free(s);
	for (struct body_gone *b = s->bodies_gone, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	store_table_unlock(s);
	free(s->iov);
	condvar_fini(&s->queue_cv);
	condvar_fini(&s->house_cv);
	mutex_fini(&s->queue_lock);
	mutex_fini(&s->table_lock);
	free(s);
	*store = NULL;
}

bool store_is_stopped(const struct store *s)
{
	return atomic_load_explicit(&s->stopped, memory_order_relaxed);
}

bool store_is_recovered(const struct store *s)
{
	return atomic_load_explicit(&s->recovered, memory_order_acquire);
}

size_t store_body_threshold(const struct store *s)
{
	return s->opt.body_threshold;
}

void store_stats(struct store *s, struct store_stats *out)
{
	store_table_lock(s);
	*out = s->stats;
	out->segments = s->n_segments;
	out->bytes = 0;
	for (size_t i = 0; i < s->n_segments; i++)
		out->bytes += s->segments[i]->size;
	store_table_unlock(s);
}

enum rc store_space(struct store *s, uint64_t *out_bytes, uint64_t *out_inodes, struct error *err)
{
	struct storage_space space;
	int e = s->io->space(s->io->ctx, &space);

	if (e)
		return error_errno(err, RC_ERROR, -e, "look at the space for the queue");
	*out_bytes = space.free_bytes;
	*out_inodes = space.free_inodes;
	return RC_OK;
}

struct queue_id store_next_id(struct store *s)
{
	int64_t now = s->opt.now_us ? s->opt.now_us(s->opt.now_ctx) : clock_wall_us();
	uint64_t seconds = now > 0 ? (uint64_t)(now / US_PER_SEC) : 0;

	store_queue_lock(s);
	/* a clock that was set back must not make younger ids sort before older ones */
	if (s->id_seconds < seconds)
		s->id_seconds = seconds;
	struct queue_id id = {s->next_serial++, s->id_seconds};
	if (id.serial % IDS_PER_SEGMENT == IDS_PER_SEGMENT / 4 * 3) {
		s->roll_wanted = true;
		condvar_signal(&s->queue_cv);
	}
	store_queue_unlock(s);
	return id;
}

/* ---- ops ---- */
static struct store_op *make_op(struct arena *a, size_t n_records, store_done_fn *fn, void *arg)
{
	struct store_op *op =
	    arena_alloc(a, sizeof *op + arena_times(n_records, sizeof(struct store_record)));

	op->n_records = n_records;
	op->fn = fn;
	op->arg = arg;
	return op;
}

/* lead not NULL: the caller would write it himself, and must (commit_lead) when *lead is set. */
static enum rc hand_in(struct store *s, struct store_op *op, bool *lead, struct error *err)
{
	store_queue_lock(s);
	if (s->closing || store_is_stopped(s)) {
		bool closing = s->closing;

		store_queue_unlock(s);
		return error_set(err, RC_DEFER,
		    closing ? "the queue is being closed"
		            : "the queue has stopped after failed writes");
	}
	for (size_t i = 0; i < op->n_records; i++)
		op->records[i].h.sequence = ++s->next_sequence;
	*s->pending_tail = op;
	s->pending_tail = &op->next;
	if (lead && !s->writing && !s->opt.manual)
		s->writing = *lead = true;
	else if (!s->writing) /* who writes looks again when he is done */
		condvar_signal(&s->queue_cv);
	store_queue_unlock(s);
	return RC_OK;
}

/* What hand_in said is done here by the caller's thread, if that may block now. */
static void lead(struct store *s, struct worker *w)
{
	if (pool_blocking_begin(w, POOL_FOR_DISK, 0, NULL) != RC_OK) {
		commit_release(s, false);
		return;
	}
	commit_lead(s);
	pool_blocking_end(w);
}

static enum rc check_queued(struct store *s, struct queue_id id, struct error *err)
{
	char text[QUEUE_ID_LEN + 1];

	store_table_lock(s);
	const struct live *e = table_find(s, id.serial);
	bool queued = e && e->state == LIVE_QUEUED && e->id.seconds == id.seconds;
	store_table_unlock(s);
	if (queued)
		return RC_OK;
	queue_id_text(id, text);
	if (!store_is_recovered(s) && id.serial / IDS_PER_SEGMENT < s->first_number)
		return error_set(err, RC_DEFER, "%s: the queue is still being read", text);
	return error_set(err, RC_FAIL, "%s: no such message", text);
}

static enum rc fill_message(struct store *s, struct arena *a, const struct queue_message *m,
    struct store_op *op, struct error *err)
{
	struct store_record *r = &op->records[0];
	struct queue_message copy = *m;
	uint64_t body = 0, headers = 0;

	for (size_t i = 0; i < m->n_body; i++)
		body += m->body[i].iov_len;
	for (size_t i = 0; i < m->n_headers; i++)
		headers += m->headers[i].len;
	op->body_file = m->flags & QUEUE_MSG_BODY_FILE;
	if (body > s->opt.body_threshold || (op->body_file && body))
		return error_set(err, RC_ERROR, "a body of %llu bytes needs a file of its own",
		    (unsigned long long)body);
	if (!op->body_file)
		copy.body_size = body;
	enum rc rc = record_message_encode(a, &copy, &r->meta, err);
	if (rc != RC_OK)
		return rc;
	r->facts = m->facts;
	r->headers = m->headers;
	r->n_headers = m->n_headers;
	r->body = m->body;
	r->n_body = m->n_body;
	r->h.type = RECORD_MESSAGE;
	r->h.flags = op->body_file ? RECORD_BODY_FILE : 0;
	r->h.id = m->id;
	r->h.meta_len = (uint32_t)(r->meta.len + m->facts.len + headers);
	r->h.body_len = (uint32_t)body;
	uint32_t crc = crc32c(0, r->meta.ptr, r->meta.len);
	crc = crc32c(crc, m->facts.ptr, m->facts.len);
	for (size_t i = 0; i < m->n_headers; i++)
		crc = crc32c(crc, m->headers[i].ptr, m->headers[i].len);
	r->h.meta_crc = crc;
	crc = 0;
	for (size_t i = 0; i < m->n_body; i++)
		crc = crc32c(crc, m->body[i].iov_base, m->body[i].iov_len);
	r->h.body_crc = crc;
	return RC_OK;
}

static enum rc give_message(struct store *s, struct arena *a, const struct queue_message *m,
    store_done_fn *fn, void *arg, bool *lead, struct error *err)
{
	struct store_op *op = make_op(a, 1, fn, arg);
	enum rc rc = fill_message(s, a, m, op, err);

	return rc == RC_OK ? hand_in(s, op, lead, err) : rc;
}

enum rc store_append(struct store *s, struct arena *a, const struct queue_message *m,
    struct worker *w, store_done_fn *fn, void *arg, struct error *err)
{
	bool leading = false;
	enum rc rc = give_message(s, a, m, fn, arg, w ? &leading : NULL, err);

	if (leading)
		lead(s, w);
	return rc;
}

static void fill_small(
    struct store_record *r, enum record_type type, struct queue_id id, slice_t meta)
{
	r->meta = meta;
	r->h.type = (uint8_t)type;
	r->h.id = id;
	r->h.meta_len = meta.len;
	r->h.meta_crc = crc32c(0, meta.ptr, meta.len);
}

static enum rc give_progress(struct store *s, struct arena *a, const struct queue_progress *p,
    size_t n, store_done_fn *fn, void *arg, bool *lead, struct error *err)
{
	struct store_op *op = make_op(a, n, fn, arg);

	for (size_t i = 0; i < n; i++) {
		slice_t meta = {0};
		enum rc rc = check_queued(s, p[i].id, err);

		if (rc == RC_OK)
			rc = record_progress_encode(a, &p[i], &meta, err);
		if (rc != RC_OK)
			return rc;
		fill_small(&op->records[i], RECORD_PROGRESS, p[i].id, meta);
	}
	return hand_in(s, op, lead, err);
}

enum rc store_progress(struct store *s, struct arena *a, const struct queue_progress *p, size_t n,
    store_done_fn *fn, void *arg, struct error *err)
{
	return give_progress(s, a, p, n, fn, arg, NULL, err);
}

static enum rc give_edit(struct store *s, struct arena *a, struct queue_id id,
    const struct queue_edit *e, store_done_fn *fn, void *arg, bool *lead, struct error *err)
{
	struct store_op *op = make_op(a, 1, fn, arg);
	slice_t meta = {0};
	enum rc rc = check_queued(s, id, err);

	if (rc == RC_OK)
		rc = record_edit_encode(a, e, &meta, err);
	if (rc != RC_OK)
		return rc;
	fill_small(&op->records[0], RECORD_EDIT, id, meta);
	return hand_in(s, op, lead, err);
}

enum rc store_edit(struct store *s, struct arena *a, struct queue_id id, const struct queue_edit *e,
    store_done_fn *fn, void *arg, struct error *err)
{
	return give_edit(s, a, id, e, fn, arg, NULL, err);
}

static enum rc give_finish(struct store *s, struct arena *a, struct queue_id id, store_done_fn *fn,
    void *arg, bool *lead, struct error *err)
{
	struct store_op *op = make_op(a, 1, fn, arg);
	enum rc rc = check_queued(s, id, err);

	if (rc != RC_OK)
		return rc;
	fill_small(&op->records[0], RECORD_DONE, id, slice_tainted("", 0));
	return hand_in(s, op, lead, err);
}

enum rc store_finish(struct store *s, struct arena *a, struct queue_id id, store_done_fn *fn,
    void *arg, struct error *err)
{
	return give_finish(s, a, id, fn, arg, NULL, err);
}

/* ---- waiting ---- */
struct waiter {
	struct gate done; /* opened behind the last write of rc and why */
	bool lead;        /* the waiting thread's */
	enum rc rc;
	struct error why;
};

static void waiter_init(struct waiter *w)
{
	w->lead = false;
	gate_init(&w->done);
}

static void waiter_done(void *arg, enum rc rc, const struct error *why)
{
	struct waiter *w = arg;

	w->rc = rc;
	if (why)
		w->why = *why;
	gate_open(&w->done);
}

/* given: what the asynchronous call returned; its end is waited for if it began. */
static enum rc waiter_end(struct store *s, struct waiter *w, enum rc given, struct error *err)
{
	enum rc rc = given;

	if (w->lead)
		commit_lead(s);
	if (given == RC_OK) {
		while (s->opt.manual && store_commit_step(s))
			;
		(void)gate_wait(&w->done, DEADLINE_NEVER);
		rc = w->rc;
		if (rc != RC_OK && err)
			*err = w->why;
	}
	return rc;
}

enum rc store_append_wait(
    struct store *s, struct arena *a, const struct queue_message *m, struct error *err)
{
	struct waiter w;

	waiter_init(&w);
	return waiter_end(s, &w, give_message(s, a, m, waiter_done, &w, &w.lead, err), err);
}

enum rc store_progress_wait(
    struct store *s, struct arena *a, const struct queue_progress *p, size_t n, struct error *err)
{
	struct waiter w;

	waiter_init(&w);
	return waiter_end(s, &w, give_progress(s, a, p, n, waiter_done, &w, &w.lead, err), err);
}

enum rc store_edit_wait(struct store *s, struct arena *a, struct queue_id id,
    const struct queue_edit *e, struct error *err)
{
	struct waiter w;

	waiter_init(&w);
	return waiter_end(s, &w, give_edit(s, a, id, e, waiter_done, &w, &w.lead, err), err);
}

enum rc store_finish_wait(struct store *s, struct arena *a, struct queue_id id, struct error *err)
{
	struct waiter w;

	waiter_init(&w);
	return waiter_end(s, &w, give_finish(s, a, id, waiter_done, &w, &w.lead, err), err);
}
