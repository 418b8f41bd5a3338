/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One message over a session, in as many transactions as the server's limits make of it.  Where the
 * server pipelines, MAIL, all RCPTs and DATA leave together; with CHUNKING a message of one block
 * leaves with them.  A connection that was kept and turns out to be dead before the server has
 * answered anything is replaced once.
 */
#include "smtp/client_private.h"

#include <idn2.h>
#include <stdio.h>

static bool has_controls(slice_t a)
{
	for (uint32_t i = 0; i < a.len; i++)
		if ((unsigned char)a.ptr[i] < ' ' || a.ptr[i] == 127)
			return true;
	return false;
}

static bool is_ascii(slice_t a)
{
	for (uint32_t i = 0; i < a.len; i++)
		if ((unsigned char)a.ptr[i] > 126)
			return false;
	return true;
}

/* ---- addresses on the wire: RFC 6531
 * -------------------------------------------------------------------- */

/* With its domain in ASCII form; false: it has none. */
static bool downconvert(struct arena *a, slice_t address, slice_t *out)
{
	size_t at = slice_rfind(address, '@');
	char *ascii = NULL;

	if (at == SIZE_MAX || !is_ascii(slice_sub(address, 0, at)))
		return false;
	const char *domain = arena_cstr(a, slice_sub(address, at + 1, address.len));
	if (idn2_to_ascii_8z(domain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	*out = arena_printf(a, "%.*s@%s", SL_ARG(slice_sub(address, 0, at)), ascii);
	idn2_free(ascii);
	return true;
}

/* false: it cannot be said to this server. */
static bool wire_form(struct transaction *t, slice_t address, slice_t *out)
{
	bool offered = (t->s->conn->offers.ext & EXT_SMTPUTF8) != 0;
	int how = t->m->utf8_downconvert;

	*out = address;
	if (is_ascii(address))
		return true;
	if ((how > 0 || (how < 0 && !offered)) && downconvert(t->s->arena, address, out))
		return true;
	t->utf8 = t->utf8 || offered;
	return offered;
}

static enum rc no_utf8(
    struct client_session *s, struct client_outcome *o, uint32_t about, const char *code)
{
	enum rc rc =
	    outcome_set(s, o, RC_FAIL, about, "response to \"EHLO\" did not include SMTPUTF8");

	(void)snprintf(o->enhanced, sizeof o->enhanced, "%s", code);
	return rc;
}

/* What cannot be said without SMTPUTF8 fails here; t->sender and each recipient's wire are as they
 * are sent. */
static enum rc check_utf8(struct transaction *t)
{
	struct client_session *s = t->s;
	bool offered = (s->conn->offers.ext & EXT_SMTPUTF8) != 0;

	t->utf8 = offered && t->m->smtputf8;
	if (t->m->utf8_header && t->m->smtputf8 && !offered)
		return no_utf8(s, t->why, HEDDLE_X_MESSAGE, "5.6.9");
	if (!wire_form(t, t->m->sender, &t->sender))
		return no_utf8(s, t->why, HEDDLE_X_MESSAGE, "5.6.7");
	for (size_t i = 0; i < t->n; i++) {
		struct client_recipient *r = &t->r[i];
		if (r->has_outcome || wire_form(t, r->address, &r->wire))
			continue;
		r->has_outcome = true;
		(void)no_utf8(s, &r->outcome, HEDDLE_X_RECIPIENT, "5.6.7");
	}
	return RC_OK;
}

/* ---- commands
 * ------------------------------------------------------------------------------------------- */

/* RFC 3461, 4: printable ASCII but "+" and "=" is itself. */
static void put_xtext(struct strbuf *sb, slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++) {
		unsigned char ch = (unsigned char)s.ptr[i];
		if (ch > ' ' && ch < 127 && ch != '+' && ch != '=')
			strbuf_char(sb, (char)ch);
		else
			strbuf_printf(sb, "+%02X", ch);
	}
}

/* As it came from a client: nothing that would end the parameter. */
static bool is_parameter(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] <= ' ' || (unsigned char)s.ptr[i] > 126)
			return false;
	return s.len > 0 && !slice_is_absent(s);
}

static void put_auth(const struct transaction *t, struct strbuf *sb)
{
	slice_t who = t->m->authenticated_sender;
	bool known =
	    !slice_is_absent(t->s->conn->authenticator) && (t->s->conn->offers.ext & EXT_AUTH);

	if (slice_is_absent(who) || !(known || t->m->force_auth))
		return;
	strbuf_text(sb, " AUTH=");
	if (who.len)
		put_xtext(sb, who);
	else
		strbuf_text(sb, "<>");
}

