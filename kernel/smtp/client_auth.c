/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A client says who it is (RFC 4954; specification, 33.5).  Authenticators that are set up as
 * clients are tried in the order of the configuration, each against the mechanisms that the server
 * offers.  A refusal for good leads to the next one, a temporary one leaves the host for later.
 * Where none succeeds, a host that insists is left, others get the mail all the same. Secrets:
 * whatever they pass through is in an arena of the exchange's own, which is wiped; texts and logs
 * show asterisks.
 */
#include "base/codec.h"
#include "driver/call.h"
#include "log/log.h"
#include "smtp/client_private.h"

#define TURNS_MAX 100 /* then the server is playing with us */
#define HIDDEN    "********"

enum tried { TRIED_OK, TRIED_NEXT, TRIED_STOP };

struct exchange {
	struct client_session *s;
	const struct heddle_instance *inst;
	const struct heddle_auth_ops *ops;
	struct client_outcome *why;
	struct arena *arena; /* wiped */
	struct eval ev;      /* with facts of its own: $auth1 and so on end with the exchange */
	struct session_facts session;
	struct host_facts host;
	struct heddle_call call;
	struct heddle_auth_turn turn;
	void *conv;
	const char *sent; /* the last command, as texts show it */
};

/* ---- what there is to choose from
 * ----------------------------------------------------------------------- */

static bool is_offered(const struct client_session *s, const struct heddle_instance *inst)
{
	slice_t rest = s->conn->offers.mechanisms, word;

	while (slice_next(&rest, ' ', &word))
		if (word.len && slice_eqi(word, inst->generic[AO_public_name].text))
			return true;
	return false;
}

static bool is_no(slice_t text)
{
	text = slice_trim(text);
	return !text.len || slice_eqs(text, "0") || slice_eqis(text, "no") ||
	       slice_eqis(text, "false");
}

static bool wants(struct exchange *x)
{
	const struct option_value *v = &x->inst->generic[AO_client_condition];
	struct error err = {.text = ""};
	slice_t text;

	if (!v->expr)
		return true;
	enum rc rc = expr_eval(&x->ev, v->expr, &text, &err);
	if (rc == RC_ERROR || rc == RC_DEFER)
		log_panic(x->s->t.log, x->s->t.id,
		    "failed to expand condition \"%.*s\" for %.*s client authenticator: %s",
		    SL_ARG(v->text), SL_ARG(x->inst->name), err.text);
	return rc == RC_OK && !is_no(text);
}

static void begin_exchange(struct exchange *x, struct client_session *s,
    const struct heddle_instance *inst, struct client_outcome *why)
{
	*x = (struct exchange){.s = s,
	    .inst = inst,
	    .ops = inst->driver->ops,
	    .why = why,
	    .arena = arena_new(4096),
	    .ev = *s->t.ev};
	arena_wipes(x->arena);
	x->ev.arena = x->arena;
	if (s->t.ev->session)
		x->session = *s->t.ev->session;
	x->session.arena = x->arena;
	x->session.auth[0] = x->session.auth[1] = x->session.auth[2] = slice_absent();
	x->ev.session = &x->session;
	if (s->t.ev->host) {
		x->host = *s->t.ev->host;
		facts_tls_out(&x->host, s->conn->tls ? &s->conn->facts : NULL);
		x->ev.host = &x->host;
	}
	call_init(&x->call, &x->ev, inst);
}

static void end_exchange(struct exchange *x)
{
	if (x->conv && x->ops->end)
		x->ops->end(x->inst->inst, x->conv);
	arena_free(&x->arena);
}

/* ---- one exchange
 * --------------------------------------------------------------------------------------- */

static void log_about(const struct exchange *x, const char *what, slice_t text)
{
	const struct client_target *t = &x->s->t;
	char buf[NET_ADDR_TEXT];

	log_main(t->log, t->id, "%.*s authenticator %s H=%.*s [%.*s] %.*s", SL_ARG(x->inst->name),
	    what, SL_ARG(t->name), SL_ARG(net_addr_text(&t->to, buf)), SL_ARG(text));
}

/* The line that the driver's data make, after `verb` (NULL: in answer to a challenge), and what the
 * server says to it. */
static enum io say(struct exchange *x, const char *verb)
{
	struct client_session *s = x->s;
	slice_t data = x->turn.data;
	struct strbuf line;

	strbuf_init(&line, x->arena, 0);
	if (verb)
		strbuf_printf(
		    &line, "%s %.*s", verb, SL_ARG(x->inst->generic[AO_public_name].text));
	x->sent = !verb ? HIDDEN
	                : arena_cstr(s->arena,
	                      arena_printf(s->arena, "%.*s%s", SL_ARG(strbuf_slice(&line)),
	                          slice_is_absent(data) ? "" : " " HIDDEN));
	if (verb && !slice_is_absent(data))
		strbuf_text(&line, data.len ? " " : " ="); /* an empty one: RFC 4954, 4 */
	if (data.len)
		strbuf_add(&line, base64_encode(x->arena, data));
	strbuf_text(&line, "\r\n");
	slice_t all = strbuf_slice(&line);
	enum io io = io_send(s, all.ptr, all.len, s->t.command_ms);
	return io == IO_OK ? reply_read(s, s->t.command_ms) : io;
}

/* "*": what the server says to it is of no interest, as long as it is a refusal. */
static enum tried cancel(struct exchange *x, slice_t reason)
{
	struct client_session *s = x->s;
	enum io io = session_command(s, "*", s->t.command_ms);

