/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a router asks of the kernel while it runs: children, hosts, DNS, the `self` option. */
#include "deliver/route.h"
#include "message/message.h"
#include "net/dns/dns_hosts.h"

static struct route_step *step_of(struct heddle_call *c)
{
	return c->routing;
}

static int32_t defer(struct heddle_call *c, slice_t why)
{
	c->services->host.reason(c, 0, slice_absent(), why);
	c->service_deferred = true;
	return HEDDLE_DEFER;
}

/* The owner of the text is the address that generated it; a child never is cleaner than its text.
 */
static int32_t add_child(struct heddle_call *c, const struct heddle_route_child *in)
{
	struct route_step *s = step_of(c);
	struct routing *r = s->run;

	if (in->kind < HEDDLE_C_ADDRESS || in->kind > HEDDLE_C_REPLY)
		return HEDDLE_ERROR;
	struct address *a = routing_add(r, in->text, s->addr->recipient);
	a->parent = s->addr;
	a->depth = s->addr->depth + 1;
	a->kind = in->kind == HEDDLE_C_ADDRESS ? ADDRESS_PLAIN : (enum address_kind)in->kind;
	a->one_time = (in->flags & HEDDLE_CHILD_ONE_TIME) != 0;
	a->is_hidden = s->addr->is_hidden || (in->flags & HEDDLE_CHILD_HIDDEN) != 0;
	a->facts.original_local_part = s->addr->facts.original_local_part;
	a->facts.original_domain = s->addr->facts.original_domain;
	a->facts.parent_local_part = s->addr->facts.local_part;
	a->facts.parent_domain = s->addr->facts.domain;
	a->facts.address_data = s->addr->facts.address_data;
	a->errors_to = slice_is_absent(in->errors_to) ? s->addr->errors_to
	                                              : arena_dup(r->arena, in->errors_to);
	a->headers_add = slice_is_absent(in->headers_add) ? s->addr->headers_add
	                                                  : arena_dup(r->arena, in->headers_add);
	a->headers_remove = slice_is_absent(in->headers_remove)
	                        ? s->addr->headers_remove
	                        : arena_dup(r->arena, in->headers_remove);
	*VEC_PUSH(r->arena, &s->children, struct address *) = a;
	return HEDDLE_OK;
}

static int32_t child_field(struct heddle_call *c, slice_t name, slice_t value)
{
	struct route_step *s = step_of(c);

	if (s->children.count == 0)
		return HEDDLE_ERROR;
	struct address *a = *VEC_AT(&s->children, struct address *, s->children.count - 1);
	struct route_field *f = VEC_PUSH(s->run->arena, &a->fields, struct route_field);
	f->name = arena_dup(s->run->arena, name);
	f->value = arena_dup(s->run->arena, value);
	return HEDDLE_OK;
}

static int32_t add_host(struct heddle_call *c, const struct heddle_route_host *in)
{
	struct route_step *s = step_of(c);
	struct heddle_route_host *h = VEC_PUSH(s->run->arena, &s->hosts, struct heddle_route_host);

	*h = *in;
	h->struct_size = sizeof *h;
	h->name = arena_dup(s->run->arena, in->name);
	h->address = arena_dup(s->run->arena, in->address);
	h->transport = arena_dup(s->run->arena, in->transport);
	return HEDDLE_OK;
}

static unsigned family_flags(struct route_step *s, slice_t domain)
{
	struct eval *ev = s->run->eval;
	unsigned flags = config_bool(ev->cfg, MO_disable_ipv6) ? DNS_HOSTS_NO_IPV6 : 0;

	if (match_domain(ev, config_list(ev->cfg, MO_dns_ipv4_lookup), domain, NULL, NULL) == RC_OK)
		flags |= DNS_HOSTS_NO_IPV6;
	return flags;
}

/* One host with all its addresses; a host without any stays in, to be judged by settle_hosts. */
static void push_dns_host(struct route_step *s, const struct dns_host *d, uint32_t flags)
{
	char buf[NET_ADDR_TEXT];
	struct heddle_route_host h = {.struct_size = sizeof h,
	    .name = arena_dup(s->run->arena, d->name),
	    .transport = slice_absent(),
	    .preference = d->pref,
	    .flags = flags | (d->secure ? HEDDLE_H_SECURE : 0u)};

	for (size_t i = 0; i < d->n_addrs; i++) {
		h.address = arena_dup(s->run->arena, net_addr_text(&d->addrs[i], buf));
		*VEC_PUSH(s->run->arena, &s->hosts, struct heddle_route_host) = h;
	}
}

/* MX or addresses; a host whose addresses could not be looked up defers the domain only when no
 * other host is left. */
static int32_t resolve(
    struct heddle_call *c, slice_t domain, unsigned dns_flags, uint32_t host_flags, uint32_t *count)
{
	struct route_step *s = step_of(c);
	struct dns_hosts *found = NULL;
	size_t before = s->hosts.count;
	bool deferred = false;

