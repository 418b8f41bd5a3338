/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * smtp/client, shared by its parts:
 *	client_cache.c    hosts, limits, connections that are kept
 *	client_connect.c  bytes in and out, connecting
 *	client_prepare.c  what has to be waited for, without a thread
 *	client_reply.c    replies: reading, bounding, cleaning (pure but for the reading)
 *	client_session.c  greeting, EHLO; opening and closing
 *	client_tls.c      STARTTLS, handshakes
 *	client_auth.c     AUTH
 *	client_send.c     one message: the envelope
 *	client_data.c     the message itself, by DATA or BDAT, and what the server says of it
 */
#ifndef HEDDLE_SMTP_CLIENT_PRIVATE_H
#define HEDDLE_SMTP_CLIENT_PRIVATE_H
#include "base/clock.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "smtp/client.h"

#define REPLY_LINE_MAX  4096U /* bytes of one line, its end included */
#define REPLY_TEXT_MAX  4096U /* what is kept of all lines */
#define REPLY_LINES_MAX 200U
#define EXT_PIPELINING  1U
#define EXT_SIZE        2U
#define EXT_8BITMIME    4U
#define EXT_SMTPUTF8    8U
#define EXT_ENHANCED    16U
#define EXT_STARTTLS    32U
#define EXT_AUTH        64U
#define EXT_CHUNKING    128U
#define EXT_PRDR        256U
#define EXT_DSN         512U
#define EXT_IGNOREQUOTA 1024U
#define EXT_PIPECONNECT 2048U

enum io {
	IO_OK,
	IO_TIMEOUT,
	IO_CLOSED,
	IO_CANCELLED,
	IO_MALFORMED,
	IO_TLS, /* the TLS layer failed: conn->tls_error */
};

struct reply {
	int code; /* 200..599; 0: none came */
	unsigned lines;
	char enhanced[12];
	size_t len;
	char text[REPLY_TEXT_MAX +
	          1]; /* lines with '\n' between, codes included; clean, NUL-terminated */
};

/* What the answer to EHLO said. */
struct offers {
	uint32_t ext;
	uint32_t rcpt_max, mail_max, rcpt_domain_max; /* LIMITS, RFC 9422; 0: none */
	slice_t mechanisms; /* of AUTH, in the reply's text or the connection's arena */
};

struct client_conn { /* outlives sessions */
	struct client_conn *next;
	char *key;
	size_t key_len;
	int64_t idle_since_us;
	int fd;
	struct tls_session *tls;                 /* NULL: in clear */
	struct arena *arena;                     /* facts */
	struct tls_facts facts;                  /* where tls is */
	slice_t authenticator, authenticated_id; /* ABSENT: none */
	slice_t fell_back;                       /* ABSENT: TLS was not given up */
	uint32_t messages, mails;                /* that got as far as their end; MAIL commands */
	struct offers offers;
	char tls_error[160];
	uint32_t in_at, in_len;
	bool greeted;    /* has answered EHLO */
	bool reused;     /* came out of the cache for this session */
	bool needs_rset; /* the last transaction was not finished */
	bool broken;     /* end it */
	char in[REPLY_LINE_MAX];
};

struct client_host {
	struct client_host *next;
	struct net_addr addr;
	struct client_conn *idle; /* the youngest first */
	unsigned active, waiting, n_idle;
	struct client_session *first, **end; /* who waits for a place without a thread */
	int64_t avoid_until_us, seen_us;
	bool failing, proven;
	bool pipe_connect; /* may be sent EHLO before it greets: it has said so */
	struct condvar changed;
};

#define HOST_BUCKETS 1024U
struct smtp_clients {
	struct smtp_clients_config cfg;
	struct mutex lock;
	struct client_host *hosts[HOST_BUCKETS] GUARDED_BY(lk_smtp_hosts);
	unsigned n_hosts GUARDED_BY(lk_smtp_hosts);
	unsigned n_idle GUARDED_BY(lk_smtp_hosts);
	unsigned n_active GUARDED_BY(lk_smtp_hosts);
	unsigned n_failing GUARDED_BY(lk_smtp_hosts); /* callers at hosts that failed last time */
	struct client_stats stats GUARDED_BY(lk_smtp_hosts);
	struct tls_contexts *tls; /* immutable pointer */
	bool own_tls;
};
LOCK_FNS(smtp_clients, struct smtp_clients, lock, lk_smtp_hosts)

