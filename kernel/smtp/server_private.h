/* SPDX-License-Identifier: GPL-3.0-or-later */
/* smtp/server_private: what the parts of the server share.  See server.h. */
#ifndef HEDDLE_SMTP_SERVER_PRIVATE_H
#define HEDDLE_SMTP_SERVER_PRIVATE_H
#include "message/data_reader.h"
#include "message/fixups.h"
#include "smtp/server.h"

#include <stdatomic.h>

#define LINE_MAX_BYTES   16384 /* a command line, its end included */
#define INPUT_BYTES      32768
#define OUTPUT_BYTES     4096
#define UNSENT_MAX       262144 /* replies that a client does not take */
#define HISTORY          20
#define COMMANDS_PER_RUN 64 /* then others have their turn */

enum session_state {
	ST_START,  /* connected; nothing has been said */
	ST_LOOKUP, /* waits for the client's name */
	ST_IDENT,  /* waits for its host to say who it is */
	ST_BANNER, /* to be greeted, after what the connect ACL delays */
	ST_TLS_HELLO,     /* waits for the ClientHello; see server_tls.c */
	ST_TLS_HANDSHAKE, /* on the pool of handshakes */
	ST_TLS_END,       /* it is over, well or not: to be told on the usual pool */
	ST_COMMAND,
	ST_AUTH, /* waits for the client's part of an exchange */
	ST_DATA,
	ST_BDAT,      /* the bytes of a chunk, kept or passed over */
	ST_SYNC_BODY, /* a body file is to be synced */
	ST_COMMIT,    /* the queue has it */
	ST_CLOSING,   /* what is unsent, then the end */
};
enum step {
	STEP_AGAIN, /* go on with the present state */
	STEP_INPUT, /* needs more of it */
	STEP_WAIT,  /* for a post */
	STEP_TLS,   /* for what the handshake wants next */
};
/* What lies between a session and its socket; see server_io.c. */
enum session_layer {
	LAYER_PLAIN,
	LAYER_HELLO, /* the ClientHello is read as it is; what is written is forgotten */
	LAYER_NONE,  /* a handshake, or after TLS: nothing passes */
	LAYER_TLS,
};
enum command {
#define SMTP_COMMAND(NAME, fn, sync, nonmail) CMD_##NAME,
#include "smtp/commands.def"
#undef SMTP_COMMAND
	CMD_COUNT,
	CMD_UNKNOWN = CMD_COUNT,
};

struct smtp_client { /* one address and its sessions */
	slice_t key;
	struct smtp_client *next;
	uint32_t count;
	struct net_addr addr;
};
#define CLIENT_BUCKETS 4096
struct etrn; /* server_expand.c */
struct smtp_server {
	struct smtp_server_config cfg;
	struct acl_hooks acl_hooks;
	struct eval_hooks eval_hooks; /* the configuration's, host_name replaced */
	struct mutex lock;
	struct smtp_client *clients[CLIENT_BUCKETS] GUARDED_BY(lk_smtp_clients);
	struct listener *listeners GUARDED_BY(lk_smtp_clients);
	struct session *first GUARDED_BY(lk_smtp_clients);
	struct etrn *etrns GUARDED_BY(lk_smtp_clients); /* commands under way */
	_Atomic bool stopping;      /* relaxed: seen at the next command */
	_Atomic int64_t stop_by_us; /* monotonic; when stopping, DATA ends by then */
	_Atomic size_t sessions;    /* acq_rel: 0 means that their memory is gone */
	_Atomic uint64_t connections, refused, messages, rejected; /* relaxed: figures */
};

/* The name look-up of one client; see server_lookup.c. */
struct lookup;

/* session.commit_result while the runner hands the message in: it will look itself. */
enum { COMMIT_GIVING = -1 };

/* A user of this host who submits: see server_local.c. */
struct local_user {
	slice_t login, full_name;
	bool trusted;     /* may say who the sender is */
	bool batch;       /* -bS: nothing but acl_not_smtp is asked */
	bool unqualified; /* -bnq: addresses stay as they are */
};

/* smtp_ratelimit_mail and _rcpt; see server_rate.c. */
struct rate_limit {
	int64_t threshold; /* -1: none */
	double delay_ms, factor, max_ms;
};

