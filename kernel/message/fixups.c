/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/fixups.h"

#include "base/clock.h"

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

/* A display name, quoted if it needs it. */
static void add_phrase(struct strbuf *sb, slice_t name)
{
	bool plain = true;
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
		strbuf_char(sb, (unsigned char)c < ' ' ? ' ' : c);
	}
	if (!plain)
		strbuf_char(sb, '"');
}

static slice_t qualified(const struct work *w, slice_t local, slice_t domain)
{
	struct strbuf sb;
	strbuf_init(&sb, w->m->arena, 0);
	strbuf_add(&sb, local);
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
	add_phrase(&sb, name);
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
	add(w, "Message-Id", strbuf_slice(&sb));
	return RC_OK;
}

static void fix_from(const struct work *w)
{
	if (find(w, "From"))
		return;
	slice_t name = w->r->local ? w->r->full_name : w->r->submission_name;
	slice_t who = known_sender(w);
	if (w->m->sender.len && !w->r->local)
		add(w, "From", with_name(w, name, w->m->sender));
	else if (!slice_is_absent(who))
		add(w, "From", with_name(w, name, who));
	else if (w->m->sender.len)
		add(w, "From", w->m->sender);
}

/* Is From: exactly the address that we know? */
static bool from_is(const struct work *w, slice_t who)
{
	struct header *h = find(w, "From");
	size_t pos = 0;
	slice_t a, b;
	if (!h || address_list_next(w->m->arena, header_value(h), &pos, &a, NULL) ||
	    slice_is_absent(a))
		return false;
	if (address_list_next(w->m->arena, header_value(h), &pos, &b, NULL) || !slice_is_absent(b))
		return false;
	slice_t la, da, lw, dw;
	if (!address_split(a, &la, &da))
		da = w->qualify_domain;
	if (!address_split(who, &lw, &dw))
		dw = w->qualify_domain;
	return slice_eqi(da, dw) && slice_eqi(la, lw);
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
	if (!from_is(w, who))
		add(w, "Sender", with_name(w, r->local ? r->full_name : r->submission_name, who));
	/* the return path follows, except that a bounce stays one */
	if (w->m->sender.len)
		w->m->sender = w->m->facts.sender_address = who;
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
	if (r->suppress || !(r->local || r->submission))
		return RC_OK;
	struct work w = {.m = m, .ev = ev, .r = r, .resent = has_resent(&m->headers)};
	w.qualify_domain = config_text(ev->cfg, MO_qualify_domain);
	if (slice_is_absent(w.qualify_domain) || !w.qualify_domain.len)
		w.qualify_domain = config_process(ev->cfg)->primary_hostname;
	enum rc rc = fix_message_id(&w, err);
	if (rc)
		return rc;
	fix_from(&w);
	fix_sender(&w);
	if (!find(&w, "Date"))
		add(&w, "Date", clock_rfc5322(m->arena, m->received_us));
	return RC_OK;
}
