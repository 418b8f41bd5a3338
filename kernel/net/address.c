/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/net.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* ---- parsing ---- */

static bool parse_scope(slice_t s, uint32_t *out)
{
	char name[IF_NAMESIZE];
	int64_t n;

	if (s.len == 0 || s.len >= sizeof name)
		return false;
	if (slice_to_i64(s, 10, false, &n)) {
		*out = (uint32_t)n;
		return n > 0 && n <= UINT32_MAX;
	}
	memcpy(name, s.ptr, s.len);
	name[s.len] = '\0';
	*out = if_nametoindex(name);
	return *out != 0;
}

bool net_addr_parse(slice_t s, struct net_addr *out)
{
	struct net_addr a = {.family = AF_INET};
	char text[INET6_ADDRSTRLEN];
	size_t scope_at = slice_find(s, '%');

	if (slice_find(s, ':') != SIZE_MAX)
		a.family = AF_INET6;
	if (scope_at != SIZE_MAX) {
		if (a.family != AF_INET6 ||
		    !parse_scope(slice_sub(s, scope_at + 1, SIZE_MAX), &a.scope))
			return false;
		s = slice_sub(s, 0, scope_at);
	}
	if (s.len == 0 || s.len >= sizeof text || slice_find(s, '\0') != SIZE_MAX)
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	if (inet_pton(a.family, text, a.bytes) != 1)
		return false;
	*out = a;
	return true;
}

static bool parse_port(slice_t s, uint16_t *out)
{
	uint32_t v = 0;

	if (s.len == 0 || s.len > 5)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_isdigit(s.ptr[i]))
			return false;
		v = v * 10 + (uint32_t)(s.ptr[i] - '0');
	}
	*out = (uint16_t)v;
	return v > 0 && v <= UINT16_MAX;
}

/* "[A]" or "[A]:PORT" */
static bool parse_bracketed(slice_t s, struct net_addr *out)
{
	struct net_addr a;
	size_t close = slice_find(s, ']');
	uint16_t port = 0;

	if (close == SIZE_MAX || !net_addr_parse(slice_sub(s, 1, close - 1), &a))
		return false;
	slice_t rest = slice_sub(s, close + 1, SIZE_MAX);
	if (rest.len > 0 &&
	    (rest.ptr[0] != ':' || !parse_port(slice_sub(rest, 1, SIZE_MAX), &port)))
		return false;
	a.port = port;
	*out = a;
	return true;
}

bool net_addr_parse_port(slice_t s, struct net_addr *out)
{
	struct net_addr a;
	uint16_t port = 0;
	size_t dots = 0, last = 0;

	s = slice_trim(s);
	if (s.len && s.ptr[0] == '[')
		return parse_bracketed(s, out);
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == '.') {
			dots++;
			last = i;
		}
	/* "::1.25" and "::ffff:1.2.3.4.25": IPv6 text itself has none or three dots. */
	if (dots == 4 || (dots == 1 && slice_find(s, ':') != SIZE_MAX)) {
		if (!parse_port(slice_sub(s, last + 1, SIZE_MAX), &port))
			return false;
		s = slice_sub(s, 0, last);
	}
	if (!net_addr_parse(s, &a))
		return false;
	a.port = port;
	*out = a;
	return true;
}

/* Next item of an Exim list, without white space round it, doubled separators made single.  false:
 * no more. */
static bool next_item(struct arena *a, slice_t *rest, char sep, slice_t *out)
{
	if (rest->len == 0)
		return false;
	char *text = arena_bytes(a, rest->len);
	size_t n = 0, i = 0;

	for (; i < rest->len; i++) {
		if (rest->ptr[i] == sep) {
			if (i + 1 >= rest->len || rest->ptr[i + 1] != sep)
				break;
			i++;
		}
		text[n++] = rest->ptr[i];
	}
	*out = slice_trim(slice_of(text, n, rest->flags));
	*rest = slice_sub(*rest, i + 1, SIZE_MAX);
	return true;
}

enum rc net_addr_parse_list(struct arena *a, slice_t list, struct vec *addrs, struct error *err)
{
	char sep = ':';
	slice_t item;

	list = slice_trim(list);
	if (list.len >= 2 && list.ptr[0] == '<' && !ascii_isalnum(list.ptr[1]) &&
	    list.ptr[1] != ' ') {
		sep = list.ptr[1];
		list = slice_sub(list, 2, SIZE_MAX);
	}
	while (next_item(a, &list, sep, &item)) {
		struct net_addr addr;
		if (item.len == 0)
			continue;
		if (!net_addr_parse_port(item, &addr))
			return error_set(err, RC_FAIL,
			    "\"%.*s\" is not an IP address with an optional port", SL_ARG(item));
		*VEC_PUSH(a, addrs, struct net_addr) = addr;
	}
	return RC_OK;
}

/* ---- text ---- */

slice_t net_addr_text(const struct net_addr *addr, char buf[NET_ADDR_TEXT])
{
	buf[0] = '\0';
	if (addr->family == 0 || !inet_ntop(addr->family, addr->bytes, buf, INET6_ADDRSTRLEN))
		return slice_of(buf, 0, HEDDLE_CLEAN);
	if (addr->scope) {
		size_t n = strlen(buf);
		(void)snprintf(buf + n, NET_ADDR_TEXT - n, "%%%u", addr->scope);
	}
	return slice_cstr(buf);
}

