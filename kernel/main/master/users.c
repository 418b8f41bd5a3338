/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who a login or a group is.  NSS may hang, load strangers' code and talk to the network: so a
 * helper that was exec'd for it asks, with a deadline, and what it says is kept for a minute.
 */
#include "base/clock.h"
#include "main/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define HELPER_TIMEOUT (15 * US_PER_SEC)
#define CACHE_TIME     (60 * US_PER_SEC)

void master_refuse(
    struct master *m, const struct link_message *request, enum rc rc, const char *why)
{
	struct link_message reply = {
	    .type = LINK_ANSWER, .serial = request->serial, .number = {rc}};

	link_put_text(&reply, 0, slice_cstr(why));
	if (m->link >= 0)
		(void)link_send(m->link, &reply, -1);
}

static const struct user_entry *cached(const struct master *m, enum look_up what, slice_t name)
{
	int64_t now = clock_mono_us();

	for (unsigned i = 0; i < MASTER_USER_CACHE; i++)
		if (m->users[i].until_us > now && m->users[i].what == what &&
		    slice_eq(m->users[i].login, name))
			return &m->users[i];
	return NULL;
}

static bool is_sane_login(slice_t s)
{
	if (s.len == 0 || s.len > 128 || s.ptr[0] == '-')
		return false;
	for (uint32_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == ':' || s.ptr[i] == '/' ||
		    s.ptr[i] == 0x7f)
			return false;
	return true;
}

static struct pending *free_slot(struct master *m)
{
	for (unsigned i = 0; i < MASTER_MAX_PENDING; i++)
		if (!m->pending[i].used)
			return &m->pending[i];
	return NULL;
}

/* What the helper is asked about for a request. */
static slice_t subject(const struct link_message *request, enum look_up what)
{
	bool group_of_agent = request->type == LINK_AGENT && what == LOOK_UP_GROUP;

	return link_get_text(request, group_of_agent ? 1 : 0);
}

static void answered(struct master *m, const struct pending *p, const struct link_message *said);

/* Ask the helper, unless it is known.  ask: all of a request that matters; its place is found here.
 */
static void look_up(struct master *m, const struct pending *ask)
{
	static const char *const modes[] = {
	    [LOOK_UP_USER] = NULL, [LOOK_UP_GROUP] = "-g", [LOOK_UP_GROUPS] = "-i"};
	slice_t login = subject(&ask->request, ask->what);
	const struct user_entry *known;
	struct pending *p;
	int out[2];
	char name[LINK_TEXT + 1];

	if (!is_sane_login(login)) {
		master_refuse(m, &ask->request, RC_FAIL,
		    ask->what == LOOK_UP_GROUP ? "no such group" : "no such user");
		return;
	}
	known = cached(m, ask->what, login);
	if (known) {
		answered(m, ask, &known->answer);
		return;
	}
	p = free_slot(m);
	if (!p || pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0) {
		master_refuse(m, &ask->request, RC_DEFER, "too many user look-ups at once");
		return;
	}
	memcpy(name, login.ptr, login.len);
	name[login.len] = '\0';
	const char *mode = modes[ask->what];
	const char *args[] = {mode ? mode : name, mode ? name : NULL, NULL};
	struct spawn s = {.program = "heddle-nss",
	    .args = args,
	    .keep_fd = -1,
	    .stdout_fd = out[1],
	    .uid = m->uid,
	    .gid = m->gid,
	    .change_user = !m->process.ordinary_user};
	int64_t until = clock_mono_us() + HELPER_TIMEOUT;
	pid_t pid = master_spawn(m, &s);
	close(out[1]);
	if (pid < 0 || !master_note_child(m, pid, CHILD_NSS, until)) {
		close(out[0]);
		master_refuse(m, &ask->request, RC_DEFER, "the user look-up could not be started");
		return;
	}
	*p = *ask;
	p->used = true;
	p->fd = out[0];
	p->pid = pid;
	p->deadline_us = until;
}

static void reply(
    struct master *m, const struct link_message *request, const struct link_message *said)
{
	struct link_message message = *said;

	message.type = LINK_ANSWER;
	message.serial = request->serial;
	if (m->link >= 0 && link_send(m->link, &message, -1) != 0)
		master_say(m, "the kernel did not take an answer");
}

/* A number that is no account's can be acted as all the same, with a group beside it. */
static bool is_bare_number(const struct link_message *request, struct link_message *user)
{
	int64_t uid;

	if (user->number[0] != RC_FAIL || !link_get_text(request, 1).len ||
	    !slice_to_i64(link_get_text(request, 0), 10, false, &uid) || uid < 0 ||
	    uid >= UINT32_MAX)
		return false;
	*user = (struct link_message){.number = {RC_OK, uid, -1}};
	return true;
}

/* The last thing to be asked: all the groups that the user is in, where they are wanted. */
static void with_group(struct master *m, struct pending *p)
{
	bool wants =
	    (p->request.number[0] & LINK_AGENT_INITGROUPS) && link_get_text(&p->user, 0).len;

	p->what = LOOK_UP_GROUPS;
	if (wants)
		look_up(m, p);
	else
		master_start_agent(m, &p->request, &p->user, p->gid, NULL);
}

