/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Items of host lists that have to be evaluated: names forward, names backward, addresses as keys.
 */
#include "driver/call.h"
#include "log/log.h"
#include "match/match_private.h"
#include "net/dns/dns.h"

#include <stdio.h>

static enum rc unknown(struct run *r, struct error *err, const char *what, slice_t about)
{
	r->unknown = true;
	return error_set(err, RC_FAIL, "failed to find %s for %.*s", what, SL_ARG(about));
}

/* The name of the client, looked up once for each check. */
static enum rc need_name(struct run *r, struct error *err)
{
	struct eval *ev = r->ev;
	const struct match_host *h = r->host;
	if (r->host_name_rc == RC_ERROR) {
		r->host_name_rc = RC_FAIL;
		bool is_client =
		    ev->session && slice_eq(ev->session->sender_host_address, h->address);
		if (h->name.len) {
			r->host_name = h->name;
			r->host_name_rc = RC_OK;
		} else if (!h->name_is_final && is_client && ev->hooks && ev->hooks->host_name) {
			enum rc rc = ev->hooks->host_name(ev);
			r->host_name = ev->session->sender_host_name;
			r->host_name_rc = rc == RC_OK && !r->host_name.len ? RC_FAIL : rc;
		}
	}
	if (r->host_name_rc == RC_OK)
		return RC_OK;
	if (r->host_name_rc == RC_DEFER)
		return error_set(
		    err, RC_DEFER, "host name lookup for %.*s deferred", SL_ARG(h->address));
	return unknown(r, err, "host name", h->address);
}

static bool among(const struct dns_answer *a, const struct net_addr *addr)
{
	for (size_t i = 0; i < a->count; i++)
		if (net_addr_eq(&a->records[i].addr, addr))
			return true;
	return false;
}

/* "localhost" is never asked of the DNS (RFC 6761 6.3). */
static bool is_localhost(slice_t name)
{
	return slice_eqis(name, "localhost") ||
	       (name.len > 10 && slice_eqis(slice_sub(name, name.len - 10U, 10), ".localhost"));
}

/* A name matches the host if the host's address is one of its addresses.  Only those of the same
 * family can be. */
static enum rc forward(struct run *r, slice_t name, struct error *err)
{
	struct eval *ev = r->ev;
	if (is_localhost(name))
		return net_addr_is_loopback(&r->addr) ? RC_OK
		                                      : error_set(err, RC_FAIL, "not localhost");
	struct dns_resolver *resolver = ev->services ? ev->services->resolver : NULL;
	if (!resolver)
		return error_set(err, RC_DEFER, "no resolver for host name \"%.*s\"", SL_ARG(name));
	bool v4 = r->addr.family == AF_INET;
	for (int i = 0; i < 2;
	     i++) { /* the other family only tells whether the name is known at all */
		struct dns_answer *answer = NULL;
		uint16_t type = v4 == (i == 0) ? DNS_A : DNS_AAAA;
		enum rc rc =
		    dns_wait(resolver, name, type, ev->deadline_us, ev->cancel, ev->arena, &answer);
		if (rc == RC_OK)
			return i == 0 && among(answer, &r->addr)
			           ? RC_OK
			           : error_set(err, RC_FAIL, "another address");
		if (rc != RC_FAIL)
			return error_set(err, RC_DEFER, "lookup of host \"%.*s\" deferred: %s",
			    SL_ARG(name), answer ? dns_status_text(answer->status) : "no answer");
		if (answer && answer->status != DNS_NODATA)
			break;
	}
	if (log_selected(ev->log, LOG_HOST_LOOKUP_FAILED) && ev->log) {
		slice_t from = session_host_text(ev->arena, ev->session, false);
		log_main(ev->log, slice_absent(), "no IP address found for host %.*s%s%.*s%s",
		    SL_ARG(name), from.len ? " (during SMTP connection from " : "", SL_ARG(from),
		    from.len ? ")" : "");
	}
	return unknown(r, err, "IP address", name);
}

