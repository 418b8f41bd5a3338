/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parameters of MAIL and RCPT: taking them off, those of DSN (RFC 3461), and what an address
 * may be written in. */
#include "smtp/server_private.h"

#include <heddle/transport.h>

#define ENVID_MAX 100 /* RFC 3461 4.4 */
#define ORCPT_MAX 500 /* RFC 3461 4.2 */

bool params_take(struct run *r, slice_t *text, param_fn *take, void *out)
{
	while (r->s->esmtp) {
		size_t sp = slice_rfind(*text, ' ');
		if (sp == SIZE_MAX)
			break;
		slice_t word = slice_sub(*text, sp + 1, text->len), name = word,
		        value = slice_absent();
		size_t eq = slice_find(word, '=');
		if (eq != SIZE_MAX) {
			name = slice_sub(word, 0, eq);
			value = slice_sub(word, eq + 1, word.len);
		}
		enum param p = take(r, name, value, out);
		if (p == PARAM_BAD)
			return false;
		if (p == PARAM_UNKNOWN)
			break;
		*text = slice_trim(slice_sub(*text, 0, sp));
	}
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	                              : -1;
}

bool xtext_decode(struct arena *a, slice_t in, slice_t *out)
{
	char *p = arena_bytes(a, in.len + 1u);
	size_t n = 0;
	for (uint32_t i = 0; i < in.len; i++) {
		if (in.ptr[i] != '+') {
			p[n++] = in.ptr[i];
			continue;
		}
		if (i + 2 >= in.len || hex_digit(in.ptr[i + 1]) < 0 || hex_digit(in.ptr[i + 2]) < 0)
			return false;
		p[n++] = (char)(hex_digit(in.ptr[i + 1]) * 16 + hex_digit(in.ptr[i + 2]));
		i += 2;
	}
	*out = slice_tainted(p, n);
	return true;
}

/* As it came it goes into reports and on to other servers: nothing but xtext may. */
static bool is_xtext(struct arena *a, slice_t s, size_t max)
{
	slice_t decoded;
	if (!s.len || s.len > max)
		return false;
	for (uint32_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '=')
			return false;
	return xtext_decode(a, s, &decoded);
}

/* "rfc822;user@example", or with another type; utf-8 addresses (RFC 6533) are xtext too */
static bool is_orcpt(struct arena *a, slice_t s)
{
	size_t semi = slice_find(s, ';');
	if (semi == SIZE_MAX || !semi)
		return false;
	for (size_t i = 0; i < semi; i++)
		if (!ascii_isalnum(s.ptr[i]) && s.ptr[i] != '-')
			return false;
	return is_xtext(a, slice_sub(s, semi + 1, s.len), ORCPT_MAX);
}

static enum param bad(struct run *r, const char *text)
{
	synprot_error(r, false, 501, slice_cstr(text));
	return PARAM_BAD;
}

void dsn_params_clear(struct dsn_params *p)
{
	*p = (struct dsn_params){
	    .ret = slice_absent(), .envid = slice_absent(), .orcpt = slice_absent()};
}

enum param dsn_mail_param(struct run *r, slice_t name, slice_t value, struct dsn_params *out)
{
	if (slice_eqis(name, "RET")) {
		if (!slice_is_absent(out->ret))
			return bad(r, "RET can be specified once only");
		out->ret = slice_eqis(value, "HDRS")   ? SL("HDRS")
		           : slice_eqis(value, "FULL") ? SL("FULL")
		                                       : slice_absent();
		return slice_is_absent(out->ret) ? bad(r, "Value for RET is invalid") : PARAM_TAKEN;
	}
	if (slice_eqis(name, "ENVID")) {
		if (!slice_is_absent(out->envid))
			return bad(r, "ENVID can be specified once only");
		if (slice_is_absent(value) || !is_xtext(r->scratch, value, ENVID_MAX))
			return bad(r, "Value for ENVID is invalid");
		out->envid = value;
		return PARAM_TAKEN;
	}
	return PARAM_UNKNOWN;
}

static bool parse_notify(slice_t list, uint32_t *out)
{
	static const struct {
		const char *word;
		uint32_t bit;
	} words[] = {{"NEVER", HEDDLE_DSN_NEVER}, {"SUCCESS", HEDDLE_DSN_SUCCESS},
	    {"FAILURE", HEDDLE_DSN_FAILURE}, {"DELAY", HEDDLE_DSN_DELAY}};
	slice_t rest = list, word;
	*out = 0;
	while (slice_next(&rest, ',', &word)) {
		uint32_t bit = 0;
		for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
			if (slice_eqis(word, words[i].word))
				bit = words[i].bit;
		if (!bit)
			return false;
		*out |= bit;
	}
	return *out && (!(*out & HEDDLE_DSN_NEVER) || *out == HEDDLE_DSN_NEVER);
}

enum param dsn_rcpt_param(struct run *r, slice_t name, slice_t value, struct dsn_params *out)
{
	if (slice_eqis(name, "NOTIFY")) {
		if (out->notify)
			return bad(r, "NOTIFY can be specified once only");
		if (slice_is_absent(value) || !parse_notify(value, &out->notify))
			return bad(r, "Invalid value for NOTIFY parameter");
		return PARAM_TAKEN;
	}
	if (slice_eqis(name, "ORCPT")) {
		if (!slice_is_absent(out->orcpt))
			return bad(r, "ORCPT can be specified once only");
		if (slice_is_absent(value) || !is_orcpt(r->scratch, value))
			return bad(r, "Invalid value for ORCPT parameter");
		out->orcpt = value;
		return PARAM_TAKEN;
	}
	return PARAM_UNKNOWN;
}

/* ---- RFC 6531 ---- */

/* Length of the UTF-8 character at i, 0: it is none (overlong, surrogate, past the end). */
static uint32_t utf8_length(slice_t s, uint32_t i)
{
	const unsigned char *p = (const unsigned char *)s.ptr + i;
	uint32_t n = p[0] < 0x80                   ? 1
	             : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
	             : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
	             : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
	                                           : 0;
	if (!n || i + n > s.len)
		return 0;
	for (uint32_t k = 1; k < n; k++)
		if ((p[k] & 0xc0) != 0x80)
			return 0;
	if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)))
		return 0;
	if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)))
		return 0;
	return n;
}

bool address_charset_ok(struct run *r, slice_t address, bool utf8)
{
	uint32_t i = 0, n;
	while (i < address.len && (unsigned char)address.ptr[i] < 0x80)
		i++;
	if (i == address.len)
		return true;
	slice_t local, domain;
	bool only_domain = address_split(address, &local, &domain) && i > local.len;
	if (!utf8 && !(only_domain && config_bool(r->s->cfg, MO_allow_utf8_domains))) {
		slice_t why = SL("SMTPUTF8 is needed for an address outside ASCII");
		synprot_error_told(r, false, 553, why,
		    arena_printf(r->scratch, "<%.*s>: %.*s", SL_ARG(address), SL_ARG(why)));
		return false;
	}
	while (i < address.len && (n = utf8_length(address, i)) != 0)
		i += n;
	if (i == address.len)
		return true;
	synprot_error(r, false, 501, SL("the address is not in UTF-8"));
	return false;
}