static const char *mail_command(const struct transaction *t)
{
	uint32_t ext = t->s->conn->offers.ext;
	const struct client_message *m = t->m;
	struct strbuf sb;

	strbuf_init(&sb, t->s->arena, 0);
	strbuf_printf(&sb, "MAIL FROM:<%.*s>", SL_ARG(t->sender));
	if ((ext & EXT_SIZE) && m->size)
		strbuf_printf(&sb, " SIZE=%llu", (unsigned long long)m->size);
	if ((ext & EXT_8BITMIME) && m->body_8bit)
		strbuf_text(&sb, " BODY=8BITMIME");
	if (t->prdr)
		strbuf_text(&sb, " PRDR");
	if (t->utf8)
		strbuf_text(&sb, " SMTPUTF8");
	if (t->dsn && m->ret != CLIENT_RET_NONE)
		strbuf_text(&sb, m->ret == CLIENT_RET_HDRS ? " RET=HDRS" : " RET=FULL");
	if (t->dsn && is_parameter(m->envid))
		strbuf_printf(&sb, " ENVID=%.*s", SL_ARG(m->envid));
	put_auth(t, &sb);
	return strbuf_cstr(&sb);
}

static void put_notify(struct strbuf *sb, uint32_t notify)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} rows[] = {{CLIENT_NOTIFY_SUCCESS, "SUCCESS"}, {CLIENT_NOTIFY_FAILURE, "FAILURE"},
	    {CLIENT_NOTIFY_DELAY, "DELAY"}};
	const char *between = " NOTIFY=";

	if (notify & CLIENT_NOTIFY_NEVER) {
		strbuf_text(sb, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (notify & rows[i].bit) {
			strbuf_text(sb, between);
			strbuf_text(sb, rows[i].name);
			between = ",";
		}
}

/* Without its parameters: as errors name it. */
static const char *rcpt_text(const struct transaction *t, const struct client_recipient *r)
{
	return arena_cstr(
	    t->s->arena, arena_printf(t->s->arena, "RCPT TO:<%.*s>", SL_ARG(r->wire)));
}

static const char *rcpt_command(const struct transaction *t, const struct client_recipient *r)
{
	struct strbuf sb;

	strbuf_init(&sb, t->s->arena, 0);
	strbuf_text(&sb, rcpt_text(t, r));
	if (t->dsn) {
		put_notify(&sb, r->notify);
		if (is_parameter(r->orcpt))
			strbuf_printf(&sb, " ORCPT=%.*s", SL_ARG(r->orcpt));
	}
	if (t->s->t.lmtp && t->m->ignore_quota && (t->s->conn->offers.ext & EXT_IGNOREQUOTA))
		strbuf_text(&sb, " IGNOREQUOTA");
	return strbuf_cstr(&sb);
}

static void queue_command(struct client_session *s, const char *text)
{
	strbuf_text(&s->out, text);
	strbuf_text(&s->out, "\r\n");
}

static enum io send_queued(struct client_session *s)
{
	slice_t all = strbuf_slice(&s->out);
	enum io io = strbuf_is_overfull(&s->out) ? IO_MALFORMED
	                                         : io_send(s, all.ptr, all.len, s->t.command_ms);

	strbuf_reset(&s->out);
	return io;
}

/* The reply to a command that has been sent already, or is sent now. */
static enum io answer(const struct transaction *t, const char *command)
{
	return t->pipelined ? reply_read(t->s, t->s->t.command_ms)
	                    : session_command(t->s, command, t->s->t.command_ms);
}

/* ---- the envelope
 * --------------------------------------------------------------------------------------- */

/* Everything up to DATA in one go, or the whole message. */
static enum io send_batch(struct transaction *t)
{
	struct client_session *s = t->s;

	if (s->conn->needs_rset)
		queue_command(s, "RSET");
	if (!t->pipelined)
		return s->conn->needs_rset ? send_queued(s) : IO_OK;
	queue_command(s, t->mail);
	for (size_t i = 0; i < t->n; i++)
		if (t->r[i].chosen)
			queue_command(s, rcpt_command(t, &t->r[i]));
	if (!t->chunking)
		queue_command(s, "DATA");
	else if (t->whole)
		data_queue_whole(t);
	return send_queued(s);
}

static enum rc begin(struct transaction *t)
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
		return outcome_io(s, t->why, io,
		    io == IO_TIMEOUT ? HEDDLE_X_MESSAGE : HEDDLE_X_HOST, t->pipelined, t->mail);
	if (s->reply.code / 100 == 2)
		return RC_OK;
	enum rc rc = outcome_reply(s, t->why, HEDDLE_X_MESSAGE, t->pipelined, t->mail);
	data_drain(t);
	return rc;
}

static enum rc recipients(struct transaction *t)
{
	struct client_session *s = t->s;

