/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a session with a host is to be like: the options of Exim's smtp transport, read by name, so
 * that they mean the same in every transport that declares them.  A list that cannot be looked
 * through defers: whether TLS is demanded must not depend on whether a lookup happened to work. The
 * key says what connections may be shared: all that decides how one is made is in it.
 */
#include "deliver/remote_private.h"

#define DEFAULT_TIMEOUT_MS INT64_C(300000)

static const struct option_value *option(const struct heddle_job *j, const char *name)
{
	const struct driver *d = j->transport->driver;

	for (uint32_t i = 0; d && j->transport->own && i < d->option_count; i++)
		if (strcmp(d->options[i].name, name) == 0)
			return &j->transport->own[i];
	return NULL;
}

int64_t remote_number(const struct heddle_job *j, const char *name, int64_t otherwise)
{
	const struct option_value *o = option(j, name);
	int64_t v;
	struct error err;

	if (!o || slice_is_absent(o->text))
		return otherwise;
	if (!o->expr)
		return o->number;
	return expr_eval_int(&j->attempt->ev, o->expr, &v, &err) == RC_OK ? v : otherwise;
}

enum rc remote_text(const struct heddle_job *j, const char *name, slice_t *out, struct error *err)
{
	const struct option_value *o = option(j, name);

	*out = o ? o->text : slice_absent();
	if (!o || !o->expr)
		return RC_OK;
	enum rc rc = expr_eval(&j->attempt->ev, o->expr, out, err);
	if (rc == RC_FAIL)
		*out = slice_absent();
	return rc == RC_FAIL ? RC_OK : error_wrap(err, rc, "%s", name);
}

enum rc remote_listed(const struct heddle_job *j, const char *name,
    const struct heddle_route_host *h, bool *out, struct error *err)
{
	const struct option_value *o = option(j, name);
	const struct match_host m = {.address = h->address, .name = h->name, .name_is_final = true};

	*out = false;
	if (!o || !o->list)
		return RC_OK;
	enum rc rc = match_host(&j->attempt->ev, o->list, &m, NULL, err);
	*out = rc == RC_OK;
	return rc == RC_OK || rc == RC_FAIL ? RC_OK : error_wrap(err, rc, "%s", name);
}

static bool is_empty(slice_t s)
{
	return slice_is_absent(s) || slice_trim(s).len == 0;
}

/* ---- where to
 * ------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint16_t port;
} ports[] = {{"smtp", 25}, {"submission", 587}, {"lmtp", 24}, {"smtps", 465}, {"submissions", 465}};

static enum rc port_of(const struct heddle_job *j, const struct heddle_route_host *h,
    const struct client_target *t, uint16_t *out, struct error *err)
{
	slice_t s;
	int64_t n;

	*out = (uint16_t)h->port;
	if (h->port)
		return h->port <= UINT16_MAX ? RC_OK
		                             : error_set(err, RC_ERROR, "invalid port %u", h->port);
	enum rc rc = remote_text(j, "port", &s, err);
	if (rc != RC_OK)
		return rc;
	*out = t->lmtp ? 24 : t->tls.on_connect ? 465 : 25;
	if (is_empty(s))
		return RC_OK;
	s = slice_trim(s);
	for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
		if (slice_eqis(s, ports[i].name)) {
			*out = ports[i].port;
			return RC_OK;
		}
	if (!slice_to_i64(s, 10, false, &n) || n < 1 || n > UINT16_MAX)
		return error_set(err, RC_ERROR, "invalid port \"%.*s\"", SL_ARG(s));
	*out = (uint16_t)n;
	return RC_OK;
}

/* The first address of `interface` that is of the host's family. */
static enum rc interface_of(const struct heddle_job *j, struct client_target *t, struct error *err)
{
	struct vec all = {0};
	slice_t s;
	enum rc rc = remote_text(j, "interface", &s, err);

	if (rc != RC_OK || slice_is_absent(s) || s.len == 0)
		return rc;
	rc = net_addr_parse_list(j->arena, s, &all, err);
	if (rc != RC_OK)
		return error_wrap(err, RC_ERROR, "interface");
	VEC_FOREACH(&all, struct net_addr, a)
	if (a->family == t->to.family) {
		t->from = *a;
		break;
	}
	return RC_OK;
}

