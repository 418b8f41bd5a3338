/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * message/fixups: what is done to the header of a message as it comes in: the Received: line,
 * fields that have no business in transit taken out, and for local submissions and control =
 * submission the missing fields put in. Threads: the one that builds the message.   Source: Exim
 * specification, chapter 48.
 */
#ifndef HEDDLE_MESSAGE_FIXUPS_H
#define HEDDLE_MESSAGE_FIXUPS_H
#include "config/config.h"
#include "message/message.h"

/* received_header_text expanded, a date put behind it, as the first field.  RC_OK with *out NULL
 * when the option is empty. */
MUST_USE enum rc received_prepend(struct arena *a, struct header_list *list, struct eval *ev,
    int64_t wall_us, struct header **out, struct error *err);
/* The same field with another time (acceptance instead of arrival): same length, in place. */
void received_set_time(struct header *h, int64_t wall_us);

struct fixup_request {
	bool local;      /* not over TCP/IP */
	bool submission; /* control = submission */
	bool sender_retain;
	bool suppress;             /* control = suppress_local_fixups */
	slice_t submission_domain; /* ABSENT: not given; empty: the id is a whole address */
	slice_t submission_name;
	slice_t login, full_name;               /* of a local submitter; ABSENT: none */
	slice_t given_name;                     /* -F; ABSENT: none */
	bool trusted;                           /* local and may say who it is */
	bool qualify_sender, qualify_recipient; /* fields of senders, of recipients */
};
/* Works on m->headers and, in submission mode, m->sender. */
MUST_USE enum rc message_fixup(
    struct message *m, struct eval *ev, const struct fixup_request *r, struct error *err);
/* Addresses without a domain in the fields that name senders and recipients get these; ABSENT:
 * stay.  flags: ADDRESS_. */
void message_qualify(
    struct message *m, unsigned flags, slice_t sender_domain, slice_t recipient_domain);
/* The id in the Message-Id: (or Resent-Message-Id:) field without its brackets, for id= in the log;
 * ABSENT: none. */
slice_t message_header_id(const struct header_list *list);
/* How often it has been received: Received: fields. */
uint32_t message_received_count(const struct header_list *list);
#endif