/* An agent's user is known: now its group. */
static void with_user(struct master *m, struct pending *p, const struct link_message *said)
{
	slice_t group = link_get_text(&p->request, 1);
	int64_t gid;

	p->user = *said;
	if (p->user.number[0] != RC_OK && !is_bare_number(&p->request, &p->user)) {
		bool none = p->user.number[0] == RC_FAIL;
		master_refuse(m, &p->request, none ? RC_FAIL : RC_DEFER,
		    none ? "no such user" : "user look-up deferred");
		return;
	}
	p->what = LOOK_UP_GROUP;
	gid = p->user.number[2];
	if (group.len && !(slice_to_i64(group, 10, false, &gid) && gid >= 0 && gid < UINT32_MAX)) {
		look_up(m, p);
		return;
	}
	p->gid = (gid_t)gid;
	with_group(m, p);
}

static void answered(struct master *m, const struct pending *was, const struct link_message *said)
{
	struct pending p = *was; /* its place may be taken again */

	if (p.request.type != LINK_AGENT) {
		reply(m, &p.request, said);
	} else if (p.what == LOOK_UP_USER) {
		with_user(m, &p, said);
	} else if (said->number[0] != RC_OK) {
		master_refuse(m, &p.request, RC_DEFER,
		    said->number[0] == RC_FAIL ? "no such group" : "group look-up deferred");
	} else if (p.what == LOOK_UP_GROUP) {
		p.gid = (gid_t)said->number[2];
		with_group(m, &p);
	} else {
		master_start_agent(m, &p.request, &p.user, p.gid, said);
	}
}

void master_ask_user(struct master *m, const struct link_message *request)
{
	struct pending p = {.request = *request,
	    .what = request->type == LINK_GROUP ? LOOK_UP_GROUP : LOOK_UP_USER};
	struct link_message self = {.number = {RC_OK, m->uid, m->gid}};

	/* an agent of "whoever we are" needs nobody looked up */
	if (request->type == LINK_AGENT && link_get_text(request, 0).len == 0)
		with_user(m, &p, &self);
	else
		look_up(m, &p);
}

/* The helper prints "RC\nNAME\nUID\nGID\nHOME\nSHELL\nGECOS\n". */
static bool parse_output(slice_t text, struct link_message *out)
{
	slice_t field[7];
	int64_t rc, uid, gid;

	for (unsigned i = 0; i < 7; i++)
		if (!slice_next(&text, '\n', &field[i]))
			return false;
	if (!slice_to_i64(field[0], 10, false, &rc) || !slice_to_i64(field[2], 10, false, &uid) ||
	    !slice_to_i64(field[3], 10, false, &gid))
		return false;
	*out = (struct link_message){.number = {rc, uid, gid}};
	return rc >= RC_OK && rc <= RC_DEFER && link_set_text(out, 0, field[1]) &&
	       link_set_text(out, 1, field[4]) && link_set_text(out, 2, field[5]) &&
	       link_set_text(out, 3, field[6]);
}

/* "RC\nID ID ...\n": all groups of a user. */
static bool parse_groups(slice_t text, struct link_message *out)
{
	gid_t ids[MASTER_MAX_GROUPS];
	size_t n = 0, each = LINK_TEXT / sizeof *ids;
	slice_t first, word;
	int64_t rc, id;

	if (!slice_next(&text, '\n', &first) || !slice_to_i64(first, 10, false, &rc) ||
	    rc < RC_OK || rc > RC_DEFER || !slice_next(&text, '\n', &first))
		return false;
	while (slice_next(&first, ' ', &word)) {
		if (n == MASTER_MAX_GROUPS || !slice_to_i64(word, 10, false, &id) || id < 0 ||
		    id >= UINT32_MAX)
			return false;
		ids[n++] = (gid_t)id;
	}
	*out = (struct link_message){.number = {rc, (int64_t)n}};
	for (unsigned i = 0; i < 4 && i * each < n; i++) {
		size_t here = n - i * each < each ? n - i * each : each;
		if (!link_set_text(
		        out, i, slice_tainted((const char *)(ids + i * each), here * sizeof *ids)))
			return false;
	}
	return true;
}

static void remember(struct master *m, const struct pending *p, const struct link_message *answer)
{
	struct user_entry *e = &m->users[m->users_at];
	slice_t login = subject(&p->request, p->what);

	m->users_at = (m->users_at + 1) % MASTER_USER_CACHE;
	e->answer = *answer;
	e->what = p->what;
	if (!e->login.ptr)
		e->login.ptr = arena_bytes(m->process.arena, LINK_TEXT);
	memcpy((char *)(uintptr_t)e->login.ptr, login.ptr, login.len);
	e->login.len = login.len;
	e->until_us = clock_mono_us() + CACHE_TIME;
}

static void finish(struct master *m, struct pending *p, const struct link_message *said)
{
	close(p->fd);
	p->used = false;
	if (!said) {
		master_refuse(m, &p->request, RC_DEFER, "the user look-up failed");
		return;
	}
	if (said->number[0] != RC_DEFER)
		remember(m, p, said);
	answered(m, p, said);
}

void master_user_output(struct master *m, struct pending *p)
{
	struct link_message user;
	ssize_t n = read(p->fd, p->out + p->have, sizeof p->out - p->have);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		p->have += (size_t)n;
		if (p->have < sizeof p->out)
			return;
	}
	slice_t text = slice_tainted(p->out, p->have);
	bool ok = n == 0 && (p->what == LOOK_UP_GROUPS ? parse_groups(text, &user)
	                                               : parse_output(text, &user));
	finish(m, p, ok ? &user : NULL);
}

void master_expire_pending(struct master *m, int64_t now_us)
{
	for (unsigned i = 0; i < MASTER_MAX_PENDING; i++)
		if (m->pending[i].used && m->pending[i].deadline_us <= now_us)
			finish(m, &m->pending[i], NULL);
}
