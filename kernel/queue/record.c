/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/record: headers of segments, records and sidecars.  Payloads: record_payload.c.
 * A header's own CRC is its last field, so that a length is believed only when the whole header is.
 */
#include "queue/record.h"

#include "base/codec.h"

static const char segment_magic[8] = {'H', 'D', 'L', 'Q', 'S', 'E', 'G', '1'};
static const char sidecar_magic[8] = {'H', 'D', 'L', 'Q', 'I', 'D', 'X', '1'};

#define SEGMENT_USED 56u /* bytes of a copy that carry something, with the CRC */

void segment_header_encode(const struct segment_header *h, void *out)
{
	uint8_t *p = out;

	memset(p, 0, SEGMENT_HEADER_BYTES);
	memcpy(p, segment_magic, sizeof segment_magic);
	put_le32(p + 8, RECORD_VERSION);
	put_le32(p + 12, h->number);
	put_le64(p + 16, h->mark);
	put_le64(p + 24, h->created_us);
	put_le32(p + 32, h->generation);
	put_le32(p + 36, h->void_segment);
	put_le32(p + 40, h->void_offset);
	put_le32(p + SEGMENT_USED - 4, crc32c(0, p, SEGMENT_USED - 4));
	memcpy(p + SEGMENT_HEADER_COPY, p, SEGMENT_USED);
}

bool segment_header_decode(const void *p, size_t n, struct segment_header *out)
{
	for (size_t at = 0; at < SEGMENT_HEADER_BYTES; at += SEGMENT_HEADER_COPY) {
		const uint8_t *b = (const uint8_t *)p + at;

		if (n < at + SEGMENT_USED)
			return false;
		if (memcmp(b, segment_magic, sizeof segment_magic) != 0 ||
		    get_le32(b + 8) != RECORD_VERSION ||
		    get_le32(b + SEGMENT_USED - 4) != crc32c(0, b, SEGMENT_USED - 4))
			continue;
		*out = (struct segment_header){.number = get_le32(b + 12),
		    .mark = get_le64(b + 16),
		    .created_us = get_le64(b + 24),
		    .generation = get_le32(b + 32),
		    .void_segment = get_le32(b + 36),
		    .void_offset = get_le32(b + 40)};
		return true;
	}
	return false;
}

void record_header_encode(const struct record_header *h, void *out)
{
	uint8_t *p = out;

	put_le64(p, h->mark);
	put_le64(p + 8, h->sequence);
	put_le64(p + 16, h->id.serial);
	put_le64(p + 24, h->id.seconds);
	put_le32(p + 32, h->segment);
	put_le32(p + 36, h->meta_len);
	put_le32(p + 40, h->body_len);
	put_le32(p + 44, h->meta_crc);
	put_le32(p + 48, h->body_crc);
	put_le32(p + 52, h->synced);
	p[56] = h->type;
	p[57] = h->flags;
	put_le16(p + 58, RECORD_VERSION);
	put_le32(p + 60, crc32c(0, p, RECORD_HEADER_BYTES - 4));
}

bool record_header_decode(
    const void *p, size_t n, uint64_t mark, uint32_t segment, struct record_header *out)
{
	const uint8_t *b = p;

	if (n < RECORD_HEADER_BYTES || get_le64(b) != mark || get_le32(b + 32) != segment)
		return false;
	if (get_le32(b + 60) != crc32c(0, b, RECORD_HEADER_BYTES - 4))
		return false;
	if (get_le16(b + 58) != RECORD_VERSION || b[56] < RECORD_MESSAGE || b[56] >= RECORD_TYPES)
		return false;
	*out = (struct record_header){.mark = mark,
	    .sequence = get_le64(b + 8),
	    .id = {get_le64(b + 16), get_le64(b + 24)},
	    .segment = segment,
	    .meta_len = get_le32(b + 36),
	    .body_len = get_le32(b + 40),
	    .meta_crc = get_le32(b + 44),
	    .body_crc = get_le32(b + 48),
	    .synced = get_le32(b + 52),
	    .type = b[56],
	    .flags = b[57]};
	return true;
}

void sidecar_header_encode(const struct sidecar_header *h, void *out)
{
	uint8_t *p = out;

	memcpy(p, sidecar_magic, sizeof sidecar_magic);
	put_le64(p + 8, h->mark);
	put_le32(p + 16, h->segment);
	put_le32(p + 20, h->flags);
	put_le32(p + 24, (uint32_t)h->data_end);
	put_le32(p + 28, h->count);
	put_le32(p + 32, (uint32_t)h->bytes);
	put_le32(p + 36, h->crc);
}

/* The CRC covers the first 36 bytes of the header and the entries: sidecar_crc makes it. */
bool sidecar_header_decode(const void *p, size_t n, struct sidecar_header *out)
{
	const uint8_t *b = p;

	if (n < SIDECAR_HEADER_BYTES || memcmp(b, sidecar_magic, sizeof sidecar_magic) != 0)
		return false;
	struct sidecar_header h = {.mark = get_le64(b + 8),
	    .segment = get_le32(b + 16),
	    .flags = get_le32(b + 20),
	    .data_end = get_le32(b + 24),
	    .count = get_le32(b + 28),
	    .bytes = get_le32(b + 32),
	    .crc = get_le32(b + 36)};
	if (h.bytes != n - SIDECAR_HEADER_BYTES)
		return false;
	if (h.crc != sidecar_crc(b, b + SIDECAR_HEADER_BYTES, (size_t)h.bytes))
		return false;
	*out = h;
	return true;
}

uint32_t sidecar_crc(const void *header, const void *entries, size_t n)
{
	return crc32c(crc32c(0, header, SIDECAR_HEADER_BYTES - 4), entries, n);
}

size_t sidecar_entry_encode(const struct sidecar_entry *e, void *out)
{
	uint8_t *p = out;
	size_t size = 8 + RECORD_HEADER_BYTES + e->envelope.len;

	if (!p)
		return size;
	put_le32(p, e->offset);
	put_le32(p + 4, e->envelope.len);
	record_header_encode(&e->h, p + 8);
	if (e->envelope.len)
		memcpy(p + 8 + RECORD_HEADER_BYTES, e->envelope.ptr, e->envelope.len);
	return size;
}

bool sidecar_entry_decode(slice_t *rest, uint64_t mark, uint32_t segment, struct sidecar_entry *out)
{
	struct sidecar_entry e;

	if (rest->len < 8 + RECORD_HEADER_BYTES)
		return false;
	uint32_t envelope_len = get_le32(rest->ptr + 4);
	if (envelope_len > rest->len - 8 - RECORD_HEADER_BYTES)
		return false;
	e.offset = get_le32(rest->ptr);
	if (!record_header_decode(rest->ptr + 8, RECORD_HEADER_BYTES, mark, segment, &e.h))
		return false;
	e.envelope = slice_tainted(rest->ptr + 8 + RECORD_HEADER_BYTES, envelope_len);
	*rest = slice_sub(*rest, 8 + RECORD_HEADER_BYTES + envelope_len, rest->len);
	*out = e;
	return true;
}
