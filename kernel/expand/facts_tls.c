/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From what a TLS session proved to what the variables read. */
#include "expand/facts.h"
#include "net/tls/tls.h"

/* $tls_in_resumption, $tls_out_resumption: bits (Exim specification, 43.17) */
enum {
	RESUMPTION_BUILT = 1,
	TICKET_REQUESTED = 2,
	SESSION_OFFERED = 4,
	RESUMPTION_USED = 16,
	BINDINGS = 3
};

static int64_t resumption_bits(const struct tls_facts *f)
{
	if (f->resumed)
		return RESUMPTION_BUILT | TICKET_REQUESTED | SESSION_OFFERED | RESUMPTION_USED;
	return f->cipher.len ? RESUMPTION_BUILT : 0;
}

static struct tls_facts in_clear(void)
{
	slice_t no = slice_absent();
	return (struct tls_facts){.cipher = no,
	    .cipher_std = no,
	    .ver = no,
	    .sni = no,
	    .peerdn = no,
	    .peercert = no,
	    .ourcert = no,
	    .alpn = no,
	    .verify_error = no,
	    .binding = {no, no, no}};
}

void facts_tls_in(struct session_facts *s, const struct tls_facts *f)
{
	struct tls_facts clear = in_clear();
	f = f ? f : &clear;
	s->tls_in_cipher = f->cipher;
	s->tls_in_cipher_std = f->cipher_std;
	s->tls_in_ver = f->ver;
	s->tls_in_sni = f->sni;
	s->tls_in_peerdn = f->peerdn;
	s->tls_in_peercert = f->peercert;
	s->tls_in_ourcert = f->ourcert;
	s->tls_in_alpn = f->alpn;
	s->tls_in_bits = f->bits;
	s->tls_in_certificate_verified = f->verified;
	s->tls_in_resumption = resumption_bits(f);
	s->tls_in_ocsp = f->ocsp;
	for (int i = 0; i < BINDINGS; i++)
		s->tls_in_binding[i] = f->binding[i];
}

void facts_tls_out(struct host_facts *h, const struct tls_facts *f)
{
	struct tls_facts clear = in_clear();
	f = f ? f : &clear;
	h->tls_out_cipher = f->cipher;
	h->tls_out_cipher_std = f->cipher_std;
	h->tls_out_ver = f->ver;
	h->tls_out_sni = f->sni;
	h->tls_out_peerdn = f->peerdn;
	h->tls_out_peercert = f->peercert;
	h->tls_out_ourcert = f->ourcert;
	h->tls_out_alpn = f->alpn;
	h->tls_out_bits = f->bits;
	h->tls_out_certificate_verified = f->verified;
	h->tls_out_resumption = resumption_bits(f);
	h->tls_out_ocsp = f->ocsp;
	for (int i = 0; i < BINDINGS; i++)
		h->tls_out_binding[i] = f->binding[i];
}
