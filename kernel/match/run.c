/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Looking for the first item that decides.  The public functions fill in a struct run for their
 * kind of subject; all of them end in match_list_run.
 */
#include "config/config.h"
#include "log/log.h"
#include "match/match_private.h"

static const struct item *earlier(const struct item *a, const struct item *b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

static const struct item *by_suffix(const struct match_list *l, slice_t name)
{
	const struct item *best = NULL;
	if (!l->suffixes)
		return NULL;
	for (uint32_t i = 0; i < name.len; i++)
		if (name.ptr[i] == '.')
			best = earlier(best, map_get(l->suffixes, slice_sub(name, i, name.len)));
	return best;
}

static const struct item *from_map(const struct map *m, slice_t key)
{
	return m ? map_get(m, key) : NULL;
}

/* The first indexed item that matches the subject. */
static const struct item *indexed(const struct run *r, const struct match_list *l)
{
	const struct item *best;
	uint32_t n;
	switch (r->kind) {
	case MATCH_HOSTS:
		if (!r->addr.family)
			return earlier(l->any, l->empty);
		n = l->nets ? radix_lowest(l->nets, &r->addr) : RADIX_NONE;
		return earlier(l->any, n == RADIX_NONE ? NULL : &l->items[n]);
	case MATCH_ADDRESSES:
		if (!r->subject.len)
			return l->empty;
		if (!r->has_domain)
			return NULL;
		best = earlier(l->any, from_map(l->whole, r->subject));
		best = earlier(best, from_map(l->exact, r->domain));
		return earlier(best, by_suffix(l, r->domain));
	case MATCH_DOMAINS:
	case MATCH_LOCALPARTS:
	case MATCH_STRINGS:
		break;
	}
	best = earlier(l->any, r->subject.len ? NULL : l->empty);
	best = earlier(best, from_map(l->exact, r->subject));
	best = earlier(best, from_map(l->caseful, r->subject));
	return earlier(best, by_suffix(l, r->subject));
}

static enum hit hit_of(const struct item *it)
{
	return it->flags & ITEM_NEGATED ? HIT_NO : HIT_YES;
}

static enum rc find_in_file(struct run *r, const struct match_list *l, const struct item *it,
    enum hit *out_hit, struct error *err)
{
	struct text_entry *e = NULL;
	union {
		const struct match_list *in;
		struct match_list *out;
	} owner = {.in = l}; /* its cache has a lock of its own */
	enum rc rc = match_file_list(r, owner.out, it, &e, err);
	if (rc != RC_OK)
		return rc;
	rc = match_find(r, e->object, out_hit, err);
	if (rc == RC_OK)
		r->data = arena_dup(r->ev->arena, r->data);
	text_entry_unref(&e);
	if (rc == RC_OK && it->flags & ITEM_NEGATED && (*out_hit == HIT_YES || *out_hit == HIT_NO))
		*out_hit = *out_hit == HIT_YES ? HIT_NO : HIT_YES;
	return rc;
}

/* An item that could not be answered: what the +words say about that. */
static enum rc unanswered(
    struct run *r, const struct item *it, enum rc rc, enum hit *out_hit, const struct error *err)
{
	struct log *log = r->ev->log;
	bool defer = rc == RC_DEFER;
	if (it->flags & (defer ? ITEM_IGNORE_DEFER : ITEM_IGNORE_UNKNOWN))
		*out_hit = HIT_NONE;
	else if (it->flags & (defer ? ITEM_INCLUDE_DEFER : ITEM_INCLUDE_UNKNOWN))
		*out_hit = HIT_YES_AT_ONCE;
	else if (defer)
		return rc;
	else
		*out_hit = HIT_NO_AT_ONCE;
	if (*out_hit == HIT_NO_AT_ONCE && log && err && log_selected(log, LOG_UNKNOWN_IN_LIST))
		log_main(log, slice_absent(), "list matching forced to fail: %s", err->text);
	return RC_OK;
}

static enum rc try_item(struct run *r, const struct match_list *l, const struct item *it,
    enum hit *out_hit, struct error *err)
{
	enum hit hit = HIT_NONE;
	enum rc rc;
	r->unknown = false;
	if (it->kind == ITEM_FILE) {
		rc = find_in_file(r, l, it, &hit, err);
	} else {
		rc = match_item(r, it, err);
		if (rc == RC_OK)
			hit = hit_of(it);
		else if (rc == RC_FAIL && !r->unknown)
			rc = RC_OK;
	}
	if (rc == RC_FAIL || rc == RC_DEFER)
		rc = unanswered(r, it, rc, &hit, err);
	if (rc == RC_OK)
		*out_hit = hit;
	return rc;
}

/* Matching that has to mind the case from the start cannot use an index that folds it. */
static enum rc find_by_walk(
    struct run *r, const struct match_list *l, enum hit *out_hit, struct error *err)
{
	*out_hit = HIT_NONE;
	for (uint32_t i = 0; i < l->count; i++) {
		enum rc rc = try_item(r, l, &l->items[i], out_hit, err);
		if (rc != RC_OK || *out_hit != HIT_NONE)
			return rc;
	}
	return RC_OK;
}

enum rc match_find(struct run *r, const struct match_list *l, enum hit *out_hit, struct error *err)
{
	if (r->caseful)
		return find_by_walk(r, l, out_hit, err);
	const struct item *best = indexed(r, l);
	for (uint32_t i = 0; i < l->evaluated_count; i++) {
		const struct item *it = l->evaluated[i];
		if (best && it > best)
			break;
		enum hit hit = HIT_NONE;
		enum rc rc = try_item(r, l, it, &hit, err);
		if (rc != RC_OK || hit != HIT_NONE) {
			*out_hit = hit;
			return rc;
		}
	}
	*out_hit = HIT_NONE;
	if (best) {
		match_plain_data(r, best);
		*out_hit = hit_of(best);
	}
	return RC_OK;
}

static enum rc decide(struct run *r, const struct match_list *l, struct error *err)
{
	enum hit hit = HIT_NONE;
	enum rc rc = match_find(r, l, &hit, err);
	if (rc != RC_OK)
		return rc;
	if (hit == HIT_YES)
		return RC_OK;
	r->data = slice_absent();
	if (hit == HIT_YES_AT_ONCE || (hit == HIT_NONE && l->ends_negated))
		return RC_OK;
	return error_set(err, RC_FAIL, "not in the list");
}

/* The compiled form of a text; key: what it is remembered under. */
static enum rc compiled_at_run_time(struct run *r, struct text_cache *cache, slice_t key,
    slice_t text, struct text_entry **out, struct error *err)
{
	struct text_entry *e = text_cache_get(cache, key);
	if (!e) {
		e = text_entry_new(0);
		struct match_list *made = ARENA_NEW(e->arena, struct match_list);
		struct compile c = {.arena = e->arena, .kind = r->kind, .cfg = r->ev->cfg};
		enum rc rc = match_compile_text(&c, arena_dup(e->arena, text), made, err);
		if (rc != RC_OK) {
			text_entry_unref(&e);
			return rc;
		}
		e->object = made;
		text_cache_put(cache, key, e);
	}
	*out = e;
	return RC_OK;
}

static enum rc run_dynamic(struct run *r, const struct match_list *l, struct error *err)
{
	slice_t text;
	struct text_entry *e = NULL;
	enum rc rc = expr_eval(r->ev, l->expr, &text, err);
	if (rc == RC_OK)
		rc = compiled_at_run_time(r, l->cache, text, text, &e, err);
	if (rc != RC_OK)
		return rc; /* a forced failure is "not in the list" */
	rc = decide(r, e->object, err);
	if (rc == RC_OK)
		r->data = arena_dup(r->ev->arena, r->data);
	text_entry_unref(&e);
	return rc;
}

enum rc match_list_run(struct run *r, struct match_list *l, struct error *err)
{
	if (!l)
		return error_set(err, RC_FAIL, "no list");
	if (r->depth > MATCH_MAX_DEPTH)
		return error_set(
		    err, RC_ERROR, "%s lists nested too deeply", match_kind_name(l->kind));
	if (l->kind != r->kind)
		return error_set(err, RC_ERROR, "a %s list where a %s list is needed",
		    match_kind_name(l->kind), match_kind_name(r->kind));
	enum rc rc = l->dynamic ? run_dynamic(r, l, err) : decide(r, l, err);
	if (rc == RC_OK || rc == RC_FAIL || !l->option)
		return rc;
	return error_wrap(err, rc, "%s", l->option);
}

/* ---- the public functions
 * ---------------------------------------------------------------------------------- */

static enum rc finish(struct run *r, struct match_list *l, slice_t *out_data, struct error *err)
{
	r->data = slice_absent();
	enum rc rc = match_list_run(r, l, err);
	if (rc != RC_OK)
		return rc;
	const slice_t *cap = r->re_count ? r->re_cap : r->cap;
	uint32_t n = r->re_count ? r->re_count : r->cap_count;
	for (uint32_t i = 0; i < n; i++)
		r->ev->captures[i] = cap[i];
	if (n) {
		r->ev->capture_count = n;
		r->ev->pinned++;
	}
	if (out_data)
		*out_data = r->data;
	return RC_OK;
}

static struct run run_init(struct eval *ev, enum match_kind kind, slice_t subject)
{
	return (struct run){.ev = ev,
	    .kind = kind,
	    .subject = subject,
	    .data = slice_absent(),
	    .host_name_rc = RC_ERROR};
}

static void set_address(struct run *r, slice_t address)
{
	size_t at = slice_rfind(address, '@');
	r->has_domain = at != SIZE_MAX;
	r->local = slice_sub(address, 0, r->has_domain ? at : address.len);
	r->domain = r->has_domain ? slice_sub(address, at + 1, address.len) : slice_absent();
}

enum rc match_domain(
    struct eval *ev, struct match_list *l, slice_t domain, slice_t *out_data, struct error *err)
{
	struct run r = run_init(ev, MATCH_DOMAINS, domain);
	return finish(&r, l, out_data, err);
}

enum rc match_local_part(
    struct eval *ev, struct match_list *l, slice_t local_part, slice_t *out_data, struct error *err)
{
	struct run r = run_init(ev, MATCH_LOCALPARTS, local_part);
	return finish(&r, l, out_data, err);
}

enum rc match_local_part_caseful(
    struct eval *ev, struct match_list *l, slice_t local_part, slice_t *out_data, struct error *err)
{
	struct run r = run_init(ev, MATCH_LOCALPARTS, local_part);
	r.caseful = true;
	return finish(&r, l, out_data, err);
}

enum rc match_address(
    struct eval *ev, struct match_list *l, slice_t address, slice_t *out_data, struct error *err)
{
	struct run r = run_init(ev, MATCH_ADDRESSES, address);
	set_address(&r, address);
	return finish(&r, l, out_data, err);
}

enum rc match_string(
    struct eval *ev, struct match_list *l, slice_t s, slice_t *out_data, struct error *err)
{
	struct run r = run_init(ev, MATCH_STRINGS, s);
	return finish(&r, l, out_data, err);
}

static enum rc set_host(struct run *r, const struct match_host *h, struct error *err)
{
	r->host = h;
	r->subject = h->address;
	if (slice_is_absent(h->address) || !h->address.len)
		return RC_OK;
	if (!net_addr_parse(h->address, &r->addr))
		return error_set(
		    err, RC_ERROR, "\"%.*s\" is not an IP address", SL_ARG(h->address));
	net_addr_unmap(&r->addr);
	return RC_OK;
}

enum rc match_host(struct eval *ev, struct match_list *l, const struct match_host *h,
    slice_t *out_data, struct error *err)
{
	struct run r = run_init(ev, MATCH_HOSTS, slice_absent());
	enum rc rc = set_host(&r, h, err);
	return rc == RC_OK ? finish(&r, l, out_data, err) : rc;
}

enum rc match_client(struct eval *ev, struct match_list *l, slice_t *out_data, struct error *err)
{
	const struct session_facts *s = ev->session;
	struct match_host h = {.address = slice_absent(), .name = slice_absent()};
	if (s) {
		h.address = s->sender_host_address;
		h.name = s->sender_host_name;
		h.name_is_final = s->host_lookup == HOST_LOOKUP_FAILED;
	}
	return match_host(ev, l, &h, out_data, err);
}

/* Compiled lists point to named lists of their snapshot, so its number is part of the key. */
static slice_t text_key(const struct eval *ev, enum match_kind kind, slice_t list)
{
	slice_t key = arena_printf(ev->arena, "%d %llu %.*s", (int)kind,
	    (unsigned long long)(ev->cfg ? config_serial(ev->cfg) : 0), SL_ARG(list));
	key.flags = list.flags;
	return key;
}

static enum rc run_text(struct run *r, slice_t list, slice_t *out_data, struct error *err)
{
	struct eval *ev = r->ev;
	struct text_cache *cache = ev->services ? ev->services->texts : NULL;
	struct text_entry *e = NULL;
	slice_t key = cache ? text_key(ev, r->kind, list) : list;
	enum rc rc = compiled_at_run_time(r, cache, key, list, &e, err);
	if (rc != RC_OK)
		return rc;
	rc = finish(r, e->object, out_data, err);
	if (rc == RC_OK && out_data)
		*out_data = arena_dup(ev->arena, *out_data);
	text_entry_unref(&e);
	return rc;
}

enum rc match_text(struct eval *ev, enum match_kind kind, slice_t list, slice_t subject,
    slice_t *out_data, struct error *err)
{
	struct run r = run_init(ev, kind, subject);
	struct match_host h = {.address = subject, .name = slice_absent()};
	enum rc rc = RC_OK;
	if (kind == MATCH_ADDRESSES)
		set_address(&r, subject);
	r.address_only = kind == MATCH_HOSTS;
	if (kind == MATCH_HOSTS)
		rc = set_host(&r, &h, err);
	return rc == RC_OK ? run_text(&r, list, out_data, err) : rc;
}
