/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

static void set_flag(int fd, int level, int option, bool on)
{
	int value = on;

	(void)setsockopt(fd, level, option, &value, sizeof value);
}

static enum rc fail_closing(int fd, int *out_errno, struct error *err, enum rc rc, const char *what,
    const struct net_addr *addr)
{
	char text[NET_ADDR_TEXT];
	int e = errno;
	slice_t where = net_addr_port_text(addr, text);

	if (fd >= 0)
		(void)close(fd);
	if (out_errno)
		*out_errno = e;
	return error_errno(err, rc, e, "%s %.*s", what, SL_ARG(where));
}

static int open_socket(const struct net_addr *addr)
{
	return socket(addr->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* ---- listening ---- */

enum rc net_listen(const struct net_addr *at, int backlog, int *out_fd, struct net_addr *out_bound,
    struct error *err)
{
	struct sockaddr_storage sa;
	struct net_addr bound = {0};
	int fd = open_socket(at);

	if (fd < 0)
		return fail_closing(fd, NULL, err, RC_ERROR, "socket for", at);
	set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true);
	if (at->family == AF_INET6)
		set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, true);
	socklen_t len = net_addr_to_sockaddr(at, &sa);
	if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
		return fail_closing(fd, NULL, err, RC_ERROR, "bind to", at);
	if (listen(fd, backlog) < 0)
		return fail_closing(fd, NULL, err, RC_ERROR, "listen on", at);
	if (!net_local_addr(fd, &bound))
		return fail_closing(fd, NULL, err, RC_ERROR, "address of", at);
	*out_fd = fd;
	if (out_bound)
		*out_bound = bound;
	return RC_OK;
}

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void net_acceptor_init(struct net_acceptor *acc, int listen_fd)
{
	*acc = (struct net_acceptor){listen_fd, open_spare()};
}

void net_acceptor_fini(struct net_acceptor *acc)
{
	if (acc->spare_fd >= 0)
		(void)close(acc->spare_fd);
	acc->spare_fd = -1;
}

/* Without it the client would sit in the backlog and we would be woken for it again and again. */
static void turn_away(struct net_acceptor *acc, slice_t busy)
{
	if (acc->spare_fd >= 0)
		(void)close(acc->spare_fd);
	int fd = accept4(acc->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		(void)send(fd, busy.ptr, busy.len, MSG_NOSIGNAL);
		(void)close(fd);
	}
	acc->spare_fd = open_spare();
}

/* Errors of the connection that was to be accepted, not of the listening socket (accept(2)). */
static bool is_clients_fault(int e)
{
	static const int errors[] = {ECONNABORTED, EINTR, ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN,
	    ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT, EPERM};

	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (e == errors[i])
			return true;
	return false;
}

enum rc net_accept_all(struct net_acceptor *acc, unsigned max, slice_t busy, net_accept_fn fn,
    void *arg, struct error *err)
{
	for (unsigned n = 0; max == 0 || n < max; n++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof sa;
		struct net_addr peer = {0};
		int fd = accept4(
		    acc->listen_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (net_addr_from_sockaddr(&sa, len, &peer))
				net_addr_unmap(&peer);
			fn(arg, fd, &peer);
			continue;
		}
		if (errno == EAGAIN)
			return RC_OK;
		if (errno == EMFILE || errno == ENFILE) {
			enum rc rc = error_errno(err, RC_DEFER, errno, "accept");
			turn_away(acc, busy);
			return rc;
		}
		if (errno == ENOBUFS || errno == ENOMEM)
			return error_errno(err, RC_DEFER, errno, "accept");
		if (!is_clients_fault(errno))
			return error_errno(err, RC_ERROR, errno, "accept");
	}
	return RC_OK;
}

/* ---- connecting ---- */

enum rc net_connect_start(const struct net_addr *to, const struct net_addr *from, int *out_fd,
    int *out_errno, struct error *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = open_socket(to);

	if (fd < 0)
		return fail_closing(fd, out_errno, err, RC_DEFER, "socket for", to);
	if (from) {
		/* Ports are chosen at connect, so that each destination has the whole range. */
		if (from->port == 0)
			set_flag(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, true);
		len = net_addr_to_sockaddr(from, &sa);
		if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
			return fail_closing(fd, out_errno, err, RC_DEFER, "bind to", from);
	}
	len = net_addr_to_sockaddr(to, &sa);
	/* EINTR: goes on by itself, like EINPROGRESS */
	if (connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS &&
	    errno != EINTR)
		return fail_closing(fd, out_errno, err, RC_DEFER, "connect to", to);
	*out_fd = fd;
	return RC_OK;
}

enum rc net_connect_finish(int fd, const struct net_addr *to, int *out_errno, struct error *err)
{
	int e = 0;
	socklen_t len = sizeof e;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		e = errno;
	if (e == 0)
		return RC_OK;
	errno = e;
	return fail_closing(-1, out_errno, err, RC_DEFER, "connect to", to);
}

void net_set_nodelay(int fd, bool on)
{
	set_flag(fd, IPPROTO_TCP, TCP_NODELAY, on);
}

void net_set_keepalive(int fd, bool on)
{
	set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, on);
}

/* ---- ends of a connection ---- */

bool net_local_addr(int fd, struct net_addr *out)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    !net_addr_from_sockaddr(&sa, len, out))
		return false;
	net_addr_unmap(out);
	return true;
}

bool net_peer_addr(int fd, struct net_addr *out)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    !net_addr_from_sockaddr(&sa, len, out))
		return false;
	net_addr_unmap(out);
	return true;
}
