/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "thread/start.h"

#include "thread/lock.h"

#include <signal.h>
#include <stdio.h>

int thread_start(pthread_t *out, size_t stack_bytes, void *(*fn)(void *), void *arg)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGPROF};
	size_t size = stack_bytes ? stack_bytes : THREAD_STACK_DEFAULT;
	pthread_attr_t attr;
	sigset_t mask;

	/* Shadow and redzones blow frames up several times; unoptimised frames are larger too. */
	if (LOCK_DEBUG)
		size *= 8;
	sigfillset(&mask);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		sigdelset(&mask, faults[i]);
	int rc = pthread_attr_init(&attr);
	if (rc)
		return rc;
	rc = pthread_attr_setstacksize(&attr, size);
	if (rc == 0)
		rc = pthread_attr_setsigmask_np(&attr, &mask);
	if (rc == 0)
		rc = pthread_create(out, &attr, fn, arg);
	(void)pthread_attr_destroy(&attr);
	return rc;
}

void thread_name(const char *fmt, ...)
{
	char name[16];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(name, sizeof name, fmt, ap);
	va_end(ap);
	(void)pthread_setname_np(pthread_self(), name);
}
