/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent/agent: who a login or a group is, asked of master once a minute however many want to know.
 */
#include "agent/agents_private.h"

#include "base/clock.h"

#include <stdlib.h>
#include <unistd.h>

#define CACHE_US  (60 * US_PER_SEC)
#define USERS_MAX 1024U

static bool is_of(const struct user_slot *u, uint32_t type, slice_t login)
{
	return u->type == type && slice_eq(slice_of(u->login, u->login_len, 0), login);
}

/* Drop what has expired, and when that is not enough the rest that nobody waits for. */
static void trim(struct agents *a, int64_t now) REQUIRES(lk_agents);
static void trim(struct agents *a, int64_t now)
{
	for (int all = 0; all < 2 && a->user_count >= USERS_MAX; all++)
		for (struct user_slot **p = &a->users; *p;) {
			struct user_slot *u = *p;
			if (u->asking || u->waiters || (!all && u->until_us > now)) {
				p = &u->next;
				continue;
			}
			*p = u->next;
			a->user_count--;
			free(u);
		}
}

static struct user_slot *find_slot(struct agents *a, uint32_t type, slice_t login, int64_t now)
    REQUIRES(lk_agents);
static struct user_slot *find_slot(struct agents *a, uint32_t type, slice_t login, int64_t now)
{
	for (struct user_slot *u = a->users; u; u = u->next)
		if (is_of(u, type, login))
			return u;
	trim(a, now);
	struct user_slot *u = calloc(1, sizeof *u);
	MUST(u);
	u->type = type;
	memcpy(u->login, login.ptr, login.len);
	u->login_len = login.len;
	u->next = a->users;
	a->users = u;
	a->user_count++;
	return u;
}

static slice_t text_of(struct arena *arena, const struct link_message *m, unsigned i)
{
	slice_t s = arena_dup(arena, link_get_text(m, i));
	s.flags |= HEDDLE_CLEAN; /* the system's own data base */
	return s;
}

static enum rc not_found(
    const struct link_message *m, const char *what, slice_t name, struct error *err)
{
	if (m->number[0] == RC_FAIL)
		return error_set(err, RC_FAIL, "no such %s: %.*s", what, SL_ARG(name));
	return error_set(
	    err, RC_DEFER, "%s %.*s: %.*s", what, SL_ARG(name), SL_ARG(link_get_text(m, 0)));
}

static enum rc tell(const struct link_message *m, struct arena *arena, slice_t login,
    struct user_info *out, struct error *err)
{
	if (m->number[0] != RC_OK)
		return not_found(m, "user", login, err);
	*out = (struct user_info){.name = text_of(arena, m, 0),
	    .home = text_of(arena, m, 1),
	    .shell = text_of(arena, m, 2),
	    .gecos = text_of(arena, m, 3),
	    .uid = m->number[1],
	    .gid = m->number[2]};
	return RC_OK;
}

/* The caller has set asking. */
static void ask_for(struct agents *a, struct user_slot *u, slice_t login, int64_t deadline_us)
    EXCLUDES(lk_agents);
static void ask_for(struct agents *a, struct user_slot *u, slice_t login, int64_t deadline_us)
{
	struct link_message m = {.type = u->type};
	struct master_answer answer = {.m = {.number = {RC_DEFER}}, .fd = -1};
	struct error e = {.text = ""};
	link_put_text(&m, 0, login);
	if (agents_ask(a, &m, NULL, deadline_us, &answer, &e) != RC_OK)
		link_put_text(&answer.m, 0, slice_cstr(e.text));
	if (answer.fd >= 0)
		(void)close(answer.fd);
	agents_lock(a);
	u->answer = answer.m;
	u->asking = false;
	/* "cannot say" serves those who waited for it, and nobody later */
	u->until_us = answer.m.number[0] == RC_OK || answer.m.number[0] == RC_FAIL
	                  ? clock_mono_us() + CACHE_US
	                  : 0;
	condvar_broadcast(&a->changed);
	agents_unlock(a);
}

/* From the cache, or of master. */
static struct link_message find(struct agents *a, uint32_t type, slice_t login, int64_t deadline_us)
    EXCLUDES(lk_agents);
static struct link_message find(struct agents *a, uint32_t type, slice_t login, int64_t deadline_us)
{
	struct link_message answer = {.number = {RC_DEFER}};
	if (login.len == 0 || login.len > LINK_TEXT || memchr(login.ptr, '\0', login.len)) {
		answer.number[0] = RC_FAIL;
		return answer;
	}
	agents_lock(a);
	int64_t now = clock_mono_us();
	struct user_slot *u = find_slot(a, type, login, now);
	u->waiters++; /* it stays while we look at it */
	if (!u->asking && u->until_us <= now) {
		u->asking = true;
		agents_unlock(a);
		ask_for(a, u, login, deadline_us);
		agents_lock(a);
	}
	while (u->asking && !a->ending && clock_mono_us() < deadline_us)
		agents_doze(a, deadline_us);
	if (!u->asking)
		answer = u->answer;
	else
		link_put_text(&answer, 0, SL("the look-up takes too long"));
	u->waiters--;
	agents_unlock(a);
	return answer;
}

enum rc agents_user(struct agents *a, struct arena *arena, slice_t login, int64_t deadline_us,
    struct user_info *out, struct error *err)
{
	struct link_message answer = find(a, LINK_USER, login, deadline_us);

	return tell(&answer, arena, login, out, err);
}

enum rc agents_group(
    struct agents *a, slice_t name, int64_t deadline_us, int64_t *out_gid, struct error *err)
{
	struct link_message answer = find(a, LINK_GROUP, name, deadline_us);

	if (answer.number[0] != RC_OK)
		return not_found(&answer, "group", name, err);
	*out_gid = answer.number[2];
	return RC_OK;
}
