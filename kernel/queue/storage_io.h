/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/storage_io: what the store asks of a file system, as a table, so that tests can put one
 * there that forgets, tears, fills up and fails.  Names are relative to the store's directory and
 * never leave it. Results: 0 or a count, or a negated errno.  Threads: any, also at once on one
 * file.
 */
#ifndef HEDDLE_QUEUE_STORAGE_IO_H
#define HEDDLE_QUEUE_STORAGE_IO_H
#include "base/result.h"

#include <sys/types.h>
#include <sys/uio.h>

enum storage_mode {
	STORAGE_READ,
	STORAGE_CREATE, /* read and write; must not exist */
	STORAGE_WRITE,  /* read and write; exists */
};

struct storage_space {
	uint64_t free_bytes, total_bytes;   /* free to us */
	uint64_t free_inodes, total_inodes; /* UINT64_MAX: the file system does not count them */
};

struct storage_io {
	void *ctx;
	int (*open)(void *ctx, const char *name, enum storage_mode mode);
	void (*close)(void *ctx, int fd);
	ssize_t (*pread)(void *ctx, int fd, void *buf, size_t n, uint64_t at);
	ssize_t (*pwritev)(
	    void *ctx, int fd, const struct iovec *iov, int n, uint64_t at); /* may be short */
	int (*fdatasync)(void *ctx, int fd);
	int64_t (*size)(void *ctx, int fd);
	int (*truncate)(void *ctx, int fd, uint64_t size);
	int (*sync_dir)(void *ctx, const char *dir);  /* "" is the store's own */
	int (*make_dir)(void *ctx, const char *name); /* -EEXIST when it is there */
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *name);
	int (*list)(
	    void *ctx, const char *dir, void (*each)(void *arg, const char *name), void *arg);
	int (*space)(void *ctx, struct storage_space *out);
};

/* The real one: makes dir (mode 0700) if needed and holds it open; symbolic links are not followed
 * below it. */
MUST_USE enum rc storage_real_new(const char *dir, struct storage_io **out, struct error *err);
/* No store may still use it. */
void storage_real_free(struct storage_io **io);
#endif
