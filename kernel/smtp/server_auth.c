/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * AUTH (RFC 4954): what is offered, the exchange between a client and an authenticator driver, and
 * the AUTH parameter of MAIL.  Replies and log lines are Exim's. Secrets: what the client sends is
 * flagged SECRET, so that no log line shows it; the bytes are wiped from the input buffer, the
 * variables and (by the arenas) every copy as soon as the exchange is over.
 */
#include "base/codec.h"
#include "smtp/server_private.h"

enum auth_result { AUTH_FAILED, AUTH_CANCELLED, AUTH_BAD64, AUTH_DEFERRED };
static const struct {
	int code;
	const char *text;
	bool set_id; /* is it known for whom it was? */
} results[] = {
    [AUTH_FAILED] = {535, "Incorrect authentication data", true},
    [AUTH_CANCELLED] = {501, "Authentication cancelled", false},
    [AUTH_BAD64] = {501, "Invalid base64 data", false},
    [AUTH_DEFERRED] = {435, "Unable to authenticate at present", true},
};

/* Why an exchange ended without success.  Zeroed slices: nothing to add. */
struct failure {
	enum auth_result what;
	int code; /* instead of the result's own; 0: that */
	slice_t
	    shown; /* with a code: instead of the text; else behind it.  For both client and log */
	slice_t why; /* for the log alone */
};

static const struct heddle_auth_ops *ops_of(const struct heddle_instance *inst)
{
	return inst->driver->ops;
}

/* Bytes of a buffer of ours that a slice of it shows as constant. */
static void wipe(slice_t s)
{
	char *p;
	memcpy(&p, &s.ptr, sizeof p);
	if (s.len)
		explicit_bzero(p, s.len);
}

/* $auth1 and so on are copies on the session's arena. */
static void forget_strings(struct session *s)
{
	for (size_t i = 0; i < sizeof s->facts.auth / sizeof *s->facts.auth; i++) {
		wipe(s->facts.auth[i]);
		s->facts.auth[i] = slice_absent();
	}
}

void auth_drop(struct run *r)
{
	struct session *s = r->s;
	if (s->auth && s->auth_started && s->conv && ops_of(s->auth)->end)
		ops_of(s->auth)->end(s->auth->inst, s->conv);
	if (s->auth)
		forget_strings(s);
	s->auth = NULL;
	s->conv = NULL;
	s->auth_started = false;
}

/* ---- what is offered ---- */

static bool is_no(slice_t text)
{
	text = slice_trim(text);
	return !text.len || slice_eqs(text, "0") || slice_eqis(text, "no") ||
	       slice_eqis(text, "false");
}

/* A condition of an authenticator whose yes is anything but an empty text, 0, no and false.  Unset:
 * yes. */
static bool holds(struct run *r, const struct heddle_instance *inst, enum auth_option which)
{
	const struct option_value *v = &inst->generic[which];
	struct error err = {0};
	slice_t text;
	if (!v->expr)
		return true;
	enum rc rc = expr_eval(&r->ev, v->expr, &text, &err);
	if (rc == RC_ERROR)
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC,
		    "failed to expand condition \"%.*s\" for %.*s authenticator: %s",
		    SL_ARG(v->text), SL_ARG(inst->name), err.text);
	return rc == RC_OK && !is_no(text);
}

static bool is_server(const struct heddle_instance *inst)
{
	const struct heddle_auth_ops *ops = inst->driver ? inst->driver->ops : NULL;
	return ops && ops->server_begin && config_auth_serves(inst);
}

static bool offered(struct run *r, const struct heddle_instance *inst)
{
	struct heddle_call c;
	if (!is_server(inst) || !holds(r, inst, AO_server_advertise_condition))
		return false;
	const struct heddle_auth_ops *ops = inst->driver->ops;
	if (!ops->offered)
		return true;
	call_init(&c, &r->ev, inst);
	c.worker = r->w;
	return ops->offered(&c, inst->inst) == HEDDLE_OK;
}

