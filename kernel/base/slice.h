/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * base/slice: text with a length and a taint flag, the kernel's only string type.
 * It is the ABI's struct heddle_slice, so that strings cross to drivers without being converted.
 * A zeroed slice is empty and TAINTED: safe by default.  CLEAN is set only where text is known to
 * be the site's own. slice_t is the one typedef of a struct here: it is passed by value like a
 * number.
 */
#ifndef HEDDLE_BASE_SLICE_H
#define HEDDLE_BASE_SLICE_H
#include "base/result.h"

#include <heddle/abi.h>
#include <string.h>

typedef struct heddle_slice slice_t;

/* Literal or other C string of ours: CLEAN.  SL("x") for literals at run time, SL_INIT("x") in
 * initialisers. */
#define SL_INIT(lit)                                    \
	{                                               \
		(lit), sizeof(lit) - 1, HEDDLE_CLEAN, 0 \
	}
#define SL(lit) ((slice_t)SL_INIT(lit))
/* printf: "%.*s", SL_ARG(s) */
#define SL_ARG(s) (int)(s).len, (s).len ? (s).ptr : ""

static inline slice_t slice_of(const void *p, size_t n, uint16_t flags)
{
	MUST(n <= UINT32_MAX);
	return (slice_t){(const char *)p, (uint32_t)n, flags, 0};
}
static inline slice_t slice_cstr(const char *s) /* CLEAN; NULL: ABSENT */
{
	return s ? slice_of(s, strlen(s), HEDDLE_CLEAN)
	         : (slice_t){NULL, 0, HEDDLE_ABSENT | HEDDLE_CLEAN, 0};
}
static inline slice_t slice_tainted(const void *p, size_t n)
{
	return slice_of(p, n, 0);
}
static inline slice_t slice_absent(void)
{
	return (slice_t){NULL, 0, HEDDLE_ABSENT | HEDDLE_CLEAN, 0};
}
static inline bool slice_is_clean(slice_t s)
{
	return (s.flags & HEDDLE_CLEAN) != 0;
}
static inline bool slice_is_absent(slice_t s)
{
	return (s.flags & HEDDLE_ABSENT) != 0;
}
/* Part of s with its flags: [from, from+n), clipped to s. */
slice_t slice_sub(slice_t s, size_t from, size_t n);
/* Without white space (space, tab, CR, LF, FF, VT) at both ends. */
slice_t slice_trim(slice_t s);
bool slice_eq(slice_t a, slice_t b);
bool slice_eqi(slice_t a, slice_t b); /* ASCII case folded */
bool slice_eqs(slice_t a, const char *b);
bool slice_eqis(slice_t a, const char *b);
bool slice_starts(slice_t s, const char *prefix);
bool slice_startsi(slice_t s, const char *prefix);
int slice_cmp(slice_t a, slice_t b);  /* bytes; shorter first */
int slice_cmpi(slice_t a, slice_t b); /* ASCII case folded */
/* Index of c (memchr), of needle; SIZE_MAX: not there. */
size_t slice_find(slice_t s, char c);
size_t slice_rfind(slice_t s, char c);
size_t slice_search(slice_t s, slice_t needle);
/* As a C string.  false: it does not fit, or has a NUL; buf is then what fits. */
bool slice_copy(slice_t s, char *buf, size_t cap);
/* Next piece up to sep; *rest moves behind sep.  false when *rest is used up (an ABSENT rest). */
bool slice_next(slice_t *rest, char sep, slice_t *out_piece);
/* Whole slice as a number.  base 0 as strtol; optional K, M, G factor when `scale`. */
MUST_USE bool slice_to_i64(slice_t s, int base, bool scale, int64_t *out);
/* Exim's time form 1w2d3h4m5s (also fractions such as 0.5s) in milliseconds. */
MUST_USE bool slice_to_ms(slice_t s, int64_t *out_ms);

static inline char ascii_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}
static inline char ascii_upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
}
static inline bool ascii_isdigit(char c)
{
	return c >= '0' && c <= '9';
}
static inline bool ascii_isalpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool ascii_isalnum(char c)
{
	return ascii_isdigit(c) || ascii_isalpha(c);
}
static inline bool ascii_isspace(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}
#endif
