/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log/file: one log file that may be renamed under us, or change its name at midnight.  Private to
 * log/. The descriptor's number is reserved once and never changes: a new file takes the place of
 * the old one by dup3(), so that a thread which is writing meanwhile writes to one of the two, and
 * no lock is needed.  Name and inode are compared at most once a second; a failed open is tried
 * again in the next second.
 */
#ifndef HEDDLE_LOG_FILE_H
#define HEDDLE_LOG_FILE_H
#include "log/line.h"

#include <sys/types.h>

struct log_file {
	const char *pattern; /* with %s, %D, %M; NULL: there is no such file */
	const char *which;   /* main, reject, panic */
	mode_t mode;
	int fd;
	_Atomic bool is_open;       /* fd is the file, not the placeholder; released after dup3() */
	_Atomic int64_t checked_at; /* second of the last comparison; who moves it does it */
	_Atomic int64_t failed_at;  /* second of the last failure to open */
};

MUST_USE enum rc log_file_init(
    struct log_file *f, const char *pattern, const char *which, mode_t mode, struct error *err);
void log_file_fini(struct log_file *f);
/* false: not or not wholly written. */
bool log_file_write(struct log_file *f, const char *p, size_t n, const struct log_time *now);
/* The file's name at this date; the panic log has none in its name.  false: too long. */
bool log_file_name(
    const char *pattern, const char *which, const struct log_time *now, char *out, size_t cap);
/* Open for appending, make it with this mode if it is not there, and its directory.  -1 with errno.
 */
int log_file_open(const char *path, mode_t mode);
/* The directories above path, at most so many of them. */
bool log_file_make_parent(const char *path, int levels);
#endif
