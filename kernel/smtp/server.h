/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * smtp/server: the SMTP server: takes connections, speaks with clients, hands on what it has
 * accepted.
 *
 * A session is a state machine on a park: it holds no thread while it waits for its client, for a
 * name, for a delay or for the commit.  What it accepted goes to the queue through struct
 * smtp_queue_hooks, and 250 is said when those call back. Life: smtp_server_new; smtp_server_take
 * (or _listen) for each connection; smtp_server_stop; smtp_server_free when smtp_server_count is 0.
 * Owns: its sessions and listeners' parks; not what struct smtp_server_config names. Threads: all
 * functions, any thread.  Locks: takes lk_smtp_clients (the count of each client), a leaf for the
 * caller. Source: RFC 5321, 1870, 2920, 4954, 6152; Exim specification, chapters 14, 44, 49.
 */
#ifndef HEDDLE_SMTP_SERVER_H
#define HEDDLE_SMTP_SERVER_H
#include "acl/acl.h"
#include "driver/call.h"
#include "log/log.h"
#include "message/body.h"
#include "net/dns/dns.h"
#include "net/net.h"
#include "queue/queue.h"
#include "thread/park.h"

struct smtp_server; /* opaque */
struct tls_contexts;

/* Called once, any thread, no locks: RC_OK: m is on stable storage. */
typedef void smtp_commit_fn(void *arg, enum rc rc, const struct error *why);

/* The queue as the server sees it.  smtp_store_hooks gives one over the store. */
struct smtp_queue_hooks {
	void *ctx;
	/* a new message id (MESSAGE_ID_LEN characters and a NUL) */
	void (*next_id)(void *ctx, char out[MESSAGE_ID_LEN + 1]);
	size_t body_threshold;   /* larger bodies go to a file */
	struct body_spill spill; /* ctx of begin: the hooks' */
	void (*discard_body)(
	    void *ctx, const char *id); /* finished, but the message is not appended after all */
	/* begin to make m durable; fn is called exactly once if this is RC_OK, perhaps before it
	 * returns: w may do the work.  m is the server's until then. */
	enum rc (*append)(void *ctx, struct message *m, struct worker *w, smtp_commit_fn *fn,
	    void *arg, struct error *err);
	/* m is durable and has been logged; deliver_now: it may be tried at once.  Takes a
	 * reference if it wants one. */
	void (*accepted)(void *ctx, struct message *m, bool deliver_now);
	/* free space of the spool; RC_DEFER: cannot say.  May be NULL */
	enum rc (*space)(void *ctx, uint64_t *out_bytes, uint64_t *out_inodes, struct error *err);
};
/* Hooks over a store and an index; accepted (may be NULL) is what happens after the message is in
 * the index as ACTIVE: it owns the entry.  Free with smtp_store_hooks_free. */
typedef void smtp_accepted_fn(
    void *ctx, struct message *m, struct queue_entry *entry, bool deliver_now);
struct smtp_queue_hooks *smtp_store_hooks(
    struct store *store, struct queue_index *index, smtp_accepted_fn *accepted, void *ctx);
void smtp_store_hooks_free(struct smtp_queue_hooks **h);
/* What the queue keeps of m, in m's arena (as deliver needs it too, for messages that it makes). */
MUST_USE enum rc smtp_queue_message(
    struct message *m, struct queue_message *out, struct error *err);

/* Facts of a played session that its socket cannot give; NULL: none. */
struct smtp_played {
	struct net_addr interface;
	const char *address; /* what $sender_host_address is; NULL: the usual form */
	const char *login, *host_name, *auth, *auth_id; /* -oMt -oMs -oMaa -oMai */
};

struct smtp_server_config {
	/* the present snapshot, referenced for the caller; NULL: none yet (421) */
	struct config *(*snapshot)(void *ctx);
	/* the log of that snapshot; NULL function: `log` */
	struct log *(*snapshot_log)(void *ctx, const struct config *cfg);
	void *ctx;
	struct log *log;
	struct services *services;
	struct reactor *reactor;
	struct pool *pool;
	struct pool *handshake_pool;   /* for TLS, as many threads as cores; NULL: pool */
	bool tls_on_connect;           /* -tls-on-connect: on every port */
	struct dns_resolver *resolver; /* NULL: no host names */
	const struct smtp_queue_hooks *queue;
	struct body_budget *budget;
	const struct eval_hooks *
	    eval_hooks; /* host_name is the server's own; hooks_ctx of its evals too; may be NULL */
	/* verification, from deliver; NULL: verify = sender and recipient defer */
	enum rc (*verify_address)(struct eval *ev, slice_t address, bool is_sender,
	    const struct verify_options *o, slice_t *out_user_text, slice_t *out_log_text,
	    struct error *err);
	/* EXPN: what the address stands for, "<a@b>" a line; RC_FAIL: nothing.  NULL: defers */
	enum rc (*expand_address)(
	    struct eval *ev, slice_t address, struct strbuf *out, struct error *err);
	/* ETRN: try what is queued for recipients with this in them, as -R.  ctx as above.  NULL:
	 * refused */
	void (*queue_run)(void *ctx, slice_t recipient);
	bool queue_only; /* -odq and the like */
	/* -bh: a session that is played, where nothing that is accepted is kept; borrowed.  NULL:
	 * for real */
	const struct smtp_played *played;
};
MUST_USE enum rc smtp_server_new(
    const struct smtp_server_config *cfg, struct smtp_server **out, struct error *err);
/* Accept on a listening socket until stop; the descriptor stays the caller's. */
MUST_USE enum rc smtp_server_listen(struct smtp_server *s, int listen_fd, struct error *err);
/* Submissions by this host's users (-bs, -bS), at smtp_submission_path of the spool directory. */
MUST_USE enum rc smtp_server_listen_local(
    struct smtp_server *s, const char *path, struct error *err);
slice_t smtp_submission_path(struct arena *a, slice_t spool_directory);
/* One connected socket (non-blocking); takes the descriptor over, whatever happens.  Checks the
 * connection limits. */
void smtp_server_take(struct smtp_server *s, int fd, const struct net_addr *peer);
/* No more connections; sessions end with 421 at the next command, those in DATA go on until they
 * are through. */
void smtp_server_stop(struct smtp_server *s) EXCLUDES(lk_smtp_clients);
size_t smtp_server_count(const struct smtp_server *s);
struct smtp_server_stats {
	uint64_t connections, refused, messages, rejected_messages;
	size_t sessions;
	int64_t body_bytes;
};
void smtp_server_stats(const struct smtp_server *s, struct smtp_server_stats *out);

/* Does TLS begin at once on this port, by tls_on_connect_ports? */
bool smtp_server_port_is_tls(const struct config *cfg, struct arena *scratch, int64_t port);
/* Before a configuration is taken: do the certificates and keys exist that it names in so many
 * words, and do they belong together?  ERROR names file or option.  contexts has them loaded then
 * (may be NULL).  *out_self_signed: TLS is offered, but with no certificate. */
MUST_USE enum rc smtp_server_check_tls(const struct config *cfg, struct tls_contexts *contexts,
    bool *out_self_signed, struct error *err);
/* No session may be left. */
void smtp_server_free(struct smtp_server **s);

/* For struct eval_hooks of others: look the client's name up now (the thread waits).  resolver from
 * ev->services. */
enum rc smtp_host_name_hook(struct eval *ev);
#endif
