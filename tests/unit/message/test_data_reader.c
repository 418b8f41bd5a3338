/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The end of DATA, line ends, and the border between header and body; whole and one byte at a time.
 */
#include "lib/tap.h"
#include "message/data_reader.h"

#include <stdio.h>
#include <stdlib.h>

struct result {
	char header[4096], body[4096];
	size_t header_len, body_len, consumed;
	bool ended;
	enum data_fault fault;
	uint64_t lines, zeros, longest, bytes;
};

static void read_all(
    const char *in, size_t n, size_t step, const struct data_limits *limits, struct result *out)
{
	struct body_budget budget = {.limit = 1 << 20};
	struct arena *a = arena_new(0);
	struct body_builder b;
	struct data_reader r;
	struct message *m = message_new();
	memset(out, 0, sizeof *out);
	body_builder_init(&b, &budget, NULL, NULL, 1 << 18, "x");
	data_reader_init(&r, a, &b, &budget, limits);
	while (out->consumed < n && !out->ended) {
		size_t k = n - out->consumed < step ? n - out->consumed : step;
		/* a copy of its own, so that reading past it is seen */
		char *copy = malloc(k);
		memcpy(copy, in + out->consumed, k);
		out->consumed += data_reader_feed(&r, copy, k, &out->ended);
		free(copy);
	}
	slice_t h = strbuf_slice(&r.header);
	out->fault = r.fault;
	out->header_len = h.len < sizeof out->header ? h.len : sizeof out->header;
	memcpy(out->header, h.len ? h.ptr : "", out->header_len);
	out->longest = r.max_line_len;
	out->bytes = r.bytes;
	out->lines = b.lines;
	out->zeros = b.zeros;
	data_reader_release(&r);
	if (!b.failed && CHECK_EQ_INT(body_builder_finish(&b, m, NULL), RC_OK))
		for (uint32_t i = 0; i < m->body.chunk_count; i++)
			for (uint32_t j = 0;
			     j < m->body.chunks[i].len && out->body_len < sizeof out->body; j++)
				out->body[out->body_len++] = m->body.chunks[i].ptr[j];
	body_builder_drop(&b);
	message_unref(&m);
	arena_free(&a);
	CHECK_EQ_INT(atomic_load(&budget.used), 0);
}

