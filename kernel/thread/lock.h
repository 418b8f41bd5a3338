/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/lock: mutexes that say what they guard, in a form that clang -Wthread-safety checks.
 *
 *	struct counter {
 *		struct mutex lock;
 *		size_t depth GUARDED_BY(lk_counter);          // row `counter` in lock_classes.h
 *	};
 *	// counter_lock(c), counter_unlock(c), counter_wait(...), counter_assert_held(c):
 *	LOCK_FNS(counter, struct counter, lock, lk_counter)
 *	void counter_bump(struct counter *c) REQUIRES(lk_counter);
 *
 * C has no way to name a sibling member in GUARDED_BY, so the analysis works on classes of locks,
 * not on instances.  A class is an object that is declared and never defined.  Builds without
 * optimisation and sanitizer builds also record owners, check the order at run time (which sees
 * instances and calls through pointers) and make lock_assert_held bite.  Fields of a shared struct
 * stand in this order: const after publication, GUARDED_BY, _Atomic, owner thread only, reference
 * count.
 */
#ifndef HEDDLE_THREAD_LOCK_H
#define HEDDLE_THREAD_LOCK_H
#include "base/clock.h"
#include "base/result.h"
#include "thread/lock_classes.h"

#include <pthread.h>

#if defined(__clang__)
#define TSA_ATTR(x) __attribute__((x))
#else
#define TSA_ATTR(x)
#endif
#define CAPABILITY(name)     TSA_ATTR(capability(name))
#define GUARDED_BY(c)        TSA_ATTR(guarded_by(c))
#define PT_GUARDED_BY(c)     TSA_ATTR(pt_guarded_by(c))
#define ACQUIRED_AFTER(...)  TSA_ATTR(acquired_after(__VA_ARGS__))
#define REQUIRES(...)        TSA_ATTR(requires_capability(__VA_ARGS__))
#define ACQUIRE(...)         TSA_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASE(...)         TSA_ATTR(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...)     TSA_ATTR(try_acquire_capability(__VA_ARGS__))
#define EXCLUDES(...)        TSA_ATTR(locks_excluded(__VA_ARGS__))
#define ASSERT_CAPABILITY(c) TSA_ATTR(assert_capability(c))
/* Each use carries its reason in a comment. */
#define NO_TSA TSA_ATTR(no_thread_safety_analysis)

struct CAPABILITY("lock class") lock_class {
	char unused;
};
extern struct lock_class lk_none; /* what the first row comes after; never held */
#define LOCK_DECLARE(name, after, what) \
	extern struct lock_class lk_##name ACQUIRED_AFTER(lk_##after);
LOCK_CLASSES(LOCK_DECLARE)
#undef LOCK_DECLARE

/* For what may be slow or foreign (a driver call, fsync, a log write): no lock at all is held. */
#define LOCK_EACH_COMMA(name, after, what) , lk_##name
#define EXCLUDES_ALL                       EXCLUDES(lk_none LOCK_CLASSES(LOCK_EACH_COMMA))

enum lock_rank {
	LOCK_NONE,
#define LOCK_RANK(name, after, what) LOCK_##name,
	LOCK_CLASSES(LOCK_RANK)
#undef LOCK_RANK
	    LOCK_RANKS
};

#if !defined(__OPTIMIZE__) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define LOCK_DEBUG 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define LOCK_DEBUG 1
#endif
#endif
#ifndef LOCK_DEBUG
#define LOCK_DEBUG 0
#endif

struct mutex {
	pthread_mutex_t m;
#if LOCK_DEBUG
	enum lock_rank rank;
	_Atomic(const void *) owner; /* an address of the thread; relaxed: it finds only itself */
#endif
};

struct condvar {
	pthread_cond_t c;
};

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_fini(struct mutex *m);
/* Plumbing of LOCK_FNS: these do not tell the analysis anything. */
void mutex_debug_lock(struct mutex *m);
void mutex_debug_unlock(struct mutex *m);
void mutex_debug_assert(const struct mutex *m);
const char *lock_rank_name(enum lock_rank rank);

static inline void mutex_lock(struct mutex *m)
{
#if LOCK_DEBUG
	mutex_debug_lock(m);
#else
	(void)pthread_mutex_lock(&m->m);
#endif
}
static inline void mutex_unlock(struct mutex *m)
{
#if LOCK_DEBUG
	mutex_debug_unlock(m);
#else
	(void)pthread_mutex_unlock(&m->m);
#endif
}
/* Dies when the calling thread does not hold it (debug and sanitizer builds). */
static inline void mutex_assert_held(const struct mutex *m)
{
#if LOCK_DEBUG
	mutex_debug_assert(m);
#else
	(void)m;
#endif
}

void condvar_init(struct condvar *cv);
void condvar_fini(struct condvar *cv);
void condvar_signal(struct condvar *cv);
void condvar_broadcast(struct condvar *cv);
/* m is held before and after.  deadline_us on the monotonic clock, DEADLINE_NEVER: none.  false:
 * the deadline passed. May wake for no reason: test your condition in a loop. */
bool condvar_wait(struct condvar *cv, struct mutex *m, int64_t deadline_us);

/* Typed functions for one class: NAME_lock(p), NAME_unlock(p), NAME_wait(p, cv, deadline_us),
 * NAME_assert_held(p). Their bodies are outside of the analysis because they are its primitives. */
#define LOCK_FNS(name, type, member, cls)                                                      \
	__attribute__((unused)) static inline void name##_lock(type *p) ACQUIRE(cls) NO_TSA;   \
	static inline void name##_lock(type *p)                                                \
	{                                                                                      \
		mutex_lock(&p->member);                                                        \
	}                                                                                      \
	__attribute__((unused)) static inline void name##_unlock(type *p) RELEASE(cls) NO_TSA; \
	static inline void name##_unlock(type *p)                                              \
	{                                                                                      \
		mutex_unlock(&p->member);                                                      \
	}                                                                                      \
	__attribute__((unused)) static inline bool name##_wait(                                \
	    type *p, struct condvar *cv, int64_t deadline_us) REQUIRES(cls) NO_TSA;            \
	static inline bool name##_wait(type *p, struct condvar *cv, int64_t deadline_us)       \
	{                                                                                      \
		return condvar_wait(cv, &p->member, deadline_us);                              \
	}                                                                                      \
	__attribute__((unused)) static inline void name##_assert_held(const type *p)           \
	    ASSERT_CAPABILITY(cls) NO_TSA;                                                     \
	static inline void name##_assert_held(const type *p)                                   \
	{                                                                                      \
		mutex_assert_held(&p->member);                                                 \
	}

#endif
