/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One message over a session.  Where the server pipelines, MAIL, all RCPTs and DATA leave together.  A connection that was
 * kept and turns out to be dead before the server has answered anything is replaced once: nothing was sent then that could
 * come twice.
 */
#include "smtp/client_private.h"

#include <stdio.h>

#define BLOCK 65536U

struct transaction {
	struct client_session *s;
	const struct client_message *m;
	struct client_recipient *r;
	size_t n, good;
	struct client_outcome *why;
	bool pipelined;
	const char *mail;          /* the command, for texts */
};

static bool has_controls(slice_t a)
{
	for (uint32_t i = 0; i < a.len; i++)
		if ((unsigned char)a.ptr[i] < ' ' || a.ptr[i] == 127)
			return true;
	return false;
}

static const char *mail_command(const struct transaction *t)
{
	uint32_t ext = t->s->conn->ext;
	struct strbuf sb;

	strbuf_init(&sb, t->s->arena, 0);
	strbuf_printf(&sb, "MAIL FROM:<%.*s>", SL_ARG(t->m->sender));
	if ((ext & EXT_SIZE) && t->m->size)
		strbuf_printf(&sb, " SIZE=%llu", (unsigned long long)t->m->size);
	if ((ext & EXT_8BITMIME) && t->m->body_8bit)
		strbuf_text(&sb, " BODY=8BITMIME");
	if ((ext & EXT_SMTPUTF8) && t->m->smtputf8)
		strbuf_text(&sb, " SMTPUTF8");
	return strbuf_cstr(&sb);
}

static const char *rcpt_command(const struct transaction *t, const struct client_recipient *r)
{
	return arena_cstr(t->s->arena, arena_printf(t->s->arena, "RCPT TO:<%.*s>", SL_ARG(r->address)));
}

static void queue_command(struct client_session *s, const char *text)
{
	strbuf_text(&s->out, text);
	strbuf_text(&s->out, "\r\n");
}

static enum io send_queued(struct client_session *s)
{
	slice_t all = strbuf_slice(&s->out);
	enum io io = strbuf_is_overfull(&s->out) ? IO_MALFORMED : io_send(s, all.ptr, all.len, s->t.command_ms);

	strbuf_reset(&s->out);
	return io;
}

/* The reply to a command that has been sent already, or is sent now. */
static enum io answer(const struct transaction *t, const char *command)
{
	return t->pipelined ? reply_read(t->s, t->s->t.command_ms) : session_command(t->s, command, t->s->t.command_ms);
}

/* Everything up to DATA in one go. */
static enum io send_batch(const struct transaction *t)
{
	struct client_session *s = t->s;

	if (s->conn->needs_rset)
		queue_command(s, "RSET");
	if (!t->pipelined)
		return s->conn->needs_rset ? send_queued(s) : IO_OK;
	queue_command(s, t->mail);
	for (size_t i = 0; i < t->n; i++)
		if (!t->r[i].has_outcome)
			queue_command(s, rcpt_command(t, &t->r[i]));
	queue_command(s, "DATA");
	return send_queued(s);
}

/* The server took DATA though it has no recipients: an empty message, whose answer means nothing. */
static void end_empty_data(const struct transaction *t)
{
	struct client_session *s = t->s;

	if (s->reply.code / 100 == 3 && session_command(s, ".", s->t.final_ms) != IO_OK)
		s->conn->broken = true;
}

/* MAIL was refused: what was pipelined behind it has answers too. */
static void drain(const struct transaction *t)
{
	struct client_session *s = t->s;
	size_t left = 1; /* DATA */

	s->conn->needs_rset = true;
	if (!t->pipelined || s->conn->broken)
		return;
	struct client_outcome mine = *t->why;
	for (size_t i = 0; i < t->n; i++)
		left += !t->r[i].has_outcome;
	while (left-- && !s->conn->broken)
		if (reply_read(s, s->t.command_ms) != IO_OK)
			s->conn->broken = true;
	if (!s->conn->broken)
		end_empty_data(t);
	*t->why = mine;
}

static enum rc begin(const struct transaction *t)
{
	struct client_session *s = t->s;
	enum io io = send_batch(t);

