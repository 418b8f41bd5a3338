/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The session's machine: input, states, waits and its end.
 *
 * A run works on buffers of its stack; what outlasts it (half a line, replies that the client does
 * not take) is kept in exactly as many bytes as it needs, so that a parked session is small.  Each
 * run ends in one park_wait or in the end.
 */
#include "net/tls/tls.h"
#include "smtp/server_private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SNAPSHOT_MAX_US   (INT64_C(3600) * US_PER_SEC)
#define COMMIT_POLL_US    (INT64_C(60) * US_PER_SEC)
#define CLOSE_WAIT_US     (INT64_C(30) * US_PER_SEC)
#define TLS_PARK_AFTER_US (INT64_C(2) * US_PER_SEC)

void session_begin_eval(struct run *r)
{
	struct session *s = r->s;
	const struct smtp_server_config *c = &s->server->cfg;
	eval_init(&r->ev, r->scratch, s->cfg);
	r->ev.process = config_process(s->cfg);
	r->ev.session = &s->facts;
	r->ev.message = &s->mf;
	r->ev.hooks = &s->server->eval_hooks;
	r->ev.hooks_ctx = r;
	r->ev.services = c->services;
	r->ev.log = s->log;
	r->ev.deadline_us = clock_mono_us() + s->command_timeout_us;
}

void message_facts_clear(struct message_facts *mf, struct arena *a)
{
	slice_t no = slice_absent();
	*mf = (struct message_facts){.arena = a,
	    .id = no,
	    .sender_address = no,
	    .sender_address_data = no,
	    .sender_data = no,
	    .recipient_data = no,
	    .authenticated_sender = no,
	    .received_for = no,
	    .message_size = -1,
	    .body_start = no,
	    .body_end = no,
	    .headers_added = no,
	    .return_path = no,
	    .bounce_recipient = no,
	    .acl_verify_message = no,
	    .sender_verify_failure = no,
	    .recipient_verify_failure = no,
	    .dsn_envid = no,
	    .dsn_ret = no};
}

void session_reset_transaction(struct session *s)
{
	if (s->body)
		body_builder_drop(s->body);
	if (s->reader)
		data_reader_release(s->reader);
	s->body = NULL;
	s->reader = NULL;
	s->chunked = s->chunk_spoilt = false;
	s->chunk_total = 0;
	s->received = NULL;
	s->recipients = (struct vec){0};
	s->discarded = 0;
	s->discarding = s->mail_discard = s->discarded_by_mail = s->discarded_by_data = false;
	s->message = (struct acl_outcome){0};
	s->rcpt_reply = slice_absent();
	s->prdr = s->prdr_answered = s->prdr_some = false;
	s->rcpt_reply_differs = s->rejected_rcpts_log = s->sender_explained = false;
	s->body_8bit = s->body_7bit = false;
	s->recipients_given = 0;
	s->declared_size = -1;
	if (s->mf.smtputf8)
		s->facts.received_protocol = session_protocol(s);
	message_unref(&s->m);
	message_facts_clear(&s->mf, s->arena);
	s->effects = (struct acl_effects){.arena = s->arena,
	    .fake_text = slice_absent(),
	    .submission_domain = slice_absent(),
	    .submission_name = slice_absent()};
}

/* ---- the end ---- */
static void end_session(struct run *r)
{
	struct session *s = r->s;
	session_reset_transaction(s);
	auth_drop(r);
	lookup_drop(s);
	ident_drop(s);
	session_tls_drop(s, s->layer == LAYER_TLS);
	struct park *park = s->park;
	int fd = s->fd;
	struct config *cfg = s->cfg;
	struct arena *arena = s->arena;
	server_remove(s);
	park_free(&park);
	(void)close(fd);
	if (s->held)
		explicit_bzero(s->held, s->held_len);
	free(s->held);
	free(s->unsent);
	config_unref(&cfg);
	struct smtp_server *server = s->server;
	arena_free(&arena); /* s lies in it */
	(void)atomic_fetch_sub_explicit(&server->sessions, 1, memory_order_acq_rel);
}

