/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/gate: something that happens once, and the one thread that waits for it.
 *
 * Lighter than a mutex with a condition for a waiter that owns all of it: the thread that opens the
 * gate wakes nobody who then runs into a lock.  Everything written before gate_open is seen behind
 * gate_wait.  The opening is the opener's last touch: the waiter may free the gate as soon as it
 * knows that it is open (a wake that comes later finds an address, not an object).
 */
#ifndef HEDDLE_THREAD_GATE_H
#define HEDDLE_THREAD_GATE_H
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
	_Atomic uint32_t state;
};

void gate_init(struct gate *g);
/* Once, by any thread. */
void gate_open(struct gate *g);
/* One thread at a time.  deadline_us on the monotonic clock, DEADLINE_NEVER: none.  false: the
 * deadline passed and it is closed. */
bool gate_wait(struct gate *g, int64_t deadline_us);
#endif
