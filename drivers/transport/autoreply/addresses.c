/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A list of addresses as a header has it: phrases and comments go, what is left must look like an
 * address (RFC 5322 3.4). */
#include "autoreply.h"

static int is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The end of the item that begins at from. */
static uint32_t item_end(slice s, uint32_t from)
{
	int quoted = 0, depth = 0, angle = 0;

	for (uint32_t i = from; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '\\' && (quoted || depth) && i + 1 < s.len)
			i++;
		else if (c == '"' && !depth)
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (c == '<' && !depth)
			angle = 1;
		else if (c == '>' && !depth)
			angle = 0;
		else if (c == ',' && !depth && !angle)
			return i;
	}
	return s.len;
}

/* 0: it is none; else the length in out. */
static uint32_t bare(slice s, char *out)
{
	uint32_t n = 0;
	int quoted = 0, depth = 0, gap = 0, words = 0;

	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (!depth && c == '"')
			quoted = !quoted;
		if (!quoted && c == '(') {
			depth++;
		} else if (!quoted && c == ')' && depth) {
			depth--;
		} else if (depth || (!quoted && is_space(c))) {
			gap = 1;
		} else if (!quoted && c == '<') {
			n = 0;
			gap = words = 0;
		} else if (!quoted && c == '>') {
			break;
		} else {
			if (n + 1 >= ADDRESS_BYTES || (unsigned char)c < ' ' || c == 127)
				return 0;
			if (gap && n && c != '@' && c != '.' && out[n - 1] != '@' &&
			    out[n - 1] != '.')
				words = 1;
			gap = 0;
			out[n++] = c;
		}
	}
	return words || quoted || depth ? 0 : n;
}

static int has_domain(slice a)
{
	int quoted = 0;

	for (uint32_t i = 0; i < a.len; i++) {
		if (a.ptr[i] == '"')
			quoted = !quoted;
		if (a.ptr[i] == '@' && !quoted)
			return i > 0 && i + 1 < a.len;
	}
	return 0;
}

static slice qualified(struct reply *r, slice address)
{
	static const char *const names[] = {
	    "qualify_recipient", "qualify_domain", "primary_hostname"};
	slice domain;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (r->host->var_get(r->call, heddle_text(names[i]), &domain) == HEDDLE_OK &&
		    !(domain.flags & HEDDLE_ABSENT) && domain.len)
			return joined(r, address, heddle_text("@"), domain, heddle_text(""));
	return address;
}

static int is_twice(const struct reply *r, slice a)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->to[i].len == a.len && memcmp(r->to[i].ptr, a.ptr, a.len) == 0)
			return 1;
	return 0;
}

static int32_t add_one(struct reply *r, slice item)
{
	char buf[ADDRESS_BYTES];
	slice data;
	uint32_t n = bare(item, buf);

	if (n == 0) {
		for (uint32_t i = 0; i < item.len; i++)
			if (!is_space(item.ptr[i]) && item.ptr[i] != '<' && item.ptr[i] != '>')
				return problem(r, "not an address: ", item);
		return HEDDLE_OK; /* nothing, or "<>": nobody */
	}
	slice a = joined(r, heddle_bytes(buf, n, item.flags & HEDDLE_CLEAN), heddle_text(""),
	    heddle_text(""), heddle_text(""));
	if (!has_domain(a))
		a = qualified(r, a);
	if (is_twice(r, a))
		return HEDDLE_OK;
	int32_t rc = r->host->opt_match(r->call, r->in->cfg, O_NEVER_MAIL, a, &data);
	if (rc == HEDDLE_OK)
		return HEDDLE_OK; /* quietly left out */
	if (rc != HEDDLE_FAIL)
		return rc;
	if (r->count == ADDRESSES_MAX)
		return problem(r, "too many recipients", heddle_text(""));
	r->to[r->count++] = a;
	return HEDDLE_OK;
}

int32_t add_addresses(struct reply *r, slice list)
{
	uint32_t at = 0;

	if (list.flags & HEDDLE_ABSENT)
		return HEDDLE_OK;
	while (at < list.len) {
		uint32_t end = item_end(list, at);
		int32_t rc =
		    add_one(r, heddle_bytes(list.ptr + at, end - at, list.flags & HEDDLE_CLEAN));
		if (rc != HEDDLE_OK)
			return rc;
		at = end + 1;
	}
	return HEDDLE_OK;
}
