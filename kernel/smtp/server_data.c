/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * DATA: from the command to the answer after the final dot.
 * What is in the way of a message is told after its end, when all of it has been read.  250 is said
 * when the queue says that the message is on stable storage, and only then.
 */
#include "expand/regex.h"
#include "smtp/server_private.h"

#include <unistd.h>

#define FIELDS_MAX 50000

static void no_recipients(struct run *r, const char *verb)
{
	struct session *s = r->s;
	/* sent before the answers to RCPT: no error of its own */
	bool pipelined = s->pipelining_advertised && s->after_rcpt;
	slice_t plain = arena_printf(
	    r->scratch, "%calid RCPT command must precede %s", pipelined ? 'V' : 'v', verb);
	slice_t text = plain;
	if (!slice_is_absent(s->rcpt_reply) && !s->rcpt_reply_differs && !s->no_multiline)
		text = arena_printf(r->scratch,
		    "All RCPT commands were rejected with this error:\n%.*s\n%.*s",
		    SL_ARG(s->rcpt_reply), SL_ARG(plain));
	if (pipelined)
		reply(r, 503, text);
	else
		synprot_error_told(r, true, 503, plain, text);
}

static bool rejected_for_count(struct run *r)
{
	struct session *s = r->s;
	if (s->rcpt_limit <= 0 || s->mf.rcpt_count <= s->rcpt_limit ||
	    !config_bool(s->cfg, MO_recipients_max_reject))
		return false;
	reply(r, 554, SL("Too many recipients"));
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
	    "too many recipients: message rejected: sender=<%.*s> %.*s", SL_ARG(s->m->sender),
	    SL_ARG(host_for_log(r, true)));
	session_reset_transaction(s);
	return true;
}

bool data_allowed(struct run *r, const char *verb)
{
	struct session *s = r->s;
	if (s->m && (s->recipients.count || s->discarded))
		return !rejected_for_count(r);
	no_recipients(r, verb);
	return false;
}

/* On the transaction's arena. */
void data_begin(struct session *s)
{
	struct message *m = s->m;
	const struct smtp_queue_hooks *q = s->server->cfg.queue;
	int64_t header_max = config_int(s->cfg, MO_header_maxsize),
	        line_max = config_int(s->cfg, MO_header_line_maxsize);
	struct data_limits limits = {.header_max = header_max > 0 ? (uint64_t)header_max : 0,
	    .header_line_max = line_max > 0 ? (uint64_t)line_max : 0,
	    .message_max = s->size_limit > 0 ? (uint64_t)s->size_limit : 0,
	    .fields_max = FIELDS_MAX};
	q->next_id(q->ctx, m->id);
	s->mf.id = slice_of(m->id, MESSAGE_ID_LEN, HEDDLE_CLEAN);
	m->received_us = clock_wall_us();
	s->mf.received_time_us = m->received_us;
	s->data_started_us = clock_mono_us();
	s->body = ARENA_NEW(m->arena, struct body_builder);
	s->reader = ARENA_NEW(m->arena, struct data_reader);
	body_builder_init(s->body, s->server->cfg.budget, q->spill.begin ? &q->spill : NULL, q->ctx,
	    q->body_threshold, m->id);
	data_reader_init(s->reader, m->arena, s->body, s->server->cfg.budget, &limits);
}

struct from_line {
	const struct regex *pattern;
	struct arena *arena;
};

static bool is_from_line(void *ctx, slice_t line)
{
	struct from_line *f = ctx;
	slice_t whole;
	uint32_t n;
	struct error err;
	return slice_starts(line, "From ") &&
	       regex_match(f->arena, f->pattern, line, &whole, 1, &n, &err) == RC_OK;
}

