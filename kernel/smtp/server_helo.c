/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The start of a session: limits, connect ACL, banner, HELO and EHLO. */
#include "smtp/server_private.h"

bool host_matches(struct run *r, enum main_option o)
{
	struct match_list *l = config_list(r->s->cfg, o);
	struct error err = {0};
	enum rc rc = l ? match_client(&r->ev, l, NULL, &err) : RC_FAIL;
	if (rc == RC_ERROR)
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "%s", err.text);
	return rc == RC_OK;
}

bool option_number(struct run *r, enum main_option o, int64_t *out)
{
	const struct option_value *v = config_main(r->s->cfg, o);
	struct error err = {0};
	slice_t text;
	if (!v->expr ||
	    (expr_constant(v->expr, &text) && v->row && v->row->type != HEDDLE_T_STRING)) {
		*out = v->number;
		return true;
	}
	enum rc rc = config_expand(&r->ev, o, &text, &err);
	*out = 0;
	if (rc == RC_FAIL || (!rc && (slice_is_absent(text) || !slice_trim(text).len)))
		return true;
	if (!rc && v->row && v->row->type == HEDDLE_T_TIME
	        ? slice_to_ms(slice_trim(text), out)
	        : !rc && slice_to_i64(slice_trim(text), 0, true, out))
		return true;
	log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "expansion of %s: %s",
	    v->row ? v->row->name : "option", err.text[0] ? err.text : "not a number");
	return false;
}

static void set_active_hostname(struct run *r)
{
	struct session *s = r->s;
	slice_t name = slice_absent();
	struct error err = {0};
	enum rc rc = config_expand(&r->ev, MO_smtp_active_hostname, &name, &err);
	if (rc && rc != RC_FAIL)
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "failed to expand smtp_active_hostname: %s",
		    err.text);
	if (rc || slice_is_absent(name) || !name.len)
		name = config_process(s->cfg)->primary_hostname;
	s->facts.smtp_active_hostname = arena_dup(s->arena, name);
}

static void refuse(struct run *r, const char *reply_text, const char *why)
{
	struct session *s = r->s;
	(void)atomic_fetch_add_explicit(&s->server->refused, 1, memory_order_relaxed);
	if (log_selected(s->log, LOG_CONNECTION_REJECT))
		log_line(r, LOG_TO_MAIN, "Connection from %.*s refused: %s",
		    SL_ARG(host_for_text(r)), why);
	reply(r, 421, slice_cstr(reply_text));
	session_close(r, NULL);
}

/* false: refused */
static bool connection_limits(struct run *r)
{
	struct session *s = r->s;
	int64_t max = config_int(s->cfg, MO_smtp_accept_max),
	        reserve = config_int(s->cfg, MO_smtp_accept_reserve);
	int64_t now = (int64_t)atomic_load_explicit(&s->server->sessions, memory_order_relaxed);
	s->facts.smtp_count_at_connection_start = now;
	if (max > 0 && now > max) {
		refuse(r, "Too many concurrent SMTP connections; please try again later.",
		    "too many connections");
		return false;
	}
	if (max > 0 && reserve > 0 && now > max - reserve &&
	    !host_matches(r, MO_smtp_reserve_hosts)) {
		refuse(r, "Too many concurrent SMTP connections; please try again later.",
		    "not in reserve list: too many connections");
		return false;
	}
	double load = 0;
	if (load_is_above(r, MO_smtp_load_reserve, &load) &&
	    !host_matches(r, MO_smtp_reserve_hosts)) {
		refuse(r, "Too much load; please try again later.",
		    arena_cstr(r->scratch, arena_printf(r->scratch, "load average = %.2f", load)));
		return false;
	}
	int64_t per_host = 0;
	if (option_number(r, MO_smtp_accept_max_per_host, &per_host) && per_host > 0 &&
	    (int64_t)server_client_count(s->server, &s->peer) > per_host) {
		refuse(r,
		    "Too many concurrent SMTP connections from this IP address; please try again "
		    "later.",
		    "too many connections from that IP address");
		return false;
	}
	int64_t queue_from = config_int(s->cfg, MO_smtp_accept_queue);
	s->queue_by_load = queue_from > 0 && now > queue_from;
	return true;
}

