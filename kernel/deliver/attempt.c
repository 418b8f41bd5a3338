/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One attempt at one message.  Order: route, deliver group by group, bounce what failed, and only
 * then record what is final; a crash at any point repeats at most what was not yet recorded.
 */
#include "deliver/delivery.h"
#include "deliver/load.h"
#include "hints/hints.h"
#include "message/fixups.h"
#include "smtp/client.h"

#include <stdlib.h>

#define ATTEMPT_TIME  (3600 * US_PER_SEC)
#define BUSY_AGAIN    (2 * US_PER_SEC)
#define TROUBLE_AGAIN (60 * US_PER_SEC)
#define SHORTEST_WAIT (US_PER_SEC / 5)
#define LONGEST_WAIT  (30 * US_PER_SEC)
#define NEVER         INT64_MAX
#define AS_IT_WAS     (-1) /* struct queue_progress: the message's next attempt */

const struct address *address_top(const struct address *a)
{
	while (a->parent)
		a = a->parent;
	return a;
}

/* What an address is called in the notes: recipient, where it ends and through which transport; of
 * commands and replies also who made it, as the same command for two of them is two deliveries. */
slice_t address_note(struct arena *a, const struct address *x)
{
	slice_t by = x->transport ? x->transport->name : SL("-");
	slice_t of = x->parent && (x->kind == ADDRESS_PIPE || x->kind == ADDRESS_REPLY)
	                 ? x->parent->text
	                 : SL("");
	slice_t key = arena_printf(a, "%c%u %.*s %.*s %.*s", (int)('0' + (int)x->kind),
	    x->recipient, SL_ARG(by), SL_ARG(of), SL_ARG(x->text));

	for (uint32_t i = 0; i < key.len; i++) /* one note is one line */
		if (key.ptr[i] == '\n')
			((char *)(uintptr_t)key.ptr)[i] = ' ';
	return key;
}

static void read_notes(struct attempt *t)
{
	t->done = map_new(t->arena, MAP_EXACT);
	for (size_t i = 0; i < t->state.n_notes; i++) {
		slice_t rest = t->state.notes[i], line;
		while (slice_next(&rest, '\n', &line))
			if (line.len)
				map_put(t->done, line, t);
	}
}

static enum rc load(struct attempt *t, struct error *err)
{
	enum rc rc = RC_OK;

	if (t->m)
		load_fresh(t->arena, t->m, t->id, &t->state);
	else
		rc = load_message(t->d->cfg.store, t->id, &t->m, &t->state, err);
	if (rc == RC_OK)
		read_notes(t);
	return rc;
}

/* acl_c and acl_m: ${acl} may set them */
static struct map *variables_copy(struct arena *a, const struct map *from)
{
	struct map *to = from ? map_new(a, MAP_EXACT) : NULL;
	size_t pos = 0;
	slice_t name;
	void *value;

	while (from && map_next(from, &pos, &name, &value)) {
		slice_t *v = ARENA_NEW(a, slice_t);
		*v = *(const slice_t *)value;
		(void)map_put(to, name, v);
	}
	return to;
}

void attempt_own_facts(struct attempt *t)
{
	t->session.arena = t->facts.arena = t->ev.arena = t->arena;
	t->session.acl_c = variables_copy(t->arena, t->session.acl_c);
	t->facts.acl_m = variables_copy(t->arena, t->facts.acl_m);
	t->ev.session = &t->session;
	t->ev.message = &t->facts;
}

static void set_up_eval(struct attempt *t)
{
	const struct message *m = t->m;
	slice_t *to = ARENA_ARRAY(t->arena, slice_t, m->recipient_count + 1u);

	for (uint32_t i = 0; i < m->recipient_count; i++)
		to[i] = m->recipients[i].address;
	t->session = m->session;
	t->facts = m->facts;
	t->facts.id = t->id_text;
	t->facts.sender_address = m->sender;
	t->facts.recipients = to;
	t->facts.recipients_count = m->recipient_count;
	t->facts.headers =
	    (struct header_list *)(uintptr_t)&m->headers; /* read only by what a delivery expands */
	t->facts.message_size = (int64_t)m->size_bytes;
	t->facts.body_size = (int64_t)m->body.bytes;
	t->facts.received_time_us = m->received_us;
	t->facts.first_delivery = t->state.n_notes == 0;
	eval_init(&t->ev, t->arena, t->cfg);
	attempt_own_facts(t);
	t->ev.process = config_process(t->cfg);
	t->ev.hooks = t->d->cfg.eval_hooks;
	t->ev.services = t->d->cfg.services;
	t->ev.log = t->log;
	t->ev.worker = t->worker;
	t->ev.cancel = &t->d->cancel;
	t->ev.deadline_us = t->began_us + ATTEMPT_TIME;
}

