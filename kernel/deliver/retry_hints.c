/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is known of hosts and addresses across messages: specification, 32.1, 32.9 to 32.11,
 * and 49.2 for what an error is about. Keys are Exim's: T:NAME:ADDRESS[:PORT] a host, with :ID a
 * host and a message; R:DOMAIN or R:ADDRESS routing, R:ADDRESS:<SENDER> what a server said of a
 * recipient; T:ADDRESS a local delivery. A host that was failing is tried by one message at a time:
 * who tries it claims it, the others wait as if it were not due.
 */
#include "base/codec.h"
#include "deliver/deliver_private.h"
#include "hints/hints.h"
#include "message/message.h"

#include <time.h>

#define VERSION     1
#define FIXED_BYTES 40u
#define WHY_MAX     300u
#define CLAIM_US    (60 * US_PER_SEC)
#define AVOIDED_US  (5 * US_PER_SEC) /* smtp/client leaves a host alone for so long */
#define NOT_YET     "retry time not reached for any host"

static_assert(FIXED_BYTES + WHY_MAX <= RETRY_HINT_MAX && RETRY_HINT_MAX <= HINTS_VALUE_MAX,
    "a hint has room");

size_t retry_hint_encode(const struct retry_hint *r, char out[RETRY_HINT_MAX])
{
	uint32_t n = slice_is_absent(r->why) ? 0 : r->why.len > WHY_MAX ? WHY_MAX : r->why.len;

	memset(out, 0, FIXED_BYTES);
	out[0] = VERSION;
	out[1] = (char)(r->is_expired ? 1 : 0);
	put_le32(out + 4, (uint32_t)r->number);
	put_le64(out + 8, (uint64_t)r->first_failed_us);
	put_le64(out + 16, (uint64_t)r->last_try_us);
	put_le64(out + 24, (uint64_t)r->next_try_us);
	put_le64(out + 32, (uint64_t)r->claimed_until_us);
	if (n)
		memcpy(out + FIXED_BYTES, r->why.ptr, n);
	return FIXED_BYTES + n;
}

bool retry_hint_decode(slice_t b, struct retry_hint *out)
{
	if (b.len < FIXED_BYTES || b.len > FIXED_BYTES + WHY_MAX || b.ptr[0] != VERSION)
		return false;
	struct retry_hint r = {.is_expired = (b.ptr[1] & 1) != 0,
	    .number = (int32_t)get_le32(b.ptr + 4),
	    .first_failed_us = (int64_t)get_le64(b.ptr + 8),
	    .last_try_us = (int64_t)get_le64(b.ptr + 16),
	    .next_try_us = (int64_t)get_le64(b.ptr + 24),
	    .claimed_until_us = (int64_t)get_le64(b.ptr + 32),
	    .why = slice_sub(b, FIXED_BYTES, b.len)};
	if (r.first_failed_us < 0 || r.last_try_us < r.first_failed_us ||
	    r.next_try_us < r.last_try_us || r.claimed_until_us < 0)
		return false;
	*out = r;
	return true;
}

