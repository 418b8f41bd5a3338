/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an administrator does to a message: recorded, then logged. */
#include "deliver/deliver_private.h"

#include <stdlib.h>

static enum rc store_it(
    struct deliverer *d, struct queue_id id, const struct queue_edit *e, struct error *err)
{
	struct arena *a = arena_new(0);
	enum rc rc = store_edit_wait(d->cfg.store, a, id, e, err);

	arena_free(&a);
	return rc;
}

static enum rc freeze(struct deliverer *d, struct queue_id id, bool on, struct error *err)
{
	struct queue_edit e = {
	    .kind = on ? QUEUE_EDIT_FREEZE : QUEUE_EDIT_THAW, .when_us = clock_wall_us()};
	enum rc rc = store_it(d, id, &e, err);

	return rc == RC_OK ? queue_index_freeze(d->cfg.index, id, on, e.when_us) : rc;
}

void edit_thaw(struct deliverer *d, struct queue_id id)
{
	char text[QUEUE_ID_LEN + 1];
	struct error err = {.text = ""};
	struct log *log = scheduler_log(d);

	queue_id_text(id, text);
	if (freeze(d, id, false, &err) == RC_OK)
		log_main(log, slice_cstr(text), "Unfrozen by forced delivery");
	else
		log_panic(log, slice_cstr(text), "thawing could not be recorded: %s", err.text);
}

/* Gone from the store first; only then from memory. */
static enum rc drop(struct deliverer *d, struct queue_id id, struct error *err)
{
	struct arena *a = arena_new(0);
	struct queue_entry *e = queue_index_take(d->cfg.index, id, true);
	enum rc rc;

	if (!e) {
		arena_free(&a);
		return error_set(
		    err, RC_FAIL, "is locked: it is being delivered, or is not on the queue");
	}
	rc = store_finish_wait(d->cfg.store, a, id, err);
	arena_free(&a);
	if (rc != RC_OK) {
		queue_index_release(d->cfg.index, &e, 0);
		return rc;
	}
	rc = queue_index_remove(d->cfg.index, id, err);
	queue_entry_unref(&e);
	return rc;
}

static enum rc give_up(struct deliverer *d, struct queue_id id, struct error *err)
{
	struct queue_edit e = {.kind = QUEUE_EDIT_CANCEL, .when_us = clock_wall_us()};
	enum rc rc = store_it(d, id, &e, err);

	if (rc == RC_OK && !deliver_message(d, id, true))
		return error_set(
		    err, RC_FAIL, "is being delivered; it is given up after this attempt");
	return rc;
}

static void expire_one(struct deliverer *d, const struct queue_view *v, int64_t now_us,
    int64_t keep_ms, int64_t thaw_ms)
{
	struct error err;
	char text[QUEUE_ID_LEN + 1];
	int64_t frozen_ms = (now_us - v->frozen_us) / 1000;

	queue_id_text(v->id, text);
	if (keep_ms > 0 && frozen_ms >= keep_ms) {
		if (drop(d, v->id, &err) == RC_OK) {
			log_main(d->cfg.log, slice_cstr(text), "cancelled by timeout_frozen_after");
			log_main(d->cfg.log, slice_cstr(text), "Completed");
			log_message_done(d->cfg.log, slice_cstr(text));
		}
	} else if (thaw_ms > 0 && frozen_ms >= thaw_ms && freeze(d, v->id, false, &err) == RC_OK) {
		log_main(d->cfg.log, slice_cstr(text), "Unfrozen by auto-thaw");
	}
}

void edit_expire_frozen(struct deliverer *d)
{
	struct config *cfg = d->cfg.snapshot(d->cfg.ctx);
	struct queue_list l;

	if (!cfg)
		return;
	int64_t keep_ms = config_int(cfg, MO_timeout_frozen_after),
	        thaw_ms = config_int(cfg, MO_auto_thaw);
	config_unref(&cfg);
	if (keep_ms <= 0 && thaw_ms <= 0)
		return;
	queue_index_list(d->cfg.index, QUEUE_UNORDERED, &l);
	for (size_t i = 0; i < l.count; i++) {
		struct queue_view v;
		queue_entry_view(l.entries[i], &v);
		if (v.state == QUEUE_FROZEN)
			expire_one(d, &v, clock_wall_us(), keep_ms, thaw_ms);
	}
	queue_list_free(&l);
}

enum rc deliver_edit(
    struct deliverer *d, struct queue_id id, enum admin_edit what, slice_t who, struct error *err)
{
	static const char *const words[] = {[ADMIN_FREEZE] = "frozen by",
	    [ADMIN_THAW] = "unfrozen by",
	    [ADMIN_REMOVE] = "removed by",
	    [ADMIN_GIVE_UP] = "cancelled by"};
	char text[QUEUE_ID_LEN + 1];
	struct queue_entry *e = queue_index_find(d->cfg.index, id);
	enum rc rc;

	if (!e)
		return error_set(err, RC_FAIL, "is not on the queue");
	queue_entry_unref(&e);
	switch (what) {
	case ADMIN_FREEZE:
	case ADMIN_THAW:
		rc = freeze(d, id, what == ADMIN_FREEZE, err);
		break;
	case ADMIN_REMOVE:
		rc = drop(d, id, err);
		break;
	case ADMIN_GIVE_UP:
	default:
		rc = give_up(d, id, err);
		break;
	}
	if (rc != RC_OK)
		return rc;
	queue_id_text(id, text);
	log_main(d->cfg.log, slice_cstr(text), "%s %.*s", words[what], SL_ARG(who));
	if (what == ADMIN_REMOVE) {
		log_main(d->cfg.log, slice_cstr(text), "Completed");
		log_message_done(d->cfg.log, slice_cstr(text));
	}
	return RC_OK;
}
