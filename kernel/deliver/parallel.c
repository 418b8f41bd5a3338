/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The remote groups of one message, up to remote_max_parallel at a time.  The attempt's own worker
 * takes part, so that it all goes on when the pool has nobody to spare; helpers that come too late
 * find nothing to do and leave. Each group runs with an eval and an arena of its own; outcomes are
 * settled by the attempt's worker afterwards.
 */
#include "deliver/deliver_private.h"

#include <stdlib.h>

struct crew {
	struct deliverer *d;
	struct attempt *t;     /* valid while groups are undone */
	struct group **groups; /* likewise */
	size_t count;
	_Atomic size_t next; /* relaxed: only who takes which */
	_Atomic unsigned refs;
	struct condvar finished;
	size_t done GUARDED_BY(lk_deliver);
};

struct helper {
	struct job job; /* first */
	struct crew *crew;
};

static void crew_unref(struct crew *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	condvar_fini(&c->finished);
	free(c);
}

/* A copy of the attempt that another thread may work with: what it changes is its own. */
static void run_group(struct crew *c, struct group *g, struct worker *w)
{
	struct attempt sub = *c->t;

	sub.arena = arena_new(0);
	sub.worker = w;
	sub.ev.worker = w;
	attempt_own_facts(&sub);
	attempt_deliver_group(&sub, g);
	g->arena = sub.arena; /* outcomes' texts live there until they are settled */
}

static void take_part(struct crew *c, struct worker *w)
{
	for (;;) {
		size_t i = atomic_fetch_add(&c->next, 1);
		if (i >= c->count)
			return;
		run_group(c, c->groups[i], w);
		deliverer_lock(c->d);
		c->done++;
		condvar_broadcast(&c->finished);
		deliverer_unlock(c->d);
	}
}

static void helper_run(struct job *job, struct worker *w)
{
	struct helper *h = (struct helper *)(void *)job;
	struct crew *c = h->crew;

	free(h);
	if (pool_blocking_begin(w, POOL_FOR_DELIVER, 0, NULL) == RC_OK) {
		take_part(c, w);
		pool_blocking_end(w);
	}
	crew_unref(c);
}

static void call_helpers(struct crew *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct helper *h = malloc(sizeof *h);
		MUST(h != NULL);
		h->job = (struct job){.run = helper_run};
		h->crew = c;
		atomic_fetch_add(&c->refs, 1);
		pool_submit(c->d->cfg.pool, &h->job, POOL_DELIVERY);
	}
}

void parallel_deliver(struct attempt *t, struct group **groups, size_t count)
{
	int64_t most = config_int(t->cfg, MO_remote_max_parallel);
	struct crew *c = calloc(1, sizeof *c);

	MUST(c != NULL);
	c->d = t->d;
	c->t = t;
	c->groups = groups;
	c->count = count;
	atomic_store(&c->refs, 1);
	condvar_init(&c->finished);
	if (most > 1 && count > 1)
		call_helpers(c, ((size_t)most < count ? (size_t)most : count) - 1);
	take_part(c, t->worker);
	deliverer_lock(t->d);
	while (c->done < count)
		(void)deliverer_wait(
		    t->d, &c->finished, DEADLINE_NEVER); /* each group has a deadline of its own */
	deliverer_unlock(t->d);
	crew_unref(c);
}
