/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Replies of other servers: foreign bytes.  What is kept is bounded, printable, and has its code in
 * front of each line. */
#include "smtp/client_private.h"

#include <errno.h>
#include <stdio.h>

void reply_begin(struct reply *r)
{
	r->code = 0;
	r->lines = 0;
	r->len = 0;
	r->text[0] = r->enhanced[0] = '\0';
}

/* "5.1.1 ": RFC 3463; its class must be that of the code. */
static void take_enhanced(struct reply *r, const char *p, size_t n)
{
	size_t i = 0;
	unsigned dots = 0, digits = 0;

	if (n < 5 || p[0] != (char)('0' + r->code / 100))
		return;
	for (; i < n && p[i] != ' '; i++) {
		if (p[i] == '.' && digits && dots < 2) {
			dots++;
			digits = 0;
		} else if (ascii_isdigit(p[i]) && digits < 3) {
			digits++;
		} else {
			return;
		}
	}
	if (dots == 2 && digits && i < sizeof r->enhanced) {
		memcpy(r->enhanced, p, i);
		r->enhanced[i] = '\0';
	}
}

static void keep_text(struct reply *r, const char *p, size_t n)
{
	if (r->lines && r->len < REPLY_TEXT_MAX)
		r->text[r->len++] = '\n';
	for (size_t i = 0; i < n && r->len < REPLY_TEXT_MAX; i++) {
		unsigned char ch = (unsigned char)p[i];
		r->text[r->len++] = ch == '\t' ? ' ' : ch < ' ' || ch == 127 ? '?' : (char)ch;
	}
	r->text[r->len] = '\0';
}

int reply_line(struct reply *r, const char *p, size_t n)
{
	bool is_number =
	    n >= 3 && p[0] >= '2' && p[0] <= '5' && ascii_isdigit(p[1]) && ascii_isdigit(p[2]);
	int code = is_number ? (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0') : 0;
	bool good = is_number && (n == 3 || p[3] == ' ' || p[3] == '-') &&
	            (r->lines == 0 || code == r->code) && r->lines < REPLY_LINES_MAX;

	keep_text(r, p, n);
	r->lines++;
	if (!good)
		return -1;
	r->code = code;
	if (r->lines == 1 && n > 4)
		take_enhanced(r, p + 4, n - 4);
	return n > 3 && p[3] == '-';
}

enum io reply_take(struct client_session *s, bool *more, bool *lines)
{
	struct client_conn *c = s->conn;
	struct reply *r = &s->reply;
	char *nl;

	*lines = false;
	*more = true;
	while ((nl = memchr(c->in + c->in_at, '\n', c->in_len - c->in_at))) {
		const char *line = c->in + c->in_at;
		size_t n = (size_t)(nl - line);
		c->in_at += (uint32_t)n + 1;
		if (n && line[n - 1] == '\r')
			n--;
		int follows = reply_line(r, line, n);
		*lines = true;
		if (follows > 0)
			continue;
		*more = false;
		s->heard = true;
		if (follows < 0 || r->code == 421)
			c->broken = true;
		return follows < 0 ? IO_MALFORMED : IO_OK;
	}
	return IO_OK;
}

/* A whole reply.  Its time begins anew with each line, as the server is alive; the number of lines
 * is bounded. */
enum io reply_read(struct client_session *s, int64_t ms)
{
	int64_t deadline = phase_deadline(s, ms);
	bool more, lines;

	reply_begin(&s->reply);
	for (;;) {
		enum io io = reply_take(s, &more, &lines);
		if (io != IO_OK || !more)
			return io;
		if (lines)
			deadline = phase_deadline(s, ms);
		io = io_fill(s, deadline);
		if (io != IO_OK) {
			s->conn->broken = true;
			return io;
		}
	}
}

/* "RCPTMAX=20 MAILMAX=5": what is not understood, or is no number above 0, is no limit. */
static void take_limits(slice_t rest, struct offers *o)
{
	slice_t word;

	while (slice_next(&rest, ' ', &word)) {
		static const char *const names[] = {"RCPTMAX=", "MAILMAX=", "RCPTDOMAINMAX="};
		uint32_t *const to[] = {&o->rcpt_max, &o->mail_max, &o->rcpt_domain_max};
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			int64_t n;
			size_t len = strlen(names[i]);
			if (word.len > len && slice_eqis(slice_sub(word, 0, len), names[i]) &&
			    slice_to_i64(slice_sub(word, len, word.len), 10, false, &n) && n > 0 &&
			    n <= 1000000)
				*to[i] = (uint32_t)n;
		}
	}
}

