/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "thread/lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

const char *lock_rank_name(enum lock_rank rank)
{
	static const char *const names[LOCK_RANKS] = {[LOCK_NONE] = "none",
#define LOCK_NAME(name, after, what) [LOCK_##name] = #name,
	    LOCK_CLASSES(LOCK_NAME)
#undef LOCK_NAME
	};
	return (unsigned)rank < LOCK_RANKS ? names[rank] : "unknown";
}

#if LOCK_DEBUG
/*
 * What the calling thread holds, outermost first.  Per thread and only in debug and sanitizer
 * builds; no code of the kernel decides anything by it.
 */
#define MAX_HELD 16
static _Thread_local struct held {
	const struct mutex *locks[MAX_HELD];
	size_t count;
} held;

static void push_held(struct mutex *m)
{
	MUST(held.count < MAX_HELD);
	held.locks[held.count++] = m;
	atomic_store_explicit(&m->owner, &held, memory_order_relaxed);
}

static void pop_held(struct mutex *m)
{
	size_t i = held.count;

	mutex_debug_assert(m);
	while (i > 0 && held.locks[i - 1] != m)
		i--;
	MUST(i > 0);
	for (; i < held.count; i++)
		held.locks[i - 1] = held.locks[i];
	held.count--;
	atomic_store_explicit(&m->owner, NULL, memory_order_relaxed);
}

static void check_order(const struct mutex *m)
{
	for (size_t i = 0; i < held.count; i++)
		if (held.locks[i]->rank >= m->rank)
			die(__FILE__, __LINE__, "lock order: %s taken while holding %s",
			    lock_rank_name(m->rank), lock_rank_name(held.locks[i]->rank));
}

void mutex_debug_lock(struct mutex *m)
{
	check_order(m);
	MUST(pthread_mutex_lock(&m->m) == 0);
	push_held(m);
}

void mutex_debug_unlock(struct mutex *m)
{
	pop_held(m);
	MUST(pthread_mutex_unlock(&m->m) == 0);
}

void mutex_debug_assert(const struct mutex *m)
{
	if (atomic_load_explicit(&m->owner, memory_order_relaxed) != &held)
		die(__FILE__, __LINE__, "lock %s is not held by this thread",
		    lock_rank_name(m->rank));
}
#endif

void mutex_init(struct mutex *m, enum lock_rank rank)
{
	MUST(pthread_mutex_init(&m->m, NULL) == 0);
#if LOCK_DEBUG
	m->rank = rank;
	atomic_init(&m->owner, NULL);
#else
	(void)rank;
#endif
}

void mutex_fini(struct mutex *m)
{
	MUST(pthread_mutex_destroy(&m->m) == 0);
}

void condvar_init(struct condvar *cv)
{
	pthread_condattr_t attr;

	MUST(pthread_condattr_init(&attr) == 0);
	MUST(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	MUST(pthread_cond_init(&cv->c, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
}

void condvar_fini(struct condvar *cv)
{
	MUST(pthread_cond_destroy(&cv->c) == 0);
}

void condvar_signal(struct condvar *cv)
{
	(void)pthread_cond_signal(&cv->c);
}

void condvar_broadcast(struct condvar *cv)
{
	(void)pthread_cond_broadcast(&cv->c);
}

bool condvar_wait(struct condvar *cv, struct mutex *m, int64_t deadline_us)
{
	int rc;

#if LOCK_DEBUG
	pop_held(m);
#endif
	if (deadline_us == DEADLINE_NEVER) {
		rc = pthread_cond_wait(&cv->c, &m->m);
	} else {
		int64_t at = deadline_us > 0 ? deadline_us : 0;
		struct timespec ts = {
		    .tv_sec = (time_t)(at / US_PER_SEC), .tv_nsec = (long)(at % US_PER_SEC) * 1000};
		rc = pthread_cond_timedwait(&cv->c, &m->m, &ts);
	}
#if LOCK_DEBUG
	push_held(m);
#endif
	MUST(rc == 0 || rc == ETIMEDOUT);
	return rc == 0;
}
