/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whatever stands in a hints file: the first byte says how long the key is, then key and record. */
#include "hints/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buf[HINT_BYTES_MAX];
	struct hint got, again;

	if (size == 0 || size > 4096 || data[0] >= size)
		return 0;
	slice_t key = slice_tainted(data + 1, data[0]);
	const uint8_t *p = data + 1 + data[0];
	size_t n = size - 1 - data[0];
	if (hint_decode(key, p, n, &got)) {
		size_t len = hint_encode(key, got.value, got.time_us, buf);
		MUST(len == n && memcmp(buf, p, n) == 0);
	}
	/* as a value that is written and read back */
	if (n <= HINTS_VALUE_MAX) {
		size_t len = hint_encode(key, slice_tainted(p, n), 1, buf);
		MUST(len && hint_decode(key, buf, len, &again) && again.value.len == n);
	}
	return 0;
}
