/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Does one item match?  The forms that all lists share; hosts and addresses have their own files.
 */
#include "driver/call.h"
#include "match/match_private.h"

slice_t match_lower(struct run *r, slice_t s)
{
	uint32_t i = 0;
	while (i < s.len && ascii_lower(s.ptr[i]) == s.ptr[i])
		i++;
	if (i == s.len)
		return s;
	char *p = arena_bytes(r->ev->arena, s.len);
	for (i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	slice_t low = s;
	low.ptr = p;
	return low;
}

static bool same(slice_t a, slice_t b, bool caseful)
{
	return caseful ? slice_eq(a, b) : slice_eqi(a, b);
}

bool match_suffix(slice_t subject, slice_t pattern, bool caseful)
{
	uint32_t n = pattern.len - 1;
	return subject.len >= n &&
	       same(slice_sub(subject, subject.len - n, n), slice_sub(pattern, 1, n), caseful);
}

static void set_captures(struct run *r, const struct item *it, slice_t subject, slice_t pattern)
{
	r->re_count = 0;
	r->cap[0] = subject;
	r->cap_count = 1;
	if (it->kind == ITEM_SUFFIX || it->kind == ITEM_ANY) {
		r->cap[1] = slice_sub(subject, 0, subject.len - (pattern.len - 1));
		r->cap_count = 2;
	}
}

void match_plain_data(struct run *r, const struct item *it)
{
	if (r->kind == MATCH_HOSTS) { /* for them only a lookup has a value */
		r->data = slice_absent();
		return;
	}
	r->data = it->text;
	if (r->kind != MATCH_ADDRESSES) {
		set_captures(r, it, r->subject, it->text);
	} else if (it->kind == ITEM_SUFFIX) {
		size_t at = slice_rfind(it->text, '@');
		set_captures(r, it, r->domain,
		    at == SIZE_MAX ? it->text : slice_sub(it->text, at + 1, it->text.len));
	}
}

enum rc match_item_lookup(
    struct run *r, const struct item_lookup *lk, slice_t key, struct error *err)
{
	slice_t data;
	bool query = lk->type.is_query;
	if (!query && !key.len)
		return error_set(err, RC_FAIL, "an empty key");
	enum rc rc = lookup_run(r->ev, &lk->type, lk->source, query ? lk->query : key, &data, err);
	if (rc == RC_OK)
		r->data = data;
	return rc;
}

enum rc match_regex_item(struct run *r, const struct item *it, slice_t subject, struct error *err)
{
	uint32_t n = 0;
	slice_t cap[EVAL_CAPTURES];
	const struct item_regex *re = it->extra;
	enum rc rc = regex_match(r->ev->arena, r->caseful && re->caseful ? re->caseful : re->usual,
	    subject, cap, EVAL_CAPTURES, &n, err);
	if (rc != RC_OK)
		return rc;
	r->re_count = n < EVAL_CAPTURES ? n : EVAL_CAPTURES;
	for (uint32_t i = 0; i < r->re_count; i++)
		r->re_cap[i] = cap[i];
	r->data = it->text;
	return RC_OK;
}

static enum rc own_name(struct run *r, slice_t subject, struct error *err)
{
	const struct process_facts *p = r->ev->process;
	if (!p || !slice_eqi(p->primary_hostname, subject))
		return error_set(err, RC_FAIL, "not this host's name");
	r->data = p->primary_hostname;
	return RC_OK;
}

/* "[127.0.0.1]", "[IPv6:::1]" */
static enum rc own_literal(struct run *r, const struct item *it, slice_t subject, struct error *err)
{
	const struct net_interfaces *own = r->ev->services ? r->ev->services->own_addresses : NULL;
	struct net_addr a;
	if (subject.len < 3 || subject.ptr[0] != '[' || subject.ptr[subject.len - 1] != ']')
		return error_set(err, RC_FAIL, "not a domain literal");
	slice_t text = slice_sub(subject, 1, subject.len - 2U);
	if (slice_startsi(text, "ipv6:"))
		text = slice_sub(text, 5, text.len);
	if (!own || !net_addr_parse(text, &a))
		return error_set(err, RC_FAIL, "not an address of ours");
	net_addr_unmap(&a);
	if (!net_interfaces_has(own, &a))
		return error_set(err, RC_FAIL, "not an address of ours");
	r->data = it->text;
	return RC_OK;
}

/* A named list is a subject of its own; what it finds out about the host is kept. */
static enum rc named(
    struct run *r, const struct item *it, enum match_kind kind, slice_t subject, struct error *err)
{
	union {
		const void *in;
		struct match_list *out;
	} list = {.in = it->extra};
	struct run sub = *r;
	sub.kind = kind;
	sub.subject = subject;
	sub.depth++;
	sub.data = slice_absent();
	sub.caseful = r->caseful && kind == r->kind;
	enum rc rc = match_list_run(&sub, list.out, err);
	sub.kind = r->kind;
	sub.subject = r->subject;
	sub.depth = r->depth;
	sub.caseful = r->caseful;
	sub.unknown = false;
	if (rc != RC_OK)
		sub.data = r->data;
	*r = sub;
	return rc;
}

static enum rc yes_or_no(bool yes, struct error *err)
{
	return yes ? RC_OK : error_set(err, RC_FAIL, "another text");
}

/* A name, whatever it is the name of, against one item. */
static enum rc name_item(
    struct run *r, const struct item *it, enum match_kind kind, slice_t subject, struct error *err)
{
	bool caseful = r->caseful || it->flags & ITEM_CASEFUL;
	bool yes = false;
	switch ((enum item_kind)it->kind) {
	case ITEM_REGEX:
		return match_regex_item(r, it, subject, err);
	case ITEM_LOOKUP:
		return match_item_lookup(
		    r, it->extra, caseful ? subject : match_lower(r, subject), err);
	case ITEM_NAMED:
		return named(r, it, kind, subject, err);
	case ITEM_SELF:
		return own_name(r, subject, err);
	case ITEM_SELF_IP:
		return own_literal(r, it, subject, err);
	case ITEM_EMPTY:
		yes = !subject.len;
		break;
	case ITEM_ANY:
		yes = true;
		break;
	case ITEM_EXACT:
		yes = same(subject, it->text, caseful);
		break;
	case ITEM_SUFFIX:
		yes = match_suffix(subject, it->text, caseful);
		break;
	case ITEM_WHOLE:
	case ITEM_NET:
	case ITEM_FILE:
	case ITEM_HOST_NAME:
	case ITEM_NET_LOOKUP:
	case ITEM_SPLIT:
	case ITEM_BY_DOMAIN:
		return error_set(err, RC_ERROR, "\"%.*s\" is no item for a name", SL_ARG(it->text));
	}
	if (yes) {
		r->data = it->text;
		set_captures(r, it, subject, it->text);
	}
	return yes_or_no(yes, err);
}

enum rc match_name_item(
    struct run *r, const struct item *it, enum match_kind kind, slice_t subject, struct error *err)
{
	enum rc rc = name_item(r, it, kind, subject, err);
	if (rc == RC_OK && (it->kind != ITEM_REGEX && it->kind != ITEM_NAMED))
		r->re_count = 0;
	return rc;
}

enum rc match_item(struct run *r, const struct item *it, struct error *err)
{
	if (r->kind == MATCH_HOSTS)
		return match_host_item(r, it, err);
	if (r->kind == MATCH_ADDRESSES)
		return match_address_item(r, it, err);
	return match_name_item(r, it, r->kind, r->subject, err);
}
