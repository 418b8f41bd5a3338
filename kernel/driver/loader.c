/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/loader: opens drivers, each file once, and remembers them.
 * A file is opened through the descriptor that was checked: dlopen of the same path would give the
 * old copy after a package replaced the file.  That descriptor stays open as long as the process,
 * since the name under /proc is what glibc knows the copy by.  No lock is held while code of a
 * driver runs; a second thread that wants the same file waits.
 */
#include "driver/call.h"
#include "driver/loader_parts.h"

#include "base/clock.h"
#include "base/map.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOAD_DEADLINE_US (10 * US_PER_SEC)

struct drivers *drivers_alloc(const struct drivers_config *cfg)
{
	struct drivers *d = calloc(1, sizeof *d);
	MUST(d);
	d->cfg = *cfg;
	mutex_init(&d->lock, LOCK_drivers);
	condvar_init(&d->changed);
	drivers_lock(d);
	d->arena = arena_new(0);
	d->names = map_new(d->arena, MAP_EXACT);
	drivers_unlock(d);
	return d;
}

struct opened *opened_new(void)
{
	struct opened *o = calloc(1, sizeof *o);
	MUST(o);
	o->arena = arena_new(0);
	return o;
}

static void opened_free(struct opened *o)
{
	arena_free(&o->arena);
	free(o);
}

enum rc drivers_new(const struct drivers_config *cfg, struct drivers **out, struct error *err)
{
	if (!cfg->folders || !cfg->folders[0])
		return error_set(err, RC_ERROR, "no folder of drivers is set");
	struct drivers *d = drivers_alloc(cfg);
	drivers_lock(d);
	size_t n = 0;
	while (cfg->folders[n])
		n++;
	const char **folders = ARENA_ARRAY(d->arena, const char *, n + 1);
	for (size_t i = 0; i < n; i++)
		folders[i] = arena_cstr(d->arena, slice_cstr(cfg->folders[i]));
	d->cfg.folders = folders;
	drivers_unlock(d);
	*out = d;
	return RC_OK;
}

void drivers_free(struct drivers **dp)
{
	struct drivers *d = *dp;
	*dp = NULL;
	if (!d)
		return;
	drivers_lock(d);
	struct opened *o = d->opened;
	d->opened = NULL;
	drivers_unlock(d);
	while (o) {
		struct opened *next = o->next;
		/* the object stays mapped, and its descriptor open */
		if (o->drv.desc && o->drv.desc->unload)
			o->drv.desc->unload(o->drv.state);
		opened_free(o);
		o = next;
	}
	drivers_lock(d);
	arena_free(&d->arena);
	drivers_unlock(d);
	condvar_fini(&d->changed);
	mutex_fini(&d->lock);
	free(d);
}

/* ---- the registry: what has been opened
 * --------------------------------------------------------------- */

static slice_t name_key(char *buf, size_t cap, uint16_t driver_class, slice_t name)
{
	int n = snprintf(buf, cap, "%u/%.*s", (unsigned)driver_class, SL_ARG(name));
	size_t len = n < 0 ? 0 : (size_t)n;
	return slice_of(buf, len < cap ? len : cap - 1,
	    HEDDLE_CLEAN); /* an alias in a description may be too long */
}

static void remember_locked(
    struct drivers *d, uint16_t driver_class, slice_t name, struct opened *o) REQUIRES(lk_drivers);
static void remember_locked(
    struct drivers *d, uint16_t driver_class, slice_t name, struct opened *o)
{
	char buf[80];
	slice_t key = name_key(buf, sizeof buf, driver_class, name);
	if (map_get(d->names, key) != o)
		(void)map_put(d->names, arena_dup(d->arena, key), o);
}

/* Ids of quoted text: equal names share one, so that what an old copy quoted is good for the new
 * one. */
static uint16_t quoter_locked(struct drivers *d, const char *name) REQUIRES(lk_drivers);
static uint16_t quoter_locked(struct drivers *d, const char *name)
{
	for (const struct opened *o = d->opened; o; o = o->next)
		if (o->ready && o->drv.quoter && o->drv.head.driver_class == HEDDLE_LOOKUP &&
		    strcmp(o->drv.head.name, name) == 0)
			return o->drv.quoter;
	return ++d->last_quoter;
}

/* The entry of this file, once it is ready; NULL: `fresh` has been put in and the caller opens it.
 */
static struct opened *claim(struct drivers *d, const struct driver_file *f, uint16_t driver_class,
    slice_t name, struct opened *fresh) EXCLUDES(lk_drivers);
