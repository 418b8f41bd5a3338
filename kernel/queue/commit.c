/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/commit: the one that writes.  Takes everything that waits, writes it behind the active
 * segment, syncs once, tells everybody.  While it syncs the next batch gathers; nobody waits for a
 * batch to fill.
 *
 * There is one writer at a time, but it need not be the committer's thread: who hands in a record
 * while nobody writes may write it (two wakes less for a lone sender).  It writes one batch; what
 * has gathered meanwhile, new segments and zeros are the committer's.
 *
 * Zeros: a sync of bytes that were never written before has the file's length and its extents to
 * write as well, which doubles the time of a small batch.  So when batches are small and nobody
 * waits, the committer writes zeros behind the records and syncs them.  To recovery they are
 * bytes without a mark; they are cut off when the segment is sealed.
 *
 * When a sync fails the kernel may have dropped the pages and called them clean, so nothing that
 * lies behind the last good sync is believed any more and the sync is not repeated: a new segment
 * is opened whose header says where the old one ends.  If that cannot be made either, the store
 * stops. A full disk is milder: the file is cut back to the last good sync, the batch is refused,
 * the next one may fit again.
 */
#include "queue/store_private.h"

#include "thread/start.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH_BYTES (UINT64_C(64) << 20)
#define ZERO_BYTES  ((size_t)16 << 10) /* in one iovec */
#define ZERO_SHARE  16                 /* a batch is small that is no more than this part of them */

static uint64_t op_bytes(const struct store_op *op)
{
	uint64_t n = 0;

	for (size_t i = 0; i < op->n_records; i++)
		n += record_size(&op->records[i].h);
	return n;
}

static struct store_op *take_batch(struct store *s, bool *out_roll)
{
	struct store_op *first, *op;
	uint64_t bytes = 0;

	store_queue_lock(s);
	*out_roll = s->roll_wanted;
	s->roll_wanted = false;
	first = op = s->pending;
	while (op && (bytes += op_bytes(op)) < BATCH_BYTES && op->next)
		op = op->next;
	if (op) {
		s->pending = op->next;
		if (!s->pending)
			s->pending_tail = &s->pending;
		op->next = NULL;
	}
	store_queue_unlock(s);
	return first;
}

/* ---- writing ---- */
static void add_iov(struct store *s, const void *p, size_t n)
{
	if (!n)
		return;
	s->iov = store_grow(s->iov, sizeof *s->iov, &s->cap_iov, s->n_iov + 1);
	/* pwritev only reads; iovec has no const form */
	s->iov[s->n_iov++] = (struct iovec){(void *)(uintptr_t)p, n};
}

static void add_record(struct store *s, struct store_record *r, uint64_t *at)
{
	const struct store_segment *seg = s->active;

	r->h.mark = seg->mark;
	r->h.segment = seg->number;
	r->h.synced = (uint32_t)seg->synced;
	r->offset = (uint32_t)*at;
	record_header_encode(&r->h, r->raw);
	add_iov(s, r->raw, sizeof r->raw);
	add_iov(s, r->meta.ptr, r->meta.len);
	add_iov(s, r->facts.ptr, r->facts.len);
	for (size_t i = 0; i < r->n_headers; i++)
		add_iov(s, r->headers[i].ptr, r->headers[i].len);
	for (size_t i = 0; i < r->n_body; i++)
		add_iov(s, r->body[i].iov_base, r->body[i].iov_len);
	*at += record_size(&r->h);
}

int commit_roll(struct store *s)
{
	struct store_segment *old = s->active, *next;
	int e = segment_create(s, SEGMENT_ACTIVE, 0, old, &next);

	if (e)
		return e;
	if (old) {
		commit_cut(s, old);
		store_table_lock(s);
		old->state = SEGMENT_SEALED;
		old->sealed_us = clock_mono_us();
		condvar_signal(&s->house_cv);
		store_table_unlock(s);
	}
	store_queue_lock(s);
	if (s->next_serial < (uint64_t)next->number * IDS_PER_SEGMENT)
		s->next_serial = (uint64_t)next->number * IDS_PER_SEGMENT;
	if (s->next_sequence < (uint64_t)next->number << 32)
		s->next_sequence = (uint64_t)next->number << 32;
	store_queue_unlock(s);
	s->active = next;
	return 0;
}