	if (io != IO_OK)
		return outcome_io(s, t->why, io, HEDDLE_X_HOST, t->pipelined, t->mail);
	if (s->conn->needs_rset) {
		io = reply_read(s, s->t.command_ms);
		if (io != IO_OK || s->reply.code / 100 != 2) {
			s->conn->broken = true;
			return io != IO_OK ? outcome_io(s, t->why, io, HEDDLE_X_HOST, false, "RSET")
					   : outcome_reply(s, t->why, HEDDLE_X_HOST, false, "RSET");
		}
		s->conn->needs_rset = false;
	}
	io = answer(t, t->mail);
	if (io != IO_OK)
		return outcome_io(s, t->why, io, io == IO_TIMEOUT ? HEDDLE_X_MESSAGE : HEDDLE_X_HOST, t->pipelined, t->mail);
	if (s->reply.code / 100 == 2)
		return RC_OK;
	enum rc rc = outcome_reply(s, t->why, HEDDLE_X_MESSAGE, t->pipelined, t->mail);
	drain(t);
	return rc;
}

static enum rc recipients(struct transaction *t)
{
	struct client_session *s = t->s;

	for (size_t i = 0; i < t->n; i++) {
		struct client_recipient *r = &t->r[i];
		r->good = false;
		if (r->has_outcome)
			continue;
		const char *command = rcpt_command(t, r);
		enum io io = answer(t, command);
		if (io == IO_TIMEOUT) {
			r->has_outcome = true;
			(void)outcome_io(s, &r->outcome, io, HEDDLE_X_RECIPIENT, t->pipelined, command);
			return outcome_io(s, t->why, io, 0, t->pipelined, command);
		}
		if (io != IO_OK)
			return outcome_io(s, t->why, io, HEDDLE_X_HOST, t->pipelined, command);
		if (s->reply.code == 421)
			return outcome_reply(s, t->why, HEDDLE_X_HOST, t->pipelined, command);
		if (s->reply.code / 100 == 2) {
			r->good = true;
			t->good++;
			continue;
		}
		r->has_outcome = true;
		(void)outcome_reply(s, &r->outcome, HEDDLE_X_RECIPIENT, false, command);
	}
	return RC_OK;
}

static enum rc ask_for_data(const struct transaction *t)
{
	struct client_session *s = t->s;
	bool wanted = t->good > 0;

	if (!wanted && !t->pipelined) {
		s->conn->needs_rset = true;
		return RC_OK;
	}
	enum io io = answer(t, "DATA");
	if (!wanted) {
		s->conn->needs_rset = true;
		if (io == IO_OK)
			end_empty_data(t);
		return RC_OK;
	}
	if (io != IO_OK)
		return outcome_io(s, t->why, io, HEDDLE_X_HOST, t->pipelined, "DATA");
	if (s->reply.code / 100 == 3)
		return RC_OK;
	s->conn->needs_rset = true;
	return outcome_reply(s, t->why, HEDDLE_X_MESSAGE, t->pipelined, "DATA");
}

/* The connection broke in the middle of the data.  Perhaps the server has said why. */
static enum rc data_broken(const struct transaction *t, enum io io)
{
	struct client_session *s = t->s;

	s->conn->broken = true;
	if (io == IO_CLOSED && reply_read(s, 1000) == IO_OK && s->reply.code >= 400)
		return outcome_reply(s, t->why, HEDDLE_X_MESSAGE, false, "sending data block");
	return outcome_io(s, t->why, io, HEDDLE_X_HOST, false, "sending data block");
}

/* The final dot leaves in the same write as the last bytes, so that a small message is one segment. */
static enum rc send_body(const struct transaction *t)
{
	struct client_session *s = t->s;
	const struct client_message *m = t->m;
	struct error err = {.text = ""};
	char *buf = arena_bytes(s->arena, BLOCK + 8);
	size_t used = 0, got = 1;
	bool line_end = true; /* of what has been sent and what is in buf */

	if (m->open(m->ctx, &err) != RC_OK)
		goto unreadable;
	while (got) {
		if (m->read(m->ctx, buf + used, BLOCK - used, &got, &err) != RC_OK)
			goto unreadable;
		used += got;
		if (got)
			line_end = buf[used - 1] == '\n';
		if (got && BLOCK - used >= BLOCK / 2)
			continue;
		if (!got) {
			if (!line_end) {
				memcpy(buf + used, "\r\n", 2);
				used += 2;
			}
			memcpy(buf + used, ".\r\n", 3);
			used += 3;
		}
		enum io io = io_send(s, buf, used, s->t.data_ms);
		if (io != IO_OK)
			return data_broken(t, io);
		used = 0;
	}
	return RC_OK;
unreadable:
	s->conn->broken = true; /* only this keeps the server from taking half a message for the whole */
	return outcome_set(s, t->why, RC_DEFER, HEDDLE_X_MESSAGE, "the message could not be read: %s", err.text);
}

