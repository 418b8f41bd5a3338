/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/wire: frames between the kernel and an agent, and the fields in them.
 *
 * A frame is one datagram of a SOCK_SEQPACKET pair: a fixed head, then the payload; a payload over
 *WIRE_INLINE travels as a sealed memfd, so that its sender cannot change it under its reader.  Both
 *ends are of one build on one machine: numbers are in its byte order, and the version in the head
 *is there to catch a mixture of two builds. kernel -> agent   WIRE_OP          run an operation of
 *a driver, or one of our own agent -> kernel   WIRE_SERVICE     answered by WIRE_SERVICE_END, or
 *WIRE_NOTE: not answered agent -> kernel   WIRE_OP_END      the operation's result A reader that
 *meets anything malformed becomes `bad` and gives zeros from then on: check once, at the end.
 * Threads: a pair of socket and arena, one thread at a time.
 */
#ifndef HEDDLE_AGENT_WIRE_H
#define HEDDLE_AGENT_WIRE_H
#include "base/strbuf.h"

#define WIRE_VERSION 0x48500001U
#define WIRE_INLINE  ((size_t)60 << 10)
#define WIRE_MAX     ((size_t)64 << 20) /* of a payload */

enum wire_type { WIRE_OP = 1, WIRE_OP_END, WIRE_SERVICE, WIRE_SERVICE_END, WIRE_NOTE, WIRE_TYPES };

struct wire_head {
	uint32_t version;
	uint16_t type, fn; /* fn: which operation or service */
	uint32_t serial;   /* of the operation all this belongs to */
	uint32_t length;   /* of the payload */
	uint32_t is_memfd; /* the payload is in the first descriptor */
	uint32_t fds;      /* further descriptors: 0 or 1 */
	uint32_t constant; /* of an answer: the same as long as the instance lives */
};

struct wire_out {
	struct strbuf sb;
	bool bad; /* a malformed slice was put in */
};
struct wire_in {
	const char *p;
	size_t left;
	bool bad;
};
struct wire_frame {
	struct wire_head head;
	struct wire_in in; /* the payload, on the arena given */
	int fd;            /* -1, or the receiver's */
};

void wire_out_init(struct wire_out *o, struct arena *a);
void wire_put_u64(struct wire_out *o, uint64_t v);
void wire_put_slice(struct wire_out *o, slice_t s);
void wire_put_chars(struct wire_out *o, const char *text, size_t cap); /* up to the NUL */

uint64_t wire_get_uint(struct wire_in *in, uint64_t max);
int64_t wire_get_int(struct wire_in *in, int64_t min, int64_t max);
slice_t wire_get_slice(struct wire_in *in); /* flags as sent; borrowed from the payload */
void wire_get_chars(struct wire_in *in, char *text, size_t cap);
/* Is everything used up, and was all of it well-formed? */
static inline bool wire_is_done(const struct wire_in *in)
{
	return !in->bad && in->left == 0;
}

/* Structs that begin with their size: theirs may be of an older or newer header than ours.  false:
 * it has no size. */
MUST_USE bool wire_take_struct(void *ours, size_t size, const void *theirs);
void wire_give_struct(void *theirs, const void *ours, size_t size);

/* fd: -1 or one to pass along (stays the caller's).  -1 with errno. */
int wire_send(int sock, struct wire_head head, const struct wire_out *o, int fd);
/* 1: a whole frame of this version; 0: the other side is gone; -1 with errno (EAGAIN: nothing
 * there; EPROTO: not one of ours). */
int wire_receive(int sock, struct arena *a, struct wire_frame *out);
/* The same from bytes: what wire_receive makes of them.  fds are consumed. */
int wire_parse(
    struct arena *a, const void *bytes, size_t n, int *fds, size_t n_fds, struct wire_frame *out);
#endif
