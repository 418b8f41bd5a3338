/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A look-up by type, source and key: the type's text, the keys that are tried in turn, what may be
 * asked with tainted data, and the results that are kept with a handle.
 */
#include "driver/lookup.h"

#include "driver/lookup_private.h"

enum { DEPTH_MAX = 8, PARTIAL_DEFAULT = 2 };

/* ---- the type
 * ------------------------------------------------------------------------------------------- */

/* "partial2-", "partial(.)": taken off *text. */
static enum rc parse_partial(slice_t *text, struct lookup_type *t, struct error *err)
{
	slice_t s = slice_sub(*text, strlen("partial"), text->len);
	uint32_t i = 0;
	int n = 0;
	while (i < s.len && ascii_isdigit(s.ptr[i]) && n < 1000)
		n = n * 10 + (s.ptr[i++] - '0');
	t->partial = i ? n : PARTIAL_DEFAULT;
	t->affix = SL("*.");
	if (i < s.len && s.ptr[i] == '(') {
		size_t end = slice_find(s, ')');
		if (end == SIZE_MAX)
			return error_set(
			    err, RC_ERROR, "missing \")\" in lookup type \"%.*s\"", SL_ARG(*text));
		t->affix = slice_sub(s, i + 1, end - i - 1);
		i = (uint32_t)end;
	} else if (i >= s.len || s.ptr[i] != '-') {
		return error_set(
		    err, RC_ERROR, "format error in lookup type \"%.*s\"", SL_ARG(*text));
	}
	*text = slice_sub(s, i + 1, s.len);
	return RC_OK;
}

/* The options behind the comma: ours are taken, the driver's put together again. */
static void parse_options(struct arena *a, slice_t text, struct lookup_type *t)
{
	struct strbuf sb;
	slice_t one;
	strbuf_init(&sb, a, 0);
	while (slice_next(&text, ',', &one)) {
		one = slice_trim(one);
		if (slice_eqs(one, "ret=key")) {
			t->ret_key = true;
		} else if (slice_eqs(one, "cache=no_rd")) {
			t->no_read_cache = true;
		} else {
			if (sb.len)
				strbuf_char(&sb, ',');
			strbuf_add(&sb, one);
		}
	}
	t->options = strbuf_slice(&sb);
}

static enum rc find_driver(
    struct drivers *d, slice_t text, struct lookup_type *t, struct error *err)
{
	if (!t->name.len)
		return error_set(err, RC_ERROR, "unknown lookup type \"%.*s\"", SL_ARG(text));
	enum rc rc = driver_find(d, HEDDLE_LOOKUP, t->name, &t->driver, err);
	if (rc == RC_FAIL)
		return error_set(err, RC_ERROR, "unknown lookup type \"%.*s\"", SL_ARG(t->name));
	if (rc != RC_OK)
		return rc;
	t->is_query = !(t->driver->kind & HEDDLE_L_KEY);
	if (t->is_query && (t->partial >= 0 || t->star))
		return error_set(err, RC_ERROR,
		    "%s is not possible with the query-style lookup \"%.*s\"",
		    t->partial >= 0 ? "partial matching" : "a default", SL_ARG(t->name));
	return RC_OK;
}

enum rc lookup_type_parse(
    struct drivers *d, struct arena *a, slice_t text, struct lookup_type *out, struct error *err)
{
	struct lookup_type t = {.partial = -1};
	slice_t s = slice_trim(text);
	size_t comma = slice_find(s, ',');
	if (comma != SIZE_MAX) {
		parse_options(a, slice_sub(s, comma + 1, s.len), &t);
		s = slice_trim(slice_sub(s, 0, comma));
	}
	if (slice_starts(s, "partial")) {
		enum rc rc = parse_partial(&s, &t, err);
		if (rc != RC_OK)
			return rc;
	}
	if (s.len > 2 && slice_eqs(slice_sub(s, s.len - 2U, 2), "*@"))
		t.star_at = true;
	t.star = t.star_at || (s.len > 1 && s.ptr[s.len - 1] == '*');
	t.name = slice_sub(s, 0, s.len - (t.star_at ? 2U : t.star ? 1U : 0U));
	enum rc rc = find_driver(d, text, &t, err);
	if (rc == RC_OK)
		*out = t;
	return rc;
}

/* ---- one key
 * -------------------------------------------------------------------------------------------- */

struct search {
	struct heddle_call *call;
	const struct lookup_type *type;
	struct lookup_handle *handle; /* NULL: a driver without open */
	void *inst;
	slice_t found;
};

struct kept { /* a result in the handle's cache */
	slice_t value;
	int64_t until_us;
};

static slice_t result_key(struct search *s, slice_t key)
{
	struct strbuf sb;
	strbuf_init(&sb, s->call->arena, 0);
	strbuf_add(&sb, s->type->name);
	strbuf_char(&sb, '\0');
	strbuf_add(&sb, s->type->options);
	strbuf_char(&sb, '\0');
	strbuf_add(&sb, key);
	return strbuf_slice(&sb);
}

