/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent/agent: the pool of agents, and what is asked of master. */
#include "agent/agents_private.h"

#include "base/io.h"
#include "thread/cancel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PER_IDENTITY 16U
#define TOTAL        64U
#define IDLE_US      (60 * US_PER_SEC)
#define AGE_US                                                                             \
	(500 * US_PER_SEC) /* master ends one after an hour, a call ends within 50 minutes \
	                    */
#define DOZE_US    (US_PER_SEC / 10)
#define LINE_US    (US_PER_SEC / 2) /* in the line for an agent: hundreds may stand there */
#define RETRY_US   (60 * US_PER_SEC / 1000)
#define IDENTITIES 1024U
#define MASTER_US  (30 * US_PER_SEC) /* for a request of a call without a deadline */

static const char too_many[] = "too many agents started within a second";

static void agent_free(struct agent *g)
{
	if (g->sock >= 0)
		(void)close(g->sock);
	foresight_free(&g->foresight);
	free(g);
}

enum rc agents_new(int link_fd, unsigned per_identity, unsigned total, struct log *log,
    struct agents **out, struct error *err)
{
	struct agents *a = calloc(1, sizeof *a);
	if (!a)
		return error_set(err, RC_ERROR, "no memory for the agents");
	a->link_fd = link_fd;
	a->per_identity = per_identity ? per_identity : PER_IDENTITY;
	a->total = total ? total : TOTAL;
	a->log = log;
	mutex_init(&a->lock, LOCK_agents);
	condvar_init(&a->changed);
	*out = a;
	return RC_OK;
}

/* ---- the line ---- */

static void enlist(struct agents *a, struct place_waiter *me, const char *key) REQUIRES(lk_agents);
static void enlist(struct agents *a, struct place_waiter *me, const char *key)
{
	*me = (struct place_waiter){.key = key};
	gate_init(&me->turn);
	if (a->line_last)
		a->line_last->next = me;
	else
		a->line = me;
	a->line_last = me;
}

static void unlink_waiter(struct agents *a, struct place_waiter *w) REQUIRES(lk_agents);
static void unlink_waiter(struct agents *a, struct place_waiter *w)
{
	struct place_waiter *before = NULL;
	for (struct place_waiter *i = a->line; i != w; i = i->next)
		before = i;
	*(before ? &before->next : &a->line) = w->next;
	if (a->line_last == w)
		a->line_last = before;
}

/* An agent or a place is free: out of the line with the first who waits for one of this identity,
 * else the first at all.  The caller opens its gate, best when it no longer holds the lock. */
static struct place_waiter *next_in_line(struct agents *a, const char *key) REQUIRES(lk_agents);
static struct place_waiter *next_in_line(struct agents *a, const char *key)
{
	struct place_waiter *w = a->line;
	while (w && key && strcmp(w->key, key) != 0)
		w = w->next;
	if (!w)
		w = a->line;
	if (w) {
		unlink_waiter(a, w);
		w->called = true;
	}
	return w;
}

static bool call_next(struct agents *a, const char *key) REQUIRES(lk_agents);
static bool call_next(struct agents *a, const char *key)
{
	struct place_waiter *w = next_in_line(a, key);
	if (w)
		gate_open(&w->turn);
	return w != NULL;
}

/* Wait for one's turn.  An agent was handed over, or NULL: look again. */
static struct agent *await_turn(struct agents *a, struct place_waiter *me, int64_t deadline_us)
    EXCLUDES(lk_agents);
static struct agent *await_turn(struct agents *a, struct place_waiter *me, int64_t deadline_us)
{
	int64_t until = clock_mono_us() + LINE_US;
	if (gate_wait(&me->turn, until < deadline_us ? until : deadline_us))
		return me->given;
	agents_lock(a);
	bool called = me->called;
	if (!called)
		unlink_waiter(a, me);
	agents_unlock(a);
	if (called) /* just now: whoever did it is about to open the gate */
		(void)gate_wait(&me->turn, DEADLINE_NEVER);
	return me->given;
}

