/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The client's name: PTR, and then the addresses of that name, one of which must be the client's.
 * For host_lookup without a thread: a question is asked, the session is parked, the answer posts
 * it.  Where a list or a variable needs the name in the middle of an ACL, the worker waits.
 */
#include "smtp/server_private.h"

#define LOOKUP_US (INT64_C(30) * US_PER_SEC)
#define NAMES_MAX 5

struct lookup {
	struct dns_resolver *resolver;
	struct reactor *reactor;
	struct park_ref ref;
	uint64_t question;
	_Atomic(struct dns_answer *)
	    answer; /* release by the resolver's thread, acquire by the runner */
	slice_t names[NAMES_MAX];
	unsigned name_count, name; /* name_count 0: PTR is being asked for */
	int64_t deadline_us;
	bool deferred;
};

static void answered(void *arg, struct dns_answer *answer)
{
	struct lookup *l = arg;
	struct reactor *reactor = l->reactor;
	struct park_ref ref = l->ref;
	struct dns_answer *was = atomic_exchange_explicit(&l->answer, answer, memory_order_acq_rel);
	dns_answer_free(&was);
	park_post(reactor, ref);
}

static void ask(struct lookup *l, slice_t name, uint16_t type)
{
	l->question = dns_query(l->resolver, name, type, l->deadline_us, answered, l);
}

bool lookup_start(struct run *r)
{
	struct session *s = r->s;
	const struct smtp_server_config *c = &s->server->cfg;
	if (!c->resolver || s->facts.host_lookup != HOST_LOOKUP_NONE || s->lookup)
		return false;
	struct lookup *l = ARENA_NEW(s->arena, struct lookup);
	l->resolver = c->resolver;
	l->reactor = c->reactor;
	l->ref = s->ref;
	l->deadline_us = clock_mono_us() + LOOKUP_US;
	s->lookup = l;
	ask(l, dns_reverse_name(s->arena, &s->peer, NULL), DNS_PTR);
	return true;
}

void lookup_drop(struct session *s)
{
	struct lookup *l = s->lookup;
	if (!l)
		return;
	if (l->question)
		(void)dns_cancel(l->resolver, l->question);
	struct dns_answer *a = atomic_exchange_explicit(&l->answer, NULL, memory_order_acq_rel);
	dns_answer_free(&a);
	s->lookup = NULL;
}

static slice_t tidy_name(struct arena *a, slice_t name)
{
	slice_t copy = arena_dup(a, name);
	char *p = arena_bytes(a, copy.len + 1u);
	for (uint32_t i = 0; i < copy.len; i++)
		p[i] = ascii_lower(copy.ptr[i]);
	uint32_t n = copy.len;
	while (n && p[n - 1] == '.')
		n--;
	return slice_tainted(p, n);
}

static unsigned take_names(struct arena *a, const struct dns_answer *ans, slice_t *names)
{
	unsigned n = 0;
	for (size_t i = 0; i < ans->count && n < NAMES_MAX; i++)
		if (ans->records[i].name.len)
			names[n++] = tidy_name(a, ans->records[i].name);
	return n;
}

static bool has_address(const struct dns_answer *ans, const struct net_addr *peer)
{
	for (size_t i = 0; i < ans->count; i++)
		if (net_addr_eq(&ans->records[i].addr, peer))
			return true;
	return false;
}

static uint16_t address_type(const struct net_addr *peer)
{
	return peer->family == AF_INET6 ? DNS_AAAA : DNS_A;
}

static void set_result(struct session_facts *f, enum host_lookup_state state, slice_t name)
{
	f->host_lookup = state;
	f->sender_host_name = name;
	session_update_host(f);
}

/* name: what it is not; ABSENT: it has none. */
static void set_failure(struct session_facts *f, bool deferred, slice_t name)
{
	if (!slice_is_absent(name))
		f->host_lookup_msg =
		    arena_printf(f->arena, " (%.*s does not match any IP address for %.*s)",
		        SL_ARG(f->sender_host_address), SL_ARG(name));
	else if (!deferred)
		f->host_lookup_msg = SL(" (failed to find host name from IP address)");
	set_result(f, deferred ? HOST_LOOKUP_DEFERRED : HOST_LOOKUP_FAILED, slice_absent());
}

