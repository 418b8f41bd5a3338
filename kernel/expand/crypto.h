/* SPDX-License-Identifier: GPL-3.0-or-later */
/* expand/crypto: digests for operators, items and conditions; private to this module. */
#ifndef HEDDLE_EXPAND_CRYPTO_H
#define HEDDLE_EXPAND_CRYPTO_H
#include "base/arena.h"

enum digest_kind {
	DIGEST_MD5,
	DIGEST_SHA1,
	DIGEST_SHA256,
	DIGEST_SHA384,
	DIGEST_SHA512,
	DIGEST_SHA3_224,
	DIGEST_SHA3_256,
	DIGEST_SHA3_384,
	DIGEST_SHA3_512,
};
enum { DIGEST_MAX = 64 };
/* Length of what was written to sum. */
size_t digest(enum digest_kind kind, slice_t in, unsigned char *sum);
/* MD5 or SHA1 only. */
size_t digest_keyed(enum digest_kind kind, slice_t key, slice_t in, unsigned char *sum);
slice_t hex_of(struct arena *a, const unsigned char *p, size_t n, bool upper);
slice_t base64_of(struct arena *a, const unsigned char *p, size_t n);
static inline size_t digest_base64_len(size_t n)
{
	return (n + 2) / 3 * 4;
}
/* In a time that does not tell where they differ. */
bool digest_same(slice_t a, slice_t b, bool caseless);
#endif
