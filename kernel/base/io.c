/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

ssize_t io_read_full(int fd, void *buf, size_t n)
{
	size_t done = 0;
	while (done < n) {
		ssize_t got = read(fd, (char *)buf + done, n - done);
		if (got == 0)
			break;
		if (got > 0)
			done += (size_t)got;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)done;
}

ssize_t io_pread_full(int fd, void *buf, size_t n, off_t at)
{
	size_t done = 0;
	while (done < n) {
		ssize_t got = pread(fd, (char *)buf + done, n - done, at + (off_t)done);
		if (got == 0)
			break;
		if (got > 0)
			done += (size_t)got;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)done;
}

ssize_t io_write_full(int fd, const void *buf, size_t n)
{
	size_t done = 0;
	while (done < n) {
		ssize_t put = write(fd, (const char *)buf + done, n - done);
		if (put >= 0)
			done += (size_t)put;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)done;
}

ssize_t io_writev_full(int fd, struct iovec *iov, int count)
{
	ssize_t done = 0;
	while (count > 0) {
		if (iov->iov_len == 0) {
			iov++;
			count--;
			continue;
		}
		ssize_t put = writev(fd, iov, count < IOV_MAX ? count : IOV_MAX);
		if (put < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		done += put;
		size_t left = (size_t)put;
		while (count > 0 && left >= iov->iov_len) {
			left -= iov->iov_len;
			iov++;
			count--;
		}
		if (count > 0) {
			iov->iov_base = (char *)iov->iov_base + left;
			iov->iov_len -= left;
		}
	}
	return done;
}

/* ---- whole files ------------------------------------------------------------------------------
 */

/* What read_file may read: it must end, and not make us wait. */
static enum rc check_kind(int fd, const char *path, size_t *out_size, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return error_errno(err, RC_ERROR, errno, "%s", path);
	if (S_ISDIR(st.st_mode))
		return error_errno(err, RC_ERROR, EISDIR, "%s", path);
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return error_set(err, RC_ERROR, "%s: not a regular file", path);
	*out_size = st.st_size > 0 ? (size_t)st.st_size : 0;
	return RC_OK;
}

static enum rc read_to_end(
    struct arena *a, int fd, const char *path, size_t max, slice_t *out, struct error *err)
{
	size_t cap = 0;
	enum rc rc = check_kind(fd, path, &cap, err);
	if (rc != RC_OK)
		return rc;
	if (max > UINT32_MAX)
		max = UINT32_MAX;
	if (cap > max)
		return error_set(err, RC_ERROR, "%s: larger than %zu bytes", path, max);
	cap = cap < 4095 ? 4096 : cap + 1; /* the byte more shows the end without another round */
	char *buf = arena_bytes(a, cap);
	size_t len = 0;
	for (;;) {
		ssize_t got = io_read_full(fd, buf + len, cap - len);
		if (got < 0)
			return error_errno(err, RC_ERROR, errno, "%s", path);
		len += (size_t)got;
		if (len > max)
			return error_set(err, RC_ERROR, "%s: larger than %zu bytes", path, max);
		if (len < cap)
			break;
		char *bigger = arena_extend(a, buf, cap, cap * 2);
		if (!bigger) {
			bigger = arena_bytes(a, cap * 2);
			memcpy(bigger, buf, len);
		}
		buf = bigger;
		cap *= 2;
	}
	*out = slice_tainted(buf, len);
	return RC_OK;
}

enum rc io_read_file(struct arena *a, const char *path, size_t max, slice_t *out, struct error *err)
{
	/* NONBLOCK: opening a FIFO must not wait for its writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		bool missing = errno == ENOENT || errno == ENOTDIR;
		return error_errno(err, missing ? RC_FAIL : RC_ERROR, errno, "%s", path);
	}
	enum rc rc = read_to_end(a, fd, path, max, out, err);
	(void)close(fd);
	return rc;
}

int io_sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";
	if (slash) {
		size_t n = slash == path ? 1 : (size_t)(slash - path);
		if (n >= sizeof dir) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(dir, path, n);
		dir[n] = '\0';
	}
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fsync(fd);
	int saved = errno;
	(void)close(fd);
	errno = saved;
	return rc;
}

/* ---- descriptors ------------------------------------------------------------------------------
 */

int io_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -1;
	return flags & O_NONBLOCK ? 0 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int io_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);
	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

int io_sealed_memfd(const char *name, slice_t content)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	if (io_write_full(fd, content.ptr, content.len) < 0 || lseek(fd, 0, SEEK_SET) != 0 ||
	    fcntl(fd, F_ADD_SEALS, seals) != 0) {
		int saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

union fd_space {
	char bytes[CMSG_SPACE(sizeof(int) * IO_MAX_FDS)];
	struct cmsghdr align;
};

ssize_t io_send_fds(int sock, const void *buf, size_t n, const int *fds, size_t n_fds)
{
	if (n_fds > IO_MAX_FDS) {
		errno = EINVAL;
		return -1;
	}
	union fd_space space;
	memset(&space, 0, sizeof space);
	struct iovec iov = {.iov_len = n};
	memcpy(&iov.iov_base, &buf, sizeof buf); /* sendmsg does not write there */
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n_fds) {
		msg.msg_control = space.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	ssize_t sent;
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent;
}

/* Copy the descriptors out; those without room are closed, and counted all the same. */
static size_t take_fds(struct msghdr *msg, int *fds, size_t room)
{
	size_t count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (count < room)
				fds[count] = fd;
			else
				(void)close(fd);
			count++;
		}
	}
	return count;
}

