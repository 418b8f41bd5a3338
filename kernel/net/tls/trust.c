/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whom we believe, and the judgement on a chain.  wolfSSL's own verdict in the handshake is not
 * used: it adds what one peer sent to what the next one is measured by, and what a callback
 * overrides at one depth speaks for the depths below.  So the contexts know no roots at all, and
 * here a path is looked for from the leaf through what the peer sent to a root, link by link, each
 * signature, date, usage, length and revocation checked on it (RFC 5280 6.1).
 */
#include "net/tls/der.h"
#include "net/tls/tls_private.h"

#include "base/clock.h"

#include <dirent.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/sha256.h>

struct root {
	unsigned char digest[32];
	slice_t subject; /* DER */
	int path_len;
};
struct crl {
	slice_t der, issuer;
};

struct tls_trust {
	/* const after publication */
	struct arena *arena;
	WOLFSSL_CERT_MANAGER *cm;
	slice_t trust_text, crl_text;
	struct vec roots, crls;
	struct tls_files files;
	bool check_crl;
	/* reference count */
	_Atomic unsigned refs;
};

struct tls_trust *tls_trust_ref(struct tls_trust *t)
{
	if (t)
		atomic_fetch_add(&t->refs, 1);
	return t;
}

void tls_trust_unref(struct tls_trust **tp)
{
	struct tls_trust *t = *tp;
	*tp = NULL;
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	wolfSSL_CertManagerFree(t->cm);
	struct arena *a = t->arena;
	arena_free(&a);
}

const struct tls_files *tls_trust_files(const struct tls_trust *t)
{
	return &t->files;
}

bool tls_trust_matches(const struct tls_trust *t, const struct tls_settings *s)
{
	return slice_eq(t->trust_text, s->trust) && slice_eq(t->crl_text, s->crl);
}

/* ---- loading ---- */

static void digest_of(slice_t der, unsigned char out[32])
{
	(void)wc_Sha256Hash((const unsigned char *)der.ptr, der.len, out);
}

/* A root that wolfSSL will not have (expired, no CA) can still be the peer's own certificate. */
static void add_root(struct tls_trust *t, slice_t der)
{
	struct cert c;
	if (cert_parse(der, &c, NULL) != RC_OK)
		return;
	struct root *r = VEC_PUSH(t->arena, &t->roots, struct root);
	digest_of(der, r->digest);
	r->subject = arena_dup(t->arena, c.subject_raw);
	r->path_len = c.path_len;
	(void)wolfSSL_CertManagerLoadCABuffer(
	    t->cm, (const unsigned char *)der.ptr, der.len, WOLFSSL_FILETYPE_ASN1);
	wolfSSL_ERR_clear_error();
}

static enum rc add_roots_of_file(
    struct tls_trust *t, struct arena *scratch, slice_t path, bool must, struct error *err)
{
	slice_t text, der;
	enum rc rc =
	    tls_files_read(&t->files, scratch, path, "tls_verify_certificates", &text, err);
	if (rc != RC_OK)
		return rc;
	size_t before = t->roots.count;
	slice_t rest = text;
	while (tls_pem_next(scratch, &rest, "CERTIFICATE", &der))
		add_root(t, der);
	rest = text;
	while (tls_pem_next(scratch, &rest, "X509 CERTIFICATE", &der))
		add_root(t, der);
	if (must && t->roots.count == before)
		return error_set(err, RC_ERROR,
		    "tls_verify_certificates %.*s: there is no certificate in it", SL_ARG(path));
	return RC_OK;
}

/* Every file of a directory; names that hash (c_rehash) are links to others of them as a rule. */
static enum rc each_file(struct tls_trust *t, struct arena *scratch, const char *dir,
    enum rc (*fn)(struct tls_trust *, struct arena *, slice_t, bool, struct error *),
    struct error *err)
{
	DIR *d = opendir(dir);
	if (!d)
		return error_set(err, RC_ERROR, "directory %s cannot be read", dir);
	tls_files_note(&t->files, dir);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		struct arena_mark m = arena_mark(scratch);
		slice_t path = arena_printf(scratch, "%s/%s", dir, e->d_name);
		struct stat st;
		if (stat(path.ptr, &st) == 0 && S_ISREG(st.st_mode))
			(void)fn(t, scratch, path, false, NULL);
		arena_release(scratch, m);
	}
	(void)closedir(d);
	return RC_OK;
}

