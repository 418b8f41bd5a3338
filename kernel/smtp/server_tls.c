/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * TLS of a session: STARTTLS, ports where it begins at once, the handshake, and what it proved.
 *
 * STARTTLS asks the ACL, sees to it that there are credentials (454 if not), says 220 in clear, and
 * that is the last byte in clear, either way.  ST_TLS_HELLO reads the ClientHello as it comes,
 * since certificates may depend on its server name; ST_TLS_HANDSHAKE runs on the pool that has as
 * many threads as cores; ST_TLS_END goes on elsewhere.  The whole handshake has one deadline, which
 * bytes do not renew.  While it waits the session is parked like any other. Failure: logged with
 * the client's name, answered by nothing, and the connection ends. Source: RFC 3207, 8446, 8314;
 * Exim specification, chapter 43.
 */
#include "net/tls/tls.h"
#include "smtp/server_private.h"

/* What is expanded for each session, and where it goes. */
#define AT(member) offsetof(struct tls_settings, member)
static const struct tls_text {
	enum main_option option;
	uint16_t at; /* in struct tls_settings */
	bool is_file;
	const char *name;
} texts[] = {
    {MO_tls_certificate, AT(certificate), true, "tls_certificate"},
    {MO_tls_privatekey, AT(privatekey), true, "tls_privatekey"},
    {MO_tls_verify_certificates, AT(trust), true, "tls_verify_certificates"},
    {MO_tls_crl, AT(crl), true, "tls_crl"},
    {MO_tls_require_ciphers, AT(ciphers), false, "tls_require_ciphers"},
    {MO_tls_eccurve, AT(groups), false, "tls_eccurve"},
    {MO_tls_alpn, AT(alpn), false, "tls_alpn"},
    {MO_tls_dhparam, AT(dhparam), true, "tls_dhparam"},
    {MO_tls_ocsp_file, AT(ocsp_file), true, "tls_ocsp_file"},
};
#undef AT
#define TEXTS (sizeof texts / sizeof texts[0])

static slice_t *text_in(struct tls_settings *set, const struct tls_text *t)
{
	return (slice_t *)(void *)((char *)set + t->at);
}

static bool is_set(slice_t s)
{
	return !slice_is_absent(s) && s.len;
}

/* A forced failure leaves an option unset. */
static enum rc expand_texts(struct eval *ev, struct tls_settings *out, struct error *err)
{
	for (size_t i = 0; i < TEXTS; i++) {
		slice_t *to = text_in(out, &texts[i]), text = slice_absent();
		enum rc rc = config_expand(ev, texts[i].option, &text, err);
		if (rc && rc != RC_FAIL)
			return error_wrap(err, rc, "expansion of %s", texts[i].name);
		*to = rc ? slice_absent() : text;
		if (is_set(*to) && texts[i].is_file && !slice_is_clean(*to))
			return error_set(err, RC_ERROR, "tainted file name in %s: \"%.*s\"",
			    texts[i].name, SL_ARG(*to));
	}
	return RC_OK;
}

static enum rc complete_settings(
    const struct config *cfg, struct tls_settings *set, struct error *err)
{
	set->server = true;
	set->self_signed_for =
	    is_set(set->certificate) ? slice_absent() : config_process(cfg)->primary_hostname;
	if (set->verify != TLS_VERIFY_NONE && !is_set(set->trust))
		return error_set(err, RC_ERROR,
		    "tls_verify_hosts or tls_try_verify_hosts is set, but tls_verify_certificates "
		    "is not");
	return RC_OK;
}

/* Unlike host_matches: who cannot be looked up does not slip past a demand for a certificate. */
static enum rc client_in(struct run *r, enum main_option o, bool *out, struct error *err)
{
	struct match_list *l = config_list(r->s->cfg, o);
	enum rc rc = l ? match_client(&r->ev, l, NULL, err) : RC_FAIL;
	*out = rc == RC_OK;
	return rc == RC_FAIL ? RC_OK : rc;
}