enum entry { ENTRY_NONE, ENTRY_IN, ENTRY_WAIT, ENTRY_AVOID };

/* The half of a session that holds no thread. */
struct client_preparing {
	struct client_async async;
	struct park *park;   /* NULL: nothing is waited for */
	struct park_ref ref; /* for who gives it a place */
	enum client_stage { CLIENT_PLACE, CLIENT_CONNECT, CLIENT_GREETING } stage;
	bool entered; /* has a place */
	int64_t since_us, deadline_us;
	struct cancel_listener listener;
	struct client_session *next, **link; /* lk_smtp_hosts; link NULL: in no queue */
	enum entry granted;                  /* lk_smtp_hosts */
};

struct client_session {
	struct smtp_clients *clients;
	struct client_host *host;
	struct client_conn *conn; /* NULL: none */
	struct client_target t;
	struct client_wait wait;
	struct arena *arena;
	struct strbuf out;       /* commands that were not sent yet */
	bool counts_as_failing;  /* one of clients->n_failing */
	bool heard;              /* a reply came in this transaction */
	bool parks;              /* waits without a thread */
	bool connected, greeted; /* by client_prepare: what session_greet need not do */
	bool early;              /* EHLO has been sent before the greeting */
	struct client_preparing prep;
	int error;          /* errno of the connection's end, or 0 */
	uint32_t used;      /* CLIENT_USED_, by the last message */
	const char *stale;  /* see client_facts */
	struct reply reply; /* the last one */
};

/* ---- client_cache.c: a place at the host, with a kept connection if there is one */
MUST_USE enum rc cache_enter(struct client_session *s, struct client_outcome *why)
    EXCLUDES(lk_smtp_hosts);
void cache_leave(struct client_session *s) EXCLUDES(lk_smtp_hosts);
/* The same without waiting.  WAIT: with `queue` the session stands in the host's queue now; its
 * park is posted when `granted` says something. */
enum entry cache_try(struct client_session *s, bool queue) EXCLUDES(lk_smtp_hosts);
/* NONE: still waiting.  give_up: out of the queue, so that NONE is for good. */
enum entry cache_granted(struct client_session *s, bool give_up) EXCLUDES(lk_smtp_hosts);
/* Until when to wait for a place. */
int64_t cache_place_deadline(struct client_session *s) EXCLUDES(lk_smtp_hosts);
enum rc cache_refused(struct client_session *s, enum entry e, struct client_outcome *why);
/* What is known of the host now: it answered, or it could not be reached. */
void cache_note(struct client_session *s, bool answered) EXCLUDES(lk_smtp_hosts);
void cache_count_retry(struct client_session *s) EXCLUDES(lk_smtp_hosts);
/* May this host be sent EHLO at once?  And what its EHLO said of that. */
bool cache_pipe_connect(struct client_session *s) EXCLUDES(lk_smtp_hosts);
void cache_note_pipe_connect(struct client_session *s, bool offered) EXCLUDES(lk_smtp_hosts);
void conn_free(struct client_conn **c, bool polite);
/* Nothing has come unasked, and the other end is there. */
bool conn_is_quiet(const struct client_conn *c);

/* ---- client_connect.c */
/* The earlier of now + ms and the session's deadline. */
int64_t phase_deadline(const struct client_session *s, int64_t ms);
enum io io_wait(struct client_session *s, int fd, short events, int64_t deadline_us);
enum io io_connect(struct client_session *s);
/* Its two halves: the socket is writable, or has failed, when the second is called. */
enum io io_connect_begin(struct client_session *s);
enum io io_connect_end(struct client_session *s);
enum io io_handshake(struct client_session *s, int64_t ms);
enum io io_send(struct client_session *s, const char *p, size_t n, int64_t ms);
/* More bytes into conn->in. */
enum io io_fill(struct client_session *s, int64_t deadline_us);
/* What is there, in clear; *again: nothing now. */
enum io io_fill_now(struct client_session *s, bool *again);

