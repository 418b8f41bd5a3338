/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening a session: a kept connection, or a new one that is greeted, put into TLS and
 * authenticated; closing it. */
#include "smtp/client_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMANDS_MAX ((size_t)1 << 20)

enum io session_command(struct client_session *s, const char *command, int64_t ms)
{
	strbuf_text(&s->out, command);
	strbuf_text(&s->out, "\r\n");
	slice_t all = strbuf_slice(&s->out);
	enum io io = io_send(s, all.ptr, all.len, ms);
	strbuf_reset(&s->out);
	return io == IO_OK ? reply_read(s, ms) : io;
}

struct client_conn *conn_new(slice_t key)
{
	struct client_conn *c = calloc(1, sizeof *c);

	MUST(c != NULL);
	c->key = malloc(key.len + 1u);
	MUST(c->key != NULL);
	if (key.len)
		memcpy(c->key, key.ptr, key.len);
	c->key_len = key.len;
	c->fd = -1;
	c->arena = arena_new(512);
	c->authenticator = c->authenticated_id = c->fell_back = slice_absent();
	return c;
}

enum rc session_no_connection(struct client_session *s, struct client_outcome *why, enum io io)
{
	char buf[128];

	if (io == IO_CANCELLED)
		return outcome_io(s, why, io, 0, false, "connect");
	if (io == IO_TIMEOUT)
		return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "Connection timed out");
	return outcome_set(
	    s, why, RC_DEFER, HEDDLE_X_HOST, "%s", strerror_r(s->error, buf, sizeof buf));
}

/* ---- hello
 * ---------------------------------------------------------------------------------------------- */

static const char *hello_verb(const struct client_session *s, bool basic)
{
	return s->t.lmtp ? "LHLO" : basic ? "HELO" : "EHLO";
}

/* RFC 5321, 4.5.3.1.4: 512 with CR LF. */
static enum rc hello_command(
    struct client_session *s, bool basic, char *command, size_t size, struct client_outcome *why)
{
	char name[480];

	if (!slice_copy(s->t.helo, name, sizeof name))
		return outcome_set(s, why, RC_DEFER, 0, "helo_data is longer than %zu characters",
		    sizeof name - 1);
	(void)snprintf(command, size, "%s %s", hello_verb(s, basic), name);
	return RC_OK;
}

static void take_offers(struct client_session *s, bool basic)
{
	struct offers *o = &s->conn->offers;

	*o = (struct offers){.mechanisms = slice_absent()};
	if (!basic)
		reply_offers(&s->reply, s->conn->arena, o);
	if (s->t.avoid_pipelining)
		o->ext &= ~EXT_PIPELINING;
	if (s->t.pipe_connect)
		cache_note_pipe_connect(s, (o->ext & EXT_PIPECONNECT) != 0);
}

/* EHLO; where it is not known, HELO (RFC 5321, 3.2).  LMTP knows LHLO alone.  early: it has been
 * sent before the greeting. */
static enum rc say_hello(struct client_session *s, bool early, struct client_outcome *why)
{
	const struct client_target *t = &s->t;
	bool basic = t->avoid_esmtp && !t->lmtp;
	char command[512];

	for (;;) {
		if (hello_command(s, basic, command, sizeof command, why) != RC_OK)
			return RC_DEFER;
		enum io io = early ? reply_read(s, t->command_ms)
		                   : session_command(s, command, t->command_ms);
		early = false;
		if (io != IO_OK)
			return outcome_io(s, why, io, HEDDLE_X_HOST, false, command);
		if (s->reply.code / 100 == 2)
			break;
		if (basic || t->lmtp || s->reply.code < 500)
			return outcome_reply(s, why, HEDDLE_X_HOST, false, command);
		basic = true;
	}
	take_offers(s, basic);
	s->conn->greeted = true;
	return RC_OK;
}

/* ---- a new connection
 * ----------------------------------------------------------------------------------- */

enum rc session_greeting_begin(struct client_session *s, struct client_outcome *why)
{
	char command[512];

	s->early = s->t.pipe_connect && !s->t.avoid_esmtp && !s->t.lmtp && cache_pipe_connect(s);
	if (!s->early)
		return RC_OK;
	if (hello_command(s, false, command, sizeof command, why) != RC_OK)
		return RC_DEFER;
	strbuf_printf(&s->out, "%s\r\n", command);
	slice_t all = strbuf_slice(&s->out);
	enum io sent = io_send(s, all.ptr, all.len, s->t.command_ms);
	strbuf_reset(&s->out);
	return sent == IO_OK ? RC_OK : outcome_io(s, why, sent, HEDDLE_X_HOST, true, command);
}

enum rc session_greeting_end(struct client_session *s, enum io io, struct client_outcome *why)
{
	if (io == IO_OK && s->reply.code / 100 == 2)
		return RC_OK;
	if (s->early) /* this may be why: not again */
		cache_note_pipe_connect(s, false);
	if (io != IO_OK)
		return outcome_io(s, why, io, HEDDLE_X_HOST, false, "initial connection");
	return outcome_reply(s, why, HEDDLE_X_HOST, false, "initial connection");
}

static enum rc banner(struct client_session *s, struct client_outcome *why)
{
	if (s->greeted)
		return RC_OK;
	enum rc rc = session_greeting_begin(s, why);
	return rc == RC_OK ? session_greeting_end(s, reply_read(s, s->t.command_ms), why) : rc;
}

/* As far as everything is in place for MAIL.  *may_clear: it failed in TLS, and another connection
 * may do without. */
