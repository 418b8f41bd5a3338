/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A question belongs to three: us (until its function has been called or it was cancelled),
 * libunbound (until its callback or a successful ub_cancel), and the thread that submits it.  The
 * last reference frees it.
 */
#include "net/dns/dns.h"

#include "thread/heap.h"
#include "thread/start.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unbound.h>
#include <unistd.h>

#define BUCKETS   1024
#define DNS_STACK ((size_t)256 << 10)
#define CLASS_IN  1
#define NO_UB_ID  (-1)

enum question_state {
	ASKED,   /* may be answered, time out or be cancelled */
	CALLING, /* its function runs, or is about to */
	OVER,
};

struct question {
	/* const after publication */
	struct dns_resolver *resolver;
	uint64_t id;
	dns_fn fn;
	void *arg;
	struct dns_answer *answer; /* its arena is the question's until the function gets it */

	struct heap_node node GUARDED_BY(lk_dns);
	struct question *next GUARDED_BY(lk_dns); /* of the bucket */
	enum question_state state GUARDED_BY(lk_dns);

	_Atomic int ub_id;     /* who exchanges it for NO_UB_ID may cancel */
	_Atomic unsigned refs; /* acq_rel */
};

struct dns_resolver {
	struct ub_ctx *ctx; /* const */
	int kick_fd;        /* const */
	size_t max;         /* const */
	pthread_t thread;   /* const */
	bool started;       /* const */

	struct mutex lock;
	struct heap deadlines GUARDED_BY(lk_dns);
	struct question *buckets[BUCKETS] GUARDED_BY(lk_dns);
	size_t outstanding GUARDED_BY(lk_dns);
	uint64_t next_id GUARDED_BY(lk_dns);
	int64_t sleep_until GUARDED_BY(lk_dns);
	struct condvar called; /* some function has returned */

	_Atomic bool stopping;
};

LOCK_FNS(resolver, struct dns_resolver, lock, lk_dns)

/* ---- outcomes ---- */

enum rc dns_status_rc(enum dns_status s)
{
	if (s == DNS_FOUND)
		return RC_OK;
	return s == DNS_NXDOMAIN || s == DNS_NODATA || s == DNS_BADNAME ? RC_FAIL : RC_DEFER;
}

const char *dns_status_text(enum dns_status s)
{
	static const char *const texts[] = {
	    [DNS_FOUND] = "found",
	    [DNS_NXDOMAIN] = "no such domain",
	    [DNS_NODATA] = "no record of this type",
	    [DNS_BADNAME] = "not a domain name",
	    [DNS_SERVFAIL] = "server failure",
	    [DNS_TIMEOUT] = "no answer in time",
	    [DNS_BOGUS] = "validation failed",
	    [DNS_BUSY] = "too many questions outstanding",
	    [DNS_CANCELLED] = "cancelled",
	};
	return texts[s];
}

void dns_answer_free(struct dns_answer **answer)
{
	if (!*answer)
		return;
	struct arena *a = (*answer)->arena;
	*answer = NULL;
	arena_free(&a);
}

static struct dns_answer *answer_new(slice_t name, uint16_t type)
{
	struct arena *a = arena_new(1024);
	struct dns_answer *ans = ARENA_NEW(a, struct dns_answer);

	ans->arena = a;
	ans->qname = arena_dup(a, name);
	ans->canon = ans->qname;
	ans->qtype = type;
	return ans;
}

static void answer_set(struct dns_answer *ans, enum dns_status status, const char *why)
{
	ans->status = status;
	ans->why = arena_dup(ans->arena, slice_cstr(why ? why : dns_status_text(status)));
	ans->why.flags = 0; /* may quote the answer */
}

static void take_records(struct dns_answer *ans, const struct ub_result *res)
{
	struct dns_message m;
	struct error err = {.text = ""};
	slice_t canon;

	if (res->answer_len < 0 ||
	    dns_parse_message(ans->arena, res->answer_packet, (size_t)res->answer_len, &m, &err) !=
	        RC_OK ||
	    dns_message_select(&m, m.qname.len ? m.qname : ans->qname, ans->qtype, &canon, &err) !=
	        RC_OK) {
		answer_set(ans, DNS_SERVFAIL, err.text);
		return;
	}
	if (m.count == 0) {
		answer_set(ans, DNS_SERVFAIL, "the answer holds no usable record");
		return;
	}
	answer_set(ans, DNS_FOUND, NULL);
	ans->canon = canon;
	ans->records = m.records;
	ans->count = m.count;
	ans->ttl = m.records[0].ttl;
	for (size_t i = 1; i < m.count; i++)
		if (m.records[i].ttl < ans->ttl)
			ans->ttl = m.records[i].ttl;
}

