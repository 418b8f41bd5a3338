/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The message on its way to a descriptor: prefix, lines that must not look like a separator, CRLF,
 * suffix. */
#include "appendfile.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define OUT_BYTES 65536U
#define IN_BYTES  32768U

struct writer {
	struct delivery *d;
	int fd, error; /* an errno, or ECANCELED when time is over */
	char *out;
	uint32_t used;
	int crlf;
	struct heddle_slice check, escape;
};

/* A FIFO whose reader has gone: the signal is kept from the process, the error remains. */
static ssize_t write_quietly(int fd, const char *p, size_t n)
{
	static const struct timespec now = {0, 0};
	sigset_t pipe_only, before;
	(void)sigemptyset(&pipe_only);
	(void)sigaddset(&pipe_only, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	ssize_t r = write(fd, p, n);
	int e = errno;
	if (r < 0 && e == EPIPE && !sigismember(&before, SIGPIPE))
		(void)sigtimedwait(&pipe_only, NULL, &now);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = e;
	return r;
}

/* Only a FIFO is ever not ready. */
static int wait_writable(struct writer *w)
{
	struct delivery *d = w->d;
	int64_t left = d->host->time_left(d->call);
	int32_t cancel = d->host->cancel_fd(d->call);
	if (left <= 0 || cancel < 0)
		return 0;
	struct pollfd p[2] = {{.fd = w->fd, .events = POLLOUT}, {.fd = cancel, .events = POLLIN}};
	d->host->block_begin(d->call);
	int n = poll(p, 2, left > 60000 ? 60000 : (int)left);
	d->host->block_end(d->call);
	return n >= 0 && !p[1].revents;
}

static void flush(struct writer *w)
{
	const char *p = w->out;
	uint32_t left = w->used;
	while (left && !w->error) {
		ssize_t n = write_quietly(w->fd, p, left);
		if (n > 0) {
			p += n;
			left -= (uint32_t)n;
			w->d->written += (uint64_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (!wait_writable(w))
				w->error = ECANCELED;
		} else if (n < 0 && errno != EINTR) {
			w->error = errno;
		}
	}
	w->used = 0;
}

static void put(struct writer *w, const char *p, size_t n)
{
	while (n && !w->error) {
		uint32_t room = OUT_BYTES - w->used, part = n < room ? (uint32_t)n : room;
		memcpy(w->out + w->used, p, part);
		w->used += part;
		p += part;
		n -= part;
		if (w->used == OUT_BYTES)
			flush(w);
	}
}

/* Part of one line; with its line feed, if that is there. */
static void put_line(struct writer *w, const char *p, size_t n)
{
	if (!w->crlf || n == 0 || p[n - 1] != '\n') {
		put(w, p, n);
		return;
	}
	put(w, p, n - 1);
	put(w, "\r\n", 2);
}

/* Whole lines and the rest that is certain; returns what was used.  A line start is held back while
 * it may still become the checked string. */
static size_t put_lines(struct writer *w, const char *p, size_t n, int *line_start, int last)
{
	size_t at = 0;
	while (at < n) {
		const struct heddle_slice *c = &w->check;
		if (*line_start && c->len) {
			size_t have = n - at < c->len ? n - at : c->len;
			int same = memcmp(p + at, c->ptr, have) == 0;
			if (same && have < c->len && !last)
				return at;
			if (same && have == c->len) {
				put(w, w->escape.ptr, w->escape.len);
				at += have;
				*line_start = c->ptr[have - 1] == '\n';
				continue;
			}
		}
		const char *nl = memchr(p + at, '\n', n - at);
		size_t part = nl ? (size_t)(nl - (p + at)) + 1 : n - at;
		put_line(w, p + at, part);
		*line_start = nl != NULL;
		at += part;
	}
	return at;
}

static int32_t put_message(struct writer *w)
{
	struct delivery *d = w->d;
	struct heddle_reader *r = NULL;
	char *in = d->host->alloc(d->call, IN_BYTES, 1);
	size_t have = 0;
	int line_start = 1, plain = !w->crlf && w->check.len == 0;
	if (!in)
		return say(d, HEDDLE_DEFER, 0, "out of memory");
	int32_t rc =
	    d->message->open(d->call, HEDDLE_WIRE_LF, heddle_text(NULL), heddle_text(NULL), &r);
	while (rc == HEDDLE_OK && !w->error) {
		uint64_t got = 0;
		rc = d->message->read(d->call, r, in + have, IN_BYTES - have, &got);
		if (rc != HEDDLE_OK || got > IN_BYTES - have)
			return rc == HEDDLE_OK ? HEDDLE_ERROR : rc;
		have += got;
		if (plain) {
			put(w, in, have);
			have = 0;
		} else {
			size_t used = put_lines(w, in, have, &line_start, got == 0);
			memmove(in, in + used, have - used);
			have -= used;
		}
		if (got == 0)
			break;
	}
	return rc;
}

/* An option that has another default when the message is appended to a file. */
static int32_t text_of(
    struct delivery *d, uint32_t option, const char *mbox_default, struct heddle_slice *out)
{
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, option, out);
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, 0, "Expansion of \"%s\" failed",
		    option == OPT_MESSAGE_PREFIX ? "prefix" : "suffix");
	if (out->flags & HEDDLE_ABSENT)
		*out = heddle_text(d->to_folder ? "" : mbox_default);
	return rc;
}

