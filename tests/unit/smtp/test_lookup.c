/* SPDX-License-Identifier: GPL-3.0-or-later */
/* host_lookup against a small DNS server: found, forged, unknown, and one that never answers. */
#include "smtp/server.h"
#include "thread/start.h"
#include "unit/smtp/rig.h"

#include <arpa/inet.h>

#define CONFIG                                                                                     \
	"primary_hostname = mx.test.example\nhost_lookup = *\nsmtp_accept_max = 0\nsmtp_banner = " \
	"$smtp_active_hostname ESMTP\n"                                                            \
	"tls_advertise_hosts =\nacl_smtp_rcpt = accept\n"

static struct rig g;
static int dns_fd;
static pthread_t dns_thread;

/* Name in lower case with dots, of the question at p; its length in the packet. */
static size_t question_name(const uint8_t *p, size_t n, char *out)
{
	size_t i = 12, o = 0;
	while (i < n && p[i]) {
		for (size_t k = 0; k < p[i] && i + 1 + k < n; k++)
			out[o++] = ascii_lower((char)p[i + 1 + k]);
		out[o++] = '.';
		i += p[i] + 1u;
	}
	out[o ? o - 1 : 0] = '\0';
	return i + 5 - 12;
}

static size_t put_name(uint8_t *p, const char *name)
{
	size_t n = 0;
	slice_t rest = slice_cstr(name), label;
	while (slice_next(&rest, '.', &label)) {
		p[n++] = (uint8_t)label.len;
		memcpy(p + n, label.ptr, label.len);
		n += label.len;
	}
	p[n++] = 0;
	return n;
}

static void *dns_main(void *arg)
{
	(void)arg;
	for (;;) {
		uint8_t q[600], a[900];
		char name[300];
		struct sockaddr_in from;
		socklen_t from_len = sizeof from;
		ssize_t n = recvfrom(dns_fd, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);
		if (n < 20)
			return NULL;
		size_t qlen = question_name(q, (size_t)n, name);
		unsigned type = (unsigned)(q[12 + qlen - 4] << 8 | q[12 + qlen - 3]);
		if (!strcmp(name, "4.2.0.192.in-addr.arpa"))
			continue; /* silence */
		memcpy(a, q, 12 + qlen);
		size_t len = 12 + qlen, data;
		uint8_t rdata[300];
		memset(a + 6, 0, 6);
		a[2] = 0x84;
		a[3] = 0;
		data = 0;
		if (type == DNS_PTR && !strcmp(name, "1.2.0.192.in-addr.arpa"))
			data = put_name(rdata, "Good.Test");
		else if (type == DNS_PTR && !strcmp(name, "2.2.0.192.in-addr.arpa"))
			data = put_name(rdata, "forged.test");
		else if (type == DNS_A && !strcmp(name, "good.test"))
			memcpy(rdata, "\xc0\x00\x02\x01", data = 4);
		else if (type == DNS_A && !strcmp(name, "forged.test"))
			memcpy(rdata, "\x0a\x09\x09\x09", data = 4);
		else
			a[3] = 3;
		if (data) {
			static const uint8_t ttl[6] = {0, 0, 0, 60, 0, 0};
			a[7] = 1;
			len += put_name(a + len, name);
			memcpy(a + len, (uint8_t[]){(uint8_t)(type >> 8), (uint8_t)type, 0, 1}, 4);
			memcpy(a + len + 4, ttl, 4);
			a[len + 8] = (uint8_t)(data >> 8);
			a[len + 9] = (uint8_t)data;
			memcpy(a + len + 10, rdata, data);
			len += 10 + data;
		}
		(void)sendto(dns_fd, a, len, 0, (struct sockaddr *)&from, from_len);
	}
}

static struct dns_resolver *start_dns(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	static char forward[40];
	const char *forwards[] = {forward};
	struct dns_resolver *r = NULL;
	struct error err = {0};
	dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST(!bind(dns_fd, (struct sockaddr *)&at, sizeof at) &&
	     !getsockname(dns_fd, (struct sockaddr *)&at, &len));
	(void)snprintf(forward, sizeof forward, "127.0.0.1@%u", ntohs(at.sin_port));
	MUST(!thread_start(&dns_thread, 0, dns_main, NULL));
	struct dns_config dc = {.forwards = forwards, .n_forwards = 1};
	if (!CHECK_EQ_INT(dns_resolver_new(&dc, &r, &err), RC_OK))
		printf("# %s\n", err.text);
	return r;
}

static void stop_dns(void)
{
	(void)shutdown(dns_fd, SHUT_RD);
	(void)pthread_join(dns_thread, NULL);
	(void)close(dns_fd);
}

static void hello(const char *from, const char *want)
{
	static struct rig_client c;
	rig_connect_from(&g, &c, from);
	(void)rig_want(&c, "220 mx.test.example ESMTP");
	(void)rig_say(&c, "HELO x", want);
	(void)rig_say(&c, "FOO", "500 unrecognized command");
	rig_close(&c);
}

TEST(names)
{
	static struct rig_client waiting;
	rig_wants.resolver = start_dns();
	if (rig_start(&g, CONFIG)) {
		rig_connect_from(&g, &waiting, "192.0.2.4"); /* nobody will say who that is */
		hello("192.0.2.1", "250 mx.test.example Hello good.test [192.0.2.1]");
		CHECK_LOGGED(&g, " H=good.test (x) [192.0.2.1] unrecognized command\n");
		hello("192.0.2.2", "250 mx.test.example Hello x [192.0.2.2]");
		CHECK_LOGGED(&g, " H=(x) [192.0.2.2] unrecognized command\n");
		hello("192.0.2.3", "250 mx.test.example Hello x [192.0.2.3]");
		CHECK_LOGGED(&g, " no host name found for IP address 192.0.2.3\n");
		for (int i = 0; i < 100 && smtp_server_count(g.server) > 1; i++)
			(void)poll(NULL, 0, 10);
		CHECK_EQ_INT(smtp_server_count(g.server), 1);
		rig_close(&waiting);
	}
	rig_stop(&g);
	stop_dns();
}

TAP_MAIN()
