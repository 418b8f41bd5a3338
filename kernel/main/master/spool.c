/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The folders under spool_directory; a file of ours that is a link or another's is refused, not
 * followed. */
#include "main/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rc make_one(const struct master *m, const char *path, mode_t mode, struct error *err)
{
	struct stat st;

	bool made = mkdir(path, mode) == 0;
	if (!made && errno != EEXIST)
		return error_errno(err, RC_ERROR, errno, "mkdir %s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		int saved = errno;
		if (fd >= 0)
			close(fd);
		return error_errno(err, RC_ERROR, saved, "%s", path);
	}
	enum rc rc = RC_OK;
	if (made && fchmod(fd, mode) != 0) /* the umask is not to decide */
		rc = error_errno(err, RC_ERROR, errno, "chmod %s", path);
	if (!m->process.ordinary_user && st.st_uid != m->uid &&
	    (st.st_uid != 0 || fchown(fd, m->uid, m->gid) != 0))
		rc = error_set(err, RC_ERROR, "%s is owned by uid %lu, wanted %lu", path,
		    (unsigned long)st.st_uid, (unsigned long)m->uid);
	close(fd);
	return rc;
}

enum rc master_make_spool(struct master *m, struct error *err)
{
	static const char *const parts[] = {"", "/queue", "/db", "/log", "/msglog"};
	char path[4096];

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (!slice_copy(m->spool, path, sizeof path - sizeof "/msglog"))
			return error_set(err, RC_ERROR, "spool_directory: the path is too long");
		memcpy(path + m->spool.len, parts[i], strlen(parts[i]) + 1);
		/* others go through the first to the socket that takes submissions, and no further
		 */
		enum rc rc = make_one(m, path, i == 0 ? 0751 : 0750, err);
		if (rc != RC_OK)
			return error_wrap(err, rc, "spool_directory");
	}
	return RC_OK;
}
