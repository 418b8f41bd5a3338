/* SPDX-License-Identifier: GPL-3.0-or-later */
/* control = WORD[/option...]: what an ACL may switch for the session or the message. */
#include "acl/acl_private.h"
#include "log/log.h"

enum control_id {
	CTL_NOTHING, /* permits something that this program does not do anyway */
	CTL_ALLOW_AUTH,
	CTL_CASEFUL,
	CTL_DEBUG,
	CTL_CASELOWER,
	CTL_ENFORCE_SYNC,
	CTL_NO_ENFORCE_SYNC,
	CTL_FAKEDEFER,
	CTL_FAKEREJECT,
	CTL_FREEZE,
	CTL_NO_CALLOUT_FLUSH,
	CTL_NO_DELAY_FLUSH,
	CTL_NO_MULTILINE,
	CTL_NO_PIPELINING,
	CTL_QUEUE,
	CTL_SUBMISSION,
	CTL_SUPPRESS_FIXUPS,
	CTL_DOWNCONVERT,
	CTL_NOT_YET, /* only permits something: loads, and defers where it is met */
};
enum { OPT_NONE, OPT_TEXT, OPT_DEBUG, OPT_DOWNCONVERT, OPT_FREEZE, OPT_QUEUE, OPT_SUBMISSION };

struct control_row {
	const char *name;
	enum control_id id;
	int options;
	uint32_t allowed; /* WHERE_ mask; 0: not supported yet */
};

#define ANY          WHERE_ALL
#define SMTP_ONLY    (WHERE_ALL & ~WHERE_NOT_SMTP)
#define RECEIVING    (WHERE_MESSAGE | WHERE(ACL_UNKNOWN))
#define SMTP_MESSAGE (RECEIVING & ~WHERE_NOT_SMTP)
#define BEFORE_DATA  (WHERE_ENVELOPE | WHERE(ACL_UNKNOWN))

static const struct control_row rows[] = {
    {"allow_auth_unadvertised", CTL_ALLOW_AUTH, OPT_NONE, WHERE(ACL_CONNECT) | WHERE(ACL_HELO)},
    {"caseful_local_part", CTL_CASEFUL, OPT_NONE, WHERE(ACL_RCPT)},
    {"caselower_local_part", CTL_CASELOWER, OPT_NONE, WHERE(ACL_RCPT)},
    {"cutthrough_delivery", CTL_NOT_YET, OPT_TEXT, WHERE(ACL_RCPT) | WHERE(ACL_PREDATA)},
    {"debug", CTL_DEBUG, OPT_DEBUG, ANY},
    {"dkim_disable_verify", CTL_NOTHING, OPT_NONE,
        SMTP_MESSAGE | WHERE(ACL_CONNECT) | WHERE(ACL_HELO)},
    {"dmarc_disable_verify", CTL_NOTHING, OPT_NONE,
        SMTP_MESSAGE | WHERE(ACL_CONNECT) | WHERE(ACL_HELO)},
    {"dscp", CTL_NOTHING, OPT_TEXT, 0},
    {"enforce_sync", CTL_ENFORCE_SYNC, OPT_NONE, SMTP_ONLY},
    {"fakedefer", CTL_FAKEDEFER, OPT_TEXT, SMTP_MESSAGE},
    {"fakereject", CTL_FAKEREJECT, OPT_TEXT, SMTP_MESSAGE},
    {"freeze", CTL_FREEZE, OPT_FREEZE, RECEIVING},
    {"no_callout_flush", CTL_NO_CALLOUT_FLUSH, OPT_NONE, SMTP_ONLY},
    {"no_delay_flush", CTL_NO_DELAY_FLUSH, OPT_NONE, SMTP_ONLY},
    {"no_enforce_sync", CTL_NO_ENFORCE_SYNC, OPT_NONE, SMTP_ONLY},
    {"no_mbox_unspool", CTL_NOTHING, OPT_NONE, RECEIVING},
    {"no_multiline_responses", CTL_NO_MULTILINE, OPT_NONE, SMTP_ONLY},
    {"no_pipelining", CTL_NO_PIPELINING, OPT_NONE, SMTP_ONLY},
    {"queue", CTL_QUEUE, OPT_QUEUE, RECEIVING},
    {"queue_only", CTL_QUEUE, OPT_QUEUE, RECEIVING},
    {"submission", CTL_SUBMISSION, OPT_SUBMISSION, BEFORE_DATA},
    {"suppress_local_fixups", CTL_SUPPRESS_FIXUPS, OPT_NONE,
        BEFORE_DATA | WHERE(ACL_NOT_SMTP_START)},
    {"utf8_downconvert", CTL_DOWNCONVERT, OPT_DOWNCONVERT, SMTP_MESSAGE | WHERE(ACL_NOT_SMTP)},
};

