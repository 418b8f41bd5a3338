/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -bs: SMTP on standard input.  A user of this host speaks to the running daemon through its
 * submission socket; a connection that inetd or systemd has accepted is handed to it as it is.
 */
#include "base/codec.h"
#include "base/io.h"
#include "config/config.h"
#include "main/cli.h"
#include "main/cli_relay.h"
#include "main/cli_submit.h"
#include "net/net.h"
#include "smtp/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum rc cli_submit_begin(
    struct process *p, const struct cli *c, struct submission *out, struct error *err)
{
	struct net_addr addr;
	slice_t login = SL("");
	const char *said[] = {c->host, c->interface};

	*out = (struct submission){.p = p, .c = c, .fd = -1, .loaded = {.sv = NULL}};
	for (size_t i = 0; i < 2; i++)
		if (said[i] && !net_addr_parse_port(slice_cstr(said[i]), &addr))
			return error_set(
			    err, RC_FAIL, "abandoned: \"%s\" is not an IP address", said[i]);
	enum rc rc = cli_login(p->arena, &login, err);
	if (rc == RC_OK && cli_load(p, c, true, &out->loaded) != RC_OK)
		rc = error_set(err, RC_ERROR, "the configuration is refused");
	if (rc != RC_OK)
		return rc;
	out->login = login;
	process_adopt(p, out->loaded.cfg);
	if (c->no_fixups && !cli_is_trusted(p, out->loaded.cfg)) {
		cli_submit_end(out);
		return error_set(err, RC_FAIL, "permission denied (-G requires a trusted user)");
	}
	return RC_OK;
}

void cli_submit_end(struct submission *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
	cli_unload(&s->loaded);
}

static slice_t first_line(const struct submission *s, const char *mode)
{
	const struct cli *c = s->c;
	struct arena *a = s->p->arena;
	char milliseconds[32];
	const struct {
		char letter;
		const char *text;
	} texts[] = {{'a', c->host}, {'i', c->interface}, {'s', c->host_name}, {'A', c->auth},
	    {'I', c->auth_id}, {'S', c->auth_sender}, {'r', c->protocol}, {'t', c->ident},
	    {'m', c->reference}, {'o', c->smtp_ms ? milliseconds : NULL}};
	struct strbuf sb;

	(void)snprintf(
	    milliseconds, sizeof milliseconds, "%llds", (long long)((c->smtp_ms + 999) / 1000));
	strbuf_init(&sb, a, 0);
	strbuf_printf(&sb, "heddle-submission 1 %s %.*s -%s%s%s%s%s%s", mode, SL_ARG(s->login),
	    c->unqualified ? "u" : "", s->own_sender ? "d" : "",
	    c->delivery == DELIVER_QUEUE ? "q" : "",
	    c->delivery == DELIVER_BACKGROUND || c->delivery == DELIVER_FOREGROUND ? "b" : "",
	    c->no_fixups ? "G" : "", c->rmail ? "R" : "");
	if (c->full_name.len)
		strbuf_printf(&sb, " n:%.*s", SL_ARG(base64_encode(a, c->full_name)));
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (texts[i].text)
			strbuf_printf(&sb, " %c:%.*s", texts[i].letter,
			    SL_ARG(base64_encode(a, slice_cstr(texts[i].text))));
	strbuf_char(&sb, '\n');
	return strbuf_slice(&sb);
}

/* The descriptor goes with the first byte. */
static ssize_t send_with(int fd, slice_t line, int handed)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)line.ptr, 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof control.bytes};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &handed, sizeof handed);
	if (sendmsg(fd, &m, MSG_NOSIGNAL) != 1)
		return -1;
	return io_write_full(fd, line.ptr + 1, line.len - 1);
}

enum rc cli_submit_dial(struct submission *s, const char *mode, int handed, struct error *err)
{
	const char *path = smtp_submission_path(s->p->arena, s->p->facts.spool_directory).ptr;
	slice_t line = first_line(s, mode);

	int fd = io_dial_unix(path, 0);
	if (fd < 0)
		return error_errno(err, RC_DEFER, errno, "no daemon takes messages at %s", path);
	if ((handed >= 0 ? send_with(fd, line, handed) : io_write_full(fd, line.ptr, line.len)) <
	    0) {
		enum rc rc = error_errno(err, RC_DEFER, errno, "%s", path);
		close(fd);
		return rc;
	}
	s->fd = fd;
	return RC_OK;
}

/* The daemon goes on with it; a line comes back only if it does not. */
static int hand_over(struct submission *s, struct error *err)
{
	char said[512];
	ssize_t n = 0, used = 0;
	enum rc rc = cli_submit_dial(s, "inetd", STDIN_FILENO, err);

	if (rc != RC_OK) {
		(void)dprintf(STDIN_FILENO, "421 Service not available - closing connection\r\n");
		return rc == RC_DEFER ? EX_TEMPFAIL : 1;
	}
	while ((size_t)used < sizeof said - 1 &&
	       ((n = read(s->fd, said + used, sizeof said - 1 - (size_t)used)) > 0 ||
	           (n < 0 && errno == EINTR)))
		used += n > 0 ? n : 0;
	said[used] = '\0';
	if (used == 0)
		return 0;
	(void)error_set(err, RC_FAIL, "%.*s", (int)strcspn(said, "\r\n"), said);
	(void)dprintf(STDIN_FILENO, "421 Service not available - closing connection\r\n");
	return 1;
}

static bool is_from_network(void)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;

	return getpeername(STDIN_FILENO, (struct sockaddr *)&peer, &len) == 0 &&
	       (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
}

int cli_run_smtp(struct process *p, const struct cli *c)
{
	struct error err = {.text = ""};
	struct submission s;
	int status = 0;
	enum rc rc = cli_submit_begin(p, c, &s, &err);

	if (rc == RC_OK && is_from_network()) {
		status = hand_over(&s, &err);
		if (status)
			(void)cli_fail(&err);
		cli_submit_end(&s);
		return status;
	}
	if (rc == RC_OK)
		rc = cli_submit_dial(&s, "smtp", -1, &err);
	if (rc == RC_DEFER) {
		printf("421 %s\r\n", err.text);
		status = fflush(stdout) == 0 ? EX_TEMPFAIL : 1;
	} else if (rc != RC_OK) {
		status = cli_fail(&err);
	} else {
		cli_relay(s.fd);
	}
	cli_submit_end(&s);
	return status;
}
