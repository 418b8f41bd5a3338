/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "main/cli_input.h"

#include "base/clock.h"
#include "message/message.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

void input_init(struct input *in, struct arena *a, int fd)
{
	*in = (struct input){.fd = fd,
	    .deadline_us = DEADLINE_NEVER,
	    .arena = a,
	    .from_line = slice_absent(),
	    .first_body = slice_absent()};
	strbuf_init(&in->header, a, 0);
}

void input_fini(struct input *in)
{
	free(in->line);
	in->line = NULL;
}

static enum input_end fill(struct input *in)
{
	for (;;) {
		struct pollfd p = {.fd = in->fd, .events = POLLIN};
		int ms = -1;
		if (in->deadline_us != DEADLINE_NEVER) {
			int64_t left = (in->deadline_us - clock_mono_us()) / 1000 + 1;
			if (left <= 0)
				return INPUT_TIMEOUT;
			ms = left > 60000 ? 60000 : (int)left;
		}
		int r = poll(&p, 1, ms);
		if (r == 0 || (r < 0 && errno == EINTR))
			continue;
		ssize_t n = r < 0 ? -1 : read(in->fd, in->buf, sizeof in->buf);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return INPUT_END;
		in->at = 0;
		in->have = (size_t)n;
		return INPUT_LINE;
	}
}

static void add(struct input *in, char ch)
{
	if (in->len + 1 > in->cap) {
		in->cap = in->cap ? 2 * in->cap : 1024;
		in->line = realloc(in->line, in->cap);
		MUST(in->line != NULL);
	}
	in->line[in->len++] = ch;
}

/* Without its end; a last line that has none is a line too. */
static enum input_end next_line(struct input *in, uint64_t max)
{
	in->len = 0;
	for (;;) {
		while (in->at < in->have) {
			char ch = in->buf[in->at++];
			if (ch == '\n') {
				if (in->len && in->line[in->len - 1] == '\r')
					in->len--;
				return INPUT_LINE;
			}
			add(in, ch);
			if (max && in->len > max)
				return INPUT_LINE;
		}
		enum input_end end = fill(in);
		if (end == INPUT_END && in->len)
			return INPUT_LINE;
		if (end != INPUT_LINE)
			return end;
	}
}

static slice_t present(const struct input *in)
{
	return slice_tainted(in->line ? in->line : "", in->len);
}

static bool ends_message(const struct input *in)
{
	return !in->dot_is_text && in->len == 1 && in->line[0] == '.';
}

static bool is_from_line(struct input *in, const struct regex *pattern)
{
	slice_t whole[1];
	uint32_t n;
	struct error err;

	return pattern && slice_starts(present(in), "From ") &&
	       regex_match(in->arena, pattern, present(in), whole, 1, &n, &err) == RC_OK;
}

enum input_end input_header(struct input *in, const struct regex *from_pattern)
{
	uint64_t field = 0; /* length of the one that is read */

	for (;;) {
		enum input_end end = next_line(in, in->line_max ? in->line_max + 1 : 0);
		if (end != INPUT_LINE) {
			in->over = true;
			return end;
		}
		slice_t line = present(in);
		bool more =
		    in->header.len && line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
		if (ends_message(in)) {
			in->over = true;
			return INPUT_END;
		}
		if (!in->header.len && is_from_line(in, from_pattern)) {
			if (slice_is_absent(in->from_line))
				in->from_line = arena_dup(in->arena, line);
			continue;
		}
		if (!more && !header_name_length(line)) {
			in->body_follows = true;
			if (line.len)
				in->first_body = arena_dup(in->arena, line);
			return INPUT_LINE;
		}
		field = more ? field + line.len + 1 : line.len + 1;
		strbuf_add(&in->header, line);
		strbuf_char(&in->header, '\n');
		if (in->header_max && in->header.len > in->header_max)
			in->fault = INPUT_SECTION_TOO_LONG;
		else if (in->line_max && field > in->line_max)
			in->fault = INPUT_LINE_TOO_LONG;
		if (in->fault)
			return INPUT_LINE;
	}
}

enum input_end input_body(struct input *in, slice_t *out)
{
	if (!slice_is_absent(in->first_body)) {
		*out = in->first_body;
		in->first_body = slice_absent();
		return INPUT_LINE;
	}
	if (in->over)
		return INPUT_END;
	enum input_end end = next_line(in, 0);
	if (end == INPUT_LINE && ends_message(in))
		end = INPUT_END;
	if (end == INPUT_LINE)
		*out = present(in);
	else
		in->over = true;
	return end;
}
