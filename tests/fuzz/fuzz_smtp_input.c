/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What comes after DATA, or in the chunks of BDAT, cut into pieces as the network pleases.  The
 * first byte chooses the pieces.  Whatever the pieces: the same header, body and end as when it
 * comes at once; and the end is where CR LF . CR LF first is, or where the client said.
 */
#include "message/data_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	slice_t header, body;
	size_t consumed;
	bool end;
	enum data_fault fault;
	uint64_t lines, bytes, longest;
};

static void read_in_pieces(
    struct arena *a, const char *p, size_t n, size_t step, bool chunked, struct outcome *out)
{
	struct body_budget budget = {.limit = 4 << 20};
	struct data_limits limits = {
	    .header_max = 3000, .header_line_max = 1000, .message_max = 100000, .fields_max = 50};
	struct body_builder b;
	struct data_reader r;
	struct message *m = message_new();
	*out = (struct outcome){0};
	body_builder_init(&b, &budget, NULL, NULL, 1 << 20, "id");
	data_reader_init(&r, a, &b, &budget, &limits);
	if (chunked)
		data_reader_set_chunked(&r);
	while (out->consumed < n && !out->end) {
		size_t k = n - out->consumed < step ? n - out->consumed : step;
		out->consumed += data_reader_feed(&r, p + out->consumed, k, &out->end);
	}
	if (chunked) {
		MUST(!out->end && out->consumed == n);
		data_reader_finish(&r);
	}
	out->header = arena_dup(a, strbuf_slice(&r.header));
	out->fault = r.fault;
	out->lines = b.lines;
	out->bytes = r.bytes;
	out->longest = r.max_line_len;
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	if (!b.failed) {
		MUST(!body_builder_finish(&b, m, NULL));
		for (uint32_t i = 0; i < m->body.chunk_count; i++)
			strbuf_add(&sb, m->body.chunks[i]);
		MUST(m->body.bytes == sb.len);
	}
	out->body = strbuf_slice(&sb);
	data_reader_release(&r);
	body_builder_drop(&b);
	message_unref(&m);
	MUST(atomic_load(&budget.used) == 0);
}

/* Where the data ends by the rule of RFC 5321: behind the first CR LF . CR LF, the CR LF of DATA
 * counted. */
static size_t end_by_rule(const char *p, size_t n)
{
	if (n >= 3 && !memcmp(p, ".\r\n", 3))
		return 3;
	for (size_t i = 0; i + 5 <= n; i++)
		if (!memcmp(p + i, "\r\n.\r\n", 5))
			return i + 5;
	return SIZE_MAX;
}

/* Nothing is lost or comes twice: as many bytes as came, line ends and NULs apart. */
static void same_text(slice_t header, slice_t body, const char *p, size_t n)
{
	size_t want = 0, got = 0;
	for (size_t i = 0; i < n; i++)
		want += p[i] != '\r' && p[i] != '\n' && p[i] != ' ' && p[i] != '\0' && p[i] != '?';
	for (uint32_t i = 0; i < header.len; i++)
		got += header.ptr[i] != '\n' && header.ptr[i] != ' ' && header.ptr[i] != '?';
	for (uint32_t i = 0; i < body.len; i++)
		got += body.ptr[i] != '\n' && body.ptr[i] != ' ' && body.ptr[i] != '\0' &&
		       body.ptr[i] != '?';
	MUST(want == got);
}

static void in_chunks(struct arena *a, const char *p, size_t n, size_t step)
{
	struct outcome whole, pieces;
	read_in_pieces(a, p, n, n ? n : 1, true, &whole);
	read_in_pieces(a, p, n, step, true, &pieces);
	MUST(whole.fault == pieces.fault && whole.lines == pieces.lines &&
	     whole.longest == pieces.longest);
	MUST(slice_eq(whole.header, pieces.header) && slice_eq(whole.body, pieces.body));
	if (whole.fault)
		return;
	if (whole.body.len)
		MUST(whole.body.ptr[whole.body.len - 1] == '\n');
	same_text(whole.header, whole.body, p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct arena *a = arena_new(0);
	struct outcome whole, pieces;
	const char *p = (const char *)data + 1;
	size_t n = size - 1;
	in_chunks(a, p, n, data[0] % 7u + 1u);
	read_in_pieces(a, p, n, n ? n : 1, false, &whole);
	read_in_pieces(a, p, n, data[0] % 7u + 1u, false, &pieces);
	MUST(whole.end == pieces.end && whole.consumed == pieces.consumed &&
	     whole.fault == pieces.fault);
	MUST(whole.lines == pieces.lines && whole.longest == pieces.longest);
	MUST(slice_eq(whole.header, pieces.header) && slice_eq(whole.body, pieces.body));
	size_t end = end_by_rule(p, n);
	MUST(whole.end == (end != SIZE_MAX));
	if (whole.end)
		MUST(whole.consumed == end);
	if (whole.end && !whole.fault && whole.body.len)
		MUST(whole.body.ptr[whole.body.len - 1] == '\n');
	MUST(!whole.header.len || !memchr(whole.header.ptr, '\0', whole.header.len));
	arena_free(&a);
	return 0;
}