static const char *system_bundle(void)
{
	static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt",
	    "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
	    "/usr/local/share/certs/ca-root-nss.crt"};
	struct stat st;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (stat(places[i], &st) == 0)
			return places[i];
	return NULL;
}

static bool is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum rc load_roots(struct tls_trust *t, struct arena *scratch, struct error *err)
{
	slice_t text = slice_trim(t->trust_text);
	if (text.len == 0)
		return RC_OK;
	if (slice_eqs(text, "system")) {
		const char *bundle = system_bundle();
		return bundle ? add_roots_of_file(t, scratch, slice_cstr(bundle), false, err)
		              : RC_OK;
	}
	const char *path = arena_cstr(scratch, text);
	if (!is_directory(path))
		return add_roots_of_file(t, scratch, text, true, err);
	return each_file(t, scratch, path, add_roots_of_file, err);
}

/* CertificateList > TBSCertList: version?, algorithm, issuer */
static bool crl_issuer(slice_t der, slice_t *out)
{
	struct der d = der_of(der);
	struct der_item it;
	struct der list = der_enter(&d, DER_SEQ), tbs = der_enter(&list, DER_SEQ);
	if (der_peek_is(&tbs, DER_INT) && !der_next(&tbs, &it))
		return false;
	(void)der_enter(&tbs, DER_SEQ);
	if (!der_next(&tbs, &it) || it.tag != DER_SEQ)
		return false;
	*out = slice_tainted(it.raw, it.raw_len);
	return true;
}

static void load_crl_into(WOLFSSL_CERT_MANAGER *cm, slice_t der)
{
	(void)wolfSSL_CertManagerLoadCRLBuffer(
	    cm, (const unsigned char *)der.ptr, der.len, WOLFSSL_FILETYPE_ASN1);
	wolfSSL_ERR_clear_error();
}

static enum rc add_crls_of_file(
    struct tls_trust *t, struct arena *scratch, slice_t path, bool must, struct error *err)
{
	slice_t text, der, issuer;
	size_t before = t->crls.count;
	enum rc rc = tls_files_read(&t->files, scratch, path, "tls_crl", &text, err);
	if (rc != RC_OK)
		return rc;
	while (tls_pem_next(scratch, &text, "X509 CRL", &der)) {
		if (!crl_issuer(der, &issuer))
			continue;
		struct crl *c = VEC_PUSH(t->arena, &t->crls, struct crl);
		c->der = arena_dup(t->arena, der);
		c->issuer = arena_dup(t->arena, issuer);
		load_crl_into(
		    t->cm, c->der); /* those of roots; the others when their issuer is met */
	}
	if (must && t->crls.count == before)
		return error_set(
		    err, RC_ERROR, "tls_crl %.*s: there is no revocation list in it", SL_ARG(path));
	return RC_OK;
}

static enum rc load_crls(struct tls_trust *t, struct arena *scratch, struct error *err)
{
	slice_t text = slice_trim(t->crl_text);
	if (text.len == 0)
		return RC_OK;
	t->check_crl = true;
	if (wolfSSL_CertManagerEnableCRL(t->cm, WOLFSSL_CRL_CHECK) != WOLFSSL_SUCCESS)
		return error_set(err, RC_ERROR, "out of memory");
	const char *path = arena_cstr(scratch, text);
	if (!is_directory(path))
		return add_crls_of_file(t, scratch, text, true, err);
	return each_file(t, scratch, path, add_crls_of_file, err);
}

enum rc tls_trust_load(
    const struct tls_settings *s, struct arena *scratch, struct tls_trust **out, struct error *err)
{
	struct arena *a = arena_new(0);
	struct tls_trust *t = ARENA_NEW(a, struct tls_trust);
	t->arena = t->files.arena = a;
	atomic_init(&t->refs, 1);
	t->trust_text = arena_dup(a, s->trust);
	t->crl_text = arena_dup(a, s->crl);
	t->cm = wolfSSL_CertManagerNew();
	enum rc rc =
	    t->cm ? load_roots(t, scratch, err) : error_set(err, RC_ERROR, "out of memory");
	if (rc == RC_OK)
		rc = load_crls(t, scratch, err);
	if (rc == RC_OK)
		*out = t;
	else
		tls_trust_unref(&t);
	return rc;
}

