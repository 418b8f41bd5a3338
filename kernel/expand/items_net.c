/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ${readsocket{NAME}{REQUEST}{OPTIONS}{EOL}{FAIL}}: asks a server on a unix or a TCP socket. Waits,
 * within the evaluation's deadline and its own timeout; a cancelled evaluation ends at once.
 * Nothing is kept: cache=yes asks each time.
 */
#include "base/clock.h"
#include "base/io.h"
#include "driver/call.h"
#include "expand/text.h"
#include "net/dns/dns_hosts.h"
#include "net/net.h"
#include "thread/cancel.h"
#include "thread/pool.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TIMEOUT_MS = 5000, SERVICES_MAX = 1 << 20, READ_CHUNK = 8192 };

struct dialogue {
	int64_t deadline_us;
	bool no_shutdown, tls;
};

static enum rc parse_readsocket(struct parser *p, struct node *n)
{
	enum rc rc = parse_args(p, n, 2, 5);
	slice_t options;
	if (rc == RC_OK && n->arg_count > 2 && expr_constant(n->args[2], &options) &&
	    slice_search(options, SL("tls=yes")) != SIZE_MAX)
		return parse_error(p, "not supported yet: readsocket with tls=yes");
	return rc;
}

/* "3s:shutdown=no:tls=no"; what is not known is passed over, as in Exim. */
static enum rc take_options(struct eval *ev, slice_t text, struct dialogue *d, struct error *err)
{
	struct list_iter it;
	slice_t item;
	int64_t ms = TIMEOUT_MS;
	list_begin(text, &it);
	if (list_next(ev->arena, &it, &item) && item.len && (!slice_to_ms(item, &ms) || ms < 0))
		return error_set(err, RC_ERROR, "bad time value %.*s", SL_ARG(item));
	while (list_next(ev->arena, &it, &item)) {
		d->no_shutdown |= slice_eqs(item, "shutdown=no");
		d->tls |= slice_eqs(item, "tls=yes");
	}
	if (d->tls)
		return error_set(err, RC_ERROR, "not supported yet: readsocket with tls=yes");
	d->deadline_us = clock_mono_us() + ms * 1000;
	if (ev->deadline_us != DEADLINE_NEVER && ev->deadline_us < d->deadline_us)
		d->deadline_us = ev->deadline_us;
	return RC_OK;
}

/* RC_DEFER: cancelled; RC_FAIL: time is up. */
static enum rc wait_for(
    struct eval *ev, int fd, short events, int64_t deadline_us, struct error *err)
{
	struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = -1, .events = POLLIN}};
	if (ev->cancel)
		p[1].fd = cancel_fd(ev->cancel);
	for (;;) {
		int64_t left = (deadline_us - clock_mono_us() + 999) / 1000;
		if (cancel_is_set(ev->cancel))
			return error_set(err, RC_DEFER, "expansion was cancelled");
		if (left <= 0)
			return error_set(err, RC_FAIL, "timed out");
		int n = poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n > 0 && p[0].revents)
			return RC_OK;
		if (n < 0 && errno != EINTR)
			return error_errno(err, RC_FAIL, errno, "poll");
	}
}

static enum rc connect_unix(slice_t path, int *out_fd, struct error *err)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	if (!slice_is_clean(path))
		return error_set(err, RC_ERROR, "Tainted name of a socket: '%.*s'", SL_ARG(path));
	if (!slice_copy(path, to.sun_path, sizeof to.sun_path))
		return error_set(err, RC_FAIL, "failed to connect to socket %.*s: name is too long",
		    SL_ARG(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, RC_FAIL, errno, "failed to create socket");
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
		int e = errno;
		(void)close(fd);
		return error_errno(
		    err, RC_FAIL, e, "failed to connect to socket %.*s", SL_ARG(path));
	}
	*out_fd = fd;
	return RC_OK;
}

static uint32_t words_of(slice_t line, slice_t *words, uint32_t max)
{
	uint32_t count = 0;
	slice_t rest = slice_trim(slice_sub(line, 0, slice_find(line, '#')));
	while (rest.len && count < max) {
		uint32_t n = 0;
		while (n < rest.len && !ascii_isspace(rest.ptr[n]))
			n++;
		words[count++] = slice_sub(rest, 0, n);
		rest = slice_trim(slice_sub(rest, n, rest.len));
	}
	return count;
}

