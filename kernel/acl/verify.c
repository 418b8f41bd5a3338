/* SPDX-License-Identifier: GPL-3.0-or-later */
/* verify = WORD[=value][/option...] */
#include "acl/acl_private.h"

enum verify_id {
	V_SENDER,
	V_RECIPIENT,
	V_HELO,
	V_REVERSE,
	V_HEADER_SYNTAX,
	V_HEADER_NAMES,
	V_NOT_BLIND,
	V_HEADER_SENDER,
	V_CERTIFICATE,
};
enum {
	OPT_ADDRESS = 1 /* those of address verification */,
	OPT_DEFER_OK = 2,
	OPT_CASE = 4,
	OPT_VALUE = 8
};

struct verify_row {
	const char *name;
	enum verify_id id;
	unsigned options;
	uint32_t allowed; /* WHERE_ mask; 0: not supported yet */
};

#define WITH_HEADERS \
	(WHERE(ACL_DATA) | WHERE(ACL_DATA_PRDR) | WHERE(ACL_NOT_SMTP) | WHERE(ACL_UNKNOWN))

static const struct verify_row rows[] = {
    {"arc", V_HELO, 0, 0},
    {"certificate", V_CERTIFICATE, 0, WHERE_ALL},
    {"csa", V_HELO, 0, 0},
    {"header_names_ascii", V_HEADER_NAMES, 0, WITH_HEADERS},
    {"header_sender", V_HEADER_SENDER, OPT_ADDRESS, WITH_HEADERS},
    {"header_syntax", V_HEADER_SYNTAX, 0, WITH_HEADERS},
    {"helo", V_HELO, 0, WHERE_ALL},
    {"not_blind", V_NOT_BLIND, OPT_CASE, WITH_HEADERS},
    {"recipient", V_RECIPIENT, OPT_ADDRESS, WHERE(ACL_RCPT) | WHERE(ACL_VRFY) | WHERE(ACL_UNKNOWN)},
    {"reverse_host_lookup", V_REVERSE, OPT_DEFER_OK, WHERE_ALL},
    {"sender", V_SENDER, OPT_ADDRESS | OPT_VALUE, WHERE_MESSAGE | WHERE(ACL_UNKNOWN)},
};

struct verify {
	const struct verify_row *row;
	struct verify_options options;
	bool case_insensitive;
	slice_t address; /* sender=ADDRESS; ABSENT: the message's */
};

/* The next part up to a single slash; a doubled one stands for one. */
static bool next_part(struct arena *a, slice_t *rest, slice_t *out)
{
	struct strbuf sb;
	if (slice_is_absent(*rest))
		return false;
	strbuf_init(&sb, a, 0);
	for (uint32_t i = 0; i < rest->len; i++) {
		if (rest->ptr[i] != '/') {
			strbuf_add(&sb, slice_sub(*rest, i, 1));
		} else if (i + 1 < rest->len && rest->ptr[i + 1] == '/') {
			strbuf_add(&sb, slice_sub(*rest, i++, 1));
		} else {
			*rest = slice_sub(*rest, i + 1, rest->len);
			*out = slice_trim(strbuf_slice(&sb));
			return true;
		}
	}
	*rest = slice_absent();
	*out = slice_trim(strbuf_slice(&sb));
	return true;
}

static enum rc parse_option(struct verify *v, slice_t o, struct error *err)
{
	unsigned known = v->row->options;
	if ((known & (OPT_ADDRESS | OPT_DEFER_OK)) && slice_eqs(o, "defer_ok"))
		v->options.defer_ok = true;
	else if ((known & OPT_ADDRESS) && slice_eqs(o, "no_details"))
		v->options.no_details = true;
	else if ((known & OPT_ADDRESS) && slice_eqs(o, "success_on_redirect"))
		v->options.success_on_redirect = true;
	else if ((known & OPT_CASE) && slice_eqs(o, "case_insensitive"))
		v->case_insensitive = true;
	else if ((known & OPT_ADDRESS) && (slice_starts(o, "callout") || slice_starts(o, "quota")))
		return error_set(err, RC_ERROR, "not supported yet: verify = %s/%.*s", v->row->name,
		    (int)(slice_starts(o, "callout") ? 7 : 5), o.ptr);
	else
		return error_set(err, RC_ERROR, "unknown option \"%.*s\" in \"verify = %s\"",
		    SL_ARG(slice_sub(o, 0, 60)), v->row->name);
	return RC_OK;
}

