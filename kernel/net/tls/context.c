/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From settings to a context that any number of sessions may use; nobody changes it afterwards. */
#include "net/tls/der.h"
#include "net/tls/tls_private.h"

#include "base/clock.h"

#include <stdlib.h>
#include <wolfssl/wolfcrypt/dh.h>

/* wolfSSL makes no ticket for longer than its keys live: an hour */
enum { TICKET_SECONDS = 3000, VERDICT_OK = 1 };

static void copy_settings(struct tls_context *c, const struct tls_settings *s)
{
	c->settings = *s;
	slice_t *each[] = {&c->settings.certificate, &c->settings.privatekey,
	    &c->settings.self_signed_for, &c->settings.trust, &c->settings.crl,
	    &c->settings.ciphers, &c->settings.groups, &c->settings.alpn, &c->settings.dhparam,
	    &c->settings.ocsp_file};
	for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
		*each[i] = arena_dup(c->arena, *each[i]);
}

/* ---- ALPN ---- */

static enum rc read_alpn(struct tls_context *c, struct arena *scratch, struct error *err)
{
	slice_t rest = c->settings.alpn, name;
	char sep = 0;
	struct strbuf sb;
	strbuf_init(&sb, c->arena, 1024);
	while (tls_list_next(scratch, &rest, &sep, &name)) {
		if (name.len > 255 || slice_find(name, ',') != SIZE_MAX)
			return error_set(err, RC_ERROR,
			    "tls_alpn: \"%.*s\" cannot be a protocol's name", SL_ARG(name));
		strbuf_printf(&sb, "%s%.*s", sb.len ? "," : "", SL_ARG(name));
	}
	if (strbuf_is_overfull(&sb))
		return error_set(err, RC_ERROR, "tls_alpn is too long");
	c->alpn = sb.len ? arena_cstr(c->arena, strbuf_slice(&sb)) : NULL;
	return RC_OK;
}

enum { ALPN_TAKE = 0, ALPN_FATAL = 2 };

/* The client's names, each behind its length: exactly one, and one of ours.  wolfSSL goes on
 * without whatever is answered: what was refused here ends the session when the handshake is done.
 */
static int on_alpn(WOLFSSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned int len, void *arg)
{
	const struct tls_context *c = arg;
	struct tls_session *t = wolfSSL_GetIOReadCtx(ssl);
	slice_t rest = slice_cstr(c->alpn), name, offered = slice_absent();
	if (len >= 2 && in[0] + 1U == len)
		offered = slice_tainted(in + 1, in[0]);
	while (!slice_is_absent(offered) && slice_next(&rest, ',', &name)) {
		if (slice_eq(name, offered)) {
			*out = in + 1;
			*out_len = in[0];
			return ALPN_TAKE;
		}
	}
	t->alpn_refused = true;
	return ALPN_FATAL;
}

/* ---- Diffie-Hellman ---- */

