/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/process: the spawn service.  No shell, no descriptor but 0, 1 and 2, the environment that
 * was given, a process group of its own.  Output is drained while input is fed, so that neither
 * side waits for the other for ever; every wait ends with the call's deadline or when the kernel
 * hangs up, and the command is killed then.
 */
#include "agent/process.h"

#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX       4096U
#define OUTPUT_DEFAULT ((uint64_t)16 << 20)
#define EXIT_NO_EXEC   127
#define UMASK_DEFAULT  022

struct heddle_child {
	struct process *process;
	pid_t pid;           /* 0: reaped */
	int pid_fd, in, out; /* -1: closed */
	uint64_t limit, received;
	struct strbuf text; /* output that was not read yet, from `taken` on */
	size_t taken;
	bool overfull;
	int status;
	int64_t deadline_us; /* the command's own time limit */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void kill_and_reap(struct heddle_child *ch)
{
	if (ch->pid > 0) {
		(void)kill(-ch->pid, SIGKILL);
		while (waitpid(ch->pid, &ch->status, 0) < 0 && errno == EINTR)
			;
		process_forget_child(ch->process, ch->pid);
	}
	ch->pid = 0;
	close_fd(&ch->pid_fd);
	close_fd(&ch->in);
	close_fd(&ch->out);
}

static void at_end_of_call(void *arg)
{
	kill_and_reap(arg);
}

/* ---- starting
 * ----------------------------------------------------------------------------------------- */

static char **vector(struct heddle_call *c, const slice_t *items, uint32_t count)
{
	char **v = ARENA_ARRAY(c->arena, char *, count + 1U);
	for (uint32_t i = 0; i < count; i++) {
		if ((!items[i].ptr && items[i].len) ||
		    (items[i].len && memchr(items[i].ptr, '\0', items[i].len)))
			return NULL;
		v[i] = arena_cstr(c->arena, items[i]);
	}
	return v;
}

static int32_t check(struct heddle_call *c, const struct heddle_command *cmd)
{
	if (cmd->argc == 0 || cmd->argc > ARGS_MAX || cmd->envc > ARGS_MAX || !cmd->argv ||
	    (cmd->envc && !cmd->env))
		return call_refuse(c, HEDDLE_ERROR, "a command needs 1 to %u arguments", ARGS_MAX);
	if (!slice_starts(cmd->argv[0], "/"))
		return call_refuse(c, HEDDLE_ERROR, "\"%.*s\" is no absolute path of a command",
		    SL_ARG(cmd->argv[0]));
	if (!slice_is_clean(cmd->argv[0]))
		return call_refuse(
		    c, HEDDLE_ERROR, "tainted command name \"%.*s\"", SL_ARG(cmd->argv[0]));
	if ((cmd->uid != UINT32_MAX && cmd->uid != getuid()) ||
	    (cmd->gid != UINT32_MAX && cmd->gid != getgid()))
		return call_refuse(c, HEDDLE_DEFER, "this process runs commands as uid %lu only",
		    (unsigned long)getuid());
	return HEDDLE_OK;
}

/* In the child: only async-signal-safe calls. */
_Noreturn static void become(
    char *const *argv, char *const *env, const char *dir, mode_t mask, int in, int out)
{
	sigset_t none;
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)sigaction(SIGPIPE, &plain, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
	    close_range(3, ~0U, 0) != 0 || chdir(dir) != 0)
		_exit(EXIT_NO_EXEC);
	(void)umask(mask);
	(void)execve(argv[0], argv, env);
	_exit(EXIT_NO_EXEC);
}

/* A pipe whose ends are not 0, 1 or 2: the child's dup2 must not close one it still needs. */
static int make_pipe(int *fds)
{
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -1;
	for (int i = 0; i < 2; i++)
		if (fds[i] <= 2) {
			int high = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
			(void)close(fds[i]);
			fds[i] = high;
		}
	if (fds[0] >= 0 && fds[1] >= 0)
		return 0;
	close_fd(&fds[0]);
	close_fd(&fds[1]);
	return -1;
}

