/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "thread/gate.h"

#include "base/result.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CLOSED, AWAITED, OPEN };

void gate_init(struct gate *g)
{
	atomic_init(&g->state, CLOSED);
}

void gate_open(struct gate *g)
{
	/* release: what was written before; only the address is used behind this line */
	if (atomic_exchange_explicit(&g->state, OPEN, memory_order_release) == AWAITED)
		(void)syscall(SYS_futex, &g->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool gate_wait(struct gate *g, int64_t deadline_us)
{
	int64_t at = deadline_us > 0 ? deadline_us : 0;
	struct timespec ts = {
	    .tv_sec = (time_t)(at / US_PER_SEC), .tv_nsec = (long)(at % US_PER_SEC) * 1000};
	uint32_t seen = CLOSED;

	/* acquire on success and failure alike: either may be what finds it open */
	(void)atomic_compare_exchange_strong_explicit(
	    &g->state, &seen, AWAITED, memory_order_acquire, memory_order_acquire);
	while (atomic_load_explicit(&g->state, memory_order_acquire) != OPEN) {
		/* WAIT_BITSET takes an absolute time of the monotonic clock */
		if (syscall(SYS_futex, &g->state, FUTEX_WAIT_BITSET_PRIVATE, AWAITED,
		        deadline_us == DEADLINE_NEVER ? NULL : &ts, NULL,
		        FUTEX_BITSET_MATCH_ANY) != 0 &&
		    errno == ETIMEDOUT)
			return atomic_load_explicit(&g->state, memory_order_acquire) == OPEN;
	}
	return true;
}