void agents_free(struct agents **ap)
{
	struct agents *a = *ap;
	*ap = NULL;
	if (!a)
		return;
	agents_lock(a);
	a->ending = true;
	condvar_broadcast(&a->changed);
	while (call_next(a, NULL))
		;
	while (a->requests)
		agents_doze(a, DEADLINE_NEVER);
	struct agent *idle = a->idle;
	struct identity *ids = a->identities;
	struct user_slot *users = a->users;
	a->idle = NULL;
	a->identities = NULL;
	a->users = NULL;
	agents_unlock(a);
	for (struct agent *next; idle; idle = next) {
		next = idle->next;
		agent_free(idle);
	}
	for (struct identity *next; ids; ids = next) {
		next = ids->next;
		free(ids);
	}
	for (struct user_slot *next; users; users = next) {
		next = users->next;
		free(users);
	}
	condvar_fini(&a->changed);
	mutex_fini(&a->lock);
	free(a);
}

void agents_doze(struct agents *a, int64_t deadline_us)
{
	int64_t until = clock_mono_us() + DOZE_US;
	(void)agents_wait(a, &a->changed, until < deadline_us ? until : deadline_us);
}

/* ---- master
 * ------------------------------------------------------------------------------------------- */

static void forget_request(struct agents *a, struct master_request *r) REQUIRES(lk_agents);
static void forget_request(struct agents *a, struct master_request *r)
{
	struct master_request **p = &a->requests;
	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	if (a->ending)
		condvar_broadcast(&a->changed);
}

static enum rc wait_for_answer(struct agents *a, struct master_request *r, struct cancel *cancel,
    int64_t deadline_us, struct error *err) REQUIRES(lk_agents);
static enum rc wait_for_answer(struct agents *a, struct master_request *r, struct cancel *cancel,
    int64_t deadline_us, struct error *err)
{
	while (!r->answered) {
		if (a->ending)
			return error_set(err, RC_DEFER, "shutting down");
		if (cancel_is_set(cancel))
			return error_set(err, RC_DEFER, "cancelled");
		if (clock_mono_us() >= deadline_us)
			return error_set(err, RC_DEFER, "master did not answer in time");
		agents_doze(a, deadline_us);
	}
	return RC_OK;
}

enum rc agents_ask(struct agents *a, struct link_message *m, struct cancel *cancel,
    int64_t deadline_us, struct master_answer *out, struct error *err)
{
	struct master_request r = {.fd = -1};
	int64_t latest = clock_mono_us() + MASTER_US;
	if (deadline_us > latest)
		deadline_us = latest;
	agents_lock(a);
	r.serial = m->serial = ++a->last_serial;
	r.next = a->requests;
	a->requests = &r;
	agents_unlock(a);
	int sent = link_send(a->link_fd, m, -1);
	int why = errno;
	agents_lock(a);
	enum rc rc = sent == 0 ? wait_for_answer(a, &r, cancel, deadline_us, err)
	                       : error_errno(err, RC_DEFER, why, "asking master");
	forget_request(a, &r);
	agents_unlock(a);
	if (rc != RC_OK) {
		if (r.fd >= 0)
			(void)close(r.fd);
		return rc;
	}
	*out = (struct master_answer){r.answer, r.fd};
	return RC_OK;
}

void agents_answer(struct agents *a, const struct link_message *m, int fd)
{
	agents_lock(a);
	struct master_request *r = a->requests;
	while (r && (r->serial != m->serial || r->answered))
		r = r->next;
	if (r) {
		r->answer = *m;
		r->fd = fd;
		r->answered = true;
		fd = -1;
		condvar_broadcast(&a->changed);
	}
	agents_unlock(a);
	if (fd >= 0)
		(void)close(fd); /* too late: nobody waits any more */
}

/* ---- the pool
 * ----------------------------------------------------------------------------------------- */

static bool is_alive(const struct agent *g)
{
	struct pollfd p = {.fd = g->sock, .events = POLLIN};
	/* one that was idle for long may be about to leave by itself */
	return clock_mono_us() - g->idle_since_us < IDLE_US &&
	       poll(&p, 1, 0) == 0; /* an idle one says nothing: input is as bad as the end */
}

