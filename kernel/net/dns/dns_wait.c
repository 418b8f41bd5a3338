/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker's wait for an answer or for hosts: its own condition variable, woken by the answer or by
 * the token. */
#include "net/dns/dns_hosts.h"

struct wait {
	struct mutex lock;
	struct condvar woken;
	void *result GUARDED_BY(lk_dns_wait);
	bool cancelled GUARDED_BY(lk_dns_wait);
};

LOCK_FNS(wait, struct wait, lock, lk_dns_wait)

static void wait_init(struct wait *w) NO_TSA /* nobody else knows it yet */
{
	mutex_init(&w->lock, LOCK_dns_wait);
	condvar_init(&w->woken);
	w->result = NULL;
	w->cancelled = false;
}

static void wait_fini(struct wait *w)
{
	condvar_fini(&w->woken);
	mutex_fini(&w->lock);
}

static void put_result(struct wait *w, void *result) EXCLUDES(lk_dns_wait);
static void put_result(struct wait *w, void *result)
{
	wait_lock(w);
	w->result = result;
	condvar_signal(&w->woken);
	wait_unlock(w);
}

static void on_answer(void *arg, struct dns_answer *answer)
{
	put_result(arg, answer);
}

static void on_hosts(void *arg, struct dns_hosts *hosts)
{
	put_result(arg, hosts);
}

static void on_cancel(void *arg)
{
	struct wait *w = arg;

	wait_lock(w);
	w->cancelled = true;
	condvar_signal(&w->woken);
	wait_unlock(w);
}

/* Until there is a result or the token is set.  The resolver keeps the deadline. */
static void wait_for(struct wait *w, struct cancel *cancel) EXCLUDES(lk_dns_wait, lk_cancel);
static void wait_for(struct wait *w, struct cancel *cancel)
{
	struct cancel_listener listener = {.fn = on_cancel, .arg = w};

	if (cancel)
		cancel_listen(cancel, &listener);
	wait_lock(w);
	while (!w->result && !w->cancelled)
		(void)wait_wait(w, &w->woken, DEADLINE_NEVER);
	wait_unlock(w);
	if (cancel)
		cancel_unlisten(cancel, &listener);
}

static void *wait_result(struct wait *w) EXCLUDES(lk_dns_wait);
static void *wait_result(struct wait *w)
{
	wait_lock(w);
	void *result = w->result;
	wait_unlock(w);
	return result;
}

static void free_arena(void *arg)
{
	struct arena *a = arg;

	arena_free(&a);
}

enum rc dns_wait(struct dns_resolver *r, slice_t name, uint16_t type, int64_t deadline_us,
    struct cancel *cancel, struct arena *a, struct dns_answer **out)
{
	struct wait w;
	struct dns_answer *ans;

	wait_init(&w);
	uint64_t id = dns_query(r, name, type, deadline_us, on_answer, &w);
	wait_for(&w, cancel);
	/* false also says that on_answer is out of w. */
	bool dropped = dns_cancel(r, id);
	ans = wait_result(&w);
	wait_fini(&w);
	if (dropped) {
		ans = ARENA_NEW(a, struct dns_answer);
		*ans = (struct dns_answer){.arena = a, .status = DNS_CANCELLED, .qtype = type};
		ans->qname = ans->canon = arena_dup(a, name);
		ans->why = slice_cstr(dns_status_text(DNS_CANCELLED));
	} else {
		arena_on_free(a, free_arena, ans->arena);
	}
	*out = ans;
	return dns_status_rc(ans->status);
}

enum rc dns_mx_hosts_wait(struct dns_resolver *r, slice_t name, unsigned flags, int64_t deadline_us,
    struct cancel *cancel, struct arena *a, struct dns_hosts **out)
{
	struct dns_hosts_query *q = NULL;
	struct wait w;
	struct dns_hosts *hosts;

	wait_init(&w);
	dns_mx_hosts(r, name, flags, deadline_us, on_hosts, &w, &q);
	wait_for(&w, cancel);
	bool dropped = dns_mx_hosts_drop(&q);
	hosts = wait_result(&w);
	wait_fini(&w);
	if (dropped) {
		hosts = ARENA_NEW(a, struct dns_hosts);
		*hosts = (struct dns_hosts){.arena = a, .status = DNS_CANCELLED};
		hosts->canon = arena_dup(a, name);
		hosts->why = slice_cstr(dns_status_text(DNS_CANCELLED));
	} else {
		arena_on_free(a, free_arena, hosts->arena);
	}
	*out = hosts;
	return dns_status_rc(hosts->status);
}