void session_close(struct run *r, const char *why)
{
	struct session *s = r->s;
	if (s->state == ST_CLOSING)
		return;
	s->state = ST_CLOSING;
	s->deadline_us = clock_mono_us() + CLOSE_WAIT_US;
	bool began = !s->tls_on_connect || s->layer == LAYER_TLS || s->history_count;
	if (s->greeted && !s->mails && began && log_selected(s->log, LOG_SMTP_NO_MAIL))
		log_line(r, LOG_TO_MAIN, "no MAIL in %sSMTP connection from %.*s D=%.*s%.*s%.*s",
		    s->tls_on_connect ? "TLS-on-connect " : "", SL_ARG(host_for_text(r)),
		    SL_ARG(session_age(r)), SL_ARG(log_identity_fields(r)), SL_ARG(log_history(r)));
	if (!why || s->notquit_done)
		return;
	if (strcmp(why, "acl-drop") == 0)
		log_connection_end(r, "closed by DROP in ACL");
	s->notquit_done = true;
	s->facts.smtp_notquit_reason = slice_cstr(why);
	struct acl_outcome out;
	if (config_main(s->cfg, MO_acl_smtp_notquit)->is_set)
		(void)session_acl(r, ACL_NOTQUIT, MO_acl_smtp_notquit, slice_absent(), &out);
}

/* In a transaction it is not expected. */
static void log_lost(struct run *r)
{
	struct session *s = r->s;
	char buf[128];
	const char *error = "";
	log_transaction_cut(r, "connection lost");
	if (s->read_error)
		error = arena_printf(
		    r->scratch, " (error: %s)", strerror_r(s->read_error, buf, sizeof buf))
		            .ptr;
	if (s->m && log_selected(s->log, LOG_LOST_INCOMING_CONNECTION))
		log_line(r, LOG_TO_MAIN,
		    "unexpected %s while reading SMTP command from %.*s%s D=%.*s",
		    s->local ? "EOF" : "disconnection", SL_ARG(host_for_text(r)), error,
		    SL_ARG(session_age(r)));
	else if (!s->m && log_selected(s->log, LOG_SMTP_CONNECTION))
		log_line(r, LOG_TO_MAIN, "SMTP connection from %.*s lost%s D=%.*s",
		    SL_ARG(host_for_text(r)), error, SL_ARG(session_age(r)));
}

/* A message is being sent. */
static bool in_message(const struct session *s)
{
	return s->state == ST_DATA ||
	       ((s->state == ST_BDAT || s->state == ST_COMMAND) && s->reader);
}

/* The client is gone, or does not take what we say. */
static void lost(struct run *r)
{
	struct session *s = r->s;
	s->lost = true;
	if (s->state == ST_TLS_HELLO || s->state == ST_TLS_HANDSHAKE) {
		session_tls_failed(r, SL("TCP connection closed by peer"));
		return;
	}
	if (in_message(s))
		data_lost(r, false);
	else if (s->state == ST_COMMAND || s->state == ST_AUTH || s->state == ST_BDAT)
		log_lost(r);
	session_close(r, "connection-lost");
}

static void data_timed_out(struct run *r)
{
	data_lost(r, true);
	replyf(r, 421, "%.*s SMTP incoming data timeout - closing connection.",
	    SL_ARG(r->s->facts.smtp_active_hostname));
	session_close(r, "data-timeout");
}

