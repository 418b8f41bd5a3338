/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The retry section of a configuration: read, chosen from by what went wrong, and asked when the
 * next try is.  32 bytes of times and answers, a line that is what the server said, the section.
 */
#include "config/config.h"
#include "deliver/deliver_private.h"
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TIMES 32

static int64_t time_of(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return (int64_t)(v & (UINT64_C(1) << 62)
	                     ? v >> 2
	                     : v >> 12); /* absurd ones, and those that may be */
}

static void check_times(const struct retry_rule *r, const uint8_t *times)
{
	int64_t now = time_of(times), next = -1, max_s = 1 + times[24] * (int64_t)330, cutoff = 0;
	struct retry_past p = {.first_failed_us = time_of(times + 8),
	    .last_try_us = time_of(times + 16),
	    .planned_us = time_of(times + 16) + times[25] * INT64_C(100) * US_PER_SEC};
	VEC_FOREACH(&r->steps, const struct retry_step, s)
	{
		MUST(s->until_s > 0 && s->interval_s > 0 && s->factor_milli >= 1000);
		cutoff = s->until_s > cutoff ? s->until_s : cutoff;
	}
	bool in_time = retry_when(r, &p, now, max_s, &next);
	MUST(next > now && next - now <= max_s * US_PER_SEC);
	MUST(in_time == ((now - p.first_failed_us) / US_PER_SEC < cutoff));
	MUST(retry_cutoff_s(r) <= cutoff);
}

static void choose(struct arena *a, struct config *cfg, slice_t said, const uint8_t *times)
{
	struct message *m = message_new();
	struct attempt t = {.arena = a, .cfg = cfg, .m = m};
	struct heddle_route_host host = {.struct_size = sizeof host,
	    .flags = times[26] & 1 ? HEDDLE_H_MX : 0,
	    .name = SL("mx.d.example"),
	    .address = SL("192.0.2.1")};
	struct vec hosts = {0};
	struct group g = {.hosts = &hosts};
	struct outcome o = {.is_set = true,
	    .result = RC_DEFER,
	    .smtp = times[27] ? 400 + times[27] % 100 : 0,
	    .host = times[28] % 3 - 1,
	    .about = times[29],
	    .text = said};
	struct address addr = {.kind = ADDRESS_PLAIN, .text = SL("u@d.example"), .logged = said};
	*VEC_PUSH(a, &hosts, struct heddle_route_host) = host;
	m->sender = times[30] & 1 ? SL("") : SL("s@x.example");
	eval_init(&t.ev, a, cfg);
	const struct retry_rule *r = retry_rule_for(&t, &addr, &g, &o);
	MUST(r == retry_rule_for(&t, &addr, &g, &o));
	if (r && r->steps.count)
		check_times(r, times);
	(void)retry_rule_for(&t, &addr, NULL, NULL);
	message_unref(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < TIMES + 1 || size > (1U << 15))
		return 0;
	struct arena *a = arena_new(0);
	struct vec problems = {0}, warnings = {0};
	struct config *cfg = NULL;
	slice_t text = slice_tainted(data + TIMES, size - TIMES), said = text;
	if (!slice_next(&text, '\n', &said))
		said = SL("");
	struct config_source src = {.path = "fuzz",
	    .content = arena_printf(a, "primary_hostname = mx\nbegin retry\n%.*s\n", SL_ARG(text)),
	    .no_includes = true,
	    .no_instances = true};
	if (config_load(&src, a, &problems, &warnings, &cfg) == RC_OK) {
		VEC_FOREACH(config_retry_rules(cfg), const struct retry_rule, r)
		if (r->steps.count)
			check_times(r, data);
		choose(a, cfg, said, data);
	}
	VEC_FOREACH(&problems, struct error, e)
	MUST(e->text[0]);
	config_unref(&cfg);
	arena_free(&a);
	return 0;
}
