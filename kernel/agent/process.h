/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/process: an agent from within: one user, one operation at a time, everything it does not
 * know it asks the kernel. It has no configuration and no expansion engine.  It opens drivers
 * (kernel/driver's loader), gives them a host table whose functions are the generated stubs, and
 * serves their operations until its socket closes. Threads: one works; a second one watches the
 * socket and the clock, and ends the process, with all commands it has started, when the kernel is
 * gone or the operation overdue, whatever the driver is doing. The kernel is trusted: what it sends
 * malformed ends the process.
 */
#ifndef HEDDLE_AGENT_PROCESS_H
#define HEDDLE_AGENT_PROCESS_H
#include "agent/wire.h"
#include "base/vec.h"
#include "driver/call.h"
#include "proxy_client.h"

#include <stdatomic.h>
#include <sys/types.h>

#define PROCESS_CHILDREN 16

struct process {
	struct services services; /* first: its host table is what drivers hold */
	int sock;
	struct drivers *drivers;
	struct arena *arena;  /* of the process */
	struct vec instances; /* struct instance_slot */
	struct vec own;       /* void *: what drivers gave us to keep */
	uint32_t instance_tick;
	/* the operation that is running */
	uint32_t serial, offered;
	bool debugging;
	struct wire_in foreseen; /* answers that came with it */
	int body_fd;             /* the message, once it was asked for; -1 */
	/* for the watcher */
	int timer_fd;
	_Atomic int64_t
	    end_us;        /* when the watcher ends us.  seq_cst throughout: nothing here is hot */
	_Atomic bool busy; /* an operation runs */
	_Atomic pid_t children[PROCESS_CHILDREN];
};

/* Serve until the socket closes; the exit status. */
int process_run(int sock, bool any_owner, const char *const *folders);

static inline struct process *process_of(const struct heddle_call *c)
{
	void *p = c->services;
	return p;
}

/* For the generated half: a request to the kernel. */
struct request {
	struct heddle_call *call;
	struct wire_out out;
	struct wire_in in;
	bool constant;
};
bool process_ask(struct heddle_call *c, struct request *r);
int32_t process_exchange(struct request *r, uint16_t fn);
/* The same for option i of an instance: from what is remembered, if the answer was constant. */
int32_t process_exchange_cached(
    struct request *r, uint16_t fn, const struct heddle_instance *inst, uint32_t i);
int32_t process_finish(struct request *r, int32_t result);
int32_t process_malformed(struct request *r);
void process_note(struct request *r, uint16_t fn);
void process_put_instance(struct request *r, const struct heddle_instance *inst);
void *process_handle(struct wire_in *in);

/* For the generated half: an operation being served. */
struct op {
	struct process *process;
	struct heddle_call *call;
	const void *ops;
	void *inst;
	struct wire_in *in;
	struct wire_out out;
	bool stale;
};
bool process_op_ready(struct op *o, bool offered);
void process_op_result(struct op *o, int32_t result);
void process_put_own(struct op *o, struct wire_out *out, void *p);
void *process_get_own(struct op *o, struct wire_in *in);
void *process_forget_own(struct op *o, struct wire_in *in);

/* process_op.c: one operation, its result into o->out */
void process_serve(struct process *p, struct wire_frame *f);
void process_instances_free(struct process *p);

/* process_file.c */
struct agent_file_facts;
int32_t agent_file_read(struct heddle_call *c, slice_t path, uint64_t max, slice_t *out,
    struct agent_file_facts *facts);

/* The end of an agent that is not in the middle of anything; without destructors. */
_Noreturn void process_end(int status);
/* process_watch.c */
void process_watch(struct process *p);
void process_arm(struct process *p, int64_t deadline_us); /* 0: idle from now on */
bool process_note_child(struct process *p, pid_t pid);
void process_forget_child(struct process *p, pid_t pid);
/* Has the kernel hung up?  While an operation runs it sends nothing unasked, so input means that,
 * too. */
bool process_is_cancelled(const struct process *p);
#endif
