/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "thread/park.h"
#include "thread/start.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static struct pool *pool;
static struct reactor *reactor;

static void begin(unsigned threads)
{
	struct error err = {.text = ""};

	CHECK_EQ_INT(pool_new(&(struct pool_config){.name = "w", .min = 4}, &pool, &err), RC_OK);
	CHECK_EQ_INT(reactor_new(&(struct reactor_config){.threads = threads, .max_parks = 4096},
	                 pool, &reactor, &err),
	    RC_OK);
}

static void end(void)
{
	CHECK(reactor_wait_empty(reactor, clock_mono_us() + 20 * US_PER_SEC));
	pool_stop(pool);
	reactor_free(&reactor);
	pool_free(&pool);
}

static bool reaches(_Atomic int *v, int want)
{
	for (int i = 0; i < 2000; i++) {
		if (atomic_load(v) >= want)
			return true;
		(void)usleep(5000);
	}
	return false;
}

/* A machine that records what woke it. */
struct machine {
	struct park *park;
	struct park_ref ref;
	int fd, peer;
	int64_t wait_us; /* 0: no deadline */
	_Atomic int woken[WAKE_CANCEL + 1], total;
	_Atomic int64_t last_us;
	_Atomic bool inside, overlapped, early;
	int64_t until; /* of this wait */
	_Atomic bool keep_on_timeout;
};

static void machine_wait(struct machine *m)
{
	int64_t until = m->wait_us ? clock_mono_us() + m->wait_us : DEADLINE_NEVER;

	m->until = until;
	atomic_store(&m->inside, false);
	park_wait(m->park, m->fd >= 0 ? EPOLLIN : 0, until, "testing");
}

static void machine_run(void *owner, enum wake why, struct worker *w)
{
	struct machine *m = owner;
	char c;

	(void)w;
	if (atomic_exchange(&m->inside, true))
		atomic_store(&m->overlapped, true);
	if (why == WAKE_IO)
		while (read(m->fd, &c, 1) == 1)
			;
	atomic_store(&m->last_us, clock_mono_us());
	if (why == WAKE_TIMEOUT && m->last_us < m->until)
		atomic_store(&m->early, true);
	bool over = why == WAKE_CANCEL || (why == WAKE_TIMEOUT && !m->keep_on_timeout);
	if (over) {
		park_free(&m->park);
		atomic_store(&m->inside, false);
	}
	atomic_fetch_add(&m->woken[why], 1);
	atomic_fetch_add(&m->total, 1);
	if (!over)
		machine_wait(m);
}

static void machine_new(struct machine *m, bool with_fd, int64_t wait_us)
{
	int ends[2] = {-1, -1};
	struct error err;

	*m = (struct machine){.wait_us = wait_us};
	if (with_fd)
		CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
	m->fd = ends[0];
	m->peer = ends[1];
	m->park = park_new(reactor, m->fd, machine_run, m, &err);
	CHECK(m->park != NULL);
	m->ref = park_ref_of(m->park);
	park_start(m->park);
}

static void machine_close(struct machine *m)
{
	if (m->fd >= 0) {
		(void)close(m->fd);
		(void)close(m->peer);
	}
}

TEST(each_reason_wakes)
{
	struct machine m;

	begin(1);
	machine_new(&m, true, 0);
	CHECK(reaches(&m.woken[WAKE_START], 1));
	CHECK(write(m.peer, "x", 1) == 1);
	CHECK(reaches(&m.woken[WAKE_IO], 1));
	CHECK(write(m.peer, "y", 1) == 1);
	CHECK(reaches(&m.woken[WAKE_IO], 2));
	park_post(reactor, m.ref);
	CHECK(reaches(&m.woken[WAKE_POSTED], 1));
	park_cancel(reactor, m.ref);
	CHECK(reaches(&m.woken[WAKE_CANCEL], 1));
	CHECK(!m.overlapped);
	/* now they name nobody */
	park_post(reactor, m.ref);
	park_cancel(reactor, m.ref);
	park_post(reactor, (struct park_ref){0, 0});
	park_post(reactor, (struct park_ref){UINT32_MAX, 1});
	end();
	CHECK_EQ_INT(m.total, 5);
	machine_close(&m);
}

TEST(a_deadline_wakes_in_time_and_once)
{
	struct machine m;
	int64_t t0 = clock_mono_us();

	begin(1);
	machine_new(&m, true, 60000);
	CHECK(reaches(&m.woken[WAKE_TIMEOUT], 1));
	int64_t took = m.last_us - t0;
	CHECK(took >= 60000);
	CHECK(took < 2 * US_PER_SEC);
	end();
	CHECK_EQ_INT(m.total, 2);
	machine_close(&m);
}

