/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The judgement on chains by itself: certificates that no TLS library would even serve. */
#include "tls_pair.h"

#include "net/tls/tls_private.h"

#include "base/clock.h"
#include "base/io.h"
#include "net/tls/der.h"

struct row {
	const char *chain[6];
	const char *why; /* NULL: good */
};

static slice_t load(const char *name)
{
	slice_t text, der;
	if (!CHECK(io_read_file(arena, in_dir(name).ptr, 4 << 20, &text, NULL) == RC_OK) ||
	    !CHECK(tls_pem_next(arena, &text, "CERTIFICATE", &der)))
		return slice_absent();
	return der;
}

static struct tls_trust *trust_of(const char *file)
{
	struct tls_trust *t = NULL;
	struct error e = {0};
	struct tls_settings s = {.trust = in_dir(file)};
	if (!CHECK_EQ_INT(tls_trust_load(&s, arena, &t, &e), RC_OK))
		fprintf(stderr, "# %s\n", e.text);
	return t;
}

TEST(chains_that_nobody_serves)
{
	static const struct row rows[] = {
	    {{"ec.pem"}, NULL},
	    {{"critical.pem"}, "critical extension"},
	    {{"weak.pem"}, "1024 bits is too weak"},
	    {{"veryweak.pem"}, "512 bits is too weak"},
	    {{"many.pem"}, NULL},
	    {{"by_mid.pem", "mid.pem"}, NULL},
	    {{"by_mid.pem", "notca.pem", "mid.pem"}, NULL}, /* what is not needed does no harm */
	    {{"by_mid.pem", "ca.pem", "mid.pem"}, NULL},
	    {{"by_mid.pem", "mid.pem", "expired.pem"}, NULL},
	    {{"by_mid.pem", "oldmid.pem"}, "issuer is not known"},
	    {{"by_oldmid.pem", "oldmid.pem"}, "expired"},
	    {{"by_below.pem", "below.pem", "short.pem"}, "longer than its issuer allows"},
	    {{"by_notca.pem", "notca.pem"}, "may not sign"},
	    {{"by_other.pem", "other.pem"}, "not trusted"}, /* a root that comes with the chain */
	    {{"nul.pem"}, "NUL"},
	    {{"mid.pem"}, NULL},
	    {{"ca.pem"}, NULL},
	};
	if (!CHECK(tls_setup()))
		return;
	struct tls_trust *t = trust_of("ca.pem");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		slice_t chain[6];
		unsigned n = 0;
		struct error e = {0};
		for (; n < 6 && rows[i].chain[n]; n++)
			chain[n] = load(rows[i].chain[n]);
		enum rc rc = tls_trust_verify(t, chain, n, true, &e);
		bool ok = CHECK_EQ_INT(rc, rows[i].why ? RC_FAIL : RC_OK);
		ok &= CHECK(!rows[i].why || strstr(e.text, rows[i].why) != NULL);
		if (!ok)
			fprintf(stderr, "# %s: %s\n", rows[i].chain[0], e.text);
	}
	tls_trust_unref(&t);
}

TEST(a_name_with_a_nul_is_no_name)
{
	struct cert c;
	if (!CHECK(tls_setup()))
		return;
	CHECK_EQ_INT(cert_parse(load("nulonly.pem"), &c, NULL), RC_OK);
	CHECK(!cert_is_for(&c, SL("mx.example.org")));
	CHECK(!cert_is_for(&c, SL("evil.example")));
	CHECK(cert_name_has_nul(&c));
	CHECK_EQ_INT(cert_parse(load("many.pem"), &c, NULL), RC_OK);
	CHECK(
	    cert_is_for(&c, SL("n9999.example.org")) && !cert_is_for(&c, SL("n10000.example.org")));
	/* the common name counts only without a dNSName */
	CHECK_EQ_INT(cert_parse(load("mid.pem"), &c, NULL), RC_OK);
	CHECK(cert_is_for(&c, SL("between")));
	CHECK_EQ_INT(cert_parse(load("self.pem"), &c, NULL), RC_OK);
	CHECK(!cert_is_for(&c, SL("self")));
}

