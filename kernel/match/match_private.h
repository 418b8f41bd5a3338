/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the parts of match share.  A list is a row of items in their order, an index over those that
 * need no evaluation (index.c) and the row of those that do.  Whoever looks for the first match
 * asks the index for the lowest place it knows and evaluates the others only up to there: the same
 * answer as a walk from left to right, in constant time.
 */
#ifndef HEDDLE_MATCH_MATCH_PRIVATE_H
#define HEDDLE_MATCH_MATCH_PRIVATE_H
#include "base/map.h"
#include "base/vec.h"
#include "driver/lookup.h"
#include "expand/regex.h"
#include "match/match.h"
#include "match/radix.h"
#include "match/text_cache.h"

enum item_kind {
	/* indexed, or cheap to compare */
	ITEM_EMPTY,  /* the null sender, no remote host, the empty text */
	ITEM_ANY,    /* "*" */
	ITEM_EXACT,  /* a plain name, local part or text; in address lists a domain alone */
	ITEM_SUFFIX, /* "*rest": text keeps the asterisk */
	ITEM_WHOLE,  /* address lists: local@domain without anything special */
	ITEM_NET,    /* an address or a network; extra: struct net_cidr */
	/* evaluated */
	ITEM_REGEX,      /* extra: struct item_regex */
	ITEM_LOOKUP,     /* extra: struct item_lookup */
	ITEM_NAMED,      /* extra: struct match_list */
	ITEM_FILE,       /* text: the path */
	ITEM_SELF,       /* "@" */
	ITEM_SELF_IP,    /* "@[]" */
	ITEM_HOST_NAME,  /* host lists: a name whose addresses are looked up */
	ITEM_NET_LOOKUP, /* net-, net24-; extra: struct item_lookup */
	ITEM_SPLIT,      /* local part pattern @ domain pattern; extra: struct item_split */
	ITEM_BY_DOMAIN,  /* "@@lookup"; extra: struct item_lookup */
};

enum item_flag { /* what the +words before an item set, kept with each item */
	ITEM_NEGATED = 1,
	ITEM_CASEFUL = 2,
	ITEM_INCLUDE_UNKNOWN = 4,
	ITEM_IGNORE_UNKNOWN = 8,
	ITEM_INCLUDE_DEFER = 16,
	ITEM_IGNORE_DEFER = 32,
};

struct item {
	slice_t text; /* without '!' */
	const void *extra;
	uint8_t kind, flags;
};

struct item_lookup {
	struct lookup_type type;
	slice_t source; /* ABSENT: a query */
	slice_t query;
	int mask_bits;  /* net24-: 24; -1: none */
	bool whole_key; /* partial- has no meaning here */
};

struct item_regex {
	const struct regex *usual;
	const struct regex *caseful; /* in lists of local parts, unless the usual one is: for a
	                                router with caseful_local_part */
};

struct item_split {
	slice_t local;      /* "*" and a suffix, or literal */
	struct item domain; /* as in a domain list */
};

struct match_list {
	enum match_kind kind;
	bool dynamic;
	const char *file, *option; /* where it was written, for messages */
	unsigned line;
	/* dynamic: compiled when its text is known */
	const struct expr *expr;
	struct text_cache *cache; /* of texts and of files; NULL: this list needs none */
	/* constant */
	struct item *items;
	uint32_t count;
	bool ends_negated;
	const struct item **evaluated; /* in order */
	uint32_t evaluated_count;
	/* the index: each leads to the first item of that value */
	struct map *exact;    /* names, domains, texts: ASCII case folded */
	struct map *caseful;  /* local parts behind +caseful */
	struct map *whole;    /* local@domain */
	struct map *suffixes; /* ".dom" of "*.dom" */
	struct radix *nets;   /* leads to the number of the item */
	const struct item *any, *empty;
};