/* "From sender date", the separator of an mbox. */
static int32_t from_line(struct delivery *d, struct heddle_slice *out)
{
	struct heddle_slice sender, date;
	if (d->host->var_get(d->call, heddle_text("return_path"), &sender) != HEDDLE_OK ||
	    sender.len == 0)
		sender = heddle_text("MAILER-DAEMON");
	int32_t rc = d->host->var_get(d->call, heddle_text("tod_bsdinbox"), &date);
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, 0, "no date for the message's first line");
	const struct heddle_slice parts[] = {
	    heddle_text("From "), sender, heddle_text(" "), date, heddle_text("\n")};
	return d->host->join(d->call, parts, 5, out);
}

int32_t write_message(struct delivery *d, int fd, const char *name)
{
	struct writer w = {.d = d, .fd = fd, .crlf = d->in->use_crlf};
	struct heddle_slice prefix, suffix;
	int32_t rc = text_of(d, OPT_MESSAGE_PREFIX, NULL, &prefix);
	if (rc == HEDDLE_OK && (prefix.flags & HEDDLE_ABSENT))
		rc = from_line(d, &prefix);
	if (rc == HEDDLE_OK)
		rc = text_of(d, OPT_MESSAGE_SUFFIX, "\n", &suffix);
	if (rc == HEDDLE_OK)
		rc = text_of(d, OPT_CHECK_STRING, "From ", &w.check);
	if (rc == HEDDLE_OK)
		rc = text_of(d, OPT_ESCAPE_STRING, ">From ", &w.escape);
	if (rc != HEDDLE_OK)
		return rc;
	w.out = d->host->alloc(d->call, OUT_BYTES, 1);
	if (!w.out)
		return say(d, HEDDLE_DEFER, 0, "out of memory");
	put(&w, prefix.ptr, prefix.len);
	rc = put_message(&w);
	put(&w, suffix.ptr, suffix.len);
	flush(&w);
	if (rc != HEDDLE_OK)
		return d->why.len ? rc : say(d, HEDDLE_DEFER, 0, "the message could not be read");
	if (w.error == ENOSPC || w.error == EDQUOT)
		return say(
		    d, HEDDLE_DEFER, w.error, "mailbox is full: error while writing to %s", name);
	if (w.error)
		return say(d, HEDDLE_DEFER, w.error, "error while writing to %s", name);
	return HEDDLE_OK;
}
