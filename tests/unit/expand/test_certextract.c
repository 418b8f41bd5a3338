/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ${certextract} and the variables of TLS, over certificates that tests/unit/net/tls_certs.sh
 * makes. */
#include "base/codec.h"
#include "base/io.h"
#include "fixture.h"
#include "lib/tap.h"
#include "net/tls/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *dir;

static bool make_certs(void)
{
	if (dir)
		return true;
	dir = tap_dir();
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "tests/unit/net/tls_certs.sh", dir, (char *)NULL);
		_exit(127);
	}
	int status = -1;
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static slice_t load(struct arena *a, const char *name)
{
	slice_t text, der;
	slice_t path = arena_printf(a, "%s/%s", dir, name);
	if (!CHECK(io_read_file(a, path.ptr, 4 << 20, &text, NULL) == RC_OK))
		return slice_absent();
	size_t at = slice_search(text, SL("-----BEGIN CERTIFICATE-----"));
	text = slice_sub(text, at + 27, text.len);
	text = slice_sub(text, 0, slice_search(text, SL("-----END")));
	char *p = arena_bytes(a, text.len);
	uint32_t n = 0;
	for (uint32_t i = 0; i < text.len; i++)
		if (!ascii_isspace(text.ptr[i]))
			p[n++] = text.ptr[i];
	CHECK(base64_decode(a, slice_of(p, n, HEDDLE_CLEAN), &der));
	return slice_tainted(der.ptr, der.len);
}

struct row {
	const char *text, *want;
};

TEST(every_field_of_a_certificate)
{
	static const struct row rows[] = {
	    {"${certextract{version}{$tls_in_peercert}}", "3"},
	    {"${certextract{subject}{$tls_in_peercert}}",
	        "C=DE,O=Test\\, Inc.,OU=One,OU=Two,CN=Joe \\\"x\\\" M\303\274ller"},
	    {"${certextract{subject,OU}{$tls_in_peercert}}", "One\nTwo"},
	    {"${certextract{subject,ou,>;}{$tls_in_peercert}}", "One;Two"},
	    {"${certextract{subject,O,>,}{$tls_in_peercert}}", "Test,, Inc."},
	    {"${certextract{subject,DC}{$tls_in_peercert}{yes}{no}}", "no"},
	    {"${certextract{issuer}{$tls_in_peercert}}", "C=DE,O=Test\\, Inc.,CN=The Root"},
	    {"${certextract{issuer,CN}{$tls_in_peercert}{<$value>}{no}}", "<The Root>"},
	    {"${certextract{notbefore,int}{$tls_in_peercert}}", "1704164645"},
	    {"${certextract{notafter,int}{$tls_in_peercert}}", "2506666150"},
	    {"${certextract{notbefore,raw}{$tls_in_peercert}}", "240102030405Z"},
	    {"${certextract{notbefore}{$tls_in_peercert}}", "Jan  2 03:04:05 2024 GMT"},
	    {"${certextract{sig_algorithm}{$tls_in_peercert}}", "ECDSA-SHA256"},
	    {"${strlen:${certextract{serial_number}{$tls_in_peercert}}}", "4"},
	    {"${if match{${certextract{signature}{$tls_in_peercert}}}{^30( "
	     "[0-9a-f][0-9a-f])+\\$}{yes}{no}}",
	        "yes"},
	    {"${certextract{subj_altname}{$tls_in_peercert}}",
	        "MAIL=joe@example.org\nDNS=host.example.org\nURI=https://example.org/"
	        "joe\nMAIL=second@example.org"},
	    {"${certextract{subj_altname,mail}{$tls_in_peercert}}",
	        "joe@example.org\nsecond@example.org"},
	    {"${certextract{subj_altname,mail,>:}{$tls_in_peercert}}",
	        "joe@example.org:second@example.org"},
	    {"${certextract {subj_altname,dns} {$tls_in_peercert}{d=$value}{none}}",
	        "d=host.example.org"},
	    {"${certextract{subj_altname,uri,>:}{$tls_in_peercert}}", "https:://example.org/joe"},
	    {"${certextract{ocsp_uri}{$tls_in_peercert}}", "http://ocsp.example.org/"},
	    {"${certextract{crl_uri,>/}{$tls_in_peercert}}", "http:////crl.example.org//ca.crl"},
	    {"${certextract{ocsp_uri}{$tls_in_ourcert}{yes}{no}}", "no"},
	    {"${certextract{subj_altname,dns,>:}{$tls_in_ourcert}}",
	        "mx.example.org:*.wild.example.org"},
	    {"${certextract{subject}{$tls_out_peercert}{yes}{no}}", "no"},
	    {"${certextract{subject}{$tls_out_peercert}}", ""},
	    {"${certextract{subject}{$tls_out_peercert}{yes}fail}",
	        "Failed: \"certextract\" failed and \"fail\" requested"},
	    {"${if "
	     "forany{${certextract{subj_altname,mail,>:}{$tls_in_peercert}}}{eq{$item}{second@"
	     "example.org}}{in}{out}}",
	        "in"},
	    {"${if def:tls_in_peercert {yes}{no}}${if def:tls_out_peercert {yes}{no}}", "yesno"},
	    {"<$tls_in_peercert>", "<<cert>>"},
	    {"$tls_in_cipher $tls_cipher $tls_in_cipher_std $tls_in_bits $tls_in_ver $tls_sni",
	        "TLS1.3:X:256 TLS1.3:X:256 X 256 TLS1.3 sni.example.org"},
	    {"$tls_in_certificate_verified$tls_certificate_verified $tls_in_resumption "
	     "$tls_out_resumption",
	        "11 23 0"},
	};
	struct fixture f;
	if (!CHECK(make_certs()))
		return;
	setenv("TZ", "UTC", 1);
	fixture_init(&f);
	struct tls_facts facts = {.cipher = SL("TLS1.3:X:256"),
	    .cipher_std = SL("X"),
	    .bits = 256,
	    .ver = SL("TLS1.3"),
	    .sni = slice_tainted("sni.example.org", 15),
	    .verified = true,
	    .resumed = true,
	    .peercert = load(f.arena, "client.pem"),
	    .ourcert = load(f.arena, "ec.pem")};
	facts_tls_in(&f.session, &facts);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		slice_t got = fixture_result(&f, rows[i].text);
		if (!CHECK_EQ_STR(got, rows[i].want))
			fprintf(stderr, "# %s\n", rows[i].text);
	}
	slice_t got = fixture_result(&f, "${certextract{subj_altname,mail}{$tls_in_peercert}}");
	CHECK(!slice_is_clean(got));
	facts_tls_in(&f.session, NULL);
	CHECK_EQ_STR(
	    fixture_result(&f, "$tls_in_cipher,$tls_in_bits,${if def:tls_in_peercert {yes}{no}}"),
	    ",0,no");
	fixture_free(&f);
}

