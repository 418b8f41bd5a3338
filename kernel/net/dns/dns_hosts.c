/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The MX question, then one or two address questions a host, all at once; whoever brings the last
 * answer builds the result.  A dropped query lets its questions run out by themselves: each ends at
 * the deadline at the latest.
 */
#include "net/dns/dns_hosts.h"

#include "base/io.h"

#include <stdlib.h>
#include <string.h>

enum hosts_state { RUNNING, CALLING, OVER, DROPPED };

/* One host to be, with the answers as they come; each is written by one thread before it counts
 * pending down. */
struct candidate {
	slice_t name;
	uint16_t pref;
	uint32_t shuffle;
	bool secure;
	struct dns_answer *a, *aaaa;
};

struct address_question {
	struct dns_hosts_query *query;
	struct dns_answer **slot;
};

struct dns_hosts_query {
	/* const once the address questions are out */
	struct dns_resolver *resolver;
	unsigned flags;
	int64_t deadline_us;
	dns_hosts_fn fn;
	void *arg;
	struct dns_hosts *hosts; /* becomes fn's */
	struct candidate *candidates;
	size_t n_candidates;
	struct address_question *questions;

	struct mutex lock;
	enum hosts_state state GUARDED_BY(lk_dns_wait);
	struct condvar called;

	_Atomic size_t pending; /* address questions, and one while they are being asked; acq_rel */
	_Atomic unsigned refs;  /* the caller's and the machinery's; acq_rel */
};

LOCK_FNS(query, struct dns_hosts_query, lock, lk_dns_wait)

void dns_hosts_free(struct dns_hosts **h)
{
	if (!*h)
		return;
	struct arena *a = (*h)->arena;
	*h = NULL;
	arena_free(&a);
}

static void query_unref(struct dns_hosts_query *q)
{
	if (atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1)
		return;
	dns_hosts_free(&q->hosts);
	condvar_fini(&q->called);
	mutex_fini(&q->lock);
	free(q);
}

/* ---- the end ---- */

static void finish(struct dns_hosts_query *q, enum dns_status status, slice_t why)
    EXCLUDES(lk_dns_wait);
static void finish(struct dns_hosts_query *q, enum dns_status status, slice_t why)
{
	struct dns_hosts *h = q->hosts;

	for (size_t i = 0; i < q->n_candidates; i++) {
		dns_answer_free(&q->candidates[i].a);
		dns_answer_free(&q->candidates[i].aaaa);
	}
	h->status = status;
	if (status != DNS_FOUND)
		h->count = 0;
	h->why = why.len ? arena_dup(h->arena, why) : slice_cstr(dns_status_text(status));
	query_lock(q);
	bool wanted = q->state == RUNNING;
	if (wanted)
		q->state = CALLING;
	query_unlock(q);
	if (wanted) {
		q->hosts = NULL;
		q->fn(q->arg, h);
		query_lock(q);
		q->state = OVER;
		condvar_broadcast(&q->called);
		query_unlock(q);
	}
	query_unref(q);
}

static size_t copy_addrs(struct dns_host *host, const struct dns_answer *ans)
{
	if (ans && ans->status == DNS_FOUND)
		for (size_t i = 0; i < ans->count; i++)
			host->addrs[host->n_addrs++] = ans->records[i].addr;
	return host->n_addrs;
}

/* Of two failures the one that may change with time counts; of two permanent ones "does not exist".
 */
static const struct dns_answer *worse(const struct dns_answer *x, const struct dns_answer *y)
{
	if (!x || !y)
		return x ? x : y;
	if (dns_status_rc(x->status) != dns_status_rc(y->status))
		return dns_status_rc(x->status) == RC_DEFER || dns_status_rc(y->status) == RC_OK
		           ? x
		           : y;
	return y->status == DNS_NXDOMAIN ? y : x;
}

