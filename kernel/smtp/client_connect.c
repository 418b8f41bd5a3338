/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bytes in and out of a client's connection, in clear or through TLS: nobody else touches the
 * socket.  Every wait ends with a reply, its phase's time, or cancellation.
 */
#include "smtp/client_private.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

int64_t phase_deadline(const struct client_session *s, int64_t ms)
{
	int64_t at = ms > 0 ? clock_mono_us() + ms * 1000 : DEADLINE_NEVER;

	return at < s->wait.deadline_us ? at : s->wait.deadline_us;
}

enum io io_wait(struct client_session *s, int fd, short events, int64_t deadline_us)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = -1, .events = POLLIN}};
		int64_t left = deadline_us == DEADLINE_NEVER ? INT64_C(60000000)
		                                             : deadline_us - clock_mono_us();
		if (cancel_is_set(s->wait.cancel))
			return IO_CANCELLED;
		if (left <= 0)
			return IO_TIMEOUT;
		if (s->wait.cancel)
			p[1].fd = cancel_fd(s->wait.cancel);
		int64_t ms = (left + 999) / 1000;
		int n = poll(p, 2, ms > 60000 ? 60000 : (int)ms);
		if (n < 0 && errno != EINTR) {
			s->error = errno;
			return IO_CLOSED;
		}
		if (n > 0 && p[0].revents)
			return IO_OK;
	}
}

/* Refused by some systems for some classes: then the packets go as they would without it. */
static void set_class(int fd, const struct client_target *t)
{
	int bits = t->dscp * 4;

	if (bits < 0)
		return;
	if (t->to.family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &bits, sizeof bits);
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_TOS, &bits, sizeof bits);
}

enum io io_connect_begin(struct client_session *s)
{
	const struct client_target *t = &s->t;
	struct client_conn *c = s->conn;
	struct error err;
	int e = 0;

	if (net_connect_start(&t->to, t->from.family ? &t->from : NULL, &c->fd, &e, &err) !=
	    RC_OK) {
		c->fd = -1;
		s->error = e;
		return e == ETIMEDOUT ? IO_TIMEOUT : IO_CLOSED;
	}
	set_class(c->fd, t);
	return IO_OK;
}

enum io io_connect_end(struct client_session *s)
{
	const struct client_target *t = &s->t;
	const struct client_conn *c = s->conn;
	struct error err;
	int e = 0;

	if (net_connect_finish(c->fd, &t->to, &e, &err) != RC_OK) {
		s->error = e;
		return e == ETIMEDOUT ? IO_TIMEOUT : IO_CLOSED;
	}
	net_set_nodelay(c->fd, true);
	if (t->keepalive)
		net_set_keepalive(c->fd, true);
	return IO_OK;
}

enum io io_connect(struct client_session *s)
{
	enum io io = io_connect_begin(s);

	if (io == IO_OK)
		io = io_wait(s, s->conn->fd, POLLOUT, phase_deadline(s, s->t.connect_ms));
	return io == IO_OK ? io_connect_end(s) : io;
}

/* ---- TLS
 * ------------------------------------------------------------------------------------------------
 */

/* What a result of the TLS layer means for us: IO_OK: go on or try again (*again). */
static enum io tls_result(struct client_session *s, enum tls_io r, const struct error *err,
    int64_t deadline_us, bool *again)
{
	struct client_conn *c = s->conn;

	*again = r == TLS_WANT_READ || r == TLS_WANT_WRITE;
	if (*again)
		return io_wait(s, c->fd, r == TLS_WANT_READ ? POLLIN : POLLOUT, deadline_us);
	if (r == TLS_DONE)
		return IO_OK;
	s->error = 0;
	if (r == TLS_CLOSED || r == TLS_TRUNCATED)
		return IO_CLOSED;
	(void)slice_copy(
	    slice_cstr(err->text), c->tls_error, sizeof c->tls_error); /* what fits of it */
	return IO_TLS;
}

enum io io_handshake(struct client_session *s, int64_t ms)
{
	int64_t deadline = phase_deadline(s, ms);
	struct error err = {.text = ""};
	bool again = true;
	enum io io = IO_OK;

	while (io == IO_OK && again)
		io = tls_result(s, tls_handshake(s->conn->tls, &err), &err, deadline, &again);
	return io;
}

