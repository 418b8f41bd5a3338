/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/data_reader.h"

enum state {
	AT_LINE, /* behind a CR LF */
	DOT,     /* a dot there; not passed on */
	DOT_CR,  /* and a CR */
	IN_LINE,
	CR, /* a CR in a line; not passed on yet */
};
enum eol_mode { EOL_UNKNOWN, EOL_CRLF, EOL_LF };

#define CHARGE_STEP 4096

void data_reader_init(struct data_reader *r, struct arena *a, struct body_builder *body,
    struct body_budget *budget, const struct data_limits *limits)
{
	*r = (struct data_reader){
	    .body = body, .budget = budget, .limits = *limits, .in_header = true, .state = AT_LINE};
	strbuf_init(
	    &r->header, a, limits->header_max ? (size_t)limits->header_max + CHARGE_STEP : 0);
}

void data_reader_release(struct data_reader *r)
{
	if (r->charged)
		body_budget_give(r->budget, r->charged);
	r->charged = 0;
}

static void set_fault(struct data_reader *r, enum data_fault f)
{
	if (r->fault)
		return;
	r->fault = f;
	body_builder_drop(r->body);
	if (f == DATA_TOO_BIG && !r->in_header)
		return; /* the reject log shows it */
	strbuf_reset(&r->header);
	data_reader_release(r);
}

static void count(struct data_reader *r, size_t n)
{
	r->bytes += n;
	if (r->limits.message_max && r->bytes > r->limits.message_max)
		set_fault(r, DATA_TOO_BIG);
}

static void to_body(struct data_reader *r, const char *p, size_t n)
{
	if (!n)
		return;
	count(r, n); /* also of what is not wanted any more: the log tells the size */
	if (r->fault)
		return;
	r->mid_line = p[n - 1] != '\n';
	body_builder_add(r->body, p, n);
}

/* The header is over: its last, unfinished or unfit line is the body's first. */
static void header_over(struct data_reader *r)
{
	r->in_header = false;
	size_t n = r->header.len - r->line_start;
	if (!n || r->fault)
		return;
	slice_t line = slice_sub(strbuf_slice(&r->header), r->line_start, n);
	r->header.len = r->line_start;
	r->bytes -= n;
	for (size_t i = 0; i < n; i++)
		r->body->lines += line.ptr[i] == '\n';
	to_body(r, line.ptr, n);
}

/* A line of the header is whole, its newline included. */
static void header_line(struct data_reader *r)
{
	slice_t line = slice_sub(strbuf_slice(&r->header), r->line_start, r->header.len);
	bool more = line.ptr[0] == ' ' || line.ptr[0] == '\t';
	if (line.len == 1) { /* the separator; counted, as it is part of the message */
		r->header.len--;
		r->in_header = false;
		return;
	}
	if (!r->fields && r->is_from_line &&
	    r->is_from_line(r->from_ctx, slice_sub(line, 0, line.len - 1u))) {
		r->header.len = r->line_start;
		r->bytes -= line.len;
		return;
	}
	if (more ? !r->fields : !header_name_length(line)) {
		header_over(r);
		return;
	}
	if (!more) {
		r->fields++;
		r->field_start = r->line_start;
	}
	r->line_start = r->header.len;
	if (r->limits.fields_max && r->fields > r->limits.fields_max)
		set_fault(r, DATA_HEADER_TOO_LONG);
}

static void to_header(struct data_reader *r, const char *p, size_t n)
{
	count(r, n);
	if (r->fault)
		return;
	if (r->limits.header_max && r->header.len + n > r->limits.header_max)
		set_fault(r, DATA_HEADER_TOO_LONG);
	else if (r->limits.header_line_max &&
	         r->header.len + n - r->field_start > r->limits.header_line_max &&
	         r->header.len + n - r->line_start > r->limits.header_line_max)
		set_fault(r, DATA_LINE_TOO_LONG);
	while (!r->fault && r->header.len + n > r->charged) {
		if (!body_budget_take(r->budget, CHARGE_STEP))
			set_fault(r, DATA_NO_ROOM);
		else
			r->charged += CHARGE_STEP;
	}
	if (r->fault)
		return;
	strbuf_add(&r->header, slice_of(p, n, HEDDLE_CLEAN));
	for (size_t i = r->header.len - n; i < r->header.len; i++)
		if (!r->header.ptr[i])
			r->header.ptr[i] = '?';
}

