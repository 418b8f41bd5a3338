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
	return uid == 0 ? "root is in never_users" : NULL;
}

void master_start_agent(
    struct master *m, const struct link_message *request, const struct link_message *user)
{
	uid_t uid = (uid_t)user->number[1];
	gid_t gid = (gid_t)user->number[2];
	char name[LINK_TEXT + 1];
	int64_t group;
	int pair[2];

	if (user->number[0] != RC_OK) {
		master_refuse(m, request, (enum rc)user->number[0],
		    user->number[0] == RC_FAIL ? "no such user" : "user look-up deferred");
		return;
	}
	if (link_get_text(request, 1).len) {
		if (!slice_to_i64(link_get_text(request, 1), 10, false, &group) || group < 0 ||
		    group > INT32_MAX) {
			master_refuse(m, request, RC_DEFER,
			    "not supported yet: a group by name; give its number");
			return;
		}
		gid = (gid_t)group;
	}
	const char *why = why_not(m, uid);
	if (why) {
		master_refuse(m, request, RC_DEFER, why);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		master_refuse(m, request, RC_DEFER, "no descriptors");
		return;
	}
	if (!slice_copy(link_get_text(user, 0), name, sizeof name))
		name[0] = '\0';
	const char *args[8];
	size_t n = 0;
	args[n++] = m->process.ordinary_user ? "any-owner" : "root-owner";
	for (unsigned i = 0; m->process.driver_folders[i] && n < 7; i++)
		args[n++] = m->process.driver_folders[i];
	args[n] = NULL;
	bool groups = (request->number[0] & LINK_AGENT_INITGROUPS) && name[0];
	struct spawn s = {.program = "heddle-agent",
	    .args = args,
	    .keep_fd = pair[1],
	    .as_fd = AGENT_FD,
	    .stdout_fd = -1,
	    .uid = uid,
	    .gid = gid,
	    .initgroups_user = groups ? name : NULL,
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
