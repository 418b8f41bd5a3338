/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net/dns/dns_hosts: a domain to the hosts that take its mail, with their addresses, in the order
 * to try them. MX, then A and AAAA of every host at once (RFC 5321 5.1, RFC 7505); or the addresses
 * of one named host. Threads and ownership: as dns.h.  Hosts of equal preference come in random
 * order.
 */
#ifndef HEDDLE_NET_DNS_HOSTS_H
#define HEDDLE_NET_DNS_HOSTS_H
#include "net/dns/dns.h"

struct dns_host {
	slice_t name; /* TAINTED */
	uint16_t pref;
	enum dns_status status; /* of its address look-up: FOUND, or why there is none */
	bool secure;            /* MX and addresses validated */
	struct net_addr *addrs; /* IPv6 before IPv4, unless asked otherwise */
	size_t n_addrs;
};

struct dns_hosts {
	struct arena *arena; /* all of it, this struct too */
	enum dns_status
	    status;    /* FOUND: hosts is not empty (their own status may still be a failure) */
	bool from_mx;  /* false: the domain's own addresses */
	bool null_mx;  /* RFC 7505: takes no mail; status is NODATA */
	bool secure;   /* of the MX answer, also of a negative one */
	slice_t canon; /* the domain behind its aliases */
	slice_t why;
	struct dns_host *hosts;
	size_t count;
};

enum {
	DNS_HOSTS_NO_IPV6 = 1,
	DNS_HOSTS_NO_IPV4 = 2,
	DNS_HOSTS_IPV4_FIRST = 4,
	DNS_HOSTS_NO_MX = 8,    /* `name` is a host: addresses only */
	DNS_HOSTS_MX_ONLY = 16, /* no MX: NODATA, no look at the domain's own addresses */
};
/* More MX records than this are cut off, the least preferred first. */
#define DNS_MAX_HOSTS 100

typedef void (*dns_hosts_fn)(void *arg, struct dns_hosts *hosts);
struct dns_hosts_query;

/* fn is called exactly once, possibly before this returns; it takes hosts over.  *out_query (may be
 * NULL) is a reference for dns_mx_hosts_drop, which every caller that asked for one must call. */
void dns_mx_hosts(struct dns_resolver *r, slice_t name, unsigned flags, int64_t deadline_us,
    dns_hosts_fn fn, void *arg, struct dns_hosts_query **out_query) EXCLUDES(lk_dns);
/* Give the reference back.  true: fn will not be called.  false: it has been, and is not running
 * any more. */
bool dns_mx_hosts_drop(struct dns_hosts_query **q) EXCLUDES(lk_dns, lk_dns_wait);
MUST_USE enum rc dns_mx_hosts_wait(struct dns_resolver *r, slice_t name, unsigned flags,
    int64_t deadline_us, struct cancel *cancel, struct arena *a, struct dns_hosts **out)
    EXCLUDES(lk_dns, lk_dns_wait);
void dns_hosts_free(struct dns_hosts **h);
#endif
