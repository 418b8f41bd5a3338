/* SPDX-License-Identifier: GPL-3.0-or-later */
/* heddle.file.1 for routers: a user's file is read by an agent of that user, never by the kernel itself.  A testing mode has
 * no agents: it reads with the rights of whoever runs it. */
#include "agent/agent.h"
#include "base/io.h"
#include "deliver/deliver.h"
#include "deliver/route.h"

#include <sys/stat.h>
#include <unistd.h>

static int32_t say(struct heddle_call *c, enum rc rc, const struct error *err)
{
	if (rc != RC_OK && rc != RC_FAIL)
		c->services->host.reason(c, 0, slice_absent(), arena_dup(c->arena, slice_cstr(err->text)));
	return (int32_t)rc;
}

/* Owned by that user or root, and nobody else may write it: then what it says is its owner's word. */
static bool is_owners(const char *path, uint32_t uid)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_uid == 0 || st.st_uid == (uid == UINT32_MAX ? geteuid() : (uid_t)uid)) &&
	    (st.st_mode & 022) == 0;
}

static enum rc read_here(struct heddle_call *c, slice_t path, uint32_t uid, uint64_t max, slice_t *out, struct error *err)
{
	const char *p = arena_cstr(c->arena, path);
	enum rc rc = io_read_file(c->arena, p, (size_t)max, out, err);

	if (rc == RC_OK && is_owners(p, uid))
		out->flags |= HEDDLE_CLEAN;
	return rc == RC_ERROR ? RC_DEFER : rc;
}

static int32_t read_all(struct heddle_call *c, slice_t path, uint32_t uid, uint64_t max, slice_t *out)
{
	struct error err = {.text = ""};
	struct agent_identity who = {.user = slice_absent(), .group = slice_absent(), .purpose = SL("a user's file")};

	if (!slice_is_clean(path)) {
		(void)error_set(&err, RC_DEFER, "Tainted filename '%.*s'", SL_ARG(path));
		return say(c, RC_DEFER, &err);
	}
	if (!c->services->agents)
		return say(c, read_here(c, path, uid, max, out, &err), &err);
	if (uid != UINT32_MAX)
		who.user = arena_printf(c->arena, "%u", uid);
	c->services->host.block_begin(c);
	enum rc rc = agents_read_file(c->services->agents, &who, c, path, max, out, &err);
	c->services->host.block_end(c);
	return say(c, rc, &err);
}

const struct heddle_file_service router_file_service = {
    .struct_size = sizeof router_file_service,
    .read_all = read_all,
};
