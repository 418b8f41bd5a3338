/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "thread/park.h"

#include "thread/park_private.h"

#include <errno.h>

static uint32_t word_generation(uint64_t w)
{
	return (uint32_t)(w >> 32);
}

static unsigned word_state(uint64_t w)
{
	return (unsigned)w & PARK_STATE;
}

/* The compare-and-swap all transitions go through; reloads *w when it fails. */
static bool change(struct park *p, uint64_t *w, uint64_t to)
{
	return atomic_compare_exchange_weak_explicit(
	    &p->word, w, to, memory_order_acq_rel, memory_order_acquire);
}

static void set_state(struct park *p, unsigned state, unsigned add)
{
	uint64_t w = atomic_load_explicit(&p->word, memory_order_relaxed);

	while (!change(p, &w, (w & ~(uint64_t)PARK_STATE) | state | add))
		;
}

/* ---- to the pool ---- */

void batch_flush(struct batch *b)
{
	if (b->first)
		pool_submit_chain(b->pool, b->first, b->cls);
	b->first = NULL;
}

static void submit(struct park *p, struct batch *b)
{
	if (!b) {
		pool_submit(p->pool, &p->job, p->cls);
		return;
	}
	if (b->first && (b->pool != p->pool || b->cls != p->cls))
		batch_flush(b);
	if (!b->first) {
		b->pool = p->pool;
		b->cls = p->cls;
		b->end = &b->first;
	}
	p->job.next = NULL;
	*b->end = &p->job;
	b->end = &p->job.next;
}

/* Does this wake mean anything to a park in this state? */
static bool is_wanted(struct park *p, uint64_t w, unsigned bit)
{
	unsigned state = word_state(w);

	if (state == PARK_FREE)
		return false;
	if (bit != PARK_IO && bit != PARK_TIMEOUT)
		return true; /* told, sooner or later */
	/* Readiness and time are looked at anew in each wait; outside of one they are stale. */
	if (state == PARK_QUEUED || (state == PARK_RUNNING && !(w & PARK_ARMING)))
		return false;
	if (bit == PARK_IO)
		return (w & PARK_WANT_IO) != 0;
	return atomic_load(&p->deadline) <= clock_mono_us();
}

void park_wake(struct park *p, uint32_t generation, unsigned bit, struct batch *batch)
{
	uint64_t w = atomic_load_explicit(&p->word, memory_order_acquire);

	while (word_generation(w) == generation && is_wanted(p, w, bit)) {
		if (word_state(w) == PARK_PARKED) {
			if (change(p, &w, (w & ~(uint64_t)PARK_STATE) | PARK_QUEUED | bit)) {
				submit(p, batch);
				return;
			}
		} else if ((w & bit) || change(p, &w, w | bit)) {
			return;
		}
	}
}

/* ---- running ---- */

static enum wake take_reason(uint64_t *w)
{
	static const struct {
		unsigned bit;
		enum wake why;
	} order[] = {
	    {PARK_CANCEL, WAKE_CANCEL},
	    {PARK_START, WAKE_START},
	    {PARK_POSTED, WAKE_POSTED},
	    {PARK_IO, WAKE_IO},
	    {PARK_TIMEOUT, WAKE_TIMEOUT},
	};

	for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
		if (*w & order[i].bit) {
			*w &= ~(uint64_t)(order[i].bit | PARK_IO | PARK_TIMEOUT);
			return order[i].why;
		}
	}
	die(__FILE__, __LINE__, "a park was queued for no reason");
}

void park_run_job(struct job *job, struct worker *worker)
{
	struct park *p = (struct park *)(void *)((char *)job - offsetof(struct park, job));
	uint64_t w = atomic_load_explicit(&p->word, memory_order_acquire);
	enum wake why;

	for (;;) {
		uint64_t to = w;
		why = take_reason(&to);
		to &= ~(uint64_t)(PARK_STATE | PARK_WANT_IO);
		if (change(p, &w, to | PARK_RUNNING))
			break;
	}
	p->run(p->owner, why, worker);
}

/* ---- waiting ---- */

static void arm_io(struct park *p, uint32_t events)
{
	uint32_t generation = word_generation(atomic_load_explicit(&p->word, memory_order_relaxed));
	struct epoll_event ev = {
	    .events = events | EPOLLONESHOT, .data.u64 = (uint64_t)generation << 32 | p->slot};
	int op = p->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int rc = epoll_ctl(p->reactor->epoll_fd, op, p->fd, &ev);

	/* A descriptor that another park has watched, or that was closed and opened again behind
	 * our back. */
	if (rc < 0 && (errno == EEXIST || errno == ENOENT)) {
		op = errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
		rc = epoll_ctl(p->reactor->epoll_fd, op, p->fd, &ev);
	}
	p->in_epoll = rc == 0;
	if (rc < 0) {
		/* A plain file is always ready; otherwise nothing would ever wake it: let it find
		 * out and end. */
		unsigned bit = errno == EPERM ? PARK_IO : PARK_CANCEL;
		atomic_fetch_or_explicit(&p->word, bit, memory_order_acq_rel);
	}
}

