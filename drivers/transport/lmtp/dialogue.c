/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The protocol: RFC 2033.  Commands one by one, since a server on this machine answers at once;
 * after the message an answer for each recipient that was taken.  A recipient has its outcome as
 * soon as it is known: when the server dies in between, what it has said before stands.
 */
#include "lmtp.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum { EXT_SIZE = 1, EXT_8BITMIME = 2, EXT_IGNOREQUOTA = 4, REPLY_LINES_MAX = 200, BLOCK = 32768 };

/* ---- replies
 * -------------------------------------------------------------------------------------------- */

static int digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "5.1.1 ", its class that of the code. */
static void take_enhanced(struct reply *r, const char *p, size_t n)
{
	size_t i = 0, dots = 0;
	while (i < n && (digit(p[i]) || p[i] == '.')) {
		dots += p[i] == '.';
		i++;
	}
	if (dots == 2 && i >= 5 && i < sizeof r->enhanced && p[0] == (char)('0' + r->code / 100) &&
	    p[1] == '.' && p[i - 1] != '.') {
		memcpy(r->enhanced, p, i);
		r->enhanced[i] = '\0';
	}
}

static void keep(struct reply *r, const char *p, size_t n)
{
	if (r->len && r->len + 1 < sizeof r->text)
		r->text[r->len++] = '\n';
	for (size_t i = 0; i < n && r->len + 1 < sizeof r->text; i++) {
		unsigned char c = (unsigned char)p[i];
		r->text[r->len++] = c == '\t' ? ' ' : c < ' ' || c == 127 ? '?' : (char)c;
	}
	r->text[r->len] = '\0';
}

static int32_t malformed(struct delivery *d)
{
	return say(
	    d, HEDDLE_DEFER, "Malformed LMTP response after %s: %.200s", d->after, d->reply.text);
}

/* One line, without its end, in d->input from *start on. */
static int32_t read_line(struct delivery *d, uint32_t *start, uint32_t *len)
{
	for (;;) {
		char *nl = memchr(d->input + d->at, '\n', d->have - d->at);
		if (nl) {
			*start = d->at;
			*len = (uint32_t)(nl - (d->input + d->at));
			d->at += *len + 1;
			if (*len && nl[-1] == '\r')
				(*len)--;
			return HEDDLE_OK;
		}
		size_t got = 0;
		memmove(d->input, d->input + d->at, d->have - d->at);
		d->have -= d->at;
		d->at = 0;
		if (d->have == sizeof d->input)
			return malformed(d);
		int32_t rc = link_read(d, d->input + d->have, sizeof d->input - d->have, &got);
		if (rc != HEDDLE_OK)
			return rc;
		if (got == 0)
			return say(d, HEDDLE_DEFER, "LMTP connection closed after %s", d->after);
		d->have += (uint32_t)got;
	}
}

/* A whole reply; extensions: what of its lines we know (LHLO). */
static int32_t read_reply(struct delivery *d, unsigned *extensions)
{
	static const char *const names[] = {"SIZE", "8BITMIME", "IGNOREQUOTA"};
	struct reply *r = &d->reply;
	*r = (struct reply){.code = 0};
	for (int lines = 0; lines < REPLY_LINES_MAX; lines++) {
		uint32_t at = 0, n = 0;
		int32_t rc = read_line(d, &at, &n);
		if (rc != HEDDLE_OK)
			return rc;
		const char *p = d->input + at;
		keep(r, p, n);
		if (n < 3 || p[0] < '2' || p[0] > '5' || !digit(p[1]) || !digit(p[2]) ||
		    (n > 3 && p[3] != ' ' && p[3] != '-'))
			return malformed(d);
		int code = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
		if (r->code && code != r->code)
			return malformed(d);
		r->code = code;
		if (lines == 0 && n > 4)
			take_enhanced(r, p + 4, n - 4);
		for (unsigned i = 0; extensions && lines && n > 4 && i < 3; i++) {
			size_t len = strlen(names[i]);
			if (n - 4 >= len && strncasecmp(p + 4, names[i], len) == 0 &&
			    (n - 4 == len || p[4 + len] == ' '))
				*extensions |= 1U << i;
		}
		if (n == 3 || p[3] == ' ')
			return HEDDLE_OK;
	}
	return malformed(d);
}

static void say_after(struct delivery *d, const char *what)
{
	size_t n = strlen(what);
	if (n >= sizeof d->after)
		n = sizeof d->after - 1;
	memcpy(d->after, what, n);
	d->after[n] = '\0';
}

/* ---- commands
 * ------------------------------------------------------------------------------------------- */

/* FAIL, DEFER: by its answer, or because there was none (then d->reply.code is 0). */
__attribute__((format(printf, 4, 5))) static int32_t ask(
    struct delivery *d, int wanted, unsigned *extensions, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line - 2, fmt, ap);
	va_end(ap);
	d->reply.code = 0;
	if (n < 0 || n >= (int)sizeof line - 2)
		return say(d, HEDDLE_FAIL, "overlong LMTP command generated");
	say_after(d, line);
	memcpy(line + n, "\r\n", 2);
	int32_t rc = link_write(d, line, (size_t)n + 2);
	if (rc == HEDDLE_OK)
		rc = read_reply(d, extensions);
	if (rc != HEDDLE_OK || d->reply.code / 100 == wanted)
		return rc;
	return say(d, d->reply.code >= 500 ? HEDDLE_FAIL : HEDDLE_DEFER, "LMTP error after %s: %s",
	    d->after, d->reply.text);
}

