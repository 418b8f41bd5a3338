/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;
	MUST(clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * US_PER_SEC + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

/* Whole seconds, downwards also before 1970. */
static time_t whole_seconds(int64_t wall_us, int *out_millis)
{
	int64_t s = wall_us / US_PER_SEC, rest = wall_us % US_PER_SEC;
	if (rest < 0) {
		rest += US_PER_SEC;
		s--;
	}
	*out_millis = (int)(rest / 1000);
	return (time_t)s;
}

struct zone_text {
	char text[8];
};

static struct zone_text zone_of(const struct tm *tm)
{
	long minutes = tm->tm_gmtoff / 60;
	unsigned long u = (unsigned long)(minutes < 0 ? -minutes : minutes);
	unsigned h = (unsigned)(u / 60 % 100), m = (unsigned)(u % 60);
	struct zone_text z = {{minutes < 0 ? '-' : '+', (char)('0' + h / 10), (char)('0' + h % 10),
	    (char)('0' + m / 10), (char)('0' + m % 10), '\0'}};
	return z;
}

slice_t clock_log_text(struct arena *a, int64_t wall_us, bool utc, bool millis, bool zone)
{
	int ms;
	time_t t = whole_seconds(wall_us, &ms);
	struct tm tm = {0};
	MUST(utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm));
	char fraction[8] = "";
	if (millis) {
		fraction[0] = '.';
		fraction[1] = (char)('0' + ms / 100);
		fraction[2] = (char)('0' + ms / 10 % 10);
		fraction[3] = (char)('0' + ms % 10);
	}
	struct zone_text z = zone_of(&tm);
	return arena_printf(a, "%04d-%02d-%02d %02d:%02d:%02d%s%s%s", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction, zone ? " " : "",
	    zone ? z.text : "");
}

slice_t clock_rfc5322(struct arena *a, int64_t wall_us)
{
	/* not strftime's: those follow the locale */
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int ms;
	time_t t = whole_seconds(wall_us, &ms);
	struct tm tm = {0};
	MUST(localtime_r(&t, &tm));
	return arena_printf(a, "%s, %02d %s %04d %02d:%02d:%02d %s", days[tm.tm_wday], tm.tm_mday,
	    months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    zone_of(&tm).text);
}

slice_t clock_interval(struct arena *a, int64_t seconds)
{
	static const struct {
		char letter;
		uint64_t seconds;
	} units[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
	uint64_t left = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
	char text[64];
	size_t n = 0;
	if (seconds < 0)
		text[n++] = '-';
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		uint64_t count = left / units[i].seconds;
		left %= units[i].seconds;
		if (count == 0 && !(seconds == 0 && units[i].letter == 's'))
			continue;
		char digits[20];
		size_t d = sizeof digits;
		do
			digits[--d] = (char)('0' + count % 10);
		while (count /= 10);
		memcpy(text + n, digits + d, sizeof digits - d);
		n += sizeof digits - d;
		text[n++] = units[i].letter;
	}
	return arena_dup(a, slice_of(text, n, HEDDLE_CLEAN));
}