static void timed_out(struct run *r)
{
	struct session *s = r->s;
	slice_t host = s->facts.smtp_active_hostname;
	if (in_message(s)) {
		data_timed_out(r);
		return;
	}
	switch ((enum session_state)s->state) {
	case ST_BDAT:
	case ST_COMMAND:
	case ST_AUTH:
		log_line(r, LOG_TO_MAIN, "SMTP command timeout on%s connection from %.*s",
		    s->layer == LAYER_TLS ? " TLS" : "", SL_ARG(host_for_text(r)));
		replyf(r, 421, "%.*s: SMTP command timeout - closing connection", SL_ARG(host));
		session_close(r, "command-timeout");
		return;
	case ST_TLS_HELLO:
	case ST_TLS_HANDSHAKE:
		session_tls_failed(r, SL("timed out"));
		return;
	case ST_DATA:
	case ST_START:
	case ST_LOOKUP:
	case ST_IDENT:
	case ST_BANNER:
	case ST_TLS_END:
	case ST_SYNC_BODY:
	case ST_COMMIT:
		return; /* these look at the clock themselves */
	case ST_CLOSING:
		s->lost = true;
		return;
	}
}

static void shut_down(struct run *r)
{
	struct session *s = r->s;
	log_line(r, LOG_TO_MAIN, "SMTP connection from %.*s closed after SIGTERM",
	    SL_ARG(host_for_text(r)));
	replyf(r, 421, "%.*s: Service not available - closing connection",
	    SL_ARG(s->facts.smtp_active_hostname));
	session_close(r, "local-error");
}

/* ---- input ---- */
static void take_held(struct run *r)
{
	struct session *s = r->s;
	if (!s->held)
		return;
	memcpy(r->in, s->held, s->held_len);
	r->in_len = s->held_len;
	explicit_bzero(s->held, s->held_len); /* half an AUTH, perhaps */
	free(s->held);
	s->held = NULL;
	s->held_len = 0;
}

static void hold_rest(struct run *r)
{
	size_t n = r->in_len - r->in_at;
	if (!n)
		return;
	r->s->held = malloc(n);
	if (!r->s->held) {
		r->s->lost = true;
		return;
	}
	memcpy(r->s->held, r->in + r->in_at, n);
	r->s->held_len = (uint32_t)n;
}

/* true: there is more than before, or the end was seen. */
static bool read_more(struct run *r)
{
	if (r->in_at) {
		memmove(r->in, r->in + r->in_at, r->in_len - r->in_at);
		r->in_len -= r->in_at;
		r->in_at = 0;
	}
	size_t got = 0;
	switch (session_read(r, r->in + r->in_len, INPUT_BYTES - r->in_len, &got)) {
	case IO_DONE:
		r->in_len += got;
		return true;
	case IO_WAIT:
		return false;
	case IO_ENDED:
		r->input_ended = true;
		break;
	}
	return true;
}

/* The next line without its end into *line; false: there is no whole one.  An overlong one comes
 * out once, empty, with s->skipping set before. */
static bool next_line(struct run *r, slice_t *line, bool *too_long)
{
	struct session *s = r->s;
	slice_t p = run_pending(r);
	size_t nl = slice_find(p, '\n');
	*too_long = false;
	if (nl == SIZE_MAX) {
		if (p.len >= LINE_MAX_BYTES) {
			s->skipping = true;
			r->in_at = r->in_len; /* what it says is of no interest */
		} else if (s->skipping) {
			r->in_at = r->in_len;
		}
		return false;
	}
	r->in_at += nl + 1;
	*too_long = s->skipping || nl >= LINE_MAX_BYTES;
	s->skipping = false;
	if (nl && p.ptr[nl - 1] == '\r')
		nl--;
	*line = slice_sub(p, 0, nl);
	return true;
}

/* ---- states ---- */
static enum step command_state(struct run *r)
{
	struct session *s = r->s;
	bool too_long;
	slice_t line;
	if (atomic_load_explicit(&s->server->stopping, memory_order_relaxed)) {
		shut_down(r);
		return STEP_AGAIN;
	}
	if (r->commands >= COMMANDS_PER_RUN && r->in_at < r->in_len)
		return STEP_WAIT;
	if (!next_line(r, &line, &too_long))
		return STEP_INPUT;
	r->commands++;
	s->deadline_us = 0;
	if (too_long) {
		r->line = SL("");
		if (s->state == ST_AUTH)
			auth_overlong(r);
		else
			synprot_error(r, false, 500, SL("line too long"));
		return STEP_AGAIN;
	}
	if (s->state == ST_AUTH)
		return serve_auth_line(r, line);
	r->line = line;
	command_serve(r);
	return STEP_AGAIN;
}

