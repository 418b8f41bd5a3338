/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fields of ${certextract}: a row says how one becomes a text; its options follow the name,
 * separated by commas. */
#include "net/tls/cert.h"

#include "base/strbuf.h"
#include "net/tls/der.h"

#include <time.h>

enum { FIELD_TEXT_MAX = 4 << 20 };

struct field_options {
	slice_t word; /* the last one that is no separator; ABSENT: none */
	char sep;
};
typedef enum rc field_fn(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out);

static enum rc none(slice_t *out)
{
	*out = SL("");
	return RC_FAIL;
}

static enum rc text_of(struct strbuf *sb, slice_t *out)
{
	slice_t s = strbuf_slice(sb);
	*out = slice_tainted(s.ptr, s.len);
	return strbuf_is_overfull(sb) ? RC_ERROR : RC_OK;
}

static void add_hex(struct strbuf *sb, struct der d, bool space)
{
	for (; d.p < d.end; d.p++)
		strbuf_printf(sb, "%s%02x", space && sb->len ? " " : "", *d.p);
}

/* A list's element, its separators doubled.  One with a NUL would be read as another than it is:
 * left out. */
static void add_element(struct strbuf *sb, char sep, const char *tag, slice_t text, unsigned *count)
{
	if (text.len == 0 || memchr(text.ptr, 0, text.len))
		return;
	if ((*count)++)
		strbuf_char(sb, sep);
	strbuf_text(sb, tag);
	for (uint32_t i = 0; i < text.len; i++) {
		strbuf_add(sb, slice_sub(text, i, 1));
		if (text.ptr[i] == sep)
			strbuf_char(sb, sep);
	}
}

static enum rc field_version(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	(void)o;
	*out = arena_printf(a, "%u", c->version);
	return RC_OK;
}

static enum rc field_serial(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	struct strbuf sb;
	struct der d = c->serial;
	(void)o;
	strbuf_init(&sb, a, FIELD_TEXT_MAX);
	while (der_len(&d) > 1 && *d.p == 0)
		d.p++;
	add_hex(&sb, d, false);
	return text_of(&sb, out);
}

/* The values of one type of RDN, or the whole name. */
static enum rc field_name(
    struct arena *a, struct der name, const struct field_options *o, slice_t *out)
{
	struct der_item set, pair, v;
	struct strbuf sb;
	unsigned count = 0;
	if (slice_is_absent(o->word)) {
		*out = cert_name_text(a, name);
		return out->len ? RC_OK : RC_FAIL;
	}
	strbuf_init(&sb, a, FIELD_TEXT_MAX);
	while (der_next(&name, &set)) {
		while (der_next(&set.in, &pair)) {
			struct der oid = der_enter(&pair.in, DER_OID);
			const char *label = cert_oid_name(oid, true);
			bool is_it = label ? slice_eqis(o->word, label)
			                   : slice_eq(o->word, der_oid_text(a, oid));
			if (is_it && der_next(&pair.in, &v))
				add_element(&sb, o->sep, "", cert_string_text(a, &v), &count);
		}
	}
	return count ? text_of(&sb, out) : none(out);
}

static enum rc field_subject(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	return field_name(a, c->subject, o, out);
}

static enum rc field_issuer(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	return field_name(a, c->issuer, o, out);
}

static enum rc field_time(
    struct arena *a, const struct der_item *it, const struct field_options *o, slice_t *out)
{
	int64_t when;
	if (slice_eqs(o->word, "raw")) {
		*out = arena_dup(a, der_slice(&it->in));
		return RC_OK;
	}
	if (!der_time(it, &when))
		return none(out);
	if (slice_eqs(o->word, "int")) {
		*out = arena_printf(a, "%lld", (long long)when);
		return RC_OK;
	}
	struct tm tm;
	time_t t = (time_t)when;
	char *text = arena_bytes(a, 64);
	if (!localtime_r(&t, &tm))
		return none(out);
	if (tm.tm_gmtoff == 0 && strcmp(tm.tm_zone, "UTC") == 0)
		(void)gmtime_r(&t, &tm); /* which is called GMT, as Exim has it */
	*out = slice_of(text, strftime(text, 64, "%b %e %T %Y %Z", &tm), HEDDLE_CLEAN);
	return RC_OK;
}

