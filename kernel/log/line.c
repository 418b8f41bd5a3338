/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/line.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

enum { TAIL_ROOM = 8 }; /* " ...\n" always fits */

void log_line_init(struct log_line *l)
{
	l->ptr = l->small;
	l->len = 0;
	l->cap = sizeof l->small;
	l->arena = NULL;
	l->cut = false;
}

void log_line_fini(struct log_line *l)
{
	arena_free(&l->arena);
}

static bool reserve(struct log_line *l, size_t more)
{
	if (l->cut || more > LOG_LINE_MAX - l->len - TAIL_ROOM) {
		l->cut = true;
		return false;
	}
	size_t need = l->len + more + TAIL_ROOM;
	if (need <= l->cap)
		return true;
	size_t cap = l->cap * 2 > need ? l->cap * 2 : need;
	if (!l->arena)
		l->arena = arena_new(cap);
	char *p = arena_bytes(l->arena, cap);
	memcpy(p, l->ptr, l->len);
	l->ptr = p;
	l->cap = cap;
	return true;
}

void log_line_raw(struct log_line *l, const char *p, size_t n)
{
	if (n && reserve(l, n)) {
		memcpy(l->ptr + l->len, p, n);
		l->len += n;
	}
}

void log_line_char(struct log_line *l, char c)
{
	log_line_raw(l, &c, 1);
}

static void put_escape(struct log_line *l, unsigned char c)
{
	static const char letters[] = {
	    ['\n'] = 'n', ['\r'] = 'r', ['\b'] = 'b', ['\f'] = 'f', ['\v'] = 'v'};
	if (c < sizeof letters && letters[c]) {
		log_line_raw(l, (const char[]){'\\', letters[c]}, 2);
		return;
	}
	const char octal[] = {
	    '\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)), (char)('0' + (c & 7))};
	log_line_raw(l, octal, sizeof octal);
}

/* Copies runs of plain characters at once; `plain` says which they are. */
static void put_text(struct log_line *l, slice_t s, bool topbit, bool newline)
{
	size_t from = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if ((c >= ' ' && c < 127) || c == '\t' || (c >= 128 && topbit) ||
		    (c == '\n' && newline))
			continue;
		log_line_raw(l, s.ptr + from, i - from);
		put_escape(l, c);
		from = i + 1;
	}
	if (from < s.len)
		log_line_raw(l, s.ptr + from, s.len - from);
}

void log_line_escaped(struct log_line *l, slice_t s, bool topbit)
{
	put_text(l, s, topbit, false);
}

void log_line_detail(struct log_line *l, slice_t s)
{
	put_text(l, s, true, true);
	if (s.len && s.ptr[s.len - 1] != '\n')
		log_line_char(l, '\n');
}

void log_line_end(struct log_line *l)
{
	/* reserve() kept this room */
	if (l->cut) {
		memcpy(l->ptr + l->len, " ...", 4);
		l->len += 4;
	}
	l->ptr[l->len++] = '\n';
}

/* ---- time -------------------------------------------------------------------------------------
 */

static int zone_offset(struct log_zone *zone, int64_t second)
{
	const uint64_t bias = UINT64_C(1) << 23;
	uint64_t quarter = second > 0 ? (uint64_t)second / 900 : 0;
	uint64_t cached = atomic_load_explicit(&zone->cached, memory_order_relaxed);
	if (cached >> 24 == quarter && cached != 0)
		return (int)((int64_t)(cached & (2 * bias - 1)) - (int64_t)bias);
	time_t t = (time_t)second;
	struct tm tm = {0};
	if (!localtime_r(&t, &tm))
		return 0;
	uint64_t word = quarter << 24 | (uint64_t)(tm.tm_gmtoff + (long)bias);
	atomic_store_explicit(&zone->cached, word, memory_order_relaxed);
	return (int)tm.tm_gmtoff;
}

/* Days since 1970 to a date of the Gregorian calendar; years begin in March so that the leap day
 * comes last. */
static void date_of(int64_t days, struct log_time *out)
{
	days += 719468; /* from 0000-03-01 */
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t day = days - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t in_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * in_year + 2) / 153;
	out->day = (int)(in_year - (153 * month + 2) / 5 + 1);
	out->month = (int)(month < 10 ? month + 3 : month - 9);
	out->year = (int)(year + era * 400 + (out->month <= 2));
}

void log_time_of(struct log_zone *zone, int64_t wall_us, bool utc, struct log_time *out)
{
	int64_t second = wall_us / US_PER_SEC, us = wall_us % US_PER_SEC;
	if (us < 0) {
		us += US_PER_SEC;
		second--;
	}
	out->second = second;
	out->millis = (int)(us / 1000);
	out->offset = utc ? 0 : zone_offset(zone, second);
	int64_t local = second + out->offset;
	int64_t days = local / 86400, rest = local % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	date_of(days, out);
	out->hour = (int)(rest / 3600);
	out->minute = (int)(rest / 60 % 60);
	out->sec = (int)(rest % 60);
}

static char *put_digits(char *p, int v, int digits)
{
	for (int i = digits; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + digits;
}

void log_line_time(struct log_line *l, const struct log_time *t, bool millis, bool zone)
{
	char text[40], *p = text;
	p = put_digits(p, t->year, 4);
	*p++ = '-';
	p = put_digits(p, t->month, 2);
	*p++ = '-';
	p = put_digits(p, t->day, 2);
	*p++ = ' ';
	p = put_digits(p, t->hour, 2);
	*p++ = ':';
	p = put_digits(p, t->minute, 2);
	*p++ = ':';
	p = put_digits(p, t->sec, 2);
	if (millis) {
		*p++ = '.';
		p = put_digits(p, t->millis, 3);
	}
	if (zone) {
		int minutes = (t->offset < 0 ? -t->offset : t->offset) / 60;
		*p++ = ' ';
		*p++ = t->offset < 0 ? '-' : '+';
		p = put_digits(p, minutes / 60, 2);
		p = put_digits(p, minutes % 60, 2);
	}
	*p++ = ' ';
	log_line_raw(l, text, (size_t)(p - text));
}
