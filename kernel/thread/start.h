/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/start: make a thread the way all of ours are: named, with a small stack, and with every
 * signal blocked that main's thread takes (faults still kill).  Threads: any.  Returns 0 or an
 * errno.
 */
#ifndef HEDDLE_THREAD_START_H
#define HEDDLE_THREAD_START_H
#include "base/result.h"

#include <pthread.h>

#define THREAD_STACK_DEFAULT ((size_t)256 << 10)

/* stack_bytes 0: the default; sanitizer builds take more than asked for. */
MUST_USE int thread_start(pthread_t *out, size_t stack_bytes, void *(*fn)(void *), void *arg);
/* At most 15 characters are kept. */
void thread_name(const char *fmt, ...) PRINTF_LIKE(1, 2);
#endif
