/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/store: the durable log.  What it has said RC_OK to is on stable storage.
 *
 * Writing calls (append, progress, edit, done) are asynchronous: they return at once, and done_fn
 * is called exactly once, from the thread that wrote the batch and without locks, when the batch
 * that holds the record has been synced or has failed.  It must be cheap: post a parked session,
 * signal a condition.  store_append with a worker, and the _wait forms, write the batch themselves
 * when nobody is at it: done_fn may then be called before they return.  The arena given and
 * everything the arguments point to stays untouched until then. The call that returns anything but
 * RC_OK does not call done_fn. The _wait forms block the calling thread instead; for workers,
 * inside pool_blocking_begin(POOL_FOR_DISK). Records of one message take effect in the order of the
 * calls.
 *
 * Threads: all functions, any thread, but store_open, store_recover (one at a time) and
 * store_close. Locks: lk_store_table, lk_store_queue; callbacks run without any.  Blocks: load,
 * body and _wait functions (disk). Failure: RC_DEFER: this batch could not be written (full disk,
 * failed sync), or the store has stopped; the record is as if it had never been given.  RC_FAIL: no
 * such message.  RC_ERROR: what was read back is damaged.
 */
#ifndef HEDDLE_QUEUE_STORE_H
#define HEDDLE_QUEUE_STORE_H
#include "queue/message.h"
#include "queue/storage_io.h"
#include "thread/pool.h"

struct store;

enum store_event_kind {
	STORE_EVENT_DAMAGED, /* name: a segment with damage; whole records are kept; it is being set
	                        aside */
	STORE_EVENT_SET_ASIDE, /* name: what it is called now */
	STORE_EVENT_LOST,   /* id: a message that cannot be read any more: take it out of the index,
	                       tell the panic log */
	STORE_EVENT_FAILED, /* a write or sync failed; a batch was refused; errnum */
	STORE_EVENT_STOPPED, /* and the next segment too: nothing is accepted or recorded any more;
	                        errnum */
};
struct store_event {
	enum store_event_kind kind;
	const char *name;
	struct queue_id id;
	int errnum;
	const char *text; /* one line for a person; valid during the call */
};

struct store_options {
	uint64_t segment_bytes; /* 0: 64 MiB */
	size_t body_threshold;  /* 0: 256 KiB; larger bodies are refused inline */
	int64_t compact_age_us; /* sealed segments younger than this are left alone; 0: 60 s, -1:
	                           none */
	uint64_t zero_bytes; /* blocks are written ahead of the records, so many bytes at a time; 0:
	                        256 KiB, none in manual mode */
	bool manual; /* no threads: the caller calls store_commit_step and store_compact_step
	                (tests) */
	void (*event)(void *ctx, const struct store_event *ev); /* any thread; may be NULL */
	void *event_ctx;
	int64_t (*now_us)(void *ctx); /* wall clock; NULL: the real one */
	void *now_ctx;
};

/* ---- life ---- */
/* Quick, however long the queue: ready to append when it returns.  The io stays the caller's and
 * outlives the store. */
MUST_USE enum rc store_open(const struct storage_io *io, const struct store_options *options,
    struct store **out, struct error *err);
/* Read what earlier runs left, then call `found` for each live message (envelope and folded state,
 * no headers, no body; the message is valid during the call).  Once, on any thread, while new
 * messages are being appended. RC_ERROR: the directory could not be read; damage is no error but an
 * event.  found may be NULL. */
typedef void store_found_fn(void *ctx, const struct queue_message *m);
MUST_USE enum rc store_recover(
    struct store *s, store_found_fn *found, void *ctx, struct error *err);
bool store_is_recovered(const struct store *s);
/* Commit what is pending, end the threads, free.  NULL is fine. */
void store_close(struct store **s);

/* ---- accepting ---- */
typedef void store_done_fn(void *arg, enum rc rc, const struct error *why /* NULL when RC_OK */);

