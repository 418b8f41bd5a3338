/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a bounce, a notice of success, a warning and a notice of freezing say.  Layout and words are
 * Exim's; bounce_template.c has those that a site gives instead.  RFC 3464.
 */
#include "deliver/bounce.h"
#include "deliver/load.h"

#define RETURN_MAX  ((int64_t)4 << 20)
#define LIMIT_BLOCK 8192 /* bounce_return_size_limit counts in these, as Exim has it */

static slice_t why(const struct address *a)
{
	if (!slice_is_absent(a->shown) && a->shown.len)
		return a->shown;
	return !slice_is_absent(a->logged) && a->logged.len ? a->logged : SL("delivery failed");
}

/* hide_child_in_errmsg: neither the address nor what went wrong with it. */
static slice_t shown_as(const struct address *a)
{
	return a->is_hidden ? SL("an undisclosed address") : a->text;
}

/* Those of whom this sender is told. */
static void put_addresses(struct attempt *t, struct strbuf *sb, slice_t to)
{
	VEC_FOREACH(&t->failed, struct address *, it)
	{
		const struct address *a = *it;
		if (!bounce_tells(t, a, to))
			continue;
		strbuf_printf(sb, "  %.*s\n", SL_ARG(shown_as(a)));
		if (a->parent)
			strbuf_printf(
			    sb, "    (generated from %.*s)\n", SL_ARG(address_top(a)->text));
		slice_t rest = a->is_untold || a->is_hidden ? slice_absent() : why(a), line;
		while (slice_next(&rest, '\n', &line))
			strbuf_printf(sb, "    %.*s\n", SL_ARG(line));
	}
}

