/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deliver/load: a message and its state, from the store or from its receiver's hands.
 * Threads: any.  Blocks: load_message reads the disk.
 */
#ifndef HEDDLE_DELIVER_LOAD_H
#define HEDDLE_DELIVER_LOAD_H
#include "message/message.h"
#include "queue/queue.h"

/* One reference for the caller; out_q's slices live in the message's arena. */
MUST_USE enum rc load_message(struct store *s, struct queue_id id, struct message **out_m,
    struct queue_message *out_q, struct error *err);
/* The state of a message that was accepted a moment ago: nothing has been tried. */
void load_fresh(
    struct arena *a, const struct message *m, struct queue_id id, struct queue_message *out_q);
/* The first max bytes of a body that is in memory. */
slice_t load_text(struct arena *a, const struct message *m, uint64_t max);
#endif
