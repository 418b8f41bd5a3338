/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Items that need no evaluation go into maps and a radix tree; the first item of a value is the one
 * that is kept. */
#include "match/match_private.h"

enum { FILE_ENTRIES = 16, FILE_BYTES = 64 << 20 };

static void put_first(
    struct arena *a, struct map **m, enum map_case mode, slice_t key, const struct item *it)
{
	union {
		const struct item *in;
		void *out;
	} u = {.in = it};
	if (!*m)
		*m = map_new(a, mode);
	if (!map_get(*m, key))
		map_put(*m, key, u.out);
}

/* Domain part of an address item that is about domains alone ("dom", "*@dom"). */
static slice_t domain_key(const struct match_list *l, const struct item *it)
{
	size_t at = l->kind == MATCH_ADDRESSES ? slice_rfind(it->text, '@') : SIZE_MAX;
	return at == SIZE_MAX ? it->text : slice_sub(it->text, at + 1, it->text.len);
}

static void add_net(struct arena *a, struct match_list *l, const struct item *it)
{
	struct net_cidr net;
	memcpy(&net, it->extra, sizeof net);
	if (!l->nets)
		l->nets = radix_new(a);
	radix_add(l->nets, &net, (uint32_t)(it - l->items));
}

/* false: this item has to be evaluated. */
static bool add(struct arena *a, struct match_list *l, const struct item *it)
{
	slice_t key;
	switch ((enum item_kind)it->kind) {
	case ITEM_EMPTY:
		if (!l->empty)
			l->empty = it;
		return true;
	case ITEM_ANY:
		if (!l->any)
			l->any = it;
		return true;
	case ITEM_NET:
		add_net(a, l, it);
		return true;
	case ITEM_WHOLE:
		put_first(a, &l->whole, MAP_NOCASE, it->text, it);
		return true;
	case ITEM_EXACT:
		if (l->kind == MATCH_HOSTS)
			return false;
		if (l->kind == MATCH_LOCALPARTS && it->flags & ITEM_CASEFUL)
			put_first(a, &l->caseful, MAP_EXACT, it->text, it);
		else
			put_first(a, &l->exact, MAP_NOCASE, domain_key(l, it), it);
		return true;
	case ITEM_SUFFIX:
		key = domain_key(l, it);
		key = slice_sub(key, 1, key.len);
		if ((l->kind != MATCH_DOMAINS && l->kind != MATCH_ADDRESSES) || key.ptr[0] != '.')
			return false;
		put_first(a, &l->suffixes, MAP_NOCASE, key, it);
		return true;
	case ITEM_REGEX:
	case ITEM_LOOKUP:
	case ITEM_NAMED:
	case ITEM_FILE:
	case ITEM_SELF:
	case ITEM_SELF_IP:
	case ITEM_HOST_NAME:
	case ITEM_NET_LOOKUP:
	case ITEM_SPLIT:
	case ITEM_BY_DOMAIN:
		break;
	}
	return false;
}

void match_index(struct arena *a, struct match_list *l)
{
	struct vec evaluated = {0};
	bool files = false;
	for (const struct item *it = l->items; l->count && it < l->items + l->count; it++) {
		if (!add(a, l, it))
			*VEC_PUSH(a, &evaluated, const struct item *) = it;
		files |= it->kind == ITEM_FILE;
	}
	l->evaluated = evaluated.items;
	l->evaluated_count = (uint32_t)evaluated.count;
	if (files && !l->cache)
		l->cache = text_cache_new(a, FILE_ENTRIES, FILE_BYTES);
}
