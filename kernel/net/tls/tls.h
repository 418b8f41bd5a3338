/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net/tls: TLS 1.2 and 1.3 over a non-blocking socket, by wolfSSL; the one place that includes its
 * TLS headers.
 *
 * A context is what a configuration's texts name, loaded: certificates and keys (RSA and ECDSA side
 * by side), trust, revocation lists, ciphers, groups.  Contexts are immutable and counted;
 * tls_contexts caches them by the texts and by the files behind them (device, inode, size, mtime),
 * so a renewed certificate makes a new one and sessions keep theirs. A file that has gone bad
 * leaves the old context in use; the caller is told once.
 *
 * Server: read until tls_hello_parse knows the ClientHello, choose the context by what it says,
 * tls_server_new with the bytes read, tls_handshake until TLS_DONE, then tls_read and tls_write.
 * Client: tls_client_new, the same. Owns: not the descriptor.  Threads: contexts any; a session one
 * thread at a time (parking hands it over). Blocks: loading files does; everything on a session
 * says TLS_WANT_READ or _WRITE instead. A thread that runs handshakes ends with tls_thread_exit
 * (wolfSSL keeps 2 to 12 MiB for each). Failure: texts in struct error name file or alert; nothing
 * is ever sent or taken in clear by this module. Source: RFC 8446, 5246, 3207, 6066, 7301; Exim
 * specification, chapter 43.
 */
#ifndef HEDDLE_NET_TLS_H
#define HEDDLE_NET_TLS_H
#include "base/arena.h"

struct tls_contexts; /* the cache; one in a process */
struct tls_context;  /* counted */
struct tls_session;

enum tls_verify { TLS_VERIFY_NONE, TLS_VERIFY_TRY, TLS_VERIFY_REQUIRE };

/* Texts are expanded already; ABSENT or empty: not set. */
struct tls_settings {
	bool server;
	slice_t certificate,
	    privatekey; /* Exim's lists of files; privatekey empty: in the certificate files */
	slice_t self_signed_for; /* server without a certificate: one is made for this name; ABSENT:
	                            none */
	slice_t trust;           /* "system", a file or a directory; empty: none */
	slice_t crl;
	slice_t ciphers; /* tls_require_ciphers: OpenSSL, wolfSSL or RFC names */
	slice_t groups;  /* tls_eccurve: "auto" or a list of names */
	slice_t alpn;    /* list of names */
	slice_t dhparam, ocsp_file;
	enum tls_verify verify; /* of the peer's certificate, by trust and crl */
	bool resumption;        /* never where a client's certificate is asked for */
};

MUST_USE enum rc tls_contexts_new(struct tls_contexts **out, struct error *err);
void tls_contexts_free(struct tls_contexts **c);
/* A reference.  ERROR: a file, key or cipher list is wrong (err names it) and there is no older
 * one. *out_stale (may be NULL): the text of what is wrong with the present files, when an older
 * context goes on; once each time. */
MUST_USE enum rc tls_context_get(struct tls_contexts *c, const struct tls_settings *s,
    struct arena *scratch, struct tls_context **out, const char **out_stale, struct error *err);
void tls_context_unref(struct tls_context **c);

/* ---- the ClientHello ---- */
struct tls_hello {
	slice_t sni; /* of the first host_name; ABSENT: none; points into the bytes */
	bool tls13;  /* offers it */
	bool ecdsa;  /* can verify ECDSA certificates */
	bool p256, p384,
	    p521; /* in TLS 1.3, where the signature names the curve, those with such keys */
	bool rsa, ed25519; /* and these */
	bool status;       /* asks for the proof of tls_ocsp_file */
	slice_t suites;    /* what it offers, two bytes each; points into the bytes */
	slice_t groups;    /* the same; ABSENT: it names none */
};
/* RC_OK: whole; RC_DEFER: more bytes are needed; RC_FAIL: no TLS, or absurd (err says what). */
MUST_USE enum rc tls_hello_parse(slice_t bytes, struct tls_hello *out, struct error *err);
#define TLS_HELLO_MAX 16389

