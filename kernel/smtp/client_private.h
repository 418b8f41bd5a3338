/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * smtp/client, shared by its parts:
 *	client_cache.c    hosts, limits, connections that are kept
 *	client_connect.c  bytes in and out, connecting
 *	client_reply.c    replies: reading, bounding, cleaning (pure but for the reading)
 *	client_session.c  greeting, EHLO; opening and closing
 *	client_send.c     one message
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

enum io {
	IO_OK,
	IO_TIMEOUT,
	IO_CLOSED,
	IO_CANCELLED,
	IO_MALFORMED,
};

struct reply {
	int code;            /* 200..599; 0: none came */
	unsigned lines;
	char enhanced[12];
	size_t len;
	char text[REPLY_TEXT_MAX + 1]; /* lines with '\n' between, codes included; clean, NUL-terminated */
};

struct client_conn { /* outlives sessions */
	struct client_conn *next;
	char *key;
	size_t key_len;
	int64_t idle_since_us;
	int fd;
	uint32_t messages, ext;
	uint32_t in_at, in_len;
	bool reused;         /* came out of the cache for this session */
	bool needs_rset;     /* the last transaction was not finished */
	bool broken;         /* end it */
	char in[REPLY_LINE_MAX];
};

struct client_host {
	struct client_host *next;
	struct net_addr addr;
	struct client_conn *idle;  /* the youngest first */
	unsigned active, waiting, n_idle;
	int64_t avoid_until_us, seen_us;
	bool failing, proven;
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
};
LOCK_FNS(smtp_clients, struct smtp_clients, lock, lk_smtp_hosts)

struct client_session {
	struct smtp_clients *clients;
	struct client_host *host;
	struct client_conn *conn;      /* NULL: none */
	struct client_target t;
	struct client_wait wait;
	struct arena *arena;
	struct strbuf out;             /* commands that were not sent yet */
	bool counts_as_failing;        /* one of clients->n_failing */
	bool heard;                    /* a reply came in this transaction */
	int error;                     /* errno of the connection's end, or 0 */
	struct reply reply;            /* the last one */
};

/* ---- client_cache.c: a place at the host, with a kept connection if there is one */
MUST_USE enum rc cache_enter(struct client_session *s, struct client_outcome *why) EXCLUDES(lk_smtp_hosts);
void cache_leave(struct client_session *s) EXCLUDES(lk_smtp_hosts);
/* What is known of the host now: it answered, or it could not be reached. */
void cache_note(struct client_session *s, bool answered) EXCLUDES(lk_smtp_hosts);
void cache_count_retry(struct client_session *s) EXCLUDES(lk_smtp_hosts);
void conn_free(struct client_conn **c, bool polite);

/* ---- client_connect.c */
/* The earlier of now + ms and the session's deadline. */
int64_t phase_deadline(const struct client_session *s, int64_t ms);
enum io io_wait(struct client_session *s, int fd, short events, int64_t deadline_us);
enum io io_connect(struct client_session *s);
enum io io_send(struct client_session *s, const char *p, size_t n, int64_t ms);
/* More bytes into conn->in. */
enum io io_fill(struct client_session *s, int64_t deadline_us);

/* ---- client_reply.c */
void reply_begin(struct reply *r);
/* One line without its end.  1: more follow; 0: that was the last; -1: no SMTP. */
int reply_line(struct reply *r, const char *p, size_t n);
enum io reply_read(struct client_session *s, int64_t ms);
uint32_t reply_extensions(const struct reply *r);

/* ---- outcomes */
enum rc outcome_set(struct client_session *s, struct client_outcome *o, enum rc rc, uint32_t about, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
/* For what the last command got: `after` is what was sent, pipelined says so. */
enum rc outcome_io(struct client_session *s, struct client_outcome *o, enum io io, uint32_t about, bool pipelined, const char *after);
enum rc outcome_reply(struct client_session *s, struct client_outcome *o, uint32_t about, bool pipelined, const char *after);

/* ---- client_session.c */
enum rc session_greet(struct client_session *s, struct client_outcome *why);
enum io session_command(struct client_session *s, const char *command, int64_t ms);
#endif
