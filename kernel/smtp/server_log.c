/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the log says of sessions, in Exim's forms (specification, chapter 53). */
#include "message/arrival.h"
#include "smtp/server_private.h"

static void add_address(struct strbuf *sb, const struct session_facts *f)
{
	strbuf_char(sb, '[');
	strbuf_add(sb, f->sender_host_address);
	strbuf_char(sb, ']');
	if (f->log_port && f->sender_host_port)
		strbuf_printf(sb, ":%lld", (long long)f->sender_host_port);
}

static bool has(slice_t s)
{
	return !slice_is_absent(s) && s.len;
}

void session_update_host(struct session_facts *f)
{
	slice_t name = f->sender_host_name, helo = f->sender_helo_name;
	if (!has(f->sender_host_address))
		return;
	bool other_helo = has(helo) && !(has(name) && slice_eqi(name, helo));
	struct strbuf full, rcv;
	strbuf_init(&full, f->arena, 0);
	strbuf_init(&rcv, f->arena, 0);
	if (has(name)) {
		strbuf_add(&full, name);
		strbuf_char(&full, ' ');
		strbuf_add(&rcv, name);
		strbuf_text(&rcv, " (");
	}
	if (other_helo) {
		strbuf_char(&full, '(');
		strbuf_add(&full, helo);
		strbuf_text(&full, ") ");
	}
	add_address(&full, f);
	add_address(&rcv, f);
	bool ident = has(f->sender_ident);
	if (!has(name) && (other_helo || ident))
		strbuf_text(&rcv, " (");
	if (other_helo) {
		strbuf_text(&rcv, has(name) ? " helo=" : "helo=");
		strbuf_add(&rcv, helo);
	}
	if (ident) {
		strbuf_text(&rcv, other_helo || has(name) ? " ident=" : "ident=");
		strbuf_add(&rcv, f->sender_ident);
	}
	if (has(name) || other_helo || ident)
		strbuf_char(&rcv, ')');
	f->sender_fullhost = strbuf_slice(&full);
	f->sender_rcvhost = strbuf_slice(&rcv);
}

slice_t host_for_log(struct run *r, bool with_h)
{
	struct session *s = r->s;
	if (s->local)
		return arena_printf(
		    r->scratch, "%s%.*s", with_h ? "U=" : "", SL_ARG(s->facts.sender_ident));
	return session_host_text(r->scratch, &s->facts, with_h);
}

slice_t host_for_text(struct run *r)
{
	return host_for_log(r, false);
}

slice_t session_age(struct run *r)
{
	return clock_interval(r->scratch, (clock_mono_us() - r->s->connected_us) / US_PER_SEC);
}

static slice_t message_id(const struct session *s)
{
	return s->m && s->m->id[0] ? slice_cstr(s->m->id) : slice_absent();
}

unsigned log_where(const struct run *r, enum log_item item, unsigned where)
{
	if (log_selected(r->s->log, item))
		return where;
	/* who tests a policy is told what the main log would have */
	return r->s->server->cfg.played ? 0 : where & ~(unsigned)LOG_TO_MAIN;
}

void log_line(struct run *r, unsigned where, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	slice_t text = arena_vprintf(r->scratch, fmt, ap);
	va_end(ap);
	log_text(r->s->log, where, slice_absent(), text, slice_absent());
}

void log_about(struct run *r, unsigned where, slice_t detail, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	slice_t text = arena_vprintf(r->scratch, fmt, ap);
	va_end(ap);
	log_text(r->s->log, where, message_id(r->s), text, detail);
}

slice_t log_history(struct run *r)
{
	struct session *s = r->s;
	struct strbuf sb;
	strbuf_init(&sb, r->scratch, 0);
	uint32_t n = s->history_count, from = n > HISTORY ? n - HISTORY : 0;
	if (!n)
		return SL("");
	strbuf_text(&sb, from ? " C=..." : " C=");
	for (uint32_t i = from; i < n; i++) {
		strbuf_text(&sb, i > from ? "," : "");
		strbuf_text(&sb, command_name((enum command)s->history[i % HISTORY]));
	}
	return strbuf_slice(&sb);
}

void log_connection_end(struct run *r, const char *text)
{
	if (log_selected(r->s->log, LOG_SMTP_CONNECTION))
		log_line(
		    r, LOG_TO_MAIN, "SMTP connection from %.*s %s", SL_ARG(host_for_text(r)), text);
}

/* A transaction is given up. */
void log_transaction_cut(struct run *r, const char *why)
{
	struct session *s = r->s;
	struct strbuf sb;
	if (!s->m || !log_selected(s->log, LOG_SMTP_INCOMPLETE_TRANSACTION))
		return;
	strbuf_init(&sb, r->scratch, 0);
	strbuf_add(&sb, host_for_log(r, true));
	strbuf_printf(&sb, " incomplete transaction (%s) from <%.*s>", why, SL_ARG(s->m->sender));
	bool first = true;
	VEC_FOREACH(&s->recipients, struct recipient, it)
	{
		strbuf_printf(&sb, "%s %.*s", first ? " for" : "", SL_ARG(it->address));
		first = false;
	}
	log_text(s->log, LOG_TO_MAIN, slice_absent(), strbuf_slice(&sb), slice_absent());
}

