/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many run: `min` workers that do not block is what we aim at.  A submission wakes an idle
 * worker, or has a new one started, only while fewer than that are running, and only if no other
 * wake is under way: the worker that arrives takes a job and passes the wake on.  So a burst of
 * submissions costs one futex, and the workers come up one after another.
 */
#include "thread/pool.h"

#include "thread/start.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_HOOKS   8
#define KEY_BUCKETS 256
#define FAIR_EVERY  16 /* one pick in so many starts with the last class */
#define LOOK_EVERY  4  /* one pick in so many looks for input first, though sessions wait */

struct worker {
	struct pool *pool; /* const */
	unsigned index;    /* const */
	pthread_t thread;  /* valid while joinable */
	struct condvar wake;
	struct worker *idle_next, *idle_prev GUARDED_BY(lk_pool);
	struct worker *key_next, *key_prev GUARDED_BY(lk_pool); /* blocked ones of one bucket */
	struct worker *free_next GUARDED_BY(lk_pool);
	uint64_t key GUARDED_BY(lk_pool);
	enum pool_purpose purpose GUARDED_BY(lk_pool);
	bool joinable GUARDED_BY(lk_pool);
	bool woken GUARDED_BY(lk_pool);   /* counts in pool.waking */
	bool leaving GUARDED_BY(lk_pool); /* counts in pool.leaving */
	/* the thread's own */
	struct arena *scratch;
	unsigned depth;
};

struct queue {
	struct job *first, **end;
	size_t count;
};

struct pool {
	/* const once started */
	struct pool_config cfg;
	struct worker
	    *workers; /* max of them, never moved: a late signal finds a condition variable */

	struct mutex lock;
	struct queue queues[POOL_CLASSES] GUARDED_BY(lk_pool);
	unsigned class_running[POOL_CLASSES] GUARDED_BY(lk_pool);
	struct worker *idle GUARDED_BY(lk_pool); /* last in, first out */
	struct worker *free GUARDED_BY(lk_pool); /* slots without a living thread */
	struct worker *buckets[KEY_BUCKETS] GUARDED_BY(lk_pool);
	struct pool_stats stats GUARDED_BY(lk_pool);
	unsigned leaving GUARDED_BY(
	    lk_pool); /* of stats.workers: they have nothing to do and will end */
	unsigned waking GUARDED_BY(lk_pool); /* woken or started, but not yet at work */
	unsigned picks GUARDED_BY(lk_pool);
	struct pool_source source GUARDED_BY(lk_pool); /* wait NULL: none */
	unsigned pollers GUARDED_BY(lk_pool);          /* of the idle ones: those in the source */
	bool ticking GUARDED_BY(lk_pool);              /* the source calls pool_tick */
	uint64_t tick_jobs GUARDED_BY(lk_pool);
	bool kicked GUARDED_BY(lk_pool); /* one of them counts in waking */
	bool stopping GUARDED_BY(lk_pool);
	struct condvar ended; /* the last worker is gone */
	void (*hooks[MAX_HOOKS])(void) GUARDED_BY(lk_pool);
	unsigned n_hooks GUARDED_BY(lk_pool);
};

LOCK_FNS(pool, struct pool, lock, lk_pool)

/* What to do once the lock is given back. */
struct wake_plan {
	struct worker *signal;     /* an idle worker */
	struct worker *start;      /* a slot for a new one */
	struct pool_source source; /* to be kicked */
};

/* ---- queues ---- */

static bool class_has_room(const struct pool *p, unsigned c) REQUIRES(lk_pool);
static bool class_has_room(const struct pool *p, unsigned c)
{
	return p->queues[c].count &&
	       (!p->cfg.class_max[c] || p->class_running[c] < p->cfg.class_max[c]);
}

static bool has_work(const struct pool *p) REQUIRES(lk_pool);
static bool has_work(const struct pool *p)
{
	for (unsigned c = 0; c < POOL_CLASSES; c++)
		if (class_has_room(p, c))
			return true;
	return false;
}

