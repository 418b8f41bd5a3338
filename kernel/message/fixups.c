/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/fixups.h"

#include "base/clock.h"
#include "expand/expand.h"

struct work {
	struct message *m;
	struct eval *ev;
	const struct fixup_request *r;
	bool resent;
	slice_t qualify_domain;
};

static struct header *find(const struct work *w, const char *name)
{
	struct strbuf sb;
	strbuf_init(&sb, w->m->arena, 0);
	strbuf_text(&sb, w->resent ? "Resent-" : "");
	strbuf_text(&sb, name);
	return header_find(&w->m->headers, strbuf_slice(&sb), NULL);
}

static void add(const struct work *w, const char *name, slice_t value)
{
	struct strbuf sb;
	strbuf_init(&sb, w->m->arena, 0);
	strbuf_text(&sb, w->resent ? "Resent-" : "");
	strbuf_text(&sb, name);
	strbuf_text(&sb, ": ");
	strbuf_add(&sb, value);
	strbuf_char(&sb, '\n');
	(void)header_append(w->m->arena, &w->m->headers, strbuf_slice(&sb));
}

/* Right behind the start, where those fields of a resent message belong. */
static void add_first(const struct work *w, const char *name, slice_t value)
{
	if (w->resent)
		(void)header_prepend(w->m->arena, &w->m->headers,
		    arena_printf(w->m->arena, "Resent-%s: %.*s\n", name, SL_ARG(value)));
	else
		add(w, name, value);
}

static void remove_all(struct message *m, slice_t name)
{
	struct header *h;
	while ((h = header_find(&m->headers, name, NULL)) != NULL)
		header_delete(&m->headers, h);
}

static bool has_resent(const struct header_list *list)
{
	for (const struct header *h = list->first; h; h = h->next)
		if (h->type != '*' && h->name_len && slice_startsi(h->text, "Resent-"))
			return true;
	return false;
}

/* A display name, quoted or encoded if it needs it. */
static void add_phrase(struct strbuf *sb, const struct config *cfg, slice_t name)
{
	bool plain = true, printing = true, topbit = config_bool(cfg, MO_print_topbitchars);
	for (size_t i = 0; i < name.len; i++)
		printing = printing && ((name.ptr[i] >= ' ' && name.ptr[i] <= '~') ||
		                           (topbit && (unsigned char)name.ptr[i] >= 0x80));
	if (!printing) {
		strbuf_add(sb, rfc2047_encode(sb->arena, cfg, name));
		return;
	}
	for (size_t i = 0; i < name.len; i++)
		plain =
		    plain && (ascii_isalnum(name.ptr[i]) ||
		                 (name.ptr[i] && memchr(" -_'!#$%&*+/=?^`{|}~", name.ptr[i], 20)));
	if (!plain)
		strbuf_char(sb, '"');
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		if (!plain && (c == '"' || c == '\\'))
			strbuf_char(sb, '\\');
		strbuf_char(sb, c);
	}
	if (!plain)
		strbuf_char(sb, '"');
}

static slice_t qualified(const struct work *w, slice_t local, slice_t domain)
{
	struct strbuf sb;
	strbuf_init(&sb, w->m->arena, 0);
	strbuf_add(&sb, address_quote_local(w->m->arena, local));
	strbuf_char(&sb, '@');
	strbuf_add(&sb, domain);
	return strbuf_slice(&sb);
}

static slice_t with_name(const struct work *w, slice_t name, slice_t address)
{
	if (slice_is_absent(name) || !name.len)
		return address;
	struct strbuf sb;
	strbuf_init(&sb, w->m->arena, 0);
	add_phrase(&sb, w->ev->cfg, name);
	strbuf_text(&sb, " <");
	strbuf_add(&sb, address);
	strbuf_char(&sb, '>');
	return strbuf_slice(&sb);
}

/* Whom we know it to be from; ABSENT: nobody in particular. */
static slice_t known_sender(const struct work *w)
{
	const struct fixup_request *r = w->r;
	if (r->local)
		return slice_is_absent(r->login) || !r->login.len
		           ? slice_absent()
		           : qualified(w, r->login, w->qualify_domain);
	slice_t id = w->m->session.authenticated_id;
	if (!r->submission || slice_is_absent(id) || !id.len)
		return slice_absent();
	if (slice_is_absent(r->submission_domain))
		return qualified(w, id, w->qualify_domain);
	return r->submission_domain.len ? qualified(w, id, r->submission_domain) : id;
}

static enum rc fix_message_id(const struct work *w, struct error *err)
{
	slice_t text = slice_absent(), domain = slice_absent();
	if (find(w, "Message-Id"))
		return RC_OK;
	enum rc rc = config_expand(w->ev, MO_message_id_header_text, &text, err);
	if (!rc || rc == RC_FAIL) /* forced failure: as if it were unset */
		rc = config_expand(w->ev, MO_message_id_header_domain, &domain, err);
	if (rc && rc != RC_FAIL)
		return rc;
	struct strbuf sb;
	strbuf_init(&sb, w->m->arena, 0);
	strbuf_text(&sb, "<E");
	strbuf_text(&sb, w->m->id);
	if (!slice_is_absent(text) && text.len) {
		strbuf_char(&sb, '.');
		strbuf_add(&sb, text);
	}
	strbuf_char(&sb, '@');
	strbuf_add(&sb, !slice_is_absent(domain) && domain.len
	                    ? domain
	                    : config_process(w->ev->cfg)->primary_hostname);
	strbuf_char(&sb, '>');
	add_first(w, "Message-Id", strbuf_slice(&sb));
	return RC_OK;
}