static enum rc field_notbefore(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	return field_time(a, &c->not_before, o, out);
}

static enum rc field_notafter(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	return field_time(a, &c->not_after, o, out);
}

static enum rc field_sig_algorithm(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	struct der alg = c->sig_alg, oid = der_enter(&alg, DER_OID);
	const char *name = cert_oid_name(oid, false);
	(void)o;
	*out = name ? slice_cstr(name) : der_oid_text(a, oid);
	return RC_OK;
}

static enum rc field_signature(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	struct strbuf sb;
	struct der d = c->signature;
	(void)o;
	if (der_len(&d) < 2)
		return none(out);
	d.p++; /* unused bits: none */
	strbuf_init(&sb, a, FIELD_TEXT_MAX);
	add_hex(&sb, d, true);
	return text_of(&sb, out);
}

/* ---- lists ---- */

enum { NAME_MAIL = 0x81, NAME_DNS = 0x82, NAME_URI = 0x86 };
static const struct {
	unsigned tag;
	const char *word, *label;
} alt_kinds[] = {
    {NAME_DNS, "dns", "DNS="}, {NAME_URI, "uri", "URI="}, {NAME_MAIL, "mail", "MAIL="}};
enum { ALT_KINDS = sizeof alt_kinds / sizeof alt_kinds[0] };

static enum rc field_subj_altname(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	struct der names = c->alt_names;
	struct der_item it;
	struct strbuf sb;
	unsigned count = 0;
	if (!c->has_alt_names)
		return none(out);
	strbuf_init(&sb, a, FIELD_TEXT_MAX);
	while (der_next(&names, &it)) {
		for (size_t i = 0; i < ALT_KINDS; i++) {
			bool all = slice_is_absent(o->word);
			if (it.tag == alt_kinds[i].tag &&
			    (all || slice_eqs(o->word, alt_kinds[i].word)))
				add_element(&sb, o->sep, all ? alt_kinds[i].label : "",
				    der_slice(&it.in), &count);
		}
	}
	return count ? text_of(&sb, out) : none(out);
}

static enum rc field_ocsp_uri(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	struct der list = c->aia;
	struct der_item access, where;
	struct strbuf sb;
	unsigned count = 0;
	strbuf_init(&sb, a, FIELD_TEXT_MAX);
	while (c->has_aia && der_next(&list, &access)) {
		struct der method = der_enter(&access.in, DER_OID);
		if (DER_OID_IS(&method, "\x2b\x06\x01\x05\x05\x07\x30\x01") &&
		    der_next(&access.in, &where) && where.tag == NAME_URI)
			add_element(&sb, o->sep, "", der_slice(&where.in), &count);
	}
	return count ? text_of(&sb, out) : none(out);
}

static enum rc field_crl_uri(
    struct arena *a, const struct cert *c, const struct field_options *o, slice_t *out)
{
	struct der list = c->crl_points;
	struct der_item point, name;
	struct strbuf sb;
	unsigned count = 0;
	enum { POINT = 0xa0, FULL_NAME = 0xa0 };
	strbuf_init(&sb, a, FIELD_TEXT_MAX);
	while (c->has_crl_points && der_next(&list, &point)) {
		struct der names = der_enter(&point.in, POINT);
		names = der_enter(&names, FULL_NAME);
		while (der_next(&names, &name))
			if (name.tag == NAME_URI)
				add_element(&sb, o->sep, "", der_slice(&name.in), &count);
	}
	return count ? text_of(&sb, out) : none(out);
}

/* ---- rows ---- */