	if (!c->services->resolver)
		return defer(c, SL("no resolver"));
	c->services->host.block_begin(c);
	enum rc rc = dns_mx_hosts_wait(c->services->resolver, domain,
	    dns_flags | family_flags(s, domain), c->deadline_us, c->cancel, s->run->arena, &found);
	c->services->host.block_end(c);
	if (rc == RC_DEFER)
		return defer(c, SL("host lookup did not complete"));
	if (rc != RC_OK) {
		slice_t why = found && found->null_mx
		                  ? SL("an MX or SRV record indicated no SMTP service")
		                  : SL("Unrouteable address");
		c->services->host.reason(c, 0, why, why);
		return HEDDLE_FAIL;
	}
	for (size_t i = 0; i < found->count; i++) {
		push_dns_host(
		    s, &found->hosts[i], host_flags | (found->from_mx ? HEDDLE_H_MX : 0u));
		deferred = deferred || dns_status_rc(found->hosts[i].status) == RC_DEFER;
	}
	if (s->hosts.count == before) {
		if (deferred)
			return defer(c, SL("host lookup did not complete"));
		slice_t why = found->from_mx
		                  ? SL("all relevant MX records point to non-existent hosts")
		                  : SL("Unrouteable address");
		c->services->host.reason(c, 0, why, why);
		return HEDDLE_FAIL;
	}
	*count = (uint32_t)(s->hosts.count - before);
	return HEDDLE_OK;
}

static int32_t add_mx(struct heddle_call *c, slice_t domain, uint64_t flags, uint32_t *count)
{
	return resolve(c, domain, (unsigned)flags, 0, count);
}

/* Hosts that were added by name only get their addresses now. */
static int32_t resolve_names(struct heddle_call *c, bool *out_any_deferred)
{
	struct route_step *s = step_of(c);
	struct vec old = s->hosts;
	int32_t result = HEDDLE_OK;

	s->hosts = (struct vec){0};
	VEC_FOREACH(&old, struct heddle_route_host, h)
	{
		uint32_t n;
		size_t first = s->hosts.count;
		if (!slice_is_absent(h->address)) {
			*VEC_PUSH(s->run->arena, &s->hosts, struct heddle_route_host) = *h;
			continue;
		}
		int32_t rc = resolve(c, h->name, DNS_HOSTS_NO_MX, h->flags, &n);
		if (rc == HEDDLE_DEFER)
			*out_any_deferred = true;
		if (rc != HEDDLE_OK) {
			result = rc;
			continue;
		}
		for (size_t i = first; i < s->hosts.count; i++) {
			struct heddle_route_host *g =
			    VEC_AT(&s->hosts, struct heddle_route_host, i);
			g->port = h->port;
			g->transport = h->transport;
			g->preference = h->preference;
		}
	}
	return s->hosts.count || old.count == 0 ? HEDDLE_OK : result;
}

static bool is_own(const struct route_step *s, const struct heddle_route_host *h)
{
	const struct services *sv = s->run->eval->services;
	struct net_addr a;

	if (!net_addr_parse(h->address, &a))
		return false;
	if (net_addr_is_any(&a) || net_addr_is_loopback(&a))
		return h->port == 0 || h->port == 25;
	return sv->own_addresses && net_interfaces_has(sv->own_addresses, &a) &&
	       (h->port == 0 || h->port == 25);
}

/* ignore_target_hosts: a host (address) on the list is as if it were not there. */
static enum rc drop_ignored(struct route_step *s, struct error *err)
{
	struct match_list *l = s->router->generic[RO_ignore_target_hosts].list;
	size_t kept = 0;

	if (!l)
		return RC_OK;
	for (size_t i = 0; i < s->hosts.count; i++) {
		struct heddle_route_host *h = VEC_AT(&s->hosts, struct heddle_route_host, i);
		struct match_host m = {
		    .address = h->address, .name = h->name, .name_is_final = true};
		enum rc rc = match_host(s->run->eval, l, &m, NULL, err);
		if (rc == RC_DEFER || rc == RC_ERROR)
			return rc;
		if (rc == RC_FAIL)
			*VEC_AT(&s->hosts, struct heddle_route_host, kept++) = *h;
	}
	s->hosts.count = kept;
	return RC_OK;
}

static const struct {
	const char *text;
	uint32_t action;
} self_actions[] = {
    {"freeze", HEDDLE_S_DEFER},
    {"defer", HEDDLE_S_DEFER},
    {"fail", HEDDLE_S_FAIL},
    {"pass", HEDDLE_S_PASS},
    {"send", HEDDLE_S_SEND},
};

