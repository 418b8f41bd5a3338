/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SRS0 addresses as Exim makes them: SRS0=HASH=DAY=DOMAIN=LOCAL.  HASH: four hexadecimal digits of
 * the HMAC-MD5 of the lower case address; DAY: two digits in base 32, days since 1970 modulo 1024,
 * good for ten days.  Found by asking Exim.
 */
#include "base/clock.h"
#include "expand/conditions.h"
#include "expand/crypto.h"

enum { DAYS_GOOD = 10, DAYS_ALL = 1024, HASH_DIGITS = 4 };
static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

static unsigned today(void)
{
	return (unsigned)(clock_wall_us() / US_PER_SEC / 86400 % DAYS_ALL);
}

static slice_t lower(struct arena *a, slice_t s)
{
	char *p = arena_bytes(a, s.len);
	for (uint32_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	return with_flags(slice_of(p, s.len, 0), s);
}

static slice_t srs_hash(struct arena *a, slice_t secret, slice_t address)
{
	unsigned char sum[DIGEST_MAX];
	size_t len = digest_keyed(DIGEST_MD5, secret, lower(a, address), sum);
	return slice_sub(hex_of(a, sum, len, false), 0, HASH_DIGITS);
}

static enum rc item_srs_encode(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	slice_t args[3], address;
	size_t domain_at;
	enum rc rc = eval_args(ev, n, args, 3, err);
	if (rc != RC_OK)
		return rc;
	*out = SL("");
	if (!args[1].len)
		return RC_OK;
	if (!parse_address_text(ev->arena, args[1], &address, &domain_at))
		return error_set(err, RC_ERROR, "%.*s: malformed return path", SL_ARG(args[1]));
	slice_t domain =
	    domain_at ? slice_sub(address, domain_at, address.len) : slice_sub(address, 0, 0);
	slice_t local = domain_at ? slice_sub(address, 0, domain_at - 1) : address;
	bool quoted = local.len > 1 && local.ptr[0] == '"';
	if (quoted)
		local = slice_sub(local, 1, local.len - 2U);
	slice_t hash = srs_hash(ev->arena, args[0], address);
	unsigned day = today();
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	strbuf_text(&sb, quoted ? "\"SRS0=" : "SRS0=");
	strbuf_add(&sb, hash);
	strbuf_printf(&sb, "=%c%c=", digits[day >> 5], digits[day & 31]);
	strbuf_add(&sb, domain);
	strbuf_char(&sb, '=');
	strbuf_add(&sb, local);
	strbuf_text(&sb, quoted ? "\"@" : "@");
	strbuf_add(&sb, args[2]);
	return text_done(&sb, out, err);
}

/* "SRS0=HASH=DD=domain=local"; false: another form. */
static bool srs_split(slice_t s, slice_t *hash, unsigned *day, slice_t *domain, slice_t *local)
{
	slice_t mark, days;
	if (!slice_next(&s, '=', &mark) || !slice_eqis(mark, "SRS0") ||
	    !slice_next(&s, '=', hash) || !slice_next(&s, '=', &days) ||
	    !slice_next(&s, '=', domain) || slice_is_absent(s))
		return false;
	*local = s;
	const char *high = days.len == 2 ? memchr(digits, days.ptr[0], 32) : NULL;
	const char *low = days.len == 2 ? memchr(digits, days.ptr[1], 32) : NULL;
	if (!high || !low)
		return false;
	*day = (unsigned)(high - digits) << 5 | (unsigned)(low - digits);
	return true;
}

enum rc cond_inbound_srs(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t text, secret, hash, domain, local;
	unsigned day;
	enum rc rc = cond_two(ev, c, &text, &secret, err);
	*out = false;
	if (rc != RC_OK || !srs_split(text, &hash, &day, &domain, &local))
		return rc;
	if ((today() + DAYS_ALL - day) % DAYS_ALL > DAYS_GOOD)
		return RC_OK;
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, EVAL_TEXT_MAX);
	strbuf_add(&sb, local);
	strbuf_char(&sb, '@');
	strbuf_add(&sb, domain);
	slice_t address = lower(ev->arena, strbuf_slice(&sb)); /* as Exim gives it */
	if (secret.len && !digest_same(srs_hash(ev->arena, secret, address), hash, false))
		return RC_OK;
	ev->srs_recipient = address;
	ev->pinned++;
	*out = true;
	return RC_OK;
}

const struct item_row item_rows_srs[] = {
    {.name = "srs_encode", .eval = item_srs_encode, .min = 3, .max = 3},
    {0},
};
