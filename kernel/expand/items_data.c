/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Items that fetch something from outside the text: lookup, readfile, env, run, acl. */
#include "base/io.h"
#include "driver/lookup.h"
#include "expand/text.h"

#include <stdlib.h>
#include <sys/wait.h>

/* ---- lookup ---- */

/* Up to white space or "{". */
static slice_t take_type(struct parser *p)
{
	parse_space(p);
	const char *from = p->at;
	while (p->at < p->end && !ascii_isspace(*p->at) && *p->at != '{')
		p->at++;
	return parse_slice(p, from, p->at);
}

static enum rc find_type(struct parser *p, slice_t name, struct node *n)
{
	struct drivers *d = p->env && p->env->cfg ? config_drivers(p->env->cfg) : NULL;
	if (!d)
		return parse_error(p, "lookups are not available here: \"%.*s\"", SL_ARG(name));
	struct lookup_type *t = ARENA_NEW(p->arena, struct lookup_type);
	n->data = t;
	return lookup_type_parse(d, p->arena, arena_dup(p->arena, name), t, p->err);
}

static enum rc parse_lookup(struct parser *p, struct node *n)
{
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 2);
	n->arg_count = 2;
	enum rc rc;
	parse_space(p);
	bool keyed = parse_is(p, '{');
	if (keyed) {
		rc = parse_arg(p, "lookup", &n->args[0]);
		if (rc != RC_OK)
			return rc;
	}
	slice_t name = take_type(p);
	if (name.len == 0)
		return parse_error(p, "missing lookup type");
	rc = find_type(p, name, n);
	if (rc != RC_OK)
		return rc;
	const struct lookup_type *t = n->data;
	if (t->is_query && keyed)
		return parse_error(
		    p, "a single key was given for query-style lookup type \"%.*s\"", SL_ARG(name));
	if (!t->is_query && !keyed)
		return parse_error(p, "missing {key} for single-key \"%.*s\" lookup", SL_ARG(name));
	rc = parse_arg(p, "lookup file-or-query arg", &n->args[1]);
	if (rc == RC_OK && !t->is_query)
		warn_tainted(p, n->args[1], "the file of a lookup");
	return rc == RC_OK ? parse_branches(p, n) : rc;
}

/* In Exim's words: the key, or the query, is what is named; a file that cannot be opened names
 * itself. */
static enum rc say_deferred(enum rc rc, slice_t what, struct error *err)
{
	if (rc != RC_DEFER || slice_starts(slice_cstr(err->text), "failed to open"))
		return rc;
	return error_wrap(err, rc, "lookup of \"%.*s\" gave DEFER", SL_ARG(what));
}

static enum rc run_lookup(struct eval *ev, const struct node *n, slice_t *found, struct error *err)
{
	const struct lookup_type *t = n->data;
	slice_t key = slice_absent(), where = slice_absent();
	if (ev->forbid & HEDDLE_FORBID_LOOKUPS)
		return error_set(err, RC_ERROR, "lookup expansions are not permitted");
	enum rc rc = n->args[0] ? eval_arg(ev, n, 0, &key, err) : RC_OK;
	if (rc == RC_OK)
		rc = eval_arg(ev, n, 1, &where, err);
	/* forced failure inside the key is the whole item's */
	if (rc != RC_OK)
		return rc == RC_FAIL ? RC_ERROR : rc;
	if (t->is_query)
		return say_deferred(
		    lookup_run(ev, t, slice_absent(), where, found, err), where, err);
	if (!slice_is_clean(where))
		return error_set(
		    err, RC_ERROR, "Tainted filename for search: '%.*s'", SL_ARG(where));
	return say_deferred(lookup_run(ev, t, where, key, found, err), key, err);
}

static enum rc item_lookup(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t found = SL("");
	struct captures before;
	captures_save(ev, &before);
	enum rc rc = run_lookup(ev, n, &found, err);
	if (rc == RC_OK || rc == RC_FAIL)
		rc = eval_branch(ev, n, rc == RC_OK, rc == RC_OK ? found : SL(""), out, err);
	captures_restore(ev, &before);
	return rc;
}

/* ${quote_TYPE:text} */
enum rc eval_lookup_quote(
    struct eval *ev, slice_t type, slice_t in, slice_t *out, struct error *err)
{
	struct drivers *d = ev->cfg ? config_drivers(ev->cfg) : NULL;
	const struct driver *drv;
	if (!d)
		return error_set(err, RC_ERROR, "unknown lookup type \"%.*s\"", SL_ARG(type));
	enum rc rc = driver_find(d, HEDDLE_LOOKUP, type, &drv, err);
	if (rc != RC_OK)
		return error_set(err, RC_ERROR, "unknown lookup type \"%.*s\"", SL_ARG(type));
	return lookup_quote(ev, drv, in, out, err);
}

