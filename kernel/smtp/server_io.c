/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The layers between a session and its socket.  Which one is in force is a state (enum
 * session_layer), looked at for each read and write: nothing is swapped.  Once a session has left
 * LAYER_PLAIN it never comes back to it, and what is written while TLS is not up yet, or no more,
 * goes nowhere: nothing is sent in clear behind a switch.
 */
#include "net/tls/tls.h"
#include "smtp/server_private.h"

#include <errno.h>
#include <unistd.h>

static enum io_result read_socket(struct run *r, char *buf, size_t room, size_t *got)
{
	for (;;) {
		ssize_t n = read(r->s->fd, buf, room);
		if (n > 0) {
			*got = (size_t)n;
			r->read_dry = (size_t)n < room;
			return IO_DONE;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			r->s->read_error = n < 0 ? errno : 0;
			return IO_ENDED;
		}
		if (errno == EAGAIN) {
			r->read_dry = true;
			return IO_WAIT;
		}
	}
}

static enum io_result read_tls(struct run *r, char *buf, size_t room, size_t *got)
{
	struct session *s = r->s;
	struct error err = {0};
	s->tls_parked = false;
	switch (tls_read(s->tls, buf, room, got, &err)) {
	case TLS_DONE:
		return IO_DONE;
	case TLS_WANT_READ:
		s->read_wants = EPOLLIN;
		r->read_dry = true;
		return IO_WAIT;
	case TLS_WANT_WRITE:
		s->read_wants = EPOLLOUT;
		r->read_dry = true;
		return IO_WAIT;
	case TLS_CLOSED:
		break;
	case TLS_TRUNCATED:
		s->layer = LAYER_NONE;
		log_tls_error(r, "SSL_read", SL("the connection ended without close_notify"));
		break;
	case TLS_FAILED:
		s->layer = LAYER_NONE;
		log_tls_error(r, "SSL_read", slice_cstr(err.text));
		break;
	}
	return IO_ENDED;
}

enum io_result session_read(struct run *r, char *buf, size_t room, size_t *got)
{
	switch ((enum session_layer)r->s->layer) {
	case LAYER_PLAIN:
	case LAYER_HELLO:
		return read_socket(r, buf, room, got);
	case LAYER_TLS:
		return read_tls(r, buf, room, got);
	case LAYER_NONE:
		break;
	}
	return IO_ENDED;
}

static size_t write_socket(struct run *r, const char *p, size_t n)
{
	struct session *s = r->s;
	size_t done = 0;
	while (done < n && !s->lost) {
		ssize_t k = send(s->fd, p + done, n - done, MSG_NOSIGNAL);
		if (k >= 0)
			done += (size_t)k;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			s->lost = true;
	}
	return done;
}

static size_t write_tls(struct run *r, const char *p, size_t n)
{
	struct session *s = r->s;
	struct error err = {0};
	size_t done = 0;
	s->tls_parked = false;
	while (done < n && !s->lost) {
		size_t put = 0;
		switch (tls_write(s->tls, p + done, n - done, &put, &err)) {
		case TLS_DONE:
			done += put;
			continue;
		case TLS_WANT_READ:
			s->write_wants = EPOLLIN;
			return done;
		case TLS_WANT_WRITE:
			s->write_wants = EPOLLOUT;
			return done;
		case TLS_FAILED:
			log_tls_error(r, "SSL_write", slice_cstr(err.text));
			break;
		case TLS_CLOSED:
		case TLS_TRUNCATED:
			break;
		}
		s->layer = LAYER_NONE;
		s->lost = true;
	}
	return done;
}

size_t session_write(struct run *r, const char *p, size_t n)
{
	switch ((enum session_layer)r->s->layer) {
	case LAYER_PLAIN:
		return write_socket(r, p, n);
	case LAYER_TLS:
		return write_tls(r, p, n);
	case LAYER_HELLO:
	case LAYER_NONE:
		break;
	}
	return n;
}

uint32_t session_read_events(const struct session *s)
{
	return s->layer == LAYER_TLS ? s->read_wants : (uint32_t)EPOLLIN;
}

uint32_t session_write_events(const struct session *s)
{
	return s->layer == LAYER_TLS ? s->write_wants : (uint32_t)EPOLLOUT;
}

bool session_input_hidden(const struct session *s)
{
	return s->layer == LAYER_TLS && tls_pending(s->tls);
}
