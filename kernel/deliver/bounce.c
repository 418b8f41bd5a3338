/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Telling the sender: one message for each errors address, durable before the failure itself is
 * recorded. RFC 3464. */
#include "deliver/deliver_private.h"
#include "deliver/load.h"
#include "message/fixups.h"
#include "smtp/server.h"

#define RETURN_MAX ((int64_t)4 << 20)
#define OWN_NAME   "heddle" /* who sends bounces, as U= and Received: have it */

static slice_t errors_address(const struct attempt *t, const struct address *a)
{
	return slice_is_absent(a->errors_to) ? t->m->sender : a->errors_to;
}

enum bounce_kind { BOUNCE_FAILED, BOUNCE_SUCCESS, BOUNCE_DELAYED };

/* RFC 3461: NOTIFY= without FAILURE.  Whom a redirection names instead of the sender has not asked
 * for that. */
static bool is_unwanted(const struct attempt *t, const struct address *a)
{
	uint32_t asked = t->m->recipients[a->recipient].dsn_flags;

	return asked && !(asked & HEDDLE_DSN_FAILURE) && slice_is_absent(a->errors_to);
}

static bool is_told(const struct attempt *t, const struct address *a, slice_t to)
{
	return !is_unwanted(t, a) && slice_eq(errors_address(t, a), to);
}

static slice_t why(const struct address *a)
{
	if (!slice_is_absent(a->shown) && a->shown.len)
		return a->shown;
	return !slice_is_absent(a->logged) && a->logged.len ? a->logged : SL("delivery failed");
}

static slice_t qualify_domain(const struct attempt *t)
{
	slice_t d = config_text(t->cfg, MO_qualify_domain);
	return slice_is_absent(d) || d.len == 0 ? config_process(t->cfg)->primary_hostname : d;
}

static void put_addresses(struct attempt *t, struct strbuf *sb, slice_t to)
{
	VEC_FOREACH(&t->failed, struct address *, it)
	{
		const struct address *a = *it;
		if (!is_told(t, a, to))
			continue;
		strbuf_printf(sb, "  %.*s\n", SL_ARG(a->text));
		if (a->parent)
			strbuf_printf(
			    sb, "    (generated from %.*s)\n", SL_ARG(address_top(a)->text));
		slice_t rest = a->is_untold ? slice_absent() : why(a), line;
		while (slice_next(&rest, '\n', &line))
			strbuf_printf(sb, "    %.*s\n", SL_ARG(line));
	}
}

static void put_reporter(const struct attempt *t, struct strbuf *sb)
{
	strbuf_printf(
	    sb, "Reporting-MTA: dns; %.*s\n", SL_ARG(config_process(t->cfg)->primary_hostname));
	if (t->m->facts.dsn_envid.len)
		strbuf_printf(sb, "Original-Envelope-ID: %.*s\n", SL_ARG(t->m->facts.dsn_envid));
	strbuf_char(sb, '\n');
}

static void put_original_recipient(const struct attempt *t, struct strbuf *sb, uint32_t i)
{
	if (t->m->recipients[i].orcpt.len)
		strbuf_printf(sb, "Original-Recipient: %.*s\n", SL_ARG(t->m->recipients[i].orcpt));
}

static void put_report(struct attempt *t, struct strbuf *sb, slice_t to)
{
	put_reporter(t, sb);
	VEC_FOREACH(&t->failed, struct address *, it)
	{
		const struct address *a = *it;
		if (!is_told(t, a, to))
			continue;
		put_original_recipient(t, sb, a->recipient);
		strbuf_printf(sb, "Action: failed\nFinal-Recipient: rfc822;%.*s\nStatus: %s\n",
		    SL_ARG(a->text), a->status[0] ? a->status : "5.0.0");
		if (a->remote_host.len)
			strbuf_printf(sb, "Remote-MTA: dns; %.*s\n", SL_ARG(a->remote_host));
		if (a->smtp_code) {
			slice_t said = a->remote_reply.len ? a->remote_reply : why(a);
			strbuf_printf(sb, "Diagnostic-Code: smtp; %.*s\n",
			    SL_ARG(slice_sub(said, 0, slice_find(said, '\n'))));
		}
		strbuf_char(sb, '\n');
	}
}

