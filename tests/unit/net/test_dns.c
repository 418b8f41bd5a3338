/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The resolver against a small authoritative server: a thread that answers from the table below. */
#include "lib/tap.h"
#include "net/dns/dns_hosts.h"
#include "thread/start.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the server ---- */

/* Names that begin so get that treatment; all others come from the table. */
#define SILENT   "silent"
#define SERVFAIL "servfail"

struct rr {
	const char *owner;
	uint16_t type;
	uint16_t pref;
	const char *data; /* address, name or text */
};

static const struct rr zone[] = {
    {"a.zone", DNS_A, 0, "127.0.0.7"},
    {"both.zone", DNS_A, 0, "127.0.0.8"},
    {"both.zone", DNS_AAAA, 0, "::8"},
    {"t.zone", DNS_TXT, 0, "hello world"},
    {"_smtp._tcp.zone", DNS_SRV, 3, "both.zone"},
    {"7.0.0.127.in-addr.arpa", DNS_PTR, 0, "a.zone"},
    {"1.2.0.10.in-addr.arpa", DNS_PTR, 0, "lan.zone"},
    {"alias1.zone", DNS_CNAME, 0, "alias2.zone"},
    {"alias2.zone", DNS_CNAME, 0, "a.zone"},
    {"dangling.zone", DNS_CNAME, 0, "nowhere.zone"},
    {"mail.zone", DNS_MX, 20, "both.zone"},
    {"mail.zone", DNS_MX, 10, "a.zone"},
    {"mail.zone", DNS_MX, 30, "nowhere.zone"},
    {"mail.zone", DNS_MX, 25, "silent1.zone"},
    {"mail.zone", DNS_MX, 40, "A.zone"},
    {"equal.zone", DNS_MX, 5, "a.zone"},
    {"equal.zone", DNS_MX, 5, "both.zone"},
    {"nullmx.zone", DNS_MX, 0, ""},
    {"badmx.zone", DNS_MX, 1, "silent2.zone"},
    {"aliasmx.zone", DNS_CNAME, 0, "equal.zone"},
};

static int server_fd = -1;
static _Atomic int questions_seen;

struct msg {
	uint8_t b[1500];
	size_t n;
};

static void put16(struct msg *m, unsigned v)
{
	m->b[m->n++] = (uint8_t)(v >> 8);
	m->b[m->n++] = (uint8_t)v;
}

static void put_name(struct msg *m, const char *dotted)
{
	slice_t rest = slice_cstr(dotted), label;

	while (dotted[0] && slice_next(&rest, '.', &label)) {
		m->b[m->n++] = (uint8_t)label.len;
		memcpy(m->b + m->n, label.ptr, label.len);
		m->n += label.len;
	}
	m->b[m->n++] = 0;
}

static void put_rr(struct msg *m, const struct rr *r)
{
	put_name(m, r->owner);
	put16(m, r->type);
	put16(m, 1);
	put16(m, 0);
	put16(m, 60);
	size_t at = m->n;
	put16(m, 0);
	switch (r->type) {
	case DNS_A:
		(void)inet_pton(AF_INET, r->data, m->b + m->n);
		m->n += 4;
		break;
	case DNS_AAAA:
		(void)inet_pton(AF_INET6, r->data, m->b + m->n);
		m->n += 16;
		break;
	case DNS_TXT:
		m->b[m->n++] = (uint8_t)strlen(r->data);
		memcpy(m->b + m->n, r->data, strlen(r->data));
		m->n += strlen(r->data);
		break;
	case DNS_SRV:
		put16(m, r->pref);
		put16(m, 7);
		put16(m, 2525);
		put_name(m, r->data);
		break;
	case DNS_SOA:
		put_name(m, "ns.zone");
		put_name(m, "hostmaster.zone");
		for (int i = 0; i < 5; i++) {
			put16(m, 0);
			put16(m, 1);
		}
		break;
	case DNS_MX:
		put16(m, r->pref);
		put_name(m, r->data);
		break;
	default:
		put_name(m, r->data);
	}
	m->b[at] = (uint8_t)((m->n - at - 2) >> 8);
	m->b[at + 1] = (uint8_t)(m->n - at - 2);
}

