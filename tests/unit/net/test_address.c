/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "net/net.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static slice_t bytes(const char *s)
{
	return slice_tainted(s, strlen(s));
}

TEST(addresses_with_ports)
{
	static const struct {
		const char *in, *want; /* NULL: refused */
	} rows[] = {
	    {"127.0.0.1", "[127.0.0.1]:0"},
	    {" 127.0.0.1 ", "[127.0.0.1]:0"},
	    {"127.0.0.1.2525", "[127.0.0.1]:2525"},
	    {"[127.0.0.1]", "[127.0.0.1]:0"},
	    {"[127.0.0.1]:26", "[127.0.0.1]:26"},
	    {"::1", "[::1]:0"},
	    {"::1.25", "[::1]:25"},
	    {"[::1]:65535", "[::1]:65535"},
	    {"3ffe:ffff:836f::fe86:a061.1234", "[3ffe:ffff:836f::fe86:a061]:1234"},
	    {"::ffff:1.2.3.4", "[::ffff:1.2.3.4]:0"},
	    {"::ffff:1.2.3.4.25", "[::ffff:1.2.3.4]:25"},
	    {"0:0:0:0:0:0:0:0", "[::]:0"},
	    {"[::1]:0", NULL},
	    {"[::1]:65536", NULL},
	    {"[::1]:", NULL},
	    {"[::1]25", NULL},
	    {"[::1", NULL},
	    {"[]", NULL},
	    {"", NULL},
	    {"1.2.3", NULL},
	    {"1.2.3.4.", NULL},
	    {"1.2.3.4.smtp", NULL},
	    {"1.2.3.4.5.6", NULL},
	    {"256.1.1.1", NULL},
	    {"1.2.3.4/24", NULL},
	    {":::1", NULL},
	    {"1::2::3", NULL},
	    {"::1%", NULL},
	    {"1.2.3.4%1", NULL},
	    {"host.example", NULL},
	    {"111111111111111111111111111111111111111111111111111111", NULL},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct net_addr a;
		char text[NET_ADDR_TEXT];
		bool ok = net_addr_parse_port(bytes(rows[i].in), &a);
		if (!tap_check(ok == (rows[i].want != NULL), __FILE__, __LINE__, rows[i].in) || !ok)
			continue;
		CHECK_EQ_STR(net_addr_port_text(&a, text), rows[i].want);
	}
	struct net_addr a;
	CHECK(!net_addr_parse(slice_tainted("1.2.3.4\0", 8), &a));
	CHECK(!net_addr_parse(bytes("1.2.3.4.25"), &a));
	CHECK(net_addr_parse(bytes("fe80::1%lo"), &a));
	CHECK(a.scope != 0);
}

TEST(lists_of_addresses)
{
	static const struct {
		const char *in;
		const char *want[3];
		enum rc rc;
	} rows[] = {
	    {"<; ::1 ; 127.0.0.1", {"[::1]:0", "[127.0.0.1]:0"}, RC_OK},
	    {"127.0.0.1 : ::::1", {"[127.0.0.1]:0", "[::1]:0"}, RC_OK},
	    {"<\n 127.0.0.1 \n ::1.26", {"[127.0.0.1]:0", "[::1]:26"}, RC_OK},
	    {"<;[192.168.23.65]:1234;;;", {"[192.168.23.65]:1234"}, RC_FAIL},
	    {"192.168.23.65.1234 : ", {"[192.168.23.65]:1234"}, RC_OK},
	    {"", {NULL}, RC_OK},
	    {"1.2.3.4 : nonsense", {NULL}, RC_FAIL},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new(0);
		struct vec v = {0};
		struct error err = {.text = ""};
		char text[NET_ADDR_TEXT];
		size_t n = 0;
		CHECK_EQ_INT(net_addr_parse_list(a, bytes(rows[i].in), &v, &err), rows[i].rc);
		for (; rows[i].rc == RC_OK && n < 3 && rows[i].want[n]; n++)
			if (CHECK(n < v.count))
				CHECK_EQ_STR(
				    net_addr_port_text(VEC_AT(&v, struct net_addr, n), text),
				    rows[i].want[n]);
		if (rows[i].rc == RC_OK)
			CHECK_EQ_INT(v.count, n);
		else
			CHECK(err.text[0] != '\0');
		arena_free(&a);
	}
}

