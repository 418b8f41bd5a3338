/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deliver: shared by its parts, by nobody else.
 *	scheduler.c  which message is tried when; how many at a time
 *	attempt.c    one attempt: load, route, group, deliver, record
 *	parallel.c   its remote groups side by side; none holds a worker while it connects
 *	group.c      addresses that go together; job.c what a driver sees of a group
 *	local.c      who a local delivery runs as; render.c the message as a transport sends it
 *	retry.c      times, retry_rule.c which rule, retry_hints.c what is known across messages;
 *	bounce*.c telling the sender; lines.c the log
 */
#ifndef HEDDLE_DELIVER_PRIVATE_H
#define HEDDLE_DELIVER_PRIVATE_H
#include "agent/agent.h"
#include "deliver/deliver.h"
#include "deliver/route.h"
#include "deliver/turn.h"
#include "log/log.h"
#include "thread/cancel.h"

struct queue_run; /* queue_run.c */

struct deliverer {
	struct deliver_config cfg;
	struct cancel cancel; /* set by deliver_stop at its deadline */
	struct cancel
	    connecting; /* set by deliver_stop at once: what is not connected need not be */
	unsigned max_active, max_attempts;
	struct mutex lock;
	unsigned attempts GUARDED_BY(lk_deliver); /* all there are, those that connect too */
	/* ... that run or are queued to run: each is a worker, or will be */
	unsigned active GUARDED_BY(lk_deliver);
	unsigned failing GUARDED_BY(lk_deliver); /* of these: with hosts that failed last time */
	struct turns turns[2] GUARDED_BY(lk_deliver); /* waiting; by is_failing */
	bool enabled GUARDED_BY(lk_deliver);          /* recovery is through */
	bool stopping GUARDED_BY(lk_deliver);
	bool ticking GUARDED_BY(lk_deliver);
	struct queue_run *runs GUARDED_BY(lk_deliver); /* whose end is not logged yet */
	bool looking GUARDED_BY(lk_deliver);           /* somebody has taken them */
	int64_t forced_us GUARDED_BY(lk_deliver); /* the last queue run that ignores retry times */
	struct condvar changed;
	int64_t expire_at_us;         /* the ticking worker's */
	struct smtp_clients *clients; /* its own locks */
};
LOCK_FNS(deliverer, struct deliverer, lock, lk_deliver)

/* How a message went to a host: for the log. */
struct outcome_via {
	bool is_tls, verified, resumed;
	slice_t cipher, peerdn;                  /* ABSENT: no TLS, no certificate */
	slice_t authenticator, authenticated_id; /* ABSENT: not authenticated */
	slice_t mail_auth;                       /* AUTH= of MAIL; zeroed: none */
	slice_t interface;                       /* our address; ABSENT: not known */
	uint16_t port, interface_port;
	uint32_t used; /* CLIENT_USED_ of smtp/client.h */
};

/* What became of one address in a transport. */
struct outcome {
	bool is_set;
	enum rc result;
	int smtp;
	int32_t host;   /* index into the group's hosts, -1: none */
	uint32_t about; /* HEDDLE_X_ */
	char enhanced[12];
	slice_t text;
	const struct outcome_via *via; /* of a session; or NULL */
	int64_t idle_s; /* with HEDDLE_X_QUOTA: since anybody read the mailbox; -1: not known */
	int64_t waits_until_us; /* not tried: its retry time has not come */
};

/* A host of a group as the hints saw it when its turn came. */
struct host_try {
	uint32_t host;
	slice_t key;        /* T:NAME:ADDRESS[:PORT] */
	bool waits;         /* not tried */
	bool is_expired;    /* ... and it has been failing for longer than the rules go on */
	bool since_arrival; /* ... and was tried after this message arrived */
	bool was_failing, message_failed; /* there was a hint about it; about it and this message */
	bool gives_up, failed;            /* what came of it */
	int64_t next_us;                  /* waits, failed: when it may be tried again */
};

/* Addresses that are handed to a transport together. */
struct group {
	const struct heddle_instance *transport;
	struct vec addresses;     /* struct address * */
	struct outcome *outcomes; /* one for each address */
	struct outcome *host_outcomes;
	const struct vec *hosts; /* of the first address */
	struct vec host_tries;   /* struct host_try: those whose turn came */
	bool is_local;
	bool untouched; /* the process ends, and it has not been connected: as if it had not been
	                   tried */
	bool took_it;   /* its transport was given it, with this return path */
	slice_t return_path;
	int64_t took_us;
	slice_t reason; /* of deliver()'s own result */
	slice_t shown;  /* the same for the sender: a line, behind it what a command wrote */
	struct arena *
	    arena; /* of a group that another thread ran: outcomes' texts; freed with the attempt */
};

/* A recipient whose sender wants to hear that it was delivered. */
struct good_news {
	bool is_due;  /* delivered in this attempt, and nobody further on will tell */
	bool relayed; /* to a server */
	slice_t host; /* its name */
};

