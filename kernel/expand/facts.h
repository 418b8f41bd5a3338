/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * expand/facts: what a session, a message, an address and a host are, as far as the configuration
 * can see them. Plain data, owned and filled in by the modules above (smtp, message, deliver) and
 * read by the expansion variables through struct eval: there is no other way for a variable to get
 * its value, and there are no globals. Threads: a facts struct belongs to the one thread that runs
 * its session or delivery.  Text from a peer is tainted. An ABSENT slice is an unset variable: it
 * expands to nothing, and def: is false (as it is for an empty one).
 */
#ifndef HEDDLE_EXPAND_FACTS_H
#define HEDDLE_EXPAND_FACTS_H
#include "base/map.h"

/* One header field, whole: "Name: value\n", continuation lines included, LF line ends. */
struct header {
	struct header *next, *prev;
	slice_t text;
	uint32_t name_len; /* without the colon; 0: not a valid field */
	char type; /* as in Exim's spool: F T C B R S D I P ... ' ' others, '*' deleted (kept for
	              $rheader etc.) */
};
struct header_list {
	struct header *first, *last;
	uint32_t count;
	uint64_t bytes;
};

/* Facts of this process and host; immutable while it runs. */
struct process_facts {
	slice_t primary_hostname, version_number /* Exim's, whose language is spoken */,
	    heddle_version;
	slice_t compile_date, compile_number, exim_path, config_file, config_dir, spool_directory;
	int64_t pid, exim_uid, exim_gid, caller_uid, caller_gid;
	slice_t initial_cwd;
};

enum host_lookup_state {
	HOST_LOOKUP_NONE,
	HOST_LOOKUP_OK,
	HOST_LOOKUP_FAILED,
	HOST_LOOKUP_DEFERRED
};

struct session_facts {
	struct arena *arena;         /* of the connection */
	slice_t sender_host_address; /* ABSENT: a local, non-SMTP or -bs message */
	slice_t sender_host_name, sender_helo_name, sender_ident;
	slice_t sender_fullhost, sender_rcvhost; /* kept up to date by smtp */
	slice_t interface_address, received_protocol;
	slice_t smtp_active_hostname, smtp_command, smtp_command_argument, smtp_notquit_reason;
	slice_t sender_host_authenticated /* authenticator's public name */, authenticated_id,
	    authenticated_fail_id;
	slice_t auth[3]; /* $auth1..3 */
	slice_t host_data;
	slice_t tls_in_cipher, tls_in_cipher_std, tls_in_ver, tls_in_sni, tls_in_peerdn;
	slice_t tls_in_peercert, tls_in_ourcert; /* DER */
	slice_t tls_in_alpn, tls_in_binding[3];  /* for drivers; by enum tls_binding */
	int64_t tls_in_bits, tls_in_certificate_verified, tls_in_resumption, tls_in_ocsp;
	int64_t sender_host_port, interface_port, smtp_count_at_connection_start,
	    authentication_failed;
	int64_t connection_start_us; /* wall clock */
	enum host_lookup_state host_lookup;
	slice_t host_lookup_msg; /* why its name is not known, for logs; ABSENT */
	/* control = debug: categories (enum log_debug; 0: off) and the end of the file's name */
	int64_t debug_bits;
	slice_t debug_tag;
	bool host_dnssec;             /* what the name rests on was validated */
	bool log_port, log_interface; /* log_selector: how a host is named */
	bool helo_verified;           /* what HELO said is true */
	bool unqualified_sender_ok, unqualified_recipient_ok; /* sender_unqualified_hosts, ... */
	struct map *acl_c; /* name without "acl_c" -> slice_t *, or NULL */
};

/* "(helo) [1.2.3.4]:25 I=[...]:25", as sentences about a client have it; with_h: "H=... U=ident",
 * as lines about it begin.  Empty where there is no host. */
slice_t session_host_text(struct arena *a, const struct session_facts *f, bool with_h);

struct message_facts {
	struct arena *arena;    /* of the transaction or delivery */
	slice_t id;             /* ABSENT before it has one */
	slice_t sender_address; /* empty: a bounce; ABSENT: no MAIL yet */
	slice_t sender_address_data, sender_data, recipient_data;
	slice_t authenticated_sender;
	slice_t received_for;
	const slice_t *recipients; /* envelope */
	int64_t recipients_count, rcpt_count, rcpt_fail_count, rcpt_defer_count;
	int64_t message_size; /* while in MAIL/RCPT: the SIZE= value, or -1 */
	int64_t body_size, body_linecount, body_zerocount, max_received_linelength, received_count;
	int64_t header_linecount;     /* as it came; 0: that of the fields */
	int64_t received_time_us;     /* wall clock; 0: unset */
	struct header_list *headers;  /* NULL before DATA is read */
	slice_t body_start, body_end; /* first and last message_body_visible bytes */
	slice_t headers_added;
	slice_t return_path, bounce_recipient, warn_message_delay, warn_message_recipients;
	slice_t acl_verify_message, sender_verify_failure, recipient_verify_failure;
	slice_t dsn_envid, dsn_ret; /* of MAIL: xtext; FULL or HDRS */
	bool prdr_requested;        /* by MAIL, and offered */
	bool first_delivery, smtputf8, queue_run, manually_thawed;
	struct map *acl_m; /* as acl_c */
};

struct address_facts {
	struct arena *arena;
	slice_t local_part, domain, local_part_data, domain_data;
	slice_t local_part_prefix, local_part_prefix_v, local_part_suffix, local_part_suffix_v;
	slice_t original_local_part, original_domain, parent_local_part, parent_domain;
	slice_t address_data, address_file, address_pipe, home, self_hostname;
	slice_t router_name, transport_name;
	int64_t local_user_uid, local_user_gid; /* -1: unset */
	slice_t verify_mode;                    /* "S" or "R" while verifying */
	struct map *router_vars;                /* $r_NAME: slice_t *, or NULL */
};

/* All unset: every text ABSENT. */
void session_facts_clear(struct session_facts *f, struct arena *a);
void address_facts_clear(struct address_facts *f, struct arena *a);

struct host_facts {
	slice_t host, host_address, sending_ip_address;
	int64_t host_port, sending_port;
	slice_t tls_out_cipher, tls_out_cipher_std, tls_out_ver, tls_out_sni, tls_out_peerdn;
	slice_t tls_out_peercert, tls_out_ourcert; /* DER */
	slice_t tls_out_alpn, tls_out_binding[3];
	int64_t tls_out_bits, tls_out_certificate_verified, tls_out_resumption, tls_out_ocsp;
};

/* What net/tls says of a session, in its place here (the texts are not copied); NULL: in clear. */
struct tls_facts;
void facts_tls_in(struct session_facts *s, const struct tls_facts *f);
void facts_tls_out(struct host_facts *h, const struct tls_facts *f);
#endif
