/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What goes to disk comes back the same; no change of a byte and no cut goes unnoticed or does
 * harm. */
#include "lib/tap.h"
#include "queue/record.h"

TEST(ids_have_the_classic_form)
{
	struct queue_id id = {UINT64_C(238328) * 7 + 5, 1764020000}, back = {0, 0};
	char text[QUEUE_ID_LEN + 1], later[QUEUE_ID_LEN + 1];

	queue_id_text(id, text);
	CHECK_EQ_INT(strlen(text), QUEUE_ID_LEN);
	CHECK_EQ_STR(slice_sub(slice_cstr(text), 6, QUEUE_ID_LEN), "-000070-05");
	CHECK(queue_id_parse(slice_cstr(text), &back));
	CHECK(back.serial == id.serial && back.seconds == id.seconds);
	id.seconds++;
	queue_id_text(id, later);
	CHECK(strcmp(text, later) < 0);
}

TEST(ids_that_are_none)
{
	static const char *const bad[] = {"", "1vNaBc-00012-3aB1", "1vNaBc-000123_aB",
	    "1vNaBc_000123-aB", "1vNaB!-000123-aB", "1vNaBc-000123-aBc", "1vNaBc-00012?-aB",
	    "1vNaBc-000123-a."};
	struct queue_id id;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK(!queue_id_parse(slice_cstr(bad[i]), &id));
}

TEST(segment_header)
{
	uint8_t raw[SEGMENT_HEADER_BYTES];
	struct segment_header h = {.mark = 0x1122334455667788,
	                          .created_us = 9,
	                          .number = 42,
	                          .generation = 3,
	                          .void_segment = 41,
	                          .void_offset = 4096},
	                      back = {0};

	segment_header_encode(&h, raw);
	CHECK(segment_header_decode(raw, sizeof raw, &back));
	CHECK(back.mark == h.mark && back.number == 42 && back.generation == 3);
	CHECK(back.void_segment == 41 && back.void_offset == 4096 && back.created_us == 9);
	/* either copy is enough, none is too little */
	raw[20] ^= 1;
	CHECK(segment_header_decode(raw, sizeof raw, &back));
	raw[SEGMENT_HEADER_COPY + 20] ^= 1;
	CHECK(!segment_header_decode(raw, sizeof raw, &back));
	segment_header_encode(&h, raw);
	CHECK(!segment_header_decode(raw, 40, &back));
}

