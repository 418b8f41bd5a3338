/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log/selector: what log_selector and -d may name.  A row here is a name, and whether it is on by
 * default; the last column is 1 where what it is about is not here, so that it says nothing yet.
 * The rows' order is ours (bits are never written down); names are Exim's.
 */
#ifndef HEDDLE_LOG_SELECTOR_H
#define HEDDLE_LOG_SELECTOR_H
#include "base/slice.h"

/* clang-format off */
#define LOG_ITEMS(X) \
	X(8bitmime, M8BITMIME, 0, 0) \
	X(acl_warn_skipped, ACL_WARN_SKIPPED, 1, 0) \
	X(address_rewrite, ADDRESS_REWRITE, 0, 1) \
	X(all_parents, ALL_PARENTS, 0, 0) \
	X(arguments, ARGUMENTS, 0, 1) \
	X(connection_reject, CONNECTION_REJECT, 1, 0) \
	X(delay_delivery, DELAY_DELIVERY, 1, 0) \
	X(deliver_time, DELIVER_TIME, 0, 0) \
	X(delivery_size, DELIVERY_SIZE, 0, 0) \
	X(dkim, DKIM, 1, 1) \
	X(dkim_verbose, DKIM_VERBOSE, 0, 1) \
	X(dnslist_defer, DNSLIST_DEFER, 1, 1) \
	X(dnssec, DNSSEC, 0, 1) \
	X(etrn, ETRN, 1, 0) \
	X(host_lookup_failed, HOST_LOOKUP_FAILED, 1, 0) \
	X(ident_timeout, IDENT_TIMEOUT, 0, 0) \
	X(incoming_interface, INCOMING_INTERFACE, 0, 0) \
	X(incoming_port, INCOMING_PORT, 0, 0) \
	X(lost_incoming_connection, LOST_INCOMING_CONNECTION, 1, 0) \
	X(millisec, MILLISEC, 0, 0) \
	X(msg_id, MSG_ID, 1, 0) \
	X(msg_id_created, MSG_ID_CREATED, 0, 0) \
	X(outgoing_interface, OUTGOING_INTERFACE, 1, 0) \
	X(outgoing_port, OUTGOING_PORT, 0, 0) \
	X(pid, PID, 0, 0) \
	X(pipelining, PIPELINING, 0, 0) \
	X(protocol_detail, PROTOCOL_DETAIL, 0, 1) \
	X(proxy, PROXY, 0, 1) \
	X(queue_run, QUEUE_RUN, 1, 0) \
	X(queue_time, QUEUE_TIME, 0, 0) \
	X(queue_time_exclusive, QUEUE_TIME_EXCLUSIVE, 1, 0) \
	X(queue_time_overall, QUEUE_TIME_OVERALL, 0, 0) \
	X(receive_time, RECEIVE_TIME, 0, 0) \
	X(received_recipients, RECEIVED_RECIPIENTS, 0, 0) \
	X(received_sender, RECEIVED_SENDER, 0, 0) \
	X(rejected_header, REJECTED_HEADER, 1, 0) \
	X(retry_defer, RETRY_DEFER, 1, 0) \
	X(return_path_on_delivery, RETURN_PATH_ON_DELIVERY, 0, 0) \
	X(sender_on_delivery, SENDER_ON_DELIVERY, 0, 0) \
	X(sender_verify_fail, SENDER_VERIFY_FAIL, 1, 0) \
	X(size_reject, SIZE_REJECT, 1, 0) \
	X(skip_delivery, SKIP_DELIVERY, 1, 0) \
	X(smtp_confirmation, SMTP_CONFIRMATION, 1, 0) \
	X(smtp_connection, SMTP_CONNECTION, 0, 0) \
	X(smtp_incomplete_transaction, SMTP_INCOMPLETE_TRANSACTION, 0, 0) \
	X(smtp_mailauth, SMTP_MAILAUTH, 0, 0) \
	X(smtp_no_mail, SMTP_NO_MAIL, 0, 0) \
	X(smtp_protocol_error, SMTP_PROTOCOL_ERROR, 0, 0) \
	X(smtp_syntax_error, SMTP_SYNTAX_ERROR, 0, 0) \
	X(subject, SUBJECT, 0, 0) \
	X(tls_certificate_verified, TLS_CERTIFICATE_VERIFIED, 1, 0) \
	X(tls_cipher, TLS_CIPHER, 1, 0) \
	X(tls_peerdn, TLS_PEERDN, 0, 0) \
	X(tls_resumption, TLS_RESUMPTION, 0, 0) \
	X(tls_sni, TLS_SNI, 0, 0) \
	X(unknown_in_list, UNKNOWN_IN_LIST, 0, 0)