/* Fills in the answer; returns false when nothing is to be sent. */
static bool answer(struct msg *m, size_t question_end, slice_t name, uint16_t type)
{
	static const struct rr soa = {"zone", DNS_SOA, 0, ""};
	unsigned answers = 0, rcode = 0;
	bool exists = false;

	if (slice_startsi(name, SILENT))
		return false;
	m->n = question_end;
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < sizeof zone / sizeof *zone; i++) {
			const struct rr *r = &zone[i];
			if (!slice_eqis(name, r->owner))
				continue;
			exists = true;
			if (r->type != type && r->type != DNS_CNAME)
				continue;
			put_rr(m, r);
			answers++;
			if (r->type == DNS_CNAME && type != DNS_CNAME) {
				name = slice_cstr(r->data);
				exists = false;
				again = true;
				break;
			}
		}
	}
	if (slice_startsi(name, SERVFAIL))
		rcode = 2;
	else if (!exists)
		rcode = 3;
	m->b[2] = 0x84 | (m->b[2] & 1);
	m->b[3] = (uint8_t)(0x80 | rcode);
	memset(m->b + 6, 0, 6);
	m->b[7] = (uint8_t)answers;
	if (rcode != 2 && (!exists || answers == 0)) {
		m->b[9] = 1;
		put_rr(m, &soa);
	}
	return true;
}

static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		struct msg m;
		ssize_t got = recvfrom(server_fd, m.b, 512, 0, (struct sockaddr *)&from, &len);
		if (got == 1)
			return NULL;
		if (got < 17)
			continue;
		char name[256];
		size_t at = 12, n = 0;
		while (at < (size_t)got && m.b[at]) {
			if (n)
				name[n++] = '.';
			memcpy(name + n, m.b + at + 1, m.b[at]);
			n += m.b[at];
			at += 1u + m.b[at];
		}
		uint16_t type = (uint16_t)(m.b[at + 1] << 8 | m.b[at + 2]);
		atomic_fetch_add(&questions_seen, 1);
		if (answer(&m, at + 5, slice_tainted(name, n), type))
			(void)sendto(server_fd, m.b, m.n, 0, (struct sockaddr *)&from, len);
	}
}

/* ---- the frame of a test ---- */

static pthread_t server;
static char forward[64];
static struct net_addr server_addr;
static struct dns_resolver *resolver;
static struct arena *arena;

static void begin(unsigned max_questions)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int big = 4 << 20;
	struct error err = {.text = ""};

	server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(server_fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
	CHECK(bind(server_fd, (struct sockaddr *)&at, sizeof at) == 0);
	CHECK(net_local_addr(server_fd, &server_addr));
	(void)snprintf(forward, sizeof forward, "127.0.0.1@%u", server_addr.port);
	CHECK_EQ_INT(thread_start(&server, 0, serve, NULL), 0);
	const char *forwards[] = {forward};
	struct dns_config cfg = {
	    .forwards = forwards, .n_forwards = 1, .max_questions = max_questions};
	CHECK_EQ_INT(dns_resolver_new(&cfg, &resolver, &err), RC_OK);
	CHECK_EQ_STR(slice_cstr(err.text), "");
	arena = arena_new(0);
}

static void end(void)
{
	struct sockaddr_storage sa;
	socklen_t len = net_addr_to_sockaddr(&server_addr, &sa);

	dns_resolver_free(&resolver);
	arena_free(&arena);
	CHECK(sendto(server_fd, "", 1, 0, (struct sockaddr *)&sa, len) == 1);
	(void)pthread_join(server, NULL);
	(void)close(server_fd);
}

static int64_t in_ms(int64_t ms)
{
	return clock_mono_us() + ms * 1000;
}

static struct dns_answer *ask(const char *name, uint16_t type, enum rc want)
{
	struct dns_answer *ans = NULL;

	enum rc rc = dns_wait(resolver, slice_cstr(name), type, in_ms(10000), NULL, arena, &ans);
	tap_check_int(rc, want, __FILE__, __LINE__, name);
	return ans;
}

/* ---- tests ---- */

