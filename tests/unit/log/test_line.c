/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/line.h"

#include "base/clock.h"
#include "lib/tap.h"

#include <stdlib.h>
#include <time.h>

TEST(escaping)
{
	static const struct {
		const char *in;
		bool topbit;
		const char *want;
	} rows[] = {
	    {"plain text", false, "plain text"},
	    {"", false, ""},
	    {"a\nb", false, "a\\nb"},
	    {"\r\b\f\v\a", false, "\\r\\b\\f\\v\\007"},
	    {"tab\there", false, "tab\there"},
	    {"back\\slash", false, "back\\slash"},
	    {"\x01\x1b[2J\x7f", false, "\\001\\033[2J\\177"},
	    {"\xc3\xa4", false, "\\303\\244"},
	    {"\xc3\xa4\x7f", true, "\xc3\xa4\\177"},
	    {"x\n2026-01-01 00:00:00 forged", false, "x\\n2026-01-01 00:00:00 forged"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct log_line l;
		log_line_init(&l);
		log_line_escaped(&l, slice_cstr(rows[i].in), rows[i].topbit);
		CHECK_EQ_STR(slice_tainted(l.ptr, l.len), rows[i].want);
		log_line_fini(&l);
	}
	struct log_line l;
	log_line_init(&l);
	log_line_escaped(&l, SL("a\0b"), false);
	CHECK_EQ_STR(slice_tainted(l.ptr, l.len), "a\\000b");
	log_line_detail(&l, SL("F From: x\n\ty\x01\xe4"));
	CHECK_EQ_STR(slice_tainted(l.ptr, l.len), "a\\000bF From: x\n\ty\\001\xe4\n");
	log_line_fini(&l);
}

TEST(long_lines_are_cut_once)
{
	static char big[LOG_LINE_MAX + 10];
	memset(big, 'x', sizeof big);
	static const size_t sizes[] = {4000, 4087, 4088, 4089, 4096, 100000, LOG_LINE_MAX - 8};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct log_line l;
		log_line_init(&l);
		log_line_escaped(&l, slice_tainted(big, sizes[i]), false);
		log_line_end(&l);
		CHECK_EQ_INT(l.len, sizes[i] + 1);
		CHECK(l.ptr[0] == 'x' && l.ptr[l.len - 2] == 'x' && l.ptr[l.len - 1] == '\n');
		log_line_fini(&l);
	}
	struct log_line l;
	log_line_init(&l);
	log_line_escaped(&l, SL("front "), false);
	log_line_escaped(&l, slice_tainted(big, sizeof big), false);
	log_line_escaped(&l, SL("behind"), false);
	log_line_end(&l);
	CHECK_EQ_STR(slice_tainted(l.ptr, l.len), "front  ...\n");
	log_line_fini(&l);
}

/* Against the C library, over leap days, zone changes and before 1970. */
TEST(times_agree_with_the_library)
{
	static const char *const zones[] = {"UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "<-0330>3:30",
	    "<+0545>-5:45", "EST5EDT,M3.2.0,M11.1.0"};
	struct arena *a = arena_new(0);
	int wrong = 0;
	for (size_t z = 0; z < sizeof zones / sizeof zones[0]; z++) {
		(void)setenv("TZ", zones[z], 1);
		tzset();
		struct log_zone zone = {0};
		for (int64_t s = -1000000000; s < 5000000000; s += 7777777) {
			struct log_time t;
			struct log_line l;
			log_line_init(&l);
			log_time_of(&zone, s * US_PER_SEC + 123456, false, &t);
			log_line_time(&l, &t, true, true);
			slice_t want =
			    clock_log_text(a, s * US_PER_SEC + 123456, false, true, true);
			wrong +=
			    !slice_eq(slice_sub(slice_tainted(l.ptr, l.len), 0, l.len - 1), want);
			log_line_fini(&l);
			arena_reset(a);
		}
		/* across a change of the zone, second by second */
		for (int64_t s = 1793494500; s < 1793496100; s++) {
			struct log_time t;
			log_time_of(&zone, s * US_PER_SEC, false, &t);
			time_t tt = (time_t)s;
			struct tm tm;
			wrong += localtime_r(&tt, &tm) == NULL || tm.tm_hour != t.hour ||
			         tm.tm_gmtoff != t.offset;
		}
	}
	CHECK_EQ_INT(wrong, 0);
	(void)setenv("TZ", "CET-1", 1);
	tzset();
	struct log_zone zone = {0};
	struct log_time t;
	log_time_of(&zone, 0, true, &t);
	CHECK(t.hour == 0 && t.offset == 0);
	log_time_of(&zone, 0, false, &t);
	CHECK(t.hour == 1 && t.offset == 3600);
	arena_free(&a);
}

TAP_MAIN()