static void append(struct pool *p, struct job *first, unsigned cls) REQUIRES(lk_pool);
static void append(struct pool *p, struct job *first, unsigned cls)
{
	struct queue *q = &p->queues[cls];
	struct job *last = first;
	size_t n = 1;

	for (; last->next; last = last->next)
		n++;
	*q->end = first;
	q->end = &last->next;
	q->count += n;
}

static struct job *pick(struct pool *p, unsigned *out_class) REQUIRES(lk_pool);
static struct job *pick(struct pool *p, unsigned *out_class)
{
	bool backwards = ++p->picks % FAIR_EVERY == 0;

	for (unsigned i = 0; i < POOL_CLASSES; i++) {
		unsigned c = backwards ? POOL_CLASSES - 1 - i : i;
		if (!class_has_room(p, c))
			continue;
		struct queue *q = &p->queues[c];
		struct job *job = q->first;
		q->first = job->next;
		if (!q->first)
			q->end = &q->first;
		q->count--;
		job->next = NULL;
		p->class_running[c]++;
		p->stats.jobs++;
		*out_class = c;
		return job;
	}
	return NULL;
}

/* ---- waking and starting ---- */

static void idle_remove(struct pool *p, struct worker *w) REQUIRES(lk_pool);
static void idle_remove(struct pool *p, struct worker *w)
{
	if (w->idle_prev)
		w->idle_prev->idle_next = w->idle_next;
	else
		p->idle = w->idle_next;
	if (w->idle_next)
		w->idle_next->idle_prev = w->idle_prev;
	w->idle_next = w->idle_prev = NULL;
	p->stats.idle--;
}

/* Nobody waits in the source, nor is about to. */
static bool is_unwatched(const struct pool *p) REQUIRES(lk_pool);
static bool is_unwatched(const struct pool *p)
{
	const struct pool_stats *s = &p->stats;

	return p->source.wait && !p->pollers && !p->stopping &&
	       s->workers - s->idle - s->blocked == 0;
}

static struct wake_plan plan_wake(struct pool *p, bool watch) REQUIRES(lk_pool);
static struct wake_plan plan_wake(struct pool *p, bool watch)
{
	struct wake_plan plan = {0};
	struct pool_stats *s = &p->stats;

	if (p->waking || s->workers - s->idle - s->blocked >= p->cfg.min ||
	    !(watch || is_unwatched(p) || has_work(p)))
		return plan;
	if (p->idle) {
		plan.signal = p->idle;
		idle_remove(p, plan.signal);
		plan.signal->woken = true;
		p->waking++;
		s->wakes++;
	} else if (p->pollers) {
		plan.source = p->source;
		p->kicked = true;
		p->waking++;
		s->wakes++;
	} else if (p->free) {
		plan.start = p->free;
		p->free = plan.start->free_next;
		plan.start->woken = true;
		p->waking++;
		if (++s->workers > s->peak)
			s->peak = s->workers;
	}
	return plan;
}

static void *worker_main(void *arg);

static bool start_worker(struct pool *p, struct worker *w) EXCLUDES(lk_pool);
static bool start_worker(struct pool *p, struct worker *w)
{
	pthread_t old = {0};
	bool join;

	pool_lock(p);
	join = w->joinable;
	if (join)
		old = w->thread;
	w->joinable = false;
	pool_unlock(p);
	if (join)
		(void)pthread_join(old, NULL); /* it has left the pool already */

	pool_lock(p);
	/* Under the lock, so that the new thread cannot end before it is known as joinable. */
	bool ok = thread_start(&w->thread, p->cfg.stack_bytes, worker_main, w) == 0;
	w->joinable = ok;
	if (!ok) {
		w->woken = false;
		w->free_next = p->free;
		p->free = w;
		p->waking--;
		if (--p->stats.workers == 0)
			condvar_broadcast(&p->ended);
	}
	pool_unlock(p);
	return ok;
}

