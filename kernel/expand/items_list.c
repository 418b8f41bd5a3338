/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Items that loop over a list: filter, map, reduce, sort, and listextract.  Each round's temporary
 * texts are given up before the next, so that 100,000 rounds need no more memory than one.
 */
#include "expand/conditions.h"

#include <ctype.h>

/* A text that outlives the rounds: two buffers that take turns, because the new value may be made
 * of the old one. */
struct keeper {
	char *buf[2];
	size_t cap[2];
	unsigned turn;
};

/* Copy s to where the frame's release does not reach; false: no room yet, the frame must be begun
 * anew behind it. */
static bool keep(struct eval *ev, struct keeper *k, slice_t *s, struct frame *f)
{
	unsigned t = k->turn ^= 1;
	bool fits = s->len <= k->cap[t];
	if (!fits) {
		k->cap[t] = s->len < 64 ? 128 : (size_t)s->len * 2;
		k->buf[t] = arena_bytes(ev->arena, k->cap[t]);
	}
	if (s->len)
		memcpy(k->buf[t], s->ptr, s->len);
	s->ptr = k->buf[t];
	if (!fits) {
		/* the buffer lies behind the mark: this round is kept, and the next mark is set
		 * behind it */
		frame_begin_at(ev, f);
	}
	return fits;
}

/* ---- filter, map, reduce ---- */

/* "{list}{condition}}" */
static enum rc parse_filter(struct parser *p, struct node *n)
{
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 1);
	n->arg_count = 1;
	enum rc rc = parse_arg(p, "first arg of filter", &n->args[0]);
	if (rc != RC_OK)
		return rc;
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing '{' for last arg of filter");
	p->at++;
	struct cond *c = ARENA_NEW(p->arena, struct cond);
	bool in_loop = p->in_loop;
	p->in_loop = true;
	rc = parse_cond(p, c);
	p->in_loop = in_loop;
	if (rc != RC_OK)
		return error_inside(p, rc, "\"%s\" item", "filter");
	n->cond = c;
	rc = parse_close(p, "condition inside \"filter\" item");
	return rc == RC_OK ? parse_close(p, "\"filter\"") : rc;
}

static enum rc parse_loop(struct parser *p, struct node *n, unsigned strings)
{
	char what[60];
	n->args = ARENA_ARRAY(p->arena, const struct expr *, strings);
	for (unsigned i = 0; i < strings; i++) {
		const char *which = i + 1 == strings ? "last" : i == 0 ? "first" : "init";
		(void)snprintf(what, sizeof what, "%s arg of %.20s", which, n->text.ptr);
		bool in_loop = p->in_loop;
		p->in_loop = in_loop || i + 1 == strings;
		enum rc rc = parse_arg(p, what, &n->args[i]);
		p->in_loop = in_loop;
		if (rc != RC_OK)
			return rc;
		n->arg_count++;
	}
	(void)snprintf(what, sizeof what, "\"%.20s\" item", n->text.ptr);
	return parse_close(p, what);
}

static enum rc parse_map(struct parser *p, struct node *n)
{
	return parse_loop(p, n, 2);
}

static enum rc parse_reduce(struct parser *p, struct node *n)
{
	return parse_loop(p, n, 3);
}

/* The output's taint comes from what is added; its buffer must outlive the rounds, so it has an
 * arena of chunks: the buffer is grown by hand, as keep() does. */
struct list_out {
	char *buf;
	size_t len, cap;
	uint16_t clean, secret;
	char sep;
	bool any;
};

/* Room for `more`; a new buffer lies behind the frame's mark, so the mark moves. */
static enum rc out_room(
    struct eval *ev, struct list_out *o, size_t more, bool *moved, struct error *err)
{
	size_t need = o->len + more;
	if (need > EVAL_TEXT_MAX)
		return error_set(err, RC_ERROR, "expansion result is too long (more than %d MiB)",
		    EVAL_TEXT_MAX >> 20);
	if (need <= o->cap)
		return RC_OK;
	size_t cap = o->cap ? o->cap * 2 : 256;
	if (cap < need)
		cap = need * 2;
	char *p = arena_bytes(ev->arena, cap);
	if (o->len)
		memcpy(p, o->buf, o->len);
	o->buf = p;
	o->cap = cap;
	*moved = true;
	return RC_OK;
}

