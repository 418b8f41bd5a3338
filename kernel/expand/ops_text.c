/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operators on texts: case, quoting, escaping, parts, character sets. */
#include "config/config.h"
#include "expand/text.h"

#include <stdio.h>

static enum rc op_lc(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	char *p = arena_bytes(ev->arena, in.len);
	for (uint32_t i = 0; i < in.len; i++)
		p[i] = ascii_lower(in.ptr[i]);
	*out = with_flags(slice_of(p, in.len, 0), in);
	return RC_OK;
}

static enum rc op_uc(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	char *p = arena_bytes(ev->arena, in.len);
	for (uint32_t i = 0; i < in.len; i++)
		p[i] = ascii_upper(in.ptr[i]);
	*out = with_flags(slice_of(p, in.len, 0), in);
	return RC_OK;
}

static struct text_numbers numbers_of(const struct node *n)
{
	return (struct text_numbers){.n = {n->number[0], n->number[1]}, .count = n->numbers};
}

static enum rc need_number(const struct node *n, struct error *err)
{
	const struct op_row *row = n->row;
	if (n->numbers == 0)
		return error_set(err, RC_ERROR, "missing values after %s", row->name);
	return RC_OK;
}

static enum rc op_substr(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)ev;
	struct text_numbers nums = numbers_of(n);
	enum rc rc = need_number(n, err);
	if (rc == RC_OK)
		*out = text_substr(in, &nums);
	return rc;
}

static enum rc op_length(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)ev;
	enum rc rc = need_number(n, err);
	if (rc == RC_OK)
		*out = slice_sub(in, 0, n->number[0] < 0 ? 0 : (size_t)n->number[0]);
	return rc;
}

static enum rc op_nhash(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	struct text_numbers nums = numbers_of(n);
	enum rc rc = need_number(n, err);
	return rc == RC_OK ? text_nhash(ev->arena, in, &nums, out, err) : rc;
}

static enum rc op_hash(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	struct text_numbers nums = numbers_of(n);
	enum rc rc = need_number(n, err);
	return rc == RC_OK ? text_hash(ev->arena, in, &nums, out, err) : rc;
}

static enum rc op_strlen(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	*out = number_text(ev->arena, in.len);
	return RC_OK;
}

/* ---- quoting ---- */

static enum rc op_quote(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)err;
	if (n->text.len) /* quote_TYPE */
		return eval_lookup_quote(ev, n->text, in, out, err);
	bool plain = in.len > 0;
	for (uint32_t i = 0; i < in.len && plain; i++)
		plain = ascii_isalnum(in.ptr[i]) || (in.ptr[i] && strchr("_.-", in.ptr[i]));
	*out = plain ? in : text_quote(ev->arena, in);
	return RC_OK;
}

/* RFC 5322 atext and dots; Exim looks at the first and last dot only. */
static enum rc op_quote_local_part(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	bool plain = in.len > 0 && in.ptr[0] != '.' && in.ptr[in.len - 1] != '.';
	for (uint32_t i = 0; i < in.len && plain; i++)
		plain = ascii_isalnum(in.ptr[i]) ||
		        (in.ptr[i] && strchr("!#$%&'*+-/=?^_`{|}~.", in.ptr[i]));
	*out = plain ? in : text_quote(ev->arena, in);
	return RC_OK;
}

static enum rc op_rxquote(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	for (uint32_t i = 0; i < in.len; i++) {
		if (!ascii_isalnum(in.ptr[i]))
			strbuf_char(&sb, '\\');
		strbuf_add(&sb, slice_sub(in, i, 1));
	}
	return text_done(&sb, out, err);
}

static bool printing(unsigned char c)
{
	return c >= 32 && c < 127;
}

enum { ESCAPE_ALL, ESCAPE_8BIT, ESCAPE_HEX };

static enum rc op_escape(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	int how = ((const struct op_row *)n->row)->arg;
	bool topbit = how == ESCAPE_ALL && ev->cfg && config_bool(ev->cfg, MO_print_topbitchars);
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	for (uint32_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.ptr[i];
		bool keep = how == ESCAPE_ALL   ? printing(c) || c == '\t' || (topbit && c >= 128)
		            : how == ESCAPE_HEX ? c > 32 && c < 127
		                                : c < 127 && c != '\\';
		/* a newline is shown as such */
		if (keep)
			strbuf_add(&sb, slice_sub(in, i, 1));
		else if (how == ESCAPE_HEX)
			strbuf_printf(&sb, "\\x%02x", c);
		else if (how == ESCAPE_ALL && c == '\n')
			strbuf_text(&sb, "\\n");
		else if (how == ESCAPE_ALL && c == '\r')
			strbuf_text(&sb, "\\r");
		else
			strbuf_printf(&sb, "\\%03o", c);
	}
	if (in.len && !slice_is_clean(in))
		sb.flags &= (uint16_t)~HEDDLE_CLEAN;
	return text_done(&sb, out, err);
}

/* ---- UTF-8 ---- */

