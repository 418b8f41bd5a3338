/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Certificates and keys: each pair of the two lists on a WOLFSSL_CTX of its own, since one of those
 * holds one key. What is wrong is said when it is loaded, with the names of the files: unreadable,
 * no PEM, encrypted, weak, of another key.
 */
#include "net/tls/der.h"
#include "net/tls/tls_private.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>

/* A key in a file may be encrypted: there is nobody to ask. */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf, (void)size, (void)rw, (void)arg;
	return 0;
}

static enum tls_key_kind kind_of(enum cert_key kind)
{
	switch (kind) {
	case CERT_KEY_RSA:
		return TLS_KEY_RSA;
	case CERT_KEY_EC:
		return TLS_KEY_ECDSA;
	case CERT_KEY_ED25519:
		return TLS_KEY_ED25519;
	case CERT_KEY_ED448:
	case CERT_KEY_OTHER:
	default:
		return TLS_KEY_OTHER;
	}
}

static enum rc check_leaf(
    slice_t der, const char *name, enum tls_key_kind *out, unsigned *out_bits, struct error *err)
{
	struct cert cert;
	unsigned bits;
	if (cert_parse(der, &cert, err) != RC_OK)
		return error_wrap(err, RC_ERROR, "tls_certificate %s", name);
	*out = kind_of(cert_key_kind(&cert, &bits));
	if (*out == TLS_KEY_RSA && bits < TLS_RSA_BITS_MIN)
		return error_set(err, RC_ERROR,
		    "tls_certificate %s: an RSA key of %u bits is too weak, %d are needed", name,
		    bits, TLS_RSA_BITS_MIN);
	if (*out == TLS_KEY_ECDSA && bits < 224)
		return error_set(err, RC_ERROR,
		    "tls_certificate %s: an EC key of %u bits is too weak", name, bits);
	if (*out == TLS_KEY_OTHER)
		return error_set(
		    err, RC_ERROR, "tls_certificate %s: this kind of key is not served", name);
	*out_bits = bits;
	return RC_OK;
}

/* ---- does the key belong to the certificate?  wolfSSL compares RSA keys only ---- */

enum { POINT_MAX = 1 + 2 * 66 };

static bool ends_with(struct der key, const unsigned char *p, size_t n)
{
	return n && der_len(&key) > n && memcmp(key.end - n, p, n) == 0;
}

static bool ec_key_is_of(const unsigned char *key, word32 key_len, struct der public_key)
{
	ecc_key k;
	word32 at = 0, n = POINT_MAX;
	unsigned char point[POINT_MAX];
	if (wc_ecc_init(&k) != 0)
		return false;
	bool same = wc_EccPrivateKeyDecode(key, &at, &k, key_len) == 0 &&
	            wc_ecc_make_pub(&k, NULL) == 0 && wc_ecc_export_x963(&k, point, &n) == 0 &&
	            ends_with(public_key, point, n);
	(void)wc_ecc_free(&k);
	return same;
}

static bool ed25519_key_is_of(const unsigned char *key, word32 key_len, struct der public_key)
{
	ed25519_key k;
	word32 at = 0;
	unsigned char point[ED25519_PUB_KEY_SIZE];
	if (wc_ed25519_init(&k) != 0)
		return false;
	bool same = wc_Ed25519PrivateKeyDecode(key, &at, &k, key_len) == 0 &&
	            wc_ed25519_make_public(&k, point, sizeof point) == 0 &&
	            ends_with(public_key, point, sizeof point);
	wc_ed25519_free(&k);
	return same;
}

static bool key_is_of(const struct tls_credential *cred, slice_t key_text)
{
	struct cert cert;
	DerBuffer *der = NULL;
	int is_ec = 0;
	if (wolfSSL_CTX_check_private_key(cred->wolf) != WOLFSSL_SUCCESS ||
	    cert_parse(cred->cert, &cert, NULL) != RC_OK)
		return false;
	if (cred->kind == TLS_KEY_RSA)
		return true;
	bool same = false;
	if (wc_PemToDer((const unsigned char *)key_text.ptr, (long)key_text.len, PRIVATEKEY_TYPE,
	        &der, NULL, NULL, &is_ec) == 0)
		same = cred->kind == TLS_KEY_ECDSA
		           ? ec_key_is_of(der->buffer, der->length, cert.spki)
		           : ed25519_key_is_of(der->buffer, der->length, cert.spki);
	wc_FreeDer(&der);
	return same;
}

