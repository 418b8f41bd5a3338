/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Queue runs: what waits for one becomes due, and the pump does the rest.  A run that is logged
 * ends when all that it made due has been tried; who finishes an attempt, and the tick, look after
 * that. Threads: any; the list of runs is under the deliverer's lock, and is taken out of it to be
 * looked at.
 */
#include "deliver/deliver_private.h"
#include "expand/regex.h"

#include <stdlib.h>
#include <unistd.h>

#define NEVER        INT64_MAX
#define IN_ORDER_MAX US_PER_SEC /* times so long ago are an order, 0: none */

struct queue_run {
	struct queue_run *next;
	char *label; /* "pid=1 -qf" */
	struct queue_id *ids;
	size_t count, at; /* those before at have been tried */
};

static void run_free(struct queue_run *r)
{
	if (!r)
		return;
	free(r->label);
	free(r->ids);
	free(r);
}

void queue_runs_free(struct deliverer *d)
{
	deliverer_lock(d);
	struct queue_run *r = d->runs;
	d->runs = NULL;
	deliverer_unlock(d);
	while (r) {
		struct queue_run *next = r->next;
		run_free(r);
		r = next;
	}
}

/* In any case of letters. */
static bool contains(slice_t s, slice_t part)
{
	for (uint32_t i = 0; i + part.len <= s.len; i++)
		if (slice_eqi(slice_sub(s, i, part.len), part))
			return true;
	return false;
}

/* What -R and -S ask of an address: a part, or a regular expression; neither: anything will do. */
static bool has_text(struct arena *a, slice_t address, slice_t part, const struct regex *re)
{
	struct error err;
	slice_t whole;
	uint32_t n;

	if (re)
		return regex_match(a, re, address, &whole, 1, &n, &err) == RC_OK;
	return slice_is_absent(part) || contains(address, part);
}

static int compare_ids(struct queue_id a, struct queue_id b)
{
	if (a.seconds != b.seconds)
		return a.seconds < b.seconds ? -1 : 1;
	return a.serial == b.serial ? 0 : a.serial < b.serial ? -1 : 1;
}

static bool is_selected(struct arena *a, const struct queue_entry *e, const struct queue_view *v,
    const struct queue_run_request *r)
{
	enum queue_recipient_state st;

	/* what has been tried waits for its retry time */
	if (r->first_only && v->next_attempt_us && v->next_attempt_us != NEVER)
		return false;
	if ((r->from.seconds && compare_ids(v->id, r->from) < 0) ||
	    (r->to.seconds && compare_ids(v->id, r->to) > 0))
		return false;
	if (!has_text(a, v->sender, r->select_sender, r->sender_regex))
		return false;
	if (slice_is_absent(r->select_recipient) && !r->recipient_regex)
		return true;
	for (uint32_t i = 0; i < v->n_recipients; i++)
		if (has_text(a, queue_entry_recipient(e, i, &st), r->select_recipient,
		        r->recipient_regex) &&
		    st == QUEUE_RCPT_PENDING)
			return true;
	return false;
}

/* deliver_queue_load_max, and more load than that. */
static bool is_overloaded(struct deliverer *d, const struct config *cfg)
{
	slice_t text = config_text(cfg, MO_deliver_queue_load_max);
	double now, max;
	char number[32];

	if (slice_is_absent(text) || !text.len || text.len >= sizeof number)
		return false;
	memcpy(number, text.ptr, text.len);
	number[text.len] = '\0';
	max = strtod(number, NULL);
	if (getloadavg(&now, 1) != 1 || now <= max)
		return false;
	log_main(scheduler_log(d), slice_absent(),
	    "Abandon queue run: pid=%ld (load %.2f, max %.2f)", (long)getpid(), now, max);
	return true;
}

/* "pid=7 -qf -R x", as Exim names a run. */
static char *label_of(const struct queue_run_request *q)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;

	strbuf_init(&sb, a, 0);
	strbuf_printf(&sb, "pid=%ld", (long)getpid());
	if (q->first_only || q->force || q->local_only)
		strbuf_printf(&sb, " -q%s%s%s%s", q->first_only ? "i" : "", q->force ? "f" : "",
		    q->force_frozen ? "f" : "", q->local_only ? "l" : "");
	if (!slice_is_absent(q->select_recipient))
		strbuf_printf(&sb, " -R %.*s", SL_ARG(q->select_recipient));
	if (!slice_is_absent(q->select_sender))
		strbuf_printf(&sb, " -S %.*s", SL_ARG(q->select_sender));
	slice_t text = strbuf_slice(&sb);
	char *made = calloc(1, text.len + 1u);
	MUST(made != NULL);
	memcpy(made, text.ptr, text.len);
	arena_free(&a);
	return made;
}

static void add(struct queue_run *run, struct queue_id id)
{
	if (run)
		run->ids[run->count++] = id;
}