static void build_host(
    struct dns_hosts *h, struct dns_host *host, const struct candidate *c, unsigned flags)
{
	const struct dns_answer *first = flags & DNS_HOSTS_IPV4_FIRST ? c->a : c->aaaa;
	const struct dns_answer *second = flags & DNS_HOSTS_IPV4_FIRST ? c->aaaa : c->a;
	size_t room = (first ? first->count : 0) + (second ? second->count : 0);

	host->name = c->name;
	host->pref = c->pref;
	host->addrs = ARENA_ARRAY(h->arena, struct net_addr, room + 1);
	(void)copy_addrs(host, first);
	if (copy_addrs(host, second) == 0) {
		const struct dns_answer *bad = worse(first, second);
		host->status = bad ? bad->status : DNS_NODATA;
		return;
	}
	host->status = DNS_FOUND;
	host->secure = c->secure && (!first || first->status != DNS_FOUND || first->secure) &&
	               (!second || second->status != DNS_FOUND || second->secure);
}

static void build(struct dns_hosts_query *q)
{
	struct dns_hosts *h = q->hosts;
	enum dns_status status = DNS_FOUND;

	h->hosts = ARENA_ARRAY(h->arena, struct dns_host, q->n_candidates);
	h->count = q->n_candidates;
	for (size_t i = 0; i < h->count; i++)
		build_host(h, &h->hosts[i], &q->candidates[i], q->flags);
	if (!h->from_mx) {
		status = h->hosts[0].status;
		if (q->flags & DNS_HOSTS_NO_MX)
			h->secure = h->hosts[0].secure;
	}
	finish(q, status, (slice_t){0});
}

/* ---- addresses ---- */

static void count_down(struct dns_hosts_query *q)
{
	if (atomic_fetch_sub_explicit(&q->pending, 1, memory_order_acq_rel) == 1)
		build(q);
}

static void on_address(void *arg, struct dns_answer *answer)
{
	struct address_question *aq = arg;

	*aq->slot = answer;
	count_down(aq->query);
}

static void ask(struct dns_hosts_query *q, struct address_question *aq, struct dns_answer **slot,
    slice_t name, uint16_t type)
{
	*aq = (struct address_question){q, slot};
	(void)dns_query(q->resolver, name, type, q->deadline_us, on_address, aq);
}

static void ask_addresses(struct dns_hosts_query *q)
{
	struct arena *a = q->hosts->arena;
	struct candidate *c = q->candidates;
	size_t n = q->n_candidates, next = 0, per_host = 0;

	per_host += !(q->flags & DNS_HOSTS_NO_IPV4);
	per_host += !(q->flags & DNS_HOSTS_NO_IPV6);
	q->questions = ARENA_ARRAY(a, struct address_question, n * per_host + 1);
	/* One too many, so that answers which come while we ask do not end it: after count_down q
	 * may be gone. */
	atomic_store_explicit(&q->pending, n * per_host + 1, memory_order_relaxed);
	for (size_t i = 0; i < n; i++) {
		if (!(q->flags & DNS_HOSTS_NO_IPV6))
			ask(q, &q->questions[next++], &c[i].aaaa, c[i].name, DNS_AAAA);
		if (!(q->flags & DNS_HOSTS_NO_IPV4))
			ask(q, &q->questions[next++], &c[i].a, c[i].name, DNS_A);
	}
	count_down(q);
}

static void ask_single(struct dns_hosts_query *q, slice_t name, bool secure)
{
	q->candidates = ARENA_NEW(q->hosts->arena, struct candidate);
	q->candidates[0] = (struct candidate){.name = name, .secure = secure};
	q->n_candidates = 1;
	ask_addresses(q);
}

/* ---- MX ---- */

static int by_preference(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;

	if (a->pref != b->pref)
		return a->pref < b->pref ? -1 : 1;
	return a->shuffle < b->shuffle ? -1 : a->shuffle > b->shuffle;
}

