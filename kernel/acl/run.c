/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Running an ACL: statements in order, each until one of its conditions decides it.  A condition
 * gives OK (true), FAIL (false), DEFER or ERROR; what that means is the verb's.  Everything lies in
 * the eval's arena.
 */
#include "acl/acl_private.h"
#include "log/log.h"

enum { LEVEL_MAX = 20 };

static const char *const verb_names[] = {
    "accept", "defer", "deny", "discard", "drop", "require", "warn"};

static void trace(const struct acl_state *st, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void trace(const struct acl_state *st, const char *fmt, ...)
{
	const struct acl_hooks *h = st->run->hooks;
	bool heard = h && h->trace;
	if (!heard && !eval_debugging(st->ev, LOG_D_ACL))
		return;
	va_list ap;
	va_start(ap, fmt);
	slice_t line = arena_vprintf(st->ev->arena, fmt, ap);
	va_end(ap);
	if (heard)
		h->trace(st->ev, line);
	eval_debug(st->ev, LOG_D_ACL, "%.*s", SL_ARG(line));
}

enum rc acl_arg(struct acl_state *st, const struct acl_cond *c, slice_t *out, struct error *err)
{
	if (c->constant) {
		*out = c->text;
		return RC_OK;
	}
	return acl_expand(st, c, out, err);
}

enum rc acl_expand(struct acl_state *st, const struct acl_cond *c, slice_t *out, struct error *err)
{
	enum rc rc = expr_eval(st->ev, c->expr, out, err);
	if (rc == RC_OK)
		return rc;
	if (rc == RC_FAIL) {
		st->ignored = true;
		*out = SL("");
		return RC_OK;
	}
	/* not a condition that could not be tested: warn does not pass over it */
	char why[sizeof err->text];
	memcpy(why, err ? err->text : "", err ? sizeof why : 1);
	return error_set(
	    err, RC_ERROR, "failed to expand ACL string \"%.*s\": %s", SL_ARG(c->source), why);
}

static enum rc check_one(struct acl_state *st, const struct acl_cond *c, struct error *err)
{
	if (!(c->row->allowed & WHERE(st->run->where)))
		return acl_refuse_place(c, st->run->where, err);
	st->ignored = false;
	enum rc rc = c->row->fn(st, c, err);
	if (st->ignored) /* true, negated or not */
		return RC_OK;
	if (c->negated && (rc == RC_OK || rc == RC_FAIL) && !st->nested_discard) {
		bool was_true = rc == RC_OK;
		st->nested_drop = false;
		return was_true ? error_set(err, RC_FAIL, "a negated condition is true") : RC_OK;
	}
	return rc;
}

/* All conditions of the statement, until one is not true. */
static enum rc check_conditions(struct acl_state *st, struct error *err)
{
	for (const struct acl_cond *c = st->stmt->conds; c; c = c->next) {
		if (c->row->arg != ARG_NONE)
			trace(st, c->row->arg == ARG_LATER ? "  %s%s: %.*s" : "check %s%s = %.*s",
			    c->negated ? "!" : "", c->row->name, SL_ARG(c->source));
		if (c->row->arg == ARG_NONE) {
			st->endpass = true;
		} else if (c->row->arg == ARG_LATER) {
			if (c->row->name[0] == 'm')
				st->message = c;
			else
				st->log_message = c;
		} else {
			enum rc rc = check_one(st, c, err);
			if (rc != RC_OK || st->nested_discard)
				return rc;
		}
	}
	return RC_OK;
}

/* ---- messages
 * -------------------------------------------------------------------------------------------- */

/* false: it gives nothing, or cannot be expanded, which is not worth a refusal. */
static bool later_text(struct acl_state *st, const struct acl_cond *c, slice_t *out)
{
	struct error e = {0};
	slice_t text = c->text;
	enum rc rc = c->constant ? RC_OK : expr_eval(st->ev, c->expr, &text, &e);
	if (rc == RC_DEFER || rc == RC_ERROR) {
		slice_t line = arena_printf(st->ev->arena,
		    "failed to expand ACL message \"%.*s\": %s", SL_ARG(c->source), e.text);
		acl_log(st, line, true, false, true);
	}
	if (rc != RC_OK || !text.len)
		return false;
	*out = text;
	return true;
}

/* message and log_message of the statement, over what its condition said. */
static void expand_messages(struct acl_state *st)
{
	struct message_facts *m = st->ev->message;
	slice_t text;
	slice_t before = st->log_msg;
	if (m)
		m->acl_verify_message = st->user_msg;
	if (st->message && later_text(st, st->message, &text))
		st->user_msg = text;
	if (m && !slice_is_absent(before)) /* what the log may say, the client need not know */
		m->acl_verify_message = before;
	if (st->log_message && later_text(st, st->log_message, &text)) {
		st->log_msg = text;
		if (before.len && !slice_eq(before, text) && st->stmt->verb != VERB_WARN) {
			struct strbuf sb;
			strbuf_init(&sb, st->ev->arena, 0);
			strbuf_add(&sb, text);
			strbuf_text(&sb, ": ");
			strbuf_add(&sb, before);
			st->log_msg = strbuf_slice(&sb);
		}
	}
}

static bool all_digits(slice_t s, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++)
		if (i >= s.len || !ascii_isdigit(s.ptr[i]))
			return false;
	return true;
}