static void carry_out(struct pool *p, struct wake_plan plan) EXCLUDES(lk_pool);
static void carry_out(struct pool *p, struct wake_plan plan)
{
	if (plan.signal)
		condvar_signal(&plan.signal->wake);
	if (plan.source.kick)
		plan.source.kick(plan.source.ctx);
	if (plan.start)
		(void)start_worker(p, plan.start);
}

/* ---- the source ---- */
/* Wait there without the lock, and come back. */
static void poll_source(struct pool *p, int timeout_ms, struct pool_input *in) REQUIRES(lk_pool);
static void poll_source(struct pool *p, int timeout_ms, struct pool_input *in)
{
	struct pool_source src = p->source;

	*in = (struct pool_input){0};
	p->pollers++;
	p->stats.idle++;
	pool_unlock(p);
	src.wait(src.ctx, timeout_ms, in);
	pool_lock(p);
	p->pollers--;
	p->stats.idle--;
	/* Nobody is left to be kicked: whoever comes next looks at the queues anyway. */
	if (p->kicked && (in->kicked || !p->pollers)) {
		p->kicked = false;
		p->waking--;
	}
	if (p->stopping || !p->source.wait) {
		if (p->pollers)
			src.kick(src.ctx); /* does not block; the next one */
		else
			condvar_broadcast(&p->ended);
	}
}

/* Of what has come the first is this worker's now, the rest anybody's. */
static struct job *take_input(struct pool *p, const struct pool_input *in, unsigned *out_class)
    REQUIRES(lk_pool);
static struct job *take_input(struct pool *p, const struct pool_input *in, unsigned *out_class)
{
	struct job *job = in->jobs;

	if (!job)
		return NULL;
	if (job->next)
		append(p, job->next, in->cls);
	job->next = NULL;
	p->class_running[in->cls]++;
	p->stats.jobs++;
	*out_class = in->cls;
	if (!p->ticking && p->source.wait) {
		p->ticking = true;
		p->source.start_ticks(p->source.ctx);
	}
	return job;
}

/* What has been waiting for longer must not keep input waiting: sessions go first. */
static struct job *look_then_pick(struct pool *p, unsigned *out_class) REQUIRES(lk_pool);
static struct job *look_then_pick(struct pool *p, unsigned *out_class)
{
	struct pool_input in = {0};

	if (p->source.wait && has_work(p) &&
	    (!p->queues[POOL_SESSION].count || p->picks % LOOK_EVERY == 0)) {
		poll_source(p, 0, &in);
		struct job *job = take_input(p, &in, out_class);
		if (job)
			return job;
	}
	return pick(p, out_class);
}

static bool wants_poller(const struct pool *p) REQUIRES(lk_pool);
static bool wants_poller(const struct pool *p)
{
	return p->source.wait && !p->pollers;
}

/* ---- a worker's life ---- */

/* More than are always there, without those who are on their way out. */
static bool has_extra(const struct pool *p) REQUIRES(lk_pool);
static bool has_extra(const struct pool *p)
{
	return p->stats.workers > p->cfg.min + p->leaving;
}

static bool leave(struct pool *p, struct worker *w) REQUIRES(lk_pool);
static bool leave(struct pool *p, struct worker *w)
{
	w->leaving = true;
	p->leaving++;
	return false;
}

/* false: this worker should end. */
static bool wait_idle(struct pool *p, struct worker *w) REQUIRES(lk_pool);
static bool wait_idle(struct pool *p, struct worker *w)
{
	bool extra = has_extra(p);
	int64_t until = extra ? clock_mono_us() + p->cfg.idle_us : DEADLINE_NEVER;

	w->idle_prev = NULL;
	w->idle_next = p->idle;
	if (p->idle)
		p->idle->idle_prev = w;
	p->idle = w;
	p->stats.idle++;
	while (!w->woken && !p->stopping && !wants_poller(p)) {
		if (pool_wait(p, &w->wake, until) || w->woken || p->stopping)
			continue;
		if (has_extra(p)) {
			idle_remove(p, w);
			return leave(p, w);
		}
		until = DEADLINE_NEVER;
	}
	if (!w->woken)
		idle_remove(p, w);
	return true;
}

