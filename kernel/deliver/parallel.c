/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The remote groups of one message, up to remote_max_parallel at a time.  Each is an errand, with
 * an eval and an arena of its own.  An errand first connects, which holds no worker; then it needs
 * one of the places that the scheduler gives out, and a worker calls the transport.  A worker whose
 * errand has ended begins the next one; the last to leave settles the attempt.  So the message is
 * nobody's while all of its errands wait: what wakes them goes on with it.
 */
#include "deliver/delivery.h"

#include <stdlib.h>

#define BUSY_AGAIN (US_PER_SEC / 20)

struct crew { /* lives as long as the remote part of its attempt */
	struct deliverer *d;
	struct attempt *t;
	size_t most;                          /* errands at a time */
	size_t next GUARDED_BY(lk_deliver);   /* group to be begun */
	size_t open GUARDED_BY(lk_deliver);   /* errands that have begun and not ended */
	size_t inside GUARDED_BY(lk_deliver); /* workers between enter and leave */
};

struct errand {
	struct turn turn; /* first */
	struct crew *crew;
	struct attempt sub; /* what another thread than the attempt's changes is its own */
	struct delivery x;
	bool has_turn, is_cut;
};

static void resume(struct errand *e, struct worker *w);

static void set_worker(struct errand *e, struct worker *w)
{
	e->sub.worker = e->sub.ev.worker = e->x.call.worker = w;
}

/* ---- beginning and ending
 * -------------------------------------------------------------------------------- */

static void on_turn(struct job *job, struct worker *w)
{
	struct errand *e = (struct errand *)(void *)job;

	e->has_turn = true;
	resume(e, w);
}

static void on_ready(void *ctx, struct worker *w)
{
	resume(ctx, w);
}

static struct errand *errand_new(struct crew *c, struct group *g, struct worker *w)
{
	struct errand *e = calloc(1, sizeof *e);

	MUST(e != NULL);
	e->turn.job.run = on_turn;
	e->crew = c;
	e->sub = *c->t;
	e->sub.arena = arena_new(0);
	e->sub.worker = e->sub.ev.worker = w;
	attempt_own_facts(&e->sub);
	delivery_begin(&e->x, &e->sub, g);
	return e;
}

static void errand_end(struct errand *e)
{
	struct crew *c = e->crew;
	struct group *g = e->x.g;

	if (e->is_cut) {
		g->untouched = true;
		remote_drop(&e->x.job);
		e->sub.ev.address = NULL;
	} else {
		delivery_run(&e->x);
		delivery_end(&e->x);
	}
	g->arena = e->sub.arena; /* outcomes' texts live there until they are settled */
	free(e);
	deliverer_lock(c->d);
	c->open--;
	deliverer_unlock(c->d);
}

/* As far as something has to be waited for; then the errand may be gone.  True: it is ready. */
static bool errand_connect(struct errand *e)
{
	enum remote_step step = remote_connect(&e->x.call, &e->x.job);

	if (step == REMOTE_WAITS)
		return false;
	e->is_cut = step == REMOTE_CUT;
	if (store_is_stopped(
	        e->crew->d->cfg.store)) /* it would be delivered again after a restart */
		e->is_cut = true;
	return true;
}

static bool errand_begin(struct errand *e)
{
	struct delivery *x = &e->x;

	if (x->is_over)
		return true;
	x->rc = remote_plan(&x->call, &x->job, on_ready, e, &x->err);
	x->is_over = x->rc != RC_OK;
	return x->is_over || errand_connect(e);
}

/* ---- workers
 * --------------------------------------------------------------------------------------------- */

static struct group *next_group(struct crew *c)
{
	struct group *g = NULL;

	deliverer_lock(c->d);
	if (c->open < c->most && c->next < c->t->remote.count) {
		g = *VEC_AT(&c->t->remote, struct group *, c->next++);
		c->open++;
	}
	deliverer_unlock(c->d);
	return g;
}

static void enter(struct crew *c)
{
	deliverer_lock(c->d);
	c->inside++;
	deliverer_unlock(c->d);
}

/* True: nobody is left, and nothing to be done.  Else the crew is not the caller's any more. */
static bool leave(struct crew *c)
{
	struct deliverer *d = c->d;

	deliverer_lock(d);
	bool last = --c->inside == 0 && c->open == 0;
	deliverer_unlock(d);
	if (last)
		free(c);
	return last;
}

/* It is ready too: side by side with this one, if there is a place. */
static void hand_out(struct errand *e)
{
	struct deliverer *d = e->crew->d;

	if (scheduler_turn(d, &e->turn))
		pool_submit(d->cfg.pool, &e->turn.job, POOL_DELIVERY);
}

/* e: one that is ready, or NULL. */
static bool work(struct crew *c, struct errand *e, struct worker *w)
{
	for (;;) {
		struct group *g;
		if (e)
			errand_end(e);
		e = NULL;
		while ((g = next_group(c))) {
			struct errand *x = errand_new(c, g, w);
			if (!errand_begin(x))
				continue; /* it will come back by itself */
			if (!e)
				e = x;
			else
				hand_out(x);
		}
		if (!e)
			return leave(c);
	}
}

/* It is ready, and has a place. */
static void carry_on(struct errand *e, struct worker *w)
{
	struct crew *c = e->crew;
	struct attempt *t = c->t;
	struct deliverer *d = c->d;
	bool was_failing = e->turn.is_failing;

	enter(c);
	if (work(c, e, w))
		attempt_settle_remote(t, w, was_failing);
	else
		scheduler_rest(d, was_failing);
}

static void on_time(void *arg, enum wake why, struct worker *w)
{
	(void)why;
	resume(arg, w);
}

static void on_retry(struct job *job, struct worker *w)
{
	struct errand *e = (struct errand *)(void *)job;

	job->run = on_turn;
	resume(e, w);
}

/* No worker may block now. */
static void come_back(struct errand *e)
{
	const struct deliver_config *cfg = &e->crew->d->cfg;
	struct park_ref ref =
	    timer_add(cfg->reactor, clock_mono_us() + BUSY_AGAIN, on_time, e, NULL);

	if (ref.slot != 0 || ref.generation != 0)
		return;
	e->turn.job.run = on_retry;
	pool_submit(cfg->pool, &e->turn.job, POOL_DELIVERY);
}

/* Something that was waited for has come: an end of connecting, or a place. */
static void resume(struct errand *e, struct worker *w)
{
	set_worker(e, w);
	if (pool_blocking_begin(w, POOL_FOR_DELIVER, 0, NULL) != RC_OK) {
		come_back(e);
		return;
	}
	if (!e->has_turn) {
		if (!errand_connect(e)) {
			pool_blocking_end(w);
			return;
		}
		e->turn.is_failing = !e->is_cut && remote_is_failing(&e->x.job);
		if (!scheduler_turn(e->crew->d, &e->turn)) { /* perhaps gone already */
			pool_blocking_end(w);
			return;
		}
	}
	carry_on(e, w);
	pool_blocking_end(w);
}

bool parallel_deliver(struct attempt *t)
{
	int64_t most = config_int(t->cfg, MO_remote_max_parallel);
	struct deliverer *d = t->d;
	struct crew *c = calloc(1, sizeof *c);

	MUST(c != NULL);
	c->d = d;
	c->t = t;
	c->most = most > 1 ? (size_t)most : 1;
	enter(c);
	if (work(c, NULL, t->worker))
		return true;
	scheduler_rest(d, false);
	return false;
}
