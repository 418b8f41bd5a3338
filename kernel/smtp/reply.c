/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Replies: collected while a run lasts, so that the answers to pipelined commands leave in one
 * write.  What the client does not take is kept, and the session does nothing else until it has
 * been taken.
 */
#include "smtp/server_private.h"

#include <stdio.h>
#include <stdlib.h>

enum { WRAP_COLUMN = 75, WRAP_COLON_FROM = 40 }; /* as Exim's are */

/* Outlives the run; replies of a session that is about to wait are rare enough for a malloc. */
static void keep_unsent(struct session *s, const char *p, size_t n)
{
	if (!n || s->lost)
		return;
	size_t left = s->unsent_len - s->unsent_at;
	if (left + n > UNSENT_MAX) {
		s->lost = true;
		return;
	}
	char *buf = malloc(left + n);
	if (!buf) {
		s->lost = true;
		return;
	}
	if (left)
		memcpy(buf, s->unsent + s->unsent_at, left);
	memcpy(buf + left, p, n);
	free(s->unsent);
	s->unsent = buf;
	s->unsent_at = 0;
	s->unsent_len = (uint32_t)(left + n);
}

bool reply_flush(struct run *r)
{
	struct session *s = r->s;
	if (s->unsent_len && s->delay_until_us) {
		keep_unsent(s, r->out, r->out_len);
		r->out_len = 0;
		return false;
	}
	if (s->unsent_len) {
		s->unsent_at += (uint32_t)session_write(
		    r, s->unsent + s->unsent_at, s->unsent_len - s->unsent_at);
		if (s->unsent_at == s->unsent_len) {
			free(s->unsent);
			s->unsent = NULL;
			s->unsent_len = s->unsent_at = 0;
		}
	}
	size_t sent = s->unsent_len || s->delay_until_us ? 0 : session_write(r, r->out, r->out_len);
	keep_unsent(s, r->out + sent, r->out_len - sent);
	r->out_len = 0;
	return !s->lost && !s->unsent_len;
}

void reply_raw(struct run *r, slice_t text)
{
	size_t at = 0;
	while (at < text.len) {
		if (r->out_len == OUTPUT_BYTES)
			(void)reply_flush(r);
		size_t n = OUTPUT_BYTES - r->out_len;
		if (n > text.len - at)
			n = text.len - at;
		memcpy(r->out + r->out_len, text.ptr + at, n);
		r->out_len += n;
		at += n;
	}
}

void reply_enhanced(struct run *r, int code, slice_t enhanced, slice_t text)
{
	slice_t rest = text;
	while (rest.len && rest.ptr[rest.len - 1] == '\n')
		rest.len--;
	for (;;) {
		size_t nl = slice_find(rest, '\n');
		bool last = nl == SIZE_MAX;
		char head[8];
		int n = snprintf(head, sizeof head, "%03d%c", code % 1000, last ? ' ' : '-');
		slice_t line = slice_sub(rest, 0, last ? rest.len : nl);
		reply_raw(r, slice_of(head, (size_t)n, HEDDLE_CLEAN));
		if (enhanced.len) {
			reply_raw(r, enhanced);
			reply_raw(r, SL(" "));
		}
		for (size_t at = 0;
		     at < line.len;) { /* a CR of somebody's making would split the reply */
			size_t cr = slice_find(slice_sub(line, at, line.len), '\r');
			size_t end = cr == SIZE_MAX ? line.len : at + cr;
			reply_raw(r, slice_sub(line, at, end - at));
			at = end + 1;
		}
		reply_raw(r, SL("\r\n"));
		if (last)
			return;
		rest = slice_sub(rest, nl + 1, rest.len);
		if (!rest.len)
			rest = SL("");
	}
}

/* Where a line of a site's words that is too long for one is broken: behind the last ": ", if that
 * is not too far in front, else at the last space; 0: nowhere. */
static uint32_t break_at(slice_t s)
{
	uint32_t space = 0, colon = 0;
	for (uint32_t i = 1; i < s.len && i <= WRAP_COLUMN; i++)
		if (s.ptr[i] == ' ') {
			space = i;
			if (s.ptr[i - 1] == ':' && i > WRAP_COLON_FROM)
				colon = i;
		}
	for (uint32_t i = WRAP_COLUMN; !space && i < s.len; i++)
		if (s.ptr[i] == ' ')
			space = i;
	return colon ? colon : space;
}

slice_t reply_wrapped(struct run *r, slice_t text)
{
	struct strbuf sb;
	slice_t rest = text;
	strbuf_init(&sb, r->scratch, 0);
	while (rest.len) {
		size_t nl = slice_find(rest, '\n');
		slice_t line = slice_sub(rest, 0, nl == SIZE_MAX ? rest.len : nl);
		uint32_t n = line.len > WRAP_COLUMN ? break_at(line) : 0;
		strbuf_text(&sb, sb.len ? "\n" : "");
		strbuf_add(&sb, slice_sub(line, 0, n ? n : line.len));
		if (r->s->no_multiline)
			break;
		rest = slice_sub(rest, n ? n : line.len, rest.len);
		while (rest.len && ascii_isspace(rest.ptr[0]))
			rest = slice_sub(rest, 1, rest.len);
	}
	return strbuf_slice(&sb);
}

void reply_outcome(struct run *r, int code, const struct acl_outcome *out, slice_t usual)
{
	bool says = !slice_is_absent(out->user_text) && out->user_text.len;
	reply_enhanced(r, says && out->smtp_code ? out->smtp_code : code,
	    says && !slice_is_absent(out->enhanced) ? out->enhanced : SL(""),
	    says ? reply_wrapped(r, out->user_text) : usual);
}

void reply(struct run *r, int code, slice_t text)
{
	reply_enhanced(r, code, SL(""), text);
}

void replyf(struct run *r, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	slice_t text = arena_vprintf(r->scratch, fmt, ap);
	va_end(ap);
	reply(r, code, text);
}
