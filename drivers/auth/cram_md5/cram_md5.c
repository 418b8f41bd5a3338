/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cram_md5: the SASL mechanism CRAM-MD5 (RFC 2195), server and client.  The server sends a
 * challenge that is never the same twice; the client answers with its name and the keyed MD5 digest
 * of the challenge, whose key is the secret that both know. The secret itself does not travel, but
 * whoever hears an exchange can try guesses at home: offer it over TLS. An exchange keeps the
 * challenge (server) or the credentials (client) in memory of its own, which is wiped.
 */
#include <heddle/auth.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { OPT_CLIENT_NAME, OPT_CLIENT_SECRET, OPT_SERVER_SECRET };
enum { DIGEST_BYTES = 16, DIGEST_HEX = 2 * DIGEST_BYTES };

struct cram {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
};

struct exchange { /* the challenge, or name and secret one after the other */
	uint32_t size, first;
	char text[];
};

static int32_t say(struct heddle_call *call, const struct cram *c, int32_t result, const char *why)
{
	c->host->reason(call, 0, heddle_text(NULL), heddle_text(why));
	return result;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct cram *c = calloc(1, sizeof *c);
	(void)state;
	if (!c) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	c->host = host;
	c->cfg = cfg;
	*out = c;
	return HEDDLE_OK;
}

static int32_t keep(struct heddle_call *call, const struct cram *c, struct heddle_slice a,
    struct heddle_slice b, void **conv)
{
	struct exchange *x = calloc(1, sizeof *x + a.len + b.len);
	if (!x)
		return say(call, c, HEDDLE_DEFER, "out of memory");
	x->size = a.len + b.len;
	x->first = a.len;
	if (a.len)
		memcpy(x->text, a.ptr, a.len);
	if (b.len)
		memcpy(x->text + a.len, b.ptr, b.len);
	*conv = x;
	return HEDDLE_OK;
}

static void hex(char *out, const uint8_t *in, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
}

/* The digest as RFC 2195 sends it, in `out`. */
static int32_t digest_of(struct heddle_call *call, const struct cram *c, struct heddle_slice secret,
    struct heddle_slice challenge, char out[DIGEST_HEX])
{
	struct heddle_slice sum;
	secret.flags |= HEDDLE_SECRET;
	int32_t rc = c->host->digest(call, HEDDLE_MD5, secret, challenge, &sum);
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL ? HEDDLE_ERROR : rc;
	if (sum.len != DIGEST_BYTES)
		return say(call, c, HEDDLE_ERROR, "the digest has not 16 bytes");
	hex(out, (const uint8_t *)sum.ptr, DIGEST_BYTES);
	return HEDDLE_OK;
}

/* ---- server ---- */

static int32_t server_begin(
    struct heddle_call *call, void *inst, struct heddle_auth_turn *turn, void **conv)
{
	const struct cram *c = inst;
	struct heddle_slice name = heddle_text(NULL);
	uint8_t noise[12];
	char number[64];
	if (!(turn->data.flags & HEDDLE_ABSENT)) {
		c->host->reason(
		    call, 553, heddle_text("Initial data not expected"), heddle_text(NULL));
		return HEDDLE_FAIL;
	}
	int32_t rc = c->host->random(call, noise, sizeof noise);
	if (rc == HEDDLE_OK)
		rc = c->host->var_get(call, heddle_text("primary_hostname"), &name);
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL ? HEDDLE_DEFER : rc;
	number[0] = '<';
	hex(number + 1, noise, sizeof noise);
	int n = snprintf(number + 1 + 2 * sizeof noise, sizeof number - 1 - 2 * sizeof noise,
	    ".%lld@", (long long)time(NULL));
	const struct heddle_slice parts[] = {
	    heddle_bytes(number, 1 + 2 * sizeof noise + (size_t)n, HEDDLE_CLEAN), name,
	    heddle_text(">")};
	rc = c->host->join(call, parts, 3, &turn->data);
	if (rc == HEDDLE_OK)
		rc = keep(call, c, turn->data, heddle_text(""), conv);
	if (rc != HEDDLE_OK)
		return rc;
	turn->state = HEDDLE_AUTH_MORE;
	return HEDDLE_OK;
}

/* "name digest": the name ends at the first white space. */
static void split(struct heddle_slice in, struct heddle_slice *name, struct heddle_slice *digest)
{
	uint32_t n = 0, at;
	while (n < in.len && in.ptr[n] != ' ' && in.ptr[n] != '\t' && in.ptr[n] != '\0')
		n++;
	at = n;
	while (at < in.len && (in.ptr[at] == ' ' || in.ptr[at] == '\t'))
		at++;
	*name = heddle_bytes(in.ptr, n, in.flags);
	*digest = heddle_bytes(in.ptr + at, in.len - at, in.flags);
}

