/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * message/data_reader: what a client sends after DATA, to header text and body with LF line ends.
 *
 * Only CR LF . CR LF ends it, counting the CR LF of the DATA command itself; nothing else does,
 * whatever mixture of bare CR, bare LF and NUL a peer makes up, and nothing after a bare one is
 * taken for a line start: no dot is removed there. Bare ones become, as in Exim: a newline for CR
 * and, when the first header line ended in CR LF, a space for LF in the body; in the header a
 * newline and a space, so that they cannot begin a field.  When the first line ended in a bare LF,
 * LF is a line end of the content everywhere. The header ends at an empty line or before the first
 * line that is neither a field nor a continuation. Pure: no input, no clock; what it makes goes to
 * the header buffer and the body builder.
 * Chunked (BDAT): the client counts, so no dot means anything and data_reader_finish is the end.
 * Fields must end in CR LF there; in the body a bare LF or CR is a newline, as in Exim.
 * Source: RFC 5321 4.5.2, RFC 3030.
 */
#ifndef HEDDLE_MESSAGE_DATA_READER_H
#define HEDDLE_MESSAGE_DATA_READER_H
#include "message/body.h"

enum data_fault {
	DATA_FINE,
	DATA_HEADER_TOO_LONG, /* the section: header_maxsize or too many fields */
	DATA_LINE_TOO_LONG,   /* header_line_maxsize */
	DATA_TOO_BIG,         /* message_size_limit */
	DATA_NO_ROOM,         /* the budget, for the header */
	DATA_BARE_LF,         /* in the header of a chunked message */
};
struct data_limits {
	uint64_t header_max, header_line_max; /* 0: none */
	uint64_t message_max;                 /* 0: none */
	uint32_t fields_max;
};
struct data_reader {
	struct strbuf header; /* fields, each with its newline */
	struct body_builder *body;
	struct body_budget *budget;
	struct data_limits limits;
	size_t charged;     /* of the header, to the budget */
	size_t line_start;  /* in header: where the line being read began */
	size_t field_start; /* and the field it belongs to */
	uint32_t fields;
	uint8_t state, eol_mode;
	bool in_header, keep_header_nul, chunked;
	enum data_fault fault;
	uint64_t bytes; /* content so far, header and body */
	uint64_t line_len, max_line_len;
	bool body_8bit;
	bool mid_line; /* the last body line has no newline yet */
	/* ignore_fromline_hosts: lines before the first field for which it is true are no part of
	 * the message; NULL: none are */
	bool (*is_from_line)(void *ctx, slice_t line);
	void *from_ctx;
};
void data_reader_init(struct data_reader *r, struct arena *a, struct body_builder *body,
    struct body_budget *budget, const struct data_limits *limits);
/* Takes bytes from p; returns how many.  *out_end: the end was among them (what follows is the next
 * command). */
size_t data_reader_feed(struct data_reader *r, const char *p, size_t n, bool *out_end);
/* Before the first byte: the client counts. */
static inline void data_reader_set_chunked(struct data_reader *r)
{
	r->chunked = true;
}
/* The end of a chunked message: what was counted is all there is. */
void data_reader_finish(struct data_reader *r);
/* Give the budget back what the header took; the text stays.  Twice is fine. */
void data_reader_release(struct data_reader *r);
#endif