static bool kept_result(struct search *s, slice_t key, slice_t *out)
{
	struct text_entry *e = text_cache_get(s->handle->results, key);
	if (!e)
		return false;
	const struct kept *k = e->object;
	bool good = k->until_us > clock_mono_us();
	if (good)
		*out = arena_dup(s->call->arena, k->value);
	text_entry_unref(&e);
	return good;
}

static void keep_result(struct search *s, slice_t key, const struct heddle_found *f)
{
	struct text_entry *e = text_entry_new(sizeof(struct kept) + f->value.len + key.len + 256);
	struct kept *k = ARENA_NEW(e->arena, struct kept);
	k->value = arena_dup(e->arena, f->value);
	k->until_us = f->cache_seconds == HEDDLE_CACHE_SOURCE
	                  ? DEADLINE_NEVER
	                  : clock_mono_us() + f->cache_seconds * US_PER_SEC;
	e->object = k;
	text_cache_put(s->handle->results, key, e);
	text_entry_unref(&e);
}

static enum rc ask(struct search *s, slice_t key, struct heddle_found *f, struct error *err)
{
	struct heddle_call *c = s->call;
	const struct heddle_host *host = &c->services->host;
	const struct heddle_lookup_ops *ops = s->type->driver->ops;
	bool blocks = s->type->driver->head.flags & HEDDLE_F_BLOCKS && host->block_begin;
	*f = (struct heddle_found){.struct_size = sizeof *f};
	c->reason_given = false;
	if (blocks)
		host->block_begin(c);
	int32_t n =
	    ops->find(c, s->inst, s->handle ? s->handle->handle : NULL, key, s->type->options, f);
	if (blocks)
		host->block_end(c);
	if (n == HEDDLE_FAIL)
		return error_set(err, RC_FAIL, "not found");
	enum rc rc = call_result(c, n, s->type->driver->head.name, err);
	if (rc == RC_OK && f->value.len == UINT32_MAX)
		return error_set(
		    err, RC_DEFER, "lookup %s: the result is too big", s->type->driver->head.name);
	return rc;
}

static enum rc try_key(struct search *s, slice_t key, struct error *err)
{
	struct heddle_found f;
	slice_t kept_key = slice_absent();
	if (s->handle)
		kept_key = result_key(s, key);
	if (s->handle && !s->type->no_read_cache && kept_result(s, kept_key, &s->found))
		return RC_OK;
	enum rc rc = ask(s, key, &f, err);
	if (rc != RC_OK)
		return rc;
	if (s->handle && f.cache_seconds)
		keep_result(s, kept_key, &f);
	s->found = f.value;
	return RC_OK;
}

/* ---- the keys in turn
 * ----------------------------------------------------------------------------------- */

static slice_t affixed(struct search *s, slice_t rest)
{
	struct strbuf sb;
	strbuf_init(&sb, s->call->arena, 0);
	strbuf_add(&sb, s->type->affix);
	strbuf_add(&sb, rest);
	return strbuf_slice(&sb);
}

static unsigned labels(slice_t s)
{
	unsigned n = s.len ? 1 : 0;
	for (uint32_t i = 0; i < s.len; i++)
		n += s.ptr[i] == '.';
	return n;
}

/* What is asked when partial0 has shortened the key to nothing. */
static enum rc try_bare_affix(struct search *s, struct error *err)
{
	slice_t a = s->type->affix;
	if (!a.len)
		return error_set(err, RC_FAIL, "not found");
	if (a.len > 1 && a.ptr[a.len - 1] == '.')
		a = slice_sub(a, 0, a.len - 1U);
	return try_key(s, a, err);
}

static void set_parts(struct eval *ev, slice_t key, slice_t rest)
{
	size_t cut = key.len - rest.len;
	ev->captures[0] = key;
	ev->captures[1] = slice_sub(key, 0, cut && rest.len ? cut - 1 : cut);
	ev->captures[2] = rest;
	ev->capture_count = 3;
	ev->pinned++;
}

static enum rc try_partial(struct search *s, slice_t key, struct error *err)
{
	unsigned left = labels(key);
	unsigned least = s->type->partial > 0 ? (unsigned)s->type->partial : 1;
	slice_t rest = key;
	bool whole = true;
	enum rc rc = RC_FAIL;
	while (left >= least && rest.len) {
		/* without an affix the whole key has been asked for already */
		rc = whole && !s->type->affix.len ? RC_FAIL : try_key(s, affixed(s, rest), err);
		if (rc == RC_OK)
			set_parts(s->call->eval, key, rest);
		if (rc != RC_FAIL)
			return rc;
		whole = false;
		size_t dot = slice_find(rest, '.');
		if (dot == SIZE_MAX)
			break;
		rest = slice_sub(rest, dot + 1, rest.len);
		left--;
	}
	if (s->type->partial != 0)
		return error_set(err, RC_FAIL, "not found");
	rc = try_bare_affix(s, err);
	if (rc == RC_OK)
		set_parts(s->call->eval, key, SL(""));
	return rc;
}