/* Length of "5.7.1 " at the start, or 0. */
static uint32_t enhanced_length(slice_t s)
{
	uint32_t i = 0;
	for (int part = 0; part < 3; part++) {
		uint32_t begin = i;
		while (i < s.len && ascii_isdigit(s.ptr[i]))
			i++;
		if (i == begin || i - begin > 3 || (part == 0 && i - begin != 1) || i >= s.len)
			return 0;
		if (part < 2 ? s.ptr[i] != '.' : !ascii_isspace(s.ptr[i]))
			return 0;
		i++;
	}
	return i;
}

/* "550 5.7.1 text": code and extended code are taken off; a code that does not fit the verdict is
 * not used. */
static void take_code(struct acl_state *st, slice_t text, char first, struct acl_outcome *out)
{
	out->user_text = text;
	if (text.len < 4 || !all_digits(text, 0, 3) || !ascii_isspace(text.ptr[3]))
		return;
	slice_t rest = slice_sub(text, 4, text.len);
	uint32_t n = enhanced_length(rest);
	bool fits = text.ptr[0] == first ||
	            (first == '2' && st->run->where == ACL_PREDATA && text.ptr[0] == '3');
	out->user_text = slice_sub(rest, n, rest.len);
	if (fits) {
		out->smtp_code =
		    (text.ptr[0] - '0') * 100 + (text.ptr[1] - '0') * 10 + (text.ptr[2] - '0');
		if (n)
			out->enhanced = slice_sub(rest, 0, n - 1);
		return;
	}
	slice_t line = arena_printf(st->ev->arena,
	    "configured error code starts with incorrect digit (expected %c) in \"%.*s\"", first,
	    SL_ARG(text));
	line.flags = text.flags;
	acl_log(st, line, false, false, true);
	if (first != '2' && !st->log_msg.len) /* the log shows the code that is used */
		st->log_msg = arena_printf(
		    st->ev->arena, "%s %.*s", first == '4' ? "451" : "550", SL_ARG(out->user_text));
}

static char first_digit(enum acl_verdict v)
{
	return v == ACL_DEFER ? '4' : v == ACL_DENY || v == ACL_DROP ? '5' : '2';
}

static const char *verdict_word(enum acl_verdict v)
{
	static const char *const words[] = {[ACL_ACCEPT] = "ACCEPT",
	    [ACL_DENY] = "DENY",
	    [ACL_DROP] = "DROP",
	    [ACL_DEFER] = "DEFER",
	    [ACL_DISCARD] = "DISCARD"};
	return words[v];
}

