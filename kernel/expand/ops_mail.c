/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Operators on addresses as they stand in header lines: RFC 5322 3.4, with white space and comments
 * between all parts, dots in phrases, source routes (dropped) and groups.
 */
#include "expand/tree.h"

struct scan {
	const char *p, *end;
	struct strbuf *out;
	bool bad;
};
enum { COMMENT_DEPTH_MAX = 50 };

static void skip_comment(struct scan *s)
{
	unsigned depth = 0;
	for (; s->p < s->end; s->p++) {
		if (*s->p == '\\' && s->p + 1 < s->end) {
			s->p++;
		} else if (*s->p == '(') {
			if (++depth > COMMENT_DEPTH_MAX)
				break;
		} else if (*s->p == ')' && --depth == 0) {
			s->p++;
			return;
		}
	}
}

static void skip_cfws(struct scan *s)
{
	while (s->p < s->end && !s->bad) {
		if (*s->p == '(')
			skip_comment(s);
		else if (ascii_isspace(*s->p))
			s->p++;
		else
			return;
	}
}

static bool at(const struct scan *s, char c)
{
	return s->p < s->end && *s->p == c;
}

/* What may stand in an atom (RFC 5322 3.2.3, and bytes over 127), bit 1; in a label of a domain, 2.
 */
static bool char_is(char c, unsigned bit)
{
	static const uint32_t kinds[2][8] = {
	    {0, 0xa3ffacfa, 0xc7fffffe, 0x7fffffff, ~0U, ~0U, ~0U, ~0U},
	    {0, 0x03ff2000, 0x07fffffe, 0x07fffffe, 0, 0, 0, 0},
	};
	unsigned char u = (unsigned char)c;
	return kinds[bit - 1][u >> 5] >> (u & 31) & 1;
}

static bool is_atom(char c)
{
	return char_is(c, 1);
}

/* An atom or a quoted string, copied; false: neither is here. */
static bool take_word(struct scan *s)
{
	const char *from = s->p;
	if (at(s, '"')) {
		for (s->p++; s->p < s->end && *s->p != '"'; s->p++)
			if (*s->p == '\\' && s->p + 1 < s->end)
				s->p++;
		if (s->p >= s->end) {
			s->bad = true;
			return false;
		}
		s->p++;
	} else {
		while (s->p < s->end && is_atom(*s->p))
			s->p++;
	}
	strbuf_add(s->out, slice_of(from, (size_t)(s->p - from), HEDDLE_CLEAN));
	return s->p > from;
}

/* Words and dots: dots that are doubled, first or last are common enough to be let through, as Exim
 * does. */
static bool take_local(struct scan *s)
{
	if (!at(s, '.') && !take_word(s))
		return false;
	skip_cfws(s);
	while (at(s, '.') && !s->bad) {
		strbuf_char(s->out, '.');
		s->p++;
		skip_cfws(s);
		(void)take_word(s);
		skip_cfws(s);
	}
	return !s->bad;
}

/* Labels of letters, digits and hyphens. */
static bool take_labels(struct scan *s)
{
	for (;;) {
		const char *from = s->p;
		while (s->p < s->end && (ascii_isalnum(*s->p) || *s->p == '-'))
			s->p++;
		if (s->p == from)
			return false;
		strbuf_add(s->out, slice_of(from, (size_t)(s->p - from), HEDDLE_CLEAN));
		skip_cfws(s);
		if (!at(s, '.'))
			return !s->bad;
		strbuf_char(s->out, '.');
		s->p++;
		skip_cfws(s);
	}
}

static bool take_domain(struct scan *s)
{
	skip_cfws(s);
	if (!at(s, '['))
		return take_labels(s);
	const char *from = s->p;
	while (s->p < s->end && *s->p != ']')
		s->p++;
	if (s->p == s->end)
		return false;
	s->p++;
	strbuf_add(s->out, slice_of(from, (size_t)(s->p - from), HEDDLE_CLEAN));
	skip_cfws(s);
	return !s->bad;
}

/* local part, then "@" and the domain if there is one; *at_pos: where the domain starts in the
 * output, 0: none */
static bool take_addr_spec(struct scan *s, size_t *domain)
{
	*domain = 0;
	skip_cfws(s);
	if (!take_local(s))
		return false;
	if (!at(s, '@'))
		return true;
	s->p++;
	strbuf_char(s->out, '@');
	*domain = s->out->len;
	return take_domain(s);
}

/* "@a,@b:" before an address: dropped. */
static bool skip_route(struct scan *s)
{
	skip_cfws(s);
	if (!at(s, '@'))
		return true;
	while (s->p < s->end && *s->p != ':' && *s->p != '>')
		s->p++;
	if (!at(s, ':'))
		return false;
	s->p++;
	return true;
}