struct session {
	struct smtp_server *server;
	struct session *next GUARDED_BY(lk_smtp_clients), **link GUARDED_BY(lk_smtp_clients);
	struct park *park;
	struct park_ref ref;
	int fd;
	uint8_t state, after_lookup;
	struct arena *arena; /* of the connection */
	struct config *cfg;
	struct log *log;
	struct net_addr peer;
	struct net_addr counted_as; /* of the connection, whatever XCLIENT says */
	const struct local_user *local; /* on arena; NULL: over TCP/IP */
	struct session_facts facts;
	struct message_facts mf; /* of the transaction, or of none */
	struct message *m;       /* the transaction: MAIL was accepted */
	struct acl_effects effects;
	/* input and output that outlast a run */
	char *held;
	uint32_t held_len;
	char *unsent;
	uint32_t unsent_len, unsent_at;
	int64_t delay_until_us; /* unsent waits for it; 0: no delay */
	int64_t deadline_us;    /* of the present wait for input */
	bool skipping;          /* the rest of an overlong line */
	/* what the client may do, worked out once */
	int64_t connected_us; /* monotonic */
	int64_t mail_limit, nonmail_limit, rcpt_limit, size_limit, command_timeout_us;
	struct rate_limit mail_rate, rcpt_rate, rcpt_rate_start; /* rcpt_rate begins anew with each message */
	bool xclient_known, xclient_ok;
	bool pipelining_used, pipeconnect_offered, pipeconnect_used; /* for the log */
	bool dsn_advertised, smtputf8_advertised, prdr_advertised;
	bool pipelining_advertised, auth_advertised, esmtp, helo_seen, is_reserved, counted,
	    queue_by_load, taken_limits;
	bool unqualified_sender_ok, unqualified_recipient_ok, enforce_sync, no_pipelining;
	bool count_rset, count_helo, count_auth, rejected_rcpts_log, quit_seen, notquit_done,
	    is_closing, discarding;
	bool discarded_by_mail, lost, mail_discard;
	uint32_t synprot_errors, unknown_commands, nonmail, mails, messages_accepted;
	uint8_t history[HISTORY];
	uint32_t history_count;
	/* the transaction */
	struct vec recipients; /* struct recipient, on m's arena */
	uint32_t discarded;
	slice_t rcpt_reply; /* what all rejected RCPTs were told, or ABSENT */
	bool rcpt_reply_differs;
	bool sender_explained; /* why its verification failed: that is said once */
	int64_t declared_size;
	bool body_8bit;
	bool prdr, prdr_answered, prdr_some; /* asked for; each recipient has its answer; not all were taken */
	/* DATA */
	struct data_reader *reader; /* on m's arena */
	struct body_builder *body;
	struct header *received;
	int64_t data_started_us;
	/* BDAT; see server_bdat.c */
	uint64_t chunk_left, chunk_size, chunk_total;
	bool chunking_advertised, chunked, chunk_last, chunk_refused, chunk_spoilt;
	/* commit */
	_Atomic int
	    commit_result; /* 0: pending, COMMIT_GIVING: the runner is giving it, else 1 + rc;
	                  release, paired with the runner's acquire */
	struct error commit_error;
	/* AUTH */
	const struct heddle_instance *auth;
	bool *auth_offers; /* by authenticator: offered by the last EHLO; NULL: none ever was */
	void *conv;
	bool auth_started;
	struct lookup *lookup;
	struct ident *ident; /* server_ident.c; NULL: nothing is asked */
	/* TLS */
	struct tls_context *tls_context; /* from STARTTLS to the ClientHello */
	struct tls_session *tls;
	uint8_t layer;                   /* enum session_layer */
	uint8_t read_wants, write_wants; /* events that LAYER_TLS waits for */
	bool tls_advertised, tls_on_connect, tls_parked, count_starttls, tls_resumption;
};

/* One run on a worker: lives on its stack. */
struct run {
	struct session *s;
	struct worker *w;
	struct arena *scratch;
	struct eval ev;
	char *in; /* INPUT_BYTES */
	size_t in_at, in_len;
	char out[OUTPUT_BYTES];
	size_t out_len;
	bool input_ended, read_dry;
	bool secrets_read; /* the input buffer is wiped when the run is over */
	unsigned commands;
	bool io; /* the descriptor has polled */
	uint32_t tls_events; /* with STEP_TLS */
	slice_t line; /* the command being served, trimmed */
	slice_t arg;
	enum command command;
};

/* ---- server_session.c ---- */
void session_run(void *owner, enum wake why, struct worker *w);
void session_begin_eval(struct run *r);
/* What EHLO offered does not hold any more. */
void session_forget_offers(struct session *s);
/* Forget the transaction: all of it, and nothing else. */
void session_reset_transaction(struct session *s);
/* End the session when the replies are out; why: $smtp_notquit_reason, or NULL after QUIT. */
void session_close(struct run *r, const char *why);
/* Bytes that came but have not been looked at. */
static inline slice_t run_pending(const struct run *r)
{
	return slice_tainted(r->in + r->in_at, r->in_len - r->in_at);
}