/* ---- readfile, env ---- */

/* Newlines become eol.  The text is the caller's own copy. */
enum rc replace_newlines(
    struct eval *ev, slice_t text, slice_t eol, slice_t *out, struct error *err)
{
	uint64_t lines = 0;
	if (eol.len == 1) { /* read for this: changed where it lies */
		char *at = (char *)(uintptr_t)text.ptr, *end = at + text.len;
		for (; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++) {
			*at = eol.ptr[0];
			lines++;
		}
		if (lines && !slice_is_clean(eol))
			text.flags &= (uint16_t)~HEDDLE_CLEAN;
		*out = text;
		return RC_OK;
	}
	for (const char *p = text.ptr, *end = p + text.len;
	     p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
		lines++;
	uint64_t len = text.len - lines + lines * eol.len;
	if (len > EVAL_TEXT_MAX)
		return error_set(err, RC_ERROR, "expansion result is too long (more than %d MiB)",
		    EVAL_TEXT_MAX >> 20);
	char *to = arena_bytes(ev->arena, (size_t)len);
	uint16_t flags =
	    text.flags &
	    (slice_is_clean(eol) || !lines || !eol.len ? UINT16_MAX : (uint16_t)~HEDDLE_CLEAN);
	*out = slice_of(to, (size_t)len, flags);
	slice_t piece, rest = text;
	bool first = true;
	while (slice_next(&rest, '\n', &piece)) {
		if (!first && eol.len) {
			memcpy(to, eol.ptr, eol.len);
			to += eol.len;
		}
		first = false;
		if (piece.len)
			memcpy(to, piece.ptr, piece.len);
		to += piece.len;
	}
	return RC_OK;
}

static enum rc parse_readfile(struct parser *p, struct node *n)
{
	enum rc rc = parse_args(p, n, 1, 2);
	if (rc == RC_OK)
		warn_tainted(p, n->args[0], "a file name");
	return rc;
}

static enum rc item_readfile(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[2], text;
	enum rc rc = eval_args(ev, n, args, n->arg_count, err);
	if (rc != RC_OK)
		return rc;
	slice_t name = args[0];
	if (ev->forbid & HEDDLE_FORBID_FILES)
		return error_set(err, RC_ERROR, "file insertions are not permitted");
	if (!slice_is_clean(name))
		return error_set(err, RC_ERROR, "Tainted filename '%.*s'", SL_ARG(name));
	if (name.len == 0 || memchr(name.ptr, 0, name.len))
		return error_set(
		    err, RC_ERROR, "failed to open %.*s: not a file name", SL_ARG(name));
	struct error why = {0};
	rc = io_read_file(ev->arena, arena_cstr(ev->arena, name), EVAL_TEXT_MAX, &text, &why);
	if (rc == RC_FAIL)
		return error_set(
		    err, RC_ERROR, "failed to open %.*s: No such file or directory", SL_ARG(name));
	if (rc != RC_OK)
		return error_set(err, RC_ERROR, "failed to open %.*s: %s", SL_ARG(name), why.text);
	/* what the site's owner put into a file is the site's own, as in Exim */
	text.flags |= HEDDLE_CLEAN;
	if (n->arg_count > 1)
		return replace_newlines(ev, text, args[1], out, err);
	*out = text;
	return RC_OK;
}

static enum rc parse_env(struct parser *p, struct node *n)
{
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 1);
	n->arg_count = 1;
	enum rc rc = parse_arg(p, "name arg of env", &n->args[0]);
	return rc == RC_OK ? parse_branches(p, n) : rc;
}

static enum rc item_env(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t name;
	enum rc rc = eval_arg(ev, n, 0, &name, err);
	if (rc != RC_OK)
		return rc;
	name = slice_trim(name);
	const char *v = name.len ? getenv(arena_cstr(ev->arena, name)) : NULL;
	return eval_branch(ev, n, v != NULL, v ? slice_cstr(v) : SL(""), out, err);
}

enum { ACL_DEPTH = 8 /* what a call of an ACL counts as, of EVAL_DEPTH_MAX */ };

/* ---- acl ---- */

