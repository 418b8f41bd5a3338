/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines of an ACL to statements: everything that can be known at load is found out here. */
#include "acl/acl_private.h"

static const char *const verb_names[] = {
    "accept", "defer", "deny", "discard", "drop", "require", "warn"};

/* An error of one line: kept with the others, or the end. */
static enum rc problem(struct acl_compile *c, const char *file, unsigned line, struct error *err)
{
	if (!err->line) {
		err->file = file;
		err->line = line;
	}
	if (!c->problems)
		return RC_ERROR;
	*VEC_PUSH(c->problem_arena, c->problems, struct error) = *err;
	return RC_OK;
}

static struct expr_env env_of(const struct acl_compile *c, const struct acl_cond *cond)
{
	return (struct expr_env){.cfg = c->cfg,
	    .file = cond->file,
	    .line = cond->line,
	    .option = cond->row->name,
	    .warnings = c->warnings,
	    .uses = c->uses};
}

static enum rc compile_text(
    struct acl_compile *c, slice_t text, struct acl_cond *cond, struct error *err)
{
	struct expr_env env = env_of(c, cond);
	enum rc rc = expr_compile(c->arena, text, &env, &cond->expr, err);
	if (rc == RC_OK)
		cond->constant = expr_constant(cond->expr, &cond->text);
	return rc;
}

static enum rc compile_list(struct acl_compile *c, enum match_kind kind, slice_t text,
    struct acl_cond *cond, struct error *err)
{
	struct expr_env env = env_of(c, cond);
	return match_compile(c->arena, kind, text, true, &env, &cond->list, err);
}

/* "acl_m_name = value" */
static enum rc compile_set(
    struct acl_compile *c, slice_t text, struct acl_cond *cond, struct error *err)
{
	size_t eq = slice_find(text, '=');
	slice_t name = slice_trim(slice_sub(text, 0, eq == SIZE_MAX ? text.len : eq));
	bool good = slice_starts(name, "acl_c") || slice_starts(name, "acl_m");
	good = good && name.len > 5 && (ascii_isdigit(name.ptr[5]) || name.ptr[5] == '_');
	for (uint32_t i = 5; good && i < name.len; i++)
		good = ascii_isalnum(name.ptr[i]) || name.ptr[i] == '_';
	if (!good)
		return error_set(err, RC_ERROR,
		    "invalid variable name after \"set\" in ACL modifier \"set %.*s\" "
		    "(must start \"acl_c\" or \"acl_m\", followed by digits or an underscore)",
		    SL_ARG(name));
	if (eq == SIZE_MAX)
		return error_set(
		    err, RC_ERROR, "\"=\" is missing behind \"set %.*s\"", SL_ARG(name));
	enum rc rc = compile_text(c, slice_trim(slice_sub(text, eq + 1, text.len)), cond, err);
	cond->text = name;
	cond->constant = false;
	return rc;
}

static enum rc compile_call_args(
    struct acl_compile *c, slice_t rest, struct acl_cond *cond, struct error *err)
{
	struct expr_env env = env_of(c, cond);
	struct vec args = {0};
	for (rest = slice_trim(rest); rest.len; rest = slice_trim(rest)) {
		uint32_t n = 0;
		while (n < rest.len && !ascii_isspace(rest.ptr[n]))
			n++;
		if (args.count == 9)
			return error_set(err, RC_ERROR, "more than nine arguments for an ACL");
		enum rc rc = expr_compile(c->arena, slice_sub(rest, 0, n), &env,
		    VEC_PUSH(c->arena, &args, const struct expr *), err);
		if (rc != RC_OK)
			return rc;
		rest = slice_sub(rest, n, rest.len);
	}
	cond->args = args.items;
	cond->arg_count = (uint32_t)args.count;
	return RC_OK;
}

/* A known name with its arguments, or a text that is expanded and then looked for. */
static enum rc compile_call(
    struct acl_compile *c, slice_t text, struct acl_cond *cond, struct error *err)
{
	uint32_t n = 0;
	while (n < text.len && !ascii_isspace(text.ptr[n]))
		n++;
	cond->callee = map_get(c->acls->named, slice_sub(text, 0, n));
	if (cond->callee)
		return compile_call_args(c, slice_sub(text, n, text.len), cond, err);
	enum rc rc = compile_text(c, text, cond, err);
	if (rc == RC_OK && cond->constant && c->warnings)
		rc = acl_compile_inline(
		    c, slice_trim(cond->text), cond->file, cond->line, NULL, err);
	return rc;
}