TEST(kinds_of_answers)
{
	static const struct {
		const char *name;
		uint16_t type;
		enum dns_status want;
	} rows[] = {
	    {"a.zone", DNS_A, DNS_FOUND},
	    {"a.zone.", DNS_A, DNS_FOUND},
	    {"a.zone", DNS_MX, DNS_NODATA},
	    {"nowhere.zone", DNS_A, DNS_NXDOMAIN},
	    {"dangling.zone", DNS_A, DNS_NXDOMAIN},
	    {"servfail.zone", DNS_A, DNS_SERVFAIL},
	    {"a..zone", DNS_A, DNS_BADNAME},
	    {"", DNS_A, DNS_BADNAME},
	    {"t.zone", DNS_TXT, DNS_FOUND},
	    {"_smtp._tcp.zone", DNS_SRV, DNS_FOUND},
	    {"1.2.0.10.in-addr.arpa", DNS_PTR, DNS_FOUND},
	};

	begin(0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct dns_answer *ans =
		    ask(rows[i].name, rows[i].type, dns_status_rc(rows[i].want));
		tap_check_int(ans->status, rows[i].want, __FILE__, __LINE__, rows[i].name);
		CHECK(ans->why.len > 0);
		CHECK((ans->count > 0) == (rows[i].want == DNS_FOUND));
	}
	CHECK_EQ_INT(dns_outstanding(resolver), 0);
	end();
}

/* With a key that the zone is not signed by nothing in it can be trusted; that is a deferral, not
 * "no such name". */
TEST(what_fails_validation_is_bogus)
{
	begin(0);
	const char *forwards[] = {forward};
	char path[4096];
	struct error err = {.text = ""};
	struct dns_answer *ans = NULL;
	(void)snprintf(path, sizeof path, "%s/anchor", tap_dir());
	FILE *f = fopen(path, "w");
	MUST(f);
	(void)fputs("zone. IN DS 12345 8 2 "
	            "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n",
	    f);
	(void)fclose(f);
	dns_resolver_free(&resolver);
	struct dns_config cfg = {.forwards = forwards, .n_forwards = 1, .trust_anchor_file = path};
	CHECK_EQ_INT(dns_resolver_new(&cfg, &resolver, &err), RC_OK);
	ans = ask("a.zone", DNS_A, RC_DEFER);
	CHECK_EQ_INT(ans->status, DNS_BOGUS);
	CHECK_EQ_INT(ans->count, 0);
	ans = ask("nowhere.zone", DNS_A, RC_DEFER);
	CHECK_EQ_INT(ans->status, DNS_BOGUS);
	end();
}

TEST(records_come_parsed)
{
	struct net_addr addr;

	begin(0);
	struct dns_answer *ans = ask("both.zone", DNS_AAAA, RC_OK);
	CHECK(net_addr_parse(SL("::8"), &addr));
	CHECK(ans->count == 1 && net_addr_eq(&ans->records[0].addr, &addr));
	CHECK(ans->ttl > 0 && ans->ttl <= 60);
	CHECK(!ans->secure);
	ans = ask("t.zone", DNS_TXT, RC_OK);
	CHECK_EQ_STR(ans->records[0].texts[0], "hello world");
	ans = ask("_smtp._tcp.zone", DNS_SRV, RC_OK);
	CHECK(ans->records[0].pref == 3 && ans->records[0].weight == 7 &&
	      ans->records[0].port == 2525);
	CHECK_EQ_STR(ans->records[0].name, "both.zone");
	CHECK(net_addr_parse(SL("127.0.0.7"), &addr));
	slice_t rev = dns_reverse_name(arena, &addr, NULL);
	ans = ask(arena_cstr(arena, rev), DNS_PTR, RC_OK);
	CHECK_EQ_STR(ans->records[0].name, "a.zone");
	/* a chain of aliases */
	ans = ask("alias1.zone", DNS_A, RC_OK);
	CHECK_EQ_STR(ans->canon, "a.zone");
	CHECK_EQ_INT(ans->count, 1);
	CHECK_EQ_INT(ans->records[0].addr.bytes[3], 7);
	ans = ask("alias1.zone", DNS_CNAME, RC_OK);
	CHECK_EQ_STR(ans->records[0].name, "alias2.zone");
	/* from the cache */
	int seen = questions_seen;
	(void)ask("both.zone", DNS_AAAA, RC_OK);
	CHECK_EQ_INT(questions_seen, seen);
	end();
}

