/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/process: the message service's reader.  The kernel gives the message once, LF line ends, in
 * a sealed memfd; each reader goes through it at its own place and makes the form that the driver
 * asked for.
 */
#include "agent/exchange.h"
#include "agent/process.h"

#include "base/io.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)64 << 10)

struct heddle_reader {
	int fd;
	off_t at;
	uint64_t size;
	bool crlf, dots;
	slice_t from, prefix;
	char *buf; /* PIECE */
	size_t pos, have;
	bool at_line_start, at_end;
	slice_t pending; /* put out before anything else is read */
};

int32_t agent_message_open(
    struct heddle_call *c, uint32_t wire, slice_t from, slice_t prefix, struct heddle_reader **out)
{
	struct process *p = process_of(c);
	struct request r;
	struct stat st;
	if (!process_ask(c, &r))
		return HEDDLE_ERROR;
	if (wire != HEDDLE_WIRE_LF && wire != HEDDLE_WIRE_CRLF && wire != HEDDLE_WIRE_DOTS)
		return call_refuse(
		    c, HEDDLE_ERROR, "wire form %lu is unknown", (unsigned long)wire);
	if (from.len > PIECE / 2 || (!from.ptr && from.len) || (!prefix.ptr && prefix.len))
		return process_malformed(&r);
	if (p->body_fd < 0) {
		int32_t result = process_exchange(&r, EXCHANGE_SERVICE_BODY);
		if (result != HEDDLE_OK)
			return result;
	}
	if (p->body_fd < 0 || fstat(p->body_fd, &st) != 0)
		return call_refuse(c, HEDDLE_DEFER, "the kernel gave no message");
	struct heddle_reader *rd = ARENA_NEW(c->arena, struct heddle_reader);
	rd->fd = p->body_fd;
	rd->size = (uint64_t)st.st_size;
	rd->crlf = (wire & HEDDLE_WIRE_CRLF) != 0;
	rd->dots = wire == HEDDLE_WIRE_DOTS;
	rd->from = arena_dup(c->arena, from);
	rd->prefix = arena_dup(c->arena, prefix);
	rd->buf = arena_bytes(c->arena, PIECE);
	rd->at_line_start = true;
	*out = rd;
	return HEDDLE_OK;
}

/* Keep what is left, read more behind it; false: failed. */
static bool fill(struct heddle_reader *r)
{
	size_t left = r->have - r->pos;
	memmove(r->buf, r->buf + r->pos, left);
	ssize_t n = io_pread_full(r->fd, r->buf + left, PIECE - left, r->at);
	if (n < 0)
		return false;
	r->at += n;
	r->pos = 0;
	r->have = left + (size_t)n;
	r->at_end = r->have < PIECE;
	return true;
}

static bool begins_with(const struct heddle_reader *r, slice_t s)
{
	return s.len && r->have - r->pos >= s.len && memcmp(r->buf + r->pos, s.ptr, s.len) == 0;
}

/* What goes in front of the line that begins here. */
static void begin_line(struct heddle_reader *r)
{
	r->at_line_start = false;
	if (begins_with(r, r->from))
		r->pending = r->prefix;
	else if (r->dots && r->buf[r->pos] == '.')
		r->pending = SL(".");
}

/* Bytes that can be copied as they are: the rest of the line, without its end if that changes. */
static size_t put_line(struct heddle_reader *r, char *to, size_t cap)
{
	size_t n = r->have - r->pos;
	const char *nl = memchr(r->buf + r->pos, '\n', n);
	bool ends = false;
	if (nl) {
		n = (size_t)(nl - (r->buf + r->pos)) + !r->crlf;
		ends = true;
	}
	if (n > cap) {
		n = cap;
		ends = false;
	}
	memcpy(to, r->buf + r->pos, n);
	r->pos += n;
	if (ends) {
		r->at_line_start = true;
		if (r->crlf) {
			r->pos++;
			r->pending = SL("\r\n");
		}
	}
	return n;
}

static bool needs_fill(const struct heddle_reader *r)
{
	return !r->at_end &&
	       (r->pos == r->have || (r->at_line_start && r->have - r->pos < r->from.len));
}

int32_t agent_message_read(
    struct heddle_call *c, struct heddle_reader *r, void *buf, uint64_t cap, uint64_t *got)
{
	char *to = buf;
	size_t done = 0, room = cap < SIZE_MAX ? (size_t)cap : SIZE_MAX;
	while (done < room) {
		if (r->pending.len) {
			size_t n = r->pending.len < room - done ? r->pending.len : room - done;
			memcpy(to + done, r->pending.ptr, n);
			r->pending = slice_sub(r->pending, n, r->pending.len);
			done += n;
			continue;
		}
		if (needs_fill(r) && !fill(r))
			return call_refuse(
			    c, HEDDLE_DEFER, "reading the message failed: errno %d", errno);
		if (r->pos == r->have)
			break;
		if (r->at_line_start) {
			begin_line(r);
			if (r->pending.len)
				continue;
		}
		done += put_line(r, to + done, room - done);
	}
	*got = done;
	return HEDDLE_OK;
}

int32_t agent_message_length(struct heddle_call *c, struct heddle_reader *r, uint64_t *bytes)
{
	(void)c;
	if (r->crlf || r->from.len)
		return HEDDLE_FAIL; /* not known before it was read: an answer, so no reason is
		                       given */
	*bytes = r->size;
	return HEDDLE_OK;
}