void auth_offer(struct run *r, struct strbuf *sb)
{
	struct session *s = r->s;
	const struct heddle_instance *inst;
	uint32_t count = 0;
	s->auth_advertised = false;
	while (config_auth(s->cfg, count))
		count++;
	if (!count || !host_matches(r, MO_auth_advertise_hosts))
		return;
	if (!s->auth_offers)
		s->auth_offers = ARENA_ARRAY(s->arena, bool, count);
	for (uint32_t i = 0; (inst = config_auth(s->cfg, i)) != NULL; i++) {
		s->auth_offers[i] = offered(r, inst);
		if (!s->auth_offers[i])
			continue;
		strbuf_text(sb, s->auth_advertised ? " " : "\nAUTH ");
		strbuf_add(sb, inst->generic[AO_public_name].text);
		s->auth_advertised = true;
	}
}

/* Among those that were offered; of all where an ACL says so. */
static const struct heddle_instance *mechanism(struct run *r, slice_t name)
{
	const struct heddle_instance *inst;
	for (uint32_t i = 0; (inst = config_auth(r->s->cfg, i)) != NULL; i++)
		if (((r->s->auth_offers && r->s->auth_offers[i]) ||
		        (r->s->allow_auth_unadvertised && is_server(inst))) &&
		    slice_eqi(inst->generic[AO_public_name].text, name))
			return inst;
	return NULL;
}

/* ---- how an exchange ends ---- */

static slice_t set_id(struct run *r)
{
	slice_t id = slice_absent();
	const struct expr *e = r->s->auth->generic[AO_server_set_id].expr;
	if (e && expr_eval(&r->ev, e, &id, NULL))
		return slice_absent();
	/* made of what the client sent in confidence, but this is the part that is meant to be
	 * known */
	id.flags = (uint16_t)(id.flags & ~HEDDLE_SECRET);
	return id;
}

static void failed(struct run *r, const struct failure *f)
{
	struct session *s = r->s;
	int code = f->code ? f->code : results[f->what].code;
	slice_t text = slice_cstr(results[f->what].text), id = slice_absent();
	if (f->code)
		text = f->shown;
	if (results[f->what].set_id && !f->code)
		id = set_id(r);
	if (id.len)
		s->facts.authenticated_fail_id = arena_dup(s->arena, id);
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
	    "%.*s authenticator failed for %.*s: %d %.*s%s%.*s%s%s%.*s", SL_ARG(s->auth->name),
	    SL_ARG(host_for_text(r)), code, SL_ARG(text), id.len ? " (set_id=" : "",
	    SL_ARG(id.len ? id : SL("")), id.len ? ")" : "", f->why.len ? ": " : "",
	    SL_ARG(f->why));
	s->facts.authentication_failed = 1;
	if (!f->code && f->shown.len)
		replyf(r, code, "%.*s: %.*s", SL_ARG(text), SL_ARG(f->shown));
	else
		reply(r, code, text);
	auth_drop(r);
	s->state = s->state == ST_CLOSING ? ST_CLOSING : ST_COMMAND;
}

static void failed_as(struct run *r, enum auth_result what)
{
	failed(r, &(struct failure){.what = what});
}

/* server_condition: what the driver found right may still be refused. */
static bool condition_holds(struct run *r)
{
	slice_t text;
	struct error err = {0};
	const struct expr *e = r->s->auth->generic[AO_server_condition].expr;
	if (!e)
		return true;
	enum rc rc = expr_eval(&r->ev, e, &text, &err);
	if (rc == RC_FAIL || (!rc && is_no(text))) {
		failed_as(r, AUTH_FAILED);
		return false;
	}
	if (rc) {
		failed(r, &(struct failure){.what = AUTH_DEFERRED, .why = slice_cstr(err.text)});
		return false;
	}
	text = slice_trim(text);
	if (slice_eqs(text, "1") || slice_eqis(text, "yes") || slice_eqis(text, "true"))
		return true;
	/* it may be made of the password, where the condition is wrong */
	if (text.flags & HEDDLE_SECRET)
		text = SL("<secret>");
	failed(r, &(struct failure){.what = AUTH_DEFERRED, .shown = text, .why = text});
	return false;
}

static void succeeded(struct run *r)
{
	struct session *s = r->s;
	if (!condition_holds(r))
		return;
	slice_t id = set_id(r);
	s->facts.authenticated_id = slice_is_absent(id) ? id : arena_dup(s->arena, id);
	s->facts.sender_host_authenticated = s->auth->name;
	s->facts.authentication_failed = 0;
	s->facts.received_protocol = session_protocol(s);
	auth_drop(r);
	s->state = ST_COMMAND;
	reply(r, 235, SL("Authentication succeeded"));
}

