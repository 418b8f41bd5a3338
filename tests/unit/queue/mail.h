/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages that can be made again from a number, so that what comes back can be compared byte by
 * byte. */
#ifndef HEDDLE_TESTS_QUEUE_MAIL_H
#define HEDDLE_TESTS_QUEUE_MAIL_H
#include "queue/queue.h"

#define MAIL_RECIPIENTS_MAX 4u

struct mail {
	struct queue_message m;
	slice_t body; /* also of one that goes to a file */
	size_t extra; /* recipients that may have come behind them */
};
/* Bodies up to max_body bytes. */
void mail_make(
    struct arena *a, struct queue_id id, uint64_t number, size_t max_body, struct mail *out);
/* Envelope as given at first. */
bool mail_same_envelope(const struct mail *want, const struct queue_message *got);
/* Envelope, facts, headers, body: everything as it was given.  false with the reason in *why. */
bool mail_is_whole(struct store *s, struct arena *a, const struct mail *want, const char **why);
/* Append it, with a body file when it is over the threshold; done as store_append. */
enum rc mail_append(
    struct store *s, struct arena *a, struct mail *mail, store_done_fn *fn, void *arg);
/* A recipient that is delivered, all of n; and the note of the k-th attempt. */
slice_t mail_note(struct arena *a, uint64_t number, unsigned k);
#endif
