/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net/tls/tls_private: what the parts of this module share.  Include it first: wolfSSL's options
 * fix the layout of its structs.
 */
#ifndef HEDDLE_NET_TLS_PRIVATE_H
#define HEDDLE_NET_TLS_PRIVATE_H
#include <wolfssl/options.h>

#include "base/strbuf.h"
#include "base/vec.h"
#include "net/tls/tls.h"
#include "thread/lock.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <wolfssl/ssl.h>

/* ---- files that a context was made from ---- */
struct tls_file {
	char *path;
	bool present; /* false: it did not exist, which may change as well */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};
struct tls_files {
	struct arena *arena;
	struct vec list; /* struct tls_file */
};
/* Contents into `scratch`; the file is noted in f.  A directory, a fifo or a file over 4 MiB is
 * ERROR. */
MUST_USE enum rc tls_files_read(struct tls_files *f, struct arena *scratch, slice_t path,
    const char *what, slice_t *out, struct error *err);
void tls_files_note(struct tls_files *f, const char *path);
bool tls_files_changed(const struct tls_files *f);
bool tls_files_same(const struct tls_files *a, const struct tls_files *b);

/* PEM blocks of this kind ("CERTIFICATE"), as DER, in order.  *rest moves behind; false: no more.
 */
bool tls_pem_next(struct arena *a, slice_t *rest, const char *kind, slice_t *out_der);

/* ---- keys and certificates ---- */
enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_ECDSA, TLS_KEY_ED25519, TLS_KEY_OTHER };
struct tls_credential {
	WOLFSSL_CTX *wolf;
	/* the same for a client that is given the proof of its status; NULL: there is none */
	WOLFSSL_CTX *stapling;
	enum tls_key_kind kind;
	unsigned bits;  /* of the key; of the curve */
	slice_t cert;   /* DER of the leaf, in the context's arena; ABSENT: a client without one */
	slice_t issuer; /* of the next one in the file; empty: none */
};
enum { TLS_CREDENTIALS_MAX = 4, TLS_GROUPS_MAX = 8, TLS_RSA_BITS_MIN = 2048, TLS_CHAIN_MAX = 10 };

struct tls_trust; /* counted: roots and revocation lists */

struct tls_context {
	/* const after publication */
	struct arena *arena;
	struct tls_settings settings; /* texts in the arena */
	struct tls_credential cred[TLS_CREDENTIALS_MAX];
	unsigned creds;
	struct tls_trust *trust;
	struct tls_files files;
	char *alpn;        /* names with commas between, for wolfSSL; NULL: none */
	uint64_t identity; /* hash of the texts */
	int64_t made_us;   /* monotonic */
	uint32_t suites;   /* by tls_suites_of */
	bool tls13;        /* speaks it */
	int groups[TLS_GROUPS_MAX], n_groups; /* as IANA numbers them */
	slice_t ocsp[TLS_CREDENTIALS_MAX];
	/* reference count */
	_Atomic unsigned refs;
};

/* Load what the settings name.  trust: a reference is taken; NULL: load it. */
MUST_USE enum rc tls_context_build(const struct tls_settings *s, struct tls_trust *trust,
    struct arena *scratch, struct tls_context **out, struct error *err);
/* Each certificate with its key on a WOLFSSL_CTX of its own. */
MUST_USE enum rc tls_credentials_load(
    struct tls_context *c, struct arena *scratch, struct error *err);
/* A new P-256 key and a certificate for `name`, both PEM in scratch. */
MUST_USE enum rc tls_self_signed(
    struct arena *scratch, slice_t name, slice_t *out_cert, slice_t *out_key, struct error *err);
/* Next item of a list in Exim's form. */
bool tls_list_next(struct arena *a, slice_t *rest, char *sep, slice_t *out);

/* ---- ciphers.c ---- */
/* wolfSSL's list of names for a tls_require_ciphers; empty: the default. */
MUST_USE enum rc tls_cipher_list(
    struct arena *a, slice_t wanted, bool server, bool dhe, slice_t *out, struct error *err);
/* The suites of such a list, a bit each; and does one of them go with this kind of key, which the
 * client offers as well? */
uint32_t tls_suites_of(slice_t list);
bool tls_suites_meet(uint32_t permitted, const struct tls_hello *hello, enum tls_key_kind kind);
/* Would TLS 1.3 between the two have a group? */
bool tls_groups_meet(const struct tls_context *c, const struct tls_hello *hello);
MUST_USE enum rc tls_group_list(
    slice_t wanted, int groups[TLS_GROUPS_MAX], int *out_count, struct error *err);
/* OpenSSL's and the RFC's names of a suite, effective key bits; false: not in the table. */
bool tls_cipher_names(int suite, slice_t *out_openssl, slice_t *out_rfc, int *out_bits);

/* ---- trust.c ---- */
MUST_USE enum rc tls_trust_load(
    const struct tls_settings *s, struct arena *scratch, struct tls_trust **out, struct error *err);
struct tls_trust *tls_trust_ref(struct tls_trust *t);
void tls_trust_unref(struct tls_trust **t);
const struct tls_files *tls_trust_files(const struct tls_trust *t);
bool tls_trust_matches(const struct tls_trust *t, const struct tls_settings *s);
/* A chain as the peer sent it, leaf first.  FAIL: not to be trusted, err says why. */
MUST_USE enum rc tls_trust_verify(const struct tls_trust *t, const slice_t *chain, unsigned count,
    bool peer_is_server, struct error *err);

/* ---- resume.c: client sessions to be offered again ---- */
struct tls_resume;
struct tls_resume *tls_resume_new(void);
void tls_resume_free(struct tls_resume **r);
struct tls_resumable {
	slice_t session; /* as wolfSSL writes it */
	slice_t peer;    /* DER */
	bool verified;
};
/* Takes it out: a ticket is offered once. */
bool tls_resume_take(struct tls_resume *r, struct arena *a, slice_t key, struct tls_resumable *out);
void tls_resume_put(struct tls_resume *r, slice_t key, const struct tls_resumable *what);
struct tls_resume *tls_contexts_resume(struct tls_contexts *c);

/* ---- memory.c ---- */
enum rc tls_memory_init(struct error *err);
/* Zero pages of a block that wolfSSL allocated go back to the system. */
void tls_memory_give_back(void *p);
void tls_memory_thread_exit(void);

struct tls_session {
	WOLFSSL *ssl;
	struct tls_context *ctx;
	const struct tls_credential *cred;
	int fd;
	bool done, eof, failed, goodbye, arrays_freed;
	bool closing; /* what is written now goes together with close_notify */
	/* what came from the descriptor and was not yet asked for */
	char *in;
	uint32_t in_at, in_len;
	/* a ticket that waits for the first reply */
	char *held;
	uint32_t held_len;
	bool was_blocked; /* a send took less than it was given: what follows is a rest */
	/* the verdict on the peer's certificate */
	bool peer_seen, verified, resumed, alpn_refused, status_asked, stapled;
	char *verify_error; /* malloc */
	char *verify_name;
	unsigned char *peer_der;
	uint32_t peer_der_len;
	unsigned char binding[TLS_BINDINGS][64];
	uint8_t binding_len[TLS_BINDINGS];
	char *sni;
	/* client: where its session goes */
	struct tls_resume *resume;
	char *resume_key;
	bool offered, offered_verified;
	uint64_t offered_ticket; /* hash */
};
void tls_bindings_take(struct tls_session *t);
#endif