/* Never given out before, by this run or an earlier one.  Only adds to a counter. */
struct queue_id store_next_id(struct store *s);
/* w: a worker that may write the batch itself, as a blocking section; NULL: leave it to others. */
MUST_USE enum rc store_append(struct store *s, struct arena *a, const struct queue_message *m,
    struct worker *w, store_done_fn *fn, void *arg, struct error *err);
MUST_USE enum rc store_append_wait(
    struct store *s, struct arena *a, const struct queue_message *m, struct error *err);

/* A body over the threshold: written and synced by the caller before the message is appended. */
struct store_body;
MUST_USE enum rc store_body_begin(
    struct store *s, struct queue_id id, struct store_body **out, struct error *err);
MUST_USE enum rc store_body_write(
    struct store_body *b, const struct iovec *iov, size_t n, struct error *err);
/* Sync; sets flags, body_size and body_crc of m.  Frees and nulls b, whatever the result (the file
 * is gone if not OK). */
MUST_USE enum rc store_body_finish(
    struct store_body **b, struct queue_message *m, struct error *err);
/* The session ended: remove the file.  After _finish, when the message is not appended after all:
 * store_body_discard. */
void store_body_abort(struct store_body **b);
void store_body_discard(struct store *s, struct queue_id id);
uint64_t store_body_written(const struct store_body *b);
size_t store_body_threshold(const struct store *s);

/* ---- recording ---- */
MUST_USE enum rc store_progress(struct store *s, struct arena *a, const struct queue_progress *p,
    size_t n, store_done_fn *fn, void *arg, struct error *err);
MUST_USE enum rc store_progress_wait(
    struct store *s, struct arena *a, const struct queue_progress *p, size_t n, struct error *err);
MUST_USE enum rc store_edit(struct store *s, struct arena *a, struct queue_id id,
    const struct queue_edit *e, store_done_fn *fn, void *arg, struct error *err);
MUST_USE enum rc store_edit_wait(struct store *s, struct arena *a, struct queue_id id,
    const struct queue_edit *e, struct error *err);
/* The message is finished; its body file goes. */
MUST_USE enum rc store_finish(struct store *s, struct arena *a, struct queue_id id,
    store_done_fn *fn, void *arg, struct error *err);
MUST_USE enum rc store_finish_wait(
    struct store *s, struct arena *a, struct queue_id id, struct error *err);

/* ---- reading ---- */
#define STORE_LOAD_HEADERS (1u << 0)
#define STORE_LOAD_BODY    (1u << 1) /* an inline body; one in a file is left to the reader */
/* Envelope and state as of now, into the arena; one read for what is inline. */
MUST_USE enum rc store_load(struct store *s, struct arena *a, struct queue_id id, unsigned what,
    struct queue_message *out, struct error *err);
/* The body piece by piece, inline or not.  The last read, which gives 0, verifies: RC_ERROR when it
 * is damaged, and then nothing that was read may be used. */
struct store_reader;
MUST_USE enum rc store_reader_open(
    struct store *s, struct queue_id id, struct store_reader **out, struct error *err);
uint64_t store_reader_size(const struct store_reader *r);
MUST_USE enum rc store_reader_read(
    struct store_reader *r, void *buf, size_t cap, size_t *out_n, struct error *err);
void store_reader_close(struct store_reader **r);

/* ---- state of the whole ---- */
MUST_USE enum rc store_space(
    struct store *s, uint64_t *out_bytes, uint64_t *out_inodes, struct error *err);
bool store_is_stopped(const struct store *s);
struct store_stats {
	uint64_t messages;        /* live */
	uint64_t segments, bytes; /* on disk */
	uint64_t appended, records, batches, syncs, failed_batches;
	uint64_t compacted, unlinked; /* segments */
};
void store_stats(struct store *s, struct store_stats *out);

/* ---- by hand (options.manual) ---- */
/* One batch of what is pending; false: there was nothing. */
bool store_commit_step(struct store *s);
/* One piece of housekeeping: a sidecar, an unlink, a compaction, an orphan.  false: there was
 * nothing to do. */
bool store_compact_step(struct store *s);
#endif