static bool launch(
    struct heddle_child *ch, char *const *argv, char *const *env, const char *dir, mode_t mask)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};
	bool ok = make_pipe(in) == 0 && make_pipe(out) == 0;
	if (ok)
		ch->pid = fork();
	if (ok && ch->pid == 0)
		become(argv, env, dir, mask, in[0], out[1]);
	ok = ok && ch->pid > 0;
	close_fd(&in[0]);
	close_fd(&out[1]);
	ch->in = in[1];
	ch->out = out[0];
	if (!ok) {
		ch->pid = 0;
		return false;
	}
	(void)setpgid(ch->pid, ch->pid); /* whoever of the two is first */
	ch->pid_fd = (int)syscall(SYS_pidfd_open, ch->pid, 0);
	return process_note_child(ch->process, ch->pid) && ch->pid_fd >= 0 &&
	       io_nonblock(ch->in) == 0 && io_nonblock(ch->out) == 0;
}

int32_t agent_spawn_start(
    struct heddle_call *c, const struct heddle_command *theirs, struct heddle_child **out)
{
	struct heddle_command cmd = {.struct_size = 0};
	if (!wire_take_struct(&cmd, sizeof cmd, theirs))
		return call_refuse(c, HEDDLE_ERROR, "a command without its size");
	int32_t result = check(c, &cmd);
	if (result != HEDDLE_OK)
		return result;
	char **argv = vector(c, cmd.argv, cmd.argc), **env = vector(c, cmd.env, cmd.envc);
	if (!argv || !env)
		return call_refuse(c, HEDDLE_ERROR, "an argument of a command holds a NUL byte");
	struct heddle_child *ch = ARENA_NEW(c->arena, struct heddle_child);
	*ch = (struct heddle_child){.process = process_of(c), .pid_fd = -1, .in = -1, .out = -1};
	ch->limit = cmd.output_limit ? cmd.output_limit : OUTPUT_DEFAULT;
	strbuf_init(
	    &ch->text, c->arena, ch->limit < SIZE_MAX / 4 ? (size_t)ch->limit + 1 : SIZE_MAX / 4);
	arena_on_free(c->arena, at_end_of_call, ch);
	ch->deadline_us =
	    cmd.timeout_ms ? clock_mono_us() + (int64_t)cmd.timeout_ms * 1000 : DEADLINE_NEVER;
	mode_t mask = cmd.flags & HEDDLE_RUN_UMASK ? (mode_t)(cmd.umask & 0777) : UMASK_DEFAULT;
	if (!launch(ch, argv, env, cmd.directory.len ? arena_cstr(c->arena, cmd.directory) : "/",
	        mask)) {
		int e = errno;
		kill_and_reap(ch);
		return call_refuse(c, HEDDLE_DEFER, "a process cannot be made: errno %d", e);
	}
	*out = ch;
	return HEDDLE_OK;
}

/* ---- waiting
 * ------------------------------------------------------------------------------------------ */

static void drain(struct heddle_child *ch)
{
	char piece[16384];
	ssize_t n;
	while (ch->out >= 0 && !ch->overfull && (n = read(ch->out, piece, sizeof piece)) != -1) {
		if (n == 0) {
			close_fd(&ch->out);
			break;
		}
		ch->received += (uint64_t)n;
		ch->overfull = ch->received > ch->limit;
		if (!ch->overfull)
			strbuf_add(&ch->text, slice_tainted(piece, (size_t)n));
	}
}

/* Until something happened on the descriptor (also given: output is always drained).  OK: it did,
 * or output came. */