/* ---- compile.c ---- */
struct compile {
	struct arena *arena;
	enum match_kind kind;
	const struct config *cfg; /* NULL: named lists and lookups are refused */
	slice_t where;            /* "router x: domains" or empty */
	bool in_file;             /* no further files, no +include_unknown family */
	uint8_t flags;            /* what the +words have set so far */
};
/* The items of a text (already expanded), indexed. */
MUST_USE enum rc match_compile_text(
    struct compile *c, slice_t text, struct match_list *l, struct error *err);
/* One line of a file. */
MUST_USE enum rc match_compile_item(
    struct compile *c, slice_t text, struct item *out, bool *out_is_flag, struct error *err);
/* ---- item.c ---- what one item is */
MUST_USE enum rc match_classify(
    struct compile *c, slice_t text, struct item *out, struct error *err);
MUST_USE enum rc match_classify_domain(
    struct compile *c, slice_t text, struct item *out, struct error *err);
/* ---- index.c ---- */
void match_index(struct arena *a, struct match_list *l);

/* ---- run.c ---- */
#define MATCH_MAX_DEPTH 24
struct run {
	struct eval *ev;
	enum match_kind kind;
	slice_t subject;       /* as given; hosts: the address */
	slice_t local, domain; /* addresses: the two parts */
	bool has_domain;
	bool caseful; /* from the start */
	const struct match_host *host;
	struct net_addr addr; /* hosts: unmapped; family 0: no remote host */
	slice_t host_name;    /* hosts, once known */
	enum rc host_name_rc; /* RC_OK known, RC_FAIL there is none, RC_DEFER; RC_ERROR: not looked
	                         up yet */
	bool address_only;    /* match_ip: a lookup without net- is about the address too */
	unsigned depth;
	bool unknown;   /* an item's RC_FAIL means "cannot be found" */
	slice_t data;   /* of the item that matched */
	slice_t cap[2]; /* $0 and $1 of names and suffixes */
	uint32_t cap_count;
	slice_t re_cap[EVAL_CAPTURES];
	uint32_t re_count;
};
enum hit { HIT_NONE, HIT_YES, HIT_NO, HIT_YES_AT_ONCE, HIT_NO_AT_ONCE };
/* Look for the first item that decides.  RC_OK with *out_hit, RC_DEFER or RC_ERROR. */
MUST_USE enum rc match_find(
    struct run *r, const struct match_list *l, enum hit *out_hit, struct error *err);
/* The whole list: RC_OK, RC_FAIL, RC_DEFER, RC_ERROR; data and captures in r. */
MUST_USE enum rc match_list_run(struct run *r, struct match_list *l, struct error *err);
/* ---- eval.c ---- does this item match?  Sets r->data; r->unknown with RC_FAIL */
MUST_USE enum rc match_item(struct run *r, const struct item *it, struct error *err);
/* A name of whatever kind against one item; kind: which named lists it may be. */
MUST_USE enum rc match_name_item(
    struct run *r, const struct item *it, enum match_kind kind, slice_t subject, struct error *err);
/* Set data and captures for an item that matched by plain comparison. */
void match_plain_data(struct run *r, const struct item *it);
MUST_USE enum rc match_item_lookup(
    struct run *r, const struct item_lookup *lk, slice_t key, struct error *err);
MUST_USE enum rc match_regex_item(
    struct run *r, const struct item *it, slice_t subject, struct error *err);
slice_t match_lower(struct run *r, slice_t s);
bool match_suffix(slice_t subject, slice_t pattern, bool caseful); /* pattern begins with '*' */
/* ---- eval_address.c, eval_host.c ---- */
MUST_USE enum rc match_address_item(struct run *r, const struct item *it, struct error *err);
MUST_USE enum rc match_host_item(struct run *r, const struct item *it, struct error *err);
/* ---- files.c ---- the list that a file holds, compiled; with a reference on *out_entry for the
 * caller */
MUST_USE enum rc match_file_list(struct run *r, struct match_list *owner, const struct item *it,
    struct text_entry **out_entry, struct error *err);
const char *match_kind_name(enum match_kind kind);
#endif
