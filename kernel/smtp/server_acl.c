/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Running the ACLs of a session and answering what they decide. */
#include "smtp/server_private.h"

struct where_row {
	enum acl_where where;
	const char *rejected; /* as the log has it */
	int code;
	bool sender; /* F=<...> */
};
static const struct where_row wheres[] = {
    {ACL_CONNECT, "connection in \"connect\" ACL", 550, false},
    {ACL_HELO, "EHLO or HELO", 550, false},
    {ACL_MAIL, "MAIL", 550, false},
    {ACL_RCPT, "RCPT", 550, true},
    {ACL_PREDATA, "DATA", 550, false},
    {ACL_DATA, "after DATA", 550, true},
    {ACL_DATA_PRDR, "after DATA PRDR", 550, true},
    {ACL_VRFY, "VRFY", 252, false},
    {ACL_EXPN, "EXPN", 550, false},
    {ACL_ETRN, "ETRN", 458, false},
    {ACL_AUTH, "AUTH", 503, false},
    {ACL_MAILAUTH, "MAILAUTH", 550, false},
    {ACL_STARTTLS, "STARTTLS ", 550, false},
    {ACL_QUIT, "QUIT", 221, false},
    {ACL_NOT_SMTP, "by non-SMTP ACL", 550, true},
};

static const struct where_row *row_of(enum acl_where where)
{
	for (size_t i = 0; i < sizeof wheres / sizeof wheres[0]; i++)
		if (wheres[i].where == where)
			return &wheres[i];
	return &wheres[0];
}

static bool denies_when_unset(enum acl_where where)
{
	return where == ACL_RCPT || where == ACL_VRFY || where == ACL_EXPN || where == ACL_ETRN ||
	       where == ACL_MAILAUTH;
}

static void outcome_clear(struct acl_outcome *out, enum acl_verdict v)
{
	slice_t no = slice_absent();
	*out = (struct acl_outcome){.verdict = v,
	    .enhanced = no,
	    .user_text = no,
	    .log_text = no,
	    .verb_name = no,
	    .acl_name = no,
	    .log_reject_main = true,
	    .log_reject_reject = true};
}

/* What an ACL did to the connection rather than to the message. */
static void take_effects(struct run *r)
{
	struct session *s = r->s;
	struct acl_effects *e = &s->effects;
	if (e->no_enforce_sync)
		s->enforce_sync = false;
	if (e->enforce_sync)
		s->enforce_sync = true;
	if (e->no_pipelining)
		s->no_pipelining = true;
	if (e->no_multiline)
		s->no_multiline = true;
	if (e->allow_auth_unadvertised)
		s->allow_auth_unadvertised = true;
	if (e->delay_ms > 0) {
		if (!e->no_delay_flush)
			(void)reply_flush(r); /* what was said before is not to wait too */
		s->delay_until_us = clock_mono_us() + e->delay_ms * 1000;
		e->delay_ms = 0;
	}
}