static int32_t outcome(struct delivery *d, uint32_t i, int32_t result)
{
	struct heddle_outcome o = {.struct_size = sizeof o,
	    .result = result,
	    .smtp = d->reply.code,
	    .host = -1,
	    .flags = result == HEDDLE_OK ? 0 : HEDDLE_X_RECIPIENT};
	o.text = result == HEDDLE_OK ? heddle_bytes(d->reply.text, d->reply.len, 0)
	                             : heddle_bytes(d->why, strlen(d->why), 0);
	memcpy(o.enhanced, d->reply.enhanced, sizeof o.enhanced);
	return d->service->outcome(d->call, d->job, i, &o);
}

/* Nothing that would be a command of its own. */
static int is_line_safe(struct heddle_slice s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 127)
			return 0;
	return 1;
}

static int32_t hello(struct delivery *d, unsigned *extensions)
{
	struct heddle_slice name;
	say_after(d, "initial connection");
	int32_t rc = read_reply(d, NULL);
	if (rc == HEDDLE_OK && d->reply.code / 100 != 2)
		return say(d, d->reply.code >= 500 ? HEDDLE_FAIL : HEDDLE_DEFER,
		    "LMTP error after %s: %s", d->after, d->reply.text);
	if (rc != HEDDLE_OK)
		return rc;
	if (d->host->var_get(d->call, heddle_text("primary_hostname"), &name) != HEDDLE_OK ||
	    name.len == 0)
		name = heddle_text("localhost");
	return ask(d, 2, extensions, "LHLO %.*s", (int)name.len, name.ptr);
}

static int32_t mail(struct delivery *d, unsigned extensions)
{
	struct heddle_message_info m = {.struct_size = sizeof m};
	char size[40] = "";
	int32_t rc = d->message->info(d->call, &m);
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, "the message could not be read");
	if (extensions & EXT_SIZE)
		(void)snprintf(size, sizeof size, " SIZE=%llu", (unsigned long long)m.size + 1024);
	if (!is_line_safe(d->info.sender))
		return say(d, HEDDLE_FAIL, "the sender's address contains a control character");
	return ask(d, 2, NULL, "MAIL FROM:<%.*s>%s%s", (int)d->info.sender.len, d->info.sender.ptr,
	    size, m.body_8bit && (extensions & EXT_8BITMIME) ? " BODY=8BITMIME" : "");
}

/* OK: *good of them are taken, the others have their outcomes. */
static int32_t recipients(struct delivery *d, unsigned extensions, uint32_t *good)
{
	int quota = d->in->ignore_quota && (extensions & EXT_IGNOREQUOTA);
	for (uint32_t i = 0; i < d->info.recipients; i++) {
		struct heddle_recipient r = {.struct_size = sizeof r};
		int32_t rc = d->service->recipient(d->call, d->job, i, &r);
		if (rc != HEDDLE_OK)
			return say(d, HEDDLE_DEFER, "a recipient is missing");
		d->reply.code = 0;
		if (is_line_safe(r.address))
			rc = ask(d, 2, NULL, "RCPT TO:<%.*s>%s", (int)r.address.len, r.address.ptr,
			    quota ? " IGNOREQUOTA" : "");
		else
			rc = say(d, HEDDLE_FAIL, "the address contains a control character");
		if (rc == HEDDLE_OK) {
			d->good[i] = 1;
			(*good)++;
			continue;
		}
		if (rc == HEDDLE_DEFER && d->reply.code == 0)
			return rc;
		rc = outcome(d, i, rc);
		if (rc != HEDDLE_OK)
			return rc;
	}
	return HEDDLE_OK;
}

static int32_t body(struct delivery *d)
{
	struct heddle_reader *reader = NULL;
	char *buf = d->host->alloc(d->call, BLOCK, 1);
	int ends = 1;
	int32_t rc = buf ? d->message->open(d->call, HEDDLE_WIRE_DOTS, heddle_text(NULL),
	                       heddle_text(NULL), &reader)
	                 : HEDDLE_DEFER;
	say_after(d, "sending data block");
	for (uint64_t got = 1; rc == HEDDLE_OK && got;) {
		rc = d->message->read(d->call, reader, buf, BLOCK, &got);
		if (rc != HEDDLE_OK)
			break;
		if (got) {
			ends = buf[got - 1] == '\n';
			rc = link_write(d, buf, got);
			if (rc != HEDDLE_OK)
				return rc;
		}
	}
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, "the message could not be read");
	return ends ? link_write(d, ".\r\n", 3) : link_write(d, "\r\n.\r\n", 5);
}

/* An answer for each of them. */
static int32_t answers(struct delivery *d)
{
	say_after(d, "end of data");
	for (uint32_t i = 0; i < d->info.recipients; i++) {
		if (!d->good[i])
			continue;
		int32_t rc = read_reply(d, NULL), result = HEDDLE_OK;
		if (rc != HEDDLE_OK)
			return rc;
		if (d->reply.code / 100 != 2)
			result = say(d, d->reply.code >= 500 ? HEDDLE_FAIL : HEDDLE_DEFER,
			    "LMTP error after %s: %s", d->after, d->reply.text);
		rc = outcome(d, i, result);
		if (rc != HEDDLE_OK)
			return rc;
	}
	return HEDDLE_OK;
}

int32_t dialogue(struct delivery *d)
{
	unsigned extensions = 0;
	uint32_t good = 0;
	int32_t rc = hello(d, &extensions);
	if (rc == HEDDLE_OK)
		rc = mail(d, extensions);
	if (rc == HEDDLE_OK)
		rc = recipients(d, extensions, &good);
	if (rc == HEDDLE_OK && good) {
		rc = ask(d, 3, NULL, "DATA");
		if (rc == HEDDLE_OK)
			rc = body(d);
		if (rc == HEDDLE_OK)
			rc = answers(d);
	}
	if (rc == HEDDLE_OK && link_write(d, "QUIT\r\n", 6) == HEDDLE_OK)
		say_after(d, "QUIT");
	return rc;
}
