/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One file that messages are appended to.  Order: dot lock, look, open, look again (nothing may
 * have been put in the file's place), lock the file, append, sync; a failure puts length and time
 * back.  Exim specification, 26.3.
 */
#include "appendfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define EXISTENCE_TRIES 10
#define POLL_LOCK_MS    100
#define FIRST_PAUSE_MS  5

struct mbox {
	struct delivery *d;
	const char *lock_name; /* NULL: none was made */
	struct stat before;    /* of the file as it was found */
	int fd, existed, is_fifo;
};

/* ---- the lock file
 * -------------------------------------------------------------------------------------- */

static const char *hitch_name(struct delivery *d, const char *lock)
{
	const char *host = host_part(d);
	uint32_t random = 0;
	if (!host)
		return NULL;
	(void)d->host->random(d->call, &random, sizeof random);
	/* threads of one process may come here in the same second */
	return format(d, "%s.%s.%08lx.%08lx.%08x", lock, host, (unsigned long)time(NULL),
	    (unsigned long)getpid(), random);
}

/* 1: it is ours; 0: another has it; -1: errno. */
static int try_lock_file(struct delivery *d, const char *lock)
{
	const char *hitch = hitch_name(d, lock);
	struct stat st;
	int mine = 0;
	if (!hitch) {
		errno = ENOMEM;
		return -1;
	}
	int fd =
	    open(hitch, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, d->in->lockfile_mode);
	if (fd < 0)
		return -1;
	(void)close(fd);
	if (link(hitch, lock) == 0)
		mine = 1;
	else if (stat(hitch, &st) == 0 && st.st_nlink == 2)
		mine = 1; /* a file server's answer was lost */
	(void)unlink(hitch);
	return mine;
}

static void drop_stale_lock(struct delivery *d, const char *lock)
{
	struct stat st;
	if (d->in->lockfile_timeout_ms > 0 && lstat(lock, &st) == 0 &&
	    (int64_t)time(NULL) - (int64_t)st.st_mtime > d->in->lockfile_timeout_ms / 1000)
		(void)unlink(lock);
}

/* In all as long as lock_retries times lock_interval, but soon at first: most locks are held for
 * milliseconds, and often by a delivery of our own. */
static int64_t next_pause(const struct delivery *d, int64_t *waited)
{
	int64_t ms = *waited / 2 + FIRST_PAUSE_MS;
	if (ms > d->in->lock_interval_ms)
		ms = d->in->lock_interval_ms;
	*waited += ms;
	return ms;
}

static int32_t take_lock_file(struct mbox *m)
{
	struct delivery *d = m->d;
	const char *lock = format(d, "%s.lock", d->path);
	if (!lock)
		return say(d, HEDDLE_DEFER, 0, "out of memory");
	for (int64_t waited = 0;;) {
		int got = try_lock_file(d, lock);
		if (got > 0) {
			m->lock_name = lock;
			return HEDDLE_OK;
		}
		if (got < 0)
			return say(d, HEDDLE_DEFER, errno,
			    "creating lock file hitching post for %s (euid=%ld egid=%ld)", lock,
			    (long)geteuid(), (long)getegid());
		drop_stale_lock(d, lock);
		if (waited >= d->in->lock_retries * d->in->lock_interval_ms ||
		    d->in->lock_interval_ms <= 0)
			return say(
			    d, HEDDLE_DEFER, 0, "failed to lock mailbox %s (lock file)", d->path);
		int64_t ms = next_pause(d, &waited);
		if (pause_ms(d, ms) != HEDDLE_OK)
			return say(d, HEDDLE_DEFER, 0,
			    "failed to lock mailbox %s (lock file): no time left", d->path);
	}
}

/* ---- is it the file that we may write to?
 * --------------------------------------------------------------- */

static int is_wanted_kind(const struct delivery *d, mode_t mode)
{
	return S_ISREG(mode) || (S_ISFIFO(mode) && d->in->allow_fifo);
}

static int32_t check_kind(struct delivery *d, const struct stat *st, const char *what)
{
	if (!is_wanted_kind(d, st->st_mode))
		return say(d, HEDDLE_DEFER, 0, "mailbox %s is not a regular file%s", d->path,
		    d->in->allow_fifo ? " or named pipe" : "");
	if (d->in->check_owner && st->st_uid != geteuid())
		return say(d, HEDDLE_DEFER, 0, "mailbox %s%s has wrong uid (%ld != %ld)", d->path,
		    what, (long)st->st_uid, (long)geteuid());
	if (d->in->check_group && st->st_gid != getegid())
		return say(d, HEDDLE_DEFER, 0, "mailbox %s%s has wrong gid (%ld != %ld)", d->path,
		    what, (long)st->st_gid, (long)getegid());
	if (st->st_nlink > 1)
		return say(d, HEDDLE_DEFER, 0, "mailbox %s%s has too many links (%lu)", d->path,
		    what, (unsigned long)st->st_nlink);
	return HEDDLE_OK;
}

/* A link: whose it is counts too, so that nobody puts one in the place of another's mailbox. */
static int32_t check_link(struct delivery *d, struct stat *st)
{
	if (!d->in->allow_symlink || (d->in->check_owner && st->st_uid != geteuid()))
		return d->in->allow_symlink ? say(d, HEDDLE_DEFER, 0,
		                                  "mailbox %s (symlink) has wrong uid (%ld != %ld)",
		                                  d->path, (long)st->st_uid, (long)geteuid())
		                            : check_kind(d, st, "");
	if (stat(d->path, st) != 0)
		return errno == ENOENT
		           ? HEDDLE_FAIL
		           : say(d, HEDDLE_DEFER, errno, "attempting to stat mailbox %s", d->path);
	return HEDDLE_OK;
}

static int32_t check_mode(struct mbox *m, const struct stat *st)
{
	struct delivery *d = m->d;
	mode_t have = st->st_mode & 07777, want = d->in->mode;
	if (m->is_fifo || have == want)
		return HEDDLE_OK;
	if ((want & ~have) && d->in->mode_fail_narrower)
		return say(d, HEDDLE_DEFER, 0, "mailbox %s has the wrong mode %o (%o expected)",
		    d->path, (unsigned)have, (unsigned)want);
	if ((have & ~want) && fchmod(m->fd, have & want) != 0)
		return say(d, HEDDLE_DEFER, errno, "attempting to chmod mailbox %s", d->path);
	return HEDDLE_OK;
}

/* Between the look and the opening another file may have been put there. */
static int32_t check_opened(struct mbox *m)
{
	struct delivery *d = m->d;
	struct stat st;
	if (fstat(m->fd, &st) != 0)
		return say(d, HEDDLE_DEFER, errno, "attempting to stat open mailbox %s", d->path);
	if (st.st_ino != m->before.st_ino || st.st_dev != m->before.st_dev)
		return say_frozen(d, "opened mailbox %s inode number changed from %lu to %lu",
		    d->path, (unsigned long)m->before.st_ino, (unsigned long)st.st_ino);
	if ((st.st_mode & S_IFMT) != (m->before.st_mode & S_IFMT))
		return say_frozen(d, "opened mailbox %s is no longer a %s", d->path,
		    m->is_fifo ? "named pipe" : "regular file");
	if (st.st_uid != m->before.st_uid || st.st_gid != m->before.st_gid)
		return say_frozen(d, "opened mailbox %s has wrong uid or gid", d->path);
	return check_mode(m, &st);
}

/* ---- opening
 * -------------------------------------------------------------------------------------------- */

/* FAIL: it has vanished meanwhile. */
static int32_t open_existing(struct mbox *m)
{
	struct delivery *d = m->d;
	int flags =
	    O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (d->in->allow_symlink ? 0 : O_NOFOLLOW);
	m->is_fifo = S_ISFIFO(m->before.st_mode);
	m->fd = open(d->path, flags | (m->is_fifo ? O_WRONLY : O_RDWR));
	if (m->fd < 0 && errno == ENOENT)
		return HEDDLE_FAIL;
	if (m->fd < 0 && errno == ENXIO && m->is_fifo)
		return say(d, HEDDLE_DEFER, errno,
		    "while opening named pipe %s (could mean no process is reading it)", d->path);
	if (m->fd < 0)
		return say(d, HEDDLE_DEFER, errno, "while opening mailbox %s", d->path);
	m->existed = 1;
	return check_opened(m);
}

/* FAIL: it exists meanwhile. */
static int32_t create_new(struct mbox *m, int is_link)
{
	struct delivery *d = m->d;
	if (d->in->file_must_exist)
		return say(d, HEDDLE_DEFER, 0,
		    "mailbox %s does not exist, but file_must_exist is set", d->path);
	if (!may_create(d, d->path))
		return say(d, HEDDLE_DEFER, 0,
		    "mailbox %s does not exist, but creation outside the home directory is not "
		    "permitted",
		    d->path);
	m->fd = open(d->path,
	    O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
	        (is_link ? 0 : O_EXCL | O_NOFOLLOW),
	    d->in->mode);
	if (m->fd < 0)
		return errno == EEXIST
		           ? HEDDLE_FAIL
		           : say(d, HEDDLE_DEFER, errno, "while creating mailbox %s", d->path);
	m->existed = 0;
	if (fchmod(m->fd, d->in->mode) != 0 || fstat(m->fd, &m->before) != 0)
		return say(d, HEDDLE_DEFER, errno, "while setting perms on mailbox %s", d->path);
	return HEDDLE_OK;
}

static int32_t open_mailbox(struct mbox *m)
{
	struct delivery *d = m->d;
	for (int i = 0; i < EXISTENCE_TRIES; i++) {
		int there = lstat(d->path, &m->before) == 0,
		    is_link = there && S_ISLNK(m->before.st_mode);
		int32_t rc = HEDDLE_OK;
		if (!there && errno != ENOENT)
			return say(
			    d, HEDDLE_DEFER, errno, "attempting to stat mailbox %s", d->path);
		if (is_link)
			rc = check_link(d, &m->before);
		if (rc == HEDDLE_FAIL)
			there = 0; /* it points to nothing */
		else if (rc != HEDDLE_OK)
			return rc;
		if (there) {
			rc = check_kind(d, &m->before, "");
			if (rc == HEDDLE_OK)
				rc = open_existing(m);
		} else {
			rc = create_new(m, is_link);
		}
		if (rc != HEDDLE_FAIL)
			return rc;
	}
	return say_frozen(d, "mailbox %s: existence unclear", d->path);
}

/* 1: locked; 0: another has it; -1: errno. */
static int lock_now(int fd)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fcntl(fd, F_OFD_SETLK, &all) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES ? 0 : -1;
}

