/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * expand/tree: the compiled form of an expansion, private to this module.
 * An expr is a run of nodes whose values are joined; a node is a constant text, a variable, an item
 * or an operator, and holds a function of its row's table.  Everything lives in the arena that the
 * text was compiled in.
 */
#ifndef HEDDLE_EXPAND_TREE_H
#define HEDDLE_EXPAND_TREE_H
#include "base/strbuf.h"
#include "base/vec.h"
#include "expand/expand.h"
#include "expand/fields.h"
#include "expand/regex.h"

struct node;
struct cond;
struct parser;

/* Bounds on what a text may ask for.  A level of nesting costs some 400 bytes of stack in each of a
 * few functions. */
enum {
	EXPAND_NESTING_MAX = 100, /* braces within braces, when compiled */
	EVAL_DEPTH_MAX = 120, /* the same with ${expand:}, lookups and ACLs in it, when evaluated */
	EVAL_TEXT_MAX = 16 << 20,    /* one result */
	EVAL_STEPS_MAX = 200000000,  /* rounds of all loops together: loops within loops multiply */
	EVAL_ARENA_MAX = 256 << 20,  /* what one evaluation with loops may leave in its arena */
	EXPAND_SOURCE_MAX = 4 << 20, /* a text to be compiled */
	ARGS_MAX = 16,
};

typedef enum rc node_fn(struct eval *ev, const struct node *n, slice_t *out, struct error *err);

struct node {
	node_fn *eval;   /* NULL: `text` is the value */
	slice_t text;    /* constant; name of a header or variable; name of the item for messages */
	slice_t name;    /* acl_m_x and its kind: all of it */
	const void *row; /* of the table it came from */
	const struct expr **args;
	uint32_t arg_count;
	/* {yes}{no} of items that have them; see eval_branch */
	const struct expr *yes, *no;
	bool has_yes, fail;      /* fail: the keyword stood in place of {no} */
	const struct cond *cond; /* if, filter, forany */
	int64_t number[2];       /* _n_m of operators */
	uint8_t numbers;
	bool flag;
	const void *data; /* compiled regex, lookup type ... */
};

struct expr {
	const struct node *nodes;
	uint32_t count;
	bool constant;
	slice_t text; /* of a constant */
};

typedef enum rc cond_fn(struct eval *ev, const struct cond *c, bool *out, struct error *err);
typedef enum rc cond_parse_fn(struct parser *p, struct cond *c);

struct cond_row {
	const char *name;
	cond_fn *eval;
	cond_parse_fn *parse; /* NULL: `args` braced strings */
	uint8_t args;
	uint8_t flags; /* COND_ bits */
	int16_t arg;   /* for the function */
};
enum { COND_CAPTURES = 1 /* may set $0.. or $value */ };
struct cond {
	const struct cond_row *row;
	bool negate, captures; /* captures: it or what is in it may set $0.. */
	const struct expr *args[2];
	const struct cond *subs; /* and, or, forany */
	uint32_t sub_count;
	const struct node *node; /* def:, acl */
	const void *data;        /* compiled regex or list */
	int64_t number[2];       /* constant operands of the numeric ones */
	bool number_known[2];
};

