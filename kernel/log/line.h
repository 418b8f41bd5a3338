/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log/line: one line of a log, with its time, escaped.  Private to log/.
 * Short lines (nearly all) are built on the caller's stack, long ones go to an arena of their own,
 * up to LOG_LINE_MAX.
 */
#ifndef HEDDLE_LOG_LINE_H
#define HEDDLE_LOG_LINE_H
#include "base/arena.h"

#define LOG_LINE_MAX ((size_t)256 << 10)

struct log_line {
	char *ptr;
	size_t len, cap;
	struct arena *arena;
	bool cut;
	char small[4096];
};
void log_line_init(struct log_line *l);
void log_line_fini(struct log_line *l);
void log_line_char(struct log_line *l, char c);
void log_line_raw(struct log_line *l, const char *p, size_t n);
/* Control characters as \n, \r, \b, \f, \v or octal, tabs as they are; bytes over 126 as octal
 * unless topbit. */
void log_line_escaped(struct log_line *l, slice_t s, bool topbit);
/* Lines of a header: only control characters other than tab and newline are escaped.  Ends with a
 * newline. */
void log_line_detail(struct log_line *l, slice_t s);
/* The closing newline, behind " ..." if something did not fit. */
void log_line_end(struct log_line *l);

/* A point in time, taken apart. */
struct log_time {
	int64_t second; /* since 1970 */
	int year, month, day, hour, minute, sec, millis;
	int offset; /* seconds east of Greenwich */
};
/* The zone's offset, asked for once in a quarter of an hour: changes come on its bounds.  Zeroed:
 * nothing cached. */
struct log_zone {
	_Atomic uint64_t cached; /* number of the quarter << 24 | offset + 2^23; relaxed: it is all
	                            in one word */
};
void log_time_of(struct log_zone *zone, int64_t wall_us, bool utc, struct log_time *out);
void log_line_time(struct log_line *l, const struct log_time *t, bool millis, bool zone);
#endif