static struct identity *identity_of(struct agents *a, const char *key) REQUIRES(lk_agents);
static struct identity *identity_of(struct agents *a, const char *key)
{
	struct identity **unused = NULL, *i;
	unsigned n = 0;
	for (struct identity **p = &a->identities; (i = *p) != NULL; p = &i->next, n++) {
		if (strcmp(i->key, key) == 0)
			return i;
		if (i->count == 0)
			unused = p;
	}
	if (n >= IDENTITIES && unused) {
		i = *unused;
		*unused = i->next;
	} else {
		i = malloc(sizeof *i);
		MUST(i);
	}
	*i = (struct identity){.next = a->identities};
	memcpy(i->key, key, strlen(key) + 1);
	a->identities = i;
	return i;
}

static void uncount(struct agents *a, const char *key) REQUIRES(lk_agents);
static void uncount(struct agents *a, const char *key)
{
	identity_of(a, key)->count--;
	a->count--;
	(void)call_next(a, key);
}

/* Unlink the first idle one of this identity (NULL: the one that was idle for longest, which is the
 * last). */
static struct agent *unlink_idle(struct agents *a, const char *key) REQUIRES(lk_agents);
static struct agent *unlink_idle(struct agents *a, const char *key)
{
	struct agent **p = &a->idle;
	while (*p && (key ? strcmp((*p)->key, key) != 0 : (*p)->next != NULL))
		p = &(*p)->next;
	struct agent *g = *p;
	if (g)
		*p = g->next;
	return g;
}

/* An idle one, or a place for a new one (*out NULL).  DEFER: neither in time. */
static enum rc reserve(struct agents *a, const char *key, struct cancel *cancel,
    int64_t deadline_us, struct agent **out, struct error *err) EXCLUDES(lk_agents);
static enum rc reserve(struct agents *a, const char *key, struct cancel *cancel,
    int64_t deadline_us, struct agent **out, struct error *err)
{
	enum rc rc = RC_OK;
	struct agent *victim = NULL;
	struct place_waiter me;
	*out = NULL;
	agents_lock(a);
	for (;;) {
		if (a->ending) {
			rc = error_set(err, RC_DEFER, "shutting down");
			break;
		}
		*out = unlink_idle(a, key);
		if (*out)
			break;
		struct identity *id = identity_of(a, key);
		bool fits = id->count < a->per_identity;
		if (fits && a->count >= a->total && (victim = unlink_idle(a, NULL)) != NULL)
			uncount(a, victim->key);
		if (fits && a->count < a->total) {
			id = identity_of(a, key);
			id->count++;
			a->count++;
			break;
		}
		if (cancel_is_set(cancel) || clock_mono_us() >= deadline_us) {
			rc = error_set(err, RC_DEFER, "all agents are at work");
			break;
		}
		enlist(a, &me, key);
		agents_unlock(a);
		*out = await_turn(a, &me, deadline_us);
		if (*out)
			return RC_OK;
		agents_lock(a);
	}
	agents_unlock(a);
	if (victim)
		agent_free(victim);
	return rc;
}

static void pause_for(struct agents *a, int64_t us) EXCLUDES(lk_agents);
static void pause_for(struct agents *a, int64_t us)
{
	int64_t until = clock_mono_us() + us;
	agents_lock(a);
	while (!a->ending && clock_mono_us() < until)
		(void)agents_wait(a, &a->changed, until);
	agents_unlock(a);
}

