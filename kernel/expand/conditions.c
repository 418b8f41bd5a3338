/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The conditions of ${if: the table, how they are parsed, and those that compare, combine or look
 * at facts. What matches against regexes and lists, and passwords, is in cond_match.c.
 */
#include "expand/conditions.h"
#include "expand/notes.h"

#include <sys/stat.h>

/* ---- numbers and strings ---- */

static bool compare(int d, int how)
{
	switch (how) {
	case CMP_LT:
		return d < 0;
	case CMP_LE:
		return d <= 0;
	case CMP_EQ:
		return d == 0;
	case CMP_GE:
		return d >= 0;
	default:
		return d > 0;
	}
}

bool compare_numbers(int64_t a, int64_t b, int how)
{
	return compare((a > b) - (a < b), how);
}

bool compare_texts(slice_t a, slice_t b, int how)
{
	bool caseless = (how & CMP_CASELESS) != 0;
	how &= ~CMP_CASELESS;
	if (how == CMP_EQ)
		return caseless ? slice_eqi(a, b) : slice_eq(a, b);
	return compare(caseless ? slice_cmpi(a, b) : slice_cmp(a, b), how);
}

static enum rc operand(
    struct eval *ev, const struct cond *c, int i, int64_t *out, struct error *err)
{
	if (c->number_known[i]) {
		*out = c->number[i];
		return RC_OK;
	}
	slice_t text;
	enum rc rc = eval_expr(ev, c->args[i], &text, err);
	return rc == RC_OK ? eval_integer(text, out, err) : rc;
}

static enum rc cond_number(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	int64_t a, b = 0;
	enum rc rc = operand(ev, c, 0, &a, err);
	if (rc == RC_OK)
		rc = operand(ev, c, 1, &b, err);
	if (rc == RC_OK)
		*out = compare_numbers(a, b, c->row->arg);
	return rc;
}

enum rc cond_two(struct eval *ev, const struct cond *c, slice_t *a, slice_t *b, struct error *err)
{
	enum rc rc = eval_expr(ev, c->args[0], a, err);
	return rc == RC_OK ? eval_expr(ev, c->args[1], b, err) : rc;
}

static enum rc cond_text(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t a, b;
	enum rc rc = cond_two(ev, c, &a, &b, err);
	if (rc == RC_OK)
		*out = compare_texts(a, b, c->row->arg);
	return rc;
}

static enum rc parse_numeric(struct parser *p, struct cond *c)
{
	enum rc rc = parse_cond_args(p, c);
	for (int i = 0; rc == RC_OK && i < 2; i++) {
		if (c->args[i]->constant &&
		    eval_integer(c->args[i]->text, &c->number[i], NULL) == RC_OK)
			c->number_known[i] = true;
		parse_note_number(p, c->args[i], false);
	}
	return rc;
}

/* ---- truth ---- */

static enum rc cond_bool(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t text, all;
	enum rc rc = eval_expr(ev, c->args[0], &all, err);
	if (rc != RC_OK)
		return rc;
	text = slice_trim(all);
	int64_t v;
	if (c->row->arg) {
		*out = expand_is_true_lax(text);
	} else if (text.len == 0 || slice_eqis(text, "no") || slice_eqis(text, "false")) {
		*out = false;
	} else if (slice_eqis(text, "yes") || slice_eqis(text, "true")) {
		*out = true;
	} else if (slice_to_i64(text, 10, false, &v)) {
		*out = v != 0;
	} else {
		return error_set(
		    err, RC_ERROR, "unrecognised boolean value \"%.*s\"", SL_ARG(text));
	}
	return RC_OK;
}

static enum rc cond_and_or(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	bool is_or = c->row->arg != 0;
	*out = !is_or;
	for (uint32_t i = 0; i < c->sub_count; i++) {
		enum rc rc = eval_cond(ev, &c->subs[i], out, err);
		if (rc != RC_OK)
			return rc;
		if (*out == is_or)
			return RC_OK;
	}
	return RC_OK;
}

static enum rc parse_and_or(struct parser *p, struct cond *c)
{
	struct vec subs = {0};
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing { after \"%s\"", c->row->name);
	p->at++;
	for (;;) {
		parse_space(p);
		if (parse_is(p, '}'))
			break;
		if (!parse_is(p, '{'))
			return parse_error(p,
			    "each subcondition inside an \"%s{...}\" condition must be in its own "
			    "{}",
			    c->row->name);
		p->at++;
		struct cond sub;
		enum rc rc = parse_cond(p, &sub);
		if (rc != RC_OK)
			return error_inside(p, rc, "\"%s{...}\" condition", c->row->name);
		parse_space(p);
		if (!parse_is(p, '}'))
			return parse_error(
			    p, "missing } at end of condition inside \"%s\" group", c->row->name);
		p->at++;
		*VEC_PUSH(p->arena, &subs, struct cond) = sub;
	}
	p->at++;
	c->subs = subs.items;
	c->sub_count = (uint32_t)subs.count;
	for (uint32_t i = 0; i < c->sub_count; i++)
		c->captures = c->captures || c->subs[i].captures;
	return RC_OK;
}

/* ---- loops ---- */

/* "{list}{condition}" */
static enum rc parse_for(struct parser *p, struct cond *c)
{
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing { after \"%s\"", c->row->name);
	enum rc rc = parse_arg(p, c->row->name, &c->args[0]);
	if (rc != RC_OK)
		return rc;
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing { after \"%s\"", c->row->name);
	p->at++;
	struct cond *sub = ARENA_NEW(p->arena, struct cond);
	bool in_loop = p->in_loop;
	p->in_loop = true;
	rc = parse_cond(p, sub);
	p->in_loop = in_loop;
	if (rc != RC_OK)
		return error_inside(p, rc, "\"%s\" condition", c->row->name);
	parse_space(p);
	if (!parse_is(p, '}'))
		return parse_error(p, "missing } at end of condition inside \"%s\"", c->row->name);
	p->at++;
	c->subs = sub;
	c->sub_count = 1;
	c->captures = sub->captures;
	return RC_OK;
}

/* Next element for the four kinds of loop. */
static enum rc next_element(struct eval *ev, const struct cond *c, struct list_iter *it,
    slice_t *json, slice_t *item, bool *more, struct error *err)
{
	if (!(c->row->arg & FOR_JSON)) {
		*more = list_next(ev->arena, it, item);
		return RC_OK;
	}
	*more = json_next(json, item);
	if (*more && (c->row->arg & FOR_STRINGS)) {
		if (item->len < 2 || item->ptr[0] != '"')
			return error_set(
			    err, RC_ERROR, "missing '\"' wrapping string result for extract jsons");
		*item = json_dequote(ev->arena, *item);
	}
	return RC_OK;
}

static enum rc for_loop(
    struct eval *ev, const struct cond *c, slice_t list, bool *out, struct error *err)
{
	bool any = (c->row->arg & FOR_ANY) != 0, more;
	struct list_iter it;
	struct frame f;
	slice_t json = list;
	list_begin(list, &it);
	frame_begin(ev, &f);
	*out = false; /* also "forall" of nothing */
	for (;;) {
		enum rc rc = next_element(ev, c, &it, &json, &ev->item, &more, err);
		if (rc != RC_OK || !more)
			return rc;
		rc = eval_cond(ev, c->subs, out, err);
		if (rc != RC_OK || *out == any)
			return rc;
		/* what a match inside has set points into this round's memory: see frame_next */
		rc = frame_next(ev, &f, err);
		if (rc != RC_OK)
			return rc;
	}
}

static enum rc cond_for(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t list;
	enum rc rc = eval_expr(ev, c->args[0], &list, err);
	if (rc != RC_OK)
		return rc;
	if ((c->row->arg & FOR_JSON) && !slice_starts(slice_trim(list), "["))
		return error_set(
		    err, RC_ERROR, "missing '[' wrapping array for \"%s\"", c->row->name);
	slice_t item = ev->item;
	rc = for_loop(ev, c, list, out, err);
	ev->item = item;
	return rc;
}

/* ---- facts ---- */

static enum rc cond_def(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	const struct node *n = c->node;
	if (n->eval == header_eval) {
		*out = header_exists(ev, n->text);
		return RC_OK;
	}
	slice_t text;
	enum rc rc = n->eval(ev, n, &text, err);
	*out = rc == RC_OK && text.len > 0;
	if (rc == RC_ERROR && n->name.len && err && strstr(err->text, "strict_acl_vars"))
		return error_set(err, rc,
		    "unknown variable \"%.*s\" after \"def:\" (strict_acl_vars is set)",
		    SL_ARG(n->name));
	return rc;
}

static enum rc parse_def(struct parser *p, struct cond *c)
{
	if (!parse_is(p, ':'))
		return parse_error(p, "\":\" expected after \"def\"");
	p->at++;
	struct node *n = ARENA_NEW(p->arena, struct node);
	const char *from = p->at;
	slice_t name = parse_name(p);
	c->node = n;
	if (name.len == 0)
		return parse_error(p, "variable name omitted after \"def:\"");
	size_t read = p->uses.count; /* asking whether it is set reads nothing */
	if (header_form(name)) {
		p->at = from;
		enum rc rc = parse_header(p, n);
		parse_note_def(p, parse_slice(p, from, p->at));
		p->uses.count = read;
		return rc;
	}
	enum rc rc = parse_variable(p, name, false, n);
	parse_note_def(p, name);
	p->uses.count = read;
	if (rc != RC_OK && !parse_was_unsupported(p))
		return parse_error(p, "unknown variable \"%.*s\" after \"def:\"", SL_ARG(name));
	return rc;
}

static enum rc cond_exists(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	if (ev->forbid & HEDDLE_FORBID_FILES)
		return error_set(err, RC_ERROR, "File existence tests are not permitted");
	slice_t path;
	enum rc rc = eval_expr(ev, c->args[0], &path, err);
	if (rc != RC_OK)
		return rc;
	struct stat st;
	*out = path.len && path.ptr[0] == '/' && memchr(path.ptr, 0, path.len) == NULL &&
	       stat(arena_cstr(ev->arena, path), &st) == 0;
	return RC_OK;
}

static enum rc cond_isip(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t text;
	enum rc rc = eval_expr(ev, c->args[0], &text, err);
	if (rc != RC_OK)
		return rc;
	int family = ip_family(text);
	*out = c->row->arg ? family == c->row->arg : family != 0;
	return RC_OK;
}

static enum rc cond_first_delivery(
    struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	(void)c, (void)err;
	*out = ev->message && ev->message->first_delivery;
	return RC_OK;
}

static enum rc cond_queue_running(
    struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	(void)c, (void)err;
	*out = ev->message && ev->message->queue_run;
	return RC_OK;
}

/* ---- the table ---- */

static const struct cond_row rows[] = {
    {"<", cond_number, parse_numeric, 2, 0, CMP_LT},
    {"<=", cond_number, parse_numeric, 2, 0, CMP_LE},
    {"=", cond_number, parse_numeric, 2, 0, CMP_EQ},
    {"==", cond_number, parse_numeric, 2, 0, CMP_EQ},
    {">", cond_number, parse_numeric, 2, 0, CMP_GT},
    {">=", cond_number, parse_numeric, 2, 0, CMP_GE},
    {"acl", cond_acl, parse_cond_acl, 0, COND_CAPTURES, 0},
    {"and", cond_and_or, parse_and_or, 0, 0, 0},
    {"bool", cond_bool, NULL, 1, 0, 0},
    {"bool_lax", cond_bool, NULL, 1, 0, 1},
    {"crypteq", cond_crypteq, NULL, 2, 0, 0},
    {"def", cond_def, parse_def, 0, 0, 0},
    {"eq", cond_text, NULL, 2, 0, CMP_EQ},
    {"eqi", cond_text, NULL, 2, 0, CMP_EQ | CMP_CASELESS},
    {"exists", cond_exists, NULL, 1, 0, 0},
    {"first_delivery", cond_first_delivery, NULL, 0, 0, 0},
    {"forall", cond_for, parse_for, 0, 0, 0},
    {"forall_json", cond_for, parse_for, 0, 0, FOR_JSON},
    {"forall_jsons", cond_for, parse_for, 0, 0, FOR_JSON | FOR_STRINGS},
    {"forany", cond_for, parse_for, 0, 0, FOR_ANY},
    {"forany_json", cond_for, parse_for, 0, 0, FOR_ANY | FOR_JSON},
    {"forany_jsons", cond_for, parse_for, 0, 0, FOR_ANY | FOR_JSON | FOR_STRINGS},
    {"ge", cond_text, NULL, 2, 0, CMP_GE},
    {"gei", cond_text, NULL, 2, 0, CMP_GE | CMP_CASELESS},
    {"gt", cond_text, NULL, 2, 0, CMP_GT},
    {"gti", cond_text, NULL, 2, 0, CMP_GT | CMP_CASELESS},
    {"inbound_srs", cond_inbound_srs, NULL, 2, 0, 0},
    {"inlist", cond_inlist, NULL, 2, COND_CAPTURES, 0},
    {"inlisti", cond_inlist, NULL, 2, COND_CAPTURES, 1},
    {"isip", cond_isip, NULL, 1, 0, 0},
    {"isip4", cond_isip, NULL, 1, 0, 4},
    {"isip6", cond_isip, NULL, 1, 0, 6},
    {"le", cond_text, NULL, 2, 0, CMP_LE},
    {"lei", cond_text, NULL, 2, 0, CMP_LE | CMP_CASELESS},
    {"lt", cond_text, NULL, 2, 0, CMP_LT},
    {"lti", cond_text, NULL, 2, 0, CMP_LT | CMP_CASELESS},
    {"match", cond_match, parse_cond_match, 2, COND_CAPTURES, 0},
    {"match_address", cond_match_list, parse_cond_match_list, 2, COND_CAPTURES, MATCH_ADDRESSES},
    {"match_domain", cond_match_list, parse_cond_match_list, 2, COND_CAPTURES, MATCH_DOMAINS},
    {"match_ip", cond_match_list, parse_cond_match_list, 2, COND_CAPTURES, MATCH_HOSTS},
    {"match_local_part", cond_match_list, parse_cond_match_list, 2, COND_CAPTURES,
        MATCH_LOCALPARTS},
    {"or", cond_and_or, parse_and_or, 0, 0, 1},
    {"queue_running", cond_queue_running, NULL, 0, 0, 0},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static const char *const unsupported[] = {
    "ldapauth", "pam", "pwcheck", "radius", "saslauthd", NULL};

const struct cond_row *cond_find(slice_t name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (slice_eqs(name, rows[i].name))
			return &rows[i];
	return NULL;
}

bool cond_compares(const struct cond_row *row)
{
	return row->eval == cond_text || row->eval == cond_number;
}

bool cond_is_numeric(const struct cond_row *row)
{
	return row->eval == cond_number;
}

static slice_t cond_near(slice_t name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (name_is_near(name, slice_cstr(rows[i].name)))
			return slice_cstr(rows[i].name);
	return SL("");
}

/* ---- parsing ---- */

enum rc error_inside(struct parser *p, enum rc rc, const char *fmt, const char *name)
{
	if (!p->err || strncmp(p->err->text, "unknown condition", 17) != 0)
		return rc;
	char what[80];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(what, sizeof what, fmt, name);
#pragma GCC diagnostic pop
	size_t at = strlen(p->err->text);
	(void)snprintf(p->err->text + at, sizeof p->err->text - at, " inside %s", what);
	return rc;
}

enum rc parse_cond_args(struct parser *p, struct cond *c)
{
	for (unsigned i = 0; i < c->row->args; i++) {
		parse_space(p);
		if (!parse_is(p, '{') && i == 0)
			return parse_error(p, "missing { after \"%s\"", c->row->name);
		if (!parse_is(p, '{'))
			return parse_error(
			    p, "missing 2nd string in {} after \"%s\"", c->row->name);
		enum rc rc = parse_arg(p, c->row->name, &c->args[i]);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static slice_t take_cond_name(struct parser *p)
{
	const char *from = p->at;
	if (p->at < p->end && strchr("<=>", *p->at) && *p->at) {
		p->at++;
		if (parse_is(p, '='))
			p->at++;
		return parse_slice(p, from, p->at);
	}
	return parse_name(p);
}

static enum rc parse_named_cond(struct parser *p, struct cond *out)
{
	slice_t name = take_cond_name(p);
	if (name.len == 0)
		return parse_error(p, "condition name expected, but found \"%.*s\"",
		    p->end - p->at < 5 ? (int)(p->end - p->at) : 5, p->at);
	out->row = cond_find(name);
	if (!out->row && parse_unsupported(unsupported, name))
		return parse_error(p, "not supported yet: %.*s", SL_ARG(name));
	slice_t near = out->row ? SL("") : cond_near(name);
	if (near.len)
		return parse_error(p, "unknown condition \"%.*s\" (did you mean \"%.*s\"?)",
		    SL_ARG(name), SL_ARG(near));
	if (!out->row)
		return parse_error(p, "unknown condition \"%.*s\"", SL_ARG(name));
	out->captures = (out->row->flags & COND_CAPTURES) != 0;
	return out->row->parse ? out->row->parse(p, out) : parse_cond_args(p, out);
}

enum rc parse_cond(struct parser *p, struct cond *out)
{
	*out = (struct cond){0};
	for (;;) {
		parse_space(p);
		if (!parse_is(p, '!'))
			break;
		p->at++;
		out->negate = !out->negate;
	}
	if (p->depth >= EXPAND_NESTING_MAX)
		return parse_error(
		    p, "expansion is nested too deeply (more than %d levels)", EXPAND_NESTING_MAX);
	p->depth++;
	enum rc rc = parse_named_cond(p, out);
	p->depth--;
	return rc;
}

enum rc eval_cond(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	bool yes = false;
	enum rc rc = c->row->eval(ev, c, &yes, err);
	if (rc == RC_OK)
		*out = yes != c->negate;
	return rc;
}