/* The second column of -d: on with a bare -d. */
#define LOG_DEBUGS(X) \
	X(acl, ACL, 1) \
	X(auth, AUTH, 1) \
	X(deliver, DELIVER, 1) \
	X(dns, DNS, 1) \
	X(dnsbl, DNSBL, 1) \
	X(exec, EXEC, 1) \
	X(expand, EXPAND, 0) \
	X(filter, FILTER, 0) \
	X(hints_lookup, HINTS_LOOKUP, 1) \
	X(host_lookup, HOST_LOOKUP, 1) \
	X(ident, IDENT, 1) \
	X(interface, INTERFACE, 0) \
	X(lists, LISTS, 1) \
	X(load, LOAD, 0) \
	X(local_scan, LOCAL_SCAN, 1) \
	X(lookup, LOOKUP, 1) \
	X(memory, MEMORY, 0) \
	X(noutf8, NOUTF8, 0) \
	X(pid, PID, 0) \
	X(process_info, PROCESS_INFO, 1) \
	X(queue_run, QUEUE_RUN, 1) \
	X(receive, RECEIVE, 1) \
	X(resolver, RESOLVER, 0) \
	X(retry, RETRY, 1) \
	X(rewrite, REWRITE, 1) \
	X(route, ROUTE, 1) \
	X(timestamp, TIMESTAMP, 0) \
	X(tls, TLS, 1) \
	X(transport, TRANSPORT, 1) \
	X(uid, UID, 1) \
	X(verify, VERIFY, 1)
/* clang-format on */

enum log_item {
#define LOG_ITEM_ENUM(name, NAME, on, later) LOG_##NAME,
	LOG_ITEMS(LOG_ITEM_ENUM)
#undef LOG_ITEM_ENUM
	    LOG_ITEM_COUNT
};

enum log_debug {
#define LOG_DEBUG_ENUM(name, NAME, on) LOG_D_##NAME,
	LOG_DEBUGS(LOG_DEBUG_ENUM)
#undef LOG_DEBUG_ENUM
	    LOG_DEBUG_COUNT
};

struct log_selector {
	uint64_t bits; /* by enum log_item */
};

static inline bool log_selector_has(struct log_selector s, enum log_item item)
{
	return (s.bits >> item & 1) != 0;
}
static inline bool log_debug_has(uint64_t bits, enum log_debug what)
{
	return (bits & UINT64_C(1) << what) != 0;
}
struct log_selector log_selector_default(void);
/* "+name -name +all": changes *io.  FAIL, in Exim's words: an unknown name, no sign, a mask. */
MUST_USE enum rc log_selector_parse(slice_t text, struct log_selector *io, struct error *err);
/* A name that this text switches on by itself, and that says nothing yet; *at starts at 0.  NULL:
 * no more of them. */
const char *log_selector_later(slice_t text, unsigned *at);
/* What follows -d: empty is the default set, else "+name-name". */
MUST_USE enum rc log_debug_parse(slice_t text, uint64_t *out_bits, struct error *err);
/* Exim's name of an item. */
const char *log_item_name(enum log_item item);
#endif