#define T(s) s, sizeof(s) - 1
struct data_case {
	const char *in;
	size_t n;
	const char *header;
	size_t header_len;
	const char *body;
	size_t body_len;
	size_t rest; /* bytes behind the end; SIZE_MAX: it has not ended */
};
static const struct data_case cases[] = {
    /* plain */
    {T("A: b\r\n\r\nc\r\n.\r\n"), T("A: b\n"), T("c\n"), 0},
    {T("A: b\r\n\r\nc\r\n.\r\nQUIT\r\n"), T("A: b\n"), T("c\n"), 6},
    {T(".\r\n"), T(""), T(""), 0},
    {T("\r\n.\r\n"), T(""), T(""), 0},
    {T("A: b\r\n.\r\n"), T("A: b\n"), T(""), 0},
    {T("A: b\r\n\tc\r\n\r\n.\r\n"), T("A: b\n\tc\n"), T(""), 0},
    /* dots */
    {T("\r\n..\r\n..x\r\n.y\r\nz.\r\n.\r\n"), T(""), T(".\n.x\ny\nz.\n"), 0},
    {T(".A: b\r\n\r\n.\r\n"), T("A: b\n"), T(""), 0},
    /* where the header ends */
    {T("nohdr line\r\n.\r\n"), T(""), T("nohdr line\n"), 0},
    {T("A: b\r\nnohdr\r\nmore\r\n.\r\n"), T("A: b\n"), T("nohdr\nmore\n"), 0},
    {T("A : b\r\n\r\n.\r\n"), T("A : b\n"), T(""), 0},
    {T(" A: b\r\n\r\n.\r\n"), T(""), T(" A: b\n\n"), 0},
    {T("From x@y Mon\r\nA: b\r\n\r\n.\r\n"), T(""), T("From x@y Mon\nA: b\n\n"), 0},
    /* NUL */
    {T("X: a\0b\r\n\r\nc\0d\r\n.\r\n"), T("X: a?b\n"), T("c\0d\n"), 0},
    {T("A: b\r\n\r\n\0.\r\n.\r\n"), T("A: b\n"), T("\0.\n"), 0},
    {T("A: b\r\n\r\n.\0\r\n.\r\n"), T("A: b\n"), T("\0\n"), 0},
    {T("A: b\r\n\r\nc\r\n\0.\r\n.\r\n"), T("A: b\n"), T("c\n\0.\n"), 0},
    /* bare LF and CR never end it, nor begin a line whose dot is taken away */
    {T("A: b\r\n\r\nc\n.\n"), T("A: b\n"), T(""), SIZE_MAX},
    {T("A: b\r\n\r\nc\n.\nMAIL FROM:<x>\r\n.\r\n"), T("A: b\n"), T("c . MAIL FROM:<x>\n"), 0},
    {T("A: b\r\n\r\nc\n.\r\nd\r\n.\r\n"), T("A: b\n"), T("c .\nd\n"), 0},
    {T("A: b\r\n\r\nc\r\n.\nd\r\n.\r\n"), T("A: b\n"), T("c\n d\n"), 0},
    {T("A: b\r\n\r\nc\r.\rd\r\n.\r\n"), T("A: b\n"), T("c\n.\nd\n"), 0},
    {T("A: b\r\n\r\nc\r.\r\nd\r\n.\r\n"), T("A: b\n"), T("c\n.\nd\n"), 0},
    {T("A: b\r\n\r\nc\r\n.\rd\r\n.\r\n"), T("A: b\n"), T("c\n\nd\n"), 0},
    {T("A: b\r\n\r\nc\r\n.\r\r\nd\r\n.\r\n"), T("A: b\n"), T("c\n\n\nd\n"), 0},
    {T("A: b\r\n\r\nc\n\r.\r\n\r\n.\r\n"), T("A: b\n"), T("c \n.\n\n"), 0},
    {T("A: b\r\n\r\nc\r\r\n.\r\n"), T("A: b\n"), T("c\n\n"), 0},
    /* the first line ended in LF: it is a line end of the content, still not of the protocol */
    {T("A: b\nC: d\n\nxx\n.\r\n.\r\n"), T("A: b\nC: d\n"), T("xx\n.\n"), 0},
    {T("A: b\nC: d\n\nxx\n.\nMAIL FROM:<x>\n.\n"), T("A: b\nC: d\n"), T(""), SIZE_MAX},
    /* the header: what is bare cannot begin a field */
    {T("A: b\r\nC: d\nE: f\r\n\r\n.\r\n"), T("A: b\nC: d\n E: f\n"), T(""), 0},
    {T("A: b\rE: f\r\n\r\n.\r\n"), T("A: b\n E: f\n"), T(""), 0},
    {T("A: b\n\r\n.\r\n"), T("A: b\n"), T(""), 0},
};

static void check_case(const struct data_case *c, size_t step)
{
	struct result r;
	read_all(c->in, c->n, step, &(struct data_limits){0}, &r);
	bool ok = CHECK_EQ_INT(r.ended, c->rest != SIZE_MAX);
	if (c->rest != SIZE_MAX) {
		ok = CHECK_EQ_INT(c->n - r.consumed, c->rest) && ok;
		ok = CHECK_EQ_INT(r.header_len, c->header_len) && ok;
		ok = CHECK(!memcmp(r.header, c->header, c->header_len)) && ok;
		ok = CHECK_EQ_INT(r.body_len, c->body_len) && ok;
		ok = CHECK(!memcmp(r.body, c->body, c->body_len)) && ok;
		uint64_t lines = 0, zeros = 0;
		for (size_t i = 0; i < c->body_len; i++) {
			lines += c->body[i] == '\n';
			zeros += !c->body[i];
		}
		ok = CHECK_EQ_INT(r.lines, lines) && CHECK_EQ_INT(r.zeros, zeros) && ok;
	}
	if (!ok)
		printf("# case %td, %zu bytes at a time: header \"%.*s\" body \"%.*s\"\n",
		    c - cases, step, (int)r.header_len, r.header, (int)r.body_len, r.body);
}

