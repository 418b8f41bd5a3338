/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON as ${extract json} reads it: the value comes out as the text that it is in the source, so
 * nothing is parsed into objects.  One pass, no recursion: strings are skipped, brackets are
 * counted.  What is not JSON gives "not there".
 */
#include "expand/tree.h"

static void skip_space(slice_t *s)
{
	while (s->len && ascii_isspace(s->ptr[0]))
		*s = slice_sub(*s, 1, s->len);
}

/* At a quote: the length of the string with both quotes; 0: it does not end. */
static uint32_t string_len(slice_t s)
{
	for (uint32_t i = 1; i < s.len; i++) {
		if (s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == '"')
			return i + 1;
	}
	return 0;
}

/* One value from the front of *s, up to a comma or closing bracket on its own level. */
static bool take_value(slice_t *s, slice_t *out)
{
	unsigned depth = 0;
	uint32_t i = 0;
	for (; i < s->len; i++) {
		char c = s->ptr[i];
		if (c == '"') {
			uint32_t n = string_len(slice_sub(*s, i, s->len));
			if (n == 0)
				return false;
			i += n - 1;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
			break;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	if (i == s->len || depth)
		return false;
	*out = slice_trim(slice_sub(*s, 0, i));
	*s = slice_sub(*s, i, s->len);
	return true;
}

bool json_member(slice_t json, slice_t key, slice_t *out)
{
	slice_t s = slice_sub(json, 1, json.len);
	for (;;) {
		skip_space(&s);
		uint32_t n = s.len && s.ptr[0] == '"' ? string_len(s) : 0;
		if (n == 0)
			return false;
		slice_t name = slice_sub(s, 1, n - 2);
		s = slice_sub(s, n, s.len);
		skip_space(&s);
		if (!s.len || s.ptr[0] != ':')
			return false;
		s = slice_sub(s, 1, s.len);
		slice_t value;
		if (!take_value(&s, &value))
			return false;
		if (slice_eq(name, key)) {
			*out = value;
			return true;
		}
		if (!s.len || s.ptr[0] != ',')
			return false;
		s = slice_sub(s, 1, s.len);
	}
}

bool json_next(slice_t *rest, slice_t *out)
{
	skip_space(rest);
	if (!rest->len || (rest->ptr[0] != '[' && rest->ptr[0] != ','))
		return false;
	bool first = rest->ptr[0] == '[';
	slice_t s = slice_sub(*rest, 1, rest->len);
	skip_space(&s);
	if (!s.len || (first && s.ptr[0] == ']') || !take_value(&s, out))
		return false;
	*rest = s;
	return true;
}

bool json_element(slice_t json, int64_t index, slice_t *out)
{
	while (json_next(&json, out))
		if (--index == 0)
			return true;
	return false;
}

static void add_code_point(struct strbuf *sb, uint32_t c)
{
	if (c < 0x80) {
		strbuf_char(sb, (char)c);
		return;
	}
	int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
	strbuf_char(sb, (char)(lead[more] | c >> (6 * more)));
	while (more--)
		strbuf_char(sb, (char)(0x80 | ((c >> (6 * more)) & 0x3f)));
}

/* Four hexadecimal digits at i; -1: there are none. */
static int32_t hex4(slice_t s, uint32_t i)
{
	int64_t v;
	slice_t four = slice_sub(s, i, 4);
	for (uint32_t k = 0; k < four.len; k++)
		if (!memchr("0123456789abcdefABCDEF", four.ptr[k], 22))
			return -1;
	return four.len == 4 && slice_to_i64(four, 16, false, &v) ? (int32_t)v : -1;
}

/* i: behind "\u"; how many bytes were used. */
static uint32_t add_unicode(struct strbuf *sb, slice_t s, uint32_t i)
{
	int32_t c = hex4(s, i);
	if (c < 0)
		return 0;
	if (c >= 0xd800 && c < 0xdc00 && i + 6 < s.len && s.ptr[i + 4] == '\\' &&
	    s.ptr[i + 5] == 'u') {
		int32_t low = hex4(s, i + 6);
		if (low >= 0xdc00 && low < 0xe000) {
			add_code_point(sb,
			    0x10000 + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
			return 10;
		}
	}
	add_code_point(sb, c >= 0xd800 && c < 0xe000 ? 0xfffd : (uint32_t)c);
	return 4;
}

slice_t json_dequote(struct arena *a, slice_t s)
{
	slice_t in = slice_sub(s, 1, s.len - 2);
	if (slice_find(in, '\\') == SIZE_MAX)
		return in;
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	struct strbuf sb;
	strbuf_init(&sb, a, EVAL_TEXT_MAX);
	for (uint32_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		if (c == '\\' && i + 1 < in.len) {
			c = in.ptr[++i];
			const char *known = c ? strchr(from, c) : NULL;
			if (c == 'u') {
				i += add_unicode(&sb, in, i + 1);
				continue;
			}
			c = known ? to[known - from] : c;
		}
		strbuf_char(&sb, c);
	}
	return with_flags(strbuf_slice(&sb), s);
}
