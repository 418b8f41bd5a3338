/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls_pair.h"

#define NO slice_absent()

static bool shake(struct pair *p, const struct tls_settings *ss, const struct tls_settings *cs)
{
	if (!pair_open(p, ss, cs, NO, NO, NO))
		return false;
	pair_shake(p);
	return p->s.io == TLS_DONE && p->c.io == TLS_DONE;
}

TEST(a_session_carries_text_both_ways)
{
	struct pair p;
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	CHECK(shake(&p, &ss, &cs));
	CHECK_EQ_STR(pass(&p.c, &p.s, "EHLO x\r\n"), "EHLO x\r\n");
	CHECK_EQ_STR(pass(&p.s, &p.c, "250 ok\r\n"), "250 ok\r\n");
	CHECK_EQ_STR(pass(&p.c, &p.s, "QUIT\r\n"), "QUIT\r\n");
	char b[16];
	size_t n;
	CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, NULL), TLS_WANT_READ);
	tls_free(&p.c.t, true);
	CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, NULL), TLS_CLOSED);
	pair_close(&p);
}

struct versions {
	const char *name, *cert, *key, *ciphers, *cipher, *std;
	int bits;
};

TEST(facts_say_what_was_negotiated)
{
	static const struct versions rows[] = {
	    {"1.3", "ec.pem", "ec.key", "TLS_AES_128_GCM_SHA256",
	        "TLS1.3:TLS_AES_128_GCM_SHA256:128", "TLS_AES_128_GCM_SHA256", 128},
	    {"1.3", "rsa.pem", "rsa.key", "TLS13-AES256-GCM-SHA384",
	        "TLS1.3:TLS_AES_256_GCM_SHA384:256", "TLS_AES_256_GCM_SHA384", 256},
	    {"1.2", "ec.pem", "ec.key", "ECDHE-ECDSA-AES128-GCM-SHA256:!TLSv1.3",
	        "TLS1.2:ECDHE-ECDSA-AES128-GCM-SHA256:128",
	        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 128},
	    {"1.2", "rsa.pem", "rsa.key", "ECDHE+AESGCM+AES256:!TLSv1.3",
	        "TLS1.2:ECDHE-RSA-AES256-GCM-SHA384:256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	        256},
	    {"1.2", "rsa.pem", "rsa.key", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:!TLSv1.3",
	        "TLS1.2:ECDHE-RSA-CHACHA20-POLY1305:256",
	        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 256},
	    {"1.3", "ed.pem", "ed.key", "", "TLS1.3:TLS_CHACHA20_POLY1305_SHA256:256",
	        "TLS_CHACHA20_POLY1305_SHA256", 256},
	};
	if (!CHECK(tls_setup()))
		return;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct pair p;
		struct tls_facts f, g;
		struct tls_settings ss = server_settings(rows[i].cert, rows[i].key),
		                    cs = client_settings();
		cs.ciphers = slice_cstr(rows[i].ciphers);
		if (!CHECK(shake(&p, &ss, &cs))) {
			fprintf(
			    stderr, "# %s: %s / %s\n", rows[i].cipher, p.s.err.text, p.c.err.text);
			pair_close(&p);
			continue;
		}
		tls_session_facts(p.s.t, arena, &f);
		tls_session_facts(p.c.t, arena, &g);
		CHECK_EQ_STR(f.cipher, rows[i].cipher);
		CHECK_EQ_STR(f.cipher_std, rows[i].std);
		CHECK_EQ_INT(f.bits, rows[i].bits);
		CHECK(slice_eq(f.cipher, g.cipher));
		CHECK(slice_eq(f.ourcert, g.peercert) && f.ourcert.len > 100);
		CHECK(slice_is_absent(f.peercert) && slice_is_absent(f.peerdn) &&
		      slice_is_absent(f.sni));
		CHECK_EQ_STR(g.peerdn, "CN=mx.example.org");
		CHECK(!f.verified && !g.verified && !f.resumed);
		for (int k = 0; k < TLS_BINDINGS; k++) {
			CHECK(slice_eq(f.binding[k], g.binding[k]));
			bool want = k != TLS_BINDING_UNIQUE || rows[i].name[2] == '2';
			CHECK_EQ_INT(f.binding[k].len > 0, want);
		}
		pair_close(&p);
	}
}

