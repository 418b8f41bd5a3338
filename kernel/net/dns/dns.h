/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net/dns: the resolver: validating, caching, asynchronous (libunbound).
 *
 * One context, one thread of ours that collects the answers and keeps the deadlines.  Each question
 * ends in exactly one call of its function: an answer, DNS_TIMEOUT at its deadline, or
 * DNS_CANCELLED when the resolver goes away; unless dns_cancel says that it will not come.  The
 * function runs on the resolver's thread: it stores the answer and posts a park, no more.  Answers
 * are objects of their own: whoever got one frees it. Outcomes: a server failure, silence and data
 * that fail validation are DEFER, never "not found". Threads: all functions, any thread.  Locks:
 * takes lk_dns, lk_dns_wait; calls functions with none held.
 */
#ifndef HEDDLE_NET_DNS_H
#define HEDDLE_NET_DNS_H
#include "net/dns/dns_parse.h"
#include "thread/cancel.h"
#include "thread/lock.h"

struct dns_resolver;

struct dns_config {
	const char *const *forwards; /* "127.0.0.1@5353"; with them resolv.conf is not read */
	size_t n_forwards;
	const char *resolv_conf;       /* NULL: /etc/resolv.conf */
	const char *trust_anchor_file; /* NULL: no validation */
	const char *const *insecure;   /* domains that are never validated */
	size_t n_insecure;
	size_t cache_bytes;     /* 0: 16 MiB */
	unsigned max_questions; /* outstanding; 0: 4096; more are DEFER at once */
};

enum dns_status {
	DNS_FOUND,
	DNS_NXDOMAIN, /* the name does not exist */
	DNS_NODATA,   /* it does, but has no record of that type */
	DNS_BADNAME,  /* cannot be a name */
	DNS_SERVFAIL, /* the servers failed or refused */
	DNS_TIMEOUT,  /* the deadline passed */
	DNS_BOGUS,    /* validation failed */
	DNS_BUSY,     /* too many questions */
	DNS_CANCELLED,
};

struct dns_answer {
	struct arena *arena; /* all of it, this struct too */
	enum dns_status status;
	bool secure;   /* validated */
	slice_t qname; /* as asked */
	uint16_t qtype;
	slice_t canon;              /* behind the aliases */
	slice_t why;                /* for people: what went wrong */
	uint32_t ttl;               /* seconds, the smallest */
	struct dns_record *records; /* of qtype, in the order of the answer */
	size_t count;
};

typedef void (*dns_fn)(void *arg, struct dns_answer *answer);

MUST_USE enum rc dns_resolver_new(
    const struct dns_config *cfg, struct dns_resolver **out, struct error *err);
/* As this system's, unless `forward` ("127.0.0.1@5353"; NULL or empty: none) names the server to
 * ask instead. */
MUST_USE enum rc dns_resolver_for(
    const char *forward, struct dns_resolver **out, struct error *err);
/* All outstanding questions end in DNS_CANCELLED first.  Nulls. */
void dns_resolver_free(struct dns_resolver **r);

/* FOUND: OK; NXDOMAIN, NODATA, BADNAME: FAIL; the others DEFER. */
enum rc dns_status_rc(enum dns_status s);
const char *dns_status_text(enum dns_status s);
/* NULL is fine; nulls. */
void dns_answer_free(struct dns_answer **answer);

/* Ask; the number names the question until its end.  fn may run before this returns, and for
 * DNS_BADNAME and DNS_BUSY does, in this thread (the result is then 0). */
uint64_t dns_query(struct dns_resolver *r, slice_t name, uint16_t type, int64_t deadline_us,
    dns_fn fn, void *arg) EXCLUDES(lk_dns);
/* true: fn will not be called.  false: it has been, and is not running any more.  Not from within
 * fn. */
bool dns_cancel(struct dns_resolver *r, uint64_t id) EXCLUDES(lk_dns);
/* Ask and wait (inside pool_blocking_begin/end).  *out is in arena a and set for OK, FAIL and DEFER
 * alike. */
MUST_USE enum rc dns_wait(struct dns_resolver *r, slice_t name, uint16_t type, int64_t deadline_us,
    struct cancel *cancel, struct arena *a, struct dns_answer **out) EXCLUDES(lk_dns, lk_dns_wait);
size_t dns_outstanding(struct dns_resolver *r) EXCLUDES(lk_dns);

#endif
