/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/lexer.h"

#include "base/strbuf.h"

slice_t lex_name(slice_t *rest)
{
	uint32_t n = 0;
	if (rest->len && ascii_isalpha(rest->ptr[0]))
		while (n < rest->len && (ascii_isalnum(rest->ptr[n]) || rest->ptr[n] == '_'))
			n++;
	slice_t name = slice_sub(*rest, 0, n);
	*rest = slice_sub(*rest, n, rest->len);
	return name;
}

void lex_space(slice_t *rest)
{
	uint32_t n = 0;
	while (n < rest->len && ascii_isspace(rest->ptr[n]))
		n++;
	*rest = slice_sub(*rest, n, rest->len);
}

enum rc lex_option(const struct source_line *at, struct raw_option *out_raw, struct error *err)
{
	slice_t rest = at->text;
	slice_t name = lex_name(&rest);
	bool hide = false;
	while (slice_eqs(name, "hide") && rest.len && ascii_isspace(rest.ptr[0])) {
		hide = true;
		lex_space(&rest);
		name = lex_name(&rest);
	}
	if (!name.len)
		return error_set(err, RC_FAIL, "an option setting was expected, found \"%.*s\"",
		    (int)(at->text.len > 60 ? 60 : at->text.len), at->text.len ? at->text.ptr : "");
	lex_space(&rest);
	bool equals = rest.len && rest.ptr[0] == '=';
	if (equals) {
		rest = slice_sub(rest, 1, rest.len);
		lex_space(&rest);
	}
	*out_raw = (struct raw_option){
	    .at = *at, .name = name, .hide = hide, .has_equals = equals, .rest = rest};
	return RC_OK;
}

static int digit_of(char c)
{
	if (ascii_isdigit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* One escape, *i at the character behind the backslash; moves *i behind the escape. */
static char unescape(slice_t s, uint32_t *i)
{
	char c = s.ptr[(*i)++];
	int base = c == 'x' ? 16 : 8, most = c == 'x' ? 2 : 3, value = 0, n = 0;
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		break;
	}
	if (c != 'x' && (c < '0' || c > '7'))
		return c;
	if (c != 'x')
		(*i)--;
	for (; n < most && *i < s.len && digit_of(s.ptr[*i]) < base; n++, (*i)++)
		value = value * base + digit_of(s.ptr[*i]);
	if (n)
		c = (char)value; /* one byte, whichever sign char has */
	return c;
}

/* rest begins with a double quote. */
static enum rc lex_quoted(struct arena *a, slice_t *rest, slice_t *out, struct error *err)
{
	struct strbuf sb;
	strbuf_init(&sb, a, (size_t)rest->len + 1);
	slice_t s = *rest;
	for (uint32_t i = 1; i < s.len;) {
		if (s.ptr[i] == '"') {
			*out = strbuf_slice(&sb);
			*rest = slice_sub(s, i + 1, s.len);
			return RC_OK;
		}
		char c = s.ptr[i++];
		if (c == '\\' && i < s.len)
			c = unescape(s, &i);
		strbuf_char(&sb, c);
	}
	return error_set(err, RC_FAIL, "missing quote at the end of the string");
}

enum rc lex_string(struct arena *a, slice_t rest, slice_t *out_text, struct error *err)
{
	slice_t text;
	if (!rest.len || rest.ptr[0] != '"') {
		*out_text = slice_trim(rest);
		return RC_OK;
	}
	enum rc rc = lex_quoted(a, &rest, &text, err);
	if (rc != RC_OK)
		return rc;
	rest = slice_trim(rest);
	if (rest.len)
		return error_set(err, RC_FAIL,
		    "extra characters behind the quoted string: \"%.*s\"",
		    (int)(rest.len > 60 ? 60 : rest.len), rest.ptr);
	*out_text = text;
	return RC_OK;
}

enum rc lex_word(struct arena *a, slice_t *rest, slice_t *out_word, struct error *err)
{
	if (rest->len && rest->ptr[0] == '"')
		return lex_quoted(a, rest, out_word, err);
	uint32_t n = 0;
	while (n < rest->len && !ascii_isspace(rest->ptr[n]))
		n++;
	*out_word = slice_sub(*rest, 0, n);
	*rest = slice_sub(*rest, n, rest->len);
	return RC_OK;
}

bool lex_label(slice_t line, slice_t *out_name, slice_t *out_rest)
{
	slice_t name = lex_name(&line);
	lex_space(&line);
	if (!name.len || !line.len || line.ptr[0] != ':')
		return false;
	line = slice_sub(line, 1, line.len);
	lex_space(&line);
	*out_name = name;
	*out_rest = line;
	return true;
}

/* A bit for each letter or digit that occurs. */
static uint64_t letters_of(slice_t s)
{
	uint64_t set = 0;
	for (uint32_t i = 0; i < s.len; i++)
		set |= (uint64_t)1 << (ascii_lower(s.ptr[i]) & 63);
	return set;
}

/* Each change brings in or takes away one letter at most: most pairs are known to be apart by this.
 */
static bool are_apart(slice_t a, slice_t b, unsigned limit)
{
	uint32_t longer = a.len > b.len ? a.len - b.len : b.len - a.len;
	if (longer > limit)
		return true;
	uint64_t x = letters_of(a), y = letters_of(b);
	return (unsigned)__builtin_popcountll(x & ~y) > limit ||
	       (unsigned)__builtin_popcountll(y & ~x) > limit;
}

unsigned lex_distance(slice_t a, slice_t b, unsigned limit)
{
	enum { LONGEST = 64 };
	unsigned row[LONGEST + 1];
	if (a.len > LONGEST || b.len > LONGEST || are_apart(a, b, limit))
		return limit + 1;
	for (uint32_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (uint32_t i = 1; i <= a.len; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (uint32_t j = 1; j <= b.len; j++) {
			unsigned above = row[j];
			unsigned change =
			    diagonal + (ascii_lower(a.ptr[i - 1]) != ascii_lower(b.ptr[j - 1]));
			unsigned move = (above < row[j - 1] ? above : row[j - 1]) + 1;
			row[j] = change < move ? change : move;
			diagonal = above;
		}
	}
	return row[b.len] > limit ? limit + 1 : row[b.len];
}