struct control {
	const struct control_row *row;
	slice_t text; /* fakereject, fakedefer; ABSENT: the usual words */
	bool no_tell, sender_retain;
	slice_t domain, name; /* submission */
	int downconvert;
	bool stop, kill; /* debug */
	slice_t tag;
	uint64_t debug;
};

static enum rc parse_debug(struct control *ctl, slice_t option, struct error *err)
{
	if (slice_eqs(option, "stop") || slice_eqs(option, "kill")) {
		ctl->stop = true;
		ctl->kill |= slice_eqs(option, "kill");
	} else if (slice_starts(option, "tag=")) {
		ctl->tag = slice_sub(option, 4, option.len);
		if (!log_debug_tag_ok(ctl->tag))
			return error_set(err, RC_ERROR,
			    "\"%.*s\" cannot be the end of a file's name in \"control=debug\"",
			    SL_ARG(slice_sub(ctl->tag, 0, 60)));
	} else if (slice_starts(option, "opts=")) {
		if (log_debug_parse(slice_sub(option, 5, option.len), &ctl->debug, err) != RC_OK)
			return RC_ERROR;
	} else if (slice_starts(option, "pretrigger=") || slice_starts(option, "trigger=")) {
		return error_set(err, RC_ERROR, "not supported yet: control = debug/%.*s",
		    (int)slice_find(option, '='), option.ptr);
	} else {
		return error_set(err, RC_ERROR, "unknown option \"%.*s\" in \"control=debug\"",
		    SL_ARG(slice_sub(option, 0, 60)));
	}
	return RC_OK;
}

static enum rc parse_option(struct control *ctl, slice_t whole, slice_t option, struct error *err)
{
	if (ctl->row->options == OPT_DEBUG)
		return parse_debug(ctl, option, err);
	if (ctl->row->options == OPT_FREEZE && slice_eqs(option, "no_tell"))
		ctl->no_tell = true;
	else if (ctl->row->options == OPT_SUBMISSION && slice_eqs(option, "sender_retain"))
		ctl->sender_retain = true;
	else if (ctl->row->options == OPT_SUBMISSION && slice_starts(option, "domain="))
		ctl->domain = slice_sub(option, 7, option.len);
	else if (ctl->row->options == OPT_QUEUE && slice_eqs(option, "first_pass_route"))
		return RC_OK; /* saves what a queue run does here anyway */
	else
		return error_set(err, RC_ERROR, "syntax error in \"control=%.*s\"",
		    SL_ARG(slice_sub(whole, 0, 100)));
	return RC_OK;
}

static enum rc parse_options(struct control *ctl, slice_t whole, slice_t rest, struct error *err)
{
	slice_t option;
	ctl->downconvert = 1;
	if (ctl->row->options == OPT_DEBUG && log_debug_parse(SL(""), &ctl->debug, err) != RC_OK)
		return RC_ERROR;
	if (slice_is_absent(rest))
		return RC_OK;
	if (ctl->row->options == OPT_DOWNCONVERT &&
	    (slice_eqs(rest, "1") || slice_eqs(rest, "0") || slice_eqs(rest, "-1"))) {
		ctl->downconvert = slice_eqs(rest, "1") ? 1 : slice_eqs(rest, "0") ? 0 : -1;
		return RC_OK;
	}
	if (ctl->row->options == OPT_NONE)
		return error_set(err, RC_ERROR, "syntax error in \"control=%.*s\"",
		    SL_ARG(slice_sub(whole, 0, 100)));
	if (ctl->row->options == OPT_TEXT) {
		ctl->text = rest;
		return RC_OK;
	}
	while (rest.len) {
		/* a full name may hold a slash: it is always the last option */
		if (ctl->row->options == OPT_SUBMISSION && slice_starts(rest, "name=")) {
			ctl->name = slice_sub(rest, 5, rest.len);
			return RC_OK;
		}
		size_t slash = slice_find(rest, '/');
		option = slice_sub(rest, 0, slash == SIZE_MAX ? rest.len : slash);
		rest = slash == SIZE_MAX ? SL("") : slice_sub(rest, slash + 1, rest.len);
		enum rc rc = parse_option(ctl, whole, option, err);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc acl_control_parse(struct arena *a, slice_t text, const void **out, struct error *err)
{
	text = slice_trim(text);
	size_t slash = slice_find(text, '/');
	slice_t name = slice_sub(text, 0, slash == SIZE_MAX ? text.len : slash);
	slice_t rest = slash == SIZE_MAX ? slice_absent() : slice_sub(text, slash + 1, text.len);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!slice_eqs(name, rows[i].name))
			continue;
		if (!rows[i].allowed)
			return error_set(
			    err, RC_ERROR, "not supported yet: control = %s", rows[i].name);
		struct control *ctl = ARENA_NEW(a, struct control);
		ctl->row = &rows[i];
		ctl->text = ctl->domain = ctl->name = ctl->tag = slice_absent();
		*out = ctl;
		return parse_options(ctl, text, rest, err);
	}
	return error_set(
	    err, RC_ERROR, "syntax error in \"control=%.*s\"", SL_ARG(slice_sub(text, 0, 100)));
}

