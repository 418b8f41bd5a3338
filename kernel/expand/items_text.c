/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Items that work on a text: extract, sg, tr, and the three-argument forms of substr, length, hash
 * and nhash. */
#include "expand/text.h"

/* ---- substr and its kind ---- */

static enum rc positive(
    slice_t s, bool negative_ok, const char *item, int64_t *out, struct error *err)
{
	bool sign = s.len && (s.ptr[0] == '+' || (s.ptr[0] == '-' && !negative_ok));
	*out = 0;
	if (s.len && (sign || !slice_to_i64(s, 10, false, out)))
		return error_set(err, RC_ERROR, "\"%.*s\" is not a %snumber (in \"%s\" expansion)",
		    SL_ARG(s), negative_ok ? "" : "positive ", item);
	return RC_OK;
}

/* Numbers that are constant are read once; one that is wrong is an error when it is evaluated. */
static enum rc parse_numbers(struct parser *p, struct node *n)
{
	const struct item_row *row = n->row;
	enum rc rc = parse_args(p, n, row->min, row->max);
	bool substr = slice_eqs(n->text, "substr");
	for (uint32_t i = 0; rc == RC_OK && i + 1 < n->arg_count; i++)
		if (n->args[i]->constant && positive(n->args[i]->text, substr && i == 0,
		                                n->text.ptr, &n->number[i], NULL) == RC_OK)
			n->numbers |= (uint8_t)(1U << i);
	return rc;
}

/* {n}{text} or {n}{m}{text} */
static enum rc two_numbers(struct eval *ev, const struct node *n, struct text_numbers *nums,
    slice_t *text, struct error *err)
{
	*nums = (struct text_numbers){.n = {n->number[0], n->number[1]}, .count = n->arg_count - 1};
	for (uint32_t i = 0; i < nums->count; i++) {
		if (n->numbers & 1U << i)
			continue;
		slice_t s;
		bool negative_ok = i == 0 && slice_eqs(n->text, "substr");
		enum rc rc = eval_arg(ev, n, i, &s, err);
		if (rc == RC_OK)
			rc = positive(s, negative_ok, n->text.ptr, &nums->n[i], err);
		if (rc != RC_OK)
			return rc;
	}
	return eval_arg(ev, n, n->arg_count - 1, text, err);
}

static enum rc item_substr(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	struct text_numbers nums;
	slice_t text;
	enum rc rc = two_numbers(ev, n, &nums, &text, err);
	if (rc == RC_OK)
		*out = text_substr(text, &nums);
	return rc;
}

static enum rc item_length(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	struct text_numbers nums;
	slice_t text;
	enum rc rc = two_numbers(ev, n, &nums, &text, err);
	if (rc == RC_OK)
		*out = slice_sub(text, 0, (size_t)nums.n[0]);
	return rc;
}

static enum rc item_hash(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	struct text_numbers nums;
	slice_t text;
	enum rc rc = two_numbers(ev, n, &nums, &text, err);
	return rc == RC_OK ? text_hash(ev->arena, text, &nums, out, err) : rc;
}

static enum rc item_nhash(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	struct text_numbers nums;
	slice_t text;
	enum rc rc = two_numbers(ev, n, &nums, &text, err);
	return rc == RC_OK ? text_nhash(ev->arena, text, &nums, out, err) : rc;
}

/* ---- tr ---- */

static enum rc item_tr(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[3];
	enum rc rc = eval_args(ev, n, args, 3, err);
	if (rc != RC_OK)
		return rc;
	slice_t text = args[0], from = args[1], to = args[2];
	if (to.len == 0 || from.len == 0) {
		*out = text;
		return RC_OK;
	}
	char table[256];
	for (int i = 0; i < 256; i++)
		table[i] = (char)i;
	for (uint32_t i = 0; i < from.len; i++)
		table[(unsigned char)from.ptr[i]] = to.ptr[i < to.len ? i : to.len - 1];
	char *p = arena_bytes(ev->arena, text.len);
	for (uint32_t i = 0; i < text.len; i++)
		p[i] = table[(unsigned char)text.ptr[i]];
	text = with_flags(slice_of(p, text.len, 0), text);
	/* replacements may be from outside */
	if (!slice_is_clean(to))
		text.flags &= (uint16_t)~HEDDLE_CLEAN;
	*out = text;
	return RC_OK;
}

