/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who asks, and what that one may have. */
#include "config/rights.h"
#include "control/control.h"

#include <unistd.h>

#define RIGHTS_US (30 * US_PER_SEC)

/* The name that the peer gives itself, if the user data base has the same uid for it. */
static slice_t believed(
    struct services *sv, struct arena *a, slice_t login, const struct net_peer *p)
{
	struct user_info info;
	struct error err;

	if (!login.len || !sv || !sv->find_user)
		return SL("");
	enum rc rc = sv->find_user(sv, a, login, clock_mono_us() + RIGHTS_US, &info, &err);
	return rc == RC_OK && info.uid == (int64_t)p->uid ? arena_dup(a, login) : SL("");
}

static void ask_configuration(const struct control_config *cfg, const struct config *snapshot,
    const struct net_peer *p, struct arena *a, struct control_asker *out)
{
	struct eval ev;
	bool ordinary = getuid() != 0 && cfg->ordinary_user;

	eval_init(&ev, a, snapshot);
	ev.process = config_process(snapshot);
	ev.services = cfg->services;
	ev.deadline_us = clock_mono_us() + RIGHTS_US;
	out->admin = config_is_admin(&ev, p, geteuid(), ordinary ? -1 : (int64_t)getegid());
	out->may_list = !config_bool(snapshot, MO_queue_list_requires_admin);
	out->may_prod = !config_bool(snapshot, MO_prod_requires_admin);
}

enum rc control_rights(const struct control_config *cfg, int fd, slice_t login, struct arena *a,
    struct worker *w, struct control_asker *out, struct error *err)
{
	struct net_peer p;
	enum rc rc = net_peer_of(fd, a, &p, err);

	if (rc != RC_OK)
		return rc;
	struct control_asker who = {.uid = p.uid,
	    .name = arena_printf(a, "uid %lu", (unsigned long)p.uid),
	    .admin = p.uid == 0 || p.uid == geteuid()};
	struct config *snapshot = cfg->snapshot ? cfg->snapshot(cfg->ctx) : NULL;
	/* names are asked for: without room for that it is nobody of importance */
	if (pool_blocking_begin(w, POOL_FOR_LOOKUP, p.uid, NULL) == RC_OK) {
		slice_t name = believed(cfg->services, a, login, &p);
		if (name.len)
			who.name = name;
		if (snapshot && !who.admin)
			ask_configuration(cfg, snapshot, &p, a, &who);
		pool_blocking_end(w);
	}
	config_unref(&snapshot);
	*out = who;
	return RC_OK;
}