ssize_t io_recv_fds(int sock, void *buf, size_t cap, int *fds, size_t *n_fds)
{
	union fd_space space;
	memset(&space, 0, sizeof space);
	struct iovec iov = {buf, cap};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = space.bytes,
	    .msg_controllen = sizeof space.bytes};
	ssize_t got;
	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	size_t room = n_fds ? *n_fds : 0;
	if (got < 0)
		return -1;
	size_t count = take_fds(&msg, fds, room);
	if (count > room || msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) {
		/* half a message is none */
		for (size_t i = 0; i < count && i < room; i++)
			(void)close(fds[i]);
		errno = EMSGSIZE;
		return -1;
	}
	if (n_fds)
		*n_fds = count;
	return got;
}

void io_random(void *buf, size_t n)
{
	size_t done = 0;
	while (done < n) {
		ssize_t got = getrandom((char *)buf + done, n - done, 0);
		if (got > 0)
			done += (size_t)got;
		else if (got == 0 || errno != EINTR)
			die(__FILE__, __LINE__, "no random bytes from the system");
	}
}

/* ---- unix sockets ---- */
static bool unix_address(const char *path, struct sockaddr_un *out)
{
	size_t n = strlen(path);

	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n >= sizeof out->sun_path) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(out->sun_path, path, n + 1);
	return true;
}

static int close_with_errno(int fd)
{
	int saved = errno;

	(void)close(fd);
	errno = saved;
	return -1;
}

static int listen_unix(const char *path, mode_t mode)
{
	struct sockaddr_un sun;

	if (!unix_address(path, &sun))
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	(void)unlink(path);
	mode_t mask = umask(0777 & ~mode);
	int bound = bind(fd, (const struct sockaddr *)&sun, sizeof sun);
	int saved = errno;
	(void)umask(mask);
	errno = saved;
	return bound == 0 && listen(fd, 64) == 0 ? fd : close_with_errno(fd);
}

enum rc io_listen_unix(const char *path, mode_t mode, int *out_fd, struct error *err)
{
	int fd = listen_unix(path, mode);

	if (fd < 0)
		return error_errno(err, RC_ERROR, errno, "%s", path);
	*out_fd = fd;
	return RC_OK;
}

int io_dial_unix(const char *path, unsigned limit_s)
{
	struct sockaddr_un sun;
	struct timeval limit = {.tv_sec = (time_t)limit_s};

	if (!unix_address(path, &sun))
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (limit_s) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	}
	return connect(fd, (const struct sockaddr *)&sun, sizeof sun) == 0 ? fd
	                                                                   : close_with_errno(fd);
}
