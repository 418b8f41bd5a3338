/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Host lists with names that are looked up forward, against a small server: NAME4 has an A record,
 * NAME6 an AAAA record, both one address; servfail fails; everything else does not exist. */
#include "net/dns/dns.h"
#include "site.h"

#include <arpa/inet.h>
#include <pthread.h>

static int server_fd = -1;

/* The answer behind the question in b; returns its length. */
static size_t answer(uint8_t *b, size_t end, slice_t name, unsigned type)
{
	static const uint8_t a[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
	static const uint8_t aaaa[] = {0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16, 0x20, 1, 0xd,
	    0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
	static const uint8_t soa[] = {0, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0,
	    1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1};
	bool four = slice_startsi(name, "four."), six = slice_startsi(name, "six.");
	const uint8_t *rr = four && type == DNS_A ? a : six && type == DNS_AAAA ? aaaa : NULL;
	size_t n = rr == a ? sizeof a : sizeof aaaa;
	bool fails = slice_startsi(name, "servfail.");
	b[2] = 0x84 | (b[2] & 1);
	b[3] = (uint8_t)(0x80 | (fails ? 2 : four || six ? 0 : 3));
	memset(b + 6, 0, 6);
	if (fails)
		return end;
	b[rr ? 7 : 9] = 1;
	if (!rr) {
		rr = soa;
		n = sizeof soa;
	}
	memcpy(b + end, rr, n);
	return end + n;
}

static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		uint8_t b[1024];
		char name[256];
		size_t at = 12, n = 0;
		ssize_t got = recvfrom(server_fd, b, 512, 0, (struct sockaddr *)&from, &len);
		if (got == 1)
			return NULL;
		if (got < 17)
			continue;
		while (at < (size_t)got && b[at] && n + b[at] < sizeof name - 1) {
			memcpy(name + n, b + at + 1, b[at]);
			n += b[at];
			name[n++] = '.';
			at += 1U + b[at];
		}
		unsigned type = (unsigned)b[at + 1] << 8 | b[at + 2];
		size_t size = answer(b, at + 5, slice_tainted(name, n), type);
		(void)sendto(server_fd, b, size, 0, (struct sockaddr *)&from, len);
	}
}

TEST(forward_lookups)
{
	static const struct {
		const char *list, *address;
		enum rc want;
	} rows[] = {
	    {"four.zone", "192.0.2.7", RC_OK},
	    {"four.zone", "::ffff:192.0.2.7", RC_OK},
	    {"four.zone", "192.0.2.8", RC_FAIL},
	    {"!four.zone", "192.0.2.7", RC_FAIL},
	    {"!four.zone", "192.0.2.8", RC_OK},
	    {"six.zone", "2001:db8::7", RC_OK},
	    {"six.zone", "2001:db8::8", RC_FAIL},
	    /* it has an address, of the other family: known, and another */
	    {"six.zone : 192.0.2.7", "192.0.2.7", RC_OK},
	    {"+include_unknown : six.zone", "192.0.2.7", RC_FAIL},
	    /* not there: the list ends, unless told otherwise */
	    {"no.zone : 192.0.2.7", "192.0.2.7", RC_FAIL},
	    {"+ignore_unknown : no.zone : 192.0.2.7", "192.0.2.7", RC_OK},
	    {"+include_unknown : no.zone", "192.0.2.7", RC_OK},
	    {"servfail.zone : 192.0.2.7", "192.0.2.7", RC_DEFER},
	    {"+ignore_defer : servfail.zone : 192.0.2.7", "192.0.2.7", RC_OK},
	    {"+include_defer : servfail.zone", "192.0.2.7", RC_OK},
	    {"192.0.2.7 : servfail.zone", "192.0.2.7", RC_OK},
	};
	struct site s;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	pthread_t t;
	char forward[32];
	site_init(&s);
	CHECK(site_load(&s, "primary_hostname = mx.example.org\n", NULL));
	server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(bind(server_fd, (struct sockaddr *)&at, sizeof at) == 0);
	CHECK(getsockname(server_fd, (struct sockaddr *)&at, &len) == 0);
	(void)snprintf(forward, sizeof forward, "127.0.0.1@%u", (unsigned)ntohs(at.sin_port));
	CHECK_EQ_INT(pthread_create(&t, NULL, serve, NULL), 0);
	const char *forwards[] = {forward};
	struct dns_config cfg = {.forwards = forwards, .n_forwards = 1};
	CHECK_EQ_INT(dns_resolver_new(&cfg, &s.services.resolver, &s.err), RC_OK);
	s.ev.deadline_us = clock_mono_us() + 60 * US_PER_SEC;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct match_list *l = NULL;
		struct match_host h = {.address = slice_cstr(rows[i].address),
		    .name = slice_absent(),
		    .name_is_final = true};
		CHECK_EQ_INT(match_compile(s.arena, MATCH_HOSTS, slice_cstr(rows[i].list), false,
		                 NULL, &l, &s.err),
		    RC_OK);
		if (!CHECK_EQ_INT(match_host(&s.ev, l, &h, NULL, &s.err), rows[i].want))
			printf("# %s %s: %s\n", rows[i].list, rows[i].address, s.err.text);
	}
	dns_resolver_free(&s.services.resolver);
	CHECK(sendto(server_fd, "", 1, 0, (struct sockaddr *)&at, sizeof at) == 1);
	(void)pthread_join(t, NULL);
	(void)close(server_fd);
	site_free(&s);
}

TAP_MAIN()
