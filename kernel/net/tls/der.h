/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net/tls/der: DER (X.690) as far as certificates, revocation lists and keys need it; private to
 * this module. Foreign bytes: every length is checked against what is there.
 */
#ifndef HEDDLE_NET_TLS_DER_H
#define HEDDLE_NET_TLS_DER_H
#include "base/arena.h"

struct der {
	const unsigned char *p, *end;
	bool bad; /* sticks */
};
struct der_item {
	unsigned tag;
	struct der in;            /* the content */
	const unsigned char *raw; /* the whole element */
	size_t raw_len;
};
enum {
	DER_BOOL = 0x01,
	DER_INT = 0x02,
	DER_BITS = 0x03,
	DER_OCTETS = 0x04,
	DER_NULL = 0x05,
	DER_OID = 0x06,
	DER_ENUM = 0x0a,
	DER_UTC = 0x17,
	DER_GENERAL_TIME = 0x18,
	DER_SEQ = 0x30,
	DER_SET = 0x31,
};

struct der der_of(slice_t bytes);
static inline bool der_more(const struct der *d)
{
	return !d->bad && d->p < d->end;
}
static inline size_t der_len(const struct der *d)
{
	return (size_t)(d->end - d->p);
}
slice_t der_slice(const struct der *d); /* tainted */
/* The next element; false: there is none, or it does not fit (then d->bad). */
bool der_next(struct der *d, struct der_item *out);
/* The next one must have this tag, else d->bad. */
struct der der_enter(struct der *d, unsigned tag);
bool der_peek_is(const struct der *d, unsigned tag);
bool der_oid_is(const struct der *oid, const char *bytes, size_t n);
#define DER_OID_IS(oid, lit) der_oid_is((oid), (lit), sizeof(lit) - 1)
/* "1.2.840.113549": into the arena. */
slice_t der_oid_text(struct arena *a, struct der oid);
/* UTCTime or GeneralizedTime as seconds since 1970. */
bool der_time(const struct der_item *it, int64_t *out);

/* ---- a certificate, taken apart; everything points into the bytes ---- */
struct cert {
	unsigned version; /* 1 to 3 */
	struct der serial, issuer, subject, spki, sig_alg, signature;
	struct der_item not_before, not_after;
	slice_t issuer_raw, subject_raw, spki_raw;
	/* extensions; bad: not there */
	struct der alt_names, aia, crl_points;
	bool has_alt_names, has_aia, has_crl_points;
	bool is_ca, has_eku, eku_server, eku_client, has_key_usage, may_sign_certs, may_sign_crls;
	int path_len; /* -1: none */
	bool unknown_critical;
};
MUST_USE enum rc cert_parse(slice_t der, struct cert *out, struct error *err);
enum cert_key { CERT_KEY_OTHER, CERT_KEY_RSA, CERT_KEY_EC, CERT_KEY_ED25519, CERT_KEY_ED448 };
enum cert_key cert_key_kind(const struct cert *c, unsigned *out_bits);
/* MD5 or SHA-1: no signature to believe. */
bool cert_signature_is_weak(const struct cert *c);
/* The digest of RFC 5929's tls-server-end-point: 256, 384, 512; 0: the signature names none. */
unsigned cert_signature_digest(const struct cert *c);
/* "C=DE,O=Test\, Inc.,CN=x" */
slice_t cert_name_text(struct arena *a, struct der name);
/* A value of a name's, as UTF-8 where its type is a text's; others in hex behind a #. */
slice_t cert_string_text(struct arena *a, const struct der_item *value);
/* Is there a NUL in a name of its subject or in a mail, DNS or URI name?  Whoever reads it as a C
 * string sees another name than the authority did. */
bool cert_name_has_nul(const struct cert *c);
/* Is it for this host: a name by dNSName, the CN only where no DNS, URI or IP name is there; an
 * address by iPAddress (RFC 6125, without partial wildcards)? */
bool cert_is_for(const struct cert *c, slice_t host);
const char *cert_oid_name(struct der oid, bool dn);
#endif
