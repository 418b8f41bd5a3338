/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/tls/der.h"

#include "base/strbuf.h"

struct der der_of(slice_t bytes)
{
	const unsigned char *p = (const unsigned char *)(bytes.len ? bytes.ptr : "");
	return (struct der){p, p + bytes.len, false};
}

slice_t der_slice(const struct der *d)
{
	return slice_tainted(d->p, der_len(d));
}

bool der_next(struct der *d, struct der_item *out)
{
	if (!der_more(d))
		return false;
	const unsigned char *p = d->p, *raw = p;
	d->bad = true;
	out->tag = *p++;
	if ((out->tag & 0x1f) == 0x1f || p == d->end)
		return false;
	size_t n = *p++;
	if (n & 0x80) {
		unsigned bytes = n & 0x7f;
		if (bytes < 1 || bytes > 4 || (size_t)(d->end - p) < bytes)
			return false;
		for (n = 0; bytes; bytes--)
			n = n << 8 | *p++;
	}
	if ((size_t)(d->end - p) < n)
		return false;
	out->in = (struct der){p, p + n, false};
	out->raw = raw;
	out->raw_len = (size_t)(p + n - raw);
	d->p = p + n;
	d->bad = false;
	return true;
}

struct der der_enter(struct der *d, unsigned tag)
{
	struct der_item it;
	if (der_next(d, &it) && it.tag == tag)
		return it.in;
	d->bad = true;
	return (struct der){d->p, d->p, true};
}

bool der_peek_is(const struct der *d, unsigned tag)
{
	return der_more(d) && *d->p == tag;
}

bool der_oid_is(const struct der *oid, const char *bytes, size_t n)
{
	return !oid->bad && der_len(oid) == n && memcmp(oid->p, bytes, n) == 0;
}

slice_t der_oid_text(struct arena *a, struct der oid)
{
	struct strbuf sb;
	uint64_t v = 0;
	bool first = true;
	strbuf_init(&sb, a, 1024);
	for (const unsigned char *p = oid.p; p < oid.end; p++) {
		v = v << 7 | (*p & 0x7f);
		if (*p & 0x80)
			continue;
		if (first) {
			unsigned top = v < 40 ? 0 : v < 80 ? 1 : 2;
			strbuf_printf(&sb, "%u.%llu", top, (unsigned long long)(v - top * 40));
		} else {
			strbuf_printf(&sb, ".%llu", (unsigned long long)v);
		}
		first = false;
		v = 0;
	}
	return strbuf_slice(&sb);
}

/* Days since 1970 of a day in the proleptic Gregorian calendar. */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

bool der_time(const struct der_item *it, int64_t *out)
{
	unsigned field[7] = {0};
	unsigned digits = it->tag == DER_UTC ? 12 : it->tag == DER_GENERAL_TIME ? 14 : 0;
	const unsigned char *p = it->in.p;
	if (digits == 0 || der_len(&it->in) != digits + 1 || p[digits] != 'Z')
		return false;
	for (unsigned i = 0; i < digits; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	for (unsigned i = 0; i < digits / 2; i++)
		field[i] = (unsigned)(p[2 * i] - '0') * 10 + (unsigned)(p[2 * i + 1] - '0');
	const unsigned *f = field;
	int64_t year;
	if (digits == 14) {
		year = (int64_t)field[0] * 100 + field[1];
		f += 2;
	} else {
		year = field[0] + (field[0] < 50 ? 2000 : 1900);
		f += 1;
	}
	if (f[0] < 1 || f[0] > 12 || f[1] < 1 || f[1] > 31 || f[2] > 23 || f[3] > 59 || f[4] > 60)
		return false;
	*out = days_of(year, f[0], f[1]) * 86400 + (int64_t)f[2] * 3600 + (int64_t)f[3] * 60 + f[4];
	return true;
}