enum rc acl_verify_parse(struct arena *a, slice_t text, const void **out, struct error *err)
{
	slice_t rest = slice_trim(text), word = SL(""), option;
	struct verify *v = ARENA_NEW(a, struct verify);
	(void)next_part(a, &rest, &word);
	size_t eq = slice_find(word, '=');
	slice_t name = slice_trim(slice_sub(word, 0, eq == SIZE_MAX ? word.len : eq));
	for (size_t i = 0; i < sizeof rows / sizeof *rows && !v->row; i++)
		if (slice_eqs(name, rows[i].name))
			v->row = &rows[i];
	if (!v->row)
		return error_set(err, RC_ERROR,
		    "expected \"sender[=address]\", \"recipient\", \"helo\", \"header_syntax\", "
		    "\"header_sender\", \"header_names_ascii\" or \"reverse_host_lookup\" at start "
		    "of ACL condition \"verify %.*s\"",
		    SL_ARG(slice_sub(text, 0, 60)));
	if (!v->row->allowed)
		return error_set(err, RC_ERROR, "not supported yet: verify = %s", v->row->name);
	v->address = slice_absent();
	if (eq != SIZE_MAX && !(v->row->options & OPT_VALUE))
		return error_set(
		    err, RC_ERROR, "unexpected value in \"verify = %s\"", v->row->name);
	if (eq != SIZE_MAX)
		v->address = slice_trim(slice_sub(word, eq + 1, word.len));
	while (next_part(a, &rest, &option)) {
		enum rc rc = parse_option(v, option, err);
		if (rc != RC_OK)
			return rc;
	}
	*out = v;
	return RC_OK;
}

uint32_t acl_verify_allowed(const void *parsed)
{
	return ((const struct verify *)parsed)->row->allowed;
}

const char *acl_verify_word(const void *parsed)
{
	return ((const struct verify *)parsed)->row->name;
}

/* ---- the checks
 * ---------------------------------------------------------------------------------------------- */

static enum rc verify_address(struct acl_state *st, const struct verify *v, slice_t address,
    bool is_sender, struct error *err)
{
	const struct acl_hooks *h = st->run->hooks;
	slice_t user = slice_absent(), log = slice_absent();
	if (!h || !h->verify_address)
		return error_set(err, RC_ERROR, "verify = %s is not possible here", v->row->name);
	enum rc rc = h->verify_address(st->ev, address, is_sender, &v->options, &user, &log, err);
	if (rc == RC_DEFER && v->options.defer_ok)
		return RC_OK;
	if (rc == RC_OK)
		return rc;
	struct message_facts *m = st->ev->message;
	if (!is_sender) {
		st->user_msg = user;
		st->log_msg = log;
		st->recipient_failed = true;
		if (m)
			m->recipient_verify_failure = SL("route");
		return rc;
	}
	if (v->row->id == V_HEADER_SENDER) {
		st->user_msg = log;
		return rc;
	}
	st->sender_failed = true;
	st->no_details = v->options.no_details;
	st->verified_sender = address;
	st->verify_detail = slice_is_absent(user) ? log : user;
	if (m)
		m->sender_verify_failure = SL("route");
	if (rc == RC_FAIL)
		st->user_msg = st->log_msg = SL("Sender verify failed");
	else
		st->log_msg = SL("Could not complete sender verify");
	return rc;
}

static enum rc verify_sender(struct acl_state *st, const struct verify *v, struct error *err)
{
	const struct message_facts *m = st->ev->message;
	slice_t address = v->address;
	if (slice_is_absent(address)) {
		if (!m || slice_is_absent(m->sender_address))
			return error_set(err, RC_ERROR, "cannot verify sender before MAIL");
		address = m->sender_address;
	}
	if (!address.len) /* a bounce */
		return RC_OK;
	return verify_address(st, v, address, true, err);
}

