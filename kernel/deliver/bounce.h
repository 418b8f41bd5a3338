/* SPDX-License-Identifier: GPL-3.0-or-later */
/* deliver/bounce: shared by the parts that tell senders and administrators, by nobody else. */
#ifndef HEDDLE_DELIVER_BOUNCE_H
#define HEDDLE_DELIVER_BOUNCE_H
#include "deliver/deliver_private.h"

/* bounce_template.c: the first items of bounce_message_file or warn_message_file, expanded; ABSENT:
 * Exim's own words are used. */
#define BOUNCE_ITEMS 3
struct bounce_template {
	slice_t item[BOUNCE_ITEMS];
};
void bounce_template_read(struct attempt *t, enum main_option option, struct bounce_template *out);
/* errors_copy: who else gets what goes to this address; slice_t elements, on a. */
void bounce_copies(struct attempt *t, struct arena *a, slice_t to, struct vec *out);
/* A list of addresses with commas between them; those without a domain get one. */
void bounce_addresses(struct attempt *t, struct arena *a, slice_t list, struct vec *out);

/* bounce.c */
slice_t bounce_address(const struct attempt *t, const struct address *a);
/* Is who is at `to` told of this failure? */
bool bounce_tells(const struct attempt *t, const struct address *a, slice_t to);

/* bounce_body.c */
slice_t bounce_failure_body(struct attempt *t, struct arena *a, slice_t to, slice_t boundary,
    const struct bounce_template *given);
slice_t bounce_success_body(struct attempt *t, struct arena *a, slice_t boundary);
slice_t bounce_delay_body(
    struct attempt *t, struct arena *a, slice_t boundary, const struct bounce_template *given);
slice_t bounce_frozen_body(struct attempt *t, struct arena *a);
bool bounce_is_slow(const struct attempt *t, const struct address *a);
#endif