TEST(silence_ends_at_the_deadline)
{
	struct dns_answer *ans = NULL;

	begin(0);
	int64_t t0 = clock_mono_us();
	enum rc rc = dns_wait(resolver, SL("silent.zone"), DNS_A, in_ms(300), NULL, arena, &ans);
	int64_t took = clock_mono_us() - t0;
	CHECK_EQ_INT(rc, RC_DEFER);
	CHECK_EQ_INT(ans->status, DNS_TIMEOUT);
	CHECK(took >= 300000 && took < 5 * US_PER_SEC);
	CHECK_EQ_INT(dns_outstanding(resolver), 0);
	/* a deadline that has passed already */
	CHECK_EQ_INT(dns_wait(resolver, SL("silent9.zone"), DNS_A, in_ms(-1000), NULL, arena, &ans),
	    RC_DEFER);
	CHECK_EQ_INT(ans->status, DNS_TIMEOUT);
	end();
}

static void *cancel_soon(void *arg)
{
	(void)usleep(100000);
	cancel_set(arg);
	return NULL;
}

TEST(a_token_ends_a_wait)
{
	struct dns_answer *ans = NULL;
	struct dns_hosts *hosts = NULL;
	struct cancel c;
	pthread_t t;

	begin(0);
	cancel_init(&c);
	CHECK_EQ_INT(thread_start(&t, 0, cancel_soon, &c), 0);
	int64_t t0 = clock_mono_us();
	CHECK_EQ_INT(
	    dns_wait(resolver, SL("silent.zone"), DNS_A, in_ms(30000), &c, arena, &ans), RC_DEFER);
	CHECK_EQ_INT(ans->status, DNS_CANCELLED);
	CHECK(clock_mono_us() - t0 < 10 * US_PER_SEC);
	(void)pthread_join(t, NULL);
	CHECK_EQ_INT(
	    dns_mx_hosts_wait(resolver, SL("silent.zone"), 0, in_ms(30000), &c, arena, &hosts),
	    RC_DEFER);
	CHECK_EQ_INT(hosts->status, DNS_CANCELLED);
	cancel_fini(&c);
	end();
}

static _Atomic int calls[DNS_CANCELLED + 1], all_calls;

static void count_call(void *arg, struct dns_answer *ans)
{
	(void)arg;
	atomic_fetch_add(&calls[ans->status], 1);
	atomic_fetch_add(&all_calls, 1);
	dns_answer_free(&ans);
}

static void reset_calls(void)
{
	all_calls = 0;
	for (size_t i = 0; i <= DNS_CANCELLED; i++)
		calls[i] = 0;
}

TEST(cancel_is_exact)
{
	int cancelled = 0;

	/* answers and cancellations race; every question ends in one or the other */
	begin(0);
	reset_calls();
	for (int i = 0; i < 300; i++) {
		slice_t name = arena_printf(arena, i % 3 ? "n%d.zone" : SILENT "%d.zone", i);
		uint64_t id = dns_query(resolver, name, DNS_A, in_ms(20000), count_call, NULL);
		CHECK(id != 0);
		if (i % 5 == 0)
			(void)usleep(300);
		cancelled += dns_cancel(resolver, id);
		CHECK(!dns_cancel(resolver, id));
	}
	CHECK_EQ_INT(dns_outstanding(resolver), 0);
	CHECK_EQ_INT(cancelled + all_calls, 300);
	CHECK(cancelled >= 100);
	CHECK_EQ_INT(calls[DNS_CANCELLED], 0);
	end();
}

TEST(shutdown_answers_everybody)
{
	begin(20);
	reset_calls();
	for (int i = 0; i < 25; i++) {
		slice_t name = arena_printf(arena, SILENT "%d.zone", i);
		(void)dns_query(
		    resolver, name, DNS_A, i % 2 ? DEADLINE_NEVER : in_ms(60000), count_call, NULL);
	}
	CHECK_EQ_INT(calls[DNS_BUSY], 5);
	dns_resolver_free(&resolver);
	CHECK_EQ_INT(calls[DNS_CANCELLED], 20);
	end();
}