/* ---- judging ---- */

enum { CHECKS_MAX = 40, NO_SIGNER = ASN_NO_SIGNER_E };

struct walk {
	const struct tls_trust *trust;
	const slice_t *der;
	struct cert cert[TLS_CHAIN_MAX];
	unsigned count, checks;
	bool tried[TLS_CHAIN_MAX]; /* from here there is no way, or it is being walked */
	bool peer_is_server;
	int64_t now;
	struct error *err;
};

static const char *reason(int e)
{
	switch (e) {
	case ASN_NO_SIGNER_E:
		return "its issuer is not known";
	case ASN_SELF_SIGNED_E:
		return "it is self-signed";
	case ASN_SIG_CONFIRM_E:
		return "its signature is wrong";
	case ASN_AFTER_DATE_E:
		return "it has expired";
	case ASN_BEFORE_DATE_E:
		return "it is not yet valid";
	case CRL_CERT_REVOKED:
		return "it is revoked";
	case CRL_MISSING:
		return "there is no revocation list of its issuer";
	case CRL_CERT_DATE_ERR:
		return "the revocation list of its issuer has expired";
	case ASN_PATHLEN_SIZE_E:
	case ASN_PATHLEN_INV_E:
		return "the chain is longer than its issuer allows";
	case ASN_NAME_INVALID_E:
		return "its name is not allowed to its issuer";
	default:
		return wolfSSL_ERR_reason_error_string((unsigned long)e);
	}
}

static enum rc refuse(struct walk *w, unsigned i, const char *why)
{
	return error_set(
	    w->err, RC_FAIL, "%s: %s", i ? "an issuer's certificate" : "the certificate", why);
}

/* What can be said of one certificate by itself. */
static enum rc check_alone(struct walk *w, unsigned i)
{
	const struct cert *c = &w->cert[i];
	int64_t from, to;
	unsigned bits;
	if (!der_time(&c->not_before, &from) || !der_time(&c->not_after, &to))
		return refuse(w, i, "its dates are malformed");
	if (w->now < from)
		return refuse(w, i, reason(ASN_BEFORE_DATE_E));
	if (w->now > to)
		return refuse(w, i, reason(ASN_AFTER_DATE_E));
	if (c->unknown_critical)
		return refuse(w, i, "it has a critical extension that is not known here");
	if (cert_name_has_nul(c))
		return refuse(w, i, "there is a NUL in one of its names");
	if (cert_key_kind(c, &bits) == CERT_KEY_RSA && bits < TLS_RSA_BITS_MIN)
		return error_set(w->err, RC_FAIL, "%s: its RSA key of %u bits is too weak",
		    i ? "an issuer's certificate" : "the certificate", bits);
	if (i == 0) {
		if (c->has_eku && !(w->peer_is_server ? c->eku_server : c->eku_client))
			return refuse(w, i,
			    w->peer_is_server ? "it is not for servers" : "it is not for clients");
		return RC_OK;
	}
	if (!c->is_ca || (c->has_key_usage && !c->may_sign_certs))
		return refuse(w, i, "it may not sign certificates");
	return RC_OK;
}

static bool is_pinned(const struct walk *w, unsigned i)
{
	unsigned char d[32];
	digest_of(w->der[i], d);
	VEC_FOREACH(&w->trust->roots, struct root, r)
	{
		if (memcmp(r->digest, d, sizeof d) == 0)
			return true;
	}
	return false;
}

static int check_link(WOLFSSL_CERT_MANAGER *cm, slice_t der)
{
	int r = wolfSSL_CertManagerVerifyBuffer(
	    cm, (const unsigned char *)der.ptr, der.len, WOLFSSL_FILETYPE_ASN1);
	wolfSSL_ERR_clear_error();
	return r == WOLFSSL_SUCCESS ? 0 : r;
}