static void failed(struct store *s, int e, const char *text)
{
	char name[NAME_MAX_BYTES];

	segment_name(s->active->number, "seg", name);
	store_event(s, STORE_EVENT_FAILED, name, (struct queue_id){0, 0}, -e, text);
}

/* The active segment is not to be trusted behind `synced`. */
static void abandon_tail(struct store *s)
{
	struct store_segment *old = s->active;
	int e = commit_roll(s);

	if (e) {
		char name[NAME_MAX_BYTES];

		atomic_store_explicit(&s->stopped, true, memory_order_relaxed);
		segment_name(old->number, "seg", name);
		store_event(s, STORE_EVENT_STOPPED, name, (struct queue_id){0, 0}, -e,
		    "no new segment could be made after a failed write: the queue has stopped");
		return;
	}
	store_table_lock(s);
	old->size = old->synced;
	old->voided = true;
	store_table_unlock(s);
}

static bool is_full(int e)
{
	return e == -ENOSPC || e == -EDQUOT;
}

static int sync_bodies(struct store *s, const struct store_op *ops)
{
	for (const struct store_op *op = ops; op; op = op->next)
		if (op->body_file)
			return s->io->sync_dir(s->io->ctx, BODY_DIR);
	return 0;
}

/* 0: all of it is stable. */
static int write_batch(struct store *s, struct store_op *ops, uint64_t *out_end)
{
	struct store_segment *seg = s->active;
	uint64_t at = seg->size;
	int e = sync_bodies(s, ops);

	if (e) {
		failed(s, e, "the directory of large bodies could not be synced");
		return e;
	}
	s->n_iov = 0;
	for (struct store_op *op = ops; op; op = op->next)
		for (size_t i = 0; i < op->n_records; i++)
			add_record(s, &op->records[i], &at);
	e = segment_writev(s, seg->fd, s->iov, s->n_iov, seg->size);
	if (e) {
		failed(s, e, "a batch could not be written");
		/* no trace of the refused records may be left where later ones will end */
		if (!is_full(e) || s->io->truncate(s->io->ctx, seg->fd, seg->synced) != 0 ||
		    s->io->fdatasync(s->io->ctx, seg->fd) != 0)
			abandon_tail(s);
		else
			seg->zeroed = 0;
		return e;
	}
	e = s->io->fdatasync(s->io->ctx, seg->fd);
	if (e) {
		failed(s, e, "a batch could not be synced");
		abandon_tail(s);
		return e;
	}
	s->last_batch = at - seg->size;
	*out_end = at;
	return 0;
}

/* ---- zeros ahead ---- */
void commit_cut(struct store *s, struct store_segment *seg)
{
	if (seg->zeroed > seg->size)
		(void)s->io->truncate(s->io->ctx, seg->fd, seg->size); /* it may stay, too */
	seg->zeroed = 0;
}

/* Where they would end; 0: none are wanted. */
static uint64_t zeros_due(const struct store *s)
{
	const struct store_segment *seg = s->active;
	uint64_t n = s->opt.zero_bytes;

	if (store_is_stopped(s) || seg->zero_off || !s->last_batch ||
	    s->last_batch > n / ZERO_SHARE || seg->zeroed > seg->size + 2 * s->last_batch ||
	    seg->size + n > s->opt.segment_bytes)
		return 0;
	return seg->size + n;
}

static int write_zeros(struct store *s, uint64_t at, uint64_t end)
{
	static const uint8_t zeros[ZERO_BYTES];
	int e = 0;

	while (!e && at < end) {
		size_t n = end - at < ZERO_BYTES ? (size_t)(end - at) : ZERO_BYTES;
		/* pwritev only reads; iovec has no const form */
		struct iovec iov = {(void *)(uintptr_t)zeros, n};

		e = segment_writev(s, s->active->fd, &iov, 1, at);
		at += n;
	}
	return e;
}

static void zero_ahead(struct store *s)
{
	struct store_segment *seg = s->active;
	uint64_t end = zeros_due(s);

	if (!end)
		return;
	int e = write_zeros(s, seg->zeroed > seg->size ? seg->zeroed : seg->size, end);
	if (e) {
		seg->zero_off = true; /* the disk is full, or worse: the next batch will tell */
		seg->zeroed = end;
		commit_cut(s, seg);
		return;
	}
	e = s->io->fdatasync(s->io->ctx, seg->fd);
	if (e) {
		failed(s, e, "the room ahead of the records could not be synced");
		abandon_tail(s);
		return;
	}
	seg->zeroed = end;
}

