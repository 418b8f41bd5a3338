/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deliver/deliver: from an accepted message to its outcome: routing, batching, handing to
 * transports, recording what happened, retrying, and telling the sender about failures.
 *
 * Life of a delivery: the scheduler takes a due entry from queue/index (the lease), loads the
 * message, routes each pending recipient through the routers (route.h), groups addresses by
 * transport, host list and what else must be equal, runs local groups in agents and remote ones
 * over smtp/client, writes PROGRESS to the store before the next step depends on it, and gives the
 * entry back with its next attempt, or writes DONE. Threads: deliveries run as pool jobs of class
 * POOL_DELIVERY; all functions here: any thread. Locks: lk_deliver (the scheduler's counters).
 */
#ifndef HEDDLE_DELIVER_DELIVER_H
#define HEDDLE_DELIVER_DELIVER_H
#include "acl/acl.h"
#include "driver/call.h"
#include "message/message.h"
#include "queue/queue.h"
#include "thread/park.h"

struct deliverer;
struct agents;
struct hints;

struct deliver_config {
	struct services
	    *services; /* routing, delivery and message tables are filled in by deliver_new */
	struct store *store;
	struct queue_index *index;
	struct reactor *reactor;
	struct pool *pool;
	struct hints *hints;        /* what is known of hosts and addresses; NULL: nothing */
	struct hints *driver_hints; /* what drivers keep; NULL: they cannot */
	struct agents *agents;      /* NULL: local transports and commands defer */
	struct log *log;
	/* the present snapshot, referenced for the caller */
	struct config *(*snapshot)(void *ctx);
	struct log *(*snapshot_log)(void *ctx, const struct config *cfg);
	void *ctx;
	const struct eval_hooks *eval_hooks;
};
MUST_USE enum rc deliver_new(
    const struct deliver_config *cfg, struct deliverer **out, struct error *err);
/* Stop taking messages; wait for those under way until the deadline, leave the rest on the queue.
 * false: some go on nevertheless, and use all that the deliverer was made with. */
MUST_USE bool deliver_stop(struct deliverer *d, int64_t deadline_us);
/* What drivers kept and is over: now and then. */
void deliver_expire_driver_hints(struct hints *h);
void deliver_free(struct deliverer **d);

/* A message that was just committed by its receiver and inserted in the index as ACTIVE: try it at
 * once, with the content that is still in memory (takes a reference).  False: not wanted now
 * (queue_only, limits): the caller releases the entry. */
bool deliver_now(struct deliverer *d, struct message *m, struct queue_entry **entry);
/* Start or stop the timer that takes what is due (after recovery has filled the index). */
void deliver_enable(struct deliverer *d, bool on);
/* A queue run: everything not frozen is tried (force: frozen too, and before its retry time);
 * domains and ids as -qf, -R. */
struct queue_run_request {
	bool force, force_frozen, local_only, first_only;
	slice_t select_recipient, select_sender;            /* or ABSENT */
	const struct regex *recipient_regex, *sender_regex; /* NULL: none */
	struct queue_id from,
	    to; /* times and serials of the first and the last; seconds 0: no bound */
};
void deliver_queue_run(struct deliverer *d, const struct queue_run_request *r);
/* One message (-M): true if it could be taken. */
bool deliver_message(struct deliverer *d, struct queue_id id, bool force);

/* Administrative edits that end in a log line and a store record: -Mf -Mt -Mrm -Mg -Mar -Mmad -Mmd
 * -Mes.  who: login. */
enum admin_edit { ADMIN_FREEZE, ADMIN_THAW, ADMIN_REMOVE, ADMIN_GIVE_UP };
MUST_USE enum rc deliver_edit(
    struct deliverer *d, struct queue_id id, enum admin_edit what, slice_t who, struct error *err);
/* The same for what is about an envelope: -Mar, -Mmd, -Mmad (address: ABSENT), -Mes.  What is being
 * delivered is not changed. */
enum envelope_edit { ENVELOPE_ADD, ENVELOPE_MARK, ENVELOPE_MARK_ALL, ENVELOPE_SENDER };
MUST_USE enum rc deliver_edit_envelope(struct deliverer *d, struct queue_id id,
    enum envelope_edit what, slice_t address, slice_t who, struct error *err);
/* -Mvh, -Mvb, -Mvc, -Mvl: what is kept of a message, as text.  VIEW_FACTS, for -Mset: lines "sender
 * A", "received MICROSECONDS", "facts BASE64" (message_encode_envelope), "headers BASE64",
 * "recipient A" for each, "size BYTES", "body"; then the body. */
enum message_view { VIEW_HEADERS, VIEW_BODY, VIEW_MESSAGE, VIEW_LOG, VIEW_FACTS };
MUST_USE enum rc deliver_show(struct deliverer *d, struct queue_id id, enum message_view what,
    struct strbuf *out, struct error *err);
/* -brt: the rule for an address or domain, else for the second one (may be ABSENT), when this error
 * (ABSENT: none that has a name) is met.  RC_FAIL: there is none. */
MUST_USE enum rc deliver_retry_test(struct eval *ev, slice_t subject, slice_t second, slice_t error,
    struct strbuf *out, struct error *err);

/* A hint about retries as exim_dumpdb shows it, or (full) as exinext does; nothing if it is none.
 */
void deliver_show_hint(slice_t key, slice_t value, bool full, struct strbuf *out);

/* ---- routing, also for verification and -bt
 * ------------------------------------------------------------------ */
/* For acl hooks: kernel/acl/acl.h verify_address. */
MUST_USE enum rc deliver_verify_address(struct eval *ev, slice_t address, bool is_sender,
    const struct verify_options *o, slice_t *out_user_text, slice_t *out_log_text,
    struct error *err);
/* EXPN: the addresses that it is redirected to, "<a@b>" each on a line of its own. */
MUST_USE enum rc deliver_expand_address(
    struct eval *ev, slice_t address, struct strbuf *out, struct error *err);
/* -bt and -bv: prints as Exim does to out; RC_OK deliverable, RC_FAIL, RC_DEFER as the exit status
 * 0, 2, 1. */
MUST_USE enum rc deliver_address_test(
    struct eval *ev, slice_t address, bool verify, bool verify_sender, struct strbuf *out);
/* The routing table and friends alone, for processes that only test addresses. */
void deliver_services(struct services *s);
#endif
