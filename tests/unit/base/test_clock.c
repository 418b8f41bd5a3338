/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"

#include "lib/tap.h"

#include <stdlib.h>
#include <time.h>

static void set_zone(const char *tz)
{
	(void)setenv("TZ", tz, 1);
	tzset();
}

TEST(clocks_run)
{
	int64_t a = clock_mono_us(), b = clock_mono_us();
	CHECK(a > 0 && b >= a);
	int64_t wall = clock_wall_us();
	CHECK(llabs(wall / US_PER_SEC - (int64_t)time(NULL)) <= 1);
}

TEST(log_form)
{
	static const struct {
		const char *tz;
		int64_t us;
		bool utc, millis, zone;
		const char *want;
	} rows[] = {
	    {"UTC", INT64_C(1795555824000000), false, false, false, "2026-11-24 21:30:24"},
	    {"UTC", INT64_C(1795555824123999), false, true, false, "2026-11-24 21:30:24.123"},
	    {"UTC", INT64_C(1795555824007000), false, true, true, "2026-11-24 21:30:24.007 +0000"},
	    {"CET-1CEST,M3.5.0,M10.5.0/3", INT64_C(1795555824000000), false, false, true,
	        "2026-11-24 22:30:24 +0100"},
	    {"CET-1CEST,M3.5.0,M10.5.0/3", INT64_C(1782864000000000), false, false, true,
	        "2026-07-01 02:00:00 +0200"},
	    {"CET-1CEST,M3.5.0,M10.5.0/3", INT64_C(1795555824000000), true, false, true,
	        "2026-11-24 21:30:24 +0000"},
	    {"<-0330>3:30", INT64_C(1795555824000000), false, false, true,
	        "2026-11-24 18:00:24 -0330"},
	    {"UTC", 0, false, false, false, "1970-01-01 00:00:00"},
	    {"UTC", -1, false, true, false, "1969-12-31 23:59:59.999"},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		set_zone(rows[i].tz);
		CHECK_EQ_STR(
		    clock_log_text(a, rows[i].us, rows[i].utc, rows[i].millis, rows[i].zone),
		    rows[i].want);
	}
	set_zone("UTC");
	arena_free(&a);
}

TEST(rfc5322_form)
{
	struct arena *a = arena_new(0);
	set_zone("UTC");
	CHECK_EQ_STR(
	    clock_rfc5322(a, INT64_C(1795555824999999)), "Tue, 24 Nov 2026 21:30:24 +0000");
	CHECK_EQ_STR(clock_rfc5322(a, INT64_C(951782400000000)), "Tue, 29 Feb 2000 00:00:00 +0000");
	set_zone("<-0330>3:30");
	CHECK_EQ_STR(
	    clock_rfc5322(a, INT64_C(1795491000000000)), "Tue, 24 Nov 2026 00:00:00 -0330");
	set_zone("UTC");
	arena_free(&a);
}

TEST(interval_form)
{
	static const struct {
		int64_t seconds;
		const char *want;
	} rows[] = {{0, "0s"}, {1, "1s"}, {60, "1m"}, {200, "3m20s"}, {93600, "1d2h"},
	    {604800, "1w"}, {694861, "1w1d1h1m1s"}, {604799, "6d23h59m59s"}, {3601, "1h1s"},
	    {-5, "-5s"}, {INT64_MIN, "-15250284452471w3d15h30m8s"},
	    {INT64_MAX, "15250284452471w3d15h30m7s"}};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		slice_t s = clock_interval(a, rows[i].seconds);
		CHECK_EQ_STR(s, rows[i].want);
		int64_t ms;
		if (rows[i].seconds >= 0 && rows[i].seconds < 1000000)
			CHECK(slice_to_ms(s, &ms) && ms == rows[i].seconds * 1000);
	}
	arena_free(&a);
}

TAP_MAIN()
