/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "net/dns/dns_parse.h"

#include <stdlib.h>

/* A message under construction. */
struct wire {
	uint8_t b[2048];
	size_t n;
};

static void put(struct wire *w, uint32_t v, size_t n)
{
	for (size_t i = n; i-- > 0;)
		w->b[w->n++] = (uint8_t)(v >> (8 * i));
}

static void put_bytes(struct wire *w, const void *p, size_t n)
{
	memcpy(w->b + w->n, p, n);
	w->n += n;
}

static void put_name(struct wire *w, const char *dotted)
{
	slice_t rest = slice_cstr(dotted), label;

	while (dotted[0] && slice_next(&rest, '.', &label)) {
		put(w, label.len, 1);
		put_bytes(w, label.ptr, label.len);
	}
	put(w, 0, 1);
}

static void header(struct wire *w, uint16_t answers, const char *qname, uint16_t type)
{
	w->n = 0;
	put(w, 0x1234, 2);
	put(w, 0x8580, 2);
	put(w, 1, 2);
	put(w, answers, 2);
	put(w, 0, 4);
	put_name(w, qname);
	put(w, type, 2);
	put(w, 1, 2);
}

/* owner 0xc00c: the question's name */
static void record(struct wire *w, uint16_t type, const void *rdata, size_t n)
{
	put(w, 0xc00c, 2);
	put(w, type, 2);
	put(w, 1, 2);
	put(w, 300, 4);
	put(w, (uint32_t)n, 2);
	put_bytes(w, rdata, n);
}

/* In a malloc of its exact size, so that ASan sees a byte too far. */
static enum rc parse(struct arena *a, const struct wire *w, size_t n, struct dns_message *m)
{
	uint8_t *exact = malloc(n ? n : 1);
	struct error err;

	memcpy(exact, w->b, n);
	enum rc rc = dns_parse_message(a, exact, n, m, &err);
	free(exact);
	return rc;
}

TEST(every_type_is_read)
{
	struct arena *a = arena_new(0);
	struct dns_message m;
	struct wire w;

	header(&w, 9, "Ex.Example", DNS_ANY);
	record(&w, DNS_A, "\x7f\0\0\x01", 4);
	record(&w, DNS_AAAA, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	record(&w, DNS_MX, "\0\x0a\x04mail\xc0\x0c", 9);
	record(&w, DNS_TXT,
	    "\x03"
	    "a b"
	    "\0"
	    "\x02"
	    "cd",
	    8);
	record(&w, DNS_SRV, "\0\x01\0\x02\0\x19\x01h\0", 9);
	record(&w, DNS_PTR, "\x01p\0", 3);
	record(&w, DNS_SOA, "\x01m\0\x01r\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05", 26);
	record(&w, DNS_TLSA, "\x03\x01\x01\xaa\xbb", 5);
	record(&w, 65280, "any", 3);
	CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_OK);
	CHECK(m.authoritative && !m.truncated);
	CHECK_EQ_STR(m.qname, "Ex.Example");
	CHECK_EQ_INT(m.qtype, DNS_ANY);
	if (CHECK_EQ_INT(m.count, 9)) {
		const struct dns_record *r = m.records;
		char text[NET_ADDR_TEXT];
		CHECK_EQ_STR(r[0].owner, "Ex.Example");
		CHECK_EQ_INT(r[0].ttl, 300);
		CHECK_EQ_STR(net_addr_text(&r[0].addr, text), "127.0.0.1");
		CHECK_EQ_STR(net_addr_text(&r[1].addr, text), "::1");
		CHECK_EQ_INT(r[2].pref, 10);
		CHECK_EQ_STR(r[2].name, "mail.Ex.Example");
		CHECK(!slice_is_clean(r[2].name));
		CHECK_EQ_INT(r[3].n_texts, 3);
		CHECK_EQ_STR(r[3].texts[0], "a b");
		CHECK_EQ_STR(r[3].texts[1], "");
		CHECK_EQ_STR(r[3].texts[2], "cd");
		CHECK(r[4].pref == 1 && r[4].weight == 2 && r[4].port == 25);
		CHECK_EQ_STR(r[4].name, "h");
		CHECK_EQ_STR(r[5].name, "p");
		CHECK_EQ_STR(r[6].mailbox, "r");
		CHECK(r[6].serial == 1 && r[6].minimum == 5);
		CHECK_EQ_STR(r[7].rdata, "\x03\x01\x01\xaa\xbb");
		CHECK_EQ_STR(r[8].rdata, "any");
	}
	arena_free(&a);
}

