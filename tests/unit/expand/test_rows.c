/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rows of tests/data/expand.rows: a text to expand and what must come out of it, as Debian's
 *exim4 says it. test_rows           runs them test_rows --eval    expands the lines of standard
 *input, one result a line (for tests/scenario/expand/differential.py)
 */
#include "base/io.h"
#include "lib/tap.h"
#include "unit/expand/fixture.h"

#include <stdio.h>

/* Newlines and backslashes of a value as two characters, so that it is one line. */
static void print_value(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '\n')
			(void)fputs("\\n", stdout);
		else if (c == '\\')
			(void)fputs("\\\\", stdout);
		else
			(void)putchar(c);
	}
	(void)putchar('\n');
}

static int eval_stdin(void)
{
	char line[65536];
	while (fgets(line, sizeof line, stdin)) {
		struct fixture f;
		line[strcspn(line, "\n")] = '\0';
		fixture_init(&f);
		print_value(fixture_result(&f, line));
		fixture_free(&f);
	}
	return 0;
}

static slice_t unescape(struct arena *a, slice_t s)
{
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '\\' && i + 1 < s.len)
			c = s.ptr[++i] == 'n' ? '\n' : s.ptr[i];
		strbuf_char(&sb, c);
	}
	return strbuf_slice(&sb);
}

/* "text<TAB>=<TAB>result", "#" comments, empty lines */
TEST(rows)
{
	struct arena *a = arena_new(0);
	slice_t all, line, text, op, want;
	struct error err;
	unsigned number = 0, rows = 0;
	enum rc rc = io_read_file(a, "tests/data/expand.rows", 1 << 20, &all, &err);
	if (!CHECK(rc == RC_OK))
		all = slice_absent();
	while (slice_next(&all, '\n', &line)) {
		number++;
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		bool good = slice_next(&line, '\t', &text) && slice_next(&line, '\t', &op);
		want = slice_is_absent(line) ? SL("") : line;
		if (!CHECK(good))
			continue;
		struct fixture f;
		fixture_init(&f);
		slice_t got = fixture_result(&f, arena_cstr(a, text));
		const char *expected = arena_cstr(a, unescape(a, want));
		if (!CHECK_EQ_STR(got, expected))
			(void)printf("# row %u: %.*s\n", number, SL_ARG(text));
		fixture_free(&f);
		rows++;
	}
	CHECK(rows > 300);
	arena_free(&a);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--eval") == 0)
		return eval_stdin();
	return tap_main(argc, argv);
}