/* false: this worker should end.  *out: what it has been woken for, if that is known. */
static bool wait_input(struct pool *p, struct worker *w, struct job **out, unsigned *out_class)
    REQUIRES(lk_pool);
static bool wait_input(struct pool *p, struct worker *w, struct job **out, unsigned *out_class)
{
	bool extra = has_extra(p);
	struct pool_input in;

	poll_source(p, extra ? (int)(p->cfg.idle_us / 1000) : -1, &in);
	*out = take_input(p, &in, out_class);
	return *out || !in.timed_out || !has_extra(p) || leave(p, w);
}

static void arrive(struct pool *p, struct worker *w) REQUIRES(lk_pool);
static void arrive(struct pool *p, struct worker *w)
{
	if (w->woken) {
		w->woken = false;
		p->waking--;
	}
}

static void run_job(struct worker *w, struct job *job) EXCLUDES_ALL;
static void run_job(struct worker *w, struct job *job)
{
	job->run(job, w);
	MUST(w->depth == 0);
	arena_reset(w->scratch);
}

static void work(struct pool *p, struct worker *w) EXCLUDES(lk_pool);
static void work(struct pool *p, struct worker *w)
{
	unsigned cls = 0;
	struct job *job = NULL;

	pool_lock(p);
	for (;;) {
		if (!job)
			job = look_then_pick(p, &cls);
		arrive(p, w);
		if (job) {
			struct wake_plan plan = plan_wake(p, false);
			pool_unlock(p);
			carry_out(p, plan);
			run_job(w, job);
			pool_lock(p);
			p->class_running[cls]--;
			job = NULL;
		} else if (p->stopping ||
		           !(wants_poller(p) ? wait_input(p, w, &job, &cls) : wait_idle(p, w))) {
			break;
		}
	}
	pool_unlock(p);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pool *p = w->pool;
	void (*hooks[MAX_HOOKS])(void);
	unsigned n;

	thread_name("%.10s/%u", p->cfg.name, w->index);
	w->scratch = arena_new(0);
	work(p, w);
	arena_free(&w->scratch);

	pool_lock(p);
	n = p->n_hooks;
	memcpy(hooks, p->hooks, sizeof hooks);
	pool_unlock(p);
	for (unsigned i = 0; i < n; i++)
		hooks[i]();

	pool_lock(p);
	struct wake_plan plan = {0};
	if (w->leaving)
		p->leaving--;
	w->leaving = false;
	if (--p->stats.workers == 0)
		condvar_broadcast(&p->ended);
	/* It may have been the last that could run while work was coming in.  Before its own slot
	 * is free: a thread cannot join itself. */
	if (!p->stopping)
		plan = plan_wake(p, false);
	w->free_next = p->free;
	p->free = w;
	pool_unlock(p);
	carry_out(p, plan);
	return NULL;
}

/* ---- blocking sections ---- */

static size_t bucket_of(enum pool_purpose what, uint64_t key)
{
	return (size_t)((key ^ (key >> 32) ^ (unsigned)what * 37u) % KEY_BUCKETS);
}

static unsigned count_key(const struct pool *p, enum pool_purpose what, uint64_t key)
    REQUIRES(lk_pool);
static unsigned count_key(const struct pool *p, enum pool_purpose what, uint64_t key)
{
	unsigned n = 0;

	for (const struct worker *w = p->buckets[bucket_of(what, key)]; w; w = w->key_next)
		if (w->key == key && w->purpose == what)
			n++;
	return n;
}

static const char *purpose_name(enum pool_purpose what)
{
	static const char *const names[POOL_PURPOSES] = {
	    [POOL_FOR_LOOKUP] = "lookups",
	    [POOL_FOR_CALLOUT] = "callouts",
	    [POOL_FOR_ACL] = "policy checks",
	    [POOL_FOR_DELIVER] = "remote deliveries",
	    [POOL_FOR_AGENT] = "local deliveries and commands",
	    [POOL_FOR_DISK] = "writes",
	};
	return names[what];
}

