/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * message/message: one accepted message: envelope, header, body, and what was known when it was
 * received. Life: smtp (or submission, or recovery) builds it in an arena of its own, then it is
 * immutable and counted; the queue's index, deliveries and bounces hold references.  What changes
 * (who has been delivered to) is the queue's, not here. Threads: any, once built.   Source: RFC
 * 5321, 5322.
 */
#ifndef HEDDLE_MESSAGE_MESSAGE_H
#define HEDDLE_MESSAGE_MESSAGE_H
#include "base/strbuf.h"
#include "base/vec.h"
#include "expand/facts.h"

#define MESSAGE_ID_LEN 16 /* XXXXXX-YYYYYY-ZZ */
/* In queue_message.flags: sender_set_untrusted, for listings. */
#define MESSAGE_FLAG_SENDER_SET (1u << 16)

struct recipient {
	slice_t address;         /* fully qualified */
	slice_t errors_to;       /* from a redirection with one_time; else ABSENT */
	slice_t one_time_parent; /* whom that redirection made it of, for the log; zeroed or ABSENT:
	                            nobody */
	slice_t orcpt;           /* DSN: xtext, or ABSENT */
	uint32_t dsn_flags;      /* HEDDLE_DSN_ of NOTIFY= */
};

/* Where the body's bytes are: in memory (just received), or in the queue's store.  LF line ends,
 * not dot-stuffed, ends with a newline unless empty. */
struct body {
	const slice_t *chunks; /* in memory, in order; NULL: ask the store */
	uint32_t chunk_count;
	int fd;               /* body file, or -1 */
	uint64_t store_where; /* the store's location of the record, 0: not stored yet */
	uint64_t bytes, lines, zeros;
	uint32_t crc; /* of a body that is a file of its own in the store */
	bool in_file;
};

struct message {
	struct arena *arena;
	char id[MESSAGE_ID_LEN + 1];
	slice_t sender; /* "": bounce */
	struct recipient *recipients;
	uint32_t recipient_count;
	struct header_list headers;
	struct body body;
	struct session_facts
	    session; /* how it came in; those members that outlive the connection */
	struct message_facts facts;
	int64_t received_us;    /* wall clock */
	int64_t received_in_us; /* for RT= */
	uint64_t size_bytes;    /* as S= in the log: headers and body in LF form */
	bool deliver_freeze, manual_thaw, queue_only, body_8bit, body_7bit, local_message, smtputf8,
	    sender_local;
	int64_t downconvert;            /* utf8_downconvert of an ACL, and 2; 0: none */
	slice_t origin_user;            /* caller's login for local messages (U=), or ABSENT */
	int64_t origin_uid, origin_gid; /* the caller's, and 1; 0: it was none */
	bool sender_set_untrusted;      /* he is not trusted, and the sender is his word */
	_Atomic uint32_t refs;
};
struct message *message_new(void); /* one reference, an empty arena */
struct message *message_ref(struct message *m);
void message_unref(struct message **m);

/* The facts that survive a restart, as bytes for queue_message.facts, and back from untrusted bytes
 * (RC_FAIL: malformed). Sender, recipients, times and the header travel beside it, since the queue
 * changes or reads them itself. */
slice_t message_encode_envelope(struct arena *a, const struct message *m);
MUST_USE enum rc message_decode_envelope(struct message *m, slice_t bytes, struct error *err);
/* Copy the session's facts that outlive the connection into m->session, on m's arena. */
void message_take_session(struct message *m, const struct session_facts *f);
/* What belongs to one recipient beside its address, for queue_recipient.params. */
slice_t message_encode_recipient(struct arena *a, const struct recipient *r);
MUST_USE enum rc message_decode_recipient(
    struct arena *a, slice_t bytes, struct recipient *out, struct error *err);

/* Header lists.  header_parse splits a whole header section (LF ends) into fields in list; text is
 * borrowed. */
void header_parse(struct arena *a, slice_t section, struct header_list *list);
struct header *header_append(struct arena *a, struct header_list *list, slice_t text);
struct header *header_prepend(struct arena *a, struct header_list *list, slice_t text);
struct header *header_insert_after(
    struct arena *a, struct header_list *list, struct header *after, slice_t text);
void header_delete(struct header_list *list, struct header *h); /* marks it '*' */
/* Next field of this name after `from` (NULL: first), case ignored; skips deleted ones. */
struct header *header_find(const struct header_list *list, slice_t name, const struct header *from);
slice_t header_value(const struct header *h); /* after the colon, trimmed */
/* Length of the field name that a line begins with (before white space and colon); 0: it is no
 * header line. */
uint32_t header_name_length(slice_t line);
/* The list as bytes, without deleted fields: pieces for writev, in the arena. */
uint32_t header_pieces(struct arena *a, const struct header_list *list, slice_t **out);
uint64_t header_section_size(const struct header_list *list);

/* What the configuration lets through beside the usual. */
enum {
	ADDRESS_LITERAL = 1,         /* allow_domain_literals; lists of addresses always do */
	ADDRESS_EXCESS_BRACKETS = 2, /* strip_excess_angle_brackets */
	ADDRESS_TRAILING_DOT = 4,    /* strip_trailing_dot */
};
struct config;
unsigned address_flags(const struct config *cfg);
/* Split at the last unquoted @, and again at a '%' of the local part for as long as the domain is
 * one of percent_hack_domains.  false: there is no domain. */
struct eval;
bool address_split_hacked(
    struct eval *ev, slice_t address, slice_t *out_local, slice_t *out_domain);
/* Addresses (RFC 5322 3.4 with Exim's tolerance).  Next address of a header value or list: *pos
 * starts at 0; out is the bare address; RC_FAIL with a syntax error in err; RC_DEFER never; *out
 * ABSENT at the end. */
MUST_USE enum rc address_list_next(struct arena *a, slice_t list, unsigned flags, size_t *pos,
    slice_t *out_address, struct error *err);
/* The same, and where in the list its local part begins and ends. */
MUST_USE enum rc address_list_next_at(struct arena *a, slice_t list, unsigned flags, size_t *pos,
    slice_t *out_address, size_t *out_from, size_t *out_to, struct error *err);
/* A local part, quoted if it needs it. */
slice_t address_quote_local(struct arena *a, slice_t local);
/* One SMTP path or address: "<@a,@b:user@dom>", "<>", "user@dom"; checks syntax; empty for "<>".
 * flags: ADDRESS_.  RC_FAIL: err has Exim's words. */
MUST_USE enum rc address_parse_path(struct arena *a, slice_t text, bool allow_null, unsigned flags,
    slice_t *out_address, struct error *err);
/* Split at the last unquoted @; false: there is none (all is local part). */
bool address_split(slice_t address, slice_t *out_local, slice_t *out_domain);
#define ADDRESS_MAX 256 /* longer ones are "ridiculously long" */
#endif
