/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The message on its way to the command: prefix, checked strings, CRLF, suffix. */
#include "pipe.h"

#define OUT_BYTES 65536U
#define IN_BYTES  32768U

struct feeder {
	struct delivery *d;
	struct heddle_child *child;
	int32_t result;
	char *out;
	uint32_t used;
	struct heddle_slice check, escape;
};

static void flush(struct feeder *f)
{
	if (f->used && f->result == HEDDLE_OK)
		f->result = f->d->spawn->feed(f->d->call, f->child, f->out, f->used);
	f->used = 0;
}

static void put(struct feeder *f, const char *p, size_t n)
{
	while (n && f->result == HEDDLE_OK) {
		uint32_t room = OUT_BYTES - f->used, part = n < room ? (uint32_t)n : room;
		memcpy(f->out + f->used, p, part);
		f->used += part;
		p += part;
		n -= part;
		if (f->used == OUT_BYTES)
			flush(f);
	}
}

/* Part of one line; with its line feed, if that is there. */
static void put_line(struct feeder *f, const char *p, size_t n)
{
	if (!f->d->in->use_crlf || n == 0 || p[n - 1] != '\n') {
		put(f, p, n);
		return;
	}
	put(f, p, n - 1);
	put(f, "\r\n", 2);
}

/* Whole lines and the rest that is certain; returns what was used.  A line start is held back while
 * it may still become the checked string. */
static size_t put_lines(struct feeder *f, const char *p, size_t n, int *line_start, int last)
{
	size_t at = 0;
	while (at < n) {
		const struct heddle_slice *c = &f->check;
		if (*line_start && c->len) {
			size_t have = n - at < c->len ? n - at : c->len;
			int same = memcmp(p + at, c->ptr, have) == 0;
			if (same && have < c->len && !last)
				return at;
			if (same && have == c->len) {
				put(f, f->escape.ptr, f->escape.len);
				at += have;
				*line_start = c->ptr[have - 1] == '\n';
				continue;
			}
		}
		const char *nl = memchr(p + at, '\n', n - at);
		size_t part = nl ? (size_t)(nl - (p + at)) + 1 : n - at;
		put_line(f, p + at, part);
		*line_start = nl != NULL;
		at += part;
	}
	return at;
}

static int32_t put_message(struct feeder *f)
{
	struct delivery *d = f->d;
	struct heddle_reader *r = NULL;
	char *in = d->host->alloc(d->call, IN_BYTES, 1);
	size_t have = 0;
	int line_start = 1;
	if (!in)
		return say(d, HEDDLE_DEFER, "out of memory");
	int32_t rc =
	    d->message->open(d->call, HEDDLE_WIRE_LF, heddle_text(NULL), heddle_text(NULL), &r);
	while (rc == HEDDLE_OK && f->result == HEDDLE_OK) {
		uint64_t got = 0;
		rc = d->message->read(d->call, r, in + have, IN_BYTES - have, &got);
		if (rc != HEDDLE_OK || got > IN_BYTES - have)
			return rc == HEDDLE_OK ? HEDDLE_ERROR : rc;
		have += got;
		size_t used = put_lines(f, in, have, &line_start, got == 0);
		memmove(in, in + used, have - used);
		have -= used;
		if (got == 0)
			break;
	}
	/* a message that could not be read is never taken for a command's lack of interest */
	return rc == HEDDLE_FAIL ? HEDDLE_DEFER : rc;
}

static int32_t text_of(struct delivery *d, uint32_t option, struct heddle_slice *out)
{
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, option, out);
	return rc == HEDDLE_OK ? rc
	                       : say(d, HEDDLE_DEFER, "Expansion of the %s failed",
	                             option == OPT_MESSAGE_PREFIX ? "prefix" : "suffix");
}

static int32_t from_line(struct delivery *d, struct heddle_slice *out)
{
	struct heddle_slice sender, date;
	if (d->host->var_get(d->call, heddle_text("return_path"), &sender) != HEDDLE_OK ||
	    sender.len == 0)
		sender = heddle_text("MAILER-DAEMON");
	if (d->host->var_get(d->call, heddle_text("tod_bsdinbox"), &date) != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, "no date for the message's first line");
	const struct heddle_slice parts[] = {
	    heddle_text("From "), sender, heddle_text(" "), date, heddle_text("\n")};
	return d->host->join(d->call, parts, 5, out);
}

int32_t feed_message(struct delivery *d, struct heddle_child *child)
{
	struct feeder f = {.d = d, .child = child};
	struct heddle_slice prefix, suffix;
	int32_t rc = text_of(d, OPT_MESSAGE_PREFIX, &prefix);
	if (rc == HEDDLE_OK && (prefix.flags & HEDDLE_ABSENT))
		rc = from_line(d, &prefix);
	if (rc == HEDDLE_OK)
		rc = text_of(d, OPT_MESSAGE_SUFFIX, &suffix);
	if (rc == HEDDLE_OK && (suffix.flags & HEDDLE_ABSENT))
		suffix = heddle_text("\n");
	if (rc == HEDDLE_OK)
		rc = text_of(d, OPT_CHECK_STRING, &f.check);
	if (rc == HEDDLE_OK)
		rc = text_of(d, OPT_ESCAPE_STRING, &f.escape);
	if (rc != HEDDLE_OK)
		return rc;
	if (f.escape.flags & HEDDLE_ABSENT)
		f.check.len = 0; /* both or none */
	f.out = d->host->alloc(d->call, OUT_BYTES, 1);
	if (!f.out)
		return say(d, HEDDLE_DEFER, "out of memory");
	put(&f, prefix.ptr, prefix.len);
	rc = put_message(&f);
	put(&f, suffix.ptr, suffix.len);
	flush(&f);
	return rc != HEDDLE_OK ? rc : f.result;
}
