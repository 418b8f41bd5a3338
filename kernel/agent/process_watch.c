/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/process: the thread that ends the process.  A driver may hang where no cancellation reaches
 * it, and nobody else may signal a process of another user: so when the kernel has hung up, or the
 * operation is overdue, this thread gives the driver a moment to end by itself, kills the commands
 * that it started, and leaves.
 */
#include "agent/process.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define OVERDUE_US (4 * US_PER_SEC)   /* after the deadline; the kernel has given us up by then */
#define GRACE_S    2                  /* after the kernel hung up */
#define IDLE_US    (120 * US_PER_SEC) /* the kernel takes none that was idle for half as long */
#define EXIT_LATE  75

static void kill_children(struct process *p)
{
	for (size_t i = 0; i < PROCESS_CHILDREN; i++) {
		pid_t pid = atomic_load(&p->children[i]);
		if (pid > 0)
			(void)kill(-pid, SIGKILL);
	}
}

static void *watch(void *arg)
{
	struct process *p = arg;
	struct pollfd fds[2] = {{.fd = p->sock}, {.fd = p->timer_fd, .events = POLLIN}};
	for (;;) {
		uint64_t ticks;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		/* the tick may be of an operation that has just ended */
		if (fds[1].revents &&
		    read(p->timer_fd, &ticks, sizeof ticks) == (ssize_t)sizeof ticks &&
		    atomic_load(&p->end_us) <= clock_mono_us())
			break;
	}
	if (fds[0].revents && atomic_load(&p->busy)) {
		struct timespec grace = {.tv_sec = GRACE_S};
		(void)nanosleep(&grace, NULL);
	}
	kill_children(p);
	if (atomic_load(&p->busy))
		_exit(EXIT_LATE);
	process_end(0);
}

void process_watch(struct process *p)
{
	pthread_attr_t attr;
	pthread_t t;
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->timer_fd < 0 || pthread_attr_init(&attr) != 0)
		_exit(1);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	process_arm(p, 0);
	if (pthread_create(&t, &attr, watch, p) != 0)
		_exit(1);
	(void)pthread_attr_destroy(&attr);
}

void process_arm(struct process *p, int64_t deadline_us)
{
	struct itimerspec when = {.it_value = {0, 0}};
	int64_t at = deadline_us == 0 ? clock_mono_us() + IDLE_US : deadline_us;
	if (deadline_us)
		at = at < DEADLINE_NEVER - OVERDUE_US ? at + OVERDUE_US : DEADLINE_NEVER;
	atomic_store(&p->end_us, at);
	atomic_store(&p->busy, deadline_us != 0);
	if (at != DEADLINE_NEVER) {
		when.it_value.tv_sec = (time_t)(at / US_PER_SEC);
		when.it_value.tv_nsec = (long)(at % US_PER_SEC * 1000);
	}
	(void)timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

bool process_note_child(struct process *p, pid_t pid)
{
	for (size_t i = 0; i < PROCESS_CHILDREN; i++) {
		pid_t none = 0;
		if (atomic_compare_exchange_strong(&p->children[i], &none, pid))
			return true;
	}
	return false;
}

void process_forget_child(struct process *p, pid_t pid)
{
	for (size_t i = 0; i < PROCESS_CHILDREN; i++) {
		pid_t it = pid;
		(void)atomic_compare_exchange_strong(&p->children[i], &it, 0);
	}
}

bool process_is_cancelled(const struct process *p)
{
	struct pollfd fd = {.fd = p->sock, .events = POLLIN};
	return poll(&fd, 1, 0) != 0;
}
