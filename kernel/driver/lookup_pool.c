/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Open handles by snapshot, driver and source.  One that is not SHARED has one user at a time;
 * several of the same source may be open then.  Drivers are called with no lock held: a handle is
 * taken (or taken out) first, then opened, asked or closed.
 */
#include "base/map.h"
#include "driver/lookup_private.h"

#include <stdlib.h>

enum { BUCKETS = 256, OPEN_MAX_DEFAULT = 25, RESULTS = 1000, RESULT_BYTES = 4 << 20 };

struct instance { /* what a driver keeps for a snapshot */
	struct instance *next;
	const struct driver *driver;
	uint64_t serial;
	struct heddle_instance section;
	struct arena *arena;
	void *inst;
};

struct lookups {
	struct drivers *drivers;
	struct mutex lock;
	struct lookup_handle *bucket[BUCKETS] GUARDED_BY(lk_lookup_pool);
	uint32_t open GUARDED_BY(lk_lookup_pool);
	struct instance *instances GUARDED_BY(lk_lookup_pool);
};
LOCK_FNS(pool, struct lookups, lock, lk_lookup_pool)

struct lookups *lookups_new(struct drivers *d)
{
	struct lookups *l = calloc(1, sizeof *l);
	MUST(l);
	l->drivers = d;
	mutex_init(&l->lock, LOCK_lookup_pool);
	return l;
}

static uint32_t bucket_of(uint64_t serial, const struct driver *d, slice_t source)
{
	return (uint32_t)((hash_bytes(source) ^ serial * 31 ^ (uintptr_t)d >> 4) % BUCKETS);
}

/* ---- instances
 * ------------------------------------------------------------------------------------------ */

static void instance_drop(struct instance **at)
{
	struct instance *i = *at;
	*at = NULL;
	if (!i)
		return;
	if (i->inst && i->driver->desc->instance_free)
		i->driver->desc->instance_free(i->inst);
	struct arena *a = i->arena;
	arena_free(&a);
}

/* One for each name that is used: what an alias means is the driver's. */
static struct instance *instance_find(struct lookups *l, uint64_t serial, const struct driver *d,
    slice_t name) REQUIRES(lk_lookup_pool)
{
	struct instance *i = l->instances;
	while (i && !(i->driver == d && i->serial == serial && slice_eq(i->section.name, name)))
		i = i->next;
	return i;
}

static enum rc instance_make(struct heddle_call *c, const struct driver *d, slice_t name,
    uint64_t serial, struct instance **out, struct error *err)
{
	struct arena *a = arena_new(0);
	const struct config *cfg = c->eval ? c->eval->cfg : NULL;
	struct option_value *own = NULL;
	enum rc rc = RC_OK;
	if (d->option_count && cfg)
		rc = config_driver_options(cfg, d, a, &own, err);
	else if (d->option_count)
		rc = error_set(err, RC_ERROR,
		    "lookup driver \"%s\" has options, and there is no configuration",
		    d->head.name);
	if (rc != RC_OK) {
		arena_free(&a);
		return rc;
	}
	struct instance *i = ARENA_NEW(a, struct instance);
	*i = (struct instance){.driver = d, .serial = serial, .arena = a};
	i->section.name = arena_dup(a, name);
	i->section.cfg = cfg;
	i->section.driver = d;
	i->section.own = own;
	if (d->desc->instance_new)
		rc = call_result(c,
		    d->desc->instance_new(c, &c->services->host, d->state, &i->section, &i->inst),
		    d->head.name, err);
	if (rc != RC_OK) {
		i->inst = NULL;
		instance_drop(&i);
		return rc;
	}
	*out = i;
	return RC_OK;
}

/* The driver's own for this snapshot.  Two threads may make one at once; the first to come back
 * wins. */
static enum rc instance_get(struct lookups *l, struct heddle_call *c, const struct driver *d,
    slice_t name, uint64_t serial, void **out, struct error *err)
{
	struct instance *mine = NULL;
	pool_lock(l);
	struct instance *i = instance_find(l, serial, d, name);
	pool_unlock(l);
	if (!i) {
		enum rc rc = instance_make(c, d, name, serial, &mine, err);
		if (rc != RC_OK)
			return rc;
		pool_lock(l);
		i = instance_find(l, serial, d, name);
		if (!i) {
			i = mine;
			mine = NULL;
			i->next = l->instances;
			l->instances = i;
		}
		pool_unlock(l);
	}
	instance_drop(&mine);
	*out = i->inst;
	return RC_OK;
}