/* ---- telling ---- */
static void take_into_table(struct store *s, struct store_op *ops, uint64_t end)
{
	struct store_segment *seg = s->active;

	store_table_lock(s);
	for (struct store_op *op = ops; op; op = op->next)
		for (size_t i = 0; i < op->n_records; i++) {
			const struct record_header *h = &op->records[i].h;

			s->stats.records++;
			s->stats.appended += h->type == RECORD_MESSAGE;
			/* what became of a message that was lost meanwhile is of no interest */
			if (h->type == RECORD_MESSAGE || table_find(s, h->id.serial))
				table_record(s, h, seg, op->records[i].offset);
		}
	s->stats.batches++;
	s->stats.syncs++;
	seg->size = seg->synced = end;
	store_table_unlock(s);
}

static void tell(struct store_op *ops, enum rc rc, const struct error *why)
{
	struct store_op *next;

	for (; ops; ops = next) {
		next = ops->next;
		ops->fn(ops->arg, rc, why); /* the memory of ops may be gone now */
	}
}

static bool roll_is_due(const struct store *s)
{
	return !store_is_stopped(s) && s->active->size >= s->opt.segment_bytes;
}

static void roll(struct store *s)
{
	int e = store_is_stopped(s) ? 0 : commit_roll(s);

	if (e)
		failed(s, e, "no new segment could be made; the old one goes on");
}

static void one_batch(struct store *s, struct store_op *ops)
{
	uint64_t end;
	struct error err;

	if (store_is_stopped(s)) {
		(void)error_set(&err, RC_DEFER, "the queue has stopped after failed writes");
		tell(ops, RC_DEFER, &err);
	} else if (s->active->size > SEGMENT_HARD_BYTES) {
		(void)error_set(&err, RC_DEFER, "the queue's segment is full");
		tell(ops, RC_DEFER, &err);
	} else {
		int e = write_batch(s, ops, &end);

		if (e) {
			store_table_lock(s);
			s->stats.failed_batches++;
			store_table_unlock(s);
			(void)error_errno(&err, RC_DEFER, -e, "write the queue");
			tell(ops, RC_DEFER, &err);
		} else {
			take_into_table(s, ops, end);
			tell(ops, RC_OK, NULL);
		}
	}
}

bool store_commit_step(struct store *s)
{
	bool wanted;
	struct store_op *ops = take_batch(s, &wanted);

	if (ops)
		one_batch(s, ops);
	if (wanted || roll_is_due(s))
		roll(s);
	else if (ops && s->opt.manual)
		zero_ahead(s);
	return ops || wanted;
}

void commit_release(struct store *s, bool chores)
{
	store_queue_lock(s);
	s->writing = false;
	s->chores = chores;
	if (s->pending || s->roll_wanted || s->closing || chores)
		condvar_signal(&s->queue_cv);
	store_queue_unlock(s);
}

void commit_lead(struct store *s)
{
	bool wanted;
	struct store_op *ops = take_batch(s, &wanted);

	if (ops)
		one_batch(s, ops);
	if (wanted) {
		store_queue_lock(s);
		s->roll_wanted = true;
		store_queue_unlock(s);
	}
	commit_release(s, roll_is_due(s) || zeros_due(s));
}

/* Nobody waits: what makes the next batches quick. */
static void do_chores(struct store *s)
{
	if (roll_is_due(s))
		roll(s);
	zero_ahead(s);
}

void *commit_thread(void *store)
{
	struct store *s = store;

	thread_name("queue-commit");
	for (;;) {
		store_queue_lock(s);
		while (s->writing || !(s->pending || s->closing || s->roll_wanted || s->chores))
			(void)store_queue_wait(s, &s->queue_cv, DEADLINE_NEVER);
		bool batch = s->pending || s->roll_wanted, end = !batch && s->closing;
		s->chores = false;
		s->writing = !end;
		store_queue_unlock(s);
		if (end)
			return NULL;
		if (batch)
			(void)store_commit_step(s);
		else
			do_chores(s);
		commit_release(s, batch && zeros_due(s));
	}
}
