/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ClientHello: an answer for every beginning, no refusal of what is good, and a name that lies
 * within the bytes. */
#include "net/tls/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_hello h, again;
	struct error e;
	if (size > TLS_HELLO_MAX)
		size = TLS_HELLO_MAX;
	slice_t all = slice_tainted(data, size);
	enum rc rc = tls_hello_parse(all, &h, &e);
	MUST(rc == RC_OK || rc == RC_FAIL || rc == RC_DEFER);
	if (rc == RC_OK && !slice_is_absent(h.sni)) {
		const char *from = (const char *)data;
		MUST(h.sni.len && h.sni.ptr >= from && h.sni.ptr + h.sni.len <= from + size);
		MUST(!memchr(h.sni.ptr, 0, h.sni.len));
	}
	/* a whole one has no beginning that is refused */
	for (size_t n = 0; rc == RC_OK && n < size && n < 64; n++)
		MUST(tls_hello_parse(slice_sub(all, 0, n), &again, &e) != RC_FAIL);
	return 0;
}