/* Its time has come, or somebody does not want to wait: a forced attempt, a queue run since it was
 * last tried. */
static bool is_due(
    const struct attempt *t, const struct queue_recipient *r, int64_t now_us, int64_t forced_us)
{
	const struct retry_state rs = retry_decode(r->retry);

	if (retry_is_from_ahead(rs.last_try_us, now_us) || t->forced ||
	    r->next_attempt_us <= now_us || r->next_attempt_us == NEVER)
		return true;
	/* its hosts are asked about when it is routed: one of them may be up again */
	bool hosts_know = rs.by_host && t->d->cfg.hints && hints_is_open(t->d->cfg.hints);
	return hosts_know || rs.last_try_us < forced_us;
}

/* What no router is asked about. */
static void decide_early(struct attempt *t, struct address *a)
{
	if (t->state.flags & QUEUE_MSG_CANCELLED) {
		a->result = ROUTE_FAILED;
		a->shown = a->logged = SL("delivery cancelled by administrator");
	} else if ((int64_t)message_received_count(&t->m->headers) >
	           config_int(t->cfg, MO_received_headers_max)) {
		a->result = ROUTE_FAILED;
		a->logged = SL("Too many \"Received\" headers - suspected mail loop");
		a->is_untold = true;
	}
}

static void route(struct attempt *t)
{
	struct error err = {.text = ""};
	int64_t now = clock_wall_us(), forced = scheduler_forced_at(t->d);

	routing_init(&t->routing, t->arena, &t->ev, 0);
	t->routing.attempt = t;
	t->left = ARENA_ARRAY(t->arena, uint32_t, t->state.n_recipients + 1);
	t->immediate = ARENA_ARRAY(t->arena, bool, t->state.n_recipients + 1);
	t->good = ARENA_ARRAY(t->arena, struct good_news, t->state.n_recipients + 1);
	for (uint32_t i = 0; i < t->state.n_recipients; i++) {
		struct queue_recipient *r = &t->state.recipients[i];
		if (r->state != QUEUE_RCPT_PENDING)
			continue;
		if (!is_due(t, r, now, forced)) {
			t->left[i]++; /* not yet: stays as it is */
			continue;
		}
		if (waiting_recipient(t, i, forced))
			continue;
		if (retry_address_waits(t, r, &r->next_attempt_us)) {
			line_waits(t, r->address);
			t->left[i]++;
			continue;
		}
		struct address *a = routing_add(&t->routing, r->address, i);
		if (!slice_is_absent(t->m->recipients[i].errors_to) &&
		    t->m->recipients[i].errors_to.ptr)
			a->errors_to = t->m->recipients[i].errors_to;
		decide_early(t, a);
	}
	(void)routing_run(
	    &t->routing, &err); /* what it could not reach is deferred, each with its reason */
}

/* ---- what came of it
 * ------------------------------------------------------------------------------------ */

/* Not tried at all: it is no failure, only later. */
static void leave_waiting(
    struct attempt *t, struct address *a, const struct group *g, const struct outcome *o)
{
	struct queue_recipient *r = &t->state.recipients[a->recipient];
	struct retry_state kept = retry_decode(r->retry);
	int64_t now = clock_wall_us();

	if (log_selected(t->log, LOG_RETRY_DEFER))
		line_deferred(t, a, g, o);
	if (kept.first_failed_us == 0)
		kept.first_failed_us = kept.last_try_us = now;
	kept.tries += kept.tries == 0;
	kept.by_host = !g->is_local;
	kept.why = o->text;
	r->retry = retry_encode(t->arena, &kept);
	if (r->next_attempt_us <= now || o->waits_until_us < r->next_attempt_us)
		r->next_attempt_us = o->waits_until_us;
}