static enum rc establish(
    struct client_session *s, bool clear, bool *may_clear, struct client_outcome *why)
{
	const struct client_tls *tls = &s->t.tls;
	enum rc rc = tls->on_connect ? session_begin_tls(s, why) : RC_OK;

	if (rc == RC_OK)
		rc = banner(s, why);
	if (rc == RC_OK)
		rc = say_hello(s, s->early, why);
	if (rc != RC_OK || tls->on_connect || tls->wish == CLIENT_NEVER || clear)
		goto authenticate;
	rc = session_starttls(s, may_clear, why);
	if (rc == RC_OK && s->conn->tls)
		rc = say_hello(s, false, why); /* what it offered in clear is forgotten */
	else if (rc == RC_OK && (s->conn->offers.ext & EXT_STARTTLS))
		s->conn->fell_back = arena_dup(s->conn->arena, why->text);
authenticate:
	return rc == RC_OK && s->t.auth != CLIENT_NEVER ? session_authenticate(s, why) : rc;
}

static enum rc connect_anew(struct client_session *s, struct client_outcome *why)
{
	conn_free(&s->conn, false);
	s->conn = conn_new(s->t.key);
	s->error = 0;
	enum io io = io_connect(s);
	if (io == IO_OK)
		return RC_OK;
	if (io != IO_CANCELLED)
		cache_note(s, false);
	return session_no_connection(s, why, io);
}

/* One attempt; told: the host has answered. */
static enum rc greet_once(
    struct client_session *s, bool clear, bool *may_clear, struct client_outcome *why)
{
	enum rc rc = s->connected ? RC_OK : connect_anew(s, why);

	if (rc != RC_OK)
		return rc;
	rc = establish(s, clear, may_clear, why);
	s->connected = s->greeted = false;
	if (rc != RC_OK)
		s->conn->broken = true;
	/* what its TLS is like, and whether it knows us, says nothing about the host being there */
	bool answered = rc != RC_DEFER || s->conn->greeted;
	if (!cancel_is_set(s->wait.cancel))
		cache_note(s, answered);
	return rc;
}

enum rc session_greet(struct client_session *s, struct client_outcome *why)
{
	bool may_clear = false;
	enum rc rc = greet_once(s, false, &may_clear, why);

	if (rc != RC_OK && may_clear && !cancel_is_set(s->wait.cancel)) {
		slice_t because = why->text;
		rc = greet_once(s, true, &may_clear, why);
		if (rc == RC_OK)
			s->conn->fell_back = arena_dup(s->conn->arena, because);
	}
	s->heard = false;
	return rc;
}

struct client_session *session_new(struct smtp_clients *c, const struct client_target *t,
    const struct client_wait *w, struct arena *a)
{
	struct client_session *s = ARENA_NEW(a, struct client_session);

	s->clients = c;
	s->t = *t;
	s->wait = *w;
	s->arena = a;
	strbuf_init(&s->out, a, COMMANDS_MAX);
	return s;
}

void session_give_up(struct client_session *s)
{
	if (s->conn)
		s->conn->broken = true;
	cache_leave(s);
}

enum rc client_open(struct smtp_clients *c, const struct client_target *t,
    const struct client_wait *w, struct arena *a, struct client_session **out,
    struct client_outcome *why)
{
	struct client_session *s = session_new(c, t, w, a);
	enum rc rc = cache_enter(s, why);
	if (rc == RC_OK && !s->conn)
		rc = session_greet(s, why);
	if (rc == RC_OK)
		*out = s;
	else
		session_give_up(s);
	return rc;
}

enum rc client_open_prepared(
    struct client_session *s, const struct client_wait *w, struct client_outcome *why)
{
	s->wait = *w;
	enum rc rc = s->connected ? session_greet(s, why) : RC_OK;
	if (rc != RC_OK)
		session_give_up(s);
	return rc;
}

void client_close(struct client_session **s)
{
	if (*s)
		cache_leave(*s);
	*s = NULL;
}

bool client_local_addr(const struct client_session *s, struct net_addr *out)
{
	return s->conn && s->conn->fd >= 0 && net_local_addr(s->conn->fd, out);
}

/* Copies: the connection may end, or be somebody else's, before the session's owner has written its
 * log. */
static void copy_tls(struct arena *a, const struct tls_facts *in, struct tls_facts *out)
{
	*out = *in;
	out->cipher = arena_dup(a, in->cipher);
	out->cipher_std = arena_dup(a, in->cipher_std);
	out->ver = arena_dup(a, in->ver);
	out->sni = arena_dup(a, in->sni);
	out->peerdn = arena_dup(a, in->peerdn);
	out->peercert = arena_dup(a, in->peercert);
	out->ourcert = arena_dup(a, in->ourcert);
	out->alpn = arena_dup(a, in->alpn);
	out->verify_error = arena_dup(a, in->verify_error);
}

void client_session_facts(const struct client_session *s, struct client_facts *out)
{
	const struct client_conn *c = s->conn;

	*out = (struct client_facts){.stale = s->stale,
	    .used = s->used,
	    .authenticator = slice_absent(),
	    .authenticated_id = slice_absent(),
	    .fell_back = slice_absent()};
	if (!c)
		return;
	out->is_tls = c->tls != NULL;
	out->reused = c->reused;
	if (c->tls)
		copy_tls(s->arena, &c->facts, &out->tls);
	out->verified = out->tls.verified;
	out->authenticator = arena_dup(s->arena, c->authenticator);
	out->authenticated_id = arena_dup(s->arena, c->authenticated_id);
	out->fell_back = arena_dup(s->arena, c->fell_back);
}
