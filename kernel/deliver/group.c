/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which addresses go to a transport together: same transport, hosts, return path and header changes; local ones one by one
 * unless the driver says that it takes more. */
#include "deliver/deliver_private.h"

static bool same_hosts(const struct vec *a, const struct vec *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct heddle_route_host *x = VEC_AT(a, struct heddle_route_host, i);
		const struct heddle_route_host *y = VEC_AT(b, struct heddle_route_host, i);
		if (x->port != y->port || !slice_eq(x->address, y->address) || !slice_eqi(x->name, y->name))
			return false;
	}
	return true;
}

static bool same_text(slice_t a, slice_t b)
{
	return slice_is_absent(a) == slice_is_absent(b) && slice_eq(a, b);
}

static bool go_together(const struct address *a, const struct address *b, const struct heddle_limits *l)
{
	if (a->transport != b->transport || a->kind != ADDRESS_PLAIN || b->kind != ADDRESS_PLAIN)
		return false;
	if (!same_text(a->errors_to, b->errors_to) || !same_text(a->headers_add, b->headers_add) ||
	    !same_text(a->headers_remove, b->headers_remove) || a->uid != b->uid || a->gid != b->gid)
		return false;
	if (l->one_domain && !slice_eqi(a->facts.domain, b->facts.domain))
		return false;
	return same_hosts(&a->hosts, &b->hosts);
}

static void limits_of(struct attempt *t, const struct address *a, bool is_local, struct heddle_limits *l)
{
	const struct heddle_transport_ops *ops = a->transport->driver ? a->transport->driver->ops : NULL;
	struct heddle_call c;

	*l = (struct heddle_limits){.struct_size = sizeof *l, .max_recipients = is_local ? 1 : 100};
	if (!ops || !ops->limits || is_local)
		return; /* a local one runs elsewhere: one address at a time */
	t->ev.address = (struct address_facts *)(uintptr_t)&a->facts;
	call_init(&c, &t->ev, a->transport);
	if (ops->limits(&c, a->transport->inst, l) != HEDDLE_OK || l->max_recipients == 0)
		l->max_recipients = 1;
	t->ev.address = NULL;
}

static struct group *new_group(struct attempt *t, struct address *a, bool is_local)
{
	struct group *g = ARENA_NEW(t->arena, struct group);

	g->transport = a->transport;
	g->hosts = &a->hosts;
	g->is_local = is_local;
	g->reason = slice_absent();
	*VEC_PUSH(t->arena, &t->groups, struct group *) = g;
	return g;
}

static bool is_local_transport(const struct address *a)
{
	const struct driver *d = a->transport->driver;
	return d && d->kind == HEDDLE_TR_LOCAL;
}

void groups_make(struct attempt *t)
{
	for (size_t i = 0; i < t->routing.addresses.count; i++) {
		struct address *a = *VEC_AT(&t->routing.addresses, struct address *, i);
		struct group *home = NULL;
		struct heddle_limits l;
		if (a->result != ROUTE_DELIVER)
			continue;
		bool local = is_local_transport(a);
		limits_of(t, a, local, &l);
		for (size_t k = 0; k < t->groups.count && !home && l.max_recipients > 1; k++) {
			struct group *g = *VEC_AT(&t->groups, struct group *, k);
			if (g->addresses.count < l.max_recipients &&
			    go_together(*VEC_AT(&g->addresses, struct address *, 0), a, &l))
				home = g;
		}
		if (!home)
			home = new_group(t, a, local);
		*VEC_PUSH(t->arena, &home->addresses, struct address *) = a;
	}
	VEC_FOREACH(&t->groups, struct group *, g)
	{
		(*g)->outcomes = ARENA_ARRAY(t->arena, struct outcome, (*g)->addresses.count);
		(*g)->host_outcomes = ARENA_ARRAY(t->arena, struct outcome, (*g)->hosts->count + 1);
	}
}
