/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The epoll, the threads that keep the timers, and the slots that parks live in.
 *
 * Input has no thread of its own: an idle worker takes what has come from the epoll and runs the
 * parks that it is for, so that a command costs one wake.
 *
 * Most waits end long before their deadline, so a deadline that moves away costs nothing: the heap
 * keeps the old, earlier time, and when that comes the thread looks at the real one and puts the
 * node back.  armed_at lets the runner see without the lock that its node lies early enough.
 */
#include "thread/park_private.h"
#include "thread/start.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_EVENTS    32
#define TICK_MS       10
#define KICK_MARK     UINT64_MAX
#define KICK_SLACK_US 2000 /* a timer this little earlier than the planned wake-up waits for it */

LOCK_FNS(slots, struct reactor, slots_lock, lk_reactor_slots)
LOCK_FNS(timers, struct reactor_thread, lock, lk_timers)

/* ---- slots ---- */

struct park *reactor_slot(const struct reactor *r, uint32_t slot)
{
	uint32_t chunk = slot / CHUNK_PARKS;

	if (chunk >= atomic_load_explicit(&r->n_chunks, memory_order_acquire))
		return NULL;
	return atomic_load_explicit(&r->chunks[chunk], memory_order_relaxed) + slot % CHUNK_PARKS;
}

static bool add_chunk(struct reactor *r) REQUIRES(lk_reactor_slots);
static bool add_chunk(struct reactor *r)
{
	uint32_t n = atomic_load_explicit(&r->n_chunks, memory_order_relaxed);

	if (n >= r->max_chunks)
		return false;
	struct park *parks = calloc(CHUNK_PARKS, sizeof *parks);
	MUST(parks != NULL);
	for (uint32_t i = CHUNK_PARKS; i-- > 0;) {
		struct park *p = &parks[i];
		p->reactor = r;
		p->slot = n * CHUNK_PARKS + i;
		p->thread = &r->threads[p->slot % r->n_threads];
		atomic_init(&p->word, UINT64_C(1) << 32 | PARK_FREE);
		atomic_init(&p->deadline, DEADLINE_NEVER);
		atomic_init(&p->armed_at, DEADLINE_NEVER);
		p->free_next = r->free;
		r->free = p;
	}
	atomic_store_explicit(&r->chunks[n], parks, memory_order_relaxed);
	atomic_store_explicit(&r->n_chunks, n + 1, memory_order_release);
	return true;
}

struct park *reactor_take_slot(struct reactor *r)
{
	struct park *p = NULL;

	slots_lock(r);
	if (r->free || add_chunk(r)) {
		p = r->free;
		r->free = p->free_next;
		r->live++;
	}
	slots_unlock(r);
	return p;
}

void reactor_give_slot(struct reactor *r, struct park *p)
{
	timers_lock(p->thread);
	heap_remove(&p->thread->timers, &p->node);
	atomic_store(&p->armed_at, DEADLINE_NEVER);
	timers_unlock(p->thread);

	slots_lock(r);
	p->free_next = r->free;
	r->free = p;
	if (--r->live == 0)
		condvar_broadcast(&r->empty);
	slots_unlock(r);
}

/* ---- timers ---- */

static void kick(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof one) < 0) {
		if (errno != EINTR)
			break; /* EAGAIN: it is readable already */
	}
}

void reactor_arm_timer(struct park *p, int64_t deadline_us)
{
	struct reactor_thread *t = p->thread;

	if (deadline_us >= atomic_load(&p->armed_at))
		return;
	timers_lock(t);
	heap_set(&t->timers, &p->node, deadline_us);
	atomic_store(&p->armed_at, deadline_us);
	bool early = deadline_us < t->sleep_until - KICK_SLACK_US;
	if (early)
		t->sleep_until = deadline_us;
	timers_unlock(t);
	if (early)
		kick(t->kick_fd);
}

/* The next park whose deadline has come, or NULL when there is none; *out_generation names it as it
 * is now. */
static struct park *pop_due(struct reactor_thread *t, int64_t now, uint32_t *out_generation)
    REQUIRES(lk_timers);
static struct park *pop_due(struct reactor_thread *t, int64_t now, uint32_t *out_generation)
{
	struct heap_node *n;

