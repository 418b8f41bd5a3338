/* SPDX-License-Identifier: GPL-3.0-or-later */
/* deliver: one group in its transport (job.c), and what that does over the network (remote.c,
 * remote_connect.c). */
#ifndef HEDDLE_DELIVER_DELIVERY_H
#define HEDDLE_DELIVER_DELIVERY_H
#include "deliver/deliver_private.h"

/* A group in its transport, from the first look to its outcomes. */
struct delivery {
	struct attempt *t;
	struct group *g;
	struct heddle_job job;
	struct heddle_call call;
	struct error err;
	enum rc rc;
	bool is_over;    /* without the transport */
	bool is_settled; /* and its outcomes are there */
	int64_t began_us;
};
/* The same in three steps, of which the second calls the transport. */
void delivery_begin(struct delivery *x, struct attempt *t, struct group *g);
void delivery_run(struct delivery *x);
void delivery_end(struct delivery *x);
/* parallel.c: t->remote.  True: all have their outcomes.  False: attempt_settle_remote will be
 * called when they have; t is not the caller's any more, nor is its place among the active ones. */
bool parallel_deliver(struct attempt *t) EXCLUDES(lk_deliver);

/* remote.c: the SMTP client sessions that the delivery service hands out */
int32_t remote_session(struct heddle_call *c, struct heddle_job *j, uint32_t i,
    struct heddle_conn *conn, uint32_t lmtp, struct heddle_session **out);
int32_t remote_send(struct heddle_call *c, struct heddle_session *s, struct heddle_job *j);
int32_t remote_add_host(
    struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in);
/* The transport is through: its connection is for others now. */
void remote_done(struct heddle_job *j);
int32_t remote_planned(struct heddle_call *c, const struct heddle_job *j, struct heddle_plan *out);
/* remote_connect.c: what deliver() would wait for, without a thread. */
typedef void (*remote_ready_fn)(void *ctx, struct worker *w);
/* Asks the transport, if it can be asked.  Not OK: that is the job's result. */
enum rc remote_plan(struct heddle_call *c, struct heddle_job *j, remote_ready_fn ready, void *ctx,
    struct error *err);
/* DONE: deliver() has a connection, or a reason for each host.  WAITS: `ready` will be called,
 * once, perhaps before this returns; then once more.  CUT: the process ends. */
enum remote_step { REMOTE_DONE, REMOTE_WAITS, REMOTE_CUT };
enum remote_step remote_connect(struct heddle_call *c, struct heddle_job *j);
/* The host that it is connected to failed last time. */
bool remote_is_failing(const struct heddle_job *j);
/* What was connected to and not asked for. */
void remote_drop(struct heddle_job *j);
#endif
