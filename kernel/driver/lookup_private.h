/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by lookup.c (types, keys, results) and lookup_pool.c (open handles). */
#ifndef HEDDLE_DRIVER_LOOKUP_PRIVATE_H
#define HEDDLE_DRIVER_LOOKUP_PRIVATE_H
#include "driver/lookup.h"
#include "match/text_cache.h"
#include "thread/lock.h"

/* An open source.  Alive: in the pool, or in the hands of its users; closed when it is dead and the
 * last one lets go. */
struct lookup_handle {
	struct arena *arena; /* the struct itself too */
	const struct driver *driver;
	const struct heddle_lookup_ops *ops;
	uint64_t serial;      /* of the snapshot */
	slice_t source, name; /* name: the one used, perhaps an alias */
	bool shared;
	void *inst, *handle;
	struct text_cache *results;
	/* in the pool: under its lock; taken out: the taker's */
	struct lookup_handle *next, **link;
	uint32_t users GUARDED_BY(lk_lookup_pool);
	bool dead GUARDED_BY(lk_lookup_pool); /* out of the pool */
	int64_t used_us GUARDED_BY(lk_lookup_pool);
};

/* A handle for this call, opened if none is free; RC_DEFER or RC_ERROR as open() said. */
MUST_USE enum rc lookup_acquire(struct heddle_call *c, const struct lookup_type *t, slice_t source,
    struct lookup_handle **out, struct error *err) EXCLUDES(lk_lookup_pool);
/* bad: not to be used again. */
void lookup_release(struct lookups *l, struct lookup_handle **h, bool bad) EXCLUDES(lk_lookup_pool);
#endif
