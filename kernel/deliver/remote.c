/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The SMTP client sessions that the delivery service hands out.  A transport orders hosts and
 * counts tries; what a session is to be like remote_target.c reads from the options that it
 * declares. A recipient that is final has its outcome set; one that another host may still take has
 * it noted, and it becomes final when the transport gives up.
 */
#include "deliver/remote_private.h"
#include "net/dns/dns_hosts.h"

struct heddle_session {
	struct client_session *client;
	struct heddle_job *job;
	uint32_t host;
	uint16_t port;
	slice_t mail_auth;             /* what AUTH= of the last message says, or ABSENT */
	const struct outcome_via *via; /* how it went */
	struct client_facts facts;
};

/* ---- what came of it
 * ------------------------------------------------------------------------------------ */

static void note(struct heddle_job *j, struct outcome *o, const struct client_outcome *in,
    uint32_t host, bool is_final)
{
	if (o->is_set)
		return;
	*o = (struct outcome){.is_set = is_final,
	    .result = in->result,
	    .smtp = in->smtp,
	    .host = (int32_t)host,
	    .about = in->about};
	memcpy(o->enhanced, in->enhanced, sizeof o->enhanced);
	o->text = arena_dup(j->attempt->arena, in->text);
	o->via = j->session ? j->session->via : NULL;
}

/* One that goes for all recipients that have none of their own (r NULL: all). */
static int32_t conclude(struct heddle_call *c, struct heddle_job *j, uint32_t host,
    const struct client_outcome *why, const struct client_recipient *r)
{
	struct group *g = j->group;

	for (size_t i = 0; i < g->addresses.count; i++)
		if (!r || !r[i].has_outcome)
			note(j, &g->outcomes[i], why, host, why->result == RC_FAIL);
	g->host_outcomes[host].is_set = false; /* the last one stands */
	note(j, &g->host_outcomes[host], why, host, true);
	c->services->host.reason(c, why->smtp, slice_absent(), why->text);
	return why->result == RC_FAIL ? HEDDLE_FAIL : HEDDLE_DEFER;
}

/* Temporary trouble with a host is no delivery line yet: the next host may do.  "H=name [address]:
 * text". */
void remote_log_host(struct heddle_job *j, const struct heddle_route_host *h, uint16_t port,
    const struct client_outcome *o)
{
	bool is_reply = o->smtp != 0;
	struct strbuf sb;

	/* what is about one recipient is in its own line; not to be tried yet is no news */
	if (o->result != RC_DEFER || o->about == 0 || o->about == HEDDLE_X_RECIPIENT ||
	    slice_starts(o->text, NOT_YET))
		return;
	strbuf_init(&sb, j->arena, 0);
	strbuf_text(&sb, "H=");
	if (h->name.len)
		strbuf_printf(&sb, "%.*s ", SL_ARG(h->name));
	strbuf_printf(&sb, "[%.*s]", SL_ARG(h->address));
	if (log_selected(j->attempt->log, LOG_OUTGOING_PORT))
		strbuf_printf(&sb, ":%u", port);
	strbuf_printf(&sb, "%s %.*s", is_reply ? ":" : "", SL_ARG(o->text));
	log_text(
	    j->attempt->log, LOG_TO_MAIN, j->attempt->id_text, strbuf_slice(&sb), slice_absent());
}

/* ---- sessions
 * ------------------------------------------------------------------------------------------- */

void remote_done(struct heddle_job *j)
{
	if (j->session)
		client_close(&j->session->client);
	j->session = NULL;
	j->attempt->ev.host = NULL;
}

void remote_set_host(struct heddle_job *j, const struct heddle_route_host *h)
{
	j->host_facts = (struct host_facts){.host = h->name.len ? h->name : h->address,
	    .host_address = h->address,
	    .sending_ip_address = slice_absent(),
	    .host_port = h->port};
	facts_tls_out(&j->host_facts, NULL);
	j->attempt->ev.host = &j->host_facts;
}

