/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PRDR: an answer for each recipient after the data (draft-hall-prdr), where there is more than
 * one.  Those that are refused are taken off the envelope; the answer to the message as a whole
 * follows.
 */
#include "smtp/server_private.h"

static bool refused(
    struct run *r, slice_t address, enum acl_verdict v, const struct acl_outcome *out)
{
	bool defer = v == ACL_DEFER;
	int code = out->smtp_code ? out->smtp_code : defer ? 450 : 550;
	slice_t text = out->user_text, logged = out->log_text;
	if (v == ACL_ACCEPT || v == ACL_DISCARD) {
		slice_t said =
		    arena_printf(r->scratch, "PRDR R=<%.*s> acceptance", SL_ARG(address));
		log_about(r, LOG_TO_MAIN, slice_absent(), "%.*s", SL_ARG(said));
		reply(r, 250, said);
		return v == ACL_DISCARD;
	}
	if (slice_is_absent(text) || !text.len)
		text = defer ? SL("Temporary local problem - please try later")
		             : SL("Administrative prohibition");
	if (slice_is_absent(logged) || !logged.len)
		logged = text;
	log_about(r, LOG_TO_MAIN | LOG_TO_REJECT, slice_absent(), "PRDR %.*s %.*s", SL_ARG(address),
	    SL_ARG(logged));
	reply_enhanced(r, code, out->enhanced, text);
	return true;
}

bool prdr_check(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	struct recipient *all = s->recipients.items;
	size_t kept = 0, count = s->recipients.count;
	if (!s->prdr || count < 2)
		return true;
	s->prdr_answered = true;
	s->prdr_some = false;
	reply(r, 353, SL("PRDR content analysis beginning"));
	for (size_t i = 0; i < count; i++) {
		struct recipient it = all[i];
		enum acl_verdict v =
		    session_acl(r, ACL_DATA_PRDR, MO_acl_smtp_data_prdr, it.address, &out);
		if (v == ACL_DISCARD)
			s->discarded++;
		if (refused(r, it.address, v, &out))
			s->prdr_some = s->prdr_some || v != ACL_DISCARD;
		else
			all[kept++] = it;
	}
	s->recipients.count = kept;
	s->mf.recipients_count = (int64_t)kept;
	if (kept || s->discarded)
		return true;
	replyf(r, 550, "id=%s message rejected for all recipients", s->m->id);
	return false;
}
