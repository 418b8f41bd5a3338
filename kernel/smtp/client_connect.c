/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes in and out of a client's connection.  Every wait ends with a reply, its phase's time, or cancellation. */
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
		int64_t left = deadline_us == DEADLINE_NEVER ? INT64_C(60000000) : deadline_us - clock_mono_us();
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

enum io io_connect(struct client_session *s)
{
	const struct client_target *t = &s->t;
	struct client_conn *c = s->conn;
	struct error err;
	int e = 0;

	if (net_connect_start(&t->to, t->from.family ? &t->from : NULL, &c->fd, &e, &err) != RC_OK) {
		c->fd = -1;
		s->error = e;
		return e == ETIMEDOUT ? IO_TIMEOUT : IO_CLOSED;
	}
	enum io io = io_wait(s, c->fd, POLLOUT, phase_deadline(s, t->connect_ms));
	if (io != IO_OK)
		return io;
	if (net_connect_finish(c->fd, &t->to, &e, &err) != RC_OK) {
		s->error = e;
		return e == ETIMEDOUT ? IO_TIMEOUT : IO_CLOSED;
	}
	net_set_nodelay(c->fd, true);
	if (t->keepalive)
		net_set_keepalive(c->fd, true);
	return IO_OK;
}

enum io io_send(struct client_session *s, const char *p, size_t n, int64_t ms)
{
	int64_t deadline = phase_deadline(s, ms);

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

enum io io_fill(struct client_session *s, int64_t deadline_us)
{
	struct client_conn *c = s->conn;

	if (c->in_at) {
		memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
		c->in_len -= c->in_at;
		c->in_at = 0;
	}
	if (c->in_len == sizeof c->in)
		return IO_MALFORMED; /* a line without an end */
	for (;;) {
		ssize_t k = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
		if (k > 0) {
			c->in_len += (uint32_t)k;
			return IO_OK;
		}
		if (k == 0) {
			s->error = 0;
			return IO_CLOSED;
		}
		if (errno == EAGAIN) {
			enum io io = io_wait(s, c->fd, POLLIN, deadline_us);
			if (io != IO_OK)
				return io;
		} else if (errno != EINTR) {
			s->error = errno;
			return IO_CLOSED;
		}
	}
}
