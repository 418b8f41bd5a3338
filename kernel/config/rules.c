/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sections that are lists of rules: acl (only split here; acl/ compiles it), retry (spec
 * chapter 32) and rewrite (chapter 31).
 */
#include "config/config_private.h"

/* ---- acl
 * ------------------------------------------------------------------------------------------------
 */
static const char *const acl_verbs[] = {
    "accept", "defer", "deny", "discard", "drop", "require", "warn"};

static bool is_acl_verb(slice_t word)
{
	for (size_t i = 0; i < sizeof acl_verbs / sizeof acl_verbs[0]; i++)
		if (slice_eqs(word, acl_verbs[i]))
			return true;
	return false;
}

static void acl_begin(struct loader *l, const struct source_line *at, slice_t name)
{
	VEC_FOREACH(&l->cfg->acls, struct acl_source, s)
	{
		if (!slice_eq(s->name, name))
			continue;
		const struct acl_line *first =
		    s->lines.count ? VEC_AT(&s->lines, struct acl_line, 0) : NULL;
		if (first)
			loader_problem(l, at->file, at->line,
			    "there are two ACLs called \"%.*s\"; the other is near line %u of %s",
			    SL_ARG(name), first->line, first->file);
		else
			loader_problem(l, at->file, at->line, "there are two ACLs called \"%.*s\"",
			    SL_ARG(name));
	}
	VEC_PUSH(l->a, &l->cfg->acls, struct acl_source)->name = name;
}

static void acl_item(
    struct loader *l, struct acl_source *acl, const struct source_line *at, slice_t text)
{
	struct acl_line line = {.file = at->file, .line = at->line};
	slice_t rest = text;
	if (rest.len && rest.ptr[0] == '!') {
		line.negated = true;
		rest = slice_sub(rest, 1, rest.len);
		lex_space(&rest);
	}
	line.keyword = lex_name(&rest);
	line.value = slice_absent();
	if (!line.keyword.len) {
		loader_problem(l, at->file, at->line,
		    "ACL \"%.*s\": a verb, condition or modifier was expected, found %s",
		    SL_ARG(acl->name), loader_brief(l, text));
		return;
	}
	lex_space(&rest);
	if (slice_eqs(line.keyword, "set")) {
		line.value = rest;
	} else if (rest.len && rest.ptr[0] == '=') {
		rest = slice_sub(rest, 1, rest.len);
		lex_space(&rest);
		line.value = rest;
	} else if (rest.len) {
		loader_problem(l, at->file, at->line,
		    "ACL \"%.*s\": \"=\" was expected behind \"%.*s\", found %s", SL_ARG(acl->name),
		    SL_ARG(line.keyword), loader_brief(l, rest));
		return;
	}
	*VEC_PUSH(l->a, &acl->lines, struct acl_line) = line;
}

void rules_acl_line(struct loader *l, const struct source_line *line)
{
	slice_t text = line->text, name, rest;
	struct vec *acls = &l->cfg->acls;
	if (lex_label(text, &name, &rest)) {
		acl_begin(l, line, name);
		text = rest;
		if (!text.len)
			return;
	} else if (!acls->count) {
		loader_problem(l, line->file, line->line,
		    "an ACL's name followed by a colon was expected, found %s",
		    loader_brief(l, text));
		return;
	}
	struct acl_source *acl = VEC_AT(acls, struct acl_source, acls->count - 1);
	rest = text;
	slice_t word = lex_name(&rest);
	if (is_acl_verb(word) && (!rest.len || ascii_isspace(rest.ptr[0]))) {
		lex_space(&rest);
		*VEC_PUSH(l->a, &acl->lines, struct acl_line) =
		    (struct acl_line){.file = line->file,
		        .line = line->line,
		        .keyword = word,
		        .value = slice_absent(),
		        .is_verb = true};
		if (!rest.len)
			return;
		text = rest;
	} else if (!acl->lines.count) {
		loader_problem(l, line->file, line->line,
		    "ACL \"%.*s\": a verb (accept, defer, deny, discard, drop, require, "
		    "warn) was expected, found %s",
		    SL_ARG(acl->name), loader_brief(l, text));
		return;
	}
	acl_item(l, acl, line, text);
}

/* ---- retry ---- */
/* Names of errors, beside "*"; behind a name that ends in "4" two of digit-or-x follow, behind
 * quota perhaps _TIME. */
