/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conditions on what is known of the session, the sender and the recipient. */
#include "acl/acl_private.h"
#include "message/message.h"

/* Keep data in a facts' slice beyond this evaluation.  The same again costs nothing: a session may
 * ask a thousand times. */
static void keep(struct acl_state *st, struct arena *owner, slice_t *where, slice_t data)
{
	if (slice_eq(*where, data) && slice_is_absent(*where) == slice_is_absent(data) &&
	    slice_is_clean(*where) == slice_is_clean(data))
		return;
	*where = arena_dup(owner ? owner : st->ev->arena, data);
}

ACL_FN(domains)
{
	slice_t local, domain, data;
	struct address_facts *a = st->ev->address;
	if (slice_is_absent(st->run->recipient))
		return acl_refuse_place(c, st->run->where, err);
	if (!address_split_hacked(st->ev, st->run->recipient, &local, &domain))
		return error_set(err, RC_FAIL, "the recipient has no domain");
	enum rc rc = match_domain(st->ev, c->list, domain, &data, err);
	if (rc == RC_OK && a)
		keep(st, a->arena, &a->domain_data, data);
	return rc;
}

ACL_FN(local_parts)
{
	slice_t local, domain, data;
	struct address_facts *a = st->ev->address;
	if (slice_is_absent(st->run->recipient))
		return acl_refuse_place(c, st->run->where, err);
	(void)address_split_hacked(st->ev, st->run->recipient, &local, &domain);
	enum rc rc = match_local_part(st->ev, c->list, local, &data, err);
	if (rc == RC_OK && a)
		keep(st, a->arena, &a->local_part_data, data);
	return rc;
}

ACL_FN(recipients)
{
	slice_t data;
	struct message_facts *m = st->ev->message;
	if (slice_is_absent(st->run->recipient))
		return acl_refuse_place(c, st->run->where, err);
	enum rc rc = match_address(st->ev, c->list, st->run->recipient, &data, err);
	if (rc == RC_OK && m)
		keep(st, m->arena, &m->recipient_data, data);
	return rc;
}

static enum rc no_sender(struct acl_state *st, const struct acl_cond *c, struct error *err)
{
	return error_set(err, RC_ERROR, "cannot test %s condition before MAIL in %s ACL",
	    c->row->name, acl_where_name(st->run->where));
}

ACL_FN(senders)
{
	slice_t data;
	struct message_facts *m = st->ev->message;
	if (!m || slice_is_absent(m->sender_address))
		return no_sender(st, c, err);
	enum rc rc = match_address(st->ev, c->list, m->sender_address, &data, err);
	if (rc == RC_OK)
		keep(st, m->arena, &m->sender_data, data);
	return rc;
}

ACL_FN(sender_domains)
{
	slice_t local, domain;
	const struct message_facts *m = st->ev->message;
	if (!m || slice_is_absent(m->sender_address))
		return no_sender(st, c, err);
	if (!address_split(m->sender_address, &local, &domain))
		domain = SL("");
	return match_domain(st->ev, c->list, domain, NULL, err);
}

ACL_FN(hosts)
{
	slice_t data;
	struct session_facts *s = st->ev->session;
	enum rc rc = match_client(st->ev, c->list, &data, err);
	if (rc == RC_OK && s)
		keep(st, s->arena, &s->host_data, data);
	return rc;
}

ACL_FN(authenticated)
{
	const struct session_facts *s = st->ev->session;
	if (!s || !s->sender_host_authenticated.len)
		return error_set(err, RC_FAIL, "not authenticated");
	return match_string(st->ev, c->list, s->sender_host_authenticated, NULL, err);
}

ACL_FN(encrypted)
{
	const struct session_facts *s = st->ev->session;
	if (!s || !s->tls_in_cipher.len)
		return error_set(err, RC_FAIL, "not encrypted");
	return match_string(st->ev, c->list, s->tls_in_cipher, NULL, err);
}

ACL_FN(condition)
{
	slice_t text;
	int64_t n;
	enum rc rc = acl_arg(st, c, &text, err);
	if (rc != RC_OK || st->ignored)
		return rc;
	text = slice_trim(text);
	if (!text.len || slice_eqis(text, "no") || slice_eqis(text, "false"))
		return error_set(err, RC_FAIL, "false");
	if (slice_eqis(text, "yes") || slice_eqis(text, "true"))
		return RC_OK;
	if (slice_to_i64(text, 10, false, &n))
		return n ? RC_OK : error_set(err, RC_FAIL, "zero");
	return error_set(
	    err, RC_DEFER, "invalid \"condition\" value \"%.*s\"", SL_ARG(slice_sub(text, 0, 200)));
}