TEST(a_deadline_that_moves_away_does_not_fire)
{
	struct machine m;
	int64_t t0 = clock_mono_us(), last = t0, gap = 0;

	/* Each post starts a new wait of 150 ms; so nothing happens for as long as we post. */
	begin(1);
	machine_new(&m, false, 150000);
	for (int i = 0; i < 20; i++) {
		(void)usleep(20000);
		park_post(reactor, m.ref);
		int64_t now = clock_mono_us();
		gap = now - last > gap ? now - last : gap;
		last = now;
	}
	bool smooth = gap < 100000; /* on a machine that stalls us this proves nothing */
	if (smooth)
		CHECK_EQ_INT(m.woken[WAKE_TIMEOUT], 0);
	CHECK(reaches(&m.woken[WAKE_TIMEOUT], 1));
	if (smooth)
		CHECK(m.last_us - t0 >= 20 * 20000 + 150000);
	end();
}

static void post_self(void *owner, enum wake why, struct worker *w)
{
	struct machine *m = owner;

	(void)w;
	/* a post and a cancellation while it runs are not lost */
	if (why == WAKE_START) {
		park_post(reactor, m->ref);
		park_post(reactor, m->ref);
	} else if (why == WAKE_POSTED && m->total == 1) {
		park_cancel(reactor, m->ref);
	}
	if (why == WAKE_CANCEL)
		park_free(&m->park);
	atomic_fetch_add(&m->woken[why], 1);
	atomic_fetch_add(&m->total, 1);
	if (why != WAKE_CANCEL)
		park_wait(m->park, 0, DEADLINE_NEVER, "");
}

TEST(what_comes_while_running_is_not_lost)
{
	struct machine m = {.fd = -1};

	begin(1);
	m.park = park_new(reactor, -1, post_self, &m, NULL);
	m.ref = park_ref_of(m.park);
	park_start(m.park);
	CHECK(reaches(&m.woken[WAKE_CANCEL], 1));
	end();
	CHECK_EQ_INT(m.woken[WAKE_POSTED], 1);
	CHECK_EQ_INT(m.total, 3);
}

/* ---- many threads at one machine ---- */

#define MACHINES 64
#define ROUNDS   400
static struct machine crowd[MACHINES];
static _Atomic int posts[MACHINES];

static void *storm(void *arg)
{
	unsigned seed = (unsigned)(size_t)arg;

	for (int i = 0; i < ROUNDS * 10; i++) {
		seed = seed * 1664525u + 1013904223u;
		struct machine *m = &crowd[(seed >> 8) % MACHINES];
		if (seed & 0x80) {
			atomic_fetch_add(&posts[m - crowd], 1);
			park_post(reactor, m->ref);
		} else {
			(void)!write(m->peer, "z", 1);
		}
	}
	return NULL;
}

TEST(threads_race_for_the_same_parks)
{
	pthread_t threads[4];
	int runs = 0;

	begin(2);
	for (int i = 0; i < MACHINES; i++) {
		machine_new(&crowd[i], true, 1000 + i * 100);
		atomic_store(&crowd[i].keep_on_timeout, true);
	}
	for (size_t i = 0; i < 4; i++)
		CHECK_EQ_INT(thread_start(&threads[i], 0, storm, (void *)(i + 1)), 0);
	for (size_t i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	/* the last post is seen, though nothing follows it */
	for (int i = 0; i < MACHINES; i++) {
		int before = crowd[i].woken[WAKE_POSTED];
		park_post(reactor, crowd[i].ref);
		CHECK(reaches(&crowd[i].woken[WAKE_POSTED], before + 1));
	}
	reactor_cancel_all(reactor);
	end();
	for (int i = 0; i < MACHINES; i++) {
		CHECK(!crowd[i].overlapped);
		CHECK(!crowd[i].early);
		CHECK_EQ_INT(crowd[i].woken[WAKE_CANCEL], 1);
		runs += crowd[i].total;
		machine_close(&crowd[i]);
	}
	CHECK(runs > MACHINES * 3);
}

/* ---- slots ---- */

TEST(slots_are_used_again_and_run_out)
{
	static struct park *parks[4096];
	struct error err = {.text = ""};
	struct reactor_counts n;

	begin(1);
	for (int i = 0; i < 4096; i++)
		parks[i] = park_new(reactor, -1, machine_run, NULL, NULL);
	CHECK(parks[4095] != NULL);
	CHECK(park_new(reactor, -1, machine_run, NULL, &err) == NULL);
	CHECK(err.text[0] != '\0');
	reactor_count(reactor, &n);
	CHECK_EQ_INT(n.live, 4096);
	CHECK_EQ_INT(n.running, 4096);
	struct park_ref old = park_ref_of(parks[0]);
	for (int i = 0; i < 4096; i++)
		park_free(&parks[i]);
	struct park *p = park_new(reactor, -1, machine_run, NULL, NULL);
	CHECK(p != NULL);
	struct park_ref now = park_ref_of(p);
	CHECK(now.slot != old.slot || now.generation != old.generation);
	park_free(&p);
	end();
}

TEST(a_stale_reference_wakes_nobody)
{
	struct machine old, m;

	begin(1);
	machine_new(&old, false, 0);
	park_cancel(reactor, old.ref);
	CHECK(reactor_wait_empty(reactor, clock_mono_us() + 20 * US_PER_SEC));
	machine_new(&m, false, 0);
	CHECK_EQ_INT(m.ref.slot, old.ref.slot); /* else this proves nothing */
	CHECK(reaches(&m.woken[WAKE_START], 1));
	(void)usleep(20000);
	park_cancel(reactor, old.ref);
	CHECK(!timer_cancel(reactor, old.ref));
	park_post(reactor, m.ref);
	CHECK(reaches(&m.woken[WAKE_POSTED], 1));
	CHECK_EQ_INT(m.total, 2);
	reactor_cancel_all(reactor);
	end();
}

static void note_what(void *arg, const char *what, int64_t deadline_us)
{
	int *n = arg;

	CHECK_EQ_STR(slice_cstr(what), "testing");
	CHECK(deadline_us == DEADLINE_NEVER);
	++*n;
}

/* The worker that waited for input runs a job that neither ends nor says that it waits: another one
 * takes its place. */
struct hog {
	struct park *park;
	int fd;
	atomic_bool hold, ran;
};

static void hog_run(void *owner, enum wake why, struct worker *w)
{
	struct hog *h = owner;
	(void)w;
	if (why == WAKE_CANCEL) {
		park_free(&h->park);
		return;
	}
	if (why == WAKE_IO) {
		char c;
		(void)!read(h->fd, &c, 1);
		atomic_store(&h->ran, true);
		while (atomic_load(&h->hold))
			(void)usleep(1000);
	}
	park_wait(h->park, EPOLLIN, DEADLINE_NEVER, "input");
}

TEST(a_long_job_keeps_no_input_waiting)
{
	struct hog h[4] = {{.fd = -1}};
	int fds[4][2];
	begin(1);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ_INT(pipe(fds[i]), 0);
		h[i].fd = fds[i][0];
		atomic_store(&h[i].hold, i < 3); /* of four workers */
		h[i].park = park_new(reactor, fds[i][0], hog_run, &h[i], NULL);
		park_start(h[i].park);
	}
	for (int i = 0; i < 4; i++) {
		CHECK_EQ_INT(write(fds[i][1], "x", 1), 1);
		for (int ms = 0; ms < 5000 && !atomic_load(&h[i].ran); ms++)
			(void)usleep(1000);
		CHECK(atomic_load(&h[i].ran));
	}
	for (int i = 0; i < 4; i++)
		atomic_store(&h[i].hold, false);
	reactor_cancel_all(reactor);
	end();
	for (int i = 0; i < 4; i++) {
		(void)close(fds[i][0]);
		(void)close(fds[i][1]);
	}
}