/* ignore_fromline_hosts, ignore_fromline_local: what looks like mbox's line is passed over. */
void data_heed_from_line(struct run *r)
{
	struct session *s = r->s;
	struct from_line *f = ARENA_NEW(s->m->arena, struct from_line);
	slice_t pattern = config_text(s->cfg, MO_uucp_from_pattern);
	struct error err;
	bool ignore = s->local ? config_bool(s->cfg, MO_ignore_fromline_local)
	                       : host_matches(r, MO_ignore_fromline_hosts);
	if (!ignore || slice_is_absent(pattern) || !pattern.len)
		return;
	f->arena = s->m->arena;
	if (regex_compile(f->arena, pattern, 0, &f->pattern, &err)) {
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "uucp_from_pattern: %s", err.text);
		return;
	}
	s->reader->is_from_line = is_from_line;
	s->reader->from_ctx = f;
}

void serve_data_command(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	slice_t usual = SL("Enter message, ending with \".\" on a line by itself");
	if (!data_allowed(r, "DATA"))
		return;
	if (session_acl(r, ACL_PREDATA, MO_acl_smtp_predata, slice_absent(), &out) != ACL_ACCEPT &&
	    out.verdict != ACL_DISCARD) {
		if (acl_refuse(r, ACL_PREDATA, &out, SL("")))
			session_close(r, "acl-drop");
		session_reset_transaction(s);
		return;
	}
	if (out.verdict == ACL_DISCARD) {
		s->discarded += (uint32_t)s->recipients.count;
		s->recipients.count = 0;
		s->discarding = true;
	}
	data_begin(s);
	data_heed_from_line(r);
	if (out.verdict == ACL_DISCARD)
		reply(r, 354, usual);
	else
		reply_outcome(r, 354, &out, usual);
	s->state = ST_DATA;
}

void data_lost(struct run *r, bool timeout)
{
	struct session *s = r->s;
	const char *where = s->reader->in_header || s->chunked ? "" : " (after header)";
	if (timeout) {
		if (s->reader->in_header)
			s->m->id[0] = '\0'; /* as Exim, which has no id yet then */
		log_about(r, LOG_TO_MAIN, slice_absent(),
		    "SMTP data timeout (message abandoned) on connection from %.*s F=<%.*s>",
		    SL_ARG(host_for_text(r)), SL_ARG(s->m->sender));
	} else if (log_selected(s->log, LOG_LOST_INCOMING_CONNECTION)) {
		log_line(r, LOG_TO_MAIN,
		    "SMTP connection from %.*s lost while reading message data%s",
		    SL_ARG(host_for_text(r)), where);
	}
	session_reset_transaction(s);
}

/* ---- the end of the data ---- */
static enum step refused(struct run *r)
{
	struct session *s = r->s;
	(void)atomic_fetch_add_explicit(&s->server->rejected, 1, memory_order_relaxed);
	session_reset_transaction(s);
	if (s->state != ST_CLOSING)
		s->state = ST_COMMAND;
	return STEP_AGAIN;
}

/* With the header as far as it was read; the interface is not named, as in Exim. */
static void log_too_big(struct run *r)
{
	struct session *s = r->s;
	bool interface = s->facts.log_interface;
	if (!s->m->headers.first && !s->reader->in_header)
		header_parse(s->m->arena, strbuf_slice(&s->reader->header), &s->m->headers);
	s->facts.log_interface = false;
	log_about(r, log_where(r, LOG_SIZE_REJECT, LOG_TO_MAIN | LOG_TO_REJECT),
	    log_header_detail(r), "rejected from <%.*s> %.*s: message too big: read=%llu max=%lld",
	    SL_ARG(s->m->sender), SL_ARG(host_for_log(r, true)),
	    (unsigned long long)s->reader->bytes, (long long)s->size_limit);
	s->facts.log_interface = interface;
}