TEST(record_header_notices_each_bit)
{
	uint8_t raw[RECORD_HEADER_BYTES];
	struct record_header h = {.mark = 77,
	                         .sequence = 5,
	                         .id = {1, 2},
	                         .segment = 9,
	                         .meta_len = 10,
	                         .body_len = 11,
	                         .meta_crc = 12,
	                         .body_crc = 13,
	                         .synced = 14,
	                         .type = RECORD_EDIT,
	                         .flags = 1},
	                     b;

	record_header_encode(&h, raw);
	CHECK(record_header_decode(raw, sizeof raw, 77, 9, &b));
	CHECK(b.sequence == 5 && b.id.serial == 1 && b.id.seconds == 2 && b.meta_len == 10);
	CHECK(b.body_len == 11 && b.meta_crc == 12 && b.body_crc == 13 && b.synced == 14);
	CHECK(b.type == RECORD_EDIT && b.flags == 1);
	CHECK(!record_header_decode(raw, sizeof raw, 78, 9, &b));
	CHECK(!record_header_decode(raw, sizeof raw, 77, 8, &b));
	CHECK(!record_header_decode(raw, sizeof raw - 1, 77, 9, &b));
	for (size_t bit = 0; bit < 8 * sizeof raw; bit++) {
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK(!record_header_decode(raw, sizeof raw, 77, 9, &b));
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static struct queue_message sample(struct arena *a)
{
	struct queue_message m = {.flags = QUEUE_MSG_FROZEN,
	    .received_us = 1,
	    .next_attempt_us = 2,
	    .frozen_us = 3,
	    .sender = SL("s@x"),
	    .n_recipients = 2,
	    .facts = SL("facts"),
	    .n_notes = 1,
	    .headers_size = 30,
	    .body_size = 9,
	    .body_crc = 8};

	m.recipients = ARENA_ARRAY(a, struct queue_recipient, 2);
	m.recipients[0] =
	    (struct queue_recipient){.address = SL("a@b"), .params = SL("p"), .flags = 5};
	m.recipients[1] = (struct queue_recipient){.address = SL("c@d"),
	    .state = QUEUE_RCPT_DELIVERED,
	    .next_attempt_us = 77,
	    .retry = SL("retry")};
	m.notes = ARENA_NEW(a, slice_t);
	m.notes[0] = SL("note");
	return m;
}

TEST(envelope)
{
	struct arena *a = arena_new(0);
	struct queue_message m = sample(a), b;
	struct record_message_sizes sizes;
	slice_t raw;

	CHECK_EQ_INT(record_message_encode(a, &m, &raw, NULL), RC_OK);
	CHECK_EQ_INT(record_message_decode(a, raw.ptr, raw.len, &b, &sizes, NULL), RC_OK);
	CHECK_EQ_STR(b.sender, "s@x");
	CHECK(!slice_is_clean(b.sender));
	CHECK_EQ_INT(b.n_recipients, 2);
	CHECK_EQ_STR(b.recipients[0].params, "p");
	CHECK_EQ_INT(b.recipients[0].flags, 5);
	CHECK_EQ_STR(b.recipients[1].retry, "retry");
	CHECK_EQ_INT(b.recipients[1].state, QUEUE_RCPT_DELIVERED);
	CHECK_EQ_INT(b.recipients[1].next_attempt_us, 77);
	CHECK_EQ_STR(b.notes[0], "note");
	CHECK(b.flags == QUEUE_MSG_FROZEN && b.frozen_us == 3 && b.next_attempt_us == 2);
	CHECK(sizes.facts_len == 5 && sizes.headers_len == 30 && sizes.envelope_len == raw.len);
	CHECK(b.body_size == 9 && b.body_crc == 8);
	/* every cut is refused, every changed byte is at least harmless (ASan watches) */
	for (uint32_t n = 0; n < raw.len; n++)
		CHECK(record_message_decode(a, raw.ptr, n, &b, &sizes, NULL) != RC_OK);
	char *copy = arena_bytes(a, raw.len);
	for (uint32_t i = 0; i < raw.len; i++) {
		memcpy(copy, raw.ptr, raw.len);
		copy[i] = (char)0xff;
		(void)!record_message_decode(a, copy, raw.len, &b, &sizes, NULL);
	}
	arena_free(&a);
}

TEST(progress)
{
	struct arena *a = arena_new(0);
	struct queue_message m = sample(a);
	struct queue_outcome o[] = {
	    {0, QUEUE_RCPT_PENDING, 1000, SL("later")}, {1, QUEUE_RCPT_FAILED, 0, SL("")}};
	struct queue_progress p = {{0, 0}, o, 2, 555, SL("child")};
	slice_t raw;

	CHECK_EQ_INT(record_progress_encode(a, &p, &raw, NULL), RC_OK);
	CHECK_EQ_INT(record_progress_apply(a, raw.ptr, raw.len, &m, NULL), RC_OK);
	CHECK_EQ_STR(m.recipients[0].retry, "later");
	CHECK_EQ_INT(m.recipients[0].next_attempt_us, 1000);
	CHECK_EQ_INT(m.recipients[1].state, QUEUE_RCPT_FAILED);
	CHECK_EQ_INT(m.next_attempt_us, 555);
	CHECK_EQ_INT(m.n_notes, 2);
	CHECK_EQ_STR(m.notes[0], "note");
	CHECK_EQ_STR(m.notes[1], "child");
	for (uint32_t n = 0; n < raw.len; n++)
		CHECK(record_progress_apply(a, raw.ptr, n, &m, NULL) == RC_ERROR);
	m.n_recipients = 1; /* an index that is out of range */
	CHECK(record_progress_apply(a, raw.ptr, raw.len, &m, NULL) == RC_ERROR);
	p.n_outcomes = 0;
	p.next_attempt_us = -1;
	p.note = SL("");
	CHECK_EQ_INT(record_progress_encode(a, &p, &raw, NULL), RC_OK);
	CHECK_EQ_INT(record_progress_apply(a, raw.ptr, raw.len, &m, NULL), RC_OK);
	CHECK_EQ_INT(m.next_attempt_us, 555);
	CHECK_EQ_INT(m.n_notes, 2);
	arena_free(&a);
}

static void edit(struct arena *a, struct queue_message *m, struct queue_edit e)
{
	slice_t raw;

	CHECK_EQ_INT(record_edit_encode(a, &e, &raw, NULL), RC_OK);
	for (uint32_t n = 0; n < raw.len; n++)
		CHECK(record_edit_apply(a, raw.ptr, n, m, NULL) == RC_ERROR);
	CHECK_EQ_INT(record_edit_apply(a, raw.ptr, raw.len, m, NULL), RC_OK);
}

TEST(edits)
{
	struct arena *a = arena_new(0);
	struct queue_message m = sample(a);

	edit(a, &m, (struct queue_edit){.kind = QUEUE_EDIT_THAW});
	CHECK(!(m.flags & QUEUE_MSG_FROZEN) && m.frozen_us == 0);
	edit(a, &m, (struct queue_edit){.kind = QUEUE_EDIT_FREEZE, .when_us = 12});
	CHECK(m.flags & QUEUE_MSG_FROZEN && m.frozen_us == 12);
	edit(a, &m,
	    (struct queue_edit){.kind = QUEUE_EDIT_ADD_RECIPIENT,
	        .text = SL("n@e"),
	        .params = SL("q"),
	        .flags = 4});
	CHECK_EQ_INT(m.n_recipients, 3);
	CHECK_EQ_STR(m.recipients[2].address, "n@e");
	CHECK_EQ_STR(m.recipients[2].params, "q");
	CHECK_EQ_STR(m.recipients[0].address, "a@b");
	edit(a, &m, (struct queue_edit){.kind = QUEUE_EDIT_REMOVE_RECIPIENT, .recipient = 2});
	CHECK_EQ_INT(m.recipients[2].state, QUEUE_RCPT_REMOVED);
	edit(a, &m, (struct queue_edit){.kind = QUEUE_EDIT_SET_NEXT, .when_us = 88});
	CHECK(m.next_attempt_us == 88 && m.recipients[0].next_attempt_us == 88);
	CHECK_EQ_INT(m.recipients[1].next_attempt_us, 77);
	edit(a, &m, (struct queue_edit){.kind = QUEUE_EDIT_SET_SENDER, .text = SL("new@x")});
	CHECK_EQ_STR(m.sender, "new@x");
	edit(a, &m, (struct queue_edit){.kind = QUEUE_EDIT_CANCEL});
	CHECK(m.flags & QUEUE_MSG_CANCELLED);
	edit(a, &m, (struct queue_edit){.kind = QUEUE_EDIT_MARK_ALL});
	CHECK_EQ_INT(m.recipients[0].state, QUEUE_RCPT_DELIVERED);
	CHECK_EQ_INT(m.recipients[2].state, QUEUE_RCPT_REMOVED);
	struct queue_recipient by[2] = {
	    {.address = SL("c@d"), .params = SL("pp"), .flags = 9}, {.address = SL("e@f")}};
	m.recipients[1].state = QUEUE_RCPT_PENDING;
	edit(a, &m,
	    (struct queue_edit){.kind = QUEUE_EDIT_REPLACE_RECIPIENT,
	        .recipient = 1,
	        .when_us = 5,
	        .by = by,
	        .n_by = 2});
	CHECK_EQ_INT(m.n_recipients, 5);
	CHECK_EQ_INT(m.recipients[1].state, QUEUE_RCPT_DELIVERED);
	CHECK_EQ_STR(m.recipients[3].address, "c@d");
	CHECK_EQ_STR(m.recipients[3].params, "pp");
	CHECK(m.recipients[3].flags == 9 && m.recipients[4].next_attempt_us == 5);
	CHECK_EQ_STR(m.recipients[4].address, "e@f");
	CHECK_EQ_INT(m.recipients[4].state, QUEUE_RCPT_PENDING);
	arena_free(&a);
}

TEST(sidecar)
{
	uint8_t raw[600];
	struct sidecar_header h = {.mark = 5,
	                          .segment = 6,
	                          .flags = SIDECAR_DAMAGED,
	                          .data_end = 7,
	                          .count = 1},
	                      b;
	struct sidecar_entry e = {.h = {.mark = 5, .segment = 6, .type = RECORD_MESSAGE},
	                         .offset = 99,
	                         .envelope = SL("envelope")},
	                     out;

	h.bytes = sidecar_entry_encode(&e, NULL);
	CHECK_EQ_INT(sidecar_entry_encode(&e, raw + SIDECAR_HEADER_BYTES), h.bytes);
	sidecar_header_encode(&h, raw);
	h.crc = sidecar_crc(raw, raw + SIDECAR_HEADER_BYTES, h.bytes);
	sidecar_header_encode(&h, raw);
	size_t n = SIDECAR_HEADER_BYTES + h.bytes;
	CHECK(sidecar_header_decode(raw, n, &b));
	CHECK(b.mark == 5 && b.segment == 6 && b.flags == SIDECAR_DAMAGED && b.data_end == 7);
	for (size_t i = 0; i < n; i++) {
		raw[i] ^= 0x10;
		CHECK(!sidecar_header_decode(raw, n, &b));
		raw[i] ^= 0x10;
		CHECK(!sidecar_header_decode(raw, i, &b));
	}
	slice_t rest = slice_tainted(raw + SIDECAR_HEADER_BYTES, h.bytes);
	CHECK(sidecar_entry_decode(&rest, 5, 6, &out));
	CHECK_EQ_STR(out.envelope, "envelope");
	CHECK_EQ_INT(out.offset, 99);
	CHECK_EQ_INT(rest.len, 0);
	CHECK(!sidecar_entry_decode(&rest, 5, 6, &out));
}

TAP_MAIN()
