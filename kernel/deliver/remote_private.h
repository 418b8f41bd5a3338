/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deliver/remote, shared by its parts:
 *	remote.c         sessions, sending, outcomes, hosts of the transport's own
 *	remote_target.c  what a session with a host is to be like: the transport's options
 *	remote_connect.c connecting before the transport is called
 */
#ifndef HEDDLE_DELIVER_REMOTE_PRIVATE_H
#define HEDDLE_DELIVER_REMOTE_PRIVATE_H
#include "deliver/delivery.h"
#include "smtp/client.h"

#define NOT_YET "retry time not reached"

/* A host's turn has come before deliver() asked for it. */
struct host_found {
	uint32_t host;
	enum { FOUND_REFUSED, FOUND_FAILED, FOUND_OPEN, FOUND_TAKEN } what;
	int32_t result;                /* REFUSED: as session() will return it */
	slice_t text;                  /* REFUSED */
	struct client_outcome why;     /* FAILED: it is in the log already */
	struct client_session *client; /* OPEN: but for client_open_prepared */
	uint16_t port;
};
struct connector {
	struct heddle_plan plan;
	remote_ready_fn ready;
	void *ctx;
	uint32_t at, tries, looked; /* how far it has come in the plan */
	struct vec found;           /* struct host_found */
	struct client_target target;
	struct client_session *client;
	/* what a wait has brought */
	bool has_step;
	enum client_step step;
	struct client_outcome why;
};
/* What is known of this host already; NULL: nothing.  Then it is the caller's. */
struct host_found *remote_find(struct heddle_job *j, uint32_t host);
/* $host and its like; the same for each that is looked at. */
void remote_set_host(struct heddle_job *j, const struct heddle_route_host *h);
/* "H=name [address]: text", where that is news. */
void remote_log_host(struct heddle_job *j, const struct heddle_route_host *h, uint16_t port,
    const struct client_outcome *o);
/* It cannot be sent to any host. */
bool remote_is_too_long(const struct heddle_job *j);
/* The transport's options by name; those that it does not have are as if they were unset. */
int64_t remote_number(const struct heddle_job *j, const char *name, int64_t otherwise);
/* Unset, or forced to fail: ABSENT. */
MUST_USE enum rc remote_text(
    const struct heddle_job *j, const char *name, slice_t *out, struct error *err);
/* Is the host on the list?  Not OK: that cannot be said now, and nothing may be concluded. */
MUST_USE enum rc remote_listed(const struct heddle_job *j, const char *name,
    const struct heddle_route_host *h, bool *out, struct error *err);
/* Everything that a session with this host needs to know.  $host and its like are set. */
MUST_USE enum rc remote_target(struct heddle_call *c, const struct heddle_job *j,
    const struct heddle_route_host *h, bool lmtp, struct client_target *out, struct error *err);
#endif
