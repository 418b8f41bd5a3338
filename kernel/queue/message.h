/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/message: what a queued message is, as the callers of the store and of the index see it.
 * Values only; the slices live where whoever filled them in says.  What comes out of the store is
 * TAINTED.
 */
#ifndef HEDDLE_QUEUE_MESSAGE_H
#define HEDDLE_QUEUE_MESSAGE_H
#include "base/arena.h"

#include <sys/uio.h>

/* A message's id.  `serial` alone is unique for all time; `seconds` (since 1970) makes ids sort by
 * date. Text: Exim's classic form, seconds-YYYYYY-ZZ with the serial in the last eight digits (base
 * 62). */
struct queue_id {
	uint64_t serial;
	uint64_t seconds;
};
#define QUEUE_ID_LEN 16 /* "1vNaBc-00012-3aB" has 16 characters, no NUL */

/* Writes QUEUE_ID_LEN characters and a NUL. */
void queue_id_text(struct queue_id id, char out[QUEUE_ID_LEN + 1]);
MUST_USE bool queue_id_parse(slice_t s, struct queue_id *out);

enum queue_recipient_state {
	QUEUE_RCPT_PENDING,   /* to be tried */
	QUEUE_RCPT_DELIVERED, /* nothing more to do */
	QUEUE_RCPT_FAILED,    /* given up, told the sender about (or about to) */
	QUEUE_RCPT_REMOVED,   /* by an administrator */
	QUEUE_RCPT_STATES
};

struct queue_recipient {
	slice_t address;
	slice_t params; /* opaque, fixed: DSN parameters, errors-to, where it came from */
	uint32_t flags; /* opaque, fixed */
	/* what PROGRESS and EDIT have made of it; the initial values may be given on append */
	enum queue_recipient_state state;
	int64_t next_attempt_us; /* wall clock; 0: at once */
	slice_t retry;           /* opaque: retry facts, last error; replaced by each outcome */
};

#define QUEUE_MSG_FROZEN    (1u << 0) /* by EDIT */
#define QUEUE_MSG_CANCELLED (1u << 1) /* by EDIT: what is pending is to be bounced (-Mg) */
#define QUEUE_MSG_BODY_FILE                                                                       \
	(1u << 2)                      /* set by store_body_finish: the body is a file of its own \
	                                */
#define QUEUE_MSG_USER (0xffffu << 16) /* these bits are the caller's, fixed */

struct queue_message {
	struct queue_id id; /* from store_next_id */
	uint32_t flags;
	int64_t received_us;     /* wall clock */
	int64_t next_attempt_us; /* of the message as a whole; 0: at once */
	int64_t frozen_us;       /* when it was frozen; 0: it is not */
	slice_t sender;          /* envelope, without brackets; empty: a bounce */
	struct queue_recipient *recipients;
	size_t n_recipients;
	slice_t facts;  /* opaque: how it was received (host, protocol, authenticated id, acl
	                   variables ...) */
	slice_t *notes; /* out only: the notes of all PROGRESS since, oldest first */
	size_t n_notes;
	const slice_t
	    *headers; /* in: pieces that are joined; out: one piece, if it was asked for */
	size_t n_headers;
	uint64_t headers_size; /* out */
	uint64_t body_size;
	uint32_t body_crc; /* with QUEUE_MSG_BODY_FILE */
	const struct iovec
	    *body; /* in: pieces of an inline body; out: one piece, if it was asked for */
	size_t n_body;
};

/* What an attempt did to one recipient. */
struct queue_outcome {
	uint32_t recipient; /* index into recipients */
	enum queue_recipient_state state;
	int64_t next_attempt_us;
	slice_t retry;
};
struct queue_progress {
	struct queue_id id;
	const struct queue_outcome *outcomes;
	size_t n_outcomes;
	int64_t next_attempt_us; /* of the message; -1: leave as it was */
	slice_t note; /* opaque; kept with all earlier ones if not empty: children generated and
	                 delivered */
};

enum queue_edit_kind {
	QUEUE_EDIT_FREEZE, /* when_us: since when */
	QUEUE_EDIT_THAW,
	QUEUE_EDIT_CANCEL,           /* -Mg */
	QUEUE_EDIT_ADD_RECIPIENT,    /* text: address; it gets the next index */
	QUEUE_EDIT_REMOVE_RECIPIENT, /* recipient */
	QUEUE_EDIT_MARK_DELIVERED,   /* recipient */
	QUEUE_EDIT_MARK_ALL,         /* all that are pending: delivered */
	QUEUE_EDIT_SET_SENDER,       /* text */
	QUEUE_EDIT_SET_NEXT, /* when_us: next attempt of the message and of all pending recipients
	                      */
	QUEUE_EDIT_REPLACE_RECIPIENT, /* recipient is done with: `by` stand for it, under the next
	                                 indexes; all of that or nothing */
	QUEUE_EDIT_KINDS
};
struct queue_edit {
	enum queue_edit_kind kind;
	uint32_t recipient;
	uint32_t flags; /* ADD_RECIPIENT */
	int64_t when_us;
	slice_t text;
	slice_t params; /* ADD_RECIPIENT */
	const struct queue_recipient
	    *by; /* REPLACE_RECIPIENT: address, params, flags; due at when_us */
	size_t n_by;
};
#endif
