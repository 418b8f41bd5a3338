/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/net.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>

struct net_interfaces {
	struct arena *arena;
	struct vec addrs; /* struct net_addr */
};

enum rc net_interfaces_new(struct net_interfaces **out, struct error *err)
{
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) < 0)
		return error_errno(err, RC_DEFER, errno, "addresses of this host");
	struct arena *a = arena_new(0);
	struct net_interfaces *ifs = ARENA_NEW(a, struct net_interfaces);
	ifs->arena = a;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct net_addr addr;
		bool ip6 = i->ifa_addr && i->ifa_addr->sa_family == AF_INET6;
		socklen_t len = ip6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
		if (!i->ifa_addr || !net_addr_from_sockaddr(i->ifa_addr, len, &addr))
			continue;
		if (!net_interfaces_has(ifs, &addr))
			*VEC_PUSH(a, &ifs->addrs, struct net_addr) = addr;
	}
	freeifaddrs(list);
	*out = ifs;
	return RC_OK;
}

void net_interfaces_free(struct net_interfaces **ifs)
{
	if (!*ifs)
		return;
	struct arena *a = (*ifs)->arena;
	*ifs = NULL;
	arena_free(&a);
}

size_t net_interfaces_count(const struct net_interfaces *ifs)
{
	return ifs->addrs.count;
}

const struct net_addr *net_interfaces_at(const struct net_interfaces *ifs, size_t i)
{
	return VEC_AT(&ifs->addrs, struct net_addr, i);
}

bool net_interfaces_has(const struct net_interfaces *ifs, const struct net_addr *a)
{
	for (size_t i = 0; i < ifs->addrs.count; i++)
		if (net_addr_eq(net_interfaces_at(ifs, i), a))
			return true;
	return false;
}