TEST(networks)
{
	static const struct {
		const char *net, *addr;
		bool want;
	} rows[] = {
	    {"10.0.0.0/8", "10.255.1.2", true},
	    {"10.0.0.0/8", "11.0.0.0", false},
	    {"10.1.2.3/8", "10.9.9.9", true},
	    {"0.0.0.0/0", "8.8.8.8", true},
	    {"0.0.0.0/0", "::1", false},
	    {"192.168.4.128/25", "192.168.4.127", false},
	    {"192.168.4.128/25", "192.168.4.128", true},
	    {"192.168.4.1", "192.168.4.1", true},
	    {"192.168.4.1", "192.168.4.2", false},
	    {"2001:db8::/33", "2001:db8:7fff::1", true},
	    {"2001:db8::/33", "2001:db8:8000::1", false},
	    {"::1/128", "::1", true},
	};
	static const char *const bad[] = {
	    "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "10/8", "/8", "1.2.3.4/ 8"};
	struct net_cidr c;
	struct net_addr a;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		CHECK(net_cidr_parse(bytes(rows[i].net), &c));
		CHECK(net_addr_parse(bytes(rows[i].addr), &a));
		tap_check(net_cidr_has(&c, &a) == rows[i].want, __FILE__, __LINE__, rows[i].addr);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		tap_check(!net_cidr_parse(bytes(bad[i]), &c), __FILE__, __LINE__, bad[i]);
}

TEST(kinds_of_addresses)
{
	struct net_addr a, b;
	char text[NET_ADDR_TEXT];

	CHECK(net_addr_parse(bytes("::ffff:127.0.0.2"), &a));
	CHECK(net_addr_is_loopback(&a));
	net_addr_unmap(&a);
	CHECK_EQ_STR(net_addr_text(&a, text), "127.0.0.2");
	CHECK(net_addr_is_loopback(&a) && !net_addr_is_any(&a));
	CHECK(net_addr_parse(bytes("::"), &a) && net_addr_is_any(&a) && !net_addr_is_loopback(&a));
	CHECK(net_addr_parse(bytes("2001:db8::1"), &a) && net_addr_parse(bytes("2001:db8::2"), &b));
	CHECK(net_addr_client_key(&a) == net_addr_client_key(&b));
	CHECK(!net_addr_eq(&a, &b) && net_addr_cmp(&a, &b) < 0);
	CHECK(net_addr_parse(bytes("2001:db8:0:1::1"), &b));
	CHECK(net_addr_client_key(&a) != net_addr_client_key(&b));
	CHECK(net_addr_parse(bytes("1.2.3.4"), &a) && net_addr_parse(bytes("1.2.3.5"), &b));
	CHECK(net_addr_client_key(&a) != net_addr_client_key(&b));
	/* round trip through the system's form */
	struct sockaddr_storage sa;
	CHECK(net_addr_parse_port(bytes("[fe80::1%7]:25"), &a));
	socklen_t n = net_addr_to_sockaddr(&a, &sa);
	CHECK(net_addr_from_sockaddr(&sa, n, &b));
	CHECK(net_addr_eq(&a, &b));
	CHECK_EQ_INT(b.port, 25);
	CHECK_EQ_INT(b.scope, 7);
	CHECK(!net_addr_from_sockaddr(&sa, 3, &b));
	CHECK(!net_addr_from_sockaddr(
	    &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(struct sockaddr), &b));
}

/* ---- sockets ---- */

struct accepted {
	int fds[16];
	unsigned n;
	struct net_addr peer;
};

static void keep(void *arg, int fd, const struct net_addr *peer)
{
	struct accepted *acc = arg;

	acc->fds[acc->n++] = fd;
	acc->peer = *peer;
}

static bool wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	return poll(&p, 1, 10000) == 1;
}

static int connected(const struct net_addr *to, const struct net_addr *from)
{
	int fd = -1;

	CHECK_EQ_INT(net_connect_start(to, from, &fd, NULL, NULL), RC_OK);
	CHECK(wait_for(fd, POLLOUT));
	CHECK_EQ_INT(net_connect_finish(fd, to, NULL, NULL), RC_OK);
	return fd;
}

