/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/io.h"

#include "lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path_in(char *buf, const char *name)
{
	(void)snprintf(buf, PATH_MAX, "%s/%s", tap_dir(), name);
	return buf;
}

static bool put_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool ok = fd >= 0 && io_write_full(fd, p, n) == (ssize_t)n;
	(void)close(fd);
	return ok;
}

enum { BIG = 1 << 20 };

static void *feed(void *fd)
{
	static char data[BIG];
	for (size_t i = 0; i < BIG; i++)
		data[i] = (char)(i * 7);
	struct iovec iov[] = {
	    {data, 0}, {data, 1}, {data + 1, BIG / 2 - 1}, {data, 0}, {data + BIG / 2, BIG / 2}};
	ssize_t n = io_writev_full(*(int *)fd, iov, 5);
	(void)close(*(int *)fd);
	return n == BIG ? fd : NULL;
}

TEST(full_reads_and_writes_over_a_pipe)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	pthread_t t;
	CHECK(pthread_create(&t, NULL, feed, &fds[1]) == 0);
	static char got[BIG + 10];
	ssize_t n = io_read_full(fds[0], got, sizeof got);
	CHECK_EQ_INT(n, BIG);
	void *ok = NULL;
	CHECK(pthread_join(t, &ok) == 0 && ok);
	bool same = true;
	for (size_t i = 0; i < BIG; i++)
		same = same && got[i] == (char)(i * 7);
	CHECK(same);
	CHECK_EQ_INT(io_read_full(fds[0], got, 5), 0);
	(void)close(fds[0]);
	CHECK(io_read_full(fds[0], got, 5) == -1 && errno == EBADF);
	CHECK(io_write_full(fds[0], got, 5) == -1 && errno == EBADF);
	struct iovec one = {got, 5};
	CHECK(io_writev_full(fds[0], &one, 1) == -1 && errno == EBADF);
	CHECK_EQ_INT(io_writev_full(-1, NULL, 0), 0);
}

TEST(pread_at_an_offset)
{
	char path[PATH_MAX], got[8];
	CHECK(put_file(path_in(path, "pread"), "0123456789", 10));
	int fd = open(path, O_RDONLY);
	CHECK_EQ_INT(io_pread_full(fd, got, 4, 3), 4);
	CHECK_EQ_STR(slice_tainted(got, 4), "3456");
	CHECK_EQ_INT(io_pread_full(fd, got, 8, 6), 4);
	CHECK_EQ_INT(io_pread_full(fd, got, 8, 100), 0);
	(void)close(fd);
}

TEST(read_file)
{
	struct arena *a = arena_new(0);
	struct error err = {0};
	char path[PATH_MAX];
	slice_t out = SL("untouched");
	CHECK_EQ_INT(io_read_file(a, path_in(path, "none"), 10, &out, &err), RC_FAIL);
	CHECK(slice_search(slice_cstr(err.text), SL("none: No such file")) != SIZE_MAX);
	CHECK_EQ_INT(io_read_file(a, path_in(path, "none/below"), 10, &out, NULL), RC_FAIL);
	CHECK_EQ_INT(io_read_file(a, tap_dir(), 10, &out, &err), RC_ERROR);
	CHECK(slice_search(slice_cstr(err.text), SL("Is a directory")) != SIZE_MAX);
	CHECK_EQ_INT(mkfifo(path_in(path, "fifo"), 0600), 0);
	CHECK_EQ_INT(io_read_file(a, path, 10, &out, &err), RC_ERROR);
	CHECK(put_file(path_in(path, "ten"), "0123456789", 10));
	CHECK_EQ_INT(io_read_file(a, path, 9, &out, &err), RC_ERROR);
	CHECK(slice_search(slice_cstr(err.text), SL("larger than 9 bytes")) != SIZE_MAX);
	CHECK_EQ_STR(out, "untouched");
	CHECK_EQ_INT(io_read_file(a, path, 10, &out, &err), RC_OK);
	CHECK_EQ_STR(out, "0123456789");
	CHECK(!slice_is_clean(out));
	CHECK(put_file(path_in(path, "empty"), "", 0));
	CHECK_EQ_INT(io_read_file(a, path, 0, &out, &err), RC_OK);
	CHECK(out.len == 0 && !slice_is_absent(out));
	/* files that do not say how long they are */
	CHECK_EQ_INT(io_read_file(a, "/dev/null", 10, &out, &err), RC_OK);
	CHECK_EQ_INT(out.len, 0);
	CHECK_EQ_INT(io_read_file(a, "/dev/zero", 100000, &out, &err), RC_ERROR);
	CHECK_EQ_INT(io_read_file(a, "/proc/self/maps", 1 << 20, &out, &err), RC_OK);
	CHECK(out.len > 1000);
	arena_free(&a);
}

TEST(read_file_sizes_round_the_buffer)
{
	static const size_t sizes[] = {4094, 4095, 4096, 4097, 100000};
	struct arena *a = arena_new(0);
	char *data = arena_bytes(a, 100000), path[PATH_MAX];
	memset(data, 'd', 100000);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		slice_t out;
		CHECK(put_file(path_in(path, "sized"), data, sizes[i]));
		CHECK_EQ_INT(io_read_file(a, path, SIZE_MAX, &out, NULL), RC_OK);
		CHECK(slice_eq(out, slice_tainted(data, sizes[i])));
		CHECK_EQ_INT(io_read_file(a, path, sizes[i] - 1, &out, NULL), RC_ERROR);
	}
	arena_free(&a);
}

