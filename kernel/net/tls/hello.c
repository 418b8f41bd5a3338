/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ClientHello, as far as it decides which certificate is shown (RFC 8446 4.1.2, 6066 3,
 * 8446 4.2.3): wolfSSL wants to be told before it sees it.  Foreign bytes: every length is checked;
 * wolfSSL parses and judges the rest by itself.
 */
#include "net/tls/tls_private.h"

struct cursor {
	const unsigned char *p, *end;
	bool bad;
};

static unsigned take(struct cursor *c, unsigned bytes)
{
	unsigned v = 0;
	if (c->bad || (size_t)(c->end - c->p) < bytes) {
		c->bad = true;
		return 0;
	}
	while (bytes--)
		v = v << 8 | *c->p++;
	return v;
}

/* What follows a length of this many bytes, as a cursor of its own. */
static struct cursor take_vector(struct cursor *c, unsigned length_bytes)
{
	struct cursor v = {c->p, c->p, true};
	unsigned n = take(c, length_bytes);
	if (c->bad || (size_t)(c->end - c->p) < n) {
		c->bad = true;
		return v;
	}
	v = (struct cursor){c->p, c->p + n, false};
	c->p += n;
	return v;
}

enum {
	EXT_SNI = 0,
	EXT_STATUS = 5,
	EXT_GROUPS = 10,
	EXT_SIGALGS = 13,
	EXT_VERSIONS = 43,
	SNI_MAX = 255
};

static void read_sni(struct cursor ext, struct tls_hello *out)
{
	struct cursor list = take_vector(&ext, 2);
	while (!list.bad && list.p < list.end) {
		unsigned type = take(&list, 1);
		struct cursor name = take_vector(&list, 2);
		size_t n = (size_t)(name.end - name.p);
		/* a NUL in a name only ever serves to deceive */
		if (name.bad || type != 0 || n == 0 || n > SNI_MAX || memchr(name.p, 0, n))
			continue;
		out->sni = slice_tainted(name.p, n);
		return;
	}
}

static void read_sigalgs(struct cursor ext, struct tls_hello *out)
{
	struct cursor list = take_vector(&ext, 2);
	while (!list.bad && list.p < list.end) {
		unsigned alg = take(&list, 2);
		out->p256 |= alg == 0x0403;
		out->p384 |= alg == 0x0503;
		out->p521 |= alg == 0x0603;
		out->ed25519 |= alg == 0x0807;
		out->rsa |= alg == 0x0401 || alg == 0x0804 || alg == 0x0501 || alg == 0x0805 ||
		            alg == 0x0601 || alg == 0x0806;
	}
	out->ecdsa = out->p256 || out->p384 || out->p521;
}

static void read_groups(struct cursor ext, struct tls_hello *out)
{
	struct cursor list = take_vector(&ext, 2);
	if (!list.bad)
		out->groups = slice_tainted(list.p, (size_t)(list.end - list.p));
}

static void read_versions(struct cursor ext, struct tls_hello *out)
{
	struct cursor list = take_vector(&ext, 1);
	while (!list.bad && list.p < list.end)
		out->tls13 |= take(&list, 2) == 0x0304;
}

/* Does a client that speaks only TLS 1.2 offer a suite with this kind of certificate? */
static void read_suites(struct cursor suites, bool *ecdsa, bool *rsa)
{
	static const uint16_t with_ecdsa[] = {
	    0xc02b, 0xc02c, 0xcca9, 0xc023, 0xc024, 0xc009, 0xc00a, 0xc0ac, 0xc0ad, 0xc0ae, 0xc0af};
	while (!suites.bad && suites.p < suites.end) {
		unsigned id = take(&suites, 2);
		bool is_ecdsa = false;
		for (size_t i = 0; i < sizeof with_ecdsa / sizeof with_ecdsa[0]; i++)
			is_ecdsa |= id == with_ecdsa[i];
		*ecdsa |= is_ecdsa;
		*rsa |= !is_ecdsa && id != 0x00ff && id != 0x5600 && id >> 8 != 0x13;
	}
}

