/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/cli_input: a message on a descriptor, line by line, with LF or CR LF at its ends; when
 * reading must have come to an end is a deadline.  The header section is kept, and of the body as
 * much as an error report wants to show.
 */
#ifndef HEDDLE_MAIN_CLI_INPUT_H
#define HEDDLE_MAIN_CLI_INPUT_H
#include "base/strbuf.h"
#include "expand/facts.h"
#include "expand/regex.h"

enum input_end { INPUT_LINE, INPUT_END, INPUT_TIMEOUT };
enum input_fault { INPUT_FINE, INPUT_SECTION_TOO_LONG, INPUT_LINE_TOO_LONG };
struct input {
	int fd;
	int64_t deadline_us;           /* monotonic, or DEADLINE_NEVER */
	bool dot_is_text;              /* a line with a dot is a line as others */
	uint64_t header_max, line_max; /* 0: none */
	/* what was read */
	struct strbuf header; /* fields, LF ends */
	slice_t from_line;    /* "From sender ...", or ABSENT */
	slice_t first_body;   /* a line that was read to find the header's end, or ABSENT */
	bool body_follows;
	enum input_fault fault;
	/* own */
	struct arena *arena;
	char *line; /* malloc'd: the present one without its end */
	size_t cap, len, at, have;
	char buf[16384];
	bool over;
};
void input_init(struct input *in, struct arena *a, int fd);
void input_fini(struct input *in);
/* The header section; from_pattern (or NULL) tells a "From " line.  Faults are noted, and reading
 * stops there. */
enum input_end input_header(struct input *in, const struct regex *from_pattern);
/* The next line of the body; out has no line end and lives until the next call. */
enum input_end input_body(struct input *in, slice_t *out);
#endif
