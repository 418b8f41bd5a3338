/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sessions that are cut, garbled, parked or taken up again; credentials that are wrong, or change
 * under a running cache. */
#include "base/io.h"
#include "tls_pair.h"

#include <malloc.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "net/tls/tls_private.h"

#define NO slice_absent()

static bool shake(struct pair *p, const struct tls_settings *ss, const struct tls_settings *cs,
    slice_t resume_key)
{
	if (!pair_open(p, ss, cs, NO, NO, resume_key))
		return false;
	pair_shake(p);
	if (p->s.io == TLS_DONE && p->c.io == TLS_DONE)
		return true;
	fprintf(stderr, "# handshake: %s / %s\n", p->s.err.text, p->c.err.text);
	return false;
}

static const char *const versions[] = {"", "DEFAULT:!TLSv1.3"};

TEST(an_end_without_notice_is_told_from_one_with)
{
	if (!CHECK(tls_setup()))
		return;
	for (int i = 0; i < 2; i++) {
		struct pair p;
		char b[16];
		size_t n;
		struct tls_settings ss = server_settings("ec.pem", "ec.key"),
		                    cs = client_settings();
		cs.ciphers = slice_cstr(versions[i]);
		if (!CHECK(shake(&p, &ss, &cs, NO)))
			return;
		(void)shutdown(p.c.fd, SHUT_WR);
		CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, &p.s.err), TLS_TRUNCATED);
		CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, &p.s.err), TLS_FAILED);
		pair_close(&p);
		/* in the middle of a record */
		if (!CHECK(shake(&p, &ss, &cs, NO)))
			return;
		CHECK_EQ_INT(send(p.c.fd, "\x17\x03\x03\x00\x20half", 9, 0), 9);
		CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, &p.s.err), TLS_WANT_READ);
		(void)shutdown(p.c.fd, SHUT_WR);
		CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, &p.s.err), TLS_TRUNCATED);
		pair_close(&p);
		/* a record that was tampered with, and nothing afterwards */
		if (!CHECK(shake(&p, &ss, &cs, NO)))
			return;
		CHECK_EQ_INT(
		    send(p.c.fd, "\x17\x03\x03\x00\x20nothing that could be authentic.", 37, 0),
		    37);
		CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, &p.s.err), TLS_FAILED);
		CHECK_EQ_INT(tls_write(p.s.t, "x", 1, &n, &p.s.err), TLS_FAILED);
		pair_close(&p);
	}
}

TEST(a_hello_cut_anywhere_waits_and_a_stalled_handshake_holds_nothing)
{
	if (!CHECK(tls_setup()))
		return;
	struct pair p;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	if (!pair_open(&p, &ss, &cs, SL("mx.example.org"), NO, NO))
		return;
	CHECK_EQ_INT(tls_handshake(p.c.t, NULL), TLS_WANT_READ);
	char buf[4096];
	struct tls_hello h;
	ssize_t n = recv(p.s.fd, buf, sizeof buf, 0);
	if (!CHECK(n > 100))
		return;
	for (ssize_t k = 0; k < n; k++)
		if (!CHECK_EQ_INT(
		        tls_hello_parse(slice_tainted(buf, (size_t)k), &h, NULL), RC_DEFER))
			break;
	CHECK_EQ_INT(tls_hello_parse(slice_tainted(buf, (size_t)n), &h, NULL), RC_OK);
	CHECK_EQ_STR(h.sni, "mx.example.org");
	CHECK(h.tls13 && h.ecdsa && h.rsa);
	/* half of it to the session: it waits, as long as it may take */
	slice_t half = slice_tainted(buf, (size_t)n / 2);
	CHECK_EQ_INT(tls_server_new(p.s.ctx, p.s.fd, &h, half, &p.s.t, NULL), RC_OK);
	for (int i = 0; i < 5; i++)
		CHECK_EQ_INT(tls_handshake(p.s.t, NULL), TLS_WANT_READ);
	CHECK(!tls_pending(p.s.t));
	tls_park(p.s.t);
	CHECK_EQ_INT(tls_handshake(p.s.t, NULL), TLS_WANT_READ);
	(void)shutdown(p.c.fd, SHUT_WR);
	CHECK_EQ_INT(tls_handshake(p.s.t, NULL), TLS_TRUNCATED);
	pair_close(&p);
}