static enum rc read_hello(struct cursor c, struct tls_hello *out, struct error *err)
{
	struct tls_hello h = {.sni = slice_absent(), .groups = slice_absent()};
	bool ecdsa_suite = false, rsa_suite = false, sigalgs = false;
	for (int i = 0; i < 2 + 32; i++) /* version, random */
		(void)take(&c, 1);
	(void)take_vector(&c, 1); /* session id */
	struct cursor suites = take_vector(&c, 2);
	(void)take_vector(&c, 1); /* compression */
	if (c.bad || suites.p == suites.end)
		return error_set(err, RC_FAIL, "the ClientHello is malformed");
	h.suites = slice_tainted(suites.p, (size_t)(suites.end - suites.p));
	read_suites(suites, &ecdsa_suite, &rsa_suite);
	struct cursor exts = {c.p, c.p, false};
	if (c.p < c.end)
		exts = take_vector(&c, 2);
	while (!exts.bad && exts.p < exts.end) {
		unsigned type = take(&exts, 2);
		struct cursor ext = take_vector(&exts, 2);
		if (exts.bad)
			break;
		if (type == EXT_SNI)
			read_sni(ext, &h);
		else if (type == EXT_STATUS)
			h.status = true;
		else if (type == EXT_VERSIONS)
			read_versions(ext, &h);
		else if (type == EXT_GROUPS)
			read_groups(ext, &h);
		else if (type == EXT_SIGALGS) {
			read_sigalgs(ext, &h);
			sigalgs = true;
		}
	}
	if (c.bad || exts.bad || c.p != c.end)
		return error_set(err, RC_FAIL, "the ClientHello is malformed");
	if (!sigalgs)
		h.rsa = true; /* RFC 5246 7.4.1.4.1: SHA-1 by default; only RSA is worth a try */
	if (!h.tls13) {
		h.ecdsa &= ecdsa_suite;
		h.ed25519 &= ecdsa_suite;
		h.rsa &= rsa_suite;
	}
	*out = h;
	return RC_OK;
}

enum {
	RECORD_HEAD = 5,
	HANDSHAKE_HEAD = 4,
	RECORD_MAX = 16384,
	TYPE_HANDSHAKE = 22,
	MSG_CLIENT_HELLO = 1
};

enum rc tls_hello_parse(slice_t bytes, struct tls_hello *out, struct error *err)
{
	const unsigned char *p = (const unsigned char *)bytes.ptr;
	size_t n = bytes.len;
	if (n >= 1 && p[0] != TYPE_HANDSHAKE)
		return error_set(err, RC_FAIL, "this is no TLS");
	if (n >= 2 && p[1] != 3)
		return error_set(err, RC_FAIL, "this is no TLS: version %u", p[1]);
	if (n >= 6 && p[5] != MSG_CLIENT_HELLO)
		return error_set(
		    err, RC_FAIL, "TLS begins with message %u instead of a ClientHello", p[5]);
	if (n < RECORD_HEAD + HANDSHAKE_HEAD)
		return RC_DEFER;
	size_t record = (size_t)p[3] << 8 | p[4];
	size_t hello = (size_t)p[6] << 16 | (size_t)p[7] << 8 | p[8];
	if (record < HANDSHAKE_HEAD || record > RECORD_MAX)
		return error_set(err, RC_FAIL, "a TLS record of %zu bytes", record);
	/* over several records: nobody who means well does so for a text of some 500 bytes */
	if (hello + HANDSHAKE_HEAD > record)
		return error_set(
		    err, RC_FAIL, "a ClientHello of %zu bytes in a record of %zu", hello, record);
	if (n < RECORD_HEAD + record)
		return RC_DEFER;
	const unsigned char *body = p + RECORD_HEAD + HANDSHAKE_HEAD;
	return read_hello((struct cursor){body, body + hello, false}, out, err);
}
