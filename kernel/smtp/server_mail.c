/* SPDX-License-Identifier: GPL-3.0-or-later */
/* MAIL: the sender, its parameters, room for what is announced. */
#include "smtp/server_private.h"

bool spool_has_room(struct run *r, int64_t extra)
{
	struct session *s = r->s;
	const struct smtp_queue_hooks *q = s->server->cfg.queue;
	uint64_t bytes = 0, inodes = 0;
	int64_t want = config_int(s->cfg, MO_check_spool_space),
	        want_inodes = config_int(s->cfg, MO_check_spool_inodes);
	if (!q->space || (want <= 0 && want_inodes <= 0 && extra <= 0))
		return true;
	struct error err = {0};
	if (q->space(q->ctx, &bytes, &inodes, &err))
		return true; /* the append will say so if it is true */
	bool room = (int64_t)(bytes > INT64_MAX ? INT64_MAX : bytes) >=
	            (want > 0 ? want : 0) + (extra > 0 ? extra : 0);
	bool names = want_inodes <= 0 || inodes == UINT64_MAX || inodes >= (uint64_t)want_inodes;
	if (room && names)
		return true;
	log_line(r, LOG_TO_MAIN, "spool directory space check failed: space=%llu inodes=%llu",
	    (unsigned long long)bytes, (unsigned long long)inodes);
	reply(r, 452, SL("space shortage, please try later"));
	return false;
}

struct mail_parameters {
	int64_t size; /* -1: not given */
	bool body_8bit, body_7bit;
	slice_t auth, auth_raw; /* decoded, as it came; ABSENT: not given, or <> */
	bool utf8, prdr;
	struct dsn_params dsn;
};

static enum param take_parameter(struct run *r, slice_t name, slice_t value, void *arg)
{
	struct session *s = r->s;
	struct mail_parameters *out = arg;
	if (slice_eqis(name, "SIZE")) {
		int64_t n;
		if (slice_to_i64(value, 10, false, &n) && n >= 0)
			out->size = n;
		return PARAM_TAKEN;
	}
	if (slice_eqis(name, "BODY") && config_bool(s->cfg, MO_accept_8bitmime)) {
		if (slice_eqis(value, "8BITMIME"))
			out->body_8bit = true;
		else if (slice_eqis(value, "7BIT"))
			out->body_7bit = true;
		else if (slice_is_absent(value) || value.len) {
			synprot_error(r, false, 501, SL("invalid data for BODY"));
			return PARAM_BAD;
		}
		return PARAM_TAKEN;
	}
	if (slice_eqis(name, "AUTH")) {
		out->auth_raw = value;
		if (!slice_eqis(value, "<>") && !xtext_decode(r->scratch, value, &out->auth)) {
			synprot_error(r, false, 501, SL("invalid data for AUTH"));
			return PARAM_BAD;
		}
		return PARAM_TAKEN;
	}
	if (slice_eqis(name, "SMTPUTF8") && slice_is_absent(value) && s->smtputf8_advertised) {
		out->utf8 = true;
		return PARAM_TAKEN;
	}
	if (slice_eqis(name, "PRDR") && slice_is_absent(value)) {
		out->prdr = s->prdr_advertised;
		return PARAM_TAKEN;
	}
	if (s->dsn_advertised)
		return dsn_mail_param(r, name, value, &out->dsn);
	/* who asks for what is not offered does not get it, as with Exim */
	return slice_eqis(name, "RET") || slice_eqis(name, "ENVID") ? PARAM_TAKEN : PARAM_UNKNOWN;
}

static bool take_parameters(struct run *r, slice_t *text, struct mail_parameters *out)
{
	*out = (struct mail_parameters){
	    .size = -1, .auth = slice_absent(), .auth_raw = slice_absent()};
	dsn_params_clear(&out->dsn);
	return params_take(r, text, take_parameter, out);
}

/* May there be another MAIL now?  false: answered. */
static bool mail_allowed(struct run *r)
{
	struct session *s = r->s;
	if (s->m) {
		synprot_error(r, true, 503, SL("sender already given"));
		return false;
	}
	if (!r->arg.len) {
		synprot_error(r, true, 501, SL("MAIL must have an address operand"));
		return false;
	}
	if (!s->helo_seen && host_matches(r, MO_hosts_require_helo)) {
		log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
		    "rejected MAIL from %.*s: no HELO/EHLO given", SL_ARG(host_for_text(r)));
		reply(r, 503, SL("HELO or EHLO required"));
		return false;
	}
	if (!s->helo_seen && !s->taken_limits) {
		helo_limits(r);
		s->taken_limits = true;
	}
	if (s->mail_limit > 0 && (int64_t)s->mails >= s->mail_limit) {
		reply(r, 421, SL("too many messages in this connection"));
		log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
		    "rejected MAIL command %.*s: too many messages in one connection",
		    SL_ARG(host_for_log(r, true)));
		session_close(r, "bad-commands");
		return false;
	}
	s->mails++;
	rate_apply(r, &s->mail_rate, s->mails);
	s->rcpt_rate = s->rcpt_rate_start;
	return true;
}

static bool size_acceptable(struct run *r, slice_t sender, int64_t size)
{
	struct session *s = r->s;
	if (s->size_limit > 0 && size > s->size_limit) {
		reply(r, 552, SL("Message size exceeds maximum permitted"));
		log_line(r, log_where(r, LOG_SIZE_REJECT, LOG_TO_MAIN | LOG_TO_REJECT),
		    "rejected MAIL FROM:<%.*s> %.*s: message too big: size=%lld max=%lld",
		    SL_ARG(sender), SL_ARG(host_for_log(r, true)), (long long)size,
		    (long long)s->size_limit);
		return false;
	}
	return spool_has_room(
	    r, config_bool(s->cfg, MO_smtp_check_spool_space) && size > 0 ? size : 0);
}