static bool snapshot_too_old(struct session *s)
{
	if (s->m || clock_mono_us() - s->connected_us < SNAPSHOT_MAX_US)
		return false;
	struct config *now = s->server->cfg.snapshot(s->server->cfg.ctx);
	bool old = now && config_serial(now) != config_serial(s->cfg);
	config_unref(&now);
	return old;
}

static enum step step(struct run *r)
{
	struct session *s = r->s;
	switch ((enum session_state)s->state) {
	case ST_START:
		serve_start(r);
		return STEP_AGAIN;
	case ST_LOOKUP:
		if (!lookup_done(r))
			return STEP_WAIT;
		serve_named(r);
		return STEP_AGAIN;
	case ST_IDENT:
		if (!ident_done(r, r->io))
			return STEP_WAIT;
		serve_greet(r);
		return STEP_AGAIN;
	case ST_BANNER:
		serve_banner(r);
		return STEP_AGAIN;
	case ST_TLS_HELLO:
		return serve_tls_hello(r);
	case ST_TLS_HANDSHAKE:
		return serve_tls_handshake(r);
	case ST_TLS_END:
		return serve_tls_end(r);
	case ST_COMMAND:
	case ST_AUTH:
		return command_state(r);
	case ST_DATA:
		return serve_data(r);
	case ST_BDAT:
		return serve_chunk(r);
	case ST_SYNC_BODY:
		return serve_sync_body(r);
	case ST_COMMIT:
		return serve_commit(r);
	case ST_CLOSING:
		return STEP_WAIT;
	}
	return STEP_WAIT;
}

/* ---- waits ---- */
static void wait_for(struct run *r, uint32_t events, int64_t deadline_us, const char *what)
{
	hold_rest(r);
	park_wait(r->s->park, events, deadline_us, what);
}

static void wait_input(struct run *r)
{
	struct session *s = r->s;
	bool data = s->state == ST_DATA || s->state == ST_BDAT;
	if (!s->deadline_us || data)
		s->deadline_us = clock_mono_us() + s->command_timeout_us;
	if (atomic_load_explicit(&s->server->stopping, memory_order_acquire)) {
		int64_t by = atomic_load_explicit(&s->server->stop_by_us, memory_order_relaxed);
		s->deadline_us = by < s->deadline_us ? by : s->deadline_us;
	}
	int64_t until = s->deadline_us;
	if (s->layer == LAYER_TLS && !s->tls_parked) { /* when it gets long, see grew_long */
		int64_t soon = clock_mono_us() + TLS_PARK_AFTER_US;
		until = soon < until ? soon : until;
	}
	wait_for(r, session_read_events(s), until, data ? "message data" : "command");
}

/* A wait for a TLS client that is no short one any more: what memory can be given back goes. */
static bool grew_long(struct session *s)
{
	if (s->layer != LAYER_TLS || s->tls_parked || s->unsent_len ||
	    clock_mono_us() >= s->deadline_us)
		return false;
	if (!tls_pending(s->tls))
		tls_park(s->tls);
	s->tls_parked = true;
	return true;
}

/* Something that is not the client. */
static void wait_post(struct run *r)
{
	struct session *s = r->s;
	int64_t now = clock_mono_us();
	if (s->state == ST_IDENT) {
		int64_t until;
		uint32_t events = ident_events(s, &until);
		wait_for(r, events, until, "who the client's host says it is");
	} else if (s->state == ST_LOOKUP)
		wait_for(r, 0, now + US_PER_SEC, "client's name");
	else if (s->state == ST_COMMIT)
		wait_for(r, 0, now + COMMIT_POLL_US, "commit");
	else if (s->state == ST_SYNC_BODY || s->awaits_disk)
		wait_for(r, 0, now + US_PER_SEC / 20, "turn to write a body");
	else {
		hold_rest(r);
		park_yield(s->park);
	}
}

