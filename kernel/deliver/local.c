/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who a local delivery runs as: the transport's user and group, else what the router found
 * (check_local_user, user), else the kernel's own account.  Master has the last word.  Source:
 * specification, chapter 23. */
#include "deliver/deliver_private.h"

static enum rc expand(
    struct attempt *t, const struct option_value *o, slice_t *out, struct error *err)
{
	*out = o->text;
	if (!o->expr)
		return RC_OK;
	enum rc rc = expr_eval(&t->ev, o->expr, out, err);
	if (rc == RC_FAIL)
		*out = slice_absent();
	return rc == RC_FAIL ? RC_OK : rc;
}

static bool is_constant(const struct option_value *o)
{
	slice_t text;
	return !o->expr || expr_constant(o->expr, &text);
}

static bool is_set(slice_t s)
{
	return !slice_is_absent(s) && s.len > 0;
}

static enum rc uid_of(struct attempt *t, slice_t user, int64_t *out, struct error *err)
{
	return services_uid(t->ev.services, t->arena, user, t->ev.deadline_us, out, err);
}

/* By uid: a user has a number, and may have several names. */
static enum rc never(struct attempt *t, slice_t user, struct error *err)
{
	slice_t list = config_text(t->cfg, MO_never_users), item;
	uint64_t pos = 0;
	int64_t uid = -1, forbidden;
	enum rc rc;

	if (!is_set(list))
		return RC_OK;
	rc = uid_of(t, user, &uid, err);
	if (rc != RC_OK && rc != RC_FAIL)
		return rc;
	while (expand_list_next(t->arena, list, &pos, &item)) {
		if (item.len == 0)
			continue;
		rc = uid_of(t, item, &forbidden, err);
		if (rc != RC_OK && rc != RC_FAIL)
			return rc;
		if (slice_eq(item, user) || (rc == RC_OK && forbidden == uid))
			return error_set(err, RC_DEFER,
			    "User %.*s set for %.*s transport is on the never_users list",
			    SL_ARG(user), SL_ARG(t->ev.address->transport_name));
	}
	return RC_OK;
}

enum rc local_identity(
    struct attempt *t, struct group *g, struct agent_identity *out, struct error *err)
{
	const struct address *a = *VEC_AT(&g->addresses, struct address *, 0);
	const struct option_value *tuser = &g->transport->generic[TO_user],
	                          *tgroup = &g->transport->generic[TO_group];
	const struct option_value *ruser = a->router ? &a->router->generic[RO_user] : NULL;
	const struct option_value *rgroup = a->router ? &a->router->generic[RO_group] : NULL;

	*out = (struct agent_identity){
	    .purpose = arena_printf(t->arena, "transport %.*s", SL_ARG(g->transport->name))};
	enum rc rc = expand(t, tuser, &out->user, err);
	if (rc == RC_OK)
		rc = expand(t, tgroup, &out->group, err);
	out->is_constant = is_set(out->user) && is_constant(tuser);
	if (rc == RC_OK && !is_set(out->user) && ruser) {
		rc = expand(t, ruser, &out->user, err);
		out->is_constant = is_set(out->user) && is_constant(ruser);
	}
	if (rc == RC_OK && !is_set(out->group) && rgroup)
		rc = expand(t, rgroup, &out->group, err);
	if (rc != RC_OK)
		return error_wrap(
		    err, RC_DEFER, "user or group of transport %.*s", SL_ARG(g->transport->name));
	out->initgroups = g->transport->generic[TO_initgroups].number != 0 ||
	                  (a->router && a->router->generic[RO_initgroups].number != 0);
	if (!is_set(out->user) && a->uid >= 0)
		out->user = arena_printf(t->arena, "%lld", (long long)a->uid);
	if (!is_set(out->group) && a->gid >= 0 && a->uid >= 0)
		out->group = arena_printf(t->arena, "%lld", (long long)a->gid);
	if (!is_set(out->user))
		out->user = slice_absent();
	if (!is_set(out->group))
		out->group = slice_absent();
	return is_set(out->user) ? never(t, out->user, err) : RC_OK;
}

/* $home while the transport runs: the transport's home_directory, else the router's
 * transport_home_directory, else the user's own, else router_home_directory. */
void local_set_home(struct attempt *t, struct group *g)
{
	struct address *a = *VEC_AT(&g->addresses, struct address *, 0);
	struct error err;
	slice_t v;

	if (expand(t, &g->transport->generic[TO_home_directory], &v, &err) == RC_OK && is_set(v))
		a->facts.home = v;
	else if (a->router &&
	         expand(t, &a->router->generic[RO_transport_home_directory], &v, &err) == RC_OK &&
	         is_set(v))
		a->facts.home = v;
	else if (is_set(a->user_home))
		a->facts.home = a->user_home;
}