static const char *refusal(const struct pool *p, enum pool_purpose what, uint64_t key)
    REQUIRES(lk_pool);
static const char *refusal(const struct pool *p, enum pool_purpose what, uint64_t key)
{
	const struct pool_limit *limit = &p->cfg.limits[what];

	if (p->stats.blocked >= p->cfg.max - p->cfg.reserve)
		return "in all";
	if (limit->total && p->stats.blocked_for[what] >= limit->total)
		return "at a time";
	if (key && limit->per_key && count_key(p, what, key) >= limit->per_key)
		return "for one client or destination";
	return NULL;
}

enum rc pool_blocking_begin(
    struct worker *w, enum pool_purpose what, uint64_t key, struct error *err)
{
	if (!w || w->depth++)
		return RC_OK;
	struct pool *p = w->pool;
	pool_lock(p);
	const char *why = refusal(p, what, key);
	if (why) {
		p->stats.refused++;
		pool_unlock(p);
		w->depth--;
		return error_set(err, RC_DEFER, "too many %s %s", purpose_name(what), why);
	}
	struct worker **bucket = &p->buckets[bucket_of(what, key)];
	w->purpose = what;
	w->key = key;
	w->key_prev = NULL;
	w->key_next = *bucket;
	if (*bucket)
		(*bucket)->key_prev = w;
	*bucket = w;
	p->stats.blocked++;
	p->stats.blocked_for[what]++;
	struct wake_plan plan = plan_wake(p, false);
	pool_unlock(p);
	carry_out(p, plan);
	return RC_OK;
}

void pool_blocking_end(struct worker *w)
{
	if (!w)
		return;
	MUST(w->depth > 0);
	if (--w->depth)
		return;
	struct pool *p = w->pool;
	pool_lock(p);
	if (w->key_prev)
		w->key_prev->key_next = w->key_next;
	else
		p->buckets[bucket_of(w->purpose, w->key)] = w->key_next;
	if (w->key_next)
		w->key_next->key_prev = w->key_prev;
	p->stats.blocked--;
	p->stats.blocked_for[w->purpose]--;
	pool_unlock(p);
}

/* ---- submitting ---- */

void pool_submit_chain(struct pool *p, struct job *first, enum pool_class cls)
{
	pool_lock(p);
	append(p, first, cls);
	struct wake_plan plan = plan_wake(p, false);
	pool_unlock(p);
	carry_out(p, plan);
}

void pool_submit(struct pool *p, struct job *job, enum pool_class cls)
{
	job->next = NULL;
	pool_submit_chain(p, job, cls);
}

/* ---- life cycle ---- */

void pool_set_source(struct pool *p, const struct pool_source *src)
{
	pool_lock(p);
	MUST(!p->source.wait);
	p->source = *src;
	for (struct worker *w = p->idle; w; w = w->idle_next)
		condvar_signal(&w->wake); /* it is to wait there */
	pool_unlock(p);
}

bool pool_tick(struct pool *p)
{
	struct wake_plan plan = {0};

	pool_lock(p);
	bool quiet = p->stats.jobs == p->tick_jobs;
	bool unwatched = p->source.wait && !p->pollers && !p->stopping;
	p->tick_jobs = p->stats.jobs;
	if (p->ticking && quiet && unwatched)
		plan = plan_wake(p, true);
	p->ticking = p->ticking && (!quiet || unwatched);
	bool again = p->ticking;
	pool_unlock(p);
	carry_out(p, plan);
	return again;
}

void pool_unset_source(struct pool *p)
{
	pool_lock(p);
	struct pool_source src = p->source;
	p->source = (struct pool_source){0};
	if (p->pollers)
		src.kick(src.ctx);
	while (p->pollers)
		(void)pool_wait(p, &p->ended, DEADLINE_NEVER);
	pool_unlock(p);
}

