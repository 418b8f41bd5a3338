/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/lookup: look-ups by type, file and key through lookup drivers: what ${lookup}, list items
 * and the host table's lookup() share.  Holds the open handles (per snapshot, driver, source; least
 * recently used closed at lookup_open_max) and the per-handle result cache.  partial-, *, *@,
 * ret=key, cache=no_rd and the refusal of an empty key live here. Threads: any; a handle is used by
 * one thread at a time unless the driver says SHARED.   Source: spec chapter 9.
 */
#ifndef HEDDLE_DRIVER_LOOKUP_H
#define HEDDLE_DRIVER_LOOKUP_H
#include "driver/call.h"

struct lookups;
struct lookups *lookups_new(struct drivers *d);
void lookups_free(struct lookups **l); /* no call runs and none will */
/* Close what nobody has used for so long; all of it with 0.  From a timer. */
void lookups_tidy(struct lookups *l, int64_t idle_us);
/* Make the driver's instance for ev's snapshot now: RC_ERROR when it refuses its options. */
MUST_USE enum rc lookup_prepare(struct eval *ev, const struct driver *d, struct error *err);
/* How many handles there are. */
uint32_t lookups_open(struct lookups *l);
/* Before a snapshot goes (config_unref does it): its handles and instances.  Nobody looks anything
 * up under it any more.
 */
void lookups_drop_snapshot(struct lookups *l, uint64_t serial);

/* A parsed type such as "partial1(.)-lsearch*@,ret=full". */
struct lookup_type {
	const struct driver *driver;
	slice_t name; /* the name used, perhaps an alias */
	int partial;  /* -1: none; else the least number of labels */
	slice_t affix;
	bool star, star_at;
	slice_t options; /* after the comma, without the kernel's own */
	bool ret_key, no_read_cache;
	bool is_query;
};
/* RC_ERROR: unknown type ("unknown lookup type \"x\"") or refused driver. */
MUST_USE enum rc lookup_type_parse(
    struct drivers *d, struct arena *a, slice_t text, struct lookup_type *out, struct error *err);
/* source: the file of a single-key type (must be absolute and clean), ABSENT for a query.  RC_FAIL:
 * not found. When partial matching split the key, $1 is the wild part and $2 the fixed one. */
MUST_USE enum rc lookup_run(struct eval *ev, const struct lookup_type *t, slice_t source,
    slice_t key, slice_t *out, struct error *err);
/* ${quote_TYPE:...} */
MUST_USE enum rc lookup_quote(
    struct eval *ev, const struct driver *drv, slice_t in, slice_t *out, struct error *err);
#endif
