/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/services_digest: hashes and HMAC for drivers, by wolfCrypt.  RFC 2104, FIPS 180-4, RFC
 * 1321. */
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include "driver/call.h"

static const struct algorithm {
	uint32_t id;
	enum wc_HashType type;
	int mac;
	uint32_t size;
} algorithms[] = {
    {HEDDLE_SHA1, WC_HASH_TYPE_SHA, WC_SHA, 20},
    {HEDDLE_SHA256, WC_HASH_TYPE_SHA256, WC_SHA256, 32},
    {HEDDLE_SHA384, WC_HASH_TYPE_SHA384, WC_SHA384, 48},
    {HEDDLE_SHA512, WC_HASH_TYPE_SHA512, WC_SHA512, 64},
    {HEDDLE_MD5, WC_HASH_TYPE_MD5, WC_MD5, 16},
};

static const struct algorithm *algorithm_of(uint32_t id)
{
	for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
		if (algorithms[i].id == id)
			return &algorithms[i];
	return NULL;
}

static const unsigned char *bytes_of(slice_t s)
{
	return (const unsigned char *)(s.len ? s.ptr : "");
}

static int mac_of(const struct algorithm *a, slice_t key, slice_t in, unsigned char *out)
{
	Hmac h;
	int rc = wc_HmacInit(&h, NULL, INVALID_DEVID);
	if (rc == 0)
		rc = wc_HmacSetKey(&h, a->mac, bytes_of(key), key.len);
	if (rc == 0)
		rc = wc_HmacUpdate(&h, bytes_of(in), in.len);
	if (rc == 0)
		rc = wc_HmacFinal(&h, out);
	wc_HmacFree(&h);
	return rc;
}

int32_t services_digest(struct heddle_call *c, uint32_t algo, slice_t key, slice_t in, slice_t *out)
{
	const struct algorithm *a = algorithm_of(algo);
	if (!a)
		return call_refuse(c, HEDDLE_ERROR, "digest %lu is unknown", (unsigned long)algo);
	if (in.len == UINT32_MAX || key.len == UINT32_MAX || (in.len && !in.ptr) ||
	    (key.len && !key.ptr))
		return call_refuse(c, HEDDLE_ERROR, "malformed slice given to digest");
	char *sum = arena_bytes(c->arena, a->size);
	unsigned char *raw = (unsigned char *)sum;
	int rc = slice_is_absent(key) ? wc_Hash(a->type, bytes_of(in), in.len, raw, a->size)
	                              : mac_of(a, key, in, raw);
	if (rc != 0)
		return call_refuse(c, HEDDLE_ERROR, "the digest failed: wolfCrypt error %d", rc);
	/* as tainted as what it was made of, and as secret: a hash can stand for a password */
	uint16_t flags =
	    (uint16_t)((in.flags & HEDDLE_CLEAN) | ((in.flags | key.flags) & HEDDLE_SECRET));
	*out = slice_of(sum, a->size, flags);
	return HEDDLE_OK;
}