static enum rc out_add(
    struct eval *ev, struct list_out *o, slice_t item, struct frame *f, struct error *err)
{
	bool moved = false;
	enum rc rc = out_room(ev, o, 2 * (size_t)item.len + 2, &moved, err);
	if (rc != RC_OK)
		return rc;
	bool first = !o->any;
	if (!first)
		o->buf[o->len++] = o->sep;
	o->any = true;
	if (item.len && !memchr(item.ptr, o->sep, item.len)) {
		memcpy(o->buf + o->len, item.ptr, item.len);
		o->len += item.len;
	} else {
		bool control = iscntrl((unsigned char)o->sep);
		for (uint32_t i = 0; i < item.len; i++) {
			o->buf[o->len++] = item.ptr[i];
			if (item.ptr[i] == o->sep && !control)
				o->buf[o->len++] = o->sep;
		}
	}
	if (item.len)
		o->clean &= item.flags;
	else if (!first)
		o->buf[o->len++] = ' ';
	o->secret |= item.flags & HEDDLE_SECRET;
	if (moved)
		frame_begin_at(ev, f);
	return RC_OK;
}

static slice_t out_done(const struct list_out *o)
{
	return slice_of(o->len ? o->buf : "", o->len, (o->clean & HEDDLE_CLEAN) | o->secret);
}

static enum rc loop_out(
    struct eval *ev, const struct node *n, slice_t list, slice_t *out, struct error *err)
{
	struct list_out o = {.clean = HEDDLE_CLEAN};
	struct list_iter it;
	struct frame f;
	list_begin(list, &it);
	o.sep = it.sep;
	frame_begin(ev, &f);
	while (list_next(ev->arena, &it, &ev->item)) {
		slice_t item = ev->item;
		bool take = true;
		enum rc rc =
		    n->cond ? eval_cond(ev, n->cond, &take, err) : eval_arg(ev, n, 1, &item, err);
		if (rc == RC_OK && take)
			rc = out_add(ev, &o, item, &f, err);
		if (rc == RC_OK)
			rc = frame_next(ev, &f, err);
		if (rc != RC_OK)
			return rc;
	}
	*out = out_done(&o);
	return RC_OK;
}

static enum rc item_map_filter(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t list, item = ev->item;
	enum rc rc = eval_arg(ev, n, 0, &list, err);
	if (rc != RC_OK)
		return rc;
	rc = loop_out(ev, n, list, out, err);
	ev->item = item;
	return rc;
}

