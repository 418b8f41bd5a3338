/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of acl share: the compiled form, the table of conditions and modifiers, the state
 * of one run. */
#ifndef HEDDLE_ACL_ACL_PRIVATE_H
#define HEDDLE_ACL_ACL_PRIVATE_H
#include "acl/acl.h"
#include "base/map.h"
#include "match/text_cache.h"

enum acl_verb {
	VERB_ACCEPT,
	VERB_DEFER,
	VERB_DENY,
	VERB_DISCARD,
	VERB_DROP,
	VERB_REQUIRE,
	VERB_WARN
};

enum arg_kind {
	ARG_NONE,
	ARG_TEXT,  /* expanded when it is reached */
	ARG_LATER, /* message, log_message: expanded when the outcome is known */
	ARG_ACL,
	ARG_SET,
	ARG_VERIFY,
	ARG_CONTROL,
	ARG_DOMAINS,
	ARG_HOSTS,
	ARG_ADDRESSES,
	ARG_LOCALPARTS,
	ARG_STRINGS,
};

#define WHERE(w)  (UINT32_C(1) << (w))
#define WHERE_ALL (WHERE(ACL_WHERE_COUNT) - 1)
/* while a message is on its way in; its whole text is there */
#define WHERE_MESSAGE_TEXT                                                            \
	(WHERE(ACL_DATA) | WHERE(ACL_DATA_PRDR) | WHERE(ACL_MIME) | WHERE(ACL_DKIM) | \
	    WHERE(ACL_NOT_SMTP))
#define WHERE_ENVELOPE (WHERE(ACL_MAIL) | WHERE(ACL_RCPT) | WHERE(ACL_PREDATA))
#define WHERE_NOT_SMTP (WHERE(ACL_NOT_SMTP) | WHERE(ACL_NOT_SMTP_START) | WHERE(ACL_NOT_SMTP_MIME))
#define WHERE_MESSAGE  (WHERE_ENVELOPE | WHERE_MESSAGE_TEXT | WHERE_NOT_SMTP)
/* the verb discard: there is a message to discard */
#define ACL_MAY_DISCARD (WHERE_MESSAGE | WHERE(ACL_UNKNOWN))

struct acl_state;
struct acl_cond;
typedef enum rc (*acl_fn)(struct acl_state *st, const struct acl_cond *c, struct error *err);

struct acl_row {
	const char *name;
	enum arg_kind arg;
	bool is_modifier;
	uint32_t allowed; /* WHERE_ mask; 0: not supported yet */
	acl_fn fn;        /* NULL: the statement's own (message, endpass) */
};

struct acl_cond {
	const struct acl_row *row;
	const char *file;
	unsigned line;
	bool negated, constant;
	const struct expr *expr;
	slice_t text;   /* of a constant; the name of the variable that is set */
	slice_t source; /* as written; borrowed from the configuration's text */
	struct match_list *list;
	const struct expr **args; /* acl = NAME args */
	uint32_t arg_count;
	const struct acl *callee; /* acl = NAME, when NAME is known */
	const void *parsed;       /* verify and control with a constant argument */
	struct acl_cond *next;
};
struct acl_stmt {
	enum acl_verb verb;
	const char *file;
	unsigned line;
	bool has_endpass;
	struct acl_cond *conds, **last;
	struct acl_stmt *next;
};
struct acl {
	slice_t name;
	struct acl_stmt *stmts, **last;
	struct vec uses; /* struct var_use: at load, what its texts read */
	uint32_t
	    checked; /* WHERE_ mask: at load, places for which its conditions have been looked at */
};
struct acls {                     /* of a snapshot */
	struct map *named;        /* struct acl */
	struct map *inlined;      /* constant texts of options; struct acl */
	struct text_cache *texts; /* texts and files met at run time */
};

struct acl_state { /* of one ACL's run */
	struct eval *ev;
	struct acl_run *run;
	const struct acls *acls;
	const struct acl *acl;
	const struct acl_stmt *stmt;
	slice_t user_msg, log_msg; /* of a condition that failed; ABSENT */
	const struct acl_cond *message, *log_message;
	bool endpass, ignored, nested_drop, nested_discard;
	bool log_main, log_reject, log_panic;
	bool sender_failed, recipient_failed, no_details;
	slice_t verified_sender, verify_detail; /* sender_failed: which, and why */
};

