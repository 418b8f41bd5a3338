/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deliver/remote, shared by its parts:
 *	remote.c         sessions, sending, outcomes, hosts of the transport's own
 *	remote_target.c  what a session with a host is to be like: the transport's options
 */
#ifndef HEDDLE_DELIVER_REMOTE_PRIVATE_H
#define HEDDLE_DELIVER_REMOTE_PRIVATE_H
#include "deliver/deliver_private.h"
#include "smtp/client.h"

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
