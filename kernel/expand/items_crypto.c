/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hmac, and the signed return paths of BATV (draft-levine-smtp-batv): prvs and prvscheck. */
#include "base/clock.h"
#include "expand/crypto.h"
#include "expand/tree.h"
#include "net/tls/cert.h"

#include <stdio.h>

static enum rc item_hmac(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[3];
	enum rc rc = eval_args(ev, n, args, 3, err);
	if (rc != RC_OK)
		return rc;
	bool md5 = slice_eqs(args[0], "md5");
	if (!md5 && !slice_eqs(args[0], "sha1"))
		return error_set(
		    err, RC_ERROR, "hmac algorithm \"%.*s\" is not recognised", SL_ARG(args[0]));
	unsigned char sum[DIGEST_MAX];
	size_t len = digest_keyed(md5 ? DIGEST_MD5 : DIGEST_SHA1, args[1], args[2], sum);
	*out = hex_of(ev->arena, sum, len, false);
	return RC_OK;
}

/* ---- prvs ---- */

enum { PRVS_DAYS = 7 };

static unsigned prvs_day(int64_t ahead)
{
	return (unsigned)((clock_wall_us() / US_PER_SEC / 86400 + ahead) % 1000);
}

/* Three bytes of the HMAC of key number, day and address, in hex. */
static slice_t prvs_hash(struct arena *a, slice_t secret, char key, unsigned day, slice_t address)
{
	struct strbuf sb;
	unsigned char sum[DIGEST_MAX];
	strbuf_init(&sb, a, 0);
	strbuf_printf(&sb, "%c%03u", key, day);
	strbuf_add(&sb, address);
	(void)digest_keyed(DIGEST_SHA1, secret, strbuf_slice(&sb), sum);
	return hex_of(a, sum, 3, false);
}

static enum rc item_prvs(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[3] = {{0}};
	enum rc rc = eval_args(ev, n, args, n->arg_count, err);
	if (rc != RC_OK)
		return rc;
	slice_t address = args[0], secret = args[1], key = args[2];
	if (slice_find(address, '@') == SIZE_MAX)
		return error_set(
		    err, RC_ERROR, "prvs first argument must be a qualified email address");
	if (key.len == 0)
		key = SL("0");
	if (key.len != 1 || !ascii_isdigit(key.ptr[0]))
		return error_set(err, RC_ERROR, "prvs third argument must be a single digit");
	unsigned day = prvs_day(PRVS_DAYS);
	slice_t hash = prvs_hash(ev->arena, secret, key.ptr[0], day, address);
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	strbuf_printf(&sb, "prvs=%c%03u%.*s=", key.ptr[0], day, SL_ARG(hash));
	strbuf_add(&sb, address);
	return text_done(&sb, out, err);
}

/* "prvs=KDDDSSSSSS=local@domain" */
static bool prvs_split(slice_t s, char *key, unsigned *day, slice_t *hash, slice_t *address)
{
	if (!slice_startsi(s, "prvs=") || s.len < 17 || s.ptr[15] != '=')
		return false;
	for (unsigned i = 5; i < 15; i++)
		if (!(ascii_isdigit(s.ptr[i]) || (i > 8 && memchr("abcdefABCDEF", s.ptr[i], 12))))
			return false;
	*key = s.ptr[5];
	*day = (unsigned)((s.ptr[6] - '0') * 100 + (s.ptr[7] - '0') * 10 + (s.ptr[8] - '0'));
	*hash = slice_sub(s, 9, 6);
	*address = slice_sub(s, 16, s.len);
	return slice_find(*address, '@') != SIZE_MAX;
}

static enum rc prvs_verdict(struct eval *ev, const struct node *n, slice_t given, slice_t hash,
    unsigned day, char key, slice_t *out, struct error *err)
{
	slice_t secret;
	enum rc rc = eval_arg(ev, n, 1, &secret, err);
	if (rc != RC_OK)
		return rc;
	slice_t want = prvs_hash(ev->arena, secret, key, day, given);
	/* the day is the last on which it is good */
	unsigned left = (day + 1000 - prvs_day(0)) % 1000;
	bool good = digest_same(want, hash, true) && left <= PRVS_DAYS;
	ev->prvscheck_result = good ? SL("1") : SL("");
	slice_t text = SL("");
	if (n->arg_count > 2)
		rc = eval_arg(ev, n, 2, &text, err);
	if (rc == RC_OK)
		*out = text.len ? text : given;
	return rc;
}

static enum rc item_prvscheck(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t in, hash, address;
	char key;
	unsigned day;
	enum rc rc = eval_arg(ev, n, 0, &in, err);
	if (rc != RC_OK)
		return rc;
	if (!prvs_split(in, &key, &day, &hash, &address)) {
		*out = SL("");
		return RC_OK;
	}
	ev->prvscheck_address = address;
	ev->prvscheck_keynum = arena_printf(ev->arena, "%c", key);
	rc = prvs_verdict(ev, n, address, hash, day, key, out, err);
	/* only the result outlives the item */
	ev->prvscheck_address = ev->prvscheck_keynum = slice_absent();
	return rc;
}

/* ---- certextract ---- */

static enum rc parse_certextract(struct parser *p, struct node *n)
{
	static const char *const what[] = {"arg 1 of certextract", "arg 2 of certextract"};
	struct error e = {0};
	slice_t field;
	n->args = ARENA_ARRAY(p->arena, const struct expr *, 2);
	for (unsigned i = 0; i < 2; i++) {
		enum rc rc = parse_arg(p, what[i], &n->args[i]);
		if (rc != RC_OK)
			return rc;
		n->arg_count++;
	}
	if (expr_constant(n->args[0], &field) && tls_cert_check_field(field, &e) != RC_OK)
		return parse_error(p, "%s", e.text);
	if (!var_is_certificate(n->args[1]))
		return parse_error(
		    p, "second argument of \"certextract\" must be a certificate variable");
	return parse_branches(p, n);
}

static enum rc item_certextract(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t field, der, value = SL("");
	enum rc rc = eval_arg(ev, n, 0, &field, err);
	if (rc == RC_OK)
		rc = tls_cert_check_field(field, err);
	if (rc != RC_OK)
		return rc;
	rc = RC_FAIL;
	if (var_certificate(ev, n->args[1], &der) && der.len)
		rc = tls_cert_field(ev->arena, der, field, &value, err);
	if (rc == RC_ERROR || rc == RC_DEFER)
		return rc;
	return eval_branch(ev, n, rc == RC_OK, value, out, err);
}

const struct item_row item_rows_crypto[] = {
    {.name = "certextract", .eval = item_certextract, .parse = parse_certextract},
    {.name = "hmac", .eval = item_hmac, .min = 3, .max = 3, .pure = true},
    {.name = "prvs", .eval = item_prvs, .min = 2, .max = 3},
    {.name = "prvscheck", .eval = item_prvscheck, .min = 2, .max = 3},
    {0},
};
