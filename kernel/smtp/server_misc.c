/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands that need few lines each. */
#include "smtp/server_private.h"

void serve_rset(struct run *r)
{
	log_transaction_cut(r, "RSET");
	session_reset_transaction(r->s);
	reply(r, 250, SL("Reset OK"));
}

void serve_noop(struct run *r)
{
	reply(r, 250, SL("OK"));
}

void serve_quit(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	slice_t text = slice_absent();
	if (config_main(s->cfg, MO_acl_smtp_quit)->is_set) {
		(void)session_acl(r, ACL_QUIT, MO_acl_smtp_quit, slice_absent(), &out);
		text = out.user_text;
	}
	log_transaction_cut(r, "QUIT");
	if (slice_is_absent(text) || !text.len)
		text = arena_printf(
		    r->scratch, "%.*s closing connection", SL_ARG(s->facts.smtp_active_hostname));
	reply(r, 221, text);
	log_connection_end(r, "closed by QUIT");
	session_close(r, NULL);
}

void serve_vrfy(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	struct error err = {0};
	slice_t address, local, domain, user = slice_absent(), logged = slice_absent();
	if (address_parse_path(r->scratch, r->arg, false, address_flags(s->cfg), &address, &err)) {
		reply(r, 501, slice_cstr(err.text));
		return;
	}
	if (!address_split(address, &local, &domain)) {
		log_line(r, log_where(r, LOG_SMTP_SYNTAX_ERROR, LOG_TO_MAIN | LOG_TO_REJECT),
		    "unqualified verify rejected: <%.*s> %.*s", SL_ARG(address),
		    SL_ARG(host_for_log(r, true)));
		replyf(r, 501, "%.*s: recipient address must contain a domain", SL_ARG(address));
		return;
	}
	if (session_acl(r, ACL_VRFY, MO_acl_smtp_vrfy, address, &out) != ACL_ACCEPT) {
		if (acl_refuse(r, ACL_VRFY, &out, r->arg))
			session_close(r, "acl-drop");
		return;
	}
	struct verify_options o = {0};
	enum rc rc = RC_DEFER;
	if (s->server->cfg.verify_address)
		rc =
		    s->server->cfg.verify_address(&r->ev, address, false, &o, &user, &logged, &err);
	if (!rc) {
		replyf(r, 250, "<%.*s> is deliverable", SL_ARG(address));
		return;
	}
	slice_t why = !slice_is_absent(user) && user.len ? user : SL("Unrouteable address");
	if (rc == RC_FAIL) {
		log_line(r, LOG_TO_MAIN, "VRFY failed for %.*s %.*s", SL_ARG(r->arg),
		    SL_ARG(host_for_log(r, true)));
		replyf(r, 550, "<%.*s> %.*s", SL_ARG(address), SL_ARG(why));
	} else {
		slice_t now = !slice_is_absent(logged) && logged.len
		                  ? logged
		                  : SL("Cannot resolve at this time");
		replyf(r, 451, "<%.*s> %.*s", SL_ARG(address), SL_ARG(now));
	}
}

void serve_help(struct run *r)
{
	struct session *s = r->s;
	struct strbuf sb;
	strbuf_init(&sb, r->scratch, 0);
	strbuf_text(&sb, "Commands supported:\n");
	strbuf_text(&sb,
	    "AUTH "); /* whether or not there is anything to authenticate by, as Exim says it */
	strbuf_text(&sb, session_tls_offered(r) ? "STARTTLS " : "");
	strbuf_text(&sb, "HELO EHLO MAIL RCPT DATA ");
	strbuf_text(&sb, host_matches(r, MO_chunking_advertise_hosts) ? "BDAT " : "");
	strbuf_text(&sb, "NOOP QUIT RSET HELP");
	if (config_main(s->cfg, MO_acl_smtp_etrn)->is_set)
		strbuf_text(&sb, " ETRN");
	if (config_main(s->cfg, MO_acl_smtp_expn)->is_set)
		strbuf_text(&sb, " EXPN");
	if (config_main(s->cfg, MO_acl_smtp_vrfy)->is_set)
		strbuf_text(&sb, " VRFY");
	reply(r, 214, strbuf_slice(&sb));
}
