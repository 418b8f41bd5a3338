/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/foresight: what an operation will ask for is answered before it asks.  The kernel keeps,
 * for each agent, the requests that the last operation of an instance made and that change nothing
 * ("pure" in proxy.rows).  The next one's frame carries them with their answers, made anew; the
 * agent looks there first, so most deliveries need no question at all. An answer that is constant
 * is left out: the agent remembers it by itself, once it was asked for. A request is only a hint:
 * it goes through the same checks as one that comes from the agent, and only an answer that is OK
 * is sent, so that a failure is found out, and explained, when it is really asked for.
 * Owns: copies of requests, on an arena of its own.  Threads: as the agent's, one at a time.
 * Failure: none; no hint, no gain.
 */
#ifndef HEDDLE_AGENT_FORESIGHT_H
#define HEDDLE_AGENT_FORESIGHT_H
#include "agent/wire.h"

struct exchange;
struct foresight;
struct heddle_instance;

void foresight_free(struct foresight **f);
/* The exchange's operation is about to be sent: forget what was learnt of another one.  NULL f:
 * nothing is learnt. */
void foresight_begin(struct foresight **f, const struct heddle_instance *instance, uint16_t op);
/* A request that was served as `fn`; handles: places in it where handles of the operation's own
 * arguments stand. */
#define FORESIGHT_HANDLES 2U
struct foresight_handle {
	uint32_t offset, place;
};
void foresight_learn(struct foresight *f, uint16_t fn, slice_t request,
    const struct foresight_handle *handles, uint32_t n);
void foresight_learn_body(struct foresight *f);
/* Requests with answers into out: number, request, answer of each.  Is the message wanted, too? */
bool foresight_answer(struct foresight *f, struct exchange *x, struct wire_out *out);
#endif