static bool is_listed(const struct candidate *c, size_t n, slice_t name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eqi(c[i].name, name))
			return true;
	return false;
}

static void take_mx(struct dns_hosts_query *q, const struct dns_answer *mx)
{
	struct arena *a = q->hosts->arena;
	struct candidate *c = ARENA_ARRAY(a, struct candidate, mx->count);
	size_t n = 0;

	for (size_t i = 0; i < mx->count; i++) {
		const struct dns_record *r = &mx->records[i];
		c[i] = (struct candidate){.name = r->name, .pref = r->pref, .secure = mx->secure};
		io_random(&c[i].shuffle, sizeof c[i].shuffle);
	}
	qsort(c, mx->count, sizeof *c, by_preference);
	/* A host that is named twice counts with its best preference. */
	for (size_t i = 0; i < mx->count && n < DNS_MAX_HOSTS; i++) {
		if (is_listed(c, n, c[i].name))
			continue;
		c[n] = c[i];
		c[n].name = arena_dup(a, c[n].name);
		n++;
	}
	q->candidates = c;
	q->n_candidates = n;
	q->hosts->from_mx = true;
}

static bool is_dropped(struct dns_hosts_query *q) EXCLUDES(lk_dns_wait);
static bool is_dropped(struct dns_hosts_query *q)
{
	query_lock(q);
	bool dropped = q->state == DROPPED;
	query_unlock(q);
	return dropped;
}

static void on_mx(void *arg, struct dns_answer *mx)
{
	struct dns_hosts_query *q = arg;
	struct dns_hosts *h = q->hosts;

	h->secure = mx->secure;
	h->canon = arena_dup(h->arena, mx->canon);
	if (is_dropped(q)) {
		finish(q, DNS_CANCELLED, (slice_t){0});
	} else if (mx->status == DNS_FOUND && mx->count == 1 &&
	           slice_eqs(mx->records[0].name, ".")) {
		h->null_mx = true;
		finish(q, DNS_NODATA, SL("the domain takes no mail (null MX)"));
	} else if (mx->status == DNS_FOUND) {
		take_mx(q, mx);
		ask_addresses(q);
	} else if (mx->status == DNS_NODATA && !(q->flags & DNS_HOSTS_MX_ONLY)) {
		ask_single(q, h->canon, mx->secure);
	} else {
		finish(q, mx->status, mx->why);
	}
	dns_answer_free(&mx);
}

void dns_mx_hosts(struct dns_resolver *r, slice_t name, unsigned flags, int64_t deadline_us,
    dns_hosts_fn fn, void *arg, struct dns_hosts_query **out_query)
{
	struct dns_hosts_query *q = calloc(1, sizeof *q);
	struct arena *a = arena_new(2048);

	MUST(q != NULL);
	q->resolver = r;
	q->flags = flags;
	q->deadline_us = deadline_us;
	q->fn = fn;
	q->arg = arg;
	q->hosts = ARENA_NEW(a, struct dns_hosts);
	q->hosts->arena = a;
	q->hosts->canon = arena_dup(a, name);
	mutex_init(&q->lock, LOCK_dns_wait);
	condvar_init(&q->called);
	atomic_init(&q->refs, out_query ? 2 : 1);
	if (out_query)
		*out_query = q;
	if (flags & DNS_HOSTS_NO_MX)
		ask_single(q, q->hosts->canon, true);
	else
		(void)dns_query(r, name, DNS_MX, deadline_us, on_mx, q);
}

bool dns_mx_hosts_drop(struct dns_hosts_query **qp)
{
	struct dns_hosts_query *q = *qp;

	*qp = NULL;
	if (!q)
		return false;
	query_lock(q);
	while (q->state == CALLING)
		(void)query_wait(q, &q->called, DEADLINE_NEVER);
	bool dropped = q->state == RUNNING;
	if (dropped)
		q->state = DROPPED;
	query_unlock(q);
	query_unref(q);
	return dropped;
}