/* The address in full; false: answered. */
static bool sender_address(struct run *r, slice_t text, struct arena *a, slice_t *out)
{
	struct session *s = r->s;
	struct error err = {0};
	slice_t local, domain;
	if (address_parse_path(a, text, true, address_flags(s->cfg), out, &err)) {
		synprot_error_told(r, false, 501, slice_cstr(err.text),
		    arena_printf(r->scratch, "%.*s: %s", SL_ARG(text), err.text));
		return false;
	}
	if (!out->len || address_split(*out, &local, &domain))
		return true;
	if (s->unqualified_sender_ok) {
		*out = arena_printf(
		    a, "%.*s@%.*s", SL_ARG(*out), SL_ARG(config_text(s->cfg, MO_qualify_domain)));
		out->flags = 0;
		return true;
	}
	log_line(r, log_where(r, LOG_SMTP_SYNTAX_ERROR, LOG_TO_MAIN | LOG_TO_REJECT),
	    "unqualified sender rejected: <%.*s> %.*s", SL_ARG(*out),
	    SL_ARG(host_for_log(r, true)));
	replyf(r, 501, "%.*s: sender address must contain a domain", SL_ARG(text));
	return false;
}

/* A user of this host is the sender, whatever MAIL says, unless trusted or told to be free in it.
 */
static enum rc local_sender(struct run *r, struct arena *a, slice_t *sender, struct error *err)
{
	struct session *s = r->s;
	struct match_list *may = config_list(s->cfg, MO_untrusted_set_sender);
	if (!s->local || s->local->trusted)
		return RC_OK;
	if (s->local->message && !sender->len) /* anybody may send what nobody is told about */
		return RC_OK;
	enum rc rc = may ? match_address(&r->ev, may, *sender, NULL, err) : RC_FAIL;
	if (rc != RC_FAIL)
		return rc;
	*sender = arena_printf(a, "%.*s@%.*s", SL_ARG(s->local->login),
	    SL_ARG(config_text(s->cfg, MO_qualify_domain)));
	return RC_OK;
}

/* $authenticated_sender, if MAIL does not say it. */
static slice_t handed_sender(const struct session *s, struct arena *a)
{
	const struct local_user *u = s->handed;
	if (!slice_is_absent(u->auth_sender) || !u->message)
		return u->auth_sender;
	return u->trusted && !u->own_sender ? slice_absent()
	                                    : arena_printf(a, "%.*s@%.*s", SL_ARG(u->login),
	                                          SL_ARG(config_text(s->cfg, MO_qualify_domain)));
}

void serve_mail(struct run *r)
{
	struct session *s = r->s;
	struct mail_parameters p;
	slice_t text = r->arg, sender;
	s->was_bad_mail = true;
	if (!mail_allowed(r) || !take_parameters(r, &text, &p))
		return;
	struct message *m = message_new();
	if (!sender_address(r, text, m->arena, &sender) || !address_charset_ok(r, sender, p.utf8)) {
		message_unref(&m);
		return;
	}
	struct error err = {0};
	if (local_sender(r, m->arena, &sender, &err)) {
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "untrusted_set_sender: %s", err.text);
		reply(r, 451, SL("Temporary local problem - please try later"));
		message_unref(&m);
		return;
	}
	if (!size_acceptable(r, sender, p.size)) {
		message_unref(&m);
		return;
	}
	session_reset_transaction(s);
	s->m = m;
	m->sender = sender;
	message_facts_clear(&s->mf, m->arena);
	s->effects.arena = m->arena;
	if (!auth_take_sender(r, p.auth, p.auth_raw, r->arg)) {
		session_reset_transaction(s);
		return;
	}
	if (s->handed && slice_is_absent(s->mf.authenticated_sender))
		s->mf.authenticated_sender = handed_sender(s, m->arena);
	s->mf.sender_address = sender;
	s->mf.message_size = p.size;
	s->mf.dsn_ret = arena_dup(m->arena, p.dsn.ret);
	s->mf.dsn_envid = arena_dup(m->arena, p.dsn.envid);
	s->mf.smtputf8 = m->smtputf8 = p.utf8;
	s->mf.prdr_requested = s->prdr = p.prdr;
	if (p.utf8)
		s->facts.received_protocol =
		    arena_printf(m->arena, "utf8%.*s", SL_ARG(session_protocol(s)));
	s->declared_size = p.size;
	s->body_8bit = p.body_8bit;
	s->body_7bit = p.body_7bit;
	s->count_rset = s->count_helo = true;
	struct acl_outcome out;
	enum acl_verdict v = session_acl(r, ACL_MAIL, MO_acl_smtp_mail, slice_absent(), &out);
	if (v == ACL_DISCARD)
		s->mail_discard = s->discarding = true;
	if (v == ACL_ACCEPT || v == ACL_DISCARD) {
		s->was_bad_mail = false;
		reply_outcome(r, 250, &out, p.prdr ? SL("OK, PRDR Requested") : SL("OK"));
		return;
	}
	/* the sender is forgotten, and with it the transaction */
	slice_t what = arena_printf(r->scratch, "<%.*s>", SL_ARG(sender));
	if (acl_refuse(r, ACL_MAIL, &out, what))
		session_close(r, "acl-drop");
	session_reset_transaction(s);
}
