/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddle.file.1 for routers: a user's file is read by an agent of that user, never by the kernel
 * itself.  A testing mode has no agents: it reads with the rights of whoever runs it.  Whether
 * owner, group and mode are as they should be is judged here.
 */
#include "agent/agent.h"
#include "base/io.h"
#include "deliver/deliver.h"
#include "deliver/route.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int32_t say(struct heddle_call *c, enum rc rc, const struct error *err)
{
	if (rc != RC_OK && rc != RC_FAIL)
		c->services->host.reason(
		    c, 0, slice_absent(), arena_dup(c->arena, slice_cstr(err->text)));
	return (int32_t)rc;
}

static bool folder_is_there(struct heddle_call *c, slice_t path)
{
	struct stat st;
	size_t slash = slice_rfind(path, '/');

	return slash != SIZE_MAX &&
	       stat(arena_cstr(c->arena, slice_sub(path, 0, slash ? slash : 1)), &st) == 0;
}

static enum rc open_here(struct heddle_call *c, slice_t path, int *out_fd,
    struct agent_file_facts *facts, struct error *err)
{
	const char *p = arena_cstr(c->arena, path);

	*out_fd = open(p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*out_fd >= 0)
		return RC_OK;
	facts->error = errno;
	facts->folder_gone = errno == ENOENT && !folder_is_there(c, path);
	return error_set(err,
	    facts->error == ENOENT || facts->error == ENOTDIR ? RC_FAIL : RC_DEFER,
	    "failed to open %s: %s", p, strerrordesc_np(facts->error));
}

static enum rc read_here(struct heddle_call *c, slice_t path, uint32_t uid, uint64_t max,
    slice_t *out, struct agent_file_facts *facts, struct error *err)
{
	struct stat st;
	int fd;
	enum rc rc = open_here(c, path, &fd, facts, err);

	if (rc != RC_OK)
		return rc;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		rc = error_set(err, RC_DEFER, "%.*s is not a regular file", SL_ARG(path));
	else if ((uint64_t)st.st_size > max)
		rc = error_set(err, RC_DEFER, "%.*s is too big (max %llu)", SL_ARG(path),
		    (unsigned long long)max);
	if (rc == RC_OK) {
		char *p = arena_bytes(c->arena, (size_t)st.st_size + 1);
		ssize_t n = io_pread_full(fd, p, (size_t)st.st_size, 0);
		/* owned by that user or root, and nobody else may write it: then what it says is
		 * its owner's word */
		bool own =
		    (st.st_uid == 0 || st.st_uid == (uid == UINT32_MAX ? geteuid() : (uid_t)uid)) &&
		    (st.st_mode & 022) == 0;
		*facts = (struct agent_file_facts){
		    .uid = st.st_uid, .gid = st.st_gid, .mode = st.st_mode};
		if (n < 0)
			rc = error_errno(err, RC_DEFER, errno, "%.*s", SL_ARG(path));
		else
			*out = slice_of(p, (size_t)n, own ? HEDDLE_CLEAN : 0);
	}
	(void)close(fd);
	return rc;
}

static enum rc read_as(struct heddle_call *c, slice_t path, uint32_t uid, uint64_t max,
    slice_t *out, struct agent_file_facts *facts, struct error *err)
{
	struct agent_identity who = {
	    .user = slice_absent(), .group = slice_absent(), .purpose = SL("a user's file")};

	*facts = (struct agent_file_facts){.error = 0};
	if (!slice_is_clean(path))
		return error_set(err, RC_DEFER, "Tainted filename '%.*s'", SL_ARG(path));
	if (!c->services->agents)
		return read_here(c, path, uid, max, out, facts, err);
	if (uid != UINT32_MAX)
		who.user = arena_printf(c->arena, "%u", uid);
	c->services->host.block_begin(c);
	enum rc rc = agents_read_file(c->services->agents, &who, c, path, max, out, facts, err);
	c->services->host.block_end(c);
	return rc;
}

static int32_t read_all(
    struct heddle_call *c, slice_t path, uint32_t uid, uint64_t max, slice_t *out)
{
	struct error err = {.text = ""};
	struct agent_file_facts facts;
	enum rc rc = read_as(c, path, uid, max, out, &facts, &err);

	return say(c, rc, &err);
}

/* ---- rules ---- */

typedef enum rc number_fn(struct services *s, struct arena *a, slice_t name, int64_t deadline_us,
    int64_t *out, struct error *err);

/* OK: it is in the list; FAIL: it is not. */
static enum rc is_listed(
    struct heddle_call *c, slice_t list, uint32_t id, number_fn *number, struct error *err)
{
	slice_t item;
	uint64_t pos = 0;

	while (!slice_is_absent(list) && expand_list_next(c->arena, list, &pos, &item)) {
		int64_t n = -1;
		c->services->host.block_begin(c);
		enum rc rc = number(c->services, c->arena, item, c->deadline_us, &n, err);
		c->services->host.block_end(c);
		if (rc == RC_OK && n == (int64_t)id)
			return RC_OK;
		if (rc != RC_OK && rc != RC_FAIL)
			return rc;
	}
	return RC_FAIL;
}

static enum rc obey(struct heddle_call *c, slice_t path, uint32_t owner,
    const struct heddle_file_rules *r, const struct agent_file_facts *f, struct error *err)
{
	enum rc rc = RC_OK;

	if ((r->flags & HEDDLE_FILE_OWNER) && f->uid != owner)
		rc = is_listed(c, r->owners, f->uid, services_uid, err);
	if (rc == RC_FAIL)
		return error_set(err, RC_DEFER, "bad owner for %.*s", SL_ARG(path));
	if (rc == RC_OK && (r->flags & HEDDLE_FILE_GROUP) && f->gid != r->gid)
		rc = is_listed(c, r->groups, f->gid, services_gid, err);
	if (rc == RC_FAIL)
		return error_set(err, RC_DEFER, "bad group for %.*s", SL_ARG(path));
	if (rc == RC_OK && (f->mode & r->modemask))
		return error_set(err, RC_DEFER, "bad mode (0%o) for %.*s: 0%o bit(s) unexpected",
		    f->mode, SL_ARG(path), f->mode & r->modemask);
	return rc;
}

static int32_t read_checked(struct heddle_call *c, slice_t path, uint32_t as, uint32_t owner,
    uint64_t max, const struct heddle_file_rules *r, slice_t *out)
{
	struct error err = {.text = ""};
	struct agent_file_facts facts;
	slice_t text;
	enum rc rc = read_as(c, path, as, max, &text, &facts, &err);

	if ((facts.error == EACCES && (r->flags & HEDDLE_FILE_EACCES)) ||
	    (facts.error == ENOTDIR && (r->flags & HEDDLE_FILE_ENOTDIR)))
		return HEDDLE_FAIL;
	if (facts.error == ENOTDIR)
		rc = RC_DEFER;
	if (facts.folder_gone && !(r->flags & HEDDLE_FILE_ENOTDIR)) {
		slice_t folder = slice_sub(path, 0, slice_rfind(path, '/'));
		rc = error_set(&err, RC_DEFER, "failed to stat %.*s/. (No such file or directory)",
		    SL_ARG(folder));
	}
	if (rc == RC_OK)
		rc = obey(c, path, owner, r, &facts, &err);
	if (rc == RC_OK) {
		*out = text;
		if (r->flags & HEDDLE_FILE_OWNER)
			out->flags |= HEDDLE_CLEAN;
	}
	return say(c, rc, &err);
}

const struct heddle_file_service router_file_service = {
    .struct_size = sizeof router_file_service,
    .read_all = read_all,
    .read_checked = read_checked,
};