TEST(silent_names_do_not_stop_the_others)
{
	begin(0);
	reset_calls();
	for (int i = 0; i < 600; i++) {
		slice_t name = arena_printf(arena, SILENT "%d.zone", i);
		(void)dns_query(resolver, name, DNS_PTR, in_ms(4000), count_call, NULL);
	}
	for (int round = 0; round < 3; round++) {
		/* also after their questions have been repeated and given up */
		int64_t t0 = clock_mono_us();
		slice_t name = arena_printf(arena, "new%d.zone", round);
		struct dns_answer *ans = ask(arena_cstr(arena, name), DNS_A, RC_FAIL);
		CHECK_EQ_INT(ans->status, DNS_NXDOMAIN);
		CHECK(clock_mono_us() - t0 < US_PER_SEC);
		(void)usleep(700000);
	}
	for (int i = 0; i < 1000 && all_calls < 600; i++)
		(void)usleep(10000);
	CHECK_EQ_INT(all_calls, 600);
	CHECK_EQ_INT(calls[DNS_FOUND] + calls[DNS_NXDOMAIN] + calls[DNS_NODATA], 0);
	end();
}

/* ---- hosts ---- */

static struct dns_hosts *hosts_of(const char *name, unsigned flags, int64_t ms, enum rc want)
{
	struct dns_hosts *h = NULL;

	enum rc rc =
	    dns_mx_hosts_wait(resolver, slice_cstr(name), flags, in_ms(ms), NULL, arena, &h);
	tap_check_int(rc, want, __FILE__, __LINE__, name);
	return h;
}

TEST(mx_in_order_with_addresses)
{
	char text[NET_ADDR_TEXT];

	begin(0);
	struct dns_hosts *h = hosts_of("mail.zone", 0, 1500, RC_OK);
	CHECK(h->from_mx && !h->null_mx);
	if (CHECK_EQ_INT(h->count, 4)) {
		CHECK(slice_eqis(
		    h->hosts[0].name, "a.zone")); /* named twice; compression may mix the cases */
		CHECK_EQ_INT(h->hosts[0].pref, 10);
		CHECK_EQ_INT(h->hosts[0].n_addrs, 1);
		CHECK_EQ_STR(h->hosts[1].name, "both.zone");
		CHECK_EQ_INT(h->hosts[1].n_addrs, 2);
		CHECK_EQ_STR(net_addr_text(&h->hosts[1].addrs[0], text), "::8");
		CHECK_EQ_STR(net_addr_text(&h->hosts[1].addrs[1], text), "127.0.0.8");
		CHECK_EQ_STR(h->hosts[2].name, "silent1.zone");
		CHECK_EQ_INT(h->hosts[2].status, DNS_TIMEOUT);
		CHECK_EQ_STR(h->hosts[3].name, "nowhere.zone");
		CHECK_EQ_INT(h->hosts[3].status, DNS_NXDOMAIN);
	}
	h = hosts_of("equal.zone", DNS_HOSTS_IPV4_FIRST, 10000, RC_OK);
	for (size_t i = 0; i < h->count; i++)
		CHECK_EQ_INT(h->hosts[i].addrs[0].family, AF_INET);
	h = hosts_of("equal.zone", DNS_HOSTS_NO_IPV6, 10000, RC_OK);
	CHECK_EQ_INT(h->hosts[0].n_addrs + h->hosts[1].n_addrs, 2);
	h = hosts_of("aliasmx.zone", 0, 10000, RC_OK);
	CHECK_EQ_STR(h->canon, "equal.zone");
	CHECK_EQ_INT(h->count, 2);
	end();
}

TEST(equal_preferences_are_shuffled)
{
	int first_is_a = 0;

	begin(0);
	for (int i = 0; i < 64; i++)
		first_is_a +=
		    slice_eqs(hosts_of("equal.zone", 0, 10000, RC_OK)->hosts[0].name, "a.zone");
	CHECK(first_is_a > 0 && first_is_a < 64);
	end();
}