void session_client_limits(struct run *r)
{
	struct session *s = r->s;
	int64_t ms = 0;
	(void)option_number(r, MO_smtp_receive_timeout, &ms);
	s->command_timeout_us = ms > 0 ? ms * 1000 : INT64_C(300) * US_PER_SEC;
	if (s->handed && s->handed->timeout_us > 0)
		s->command_timeout_us = s->handed->timeout_us;
	s->nonmail_limit = config_int(s->cfg, MO_smtp_accept_max_nonmail);
	s->rcpt_limit = config_int(s->cfg, MO_recipients_max);
	s->enforce_sync =
	    !s->handed && !s->server->cfg.played && config_bool(s->cfg, MO_smtp_enforce_sync);
	s->unqualified_sender_ok =
	    s->local ? !s->local->unqualified : host_matches(r, MO_sender_unqualified_hosts);
	s->unqualified_recipient_ok =
	    s->local ? !s->local->unqualified : host_matches(r, MO_recipient_unqualified_hosts);
	s->facts.unqualified_sender_ok = s->unqualified_sender_ok;
	s->facts.unqualified_recipient_ok = s->unqualified_recipient_ok;
	rate_begin(r, &s->mail_rate, MO_smtp_ratelimit_mail);
	rate_begin(r, &s->rcpt_rate_start, MO_smtp_ratelimit_rcpt);
}

/* Input before the banner is a client that does not listen. */
static bool spoke_too_soon(struct run *r)
{
	char first[64];
	struct session *s = r->s;
	if (!s->enforce_sync)
		return false;
	if (host_matches(r, MO_pipelining_connect_advertise_hosts)) {
		s->pipeconnect_used =
		    s->layer == LAYER_PLAIN && recv(s->fd, first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
		return false;
	}
	ssize_t n = 0;
	size_t got = 0;
	if (s->layer == LAYER_PLAIN)
		n = recv(s->fd, first, sizeof first, MSG_PEEK | MSG_DONTWAIT);
	else if (session_read(r, first, sizeof first, &got) == IO_DONE)
		n = (ssize_t)got;
	if (n <= 0)
		return false;
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
	    "SMTP protocol synchronization error (input sent without waiting for greeting): "
	    "rejected connection from %.*s "
	    "input=\"%.*s\"",
	    SL_ARG(host_for_log(r, true)), (int)n, first);
	reply(r, 554, SL("SMTP synchronization error"));
	session_close(r, "synchronization-error");
	return true;
}

void serve_greet(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	if (session_acl(r, ACL_CONNECT, MO_acl_smtp_connect, slice_absent(), &out) != ACL_ACCEPT) {
		(void)acl_refuse(r, ACL_CONNECT, &out, SL(""));
		session_close(r, "acl-drop");
		return;
	}
	if (!slice_is_absent(out.user_text))
		s->banner = arena_dup(s->arena, reply_wrapped(r, out.user_text));
	s->state = ST_BANNER;
}

void serve_banner(struct run *r)
{
	struct session *s = r->s;
	slice_t banner = s->facts.smtp_active_hostname;
	struct error err = {0};
	enum rc rc = s->banner.len ? RC_OK : config_expand(&r->ev, MO_smtp_banner, &banner, &err);
	if (s->banner.len) {
		banner = s->banner;
	} else if (rc) {
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "expansion of smtp_banner: %s", err.text);
		banner = s->facts.smtp_active_hostname;
	}
	if (spoke_too_soon(r))
		return;
	s->greeted = true;
	reply(r, 220, banner);
	s->state = ST_COMMAND;
	s->deadline_us = 0;
}