struct attempt {
	struct job job; /* first */
	struct deliverer *d;
	struct queue_entry *entry; /* the lease */
	struct queue_id id;
	slice_t id_text;
	struct message *m; /* NULL until loaded */
	struct arena *arena;
	struct config *cfg;
	struct log *log;
	struct worker *worker;
	struct eval ev;
	struct session_facts session;
	struct message_facts facts;
	struct queue_message state; /* recipients with what was recorded */
	struct map *done;           /* children delivered by earlier attempts: text -> non-NULL */
	struct routing routing;
	struct vec groups;           /* struct group * */
	struct vec remote;           /* those of them that go to other hosts */
	struct vec failed, deferred; /* struct address * */
	struct strbuf note;          /* children delivered now: lines */
	bool forced, freeze;
	bool unrecorded;    /* what was delivered cannot be put on record: nothing more is begun */
	bool bounce_failed; /* why it is frozen */
	bool *immediate;    /* for each recipient: reception began this, no queue run */
	uint32_t *left;     /* addresses still undelivered, for each recipient */
	struct good_news *good; /* for each recipient */
	slice_t delayed;        /* "24 hours", for a warning */
	struct vec told;        /* slice_t: lines for the message's log, if it stays on the queue */
	int64_t began_us;
};

/* The driver's view of a group: the ABI's struct heddle_job. */
struct heddle_job {
	struct attempt *attempt;
	struct group *group;
	struct arena *arena;
	uint32_t uid, gid; /* as the transport will run */
	slice_t sender;    /* return path */
	struct outcome *outcomes;
	const struct heddle_instance *transport;
	struct heddle_session *session; /* open now, or NULL */
	struct host_facts host_facts;   /* of the host that is being tried */
	struct vec *own_hosts;          /* the group's list once the transport has added to it */
	struct connector *connector;    /* what plan said and what came of it; NULL: not asked */
};

extern const struct heddle_delivery_service delivery_service;
extern const struct heddle_message_service message_service;
/* draft.c */
int32_t message_draft(struct heddle_call *c, slice_t sender, const slice_t *to, uint32_t count,
    slice_t headers, struct heddle_draft **out);
int32_t message_draft_write(
    struct heddle_call *c, struct heddle_draft *d, const void *buf, uint64_t len);
int32_t message_commit(struct heddle_call *c, struct heddle_draft *d, slice_t *id);
extern const struct heddle_hints_service hints_service;

/* attempt.c */
void attempt_start(struct deliverer *d, struct queue_entry *e, struct message *m, bool forced);
/* What evaluations may set is t's own from now on, and lives in its arena: after a copy of it, or
 * of the message's facts. */
void attempt_own_facts(struct attempt *t);
/* The remote groups have their outcomes: what is left to do.  The attempt is gone then. */
void attempt_settle_remote(struct attempt *t, struct worker *w, bool was_failing);
/* job.c */
void attempt_deliver_group(struct attempt *t, struct group *g);
/* How an address that is through is written down, so that the next attempt leaves it alone. */
slice_t address_note(struct arena *a, const struct address *x);
/* one_time.c: recipients whose deferred children are from now on recipients themselves.  outcomes,
 * as they will be recorded, follow; there is room for one more for each deferred address. */
void one_time_settle(struct attempt *t, struct queue_outcome *outcomes, size_t *n);
/* scheduler.c */
void scheduler_pump(struct deliverer *d) EXCLUDES(lk_deliver);
/* An attempt has ended, and its place among the active ones is free. */
void scheduler_finished(struct deliverer *d, bool was_failing) EXCLUDES(lk_deliver);
/* For an attempt that waits for the store.  false: there is no use in it any more. */
bool scheduler_pause(struct deliverer *d, int64_t us) EXCLUDES(lk_deliver);
/* What a clock that was ahead has planned further off than any rule would is due. */
void scheduler_mend_times(struct deliverer *d);
/* When the last queue run was asked for that ignores retry times (wall clock; 0: none was). */
int64_t scheduler_forced_at(struct deliverer *d) EXCLUDES(lk_deliver);
/* The log of the present snapshot. */
struct log *scheduler_log(struct deliverer *d);
/* queue_run.c: log the end of those queue runs whose messages have all been tried. */
void queue_runs_look(struct deliverer *d) EXCLUDES(lk_deliver);
void queue_runs_free(struct deliverer *d);
/* edit.c: for a delivery that is forced. */
void edit_thaw(struct deliverer *d, struct queue_id id);
/* edit.c: timeout_frozen_after and auto_thaw, looked at by queue runs and every few minutes. */
void edit_expire_frozen(struct deliverer *d) EXCLUDES(lk_deliver);
/* waiting.c.  The recipient is left alone until a queue run: it has been noted and logged. */
bool waiting_recipient(struct attempt *t, uint32_t i, int64_t forced_us);
/* The same once it is known that it goes to another host. */
bool waiting_routed(struct attempt *t, struct address *a);
/* In the order of remote_sort_domains. */
void waiting_sort(struct attempt *t, struct group **groups, size_t count);
/* group.c */
void groups_make(struct attempt *t);
/* local.c */
enum rc local_identity(
    struct attempt *t, struct group *g, struct agent_identity *out, struct error *err);
