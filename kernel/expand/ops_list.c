/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operators on lists, and ${expand:}. */
#include "expand/tree.h"

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
    {0},
};
