/* SPDX-License-Identifier: GPL-3.0-or-later */
/* wolfCrypt's digests as functions of a slice; none of them can fail once its context is set up. */
#include <wolfssl/options.h>

#include "base/codec.h"
#include "expand/crypto.h"

#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>

struct digest_row {
	enum wc_HashType type;
	size_t len;
};
static const struct digest_row rows[] = {
    [DIGEST_MD5] = {WC_HASH_TYPE_MD5, 16},
    [DIGEST_SHA1] = {WC_HASH_TYPE_SHA, 20},
    [DIGEST_SHA256] = {WC_HASH_TYPE_SHA256, 32},
    [DIGEST_SHA384] = {WC_HASH_TYPE_SHA384, 48},
    [DIGEST_SHA512] = {WC_HASH_TYPE_SHA512, 64},
    [DIGEST_SHA3_224] = {WC_HASH_TYPE_SHA3_224, 28},
    [DIGEST_SHA3_256] = {WC_HASH_TYPE_SHA3_256, 32},
    [DIGEST_SHA3_384] = {WC_HASH_TYPE_SHA3_384, 48},
    [DIGEST_SHA3_512] = {WC_HASH_TYPE_SHA3_512, 64},
};

size_t digest(enum digest_kind kind, slice_t in, unsigned char *sum)
{
	const unsigned char *p = (const unsigned char *)(in.len ? in.ptr : "");
	int rc;
	/* wc_Hash refuses an empty text for some types: by hand */
	wc_HashAlg h;
	rc = wc_HashInit(&h, rows[kind].type);
	if (rc == 0)
		rc = wc_HashUpdate(&h, rows[kind].type, p, in.len);
	if (rc == 0)
		rc = wc_HashFinal(&h, rows[kind].type, sum);
	(void)wc_HashFree(&h, rows[kind].type);
	MUST(rc == 0);
	return rows[kind].len;
}

size_t digest_keyed(enum digest_kind kind, slice_t key, slice_t in, unsigned char *sum)
{
	/* RFC 2104, over the plain digest: the library's own refuses short keys in some builds */
	unsigned char pad[64], inner[DIGEST_MAX];
	enum { BLOCK = 64 };
	MUST(kind == DIGEST_MD5 || kind == DIGEST_SHA1);
	unsigned char k[BLOCK] = {0};
	if (key.len > BLOCK)
		(void)digest(kind, key, k);
	else if (key.len)
		memcpy(k, key.ptr, key.len);
	wc_HashAlg h;
	enum wc_HashType type = rows[kind].type;
	for (int i = 0; i < BLOCK; i++)
		pad[i] = k[i] ^ 0x36;
	int rc = wc_HashInit(&h, type) || wc_HashUpdate(&h, type, pad, BLOCK);
	if (in.len)
		rc = rc || wc_HashUpdate(&h, type, (const unsigned char *)in.ptr, in.len);
	rc = rc || wc_HashFinal(&h, type, inner);
	for (int i = 0; i < BLOCK; i++)
		pad[i] = k[i] ^ 0x5c;
	rc = rc || wc_HashInit(&h, type) || wc_HashUpdate(&h, type, pad, BLOCK) ||
	     wc_HashUpdate(&h, type, inner, (word32)rows[kind].len) || wc_HashFinal(&h, type, sum);
	explicit_bzero(k, sizeof k);
	explicit_bzero(pad, sizeof pad);
	MUST(rc == 0);
	return rows[kind].len;
}

slice_t hex_of(struct arena *a, const unsigned char *p, size_t n, bool upper)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char *out = arena_bytes(a, 2 * n);
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	return slice_of(out, 2 * n, HEDDLE_CLEAN);
}

slice_t base64_of(struct arena *a, const unsigned char *p, size_t n)
{
	return base64_encode(a, slice_of(p, n, HEDDLE_CLEAN));
}

bool digest_same(slice_t a, slice_t b, bool caseless)
{
	if (a.len != b.len)
		return false;
	unsigned char diff = 0;
	for (uint32_t i = 0; i < a.len; i++) {
		char x = a.ptr[i], y = b.ptr[i];
		diff |= (unsigned char)(caseless ? ascii_lower(x) ^ ascii_lower(y) : x ^ y);
	}
	return diff == 0;
}