TEST(what_is_no_client_hello_is_refused)
{
	static const struct {
		const char *bytes;
		unsigned len;
		enum rc rc;
	} rows[] = {
	    {"", 0, RC_DEFER},
	    {"\x16", 1, RC_DEFER},
	    {"EHLO x\r\n", 8, RC_FAIL},
	    {"GET / HTTP/1.1\r\n", 16, RC_FAIL},
	    {"\x80\x2e\x01\x00\x02", 5, RC_FAIL}, /* SSLv2 */
	    {"\x16\x02\x00", 3, RC_FAIL},
	    {"\x15\x03\x01\x00\x02\x02\x28", 7, RC_FAIL}, /* an alert */
	    {"\x16\x03\x01\x00\x00", 5, RC_DEFER},
	    {"\x16\x03\x01\x00\x00\x01\x00\x00\x00", 9, RC_FAIL},
	    {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, RC_FAIL},
	    {"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, RC_FAIL},
	    {"\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9, RC_FAIL},
	    {"\x16\x03\x01\xff\xff\x01\x00\x00\x10", 9, RC_FAIL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tls_hello h;
		if (!CHECK_EQ_INT(
		        tls_hello_parse(slice_tainted(rows[i].bytes, rows[i].len), &h, NULL),
		        rows[i].rc))
			fprintf(stderr, "# row %zu\n", i);
	}
}

/* A well-framed hello whose inside is noise goes to wolfSSL, which must refuse it and stay quiet
 * about anything else. */
TEST(garbage_in_a_handshake_ends_it)
{
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	unsigned same = 0;
	for (unsigned round = 0; round < 200; round++) {
		struct pair p;
		char buf[4096];
		struct tls_hello h;
		if (!pair_open(&p, &ss, &cs, SL("mx.example.org"), NO, NO))
			return;
		CHECK_EQ_INT(tls_handshake(p.c.t, NULL), TLS_WANT_READ);
		ssize_t n = recv(p.s.fd, buf, sizeof buf, 0);
		for (unsigned k = 0; n > 50 && k < 6; k++) {
			unsigned char r[3];
			io_random(r, sizeof r);
			buf[9 + (r[0] << 8 | r[1]) % (n - 9)] = (char)r[2];
		}
		slice_t got = slice_tainted(buf, n > 0 ? (size_t)n : 0);
		if (tls_hello_parse(got, &h, NULL) == RC_OK &&
		    tls_server_new(p.s.ctx, p.s.fd, &h, got, &p.s.t, NULL) == RC_OK) {
			for (int i = 0; i < 20 && !(is_over(&p.s) && is_over(&p.c)); i++) {
				step(&p.s, true);
				step(&p.c, false);
			}
			/* what was changed is under the transcript: the two never agree */
			same += p.s.io == TLS_DONE && p.c.io == TLS_DONE;
		}
		pair_close(&p);
	}
	/* a byte may be replaced by itself, or lie where nothing depends on it */
	CHECK(same < 40);
}

TEST(the_certificate_is_of_the_kind_that_the_client_can_verify)
{
	static const struct {
		const char *client, *server, *cipher;
	} rows[] = {
	    {"", "", "ec.pem"},
	    {"aRSA:!TLSv1.3", "", "rsa.pem"},
	    {"aECDSA:!TLSv1.3", "", "ec.pem"},
	    {"DEFAULT:!TLSv1.3", "aRSA", "rsa.pem"},
	    {"", "aRSA:!TLSv1.3", "rsa.pem"},
	    {"aRSA:ECDHE-ECDSA-AES128-GCM-SHA256:!TLSv1.3", "aRSA:ECDHE-ECDSA-AES256-GCM-SHA384",
	        "rsa.pem"},
	};
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	ss.certificate = arena_printf(arena, "%s/rsa.pem : %s/ec.pem", certs, certs);
	ss.privatekey = arena_printf(arena, "%s/rsa.key : %s/ec.key", certs, certs);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct pair p;
		struct tls_facts f, one;
		struct pair q;
		struct tls_settings only = server_settings(
		    rows[i].cipher, strcmp(rows[i].cipher, "ec.pem") ? "rsa.key" : "ec.key");
		cs.ciphers = slice_cstr(rows[i].client);
		ss.ciphers = slice_cstr(rows[i].server);
		if (!CHECK(shake(&p, &ss, &cs, NO)) || !CHECK(shake(&q, &only, &cs, NO)))
			return;
		tls_session_facts(p.c.t, arena, &f);
		tls_session_facts(q.c.t, arena, &one);
		CHECK(f.peercert.len && slice_eq(f.peercert, one.peercert));
		pair_close(&p);
		pair_close(&q);
	}
}

TEST(a_certificate_is_made_where_none_is_configured)
{
	struct pair p;
	struct tls_facts f, g;
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings(NULL, NULL), cs = client_settings();
	if (!CHECK(shake(&p, &ss, &cs, NO)))
		return;
	tls_session_facts(p.c.t, arena, &f);
	CHECK(slice_search(f.peerdn, SL("CN=self.example.org")) != SIZE_MAX);
	pair_close(&p);
	/* made once */
	CHECK(shake(&p, &ss, &cs, NO));
	tls_session_facts(p.c.t, arena, &g);
	CHECK(slice_eq(f.peercert, g.peercert));
	pair_close(&p);
}

/* ---- credentials that cannot be used ---- */

TEST(wrong_credentials_are_refused_by_name)
{
	static const struct {
		const char *cert, *key, *why;
	} rows[] = {
	    {"missing.pem", "ec.key", "missing.pem"},
	    {"ec.pem", "missing.key", "missing.key"},
	    {"ec.pem", "rsa.key", "rsa.key does not belong to"},
	    {"ec.pem", "client.key", "client.key does not belong to"},
	    {"rsa.pem", "rsaclient.key", "rsaclient.key does not belong to"},
	    {"ed.pem", "ed2.key", "ed2.key does not belong to"},
	    {"rsa.pem", "encrypted.key", "encrypted"},
	    {"empty.pem", "ec.key", "empty.pem: there is no certificate"},
	    {"ec.pem", "empty.pem", "empty.pem: there is no key"},
	    {"weak.pem", "weak.key", "1024 bits is too weak"},
	    {"veryweak.pem", "veryweak.key", "512 bits is too weak"},
	    {"new", "ec.key", "is no file"},
	    {"ec.pem", NULL, "there is no key"},
	};
	if (!CHECK(tls_setup()))
		return;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tls_context *c = NULL;
		struct error e = {0};
		struct tls_settings s = server_settings(rows[i].cert, rows[i].key);
		CHECK_EQ_INT(tls_context_get(cache, &s, arena, &c, NULL, &e), RC_ERROR);
		if (!CHECK(strstr(e.text, rows[i].why) != NULL))
			fprintf(stderr, "# row %zu %s\n", i, e.text);
		tls_context_unref(&c);
	}
	struct tls_context *c = NULL;
	struct tls_settings s = server_settings("together.pem", NULL);
	CHECK_EQ_INT(tls_context_get(cache, &s, arena, &c, NULL, NULL), RC_OK);
	tls_context_unref(&c);
	s.certificate = SL("relative.pem");
	CHECK_EQ_INT(tls_context_get(cache, &s, arena, &c, NULL, NULL), RC_ERROR);
	/* a fifo is not waited for */
	slice_t fifo = in_dir("fifo");
	CHECK(mkfifo(fifo.ptr, 0600) == 0);
	s = server_settings("fifo", "ec.key");
	CHECK_EQ_INT(tls_context_get(cache, &s, arena, &c, NULL, NULL), RC_ERROR);
}

struct texts {
	const char *ciphers, *groups, *alpn, *trust, *crl, *dh;
	bool good;
};

TEST(texts_that_name_nothing_are_errors)
{
	static const struct texts rows[] = {
	    {.ciphers = "HIGH:!aNULL:!MD5", .good = true},
	    {.ciphers = "ECDHE-RSA-AES128-GCM-SHA256", .good = true},
	    {.ciphers = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", .good = true},
	    {.ciphers = "TLS13-CHACHA20-POLY1305-SHA256", .good = true},
	    {.ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:@STRENGTH", .good = true},
	    {.ciphers = "nonsense:HIGH", .good = true},
	    {.ciphers = "nonsense"},
	    {.ciphers = "!HIGH"},
	    {.ciphers = "HIGH:!HIGH:!TLSv1.3"},
	    {.groups = "auto", .good = true},
	    {.groups = "prime256v1", .good = true},
	    {.groups = "P-384:X25519", .good = true},
	    {.groups = "P-257"},
	    {.alpn = "smtp : esmtp", .good = true},
	    {.dh = "none", .good = true},
	    {.dh = "ffdhe2048", .good = true},
	    {.dh = "ike14", .good = true},
	    {.dh = "sheep"},
	    {.dh = "/nonexistent/dh.pem"},
	};
	if (!CHECK(tls_setup()))
		return;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tls_context *c = NULL;
		struct error e = {0};
		struct tls_settings s = server_settings("ec.pem", "ec.key");
		s.ciphers = slice_cstr(rows[i].ciphers);
		s.groups = slice_cstr(rows[i].groups);
		s.alpn = slice_cstr(rows[i].alpn);
		s.dhparam = slice_cstr(rows[i].dh);
		if (!CHECK_EQ_INT(tls_context_get(cache, &s, arena, &c, NULL, &e),
		        rows[i].good ? RC_OK : RC_ERROR))
			fprintf(stderr, "# row %zu: %s\n", i, e.text);
		tls_context_unref(&c);
	}
	static const char *const no_trust[] = {"missing.pem", "empty.pem"};
	for (size_t i = 0; i < 2; i++) {
		struct tls_context *c = NULL;
		struct tls_settings s = server_settings("ec.pem", "ec.key");
		s.verify = TLS_VERIFY_TRY;
		s.trust = in_dir(no_trust[i]);
		CHECK_EQ_INT(tls_context_get(cache, &s, arena, &c, NULL, NULL), RC_ERROR);
		s.trust = in_dir("ca.pem");
		s.crl = in_dir(no_trust[i]);
		CHECK_EQ_INT(tls_context_get(cache, &s, arena, &c, NULL, NULL), RC_ERROR);
	}
}

static void copy_file(const char *from, const char *to)
{
	slice_t text;
	slice_t path = in_dir(to);
	slice_t tmp = arena_printf(arena, "%s.tmp", path.ptr);
	CHECK(io_read_file(arena, in_dir(from).ptr, 1 << 20, &text, NULL) == RC_OK);
	int fd = open(tmp.ptr, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && io_write_full(fd, text.ptr, text.len) == (ssize_t)text.len);
	(void)close(fd);
	CHECK(rename(tmp.ptr, path.ptr) == 0);
}

static struct tls_context *get(const struct tls_settings *s, const char **stale)
{
	struct tls_context *c = NULL;
	struct error e = {0};
	usleep(1050000); /* files are looked at once a second */
	if (!CHECK_EQ_INT(tls_context_get(cache, s, arena, &c, stale, &e), RC_OK))
		fprintf(stderr, "# %s\n", e.text);
	return c;
}

TEST(renewed_files_are_taken_and_bad_ones_leave_the_old_in_use)
{
	if (!CHECK(tls_setup()))
		return;
	copy_file("ec.pem", "live.pem");
	copy_file("ec.key", "live.key");
	const char *stale = NULL;
	struct tls_settings s = server_settings("live.pem", "live.key");
	struct tls_context *first = get(&s, &stale), *again = NULL, *bad, *fresh;
	CHECK_EQ_INT(tls_context_get(cache, &s, arena, &again, &stale, NULL), RC_OK);
	CHECK(again == first && !stale);
	tls_context_unref(&again);
	copy_file("rsa.pem", "live.pem");
	bad = get(&s, &stale);
	CHECK(bad == first);
	if (CHECK(stale != NULL))
		CHECK(strstr(stale, "live.key does not belong to") != NULL);
	tls_context_unref(&bad);
	bad = get(&s, &stale); /* said once */
	CHECK(bad == first && !stale);
	tls_context_unref(&bad);
	copy_file("rsa.key", "live.key");
	fresh = get(&s, &stale);
	CHECK(fresh && fresh != first && !stale && fresh->cred[0].kind == TLS_KEY_RSA);
	/* a session of the old one keeps it */
	CHECK(first->cred[0].kind == TLS_KEY_ECDSA);
	tls_context_unref(&fresh);
	tls_context_unref(&first);
}

/* ---- resumption ---- */

static bool resumed_after(
    struct tls_settings *ss, struct tls_settings *cs, const char *key, const char *key2)
{
	struct pair p;
	struct tls_facts f = {.resumed = false}, g = {.resumed = false};
	bool ok = shake(&p, ss, cs, slice_cstr(key));
	if (ok) {
		(void)pass(&p.s, &p.c, "220 hello\r\n"); /* the ticket comes with it */
		(void)pass(&p.c, &p.s, "QUIT\r\n");
		tls_session_facts(p.c.t, arena, &f);
		CHECK(!f.resumed);
	}
	pair_close(&p);
	ok = ok && shake(&p, ss, cs, slice_cstr(key2));
	CHECK(ok);
	if (ok) {
		tls_session_facts(p.c.t, arena, &g);
		struct tls_facts s;
		tls_session_facts(p.s.t, arena, &s);
		CHECK_EQ_INT(s.resumed, g.resumed);
		CHECK_EQ_INT(g.verified, f.verified);
		CHECK(slice_eq(g.peercert, f.peercert));
		CHECK_EQ_STR(pass(&p.c, &p.s, "EHLO again\r\n"), "EHLO again\r\n");
		for (int k = 0; k < TLS_BINDINGS; k++)
			CHECK(slice_eq(s.binding[k], g.binding[k]));
	}
	pair_close(&p);
	return g.resumed;
}

TEST(sessions_are_taken_up_again_only_where_both_sides_say_so)
{
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	cs.verify = TLS_VERIFY_REQUIRE;
	cs.trust = in_dir("ca.pem");
	CHECK(!resumed_after(&ss, &cs, "a", "a"));
	ss.resumption = true;
	CHECK(!resumed_after(&ss, &cs, "b", "b"));
	cs.resumption = true;
	CHECK(resumed_after(&ss, &cs, "c", "c"));
	CHECK(!resumed_after(&ss, &cs, "d", "e")); /* another peer's */
	cs.ciphers = slice_cstr(versions[1]);
	CHECK(!resumed_after(&ss, &cs, "f", "f")); /* the client takes up TLS 1.3 only */
	cs.ciphers = NO;
	ss.resumption = false;
	CHECK(!resumed_after(&ss, &cs, "g", "g"));
}

TEST(resumption_never_passes_by_a_demand_for_a_certificate)
{
	if (!CHECK(tls_setup()))
		return;
	for (int want = TLS_VERIFY_TRY; want <= TLS_VERIFY_REQUIRE; want++) {
		struct pair p;
		struct tls_facts f;
		struct tls_settings open_one = server_settings("ec.pem", "ec.key"), ss = open_one,
		                    cs = client_settings();
		open_one.resumption = ss.resumption = cs.resumption = true;
		ss.verify = (enum tls_verify)want;
		ss.trust = in_dir("ca.pem");
		/* a session of a context that asks for nothing is offered to one that asks */
		if (!CHECK(shake(&p, &open_one, &cs, SL("k"))))
			return;
		(void)pass(&p.s, &p.c, "220 hello\r\n");
		pair_close(&p);
		if (!pair_open(&p, &ss, &cs, NO, NO, SL("k")))
			return;
		CHECK(p.c.t->offered);
		pair_shake(&p);
		CHECK_EQ_INT(p.s.io == TLS_DONE, want == TLS_VERIFY_TRY);
		if (p.s.io == TLS_DONE) {
			tls_session_facts(p.s.t, arena, &f);
			CHECK(!f.resumed && !f.verified);
		}
		pair_close(&p);
		/* and with a certificate there is no ticket to offer */
		cs.certificate = in_dir("client.pem");
		cs.privatekey = in_dir("client.key");
		CHECK(!resumed_after(&ss, &cs, "l", "l"));
	}
}

/* ---- parking ---- */

static long resident_kib(void)
{
	char line[256];
	long v = 0;
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Pss: %ld", &v) == 1)
			break;
	if (f)
		(void)fclose(f);
	return v;
}

enum { PARKED = 200, KIB_EACH = 32 };

static void park_many(const char *ciphers)
{
	static struct pair all[PARKED];
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	cs.ciphers = slice_cstr(ciphers);
	long before = 0;
	(void)malloc_trim(0);
	for (int i = -20; i < PARKED; i++) {
		struct pair p;
		if (i == 0)
			before = resident_kib();
		if (!CHECK(shake(&p, &ss, &cs, NO)))
			return;
		CHECK_EQ_STR(pass(&p.c, &p.s, "EHLO x\r\n"), "EHLO x\r\n");
		size_t n;
		char b[8];
		CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, NULL), TLS_WANT_READ);
		CHECK(!tls_pending(p.s.t));
		tls_park(p.s.t);
		if (i < 0) {
			pair_close(&p);
			continue;
		}
		/* the client's end is of no interest */
		tls_free(&p.c.t, false);
		tls_context_unref(&p.c.ctx);
		all[i] = p;
	}
	long each = (resident_kib() - before) / PARKED;
	fprintf(stderr, "# a parked session: %ld KiB\n", each);
	CHECK(each <= KIB_EACH);
	for (int i = 0; i < PARKED; i++)
		pair_close(&all[i]);
}