static void fill_defaults(struct pool_config *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!c->min)
		c->min = cpus > 4 ? (unsigned)cpus : 4;
	if (!c->max)
		c->max = 1000;
	if (c->max < c->min)
		c->max = c->min;
	if (!c->reserve)
		c->reserve = c->min;
	/* With all workers in reserve none could ever wait: then the last one stays at least. */
	if (c->reserve >= c->max)
		c->reserve = c->max > 1 ? 1 : 0;
	if (!c->idle_us)
		c->idle_us = 10 * US_PER_SEC;
	if (!c->name)
		c->name = "worker";
}

/* The workers of the start: counted before they exist, so that they find themselves in the figures.
 */
static enum rc start_first(struct pool *p, struct error *err)
{
	for (unsigned i = 0; i < p->cfg.min; i++) {
		pool_lock(p);
		struct worker *w = p->free;
		p->free = w->free_next;
		w->woken = true;
		p->waking++;
		p->stats.workers++;
		p->stats.peak = p->stats.workers;
		pool_unlock(p);
		if (!start_worker(p, w))
			return error_set(err, RC_ERROR, "cannot start worker threads");
	}
	return RC_OK;
}

enum rc pool_new(const struct pool_config *cfg, struct pool **out, struct error *err)
{
	struct pool *p = calloc(1, sizeof *p);

	MUST(p != NULL);
	p->cfg = *cfg;
	fill_defaults(&p->cfg);
	mutex_init(&p->lock, LOCK_pool);
	condvar_init(&p->ended);
	p->workers = calloc(p->cfg.max, sizeof *p->workers);
	MUST(p->workers != NULL);
	pool_lock(p);
	for (unsigned c = 0; c < POOL_CLASSES; c++)
		p->queues[c].end = &p->queues[c].first;
	for (unsigned i = p->cfg.max; i-- > 0;) {
		struct worker *w = &p->workers[i];
		w->pool = p;
		w->index = i;
		condvar_init(&w->wake);
		w->free_next = p->free;
		p->free = w;
	}
	pool_unlock(p);
	enum rc rc = start_first(p, err);
	if (rc != RC_OK)
		pool_free(&p);
	else
		*out = p;
	return rc;
}

void pool_on_thread_exit(struct pool *p, void (*fn)(void))
{
	pool_lock(p);
	MUST(p->n_hooks < MAX_HOOKS);
	p->hooks[p->n_hooks++] = fn;
	pool_unlock(p);
}

void pool_stop(struct pool *p)
{
	pool_lock(p);
	p->stopping = true;
	for (struct worker *w = p->idle; w; w = w->idle_next)
		condvar_signal(&w->wake);
	if (p->pollers)
		p->source.kick(p->source.ctx);
	while (p->stats.workers)
		(void)pool_wait(p, &p->ended, DEADLINE_NEVER);
	pool_unlock(p);
	for (unsigned i = 0; i < p->cfg.max; i++) {
		struct worker *w = &p->workers[i];
		pool_lock(p);
		bool join = w->joinable;
		w->joinable = false;
		pthread_t thread = w->thread;
		pool_unlock(p);
		if (join)
			(void)pthread_join(thread, NULL);
	}
}

void pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	pool_stop(p);
	for (unsigned i = 0; i < p->cfg.max; i++)
		condvar_fini(&p->workers[i].wake);
	free(p->workers);
	condvar_fini(&p->ended);
	mutex_fini(&p->lock);
	free(p);
}

struct arena *worker_scratch(struct worker *w)
{
	return w->scratch;
}

struct pool *worker_pool(const struct worker *w)
{
	return w->pool;
}

unsigned worker_index(const struct worker *w)
{
	return w->index;
}

void pool_stats(struct pool *p, struct pool_stats *out)
{
	pool_lock(p);
	*out = p->stats;
	for (unsigned c = 0; c < POOL_CLASSES; c++)
		out->queued[c] = p->queues[c].count;
	pool_unlock(p);
}
