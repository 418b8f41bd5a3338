/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operators on lists, and ${expand:}. */
#include "config/config.h"
#include "expand/tree.h"
#include "match/match.h"

static enum rc op_listcount(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	struct list_iter it;
	slice_t item;
	int64_t count = 0;
	struct arena_mark mark = arena_mark(ev->arena);
	list_begin(in, &it);
	while (list_next(ev->arena, &it, &item))
		count++;
	arena_release(ev->arena, mark);
	*out = number_text(ev->arena, count);
	return RC_OK;
}

/* ---- listnamed ---- */

enum { NAMED_DEPTH_MAX = 20 };
static const struct {
	char letter;
	enum match_kind kind;
	const char *word;
} kinds[] = {{'a', MATCH_ADDRESSES, "address"}, {'d', MATCH_DOMAINS, "domain"},
    {'h', MATCH_HOSTS, "host"}, {'l', MATCH_LOCALPARTS, "local_part"}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* The items, those of lists that are referred to in their place; "+" with a name that does not
 * exist stays. */
static void add_named(
    struct eval *ev, enum match_kind kind, slice_t list, unsigned depth, struct strbuf *sb)
{
	struct list_iter it;
	slice_t item, inner;
	list_begin(list, &it);
	while (list_next(ev->arena, &it, &item)) {
		if (item.len && item.ptr[0] == '+' && depth < NAMED_DEPTH_MAX &&
		    config_named_text(ev->cfg, kind, slice_sub(item, 1, item.len), &inner)) {
			add_named(ev, kind, inner, depth + 1, sb);
			continue;
		}
		if (sb->len)
			strbuf_text(sb, " : ");
		list_add(sb, ':', true, item);
	}
}

static enum rc op_listnamed(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	slice_t name = in.len && in.ptr[0] == '+' ? slice_sub(in, 1, in.len) : in, list;
	const char *word = "";
	if (n->text.len && (n->text.len != 1 || !strchr("adhl", n->text.ptr[0])))
		return error_set(err, RC_ERROR, "bad suffix on \"list\" operator");
	for (size_t i = 0; i < KINDS; i++) {
		if (n->text.len && n->text.ptr[0] != kinds[i].letter)
			continue;
		word = kinds[i].word;
		if (!ev->cfg || !config_named_text(ev->cfg, kinds[i].kind, name, &list))
			continue;
		struct strbuf sb;
		strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
		add_named(ev, kinds[i].kind, list, 0, &sb);
		return text_done(&sb, out, err);
	}
	return error_set(err, RC_ERROR, "\"%.*s\" is not a %s%snamed list", SL_ARG(name),
	    n->text.len ? word : "", n->text.len ? " " : "");
}

static enum rc op_expand(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	enum rc rc = expand_text(ev, in, out, err);
	/* of a long chain only the last links are told: the text would push out what it is about */
	if (rc == RC_ERROR && ev->depth < 4)
		return error_wrap(err, rc, "internal expansion of \"%.*s\" failed", SL_ARG(in));
	return rc;
}

const struct op_row op_rows_list[] = {
    {"expand", op_expand, 0, 0, 0},
    {"listcount", op_listcount, OP_PURE, 0, 0},
    {"listnamed", op_listnamed, OP_SUFFIX, 0, 0},
    {0},
};