static void text_v6(const struct net_addr *a, char sep, char *out, size_t size)
{
	size_t at = 0;
	for (int i = 0; i < 8 && at + 6 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%02x%02x",
		    i ? (char[]){sep, '\0'} : "", a->bytes[2 * i], a->bytes[2 * i + 1]);
}

static void mask(struct net_addr *a, unsigned bits)
{
	for (unsigned i = 0; i < sizeof a->bytes; i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
		if (keep < 8)
			a->bytes[i] &= (uint8_t)(0xff00U >> keep);
	}
}

/* The address as a key: "192.168.34.0/24"; IPv6 unabbreviated, with dots because a colon ends a key
 * in a file. */
static slice_t net_key(struct run *r, const struct item_lookup *lk)
{
	char text[NET_ADDR_TEXT];
	struct net_addr a = r->addr;
	unsigned all = a.family == AF_INET ? 32 : 128;
	unsigned bits = lk->mask_bits < 0 ? all : (unsigned)lk->mask_bits;
	a.scope = 0;
	mask(&a, bits < all ? bits : all);
	if (a.family == AF_INET)
		(void)net_addr_text(&a, text);
	else
		text_v6(&a, slice_eqs(lk->type.name, "iplsearch") ? ':' : '.', text, sizeof text);
	if (lk->mask_bits < 0)
		return arena_printf(r->ev->arena, "%s", text);
	return arena_printf(r->ev->arena, "%s/%u", text, bits < all ? bits : all);
}

static enum rc own_address(struct run *r, struct error *err)
{
	const struct net_interfaces *own = r->ev->services ? r->ev->services->own_addresses : NULL;
	return own && net_interfaces_has(own, &r->addr)
	           ? RC_OK
	           : error_set(err, RC_FAIL, "not an address of ours");
}

static enum rc by_name(struct run *r, const struct item *it, struct error *err)
{
	enum rc rc = need_name(r, err);
	if (rc == RC_OK)
		rc = match_name_item(r, it, MATCH_HOSTS, match_lower(r, r->host_name), err);
	if (rc == RC_OK && it->kind != ITEM_LOOKUP)
		r->data = slice_absent();
	return rc;
}

enum rc match_host_item(struct run *r, const struct item *it, struct error *err)
{
	const struct item_lookup *lk = it->extra;
	const struct process_facts *p = r->ev->process;
	if (it->kind == ITEM_NAMED)
		return match_name_item(r, it, MATCH_HOSTS, r->subject, err);
	bool is_query =
	    (it->kind == ITEM_LOOKUP || it->kind == ITEM_NET_LOOKUP) && lk->type.is_query;
	if (is_query)
		return match_item_lookup(r, lk, slice_absent(), err);
	if (!r->addr.family)
		return error_set(err, RC_FAIL, "no remote host");
	if (it->kind == ITEM_LOOKUP && r->address_only) {
		struct item_lookup whole = *lk;
		whole.mask_bits = -1;
		return match_item_lookup(r, lk, net_key(r, &whole), err);
	}
	switch ((enum item_kind)it->kind) {
	case ITEM_NET_LOOKUP:
		return match_item_lookup(r, lk, net_key(r, lk), err);
	case ITEM_HOST_NAME:
		return forward(r, it->text, err);
	case ITEM_SELF:
		return p ? forward(r, p->primary_hostname, err)
		         : error_set(err, RC_FAIL, "no name");
	case ITEM_SELF_IP:
		return own_address(r, err);
	case ITEM_REGEX:
	case ITEM_LOOKUP:
	case ITEM_EXACT:
	case ITEM_SUFFIX:
		return by_name(r, it, err);
	case ITEM_EMPTY:
	case ITEM_ANY:
	case ITEM_WHOLE:
	case ITEM_NET:
	case ITEM_NAMED:
	case ITEM_FILE:
	case ITEM_SPLIT:
	case ITEM_BY_DOMAIN:
		break;
	}
	return error_set(err, RC_ERROR, "\"%.*s\" is no item for a host", SL_ARG(it->text));
}