/* ---- sg ---- */

static enum rc parse_sg(struct parser *p, struct node *n)
{
	enum rc rc = parse_args(p, n, 3, 3);
	/* the replacement is expanded once more for each match */
	if (rc == RC_OK && n->args[2]->constant)
		rc = expr_compile(p->arena, n->args[2]->text, p->env, &n->yes, p->err);
	if (rc != RC_OK || !n->args[1]->constant)
		return rc;
	const struct regex *re;
	rc = regex_compile(p->arena, n->args[1]->text, parse_regex_flags(p), &re, p->err);
	if (rc == RC_OK)
		n->data = re;
	return rc;
}

/* What stands for a match: an expansion with $0.. set, or, if it came from outside, a text in which
 * only these count. */
struct replacement {
	const struct expr *expr; /* NULL: the text */
	slice_t text;
};

static void add_plain(struct strbuf *sb, slice_t text, const struct eval *ev)
{
	size_t at;
	while ((at = slice_find(text, '$')) != SIZE_MAX) {
		bool digit = at + 1 < text.len && ascii_isdigit(text.ptr[at + 1]);
		strbuf_add(sb, slice_sub(text, 0, digit ? at : at + 1));
		if (digit) {
			uint32_t i = (uint32_t)(text.ptr[at + 1] - '0');
			if (i < ev->capture_count)
				strbuf_add(sb, ev->captures[i]);
			at++;
		}
		text = slice_sub(text, at + 1, text.len);
	}
	strbuf_add(sb, text);
}

static enum rc add_replacement(
    struct eval *ev, struct strbuf *sb, const struct replacement *r, struct error *err)
{
	if (!r->expr) {
		add_plain(sb, r->text, ev);
		return RC_OK;
	}
	slice_t with;
	enum rc rc = eval_expr(ev, r->expr, &with, err);
	if (rc == RC_OK)
		strbuf_add(sb, with);
	return rc;
}

static enum rc find_replacement(
    struct eval *ev, const struct node *n, struct replacement *r, struct error *err)
{
	*r = (struct replacement){.expr = n->yes};
	if (r->expr)
		return RC_OK;
	enum rc rc = eval_arg(ev, n, 2, &r->text, err);
	bool plain = rc != RC_OK || (slice_find(r->text, '$') == SIZE_MAX &&
	                                slice_find(r->text, '\\') == SIZE_MAX);
	if (plain || !slice_is_clean(r->text))
		return rc;
	const struct expr_env env = {.cfg = ev->cfg, .forbid = ev->forbid};
	return expr_compile(ev->arena, r->text, &env, &r->expr, err);
}

static enum rc substitute(struct eval *ev, const struct regex *re, slice_t text,
    const struct replacement *with, struct strbuf *sb, struct error *err)
{
	size_t at = 0;
	bool not_empty = false;
	while (at <= text.len && !strbuf_is_overfull(sb)) {
		enum rc rc = regex_match_at(ev->arena, re, text, at, not_empty, ev->captures,
		    EVAL_CAPTURES, &ev->capture_count, err);
		if (rc == RC_DEFER || rc == RC_ERROR)
			return rc;
		if (rc == RC_FAIL && !not_empty)
			break;
		if (rc == RC_FAIL) {
			/* after an empty match: nothing else starts here, so one byte is kept */
			strbuf_add(sb, slice_sub(text, at, 1));
			at++;
			not_empty = false;
			continue;
		}
		slice_t whole = ev->captures[0];
		size_t from = (size_t)(whole.ptr - text.ptr);
		if (from < at) /* a lookbehind with \K can point back */
			from = at;
		strbuf_add(sb, slice_sub(text, at, from - at));
		rc = add_replacement(ev, sb, with, err);
		if (rc == RC_OK)
			rc = eval_step(ev, err);
		if (rc != RC_OK)
			return rc;
		at = from + whole.len;
		not_empty = whole.len == 0;
	}
	strbuf_add(sb, slice_sub(text, at, text.len));
	return RC_OK;
}

