/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who is at the other end of a unix socket: as the system noted when it connected. */
#include "net/net.h"

#include <errno.h>
#include <sys/socket.h>
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

enum rc net_peer_of(int fd, struct arena *a, struct net_peer *out, struct error *err)
{
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return error_errno(err, RC_DEFER, errno, "peer credentials");
	*out = (struct net_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	/* the first call says how much there is; without supplementary groups it is nothing */
	len = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE)
		return RC_OK; /* a system that cannot say: the primary group counts alone */
	out->groups = ARENA_ARRAY(a, gid_t, len / sizeof(gid_t) + 1);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out->groups, &len) != 0)
		return error_errno(err, RC_DEFER, errno, "peer groups");
	out->group_count = (uint32_t)(len / sizeof(gid_t));
	return RC_OK;
}

bool net_peer_in_group(const struct net_peer *p, int64_t gid)
{
	if (gid == (int64_t)p->gid)
		return true;
	for (uint32_t i = 0; i < p->group_count; i++)
		if (gid == (int64_t)p->groups[i])
			return true;
	return false;
}
