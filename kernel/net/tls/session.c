/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sessions: wolfSSL over a non-blocking descriptor.  What arrives is read in one call into a buffer
 * of ours, from which wolfSSL takes a record's head and then its body; when it says that it wants
 * more, that buffer is empty.
 */
#include "net/tls/der.h"
#include "net/tls/tls_private.h"

#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>

enum { IN_CAP = 17 << 10, WRITE_MAX = 1 << 20, TICKET_MAX = 4096, HELD_MAX = 4096 };

/* ---- below wolfSSL ---- */

static int fill(struct tls_session *t)
{
	if (t->eof)
		return WOLFSSL_CBIO_ERR_CONN_CLOSE;
	if (!t->in && !(t->in = malloc(IN_CAP)))
		return WOLFSSL_CBIO_ERR_GENERAL;
	ssize_t n;
	do
		n = recv(t->fd, t->in, IN_CAP, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		t->in_at = 0;
		t->in_len = (uint32_t)n;
		return 1;
	}
	if (n < 0 && errno == EAGAIN)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	t->eof = true;
	return n == 0 ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_CONN_RST;
}

static int on_recv(WOLFSSL *ssl, char *buf, int size, void *arg)
{
	struct tls_session *t = arg;
	(void)ssl;
	if (t->in_at == t->in_len) {
		int r = fill(t);
		if (r <= 0)
			return r;
	}
	uint32_t n = t->in_len - t->in_at;
	if (size >= 0 && n > (uint32_t)size)
		n = (uint32_t)size;
	memcpy(buf, t->in + t->in_at, n);
	t->in_at += n;
	return (int)n;
}

