/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RCPT. */
#include "smtp/server_private.h"

/* What a refused RCPT was told, for the DATA that may follow. */
static void remember_refusal(struct run *r, int code, slice_t text)
{
	struct session *s = r->s;
	slice_t said = arena_printf(r->scratch, "%d %.*s", code, SL_ARG(text));
	if (!slice_is_absent(s->rcpt_reply) && !slice_eq(s->rcpt_reply, said))
		s->rcpt_reply_differs = true;
	else
		s->rcpt_reply = arena_dup(s->m ? s->m->arena : s->arena, said);
}

static bool too_many_recipients(struct run *r)
{
	struct session *s = r->s;
	if (s->rcpt_limit <= 0 || s->mf.rcpt_count <= s->rcpt_limit)
		return false;
	bool reject = config_bool(s->cfg, MO_recipients_max_reject);
	s->mf.rcpt_fail_count++;
	if (!s->rejected_rcpts_log && !reject)
		log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
		    "too many recipients: excess temporarily rejected: sender=<%.*s> %.*s",
		    SL_ARG(s->m->sender), SL_ARG(host_for_log(r, true)));
	s->rejected_rcpts_log = true;
	reply(r, reject ? 552 : 452, SL("too many recipients"));
	return true;
}

static bool recipient_address(struct run *r, slice_t arg, slice_t *out)
{
	struct session *s = r->s;
	struct error err = {0};
	slice_t local, domain;
	if (address_parse_path(s->m->arena, arg, false, address_flags(s->cfg), out, &err)) {
		slice_t text = arena_printf(r->scratch, "%.*s: %s", SL_ARG(arg), err.text);
		s->mf.rcpt_fail_count++;
		remember_refusal(r, 501, text);
		synprot_error_told(r, false, 501, slice_cstr(err.text), text);
		return false;
	}
	if (address_split(*out, &local, &domain))
		return true;
	bool postmaster = slice_eqis(*out, "postmaster");
	if (s->unqualified_recipient_ok || postmaster) {
		slice_t qualify =
		    config_text(s->cfg, postmaster ? MO_qualify_domain : MO_qualify_recipient);
		if (!qualify.len)
			qualify = config_text(s->cfg, MO_qualify_domain);
		if (!qualify.len)
			qualify = config_process(s->cfg)->primary_hostname;
		*out = arena_printf(s->m->arena, "%.*s@%.*s", SL_ARG(*out), SL_ARG(qualify));
		out->flags = 0;
		return true;
	}
	s->mf.rcpt_fail_count++;
	log_line(r, log_where(r, LOG_SMTP_SYNTAX_ERROR, LOG_TO_MAIN | LOG_TO_REJECT),
	    "unqualified recipient rejected: <%.*s> %.*s", SL_ARG(*out),
	    SL_ARG(host_for_log(r, true)));
	slice_t text =
	    arena_printf(r->scratch, "%.*s: recipient address must contain a domain", SL_ARG(arg));
	remember_refusal(r, 501, text);
	reply(r, 501, text);
	return false;
}

static void accept_recipient(struct run *r, slice_t address, const struct dsn_params *dsn)
{
	struct session *s = r->s;
	struct recipient *it = VEC_PUSH(s->m->arena, &s->recipients, struct recipient);
	it->address = address;
	it->errors_to = slice_absent();
	it->orcpt = arena_dup(s->m->arena, dsn->orcpt);
	it->dsn_flags = dsn->notify;
}

static enum param take_parameter(struct run *r, slice_t name, slice_t value, void *out)
{
	return r->s->dsn_advertised ? dsn_rcpt_param(r, name, value, out) : PARAM_UNKNOWN;
}

void serve_rcpt(struct run *r)
{
	struct session *s = r->s;
	slice_t address, arg = r->arg;
	struct acl_outcome out;
	struct dsn_params dsn;
	s->was_rcpt = true;
	if (!s->m) {
		remember_refusal(r, 503, SL("sender not yet given"));
		s->was_bad_mail = s->after_bad_mail && s->pipelining_advertised;
		if (s->was_bad_mail) { /* sent before the answer to MAIL: that was error enough */
			reply(r, 503, SL("sender not yet given"));
			return;
		}
		s->was_rcpt = false;
		synprot_error(r, true, 503, SL("sender not yet given"));
		return;
	}
	s->mf.rcpt_count++;
	rate_apply(r, &s->rcpt_rate, s->mf.rcpt_count);
	if (!r->arg.len) {
		s->mf.rcpt_fail_count++;
		synprot_error(r, false, 501, SL("RCPT must have an address operand"));
		return;
	}
	dsn_params_clear(&dsn);
	if (!params_take(r, &arg, take_parameter, &dsn)) {
		s->mf.rcpt_fail_count++;
		return;
	}
	if (!recipient_address(r, arg, &address) || too_many_recipients(r))
		return;
	if (!address_charset_ok(r, address, s->m->smtputf8)) {
		s->mf.rcpt_fail_count++;
		return;
	}
	enum acl_verdict v = s->mail_discard
	                         ? ACL_DISCARD
	                         : session_acl(r, ACL_RCPT, MO_acl_smtp_rcpt, address, &out);
	slice_t what = arena_printf(r->scratch, "<%.*s>", SL_ARG(address));
	if (v == ACL_ACCEPT) {
		accept_recipient(r, address, &dsn);
		s->mf.recipients_count = (int64_t)s->recipients.count;
		reply_outcome(r, 250, &out, SL("Accepted"));
	} else if (v == ACL_DISCARD) {
		s->discarded++;
		s->discarding = true;
		s->discarded_by_mail = s->mail_discard;
		slice_t why = s->mail_discard ? SL("") : acl_logged_text(r, &out);
		log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
		    "%.*s F=<%.*s> RCPT <%.*s>: discarded by %s ACL%s%.*s",
		    SL_ARG(host_for_log(r, true)), SL_ARG(s->m->sender), SL_ARG(address),
		    s->mail_discard ? "MAIL" : "RCPT", why.len ? ": " : "", SL_ARG(why));
		if (s->mail_discard)
			reply(r, 250, SL("Accepted"));
		else
			reply_outcome(r, 250, &out, SL("Accepted"));
	} else {
		s->mf.rcpt_fail_count += v != ACL_DEFER;
		s->mf.rcpt_defer_count += v == ACL_DEFER;
		if (acl_refuse(r, ACL_RCPT, &out, what))
			session_close(r, "acl-drop");
	}
}
