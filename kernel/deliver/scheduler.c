/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who is tried when.  One tick a second takes what is due; what was just accepted does not wait for
 * it. */
#include "deliver/deliver_private.h"
#include "smtp/client.h"

#include <stdlib.h>

#define MAX_ACTIVE   200  /* workers that deliver */
#define MAX_ATTEMPTS 2000 /* messages under way, most of them connecting then */
#define TICK         US_PER_SEC
#define EXPIRE_EVERY (300 * US_PER_SEC)
#define LONGEST_PLAN (25 * 3600 * US_PER_SEC) /* retry_interval_max is a day at most */
#define NEVER        INT64_MAX

enum rc deliver_new(const struct deliver_config *cfg, struct deliverer **out, struct error *err)
{
	struct deliverer *d = calloc(1, sizeof *d);

	MUST(d != NULL);
	const struct smtp_clients_config clients = {.tls = cfg->services->tls};
	if (smtp_clients_new(&clients, &d->clients, err) != RC_OK) {
		free(d);
		return RC_DEFER;
	}
	d->cfg = *cfg;
	d->max_active = MAX_ACTIVE;
	d->max_attempts = MAX_ATTEMPTS;
	cancel_init(&d->cancel);
	cancel_init(&d->connecting);
	mutex_init(&d->lock, LOCK_deliver);
	condvar_init(&d->changed);
	deliver_services(cfg->services);
	cfg->services->delivery = &delivery_service;
	cfg->services->message = &message_service;
	cfg->services->hints = cfg->driver_hints ? &hints_service : NULL;
	cfg->services->deliver = d;
	*out = d;
	return RC_OK;
}

void deliver_free(struct deliverer **d)
{
	if (!*d)
		return;
	smtp_clients_free(&(*d)->clients);
	queue_runs_free(*d);
	condvar_fini(&(*d)->changed);
	mutex_fini(&(*d)->lock);
	cancel_fini(&(*d)->cancel);
	cancel_fini(&(*d)->connecting);
	free(*d);
	*d = NULL;
}

struct log *scheduler_log(struct deliverer *d)
{
	struct config *cfg =
	    d->cfg.snapshot && d->cfg.snapshot_log ? d->cfg.snapshot(d->cfg.ctx) : NULL;
	struct log *log = cfg ? d->cfg.snapshot_log(d->cfg.ctx, cfg) : d->cfg.log;

	config_unref(&cfg);
	return log;
}

/* Room for one more attempt?  What is delivered while nothing can be recorded would come again
 * after a restart.  What is fresh has as much room again as what comes out of the queue, so that a
 * queue full of hosts that do not answer keeps nobody waiting. */
static bool take_slot(struct deliverer *d, bool fresh)
{
	if (store_is_stopped(d->cfg.store))
		return false;
	deliverer_lock(d);
	unsigned most = fresh ? d->max_attempts : d->max_attempts / 2;
	bool ok = !d->stopping && d->active < d->max_active && d->attempts < most;
	if (ok) {
		d->active++;
		d->attempts++;
	}
	deliverer_unlock(d);
	return ok;
}

static void give_slot(struct deliverer *d)
{
	deliverer_lock(d);
	d->active--;
	d->attempts--;
	condvar_broadcast(&d->changed);
	deliverer_unlock(d);
}

/* ---- turns
 * -----------------------------------------------------------------------------------------------
 */

/* At most half of the workers are with hosts that failed last time. */
static bool may_begin(const struct deliverer *d, bool is_failing) REQUIRES(lk_deliver)
{
	return !is_failing || d->failing < (d->max_active + 1) / 2;
}

static struct turn *next_turn(struct deliverer *d) REQUIRES(lk_deliver)
{
	for (unsigned i = 0; i < 2; i++) {
		struct turn *t = d->turns[i].first;
		if (!t || !may_begin(d, t->is_failing))
			continue;
		d->turns[i].first = t->next;
		d->failing += t->is_failing;
		return t;
	}
	return NULL;
}

bool scheduler_turn(struct deliverer *d, struct turn *t)
{
	struct turns *q = &d->turns[t->is_failing];

	deliverer_lock(d);
	bool now = d->active < d->max_active && may_begin(d, t->is_failing);
	if (now) {
		d->active++;
		d->failing += t->is_failing;
	} else {
		t->next = NULL;
		*(q->first ? q->end : &q->first) = t;
		q->end = &t->next;
	}
	deliverer_unlock(d);
	return now;
}

/* Whoever waits for it has it now; else it is for a new attempt. */
void scheduler_rest(struct deliverer *d, bool was_failing)
{
	deliverer_lock(d);
	d->failing -= was_failing;
	struct turn *t = next_turn(d);
	if (!t)
		d->active--;
	deliverer_unlock(d);
	if (t)
		pool_submit(d->cfg.pool, &t->job, POOL_DELIVERY);
	else
		scheduler_pump(d);
}

