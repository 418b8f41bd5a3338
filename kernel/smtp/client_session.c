/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening a session: a kept connection, or a new one that is greeted; closing it. */
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

static struct client_conn *conn_new(slice_t key)
{
	struct client_conn *c = calloc(1, sizeof *c);

	MUST(c != NULL);
	c->key = malloc(key.len + 1u);
	MUST(c->key != NULL);
	if (key.len)
		memcpy(c->key, key.ptr, key.len);
	c->key_len = key.len;
	c->fd = -1;
	return c;
}

static enum rc connect_problem(struct client_session *s, struct client_outcome *why, enum io io)
{
	char buf[128];

	if (io == IO_CANCELLED)
		return outcome_io(s, why, io, 0, false, "connect");
	if (io == IO_TIMEOUT)
		return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "Connection timed out");
	return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "%s", strerror_r(s->error, buf, sizeof buf));
}

/* EHLO; where it is not known, HELO (RFC 5321, 3.2).  LMTP knows LHLO alone. */
static enum rc say_hello(struct client_session *s, struct client_outcome *why)
{
	const struct client_target *t = &s->t;
	char command[512], name[480]; /* RFC 5321, 4.5.3.1.4: 512 with CR LF */
	bool basic = t->avoid_esmtp && !t->lmtp;

	if (!slice_copy(t->helo, name, sizeof name))
		return outcome_set(s, why, RC_DEFER, 0, "helo_data is longer than %zu characters", sizeof name - 1);
	for (;;) {
		const char *verb = t->lmtp ? "LHLO" : basic ? "HELO" : "EHLO";
		(void)snprintf(command, sizeof command, "%s %s", verb, name);
		enum io io = session_command(s, command, t->command_ms);
		if (io != IO_OK)
			return outcome_io(s, why, io, HEDDLE_X_HOST, false, command);
		if (s->reply.code / 100 == 2)
			break;
		if (basic || t->lmtp || s->reply.code < 500)
			return outcome_reply(s, why, HEDDLE_X_HOST, false, command);
		basic = true;
	}
	s->conn->ext = basic ? 0 : reply_extensions(&s->reply);
	if (t->avoid_pipelining)
		s->conn->ext &= ~EXT_PIPELINING;
	return RC_OK;
}

/* A new connection, as far as the answer to EHLO. */
enum rc session_greet(struct client_session *s, struct client_outcome *why)
{
	conn_free(&s->conn, false);
	s->conn = conn_new(s->t.key);
	s->error = 0;
	enum io io = io_connect(s);
	if (io != IO_OK) {
		if (io != IO_CANCELLED)
			cache_note(s, false);
		return connect_problem(s, why, io);
	}
	enum rc rc;
	io = reply_read(s, s->t.command_ms);
	if (io != IO_OK)
		rc = outcome_io(s, why, io, HEDDLE_X_HOST, false, "initial connection");
	else if (s->reply.code / 100 != 2)
		rc = outcome_reply(s, why, HEDDLE_X_HOST, false, "initial connection");
	else
		rc = say_hello(s, why);
	if (rc != RC_OK)
		s->conn->broken = true;
	if (io != IO_CANCELLED)
		cache_note(s, rc != RC_DEFER);
	s->heard = false;
	return rc;
}

enum rc client_open(struct smtp_clients *c, const struct client_target *t, const struct client_wait *w, struct arena *a,
    struct client_session **out, struct client_outcome *why)
{
	struct client_session *s = ARENA_NEW(a, struct client_session);

	s->clients = c;
	s->t = *t;
	s->wait = *w;
	s->arena = a;
	strbuf_init(&s->out, a, COMMANDS_MAX);
	enum rc rc = cache_enter(s, why);
	if (rc == RC_OK && !s->conn)
		rc = session_greet(s, why);
	if (rc != RC_OK) {
		if (s->conn)
			s->conn->broken = true;
		cache_leave(s);
		return rc;
	}
	*out = s;
	return RC_OK;
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
