/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What one item of a list is, by the kind of the list.  Everything that can be refused is refused
 * here, at load. */
#include "config/config.h"
#include "match/match_private.h"

static enum rc classify_named(
    struct compile *c, enum match_kind kind, slice_t name, struct item *out, struct error *err)
{
	struct match_list *l = c->cfg ? config_named_list(c->cfg, kind, name) : NULL;
	if (!l)
		return error_set(err, RC_ERROR, "unknown named %s list \"+%.*s\"",
		    match_kind_name(kind), SL_ARG(name));
	out->kind = ITEM_NAMED;
	out->extra = l;
	return RC_OK;
}

static enum rc classify_regex(struct compile *c, slice_t text, struct item *out, struct error *err)
{
	struct item_regex *re = ARENA_NEW(c->arena, struct item_regex);
	bool caseful = out->flags & ITEM_CASEFUL;
	enum rc rc = regex_compile(
	    c->arena, text, REGEX_JIT | (caseful ? 0 : REGEX_CASELESS), &re->usual, err);
	if (rc == RC_OK && c->kind == MATCH_LOCALPARTS && !caseful)
		rc = regex_compile(c->arena, text, REGEX_JIT, &re->caseful, err);
	out->kind = ITEM_REGEX;
	out->extra = re;
	return rc;
}

static enum rc classify_file(struct compile *c, slice_t text, struct item *out, struct error *err)
{
	if (c->in_file)
		return error_set(err, RC_ERROR,
		    "file name \"%.*s\" in a file that is an item of a list: only one level is "
		    "allowed",
		    SL_ARG(text));
	if (memchr(text.ptr, '\0', text.len))
		return error_set(err, RC_ERROR, "file name with a NUL character in a list");
	out->kind = ITEM_FILE;
	return RC_OK;
}

/* The part before ';' if it looks like the type of a lookup:
 * [partial<n>(affix)-]name[*|*@][,options]. */
static bool lookup_type_text(slice_t text, slice_t *out_type, slice_t *out_rest)
{
	size_t i = 0;
	if (slice_starts(text, "partial")) {
		size_t j = strlen("partial");
		while (j < text.len && ascii_isdigit(text.ptr[j]))
			j++;
		if (j < text.len && text.ptr[j] == '(')
			while (j < text.len && text.ptr[j] != '-' && text.ptr[j] != ';')
				j++;
		if (j < text.len && text.ptr[j] == '-')
			i = j + 1;
	}
	size_t begin = i;
	while (i < text.len && (ascii_isalnum(text.ptr[i]) || text.ptr[i] == '_'))
		i++;
	if (i == begin)
		return false;
	if (i < text.len && text.ptr[i] == '*')
		i++;
	if (i < text.len && i > begin && text.ptr[i - 1] == '*' && text.ptr[i] == '@')
		i++;
	if (i < text.len && text.ptr[i] == ',')
		while (i < text.len && text.ptr[i] != ';')
			i++;
	if (i >= text.len || text.ptr[i] != ';')
		return false;
	*out_type = slice_sub(text, 0, i);
	*out_rest = slice_trim(slice_sub(text, i + 1, text.len));
	return true;
}

static enum rc make_lookup(
    struct compile *c, slice_t type, slice_t rest, struct item *out, struct error *err)
{
	struct drivers *d = c->cfg ? config_drivers(c->cfg) : NULL;
	if (!d)
		return error_set(err, RC_ERROR,
		    "lookup \"%.*s\" in a list where there are no drivers", SL_ARG(type));
	struct item_lookup *lk = ARENA_NEW(c->arena, struct item_lookup);
	enum rc rc = lookup_type_parse(d, c->arena, type, &lk->type, err);
	if (rc != RC_OK)
		return rc == RC_FAIL ? RC_ERROR : rc;
	lk->mask_bits = -1;
	lk->source = lk->type.is_query ? slice_absent() : rest;
	lk->query = rest;
	out->kind = ITEM_LOOKUP;
	out->extra = lk;
	return RC_OK;
}