static enum io send_tls(struct client_session *s, const char *p, size_t n, int64_t deadline_us)
{
	struct error err = {.text = ""};
	enum io io = IO_OK;

	while (n && io == IO_OK) {
		size_t put = 0;
		bool again;
		enum tls_io r = tls_write(s->conn->tls, p, n, &put, &err);
		if (r == TLS_DONE) {
			p += put;
			n -= put;
		}
		io = tls_result(s, r, &err, deadline_us, &again);
	}
	return io;
}

static enum io fill_tls(
    struct client_session *s, char *to, size_t room, size_t *got, int64_t deadline_us)
{
	struct error err = {.text = ""};
	bool again = true;
	enum io io = IO_OK;

	while (io == IO_OK && again)
		io = tls_result(
		    s, tls_read(s->conn->tls, to, room, got, &err), &err, deadline_us, &again);
	return io;
}

/* ---- either
 * --------------------------------------------------------------------------------------------- */

enum io io_send(struct client_session *s, const char *p, size_t n, int64_t ms)
{
	int64_t deadline = phase_deadline(s, ms);

	if (s->conn->tls)
		return send_tls(s, p, n, deadline);
	while (n) {
		ssize_t k = send(s->conn->fd, p, n, MSG_NOSIGNAL);
		if (k > 0) {
			p += k;
			n -= (size_t)k;
			continue;
		}
		if (k < 0 && errno == EAGAIN) {
			enum io io = io_wait(s, s->conn->fd, POLLOUT, deadline);
			if (io != IO_OK)
				return io;
		} else if (k < 0 && errno != EINTR) {
			s->error = errno;
			return IO_CLOSED;
		}
	}
	return IO_OK;
}

static enum io fill_once(struct client_session *s, char *to, size_t room, size_t *got, bool *again)
{
	ssize_t k;

	do
		k = recv(s->conn->fd, to, room, 0);
	while (k < 0 && errno == EINTR);
	*got = k > 0 ? (size_t)k : 0;
	*again = k < 0 && errno == EAGAIN;
	if (k > 0 || *again)
		return IO_OK;
	s->error = k == 0 ? 0 : errno;
	return IO_CLOSED;
}

static enum io fill_clear(
    struct client_session *s, char *to, size_t room, size_t *got, int64_t deadline_us)
{
	for (;;) {
		bool again;
		enum io io = fill_once(s, to, room, got, &again);
		if (io == IO_OK && again)
			io = io_wait(s, s->conn->fd, POLLIN, deadline_us);
		if (io != IO_OK || !again)
			return io;
	}
}

/* 0: a line has no end. */
static size_t make_room(struct client_conn *c)
{
	if (c->in_at) {
		memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
		c->in_len -= c->in_at;
		c->in_at = 0;
	}
	return sizeof c->in - c->in_len;
}

enum io io_fill_now(struct client_session *s, bool *again)
{
	struct client_conn *c = s->conn;
	size_t got = 0, room = make_room(c);

	*again = false;
	if (room == 0)
		return IO_MALFORMED;
	enum io io = fill_once(s, c->in + c->in_len, room, &got, again);
	c->in_len += (uint32_t)got;
	return io;
}

enum io io_fill(struct client_session *s, int64_t deadline_us)
{
	struct client_conn *c = s->conn;
	size_t got = 0, room = make_room(c);

	if (room == 0)
		return IO_MALFORMED;
	enum io io = c->tls ? fill_tls(s, c->in + c->in_len, room, &got, deadline_us)
	                    : fill_clear(s, c->in + c->in_len, room, &got, deadline_us);
	c->in_len += (uint32_t)got;
	return io;
}

/* A server that says something unasked (421, for one), or has gone, is no use.  Under TLS there may
 * be something that is not for us, a ticket say. */
bool conn_is_quiet(const struct client_conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	struct error err;
	size_t got = 0;
	char byte;

	if (!c->tls)
		return poll(&p, 1, 0) == 0;
	if (!tls_pending(c->tls) && poll(&p, 1, 0) == 0)
		return true;
	return tls_read(c->tls, &byte, 1, &got, &err) == TLS_WANT_READ;
}