static enum rc set_dh(
    struct tls_context *c, struct arena *scratch, WOLFSSL_CTX *wolf, struct error *err)
{
	slice_t what = slice_trim(c->settings.dhparam), text;
	if (what.len == 0 || slice_eqs(what, "none"))
		return RC_OK;
	if (what.ptr[0] == '/') {
		enum rc rc = tls_files_read(&c->files, scratch, what, "tls_dhparam", &text, err);
		if (rc == RC_OK &&
		    wolfSSL_CTX_SetTmpDH_buffer(wolf, (const unsigned char *)text.ptr, text.len,
		        WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
			rc = error_set(err, RC_ERROR,
			    "tls_dhparam %.*s: there are no parameters in it", SL_ARG(what));
		return rc;
	}
	/* Exim knows two dozen names for primes, most of which its documentation warns of.  The
	 * peer does not care which it is. */
	static const char *const names[] = {"default", "historic", "ffdhe", "ike", "exim.dev."};
	bool known = false;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		known |= slice_starts(what, names[i]);
	const DhParams *p = wc_Dh_ffdhe2048_Get();
	if (!known)
		return error_set(
		    err, RC_ERROR, "tls_dhparam: \"%.*s\" is not known here", SL_ARG(what));
	if (wolfSSL_CTX_SetTmpDH(wolf, p->p, (int)p->p_len, p->g, (int)p->g_len) != WOLFSSL_SUCCESS)
		return error_set(
		    err, RC_ERROR, "tls_dhparam: \"%.*s\" cannot be used", SL_ARG(what));
	return RC_OK;
}

/* ---- OCSP stapling ----
 *
 * In TLS 1.3 wolfSSL 5.5.4 loses 8 KiB with each ClientHello that asks for a proof, once stapling
 * is switched on (what its parser made of our own certificate, and a copy of the proof): anybody
 * could take all memory.  No call of its API frees that.  So stapling has a WOLFSSL_CTX of its own,
 * for clients that speak no more than TLS 1.2. */

enum { STATUS_TAKE = 0, STATUS_NONE = 3 };

/* wolfSSL asks once for each of its contexts and keeps the answer: a renewed file makes a new
 * context of ours. */
static int on_status(WOLFSSL *ssl, void *arg)
{
	const slice_t *proof = arg;
	unsigned char *copy = wolfSSL_Malloc(proof->len);
	if (!copy)
		return STATUS_NONE;
	memcpy(copy, proof->ptr, proof->len);
	(void)wolfSSL_set_tlsext_status_ocsp_resp(
	    ssl, copy, (int)proof->len); /* which owns it now */
	return STATUS_TAKE;
}

/* The list of tls_ocsp_file goes with that of tls_certificate; "PEM " or "DER " in front of a file
 * says its form and that of those that follow. */
static enum rc read_proofs(struct tls_context *c, struct arena *scratch, struct error *err)
{
	slice_t rest = c->settings.ocsp_file, item, text;
	char sep = 0;
	bool pem = false;
	unsigned i = 0;
	for (; i < c->creds && tls_list_next(scratch, &rest, &sep, &item); i++) {
		if (slice_starts(item, "PEM ") || slice_starts(item, "DER ")) {
			pem = item.ptr[0] == 'P';
			item = slice_trim(slice_sub(item, 4, item.len));
		}
		enum rc rc = tls_files_read(&c->files, scratch, item, "tls_ocsp_file", &text, err);
		if (rc != RC_OK)
			return rc;
		if (pem && !tls_pem_next(scratch, &text, "OCSP RESPONSE", &text))
			return error_set(err, RC_ERROR,
			    "tls_ocsp_file %.*s: there is no proof in it", SL_ARG(item));
		struct der d = der_of(text), status = der_enter(&d, DER_SEQ);
		status = der_enter(&status, DER_ENUM);
		if (status.bad || der_len(&status) != 1 || status.p[0] != 0)
			return error_set(err, RC_ERROR,
			    "tls_ocsp_file %.*s is no successful OCSP response", SL_ARG(item));
		c->ocsp[i] = arena_dup(c->arena, text);
	}
	return RC_OK;
}

static enum rc staple(struct tls_context *c, unsigned i, struct error *err)
{
	WOLFSSL_CTX *wolf = c->cred[i].stapling;
	/* wolfSSL wants to know the issuer of its own certificate before it staples anything */
	if (c->cred[i].issuer.len)
		(void)wolfSSL_CTX_load_verify_buffer(wolf,
		    (const unsigned char *)c->cred[i].issuer.ptr, c->cred[i].issuer.len,
		    WOLFSSL_FILETYPE_ASN1);
	if (wolfSSL_CTX_EnableOCSPStapling(wolf) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_tlsext_status_cb(wolf, on_status) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_tlsext_status_arg(wolf, &c->ocsp[i]) != WOLFSSL_SUCCESS)
		return error_set(err, RC_ERROR, "tls_ocsp_file: stapling cannot be switched on");
	return RC_OK;
}

/* ---- the peer's certificate ---- */

static void keep_peer(struct tls_session *t, slice_t der)
{
	free(t->peer_der);
	t->peer_der = malloc(der.len ? der.len : 1);
	if (!t->peer_der)
		return;
	memcpy(t->peer_der, der.ptr, der.len);
	t->peer_der_len = der.len;
	t->peer_seen = true;
}

static enum rc judge(struct tls_session *t, const slice_t *chain, unsigned count, struct error *err)
{
	bool peer_is_server = !t->ctx->settings.server;
	struct cert leaf;
	if (!t->ctx->trust)
		return error_set(err, RC_FAIL, "the certificate: nobody is trusted here");
	enum rc rc = tls_trust_verify(t->ctx->trust, chain, count, peer_is_server, err);
	if (rc != RC_OK || !t->verify_name)
		return rc;
	rc = cert_parse(chain[0], &leaf, err);
	if (rc == RC_OK && !cert_is_for(&leaf, slice_cstr(t->verify_name)))
		rc = error_set(err, RC_FAIL, "the certificate: it is not for %s", t->verify_name);
	return rc;
}

/* Called for each certificate from the root down; only here the whole chain is at hand, and only at
 * the leaf it is judged. */
static int on_verify(int ok, WOLFSSL_X509_STORE_CTX *x)
{
	struct tls_session *t = x->userCtx;
	(void)ok; /* wolfSSL knows no roots: see trust.c */
	if (!t || x->error_depth != 0)
		return t != NULL;
	slice_t chain[TLS_CHAIN_MAX];
	unsigned n = 0;
	for (int i = 0; i < x->totalCerts && n < TLS_CHAIN_MAX; i++)
		chain[n++] = slice_tainted(x->certs[i].buffer, x->certs[i].length);
	if (n == 0) /* a client without one */
		return t->ctx->settings.server && t->ctx->settings.verify != TLS_VERIFY_REQUIRE;
	struct error e = {0};
	keep_peer(t, chain[0]);
	free(t->verify_error);
	t->verify_error = NULL;
	t->verified = false;
	if (t->ctx->settings.verify == TLS_VERIFY_NONE)
		return VERDICT_OK;
	t->verified = judge(t, chain, n, &e) == RC_OK;
	if (!t->verified)
		t->verify_error = strdup(e.text);
	return t->verified || t->ctx->settings.verify == TLS_VERIFY_TRY;
}

/* ---- putting it together ---- */

static int verify_mode(const struct tls_settings *s)
{
	if (!s->server)
		return WOLFSSL_VERIFY_PEER; /* the callback is what decides */
	switch (s->verify) {
	case TLS_VERIFY_TRY:
		return WOLFSSL_VERIFY_PEER;
	case TLS_VERIFY_REQUIRE:
		return WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	case TLS_VERIFY_NONE:
	default:
		return WOLFSSL_VERIFY_NONE;
	}
}

static enum rc configure(
    struct tls_context *c, struct arena *scratch, WOLFSSL_CTX *wolf, struct error *err)
{
	const struct tls_settings *s = &c->settings;
	slice_t list, dh = slice_trim(s->dhparam);
	bool dhe = !s->server || (dh.len && !slice_eqs(dh, "none"));
	if (tls_cipher_list(scratch, s->ciphers, s->server, dhe, &list, err) != RC_OK ||
	    tls_group_list(s->groups, c->groups, &c->n_groups, err) != RC_OK ||
	    set_dh(c, scratch, wolf, err) != RC_OK)
		return RC_ERROR;
	c->suites = tls_suites_of(list);
	/* an end that says it speaks a version without having a suite for it makes the other fail
	 */
	bool tls13 = slice_search(list, SL("TLS13-")) != SIZE_MAX,
	     tls12 = slice_search(list, SL("DHE-")) != SIZE_MAX;
	c->tls13 = tls13;
	if (wolfSSL_CTX_SetMinVersion(wolf, tls12 ? WOLFSSL_TLSV1_2 : WOLFSSL_TLSV1_3) !=
	        WOLFSSL_SUCCESS ||
	    (!tls13 &&
	        wolfSSL_CTX_set_max_proto_version(wolf, TLS1_2_VERSION) != WOLFSSL_SUCCESS) ||
	    wolfSSL_CTX_set_cipher_list(wolf, arena_cstr(scratch, list)) != WOLFSSL_SUCCESS)
		return error_set(
		    err, RC_ERROR, "wolfSSL takes no cipher of \"%.*s\"", SL_ARG(list));
	if (wolfSSL_CTX_set_groups(wolf, c->groups, c->n_groups) != WOLFSSL_SUCCESS)
		return error_set(
		    err, RC_ERROR, "wolfSSL takes no group of \"%.*s\"", SL_ARG(s->groups));
	/* the session-id cache is one for the process: a session made here would be resumed where
	 * certificates are asked for */
	(void)wolfSSL_CTX_set_session_cache_mode(wolf, WOLFSSL_SESS_CACHE_OFF);
	bool tickets = s->resumption && (!s->server || s->verify == TLS_VERIFY_NONE);
	if (s->server && !tickets) {
		(void)wolfSSL_CTX_set_options(wolf, WOLFSSL_OP_NO_TICKET);
		(void)wolfSSL_CTX_no_ticket_TLSv13(wolf);
	}
	if (s->server && tickets)
		(void)wolfSSL_CTX_set_TicketHint(wolf, TICKET_SECONDS);
	(void)wolfSSL_CTX_set_options(wolf, WOLFSSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)wolfSSL_CTX_set_mode(
	    wolf, (long)SSL_MODE_ENABLE_PARTIAL_WRITE | WOLFSSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)wolfSSL_CTX_set_group_messages(wolf);
	wolfSSL_CTX_set_verify(wolf, verify_mode(s), on_verify);
	if (s->server && c->alpn)
		wolfSSL_CTX_set_alpn_select_cb(wolf, on_alpn, c);
	return RC_OK;
}

static void context_free(struct tls_context *c)
{
	for (unsigned i = 0; i < TLS_CREDENTIALS_MAX; i++) {
		wolfSSL_CTX_free(c->cred[i].wolf);
		wolfSSL_CTX_free(c->cred[i].stapling);
	}
	tls_trust_unref(&c->trust);
	struct arena *a = c->arena;
	arena_free(&a);
}

void tls_context_unref(struct tls_context **cp)
{
	struct tls_context *c = *cp;
	*cp = NULL;
	if (c && atomic_fetch_sub(&c->refs, 1) == 1)
		context_free(c);
}

static enum rc build(struct tls_context *c, struct arena *scratch, struct error *err)
{
	const struct tls_settings *s = &c->settings;
	if (read_alpn(c, scratch, err) != RC_OK || tls_credentials_load(c, scratch, err) != RC_OK)
		return RC_ERROR;
	if (s->server && read_proofs(c, scratch, err) != RC_OK)
		return RC_ERROR;
	for (unsigned i = 0; i < c->creds; i++)
		if (configure(c, scratch, c->cred[i].wolf, err) != RC_OK ||
		    (c->ocsp[i].len && (configure(c, scratch, c->cred[i].stapling, err) != RC_OK ||
		                           staple(c, i, err) != RC_OK)))
			return RC_ERROR;
	if (s->verify != TLS_VERIFY_NONE && !c->trust)
		return tls_trust_load(s, scratch, &c->trust, err);
	return RC_OK;
}

enum rc tls_context_build(const struct tls_settings *s, struct tls_trust *trust,
    struct arena *scratch, struct tls_context **out, struct error *err)
{
	struct arena *a = arena_new(0);
	struct tls_context *c = ARENA_NEW(a, struct tls_context);
	struct arena_mark m = arena_mark(scratch);
	c->arena = c->files.arena = a;
	atomic_init(&c->refs, 1);
	copy_settings(c, s);
	c->trust = tls_trust_ref(trust);
	c->made_us = clock_mono_us();
	enum rc rc = build(c, scratch, err);
	wolfSSL_ERR_clear_error();
	arena_release(scratch, m);
	if (rc == RC_OK)
		*out = c;
	else
		context_free(c);
	return rc;
}
