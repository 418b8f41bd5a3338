/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Header sections: parsing loses nothing; the pieces are the text again; what looks things up stays
 * inside. */
#include "message/fixups.h"
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct header_list l = {0};
	slice_t text = slice_tainted(data, size), *pieces;
	header_parse(a, text, &l);
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	uint32_t n = header_pieces(a, &l, &pieces);
	for (uint32_t i = 0; i < n; i++)
		strbuf_add(&sb, pieces[i]);
	MUST(slice_eq(strbuf_slice(&sb), text) && header_section_size(&l) == size);
	(void)message_header_id(&l);
	(void)message_received_count(&l);
	for (struct header *h = l.first; h; h = h->next) {
		slice_t value = header_value(h), address;
		size_t pos = 0;
		for (int i = 0; i < 100; i++)
			if (address_list_next(a, value, 0, &pos, &address, NULL) == RC_OK &&
			    slice_is_absent(address))
				break;
		MUST(pos <= value.len);
	}
	while (l.first && l.count)
		for (struct header *h = l.first; h; h = h->next)
			header_delete(&l, h);
	MUST(header_section_size(&l) == 0);
	arena_free(&a);
	return 0;
}