/* How it got there: for $tls_out_ and the log. */
static void take_facts(struct heddle_job *j)
{
	struct host_facts *f = &j->host_facts;
	struct outcome_via *via = ARENA_NEW(j->attempt->arena, struct outcome_via);
	struct client_facts facts;
	struct net_addr own;
	char buf[NET_ADDR_TEXT];

	client_session_facts(j->session->client, &facts);
	*via = (struct outcome_via){.authenticator = facts.authenticator,
	    .authenticated_id = facts.authenticated_id,
	    .is_tls = facts.is_tls,
	    .verified = facts.verified,
	    .resumed = facts.tls.resumed,
	    .cipher = facts.tls.cipher,
	    .peerdn = facts.tls.peerdn,
	    .interface = slice_absent(),
	    .port = j->session->port,
	    .used = facts.used};
	if (!slice_is_absent(facts.authenticator))
		via->mail_auth = j->session->mail_auth;
	j->session->via = via;
	if (client_local_addr(j->session->client, &own)) {
		f->sending_ip_address = via->interface =
		    arena_dup(j->arena, net_addr_text(&own, buf));
		f->sending_port = via->interface_port = own.port;
	}
	facts_tls_out(f, facts.is_tls ? &facts.tls : NULL);
	j->session->facts = facts;
}

static void log_session(const struct heddle_job *j, const struct heddle_route_host *h)
{
	const struct client_facts *f = &j->session->facts;

	if (f->stale)
		log_panic(j->attempt->log, j->attempt->id_text, "%s", f->stale);
	if (!slice_is_absent(f->fell_back) && !f->reused)
		log_main(j->attempt->log, j->attempt->id_text,
		    "%.*s: delivering unencrypted to H=%.*s [%.*s] (not in hosts_require_tls)",
		    SL_ARG(f->fell_back), SL_ARG(h->name), SL_ARG(h->address));
}

/* RFC 5321, 4.5.3.1.6: no server need take it, and no other host would be better. */
bool remote_is_too_long(const struct heddle_job *j)
{
	int64_t limit = remote_number(j, "message_linelength_limit", 0);

	return limit > 0 && j->attempt->m->facts.max_received_linelength > limit;
}

static int32_t too_long(struct heddle_call *c, struct heddle_job *j)
{
	const struct client_outcome why = {.result = RC_FAIL,
	    .about = HEDDLE_X_MESSAGE,
	    .text = SL("message has lines too long for transport")};
	struct group *g = j->group;

	for (size_t i = 0; i < g->addresses.count; i++)
		note(j, &g->outcomes[i], &why, UINT32_MAX, true);
	return call_refuse(c, HEDDLE_FAIL, "%.*s", SL_ARG(why.text));
}

static int32_t session_is(struct heddle_job *j, uint32_t host, uint16_t port,
    struct client_session *client, struct heddle_session **out)
{
	j->session = ARENA_NEW(j->arena, struct heddle_session);
	*j->session = (struct heddle_session){
	    .client = client, .job = j, .host = host, .port = port, .mail_auth = slice_absent()};
	take_facts(j);
	log_session(j, VEC_AT(j->group->hosts, struct heddle_route_host, host));
	*out = j->session;
	return HEDDLE_OK;
}

/* The kernel has been there already: what came of it, and what is left to do. */
static int32_t session_found(struct heddle_call *c, struct heddle_job *j, struct host_found *f,
    bool lmtp, struct heddle_session **out)
{
	const struct client_wait w = {.deadline_us = c->deadline_us, .cancel = c->cancel};
	const struct heddle_route_host *h =
	    VEC_AT(j->group->hosts, struct heddle_route_host, f->host);
	struct client_session *client = f->client;

	if (lmtp != (j->connector->plan.lmtp != 0))
		return call_refuse(c, HEDDLE_ERROR, "plan() has said something else of lmtp");
	if (f->what == FOUND_REFUSED)
		return call_refuse(c, f->result, "%.*s", SL_ARG(f->text));
	if (f->what == FOUND_OPEN) {
		f->what = FOUND_TAKEN;
		c->services->host.block_begin(c);
		enum rc rc = client_open_prepared(client, &w, &f->why);
		c->services->host.block_end(c);
		if (rc == RC_OK)
			return session_is(j, f->host, f->port, client, out);
		remote_log_host(j, h, f->port, &f->why);
	}
	f->what = FOUND_TAKEN;
	return conclude(c, j, f->host, &f->why, NULL);
}