/* ---- table.c ---- */
const struct acl_row *acl_row_find(slice_t name);
bool acl_is_near(slice_t a, const char *b);
const char *acl_row_near(slice_t name); /* a name like it, or NULL */
/* "cannot test X condition in Y ACL" */
enum rc acl_refuse_place(const struct acl_cond *c, enum acl_where where, struct error *err);
/* ---- compile.c ---- */
struct acl_compile {
	struct arena *arena;
	const struct config *cfg;
	struct acls *acls;
	struct vec *problems; /* struct error, on problem_arena; NULL: the first one ends it */
	struct arena *problem_arena;
	struct vec
	    *warnings;    /* struct error, on arena; NULL: not while a configuration is loaded */
	struct vec *uses; /* of the ACL that is being compiled */
};
MUST_USE enum rc acl_compile_lines(
    struct acl_compile *c, const struct vec *lines, struct acl *acl, struct error *err);
/* The constant text of an option or of "acl =" to acls->inlined; a word that is no ACL's name is an
 * error.  *out NULL: a file. */
MUST_USE enum rc acl_compile_inline(struct acl_compile *c, slice_t text, const char *file,
    unsigned line, struct acl **out, struct error *err);
/* ---- warn.c ---- what is never set where it is read, as soon as all places are known */
void acl_warn(struct acl_compile *c);
bool acl_is_verb(slice_t word);
/* ---- source.c ---- text of an ACL to its lines; file NULL: inline */
MUST_USE enum rc acl_split_lines(
    struct arena *a, slice_t text, const char *file, struct vec *lines, struct error *err);
/* ---- find.c ---- by name, file or text; *out_entry: to be given back, or NULL */
MUST_USE enum rc acl_find(struct eval *ev, const struct acls *acls, slice_t text,
    const struct acl **out, struct text_entry **out_entry, struct error *err);
/* ---- run.c ---- */
MUST_USE enum rc acl_run_one(
    struct acl_state *st, const struct acl *acl, struct acl_outcome *out, struct error *err);
/* Evaluate c's argument.  RC_FAIL does not occur: a forced failure sets st->ignored and gives
 * RC_OK. */
MUST_USE enum rc acl_arg(
    struct acl_state *st, const struct acl_cond *c, slice_t *out, struct error *err);
/* ---- verify.c, control.c: constant arguments are parsed at load ---- */
MUST_USE enum rc acl_verify_parse(
    struct arena *a, slice_t text, const void **out, struct error *err);
MUST_USE enum rc acl_control_parse(
    struct arena *a, slice_t text, const void **out, struct error *err);
/* The same of c's expression, whether or not the text is constant. */
MUST_USE enum rc acl_expand(
    struct acl_state *st, const struct acl_cond *c, slice_t *out, struct error *err);
uint32_t acl_verify_allowed(const void *parsed);
uint32_t acl_control_allowed(const void *parsed);
const char *acl_verify_word(const void *parsed);
const char *acl_control_word(const void *parsed);
/* ---- modify.c ---- */
/* "H=... Warning: text", once for each text in a message. */
void acl_log_warning(struct acl_state *st, slice_t text);
void acl_log(struct acl_state *st, slice_t text, bool main, bool reject, bool panic);
slice_t acl_host_and_ident(struct eval *ev);
void acl_add_header(struct acl_state *st, slice_t text);
/* ---- check_header.c ---- */
MUST_USE enum rc acl_check_header_syntax(struct acl_state *st, struct error *err);
MUST_USE enum rc acl_check_header_names(struct acl_state *st, struct error *err);
MUST_USE enum rc acl_check_not_blind(struct acl_state *st, bool caseless, struct error *err);

/* The addresses of Sender:, Reply-To:, From: one after the other; starts zeroed. */
struct sender_walk {
	uint32_t seen;
	slice_t bad; /* what is wrong with one that cannot be read; ends the walk */
};
bool acl_header_sender_next(
    struct acl_state *st, struct sender_walk *walk, slice_t *out_name, slice_t *out);
/* What the log says; the client is told `details` where smtp_return_error_details lets it. */
enum rc acl_header_refused(
    struct acl_state *st, slice_t logged, slice_t details, struct error *err);

/* ---- the functions of the table ---- */
#define ACL_FN(name) \
	enum rc acl_do_##name(struct acl_state *st, const struct acl_cond *c, struct error *err)
ACL_FN(acl);
ACL_FN(add_header);
ACL_FN(authenticated);
ACL_FN(condition);
ACL_FN(continue);
ACL_FN(control);
ACL_FN(delay);
ACL_FN(domains);
ACL_FN(encrypted);
ACL_FN(hosts);
ACL_FN(local_parts);
ACL_FN(log_reject_target);
ACL_FN(logwrite);
ACL_FN(recipients);
ACL_FN(remove_header);
ACL_FN(sender_domains);
ACL_FN(senders);
ACL_FN(set);
ACL_FN(verify);
#endif