static void delivered(const struct transaction *t, struct client_recipient *r)
{
	struct client_session *s = t->s;

	r->has_outcome = true;
	r->outcome = (struct client_outcome){.result = RC_OK, .smtp = s->reply.code,
	    .text = arena_dup(s->arena, slice_tainted(s->reply.text, s->reply.len))};
	memcpy(r->outcome.enhanced, s->reply.enhanced, sizeof r->outcome.enhanced);
}

/* LMTP: an answer for each recipient that was taken. */
static enum rc final_lmtp(const struct transaction *t)
{
	struct client_session *s = t->s;

	for (size_t i = 0; i < t->n; i++) {
		struct client_recipient *r = &t->r[i];
		if (!r->good)
			continue;
		enum io io = reply_read(s, s->t.final_ms);
		if (io != IO_OK)
			return outcome_io(s, t->why, io, HEDDLE_X_MESSAGE, false, "end of data");
		if (s->reply.code / 100 == 2) {
			delivered(t, r);
			continue;
		}
		r->has_outcome = true;
		(void)outcome_reply(s, &r->outcome, HEDDLE_X_RECIPIENT, false, "end of data");
	}
	return RC_OK;
}

static enum rc final(const struct transaction *t)
{
	struct client_session *s = t->s;

	s->conn->messages++;
	if (s->t.lmtp)
		return final_lmtp(t);
	enum io io = reply_read(s, s->t.final_ms);
	if (io != IO_OK)
		return outcome_io(s, t->why, io, HEDDLE_X_MESSAGE, false, "end of data");
	if (s->reply.code / 100 != 2)
		return outcome_reply(s, t->why, HEDDLE_X_MESSAGE, false, "end of data");
	for (size_t i = 0; i < t->n; i++)
		if (t->r[i].good)
			delivered(t, &t->r[i]);
	return RC_OK;
}

static enum rc transact(struct transaction *t)
{
	t->good = 0;
	t->pipelined = (t->s->conn->ext & EXT_PIPELINING) != 0;
	t->mail = mail_command(t);
	t->s->heard = false;
	enum rc rc = begin(t);
	if (rc == RC_OK)
		rc = recipients(t);
	if (rc == RC_OK)
		rc = ask_for_data(t);
	if (rc == RC_OK && t->good) {
		rc = send_body(t);
		if (rc == RC_OK)
			rc = final(t);
	}
	return rc;
}

/* Addresses that must not reach the wire: they would be commands of their own. */
static enum rc check_addresses(const struct transaction *t)
{
	if (has_controls(t->m->sender))
		return outcome_set(t->s, t->why, RC_FAIL, HEDDLE_X_MESSAGE, "the sender's address contains a control character");
	for (size_t i = 0; i < t->n; i++)
		if (!t->r[i].has_outcome && has_controls(t->r[i].address)) {
			t->r[i].has_outcome = true;
			(void)outcome_set(t->s, &t->r[i].outcome, RC_FAIL, HEDDLE_X_RECIPIENT,
			    "the address contains a control character");
		}
	return RC_OK;
}

static bool any_left(const struct transaction *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->r[i].has_outcome)
			return true;
	return false;
}

enum rc client_send(struct client_session *s, const struct client_message *m, struct client_recipient *r, size_t n,
    struct client_outcome *why)
{
	struct transaction t = {.s = s, .m = m, .r = r, .n = n, .why = why};
	enum rc rc = check_addresses(&t);

	if (rc != RC_OK || !any_left(&t))
		return rc;
	if (s->conn->broken || (s->t.max_messages && s->conn->messages >= s->t.max_messages)) {
		rc = session_greet(s, why); /* the last message has used it up */
		if (rc != RC_OK)
			return rc;
	}
	bool old = s->conn->reused || s->conn->messages > 0;
	rc = RC_DEFER;
	if (m->smtputf8 && !(s->conn->ext & EXT_SMTPUTF8))
		return outcome_set(s, why, RC_FAIL, HEDDLE_X_MESSAGE, "response to \"EHLO\" did not include SMTPUTF8");
	rc = transact(&t);
	/* the server may have ended an idle connection at the same moment, silently or with 421 */
	bool stale = s->conn->broken && old && rc == RC_DEFER && (!s->heard || s->reply.code == 421) && t.good == 0 &&
	    !cancel_is_set(s->wait.cancel) && clock_mono_us() < s->wait.deadline_us;
	if (!stale || !any_left(&t))
		return rc;
	cache_count_retry(s);
	rc = session_greet(s, why);
	return rc == RC_OK ? transact(&t) : rc;
}
