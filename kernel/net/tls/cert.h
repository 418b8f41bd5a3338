/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * net/tls/cert: fields of a certificate, for ${certextract} and for logs.
 * Threads: any.  Blocks: never.  Memory: results in the arena given.  Source: Exim
 * specification, 11.5 (certextract); RFC 5280, 4514.
 */
#ifndef HEDDLE_NET_TLS_CERT_H
#define HEDDLE_NET_TLS_CERT_H
#include "base/arena.h"

/* Is it a field name (with its options: "subj_altname,mail,>;") that can be asked for?  Checked
 * when a text is compiled. */
MUST_USE enum rc tls_cert_check_field(slice_t field, struct error *err);
/* OK; FAIL: the certificate has no such field; ERROR: der is no certificate.  The text is tainted.
 */
MUST_USE enum rc tls_cert_field(
    struct arena *a, slice_t der, slice_t field, slice_t *out, struct error *err);
#endif
