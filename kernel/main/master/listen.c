/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/io.h"
#include "main/master/master.h"
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

/* -bw: inetd listens, and has given us its socket as standard input. */
static enum rc take_stdin(struct master *m, struct error *err)
{
	int listens = 0, fd = -1, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	socklen_t len = sizeof listens;
	struct net_addr at;

	if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens)
		return error_set(err, RC_ERROR, "standard input is no listening socket");
	if ((fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)) < 0 || io_nonblock(fd) != 0 ||
	    null < 0 || dup2(null, STDIN_FILENO) < 0)
		return error_errno(err, RC_ERROR, errno, "the socket on standard input");
	(void)close(null);
	m->listeners = ARENA_NEW(m->process.arena, struct listener);
	m->listeners[0].fd = fd;
	m->listeners[0].port = net_local_addr(fd, &at) ? at.port : 0;
	m->listener_count = 1;
	return RC_OK;
}

enum rc master_bind(struct master *m, const struct vec *addrs, struct error *err)
{
	char buf[NET_ADDR_TEXT];
	bool v6_any = false;

	if (m->opt.wait_socket)
		return take_stdin(m, err);
	m->listeners = ARENA_ARRAY(m->process.arena, struct listener, addrs->count + 1);
	VEC_FOREACH(addrs, struct net_addr, a)
	{
		struct net_addr bound;
		struct listener *l = &m->listeners[m->listener_count];
		enum rc rc =
		    net_listen(a, m->backlog > 0 ? m->backlog : BACKLOG, &l->fd, &bound, err);
		if (rc != RC_OK && a->family == AF_INET6 && net_addr_is_any(a)) {
			/* a host without IPv6: the IPv4 wildcard is enough */
			v6_any = true;
			continue;
		}
		if (rc != RC_OK)
			return error_wrap(err, RC_ERROR,
			    "socket bind() to port %u for address %.*s failed", a->port,
			    SL_ARG(net_addr_text(a, buf)));
		l->port = bound.port;
		m->listener_count++;
	}
	if (m->listener_count == 0)
		return error_set(err, RC_ERROR,
		    v6_any ? "no IPv6 here, and nothing else to listen on"
		           : "nothing to listen on");
	return RC_OK;
}
