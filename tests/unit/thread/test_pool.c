/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "thread/cancel.h"
#include "thread/heap.h"
#include "thread/pool.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define JOBS 2000

static struct pool *make_pool(struct pool_config cfg)
{
	struct pool *p = NULL;
	struct error err = {.text = ""};

	if (cfg.name == NULL)
		cfg.name = "test";
	CHECK_EQ_INT(pool_new(&cfg, &p, &err), RC_OK);
	return p;
}

static bool eventually(bool (*is_so)(void *), void *arg)
{
	for (int i = 0; i < 1000; i++) {
		if (is_so(arg))
			return true;
		(void)usleep(5000);
	}
	return false;
}

/* ---- every job runs once ---- */

struct counted {
	struct job job;
	_Atomic int *sum;
};

static void count_one(struct job *job, struct worker *w)
{
	struct counted *c = (struct counted *)(void *)job;

	CHECK(arena_used(worker_scratch(w)) == 0);
	(void)arena_alloc(worker_scratch(w), 100);
	atomic_fetch_add(c->sum, 1);
}

TEST(every_job_runs_once)
{
	static struct counted jobs[JOBS];
	_Atomic int sum = 0;
	struct pool *p = make_pool((struct pool_config){.min = 4, .max = 8});

	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i] = (struct counted){{count_one, NULL}, &sum};
		if (i < JOBS / 2) {
			pool_submit(p, &jobs[i].job, (enum pool_class)(i % POOL_CLASSES));
		} else if (i > JOBS / 2) {
			jobs[i - 1].job.next = &jobs[i].job;
		}
	}
	pool_submit_chain(p, &jobs[JOBS / 2].job, POOL_SESSION);
	pool_stop(p);
	CHECK_EQ_INT(sum, JOBS);
	pool_free(&p);
	CHECK(p == NULL);
}

/* ---- blocking makes room ---- */

struct gate {
	_Atomic int inside, refused, passed;
	_Atomic bool open;
	uint64_t key;
};
struct blocker {
	struct job job;
	struct gate *gate;
};

static void block(struct job *job, struct worker *w)
{
	struct gate *g = ((struct blocker *)(void *)job)->gate;
	struct error err;

	if (pool_blocking_begin(w, POOL_FOR_LOOKUP, g->key, &err) != RC_OK) {
		atomic_fetch_add(&g->refused, 1);
		return;
	}
	/* sections nest, and only the outermost counts */
	CHECK_EQ_INT(pool_blocking_begin(w, POOL_FOR_DISK, 1, NULL), RC_OK);
	atomic_fetch_add(&g->inside, 1);
	while (!atomic_load(&g->open))
		(void)usleep(1000);
	pool_blocking_end(w);
	pool_blocking_end(w);
	atomic_fetch_add(&g->passed, 1);
}

static bool twelve_are_settled(void *arg)
{
	struct gate *g = arg;
	return g->inside + g->refused == 12;
}

static bool is_back_to_two(void *arg)
{
	struct pool_stats s;
	pool_stats(arg, &s);
	return s.workers == 2 && s.blocked == 0; /* the last two may still be on their way out */
}

TEST(blocked_workers_are_replaced_and_go_away)
{
	struct gate gate = {.key = 7};
	struct blocker jobs[12];
	struct counted tail;
	_Atomic int sum = 0;
	struct pool_stats s;
	struct pool *p = make_pool((struct pool_config){.min = 2, .max = 20, .idle_us = 20000});

	for (int i = 0; i < 12; i++) {
		jobs[i] = (struct blocker){{block, NULL}, &gate};
		pool_submit(p, &jobs[i].job, POOL_DELIVERY);
	}
	CHECK(eventually(twelve_are_settled, &gate));
	CHECK_EQ_INT(gate.inside, 12);
	pool_stats(p, &s);
	CHECK_EQ_INT(s.blocked, 12);
	CHECK_EQ_INT(s.blocked_for[POOL_FOR_LOOKUP], 12);
	CHECK(s.workers > 2 && s.workers <= 14);
	/* others go on beside them */
	tail = (struct counted){{count_one, NULL}, &sum};
	pool_submit(p, &tail.job, POOL_SESSION);
	for (int i = 0; i < 1000 && !sum; i++)
		(void)usleep(1000);
	CHECK_EQ_INT(sum, 1);
	atomic_store(&gate.open, true);
	CHECK(eventually(is_back_to_two, p));
	/* and the pool grows again: slots are used anew */
	gate.inside = 0;
	atomic_store(&gate.open, false);
	for (int i = 0; i < 12; i++)
		pool_submit(p, &jobs[i].job, POOL_DELIVERY);
	CHECK(eventually(twelve_are_settled, &gate));
	atomic_store(&gate.open, true);
	pool_free(&p);
	CHECK_EQ_INT(gate.passed, 24);
}

