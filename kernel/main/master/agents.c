/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Starting an agent: the last check of who it will be is made here, whatever the kernel believes.
 */
#include "base/clock.h"
#include "main/master/master.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGENT_FD       3
#define AGENT_LIFETIME (3600 * US_PER_SEC) /* an agent ends by itself long before */

static const char *why_not(const struct master *m, uid_t uid)
{
	if (m->process.ordinary_user)
		return uid == m->uid ? NULL
		                     : "not started by root: it can act as its own user only";
	if (uid == 0)
		return "root is in never_users";
	VEC_FOREACH(&m->never, int64_t, never)
	if (*never == (int64_t)uid)
		return "the user is in never_users";
	return NULL;
}

void master_start_agent(struct master *m, const struct link_message *request,
    const struct link_message *user, gid_t gid, const struct link_message *groups)
{
	uid_t uid = (uid_t)user->number[1];
	gid_t group[MASTER_MAX_GROUPS];
	size_t group_count = 0;
	int pair[2];

	const char *why = why_not(m, uid);
	if (why) {
		master_refuse(m, request, RC_DEFER, why);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		master_refuse(m, request, RC_DEFER, "no descriptors");
		return;
	}
	for (unsigned i = 0; groups && i < 4; i++) {
		slice_t some = link_get_text(groups, i);
		if (some.len)
			memcpy(group + group_count, some.ptr, some.len);
		group_count += some.len / sizeof(gid_t);
	}
	const char *args[8];
	size_t n = 0;
	args[n++] = m->process.ordinary_user ? "any-owner" : "root-owner";
	for (unsigned i = 0; m->process.driver_folders[i] && n < 7; i++)
		args[n++] = m->process.driver_folders[i];
	args[n] = NULL;
	struct spawn s = {.program = "heddle-agent",
	    .args = args,
	    .keep_fd = pair[1],
	    .as_fd = AGENT_FD,
	    .stdout_fd = -1,
	    .uid = uid,
	    .gid = gid,
	    .groups = group,
	    .group_count = group_count,
	    .change_user = !m->process.ordinary_user};
	pid_t pid = master_spawn(m, &s);
	close(pair[1]);
	if (pid < 0 || !master_note_child(m, pid, CHILD_AGENT, clock_mono_us() + AGENT_LIFETIME)) {
		master_refuse(m, request, RC_DEFER,
		    pid < 0 && errno == EAGAIN ? "too many agents started within a second"
		                               : "cannot start an agent");
	} else {
		struct link_message reply = {.type = LINK_ANSWER,
		    .serial = request->serial,
		    .number = {RC_OK, uid, gid, pid}};
		link_put_text(&reply, 0, link_get_text(user, 0));
		if (m->link >= 0 && link_send(m->link, &reply, pair[0]) != 0)
			master_say(m, "the kernel did not take an agent");
	}
	close(pair[0]);
}
