/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * match/match: Exim's domain, host, address, local-part and string lists.
 * A constant list is compiled when the configuration is loaded and its plain items are indexed
 * (hash for names, radix tree for networks), so that 100,000 domains cost no more than ten; a list
 * with expansions is a compiled expression whose results are compiled at run time and cached by
 * text, bounded. Ownership: a list lives in the arena it was compiled in; immutable but for the
 * run-time cache, which has its own lock. Threads: any.  Blocks: matching may (lookups, DNS).
 * Source: Exim specification, chapter 10.
 */
#ifndef HEDDLE_MATCH_MATCH_H
#define HEDDLE_MATCH_MATCH_H
#include "expand/expand.h"

enum match_kind { MATCH_DOMAINS, MATCH_HOSTS, MATCH_ADDRESSES, MATCH_LOCALPARTS, MATCH_STRINGS };
struct match_list;

/* expand: the option is expanded before use (nearly all are; named lists too).  A named list of
 * env->cfg may be referred to with +NAME; unknown names are RC_ERROR at once. */
MUST_USE enum rc match_compile(struct arena *a, enum match_kind kind, slice_t text, bool expand,
    const struct expr_env *env, struct match_list **out_list, struct error *err);

struct match_host {
	slice_t address; /* textual IP; ABSENT: no remote host (matches the empty item) */
	slice_t name; /* ABSENT: not known yet; it is looked up by ev->hooks->host_name when an item
	                 needs it */
	bool name_is_final; /* do not look up */
};

/* RC_OK matches (*out_data: the lookup's data or the list item, for $domain_data and so on; ABSENT
 * if there is none), RC_FAIL does not, RC_DEFER cannot say (lookup or DNS), RC_ERROR the list
 * cannot be expanded.  out_data may be NULL. Regex items set $0.. in ev.  A NULL list does not
 * match. */
MUST_USE enum rc match_domain(
    struct eval *ev, struct match_list *l, slice_t domain, slice_t *out_data, struct error *err);
MUST_USE enum rc match_local_part(struct eval *ev, struct match_list *l, slice_t local_part,
    slice_t *out_data, struct error *err);
/* The same where case counts from the start (a router with caseful_local_part). */
MUST_USE enum rc match_local_part_caseful(struct eval *ev, struct match_list *l, slice_t local_part,
    slice_t *out_data, struct error *err);
/* "" is the null sender */
MUST_USE enum rc match_address(
    struct eval *ev, struct match_list *l, slice_t address, slice_t *out_data, struct error *err);
MUST_USE enum rc match_host(struct eval *ev, struct match_list *l, const struct match_host *h,
    slice_t *out_data, struct error *err);
MUST_USE enum rc match_string(
    struct eval *ev, struct match_list *l, slice_t s, slice_t *out_data, struct error *err);
/* The session's client against a host list (hosts =, host_lookup, ...). */
MUST_USE enum rc match_client(
    struct eval *ev, struct match_list *l, slice_t *out_data, struct error *err);
/* A list given as text at run time (match_domain{}{} in an expansion): compiled through the cache;
 * the list text itself is not expanded. */
MUST_USE enum rc match_text(struct eval *ev, enum match_kind kind, slice_t list, slice_t subject,
    slice_t *out_data, struct error *err);
#endif
