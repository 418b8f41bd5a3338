/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Telling the sender: one message for each errors address, durable before the failure itself is
 * recorded. RFC 3464. */
#include "deliver/bounce.h"
#include "match/match.h"
#include "message/arrival.h"
#include "message/fixups.h"
#include "smtp/server.h"

#define OWN_NAME "heddle" /* who sends bounces, as U= and Received: have it */

enum bounce_kind { BOUNCE_FAILED, BOUNCE_SUCCESS, BOUNCE_DELAYED, BOUNCE_FROZEN };
struct notice {
	enum bounce_kind kind;
	slice_t to, boundary;
	struct bounce_template given;
};

slice_t bounce_address(const struct attempt *t, const struct address *a)
{
	return slice_is_absent(a->errors_to) ? t->m->sender : a->errors_to;
}

/* RFC 3461: NOTIFY= without FAILURE.  Whom a redirection names instead of the sender has not asked
 * for that. */
static bool is_unwanted(const struct attempt *t, const struct address *a)
{
	uint32_t asked = t->m->recipients[a->recipient].dsn_flags;

	return asked && !(asked & HEDDLE_DSN_FAILURE) && slice_is_absent(a->errors_to);
}

bool bounce_tells(const struct attempt *t, const struct address *a, slice_t to)
{
	return !is_unwanted(t, a) && slice_eq(bounce_address(t, a), to);
}

static slice_t qualify_domain(const struct attempt *t)
{
	slice_t d = config_text(t->cfg, MO_qualify_domain);
	return slice_is_absent(d) || d.len == 0 ? config_process(t->cfg)->primary_hostname : d;
}

#define WARNINGS_MAX 10

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
	const char *first = "X-Failed-Recipients: ", *between = first;

	strbuf_init(&sb, b->arena, 0);
	VEC_FOREACH(&t->failed, struct address *, it)
	{
		if (!bounce_tells(t, *it, to) || (*it)->is_hidden)
			continue;
		strbuf_text(&sb, between);
		strbuf_add(&sb, (*it)->text);
		between = ",\n  ";
	}
	if (between == first)
		return;
	strbuf_char(&sb, '\n');
	(void)header_append(b->arena, &b->headers, strbuf_slice(&sb));
}

static void add(struct message *b, slice_t field)
{
	(void)header_append(b->arena, &b->headers, field);
}

static void make_received(struct attempt *t, struct message *b)
{
	const struct process_facts *p = config_process(t->cfg);
	slice_t text = arena_printf(b->arena,
	    "Received: from " OWN_NAME " by %.*s with local (Heddle %.*s)\n\tid %s",
	    SL_ARG(p->primary_hostname), SL_ARG(p->heddle_version), b->id);

	if (b->recipient_count == 1)
		text = arena_printf(
		    b->arena, "%.*s\n\tfor %.*s", SL_ARG(text), SL_ARG(b->recipients->address));
	add(b, arena_printf(b->arena, "%.*s;\n\t%.*s\n", SL_ARG(text),
	           SL_ARG(clock_rfc5322(b->arena, b->received_us))));
}

/* From "To:" to the subject. */
static void make_about(struct attempt *t, struct message *b, const struct notice *n)
{
	slice_t about = message_header_id(&t->m->headers);
	struct arena *a = b->arena;

	add(b, arena_printf(a, "To: %.*s\n", SL_ARG(n->to)));
	if (n->kind == BOUNCE_SUCCESS)
		add(b, SL("Subject: Delivery Status Notification\n"));
	if (!slice_is_absent(about))
		add(b, arena_printf(a, "References: <%.*s>\n", SL_ARG(about)));
	if (n->kind != BOUNCE_FROZEN) {
		add(b, arena_printf(a,
		           "Content-Type: multipart/report; report-type=delivery-status; "
		           "boundary=%.*s\n",
		           SL_ARG(n->boundary)));
		add(b, SL("MIME-Version: 1.0\n"));
	}
	if (!slice_is_absent(n->given.item[0])) {
		header_parse(a, arena_dup(a, n->given.item[0]), &b->headers);
		return;
	}
	if (n->kind == BOUNCE_FAILED)
		add(b, slice_eq(n->to, t->m->sender)
		           ? SL("Subject: Mail delivery failed: returning message to sender\n")
		           : SL("Subject: Mail delivery failed\n"));
	else if (n->kind == BOUNCE_DELAYED)
		add(b, arena_printf(a, "Subject: Warning: message %.*s delayed %.*s\n",
		           SL_ARG(t->id_text), SL_ARG(t->delayed)));
	else if (n->kind == BOUNCE_FROZEN)
		add(b, SL("Subject: Message frozen\n"));
}

/* Good news have their subject and Auto-Submitted: elsewhere, as Exim's have. */
static void make_headers(struct attempt *t, struct message *b, const struct notice *n)
{
	slice_t reply = config_text(t->cfg, MO_errors_reply_to);
	bool success = n->kind == BOUNCE_SUCCESS, replied = !slice_is_absent(reply) && reply.len;
	struct arena *a = b->arena;

	make_received(t, b);
	if (n->kind == BOUNCE_FAILED)
		put_failed(t, b, n->to);
	if (replied && !success && n->kind != BOUNCE_FROZEN)
		add(b, arena_printf(a, "Reply-To: %.*s\n", SL_ARG(reply)));
	if (!success)
		add(b, SL("Auto-Submitted: auto-replied\n"));
	add(b, arena_printf(a, "From: %.*s\n", SL_ARG(dsn_from(t))));
	if (replied && success)
		add(b, arena_printf(a, "Reply-To: %.*s\n", SL_ARG(reply)));
	if (success)
		add(b, SL("Auto-Submitted: auto-generated\n"));
	make_about(t, b, n);
	add(b, arena_printf(a, "Message-Id: <E%s@%.*s>\n", b->id,
	           SL_ARG(config_process(t->cfg)->primary_hostname)));
	add(b, arena_printf(a, "Date: %.*s\n", SL_ARG(clock_rfc5322(a, b->received_us))));
}

