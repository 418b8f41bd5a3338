/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The SMTP client sessions that the delivery service hands out.  A transport orders hosts and counts tries; what it declares
 * under the names of Exim's smtp transport (helo_data, command_timeout, ...) is read here, so that these mean the same in
 * every transport that has them.
 * A recipient that is final has its outcome set; one that another host may still take has it noted, and it becomes final
 * when the transport gives up.
 */
#include "deliver/deliver_private.h"
#include "net/dns/dns_hosts.h"
#include "smtp/client.h"

#include <stdio.h>

#define DEFAULT_TIMEOUT_MS INT64_C(300000)
#define SMTP_PORT 25
#define LMTP_PORT 24
#define NOT_YET "retry time not reached"

struct heddle_session {
	struct client_session *client;
	struct heddle_job *job;
	uint32_t host;
};

/* ---- the transport's options ---------------------------------------------------------------------------- */

static const struct option_value *option(const struct heddle_job *j, const char *name)
{
	const struct driver *d = j->transport->driver;

	for (uint32_t i = 0; d && j->transport->own && i < d->option_count; i++)
		if (strcmp(d->options[i].name, name) == 0)
			return &j->transport->own[i];
	return NULL;
}

static int64_t number(const struct heddle_job *j, const char *name, int64_t otherwise)
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

/* Unset, or forced to fail: ABSENT. */
static enum rc text(const struct heddle_job *j, const char *name, slice_t *out, struct error *err)
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

static bool is_listed(const struct heddle_job *j, const char *name, const struct heddle_route_host *h)
{
	const struct option_value *o = option(j, name);
	const struct match_host m = {.address = h->address, .name = h->name, .name_is_final = true};
	struct error err;

	return o && o->list && match_host(&j->attempt->ev, o->list, &m, NULL, &err) == RC_OK;
}

static enum rc port_of(const struct heddle_job *j, const struct heddle_route_host *h, bool lmtp, uint16_t *out, struct error *err)
{
	static const struct {
		const char *name;
		uint16_t port;
	} services[] = {{"smtp", SMTP_PORT}, {"submission", 587}, {"lmtp", LMTP_PORT}};
	slice_t s;
	int64_t n;