/* For the bounce: "host NAME [ADDRESS]", what went before the answer, the answer; and apart for its
 * report. */
static void quote_host(
    struct attempt *t, struct address *a, const struct heddle_route_host *h, slice_t text)
{
	size_t at = 0;

	while (at + 1 < text.len && !(text.ptr[at] == ':' && text.ptr[at + 1] == ' '))
		at++;
	if (at + 1 >= text.len)
		return;
	a->remote_host = h->name;
	a->remote_reply = slice_sub(text, at + 2, text.len);
	a->shown = arena_printf(t->arena, "host %.*s [%.*s]\n%.*s\n%.*s", SL_ARG(h->name),
	    SL_ARG(h->address), SL_ARG(slice_sub(text, 0, at + 1)), SL_ARG(a->remote_reply));
}

static bool try_again(
    struct attempt *t, struct address *a, const struct group *g, const struct outcome *o)
{
	struct queue_recipient *r = &t->state.recipients[a->recipient];
	struct retry_state rs = retry_decode(r->retry);
	int64_t now = clock_wall_us(), next;

	line_deferred(t, a, g, o);
	/* only what a router wants to be said, and that a mailbox is full, is for the sender */
	slice_t said = o && (o->about & HEDDLE_X_QUOTA)   ? SL("mailbox is full")
	               : !o && !slice_is_absent(a->shown) ? a->shown
	                                                  : SL("");
	a->shown = said;
	if (o && o->smtp && g && o->host >= 0 && (size_t)o->host < g->hosts->count)
		quote_host(
		    t, a, VEC_AT(g->hosts, struct heddle_route_host, (size_t)o->host), o->text);
	if (o)
		a->logged = o->text;
	if (rs.first_failed_us == 0)
		rs.first_failed_us = now;
	rs.last_try_us = now;
	rs.tries++;
	rs.why = o ? o->text : a->logged;
	if (!retry_failed(t, a, g, o, &rs, now, &next)) {
		a->logged = rs.why;
		a->shown = arena_printf(
		    t->arena, "%.*s%sretry timeout exceeded", SL_ARG(said), said.len ? ": " : "");
		a->is_untold = false;
		return false;
	}
	r->retry = retry_encode(t->arena, &rs);
	/* of several children the earliest counts */
	if (r->next_attempt_us <= now || next < r->next_attempt_us)
		r->next_attempt_us = next;
	return true;
}

static void give_up_or_defer(
    struct attempt *t, struct address *a, const struct group *g, const struct outcome *o)
{
	if (g && o && o->waits_until_us) {
		leave_waiting(t, a, g, o);
	} else if (!try_again(t, a, g, o)) {
		a->result = ROUTE_FAILED;
		struct outcome late = {.is_set = true,
		    .result = RC_FAIL,
		    .host = -1,
		    .text = SL("retry timeout exceeded")};
		line_failed(t, a, NULL, &late);
		*VEC_PUSH(t->arena, &t->failed, struct address *) = a;
		return;
	}
	a->result = ROUTE_DEFERRED;
	t->left[a->recipient]++;
	*VEC_PUSH(t->arena, &t->deferred, struct address *) = a;
}

/* Of a delivery here the sender hears what the driver wants to be said, not what the log says. */
static void show_local(struct address *a, const struct group *g)
{
	slice_t rest = g->shown, line = slice_absent();

	(void)slice_next(&rest, '\n', &line);
	a->is_untold = slice_is_absent(line) || line.len == 0;
	a->shown = line;
	if (!slice_is_absent(rest))
		a->output = rest;
}

static void fail_address(
    struct attempt *t, struct address *a, const struct group *g, const struct outcome *o)
{
	line_failed(t, a, g, o);
	a->result = ROUTE_FAILED;
	if (o) {
		a->shown = o->text;
		a->smtp_code = o->smtp;
		if (!o->smtp) /* nobody else's words: the code is ours */
			memcpy(a->status, o->enhanced, sizeof a->status);
		if (o->smtp && g && o->host >= 0 && (size_t)o->host < g->hosts->count)
			quote_host(t, a,
			    VEC_AT(g->hosts, struct heddle_route_host, (size_t)o->host), o->text);
		if (!o->smtp && g && g->is_local)
			show_local(a, g);
	}
	*VEC_PUSH(t->arena, &t->failed, struct address *) = a;
}

