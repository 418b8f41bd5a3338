/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Facts and recipient parameters from the queue: what is understood is written and understood the
 * same. */
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message *m = message_new(), *n = message_new();
	struct recipient r = {0}, s = {0};
	slice_t bytes = slice_tainted(data, size);
	if (!message_decode_envelope(m, bytes, NULL)) {
		slice_t once = message_encode_envelope(m->arena, m);
		MUST(!message_decode_envelope(n, once, NULL));
		MUST(m->size_bytes == n->size_bytes && m->body_8bit == n->body_8bit);
		MUST(slice_eq(m->session.sender_helo_name, n->session.sender_helo_name));
		MUST(slice_is_absent(m->session.authenticated_id) ==
		     slice_is_absent(n->session.authenticated_id));
	}
	if (!message_decode_recipient(m->arena, bytes, &r, NULL)) {
		slice_t once = message_encode_recipient(m->arena, &r);
		MUST(!message_decode_recipient(m->arena, once, &s, NULL));
		MUST(r.dsn_flags == s.dsn_flags && slice_eq(r.orcpt, s.orcpt) &&
		     slice_eq(r.errors_to, s.errors_to));
	}
	message_unref(&m);
	message_unref(&n);
	return 0;
}