slice_t log_header_detail(struct run *r)
{
	struct session *s = r->s;
	if (!s->m || !log_selected(s->log, LOG_REJECTED_HEADER))
		return slice_absent();
	struct strbuf sb;
	strbuf_init(&sb, r->scratch, 0);
	strbuf_text(&sb, "Envelope-from: <");
	strbuf_add(&sb, s->m->sender);
	strbuf_text(&sb, ">\n");
	bool first = true;
	VEC_FOREACH(&s->recipients, struct recipient, it)
	{
		strbuf_text(&sb, first ? "Envelope-to: <" : "    <");
		strbuf_add(&sb, it->address);
		strbuf_text(&sb, ">\n");
		first = false;
	}
	for (const struct header *h = s->m->headers.first; h; h = h->next) {
		strbuf_char(&sb, h->type);
		strbuf_char(&sb, ' ');
		strbuf_add(&sb, h->text);
	}
	return strbuf_slice(&sb);
}

/* " A=NAME:ID:SENDER" */
static void add_auth(struct strbuf *sb, const struct session *s)
{
	if (!has(s->facts.sender_host_authenticated))
		return;
	strbuf_text(sb, " A=");
	strbuf_add(sb, s->facts.sender_host_authenticated);
	if (has(s->facts.authenticated_id)) {
		strbuf_char(sb, ':');
		strbuf_add(sb, s->facts.authenticated_id);
	}
	if (log_selected(s->log, LOG_SMTP_MAILAUTH) && has(s->mf.authenticated_sender)) {
		strbuf_char(sb, ':');
		strbuf_add(sb, s->mf.authenticated_sender);
	}
}

slice_t log_identity_fields(struct run *r)
{
	struct strbuf sb;
	strbuf_init(&sb, r->scratch, 0);
	add_auth(&sb, r->s);
	strbuf_add(&sb, log_tls_fields(r));
	return strbuf_slice(&sb);
}

slice_t log_tls_fields(struct run *r)
{
	struct session *s = r->s;
	const struct session_facts *f = &s->facts;
	struct strbuf sb;
	if (!has(f->tls_in_cipher))
		return SL("");
	strbuf_init(&sb, r->scratch, 0);
	if (log_selected(s->log, LOG_TLS_CIPHER)) {
		strbuf_printf(&sb, " X=%.*s", SL_ARG(f->tls_in_cipher));
		if ((f->tls_in_resumption & 16) && log_selected(s->log, LOG_TLS_RESUMPTION))
			strbuf_char(&sb, '*');
	}
	if (log_selected(s->log, LOG_TLS_CERTIFICATE_VERIFIED))
		strbuf_text(&sb, f->tls_in_certificate_verified ? " CV=yes" : " CV=no");
	if (has(f->tls_in_peerdn) && log_selected(s->log, LOG_TLS_PEERDN))
		log_quoted(&sb, "DN", f->tls_in_peerdn);
	if (has(f->tls_in_sni) && log_selected(s->log, LOG_TLS_SNI)) {
		strbuf_text(&sb, " SNI=");
		strbuf_add(&sb, f->tls_in_sni);
	}
	return strbuf_slice(&sb);
}

void log_tls_error(struct run *r, const char *where, slice_t text)
{
	log_about(r, LOG_TO_MAIN, slice_absent(), "TLS error on connection from %.*s (%s): %.*s",
	    SL_ARG(host_for_text(r)), where, SL_ARG(text));
}

void log_arrival(struct run *r, const struct message *m)
{
	struct session *s = r->s;
	struct strbuf sb;
	strbuf_init(&sb, r->scratch, 0);
	strbuf_text(&sb, s->effects.fake_reject ? "(= " : "<= ");
	if (m->sender.len)
		strbuf_add(&sb, m->sender);
	else
		strbuf_text(&sb, "<>");
	strbuf_char(&sb, ' ');
	if (s->handed && has(s->handed->reference))
		strbuf_printf(&sb, "R=%.*s ", SL_ARG(s->handed->reference));
	strbuf_add(&sb, host_for_log(r, true));
	strbuf_text(&sb, " P=");
	strbuf_add(&sb, s->facts.received_protocol);
	if (s->pipelining_advertised && log_selected(s->log, LOG_PIPELINING))
		strbuf_printf(&sb, " L%s%s",
		    s->pipeconnect_used      ? "*"
		    : s->pipeconnect_offered ? "."
		                             : "",
		    s->pipelining_used ? "" : "-");
	strbuf_add(&sb, log_tls_fields(r));
	add_auth(&sb, s);
	strbuf_text(&sb, s->prdr_answered ? " PRDR" : "");
	strbuf_text(&sb, s->chunked ? " K" : "");
	strbuf_printf(&sb, " S=%llu", (unsigned long long)m->size_bytes);
	bool same = s->recipients_given && !s->prdr_answered;
	arrival_fields(&sb, s->log, s->cfg, m, same ? s->recipients.items : m->recipients,
	    same ? s->recipients_given : m->recipient_count);
	log_text(s->log, LOG_TO_MAIN, slice_cstr(m->id), strbuf_slice(&sb), slice_absent());
}
