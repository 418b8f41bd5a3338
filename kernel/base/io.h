/* SPDX-License-Identifier: GPL-3.0-or-later */
/* base/io: system calls that need a loop round them, and descriptors that travel. -1 with errno as
 * the calls. */
#ifndef HEDDLE_BASE_IO_H
#define HEDDLE_BASE_IO_H
#include "base/arena.h"
#include <sys/types.h>
#include <sys/uio.h>

/* All of it, or -1.  read_full: fewer bytes only at end of file. */
ssize_t io_read_full(int fd, void *buf, size_t n);
ssize_t io_pread_full(int fd, void *buf, size_t n, off_t at);
ssize_t io_write_full(int fd, const void *buf, size_t n);
ssize_t io_writev_full(int fd, struct iovec *iov, int count); /* iov is consumed */
/* A whole file; FAIL: does not exist; ERROR: anything else, or larger than max. */
MUST_USE enum rc io_read_file(
    struct arena *a, const char *path, size_t max, slice_t *out, struct error *err);
int io_nonblock(int fd);
int io_cloexec(int fd, bool on);
/* A memfd with this content, sealed against every change; offset 0.  -1 with errno. */
int io_sealed_memfd(const char *name, slice_t content);
/* One message over a unix socket with up to 8 descriptors.  recv: *n_fds in: room, out: received;
 * the descriptors are close-on-exec and the caller's.  0: end of file. */
#define IO_MAX_FDS 8
ssize_t io_send_fds(int sock, const void *buf, size_t n, const int *fds, size_t n_fds);
ssize_t io_recv_fds(int sock, void *buf, size_t cap, int *fds, size_t *n_fds);
/* A listening unix socket, non-blocking, with these permissions; one that is there is replaced.
 * Start-up only: the umask is changed for a moment. */
MUST_USE enum rc io_listen_unix(const char *path, mode_t mode, int *out_fd, struct error *err);
/* Connected to it, blocking; each read and write at most limit_s seconds.  -1 with errno. */
int io_dial_unix(const char *path, unsigned limit_s);
/* fsync of the directory that holds path. */
int io_sync_dir_of(const char *path);
/* Random bytes from the system; dies if there are none. */
void io_random(void *buf, size_t n);
#endif
