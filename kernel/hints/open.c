/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file: opening, setting aside.  The library may die of a file that was damaged on purpose: so
 * NAME.kch.opening stands beside the file while it is being opened, and a file that is met with it
 * is set aside unread.
 */
#include "hints/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE (10 * US_PER_SEC)
#define NAP_US   50000
/* No map (a full disk would be a SIGBUS), room in buckets for 130,000 records, holes are closed as
 * they come, linear chains */
#define TUNING "#bnum=65536#msiz=0#dfunit=8#opts=l"

enum rc hints_new(const struct hints_config *cfg, struct hints **out, struct error *err)
{
	struct hints *h = calloc(1, sizeof *h);

	MUST(h != NULL);
	int n = snprintf(
	    h->path, sizeof h->path - sizeof ".opening", "%s/%s.kch", cfg->folder, cfg->name);
	if (n < 0 || (size_t)n >= sizeof h->path - sizeof ".opening" || strchr(h->path, '#') ||
	    strlen(cfg->name) >= sizeof h->name) {
		free(h);
		return error_set(err, RC_FAIL,
		    "hints cannot be kept in %.200s: the name is too long, or there is a # in it",
		    cfg->folder);
	}
	memcpy(h->name, cfg->name, strlen(cfg->name) + 1);
	h->log = cfg->log;
	h->patience_us = cfg->patience_us ? cfg->patience_us : PATIENCE;
	mutex_init(&h->lock, LOCK_hints);
	condvar_init(&h->changed);
	*out = h;
	return RC_OK;
}

/* New calls keep away, those that run are waited for; the file is closed. */
static void shut(struct hints *h)
{
	hints_lock(h);
	KCDB *db = h->db;
	h->db = NULL;
	while (h->users > 0)
		(void)hints_wait(h, &h->changed, DEADLINE_NEVER);
	h->is_broken = false;
	hints_unlock(h);
	if (!db)
		return;
	(void)kcdbclose(db); /* what it cannot write is lost, as hints may be */
	kcdbdel(db);
}

void hints_free(struct hints **ph)
{
	struct hints *h = *ph;

	*ph = NULL;
	if (!h)
		return;
	shut(h);
	condvar_fini(&h->changed);
	mutex_fini(&h->lock);
	free(h);
}

bool hints_is_open(struct hints *h)
{
	hints_lock(h);
	bool yes = h->db && !h->is_broken;
	hints_unlock(h);
	return yes;
}

static const char *beside(const struct hints *h, const char *suffix, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s", h->path, suffix);
	return buf;
}

static void set_aside(struct hints *h, const char *reason)
{
	char to[sizeof h->path + 16];

	if (rename(h->path, beside(h, ".aside", to, sizeof to)) == 0)
		log_panic(h->log, slice_absent(),
		    "%s hints: %s: %s; it was renamed to %s, and a new one is begun", h->name,
		    h->path, reason, to);
	else if (errno != ENOENT)
		log_panic(h->log, slice_absent(),
		    "%s hints: %s: %s; it cannot be set aside (errno %d)", h->name, h->path, reason,
		    errno);
}

/* Does another process hold it?  (Our own locks do not count; we have none now.) */
static bool is_locked(const struct hints *h)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(h->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return false;
	bool yes = fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
	(void)close(fd);
	return yes;
}

static bool wait_for_lock(const struct hints *h)
{
	int64_t until = clock_mono_us() + h->patience_us;

	while (is_locked(h)) {
		if (clock_mono_us() > until)
			return false;
		(void)usleep(NAP_US);
	}
	return true;
}

/* NULL: *code says why. */
static KCDB *try_open(const struct hints *h, int32_t *code)
{
	char text[sizeof h->path + sizeof TUNING];
	KCDB *db = kcdbnew();

	if (kcdbopen(db, beside(h, TUNING, text, sizeof text), KCOWRITER | KCOCREATE | KCOTRYLOCK))
		return db;
	*code = kcdbecode(db);
	kcdbdel(db);
	return NULL;
}

/* A lock, a full disk, a folder that is not there: no fault of the file. */
static bool is_fault_of_file(int32_t code)
{
	return code != KCESYSTEM && code != KCENOREPOS && code != KCENOPERM;
}

static void refuse_what_is_no_file(struct hints *h)
{
	struct stat st;
	char mark[sizeof h->path + 16];

	if (lstat(h->path, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_nlink != 1))
		set_aside(h, "is no plain file");
	if (access(beside(h, ".opening", mark, sizeof mark), F_OK) == 0)
		set_aside(h, "an earlier process ended while it was opening it");
}

bool hints_open(struct hints *h)
{
	char mark[sizeof h->path + 16];
	int32_t code = KCESUCCESS;

	if (hints_is_open(h))
		return true;
	shut(h);
	if (!wait_for_lock(h))
		set_aside(h, "is held by another process");
	refuse_what_is_no_file(h);
	int fd = open(beside(h, ".opening", mark, sizeof mark),
	    O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)close(fd);
	KCDB *db = try_open(h, &code);
	if (!db && is_fault_of_file(code)) {
		set_aside(h, kcecodename(code));
		db = try_open(h, &code);
	}
	(void)unlink(mark);
	if (!db) {
		log_panic(h->log, slice_absent(), "%s hints: %s cannot be opened: %s", h->name,
		    h->path, kcecodename(code));
		return false;
	}
	(void)chmod(h->path, 0640);
	hints_lock(h);
	h->db = db;
	hints_unlock(h);
	return true;
}

void hints_tend(struct hints *h)
{
	hints_lock(h);
	bool broken = h->is_broken;
	hints_unlock(h);
	if (broken) {
		shut(h);
		set_aside(h, "is damaged");
	}
	(void)hints_open(h);
}