slice_t net_addr_port_text(const struct net_addr *addr, char buf[NET_ADDR_TEXT])
{
	char plain[NET_ADDR_TEXT];

	(void)net_addr_text(addr, plain);
	int n = snprintf(buf, NET_ADDR_TEXT, "[%.64s]:%u", plain, addr->port);
	return slice_of(buf, n > 0 ? (size_t)n : 0, HEDDLE_CLEAN);
}

/* ---- comparing ---- */

static unsigned addr_bits(const struct net_addr *a)
{
	return a->family == AF_INET ? 32 : 128;
}

bool net_cidr_parse(slice_t s, struct net_cidr *out)
{
	struct net_cidr c;
	size_t slash = slice_find(s, '/');
	int64_t bits;

	if (!net_addr_parse(slice_sub(s, 0, slash == SIZE_MAX ? s.len : slash), &c.net))
		return false;
	bits = addr_bits(&c.net);
	if (slash != SIZE_MAX) {
		slice_t mask = slice_sub(s, slash + 1, SIZE_MAX);
		if (mask.len == 0 || !ascii_isdigit(mask.ptr[0]) ||
		    !slice_to_i64(mask, 10, false, &bits))
			return false;
	}
	if (bits < 0 || bits > addr_bits(&c.net))
		return false;
	c.bits = (uint8_t)bits;
	*out = c;
	return true;
}

bool net_cidr_has(const struct net_cidr *c, const struct net_addr *addr)
{
	size_t whole = c->bits / 8, rest = c->bits % 8;

	if (addr->family != c->net.family || addr->family == 0)
		return false;
	if (memcmp(addr->bytes, c->net.bytes, whole) != 0)
		return false;
	return rest == 0 || ((addr->bytes[whole] ^ c->net.bytes[whole]) >> (8 - rest)) == 0;
}

int net_addr_cmp(const struct net_addr *a, const struct net_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	int c = memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 16);
	if (c != 0 || a->scope == b->scope)
		return c;
	return a->scope < b->scope ? -1 : 1;
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	return net_addr_cmp(a, b) == 0;
}

bool net_addr_is_any(const struct net_addr *a)
{
	static const uint8_t zeros[16];

	return a->family && memcmp(a->bytes, zeros, a->family == AF_INET ? 4 : 16) == 0;
}

static bool is_mapped(const struct net_addr *a)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return a->family == AF_INET6 && memcmp(a->bytes, prefix, sizeof prefix) == 0;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	if (a->family == AF_INET)
		return a->bytes[0] == 127;
	if (is_mapped(a))
		return a->bytes[12] == 127;
	return a->family == AF_INET6 && memcmp(a->bytes, one, sizeof one) == 0;
}

void net_addr_unmap(struct net_addr *a)
{
	if (!is_mapped(a))
		return;
	a->family = AF_INET;
	a->scope = 0;
	memmove(a->bytes, a->bytes + 12, 4);
	memset(a->bytes + 4, 0, 12);
}

uint64_t net_addr_client_key(const struct net_addr *a)
{
	uint64_t key = a->family;
	size_t n = a->family == AF_INET ? 4 : 8;

	/* Mixed only so that neighbours fall into different buckets; who collides shares a quota.
	 */
	for (size_t i = 0; i < n; i++)
		key = key * UINT64_C(0x9e3779b97f4a7c15) + a->bytes[i];
	key ^= key >> 29;
	return key ? key : 1;
}

/* ---- system form ---- */

bool net_addr_from_sockaddr(const void *sa, socklen_t len, struct net_addr *out)
{
	struct net_addr a = {0};
	sa_family_t family;

	if (len < (socklen_t)(offsetof(struct sockaddr, sa_family) + sizeof family))
		return false;
	memcpy(&family, (const char *)sa + offsetof(struct sockaddr, sa_family), sizeof family);
	if (family == AF_INET && len >= (socklen_t)sizeof(struct sockaddr_in)) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof in);
		a.family = AF_INET;
		a.port = ntohs(in.sin_port);
		memcpy(a.bytes, &in.sin_addr, 4);
	} else if (family == AF_INET6 && len >= (socklen_t)sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof in6);
		a.family = AF_INET6;
		a.port = ntohs(in6.sin6_port);
		a.scope = in6.sin6_scope_id;
		memcpy(a.bytes, &in6.sin6_addr, 16);
	} else {
		return false;
	}
	*out = a;
	return true;
}

socklen_t net_addr_to_sockaddr(const struct net_addr *addr, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (addr->family == AF_INET) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
		memcpy(&in.sin_addr, addr->bytes, 4);
		memcpy(out, &in, sizeof in);
		return sizeof in;
	}
	struct sockaddr_in6 in6 = {
	    .sin6_family = AF_INET6, .sin6_port = htons(addr->port), .sin6_scope_id = addr->scope};
	memcpy(&in6.sin6_addr, addr->bytes, 16);
	memcpy(out, &in6, sizeof in6);
	return sizeof in6;
}