enum step data_faulty(struct run *r)
{
	struct session *s = r->s;
	const struct data_reader *d = s->reader;
	unsigned both = LOG_TO_MAIN | LOG_TO_REJECT;
	slice_t from = host_for_text(r);
	switch (d->fault) {
	case DATA_TOO_BIG:
		reply(r, 552, SL("Message size exceeds maximum permitted"));
		log_too_big(r);
		break;
	case DATA_HEADER_TOO_LONG:
		reply(r, 552, SL("Message header is ridiculously long"));
		log_line(r, both,
		    "ridiculously long message header received from %.*s (more than %lld "
		    "characters): message abandoned",
		    SL_ARG(from), (long long)config_int(s->cfg, MO_header_maxsize));
		break;
	case DATA_LINE_TOO_LONG:
		reply(r, 552, SL("A message header line is too long"));
		log_line(r, both,
		    "overlong message header line received from %.*s (more than %lld characters): "
		    "message abandoned",
		    SL_ARG(from), (long long)config_int(s->cfg, MO_header_line_maxsize));
		break;
	case DATA_BARE_LF:
		reply(r, 552, SL("Message header not CRLF terminated"));
		log_line(r, both,
		    "rejected from <%.*s> %.*s: Non-CRLF-terminated header, under CHUNKING: "
		    "message abandoned",
		    SL_ARG(s->m->sender), SL_ARG(host_for_log(r, true)));
		break;
	case DATA_FINE:
	case DATA_NO_ROOM:
		reply(r, 452, SL("space shortage, please try later"));
		log_about(r, LOG_TO_MAIN, slice_absent(),
		    "rejected from <%.*s> %.*s: no room for more messages being received",
		    SL_ARG(s->m->sender), SL_ARG(host_for_log(r, true)));
		break;
	}
	return refused(r);
}

static enum step not_stored(struct run *r, enum rc rc, const struct error *why)
{
	struct session *s = r->s;
	bool space = rc == RC_DEFER && s->body && s->body->failed;
	log_about(r, LOG_TO_MAIN | (rc == RC_ERROR ? LOG_TO_PANIC : 0u), slice_absent(),
	    "rejected from <%.*s> %.*s: %s", SL_ARG(s->m->sender), SL_ARG(host_for_log(r, true)),
	    why->text);
	if (space)
		reply(r, 452, SL("space shortage, please try later"));
	else
		reply(r, 451, SL("Temporary local problem - please try later"));
	return refused(r);
}

/* Where an ACL wants its field (specification 44.24). */
static void add_field(struct session *s, slice_t text, enum acl_header_place place)
{
	struct message *m = s->m;
	struct header *h = m->headers.first, *last = NULL;
	switch (place) {
	case ACL_AT_START:
		(void)header_prepend(m->arena, &m->headers, text);
		return;
	case ACL_AFTER_RECEIVED:
	case ACL_AT_START_RFC:
		while (h &&
		       !slice_startsi(h->text, "Received:")) /* what was put at the start before */
			h = h->next;
		for (; h; last = h, h = h->next)
			if (!slice_startsi(h->text, "Received:") &&
			    (place == ACL_AFTER_RECEIVED || !slice_startsi(h->text, "Resent-")))
				break;
		(void)header_insert_after(m->arena, &m->headers, last, text);
		return;
	case ACL_AT_END:
		break;
	}
	(void)header_append(m->arena, &m->headers, text);
}

/* What the ACLs up to here have added and removed. */
static void apply_header_changes(struct session *s)
{
	struct acl_effects *e = &s->effects;
	VEC_FOREACH(&e->headers_removed, slice_t, names)
	{
		slice_t rest = *names, name;
		struct header *h;
		while (slice_next(&rest, ':', &name))
			while ((name = slice_trim(name)).len &&
			       (h = header_find(&s->m->headers, name, NULL)) != NULL)
				header_delete(&s->m->headers, h);
	}
	for (size_t i = 0; i < e->headers_added.count; i++)
		add_field(s, *VEC_AT(&e->headers_added, slice_t, i),
		    (enum acl_header_place)(*VEC_AT(&e->headers_where, uint8_t, i)));
	e->headers_added = e->headers_where = e->headers_removed = (struct vec){0};
}