/* ---- client_reply.c */
void reply_begin(struct reply *r);
/* One line without its end.  1: more follow; 0: that was the last; -1: no SMTP. */
int reply_line(struct reply *r, const char *p, size_t n);
enum io reply_read(struct client_session *s, int64_t ms);
/* What has been read already of the reply that reply_begin began.  *more: a line is not whole yet,
 * or another has to follow; *lines: some came. */
enum io reply_take(struct client_session *s, bool *more, bool *lines);
/* Texts in `a`. */
void reply_offers(const struct reply *r, struct arena *a, struct offers *out);

/* ---- outcomes */
enum rc outcome_set(struct client_session *s, struct client_outcome *o, enum rc rc, uint32_t about,
    const char *fmt, ...) PRINTF_LIKE(5, 6);
/* For what the last command got: `after` is what was sent, pipelined says so. */
enum rc outcome_io(struct client_session *s, struct client_outcome *o, enum io io, uint32_t about,
    bool pipelined, const char *after);
enum rc outcome_reply(struct client_session *s, struct client_outcome *o, uint32_t about,
    bool pipelined, const char *after);

/* ---- client_tls.c */
/* A handshake on the connection; OK: everything goes through TLS from now on.  DEFER: *why; the
 * connection is broken. */
enum rc session_begin_tls(struct client_session *s, struct client_outcome *why);
/* STARTTLS.  OK: TLS runs, or (see conn->tls) the server refused and clear text is permitted.
 * DEFER: *why; *may_clear: the policy permits a new connection in clear. */
enum rc session_starttls(struct client_session *s, bool *may_clear, struct client_outcome *why);

/* ---- client_auth.c */
/* After EHLO, over TLS where that is wanted; only if the target wishes it.  DEFER: it is required,
 * and failed: *why. */
enum rc session_authenticate(struct client_session *s, struct client_outcome *why);

/* ---- client_send.c, client_data.c */
#define BLOCK 65536U
struct transaction {
	struct client_session *s;
	const struct client_message *m;
	struct client_recipient *r;
	size_t n, good;
	struct client_outcome *why;
	bool pipelined, chunking, prdr, dsn;
	slice_t sender;   /* as it is sent */
	const char *mail; /* the command, for texts */
	bool utf8;        /* SMTPUTF8 is said */
	char *block;      /* with room for a BDAT command before it */
	size_t ahead;     /* bytes in it */
	bool whole;       /* there is nothing of the message behind them */
	bool line_end;    /* they end a line */
	bool sent;        /* they have left together with the envelope, as the whole message */
};
/* BDAT: the first block of the message. */
enum rc data_read_ahead(struct transaction *t);
/* "BDAT n LAST" and the block, behind the commands that are queued. */
void data_queue_whole(struct transaction *t);
/* After the recipients were answered: the message to those that are good, and what becomes of them.
 */
enum rc data_phase(struct transaction *t);
/* MAIL was refused: what was pipelined behind it has answers too. */
void data_drain(struct transaction *t);

/* ---- client_session.c */
enum rc session_greet(struct client_session *s, struct client_outcome *why);
struct client_session *session_new(struct smtp_clients *c, const struct client_target *t,
    const struct client_wait *w, struct arena *a);
/* It has failed: the connection ends, the place is others'. */
void session_give_up(struct client_session *s);
struct client_conn *conn_new(slice_t key);
/* Why there is no connection. */
enum rc session_no_connection(struct client_session *s, struct client_outcome *why, enum io io);
/* What goes out before the greeting is read, and what its answer comes to. */
enum rc session_greeting_begin(struct client_session *s, struct client_outcome *why);
enum rc session_greeting_end(struct client_session *s, enum io io, struct client_outcome *why);
enum io session_command(struct client_session *s, const char *command, int64_t ms);
#endif