static ssize_t send_now(struct tls_session *t, const char *buf, size_t size)
{
	ssize_t n;
	do
		n = send(t->fd, buf, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

/* TLS 1.3: at the end of its handshake the server sends a ticket that nobody waits for.  It goes
 * with the first reply: a segment less, and the client does not wake for it.  Alerts are shorter,
 * and a flight begins with a record in clear. */
static bool is_ticket(const struct tls_session *t, const char *buf, int size)
{
	enum { ENCRYPTED = 0x17, ALERT_RECORD_MAX = 64 };
	return !t->done && !t->was_blocked && !t->held && t->ctx->settings.server &&
	       size > ALERT_RECORD_MAX && size <= HELD_MAX && buf[0] == ENCRYPTED &&
	       wolfSSL_version(t->ssl) == TLS1_3_VERSION;
}

static bool hold(struct tls_session *t, const char *buf, size_t size)
{
	t->held = malloc(size);
	if (!t->held)
		return false;
	memcpy(t->held, buf, size);
	t->held_len = (uint32_t)size;
	return true;
}

/* What was held, and this behind it. */
static ssize_t send_held(struct tls_session *t, const char *buf, size_t size)
{
	struct iovec iov[2] = {{t->held, t->held_len}, {(void *)(uintptr_t)buf, size}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = size ? 2 : 1};
	ssize_t n;
	do
		n = sendmsg(t->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return n;
	if ((size_t)n < t->held_len) {
		t->held_len -= (uint32_t)n;
		memmove(t->held, t->held + n, t->held_len);
		errno = EAGAIN;
		return -1;
	}
	n -= (ssize_t)t->held_len;
	free(t->held);
	t->held = NULL;
	t->held_len = 0;
	if (n == 0 && size) {
		errno = EAGAIN;
		return -1;
	}
	return n;
}

static int on_send(WOLFSSL *ssl, char *buf, int size, void *arg)
{
	struct tls_session *t = arg;
	(void)ssl;
	bool waits = is_ticket(t, buf, size) ||
	             (t->closing && !t->was_blocked && !t->held && size <= HELD_MAX);
	if (waits && hold(t, buf, (size_t)size))
		return size;
	ssize_t n = t->held ? send_held(t, buf, (size_t)size) : send_now(t, buf, (size_t)size);
	if (n >= 0) {
		t->was_blocked |= n < size;
		return (int)n;
	}
	t->was_blocked = true;
	if (errno == EAGAIN)
		return WOLFSSL_CBIO_ERR_WANT_WRITE;
	t->eof |= errno == EPIPE || errno == ECONNRESET;
	return WOLFSSL_CBIO_ERR_CONN_RST;
}

/* ---- beginning and end ---- */

static char *copy_text(slice_t s)
{
	char *p = malloc((size_t)s.len + 1);
	MUST(p);
	memcpy(p, s.len ? s.ptr : "", s.len);
	p[s.len] = 0;
	return p;
}

static struct tls_session *session_new(
    struct tls_context *c, const struct tls_credential *cred, bool stapled, int fd)
{
	struct tls_session *t = calloc(1, sizeof *t);
	MUST(t);
	t->ssl = wolfSSL_new(stapled ? cred->stapling : cred->wolf);
	if (!t->ssl) {
		free(t);
		return NULL;
	}
	atomic_fetch_add(&c->refs, 1);
	t->ctx = c;
	t->cred = cred;
	t->stapled = stapled;
	t->fd = fd;
	wolfSSL_SSLSetIORecv(t->ssl, on_recv);
	wolfSSL_SSLSetIOSend(t->ssl, on_send);
	wolfSSL_SetIOReadCtx(t->ssl, t);
	wolfSSL_SetIOWriteCtx(t->ssl, t);
	wolfSSL_SetCertCbCtx(t->ssl, t);
	return t;
}

/* TLS 1.3 has a signature algorithm for each curve. */
static bool can_verify(const struct tls_hello *h, const struct tls_credential *cred)
{
	if (cred->kind == TLS_KEY_RSA)
		return h->rsa;
	if (cred->kind == TLS_KEY_ED25519)
		return h->ed25519;
	if (!h->tls13)
		return h->ecdsa;
	return cred->bits == 256 ? h->p256 : cred->bits == 384 ? h->p384 : h->p521;
}

/* The client's best kind that we have, of those for which both sides permit a suite; the first if
 * there is none. */
static const struct tls_credential *choose(const struct tls_context *c, const struct tls_hello *h)
{
	static const enum tls_key_kind order[] = {TLS_KEY_ECDSA, TLS_KEY_RSA, TLS_KEY_ED25519};
	for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
		for (unsigned i = 0; i < c->creds; i++)
			if (c->cred[i].kind == order[k] && can_verify(h, &c->cred[i]) &&
			    tls_suites_meet(c->suites, h, order[k]))
				return &c->cred[i];
	return &c->cred[0];
}

enum rc tls_server_new(struct tls_context *c, int fd, const struct tls_hello *hello, slice_t before,
    struct tls_session **out, struct error *err)
{
	MUST(c->settings.server && c->creds);
	if (before.len > IN_CAP)
		return error_set(err, RC_FAIL, "%u bytes before the handshake", before.len);
	/* wolfSSL would ask for a group that was not offered */
	if (!tls_groups_meet(c, hello)) {
		static const char no_group[] = {0x15, 3, 3, 0, 2, 2, 40};
		(void)send(fd, no_group, sizeof no_group, MSG_NOSIGNAL);
		return error_set(err, RC_FAIL, "no group for TLS 1.3 in common");
	}
	const struct tls_credential *cred = choose(c, hello);
	bool stapled = hello->status && !hello->tls13 && c->ocsp[cred - c->cred].len;
	struct tls_session *t = session_new(c, cred, stapled, fd);
	if (!t || !(t->in = malloc(IN_CAP))) {
		tls_free(&t, false);
		return error_set(err, RC_DEFER, "no memory for a TLS session");
	}
	memcpy(t->in, before.len ? before.ptr : "", before.len);
	t->in_len = before.len;
	t->status_asked = hello->status;
	if (!slice_is_absent(hello->sni))
		t->sni = copy_text(hello->sni);
	*out = t;
	return RC_OK;
}

/* What a session may be taken up for: the same demands, made of the same name, by the same files.
 */
static char *resume_key_of(const struct tls_session *t, slice_t key)
{
	struct arena *a = arena_new(0);
	slice_t s = arena_printf(a, "%llx %lld %s %s %.*s", (unsigned long long)t->ctx->identity,
	    (long long)t->ctx->made_us, t->sni ? t->sni : "", t->verify_name ? t->verify_name : "",
	    SL_ARG(key));
	char *copy = copy_text(s);
	arena_free(&a);
	return copy;
}

/* 0: it has none. */
static uint64_t ticket_hash(struct tls_session *t)
{
	unsigned char ticket[TICKET_MAX];
	word32 n = sizeof ticket;
	if (wolfSSL_get_SessionTicket(t->ssl, ticket, &n) != WOLFSSL_SUCCESS || n == 0 ||
	    n > sizeof ticket)
		return 0;
	return hash_bytes(slice_of(ticket, n, 0));
}

static void offer_session(struct tls_session *t)
{
	struct arena *a = arena_new(0);
	struct tls_resumable r;
	if (tls_resume_take(t->resume, a, slice_cstr(t->resume_key), &r)) {
		const unsigned char *p = (const unsigned char *)r.session.ptr;
		WOLFSSL_SESSION *s = wolfSSL_d2i_SSL_SESSION(NULL, &p, r.session.len);
		if (s && wolfSSL_set_session(t->ssl, s) == WOLFSSL_SUCCESS) {
			t->offered = true;
			t->offered_verified = r.verified;
			t->offered_ticket = ticket_hash(t);
			t->peer_der_len = r.peer.len;
			t->peer_der = (unsigned char *)copy_text(r.peer);
		}
		wolfSSL_SESSION_free(s);
	}
	arena_free(&a);
	wolfSSL_ERR_clear_error();
}

enum rc tls_client_new(struct tls_contexts *cache, struct tls_context *c, int fd, slice_t sni,
    slice_t verify_name, slice_t resume_key, struct tls_session **out, struct error *err)
{
	MUST(!c->settings.server && c->creds);
	struct tls_session *t = session_new(c, &c->cred[0], false, fd);
	if (!t)
		return error_set(err, RC_DEFER, "no memory for a TLS session");
	if (sni.len) {
		t->sni = copy_text(sni);
		if (sni.len > UINT16_MAX || wolfSSL_UseSNI(t->ssl, WOLFSSL_SNI_HOST_NAME, t->sni,
		                                (unsigned short)sni.len) != WOLFSSL_SUCCESS) {
			tls_free(&t, false);
			return error_set(
			    err, RC_ERROR, "tls_sni \"%.*s\" cannot be sent", SL_ARG(sni));
		}
	}
	if (!slice_is_absent(verify_name))
		t->verify_name = copy_text(verify_name);
	if (c->alpn)
		(void)wolfSSL_UseALPN(
		    t->ssl, c->alpn, (unsigned)strlen(c->alpn), WOLFSSL_ALPN_CONTINUE_ON_MISMATCH);
	if (c->settings.resumption && !slice_is_absent(resume_key)) {
		t->resume = tls_contexts_resume(cache);
		t->resume_key = resume_key_of(t, resume_key);
		offer_session(t);
	}
	*out = t;
	return RC_OK;
}

/* A ticket came after the handshake, if one came: only now, at the end, it is known.  The one that
 * was offered is still in the session otherwise, and would be offered with the secrets of another
 * handshake. */
static void keep_session(struct tls_session *t)
{
	unsigned char *bytes = NULL;
	uint64_t ticket = ticket_hash(t);
	if (!ticket || ticket == t->offered_ticket)
		return;
	WOLFSSL_SESSION *s = wolfSSL_get1_session(t->ssl);
	if (!s)
		return;
	int n = wolfSSL_i2d_SSL_SESSION(s, &bytes);
	if (n > 0) {
		struct tls_resumable r = {.session = slice_of(bytes, (size_t)n, 0),
		    .peer = slice_of(t->peer_der, t->peer_der_len, 0),
		    .verified = t->verified};
		tls_resume_put(t->resume, slice_cstr(t->resume_key), &r);
	}
	wolfSSL_Free(bytes);
	wolfSSL_SESSION_free(s);
}

void tls_free(struct tls_session **tp, bool say_goodbye)
{
	struct tls_session *t = *tp;
	*tp = NULL;
	if (!t)
		return;
	if (t->done && !t->failed && t->resume && wolfSSL_version(t->ssl) == TLS1_3_VERSION)
		keep_session(t);
	if (say_goodbye && t->done && !t->failed && !t->eof)
		(void)wolfSSL_shutdown(t->ssl);
	if (t->held && t->closing)
		(void)send_held(t, NULL, 0);
	wolfSSL_free(t->ssl);
	wolfSSL_ERR_clear_error();
	tls_context_unref(&t->ctx);
	if (t->in)
		explicit_bzero(t->in, t->in_len);
	explicit_bzero(t->binding, sizeof t->binding);
	free(t->in);
	free(t->held);
	free(t->sni);
	free(t->verify_error);
	free(t->verify_name);
	free(t->peer_der);
	free(t->resume_key);
	free(t);
}

void tls_thread_exit(void)
{
	wolfSSL_ERR_clear_error();
	wolfSSL_ERR_remove_thread_state(NULL);
	tls_memory_thread_exit();
#ifdef FP_ECC /* a library built with sp-asm is better without it */
	wc_ecc_fp_free();
#endif
}

/* ---- what wolfSSL says ---- */

static const struct {
	int code;
	const char *name;
} alerts[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {22, "record_overflow"},
    {40, "handshake_failure"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {109, "missing_extension"},
    {112, "unrecognized_name"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

static const char *alert_name(int code)
{
	for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
		if (alerts[i].code == code)
			return alerts[i].name;
	return "unknown alert";
}

static void explain(struct tls_session *t, int e, struct error *err)
{
	WOLFSSL_ALERT_HISTORY h = {{0, 0}, {0, 0}};
	if (t->verify_error && t->ctx->settings.verify == TLS_VERIFY_REQUIRE && !t->verified) {
		(void)error_set(
		    err, RC_FAIL, "certificate verification failed: %s", t->verify_error);
		return;
	}
	if (wolfSSL_get_alert_history(t->ssl, &h) == WOLFSSL_SUCCESS && e == FATAL_ERROR) {
		(void)error_set(
		    err, RC_FAIL, "the peer sent the alert %s", alert_name(h.last_rx.code));
		return;
	}
	const char *why = wolfSSL_ERR_reason_error_string((unsigned long)e);
	(void)error_set(err, RC_FAIL, "%s (%d)", why ? why : "TLS error", e);
}

/* For a call of wolfSSL's that did not do what it was asked. */
static enum tls_io outcome(struct tls_session *t, int ret, struct error *err)
{
	int e = wolfSSL_get_error(t->ssl, ret);
	wolfSSL_ERR_clear_error();
	switch (e) {
	case WOLFSSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case WOLFSSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case WOLFSSL_ERROR_ZERO_RETURN:
		if (t->done) {
			t->goodbye = true;
			return TLS_CLOSED;
		}
		break;
	default:
		break;
	}
	t->failed = true;
	if (t->eof) {
		(void)error_set(err, RC_FAIL, "the connection was closed without notice");
		return TLS_TRUNCATED;
	}
	explain(t, e, err);
	return TLS_FAILED;
}

static enum tls_io refused(struct tls_session *t, struct error *err, const char *why)
{
	t->failed = true;
	(void)error_set(err, RC_FAIL, "%s", why);
	return TLS_FAILED;
}

static enum tls_io handshake_done(struct tls_session *t, struct error *err)
{
	const struct tls_settings *s = &t->ctx->settings;
	t->resumed = wolfSSL_session_reused(t->ssl) != 0;
	if (t->resumed && s->server && s->verify != TLS_VERIFY_NONE)
		return refused(t, err, "a session was resumed where a certificate is asked for");
	if (t->alpn_refused)
		return refused(t, err, "the peer offers none of the protocols of tls_alpn alone");
	if (t->resumed && t->offered) {
		t->peer_seen = t->peer_der_len != 0;
		t->verified = t->offered_verified;
	}
	if (s->verify == TLS_VERIFY_REQUIRE && !t->verified)
		return refused(t, err,
		    t->peer_seen ? "certificate verification failed"
		                 : "the peer has no certificate");
	t->done = true;
	tls_bindings_take(t);
	return TLS_DONE;
}

enum tls_io tls_handshake(struct tls_session *t, struct error *err)
{
	if (t->done)
		return TLS_DONE;
	if (t->failed)
		return refused(t, err, "the handshake has failed before");
	int r = t->ctx->settings.server ? wolfSSL_accept(t->ssl) : wolfSSL_connect(t->ssl);
	enum tls_io io = r == WOLFSSL_SUCCESS ? handshake_done(t, err) : outcome(t, r, err);
	if (io != TLS_DONE && t->held) /* it was no ticket */
		(void)send_held(t, NULL, 0);
	return io;
}

enum tls_io tls_read(struct tls_session *t, void *buf, size_t cap, size_t *got, struct error *err)
{
	*got = 0;
	if (t->failed || !t->done)
		return refused(t, err, "there is no TLS session to read from");
	if (t->goodbye)
		return TLS_CLOSED;
	int n = wolfSSL_read(t->ssl, buf, cap < WRITE_MAX ? (int)cap : WRITE_MAX);
	if (n > 0) {
		*got = (size_t)n;
		return TLS_DONE;
	}
	return outcome(t, n, err);
}

enum tls_io tls_write(
    struct tls_session *t, const void *buf, size_t n, size_t *put, struct error *err)
{
	*put = 0;
	if (t->failed || !t->done)
		return refused(t, err, "there is no TLS session to write to");
	if (n == 0)
		return TLS_DONE;
	int r = wolfSSL_write(t->ssl, buf, n < WRITE_MAX ? (int)n : WRITE_MAX);
	if (r > 0) {
		*put = (size_t)r;
		return TLS_DONE;
	}
	return outcome(t, r, err);
}

void tls_close_next(struct tls_session *t)
{
	t->closing = t->done;
}

bool tls_pending(const struct tls_session *t)
{
	return !t->failed && (t->in_at < t->in_len || (t->done && wolfSSL_pending(t->ssl) > 0));
}

void tls_park(struct tls_session *t)
{
	if (t->held)
		(void)send_held(t, NULL, 0);
	if (t->in && t->in_at == t->in_len) {
		explicit_bzero(t->in, t->in_len);
		free(t->in);
		t->in = NULL;
		t->in_at = t->in_len = 0;
	}
	if (!t->done || t->arrays_freed)
		return;
	/* once: what a parked session needs later is little, and the pages stay given back unless
	 * they are written */
	wolfSSL_FreeArrays(t->ssl);
	tls_memory_give_back(wolfSSL_get_session(t->ssl));
	t->arrays_freed = true;
}
