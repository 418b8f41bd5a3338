/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The variables: one row says the name, which facts it is read from, where in them, and how it
 * becomes text. Sorted by name: the row is found by bisection, when a text is compiled.
 */
#include "config/config.h"
#include "expand/notes.h"

#include <stdio.h>

#define P(field)     FACTS_PROCESS, VAR_SLICE, offsetof(struct process_facts, field), NULL, NULL
#define PI(field)    FACTS_PROCESS, VAR_INT, offsetof(struct process_facts, field), NULL, NULL
#define S(field)     FACTS_SESSION, VAR_SLICE, offsetof(struct session_facts, field), NULL, NULL
#define SI(field)    FACTS_SESSION, VAR_INT, offsetof(struct session_facts, field), NULL, "0"
#define SU(field)    FACTS_SESSION, VAR_INT_UNSET, offsetof(struct session_facts, field), NULL, NULL
#define SC(field)    FACTS_SESSION, VAR_CERT, offsetof(struct session_facts, field), NULL, NULL
#define HC(field)    FACTS_HOST, VAR_CERT, offsetof(struct host_facts, field), NULL, NULL
#define M(field)     FACTS_MESSAGE, VAR_SLICE, offsetof(struct message_facts, field), NULL, NULL
#define MI(field)    FACTS_MESSAGE, VAR_INT, offsetof(struct message_facts, field), NULL, "0"
#define A(field)     FACTS_ADDRESS, VAR_SLICE, offsetof(struct address_facts, field), NULL, NULL
#define AU(field)    FACTS_ADDRESS, VAR_INT_UNSET, offsetof(struct address_facts, field), NULL, NULL
#define H(field)     FACTS_HOST, VAR_SLICE, offsetof(struct host_facts, field), NULL, NULL
#define HI(field)    FACTS_HOST, VAR_INT, offsetof(struct host_facts, field), NULL, "0"
#define E(field)     FACTS_EVAL, VAR_SLICE, offsetof(struct eval, field), NULL, NULL
#define EI(field)    FACTS_EVAL, VAR_INT, offsetof(struct eval, field), NULL, NULL
#define F(fn)        FACTS_NONE, VAR_FN, 0, fn, NULL
#define FT(fn, text) FACTS_NONE, VAR_FN, 0, fn, text

