/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/rights.h"

#include "driver/call.h"

static slice_t list_of(struct eval *ev, enum main_option option)
{
	struct error err;
	slice_t list = slice_absent();

	return config_expand(ev, option, &list, &err) == RC_OK ? list : slice_absent();
}

bool config_is_trusted(struct eval *ev, const struct net_peer *p, int64_t own_uid)
{
	struct error err;

	return p->uid == 0 || p->uid == own_uid ||
	       services_peer_listed(ev, list_of(ev, MO_trusted_users),
	           list_of(ev, MO_trusted_groups), p, &err) == RC_OK;
}

bool config_is_admin(struct eval *ev, const struct net_peer *p, int64_t own_uid, int64_t own_gid)
{
	struct error err;

	return p->uid == 0 || p->uid == own_uid || (own_gid > 0 && net_peer_in_group(p, own_gid)) ||
	       services_peer_listed(ev, slice_absent(), list_of(ev, MO_admin_groups), p, &err) ==
	           RC_OK;
}