	*out = (uint16_t)h->port;
	if (h->port)
		return h->port <= UINT16_MAX ? RC_OK : error_set(err, RC_ERROR, "invalid port %u", h->port);
	enum rc rc = text(j, "port", &s, err);
	if (rc != RC_OK)
		return rc;
	*out = lmtp ? LMTP_PORT : SMTP_PORT;
	s = slice_trim(s);
	if (slice_is_absent(s) || s.len == 0)
		return RC_OK;
	for (size_t i = 0; i < sizeof services / sizeof *services; i++)
		if (slice_eqis(s, services[i].name)) {
			*out = services[i].port;
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
	enum rc rc = text(j, "interface", &s, err);

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

static enum rc target_of(const struct heddle_job *j, const struct heddle_route_host *h, bool lmtp, struct client_target *t,
    struct error *err)
{
	char from[NET_ADDR_TEXT];
	uint16_t port = 0;

	*t = (struct client_target){.lmtp = lmtp, .name = h->name.len ? h->name : h->address};
	if (!net_addr_parse(h->address, &t->to))
		return error_set(err, RC_DEFER, "host %.*s has no address", SL_ARG(h->name));
	enum rc rc = port_of(j, h, lmtp, &port, err);
	t->to.port = port;
	if (rc == RC_OK)
		rc = interface_of(j, t, err);
	if (rc == RC_OK)
		rc = text(j, "helo_data", &t->helo, err);
	if (rc != RC_OK)
		return rc;
	if (slice_is_absent(t->helo) || t->helo.len == 0)
		t->helo = j->attempt->ev.process ? j->attempt->ev.process->primary_hostname : SL("localhost");
	t->avoid_esmtp = is_listed(j, "hosts_avoid_esmtp", h);
	t->avoid_pipelining = is_listed(j, "hosts_avoid_pipelining", h);
	t->serialize = is_listed(j, "serialize_hosts", h);
	t->keepalive = number(j, "keepalive", 1) != 0;
	t->forced = j->attempt->forced;
	t->connect_ms = number(j, "connect_timeout", DEFAULT_TIMEOUT_MS);
	t->command_ms = number(j, "command_timeout", DEFAULT_TIMEOUT_MS);
	t->data_ms = number(j, "data_timeout", DEFAULT_TIMEOUT_MS);
	t->final_ms = number(j, "final_timeout", 2 * DEFAULT_TIMEOUT_MS);
	int64_t most = number(j, "connection_max_messages", 500);
	t->max_messages = most > 0 && most < UINT32_MAX ? (uint32_t)most : 0;
	slice_t from_text = t->from.family ? net_addr_text(&t->from, from) : SL("");
	t->key = arena_printf(j->arena, "%.*s %s %.*s %.*s", SL_ARG(j->transport->name), lmtp ? "lmtp" : "smtp", SL_ARG(t->helo),
	    SL_ARG(from_text));
	return RC_OK;
}

/* ---- what came of it ------------------------------------------------------------------------------------ */

static void note(struct heddle_job *j, struct outcome *o, const struct client_outcome *in, uint32_t host, bool is_final)
{
	if (o->is_set)
		return;
	*o = (struct outcome){.is_set = is_final, .result = in->result, .smtp = in->smtp, .host = (int32_t)host, .about = in->about};
	memcpy(o->enhanced, in->enhanced, sizeof o->enhanced);
	o->text = arena_dup(j->attempt->arena, in->text);
}

/* One that goes for all recipients that have none of their own (r NULL: all). */
static int32_t conclude(struct heddle_call *c, struct heddle_job *j, uint32_t host, const struct client_outcome *why,
    const struct client_recipient *r)
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

/* Temporary trouble with a host is no delivery line yet: the next host may do.  "H=name [address]: text". */
static void log_host(struct heddle_job *j, const struct heddle_route_host *h, const struct client_outcome *o)
{
	bool is_reply = o->smtp != 0;
	struct strbuf sb;

	/* what is about one recipient is in its own line; not to be tried yet is no news */
	if (o->result != RC_DEFER || o->about == 0 || o->about == HEDDLE_X_RECIPIENT || slice_starts(o->text, NOT_YET))
		return;
	strbuf_init(&sb, j->arena, 0);
	strbuf_text(&sb, "H=");
	if (h->name.len && !slice_eq(h->name, h->address))
		strbuf_printf(&sb, "%.*s ", SL_ARG(h->name));
	strbuf_printf(&sb, "[%.*s]%s %.*s", SL_ARG(h->address), is_reply ? ":" : "", SL_ARG(o->text));
	log_text(j->attempt->log, LOG_TO_MAIN, j->attempt->id_text, strbuf_slice(&sb), slice_absent());
}

/* ---- sessions ------------------------------------------------------------------------------------------- */

void remote_done(struct heddle_job *j)
{
	if (j->session)
		client_close(&j->session->client);
	j->session = NULL;
	j->attempt->ev.host = NULL;
}

static void set_host_facts(struct heddle_job *j, const struct heddle_route_host *h)
{
	j->host_facts = (struct host_facts){.host = h->name.len ? h->name : h->address, .host_address = h->address,
	    .sending_ip_address = slice_absent(), .host_port = h->port};
	j->attempt->ev.host = &j->host_facts;
}

int32_t remote_session(struct heddle_call *c, struct heddle_job *j, uint32_t i, struct heddle_conn *conn, uint32_t lmtp,
    struct heddle_session **out)
{
	struct client_target t;
	struct client_outcome why;
	struct client_session *client = NULL;
	const struct client_wait w = {.deadline_us = c->deadline_us, .cancel = c->cancel};
	struct error err = {.text = ""};

	if (conn)
		return call_refuse(c, HEDDLE_ERROR, "not supported yet: a session over a transport's own connection");
	if (i >= j->group->hosts->count)
		return call_refuse(c, HEDDLE_ERROR, "there is no host %u", i);
	remote_done(j);
	const struct heddle_route_host *h = VEC_AT(j->group->hosts, struct heddle_route_host, i);
	set_host_facts(j, h);
	enum rc rc = target_of(j, h, lmtp != 0, &t, &err);
	if (rc != RC_OK)
		return call_refuse(c, rc == RC_ERROR ? HEDDLE_ERROR : HEDDLE_DEFER, "%s", err.text);
	if (!retry_host_may_try(j->attempt, j->group, i, t.to.port))
		return call_refuse(c, HEDDLE_DEFER, "%s", NOT_YET " for any host");
	c->services->host.block_begin(c);
	rc = client_open(j->attempt->d->clients, &t, &w, j->arena, &client, &why);
	c->services->host.block_end(c);
	if (rc != RC_OK) {
		log_host(j, h, &why);
		return conclude(c, j, i, &why, NULL);
	}
	j->session = ARENA_NEW(j->arena, struct heddle_session);
	*j->session = (struct heddle_session){.client = client, .job = j, .host = i};
	*out = j->session;
	return HEDDLE_OK;
}

/* ---- sending -------------------------------------------------------------------------------------------- */

struct source { /* the message, for the client */
	struct heddle_call *c;
	struct heddle_reader *r;
};

static enum rc why_not(struct source *s, int32_t result, struct error *err)
{
	slice_t why = s->c->reason_given ? s->c->reason_logged : SL("no reason given");

	return error_set(err, result == HEDDLE_ERROR ? RC_ERROR : RC_DEFER, "%.*s", SL_ARG(why));
}

static enum rc open_source(void *ctx, struct error *err)
{
	struct source *s = ctx;
	int32_t result = message_service.open(s->c, HEDDLE_WIRE_DOTS, slice_absent(), slice_absent(), &s->r);

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

static void message_for(const struct heddle_job *j, struct source *s, struct client_message *m)
{
	const struct message *msg = j->attempt->m;
	int64_t more = number(j, "size_addition", 1024);

	*m = (struct client_message){.sender = j->sender, .body_8bit = msg->body_8bit, .smtputf8 = msg->smtputf8, .ctx = s,
	    .open = open_source, .read = read_source};
	if (more >= 0)
		m->size = msg->size_bytes + (uint64_t)more;
}

static struct client_recipient *recipients_of(struct heddle_call *c, const struct heddle_job *j)
{
	const struct group *g = j->group;
	struct client_recipient *r = ARENA_ARRAY(j->arena, struct client_recipient, g->addresses.count + 1);

	for (uint32_t i = 0; i < g->addresses.count; i++) {
		struct heddle_recipient out = {.struct_size = sizeof out};
		(void)delivery_service.recipient(c, j, i, &out);
		r[i].address = out.address;
		r[i].has_outcome = g->outcomes[i].is_set;
	}
	return r;
}

int32_t remote_send(struct heddle_call *c, struct heddle_session *s, struct heddle_job *j)
{
	struct source source = {.c = c};
	struct client_message m;
	struct client_outcome why = {.result = RC_OK};
	struct group *g = j->group;

	if (!s || s != j->session || !s->client)
		return call_refuse(c, HEDDLE_ERROR, "that session is not open");
	const struct heddle_route_host *h = VEC_AT(g->hosts, struct heddle_route_host, s->host);
	struct client_recipient *r = recipients_of(c, j);
	message_for(j, &source, &m);
	c->services->host.block_begin(c);
	enum rc rc = client_send(s->client, &m, r, g->addresses.count, &why);
	c->services->host.block_end(c);
	const struct client_outcome *later = NULL;
	for (size_t i = 0; i < g->addresses.count; i++) {
		if (!r[i].has_outcome || g->outcomes[i].is_set)
			continue;
		note(j, &g->outcomes[i], &r[i].outcome, s->host, r[i].outcome.result != RC_DEFER);
		log_host(j, h, &r[i].outcome);
		if (r[i].outcome.result == RC_DEFER)
			later = &r[i].outcome;
	}
	if (rc != RC_OK) {
		log_host(j, h, &why);
		return conclude(c, j, s->host, &why, r);
	}
	if (!later)
		return HEDDLE_OK;
	c->services->host.reason(c, later->smtp, slice_absent(), later->text);
	return HEDDLE_DEFER;
}

/* ---- hosts of the transport's own ----------------------------------------------------------------------- */

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
	const struct net_interfaces *own = j->attempt->ev.services ? j->attempt->ev.services->own_addresses : NULL;

	return net_addr_is_any(a) || net_addr_is_loopback(a) || (own && net_interfaces_has(own, a));
}

/* One address of a host that the transport names.  Ourselves only with allow_localhost. */
static int32_t push_address(struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in,
    const struct net_addr *a)
{
	struct arena *arena = j->attempt->arena;
	char buf[NET_ADDR_TEXT];
	struct heddle_route_host h = *in;

	if (is_own(j, a) && number(j, "allow_localhost", 0) == 0)
		return call_refuse(c, HEDDLE_DEFER, "%.*s transport found host %.*s to be the local host",
		    SL_ARG(j->transport->name), SL_ARG(in->name));
	h.struct_size = sizeof h;
	h.address = arena_dup(arena, net_addr_text(a, buf));
	h.name = arena_dup(arena, in->name.len ? in->name : h.address);
	h.transport = slice_absent();
	push_host(j, &h);
	return HEDDLE_OK;
}

static int32_t push_resolved(struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in)
{
	struct dns_hosts *found = NULL;
	unsigned flags = DNS_HOSTS_NO_MX;
	int32_t result = HEDDLE_OK;

	if (!c->services->resolver)
		return call_refuse(c, HEDDLE_DEFER, "no resolver");
	if (config_bool(j->attempt->cfg, MO_disable_ipv6) ||
	    match_domain(&j->attempt->ev, config_list(j->attempt->cfg, MO_dns_ipv4_lookup), in->name, NULL, NULL) == RC_OK)
		flags |= DNS_HOSTS_NO_IPV6;
	c->services->host.block_begin(c);
	enum rc rc =
	    dns_mx_hosts_wait(c->services->resolver, in->name, flags, c->deadline_us, c->cancel, j->attempt->arena, &found);
	c->services->host.block_end(c);
	if (rc != RC_OK)
		return call_refuse(c, HEDDLE_DEFER, "host lookup for %.*s did not complete%s", SL_ARG(in->name),
		    rc == RC_FAIL ? ": it has no address" : " (DNS timeout?)");
	for (size_t i = 0; i < found->count; i++)
		for (size_t k = 0; k < found->hosts[i].n_addrs && result == HEDDLE_OK; k++)
			result = push_address(c, j, in, &found->hosts[i].addrs[k]);
	return result;
}

int32_t remote_add_host(struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in)
{
	struct net_addr a;

	if (!slice_is_absent(in->address) && in->address.len)
		return net_addr_parse(in->address, &a) ? push_address(c, j, in, &a)
		                                       : call_refuse(c, HEDDLE_ERROR, "\"%.*s\" is no address", SL_ARG(in->address));
	if (net_addr_parse(in->name, &a))
		return push_address(c, j, in, &a);
	return push_resolved(c, j, in);
}