static bool give_up(struct run *r, struct lookup *l)
{
	struct session *s = r->s;
	set_failure(&s->facts, l->deferred, l->name_count ? l->names[0] : slice_absent());
	/* as Exim, which tells of a name that is false where somebody minds */
	if (!l->deferred && !l->name_count && log_selected(s->log, LOG_HOST_LOOKUP_FAILED))
		log_line(r, LOG_TO_MAIN, "no host name found for IP address %.*s",
		    SL_ARG(s->facts.sender_host_address));
	return true;
}

/* One answer; true: all is known. */
static bool take_answer(struct run *r, struct lookup *l, struct dns_answer *ans)
{
	struct session *s = r->s;
	enum rc rc = dns_status_rc(ans->status);
	l->question = 0;
	if (rc == RC_DEFER)
		l->deferred = true;
	if (!l->name_count) {
		l->name_count = rc ? 0 : take_names(s->arena, ans, l->names);
		l->name = 0;
		if (!l->name_count)
			return give_up(r, l);
	} else {
		if (!rc && has_address(ans, &s->peer)) {
			set_result(&s->facts, HOST_LOOKUP_OK, l->names[l->name]);
			return true;
		}
		if (++l->name >= l->name_count)
			return give_up(r, l);
	}
	ask(l, l->names[l->name], address_type(&s->peer));
	return false;
}

bool lookup_done(struct run *r)
{
	struct lookup *l = r->s->lookup;
	while (l) {
		struct dns_answer *ans =
		    atomic_exchange_explicit(&l->answer, NULL, memory_order_acq_rel);
		if (!ans)
			return false;
		bool done = take_answer(r, l, ans);
		dns_answer_free(&ans);
		if (done) {
			lookup_drop(r->s);
			return true;
		}
	}
	return true;
}

/* ---- the same while the thread waits ---- */
enum rc smtp_host_name_hook(struct eval *ev)
{
	struct session_facts *f = ev->session;
	struct net_addr peer;
	struct dns_answer *ans = NULL;
	slice_t names[NAMES_MAX];
	if (!f || f->host_lookup != HOST_LOOKUP_NONE)
		return f && f->host_lookup == HOST_LOOKUP_OK ? RC_OK : RC_FAIL;
	if (!ev->services || !ev->services->resolver ||
	    !net_addr_parse(f->sender_host_address, &peer))
		return RC_FAIL;
	struct dns_resolver *res = ev->services->resolver;
	enum rc rc = dns_wait(res, dns_reverse_name(ev->arena, &peer, NULL), DNS_PTR,
	    ev->deadline_us, ev->cancel, ev->arena, &ans);
	bool deferred = rc == RC_DEFER;
	unsigned n = rc ? 0 : take_names(f->arena, ans, names);
	for (unsigned i = 0; i < n; i++) {
		rc = dns_wait(res, names[i], address_type(&peer), ev->deadline_us, ev->cancel,
		    ev->arena, &ans);
		deferred |= rc == RC_DEFER;
		if (!rc && has_address(ans, &peer)) {
			set_result(f, HOST_LOOKUP_OK, names[i]);
			return RC_OK;
		}
	}
	set_failure(f, deferred, n ? names[0] : slice_absent());
	return deferred ? RC_DEFER : RC_FAIL;
}

enum rc session_host_name(struct eval *ev)
{
	struct run *r = ev->hooks_ctx;
	struct error err;
	if (ev->session->host_lookup != HOST_LOOKUP_NONE)
		return smtp_host_name_hook(ev);
	if (pool_blocking_begin(r->w, POOL_FOR_LOOKUP, net_addr_client_key(&r->s->peer), &err))
		return RC_DEFER;
	enum rc rc = smtp_host_name_hook(ev);
	pool_blocking_end(r->w);
	return rc;
}
