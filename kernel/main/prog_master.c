/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddle-master: started by `heddle -bd` with plain words:
 *	heddle-master CONFIG FLAGS QUEUE_MS PORTS PIDFILE [MACRO=VALUE...]
 * FLAGS: letters f (foreground), d (debug), q (-odq), t (-tls-on-connect), w (-bw), - (none); PORTS
 *and PIDFILE: "-" for none.
 */
#include "base/clock.h"
#include "main/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCOUNT "heddle"

void master_say(const struct master *m, const char *fmt, ...)
{
	va_list ap;

	(void)m;
	va_start(ap, fmt);
	fputs("heddle: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

/* The account comes from the passwd file itself: master asks no NSS, and a daemon's account is a
 * local one. */
static enum rc find_account(struct master *m, struct error *err)
{
	char line[1024];
	FILE *f = fopen("/etc/passwd", "re");

	if (!f)
		return error_errno(err, RC_ERROR, errno, "/etc/passwd");
	while (fgets(line, sizeof line, f)) {
		slice_t rest = slice_trim(slice_cstr(line)), field[4];
		bool whole = true;
		int64_t uid, gid;
		for (unsigned i = 0; i < 4; i++)
			whole = whole && slice_next(&rest, ':', &field[i]);
		if (!whole || !slice_eqs(field[0], ACCOUNT) ||
		    !slice_to_i64(field[2], 10, false, &uid) ||
		    !slice_to_i64(field[3], 10, false, &gid) || uid <= 0 || gid <= 0)
			continue;
		m->uid = (uid_t)uid;
		m->gid = (gid_t)gid;
		fclose(f);
		return RC_OK;
	}
	fclose(f);
	return error_set(err, RC_ERROR,
	    "there is no account \"" ACCOUNT "\" to run as (adduser --system --group " ACCOUNT
	    "); or start it as an ordinary user with -C FILE");
}

static bool parse_args(struct master *m, int argc, char **argv)
{
	if (argc < 6)
		return false;
	m->opt.config_path = argv[1];
	m->opt.foreground = strchr(argv[2], 'f') != NULL;
	m->opt.debug = strchr(argv[2], 'd') != NULL;
	m->opt.queue_only = strchr(argv[2], 'q') != NULL;
	m->opt.tls_on_connect = strchr(argv[2], 't') != NULL;
	m->opt.wait_socket = strchr(argv[2], 'w') != NULL;
	m->opt.ports = strcmp(argv[4], "-") ? argv[4] : NULL;
	m->opt.pid_file = strcmp(argv[5], "-") ? argv[5] : NULL;
	slice_t *d = ARENA_ARRAY(m->process.arena, slice_t, (size_t)argc);
	for (int i = 6; i < argc; i++)
		d[i - 6] = slice_cstr(argv[i]);
	m->opt.defines = d;
	m->opt.define_count = (uint32_t)(argc - 6);
	return slice_to_i64(slice_cstr(argv[3]), 10, false, &m->opt.queue_interval_ms);
}

/* Blocked before the first child: the loop reads them from a descriptor. */
static enum rc take_signals(struct master *m, struct error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return error_errno(err, RC_ERROR, errno, "sigprocmask");
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	(void)signal(SIGPIPE, SIG_IGN);
	return m->signal_fd < 0 ? error_errno(err, RC_ERROR, errno, "signalfd") : RC_OK;
}

static enum rc write_pid(const struct master *m, struct error *err)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());

	(void)unlink(m->pid_path);
	int fd = open(m->pid_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, RC_ERROR, errno, "%s", m->pid_path);
	ssize_t w = write(fd, text, (size_t)n);
	close(fd);
	return w == n ? RC_OK : error_set(err, RC_ERROR, "%s: short write", m->pid_path);
}

static void raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* The parent leaves when a kernel has accepted the configuration and serves the ports: a script may
 * go on then. */
static enum rc go_to_background(struct master *m, struct error *err)
{
	int pair[2];
	unsigned char status = 1;

	if (m->opt.foreground)
		return RC_OK;
	if (pipe2(pair, O_CLOEXEC) != 0)
		return error_errno(err, RC_ERROR, errno, "pipe");
	pid_t pid = fork();
	if (pid < 0)
		return error_errno(err, RC_ERROR, errno, "fork");
	if (pid > 0) {
		ssize_t n;
		close(pair[1]);
		while ((n = read(pair[0], &status, 1)) < 0 && errno == EINTR)
			;
		_exit(n == 1 ? status : 1);
	}
	close(pair[0]);
	m->parent_fd = pair[1];
	if (setsid() < 0)
		return error_errno(err, RC_ERROR, errno, "setsid");
	return RC_OK;
}

static enum rc start(struct master *m, struct error *err)
{
	struct vec addrs = {0};
	enum rc rc = RC_OK;

	umask(027);
	raise_limits();
	if (!m->process.ordinary_user)
		rc = find_account(m, err);
	if (rc == RC_OK)
		rc = take_signals(m, err);
	if (rc == RC_OK)
		rc = master_read_config(m, &addrs, err);
	if (rc == RC_OK)
		rc = master_make_spool(m, err);
	if (rc == RC_OK)
		rc = master_bind(m, &addrs, err);
	if (rc == RC_OK)
		rc = go_to_background(m, err);
	if (rc == RC_OK)
		rc = write_pid(m, err);
	return rc;
}

int main(int argc, char **argv)
{
	static struct master m; /* large; this program has one */
	struct error err = {.text = ""};
	int status;

	m.link = m.signal_fd = m.parent_fd = -1;
	m.uid = getuid();
	m.gid = getgid();
	for (unsigned i = 0; i < MASTER_MAX_CHILDREN; i++)
		m.children[i].deadline_us = DEADLINE_NEVER;
	if (process_init(&m.process, argc > 1 ? argv[1] : NULL, &err) != RC_OK ||
	    !parse_args(&m, argc, argv)) {
		master_say(
		    &m, "%s", err.text[0] ? err.text : "heddle-master is started by heddle -bd");
		return 1;
	}
	if (start(&m, &err) != RC_OK) {
		master_say(&m, "%s", err.text);
		return 1;
	}
	status = master_loop(&m);
	(void)unlink(m.pid_path);
	return status;
}
