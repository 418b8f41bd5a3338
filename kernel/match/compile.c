/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A list's text to its items: negation, the +words, and what each item is (item.c); then the index.
 */
#include "config/config.h"
#include "match/match_private.h"

enum { DYNAMIC_ENTRIES = 64, DYNAMIC_BYTES = 4 << 20 };

const char *match_kind_name(enum match_kind kind)
{
	static const char *const names[] = {[MATCH_DOMAINS] = "domain",
	    [MATCH_HOSTS] = "host",
	    [MATCH_ADDRESSES] = "address",
	    [MATCH_LOCALPARTS] = "local part",
	    [MATCH_STRINGS] = "string"};
	return names[kind];
}

/* A +word changes how the items behind it are matched; the other words are names of lists. */
static bool set_flag(struct compile *c, slice_t text)
{
	static const struct {
		const char *word;
		uint8_t set, clear;
		bool hosts;
	} words[] = {
	    {"+caseful", ITEM_CASEFUL, 0, false},
	    {"+include_unknown", ITEM_INCLUDE_UNKNOWN, ITEM_IGNORE_UNKNOWN, true},
	    {"+ignore_unknown", ITEM_IGNORE_UNKNOWN, ITEM_INCLUDE_UNKNOWN, true},
	    {"+include_defer", ITEM_INCLUDE_DEFER, ITEM_IGNORE_DEFER, true},
	    {"+ignore_defer", ITEM_IGNORE_DEFER, ITEM_INCLUDE_DEFER, true},
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		bool here = words[i].hosts
		                ? c->kind == MATCH_HOSTS && !c->in_file
		                : c->kind == MATCH_ADDRESSES || c->kind == MATCH_LOCALPARTS;
		if (here && slice_eqs(text, words[i].word)) {
			c->flags = (uint8_t)((c->flags & ~words[i].clear) | words[i].set);
			return true;
		}
	}
	return false;
}

enum rc match_compile_item(
    struct compile *c, slice_t text, struct item *out, bool *out_is_flag, struct error *err)
{
	slice_t s = slice_trim(text);
	struct item it = {0};
	*out_is_flag = s.len && s.ptr[0] == '+' && set_flag(c, s);
	if (*out_is_flag)
		return RC_OK;
	it.flags = c->flags;
	if (s.len && s.ptr[0] == '!') {
		it.flags |= ITEM_NEGATED;
		s = slice_trim(slice_sub(s, 1, s.len));
	}
	it.text = s;
	enum rc rc = match_classify(c, s, &it, err);
	if (rc == RC_OK)
		*out = it;
	return rc;
}

enum rc match_compile_text(struct compile *c, slice_t text, struct match_list *l, struct error *err)
{
	struct vec items = {0};
	uint64_t pos = 0;
	slice_t s;
	while (expand_list_next(c->arena, text, &pos, &s)) {
		struct item it;
		bool is_flag = false;
		enum rc rc = match_compile_item(c, s, &it, &is_flag, err);
		if (rc != RC_OK)
			return rc;
		if (!is_flag)
			*VEC_PUSH(c->arena, &items, struct item) = it;
	}
	MUST(items.count < UINT32_MAX);
	l->kind = c->kind;
	l->items = items.items;
	l->count = (uint32_t)items.count;
	l->ends_negated = l->count && l->items[l->count - 1].flags & ITEM_NEGATED;
	match_index(c->arena, l);
	return RC_OK;
}

static enum rc at_place(const struct expr_env *env, enum rc rc, struct error *err)
{
	if (rc != RC_OK && err && env && !err->line) {
		err->file = env->file;
		err->line = env->line;
	}
	return rc;
}

static enum rc compile_constant(struct arena *a, enum match_kind kind, slice_t text,
    const struct expr_env *env, struct match_list *l, struct error *err)
{
	struct compile c = {.arena = a, .kind = kind, .cfg = env ? env->cfg : NULL};
	if (slice_is_absent(text))
		text = SL("");
	return match_compile_text(&c, text, l, err);
}

enum rc match_compile(struct arena *a, enum match_kind kind, slice_t text, bool expand,
    const struct expr_env *env, struct match_list **out_list, struct error *err)
{
	struct match_list *l = ARENA_NEW(a, struct match_list);
	enum rc rc = RC_OK;
	l->kind = kind;
	if (env) {
		l->file = env->file;
		l->line = env->line;
		l->option = env->option;
	}
	if (expand) {
		rc = expr_compile(a, text, env, &l->expr, err);
		l->dynamic = rc == RC_OK && !expr_constant(l->expr, &text);
	}
	if (rc == RC_OK && l->dynamic)
		l->cache = text_cache_new(a, DYNAMIC_ENTRIES, DYNAMIC_BYTES);
	else if (rc == RC_OK)
		rc = compile_constant(a, kind, text, env, l, err);
	if (rc == RC_OK)
		*out_list = l;
	return at_place(env, rc, err);
}