TEST(at_once)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		check_case(&cases[i], 4096);
}

TEST(byte_by_byte)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		check_case(&cases[i], 1);
}

TEST(in_threes)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		check_case(&cases[i], 3);
}

/* Everything of up to six of these that is not CR LF . CR LF: none of it ends the data. */
TEST(no_mixture_ends_it)
{
	static const char letters[] = {'\r', '\n', '.', '\0', 'x'};
	size_t wrong = 0, seen = 0;
	for (unsigned len = 1; len <= 6; len++) {
		unsigned total = 1;
		for (unsigned i = 0; i < len; i++)
			total *= 5;
		for (unsigned k = 0; k < total; k++) {
			char in[16] = "A: b\r\n\r\nq";
			unsigned v = k;
			for (unsigned i = 0; i < len; i++, v /= 5)
				in[9 + i] = letters[v % 5];
			bool should = false;
			for (unsigned i = 0; i + 5 <= len; i++)
				should = should || !memcmp(in + 9 + i, "\r\n.\r\n", 5);
			struct body_budget budget = {.limit = 1 << 20};
			struct arena *a = arena_new(0);
			struct body_builder b;
			struct data_reader r;
			bool end;
			body_builder_init(&b, &budget, NULL, NULL, 1 << 18, "x");
			data_reader_init(&r, a, &b, &budget, &(struct data_limits){0});
			(void)data_reader_feed(&r, in, 9 + len, &end);
			wrong += end != should;
			seen++;
			data_reader_release(&r);
			body_builder_drop(&b);
			arena_free(&a);
		}
	}
	CHECK_EQ_INT(wrong, 0);
	CHECK(seen > 19000);
}

TEST(limits)
{
	struct result r;
	static char big[70000];
	memset(big, 'x', sizeof big);
	memcpy(big, "A: ", 3);
	memcpy(big + sizeof big - 9, "\r\n\r\n.\r\n", 7);
	read_all(big, sizeof big - 2, 1000, &(struct data_limits){.header_max = 20000}, &r);
	CHECK(r.ended);
	CHECK_EQ_INT(r.fault, DATA_HEADER_TOO_LONG);
	read_all(big, sizeof big - 2, 1000, &(struct data_limits){.header_line_max = 5000}, &r);
	CHECK(r.ended);
	CHECK_EQ_INT(r.fault, DATA_LINE_TOO_LONG);
	read_all(big, sizeof big - 2, 1000, &(struct data_limits){.message_max = 60000}, &r);
	CHECK_EQ_INT(r.fault, DATA_TOO_BIG);
	CHECK(r.bytes > 69900);
	read_all(big, sizeof big - 2, 1000,
	    &(struct data_limits){.message_max = 70000, .header_max = 1 << 20}, &r);
	CHECK_EQ_INT(r.fault, DATA_FINE);
	CHECK_EQ_INT(r.longest, sizeof big - 9);
	read_all(
	    T("A: b\r\nC: d\r\nE: f\r\n\r\n.\r\n"), 5, &(struct data_limits){.fields_max = 2}, &r);
	CHECK_EQ_INT(r.fault, DATA_HEADER_TOO_LONG);
	CHECK(r.ended);
}

/* The size is that of the message as it is kept: LF line ends, the separator counted, no dots that
 * were stuffed. */
TEST(size_limit_to_the_byte)
{
	struct result r;
	static const char mail[] = "A: b\r\n\r\n..234\r\n.\r\n";
	for (size_t step = 1; step < 40; step += 38) {
		read_all(mail, sizeof mail - 1, step, &(struct data_limits){.message_max = 11}, &r);
		CHECK_EQ_INT(r.bytes, 11);
		CHECK_EQ_INT(r.fault, DATA_FINE);
		read_all(mail, sizeof mail - 1, step, &(struct data_limits){.message_max = 10}, &r);
		CHECK_EQ_INT(r.fault, DATA_TOO_BIG);
	}
}