/* LOCK_DEBUG: a build that looks for faults; a sanitizer's memory is not ours. */
TEST(a_parked_session_is_small)
{
	if (LOCK_DEBUG) {
		tap_skip("memory is measured in the plain build");
		return;
	}
	if (!CHECK(tls_setup()))
		return;
	park_many("");
	park_many("DEFAULT:!TLSv1.3");
}

TEST(a_parked_session_goes_on_as_before)
{
	if (!CHECK(tls_setup()))
		return;
	for (int i = 0; i < 2; i++) {
		struct pair p;
		struct tls_settings ss = server_settings("ec.pem", "ec.key"),
		                    cs = client_settings();
		cs.ciphers = slice_cstr(versions[i]);
		if (!CHECK(shake(&p, &ss, &cs, NO)))
			return;
		for (int k = 0; k < 3; k++) {
			CHECK_EQ_STR(pass(&p.c, &p.s, "EHLO x\r\n"), "EHLO x\r\n");
			tls_park(p.s.t);
			tls_park(p.c.t);
			CHECK_EQ_STR(pass(&p.s, &p.c, "250 ok\r\n"), "250 ok\r\n");
			if (i == 0) /* RFC 8446, 4.6.3: new keys, and an answer to it */
				CHECK_EQ_INT(wolfSSL_update_keys(p.c.t->ssl), WOLFSSL_SUCCESS);
		}
		struct tls_facts f;
		tls_session_facts(p.s.t, arena, &f);
		CHECK(f.binding[TLS_BINDING_EXPORTER].len == 32);
		pair_close(&p);
	}
}

