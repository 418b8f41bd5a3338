/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text to tree: literal text and its escapes, "$name", "${name}", "${operator:text}", "${item
 * ...}", and the braces that items are made of.  The words of errors are Exim's; where Exim only
 * finds out when it comes to that branch, this finds out when the text is compiled.
 */
#include "expand/notes.h"

#include <stdio.h>

enum rc parse_error(struct parser *p, const char *fmt, ...)
{
	if (p->err) {
		va_list ap;
		va_start(ap, fmt);
		(void)vsnprintf(p->err->text, sizeof p->err->text, fmt, ap);
		va_end(ap);
		for (char *c = p->err->text; *c; c++)
			if (*c == '\n')
				*c = ' ';
		p->err->file = p->env ? p->env->file : NULL;
		p->err->line = p->env ? p->env->line : 0;
	}
	return RC_ERROR;
}

void parse_space(struct parser *p)
{
	while (p->at < p->end && ascii_isspace(*p->at))
		p->at++;
}

bool parse_is(struct parser *p, char c)
{
	return p->at < p->end && *p->at == c;
}

slice_t parse_slice(const struct parser *p, const char *from, const char *to)
{
	return slice_of(from, (size_t)(to - from), p->flags);
}

slice_t parse_name(struct parser *p)
{
	const char *from = p->at;
	while (p->at < p->end && (ascii_isalnum(*p->at) || *p->at == '_'))
		p->at++;
	return parse_slice(p, from, p->at);
}

bool parse_unsupported(const char *const *names, slice_t name)
{
	for (; *names; names++)
		if (slice_eqs(name, *names))
			return true;
	return false;
}

bool parse_was_unsupported(const struct parser *p)
{
	return p->err && strncmp(p->err->text, "not supported yet", 17) == 0;
}

bool parse_at_load(const struct parser *p)
{
	return p->env && p->env->file;
}

unsigned parse_regex_flags(const struct parser *p)
{
	return parse_at_load(p) || p->in_loop ? REGEX_JIT : 0;
}

struct expr *expr_of_text(struct arena *a, slice_t text)
{
	struct expr *e = ARENA_NEW(a, struct expr);
	e->constant = true;
	e->text = text;
	return e;
}

struct expr *expr_of_node(struct arena *a, const struct node *n)
{
	if (!n->eval)
		return expr_of_text(a, n->text);
	struct expr *e = ARENA_NEW(a, struct expr);
	struct node *copy = ARENA_NEW(a, struct node);
	*copy = *n;
	e->nodes = copy;
	e->count = 1;
	return e;
}

/* ---- escapes ---- */