/* ---- whom we believe ---- */

struct chain {
	const char *file, *key, *trust, *crl;
	const char *host; /* what the client asks for; NULL: any */
	const char *why;  /* part of the reason; NULL: verified */
};

static const struct chain chains[] = {
    {"ec.pem", "ec.key", "ca.pem", NULL, "mx.example.org", NULL},
    {"ec.pem", "ec.key", "ca.pem", NULL, "MX.Example.ORG.", NULL},
    {"ec.pem", "ec.key", "ca.pem", NULL, "a.wild.example.org", NULL},
    {"ec.pem", "ec.key", "ca.pem", NULL, "127.0.0.1", NULL},
    {"ec.pem", "ec.key", "ca.pem", NULL, "a.b.wild.example.org", "not for a.b.wild"},
    {"ec.pem", "ec.key", "ca.pem", NULL, "wild.example.org", "not for wild"},
    {"ec.pem", "ec.key", "ca.pem", NULL, "127.0.0.2", "not for"},
    {"ec.pem", "ec.key", "hashed", NULL, "mx.example.org", NULL},
    {"rsa.pem", "rsa.key", "roots.pem", NULL, "mx.example.org", NULL},
    {"ed.pem", "ed.key", "ca.pem", NULL, "mx.example.org", NULL},
    {"ec.pem", "ec.key", "other.pem", NULL, "mx.example.org", "issuer is not known"},
    {"ec.pem", "ec.key", NULL, NULL, "mx.example.org", "issuer is not known"},
    {"chain_mid.pem", "by_mid.key", "ca.pem", NULL, "mx.example.org", NULL},
    {"by_mid.pem", "by_mid.key", "ca.pem", NULL, "mx.example.org", "issuer is not known"},
    {"by_mid.pem", "by_mid.key", "mid.pem", NULL, "mx.example.org", NULL},
    {"chain_notca.pem", "by_notca.key", "ca.pem", NULL, "mx.example.org", "sign"},
    {"chain_below.pem", "by_below.key", "ca.pem", NULL, "mx.example.org", ""},
    {"chain_oldmid.pem", "by_oldmid.key", "ca.pem", NULL, "mx.example.org", "expired"},
    {"expired.pem", "expired.key", "ca.pem", NULL, "mx.example.org", "expired"},
    {"notyet.pem", "notyet.key", "ca.pem", NULL, "mx.example.org", "not yet valid"},
    {"usage.pem", "usage.key", "ca.pem", NULL, "mx.example.org", ""},
    {"sha1.pem", "sha1.key", "ca.pem", NULL, "mx.example.org", "SHA-1"},
    {"nul.pem", "nul.key", "ca.pem", NULL, "mx.example.org", "NUL"},
    {"nulonly.pem", "nulonly.key", "ca.pem", NULL, "mx.example.org", "NUL"},
    {"nulonly.pem", "nulonly.key", "ca.pem", NULL, NULL, "NUL"},
    {"nulmail.pem", "nulmail.key", "ca.pem", NULL, "mx.example.org", "NUL"},
    {"nulcn.pem", "nulcn.key", "ca.pem", NULL, "mx.example.org", "NUL"},
    {"nulbmp.pem", "nulbmp.key", "ca.pem", NULL, "mx.example.org", "NUL"},
    {"nulmail.pem", "nulmail.key", "nulmail.pem", NULL, "mx.example.org", "NUL"},
    {"bmp.pem", "bmp.key", "ca.pem", NULL, "mx.example.org", NULL},
    {"dnsip.pem", "dnsip.key", "ca.pem", NULL, "127.0.0.1", "not for 127.0.0.1"},
    {"iponly.pem", "iponly.key", "ca.pem", NULL, "mx.example.org", "not for mx"},
    {"iponly.pem", "iponly.key", "ca.pem", NULL, "127.0.0.1", NULL},
    {"uri.pem", "uri.key", "ca.pem", NULL, "mx.example.org", "not for mx"},
    {"mailonly.pem", "mailonly.key", "ca.pem", NULL, "mx.example.org", NULL},
    {"self.pem", "self.key", "ca.pem", NULL, "mx.example.org", "self-signed"},
    {"self.pem", "self.key", "self.pem", NULL, "mx.example.org", NULL},
    {"self.pem", "self.key", "self.pem", NULL, "other.example.org", "not for other"},
    {"some.pem", "some.key", "ca.pem", NULL, "mx.example.org", NULL},
    {"revoked.pem", "revoked.key", "ca.pem", NULL, "mx.example.org", NULL},
    {"revoked.pem", "revoked.key", "ca.pem", "ca.crl", "mx.example.org", "revoked"},
    {"ec.pem", "ec.key", "ca.pem", "ca.crl", "mx.example.org", NULL},
    {"ec.pem", "ec.key", "ca.pem", "mid.crl", "mx.example.org", "no revocation list"},
    {"chain_mid.pem", "by_mid.key", "ca.pem", "all.crl", "mx.example.org", NULL},
    {"chain_mid.pem", "by_mid.key", "ca.pem", "ca.crl", "mx.example.org", "no revocation list"},
    {"chain_midrevoked.pem", "by_midrevoked.key", "ca.pem", "all.crl", "mx.example.org", "revoked"},
    {"by_other.pem", "by_other.key", "ca.pem", NULL, "mx.example.org", "issuer is not known"},
};