/* A chain full of look-alikes must not cost more than a few checks. */
TEST(a_crowd_of_issuers_costs_little)
{
	slice_t chain[TLS_CHAIN_MAX];
	struct error e = {0};
	if (!CHECK(tls_setup()))
		return;
	struct tls_trust *t = trust_of("other.pem");
	for (int round = 0; round < 2; round++) {
		chain[0] = load("by_mid.pem");
		for (unsigned i = 1; i < TLS_CHAIN_MAX; i++)
			chain[i] = load(round ? "ca.pem" : "mid.pem");
		int64_t began = clock_mono_us();
		CHECK_EQ_INT(tls_trust_verify(t, chain, TLS_CHAIN_MAX, true, &e), RC_FAIL);
		CHECK(clock_mono_us() - began < 2 * US_PER_SEC);
	}
	tls_trust_unref(&t);
}

/* What a peer sends must not stay in a context: the next peer would be measured by it, and memory
 * would grow. */
TEST(a_context_learns_nothing_from_peers)
{
	static const char *const clients[][2] = {{"chain_whole.pem", "by_mid.key"},
	    {"chain_other.pem", "by_other.key"}, {"self.pem", "self.key"},
	    {"client.pem", "client.key"}};
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	ss.trust = in_dir("ca.pem");
	ss.verify = TLS_VERIFY_TRY;
	struct tls_context *ctx = NULL;
	CHECK_EQ_INT(tls_context_get(cache, &ss, arena, &ctx, NULL, NULL), RC_OK);
	int before = wolfSSL_CTX_get_cert_cache_memsize(ctx->cred[0].wolf);
	for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
		struct pair p;
		cs.certificate = in_dir(clients[i][0]);
		cs.privatekey = in_dir(clients[i][1]);
		if (!pair_open(&p, &ss, &cs, slice_absent(), slice_absent(), slice_absent()))
			return;
		pair_shake(&p);
		CHECK_EQ_INT(p.s.io, TLS_DONE);
		pair_close(&p);
		if (!CHECK_EQ_INT(wolfSSL_CTX_get_cert_cache_memsize(ctx->cred[0].wolf), before))
			fprintf(stderr, "# %s\n", clients[i][0]);
	}
	tls_context_unref(&ctx);
	/* so a client that leaves its issuer out fails after one that sent it */
	struct pair p;
	struct tls_facts f;
	cs.certificate = in_dir("by_mid.pem");
	cs.privatekey = in_dir("by_mid.key");
	if (!pair_open(&p, &ss, &cs, slice_absent(), slice_absent(), slice_absent()))
		return;
	pair_shake(&p);
	if (CHECK_EQ_INT(p.s.io, TLS_DONE)) {
		tls_session_facts(p.s.t, arena, &f);
		CHECK(!f.verified);
	}
	pair_close(&p);
}

TEST(times_of_certificates)
{
	static const struct {
		unsigned tag;
		const char *text;
		int64_t when; /* -1: refused */
	} rows[] = {
	    {DER_UTC, "700101000000Z", 0},
	    {DER_UTC, "491231235959Z", 2524607999},
	    {DER_UTC, "500101000000Z", -631152000},
	    {DER_GENERAL_TIME, "20500101000000Z", 2524608000},
	    {DER_GENERAL_TIME, "20000229120000Z", 951825600},
	    {DER_GENERAL_TIME, "99991231235959Z", 253402300799},
	    {DER_UTC, "7001010000Z", -1},
	    {DER_UTC, "700101000000+0100", -1},
	    {DER_UTC, "701301000000Z", -1},
	    {DER_UTC, "70010100000aZ", -1},
	    {DER_INT, "700101000000Z", -1},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct der_item it = {.tag = rows[i].tag, .in = der_of(slice_cstr(rows[i].text))};
		int64_t got = -1;
		bool ok = der_time(&it, &got);
		CHECK_EQ_INT(got, rows[i].when);
		CHECK_EQ_INT(ok, rows[i].when != -1);
	}
}
TAP_MAIN()