static enum rc conclude(struct acl_state *st, enum acl_verdict v, struct acl_outcome *out)
{
	out->verdict = v;
	trace(st, "%send of ACL \"%.*s\": %s", st->stmt ? "" : "implicit ", SL_ARG(st->acl->name),
	    verdict_word(v));
	if (st->stmt)
		out->verb_name = slice_cstr(verb_names[st->stmt->verb]);
	if (st->run->level > 1)
		out->user_text = st->user_msg; /* the outer ACL's statement takes the code off */
	else if (st->user_msg.len)
		take_code(st, st->user_msg, first_digit(v), out);
	out->log_text = st->log_msg;
	out->log_reject_main = st->log_main;
	out->log_reject_reject = st->log_reject;
	out->log_reject_panic = st->log_panic;
	out->sender_verify_failed = st->sender_failed;
	out->recipient_verify_failed = st->recipient_failed;
	out->verified_sender = st->verified_sender;
	out->verify_detail = st->verify_detail;
	out->no_details = st->no_details;
	return RC_OK;
}

/* ---- verbs
 * -----------------------------------------------------------------------------------------------
 */

static void warn(struct acl_state *st, enum rc rc, const struct error *err)
{
	if (rc == RC_OK) {
		if (st->log_msg.len && st->log_message)
			acl_log_warning(st, st->log_msg);
		if (st->message && st->user_msg.len && WHERE_MESSAGE & WHERE(st->run->where))
			acl_add_header(st, st->user_msg);
	} else if (rc == RC_DEFER && log_selected(st->ev->log, LOG_ACL_WARN_SKIPPED)) {
		slice_t why = st->log_msg.len    ? st->log_msg
		              : st->user_msg.len ? st->user_msg
		                                 : slice_cstr(err->text);
		slice_t text = arena_printf(st->ev->arena,
		    "ACL \"warn\" statement skipped: condition test deferred%s%.*s",
		    why.len ? ": " : "", SL_ARG(why));
		text.flags = 0;
		acl_log_warning(st, text);
	}
}

/* Is the statement's outcome one for which its messages count? */
static bool messages_count(const struct acl_state *st, enum rc rc)
{
	switch (st->stmt->verb) {
	case VERB_ACCEPT:
	case VERB_DISCARD: /* with endpass the message is about the refusal */
		return st->endpass ? rc == RC_FAIL : rc == RC_OK;
	case VERB_REQUIRE:
		return rc == RC_FAIL;
	case VERB_DEFER:
	case VERB_DENY:
	case VERB_DROP:
	case VERB_WARN:
		break;
	}
	return rc == RC_OK;
}

/* What a statement whose conditions ended in OK or FAIL decides.  false: nothing, the next one. */
static bool verdict_of(struct acl_state *st, bool ok, enum acl_verdict *out)
{
	bool drop = st->nested_drop;
	switch (st->stmt->verb) {
	case VERB_ACCEPT:
	case VERB_DISCARD:
		if (st->nested_discard)
			*out = ACL_DISCARD;
		else if (ok)
			*out = st->stmt->verb == VERB_ACCEPT ? ACL_ACCEPT : ACL_DISCARD;
		else
			*out = drop ? ACL_DROP : ACL_DENY;
		return ok || st->endpass;
	case VERB_DEFER:
		*out = ACL_DEFER;
		return ok;
	case VERB_DENY:
		*out = drop ? ACL_DROP : ACL_DENY;
		return ok;
	case VERB_DROP:
		*out = ACL_DROP;
		return ok;
	case VERB_REQUIRE:
		*out = drop ? ACL_DROP : ACL_DENY;
		return !ok;
	case VERB_WARN:
		break;
	}
	return false;
}

static void begin_statement(struct acl_state *st, const struct acl_stmt *s)
{
	st->stmt = s;
	st->user_msg = st->log_msg = slice_absent();
	st->message = st->log_message = NULL;
	st->endpass = st->nested_drop = st->nested_discard = false;
	st->recipient_failed = false; /* of a sender who failed, the first refusal tells */
	/* what a condition says about a failure is there until the next statement, and for who
	 * answers the last one */
	if (s && st->ev->message)
		st->ev->message->acl_verify_message = slice_absent();
}