static const struct {
	const char *name;
	uint32_t bit;
} extensions[] = {
    {"PIPELINING", EXT_PIPELINING},
    {"SIZE", EXT_SIZE},
    {"8BITMIME", EXT_8BITMIME},
    {"SMTPUTF8", EXT_SMTPUTF8},
    {"ENHANCEDSTATUSCODES", EXT_ENHANCED},
    {"STARTTLS", EXT_STARTTLS},
    {"AUTH", EXT_AUTH},
    {"CHUNKING", EXT_CHUNKING},
    {"PRDR", EXT_PRDR},
    {"DSN", EXT_DSN},
    {"IGNOREQUOTA", EXT_IGNOREQUOTA},
    {"PIPECONNECT", EXT_PIPECONNECT},
};

static void take_extension(slice_t line, struct arena *a, struct offers *o)
{
	slice_t rest = slice_sub(line, 4, line.len), word;
	uint32_t bit = 0;

	if (!slice_next(&rest, ' ', &word))
		return;
	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
		if (slice_eqis(word, extensions[i].name))
			bit = extensions[i].bit;
	o->ext |= bit;
	if (bit == EXT_AUTH && rest.len)
		o->mechanisms = arena_dup(a, rest);
	else if (slice_eqis(word, "LIMITS"))
		take_limits(rest, o);
}

/* The first line is the greeting. */
void reply_offers(const struct reply *r, struct arena *a, struct offers *out)
{
	slice_t rest = slice_tainted(r->text, r->len), line;
	bool first = true;

	while (slice_next(&rest, '\n', &line)) {
		if (!first)
			take_extension(line, a, out);
		first = false;
	}
}

/* ---- outcomes
 * ------------------------------------------------------------------------------------------- */

enum rc outcome_set(struct client_session *s, struct client_outcome *o, enum rc rc, uint32_t about,
    const char *fmt, ...)
{
	va_list ap;
	char text[1200];

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	*o = (struct client_outcome){.result = rc,
	    .about = about,
	    .text = arena_dup(s->arena, slice_tainted(text, strlen(text)))};
	return rc;
}

enum rc outcome_io(struct client_session *s, struct client_outcome *o, enum io io, uint32_t about,
    bool pipelined, const char *after)
{
	const char *pre = pipelined ? "pipelined " : "";
	char buf[128];

	if (s->conn)
		s->conn->broken = true;
	switch (io) {
	case IO_TIMEOUT:
		return outcome_set(s, o, RC_DEFER, about,
		    "Connection timed out: SMTP timeout after %s%s", pre, after);
	case IO_MALFORMED:
		return outcome_set(s, o, RC_DEFER, about,
		    "Malformed SMTP reply in response to %s%s: %.512s", pre, after, s->reply.text);
	case IO_CANCELLED:
		return outcome_set(s, o, RC_DEFER, 0, "delivery was cut short");
	case IO_TLS:
		return outcome_set(s, o, RC_DEFER, about, "TLS error after %s%s: %s", pre, after,
		    s->conn ? s->conn->tls_error : "");
	case IO_CLOSED:
	case IO_OK:
		break;
	}
	if (s->error)
		return outcome_set(s, o, RC_DEFER, about,
		    "%s: Remote host closed connection in response to %s%s",
		    strerror_r(s->error, buf, sizeof buf), pre, after);
	return outcome_set(
	    s, o, RC_DEFER, about, "Remote host closed connection in response to %s%s", pre, after);
}

enum rc outcome_reply(struct client_session *s, struct client_outcome *o, uint32_t about,
    bool pipelined, const char *after)
{
	const struct reply *r = &s->reply;
	enum rc rc = r->code >= 500 ? RC_FAIL : RC_DEFER;

	outcome_set(s, o, rc, r->code == 421 ? HEDDLE_X_HOST : about,
	    "SMTP error from remote mail server after %s%s: %.900s", pipelined ? "pipelined " : "",
	    after, r->text);
	o->smtp = r->code;
	memcpy(o->enhanced, r->enhanced, sizeof o->enhanced);
	return rc;
}