static int hex_value(char c)
{
	if (ascii_isdigit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char take_octal(struct parser *p)
{
	unsigned v = 0;
	for (int i = 0; i < 3 && p->at < p->end && *p->at >= '0' && *p->at <= '7'; i++)
		v = v * 8 + (unsigned)(*p->at++ - '0');
	return (char)(v & 0xff);
}

static char take_hex(struct parser *p)
{
	int v = 0;
	for (int i = 0; i < 2 && p->at < p->end && hex_value(*p->at) >= 0; i++)
		v = v * 16 + hex_value(*p->at++);
	return (char)v;
}

/* At a backslash. */
static enum rc parse_escape(struct parser *p, struct strbuf *lit)
{
	p->at++;
	if (p->at == p->end)
		return parse_error(p, "\\ at end of string");
	char c = *p->at;
	if (c == 'N') {
		const char *from = ++p->at;
		while (
		    p->at < p->end && !(p->at[0] == '\\' && p->at + 1 < p->end && p->at[1] == 'N'))
			p->at++;
		strbuf_add(lit, parse_slice(p, from, p->at));
		if (p->at < p->end)
			p->at += 2;
		return RC_OK;
	}
	if (c >= '0' && c <= '7') {
		c = take_octal(p);
		if (c) /* NUL bytes cannot be written, as in Exim */
			strbuf_char(lit, c);
		return RC_OK;
	}
	p->at++;
	switch (c) {
	case 'n':
		c = '\n';
		break;
	case 'r':
		c = '\r';
		break;
	case 't':
		c = '\t';
		break;
	case 'x':
		c = take_hex(p);
		break;
	default:
		break;
	}
	if (c)
		strbuf_char(lit, c);
	return RC_OK;
}

/* ---- items and operators ---- */

static const char *const unsupported_items[] = {"authresults", "dlfunc", "perl", NULL};
static const char *const unsupported_ops[] = {"headerwrap", NULL};

static enum rc parse_forbidden(struct parser *p, uint64_t by, slice_t name)
{
	if (p->env && (p->env->forbid & by))
		return parse_error(p, "\"%.*s\" is not permitted here", SL_ARG(name));
	return RC_OK;
}

/* An operator or item whose arguments are constant and whose value depends on nothing else is
 * computed now.  If that fails it is left for the time when it is evaluated: it may stand in a
 * branch that is never taken. */
static void fold(struct parser *p, struct node *n)
{
	if (p->no_folding)
		return;
	for (uint32_t i = 0; i < n->arg_count; i++)
		if (n->args[i] && !n->args[i]->constant)
			return;
	struct eval ev;
	eval_init(&ev, p->arena, NULL);
	slice_t value;
	if (n->eval(&ev, n, &value, NULL) != RC_OK)
		return;
	*n = (struct node){.text = value};
}

/* "_n" and "_n_m" behind an operator's name. */
static enum rc parse_op_numbers(struct parser *p, slice_t word, slice_t rest, struct node *n)
{
	unsigned max = 2;
	const char *at = rest.ptr, *end = rest.ptr + rest.len;
	bool may_be_negative = (((const struct op_row *)n->row)->flags & OP_NEGATIVE) != 0;
	while (at < end && n->numbers < max) {
		at++; /* the underscore */
		bool negative = may_be_negative && n->numbers == 0 && at < end && *at == '-';
		if (negative)
			at++;
		if (at == end && n->numbers == 0 && !negative) {
			/* "length_:": as 0 */
			n->numbers = 1;
			return RC_OK;
		}
		if (at == end || !ascii_isdigit(*at))
			return parse_error(
			    p, "non-digit after underscore in \"%.*s\"", SL_ARG(word));
		int64_t v = 0;
		for (; at < end && ascii_isdigit(*at); at++)
			v = v > INT32_MAX ? v : v * 10 + (*at - '0');
		n->number[n->numbers++] = negative ? -v : v;
	}
	if (at != end)
		return parse_error(p, "non-digit after underscore in \"%.*s\"", SL_ARG(word));
	return RC_OK;
}

static enum rc op_eval(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	const struct op_row *row = n->row;
	slice_t in;
	enum rc rc = eval_expr(ev, n->args[0], &in, err);
	if (rc != RC_OK)
		return rc;
	return row->fn(ev, n, in, out, err);
}

static enum rc op_unknown(struct parser *p, slice_t word)
{
	size_t under = slice_find(word, '_');
	if (parse_unsupported(unsupported_ops, word) ||
	    parse_unsupported(unsupported_ops, slice_sub(word, 0, under)))
		return parse_error(p, "not supported yet: %.*s", SL_ARG(word));
	slice_t near = op_near(word);
	if (near.len)
		return parse_error(p,
		    "unknown expansion operator \"%.*s\" (did you mean \"%.*s\"?)", SL_ARG(word),
		    SL_ARG(near));
	return parse_error(p, "unknown expansion operator \"%.*s\"", SL_ARG(word));
}

/* At the colon behind the word. */
static enum rc parse_op(struct parser *p, slice_t word, struct node *n)
{
	const struct op_row *row = op_find(word);
	size_t under = row ? word.len : slice_find(word, '_');
	slice_t rest = {0};
	if (!row && under != SIZE_MAX) {
		row = op_find(slice_sub(word, 0, under));
		rest = slice_sub(word, under, word.len);
	}
	/* quote_local_part, listnamed_d: the longest name wins, the rest is a suffix */
	if (!row || (rest.len && !(row->flags & (OP_NUMBERS | OP_SUFFIX))))
		return op_unknown(p, word);
	n->row = row;
	if (rest.len && (row->flags & OP_NUMBERS)) {
		enum rc rc = parse_op_numbers(p, word, rest, n);
		if (rc != RC_OK)
			return rc;
	}
	n->eval = op_eval;
	n->text = rest.len ? arena_dup(p->arena, slice_sub(rest, 1, rest.len)) : (slice_t){0};
	enum rc rc = parse_forbidden(p, row->forbidden_by, word);
	if (rc != RC_OK)
		return rc;
	p->at++;
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 1);
	n->arg_count = 1;
	rc = parse_expr(p, true, &n->args[0]);
	if (rc != RC_OK)
		return rc;
	p->at++;
	if (row->flags & OP_COMPUTES)
		parse_note_number(p, n->args[0], true);
	if (row->flags & OP_PURE)
		fold(p, n);
	return RC_OK;
}

static enum rc parse_item(struct parser *p, const struct item_row *row, struct node *n)
{
	n->row = row;
	n->eval = row->eval;
	n->text = slice_cstr(row->name);
	enum rc rc = parse_forbidden(p, row->forbidden_by, n->text);
	if (rc != RC_OK)
		return rc;
	rc = row->parse ? row->parse(p, n) : parse_args(p, n, row->min, row->max);
	if (rc == RC_OK && row->pure && n->eval)
		fold(p, n);
	return rc;
}

/* Behind "${". */
static enum rc parse_braced(struct parser *p, struct node *n)
{
	if (p->at == p->end || !(ascii_isalnum(*p->at)))
		return parse_error(p, "letter or digit expected after ${");
	const char *from = p->at;
	slice_t name = parse_name(p);
	if (ascii_isdigit(name.ptr[0]) && parse_is(p, '}')) {
		p->at++;
		return parse_variable(p, name, true, n);
	}
	if (ascii_isdigit(name.ptr[0]))
		return parse_error(p, "} expected after number");
	const struct item_row *row = item_find(name);
	if (row)
		return parse_item(p, row, n);
	if (parse_unsupported(unsupported_items, name))
		return parse_error(p, "not supported yet: %.*s", SL_ARG(name));
	/* the only sign besides "_" in an operator's name: substr_-3 */
	while (p->at < p->end && (ascii_isalnum(*p->at) || *p->at == '_' || *p->at == '-'))
		p->at++;
	if (parse_is(p, ':'))
		return parse_op(p, parse_slice(p, from, p->at), n);
	if (parse_is(p, '}')) {
		name = parse_slice(p, from, p->at);
		p->at++;
		return parse_variable(p, name, true, n);
	}
	if (item_near(name).len)
		return parse_error(p,
		    "\"${%.*s\" is not a known operator (or a } is missing in a variable "
		    "reference; "
		    "did you mean \"${%.*s\"?)",
		    SL_ARG(name), SL_ARG(item_near(name)));
	return parse_error(p,
	    "\"${%.*s\" is not a known operator (or a } is missing in a variable reference)",
	    SL_ARG(name));
}

/* At a dollar. */
static enum rc parse_dollar(struct parser *p, struct node *n)
{
	p->at++;
	if (parse_is(p, '{')) {
		p->at++;
		if (p->depth >= EXPAND_NESTING_MAX)
			return parse_error(p,
			    "expansion is nested too deeply (more than %d levels)",
			    EXPAND_NESTING_MAX);
		p->depth++;
		enum rc rc = parse_braced(p, n);
		p->depth--;
		return rc;
	}
	if (p->at == p->end || !ascii_isalnum(*p->at))
		return parse_error(p, "$ not followed by letter, digit, or {");
	const char *from = p->at;
	if (ascii_isdigit(*p->at)) {
		while (p->at < p->end && ascii_isdigit(*p->at))
			p->at++;
		return parse_variable(p, parse_slice(p, from, p->at), false, n);
	}
	slice_t name = parse_name(p);
	if (header_form(name)) {
		p->at = from;
		return parse_header(p, n);
	}
	return parse_variable(p, name, false, n);
}

/* ---- runs of text ---- */

static void flush_literal(struct parser *p, struct strbuf *lit, struct vec *nodes)
{
	slice_t text = strbuf_slice(lit);
	if (text.len == 0)
		return;
	text.flags = (uint16_t)(text.flags & ~(HEDDLE_CLEAN)) | (p->flags & HEDDLE_CLEAN);
	VEC_PUSH(p->arena, nodes, struct node)->text = text;
	strbuf_init(lit, p->arena, 0);
}

static enum rc missing_brace(struct parser *p)
{
	if (p->header_open)
		return parse_error(
		    p, "missing } at end of string - could be header name not terminated by colon");
	return parse_error(p, "missing } at end of string");
}

enum rc parse_expr(struct parser *p, bool braced, const struct expr **out)
{
	struct vec nodes = {0};
	struct strbuf lit;
	strbuf_init(&lit, p->arena, 0);
	while (p->at < p->end && !(braced && *p->at == '}')) {
		enum rc rc = RC_OK;
		if (*p->at == '\\') {
			rc = parse_escape(p, &lit);
		} else if (*p->at == '$' && !p->plain_dollar) {
			struct node n = {0};
			rc = parse_dollar(p, &n);
			if (rc == RC_OK && !n.eval) {
				strbuf_add(&lit, n.text);
			} else if (rc == RC_OK) {
				flush_literal(p, &lit, &nodes);
				*VEC_PUSH(p->arena, &nodes, struct node) = n;
			}
		} else {
			const char *from = p->at++;
			while (p->at < p->end && *p->at != '\\' && *p->at != '$' &&
			       !(braced && *p->at == '}'))
				p->at++;
			strbuf_add(&lit, parse_slice(p, from, p->at));
		}
		if (rc != RC_OK)
			return rc;
	}
	if (braced && p->at == p->end)
		return missing_brace(p);
	if (strbuf_is_overfull(&lit))
		return parse_error(p, "text too long");
	if (nodes.count == 0) {
		slice_t text = strbuf_slice(&lit);
		text.flags = (uint16_t)((text.flags & ~HEDDLE_CLEAN) | (p->flags & HEDDLE_CLEAN));
		*out = expr_of_text(p->arena, text);
		return RC_OK;
	}
	flush_literal(p, &lit, &nodes);
	struct expr *e = ARENA_NEW(p->arena, struct expr);
	e->nodes = nodes.items;
	e->count = (uint32_t)nodes.count;
	*out = e;
	return RC_OK;
}

/* ---- braces ---- */

/* At "{": one string and its closing brace. */
static enum rc parse_braces(struct parser *p, const struct expr **out)
{
	p->at++;
	enum rc rc = parse_expr(p, true, out);
	if (rc == RC_OK)
		p->at++;
	return rc;
}

enum rc parse_arg(struct parser *p, const char *what, const struct expr **out)
{
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing '{' for %s", what);
	return parse_braces(p, out);
}

enum rc parse_args(struct parser *p, struct node *n, unsigned min, unsigned max)
{
	n->args = ARENA_ARRAY(p->arena, const struct expr *, max);
	for (;;) {
		parse_space(p);
		if (!parse_is(p, '{'))
			break;
		if (n->arg_count == max)
			return parse_error(
			    p, "Too many arguments for '%.*s' (max is %u)", SL_ARG(n->text), max);
		enum rc rc = parse_braces(p, &n->args[n->arg_count]);
		if (rc != RC_OK)
			return rc;
		n->arg_count++;
	}
	if (n->arg_count < min)
		return parse_error(
		    p, "Not enough arguments for '%.*s' (min is %u)", SL_ARG(n->text), min);
	if (!parse_is(p, '}'))
		return parse_error(p, "missing '}' after '%.*s'", SL_ARG(n->text));
	p->at++;
	return RC_OK;
}

static enum rc branch_error(struct parser *p, const char *what)
{
	return parse_error(p,
	    "curly-bracket problem in conditional yes/no parsing: %s\n remaining string is '%.*s'",
	    what, (int)(p->end - p->at), p->at);
}

enum rc parse_branches(struct parser *p, struct node *n)
{
	parse_space(p);
	if (parse_is(p, '}')) {
		p->at++;
		return RC_OK;
	}
	if (!parse_is(p, '{'))
		return branch_error(p, "'yes' part did not start with '{'");
	n->has_yes = true;
	enum rc rc = parse_braces(p, &n->yes);
	if (rc != RC_OK)
		return rc;
	parse_space(p);
	if (parse_is(p, '{')) {
		rc = parse_braces(p, &n->no);
		if (rc != RC_OK)
			return rc;
		parse_space(p);
	} else if (!parse_is(p, '}')) {
		slice_t word = parse_name(p);
		if (!slice_eqs(word, "fail"))
			return parse_error(p, "syntax error in \"%.*s\" item - \"fail\" expected",
			    SL_ARG(n->text));
		n->fail = true;
		parse_space(p);
	}
	if (!parse_is(p, '}'))
		return branch_error(p, "did not close with '}'");
	p->at++;
	return RC_OK;
}

enum rc parse_close(struct parser *p, const char *what)
{
	parse_space(p);
	if (!parse_is(p, '}'))
		return parse_error(p, "missing } at end of %s", what);
	p->at++;
	return RC_OK;
}

/* ---- the public side ---- */

enum rc expr_compile(struct arena *a, slice_t text, const struct expr_env *env,
    const struct expr **out_expr, struct error *err)
{
	if (text.len > EXPAND_SOURCE_MAX)
		return error_set(err, RC_ERROR, "text to be expanded is too long (%u bytes)",
		    (unsigned)text.len);
	const char *copy = arena_cstr(a, text);
	struct parser p = {
	    .arena = a,
	    .env = env,
	    .s = copy,
	    .at = copy,
	    .end = copy + text.len,
	    .flags = text.flags & (HEDDLE_CLEAN | HEDDLE_SECRET),
	    .err = err,
	};
	const struct expr *e;
	enum rc rc = parse_expr(&p, false, &e);
	if (rc == RC_OK) {
		parse_uses_done(&p);
		*out_expr = e;
	}
	return rc;
}

bool expr_constant(const struct expr *e, slice_t *out_text)
{
	if (e->constant)
		*out_text = e->text;
	return e->constant;
}