/* Of a recipient that ends in more than one place, what need not be done again. */
static void note_final(struct attempt *t, const struct address *a)
{
	if (a->parent || a->is_copied) {
		strbuf_add(&t->note, address_note(t->arena, a));
		strbuf_char(&t->note, '\n');
	}
}

static void after_routing(struct attempt *t)
{
	for (size_t i = 0; i < t->routing.addresses.count; i++) {
		struct address *a = *VEC_AT(&t->routing.addresses, struct address *, i);
		if (a->result != ROUTE_DEFERRED && a->result != ROUTE_FROZEN)
			retry_forget(t, a, NULL);
		switch (a->result) {
		case ROUTE_FAILED:
			if (map_get(t->done, address_note(t->arena, a)))
				a->result = ROUTE_DUPLICATE; /* its sender has been told */
			else
				fail_address(t, a, NULL, NULL);
			break;
		case ROUTE_FROZEN:
			t->freeze = true;
			give_up_or_defer(t, a, NULL, NULL);
			break;
		case ROUTE_DEFERRED:
			give_up_or_defer(t, a, NULL, NULL);
			break;
		case ROUTE_DISCARDED:
			if (!map_get(t->done, address_note(t->arena, a))) {
				line_discarded(t, a);
				note_final(t, a);
			}
			break;
		case ROUTE_DELIVER:
			if (map_get(t->done, address_note(t->arena, a)))
				a->result =
				    ROUTE_DUPLICATE; /* an earlier attempt has delivered it */
			else if (waiting_routed(t, a))
				a->result = ROUTE_DEFERRED;
			break;
		case ROUTE_UNDONE:
		case ROUTE_REDIRECTED:
		case ROUTE_DUPLICATE:
			break;
		}
	}
}

/* NOTIFY=SUCCESS: unless the next server has taken that over. */
static void note_good_news(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o)
{
	struct good_news *n = &t->good[a->recipient];

	if (!(t->m->recipients[a->recipient].dsn_flags & HEDDLE_DSN_SUCCESS) ||
	    (o->about & HEDDLE_X_DSN) || (o->via && (o->via->used & CLIENT_USED_DSN)))
		return;
	n->is_due = true;
	n->relayed = !g->is_local;
	if (o->host >= 0 && (size_t)o->host < g->hosts->count)
		n->host = VEC_AT(g->hosts, struct heddle_route_host, (size_t)o->host)->name;
}

static void settle_group(struct attempt *t, struct group *g)
{
	bool any = false;

	if (g->untouched) {
		retry_unclaim_hosts(t, g);
		VEC_FOREACH(&g->addresses, struct address *, a)
		{
			(*a)->result = ROUTE_DEFERRED;
			t->left[(*a)->recipient]++; /* as it was */
		}
		return;
	}
	if (!g->is_local)
		retry_settle_hosts(t, g);
	for (size_t i = 0; i < g->addresses.count; i++)
		any = any || g->outcomes[i].result == RC_OK;
	if (any)
		line_delivered(t, g);
	for (size_t i = 0; i < g->addresses.count; i++) {
		struct address *a = *VEC_AT(&g->addresses, struct address *, i);
		struct outcome *o = &g->outcomes[i];
		if (o->result == RC_OK || (o->result == RC_FAIL && o->host >= 0))
			retry_forget(t, a, g);
		if (o->result == RC_OK) {
			note_final(t, a);
			note_good_news(t, a, g, o);
		} else if (o->result == RC_FAIL)
			fail_address(t, a, g, o);
		else
			give_up_or_defer(t, a, g, o);
		if (o->about & HEDDLE_X_FREEZE)
			t->freeze = true;
	}
}

/* ---- recording
 * ------------------------------------------------------------------------------------------ */

/* A recipient is through when nothing below it is left; it counts as failed if any of it failed. */
static size_t collect_outcomes(
    struct attempt *t, struct queue_outcome *out, bool *all_done, int64_t *next)
{
	size_t n = 0;