/* With its arguments in $acl_arg1..., which are put back. */
static enum rc call_acl(
    struct eval *ev, const slice_t *args, uint32_t count, slice_t *text, struct error *err)
{
	slice_t before[9];
	uint32_t narg = ev->acl_narg;
	memcpy(before, ev->acl_arg, sizeof before);
	ev->acl_narg = count - 1;
	for (uint32_t i = 0; i < 9; i++)
		ev->acl_arg[i] = i + 1 < count ? args[i + 1] : SL("");
	ev->depth += ACL_DEPTH;
	enum rc rc = ev->hooks->acl(ev, args[0], args + 1, count - 1, text, err);
	ev->depth -= ACL_DEPTH;
	ev->acl_narg = narg;
	memcpy(ev->acl_arg, before, sizeof before);
	ev->pinned++;
	return rc;
}

enum rc eval_acl(
    struct eval *ev, const struct node *n, bool *accepted, slice_t *out, struct error *err)
{
	if (!ev->hooks || !ev->hooks->acl)
		return error_set(err, RC_ERROR, "there are no ACLs here");
	slice_t args[10], text = SL("");
	enum rc rc = eval_args(ev, n, args, n->arg_count, err);
	if (rc == RC_OK)
		rc = eval_step(ev, err);
	if (rc != RC_OK)
		return rc;
	if (ev->depth >= EVAL_DEPTH_MAX / 2)
		return error_set(err, RC_ERROR, "ACLs are nested too deeply in expansions");
	rc = call_acl(ev, args, n->arg_count, &text, err);
	*accepted = rc == RC_OK;
	switch (rc) {
	case RC_OK:
	case RC_FAIL:
		*out = text;
		return RC_OK;
	case RC_DEFER:
		/* the specification: a forced failure of the expansion */
		(void)error_wrap(err, rc, "DEFER from acl \"%.*s\"", SL_ARG(args[0]));
		return RC_FAIL;
	case RC_ERROR:
	default:
		return error_wrap(err, RC_ERROR, "ERROR from acl \"%.*s\"", SL_ARG(args[0]));
	}
}

static enum rc item_acl(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	bool accepted;
	return eval_acl(ev, n, &accepted, out, err);
}

/* ---- run ---- */

enum { RUN_ARGS_MAX = 100 };

/* Words of a command, before expansion: white space and quotes in the literal parts tell them
 * apart. */
struct words {
	struct parser *p;
	struct vec args;  /* const struct expr * */
	struct vec nodes; /* of the word being read */
	bool open;
	char quote;
};

static void end_word(struct words *w)
{
	if (!w->open)
		return;
	struct expr *e = ARENA_NEW(w->p->arena, struct expr);
	e->nodes = w->nodes.items;
	e->count = (uint32_t)w->nodes.count;
	if (e->count == 0 || (e->count == 1 && !e->nodes[0].eval)) {
		e->constant = true;
		e->text = e->count ? e->nodes[0].text : SL("");
	}
	*VEC_PUSH(w->p->arena, &w->args, const struct expr *) = e;
	w->nodes = (struct vec){0};
	w->open = false;
}

static void add_text(struct words *w, slice_t text)
{
	w->open = true;
	if (text.len)
		VEC_PUSH(w->p->arena, &w->nodes, struct node)->text = text;
}

static void split_literal(struct words *w, slice_t s)
{
	uint32_t from = 0;
	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool quotes =
		    w->quote ? c == w->quote : (c == '"' || c == '\'') && !w->open && i == from;
		bool space = !w->quote && ascii_isspace(c);
		if (!quotes && !space)
			continue;
		if (i > from || quotes)
			add_text(w, slice_sub(s, from, i - from));
		if (quotes)
			w->quote = w->quote ? 0 : c;
		else
			end_word(w);
		from = i + 1;
	}
	if (from < s.len)
		add_text(w, slice_sub(s, from, s.len));
}

static enum rc split_command(struct parser *p, const struct expr *command, struct node *n)
{
	struct words w = {.p = p};
	if (command->constant)
		split_literal(&w, command->text);
	for (uint32_t i = 0; i < command->count; i++) {
		if (command->nodes[i].eval) {
			*VEC_PUSH(p->arena, &w.nodes, struct node) = command->nodes[i];
			w.open = true;
		} else {
			split_literal(&w, command->nodes[i].text);
		}
	}
	end_word(&w);
	if (w.args.count == 0)
		return parse_error(p, "missing command in \"run\"");
	if (w.args.count > RUN_ARGS_MAX)
		return parse_error(p, "too many arguments to command in \"run\"");
	n->args = w.args.items;
	n->arg_count = (uint32_t)w.args.count;
	return RC_OK;
}

