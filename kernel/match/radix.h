/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * match/radix: networks of IPv4 and IPv6 in a path-compressed binary tree; asks for the lowest
 * number among all networks that hold an address, which is the first of them in its list.  At most
 * 33 or 129 nodes are visited. Ownership: the arena's.  Threads: any number read once it is built.
 */
#ifndef HEDDLE_MATCH_RADIX_H
#define HEDDLE_MATCH_RADIX_H
#include "net/net.h"

struct radix;
#define RADIX_NONE UINT32_MAX

struct radix *radix_new(struct arena *a);
/* If the same network is there already the lower number stays. */
void radix_add(struct radix *r, const struct net_cidr *net, uint32_t number);
uint32_t radix_lowest(const struct radix *r, const struct net_addr *addr);
#endif
