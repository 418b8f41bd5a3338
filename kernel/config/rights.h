/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config/rights: what a user of this host may do (Exim's specification, 5.2): trusted users say who
 * a message is from and where it came from, admin users look at the queue and change it.
 * Who it is comes from net_peer_of, which uid is the daemon's from the caller. Blocks: names of
 * users and groups are asked for.
 */
#ifndef HEDDLE_CONFIG_RIGHTS_H
#define HEDDLE_CONFIG_RIGHTS_H
#include "config/config.h"
#include "net/net.h"

bool config_is_trusted(struct eval *ev, const struct net_peer *p, int64_t own_uid);
/* own_gid: the daemon's own group, or -1. */
bool config_is_admin(struct eval *ev, const struct net_peer *p, int64_t own_uid, int64_t own_gid);
#endif
