/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Addresses.  Source: RFC 5321 4.1.2, RFC 5322 3.4.  More is let through than these allow, as Exim
 * does: empty components of local parts, bytes over 127, comments and phrases in SMTP paths.  Error
 * texts are Exim's; peers and logs see them.
 */
#include "base/strbuf.h"
#include "message/message.h"

#include <arpa/inet.h>

struct parser {
	slice_t text;
	size_t at;
	size_t local_from, local_to; /* where the last local part was */
	struct strbuf out;           /* the bare address */
	unsigned flags;              /* ADDRESS_ */
	struct error *err;
};

static char peek(const struct parser *p)
{
	return p->at < p->text.len ? p->text.ptr[p->at] : '\0';
}

static bool at_end(const struct parser *p)
{
	return p->at >= p->text.len;
}

/* White space and nested comments. */
static void skip_cfws(struct parser *p)
{
	unsigned depth = 0;
	for (; !at_end(p); p->at++) {
		char c = peek(p);
		if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (c == '\\' && depth && p->at + 1 < p->text.len)
			p->at++;
		else if (!depth && !ascii_isspace(c))
			return;
	}
}

static bool is_atom(char c)
{
	return (unsigned char)c > ' ' && c != 127 && !memchr("()<>@,;:\\\".[]", c, 13);
}

static enum rc malformed(struct parser *p)
{
	return error_set(p->err, RC_FAIL, "malformed address: %.*s may not follow %.*s",
	    (int)(p->text.len - p->at), p->text.ptr + p->at, (int)p->at, p->text.ptr);
}

static enum rc quoted_string(struct parser *p)
{
	strbuf_char(&p->out, '"');
	for (p->at++; !at_end(p); p->at++) {
		char c = peek(p);
		if (c == '\\' && p->at + 1 < p->text.len) {
			strbuf_char(&p->out, c);
			c = p->text.ptr[++p->at];
		} else if (c == '"') {
			p->at++;
			strbuf_char(&p->out, '"');
			return RC_OK;
		}
		if (c == '\n' || c == '\r' || c == '\0')
			break;
		strbuf_char(&p->out, c);
	}
	return error_set(p->err, RC_FAIL, "unmatched doublequote in local part");
}

/* A backslash and what it may stand before: no control character gets into an address. */
static bool escapes(const struct parser *p)
{
	if (peek(p) != '\\' || p->at + 1 >= p->text.len)
		return false;
	unsigned char next = (unsigned char)p->text.ptr[p->at + 1];
	return next >= ' ' && next != 127;
}

/* Words and dots; may come out empty. */
static enum rc local_part(struct parser *p)
{
	bool word_allowed = true, begun = false;
	for (;;) {
		if (begun)
			p->local_to =
			    p->at; /* white space and comments behind it are not its own */
		skip_cfws(p);
		char c = peek(p);
		if (!begun)
			p->local_from = p->local_to = p->at;
		begun = true;
		if (at_end(p))
			return RC_OK;
		if (c == '.') {
			strbuf_char(&p->out, c);
			p->at++;
			word_allowed = true;
		} else if (c == '"' && word_allowed) {
			enum rc rc = quoted_string(p);
			if (rc)
				return rc;
			word_allowed = false;
		} else if (is_atom(c) || escapes(p)) {
			if (!word_allowed)
				return RC_OK;
			for (; is_atom(peek(p)) || escapes(p); p->at++) {
				if (peek(p) == '\\')
					strbuf_char(&p->out, p->text.ptr[p->at++]);
				strbuf_char(&p->out, peek(p));
			}
			word_allowed = false;
		} else {
			return RC_OK;
		}
	}
}

static bool literal_ok(slice_t inside)
{
	char buf[INET6_ADDRSTRLEN + 1];
	struct in6_addr in;
	bool v6 = slice_startsi(inside, "IPv6:"), v4 = slice_startsi(inside, "IPv4:");
	slice_t s = v6 || v4 ? slice_sub(inside, 5, inside.len) : inside;
	if (!s.len || s.len >= sizeof buf)
		return false;
	memcpy(buf, s.ptr, s.len);
	buf[s.len] = '\0';
	if (strlen(buf) != s.len)
		return false;
	return (!v4 && inet_pton(AF_INET6, buf, &in) == 1) ||
	       (!v6 && inet_pton(AF_INET, buf, &in) == 1);
}

static enum rc domain_literal(struct parser *p, bool emit)
{
	size_t close = slice_find(slice_sub(p->text, p->at, p->text.len), ']');
	if (close == SIZE_MAX)
		return error_set(p->err, RC_FAIL, "domain literal has no terminating bracket");
	slice_t all = slice_sub(p->text, p->at, close + 1);
	if (!(p->flags & ADDRESS_LITERAL))
		return error_set(p->err, RC_FAIL, "domain literals not allowed");
	if (!literal_ok(slice_sub(all, 1, all.len - 2)))
		return error_set(p->err, RC_FAIL, "malformed domain literal");
	if (emit)
		strbuf_add(&p->out, all);
	p->at += all.len;
	return RC_OK;
}