static slice_t time_text(struct arena *a, int64_t us)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t when = (time_t)(us / US_PER_SEC);
	struct tm tm;

	if (!localtime_r(&when, &tm))
		return SL("?");
	return arena_printf(a, "%02d-%.3s-%04d %02d:%02d:%02d", tm.tm_mday,
	    months + 3 * (tm.tm_mon % 12), tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void deliver_show_hint(slice_t key, slice_t value, bool full, struct strbuf *out)
{
	struct arena *a = out->arena;
	struct retry_hint h;

	if (!retry_hint_decode(value, &h))
		return;
	slice_t first = time_text(a, h.first_failed_us), last = time_text(a, h.last_try_us),
	        next = time_text(a, h.next_try_us);
	if (!full) {
		strbuf_printf(out, "  %.*s %d 0 %.*s\n%.*s  %.*s  %.*s%s\n", SL_ARG(key), h.number,
		    SL_ARG(h.why), SL_ARG(first), SL_ARG(last), SL_ARG(next),
		    h.is_expired ? " *" : "");
		return;
	}
	strbuf_printf(out, "%s: %.*s error %d: %.*s\n", key.ptr[0] == 'R' ? "Route" : "Transport",
	    SL_ARG(slice_sub(key, 2, key.len)), h.number, SL_ARG(h.why));
	strbuf_printf(out, "  first failed: %.*s\n  last tried:   %.*s\n  next try at:  %.*s\n%s",
	    SL_ARG(first), SL_ARG(last), SL_ARG(next),
	    h.is_expired ? "  past final cutoff time\n" : "");
}

/* ---- the database
 * --------------------------------------------------------------------------------------- */

static struct hints *hints_of(const struct attempt *t)
{
	return t->d ? t->d->cfg.hints : NULL;
}

/* Older than this counts as not there. */
static int64_t expired_before(const struct attempt *t, int64_t now_us)
{
	return now_us - config_int(t->cfg, MO_retry_data_expire) * 1000;
}

static bool find(struct attempt *t, slice_t key, struct retry_hint *out)
{
	struct hints *db = hints_of(t);
	struct hint got;
	int64_t now = clock_wall_us();

	return db && hints_get(db, key, t->arena, &got, NULL) == RC_OK &&
	       retry_hint_decode(got.value, out) && got.time_us >= expired_before(t, now) &&
	       !retry_is_from_ahead(out->last_try_us, now);
}

static void forget(struct attempt *t, slice_t key)
{
	struct hints *db = hints_of(t);

	if (db)
		(void)(hints_remove(db, key, NULL) == RC_OK); /* none, or not now: it expires */
}

/* Nothing is held against anybody: the usual case, and nothing is looked for. */
static bool nothing_known(const struct attempt *t)
{
	struct hints *db = hints_of(t);

	return !db || hints_count(db) == 0;
}

struct failure {
	const struct retry_rule *rule;
	int64_t now_us, expired_before_us, max_s;
	int64_t since_us; /* the message's arrival, for what is about the message; INT64_MAX: of no
	                     account */
	int32_t number;
	slice_t why;
	int64_t next_us; /* out */
	bool in_time;    /* out */
	char buf[RETRY_HINT_MAX];
};

static enum hints_verb failed_again(void *ctx, const struct hint *old, slice_t *value)
{
	struct failure *f = ctx;
	struct retry_hint r, now = {.first_failed_us = f->now_us,
	                         .last_try_us = f->now_us,
	                         .number = f->number,
	                         .why = f->why};
	struct retry_past past = {.first_failed_us = f->now_us};

	if (old && old->time_us >= f->expired_before_us && retry_hint_decode(old->value, &r) &&
	    r.first_failed_us <= f->now_us)
		past = (struct retry_past){.first_failed_us = r.first_failed_us,
		    .last_try_us = r.last_try_us,
		    .planned_us = r.next_try_us};
	now.first_failed_us = past.first_failed_us;
	if (f->since_us < past.first_failed_us)
		past.first_failed_us = f->since_us;
	f->in_time = retry_when(f->rule, &past, f->now_us, f->max_s, &f->next_us);
	now.is_expired = !f->in_time;
	now.next_try_us = f->next_us;
	*value = slice_tainted(f->buf, retry_hint_encode(&now, f->buf));
	return HINTS_WRITE;
}

/* One more failure of what key names.  False: there are no hints to say it to. */
static bool note_failure(struct attempt *t, slice_t key, const struct retry_rule *rule,
    bool is_about_message, int number, slice_t why, int64_t *out_next_us, bool *out_gives_up)
{
	struct hints *db = hints_of(t);
	int64_t now = clock_wall_us();
	struct failure f = {.rule = rule,
	    .now_us = now,
	    .expired_before_us = expired_before(t, now),
	    .max_s = retry_interval_max_s(t->cfg),
	    .since_us = is_about_message && t->m->received_us > 0 ? t->m->received_us : INT64_MAX,
	    .number = number,
	    .why = why};

	if (!rule ||
	    rule->steps.count == 0) { /* no rule: a temporary error is final, and nobody waits */
		*out_gives_up = true;
		forget(t, key);
		return true;
	}
	if (!db || hints_update(db, key, failed_again, &f, now, NULL) != RC_OK)
		return false;
	*out_next_us = f.next_us;
	*out_gives_up = !f.in_time || retry_is_too_old(t, rule, now);
	return true;
}

/* ---- keys
 * -----------------------------------------------------------------------------------------------
 */

static slice_t lower(struct arena *a, slice_t s)
{
	char *p = arena_bytes(a, s.len + 1u);

	for (uint32_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	return slice_tainted(p, s.len);
}

/* "R:dom.ain" or "R:user@dom.ain", "T:..." likewise */
static slice_t address_key(struct attempt *t, char kind, slice_t address, bool whole)
{
	slice_t local, domain;

	if (!address_split(address, &local, &domain))
		return arena_printf(t->arena, "%c:%.*s", kind, SL_ARG(address));
	domain = lower(t->arena, domain);
	return whole ? arena_printf(t->arena, "%c:%.*s@%.*s", kind, SL_ARG(local), SL_ARG(domain))
	             : arena_printf(t->arena, "%c:%.*s", kind, SL_ARG(domain));
}

static slice_t with_sender(struct attempt *t, slice_t key)
{
	return arena_printf(t->arena, "%.*s:<%.*s>", SL_ARG(key), SL_ARG(t->m->sender));
}

static slice_t local_key(struct attempt *t, const struct address *a, const struct group *g)
{
	if (a->kind == ADDRESS_PLAIN)
		return address_key(t, 'T', a->text, retry_uses_local_part(a, g, &g->outcomes[0]));
	return arena_printf(t->arena, "T:%.*s:%.*s", SL_ARG(a->text), SL_ARG(address_top(a)->text));
}

static slice_t with_message(struct attempt *t, slice_t key)
{
	return arena_printf(t->arena, "%.*s:%.*s", SL_ARG(key), SL_ARG(t->id_text));
}

static int64_t transport_option(const struct group *g, const char *name, int64_t otherwise)
{
	const struct driver *d = g->transport->driver;

	for (uint32_t i = 0; d && g->transport->own && i < d->option_count; i++)
		if (strcmp(d->options[i].name, name) == 0)
			return slice_is_absent(g->transport->own[i].text)
			           ? otherwise
			           : g->transport->own[i].number;
	return otherwise;
}

/* What a host said goes with its name. */
static slice_t why_of(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o)
{
	if (!o || !g || !o->smtp || o->host < 0 || (size_t)o->host >= g->hosts->count)
		return o ? o->text : a->logged;
	const struct heddle_route_host *h =
	    VEC_AT(g->hosts, struct heddle_route_host, (size_t)o->host);
	return arena_printf(t->arena, "H=%.*s [%.*s]: %.*s",
	    SL_ARG(h->name.len ? h->name : h->address), SL_ARG(h->address), SL_ARG(o->text));
}

/* ---- addresses
 * ------------------------------------------------------------------------------------------ */

/* Is it time, or does somebody not want to wait? */
static bool is_due(const struct attempt *t, const struct retry_hint *h, int64_t now_us)
{
	return t->forced || now_us >= h->next_try_us || h->last_try_us < scheduler_forced_at(t->d);
}

bool retry_address_waits(struct attempt *t, const struct queue_recipient *r, int64_t *out_until_us)
{
	int64_t now = clock_wall_us(), until = 0;
	struct retry_hint h;

	if (t->forced || nothing_known(t) || retry_decode(r->retry).tries == 0)
		return false;
	slice_t whole = address_key(t, 'R', r->address, true);
	const slice_t keys[] = {
	    address_key(t, 'R', r->address, false), whole, with_sender(t, whole)};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (find(t, keys[i], &h) && !is_due(t, &h, now) && h.next_try_us > until)
			until = h.next_try_us;
	if (until == 0)
		return false;
	struct address a = {.text = r->address, .logged = slice_absent()};
	const struct retry_rule *rule = retry_rule_for(t, &a, NULL, NULL);
	if (rule && retry_is_too_old(t, rule, now))
		return false; /* the last try before it is given up */
	*out_until_us = until;
	return true;
}

bool retry_local_waits(struct attempt *t, struct group *g)
{
	const struct address *a = *VEC_AT(&g->addresses, struct address *, 0);
	const struct queue_recipient *r = &t->state.recipients[a->recipient];
	int64_t now = clock_wall_us();
	struct retry_hint h;

	if (nothing_known(t) || retry_decode(r->retry).tries == 0 ||
	    !find(t, local_key(t, a, g), &h) || is_due(t, &h, now))
		return false;
	if (h.last_try_us >= now - (clock_mono_us() - t->began_us))
		return false; /* it is about another copy of the address, in this very attempt */
	const struct retry_rule *rule =
	    retry_rule_for(t, a, g, &(struct outcome){.host = -1, .text = h.why});
	if (rule && retry_is_too_old(t, rule, now))
		return false;
	for (size_t i = 0; i < g->addresses.count; i++)
		g->outcomes[i] = (struct outcome){.is_set = true,
		    .result = RC_DEFER,
		    .host = -1,
		    .text = SL("Retry time not yet reached"),
		    .waits_until_us = h.next_try_us};
	return true;
}

/* ---- hosts
 * ---------------------------------------------------------------------------------------------- */

struct claim {
	int64_t now_us, until_us;
	int64_t other_us; /* out: until when somebody else has it; 0: nobody had */
	bool is_ours;     /* it is, and only the time changes */
	bool any_time;    /* the retry time does not count */
	char buf[RETRY_HINT_MAX];
};

static enum hints_verb claim(void *ctx, const struct hint *old, slice_t *value)
{
	struct claim *c = ctx;
	struct retry_hint r;

	c->other_us = 0;
	if (!old || !retry_hint_decode(old->value, &r) ||
	    retry_is_from_ahead(r.last_try_us, c->now_us))
		return HINTS_KEEP; /* it answered a moment ago */
	/* whoever had the claim may be through by now, and have failed */
	int64_t until_us =
	    c->any_time || r.claimed_until_us > r.next_try_us ? r.claimed_until_us : r.next_try_us;
	if (!c->is_ours && c->now_us < until_us) {
		c->other_us = until_us;
		return HINTS_KEEP;
	}
	r.claimed_until_us = c->until_us;
	*value = slice_tainted(c->buf, retry_hint_encode(&r, c->buf));
	return HINTS_WRITE;
}

/* Whoever tries a failing host does it alone.  True: somebody else does. */
static bool is_claimed(struct attempt *t, struct host_try *try, int64_t now_us, bool any_time)
{
	struct claim c = {.now_us = now_us, .until_us = now_us + CLAIM_US, .any_time = any_time};

	(void)(hints_update(hints_of(t), try->key, claim, &c, now_us, NULL) == RC_OK);
	try->next_us = c.other_us;
	return c.other_us != 0;
}

static bool is_old_for(struct attempt *t, const struct group *g, const struct host_try *try,
    const struct retry_hint *h, int64_t now)
{
	const struct address *a = *VEC_AT(&g->addresses, struct address *, 0);
	const struct outcome was = {
	    .host = (int32_t)try->host, .about = HEDDLE_X_HOST, .text = h->why};
	const struct retry_rule *rule = retry_rule_for(t, a, g, &was);

	return rule && retry_is_too_old(t, rule, now);
}

static bool host_waits(struct attempt *t, const struct group *g, struct host_try *try)
{
	int64_t now = clock_wall_us();
	struct retry_hint h;

	if (find(t, with_message(t, try->key), &h)) {
		try->message_failed = true;
		if (!is_due(t, &h, now) && !is_old_for(t, g, try, &h, now)) {
			try->next_us = h.next_try_us;
			return true;
		}
	}
	if (!find(t, try->key, &h))
		return false;
	try->was_failing = true;
	if (t->forced || h.last_try_us < scheduler_forced_at(t->d))
		return false;
	if (h.is_expired && transport_option(g, "delay_after_cutoff", 1) == 0) {
		try->is_expired = try->since_arrival = h.last_try_us >= t->m->received_us;
		try->next_us = h.next_try_us > now + CLAIM_US
		                   ? h.next_try_us
		                   : now + CLAIM_US; /* not at once, where another waits */
		return try->since_arrival;
	}
	bool is_old = now < h.next_try_us && is_old_for(t, g, try, &h, now);
	if (now >= h.next_try_us || is_old)
		return is_claimed(t, try, now, is_old);
	try->is_expired = h.is_expired;
	try->next_us = h.next_try_us;
	return true;
}

bool retry_host_may_try(
    struct attempt *t, struct group *g, uint32_t host, uint32_t port, bool *out_is_due)
{
	const struct heddle_route_host *h = VEC_AT(g->hosts, struct heddle_route_host, host);
	slice_t name = h->name.len ? lower(t->arena, h->name) : h->address;
	struct host_try *try = VEC_PUSH(t->arena, &g->host_tries, struct host_try);

	*try = (struct host_try){.host = host};
	try->key =
	    port == 25
	        ? arena_printf(t->arena, "T:%.*s:%.*s", SL_ARG(name), SL_ARG(h->address))
	        : arena_printf(t->arena, "T:%.*s:%.*s:%u", SL_ARG(name), SL_ARG(h->address), port);
	*out_is_due = false;
	if (nothing_known(t))
		return true;
	try->waits = host_waits(t, g, try);
	*out_is_due = try->was_failing && !try->waits;
	if (!try->waits)
		return true;
	for (size_t i = 0; i < g->addresses.count;
	     i++) /* what another host has said of it stands */
		if (!g->outcomes[i].is_set && g->outcomes[i].result == RC_OK)
			g->outcomes[i] = (struct outcome){.result = RC_DEFER,
			    .host = -1,
			    .about = HEDDLE_X_HOST,
			    .text = SL(NOT_YET)};
	return false;
}

/* A host that was failing answers: what waits for the same domains is due. */
static void wake_others(struct attempt *t, const struct group *g)
{
	struct queue_list l;
	slice_t local, domain;
	enum queue_recipient_state st;

	queue_index_list(t->d->cfg.index, QUEUE_UNORDERED, &l);
	for (size_t i = 0; i < l.count; i++) {
		struct queue_view v;
		queue_entry_view(l.entries[i], &v);
		bool wanted = false;
		for (uint32_t k = 0; k < v.n_recipients && v.state == QUEUE_DEFERRED && !wanted;
		     k++) {
			slice_t to = queue_entry_recipient(l.entries[i], k, &st);
			if (st != QUEUE_RCPT_PENDING || !address_split(to, &local, &domain))
				continue;
			VEC_FOREACH(&g->addresses, struct address *, a)
			wanted = wanted || slice_eqi((*a)->facts.domain, domain);
		}
		if (wanted)
			(void)(queue_index_set_next(t->d->cfg.index, v.id, 0) ==
			       RC_OK); /* gone meanwhile: nothing to do */
	}
	queue_list_free(&l);
}

static void settle_host(struct attempt *t, struct group *g, struct host_try *try)
{
	const struct address *a = *VEC_AT(&g->addresses, struct address *, 0);
	struct outcome *o = &g->host_outcomes[try->host];
	bool failed =
	    o->is_set && o->result == RC_DEFER && (o->about & (HEDDLE_X_HOST | HEDDLE_X_MESSAGE));
	bool of_message = failed && (o->about & HEDDLE_X_MESSAGE);
	struct retry_hint h;

	if (failed &&
	    slice_starts(o->text,
	        "retry time not reached")) { /* smtp/client knows that it has just failed */
		struct claim c = {.is_ours = true, .until_us = clock_wall_us() + AVOIDED_US};
		try->waits = true;
		try->next_us =
		    !try->was_failing && find(t, try->key, &h) ? h.next_try_us : c.until_us;
		if (try->was_failing) /* it was claimed, and could not be tried after all */
			(void)(hints_update(hints_of(t), try->key, claim, &c, clock_wall_us(),
			           NULL) == RC_OK);
		return;
	}
	if (try->was_failing && (!failed || of_message)) {
		forget(t, try->key);
		wake_others(t, g);
	}
	if (!failed) {
		if (try->message_failed)
			forget(t, with_message(t, try->key));
		return;
	}
	slice_t key = of_message ? with_message(t, try->key) : try->key;
	try->failed = note_failure(t, key, retry_rule_for(t, a, g, o), of_message,
	    line_defer_number(g, o), why_of(t, a, g, o), &try->next_us, &try->gives_up);
}

/* None could be tried. */
static void settle_waiting(
    struct attempt *t, struct group *g, bool expired, bool since_arrival, int64_t until_us)
{
	for (size_t i = 0; i < g->addresses.count; i++) {
		const struct address *a = *VEC_AT(&g->addresses, struct address *, i);
		struct outcome *o = &g->outcomes[i];
		if (o->result != RC_DEFER || !slice_starts(o->text, "retry time not reached"))
			continue;
		*o = (struct outcome){.is_set = true,
		    .result = RC_DEFER,
		    .host = -1,
		    .text = SL(NOT_YET),
		    .waits_until_us = until_us};
		if (!expired)
			continue;
		o->result = RC_FAIL;
		o->waits_until_us = 0;
		o->text = arena_printf(t->arena,
		    "all hosts for '%.*s' have been failing for a long time%s",
		    SL_ARG(a->facts.domain),
		    since_arrival ? " and were last tried after this message arrived"
		                  : " (and retry time not reached)");
		o->text.flags = 0;
	}
}

void retry_unclaim_hosts(struct attempt *t, struct group *g)
{
	int64_t now = clock_wall_us();

	VEC_FOREACH(&g->host_tries, struct host_try, try)
	{
		struct claim c = {.is_ours = true, .now_us = now, .until_us = now};
		if (try->was_failing && !try->waits)
			(void)(hints_update(hints_of(t), try->key, claim, &c, now, NULL) == RC_OK);
	}
}

void retry_settle_hosts(struct attempt *t, struct group *g)
{
	bool all_wait = true, expired = true, since_arrival = true;
	int64_t until = INT64_MAX;

	VEC_FOREACH(&g->host_tries, struct host_try, try)
	{
		if (!try->waits)
			settle_host(t, g, try);
		all_wait = all_wait && try->waits;
		expired = expired && try->is_expired;
		since_arrival = since_arrival && try->since_arrival;
		if (try->waits && try->next_us < until)
			until = try->next_us;
	}
	if (g->host_tries.count && all_wait)
		settle_waiting(t, g, expired, since_arrival, until);
}

/* ---- what became of an address
 * -------------------------------------------------------------------------- */

/* By its hosts: when the first of them may be tried; given up when all that failed have been
 * failing for too long. */
static bool by_hosts(const struct group *g, int64_t *next_us, bool *gives_up)
{
	bool any = false;

	*next_us = INT64_MAX;
	*gives_up = true;
	VEC_FOREACH(&g->host_tries, const struct host_try, try)
	{
		if (try->failed) {
			any = true;
			*gives_up = *gives_up && try->gives_up;
		}
		if ((try->failed || try->waits) && try->next_us < *next_us)
			*next_us = try->next_us;
	}
	return any;
}

bool retry_failed(struct attempt *t, const struct address *a, const struct group *g,
    const struct outcome *o, struct retry_state *r, int64_t now_us, int64_t *out_next_us)
{
	bool gives_up = false, known = false;
	int64_t next = 0;
	slice_t key = slice_absent();

	r->by_host = false;
	if (!g || !o) {
		key = address_key(t, 'R', a->text, retry_uses_local_part(a, NULL, NULL));
	} else if (g->is_local) {
		key = local_key(t, a, g);
	} else if ((o->about & HEDDLE_X_RECIPIENT) && o->host >= 0) {
		key = address_key(t, 'R', a->text, true);
		if (transport_option(g, "address_retry_include_sender", 1) != 0)
			key = with_sender(t, key);
	} else {
		known = r->by_host = by_hosts(g, &next, &gives_up);
	}
	if (!slice_is_absent(key))
		known = note_failure(t, key, retry_rule_for(t, a, g, o), false,
		    line_defer_number(g, o), why_of(t, a, g, o), &next, &gives_up);
	if (!known)
		return retry_next(t, a, g, o, r, now_us, out_next_us);
	if (gives_up)
		return false;
	*out_next_us = next;
	return true;
}

void retry_forget(struct attempt *t, const struct address *a, const struct group *g)
{
	if (nothing_known(t))
		return;
	if (!g) {
		if (a->kind != ADDRESS_PLAIN)
			return;
		forget(t, address_key(t, 'R', a->text, false));
		forget(t, address_key(t, 'R', a->text, true));
	} else if (g->is_local) {
		forget(t, local_key(t, a, g));
	} else {
		slice_t key = address_key(t, 'R', a->text, true);
		forget(t, with_sender(t, key));
		forget(t, key);
	}
}