static const char *const retry_errors[] = {"auth_failed", "lost_connection", "lookup", "quota",
    "refused", "refused_A", "refused_MX", "timeout", "timeout_A", "timeout_MX", "timeout_connect",
    "timeout_connect_A", "timeout_connect_MX", "tls_required"};
static const char *const retry_replies[] = {"data_4", "mail_4", "rcpt_4"};

/* xx, dx or dd */
static bool is_reply_tail(slice_t s)
{
	if (s.len != 2)
		return false;
	return (s.ptr[1] == 'x' && (s.ptr[0] == 'x' || ascii_isdigit(s.ptr[0]))) ||
	       (ascii_isdigit(s.ptr[0]) && ascii_isdigit(s.ptr[1]));
}

bool config_is_retry_error(slice_t name)
{
	int64_t ms;

	if (slice_eqs(name, "*"))
		return true;
	for (size_t i = 0; i < sizeof retry_errors / sizeof retry_errors[0]; i++)
		if (slice_eqs(name, retry_errors[i]))
			return true;
	for (size_t i = 0; i < 3; i++)
		if (slice_startsi(name, retry_replies[i]))
			return is_reply_tail(slice_sub(name, strlen(retry_replies[i]), name.len));
	return slice_startsi(name, "quota_") && slice_to_ms(slice_sub(name, 6, name.len), &ms);
}

static void check_retry_error(struct loader *l, const struct source_line *at, slice_t name)
{
	const char *near = NULL;
	unsigned best = 4;
	int64_t ms;
	if (slice_eqs(name, "*"))
		return;
	for (size_t i = 0; i < sizeof retry_errors / sizeof retry_errors[0]; i++) {
		unsigned d = lex_distance(name, slice_cstr(retry_errors[i]), best);
		if (d == 0)
			return;
		if (d < best && name.len > 2) {
			best = d;
			near = retry_errors[i];
		}
	}
	for (size_t i = 0; i < 3; i++) {
		if (!slice_startsi(name, retry_replies[i]))
			continue;
		if (!is_reply_tail(slice_sub(name, strlen(retry_replies[i]), name.len)))
			loader_problem(l, at->file, at->line,
			    "retry error \"%.*s\": behind %s two digits were expected, of which "
			    "the "
			    "last or both may be x",
			    SL_ARG(name), retry_replies[i]);
		return;
	}
	if (slice_startsi(name, "quota_") && slice_to_ms(slice_sub(name, 6, name.len), &ms))
		return;
	loader_problem(l, at->file, at->line, "unknown or malformed retry error \"%.*s\"%s",
	    SL_ARG(name), loader_suggestion(l, near));
}

/* "1.5" as 1500 */
static bool to_milli(slice_t s, int64_t *out)
{
	size_t dot = slice_find(s, '.');
	int64_t whole = 0, part = 0;
	if (!s.len || !ascii_isdigit(s.ptr[0]) ||
	    !slice_to_i64(slice_sub(s, 0, dot == SIZE_MAX ? s.len : dot), 10, false, &whole) ||
	    whole > 1000000)
		return false;
	if (dot != SIZE_MAX) {
		slice_t tail = slice_sub(s, dot + 1, s.len);
		if (!tail.len || tail.len > 3 || !ascii_isdigit(tail.ptr[0]) ||
		    !slice_to_i64(tail, 10, false, &part))
			return false;
		for (uint32_t i = tail.len; i < 3; i++)
			part *= 10;
	}
	*out = whole * 1000 + part;
	return true;
}

static bool retry_time(
    struct loader *l, const struct source_line *at, slice_t s, const char *what, int64_t *out_s)
{
	int64_t ms = 0;
	if (slice_to_ms(s, &ms) && ms >= 1000) {
		*out_s = ms / 1000;
		return true;
	}
	loader_problem(l, at->file, at->line,
	    "retry rule: a time such as 2h30m was expected as %s, found \"%.*s\"", what, SL_ARG(s));
	return false;
}

