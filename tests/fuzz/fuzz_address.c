/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses: what is accepted is accepted again as it came out, unchanged, and holds nothing that
 * ends a line. */
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	slice_t out, again, local, domain;
	struct error err = {0};
	slice_t text = slice_tainted(data, size);
	if (size > 4000) {
		arena_free(&a);
		return 0;
	}
	if (!address_parse_path(a, text, true,
	        ADDRESS_LITERAL | ADDRESS_EXCESS_BRACKETS | ADDRESS_TRAILING_DOT, &out, &err)) {
		MUST(out.len <= ADDRESS_MAX && !slice_is_clean(out));
		if (out.len) {
			MUST(!address_parse_path(a, out, false, ADDRESS_LITERAL, &again, &err));
			MUST(slice_eq(out, again));
			(void)address_split(out, &local, &domain);
			MUST(local.len + domain.len <= out.len);
			MUST(!memchr(out.ptr, '\n', out.len) && !memchr(out.ptr, '\r', out.len) &&
			     !memchr(out.ptr, '\0', out.len));
		}
	} else {
		MUST(err.text[0] != '\0');
	}
	size_t pos = 0;
	for (size_t i = 0; i <= size; i++)
		if (address_list_next(a, text, 0, &pos, &out, &err) == RC_OK &&
		    slice_is_absent(out))
			break;
	arena_free(&a);
	return 0;
}