	*all_done = true;
	*next = NEVER;
	for (uint32_t i = 0; i < t->state.n_recipients; i++) {
		struct queue_recipient *r = &t->state.recipients[i];
		if (r->state != QUEUE_RCPT_PENDING)
			continue;
		if (t->left[i] == 0) {
			r->state = QUEUE_RCPT_DELIVERED;
			VEC_FOREACH(&t->failed, struct address *, a)
			if ((*a)->recipient == i)
				r->state = QUEUE_RCPT_FAILED;
		} else {
			*all_done = false;
			if (r->next_attempt_us < *next)
				*next = r->next_attempt_us;
		}
		out[n++] = (struct queue_outcome){.recipient = i,
		    .state = r->state,
		    .next_attempt_us = r->next_attempt_us,
		    .retry = r->retry};
	}
	return n;
}

/* Nothing is begun before what it depends on is on record.  No room for that: the attempt waits,
 * and keeps its place among those that may be under way, so that no more is done than can be
 * recorded. What is not RC_OK then will not be: the process ends, or the store has stopped. */
static enum rc insist(struct attempt *t, const char *what,
    enum rc (*step)(struct attempt *t, void *arg, struct error *err), void *arg, struct error *err)
{
	enum rc rc = step(t, arg, err);
	int64_t wait = SHORTEST_WAIT;

	if (rc == RC_DEFER)
		log_panic(t->log, t->id_text, "%s, and waits for that: %s", what, err->text);
	for (; rc == RC_DEFER && scheduler_pause(t->d, wait); rc = step(t, arg, err))
		wait = wait < LONGEST_WAIT ? wait * 2 : LONGEST_WAIT;
	return rc;
}

static enum rc progress_step(struct attempt *t, void *arg, struct error *err)
{
	return store_progress_wait(t->d->cfg.store, t->arena, arg, 1, err);
}

static enum rc finish_step(struct attempt *t, void *arg, struct error *err)
{
	(void)arg;
	return store_finish_wait(t->d->cfg.store, t->arena, t->id, err);
}

static enum rc success_step(struct attempt *t, void *arg, struct error *err)
{
	(void)arg;
	return bounce_send_success(t, err);
}

static enum rc bounce_step(struct attempt *t, void *told, struct error *err)
{
	return t->failed.count ? bounce_send(t, told, err) : RC_OK;
}

static enum rc record(
    struct attempt *t, const struct queue_outcome *o, size_t n, int64_t next, struct error *err)
{
	struct queue_progress p = {.id = t->id,
	    .outcomes = o,
	    .n_outcomes = n,
	    .next_attempt_us = next,
	    .note = strbuf_slice(&t->note)};

	return insist(t, "the attempt could not be recorded", progress_step, &p, err);
}

/* Between groups: what was delivered is on record before the next group is begun.  false: it cannot
 * be. */
static bool record_between(struct attempt *t)
{
	struct error err;
	struct queue_outcome *o =
	    ARENA_ARRAY(t->arena, struct queue_outcome, t->state.n_recipients + 1);
	size_t n = 0;

	if (strbuf_slice(&t->note).len == 0 && t->state.n_recipients == 1)
		return true;
	uint32_t *open = ARENA_ARRAY(t->arena, uint32_t, t->state.n_recipients + 1);
	VEC_FOREACH(&t->groups, struct group *, g)
	VEC_FOREACH(&(*g)->addresses, struct address *, a)
	if (!(*g)->outcomes || !(*g)->outcomes[0].is_set)
		open[(*a)->recipient]++;
	for (uint32_t i = 0; i < t->state.n_recipients; i++)
		if (t->state.recipients[i].state == QUEUE_RCPT_PENDING && t->left[i] == 0 &&
		    open[i] == 0 && t->failed.count == 0)
			o[n++] =
			    (struct queue_outcome){.recipient = i, .state = QUEUE_RCPT_DELIVERED};
	if (record(t, o, n, AS_IT_WAS, &err) != RC_OK) {
		log_panic(t->log, t->id_text, "delivery could not be recorded: %s", err.text);
		return false;
	}
	strbuf_reset(&t->note);
	return true;
}

static void give_back(struct attempt *t, int64_t next)
{
	lines_keep(t);
	queue_index_release(t->d->cfg.index, &t->entry, next);
}

