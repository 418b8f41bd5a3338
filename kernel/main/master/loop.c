/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "main/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_TIMEOUT                                                                \
	(30 * US_PER_SEC) /* longer than the kernel takes to finish what is in DATA \
	                   */

void master_tell_parent(struct master *m, unsigned char status)
{
	if (m->parent_fd < 0)
		return;
	(void)!write(m->parent_fd, &status, 1); /* it may have been killed meanwhile */
	close(m->parent_fd);
	m->parent_fd = -1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		close(null);
	}
}

static void stop(struct master *m)
{
	struct link_message msg = {.type = LINK_STOP};

	if (m->stopping)
		return;
	m->stopping = true;
	m->restart_at_us = DEADLINE_NEVER;
	for (uint32_t i = 0; i < m->listener_count; i++)
		close(m->listeners[i].fd);
	m->listener_count = 0;
	if (m->link >= 0)
		(void)link_send(m->link, &msg, -1);
	for (unsigned i = 0; i < MASTER_MAX_CHILDREN; i++)
		if (m->children[i].pid && m->children[i].kind == CHILD_KERNEL)
			m->children[i].deadline_us = clock_mono_us() + STOP_TIMEOUT;
}

void master_give_up(struct master *m)
{
	m->status = 1;
	stop(m);
}

static void reload(struct master *m)
{
	struct vec unused = {0};
	struct error err = {.text = ""};

	if (m->stopping)
		return; /* the kernel listens no more */
	if (master_read_config(m, &unused, &err) == RC_OK)
		master_send_config(m);
	else
		master_say(m, "reload refused, the old configuration stays: %s", err.text);
}

static void on_signal(struct master *m)
{
	struct signalfd_siginfo si;

	while (read(m->signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
		if (si.ssi_signo == SIGCHLD) {
			master_reap(m);
		} else if (si.ssi_signo == SIGHUP) {
			reload(m);
		} else {
			stop(m);
		}
	}
}

static bool kernel_lives(const struct master *m)
{
	for (unsigned i = 0; i < MASTER_MAX_CHILDREN; i++)
		if (m->children[i].pid && m->children[i].kind == CHILD_KERNEL)
			return true;
	return false;
}

/* When something is due next, for poll. */
static int wait_ms(const struct master *m, int64_t now)
{
	int64_t until = m->restart_at_us;

	for (unsigned i = 0; i < MASTER_MAX_PENDING; i++)
		if (m->pending[i].used && m->pending[i].deadline_us < until)
			until = m->pending[i].deadline_us;
	for (unsigned i = 0; i < MASTER_MAX_CHILDREN; i++)
		if (m->children[i].pid && m->children[i].deadline_us < until)
			until = m->children[i].deadline_us;
	if (until == DEADLINE_NEVER)
		return -1;
	if (until <= now)
		return 0;
	int64_t ms = (until - now) / 1000 + 1;
	return ms > 60000 ? 60000 : (int)ms;
}

static nfds_t gather(struct master *m, struct pollfd *fds, struct pending **owner)
{
	nfds_t n = 0;

	fds[n++] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = m->link, .events = POLLIN}; /* -1 is ignored */
	for (unsigned i = 0; i < MASTER_MAX_PENDING; i++)
		if (m->pending[i].used) {
			owner[n] = &m->pending[i];
			fds[n++] = (struct pollfd){.fd = m->pending[i].fd, .events = POLLIN};
		}
	return n;
}

static void dispatch(
    struct master *m, const struct pollfd *fds, struct pending *const *owner, nfds_t n)
{
	if (fds[1].fd >= 0 && fds[1].revents && m->link == fds[1].fd)
		master_from_kernel(m);
	for (nfds_t i = 2; i < n; i++)
		if (fds[i].revents && owner[i]->used && owner[i]->fd == fds[i].fd)
			master_user_output(m, owner[i]);
	if (fds[0].revents)
		on_signal(m);
}

int master_loop(struct master *m)
{
	struct pollfd fds[2 + MASTER_MAX_PENDING];
	struct pending *owner[2 + MASTER_MAX_PENDING];

	m->restart_at_us = clock_mono_us();
	for (;;) {
		int64_t now = clock_mono_us();
		if (m->stopping && !kernel_lives(m))
			return m->status;
		if (!m->stopping && now >= m->restart_at_us)
			master_start_kernel(m);
		master_expire_pending(m, now);
		master_kill_overdue(m, now);
		nfds_t n = gather(m, fds, owner);
		int r = poll(fds, n, wait_ms(m, clock_mono_us()));
		if (r < 0 && errno != EINTR)
			return 1;
		if (r > 0)
			dispatch(m, fds, owner, n);
	}
}