/* RC_FAIL: not one of the forms that all lists have. */
static enum rc classify_common(struct compile *c, slice_t text, struct item *out, struct error *err)
{
	slice_t type, rest;
	if (!text.len)
		out->kind = ITEM_EMPTY;
	else if (text.ptr[0] == '+' && c->kind != MATCH_STRINGS)
		return classify_named(c, c->kind, slice_sub(text, 1, text.len), out, err);
	else if (text.ptr[0] == '^')
		return classify_regex(c, text, out, err);
	else if (text.ptr[0] == '/')
		return classify_file(c, text, out, err);
	else if (lookup_type_text(text, &type, &rest))
		return make_lookup(c, type, rest, out, err);
	else
		return RC_FAIL;
	return RC_OK;
}

static void classify_name(slice_t text, struct item *out)
{
	if (slice_eqs(text, "*"))
		out->kind = ITEM_ANY;
	else
		out->kind = text.len && text.ptr[0] == '*' ? ITEM_SUFFIX : ITEM_EXACT;
}

static enum rc classify_at(slice_t text, struct item *out, struct error *err)
{
	if (slice_eqs(text, "@"))
		out->kind = ITEM_SELF;
	else if (slice_eqs(text, "@[]"))
		out->kind = ITEM_SELF_IP;
	else if (slice_starts(text, "@mx_any") || slice_starts(text, "@mx_primary") ||
	         slice_starts(text, "@mx_secondary"))
		return error_set(err, RC_ERROR, "not supported yet: %.*s", SL_ARG(text));
	else
		return RC_FAIL;
	return RC_OK;
}

enum rc match_classify_domain(struct compile *c, slice_t text, struct item *out, struct error *err)
{
	enum rc rc = classify_common(c, text, out, err);
	if (rc == RC_FAIL && text.ptr[0] == '@')
		rc = classify_at(text, out, err);
	if (rc != RC_FAIL)
		return rc;
	classify_name(text, out);
	return RC_OK;
}

/* net-TYPE;file and net24-TYPE;file */
static enum rc classify_net_lookup(
    struct compile *c, slice_t text, struct item *out, struct error *err)
{
	size_t i = 3;
	slice_t type, rest;
	int64_t bits = -1;
	while (i < text.len && ascii_isdigit(text.ptr[i]))
		i++;
	if (!slice_starts(text, "net") || i >= text.len || text.ptr[i] != '-' ||
	    !lookup_type_text(slice_sub(text, i + 1, text.len), &type, &rest))
		return RC_FAIL;
	if (i > 3 && (!slice_to_i64(slice_sub(text, 3, i - 3), 10, false, &bits) || bits > 128))
		return error_set(
		    err, RC_ERROR, "mask length out of range in \"%.*s\"", SL_ARG(text));
	enum rc rc = make_lookup(c, type, rest, out, err);
	if (rc != RC_OK)
		return rc;
	struct item_lookup *lk = ARENA_NEW(c->arena, struct item_lookup);
	memcpy(lk, out->extra, sizeof *lk);
	lk->mask_bits = (int)bits;
	out->extra = lk;
	out->kind = ITEM_NET_LOOKUP;
	return RC_OK;
}

static bool is_host_name(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if (!ascii_isalnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '.' &&
		    s.ptr[i] != '_')
			return false;
	return true;
}

static enum rc classify_host(struct compile *c, slice_t text, struct item *out, struct error *err)
{
	struct net_cidr net;
	enum rc rc = classify_net_lookup(c, text, out, err);
	if (rc == RC_FAIL)
		rc = classify_common(c, text, out, err);
	if (rc == RC_FAIL && text.ptr[0] == '@')
		rc = classify_at(text, out, err);
	if (rc != RC_FAIL)
		return rc;
	if (net_cidr_parse(text, &net)) {
		struct net_cidr *own = ARENA_NEW(c->arena, struct net_cidr);
		*own = net;
		out->extra = own;
		out->kind = ITEM_NET;
		return RC_OK;
	}
	size_t slash = slice_find(text, '/');
	struct net_addr addr;
	if (slash != SIZE_MAX && net_addr_parse(slice_sub(text, 0, slash), &addr))
		return error_set(
		    err, RC_ERROR, "malformed network \"%.*s\" in a host list", SL_ARG(text));
	classify_name(text, out);
	if (out->kind == ITEM_EXACT && is_host_name(text))
		out->kind = ITEM_HOST_NAME;
	return RC_OK;
}