static enum rc run_statements(struct acl_state *st, struct acl_outcome *out)
{
	for (const struct acl_stmt *s = st->acl->stmts; s; s = s->next) {
		struct error e = {0};
		enum acl_verdict v = ACL_DENY;
		begin_statement(st, s);
		trace(st, "processing \"%s\" (%s %u)", verb_names[s->verb], s->file, s->line);
		enum rc rc = RC_ERROR;
		if (s->verb == VERB_DISCARD && !(ACL_MAY_DISCARD & WHERE(st->run->where)))
			(void)error_set(&e, rc, "\"discard\" is not allowed in %s ACL",
			    acl_where_name(st->run->where));
		else
			rc = check_conditions(st, &e);
		trace(st, "%s: condition test %s in ACL \"%.*s\"", verb_names[s->verb],
		    rc == RC_OK     ? "succeeded"
		    : rc == RC_FAIL ? "failed"
		                    : "deferred",
		    SL_ARG(st->acl->name));
		if (rc == RC_FAIL && st->endpass)
			trace(st, "%s: endpass encountered - denying access", verb_names[s->verb]);
		if (st->nested_discard && s->verb != VERB_ACCEPT && s->verb != VERB_DISCARD)
			rc = error_set(&e, RC_ERROR,
			    "nested ACL returned \"discard\" for \"%s\" command "
			    "(only allowed with \"accept\" or \"discard\")",
			    verb_names[s->verb]);
		if ((rc == RC_OK || rc == RC_FAIL) && messages_count(st, rc))
			expand_messages(st);
		if (s->verb == VERB_WARN && rc != RC_ERROR) {
			warn(st, rc, &e);
			continue;
		}
		if (rc != RC_OK && rc != RC_FAIL) {
			if (!st->log_msg.len && *e.text) {
				st->log_msg = arena_printf(st->ev->arena, "%s", e.text);
				st->log_msg.flags = 0;
			}
			return conclude(st, ACL_DEFER, out);
		}
		if (verdict_of(st, rc == RC_OK, &v))
			return conclude(st, v, out);
	}
	begin_statement(st, NULL); /* the implicit deny */
	return conclude(st, ACL_DENY, out);
}

enum rc acl_run_one(
    struct acl_state *st, const struct acl *acl, struct acl_outcome *out, struct error *err)
{
	if (st->run->level >= LEVEL_MAX)
		return error_set(err, RC_ERROR, "ACL nested too deep: possible loop");
	struct acl_run *outer = st->ev->acl_run;
	*out = (struct acl_outcome){.enhanced = slice_absent(),
	    .user_text = slice_absent(),
	    .log_text = slice_absent(),
	    .verb_name = slice_absent(),
	    .acl_name = acl->name};
	st->acl = acl;
	st->verified_sender = st->verify_detail = slice_absent();
	st->ev->acl_run = st->run;
	st->run->level++;
	trace(st, "using ACL \"%.*s\"", SL_ARG(acl->name));
	enum rc rc = run_statements(st, out);
	st->run->level--;
	st->ev->acl_run = outer;
	return rc;
}

enum rc acl_check(
    struct eval *ev, struct acl_run *run, slice_t text, struct acl_outcome *out, struct error *err)
{
	const struct acls *acls = ev->cfg ? config_acls(ev->cfg) : NULL;
	const struct acl *acl = NULL;
	struct text_entry *entry = NULL;
	if (!acls)
		return error_set(err, RC_ERROR, "no ACLs are configured");
	enum rc rc = acl_find(ev, acls, text, &acl, &entry, err);
	if (rc != RC_OK)
		return rc;
	struct acl_state st = {
	    .ev = ev, .run = run, .acls = acls, .log_main = true, .log_reject = true};
	run->level = 0;
	rc = acl_run_one(&st, acl, out, err);
	if (entry && rc == RC_OK) { /* constants of it may be in the outcome */
		out->user_text = arena_dup(ev->arena, out->user_text);
		out->log_text = arena_dup(ev->arena, out->log_text);
		out->enhanced = arena_dup(ev->arena, out->enhanced);
		out->acl_name = arena_dup(ev->arena, out->acl_name);
	}
	text_entry_unref(&entry);
	return rc;
}
