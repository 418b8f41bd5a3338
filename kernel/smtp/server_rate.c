/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slowing down: smtp_ratelimit_mail and smtp_ratelimit_rcpt; and the load of this host. */
#include "smtp/server_private.h"

#include <stdlib.h>

/* "0.25s", "4m": as times elsewhere, but with a fraction. */
static bool parse_delay(slice_t text, double *out_ms)
{
	char buf[40], *end;
	int64_t ms;
	size_t dot = slice_find(text, '.');
	if (dot == SIZE_MAX) {
		if (!slice_to_ms(text, &ms))
			return false;
		*out_ms = (double)ms;
		return true;
	}
	if (!slice_copy(text, buf, sizeof buf))
		return false;
	double n = strtod(buf, &end);
	double unit = *end == 'm' ? 60000 : *end == 'h' ? 3600000 : 1000;
	*out_ms = n * unit;
	return end != buf && n >= 0 && (!*end || (strchr("smh", *end) && !end[1]));
}

/* threshold, initial delay, factor, maximum */
static bool parse_rate(slice_t text, struct rate_limit *out)
{
	slice_t rest = text, part[4];
	char buf[40], *end;
	int64_t n;
	size_t count = 0;
	while (count < 4 && slice_next(&rest, ',', &part[count]))
		count++;
	if (count != 4 || !slice_to_i64(slice_trim(part[0]), 10, false, &n) || n < 0 ||
	    !parse_delay(slice_trim(part[1]), &out->delay_ms) ||
	    !slice_copy(slice_trim(part[2]), buf, sizeof buf) ||
	    !parse_delay(slice_trim(part[3]), &out->max_ms))
		return false;
	out->threshold = n;
	out->factor = strtod(buf, &end);
	return end != buf && !*end && out->factor > 0;
}

void session_delay(struct run *r, int64_t ms)
{
	struct session *s = r->s;
	int64_t until = clock_mono_us() + ms * 1000;
	if (ms <= 0)
		return;
	(void)reply_flush(r); /* what was said before is not to wait too */
	if (until > s->delay_until_us)
		s->delay_until_us = until;
}

void rate_begin(struct run *r, struct rate_limit *l, enum main_option o)
{
	slice_t text = config_text(r->s->cfg, o);
	*l = (struct rate_limit){.threshold = -1};
	if (slice_is_absent(text) || !text.len || !host_matches(r, MO_smtp_ratelimit_hosts))
		return;
	if (!parse_rate(text, l)) {
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC,
		    "\"%.*s\" is no rate limit: threshold, delay, factor and maximum were expected",
		    SL_ARG(text));
		l->threshold = -1;
	}
}

void rate_apply(struct run *r, struct rate_limit *l, int64_t count)
{
	if (l->threshold < 0 || count <= l->threshold)
		return;
	session_delay(r, (int64_t)(l->delay_ms < l->max_ms ? l->delay_ms : l->max_ms));
	l->delay_ms *= l->factor;
	if (l->delay_ms > l->max_ms)
		l->delay_ms = l->max_ms;
}

/* Is the load above this option's value?  false too where it is not set. */
bool load_is_above(struct run *r, enum main_option o, double *out_load)
{
	char buf[40], *end;
	slice_t text = slice_trim(config_text(r->s->cfg, o));
	if (!text.len || !slice_copy(text, buf, sizeof buf))
		return false;
	double limit = strtod(buf, &end);
	if (end == buf || *end) {
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "\"%.*s\" is no load", SL_ARG(text));
		return false;
	}
	return getloadavg(out_load, 1) == 1 && *out_load > limit;
}