/* "F,2h,15m" */
static void retry_step(
    struct loader *l, const struct source_line *at, slice_t text, struct vec *steps)
{
	slice_t rest = text, part[5] = {0};
	unsigned n = 0;
	while (n < 5 && slice_next(&rest, ',', &part[n])) {
		part[n] = slice_trim(part[n]);
		n++;
	}
	char form = '\0';
	if (part[0].len == 1)
		form = ascii_upper(part[0].ptr[0]);
	unsigned want = form == RETRY_FIXED ? 3 : 4;
	if (form != RETRY_FIXED && form != RETRY_GEOMETRIC && form != RETRY_RANDOM) {
		loader_problem(l, at->file, at->line,
		    "retry rule: F, G or H was expected, found \"%.*s\"", SL_ARG(part[0]));
		return;
	}
	if (n != want) {
		loader_problem(l, at->file, at->line, "retry rule: %s was expected, found \"%.*s\"",
		    want == 3 ? "F,CUTOFF,INTERVAL" : "G or H,CUTOFF,INTERVAL,FACTOR",
		    SL_ARG(text));
		return;
	}
	struct retry_step s = {.form = (enum retry_form)form, .factor_milli = 1000};
	if (!retry_time(l, at, part[1], "the cutoff", &s.until_s) ||
	    !retry_time(l, at, part[2], "the interval", &s.interval_s))
		return;
	if (want == 4 && (!to_milli(part[3], &s.factor_milli) || s.factor_milli < 1000)) {
		loader_problem(l, at->file, at->line,
		    "retry rule: a factor of at least 1, such as 1.5, was expected, found "
		    "\"%.*s\"",
		    SL_ARG(part[3]));
		return;
	}
	*VEC_PUSH(l->a, steps, struct retry_step) = s;
}

void rules_retry_line(struct loader *l, const struct source_line *line)
{
	struct error e = {0};
	slice_t rest = line->text, pattern, error = slice_absent(), senders = slice_absent(), step;
	bool ok = lex_word(l->a, &rest, &pattern, &e) == RC_OK;
	lex_space(&rest);
	ok = ok && lex_word(l->a, &rest, &error, &e) == RC_OK;
	lex_space(&rest);
	if (ok && slice_startsi(rest, "senders=")) {
		rest = slice_sub(rest, 8, rest.len);
		ok = lex_word(l->a, &rest, &senders, &e) == RC_OK;
		lex_space(&rest);
	}
	if (!ok || !error.len) {
		loader_problem(l, line->file, line->line, "retry rule: %s",
		    ok ? "an error name was expected behind the pattern, found the end of the line"
		       : e.text);
		return;
	}
	check_retry_error(l, line, error);
	struct retry_rule *r = VEC_PUSH(l->a, &l->cfg->retry, struct retry_rule);
	r->file = line->file;
	r->line = line->line;
	r->pattern_text = pattern;
	r->error = error;
	struct expr_env env = {.cfg = l->cfg,
	    .file = line->file,
	    .line = line->line,
	    .option = "retry rule",
	    .warnings = &l->compile_warnings};
	if (match_compile(l->a, MATCH_ADDRESSES, pattern, true, &env, &r->pattern, &e) != RC_OK)
		loader_problem(l, line->file, line->line, "retry rule: pattern: %s", e.text);
	if (!slice_is_absent(senders) &&
	    match_compile(l->a, MATCH_ADDRESSES, senders, true, &env, &r->senders, &e) != RC_OK)
		loader_problem(l, line->file, line->line, "retry rule: senders: %s", e.text);
	if (!rest.len)
		return;
	while (slice_next(&rest, ';', &step)) {
		step = slice_trim(step);
		if (step.len)
			retry_step(l, line, step, &r->steps);
	}
}

/* ---- rewrite ---- */
void rules_rewrite_line(struct loader *l, const struct source_line *line)
{
	struct error e = {0};
	slice_t rest = line->text, pattern, replacement = slice_absent();
	bool ok = lex_word(l->a, &rest, &pattern, &e) == RC_OK;
	lex_space(&rest);
	ok = ok && lex_word(l->a, &rest, &replacement, &e) == RC_OK;
	lex_space(&rest);
	if (!ok || !replacement.len) {
		loader_problem(l, line->file, line->line, "rewriting rule: %s",
		    ok ? "a replacement was expected behind the pattern, found the end of the line"
		       : e.text);
		return;
	}
	for (uint32_t i = 0; i < rest.len; i++)
		if (!strchr("EFTbcfhrstSQRqw \t", rest.ptr[i])) {
			loader_problem(l, line->file, line->line,
			    "rewriting rule: unknown flag '%c'; the flags are EFTbcfhrst, S, Q, R, "
			    "q and w",
			    rest.ptr[i] >= ' ' && rest.ptr[i] < 127 ? rest.ptr[i] : '?');
			return;
		}
	loader_problem(l, line->file, line->line, "not supported yet: rewriting rules");
}