/* The header alone: so the configuration or RET= wants it. */
static bool headers_only(const struct attempt *t)
{
	return !config_bool(t->cfg, MO_bounce_return_body) ||
	       slice_eqs(t->m->facts.dsn_ret, "HDRS");
}

/* How much of the body goes back: bounce_return_size_limit, and never so much that a bounce becomes
 * a burden. */
static uint64_t returned_bytes(const struct attempt *t)
{
	int64_t limit = config_int(t->cfg, MO_bounce_return_size_limit);
	uint64_t most = limit > 0 && limit < RETURN_MAX ? (uint64_t)limit : RETURN_MAX;

	if (!config_bool(t->cfg, MO_bounce_return_message) || headers_only(t))
		return 0;
	return t->m->body.bytes < most ? t->m->body.bytes : most;
}

/* From memory, or from the store; a body that cannot be read is left out, the bounce is not. */
static slice_t original_body(struct attempt *t, uint64_t max)
{
	struct store_reader *r = NULL;
	struct error err;
	size_t have = 0, n = 1;

	if (t->m->body.chunks || max == 0)
		return load_text(t->arena, t->m, max);
	if (store_reader_open(t->d->cfg.store, t->id, &r, &err) != RC_OK)
		return SL("");
	char *p = arena_bytes(t->arena, (size_t)max);
	while (have < max && n > 0) {
		if (store_reader_read(r, p + have, (size_t)max - have, &n, &err) != RC_OK)
			n = have = 0;
		have += n;
	}
	store_reader_close(&r);
	return slice_tainted(p, have);
}

static void put_headers(const struct attempt *t, struct strbuf *sb)
{
	strbuf_printf(sb, "Return-path: <%.*s>\n", SL_ARG(t->m->sender));
	for (const struct header *h = t->m->headers.first; h; h = h->next)
		if (h->type != '*')
			strbuf_add(sb, h->text);
	strbuf_char(sb, '\n');
}

static void put_original(struct attempt *t, struct strbuf *sb)
{
	bool part = headers_only(t);

	strbuf_printf(sb, "Content-type: %s\n\n", part ? "text/rfc822-headers" : "message/rfc822");
	put_headers(t, sb);
	if (!part)
		strbuf_add(sb, original_body(t, returned_bytes(t)));
}

static void put_truncation(const struct attempt *t, struct strbuf *sb)
{
	uint64_t returned = returned_bytes(t);

	if (returned > 0 && returned < t->m->body.bytes)
		strbuf_printf(sb,
		    "\nThe body of the message is %llu characters long; only the first\n%llu or so "
		    "are included here.\n",
		    (unsigned long long)t->m->body.bytes, (unsigned long long)returned);
}

static slice_t make_body(struct attempt *t, struct arena *a, slice_t to, slice_t boundary)
{
	struct strbuf sb;

	strbuf_init(&sb, a, RETURN_MAX * 2);
	strbuf_printf(
	    &sb, "--%.*s\nContent-type: text/plain; charset=us-ascii\n\n", SL_ARG(boundary));
	strbuf_text(&sb,
	    "This message was created automatically by mail delivery software.\n\n"
	    "A message that you sent could not be delivered to one or more of its\n"
	    "recipients. This is a permanent error. The following address(es) failed:\n\n");
	put_addresses(t, &sb, to);
	put_truncation(t, &sb);
	strbuf_printf(&sb, "\n--%.*s\nContent-type: message/delivery-status\n\n", SL_ARG(boundary));
	put_report(t, &sb, to);
	if (config_bool(t->cfg, MO_bounce_return_message)) {
		strbuf_printf(&sb, "--%.*s\n", SL_ARG(boundary));
		put_original(t, &sb);
	}
	strbuf_printf(&sb, "\n--%.*s--\n", SL_ARG(boundary));
	return strbuf_slice(&sb);
}

/* ---- what went well ---- */

static const char *how(const struct good_news *n)
{
	return n->relayed ? "relayed to non-DSN-aware mailer"
	                  : "relayed via non \"Remote SMTP\" router";
}

static bool is_good(const struct attempt *t, uint32_t i)
{
	return t->good[i].is_due;
}