/* Header fields as they will be kept, Received: in front; false: answered. */
static bool make_header(struct run *r)
{
	struct session *s = r->s;
	struct message *m = s->m;
	struct error err = {0};
	slice_t section = strbuf_slice(&s->reader->header);
	section.flags = 0; /* a peer's */
	header_parse(m->arena, section, &m->headers);
	message_take_session(m, &s->facts);
	struct fixup_request fix = {.submission = s->effects.submission,
	    .sender_retain = s->effects.submission_sender_retain,
	    .suppress =
	        s->effects.suppress_local_fixups || (s->handed && s->handed->suppress_fixups),
	    .submission_domain = s->effects.submission_domain,
	    .submission_name = s->effects.submission_name,
	    .local = s->local != NULL,
	    .trusted = s->local && s->local->trusted,
	    .login = s->local ? s->local->login : slice_absent(),
	    .full_name = s->local ? s->local->full_name : slice_absent(),
	    .given_name = s->local ? s->local->given_name : slice_absent(),
	    .qualify_sender = s->unqualified_sender_ok,
	    .qualify_recipient = s->unqualified_recipient_ok};
	enum rc rc = message_fixup(m, &r->ev, &fix, &err);
	s->mf.sender_address = m->sender;
	if (s->recipients.count == 1)
		s->mf.received_for = VEC_AT(&s->recipients, struct recipient, 0)->address;
	if (!rc)
		rc = received_prepend(
		    m->arena, &m->headers, &r->ev, m->received_us, &s->received, &err);
	if (!rc)
		return true;
	log_about(r, LOG_TO_MAIN | LOG_TO_PANIC, slice_absent(), "%s", err.text);
	reply(r, 451, SL("Temporary local problem - please try later"));
	return false;
}

static void set_facts(struct session *s)
{
	struct message *m = s->m;
	const struct data_reader *d = s->reader;
	struct message_facts *f = &s->mf;
	int64_t visible = config_int(s->cfg, MO_message_body_visible);
	f->headers = &m->headers;
	slice_t came = strbuf_slice(&s->reader->header);
	f->header_linecount = 0;
	for (uint32_t i = 0; i < came.len; i++)
		f->header_linecount += came.ptr[i] == '\n';
	f->received_count = message_received_count(&m->headers);
	f->body_size = (int64_t)s->body->bytes;
	f->body_linecount = (int64_t)s->body->lines;
	f->body_zerocount = (int64_t)s->body->zeros;
	f->max_received_linelength = (int64_t)d->max_line_len;
	f->message_size = (int64_t)(header_section_size(&m->headers) + 1 + s->body->bytes);
	slice_t *to = ARENA_ARRAY(m->arena, slice_t, s->recipients.count + 1);
	f->recipients_count = 0;
	VEC_FOREACH(&s->recipients, struct recipient, it)
	to[f->recipients_count++] = it->address;
	f->recipients = to;
	if (visible > 0 && config_main(s->cfg, MO_acl_smtp_data)->is_set) {
		f->body_start = body_builder_start(m->arena, s->body, (size_t)visible);
		f->body_end = body_builder_end(m->arena, s->body, (size_t)visible);
	}
}

/* smtp_accept_queue_per_connection */
static bool waits_for_queue_run(const struct session *s)
{
	int64_t per_connection = config_int(s->cfg, MO_smtp_accept_queue_per_connection);
	return per_connection > 0 && (int64_t)s->messages_accepted >= per_connection;
}

/* queue_only_file: one of these is there.  "smtp" in front of it is about remote deliveries alone;
 * with those the local ones wait here. */
static bool queue_file_says_so(const struct session *s)
{
	slice_t list = config_text(s->cfg, MO_queue_only_file), item;
	uint64_t pos = 0;
	bool found = false;
	if (slice_is_absent(list) || !list.len)
		return false;
	while (!found && expand_list_next(s->m->arena, list, &pos, &item)) {
		slice_t path = slice_starts(item, "smtp") ? slice_sub(item, 4, item.len) : item;
		found = path.len && path.ptr[0] == '/' &&
		        access(arena_cstr(s->m->arena, path), F_OK) == 0;
	}
	return found;
}

