/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which retry rule is for what went wrong: specification, 32.2 to 32.6. */
#include "deliver/deliver_private.h"
#include "message/message.h"

/* The replies that a rule can name: at which command, known by what the error is about and by its
 * text. */
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
	if ((d.ptr[1] != 'x' && d.ptr[1] - '0' != o->smtp / 10 % 10) ||
	    (d.ptr[2] != 'x' && d.ptr[2] - '0' != o->smtp % 10))
		return false;
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
		if (slice_starts(name, replies[i].name) && (o->about & replies[i].about) &&
		    text_has(o->text, replies[i].said))
			return true;
	return false;
}

/* Errors that are known by their text; what a time-out of a connection says is also in that of a
 * session. */
static const struct {
	const char *name, *said, *but_not;
} texts[] = {
    {"timeout_connect", "Connection timed out", "SMTP timeout"},
    {"timeout", "timed out", NULL},
    {"refused", "Connection refused", NULL},
    {"lost_connection", "closed connection", NULL},
    {"auth_failed", "uthentication required but", NULL},
    {"tls_required", "TLS session", NULL},
    {"tls_required", "after STARTTLS", NULL},
};

static const struct heddle_route_host *host_of(const struct group *g, const struct outcome *o)
{
	if (!g || !o || o->host < 0 || (size_t)o->host >= g->hosts->count)
		return NULL;
	return VEC_AT(g->hosts, struct heddle_route_host, (size_t)o->host);
}

/* "quota", or "quota_TIME": the mailbox is full, and nobody has read it for that long. */
static bool quota_matches(slice_t name, const struct outcome *o)
{
	int64_t ms;

	if (!(o->about & HEDDLE_X_QUOTA))
		return false;
	return name.len == 5 || (slice_to_ms(slice_sub(name, 6, name.len), &ms) && o->idle_s >= 0 &&
	                            o->idle_s >= ms / 1000);
}

static bool error_matches(
    slice_t name, const struct address *a, const struct group *g, const struct outcome *o)
{
	if (slice_eqs(name, "*"))
		return true;
	if (!o)
		return slice_eqs(name, "lookup") && !slice_is_absent(a->logged) &&
		       text_has(a->logged, "host lookup");
	if (slice_starts(name, "rcpt_") || slice_starts(name, "mail_") ||
	    slice_starts(name, "data_"))
		return reply_matches(name, o);
	if (slice_eqs(name, "quota") || slice_starts(name, "quota_"))
		return quota_matches(name, o);
	const struct heddle_route_host *h = host_of(g, o);
	bool mx = h && (h->flags & HEDDLE_H_MX);
	if (ends(name, "_MX") || ends(name, "_A")) {
		bool wants_mx = ends(name, "_MX");
		if (!h || mx != wants_mx)
			return false;
		name = slice_sub(name, 0, name.len - (wants_mx ? 3 : 2));
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slice_eqs(name, texts[i].name) && text_has(o->text, texts[i].said) &&
		    !(texts[i].but_not && text_has(o->text, texts[i].but_not)))
			return true;
	return false;
}

static bool option_is(const struct option_value *o, bool unset)
{
	return slice_is_absent(o->text) ? unset : o->number != 0;
}

/* Does the routing of this router depend on the local part?  (Its option, else what its
 * preconditions look at.) */
static bool router_uses_local_part(const struct heddle_instance *r)
{
	static const enum router_option looks[] = {RO_local_parts, RO_condition,
	    RO_local_part_prefix, RO_local_part_suffix, RO_senders, RO_require_files};
	bool uses = r && r->generic[RO_check_local_user].number != 0;

	if (!r)
		return false;
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
		uses = uses || !slice_is_absent(r->generic[looks[i]].text);
	return option_is(&r->generic[RO_retry_use_local_part], uses);
}

bool retry_uses_local_part(const struct address *a, const struct group *g, const struct outcome *o)
{
	if (!g || !o)
		return router_uses_local_part(a->router);
	if (g->is_local)
		return option_is(&g->transport->generic[TO_retry_use_local_part], true);
	return (o->about & HEDDLE_X_RECIPIENT) != 0;
}

/* What a rule's pattern is held against, one after the other: the address where the local part
 * matters, else the domain with
 * "*" for a local part; for an error of a host its name comes first. */
static size_t subjects(struct attempt *t, const struct address *a, const struct group *g,
    const struct outcome *o, slice_t out[2])
{
	slice_t whole = a->kind == ADDRESS_PLAIN ? a->text : address_top(a)->text, local, domain;
	const struct heddle_route_host *h = host_of(g, o);
	size_t n = 0;

	if (retry_uses_local_part(a, g, o) || !address_split(whole, &local, &domain)) {
		out[n++] = whole;
		return n;
	}
	if (h && !g->is_local)
		out[n++] =
		    arena_printf(t->arena, "*@%.*s", SL_ARG(h->name.len ? h->name : h->address));
	out[n++] = arena_printf(t->arena, "*@%.*s", SL_ARG(domain));
	return n;
}