/* ---- server_io.c ---- */
enum io_result { IO_DONE, IO_WAIT, IO_ENDED };
/* *got > 0 with IO_DONE; r->read_dry says whether there may be more now. */
enum io_result session_read(struct run *r, char *buf, size_t room, size_t *got);
/* Bytes that went out (or nowhere, see enum session_layer); fewer than n: not now, or s->lost. */
size_t session_write(struct run *r, const char *p, size_t n);
/* What to wait for after IO_WAIT, and after too few bytes. */
uint32_t session_read_events(const struct session *s);
uint32_t session_write_events(const struct session *s);
/* Is there input that a poll would not show? */
bool session_input_hidden(const struct session *s);

/* ---- server_tls.c ---- */
/* Does TLS begin at once where this session came in? */
bool session_tls_begins_at_once(const struct session *s);
/* May STARTTLS be offered? */
bool session_tls_offered(struct run *r);
/* ST_START of such a session: begin. */
void session_tls_start(struct run *r);
enum step serve_tls_hello(struct run *r);
enum step serve_tls_handshake(struct run *r);
enum step serve_tls_end(struct run *r);
/* The handshake came to nothing: log why, end the session. */
void session_tls_failed(struct run *r, slice_t why);
void session_tls_drop(struct session *s, bool say_goodbye);