static void put_success_report(struct attempt *t, struct strbuf *sb, uint32_t i)
{
	const struct good_news *n = &t->good[i];

	put_original_recipient(t, sb, i);
	strbuf_printf(sb, "Action: %s\nFinal-Recipient: rfc822;%.*s\nStatus: 2.0.0\n",
	    n->relayed ? "relayed" : "delivered", SL_ARG(t->m->recipients[i].address));
	if (n->relayed && n->host.len)
		strbuf_printf(
		    sb, "Remote-MTA: dns; %.*s\nDiagnostic-Code: smtp; 250 Ok\n", SL_ARG(n->host));
	else if (!n->relayed)
		strbuf_text(sb, "Diagnostic-Code: X-Heddle; relayed via non SMTP router\n");
	strbuf_char(sb, '\n');
}

static slice_t make_success_body(struct attempt *t, struct arena *a, slice_t boundary)
{
	struct strbuf sb;

	strbuf_init(&sb, a, RETURN_MAX * 2);
	strbuf_printf(
	    &sb, "--%.*s\nContent-type: text/plain; charset=us-ascii\n\n", SL_ARG(boundary));
	strbuf_text(&sb,
	    "This message was created automatically by mail delivery software.\n"
	    " ----- The following addresses had successful delivery notifications -----\n");
	for (uint32_t i = 0; i < t->state.n_recipients; i++)
		if (is_good(t, i))
			strbuf_printf(&sb, "<%.*s> (%s)\n", SL_ARG(t->m->recipients[i].address),
			    how(&t->good[i]));
	strbuf_printf(&sb, "\n--%.*s\nContent-type: message/delivery-status\n\n", SL_ARG(boundary));
	put_reporter(t, &sb);
	for (uint32_t i = 0; i < t->state.n_recipients; i++)
		if (is_good(t, i))
			put_success_report(t, &sb, i);
	strbuf_printf(&sb, "--%.*s\nContent-type: text/rfc822-headers\n\n", SL_ARG(boundary));
	put_headers(t, &sb);
	strbuf_printf(&sb, "\n--%.*s--\n", SL_ARG(boundary));
	return strbuf_slice(&sb);
}

/* ---- what takes long: the specification's delay_warning ---- */

#define WARNINGS_MAX 10

static bool is_slow(const struct attempt *t, const struct address *a)
{
	uint32_t asked = t->m->recipients[a->recipient].dsn_flags;

	return (!asked || (asked & HEDDLE_DSN_DELAY)) &&
	       slice_eq(errors_address(t, a), t->m->sender);
}

static slice_t make_delay_body(struct attempt *t, struct arena *a, slice_t boundary)
{
	const struct header *subject = header_find(&t->m->headers, SL("Subject"), NULL);
	struct strbuf sb;

	strbuf_init(&sb, a, RETURN_MAX * 2);
	strbuf_printf(
	    &sb, "--%.*s\nContent-type: text/plain; charset=us-ascii\n\n", SL_ARG(boundary));
	strbuf_printf(&sb,
	    "This message was created automatically by mail delivery software.\n"
	    "A message that you sent has not yet been delivered to one or more of its\n"
	    "recipients after more than %.*s on the queue on %.*s.\n\n"
	    "The message identifier is:     %.*s\n",
	    SL_ARG(t->delayed), SL_ARG(config_process(t->cfg)->primary_hostname),
	    SL_ARG(t->id_text));
	if (subject)
		strbuf_printf(
		    &sb, "The subject of the message is: %.*s\n", SL_ARG(header_value(subject)));
	strbuf_text(
	    &sb, "\nThe addresses to which the message has not yet been delivered are:\n\n");
	VEC_FOREACH(&t->deferred, struct address *, it)
	if (is_slow(t, *it))
		strbuf_printf(&sb, "  %.*s\n", SL_ARG((*it)->text));
	strbuf_text(&sb,
	    "\nNo action is required on your part. Delivery attempts will continue for\n"
	    "some time, and this warning may be repeated at intervals if the message\n"
	    "remains undelivered. Eventually the mail delivery software will give up,\n"
	    "and when that happens, the message will be returned to you.\n");
	strbuf_printf(&sb, "\n--%.*s\nContent-type: message/delivery-status\n\n", SL_ARG(boundary));
	put_reporter(t, &sb);
	VEC_FOREACH(&t->deferred, struct address *, it)
	{
		if (!is_slow(t, *it))
			continue;
		put_original_recipient(t, &sb, (*it)->recipient);
		strbuf_printf(&sb,
		    "Action: delayed\nFinal-Recipient: rfc822;%.*s\nStatus: 4.0.0\n\n",
		    SL_ARG((*it)->text));
	}
	strbuf_printf(&sb, "--%.*s\nContent-type: text/rfc822-headers\n\n", SL_ARG(boundary));
	put_headers(t, &sb);
	strbuf_printf(&sb, "\n--%.*s--\n", SL_ARG(boundary));
	return strbuf_slice(&sb);
}

