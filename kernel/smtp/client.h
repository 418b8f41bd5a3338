/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * smtp/client: sessions with other servers, by SMTP (RFC 5321) or LMTP (RFC 2033).
 *
 * A session is opened for one delivery, sends one or more messages, and is closed; its connection
 * then stays open for a few seconds for whoever comes next to the same host with the same key.  For
 * each host there is a limit of connections, and those who come while it is reached wait.  A host
 * that could not be reached is left alone for some seconds, and never do more than a set number of
 * callers wait for such hosts: the others are told at once. Owns: connections and the table of
 * hosts (struct smtp_clients).  Threads: smtp_clients any; a session one at a time. Blocks:
 * client_open, client_send, client_close: the caller has bracketed them.  Locks: lk_smtp_hosts,
 * held across nothing that waits for the network. Failure: whatever the peer sends ends in an
 * outcome; replies are bounded, and free of control characters. Errors are sorted as in Exim's
 * specification, 49.2.
 *
 * client_prepare does what client_open waits for, a place at the host, TCP, the greeting, without a
 * thread; client_open_prepared is the rest.  A connection that is given back goes to the first who
 * waits at that host and has its key.
 *
 * TLS: what the target asks for is what a connection has.  Where TLS is required, neither MAIL nor
 * a secret ever leaves in clear, whatever the server says, leaves out or breaks.  A kept connection
 * is only for those with an equal key, so the key holds everything that the connection was made
 * with: TLS settings, identities, authentication.
 */
#ifndef HEDDLE_SMTP_CLIENT_H
#define HEDDLE_SMTP_CLIENT_H
#include "net/net.h"
#include "net/tls/tls.h"
#include "thread/cancel.h"
#include "thread/park.h"

#include <heddle/transport.h>

struct smtp_clients;
struct client_session;
struct eval;
struct log;

struct smtp_clients_config {      /* 0: the default */
	unsigned per_host;        /* connections in use at a time, 20 */
	unsigned unproven;        /* as long as it has never answered, 4 */
	unsigned max_failing;     /* callers that wait for hosts that failed last time, 100 */
	unsigned max_idle;        /* connections kept, in all, 200 */
	int64_t idle_us;          /* for how long, 5 s */
	int64_t avoid_us;         /* how long a host that failed is left alone, 5 s */
	int64_t unproven_wait_us; /* how long others wait for a host that has never answered, 3 s */
	struct tls_contexts *tls; /* the process's; NULL: one of our own */
};
MUST_USE enum rc smtp_clients_new(
    const struct smtp_clients_config *cfg, struct smtp_clients **out, struct error *err);
/* No session may be open. */
void smtp_clients_free(struct smtp_clients **c);
/* Close what has been idle for too long; called every second or so. */
void smtp_clients_tidy(struct smtp_clients *c);

enum client_wish { CLIENT_NEVER, CLIENT_TRY, CLIENT_REQUIRE };

struct client_tls {
	enum client_wish wish;
	bool on_connect; /* before the greeting; never in clear */
	bool try_clear; /* after a temporary refusal or a failed handshake, where it is not required
	                 */
	bool resume;
	bool no_pass; /* a TLS connection is not kept for others */
	bool require_alpn;
	struct tls_settings settings;
	slice_t sni;         /* empty: none */
	slice_t verify_name; /* the name that the certificate must be for; ABSENT: any */
};

struct client_target {
	struct net_addr to, from; /* from: family 0: the system chooses */
	slice_t name;             /* of the host, for texts */
	slice_t key;              /* connections are shared where it and the address are equal */
	slice_t helo;
	struct client_tls tls;
	enum client_wish auth; /* AUTH, where the server offers it */
	struct eval *ev;       /* what authenticators are expanded with; NULL: there are none */
	struct log *log;       /* what is said of their failures, about message `id` */
	slice_t id;
	bool lmtp, avoid_esmtp, avoid_pipelining, keepalive;
	bool chunking, prdr, pipe_connect; /* may be used */
	int dscp;                          /* of packets; below 0: the system's */
	bool serialize;                    /* one connection at a time to this host */
	bool forced;                       /* try even a host that has just failed */
	bool is_due; /* likewise, as its retry time has come; limits count all the same */
	int64_t connect_ms, command_ms, data_ms, final_ms; /* 0: no limit but the deadline */
	uint32_t max_messages;                             /* on one connection; 0: no limit */
};

struct client_wait {
	int64_t deadline_us;
	struct cancel *cancel; /* or NULL */
};

struct client_outcome {
	enum rc result; /* FAIL or DEFER when it is about a failure */
	int smtp;       /* reply code or 0 */
	uint32_t about; /* HEDDLE_X_HOST, _MESSAGE, _RECIPIENT */
	char enhanced[12];
	slice_t text; /* in the session's arena */
};

struct client_recipient {
	slice_t address;
	slice_t orcpt;   /* DSN: "rfc822;joe@example.org", or ABSENT */
	uint32_t notify; /* CLIENT_NOTIFY_ bits; 0: not said */
	bool chosen;  /* of the transaction that is running; this and the next are client_send's own
	               */
	slice_t wire; /* the address as it is sent */
	bool has_outcome; /* `outcome` is about this one alone, or it was delivered */
	bool good;        /* the server takes it */
	struct client_outcome outcome;
};

