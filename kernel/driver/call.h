/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/call: the kernel's side of struct heddle_call, and the one place from which drivers are
 * called. No lock is held across a call.  A call belongs to one thread.  Its arena dies with it
 * unless the caller lends one.
 */
#ifndef HEDDLE_DRIVER_CALL_H
#define HEDDLE_DRIVER_CALL_H
#include "config/config.h"
#include "driver/driver.h"

struct worker;

struct heddle_call {
	struct arena *arena; /* results live here */
	struct eval *eval;   /* context: variables, snapshot, deadline */
	struct services *services;
	const struct heddle_instance *instance; /* or NULL (lookups of no section) */
	int64_t deadline_us;
	struct cancel *cancel; /* or NULL */
	/* what reason() said last */
	int32_t reason_smtp;
	slice_t reason_shown, reason_logged;
	bool reason_given, service_deferred;
	void *routing; /* deliver's state while route() runs, NULL otherwise */
	void *job;     /* deliver's state while deliver()/probe() runs */
	struct worker
	    *worker;   /* who runs this, for block_begin; NULL: a thread that is no worker */
	bool blocking; /* between block_begin and block_end */
};

/* Set up a call under an eval: arena, deadline and cancel come from it. */
void call_init(struct heddle_call *c, struct eval *ev, const struct heddle_instance *inst);
/* Turn what an operation returned into an rc; numbers outside 0..3 are ERROR, and what reason()
 * said (or "NAME gave no reason") goes to err. */
enum rc call_result(struct heddle_call *c, int32_t result, const char *what, struct error *err);

/* What the system knows of a login; strings on the arena given, CLEAN. */
struct user_info {
	slice_t name, home, shell, gecos;
	int64_t uid, gid;
};

/* The services of this process that drivers reach through the host table; owned by main, immutable
 * once published. */
struct services {
	struct heddle_host host; /* first: the host table is handed out as this */
	const void *(*find_service)(
	    const struct services *s, const char *id); /* made of the tables below */
	const struct heddle_routing_service *routing; /* set by deliver, NULL in agents and tests */
	const struct heddle_delivery_service *delivery;
	const struct heddle_message_service *message;
	const struct heddle_spawn_service *spawn;
	const struct heddle_file_service *file;
	const struct heddle_user_service *user; /* set by services_init; asks find_user */
	const struct heddle_dns_service *dns;
	const struct heddle_net_service *net;
	const struct heddle_hints_service *hints;
	struct log *log;
	struct dns_resolver *resolver;
	struct pool *pool;        /* block_begin/end */
	struct tls_contexts *tls; /* credentials and trust, of servers and clients: net/tls/tls.h;
	                             NULL: no TLS here */
	struct lookups *lookups;  /* open handles: driver/lookup.h */
	/* getpwnam: the kernel asks master's resolver, testing modes ask NSS themselves.  RC_FAIL:
	 * no such user; RC_DEFER: cannot say.  NULL: nobody to ask, which is DEFER. */
	enum rc (*find_user)(struct services *s, struct arena *a, slice_t login,
	    int64_t deadline_us, struct user_info *out, struct error *err);
	/* getgrnam in the same way */
	enum rc (*find_group)(struct services *s, struct arena *a, slice_t name,
	    int64_t deadline_us, int64_t *out_gid, struct error *err);
	struct text_cache *texts; /* lists and ACLs given as text at run time: match/text_cache.h;
	                             NULL: none kept */
	struct agents *agents;    /* NULL: commands and users' files defer */
	const struct net_interfaces *own_addresses; /* for @[] and self; may be NULL */
	void *deliver;                              /* deliver's own */
	int never_fd; /* never readable: what cancel_fd gives to calls that nobody can cancel */
};
/* A name or a number.  RC_FAIL: nobody is called that; RC_DEFER: cannot say.  Blocks. */
MUST_USE enum rc services_uid(struct services *s, struct arena *a, slice_t user,
    int64_t deadline_us, int64_t *out, struct error *err);
MUST_USE enum rc services_gid(struct services *s, struct arena *a, slice_t group,
    int64_t deadline_us, int64_t *out, struct error *err);
/* Is the peer one of these users, or in one of these groups?  Lists of names and numbers. */
struct net_peer;
MUST_USE enum rc services_peer_listed(
    struct eval *ev, slice_t users, slice_t groups, const struct net_peer *p, struct error *err);
/* Fill in the core host table (alloc, join, cstr, log, options, expansion, variables, lookup,
 * random, digest, same). */
void services_init(struct services *s);
void services_fini(struct services *s);
/* Of these only what needs no configuration: alloc, join, cstr, reason, time_left, cancel_fd,
 * blocks, random, same.  For processes that answer the rest in another way (agents); digest is
 * services_digest. */
void services_init_basic(struct heddle_host *h);
int32_t services_digest(
    struct heddle_call *c, uint32_t algo, slice_t key, slice_t in, slice_t *out);
/* For implementers of services: give the call a formatted reason and return `result`. */
int32_t call_refuse(struct heddle_call *c, int32_t result, const char *fmt, ...) PRINTF_LIKE(3, 4);
#endif