TEST(header_budget)
{
	struct body_budget budget = {.limit = 10000};
	struct arena *a = arena_new(0);
	struct body_builder b;
	struct data_reader r;
	bool end;
	char line[1002];
	memset(line, 'x', sizeof line);
	memcpy(line, "A:", 2);
	memcpy(line + 1000, "\r\n", 2);
	body_builder_init(&b, &budget, NULL, NULL, 1 << 18, "x");
	data_reader_init(&r, a, &b, &budget, &(struct data_limits){0});
	for (int i = 0; i < 20; i++)
		(void)data_reader_feed(&r, line, sizeof line, &end);
	CHECK_EQ_INT(r.fault, DATA_NO_ROOM);
	CHECK_EQ_INT(atomic_load(&budget.used), 0);
	(void)data_reader_feed(&r, ".\r\n", 3, &end);
	CHECK(end);
	body_builder_drop(&b);
	arena_free(&a);
}

struct chunk_case {
	const char *in;
	size_t n;
	const char *header, *body;
	enum data_fault fault;
};
static const struct chunk_case chunk_cases[] = {
    {T("A: b\r\n\r\nx\r\n"), "A: b\n", "x\n", DATA_FINE},
    {T("A: b\r\n\r\n.\r\n..\r\n.x\r\n"), "A: b\n", ".\n..\n.x\n", DATA_FINE},
    {T("A: b\r\n\r\nx\r\n.\r\nMAIL FROM:<>\r\n"), "A: b\n", "x\n.\nMAIL FROM:<>\n", DATA_FINE},
    {T("A: b\r\n\r\nx"), "A: b\n", "x\n", DATA_FINE},
    {T("A: b\r\n\r\nx\r"), "A: b\n", "x\n", DATA_FINE},
    {T("A: b\r\n\r\na\nb\rc\n"), "A: b\n", "a\nb\nc\n", DATA_FINE},
    {T("A: b"), "A: b\n", "", DATA_FINE},
    {T("A: b\r"), "A: b\n \n", "", DATA_FINE},
    {T("no field"), "", "no field\n", DATA_FINE},
    {T(".\r\n"), "", ".\n", DATA_FINE},
    {T(""), "", "", DATA_FINE},
    {T("A: b\nC: d\r\n\r\n"), "", "", DATA_BARE_LF},
    {T("A: b\r\n\nx\r\n"), "", "", DATA_BARE_LF},
};

/* The client counts: nothing in the text ends it. */
TEST(chunked)
{
	for (size_t i = 0; i < sizeof chunk_cases / sizeof chunk_cases[0]; i++)
		for (size_t step = 1; step < 50; step += 24) {
			const struct chunk_case *c = &chunk_cases[i];
			struct body_budget budget = {.limit = 1 << 20};
			struct arena *a = arena_new(0);
			struct body_builder b;
			struct data_reader r;
			struct message *m = message_new();
			struct strbuf sb;
			bool end = false;
			body_builder_init(&b, &budget, NULL, NULL, 1 << 18, "x");
			data_reader_init(&r, a, &b, &budget, &(struct data_limits){0});
			data_reader_set_chunked(&r);
			for (size_t at = 0; at < c->n; at += step)
				CHECK_EQ_INT(data_reader_feed(&r, c->in + at,
				                 at + step < c->n ? step : c->n - at, &end),
				    at + step < c->n ? step : c->n - at);
			data_reader_finish(&r);
			CHECK(!end);
			CHECK_EQ_INT(r.fault, c->fault);
			strbuf_init(&sb, a, 0);
			if (!r.fault) {
				CHECK_EQ_STR(strbuf_slice(&r.header), c->header);
				CHECK_EQ_INT(body_builder_finish(&b, m, NULL), RC_OK);
				for (uint32_t k = 0; k < m->body.chunk_count; k++)
					strbuf_add(&sb, m->body.chunks[k]);
				CHECK_EQ_STR(strbuf_slice(&sb), c->body);
			}
			data_reader_release(&r);
			body_builder_drop(&b);
			message_unref(&m);
			arena_free(&a);
			CHECK_EQ_INT(atomic_load(&budget.used), 0);
		}
}

TAP_MAIN()