TEST(descriptor_flags)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	CHECK(io_nonblock(fds[0]) == 0 && io_nonblock(fds[0]) == 0);
	char c;
	CHECK(read(fds[0], &c, 1) == -1 && errno == EAGAIN);
	CHECK(io_cloexec(fds[0], true) == 0 && fcntl(fds[0], F_GETFD) == FD_CLOEXEC);
	CHECK(io_cloexec(fds[0], false) == 0 && fcntl(fds[0], F_GETFD) == 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	CHECK(io_nonblock(fds[0]) == -1 && io_cloexec(fds[0], true) == -1);
}

TEST(memfd_cannot_be_changed)
{
	int fd = io_sealed_memfd("test", SL("content"));
	CHECK(fd >= 0);
	char got[16];
	CHECK_EQ_INT(io_read_full(fd, got, sizeof got), 7);
	CHECK_EQ_STR(slice_tainted(got, 7), "content");
	CHECK(pwrite(fd, "x", 1, 0) == -1 && errno == EPERM);
	CHECK(ftruncate(fd, 3) == -1 && ftruncate(fd, 30) == -1);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	(void)close(fd);
	fd = io_sealed_memfd("test", slice_absent());
	CHECK(fd >= 0 && io_read_full(fd, got, 1) == 0);
	(void)close(fd);
}

static size_t open_descriptors(void)
{
	size_t n = 0;
	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

TEST(descriptors_travel)
{
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s) == 0);
	int sent[IO_MAX_FDS], got[IO_MAX_FDS];
	for (int i = 0; i < IO_MAX_FDS; i++)
		sent[i] = io_sealed_memfd("fd", SL("x"));
	char buf[16];
	size_t n = IO_MAX_FDS, before = open_descriptors();
	CHECK_EQ_INT(io_send_fds(s[0], "hello", 5, sent, IO_MAX_FDS), 5);
	CHECK_EQ_INT(io_recv_fds(s[1], buf, sizeof buf, got, &n), 5);
	CHECK_EQ_STR(slice_tainted(buf, 5), "hello");
	CHECK_EQ_INT(n, IO_MAX_FDS);
	for (size_t i = 0; i < n; i++) {
		CHECK_EQ_INT(fcntl(got[i], F_GETFD), FD_CLOEXEC);
		CHECK(pread(got[i], buf, 1, 0) == 1 && buf[0] == 'x');
		(void)close(got[i]);
	}
	/* none at all */
	n = 3;
	CHECK_EQ_INT(io_send_fds(s[0], "a", 1, NULL, 0), 1);
	CHECK(io_recv_fds(s[1], buf, sizeof buf, got, &n) == 1 && n == 0);
	/* more than there is room for: refused, and nothing leaks */
	n = 1;
	CHECK_EQ_INT(io_send_fds(s[0], "b", 1, sent, 3), 1);
	CHECK(io_recv_fds(s[1], buf, sizeof buf, got, &n) == -1 && errno == EMSGSIZE);
	CHECK_EQ_INT(io_send_fds(s[0], "b", 1, sent, 2), 1);
	CHECK(io_recv_fds(s[1], buf, sizeof buf, NULL, NULL) == -1);
	/* a message that is too long */
	n = 2;
	CHECK_EQ_INT(io_send_fds(s[0], "0123456789012345678", 19, sent, 1), 19);
	CHECK(io_recv_fds(s[1], buf, sizeof buf, got, &n) == -1 && errno == EMSGSIZE);
	CHECK_EQ_INT(open_descriptors(), before);
	CHECK(io_send_fds(s[0], "b", 1, sent, IO_MAX_FDS + 1) == -1 && errno == EINVAL);
	(void)close(s[0]);
	n = 2;
	CHECK(io_recv_fds(s[1], buf, sizeof buf, got, &n) == 0 && n == 0);
	CHECK(io_send_fds(s[1], "b", 1, NULL, 0) == -1 && errno == EPIPE); /* and no signal */
	(void)close(s[1]);
	for (int i = 0; i < IO_MAX_FDS; i++)
		(void)close(sent[i]);
}

TEST(sync_of_a_directory)
{
	char path[PATH_MAX];
	CHECK_EQ_INT(io_sync_dir_of(path_in(path, "whatever")), 0);
	CHECK_EQ_INT(io_sync_dir_of("name"), 0);
	CHECK_EQ_INT(io_sync_dir_of("/name"), 0);
	CHECK(io_sync_dir_of(path_in(path, "no/such")) == -1 && errno == ENOENT);
	memset(path, 'x', sizeof path);
	path[0] = path[sizeof path - 2] = '/';
	path[sizeof path - 1] = '\0';
	CHECK(io_sync_dir_of(path) == -1 && errno == ENAMETOOLONG);
}

TEST(random_bytes_differ)
{
	char a[1000] = {0}, b[1000] = {0};
	io_random(a, sizeof a);
	io_random(b, sizeof b);
	CHECK(memcmp(a, b, sizeof a) != 0);
	CHECK(memcmp(a + 900, (char[100]){0}, 100) != 0);
	io_random(a, 0);
}

TAP_MAIN()
