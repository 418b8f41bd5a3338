/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Retry rules: specification, chapter 32.  State is kept with the recipient in the queue's own records. */
#include "base/codec.h"
#include "deliver/deliver_private.h"
#include "message/message.h"

#define STATE_VERSION 1
#define STATE_BYTES   21
#define RETRY_MAX_S   (24 * 3600) /* retry_interval_max cannot be more */

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

/* The replies that a rule can name: at which command, known by what the error is about and by its text. */
static const struct {
	const char *name;
	uint32_t about;
	const char *said;
} replies[] = {
    {"rcpt_", HEDDLE_X_RECIPIENT, ""},
    {"mail_", HEDDLE_X_MESSAGE, "MAIL"},
    {"data_", HEDDLE_X_MESSAGE, "DATA"},
    {"data_", HEDDLE_X_MESSAGE, "end of data"},
};

static bool text_has(slice_t text, const char *part)
{
	return slice_search(text, slice_cstr(part)) != SIZE_MAX;
}

static bool ends(slice_t s, const char *with)
{
	size_t n = strlen(with);
	return s.len >= n && slice_eqs(slice_sub(s, s.len - n, s.len), with);
}

/* "rcpt_4xx", "mail_45x", "data_421": digits, x for any. */
static bool reply_matches(slice_t name, const struct outcome *o)
{
	slice_t d = slice_sub(name, 5, name.len);

	if (o->smtp < 400 || o->smtp > 499 || d.len != 3 || d.ptr[0] != '4')
		return false;
	if ((d.ptr[1] != 'x' && d.ptr[1] - '0' != o->smtp / 10 % 10) || (d.ptr[2] != 'x' && d.ptr[2] - '0' != o->smtp % 10))
		return false;
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
		if (slice_starts(name, replies[i].name) && (o->about & replies[i].about) && text_has(o->text, replies[i].said))
			return true;
	return false;
}

/* Errors that are known by their text; what a time-out of a connection says is also in that of a session. */
static const struct {
	const char *name, *said, *but_not;
} texts[] = {
    {"timeout_connect", "Connection timed out", "SMTP timeout"},
    {"timeout", "timed out", NULL},
    {"refused", "Connection refused", NULL},
    {"lost_connection", "closed connection", NULL},
    {"quota", "quota", NULL},
    {"auth_failed", "Authentication failed", NULL},
    {"tls_required", "TLS", NULL},
};

static const struct heddle_route_host *host_of(const struct group *g, const struct outcome *o)
{
	if (!g || !o || o->host < 0 || (size_t)o->host >= g->hosts->count)
		return NULL;
	return VEC_AT(g->hosts, struct heddle_route_host, (size_t)o->host);
}

/* quota_TIME is never met: how long nobody has read a mailbox is not known here. */
static bool error_matches(slice_t name, const struct address *a, const struct group *g, const struct outcome *o)
{
	if (slice_eqs(name, "*"))
		return true;
	if (!o)
		return slice_eqs(name, "lookup") && !slice_is_absent(a->logged) && text_has(a->logged, "host lookup");
	if (slice_starts(name, "rcpt_") || slice_starts(name, "mail_") || slice_starts(name, "data_"))
		return reply_matches(name, o);
	const struct heddle_route_host *h = host_of(g, o);
	bool mx = h && (h->flags & HEDDLE_H_MX);
	if (ends(name, "_MX") || ends(name, "_A")) {
		bool wants_mx = ends(name, "_MX");
		if (!h || mx != wants_mx)
			return false;
		name = slice_sub(name, 0, name.len - (wants_mx ? 3 : 2));
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slice_eqs(name, texts[i].name))
			return text_has(o->text, texts[i].said) && !(texts[i].but_not && text_has(o->text, texts[i].but_not));
	return false;
}

static bool option_is(const struct option_value *o, bool unset)
{
	return slice_is_absent(o->text) ? unset : o->number != 0;
}

/* Does the routing of this router depend on the local part?  (Its option, else what its preconditions look at.) */
static bool router_uses_local_part(const struct heddle_instance *r)
{
	static const enum router_option looks[] = {RO_local_parts, RO_condition, RO_local_part_prefix, RO_local_part_suffix,
	    RO_senders, RO_require_files};
	bool uses = r && r->generic[RO_check_local_user].number != 0;

	if (!r)
		return false;
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
		uses = uses || !slice_is_absent(r->generic[looks[i]].text);
	return option_is(&r->generic[RO_retry_use_local_part], uses);
}