int32_t remote_session(struct heddle_call *c, struct heddle_job *j, uint32_t i,
    struct heddle_conn *conn, uint32_t lmtp, struct heddle_session **out)
{
	struct client_target t;
	struct client_outcome why;
	struct client_session *client = NULL;
	const struct client_wait w = {.deadline_us = c->deadline_us, .cancel = c->cancel};
	struct error err = {.text = ""};

	if (conn)
		return call_refuse(c, HEDDLE_ERROR,
		    "not supported yet: a session over a transport's own connection");
	if (i >= j->group->hosts->count)
		return call_refuse(c, HEDDLE_ERROR, "there is no host %u", i);
	remote_done(j);
	if (remote_is_too_long(j))
		return too_long(c, j);
	const struct heddle_route_host *h = VEC_AT(j->group->hosts, struct heddle_route_host, i);
	remote_set_host(j, h);
	struct host_found *found = remote_find(j, i);
	if (found)
		return session_found(c, j, found, lmtp != 0, out);
	enum rc rc = remote_target(c, j, h, lmtp != 0, &t, &err);
	if (rc != RC_OK)
		return call_refuse(c, rc == RC_ERROR ? HEDDLE_ERROR : HEDDLE_DEFER, "%s", err.text);
	if (!retry_host_may_try(j->attempt, j->group, i, t.to.port, &t.is_due))
		return call_refuse(c, HEDDLE_DEFER, "%s", NOT_YET " for any host");
	c->services->host.block_begin(c);
	rc = client_open(j->attempt->d->clients, &t, &w, j->arena, &client, &why);
	c->services->host.block_end(c);
	if (rc == RC_OK)
		return session_is(j, i, t.to.port, client, out);
	remote_log_host(j, h, t.to.port, &why);
	return conclude(c, j, i, &why, NULL);
}

/* ---- sending
 * -------------------------------------------------------------------------------------------- */

struct source { /* the message, for the client */
	struct heddle_call *c;
	struct heddle_reader *r;
};

static enum rc why_not(struct source *s, int32_t result, struct error *err)
{
	slice_t why = s->c->reason_given ? s->c->reason_logged : SL("no reason given");

	return error_set(err, result == HEDDLE_ERROR ? RC_ERROR : RC_DEFER, "%.*s", SL_ARG(why));
}

static enum rc open_source(void *ctx, bool dotted, struct error *err)
{
	struct source *s = ctx;
	uint32_t wire = dotted ? HEDDLE_WIRE_DOTS : HEDDLE_WIRE_CRLF;
	int32_t result = message_service.open(s->c, wire, slice_absent(), slice_absent(), &s->r);

	return result == HEDDLE_OK ? RC_OK : why_not(s, result, err);
}

static enum rc read_source(void *ctx, char *buf, size_t cap, size_t *got, struct error *err)
{
	struct source *s = ctx;
	uint64_t n = 0;
	int32_t result = message_service.read(s->c, s->r, buf, cap, &n);

	*got = (size_t)n;
	return result == HEDDLE_OK ? RC_OK : why_not(s, result, err);
}

/* A header that RFC 5322 does not allow, of a message that was declared to be such (RFC 6532). What
 * Received: says of whom it was for is no reason to keep it from them. */
static bool has_utf8_header(const struct message *m)
{
	for (const struct header *h = m->headers.first; h; h = h->next) {
		if (h->type == '*' || slice_eqis(slice_sub(h->text, 0, h->name_len), "Received"))
			continue;
		for (uint32_t i = 0; i < h->text.len; i++)
			if ((unsigned char)h->text.ptr[i] > 126)
				return true;
	}
	return false;
}

/* AUTH=: what the transport says, else who the message came from where that was vouched for. */
static enum rc put_sender(const struct heddle_job *j, struct client_message *m, struct error *err)
{
	enum rc rc = remote_text(j, "authenticated_sender", &m->authenticated_sender, err);

	if (rc == RC_OK && !m->authenticated_sender.len)
		m->authenticated_sender = j->attempt->m->facts.authenticated_sender;
	if (!m->authenticated_sender.len) /* none, however it was said */
		m->authenticated_sender = slice_absent();
	m->force_auth = remote_number(j, "authenticated_sender_force", 0) != 0;
	return rc;
}