uint32_t acl_control_allowed(const void *parsed)
{
	return ((const struct control *)parsed)->row->allowed;
}

const char *acl_control_word(const void *parsed)
{
	return ((const struct control *)parsed)->row->name;
}

static void fake(struct acl_effects *fx, const struct control *ctl, bool reject)
{
	fx->fake_reject = reject;
	fx->fake_defer = !reject;
	fx->fake_text = arena_dup(fx->arena, ctl->text);
}

static void submission(struct acl_effects *fx, const struct control *ctl)
{
	fx->submission = true;
	fx->submission_sender_retain |= ctl->sender_retain;
	if (!slice_is_absent(ctl->domain))
		fx->submission_domain = arena_dup(fx->arena, ctl->domain);
	if (!slice_is_absent(ctl->name))
		fx->submission_name = arena_dup(fx->arena, ctl->name);
}

/* For what is left of the connection, and for the messages that come over it. */
static void debug_output(struct eval *ev, const struct control *ctl)
{
	struct session_facts *f = ev->session;
	if (!f)
		return;
	if (ctl->kill && f->debug_bits)
		log_debug_remove(ev->log, f->debug_tag);
	f->debug_bits = ctl->stop ? 0 : (int64_t)ctl->debug;
	if (!slice_is_absent(ctl->tag))
		f->debug_tag = arena_dup(f->arena, ctl->tag);
}

static void apply(struct acl_effects *fx, const struct control *ctl)
{
	switch (ctl->row->id) {
	case CTL_NOTHING:
	case CTL_NOT_YET:
	case CTL_DEBUG:
		break;
	case CTL_DOWNCONVERT:
		fx->has_downconvert = true;
		fx->downconvert = ctl->downconvert;
		break;
	case CTL_ALLOW_AUTH:
		fx->allow_auth_unadvertised = true;
		break;
	case CTL_CASEFUL:
		fx->caseful_local_part = true;
		break;
	case CTL_CASELOWER:
		fx->caseful_local_part = false;
		break;
	case CTL_ENFORCE_SYNC:
		fx->enforce_sync = true;
		fx->no_enforce_sync = false;
		break;
	case CTL_NO_ENFORCE_SYNC:
		fx->no_enforce_sync = true;
		fx->enforce_sync = false;
		break;
	case CTL_FAKEDEFER:
		fake(fx, ctl, false);
		break;
	case CTL_FAKEREJECT:
		fake(fx, ctl, true);
		break;
	case CTL_FREEZE:
		fx->freeze = true;
		fx->freeze_no_tell |= ctl->no_tell;
		break;
	case CTL_NO_CALLOUT_FLUSH:
		fx->no_callout_flush = true;
		break;
	case CTL_NO_DELAY_FLUSH:
		fx->no_delay_flush = true;
		break;
	case CTL_NO_MULTILINE:
		fx->no_multiline = true;
		break;
	case CTL_NO_PIPELINING:
		fx->no_pipelining = true;
		break;
	case CTL_QUEUE:
		fx->queue_only = true;
		break;
	case CTL_SUBMISSION:
		submission(fx, ctl);
		break;
	case CTL_SUPPRESS_FIXUPS:
		fx->suppress_local_fixups = true;
		break;
	}
}

ACL_FN(control)
{
	const void *parsed = c->parsed;
	if (!parsed) {
		slice_t text;
		enum rc rc = acl_arg(st, c, &text, err);
		if (rc == RC_OK && !st->ignored)
			rc = acl_control_parse(st->ev->arena, text, &parsed, err);
		if (rc != RC_OK || !parsed)
			return rc;
	}
	const struct control *ctl = parsed;
	if (!(ctl->row->allowed & WHERE(st->run->where)))
		return error_set(err, RC_ERROR, "cannot use \"control=%s\" in %s ACL",
		    ctl->row->name, acl_where_name(st->run->where));
	if (ctl->row->id == CTL_NOT_YET)
		return error_set(err, RC_DEFER, "not supported yet: control = %s", ctl->row->name);
	if (ctl->row->id == CTL_DEBUG)
		debug_output(st->ev, ctl);
	apply(st->run->effects, ctl);
	return RC_OK;
}