static enum rc make_settings(struct run *r, struct tls_settings *out, struct error *err)
{
	bool must = false, may = false;
	enum rc rc = client_in(r, MO_tls_verify_hosts, &must, err);
	if (!rc && !must)
		rc = client_in(r, MO_tls_try_verify_hosts, &may, err);
	if (!rc)
		rc = expand_texts(&r->ev, out, err);
	out->verify = must ? TLS_VERIFY_REQUIRE : may ? TLS_VERIFY_TRY : TLS_VERIFY_NONE;
	out->resumption = !must && !may && host_matches(r, MO_tls_resumption_hosts);
	r->s->tls_resumption = out->resumption;
	return rc ? rc : complete_settings(r->s->cfg, out, err);
}

/* The context by what is known of the client now. */
static enum rc choose_context(struct run *r, struct error *err)
{
	struct session *s = r->s;
	struct tls_settings set = {0};
	struct tls_context *found = NULL;
	const char *stale = NULL;
	struct error busy = {0};
	enum rc rc = make_settings(r, &set, err);
	if (rc)
		return rc;
	bool bracketed = !pool_blocking_begin(r->w, POOL_FOR_DISK, 0, &busy);
	rc = tls_context_get(s->server->cfg.services->tls, &set, r->scratch, &found, &stale, err);
	if (bracketed)
		pool_blocking_end(r->w);
	if (stale)
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC,
		    "TLS: %s; going on with what was loaded before", stale);
	if (rc)
		return rc;
	tls_context_unref(&s->tls_context);
	s->tls_context = found;
	return RC_OK;
}

bool session_tls_offered(struct run *r)
{
	struct session *s = r->s;
	struct services *sv = s->server->cfg.services;
	return s->layer == LAYER_PLAIN && !s->handed && sv && sv->tls &&
	       host_matches(r, MO_tls_advertise_hosts);
}

bool smtp_server_port_is_tls(const struct config *cfg, struct arena *scratch, int64_t port)
{
	slice_t ports = config_text(cfg, MO_tls_on_connect_ports), item;
	uint64_t pos = 0;
	int64_t n;
	if (!is_set(ports))
		return false;
	while (expand_list_next(scratch, ports, &pos, &item)) {
		if (slice_eqis(item, "smtps") || slice_eqis(item, "ssmtp") ||
		    slice_eqis(item, "submissions"))
			item = SL("465");
		if (slice_to_i64(item, 10, false, &n) && n == port)
			return true;
	}
	return false;
}

bool session_tls_begins_at_once(const struct session *s)
{
	const struct smtp_server_config *c = &s->server->cfg;
	if (s->handed || c->played)
		return false;
	return c->tls_on_connect ||
	       smtp_server_port_is_tls(s->cfg, s->arena, s->facts.interface_port);
}

/* ---- the beginning ---- */
static void await_hello(struct session *s)
{
	s->state = ST_TLS_HELLO;
	s->deadline_us = clock_mono_us() + s->command_timeout_us;
}

void session_tls_start(struct run *r)
{
	struct error err = {0};
	struct services *sv = r->s->server->cfg.services;
	await_hello(r->s);
	if (!sv || !sv->tls)
		session_tls_failed(r, SL("not available here"));
	else if (choose_context(r, &err))
		session_tls_failed(r, slice_cstr(err.text));
}

void serve_starttls(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	struct error err = {0};
	if (!s->tls_advertised) {
		synprot_error(r, true, 503, SL("STARTTLS command used when not advertised"));
		return;
	}
	/* enforced here, whatever the configuration says: it would pass for what TLS protects */
	bool enforced = s->enforce_sync;
	s->enforce_sync = true;
	bool injected = sync_violated(r);
	s->enforce_sync = enforced;
	if (injected)
		return;
	if (session_acl(r, ACL_STARTTLS, MO_acl_smtp_starttls, slice_absent(), &out) !=
	    ACL_ACCEPT) {
		if (acl_refuse(r, ACL_STARTTLS, &out, SL("")))
			session_close(r, "acl-drop");
		return;
	}
	if (choose_context(r, &err)) {
		log_tls_error(r, "cert/key setup", slice_cstr(err.text));
		reply(r, 454, SL("TLS currently unavailable"));
		return;
	}
	log_transaction_cut(r, "STARTTLS");
	session_reset_transaction(s);
	reply(r, 220, SL("TLS go ahead"));
	await_hello(s);
}

