/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which addresses go to a transport together: same transport, hosts, return path and header
 * changes.  Local ones go one by one, unless the transport's batch_max says more: specification,
 * chapter 25.  Nothing that is expanded for the delivery may differ between them then, and it runs
 * as one user.
 */
#include "deliver/deliver_private.h"

static bool same_hosts(const struct vec *a, const struct vec *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct heddle_route_host *x = VEC_AT(a, struct heddle_route_host, i);
		const struct heddle_route_host *y = VEC_AT(b, struct heddle_route_host, i);
		if (x->port != y->port || !slice_eq(x->address, y->address) ||
		    !slice_eqi(x->name, y->name))
			return false;
	}
	return true;
}

static bool same_text(slice_t a, slice_t b)
{
	return slice_is_absent(a) == slice_is_absent(b) && slice_eq(a, b);
}

/* ---- local ones
 * ----------------------------------------------------------------------------------------- */

/* An option of the driver's own, by its name. */
static const struct option_value *own_option(const struct heddle_instance *i, const char *name)
{
	for (uint32_t k = 0; i->driver && i->own && k < i->driver->option_count; k++)
		if (strcmp(i->driver->options[k].name, name) == 0)
			return &i->own[k];
	return NULL;
}

static bool mentions(const struct option_value *o, const char *name)
{
	size_t n = strlen(name);

	for (size_t at = 0; !slice_is_absent(o->text) && at + n < o->text.len; at++) {
		slice_t rest = slice_sub(o->text, at + 1, o->text.len);
		if (o->text.ptr[at] == '$' &&
		    (slice_starts(rest, name) ||
		        (rest.len && slice_starts(slice_sub(rest, 1, rest.len), name) &&
		            rest.ptr[0] == '{')))
			return true;
	}
	return false;
}

/* Does any option of the transport refer to this variable, or one whose name begins so? */
static bool refers_to(const struct heddle_instance *i, const char *name)
{
	for (unsigned k = 0; k < TO_COUNT; k++)
		if (mentions(&i->generic[k], name))
			return true;
	for (uint32_t k = 0; i->driver && i->own && k < i->driver->option_count; k++)
		if (mentions(&i->own[k], name))
			return true;
	return false;
}

static void local_limits(const struct address *a, struct heddle_limits *l)
{
	const struct option_value *most = own_option(a->transport, "batch_max");

	if (!most || most->number <= 1 || refers_to(a->transport, "local_part"))
		return;
	l->max_recipients = most->number < UINT32_MAX ? (uint32_t)most->number : UINT32_MAX;
	l->one_domain = refers_to(a->transport, "domain");
}

static bool is_constant(const struct option_value *o)
{
	slice_t text;
	return !o->expr || expr_constant(o->expr, &text);
}

/* The user comes from the transport, or is the same for all that a router takes. */
static bool same_user(const struct address *a, const struct address *b)
{
	const struct option_value *generic = a->transport->generic;
	bool is_fixed = is_constant(&generic[TO_user]) && is_constant(&generic[TO_group]);

	if (is_fixed && !slice_is_absent(generic[TO_user].text) &&
	    !slice_is_absent(generic[TO_group].text))
		return true;
	if (!is_fixed || a->router != b->router)
		return false;
	return !a->router || (is_constant(&a->router->generic[RO_user]) &&
	                         is_constant(&a->router->generic[RO_group]));
}

/* A batch_id that cannot be expanded is like no other's. */
static bool batch_id(struct attempt *t, const struct address *a, slice_t *out)
{
	const struct option_value *o = own_option(a->transport, "batch_id");
	struct error err;

	*out = o ? o->text : slice_absent();
	if (!o || !o->expr)
		return true;
	t->ev.address = (struct address_facts *)(uintptr_t)&a->facts;
	enum rc rc = expr_eval(&t->ev, o->expr, out, &err);
	t->ev.address = NULL;
	return rc == RC_OK;
}

static bool share_batch(struct attempt *t, const struct address *a, const struct address *b)
{
	slice_t x, y;

	if (!same_user(a, b) || !same_text(a->user_home, b->user_home) ||
	    !same_text(a->facts.address_data, b->facts.address_data))
		return false;
	return batch_id(t, a, &x) && batch_id(t, b, &y) && same_text(x, y);
}

/* ---- all
 * ------------------------------------------------------------------------------------------------
 */

static bool go_together(
    const struct address *a, const struct address *b, const struct heddle_limits *l)
{
	if (a->transport != b->transport || a->kind != ADDRESS_PLAIN || b->kind != ADDRESS_PLAIN)
		return false;
	if (!same_text(a->errors_to, b->errors_to) || !same_text(a->headers_add, b->headers_add) ||
	    !same_text(a->headers_remove, b->headers_remove) || a->uid != b->uid ||
	    a->gid != b->gid)
		return false;
	if (l->one_domain && !slice_eqi(a->facts.domain, b->facts.domain))
		return false;
	return same_hosts(&a->hosts, &b->hosts);
}

static void limits_of(
    struct attempt *t, const struct address *a, bool is_local, struct heddle_limits *l)
{
	const struct heddle_transport_ops *ops =
	    a->transport->driver ? a->transport->driver->ops : NULL;
	struct heddle_call c;

	*l = (struct heddle_limits){.struct_size = sizeof *l, .max_recipients = is_local ? 1 : 100};
	if (is_local)
		local_limits(a, l); /* the driver is not here to be asked */
	if (!ops || !ops->limits || is_local)
		return;
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
			const struct address *first = *VEC_AT(&g->addresses, struct address *, 0);
			if (g->addresses.count < l.max_recipients && go_together(first, a, &l) &&
			    (!local || share_batch(t, first, a)))
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