/* ---- reply.c ---- */
void reply_raw(struct run *r, slice_t text);
/* One line, or several where the text has newlines: "250-a", "250 b". */
void reply(struct run *r, int code, slice_t text);
void replyf(struct run *r, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The last line of a multi-line text gets code and space, these none: for EHLO, which builds its
 * own. */
void reply_enhanced(struct run *r, int code, slice_t enhanced, slice_t text);
/* Send what there is.  false: the client does not take it now (it is kept), or is gone. */
bool reply_flush(struct run *r);

/* ---- server_command.c ---- */
void command_serve(struct run *r);
/* A syntax (or protocol) error: counted, logged, answered; closes when there are too many. */
void synprot_error(struct run *r, bool protocol, int code, slice_t text);
/* The same where the log and the client are told in different words. */
void synprot_error_told(struct run *r, bool protocol, int code, slice_t logged, slice_t text);
/* Is there input that should have waited for our reply?  Then 554 and the end. */
bool sync_violated(struct run *r);
const char *command_name(enum command c);

/* What $local_part, $domain and their _data forms are while a recipient is looked at. */
void session_address_facts(struct run *r, slice_t recipient, struct address_facts *out);

/* ---- server_params.c ---- */
/* NAME=VALUE off the end of *text, as long as take() knows it, as Exim does: what is left is the address.
 * false: answered. */
enum param { PARAM_TAKEN, PARAM_UNKNOWN, PARAM_BAD };
typedef enum param param_fn(struct run *r, slice_t name, slice_t value, void *out);
bool params_take(struct run *r, slice_t *text, param_fn *take, void *out);
/* xtext (RFC 3461 4) */
bool xtext_decode(struct arena *a, slice_t in, slice_t *out);
struct dsn_params { /* ABSENT, 0: not given */
	slice_t ret, envid, orcpt;
	uint32_t notify; /* HEDDLE_DSN_ */
};
void dsn_params_clear(struct dsn_params *p);
/* RET and ENVID; NOTIFY and ORCPT */
enum param dsn_mail_param(struct run *r, slice_t name, slice_t value, struct dsn_params *out);
enum param dsn_rcpt_param(struct run *r, slice_t name, slice_t value, struct dsn_params *out);
/* An address outside ASCII where SMTPUTF8 was not asked for, or that is no UTF-8; false: answered. */
bool address_charset_ok(struct run *r, slice_t address, bool utf8);

/* ---- server_acl.c ---- */
enum acl_verdict session_acl(struct run *r, enum acl_where where, enum main_option option,
    slice_t recipient, struct acl_outcome *out);
/* Answer a verdict other than accept or discard: log line and reply.  true: the connection is to be
 * dropped. */
bool acl_refuse(struct run *r, enum acl_where where, const struct acl_outcome *out, slice_t what);
enum rc server_verify_helo(struct eval *ev, struct error *err);
enum rc server_verify_reverse_host(struct eval *ev, struct error *err);
void server_acl_log_line(
    struct eval *ev, enum acl_where where, slice_t text, bool main, bool reject, bool panic);

/* ---- server_log.c ---- */
/* Work sender_fullhost and sender_rcvhost out of what is known now. */
void session_update_host(struct session_facts *f);
/* "H=(helo) [ip]", with port, interface and ident as selected. */
slice_t host_for_log(struct run *r, bool with_h);
/* "(helo) [ip]" for sentences. */
slice_t host_for_text(struct run *r);
void log_line(struct run *r, unsigned where, const char *fmt, ...) PRINTF_LIKE(3, 4);
void log_about(struct run *r, unsigned where, slice_t detail, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void log_arrival(struct run *r, const struct message *m);
/* " X=... CV=... DN=... SNI=...", as selected; empty in clear. */
slice_t log_tls_fields(struct run *r);
void log_tls_error(struct run *r, const char *where, slice_t text);
/* Envelope and header for the reject log. */
slice_t log_header_detail(struct run *r);
slice_t log_history(struct run *r);
slice_t session_age(struct run *r);

/* ---- server_lookup.c ---- */
/* Begin the look-up of the client's name.  false: there is nothing to wait for. */
bool lookup_start(struct run *r);
/* After a post: true when it is over and the facts are set. */
bool lookup_done(struct run *r);
void lookup_drop(struct session *s);
enum rc session_host_name(struct eval *ev); /* of evals whose hooks_ctx is a struct run */

/* ---- server_ident.c ---- */
/* Ask; false: there is nothing to wait for. */
bool ident_start(struct run *r);
/* io: its descriptor has polled.  true: it is over, and the facts are set. */
bool ident_done(struct run *r, bool io);
void ident_drop(struct session *s);
uint32_t ident_events(const struct session *s, int64_t *deadline_us);

/* ---- server_rate.c ---- */
/* The reply to the present command waits, and with it the session. */
void session_delay(struct run *r, int64_t ms);
void rate_begin(struct run *r, struct rate_limit *l, enum main_option o);
void rate_apply(struct run *r, struct rate_limit *l, int64_t count);
bool load_is_above(struct run *r, enum main_option o, double *out_load);

/* ---- server_xclient.c ---- */
bool xclient_allowed(struct run *r);
void xclient_offer(struct run *r, struct strbuf *sb);

/* ---- commands ---- */
void session_client_limits(struct run *r); /* what depends on who the client is */
void serve_named(struct run *r);           /* its name has been looked up, if that was wanted */
void serve_start(struct run *r); /* ST_START: limits, connect ACL, banner */
void serve_connected(struct run *r); /* after TLS, where it begins at once */
void serve_greet(struct run *r);  /* after the look-ups: the connect ACL */
void serve_banner(struct run *r);
enum step serve_auth_line(struct run *r, slice_t line);
enum step serve_data(struct run *r);
/* server_prdr.c: the recipients' own answers; false: none is left, and that has been answered. */
bool prdr_check(struct run *r);
enum step serve_chunk(struct run *r);
/* Where a series of chunks is being sent: is this command out of place there?  Then it has been answered. */
bool chunks_forbid(struct run *r);
void data_begin(struct session *s); /* all that reading the message needs */
enum step data_end(struct run *r);  /* all of it has been read */
enum step data_faulty(struct run *r);
/* There must be a recipient before DATA or BDAT; false: answered. */
bool data_allowed(struct run *r, const char *verb);
enum step serve_sync_body(struct run *r);
enum step serve_commit(struct run *r);
void data_lost(struct run *r, bool timeout);
/* ---- server_auth.c ---- */
void auth_drop(struct run *r);
/* Add "AUTH ..." to what EHLO says; it is what AUTH may ask for. */
void auth_offer(struct run *r, struct strbuf *sb);
/* A line that is too long came in an exchange. */
void auth_overlong(struct run *r);
/* AUTH= of MAIL, decoded and as it came (ABSENT: not given): believed or ignored; what: for a log line.  false: answered. */
bool auth_take_sender(struct run *r, slice_t sender, slice_t raw, slice_t what);
/* What $received_protocol is now. */
slice_t session_protocol(const struct session *s);
void helo_limits(struct run *r); /* options that depend on the client */
bool option_number(struct run *r, enum main_option o, int64_t *out);
bool host_matches(struct run *r, enum main_option o);
/* 452 when the spool is (or with `extra` bytes would be) full; true: there is room. */
bool spool_has_room(struct run *r, int64_t extra);

#define SMTP_COMMAND(NAME, fn, sync, nonmail) void fn(struct run *r);
#include "smtp/commands.def"
#undef SMTP_COMMAND

/* A session with a local user; takes the descriptor over, copies u. */
void server_take_local(struct smtp_server *server, int fd, const struct local_user *u) EXCLUDES(lk_smtp_clients);
/* Forget a session: the last touch of the server by it. */
void server_remove(struct session *s) EXCLUDES(lk_smtp_clients);
size_t server_client_count(struct smtp_server *server, const struct net_addr *peer)
    EXCLUDES(lk_smtp_clients);
void message_facts_clear(struct message_facts *mf, struct arena *a);
void session_facts_clear(struct session_facts *f, struct arena *a);
#endif