static void close_mailbox(struct mbox *m)
{
	if (m->fd >= 0)
		(void)close(m->fd);
	m->fd = -1;
}

/* lock_fcntl_timeout: how long to wait with the file open. */
static int lock_in_time(struct mbox *m)
{
	int64_t left = m->d->in->fcntl_timeout_ms;
	int got = lock_now(m->fd);
	for (; got == 0 && left > 0; left -= POLL_LOCK_MS) {
		if (pause_ms(m->d, POLL_LOCK_MS) != HEDDLE_OK)
			return 0;
		got = lock_now(m->fd);
	}
	return got;
}

static int32_t open_and_lock(struct mbox *m)
{
	const struct appendfile *in = m->d->in;
	int64_t waited = 0;
	for (;;) {
		int32_t rc = open_mailbox(m);
		if (rc != HEDDLE_OK || !in->use_fcntl || m->is_fifo)
			return rc;
		int got = lock_in_time(m);
		if (got > 0)
			return HEDDLE_OK;
		if (got < 0)
			return say(m->d, HEDDLE_DEFER, errno,
			    "failed to lock mailbox %s (fcntl/flock)", m->d->path);
		close_mailbox(m);
		if (waited >= in->lock_retries * in->lock_interval_ms || in->lock_interval_ms <= 0)
			break;
		if (in->fcntl_timeout_ms > 0)
			waited += in->fcntl_timeout_ms; /* waited with the file open already */
		else if (pause_ms(m->d, next_pause(m->d, &waited)) != HEDDLE_OK)
			break;
	}
	return say(m->d, HEDDLE_DEFER, 0, "failed to lock mailbox %s (fcntl/flock)", m->d->path);
}