void local_set_home(struct attempt *t, struct group *g);
/* render.c: the header as this group's transport sends it. */
enum rc render_header(
    struct heddle_call *c, const struct heddle_job *job, slice_t *out, struct error *err);
slice_t render_sender(const struct heddle_job *job);
/* retry.c */
struct retry_state { /* kept with each recipient */
	int64_t first_failed_us, last_try_us;
	uint32_t tries;
	bool by_host; /* its hosts wait, not the address: the hints say until when */
	slice_t why;
};
slice_t retry_encode(struct arena *a, const struct retry_state *r);
struct retry_state retry_decode(slice_t bytes);
/* The next attempt for a deferred address by its own state; false: the rules say to give up (or
 * there is none). */
bool retry_next(struct attempt *t, const struct address *a, const struct group *g,
    const struct outcome *o, const struct retry_state *r, int64_t now_us, int64_t *out_next_us);
struct retry_past {
	int64_t first_failed_us, last_try_us, planned_us; /* last_try_us 0: never */
};
/* By a rule that has steps.  False: past its last cutoff; the time is that of the last step then.
 */
bool retry_when(const struct retry_rule *rule, const struct retry_past *p, int64_t now_us,
    int64_t max_s, int64_t *out_next_us);
int64_t retry_cutoff_s(const struct retry_rule *rule);
int64_t retry_interval_max_s(const struct config *cfg);
/* Tried in the future: by a clock that has been set back since, so what was planned means nothing.
 */
bool retry_is_from_ahead(int64_t last_try_us, int64_t now_us);
/* The message itself has been here for longer than the rule goes on. */
bool retry_is_too_old(const struct attempt *t, const struct retry_rule *rule, int64_t now_us);
/* retry_rule.c */
const struct retry_rule *retry_rule_for(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o);
bool retry_uses_local_part(const struct address *a, const struct group *g, const struct outcome *o);
/* retry_hints.c: across messages.  Where there are no hints, nothing waits and nothing is known. */
struct retry_hint {
	int64_t first_failed_us, last_try_us, next_try_us, claimed_until_us;
	int32_t number; /* as behind "defer" in the log */
	bool is_expired;
	slice_t why;
};
#define RETRY_HINT_MAX 512u
size_t retry_hint_encode(const struct retry_hint *r, char out[RETRY_HINT_MAX]);
MUST_USE bool retry_hint_decode(slice_t bytes, struct retry_hint *out);
/* Is the routing of this recipient to wait?  Only for what was tried before. */
bool retry_address_waits(struct attempt *t, const struct queue_recipient *r, int64_t *out_until_us);
/* A local group that is to wait has its outcome then. */
bool retry_local_waits(struct attempt *t, struct group *g);
/* A host's turn has come, at this port.  False: it is left alone, and the recipients have that
 * noted.  *out_is_due: it was failing, and its time has come. */
bool retry_host_may_try(
    struct attempt *t, struct group *g, uint32_t host, uint32_t port, bool *out_is_due);
/* Of a group that was not tried after all: nobody need wait for it. */
void retry_unclaim_hosts(struct attempt *t, struct group *g);
/* After a remote group: what its hosts did goes to the hints; if none could be tried, the outcomes
 * say so. */
void retry_settle_hosts(struct attempt *t, struct group *g);
/* A deferred address: as retry_next, by what is known across messages. */
bool retry_failed(struct attempt *t, const struct address *a, const struct group *g,
    const struct outcome *o, struct retry_state *r, int64_t now_us, int64_t *out_next_us);
/* It was routed, or (with its group) dealt with: what was known against it is forgotten. */
void retry_forget(struct attempt *t, const struct address *a, const struct group *g);
/* bounce.c: one message to each errors address, durable when it returns OK. */
/* told: whom it has told; for another call after one that failed. */
enum rc bounce_send(struct attempt *t, struct map *told, struct error *err);
/* One message to the sender about the recipients whose good_news is due. */
enum rc bounce_send_success(struct attempt *t, struct error *err);
/* One message to the sender about what is deferred, where delay_warning wants one now. */
enum rc bounce_send_warning(struct attempt *t, struct error *err);
/* freeze_tell: the message has been frozen. */
void bounce_tell_frozen(struct attempt *t);
/* lines.c */
void line_delivered(struct attempt *t, const struct group *g);
void line_discarded(struct attempt *t, const struct address *a);
void line_failed(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o);
void line_deferred(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o);
void line_waits(struct attempt *t, slice_t address);
void line_completed(struct attempt *t);
/* The message stays: what happened to it goes into its own log (-Mvl). */
void lines_keep(struct attempt *t);
/* The number behind "defer": an errno, or one of Exim's own. */
int line_defer_number(const struct group *g, const struct outcome *o);
const struct address *address_top(const struct address *a);
#endif
