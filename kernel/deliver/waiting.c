/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What waits although nothing is wrong: hold_domains, queue_domains and queue_smtp_domains; and
 * what goes before the rest: remote_sort_domains.  A recipient that waits for a queue run has no
 * next attempt (INT64_MAX): a run makes its message due.
 */
#include "deliver/deliver_private.h"
#include "match/match.h"

#include <stdlib.h>

#define NEVER INT64_MAX

static bool matches(struct attempt *t, enum main_option option, slice_t domain)
{
	struct match_list *l = config_list(t->cfg, option);
	struct error err;

	return l && match_domain(&t->ev, l, domain, NULL, &err) == RC_OK;
}

/* Somebody does not want to wait: this message, or a queue run since it was looked at. */
static bool is_forced(const struct attempt *t, const struct queue_recipient *r, int64_t forced_us)
{
	int64_t seen = retry_decode(r->retry).last_try_us;

	return t->forced || forced_us > (seen > t->m->received_us ? seen : t->m->received_us);
}

/* Is this the delivery that reception begins, and not one of a queue run? */
static bool is_immediate(const struct attempt *t, const struct queue_recipient *r)
{
	return !t->m->queue_only && r->next_attempt_us != NEVER &&
	       retry_decode(r->retry).last_try_us == 0;
}

static void wait_for_run(struct attempt *t, uint32_t i, slice_t why)
{
	struct queue_recipient *r = &t->state.recipients[i];
	struct retry_state kept = retry_decode(r->retry);

	kept.last_try_us = clock_wall_us();
	kept.why = why;
	r->retry = retry_encode(t->arena, &kept);
	r->next_attempt_us = NEVER;
	t->left[i]++;
}

bool waiting_recipient(struct attempt *t, uint32_t i, int64_t forced_us)
{
	struct queue_recipient *r = &t->state.recipients[i];
	slice_t local, domain, why;
	int number;

	t->immediate[i] = is_immediate(t, r) && !is_forced(t, r, forced_us);
	if ((t->state.flags & QUEUE_MSG_CANCELLED) || is_forced(t, r, forced_us) ||
	    !address_split_hacked(&t->ev, r->address, &local, &domain))
		return false;
	if (matches(t, MO_hold_domains, domain)) {
		number = -55;
		why = SL("domain is held");
	} else if (t->immediate[i] && matches(t, MO_queue_domains, domain)) {
		number = -56;
		why = SL("domain is in queue_domains");
	} else {
		return false;
	}
	wait_for_run(t, i, why);
	if (log_selected(t->log, LOG_RETRY_DEFER))
		log_main(t->log, t->id_text, "== %.*s routing defer (%d): %.*s", SL_ARG(r->address),
		    number, SL_ARG(why));
	return true;
}

bool waiting_routed(struct attempt *t, struct address *a)
{
	const struct heddle_transport_ops *ops =
	    a->transport && a->transport->driver ? a->transport->driver->ops : NULL;

	if (!ops || ops->kind != HEDDLE_TR_REMOTE || !t->immediate[a->recipient] ||
	    !matches(t, MO_queue_smtp_domains, a->facts.domain))
		return false;
	struct outcome o = {.is_set = true,
	    .host = -1,
	    .text =
	        SL("first-pass only routing due to -odqs, queue_smtp_domains or control=queue")};
	struct group g = {.transport = a->transport, .hosts = &a->hosts};
	line_deferred(t, a, &g, &o);
	wait_for_run(t, a->recipient, o.text);
	return true;
}

/* Which item of remote_sort_domains it is; behind all of them: none. */
static uint64_t place_of(struct attempt *t, slice_t list, slice_t domain)
{
	uint64_t pos = 0;
	slice_t item;
	struct error err;

	for (uint64_t i = 0; expand_list_next(t->arena, list, &pos, &item); i++)
		if (match_text(&t->ev, MATCH_DOMAINS, item, domain, NULL, &err) == RC_OK)
			return i;
	return UINT64_MAX;
}

struct placed {
	struct group *group;
	uint64_t place;
	size_t was;
};

static int by_place(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return x->was < y->was ? -1 : 1;
}

void waiting_sort(struct attempt *t, struct group **groups, size_t count)
{
	slice_t list = slice_absent();
	struct error err;

	if (!config_list(t->cfg, MO_remote_sort_domains) || count < 2)
		return;
	if (expand_text(&t->ev, config_text(t->cfg, MO_remote_sort_domains), &list, &err) !=
	    RC_OK) {
		log_panic(t->log, t->id_text, "remote_sort_domains: %s", err.text);
		return;
	}
	struct placed *all = ARENA_ARRAY(t->arena, struct placed, count);
	for (size_t i = 0; i < count; i++) {
		const struct address *a = *VEC_AT(&groups[i]->addresses, struct address *, 0);
		all[i] = (struct placed){groups[i], place_of(t, list, a->facts.domain), i};
	}
	qsort(all, count, sizeof *all, by_place);
	for (size_t i = 0; i < count; i++)
		groups[i] = all[i].group;
}