TEST(a_request_for_renegotiation_ends_the_session)
{
	if (!CHECK(tls_setup()))
		return;
	struct pair p;
	char b[16];
	size_t n;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	cs.ciphers = slice_cstr(versions[1]);
	if (!CHECK(shake(&p, &ss, &cs, NO)))
		return;
	/* a second ClientHello within the session: wolfSSL cannot be made to send one, so the
	 * record is made of it by hand: in clear, which must end the session just as well */
	static const char hello[] = "\x16\x03\x03\x00\x2d\x01\x00\x00\x29\x03\x03"
	                            "0123456789abcdef0123456789abcdef\x00\x00\x02\x13\x01\x01\x00";
	CHECK(send(p.c.fd, hello, sizeof hello - 1, 0) > 0);
	CHECK_EQ_INT(tls_read(p.s.t, b, sizeof b, &n, &p.s.err), TLS_FAILED);
	CHECK_EQ_INT(tls_write(p.s.t, "x", 1, &n, &p.s.err), TLS_FAILED);
	pair_close(&p);
}

TEST(alpn_is_agreed_upon_or_the_session_refused)
{
	static const struct {
		const char *server, *client, *agreed;
		bool good;
	} rows[] = {
	    {"smtp : esmtp", "smtp", "smtp", true},
	    {"smtp : esmtp", "", "", true},
	    {"", "smtp", "", true},
	    {"smtp : esmtp", "http/1.1", "", false},
	    {"smtp : esmtp", "smtp : http/1.1", "", false},
	};
	if (!CHECK(tls_setup()))
		return;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct pair p;
		struct tls_settings ss = server_settings("ec.pem", "ec.key"),
		                    cs = client_settings();
		ss.alpn = slice_cstr(rows[i].server);
		cs.alpn = slice_cstr(rows[i].client);
		if (!pair_open(&p, &ss, &cs, NO, NO, NO))
			return;
		pair_shake(&p);
		CHECK_EQ_INT(p.s.io == TLS_DONE && p.c.io == TLS_DONE, rows[i].good);
		if (p.s.io == TLS_DONE) {
			struct tls_facts f;
			tls_session_facts(p.s.t, arena, &f);
			CHECK_EQ_STR(f.alpn, rows[i].agreed);
		}
		pair_close(&p);
	}
}

