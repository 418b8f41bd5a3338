/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A certificate taken apart (RFC 5280 4.1, 4.2), its key, its names; nothing here believes what it
 * says. */
#include "base/strbuf.h"
#include "net/tls/der.h"

#include <arpa/inet.h>

/* ---- extensions ---- */

#define OID_CE      "\x55\x1d"
#define OID_EKU     OID_CE "\x25"
#define OID_PKIX_KP "\x2b\x06\x01\x05\x05\x07\x03"

static void read_basic_constraints(struct der v, struct cert *c)
{
	struct der seq = der_enter(&v, DER_SEQ);
	struct der_item it;
	if (der_peek_is(&seq, DER_BOOL) && der_next(&seq, &it))
		c->is_ca = der_len(&it.in) == 1 && it.in.p[0] != 0;
	if (der_peek_is(&seq, DER_INT) && der_next(&seq, &it))
		c->path_len = der_len(&it.in) == 1 && it.in.p[0] < 128 ? it.in.p[0] : 127;
}

static void read_key_usage(struct der v, struct cert *c)
{
	struct der bits = der_enter(&v, DER_BITS);
	c->has_key_usage = true;
	if (!bits.bad && der_len(&bits) >= 2) {
		c->may_sign_certs = bits.p[1] & 0x04;
		c->may_sign_crls = bits.p[1] & 0x02;
	}
}

static void read_extended_key_usage(struct der v, struct cert *c)
{
	struct der seq = der_enter(&v, DER_SEQ);
	struct der_item it;
	c->has_eku = true;
	while (der_next(&seq, &it)) {
		bool any = DER_OID_IS(&it.in, OID_EKU "\x00");
		c->eku_server |= any || DER_OID_IS(&it.in, OID_PKIX_KP "\x01");
		c->eku_client |= any || DER_OID_IS(&it.in, OID_PKIX_KP "\x02");
	}
}

static void read_alt_names(struct der v, struct cert *c)
{
	c->alt_names = der_enter(&v, DER_SEQ);
	c->has_alt_names = !c->alt_names.bad;
}

static void read_aia(struct der v, struct cert *c)
{
	c->aia = der_enter(&v, DER_SEQ);
	c->has_aia = !c->aia.bad;
}

static void read_crl_points(struct der v, struct cert *c)
{
	c->crl_points = der_enter(&v, DER_SEQ);
	c->has_crl_points = !c->crl_points.bad;
}

/* Known, judged by wolfSSL or harmless. */
static void read_nothing(struct der v, struct cert *c)
{
	(void)v, (void)c;
}

static const struct {
	const char *oid;
	size_t len;
	void (*read)(struct der v, struct cert *c);
} extensions[] = {
    {OID_CE "\x13", 3, read_basic_constraints},
    {OID_CE "\x0f", 3, read_key_usage},
    {OID_CE "\x25", 3, read_extended_key_usage},
    {OID_CE "\x11", 3, read_alt_names},
    {OID_CE "\x1f", 3, read_crl_points},
    {"\x2b\x06\x01\x05\x05\x07\x01\x01", 8, read_aia},
    {OID_CE "\x1e", 3, read_nothing}, /* name constraints */
    {OID_CE "\x20", 3, read_nothing}, /* certificate policies */
    {OID_CE "\x24", 3, read_nothing}, /* policy constraints */
    {OID_CE "\x36", 3, read_nothing}, /* inhibit any-policy */
    {OID_CE "\x0e", 3, read_nothing},
    {OID_CE "\x23", 3, read_nothing},
};

static void read_extension(struct der ext, struct cert *c)
{
	struct der_item it;
	struct der oid = der_enter(&ext, DER_OID);
	bool critical = false;
	if (der_peek_is(&ext, DER_BOOL) && der_next(&ext, &it))
		critical = der_len(&it.in) == 1 && it.in.p[0] != 0;
	struct der value = der_enter(&ext, DER_OCTETS);
	for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
		if (der_oid_is(&oid, extensions[i].oid, extensions[i].len)) {
			extensions[i].read(value, c);
			return;
		}
	}
	c->unknown_critical |= critical;
}

