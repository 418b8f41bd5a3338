/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When the next try is: specification, 32.7.  What is kept with each recipient in the queue's own
 * records; what is known of hosts and addresses across messages is in retry_hints.c. */
#include "base/codec.h"
#include "deliver/deliver_private.h"
#include "message/message.h"

#define STATE_VERSION 2
#define STATE_BYTES   22
#define STATE_BYTES_1 21          /* version 1 had no flags */
#define RETRY_MAX_S   (24 * 3600) /* retry_interval_max cannot be more */

slice_t retry_encode(struct arena *a, const struct retry_state *r)
{
	uint32_t n = r->why.len > 400 ? 400 : r->why.len;
	char *p = arena_bytes(a, STATE_BYTES + n);

	p[0] = STATE_VERSION;
	put_le64(p + 1, (uint64_t)r->first_failed_us);
	put_le64(p + 9, (uint64_t)r->last_try_us);
	put_le32(p + 17, r->tries);
	p[21] = (char)(r->by_host ? 1 : 0);
	if (n)
		memcpy(p + STATE_BYTES, r->why.ptr, n);
	return slice_tainted(p, STATE_BYTES + n);
}

struct retry_state retry_decode(slice_t b)
{
	struct retry_state r = {.why = slice_absent()};

	if (b.len < STATE_BYTES_1 ||
	    (b.ptr[0] != 1 && (b.ptr[0] != STATE_VERSION || b.len < STATE_BYTES)))
		return r;
	r.first_failed_us = (int64_t)get_le64(b.ptr + 1);
	r.last_try_us = (int64_t)get_le64(b.ptr + 9);
	r.tries = get_le32(b.ptr + 17);
	r.by_host = b.ptr[0] == STATE_VERSION && (b.ptr[21] & 1);
	r.why = slice_sub(b, b.ptr[0] == 1 ? STATE_BYTES_1 : STATE_BYTES, b.len);
	if (r.first_failed_us < 0 || r.last_try_us < r.first_failed_us)
		r.first_failed_us = r.last_try_us = 0;
	return r;
}

/* Seconds until the next try by this step, when the last interval was before_s.  G: the first of
 * the series that is longer than that; H: at random between the first of the series and the last
 * interval times the factor. */
static int64_t interval_of(const struct retry_step *s, int64_t before_s, int64_t max_s)
{
	int64_t grown = s->interval_s > 0 ? s->interval_s : 1;

	if (s->form == RETRY_FIXED || s->factor_milli <= 1000 || before_s < s->interval_s)
		return s->interval_s;
	if (before_s > max_s)
		before_s = max_s;
	if (s->form == RETRY_GEOMETRIC) {
		while (grown <= before_s && grown < max_s)
			grown = grown * s->factor_milli / 1000 > grown
			            ? grown * s->factor_milli / 1000
			            : grown + 1;
		return grown;
	}
	grown = before_s * s->factor_milli / 1000;
	if (grown <= s->interval_s)
		return s->interval_s;
	uint64_t random = hash_bytes(slice_of(&before_s, sizeof before_s, HEDDLE_CLEAN)) ^
	                  (uint64_t)clock_mono_us();
	return s->interval_s + (int64_t)(random % (uint64_t)(grown - s->interval_s + 1));
}

/* The last interval: what was planned, or what really passed if somebody was quicker. */
static int64_t last_interval(int64_t last_try_us, int64_t planned_us, int64_t now_us)
{
	if (last_try_us == 0)
		return 0;
	int64_t passed = now_us - last_try_us, planned = planned_us - last_try_us;
	if (passed < 0)
		passed = 0;
	return (planned > 0 && planned < passed ? planned : passed) / US_PER_SEC;
}

int64_t retry_cutoff_s(const struct retry_rule *rule)
{
	return rule->steps.count
	           ? VEC_AT(&rule->steps, struct retry_step, rule->steps.count - 1)->until_s
	           : 0;
}

int64_t retry_interval_max_s(const struct config *cfg)
{
	int64_t max_s = config_int(cfg, MO_retry_interval_max) / 1000;

	return max_s > 0 && max_s <= RETRY_MAX_S ? max_s : RETRY_MAX_S;
}

bool retry_when(const struct retry_rule *rule, const struct retry_past *p, int64_t now_us,
    int64_t max_s, int64_t *out_next_us)
{
	int64_t failing_s = (now_us - p->first_failed_us) / US_PER_SEC;
	const struct retry_step *step =
	    VEC_AT(&rule->steps, struct retry_step, rule->steps.count - 1);
	bool in_time = false;

	VEC_FOREACH(&rule->steps, const struct retry_step, s)
	{
		if (failing_s >= s->until_s)
			continue;
		step = s;
		in_time = true;
		break;
	}
	int64_t next_s =
	    interval_of(step, last_interval(p->last_try_us, p->planned_us, now_us), max_s);
	if (next_s > max_s)
		next_s = max_s;
	*out_next_us = now_us + (next_s > 0 ? next_s : 1) * US_PER_SEC;
	return in_time;
}

bool retry_is_from_ahead(int64_t last_try_us, int64_t now_us)
{
	return last_try_us > now_us + 60 * US_PER_SEC;
}

bool retry_is_too_old(const struct attempt *t, const struct retry_rule *rule, int64_t now_us)
{
	return t->m->received_us > 0 &&
	       (now_us - t->m->received_us) / US_PER_SEC >= retry_cutoff_s(rule);
}

bool retry_next(struct attempt *t, const struct address *a, const struct group *g,
    const struct outcome *o, const struct retry_state *r, int64_t now_us, int64_t *out_next_us)
{
	const struct retry_rule *rule = retry_rule_for(t, a, g, o);
	const struct queue_recipient *q = &t->state.recipients[a->recipient];
	const struct retry_past past = {.first_failed_us = r->first_failed_us,
	    .last_try_us = retry_decode(q->retry).last_try_us,
	    .planned_us = q->next_attempt_us};
	int64_t next;

	if (!rule || rule->steps.count == 0)
		return false; /* no rule: a temporary error is final */
	if (!retry_when(rule, &past, now_us, retry_interval_max_s(t->cfg), &next) ||
	    retry_is_too_old(t, rule, now_us))
		return false;
	*out_next_us = next;
	return true;
}