/* Replies that cannot go now; true: the run is over. */
static bool blocked_output(struct run *r)
{
	struct session *s = r->s;
	if (s->delay_until_us) {
		(void)reply_flush(r);
		if (clock_mono_us() < s->delay_until_us) {
			wait_for(r, 0, s->delay_until_us, "delay");
			return true;
		}
		s->delay_until_us = 0;
	}
	if (s->unsent_len && !s->lost && !reply_flush(r) && !s->lost) {
		if (!s->deadline_us)
			s->deadline_us = clock_mono_us() + s->command_timeout_us;
		wait_for(r, session_write_events(s), s->deadline_us, "client to take replies");
		return true;
	}
	return false;
}

static void run_loop(struct run *r)
{
	struct session *s = r->s;
	for (;;) {
		if (blocked_output(r))
			return;
		if (s->state == ST_CLOSING) {
			session_tls_closes(s);
			if (!s->lost && !reply_flush(r) && !s->lost)
				continue;
			end_session(r);
			return;
		}
		if (s->lost) {
			/* a commit under way is waited for: the queue still holds pointers of ours
			 */
			if (s->state == ST_COMMIT &&
			    !atomic_load_explicit(&s->commit_result, memory_order_acquire)) {
				wait_post(r);
				return;
			}
			if (s->state != ST_COMMIT) {
				lost(r);
				continue;
			}
		}
		enum step next = step(r);
		if (next == STEP_AGAIN)
			continue;
		if (next == STEP_INPUT && !r->read_dry && !r->input_ended && read_more(r))
			continue;
		if (next == STEP_INPUT && r->input_ended) {
			if (s->state == ST_COMMAND ||
			    s->state == ST_AUTH) /* one who only closed his side still reads */
				replyf(r, 421, "%.*s lost input connection",
				    SL_ARG(s->facts.smtp_active_hostname));
			(void)reply_flush(r);
			lost(r);
			continue;
		}
		if (!reply_flush(r))
			continue;
		if (next == STEP_INPUT)
			wait_input(r);
		else if (next == STEP_TLS)
			wait_for(r, r->tls_events, s->deadline_us, "TLS handshake");
		else
			wait_post(r);
		return;
	}
}

static bool waits_for_client(const struct session *s)
{
	return s->state == ST_COMMAND || s->state == ST_AUTH || s->state == ST_LOOKUP ||
	       s->state == ST_IDENT || s->state == ST_BANNER || s->state == ST_START ||
	       s->state == ST_TLS_HELLO || s->state == ST_TLS_HANDSHAKE;
}

void session_run(void *owner, enum wake why, struct worker *w)
{
	struct session *s = owner;
	NOT_CLEARED char input[INPUT_BYTES];
	NOT_CLEARED struct run r;
	r.s = s;
	r.w = w;
	r.scratch = worker_scratch(w);
	r.in = input;
	r.in_at = r.in_len = r.out_len = 0;
	r.input_ended = false;
	r.read_dry = why != WAKE_IO && !session_input_hidden(s);
	r.commands = 0;
	r.io = why == WAKE_IO;
	r.secrets_read = false;
	r.line = r.arg = slice_absent();
	r.command = CMD_UNKNOWN;
	take_held(&r);
	session_begin_eval(&r);
	bool late = why == WAKE_TIMEOUT && !s->delay_until_us && !s->awaits_disk;
	if (why == WAKE_CANCEL && waits_for_client(s))
		shut_down(&r);
	else if (late && s->unsent_len)
		s->lost = true;
	else if (late && !grew_long(s))
		timed_out(&r);
	else if (s->state == ST_COMMAND && why == WAKE_IO && snapshot_too_old(s))
		shut_down(&r);
	run_loop(&r);
	if (r.secrets_read)
		explicit_bzero(input, sizeof input);
}