TEST(parked_machines_can_be_listed)
{
	struct machine m;
	struct reactor_counts n = {0};
	int seen = 0;

	begin(1);
	machine_new(&m, false, 0);
	for (int i = 0; i < 1000 && n.parked == 0; i++) {
		(void)usleep(1000);
		reactor_count(reactor, &n);
	}
	CHECK_EQ_INT(n.parked, 1);
	reactor_each_parked(reactor, note_what, &seen);
	CHECK_EQ_INT(seen, 1);
	reactor_cancel_all(reactor);
	end();
}

/* ---- timers ---- */

static _Atomic int fired, cancelled;
static _Atomic int64_t fired_early;

static void on_timer(void *arg, enum wake why, struct worker *w)
{
	int64_t at = *(int64_t *)arg;

	CHECK(w != NULL);
	if (why == WAKE_CANCEL)
		atomic_fetch_add(&cancelled, 1);
	else if (clock_mono_us() < at)
		atomic_fetch_add(&fired_early, 1);
	atomic_fetch_add(&fired, 1);
}

TEST(timers_fire_once_unless_cancelled)
{
	static int64_t at[2000];
	static struct park_ref refs[2000];
	int stopped = 0;

	begin(2);
	fired = cancelled = 0;
	fired_early = 0;
	int64_t now = clock_mono_us();
	for (int i = 0; i < 2000; i++) {
		at[i] = now + 50000 + (i * 7919 % 2000) * 50;
		refs[i] = timer_add(reactor, at[i], on_timer, &at[i], NULL);
		CHECK(refs[i].generation != 0);
	}
	for (int i = 0; i < 2000; i += 4)
		stopped += timer_cancel(reactor, refs[i]);
	CHECK(stopped > 0);
	CHECK(reactor_wait_empty(reactor, clock_mono_us() + 20 * US_PER_SEC));
	CHECK(!timer_cancel(reactor, refs[1]));
	end();
	CHECK_EQ_INT(fired, 2000 - stopped);
	CHECK_EQ_INT(fired_early, 0);
	CHECK_EQ_INT(cancelled, 0);
}

TEST(shutdown_cancels_timers)
{
	int64_t at = clock_mono_us() + 3600 * US_PER_SEC;

	begin(1);
	fired = cancelled = 0;
	(void)timer_add(reactor, at, on_timer, &at, NULL);
	reactor_cancel_all(reactor);
	end();
	CHECK_EQ_INT(cancelled, 1);
}

TAP_MAIN()
