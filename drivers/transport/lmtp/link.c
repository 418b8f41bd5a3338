/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bytes to and from an LMTP server: over a unix socket that is connected to here, by the process
 * that is the user, or a command's standard input and output.  Every wait ends with the section's
 * timeout or the call's own end.
 */
#include "lmtp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OUTPUT_MAX ((uint64_t)4 << 20) /* what a command may say in all */

const char *link_kind(const struct delivery *d)
{
	return d->in->by_command ? "command" : "socket";
}

/* ---- the socket
 * ----------------------------------------------------------------------------------------- */

static int32_t wait_for(struct delivery *d, short events)
{
	struct pollfd p[2] = {
	    {.fd = d->fd, .events = events}, {.fd = d->host->cancel_fd(d->call), .events = POLLIN}};
	int64_t left = d->host->time_left(d->call);
	if (d->in->timeout_ms > 0 && d->in->timeout_ms < left)
		left = d->in->timeout_ms;
	int n = left > 0 ? poll(p, 2, left < 86400000 ? (int)left : 86400000) : 0;
	if (n < 0 && errno != EINTR)
		return say(d, HEDDLE_DEFER, "waiting for the LMTP socket failed: errno %d", errno);
	if (n > 0 && p[1].revents)
		return say(d, HEDDLE_DEFER, "cancelled during an LMTP delivery");
	return n == 0 ? say(d, HEDDLE_DEFER, "LMTP timeout after %s", d->after) : HEDDLE_OK;
}

static int32_t no_socket(struct delivery *d, const char *path)
{
	char text[128];
	return say(d, HEDDLE_DEFER, "failed to connect to socket %s for %s transport: %s", path,
	    "lmtp", strerror_r(errno, text, sizeof text));
}

static int32_t open_socket(struct delivery *d)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct heddle_slice path;
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_SOCKET, &path);
	if (rc != HEDDLE_OK || path.len == 0)
		return say(d, HEDDLE_DEFER, "expansion of \"socket\" failed, or gave nothing");
	if (path.len >= sizeof at.sun_path || memchr(path.ptr, '\0', path.len))
		return say(d, HEDDLE_DEFER, "the name of the LMTP socket is too long");
	memcpy(at.sun_path, path.ptr, path.len);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return no_socket(d, at.sun_path);
	while (connect(d->fd, (const struct sockaddr *)&at, sizeof at) != 0) {
		if (errno != EAGAIN && errno != EINTR)
			return no_socket(d, at.sun_path);
		/* its queue is full: a unix socket cannot be waited for */
		struct pollfd p = {.fd = d->host->cancel_fd(d->call), .events = POLLIN};
		if (d->host->time_left(d->call) <= 0 || poll(&p, 1, 50) > 0)
			return no_socket(d, at.sun_path);
	}
	return HEDDLE_OK;
}

static int32_t write_socket(struct delivery *d, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(d->fd, p, n, MSG_NOSIGNAL);
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else if (k < 0 && errno == EAGAIN) {
			int32_t rc = wait_for(d, POLLOUT);
			if (rc != HEDDLE_OK)
				return rc;
		} else if (k < 0 && errno != EINTR) {
			return say(d, HEDDLE_DEFER, "LMTP connection closed after %s", d->after);
		}
	}
	return HEDDLE_OK;
}

static int32_t read_socket(struct delivery *d, char *p, size_t cap, size_t *got)
{
	for (;;) {
		ssize_t k = recv(d->fd, p, cap, 0);
		if (k >= 0 || errno == ECONNRESET) {
			*got = k > 0 ? (size_t)k : 0;
			return HEDDLE_OK;
		}
		if (errno == EAGAIN) {
			int32_t rc = wait_for(d, POLLIN);
			if (rc != HEDDLE_OK)
				return rc;
		} else if (errno != EINTR) {
			return say(d, HEDDLE_DEFER, "reading from the LMTP socket failed: errno %d",
			    errno);
		}
	}
}

/* ---- the command
 * ---------------------------------------------------------------------------------------- */

static int is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next word as it stands in the line, quotes gone; 0: no more; -1: a quote is not closed, or no
 * memory. */
static int next_word(struct heddle_call *call, const struct heddle_host *host,
    struct heddle_slice line, uint32_t *at, struct heddle_slice *out)
{
	uint32_t i = *at, n = 0;
	while (i < line.len && is_space(line.ptr[i]))
		i++;
	if (i == line.len)
		return 0;
	char *word = host->alloc(call, line.len - i + 1, 1);
	char quote = line.ptr[i] == '"' || line.ptr[i] == '\'' ? line.ptr[i++] : '\0';
	if (!word)
		return -1;
	for (; i < line.len && (quote ? line.ptr[i] != quote : !is_space(line.ptr[i])); i++)
		word[n++] =
		    line.ptr[quote == '"' && line.ptr[i] == '\\' && i + 1 < line.len ? ++i : i];
	if (quote && i == line.len)
		return -1;
	*at = i + (quote != '\0');
	*out = heddle_bytes(word, n, line.flags & HEDDLE_CLEAN);
	return 1;
}

