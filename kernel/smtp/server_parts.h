/* SPDX-License-Identifier: GPL-3.0-or-later */
/* smtp/server_parts: what the parts of the server do for each other.  Comes with server_private.h,
 * which has the types. */
#ifndef HEDDLE_SMTP_SERVER_PARTS_H
#define HEDDLE_SMTP_SERVER_PARTS_H
#include "smtp/server_private.h"

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
void session_tls_closes(struct session *s);
void session_tls_drop(struct session *s, bool say_goodbye);

/* ---- reply.c ---- */
void reply_raw(struct run *r, slice_t text);
/* One line, or several where the text has newlines: "250-a", "250 b". */
void reply(struct run *r, int code, slice_t text);
void replyf(struct run *r, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The last line of a multi-line text gets code and space, these none: for EHLO, which builds its
 * own. */
void reply_enhanced(struct run *r, int code, slice_t enhanced, slice_t text);
/* What a site's ACL says, long lines broken into several; the first line only where an ACL wants
 * that. */
slice_t reply_wrapped(struct run *r, slice_t text);
/* What the log shows: log_message, or message as it was written, its first line. */
slice_t acl_logged_text(struct run *r, const struct acl_outcome *out);
/* An ACL accepted: its message and code, or the usual ones. */
void reply_outcome(struct run *r, int code, const struct acl_outcome *out, slice_t usual);
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
/* NAME=VALUE off the end of *text, as long as take() knows it, as Exim does: what is left is the
 * address. false: answered. */
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
/* An address outside ASCII where SMTPUTF8 was not asked for, or that is no UTF-8; false: answered.
 */
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
/* Exim's selectors are about the main log alone: what of `where` is left. */
unsigned log_where(const struct run *r, enum log_item item, unsigned where);
void log_line(struct run *r, unsigned where, const char *fmt, ...) PRINTF_LIKE(3, 4);
void log_about(struct run *r, unsigned where, slice_t detail, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void log_arrival(struct run *r, const struct message *m);
/* " X=... CV=... DN=... SNI=...", as selected; empty in clear. */
slice_t log_tls_fields(struct run *r);
/* " A=... X=..." */
slice_t log_identity_fields(struct run *r);
/* smtp_incomplete_transaction: a transaction ends without a message. */
void log_transaction_cut(struct run *r, const char *why);
/* "[TLS ]SMTP connection from HOST TEXT", as smtp_connection says. */
void log_connection_end(struct run *r, const char *text);
void log_tls_error(struct run *r, const char *where, slice_t text);
/* Envelope and header for the reject log. */
slice_t log_header_detail(struct run *r);
/* " C=EHLO,QUIT"; nothing before the first command */
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
void serve_start(struct run *r);           /* ST_START: limits, connect ACL, banner */
void serve_connected(struct run *r);       /* after TLS, where it begins at once */
void serve_greet(struct run *r);           /* after the look-ups: the connect ACL */
void serve_banner(struct run *r);
enum step serve_auth_line(struct run *r, slice_t line);
/* To the reader; what may go to a body file, as a blocking section.  false: it is not this one's
 * turn, nothing was taken. */
bool data_feed(struct run *r, slice_t in, size_t *out_used, bool *out_end);
enum step serve_data(struct run *r);
/* server_prdr.c: the recipients' own answers; false: none is left, and that has been answered. */
bool prdr_check(struct run *r);
enum step serve_chunk(struct run *r);
/* Where a series of chunks is being sent: is this command out of place there?  Then it has been
 * answered. */
bool chunks_forbid(struct run *r);
void data_begin(struct session *s);
void data_heed_from_line(struct run *r); /* after it */ /* all that reading the message needs */
enum step data_end(struct run *r);                      /* all of it has been read */
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
/* AUTH= of MAIL, decoded and as it came (ABSENT: not given): believed or ignored; what: for a log
 * line.  false: answered. */
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
void server_take_local(struct smtp_server *server, int fd, const struct local_user *u)
    EXCLUDES(lk_smtp_clients);
/* Forget a session: the last touch of the server by it. */
void server_remove(struct session *s) EXCLUDES(lk_smtp_clients);
size_t server_client_count(struct smtp_server *server, const struct net_addr *peer)
    EXCLUDES(lk_smtp_clients);
void message_facts_clear(struct message_facts *mf, struct arena *a);
#endif
