/* SPDX-License-Identifier: GPL-3.0-or-later */
/* base/codec: base 62 (Exim's digits 0-9A-Za-z), base 64, hex, CRC32C. */
#ifndef HEDDLE_BASE_CODEC_H
#define HEDDLE_BASE_CODEC_H
#include "base/arena.h"

/* Exactly `digits` characters, no NUL written; the low digits of v. */
void base62_put(char *out, unsigned digits, uint64_t v);
MUST_USE bool base62_get(slice_t s, uint64_t *out);
slice_t base64_encode(struct arena *a, slice_t in);
/* Strict: padding and alphabet are checked; white space is not allowed. */
MUST_USE bool base64_decode(struct arena *a, slice_t in, slice_t *out);
slice_t hex_encode(struct arena *a, slice_t in);
/* Castagnoli; crc32c(0, "123456789") == 0xe3069283; may be continued.  SSE4.2 where the processor
 * has it. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same on any processor, slower; apart so that it can be tested where the other one runs. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);
/* Little-endian fields of on-disk and wire records. */
static inline void put_le16(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}
static inline void put_le32(void *p, uint32_t v)
{
	uint8_t *b = p;
	for (int i = 0; i < 4; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}
static inline void put_le64(void *p, uint64_t v)
{
	uint8_t *b = p;
	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}
static inline uint16_t get_le16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] | b[1] << 8);
}
static inline uint32_t get_le32(const void *p)
{
	const uint8_t *b = p;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t get_le64(const void *p)
{
	const uint8_t *b = p;
	return (uint64_t)get_le32(b) | (uint64_t)get_le32(b + 4) << 32;
}
#endif