static bool uses_local_part(const struct address *a, const struct group *g, const struct outcome *o)
{
	if (!g || !o)
		return router_uses_local_part(a->router);
	if (g->is_local)
		return option_is(&g->transport->generic[TO_retry_use_local_part], true);
	return (o->about & HEDDLE_X_RECIPIENT) != 0;
}

/* What a rule's pattern is held against, one after the other: the address where the local part matters, else the domain with
 * "*" for a local part; for an error of a host its name comes first. */
static size_t subjects(struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o, slice_t out[2])
{
	slice_t whole = a->kind == ADDRESS_PLAIN ? a->text : address_top(a)->text, local, domain;
	const struct heddle_route_host *h = host_of(g, o);
	size_t n = 0;

	if (uses_local_part(a, g, o) || !address_split(whole, &local, &domain)) {
		out[n++] = whole;
		return n;
	}
	if (h && !g->is_local)
		out[n++] = arena_printf(t->arena, "*@%.*s", SL_ARG(h->name.len ? h->name : h->address));
	out[n++] = arena_printf(t->arena, "*@%.*s", SL_ARG(domain));
	return n;
}

static bool pattern_matches(struct attempt *t, const struct retry_rule *r, const slice_t *subject, size_t n)
{
	struct error err;

	for (size_t i = 0; i < n; i++)
		if (match_address(&t->ev, r->pattern, subject[i], NULL, &err) == RC_OK)
			return true;
	return false;
}

static const struct retry_rule *find_rule(struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o)
{
	slice_t subject[2];
	size_t n = subjects(t, a, g, o, subject);
	struct error err;

	VEC_FOREACH(config_retry_rules(t->cfg), const struct retry_rule, r)
	{
		if (!error_matches(r->error, a, g, o) || !pattern_matches(t, r, subject, n))
			continue;
		if (!r->senders || match_address(&t->ev, r->senders, t->m->sender, NULL, &err) == RC_OK)
			return r;
	}
	return NULL;
}

/* Seconds until the next try by this step, when the last interval was before_s.  G: the first of the series that is longer
 * than that; H: at random between the first of the series and the last interval times the factor. */
static int64_t interval_of(const struct retry_step *s, int64_t before_s, int64_t max_s)
{
	int64_t grown = s->interval_s > 0 ? s->interval_s : 1;

	if (s->form == RETRY_FIXED || s->factor_milli <= 1000 || before_s < s->interval_s)
		return s->interval_s;
	if (before_s > max_s)
		before_s = max_s;
	if (s->form == RETRY_GEOMETRIC) {
		while (grown <= before_s && grown < max_s)
			grown = grown * s->factor_milli / 1000 > grown ? grown * s->factor_milli / 1000 : grown + 1;
		return grown;
	}
	grown = before_s * s->factor_milli / 1000;
	if (grown <= s->interval_s)
		return s->interval_s;
	uint64_t random = hash_bytes(slice_of(&before_s, sizeof before_s, HEDDLE_CLEAN)) ^ (uint64_t)clock_mono_us();
	return s->interval_s + (int64_t)(random % (uint64_t)(grown - s->interval_s + 1));
}

/* The last interval: what was planned, or what really passed if somebody was quicker. */
static int64_t last_interval(const struct attempt *t, const struct address *a, int64_t now_us)
{
	const struct queue_recipient *r = &t->state.recipients[a->recipient];
	const struct retry_state old = retry_decode(r->retry);

	if (old.last_try_us == 0)
		return 0;
	int64_t passed = now_us - old.last_try_us, planned = r->next_attempt_us - old.last_try_us;
	if (passed < 0)
		passed = 0;
	return (planned > 0 && planned < passed ? planned : passed) / US_PER_SEC;
}

bool retry_next(struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o,
    const struct retry_state *r, int64_t now_us, int64_t *out_next_us)
{
	const struct retry_rule *rule = find_rule(t, a, g, o);
	int64_t failing_s = (now_us - r->first_failed_us) / US_PER_SEC;
	int64_t max_s = config_int(t->cfg, MO_retry_interval_max) / 1000;

	if (!rule || rule->steps.count == 0)
		return false; /* no rule: a temporary error is final */
	if (max_s <= 0 || max_s > RETRY_MAX_S)
		max_s = RETRY_MAX_S;
	VEC_FOREACH(&rule->steps, const struct retry_step, s)
	{
		if (failing_s >= s->until_s)
			continue;
		int64_t next_s = interval_of(s, last_interval(t, a, now_us), max_s);
		if (next_s > max_s)
			next_s = max_s;
		*out_next_us = now_us + (next_s > 0 ? next_s : 1) * US_PER_SEC;
		return true;
	}
	return false;
}