enum { O_RDN = 1, O_TIME = 2, O_ALT = 4, O_SEP = 8 };
static const struct field_row {
	const char *name;
	field_fn *fn;
	unsigned options;
} fields[] = {
    {"version", field_version, 0},
    {"serial_number", field_serial, 0},
    {"subject", field_subject, O_RDN | O_SEP},
    {"issuer", field_issuer, O_RDN | O_SEP},
    {"notbefore", field_notbefore, O_TIME},
    {"notafter", field_notafter, O_TIME},
    {"sig_algorithm", field_sig_algorithm, 0},
    {"signature", field_signature, 0},
    {"subj_altname", field_subj_altname, O_ALT | O_SEP},
    {"ocsp_uri", field_ocsp_uri, O_SEP},
    {"crl_uri", field_crl_uri, O_SEP},
};

static bool is_alt_word(slice_t w)
{
	bool is_one = false;
	for (size_t i = 0; i < ALT_KINDS; i++)
		is_one |= slice_eqs(w, alt_kinds[i].word);
	return is_one;
}

static bool word_fits(unsigned options, slice_t w)
{
	if (options & O_RDN)
		return w.len > 0;
	if (options & O_ALT)
		return is_alt_word(w);
	return options & O_TIME && (slice_eqs(w, "int") || slice_eqs(w, "raw"));
}

/* "name,option,>;": *out_row and *o. */
static enum rc parse_field(
    slice_t field, const struct field_row **out_row, struct field_options *o, struct error *err)
{
	size_t i = 0, rows = sizeof fields / sizeof fields[0];
	field = slice_trim(field);
	size_t comma = slice_find(field, ',');
	slice_t name = slice_trim(slice_sub(field, 0, comma == SIZE_MAX ? field.len : comma));
	slice_t rest = comma == SIZE_MAX ? SL("") : slice_sub(field, comma + 1, field.len);
	while (i < rows && !slice_eqs(name, fields[i].name))
		i++;
	if (i == rows)
		return error_set(
		    err, RC_ERROR, "bad field selector \"%.*s\" for certextract", SL_ARG(name));
	*o = (struct field_options){.word = slice_absent(), .sep = '\n'};
	while (rest.len) {
		while (rest.len && ascii_isspace(rest.ptr[0]))
			rest = slice_sub(rest, 1, rest.len);
		size_t n = slice_find(rest, ',');
		if (rest.len >= 2 && rest.ptr[0] == '>' && fields[i].options & O_SEP) {
			o->sep = rest.ptr[1];
			n = slice_find(slice_sub(rest, 2, rest.len), ',');
			n += n == SIZE_MAX ? 0 : 2;
		} else {
			slice_t word = slice_trim(slice_sub(rest, 0, n == SIZE_MAX ? rest.len : n));
			if (word.len && !word_fits(fields[i].options, word))
				return error_set(err, RC_ERROR,
				    "bad option \"%.*s\" of field \"%s\" for certextract",
				    SL_ARG(word), fields[i].name);
			if (word.len)
				o->word = word;
		}
		rest = n == SIZE_MAX ? SL("") : slice_sub(rest, n + 1, rest.len);
	}
	*out_row = &fields[i];
	return RC_OK;
}

enum rc tls_cert_check_field(slice_t field, struct error *err)
{
	const struct field_row *row;
	struct field_options o;
	return parse_field(field, &row, &o, err);
}

enum rc tls_cert_field(struct arena *a, slice_t der, slice_t field, slice_t *out, struct error *err)
{
	const struct field_row *row;
	struct field_options o;
	struct cert c;
	slice_t text;
	enum rc rc = parse_field(field, &row, &o, err);
	if (rc == RC_OK)
		rc = cert_parse(der, &c, err);
	if (rc != RC_OK)
		return rc;
	rc = row->fn(a, &c, &o, &text);
	if (rc == RC_OK)
		*out = slice_tainted(text.ptr, text.len);
	else if (rc == RC_FAIL)
		(void)error_set(err, rc, "the certificate has no %s", row->name);
	else
		(void)error_set(err, rc, "the certificate's %s is too long", row->name);
	return rc;
}
