/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A new file for each message.  It is written under another name, synced, and gets its real one
 * only when it is whole; the folder is synced before the outcome is told.  An existing file is
 * never replaced.
 */
#include "appendfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NAME_TRIES   100
#define TRY_AGAIN_MS 2000

/* Ours alone among the names that this process makes. */
static int64_t own_microsecond(const struct appendfile *in)
{
	struct timespec ts;
	_Atomic int64_t *last = (_Atomic int64_t *)(uintptr_t)&in->last_us;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	int64_t now = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	int64_t before = atomic_load_explicit(last, memory_order_relaxed), mine;
	do {
		mine = before < now ? now : before + 1;
	} while (!atomic_compare_exchange_weak_explicit(
	    last, &before, mine, memory_order_relaxed, memory_order_relaxed));
	return mine;
}

/* rename that does not replace. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (link(from, to) != 0)
		return -1;
	return unlink(from);
}

static int32_t open_new(struct delivery *d, const char *temporary, int *fd)
{
	*fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
	    d->in->mode);
	if (*fd < 0)
		return HEDDLE_DEFER;
	if (fchmod(*fd, d->in->mode) != 0) { /* whatever the umask is */
		int e = errno;
		(void)close(*fd);
		(void)unlink(temporary);
		return say(d, HEDDLE_DEFER, e, "while setting perms on file %s", temporary);
	}
	return HEDDLE_OK;
}

static int32_t fill(struct delivery *d, int fd, const char *temporary)
{
	int32_t rc = write_message(d, fd, temporary);
	int e = 0;
	if (rc == HEDDLE_OK && fsync(fd) != 0)
		e = errno;
	if (close(fd) != 0 && !e)
		e = errno;
	if (rc == HEDDLE_OK && e)
		rc = say(d, HEDDLE_DEFER, e, "%serror while writing to %s",
		    e == ENOSPC || e == EDQUOT ? "mailbox is full: " : "", temporary);
	return rc;
}

/* ---- Maildir
 * -------------------------------------------------------------------------------------------- */

/* maildir_tag: what is added to the name in new/.  $message_size is that of the message as it
 * arrived. */
static int32_t tag_of(struct delivery *d, const char **out)
{
	struct heddle_slice tag;
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_MAILDIR_TAG, &tag);
	*out = "";
	if (rc == HEDDLE_FAIL || (rc == HEDDLE_OK && tag.len == 0))
		return HEDDLE_OK;
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, 0, "Expansion of \"maildir_tag\" failed");
	char *t = d->host->alloc(d->call, (uint64_t)tag.len + 2, 1), *p = t;
	if (!t)
		return say(d, HEDDLE_DEFER, 0, "out of memory");
	for (uint32_t i = 0; i < tag.len; i++) {
		unsigned char c = (unsigned char)tag.ptr[i];
		if (c == '/')
			return say(d, HEDDLE_DEFER, 0, "maildir_tag contains \"/\"");
		if (c <= ' ' || c >= 127)
			continue;
		if (p == t &&
		    ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
			*p++ = ':';
		*p++ = (char)c;
	}
	*out = t;
	return HEDDLE_OK;
}

static int32_t make_subfolders(struct delivery *d)
{
	static const char *const parts[] = {"tmp", "new", "cur"};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		const char *path = format(d, "%s/%s", d->path, parts[i]);
		struct stat st;
		if (!path)
			return HEDDLE_DEFER;
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			continue;
		int32_t rc = make_folder(d, path);
		if (rc != HEDDLE_OK)
			return rc;
	}
	return HEDDLE_OK;
}

/* tmp/NAME under a name that nobody has. */
static int32_t maildir_open(
    struct delivery *d, const char *host, const char **name, const char **temporary, int *fd)
{
	for (int64_t i = 0;; i++) {
		struct stat st;
		int64_t us = own_microsecond(d->in);
		*name = format(d, "%lld.H%lldP%ld.%s", (long long)(us / 1000000),
		    (long long)(us % 1000000), (long)getpid(), host);
		*temporary = *name ? format(d, "%s/tmp/%s", d->path, *name) : NULL;
		if (!*temporary)
			return HEDDLE_DEFER;
		errno = EEXIST;
		if (lstat(*temporary, &st) != 0 && errno == ENOENT) {
			int32_t rc = open_new(d, *temporary, fd);
			if (rc == HEDDLE_OK || d->why.len)
				return rc;
		}
		int e = errno;
		if (i + 1 >= d->in->maildir_retries)
			return say(d, HEDDLE_DEFER, e, "failed to open %s (%lld tr%s)", *temporary,
			    (long long)i + 1, i ? "ies" : "y");
		if (pause_ms(d, TRY_AGAIN_MS) != HEDDLE_OK)
			return HEDDLE_DEFER;
	}
}

