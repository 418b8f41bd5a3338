/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/storage_real: the file system behind storage_io.  Owns a descriptor of the directory; names
 * are resolved below it, O_NOFOLLOW.  Threads: any; no state that changes.
 */
#include "queue/storage_io.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct real {
	struct storage_io io;
	int dir;
};

static int real_open(void *ctx, const char *name, enum storage_mode mode)
{
	static const int flags[] = {[STORAGE_READ] = O_RDONLY,
	    [STORAGE_CREATE] = O_RDWR | O_CREAT | O_EXCL,
	    [STORAGE_WRITE] = O_RDWR};
	const struct real *r = ctx;
	int fd = openat(r->dir, name, flags[mode] | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

static void real_close(void *ctx, int fd)
{
	(void)ctx;
	(void)close(fd);
}

static ssize_t real_pread(void *ctx, int fd, void *buf, size_t n, uint64_t at)
{
	size_t done = 0;

	(void)ctx;
	while (done < n) {
		ssize_t r = pread(fd, (char *)buf + done, n - done, (off_t)(at + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

static ssize_t real_pwritev(void *ctx, int fd, const struct iovec *iov, int n, uint64_t at)
{
	ssize_t r;

	(void)ctx;
	do
		r = pwritev(fd, iov, n, (off_t)at);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static int real_fdatasync(void *ctx, int fd)
{
	(void)ctx;
	return fdatasync(fd) == 0 ? 0 : -errno;
}

static int64_t real_size(void *ctx, int fd)
{
	struct stat st;

	(void)ctx;
	return fstat(fd, &st) == 0 ? (int64_t)st.st_size : -errno;
}

static int real_truncate(void *ctx, int fd, uint64_t size)
{
	(void)ctx;
	return ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
}

static int open_dir(const struct real *r, const char *dir)
{
	return openat(r->dir, dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int real_sync_dir(void *ctx, const char *dir)
{
	int fd = open_dir(ctx, dir), result = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		result = -errno;
	(void)close(fd);
	return result;
}

static int real_make_dir(void *ctx, const char *name)
{
	const struct real *r = ctx;

	return mkdirat(r->dir, name, 0700) == 0 ? 0 : -errno;
}

static int real_rename(void *ctx, const char *from, const char *to)
{
	const struct real *r = ctx;

	return renameat(r->dir, from, r->dir, to) == 0 ? 0 : -errno;
}

static int real_unlink(void *ctx, const char *name)
{
	const struct real *r = ctx;

	return unlinkat(r->dir, name, 0) == 0 ? 0 : -errno;
}

static int real_list(
    void *ctx, const char *dir, void (*each)(void *arg, const char *name), void *arg)
{
	int fd = open_dir(ctx, dir), result;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		result = -errno;
		if (fd >= 0)
			(void)close(fd);
		return result;
	}
	errno = 0;
	for (struct dirent *e; (e = readdir(d)); errno = 0)
		if (e->d_name[0] != '.')
			each(arg, e->d_name);
	result = -errno;
	(void)closedir(d);
	return result;
}

static int real_space(void *ctx, struct storage_space *out)
{
	const struct real *r = ctx;
	struct statvfs v;

	if (fstatvfs(r->dir, &v) != 0)
		return -errno;
	*out = (struct storage_space){.free_bytes = (uint64_t)v.f_bavail * v.f_frsize,
	    .total_bytes = (uint64_t)v.f_blocks * v.f_frsize,
	    .free_inodes = v.f_files ? v.f_favail : UINT64_MAX,
	    .total_inodes = v.f_files ? v.f_files : UINT64_MAX};
	return 0;
}

static const struct storage_io real_table = {.open = real_open,
    .close = real_close,
    .pread = real_pread,
    .pwritev = real_pwritev,
    .fdatasync = real_fdatasync,
    .size = real_size,
    .truncate = real_truncate,
    .sync_dir = real_sync_dir,
    .make_dir = real_make_dir,
    .rename = real_rename,
    .unlink = real_unlink,
    .list = real_list,
    .space = real_space};

enum rc storage_real_new(const char *dir, struct storage_io **out, struct error *err)
{
	bool made = mkdir(dir, 0700) == 0;
	if (!made && errno != EEXIST)
		return error_errno(err, RC_ERROR, errno, "make %s", dir);
	if (made && io_sync_dir_of(dir) != 0)
		return error_errno(err, RC_ERROR, errno, "sync the directory of %s", dir);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, RC_ERROR, errno, "open %s", dir);
	struct real *r = malloc(sizeof *r);
	MUST(r);
	r->io = real_table;
	r->io.ctx = r;
	r->dir = fd;
	*out = &r->io;
	return RC_OK;
}

void storage_real_free(struct storage_io **io)
{
	if (!*io)
		return;
	struct real *r = (*io)->ctx;
	(void)close(r->dir);
	free(r);
	*io = NULL;
}