static const char *nil(const char *s)
{
	return s ? s : "-";
}

static bool has_text(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static void try_server_chain(const struct chain *c, const char *ciphers, enum tls_verify verify)
{
	struct pair p;
	struct tls_facts f = {.verify_error = NO};
	struct tls_settings ss = server_settings(c->file, c->key), cs = client_settings();
	cs.trust = in_dir(c->trust);
	cs.crl = in_dir(c->crl);
	cs.ciphers = slice_cstr(ciphers);
	cs.verify = verify;
	if (!pair_open(&p, &ss, &cs, SL("mx.example.org"), slice_cstr(c->host), NO))
		return;
	pair_shake(&p);
	bool good = c->why == NULL, ok = true;
	if (p.c.io == TLS_DONE)
		tls_session_facts(p.c.t, arena, &f);
	if (verify == TLS_VERIFY_REQUIRE) {
		ok = CHECK_EQ_INT(p.c.io, good ? TLS_DONE : TLS_FAILED);
		ok &= CHECK(good || has_text(p.c.err.text, c->why));
		/* nothing can be got out of a refused session */
		size_t n;
		char b[4];
		if (p.c.io == TLS_FAILED)
			CHECK(tls_write(p.c.t, "x", 1, &n, NULL) == TLS_FAILED &&
			      tls_read(p.c.t, b, 4, &n, NULL) == TLS_FAILED);
	} else {
		/* wolfSSL itself ends the session where the usage is wrong: no worse than refusing
		 */
		ok = CHECK(p.c.io == TLS_DONE || !good);
		if (p.c.io == TLS_DONE) {
			ok &= CHECK_EQ_INT(f.verified, good);
			ok &= CHECK(good || has_text(arena_cstr(arena, f.verify_error), c->why));
		}
	}
	if (!ok)
		fprintf(stderr,
		    "# %s by %s (%s) for %s, %s, verify %u: io %u/%u \"%s\" \"%s\" fact \"%.*s\"\n",
		    c->file, nil(c->trust), nil(c->crl), c->host, ciphers, verify, p.c.io, p.s.io,
		    p.c.err.text, p.s.err.text, SL_ARG(f.verify_error));
	pair_close(&p);
}

TEST(a_server_is_believed_only_by_a_whole_chain)
{
	if (!CHECK(tls_setup()))
		return;
	for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
		try_server_chain(&chains[i], "", TLS_VERIFY_REQUIRE);
		try_server_chain(&chains[i], "", TLS_VERIFY_TRY);
		if (strncmp(chains[i].file, "ed", 2) != 0)
			try_server_chain(&chains[i], "DEFAULT:!TLSv1.3", TLS_VERIFY_REQUIRE);
	}
}