/* Bytes of a line without CR and LF. */
static void text(struct data_reader *r, const char *p, size_t n)
{
	if (!n)
		return;
	r->line_len += n;
	if (r->in_header) {
		to_header(r, p, n);
		return;
	}
	for (const char *z = p; (z = memchr(z, '\0', (size_t)(p + n - z))) != NULL; z++)
		r->body->zeros++;
	to_body(r, p, n);
}

static void line_ended(struct data_reader *r)
{
	if (r->line_len > r->max_line_len)
		r->max_line_len = r->line_len;
	r->line_len = 0;
}

/* The end of a line of the content. */
static void newline(struct data_reader *r)
{
	line_ended(r);
	if (!r->in_header) {
		r->body->lines++;
		to_body(r, "\n", 1);
		return;
	}
	to_header(r, "\n", 1);
	if (!r->fault)
		header_line(r);
}

/* A CR that no LF follows. */
static void bare_cr(struct data_reader *r)
{
	if (r->in_header) {
		to_header(r, "\n ", 2);
		line_ended(r);
	} else {
		newline(r);
	}
}

/* An LF that no CR precedes. */
static void bare_lf(struct data_reader *r)
{
	if (r->chunked && r->in_header) {
		set_fault(r, DATA_BARE_LF);
		return;
	}
	if (r->eol_mode == EOL_UNKNOWN)
		r->eol_mode = EOL_LF;
	if (r->eol_mode == EOL_LF || r->chunked) {
		newline(r);
	} else if (r->in_header) {
		to_header(r, "\n ", 2);
		line_ended(r);
	} else {
		text(r, " ", 1);
	}
}

static void finish(struct data_reader *r)
{
	line_ended(r);
	if (r->in_header)
		header_over(r);
	if (r->mid_line) { /* after a bare LF that became a space, say */
		r->body->lines++;
		to_body(r, "\n", 1);
	}
}

/* Plain bytes up to the next CR or LF, at once. */
static size_t run(struct data_reader *r, const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);
	size_t end = lf ? (size_t)(lf - p) : n;
	const char *cr = memchr(p, '\r', end);
	if (cr)
		end = (size_t)(cr - p);
	text(r, p, end);
	return end;
}

size_t data_reader_feed(struct data_reader *r, const char *p, size_t n, bool *out_end)
{
	size_t i = 0;
	*out_end = false;
	while (i < n) {
		char c = p[i];
		switch ((enum state)r->state) {
		case AT_LINE:
			r->state = c == '.' && !r->chunked ? DOT : IN_LINE;
			i += r->state == DOT;
			continue;
		case DOT:
			r->state = c == '\r' ? DOT_CR : IN_LINE;
			i += c == '\r';
			continue;
		case DOT_CR:
			if (c == '\n') {
				finish(r);
				*out_end = true;
				return i + 1;
			}
			r->state = CR; /* the dot is gone, the CR was a bare one */
			continue;
		case CR:
			if (c == '\n') {
				if (r->eol_mode == EOL_UNKNOWN)
					r->eol_mode = EOL_CRLF;
				newline(r);
				r->state = AT_LINE;
				i++;
				continue;
			}
			bare_cr(r);
			r->state = IN_LINE;
			continue;
		case IN_LINE:
			if (c == '\r')
				r->state = CR;
			else if (c == '\n')
				bare_lf(r);
			else {
				i += run(r, p + i, n - i);
				continue;
			}
			i++;
			continue;
		}
	}
	return n;
}

void data_reader_finish(struct data_reader *r)
{
	if (r->state == CR)
		bare_cr(r);
	r->state = AT_LINE;
	if (r->in_header && !r->fault && r->header.len > r->line_start)
		newline(r); /* a field whose end was not sent */
	finish(r);
}