static int32_t server_step(
    struct heddle_call *call, void *inst, void *conv, struct heddle_auth_turn *turn)
{
	const struct cram *c = inst;
	const struct exchange *x = conv;
	struct heddle_slice name, given, secret;
	char want[DIGEST_HEX];
	split(turn->data, &name, &given);
	int32_t rc = c->host->var_set(call, heddle_text("auth1"), name);
	if (rc == HEDDLE_OK)
		rc = c->host->var_set(call, heddle_text("1"), name);
	if (rc != HEDDLE_OK)
		return rc;
	if (given.len != DIGEST_HEX)
		return say(call, c, HEDDLE_FAIL, "the response has no digest");
	rc = c->host->opt_text(call, c->cfg, OPT_SERVER_SECRET, &secret);
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL ? HEDDLE_FAIL : HEDDLE_DEFER;
	/* with an empty secret anybody could be right: a lookup that found nothing, most likely */
	if (!secret.len)
		return say(call, c, HEDDLE_FAIL, "the secret is empty");
	rc = digest_of(call, c, secret, heddle_bytes(x->text, x->size, HEDDLE_CLEAN), want);
	if (rc != HEDDLE_OK)
		return rc;
	int same = c->host->same(heddle_bytes(want, sizeof want, 0), given);
	explicit_bzero(want, sizeof want);
	if (!same)
		return say(call, c, HEDDLE_FAIL, "the digest is wrong");
	turn->data = heddle_text(NULL);
	turn->state = HEDDLE_AUTH_DONE;
	return HEDDLE_OK;
}

/* ---- client ---- */

static int32_t client_begin(
    struct heddle_call *call, void *inst, struct heddle_auth_turn *turn, void **conv)
{
	const struct cram *c = inst;
	struct heddle_slice name = heddle_text(NULL), secret;
	int32_t rc = c->host->opt_text(call, c->cfg, OPT_CLIENT_SECRET, &secret);
	if (rc == HEDDLE_OK)
		rc = c->host->opt_text(call, c->cfg, OPT_CLIENT_NAME, &name);
	if (rc == HEDDLE_OK && (name.flags & HEDDLE_ABSENT))
		rc = c->host->var_get(call, heddle_text("primary_hostname"), &name);
	if (rc == HEDDLE_OK)
		rc = keep(call, c, name, secret, conv);
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL ? HEDDLE_FAIL : HEDDLE_DEFER;
	turn->data = heddle_text(NULL);
	turn->state = HEDDLE_AUTH_MORE;
	return HEDDLE_OK;
}

static int32_t client_step(
    struct heddle_call *call, void *inst, void *conv, struct heddle_auth_turn *turn)
{
	const struct cram *c = inst;
	const struct exchange *x = conv;
	char digest[DIGEST_HEX];
	if (turn->state == HEDDLE_AUTH_GARBLED) {
		(void)say(call, c, HEDDLE_FAIL, "Invalid base64 string in server response");
		turn->data = heddle_text(NULL);
		turn->state = HEDDLE_AUTH_CANCEL;
		return HEDDLE_OK;
	}
	struct heddle_slice secret =
	    heddle_bytes(x->text + x->first, x->size - x->first, HEDDLE_SECRET);
	int32_t rc = digest_of(call, c, secret, turn->data, digest);
	if (rc != HEDDLE_OK)
		return rc;
	const struct heddle_slice parts[] = {heddle_bytes(x->text, x->first, HEDDLE_SECRET),
	    heddle_text(" "), heddle_bytes(digest, sizeof digest, HEDDLE_SECRET)};
	rc = c->host->join(call, parts, 3, &turn->data);
	explicit_bzero(digest, sizeof digest);
	if (rc != HEDDLE_OK)
		return rc;
	turn->state = HEDDLE_AUTH_DONE;
	return HEDDLE_OK;
}

static void end(void *inst, void *conv)
{
	struct exchange *x = conv;
	(void)inst;
	if (x)
		explicit_bzero(x->text, x->size);
	free(x);
}

static const struct heddle_option options[] = {
    [OPT_CLIENT_NAME] = {.name = "client_name",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND,
        .doc = "The name that is sent; unset: $primary_hostname.",
        .since_major = 1},
    [OPT_CLIENT_SECRET] = {.name = "client_secret",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND | HEDDLE_O_SECRET | HEDDLE_O_CLIENT,
        .doc = "The secret that belongs to it. A forced failure: not for this server.",
        .since_major = 1},
    [OPT_SERVER_SECRET] = {.name = "server_secret",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND | HEDDLE_O_SECRET | HEDDLE_O_SERVER,
        .doc = "The secret of the user in $auth1. A forced failure, or an empty secret, refuses "
               "the client; any other "
               "failure is temporary.",
        .since_major = 1},
};

static const struct heddle_auth_ops ops = {
    .struct_size = sizeof ops,
    .server_begin = server_begin,
    .server_step = server_step,
    .client_begin = client_begin,
    .client_step = client_step,
    .end = end,
};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_AUTH,
    .name = "cram_md5",
    .version = "1.0",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle project",
    .summary = "CRAM-MD5: a shared secret that is not sent",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .option_size = sizeof *options,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
