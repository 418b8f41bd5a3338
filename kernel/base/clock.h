/* SPDX-License-Identifier: GPL-3.0-or-later */
/* base/clock: the two clocks.  Microseconds throughout; deadlines are on the monotonic one,
 * INT64_MAX = none. */
#ifndef HEDDLE_BASE_CLOCK_H
#define HEDDLE_BASE_CLOCK_H
#include "base/arena.h"

#define US_PER_SEC     INT64_C(1000000)
#define DEADLINE_NEVER INT64_MAX

int64_t clock_mono_us(void);
int64_t clock_wall_us(void); /* since 1970, UTC */
/* "2026-11-24 21:30:24" (local, or UTC when `utc`), with ".123" when millis, " +0100" when zone:
 * Exim's log form. */
slice_t clock_log_text(struct arena *a, int64_t wall_us, bool utc, bool millis, bool zone);
/* "Tue, 24 Nov 2026 21:30:24 +0000": RFC 5322 3.3, local zone. */
slice_t clock_rfc5322(struct arena *a, int64_t wall_us);
/* Exim's interval form: "1d2h", "3m20s", "0s"; from seconds. */
slice_t clock_interval(struct arena *a, int64_t seconds);
#endif
