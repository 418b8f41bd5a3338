/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * expand/expand: Exim's string expansion.  A text is parsed once into a tree (constants folded,
 * constant regexes compiled with JIT, names of variables resolved to rows); evaluating allocates
 * from an arena and never parses. Ownership: a tree lives in the arena it was compiled in and is
 * immutable: any number of threads evaluate it at once. Threads: a struct eval belongs to one
 * thread at a time.  Blocks: evaluating may (lookups, files, commands, DNS). Source: Exim
 * specification, chapter 11.
 */
#ifndef HEDDLE_EXPAND_EXPAND_H
#define HEDDLE_EXPAND_EXPAND_H
#include "expand/facts.h"
#include "log/log.h"

struct expr;
struct config;
struct drivers;
struct cancel;
struct worker;
struct eval;
struct acl_run;

/* What is known when a text is compiled: for messages, and for what is refused at load time. */
struct expr_env {
	const struct config
	    *cfg;         /* named lists, drivers; NULL in plain tests: lookups are then refused */
	const char *file; /* configuration file or NULL */
	unsigned line;
	const char *option;   /* "router NAME: data", or NULL */
	uint64_t forbid;      /* HEDDLE_FORBID_ bits */
	struct vec *warnings; /* struct error elements, or NULL; on the arena given to compile */
	uint32_t phases;      /* where it is evaluated: expand/phases.h; 0: not known */
	struct vec
	    *uses; /* struct var_use: what it reads, for who knows the phases later; or NULL */
};

/* Parse.  RC_ERROR: syntax, unknown item, operator, condition or variable (with a near name), 'not
 * supported yet: NAME'. */
MUST_USE enum rc expr_compile(struct arena *a, slice_t text, const struct expr_env *env,
    const struct expr **out_expr, struct error *err);
/* A warning into env->warnings if e can only come out tainted whenever it is not empty: `where` ("a
 * file name") refuses it. */
void expr_warn_tainted(
    struct arena *a, const struct expr *e, const struct expr_env *env, const char *where);
/* Constant text, known without an eval. */
bool expr_constant(const struct expr *e, slice_t *out_text);

/* What an evaluation may need from modules above; each may be NULL: what needs it is then an error.
 */
struct eval_hooks {
	/* ${acl{name}{arg}...} and acl{}: RC_OK accepted, RC_FAIL denied, RC_DEFER; *out_text = the
	 * message= text */
	enum rc (*acl)(struct eval *ev, slice_t name, const slice_t *args, uint32_t count,
	    slice_t *out_text, struct error *err);
	/* ${run}: argv[0] absolute and clean; through an agent; *out_status as waitpid */
	enum rc (*run)(struct eval *ev, const slice_t *argv, uint32_t argc, slice_t *out_text,
	    int *out_status, struct error *err);
	/* $sender_host_name was read and nothing has looked it up: do so, fill in the session's
	 * facts */
	enum rc (*host_name)(struct eval *ev);
};

#define EVAL_CAPTURES 20
struct eval {
	struct arena *arena;      /* results and temporaries */
	const struct config *cfg; /* the snapshot, referenced by whoever owns the eval */
	const struct process_facts *process;
	struct session_facts *session; /* each may be NULL: its variables are then unset */
	struct message_facts *message;
	struct address_facts *address;
	struct host_facts *host;
	const struct eval_hooks *hooks;
	void *hooks_ctx;
	struct services
	    *services;   /* resolver, lookup handles, log: driver/services.h; may be NULL */
	struct log *log; /* the snapshot's; NULL: nowhere, and Exim's default selectors */
	struct heddle_call *call; /* the driver call this runs under, or NULL */
	struct cancel *cancel;    /* or NULL */
	struct worker *worker;    /* who runs this, for waits; NULL: a thread that is no worker */
	int64_t deadline_us;      /* monotonic */
	uint64_t forbid;
	/* registers */
	slice_t captures[EVAL_CAPTURES]; /* $0.. */
	uint32_t capture_count;
	slice_t value, item, lookup_value; /* $value, $item */
	slice_t acl_arg[9];
	uint32_t acl_narg;
	struct acl_run *acl_run; /* the ACL that is being run, or NULL */
	int64_t runrc;           /* -1: unset */
	slice_t dnslist_domain, dnslist_text, dnslist_value, dnslist_matched;
	slice_t srs_recipient;
	slice_t prvscheck_address, prvscheck_keynum, prvscheck_result, thisaddress;
	bool lookup_dnssec;
	uint32_t depth;        /* nested ${expand, lookups and ACLs: bounded */
	uint32_t lookup_depth; /* lookups that run lookups */
	/* Bumped by whoever lets a register point into the arena: loops then keep what they would
	 * give up.  held: for captures and $value, which ${if and other items put back (and this
	 * with them); pinned: for all others. */
	uint32_t pinned, held;
	uint32_t
	    steps; /* rounds of loops in this evaluation: bounded, and when to look at the clock */
};
void eval_init(struct eval *ev, struct arena *a, const struct config *cfg);

/* Debug output about what this evaluation belongs to: to stderr as -d says, and to the file that an
 * ACL's control = debug has named.  What costs something to say is asked for first. */
bool eval_debugging(const struct eval *ev, enum log_debug what);
void eval_debug(const struct eval *ev, enum log_debug what, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* RC_OK; RC_FAIL: forced failure ("fail"); RC_DEFER: a lookup deferred; RC_ERROR: the expansion
 * failed. For all but OK err says why.  The result lives in ev->arena (or is a borrowed constant or
 * fact). */
MUST_USE enum rc expr_eval(
    struct eval *ev, const struct expr *e, slice_t *out_text, struct error *err);
/* As an option of type boolean: "", 0, no, false: false; 1.., yes, true: true; else RC_ERROR. */
MUST_USE enum rc expr_eval_bool(
    struct eval *ev, const struct expr *e, bool *out, struct error *err);
/* Integer with K, M, G; must be the whole text. */
MUST_USE enum rc expr_eval_int(
    struct eval *ev, const struct expr *e, int64_t *out, struct error *err);
/* Compile and evaluate at run time; refuses tainted text. */
MUST_USE enum rc expand_text(struct eval *ev, slice_t text, slice_t *out_text, struct error *err);
/* A variable by its name without "$": for drivers' var_get; RC_FAIL: no such variable; *out ABSENT:
 * unset. */
MUST_USE enum rc expand_variable(struct eval *ev, slice_t name, slice_t *out, struct error *err);
/* Set acl_c*, acl_m*, auth1.., 1.., value, r_*: RC_FAIL for any other.  Copies into the owner's
 * arena. */
MUST_USE enum rc expand_variable_set(
    struct eval *ev, slice_t name, slice_t value, struct error *err);
/* Exim's truth of a text (condition =, bool_lax{}): RC_ERROR does not occur for lax. */
bool expand_is_true_lax(slice_t text);
/* Next item of a list text with Exim's separator rules ("<;", doubled separators, empty items);
 * *pos starts at 0. false at the end.  The item lives in a, or in the text. */
bool expand_list_next(struct arena *a, slice_t list, uint64_t *pos, slice_t *out_item);
/* RFC 2047 encoded words, said to be in headers_charset, if the text needs them. */
slice_t rfc2047_encode(struct arena *a, const struct config *cfg, slice_t s);
/* Encoded words become what they mean, converted to headers_charset if asked for.  RC_ERROR: one
 * is in a character set that is not known; with err NULL its bytes stay. */
MUST_USE enum rc rfc2047_decode(
    const struct eval *ev, slice_t s, bool convert, slice_t *out, struct error *err);
#endif
