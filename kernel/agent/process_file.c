/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/process: the file service.  A path is walked component by component; a symbolic link on the
 * way is followed only if root or ourselves made it, so that nobody else can point us at a file of
 * ours.
 */
#include "agent/agent.h"
#include "agent/process.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 16

struct walk {
	int dir;             /* where we are */
	char rest[PATH_MAX]; /* still to go */
	unsigned links;
	bool linked; /* the last component was reached through a link */
};

static bool is_trusted(uid_t owner)
{
	return owner == 0 || owner == geteuid();
}

static bool enter(struct walk *w, int dir)
{
	if (dir < 0)
		return false;
	(void)close(w->dir);
	w->dir = dir;
	return true;
}

static const char *skip_slashes(const char *s)
{
	while (*s == '/')
		s++;
	return s;
}

/* The link's text, with what follows it, is the way from here. */
static bool follow(struct walk *w, int link, const char *after)
{
	struct stat st;
	char target[PATH_MAX];
	if (fstat(link, &st) != 0)
		return false;
	if (!is_trusted(st.st_uid) || ++w->links > LINKS_MAX) {
		errno = ELOOP;
		return false;
	}
	ssize_t n = readlinkat(link, "", target, sizeof target);
	if (n <= 0 || (size_t)n >= sizeof target)
		return false;
	size_t len = (size_t)n, behind = strlen(after);
	if (len + 1 + behind >= sizeof w->rest) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(w->rest, target, len);
	if (behind)
		w->rest[len++] = '/';
	memcpy(w->rest + len, after, behind + 1);
	w->linked = true;
	return target[0] != '/' || enter(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

/* One step: 1: w->rest is the last component, and no link; 0: went on; -1: errno. */
static int step(struct walk *w)
{
	char name[NAME_MAX + 1], after[PATH_MAX];
	const char *start = skip_slashes(w->rest);
	size_t len = strcspn(start, "/");
	if (len > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, start, len);
	name[len] = '\0';
	const char *behind = skip_slashes(start + len);
	bool last = *behind == '\0';
	memcpy(after, behind, strlen(behind) + 1);
	int fd = openat(w->dir, len ? name : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	bool is_link = fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
	int result = 0;
	if (is_link) {
		result = follow(w, fd, after) ? 0 : -1;
	} else if (last) {
		memcpy(w->rest, len ? name : ".", len ? len + 1 : 2);
		result = 1;
	} else if (fd < 0) {
		return -1;
	} else {
		memcpy(w->rest, after, strlen(after) + 1);
		return enter(w, fd) ? 0 : -1;
	}
	int saved = errno;
	if (fd >= 0)
		(void)close(fd);
	errno = saved;
	return result;
}

/* A descriptor, or -1 with errno. */
static int open_walked(const char *path, int flags, mode_t mode)
{
	struct walk w = {.dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	size_t len = strlen(path);
	int how = 0, fd = -1;
	struct stat st;
	if (len >= sizeof w.rest || w.dir < 0) {
		errno = ENAMETOOLONG;
		how = -1;
	} else {
		memcpy(w.rest, path, len + 1);
	}
	while (how == 0)
		how = step(&w);
	if (how > 0)
		fd = openat(w.dir, w.rest, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, mode);
	/* the far end of a link: a file of somebody else's that we may write is not what it was
	 * meant for */
	if (fd >= 0 && w.linked && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    !is_trusted(st.st_uid)) {
		(void)close(fd);
		fd = -1;
		errno = ELOOP;
	}
	int saved = errno;
	if (w.dir >= 0)
		(void)close(w.dir);
	errno = saved;
	return fd;
}

static int32_t check_path(struct heddle_call *c, slice_t path, const char **out)
{
	if ((!path.ptr && path.len) || (path.len && memchr(path.ptr, '\0', path.len)) ||
	    !slice_starts(path, "/"))
		return call_refuse(c, HEDDLE_ERROR, "\"%.*s\" is no absolute path", SL_ARG(path));
	if (!slice_is_clean(path))
		return call_refuse(c, HEDDLE_ERROR, "tainted file name \"%.*s\"", SL_ARG(path));
	*out = arena_cstr(c->arena, path);
	return HEDDLE_OK;
}

static int32_t failed(struct heddle_call *c, const char *path)
{
	struct error e = {.text = ""};
	bool missing = errno == ENOENT || errno == ENOTDIR;
	(void)error_errno(&e, RC_DEFER, errno, "%s", path);
	return call_refuse(c, missing ? HEDDLE_FAIL : HEDDLE_DEFER, "%s", e.text);
}

int32_t agent_file_open(
    struct heddle_call *c, slice_t path, int32_t flags, uint32_t mode, int32_t *fd)
{
	const char *name = NULL;
	int32_t result = check_path(c, path, &name);
	if (result != HEDDLE_OK)
		return result;
	int got = open_walked(name, flags, (mode_t)(mode & 07777));
	if (got < 0)
		return failed(c, name);
	*fd = got;
	return HEDDLE_OK;
}

static int32_t read_regular(struct heddle_call *c, int fd, const char *name, uint64_t max,
    slice_t *out, struct agent_file_facts *facts)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return failed(c, name);
	facts->uid = st.st_uid;
	facts->gid = st.st_gid;
	facts->mode = st.st_mode;
	if (!S_ISREG(st.st_mode))
		return call_refuse(c, HEDDLE_DEFER, "%s is not a regular file", name);
	uint64_t size = (uint64_t)st.st_size;
	if (size > max || size >= WIRE_MAX)
		return call_refuse(
		    c, HEDDLE_DEFER, "%s is too big (max %llu)", name, (unsigned long long)max);
	char *p = arena_bytes(c->arena, (size_t)size + 1);
	ssize_t n = io_pread_full(fd, p, (size_t)size, 0);
	if (n < 0)
		return failed(c, name);
	p[n] = '\0';
	bool own = is_trusted(st.st_uid) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
	*out = slice_of(p, (size_t)n, own ? HEDDLE_CLEAN : 0);
	return HEDDLE_OK;
}

static int32_t not_opened(struct heddle_call *c, const char *path)
{
	int e = errno;
	bool missing = e == ENOENT || e == ENOTDIR;
	if (e == EACCES)
		return call_refuse(c, HEDDLE_DEFER, "failed to open %s: %s (euid=%lu egid=%lu)",
		    path, strerrordesc_np(e), (unsigned long)geteuid(), (unsigned long)getegid());
	return call_refuse(c, missing ? HEDDLE_FAIL : HEDDLE_DEFER, "failed to open %s: %s", path,
	    strerrordesc_np(e));
}

/* Can the folder that a name is in be looked at?  Where not, the file may well exist, on what is
 * not mounted. */
static bool folder_is_there(struct heddle_call *c, slice_t path)
{
	struct stat st;
	size_t slash = slice_rfind(path, '/');
	return stat(arena_cstr(c->arena, slice_sub(path, 0, slash ? slash : 1)), &st) == 0;
}

int32_t agent_file_read(
    struct heddle_call *c, slice_t path, uint64_t max, slice_t *out, struct agent_file_facts *facts)
{
	const char *name = NULL;
	*facts = (struct agent_file_facts){.error = 0};
	int32_t result = check_path(c, path, &name);
	if (result != HEDDLE_OK)
		return result;
	int fd = open_walked(name, O_RDONLY | O_NONBLOCK, 0); /* a FIFO has no writer to wait for */
	if (fd < 0) {
		facts->error = errno;
		result = not_opened(c, name);
		facts->folder_gone = facts->error == ENOENT && !folder_is_there(c, path);
		return result;
	}
	result = read_regular(c, fd, name, max, out, facts);
	(void)close(fd);
	return result;
}

int32_t agent_file_read_all(
    struct heddle_call *c, slice_t path, uint32_t uid, uint64_t max, slice_t *out)
{
	struct agent_file_facts facts;
	if (uid != UINT32_MAX && uid != geteuid())
		return call_refuse(c, HEDDLE_DEFER, "this process reads files as uid %lu only",
		    (unsigned long)geteuid());
	return agent_file_read(c, path, max, out, &facts);
}
