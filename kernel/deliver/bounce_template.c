/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the site's options make of bounces: bounce_message_file, warn_message_file, errors_copy
 * (specification, chapter 50). */
#include "base/io.h"
#include "deliver/bounce.h"
#include "match/match.h"

#define TEMPLATE_MAX ((size_t)256 << 10)

static void complain(struct attempt *t, const char *what, slice_t about, const struct error *err)
{
	log_text(t->log, LOG_TO_MAIN | LOG_TO_PANIC, t->id_text,
	    arena_printf(t->arena, "%s %.*s: %s", what, SL_ARG(about), err->text), slice_absent());
}

/* Up to a line of four asterisks. */
static slice_t next_item(slice_t *rest)
{
	slice_t whole = *rest, line;
	size_t used = 0;

	while (slice_next(rest, '\n', &line)) {
		if (slice_eqs(line, "****"))
			return slice_sub(whole, 0, used);
		used += line.len + 1;
	}
	return whole;
}

void bounce_template_read(struct attempt *t, enum main_option option, struct bounce_template *out)
{
	slice_t path = slice_absent(), rest;
	struct error err;

	for (size_t i = 0; i < BOUNCE_ITEMS; i++)
		out->item[i] = slice_absent();
	enum rc rc = config_expand(&t->ev, option, &path, &err);
	if (rc == RC_OK && (slice_is_absent(path) || !path.len))
		return;
	if (rc == RC_OK)
		rc = io_read_file(t->arena, arena_cstr(t->arena, path), TEMPLATE_MAX, &rest, &err);
	if (rc != RC_OK) {
		complain(t,
		    option == MO_warn_message_file ? "Failed to open file for warning message texts"
		                                   : "Failed to open file for error message texts",
		    path, &err);
		return;
	}
	rest.flags |= HEDDLE_CLEAN; /* the configuration names it */
	for (size_t i = 0; i < BOUNCE_ITEMS && !slice_is_absent(rest); i++) {
		slice_t text = next_item(&rest), v;
		if (!text.len)
			continue;
		if (expand_text(&t->ev, text, &v, &err) == RC_OK)
			out->item[i] = v;
		else
			complain(t, "Failed to expand an item of", path, &err);
	}
}

void bounce_addresses(struct attempt *t, struct arena *a, slice_t list, struct vec *out)
{
	slice_t address, local, domain, qualify = config_text(t->cfg, MO_qualify_recipient);
	struct error err;

	if (slice_is_absent(qualify) || !qualify.len)
		qualify = config_text(t->cfg, MO_qualify_domain);
	if (slice_is_absent(qualify) || !qualify.len)
		qualify = config_process(t->cfg)->primary_hostname;
	for (size_t pos = 0;;) {
		if (address_list_next(a, list, address_flags(t->cfg), &pos, &address, &err)) {
			complain(t, "not sent to", list, &err);
			continue;
		}
		if (slice_is_absent(address))
			return;
		if (!address_split(address, &local, &domain))
			address = arena_printf(a, "%.*s@%.*s", SL_ARG(local), SL_ARG(qualify));
		if (address.len)
			*VEC_PUSH(a, out, slice_t) = arena_dup(a, address);
	}
}

/* "PATTERN ADDRESSES", the pattern in quotes if it has white space. */
static bool split_rule(slice_t rule, slice_t *pattern, slice_t *addresses)
{
	rule = slice_trim(rule);
	bool quoted = rule.len && rule.ptr[0] == '"';
	size_t end = quoted, from = quoted;

	while (end < rule.len && (quoted ? rule.ptr[end] != '"' : !ascii_isspace(rule.ptr[end])))
		end++;
	*pattern = slice_sub(rule, from, end - from);
	*addresses = slice_trim(slice_sub(rule, end + quoted, rule.len));
	return pattern->len && addresses->len;
}

void bounce_copies(struct attempt *t, struct arena *a, slice_t to, struct vec *out)
{
	slice_t list = config_text(t->cfg, MO_errors_copy), rule, pattern, addresses;
	struct address_facts *saved = t->ev.address, facts = {.arena = t->arena};
	struct error err = {.text = ""};
	uint64_t pos = 0;

	if (slice_is_absent(list) || !list.len)
		return;
	(void)address_split(to, &facts.local_part, &facts.domain);
	t->ev.address = &facts;
	while (expand_list_next(t->arena, list, &pos, &rule)) {
		enum rc rc = RC_FAIL;
		if (split_rule(rule, &pattern, &addresses))
			rc = match_text(&t->ev, MATCH_ADDRESSES, pattern, to, NULL, &err);
		if (rc == RC_OK)
			rc = expand_text(&t->ev, addresses, &addresses, &err);
		else if (rc == RC_FAIL)
			continue;
		if (rc == RC_OK)
			bounce_addresses(t, a, addresses, out);
		else if (rc != RC_FAIL)
			complain(t, "errors_copy:", rule, &err);
		break;
	}
	t->ev.address = saved;
}
