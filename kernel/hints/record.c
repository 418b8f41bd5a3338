/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hints/record.h"

#include "base/codec.h"

static uint32_t checksum(slice_t key, const char *p, size_t n)
{
	uint32_t crc = crc32c(0, key.len ? key.ptr : "", key.len);

	return crc32c(crc, p + 8, n - 8);
}

size_t hint_encode(slice_t key, slice_t value, int64_t time_us, char *out)
{
	size_t n = HINT_HEADER_BYTES + value.len;

	if (value.len > HINTS_VALUE_MAX)
		return 0;
	put_le32(out, HINT_VERSION);
	put_le64(out + 8, (uint64_t)time_us);
	if (value.len)
		memcpy(out + HINT_HEADER_BYTES, value.ptr, value.len);
	put_le32(out + 4, checksum(key, out, n));
	return n;
}

bool hint_decode(slice_t key, const void *p, size_t n, struct hint *out)
{
	const char *b = p;

	if (n < HINT_HEADER_BYTES || n > HINT_BYTES_MAX || get_le32(b) != HINT_VERSION ||
	    get_le32(b + 4) != checksum(key, b, n))
		return false;
	int64_t when = (int64_t)get_le64(b + 8);
	if (when < 0)
		return false;
	*out = (struct hint){
	    .time_us = when, .value = slice_tainted(b + HINT_HEADER_BYTES, n - HINT_HEADER_BYTES)};
	return true;
}
