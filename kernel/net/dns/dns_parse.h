/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net/dns/dns_parse: a DNS message in wire form to records.  Pure: reads the bytes, writes the
 * arena, nothing else. The bytes are foreign; whatever they are, the parser returns.  Source: RFC
 * 1035 4.1, 3596, 2782, 6698, 4343.
 */
#ifndef HEDDLE_NET_DNS_PARSE_H
#define HEDDLE_NET_DNS_PARSE_H
#include "net/net.h"

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_TLSA = 52,
	DNS_ANY = 255,
};

enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

/* Fields that its type does not have are zero.  Names and texts are TAINTED. */
struct dns_record {
	slice_t owner; /* presentation form without the last dot; the root is "." */
	uint32_t ttl;
	uint16_t type; /* enum dns_type or another number */
	uint8_t section;
	slice_t rdata;         /* as it was sent; names inside may be compressed */
	slice_t name;          /* target of CNAME NS PTR MX SRV, first name of SOA */
	slice_t mailbox;       /* SOA's second name */
	uint16_t pref;         /* MX preference, SRV priority */
	uint16_t weight, port; /* SRV */
	struct net_addr addr;  /* A, AAAA */
	slice_t *texts;        /* TXT: its strings */
	size_t n_texts;
	uint32_t serial, refresh, retry, expire, minimum; /* SOA */
};

struct dns_message {
	uint8_t rcode;
	bool authoritative, authentic, truncated;
	slice_t qname;
	uint16_t qtype;
	struct dns_record *records; /* answer, authority, additional, in that order */
	size_t count;
};

/* At most this many records are taken from a message; one with more is refused. */
#define DNS_MAX_RECORDS 4096
/* Aliases followed before it counts as a loop. */
#define DNS_MAX_CNAMES 16

/* FAIL: not a whole DNS message.  A record of a known type whose rdata is malformed is left out,
 * the rest is kept. */
MUST_USE enum rc dns_parse_message(
    struct arena *a, const void *wire, size_t len, struct dns_message *out, struct error *err);
/* Follow the aliases from the question and keep the answers of `type`, moved to the front of
 * m->records; count is cut to them.  out_canon: the name they belong to.  FAIL: aliases in a
 * circle. */
MUST_USE enum rc dns_message_select(
    struct dns_message *m, slice_t qname, uint16_t type, slice_t *out_canon, struct error *err);
/* "A", "MX", "TYPE123". */
slice_t dns_type_name(struct arena *a, uint16_t type);
MUST_USE bool dns_type_parse(slice_t s, uint16_t *out);
/* Is this a name that can be asked for?  1-63 octets a label, 255 in all (RFC 1035 2.3.4); \. and
 * \DDD count as one. */
bool dns_name_ok(slice_t name);
/* "4.3.2.1.in-addr.arpa", "...ip6.arpa"; with another suffix instead for DNS lists ("" suffix: only
 * the digits). */
slice_t dns_reverse_name(struct arena *a, const struct net_addr *addr, const char *suffix);
#endif