static enum rc item_sg(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t text, pattern;
	const struct regex *re = n->data;
	enum rc rc = eval_arg(ev, n, 0, &text, err);
	if (rc == RC_OK && !re) {
		rc = eval_arg(ev, n, 1, &pattern, err);
		if (rc == RC_OK)
			rc = eval_regex_compile(ev, pattern, &re, err);
	}
	if (rc != RC_OK)
		return rc;
	if (text.len == 0)
		text = slice_of("", 0, text.flags);
	struct replacement with;
	struct captures before;
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	rc = find_replacement(ev, n, &with, err);
	captures_save(ev, &before);
	if (rc == RC_OK)
		rc = substitute(ev, re, text, &with, &sb, err);
	captures_restore(ev, &before);
	return rc == RC_OK ? text_done(&sb, out, err) : rc;
}

/* ---- extract ---- */

enum { EXTRACT_PLAIN, EXTRACT_JSON, EXTRACT_JSONS };

/* The number of strings before {yes}{no} depends on the first: a number takes three, a name two.
 * With a constant key that is known now; else the item is read with as many strings as there are,
 * and decided when it is evaluated. */
static enum rc parse_extract(struct parser *p, struct node *n)
{
	parse_space(p);
	if (!parse_is(p, '{')) {
		const char *from = p->at;
		slice_t word = parse_name(p);
		if (slice_eqs(word, "json"))
			n->number[0] = EXTRACT_JSON;
		else if (slice_eqs(word, "jsons"))
			n->number[0] = EXTRACT_JSONS;
		else
			p->at = from;
		parse_space(p);
		if (!parse_is(p, '{'))
			return parse_error(p, "missing '{' for arg 1 of extract");
	}
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 5);
	while (parse_is(p, '{')) {
		if (n->arg_count == 5)
			return parse_error(p, "too many strings in extract");
		enum rc rc = parse_arg(p, "extract", &n->args[n->arg_count]);
		if (rc != RC_OK)
			return rc;
		n->arg_count++;
		parse_space(p);
	}
	if (!parse_is(p, '}')) {
		slice_t word = parse_name(p);
		if (!slice_eqs(word, "fail"))
			return parse_error(
			    p, "syntax error in \"extract\" item - \"fail\" expected");
		n->fail = true;
		parse_space(p);
	}
	if (!parse_is(p, '}'))
		return parse_error(p, "missing } at end of extract");
	p->at++;
	if (n->arg_count < 2)
		return parse_error(p, "missing '{' for arg 2 of extract");
	return RC_OK;
}

static bool is_number(slice_t s)
{
	uint32_t i = s.len && s.ptr[0] == '-' ? 1 : 0;
	if (i == s.len)
		return false;
	while (i < s.len && ascii_isdigit(s.ptr[i]))
		i++;
	return i == s.len;
}

/* 1 is the first, -1 the last; 0 the whole text. */
static bool extract_field(slice_t text, slice_t seps, int64_t number, slice_t *out)
{
	bool is_sep[256] = {false};
	for (uint32_t i = 0; i < seps.len; i++)
		is_sep[(unsigned char)seps.ptr[i]] = true;
	if (number == 0) {
		*out = text;
		return true;
	}
	int64_t fields = 1;
	for (uint32_t i = 0; i < text.len; i++)
		fields += is_sep[(unsigned char)text.ptr[i]];
	if (number < 0)
		number += fields + 1;
	if (number < 1 || number > fields)
		return false;
	uint32_t from = 0, to;
	for (; number > 1; number--) {
		while (!is_sep[(unsigned char)text.ptr[from]])
			from++;
		from++;
	}
	for (to = from; to < text.len && !is_sep[(unsigned char)text.ptr[to]];)
		to++;
	*out = slice_sub(text, from, to - from);
	return true;
}