static enum rc classify_by_domain(
    struct compile *c, slice_t text, struct item *out, struct error *err)
{
	slice_t type, rest;
	if (!lookup_type_text(slice_sub(text, 2, text.len), &type, &rest))
		return error_set(
		    err, RC_ERROR, "a lookup is expected behind \"@@\": \"%.*s\"", SL_ARG(text));
	enum rc rc = make_lookup(c, type, rest, out, err);
	out->kind = ITEM_BY_DOMAIN;
	return rc;
}

/* local@domain.  The domain is what stands behind the last '@', but for "local@@" and "local@@[]".
 */
static enum rc classify_split(
    struct compile *c, slice_t text, size_t at, struct item *out, struct error *err)
{
	slice_t whole = text;
	if (at > 0 && text.ptr[at - 1] == '@' &&
	    (at + 1 == text.len || slice_eqs(slice_sub(text, at, 3), "@[]")))
		at--;
	struct item_split *sp = ARENA_NEW(c->arena, struct item_split);
	sp->local = slice_sub(whole, 0, at);
	sp->domain.text = slice_sub(whole, at + 1, whole.len);
	struct compile sub = *c;
	sub.kind = MATCH_DOMAINS;
	enum rc rc = match_classify_domain(&sub, sp->domain.text, &sp->domain, err);
	if (rc != RC_OK)
		return rc;
	bool plain_domain = sp->domain.kind == ITEM_EXACT;
	bool any_local = slice_eqs(sp->local, "*");
	out->extra = sp;
	out->kind = ITEM_SPLIT;
	if (any_local &&
	    (plain_domain || sp->domain.kind == ITEM_SUFFIX || sp->domain.kind == ITEM_ANY))
		out->kind = sp->domain.kind;
	else if (plain_domain && sp->local.len && sp->local.ptr[0] != '*' &&
	         !(out->flags & ITEM_CASEFUL))
		out->kind = ITEM_WHOLE;
	return RC_OK;
}

static enum rc classify_address(
    struct compile *c, slice_t text, struct item *out, struct error *err)
{
	if (slice_starts(text, "@@"))
		return classify_by_domain(c, text, out, err);
	enum rc rc = classify_common(c, text, out, err);
	if (rc == RC_OK && out->kind == ITEM_LOOKUP) {
		struct item_lookup *lk = ARENA_NEW(c->arena, struct item_lookup);
		memcpy(lk, out->extra, sizeof *lk);
		lk->type.partial = -1; /* not applicable to whole addresses */
		out->extra = lk;
	}
	if (rc != RC_FAIL)
		return rc;
	size_t at = slice_rfind(text, '@');
	if (at != SIZE_MAX)
		return classify_split(c, text, at, out, err);
	classify_name(text, out);
	return RC_OK;
}

static enum rc classify_plain(struct compile *c, slice_t text, struct item *out, struct error *err)
{
	enum rc rc = classify_common(c, text, out, err);
	if (rc != RC_FAIL)
		return rc;
	classify_name(text, out);
	return RC_OK;
}

enum rc match_classify(struct compile *c, slice_t text, struct item *out, struct error *err)
{
	switch (c->kind) {
	case MATCH_DOMAINS:
		return match_classify_domain(c, text, out, err);
	case MATCH_HOSTS:
		return classify_host(c, text, out, err);
	case MATCH_ADDRESSES:
		return classify_address(c, text, out, err);
	case MATCH_LOCALPARTS:
	case MATCH_STRINGS:
		break;
	}
	return classify_plain(c, text, out, err);
}
