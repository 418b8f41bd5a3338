/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Retry rules: specification, chapter 32.  State is kept with the recipient in the queue's own records. */
#include "base/codec.h"
#include "deliver/deliver_private.h"

#define STATE_VERSION 1
#define STATE_BYTES   21

slice_t retry_encode(struct arena *a, const struct retry_state *r)
{
	uint32_t n = r->why.len > 400 ? 400 : r->why.len;
	char *p = arena_bytes(a, STATE_BYTES + n);

	p[0] = STATE_VERSION;
	put_le64(p + 1, (uint64_t)r->first_failed_us);
	put_le64(p + 9, (uint64_t)r->last_try_us);
	put_le32(p + 17, r->tries);
	if (n)
		memcpy(p + STATE_BYTES, r->why.ptr, n);
	return slice_tainted(p, STATE_BYTES + n);
}

struct retry_state retry_decode(slice_t b)
{
	struct retry_state r = {.why = slice_absent()};

	if (b.len < STATE_BYTES || b.ptr[0] != STATE_VERSION)
		return r;
	r.first_failed_us = (int64_t)get_le64(b.ptr + 1);
	r.last_try_us = (int64_t)get_le64(b.ptr + 9);
	r.tries = get_le32(b.ptr + 17);
	r.why = slice_sub(b, STATE_BYTES, b.len);
	if (r.first_failed_us < 0 || r.last_try_us < r.first_failed_us)
		r.first_failed_us = r.last_try_us = 0;
	return r;
}

/* "rcpt_4xx", "mail_45x", "data_421": digits, x for any. */
static bool code_matches(slice_t name, const char *stage, int smtp)
{
	size_t n = strlen(stage);

	if (!slice_starts(name, stage) || smtp < 400 || smtp > 499)
		return false;
	slice_t d = slice_sub(name, n, name.len);
	if (d.len != 3 || d.ptr[0] != '4')
		return false;
	return (d.ptr[1] == 'x' || d.ptr[1] - '0' == smtp / 10 % 10) && (d.ptr[2] == 'x' || d.ptr[2] - '0' == smtp % 10);
}

/* Errors that a rule can name are those that exist here: replies, timeouts, refused and lost connections, look-ups. */
static bool error_matches(slice_t name, const struct outcome *o)
{
	if (slice_eqs(name, "*"))
		return true;
	if (!o)
		return slice_eqs(name, "lookup");
	if (code_matches(name, "rcpt_", o->smtp))
		return (o->about & HEDDLE_X_RECIPIENT) != 0;
	if (code_matches(name, "mail_", o->smtp) || code_matches(name, "data_", o->smtp))
		return (o->about & HEDDLE_X_MESSAGE) != 0;
	if (slice_starts(name, "timeout"))
		return slice_search(o->text, SL("timed out")) != SIZE_MAX || slice_search(o->text, SL("timeout")) != SIZE_MAX;
	if (slice_starts(name, "refused"))
		return slice_search(o->text, SL("refused")) != SIZE_MAX;
	if (slice_eqs(name, "lost_connection"))
		return slice_search(o->text, SL("closed connection")) != SIZE_MAX;
	if (slice_starts(name, "quota"))
		return slice_search(o->text, SL("quota")) != SIZE_MAX;
	return false;
}

static const struct retry_rule *find_rule(struct attempt *t, const struct address *a, const struct outcome *o)
{
	const struct address *top = address_top(a);
	slice_t subject = a->kind == ADDRESS_PLAIN ? a->text : top->text;
	struct error err;

	VEC_FOREACH(config_retry_rules(t->cfg), const struct retry_rule, r)
	{
		if (!error_matches(r->error, o) || match_address(&t->ev, r->pattern, subject, NULL, &err) != RC_OK)
			continue;
		if (!r->senders || match_address(&t->ev, r->senders, t->m->sender, NULL, &err) == RC_OK)
			return r;
	}
	return NULL;
}

/* Seconds until the next try by this step; since: how long the address has been failing; before: the last interval. */
static int64_t interval_of(const struct retry_step *s, int64_t before_s)
{
	if (s->form == RETRY_FIXED || before_s < s->interval_s)
		return s->interval_s;
	int64_t grown = before_s > INT64_MAX / 100000 ? before_s : before_s * s->factor_milli / 1000;
	if (s->form == RETRY_GEOMETRIC || grown <= s->interval_s)
		return grown;
	uint64_t random;
	random = hash_bytes(slice_of(&before_s, sizeof before_s, HEDDLE_CLEAN)) ^ (uint64_t)clock_mono_us();
	return s->interval_s + (int64_t)(random % (uint64_t)(grown - s->interval_s + 1));
}

bool retry_next(struct attempt *t, const struct address *a, const struct outcome *o, const struct retry_state *r, int64_t now_us,
    int64_t *out_next_us)
{
	const struct retry_rule *rule = find_rule(t, a, o);
	int64_t failing_s = (now_us - r->first_failed_us) / US_PER_SEC;
	int64_t max_s = config_int(t->cfg, MO_retry_interval_max) / 1000;
	const struct retry_state old = retry_decode(t->state.recipients[a->recipient].retry);
	int64_t before_s = old.last_try_us ? (now_us - old.last_try_us) / US_PER_SEC : 0;

	if (!rule || rule->steps.count == 0)
		return false; /* no rule: a temporary error is final */
	VEC_FOREACH(&rule->steps, const struct retry_step, s)
	{
		if (failing_s >= s->until_s)
			continue;
		int64_t next_s = interval_of(s, before_s);
		if (max_s > 0 && next_s > max_s)
			next_s = max_s;
		*out_next_us = now_us + (next_s > 0 ? next_s : 1) * US_PER_SEC;
		return true;
	}
	return false;
}
