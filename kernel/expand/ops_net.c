/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operators on IP addresses. */
#include "expand/tree.h"

#include <arpa/inet.h>

struct ip {
	unsigned char b[16];
	bool v6;
};

static bool read_ip(slice_t s, struct ip *ip)
{
	char text[INET6_ADDRSTRLEN + 1];
	if (s.len == 0 || s.len >= sizeof text || memchr(s.ptr, 0, s.len))
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	ip->v6 = slice_find(s, ':') != SIZE_MAX;
	return inet_pton(ip->v6 ? AF_INET6 : AF_INET, text, ip->b) == 1;
}

int ip_family(slice_t s)
{
	struct ip ip;
	size_t scope = slice_find(s, '%');
	if (scope != SIZE_MAX && scope + 1 < s.len) {
		slice_t address = slice_sub(s, 0, scope);
		return read_ip(address, &ip) && ip.v6 ? 6 : 0;
	}
	return read_ip(s, &ip) ? (ip.v6 ? 6 : 4) : 0;
}

static uint32_t group(const struct ip *ip, int i)
{
	return (uint32_t)ip->b[2 * i] << 8 | ip->b[2 * i + 1];
}

/* RFC 5952 but for a single zero group, which Exim shortens too; no dotted quads. */
static slice_t normal_text(struct arena *a, const struct ip *ip)
{
	int best = -1, best_len = 0;
	for (int i = 0; i < 8; i++) {
		int n = 0;
		while (i + n < 8 && group(ip, i + n) == 0)
			n++;
		if (n > best_len) {
			best = i;
			best_len = n;
		}
		i += n;
	}
	struct strbuf sb;
	strbuf_init(&sb, a, 64);
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			strbuf_text(&sb, "::");
			i += best_len - 1;
			continue;
		}
		if (i && i != best + best_len)
			strbuf_char(&sb, ':');
		strbuf_printf(&sb, "%x", group(ip, i));
	}
	return strbuf_slice(&sb);
}

static slice_t full_text(struct arena *a, const struct ip *ip, char sep)
{
	struct strbuf sb;
	strbuf_init(&sb, a, 64);
	for (int i = 0; i < 8; i++) {
		if (i)
			strbuf_char(&sb, sep);
		strbuf_printf(&sb, "%04x", group(ip, i));
	}
	return strbuf_slice(&sb);
}

static void map_v4(struct ip *ip)
{
	if (ip->v6)
		return;
	memcpy(ip->b + 12, ip->b, 4);
	memset(ip->b, 0, 10);
	ip->b[10] = ip->b[11] = 0xff;
	ip->v6 = true;
}

static enum rc op_ipv6(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	struct ip ip;
	if (!read_ip(in, &ip))
		return error_set(err, RC_ERROR, "\"%.*s\" is not an IP address", SL_ARG(in));
	map_v4(&ip);
	bool denorm = ((const struct op_row *)n->row)->arg != 0;
	*out = denorm ? full_text(ev->arena, &ip, ':') : normal_text(ev->arena, &ip);
	return RC_OK;
}

static enum rc op_mask(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	struct ip ip;
	int64_t bits;
	size_t slash = slice_find(in, '/');
	if (slash == SIZE_MAX && read_ip(in, &ip))
		return error_set(err, RC_ERROR, "missing mask value in \"%.*s\"", SL_ARG(in));
	slice_t mask = slash == SIZE_MAX ? in : slice_sub(in, slash + 1, in.len);
	if (slash == SIZE_MAX || !read_ip(slice_sub(in, 0, slash), &ip) || !mask.len ||
	    !ascii_isdigit(mask.ptr[0]) || !slice_to_i64(mask, 10, false, &bits))
		return error_set(err, RC_ERROR, "\"%.*s\" is not an IP address", SL_ARG(in));
	int size = ip.v6 ? 128 : 32;
	if (bits > size)
		return error_set(err, RC_ERROR, "mask value too big in \"%.*s\"", SL_ARG(in));
	for (int i = (int)bits; i < size; i++)
		ip.b[i / 8] &= (unsigned char)~(0x80U >> (i % 8));
	slice_t text;
	if (!ip.v6)
		text = arena_printf(ev->arena, "%u.%u.%u.%u", ip.b[0], ip.b[1], ip.b[2], ip.b[3]);
	else if (slice_eqs(n->text, "n"))
		text = normal_text(ev->arena, &ip);
	else
		text = full_text(ev->arena, &ip, '.');
	*out = arena_printf(ev->arena, "%.*s/%d", SL_ARG(text), (int)bits);
	return RC_OK;
}

static enum rc op_reverse_ip(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	struct ip ip;
	if (!read_ip(in, &ip))
		return error_set(
		    err, RC_ERROR, "reverse_ip() not given an IP address [%.*s]", SL_ARG(in));
	if (!ip.v6) {
		*out = arena_printf(ev->arena, "%u.%u.%u.%u", ip.b[3], ip.b[2], ip.b[1], ip.b[0]);
		return RC_OK;
	}
	static const char digits[] = "0123456789abcdef";
	char *p = arena_bytes(ev->arena, 63);
	for (unsigned i = 0; i < 32; i++) {
		unsigned char byte = ip.b[15 - i / 2];
		p[2 * i] = digits[i % 2 ? byte >> 4 : byte & 15];
		if (i < 31)
			p[2 * i + 1] = '.';
	}
	*out = slice_of(p, 63, HEDDLE_CLEAN);
	return RC_OK;
}

const struct op_row op_rows_net[] = {
    {"ipv6denorm", op_ipv6, OP_PURE, 1, 0},
    {"ipv6norm", op_ipv6, OP_PURE, 0, 0},
    {"mask", op_mask, OP_PURE | OP_SUFFIX, 0, 0},
    {"reverse_ip", op_reverse_ip, OP_PURE, 0, 0},
    {0},
};
