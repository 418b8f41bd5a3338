/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tables of items and operators put together, near names for slips of the fingers, and ${if. */
#include "expand/tree.h"

static const struct item_row *const item_tables[] = {item_rows_text, item_rows_list, item_rows_data,
    item_rows_crypto, item_rows_intl, item_rows_net, item_rows_srs};
static const struct op_row *const op_tables[] = {op_rows_text, op_rows_number, op_rows_mail,
    op_rows_crypto, op_rows_code, op_rows_list, op_rows_net, op_rows_intl};
enum {
	ITEM_TABLES = sizeof item_tables / sizeof item_tables[0],
	OP_TABLES = sizeof op_tables / sizeof op_tables[0],
};

/* ---- if ---- */

static enum rc parse_if(struct parser *p, struct node *n)
{
	struct cond *c = ARENA_NEW(p->arena, struct cond);
	enum rc rc = parse_cond(p, c);
	if (rc != RC_OK)
		return rc;
	n->cond = c;
	return parse_branches(p, n);
}

static enum rc if_branch(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	bool yes = false;
	slice_t value = ev->value;
	enum rc rc = eval_cond(ev, n->cond, &yes, err);
	if (rc == RC_OK) {
		/* the condition may have set $value, for {yes} only */
		slice_t found = n->has_yes ? ev->value : SL("true");
		if (!yes)
			ev->value = value;
		rc = eval_branch(ev, n, yes, found, out, err);
	}
	ev->value = value;
	return rc;
}

static enum rc item_if(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	if (!n->cond->captures)
		return if_branch(ev, n, out, err);
	struct captures before;
	captures_save(ev, &before);
	enum rc rc = if_branch(ev, n, out, err);
	captures_restore(ev, &before);
	return rc;
}

static const struct item_row if_row = {.name = "if", .eval = item_if, .parse = parse_if};

/* ---- finding ---- */

const struct item_row *item_find(slice_t name)
{
	if (slice_eqs(name, "if"))
		return &if_row;
	for (size_t t = 0; t < ITEM_TABLES; t++)
		for (const struct item_row *row = item_tables[t]; row->name; row++)
			if (slice_eqs(name, row->name))
				return row;
	return NULL;
}

const struct op_row *op_find(slice_t name)
{
	for (size_t t = 0; t < OP_TABLES; t++)
		for (const struct op_row *row = op_tables[t]; row->name; row++)
			if (slice_eqs(name, row->name))
				return row;
	return NULL;
}

slice_t item_near(slice_t name)
{
	for (size_t t = 0; t < ITEM_TABLES; t++)
		for (const struct item_row *row = item_tables[t]; row->name; row++)
			if (name_is_near(name, slice_cstr(row->name)))
				return slice_cstr(row->name);
	return SL("");
}

slice_t op_near(slice_t name)
{
	for (size_t t = 0; t < OP_TABLES; t++)
		for (const struct op_row *row = op_tables[t]; row->name; row++)
			if (name_is_near(name, slice_cstr(row->name)))
				return slice_cstr(row->name);
	return SL("");
}

enum { NEAR_NAME_MAX = 40 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edits between two names, a swap of neighbours counting as one. */
static unsigned distance(slice_t a, slice_t b)
{
	unsigned rows[3][NEAR_NAME_MAX + 1];
	for (unsigned j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *now = rows[i % 3], *before = rows[(i + 2) % 3],
		         *earlier = rows[(i + 1) % 3];
		now[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			bool same = a.ptr[i - 1] == b.ptr[j - 1];
			now[j] = least(
			    least(before[j], now[j - 1]) + 1, before[j - 1] + (same ? 0U : 1U));
			if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] &&
			    a.ptr[i - 2] == b.ptr[j - 1])
				now[j] = least(now[j], earlier[j - 2] + 1);
		}
	}
	return rows[a.len % 3][b.len];
}

bool name_is_near(slice_t a, slice_t b)
{
	if (a.len < 3 || a.len > NEAR_NAME_MAX || b.len > NEAR_NAME_MAX)
		return false;
	return distance(a, b) <= (a.len > 7 ? 2U : 1U);
}