void serve_start(struct run *r)
{
	struct session *s = r->s;
	set_active_hostname(r);
	if (atomic_load_explicit(&s->server->stopping, memory_order_relaxed)) {
		replyf(r, 421, "%.*s: Service not available - closing connection",
		    SL_ARG(s->facts.smtp_active_hostname));
		session_close(r, NULL);
		return;
	}
	if (!s->handed && !connection_limits(r))
		return;
	session_client_limits(r);
	if (s->local && log_selected(s->log, LOG_SMTP_CONNECTION))
		log_line(r, LOG_TO_MAIN, "SMTP connection from %.*s", SL_ARG(host_for_text(r)));
	else if (!s->local && log_selected(s->log, LOG_SMTP_CONNECTION) &&
	         !host_matches(r, MO_hosts_connection_nolog))
		log_line(r, LOG_TO_MAIN,
		    "SMTP connection from %.*s (TCP/IP connection count = %lld)",
		    SL_ARG(host_for_text(r)), (long long)s->facts.smtp_count_at_connection_start);
	if (s->local || (s->handed && s->handed->batch)) {
		serve_greet(r);
		return;
	}
	if (s->tls_on_connect) {
		session_tls_start(r);
		return;
	}
	serve_connected(r);
}

void serve_connected(struct run *r)
{
	struct session *s = r->s;
	if (host_matches(r, MO_host_reject_connection)) {
		log_line(r, LOG_TO_MAIN, "refused connection from %.*s (host_reject_connection)",
		    SL_ARG(host_for_text(r)));
		reply(r, 554, SL("SMTP service not available"));
		session_close(r, NULL);
		return;
	}
	if (host_matches(r, MO_host_lookup) && lookup_start(r)) {
		s->state = ST_LOOKUP;
		return;
	}
	serve_named(r);
}

void serve_named(struct run *r)
{
	r->s->state = ST_COMMAND;
	if (ident_start(r)) {
		r->s->state = ST_IDENT;
		r->io = false;
	} else {
		serve_greet(r);
	}
}

/* ---- HELO, EHLO ---- */
static bool helo_syntax_ok(struct run *r, slice_t name)
{
	struct net_addr addr;
	if (!name.len)
		return false;
	if (name.ptr[0] == '[') {
		if (name.ptr[name.len - 1] != ']')
			return false;
		slice_t in = slice_sub(name, 1, name.len - 2);
		return net_addr_parse(
		    slice_startsi(in, "IPv6:") ? slice_sub(in, 5, in.len) : in, &addr);
	}
	slice_t more = config_text(r->s->cfg, MO_helo_allow_chars);
	for (uint32_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		if (!ascii_isalnum(c) && c != '.' && c != '-' &&
		    (!more.len || slice_find(more, c) == SIZE_MAX))
			return false;
	}
	return true;
}

/* helo_verify_hosts, helo_try_verify_hosts: false: refused */
static bool helo_verified(struct run *r, const char *verb)
{
	struct session *s = r->s;
	bool must = host_matches(r, MO_helo_verify_hosts);
	struct error err = {0};
	s->facts.helo_verified = false;
	if (!must && !host_matches(r, MO_helo_try_verify_hosts))
		return true;
	enum rc rc = server_verify_helo(&r->ev, &err);
	if (!rc || !must)
		return true;
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT, "%srejected \"%s %.*s\" from %.*s",
	    rc == RC_DEFER ? "temporarily " : "", verb, SL_ARG(s->facts.sender_helo_name),
	    SL_ARG(host_for_text(r)));
	if (rc == RC_DEFER)
		reply(r, 451, SL("Temporary local problem - please try later"));
	else
		replyf(r, 550, "%s argument does not match calling host", verb);
	return false;
}

/* helo_lookup_domains: who says it is us is looked up. */
static bool claims_our_name(struct run *r)
{
	struct match_list *l = config_list(r->s->cfg, MO_helo_lookup_domains);
	return l && match_domain(&r->ev, l, r->arg, NULL, NULL) == RC_OK;
}

