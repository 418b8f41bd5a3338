/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/park_private: what park.c (the state machine) and reactor.c (threads, timers, slots)
 * share.
 *
 * The state word, 64 bits: generation 32 | wait number 16 | flags 16.
 * RUNNING: owned by its runner, who sets ARMING while it hands its descriptor to the epoll and its
 * deadline to a reactor thread; what comes meanwhile stays as a pending bit, and the runner finds
 * it when it wants to leave.  The number of the wait keeps a late timer from ending the next wait.
 */
#ifndef HEDDLE_THREAD_PARK_PRIVATE_H
#define HEDDLE_THREAD_PARK_PRIVATE_H
#include "thread/heap.h"
#include "thread/park.h"

#include <stdatomic.h>

enum {
	PARK_FREE = 0,
	PARK_RUNNING = 1,
	PARK_QUEUED = 2,
	PARK_PARKED = 3,
	PARK_STATE = 3, /* mask */
	PARK_ARMING = 1 << 2,
	PARK_WANT_IO = 1 << 3,
	/* pending */
	PARK_IO = 1 << 4,
	PARK_TIMEOUT = 1 << 5,
	PARK_POSTED = 1 << 6,
	PARK_CANCEL = 1 << 7,
	PARK_START = 1 << 8,
	PARK_PENDING = PARK_IO | PARK_TIMEOUT | PARK_POSTED | PARK_CANCEL | PARK_START,
	PARK_WAIT_SHIFT = 16,
};

#define CHUNK_PARKS 256u

struct reactor_thread {
	struct reactor *reactor; /* const */
	unsigned index;          /* const */
	pthread_t thread;        /* const */
	int kick_fd;             /* const */
	bool started;            /* const */
	struct mutex lock;
	struct heap timers GUARDED_BY(lk_timers);
	int64_t sleep_until GUARDED_BY(lk_timers); /* an earlier timer must kick */
};

struct park {
	/* const while it lives */
	struct reactor *reactor;
	struct reactor_thread *thread;
	uint32_t slot;
	park_fn run;
	void *owner;
	park_fn timer_fn; /* of a timer_add */
	void *timer_arg;

	struct heap_node node GUARDED_BY(lk_timers);
	struct park *free_next GUARDED_BY(lk_reactor_slots);

	_Atomic uint64_t word;      /* acq_rel: hands over the runner's fields */
	_Atomic int64_t deadline;   /* of this wait; seq_cst with armed_at: one of runner and timer
	                               thread sees the other */
	_Atomic int64_t armed_at;   /* where it lies in the heap, DEADLINE_NEVER: not there */
	_Atomic(const char *) what; /* relaxed, for listings */

	/* the runner's */
	int fd;
	bool in_epoll;
	struct pool *pool;
	enum pool_class cls;
	struct job job;
};

struct reactor {
	/* const once started */
	struct pool *pool;
	const char *name;
	struct reactor_thread *threads;
	unsigned n_threads;
	uint32_t max_chunks;
	int epoll_fd, wake_fd; /* workers wait in the first; the second is in it */
	bool is_source;

	struct mutex slots_lock;
	struct park *free GUARDED_BY(lk_reactor_slots);
	size_t live GUARDED_BY(lk_reactor_slots);
	struct condvar empty;

	_Atomic uint32_t n_chunks;      /* release after the chunk is in place */
	_Atomic(struct park *) *chunks; /* release; slots are never freed before the reactor */
	_Atomic bool stopping;
};

/* Jobs that one thread has made and not yet submitted. */
struct batch {
	struct job *first, **end;
	struct pool *pool;
	enum pool_class cls;
};

/* park.c.  The winner of a wake submits: into batch, or at once if that is NULL. */
void park_wake(struct park *p, uint32_t generation, unsigned bit, struct batch *batch);
void park_run_job(struct job *job, struct worker *w);
void batch_flush(struct batch *b);
/* reactor.c */
struct park *reactor_slot(const struct reactor *r, uint32_t slot); /* NULL: never made */
struct park *reactor_take_slot(struct reactor *r) EXCLUDES(lk_reactor_slots);
void reactor_give_slot(struct reactor *r, struct park *p) EXCLUDES(lk_reactor_slots, lk_timers);
void reactor_arm_timer(struct park *p, int64_t deadline_us) EXCLUDES(lk_timers);
#endif