/* A line "NAME PORT/tcp ALIASES" of /etc/services; 0: there is none. */
static uint16_t port_named(struct arena *a, slice_t name)
{
	slice_t text, line, words[10];
	if (io_read_file(a, "/etc/services", SERVICES_MAX, &text, NULL) != RC_OK)
		return 0;
	while (slice_next(&text, '\n', &line)) {
		uint32_t count = words_of(line, words, 10);
		slice_t number =
		    count > 1 ? slice_sub(words[1], 0, slice_find(words[1], '/')) : slice_absent();
		int64_t port;
		if (count < 2 || !slice_eqs(slice_sub(words[1], number.len, 5), "/tcp") ||
		    !slice_to_i64(number, 10, false, &port) || port < 1 || port > UINT16_MAX)
			continue;
		for (uint32_t i = 0; i < count; i++)
			if (i != 1 && slice_eq(words[i], name))
				return (uint16_t)port;
	}
	return 0;
}

/* "HOST:PORT", "[ADDRESS]:PORT" */
static enum rc split_target(
    struct eval *ev, slice_t text, slice_t *host, uint16_t *port, struct error *err)
{
	size_t colon = slice_rfind(text, ':');
	if (colon == SIZE_MAX)
		return error_set(err, RC_ERROR, "missing port for readsocket %.*s", SL_ARG(text));
	slice_t number = slice_sub(text, colon + 1, text.len);
	int64_t n;
	*host = slice_sub(text, 0, colon);
	if (host->len > 2 && host->ptr[0] == '[' && host->ptr[host->len - 1] == ']')
		*host = slice_sub(*host, 1, host->len - 2U);
	if (slice_to_i64(number, 10, false, &n) && n > 0 && n <= UINT16_MAX) {
		*port = (uint16_t)n;
		return RC_OK;
	}
	*port = port_named(ev->arena, number);
	return *port ? RC_OK
	             : error_set(err, RC_FAIL, "unknown port \"%.*s\" for socket %.*s",
	                   SL_ARG(number), SL_ARG(text));
}

static enum rc connect_one(
    struct eval *ev, const struct net_addr *to, int64_t deadline_us, int *out_fd, struct error *err)
{
	int fd;
	enum rc rc = net_connect_start(to, NULL, &fd, NULL, err);
	if (rc != RC_OK)
		return RC_FAIL;
	rc = wait_for(ev, fd, POLLOUT, deadline_us, err);
	if (rc == RC_OK && net_connect_finish(fd, to, NULL, err) != RC_OK)
		rc = RC_FAIL;
	if (rc == RC_OK)
		*out_fd = fd;
	else
		(void)close(fd);
	return rc;
}

/* Each address of each host until one answers. */
static enum rc connect_hosts(struct eval *ev, const struct dns_hosts *hosts, uint16_t port,
    int64_t deadline_us, int *out_fd, struct error *err)
{
	enum rc rc = error_set(err, RC_FAIL, "no address");
	for (size_t h = 0; h < hosts->count && rc == RC_FAIL; h++)
		for (size_t i = 0; i < hosts->hosts[h].n_addrs && rc == RC_FAIL; i++) {
			struct net_addr to = hosts->hosts[h].addrs[i];
			to.port = port;
			rc = connect_one(ev, &to, deadline_us, out_fd, err);
		}
	return rc;
}

