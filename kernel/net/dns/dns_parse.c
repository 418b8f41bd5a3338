/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/dns/dns_parse.h"

#include "base/strbuf.h"

#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 12
#define NAME_OCTETS  255 /* RFC 1035 2.3.4 */
#define LABEL_OCTETS 63
#define MAX_POINTERS \
	64 /* compression jumps in one name; each goes backwards, so this is generous */

/* Bytes [at, end) of a message; names may point anywhere before themselves. */
struct cursor {
	const uint8_t *wire;
	size_t at, end;
	bool bad; /* sticks */
};

static uint32_t take(struct cursor *c, size_t n)
{
	uint32_t v = 0;

	if (c->bad || c->end - c->at < n) {
		c->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v = v << 8 | c->wire[c->at++];
	return v;
}

/* ---- names ---- */

static void add_octet(struct strbuf *sb, uint8_t c)
{
	char text[8];

	if (c <= ' ' || c >= 0x7f)
		(void)snprintf(text, sizeof text, "\\%03u", c);
	else if (c == '.' || c == '\\')
		(void)snprintf(text, sizeof text, "\\%c", c);
	else
		(void)snprintf(text, sizeof text, "%c", c);
	strbuf_add(sb, slice_tainted(text, strlen(text)));
}

static slice_t take_name(struct cursor *c, struct arena *a)
{
	struct strbuf sb;
	size_t at = c->at, end = c->end, octets = 1;
	bool jumped = false;

	strbuf_init(&sb, a, (size_t)NAME_OCTETS * 4 + 1);
	for (unsigned jumps = 0;;) {
		if (c->bad || at >= end)
			goto bad;
		uint8_t len = c->wire[at++];
		if ((len & 0xc0) == 0xc0) {
			if (at >= end || ++jumps > MAX_POINTERS)
				goto bad;
			size_t to = (size_t)(len & 0x3f) << 8 | c->wire[at];
			if (!jumped)
				c->at = at + 1;
			/* Only backwards: no circle can be built. */
			if (to >= at - 1)
				goto bad;
			end = at - 1;
			at = to;
			jumped = true;
			continue;
		}
		octets += 1u + len;
		if (len > LABEL_OCTETS || octets > NAME_OCTETS + 1 || end - at < len)
			goto bad;
		if (len == 0)
			break;
		if (sb.len)
			strbuf_char(&sb, '.');
		for (size_t i = 0; i < len; i++)
			add_octet(&sb, c->wire[at++]);
	}
	if (!jumped)
		c->at = at;
	if (sb.len == 0)
		strbuf_add(&sb, slice_tainted(".", 1));
	return slice_tainted(strbuf_slice(&sb).ptr, sb.len);
bad:
	c->bad = true;
	return slice_tainted("", 0);
}

/* ---- rdata: one function a type ---- */

static void parse_a(struct cursor *c, struct arena *a, struct dns_record *r)
{
	bool ip6 = r->type == DNS_AAAA;
	size_t n = ip6 ? 16 : 4;

	(void)a;
	if (c->end - c->at != n) {
		c->bad = true;
		return;
	}
	r->addr.family = ip6 ? AF_INET6 : AF_INET;
	memcpy(r->addr.bytes, c->wire + c->at, n);
	c->at += n;
}

static void parse_name(struct cursor *c, struct arena *a, struct dns_record *r)
{
	r->name = take_name(c, a);
}

static void parse_mx(struct cursor *c, struct arena *a, struct dns_record *r)
{
	r->pref = (uint16_t)take(c, 2);
	r->name = take_name(c, a);
}

static void parse_srv(struct cursor *c, struct arena *a, struct dns_record *r)
{
	r->pref = (uint16_t)take(c, 2);
	r->weight = (uint16_t)take(c, 2);
	r->port = (uint16_t)take(c, 2);
	r->name = take_name(c, a);
}

static void parse_soa(struct cursor *c, struct arena *a, struct dns_record *r)
{
	r->name = take_name(c, a);
	r->mailbox = take_name(c, a);
	r->serial = take(c, 4);
	r->refresh = take(c, 4);
	r->retry = take(c, 4);
	r->expire = take(c, 4);
	r->minimum = take(c, 4);
}

static void parse_txt(struct cursor *c, struct arena *a, struct dns_record *r)
{
	size_t n = 0, at = c->at;

	while (at < c->end) {
		size_t len = c->wire[at];
		if (c->end - at - 1 < len) {
			c->bad = true;
			return;
		}
		at += 1 + len;
		n++;
	}
	if (n == 0) { /* RFC 1035 3.3.14: one or more */
		c->bad = true;
		return;
	}
	r->texts = ARENA_ARRAY(a, slice_t, n);
	r->n_texts = n;
	for (size_t i = 0; i < n; i++) {
		size_t len = c->wire[c->at++];
		r->texts[i] = arena_dup(a, slice_tainted(c->wire + c->at, len));
		c->at += len;
	}
}

static void parse_tlsa(struct cursor *c, struct arena *a, struct dns_record *r)
{
	(void)a;
	(void)r;
	/* usage, selector, matching type, and at least something to match (RFC 6698 2.1) */
	if (c->end - c->at < 4)
		c->bad = true;
	c->at = c->end;
}

static const struct type_row {
	uint16_t type;
	const char *name;
	void (*parse)(
	    struct cursor *c, struct arena *a, struct dns_record *r); /* NULL: rdata only */
} types[] = {
    {DNS_A, "A", parse_a},
    {DNS_NS, "NS", parse_name},
    {DNS_CNAME, "CNAME", parse_name},
    {DNS_SOA, "SOA", parse_soa},
    {DNS_PTR, "PTR", parse_name},
    {DNS_MX, "MX", parse_mx},
    {DNS_TXT, "TXT", parse_txt},
    {DNS_AAAA, "AAAA", parse_a},
    {DNS_SRV, "SRV", parse_srv},
    {DNS_TLSA, "TLSA", parse_tlsa},
    {99, "SPF", parse_txt},
    {DNS_ANY, "ANY", NULL},
};

static const struct type_row *find_type(uint16_t type)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

/* ---- the message ---- */

/* false: the record is left out. */
static bool parse_rdata(struct cursor rd, struct arena *a, struct dns_record *r)
{
	const struct type_row *row = find_type(r->type);

	r->rdata = arena_dup(a, slice_tainted(rd.wire + rd.at, rd.end - rd.at));
	if (!row || !row->parse)
		return true;
	row->parse(&rd, a, r);
	return !rd.bad && rd.at == rd.end;
}

static void parse_record(struct cursor *c, struct arena *a, uint8_t section, struct dns_message *m)
{
	struct dns_record r = {.section = section};
	uint32_t cls;

	r.owner = take_name(c, a);
	r.type = (uint16_t)take(c, 2);
	cls = take(c, 2);
	r.ttl = take(c, 4);
	size_t len = take(c, 2);
	if (c->bad || c->end - c->at < len) {
		c->bad = true;
		return;
	}
	if (r.ttl > INT32_MAX) /* RFC 2181 8 */
		r.ttl = 0;
	struct cursor rd = {c->wire, c->at, c->at + len, false};
	c->at += len;
	if (cls == 1 && parse_rdata(rd, a, &r))
		m->records[m->count++] = r;
}

enum rc dns_parse_message(
    struct arena *a, const void *wire, size_t len, struct dns_message *out, struct error *err)
{
	struct cursor c = {wire, 0, len, false};
	struct dns_message m = {0};
	uint32_t counts[3], flags, questions;
	size_t total = 0;

	(void)take(&c, 2);
	flags = take(&c, 2);
	questions = take(&c, 2);
	for (size_t i = 0; i < 3; i++)
		total += counts[i] = take(&c, 2);
	if (c.bad || questions > 1)
		return error_set(err, RC_FAIL, "not a DNS answer");
	/* The smallest record takes 11 bytes: who announces more than fit lies. */
	if (total > DNS_MAX_RECORDS || total > (len - HEADER_BYTES) / 11)
		return error_set(
		    err, RC_FAIL, "DNS answer announces %zu records in %zu bytes", total, len);
	m.rcode = flags & 15;
	m.authoritative = flags & 0x400;
	m.truncated = flags & 0x200;
	m.authentic = flags & 0x20;
	if (questions) {
		m.qname = take_name(&c, a);
		m.qtype = (uint16_t)take(&c, 2);
		(void)take(&c, 2);
	}
	m.records = ARENA_ARRAY(a, struct dns_record, total + 1);
	for (uint8_t s = DNS_ANSWER; s <= DNS_ADDITIONAL; s++)
		for (uint32_t i = 0; i < counts[s] && !c.bad; i++)
			parse_record(&c, a, s, &m);
	if (c.bad)
		return error_set(err, RC_FAIL, "damaged DNS answer");
	*out = m;
	return RC_OK;
}

enum rc dns_message_select(
    struct dns_message *m, slice_t qname, uint16_t type, slice_t *out_canon, struct error *err)
{
	slice_t name = qname;
	size_t kept = 0;

	if (name.len > 1 && name.ptr[name.len - 1] == '.')
		name = slice_sub(name, 0, name.len - 1);
	for (unsigned hops = 0; type != DNS_CNAME && type != DNS_ANY; hops++) {
		const struct dns_record *alias = NULL;
		for (size_t i = 0; i < m->count && !alias; i++) {
			const struct dns_record *r = &m->records[i];
			if (r->section == DNS_ANSWER && r->type == DNS_CNAME &&
			    slice_eqi(r->owner, name))
				alias = r;
		}
		if (!alias)
			break;
		if (hops == DNS_MAX_CNAMES)
			return error_set(
			    err, RC_FAIL, "too many aliases behind %.*s", SL_ARG(qname));
		name = alias->name;
	}
	for (size_t i = 0; i < m->count; i++) {
		const struct dns_record *r = &m->records[i];
		if (r->section == DNS_ANSWER && (r->type == type || type == DNS_ANY) &&
		    slice_eqi(r->owner, name))
			m->records[kept++] = *r;
	}
	m->count = kept;
	*out_canon = name;
	return RC_OK;
}

/* ---- text ---- */

slice_t dns_type_name(struct arena *a, uint16_t type)
{
	const struct type_row *row = find_type(type);

	return row ? slice_cstr(row->name) : arena_printf(a, "TYPE%u", type);
}

bool dns_type_parse(slice_t s, uint16_t *out)
{
	int64_t n;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slice_eqis(s, types[i].name)) {
			*out = types[i].type;
			return true;
		}
	if (!slice_startsi(s, "TYPE") || !slice_to_i64(slice_sub(s, 4, SIZE_MAX), 10, false, &n))
		return false;
	*out = (uint16_t)n;
	return n > 0 && n <= UINT16_MAX;
}