/* ---- parsing (parse.c) ---- */
struct parser {
	struct arena *arena;
	const struct expr_env *env;
	const char *s, *at, *end;
	uint16_t flags;    /* of the text: constants inherit its taint */
	bool plain_dollar; /* within a list that is not expanded: only backslashes mean something */
	bool no_folding;   /* within a command: what is expanded is not split into words */
	bool in_loop;      /* of a text that is evaluated once, but this part of it many times */
	bool header_open; /* a header's name was ended by white space or the end: for the message */
	unsigned depth;
	struct error *err;
	struct vec uses, guards; /* struct var_use; slice_t: what stands behind "def:" */
};
enum rc parse_error(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
void parse_space(struct parser *p);
bool parse_is(struct parser *p, char c); /* next character is c */
slice_t parse_name(struct parser *p);    /* letters, digits, underscores */
slice_t parse_slice(const struct parser *p, const char *from, const char *to);
/* One expression up to an unprotected "}" (not consumed) when `braced`, else to the end. */
MUST_USE enum rc parse_expr(struct parser *p, bool braced, const struct expr **out);
/* "{text}", white space before it allowed; what names the item for the message when there is no
 * "{". */
MUST_USE enum rc parse_arg(struct parser *p, const char *what, const struct expr **out);
MUST_USE enum rc parse_args(struct parser *p, struct node *n, unsigned min, unsigned max);
/* {yes}{no} or {yes}fail or nothing, then the item's closing brace, which is consumed. */
MUST_USE enum rc parse_branches(struct parser *p, struct node *n);
MUST_USE enum rc parse_close(struct parser *p, const char *what);
MUST_USE enum rc parse_cond(struct parser *p, struct cond *out);
MUST_USE enum rc parse_variable(struct parser *p, slice_t name, bool braced, struct node *n);
/* Did the last error say "not supported yet"? */
bool parse_was_unsupported(const struct parser *p);
/* A text of the configuration, not one that was made at run time: worth an index. */
bool parse_at_load(const struct parser *p);
/* REGEX_JIT for what will be evaluated many times: a text of the configuration, the body of a loop.
 */
unsigned parse_regex_flags(const struct parser *p);
/* h_ header_ rh_ rheader_ bh_ bheader_ lh_ lheader_: 'h' 'r' 'b' 'l', else 0. */
char header_form(slice_t name);
MUST_USE enum rc parse_header(struct parser *p, struct node *n);
/* Warn if e can only come out tainted whenever it is not empty: `where` will refuse it. */
void warn_tainted(struct parser *p, const struct expr *e, const char *where);
/* Words that exist in Exim and are not built. */
bool parse_unsupported(const char *const *names, slice_t name);
struct expr *expr_of_text(struct arena *a, slice_t text);
struct expr *expr_of_node(struct arena *a, const struct node *n);

/* ---- rows ---- */
struct item_row {
	const char *name;
	node_fn *eval;
	enum rc (*parse)(
	    struct parser *p, struct node *n); /* NULL: min to max braced strings and then } */
	uint8_t min, max;
	bool pure;             /* its value depends on nothing but its arguments */
	uint64_t forbidden_by; /* HEDDLE_FORBID_ bits */
};
const struct item_row *item_find(slice_t name);
slice_t item_near(slice_t name); /* a name one slip of the fingers away, or empty */
/* items_*.c: ended by a row without a name */
extern const struct item_row item_rows_text[], item_rows_list[], item_rows_data[],
    item_rows_crypto[], item_rows_intl[], item_rows_net[], item_rows_srs[];

struct op_row;
typedef enum rc op_fn(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err);
enum { OP_PURE = 1, OP_NUMBERS = 2, OP_SUFFIX = 4, OP_NEGATIVE = 8, OP_COMPUTES = 16 };
struct op_row {
	const char *name;
	op_fn *fn;
	uint8_t flags; /* PURE: foldable; NUMBERS: _n_m, NEGATIVE: n may be; SUFFIX: _word */
	int16_t arg;
	uint64_t forbidden_by;
};
const struct op_row *op_find(slice_t name);
slice_t op_near(slice_t name);
slice_t var_near(slice_t name);
/* Is b a likely meaning of a: at most one letter wrong, missing, too many, or two swapped (two for
 * long words). */
bool name_is_near(slice_t a, slice_t b);
/* ops_*.c: ended by a row without a name */
extern const struct op_row op_rows_text[], op_rows_number[], op_rows_mail[], op_rows_crypto[],
    op_rows_code[], op_rows_list[], op_rows_net[], op_rows_intl[];

const struct cond_row *cond_find(slice_t name);

enum var_kind {
	VAR_SLICE,
	VAR_INT,
	VAR_INT_UNSET /* negative: unset */,
	VAR_BOOL,
	VAR_YES /* yes or no */,
	VAR_CERT,
	VAR_FN
};
enum var_facts {
	FACTS_NONE,
	FACTS_PROCESS,
	FACTS_SESSION,
	FACTS_MESSAGE,
	FACTS_ADDRESS,
	FACTS_HOST,
	FACTS_EVAL
};
struct var_row {
	const char *name;
	enum var_facts facts;
	enum var_kind kind;
	uint16_t offset;
	node_fn *fn;         /* VAR_FN */
	const char *without; /* text when the facts struct is not there; NULL: empty */
};
const struct var_row *var_find(slice_t name);
const struct var_row *var_row_at(uint32_t i); /* NULL past the end */
node_fn var_eval;
/* Is it a single variable that holds a certificate?  Its bytes, ABSENT if there is none. */
bool var_is_certificate(const struct expr *e);
bool var_certificate(const struct eval *ev, const struct expr *e, slice_t *out_der);
/* Functions of variables that are more than a field: vars_fn.c */
node_fn var_acl_narg, var_host_lookup, var_host_name, var_load_average, var_lookup_dnssec,
    var_main_option, var_message_age, var_message_body, var_message_headers, var_message_linecount,
    var_pid, var_received_time, var_recipients, var_reply_address, var_runrc, var_sender_part,
    var_space, var_tls_old, var_tod;

/* ---- evaluating (eval.c) ---- */
MUST_USE enum rc eval_dynamic(
    struct eval *ev, const struct expr *e, slice_t *out, struct error *err);
MUST_USE static inline enum rc eval_expr(
    struct eval *ev, const struct expr *e, slice_t *out, struct error *err)
{
	if (e->constant) {
		*out = e->text;
		return RC_OK;
	}
	return eval_dynamic(ev, e, out, err);
}
MUST_USE enum rc eval_arg(
    struct eval *ev, const struct node *n, unsigned i, slice_t *out, struct error *err);
/* The first `count` strings. */
MUST_USE enum rc eval_args(
    struct eval *ev, const struct node *n, slice_t *out, unsigned count, struct error *err);
MUST_USE enum rc eval_cond(struct eval *ev, const struct cond *c, bool *out, struct error *err);
/* yes: {yes}, or `found` where the item has no strings; no: {no}, or forced failure, or nothing.
 * $value is `found` while {yes} is expanded. */
MUST_USE enum rc eval_branch(struct eval *ev, const struct node *n, bool yes, slice_t found,
    slice_t *out, struct error *err);
/* Exim's integer: white space, sign, decimal digits, K M G.  RC_ERROR with Exim's words. */
MUST_USE enum rc eval_integer(slice_t s, int64_t *out, struct error *err);
MUST_USE enum rc eval_positive(slice_t s, const char *what, int64_t *out, struct error *err);
MUST_USE enum rc eval_arithmetic(slice_t s, bool decimal, int64_t *out, struct error *err);
slice_t number_text(struct arena *a, int64_t v);
/* The end of a builder: RC_ERROR if it overflowed. */
MUST_USE enum rc text_done(const struct strbuf *sb, slice_t *out, struct error *err);
static inline slice_t with_flags(slice_t s, slice_t like)
{
	s.flags = (uint16_t)(like.flags & (HEDDLE_CLEAN | HEDDLE_SECRET));
	return s;
}

/* Registers that items save and restore. */
struct captures {
	uint32_t count, held;
	slice_t text[EVAL_CAPTURES];
};
void captures_save(const struct eval *ev, struct captures *c);
void captures_restore(struct eval *ev, const struct captures *c);
/* RC_OK: matches and sets $0..; RC_FAIL: does not; RC_DEFER: a limit; RC_ERROR. */
MUST_USE enum rc eval_regex(
    struct eval *ev, const struct regex *re, slice_t subject, bool *out, struct error *err);
/* Compile at run time, in ev->arena. */
MUST_USE enum rc eval_regex_compile(
    struct eval *ev, slice_t pattern, const struct regex **out, struct error *err);

/* One more round of a loop, or anything else that can multiply: RC_DEFER when time is up, RC_ERROR
 * when there were too many. */
MUST_USE enum rc eval_step(struct eval *ev, struct error *err);

/* A loop's frame on the arena: what an iteration allocated is given up unless registers point at
 * it. */
struct frame {
	struct arena_mark mark;
	uint32_t pinned, held;
};
void frame_begin(struct eval *ev, struct frame *f);
/* What was allocated up to now stays. */
void frame_begin_at(struct eval *ev, struct frame *f);
MUST_USE enum rc frame_next(struct eval *ev, struct frame *f, struct error *err);

/* ---- lists (list.c) ---- */
struct list_iter {
	slice_t list;
	uint32_t pos;
	char sep;
	bool explicit_sep, first;
};
void list_begin(slice_t list, struct list_iter *it);
bool list_next(struct arena *a, struct list_iter *it, slice_t *out_item);
/* An item of an output list: its separator doubled, a space for an empty one that is not the first.
 */
void list_add(struct strbuf *sb, char sep, bool first, slice_t item);

/* ---- others ---- */
node_fn header_eval;
/* $h_x: and its like, for drivers' var_get and def: */
MUST_USE enum rc header_text(struct eval *ev, char form, slice_t name, slice_t *out);
/* "h_subject", "header_subject:": the form and the name; 0: neither. */
char header_split(slice_t text, slice_t *out_name);
bool header_exists(const struct eval *ev, slice_t name);
MUST_USE bool parse_address_text(
    struct arena *a, slice_t s, slice_t *out_address, size_t *out_domain);
MUST_USE enum rc eval_lookup_quote(
    struct eval *ev, slice_t type, slice_t in, slice_t *out, struct error *err);
/* RC_FAIL: the expansion is forced to fail. */
MUST_USE enum rc eval_acl(
    struct eval *ev, const struct node *n, bool *accepted, slice_t *out, struct error *err);
/* 4, 6 or 0: what inet_pton takes, no more. */
int ip_family(slice_t s);
#endif
