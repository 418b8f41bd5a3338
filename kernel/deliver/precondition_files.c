/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The precondition require_files.  An item without a slash says as whom the files behind it are
 * looked at: first by their mode bits, as far as this process may look; where it may not, an agent
 * of that user does.
 */
#include "agent/agent.h"
#include "deliver/route.h"

#include <errno.h>
#include <sys/stat.h>

struct looker { /* uid -1: this process itself */
	int64_t uid, gid;
};

static const char *cannot(slice_t item, int e, struct arena *a)
{
	return arena_printf(
	    a, "require_files: error for %.*s: %s", SL_ARG(item), strerrordesc_np(e))
	    .ptr;
}

/* "user" or "user,group"; a user that is a number has no group of its own here. */
static enum rc become(struct route_step *s, slice_t item, struct looker *out, struct error *err)
{
	struct services *sv = s->run->eval->services;
	int64_t until = s->run->eval->deadline_us, number;
	size_t comma = slice_find(item, ',');
	slice_t user = slice_trim(slice_sub(item, 0, comma)), group = slice_absent();
	struct user_info u = {.gid = -1};
	enum rc rc = RC_OK;

	if (comma != SIZE_MAX)
		group = slice_trim(slice_sub(item, comma + 1, item.len));
	if (slice_to_i64(user, 10, false, &number) && number >= 0) {
		if (slice_is_absent(group))
			return error_set(err, RC_DEFER,
			    "group missing after numerical uid %lld for require_files",
			    (long long)number);
		u.uid = number;
	} else if (sv && sv->find_user) {
		rc = sv->find_user(sv, s->run->arena, user, until, &u, err);
	} else {
		rc = RC_DEFER;
	}
	if (rc != RC_OK)
		return error_set(
		    err, RC_DEFER, "user \"%.*s\" for require_files not found", SL_ARG(user));
	if (!slice_is_absent(group) &&
	    services_gid(sv, s->run->arena, group, until, &u.gid, err) != RC_OK)
		return error_set(
		    err, RC_DEFER, "group \"%.*s\" for require_files not found", SL_ARG(group));
	*out = (struct looker){u.uid, u.gid};
	return RC_OK;
}

static bool permits(const struct stat *st, const struct looker *as, unsigned bit)
{
	unsigned shift = (int64_t)st->st_uid == as->uid   ? 6
	                 : (int64_t)st->st_gid == as->gid ? 3
	                                                  : 0;

	return as->uid == 0 || (st->st_mode & (bit << shift)) != 0;
}

/* As stat(2): 0 or an errno.  Folders are to be searchable, the file readable. */
static int look_by_mode(slice_t path, const struct looker *as, struct arena *a)
{
	struct stat st;

	for (size_t i = 1; as->uid >= 0 && i < path.len; i++) {
		if (path.ptr[i] != '/')
			continue;
		if (stat(arena_cstr(a, slice_sub(path, 0, i)), &st) != 0)
			return errno;
		if (!permits(&st, as, 1))
			return EACCES;
	}
	if (stat(arena_cstr(a, path), &st) != 0)
		return errno;
	return as->uid < 0 || permits(&st, as, 4) ? 0 : EACCES;
}

/* What we may not see, that user may. */
static enum rc look_as(
    struct route_step *s, slice_t path, const struct looker *as, int *out_errno, struct error *err)
{
	struct services *sv = s->run->eval->services;
	struct agent_identity who = {.purpose = SL("require_files"),
	    .user = arena_printf(s->run->arena, "%lld", (long long)as->uid),
	    .group = arena_printf(s->run->arena, "%lld", (long long)as->gid)};
	struct agent_file_facts facts = {.error = 0};
	slice_t text;

	sv->host.block_begin(&s->call);
	enum rc rc = agents_read_file(sv->agents, &who, &s->call, path, 0, &text, &facts, err);
	sv->host.block_end(&s->call);
	/* mode: it was opened, whatever it is and however long */
	*out_errno = facts.mode ? 0 : facts.error;
	return rc == RC_OK || facts.mode || facts.error ? RC_OK : rc;
}

/* "/path", "!/path": there or not there; "+" before either: what may not be looked at is not there.
 */
static enum rc check_one(
    struct route_step *s, slice_t item, const struct looker *as, struct error *err)
{
	struct services *sv = s->run->eval->services;
	bool want = true, eacces_is_no = false;

	if (item.len && item.ptr[0] == '+') {
		eacces_is_no = true;
		item = slice_trim(slice_sub(item, 1, item.len));
	}
	if (item.len && item.ptr[0] == '!') {
		want = false;
		item = slice_trim(slice_sub(item, 1, item.len));
	}
	if (item.len == 0 || item.ptr[0] != '/')
		return error_set(
		    err, RC_DEFER, "require_files: \"%.*s\" is not absolute", SL_ARG(item));
	if (!slice_is_clean(item))
		return error_set(
		    err, RC_DEFER, "Tainted name '%.*s' for file test not permitted", SL_ARG(item));
	int e = look_by_mode(item, as, s->run->arena);
	if (e == EACCES && as->uid >= 0 && sv && sv->agents) {
		enum rc rc = look_as(s, item, as, &e, err);
		if (rc != RC_OK)
			return rc;
	}
	if (e == 0)
		return want ? RC_OK : RC_FAIL;
	if (e == ENOENT || e == ENOTDIR || (e == EACCES && eacces_is_no))
		return want ? RC_FAIL : RC_OK;
	return error_set(err, RC_DEFER, "%s", cannot(item, e, s->run->arena));
}

/* The list is split first: what an item expands to may hold the separator.  An item that is forced
 * to fail is as if it were not there. */
enum rc route_check_files(struct route_step *s, struct error *err)
{
	const struct option_value *o = &s->router->generic[RO_require_files];
	struct looker as = {-1, -1};
	uint64_t pos = 0;
	slice_t item;
	enum rc rc = RC_OK;

	while (rc == RC_OK && o->expr && expand_list_next(s->run->arena, o->text, &pos, &item)) {
		rc = expand_text(s->run->eval, item, &item, err);
		if (rc == RC_FAIL) {
			rc = RC_OK;
			continue;
		}
		item = slice_trim(item);
		if (rc != RC_OK || item.len == 0)
			continue;
		rc = slice_find(item, '/') == SIZE_MAX ? become(s, item, &as, err)
		                                       : check_one(s, item, &as, err);
	}
	return rc;
}
