/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/exchange: one operation asked of an agent, seen from the kernel: the request, the services
 * that the agent asks for meanwhile, the result.  What the agent sends is not trusted: sizes,
 * numbers and handles are checked, a text is CLEAN only if this operation gave that very text to
 * the agent as clean, and only an id of ours quotes. Threads: the one that runs the call.  Blocks:
 * exchange_run.  Locks: none. Failure: anything malformed ends the exchange (`broken`): DEFER, and
 * the agent is closed.
 */
#ifndef HEDDLE_AGENT_EXCHANGE_H
#define HEDDLE_AGENT_EXCHANGE_H
#include "agent/foresight.h"
#include "agent/wire.h"
#include "base/map.h"
#include "base/vec.h"
#include "driver/call.h"
#include "proxy_server.h"

/* Operations of the agent itself, and services of the proxy itself, beside those of the tables. */
enum { EXCHANGE_OP_READ_FILE = 0x4000, EXCHANGE_OP_RUN };
enum { EXCHANGE_SERVICE_BODY = 0x4000 };

#define EXCHANGE_GRACE_US \
	(2 * US_PER_SEC) /* beyond the deadline: for the agent to say itself that it is over */

struct exchange {
	struct heddle_call *call;
	int sock;              /* non-blocking */
	int64_t deadline_us;   /* of the wait */
	struct arena *arena;   /* as long as the exchange */
	struct arena *scratch; /* one frame */
	uint32_t serial;
	uint16_t op;
	struct vec handles;     /* struct exchange_handle */
	struct map *clean;      /* texts given as clean */
	uint32_t questions;     /* that were answered */
	uint32_t notes, bodies; /* log lines, requests for the message so far */
	bool trusts_results;    /* CLEAN in the operation's own results is believed */
	bool in_result;         /* what is read now is such a result */
	bool constant;          /* the answer is: see wire.h */
	bool stale;             /* a handle of this request means nothing */
	bool broken;
	struct error why; /* broken */
	struct wire_out out;
	struct wire_in in; /* the result's outputs */
	/* the request being served, and where foresight is kept: the agent's, or NULL */
	struct foresight **foresight;
	const char *request;
	struct foresight_handle request_handles[FORESIGHT_HANDLES];
	uint32_t n_request_handles, own_handles; /* own: those of the operation's arguments */
};
struct exchange_handle {
	const void *ptr;
	uint32_t kind;
};

void exchange_init(struct exchange *x, struct heddle_call *c, int sock, uint32_t serial);
void exchange_fini(struct exchange *x);

/* For the generated half. */
uint64_t exchange_handle_number(const struct exchange *x, size_t place);
struct wire_out *exchange_begin(struct exchange *x, uint16_t op);
int32_t exchange_run(struct exchange *x, bool trusts_results);
int32_t exchange_finish(struct exchange *x, int32_t result);
void exchange_put_slice(struct exchange *x, struct wire_out *out, slice_t s);
slice_t exchange_get_slice(struct exchange *x, struct wire_in *in);
slice_t exchange_get_part(struct exchange *x, struct wire_in *in);
const slice_t *exchange_get_slices(struct exchange *x, struct wire_in *in, uint32_t *count);
void exchange_put_handle(struct exchange *x, struct wire_out *out, uint32_t kind, const void *ptr);
void *exchange_get_handle(struct exchange *x, struct wire_in *in, uint32_t kind, bool optional);
const struct heddle_instance *exchange_get_instance(struct exchange *x, struct wire_in *in);
/* The driver's own pointers: numbers here. */
void exchange_put_own(struct exchange *x, struct wire_out *out, const void *number);
void *exchange_get_own(struct exchange *x, struct wire_in *in);
/* Has all been read, and is the service there?  Else the answer says why not, or the exchange is
 * broken. */
bool exchange_ready(
    struct exchange *x, const struct wire_in *in, struct wire_out *out, bool offered);
/* Would option i of this instance be the same in every call? */
void exchange_note_constant(struct exchange *x, const struct heddle_instance *inst, uint32_t i);
void exchange_put_result(struct exchange *x, struct wire_out *out, int32_t result);

/* What exchange_run does with one frame from the agent: true: it was the result, x->in has it and
 * *out_result. answer_fd: a descriptor to pass with the answer, -1 none.  No socket is touched. */
bool exchange_take(struct exchange *x, struct wire_frame *f, bool *out_answer, int *out_answer_fd,
    int32_t *out_result);
void exchange_break(struct exchange *x, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* body.c: the message as services->message gives it, LF form, in a sealed memfd; -1: the call has
 * the reason. */
int exchange_body_fd(struct heddle_call *c, int32_t *out_result);
#endif
