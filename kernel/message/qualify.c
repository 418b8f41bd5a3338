/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses without a domain in header fields get one (specification, 48.3), laid out as Exim does.
 */
#include "match/match.h"
#include "message/fixups.h"

#define LINE_ENOUGH 40 /* behind a changed address, a longer line ends */

unsigned address_flags(const struct config *cfg)
{
	return (config_bool(cfg, MO_allow_domain_literals) ? ADDRESS_LITERAL : 0u) |
	       (config_bool(cfg, MO_strip_excess_angle_brackets) ? ADDRESS_EXCESS_BRACKETS : 0u) |
	       (config_bool(cfg, MO_strip_trailing_dot) ? ADDRESS_TRAILING_DOT : 0u);
}

bool address_split_hacked(struct eval *ev, slice_t address, slice_t *out_local, slice_t *out_domain)
{
	struct match_list *hacked = config_list(ev->cfg, MO_percent_hack_domains);
	struct error err;
	size_t at;

	if (!address_split(address, out_local, out_domain))
		return false;
	while (hacked && (at = slice_rfind(*out_local, '%')) != SIZE_MAX &&
	       match_domain(ev, hacked, *out_domain, NULL, &err) == RC_OK) {
		size_t end = out_local->len;
		size_t quoted =
		    end > at + 1 && out_local->ptr[0] == '"' && out_local->ptr[end - 1] == '"';
		*out_domain = slice_sub(*out_local, at + 1, end - at - 1 - quoted);
		*out_local = slice_sub(*out_local, quoted, at - quoted);
	}
	return true;
}

static bool folds_already(slice_t rest)
{
	return !rest.len || rest.ptr[0] == '\n';
}

/* Where white space ends that is not a line's end. */
static size_t behind_blanks(slice_t text, size_t at)
{
	while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t'))
		at++;
	return at;
}

/* The field with the domain at each address that has none; the same text if there is no such. */
static slice_t with_domain(
    struct arena *a, unsigned flags, slice_t field, size_t value_at, slice_t domain)
{
	slice_t list = slice_sub(field, value_at, field.len), address, local, none;
	size_t pos = 0, copied = 0, from, to, line_start = 0;
	struct error err;
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_add(&sb, slice_sub(field, 0, value_at));
	for (;;) {
		enum rc rc = address_list_next_at(a, list, flags, &pos, &address, &from, &to, &err);
		if (rc)
			continue; /* what cannot be read stays as it is */
		if (slice_is_absent(address))
			break;
		if (!address.len || address_split(address, &local, &none))
			continue;
		strbuf_add(&sb, slice_sub(list, copied, from - copied));
		strbuf_printf(&sb, "%.*s@%.*s", SL_ARG(address), SL_ARG(domain));
		size_t next = behind_blanks(list, pos);
		strbuf_add(&sb, slice_sub(list, to, next - to));
		copied = next;
		if (sb.len - line_start > LINE_ENOUGH &&
		    !folds_already(slice_sub(list, next, list.len))) {
			line_start = sb.len;
			strbuf_text(&sb, "\n\t");
		}
	}
	if (!copied)
		return field;
	strbuf_add(&sb, slice_sub(list, copied, list.len));
	return strbuf_slice(&sb);
}

void message_qualify(
    struct message *m, unsigned how, slice_t sender_domain, slice_t recipient_domain)
{
	static const struct {
		const char *name;
		bool of_sender, with_resent;
	} fields[] = {{"From", true, true}, {"Sender", true, true}, {"Reply-To", true, false},
	    {"To", false, true}, {"Cc", false, true}, {"Bcc", false, true}};
	for (struct header *h = m->headers.first; h; h = h->next) {
		slice_t name = slice_sub(h->text, 0, h->name_len);
		bool resent = slice_startsi(name, "Resent-");
		slice_t plain = resent ? slice_sub(name, 7, name.len) : name;
		for (size_t i = 0; h->type != '*' && i < sizeof fields / sizeof fields[0]; i++) {
			slice_t domain = fields[i].of_sender ? sender_domain : recipient_domain;
			if (slice_is_absent(domain) ||
			    !slice_eqi(plain, slice_cstr(fields[i].name)) ||
			    (resent && !fields[i].with_resent))
				continue;
			size_t colon = slice_find(h->text, ':');
			uint64_t before = h->text.len;
			uint16_t flags = h->text.flags;
			h->text = with_domain(m->arena, how, h->text, colon + 1, domain);
			h->text.flags = flags;
			m->headers.bytes += h->text.len - before;
		}
	}
}