static bool pattern_matches(
    struct attempt *t, const struct retry_rule *r, const slice_t *subject, size_t n)
{
	struct error err;

	for (size_t i = 0; i < n; i++)
		if (match_address(&t->ev, r->pattern, subject[i], NULL, &err) == RC_OK)
			return true;
	return false;
}

const struct retry_rule *retry_rule_for(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o)
{
	slice_t subject[2];
	size_t n = subjects(t, a, g, o, subject);
	struct error err;

	VEC_FOREACH(config_retry_rules(t->cfg), const struct retry_rule, r)
	{
		if (!error_matches(r->error, a, g, o) || !pattern_matches(t, r, subject, n))
			continue;
		if (!r->senders ||
		    match_address(&t->ev, r->senders, t->m->sender, NULL, &err) == RC_OK)
			return r;
	}
	return NULL;
}

/* ---- -brt
 * -----------------------------------------------------------------------------------------------
 */

/* "1w2d3h": as Exim prints times. */
static void put_interval(struct strbuf *out, int64_t seconds)
{
	static const struct {
		int64_t seconds;
		char letter;
	} units[] = {{604800, 'w'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	bool any = false;

	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		int64_t n = seconds / units[i].seconds;
		seconds %= units[i].seconds;
		if (n) {
			strbuf_printf(out, "%lld%c", (long long)n, units[i].letter);
			any = true;
		}
	}
	if (!any)
		strbuf_text(out, "0s");
}

static void put_rule(const struct retry_rule *r, struct strbuf *out)
{
	strbuf_printf(out, "Retry rule: %.*s  %.*s  ", SL_ARG(r->pattern_text), SL_ARG(r->error));
	VEC_FOREACH(&r->steps, const struct retry_step, s)
	{
		strbuf_printf(out, "%c,", (int)s->form);
		put_interval(out, s->until_s);
		strbuf_char(out, ',');
		put_interval(out, s->interval_s);
		if (s->form != RETRY_FIXED)
			strbuf_printf(out, ",%lld.%03lld", (long long)(s->factor_milli / 1000),
			    (long long)(s->factor_milli % 1000));
		strbuf_text(out, "; ");
	}
	strbuf_char(out, '\n');
}

/* A rule is for what has its name, or for all; quota_TIME for what has been full and unread for
 * longer. */
static bool is_named(slice_t rule, slice_t error)
{
	int64_t rule_ms = 0, ms = 0;

	if (slice_eqs(rule, "*") || slice_eq(rule, error))
		return true;
	if (slice_is_absent(error))
		return false;
	if (slice_starts(rule, "quota_") && slice_starts(error, "quota_"))
		return slice_to_ms(slice_sub(rule, 6, rule.len), &rule_ms) &&
		       slice_to_ms(slice_sub(error, 6, error.len), &ms) && ms >= rule_ms;
	if (slice_eqs(rule, "quota") && slice_starts(error, "quota_"))
		return true;
	/* "timeout" is for "timeout_connect_MX" too; "rcpt_4xx" for "rcpt_451" */
	if (slice_starts(error, "timeout") && slice_eqs(rule, "timeout"))
		return true;
	if (rule.len != error.len ||
	    !(slice_starts(rule, "rcpt_4") || slice_starts(rule, "mail_4") ||
	        slice_starts(rule, "data_4")))
		return false;
	for (uint32_t i = 0; i < rule.len; i++)
		if (rule.ptr[i] != error.ptr[i] && !(i >= 6 && rule.ptr[i] == 'x'))
			return false;
	return true;
}

enum rc deliver_retry_test(struct eval *ev, slice_t subject, slice_t second, slice_t error,
    struct strbuf *out, struct error *err)
{
	slice_t subjects[] = {subject, second};

	for (int i = 0; i < 2; i++) {
		slice_t s = subjects[i];
		if (slice_is_absent(s))
			continue;
		if (slice_find(s, '@') == SIZE_MAX)
			s = arena_printf(ev->arena, "*@%.*s", SL_ARG(s));
		VEC_FOREACH(config_retry_rules(ev->cfg), const struct retry_rule, r)
		{
			struct error none;
			if (is_named(r->error, error) &&
			    match_address(ev, r->pattern, s, NULL, &none) == RC_OK) {
				put_rule(r, out);
				return RC_OK;
			}
		}
	}
	return error_set(err, RC_FAIL, "No retry information found");
}