/* "reroute: DOMAIN": the address goes through the routers again, in that domain. */
static int32_t reroute(struct heddle_call *c, slice_t self, slice_t why, uint32_t *action)
{
	struct route_step *s = step_of(c);
	slice_t domain = slice_trim(slice_sub(self, strlen("reroute:"), self.len)), parts[3];
	struct heddle_route_child child = {.struct_size = sizeof child,
	    .kind = HEDDLE_C_ADDRESS,
	    .errors_to = slice_absent(),
	    .headers_add = slice_absent(),
	    .headers_remove = slice_absent()};

	if (slice_starts(domain, "rewrite:")) {
		c->services->host.reason(
		    c, 0, slice_absent(), SL("not supported yet: self = reroute: rewrite:"));
		return HEDDLE_DEFER;
	}
	parts[0] = s->local_part_full;
	parts[1] = SL("@");
	parts[2] = domain;
	if (!domain.len || c->services->host.join(c, parts, 3, &child.text) != HEDDLE_OK) {
		c->services->host.reason(
		    c, 0, slice_absent(), SL("self = reroute: names no domain"));
		return HEDDLE_ERROR;
	}
	c->services->host.reason(c, 0, slice_absent(), why);
	*action = HEDDLE_S_REROUTE;
	return add_child(c, &child);
}

/* The list is cut at ourselves; if we come first, `self` says what to do. */
static int32_t apply_self(struct heddle_call *c, uint32_t *count, uint32_t *action)
{
	struct route_step *s = step_of(c);
	slice_t self = s->router->generic[RO_self].text;
	size_t at = 0;

	*action = HEDDLE_S_PROCEED;
	while (at < s->hosts.count && !is_own(s, VEC_AT(&s->hosts, struct heddle_route_host, at)))
		at++;
	if (at == s->hosts.count || slice_eqs(self, "send")) {
		*count = (uint32_t)s->hosts.count;
		return HEDDLE_OK;
	}
	const struct heddle_route_host *own = VEC_AT(&s->hosts, struct heddle_route_host, at);
	/* hosts as preferred as ourselves go too: they would send it back */
	while (at > 0 && (own->flags & HEDDLE_H_MX) &&
	       VEC_AT(&s->hosts, struct heddle_route_host, at - 1)->preference >= own->preference)
		at--;
	if (at > 0) {
		s->hosts.count = at;
		*count = (uint32_t)at;
		return HEDDLE_OK;
	}
	slice_t why = (own->flags & HEDDLE_H_MX)
	                  ? SL("lowest numbered MX record points to local host")
	                  : SL("remote host address is the local host");
	s->addr->facts.self_hostname = own->name;
	for (size_t i = 0; i < sizeof self_actions / sizeof *self_actions; i++)
		if (slice_eqs(self, self_actions[i].text))
			*action = self_actions[i].action;
	if (slice_starts(self, "reroute:")) {
		*count = 0;
		return reroute(c, self, why, action);
	}
	if (*action == HEDDLE_S_PROCEED) {
		c->services->host.reason(c, 0, slice_absent(),
		    SL("self is none of freeze, defer, reroute, pass, fail, send"));
		return HEDDLE_ERROR;
	}
	s->self_defers = slice_eqs(self, "defer");
	c->services->host.reason(c, 0, *action == HEDDLE_S_FAIL ? why : slice_absent(), why);
	*count = 0;
	return HEDDLE_OK;
}

static int32_t settle_hosts(struct heddle_call *c, uint32_t *count, uint32_t *self_action)
{
	struct route_step *s = step_of(c);
	struct error err = {.text = ""};
	bool deferred = false;
	int32_t r = resolve_names(c, &deferred);

	if (r != HEDDLE_OK)
		return r;
	bool from_mx = s->hosts.count &&
	               (VEC_AT(&s->hosts, struct heddle_route_host, 0)->flags & HEDDLE_H_MX) != 0;
	if (drop_ignored(s, &err) != RC_OK)
		return defer(c, arena_dup(s->run->arena, slice_cstr(err.text)));
	if (s->hosts.count == 0) {
		if (deferred)
			return defer(c, SL("host lookup did not complete"));
		c->services->host.reason(c, 0,
		    from_mx ? SL("all relevant MX records point to non-existent hosts")
		            : SL("Unrouteable address"),
		    SL("all hosts are ignored"));
		return HEDDLE_FAIL;
	}
	return apply_self(c, count, self_action);
}

static int32_t is_ancestor(struct heddle_call *c, slice_t address)
{
	return route_is_ancestor(step_of(c)->addr, address) ? 1 : 0;
}

static int32_t run_as(struct heddle_call *c, uint32_t uid, uint32_t gid)
{
	struct route_step *s = step_of(c);

	s->run_uid = uid;
	s->run_gid = gid;
	return HEDDLE_OK;
}

const struct heddle_routing_service route_service = {
    .struct_size = sizeof route_service,
    .add_child = add_child,
    .child_field = child_field,
    .add_host = add_host,
    .add_mx = add_mx,
    .settle_hosts = settle_hosts,
    .is_ancestor = is_ancestor,
    .run_as = run_as,
};
