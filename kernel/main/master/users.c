/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who a login is.  NSS may hang, load strangers' code and talk to the network: so a helper that was
 * exec'd for it asks, with a deadline, and what it says is kept for a minute.
 */
#include "base/clock.h"
#include "main/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define HELPER_TIMEOUT (15 * US_PER_SEC)
#define CACHE_TIME     (60 * US_PER_SEC)

static void answer(
    struct master *m, const struct link_message *request, const struct link_message *user)
{
	if (request->type == LINK_AGENT) {
		master_start_agent(m, request, user);
		return;
	}
	struct link_message reply = *user;
	reply.type = LINK_ANSWER;
	reply.serial = request->serial;
	if (m->link >= 0 && link_send(m->link, &reply, -1) != 0)
		master_say(m, "the kernel did not take an answer");
}

void master_refuse(
    struct master *m, const struct link_message *request, enum rc rc, const char *why)
{
	struct link_message reply = {
	    .type = LINK_ANSWER, .serial = request->serial, .number = {rc}};

	link_put_text(&reply, 0, slice_cstr(why));
	if (m->link >= 0)
		(void)link_send(m->link, &reply, -1);
}

static const struct user_entry *cached(const struct master *m, slice_t login)
{
	int64_t now = clock_mono_us();

	for (unsigned i = 0; i < MASTER_USER_CACHE; i++)
		if (m->users[i].until_us > now && slice_eq(m->users[i].login, login))
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

void master_ask_user(struct master *m, const struct link_message *request)
{
	slice_t login = link_get_text(request, 0);
	const struct user_entry *known;
	struct pending *p;
	int out[2];
	char name[LINK_TEXT + 1];

	/* an agent of "whoever we are" needs nobody looked up */
	if (request->type == LINK_AGENT && login.len == 0) {
		struct link_message self = {.number = {RC_OK, m->uid, m->gid}};
		master_start_agent(m, request, &self);
		return;
	}
	if (!is_sane_login(login)) {
		master_refuse(m, request, RC_FAIL, "no such user");
		return;
	}
	known = cached(m, login);
	if (known) {
		answer(m, request, &known->answer);
		return;
	}
	p = free_slot(m);
	if (!p || pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0) {
		master_refuse(m, request, RC_DEFER, "too many user look-ups at once");
		return;
	}
	memcpy(name, login.ptr, login.len);
	name[login.len] = '\0';
	const char *args[] = {name, NULL};
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
		master_refuse(m, request, RC_DEFER, "the user look-up could not be started");
		return;
	}
	*p = (struct pending){
	    .request = *request, .used = true, .fd = out[0], .pid = pid, .deadline_us = until};
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

static void remember(struct master *m, slice_t login, const struct link_message *answer_)
{
	struct user_entry *e = &m->users[m->users_at];

	m->users_at = (m->users_at + 1) % MASTER_USER_CACHE;
	e->answer = *answer_;
	if (!e->login.ptr)
		e->login.ptr = arena_bytes(m->process.arena, LINK_TEXT);
	memcpy((char *)(uintptr_t)e->login.ptr, login.ptr, login.len);
	e->login.len = login.len;
	e->until_us = clock_mono_us() + CACHE_TIME;
}

static void finish(struct master *m, struct pending *p, const struct link_message *user)
{
	close(p->fd);
	p->used = false;
	if (!user) {
		master_refuse(m, &p->request, RC_DEFER, "the user look-up failed");
		return;
	}
	if (user->number[0] != RC_DEFER)
		remember(m, link_get_text(&p->request, 0), user);
	answer(m, &p->request, user);
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
	finish(m, p, n == 0 && parse_output(slice_tainted(p->out, p->have), &user) ? &user : NULL);
}

void master_expire_pending(struct master *m, int64_t now_us)
{
	for (unsigned i = 0; i < MASTER_MAX_PENDING; i++)
		if (m->pending[i].used && m->pending[i].deadline_us <= now_us)
			finish(m, &m->pending[i], NULL);
}