static slice_t enter_raw(struct der *d, unsigned tag, struct der *out)
{
	struct der_item it;
	if (!der_next(d, &it) || it.tag != tag) {
		d->bad = true;
		*out = (struct der){d->p, d->p, true};
		return slice_tainted(d->p, 0);
	}
	*out = it.in;
	return slice_tainted(it.raw, it.raw_len);
}

static void read_tbs(struct der tbs, struct cert *c, bool *bad)
{
	struct der_item it;
	struct der in;
	c->version = 1;
	if (der_peek_is(&tbs, 0xa0) && der_next(&tbs, &it)) {
		struct der v = der_enter(&it.in, DER_INT);
		c->version = !v.bad && der_len(&v) == 1 ? v.p[0] + 1U : 0;
	}
	c->serial = der_enter(&tbs, DER_INT);
	(void)der_enter(&tbs, DER_SEQ);
	c->issuer_raw = enter_raw(&tbs, DER_SEQ, &c->issuer);
	in = der_enter(&tbs, DER_SEQ);
	*bad |= !der_next(&in, &c->not_before) || !der_next(&in, &c->not_after);
	c->subject_raw = enter_raw(&tbs, DER_SEQ, &c->subject);
	c->spki_raw = enter_raw(&tbs, DER_SEQ, &c->spki);
	while (der_next(&tbs, &it)) {
		if (it.tag != 0xa3)
			continue;
		struct der_item ext;
		in = der_enter(&it.in, DER_SEQ);
		while (der_next(&in, &ext))
			read_extension(ext.in, c);
		*bad |= in.bad;
	}
	*bad |= tbs.bad;
}

enum rc cert_parse(slice_t der, struct cert *out, struct error *err)
{
	struct cert c = {.path_len = -1};
	struct der d = der_of(der);
	bool bad = false;
	struct der whole = der_enter(&d, DER_SEQ);
	struct der tbs = der_enter(&whole, DER_SEQ);
	c.sig_alg = der_enter(&whole, DER_SEQ);
	c.signature = der_enter(&whole, DER_BITS);
	if (whole.bad || tbs.bad)
		return error_set(err, RC_ERROR, "this is no certificate");
	read_tbs(tbs, &c, &bad);
	if (bad || c.version < 1 || c.version > 3)
		return error_set(err, RC_ERROR, "the certificate is malformed");
	*out = c;
	return RC_OK;
}

/* ---- keys and signatures ---- */

static unsigned integer_bits(struct der n)
{
	while (n.p < n.end && *n.p == 0)
		n.p++;
	size_t bytes = der_len(&n);
	if (bytes == 0 || bytes > 4096)
		return 0;
	unsigned bits = (unsigned)bytes * 8;
	for (unsigned top = *n.p; !(top & 0x80); top <<= 1)
		bits--;
	return bits;
}

enum cert_key cert_key_kind(const struct cert *c, unsigned *out_bits)
{
	struct der spki = c->spki;
	struct der alg = der_enter(&spki, DER_SEQ);
	struct der oid = der_enter(&alg, DER_OID);
	struct der bits = der_enter(&spki, DER_BITS);
	*out_bits = 0;
	if (spki.bad || oid.bad || der_len(&bits) < 1)
		return CERT_KEY_OTHER;
	bits.p++;
	if (DER_OID_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") ||
	    DER_OID_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a")) {
		struct der key = der_enter(&bits, DER_SEQ);
		*out_bits = integer_bits(der_enter(&key, DER_INT));
		return CERT_KEY_RSA;
	}
	if (DER_OID_IS(&oid, "\x2a\x86\x48\xce\x3d\x02\x01")) {
		*out_bits = (unsigned)(der_len(&bits) / 2) * 8; /* an uncompressed point */
		return CERT_KEY_EC;
	}
	if (DER_OID_IS(&oid, "\x2b\x65\x70"))
		return CERT_KEY_ED25519;
	if (DER_OID_IS(&oid, "\x2b\x65\x71"))
		return CERT_KEY_ED448;
	return CERT_KEY_OTHER;
}

