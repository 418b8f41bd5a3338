/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conditions and modifiers: one row each. */
#include "acl/acl_private.h"

#define RECIPIENT_ONLY \
	(WHERE(ACL_RCPT) | WHERE(ACL_VRFY) | WHERE(ACL_DATA_PRDR) | WHERE(ACL_UNKNOWN))
#define AFTER_MAIL   (WHERE_MESSAGE | WHERE(ACL_QUIT) | WHERE(ACL_NOTQUIT) | WHERE(ACL_UNKNOWN))
#define WITH_MESSAGE (WHERE_MESSAGE | WHERE(ACL_UNKNOWN))
#define SMTP_SESSION (WHERE_ALL & ~(WHERE_NOT_SMTP | WHERE(ACL_CONNECT)))

static const struct acl_row rows[] = {
    {"acl", ARG_ACL, false, WHERE_ALL, acl_do_acl},
    {"add_header", ARG_TEXT, true, WITH_MESSAGE, acl_do_add_header},
    {"authenticated", ARG_STRINGS, false, SMTP_SESSION & ~WHERE(ACL_HELO), acl_do_authenticated},
    {"condition", ARG_TEXT, false, WHERE_ALL, acl_do_condition},
    {"continue", ARG_TEXT, true, WHERE_ALL, acl_do_continue},
    {"control", ARG_CONTROL, true, WHERE_ALL, acl_do_control},
    {"decode", ARG_TEXT, false, 0, NULL},
    {"delay", ARG_TEXT, true, WHERE_ALL & ~WHERE(ACL_NOTQUIT), acl_do_delay},
    {"dkim_signers", ARG_TEXT, false, 0, NULL},
    {"dkim_status", ARG_TEXT, false, 0, NULL},
    {"dmarc_status", ARG_TEXT, false, 0, NULL},
    {"dnslists", ARG_TEXT, false, 0, NULL},
    {"domains", ARG_DOMAINS, false, RECIPIENT_ONLY, acl_do_domains},
    {"encrypted", ARG_STRINGS, false, SMTP_SESSION, acl_do_encrypted},
    {"endpass", ARG_NONE, true, WHERE_ALL, NULL},
    {"hosts", ARG_HOSTS, false, WHERE_ALL, acl_do_hosts},
    {"local_parts", ARG_LOCALPARTS, false, RECIPIENT_ONLY, acl_do_local_parts},
    {"log_message", ARG_LATER, true, WHERE_ALL, NULL},
    {"log_reject_target", ARG_TEXT, true, WHERE_ALL, acl_do_log_reject_target},
    {"logwrite", ARG_TEXT, true, WHERE_ALL, acl_do_logwrite},
    {"malware", ARG_TEXT, false, 0, NULL},
    {"message", ARG_LATER, true, WHERE_ALL, NULL},
    {"mime_regex", ARG_TEXT, false, 0, NULL},
    {"queue", ARG_TEXT, true, 0, NULL},
    {"ratelimit", ARG_TEXT, false, 0, NULL},
    {"recipients", ARG_ADDRESSES, false, RECIPIENT_ONLY, acl_do_recipients},
    {"regex", ARG_TEXT, false, 0, NULL},
    {"remove_header", ARG_TEXT, true, WITH_MESSAGE, acl_do_remove_header},
    {"seen", ARG_TEXT, false, 0, NULL},
    {"sender_domains", ARG_DOMAINS, false, AFTER_MAIL, acl_do_sender_domains},
    {"senders", ARG_ADDRESSES, false, AFTER_MAIL, acl_do_senders},
    {"set", ARG_SET, true, WHERE_ALL, acl_do_set},
    {"spam", ARG_TEXT, false, 0, NULL},
    {"spf", ARG_TEXT, false, 0, NULL},
    {"spf_guess", ARG_TEXT, false, 0, NULL},
    {"udpsend", ARG_TEXT, true, 0, NULL},
    {"verify", ARG_VERIFY, false, WHERE_ALL, acl_do_verify},
};
enum { ROWS = sizeof rows / sizeof *rows };

const struct acl_row *acl_row_find(slice_t name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (slice_eqs(name, rows[i].name))
			return &rows[i];
	return NULL;
}

/* Same first letter, and at most one letter less, more or other: enough for a slip of the fingers.
 */
bool acl_is_near(slice_t a, const char *b)
{
	size_t n = strlen(b), i = 0, j = 0;
	while (i < a.len && i < n && a.ptr[i] == b[i])
		i++;
	while (j + i < a.len && j + i < n && a.ptr[a.len - 1 - j] == b[n - 1 - j])
		j++;
	size_t longer = a.len > n ? a.len : n;
	return i > 0 && longer - i - j <= 2 && i + j + 2 >= longer;
}

const char *acl_row_near(slice_t name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (acl_is_near(name, rows[i].name))
			return rows[i].name;
	return NULL;
}

const char *acl_where_name(enum acl_where where)
{
	static const char *const names[ACL_WHERE_COUNT] = {[ACL_CONNECT] = "connection",
	    [ACL_HELO] = "EHLO or HELO",
	    [ACL_STARTTLS] = "STARTTLS",
	    [ACL_AUTH] = "AUTH",
	    [ACL_MAIL] = "MAIL",
	    [ACL_MAILAUTH] = "MAILAUTH",
	    [ACL_RCPT] = "RCPT",
	    [ACL_PREDATA] = "PREDATA",
	    [ACL_DATA_PRDR] = "PRDR",
	    [ACL_MIME] = "MIME",
	    [ACL_DKIM] = "DKIM",
	    [ACL_DATA] = "DATA",
	    [ACL_ETRN] = "ETRN",
	    [ACL_EXPN] = "EXPN",
	    [ACL_VRFY] = "VRFY",
	    [ACL_QUIT] = "QUIT",
	    [ACL_NOTQUIT] = "NOTQUIT",
	    [ACL_NOT_SMTP_START] = "non-SMTP-start",
	    [ACL_NOT_SMTP_MIME] = "non-SMTP MIME",
	    [ACL_NOT_SMTP] = "non-SMTP",
	    [ACL_UNKNOWN] = "unknown"};
	return names[where];
}

enum rc acl_refuse_place(const struct acl_cond *c, enum acl_where where, struct error *err)
{
	return error_set(err, RC_ERROR, "cannot %s %s %s in %s ACL",
	    c->row->is_modifier ? "use" : "test", c->row->name,
	    c->row->is_modifier ? "modifier" : "condition", acl_where_name(where));
}