	if (reason.len)
		log_about(x, "cancelled authentication", reason);
	if (io == IO_OK && s->reply.code >= 500)
		return TRIED_NEXT;
	s->conn->broken = true;
	if (io != IO_OK)
		(void)outcome_io(s, x->why, io, HEDDLE_X_HOST, false, "*");
	else
		(void)outcome_reply(s, x->why, HEDDLE_X_HOST, false, "*");
	return TRIED_STOP;
}

/* What an operation came to that is not OK; in_exchange: the server waits for us. */
static enum tried not_ok(struct exchange *x, int32_t result, bool in_exchange)
{
	struct error err = {.text = ""};
	enum rc rc = call_result(&x->call, result, "client side of AUTH", &err);

	if (in_exchange) {
		enum tried tried = cancel(x, SL(""));
		if (tried == TRIED_STOP)
			return tried;
	}
	if (rc == RC_FAIL)
		return TRIED_NEXT;
	(void)outcome_set(
	    x->s, x->why, RC_DEFER, 0, "%.*s authenticator: %s", SL_ARG(x->inst->name), err.text);
	return TRIED_STOP;
}

/* The first line of a 334, decoded. */
static void take_challenge(struct exchange *x)
{
	const struct reply *r = &x->s->reply;
	slice_t text = slice_tainted(r->text, r->len), line = text;

	(void)slice_next(&text, '\n', &line);
	line = slice_trim(slice_sub(line, line.len < 4 ? line.len : 4, line.len));
	x->turn.state = 0;
	if (base64_decode(x->arena, line, &x->turn.data))
		return;
	x->turn.state = HEDDLE_AUTH_GARBLED;
	x->turn.data = slice_absent();
}

static enum tried challenged(struct exchange *x, unsigned turns)
{
	bool asks_too_much = x->turn.state != HEDDLE_AUTH_MORE || turns > TURNS_MAX;

	if (asks_too_much)
		return cancel(x, SL("the server asks for more than there is to say"));
	take_challenge(x);
	x->call.reason_given = false;
	int32_t result = x->ops->client_step(&x->call, x->inst->inst, x->conv, &x->turn);
	if (result != HEDDLE_OK)
		return not_ok(x, result, true);
	if (x->turn.state == HEDDLE_AUTH_CANCEL) {
		slice_t why = x->call.reason_given ? x->call.reason_logged : SL("no reason given");
		return cancel(x, why.flags & HEDDLE_SECRET ? SL("(secret)") : why);
	}
	return TRIED_OK;
}

static void succeeded(struct exchange *x)
{
	struct client_conn *c = x->s->conn;
	const struct expr *e = x->inst->generic[AO_client_set_id].expr;
	slice_t id;

	c->authenticator = arena_dup(c->arena, x->inst->name);
	c->authenticated_id = slice_absent();
	if (e && expr_eval(&x->ev, e, &id, NULL) == RC_OK && !(id.flags & HEDDLE_SECRET))
		c->authenticated_id = arena_dup(c->arena, id);
}

static enum tried converse(struct exchange *x)
{
	struct client_session *s = x->s;
	enum io io = say(x, "AUTH");

	for (unsigned turns = 1;; turns++) {
		if (io != IO_OK) {
			(void)outcome_io(s, x->why, io, HEDDLE_X_HOST, false, x->sent);
			return TRIED_STOP;
		}
		int kind = s->reply.code / 100;
		if (kind == 2) {
			succeeded(x);
			return TRIED_OK;
		}
		if (kind == 5) {
			log_about(x, "failed", slice_tainted(s->reply.text, s->reply.len));
			return TRIED_NEXT;
		}
		if (kind != 3) {
			(void)outcome_reply(s, x->why, HEDDLE_X_HOST, false, x->sent);
			return TRIED_STOP;
		}
		enum tried tried = challenged(x, turns);
		if (tried != TRIED_OK)
			return tried;
		io = say(x, NULL);
	}
}

/* *attempted: AUTH was sent. */
static enum tried attempt(struct client_session *s, const struct heddle_instance *inst,
    bool *attempted, struct client_outcome *why)
{
	struct exchange x;
	enum tried tried = TRIED_NEXT;

	begin_exchange(&x, s, inst, why);
	if (!wants(&x))
		goto out;
	x.turn = (struct heddle_auth_turn){.struct_size = sizeof x.turn, .data = slice_absent()};
	int32_t result = x.ops->client_begin(&x.call, inst->inst, &x.turn, &x.conv);
	if (result != HEDDLE_OK) {
		tried = not_ok(&x, result, false);
	} else {
		*attempted = true;
		tried = converse(&x);
	}
out:
	end_exchange(&x);
	return tried;
}

enum rc session_authenticate(struct client_session *s, struct client_outcome *why)
{
	const struct heddle_instance *inst;
	bool offers = (s->conn->offers.ext & EXT_AUTH) != 0, attempted = false;

	for (uint32_t i = 0; offers && s->t.ev && (inst = config_auth(s->t.ev->cfg, i)) != NULL;
	     i++) {
		const struct heddle_auth_ops *ops = inst->driver ? inst->driver->ops : NULL;
		if (!ops || !ops->client_begin || !config_auth_is_client(inst) ||
		    !is_offered(s, inst))
			continue;
		enum tried tried = attempt(s, inst, &attempted, why);
		if (tried != TRIED_NEXT)
			return tried == TRIED_OK ? RC_OK : RC_DEFER;
	}
	if (s->t.auth != CLIENT_REQUIRE)
		return RC_OK;
	return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "authentication required but %s",
	    !offers     ? "server did not advertise AUTH support"
	    : attempted ? "authentication attempt(s) failed"
	                : "no common mechanisms were found");
}