enum rc lookup_prepare(struct eval *ev, const struct driver *d, struct error *err)
{
	struct heddle_call c;
	void *inst;
	if (!d->desc->instance_new || !ev->services || !ev->services->lookups)
		return RC_OK;
	call_init(&c, ev, NULL);
	return instance_get(ev->services->lookups, &c, d, slice_cstr(d->head.name),
	    config_serial(ev->cfg), &inst, err);
}

/* ---- handles
 * -------------------------------------------------------------------------------------------- */

static void handle_close(struct lookup_handle *h)
{
	if (h->ops->close && h->ops->open)
		h->ops->close(h->inst, h->handle);
	struct arena *a = h->arena;
	arena_free(&a);
}

static void close_all(struct lookup_handle *gone)
{
	while (gone) {
		struct lookup_handle *h = gone;
		gone = h->next; /* out of the pool: this thread's alone */
		handle_close(h);
	}
}

static void take_out(struct lookups *l, struct lookup_handle *h) REQUIRES(lk_lookup_pool)
{
	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	h->next = NULL;
	h->link = NULL;
	h->dead = true;
	l->open--;
}

static void put_in(struct lookups *l, struct lookup_handle *h) REQUIRES(lk_lookup_pool)
{
	struct lookup_handle **at = &l->bucket[bucket_of(h->serial, h->driver, h->source)];
	h->next = *at;
	h->link = at;
	if (h->next)
		h->next->link = &h->next;
	*at = h;
	l->open++;
}

/* The handle nobody uses that was used longest ago. */
static struct lookup_handle *least_recent(struct lookups *l) REQUIRES(lk_lookup_pool)
{
	struct lookup_handle *best = NULL;
	for (uint32_t i = 0; i < BUCKETS; i++)
		for (struct lookup_handle *h = l->bucket[i]; h; h = h->next)
			if (!h->users && (!best || h->used_us < best->used_us))
				best = h;
	return best;
}

static struct lookup_handle *take_free(struct lookups *l, const struct driver *d, slice_t name,
    uint64_t serial, slice_t source) EXCLUDES(lk_lookup_pool)
{
	pool_lock(l);
	struct lookup_handle *h = l->bucket[bucket_of(serial, d, source)];
	while (h && !(h->driver == d && h->serial == serial && slice_eq(h->source, source) &&
	                slice_eq(h->name, name) && (h->shared || !h->users)))
		h = h->next;
	if (h) {
		h->users++;
		h->used_us = clock_mono_us();
	}
	pool_unlock(l);
	return h;
}

void lookup_release(struct lookups *l, struct lookup_handle **h, bool bad)
{
	struct lookup_handle *mine = *h;
	*h = NULL;
	if (!mine)
		return;
	pool_lock(l);
	mine->users--;
	if (bad && !mine->dead)
		take_out(l, mine);
	bool last = mine->dead && !mine->users;
	pool_unlock(l);
	if (last)
		handle_close(mine);
}

static void add_and_trim(struct lookups *l, struct lookup_handle *h, uint32_t max)
    EXCLUDES(lk_lookup_pool)
{
	struct lookup_handle *gone = NULL;
	pool_lock(l);
	h->users = 1;
	h->used_us = clock_mono_us();
	put_in(l, h);
	while (l->open > max) {
		struct lookup_handle *old = least_recent(l);
		if (!old)
			break;
		take_out(l, old);
		old->next = gone;
		gone = old;
	}
	pool_unlock(l);
	close_all(gone);
}