/* How many warnings a message of this age has had, and the age that the last of them was for. */
static int64_t warnings_due(const struct attempt *t, int64_t age_ms, int64_t *out_at_ms)
{
	slice_t rest = config_text(t->cfg, MO_delay_warning), item;
	int64_t at[WARNINGS_MAX], n = 0, due = 0;

	*out_at_ms = 0;
	while (n < WARNINGS_MAX && slice_next(&rest, ':', &item))
		if (!slice_to_ms(slice_trim(item), &at[n]) || at[n] <= 0)
			return 0;
		else
			n++;
	while (due < n && age_ms >= at[due])
		*out_at_ms = at[due++];
	if (due == 0 || due < n)
		return due;
	int64_t every = n > 1 ? at[n - 1] - at[n - 2] : at[0];
	if (every <= 0)
		return due;
	int64_t more = (age_ms - at[n - 1]) / every;
	*out_at_ms += more * every;
	return due + more;
}

static slice_t delay_text(struct arena *a, int64_t ms)
{
	int64_t minutes = ms / 60000, n = minutes;
	const char *unit = "minute";

	if (minutes >= 60 && minutes % 60 == 0) {
		n = minutes / 60;
		unit = "hour";
	}
	return arena_printf(a, "%lld %s%s", (long long)n, unit, n == 1 ? "" : "s");
}

static bool is_worth_a_warning(struct attempt *t, const struct address *first, bool one_domain)
{
	struct address_facts *saved = t->ev.address, facts = first->facts;
	struct error err;
	slice_t text = slice_absent();

	t->ev.address = one_domain ? &facts : NULL;
	enum rc rc = config_expand(&t->ev, MO_delay_warning_condition, &text, &err);
	t->ev.address = saved;
	text = slice_trim(text);
	if (rc == RC_ERROR || rc == RC_DEFER)
		log_panic(t->log, t->id_text, "delay_warning_condition: %s", err.text);
	return rc == RC_OK && text.len && !slice_eqs(text, "0") && !slice_eqis(text, "no") &&
	       !slice_eqis(text, "false");
}

/* ---- the message ---- */

static slice_t dsn_from(struct attempt *t)
{
	struct error err;
	slice_t v;

	if (config_expand(&t->ev, MO_dsn_from, &v, &err) == RC_OK && !slice_is_absent(v) && v.len)
		return v;
	return arena_printf(
	    t->arena, "Mail Delivery System <Mailer-Daemon@%.*s>", SL_ARG(qualify_domain(t)));
}

/* Those that this sender is told of, one a line. */
static void put_failed(struct attempt *t, struct message *b, slice_t to)
{
	struct strbuf sb;
	const char *between = "X-Failed-Recipients: ";

	strbuf_init(&sb, b->arena, 0);
	VEC_FOREACH(&t->failed, struct address *, it)
	{
		if (!is_told(t, *it, to))
			continue;
		strbuf_text(&sb, between);
		strbuf_add(&sb, (*it)->text);
		between = ",\n  ";
	}
	strbuf_char(&sb, '\n');
	(void)header_append(b->arena, &b->headers, strbuf_slice(&sb));
}

static void add(struct message *b, slice_t field)
{
	(void)header_append(b->arena, &b->headers, field);
}

static void make_received(struct attempt *t, struct message *b, slice_t to)
{
	const struct process_facts *p = config_process(t->cfg);

	add(b, arena_printf(b->arena,
	           "Received: from " OWN_NAME
	           " by %.*s with local (Heddle %.*s)\n\tid %s\n\tfor %.*s;\n\t%.*s\n",
	           SL_ARG(p->primary_hostname), SL_ARG(p->heddle_version), b->id, SL_ARG(to),
	           SL_ARG(clock_rfc5322(b->arena, b->received_us))));
}