static enum rc compile_parsed(
    struct acl_compile *c, slice_t text, struct acl_cond *cond, struct error *err)
{
	enum rc rc = compile_text(c, text, cond, err);
	if (rc != RC_OK || !cond->constant)
		return rc;
	if (cond->row->arg == ARG_VERIFY)
		return acl_verify_parse(c->arena, cond->text, &cond->parsed, err);
	return acl_control_parse(c->arena, cond->text, &cond->parsed, err);
}

static enum rc compile_arg(
    struct acl_compile *c, slice_t text, struct acl_cond *cond, struct error *err)
{
	switch (cond->row->arg) {
	case ARG_NONE:
		return RC_OK;
	case ARG_ACL:
		return compile_call(c, text, cond, err);
	case ARG_SET:
		return compile_set(c, text, cond, err);
	case ARG_VERIFY:
	case ARG_CONTROL:
		return compile_parsed(c, text, cond, err);
	case ARG_DOMAINS:
		return compile_list(c, MATCH_DOMAINS, text, cond, err);
	case ARG_HOSTS:
		return compile_list(c, MATCH_HOSTS, text, cond, err);
	case ARG_ADDRESSES:
		return compile_list(c, MATCH_ADDRESSES, text, cond, err);
	case ARG_LOCALPARTS:
		return compile_list(c, MATCH_LOCALPARTS, text, cond, err);
	case ARG_STRINGS:
		return compile_list(c, MATCH_STRINGS, text, cond, err);
	case ARG_TEXT:
	case ARG_LATER:
		break;
	}
	return compile_text(c, text, cond, err);
}

static enum rc check_line(const struct acl_line *line, const struct acl_row *row,
    const struct acl_stmt *stmt, struct error *err)
{
	const char *near = row ? NULL : acl_row_near(line->keyword);
	if (!row)
		return error_set(err, RC_ERROR, "unknown ACL condition/modifier in \"%.*s\"%s%s%s",
		    SL_ARG(line->keyword), near ? " (did you mean \"" : "", near ? near : "",
		    near ? "\"?)" : "");
	if (!row->allowed)
		return error_set(err, RC_ERROR, "not supported yet: %s", row->name);
	if (line->negated && row->is_modifier)
		return error_set(err, RC_ERROR, "negation is not allowed with \"%s\"", row->name);
	if (row->arg == ARG_NONE) {
		if (stmt->verb != VERB_ACCEPT && stmt->verb != VERB_DISCARD)
			return error_set(err, RC_ERROR, "\"%s\" is not allowed with \"%s\"",
			    row->name, verb_names[stmt->verb]);
	} else if (slice_is_absent(line->value)) {
		return error_set(err, RC_ERROR, "\"=\" missing after ACL \"%.*s\" %s",
		    SL_ARG(line->keyword), row->is_modifier ? "modifier" : "condition");
	}
	return RC_OK;
}

static enum rc add_cond(
    struct acl_compile *c, const struct acl_line *line, struct acl_stmt *stmt, struct error *err)
{
	const struct acl_row *row = acl_row_find(line->keyword);
	enum rc rc = check_line(line, row, stmt, err);
	if (rc != RC_OK)
		return rc;
	struct acl_cond *cond = ARENA_NEW(c->arena, struct acl_cond);
	cond->row = row;
	cond->file = line->file;
	cond->line = line->line;
	cond->negated = line->negated;
	cond->source = line->value;
	rc = compile_arg(c, line->value, cond, err);
	if (rc != RC_OK)
		return rc;
	stmt->has_endpass |= row->arg == ARG_NONE;
	*stmt->last = cond;
	stmt->last = &cond->next;
	return RC_OK;
}