static void freeze_now(struct attempt *t)
{
	struct queue_edit e = {.kind = QUEUE_EDIT_FREEZE, .when_us = clock_wall_us()};
	struct error err;

	if (store_edit_wait(t->d->cfg.store, t->arena, t->id, &e, &err) != RC_OK)
		log_panic(t->log, t->id_text, "freezing could not be recorded: %s", err.text);
	if (queue_index_freeze(t->d->cfg.index, t->id, true, e.when_us) == RC_OK)
		log_main(t->log, t->id_text, "%s",
		    t->bounce_failed ? "Frozen (delivery error message)" : "Frozen");
	if (t->m)
		bounce_tell_frozen(t);
}

static void complete(struct attempt *t)
{
	struct error err;

	if (insist(t, "completion could not be recorded", finish_step, NULL, &err) != RC_OK) {
		/* delivered, and not on record: the states in the index keep it from being
		 * delivered again by this process */
		log_panic(t->log, t->id_text, "completion could not be recorded: %s", err.text);
		give_back(t, clock_wall_us() + TROUBLE_AGAIN);
		return;
	}
	line_completed(t);
	log_message_done(t->log, t->id_text);
	if (queue_index_remove(t->d->cfg.index, t->id, &err) != RC_OK)
		log_panic(t->log, t->id_text, "%s", err.text);
	queue_entry_unref(&t->entry);
}

/* The sender is told.  If that cannot be, the failures stand over, and only they. */
static void tell_sender(struct attempt *t)
{
	static const char what[] = "the bounce could not be queued";
	struct error err = {.text = ""};
	struct map *told = map_new(t->arena, MAP_EXACT);

	if (insist(t, what, success_step, NULL, &err) == RC_OK &&
	    insist(t, what, bounce_step, told, &err) == RC_OK) {
		VEC_FOREACH(&t->failed, struct address *, a)
		if (t->left[(*a)->recipient] && t->m->sender.len)
			note_final(t, *a); /* what is left of the recipient will be tried again */
		return;
	}
	log_panic(t->log, t->id_text,
	    "the bounce could not be queued, so the failure stands over: %s", err.text);
	VEC_FOREACH(&t->failed, struct address *, a)
	{
		t->left[(*a)->recipient]++;
		t->state.recipients[(*a)->recipient].next_attempt_us =
		    clock_wall_us() + TROUBLE_AGAIN;
	}
}

static void finish(struct attempt *t)
{
	struct error err = {.text = ""};
	struct queue_outcome *o = ARENA_ARRAY(
	    t->arena, struct queue_outcome, t->state.n_recipients + t->deferred.count + 1);
	bool all_done;
	int64_t next;

	tell_sender(t);
	size_t n = collect_outcomes(t, o, &all_done, &next);
	for (size_t i = 0; i < n; i++)
		if (o[i].state != QUEUE_RCPT_PENDING)
			(void)(queue_index_set_recipient(
			           t->d->cfg.index, t->id, o[i].recipient, o[i].state) == RC_OK);
	if (all_done && !t->freeze) {
		complete(t);
		return;
	}
	if (t->deferred.count && bounce_send_warning(t, &err) != RC_OK)
		log_panic(t->log, t->id_text, "a warning could not be queued: %s", err.text);
	one_time_settle(t, o, &n);
	if (n && record(t, o, n, all_done ? AS_IT_WAS : next, &err) != RC_OK)
		log_panic(t->log, t->id_text, "the attempt could not be recorded: %s", err.text);
	if (t->freeze)
		freeze_now(t);
	give_back(t, next);
}

/* ---- the run
 * -------------------------------------------------------------------------------------------- */

/* Nothing is begun any more in this attempt. */
static void all_wait(struct group *g)
{
	for (size_t i = 0; i < g->addresses.count; i++)
		g->outcomes[i] = (struct outcome){.is_set = true,
		    .result = RC_DEFER,
		    .host = -1,
		    .text = SL("an earlier delivery could not be recorded"),
		    .waits_until_us = clock_wall_us() + TROUBLE_AGAIN};
}

static void settle_remote(struct attempt *t)
{
	VEC_FOREACH(&t->remote, struct group *, g)
	settle_group(t, *g);
}

/* Local ones one after the other, each on record before the next; then the remote ones side by
 * side.  False: these go on elsewhere, and t is not ours any more. */
