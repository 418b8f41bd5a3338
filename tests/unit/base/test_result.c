/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/result.h"

#include "lib/tap.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static slice_t text_of(const struct error *e)
{
	return slice_cstr(e->text);
}

TEST(set_returns_rc)
{
	struct error e = {0};
	CHECK_EQ_INT(error_set(&e, RC_DEFER, "host %s port %d", "a.b", 25), RC_DEFER);
	CHECK_EQ_STR(text_of(&e), "host a.b port 25");
	CHECK_EQ_INT(error_set(NULL, RC_FAIL, "x"), RC_FAIL);
	CHECK_EQ_INT(error_errno(NULL, RC_ERROR, EIO, "x"), RC_ERROR);
	CHECK_EQ_INT(error_wrap(NULL, RC_ERROR, "x"), RC_ERROR);
}

TEST(set_from_its_own_text)
{
	struct error e = {0};
	error_set(&e, RC_FAIL, "inner");
	error_set(&e, RC_FAIL, "outer(%s)", e.text);
	CHECK_EQ_STR(text_of(&e), "outer(inner)");
}

TEST(errno_names_the_cause)
{
	struct error e = {0};
	CHECK_EQ_INT(error_errno(&e, RC_ERROR, ENOENT, "/a/%s", "b"), RC_ERROR);
	CHECK_EQ_STR(text_of(&e), "/a/b: No such file or directory");
}

TEST(wrap_puts_in_front)
{
	struct error e = {.file = "conf", .line = 7};
	error_set(&e, RC_FAIL, "no such option");
	CHECK_EQ_INT(error_wrap(&e, RC_ERROR, "router %s", "r1"), RC_ERROR);
	CHECK_EQ_STR(text_of(&e), "router r1: no such option");
	CHECK_EQ_INT(e.line, 7);
}

TEST(long_texts_are_cut)
{
	struct error e;
	char big[2000];
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	error_set(&e, RC_FAIL, "%s", big);
	CHECK_EQ_INT(strlen(e.text), sizeof e.text - 1);
	error_wrap(&e, RC_FAIL, "%s", big);
	CHECK_EQ_INT(strlen(e.text), sizeof e.text - 1);
	error_set(&e, RC_FAIL, "%s", "short");
	for (int i = 0; i < 200; i++)
		error_wrap(&e, RC_FAIL, "%s", "front");
	CHECK_EQ_INT(strlen(e.text), sizeof e.text - 1);
	/* one byte of room: no place for the ": " */
	error_errno(&e, RC_FAIL, EIO, "%.*s", (int)sizeof e.text - 2, big);
	CHECK_EQ_INT(strlen(e.text), sizeof e.text - 1);
}

TEST(names)
{
	CHECK_EQ_STR(slice_cstr(rc_name(RC_OK)), "OK");
	CHECK_EQ_STR(slice_cstr(rc_name(RC_FAIL)), "FAIL");
	CHECK_EQ_STR(slice_cstr(rc_name(RC_DEFER)), "DEFER");
	CHECK_EQ_STR(slice_cstr(rc_name(RC_ERROR)), "ERROR");
	CHECK_EQ_INT(RC_DEFER, HEDDLE_DEFER);
	CHECK_EQ_INT(RC_ERROR, HEDDLE_ERROR);
}

TEST(must_kills_and_says_where)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(fds[1], STDERR_FILENO);
		(void)signal(SIGABRT, SIG_DFL);
		MUST(1 == 2);
		_exit(0);
	}
	(void)close(fds[1]);
	char text[300] = "";
	ssize_t n = read(fds[0], text, sizeof text - 1);
	(void)close(fds[0]);
	int status = 0;
	CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	slice_t out = slice_tainted(text, n > 0 ? (size_t)n : 0);
	CHECK(slice_search(out, SL("test_result.c:")) != SIZE_MAX);
	CHECK(slice_search(out, SL("1 == 2")) != SIZE_MAX);
}

TAP_MAIN()
