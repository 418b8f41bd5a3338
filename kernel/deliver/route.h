/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deliver/route: one address through the routers, to the addresses, hosts and transports that it
 * ends in.
 *
 * A struct routing is one run: the recipients of one delivery, or one address that is verified or
 * tested.  Every address in it is a struct address; those that a redirection generated have a
 * parent.  All lives in the run's arena. Threads: one run, one thread.  Blocks: yes (lookups, DNS,
 * users).  No lock is held. Source: Exim specification, chapters 3.10 to 3.12 (order of the
 * preconditions), 15 (generic options).
 */
#ifndef HEDDLE_DELIVER_ROUTE_H
#define HEDDLE_DELIVER_ROUTE_H
#include "base/map.h"
#include "config/config.h"
#include "driver/call.h"

enum address_kind {
	ADDRESS_PLAIN = 0,
	ADDRESS_FILE = HEDDLE_C_FILE,
	ADDRESS_DIRECTORY = HEDDLE_C_DIRECTORY,
	ADDRESS_PIPE = HEDDLE_C_PIPE,
	ADDRESS_REPLY = HEDDLE_C_REPLY
};

enum route_result {
	ROUTE_UNDONE,     /* still to be routed */
	ROUTE_DELIVER,    /* transport is set */
	ROUTE_REDIRECTED, /* its children stand for it */
	ROUTE_DISCARDED,  /* :blackhole:, or a discarding router */
	ROUTE_DUPLICATE,  /* another address of this run ends in the same place */
	ROUTE_FAILED,     /* bounce */
	ROUTE_DEFERRED,
	ROUTE_FROZEN, /* deferred, and the message is to be frozen */
};

struct route_field { /* what a redirection said of a reply: subject, once, ... */
	slice_t name, value;
};

struct address {
	struct address *parent; /* NULL: a recipient of the envelope */
	uint32_t recipient;     /* index of the top ancestor in the envelope */
	uint32_t depth;
	enum address_kind kind;
	slice_t text;               /* as logged: the address, or the file, pipe command ... */
	struct address_facts facts; /* what expansions see */
	slice_t errors_to;          /* ABSENT: the message's sender; empty: null sender */
	slice_t headers_add, headers_remove; /* joined, ABSENT: none */
	struct vec fields;                   /* struct route_field */
	int64_t uid, gid; /* from run_as or the router's user option; -1: unset */
	bool initgroups;
	bool one_time;     /* if it is deferred it becomes a recipient of its own */
	bool is_hidden;    /* bounces do not show it */
	bool is_copied;    /* "unseen": the recipient ends in more than this one */
	slice_t user_home; /* of the account that check_local_user found, ABSENT: none */
	/* how it ended */
	enum route_result result;
	const struct heddle_instance *router; /* the last one that handled it */
	const struct heddle_instance *transport;
	struct vec hosts; /* struct heddle_route_host */
	slice_t shown;    /* for the bounce or the SMTP reply */
	slice_t logged;   /* for the log */
	bool is_untold;   /* the bounce names the address, and not the reason */
	slice_t output;   /* what a command wrote, for the bounce; empty: nothing */
	int smtp_code;    /* of shown; 0: none */
	char status[12];  /* of a failure of our own making: "5.6.7"; empty: none in particular */
	slice_t remote_host, remote_reply; /* smtp_code: who said it, and what; ABSENT */
	uint32_t children_left;            /* deliver's: undelivered descendants */
	void *deliver;                     /* deliver's own state */
};

enum { ROUTE_VERIFY = 1, ROUTE_VERIFY_SENDER = 2, ROUTE_EXPN = 4, ROUTE_TEST = 8 };
struct attempt;
struct routing {
	struct arena *arena;
	struct attempt *
	    attempt; /* whose routing it is: what a router sends belongs to it; NULL: no delivery */
	struct eval *eval; /* message and session facts set; address is set by us as we go */
	uint32_t flags;
	struct vec addresses;     /* struct address *, in the order of their making */
	struct map *seen;         /* duplicates: key -> struct address * */
	bool success_on_redirect; /* verification: stop at more than one child */
	/* -bt prints as it goes: NULL elsewhere */
	void (*trace)(void *ctx, const struct address *a);
	void *trace_ctx;
};
void routing_init(struct routing *r, struct arena *a, struct eval *ev, uint32_t flags);
/* Put an address of the envelope in.  FAIL: it cannot be split (no @ where one is needed). */
struct address *routing_add(struct routing *r, slice_t address, uint32_t recipient);
/* Route all that is undone, children included.  Every address then has a result other than
 * ROUTE_UNDONE.  RC_DEFER: cancelled or out of time; what was not reached is ROUTE_DEFERRED. */
enum rc routing_run(struct routing *r, struct error *err);

/* ---- shared by the parts of route, by nobody else
 * -------------------------------------------------------- */
struct route_step { /* one router at one address */
	struct routing *run;
	struct address *addr;
	const struct heddle_instance *router;
	struct heddle_call call;
	struct vec children; /* struct address * */
	struct vec hosts;    /* struct heddle_route_host, before they are given to the address */
	int64_t run_uid, run_gid;
	slice_t local_part_full; /* as it came, affixes included */
	slice_t errors_to;       /* the address's before this router */
	slice_t why_declined;    /* what the last router that declined said, if any did */
	bool declined;           /* it ran, and did not want it */
	bool self_defers;        /* self = defer: not to be frozen */
};
/* RC_OK: run the router; RC_FAIL: skip it; RC_DEFER, RC_ERROR: err says why.  Fills in the
 * address's facts. */
MUST_USE enum rc route_precondition(struct route_step *s, struct error *err);
/* require_files: as a precondition; what it says of errors names the option. */
MUST_USE enum rc route_check_files(struct route_step *s, struct error *err);
extern const struct heddle_routing_service route_service;
extern const struct heddle_file_service router_file_service;
/* headers_add and headers_remove: every item is expanded by itself, and one that is forced to fail
 * is left out.  between: what stands between items.  RC_OK with ABSENT: nothing. */
MUST_USE enum rc route_expand_items(
    struct eval *ev, const struct option_value *o, char between, slice_t *out, struct error *err);
bool route_is_ancestor(const struct address *a, slice_t address);
#endif
