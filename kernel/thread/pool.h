/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/pool: the workers.  A job is a few lines of work that does not wait; a job that must wait
 * says so with pool_blocking_begin, and the pool then runs another worker in its place.
 *
 * Life: `min` workers exist from the start; more are started while others block, up to `max`; an
 * extra worker that is idle for idle_us ends.  Idle workers are a stack with a condition variable
 * each: a wake is one futex, to the worker whose caches are warmest; a worker that has been woken
 * wakes the next one if there is more to do.  If the pool has a source (a reactor's epoll) one idle
 * worker waits there instead, and runs what it is woken for.  While it does, nobody need be there:
 * a worker that comes to rest goes there, one that blocks sends another, and if neither happens
 * within a tick (10 ms) the source's pool_tick does.
 *
 * Owns: the threads and a scratch arena each.  Threads: all functions, any thread, unless they take
 * a struct worker: those belong to the thread that was given it.  Locks: takes lk_pool, a leaf.
 */
#ifndef HEDDLE_THREAD_POOL_H
#define HEDDLE_THREAD_POOL_H
#include "base/arena.h"
#include "thread/lock.h"

struct pool;
struct worker;

/* Queues, looked at in this order; now and then (1 in 16) from the other end, so that none starves.
 */
enum pool_class {
	POOL_SESSION,    /* somebody is waiting for us at a socket */
	POOL_DELIVERY,   /* messages on their way out */
	POOL_BACKGROUND, /* compaction, expiry */
	POOL_CLASSES
};

/* What a blocking section waits for; each has its own limits. */
enum pool_purpose {
	POOL_FOR_LOOKUP,  /* a lookup driver, a file */
	POOL_FOR_CALLOUT, /* verification at another server */
	POOL_FOR_ACL,     /* other waits of a policy: delay, DNS list, scanner */
	POOL_FOR_DELIVER, /* a remote conversation */
	POOL_FOR_AGENT,   /* a local delivery or a command in an agent */
	POOL_FOR_DISK,    /* sync of a large body */
	POOL_PURPOSES
};

struct job {
	void (*run)(struct job *job, struct worker *w);
	struct job *next; /* the pool's while it is queued */
};

/* What a wait in the source has brought. */
struct pool_input {
	struct job *jobs; /* a chain; NULL: nothing to run */
	enum pool_class cls;
	bool kicked, timed_out;
};
/* Where input comes from.  wait: at most timeout_ms (0: only look, -1: for ever); by many threads
 * at a time.  kick: one of them, or the next that comes, returns with `kicked`. */
struct pool_source {
	void *ctx;
	void (*wait)(void *ctx, int timeout_ms, struct pool_input *out);
	void (*kick)(void *ctx);
	void (*start_ticks)(void *ctx); /* call pool_tick every 10 ms or so until it says false */
};

struct pool_limit {
	unsigned total;   /* sections of this purpose at a time; 0: no limit of its own */
	unsigned per_key; /* and of one key; 0: no limit */
};

struct pool_config {
	const char *name;   /* of the threads, at most 10 characters; lives as long as the pool */
	unsigned min, max;  /* workers; 0: as many as processors (at least 2), 1000 */
	unsigned reserve;   /* workers of max that never block; 0: min */
	size_t stack_bytes; /* 0: 256 KiB (more in sanitizer builds) */
	int64_t idle_us;    /* 0: 10 s */
	struct pool_limit limits[POOL_PURPOSES];
	unsigned class_max[POOL_CLASSES]; /* jobs of a class that run at a time; 0: no limit */
};

struct pool_stats {
	unsigned workers, idle, blocked, peak;
	unsigned blocked_for[POOL_PURPOSES];
	size_t queued[POOL_CLASSES];
	uint64_t jobs, wakes, refused; /* refused: blocking sections that met a limit */
};

/* Starts the min workers.  ERROR when the system gives no thread. */
MUST_USE enum rc pool_new(const struct pool_config *cfg, struct pool **out, struct error *err);
/* Run what is queued, end all workers, join them.  Jobs may still be submitted by jobs until the
 * queues are empty. */
void pool_stop(struct pool *p) EXCLUDES(lk_pool);
/* After pool_stop (done here if not yet) and after whoever submits has ended: a thread may still be
 * waking a worker for a job that has run.  So: pool_stop, reactor_free, pool_free.  Nulls. */
void pool_free(struct pool **p);
/* Runs in every worker thread, as the last thing.  Up to 8; before the first job is submitted. */
void pool_on_thread_exit(struct pool *p, void (*fn)(void));

/* Once; no worker is in it when pool_unset_source returns. */
void pool_set_source(struct pool *p, const struct pool_source *src) EXCLUDES(lk_pool);
void pool_unset_source(struct pool *p) EXCLUDES(lk_pool);
/* Work has lasted for a whole tick: let another worker wait for input.  false: no more ticks. */
bool pool_tick(struct pool *p) EXCLUDES(lk_pool);

/* The job's memory is its owner's; it must live until run is called, and run may free it. */
void pool_submit(struct pool *p, struct job *job, enum pool_class cls) EXCLUDES(lk_pool);
/* A chain linked by next, all of one class: one lock, at most one wake. */
void pool_submit_chain(struct pool *p, struct job *first, enum pool_class cls) EXCLUDES(lk_pool);

/* This worker is about to wait (never while it holds a lock).  key: hash of the client host,
 * destination ..., 0: none. DEFER: a limit or the reserve is reached; do not wait then.  Sections
 * nest; only the outermost counts. w NULL (a thread that is no worker): always OK. */
MUST_USE enum rc pool_blocking_begin(
    struct worker *w, enum pool_purpose what, uint64_t key, struct error *err) EXCLUDES(lk_pool);
void pool_blocking_end(struct worker *w) EXCLUDES(lk_pool);

/* Empty when a job begins, reset when it ends. */
struct arena *worker_scratch(struct worker *w);
struct pool *worker_pool(const struct worker *w);
/* Below the pool's max, of no other living worker: for notes kept for each worker. */
unsigned worker_index(const struct worker *w);

void pool_stats(struct pool *p, struct pool_stats *out) EXCLUDES(lk_pool);
#endif
