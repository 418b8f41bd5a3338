/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What several modules say of a session's facts. */
#include "expand/facts.h"

#include "base/strbuf.h"

void session_facts_clear(struct session_facts *f, struct arena *a)
{
	slice_t no = slice_absent();
	*f = (struct session_facts){.arena = a,
	    .sender_host_address = no,
	    .sender_host_name = no,
	    .sender_helo_name = no,
	    .sender_ident = no,
	    .sender_fullhost = no,
	    .sender_rcvhost = no,
	    .interface_address = no,
	    .received_protocol = no,
	    .smtp_active_hostname = no,
	    .smtp_command = no,
	    .smtp_command_argument = no,
	    .smtp_notquit_reason = no,
	    .sender_host_authenticated = no,
	    .authenticated_id = no,
	    .authenticated_fail_id = no,
	    .auth = {no, no, no},
	    .host_data = no,
	    .host_lookup_msg = no,
	    .debug_tag = no,
	    .tls_in_cipher = no,
	    .tls_in_cipher_std = no,
	    .tls_in_ver = no,
	    .tls_in_sni = no,
	    .tls_in_peerdn = no,
	    .tls_in_peercert = no,
	    .tls_in_ourcert = no};
}

void address_facts_clear(struct address_facts *f, struct arena *a)
{
	slice_t no = slice_absent();
	*f = (struct address_facts){.arena = a,
	    .local_part = no,
	    .domain = no,
	    .local_part_data = no,
	    .domain_data = no,
	    .local_part_prefix = no,
	    .local_part_prefix_v = no,
	    .local_part_suffix = no,
	    .local_part_suffix_v = no,
	    .original_local_part = no,
	    .original_domain = no,
	    .parent_local_part = no,
	    .parent_domain = no,
	    .address_data = no,
	    .address_file = no,
	    .address_pipe = no,
	    .home = no,
	    .self_hostname = no,
	    .router_name = no,
	    .transport_name = no,
	    .local_user_uid = -1,
	    .local_user_gid = -1,
	    .verify_mode = no};
}

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