static enum rc extract_json(struct eval *ev, const struct node *n, slice_t key, bool number,
    slice_t text, bool *found, slice_t *value, struct error *err)
{
	int64_t index = 0;
	char open = number ? '[' : '{', close = number ? ']' : '}';
	if (number && (!slice_to_i64(key, 10, false, &index) || index <= 0))
		return error_set(
		    err, RC_ERROR, "first argument of \"extract\" must be greater than zero");
	text = slice_trim(text);
	const char *what = number ? "array" : "object";
	if (text.len == 0 || text.ptr[0] != open)
		return error_set(
		    err, RC_ERROR, "missing '%c' wrapping %s for extract json", open, what);
	if (text.ptr[text.len - 1] != close)
		return error_set(
		    err, RC_ERROR, "missing '%c' wrapping %s for extract json", close, what);
	*found = number ? json_element(text, index, value) : json_member(text, key, value);
	if (!*found || n->number[0] != EXTRACT_JSONS)
		return RC_OK;
	if (value->len < 2 || value->ptr[0] != '"')
		return error_set(
		    err, RC_ERROR, "missing '\"' wrapping string result for extract jsons");
	*value = json_dequote(ev->arena, *value);
	return RC_OK;
}

static enum rc item_extract(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t key, text, seps = SL("");
	enum rc rc = eval_arg(ev, n, 0, &key, err);
	if (rc != RC_OK)
		return rc;
	key = slice_trim(key);
	if (key.len == 0)
		return error_set(err, RC_ERROR, "first argument of \"extract\" must not be empty");
	bool json = n->number[0] != EXTRACT_PLAIN, number = is_number(key), found = false;
	uint32_t strings = number && !json ? 3 : 2;
	if (n->arg_count < strings)
		return error_set(
		    err, RC_ERROR, "missing '{' for arg %u of extract", (unsigned)strings);
	if (n->fail && n->arg_count <= strings)
		return error_set(err, RC_ERROR,
		    "curly-bracket problem in conditional yes/no parsing: 'yes' part did not start "
		    "with '{'");
	if (n->arg_count > strings + 2)
		return error_set(err, RC_ERROR,
		    "curly-bracket problem in conditional yes/no parsing: did not close with '}'");
	rc = eval_arg(ev, n, strings - 1, &text, err);
	if (rc == RC_OK && strings == 3)
		rc = eval_arg(ev, n, 1, &seps, err);
	if (rc != RC_OK)
		return rc;
	slice_t value = SL("");
	int64_t index = 0;
	if (json) {
		rc = extract_json(ev, n, key, number, text, &found, &value, err);
		if (rc != RC_OK)
			return rc;
	} else if (number) {
		found = slice_to_i64(key, 10, false, &index) &&
		        extract_field(text, seps, index, &value);
	} else {
		found = extract_named(ev->arena, key, text, &value);
	}
	struct node branch = {.text = n->text, .fail = n->fail};
	branch.has_yes = n->arg_count > strings;
	branch.yes = branch.has_yes ? n->args[strings] : NULL;
	branch.no = n->arg_count > strings + 1 ? n->args[strings + 1] : NULL;
	return eval_branch(ev, &branch, found, value, out, err);
}

/* ---- listquote ---- */

static enum rc item_listquote(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[2];
	enum rc rc = eval_args(ev, n, args, 2, err);
	if (rc != RC_OK)
		return rc;
	slice_t sep = args[0], text = args[1];
	if (text.len == 0) {
		*out = SL(" ");
		return RC_OK;
	}
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	for (uint32_t i = 0; i < text.len; i++) {
		strbuf_add(&sb, slice_sub(text, i, 1));
		if (sep.len && text.ptr[i] == sep.ptr[0])
			strbuf_char(&sb, sep.ptr[0]);
	}
	return text_done(&sb, out, err);
}

const struct item_row item_rows_text[] = {
    {.name = "extract", .eval = item_extract, .parse = parse_extract},
    {.name = "hash", .eval = item_hash, .parse = parse_numbers, .min = 2, .max = 3, .pure = true},
    {.name = "length",
        .eval = item_length,
        .parse = parse_numbers,
        .min = 2,
        .max = 2,
        .pure = true},
    {.name = "listquote", .eval = item_listquote, .min = 2, .max = 2, .pure = true},
    {.name = "nhash", .eval = item_nhash, .parse = parse_numbers, .min = 2, .max = 3, .pure = true},
    {.name = "sg", .eval = item_sg, .parse = parse_sg},
    {.name = "substr",
        .eval = item_substr,
        .parse = parse_numbers,
        .min = 2,
        .max = 3,
        .pure = true},
    {.name = "tr", .eval = item_tr, .min = 3, .max = 3, .pure = true},
    {0},
};
