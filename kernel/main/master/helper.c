/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program of ours that master starts and waits for, within a deadline: what it writes is its
 * answer. */
#include "base/clock.h"
#include "base/strbuf.h"
#include "main/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* All that it writes until it ends. */
static enum rc collect(int fd, int64_t timeout_us, struct strbuf *out, struct error *err)
{
	int64_t until = clock_mono_us() + timeout_us;
	char buf[16384];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = (until - clock_mono_us()) / 1000;
		int r = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return error_set(err, RC_ERROR, "a helper did not answer within %d s",
			    (int)(timeout_us / US_PER_SEC));
		ssize_t n = read(fd, buf, sizeof buf);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, RC_ERROR, errno, "read what a helper says");
		if (n == 0)
			return strbuf_is_overfull(out)
			           ? error_set(err, RC_ERROR, "what a helper says is too long")
			           : RC_OK;
		strbuf_add(out, slice_of(buf, (size_t)n, HEDDLE_CLEAN));
	}
}

enum rc master_ask_helper(struct master *m, const char *program, const char *const *args,
    int64_t timeout_us, struct strbuf *out, int *out_status, struct error *err)
{
	int pipefd[2];

	if (pipe2(pipefd, O_CLOEXEC) != 0)
		return error_errno(err, RC_ERROR, errno, "pipe");
	struct spawn s = {.program = program,
	    .args = args,
	    .keep_fd = -1,
	    .stdout_fd = pipefd[1],
	    .uid = m->uid,
	    .gid = m->gid,
	    .change_user = !m->process.ordinary_user};
	pid_t pid = master_spawn(m, &s);
	int saved = errno;
	close(pipefd[1]);
	if (pid < 0) {
		close(pipefd[0]);
		return error_errno(err, RC_ERROR, saved, "start %s", program);
	}
	enum rc rc = collect(pipefd[0], timeout_us, out, err);
	close(pipefd[0]);
	(void)kill(pid, rc == RC_OK ? 0 : SIGKILL);
	(void)waitpid(pid, out_status, 0);
	return rc;
}