static int32_t wait_on(struct heddle_call *c, struct heddle_child *ch, int fd, short events)
{
	struct pollfd p[3] = {{.fd = fd, .events = events}, {.fd = ch->out, .events = POLLIN},
	    {.fd = ch->process->sock, .events = POLLIN}};
	int64_t left = agent_host_time_left(c);
	if (ch->deadline_us != DEADLINE_NEVER) {
		int64_t own = (ch->deadline_us - clock_mono_us() + 999) / 1000;
		left = own < left ? own : left;
	}
	if (left > 0 && poll(p, 3, left < INT32_MAX ? (int)left : INT32_MAX) < 0 && errno != EINTR)
		return call_refuse(
		    c, HEDDLE_DEFER, "waiting for a command failed: errno %d", errno);
	if (p[1].revents)
		drain(ch);
	if (ch->overfull) {
		kill_and_reap(ch);
		return call_refuse(c, HEDDLE_FAIL, "the command wrote more than %llu bytes",
		    (unsigned long long)ch->limit);
	}
	if (left > 0 && !p[2].revents)
		return HEDDLE_OK;
	kill_and_reap(ch);
	return call_refuse(c, HEDDLE_DEFER,
	    p[2].revents ? "cancelled while a command ran" : "the command timed out");
}

int32_t agent_spawn_feed(
    struct heddle_call *c, struct heddle_child *ch, const void *buf, uint64_t len)
{
	const char *p = buf;
	while (len) {
		ssize_t n = ch->in >= 0
		                ? write(ch->in, p, (size_t)(len < (1U << 20) ? len : 1U << 20))
		                : -1;
		if (n >= 0) {
			p += n;
			len -= (uint64_t)n;
		} else if (ch->in < 0 || errno == EPIPE) {
			close_fd(&ch->in);
			return call_refuse(
			    c, HEDDLE_FAIL, "the command did not read all of its input");
		} else if (errno == EAGAIN) {
			int32_t result = wait_on(c, ch, ch->in, POLLOUT);
			if (result != HEDDLE_OK)
				return result;
		} else if (errno != EINTR) {
			return call_refuse(
			    c, HEDDLE_DEFER, "feeding a command failed: errno %d", errno);
		}
	}
	return HEDDLE_OK;
}

int32_t agent_spawn_feed_end(struct heddle_call *c, struct heddle_child *ch)
{
	(void)c;
	close_fd(&ch->in);
	return HEDDLE_OK;
}

int32_t agent_spawn_read(
    struct heddle_call *c, struct heddle_child *ch, void *buf, uint64_t cap, uint64_t *got)
{
	while (ch->taken == ch->text.len && ch->out >= 0) {
		int32_t result = wait_on(c, ch, -1, 0);
		if (result != HEDDLE_OK)
			return result;
	}
	slice_t rest = slice_sub(
	    strbuf_slice(&ch->text), ch->taken, cap < UINT32_MAX ? (size_t)cap : UINT32_MAX);
	if (rest.len)
		memcpy(buf, rest.ptr, rest.len);
	ch->taken += rest.len;
	if (ch->taken == ch->text.len) {
		strbuf_reset(&ch->text);
		ch->taken = 0;
	}
	*got = rest.len;
	return HEDDLE_OK;
}

int32_t agent_spawn_wait(struct heddle_call *c, struct heddle_child *ch, int32_t *status)
{
	close_fd(&ch->in);
	while (ch->pid > 0) {
		pid_t done = waitpid(ch->pid, &ch->status, WNOHANG);
		if (done == ch->pid) {
			process_forget_child(ch->process, ch->pid);
			ch->pid = 0;
			break;
		}
		if (done < 0 && errno != EINTR)
			return call_refuse(
			    c, HEDDLE_DEFER, "a command's status is lost: errno %d", errno);
		int32_t result = wait_on(c, ch, ch->pid_fd, POLLIN);
		if (result != HEDDLE_OK)
			return result;
	}
	drain(ch); /* what it left behind */
	*status = ch->status;
	return HEDDLE_OK;
}