/* Master's answer, asked again while it only says that there were too many at once. */
static enum rc start_agent(struct agents *a, const struct agent_identity *who,
    struct cancel *cancel, int64_t deadline_us, int *out_sock, struct error *err)
{
	struct link_message m = {.type = LINK_AGENT};
	struct master_answer answer;
	m.number[0] = (who->initgroups ? LINK_AGENT_INITGROUPS : 0) |
	              (who->is_constant ? LINK_AGENT_CONSTANT : 0);
	if (!link_set_text(&m, 0, who->user) || !link_set_text(&m, 1, who->group))
		return error_set(err, RC_ERROR, "the name of a user or group is too long");
	link_put_text(&m, 2, who->purpose);
	for (;;) {
		enum rc rc = agents_ask(a, &m, cancel, deadline_us, &answer, err);
		if (rc != RC_OK)
			return rc;
		const int64_t said = answer.m.number[0];
		const int fd = answer.fd;
		if (said == RC_OK && fd >= 0 && io_cloexec(fd, true) == 0 && io_nonblock(fd) == 0) {
			*out_sock = fd;
			return RC_OK;
		}
		if (fd >= 0)
			(void)close(fd);
		slice_t why = link_get_text(&answer.m, 0);
		bool again = said == RC_DEFER && slice_eqs(why, too_many);
		if (!again || cancel_is_set(cancel) || clock_mono_us() + RETRY_US >= deadline_us)
			return error_set(err, said == RC_FAIL ? RC_FAIL : RC_DEFER,
			    "no agent for user \"%.*s\": %.*s", SL_ARG(who->user), SL_ARG(why));
		pause_for(a, RETRY_US);
	}
}

static void make_key(const struct agent_identity *who, char key[AGENTS_KEY])
{
	char user[LINK_TEXT + 1], group[LINK_TEXT + 1];
	(void)slice_copy(who->user, user, sizeof user); /* more does not go over the link either */
	(void)slice_copy(who->group, group, sizeof group);
	(void)snprintf(
	    key, AGENTS_KEY, "%s\n%s\n%d%d", user, group, who->initgroups, who->is_constant);
}

enum rc agents_take(struct agents *a, const struct agent_identity *who, struct cancel *cancel,
    int64_t deadline_us, struct agent **out, struct error *err)
{
	char key[AGENTS_KEY];
	int64_t latest = clock_mono_us() + 300 * US_PER_SEC;
	struct agent *g;
	make_key(who, key);
	if (deadline_us > latest)
		deadline_us = latest;
	for (;;) {
		enum rc rc = reserve(a, key, cancel, deadline_us, &g, err);
		if (rc != RC_OK)
			return rc;
		if (!g)
			break;
		if (is_alive(g)) {
			*out = g;
			return RC_OK;
		}
		g->broken = true;
		agents_give(a, &g);
	}
	g = calloc(1, sizeof *g);
	MUST(g);
	g->sock = -1;
	g->born_us = clock_mono_us();
	memcpy(g->key, key, sizeof key);
	enum rc rc = start_agent(a, who, cancel, deadline_us, &g->sock, err);
	if (rc != RC_OK) {
		g->broken = true;
		agents_give(a, &g);
		return rc;
	}
	*out = g;
	return RC_OK;
}

void agents_give(struct agents *a, struct agent **gp)
{
	struct agent *g = *gp;
	int64_t now = clock_mono_us();
	*gp = NULL;
	agents_lock(a);
	bool keep = !g->broken && !a->ending && now - g->born_us < AGE_US;
	struct place_waiter *next = NULL;
	if (keep) {
		g->idle_since_us = now;
		next = next_in_line(a, g->key);
		if (next && strcmp(next->key, g->key) == 0) {
			next->given = g;
		} else {
			g->next = a->idle;
			a->idle = g;
		}
	} else {
		uncount(a, g->key);
	}
	agents_unlock(a);
	if (next)
		gate_open(&next->turn);
	if (!keep)
		agent_free(g);
}

uint64_t agents_questions(const struct agents *a)
{
	return atomic_load_explicit(&a->questions, memory_order_relaxed);
}

void agents_tidy(struct agents *a)
{
	int64_t now = clock_mono_us();
	struct agent *old = NULL;
	agents_lock(a);
	for (struct agent **p = &a->idle; *p;) {
		struct agent *g = *p;
		if (now - g->idle_since_us < IDLE_US && now - g->born_us < AGE_US) {
			p = &g->next;
			continue;
		}
		*p = g->next;
		uncount(a, g->key);
		g->next = old;
		old = g;
	}
	agents_unlock(a);
	for (struct agent *next; old; old = next) {
		next = old->next;
		agent_free(old);
	}
}