static void take_result(struct dns_answer *ans, int ub_err, const struct ub_result *res)
{
	char text[40];

	if (ub_err || !res) {
		answer_set(ans, DNS_SERVFAIL, ub_strerror(ub_err));
		return;
	}
	/* Bogus data comes with rcode 0 and looks fine otherwise: this test is the first. */
	if (res->bogus) {
		answer_set(ans, DNS_BOGUS, res->why_bogus);
		return;
	}
	ans->secure = res->secure != 0;
	if (res->havedata) {
		take_records(ans, res);
	} else if (res->nxdomain) {
		answer_set(ans, DNS_NXDOMAIN, NULL);
	} else if (res->rcode == 0) {
		answer_set(ans, DNS_NODATA, NULL);
	} else {
		(void)snprintf(text, sizeof text, "server failure (rcode %d)", res->rcode);
		answer_set(ans, DNS_SERVFAIL, text);
	}
}

/* ---- questions ---- */

static void question_unref(struct question *q)
{
	if (atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1)
		return;
	dns_answer_free(&q->answer);
	free(q);
}

static struct question **bucket_of(struct dns_resolver *r, uint64_t id) REQUIRES(lk_dns);
static struct question **bucket_of(struct dns_resolver *r, uint64_t id)
{
	struct question **at = &r->buckets[id % BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

/* From ASKED to `to`: only one caller gets true. */
static bool claim(struct question *q, enum question_state to) EXCLUDES(lk_dns);
static bool claim(struct question *q, enum question_state to)
{
	struct dns_resolver *r = q->resolver;

	resolver_lock(r);
	bool mine = q->state == ASKED;
	if (mine) {
		q->state = to;
		heap_remove(&r->deadlines, &q->node);
	}
	resolver_unlock(r);
	return mine;
}

/* libunbound need not answer any more; its worker may go on with it, but tells nobody. */
static void release_ub(struct question *q)
{
	int ub_id = atomic_exchange(&q->ub_id, NO_UB_ID);

	if (ub_id != NO_UB_ID && ub_cancel(q->resolver->ctx, ub_id) == UB_NOERROR)
		question_unref(q);
}

static void forget(struct question *q) EXCLUDES(lk_dns);
static void forget(struct question *q)
{
	struct dns_resolver *r = q->resolver;

	resolver_lock(r);
	struct question **at = bucket_of(r, q->id);
	MUST(*at == q);
	*at = q->next;
	q->state = OVER;
	r->outstanding--;
	condvar_broadcast(&r->called);
	resolver_unlock(r);
	question_unref(q);
}

/* The claimed question's end: its function gets the answer. */
static void deliver(struct question *q) EXCLUDES(lk_dns);
static void deliver(struct question *q)
{
	struct dns_answer *ans = q->answer;

	q->answer = NULL;
	q->fn(q->arg, ans);
	forget(q);
}

static void on_answer(void *arg, int ub_err, struct ub_result *res)
{
	struct question *q = arg;

	atomic_store(&q->ub_id, NO_UB_ID);
	if (claim(q, CALLING)) {
		take_result(q->answer, ub_err, res);
		deliver(q);
	}
	ub_resolve_free(res);
	question_unref(q);
}

static void kick(struct dns_resolver *r)
{
	uint64_t one = 1;

	(void)!write(r->kick_fd, &one, sizeof one);
}

/* false: no room. */
static bool enter(struct dns_resolver *r, struct question *q, int64_t deadline_us) EXCLUDES(lk_dns);
static bool enter(struct dns_resolver *r, struct question *q, int64_t deadline_us)
{
	bool early = false;

	resolver_lock(r);
	bool room = r->outstanding < r->max;
	if (room) {
		q->id = ++r->next_id;
		struct question **at = bucket_of(r, q->id);
		*at = q;
		r->outstanding++;
		if (deadline_us != DEADLINE_NEVER) {
			heap_set(&r->deadlines, &q->node, deadline_us);
			early = deadline_us < r->sleep_until;
			if (early)
				r->sleep_until = deadline_us;
		}
	}
	resolver_unlock(r);
	if (early)
		kick(r);
	return room;
}

static uint64_t refuse(struct question *q, enum dns_status status)
{
	struct dns_answer *ans = q->answer;

	q->answer = NULL;
	answer_set(ans, status, NULL);
	q->fn(q->arg, ans);
	free(q);
	return 0;
}

static void submit(struct dns_resolver *r, struct question *q, slice_t name, uint16_t type)
{
	struct arena *a =
	    arena_new(0); /* the answer's may be gone by the time libunbound has read the name */
	int ub_id = NO_UB_ID;
	int rc =
	    ub_resolve_async(r->ctx, arena_cstr(a, name), type, CLASS_IN, q, on_answer, &ub_id);

	arena_free(&a);
	if (rc != UB_NOERROR) {
		if (claim(q, CALLING)) {
			answer_set(q->answer, rc == UB_SYNTAX ? DNS_BADNAME : DNS_SERVFAIL,
			    ub_strerror(rc));
			deliver(q);
		}
		question_unref(q); /* libunbound's */
		return;
	}
	/* A deadline or a cancellation that came before the number was known left the rest to us.
	 * If the answer has been here already, ub_cancel does not know the number any more. */
	atomic_store(&q->ub_id, ub_id);
	resolver_lock(r);
	bool over = q->state != ASKED;
	resolver_unlock(r);
	if (over)
		release_ub(q);
}

uint64_t dns_query(
    struct dns_resolver *r, slice_t name, uint16_t type, int64_t deadline_us, dns_fn fn, void *arg)
{
	struct question *q = calloc(1, sizeof *q);

	MUST(q != NULL);
	q->resolver = r;
	q->fn = fn;
	q->arg = arg;
	q->answer = answer_new(name, type);
	atomic_init(&q->ub_id, NO_UB_ID);
	atomic_init(&q->refs, 3);
	if (!dns_name_ok(name))
		return refuse(q, DNS_BADNAME);
	if (atomic_load(&r->stopping))
		return refuse(q, DNS_CANCELLED);
	if (!enter(r, q, deadline_us))
		return refuse(q, DNS_BUSY);
	uint64_t id = q->id;
	submit(r, q, name, type);
	question_unref(q);
	return id;
}

bool dns_cancel(struct dns_resolver *r, uint64_t id)
{
	struct question *q;

	resolver_lock(r);
	while ((q = *bucket_of(r, id)) && q->state == CALLING)
		(void)resolver_wait(r, &r->called, DEADLINE_NEVER);
	if (q)
		atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
	resolver_unlock(r);
	if (!q)
		return false;
	bool mine = claim(q, OVER);
	if (mine) {
		release_ub(q);
		forget(q);
	}
	question_unref(q);
	/* Lost to an answer just now: wait for that to be over. */
	return mine || dns_cancel(r, id);
}

size_t dns_outstanding(struct dns_resolver *r)
{
	resolver_lock(r);
	size_t n = r->outstanding;
	resolver_unlock(r);
	return n;
}

/* ---- the thread ---- */

/* A question past its deadline, referenced, or NULL. */
static struct question *first_due(struct dns_resolver *r, int64_t now) EXCLUDES(lk_dns);
static struct question *first_due(struct dns_resolver *r, int64_t now)
{
	struct question *q = NULL;

	resolver_lock(r);
	struct heap_node *n = heap_first(&r->deadlines);
	if (n && n->at <= now) {
		q = HEAP_OWNER(n, struct question, node);
		atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
	}
	r->sleep_until = n ? n->at : DEADLINE_NEVER;
	resolver_unlock(r);
	return q;
}

static int expire(struct dns_resolver *r)
{
	int64_t now = clock_mono_us();
	struct question *q;

	while ((q = first_due(r, now))) {
		if (claim(q, CALLING)) {
			release_ub(q);
			answer_set(q->answer, DNS_TIMEOUT, NULL);
			deliver(q);
		}
		question_unref(q);
	}
	resolver_lock(r);
	int64_t until = r->sleep_until;
	resolver_unlock(r);
	if (until == DEADLINE_NEVER)
		return -1;
	int64_t ms = (until - now + 999) / 1000;
	return ms < 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
}

static void *resolver_main(void *arg)
{
	struct dns_resolver *r = arg;
	struct pollfd fds[2] = {
	    {.fd = ub_fd(r->ctx), .events = POLLIN}, {.fd = r->kick_fd, .events = POLLIN}};
	uint64_t n;

	thread_name("dns");
	while (!atomic_load(&r->stopping)) {
		int timeout = expire(r);
		if (poll(fds, 2, timeout) < 0)
			continue;
		if (fds[1].revents)
			(void)!read(r->kick_fd, &n, sizeof n);
		if (fds[0].revents)
			(void)ub_process(r->ctx);
	}
	return NULL;
}

/* ---- life cycle ---- */

static enum rc set_option(
    struct ub_ctx *ctx, const char *name, const char *value, struct error *err)
{
	int rc = ub_ctx_set_option(ctx, name, value);

	if (rc == UB_NOERROR)
		return RC_OK;
	return error_set(err, RC_ERROR, "resolver option %s %s: %s", name, value, ub_strerror(rc));
}

/* Thousands of questions to servers that do not answer must leave room for the others; and one slow
 * name must not make a forwarder count as dead for all. */
static enum rc set_fixed_options(struct ub_ctx *ctx, struct error *err)
{
	static const struct {
		const char *name, *value;
	} options[] = {
	    {"do-not-query-localhost:", "no"},
	    {"outgoing-range:", "2048"},
	    {"num-queries-per-thread:", "4096"},
	    {"jostle-timeout:", "500"},
	    {"infra-cache-max-rtt:", "1000"},
	    {"infra-keep-probing:", "yes"},
	    {"use-syslog:", "no"},
	    {"unblock-lan-zones:", "yes"},
	    {"insecure-lan-zones:", "yes"},
	};

	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		enum rc rc = set_option(ctx, options[i].name, options[i].value, err);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc set_cache(struct ub_ctx *ctx, size_t bytes, struct error *err)
{
	char text[32];

	if (!bytes)
		bytes = (size_t)16 << 20;
	/* twice as much for record sets as for messages, as its manual advises */
	(void)snprintf(text, sizeof text, "%zu", bytes / 3);
	enum rc rc = set_option(ctx, "msg-cache-size:", text, err);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(text, sizeof text, "%zu", bytes / 3 * 2);
	return set_option(ctx, "rrset-cache-size:", text, err);
}

static enum rc set_servers(struct ub_ctx *ctx, const struct dns_config *cfg, struct error *err)
{
	for (size_t i = 0; i < cfg->n_forwards; i++) {
		int rc = ub_ctx_set_fwd(ctx, cfg->forwards[i]);
		if (rc != UB_NOERROR)
			return error_set(
			    err, RC_ERROR, "DNS server %s: %s", cfg->forwards[i], ub_strerror(rc));
	}
	if (cfg->n_forwards)
		return RC_OK;
	/* A host without the file resolves from the root itself. */
	const char *path = cfg->resolv_conf ? cfg->resolv_conf : "/etc/resolv.conf";
	int rc = access(path, F_OK) == 0 ? ub_ctx_resolvconf(ctx, path) : UB_NOERROR;
	if (rc != UB_NOERROR)
		return error_set(err, RC_ERROR, "%s: %s", path, ub_strerror(rc));
	return RC_OK;
}

static enum rc set_trust(struct ub_ctx *ctx, const struct dns_config *cfg, struct error *err)
{
	enum rc rc = RC_OK;

	if (cfg->trust_anchor_file) {
		/* libunbound opens it much later and then says only that something is wrong */
		if (access(cfg->trust_anchor_file, R_OK) != 0)
			return error_errno(
			    err, RC_ERROR, errno, "trust anchor %s", cfg->trust_anchor_file);
		int ub = ub_ctx_add_ta_file(ctx, cfg->trust_anchor_file);
		if (ub != UB_NOERROR)
			return error_set(err, RC_ERROR, "trust anchor %s: %s",
			    cfg->trust_anchor_file, ub_strerror(ub));
	}
	for (size_t i = 0; i < cfg->n_insecure && rc == RC_OK; i++)
		rc = set_option(ctx, "domain-insecure:", cfg->insecure[i], err);
	return rc;
}

/* What libunbound would answer by itself, though the site's servers may know better.  The option
 * local-zone has no effect on these (1.17); removing them does, and fixes the configuration. */
static enum rc remove_zones(struct ub_ctx *ctx, struct error *err)
{
	static const char *const zones[] = {"127.in-addr.arpa.", "test.", "invalid.",
	    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa."};

	for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
		int rc = ub_ctx_zone_remove(ctx, zones[i]);
		if (rc != UB_NOERROR)
			return error_set(
			    err, RC_ERROR, "resolver zone %s: %s", zones[i], ub_strerror(rc));
	}
	return RC_OK;
}

static enum rc configure(struct ub_ctx *ctx, const struct dns_config *cfg, struct error *err)
{
	enum rc rc = set_fixed_options(ctx, err);

	(void)ub_ctx_debugout(
	    ctx, NULL); /* what it has to say comes with the answers, not on stderr */
	if (rc == RC_OK)
		rc = set_cache(ctx, cfg->cache_bytes, err);
	if (rc == RC_OK)
		rc = set_servers(ctx, cfg, err);
	if (rc == RC_OK)
		rc = set_trust(ctx, cfg, err);
	/* 1: a thread; the default would fork */
	if (rc == RC_OK && ub_ctx_async(ctx, 1) != UB_NOERROR)
		rc = error_set(err, RC_ERROR, "the resolver library has no threads");
	if (rc == RC_OK)
		rc = remove_zones(ctx, err);
	return rc;
}

enum rc dns_resolver_new(const struct dns_config *cfg, struct dns_resolver **out, struct error *err)
{
	struct dns_resolver *r = calloc(1, sizeof *r);
	enum rc rc = RC_OK;

	MUST(r != NULL);
	mutex_init(&r->lock, LOCK_dns);
	condvar_init(&r->called);
	r->max = cfg->max_questions ? cfg->max_questions : 4096;
	resolver_lock(r);
	r->sleep_until = DEADLINE_NEVER;
	resolver_unlock(r);
	r->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->ctx = ub_ctx_create();
	if (r->kick_fd < 0 || !r->ctx)
		rc = error_set(err, RC_ERROR, "cannot make a resolver");
	if (rc == RC_OK)
		rc = configure(r->ctx, cfg, err);
	if (rc == RC_OK) {
		int e = thread_start(&r->thread, DNS_STACK, resolver_main, r);
		r->started = e == 0;
		if (e)
			rc = error_errno(err, RC_ERROR, e, "start the resolver's thread");
	}
	if (rc == RC_OK)
		*out = r;
	else
		dns_resolver_free(&r);
	return rc;
}

enum rc dns_resolver_for(const char *forward, struct dns_resolver **out, struct error *err)
{
	struct dns_config cfg = {0};

	if (forward && *forward) {
		cfg.forwards = &forward;
		cfg.n_forwards = 1;
	}
	return dns_resolver_new(&cfg, out, err);
}

/* Any question that is left, or NULL. */
static struct question *any_question(struct dns_resolver *r) EXCLUDES(lk_dns);
static struct question *any_question(struct dns_resolver *r)
{
	struct question *q = NULL;

	resolver_lock(r);
	for (size_t i = 0; i < BUCKETS && !q; i++)
		q = r->buckets[i];
	resolver_unlock(r);
	return q;
}

void dns_resolver_free(struct dns_resolver **rp)
{
	struct dns_resolver *r = *rp;
	struct question *q;

	*rp = NULL;
	if (!r)
		return;
	atomic_store(&r->stopping, true);
	if (r->started) {
		kick(r);
		(void)pthread_join(r->thread, NULL);
	}
	while ((q = any_question(r))) {
		MUST(claim(q, CALLING));
		release_ub(q);
		answer_set(q->answer, DNS_CANCELLED, NULL);
		deliver(q);
	}
	if (r->ctx)
		ub_ctx_delete(r->ctx);
	if (r->kick_fd >= 0)
		(void)close(r->kick_fd);
	resolver_lock(r);
	heap_fini(&r->deadlines);
	resolver_unlock(r);
	condvar_fini(&r->called);
	mutex_fini(&r->lock);
	free(r);
}
