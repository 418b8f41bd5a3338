/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Items of address lists that have to be evaluated. */
#include "match/match_private.h"

enum { CHAIN_MAX = 50 };

/* The address with its domain in lower case, and its local part too unless case counts. */
static slice_t folded(struct run *r, bool caseful)
{
	if (!caseful)
		return match_lower(r, r->subject);
	if (!r->has_domain)
		return r->subject;
	struct strbuf sb;
	strbuf_init(&sb, r->ev->arena, 0);
	strbuf_add(&sb, r->local);
	strbuf_char(&sb, '@');
	strbuf_add(&sb, match_lower(r, r->domain));
	return strbuf_slice(&sb);
}

static enum rc split_item(struct run *r, const struct item *it, struct error *err)
{
	const struct item_split *sp = it->extra;
	bool caseful = it->flags & ITEM_CASEFUL;
	bool yes;
	if (sp->local.len && sp->local.ptr[0] == '*')
		yes = match_suffix(r->local, sp->local, caseful);
	else
		yes = caseful ? slice_eq(r->local, sp->local) : slice_eqi(r->local, sp->local);
	if (!yes)
		return error_set(err, RC_FAIL, "another local part");
	enum rc rc = match_name_item(r, &sp->domain, MATCH_DOMAINS, match_lower(r, r->domain), err);
	bool has_data = sp->domain.kind == ITEM_LOOKUP || sp->domain.kind == ITEM_NAMED;
	if (rc == RC_OK &&
	    sp->domain.kind == ITEM_SELF) { /* "local@@" stands for the whole address */
		struct strbuf sb;
		strbuf_init(&sb, r->ev->arena, 0);
		strbuf_add(&sb, sp->local);
		strbuf_char(&sb, '@');
		strbuf_add(&sb, r->data);
		r->data = strbuf_slice(&sb);
	} else if (rc == RC_OK && !has_data) {
		r->data = it->text;
	}
	return rc;
}

/* The next key of a chain: the last item, if it begins with '>'. */
static bool take_next_key(struct match_list *l, slice_t *key)
{
	if (!l->count)
		return false;
	const struct item *last = &l->items[l->count - 1];
	if (!last->text.len || last->text.ptr[0] != '>' || last->flags & ITEM_NEGATED)
		return false;
	*key = slice_trim(slice_sub(last->text, 1, last->text.len));
	return true;
}

/* One list of local parts that a domain's data gave.  *more: it ends in a chain. */
static enum rc local_parts_of(
    struct run *r, const struct item *it, slice_t list, slice_t *key, bool *more, struct error *err)
{
	struct arena *a = r->ev->arena;
	struct match_list l = {.kind = MATCH_LOCALPARTS};
	struct compile c = {.arena = a, .kind = MATCH_LOCALPARTS, .cfg = r->ev->cfg};
	struct run sub = *r;
	enum hit hit = HIT_NONE;
	c.flags = it->flags & ITEM_CASEFUL;
	enum rc rc = match_compile_text(&c, list, &l, err);
	if (rc != RC_OK)
		return rc;
	sub.kind = MATCH_LOCALPARTS;
	sub.subject = c.flags ? r->local : match_lower(r, r->local);
	sub.depth++;
	*more = take_next_key(&l, key);
	rc = match_find(&sub, &l, &hit, err);
	if (rc != RC_OK)
		return rc;
	if (hit == HIT_YES)
		r->data = sub.data;
	if (hit != HIT_NONE)
		*more = false;
	return hit == HIT_YES ? RC_OK : error_set(err, RC_FAIL, "not among the local parts");
}

static enum rc by_domain_item(struct run *r, const struct item *it, struct error *err)
{
	const struct item_lookup *lk = it->extra;
	slice_t key = match_lower(r, r->domain);
	for (int i = 0; i < CHAIN_MAX; i++) {
		bool more = false;
		enum rc rc = match_item_lookup(r, lk, key, err);
		if (rc == RC_OK)
			rc = local_parts_of(r, it, r->data, &key, &more, err);
		if (rc != RC_FAIL || !more || lk->type.is_query)
			return rc;
	}
	return error_set(err, RC_DEFER, "more than %d links in the chain of \"%.*s\"", CHAIN_MAX,
	    SL_ARG(it->text));
}

/* "*@dom", "*dom": about the domain alone. */
static enum rc domain_item(struct run *r, const struct item *it, struct error *err)
{
	struct item domain = *it;
	size_t at = slice_rfind(it->text, '@');
	if (!r->has_domain)
		return error_set(err, RC_FAIL, "no domain in \"%.*s\"", SL_ARG(r->subject));
	if (at != SIZE_MAX)
		domain.text = slice_sub(it->text, at + 1, it->text.len);
	enum rc rc = match_name_item(r, &domain, MATCH_DOMAINS, r->domain, err);
	if (rc == RC_OK)
		r->data = it->text;
	return rc;
}

enum rc match_address_item(struct run *r, const struct item *it, struct error *err)
{
	bool caseful = it->flags & ITEM_CASEFUL;
	switch ((enum item_kind)it->kind) {
	case ITEM_REGEX:
		return match_regex_item(r, it, folded(r, caseful), err);
	case ITEM_LOOKUP:
		return match_item_lookup(r, it->extra, folded(r, caseful), err);
	case ITEM_NAMED:
		return match_name_item(r, it, MATCH_ADDRESSES, r->subject, err);
	case ITEM_SPLIT:
	case ITEM_BY_DOMAIN:
		break;
	case ITEM_ANY:
	case ITEM_EXACT:
	case ITEM_SUFFIX:
		return domain_item(r, it, err);
	case ITEM_EMPTY:
	case ITEM_WHOLE:
	case ITEM_NET:
	case ITEM_FILE:
	case ITEM_SELF:
	case ITEM_SELF_IP:
	case ITEM_HOST_NAME:
	case ITEM_NET_LOOKUP:
		return error_set(
		    err, RC_ERROR, "\"%.*s\" is no item for an address", SL_ARG(it->text));
	}
	if (!r->has_domain)
		return error_set(err, RC_FAIL, "no domain in \"%.*s\"", SL_ARG(r->subject));
	return it->kind == ITEM_SPLIT ? split_item(r, it, err) : by_domain_item(r, it, err);
}