/* How many bytes the UTF-8 character here has that are not its first, by its look; 0: it is none.
 */
static size_t utf8_more(const struct parser *p)
{
	unsigned char c = (unsigned char)peek(p);
	size_t n = c >= 0xc2 && c < 0xe0   ? 1
	           : c >= 0xe0 && c < 0xf0 ? 2
	           : c >= 0xf0 && c < 0xf5 ? 3
	                                   : 0;
	for (size_t i = 1; i <= n; i++)
		if (p->at + i >= p->text.len ||
		    ((unsigned char)p->text.ptr[p->at + i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* at: behind the @ */
static enum rc domain(struct parser *p, bool emit)
{
	skip_cfws(p);
	if (peek(p) == '[')
		return domain_literal(p, emit);
	size_t start = p->at;
	bool label = false; /* inside one */
	for (;; p->at++) {
		char c = peek(p);
		size_t more = utf8_more(p);
		/* outside ASCII: whoever takes addresses from a peer looks whether that was asked
		 * for */
		if (more || ascii_isalnum(c) || (c == '-' && label))
			label = true;
		else if (c == '.' && label)
			label = false;
		else
			break;
		p->at += more;
	}
	size_t dot = !label && (p->flags & ADDRESS_TRAILING_DOT) && p->at - start > 1 &&
	             peek(p) != '.' && p->text.ptr[p->at - 1] == '.';
	if ((!label && !dot) || p->at - start > 255)
		return error_set(p->err, RC_FAIL, "domain missing or malformed");
	if (emit)
		strbuf_add(&p->out, slice_sub(p->text, start, p->at - start - dot));
	return RC_OK;
}

/* "@a,@b:" in front of the address proper, which is all that is kept. */
static enum rc source_route(struct parser *p)
{
	while (peek(p) == '@') {
		p->at++;
		enum rc rc = domain(p, false);
		if (rc)
			return rc;
		skip_cfws(p);
		if (peek(p) == ',') {
			p->at++;
			skip_cfws(p);
		} else if (peek(p) == ':') {
			p->at++;
			skip_cfws(p);
			return RC_OK;
		} else {
			break;
		}
	}
	return error_set(p->err, RC_FAIL, "no local part");
}

static enum rc expected_at(struct parser *p)
{
	slice_t got = strbuf_slice(&p->out);
	return error_set(p->err, RC_FAIL, "\"@\" or \".\" expected after \"%.*s\"", SL_ARG(got));
}

/* Local part and domain inside angle brackets; at: behind the '<'. */
static enum rc route_address(struct parser *p, bool allow_null)
{
	skip_cfws(p);
	if (peek(p) == '>' && allow_null) {
		p->at++;
		return RC_OK;
	}
	enum rc rc = peek(p) == '@' ? source_route(p) : RC_OK;
	if (!rc)
		rc = local_part(p);
	if (rc)
		return rc;
	if (!p->out.len)
		return error_set(p->err, RC_FAIL, "missing or malformed local part");
	if (peek(p) == '@') {
		p->at++;
		strbuf_char(&p->out, '@');
		rc = domain(p, true);
		if (rc)
			return rc;
		skip_cfws(p);
		if (!at_end(p) && peek(p) != '>')
			return malformed(p);
	} else if (peek(p) != '>') {
		return expected_at(p);
	}
	if (at_end(p))
		return error_set(p->err, RC_FAIL, "'>' missing at end of address");
	p->at++;
	return RC_OK;
}

/* The words of a phrase up to '<'; at: behind its first word. */
static bool skip_phrase(struct parser *p)
{
	size_t was = p->at;
	struct strbuf out = p->out;
	while (!at_end(p) && peek(p) != '<') {
		size_t before = p->at;
		if (local_part(p) || p->at == before)
			break;
	}
	p->out = out;
	if (peek(p) == '<')
		return true;
	p->at = was;
	return false;
}

static enum rc mailbox(struct parser *p, bool allow_null)
{
	skip_cfws(p);
	if (at_end(p))
		return error_set(p->err, RC_FAIL, "empty address");
	if (peek(p) != '<') {
		enum rc rc = peek(p) == '@' ? source_route(p) : RC_OK;
		if (!rc)
			rc = local_part(p);
		if (rc)
			return rc;
		if (peek(p) == '@') {
			if (!p->out.len)
				return error_set(
				    p->err, RC_FAIL, "missing or malformed local part");
			p->at++;
			strbuf_char(&p->out, '@');
			rc = domain(p, true);
			if (rc)
				return rc;
			skip_cfws(p);
			return at_end(p) ? RC_OK : malformed(p);
		}
		if (at_end(p) && p->out.len)
			return RC_OK;
		if (!skip_phrase(p))
			return p->out.len && (peek(p) == ';' || peek(p) == ',')
			           ? malformed(p)
			           : error_set(p->err, RC_FAIL,
			                 "missing or malformed local part (expected word or "
			                 "\"<\")");
		strbuf_reset(&p->out);
	}
	p->at++;
	unsigned excess = 0;
	while ((p->flags & ADDRESS_EXCESS_BRACKETS) && peek(p) == '<') {
		excess++;
		p->at++;
	}
	enum rc rc = route_address(p, allow_null);
	if (rc)
		return rc;
	for (; excess && peek(p) == '>'; excess--)
		p->at++;
	if (excess)
		return error_set(p->err, RC_FAIL, "'>' missing at end of address");
	skip_cfws(p);
	return at_end(p) ? RC_OK : malformed(p);
}

static enum rc parse_path(
    struct arena *a, struct parser *p, bool allow_null, slice_t *out_address, struct error *err)
{
	slice_t text = p->text;
	strbuf_init(&p->out, a, 0);
	enum rc rc = mailbox(p, allow_null);
	if (rc)
		return rc;
	slice_t s = strbuf_slice(&p->out);
	if (s.len > ADDRESS_MAX)
		return error_set(err, RC_FAIL, "address is ridiculously long: %.64s...", s.ptr);
	if (!s.len)
		s = slice_of("", 0, text.flags);
	s.flags = (uint16_t)(text.flags & ~HEDDLE_ABSENT);
	s.quoter = 0;
	*out_address = s;
	return RC_OK;
}

enum rc address_parse_path(struct arena *a, slice_t text, bool allow_null, unsigned flags,
    slice_t *out_address, struct error *err)
{
	struct parser p = {.text = text, .flags = flags, .err = err};
	return parse_path(a, &p, allow_null, out_address, err);
}

/* End of the item that begins at `from`: the next top-level comma, or the colon of a group's name,
 * or its semicolon. */
static size_t item_end(slice_t list, size_t from)
{
	bool quoted = false, angle = false, literal = false;
	unsigned depth = 0;
	for (size_t i = from; i < list.len; i++) {
		char c = list.ptr[i];
		if (c == '\\')
			i++;
		else if (quoted)
			quoted = c != '"';
		else if (c == '(')
			depth++;
		else if (depth)
			depth -= c == ')';
		else if (c == '"')
			quoted = true;
		else if (literal)
			literal = c != ']';
		else if (c == '[')
			literal = true;
		else if (angle)
			angle = c != '>';
		else if (c == '<')
			angle = true;
		else if (c == ',' || c == ':' || (c == ';' && memchr(list.ptr, ':', i)))
			return i; /* a semicolon ends nothing where no group has begun */
	}
	return list.len;
}

enum rc address_list_next(struct arena *a, slice_t list, unsigned flags, size_t *pos,
    slice_t *out_address, struct error *err)
{
	size_t from, to;
	return address_list_next_at(a, list, flags, pos, out_address, &from, &to, err);
}

enum rc address_list_next_at(struct arena *a, slice_t list, unsigned flags, size_t *pos,
    slice_t *out_address, size_t *out_from, size_t *out_to, struct error *err)
{
	while (*pos < list.len) {
		size_t end = item_end(list, *pos);
		slice_t item = slice_trim(slice_sub(list, *pos, end - *pos));
		*pos = end < list.len ? end + 1 : end;
		if (end < list.len && list.ptr[end] == ':')
			continue; /* the name of a group */
		struct parser blank = {.text = item};
		skip_cfws(&blank);
		if (at_end(&blank))
			continue;
		struct parser p = {.text = item, .flags = flags | ADDRESS_LITERAL, .err = err};
		enum rc rc = parse_path(a, &p, true, out_address, err);
		size_t base = (size_t)(item.ptr - list.ptr);
		*out_from = base + p.local_from;
		*out_to = base + p.local_to;
		return rc;
	}
	*out_address = slice_absent();
	return RC_OK;
}

bool address_split(slice_t address, slice_t *out_local, slice_t *out_domain)
{
	size_t at = SIZE_MAX;
	bool quoted = false;
	for (size_t i = 0; i < address.len; i++) {
		char c = address.ptr[i];
		if (c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '@' && !quoted)
			at = i;
	}
	*out_local = slice_sub(address, 0, at == SIZE_MAX ? address.len : at);
	if (at == SIZE_MAX) {
		*out_domain = slice_sub(address, address.len, 0);
		return false;
	}
	*out_domain = slice_sub(address, at + 1, address.len - at - 1);
	return true;
}

slice_t address_quote_local(struct arena *a, slice_t local)
{
	bool plain = local.len > 0 && local.ptr[0] != '.' && local.ptr[local.len - 1] != '.';
	for (size_t i = 0; i < local.len && plain; i++)
		plain = local.ptr[i] == '.' || is_atom(local.ptr[i]);
	if (plain)
		return local;
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_char(&sb, '"');
	for (size_t i = 0; i < local.len; i++) {
		if (local.ptr[i] == '"' || local.ptr[i] == '\\')
			strbuf_char(&sb, '\\');
		strbuf_char(&sb, local.ptr[i]);
	}
	strbuf_char(&sb, '"');
	return strbuf_slice(&sb);
}
