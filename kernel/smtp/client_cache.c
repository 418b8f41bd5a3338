/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hosts that mail is sent to: how many connections there are, which are free, which hosts had
 * better be left alone. */
#include "smtp/client_private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define HOSTS_MAX  20000U
#define FORGET_US  (3600 * US_PER_SEC)
#define WAIT_SLICE (US_PER_SEC / 4) /* cancellation is seen this late */

static const struct smtp_clients_config defaults = {
    .per_host = 20,
    .unproven = 4,
    .max_failing = 100,
    .max_idle = 200,
    .idle_us = 5 * US_PER_SEC,
    .avoid_us = 5 * US_PER_SEC,
    .unproven_wait_us = 3 * US_PER_SEC,
};

enum rc smtp_clients_new(
    const struct smtp_clients_config *cfg, struct smtp_clients **out, struct error *err)
{
	struct smtp_clients *c = calloc(1, sizeof *c);

	if (!c)
		return error_set(err, RC_DEFER, "out of memory");
	c->cfg = cfg ? *cfg : defaults;
#define OR_DEFAULT(f) c->cfg.f = c->cfg.f ? c->cfg.f : defaults.f
	OR_DEFAULT(per_host);
	OR_DEFAULT(unproven);
	OR_DEFAULT(max_failing);
	OR_DEFAULT(max_idle);
	OR_DEFAULT(idle_us);
	OR_DEFAULT(avoid_us);
	OR_DEFAULT(unproven_wait_us);
#undef OR_DEFAULT
	c->tls = c->cfg.tls;
	if (!c->tls) {
		enum rc rc = tls_contexts_new(&c->tls, err);
		if (rc != RC_OK) {
			free(c);
			return rc;
		}
		c->own_tls = true;
	}
	mutex_init(&c->lock, LOCK_smtp_hosts);
	*out = c;
	return RC_OK;
}

