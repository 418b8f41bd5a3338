/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * message/body: a body while it is being received.  It grows in chunks of memory that all sessions
 * share a budget for; past a size, or when the budget is used up, what there is goes to a file of
 * the queue's and the rest follows it. Owns: its chunks, until body_builder_finish gives them to a
 * message (freed with its arena). Threads: a builder, one at a time; the budget, any.  Blocks: only
 * in the spill's write (page cache). Failure sticks: the reader goes on to the end of the data, and
 * the answer is given there.
 */
#ifndef HEDDLE_MESSAGE_BODY_H
#define HEDDLE_MESSAGE_BODY_H
#include "message/message.h"

#include <stdatomic.h>
#include <sys/uio.h>

struct body_budget {
	int64_t limit;        /* bytes */
	_Atomic int64_t used; /* relaxed: a figure, it orders nothing */
};
/* false: there is no more, nothing was taken. */
bool body_budget_take(struct body_budget *b, size_t bytes);
void body_budget_give(struct body_budget *b, size_t bytes);

/* The queue's body file. */
struct body_spill {
	enum rc (*begin)(void *ctx, const char *id, void **out_file, struct error *err);
	enum rc (*write)(void *file, const struct iovec *iov, size_t n, struct error *err);
	enum rc (*finish)(void **file, uint32_t *out_crc,
	    struct error *err); /* synced; frees it, whatever the result */
	void (*abort)(void **file);
};

#define BODY_CHUNK 8192
struct body_chunk;
struct body_builder {
	struct body_budget *budget;
	const struct body_spill *spill; /* NULL: too large is then DEFER */
	void *spill_ctx;
	const char *id;   /* of the message, for begin */
	size_t threshold; /* bytes kept in memory at most */
	struct body_chunk *first, *last;
	uint32_t chunk_count;
	uint64_t bytes, lines, zeros;
	void *file; /* non-NULL: spilled */
	enum rc failed;
	struct error why;
};
void body_builder_init(struct body_builder *b, struct body_budget *budget,
    const struct body_spill *spill, void *spill_ctx, size_t threshold, const char *id);
void body_builder_add(struct body_builder *b, const char *p, size_t n);
/* May adding so much write to the file, or make it?  (Bracket that too; what others take of the
 * budget meanwhile is not foreseen.) */
bool body_builder_may_write(const struct body_builder *b, size_t n);
/* Is there a file that finish has to sync?  (Bracket it as a blocking section then.) */
bool body_builder_blocks(const struct body_builder *b);
/* Hand over to m->body.  What failed on the way comes out here. */
MUST_USE enum rc body_builder_finish(struct body_builder *b, struct message *m, struct error *err);
/* Forget all of it; also after finish, and twice. */
void body_builder_drop(struct body_builder *b);
/* The first and last `max` bytes that are in memory, with newlines and zeros as spaces:
 * $message_body, $message_body_end. */
slice_t body_builder_start(struct arena *a, const struct body_builder *b, size_t max);
slice_t body_builder_end(struct arena *a, const struct body_builder *b, size_t max);

/* What message bodies look like on the wire: CRLF, dots doubled at line starts.  Pure; keeps where
 * it stands between pieces. */
struct dot_writer {
	bool at_line_start;
};
void dot_writer_init(struct dot_writer *w);
/* Consumes part of in (*used bytes) and fills out (cap of at least 4); returns bytes written. */
size_t dot_writer_put(struct dot_writer *w, slice_t in, size_t *used, char *out, size_t cap);
#endif
