/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ------------------------------------------------------------------------------------
 */

/* The panic log's name has no date, nor the punctuation that set it off: what follows it if it came
 * after a slash, else what stood before it.  Answers where to go on in the pattern. */
static const char *drop_date(const char *behind, const char *out, size_t *len)
{
	if (*len && out[*len - 1] == '/')
		return *behind && !ascii_isalnum(*behind) ? behind + 1 : behind;
	if (*len && !ascii_isalnum(out[*len - 1]))
		--*len;
	return behind;
}

bool log_file_name(
    const char *pattern, const char *which, const struct log_time *now, char *out, size_t cap)
{
	bool dated = strcmp(which, "panic") != 0;
	size_t len = 0;
	for (const char *p = pattern; *p;) {
		char piece[64] = {*p};
		char kind = (char)(*p == '%' ? p[1] : '\0');
		if (kind == 's')
			(void)snprintf(piece, sizeof piece, "%s", which);
		else if (kind == 'D')
			(void)snprintf(
			    piece, sizeof piece, "%04d%02d%02d", now->year, now->month, now->day);
		else if (kind == 'M')
			(void)snprintf(piece, sizeof piece, "%04d%02d", now->year, now->month);
		else
			kind = '\0';
		p += kind ? 2 : 1;
		if (!dated && (kind == 'D' || kind == 'M')) {
			p = drop_date(p, out, &len);
			continue;
		}
		size_t n = strlen(piece);
		if (n >= cap - len)
			return false;
		memcpy(out + len, piece, n);
		len += n;
	}
	out[len] = '\0';
	return true;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/* NONBLOCK: a FIFO put there must not stop us; it is refused below. */
enum { OPEN_FLAGS = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY };

static int refuse_unless_regular(int fd)
{
	struct stat st;
	if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
		return fd;
	(void)close(fd);
	errno = EINVAL;
	return -1;
}

static int create(const char *path, mode_t mode)
{
	int fd = open(path, OPEN_FLAGS | O_CREAT | O_EXCL, mode);
	if (fd >= 0)
		(void)fchmod(fd, mode); /* the umask's opinion is not asked */
	return fd;
}

bool log_file_make_parent(const char *path, int levels)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (levels == 0 || !slash || slash == path || (size_t)(slash - path) >= sizeof dir)
		return false;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	if (mkdir(dir, 0750) == 0 || errno == EEXIST)
		return true;
	return errno == ENOENT && log_file_make_parent(dir, levels - 1) &&
	       (mkdir(dir, 0750) == 0 || errno == EEXIST);
}

int log_file_open(const char *path, mode_t mode)
{
	/* again: another thread or process may make or remove it in between */
	for (int attempt = 0; attempt < 3; attempt++) {
		int fd = open(path, OPEN_FLAGS);
		if (fd >= 0 || errno != ENOENT)
			return refuse_unless_regular(fd);
		fd = create(path, mode);
		if (fd >= 0)
			return fd;
		if (errno == ENOENT && attempt == 0 && log_file_make_parent(path, 2))
			continue;
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

enum rc log_file_init(
    struct log_file *f, const char *pattern, const char *which, mode_t mode, struct error *err)
{
	*f = (struct log_file){.pattern = pattern, .which = which, .mode = mode, .fd = -1};
	atomic_init(&f->checked_at, INT64_MIN);
	atomic_init(&f->failed_at, INT64_MIN);
	if (!pattern)
		return RC_OK;
	/* a placeholder that refuses lines, and needs no name in the file system */
	f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->fd < 0)
		return error_errno(
		    err, RC_DEFER, errno, "cannot get a descriptor for the %s log", which);
	return RC_OK;
}

void log_file_fini(struct log_file *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
}

static bool still_there(const struct log_file *f, const char *path)
{
	struct stat here, there;
	return fstat(f->fd, &here) == 0 && lstat(path, &there) == 0 &&
	       here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

/* Make fd the file that has the name now.  Two threads may do this at once: both get the same file.
 */
static bool refresh(struct log_file *f, const struct log_time *now)
{
	char path[PATH_MAX];
	if (!log_file_name(f->pattern, f->which, now, path, sizeof path))
		return false;
	if (atomic_load_explicit(&f->is_open, memory_order_acquire) && still_there(f, path))
		return true;
	int fd = log_file_open(path, f->mode);
	bool ok = fd >= 0 && dup3(fd, f->fd, O_CLOEXEC) >= 0;
	if (fd >= 0)
		(void)close(fd);
	if (!ok)
		atomic_store(&f->failed_at, now->second);
	atomic_store_explicit(&f->is_open, ok, memory_order_release);
	return ok;
}

static bool ready(struct log_file *f, const struct log_time *now)
{
	int64_t last = atomic_load(&f->checked_at);
	if (last != now->second &&
	    atomic_compare_exchange_strong(&f->checked_at, &last, now->second))
		return refresh(f, now);
	if (atomic_load_explicit(&f->is_open, memory_order_acquire))
		return true;
	return atomic_load(&f->failed_at) != now->second && refresh(f, now);
}

bool log_file_write(struct log_file *f, const char *p, size_t n, const struct log_time *now)
{
	if (!f->pattern || !ready(f, now))
		return false;
	ssize_t put;
	do
		put = write(f->fd, p, n);
	while (put < 0 && errno == EINTR);
	/* a rest written later could come to stand behind another thread's line */
	return put == (ssize_t)n;
}