static enum rc reduce_loop(struct eval *ev, const struct node *n, slice_t list, struct error *err)
{
	struct list_iter it;
	struct frame f;
	struct keeper k = {0};
	list_begin(list, &it);
	frame_begin(ev, &f);
	while (list_next(ev->arena, &it, &ev->item)) {
		slice_t value;
		enum rc rc = eval_arg(ev, n, 2, &value, err);
		if (rc != RC_OK)
			return rc;
		(void)keep(ev, &k, &value, &f);
		ev->value = value;
		rc = frame_next(ev, &f, err);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc item_reduce(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[2], item = ev->item, value = ev->value;
	enum rc rc = eval_args(ev, n, args, 2, err);
	if (rc != RC_OK)
		return rc;
	ev->value = args[1];
	rc = reduce_loop(ev, n, args[0], err);
	if (rc == RC_OK)
		*out = ev->value;
	ev->item = item;
	ev->value = value;
	return rc;
}

/* ---- sort ---- */

struct sort_item {
	slice_t item, key;
	int64_t number;
};
enum { SORT_ITEMS_MAX = 1 << 20 };

static enum rc parse_sort(struct parser *p, struct node *n)
{
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 3);
	static const char *const what[] = {
	    "list arg of sort", "comparator arg of sort", "extractor arg of sort"};
	for (unsigned i = 0; i < 3; i++) {
		enum rc rc = parse_arg(p, what[i], &n->args[i]);
		if (rc != RC_OK)
			return rc;
		n->arg_count++;
	}
	return parse_close(p, "\"sort\" item");
}

static enum rc sort_comparator(
    struct eval *ev, const struct node *n, const struct cond_row **out, struct error *err)
{
	slice_t name;
	enum rc rc = eval_arg(ev, n, 1, &name, err);
	if (rc != RC_OK)
		return rc;
	const struct cond_row *row = cond_find(name);
	if (!row)
		return error_set(err, RC_ERROR, "unknown condition \"%.*s\"", SL_ARG(name));
	int how = row->arg & ~CMP_CASELESS;
	bool compares = cond_compares(row);
	if (!compares || how == CMP_EQ)
		return error_set(err, RC_ERROR, "comparator not handled for sort");
	*out = row;
	return RC_OK;
}

/* Does a sort before b? */
static bool sorts_before(
    const struct cond_row *row, const struct sort_item *a, const struct sort_item *b)
{
	if (cond_is_numeric(row))
		return compare_numbers(a->number, b->number, row->arg);
	return compare_texts(a->key, b->key, row->arg);
}

/* Merge two runs.  Equal items keep their order with < and >, and are turned round by <= and >=, as
 * in Exim. */
static void merge(const struct cond_row *row, struct sort_item *to, const struct sort_item *left,
    size_t nl, const struct sort_item *right, size_t nr)
{
	while (nl && nr) {
		bool take_right = sorts_before(row, right, left);
		*to++ = take_right ? *right : *left;
		if (take_right) {
			right++;
			nr--;
		} else {
			left++;
			nl--;
		}
	}
	if (nl)
		memcpy(to, left, nl * sizeof *to);
	if (nr)
		memcpy(to, right, nr * sizeof *to);
}

static struct sort_item *merge_sort(
    struct arena *a, const struct cond_row *row, struct sort_item *items, size_t count)
{
	struct sort_item *other = ARENA_ARRAY(a, struct sort_item, count);
	for (size_t width = 1; width < count; width *= 2) {
		for (size_t at = 0; at < count; at += 2 * width) {
			size_t nl = count - at < width ? count - at : width;
			size_t left = count - at - nl;
			size_t nr = left < width ? left : width;
			merge(row, other + at, items + at, nl, items + at + nl, nr);
		}
		struct sort_item *swap = items;
		items = other;
		other = swap;
	}
	return items;
}

static enum rc sort_collect(struct eval *ev, const struct node *n, struct list_iter *it,
    bool numeric, struct vec *items, struct error *err)
{
	while (list_next(ev->arena, it, &ev->item)) {
		if (items->count == SORT_ITEMS_MAX || arena_used(ev->arena) > EVAL_ARENA_MAX)
			return error_set(err, RC_ERROR, "list is too long to be sorted");
		struct sort_item *s = VEC_PUSH(ev->arena, items, struct sort_item);
		s->item = ev->item;
		enum rc rc = eval_arg(ev, n, 2, &s->key, err);
		if (rc == RC_OK)
			rc = eval_step(ev, err);
		/* what is no number sorts as 0 */
		if (rc == RC_OK && numeric && eval_integer(s->key, &s->number, NULL) != RC_OK)
			s->number = 0;
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc item_sort(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t list, item = ev->item;
	const struct cond_row *row = NULL;
	struct list_iter it;
	struct vec items = {0};
	enum rc rc = eval_arg(ev, n, 0, &list, err);
	if (rc == RC_OK)
		rc = sort_comparator(ev, n, &row, err);
	if (rc != RC_OK)
		return rc;
	list_begin(list, &it);
	rc = sort_collect(ev, n, &it, cond_is_numeric(row), &items, err);
	ev->item = item;
	if (rc != RC_OK)
		return rc;
	struct sort_item *sorted = merge_sort(ev->arena, row, items.items, items.count);
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	for (size_t i = 0; i < items.count; i++)
		list_add(&sb, it.sep, i == 0, sorted[i].item);
	return text_done(&sb, out, err);
}

/* ---- listextract ---- */

static enum rc parse_listextract(struct parser *p, struct node *n)
{
	static const char *const what[] = {"arg 1 of listextract", "arg 2 of listextract"};
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 2);
	for (unsigned i = 0; i < 2; i++) {
		enum rc rc = parse_arg(p, what[i], &n->args[i]);
		if (rc != RC_OK)
			return rc;
		n->arg_count++;
	}
	return parse_branches(p, n);
}

static bool list_element(struct eval *ev, slice_t list, int64_t number, slice_t *out)
{
	struct list_iter it;
	if (number < 0) {
		int64_t count = 0;
		list_begin(list, &it);
		while (list_next(ev->arena, &it, out))
			count++;
		number += count + 1;
	}
	if (number <= 0)
		return false;
	list_begin(list, &it);
	while (list_next(ev->arena, &it, out))
		if (--number == 0)
			return true;
	return false;
}

static enum rc item_listextract(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[2], found = SL("");
	int64_t number;
	enum rc rc = eval_args(ev, n, args, 2, err);
	if (rc != RC_OK)
		return rc;
	slice_t key = slice_trim(args[0]);
	if (key.len == 0)
		return error_set(
		    err, RC_ERROR, "first argument of \"listextract\" must not be empty");
	if (key.ptr[0] == '+' || !slice_to_i64(key, 10, false, &number))
		return error_set(
		    err, RC_ERROR, "first argument of \"listextract\" must be numeric");
	bool there = list_element(ev, args[1], number, &found);
	return eval_branch(ev, n, there, there ? found : SL(""), out, err);
}

const struct item_row item_rows_list[] = {
    {.name = "filter", .eval = item_map_filter, .parse = parse_filter},
    {.name = "listextract", .eval = item_listextract, .parse = parse_listextract},
    {.name = "map", .eval = item_map_filter, .parse = parse_map},
    {.name = "reduce", .eval = item_reduce, .parse = parse_reduce},
    {.name = "sort", .eval = item_sort, .parse = parse_sort},
    {0},
};