/* RFC 2474, 2597, 3246; the last four are the old names of bits of TOS. */
static const struct {
	const char *name;
	int value;
} classes[] = {
    {"cs0", 0},
    {"cs1", 8},
    {"cs2", 16},
    {"cs3", 24},
    {"cs4", 32},
    {"cs5", 40},
    {"cs6", 48},
    {"cs7", 56},
    {"ef", 46},
    {"af11", 10},
    {"af12", 12},
    {"af13", 14},
    {"af21", 18},
    {"af22", 20},
    {"af23", 22},
    {"af31", 26},
    {"af32", 28},
    {"af33", 30},
    {"af41", 34},
    {"af42", 36},
    {"af43", 38},
    {"lowdelay", 4},
    {"throughput", 2},
    {"reliability", 1},
    {"mincost", 0},
};

static enum rc class_of(const struct heddle_job *j, struct client_target *t, struct error *err)
{
	slice_t s;
	int64_t n;
	enum rc rc = remote_text(j, "dscp", &s, err);

	t->dscp = -1;
	if (rc != RC_OK || is_empty(s))
		return rc;
	s = slice_trim(s);
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (slice_eqis(s, classes[i].name)) {
			t->dscp = classes[i].value;
			return RC_OK;
		}
	if (!slice_to_i64(s, 10, false, &n) || n < 0 || n > 63)
		return error_set(err, RC_ERROR, "invalid dscp \"%.*s\"", SL_ARG(s));
	t->dscp = (int)n;
	return RC_OK;
}

static enum rc place_of(const struct heddle_job *j, const struct heddle_route_host *h,
    struct client_target *t, struct error *err)
{
	uint16_t port = 0;
	enum rc rc = port_of(j, h, t, &port, err);

	t->to.port = port;
	if (rc == RC_OK)
		rc = interface_of(j, t, err);
	if (rc == RC_OK)
		rc = class_of(j, t, err);
	if (rc == RC_OK)
		rc = remote_text(j, "helo_data", &t->helo, err);
	if (rc == RC_OK && is_empty(t->helo))
		t->helo = j->attempt->ev.process ? j->attempt->ev.process->primary_hostname
		                                 : SL("localhost");
	return rc;
}

/* ---- what it may be asked for
 * --------------------------------------------------------------------------- */

struct lists { /* of hosts: what being on one means */
	bool avoid_esmtp, avoid_pipelining, serialize, chunking, prdr, pipe_connect;
	bool avoid_tls, require_tls, verify, try_verify, verify_name, resume, nopass, noproxy,
	    require_alpn;
	bool try_auth, require_auth;
};

static enum rc read_lists(const struct heddle_job *j, const struct heddle_route_host *h,
    struct lists *l, struct error *err)
{
	const struct {
		const char *name;
		bool *to;
	} rows[] = {
	    {"hosts_avoid_esmtp", &l->avoid_esmtp},
	    {"hosts_avoid_pipelining", &l->avoid_pipelining},
	    {"serialize_hosts", &l->serialize},
	    {"hosts_try_chunking", &l->chunking},
	    {"hosts_try_prdr", &l->prdr},
	    {"hosts_pipe_connect", &l->pipe_connect},
	    {"hosts_avoid_tls", &l->avoid_tls},
	    {"hosts_require_tls", &l->require_tls},
	    {"tls_verify_hosts", &l->verify},
	    {"tls_try_verify_hosts", &l->try_verify},
	    {"tls_verify_cert_hostnames", &l->verify_name},
	    {"tls_resumption_hosts", &l->resume},
	    {"hosts_nopass_tls", &l->nopass},
	    {"hosts_noproxy_tls", &l->noproxy},
	    {"hosts_require_alpn", &l->require_alpn},
	    {"hosts_try_auth", &l->try_auth},
	    {"hosts_require_auth", &l->require_auth},
	};
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < sizeof rows / sizeof *rows; i++)
		rc = remote_listed(j, rows[i].name, h, rows[i].to, err);
	return rc;
}

static bool is_unset(const struct heddle_job *j, const char *name)
{
	const struct option_value *o = option(j, name);

	return !o || is_empty(o->text);
}

/* Without either list each certificate must be good. */
static enum tls_verify verify_of(const struct heddle_job *j, const struct lists *l, slice_t trust)
{
	if (is_empty(trust))
		return TLS_VERIFY_NONE;
	if (l->verify || (is_unset(j, "tls_verify_hosts") && is_unset(j, "tls_try_verify_hosts")))
		return TLS_VERIFY_REQUIRE;
	return l->try_verify ? TLS_VERIFY_TRY : TLS_VERIFY_NONE;
}

