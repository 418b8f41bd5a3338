/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hints' calls over an open database: each takes the handle, asks, and gives it back. */
#include "hints/private.h"

#include <stdlib.h>

KCDB *hints_take(struct hints *h, struct error *err)
{
	hints_lock(h);
	KCDB *db = h->is_broken ? NULL : h->db;
	h->users += db != NULL;
	hints_unlock(h);
	if (!db)
		(void)error_set(err, RC_DEFER, "the %s hints are not open", h->name);
	return db;
}

void hints_give(struct hints *h)
{
	hints_lock(h);
	h->users--;
	condvar_broadcast(&h->changed);
	hints_unlock(h);
}

/* Said once a minute: a full disk would fill the log. */
static bool may_say(struct hints *h)
{
	int64_t now = clock_mono_us();

	hints_lock(h);
	bool yes = now >= h->quiet_until_us;
	if (yes)
		h->quiet_until_us = now + 60 * US_PER_SEC;
	hints_unlock(h);
	return yes;
}

/* What the library said last in this thread. */
static enum rc why(struct hints *h, KCDB *db, const char *what, struct error *err)
{
	int32_t code = kcdbecode(db);
	enum rc rc = code == KCENOREC ? RC_FAIL : RC_DEFER;

	(void)error_set(err, rc, "%s hints: %s: %s", h->name, what, kcecodename(code));
	if (rc == RC_FAIL)
		return rc;
	if (code == KCEBROKEN) {
		hints_lock(h);
		h->is_broken = true; /* hints_tend sets it aside */
		hints_unlock(h);
	}
	if (may_say(h))
		log_panic(
		    h->log, slice_absent(), "%s hints: %s: %s", h->name, what, kcecodename(code));
	return rc;
}

static enum rc check_key(const struct hints *h, slice_t key, struct error *err)
{
	if (key.len == 0 || key.len > HINTS_KEY_MAX)
		return error_set(err, RC_DEFER, "%s hints: a key of %u bytes", h->name, key.len);
	return RC_OK;
}

enum rc hints_get(
    struct hints *h, slice_t key, struct arena *a, struct hint *out, struct error *err)
{
	char buf[HINT_BYTES_MAX + 1];
	struct hint got;
	enum rc rc = check_key(h, key, err);
	KCDB *db = rc == RC_OK ? hints_take(h, err) : NULL;

	if (!db)
		return RC_DEFER;
	int32_t n = kcdbgetbuf(db, key.ptr, key.len, buf, sizeof buf);
	if (n < 0)
		rc = why(h, db, "read", err);
	else if (!hint_decode(key, buf, (size_t)n, &got))
		rc = error_set(err, RC_FAIL, "%s hints: a record that cannot be read", h->name);
	hints_give(h);
	if (rc != RC_OK)
		return rc;
	got.value = arena_dup(a, got.value);
	*out = got;
	return RC_OK;
}

enum rc hints_put(struct hints *h, slice_t key, slice_t value, int64_t now_us, struct error *err)
{
	char buf[HINT_BYTES_MAX];
	size_t n = hint_encode(key, value, now_us, buf);
	enum rc rc = check_key(h, key, err);

	if (rc != RC_OK || n == 0)
		return rc != RC_OK ? rc
		                   : error_set(err, RC_DEFER, "%s hints: a value of %u bytes",
		                         h->name, value.len);
	KCDB *db = hints_take(h, err);
	if (!db)
		return RC_DEFER;
	if (!kcdbset(db, key.ptr, key.len, buf, n))
		rc = why(h, db, "write", err);
	hints_give(h);
	return rc;
}

enum rc hints_remove(struct hints *h, slice_t key, struct error *err)
{
	enum rc rc = check_key(h, key, err);
	KCDB *db = rc == RC_OK ? hints_take(h, err) : NULL;

	if (!db)
		return RC_DEFER;
	if (!kcdbremove(db, key.ptr, key.len))
		rc = why(h, db, "remove", err);
	hints_give(h);
	return rc;
}

uint64_t hints_count(struct hints *h)
{
	KCDB *db = hints_take(h, NULL);

	if (!db)
		return 0;
	int64_t n = kcdbcount(db);
	hints_give(h);
	return n > 0 ? (uint64_t)n : 0;
}

/* ---- reading and writing as one step
 * -------------------------------------------------------------------- */

