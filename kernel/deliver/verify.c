/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Verification for ACLs, and -bt / -bv: routing without a delivery behind it. */
#include "deliver/deliver.h"
#include "deliver/route.h"
#include "message/message.h"

void deliver_services(struct services *s)
{
	s->routing = &route_service;
	s->file = &router_file_service;
}

/* The worst of what an address and its children ended in: failed before deferred, as a redirection
 * to several verifies. */
static const struct address *worst(const struct routing *r, enum route_result which)
{
	for (size_t i = 0; i < r->addresses.count; i++) {
		const struct address *a = *VEC_AT(&r->addresses, struct address *, i);
		if (a->result == which)
			return a;
	}
	return NULL;
}

/* A redirection to more than one address verifies whatever becomes of those: the specification's
 * rule. */
static bool is_split(const struct routing *r)
{
	size_t children = 0;

	for (size_t i = 0; i < r->addresses.count; i++) {
		const struct address *a = *VEC_AT(&r->addresses, struct address *, i);
		if (a->depth == 1)
			children++;
		else if (a->depth == 0 && a->result == ROUTE_DISCARDED)
			return true;
	}
	return children > 1;
}

/* The address whose end decides about `top`: itself, what is wrong with the one child, or itself
 * because all is well. */
static const struct address *decisive(
    const struct routing *r, const struct address *top, bool success_on_redirect)
{
	if (top->result != ROUTE_REDIRECTED || is_split(r) || success_on_redirect)
		return top;
	const struct address *bad = worst(r, ROUTE_FAILED);
	if (!bad)
		bad = worst(r, ROUTE_DEFERRED);
	return bad ? bad : top;
}

static slice_t or_default(slice_t s, const char *text)
{
	return slice_is_absent(s) || s.len == 0 ? slice_cstr(text) : s;
}

enum rc deliver_verify_address(struct eval *ev, slice_t address, bool is_sender,
    const struct verify_options *o, slice_t *out_user_text, slice_t *out_log_text,
    struct error *err)
{
	struct routing r;
	struct address_facts *saved = ev->address;
	slice_t local, domain;

	*out_user_text = *out_log_text = slice_absent();
	if (!address_split(address, &local, &domain)) {
		*out_user_text = *out_log_text = SL("unqualified address");
		return error_set(err, RC_FAIL, "unqualified address");
	}
	routing_init(&r, ev->arena, ev, ROUTE_VERIFY | (is_sender ? ROUTE_VERIFY_SENDER : 0u));
	struct address *top = routing_add(&r, address, 0);
	enum rc rc = routing_run(&r, err);
	ev->address = saved;
	if (rc != RC_OK)
		return rc;
	const struct address *bad = decisive(&r, top, o->success_on_redirect);
	if (bad->result == ROUTE_FAILED) {
		*out_user_text = or_default(bad->shown, "Unrouteable address");
		*out_log_text = or_default(bad->logged, "Unrouteable address");
		return error_set(err, RC_FAIL, "%.*s", SL_ARG(*out_log_text));
	}
	if (bad->result == ROUTE_DEFERRED || bad->result == ROUTE_FROZEN) {
		if (o->defer_ok)
			return RC_OK;
		*out_user_text = bad->shown; /* ABSENT: what the server says to any deferral */
		*out_log_text = or_default(bad->logged, "Could not complete verification");
		return error_set(err, RC_DEFER, "%.*s", SL_ARG(*out_log_text));
	}
	return RC_OK;
}

enum rc deliver_expand_address(
    struct eval *ev, slice_t address, struct strbuf *out, struct error *err)
{
	struct routing r;
	struct address_facts *saved = ev->address;

	routing_init(&r, ev->arena, ev, ROUTE_EXPN);
	struct address *top = routing_add(&r, address, 0);
	enum rc rc = routing_run(&r, err);
	ev->address = saved;
	if (rc != RC_OK)
		return rc;
	if (top->result == ROUTE_DEFERRED || top->result == ROUTE_FROZEN)
		return error_set(err, RC_DEFER, "cannot be resolved now");
	if (top->result == ROUTE_FAILED || top->result == ROUTE_DISCARDED)
		return error_set(err, RC_FAIL, "is undeliverable");
	bool any = false;
	for (size_t i = 0; i < r.addresses.count; i++) {
		const struct address *a = *VEC_AT(&r.addresses, struct address *, i);
		bool listed =
		    top->result == ROUTE_REDIRECTED
		        ? a->depth > 0 && a->kind == ADDRESS_PLAIN && a->result != ROUTE_REDIRECTED
		        : a == top;
		if (!listed || a->result == ROUTE_DUPLICATE)
			continue;
		strbuf_printf(out, "%s<%.*s>", any ? "\n" : "", SL_ARG(a->text));
		any = true;
	}
	return any ? RC_OK : error_set(err, RC_FAIL, "is undeliverable");
}