TEST(names_are_escaped)
{
	struct arena *a = arena_new(0);
	struct dns_message m;
	struct wire w;

	header(&w, 2, "x", DNS_PTR);
	record(&w, DNS_PTR,
	    "\x06"
	    "a.b\\ \n"
	    "\0",
	    8);
	record(&w, DNS_MX, "\0\0\0", 3);
	CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_OK);
	CHECK_EQ_STR(m.records[0].name, "a\\.b\\\\\\032\\010");
	CHECK_EQ_STR(m.records[1].name, ".");
	arena_free(&a);
}

TEST(malformed_rdata_is_left_out)
{
	static const struct {
		uint16_t type;
		const char *rdata;
		size_t n;
	} rows[] = {
	    {DNS_A, "\x7f\0\0", 3},
	    {DNS_A, "\x7f\0\0\1\1", 5},
	    {DNS_A, "", 0},
	    {DNS_AAAA, "\x7f\0\0\1", 4},
	    {DNS_MX, "\0", 1},
	    {DNS_MX, "\0\x0a", 2},
	    {DNS_MX, "\0\x0a\x05mail", 7},
	    {DNS_MX, "\0\x0a\x01m\0trailing", 13},
	    {DNS_MX, "\0\x0a\xc0", 3},
	    {DNS_MX, "\0\x0a\xff\xff", 4},
	    {DNS_MX,
	        "\0\x0a\x80"
	        "ab\0",
	        6},
	    {DNS_TXT, "", 0},
	    {DNS_TXT,
	        "\x05"
	        "abc",
	        4},
	    {DNS_SRV, "\0\1\0\1\0", 5},
	    {DNS_SOA, "\x01m\0\x01r\0\0\0\0\x01", 10},
	    {DNS_TLSA, "\x03\x01\x01", 3},
	    {DNS_PTR, "", 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new(0);
		struct dns_message m = {.count = 99};
		struct wire w;
		header(&w, 2, "x.example", rows[i].type);
		record(&w, rows[i].type, rows[i].rdata, rows[i].n);
		record(&w, DNS_A, "\x7f\0\0\x01", 4);
		CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_OK);
		CHECK_EQ_INT(m.count, 1);
		CHECK_EQ_INT(m.records[0].type, DNS_A);
		arena_free(&a);
	}
}

TEST(a_pointer_that_goes_forward_or_in_a_circle_is_refused)
{
	struct arena *a = arena_new(0);
	struct dns_message m;
	struct wire w;

	/* rdata's own pointer points at itself */
	header(&w, 1, "x", DNS_PTR);
	size_t at = w.n + 12;
	uint8_t self[2] = {(uint8_t)(0xc0 | at >> 8), (uint8_t)at};
	record(&w, DNS_PTR, self, 2);
	CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_OK);
	CHECK_EQ_INT(m.count, 0);
	/* the question's own name is a pointer to itself */
	header(&w, 0, "", DNS_A);
	w.n = 12;
	put(&w, 0xc00c, 2);
	put(&w, 1, 2);
	put(&w, 1, 2);
	CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_FAIL);
	arena_free(&a);
}

TEST(long_names)
{
	struct arena *a = arena_new(0);
	struct dns_message m;
	struct wire w;
	char label[65];

	memset(label, 'x', sizeof label);
	for (int labels = 3; labels <= 4; labels++) {
		/* 3 * 64 + 62 + 1 = 255 octets is the most */
		for (int last = 61; last <= 62; last++) {
			header(&w, 0, "", DNS_A);
			w.n = 12;
			for (int i = 0; i < labels; i++) {
				int n = i == 3 ? last : 63;
				put(&w, (uint32_t)n, 1);
				put_bytes(&w, label, (size_t)n);
			}
			put(&w, 0, 1);
			put(&w, 0x00010001, 4);
			bool fits = labels == 3 || last == 61;
			CHECK_EQ_INT(parse(a, &w, w.n, &m), fits ? RC_OK : RC_FAIL);
		}
	}
	arena_free(&a);
}

TEST(every_truncation_is_refused)
{
	struct wire w;
	struct dns_message m;

	header(&w, 3, "ex.example", DNS_MX);
	record(&w, DNS_MX, "\0\x0a\x04mail\xc0\x0c", 9);
	record(&w, DNS_TXT,
	    "\x03"
	    "a b",
	    4);
	record(&w, DNS_A, "\x7f\0\0\x01", 4);
	for (size_t n = 0; n < w.n; n++) {
		struct arena *a = arena_new(0);
		CHECK_EQ_INT(parse(a, &w, n, &m), RC_FAIL);
		arena_free(&a);
	}
	/* and whatever single byte is wrong, it returns */
	for (size_t i = 0; i < w.n; i++)
		for (unsigned v = 0; v < 256; v += 5) {
			struct arena *a = arena_new(0);
			struct wire x = w;
			x.b[i] = (uint8_t)v;
			(void)!parse(a, &x, x.n, &m);
			arena_free(&a);
		}
	/* more records announced than could be there */
	struct arena *a = arena_new(0);
	w.b[6] = 0xff;
	CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_FAIL);
	arena_free(&a);
}

