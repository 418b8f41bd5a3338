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
	    {"1.3", "ec.pem", "ec.key", "TLS_AES_128_GCM_SHA256", "TLS1.3:TLS_AES_128_GCM_SHA256:128", "TLS_AES_128_GCM_SHA256", 128},
	    {"1.3", "rsa.pem", "rsa.key", "TLS13-AES256-GCM-SHA384", "TLS1.3:TLS_AES_256_GCM_SHA384:256", "TLS_AES_256_GCM_SHA384", 256},
	    {"1.2", "ec.pem", "ec.key", "ECDHE-ECDSA-AES128-GCM-SHA256:!TLSv1.3", "TLS1.2:ECDHE-ECDSA-AES128-GCM-SHA256:128",
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 128},
	    {"1.2", "rsa.pem", "rsa.key", "ECDHE+AESGCM+AES256:!TLSv1.3", "TLS1.2:ECDHE-RSA-AES256-GCM-SHA384:256",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 256},
	    {"1.2", "rsa.pem", "rsa.key", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:!TLSv1.3",
		"TLS1.2:ECDHE-RSA-CHACHA20-POLY1305:256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 256},
	    {"1.3", "ed.pem", "ed.key", "", "TLS1.3:TLS_CHACHA20_POLY1305_SHA256:256", "TLS_CHACHA20_POLY1305_SHA256", 256},
	};
	if (!CHECK(tls_setup()))
		return;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct pair p;
		struct tls_facts f, g;
		struct tls_settings ss = server_settings(rows[i].cert, rows[i].key), cs = client_settings();
		cs.ciphers = slice_cstr(rows[i].ciphers);
		if (!CHECK(shake(&p, &ss, &cs))) {
			fprintf(stderr, "# %s: %s / %s\n", rows[i].cipher, p.s.err.text, p.c.err.text);
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
		CHECK(slice_is_absent(f.peercert) && slice_is_absent(f.peerdn) && slice_is_absent(f.sni));
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
TAP_MAIN()