static enum rc verify_recipient(struct acl_state *st, const struct verify *v, struct error *err)
{
	if (slice_is_absent(st->run->recipient))
		return error_set(err, RC_ERROR, "cannot verify recipient in %s ACL",
		    acl_where_name(st->run->where));
	return verify_address(st, v, st->run->recipient, false, err);
}

static enum rc verify_header_sender(struct acl_state *st, const struct verify *v, struct error *err)
{
	slice_t address, name, why = slice_absent();
	struct sender_walk walk = {0};
	enum rc worst = RC_FAIL;
	while (acl_header_sender_next(st, &walk, &name, &address)) {
		enum rc rc = verify_address(st, v, address, true, err);
		if (rc == RC_OK) {
			st->user_msg = slice_absent();
			return rc;
		}
		why = arena_printf(st->ev->arena,
		    "could not verify \"%.*s:\" header address\n%.*s: %.*s", SL_ARG(name),
		    SL_ARG(address), SL_ARG(st->user_msg));
		worst = rc == RC_DEFER ? rc : worst;
	}
	st->user_msg = slice_absent();
	if (!slice_is_absent(walk.bad))
		return acl_header_refused(st, walk.bad, walk.bad, err);
	slice_t none = SL("there is no valid sender in any header line");
	return acl_header_refused(st, none, slice_is_absent(why) ? none : why, err) == RC_FAIL
	           ? worst
	           : RC_ERROR;
}

static enum rc hook_or_error(struct acl_state *st, enum rc (*hook)(struct eval *, struct error *),
    const char *what, struct error *err)
{
	const struct session_facts *s = st->ev->session;
	if (!s || slice_is_absent(s->sender_host_address))
		return RC_OK; /* no client host */
	if (!hook)
		return error_set(err, RC_ERROR, "verify = %s is not possible here", what);
	return hook(st->ev, err);
}

static enum rc verify_reverse(struct acl_state *st, const struct verify *v, struct error *err)
{
	const struct acl_hooks *h = st->run->hooks;
	enum rc rc = hook_or_error(st, h ? h->verify_reverse_host : NULL, v->row->name, err);
	if (rc == RC_DEFER && v->options.defer_ok)
		return RC_OK;
	if (rc != RC_OK && err) {
		st->log_msg = arena_printf(st->ev->arena, "%s", err->text);
		st->log_msg.flags = 0;
	}
	return rc;
}

static enum rc check(struct acl_state *st, const struct verify *v, struct error *err)
{
	const struct acl_hooks *h = st->run->hooks;
	switch (v->row->id) {
	case V_SENDER:
		return verify_sender(st, v, err);
	case V_RECIPIENT:
		return verify_recipient(st, v, err);
	case V_HELO:
		return hook_or_error(st, h ? h->verify_helo : NULL, v->row->name, err);
	case V_REVERSE:
		return verify_reverse(st, v, err);
	case V_HEADER_SYNTAX:
		return acl_check_header_syntax(st, err);
	case V_HEADER_NAMES:
		return acl_check_header_names(st, err);
	case V_NOT_BLIND:
		return acl_check_not_blind(st, v->case_insensitive, err);
	case V_HEADER_SENDER:
		return verify_header_sender(st, v, err);
	case V_CERTIFICATE:
		break;
	}
	const struct session_facts *s = st->ev->session;
	if (s && s->tls_in_certificate_verified)
		return RC_OK;
	st->user_msg = SL("no verified certificate");
	return error_set(err, RC_FAIL, "no verified certificate");
}

ACL_FN(verify)
{
	const void *parsed = c->parsed;
	if (!parsed) {
		slice_t text;
		enum rc rc = acl_arg(st, c, &text, err);
		if (rc == RC_OK && !st->ignored)
			rc = acl_verify_parse(st->ev->arena, text, &parsed, err);
		if (rc != RC_OK || !parsed)
			return rc;
	}
	const struct verify *v = parsed;
	if (!(v->row->allowed & WHERE(st->run->where)))
		return error_set(err, RC_ERROR, "cannot verify %s in ACL for %s", v->row->name,
		    acl_where_name(st->run->where));
	return check(st, v, err);
}