static void fix_from(const struct work *w)
{
	const struct fixup_request *r = w->r;
	if (find(w, "From"))
		return;
	slice_t name = !r->local ? r->submission_name : r->trusted ? r->given_name : r->full_name;
	slice_t who = known_sender(w);
	if (w->m->sender.len)
		add(w, "From", with_name(w, name, w->m->sender));
	else if (!slice_is_absent(who) && !(r->local && r->trusted))
		add(w, "From", with_name(w, name, who));
}

/* One of local_from_prefix or local_from_suffix off the local part, where it fits: '*' at the outer
 * end stands for anything. */
static slice_t without_affix(slice_t local, slice_t list, bool prefix)
{
	slice_t item;
	while (!slice_is_absent(list) && slice_next(&list, ':', &item)) {
		item = slice_trim(item);
		bool wild = item.len && item.ptr[prefix ? 0 : item.len - 1] == '*';
		if (wild)
			item = slice_sub(item, prefix, item.len - 1);
		if (!item.len || item.len > local.len)
			continue;
		size_t last = wild ? local.len - item.len : 0; /* the longest that fits is taken */
		for (size_t n = last + 1; n-- > 0;) {
			size_t at = prefix ? n : local.len - item.len - n;
			if (slice_eqi(slice_sub(local, at, item.len), item))
				return prefix ? slice_sub(local, at + item.len, local.len)
				              : slice_sub(local, 0, at);
		}
	}
	return local;
}

/* Is From: exactly the address that we know? */
static bool from_is(const struct work *w, slice_t who)
{
	struct header *h = find(w, "From");
	struct error err;
	slice_t a, local, domain, wanted, wanted_domain;
	if (!h || address_parse_path(w->m->arena, header_value(h), false,
	              ADDRESS_LITERAL | address_flags(w->ev->cfg), &a, &err))
		return false;
	if (slice_eqi(a, who))
		return true;
	(void)address_split(who, &wanted, &wanted_domain);
	if (!address_split(a, &local, &domain)) {
		if (!w->r->local) /* one that a user of this host wrote means here */
			return false;
		domain = w->qualify_domain;
	}
	if (!slice_eqi(domain, wanted_domain))
		return false;
	local = without_affix(local, config_text(w->ev->cfg, MO_local_from_prefix), true);
	local = without_affix(local, config_text(w->ev->cfg, MO_local_from_suffix), false);
	return slice_eqi(local, wanted);
}

static void fix_sender(const struct work *w)
{
	const struct fixup_request *r = w->r;
	const struct config *cfg = w->ev->cfg;
	if (r->local ? r->trusted : r->sender_retain)
		return;
	if (!r->local || !config_bool(cfg, MO_local_sender_retain))
		remove_all(w->m, w->resent ? SL("Resent-Sender") : SL("Sender"));
	if (r->local && !config_bool(cfg, MO_local_from_check))
		return;
	slice_t who = known_sender(w);
	if (slice_is_absent(who))
		return;
	if (!from_is(w, who)) {
		if (r->local && !slice_is_absent(r->full_name) && !r->full_name.len)
			add(w, "Sender",
			    arena_printf(
			        w->m->arena, " <%.*s>", SL_ARG(who))); /* as Exim lays it out */
		else
			add(w, "Sender",
			    with_name(w, r->local ? r->full_name : r->submission_name, who));
	}
	/* the return path follows, except that a bounce stays one; a user of this host has set it
	 * before */
	if (w->m->sender.len && !r->local)
		w->m->sender = w->m->facts.sender_address = who;
}

static void qualify(const struct work *w)
{
	const struct fixup_request *r = w->r;
	slice_t to = config_text(w->ev->cfg, MO_qualify_recipient);
	if (slice_is_absent(to) || !to.len)
		to = w->qualify_domain;
	if (r->qualify_sender || r->qualify_recipient)
		message_qualify(w->m, address_flags(w->ev->cfg),
		    r->qualify_sender ? w->qualify_domain : slice_absent(),
		    r->qualify_recipient ? to : slice_absent());
}

static enum rc fix(const struct work *w, struct error *err)
{
	enum rc rc = fix_message_id(w, err);
	if (rc)
		return rc;
	fix_from(w);
	fix_sender(w);
	if (!find(w, "Date"))
		add_first(w, "Date", clock_rfc5322(w->m->arena, w->m->received_us));
	return RC_OK;
}

enum rc message_fixup(
    struct message *m, struct eval *ev, const struct fixup_request *r, struct error *err)
{
	static const struct {
		enum main_option option;
		const char *name;
	} out_of_transit[] = {
	    {MO_return_path_remove, "Return-path"},
	    {MO_envelope_to_remove, "Envelope-to"},
	    {MO_delivery_date_remove, "Delivery-date"},
	};
	for (size_t i = 0; i < sizeof out_of_transit / sizeof out_of_transit[0]; i++)
		if (config_bool(ev->cfg, out_of_transit[i].option))
			remove_all(m, slice_cstr(out_of_transit[i].name));
	struct work w = {.m = m, .ev = ev, .r = r, .resent = has_resent(&m->headers)};
	w.qualify_domain = config_text(ev->cfg, MO_qualify_domain);
	if (slice_is_absent(w.qualify_domain) || !w.qualify_domain.len)
		w.qualify_domain = config_process(ev->cfg)->primary_hostname;
	enum rc rc = RC_OK;
	if (r->submission ||
	    (r->local && !r->suppress)) /* submission asks for them, whatever else is said */
		rc = fix(&w, err);
	if (!rc)
		qualify(&w);
	return rc;
}