/* To be held until a queue run asks for it: on record too, so that a restart does not let it go. */
static bool queue_only(struct session *s)
{
	bool overridden =
	    s->handed && s->handed->deliver_now && config_bool(s->cfg, MO_queue_only_override);
	s->delay_reason = DELAY_NONE;
	if ((s->handed && s->handed->queue_only) || s->effects.queue_only)
		return true;
	if (!overridden && (s->server->cfg.queue_only || config_bool(s->cfg, MO_queue_only) ||
	                       queue_file_says_so(s)))
		return true;
	if (s->queue_by_load)
		s->delay_reason = s->load > 0 ? DELAY_LOAD : DELAY_CONNECTIONS;
	else if (waits_for_queue_run(s))
		s->delay_reason = DELAY_MESSAGES;
	return s->delay_reason != DELAY_NONE;
}

/* Which user of this host it came from. */
static void take_origin(struct session *s)
{
	struct message *m = s->m;
	const struct local_user *u = s->handed;
	if (!u)
		return;
	slice_t own = arena_printf(m->arena, "%.*s@%.*s", SL_ARG(u->login),
	    SL_ARG(config_text(s->cfg, MO_qualify_domain)));
	m->origin_user = arena_dup(m->arena, u->login);
	m->origin_uid = (int64_t)u->uid + 1;
	m->origin_gid = (int64_t)u->gid + 1;
	m->local_message = s->local != NULL;
	m->sender_local = m->local_message && !slice_is_absent(s->facts.authenticated_id);
	m->sender_set_untrusted = !u->trusted && m->sender.len && !slice_eq(m->sender, own);
}

/* The message as it goes to the queue; only its body is missing. */
static void complete(struct session *s)
{
	struct message *m = s->m;
	int64_t now = clock_wall_us();
	m->recipients = s->recipients.items;
	m->recipient_count = (uint32_t)s->recipients.count;
	if (s->received)
		received_set_time(s->received, now);
	m->received_us = now;
	m->received_in_us = clock_mono_us() - s->data_started_us;
	m->size_bytes = header_section_size(&m->headers) + 1 + s->body->bytes;
	m->body_8bit = s->body_8bit;
	m->body_7bit = s->body_7bit;
	m->downconvert = s->effects.has_downconvert ? s->effects.downconvert + 2 : 0;
	m->deliver_freeze = s->effects.freeze;
	m->queue_only = queue_only(s);
	take_origin(s);
	slice_t *addresses =
	    ARENA_ARRAY(m->arena, slice_t, m->recipient_count ? m->recipient_count : 1);
	for (uint32_t i = 0; i < m->recipient_count; i++)
		addresses[i] = m->recipients[i].address;
	m->facts = s->mf;
	m->facts.recipients = addresses;
	m->facts.recipients_count = m->recipient_count;
	m->facts.received_time_us = now;
	m->facts.header_linecount = 0;
	m->facts.body_start = m->facts.body_end = slice_absent();
}

static void say_accepted(struct run *r)
{
	struct session *s = r->s;
	const struct acl_effects *e = &s->effects;
	slice_t text = e->fake_text;
	if (e->fake_reject || e->fake_defer) {
		if (slice_is_absent(text) || !text.len)
			text = SL("Your message has been rejected but is being kept for "
			          "evaluation.\nIf it was a legitimate message, it may still be "
			          "delivered to the target recipient(s).");
		reply(r, e->fake_reject ? 550 : 450, reply_wrapped(r, text));
	} else if (s->prdr_answered) {
		replyf(r, 250, "id=%s message accepted%s", s->m->id,
		    s->prdr_some ? " for some recipients" : "");
	} else {
		if (s->chunked) /* a line of its own in front */
			reply_raw(
			    r, arena_printf(r->scratch, "250- %llu byte chunk, total %llu\r\n",
			           (unsigned long long)s->chunk_size,
			           (unsigned long long)s->chunk_total));
		reply_outcome(r, 250, &s->message, arena_printf(r->scratch, "OK id=%s", s->m->id));
	}
	if (s->server->cfg.played)
		reply_raw(r, SL("\n**** SMTP testing: that is not a real message id!\n\n"));
}

