/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "message/fixups.h"
#include "message/message.h"

TEST(parse_and_find)
{
	struct arena *a = arena_new(0);
	struct header_list l = {0};
	header_parse(a,
	    SL("From: a@b\nSubject:  hi\n there \nReceived: x\nX-Y : z\nReceived: y\nFrom:\n"), &l);
	CHECK_EQ_INT(l.count, 6);
	CHECK_EQ_INT(l.first->type, 'F');
	CHECK_EQ_STR(header_value(header_find(&l, SL("SUBJECT"), NULL)), "hi\n there");
	CHECK_EQ_STR(header_value(header_find(&l, SL("x-y"), NULL)), "z");
	struct header *h = header_find(&l, SL("received"), NULL);
	CHECK_EQ_STR(header_value(h), "x");
	h = header_find(&l, SL("received"), h);
	CHECK_EQ_STR(header_value(h), "y");
	CHECK(!header_find(&l, SL("received"), h));
	CHECK_EQ_STR(header_value(l.last), "");
	CHECK_EQ_INT(message_received_count(&l), 2);
	arena_free(&a);
}

TEST(change)
{
	struct arena *a = arena_new(0);
	struct header_list l = {0};
	slice_t *pieces;
	header_parse(a, SL("A: 1\nB: 2\nC: 3\n"), &l);
	CHECK_EQ_INT(header_section_size(&l), 15);
	CHECK_EQ_INT(header_pieces(a, &l, &pieces), 1);
	CHECK_EQ_INT(pieces[0].len, 15);
	header_delete(&l, header_find(&l, SL("b"), NULL));
	CHECK(!header_find(&l, SL("b"), NULL));
	CHECK_EQ_INT(header_section_size(&l), 10);
	(void)header_prepend(a, &l, SL("Z: 0\n"));
	(void)header_append(a, &l, SL("D: 4\n"));
	(void)header_insert_after(a, &l, l.first, SL("Y: 0\n"));
	uint32_t n = header_pieces(a, &l, &pieces);
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	for (uint32_t i = 0; i < n; i++)
		strbuf_add(&sb, pieces[i]);
	CHECK_EQ_STR(strbuf_slice(&sb), "Z: 0\nY: 0\nA: 1\nC: 3\nD: 4\n");
	CHECK_EQ_INT(header_section_size(&l), strbuf_slice(&sb).len);
	arena_free(&a);
}

TEST(message_ids)
{
	struct arena *a = arena_new(0);
	struct header_list l = {0};
	header_parse(a, SL("Message-ID: <a@b>\n"), &l);
	CHECK_EQ_STR(message_header_id(&l), "a@b");
	header_parse(a, SL("Resent-Message-ID: <c@d> x\n"), &l);
	CHECK_EQ_STR(message_header_id(&l), "c@d");
	arena_free(&a);
}

TEST(names)
{
	CHECK_EQ_INT(header_name_length(SL("A: b")), 1);
	CHECK_EQ_INT(header_name_length(SL("Ab-c \t: b")), 4);
	CHECK_EQ_INT(header_name_length(SL("A b: c")), 0);
	CHECK_EQ_INT(header_name_length(SL(": c")), 0);
	CHECK_EQ_INT(header_name_length(SL(" A: c")), 0);
	CHECK_EQ_INT(header_name_length(SL("abc")), 0);
	CHECK_EQ_INT(header_name_length(SL("")), 0);
}

TAP_MAIN()