/* Bytes of the character at p, 0: malformed (overlong, surrogate, cut off). */
uint32_t text_utf8_char(slice_t s, uint32_t i, uint32_t *code)
{
	unsigned char c = (unsigned char)s.ptr[i];
	uint32_t more = c < 0x80                ? 0
	                : c >= 0xc2 && c < 0xe0 ? 1
	                : (c & 0xf0) == 0xe0    ? 2
	                : c >= 0xf0 && c < 0xf5 ? 3
	                                        : 9;
	if (more == 9 || s.len - i <= more)
		return 0;
	uint32_t v = more == 0 ? c : c & (0x3fU >> more);
	for (uint32_t k = 1; k <= more; k++) {
		unsigned char t = (unsigned char)s.ptr[i + k];
		if ((t & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (t & 0x3f);
	}
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	if (v < least[more] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	*code = v;
	return more + 1;
}

static enum rc op_utf8clean(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	struct strbuf sb;
	uint32_t code;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	for (uint32_t i = 0; i < in.len;) {
		uint32_t len = text_utf8_char(in, i, &code);
		if (len)
			strbuf_add(&sb, slice_sub(in, i, len));
		else
			strbuf_char(&sb, '?');
		unsigned char lead = (unsigned char)in.ptr[i];
		i += len ? len : 1;
		/* what follows belonged to the bad character */
		int more = len || lead < 0xc2 || lead > 0xf4 ? 0
		           : lead < 0xe0                     ? 1
		           : lead < 0xf0                     ? 2
		                                             : 3;
		for (; more && i < in.len && ((unsigned char)in.ptr[i] & 0xc0) == 0x80; more--)
			i++;
	}
	return text_done(&sb, out, err);
}

static enum rc op_from_utf8(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	char *p = arena_bytes(ev->arena, in.len);
	uint32_t used = 0, code;
	for (uint32_t i = 0; i < in.len;) {
		uint32_t len = text_utf8_char(in, i, &code);
		if (!len)
			code = (unsigned char)in.ptr[i];
		p[used++] = code < 256 ? (char)code : '_';
		i += len ? len : 1;
	}
	*out = with_flags(slice_of(p, used, 0), in);
	return RC_OK;
}

/* ---- RFC 2047, xtext ---- */

static enum rc op_rfc2047(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	*out = rfc2047_encode(ev->arena, ev->cfg, in);
	return RC_OK;
}

static enum rc op_rfc2047d(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	return rfc2047_decode(ev, in, true, out, err);
}

static enum rc op_xtextd(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	char *p = arena_bytes(ev->arena, in.len);
	uint32_t used = 0;
	int64_t v;
	for (uint32_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		if (c == '+') {
			slice_t two = slice_sub(in, i + 1, 2);
			if (two.len != 2 || two.ptr[0] == '+' || two.ptr[0] == '-' ||
			    !slice_to_i64(two, 16, false, &v))
				return error_set(err, RC_ERROR,
				    "xtext decode error at offset %u of \"%.*s\"", (unsigned)i,
				    SL_ARG(in));
			c = (char)v;
			i += 2;
		}
		p[used++] = c;
	}
	*out = with_flags(slice_of(p, used, 0), in);
	return RC_OK;
}

const struct op_row op_rows_text[] = {
    {"escape", op_escape, 0, ESCAPE_ALL, 0},
    {"escape8bit", op_escape, OP_PURE, ESCAPE_8BIT, 0},
    {"from_utf8", op_from_utf8, OP_PURE, 0, 0},
    {"h", op_hash, OP_PURE | OP_NUMBERS, 0, 0},
    {"hash", op_hash, OP_PURE | OP_NUMBERS, 0, 0},
    {"hexquote", op_escape, OP_PURE, ESCAPE_HEX, 0},
    {"l", op_length, OP_PURE | OP_NUMBERS, 0, 0},
    {"lc", op_lc, OP_PURE, 0, 0},
    {"length", op_length, OP_PURE | OP_NUMBERS, 0, 0},
    {"nh", op_nhash, OP_PURE | OP_NUMBERS, 0, 0},
    {"nhash", op_nhash, OP_PURE | OP_NUMBERS, 0, 0},
    {"quote", op_quote, OP_PURE | OP_SUFFIX, 0, 0},
    {"quote_local_part", op_quote_local_part, OP_PURE, 0, 0},
    {"rfc2047", op_rfc2047, 0, 0, 0},
    {"rfc2047d", op_rfc2047d, 0, 0, 0},
    {"rxquote", op_rxquote, OP_PURE, 0, 0},
    {"s", op_substr, OP_PURE | OP_NUMBERS | OP_NEGATIVE, 0, 0},
    {"strlen", op_strlen, OP_PURE, 0, 0},
    {"substr", op_substr, OP_PURE | OP_NUMBERS | OP_NEGATIVE, 0, 0},
    {"uc", op_uc, OP_PURE, 0, 0},
    {"utf8clean", op_utf8clean, OP_PURE, 0, 0},
    {"xtextd", op_xtextd, OP_PURE, 0, 0},
    {0},
};