/* NULL: nobody wants to know. */
static struct queue_run *begin(
    struct deliverer *d, const struct queue_run_request *q, size_t capacity)
{
	struct log *log = scheduler_log(d);

	if (!log_selected(log, LOG_QUEUE_RUN))
		return NULL;
	struct queue_run *run = calloc(1, sizeof *run);
	MUST(run != NULL);
	run->label = label_of(q);
	run->ids = calloc(capacity + 1, sizeof *run->ids);
	MUST(run->ids != NULL);
	log_main(log, slice_absent(), "Start queue run: %s", run->label);
	return run;
}

/* Not tried since the run made it due? */
static bool is_open(struct deliverer *d, struct queue_id id)
{
	struct queue_entry *e = queue_index_find(d->cfg.index, id);
	struct queue_view v = {0};

	if (!e)
		return false;
	queue_entry_view(e, &v);
	queue_entry_unref(&e);
	return v.state == QUEUE_ACTIVE ||
	       (v.state == QUEUE_DEFERRED && v.next_attempt_us < IN_ORDER_MAX);
}

static bool is_over(struct deliverer *d, struct queue_run *r)
{
	while (r->at < r->count && !is_open(d, r->ids[r->at]))
		r->at++;
	return r->at == r->count;
}

void queue_runs_look(struct deliverer *d)
{
	deliverer_lock(d);
	struct queue_run *left = d->looking ? NULL : d->runs, *open = NULL;
	if (left) {
		d->looking = true;
		d->runs = NULL;
	}
	deliverer_unlock(d);
	if (!left)
		return;
	while (left) {
		struct queue_run *r = left;
		left = r->next;
		if (is_over(d, r)) {
			log_main(scheduler_log(d), slice_absent(), "End queue run: %s", r->label);
			run_free(r);
		} else {
			r->next = open;
			open = r;
		}
	}
	deliverer_lock(d);
	while (open) {
		struct queue_run *r = open;
		open = r->next;
		r->next = d->runs;
		d->runs = r;
	}
	d->looking = false;
	deliverer_unlock(d);
}

/* Why a message that was asked for is left alone. */
static void log_skipped(struct deliverer *d, struct queue_id id, bool frozen)
{
	char text[QUEUE_ID_LEN + 1];
	struct log *log = scheduler_log(d);

	if (!log_selected(log, LOG_SKIP_DELIVERY))
		return;
	queue_id_text(id, text);
	if (frozen)
		log_main(log, slice_cstr(text), "Message is frozen");
	else
		log_main(log, slice_cstr(text),
		    "Spool file for %s is locked (another process is handling this message)", text);
}

/* when: 0, or its place in queue_run_in_order. */
static void take_one(struct deliverer *d, const struct queue_run_request *r,
    const struct queue_view *v, int64_t now, int64_t when, struct queue_run *run)
{
	bool due = v->next_attempt_us <= now || v->next_attempt_us == NEVER || r->force;

	if (v->state == QUEUE_ACTIVE) {
		log_skipped(d, v->id, false);
	} else if (v->state == QUEUE_FROZEN && !r->force_frozen) {
		log_skipped(d, v->id, true);
	} else if (v->state == QUEUE_FROZEN) {
		if (deliver_message(d, v->id, true))
			add(run, v->id);
	} else if (due && queue_index_set_next(d->cfg.index, v->id, when) == RC_OK) {
		add(run, v->id); /* else it is gone meanwhile: nothing to do */
	}
}

/* What waits for a queue run, or (force) for any time at all, becomes due; the pump does the rest.
 */
void deliver_queue_run(struct deliverer *d, const struct queue_run_request *r)
{
	struct queue_list l;
	struct config *cfg = d->cfg.snapshot(d->cfg.ctx);
	bool in_order = cfg && config_bool(cfg, MO_queue_run_in_order);
	bool late = cfg && is_overloaded(d, cfg);
	int64_t now = clock_wall_us();

	config_unref(&cfg);
	if (late)
		return;
	struct arena *a = arena_new(0);
	scheduler_mend_times(d);
	edit_expire_frozen(d);
	if (r->force) {
		deliverer_lock(d);
		d->forced_us = now;
		deliverer_unlock(d);
	}
	queue_index_list(d->cfg.index, in_order ? QUEUE_BY_ID : QUEUE_UNORDERED, &l);
	struct queue_run *run = begin(d, r, l.count);
	for (size_t i = 0; i < l.count; i++) {
		struct queue_view v;
		queue_entry_view(l.entries[i], &v);
		int64_t place = (int64_t)(i < IN_ORDER_MAX - 1 ? i + 1 : IN_ORDER_MAX - 1);
		if (is_selected(a, l.entries[i], &v, r))
			take_one(d, r, &v, now, in_order ? place : 0, run);
	}
	queue_list_free(&l);
	arena_free(&a);
	if (run) {
		deliverer_lock(d);
		run->next = d->runs;
		d->runs = run;
		deliverer_unlock(d);
	}
	scheduler_pump(d);
	queue_runs_look(d);
}