/* ---- appending
 * ------------------------------------------------------------------------------------------ */

/* As if nothing had happened: length and time; a new file goes. */
static void undo(struct mbox *m, const struct stat *at)
{
	struct timespec times[2] = {at->st_atim, at->st_mtim};
	if (m->is_fifo)
		return;
	if (ftruncate(m->fd, at->st_size) != 0)
		m->d->host->log(
		    m->d->call, HEDDLE_LOG_PANIC, heddle_text("Error resetting file size"));
	(void)futimens(m->fd, times);
	(void)fdatasync(m->fd);
	if (!m->existed && at->st_size == 0)
		(void)unlink(m->d->path);
}

/* Unread mail: read before it was written. */
static void mark_unread(struct mbox *m, const struct stat *at)
{
	struct timespec times[2] = {at->st_atim, {.tv_nsec = UTIME_NOW}};
	if (!m->existed) {
		(void)clock_gettime(CLOCK_REALTIME, &times[0]);
		times[0].tv_sec--;
	}
	(void)futimens(m->fd, times);
}

static int32_t sync_all(struct mbox *m)
{
	struct delivery *d = m->d;
	if (m->is_fifo)
		return HEDDLE_OK;
	if (fdatasync(m->fd) != 0)
		return say(d, HEDDLE_DEFER, errno, "%serror while writing to %s",
		    errno == ENOSPC || errno == EDQUOT ? "mailbox is full: " : "", d->path);
	if (!m->existed && sync_folder_of(d, d->path) != 0)
		return say(d, HEDDLE_DEFER, errno, "while creating mailbox %s", d->path);
	return HEDDLE_OK;
}

