/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Users and groups by name or number, and who is on a list of them. */
#include "base/clock.h"
#include "driver/call.h"
#include "expand/expand.h"
#include "net/net.h"

enum rc services_uid(struct services *s, struct arena *a, slice_t user, int64_t deadline_us,
    int64_t *out, struct error *err)
{
	struct user_info info;

	if (slice_to_i64(user, 10, false, out) && *out >= 0)
		return RC_OK;
	if (!s || !s->find_user)
		return error_set(err, RC_DEFER, "nobody to ask about user %.*s", SL_ARG(user));
	enum rc rc = s->find_user(s, a, user, deadline_us, &info, err);
	if (rc == RC_OK)
		*out = info.uid;
	return rc;
}

enum rc services_gid(struct services *s, struct arena *a, slice_t group, int64_t deadline_us,
    int64_t *out, struct error *err)
{
	if (slice_to_i64(group, 10, false, out) && *out >= 0)
		return RC_OK;
	if (!s || !s->find_group)
		return error_set(err, RC_DEFER, "nobody to ask about group %.*s", SL_ARG(group));
	return s->find_group(s, a, group, deadline_us, out, err);
}

typedef enum rc number_fn(struct services *s, struct arena *a, slice_t name, int64_t deadline_us,
    int64_t *out, struct error *err);

/* A name that nobody can look up now may be the one: the others decide, and if none does, nobody.
 */
static enum rc listed(struct eval *ev, slice_t list, number_fn *number,
    bool (*is)(const struct net_peer *p, int64_t id), const struct net_peer *p, struct error *err)
{
	slice_t item;
	uint64_t pos = 0;
	int64_t id = -1;
	enum rc answer = RC_FAIL;

	while (!slice_is_absent(list) && expand_list_next(ev->arena, list, &pos, &item)) {
		enum rc rc = item.len
		                 ? number(ev->services, ev->arena, item, ev->deadline_us, &id, err)
		                 : RC_FAIL;
		if (rc == RC_OK && is(p, id))
			return RC_OK;
		if (rc != RC_OK && rc != RC_FAIL)
			answer = RC_DEFER;
	}
	return answer;
}

static bool is_user(const struct net_peer *p, int64_t id)
{
	return (int64_t)p->uid == id;
}

static bool is_in_group(const struct net_peer *p, int64_t id)
{
	return net_peer_in_group(p, id);
}

enum rc services_peer_listed(
    struct eval *ev, slice_t users, slice_t groups, const struct net_peer *p, struct error *err)
{
	enum rc rc = listed(ev, users, services_uid, is_user, p, err);

	if (rc == RC_OK)
		return rc;
	enum rc by_group = listed(ev, groups, services_gid, is_in_group, p, err);
	return by_group == RC_FAIL ? rc : by_group;
}