static enum rc connect_inet(
    struct eval *ev, slice_t text, int64_t deadline_us, int *out_fd, struct error *err)
{
	struct net_addr to;
	struct dns_hosts *hosts = NULL;
	slice_t host;
	uint16_t port;
	enum rc rc = split_target(ev, text, &host, &port, err);
	if (rc != RC_OK)
		return rc;
	if (net_addr_parse(host, &to)) {
		to.port = port;
		rc = connect_one(ev, &to, deadline_us, out_fd, err);
	} else if (!ev->services || !ev->services->resolver) {
		return error_set(err, RC_ERROR, "no resolver for host name \"%.*s\"", SL_ARG(host));
	} else {
		rc = dns_mx_hosts_wait(ev->services->resolver, host, DNS_HOSTS_NO_MX, deadline_us,
		    ev->cancel, ev->arena, &hosts);
		if (rc == RC_OK && hosts->status == DNS_FOUND)
			rc = connect_hosts(ev, hosts, port, deadline_us, out_fd, err);
		else if (rc == RC_OK || rc == RC_FAIL)
			rc = error_set(
			    err, RC_FAIL, "no IP address found for host %.*s", SL_ARG(host));
	}
	if (rc == RC_FAIL)
		return error_wrap(
		    err, rc, "failed to connect to any address for %.*s", SL_ARG(host));
	return rc;
}

static enum rc write_all(
    struct eval *ev, int fd, slice_t text, int64_t deadline_us, struct error *err)
{
	while (text.len) {
		ssize_t n = send(fd, text.ptr, text.len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_errno(err, RC_FAIL, errno, "request write to socket failed");
		if (n > 0) {
			text = slice_sub(text, (size_t)n, text.len);
			continue;
		}
		enum rc rc = wait_for(ev, fd, POLLOUT, deadline_us, err);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc read_all(
    struct eval *ev, int fd, int64_t deadline_us, slice_t *out, struct error *err)
{
	struct strbuf sb;
	char buf[READ_CHUNK];
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof buf, 0);
		if (n == 0)
			return text_done(&sb, out, err);
		if (n > 0) {
			strbuf_add(&sb, slice_tainted(buf, (size_t)n));
			if (strbuf_is_overfull(&sb))
				return text_done(&sb, out, err);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return error_errno(err, RC_FAIL, errno, "read from socket failed");
		enum rc rc = wait_for(ev, fd, POLLIN, deadline_us, err);
		if (rc != RC_OK)
			return rc == RC_FAIL ? error_set(err, rc, "socket read timed out") : rc;
	}
}

static enum rc talk(struct eval *ev, slice_t name, slice_t request, const struct dialogue *d,
    slice_t *out, struct error *err)
{
	int fd = -1;
	enum rc rc = slice_starts(name, "inet:")
	                 ? connect_inet(ev, slice_sub(name, 5, name.len), d->deadline_us, &fd, err)
	                 : connect_unix(name, &fd, err);
	if (rc == RC_OK)
		rc = write_all(ev, fd, request, d->deadline_us, err);
	if (rc == RC_OK && !d->no_shutdown)
		(void)shutdown(fd, SHUT_WR);
	if (rc == RC_OK)
		rc = read_all(ev, fd, d->deadline_us, out, err);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static enum rc item_readsocket(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[4] = {SL(""), SL(""), SL(""), SL("")}, text;
	struct dialogue d = {.deadline_us = 0};
	if (ev->forbid & HEDDLE_FORBID_NET)
		return error_set(err, RC_ERROR, "readsocket insertions are not permitted");
	enum rc rc = eval_args(ev, n, args, n->arg_count < 4 ? n->arg_count : 4, err);
	if (rc == RC_OK)
		rc = take_options(ev, args[2], &d, err);
	if (rc == RC_OK)
		rc = pool_blocking_begin(ev->worker, POOL_FOR_LOOKUP, 0, err);
	if (rc != RC_OK)
		return rc;
	rc = talk(ev, args[0], args[1], &d, &text, err);
	pool_blocking_end(ev->worker);
	if (rc == RC_FAIL && n->arg_count > 4)
		return eval_arg(ev, n, 4, out, err);
	if (rc != RC_OK)
		return rc == RC_FAIL ? RC_ERROR : rc;
	if (n->arg_count > 3)
		return replace_newlines(ev, text, args[3], out, err);
	*out = text;
	return RC_OK;
}

const struct item_row item_rows_net[] = {
    {.name = "readsocket",
        .eval = item_readsocket,
        .parse = parse_readsocket,
        .forbidden_by = HEDDLE_FORBID_NET},
    {0},
};