static struct acl_stmt *add_stmt(
    struct acl_compile *c, const struct acl_line *line, struct acl *acl, struct error *err)
{
	for (size_t i = 0; i < sizeof verb_names / sizeof *verb_names; i++) {
		if (!slice_eqs(line->keyword, verb_names[i]))
			continue;
		struct acl_stmt *s = ARENA_NEW(c->arena, struct acl_stmt);
		s->verb = (enum acl_verb)i;
		s->file = line->file;
		s->line = line->line;
		s->last = &s->conds;
		*acl->last = s;
		acl->last = &s->next;
		return s;
	}
	(void)error_set(err, RC_ERROR, "unknown ACL verb \"%.*s\" in ACL \"%.*s\"",
	    SL_ARG(line->keyword), SL_ARG(acl->name));
	return NULL;
}

enum rc acl_compile_lines(
    struct acl_compile *c, const struct vec *lines, struct acl *acl, struct error *err)
{
	struct acl_stmt *stmt = NULL;
	acl->last = &acl->stmts;
	c->uses = c->warnings ? &acl->uses : NULL;
	VEC_FOREACH(lines, const struct acl_line, line)
	{
		struct error e = {0};
		enum rc rc = RC_OK;
		if (line->is_verb || !stmt) {
			stmt = add_stmt(c, line, acl, &e);
			rc = stmt ? RC_OK : RC_ERROR;
		} else {
			rc = add_cond(c, line, stmt, &e);
		}
		if (rc != RC_OK && problem(c, line->file, line->line, &e) != RC_OK) {
			if (err)
				*err = e;
			return RC_ERROR;
		}
	}
	return RC_OK;
}

/* ---- all ACLs of a snapshot
 * ------------------------------------------------------------------------------ */

static const struct {
	enum main_option option;
	enum acl_where where;
} roots[] = {
    {MO_acl_smtp_connect, ACL_CONNECT},
    {MO_acl_smtp_helo, ACL_HELO},
    {MO_acl_smtp_starttls, ACL_STARTTLS},
    {MO_acl_smtp_auth, ACL_AUTH},
    {MO_acl_smtp_mail, ACL_MAIL},
    {MO_acl_smtp_mailauth, ACL_MAILAUTH},
    {MO_acl_smtp_rcpt, ACL_RCPT},
    {MO_acl_smtp_predata, ACL_PREDATA},
    {MO_acl_smtp_data_prdr, ACL_DATA_PRDR},
    {MO_acl_smtp_mime, ACL_MIME},
    {MO_acl_smtp_dkim, ACL_DKIM},
    {MO_acl_smtp_data, ACL_DATA},
    {MO_acl_smtp_etrn, ACL_ETRN},
    {MO_acl_smtp_expn, ACL_EXPN},
    {MO_acl_smtp_vrfy, ACL_VRFY},
    {MO_acl_smtp_quit, ACL_QUIT},
    {MO_acl_smtp_notquit, ACL_NOTQUIT},
    {MO_acl_not_smtp_start, ACL_NOT_SMTP_START},
    {MO_acl_not_smtp_mime, ACL_NOT_SMTP_MIME},
    {MO_acl_not_smtp, ACL_NOT_SMTP},
};

/* Whoever comes there is deferred, as with Exim: an ACL that serves several places may know better
 * than to. */
static void misplaced(struct acl_compile *c, const char *file, unsigned line, struct error *e)
{
	e->file = file;
	e->line = line;
	if (c->warnings)
		*VEC_PUSH(c->arena, c->warnings, struct error) = *e;
}

static void check_cond(struct acl_compile *c, const struct acl_cond *cond, enum acl_where where)
{
	struct error e = {0};
	const void *p = cond->parsed;
	if (!(cond->row->allowed & WHERE(where)))
		(void)acl_refuse_place(cond, where, &e);
	else if (p && cond->row->arg == ARG_VERIFY && !(acl_verify_allowed(p) & WHERE(where)))
		(void)error_set(&e, RC_ERROR, "cannot verify %s in ACL for %s", acl_verify_word(p),
		    acl_where_name(where));
	else if (p && cond->row->arg == ARG_CONTROL && !(acl_control_allowed(p) & WHERE(where)))
		(void)error_set(&e, RC_ERROR, "cannot use \"control=%s\" in %s ACL",
		    acl_control_word(p), acl_where_name(where));
	else
		return;
	misplaced(c, cond->file, cond->line, &e);
}

