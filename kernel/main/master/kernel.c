/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Starting the kernel, and what it asks. */
#include "base/clock.h"
#include "base/io.h"
#include "main/master/master.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int send_config(struct master *m)
{
	struct link_message msg = {.type = LINK_CONFIG, .number = {(int64_t)m->snapshot}};
	int fd = io_sealed_memfd("heddle-config", m->bundle);

	if (fd < 0)
		return -1;
	int r = link_send(m->link, &msg, fd);
	close(fd);
	return r;
}

static int send_start(struct master *m)
{
	struct link_message hello = {.type = LINK_HELLO,
	    .number = {(m->opt.foreground ? LINK_FOREGROUND : 0) |
	                   (m->process.ordinary_user ? LINK_ORDINARY_USER : 0) |
	                   (m->opt.debug ? LINK_DEBUG : 0) |
	                   (m->opt.queue_only ? LINK_QUEUE_ONLY : 0) |
	                   (m->opt.tls_on_connect ? LINK_TLS_ON_CONNECT : 0),
	        m->opt.queue_interval_ms, (int64_t)m->snapshot}};
	struct link_message go = {.type = LINK_GO};

	if (!link_set_text(&hello, 0, slice_cstr(m->opt.config_path))) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (link_send(m->link, &hello, -1) != 0)
		return -1;
	for (uint32_t i = 0; i < m->listener_count; i++) {
		struct link_message l = {.type = LINK_LISTENER, .number = {m->listeners[i].port}};
		if (link_send(m->link, &l, m->listeners[i].fd) != 0)
			return -1;
	}
	return send_config(m) != 0 || link_send(m->link, &go, -1) != 0 ? -1 : 0;
}

/* -D definitions go along as arguments: the kernel parses the same text with the same macros. */
static void fill_args(const struct master *m, const char *args[], size_t room)
{
	size_t n = 0;

	for (uint32_t i = 0; i < m->opt.define_count && n + 1 < room; i++)
		args[n++] = m->opt.defines[i].ptr;
	args[n] = NULL;
}

void master_start_kernel(struct master *m)
{
	int pair[2];
	const char *args[60];

	m->restart_at_us = DEADLINE_NEVER;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		m->restart_at_us = clock_mono_us() + US_PER_SEC;
		return;
	}
	fill_args(m, args, sizeof args / sizeof *args);
	struct spawn s = {.program = "heddle-kernel",
	    .args = args,
	    .keep_fd = pair[1],
	    .as_fd = LINK_FD,
	    .stdout_fd = -1,
	    .uid = m->uid,
	    .gid = m->gid,
	    .change_user = !m->process.ordinary_user};
	pid_t pid = master_spawn(m, &s);
	close(pair[1]);
	if (pid < 0 || !master_note_child(m, pid, CHILD_KERNEL, DEADLINE_NEVER)) {
		master_say(m, "cannot start the kernel");
		close(pair[0]);
		m->restart_at_us = clock_mono_us() + US_PER_SEC;
		return;
	}
	m->link = pair[0];
	m->kernel_started_us = clock_mono_us();
	if (send_start(m) != 0)
		master_say(m, "the kernel did not take its start"); /* it is gone, or going: reaped
		                                                       in a moment */
}

void master_send_config(struct master *m)
{
	if (m->link >= 0 && send_config(m) != 0)
		master_say(m, "the kernel did not take the configuration");
}

static void reload(struct master *m)
{
	struct error err = {.text = ""};
	struct vec unused = {0};

	if (master_read_config(m, &unused, &err) == RC_OK)
		master_send_config(m);
	else
		master_say(m, "reload refused, the old configuration stays: %s", err.text);
}

void master_from_kernel(struct master *m)
{
	struct link_message msg;
	int fd;
	int r = link_receive(m->link, &msg, &fd);

	if (fd >= 0)
		close(fd); /* it has nothing to give us */
	if (r <= 0) {
		if (r < 0 && errno == EPROTO)
			master_say(m, "the kernel sent nonsense");
		shutdown(m->link, SHUT_RDWR);
		close(m->link);
		m->link = -1;
		return;
	}
	switch ((enum link_type)msg.type) {
	case LINK_READY:
		m->kernel_ready = m->was_ready = true;
		master_tell_parent(m, 0);
		break;
	case LINK_FAILED:
		master_say(m, "the kernel refused: %.*s", SL_ARG(link_get_text(&msg, 0)));
		/* a configuration that no kernel ever took: trying again would say the same */
		if (!m->was_ready)
			master_give_up(m);
		break;
	case LINK_USER:
	case LINK_GROUP:
	case LINK_AGENT:
		master_ask_user(m, &msg);
		break;
	case LINK_RELOAD:
		reload(m);
		break;
	case LINK_HELLO:
	case LINK_LISTENER:
	case LINK_CONFIG:
	case LINK_GO:
	case LINK_ANSWER:
	case LINK_STOP:
	case LINK_TYPES:
		master_say(m, "the kernel sent an unexpected message of type %u", msg.type);
		break;
	}
}