/* From "From:" to "Date:"; good news have their subject before the rest, as Exim's have. */
static void make_headers(
    struct attempt *t, struct message *b, slice_t to, slice_t boundary, enum bounce_kind kind)
{
	struct arena *a = b->arena;
	slice_t reply = config_text(t->cfg, MO_errors_reply_to),
	        about = message_header_id(&t->m->headers);

	bool success = kind == BOUNCE_SUCCESS;
	make_received(t, b, to);
	if (kind == BOUNCE_FAILED)
		put_failed(t, b, to);
	if (!success)
		add(b, SL("Auto-Submitted: auto-replied\n"));
	add(b, arena_printf(a, "From: %.*s\n", SL_ARG(dsn_from(t))));
	if (!slice_is_absent(reply) && reply.len)
		add(b, arena_printf(a, "Reply-To: %.*s\n", SL_ARG(reply)));
	if (success)
		add(b, SL("Auto-Submitted: auto-generated\n"));
	add(b, arena_printf(a, "To: %.*s\n", SL_ARG(to)));
	if (success)
		add(b, SL("Subject: Delivery Status Notification\n"));
	if (!slice_is_absent(about))
		add(b, arena_printf(a, "References: <%.*s>\n", SL_ARG(about)));
	add(b, arena_printf(a,
	           "Content-Type: multipart/report; report-type=delivery-status; boundary=%.*s\n",
	           SL_ARG(boundary)));
	add(b, SL("MIME-Version: 1.0\n"));
	if (kind == BOUNCE_FAILED)
		add(b, SL("Subject: Mail delivery failed: returning message to sender\n"));
	if (kind == BOUNCE_DELAYED)
		add(b, arena_printf(a, "Subject: Warning: message %.*s delayed %.*s\n",
		           SL_ARG(t->id_text), SL_ARG(t->delayed)));
	add(b, arena_printf(a, "Message-Id: <E%s@%.*s>\n", b->id,
	           SL_ARG(config_process(t->cfg)->primary_hostname)));
	add(b, arena_printf(a, "Date: %.*s\n", SL_ARG(clock_rfc5322(a, b->received_us))));
}

static struct message *make_bounce(
    struct attempt *t, slice_t to, struct queue_id id, enum bounce_kind kind)
{
	struct message *b = message_new();
	struct arena *a = b->arena;

	queue_id_text(id, b->id);
	b->sender = SL("");
	b->local_message = true;
	b->received_us = clock_wall_us();
	b->session.received_protocol = SL("local");
	b->facts.authenticated_sender =
	    arena_dup(a, config_text(t->cfg, MO_bounce_sender_authentication));
	b->recipients = ARENA_NEW(a, struct recipient);
	b->recipients->address = arena_dup(a, to);
	b->recipients->errors_to = b->recipients->orcpt = slice_absent();
	b->recipient_count = 1;
	slice_t boundary = arena_printf(
	    a, "%lld-heddlebounce-%s", (long long)(b->received_us / US_PER_SEC), b->id);
	make_headers(t, b, to, boundary, kind);
	slice_t *chunk = ARENA_NEW(a, slice_t);
	*chunk = kind == BOUNCE_SUCCESS   ? make_success_body(t, a, boundary)
	         : kind == BOUNCE_DELAYED ? make_delay_body(t, a, boundary)
	                                  : make_body(t, a, to, boundary);
	b->body = (struct body){.chunks = chunk, .chunk_count = 1, .fd = -1, .bytes = chunk->len};
	for (uint32_t i = 0; i < chunk->len; i++)
		b->body.lines += chunk->ptr[i] == '\n';
	b->facts.body_linecount = (int64_t)b->body.lines;
	b->size_bytes = header_section_size(&b->headers) + 1 + b->body.bytes;
	return b;
}

static enum rc queue_bounce(struct attempt *t, slice_t to, enum bounce_kind kind, struct error *err)
{
	struct queue_id id = store_next_id(t->d->cfg.store);
	struct message *b = make_bounce(t, to, id, kind);
	struct queue_message q;
	struct queue_entry *e = NULL;
	enum rc rc = smtp_queue_message(b, &q, err);