/* What an ACL may not do where it is used, as far as that can be known; down its calls. */
static void check_places(struct acl_compile *c, struct acl *acl, enum acl_where where)
{
	if (acl->checked & WHERE(where))
		return;
	acl->checked |= WHERE(where);
	for (const struct acl_stmt *s = acl->stmts; s; s = s->next) {
		if (s->verb == VERB_DISCARD && !(ACL_MAY_DISCARD & WHERE(where))) {
			struct error e = {0};
			(void)error_set(&e, RC_ERROR, "\"discard\" is not allowed in %s ACL",
			    acl_where_name(where));
			misplaced(c, s->file, s->line, &e);
		}
		for (const struct acl_cond *cond = s->conds; cond; cond = cond->next) {
			check_cond(c, cond, where);
			if (cond->callee)
				check_places(c, map_get(c->acls->named, cond->callee->name), where);
		}
	}
}

static const char *acl_near(const struct acl_compile *c, slice_t name)
{
	for (uint32_t i = 0; i < config_acl_count(c->cfg); i++) {
		const char *known = arena_cstr(c->arena, config_acl_source(c->cfg, i)->name);
		if (acl_is_near(name, known))
			return known;
	}
	return NULL;
}

enum rc acl_compile_inline(struct acl_compile *c, slice_t text, const char *file, unsigned line,
    struct acl **out, struct error *err)
{
	struct acl *acl = map_get(c->acls->inlined, text);
	struct vec lines = {0};
	size_t word = 0;
	while (word < text.len && (ascii_isalnum(text.ptr[word]) || strchr("_-.", text.ptr[word])))
		word++;
	const char *near = NULL;
	if (!acl && text.len && text.ptr[0] != '/') {
		if (word == text.len && !acl_is_verb(text)) {
			near = acl_near(c, text);
			return error_set(err, RC_ERROR, "there is no ACL \"%.*s\"%s%s%s",
			    SL_ARG(text), near ? " (did you mean \"" : "", near ? near : "",
			    near ? "\"?)" : "");
		}
		struct acl_compile inner = *c;
		inner.problems = NULL;
		acl = ARENA_NEW(c->arena, struct acl);
		acl->name = text;
		enum rc rc = acl_split_lines(c->arena, text, NULL, &lines, err);
		VEC_FOREACH(&lines, struct acl_line, l)
		{
			l->file = file;
			l->line = line;
		}
		if (rc == RC_OK)
			rc = acl_compile_lines(&inner, &lines, acl, err);
		if (rc != RC_OK)
			return rc;
		map_put(c->acls->inlined, text, acl);
	}
	if (out)
		*out = acl;
	return RC_OK;
}

static void compile_root(struct acl_compile *c, const struct option_value *v, enum acl_where where)
{
	slice_t text;
	struct error e = {0};
	if (!v || !v->expr || !expr_constant(v->expr, &text))
		return;
	text = slice_trim(text);
	struct acl *acl = map_get(c->acls->named, text);
	if (!acl && acl_compile_inline(c, text, v->file, v->line, &acl, &e) != RC_OK) {
		e.line = 0;
		(void)problem(c, v->file, v->line, &e);
		return;
	}
	if (acl)
		check_places(c, acl, where);
}

enum rc acl_compile_all(const struct config *cfg, struct arena *a, struct vec *problems,
    struct vec *warnings, const void **out_acls)
{
	struct acls *acls = ARENA_NEW(a, struct acls);
	struct acl_compile c = {a, cfg, acls, problems, a, warnings, NULL};
	size_t before = problems->count;
	acls->named = map_new(a, MAP_EXACT);
	acls->inlined = map_new(a, MAP_EXACT);
	acls->texts = text_cache_new(a, 256, 8 << 20);
	uint32_t n = config_acl_count(cfg);
	for (uint32_t i = 0; i < n; i++) { /* names first: an ACL may call a later one */
		struct acl *acl = ARENA_NEW(a, struct acl);
		acl->name = config_acl_source(cfg, i)->name;
		map_put(acls->named, acl->name, acl);
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct acl_source *src = config_acl_source(cfg, i);
		MUST(acl_compile_lines(&c, &src->lines, map_get(acls->named, src->name), NULL) ==
		     RC_OK); /* all are kept */
	}
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
		compile_root(&c, config_main(cfg, roots[i].option), roots[i].where);
	acl_warn(&c);
	if (problems->count != before)
		return RC_ERROR;
	*out_acls = acls;
	return RC_OK;
}