static bool greeted(struct run *r, const char *verb)
{
	struct session *s = r->s;
	struct acl_outcome out;
	if (!helo_syntax_ok(r, r->arg) &&
	    !(r->arg.len && host_matches(r, MO_helo_accept_junk_hosts))) {
		slice_t what = r->arg.len ? r->arg : SL("(no argument given)");
		log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
		    "rejected %s from %.*s: syntactically invalid argument(s): %.*s", verb,
		    SL_ARG(host_for_text(r)), SL_ARG(what));
		if ((int64_t)++s->synprot_errors > config_int(s->cfg, MO_smtp_max_synprot_errors)) {
			replyf(r, 501, "Syntactically invalid %s argument(s)", verb);
			log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
			    "SMTP call from %.*s dropped: too many syntax or protocol errors (last "
			    "command was \"%.*s\", %.*s)",
			    SL_ARG(host_for_text(r)), SL_ARG(r->line), SL_ARG(log_history(r)));
			session_close(r, "bad-commands");
			return false;
		}
		replyf(r, 501, "Syntactically invalid %s argument(s)", verb);
		return false;
	}
	slice_t was = s->facts.sender_helo_name;
	if (slice_is_absent(was) || !slice_eq(was, r->arg)) {
		if (!s->handed || !s->handed->batch) /* else it is the command that says it */
			s->facts.sender_helo_name = arena_dup(s->arena, r->arg);
		session_update_host(&s->facts);
	}
	if (s->facts.host_lookup == HOST_LOOKUP_NONE && claims_our_name(r))
		(void)session_host_name(&r->ev);
	if (!helo_verified(r, verb))
		return false;
	if (session_acl(r, ACL_HELO, MO_acl_smtp_helo, slice_absent(), &out) != ACL_ACCEPT) {
		s->facts.sender_helo_name = slice_absent();
		if (acl_refuse(r, ACL_HELO, &out, r->arg))
			session_close(r, "acl-drop");
		session_update_host(&s->facts);
		return false;
	}
	session_reset_transaction(s);
	s->helo_seen = true;
	return true;
}

static slice_t batch_protocol(const struct local_user *u)
{
	if (!slice_is_absent(u->protocol))
		return u->protocol;
	if (!u->message)
		return SL("local-bsmtp");
	return u->rmail ? SL("local-rmail") : SL("local");
}

/* RFC 3848's names, with Exim's for what comes from this host. */
slice_t session_protocol(const struct session *s)
{
	static const char *const names[2][8] = {
	    {"smtp", "smtp", "smtps", "smtps", "esmtp", "esmtpa", "esmtps", "esmtpsa"},
	    {"local-smtp", "local-smtp", "local-smtps", "local-smtps", "local-esmtp",
	        "local-esmtpa", "local-esmtps", "local-esmtpsa"}};
	if (s->handed && s->handed->batch)
		return batch_protocol(s->handed);
	bool auth = !slice_is_absent(s->facts.sender_host_authenticated);
	bool tls = !slice_is_absent(s->facts.tls_in_cipher);
	return slice_cstr(
	    names[s->local != NULL][(s->esmtp ? 4 : 0) + (tls ? 2 : 0) + (auth ? 1 : 0)]);
}

void helo_limits(struct run *r)
{
	struct session *s = r->s;
	(void)option_number(r, MO_smtp_accept_max_per_connection, &s->mail_limit);
	if (!option_number(r, MO_message_size_limit, &s->size_limit))
		s->size_limit = 0;
	s->facts.received_protocol = session_protocol(s);
}

static slice_t hello_line(struct run *r)
{
	struct session *s = r->s;
	bool known = !slice_is_absent(s->facts.sender_host_name) && s->facts.sender_host_name.len;
	slice_t name = known ? s->facts.sender_host_name : s->facts.sender_helo_name;
	if (s->local)
		return arena_printf(r->scratch, "%.*s Hello %.*s at %.*s",
		    SL_ARG(s->facts.smtp_active_hostname), SL_ARG(s->local->login), SL_ARG(name));
	if (!slice_is_absent(s->facts.sender_ident) && s->facts.sender_ident.len)
		return arena_printf(r->scratch, "%.*s Hello %.*s at %.*s [%.*s]",
		    SL_ARG(s->facts.smtp_active_hostname), SL_ARG(s->facts.sender_ident),
		    SL_ARG(name), SL_ARG(s->facts.sender_host_address));
	return arena_printf(r->scratch, "%.*s Hello %.*s [%.*s]",
	    SL_ARG(s->facts.smtp_active_hostname), SL_ARG(name),
	    SL_ARG(s->facts.sender_host_address));
}

