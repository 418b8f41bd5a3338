/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Main options that belong to drivers (HEDDLE_O_MAIN in a driver's table: shard_count,
 * mysql_servers).  The row comes from the driver, so that adding one edits nothing here.  A driver
 * is opened for this only when the main section sets something that the kernel does not know, or
 * knows as Exim's only: the one whose name the option begins with, else all that are installed.
 */
#include "config/config_private.h"
#include "driver/lookup.h"

/* A driver that has such options: all of its table, of which the main section sets a part. */
struct owned_options {
	const struct driver *driver;
	struct option_table table;
};

/* raw->name in d's table; sets raw->negated as options_match does. */
static uint32_t match_in(const struct driver *d, struct raw_option *raw)
{
	struct option_table t = {.rows = d->options, .count = d->option_count};
	struct raw_option copy = *raw;
	uint32_t i = options_match(&t, &copy);
	if (i == UINT32_MAX || !(d->options[i].flags & HEDDLE_O_MAIN))
		return UINT32_MAX;
	*raw = copy;
	return i;
}

static const uint16_t classes[] = {HEDDLE_LOOKUP, HEDDLE_AUTH, HEDDLE_ROUTER, HEDDLE_TRANSPORT};
enum { CLASSES = sizeof classes / sizeof classes[0] };

/* mysql_servers is mysql's, if there is one. */
static const struct driver *owner_by_prefix(
    struct drivers *all, struct raw_option *raw, uint32_t *index)
{
	slice_t name = raw->name;
	for (uint32_t i = 1; i < name.len; i++)
		for (size_t c = 0; name.ptr[i] == '_' && c < CLASSES; c++) {
			const struct driver *d;
			if (driver_find(all, classes[c], slice_sub(name, 0, i), &d, NULL) ==
			        RC_OK &&
			    (*index = match_in(d, raw)) != UINT32_MAX)
				return d;
		}
	return NULL;
}

static const struct driver *owner_by_looking(
    struct drivers *all, struct raw_option *raw, uint32_t *index)
{
	struct arena *a = arena_new(0);
	const struct driver *owner = NULL;
	for (size_t c = 0; c < CLASSES && !owner; c++) {
		struct vec found = {0};
		drivers_list(all, classes[c], a, &found);
		VEC_FOREACH(&found, const struct driver_listing, l)
		{
			const struct driver *d;
			if (!owner && l->readable &&
			    driver_find(all, classes[c], l->name, &d, NULL) == RC_OK &&
			    (*index = match_in(d, raw)) != UINT32_MAX)
				owner = d;
		}
	}
	arena_free(&a);
	return owner;
}

static struct owned_options *owned_of(const struct config *cfg, const struct driver *d)
{
	VEC_FOREACH(&cfg->owned, struct owned_options *, o)
	if ((*o)->driver == d)
		return *o;
	return NULL;
}

bool driver_option_assign(struct loader *l, struct raw_option *raw, bool known)
{
	struct drivers *all = l->src->drivers;
	uint32_t index = UINT32_MAX;
	const struct driver *d = all ? owner_by_prefix(all, raw, &index) : NULL;
	if (!d && all && !known)
		d = owner_by_looking(all, raw, &index);
	if (!d)
		return false;
	struct owned_options *o = owned_of(l->cfg, d);
	if (!o) {
		o = ARENA_NEW(l->a, struct owned_options);
		*o = (struct owned_options){
		    .driver = d, .table = {.rows = d->options, .count = d->option_count}};
		options_begin(l, &o->table);
		*VEC_PUSH(l->a, &l->cfg->owned, struct owned_options *) = o;
	}
	options_assign(l, &o->table, index, raw, "");
	return true;
}

void driver_options_compile(struct loader *l)
{
	VEC_FOREACH(&l->cfg->owned, struct owned_options *, o)
	options_compile(l, &(*o)->table, "");
}

/* What is wrong with the values the driver says now, not when the first message needs it. */
void driver_options_start(struct loader *l, struct eval *ev)
{
	VEC_FOREACH(&l->cfg->owned, struct owned_options *, o)
	{
		const struct driver *d = (*o)->driver;
		const struct option_value *v = (*o)->table.values;
		struct error e = {0};
		while (v->row && !v->is_set)
			v++;
		if (d->head.driver_class == HEDDLE_LOOKUP && d->desc &&
		    lookup_prepare(ev, d, &e) != RC_OK)
			loader_problem(
			    l, v->file, v->line, "lookup driver %s: %s", d->head.name, e.text);
	}
}

enum rc config_driver_options(const struct config *cfg, const struct driver *d, struct arena *a,
    struct option_value **out, struct error *err)
{
	struct owned_options *o = owned_of(cfg, d);
	if (o) {
		*out = o->table.values;
		return RC_OK;
	}
	/* nothing is set: the defaults, for who asks */
	struct vec problems = {0}, warnings = {0};
	struct config_source src = {.path = cfg->path};
	struct loader l = {.src = &src,
	    .cfg = cfg->self,
	    .a = a,
	    .scratch = a,
	    .problems = &problems,
	    .warnings = &warnings};
	struct option_table t = {.rows = d->options, .count = d->option_count};
	options_begin(&l, &t);
	options_compile(&l, &t, "");
	if (problems.count) {
		*err = *VEC_AT(&problems, struct error, 0);
		return RC_ERROR;
	}
	*out = t.values;
	return RC_OK;
}

const struct option_value *driver_option_find(const struct config *cfg, slice_t name)
{
	for (const struct option_value *v = NULL; (v = driver_option_next(cfg, v));)
		if (slice_eqs(name, v->row->name))
			return v;
	return NULL;
}

const struct option_value *driver_option_next(
    const struct config *cfg, const struct option_value *last)
{
	bool passed = !last;
	VEC_FOREACH(&cfg->owned, struct owned_options *, o)
	for (const struct option_value *v = (*o)->table.values; v->row; v++) {
		if (passed && (v->row->flags & HEDDLE_O_MAIN))
			return v;
		passed |= v == last;
	}
	return NULL;
}
