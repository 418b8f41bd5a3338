/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/slice.h"

slice_t slice_sub(slice_t s, size_t from, size_t n)
{
	if (s.len == 0)
		return s;
	if (from > s.len)
		from = s.len;
	if (n > s.len - from)
		n = s.len - from;
	s.ptr += from;
	s.len = (uint32_t)n;
	return s;
}

slice_t slice_trim(slice_t s)
{
	while (s.len && ascii_isspace(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	while (s.len && ascii_isspace(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static bool bytes_eqi(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

bool slice_eq(slice_t a, slice_t b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_eqi(slice_t a, slice_t b)
{
	return a.len == b.len && bytes_eqi(a.ptr, b.ptr, a.len);
}

bool slice_eqs(slice_t a, const char *b)
{
	size_t n = strlen(b);
	return a.len == n && (n == 0 || memcmp(a.ptr, b, n) == 0);
}

bool slice_eqis(slice_t a, const char *b)
{
	size_t n = strlen(b);
	return a.len == n && bytes_eqi(a.ptr, b, n);
}

bool slice_starts(slice_t s, const char *prefix)
{
	size_t n = strlen(prefix);
	return n == 0 || (s.len >= n && memcmp(s.ptr, prefix, n) == 0);
}

bool slice_startsi(slice_t s, const char *prefix)
{
	size_t n = strlen(prefix);
	return s.len >= n && bytes_eqi(s.ptr, prefix, n);
}

static int by_length(slice_t a, slice_t b)
{
	return (a.len > b.len) - (a.len < b.len);
}

int slice_cmp(slice_t a, slice_t b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int d = n ? memcmp(a.ptr, b.ptr, n) : 0;
	return d ? d : by_length(a, b);
}

int slice_cmpi(slice_t a, slice_t b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	for (size_t i = 0; i < n; i++) {
		unsigned char x = (unsigned char)ascii_lower(a.ptr[i]);
		unsigned char y = (unsigned char)ascii_lower(b.ptr[i]);
		if (x != y)
			return x < y ? -1 : 1;
	}
	return by_length(a, b);
}

size_t slice_find(slice_t s, char c)
{
	const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;
	return p ? (size_t)(p - s.ptr) : SIZE_MAX;
}

size_t slice_rfind(slice_t s, char c)
{
	const char *p = s.len ? memrchr(s.ptr, c, s.len) : NULL;
	return p ? (size_t)(p - s.ptr) : SIZE_MAX;
}

size_t slice_search(slice_t s, slice_t needle)
{
	if (needle.len == 0)
		return 0;
	const char *p = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
	return p ? (size_t)(p - s.ptr) : SIZE_MAX;
}

bool slice_copy(slice_t s, char *buf, size_t cap)
{
	size_t n = s.len < cap ? s.len : cap - 1;

	if (n)
		memcpy(buf, s.ptr, n);
	buf[n] = '\0';
	return n == s.len && strlen(buf) == n;
}

bool slice_next(slice_t *rest, char sep, slice_t *out_piece)
{
	if (slice_is_absent(*rest))
		return false;
	size_t at = slice_find(*rest, sep);
	if (at == SIZE_MAX) {
		*out_piece = *rest;
		rest->ptr = NULL;
		rest->len = 0;
		rest->flags |= HEDDLE_ABSENT;
		return true;
	}
	*out_piece = slice_sub(*rest, 0, at);
	*rest = slice_sub(*rest, at + 1, rest->len);
	return true;
}

/* ---- numbers ----------------------------------------------------------------------------------
 */

static int digit_value(char c)
{
	if (ascii_isdigit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

static uint64_t scale_factor(char c)
{
	switch (ascii_upper(c)) {
	case 'K':
		return UINT64_C(1) << 10;
	case 'M':
		return UINT64_C(1) << 20;
	case 'G':
		return UINT64_C(1) << 30;
	default:
		return 1;
	}
}

/* Takes a "0x" off when it belongs there, and answers the base that is meant. */
static int take_base(slice_t *s, int base)
{
	bool hex = s->len > 2 && s->ptr[0] == '0' && ascii_lower(s->ptr[1]) == 'x';
	if (hex && (base == 0 || base == 16)) {
		*s = slice_sub(*s, 2, s->len);
		return 16;
	}
	if (base != 0)
		return base;
	return s->len > 1 && s->ptr[0] == '0' ? 8 : 10;
}

bool slice_to_i64(slice_t s, int base, bool scale, int64_t *out)
{
	bool negative = s.len && s.ptr[0] == '-';
	if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
		s = slice_sub(s, 1, s.len);
	base = take_base(&s, base);
	uint64_t factor = 1;
	/* A letter that is a digit of this base is no factor. */
	if (scale && s.len > 1 && digit_value(s.ptr[s.len - 1]) >= base) {
		factor = scale_factor(s.ptr[s.len - 1]);
		if (factor > 1)
			s.len--;
	}
	if (s.len == 0)
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i < s.len; i++) {
		int d = digit_value(s.ptr[i]);
		if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return false;
	}
	if (__builtin_mul_overflow(v, factor, &v))
		return false;
	uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	if (v > limit)
		return false;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static int64_t unit_ms(char c)
{
	switch (c) {
	case 's':
		return 1000;
	case 'm':
		return INT64_C(60000);
	case 'h':
		return INT64_C(3600000);
	case 'd':
		return INT64_C(86400000);
	case 'w':
		return INT64_C(604800000);
	default:
		return 0;
	}
}

/* Digits from *i on; false if there are none or they are too many. */
static bool take_digits(slice_t s, size_t *i, int64_t *out)
{
	size_t from = *i;
	int64_t v = 0;
	for (; *i < s.len && ascii_isdigit(s.ptr[*i]); (*i)++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, s.ptr[*i] - '0', &v))
			return false;
	*out = v;
	return *i > from;
}

/* The thousandths after a point; further digits are read and dropped. */
static bool take_fraction(slice_t s, size_t *i, int64_t *out)
{
	size_t from = *i;
	int64_t v = 0, worth = 100;
	for (; *i < s.len && ascii_isdigit(s.ptr[*i]); (*i)++) {
		v += (s.ptr[*i] - '0') * worth;
		worth /= 10;
	}
	*out = v;
	return *i > from;
}

bool slice_to_ms(slice_t s, int64_t *out_ms)
{
	int64_t total = 0;
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int64_t whole, thousandths = 0;
		if (!take_digits(s, &i, &whole))
			return false;
		if (i < s.len && s.ptr[i] == '.') {
			i++;
			if (!take_fraction(s, &i, &thousandths))
				return false;
		}
		int64_t unit = i < s.len ? unit_ms(s.ptr[i]) : 0; /* no unit, no time */
		if (unit == 0 || __builtin_mul_overflow(whole, unit, &whole) ||
		    __builtin_add_overflow(total, whole, &total) ||
		    __builtin_add_overflow(total, thousandths * (unit / 1000), &total))
			return false;
	}
	*out_ms = total;
	return true;
}