TEST(much_text_passes_a_full_socket)
{
	struct pair p;
	enum { TOTAL = 3 << 20 };
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings();
	if (!CHECK(shake(&p, &ss, &cs, NO)))
		return;
	char *text = arena_bytes(arena, TOTAL), *buf = arena_bytes(arena, 70000);
	for (size_t i = 0; i < TOTAL; i++)
		text[i] = (char)(i * 2654435761U >> 13);
	size_t sent = 0, got = 0, n;
	bool blocked = false, same = true;
	while (got < TOTAL && same) {
		while (sent < TOTAL) {
			enum tls_io io = tls_write(p.c.t, text + sent, TOTAL - sent, &n, &p.c.err);
			if (io != TLS_DONE) {
				blocked |= io == TLS_WANT_WRITE;
				same &= io == TLS_WANT_WRITE;
				break;
			}
			sent += n;
		}
		enum tls_io io;
		while ((io = tls_read(p.s.t, buf, 70000, &n, &p.s.err)) == TLS_DONE) {
			same &= got + n <= TOTAL && memcmp(buf, text + got, n) == 0;
			got += n;
		}
		same &= io == TLS_WANT_READ;
	}
	CHECK(same && blocked);
	CHECK_EQ_INT(got, TOTAL);
	pair_close(&p);
}

