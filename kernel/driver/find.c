/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/find: from a name in the configuration to an open file that may be trusted.
 * A link is followed once, and only to a plain name beside it: that is what an alias is.  The
 * folders above are checked on their canonical path; in one that others may write the sticky bit
 * suffices, except for the drivers' own folders.
 */
#include "driver/loader_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITABLE_BY_OTHERS (S_IWGRP | S_IWOTH)

bool driver_name_is_valid(slice_t name)
{
	if (name.len == 0 || name.len >= sizeof((struct heddle_driver *)0)->name)
		return false;
	for (uint32_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		bool lower = c >= 'a' && c <= 'z';
		if (!lower && (i == 0 || (!ascii_isdigit(c) && c != '_')))
			return false;
	}
	return true;
}

/* "NAME.so", and so no slash */
static bool is_object_name(const char *file)
{
	size_t n = strlen(file);
	return n > 3 && strcmp(file + n - 3, ".so") == 0 &&
	       driver_name_is_valid(slice_tainted(file, n - 3));
}

static enum rc check_trust(
    const struct drivers_config *cfg, const struct stat *st, bool sticky_will_do, struct error *err)
{
	if (st->st_uid != 0 && !(cfg->any_owner && st->st_uid == geteuid())) {
		if (cfg->any_owner && geteuid() != 0)
			return error_set(err, RC_ERROR, "owned by uid %lu, wanted 0 or %lu",
			    (unsigned long)st->st_uid, (unsigned long)geteuid());
		return error_set(
		    err, RC_ERROR, "owned by uid %lu, wanted 0", (unsigned long)st->st_uid);
	}
	if ((st->st_mode & WRITABLE_BY_OTHERS) && !(sticky_will_do && (st->st_mode & S_ISVTX)))
		return error_set(err, RC_ERROR, "mode %04o, wanted no write for group or others",
		    (unsigned)(st->st_mode & 07777));
	return RC_OK;
}

/* Each folder from the root down to `real`, which is canonical; the last two are CLASS and the
 * drivers' folder. */
static enum rc check_folders(const struct drivers_config *cfg, char *real, struct error *err)
{
	for (int up = 0;; up++) {
		struct stat st;
		if (lstat(real, &st) != 0)
			return error_errno(err, RC_ERROR, errno, "folder %s", real);
		if (!S_ISDIR(st.st_mode))
			return error_set(err, RC_ERROR, "folder %s: is not a folder", real);
		if (check_trust(cfg, &st, up >= 2, err) != RC_OK)
			return error_wrap(err, RC_ERROR, "folder %s", real);
		char *slash = strrchr(real, '/');
		if (real[1] == '\0')
			return RC_OK;
		slash[slash == real ? 1 : 0] = '\0';
	}
}

/* In dirfd; *file is replaced by what an alias points to.  FAIL: not there. */
static enum rc open_object(int dirfd, char *file, size_t cap, int *out_fd, struct error *err)
{
	for (int links = 0;; links++) {
		/* NONBLOCK: a FIFO put there must not hold us up */
		int fd =
		    openat(dirfd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0) {
			*out_fd = fd;
			return RC_OK;
		}
		if (errno == ENOENT && links == 0)
			return RC_FAIL;
		if (errno == ENXIO || errno == ENODEV ||
		    errno == ENOENT) /* a socket; a link to nothing */
			return error_set(err, RC_ERROR, "is not a regular file");
		if (errno != ELOOP)
			return error_errno(err, RC_ERROR, errno, "cannot be opened");
		if (links == 1)
			return error_set(err, RC_ERROR, "is not a regular file (a link to a link)");
		char target[DRIVER_PATH_MAX];
		ssize_t n = readlinkat(dirfd, file, target, sizeof target - 1);
		if (n < 0)
			return error_errno(err, RC_ERROR, errno, "cannot be read as a link");
		target[n] = '\0';
		if (!is_object_name(target) || (size_t)n >= cap)
			return error_set(err, RC_ERROR,
			    "is not a regular file (a link that leads out of its folder)");
		memcpy(file, target, (size_t)n + 1);
	}
}

/* real: canonical name of the class's folder, PATH_MAX long; used up. */
static enum rc try_folder(const struct drivers_config *cfg, char *real, slice_t name,
    struct driver_file *out, struct error *err)
{
	char file[64];
	if (!slice_copy(name, file, sizeof file - 3))
		return RC_FAIL;
	memcpy(file + name.len, ".so", 4);
	int dirfd = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? RC_FAIL
		                       : error_errno(err, RC_ERROR, errno, "folder %s", real);
	int fd = -1;
	enum rc rc = open_object(dirfd, file, sizeof file, &fd, err);
	(void)close(dirfd);
	if (rc == RC_FAIL)
		return rc;
	int n = snprintf(out->path, sizeof out->path, "%s/%s", real, file);
	if (rc != RC_OK)
		return rc;
	struct stat st;
	if (n < 0 || (size_t)n >= sizeof out->path)
		rc =
		    error_set(err, RC_ERROR, "path is longer than %zu bytes", sizeof out->path - 1);
	else if (fstat(fd, &st) != 0)
		rc = error_errno(err, RC_ERROR, errno, "fstat");
	else if (!S_ISREG(st.st_mode))
		rc = error_set(err, RC_ERROR, "is not a regular file");
	else
		rc = check_trust(cfg, &st, false, err);
	if (rc == RC_OK)
		rc = check_folders(cfg, real, err);
	if (rc != RC_OK) {
		(void)close(fd);
		return rc;
	}
	out->fd = fd;
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	return RC_OK;
}

enum rc driver_file_open(const struct drivers_config *cfg, uint16_t driver_class, slice_t name,
    struct driver_file *out, struct error *err)
{
	for (const char *const *f = cfg->folders; f && *f; f++) {
		char path[DRIVER_PATH_MAX], real[PATH_MAX];
		int n = snprintf(path, sizeof path, "%s/%s", *f, driver_class_name(driver_class));
		if (n < 0 || (size_t)n >= sizeof path)
			return error_set(
			    err, RC_ERROR, "folder %s is longer than %zu bytes", *f, sizeof path);
		if (!realpath(path, real))
			continue;
		out->path[0] = '\0';
		enum rc rc = try_folder(cfg, real, name, out, err);
		if (rc == RC_FAIL)
			continue;
		if (rc != RC_OK && out->path[0])
			return error_wrap(err, rc, "%s", out->path);
		return rc;
	}
	char package[sizeof((struct heddle_driver *)0)->name];
	(void)slice_copy(name, package, sizeof package);
	for (char *p = package; *p; p++)
		if (*p == '_')
			*p = '-';
	return error_set(err, RC_FAIL, "not found; is package heddle-%s-%s installed?",
	    driver_class_name(driver_class), package);
}