/* If it goes out at once: nobody waits for it. */
static void say_quit(const struct client_conn *c)
{
	static const char quit[] = "QUIT\r\n";
	struct error err;
	size_t put;

	if (c->tls)
		(void)tls_write(c->tls, quit, sizeof quit - 1, &put, &err);
	else
		(void)send(c->fd, quit, sizeof quit - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void conn_free(struct client_conn **pc, bool polite)
{
	struct client_conn *c = *pc;

	*pc = NULL;
	if (!c)
		return;
	if (c->fd >= 0) {
		bool says = polite && !c->broken;
		if (says)
			say_quit(c);
		tls_free(&c->tls, says);
		(void)close(c->fd);
	}
	arena_free(&c->arena);
	free(c->key);
	free(c);
}

static void free_chain(struct client_conn *c)
{
	while (c) {
		struct client_conn *next = c->next;
		conn_free(&c, true);
		c = next;
	}
}

static void host_free(struct client_host *h)
{
	condvar_fini(&h->changed);
	free(h);
}

void smtp_clients_free(struct smtp_clients **pc)
{
	struct smtp_clients *c = *pc;
	struct client_conn *dead = NULL;

	*pc = NULL;
	if (!c)
		return;
	smtp_clients_lock(c);
	MUST(c->n_active == 0);
	for (unsigned i = 0; i < HOST_BUCKETS; i++)
		while (c->hosts[i]) {
			struct client_host *h = c->hosts[i];
			c->hosts[i] = h->next;
			while (h->idle) {
				struct client_conn *k = h->idle;
				h->idle = k->next;
				k->next = dead;
				dead = k;
			}
			host_free(h);
		}
	smtp_clients_unlock(c);
	free_chain(dead);
	mutex_fini(&c->lock);
	if (c->own_tls)
		tls_contexts_free(&c->tls);
	free(c);
}

/* ---- the table
 * ------------------------------------------------------------------------------------------ */

static unsigned bucket_of(const struct net_addr *a)
{
	uint64_t h = hash_bytes(slice_tainted(a->bytes, sizeof a->bytes));

	return (unsigned)((h ^ a->port) % HOST_BUCKETS);
}

/* Move connections that are idle for too long (or all but the youngest `keep`) from the host to
 * *dead. */
static void take_old(struct smtp_clients *c, struct client_host *h, int64_t before_us,
    struct client_conn **dead) REQUIRES(lk_smtp_hosts)
{
	struct client_conn **at = &h->idle;

	while (*at && (*at)->idle_since_us > before_us)
		at = &(*at)->next;
	while (*at) { /* the rest is older still */
		struct client_conn *k = *at;
		*at = k->next;
		h->n_idle--;
		c->n_idle--;
		k->next = *dead;
		*dead = k;
	}
}

static bool is_forgettable(const struct client_host *h, int64_t now)
{
	return h->active == 0 && h->waiting == 0 && !h->idle &&
	       (now - h->seen_us > FORGET_US || (now > h->avoid_until_us && !h->failing));
}

static void sweep(struct smtp_clients *c, int64_t now, struct client_conn **dead)
    REQUIRES(lk_smtp_hosts)
{
	bool crowded = c->n_hosts >= HOSTS_MAX;

	for (unsigned i = 0; i < HOST_BUCKETS; i++)
		for (struct client_host **at = &c->hosts[i]; *at;) {
			struct client_host *h = *at;
			take_old(c, h, now - c->cfg.idle_us, dead);
			bool old = now - h->seen_us > FORGET_US || crowded;
			if (old && is_forgettable(h, now)) {
				*at = h->next;
				c->n_hosts--;
				host_free(h);
			} else {
				at = &h->next;
			}
		}
}

void smtp_clients_tidy(struct smtp_clients *c)
{
	struct client_conn *dead = NULL;

	smtp_clients_lock(c);
	sweep(c, clock_mono_us(), &dead);
	smtp_clients_unlock(c);
	free_chain(dead);
}

static struct client_host *find_host(struct smtp_clients *c, const struct net_addr *a,
    struct client_conn **dead) REQUIRES(lk_smtp_hosts)
{
	struct client_host **at = &c->hosts[bucket_of(a)];

	for (struct client_host *h = *at; h; h = h->next)
		if (net_addr_eq(&h->addr, a) && h->addr.port == a->port)
			return h;
	if (c->n_hosts >= HOSTS_MAX)
		sweep(c, clock_mono_us(), dead);
	struct client_host *h = calloc(1, sizeof *h);
	MUST(h != NULL);
	h->addr = *a;
	condvar_init(&h->changed);
	h->next = *at;
	*at = h;
	c->n_hosts++;
	return h;
}

/* ---- a place at a host
 * ---------------------------------------------------------------------------------- */

static struct client_conn *take_idle(struct client_session *s, struct client_conn **dead)
    REQUIRES(lk_smtp_hosts)
{
	struct client_host *h = s->host;

	for (struct client_conn **at = &h->idle; *at;) {
		struct client_conn *k = *at;
		if (k->key_len != s->t.key.len || memcmp(k->key, s->t.key.ptr, k->key_len) != 0) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		h->n_idle--;
		s->clients->n_idle--;
		if (conn_is_quiet(k)) {
			k->next = NULL;
			k->reused = true;
			return k;
		}
		k->broken = true;
		k->next = *dead;
		*dead = k;
	}
	return NULL;
}

static unsigned limit_of(const struct smtp_clients *c, const struct client_host *h)
{
	return h->proven                           ? c->cfg.per_host
	       : c->cfg.unproven < c->cfg.per_host ? c->cfg.unproven
	                                           : c->cfg.per_host;
}

/* Who holds no thread meanwhile is not counted among those that wait for failing hosts. */
static enum entry try_enter(struct client_session *s, int64_t now, struct client_conn **dead)
    REQUIRES(lk_smtp_hosts)
{
	struct smtp_clients *c = s->clients;
	struct client_host *h = s->host;

	if (s->t.serialize && h->active > 0)
		return ENTRY_WAIT;
	bool full = h->active >= limit_of(c, h);
	if (!full)
		s->conn = take_idle(s, dead);
	if (!s->conn) {
		if (!s->t.forced && !s->t.is_due && now < h->avoid_until_us)
			return ENTRY_AVOID;
		if (full)
			return ENTRY_WAIT;
		bool counts = h->failing && !s->parks;
		if (counts && !s->t.forced && c->n_failing >= c->cfg.max_failing)
			return ENTRY_AVOID;
		s->counts_as_failing = counts;
		c->n_failing += counts;
	}
	h->active++;
	c->n_active++;
	return ENTRY_IN;
}

/* ---- who waits without a thread
 * -------------------------------------------------------------------------- */

static void unqueue(struct client_session *s) REQUIRES(lk_smtp_hosts)
{
	struct client_preparing *p = &s->prep;

	if (!p->link)
		return;
	*p->link = p->next;
	if (p->next)
		p->next->prep.link = p->link;
	else
		s->host->end = p->link;
	p->link = NULL;
	s->host->waiting--;
	s->clients->stats.waiting--;
}

static void enqueue(struct client_session *s) REQUIRES(lk_smtp_hosts)
{
	struct client_host *h = s->host;

	s->prep.next = NULL;
	s->prep.link = h->first ? h->end : &h->first;
	*s->prep.link = s;
	h->end = &s->prep.next;
	h->waiting++; /* it stays in the table */
	s->clients->stats.waiting++;
}

/* There is a place, or a connection, or no hope: whoever it is for need not wait longer.  A
 * connection that was given back is the first one's with its key, not whose comes next by chance.
 */
static void let_in(struct smtp_clients *c, struct client_host *h, struct client_conn **dead)
    REQUIRES(lk_smtp_hosts)
{
	int64_t now = clock_mono_us();

	for (struct client_session *s = h->first, *next; s; s = next) {
		next = s->prep.next;
		if (h->active >= limit_of(c, h) && now >= h->avoid_until_us)
			break;
		enum entry e = try_enter(s, now, dead);
		if (e == ENTRY_WAIT)
			continue;
		unqueue(s);
		s->prep.granted = e;
		c->stats.handed += s->conn != NULL;
		park_post(s->prep.async.reactor, s->prep.ref);
	}
}

static void count_entry(struct smtp_clients *c, const struct client_session *s, enum entry e)
    REQUIRES(lk_smtp_hosts)
{
	if (e == ENTRY_IN && s->conn)
		c->stats.reused++;
	else if (e == ENTRY_IN)
		c->stats.connects++;
	else
		c->stats.avoided++;
}

enum entry cache_try(struct client_session *s, bool queue)
{
	struct smtp_clients *c = s->clients;
	struct client_conn *dead = NULL;

	smtp_clients_lock(c);
	int64_t now = clock_mono_us();
	s->host = find_host(c, &s->t.to, &dead);
	s->host->seen_us = now;
	enum entry e = try_enter(s, now, &dead);
	if (e != ENTRY_WAIT)
		count_entry(c, s, e);
	else if (queue)
		enqueue(s);
	if (e == ENTRY_AVOID || (e == ENTRY_WAIT && !queue))
		s->host = NULL;
	smtp_clients_unlock(c);
	free_chain(dead);
	return e;
}

enum entry cache_granted(struct client_session *s, bool give_up)
{
	struct smtp_clients *c = s->clients;

	smtp_clients_lock(c);
	enum entry e = s->prep.granted;
	if (e != ENTRY_NONE || give_up) {
		unqueue(s);
		count_entry(c, s, e);
		if (e != ENTRY_IN)
			s->host = NULL;
	}
	smtp_clients_unlock(c);
	return e;
}

int64_t cache_place_deadline(struct client_session *s)
{
	struct smtp_clients *c = s->clients;
	int64_t until =
	    s->t.connect_ms > 0 ? s->prep.since_us + s->t.connect_ms * 1000 : DEADLINE_NEVER;

	smtp_clients_lock(c);
	if (s->host && !s->host->proven && s->prep.since_us + c->cfg.unproven_wait_us < until)
		until = s->prep.since_us + c->cfg.unproven_wait_us;
	smtp_clients_unlock(c);
	return until < s->wait.deadline_us ? until : s->wait.deadline_us;
}

/* ---- who waits with one
 * -------------------------------------------------------------------------------- */

static enum entry wait_to_enter(struct client_session *s, struct client_conn **dead)
    REQUIRES(lk_smtp_hosts)
{
	struct smtp_clients *c = s->clients;
	struct client_host *h = s->host;
	int64_t began = clock_mono_us(), now = began;
	enum entry e;

	h->waiting++; /* it stays in the table */
	while ((e = try_enter(s, now, dead)) == ENTRY_WAIT) {
		int64_t until = phase_deadline(s, s->t.connect_ms);
		if (!h->proven && began + c->cfg.unproven_wait_us < until)
			until = began + c->cfg.unproven_wait_us;
		if (now >= until || cancel_is_set(s->wait.cancel))
			break;
		(void)smtp_clients_wait(
		    c, &h->changed, now + WAIT_SLICE < until ? now + WAIT_SLICE : until);
		now = clock_mono_us();
	}
	h->waiting--;
	return e;
}

enum rc cache_refused(struct client_session *s, enum entry e, struct client_outcome *why)
{
	return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "%s",
	    e == ENTRY_AVOID ? "retry time not reached for any host"
	                     : "retry time not reached for any host or connection limit reached");
}

enum rc cache_enter(struct client_session *s, struct client_outcome *why)
{
	struct smtp_clients *c = s->clients;
	struct client_conn *dead = NULL;

	smtp_clients_lock(c);
	s->host = find_host(c, &s->t.to, &dead);
	s->host->seen_us = clock_mono_us();
	enum entry e = wait_to_enter(s, &dead);
	count_entry(c, s, e);
	smtp_clients_unlock(c);
	free_chain(dead);
	if (e == ENTRY_IN)
		return RC_OK;
	s->host = NULL;
	return cache_refused(s, e, why);
}

static bool is_worth_keeping(const struct client_session *s)
{
	const struct client_conn *k = s->conn;

	return k && k->fd >= 0 && k->greeted && !k->broken && k->in_at == k->in_len &&
	       !(k->tls && s->t.tls.no_pass) &&
	       (s->t.max_messages == 0 || k->messages < s->t.max_messages) &&
	       (k->offers.mail_max == 0 || k->mails < k->offers.mail_max);
}

void cache_leave(struct client_session *s)
{
	struct smtp_clients *c = s->clients;
	struct client_host *h = s->host;
	struct client_conn *dead = NULL;
	bool keep = is_worth_keeping(s);

	if (!h)
		return;
	smtp_clients_lock(c);
	int64_t now = clock_mono_us();
	h->seen_us = now;
	h->active--;
	c->n_active--;
	c->n_failing -= s->counts_as_failing;
	s->counts_as_failing = false;
	if (keep && c->n_idle < c->cfg.max_idle && h->n_idle < c->cfg.per_host) {
		s->conn->idle_since_us = now;
		s->conn->reused = false;
		s->conn->next = h->idle;
		h->idle = s->conn;
		h->n_idle++;
		c->n_idle++;
		s->conn = NULL;
	}
	take_old(c, h, now - c->cfg.idle_us, &dead);
	let_in(c, h, &dead);
	condvar_signal(&h->changed);
	smtp_clients_unlock(c);
	s->host = NULL;
	free_chain(dead);
	conn_free(&s->conn, true);
}

void cache_note(struct client_session *s, bool answered)
{
	struct smtp_clients *c = s->clients;
	struct client_host *h = s->host;
	struct client_conn *dead = NULL;

	smtp_clients_lock(c);
	if (s->counts_as_failing && answered) {
		c->n_failing--;
		s->counts_as_failing = false;
	}
	if (answered) {
		bool first = !h->proven;
		h->proven = true;
		h->failing = false;
		h->avoid_until_us = 0;
		if (first) { /* more may come in now */
			let_in(c, h, &dead);
			condvar_broadcast(&h->changed);
		}
	} else {
		h->failing = true;
		h->proven = false;
		h->avoid_until_us = clock_mono_us() + c->cfg.avoid_us;
		let_in(c, h, &dead);
		condvar_broadcast(&h->changed);
	}
	smtp_clients_unlock(c);
	free_chain(dead);
}

bool client_is_failing(struct client_session *s)
{
	smtp_clients_lock(s->clients);
	bool failing = s->host && s->host->failing;
	smtp_clients_unlock(s->clients);
	return failing;
}

bool cache_pipe_connect(struct client_session *s)
{
	smtp_clients_lock(s->clients);
	bool known = s->host->pipe_connect;
	smtp_clients_unlock(s->clients);
	return known;
}

void cache_note_pipe_connect(struct client_session *s, bool offered)
{
	smtp_clients_lock(s->clients);
	s->host->pipe_connect = offered;
	smtp_clients_unlock(s->clients);
}

void cache_count_retry(struct client_session *s)
{
	smtp_clients_lock(s->clients);
	s->clients->stats.retried++;
	smtp_clients_unlock(s->clients);
}

void smtp_clients_stats(struct smtp_clients *c, struct client_stats *out)
{
	smtp_clients_lock(c);
	*out = c->stats;
	out->active = c->n_active;
	out->idle = c->n_idle;
	out->hosts = c->n_hosts;
	smtp_clients_unlock(c);
}