	for (size_t i = 0; i < t->n; i++) {
		struct client_recipient *r = &t->r[i];
		r->good = false;
		if (!r->chosen)
			continue;
		const char *text = rcpt_text(t, r);
		enum io io = answer(t, t->pipelined ? text : rcpt_command(t, r));
		if (io == IO_TIMEOUT) {
			r->has_outcome = true;
			(void)outcome_io(
			    s, &r->outcome, io, HEDDLE_X_RECIPIENT, t->pipelined, text);
			return outcome_io(s, t->why, io, 0, t->pipelined, text);
		}
		if (io != IO_OK)
			return outcome_io(s, t->why, io, HEDDLE_X_HOST, t->pipelined, text);
		if (s->reply.code == 421)
			return outcome_reply(s, t->why, HEDDLE_X_HOST, t->pipelined, text);
		if (s->reply.code / 100 == 2) {
			r->good = true;
			t->good++;
			continue;
		}
		r->has_outcome = true;
		(void)outcome_reply(s, &r->outcome, HEDDLE_X_RECIPIENT, false, text);
	}
	return RC_OK;
}

static slice_t domain_of(slice_t address)
{
	size_t at = slice_rfind(address, '@');

	return at == SIZE_MAX ? SL("") : slice_sub(address, at + 1, address.len);
}

/* Is this domain one of those of the recipients that are chosen already? */
static bool is_known_domain(const struct transaction *t, size_t before, slice_t domain)
{
	for (size_t i = 0; i < before; i++)
		if (t->r[i].chosen && slice_eqi(domain_of(t->r[i].address), domain))
			return true;
	return false;
}

/* As many recipients as the server takes at once: RFC 9422. */
static size_t choose(struct transaction *t)
{
	const struct offers *o = &t->s->conn->offers;
	size_t chosen = 0, domains = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct client_recipient *r = &t->r[i];
		r->chosen = false;
		if (r->has_outcome || (o->rcpt_max && chosen >= o->rcpt_max))
			continue;
		if (o->rcpt_domain_max && !is_known_domain(t, i, domain_of(r->address))) {
			if (domains >= o->rcpt_domain_max)
				continue;
			domains++;
		}
		r->chosen = true;
		chosen++;
	}
	return chosen;
}

static void note_used(const struct transaction *t)
{
	t->s->used = (t->pipelined ? CLIENT_USED_PIPELINING : 0U) |
	             (t->chunking ? CLIENT_USED_CHUNKING : 0U) | (t->prdr ? CLIENT_USED_PRDR : 0U) |
	             (t->dsn ? CLIENT_USED_DSN : 0U);
}

static enum rc transact(struct transaction *t)
{
	struct client_session *s = t->s;
	uint32_t ext = s->conn->offers.ext;
	enum rc rc = check_utf8(t);
	size_t chosen = choose(t);

	t->good = 0;
	t->sent = t->whole = false;
	s->heard = false;
	if (rc != RC_OK || chosen == 0)
		return rc;
	t->pipelined = (ext & EXT_PIPELINING) != 0;
	t->dsn = (ext & EXT_DSN) != 0;
	t->prdr = (ext & EXT_PRDR) && s->t.prdr && !s->t.lmtp && chosen > 1;
	t->chunking = (ext & EXT_CHUNKING) && s->t.chunking && !s->t.lmtp;
	t->mail = mail_command(t);
	note_used(t);
	if (t->chunking)
		rc = data_read_ahead(t);
	if (rc != RC_OK)
		return rc;
	s->conn->mails++;
	rc = begin(t);
	if (rc == RC_OK)
		rc = recipients(t);
	return rc == RC_OK ? data_phase(t) : rc;
}

/* Addresses that must not reach the wire: they would be commands of their own. */
static enum rc check_addresses(const struct transaction *t)
{
	if (has_controls(t->m->sender))
		return outcome_set(t->s, t->why, RC_FAIL, HEDDLE_X_MESSAGE,
		    "the sender's address contains a control character");
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

static bool is_used_up(const struct client_session *s)
{
	const struct client_conn *c = s->conn;

	return c->broken || (s->t.max_messages && c->messages >= s->t.max_messages) ||
	       (c->offers.mail_max && c->mails >= c->offers.mail_max);
}

static enum rc transact_fresh(struct transaction *t)
{
	struct client_session *s = t->s;
	enum rc rc = is_used_up(s) ? session_greet(s, t->why) : RC_OK;

	if (rc != RC_OK)
		return rc;
	bool old = s->conn->reused || s->conn->messages > 0;
	rc = transact(t);
	/* the server may have ended an idle connection at the same moment, silently or with 421 */
	bool stale = s->conn->broken && old && rc == RC_DEFER &&
	             (!s->heard || s->reply.code == 421) && t->good == 0 &&
	             !cancel_is_set(s->wait.cancel) && clock_mono_us() < s->wait.deadline_us;
	if (!stale || !any_left(t))
		return rc;
	cache_count_retry(s);
	rc = session_greet(s, t->why);
	return rc == RC_OK ? transact(t) : rc;
}

enum rc client_send(struct client_session *s, const struct client_message *m,
    struct client_recipient *r, size_t n, struct client_outcome *why)
{
	struct transaction t = {.s = s, .m = m, .r = r, .n = n, .why = why};
	enum rc rc = check_addresses(&t);

	while (rc == RC_OK && any_left(&t))
		rc = transact_fresh(&t);
	return rc;
}