static enum step accepted(struct run *r)
{
	struct session *s = r->s;
	s->messages_accepted++;
	s->count_rset = s->count_helo = false;
	(void)atomic_fetch_add_explicit(&s->server->messages, 1, memory_order_relaxed);
	say_accepted(r);
	session_reset_transaction(s);
	s->state = ST_COMMAND;
	return STEP_AGAIN;
}

/* Every recipient was discarded: accepted, and gone. */
static enum step blackhole(struct run *r)
{
	struct session *s = r->s;
	complete(s);
	log_arrival(r, s->m);
	slice_t why = s->discarded_by_data ? acl_logged_text(r, &s->message) : SL("");
	log_about(r, LOG_TO_MAIN, slice_absent(),
	    "=> blackhole (%s ACL discarded recipients)%s%.*s",
	    s->discarded_by_data   ? "DATA"
	    : s->discarded_by_mail ? "MAIL"
	                           : "RCPT",
	    why.len ? ": " : "", SL_ARG(why));
	log_about(r, LOG_TO_MAIN, slice_absent(), "Completed");
	return accepted(r);
}

static void committed(void *arg, enum rc rc, const struct error *why)
{
	struct session *s = arg;
	struct park_ref ref = s->ref;
	struct reactor *reactor = s->server->cfg.reactor;
	if (rc && why)
		s->commit_error = *why;
	/* from here on the session may end at any time */
	int before = atomic_exchange_explicit(&s->commit_result, 1 + (int)rc, memory_order_acq_rel);
	if (before != COMMIT_GIVING) /* else its runner is about to look */
		park_post(reactor, ref);
}

/* queue_only_load: with its latch the whole session's messages wait from now on. */
static void heed_load(struct run *r)
{
	double load = 0;
	if (!load_is_above(r, MO_queue_only_load, &load))
		return;
	if (!r->s->m->queue_only)
		r->s->delay_reason = DELAY_LOAD;
	r->s->load = load;
	r->s->m->queue_only = true;
	r->s->queue_by_load =
	    r->s->queue_by_load || config_bool(r->s->cfg, MO_queue_only_load_latch);
}

static enum step hand_over(struct run *r)
{
	struct session *s = r->s;
	const struct smtp_queue_hooks *q = s->server->cfg.queue;
	struct error err = {0};
	complete(s);
	heed_load(r);
	enum rc rc = body_builder_finish(s->body, s->m, &err);
	if (rc)
		return not_stored(r, rc, &err);
	s->commit_error.text[0] = '\0';
	int giving = COMMIT_GIVING;
	atomic_store_explicit(&s->commit_result, giving, memory_order_relaxed);
	s->state = ST_COMMIT;
	rc = q->append(q->ctx, s->m, r->w, committed, s, &err);
	if (!rc) {
		(void)atomic_compare_exchange_strong_explicit(
		    &s->commit_result, &giving, 0, memory_order_acq_rel, memory_order_acquire);
		return STEP_AGAIN;
	}
	if (s->m->body.in_file && q->discard_body)
		q->discard_body(q->ctx, s->m->id);
	return not_stored(r, rc, &err);
}

/* The answer is given when the message is stored. */
static void keep_message(struct session *s, const struct acl_outcome *out)
{
	s->message = *out;
	s->message.user_text = arena_dup(s->m->arena, out->user_text);
	s->message.log_text = arena_dup(s->m->arena, out->log_text);
	s->message.enhanced = arena_dup(s->m->arena, out->enhanced);
}