/* ---- the handshake ---- */
static void end_failed(struct run *r)
{
	struct session *s = r->s;
	s->layer = LAYER_NONE;
	s->lost = true;
	if (!s->tls_on_connect)
		log_connection_end(r, "closed by EOF");
	session_close(r, "tls-failed");
}

void session_tls_failed(struct run *r, slice_t why)
{
	log_tls_error(r, "SSL_accept", why);
	end_failed(r);
}

static struct pool *handshake_pool(const struct session *s)
{
	const struct smtp_server_config *c = &s->server->cfg;
	return c->handshake_pool ? c->handshake_pool : c->pool;
}

static enum step failed_there(struct run *r, const char *why)
{
	struct session *s = r->s;
	s->layer = LAYER_NONE;
	log_tls_error(r, "SSL_accept", slice_cstr(why));
	s->state = ST_TLS_END;
	park_set_pool(s->park, s->server->cfg.pool, POOL_SESSION);
	return STEP_WAIT;
}

/* Do the credentials depend on the name that the client asks for?  As Exim decides it. */
static bool by_server_name(const struct session *s)
{
	slice_t t = config_text(s->cfg, MO_tls_certificate);
	return is_set(t) && (slice_search(t, SL("tls_in_sni")) != SIZE_MAX ||
	                        slice_search(t, SL("tls_sni")) != SIZE_MAX);
}

enum step serve_tls_hello(struct run *r)
{
	struct session *s = r->s;
	struct tls_hello hello = {.sni = slice_absent()};
	struct error err = {0};
	if (s->layer == LAYER_PLAIN) {
		if (!reply_flush(r))
			return STEP_AGAIN; /* the 220 is on its way */
		s->layer = LAYER_HELLO;
	}
	slice_t in = run_pending(r);
	if (!in.len)
		return STEP_INPUT;
	enum rc rc = tls_hello_parse(in, &hello, &err);
	if (rc == RC_DEFER && in.len < TLS_HELLO_MAX)
		return STEP_INPUT;
	if (!rc && is_set(hello.sni)) {
		s->facts.tls_in_sni = arena_dup(s->arena, hello.sni);
		if (by_server_name(s))
			rc = choose_context(r, &err);
	}
	if (!rc)
		rc = tls_server_new(s->tls_context, s->fd, &hello, in, &s->tls, &err);
	r->in_at = r->in_len;
	tls_context_unref(&s->tls_context);
	if (rc) {
		session_tls_failed(r, err.text[0] ? slice_cstr(err.text) : SL("no ClientHello"));
		return STEP_AGAIN;
	}
	s->layer = LAYER_NONE;
	s->state = ST_TLS_HANDSHAKE;
	park_set_pool(s->park, handshake_pool(s), POOL_SESSION);
	return STEP_WAIT;
}

enum step serve_tls_handshake(struct run *r)
{
	struct session *s = r->s;
	struct error err = {0};
	switch (tls_handshake(s->tls, &err)) {
	case TLS_DONE:
		s->layer = LAYER_TLS;
		s->read_wants = EPOLLIN;
		s->write_wants = EPOLLOUT;
		s->state = ST_TLS_END;
		park_set_pool(s->park, s->server->cfg.pool, POOL_SESSION);
		return STEP_WAIT;
	case TLS_WANT_READ:
		r->tls_events = EPOLLIN;
		return STEP_TLS;
	case TLS_WANT_WRITE:
		r->tls_events = EPOLLOUT;
		return STEP_TLS;
	case TLS_CLOSED:
	case TLS_TRUNCATED:
		return failed_there(r, "TCP connection closed by peer");
	case TLS_FAILED:
		break;
	}
	return failed_there(r, err.text[0] ? err.text : "unknown");
}

/* RFC 3207, 4.2: what the client said before is as if it had not been said. */
static void forget_greeting(struct session *s)
{
	struct session_facts *f = &s->facts;
	slice_t no = slice_absent();
	f->sender_helo_name = f->sender_host_authenticated = f->authenticated_id =
	    f->authenticated_fail_id = no;
	f->auth[0] = f->auth[1] = f->auth[2] = no;
	f->authentication_failed = 0;
	session_update_host(f);
	s->auth_advertised = s->count_helo = s->count_auth = false;
	if (!config_bool(s->cfg, MO_tls_remember_esmtp)) {
		s->helo_seen = s->esmtp = false;
		session_forget_offers(s);
	}
}