static int32_t maildir_publish(
    struct delivery *d, const char *temporary, const char *name, const char *tag)
{
	const char *final = format(d, "%s/new/%s%s", d->path, name, tag);
	int done = final ? rename_new(temporary, final) : -1;
	if (done != 0 && final && errno == ENAMETOOLONG && *tag) {
		final = format(d, "%s/new/%s", d->path, name);
		done = final ? rename_new(temporary, final) : -1;
	}
	if (done != 0)
		return say(d, HEDDLE_DEFER, errno, "while renaming %s as %s", temporary,
		    final ? final : name);
	if (sync_folder_of(d, final) != 0) {
		int e = errno;
		(void)unlink(final); /* it will be delivered again */
		return say(d, HEDDLE_DEFER, e, "while closing %s", final);
	}
	return HEDDLE_OK;
}

/* Before the file is there: it would count itself. */
static int32_t maildir_room(struct delivery *d)
{
	struct stat st;
	const char *fresh = format(d, "%s/new", d->path);
	int32_t rc = d->quota.is_wanted ? quota_count_folder(d) : HEDDLE_OK;
	/* nothing new comes while there is no room: what changed it since was the user */
	if (fresh && stat(fresh, &st) == 0)
		quota_unread_since(d, (int64_t)st.st_mtime);
	return rc == HEDDLE_OK ? quota_check(d, d->path) : rc;
}

static int32_t deliver_maildir(struct delivery *d)
{
	const char *name = NULL, *temporary = NULL, *tag = "", *host = host_part(d);
	int fd = -1;
	if (!host)
		return say(d, HEDDLE_DEFER, 0, "out of memory");
	int32_t rc = make_subfolders(d);
	if (rc == HEDDLE_OK)
		rc = maildir_room(d);
	if (rc == HEDDLE_OK)
		rc = maildir_open(d, host, &name, &temporary, &fd);
	if (rc != HEDDLE_OK)
		return rc;
	rc = fill(d, fd, temporary);
	if (rc == HEDDLE_OK)
		rc = tag_of(d, &tag);
	if (rc == HEDDLE_OK)
		rc = maildir_publish(d, temporary, name, tag);
	if (rc != HEDDLE_OK)
		(void)unlink(temporary);
	return rc;
}

/* ---- a plain folder
 * ------------------------------------------------------------------------------------- */

/* "q", the time in base 62 and the inode: directory_file's default. */
static const char *plain_name(struct delivery *d, ino_t inode)
{
	static const char digits[] =
	    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char text[8] = "000000";
	time_t now = time(NULL);
	for (int i = 5; i >= 0; i--, now /= 62)
		text[i] = digits[now % 62];
	return format(d, "%s/q%s-%llu", d->path, text, (unsigned long long)inode);
}

static int32_t deliver_plain(struct delivery *d)
{
	const char *host = host_part(d), *temporary = NULL, *final;
	struct stat st;
	int fd = -1;
	int32_t rc = make_folder(d, d->path);
	if (rc == HEDDLE_OK)
		rc = quota_count_folder(d);
	if (rc == HEDDLE_OK)
		rc = quota_check(d, d->path);
	for (int i = 0; rc == HEDDLE_OK && fd < 0; i++) {
		temporary = host ? format(d, "%s/temp.%ld.%lld.%s", d->path, (long)getpid(),
		                       (long long)own_microsecond(d->in), host)
		                 : NULL;
		if (!temporary)
			return say(d, HEDDLE_DEFER, 0, "out of memory");
		rc = open_new(d, temporary, &fd);
		if (rc != HEDDLE_OK && d->why.len == 0) {
			if (errno != EEXIST || i == NAME_TRIES)
				return say(
				    d, HEDDLE_DEFER, errno, "while creating file %s", temporary);
			rc = HEDDLE_OK; /* another name */
		}
	}
	if (rc != HEDDLE_OK)
		return rc;
	final = fstat(fd, &st) == 0 ? plain_name(d, st.st_ino) : NULL;
	rc = fill(d, fd, temporary);
	if (rc == HEDDLE_OK && (!final || rename_new(temporary, final) != 0))
		rc = say(d, HEDDLE_DEFER, errno, "while renaming %s as %s", temporary,
		    final ? final : "?");
	else if (rc == HEDDLE_OK && sync_folder_of(d, final) != 0) {
		rc = say(d, HEDDLE_DEFER, errno, "while closing %s", final);
		(void)unlink(final);
	}
	if (rc != HEDDLE_OK)
		(void)unlink(temporary);
	return rc;
}

int32_t deliver_new_file(struct delivery *d)
{
	struct stat st;
	if (stat(d->path, &st) != 0 && errno == ENOENT && !may_create(d, d->path))
		return say(d, HEDDLE_DEFER, 0,
		    "tried to create file in %s, but file creation outside the home directory is "
		    "not permitted",
		    d->path);
	return d->in->maildir ? deliver_maildir(d) : deliver_plain(d);
}
