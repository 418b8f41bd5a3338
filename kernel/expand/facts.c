/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What several modules say of a session's facts. */
#include "expand/facts.h"

#include "base/strbuf.h"

slice_t session_host_text(struct arena *a, const struct session_facts *f, bool with_h)
{
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	if (f && f->sender_fullhost.len) {
		strbuf_text(&sb, with_h ? "H=" : "");
		strbuf_add(&sb, f->sender_fullhost);
		if (f->log_interface && f->interface_address.len)
			strbuf_printf(&sb, " I=[%.*s]:%lld", SL_ARG(f->interface_address),
			    (long long)f->interface_port);
	}
	if (f && with_h && f->sender_ident.len) {
		strbuf_text(&sb, sb.len ? " U=" : "U=");
		strbuf_add(&sb, f->sender_ident);
	}
	return strbuf_slice(&sb);
}
