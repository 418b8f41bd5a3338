/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/agent: the kernel's side of the processes that act as a user.
 *
 * Every local transport, every command and every read of a user's file runs in an agent: a process
 * of one (uid, gid, groups), exec'd by master on our request, pooled for reuse (up to N for each
 * identity and in all, idle 60 s).  The agent has no configuration and no expansion engine: it
 * opens the driver's object and serves its operations through the generated proxy; what the driver
 * asks of its host (options, variables, the job's recipients, the message) comes back to us as
 * requests that we answer under the very call it runs in.  Bodies travel as sealed memfds.
 *
 * Threads: any.  Blocks: every call here may (the caller brackets it with
 * pool_blocking_begin(POOL_FOR_AGENT)). A deadline on everything; an agent that is overdue or
 * breaks the protocol is closed, and master kills it: RC_DEFER. Locks: lk_agents (the pool of idle
 * agents), never held across a request.
 */
#ifndef HEDDLE_AGENT_AGENT_H
#define HEDDLE_AGENT_AGENT_H
#include "agent/link.h"
#include "driver/call.h"

struct agents;

struct agent_identity {
	slice_t
	    user; /* login name, or a number; ABSENT: whoever we are (an ordinary user's own run) */
	slice_t group; /* name or number; ABSENT: the user's */
	bool initgroups;
	bool is_constant; /* named as a constant by the configuration (uid below the minimum
	                     allowed) */
	slice_t purpose;  /* "transport NAME", "router NAME": master logs it */
};
/* link_fd: the socket to master (agent/link.h): requests are sent on it by any thread; what comes
 * back is read by one thread of main's, which hands each LINK_ANSWER to agents_answer.  Limits: 0
 * for defaults (8 per identity, 64 in all).  When master says that too many were started within a
 * second the request is repeated until the call's deadline. */
MUST_USE enum rc agents_new(int link_fd, unsigned per_identity, unsigned total, struct log *log,
    struct agents **out, struct error *err);
/* Requests that wait are answered with DEFER, idle agents are closed.  No call may be running. */
void agents_free(struct agents **a);
/* An answer from master; takes fd over (-1: none). */
void agents_answer(struct agents *a, const struct link_message *m, int fd);
/* Close agents that were idle for 60 s; called now and then. */
void agents_tidy(struct agents *a);
/* What agents have had to ask so far, each a round trip. */
uint64_t agents_questions(const struct agents *a);

/* getpwnam through master's exec'd resolver, cached for a minute.  RC_FAIL: no such user; RC_DEFER:
 * cannot say. */
MUST_USE enum rc agents_user(struct agents *a, struct arena *arena, slice_t login,
    int64_t deadline_us, struct user_info *out, struct error *err);
/* getgrnam in the same way. */
MUST_USE enum rc agents_group(
    struct agents *a, slice_t name, int64_t deadline_us, int64_t *out_gid, struct error *err);

/* Run the driver's deliver() for c->job in an agent.  c->instance names the transport; outcomes are
 * recorded through the delivery service in this process.  Result as the operation's. */
MUST_USE enum rc agents_deliver(struct agents *a, const struct agent_identity *who,
    struct heddle_call *c, struct heddle_job *job, struct error *err);

/* What the system says of a file that was asked for. */
struct agent_file_facts {
	uint32_t uid, gid, mode;
	int32_t error; /* errno of what failed, or 0 */
	bool
	    folder_gone; /* ENOENT, and the folder that should hold it cannot be looked at either */
};
/* A file as that user sees it: RC_FAIL: it does not exist.  *out is CLEAN if it belongs to that
 * user or root and nobody else may write it.  out_facts (may be NULL) is set whatever the result.
 */
MUST_USE enum rc agents_read_file(struct agents *a, const struct agent_identity *who,
    struct heddle_call *c, slice_t path, uint64_t max, slice_t *out,
    struct agent_file_facts *out_facts, struct error *err);

/* Run a command (${run}): argv[0] is an absolute clean path; output limited; *out_status as
 * waitpid. */
MUST_USE enum rc agents_run(struct agents *a, const struct agent_identity *who, struct eval *ev,
    const slice_t *argv, uint32_t argc, slice_t *out_text, int *out_status, struct error *err);
#endif