static void run_limited(struct pool_config cfg, int want_inside)
{
	struct gate gate = {.key = 42};
	struct blocker jobs[12];
	struct pool_stats s;
	struct pool *p = make_pool(cfg);

	for (int i = 0; i < 12; i++) {
		jobs[i] = (struct blocker){{block, NULL}, &gate};
		pool_submit(p, &jobs[i].job, POOL_SESSION);
	}
	CHECK(eventually(twelve_are_settled, &gate));
	CHECK_EQ_INT(gate.inside, want_inside);
	pool_stats(p, &s);
	CHECK_EQ_INT(s.refused, 12 - want_inside);
	atomic_store(&gate.open, true);
	pool_free(&p);
	CHECK_EQ_INT(gate.passed, want_inside);
}

TEST(blocking_has_limits)
{
	static const struct {
		unsigned max, total, per_key;
		int want;
	} rows[] = {
	    {20, 3, 0, 3}, {20, 0, 5, 5}, {20, 4, 2, 2},
	    {8, 0, 0, 6}, /* the reserve: two never block */
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		run_limited((struct pool_config){.min = 2,
		                .max = rows[i].max,
		                .limits = {[POOL_FOR_LOOKUP] = {rows[i].total, rows[i].per_key}}},
		    rows[i].want);
}

TEST(other_threads_may_bracket_too)
{
	CHECK_EQ_INT(pool_blocking_begin(NULL, POOL_FOR_DISK, 1, NULL), RC_OK);
	pool_blocking_end(NULL);
}

/* ---- class limit ---- */

static _Atomic int now_running, most_running;

static void note_parallel(struct job *job, struct worker *w)
{
	int n = atomic_fetch_add(&now_running, 1) + 1, most = most_running;

	(void)job;
	(void)w;
	while (n > most && !atomic_compare_exchange_weak(&most_running, &most, n))
		;
	(void)usleep(2000);
	atomic_fetch_sub(&now_running, 1);
}

TEST(a_class_keeps_its_maximum)
{
	struct job jobs[40];
	struct pool *p =
	    make_pool((struct pool_config){.min = 6, .class_max = {[POOL_BACKGROUND] = 2}});

	now_running = most_running = 0;
	for (int i = 0; i < 40; i++) {
		jobs[i] = (struct job){note_parallel, NULL};
		pool_submit(p, &jobs[i], POOL_BACKGROUND);
	}
	pool_free(&p);
	CHECK_EQ_INT(most_running, 2);
}

/* ---- exit hooks ---- */

static _Atomic int hooks_run;

static void on_exit_hook(void)
{
	atomic_fetch_add(&hooks_run, 1);
}

TEST(every_thread_runs_the_exit_hooks)
{
	struct pool *p = make_pool((struct pool_config){.min = 3, .max = 3});

	hooks_run = 0;
	pool_on_thread_exit(p, on_exit_hook);
	pool_on_thread_exit(p, on_exit_hook);
	pool_free(&p);
	CHECK_EQ_INT(hooks_run, 6);
}

/* ---- cancel ---- */

static void count_call(void *arg)
{
	++*(int *)arg;
}

static bool polls_readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	return poll(&pfd, 1, 0) == 1;
}

TEST(cancel_tells_everybody)
{
	struct cancel c;
	int before = 0, after = 0, gone = 0;
	struct cancel_listener l1 = {.fn = count_call, .arg = &before};
	struct cancel_listener l2 = {.fn = count_call, .arg = &after};
	struct cancel_listener l3 = {.fn = count_call, .arg = &gone};

	cancel_init(&c);
	CHECK(!cancel_is_set(&c));
	CHECK(!cancel_is_set(NULL));
	CHECK(!polls_readable(cancel_fd(&c)));
	cancel_listen(&c, &l1);
	cancel_listen(&c, &l3);
	cancel_unlisten(&c, &l3);
	cancel_set(&c);
	cancel_set(&c);
	cancel_listen(&c, &l2);
	CHECK(cancel_is_set(&c));
	CHECK(polls_readable(cancel_fd(&c)));
	CHECK_EQ_INT(before, 1);
	CHECK_EQ_INT(after, 1);
	CHECK_EQ_INT(gone, 0);
	cancel_unlisten(&c, &l1);
	cancel_unlisten(&c, &l2);
	cancel_fini(&c);

	cancel_init(&c);
	cancel_set(&c);
	CHECK(polls_readable(cancel_fd(&c)));
	cancel_fini(&c);
}

/* ---- heap ---- */

TEST(heap_keeps_order)
{
	static struct heap_node nodes[500];
	struct heap h = {0};
	uint32_t seed = 12345;
	int64_t last = -1;
	size_t n = 0;

	for (size_t round = 0; round < 3; round++)
		for (size_t i = 0; i < 500; i++) {
			seed = seed * 1664525u + 1013904223u;
			heap_set(&h, &nodes[i], seed >> 8);
		}
	for (size_t i = 0; i < 500; i += 5)
		heap_remove(&h, &nodes[i]);
	heap_remove(&h, &nodes[0]);
	CHECK_EQ_INT(h.count, 400);
	for (struct heap_node *first; (first = heap_first(&h)); n++) {
		CHECK(first->at >= last);
		last = first->at;
		heap_remove(&h, first);
	}
	CHECK_EQ_INT(n, 400);
	heap_fini(&h);
}

TAP_MAIN()
