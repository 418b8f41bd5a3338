/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What items and operators of the same name compute. */
#include "expand/text.h"

#include <inttypes.h>

slice_t text_substr(slice_t text, const struct text_numbers *nums)
{
	int64_t from = nums->n[0], len = nums->count > 1 ? nums->n[1] : -1, size = text.len;
	if (from < 0) {
		from += size;
		/* without a length: all that stands before */
		if (len < 0) {
			len = from < 0 ? 0 : from;
			from = 0;
		} else if (from < 0) {
			len += from;
			from = 0;
		}
	} else if (len < 0) {
		len = size;
	}
	if (from > size)
		from = size;
	return slice_sub(text, (size_t)from, len < 0 ? 0 : (size_t)len);
}

enum rc text_nhash(
    struct arena *a, slice_t text, const struct text_numbers *nums, slice_t *out, struct error *err)
{
	/* found by asking Exim: the bytes, each times a prime, from 113 down to 3 and again */
	static const unsigned char primes[] = {113, 109, 107, 103, 101, 97, 89, 83, 79, 73, 71, 67,
	    61, 59, 53, 47, 43, 41, 37, 31, 29, 23, 19, 17, 13, 11, 7, 5, 3};
	uint64_t total = 0;
	for (uint32_t i = 0; i < text.len; i++)
		total += (uint64_t)(unsigned char)text.ptr[i] * primes[i % sizeof primes];
	uint64_t n = (uint64_t)nums->n[0], m = (uint64_t)nums->n[1];
	if (n == 0 || (nums->count > 1 && m == 0))
		return error_set(err, RC_ERROR, "nhash count must not be zero");
	if (nums->count > 1)
		*out = arena_printf(a, "%" PRIu64 "/%" PRIu64, total / m % n, total % m);
	else
		*out = number_text(a, (int64_t)(total % n));
	return RC_OK;
}

/* Found by asking Exim, with 1,400 texts: what lies behind the first n bytes is rotated and folded
 * into them; the order of "r", "t", "s" in the alphabet is its own. */
enum rc text_hash(
    struct arena *a, slice_t text, const struct text_numbers *nums, slice_t *out, struct error *err)
{
	static const char alphabet[] =
	    "abcdefghijklmnopqrtsuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	int64_t m = nums->count > 1 ? nums->n[1] : 26, n = nums->n[0];
	if (m > (int64_t)sizeof alphabet - 1)
		return error_set(err, RC_ERROR, "hash count \"%" PRId64 "\" too big", m);
	if (m <= 0)
		return error_set(err, RC_ERROR, "hash count must not be zero");
	if (n < 0 || n >= text.len) {
		*out = text;
		return RC_OK;
	}
	unsigned char *p = arena_alloc(a, (size_t)n + 1);
	memcpy(p, text.ptr, (size_t)n);
	for (uint32_t i = (uint32_t)n; n && i < text.len; i++) {
		unsigned c = (unsigned char)text.ptr[i], by = (c + i) % 8;
		p[i % (uint32_t)n] ^= (unsigned char)(c << by | c >> (8 - by));
	}
	for (int64_t i = 0; i < n; i++)
		p[i] = (unsigned char)alphabet[p[i] % m];
	*out = with_flags(slice_of(p, (size_t)n, 0), text);
	return RC_OK;
}

slice_t text_quote(struct arena *a, slice_t text)
{
	struct strbuf sb;
	strbuf_init(&sb, a, EVAL_TEXT_MAX);
	strbuf_char(&sb, '"');
	for (uint32_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (c == '\n') {
			strbuf_text(&sb, "\\n");
		} else if (c == '\r') {
			strbuf_text(&sb, "\\r");
		} else {
			if (c == '"' || c == '\\')
				strbuf_char(&sb, '\\');
			strbuf_add(&sb, slice_sub(text, i, 1));
		}
	}
	strbuf_char(&sb, '"');
	return strbuf_slice(&sb);
}

/* ---- name=value ---- */

static void skip_space(slice_t *s)
{
	while (s->len && ascii_isspace(s->ptr[0]))
		*s = slice_sub(*s, 1, s->len);
}

/* A character behind a backslash in a quoted value: 6.17. */
static char quoted_char(slice_t *s)
{
	char c = s->ptr[0];
	*s = slice_sub(*s, 1, s->len);
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'x': {
		int v = 0;
		for (int i = 0; i < 2 && s->len && memchr("0123456789abcdefABCDEF", s->ptr[0], 22);
		     i++) {
			char d = ascii_lower(s->ptr[0]);
			v = v * 16 + (ascii_isdigit(d) ? d - '0' : d - 'a' + 10);
			*s = slice_sub(*s, 1, s->len);
		}
		return (char)v;
	}
	default:
		break;
	}
	if (c < '0' || c > '7')
		return c;
	int v = c - '0';
	for (int i = 0; i < 2 && s->len && s->ptr[0] >= '0' && s->ptr[0] <= '7'; i++) {
		v = v * 8 + s->ptr[0] - '0';
		*s = slice_sub(*s, 1, s->len);
	}
	return (char)v;
}

static slice_t quoted_value(struct arena *a, slice_t *s)
{
	slice_t all = *s;
	*s = slice_sub(*s, 1, s->len);
	char *p = arena_bytes(a, s->len + 1);
	uint32_t n = 0;
	while (s->len && s->ptr[0] != '"') {
		char c = s->ptr[0];
		*s = slice_sub(*s, 1, s->len);
		if (c == '\\' && s->len)
			c = quoted_char(s);
		p[n++] = c;
	}
	if (s->len)
		*s = slice_sub(*s, 1, s->len);
	return with_flags(slice_of(p, n, 0), all);
}

static slice_t plain_word(slice_t *s, bool name)
{
	uint32_t n = 0;
	while (n < s->len && !ascii_isspace(s->ptr[n]) && !(name && s->ptr[n] == '='))
		n++;
	slice_t word = slice_sub(*s, 0, n);
	*s = slice_sub(*s, n, s->len);
	return word;
}

bool extract_named(struct arena *a, slice_t key, slice_t s, slice_t *out)
{
	skip_space(&s);
	while (s.len) {
		slice_t name = plain_word(&s, true);
		skip_space(&s);
		if (s.len && s.ptr[0] == '=') {
			s = slice_sub(s, 1, s.len);
			skip_space(&s);
		}
		slice_t value =
		    s.len && s.ptr[0] == '"' ? quoted_value(a, &s) : plain_word(&s, false);
		skip_space(&s);
		if (slice_eqi(name, key)) {
			*out = value;
			return true;
		}
	}
	return false;
}
