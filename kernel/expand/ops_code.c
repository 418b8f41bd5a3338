/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RFC 2047 encoding for ${rfc2047:}; decoding is in headers.c. */
#include "config/config.h"
#include "expand/tree.h"

enum { ENCODED_WORD_MAX = 75 };

static bool plain_in_word(unsigned char c)
{
	return c > 32 && c < 127 && !strchr("?=()<>@,;:\\\".[]_", c);
}

static bool needs_encoding(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c < 32 || c > 126 || (c != ' ' && !plain_in_word(c)))
			return true;
	}
	return false;
}

/* The text as one or more encoded words of at most 75 characters, a space between them. */
slice_t rfc2047_encode(struct arena *a, const struct config *cfg, slice_t s)
{
	static const char hex[] = "0123456789ABCDEF";
	if (!needs_encoding(s))
		return s;
	slice_t charset = cfg ? config_text(cfg, MO_headers_charset) : slice_absent();
	slice_t head = arena_printf(
	    a, "=?%.*s?Q?", SL_ARG(charset.len && charset.len < 40 ? charset : SL("UTF-8")));
	struct strbuf sb;
	strbuf_init(&sb, a, EVAL_TEXT_MAX);
	size_t start = 0;
	strbuf_add(&sb, head);
	for (uint32_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		bool first_of_char = (c & 0xc0) != 0x80;
		/* room for the longest character, escaped, and "?=" */
		if (first_of_char && sb.len - start > ENCODED_WORD_MAX - 14) {
			strbuf_text(&sb, "?= ");
			start = sb.len;
			strbuf_add(&sb, head);
		}
		if (plain_in_word(c)) {
			strbuf_char(&sb, (char)c);
		} else if (c == ' ') {
			strbuf_char(&sb, '_');
		} else {
			strbuf_char(&sb, '=');
			strbuf_char(&sb, hex[c >> 4]);
			strbuf_char(&sb, hex[c & 15]);
		}
	}
	strbuf_text(&sb, "?=");
	return with_flags(strbuf_slice(&sb), s);
}

const struct op_row op_rows_code[] = {
    {0},
};