/* ---- sessions ---- */
enum tls_io {
	TLS_DONE,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
	TLS_CLOSED,    /* close_notify */
	TLS_TRUNCATED, /* the connection ended without one */
	TLS_FAILED,    /* err says why; send nothing more */
};
/* `before`: bytes that were read from fd already (the ClientHello and perhaps more): copied. */
MUST_USE enum rc tls_server_new(struct tls_context *c, int fd, const struct tls_hello *hello,
    slice_t before, struct tls_session **out, struct error *err);
/* name: SNI, or empty for none; verify_name: what the certificate must be for, ABSENT: any.
 * resume_key: sessions of this key are offered again and kept (TLS 1.3 only); ABSENT: none. */
MUST_USE enum rc tls_client_new(struct tls_contexts *cache, struct tls_context *c, int fd,
    slice_t sni, slice_t verify_name, slice_t resume_key, struct tls_session **out,
    struct error *err);
enum tls_io tls_handshake(struct tls_session *t, struct error *err);
/* *got > 0 with TLS_DONE. */
enum tls_io tls_read(struct tls_session *t, void *buf, size_t cap, size_t *got, struct error *err);
/* *put may be less than n.  After WANT_WRITE or WANT_READ call again with the same bytes. */
enum tls_io tls_write(
    struct tls_session *t, const void *buf, size_t n, size_t *put, struct error *err);
/* Is there decrypted input, or a whole record, that a poll on the descriptor would not show? */
bool tls_pending(const struct tls_session *t);
/* About to wait for a long time: give back what memory can be given back.  Only when tls_pending is
 * false. */
void tls_park(struct tls_session *t);
/* What is written from here on are the last words before tls_free: they may go together with
 * close_notify. */
void tls_close_next(struct tls_session *t);
/* close_notify if it can be sent at once; then forget everything. */
void tls_free(struct tls_session **t, bool say_goodbye);
/* Last thing in each thread that ran handshakes. */
void tls_thread_exit(void);

/* ---- what it proved: after the handshake ---- */
/* Values of $tls_in_ocsp.  A proof that is stapled is the site's own: it is passed on, not
 * verified; as client none is asked for. */
enum tls_ocsp { TLS_OCSP_NOT_ASKED, TLS_OCSP_NONE, TLS_OCSP_NOT_VERIFIED };
struct tls_facts {                 /* texts in the arena given */
	slice_t cipher;            /* "TLS1.3:TLS_AES_128_GCM_SHA256:128", as Exim's log has it */
	slice_t cipher_std;        /* the RFC's name */
	slice_t ver;               /* "TLS1.3" */
	slice_t sni;               /* tainted */
	slice_t peerdn;            /* "C=DE,O=x,CN=y", tainted; ABSENT: no certificate */
	slice_t peercert, ourcert; /* DER; ABSENT: none */
	slice_t alpn;
	int64_t bits;
	bool verified; /* a certificate is there, and chain, dates, use and (client) name are right
	                */
	bool resumed;
	enum tls_ocsp ocsp;
	slice_t verify_error; /* why not, ABSENT if verified or no certificate */
	slice_t binding[3];   /* by enum tls_binding; ABSENT: none */
};
void tls_session_facts(struct tls_session *t, struct arena *a, struct tls_facts *out);
/* RFC 9266 tls-exporter and 5929 tls-unique, tls-server-end-point.  FAIL: not available. */
enum tls_binding { TLS_BINDING_EXPORTER, TLS_BINDING_UNIQUE, TLS_BINDING_END_POINT, TLS_BINDINGS };
MUST_USE enum rc tls_channel_binding(struct tls_session *t, enum tls_binding which, struct arena *a,
    slice_t *out, struct error *err);
#endif