	while ((n = heap_first(&t->timers)) && n->at <= now) {
		struct park *p = HEAP_OWNER(n, struct park, node);
		heap_remove(&t->timers, n);
		atomic_store(&p->armed_at, DEADLINE_NEVER);
		int64_t deadline = atomic_load(&p->deadline);
		if (deadline <= now) {
			/* park_free takes this lock before the slot can be another park's. */
			*out_generation = park_ref_of(p).generation;
			return p;
		}
		if (deadline != DEADLINE_NEVER) {
			heap_set(&t->timers, n, deadline);
			atomic_store(&p->armed_at, deadline);
		}
	}
	return NULL;
}

/* Wake what is due; returns how long to sleep, in milliseconds. */
static int run_timers(struct reactor_thread *t, struct batch *b)
{
	int64_t now = clock_mono_us(), wait_us;
	uint32_t generation;
	struct park *p;

	timers_lock(t);
	while ((p = pop_due(t, now, &generation))) {
		timers_unlock(t);
		park_wake(p, generation, PARK_TIMEOUT, b);
		timers_lock(t);
	}
	struct heap_node *n = heap_first(&t->timers);
	t->sleep_until = n ? n->at : DEADLINE_NEVER;
	wait_us = n ? n->at - now : -1;
	timers_unlock(t);
	if (wait_us < 0)
		return n ? 0 : -1;
	int64_t ms = (wait_us + 999) / 1000;
	return ms > 60000 ? 60000 : (int)ms;
}

/* ---- threads ---- */

static void *reactor_main(void *arg)
{
	struct reactor_thread *t = arg;
	struct pollfd kicked = {.fd = t->kick_fd, .events = POLLIN};
	uint64_t n;

	thread_name("%.10s/%u", t->reactor->name, t->index);
	while (!atomic_load_explicit(&t->reactor->stopping, memory_order_acquire)) {
		struct batch b = {0};
		int timeout = run_timers(t, &b);
		batch_flush(&b);
		if (t->index == 0 && pool_tick(t->reactor->pool) &&
		    (timeout < 0 || timeout > TICK_MS))
			timeout = TICK_MS;
		if (poll(&kicked, 1, timeout) > 0)
			(void)!read(t->kick_fd, &n, sizeof n);
	}
	return NULL;
}

static enum rc thread_begin(struct reactor *r, struct reactor_thread *t, struct error *err)
{
	t->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->kick_fd < 0)
		return error_errno(err, RC_ERROR, errno, "eventfd");
	int rc = thread_start(&t->thread, 0, reactor_main, t);
	if (rc)
		return error_errno(err, RC_ERROR, rc, "start a thread of reactor %s", r->name);
	t->started = true;
	return RC_OK;
}

/* ---- input ---- */

static void source_wait(void *ctx, int timeout_ms, struct pool_input *out)
{
	struct reactor *r = ctx;
	struct epoll_event ev[MAX_EVENTS];
	struct batch b = {0};
	int n = epoll_wait(r->epoll_fd, ev, MAX_EVENTS, timeout_ms);

	out->timed_out = n == 0;
	for (int i = 0; i < n; i++) {
		uint64_t mark = ev[i].data.u64;
		struct park *p = mark == KICK_MARK ? NULL : reactor_slot(r, (uint32_t)mark);

		out->kicked |= mark == KICK_MARK;
		if (p)
			park_wake(p, (uint32_t)(mark >> 32), PARK_IO, &b);
	}
	if (b.first && b.pool == r->pool) {
		out->jobs = b.first;
		out->cls = b.cls;
	} else {
		batch_flush(&b);
	}
}

static void source_kick(void *ctx)
{
	struct reactor *r = ctx;

	kick(r->wake_fd);
}

static void source_start_ticks(void *ctx)
{
	struct reactor *r = ctx;

	kick(r->threads[0].kick_fd);
}

static enum rc source_begin(struct reactor *r, struct error *err)
{
	/* Edge-triggered: each kick wakes one worker, and nobody need read it. */
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = KICK_MARK};
	struct pool_source src = {r, source_wait, source_kick, source_start_ticks};

	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->epoll_fd < 0 || r->wake_fd < 0 ||
	    epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->wake_fd, &ev) < 0)
		return error_errno(err, RC_ERROR, errno, "epoll");
	pool_set_source(r->pool, &src);
	r->is_source = true;
	return RC_OK;
}

static void source_end(struct reactor *r)
{
	if (r->is_source)
		pool_unset_source(r->pool);
	if (r->epoll_fd >= 0)
		(void)close(r->epoll_fd);
	if (r->wake_fd >= 0)
		(void)close(r->wake_fd);
}