#define OID_PKCS1 "\x2a\x86\x48\x86\xf7\x0d\x01\x01"
#define OID_ECDSA "\x2a\x86\x48\xce\x3d\x04"

/* digest 0: none of its own; 1: broken */
static const struct {
	const char *oid;
	size_t len;
	const char *name;
	unsigned digest;
} signatures[] = {
    {OID_PKCS1 "\x02", 9, "RSA-MD2", 1},
    {OID_PKCS1 "\x04", 9, "RSA-MD5", 1},
    {OID_PKCS1 "\x05", 9, "RSA-SHA1", 1},
    {OID_PKCS1 "\x0b", 9, "RSA-SHA256", 256},
    {OID_PKCS1 "\x0c", 9, "RSA-SHA384", 384},
    {OID_PKCS1 "\x0d", 9, "RSA-SHA512", 512},
    {OID_PKCS1 "\x0a", 9, "RSA-PSS", 0},
    {OID_ECDSA "\x01", 7, "ECDSA-SHA1", 1},
    {OID_ECDSA "\x03\x02", 8, "ECDSA-SHA256", 256},
    {OID_ECDSA "\x03\x03", 8, "ECDSA-SHA384", 384},
    {OID_ECDSA "\x03\x04", 8, "ECDSA-SHA512", 512},
    {"\x2b\x65\x70", 3, "EdDSA-Ed25519", 0},
    {"\x2b\x65\x71", 3, "EdDSA-Ed448", 0},
};
enum { SIGNATURES = sizeof signatures / sizeof signatures[0] };

static size_t signature_row(struct der alg)
{
	struct der oid = der_enter(&alg, DER_OID);
	size_t i = 0;
	while (i < SIGNATURES && !der_oid_is(&oid, signatures[i].oid, signatures[i].len))
		i++;
	return i;
}

bool cert_signature_is_weak(const struct cert *c)
{
	size_t row = signature_row(c->sig_alg);
	return row < SIGNATURES && signatures[row].digest == 1;
}

unsigned cert_signature_digest(const struct cert *c)
{
	size_t row = signature_row(c->sig_alg);
	if (row == SIGNATURES)
		return 0;
	return signatures[row].digest == 1 ? 256 : signatures[row].digest; /* RFC 5929 4.1 */
}

/* ---- names ---- */

