/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * appendfile, shared by its parts.
 *	appendfile.c  options, where the message goes, folders, what is told at the end
 *	mbox.c        one file that messages are appended to: locks, checks, undoing a failure
 *	maildir.c     a new file for each message: Maildir, or a plain folder
 *	write.c       the message on its way to a descriptor
 *	quota.c       how full the mailbox may be
 * A delivery belongs to one thread.  It runs as the user it delivers for: the system's own checks
 *hold.
 */
#ifndef HEDDLE_APPENDFILE_H
#define HEDDLE_APPENDFILE_H
#include <heddle/transport.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum create_where { CREATE_ANYWHERE, CREATE_IN_HOME, CREATE_BELOW_HOME, CREATE_BELOW_PATH };

struct appendfile { /* one section; constant after instance_new but for the clock */
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	int allow_fifo, allow_symlink, check_group, check_owner, create_directory, file_must_exist;
	int maildir, mode_fail_narrower, use_crlf, use_fcntl, use_lockfile;
	mode_t mode, directory_mode, lockfile_mode;
	int64_t lock_retries, maildir_retries, lock_interval_ms, lockfile_timeout_ms,
	    fcntl_timeout_ms;
	enum create_where create;
	int quota_is_inclusive;
	void *size_regex;        /* quota_size_regex, compiled; or NULL */
	_Atomic int64_t last_us; /* of the last name made: each gets a microsecond of its own */
};

struct quota { /* of a delivery; 0: no limit */
	int64_t limit, count_limit, warn_above;
	int64_t size, count; /* of the mailbox before this message; -1: not counted yet */
	int is_wanted, size_unchecked, count_unchecked;
};

struct delivery {
	struct heddle_call *call;
	const struct appendfile *in;
	const struct heddle_host *host;
	const struct heddle_delivery_service *service;
	const struct heddle_message_service *message;
	struct heddle_job *job;
	const char *path;        /* file or folder */
	int to_folder;           /* a new file in it, not appended to a file */
	struct heddle_slice why; /* of the failure */
	uint32_t flags;          /* HEDDLE_X_FREEZE */
	uint64_t written;
	struct quota quota;
	int64_t unread_s; /* since the user read the mailbox; -1: not known */
};

enum {
	OPT_ALLOW_FIFO,
	OPT_ALLOW_SYMLINK,
	OPT_BATCH_ID,
	OPT_BATCH_MAX,
	OPT_CHECK_GROUP,
	OPT_CHECK_OWNER,
	OPT_CHECK_STRING,
	OPT_CREATE_DIRECTORY,
	OPT_CREATE_FILE,
	OPT_DIRECTORY,
	OPT_DIRECTORY_FILE,
	OPT_DIRECTORY_MODE,
	OPT_ESCAPE_STRING,
	OPT_FILE,
	OPT_FILE_FORMAT,
	OPT_FILE_MUST_EXIST,
	OPT_LOCK_FCNTL_TIMEOUT,
	OPT_LOCK_FLOCK_TIMEOUT,
	OPT_LOCK_INTERVAL,
	OPT_LOCK_RETRIES,
	OPT_LOCKFILE_MODE,
	OPT_LOCKFILE_TIMEOUT,
	OPT_MAILBOX_FILECOUNT,
	OPT_MAILBOX_SIZE,
	OPT_MAILDIR_FORMAT,
	OPT_MAILDIR_QUOTA_DIRECTORY_REGEX,
	OPT_MAILDIR_RETRIES,
	OPT_MAILDIR_TAG,
	OPT_MAILDIR_USE_SIZE_FILE,
	OPT_MAILDIRFOLDER_CREATE_REGEX,
	OPT_MAILSTORE_FORMAT,
	OPT_MAILSTORE_PREFIX,
	OPT_MAILSTORE_SUFFIX,
	OPT_MBX_FORMAT,
	OPT_MESSAGE_PREFIX,
	OPT_MESSAGE_SUFFIX,
	OPT_MODE,
	OPT_MODE_FAIL_NARROWER,
	OPT_NOTIFY_COMSAT,
	OPT_QUOTA,
	OPT_QUOTA_DIRECTORY,
	OPT_QUOTA_FILECOUNT,
	OPT_QUOTA_IS_INCLUSIVE,
	OPT_QUOTA_SIZE_REGEX,
	OPT_QUOTA_WARN_MESSAGE,
	OPT_QUOTA_WARN_THRESHOLD,
	OPT_USE_BSMTP,
	OPT_USE_CRLF,
	OPT_USE_FCNTL_LOCK,
	OPT_USE_FLOCK_LOCK,
	OPT_USE_LOCKFILE,
	OPT_USE_MBX_LOCK,
	OPT_COUNT
};

/* Note why; returns result.  errnum 0: none, else its text goes in front. */
int32_t say(struct delivery *d, int32_t result, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int32_t say_frozen(struct delivery *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sleep; DEFER when the call is over or cancelled. */
int32_t pause_ms(struct delivery *d, int64_t ms);
/* Make the folder and what is missing above it, if the options allow it. */
int32_t make_folder(struct delivery *d, const char *path);
/* May this be created, by create_file? */
int may_create(struct delivery *d, const char *path);
/* This host's name as part of a file name: what would end that or its info part is written in
 * octal.  NULL: no memory */
const char *host_part(struct delivery *d);
/* The folder that holds path, on stable storage. */
int sync_folder_of(struct delivery *d, const char *path);
const char *format(struct delivery *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* NULL: no memory */
/* The message with prefix, suffix, checked strings, all of it; what failed is said under the name
 * given. */
int32_t write_message(struct delivery *d, int fd, const char *name);
int32_t deliver_mbox(struct delivery *d);
int32_t deliver_new_file(struct delivery *d);

/* The options, before anything is touched. */
int32_t quota_read(struct delivery *d);
/* How much is in the folder, unless an option has said it. */
int32_t quota_count_folder(struct delivery *d);
/* Is there room for the message?  name: what would be written. */
int32_t quota_check(struct delivery *d, const char *name);
/* It was delivered: does that call for a warning? */
void quota_warn(struct delivery *d);
/* When the mailbox was last read. */
void quota_unread_since(struct delivery *d, int64_t when);
/* Of quota_size_regex; 0: it is none. */
int quota_compile(const struct heddle_slice *text, void **out);
void quota_free(void *code);
#endif