void scheduler_finished(struct deliverer *d, bool was_failing)
{
	struct turn *t;

	deliverer_lock(d);
	d->failing -= was_failing;
	t = next_turn(d);
	if (!t)
		d->active--;
	d->attempts--;
	condvar_broadcast(&d->changed);
	deliverer_unlock(d);
	if (t)
		pool_submit(d->cfg.pool, &t->job, POOL_DELIVERY);
	scheduler_pump(d);
	queue_runs_look(d);
}

int64_t scheduler_forced_at(struct deliverer *d)
{
	deliverer_lock(d);
	int64_t when = d->forced_us;
	deliverer_unlock(d);
	return when;
}

static bool is_open(struct deliverer *d)
{
	deliverer_lock(d);
	bool ok = d->enabled && !d->stopping;
	deliverer_unlock(d);
	return ok;
}

bool scheduler_pause(struct deliverer *d, int64_t us)
{
	int64_t until = clock_mono_us() + us;

	deliverer_lock(d);
	while (!d->stopping && deliverer_wait(d, &d->changed, until))
		;
	bool stopping = d->stopping;
	deliverer_unlock(d);
	return !stopping && !store_is_stopped(d->cfg.store);
}

void scheduler_pump(struct deliverer *d)
{
	while (is_open(d) && queue_index_next(d->cfg.index) <= clock_wall_us() &&
	       take_slot(d, false)) {
		struct queue_entry *e = queue_index_due(d->cfg.index, clock_wall_us());
		if (!e) {
			give_slot(d);
			return;
		}
		attempt_start(d, e, NULL, false);
	}
}

void scheduler_mend_times(struct deliverer *d)
{
	int64_t latest = clock_wall_us() + LONGEST_PLAN;
	struct queue_list l;

	queue_index_list(d->cfg.index, QUEUE_UNORDERED, &l);
	for (size_t i = 0; i < l.count; i++) {
		struct queue_view v;
		queue_entry_view(l.entries[i], &v);
		if (v.state == QUEUE_DEFERRED && v.next_attempt_us > latest &&
		    v.next_attempt_us != NEVER)
			(void)(queue_index_set_next(d->cfg.index, v.id, 0) ==
			       RC_OK); /* gone meanwhile: nothing to do */
	}
	queue_list_free(&l);
}

static void tick(void *arg, enum wake why, struct worker *w)
{
	struct deliverer *d = arg;

	(void)w;
	if (why == WAKE_CANCEL || !is_open(d))
		return;
	if (clock_mono_us() >= d->expire_at_us) {
		d->expire_at_us = clock_mono_us() + EXPIRE_EVERY;
		scheduler_mend_times(d);
		edit_expire_frozen(d);
	}
	smtp_clients_tidy(d->clients);
	scheduler_pump(d);
	queue_runs_look(d);
	(void)timer_add(d->cfg.reactor, clock_mono_us() + TICK, tick, d, NULL);
}

void deliver_enable(struct deliverer *d, bool on)
{
	deliverer_lock(d);
	d->enabled = on;
	bool start = on && !d->ticking;
	d->ticking = d->ticking || on;
	deliverer_unlock(d);
	if (start)
		(void)timer_add(d->cfg.reactor, clock_mono_us(), tick, d, NULL);
}

bool deliver_stop(struct deliverer *d, int64_t deadline_us)
{
	deliverer_lock(d);
	d->stopping = true;
	condvar_broadcast(&d->changed);
	deliverer_unlock(d);
	cancel_set(&d->connecting);
	deliverer_lock(d);
	bool in_time = true;
	while (d->attempts > 0 && in_time)
		in_time = deliverer_wait(d, &d->changed, deadline_us);
	unsigned left = d->attempts;
	deliverer_unlock(d);
	if (left == 0)
		return true;
	cancel_set(&d->cancel); /* what is left gives up at its next wait and stays on the queue */
	deliverer_lock(d);
	for (in_time = true; d->attempts > 0 && in_time;)
		in_time = deliverer_wait(d, &d->changed, deadline_us + 2 * US_PER_SEC);
	left = d->attempts;
	deliverer_unlock(d);
	return left == 0;
}

bool deliver_now(struct deliverer *d, struct message *m, struct queue_entry **entry)
{
	if (!take_slot(d, true)) {
		/* busy: it is due at once, and whoever finishes takes it */
		queue_index_release(d->cfg.index, entry, 0);
		return true;
	}
	struct queue_entry *e = *entry;
	*entry = NULL;
	attempt_start(d, e, message_ref(m), false);
	return true;
}

bool deliver_message(struct deliverer *d, struct queue_id id, bool force)
{
	struct queue_entry *e = queue_index_take(d->cfg.index, id, force);
	struct queue_view v;

	if (!e)
		return false;
	queue_entry_view(e, &v);
	if (v.flags & QUEUE_MSG_FROZEN)
		edit_thaw(d, id);
	if (!take_slot(d, true)) {
		queue_index_release(d->cfg.index, &e, 0);
		return true;
	}
	attempt_start(d, e, NULL, force);
	return true;
}