static int is_expandable(struct heddle_slice word)
{
	return word.len && (memchr(word.ptr, '$', word.len) || memchr(word.ptr, '\\', word.len));
}

int32_t link_check_command(
    struct heddle_call *call, const struct lmtp *in, struct heddle_slice line)
{
	struct heddle_slice word;
	struct heddle_expr *x;
	uint32_t at = 0;
	int got;
	while ((got = next_word(call, in->host, line, &at, &word)) > 0) {
		int32_t rc = is_expandable(word) ? in->host->compile(call, word, 0, &x) : HEDDLE_OK;
		if (rc != HEDDLE_OK)
			return rc;
	}
	if (got < 0)
		in->host->reason(
		    call, 0, heddle_text(NULL), heddle_text("unbalanced quotes in command"));
	return got < 0 ? HEDDLE_ERROR : HEDDLE_OK;
}

/* An argument is expanded by itself, so nothing that is inserted becomes an argument of its own. */
static int32_t expand_word(struct delivery *d, struct heddle_slice *word)
{
	struct heddle_expr *x = NULL;
	struct heddle_slice raw = *word;
	int32_t rc = HEDDLE_OK;
	if (is_expandable(raw))
		rc = d->host->compile(d->call, raw, 0, &x);
	if (rc == HEDDLE_OK && x)
		rc = d->host->expand(d->call, x, word);
	if (rc != HEDDLE_OK)
		return say(
		    d, HEDDLE_DEFER, "Expansion of command \"%.*s\" failed", (int)raw.len, raw.ptr);
	if (word->len && !(word->flags & HEDDLE_CLEAN))
		return say(d, HEDDLE_DEFER, "Tainted argument for the LMTP command: '%.*s'",
		    (int)word->len, word->ptr);
	return HEDDLE_OK;
}

static int32_t open_command(struct delivery *d)
{
	static const struct heddle_slice env[] = {{"PATH=/bin:/usr/bin", 18, HEDDLE_CLEAN, 0}};
	struct heddle_slice line, argv[ARGS_MAX];
	uint32_t at = 0, argc = 0;
	int got = 0;
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_COMMAND, &line);
	while (rc == HEDDLE_OK && argc < ARGS_MAX &&
	       (got = next_word(d->call, d->host, line, &at, &argv[argc])) > 0)
		rc = expand_word(d, &argv[argc++]);
	if (rc != HEDDLE_OK)
		return rc;
	if (got < 0 || argc == 0 || argc == ARGS_MAX)
		return say(d, HEDDLE_DEFER, "the command of the lmtp transport is malformed");
	const struct heddle_command cmd = {
	    .struct_size = sizeof cmd,
	    .argc = argc,
	    .argv = argv,
	    .envc = 1,
	    .env = env,
	    .uid = UINT32_MAX,
	    .gid = UINT32_MAX,
	    .directory = heddle_text("/"),
	    .output_limit = OUTPUT_MAX,
	    .timeout_ms = d->in->timeout_ms > 0 && d->in->timeout_ms < UINT32_MAX
	                      ? (uint32_t)d->in->timeout_ms
	                      : 0,
	};
	return d->spawn->start(d->call, &cmd, &d->child);
}

/* The service has given its reason: what it says of a time limit is ours to say. */
static int32_t command_trouble(struct delivery *d, int32_t rc)
{
	return rc == HEDDLE_FAIL ? say(d, HEDDLE_DEFER, "LMTP connection closed after %s", d->after)
	                         : say(d, HEDDLE_DEFER, "LMTP timeout after %s", d->after);
}

/* ---- either
 * --------------------------------------------------------------------------------------------- */

int32_t link_open(struct delivery *d)
{
	d->fd = -1;
	return d->in->by_command ? open_command(d) : open_socket(d);
}

int32_t link_write(struct delivery *d, const void *buf, size_t n)
{
	if (!d->child)
		return write_socket(d, buf, n);
	int32_t rc = d->spawn->feed(d->call, d->child, buf, n);
	return rc == HEDDLE_OK ? rc : command_trouble(d, rc);
}

int32_t link_read(struct delivery *d, void *buf, size_t cap, size_t *got)
{
	uint64_t n = 0;
	if (!d->child)
		return read_socket(d, buf, cap, got);
	int32_t rc = d->spawn->read(d->call, d->child, buf, cap, &n);
	*got = (size_t)n;
	return rc == HEDDLE_OK ? rc : command_trouble(d, rc);
}

/* What the command returns after QUIT changes nothing about what it has answered. */
void link_close(struct delivery *d)
{
	int32_t status;
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
	if (d->child && d->spawn->feed_end(d->call, d->child) == HEDDLE_OK &&
	    d->reply.code / 100 == 2)
		(void)d->spawn->wait(d->call, d->child, &status);
}
