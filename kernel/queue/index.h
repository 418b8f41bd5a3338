/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/index: the queued messages in memory: by id, by next attempt, and by destination.
 *
 * A message is DEFERRED (waits for its next attempt), ACTIVE (somebody has taken it and owns its
 * delivery) or FROZEN.  Only what is deferred is in the schedule.  Taking it (queue_index_due,
 * _due_for, _take) is the lease: until _release or _remove nobody else gets it. Owns: its entries.
 * Alive: an entry as long as somebody holds a reference; its texts never change. Threads: all
 * functions, any thread.  Blocks: never.  Locks: takes lk_queue_index; callbacks run without it.
 * Memory: a message with one recipient takes about 250 bytes, each further one about 36 and its
 * address.
 */
#ifndef HEDDLE_QUEUE_INDEX_H
#define HEDDLE_QUEUE_INDEX_H
#include "queue/message.h"
#include "thread/lock.h"

struct queue_index;
struct queue_entry; /* opaque; counted */

enum queue_state { QUEUE_DEFERRED, QUEUE_ACTIVE, QUEUE_FROZEN, QUEUE_STATES };

/* ---- life ---- */
struct queue_index *queue_index_new(void);
/* No other thread may use it; entries that are still referenced live on.  Nulls; NULL is fine. */
void queue_index_free(struct queue_index **idx);
/* While it gathers (recovery), nothing is due and the schedule is not kept; it is made in one go at
 * the end, which takes less memory than growing it message by message. */
void queue_index_gather(struct queue_index *idx, bool on) EXCLUDES(lk_queue_index);

/* ---- changing ---- */
/* Sender, recipients with their states, size (headers and body), times and flags are taken from m.
 * The state is DEFERRED, or FROZEN when m is; `active`: ACTIVE, and *out_entry (may be NULL) is a
 * reference for the caller. RC_FAIL: the id is there. */
MUST_USE enum rc queue_index_insert(struct queue_index *idx, const struct queue_message *m,
    bool active, struct queue_entry **out_entry, struct error *err) EXCLUDES(lk_queue_index);
/* Replace what is known about m.id (after an edit, or at the end of an attempt); state as it was
 * but for frozen. */
MUST_USE enum rc queue_index_update(struct queue_index *idx, const struct queue_message *m,
    struct error *err) EXCLUDES(lk_queue_index);
MUST_USE enum rc queue_index_remove(struct queue_index *idx, struct queue_id id, struct error *err)
    EXCLUDES(lk_queue_index);
/* A recipient needs no attempt any more: it leaves its destination's list. */
MUST_USE enum rc queue_index_set_recipient(struct queue_index *idx, struct queue_id id,
    uint32_t recipient, enum queue_recipient_state state) EXCLUDES(lk_queue_index);
/* Freeze or thaw.  An ACTIVE one is frozen when it is released. */
MUST_USE enum rc queue_index_freeze(struct queue_index *idx, struct queue_id id, bool frozen,
    int64_t when_us) EXCLUDES(lk_queue_index);
/* Due at when_us from now on (0: at once): a forced attempt, a route that opened. */
MUST_USE enum rc queue_index_set_next(struct queue_index *idx, struct queue_id id, int64_t when_us)
    EXCLUDES(lk_queue_index);

/* ---- scheduling ---- */
/* The earliest that is due at now_us, now ACTIVE, referenced for the caller; NULL: none. */
struct queue_entry *queue_index_due(struct queue_index *idx, int64_t now_us)
    EXCLUDES(lk_queue_index);
/* The same among those with a pending recipient at this domain (any case). */
struct queue_entry *queue_index_due_for(struct queue_index *idx, slice_t domain, int64_t now_us)
    EXCLUDES(lk_queue_index);
/* That one, due or not (also FROZEN if `force`); NULL: not there, or taken. */
struct queue_entry *queue_index_take(struct queue_index *idx, struct queue_id id, bool force)
    EXCLUDES(lk_queue_index);
/* Give an ACTIVE one back, to be tried at next_us; drops the reference and nulls. */
void queue_index_release(struct queue_index *idx, struct queue_entry **e, int64_t next_us)
    EXCLUDES(lk_queue_index);
/* When the earliest is due; INT64_MAX: nothing waits. */
int64_t queue_index_next(struct queue_index *idx) EXCLUDES(lk_queue_index);

/* ---- looking ---- */
/* Referenced for the caller, or NULL. */
struct queue_entry *queue_index_find(struct queue_index *idx, struct queue_id id)
    EXCLUDES(lk_queue_index);
void queue_entry_unref(struct queue_entry **e);
/* A view of an entry; the slices (tainted) live as long as the reference. */
struct queue_view {
	struct queue_id id;
	enum queue_state state;
	uint32_t flags;
	int64_t received_us, next_attempt_us, frozen_us;
	uint64_t size;
	slice_t sender;
	uint32_t n_recipients, n_pending;
};
void queue_entry_view(const struct queue_entry *e, struct queue_view *out);
slice_t queue_entry_recipient(
    const struct queue_entry *e, uint32_t i, enum queue_recipient_state *out_state);
struct queue_id queue_entry_id(const struct queue_entry *e);

enum queue_order { QUEUE_BY_ID, QUEUE_UNORDERED };
/* All entries of one moment, referenced; the array is the caller's until queue_list_free. */
struct queue_list {
	struct queue_entry **entries;
	size_t count;
};
void queue_index_list(struct queue_index *idx, enum queue_order order, struct queue_list *out)
    EXCLUDES(lk_queue_index);
void queue_list_free(struct queue_list *l);

struct queue_counts {
	size_t messages, state[QUEUE_STATES];
	size_t pending_recipients, destinations;
};
void queue_index_counts(struct queue_index *idx, struct queue_counts *out) EXCLUDES(lk_queue_index);
/* Pending recipients at each domain. */
void queue_index_each_destination(struct queue_index *idx,
    void (*fn)(void *arg, slice_t domain, size_t pending, int64_t next_us), void *arg)
    EXCLUDES(lk_queue_index);
#endif