/* `below`: CA certificates between the root and the leaf. */
static bool root_allows(const struct walk *w, unsigned i, unsigned below)
{
	bool any = false, allowed = false;
	VEC_FOREACH(&w->trust->roots, struct root, r)
	{
		if (!slice_eq(r->subject, w->cert[i].issuer_raw))
			continue;
		any = true;
		allowed |= r->path_len < 0 || (unsigned)r->path_len >= below;
	}
	return !any || allowed;
}

/* Does certificate j, as an issuer, bear out i? */
static int check_by_peer(struct walk *w, unsigned i, unsigned j)
{
	WOLFSSL_CERT_MANAGER *cm = wolfSSL_CertManagerNew();
	int r = MEMORY_E;
	if (!cm)
		return r;
	r = wolfSSL_CertManagerLoadCABuffer(
	    cm, (const unsigned char *)w->der[j].ptr, w->der[j].len, WOLFSSL_FILETYPE_ASN1);
	if (r == WOLFSSL_SUCCESS) {
		if (w->trust->check_crl) {
			(void)wolfSSL_CertManagerEnableCRL(cm, WOLFSSL_CRL_CHECK);
			VEC_FOREACH(&w->trust->crls, struct crl, c)
			{
				if (slice_eq(c->issuer, w->cert[j].subject_raw))
					load_crl_into(cm, c->der);
			}
		}
		r = check_link(cm, w->der[i]);
	}
	wolfSSL_ERR_clear_error();
	wolfSSL_CertManagerFree(cm);
	return r;
}

/* depth: certificates below i.  The error is that of the way that came farthest first. */
static enum rc reach_root(struct walk *w, unsigned i, unsigned depth)
{
	struct error *err = w->err, ignored;
	w->tried[i] = true;
	enum rc rc = check_alone(w, i);
	if (rc != RC_OK)
		return rc;
	if (is_pinned(w, i))
		return RC_OK;
	if (cert_signature_is_weak(&w->cert[i]))
		return refuse(w, i, "it is signed with MD5 or SHA-1");
	if (++w->checks > CHECKS_MAX)
		return refuse(w, i, "too many ways to look for its issuer");
	int r = check_link(w->trust->cm, w->der[i]);
	if (r == 0)
		return root_allows(w, i, depth) ? RC_OK : refuse(w, i, reason(ASN_PATHLEN_INV_E));
	if (slice_eq(w->cert[i].issuer_raw, w->cert[i].subject_raw))
		return refuse(w, i, i ? "the root is not trusted" : reason(ASN_SELF_SIGNED_E));
	rc = refuse(w, i, reason(r));
	bool found = false;
	for (unsigned j = 1; j < w->count; j++) {
		const struct cert *c = &w->cert[j];
		if (w->tried[j] || !slice_eq(c->subject_raw, w->cert[i].issuer_raw))
			continue;
		if (c->path_len >= 0 && (unsigned)c->path_len < depth) {
			if (!found)
				rc = refuse(w, i, reason(ASN_PATHLEN_INV_E));
			continue;
		}
		if (++w->checks > CHECKS_MAX)
			break;
		if (found)
			w->err = &ignored;
		found = true;
		r = check_by_peer(w, i, j);
		rc = r == 0 ? reach_root(w, j, depth + 1) : refuse(w, i, reason(r));
		if (rc == RC_OK)
			break;
	}
	w->err = err;
	return rc;
}

enum rc tls_trust_verify(const struct tls_trust *t, const slice_t *chain, unsigned count,
    bool peer_is_server, struct error *err)
{
	struct walk w = {.trust = t, .der = chain, .peer_is_server = peer_is_server, .err = err};
	w.count = count < TLS_CHAIN_MAX ? count : TLS_CHAIN_MAX;
	w.now = clock_wall_us() / US_PER_SEC;
	for (unsigned i = 0; i < w.count; i++)
		if (cert_parse(chain[i], &w.cert[i], err) != RC_OK)
			return RC_FAIL;
	if (w.count == 0)
		return error_set(err, RC_FAIL, "there is no certificate");
	return reach_root(&w, 0, 0);
}