static const struct {
	const char *oid;
	size_t len;
	const char *name;
} attributes[] = {
    {"\x55\x04\x03", 3, "CN"},
    {"\x55\x04\x04", 3, "SN"},
    {"\x55\x04\x05", 3, "serialNumber"},
    {"\x55\x04\x06", 3, "C"},
    {"\x55\x04\x07", 3, "L"},
    {"\x55\x04\x08", 3, "ST"},
    {"\x55\x04\x09", 3, "street"},
    {"\x55\x04\x0a", 3, "O"},
    {"\x55\x04\x0b", 3, "OU"},
    {"\x55\x04\x0c", 3, "title"},
    {"\x55\x04\x11", 3, "postalCode"},
    {"\x55\x04\x2a", 3, "GN"},
    {"\x55\x04\x2e", 3, "dnQualifier"},
    {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", 10, "UID"},
    {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", 10, "DC"},
    {"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", 9, "emailAddress"},
};

const char *cert_oid_name(struct der oid, bool dn)
{
	for (size_t i = 0; dn && i < sizeof attributes / sizeof attributes[0]; i++)
		if (der_oid_is(&oid, attributes[i].oid, attributes[i].len))
			return attributes[i].name;
	for (size_t i = 0; !dn && i < SIGNATURES; i++)
		if (der_oid_is(&oid, signatures[i].oid, signatures[i].len))
			return signatures[i].name;
	return NULL;
}

/* RFC 4514 2.4; control characters by their hex pair as well, so that a name stays on its line. */
static void add_escaped(struct strbuf *sb, slice_t v)
{
	for (uint32_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.ptr[i];
		bool edge = i == 0 || i + 1 == v.len;
		if (c < ' ' || c == 0x7f)
			strbuf_printf(sb, "\\%02X", c);
		else if (strchr("\"+,;<>\\", c) || (c == ' ' && edge) || (c == '#' && i == 0))
			strbuf_printf(sb, "\\%c", c);
		else
			strbuf_add(sb, slice_tainted(v.ptr + i, 1));
	}
}

enum {
	STRING_BMP = 0x1e,
	STRING_UNIVERSAL = 0x1c,
	STRING_T61 = 0x14,
	STRING_UTF8 = 0x0c,
	STRING_NUMERIC = 0x12,
	STRING_PRINTABLE = 0x13,
	STRING_IA5 = 0x16
};

static slice_t bmp_to_utf8(struct arena *a, struct der d)
{
	struct strbuf sb;
	strbuf_init(&sb, a, 4096);
	for (; d.end - d.p >= 2; d.p += 2) {
		unsigned c = (unsigned)d.p[0] << 8 | d.p[1];
		if (c < 0x80) {
			strbuf_char(&sb, (char)c);
		} else if (c < 0x800) {
			strbuf_char(&sb, (char)(0xc0 | c >> 6));
			strbuf_char(&sb, (char)(0x80 | (c & 0x3f)));
		} else {
			strbuf_char(&sb, (char)(0xe0 | c >> 12));
			strbuf_char(&sb, (char)(0x80 | (c >> 6 & 0x3f)));
			strbuf_char(&sb, (char)(0x80 | (c & 0x3f)));
		}
	}
	slice_t s = strbuf_slice(&sb);
	return slice_tainted(s.ptr, s.len);
}

static bool is_text(unsigned tag)
{
	return tag == STRING_UTF8 || tag == STRING_PRINTABLE || tag == STRING_IA5 ||
	       tag == STRING_NUMERIC || tag == STRING_T61 || tag == STRING_BMP;
}

static void add_raw(struct strbuf *sb, const struct der_item *v)
{
	strbuf_char(sb, '#');
	for (size_t i = 0; i < v->raw_len; i++)
		strbuf_printf(sb, "%02X", v->raw[i]);
}

slice_t cert_string_text(struct arena *a, const struct der_item *v)
{
	struct strbuf sb;
	if (is_text(v->tag))
		return v->tag == STRING_BMP ? bmp_to_utf8(a, v->in) : der_slice(&v->in);
	strbuf_init(&sb, a, 64 << 10);
	add_raw(&sb, v);
	slice_t s = strbuf_slice(&sb);
	return slice_tainted(s.ptr, s.len);
}

static void add_attribute(struct arena *a, struct strbuf *sb, struct der pair)
{
	struct der oid = der_enter(&pair, DER_OID);
	struct der_item v;
	const char *name = cert_oid_name(oid, true);
	if (pair.bad || !der_next(&pair, &v))
		return;
	if (name)
		strbuf_text(sb, name);
	else
		strbuf_add(sb, der_oid_text(a, oid));
	strbuf_char(sb, '=');
	if (is_text(v.tag) && name)
		add_escaped(sb, cert_string_text(a, &v));
	else
		add_raw(sb, &v);
}

/* The escapes are RFC 4514's; the order is the certificate's, as Debian's exim4 has it (RFC 4514
 * would turn it round). */
slice_t cert_name_text(struct arena *a, struct der name)
{
	struct strbuf sb;
	struct der_item set, pair;
	strbuf_init(&sb, a, 64 << 10);
	while (der_next(&name, &set)) {
		if (set.tag != DER_SET)
			continue;
		if (sb.len)
			strbuf_char(&sb, ',');
		for (bool first = true; der_next(&set.in, &pair); first = false) {
			if (!first)
				strbuf_char(&sb, '+');
			add_attribute(a, &sb, pair.in);
		}
	}
	slice_t s = strbuf_slice(&sb);
	return slice_tainted(s.ptr, s.len);
}

/* ---- whom it is for ---- */

enum { NAME_MAIL = 0x81, NAME_DNS = 0x82, NAME_URI = 0x86, NAME_IP = 0x87 };

/* A NUL that is a character; the wide forms have them as bytes. */
static bool string_has_nul(const struct der_item *v)
{
	size_t width = v->tag == STRING_BMP ? 2 : v->tag == STRING_UNIVERSAL ? 4 : 1;
	static const unsigned char nul[4] = {0};
	for (size_t i = 0; i + width <= der_len(&v->in); i += width)
		if (memcmp(v->in.p + i, nul, width) == 0)
			return true;
	return false;
}

static bool subject_has_nul(struct der name)
{
	struct der_item set, pair, v;
	while (der_next(&name, &set)) {
		while (der_next(&set.in, &pair)) {
			(void)der_enter(&pair.in, DER_OID);
			if (der_next(&pair.in, &v) && string_has_nul(&v))
				return true;
		}
	}
	return false;
}

bool cert_name_has_nul(const struct cert *c)
{
	struct der names = c->alt_names;
	struct der_item it;
	while (c->has_alt_names && der_next(&names, &it)) {
		bool text = it.tag == NAME_MAIL || it.tag == NAME_DNS || it.tag == NAME_URI;
		if (text && string_has_nul(&it))
			return true;
	}
	return subject_has_nul(c->subject);
}

/* "*.example.org" covers one label, and never a name of one or two. */
static bool host_matches(slice_t pattern, slice_t host)
{
	if (pattern.len && memchr(pattern.ptr, 0, pattern.len))
		return false;
	if (slice_eqi(pattern, host))
		return true;
	if (!slice_starts(pattern, "*."))
		return false;
	size_t dot = slice_find(host, '.');
	if (dot == SIZE_MAX || dot == 0)
		return false;
	slice_t tail = slice_sub(pattern, 1, pattern.len);
	return slice_find(slice_sub(tail, 1, tail.len), '.') != SIZE_MAX &&
	       slice_eqi(tail, slice_sub(host, dot, host.len));
}

/* Bytes of an address that is written out; 0: it is a name. */
static size_t address_of(slice_t host, unsigned char bin[16])
{
	char text[64];
	if (!slice_copy(host, text, sizeof text))
		return 0;
	return inet_pton(AF_INET, text, bin) == 1    ? 4
	       : inet_pton(AF_INET6, text, bin) == 1 ? 16
	                                             : 0;
}

static bool common_name_matches(struct der name, slice_t host)
{
	struct der_item set, pair, v;
	slice_t last = slice_absent();
	while (der_next(&name, &set)) {
		while (der_next(&set.in, &pair)) {
			struct der oid = der_enter(&pair.in, DER_OID);
			if (DER_OID_IS(&oid, "\x55\x04\x03") && der_next(&pair.in, &v))
				last = der_slice(&v.in);
		}
	}
	return !slice_is_absent(last) && host_matches(last, host);
}

/* "*.0.0.1" is no name of 127.0.0.1: an address is only in an iPAddress (RFC 6125 1.7.2). */
bool cert_is_for(const struct cert *c, slice_t host)
{
	struct der names = c->alt_names;
	struct der_item it;
	unsigned char address[16];
	bool any = false;
	if (host.len && host.ptr[host.len - 1] == '.')
		host.len--;
	size_t size = address_of(host, address);
	while (c->has_alt_names && der_next(&names, &it)) {
		any |= it.tag == NAME_DNS || it.tag == NAME_URI || it.tag == NAME_IP;
		if (size ? it.tag == NAME_IP && der_len(&it.in) == size &&
		               memcmp(it.in.p, address, size) == 0
		         : it.tag == NAME_DNS && host_matches(der_slice(&it.in), host))
			return true;
	}
	return !any && !size && common_name_matches(c->subject, host);
}
