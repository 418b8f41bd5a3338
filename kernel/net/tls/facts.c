/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a session proved, in the words that the configuration and the log use; and what binds other
 * proofs to it. */
#include "net/tls/der.h"
#include "net/tls/tls_private.h"

#include <wolfssl/wolfcrypt/hash.h>

/* wolfSSL's "TLSv1.3" is Exim's "TLS1.3". */
static slice_t version_text(struct arena *a, WOLFSSL *ssl)
{
	slice_t v = slice_cstr(wolfSSL_get_version(ssl));
	if (slice_starts(v, "TLSv"))
		return arena_printf(a, "TLS%.*s", SL_ARG(slice_sub(v, 4, v.len)));
	return arena_dup(a, v);
}

static void cipher_facts(struct tls_session *t, struct arena *a, struct tls_facts *f)
{
	int suite = wolfSSL_get_current_cipher_suite(t->ssl), bits = 0;
	slice_t name, rfc;
	if (!tls_cipher_names(suite, &name, &rfc, &bits)) {
		name = slice_cstr(wolfSSL_get_cipher_name(t->ssl));
		rfc = slice_cstr(wolfSSL_get_cipher_name_iana_from_suite(
		    (unsigned char)(suite >> 8), (unsigned char)(suite & 0xff)));
		bits = wolfSSL_CIPHER_get_bits(wolfSSL_get_current_cipher(t->ssl), NULL);
	}
	f->ver = version_text(a, t->ssl);
	f->cipher = arena_printf(a, "%.*s:%.*s:%d", SL_ARG(f->ver), SL_ARG(name), bits);
	f->cipher_std = arena_dup(a, rfc);
	f->bits = bits;
}

static slice_t alpn_text(struct tls_session *t, struct arena *a)
{
	const unsigned char *p = NULL;
	unsigned n = 0;
	wolfSSL_get0_alpn_selected(t->ssl, &p, &n);
	return p && n ? arena_dup(a, slice_tainted(p, n)) : slice_absent();
}

/* A resumed session shows no certificate, and so no proof of it. */
static enum tls_ocsp ocsp_fact(const struct tls_session *t)
{
	if (!t->status_asked)
		return TLS_OCSP_NOT_ASKED;
	return t->stapled && !t->resumed ? TLS_OCSP_NOT_VERIFIED : TLS_OCSP_NONE;
}

void tls_session_facts(struct tls_session *t, struct arena *a, struct tls_facts *out)
{
	struct cert peer;
	slice_t none = slice_absent();
	*out = (struct tls_facts){
	    .sni = none, .peerdn = none, .peercert = none, .alpn = none, .verify_error = none};
	cipher_facts(t, a, out);
	if (t->sni)
		out->sni = arena_dup(a, slice_tainted(t->sni, strlen(t->sni)));
	out->alpn = alpn_text(t, a);
	out->ourcert = arena_dup(a, t->cred->cert);
	if (t->peer_seen) {
		out->peercert = arena_dup(a, slice_tainted(t->peer_der, t->peer_der_len));
		if (cert_parse(out->peercert, &peer, NULL) == RC_OK)
			out->peerdn = cert_name_text(a, peer.subject);
	}
	out->verified = t->peer_seen && t->verified;
	out->resumed = t->resumed;
	out->ocsp = ocsp_fact(t);
	if (t->peer_seen && !t->verified && t->verify_error)
		out->verify_error =
		    arena_dup(a, slice_tainted(t->verify_error, strlen(t->verify_error)));
	for (unsigned i = 0; i < TLS_BINDINGS; i++) {
		out->binding[i] = none;
		if (t->binding_len[i])
			out->binding[i] =
			    arena_dup(a, slice_of(t->binding[i], t->binding_len[i], 0));
	}
}

/* ---- channel bindings ---- */

static void put_end_point(struct tls_session *t)
{
	bool server = t->ctx->settings.server;
	slice_t der = server ? t->cred->cert : slice_of(t->peer_der, t->peer_der_len, 0);
	struct cert c;
	if (der.len == 0 || cert_parse(der, &c, NULL) != RC_OK)
		return;
	unsigned bits = cert_signature_digest(&c);
	enum wc_HashType type = bits == 256   ? WC_HASH_TYPE_SHA256
	                        : bits == 384 ? WC_HASH_TYPE_SHA384
	                                      : WC_HASH_TYPE_SHA512;
	if (bits && wc_Hash(type, (const unsigned char *)der.ptr, der.len,
	                t->binding[TLS_BINDING_END_POINT], bits / 8) == 0)
		t->binding_len[TLS_BINDING_END_POINT] = (uint8_t)(bits / 8);
}

/* RFC 5929 3: the first Finished message of the handshake: the client's, or, resumed, the server's.
 */
static void put_unique(struct tls_session *t)
{
	unsigned char *to = t->binding[TLS_BINDING_UNIQUE];
	bool server = t->ctx->settings.server, first_is_ours = server == t->resumed;
	size_t cap = sizeof t->binding[0];
	size_t n = first_is_ours ? wolfSSL_get_finished(t->ssl, to, cap)
	                         : wolfSSL_get_peer_finished(t->ssl, to, cap);
	t->binding_len[TLS_BINDING_UNIQUE] = (uint8_t)(n <= cap ? n : 0);
}

/* Taken at once: the secrets behind them are given up when the session is parked. */
void tls_bindings_take(struct tls_session *t)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	enum { EXPORTER_LEN = 32 };
	const unsigned char none = 0;
	if (wolfSSL_export_keying_material(t->ssl, t->binding[TLS_BINDING_EXPORTER], EXPORTER_LEN,
	        label, sizeof label - 1, &none, 0, 1) == WOLFSSL_SUCCESS)
		t->binding_len[TLS_BINDING_EXPORTER] = EXPORTER_LEN;
	if (wolfSSL_version(t->ssl) != TLS1_3_VERSION)
		put_unique(t);
	put_end_point(t);
}

enum rc tls_channel_binding(
    struct tls_session *t, enum tls_binding which, struct arena *a, slice_t *out, struct error *err)
{
	if ((unsigned)which >= TLS_BINDINGS || t->binding_len[which] == 0)
		return error_set(err, RC_FAIL, "this session has no such channel binding");
	*out = arena_dup(a, slice_of(t->binding[which], t->binding_len[which], 0));
	return RC_OK;
}