static struct opened *claim(struct drivers *d, const struct driver_file *f, uint16_t driver_class,
    slice_t name, struct opened *fresh)
{
	drivers_lock(d);
	for (;;) {
		struct opened *o = d->opened;
		while (o && (o->dev != f->dev || o->ino != f->ino))
			o = o->next;
		if (!o) {
			fresh->next = d->opened;
			d->opened = fresh;
			break;
		}
		if (o->ready) {
			remember_locked(d, driver_class, name, o);
			drivers_unlock(d);
			return o;
		}
		(void)drivers_wait(d, &d->changed, DEADLINE_NEVER);
	}
	drivers_unlock(d);
	return NULL;
}

/* The caller of claim is done: ready, or out of the list and freed. */
static void settle(struct drivers *d, struct opened *o, slice_t name, bool ok) EXCLUDES(lk_drivers);
static void settle(struct drivers *d, struct opened *o, slice_t name, bool ok)
{
	drivers_lock(d);
	if (ok) {
		if (o->drv.quoter)
			o->drv.quoter = quoter_locked(d, o->drv.head.name);
		o->ready = true;
		remember_locked(d, o->drv.head.driver_class, name, o);
	} else {
		struct opened **p = &d->opened;
		while (*p != o)
			p = &(*p)->next;
		*p = o->next;
	}
	condvar_broadcast(&d->changed);
	drivers_unlock(d);
	if (!ok)
		opened_free(o);
}

void drivers_add_described(struct drivers *d, struct opened *o)
{
	drivers_lock(d);
	if (o->drv.quoter)
		o->drv.quoter = quoter_locked(d, o->drv.head.name);
	o->ready = true;
	o->next = d->opened;
	d->opened = o;
	remember_locked(d, o->drv.head.driver_class, slice_cstr(o->drv.head.name), o);
	slice_t rest = slice_cstr(o->drv.head.aliases), alias;
	while (slice_next(&rest, ' ', &alias))
		if (alias.len)
			remember_locked(d, o->drv.head.driver_class, alias, o);
	drivers_unlock(d);
}

void drivers_rescan(struct drivers *d)
{
	drivers_lock(d);
	if (!d->described) {
		size_t pos = 0;
		slice_t key;
		void *value;
		struct vec keys = {0};
		struct arena *a = arena_new(0);
		while (map_next(d->names, &pos, &key, &value))
			*VEC_PUSH(a, &keys, slice_t) = key;
		VEC_FOREACH(&keys, slice_t, k)
		(void)map_remove(d->names, *k);
		arena_free(&a);
	}
	drivers_unlock(d);
}

/* ---- opening
 * ------------------------------------------------------------------------------------------ */

static enum rc copy_options(const struct drivers *d, struct opened *o, struct error *err)
{
	const struct heddle_driver *desc = o->drv.desc;
	struct heddle_option *copy =
	    ARENA_ARRAY(o->arena, struct heddle_option, desc->option_count + 1U);
	const char *const *generic = d->cfg.generic_names[desc->driver_class];
	if (!generic)
		generic = driver_generic_names(desc->driver_class);
	size_t n = desc->option_size < sizeof *copy ? desc->option_size : sizeof *copy;
	for (uint32_t i = 0; i < desc->option_count; i++) {
		memcpy(&copy[i], (const char *)desc->options + (size_t)i * desc->option_size, n);
		enum rc rc = driver_check_option(copy, i, &copy[i], generic, err);
		if (rc != RC_OK)
			return rc;
	}
	o->drv.options = copy;
	o->drv.option_count = desc->option_count;
	return RC_OK;
}

static enum rc run_load(const struct drivers *d, struct opened *o, struct error *err) EXCLUDES_ALL;
static enum rc run_load(const struct drivers *d, struct opened *o, struct error *err)
{
	if (!o->drv.desc->load)
		return RC_OK;
	struct arena *a = arena_new(0);
	struct heddle_call c;
	call_init(&c, NULL, NULL);
	c.arena = a;
	c.deadline_us = clock_mono_us() + LOAD_DEADLINE_US;
	void *state = NULL;
	enum rc rc =
	    call_result(&c, o->drv.desc->load(&c, d->cfg.host, &state), o->drv.head.name, err);
	if (rc == RC_OK)
		o->drv.state = state;
	else
		rc = error_wrap(err, RC_ERROR, "load");
	arena_free(&a);
	return rc;
}

/* Checks 16 and 17. */
static enum rc map_object(
    struct opened *o, int fd, const struct heddle_driver *head, struct error *err)
{
	char name[64];
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	void *object = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!object) {
		const char *why = dlerror(); /* of this thread */
		return error_set(
		    err, RC_ERROR, "cannot be opened: %s", why ? why : "no reason given");
	}
	o->mapped = true;
	const struct heddle_driver *desc = dlsym(object, "heddle_driver_v1");
	if (!desc || memcmp(desc, head, HEDDLE_HEAD_SIZE) != 0)
		return error_set(err, RC_ERROR, "head differs in memory");
	o->drv.desc = desc;
	return RC_OK;
}