void park_wait(struct park *p, uint32_t events, int64_t deadline_us, const char *what)
{
	bool io = events != 0 && p->fd >= 0;
	uint64_t w = atomic_load_explicit(&p->word, memory_order_relaxed), to;

	MUST(word_state(w) == PARK_RUNNING && !(w & PARK_ARMING));
	atomic_store_explicit(&p->what, what, memory_order_relaxed);
	atomic_store(&p->deadline, deadline_us);
	do {
		uint64_t wait = (w >> PARK_WAIT_SHIFT) + 1;
		to = (w & ~(uint64_t)0xffff0000u) | (wait & 0xffff) << PARK_WAIT_SHIFT;
		to = (to & ~(uint64_t)(PARK_IO | PARK_TIMEOUT)) | PARK_ARMING |
		     (io ? PARK_WANT_IO : 0u);
	} while (!change(p, &w, to));

	if (!(to & PARK_PENDING)) {
		reactor_arm_timer(p, deadline_us);
		if (io)
			arm_io(p, events);
	}
	w = atomic_load_explicit(&p->word, memory_order_acquire);
	for (;;) {
		bool pending = (w & PARK_PENDING) != 0;
		to = w & ~(uint64_t)(PARK_STATE | PARK_ARMING);
		if (!change(p, &w, to | (pending ? PARK_QUEUED : PARK_PARKED)))
			continue;
		if (pending)
			submit(p, NULL); /* still ours: only a worker takes it out of the queue */
		return;
	}
}

void park_start(struct park *p)
{
	set_state(p, PARK_QUEUED, PARK_START);
	submit(p, NULL);
}

void park_yield(struct park *p)
{
	set_state(p, PARK_QUEUED, PARK_POSTED);
	submit(p, NULL);
}

void park_set_fd(struct park *p, int fd)
{
	if (p->in_epoll && fd != p->fd)
		(void)epoll_ctl(p->reactor->epoll_fd, EPOLL_CTL_DEL, p->fd, NULL);
	p->in_epoll = p->in_epoll && fd == p->fd;
	p->fd = fd;
}

void park_set_pool(struct park *p, struct pool *pool, enum pool_class cls)
{
	p->pool = pool;
	p->cls = cls;
}

/* ---- life cycle ---- */

struct park *park_new(struct reactor *r, int fd, park_fn run, void *owner, struct error *err)
{
	struct park *p = reactor_take_slot(r);

	if (!p) {
		(void)error_set(err, RC_DEFER, "too many sessions and timers");
		return NULL;
	}
	p->run = run;
	p->owner = owner;
	p->timer_fn = NULL;
	p->timer_arg = NULL;
	p->fd = fd;
	p->in_epoll = false;
	p->pool = r->pool;
	p->cls = POOL_SESSION;
	p->job = (struct job){.run = park_run_job};
	atomic_store(&p->deadline, DEADLINE_NEVER);
	atomic_store_explicit(&p->what, "", memory_order_relaxed);
	set_state(p, PARK_RUNNING, 0);
	return p;
}

struct park_ref park_ref_of(const struct park *p)
{
	uint64_t w = atomic_load_explicit(&p->word, memory_order_relaxed);

	return (struct park_ref){p->slot, word_generation(w)};
}

void park_free(struct park **pp)
{
	struct park *p = *pp;
	uint64_t w, generation;

	*pp = NULL;
	if (!p)
		return;
	w = atomic_load_explicit(&p->word, memory_order_relaxed);
	do {
		MUST(word_state(w) == PARK_RUNNING);
		/* Generation 0 names no park. */
		generation =
		    word_generation(w) == UINT32_MAX ? 1 : word_generation(w) + UINT64_C(1);
	} while (!change(p, &w, generation << 32 | PARK_FREE));
	/* It stays in the epoll set until the descriptor is closed: disarmed, or one event that
	 * names nobody. */
	reactor_give_slot(p->reactor, p);
}

static void wake_ref(struct reactor *r, struct park_ref ref, unsigned bit)
{
	struct park *p = reactor_slot(r, ref.slot);

	if (p && ref.generation)
		park_wake(p, ref.generation, bit, NULL);
}

void park_post(struct reactor *r, struct park_ref ref)
{
	wake_ref(r, ref, PARK_POSTED);
}

void park_cancel(struct reactor *r, struct park_ref ref)
{
	wake_ref(r, ref, PARK_CANCEL);
}

/* ---- timers: parks without a descriptor ---- */

static void timer_run(void *owner, enum wake why, struct worker *w)
{
	struct park *p = owner;
	park_fn fn = p->timer_fn;
	void *arg = p->timer_arg;

	park_free(&p);
	fn(arg, why == WAKE_CANCEL ? WAKE_CANCEL : WAKE_TIMEOUT, w);
}

struct park_ref timer_add(
    struct reactor *r, int64_t at_us, park_fn fn, void *arg, struct error *err)
{
	struct park *p = park_new(r, -1, timer_run, NULL, err);

	if (!p)
		return (struct park_ref){0, 0};
	p->owner = p;
	p->timer_fn = fn;
	p->timer_arg = arg;
	p->cls = POOL_BACKGROUND;
	struct park_ref ref = park_ref_of(p);
	park_wait(p, 0, at_us, "timer");
	return ref;
}

bool timer_cancel(struct reactor *r, struct park_ref ref)
{
	struct park *p = reactor_slot(r, ref.slot);

	if (!p || !ref.generation)
		return false;
	uint64_t w = atomic_load_explicit(&p->word, memory_order_acquire);
	while (word_generation(w) == ref.generation && word_state(w) == PARK_PARKED) {
		/* Who takes it out of PARKED owns it. */
		if (!change(p, &w, (w & ~(uint64_t)PARK_STATE) | PARK_RUNNING))
			continue;
		MUST(p->timer_fn != NULL);
		park_free(&p);
		return true;
	}
	return false;
}