static enum rc parse_run(struct parser *p, struct node *n)
{
	const struct expr *command;
	if (parse_is(p, ',')) {
		p->at++;
		slice_t option = parse_name(p);
		if (!slice_eqs(option, "preexpand"))
			return parse_error(p, "bad option '%.*s' for run", SL_ARG(option));
		n->flag = true;
	}
	bool before = p->no_folding;
	p->no_folding = true;
	enum rc rc = parse_arg(p, "command arg of run", &command);
	p->no_folding = before;
	if (rc != RC_OK)
		return rc;
	if (n->flag) {
		n->args = ARENA_ARRAY(p->arena, const struct expr *, 1);
		n->args[0] = command;
		n->arg_count = 1;
	} else {
		rc = split_command(p, command, n);
	}
	if (rc == RC_OK)
		warn_tainted(p, n->args[0], "the command of \"run\"");
	return rc == RC_OK ? parse_branches(p, n) : rc;
}

/* The words of an expanded command line. */
static uint32_t split_words(slice_t s, slice_t *argv, uint32_t max)
{
	uint32_t n = 0;
	while (n < max) {
		while (s.len && ascii_isspace(s.ptr[0]))
			s = slice_sub(s, 1, s.len);
		if (s.len == 0)
			break;
		char quote = s.ptr[0] == '"' || s.ptr[0] == '\'' ? s.ptr[0] : 0;
		uint32_t from = quote ? 1 : 0, i = from;
		while (i < s.len && (quote ? s.ptr[i] != quote : !ascii_isspace(s.ptr[i])))
			i++;
		argv[n++] = slice_sub(s, from, i - from);
		s = slice_sub(s, i + (quote ? 1 : 0), s.len);
	}
	return n;
}

static enum rc run_words(
    struct eval *ev, const struct node *n, slice_t *argv, uint32_t *argc, struct error *err)
{
	slice_t line = SL("");
	*argc = 0;
	for (uint32_t i = 0; i < n->arg_count; i++) {
		enum rc rc = eval_arg(ev, n, i, n->flag ? &line : &argv[i], err);
		if (rc != RC_OK)
			return rc;
		*argc = i + 1;
	}
	if (n->flag) {
		if (!slice_is_clean(line) && line.len)
			return error_set(
			    err, RC_ERROR, "Tainted arguments for run: '%.*s'", SL_ARG(line));
		*argc = split_words(line, argv, RUN_ARGS_MAX);
	}
	if (*argc == 0 || argv[0].len == 0)
		return error_set(err, RC_ERROR, "missing command in \"run\"");
	if (!slice_is_clean(argv[0]))
		return error_set(err, RC_ERROR, "Tainted command for run: '%.*s'", SL_ARG(argv[0]));
	return RC_OK;
}

static enum rc item_run(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	if (ev->forbid & HEDDLE_FORBID_RUN)
		return error_set(err, RC_ERROR, "running a command is not permitted");
	slice_t *argv = ARENA_ARRAY(ev->arena, slice_t, RUN_ARGS_MAX), text = SL("");
	uint32_t argc;
	int status = 0;
	enum rc rc = run_words(ev, n, argv, &argc, err);
	if (rc != RC_OK)
		return rc;
	if (!ev->hooks || !ev->hooks->run)
		return error_set(err, RC_ERROR, "commands cannot be run here");
	/* 127: what a shell says of a command that cannot be run */
	rc = argv[0].ptr[0] == '/' ? ev->hooks->run(ev, argv, argc, &text, &status, err) : RC_FAIL;
	if (rc == RC_DEFER || rc == RC_ERROR)
		return rc;
	ev->runrc = rc == RC_FAIL       ? 127
	            : WIFEXITED(status) ? WEXITSTATUS(status)
	                                : 256 + WTERMSIG(status);
	bool good = ev->runrc == 0;
	slice_t before = ev->value;
	ev->value = text;
	rc = eval_branch(ev, n, good, text, out, err);
	ev->value = before;
	return rc;
}

const struct item_row item_rows_data[] = {
    {.name = "acl", .eval = item_acl, .min = 1, .max = 10},
    {.name = "env", .eval = item_env, .parse = parse_env},
    {.name = "lookup",
        .eval = item_lookup,
        .parse = parse_lookup,
        .forbidden_by = HEDDLE_FORBID_LOOKUPS},
    {.name = "readfile",
        .eval = item_readfile,
        .parse = parse_readfile,
        .forbidden_by = HEDDLE_FORBID_FILES},
    {.name = "run", .eval = item_run, .parse = parse_run, .forbidden_by = HEDDLE_FORBID_RUN},
    {0},
};