static enum rc open_new(struct heddle_call *c, const struct lookup_type *t, uint64_t serial,
    slice_t source, struct lookup_handle **out, struct error *err)
{
	struct lookups *l = c->services->lookups;
	struct arena *a = arena_new(0);
	struct lookup_handle *h = ARENA_NEW(a, struct lookup_handle);
	h->arena = a;
	h->driver = t->driver;
	h->ops = t->driver->ops;
	h->serial = serial;
	h->source = arena_dup(a, source);
	h->name = arena_dup(a, t->name);
	h->shared = h->ops->kind & HEDDLE_L_SHARED;
	h->results = text_cache_new(a, RESULTS, RESULT_BYTES);
	enum rc rc = instance_get(l, c, t->driver, t->name, serial, &h->inst, err);
	if (rc == RC_OK && h->ops->open) {
		rc = call_result(
		    c, h->ops->open(c, h->inst, h->source, &h->handle), t->driver->head.name, err);
		if (rc == RC_FAIL)
			rc = RC_DEFER; /* a source that is not there is no "not found" */
	}
	if (rc != RC_OK) {
		arena_free(&a);
		return rc;
	}
	const struct config *cfg = c->eval ? c->eval->cfg : NULL;
	int64_t max = cfg ? config_int(cfg, MO_lookup_open_max) : OPEN_MAX_DEFAULT;
	add_and_trim(l, h, max > 0 && max < INT32_MAX ? (uint32_t)max : OPEN_MAX_DEFAULT);
	*out = h;
	return RC_OK;
}

enum rc lookup_acquire(struct heddle_call *c, const struct lookup_type *t, slice_t source,
    struct lookup_handle **out, struct error *err)
{
	struct lookups *l = c->services->lookups;
	const struct config *cfg = c->eval ? c->eval->cfg : NULL;
	uint64_t serial = cfg ? config_serial(cfg) : 0;
	struct lookup_handle *h;
	while ((h = take_free(l, t->driver, t->name, serial, source))) {
		int32_t fresh = h->ops->fresh ? h->ops->fresh(c, h->inst, h->handle) : HEDDLE_OK;
		if (fresh == HEDDLE_OK) {
			*out = h;
			return RC_OK;
		}
		lookup_release(l, &h, true);
	}
	return open_new(c, t, serial, source, out, err);
}

/* ---- housekeeping
 * --------------------------------------------------------------------------------------- */

struct choice {
	bool by_serial;
	uint64_t serial;
	int64_t before_us;
};

static struct lookup_handle *take_chosen(struct lookups *l, const struct choice *ch)
    REQUIRES(lk_lookup_pool)
{
	struct lookup_handle *gone = NULL;
	for (uint32_t i = 0; i < BUCKETS; i++) {
		struct lookup_handle *next;
		for (struct lookup_handle *h = l->bucket[i]; h; h = next) {
			next = h->next;
			if (h->users || !(ch->by_serial ? h->serial == ch->serial
			                                : h->used_us <= ch->before_us))
				continue;
			take_out(l, h);
			h->next = gone;
			gone = h;
		}
	}
	return gone;
}

void lookups_tidy(struct lookups *l, int64_t idle_us)
{
	struct choice ch = {.before_us = clock_mono_us() - idle_us};
	pool_lock(l);
	struct lookup_handle *gone = take_chosen(l, &ch);
	pool_unlock(l);
	close_all(gone);
}

uint32_t lookups_open(struct lookups *l)
{
	pool_lock(l);
	uint32_t n = l->open;
	pool_unlock(l);
	return n;
}

void lookups_drop_snapshot(struct lookups *l, uint64_t serial)
{
	struct choice ch = {.by_serial = true, .serial = serial};
	struct instance *done = NULL;
	pool_lock(l);
	struct lookup_handle *gone = take_chosen(l, &ch);
	for (struct instance **at = &l->instances; *at;) {
		struct instance *i = *at;
		if (i->serial != serial) {
			at = &i->next;
			continue;
		}
		*at = i->next;
		i->next = done;
		done = i;
	}
	pool_unlock(l);
	close_all(gone);
	while (done) {
		struct instance *i = done;
		done = i->next;
		instance_drop(&i);
	}
}

void lookups_free(struct lookups **l)
{
	struct lookups *gone = *l;
	*l = NULL;
	if (!gone)
		return;
	lookups_tidy(gone, 0);
	while (true) {
		pool_lock(gone);
		bool more = gone->instances;
		uint64_t serial = more ? gone->instances->serial : 0;
		pool_unlock(gone);
		if (!more)
			break;
		lookups_drop_snapshot(gone, serial);
	}
	mutex_fini(&gone->lock);
	free(gone);
}
