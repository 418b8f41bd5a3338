/* SPDX-License-Identifier: GPL-3.0-or-later */
/* deliver: the places for workers that deliver, and who waits for one (scheduler.c). */
#ifndef HEDDLE_DELIVER_TURN_H
#define HEDDLE_DELIVER_TURN_H
#include "thread/pool.h"

struct deliverer;

/* Who waits for one of the workers that deliver. */
struct turn {
	struct job job; /* is run when its turn has come */
	struct turn *next;
	bool is_failing; /* for a host that failed last time */
};
struct turns {
	struct turn *first, **end; /* end: where first is not NULL */
};

/* True: a place among the active ones, now.  False: t's job is run when there is one. */
bool scheduler_turn(struct deliverer *d, struct turn *t) EXCLUDES(lk_deliver);
/* The place is free; the attempt goes on without. */
void scheduler_rest(struct deliverer *d, bool was_failing) EXCLUDES(lk_deliver);
#endif
