/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/io.h"
#include "base/strbuf.h"
#include "control/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_WAIT_S 60
#define ANSWER_MAX    ((size_t)256 << 20) /* a listing of a million messages */

slice_t control_path(struct arena *a, slice_t spool_directory)
{
	return arena_printf(a, "%.*s/control.sock", SL_ARG(spool_directory));
}

/* The last line says how it went; what stands before it is the answer. */
static enum rc split_verdict(slice_t all, slice_t *out_answer, struct error *err)
{
	if (all.len == 0 || all.ptr[all.len - 1] != '\n')
		return error_set(err, RC_DEFER, "the answer was cut short");
	slice_t body = slice_sub(all, 0, all.len - 1);
	size_t nl = slice_rfind(body, '\n');
	size_t start = nl == SIZE_MAX ? 0 : nl + 1;
	slice_t verdict = slice_sub(body, start, body.len);
	if (slice_eqs(verdict, "ok")) {
		*out_answer = slice_sub(all, 0, start);
		return RC_OK;
	}
	if (slice_starts(verdict, "defer "))
		return error_set(err, RC_DEFER, "%.*s", SL_ARG(slice_sub(verdict, 6, verdict.len)));
	if (slice_starts(verdict, "fail ")) {
		*out_answer = slice_sub(all, 0, start); /* of several some may have gone well */
		return error_set(err, RC_FAIL, "%.*s", SL_ARG(slice_sub(verdict, 5, verdict.len)));
	}
	return error_set(err, RC_DEFER, "the answer was cut short");
}

enum rc control_ask(
    const char *path, slice_t request, struct arena *a, slice_t *out_answer, struct error *err)
{
	struct strbuf sb;
	char buf[16384];
	ssize_t n;
	int fd = io_dial_unix(path, ANSWER_WAIT_S);

	if (fd < 0)
		return error_errno(err, RC_DEFER, errno, "no running daemon at %s", path);
	struct iovec iov[2] = {
	    {(void *)(uintptr_t)request.ptr, request.len}, {(void *)(uintptr_t) "\n", 1}};
	if (io_writev_full(fd, iov, 2) < 0) {
		int saved = errno;
		close(fd);
		return error_errno(err, RC_DEFER, saved, "write to %s", path);
	}
	strbuf_init(&sb, a, ANSWER_MAX);
	while ((n = read(fd, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			strbuf_add(&sb, slice_of(buf, (size_t)n, HEDDLE_CLEAN));
	int saved = errno;
	close(fd);
	if (n < 0)
		return error_errno(err, RC_DEFER, saved, "read from %s", path);
	if (strbuf_is_overfull(&sb))
		return error_set(err, RC_DEFER, "the answer is too long");
	return split_verdict(strbuf_slice(&sb), out_answer, err);
}