static enum rc use_on(WOLFSSL_CTX *wolf, slice_t cert_text, slice_t key_text, const char *cert_name,
    const char *key_name, struct error *err)
{
	wolfSSL_CTX_set_default_passwd_cb(wolf, no_passphrase);
	if (wolfSSL_CTX_use_certificate_chain_buffer(
	        wolf, (const unsigned char *)cert_text.ptr, cert_text.len) != WOLFSSL_SUCCESS)
		return error_set(err, RC_ERROR, "tls_certificate %s cannot be used", cert_name);
	if (wolfSSL_CTX_use_PrivateKey_buffer(wolf, (const unsigned char *)key_text.ptr,
	        key_text.len, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		return error_set(err, RC_ERROR,
		    "tls_privatekey %s: there is no key in it that can be used%s", key_name,
		    slice_search(key_text, SL("ENCRYPTED")) != SIZE_MAX ? " (it is encrypted)"
		                                                        : "");
	return RC_OK;
}

static enum rc use_pair(struct tls_context *c, struct arena *scratch, slice_t cert_text,
    slice_t key_text, const char *cert_name, const char *key_name, struct error *err)
{
	struct tls_credential *cred = &c->cred[c->creds];
	slice_t rest = cert_text, der;
	if (!tls_pem_next(scratch, &rest, "CERTIFICATE", &der))
		return error_set(
		    err, RC_ERROR, "tls_certificate %s: there is no certificate in it", cert_name);
	if (check_leaf(der, cert_name, &cred->kind, &cred->bits, err) != RC_OK)
		return RC_ERROR;
	cred->cert = arena_dup(c->arena, slice_tainted(der.ptr, der.len));
	if (tls_pem_next(scratch, &rest, "CERTIFICATE", &der))
		cred->issuer = arena_dup(c->arena, der);
	if (use_on(cred->wolf, cert_text, key_text, cert_name, key_name, err) != RC_OK ||
	    (cred->stapling &&
	        use_on(cred->stapling, cert_text, key_text, cert_name, key_name, err) != RC_OK))
		return RC_ERROR;
	if (!key_is_of(cred, key_text))
		return error_set(err, RC_ERROR,
		    "tls_privatekey %s does not belong to tls_certificate %s", key_name, cert_name);
	c->creds++;
	return RC_OK;
}

static WOLFSSL_CTX *new_wolf(bool server)
{
	return wolfSSL_CTX_new(server ? wolfSSLv23_server_method() : wolfSSLv23_client_method());
}

static enum rc open_slot(struct tls_context *c, struct error *err)
{
	if (c->creds == TLS_CREDENTIALS_MAX)
		return error_set(
		    err, RC_ERROR, "tls_certificate: more than %d files", TLS_CREDENTIALS_MAX);
	struct tls_credential *cred = &c->cred[c->creds];
	cred->cert = slice_absent();
	bool staples = c->settings.server && slice_trim(c->settings.ocsp_file).len;
	cred->wolf = new_wolf(c->settings.server);
	cred->stapling = staples ? new_wolf(true) : NULL;
	return cred->wolf && (cred->stapling || !staples)
	           ? RC_OK
	           : error_set(err, RC_ERROR, "out of memory");
}

static enum rc load_one(
    struct tls_context *c, struct arena *scratch, slice_t cert, slice_t key, struct error *err)
{
	slice_t cert_text = SL(""), key_text = SL("");
	enum rc rc = open_slot(c, err);
	if (rc == RC_OK)
		rc = tls_files_read(&c->files, scratch, cert, "tls_certificate", &cert_text, err);
	if (rc == RC_OK && key.len)
		rc = tls_files_read(&c->files, scratch, key, "tls_privatekey", &key_text, err);
	if (rc != RC_OK)
		return rc;
	if (!key.len)
		key_text = cert_text;
	rc = use_pair(c, scratch, cert_text, key_text, arena_cstr(scratch, cert),
	    arena_cstr(scratch, key.len ? key : cert), err);
	if (key_text.len)
		explicit_bzero((void *)(uintptr_t)key_text.ptr, key_text.len);
	return rc;
}

static enum rc load_self_signed(struct tls_context *c, struct arena *scratch, struct error *err)
{
	slice_t cert = SL(""), key = SL("");
	enum rc rc = open_slot(c, err);
	if (rc == RC_OK)
		rc = tls_self_signed(scratch, c->settings.self_signed_for, &cert, &key, err);
	if (rc != RC_OK)
		return rc;
	rc = use_pair(c, scratch, cert, key, "(self-signed)", "(self-signed)", err);
	explicit_bzero((void *)(uintptr_t)key.ptr, key.len);
	return rc;
}

enum rc tls_credentials_load(struct tls_context *c, struct arena *scratch, struct error *err)
{
	slice_t certs = c->settings.certificate, keys = c->settings.privatekey, cert, key;
	char cert_sep = 0, key_sep = 0;
	bool own_keys = slice_trim(keys).len != 0;
	while (tls_list_next(scratch, &certs, &cert_sep, &cert)) {
		key = slice_absent();
		if (own_keys && !tls_list_next(scratch, &keys, &key_sep, &key))
			return error_set(err, RC_ERROR,
			    "tls_privatekey has no file for tls_certificate %.*s", SL_ARG(cert));
		enum rc rc = load_one(c, scratch, cert, key, err);
		if (rc != RC_OK)
			return rc;
	}
	if (c->creds)
		return RC_OK;
	if (c->settings.server) {
		if (slice_is_absent(c->settings.self_signed_for))
			return error_set(err, RC_ERROR, "there is no tls_certificate");
		return load_self_signed(c, scratch, err);
	}
	enum rc rc = open_slot(c, err);
	c->creds += rc == RC_OK;
	return rc;
}

/* ---- a certificate of our own making ---- */

enum { SELF_SIGNED_DAYS = 90, PART_MAX = 4096 };

static enum rc to_pem(
    struct arena *scratch, const unsigned char *der, int len, int type, slice_t *out)
{
	unsigned char *pem = (unsigned char *)arena_bytes(scratch, 2 * PART_MAX);
	int n = len > 0 ? wc_DerToPem(der, (word32)len, pem, 2 * PART_MAX, type) : len;
	if (n <= 0)
		return RC_ERROR;
	*out = slice_of(pem, (size_t)n, HEDDLE_CLEAN);
	return RC_OK;
}

static int make_certificate(Cert *cert, slice_t name, ecc_key *key, WC_RNG *rng, unsigned char *der)
{
	if (wc_InitCert(cert) != 0)
		return -1;
	/* common names have at most 64 characters (RFC 5280, ub-common-name) */
	size_t n = name.len < CTC_NAME_SIZE - 1 ? name.len : CTC_NAME_SIZE - 1;
	n = n < 64 ? n : 64;
	memcpy(cert->subject.commonName, n ? name.ptr : "", n);
	cert->subject.commonName[n] = 0;
	memcpy(cert->subject.org, "Heddle", sizeof "Heddle");
	cert->sigType = CTC_SHA256wECDSA;
	cert->daysValid = SELF_SIGNED_DAYS;
	cert->selfSigned = 1;
	int size = wc_MakeCert(cert, der, PART_MAX, NULL, key, rng);
	return size < 0 ? size
	                : wc_SignCert(cert->bodySz, cert->sigType, der, PART_MAX, NULL, key, rng);
}

enum rc tls_self_signed(
    struct arena *scratch, slice_t name, slice_t *out_cert, slice_t *out_key, struct error *err)
{
	Cert *cert = arena_alloc(scratch, sizeof *cert);
	unsigned char *der = arena_alloc(scratch, PART_MAX);
	ecc_key *key = arena_alloc(scratch, sizeof *key);
	WC_RNG rng;
	enum rc rc = RC_ERROR;
	if (wc_InitRng(&rng) != 0)
		return error_set(err, RC_ERROR, "no random numbers");
	if (wc_ecc_init(key) == 0) {
		int n = wc_ecc_make_key_ex(&rng, 32, key, ECC_SECP256R1);
		if (n == 0)
			n = make_certificate(cert, name, key, &rng, der);
		rc = to_pem(scratch, der, n, CERT_TYPE, out_cert);
		if (rc == RC_OK)
			rc = to_pem(scratch, der, wc_EccKeyToDer(key, der, PART_MAX),
			    ECC_PRIVATEKEY_TYPE, out_key);
		explicit_bzero(der, PART_MAX);
		(void)wc_ecc_free(key);
	}
	(void)wc_FreeRng(&rng);
	return rc == RC_OK ? rc : error_set(err, rc, "a self-signed certificate cannot be made");
}