static void take_kind(struct driver *drv)
{
	if (drv->head.driver_class == HEDDLE_LOOKUP) {
		const struct heddle_lookup_ops *ops = drv->ops;
		drv->kind = ops->kind;
		drv->quoter = ops->quote != NULL; /* its number comes when it is ready */
	} else if (drv->head.driver_class == HEDDLE_TRANSPORT) {
		drv->kind = ((const struct heddle_transport_ops *)drv->ops)->kind;
	}
}

/* Checks 16 to 21; fd is kept if the object was mapped, even when it is refused then. */
static enum rc open_object(const struct drivers *d, struct opened *o, const struct driver_file *f,
    const struct heddle_driver *head, struct error *err)
{
	o->drv.head = *head;
	o->drv.path = arena_cstr(o->arena, slice_cstr(f->path));
	enum rc rc = map_object(o, f->fd, head, err);
	if (rc == RC_OK)
		rc = driver_check_ops(o->drv.desc, err);
	if (rc == RC_OK)
		rc = copy_options(d, o, err);
	if (rc != RC_OK)
		return rc;
	memcpy(&o->drv.head, o->drv.desc, sizeof o->drv.head);
	o->drv.ops = o->drv.desc->ops;
	take_kind(&o->drv);
	return run_load(d, o, err);
}

static const struct opened *known(struct drivers *d, uint16_t driver_class, slice_t name)
    EXCLUDES(lk_drivers);
static const struct opened *known(struct drivers *d, uint16_t driver_class, slice_t name)
{
	char buf[80];
	drivers_lock(d);
	const struct opened *o = map_get(d->names, name_key(buf, sizeof buf, driver_class, name));
	drivers_unlock(d);
	return o;
}

/* f->fd is closed, or kept for good. */
static enum rc open_file(struct drivers *d, const struct driver_file *f, uint16_t driver_class,
    slice_t name, const struct opened **out, struct error *err)
{
	struct heddle_driver head;
	enum rc rc = driver_read_head(f->fd, &head, err);
	if (rc == RC_OK)
		rc = driver_check_head(&head, driver_class, name, err);
	if (rc != RC_OK) {
		(void)close(f->fd);
		return rc;
	}
	struct opened *fresh = opened_new();
	fresh->dev = f->dev;
	fresh->ino = f->ino;
	struct opened *old = claim(d, f, driver_class, name, fresh);
	if (old) {
		opened_free(fresh);
		(void)close(f->fd);
		if (memcmp(&head, &old->drv.head, HEDDLE_HEAD_SIZE) != 0)
			return error_set(err, RC_ERROR,
			    "head differs in memory (the file was written in place)");
		*out = old;
		return RC_OK;
	}
	rc = open_object(d, fresh, f, &head, err);
	bool mapped =
	    fresh->mapped; /* then the descriptor's number must not come to name another file */
	settle(d, fresh, name, rc == RC_OK);
	if (rc == RC_OK)
		*out = fresh;
	else if (!mapped)
		(void)close(f->fd);
	return rc;
}

enum rc driver_find(struct drivers *d, uint16_t driver_class, slice_t name,
    const struct driver **out, struct error *err)
{
	const struct opened *o = NULL;
	struct driver_file f;
	enum rc rc = RC_OK;
	if (driver_class < HEDDLE_AUTH || driver_class > HEDDLE_LOOKUP)
		return error_set(
		    err, RC_ERROR, "driver class %u is not served", (unsigned)driver_class);
	if (!driver_name_is_valid(name))
		rc = error_set(err, RC_ERROR, "name is not [a-z][a-z0-9_]*");
	else if (!(o = known(d, driver_class, name)) && d->described)
		rc = error_set(err, RC_FAIL, "not found among the drivers that were described");
	else if (!o)
		rc = driver_file_open(&d->cfg, driver_class, name, &f, err);
	if (rc == RC_OK && !o) {
		rc = open_file(d, &f, driver_class, name, &o, err);
		if (rc != RC_OK)
			rc = error_wrap(err, rc, "%s", f.path);
	}
	if (rc == RC_OK && o && o->refusal)
		return error_set(
		    err, RC_ERROR, "%s", o->refusal); /* whole, as it was written elsewhere */
	if (rc != RC_OK)
		return error_wrap(
		    err, rc, "%s driver \"%.*s\"", driver_class_name(driver_class), SL_ARG(name));
	*out = &o->drv;
	return RC_OK;
}