	if (rc == RC_OK)
		rc = store_append_wait(t->d->cfg.store, b->arena, &q, err);
	if (rc == RC_OK) {
		log_main(t->log, slice_cstr(b->id), "<= <> R=%.*s U=%s P=local S=%llu",
		    SL_ARG(t->id_text), OWN_NAME, (unsigned long long)b->size_bytes);
		rc = queue_index_insert(t->d->cfg.index, &q, true, &e, err);
	}
	if (rc == RC_OK && !deliver_now(t->d, b, &e))
		queue_index_release(t->d->cfg.index, &e, 0);
	message_unref(&b);
	return rc;
}

/* A bounce that cannot be delivered is not bounced: it is frozen, and ends after
 * ignore_bounce_errors_after. */
static void undeliverable_bounce(struct attempt *t)
{
	int64_t keep_ms = config_int(t->cfg, MO_ignore_bounce_errors_after);
	int64_t age_ms = (clock_wall_us() - t->m->received_us) / 1000;

	if (t->forced && (t->state.flags & QUEUE_MSG_CANCELLED))
		return;
	if (keep_ms <= 0 || age_ms >= keep_ms) {
		log_main(t->log, t->id_text, "cancelled by ignore_bounce_errors_after");
		return;
	}
	t->freeze = t->bounce_failed = true;
	VEC_FOREACH(&t->failed, struct address *, a) t->left[(*a)->recipient]++;
}

enum rc bounce_send(struct attempt *t, struct map *told, struct error *err)
{
	bool bounce = false;

	VEC_FOREACH(&t->failed, struct address *, it)
	{
		slice_t to = errors_address(t, *it);
		if (is_unwanted(t, *it)) {
			slice_t key = arena_printf(t->arena, "- %.*s", SL_ARG((*it)->text));
			if (!map_put(told, key, t))
				log_main(t->log, t->id_text,
				    "%.*s: error ignored: RFC 3461 DSN, failure notify not "
				    "requested",
				    SL_ARG((*it)->text));
			continue;
		}
		if (to.len == 0) {
			bounce = true;
			continue;
		}
		if (map_get(told, to))
			continue;
		enum rc rc = queue_bounce(t, to, BOUNCE_FAILED, err);
		if (rc != RC_OK)
			return rc;
		map_put(told, to, t);
	}
	if (bounce && t->m->sender.len == 0)
		undeliverable_bounce(t);
	return RC_OK;
}

/* Only what is delivered for good: not while another part of the recipient is left, nor when one
 * has failed. */
enum rc bounce_send_success(struct attempt *t, struct error *err)
{
	bool any = false;

	VEC_FOREACH(&t->failed, struct address *, a) t->good[(*a)->recipient].is_due = false;
	for (uint32_t i = 0; i < t->state.n_recipients; i++) {
		t->good[i].is_due = t->good[i].is_due && t->left[i] == 0;
		any = any || t->good[i].is_due;
	}
	return any && t->m->sender.len ? queue_bounce(t, t->m->sender, BOUNCE_SUCCESS, err) : RC_OK;
}

/* Notes "W n" say how many the sender has had. */
enum rc bounce_send_warning(struct attempt *t, struct error *err)
{
	const struct address *first = NULL;
	bool one_domain = true;
	int64_t at_ms, due = warnings_due(t, (clock_wall_us() - t->m->received_us) / 1000, &at_ms);

	if (due == 0 || t->m->sender.len == 0 ||
	    map_get(t->done, arena_printf(t->arena, "W %lld", (long long)due)))
		return RC_OK;
	VEC_FOREACH(&t->deferred, struct address *, it)
	{
		if (!is_slow(t, *it))
			continue;
		first = first ? first : *it;
		one_domain = one_domain && slice_eqi(first->facts.domain, (*it)->facts.domain);
	}
	if (!first || !is_worth_a_warning(t, first, one_domain))
		return RC_OK;
	t->delayed = delay_text(t->arena, at_ms);
	enum rc rc = queue_bounce(t, t->m->sender, BOUNCE_DELAYED, err);
	if (rc == RC_OK)
		strbuf_printf(&t->note, "W %lld\n", (long long)due);
	return rc;
}
