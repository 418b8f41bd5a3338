/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net: addresses and sockets.  All sockets made here are non-blocking and close-on-exec.
 * Owns: nothing; descriptors are the caller's.  Threads: all functions, any thread.  Blocks: never.
 */
#ifndef HEDDLE_NET_NET_H
#define HEDDLE_NET_NET_H
#include "base/arena.h"
#include "base/vec.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* A value; zeroed: no address. */
struct net_addr {
	uint8_t bytes[16]; /* network order; IPv4 in the first four */
	uint32_t scope;    /* IPv6 interface index, or 0 */
	uint16_t port;     /* host order */
	uint8_t family;    /* 0, AF_INET, AF_INET6 */
};

struct net_cidr {
	struct net_addr net;
	uint8_t bits;
};

/* ---- text (address.c) ---- */
#define NET_ADDR_TEXT 80
/* An IP literal without port or brackets, "::1", "fe80::1%eth0"; the port becomes 0. */
MUST_USE bool net_addr_parse(slice_t s, struct net_addr *out);
/* Exim's forms: "A", "A.PORT" (four dots, or one after an IPv6 address), "[A]", "[A]:PORT".  Port
 * 0: none given. */
MUST_USE bool net_addr_parse_port(slice_t s, struct net_addr *out);
/* A list of such items with Exim's separator rules ("<; ::1 ; 127.0.0.1"; doubled separators stand
 * for one); pushes struct net_addr.  FAIL names the bad item. */
MUST_USE enum rc net_addr_parse_list(
    struct arena *a, slice_t list, struct vec *addrs, struct error *err);
/* "127.0.0.1", "::1"; into buf; CLEAN, since it consists of digits, dots and colons. */
slice_t net_addr_text(const struct net_addr *addr, char buf[NET_ADDR_TEXT]);
/* "[127.0.0.1]:25", as Exim's log has it. */
slice_t net_addr_port_text(const struct net_addr *addr, char buf[NET_ADDR_TEXT]);
/* "10.0.0.0/8", "::1" (all bits).  Bits of the address behind the mask are ignored. */
MUST_USE bool net_cidr_parse(slice_t s, struct net_cidr *out);
bool net_cidr_has(const struct net_cidr *c, const struct net_addr *addr);
/* The port does not count; ::ffff:1.2.3.4 is not 1.2.3.4 (net_addr_unmap first). */
bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);
int net_addr_cmp(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_any(const struct net_addr *a);
bool net_addr_is_loopback(const struct net_addr *a);
/* ::ffff:1.2.3.4 becomes 1.2.3.4 in place. */
void net_addr_unmap(struct net_addr *a);
/* For quotas: equal for what one client has (an IPv4 address, an IPv6 /64); never 0. */
uint64_t net_addr_client_key(const struct net_addr *a);

/* ---- system form ---- */
/* false: neither IPv4 nor IPv6 (a unix socket, too short). */
MUST_USE bool net_addr_from_sockaddr(const void *sa, socklen_t len, struct net_addr *out);
socklen_t net_addr_to_sockaddr(const struct net_addr *addr, struct sockaddr_storage *out);
/* The two ends of a connected socket, unmapped. */
MUST_USE bool net_local_addr(int fd, struct net_addr *out);
MUST_USE bool net_peer_addr(int fd, struct net_addr *out);

/* ---- sockets (socket.c) ---- */
/* Bound and listening; port 0: the system chooses, *out_bound (may be NULL) has it.  An IPv6 socket
 * takes IPv6 only. */
MUST_USE enum rc net_listen(const struct net_addr *at, int backlog, int *out_fd,
    struct net_addr *out_bound, struct error *err);

/* One listening socket's accepts.  A spare descriptor lets us say 421 when there are no others. */
struct net_acceptor {
	int listen_fd; /* the caller's */
	int spare_fd;
};
void net_acceptor_init(struct net_acceptor *acc, int listen_fd);
void net_acceptor_fini(struct net_acceptor *acc);
/* accept4 until there is no more, at most `max` (0: all).  fn takes the descriptor over.  When
 * descriptors ran out one client is told `busy` (a whole SMTP reply line) and closed, and the
 * result is DEFER: pause accepting for a moment.  ERROR: the listening socket is broken. */
typedef void (*net_accept_fn)(void *arg, int fd, const struct net_addr *peer);
MUST_USE enum rc net_accept_all(struct net_acceptor *acc, unsigned max, slice_t busy,
    net_accept_fn fn, void *arg, struct error *err);

/* Begin to connect; from: local address (and port) or NULL.  OK: *out_fd is connected or will poll
 * writable, then net_connect_finish.  DEFER with the errno's text; *out_errno (may be NULL) for
 * retry rules. */
MUST_USE enum rc net_connect_start(const struct net_addr *to, const struct net_addr *from,
    int *out_fd, int *out_errno, struct error *err);
/* Once writable: OK, or DEFER with the reason.  The descriptor stays open. */
MUST_USE enum rc net_connect_finish(
    int fd, const struct net_addr *to, int *out_errno, struct error *err);
void net_set_nodelay(int fd, bool on);
void net_set_keepalive(int fd, bool on);

/* ---- this host's addresses (interfaces.c): immutable once made ---- */
struct net_interfaces;
MUST_USE enum rc net_interfaces_new(struct net_interfaces **out, struct error *err);
void net_interfaces_free(struct net_interfaces **ifs);
size_t net_interfaces_count(const struct net_interfaces *ifs);
const struct net_addr *net_interfaces_at(const struct net_interfaces *ifs, size_t i);
bool net_interfaces_has(const struct net_interfaces *ifs, const struct net_addr *a);

/* ---- the other end of a unix socket (peer.c) ---- */
struct net_peer {
	int32_t pid;
	uint32_t uid, gid;
	uint32_t *groups; /* supplementary, on the arena given */
	uint32_t group_count;
};
MUST_USE enum rc net_peer_of(int fd, struct arena *a, struct net_peer *out, struct error *err);
bool net_peer_in_group(const struct net_peer *p, int64_t gid);
#endif
