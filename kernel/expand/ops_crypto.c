/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operators that hash and encode: md5, sha, base64, hex. */
#include "base/codec.h"
#include "expand/crypto.h"
#include "expand/tree.h"

/* The bytes of a certificate where a variable with one is all that the operator is given:
 * fingerprints. */
static slice_t bytes_of(const struct eval *ev, const struct node *n, slice_t in)
{
	slice_t der;
	return n->arg_count == 1 && var_certificate(ev, n->args[0], &der) ? der : in;
}

static enum rc op_digest(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)err;
	slice_t bytes = bytes_of(ev, n, in);
	bool fingerprint = bytes.ptr != in.ptr; /* in capitals, whatever the digest */
	in = bytes;
	enum digest_kind kind = (enum digest_kind)((const struct op_row *)n->row)->arg;
	unsigned char sum[DIGEST_MAX];
	size_t len = digest(kind, in, sum);
	*out = hex_of(ev->arena, sum, len, fingerprint || kind != DIGEST_MD5);
	return RC_OK;
}

struct sha_variant {
	const char *suffix;
	enum digest_kind sha2, sha3;
};
enum { NO_SUCH_DIGEST = -1 };

static enum rc op_sha_n(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	static const struct sha_variant rows[] = {
	    {"", DIGEST_SHA256, DIGEST_SHA3_256},
	    {"224", (enum digest_kind)NO_SUCH_DIGEST, DIGEST_SHA3_224},
	    {"256", DIGEST_SHA256, DIGEST_SHA3_256},
	    {"384", DIGEST_SHA384, DIGEST_SHA3_384},
	    {"512", DIGEST_SHA512, DIGEST_SHA3_512},
	};
	int family = ((const struct op_row *)n->row)->arg;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (!slice_eqs(n->text, rows[i].suffix))
			continue;
		int kind = (int)(family == 2 ? rows[i].sha2 : rows[i].sha3);
		if (kind == NO_SUCH_DIGEST)
			break;
		unsigned char sum[DIGEST_MAX];
		size_t len = digest((enum digest_kind)kind, in, sum);
		*out = hex_of(ev->arena, sum, len, true);
		return RC_OK;
	}
	return error_set(err, RC_ERROR, "unrecognised sha%d variant", family);
}

static enum rc op_base64(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)err;
	in = bytes_of(ev, n, in);
	*out = with_flags(base64_encode(ev->arena, in), in);
	return RC_OK;
}

static enum rc op_base64d(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	slice_t text, packed = in;
	char *p = arena_bytes(ev->arena, in.len);
	packed.ptr = p;
	packed.len = 0;
	for (uint32_t i = 0; i < in.len; i++)
		if (!ascii_isspace(in.ptr[i]))
			p[packed.len++] = in.ptr[i];
	if (!base64_decode(ev->arena, packed, &text))
		return error_set(err, RC_ERROR,
		    "string \"%.*s\" is not well-formed for \"%s\" operator", SL_ARG(in),
		    ((const struct op_row *)n->row)->name);
	*out = with_flags(text, in);
	return RC_OK;
}

static int hex_value(char c)
{
	c = ascii_lower(c);
	return ascii_isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum rc op_hex2b64(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	unsigned char *p = arena_alloc(ev->arena, in.len / 2 + 1);
	for (uint32_t i = 0; i < in.len; i++) {
		int v = hex_value(in.ptr[i]);
		if (v < 0)
			return error_set(err, RC_ERROR, "\"%.*s\" is not a hex string", SL_ARG(in));
		p[i / 2] = (unsigned char)(p[i / 2] << 4 | v);
	}
	if (in.len % 2)
		return error_set(
		    err, RC_ERROR, "\"%.*s\" contains an odd number of characters", SL_ARG(in));
	*out = with_flags(base64_of(ev->arena, p, in.len / 2), in);
	return RC_OK;
}

const struct op_row op_rows_crypto[] = {
    {"base64", op_base64, OP_PURE, 0, 0},
    {"base64d", op_base64d, OP_PURE, 0, 0},
    {"hex2b64", op_hex2b64, OP_PURE, 0, 0},
    {"md5", op_digest, OP_PURE, DIGEST_MD5, 0},
    {"sha1", op_digest, OP_PURE, DIGEST_SHA1, 0},
    {"sha2", op_sha_n, OP_PURE | OP_SUFFIX, 2, 0},
    {"sha256", op_digest, OP_PURE, DIGEST_SHA256, 0},
    {"sha3", op_sha_n, OP_PURE | OP_SUFFIX, 3, 0},
    {"str2b64", op_base64, OP_PURE, 0, 0},
    {0},
};