static slice_t lowered(struct arena *a, slice_t s)
{
	char *p = arena_bytes(a, s.len);
	for (uint32_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	return slice_of(p, s.len, s.flags);
}

void session_address_facts(struct run *r, slice_t recipient, struct address_facts *out)
{
	slice_t local, domain = slice_absent();
	if (!address_split_hacked(&r->ev, recipient, &local, &domain))
		local = recipient;
	address_facts_clear(out, r->scratch);
	out->local_part = lowered(r->scratch, local);
	out->domain = slice_is_absent(domain) ? domain : lowered(r->scratch, domain);
}

enum acl_verdict session_acl(struct run *r, enum acl_where where, enum main_option option,
    slice_t recipient, struct acl_outcome *out)
{
	struct address_facts facts;
	struct session *s = r->s;
	slice_t text = slice_absent();
	struct error err = {0};
	outcome_clear(out, denies_when_unset(where) ? ACL_DENY : ACL_ACCEPT);
	if (s->handed && s->handed->batch) { /* this is not really SMTP */
		outcome_clear(out, ACL_ACCEPT);
		if (where != ACL_DATA)
			return ACL_ACCEPT;
		where = ACL_NOT_SMTP;
		option = MO_acl_not_smtp;
	}
	const struct option_value *v = config_main(s->cfg, option);
	if (slice_is_absent(v->text))
		return out->verdict;
	if (!slice_is_absent(recipient)) {
		session_address_facts(r, recipient, &facts);
		r->ev.address = &facts;
	}
	enum rc rc = config_expand(&r->ev, option, &text, &err);
	bool empty = !rc && !slice_is_absent(text) && !text.len;
	if (empty) /* an ACL without a statement, which ends as each does */
		outcome_clear(out, ACL_DENY);
	if (empty || rc == RC_FAIL || (!rc && slice_is_absent(text))) {
		r->ev.address = NULL;
		return out->verdict;
	}
	if (rc) {
		struct error why = err;
		(void)error_set(&err, rc, "failed to expand ACL string \"%.*s\": %s",
		    SL_ARG(v->text), why.text);
	} else {
		if (!s->effects.arena)
			s->effects.arena = s->arena;
		struct acl_run run = {.where = where,
		    .recipient = recipient,
		    .effects = &s->effects,
		    .hooks = &s->server->acl_hooks};
		rc = acl_check(&r->ev, &run, text, out, &err);
	}
	r->ev.address = NULL;
	if (rc) {
		outcome_clear(out, ACL_DEFER);
		out->log_text = arena_printf(r->scratch, "%s", err.text);
		out->log_text.flags = 0;
		out->log_reject_panic = true;
	}
	take_effects(r);
	return out->verdict;
}

static unsigned log_targets(const struct acl_outcome *out)
{
	return (out->log_reject_main ? LOG_TO_MAIN : 0u) |
	       (out->log_reject_reject ? LOG_TO_REJECT : 0u) |
	       (out->log_reject_panic ? LOG_TO_PANIC : 0u);
}

slice_t acl_logged_text(struct run *r, const struct acl_outcome *out)
{
	slice_t t = out->log_text;
	if (slice_is_absent(t) || !t.len) {
		t = out->user_text;
		if (!slice_is_absent(t) && out->smtp_code)
			t = arena_printf(r->scratch, "%d %.*s%s%.*s", out->smtp_code,
			    SL_ARG(out->enhanced), out->enhanced.len ? " " : "", SL_ARG(t));
	}
	size_t nl = slice_find(t, '\n');
	return nl == SIZE_MAX ? t : slice_sub(t, 0, nl);
}

static void log_refusal(
    struct run *r, const struct where_row *row, const struct acl_outcome *out, slice_t what)
{
	struct session *s = r->s;
	slice_t text = acl_logged_text(r, out), from = SL("");
	unsigned where = log_targets(out);
	if (row->where == ACL_CONNECT)
		where = log_where(r, LOG_CONNECTION_REJECT, where);
	if (!where)
		return;
	if (row->sender && s->m)
		from = arena_printf(r->scratch, "F=<%.*s> ", SL_ARG(s->m->sender));
	log_about(r, where, row->where == ACL_DATA ? log_header_detail(r) : slice_absent(),
	    "%.*s%.*s %.*s%srejected %s%s%.*s%s%.*s", SL_ARG(host_for_log(r, true)),
	    SL_ARG(log_tls_fields(r)), SL_ARG(from),
	    out->verdict == ACL_DEFER ? "temporarily " : "", row->rejected, what.len ? " " : "",
	    SL_ARG(what), text.len ? ": " : "", SL_ARG(text));
}

/* What failed in verify = sender: one line of the log, and lines of the reply, the first time. */
static void explain_sender(struct run *r, const struct acl_outcome *out, slice_t *text)
{
	struct session *s = r->s;
	bool defer = out->verdict == ACL_DEFER;
	if (!out->sender_verify_failed || slice_is_absent(out->verify_detail) ||
	    s->sender_explained || out->no_details)
		return;
	s->sender_explained = true;
	if (log_selected(s->log, LOG_SENDER_VERIFY_FAIL))
		log_line(r, LOG_TO_MAIN | LOG_TO_REJECT, "%.*s sender verify %s for <%.*s>: %.*s",
		    SL_ARG(host_for_log(r, true)), defer ? "defer" : "fail",
		    SL_ARG(out->verified_sender), SL_ARG(out->verify_detail));
	if (s->no_multiline)
		return;
	if (!defer)
		*text = arena_printf(r->scratch, "Verification failed for <%.*s>\n%.*s\n%.*s",
		    SL_ARG(out->verified_sender), SL_ARG(out->verify_detail), SL_ARG(*text));
	else if (config_bool(s->cfg, MO_smtp_return_error_details))
		*text = arena_printf(
		    r->scratch, "%.*s\n%.*s", SL_ARG(out->verify_detail), SL_ARG(*text));
}

/* What the client is told, of a failed verification by smtp_return_error_details only. */
static slice_t told_text(struct run *r, const struct acl_outcome *out)
{
	bool defer = out->verdict == ACL_DEFER,
	     verify = out->recipient_verify_failed || out->sender_verify_failed;
	if (!slice_is_absent(out->user_text) && out->user_text.len)
		return reply_wrapped(r, out->user_text);
	if (!defer)
		return SL("Administrative prohibition");
	if (verify && !slice_is_absent(out->log_text) && out->log_text.len &&
	    config_bool(r->s->cfg, MO_smtp_return_error_details))
		return reply_wrapped(r, out->log_text);
	return SL("Temporary local problem - please try later");
}

bool acl_refuse(struct run *r, enum acl_where where, const struct acl_outcome *out, slice_t what)
{
	if (where == ACL_DATA && r->s->handed && r->s->handed->batch)
		where = ACL_NOT_SMTP;
	const struct where_row *row = row_of(where);
	bool defer = out->verdict == ACL_DEFER;
	int code = out->smtp_code ? out->smtp_code : defer ? 451 : row->code;
	slice_t text = told_text(r, out), told = text;
	explain_sender(r, out, &told);
	log_refusal(r, row, out, what);
	if (where == ACL_RCPT) {
		struct session *s = r->s;
		slice_t last = s->rcpt_reply;
		if (!slice_is_absent(last) && !slice_eq(last, text))
			s->rcpt_reply_differs = true;
		s->rcpt_reply = arena_dup(s->m ? s->m->arena : s->arena, text);
	}
	reply_enhanced(r, code, out->enhanced, told);
	return out->verdict == ACL_DROP;
}

void server_acl_log_line(
    struct eval *ev, enum acl_where where, slice_t text, bool main, bool reject, bool panic)
{
	struct run *r = ev->hooks_ctx;
	unsigned to =
	    (main ? LOG_TO_MAIN : 0u) | (reject ? LOG_TO_REJECT : 0u) | (panic ? LOG_TO_PANIC : 0u);
	(void)where;
	if (to)
		log_about(r, to, slice_absent(), "%.*s", SL_ARG(text));
}

/* ---- verify = helo, verify = reverse_host_lookup ---- */
enum rc server_verify_reverse_host(struct eval *ev, struct error *err)
{
	struct session_facts *f = ev->session;
	if (f->host_lookup == HOST_LOOKUP_NONE)
		(void)session_host_name(ev);
	if (f->host_lookup == HOST_LOOKUP_OK)
		return RC_OK;
	if (f->host_lookup == HOST_LOOKUP_DEFERRED)
		return error_set(err, RC_DEFER, "host lookup deferred for reverse lookup check");
	return error_set(err, RC_FAIL, "host lookup failed%.*s", SL_ARG(f->host_lookup_msg));
}

static enum rc helo_is_true(struct eval *ev, struct error *err)
{
	struct session_facts *f = ev->session;
	slice_t helo = f->sender_helo_name, ip = f->sender_host_address;
	if (slice_is_absent(helo) || !helo.len)
		return error_set(err, RC_FAIL, "no EHLO/HELO given");
	if (helo.ptr[0] == '[') {
		slice_t in = slice_sub(helo, 1, helo.len > 1 ? helo.len - 2 : 0);
		if (slice_startsi(in, "IPv6:"))
			in = slice_sub(in, 5, in.len);
		return slice_eqi(in, ip)
		           ? RC_OK
		           : error_set(err, RC_FAIL, "helo literal is another address");
	}
	if (f->host_lookup == HOST_LOOKUP_NONE)
		(void)session_host_name(ev);
	if (!slice_is_absent(f->sender_host_name) && slice_eqi(helo, f->sender_host_name))
		return RC_OK;
	/* the name given, looked up */
	struct net_addr peer;
	if (!ev->services || !ev->services->resolver || !net_addr_parse(ip, &peer))
		return error_set(err, RC_DEFER, "helo cannot be verified");
	struct dns_answer *ans = NULL;
	enum rc rc =
	    dns_wait(ev->services->resolver, helo, peer.family == AF_INET6 ? DNS_AAAA : DNS_A,
	        ev->deadline_us, ev->cancel, ev->arena, &ans);
	for (size_t i = 0; !rc && i < ans->count; i++)
		if (net_addr_eq(&ans->records[i].addr, &peer))
			return RC_OK;
	return error_set(err, rc == RC_DEFER ? RC_DEFER : RC_FAIL, "helo does not match the host");
}

enum rc server_verify_helo(struct eval *ev, struct error *err)
{
	if (ev->session->helo_verified) /* since HELO */
		return RC_OK;
	enum rc rc = helo_is_true(ev, err);
	ev->session->helo_verified = rc == RC_OK;
	return rc;
}
