/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deliver: shared by its parts, by nobody else.
 *	scheduler.c  which message is tried when; how many at a time
 *	attempt.c    one attempt: load, route, group, deliver, record
 *	group.c      addresses that go together; job.c what a driver sees of a group
 *	local.c      who a local delivery runs as; render.c the message as a transport sends it
 *	retry.c      rules and next attempts; bounce.c telling the sender; lines.c the log
 */
#ifndef HEDDLE_DELIVER_PRIVATE_H
#define HEDDLE_DELIVER_PRIVATE_H
#include "agent/agent.h"
#include "deliver/deliver.h"
#include "deliver/route.h"
#include "log/log.h"
#include "thread/cancel.h"

struct deliverer {
	struct deliver_config cfg;
	struct cancel cancel;               /* set by deliver_stop */
	unsigned max_active;
	struct mutex lock;
	unsigned active GUARDED_BY(lk_deliver);   /* attempts that run or are queued to run */
	bool enabled GUARDED_BY(lk_deliver);      /* recovery is through */
	bool stopping GUARDED_BY(lk_deliver);
	bool ticking GUARDED_BY(lk_deliver);
	int64_t forced_us GUARDED_BY(lk_deliver); /* the last queue run that ignores retry times */
	struct condvar changed;
	int64_t expire_at_us;               /* the ticking worker's */
	struct smtp_clients *clients;       /* its own locks */
};
LOCK_FNS(deliverer, struct deliverer, lock, lk_deliver)

/* What became of one address in a transport. */
struct outcome {
	bool is_set;
	enum rc result;
	int smtp;
	int32_t host;              /* index into the group's hosts, -1: none */
	uint32_t about;            /* HEDDLE_X_ */
	char enhanced[12];
	slice_t text;
};

/* Addresses that are handed to a transport together. */
struct group {
	const struct heddle_instance *transport;
	struct vec addresses;      /* struct address * */
	struct outcome *outcomes;  /* one for each address */
	struct outcome *host_outcomes;
	const struct vec *hosts;   /* of the first address */
	bool is_local;
	int64_t took_us;
	slice_t reason;            /* of deliver()'s own result */
	struct arena *arena;       /* of a group that another thread ran: outcomes' texts; freed with the attempt */
};

struct attempt {
	struct job job;            /* first */
	struct deliverer *d;
	struct queue_entry *entry; /* the lease */
	struct queue_id id;
	slice_t id_text;
	struct message *m;         /* NULL until loaded */
	struct arena *arena;
	struct config *cfg;
	struct log *log;
	struct worker *worker;
	struct eval ev;
	struct session_facts session;
	struct message_facts facts;
	struct queue_message state;     /* recipients with what was recorded */
	struct map *done;               /* children delivered by earlier attempts: text -> non-NULL */
	struct routing routing;
	struct vec groups;              /* struct group * */
	struct vec failed, deferred;    /* struct address * */
	struct strbuf note;             /* children delivered now: lines */
	bool forced, freeze;
	bool bounce_failed;             /* why it is frozen */
	uint32_t *left;                 /* addresses still undelivered, for each recipient */
	int64_t began_us;
};

/* The driver's view of a group: the ABI's struct heddle_job. */
struct heddle_job {
	struct attempt *attempt;
	struct group *group;
	struct arena *arena;
	uint32_t uid, gid;              /* as the transport will run */
	slice_t sender;                 /* return path */
	struct outcome *outcomes;
	const struct heddle_instance *transport;
	struct heddle_session *session; /* open now, or NULL */
	struct host_facts host_facts;   /* of the host that is being tried */
	struct vec *own_hosts;          /* the group's list once the transport has added to it */
};
extern const struct heddle_delivery_service delivery_service;
extern const struct heddle_message_service message_service;

/* attempt.c */
void attempt_start(struct deliverer *d, struct queue_entry *e, struct message *m, bool forced);
/* What evaluations may set is t's own from now on, and lives in its arena: after a copy of it, or of the message's facts. */
void attempt_own_facts(struct attempt *t);
void attempt_deliver_group(struct attempt *t, struct group *g);
/* parallel.c: returns when all have their outcomes. */
void parallel_deliver(struct attempt *t, struct group **groups, size_t count) EXCLUDES(lk_deliver);
/* scheduler.c */
void scheduler_pump(struct deliverer *d) EXCLUDES(lk_deliver);
void scheduler_finished(struct deliverer *d) EXCLUDES(lk_deliver);
/* When the last queue run was asked for that ignores retry times (wall clock; 0: none was). */
int64_t scheduler_forced_at(struct deliverer *d) EXCLUDES(lk_deliver);
/* edit.c: timeout_frozen_after and auto_thaw, looked at by queue runs and every few minutes. */
void edit_expire_frozen(struct deliverer *d) EXCLUDES(lk_deliver);
/* group.c */
void groups_make(struct attempt *t);
/* local.c */
enum rc local_identity(struct attempt *t, struct group *g, struct agent_identity *out, struct error *err);
void local_set_home(struct attempt *t, struct group *g);
/* render.c: the header as this group's transport sends it. */
enum rc render_header(struct heddle_call *c, const struct heddle_job *job, slice_t *out, struct error *err);
slice_t render_sender(const struct heddle_job *job);
/* remote.c: the SMTP client sessions that the delivery service hands out */
int32_t remote_session(struct heddle_call *c, struct heddle_job *j, uint32_t i, struct heddle_conn *conn, uint32_t lmtp,
    struct heddle_session **out);
int32_t remote_send(struct heddle_call *c, struct heddle_session *s, struct heddle_job *j);
int32_t remote_add_host(struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in);
/* The transport is through: its connection is for others now. */
void remote_done(struct heddle_job *j);
/* retry.c */
struct retry_state { /* kept with each recipient */
	int64_t first_failed_us, last_try_us;
	uint32_t tries;
	slice_t why;
};
slice_t retry_encode(struct arena *a, const struct retry_state *r);
struct retry_state retry_decode(slice_t bytes);
/* The next attempt for a deferred address; false: the rules say to give up (or there is none). */
bool retry_next(struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o,
    const struct retry_state *r, int64_t now_us, int64_t *out_next_us);
/* bounce.c: one message to each errors address, durable when it returns OK. */
enum rc bounce_send(struct attempt *t, struct error *err);
/* lines.c */
void line_delivered(struct attempt *t, const struct group *g);
void line_discarded(struct attempt *t, const struct address *a);
void line_failed(struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o);
void line_deferred(struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o);
void line_completed(struct attempt *t);
const struct address *address_top(const struct address *a);
#endif