enum step data_end(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	data_reader_release(s->reader);
	if (s->reader->fault)
		return data_faulty(r);
	if (s->body->failed)
		return not_stored(r, s->body->failed, &s->body->why);
	if (!make_header(r))
		return refused(r);
	apply_header_changes(s);
	set_facts(s);
	s->recipients_given = s->recipients.count;
	if (!prdr_check(r))
		return refused(r);
	enum acl_verdict v = session_acl(r, ACL_DATA, MO_acl_smtp_data, slice_absent(), &out);
	if (v != ACL_ACCEPT && v != ACL_DISCARD) {
		if (acl_refuse(r, ACL_DATA, &out, SL("")))
			session_close(r, "acl-drop");
		return refused(r);
	}
	apply_header_changes(s);
	keep_message(s, &out);
	s->discarded_by_data = v == ACL_DISCARD;
	if (v == ACL_DISCARD)
		s->recipients.count = 0;
	if (!s->recipients.count)
		return blackhole(r);
	if (body_builder_blocks(s->body)) {
		s->state = ST_SYNC_BODY;
		return STEP_AGAIN;
	}
	return hand_over(r);
}

bool data_feed(struct run *r, slice_t in, size_t *out_used, bool *out_end)
{
	struct session *s = r->s;
	struct error busy = {0};
	bool writes = body_builder_may_write(s->body, in.len);
	s->awaits_disk = writes && pool_blocking_begin(r->w, POOL_FOR_DISK, 0, &busy);
	if (s->awaits_disk)
		return false;
	*out_used = data_reader_feed(s->reader, in.ptr, in.len, out_end);
	if (writes)
		pool_blocking_end(r->w);
	return true;
}

enum step serve_data(struct run *r)
{
	slice_t in = run_pending(r);
	size_t used;
	bool end;
	if (!in.len)
		return STEP_INPUT;
	if (!data_feed(r, in, &used, &end))
		return STEP_WAIT;
	r->in_at += used;
	return end ? data_end(r) : STEP_INPUT;
}

enum step serve_sync_body(struct run *r)
{
	struct error err = {0};
	if (pool_blocking_begin(r->w, POOL_FOR_DISK, 0, &err))
		return STEP_WAIT; /* and again in a moment */
	enum step next = hand_over(r);
	pool_blocking_end(r->w);
	return next;
}

/* Not what was asked for, but what the moment demands: why nothing is delivered now. */
static void log_delay(struct run *r)
{
	struct session *s = r->s;
	if (!s->m->queue_only || !log_selected(s->log, LOG_DELAY_DELIVERY))
		return;
	switch ((enum delay_reason)s->delay_reason) {
	case DELAY_NONE:
		break;
	case DELAY_CONNECTIONS:
		log_about(r, LOG_TO_MAIN, slice_absent(),
		    "no immediate delivery: too many connections (%lld, max %lld)",
		    (long long)s->facts.smtp_count_at_connection_start,
		    (long long)config_int(s->cfg, MO_smtp_accept_queue));
		break;
	case DELAY_MESSAGES:
		log_about(r, LOG_TO_MAIN, slice_absent(),
		    "no immediate delivery: more than %lld messages received in one connection",
		    (long long)config_int(s->cfg, MO_smtp_accept_queue_per_connection));
		break;
	case DELAY_LOAD:
		log_about(r, LOG_TO_MAIN, slice_absent(),
		    "no immediate delivery: load average %.2f", s->load);
		break;
	}
}

enum step serve_commit(struct run *r)
{
	struct session *s = r->s;
	const struct smtp_queue_hooks *q = s->server->cfg.queue;
	int done = atomic_load_explicit(&s->commit_result, memory_order_acquire);
	if (!done)
		return STEP_WAIT;
	if (done != 1 + RC_OK)
		return not_stored(r, (enum rc)(done - 1), &s->commit_error);
	log_arrival(r, s->m);
	if (s->m->deliver_freeze)
		log_about(r, LOG_TO_MAIN, slice_absent(), "frozen by ACL");
	else if (s->effects.queue_only)
		log_about(r, LOG_TO_MAIN, slice_absent(), "no immediate delivery: queued by ACL");
	log_delay(r);
	if (s->m->deliver_freeze && !s->m->queue_only && log_selected(s->log, LOG_SKIP_DELIVERY))
		log_about(r, LOG_TO_MAIN, slice_absent(), "Message is frozen");
	if (q->accepted)
		q->accepted(q->ctx, s->m, !s->m->queue_only && !s->m->deliver_freeze);
	return accepted(r);
}
