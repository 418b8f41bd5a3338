/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One parked machine without threads: what park.h and pool.h promise, as far as a server's session
 * asks for it.  These take the place of the kernel's own at the link, so each run is the same run.
 * The fuzz target says what happens next.
 */
#ifndef HEDDLE_FUZZ_PARK_HOST_H
#define HEDDLE_FUZZ_PARK_HOST_H
#include "base/arena.h"
#include "thread/park.h"

#include <poll.h>

struct park {
	int fd;
	park_fn run;
	void *owner;
	uint32_t events;
	bool started, waiting, posted;
};
static struct park the_park; /* fn NULL: free */
static struct arena *the_scratch;

struct park *park_new(struct reactor *r, int fd, park_fn run, void *owner, struct error *err)
{
	(void)r, (void)err;
	MUST(!the_park.run);
	the_park = (struct park){.fd = fd, .run = run, .owner = owner};
	return &the_park;
}
struct park_ref park_ref_of(const struct park *p)
{
	MUST(p == &the_park);
	return (struct park_ref){1, 1};
}
void park_start(struct park *p)
{
	p->started = true;
}
void park_wait(struct park *p, uint32_t events, int64_t deadline_us, const char *what)
{
	MUST(p->run && !p->waiting && what && deadline_us > 0);
	p->waiting = true;
	p->events = events;
}
void park_yield(struct park *p)
{
	park_wait(p, 0, DEADLINE_NEVER, "others");
	p->posted = true;
}
void park_set_fd(struct park *p, int fd)
{
	p->fd = fd;
}
void park_set_pool(struct park *p, struct pool *pool, enum pool_class cls)
{
	(void)p, (void)pool, (void)cls;
}
void park_free(struct park **p)
{
	MUST(*p == &the_park && !the_park.waiting);
	the_park.run = NULL;
	*p = NULL;
}
void park_post(struct reactor *r, struct park_ref ref)
{
	(void)r;
	if (ref.slot)
		the_park.posted = true;
}
void park_cancel(struct reactor *r, struct park_ref ref)
{
	(void)r, (void)ref;
}
enum rc pool_blocking_begin(
    struct worker *w, enum pool_purpose what, uint64_t key, struct error *err)
{
	(void)w, (void)what, (void)key, (void)err;
	return RC_OK;
}
void pool_blocking_end(struct worker *w)
{
	(void)w;
}
void pool_submit(struct pool *p, struct job *job, enum pool_class cls)
{
	(void)p, (void)job, (void)cls;
	MUST(p == NULL && job == NULL && cls == POOL_CLASSES); /* there are no jobs */
}
struct arena *worker_scratch(struct worker *w)
{
	(void)w;
	return the_scratch;
}

static inline bool park_readable(void)
{
	struct pollfd p = {.fd = the_park.fd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

static inline void park_run(enum wake why)
{
	MUST(the_park.run && (the_park.waiting || why == WAKE_START));
	the_park.waiting = false;
	if (why == WAKE_POSTED)
		the_park.posted = false;
	the_park.run(the_park.owner, why, NULL);
	MUST(!the_park.run || the_park.waiting);
	arena_reset(the_scratch);
}
#endif
