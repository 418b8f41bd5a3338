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

enum entry { ENTER, WAIT, AVOID };

static enum entry try_enter(struct client_session *s, int64_t now, struct client_conn **dead)
    REQUIRES(lk_smtp_hosts)
{
	struct smtp_clients *c = s->clients;
	struct client_host *h = s->host;
	unsigned limit = h->proven                           ? c->cfg.per_host
	                 : c->cfg.unproven < c->cfg.per_host ? c->cfg.unproven
	                                                     : c->cfg.per_host;

	if (s->t.serialize && h->active > 0)
		return WAIT;
	s->conn = take_idle(s, dead);
	if (!s->conn) {
		if (!s->t.forced && !s->t.is_due && now < h->avoid_until_us)
			return AVOID;
		if (h->active >= limit)
			return WAIT;
		if (h->failing && !s->t.forced && c->n_failing >= c->cfg.max_failing)
			return AVOID;
		s->counts_as_failing = h->failing;
		c->n_failing += h->failing;
	}
	h->active++;
	c->n_active++;
	return ENTER;
}

static enum entry wait_to_enter(struct client_session *s, struct client_conn **dead)
    REQUIRES(lk_smtp_hosts)
{
	struct smtp_clients *c = s->clients;
	struct client_host *h = s->host;
	int64_t began = clock_mono_us(), now = began;
	enum entry e;

	h->waiting++; /* it stays in the table */
	while ((e = try_enter(s, now, dead)) == WAIT) {
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

enum rc cache_enter(struct client_session *s, struct client_outcome *why)
{
	struct smtp_clients *c = s->clients;
	struct client_conn *dead = NULL;

	smtp_clients_lock(c);
	s->host = find_host(c, &s->t.to, &dead);
	s->host->seen_us = clock_mono_us();
	enum entry e = wait_to_enter(s, &dead);
	if (e == ENTER && s->conn)
		c->stats.reused++;
	else if (e == ENTER)
		c->stats.connects++;
	else
		c->stats.avoided++;
	smtp_clients_unlock(c);
	free_chain(dead);
	if (e == ENTER)
		return RC_OK;
	s->host = NULL;
	return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "%s",
	    e == WAIT ? "retry time not reached for any host or connection limit reached"
	              : "retry time not reached for any host");
}

static bool is_worth_keeping(const struct client_session *s)
{
	const struct client_conn *k = s->conn;

	return k && k->fd >= 0 && !k->broken && k->in_at == k->in_len &&
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
		if (first)
			condvar_broadcast(&h->changed); /* more may come in now */
	} else {
		h->failing = true;
		h->proven = false;
		h->avoid_until_us = clock_mono_us() + c->cfg.avoid_us;
		condvar_broadcast(&h->changed);
	}
	smtp_clients_unlock(c);
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