static void alias(struct wire *w, const char *from, const char *to)
{
	put_name(w, from);
	put(w, DNS_CNAME, 2);
	put(w, 1, 2);
	put(w, 60, 4);
	size_t at = w->n;
	put(w, 0, 2);
	put_name(w, to);
	w->b[at + 1] = (uint8_t)(w->n - at - 2);
}

TEST(aliases_are_followed)
{
	struct arena *a = arena_new(0);
	struct dns_message m;
	struct wire w;
	slice_t canon;

	/* in any order; another name's address does not count */
	header(&w, 4, "a.example", DNS_A);
	alias(&w, "b.example", "c.example");
	alias(&w, "A.EXAMPLE", "b.example");
	record(&w, DNS_A, "\x7f\0\0\x01", 4);
	put_name(&w, "C.example");
	put(&w, DNS_A, 2);
	put(&w, 1, 2);
	put(&w, 60, 4);
	put(&w, 4, 2);
	put(&w, 0x7f000002, 4);
	CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_OK);
	CHECK_EQ_INT(dns_message_select(&m, SL("a.example."), DNS_A, &canon, NULL), RC_OK);
	CHECK_EQ_STR(canon, "c.example");
	CHECK_EQ_INT(m.count, 1);
	CHECK_EQ_INT(m.records[0].addr.bytes[3], 2);

	header(&w, 2, "a.example", DNS_A);
	alias(&w, "a.example", "b.example");
	alias(&w, "b.example", "a.example");
	CHECK_EQ_INT(parse(a, &w, w.n, &m), RC_OK);
	CHECK_EQ_INT(dns_message_select(&m, SL("a.example"), DNS_A, &canon, NULL), RC_FAIL);
	arena_free(&a);
}

TEST(names_that_can_be_asked_for)
{
	char long_label[66], long_name[256];
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
	    {"example.com", true},
	    {"example.com.", true},
	    {"_25._tcp.example", true},
	    {"a\\.b.example", true},
	    {"\\032\\255.x", true},
	    {".", true},
	    {"", false},
	    {"a..b", false},
	    {".a", false},
	    {"a\\", false},
	    {"a\\25", false},
	    {"a\\256", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		tap_check(dns_name_ok(slice_cstr(rows[i].name)) == rows[i].ok, __FILE__, __LINE__,
		    rows[i].name);
	CHECK(!dns_name_ok(slice_tainted("a\0b", 3)));
	memset(long_label, 'a', sizeof long_label);
	CHECK(dns_name_ok(slice_tainted(long_label, 63)));
	CHECK(!dns_name_ok(slice_tainted(long_label, 64)));
	for (size_t i = 0; i < sizeof long_name; i++)
		long_name[i] = i % 50 == 49 ? '.' : 'a';
	CHECK(dns_name_ok(slice_tainted(long_name, 253)));
	CHECK(!dns_name_ok(slice_tainted(long_name, 254)));
}

TEST(reverse_names_and_types)
{
	struct arena *a = arena_new(0);
	struct net_addr addr;
	uint16_t type = 0;

	CHECK(net_addr_parse(SL("192.0.2.5"), &addr));
	CHECK_EQ_STR(dns_reverse_name(a, &addr, NULL), "5.2.0.192.in-addr.arpa");
	CHECK_EQ_STR(dns_reverse_name(a, &addr, "dnsbl.example"), "5.2.0.192.dnsbl.example");
	CHECK_EQ_STR(dns_reverse_name(a, &addr, ""), "5.2.0.192");
	CHECK(net_addr_parse(SL("2001:db8::1"), &addr));
	CHECK_EQ_STR(dns_reverse_name(a, &addr, NULL),
	    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
	CHECK(dns_type_parse(SL("mx"), &type) && type == DNS_MX);
	CHECK(dns_type_parse(SL("TYPE257"), &type) && type == 257);
	CHECK(!dns_type_parse(SL("TYPE65536"), &type) && !dns_type_parse(SL("XY"), &type));
	CHECK_EQ_STR(dns_type_name(a, DNS_AAAA), "AAAA");
	CHECK_EQ_STR(dns_type_name(a, 257), "TYPE257");
	arena_free(&a);
}

TAP_MAIN()