static void put_hosts(const struct address *a, struct strbuf *out)
{
	size_t widest = 0, widest_address = 0;

	VEC_FOREACH(&a->hosts, struct heddle_route_host, h)
	{
		widest = h->name.len > widest ? h->name.len : widest;
		widest_address = h->address.len > widest_address ? h->address.len : widest_address;
	}
	VEC_FOREACH(&a->hosts, struct heddle_route_host, h)
	{
		strbuf_printf(
		    out, "  host %-*.*s [%.*s]", (int)widest, SL_ARG(h->name), SL_ARG(h->address));
		if (h->flags & HEDDLE_H_MX)
			strbuf_printf(out, "%*s MX=%d", (int)(widest_address - h->address.len), "",
			    h->preference);
		if (h->port)
			strbuf_printf(out, " port=%u", h->port);
		strbuf_char(out, '\n');
	}
}

static void put_ancestors(const struct address *a, struct strbuf *out)
{
	for (const struct address *p = a->parent; p; p = p->parent)
		strbuf_printf(out, "    <-- %.*s\n", SL_ARG(p->text));
}

/* A file or command: "the address -> where". */
static void put_place(const struct address *a, struct strbuf *out)
{
	strbuf_printf(
	    out, "%.*s -> %.*s\n", SL_ARG(a->parent ? a->parent->text : a->text), SL_ARG(a->text));
	if (a->transport)
		strbuf_printf(out, "  transport = %.*s\n", SL_ARG(a->transport->name));
}

static void put_address(const struct address *a, struct strbuf *out)
{
	switch (a->result) {
	case ROUTE_FAILED:
		strbuf_printf(out, "%.*s is undeliverable: %.*s\n", SL_ARG(a->text),
		    SL_ARG(or_default(a->logged, "Unrouteable address")));
		put_ancestors(a, out);
		break;
	case ROUTE_DEFERRED:
	case ROUTE_FROZEN:
		strbuf_printf(out, "%.*s cannot be resolved at this time: %.*s\n", SL_ARG(a->text),
		    SL_ARG(or_default(a->logged, "unknown error")));
		put_ancestors(a, out);
		break;
	case ROUTE_DISCARDED:
		if (a->kind != ADDRESS_PLAIN) {
			put_place(a, out);
			break;
		}
		strbuf_printf(out, "mail to %.*s is discarded\n", SL_ARG(a->text));
		break;
	case ROUTE_DELIVER:
	case ROUTE_DUPLICATE:
		if (a->kind != ADDRESS_PLAIN) {
			put_place(a, out);
			break;
		}
		strbuf_add(out, a->text);
		strbuf_char(out, '\n');
		put_ancestors(a, out);
		if (a->transport && a->router)
			strbuf_printf(out, "  router = %.*s, transport = %.*s\n",
			    SL_ARG(a->router->name), SL_ARG(a->transport->name));
		put_hosts(a, out);
		break;
	case ROUTE_UNDONE:
	case ROUTE_REDIRECTED:
		break;
	}
}

/* -bv: one line about the address itself. */
static enum rc put_verified(const struct routing *r, const struct address *top, struct strbuf *out)
{
	const struct address *a = decisive(r, top, false);

	if (a->result == ROUTE_FAILED) {
		strbuf_printf(out, "%.*s failed to verify: %.*s\n", SL_ARG(top->text),
		    SL_ARG(or_default(a->logged, "Unrouteable address")));
		return RC_FAIL;
	}
	if (a->result == ROUTE_DEFERRED || a->result == ROUTE_FROZEN) {
		strbuf_printf(out, "%.*s cannot be resolved at this time: %.*s\n",
		    SL_ARG(top->text), SL_ARG(or_default(a->logged, "unknown error")));
		return RC_DEFER;
	}
	strbuf_printf(out, "%.*s verified\n", SL_ARG(top->text));
	return RC_OK;
}

enum rc deliver_address_test(
    struct eval *ev, slice_t address, bool verify, bool verify_sender, struct strbuf *out)
{
	struct routing r;
	struct error err;
	uint32_t flags =
	    verify ? ROUTE_VERIFY | (verify_sender ? ROUTE_VERIFY_SENDER : 0u) : ROUTE_TEST;
	enum rc result = RC_OK;

	routing_init(&r, ev->arena, ev, flags);
	const struct address *top = routing_add(&r, address, 0);
	(void)routing_run(&r, &err);
	if (verify)
		return put_verified(&r, top, out);
	for (size_t i = 0; i < r.addresses.count; i++) {
		const struct address *a = *VEC_AT(&r.addresses, struct address *, i);
		put_address(a, out);
		if (a->result == ROUTE_FAILED)
			result = RC_FAIL;
		else if ((a->result == ROUTE_DEFERRED || a->result == ROUTE_FROZEN) &&
		         result != RC_FAIL)
			result = RC_DEFER;
	}
	return result;
}