/* Who gets it, and what a site's template says. */
static void prepare(struct attempt *t, struct message *b, struct notice *n)
{
	struct arena *a = b->arena;
	struct vec to = {0};

	if (n->kind == BOUNCE_FROZEN)
		bounce_addresses(t, a, n->to, &to);
	else
		*VEC_PUSH(a, &to, slice_t) = arena_dup(a, n->to);
	if (n->kind == BOUNCE_FAILED)
		bounce_copies(t, a, n->to, &to);
	b->recipients = ARENA_ARRAY(a, struct recipient, to.count + 1);
	b->recipient_count = (uint32_t)to.count;
	for (uint32_t i = 0; i < b->recipient_count; i++) {
		b->recipients[i].address = *VEC_AT(&to, slice_t, i);
		b->recipients[i].errors_to = b->recipients[i].orcpt = slice_absent();
	}
	for (size_t i = 0; i < BOUNCE_ITEMS; i++)
		n->given.item[i] = slice_absent();
	t->facts.bounce_recipient = t->facts.warn_message_recipients = n->to;
	t->facts.warn_message_delay = t->delayed;
	if (n->kind == BOUNCE_FAILED)
		bounce_template_read(t, MO_bounce_message_file, &n->given);
	else if (n->kind == BOUNCE_DELAYED)
		bounce_template_read(t, MO_warn_message_file, &n->given);
	n->boundary = arena_printf(
	    a, "%lld-heddlebounce-%s", (long long)(b->received_us / US_PER_SEC), b->id);
}

static slice_t make_body(struct attempt *t, struct arena *a, const struct notice *n)
{
	switch (n->kind) {
	case BOUNCE_SUCCESS:
		return bounce_success_body(t, a, n->boundary);
	case BOUNCE_DELAYED:
		return bounce_delay_body(t, a, n->boundary, &n->given);
	case BOUNCE_FROZEN:
		return bounce_frozen_body(t, a);
	case BOUNCE_FAILED:
		break;
	}
	return bounce_failure_body(t, a, n->to, n->boundary, &n->given);
}

static struct message *make_notice(
    struct attempt *t, slice_t to, struct queue_id id, enum bounce_kind kind)
{
	struct message *b = message_new();
	struct arena *a = b->arena;
	struct notice n = {.kind = kind, .to = to};

	queue_id_text(id, b->id);
	b->sender = SL("");
	b->local_message = true;
	b->received_us = clock_wall_us();
	b->session.received_protocol = SL("local");
	b->facts.authenticated_sender =
	    arena_dup(a, config_text(t->cfg, MO_bounce_sender_authentication));
	prepare(t, b, &n);
	make_headers(t, b, &n);
	slice_t *chunk = ARENA_NEW(a, slice_t);
	*chunk = make_body(t, a, &n);
	b->body = (struct body){.chunks = chunk, .chunk_count = 1, .fd = -1, .bytes = chunk->len};
	for (uint32_t i = 0; i < chunk->len; i++)
		b->body.lines += chunk->ptr[i] == '\n';
	b->facts.body_linecount = (int64_t)b->body.lines;
	b->size_bytes = header_section_size(&b->headers) + 1 + b->body.bytes;
	return b;
}

static void log_bounce(struct attempt *t, const struct message *b)
{
	struct strbuf sb;

	strbuf_init(&sb, t->arena, 0);
	strbuf_printf(&sb, "<= <> R=%.*s U=%s P=local S=%llu", SL_ARG(t->id_text), OWN_NAME,
	    (unsigned long long)b->size_bytes);
	arrival_fields(&sb, t->log, t->cfg, b, b->recipients, b->recipient_count);
	log_text(t->log, LOG_TO_MAIN, slice_cstr(b->id), strbuf_slice(&sb), slice_absent());
}

static enum rc queue_bounce(struct attempt *t, slice_t to, enum bounce_kind kind, struct error *err)
{
	struct queue_id id = store_next_id(t->d->cfg.store);
	struct message *b = make_notice(t, to, id, kind);
	struct queue_message q;
	struct queue_entry *e = NULL;
	enum rc rc = b->recipient_count ? smtp_queue_message(b, &q, err)
	                                : error_set(err, RC_FAIL, "nobody to send it to");

	if (rc == RC_OK)
		rc = store_append_wait(t->d->cfg.store, b->arena, &q, err);
	if (rc == RC_OK) {
		log_bounce(t, b);
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
		slice_t to = bounce_address(t, *it);
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
		if (!bounce_is_slow(t, *it))
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

/* Not of a bounce of our own: that could go round in circles. */
void bounce_tell_frozen(struct attempt *t)
{
	slice_t to = config_text(t->cfg, MO_freeze_tell);
	struct error err;

	if (slice_is_absent(to) || !to.len || (t->m->sender.len == 0 && t->m->local_message))
		return;
	if (queue_bounce(t, to, BOUNCE_FROZEN, &err) != RC_OK)
		log_panic(t->log, t->id_text, "freeze_tell: %s", err.text);
}