static int32_t append(struct mbox *m)
{
	struct delivery *d = m->d;
	struct stat at; /* the length now that we have the lock: another may have appended since */
	if (fstat(m->fd, &at) != 0)
		return say(d, HEDDLE_DEFER, errno, "while fstatting opened mailbox %s", d->path);
	if (d->quota.size < 0)
		d->quota.size = m->is_fifo ? 0 : (int64_t)at.st_size;
	quota_unread_since(d, (int64_t)at.st_atime);
	int32_t rc = m->is_fifo ? HEDDLE_OK : quota_check(d, d->path);
	if (rc == HEDDLE_OK)
		rc = write_message(d, m->fd, d->path);
	if (rc == HEDDLE_OK)
		rc = sync_all(m);
	if (rc != HEDDLE_OK)
		undo(m, &at);
	else if (!m->is_fifo)
		mark_unread(m, &at);
	return rc;
}

static const char *folder_of(struct delivery *d)
{
	const char *slash = strrchr(d->path, '/');
	return slash == d->path ? "/" : format(d, "%.*s", (int)(slash - d->path), d->path);
}

int32_t deliver_mbox(struct delivery *d)
{
	struct mbox m = {.d = d, .fd = -1};
	const char *folder = folder_of(d);
	struct stat st;
	int32_t rc = folder ? HEDDLE_OK : HEDDLE_DEFER;
	if (strcmp(d->path, "/dev/null") == 0)
		return HEDDLE_OK;
	if (rc == HEDDLE_OK && stat(folder, &st) != 0 && errno == ENOENT && !may_create(d, d->path))
		return say(d, HEDDLE_DEFER, 0,
		    "mailbox %s does not exist, but creation outside the home directory is not "
		    "permitted",
		    d->path);
	if (rc == HEDDLE_OK)
		rc = make_folder(d, folder);
	if (rc == HEDDLE_OK && d->in->use_lockfile)
		rc = take_lock_file(&m);
	if (rc == HEDDLE_OK)
		rc = open_and_lock(&m);
	if (rc == HEDDLE_OK)
		rc = append(&m);
	close_mailbox(&m);
	if (m.lock_name)
		(void)unlink(m.lock_name);
	return rc;
}