static enum rc message_for(
    const struct heddle_job *j, struct source *s, struct client_message *m, struct error *err)
{
	const struct message *msg = j->attempt->m;
	int64_t more = remote_number(j, "size_addition", 1024), how = -1;
	slice_t utf8;

	*m = (struct client_message){.sender = j->sender,
	    .envid = slice_absent(),
	    .body_8bit = msg->body_8bit,
	    .smtputf8 = msg->smtputf8,
	    .utf8_header = msg->smtputf8 && has_utf8_header(msg),
	    .ignore_quota = remote_number(j, "lmtp_ignore_quota", 0) != 0,
	    .ctx = s,
	    .open = open_source,
	    .read = read_source};
	if (msg->facts.dsn_envid.len)
		m->envid = msg->facts.dsn_envid;
	m->ret = slice_eqs(msg->facts.dsn_ret, "FULL")   ? CLIENT_RET_FULL
	         : slice_eqs(msg->facts.dsn_ret, "HDRS") ? CLIENT_RET_HDRS
	                                                 : CLIENT_RET_NONE;
	if (more >= 0)
		m->size = msg->size_bytes + (uint64_t)more;
	enum rc rc = put_sender(j, m, err);
	if (rc == RC_OK)
		rc = remote_text(j, "utf8_downconvert", &utf8, err);
	if (rc != RC_OK)
		return rc;
	if (utf8.len && (!slice_to_i64(slice_trim(utf8), 10, true, &how) || how < -1 || how > 1))
		return error_set(err, RC_ERROR,
		    "utf8_downconvert is \"%.*s\": -1, 0 or 1 was expected", SL_ARG(utf8));
	m->utf8_downconvert = (int)how;
	return RC_OK;
}

static struct client_recipient *recipients_of(struct heddle_call *c, const struct heddle_job *j)
{
	const struct group *g = j->group;
	struct client_recipient *r =
	    ARENA_ARRAY(j->arena, struct client_recipient, g->addresses.count + 1);

	for (uint32_t i = 0; i < g->addresses.count; i++) {
		struct heddle_recipient out = {.struct_size = sizeof out};
		(void)delivery_service.recipient(c, j, i, &out);
		r[i].address = out.address;
		r[i].orcpt = out.original;
		r[i].notify = out.flags & (HEDDLE_DSN_NEVER | HEDDLE_DSN_SUCCESS |
		                              HEDDLE_DSN_FAILURE | HEDDLE_DSN_DELAY);
		r[i].has_outcome = g->outcomes[i].is_set;
	}
	return r;
}

int32_t remote_send(struct heddle_call *c, struct heddle_session *s, struct heddle_job *j)
{
	struct source source = {.c = c};
	struct client_message m;
	struct client_outcome why = {.result = RC_OK};
	struct error err = {.text = ""};
	struct group *g = j->group;

	if (!s || s != j->session || !s->client)
		return call_refuse(c, HEDDLE_ERROR, "that session is not open");
	const struct heddle_route_host *h = VEC_AT(g->hosts, struct heddle_route_host, s->host);
	struct client_recipient *r = recipients_of(c, j);
	enum rc rc = message_for(j, &source, &m, &err);
	if (rc != RC_OK)
		return call_refuse(c, rc == RC_ERROR ? HEDDLE_ERROR : HEDDLE_DEFER, "%s", err.text);
	s->mail_auth = arena_dup(j->attempt->arena, m.authenticated_sender);
	c->services->host.block_begin(c);
	rc = client_send(s->client, &m, r, g->addresses.count, &why);
	c->services->host.block_end(c);
	take_facts(j); /* also, it may have been another connection in the end */
	const struct client_outcome *later = NULL;
	for (size_t i = 0; i < g->addresses.count; i++) {
		if (!r[i].has_outcome || g->outcomes[i].is_set)
			continue;
		note(j, &g->outcomes[i], &r[i].outcome, s->host, r[i].outcome.result != RC_DEFER);
		remote_log_host(j, h, s->port, &r[i].outcome);
		if (r[i].outcome.result == RC_DEFER)
			later = &r[i].outcome;
	}
	if (rc != RC_OK) {
		remote_log_host(j, h, s->port, &why);
		return conclude(c, j, s->host, &why, r);
	}
	if (!later)
		return HEDDLE_OK;
	c->services->host.reason(c, later->smtp, slice_absent(), later->text);
	return HEDDLE_DEFER;
}