static enum rc try_defaults(struct search *s, slice_t key, struct error *err)
{
	size_t at = s->type->star_at ? slice_rfind(key, '@') : SIZE_MAX;
	enum rc rc = RC_FAIL;
	if (at != SIZE_MAX && at > 0) {
		struct strbuf sb;
		strbuf_init(&sb, s->call->arena, 0);
		strbuf_char(&sb, '*');
		strbuf_add(&sb, slice_sub(key, at, key.len));
		rc = try_key(s, strbuf_slice(&sb), err);
	}
	return rc == RC_FAIL ? try_key(s, SL("*"), err) : rc;
}

static enum rc try_keys(struct search *s, slice_t key, struct error *err)
{
	enum rc rc = try_key(s, key, err);
	if (rc == RC_FAIL && s->type->partial >= 0)
		rc = try_partial(s, key, err);
	if (rc == RC_FAIL && s->type->star)
		rc = try_defaults(s, key, err);
	if (rc == RC_OK && s->type->ret_key)
		s->found = key;
	return rc;
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------ */

static enum rc check_source(const struct lookup_type *t, slice_t source, struct error *err)
{
	if (t->is_query || !(t->driver->kind & HEDDLE_L_FILE))
		return RC_OK;
	if (!slice_is_clean(source))
		return error_set(
		    err, RC_ERROR, "Tainted filename for search: '%.*s'", SL_ARG(source));
	if (!source.len || source.ptr[0] != '/')
		return error_set(err, RC_ERROR,
		    "\"%.*s\" is not an absolute file name for a %.*s lookup", SL_ARG(source),
		    SL_ARG(t->name));
	if (memchr(source.ptr, '\0', source.len))
		return error_set(err, RC_ERROR, "NUL character in the file name of a %.*s lookup",
		    SL_ARG(t->name));
	return RC_OK;
}

/* A query made of foreign text must have been quoted for this driver. */
static enum rc check_key(const struct lookup_type *t, slice_t key, struct error *err)
{
	if (!t->is_query)
		return key.len ? RC_OK : error_set(err, RC_FAIL, "an empty key is never found");
	const struct heddle_lookup_ops *ops = t->driver->ops;
	if (ops && !ops->quote) /* nothing in a key has a meaning for it */
		return RC_OK;
	if (slice_is_clean(key) || (t->driver->quoter && key.quoter == t->driver->quoter))
		return RC_OK;
	return error_set(err, RC_ERROR,
	    "tainted search query is not properly quoted (%.*s): use ${quote_%.*s:...}",
	    SL_ARG(t->name), SL_ARG(t->name));
}

static enum rc search(struct eval *ev, const struct lookup_type *t, slice_t source, slice_t key,
    slice_t *out, struct error *err)
{
	struct heddle_call c;
	call_init(&c, ev, NULL);
	struct search s = {.call = &c, .type = t, .found = slice_absent()};
	const struct heddle_lookup_ops *ops = t->driver->ops;
	if (ops->open || t->driver->desc->instance_new) {
		enum rc rc = lookup_acquire(&c, t, source, &s.handle, err);
		if (rc != RC_OK)
			return rc;
		s.inst = s.handle->inst;
	}
	enum rc rc = t->is_query ? try_key(&s, key, err) : try_keys(&s, key, err);
	lookup_release(ev->services->lookups, &s.handle, rc == RC_DEFER || rc == RC_ERROR);
	if (rc == RC_OK)
		*out = s.found;
	return rc;
}

enum rc lookup_run(struct eval *ev, const struct lookup_type *t, slice_t source, slice_t key,
    slice_t *out, struct error *err)
{
	enum rc rc = check_source(t, source, err);
	if (rc == RC_OK)
		rc = check_key(t, key, err);
	if (rc != RC_OK)
		return rc;
	if (ev->forbid & HEDDLE_FORBID_LOOKUPS)
		return error_set(err, RC_ERROR, "lookups are not permitted here");
	if (!t->driver->ops || !ev->services || !ev->services->lookups)
		return error_set(err, RC_ERROR, "lookup \"%.*s\" is not possible in this process",
		    SL_ARG(t->name));
	if (ev->lookup_depth >= DEPTH_MAX)
		return error_set(err, RC_ERROR, "lookups nested more than %d deep", DEPTH_MAX);
	ev->lookup_depth++;
	rc = search(ev, t, source, key, out, err);
	ev->lookup_depth--;
	return rc;
}

enum rc lookup_quote(
    struct eval *ev, const struct driver *drv, slice_t in, slice_t *out, struct error *err)
{
	const struct heddle_lookup_ops *ops = drv->ops;
	if (!ops || !ev->services)
		return error_set(err, RC_ERROR, "quoting for %s is not possible in this process",
		    drv->head.name);
	if (!ops->quote) {
		*out = in; /* keys need none */
		return RC_OK;
	}
	struct heddle_call c;
	slice_t made = slice_absent();
	call_init(&c, ev, NULL);
	enum rc rc = call_result(&c, ops->quote(&c, NULL, in, &made), drv->head.name, err);
	if (rc != RC_OK)
		return rc;
	made.flags = in.flags;
	made.quoter = slice_is_clean(in) ? 0 : drv->quoter;
	*out = made;
	return RC_OK;
}