/* What commands wrote while they were given the message. */
static void put_output(struct attempt *t, struct strbuf *sb, slice_t to, slice_t intro)
{
	unsigned count = 0;

	VEC_FOREACH(&t->failed, struct address *, it)
	count += bounce_tells(t, *it, to) && (*it)->output.len;
	if (count == 0)
		return;
	strbuf_char(sb, '\n');
	if (slice_is_absent(intro))
		strbuf_printf(sb,
		    "The following text was generated during the delivery attempt%s:\n",
		    count > 1 ? "s" : "");
	else
		strbuf_add(sb, intro);
	VEC_FOREACH(&t->failed, struct address *, it)
	{
		const struct address *a = *it;
		if (!bounce_tells(t, a, to) || !a->output.len)
			continue;
		strbuf_printf(
		    sb, "\n------ %.*s ------\n\n%.*s", SL_ARG(shown_as(a)), SL_ARG(a->output));
		if (a->output.ptr[a->output.len - 1] != '\n')
			strbuf_char(sb, '\n');
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
		if (!bounce_tells(t, a, to))
			continue;
		put_original_recipient(t, sb, a->recipient);
		strbuf_printf(sb, "Action: failed\nFinal-Recipient: rfc822;%.*s\nStatus: %s\n",
		    SL_ARG(address_top(a)->text), a->status[0] ? a->status : "5.0.0");
		if (a->remote_host.len)
			strbuf_printf(sb, "Remote-MTA: dns; %.*s\n", SL_ARG(a->remote_host));
		if (a->smtp_code) {
			slice_t rest = a->remote_reply.len ? a->remote_reply : why(a), line;
			const char *before = "Diagnostic-Code: smtp; ";
			for (; slice_next(&rest, '\n', &line); before = " ")
				strbuf_printf(sb, "%s%.*s\n", before, SL_ARG(line));
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

/* Too much, or of too long lines, to be given back. */
static bool is_over_limit(const struct attempt *t)
{
	int64_t limit = config_int(t->cfg, MO_bounce_return_size_limit),
	        line = config_int(t->cfg, MO_bounce_return_linesize_limit);
	uint64_t most = limit > 0 && limit < RETURN_MAX
	                    ? ((uint64_t)limit / LIMIT_BLOCK + 1) * LIMIT_BLOCK
	                    : RETURN_MAX;

	return t->m->body.bytes > most || (line > 0 && t->m->facts.max_received_linelength > line);
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

static void put_headers(const struct attempt *t, struct strbuf *sb, const char *more)
{
	strbuf_printf(sb, "Return-path: <%.*s>\n", SL_ARG(t->m->sender));
	for (const struct header *h = t->m->headers.first; h; h = h->next)
		if (h->type != '*')
			strbuf_add(sb, h->text);
	strbuf_text(sb, more);
	strbuf_char(sb, '\n');
}

static void put_original(struct attempt *t, struct strbuf *sb)
{
	bool over = !headers_only(t) && is_over_limit(t), part = over || headers_only(t);

	strbuf_printf(sb, "Content-type: %s\n\n", part ? "text/rfc822-headers" : "message/rfc822");
	put_headers(t, sb,
	    over ? "X-Heddle-DSN-Information: Due to administrative limits only headers are "
	           "returned\n"
	         : "");
	if (!part)
		strbuf_add(sb, original_body(t, t->m->body.bytes));
}

static void begin(struct strbuf *sb, struct arena *a, slice_t boundary)
{
	strbuf_init(sb, a, RETURN_MAX * 2);
	strbuf_printf(
	    sb, "--%.*s\nContent-type: text/plain; charset=us-ascii\n\n", SL_ARG(boundary));
}

/* The words before the addresses, and before what commands wrote. */
static void put_failure_text(struct attempt *t, struct strbuf *sb, slice_t to)
{
	slice_t more = config_text(t->cfg, MO_bounce_message_text);

	strbuf_text(sb, "This message was created automatically by mail delivery software.\n");
	if (slice_is_absent(more) || !more.len)
		strbuf_char(sb, '\n');
	else
		strbuf_printf(
		    sb, "%.*s%s", SL_ARG(more), more.ptr[more.len - 1] == '\n' ? "" : "\n");
	if (slice_eq(to, t->m->sender))
		strbuf_text(sb,
		    "A message that you sent could not be delivered to one or more of its\n"
		    "recipients. This is a permanent error. The following address(es) failed:\n");
	else
		strbuf_printf(sb,
		    "A message sent by\n\n  <%.*s>\n\ncould not be delivered to one or more of its "
		    "recipients. The following\naddress(es) failed:\n",
		    SL_ARG(t->m->sender));
}

slice_t bounce_failure_body(struct attempt *t, struct arena *a, slice_t to, slice_t boundary,
    const struct bounce_template *given)
{
	struct strbuf sb;

	begin(&sb, a, boundary);
	if (slice_is_absent(given->item[1]))
		put_failure_text(t, &sb, to);
	else
		strbuf_add(&sb, given->item[1]);
	strbuf_char(&sb, '\n');
	put_addresses(t, &sb, to);
	put_output(t, &sb, to, given->item[2]);
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

slice_t bounce_success_body(struct attempt *t, struct arena *a, slice_t boundary)
{
	struct strbuf sb;

	begin(&sb, a, boundary);
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
	put_headers(t, &sb, "");
	strbuf_printf(&sb, "\n--%.*s--\n", SL_ARG(boundary));
	return strbuf_slice(&sb);
}

/* ---- what takes long: the specification's delay_warning ---- */

bool bounce_is_slow(const struct attempt *t, const struct address *a)
{
	uint32_t asked = t->m->recipients[a->recipient].dsn_flags;

	return (!asked || (asked & HEDDLE_DSN_DELAY)) &&
	       slice_eq(bounce_address(t, a), t->m->sender);
}

static void put_field(
    const struct attempt *t, struct strbuf *sb, const char *name, const char *intro)
{
	const struct header *h = header_find(&t->m->headers, slice_cstr(name), NULL);

	if (h)
		strbuf_printf(sb, "%s%.*s\n", intro, SL_ARG(header_value(h)));
}

static void put_delay_text(struct attempt *t, struct strbuf *sb, unsigned count)
{
	strbuf_printf(sb,
	    "This message was created automatically by mail delivery software.\n"
	    "A message that you sent has not yet been delivered to one or more of its\n"
	    "recipients after more than %.*s on the queue on %.*s.\n\n"
	    "The message identifier is:     %.*s\n",
	    SL_ARG(t->delayed), SL_ARG(config_process(t->cfg)->primary_hostname),
	    SL_ARG(t->id_text));
	put_field(t, sb, "Subject", "The subject of the message is: ");
	put_field(t, sb, "Date", "The date of the message is:    ");
	strbuf_printf(sb, "\nThe address%s to which the message has not yet been delivered %s:\n",
	    count > 1 ? "es" : "", count > 1 ? "are" : "is");
}

/* Each with what its router or transport says of the reason. */
static void put_delayed(struct attempt *t, struct strbuf *sb)
{
	VEC_FOREACH(&t->deferred, struct address *, it)
	{
		const struct address *a = *it;
		if (!bounce_is_slow(t, a))
			continue;
		strbuf_printf(sb, "  %.*s\n", SL_ARG(shown_as(a)));
		if (a->is_hidden) {
			strbuf_printf(
			    sb, "    (generated from %.*s)\n", SL_ARG(address_top(a)->text));
			continue;
		}
		slice_t rest = a->shown, line;
		const char *before = "Delay reason: ";
		if (!rest.len || a->is_untold)
			continue;
		if (!slice_is_absent(a->remote_host) && a->remote_host.len &&
		    slice_next(&rest, '\n', &line)) /* the host comes first */
			strbuf_printf(sb, "    %.*s\n", SL_ARG(line));
		for (; slice_next(&rest, '\n', &line); before = "")
			strbuf_printf(sb, "    %s%.*s\n", before, SL_ARG(line));
	}
}

slice_t bounce_delay_body(
    struct attempt *t, struct arena *a, slice_t boundary, const struct bounce_template *given)
{
	struct strbuf sb;
	unsigned count = 0;

	VEC_FOREACH(&t->deferred, struct address *, it) count += bounce_is_slow(t, *it);
	begin(&sb, a, boundary);
	if (slice_is_absent(given->item[1]))
		put_delay_text(t, &sb, count);
	else
		strbuf_add(&sb, given->item[1]);
	strbuf_char(&sb, '\n');
	put_delayed(t, &sb);
	strbuf_char(&sb, '\n');
	if (slice_is_absent(given->item[2]))
		strbuf_text(&sb,
		    "No action is required on your part. Delivery attempts will continue for\n"
		    "some time, and this warning may be repeated at intervals if the message\n"
		    "remains undelivered. Eventually the mail delivery software will give up,\n"
		    "and when that happens, the message will be returned to you.\n");
	else
		strbuf_add(&sb, given->item[2]);
	strbuf_printf(&sb, "\n--%.*s\nContent-type: message/delivery-status\n\n", SL_ARG(boundary));
	put_reporter(t, &sb);
	VEC_FOREACH(&t->deferred, struct address *, it)
	{
		if (!bounce_is_slow(t, *it))
			continue;
		put_original_recipient(t, &sb, (*it)->recipient);
		strbuf_printf(&sb,
		    "Action: delayed\nFinal-Recipient: rfc822;%.*s\nStatus: 4.0.0\n\n",
		    SL_ARG((*it)->is_hidden ? address_top(*it)->text : (*it)->text));
	}
	strbuf_printf(&sb, "--%.*s\nContent-type: text/rfc822-headers\n\n", SL_ARG(boundary));
	put_headers(t, &sb, "");
	strbuf_printf(&sb, "\n--%.*s--\n", SL_ARG(boundary));
	return strbuf_slice(&sb);
}

/* ---- freeze_tell ---- */

slice_t bounce_frozen_body(struct attempt *t, struct arena *a)
{
	struct strbuf sb;

	strbuf_init(&sb, a, RETURN_MAX);
	strbuf_printf(&sb, "Message %.*s has been frozen%s.\nThe sender is <%.*s>.\n\n",
	    SL_ARG(t->id_text), t->bounce_failed ? " (delivery error message)" : "",
	    SL_ARG(t->m->sender));
	strbuf_text(&sb, "The following address(es) have yet to be delivered:\n");
	VEC_FOREACH(&t->deferred, struct address *, it)
	strbuf_printf(&sb, "  %.*s: %.*s\n", SL_ARG((*it)->text), SL_ARG((*it)->logged));
	return strbuf_slice(&sb);
}