TEST(listen_connect_accept)
{
	struct net_addr any, at, from, peer, local;
	struct net_acceptor acc;
	struct accepted got = {.n = 0};
	int lfd = -1;

	CHECK(net_addr_parse(bytes("127.0.0.1"), &any));
	CHECK(net_addr_parse(bytes("127.0.0.2"), &from));
	CHECK_EQ_INT(net_listen(&any, 16, &lfd, &at, NULL), RC_OK);
	CHECK(at.port != 0);
	net_acceptor_init(&acc, lfd);
	CHECK_EQ_INT(net_accept_all(&acc, 0, SL(""), keep, &got, NULL), RC_OK);
	CHECK_EQ_INT(got.n, 0);
	int c1 = connected(&at, NULL), c2 = connected(&at, &from);
	CHECK(wait_for(lfd, POLLIN));
	CHECK_EQ_INT(net_accept_all(&acc, 1, SL(""), keep, &got, NULL), RC_OK);
	CHECK_EQ_INT(got.n, 1);
	CHECK_EQ_INT(net_accept_all(&acc, 0, SL(""), keep, &got, NULL), RC_OK);
	CHECK_EQ_INT(got.n, 2);
	CHECK(net_addr_eq(&got.peer, &from));
	CHECK(net_peer_addr(c1, &peer) && net_addr_eq(&peer, &at) && peer.port == at.port);
	CHECK(net_local_addr(c2, &local) && net_addr_eq(&local, &from));
	CHECK(!net_peer_addr(lfd, &peer));
	/* the same port is taken */
	struct error err = {.text = ""};
	int again = -1;
	CHECK_EQ_INT(net_listen(&at, 16, &again, NULL, &err), RC_ERROR);
	CHECK(strstr(err.text, "127.0.0.1") != NULL);
	CHECK_EQ_INT(again, -1);
	(void)close(c1);
	(void)close(c2);
	for (unsigned i = 0; i < got.n; i++)
		(void)close(got.fds[i]);
	(void)close(lfd);
	net_acceptor_fini(&acc);

	/* nobody listens there any more */
	int e = 0, fd = -1;
	enum rc rc = net_connect_start(&at, NULL, &fd, &e, &err);
	if (rc == RC_OK) {
		CHECK(wait_for(fd, POLLOUT));
		rc = net_connect_finish(fd, &at, &e, &err);
		(void)close(fd);
	}
	CHECK_EQ_INT(rc, RC_DEFER);
	CHECK_EQ_INT(e, ECONNREFUSED);
	CHECK(strstr(err.text, "refused") != NULL);
}

TEST(without_descriptors_a_client_is_told)
{
	struct rlimit old, tight;
	struct net_addr any, at;
	struct net_acceptor acc;
	struct accepted got = {.n = 0};
	struct error err = {.text = ""};
	char buf[64] = "";
	int lfd = -1;

	CHECK(net_addr_parse(bytes("127.0.0.1"), &any));
	CHECK_EQ_INT(net_listen(&any, 16, &lfd, &at, NULL), RC_OK);
	net_acceptor_init(&acc, lfd);
	int c1 = connected(&at, NULL);
	CHECK(wait_for(lfd, POLLIN));
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	tight = old;
	tight.rlim_cur = (rlim_t)c1 + 1;
	CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
	enum rc rc = net_accept_all(&acc, 0, SL("421 busy\r\n"), keep, &got, &err);
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	CHECK_EQ_INT(rc, RC_DEFER);
	CHECK_EQ_INT(got.n, 0);
	CHECK(acc.spare_fd >= 0);
	CHECK(wait_for(c1, POLLIN));
	ssize_t n = read(c1, buf, sizeof buf);
	CHECK_EQ_STR(slice_tainted(buf, n > 0 ? (size_t)n : 0), "421 busy\r\n");
	(void)close(c1);
	(void)close(lfd);
	net_acceptor_fini(&acc);
}

TEST(own_addresses)
{
	struct net_interfaces *ifs = NULL;
	struct net_addr a;

	CHECK_EQ_INT(net_interfaces_new(&ifs, NULL), RC_OK);
	CHECK(net_interfaces_count(ifs) > 0);
	CHECK(net_addr_parse(bytes("127.0.0.1"), &a));
	CHECK(net_interfaces_has(ifs, &a));
	CHECK(net_addr_parse(bytes("192.0.2.77"), &a));
	CHECK(!net_interfaces_has(ifs, &a));
	net_interfaces_free(&ifs);
	CHECK(ifs == NULL);
}

TAP_MAIN()