/* Characters that the octet at s[i] takes in presentation form; 0: malformed. */
static size_t octet_chars(slice_t s, size_t i)
{
	if (s.ptr[i] != '\\')
		return s.ptr[i] == '\0' ? 0 : 1;
	if (i + 1 >= s.len)
		return 0;
	if (!ascii_isdigit(s.ptr[i + 1]))
		return s.ptr[i + 1] == '\0' ? 0 : 2;
	if (i + 3 >= s.len || !ascii_isdigit(s.ptr[i + 2]) || !ascii_isdigit(s.ptr[i + 3]))
		return 0;
	int v = (s.ptr[i + 1] - '0') * 100 + (s.ptr[i + 2] - '0') * 10 + (s.ptr[i + 3] - '0');
	return v <= 255 ? 4 : 0;
}

bool dns_name_ok(slice_t name)
{
	size_t label = 0, octets = 1;

	if (slice_eqs(name, "."))
		return true;
	for (size_t i = 0; i < name.len;) {
		if (name.ptr[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
			octets++;
			i++;
			continue;
		}
		size_t n = octet_chars(name, i);
		if (n == 0 || ++label > LABEL_OCTETS)
			return false;
		octets++;
		i += n;
	}
	/* a last label without its dot has a length octet too */
	return name.len > 0 && octets + (label ? 1 : 0) <= NAME_OCTETS;
}

slice_t dns_reverse_name(struct arena *a, const struct net_addr *addr, const char *suffix)
{
	const char *end = addr->family == AF_INET ? "in-addr.arpa" : "ip6.arpa";
	struct strbuf sb;

	if (suffix)
		end = suffix;
	strbuf_init(&sb, a, 0);
	if (addr->family == AF_INET) {
		for (size_t i = 4; i-- > 0;)
			strbuf_printf(&sb, "%u%s", addr->bytes[i], i ? "." : "");
	} else {
		for (size_t i = 16; i-- > 0;)
			strbuf_printf(&sb, "%x.%x%s", addr->bytes[i] & 15u, addr->bytes[i] >> 4,
			    i ? "." : "");
	}
	if (*end) {
		strbuf_char(&sb, '.');
		strbuf_text(&sb, end);
	}
	return strbuf_slice(&sb);
}