/* server_debug_print: what the administrator asked to see, on the debug output alone. */
static void debug_print(struct run *r)
{
	struct session *s = r->s;
	const struct expr *e = s->auth->generic[AO_server_debug_print].expr;
	struct error err = {0};
	slice_t text;
	if (!e || !log_debugging(s->log, LOG_D_AUTH))
		return;
	if (expr_eval(&r->ev, e, &text, &err))
		text = slice_cstr(err.text);
	log_debug(
	    s->log, LOG_D_AUTH, "%.*s authenticator: %.*s", SL_ARG(s->auth->name), SL_ARG(text));
}

/* ---- the exchange ---- */

static void refused(struct run *r, struct heddle_call *c)
{
	struct failure f = {.what = AUTH_FAILED};
	if (c->reason_given && c->reason_smtp && c->reason_shown.len) {
		f.code = c->reason_smtp;
		f.shown = c->reason_shown;
	}
	failed(r, &f);
}

/* What an operation of the driver came to. */
static void turned(
    struct run *r, struct heddle_call *c, int32_t result, const struct heddle_auth_turn *turn)
{
	struct session *s = r->s;
	struct error err = {0};
	enum rc rc = call_result(c, result, "server side of AUTH", &err);
	if (rc || turn->state == HEDDLE_AUTH_DONE)
		debug_print(r);
	if (rc == RC_FAIL) {
		refused(r, c);
	} else if (rc) {
		if (rc == RC_ERROR)
			log_line(r, LOG_TO_PANIC, "%.*s authenticator: %s", SL_ARG(s->auth->name),
			    err.text);
		failed(r, &(struct failure){.what = AUTH_DEFERRED, .why = slice_cstr(err.text)});
	} else if (turn->state == HEDDLE_AUTH_DONE) {
		succeeded(r);
	} else {
		slice_t out =
		    slice_is_absent(turn->data) ? SL("") : base64_encode(r->scratch, turn->data);
		reply(r, 334, out);
		s->state = ST_AUTH;
		s->deadline_us = 0;
	}
}

static void step_driver(struct run *r, slice_t data)
{
	struct session *s = r->s;
	struct heddle_call c;
	struct heddle_auth_turn turn = {.struct_size = sizeof turn, .data = data};
	const struct heddle_auth_ops *ops = ops_of(s->auth);
	call_init(&c, &r->ev, s->auth);
	c.worker = r->w;
	int32_t result;
	if (!s->auth_started) {
		s->auth_started = true;
		result = ops->server_begin(&c, s->auth->inst, &turn, &s->conv);
	} else {
		result = ops->server_step ? ops->server_step(&c, s->auth->inst, s->conv, &turn)
		                          : HEDDLE_ERROR;
	}
	turned(r, &c, result, &turn);
}

/* Text of the client's to bytes; white space in it counts for nothing.  false: refused, and
 * answered. */
static bool decode(struct run *r, slice_t text, slice_t *out)
{
	char *bare = arena_bytes(r->scratch, text.len + 1u);
	size_t n = 0;
	arena_wipes(r->scratch);
	for (uint32_t i = 0; i < text.len; i++)
		if (!ascii_isspace(text.ptr[i]))
			bare[n++] = text.ptr[i];
	if (!base64_decode(r->scratch, slice_of(bare, n, HEDDLE_SECRET), out)) {
		failed_as(r, AUTH_BAD64);
		return false;
	}
	out->flags = HEDDLE_SECRET;
	return true;
}

enum step serve_auth_line(struct run *r, slice_t line)
{
	slice_t data, text = slice_trim(line);
	if (slice_eqs(text, "*"))
		failed_as(r, AUTH_CANCELLED);
	else if (decode(r, text, &data))
		step_driver(r, data);
	wipe(line);
	r->secrets_read = true;
	return STEP_AGAIN;
}

void auth_overlong(struct run *r)
{
	failed_as(r, AUTH_BAD64);
}

static bool permitted(struct run *r)
{
	struct session *s = r->s;
	const char *no = !s->auth_advertised && !s->allow_auth_unadvertised
	                     ? "AUTH command used when not advertised"
	                 : !slice_is_absent(s->facts.sender_host_authenticated)
	                     ? "already authenticated"
	                 : s->m ? "not permitted in mail transaction"
	                        : NULL;
	if (no)
		synprot_error(r, true, 503, slice_cstr(no));
	return !no;
}

