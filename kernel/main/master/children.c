/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "base/io.h"
#include "main/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 64
#define LIVED    (2 * US_PER_SEC) /* a kernel that lived so long is started again without delay */

/* A sanitizer's reports go where its options say, so in such a build children are told the same. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
static const char *const kept_env[] = {
    "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "PATH", NULL};
#else
static const char *const kept_env[] = {NULL};
#endif
#define ENV_MAX (2 + sizeof kept_env / sizeof *kept_env)

static bool may_start(struct master *m)
{
	int64_t now = clock_mono_us();
	unsigned n = sizeof m->starts / sizeof *m->starts;

	if (m->starts[m->starts_at] != 0 && now - m->starts[m->starts_at] < US_PER_SEC)
		return false;
	m->starts[m->starts_at] = now;
	m->starts_at = (m->starts_at + 1) % n;
	return true;
}

/* In the child: only async-signal-safe calls, nothing of master's survives the exec but what is
 * named here. */
static void become(const struct spawn *s)
{
	if (!s->change_user)
		return;
	if (setgroups(s->group_count, s->groups) != 0)
		_exit(126);
	if (setgid(s->gid) != 0 || setuid(s->uid) != 0 || (s->uid != 0 && setuid(0) == 0))
		_exit(126);
}

static void arrange_descriptors(const struct spawn *s)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0)
		_exit(126);
	if (dup2(s->stdout_fd >= 0 ? s->stdout_fd : null, 1) < 0)
		_exit(126);
	if (s->keep_fd >= 0) {
		if (s->keep_fd == s->as_fd) {
			if (io_cloexec(s->keep_fd, false) != 0)
				_exit(126);
		} else if (dup2(s->keep_fd, s->as_fd) < 0) {
			_exit(126);
		}
	}
	/* stderr stays; all others were opened close-on-exec */
}

/* The whole environment of a child. */
static const char **make_env(const struct master *m, struct arena *a)
{
	/* tests give name servers of their own, with a configuration of their own */
	const char *dns =
	    strcmp(m->opt.config_path, HEDDLE_CONFIG) != 0 ? getenv("HEDDLE_DNS") : NULL;
	const char **env = ARENA_ARRAY(a, const char *, ENV_MAX + m->environment.count);
	size_t n = 0;

	VEC_FOREACH(&m->environment, const char *, s) env[n++] = *s;
	if (dns)
		env[n++] = arena_printf(a, "HEDDLE_DNS=%s", dns).ptr;
	for (const char *const *name = kept_env; *name; name++)
		if (getenv(*name))
			env[n++] = arena_printf(a, "%s=%s", *name, getenv(*name)).ptr;
	env[n] = NULL;
	return env;
}

pid_t master_spawn(struct master *m, const struct spawn *s)
{
	char path[4096];
	const char *argv[MAX_ARGS + 2];
	struct arena *mem;
	size_t n = 0;

	if (!may_start(m)) {
		errno = EAGAIN;
		return -1;
	}
	mem = arena_new(0);
	const char **env = make_env(m, mem);
	snprintf(path, sizeof path, "%s/%s", m->process.libexec, s->program);
	argv[n++] = s->program;
	for (const char *const *a = s->args; a && *a && n < MAX_ARGS; a++)
		argv[n++] = *a;
	argv[n] = NULL;
	pid_t self = getpid(), pid = fork();
	if (pid != 0) {
		arena_free(&mem);
		return pid;
	}
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	become(s);
	arrange_descriptors(s);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		_exit(126);
	if (getppid() != self)
		_exit(126); /* killed before its death could be told to us */
	execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
	_exit(127);
}

bool master_note_child(struct master *m, pid_t pid, enum child_kind kind, int64_t deadline_us)
{
	for (unsigned i = 0; i < MASTER_MAX_CHILDREN; i++)
		if (m->children[i].pid == 0) {
			m->children[i] =
			    (struct child){.pid = pid, .kind = kind, .deadline_us = deadline_us};
			return true;
		}
	(void)kill(pid, SIGKILL);
	return false;
}

static void say_how(const struct master *m, int status)
{
	if (WIFSIGNALED(status))
		master_say(m, "the kernel died of signal %d", WTERMSIG(status));
	else
		master_say(m, "the kernel exited with status %d", WEXITSTATUS(status));
}

static void kernel_is_gone(struct master *m, int status)
{
	int64_t now = clock_mono_us();

	if (m->link >= 0)
		close(m->link);
	m->link = -1;
	m->kernel_ready = false;
	if (m->stopping)
		return;
	say_how(m, status);
	/* one that lived is started again at once; one that keeps dying, ever more slowly */
	if (now - m->kernel_started_us > LIVED)
		m->backoff_us = 0;
	m->restart_at_us = now + m->backoff_us;
	m->backoff_us =
	    m->backoff_us ? (m->backoff_us > 30 * US_PER_SEC ? 60 * US_PER_SEC : m->backoff_us * 2)
	                  : US_PER_SEC / 2;
}

void master_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < MASTER_MAX_CHILDREN; i++) {
			struct child *c = &m->children[i];
			if (c->pid != pid)
				continue;
			enum child_kind kind = c->kind;
			*c = (struct child){0};
			if (kind == CHILD_KERNEL)
				kernel_is_gone(m, status);
			break;
		}
}

void master_kill_overdue(struct master *m, int64_t now_us)
{
	for (unsigned i = 0; i < MASTER_MAX_CHILDREN; i++)
		if (m->children[i].pid && m->children[i].deadline_us <= now_us) {
			(void)kill(m->children[i].pid, SIGKILL);
			m->children[i].deadline_us = DEADLINE_NEVER;
		}
}
