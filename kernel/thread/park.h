/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/park: state machines that hold no thread while they wait.
 *
 * A park is RUNNING (exactly one thread owns it), QUEUED (a worker will) or PARKED (nobody does; a
 * descriptor, a deadline, a post or a cancellation will queue it).  All four race by
 * compare-and-swap on one state word; the winner queues it, what the losers brought stays pending
 * where it must not be lost.
 *
 *	s->park = park_new(reactor, fd, session_run, s, err);    // RUNNING, the caller's
 *	park_start(s->park);                                     // session_run on a worker
 *
 *	void session_run(void *owner, enum wake why, struct worker *w)
 *	{
 *		...
 *		park_wait(s->park, EPOLLIN, deadline_us, "command");   // the LAST touch of s
 *	}
 *
 * run_fn ends in exactly one of park_wait, park_yield, park_free, or a hand-over to something that
 * will do one of them.  WAKE_IO may come for nothing (the socket says EAGAIN): park again.
 * WAKE_TIMEOUT comes only when the deadline of the present wait has passed.  Every post is followed
 * by at least one WAKE_POSTED that begins after it; several may be one.  A cancellation is told
 * once; the machine may go on waiting (to finish within a bound).
 *
 * Owns: slots, never freed before the reactor; not the descriptor.
 * Threads: functions that take a struct park: its runner; those that take a struct park_ref: any
 * thread, also with locks held.
 * Locks: lk_reactor_slots, lk_timers, lk_pool, each a leaf for the caller.
 */
#ifndef HEDDLE_THREAD_PARK_H
#define HEDDLE_THREAD_PARK_H
#include "thread/pool.h"

#include <sys/epoll.h>

struct reactor;
struct park;

enum wake { WAKE_START, WAKE_IO, WAKE_TIMEOUT, WAKE_POSTED, WAKE_CANCEL };

/* Names one park for as long as it lives; harmless afterwards.  {0, 0} names none. */
struct park_ref {
	uint32_t slot, generation;
};

typedef void (*park_fn)(void *owner, enum wake why, struct worker *w);

struct reactor_config {
	const char *name;   /* of the threads; lives as long as the reactor */
	unsigned threads;   /* 0: one for each four processors, at least one */
	uint32_t max_parks; /* 0: 1,048,576 */
};

struct reactor_counts {
	size_t live, running, queued, parked;
};

/* ---- reactor: an epoll that the pool's idle workers wait in, and threads for the deadlines ----
 */
MUST_USE enum rc reactor_new(
    const struct reactor_config *cfg, struct pool *pool, struct reactor **out, struct error *err);
/* Ends the threads.  No park may be left; the pool is not touched. */
void reactor_free(struct reactor **r);
/* park_cancel for every park and timer there is now. */
void reactor_cancel_all(struct reactor *r);
/* Wait until no park is left; false: the deadline passed. */
bool reactor_wait_empty(struct reactor *r, int64_t deadline_us) EXCLUDES(lk_reactor_slots);
/* A snapshot, by a walk over all slots. */
void reactor_count(struct reactor *r, struct reactor_counts *out);
/* What every parked machine waits for.  `what` as given to park_wait. */
void reactor_each_parked(
    struct reactor *r, void (*fn)(void *arg, const char *what, int64_t deadline_us), void *arg);

/* ---- parks ---- */
/* RUNNING and the caller's.  fd -1: none.  NULL with DEFER text in err: no free slot. */
struct park *park_new(struct reactor *r, int fd, park_fn run, void *owner, struct error *err);
struct park_ref park_ref_of(const struct park *p);
/* Queue it with WAKE_START: the caller gives it away. */
void park_start(struct park *p);
/* Park until one of `events` (EPOLLIN, EPOLLOUT, EPOLLRDHUP; 0: none), deadline_us (DEADLINE_NEVER:
 * none), a post or a cancellation; gives it away.  what: a constant text, for listings. */
void park_wait(struct park *p, uint32_t events, int64_t deadline_us, const char *what);
/* Let others run, then go on with WAKE_POSTED. */
void park_yield(struct park *p);
/* Watch another descriptor from the next wait on; before the old one is closed. */
void park_set_fd(struct park *p, int fd);
/* The pool and class of its next runs (a handshake goes to the pool that has as many threads as
 * cores). */
void park_set_pool(struct park *p, struct pool *pool, enum pool_class cls);
/* Forget it (close the descriptor afterwards); stale references become harmless. */
void park_free(struct park **p);

/* Any thread.  A stale or empty reference does nothing. */
void park_post(struct reactor *r, struct park_ref ref);
void park_cancel(struct reactor *r, struct park_ref ref);

/* ---- timers: coarse (10 ms), thousands are cheap ---- */
/* fn(arg, WAKE_TIMEOUT or WAKE_CANCEL, w) once, on a worker.  {0, 0} with text in err: no free
 * slot. */
struct park_ref timer_add(
    struct reactor *r, int64_t at_us, park_fn fn, void *arg, struct error *err);
/* true: fn has not run and will not. */
bool timer_cancel(struct reactor *r, struct park_ref ref);
#endif
