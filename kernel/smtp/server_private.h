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
	ST_START,         /* connected; nothing has been said */
	ST_LOOKUP,        /* waits for the client's name */
	ST_IDENT,         /* waits for its host to say who it is */
	ST_BANNER,        /* to be greeted, after what the connect ACL delays */
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

/* Why a message that was accepted waits for a queue run, other than that it was wished for. */
enum delay_reason { DELAY_NONE, DELAY_CONNECTIONS, DELAY_MESSAGES, DELAY_LOAD };

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
	_Atomic bool stopping;                          /* relaxed: seen at the next command */
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
	slice_t login, full_name, given_name; /* given: -F, or ABSENT */
	bool trusted;                         /* may say who the sender is */
	bool batch;                           /* not really SMTP: only acl_not_smtp is asked */
	bool message;                         /* batch, and one message: -bm */
	bool rmail;                           /* called by that name */
	bool unqualified;                     /* -bnq: addresses stay as they are */
	bool own_sender;                      /* nobody said who the sender is */
	bool queue_only, deliver_now;         /* -odq; -odb and the like, over queue_only */
	bool suppress_fixups;                 /* -G */
	/* what a trusted user says of where the message came from, or ABSENT: -oMs -oMaa -oMai
	 * -oMas -oMr -oMt, -oMm or -E */
	slice_t host_name, auth, auth_id, auth_sender, protocol, ident, reference;
	struct net_addr host, interface; /* -oMa, -oMi; family 0: not said */
	int64_t timeout_us;              /* -os; 0: not said */
	uid_t uid;
	gid_t gid;
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
	struct net_addr counted_as;      /* of the connection, whatever XCLIENT says */
	const struct local_user *handed; /* on arena: came by the submission socket */
	const struct local_user *local;  /* the same, unless it says that it is from a host */
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
	bool awaits_disk;       /* what came for a body file is held until it may be written */
	int64_t deadline_us;    /* of the present wait for input */
	bool skipping;          /* the rest of an overlong line */
	/* what the client may do, worked out once */
	uint8_t delay_reason; /* enum delay_reason, of the present message */
	double load;          /* that made it wait; 0: none did */
	bool greeted;
	int read_error;       /* errno of the end of the input; 0: the client closed it */
	int64_t connected_us; /* monotonic */
	int64_t mail_limit, nonmail_limit, rcpt_limit, size_limit, command_timeout_us;
	struct rate_limit mail_rate, rcpt_rate,
	    rcpt_rate_start; /* rcpt_rate begins anew with each message */
	bool xclient_known, xclient_ok;
	bool pipelining_used, pipeconnect_offered, pipeconnect_used; /* for the log */
	bool dsn_advertised, smtputf8_advertised, prdr_advertised;
	bool pipelining_advertised, auth_advertised, esmtp, helo_seen, is_reserved, counted,
	    queue_by_load, taken_limits;
	bool no_multiline, allow_auth_unadvertised; /* by an ACL, for the rest of the connection */
	/* what the command is, and the one before it was: a RCPT; a MAIL that was refused, or a
	 * RCPT behind one */
	bool was_rcpt, after_rcpt, was_bad_mail, after_bad_mail;
	slice_t banner;             /* of the connect ACL; empty: smtp_banner */
	struct acl_outcome message; /* what the ACL says to a message that is accepted */
	bool discarded_by_data;
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
	bool body_8bit, body_7bit; /* BODY= */
	size_t recipients_given;   /* before the ACL for DATA; for the log */
	bool prdr, prdr_answered,
	    prdr_some; /* asked for; each recipient has its answer; not all were taken */
	/* DATA */
	struct data_reader *reader; /* on m's arena */
	struct body_builder *body;
	struct header *received;
	int64_t data_started_us;
	/* BDAT; see server_bdat.c */
	uint64_t chunk_left, chunk_size, chunk_total;
	bool chunking_advertised, chunked, chunk_last, chunk_refused, chunk_spoilt;
	/* commit */
	_Atomic int commit_result; /* 0: pending, COMMIT_GIVING: the runner is giving it, else 1 +
	                          rc; release, paired with the runner's acquire */
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
	bool io;             /* the descriptor has polled */
	uint32_t tls_events; /* with STEP_TLS */
	slice_t line;        /* the command being served, trimmed */
	slice_t arg;
	enum command command;
};

#include "smtp/server_parts.h"
#endif