struct update {
	hints_update_fn *fn;
	void *ctx;
	slice_t key;
	int64_t now_us;
	bool is_missing, is_too_long;
	char buf[HINT_BYTES_MAX];
};

static const char *decide(struct update *u, const struct hint *old, size_t *size)
{
	slice_t value = slice_absent();

	switch (u->fn(u->ctx, old, &value)) {
	case HINTS_KEEP:
		u->is_missing = !old;
		return KCVISNOP;
	case HINTS_DELETE:
		u->is_missing = !old;
		return old ? KCVISREMOVE : KCVISNOP;
	case HINTS_WRITE:
		break;
	}
	*size = hint_encode(u->key, value, u->now_us, u->buf);
	u->is_too_long = *size == 0;
	return u->is_too_long ? KCVISNOP : u->buf;
}

static const char *is_there(
    const char *k, size_t kn, const char *v, size_t vn, size_t *size, void *arg)
{
	struct update *u = arg;
	struct hint old;

	(void)k, (void)kn;
	return decide(u, hint_decode(u->key, v, vn, &old) ? &old : NULL, size);
}

static const char *is_new(const char *k, size_t kn, size_t *size, void *arg)
{
	(void)k, (void)kn;
	return decide(arg, NULL, size);
}

enum rc hints_update(
    struct hints *h, slice_t key, hints_update_fn *fn, void *ctx, int64_t now_us, struct error *err)
{
	struct update u = {.fn = fn, .ctx = ctx, .key = key, .now_us = now_us};
	enum rc rc = check_key(h, key, err);
	KCDB *db = rc == RC_OK ? hints_take(h, err) : NULL;

	if (!db)
		return RC_DEFER;
	if (!kcdbaccept(db, key.ptr, key.len, is_there, is_new, &u, 1))
		rc = why(h, db, "update", err);
	else if (u.is_too_long)
		rc = error_set(err, RC_DEFER, "%s hints: the value is too long", h->name);
	else if (u.is_missing)
		rc = error_set(err, RC_FAIL, "%s hints: there is none", h->name);
	hints_give(h);
	return rc;
}

/* ---- all of them
 * ---------------------------------------------------------------------------------------- */

enum rc hints_each(struct hints *h, bool (*fn)(void *ctx, slice_t key, const struct hint *hint),
    void *ctx, struct error *err)
{
	KCDB *db = hints_take(h, err);
	bool more = true;

	if (!db)
		return RC_DEFER;
	KCCUR *cur = kcdbcursor(db);
	if (!kccurjump(cur))
		more = false; /* empty */
	while (more) {
		size_t kn, vn;
		const char *v;
		char *k = kccurget(cur, &kn, &v, &vn, 1);
		struct hint got;
		if (!k)
			break;
		slice_t key = slice_tainted(k, kn <= HINTS_KEY_MAX ? kn : 0);
		if (key.len && hint_decode(key, v, vn, &got))
			more = fn(ctx, key, &got);
		kcfree(k);
	}
	kccurdel(cur);
	hints_give(h);
	return RC_OK;
}

struct expiry {
	int64_t before_us;
	uint64_t removed;
};

static const char *old_goes(
    const char *k, size_t kn, const char *v, size_t vn, size_t *size, void *arg)
{
	struct expiry *e = arg;
	struct hint got;

	(void)size;
	if (kn <= HINTS_KEY_MAX && hint_decode(slice_tainted(k, kn), v, vn, &got) &&
	    got.time_us >= e->before_us)
		return KCVISNOP;
	e->removed++;
	return KCVISREMOVE;
}

enum rc hints_expire(struct hints *h, int64_t before_us, uint64_t *out_removed, struct error *err)
{
	struct expiry e = {.before_us = before_us};
	KCDB *db = hints_take(h, err);

	if (!db)
		return RC_DEFER;
	/* record by record: nobody else waits for longer than one takes */
	KCCUR *cur = kcdbcursor(db);
	for (int32_t ok = kccurjump(cur); ok;) {
		uint64_t before = e.removed;
		ok = kccuraccept(cur, old_goes, &e, 1, 0);
		if (ok &&
		    e.removed == before) /* a cursor whose record goes is on the next one already */
			ok = kccurstep(cur);
	}
	kccurdel(cur);
	hints_give(h);
	if (out_removed)
		*out_removed = e.removed;
	return RC_OK;
}