enum {
	CLIENT_NOTIFY_NEVER = 1,
	CLIENT_NOTIFY_SUCCESS = 2,
	CLIENT_NOTIFY_FAILURE = 4,
	CLIENT_NOTIFY_DELAY = 8
};
enum client_ret { CLIENT_RET_NONE, CLIENT_RET_FULL, CLIENT_RET_HDRS };

struct client_message {
	slice_t sender;
	slice_t authenticated_sender; /* for AUTH= where the session is authenticated; ABSENT: not
	                                 said */
	slice_t envid;                /* DSN, xtext as it came, or ABSENT */
	enum client_ret ret;          /* DSN */
	uint64_t size;                /* for SIZE=; 0: not said */
	bool force_auth;              /* AUTH= even without authentication */
	bool ignore_quota;            /* LMTP: where the server knows IGNOREQUOTA */
	bool body_8bit;
	bool smtputf8;        /* declared */
	bool utf8_header;     /* the header cannot go to a server without SMTPUTF8 */
	int utf8_downconvert; /* domains in ASCII form: 1 always, 0 never, -1 where the server has
	                         no SMTPUTF8 */
	void *ctx;
	/* Lines with CRLF, dotted: dot-stuffed, no final dot.  open begins at the start; read: *got
	 * 0 at the end. */
	enum rc (*open)(void *ctx, bool dotted, struct error *err);
	enum rc (*read)(void *ctx, char *buf, size_t cap, size_t *got, struct error *err);
};

/* Connected, greeted, in TLS and authenticated as the target says.  DEFER or FAIL: *why says what
 * about.  The texts of the target must live as long as the session. */
MUST_USE enum rc client_open(struct smtp_clients *c, const struct client_target *t,
    const struct client_wait *w, struct arena *a, struct client_session **out,
    struct client_outcome *why);

/* The same in two parts.  The first holds no thread: OPENED: client_open_prepared has only to be
 * called; WAITS: `ready` will be, once, on a worker, with one of the others, perhaps before this
 * returns; REFUSED: *why, and there is no session.  The cancellation of w ends the wait. */
enum client_step { CLIENT_OPENED, CLIENT_WAITS, CLIENT_REFUSED };
typedef void (*client_ready_fn)(
    void *ctx, enum client_step step, const struct client_outcome *why, struct worker *w);
struct client_async {
	struct reactor *reactor;
	struct pool *pool; /* runs what comes of waiting, as deliveries */
	client_ready_fn ready;
	void *ctx;
};
enum client_step client_prepare(struct smtp_clients *c, const struct client_target *t,
    const struct client_wait *w, const struct client_async *async, struct arena *a,
    struct client_session **out, struct client_outcome *why) EXCLUDES(lk_smtp_hosts);
/* As client_open; on failure the session is gone.  client_close instead: it is not wanted. */
MUST_USE enum rc client_open_prepared(
    struct client_session *s, const struct client_wait *w, struct client_outcome *why);
/* Its host could not be reached last time, and has not been heard since but for a greeting. */
bool client_is_failing(struct client_session *s) EXCLUDES(lk_smtp_hosts);
/* One message to recipients that have no outcome yet.  OK: each has its own now.  Else *why is that
 * of those without. */
MUST_USE enum rc client_send(struct client_session *s, const struct client_message *m,
    struct client_recipient *r, size_t n, struct client_outcome *why);
/* Keeps the connection for others, or ends it. */
void client_close(struct client_session **s);

/* What is known of the open connection, and how the last message went; texts live as long as the
 * session. */
enum {
	CLIENT_USED_PIPELINING = 1,
	CLIENT_USED_CHUNKING = 2,
	CLIENT_USED_PRDR = 4,
	CLIENT_USED_DSN = 8
};
struct client_facts {
	bool is_tls, reused;
	bool verified; /* tls.verified */
	struct tls_facts tls;
	slice_t authenticator;    /* name of its section, ABSENT: not authenticated */
	slice_t authenticated_id; /* client_set_id, or ABSENT */
	const char *stale; /* what is wrong with the files of certificates, while older ones are in
	                      use; or NULL */
	slice_t fell_back; /* why TLS was given up and the message goes in clear, or ABSENT */
	uint32_t used;     /* CLIENT_USED_ */
};
void client_session_facts(const struct client_session *s, struct client_facts *out);

struct client_stats {
	uint64_t connects, reused, retried,
	    avoided; /* avoided: told at once that a host had failed */
	unsigned active, idle, hosts,
	    waiting;     /* waiting: for a place at a host, without a thread */
	uint64_t handed; /* connections that went on to who waited */
};
void smtp_clients_stats(struct smtp_clients *c, struct client_stats *out);
/* Our end of the connection; false: not connected. */
bool client_local_addr(const struct client_session *s, struct net_addr *out);
#endif