static bool deliver_groups(struct attempt *t)
{
	groups_make(t);
	for (size_t i = 0; i < t->groups.count; i++) {
		struct group *g = *VEC_AT(&t->groups, struct group *, i);
		if (!g->is_local) {
			*VEC_PUSH(t->arena, &t->remote, struct group *) = g;
			continue;
		}
		if (t->unrecorded)
			all_wait(g);
		else if (!retry_local_waits(t, g))
			attempt_deliver_group(t, g);
		settle_group(t, g);
		if (i + 1 < t->groups.count && !t->unrecorded)
			t->unrecorded = !record_between(t);
	}
	if (t->remote.count == 0)
		return true;
	if (!t->unrecorded)
		waiting_sort(t, VEC_AT(&t->remote, struct group *, 0), t->remote.count);
	if (!t->unrecorded && !parallel_deliver(t))
		return false;
	for (size_t i = 0; t->unrecorded && i < t->remote.count; i++)
		all_wait(*VEC_AT(&t->remote, struct group *, i));
	settle_remote(t);
	return true;
}

/* Nothing may keep a damaged message from being seen: it is frozen, and named. */
static void cannot_load(struct attempt *t, enum rc rc, const struct error *err)
{
	log_panic(t->log, t->id_text, "the message could not be read: %s", err->text);
	if (rc == RC_FAIL || rc == RC_ERROR)
		freeze_now(t);
	give_back(t, clock_wall_us() + TROUBLE_AGAIN);
}

static void free_attempt(struct attempt *t, bool was_failing)
{
	struct deliverer *d = t->d;

	VEC_FOREACH(&t->groups, struct group *, g)
	arena_free(&(*g)->arena);
	message_unref(&t->m);
	config_unref(&t->cfg);
	arena_free(&t->arena);
	free(t);
	scheduler_finished(d, was_failing);
}

void attempt_settle_remote(struct attempt *t, struct worker *w, bool was_failing)
{
	t->worker = t->ev.worker = w;
	settle_remote(t);
	finish(t);
	free_attempt(t, was_failing);
}

/* Recipients that this process has dealt with, whatever the store was able to record. */
static void trust_index(struct attempt *t)
{
	for (uint32_t i = 0; i < t->state.n_recipients; i++) {
		enum queue_recipient_state st;
		(void)queue_entry_recipient(t->entry, i, &st);
		if (st != QUEUE_RCPT_PENDING)
			t->state.recipients[i].state = st;
	}
}

static void attempt_run(struct job *job, struct worker *w)
{
	struct attempt *t = (struct attempt *)(void *)job;
	struct error err = {.text = ""};
	struct queue_view v;

	t->worker = w;
	t->began_us = clock_mono_us();
	t->cfg = t->d->cfg.snapshot(t->d->cfg.ctx);
	t->log =
	    t->d->cfg.snapshot_log ? t->d->cfg.snapshot_log(t->d->cfg.ctx, t->cfg) : t->d->cfg.log;
	if (!t->cfg || pool_blocking_begin(w, POOL_FOR_DELIVER, 0, &err) != RC_OK) {
		queue_index_release(t->d->cfg.index, &t->entry, clock_wall_us() + BUSY_AGAIN);
		free_attempt(t, false);
		return;
	}
	enum rc rc = load(t, &err);
	if (rc != RC_OK) {
		cannot_load(t, rc, &err);
	} else {
		queue_entry_view(t->entry, &v);
		trust_index(t);
		set_up_eval(t);
		strbuf_init(&t->note, t->arena, 0);
		route(t);
		after_routing(t);
		if (!deliver_groups(t)) {
			pool_blocking_end(w);
			return;
		}
		finish(t);
	}
	pool_blocking_end(w);
	free_attempt(t, false);
}

void attempt_start(struct deliverer *d, struct queue_entry *e, struct message *m, bool forced)
{
	struct attempt *t = calloc(1, sizeof *t);

	MUST(t != NULL);
	t->arena = arena_new(0);
	t->d = d;
	t->entry = e;
	t->m = m;
	t->forced = forced;
	t->id = queue_entry_id(e);
	char *text = arena_bytes(t->arena, QUEUE_ID_LEN + 1);
	queue_id_text(t->id, text);
	t->id_text = slice_cstr(text);
	t->job.run = attempt_run;
	pool_submit(d->cfg.pool, &t->job, POOL_DELIVERY);
}
