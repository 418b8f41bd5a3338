/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -bs and -bS: messages of a user of this host, by SMTP on standard input; the running daemon takes
 * them through its submission socket.
 */
#include "base/codec.h"
#include "base/io.h"
#include "config/config.h"
#include "main/cli.h"
#include "main/cli_relay.h"
#include "main/cli_submit.h"
#include "smtp/server.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

static enum rc own_login(struct arena *a, slice_t *out, struct error *err)
{
	struct passwd pw, *found = NULL;
	char *buf = arena_bytes(a, 65536);
	int e = getpwuid_r(getuid(), &pw, buf, 65536, &found);

	if (!found)
		return error_set(err, RC_FAIL, "failed to get user name for uid %lu%s%s",
		    (unsigned long)getuid(), e ? ": " : "", e ? strerrordesc_np(e) : "");
	*out = arena_dup(a, slice_cstr(pw.pw_name));
	return RC_OK;
}

/* The daemon's socket, its first line said. */
enum rc cli_submit_open(
    struct process *p, const struct cli *c, const char *mode, int *out_fd, struct error *err)
{
	struct loaded loaded;
	slice_t login;
	enum rc rc = own_login(p->arena, &login, err);

	if (rc == RC_OK && cli_load(p, c, true, &loaded) != RC_OK)
		rc = error_set(err, RC_ERROR, "the configuration is refused");
	if (rc != RC_OK)
		return rc;
	process_adopt(p, loaded.cfg);
	cli_unload(&loaded);
	const char *path = smtp_submission_path(p->arena, p->facts.spool_directory).ptr;
	int fd = io_dial_unix(path, 0);
	if (fd < 0)
		return error_errno(err, RC_DEFER, errno, "no daemon takes messages at %s", path);
	slice_t first = arena_printf(p->arena, "heddle-submission 1 %s %.*s %s", mode,
	    SL_ARG(login), c->unqualified ? "u" : "-");
	if (c->full_name.len)
		first = arena_printf(p->arena, "%.*s %.*s", SL_ARG(first),
		    SL_ARG(base64_encode(p->arena, c->full_name)));
	first = arena_printf(p->arena, "%.*s\n", SL_ARG(first));
	if (io_write_full(fd, first.ptr, first.len) < 0) {
		rc = error_errno(err, RC_DEFER, errno, "%s", path);
		close(fd);
		return rc;
	}
	*out_fd = fd;
	return RC_OK;
}

int cli_run_smtp(struct process *p, const struct cli *c)
{
	struct error err = {.text = ""};
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;
	int sock = -1;

	if (getpeername(STDIN_FILENO, (struct sockaddr *)&peer, &len) == 0 &&
	    (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)) {
		(void)error_set(
		    &err, RC_FAIL, "not supported yet: -bs for a TCP/IP client, as from inetd");
		return cli_fail(&err);
	}
	enum rc rc = cli_submit_open(p, c, "smtp", &sock, &err);
	if (rc != RC_OK) {
		printf("421 %s\r\n", err.text);
		return fflush(stdout) == 0 && rc == RC_DEFER ? EX_TEMPFAIL : 1;
	}
	cli_relay(sock);
	close(sock);
	return 0;
}