static bool skip_phrase(struct scan *s)
{
	while (!s->bad && !at(s, '<')) {
		skip_cfws(s);
		if (at(s, '.'))
			s->p++;
		else if (!at(s, '<') && !take_word(s))
			return false;
	}
	return !s->bad;
}

/* Most addresses are dotted atoms on both sides of the "@" and nothing else: these need no copy. */
static bool is_plain_address(slice_t text, size_t *domain)
{
	const char *p = text.ptr, *end = p + text.len, *from = p;
	while (p < end && (char_is(*p, 1) || (*p == '.' && p > from)))
		p++;
	if (p == from || p[-1] == '.' || p == end || *p != '@')
		return false;
	*domain = (size_t)(++p - text.ptr);
	for (;;) {
		from = p;
		while (p < end && char_is(*p, 2))
			p++;
		if (p == from || p == end)
			return p > from;
		if (*p++ != '.')
			return false;
	}
}

bool parse_address_text(struct arena *a, slice_t text, slice_t *out_address, size_t *out_domain)
{
	struct strbuf sb;
	size_t domain;
	if (is_plain_address(text, out_domain)) {
		*out_address = text;
		return true;
	}
	strbuf_init(&sb, a, 4096);
	struct scan s = {.p = text.ptr, .end = text.ptr + text.len, .out = &sb};
	bool good = take_addr_spec(&s, &domain) && s.p == s.end;
	if (!good) {
		s.p = text.ptr;
		s.bad = false;
		good = skip_phrase(&s);
		strbuf_init(&sb, a, 4096);
		if (good) {
			s.p++;
			good = skip_route(&s) && take_addr_spec(&s, &domain) && at(&s, '>');
		}
		if (good) {
			s.p++;
			skip_cfws(&s);
			good = s.p == s.end && !s.bad;
		}
	}
	if (!good || strbuf_is_overfull(&sb))
		return false;
	*out_address = with_flags(strbuf_slice(&sb), text);
	*out_domain = domain;
	return true;
}

enum { PART_ADDRESS, PART_LOCAL, PART_DOMAIN };

static enum rc op_address(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)err;
	slice_t address;
	size_t domain;
	*out = SL("");
	if (!parse_address_text(ev->arena, in, &address, &domain))
		return RC_OK;
	switch (((const struct op_row *)n->row)->arg) {
	case PART_LOCAL:
		*out = domain ? slice_sub(address, 0, domain - 1) : address;
		break;
	case PART_DOMAIN:
		if (domain)
			*out = slice_sub(address, domain, address.len);
		break;
	default:
		*out = address;
		break;
	}
	return RC_OK;
}

/* One address of a list, up to a comma, or a ";" that ends a group; a group's name goes by with its
 * ":". */
static slice_t next_piece(slice_t *rest)
{
	struct scan s = {.p = rest->ptr, .end = rest->ptr + rest->len};
	const char *from = s.p;
	bool angle = false;
	for (; s.p < s.end; s.p++) {
		char c = *s.p;
		if (c == '(') {
			skip_comment(&s);
			s.p--;
		} else if (c == '"') {
			for (s.p++; s.p < s.end && *s.p != '"'; s.p++)
				if (*s.p == '\\' && s.p + 1 < s.end)
					s.p++;
			if (s.p == s.end)
				break;
		} else if (c == '<' || c == '>') {
			angle = c == '<';
		} else if (c == ':' && !angle) {
			from = s.p + 1;
		} else if ((c == ',' || c == ';') && !angle) {
			break;
		}
	}
	const char *to = s.p < s.end ? s.p : s.end;
	slice_t piece = slice_sub(*rest, (size_t)(from - rest->ptr), (size_t)(to - from));
	*rest = slice_sub(*rest, (size_t)(to - rest->ptr) + (to < s.end ? 1 : 0), rest->len);
	return piece;
}

static enum rc op_addresses(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	char sep = ':';
	slice_t rest = in;
	while (rest.len && ascii_isspace(rest.ptr[0]))
		rest = slice_sub(rest, 1, rest.len);
	if (rest.len > 1 && rest.ptr[0] == '>') {
		sep = rest.ptr[1];
		rest = slice_sub(rest, 2, rest.len);
	}
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	bool first = true;
	while (rest.len) {
		slice_t address, piece = next_piece(&rest);
		size_t domain;
		if (!parse_address_text(ev->arena, piece, &address, &domain) || address.len == 0)
			continue;
		list_add(&sb, sep, first, address);
		first = false;
	}
	return text_done(&sb, out, err);
}

const struct op_row op_rows_mail[] = {
    {"address", op_address, OP_PURE, PART_ADDRESS, 0},
    {"addresses", op_addresses, OP_PURE, 0, 0},
    {"domain", op_address, OP_PURE, PART_DOMAIN, 0},
    {"local_part", op_address, OP_PURE, PART_LOCAL, 0},
    {0},
};
