/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "main/master/master.h"
#include "net/net.h"

#include <errno.h>

#define BACKLOG 1024

enum rc master_bind(struct master *m, const struct vec *addrs, struct error *err)
{
	char buf[NET_ADDR_TEXT];
	bool v6_any = false;

	m->listeners = ARENA_ARRAY(m->process.arena, struct listener, addrs->count + 1);
	VEC_FOREACH(addrs, struct net_addr, a)
	{
		struct net_addr bound;
		struct listener *l = &m->listeners[m->listener_count];
		enum rc rc = net_listen(a, BACKLOG, &l->fd, &bound, err);
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