/* ---- threads ---- */

struct worker {
	pthread_t id;
	unsigned done;
	const struct tls_settings *ss, *cs;
};

static void *shake_often(void *arg)
{
	struct worker *w = arg;
	struct arena *a = arena_new(0);
	for (int i = 0; i < 15; i++) {
		struct pair p = {.s = {.io = TLS_WANT_READ}, .c = {.io = TLS_WANT_READ}};
		int fds[2];
		char buf[4096];
		struct tls_hello h;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
			break;
		p.s.fd = fds[0];
		p.c.fd = fds[1];
		if (tls_context_get(cache, w->ss, a, &p.s.ctx, NULL, NULL) != RC_OK ||
		    tls_context_get(cache, w->cs, a, &p.c.ctx, NULL, NULL) != RC_OK ||
		    tls_client_new(cache, p.c.ctx, p.c.fd, slice_absent(), slice_absent(),
		        SL("same"), &p.c.t, NULL) != RC_OK)
			break;
		p.c.io = tls_handshake(p.c.t, NULL);
		ssize_t n = recv(p.s.fd, buf, sizeof buf, 0);
		slice_t got = slice_tainted(buf, n > 0 ? (size_t)n : 0);
		if (tls_hello_parse(got, &h, NULL) != RC_OK ||
		    tls_server_new(p.s.ctx, p.s.fd, &h, got, &p.s.t, NULL) != RC_OK)
			break;
		pair_shake(&p);
		w->done += p.s.io == TLS_DONE && p.c.io == TLS_DONE;
		size_t k;
		if (tls_write(p.s.t, "220 x\r\n", 7, &k, NULL) == TLS_DONE)
			(void)tls_read(p.c.t, buf, sizeof buf, &k, NULL);
		tls_park(p.s.t);
		pair_close(&p);
		arena_reset(a);
	}
	arena_free(&a);
	tls_thread_exit();
	return NULL;
}

TEST(threads_share_contexts_and_tickets)
{
	enum { WORKERS = 4 };
	struct worker w[WORKERS];
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings ss = server_settings("ec.pem", "ec.key"), cs = client_settings(),
	                    must = ss;
	ss.resumption = cs.resumption = true;
	cs.trust = must.trust = in_dir("ca.pem");
	cs.verify = must.verify = TLS_VERIFY_TRY;
	cs.certificate = in_dir("client.pem");
	cs.privatekey = in_dir("client.key");
	for (int i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){.ss = i % 2 ? &ss : &must, .cs = &cs};
		CHECK(pthread_create(&w[i].id, NULL, shake_often, &w[i]) == 0);
	}
	for (int i = 0; i < WORKERS; i++) {
		CHECK(pthread_join(w[i].id, NULL) == 0);
		CHECK_EQ_INT(w[i].done, 15);
	}
}
TAP_MAIN()
