/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults for clang -Wthread-safety to find; see tests/lint/locks.  Never built. */
#include "thread/lock.h"

struct counter {
	struct mutex lock, other;
	int depth GUARDED_BY(lk_pool);
};
LOCK_FNS(counter, struct counter, lock, lk_pool)
LOCK_FNS(outer, struct counter, other, lk_timers)

void bump(struct counter *c) REQUIRES(lk_pool);
void slow(void) EXCLUDES_ALL;
int all_is_well(struct counter *c);
int read_without(struct counter *c);
void write_without(struct counter *c);
void call_without(struct counter *c);
void keeps_it(struct counter *c);
void wrong_order(struct counter *c);
void twice(struct counter *c);
void slow_under_lock(struct counter *c);
void wrong_class(struct counter *c);

void bump(struct counter *c)
{
	c->depth++;
}

int all_is_well(struct counter *c)
{
	outer_lock(c);
	counter_lock(c);
	bump(c);
	int n = c->depth;
	counter_unlock(c);
	outer_unlock(c);
	slow();
	return n;
}

int read_without(struct counter *c)
{
	return c->depth; /* fault: reading variable 'depth' requires */
}

void write_without(struct counter *c)
{
	c->depth = 1; /* fault: writing variable 'depth' requires */
}

void call_without(struct counter *c)
{
	bump(c); /* fault: calling function 'bump' requires */
}

void keeps_it(struct counter *c)
{
	counter_lock(c);
} /* fault: is still held at the end of function */

void wrong_order(struct counter *c)
{
	counter_lock(c);
	outer_lock(c); /* fault: must be acquired before */
	outer_unlock(c);
	counter_unlock(c);
}

void twice(struct counter *c)
{
	counter_lock(c);
	counter_lock(c); /* fault: acquiring lock class 'lk_pool' that is already held */
	counter_unlock(c);
}

void slow_under_lock(struct counter *c)
{
	counter_lock(c);
	slow(); /* fault: cannot call function 'slow' while */
	counter_unlock(c);
}

void wrong_class(struct counter *c)
{
	outer_lock(c);
	c->depth = 2; /* fault: writing variable 'depth' requires */
	outer_unlock(c);
}