static enum rc tls_of(const struct heddle_job *j, const struct heddle_route_host *h,
    const struct lists *l, struct client_tls *t, struct error *err)
{
	struct tls_settings *s = &t->settings;
	const struct {
		const char *name;
		slice_t *to;
	} rows[] = {
	    {"tls_certificate", &s->certificate},
	    {"tls_privatekey", &s->privatekey},
	    {"tls_verify_certificates", &s->trust},
	    {"tls_crl", &s->crl},
	    {"tls_require_ciphers", &s->ciphers},
	    {"tls_alpn", &s->alpn},
	    {"tls_sni", &t->sni},
	};
	enum rc rc = RC_OK;

	s->self_signed_for = s->groups = s->dhparam = s->ocsp_file = slice_absent();
	for (size_t i = 0; rc == RC_OK && i < sizeof rows / sizeof *rows; i++)
		rc = remote_text(j, rows[i].name, rows[i].to, err);
	if (rc != RC_OK)
		return rc;
	if (slice_is_absent(t->sni))
		t->sni = SL("");
	t->wish = l->require_tls || t->on_connect ? CLIENT_REQUIRE
	          : l->avoid_tls                  ? CLIENT_NEVER
	                                          : CLIENT_TRY;
	t->try_clear = remote_number(j, "tls_tempfail_tryclear", 1) != 0;
	t->no_pass = l->nopass || l->noproxy;
	t->require_alpn = l->require_alpn;
	t->resume = l->resume;
	s->resumption = l->resume;
	s->verify = verify_of(j, l, s->trust);
	t->verify_name = l->verify_name ? (h->name.len ? h->name : h->address) : slice_absent();
	return RC_OK;
}

static void times_of(const struct heddle_job *j, struct client_target *t)
{
	int64_t most = remote_number(j, "connection_max_messages", 500);

	t->keepalive = remote_number(j, "keepalive", 1) != 0;
	t->connect_ms = remote_number(j, "connect_timeout", DEFAULT_TIMEOUT_MS);
	t->command_ms = remote_number(j, "command_timeout", DEFAULT_TIMEOUT_MS);
	t->data_ms = remote_number(j, "data_timeout", DEFAULT_TIMEOUT_MS);
	t->final_ms = remote_number(j, "final_timeout", 2 * DEFAULT_TIMEOUT_MS);
	t->max_messages = most > 0 && most < UINT32_MAX ? (uint32_t)most : 0;
}

/* ---- the key
 * -------------------------------------------------------------------------------------------- */

static void put(struct strbuf *sb, slice_t s)
{
	strbuf_printf(
	    sb, "%u:", slice_is_absent(s) ? 0 : s.len + 1U); /* no text can look like two */
	strbuf_add(sb, s);
}

/* A list whose items the driver expands one by one: as a whole it comes to the same for this
 * purpose. */
static const struct expr *compiled(struct eval *ev, const struct option_value *o)
{
	const struct expr_env env = {.cfg = ev->cfg, .file = o->file, .line = o->line};
	const struct expr *e = NULL;
	struct error err;

	return slice_find(o->text, '$') != SIZE_MAX &&
	               expr_compile(ev->arena, o->text, &env, &e, &err) == RC_OK
	           ? e
	           : NULL;
}

static void put_value(struct eval *ev, struct strbuf *sb, const struct option_value *o)
{
	const struct expr *e = o->expr                    ? o->expr
	                       : slice_is_absent(o->text) ? NULL
	                                                  : compiled(ev, o);
	slice_t v = o->text;
	struct error err;

	if (e && expr_eval(ev, e, &v, &err) != RC_OK)
		v = slice_absent();
	put(sb, v);
}

/* Does it ask for more of TLS than whether it is there? */
static bool asks_tls_details(slice_t text)
{
	static const char *const plain[] = {"tls_out_cipher", "tls_out_bits", "tls_out_ver"};
	size_t at;

	while ((at = slice_search(text, SL("tls_out_"))) != SIZE_MAX) {
		bool known = false;
		text = slice_sub(text, at, text.len);
		for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
			known = known || slice_starts(text, plain[i]);
		if (!known)
			return true;
		text = slice_sub(text, strlen("tls_out_"), text.len);
	}
	return false;
}

/* TLS is not up yet, which may decide whom it says: so what it comes to with and without, or, where
 * that is not all, for this message alone. */
static void put_credential(struct eval *ev, struct strbuf *sb, const struct option_value *o)
{
	struct host_facts *now = ev->host;

	put_value(ev, sb, o);
	if (!o->text.len || !now || slice_search(o->text, SL("tls_out_")) == SIZE_MAX)
		return;
	struct host_facts later = *now;
	later.tls_out_cipher = later.tls_out_cipher_std = later.tls_out_ver = SL("TLS");
	later.tls_out_bits = 128;
	ev->host = &later;
	put_value(ev, sb, o);
	ev->host = now;
	if (asks_tls_details(o->text) && ev->message)
		put(sb, ev->message->id);
}

