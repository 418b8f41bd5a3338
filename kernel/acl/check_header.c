/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What verify = says about the message's header: syntax, names, blind recipients, who claims to
 * have sent it. */
#include "acl/acl_private.h"
#include "message/message.h"

static enum rc no_message(struct acl_state *st, struct error *err)
{
	return error_set(err, RC_ERROR, "cannot check header contents in ACL for %s",
	    acl_where_name(st->run->where));
}

enum rc acl_header_refused(struct acl_state *st, slice_t logged, slice_t details, struct error *err)
{
	st->log_msg = logged;
	st->log_msg.flags = 0;
	if (config_bool(st->ev->cfg, MO_smtp_return_error_details)) {
		st->user_msg =
		    arena_printf(st->ev->arena, "Rejected after DATA: %.*s", SL_ARG(details));
		st->user_msg.flags = 0;
	}
	return error_set(err, RC_FAIL, "%.*s", SL_ARG(logged));
}

static const struct header_list *headers_of(const struct acl_state *st)
{
	return st->ev->message ? st->ev->message->headers : NULL;
}

static bool is_named(const struct header *h, const char *const *names)
{
	for (; *names; names++)
		if (h->type != '*' && slice_eqis(slice_sub(h->text, 0, h->name_len), *names))
			return true;
	return false;
}

struct address_header {
	const char *name;
	bool is_sender; /* sender_unqualified_hosts says who may leave the domain out */
};
static const struct address_header address_headers[] = {
    {"From", true},
    {"Reply-To", true},
    {"Sender", true},
    {"To", false},
    {"Cc", false},
    {"Bcc", false},
};

static const struct address_header *address_header_of(const struct header *h)
{
	slice_t name = slice_sub(h->text, 0, h->name_len);
	for (size_t i = 0; h->type != '*' && i < sizeof address_headers / sizeof *address_headers;
	     i++)
		if (slice_eqis(name, address_headers[i].name))
			return &address_headers[i];
	return NULL;
}

static bool may_be_unqualified(const struct acl_state *st, const struct address_header *row)
{
	const struct session_facts *s = st->ev->session;
	if (!s || slice_is_absent(s->sender_host_address))
		return true; /* made here */
	return row->is_sender ? s->unqualified_sender_ok : s->unqualified_recipient_ok;
}

static enum rc bad_header(
    struct acl_state *st, const struct header *h, slice_t item, const char *why, struct error *err)
{
	slice_t text =
	    arena_printf(st->ev->arena, "%s: failing address in \"%.*s:\" header is: %.*s", why,
	        (int)h->name_len, h->text.ptr, SL_ARG(item));
	return acl_header_refused(st, text, text, err);
}

static enum rc check_addresses(struct acl_state *st, const struct header *h,
    const struct address_header *row, struct error *err)
{
	slice_t list = header_value(h), address, local, domain;
	bool unqualified_ok = may_be_unqualified(st, row);
	struct error e = {0};
	for (size_t pos = 0;;) {
		size_t began = pos;
		enum rc rc = address_list_next(
		    st->ev->arena, list, address_flags(st->ev->cfg), &pos, &address, &e);
		bool more = pos < list.len || (pos && list.ptr[pos - 1] == ',');
		slice_t item = slice_trim(slice_sub(list, began, pos - began - (more ? 1 : 0)));
		if (rc != RC_OK)
			return bad_header(st, h, item, e.text, err);
		if (slice_is_absent(address))
			return RC_OK;
		if (!address.len)
			return bad_header(st, h, item, "missing or malformed local part", err);
		if (!unqualified_ok && !address_split(address, &local, &domain))
			return bad_header(st, h, item, "unqualified address not permitted", err);
	}
}