static const struct chain client_chains[] = {
    {"client.pem", "client.key", "ca.pem", NULL, NULL, NULL},
    {"rsaclient.pem", "rsaclient.key", "rsaca.pem", NULL, NULL, NULL},
    {"chain_mid.pem", "by_mid.key", "ca.pem", NULL, NULL, NULL},
    {NULL, NULL, "ca.pem", NULL, NULL, "no certificate"},
    {"client.pem", "client.key", "other.pem", NULL, NULL, "issuer is not known"},
    {"self.pem", "self.key", "ca.pem", NULL, NULL, "self-signed"},
    {"nul.pem", "nul.key", "ca.pem", NULL, NULL, "NUL"},
    {"nulmail.pem", "nulmail.key", "ca.pem", NULL, NULL, "NUL"},
    {"nulcn.pem", "nulcn.key", "ca.pem", NULL, NULL, "NUL"},
    {"bmp.pem", "bmp.key", "ca.pem", NULL, NULL, NULL},
    {"expired.pem", "expired.key", "ca.pem", NULL, NULL, "expired"},
    {"notyet.pem", "notyet.key", "ca.pem", NULL, NULL, "not yet valid"},
    {"ec.pem", "ec.key", "ca.pem", NULL, NULL, ""},
    {"by_mid.pem", "by_mid.key", "ca.pem", NULL, NULL, "issuer is not known"},
    {"chain_notca.pem", "by_notca.key", "ca.pem", NULL, NULL, "sign"},
    {"revoked.pem", "revoked.key", "ca.pem", "ca.crl", NULL, "revoked"},
    {"chain_midrevoked.pem", "by_midrevoked.key", "ca.pem", "all.crl", NULL, "revoked"},
};

static void try_client_chain(const struct chain *c, const char *ciphers, enum tls_verify verify)
{
	struct pair p;
	struct tls_facts f = {.verify_error = NO, .peerdn = NO};
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	ss.trust = in_dir(c->trust);
	ss.crl = in_dir(c->crl);
	ss.verify = verify;
	ss.resumption = true;
	cs.certificate = in_dir(c->file);
	cs.privatekey = in_dir(c->key);
	cs.ciphers = slice_cstr(ciphers);
	if (!pair_open(&p, &ss, &cs, NO, NO, NO))
		return;
	pair_shake(&p);
	bool good = c->why == NULL, ok;
	if (p.s.io == TLS_DONE)
		tls_session_facts(p.s.t, arena, &f);
	if (verify == TLS_VERIFY_REQUIRE) {
		ok = CHECK(good == (p.s.io == TLS_DONE));
		ok &= CHECK(good || !c->file || has_text(p.s.err.text, c->why));
	} else {
		ok = CHECK(p.s.io == TLS_DONE || !good);
		ok &= CHECK_EQ_INT(f.verified, good);
		ok &= CHECK(p.s.io != TLS_DONE || slice_is_absent(f.peerdn) == (c->file == NULL));
	}
	if (!ok)
		fprintf(stderr,
		    "# client %s by %s, %s, verify %u: io %u/%u \"%s\" \"%s\" fact \"%.*s\"\n",
		    nil(c->file), nil(c->trust), ciphers, verify, p.c.io, p.s.io, p.c.err.text,
		    p.s.err.text, SL_ARG(f.verify_error));
	pair_close(&p);
}

TEST(a_client_is_believed_only_by_a_whole_chain)
{
	if (!CHECK(tls_setup()))
		return;
	for (size_t i = 0; i < sizeof client_chains / sizeof client_chains[0]; i++) {
		try_client_chain(&client_chains[i], "", TLS_VERIFY_REQUIRE);
		try_client_chain(&client_chains[i], "", TLS_VERIFY_TRY);
		try_client_chain(&client_chains[i], "DEFAULT:!TLSv1.3", TLS_VERIFY_REQUIRE);
		try_client_chain(&client_chains[i], "DEFAULT:!TLSv1.3", TLS_VERIFY_TRY);
	}
}
TAP_MAIN()
