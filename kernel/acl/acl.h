/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * acl/acl: access control lists, compiled when the configuration is loaded.
 * Ownership: compiled ACLs live in the snapshot, immutable.  Threads: any number run one at once,
 * each with its own eval and run state.  Blocks: conditions may (lookups, DNS, verification).
 * Source: Exim specification, chapter 43/44.
 */
#ifndef HEDDLE_ACL_ACL_H
#define HEDDLE_ACL_ACL_H
#include "config/config.h"

enum acl_where { /* in the order of a session; bits of the masks of the condition tables */
	ACL_CONNECT,
	ACL_HELO,
	ACL_STARTTLS,
	ACL_AUTH,
	ACL_MAIL,
	ACL_MAILAUTH,
	ACL_RCPT,
	ACL_PREDATA,
	ACL_DATA_PRDR,
	ACL_MIME,
	ACL_DKIM,
	ACL_DATA,
	ACL_ETRN,
	ACL_EXPN,
	ACL_VRFY,
	ACL_QUIT,
	ACL_NOTQUIT,
	ACL_NOT_SMTP_START,
	ACL_NOT_SMTP_MIME,
	ACL_NOT_SMTP,
	ACL_UNKNOWN,
	ACL_WHERE_COUNT,
};
enum acl_verdict { ACL_ACCEPT, ACL_DENY, ACL_DEFER, ACL_DROP, ACL_DISCARD };

enum acl_header_place { ACL_AT_END, ACL_AT_START, ACL_AFTER_RECEIVED, ACL_AT_START_RFC };
/* What an ACL may do to the session or message: controls, header changes; consumed by smtp. */
struct acl_effects {
	struct arena *arena;      /* of the transaction (or connection) */
	struct vec headers_added; /* slice_t, each whole with its newline; duplicates are dropped */
	struct vec
	    headers_where; /* uint8_t (enum acl_header_place), one for each of headers_added */
	struct vec headers_removed; /* slice_t: colon-separated names, as given */
	bool submission, submission_sender_retain;
	slice_t submission_domain, submission_name;
	bool suppress_local_fixups, queue_only, freeze, freeze_no_tell, no_multiline, no_pipelining,
	    allow_auth_unadvertised, no_enforce_sync, enforce_sync, caseful_local_part,
	    no_delay_flush, no_callout_flush;
	bool fake_reject, fake_defer;
	bool has_downconvert;
	int downconvert; /* addresses outside ASCII: 1 always in ASCII form, 0 never, -1 where need
	                    be */
	slice_t fake_text;
	struct vec warned; /* slice_t: warnings that were logged once already */
	int64_t delay_ms;  /* smtp parks for so long before it replies */
};
struct acl_outcome {
	enum acl_verdict verdict;
	int smtp_code;               /* from "550 5.7.1 text" in message; 0: the caller's default */
	slice_t enhanced;            /* "5.7.1" or ABSENT */
	slice_t user_text, log_text; /* message, log_message; ABSENT: the caller's default */
	slice_t verb_name, acl_name;
	bool log_reject_main, log_reject_reject, log_reject_panic; /* log_reject_target */
	bool sender_verify_failed, recipient_verify_failed;
	slice_t verified_sender, verify_detail; /* sender_verify_failed: which, and why */
	bool no_details;                        /* the client is not to know why */
};
struct verify_options {
	bool defer_ok, no_details, success_on_redirect;
};
/* Upcalls of one run: what needs smtp or deliver. */
struct acl_hooks {
	/* route for verification; fills in message facts' *_verify_failure, acl_verify_message */
	enum rc (*verify_address)(struct eval *ev, slice_t address, bool is_sender,
	    const struct verify_options *o, slice_t *out_user_text, slice_t *out_log_text,
	    struct error *err);
	enum rc (*verify_helo)(struct eval *ev, struct error *err);
	enum rc (*verify_reverse_host)(struct eval *ev, struct error *err);
	/* the RCPT being checked, as "address"; ABSENT in other ACLs: read by domains=,
	 * local_parts=, recipients= */
	void (*log_line)(struct eval *ev, enum acl_where where, slice_t text, bool main,
	    bool reject, bool panic);
	/* what is looked at and decided, line by line, for who tests a policy (-bh); NULL: nobody
	 * listens */
	void (*trace)(struct eval *ev, slice_t line);
};
struct acl_run {
	enum acl_where where;
	slice_t recipient; /* RCPT and VRFY: the address; ABSENT otherwise */
	struct acl_effects *effects;
	const struct acl_hooks *hooks;
	uint32_t level; /* nested ACLs; the ACL's own */
};
/* For config_hooks.compile_acls: all ACLs of a snapshot; several problems in one go (struct error
 * in problems and in warnings, both on a). */
MUST_USE enum rc acl_compile_all(const struct config *cfg, struct arena *a, struct vec *problems,
    struct vec *warnings, const void **out_acls);
/* text: what an acl_smtp_xxx option gave after expansion: a name, a file, or inline text.  RC_OK:
 * *out is set; RC_ERROR (err; the caller answers 451 and logs to panic) otherwise. */
MUST_USE enum rc acl_check(
    struct eval *ev, struct acl_run *run, slice_t text, struct acl_outcome *out, struct error *err);
/* As eval_hooks.acl: ${acl{NAME}{arg}} and acl{} run an ACL in the place of the one that is running
 * (ev->acl_run), or with no effects where none is. */
MUST_USE enum rc acl_eval_hook(struct eval *ev, slice_t name, const slice_t *args, uint32_t count,
    slice_t *out_text, struct error *err);
const char *acl_where_name(enum acl_where where); /* "RCPT", "connection", ...: Exim's words */
#endif