void serve_helo(struct run *r)
{
	struct session *s = r->s;
	if (!greeted(r, "HELO"))
		return;
	s->esmtp = false;
	session_forget_offers(s);
	helo_limits(r);
	reply(r, 250, hello_line(r));
}

void session_forget_offers(struct session *s)
{
	s->pipelining_advertised = s->auth_advertised = s->chunking_advertised = s->dsn_advertised =
	    s->smtputf8_advertised = s->prdr_advertised = s->tls_advertised = false;
}

/* RFC 9422 */
static void offer_limits(struct run *r, struct strbuf *sb)
{
	struct session *s = r->s;
	if ((s->mail_limit <= 0 && s->rcpt_limit <= 0) ||
	    !host_matches(r, MO_limits_advertise_hosts))
		return;
	strbuf_text(sb, "\nLIMITS");
	if (s->mail_limit > 0)
		strbuf_printf(sb, " MAILMAX=%lld", (long long)s->mail_limit);
	if (s->rcpt_limit > 0)
		strbuf_printf(sb, " RCPTMAX=%lld", (long long)s->rcpt_limit);
}

static void offer(
    struct run *r, struct strbuf *sb, enum main_option hosts, const char *word, bool *out)
{
	*out = host_matches(r, hosts);
	if (*out)
		strbuf_printf(sb, "\n%s", word);
}

static void offer_pipelining(struct run *r, struct strbuf *sb)
{
	struct session *s = r->s;
	s->pipelining_advertised =
	    !s->no_pipelining && host_matches(r, MO_pipelining_advertise_hosts);
	if (!s->pipelining_advertised)
		return;
	strbuf_text(sb, "\nPIPELINING");
	s->pipeconnect_offered =
	    !s->local && host_matches(r, MO_pipelining_connect_advertise_hosts);
	if (s->pipeconnect_offered)
		strbuf_text(sb, "\nPIPECONNECT");
}

void serve_ehlo(struct run *r)
{
	struct session *s = r->s;
	if (!greeted(r, "EHLO"))
		return;
	s->esmtp = true;
	helo_limits(r);
	struct strbuf sb;
	strbuf_init(&sb, r->scratch, 0);
	strbuf_add(&sb, hello_line(r));
	strbuf_text(&sb, "\nSIZE");
	if (s->size_limit > 0)
		strbuf_printf(&sb, " %lld", (long long)s->size_limit);
	offer_limits(r, &sb);
	if (config_bool(s->cfg, MO_accept_8bitmime))
		strbuf_text(&sb, "\n8BITMIME");
	offer(r, &sb, MO_dsn_advertise_hosts, "DSN", &s->dsn_advertised);
	if (!slice_is_absent(config_text(s->cfg, MO_acl_smtp_etrn)))
		strbuf_text(&sb, "\nETRN");
	if (!slice_is_absent(config_text(s->cfg, MO_acl_smtp_vrfy)))
		strbuf_text(&sb, "\nVRFY");
	if (!slice_is_absent(config_text(s->cfg, MO_acl_smtp_expn)))
		strbuf_text(&sb, "\nEXPN");
	offer_pipelining(r, &sb);
	auth_offer(r, &sb);
	offer(r, &sb, MO_chunking_advertise_hosts, "CHUNKING", &s->chunking_advertised);
	s->tls_advertised = session_tls_offered(r);
	if (s->tls_advertised)
		strbuf_text(&sb, "\nSTARTTLS");
	s->prdr_advertised = config_bool(s->cfg, MO_prdr_enable);
	if (s->prdr_advertised)
		strbuf_text(&sb, "\nPRDR");
	if (config_bool(s->cfg, MO_accept_8bitmime)) /* RFC 6531 needs it */
		offer(r, &sb, MO_smtputf8_advertise_hosts, "SMTPUTF8", &s->smtputf8_advertised);
	xclient_offer(r, &sb);
	strbuf_text(&sb, "\nHELP");
	reply(r, 250, strbuf_slice(&sb));
}
