/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AUTH (RFC 4954): the exchange between a client and an authenticator driver. */
#include "base/codec.h"
#include "smtp/server_private.h"

enum auth_result { AUTH_FAILED, AUTH_CANCELLED, AUTH_BAD64, AUTH_DEFERRED };
static const struct {
	int code;
	const char *text;
} results[] = {
    [AUTH_FAILED] = {535, "Incorrect authentication data"},
    [AUTH_CANCELLED] = {501, "Authentication cancelled"},
    [AUTH_BAD64] = {501, "Invalid base64 data"},
    [AUTH_DEFERRED] = {435, "Unable to authenticate at present"},
};

static const struct heddle_auth_ops *ops_of(const struct heddle_instance *inst)
{
	return inst->driver->ops;
}

void auth_drop(struct run *r)
{
	struct session *s = r->s;
	if (s->auth && s->auth_started && s->conv && ops_of(s->auth)->end)
		ops_of(s->auth)->end(s->auth->inst, s->conv);
	s->auth = NULL;
	s->conv = NULL;
	s->auth_started = false;
}

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

static void failed(struct run *r, enum auth_result what, slice_t why)
{
	struct session *s = r->s;
	slice_t id = set_id(r);
	bool known = what == AUTH_FAILED && !slice_is_absent(id) && id.len;
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
	    "%.*s authenticator failed for %.*s: %d %s%s%.*s%s%.*s%s", SL_ARG(s->auth->name),
	    SL_ARG(host_for_text(r)), results[what].code, results[what].text, why.len ? ": " : "",
	    SL_ARG(why), known ? " (set_id=" : "", SL_ARG(known ? id : SL("")), known ? ")" : "");
	if (known)
		s->facts.authenticated_fail_id = arena_dup(s->arena, id);
	s->facts.authentication_failed = 1;
	reply(r, results[what].code, slice_cstr(results[what].text));
	s->facts.auth[0] = s->facts.auth[1] = s->facts.auth[2] = slice_absent();
	auth_drop(r);
	s->state = s->state == ST_CLOSING ? ST_CLOSING : ST_COMMAND;
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
	if (rc == RC_FAIL) {
		failed(r, AUTH_FAILED, SL(""));
		return false;
	}
	if (rc) {
		failed(r, AUTH_DEFERRED, slice_cstr(err.text));
		return false;
	}
	text = slice_trim(text);
	if (!text.len || slice_eqs(text, "0") || slice_eqis(text, "no") ||
	    slice_eqis(text, "false")) {
		failed(r, AUTH_FAILED, SL(""));
		return false;
	}
	if (slice_eqs(text, "1") || slice_eqis(text, "yes") || slice_eqis(text, "true"))
		return true;
	failed(r, AUTH_DEFERRED, text);
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

/* What an operation of the driver came to. */
static void turned(
    struct run *r, struct heddle_call *c, int32_t result, const struct heddle_auth_turn *turn)
{
	struct session *s = r->s;
	struct error err = {0};
	enum rc rc = call_result(c, result, "server side of AUTH", &err);
	if (rc == RC_FAIL) {
		failed(r, AUTH_FAILED, SL(""));
	} else if (rc) {
		if (rc == RC_ERROR)
			log_line(r, LOG_TO_PANIC, "%.*s authenticator: %s", SL_ARG(s->auth->name),
			    err.text);
		failed(r, AUTH_DEFERRED, slice_cstr(err.text));
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

/* Text of the client's to bytes.  false: refused, and answered. */
static bool decode(struct run *r, slice_t text, slice_t *out)
{
	if (slice_eqs(text, "=")) {
		*out = SL("");
	} else if (!base64_decode(r->scratch, text, out)) {
		failed(r, AUTH_BAD64, SL(""));
		return false;
	}
	out->flags = HEDDLE_SECRET;
	return true;
}

enum step serve_auth_line(struct run *r, slice_t line)
{
	slice_t data;
	line = slice_trim(line);
	if (slice_eqs(line, "*"))
		failed(r, AUTH_CANCELLED, SL(""));
	else if (decode(r, line, &data))
		step_driver(r, data);
	return STEP_AGAIN;
}

static bool permitted(struct run *r)
{
	struct session *s = r->s;
	const char *no = !s->auth_advertised ? "AUTH command used when not advertised"
	                 : !slice_is_absent(s->facts.sender_host_authenticated)
	                     ? "already authenticated"
	                 : s->m ? "not permitted in mail transaction"
	                        : NULL;
	if (no)
		synprot_error(r, true, 503, slice_cstr(no));
	return !no;
}

static const struct heddle_instance *mechanism(struct run *r, slice_t name)
{
	const struct heddle_instance *inst;
	for (uint32_t i = 0; (inst = config_auth(r->s->cfg, i)) != NULL; i++)
		if (slice_eqi(inst->generic[AO_public_name].text, name) && auth_offered(r, inst))
			return inst;
	return NULL;
}

void serve_auth(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	if (!permitted(r))
		return;
	size_t sp = slice_find(r->arg, ' ');
	slice_t name = sp == SIZE_MAX ? r->arg : slice_sub(r->arg, 0, sp), data = slice_absent();
	slice_t rest =
	    sp == SIZE_MAX ? slice_absent() : slice_trim(slice_sub(r->arg, sp + 1, r->arg.len));
	if (config_main(s->cfg, MO_acl_smtp_auth)->is_set &&
	    session_acl(r, ACL_AUTH, MO_acl_smtp_auth, slice_absent(), &out) != ACL_ACCEPT) {
		if (acl_refuse(r, ACL_AUTH, &out, name))
			session_close(r, "acl-drop");
		return;
	}
	const struct heddle_instance *inst = mechanism(r, name);
	if (!inst) {
		synprot_error(r, true, 504,
		    arena_printf(
		        r->scratch, "%.*s authentication mechanism not supported", SL_ARG(name)));
		return;
	}
	s->auth = inst;
	s->conv = NULL;
	s->auth_started = false;
	s->facts.auth[0] = s->facts.auth[1] = s->facts.auth[2] = slice_absent();
	if (!slice_is_absent(rest) && rest.len && !decode(r, rest, &data))
		return;
	step_driver(r, data);
}