static void take_facts(struct session *s)
{
	struct session_facts *f = &s->facts;
	struct tls_facts t;
	tls_session_facts(s->tls, s->arena, &t);
	facts_tls_in(f, &t);
	/* bits of 43.17: without tls_resumption_hosts nothing of it is served */
	if (!s->tls_resumption)
		f->tls_in_resumption = 0;
}

enum step serve_tls_end(struct run *r)
{
	struct session *s = r->s;
	if (s->layer != LAYER_TLS) {
		end_failed(r);
		return STEP_AGAIN;
	}
	take_facts(s);
	s->tls_advertised = false;
	if (!s->tls_on_connect)
		forget_greeting(s);
	s->facts.received_protocol = session_protocol(s);
	s->state = ST_COMMAND;
	s->deadline_us = 0;
	r->read_dry = false; /* its first command may have come with the end of the handshake */
	if (s->tls_on_connect)
		serve_connected(r);
	return STEP_AGAIN;
}

void session_tls_closes(struct session *s)
{
	if (s->layer == LAYER_TLS)
		tls_close_next(s->tls);
}

void session_tls_drop(struct session *s, bool say_goodbye)
{
	tls_free(&s->tls, say_goodbye);
	tls_context_unref(&s->tls_context);
}

/* ---- when a configuration is loaded ---- */
/* Does a list of hosts say that nobody is meant? */
static bool nobody(const struct config *cfg, enum main_option o)
{
	const struct option_value *v = config_main(cfg, o);
	slice_t text;
	if (!v->list)
		return true;
	return v->expr ? expr_constant(v->expr, &text) && !slice_trim(text).len : !is_set(v->text);
}

/* With every text a constant: what a session would use.  FAIL: some are not, each session will see.
 */
static enum rc constant_settings(
    const struct config *cfg, struct arena *a, struct tls_settings *out, struct error *err)
{
	struct eval ev;
	slice_t text;
	for (size_t i = 0; i < TEXTS; i++) {
		const struct option_value *v = config_main(cfg, texts[i].option);
		if (v->expr && !expr_constant(v->expr, &text))
			return RC_FAIL;
	}
	eval_init(&ev, a, cfg);
	ev.process = config_process(cfg);
	enum rc rc = expand_texts(&ev, out, err);
	if (!nobody(cfg, MO_tls_verify_hosts))
		out->verify = TLS_VERIFY_REQUIRE;
	else if (!nobody(cfg, MO_tls_try_verify_hosts))
		out->verify = TLS_VERIFY_TRY;
	return rc ? rc : complete_settings(cfg, out, err);
}

enum rc smtp_server_check_tls(const struct config *cfg, struct tls_contexts *contexts,
    bool *out_self_signed, struct error *err)
{
	struct tls_contexts *strict = NULL; /* which has no older credentials to go on with */
	struct tls_context *ctx = NULL;
	struct tls_settings set = {0};
	*out_self_signed = false;
	if (nobody(cfg, MO_tls_advertise_hosts) &&
	    !is_set(config_text(cfg, MO_tls_on_connect_ports)))
		return RC_OK;
	struct arena *a = arena_new(0);
	enum rc rc = constant_settings(cfg, a, &set, err);
	bool self_signed = !rc && !is_set(set.certificate);
	if (!rc && !self_signed)
		rc = tls_contexts_new(&strict, err);
	if (!rc && strict)
		rc = tls_context_get(strict, &set, a, &ctx, NULL, err);
	tls_context_unref(&ctx);
	tls_contexts_free(&strict);
	if (!rc && contexts && !tls_context_get(contexts, &set, a, &ctx, NULL, err))
		tls_context_unref(&ctx); /* so that these are there when the files go bad */
	arena_free(&a);
	*out_self_signed = self_signed;
	return rc == RC_FAIL ? RC_OK : rc;
}
