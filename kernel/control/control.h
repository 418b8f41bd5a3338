/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * control/control: the unix socket through which the command line (heddle -bp, -q, -M...,
 * heddlectl) talks to the kernel.
 *
 * A request is one line of words, at most 4 KiB; the answer is text, its last line "ok", "fail
 * TEXT" or "defer TEXT"; then the connection ends.  Peer credentials decide who may ask: root, the
 * kernel's own user, and whom is_admin takes for an administrator; nobody else.
 * Owns: the listening socket.  Threads: requests run as pool jobs.  Blocks: a request may,
 * bracketed; a peer that does not read or write is dropped after 10 s.  Locks: none of its own.
 */
#ifndef HEDDLE_CONTROL_CONTROL_H
#define HEDDLE_CONTROL_CONTROL_H
#include "deliver/deliver.h"

struct control;
struct net_peer;

struct control_config {
	const char *path; /* of the socket; an old one that nobody serves is replaced */
	/* besides root and our own user, who may do all; may block; NULL: nobody */
	bool (*is_admin)(void *ctx, const struct net_peer *peer);
	struct reactor *reactor;
	struct pool *pool;
	struct queue_index *index;
	struct store *store;
	struct deliverer *deliverer;
	const struct drivers *drivers;
	struct hints *hints; /* or NULL */
	/* a new snapshot is asked of master; RC_OK: on its way */
	enum rc (*reload)(void *ctx, struct error *err);
	void *ctx;
};
MUST_USE enum rc control_new(
    const struct control_config *cfg, struct control **out, struct error *err);
/* Closes the listener; requests that run go on. */
void control_free(struct control **c);

/* ---- the other end ---- */
/* Send one request and read the whole answer (without its last line).  RC_DEFER: nobody serves the
 * socket. */
MUST_USE enum rc control_ask(
    const char *path, slice_t request, struct arena *a, slice_t *out_answer, struct error *err);
/* The socket's path for a spool directory. */
slice_t control_path(struct arena *a, slice_t spool_directory);

/* ---- what answers (requests.c, hints.c); also for tests ---- */
enum rc control_answer(const struct control_config *cfg, slice_t request, slice_t who,
    struct strbuf *out, struct error *err);
/* "list [TEXT]", "show [TEXT]", "delete KEY...": the hints about retries. */
enum rc control_hints(
    struct hints *h, const slice_t *words, uint32_t count, struct strbuf *out, struct error *err);
/* Exim's -bp listing of the queue. */
void control_list_queue(struct queue_index *index, const slice_t *only, uint32_t count,
    bool undelivered_only, int64_t now_us, struct strbuf *out);
#endif