enum rc acl_check_header_syntax(struct acl_state *st, struct error *err)
{
	const struct header_list *list = headers_of(st);
	if (!list)
		return no_message(st, err);
	for (const struct header *h = list->first; h; h = h->next) {
		const struct address_header *row = address_header_of(h);
		enum rc rc = row ? check_addresses(st, h, row, err) : RC_OK;
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc acl_check_header_names(struct acl_state *st, struct error *err)
{
	const struct header_list *list = headers_of(st);
	if (!list)
		return no_message(st, err);
	for (const struct header *h = list->first; h; h = h->next) {
		size_t n = slice_find(h->text, ':');
		if (h->type == '*' || n == SIZE_MAX)
			continue;
		for (size_t i = 0; i < n; i++) {
			unsigned char b = (unsigned char)h->text.ptr[i];
			if (b >= 33 && b <= 126)
				continue;
			slice_t text = arena_printf(st->ev->arena,
			    "Invalid character in header \"%.*s\" found", (int)n, h->text.ptr);
			return acl_header_refused(st, text, text, err);
		}
	}
	return RC_OK;
}

static bool same_address(slice_t a, slice_t b, bool caseless)
{
	slice_t al, ad, bl, bd;
	bool a_has = address_split(a, &al, &ad), b_has = address_split(b, &bl, &bd);
	if (a_has != b_has)
		return false;
	if (!a_has)
		return caseless ? slice_eqi(a, b) : slice_eq(a, b);
	return slice_eqi(ad, bd) && (caseless ? slice_eqi(al, bl) : slice_eq(al, bl));
}

static bool is_shown(
    struct acl_state *st, const struct vec *shown, slice_t recipient, bool caseless)
{
	(void)st;
	VEC_FOREACH(shown, slice_t, a)
	if (same_address(*a, recipient, caseless))
		return true;
	return false;
}

enum rc acl_check_not_blind(struct acl_state *st, bool caseless, struct error *err)
{
	static const char *const names[] = {"to", "cc", "resent-to", "resent-cc", NULL};
	const struct header_list *list = headers_of(st);
	const struct message_facts *m = st->ev->message;
	struct vec shown = {0};
	if (!list)
		return no_message(st, err);
	for (const struct header *h = list->first; h; h = h->next) {
		size_t pos = 0;
		slice_t a;
		if (!is_named(h, names))
			continue;
		while (address_list_next(st->ev->arena, header_value(h), address_flags(st->ev->cfg),
		           &pos, &a, NULL) == RC_OK &&
		       !slice_is_absent(a))
			*VEC_PUSH(st->ev->arena, &shown, slice_t) = a;
	}
	for (int64_t i = 0; i < m->recipients_count; i++) {
		if (is_shown(st, &shown, m->recipients[i], caseless))
			continue;
		return acl_header_refused(
		    st, SL("bcc recipient detected"), SL("bcc recipient detected"), err);
	}
	return RC_OK;
}

bool acl_header_sender_next(
    struct acl_state *st, struct sender_walk *walk, slice_t *out_name, slice_t *out)
{
	static const char *const order[] = {"sender", "reply-to", "from"};
	const struct header_list *list = headers_of(st);
	uint32_t n = 0;
	for (size_t i = 0; list && i < sizeof order / sizeof *order; i++) {
		const struct header *h = NULL;
		while ((h = header_find(list, slice_cstr(order[i]), h))) {
			size_t pos = 0;
			slice_t a, value = header_value(h);
			struct error e = {0};
			enum rc rc;
			*out_name = slice_sub(h->text, 0, h->name_len);
			while ((rc = address_list_next(st->ev->arena, value,
			            address_flags(st->ev->cfg), &pos, &a, &e)) == RC_OK &&
			       !slice_is_absent(a))
				if (a.len && n++ == walk->seen) {
					walk->seen++;
					*out = a;
					return true;
				}
			if (rc == RC_OK)
				continue;
			walk->bad = arena_printf(st->ev->arena,
			    "syntax error in '%.*s:' header when scanning for sender: %s in "
			    "\"%.*s\"",
			    SL_ARG(*out_name), e.text, SL_ARG(slice_trim(value)));
			return false;
		}
	}
	walk->bad = slice_absent();
	return false;
}