static const struct var_row rows[] = {
    {"acl_arg1", E(acl_arg[0])},
    {"acl_arg2", E(acl_arg[1])},
    {"acl_arg3", E(acl_arg[2])},
    {"acl_arg4", E(acl_arg[3])},
    {"acl_arg5", E(acl_arg[4])},
    {"acl_arg6", E(acl_arg[5])},
    {"acl_arg7", E(acl_arg[6])},
    {"acl_arg8", E(acl_arg[7])},
    {"acl_arg9", E(acl_arg[8])},
    {"acl_narg", F(var_acl_narg)},
    {"acl_verify_message", M(acl_verify_message)},
    {"address_data", A(address_data)},
    {"address_file", A(address_file)},
    {"address_pipe", A(address_pipe)},
    {"auth1", S(auth[0])},
    {"auth2", S(auth[1])},
    {"auth3", S(auth[2])},
    {"auth4", FACTS_NONE, VAR_SLICE, 0, NULL, NULL},
    {"authenticated_fail_id", S(authenticated_fail_id)},
    {"authenticated_id", S(authenticated_id)},
    {"authenticated_sender", M(authenticated_sender)},
    {"authentication_failed", SI(authentication_failed)},
    {"body_linecount", MI(body_linecount)},
    {"body_zerocount", MI(body_zerocount)},
    {"bounce_recipient", M(bounce_recipient)},
    {"bounce_return_size_limit", FT(var_main_option, "bounce_return_size_limit")},
    {"caller_gid", PI(caller_gid)},
    {"caller_uid", PI(caller_uid)},
    {"compile_date", P(compile_date)},
    {"compile_number", P(compile_number)},
    {"config_dir", P(config_dir)},
    {"config_file", P(config_file)},
    {"dnslist_domain", E(dnslist_domain)},
    {"dnslist_matched", E(dnslist_matched)},
    {"dnslist_text", E(dnslist_text)},
    {"dnslist_value", E(dnslist_value)},
    {"domain", A(domain)},
    {"domain_data", A(domain_data)},
    {"dsn_envid", M(dsn_envid)},
    {"dsn_ret", M(dsn_ret)},
    {"exim_gid", PI(exim_gid)},
    {"exim_path", P(exim_path)},
    {"exim_uid", PI(exim_uid)},
    {"exim_version", P(version_number)},
    {"headers_added", M(headers_added)},
    {"heddle_version", P(heddle_version)},
    {"home", A(home)},
    {"host", H(host)},
    {"host_address", H(host_address)},
    {"host_data", S(host_data)},
    {"host_lookup_deferred", FT(var_host_lookup, "D")},
    {"host_lookup_failed", FT(var_host_lookup, "F")},
    {"host_port", HI(host_port)},
    {"initial_cwd", P(initial_cwd)},
    {"interface_address", S(interface_address)},
    {"interface_port", SU(interface_port)},
    {"item", E(item)},
    {"load_average", F(var_load_average)},
    {"local_part", A(local_part)},
    {"local_part_data", A(local_part_data)},
    {"local_part_prefix", A(local_part_prefix)},
    {"local_part_prefix_v", A(local_part_prefix_v)},
    {"local_part_suffix", A(local_part_suffix)},
    {"local_part_suffix_v", A(local_part_suffix_v)},
    {"local_user_gid", AU(local_user_gid)},
    {"local_user_uid", AU(local_user_uid)},
    {"localhost_number", FT(var_main_option, "localhost_number")},
    {"log_inodes", FT(var_space, "I")},
    {"log_space", FT(var_space, "S")},
    {"lookup_dnssec_authenticated", F(var_lookup_dnssec)},
    {"max_received_linelength", MI(max_received_linelength)},
    {"message_age", F(var_message_age)},
    {"message_body", FT(var_message_body, "B")},
    {"message_body_end", FT(var_message_body, "E")},
    {"message_body_size", MI(body_size)},
    {"message_exim_id", M(id)},
    {"message_headers", FT(var_message_headers, "D")},
    {"message_headers_raw", FT(var_message_headers, "R")},
    {"message_id", M(id)},
    {"message_linecount", F(var_message_linecount)},
    {"message_size", MI(message_size)},
    {"message_smtputf8", FACTS_MESSAGE, VAR_YES, offsetof(struct message_facts, smtputf8), NULL,
        NULL},
    {"original_domain", A(original_domain)},
    {"original_local_part", A(original_local_part)},
    {"originator_gid", PI(caller_gid)},
    {"originator_uid", PI(caller_uid)},
    {"parent_domain", A(parent_domain)},
    {"parent_local_part", A(parent_local_part)},
    {"pid", F(var_pid)},
    {"prdr_requested", FACTS_MESSAGE, VAR_YES, offsetof(struct message_facts, prdr_requested), NULL,
        NULL},
    {"primary_hostname", P(primary_hostname)},
    {"prvscheck_address", E(prvscheck_address)},
    {"prvscheck_keynum", E(prvscheck_keynum)},
    {"prvscheck_result", E(prvscheck_result)},
    {"qualify_domain", FT(var_main_option, "qualify_domain")},
    {"qualify_recipient", FT(var_main_option, "qualify_recipient")},
    {"rcpt_count", MI(rcpt_count)},
    {"rcpt_defer_count", MI(rcpt_defer_count)},
    {"rcpt_fail_count", MI(rcpt_fail_count)},
    {"received_count", MI(received_count)},
    {"received_for", M(received_for)},
    {"received_ip_address", S(interface_address)},
    {"received_port", SU(interface_port)},
    {"received_protocol", S(received_protocol)},
    {"received_time", F(var_received_time)},
    {"recipient_data", M(recipient_data)},
    {"recipient_verify_failure", M(recipient_verify_failure)},
    {"recipients", F(var_recipients)},
    {"recipients_count", MI(recipients_count)},
    {"reply_address", F(var_reply_address)},
    {"return_path", M(return_path)},
    {"return_size_limit", FT(var_main_option, "bounce_return_size_limit")},
    {"router_name", A(router_name)},
    {"runrc", F(var_runrc)},
    {"self_hostname", A(self_hostname)},
    {"sender_address", M(sender_address)},
    {"sender_address_data", M(sender_address_data)},
    {"sender_address_domain", FT(var_sender_part, "D")},
    {"sender_address_local_part", FT(var_sender_part, "L")},
    {"sender_data", M(sender_data)},
    {"sender_fullhost", S(sender_fullhost)},
    {"sender_helo_name", S(sender_helo_name)},
    {"sender_helo_verified", FACTS_SESSION, VAR_YES, offsetof(struct session_facts, helo_verified),
        NULL, NULL},
    {"sender_host_address", S(sender_host_address)},
    {"sender_host_authenticated", S(sender_host_authenticated)},
    {"sender_host_name", F(var_host_name)},
    {"sender_host_port", SU(sender_host_port)},
    {"sender_ident", S(sender_ident)},
    {"sender_rcvhost", S(sender_rcvhost)},
    {"sender_verify_failure", M(sender_verify_failure)},
    {"sending_ip_address", H(sending_ip_address)},
    {"sending_port", HI(sending_port)},
    {"smtp_active_hostname", S(smtp_active_hostname)},
    {"smtp_command", S(smtp_command)},
    {"smtp_command_argument", S(smtp_command_argument)},
    {"smtp_count_at_connection_start", SI(smtp_count_at_connection_start)},
    {"smtp_notquit_reason", S(smtp_notquit_reason)},
    {"spool_directory", P(spool_directory)},
    {"spool_inodes", FT(var_space, "i")},
    {"spool_space", FT(var_space, "s")},
    {"srs_recipient", E(srs_recipient)},
    {"thisaddress", E(thisaddress)},
    {"tls_bits", FT(var_tls_old, "bits")},
    {"tls_certificate_verified", FT(var_tls_old, "certificate_verified")},
    {"tls_cipher", FT(var_tls_old, "cipher")},
    {"tls_in_bits", SI(tls_in_bits)},
    {"tls_in_certificate_verified", SI(tls_in_certificate_verified)},
    {"tls_in_cipher", S(tls_in_cipher)},
    {"tls_in_cipher_std", S(tls_in_cipher_std)},
    {"tls_in_ocsp", SI(tls_in_ocsp)},
    {"tls_in_ourcert", SC(tls_in_ourcert)},
    {"tls_in_peercert", SC(tls_in_peercert)},
    {"tls_in_peerdn", S(tls_in_peerdn)},
    {"tls_in_resumption", SI(tls_in_resumption)},
    {"tls_in_sni", S(tls_in_sni)},
    {"tls_in_ver", S(tls_in_ver)},
    {"tls_out_bits", HI(tls_out_bits)},
    {"tls_out_certificate_verified", HI(tls_out_certificate_verified)},
    {"tls_out_cipher", H(tls_out_cipher)},
    {"tls_out_cipher_std", H(tls_out_cipher_std)},
    {"tls_out_ocsp", HI(tls_out_ocsp)},
    {"tls_out_ourcert", HC(tls_out_ourcert)},
    {"tls_out_peercert", HC(tls_out_peercert)},
    {"tls_out_peerdn", H(tls_out_peerdn)},
    {"tls_out_resumption", HI(tls_out_resumption)},
    {"tls_out_sni", H(tls_out_sni)},
    {"tls_out_ver", H(tls_out_ver)},
    {"tls_peerdn", FT(var_tls_old, "peerdn")},
    {"tls_sni", FT(var_tls_old, "sni")},
    {"tod_bsdinbox", FT(var_tod, "%a %b %e %H:%M:%S %Y")},
    {"tod_epoch", FT(var_tod, "s")},
    {"tod_epoch_l", FT(var_tod, "u")},
    {"tod_full", FT(var_tod, "%a, %d %b %Y %H:%M:%S %z")},
    {"tod_log", FT(var_tod, "%Y-%m-%d %H:%M:%S")},
    {"tod_logfile", FT(var_tod, "%Y%m%d")},
    {"tod_zone", FT(var_tod, "%z")},
    {"tod_zulu", FT(var_tod, "Z%Y%m%d%H%M%SZ")},
    {"transport_name", A(transport_name)},
    {"value", E(value)},
    {"verify_mode", A(verify_mode)},
    {"version_number", P(version_number)},
    {"warn_message_delay", M(warn_message_delay)},
    {"warn_message_recipients", M(warn_message_recipients)},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* Exim's, whose feature is not here: naming them is better than "unknown". */
static const char *const unsupported[] = {"arc_domains", "arc_oldest_pass", "arc_state",
    "arc_state_reason", "av_failed", "callout_address", "csa_status", "dcc_header", "dcc_result",
    "dkim_algo", "dkim_bodylength", "dkim_canon_body", "dkim_canon_headers", "dkim_copiedheaders",
    "dkim_created", "dkim_cur_signer", "dkim_domain", "dkim_expires", "dkim_headernames",
    "dkim_identity", "dkim_key_granularity", "dkim_key_length", "dkim_key_nosubdomains",
    "dkim_key_notes", "dkim_key_srvtype", "dkim_key_testing", "dkim_selector", "dkim_signers",
    "dkim_verify_reason", "dkim_verify_status", "dmarc_domain_policy", "dmarc_status",
    "dmarc_status_text", "dmarc_used_domain", "event_data", "event_defer_errno", "event_name",
    "inode", "ldap_dn", "local_scan_data", "mailstore_basename", "malware_name",
    "mime_anomaly_level", "mime_anomaly_text", "mime_boundary", "mime_charset",
    "mime_content_description", "mime_content_disposition", "mime_content_id", "mime_content_size",
    "mime_content_transfer_encoding", "mime_content_type", "mime_decoded_filename", "mime_filename",
    "mime_is_coverletter", "mime_is_multipart", "mime_is_rfc822", "mime_part_count",
    "pipe_addresses", "proxy_external_address", "proxy_external_port", "proxy_local_address",
    "proxy_local_port", "proxy_session", "queue_name", "queue_size", "regex_match_string",
    "sender_helo_dnssec", "sender_host_dnssec", "sender_rate", "sender_rate_limit",
    "sender_rate_period", "smtp_command_history", "spam_action", "spam_bar", "spam_report",
    "spam_score", "spam_score_int", "spf_header_comment", "spf_received", "spf_result",
    "spf_result_guessed", "spf_smtp_comment", "tls_out_dane", "tls_out_tlsa_usage", NULL};

const struct var_row *var_row_at(uint32_t i)
{
	return i < ROWS ? &rows[i] : NULL;
}

const struct var_row *var_find(slice_t name)
{
	size_t from = 0, to = ROWS;
	while (from < to) {
		size_t mid = (from + to) / 2;
		int d = slice_cmp(name, slice_cstr(rows[mid].name));
		if (d == 0)
			return &rows[mid];
		if (d < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return NULL;
}

slice_t var_near(slice_t name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (name_is_near(name, slice_cstr(rows[i].name)))
			return slice_cstr(rows[i].name);
	return SL("");
}

/* ---- evaluating ---- */

static const void *facts_of(const struct eval *ev, enum var_facts which)
{
	switch (which) {
	case FACTS_PROCESS:
		return ev->process;
	case FACTS_SESSION:
		return ev->session;
	case FACTS_MESSAGE:
		return ev->message;
	case FACTS_ADDRESS:
		return ev->address;
	case FACTS_HOST:
		return ev->host;
	case FACTS_EVAL:
		return ev;
	case FACTS_NONE:
	default:
		return NULL;
	}
}

static slice_t int_value(struct eval *ev, const struct var_row *row, const char *at)
{
	int64_t v;
	memcpy(&v, at, sizeof v);
	if (row->kind == VAR_INT_UNSET && v < 0)
		return slice_absent();
	return number_text(ev->arena, v);
}

/* ABSENT: unset. */
static enum rc var_value(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	const struct var_row *row = n->row;
	if (row->kind == VAR_FN)
		return row->fn(ev, n, out, err);
	const char *facts = facts_of(ev, row->facts);
	if (!facts) {
		*out = slice_cstr(row->without);
		return RC_OK;
	}
	const char *at = facts + row->offset;
	bool set;
	switch (row->kind) {
	case VAR_SLICE:
		memcpy(out, at, sizeof *out);
		break;
	case VAR_CERT: /* as in Exim: a certificate is no text; see var_certificate */
		memcpy(out, at, sizeof *out);
		if (out->len)
			*out = SL("<cert>");
		break;
	case VAR_INT:
	case VAR_INT_UNSET:
		*out = int_value(ev, row, at);
		break;
	case VAR_BOOL:
		memcpy(&set, at, sizeof set);
		*out = set ? SL("1") : SL("");
		break;
	case VAR_YES:
		memcpy(&set, at, sizeof set);
		*out = set ? SL("yes") : SL("no");
		break;
	case VAR_FN:
	default:
		break;
	}
	return RC_OK;
}

/* An unset variable expands to nothing, and nothing is not tainted. */
static enum rc unset_is_empty(slice_t *out, enum rc rc)
{
	if (rc == RC_OK && out->len == 0)
		*out = SL("");
	return rc;
}

enum rc var_eval(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	return unset_is_empty(out, var_value(ev, n, out, err));
}

bool var_is_certificate(const struct expr *e)
{
	const struct node *n = e->count == 1 ? e->nodes : NULL;
	const struct var_row *row = n && n->eval == var_eval ? n->row : NULL;
	return row && row->kind == VAR_CERT;
}

bool var_certificate(const struct eval *ev, const struct expr *e, slice_t *out_der)
{
	if (!var_is_certificate(e))
		return false;
	const struct var_row *row = e->nodes->row;
	const char *facts = facts_of(ev, row->facts);
	*out_der = slice_absent();
	if (facts)
		memcpy(out_der, facts + row->offset, sizeof *out_der);
	return true;
}

static enum rc capture_value(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	*out =
	    n->number[0] < (int64_t)ev->capture_count ? ev->captures[n->number[0]] : slice_absent();
	return RC_OK;
}

static enum rc map_value(const struct map *m, slice_t name, slice_t *out)
{
	const slice_t *v = m ? map_get(m, name) : NULL;
	*out = v ? *v : slice_absent();
	return RC_OK;
}

static enum rc acl_c_value(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	return map_value(ev->session ? ev->session->acl_c : NULL, n->text, out);
}

static enum rc acl_m_value(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	return map_value(ev->message ? ev->message->acl_m : NULL, n->text, out);
}

static enum rc router_value(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	return map_value(ev->address ? ev->address->router_vars : NULL, n->text, out);
}

static enum rc capture_eval(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	return unset_is_empty(out, capture_value(ev, n, out, err));
}

/* strict_acl_vars: one that was never set is an error. */
static enum rc known_or_empty(const struct eval *ev, const struct node *n, slice_t *out,
    const struct map *set, struct error *err)
{
	if (slice_is_absent(*out) && !(set && map_get(set, n->text)) && ev->cfg &&
	    config_bool(ev->cfg, MO_strict_acl_vars))
		return error_set(err, RC_ERROR,
		    "unknown variable name \"%.*s\" (strict_acl_vars is set)", SL_ARG(n->name));
	return unset_is_empty(out, RC_OK);
}

static enum rc acl_c_eval(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	enum rc rc = acl_c_value(ev, n, out, err);
	return rc ? rc : known_or_empty(ev, n, out, ev->session ? ev->session->acl_c : NULL, err);
}

static enum rc acl_m_eval(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	enum rc rc = acl_m_value(ev, n, out, err);
	return rc ? rc : known_or_empty(ev, n, out, ev->message ? ev->message->acl_m : NULL, err);
}

static enum rc router_eval(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	return unset_is_empty(out, router_value(ev, n, out, err));
}

/* ---- names ---- */

static bool all_digits(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if (!ascii_isdigit(s.ptr[i]))
			return false;
	return s.len > 0;
}

/* The families: $0, $acl_c..., $acl_m..., $r_...  false: the name is of none. */
static bool family(struct arena *a, slice_t name, struct node *n)
{
	if (all_digits(name)) {
		int64_t v;
		n->number[0] =
		    slice_to_i64(name, 10, false, &v) && v < EVAL_CAPTURES ? v : EVAL_CAPTURES;
		n->eval = capture_eval;
		return true;
	}
	bool acl = (slice_starts(name, "acl_c") || slice_starts(name, "acl_m")) &&
	           (name.len == 5 || ascii_isdigit(name.ptr[5]) || name.ptr[5] == '_');
	bool router = slice_starts(name, "r_") && name.len > 2;
	if (!acl && !router)
		return false;
	n->name = arena_dup(a, name);
	n->text = slice_sub(n->name, acl ? 5 : 2, name.len);
	n->eval = router ? router_eval : name.ptr[4] == 'c' ? acl_c_eval : acl_m_eval;
	return true;
}

static enum rc unknown(struct parser *p, slice_t name, bool braced)
{
	if (parse_unsupported(unsupported, name))
		return parse_error(p, "not supported yet: $%.*s", SL_ARG(name));
	const char *why = "";
	if (slice_starts(name, "acl_c") || slice_starts(name, "acl_m"))
		why =
		    " (6th character of a user-defined ACL variable must be a digit or underscore)";
	else if (slice_starts(name, "acl_"))
		why = " (user-defined ACL variables must start acl_c or acl_m)";
	slice_t near = var_near(name);
	char hint[80] = "";
	if (!*why && near.len)
		(void)snprintf(hint, sizeof hint, " (did you mean \"%.40s\"?)", near.ptr);
	if (braced)
		return parse_error(
		    p, "unknown variable in \"${%.*s}\"%s%s", SL_ARG(name), why, hint);
	return parse_error(p, "unknown variable name \"%.*s\"%s%s", SL_ARG(name), why, hint);
}

enum rc parse_variable(struct parser *p, slice_t name, bool braced, struct node *n)
{
	if (family(p->arena, name, n))
		return RC_OK;
	n->row = var_find(name);
	if (!n->row)
		return unknown(p, name, braced);
	n->eval = var_eval;
	parse_note_read(p, name);
	return RC_OK;
}

slice_t parse_user_variable(const struct node *n)
{
	bool user = n->eval == acl_c_eval || n->eval == acl_m_eval;
	return user ? n->name : (slice_t){0};
}

/* ---- taint that can be seen beforehand ---- */

struct tainted_row {
	const char *name, *instead; /* instead: the clean form, or NULL */
};
static const struct tainted_row always_tainted[] = {
    {"authenticated_sender", NULL},
    {"domain", "$domain_data"},
    {"local_part", "$local_part_data"},
    {"sender_address", NULL},
    {"sender_address_domain", NULL},
    {"sender_address_local_part", NULL},
    {"sender_helo_name", NULL},
};

static const struct tainted_row *tainted_variable(const struct node *n)
{
	const struct var_row *row = n->eval == var_eval ? n->row : NULL;
	for (size_t i = 0; row && i < sizeof always_tainted / sizeof always_tainted[0]; i++)
		if (strcmp(row->name, always_tainted[i].name) == 0)
			return &always_tainted[i];
	return NULL;
}

void warn_tainted(struct parser *p, const struct expr *e, const char *where)
{
	if (p->env)
		expr_warn_tainted(p->arena, e, p->env, where);
}

void expr_warn_tainted(
    struct arena *a, const struct expr *e, const struct expr_env *env, const char *where)
{
	if (!env->warnings)
		return;
	for (uint32_t i = 0; i < e->count; i++) {
		const struct tainted_row *row = tainted_variable(&e->nodes[i]);
		bool header = e->nodes[i].eval == header_eval;
		if (!row && !header)
			continue;
		struct error *w = VEC_PUSH(a, env->warnings, struct error);
		(void)error_set(w, RC_ERROR,
		    "%s%s\"$%.60s\" is tainted and will be refused as %s%s%s",
		    env->option ? env->option : "", env->option ? ": " : "",
		    row ? row->name : "h_...", where, row && row->instead ? "; use " : "",
		    row && row->instead ? row->instead : "");
		w->file = env->file;
		w->line = env->line;
		return;
	}
}

/* ---- by name ---- */

enum rc expand_variable(struct eval *ev, slice_t name, slice_t *out, struct error *err)
{
	struct node n = {0};
	slice_t header_name;
	char form = header_split(name, &header_name);
	if (form)
		return header_text(ev, form, header_name, out);
	if (!family(ev->arena, name, &n)) {
		n.row = var_find(name);
		if (!n.row)
			return error_set(
			    err, RC_FAIL, "unknown variable name \"%.*s\"", SL_ARG(name));
		return var_value(ev, &n, out, err);
	}
	if (n.eval == capture_eval)
		return capture_value(ev, &n, out, err);
	if (n.eval == acl_c_eval)
		return acl_c_value(ev, &n, out, err);
	return n.eval == acl_m_eval ? acl_m_value(ev, &n, out, err)
	                            : router_value(ev, &n, out, err);
}

static enum rc map_set(struct arena *a, struct map **m, slice_t name, slice_t value)
{
	if (!*m)
		*m = map_new(a, MAP_EXACT);
	slice_t *v = map_get(*m, name);
	if (!v) {
		v = ARENA_NEW(a, slice_t);
		(void)map_put(*m, arena_dup(a, name), v);
	}
	*v = arena_dup(a, value);
	return RC_OK;
}

static enum rc set_capture(struct eval *ev, slice_t name, slice_t value, struct error *err)
{
	int64_t i;
	if (!slice_to_i64(name, 10, false, &i) || i < 0 || i >= EVAL_CAPTURES)
		return error_set(err, RC_FAIL, "$%.*s cannot be set", SL_ARG(name));
	while (ev->capture_count <= (uint32_t)i)
		ev->captures[ev->capture_count++] = SL("");
	ev->captures[i] = arena_dup(ev->arena, value);
	ev->pinned++;
	return RC_OK;
}

enum rc expand_variable_set(struct eval *ev, slice_t name, slice_t value, struct error *err)
{
	struct node n = {0};
	if (slice_eqs(name, "value")) {
		ev->value = arena_dup(ev->arena, value);
		ev->pinned++;
		return RC_OK;
	}
	if (ev->session && name.len == 5 && slice_starts(name, "auth") && name.ptr[4] >= '1' &&
	    name.ptr[4] <= '3') {
		ev->session->auth[name.ptr[4] - '1'] = arena_dup(ev->session->arena, value);
		return RC_OK;
	}
	if (family(ev->arena, name, &n)) {
		if (n.eval == capture_eval)
			return set_capture(ev, name, value, err);
		if (n.eval == acl_c_eval && ev->session)
			return map_set(ev->session->arena, &ev->session->acl_c, n.text, value);
		if (n.eval == acl_m_eval && ev->message)
			return map_set(ev->message->arena, &ev->message->acl_m, n.text, value);
		if (n.eval == router_eval && ev->address)
			return map_set(
			    ev->address->arena, &ev->address->router_vars, n.text, value);
	}
	return error_set(err, RC_FAIL, "$%.*s cannot be set here", SL_ARG(name));
}
