/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whatever stands in a segment or a sidecar: no decoder may read outside of it or believe what is
 * not so. */
#include "queue/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply_changes(struct arena *a, const uint8_t *p, size_t n, struct queue_message *m)
{
	(void)!record_progress_apply(a, p, n, m, NULL);
	(void)!record_edit_apply(a, p, n, m, NULL);
	for (size_t i = 0; i < m->n_recipients; i++)
		MUST(m->recipients[i].state < QUEUE_RCPT_STATES);
}

static void whole_message(struct arena *a, const uint8_t *p, size_t n)
{
	struct queue_message m, again;
	struct record_message_sizes sizes, sizes_again;
	slice_t raw;

	if (record_message_decode(a, p, n, &m, &sizes, NULL) != RC_OK)
		return;
	m.facts.len = sizes.facts_len;
	/* what was understood is written and understood the same */
	if (record_message_encode(a, &m, &raw, NULL) == RC_OK) {
		MUST(record_message_decode(a, raw.ptr, raw.len, &again, &sizes_again, NULL) ==
		     RC_OK);
		MUST(again.n_recipients == m.n_recipients && slice_eq(again.sender, m.sender));
		MUST(sizes_again.headers_len == sizes.headers_len);
	}
	apply_changes(a, p + sizes.envelope_len, n - sizes.envelope_len, &m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct queue_recipient two[2] = {{.flags = 0}, {.flags = 1}};
	struct queue_message m = {.recipients = two, .n_recipients = 2};
	struct segment_header seg;
	struct sidecar_header side;
	struct sidecar_entry e;
	struct record_header h;
	struct queue_id id;
	slice_t rest = slice_tainted(data, size > 1u << 20 ? 1u << 20 : size);

	if (size > 1u << 20)
		size = 1u << 20;
	(void)!segment_header_decode(data, size, &seg);
	(void)!record_header_decode(data, size, 1, 1, &h);
	(void)!sidecar_header_decode(data, size, &side);
	while (sidecar_entry_decode(&rest, 1, 1, &e))
		MUST(e.envelope.len <= size);
	(void)!queue_id_parse(slice_tainted(data, size), &id);
	whole_message(a, data, size);
	apply_changes(a, data, size, &m);
	arena_free(&a);
	return 0;
}