TEST(fingerprints)
{
	static const char *const commands[] = {"md5", "sha1", "sha256"};
	struct fixture f;
	if (!CHECK(make_certs()))
		return;
	fixture_init(&f);
	f.session.tls_in_peercert = load(f.arena, "client.pem");
	/* the digest of the DER, which openssl calls the fingerprint */
	slice_t der = f.session.tls_in_peercert;
	f.ev.value = der;
	for (size_t i = 0; i < 3; i++) {
		slice_t of_cert = fixture_result(
		    &f, arena_printf(f.arena, "${%s:$tls_in_peercert}", commands[i]).ptr);
		slice_t of_bytes =
		    fixture_result(&f, arena_printf(f.arena, "${%s:$value}", commands[i]).ptr);
		CHECK(of_cert.len >= 32 && slice_eqi(of_cert, of_bytes));
		CHECK(slice_eq(
		    of_cert, fixture_result(&f,
		                 arena_printf(f.arena, "${uc:${%s:$value}}", commands[i]).ptr)));
	}
	CHECK(slice_eq(
	    fixture_result(&f, "${base64:$tls_in_peercert}"), base64_encode(f.arena, der)));
	fixture_free(&f);
}

TEST(what_is_wrong_is_said_when_it_is_compiled)
{
	static const struct row rows[] = {
	    {"${certextract{nonsense}{$tls_in_peercert}}", "bad field selector \"nonsense\""},
	    {"${certextract{subj_altname,email}{$tls_in_peercert}}", "bad option \"email\""},
	    {"${certextract{version,int}{$tls_in_peercert}}", "bad option \"int\""},
	    {"${certextract{subject}{$tls_in_peerdn}}", "must be a certificate variable"},
	    {"${certextract{subject}{x$tls_in_peercert}}", "must be a certificate variable"},
	    {"${certextract{subject}}", "arg 2 of certextract"},
	};
	struct fixture f;
	fixture_init(&f);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		slice_t got = fixture_result(&f, rows[i].text);
		if (!CHECK(slice_search(got, slice_cstr(rows[i].want)) != SIZE_MAX))
			fprintf(stderr, "# %s gives %.*s\n", rows[i].text, SL_ARG(got));
	}
	fixture_free(&f);
}

TEST(hostile_certificates_give_nothing_false)
{
	struct fixture f;
	if (!CHECK(make_certs()))
		return;
	fixture_init(&f);
	f.session.tls_in_peercert = load(f.arena, "nulonly.pem");
	/* "mx.example.org\0.evil.example" is not mx.example.org, and nothing else either */
	CHECK_EQ_STR(fixture_result(
	                 &f, "${certextract{subj_altname,dns,>:}{$tls_in_peercert}{$value}{none}}"),
	    "none");
	f.session.tls_in_peercert = load(f.arena, "nul.pem");
	CHECK_EQ_STR(fixture_result(&f, "${certextract{subj_altname,dns,>:}{$tls_in_peercert}}"),
	    "mx.example.org"); /* which is there besides, whole */
	f.session.tls_in_peercert = load(f.arena, "many.pem");
	CHECK_EQ_STR(fixture_result(&f, "${reduce{${certextract{subj_altname,dns,>:}{$tls_in_"
	                                "peercert}}}{0}{${eval:$value+1}}}"),
	    "10000");
	/* cut anywhere: an error or the same, never a crash */
	slice_t whole = load(f.arena, "client.pem");
	for (uint32_t n = 0; n < whole.len; n++) {
		f.session.tls_in_peercert = slice_sub(whole, 0, n);
		slice_t got =
		    fixture_result(&f, "${certextract{subj_altname}{$tls_in_peercert}{yes}{no}}");
		if (n && !CHECK(slice_starts(got, "Failed: ")))
			break;
	}
	fixture_free(&f);
}

TEST(old_names_follow_the_direction)
{
	struct fixture f;
	fixture_init(&f);
	struct tls_facts in = {.cipher = SL("in"), .bits = 128},
	                 out = {.cipher = SL("out"), .bits = 256};
	facts_tls_in(&f.session, &in);
	facts_tls_out(&f.host, &out);
	CHECK_EQ_STR(fixture_result(&f, "$tls_cipher $tls_bits"), "in 128");
	f.ev.host = &f.host;
	CHECK_EQ_STR(fixture_result(&f, "$tls_cipher $tls_bits $tls_in_cipher $tls_out_cipher"),
	    "out 256 in out");
	fixture_free(&f);
}
TAP_MAIN()
