/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * International names: the A-label forms of domains (IDNA 2008, by libidn2) and of local parts
 * (Punycode, RFC 3492, of the whole of it), and the names of IMAP folders in modified UTF-7 (RFC
 * 3501 5.1.3) as Maildirs have them.
 */
#include "expand/text.h"

#include <idn2.h>
#include <stdlib.h>

static slice_t shown(struct eval *ev, slice_t in)
{
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, 0);
	for (uint32_t i = 0; i < in.len && i < 200; i++) {
		unsigned char c = (unsigned char)in.ptr[i];
		if (c >= 32 && c < 127)
			strbuf_char(&sb, in.ptr[i]);
		else
			strbuf_printf(&sb, "\\%03o", c);
	}
	return strbuf_slice(&sb);
}

static enum rc no_alabel(struct eval *ev, slice_t in, const char *why, struct error *err)
{
	slice_t s = shown(ev, in);
	return error_set(
	    err, RC_ERROR, "error converting utf8 (%.*s) to alabel: %s", SL_ARG(s), why);
}

static enum rc no_utf8(struct eval *ev, slice_t in, const char *why, struct error *err)
{
	slice_t s = shown(ev, in);
	return error_set(
	    err, RC_ERROR, "error converting alabel (%.*s) to utf8: %s", SL_ARG(s), why);
}

static bool is_ascii(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] > 127)
			return false;
	return true;
}

/* ---- domains ---- */

static slice_t take_c_text(struct eval *ev, char *text, slice_t like)
{
	slice_t out = with_flags(arena_dup(ev->arena, slice_cstr(text)), like);
	idn2_free(text);
	return out;
}

static enum rc op_domain_to(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	char *text = NULL;
	*out = in;
	if (is_ascii(in))
		return RC_OK;
	if (memchr(in.ptr, '\0', in.len))
		return no_alabel(ev, in, "NUL character", err);
	int rc = idn2_to_ascii_8z(
	    arena_cstr(ev->arena, in), &text, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK)
		return no_alabel(ev, in, idn2_strerror(rc), err);
	*out = take_c_text(ev, text, in);
	return RC_OK;
}

static enum rc op_domain_from(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	char *text = NULL;
	*out = in;
	if (slice_search(in, SL("xn--")) == SIZE_MAX)
		return RC_OK;
	if (memchr(in.ptr, '\0', in.len))
		return no_utf8(ev, in, "NUL character", err);
	int rc = idn2_to_unicode_8z8z(arena_cstr(ev->arena, in), &text, 0);
	if (rc != IDN2_OK)
		return no_utf8(ev, in, "Invalid input", err);
	*out = take_c_text(ev, text, in);
	return RC_OK;
}

/* ---- Punycode ---- */

enum {
	BASE = 36,
	TMIN = 1,
	TMAX = 26,
	SKEW = 38,
	DAMP = 700,
	BIAS = 72,
	FIRST = 128,
	LOCAL_MAX = 4096
};

static uint32_t adapt(uint32_t delta, uint32_t count, bool first)
{
	uint32_t k = 0;
	delta = first ? delta / DAMP : delta / 2;
	delta += delta / count;
	for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
		delta /= BASE - TMIN;
	return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static uint32_t threshold(uint32_t k, uint32_t bias)
{
	return k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
}

static void add_variable(struct strbuf *sb, uint32_t q, uint32_t bias)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	for (uint32_t k = BASE;; k += BASE) {
		uint32_t t = threshold(k, bias);
		if (q < t)
			break;
		strbuf_char(sb, digits[t + (q - t) % (BASE - t)]);
		q = (q - t) / (BASE - t);
	}
	strbuf_char(sb, digits[q]);
}