enum rc reactor_new(
    const struct reactor_config *cfg, struct pool *pool, struct reactor **out, struct error *err)
{
	struct reactor *r = calloc(1, sizeof *r);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t max = cfg->max_parks ? cfg->max_parks : 1u << 20;

	MUST(r != NULL);
	r->pool = pool;
	r->epoll_fd = r->wake_fd = -1;
	r->name = cfg->name ? cfg->name : "reactor";
	r->n_threads = cfg->threads ? cfg->threads : cpus > 4 ? (unsigned)cpus / 4 : 1;
	r->max_chunks = (max + CHUNK_PARKS - 1) / CHUNK_PARKS;
	r->chunks = calloc(r->max_chunks, sizeof *r->chunks);
	r->threads = calloc(r->n_threads, sizeof *r->threads);
	MUST(r->chunks != NULL && r->threads != NULL);
	mutex_init(&r->slots_lock, LOCK_reactor_slots);
	condvar_init(&r->empty);
	for (unsigned i = 0; i < r->n_threads; i++) {
		struct reactor_thread *t = &r->threads[i];
		t->reactor = r;
		t->index = i;
		t->kick_fd = -1;
		mutex_init(&t->lock, LOCK_timers);
	}
	enum rc rc = RC_OK;
	for (unsigned i = 0; i < r->n_threads && rc == RC_OK; i++)
		rc = thread_begin(r, &r->threads[i], err);
	if (rc == RC_OK)
		rc = source_begin(r, err);
	if (rc != RC_OK)
		reactor_free(&r);
	else
		*out = r;
	return rc;
}

/* Nobody else is left. */
static void thread_end(struct reactor_thread *t) NO_TSA
{
	if (t->started) {
		kick(t->kick_fd);
		(void)pthread_join(t->thread, NULL);
	}
	if (t->kick_fd >= 0)
		(void)close(t->kick_fd);
	heap_fini(&t->timers);
	mutex_fini(&t->lock);
}

void reactor_free(struct reactor **rp)
{
	struct reactor *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	slots_lock(r);
	MUST(r->live == 0);
	slots_unlock(r);
	atomic_store_explicit(&r->stopping, true, memory_order_release);
	for (unsigned i = 0; i < r->n_threads; i++)
		thread_end(&r->threads[i]);
	source_end(r);
	for (uint32_t i = 0; i < r->max_chunks; i++)
		free(atomic_load_explicit(&r->chunks[i], memory_order_relaxed));
	free(r->chunks);
	free(r->threads);
	condvar_fini(&r->empty);
	mutex_fini(&r->slots_lock);
	free(r);
}

/* ---- all parks ---- */

void reactor_cancel_all(struct reactor *r)
{
	uint32_t slots = atomic_load_explicit(&r->n_chunks, memory_order_acquire) * CHUNK_PARKS;

	for (uint32_t i = 0; i < slots; i++)
		park_cancel(r, park_ref_of(reactor_slot(r, i)));
}

bool reactor_wait_empty(struct reactor *r, int64_t deadline_us)
{
	slots_lock(r);
	while (r->live && slots_wait(r, &r->empty, deadline_us))
		;
	bool empty = r->live == 0;
	slots_unlock(r);
	return empty;
}

void reactor_count(struct reactor *r, struct reactor_counts *out)
{
	uint32_t slots = atomic_load_explicit(&r->n_chunks, memory_order_acquire) * CHUNK_PARKS;
	size_t by_state[PARK_STATE + 1] = {0};

	for (uint32_t i = 0; i < slots; i++) {
		struct park *p = reactor_slot(r, i);
		by_state[atomic_load_explicit(&p->word, memory_order_relaxed) & PARK_STATE]++;
	}
	*out = (struct reactor_counts){
	    .live = by_state[PARK_RUNNING] + by_state[PARK_QUEUED] + by_state[PARK_PARKED],
	    .running = by_state[PARK_RUNNING],
	    .queued = by_state[PARK_QUEUED],
	    .parked = by_state[PARK_PARKED]};
}

void reactor_each_parked(
    struct reactor *r, void (*fn)(void *arg, const char *what, int64_t deadline_us), void *arg)
{
	uint32_t slots = atomic_load_explicit(&r->n_chunks, memory_order_acquire) * CHUNK_PARKS;

	for (uint32_t i = 0; i < slots; i++) {
		struct park *p = reactor_slot(r, i);
		uint64_t w = atomic_load_explicit(&p->word, memory_order_relaxed);
		if ((w & PARK_STATE) == PARK_PARKED)
			fn(arg, atomic_load_explicit(&p->what, memory_order_relaxed),
			    atomic_load(&p->deadline));
	}
}