static bool acl_permits(struct run *r, slice_t name)
{
	struct acl_outcome out;
	if (!config_main(r->s->cfg, MO_acl_smtp_auth)->is_set ||
	    session_acl(r, ACL_AUTH, MO_acl_smtp_auth, slice_absent(), &out) == ACL_ACCEPT)
		return true;
	if (acl_refuse(r, ACL_AUTH, &out, name))
		session_close(r, "acl-drop");
	return false;
}

static void begin(struct run *r, const struct heddle_instance *inst, slice_t initial)
{
	struct session *s = r->s;
	slice_t data = slice_absent();
	s->auth = inst;
	s->conv = NULL;
	s->auth_started = false;
	for (size_t i = 0; i < sizeof s->facts.auth / sizeof *s->facts.auth; i++)
		s->facts.auth[i] = slice_absent();
	if (slice_eqs(initial, "=")) /* an empty one: RFC 4954, 4 */
		data = slice_of("", 0, HEDDLE_SECRET);
	else if (initial.len && !decode(r, initial, &data))
		return;
	step_driver(r, data);
}

void serve_auth(struct run *r)
{
	struct session *s = r->s;
	uint32_t n = 0;
	while (n < r->arg.len && !ascii_isspace(r->arg.ptr[n]))
		n++;
	slice_t name = slice_sub(r->arg, 0, n), initial = slice_sub(r->arg, n, r->arg.len);
	s->facts.authentication_failed = 1; /* until it has succeeded */
	if (permitted(r) && acl_permits(r, name)) {
		const struct heddle_instance *inst = mechanism(r, name);
		if (inst)
			begin(r, inst, slice_trim(initial));
		else
			synprot_error(r, true, 504,
			    arena_printf(r->scratch, "%.*s authentication mechanism not supported",
			        SL_ARG(name)));
	}
	wipe(initial);
	r->secrets_read = true;
}

/* ---- the AUTH parameter of MAIL (specification, 33.2) ---- */

static void ignore(struct run *r, slice_t raw, const char *why)
{
	struct session *s = r->s;
	slice_t id = s->facts.authenticated_id;
	bool by_id = strchr(why, ':') != NULL;
	s->mf.authenticated_sender = slice_absent();
	log_line(r, LOG_TO_MAIN, "ignoring AUTH=%.*s from %.*s (%s%s%.*s%s)", SL_ARG(raw),
	    SL_ARG(host_for_log(r, true)), why, by_id ? " authenticated ID=\"" : "",
	    SL_ARG(by_id && !slice_is_absent(id) ? id : SL("")), by_id ? "\"" : "");
}

static const struct heddle_instance *authenticator_named(const struct config *cfg, slice_t name)
{
	const struct heddle_instance *inst;
	for (uint32_t i = 0; (inst = config_auth(cfg, i)) != NULL; i++)
		if (slice_eq(inst->name, name))
			return inst;
	return NULL;
}

bool auth_take_sender(struct run *r, slice_t sender, slice_t raw, slice_t what)
{
	struct session *s = r->s;
	struct acl_outcome out;
	slice_t by = s->facts.sender_host_authenticated;
	if (slice_is_absent(sender) || !sender.len)
		return true;
	s->mf.authenticated_sender = arena_dup(s->mf.arena, sender);
	if (config_main(s->cfg, MO_acl_smtp_mailauth)->is_set) {
		enum acl_verdict v =
		    session_acl(r, ACL_MAILAUTH, MO_acl_smtp_mailauth, slice_absent(), &out);
		if (v == ACL_DEFER) {
			(void)acl_refuse(r, ACL_MAILAUTH, &out, what);
			return false;
		}
		if (v != ACL_ACCEPT) {
			ignore(r, raw, "rejected by ACL");
			return true;
		}
	} else if (slice_is_absent(by)) {
		ignore(r, raw, "client not authenticated");
		return true;
	}
	const struct heddle_instance *inst =
	    slice_is_absent(by) ? NULL : authenticator_named(s->cfg, by);
	if (inst && !holds(r, inst, AO_server_mail_auth_condition))
		ignore(r, raw, "server_mail_auth_condition failed:");
	return true;
}