/* RFC 3492 6.3; false: a delta overflowed. */
static bool puny_encode(struct strbuf *sb, const uint32_t *code, uint32_t count)
{
	uint32_t basic = 0, n = FIRST, bias = BIAS, delta = 0;
	for (uint32_t i = 0; i < count; i++)
		if (code[i] < FIRST) {
			strbuf_char(sb, (char)code[i]);
			basic++;
		}
	if (basic)
		strbuf_char(sb, '-');
	for (uint32_t done = basic; done < count; n++, delta++) {
		uint32_t least = UINT32_MAX;
		for (uint32_t i = 0; i < count; i++)
			if (code[i] >= n && code[i] < least)
				least = code[i];
		if (least - n > (UINT32_MAX - delta) / (done + 1))
			return false;
		delta += (least - n) * (done + 1);
		n = least;
		for (uint32_t i = 0; i < count; i++) {
			if (code[i] < n)
				delta++;
			if (code[i] != n)
				continue;
			add_variable(sb, delta, bias);
			bias = adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
	}
	return true;
}

/* One generalised integer of RFC 3492 6.2; false: it is malformed. */
static bool take_variable(slice_t *in, uint32_t bias, uint32_t *at)
{
	uint32_t w = 1;
	for (uint32_t k = BASE;; k += BASE) {
		if (!in->len)
			return false;
		char c = ascii_lower(in->ptr[0]);
		uint32_t digit = ascii_isdigit(c) ? (uint32_t)(c - '0') + 26 : (uint32_t)(c - 'a');
		uint32_t t = threshold(k, bias);
		if ((!ascii_isalnum(c)) || digit > (UINT32_MAX - *at) / w)
			return false;
		*at += digit * w;
		*in = slice_sub(*in, 1, in->len);
		if (digit < t)
			return true;
		if (w > UINT32_MAX / (BASE - t))
			return false;
		w *= BASE - t;
	}
}

/* false: malformed.  code has room for as many as `in` has bytes. */
static bool puny_decode(slice_t in, uint32_t *code, uint32_t *out_count)
{
	size_t dash = slice_rfind(in, '-');
	uint32_t count = 0, n = FIRST, bias = BIAS, at = 0;
	for (; dash != SIZE_MAX && count < dash; count++)
		code[count] = (unsigned char)in.ptr[count];
	in = slice_sub(in, dash == SIZE_MAX ? 0 : dash + 1, in.len);
	while (in.len) {
		uint32_t was = at;
		if (!take_variable(&in, bias, &at))
			return false;
		count++;
		bias = adapt(at - was, count, was == 0);
		if (at / count > UINT32_MAX - n)
			return false;
		n += at / count;
		at %= count;
		if (n > 0x10ffff || (n >= 0xd800 && n < 0xe000))
			return false;
		memmove(code + at + 1, code + at, (count - 1 - at) * sizeof *code);
		code[at++] = n;
	}
	*out_count = count;
	return true;
}

static uint32_t *decode_utf8(struct eval *ev, slice_t in, uint32_t *count)
{
	uint32_t *code = ARENA_ARRAY(ev->arena, uint32_t, (size_t)in.len + 1);
	*count = 0;
	for (uint32_t i = 0; i < in.len;) {
		uint32_t len = text_utf8_char(in, i, &code[*count]);
		if (!len)
			return NULL;
		(*count)++;
		i += len;
	}
	return code;
}

static void add_utf8(struct strbuf *sb, uint32_t c)
{
	if (c < 0x80) {
		strbuf_char(sb, (char)c);
		return;
	}
	if (c < 0x800) {
		strbuf_char(sb, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			strbuf_char(sb, (char)(0xe0 | c >> 12));
		} else {
			strbuf_char(sb, (char)(0xf0 | c >> 18));
			strbuf_char(sb, (char)(0x80 | (c >> 12 & 63)));
		}
		strbuf_char(sb, (char)(0x80 | (c >> 6 & 63)));
	}
	strbuf_char(sb, (char)(0x80 | (c & 63)));
}

static enum rc op_local_to(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	uint32_t count = 0;
	struct strbuf sb;
	*out = in;
	if (is_ascii(in))
		return RC_OK;
	const uint32_t *code = in.len <= LOCAL_MAX ? decode_utf8(ev, in, &count) : NULL;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	strbuf_text(&sb, "xn--");
	if (!code || !puny_encode(&sb, code, count))
		return no_alabel(ev, in, "l_u2a: bad UTF-8 input", err);
	*out = with_flags(strbuf_slice(&sb), in);
	return RC_OK;
}

static enum rc op_local_from(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	uint32_t count = 0;
	struct strbuf sb;
	if (!slice_starts(in, "xn--"))
		return no_utf8(ev, in, "bad alabel prefix", err);
	slice_t rest = slice_sub(in, 4, in.len);
	uint32_t *code = ARENA_ARRAY(ev->arena, uint32_t, (size_t)rest.len + 1);
	if (rest.len > LOCAL_MAX || !is_ascii(rest) || !puny_decode(rest, code, &count))
		return no_utf8(ev, in, "Invalid input", err);
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	for (uint32_t i = 0; i < count; i++)
		add_utf8(&sb, code[i]);
	*out = with_flags(strbuf_slice(&sb), in);
	return RC_OK;
}

const struct op_row op_rows_intl[] = {
    {"utf8_domain_from_alabel", op_domain_from, OP_PURE, 0, 0},
    {"utf8_domain_to_alabel", op_domain_to, OP_PURE, 0, 0},
    {"utf8_localpart_from_alabel", op_local_from, OP_PURE, 0, 0},
    {"utf8_localpart_to_alabel", op_local_to, OP_PURE, 0, 0},
    {0},
};

/* ---- imapfolder ---- */

struct utf7 {
	struct strbuf sb;
	uint32_t bits, have; /* not yet written */
	bool open;           /* within "&...-" */
};
static const char utf7_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static void utf7_unit(struct utf7 *u, uint32_t unit)
{
	if (!u->open)
		strbuf_char(&u->sb, '&');
	u->open = true;
	u->bits = u->bits << 16 | unit;
	for (u->have += 16; u->have >= 6; u->have -= 6)
		strbuf_char(&u->sb, utf7_digits[u->bits >> (u->have - 6) & 63]);
	u->bits &= (1U << u->have) - 1;
}

static void utf7_close(struct utf7 *u)
{
	if (!u->open)
		return;
	if (u->have)
		strbuf_char(&u->sb, utf7_digits[u->bits << (6 - u->have) & 63]);
	strbuf_char(&u->sb, '-');
	u->open = false;
	u->bits = u->have = 0;
}

/* Into the folder's name; false: the character may not stand in one. */
static bool utf7_add(struct utf7 *u, uint32_t c, char sep, slice_t specials)
{
	bool special = c < 128 && slice_find(specials, (char)c) != SIZE_MAX;
	if (c == (unsigned char)sep || (c >= 32 && c < 127 && !special)) {
		if (c != (unsigned char)sep && (c == '.' || c == '/'))
			return false;
		utf7_close(u);
		strbuf_char(&u->sb, c == (unsigned char)sep ? '.' : (char)c);
		if (c == '&')
			strbuf_char(&u->sb, '-');
		return true;
	}
	if (c > 0xffff) {
		utf7_unit(u, 0xd800 + ((c - 0x10000) >> 10));
		utf7_unit(u, 0xdc00 + ((c - 0x10000) & 0x3ff));
	} else {
		utf7_unit(u, c);
	}
	return true;
}

static enum rc item_imapfolder(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[3] = {SL(""), SL("/"), SL("")};
	enum rc rc = eval_args(ev, n, args, n->arg_count, err);
	if (rc != RC_OK)
		return rc;
	if (args[1].len != 1)
		return error_set(err, RC_ERROR,
		    "IMAP folder separator must be one character, found \"%.*s\"", SL_ARG(args[1]));
	uint32_t count = 0;
	const uint32_t *code = decode_utf8(ev, args[0], &count);
	if (!code)
		return error_set(err, RC_ERROR,
		    "imapfolder: iconv() failed to convert from UTF-8: Invalid or incomplete "
		    "multibyte or wide character");
	struct utf7 u = {.open = false};
	strbuf_init(&u.sb, ev->arena, EVAL_TEXT_MAX);
	for (uint32_t i = 0; i < count; i++)
		if (!utf7_add(&u, code[i], args[1].ptr[0], args[2]))
			return error_set(
			    err, RC_ERROR, "imapfolder: illegal character '%c'", (char)code[i]);
	utf7_close(&u);
	rc = text_done(&u.sb, out, err);
	if (rc == RC_OK)
		*out = with_flags(*out, args[0].len ? args[0] : SL(""));
	return rc;
}

const struct item_row item_rows_intl[] = {
    {.name = "imapfolder", .eval = item_imapfolder, .min = 1, .max = 3, .pure = true},
    {0},
};