/* Everything that client_ options of authenticators come to now: a message that would give another
 * name or password does not travel on this one's connection.  What they come to is only kept as a
 * digest. */
static enum rc put_identities(struct heddle_call *c, const struct heddle_job *j, struct strbuf *sb)
{
	struct eval *ev = &j->attempt->ev;
	const struct heddle_instance *a;
	struct strbuf all;
	slice_t sum;

	arena_wipes(j->arena);
	strbuf_init(&all, j->arena, 0);
	for (uint32_t i = 0; (a = config_auth(j->attempt->cfg, i)); i++) {
		if (!config_auth_is_client(a))
			continue;
		put(&all, a->name);
		put_credential(ev, &all, &a->generic[AO_client_condition]);
		put_credential(ev, &all, &a->generic[AO_client_set_id]);
		for (uint32_t k = 0; a->driver && a->own && k < a->driver->option_count; k++)
			if (strncmp(a->driver->options[k].name, "client_", 7) == 0)
				put_credential(ev, &all, &a->own[k]);
	}
	if (services_digest(c, HEDDLE_SHA256, slice_absent(), strbuf_slice(&all), &sum) !=
	    HEDDLE_OK)
		return RC_DEFER;
	put(sb, sum);
	return RC_OK;
}

static enum rc key_of(
    struct heddle_call *c, const struct heddle_job *j, struct client_target *t, struct error *err)
{
	const struct client_tls *tls = &t->tls;
	const struct tls_settings *s = &tls->settings;
	char from[NET_ADDR_TEXT];
	struct strbuf sb;
	enum rc rc = RC_OK;

	strbuf_init(&sb, j->arena, 0);
	put(&sb, j->transport->name);
	put(&sb, t->helo);
	put(&sb, t->from.family ? net_addr_text(&t->from, from) : SL(""));
	strbuf_printf(&sb, "%d%d%d%d %d ", t->lmtp, t->avoid_esmtp, t->avoid_pipelining,
	    (int)t->auth, t->dscp);
	strbuf_printf(&sb, "%d%d%d%d%d%d ", (int)tls->wish, tls->on_connect, tls->try_clear,
	    tls->resume, tls->require_alpn, (int)s->verify);
	const slice_t texts[] = {tls->sni, tls->verify_name, s->certificate, s->privatekey,
	    s->trust, s->crl, s->ciphers, s->alpn};
	for (size_t i = 0; tls->wish != CLIENT_NEVER && i < sizeof texts / sizeof *texts; i++)
		put(&sb, texts[i]);
	if (t->auth != CLIENT_NEVER)
		rc = put_identities(c, j, &sb);
	t->key = strbuf_slice(&sb);
	return rc == RC_OK ? RC_OK : error_set(err, rc, "no digest of what it authenticates with");
}

enum rc remote_target(struct heddle_call *c, const struct heddle_job *j,
    const struct heddle_route_host *h, bool lmtp, struct client_target *t, struct error *err)
{
	struct lists l = {.avoid_esmtp = false};
	slice_t protocol;

	*t = (struct client_target){.lmtp = lmtp,
	    .name = h->name.len ? h->name : h->address,
	    .ev = &j->attempt->ev,
	    .log = j->attempt->log,
	    .id = j->attempt->id_text};
	if (!net_addr_parse(h->address, &t->to))
		return error_set(err, RC_DEFER, "host %.*s has no address", SL_ARG(h->name));
	enum rc rc = remote_text(j, "protocol", &protocol, err);
	if (rc == RC_OK) {
		t->tls.on_connect = slice_eqis(protocol, "smtps");
		rc = place_of(j, h, t, err);
	}
	if (rc == RC_OK)
		rc = read_lists(j, h, &l, err);
	if (rc == RC_OK)
		rc = tls_of(j, h, &l, &t->tls, err);
	if (rc != RC_OK)
		return rc;
	t->avoid_esmtp = l.avoid_esmtp;
	t->avoid_pipelining = l.avoid_pipelining;
	t->serialize = l.serialize;
	t->chunking = l.chunking;
	t->prdr = l.prdr;
	t->pipe_connect = l.pipe_connect;
	t->auth = l.require_auth ? CLIENT_REQUIRE : l.try_auth ? CLIENT_TRY : CLIENT_NEVER;
	t->forced = j->attempt->forced;
	times_of(j, t);
	return key_of(c, j, t, err);
}
