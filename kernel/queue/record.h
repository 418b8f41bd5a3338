/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/record: the bytes on disk.  Pure functions: no state, no allocation but in the arena given.
 * Every decoder takes untrusted bytes: all lengths are checked before use, unknown versions and
 * types are refused. Layouts are in README.md; all integers are little-endian.
 */
#ifndef HEDDLE_QUEUE_RECORD_H
#define HEDDLE_QUEUE_RECORD_H
#include "queue/message.h"

#define RECORD_VERSION 1u
/* A segment begins with two copies of its header, in sectors of their own. */
#define SEGMENT_HEADER_COPY  512u
#define SEGMENT_HEADER_BYTES 1024u
#define RECORD_HEADER_BYTES  64u
#define RECORD_MAX_BYTES     (1u << 30) /* of one record */
#define RECORD_BODY_FILE     1u         /* header flag: the body is in a file of its own */
#define SIDECAR_HEADER_BYTES 40u

enum record_type { RECORD_MESSAGE = 1, RECORD_PROGRESS, RECORD_EDIT, RECORD_DONE, RECORD_TYPES };

struct segment_header {
	uint64_t mark; /* random; begins every record of this segment */
	uint64_t created_us;
	uint32_t number;
	uint32_t generation; /* 0: written by the committer; n: output of the n-th compaction of
	                        what it holds */
	/* Where the segment before this one ended: it had been synced up to there, what lies behind
	 * is void.  0: not known (the first of a run, the output of a compaction). */
	uint32_t void_segment, void_offset;
};
/* SEGMENT_HEADER_BYTES. */
void segment_header_encode(const struct segment_header *h, void *out);
/* From the first n bytes of a file; one good copy is enough. */
MUST_USE bool segment_header_decode(const void *p, size_t n, struct segment_header *out);

struct record_header {
	uint64_t mark;
	uint64_t sequence; /* a MESSAGE that was compacted: of the newest record folded into it */
	struct queue_id id;
	uint32_t segment;
	uint32_t meta_len; /* what follows the header */
	uint32_t body_len; /* what follows that: an inline body */
	uint32_t meta_crc, body_crc;
	uint32_t synced; /* this segment had been synced up to here when the record was written */
	uint8_t type, flags;
};
void record_header_encode(const struct record_header *h, void *out);
/* Only if it is a whole header of the segment with this mark and number. */
MUST_USE bool record_header_decode(
    const void *p, size_t n, uint64_t mark, uint32_t segment, struct record_header *out);
static inline uint64_t record_size(const struct record_header *h)
{
	return (uint64_t)RECORD_HEADER_BYTES + h->meta_len + h->body_len;
}

/* MESSAGE.  The meta part is the envelope, then facts and headers as they come.  encode gives the
 * envelope (in the arena); decode takes at least that much of the meta part. */
struct record_message_sizes {
	uint32_t envelope_len, facts_len, headers_len;
};
MUST_USE enum rc record_message_encode(
    struct arena *a, const struct queue_message *m, slice_t *out_envelope, struct error *err);
MUST_USE enum rc record_message_decode(struct arena *a, const void *p, size_t n,
    struct queue_message *out, struct record_message_sizes *out_sizes, struct error *err);
/* How long the envelope is; p holds at least its first 8 bytes. */
MUST_USE bool record_envelope_len(const void *p, size_t n, uint32_t *out);

MUST_USE enum rc record_progress_encode(
    struct arena *a, const struct queue_progress *p, slice_t *out, struct error *err);
/* Apply it to m, whose recipients are in the arena. */
MUST_USE enum rc record_progress_apply(
    struct arena *a, const void *p, size_t n, struct queue_message *m, struct error *err);
MUST_USE enum rc record_edit_encode(
    struct arena *a, const struct queue_edit *e, slice_t *out, struct error *err);
MUST_USE enum rc record_edit_apply(
    struct arena *a, const void *p, size_t n, struct queue_message *m, struct error *err);

/* The sidecar of a sealed segment: a header, then for each record its offset, its header and, for a
 * MESSAGE, the envelope.  One CRC over all. */
struct sidecar_header {
	uint64_t mark;
	uint32_t segment, flags;
	uint64_t data_end; /* what lies behind it in the segment is no record */
	uint32_t count, crc;
	uint64_t bytes; /* of the entries */
};
#define SIDECAR_DAMAGED (1u << 0) /* the segment is damaged: to be set aside */
void sidecar_header_encode(const struct sidecar_header *h, void *out);
/* p: the whole file; its CRC is verified. */
MUST_USE bool sidecar_header_decode(const void *p, size_t n, struct sidecar_header *out);
/* Over the encoded header but its last field, and the entries. */
uint32_t sidecar_crc(const void *header, const void *entries, size_t n);
struct sidecar_entry {
	struct record_header h;
	uint32_t offset;
	slice_t envelope;
};
/* Bytes that an entry with this envelope takes. */
size_t sidecar_entry_encode(const struct sidecar_entry *e, void *out); /* out NULL: only the size */
/* Takes one entry off the front of *rest. */
MUST_USE bool sidecar_entry_decode(
    slice_t *rest, uint64_t mark, uint32_t segment, struct sidecar_entry *out);
#endif