/* ---- hosts of the transport's own
 * ----------------------------------------------------------------------- */

/* The list is the first address's; what the transport adds is for this group alone. */
static void push_host(struct heddle_job *j, const struct heddle_route_host *h)
{
	struct group *g = j->group;
	struct arena *a = j->attempt->arena; /* the log reads it after the transport is through */

	if (!j->own_hosts) {
		j->own_hosts = ARENA_NEW(a, struct vec);
		VEC_FOREACH(g->hosts, struct heddle_route_host, old)
		*VEC_PUSH(a, j->own_hosts, struct heddle_route_host) = *old;
		g->hosts = j->own_hosts;
	}
	*VEC_PUSH(a, j->own_hosts, struct heddle_route_host) = *h;
	struct outcome *bigger = ARENA_ARRAY(a, struct outcome, g->hosts->count + 1);
	memcpy(bigger, g->host_outcomes, (g->hosts->count - 1) * sizeof *bigger);
	g->host_outcomes = bigger;
}

static bool is_own(const struct heddle_job *j, const struct net_addr *a)
{
	const struct net_interfaces *own =
	    j->attempt->ev.services ? j->attempt->ev.services->own_addresses : NULL;

	return net_addr_is_any(a) || net_addr_is_loopback(a) || (own && net_interfaces_has(own, a));
}

/* One address of a host that the transport names.  Ourselves only with allow_localhost. */
static int32_t push_address(struct heddle_call *c, struct heddle_job *j,
    const struct heddle_route_host *in, const struct net_addr *a)
{
	struct arena *arena = j->attempt->arena;
	char buf[NET_ADDR_TEXT];
	struct heddle_route_host h = *in;

	if (is_own(j, a) && remote_number(j, "allow_localhost", 0) == 0)
		return call_refuse(c, HEDDLE_DEFER,
		    "%.*s transport found host %.*s to be the local host",
		    SL_ARG(j->transport->name), SL_ARG(in->name));
	h.struct_size = sizeof h;
	h.address = arena_dup(arena, net_addr_text(a, buf));
	h.name = arena_dup(arena, in->name.len ? in->name : h.address);
	h.transport = slice_absent();
	push_host(j, &h);
	return HEDDLE_OK;
}

static int32_t push_resolved(
    struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in)
{
	struct dns_hosts *found = NULL;
	unsigned flags = DNS_HOSTS_NO_MX;
	int32_t result = HEDDLE_OK;

	if (!c->services->resolver)
		return call_refuse(c, HEDDLE_DEFER, "no resolver");
	if (config_bool(j->attempt->cfg, MO_disable_ipv6) ||
	    match_domain(&j->attempt->ev, config_list(j->attempt->cfg, MO_dns_ipv4_lookup),
	        in->name, NULL, NULL) == RC_OK)
		flags |= DNS_HOSTS_NO_IPV6;
	c->services->host.block_begin(c);
	enum rc rc = dns_mx_hosts_wait(c->services->resolver, in->name, flags, c->deadline_us,
	    c->cancel, j->attempt->arena, &found);
	c->services->host.block_end(c);
	if (rc != RC_OK)
		return call_refuse(c, HEDDLE_DEFER, "host lookup for %.*s did not complete%s",
		    SL_ARG(in->name), rc == RC_FAIL ? ": it has no address" : " (DNS timeout?)");
	for (size_t i = 0; i < found->count; i++)
		for (size_t k = 0; k < found->hosts[i].n_addrs && result == HEDDLE_OK; k++)
			result = push_address(c, j, in, &found->hosts[i].addrs[k]);
	return result;
}

int32_t remote_add_host(
    struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in)
{
	struct net_addr a;

	if (!slice_is_absent(in->address) && in->address.len)
		return net_addr_parse(in->address, &a)
		           ? push_address(c, j, in, &a)
		           : call_refuse(
		                 c, HEDDLE_ERROR, "\"%.*s\" is no address", SL_ARG(in->address));
	if (net_addr_parse(in->name, &a))
		return push_address(c, j, in, &a);
	return push_resolved(c, j, in);
}