TEST(domains_without_mx)
{
	begin(0);
	struct dns_hosts *h = hosts_of("both.zone", 0, 10000, RC_OK);
	CHECK(!h->from_mx);
	CHECK_EQ_INT(h->count, 1);
	CHECK_EQ_STR(h->hosts[0].name, "both.zone");
	CHECK_EQ_INT(h->hosts[0].n_addrs, 2);
	h = hosts_of("both.zone", DNS_HOSTS_MX_ONLY, 10000, RC_FAIL);
	CHECK_EQ_INT(h->status, DNS_NODATA);
	h = hosts_of("t.zone", 0, 10000, RC_FAIL);
	CHECK_EQ_INT(h->status, DNS_NODATA);
	CHECK_EQ_INT(h->count, 0);
	h = hosts_of("nowhere.zone", 0, 10000, RC_FAIL);
	CHECK_EQ_INT(h->status, DNS_NXDOMAIN);
	h = hosts_of("nullmx.zone", 0, 10000, RC_FAIL);
	CHECK(h->null_mx);
	h = hosts_of("servfail.zone", 0, 10000, RC_DEFER);
	CHECK_EQ_INT(h->status, DNS_SERVFAIL);
	h = hosts_of("silent3.zone", 0, 200, RC_DEFER);
	CHECK_EQ_INT(h->status, DNS_TIMEOUT);
	h = hosts_of("bad..zone", 0, 200, RC_FAIL);
	CHECK_EQ_INT(h->status, DNS_BADNAME);
	h = hosts_of("mail.zone", DNS_HOSTS_NO_MX, 10000, RC_FAIL);
	CHECK_EQ_INT(h->status, DNS_NODATA);
	h = hosts_of("both.zone", DNS_HOSTS_NO_MX, 10000, RC_OK);
	CHECK_EQ_INT(h->hosts[0].n_addrs, 2);
	/* all hosts' addresses unknown: the caller sees that from the hosts */
	h = hosts_of("badmx.zone", 0, 300, RC_OK);
	CHECK_EQ_INT(h->hosts[0].status, DNS_TIMEOUT);
	end();
}

static _Atomic int hosts_calls;

static void count_hosts(void *arg, struct dns_hosts *h)
{
	(void)arg;
	atomic_fetch_add(&hosts_calls, 1);
	dns_hosts_free(&h);
}

TEST(a_dropped_hosts_query_is_silent)
{
	int dropped = 0;

	begin(0);
	hosts_calls = 0;
	for (int i = 0; i < 100; i++) {
		struct dns_hosts_query *q = NULL;
		dns_mx_hosts(resolver, SL("mail.zone"), 0, in_ms(500), count_hosts, NULL, &q);
		if (i % 4 == 0)
			(void)usleep(1000);
		dropped += dns_mx_hosts_drop(&q);
		CHECK(q == NULL);
	}
	CHECK_EQ_INT(dropped + hosts_calls, 100);
	dns_mx_hosts(resolver, SL("mail.zone"), 0, in_ms(500), count_hosts, NULL, NULL);
	for (int i = 0; i < 500 && dropped + hosts_calls < 101; i++)
		(void)usleep(10000);
	CHECK_EQ_INT(dropped + hosts_calls, 101);
	end();
}

TEST(a_bad_configuration_is_refused)
{
	const char *forwards[] = {"not-an-address"};
	struct dns_resolver *r = NULL;
	struct error err = {.text = ""};

	CHECK_EQ_INT(
	    dns_resolver_new(&(struct dns_config){.forwards = forwards, .n_forwards = 1}, &r, &err),
	    RC_ERROR);
	CHECK(r == NULL);
	CHECK(strstr(err.text, "not-an-address") != NULL);
	CHECK_EQ_INT(
	    dns_resolver_new(&(struct dns_config){.trust_anchor_file = "/nonexistent"}, &r, &err),
	    RC_ERROR);
	CHECK(strstr(err.text, "/nonexistent") != NULL);
}

TAP_MAIN()
