/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A certificate from a peer: every field of ${certextract}, and its name for a host. */
#include "net/tls/cert.h"
#include "net/tls/der.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const fields[] = {"version", "serial_number", "subject", "subject,CN",
	    "subject,OU,>;", "issuer", "issuer,1.2.3,>,", "notbefore", "notbefore,int",
	    "notafter,raw", "sig_algorithm", "signature", "subj_altname",
	    "subj_altname,mail,>:", "subj_altname,dns", "subj_altname,uri,>,", "ocsp_uri",
	    "crl_uri,>/"};
	struct arena *a = arena_new(0);
	slice_t der = slice_tainted(data, size), out;
	struct error e;
	struct cert c;
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		struct arena_mark m = arena_mark(a);
		enum rc rc = tls_cert_field(a, der, slice_cstr(fields[i]), &out, &e);
		MUST(rc != RC_DEFER);
		if (rc == RC_OK)
			MUST(!slice_is_clean(out));
		arena_release(a, m);
	}
	if (cert_parse(der, &c, &e) == RC_OK) {
		unsigned bits;
		(void)cert_is_for(&c, SL("mx.example.org"));
		(void)cert_is_for(&c, SL("192.0.2.1"));
		(void)cert_name_has_nul(&c);
		(void)cert_key_kind(&c, &bits);
		(void)cert_signature_is_weak(&c);
		(void)cert_signature_digest(&c);
	}
	arena_free(&a);
	return 0;
}
