/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * control/control: the unix socket through which the command line (heddle -bp, -q, -M...,
 * heddlectl) talks to the kernel.
 *
 * A request is one line of words, at most 64 KiB; the first may be "@LOGIN", who asks; the answer
 * is text, its last line "ok", "fail TEXT" or "defer TEXT"; then the connection ends.  Peer
 * credentials decide who may ask: root, the kernel's own user and group, and members of
 * admin_groups may do all; others list the queue if queue_list_requires_admin is false, start
 * deliveries if prod_requires_admin is false, remove what they have sent, and wait for what is
 * being delivered. Owns: the listening socket.  Threads: requests run as pool jobs.  Blocks: a
 * request may, bracketed; a peer that does not read or write is dropped after 10 s.  Locks: none of
 * its own.
 */
#ifndef HEDDLE_CONTROL_CONTROL_H
#define HEDDLE_CONTROL_CONTROL_H
#include "config/config.h"
#include "deliver/deliver.h"

struct control;

struct control_config {
	const char *path; /* of the socket; an old one that nobody serves is replaced */
	struct reactor *reactor;
	struct pool *pool;
	struct queue_index *index;
	struct store *store;
	struct deliverer *deliverer;
	const struct drivers *drivers;
	struct hints *hints;       /* or NULL */
	struct services *services; /* who users are; may be NULL */
	bool ordinary_user;        /* not started by root: the process's group says nothing */
	struct log *log;           /* for notes of an administrator; NULL: refused */
	/* the present snapshot, referenced for the caller; NULL: only root and our user may ask */
	struct config *(*snapshot)(void *ctx);
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
struct control_asker {
	slice_t name; /* a login, or "uid N" */
	uid_t uid;
	bool admin, may_list, may_prod;
};
/* login: what the peer calls itself, or empty. */
MUST_USE enum rc control_rights(const struct control_config *cfg, int fd, slice_t login,
    struct arena *a, struct worker *w, struct control_asker *out, struct error *err);
enum rc control_answer(const struct control_config *cfg, slice_t request,
    const struct control_asker *who, struct strbuf *out, struct error *err);
/* "list [TEXT]", "show [TEXT]", "delete KEY...": the hints about retries. */
enum rc control_hints(
    struct hints *h, const slice_t *words, uint32_t count, struct strbuf *out, struct error *err);
/* Exim's -bp listing of the queue. */
struct control_list {
	const slice_t *only; /* ids; count 0: all */
	uint32_t count;
	bool undelivered; /* -bpu: recipients that wait */
	bool children; /* -bpa: also what addresses have become and where that has been delivered */
	bool unordered; /* -bpr */
	int64_t now_us;
	struct store *store; /* for children, and who has sent what; NULL: without them */
};
void control_list_queue(
    struct queue_index *index, const struct control_list *what, struct strbuf *out);
#endif
