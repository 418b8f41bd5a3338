/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A client's connection goes into TLS.  What the server said in clear, its extensions among it,
 * counts no more then; bytes that came behind its 220 were not protected, and end the connection
 * (RFC 3207, 6; response injection). Whether a message may go in clear is decided in one place,
 * may_go_in_clear.
 */
#include "smtp/client_private.h"

#include <stdio.h>

/* The only way to a message in clear where TLS was wished for. */
static bool may_go_in_clear(const struct client_tls *t)
{
	return t->wish != CLIENT_REQUIRE && !t->on_connect;
}

static enum rc trouble(struct client_session *s, struct client_outcome *why, const char *what)
{
	s->conn->broken = true;
	return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "TLS session: %s", what);
}

static enum rc handshake_trouble(struct client_session *s, struct client_outcome *why, enum io io)
{
	switch (io) {
	case IO_CANCELLED:
		return outcome_io(s, why, io, 0, false, "STARTTLS");
	case IO_TIMEOUT:
		return trouble(s, why, "(handshake): timed out");
	case IO_TLS:
		return trouble(s, why, s->conn->tls_error);
	case IO_CLOSED:
	case IO_MALFORMED:
	case IO_OK:
		break;
	}
	return trouble(s, why, "(handshake): the server closed the connection");
}

/* Asked of the TLS layer already; what it said is looked at once more, because a mistake there
 * would be silent. */
static bool is_good_enough(const struct client_session *s)
{
	return s->t.tls.settings.verify != TLS_VERIFY_REQUIRE || s->conn->facts.verified;
}

static slice_t resume_key(const struct client_session *s)
{
	char buf[NET_ADDR_TEXT];

	if (!s->t.tls.resume)
		return slice_absent();
	return arena_printf(
	    s->arena, "%.*s %.*s", SL_ARG(net_addr_port_text(&s->t.to, buf)), SL_ARG(s->t.key));
}

enum rc session_begin_tls(struct client_session *s, struct client_outcome *why)
{
	const struct client_tls *t = &s->t.tls;
	struct client_conn *c = s->conn;
	struct tls_contexts *cache = s->clients->tls;
	struct tls_context *context = NULL;
	struct error err = {.text = ""};

	enum rc rc = tls_context_get(cache, &t->settings, s->arena, &context, &s->stale, &err);
	if (rc == RC_OK)
		rc = tls_client_new(
		    cache, context, c->fd, t->sni, t->verify_name, resume_key(s), &c->tls, &err);
	tls_context_unref(&context);
	if (rc != RC_OK)
		return trouble(s, why, err.text);
	enum io io = io_handshake(s, s->t.command_ms);
	if (io != IO_OK)
		return handshake_trouble(s, why, io);
	tls_session_facts(c->tls, c->arena, &c->facts);
	if (!is_good_enough(s))
		return trouble(s, why, "(certificate verification failed)");
	if (t->require_alpn && (slice_is_absent(c->facts.alpn) || c->facts.alpn.len == 0))
		return trouble(s, why, "(ALPN): the server has agreed on no protocol");
	return RC_OK;
}

enum rc session_starttls(struct client_session *s, bool *may_clear, struct client_outcome *why)
{
	struct client_conn *c = s->conn;
	const struct client_tls *t = &s->t.tls;

	*may_clear = false;
	if (!(c->offers.ext & EXT_STARTTLS)) {
		if (may_go_in_clear(t))
			return RC_OK;
		c->broken = true;
		return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST,
		    "a TLS session is required, but the server did not offer TLS support");
	}
	enum io io = session_command(s, "STARTTLS", s->t.command_ms);
	if (io != IO_OK)
		return outcome_io(s, why, io, HEDDLE_X_HOST, false, "STARTTLS");
	if (s->reply.code / 100 != 2) {
		bool later = s->reply.code < 500;
		(void)outcome_reply(s, why, HEDDLE_X_HOST, false, "STARTTLS");
		why->result = RC_DEFER; /* its refusal is no verdict on the message */
		if (may_go_in_clear(t) && (!later || t->try_clear) && !c->broken)
			return RC_OK;
		c->broken = true;
		return may_go_in_clear(t)
		           ? RC_DEFER
		           : outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST,
		                 "a TLS session is required, but an attempt to start TLS failed");
	}
	if (c->in_at != c->in_len)
		return trouble(
		    s, why, "(STARTTLS): the server sent more than its reply before TLS began");
	enum rc rc = session_begin_tls(s, why);
	*may_clear = rc != RC_OK && may_go_in_clear(t) && t->try_clear;
	return rc;
}
