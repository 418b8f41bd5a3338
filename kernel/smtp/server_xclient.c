/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * XCLIENT: a proxy in front of us says who the client is (Postfix's protocol, XCLIENT_README). Only
 * hosts of hosts_xclient may, and it is the connection's own address that counts, also after the
 * first time.  What is said takes the place of what we saw; then the session begins anew, with its
 * checks and greeting.
 */
#include "smtp/server_private.h"

#define VALUE_MAX 255

struct xclient { /* ABSENT: not said */
	slice_t name, addr, port, proto, helo, login, dest_addr, dest_port;
};
struct attribute {
	const char *name;
	size_t at;
};
#define X(name, member)                                \
	{                                              \
		name, offsetof(struct xclient, member) \
	}
static const struct attribute attributes[] = {X("ADDR", addr), X("NAME", name), X("PORT", port),
    X("PROTO", proto), X("HELO", helo), X("LOGIN", login), X("DESTADDR", dest_addr),
    X("DESTPORT", dest_port)};
#undef X
enum { ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

bool xclient_allowed(struct run *r)
{
	struct session *s = r->s;
	if (s->handed)
		return false;
	if (!s->xclient_known) { /* while the facts are still the connection's */
		s->xclient_known = true;
		s->xclient_ok = host_matches(r, MO_hosts_xclient);
	}
	return s->xclient_ok;
}

void xclient_offer(struct run *r, struct strbuf *sb)
{
	if (!xclient_allowed(r))
		return;
	strbuf_text(sb, "\nXCLIENT");
	for (size_t i = 0; i < ATTRIBUTES; i++)
		strbuf_printf(sb, " %s", attributes[i].name);
}

static bool is_unavailable(slice_t v)
{
	return slice_eqis(v, "[UNAVAILABLE]") || slice_eqis(v, "[TEMPUNAVAIL]");
}

/* The words of the command.  NULL, or what is wrong. */
static const char *parse(struct run *r, struct xclient *x)
{
	slice_t rest = r->arg, word;
	for (size_t i = 0; i < ATTRIBUTES; i++)
		*(slice_t *)(void *)((char *)x + attributes[i].at) = slice_absent();
	if (!rest.len)
		return "XCLIENT must have an operand";
	while (slice_next(&rest, ' ', &word)) {
		size_t eq = slice_find(word, '='), i = 0;
		slice_t value;
		if (!word.len)
			continue;
		if (eq == SIZE_MAX)
			return "malformed attribute";
		while (i < ATTRIBUTES && !slice_eqis(slice_sub(word, 0, eq), attributes[i].name))
			i++;
		if (i == ATTRIBUTES)
			return "unrecognized parameter";
		if (!xtext_decode(r->scratch, slice_sub(word, eq + 1, word.len), &value) ||
		    !value.len || value.len > VALUE_MAX)
			return "malformed value";
		for (uint32_t k = 0; k < value.len; k++)
			if ((unsigned char)value.ptr[k] <= ' ' ||
			    (unsigned char)value.ptr[k] >= 127)
				return "malformed value";
		*(slice_t *)(void *)((char *)x + attributes[i].at) = value;
	}
	return NULL;
}

static bool parse_address(slice_t text, struct net_addr *out)
{
	return net_addr_parse(
	    slice_startsi(text, "IPV6:") ? slice_sub(text, 5, text.len) : text, out);
}

static bool parse_port(slice_t text, uint16_t *out)
{
	int64_t n;
	if (!slice_to_i64(text, 10, false, &n) || n < 0 || n > 65535)
		return false;
	*out = (uint16_t)n;
	return true;
}

/* Values that are of no use here; NULL: all are. */
static const char *check(
    const struct xclient *x, const struct session *s, struct net_addr *peer, struct net_addr *dest)
{
	*peer = s->peer;
	*dest = (struct net_addr){.port = (uint16_t)s->facts.interface_port};
	uint16_t port = peer->port;
	if (!slice_is_absent(x->addr) && !is_unavailable(x->addr) && !parse_address(x->addr, peer))
		return "bad value for ADDR";
	peer->port = port;
	if (!slice_is_absent(x->port) && !is_unavailable(x->port) &&
	    !parse_port(x->port, &peer->port))
		return "bad value for PORT";
	port = dest->port;
	if (!slice_is_absent(x->dest_addr) && !is_unavailable(x->dest_addr) &&
	    !parse_address(x->dest_addr, dest))
		return "bad value for DESTADDR";
	dest->port = port;
	if (!slice_is_absent(x->dest_port) && !is_unavailable(x->dest_port) &&
	    !parse_port(x->dest_port, &dest->port))
		return "bad value for DESTPORT";
	if (!slice_is_absent(x->proto) && !slice_eqis(x->proto, "SMTP") &&
	    !slice_eqis(x->proto, "ESMTP"))
		return "bad value for PROTO";
	return NULL;
}

static void take_facts(struct session *s, const struct xclient *x, const struct net_addr *peer,
    const struct net_addr *dest)
{
	struct session_facts *f = &s->facts;
	slice_t no = slice_absent();
	char buf[NET_ADDR_TEXT];
	bool other = !net_addr_eq(&s->peer, peer);
	f->helo_verified = false;
	s->peer = *peer;
	net_addr_unmap(&s->peer);
	f->sender_host_address = arena_dup(s->arena, net_addr_text(&s->peer, buf));
	f->sender_host_port = s->peer.port;
	if (dest->family)
		f->interface_address = arena_dup(s->arena, net_addr_text(dest, buf));
	f->interface_port = dest->port;
	if (other || !slice_is_absent(x->name)) {
		f->sender_host_name = no;
		f->host_lookup = HOST_LOOKUP_NONE;
		f->sender_ident = no;
	}
	if (slice_eqis(x->name, "[UNAVAILABLE]"))
		f->host_lookup = HOST_LOOKUP_FAILED;
	else if (slice_eqis(x->name, "[TEMPUNAVAIL]"))
		f->host_lookup = HOST_LOOKUP_DEFERRED;
	else if (!slice_is_absent(x->name)) {
		f->sender_host_name = arena_dup(s->arena, x->name);
		f->host_lookup = HOST_LOOKUP_OK;
	}
	f->sender_helo_name =
	    slice_is_absent(x->helo) || is_unavailable(x->helo) ? no : arena_dup(s->arena, x->helo);
	bool login = !slice_is_absent(x->login) && !is_unavailable(x->login);
	f->sender_host_authenticated = login ? SL("XCLIENT") : no;
	f->authenticated_id = login ? arena_dup(s->arena, x->login) : no;
	session_update_host(f);
}

void serve_xclient(struct run *r)
{
	struct session *s = r->s;
	struct xclient x;
	struct net_addr peer, dest;
	if (!xclient_allowed(r)) {
		synprot_error(r, true, 503, SL("XCLIENT command used when not advertised"));
		return;
	}
	if (s->m) {
		synprot_error(r, true, 503, SL("XCLIENT is not permitted inside a transaction"));
		return;
	}
	const char *wrong = parse(r, &x);
	if (!wrong)
		wrong = check(&x, s, &peer, &dest);
	if (wrong) {
		synprot_error(r, false, 501, slice_cstr(wrong));
		return;
	}
	session_reset_transaction(s);
	auth_drop(r);
	s->helo_seen = s->esmtp = s->taken_limits = false;
	session_forget_offers(s);
	s->count_rset = s->count_helo = s->count_auth = false;
	take_facts(s, &x, &peer, &dest);
	s->facts.received_protocol = session_protocol(s);
	session_client_limits(r);
	serve_connected(r);
}
