/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers in texts: the integers of conditions, and the arithmetic of ${eval:} (C's operators and
 * precedence). */
#include "expand/tree.h"

#include <inttypes.h>

slice_t number_text(struct arena *a, int64_t v)
{
	char buf[24], *end = buf + sizeof buf, *p = end;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		*--p = '-';
	char *copy = arena_bytes(a, (size_t)(end - p));
	memcpy(copy, p, (size_t)(end - p));
	return slice_of(copy, (size_t)(end - p), HEDDLE_CLEAN);
}

/* A factor for K, M or G at *p, 1 for anything else; steps over it. */
static int64_t take_scale(const char **p, const char *end)
{
	static const char units[] = "KMG";
	if (*p == end)
		return 1;
	const char *u = strchr(units, ascii_upper(**p));
	if (!u || !**p)
		return 1;
	(*p)++;
	return INT64_C(1) << (10 * (u - units + 1));
}

/* Digits at *p; false on overflow.  Their number shows in how far *p moved. */
static bool take_decimal(const char **p, const char *end, int64_t *v)
{
	bool fits = true;
	*v = 0;
	for (; *p < end && ascii_isdigit(**p); (*p)++)
		if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, **p - '0', v))
			fits = false;
	return fits;
}

enum rc eval_integer(slice_t s, int64_t *out, struct error *err)
{
	const char *p = s.ptr, *end = s.ptr + s.len;
	while (p < end && ascii_isspace(*p))
		p++;
	if (p == end) {
		*out = 0;
		return RC_OK;
	}
	bool negative = *p == '-';
	if (*p == '-' || *p == '+')
		p++;
	const char *digits = p;
	int64_t v;
	bool fits = take_decimal(&p, end, &v);
	if (p == digits)
		return error_set(err, RC_ERROR, "integer expected but \"%.*s\" found", SL_ARG(s));
	if (!fits || __builtin_mul_overflow(v, take_scale(&p, end), &v))
		return error_set(err, RC_ERROR,
		    "absolute value of integer \"%.*s\" is too large (overflow)", SL_ARG(s));
	while (p < end && ascii_isspace(*p))
		p++;
	if (p != end)
		return error_set(err, RC_ERROR, "invalid integer \"%.*s\"", SL_ARG(s));
	*out = negative ? -v : v;
	return RC_OK;
}

/* ---- arithmetic ---- */

struct calc {
	const char *s, *p, *end;
	bool decimal;
	unsigned depth;
	const char *problem;
};
enum { CALC_NESTING_MAX = 60 };

static void skip_space(struct calc *c)
{
	while (c->p < c->end && ascii_isspace(*c->p))
		c->p++;
}

static int64_t calc_fail(struct calc *c, const char *problem)
{
	if (!c->problem)
		c->problem = problem;
	return 0;
}

static int64_t take_based(struct calc *c, unsigned base)
{
	int64_t v = 0;
	for (; c->p < c->end; c->p++) {
		char ch = ascii_lower(*c->p);
		int d = ascii_isdigit(ch) ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : 99;
		if (d >= (int)base)
			break;
		if (__builtin_mul_overflow(v, (int64_t)base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			v = INT64_MAX; /* as strtoll saturates */
	}
	return v;
}

static int64_t calc_number(struct calc *c)
{
	int64_t v;
	bool zero = *c->p == '0' && !c->decimal;
	if (zero && c->end - c->p > 1 && ascii_lower(c->p[1]) == 'x') {
		c->p += 2;
		v = take_based(c, 16);
	} else {
		v = take_based(c, zero ? 8 : 10);
	}
	int64_t factor = take_scale(&c->p, c->end);
	if (__builtin_mul_overflow(v, factor, &v))
		return calc_fail(c, "absolute value of integer is too large (overflow)");
	skip_space(c);
	return v;
}

static int64_t calc_level(struct calc *c, unsigned level);

static int64_t calc_unary(struct calc *c)
{
	skip_space(c);
	if (c->p == c->end)
		return calc_fail(c, "expecting number or opening parenthesis");
	char ch = *c->p;
	if (ascii_isdigit(ch))
		return calc_number(c);
	if (++c->depth > CALC_NESTING_MAX)
		return calc_fail(c, "nested too deeply");
	int64_t v = 0;
	switch (ch) {
	case '-':
		c->p++;
		v = calc_unary(c);
		v = (int64_t)(0 - (uint64_t)v);
		break;
	case '+':
		c->p++;
		v = calc_unary(c);
		break;
	case '~':
		c->p++;
		v = ~calc_unary(c);
		break;
	case '(':
		c->p++;
		v = calc_level(c, 0);
		if (c->problem)
			break;
		if (c->p == c->end || *c->p != ')')
			return calc_fail(c, "expecting closing parenthesis");
		c->p++;
		skip_space(c);
		break;
	default:
		return calc_fail(c, "expecting number or opening parenthesis");
	}
	c->depth--;
	return v;
}

static int64_t calc_binary(struct calc *c, char op, int64_t a, int64_t b)
{
	int64_t v = 0;
	switch (op) {
	case '|':
		return a | b;
	case '^':
		return a ^ b;
	case '&':
		return a & b;
	case '<':
		/* the count modulo 64, which is what the processor made of it in Exim */
		return (int64_t)((uint64_t)a << ((uint64_t)b & 63));
	case '>':
		return a >> ((uint64_t)b & 63);
	case '+':
		return __builtin_add_overflow(a, b, &v) ? calc_fail(c, "overflow in sum") : v;
	case '-':
		return __builtin_sub_overflow(a, b, &v) ? calc_fail(c, "overflow in difference")
		                                        : v;
	case '*':
		return __builtin_mul_overflow(a, b, &v) ? calc_fail(c, "overflow in product") : v;
	case '/':
		if (b == 0)
			return calc_fail(c, "divide by zero");
		return a == INT64_MIN && b == -1 ? INT64_MAX : a / b;
	default:
		if (b == 0)
			return calc_fail(c, "modulo by zero");
		return b == -1 ? 0 : a % b;
	}
}

/* Operators of each level of precedence, weakest first; "<" and ">" stand for the doubled ones. */
static const char *const levels[] = {"|", "^", "&", "<>", "+-", "*/%"};
enum { LEVELS = sizeof levels / sizeof levels[0] };

static char operator_at(struct calc *c, unsigned level)
{
	if (c->p == c->end || !strchr(levels[level], *c->p))
		return 0;
	char op = *c->p;
	if (op != '<' && op != '>') {
		c->p++;
		return op;
	}
	if (c->end - c->p < 2 || c->p[1] != op)
		return 0;
	c->p += 2;
	return op;
}

static int64_t calc_level(struct calc *c, unsigned level)
{
	if (level == LEVELS)
		return calc_unary(c);
	int64_t v = calc_level(c, level + 1);
	char op;
	while (!c->problem && (op = operator_at(c, level)) != 0) {
		int64_t right = calc_level(c, level + 1);
		if (!c->problem)
			v = calc_binary(c, op, v, right);
	}
	return v;
}

/* N, or N op M without white space: what loops and counters ask for; false: anything else. */
static bool calc_quick(slice_t s, int64_t *out)
{
	const char *p = s.ptr, *end = s.ptr + s.len;
	int64_t a, b;
	if (p == end || (*p == '0' && s.len > 1 && ascii_isalnum(p[1])))
		return false;
	const char *from = p;
	if (!take_decimal(&p, end, &a) || p == from)
		return false;
	if (p == end) {
		*out = a;
		return true;
	}
	char op = *p++;
	from = p;
	if ((op != '+' && op != '-') || p == end || (*p == '0' && end - p > 1))
		return false;
	if (!take_decimal(&p, end, &b) || p == from || p != end)
		return false;
	return op == '+' ? !__builtin_add_overflow(a, b, out) : !__builtin_sub_overflow(a, b, out);
}

enum rc eval_arithmetic(slice_t s, bool decimal, int64_t *out, struct error *err)
{
	if (calc_quick(s, out))
		return RC_OK;
	struct calc c = {.s = s.ptr, .p = s.ptr, .end = s.ptr + s.len, .decimal = decimal};
	int64_t v = calc_level(&c, 0);
	if (!c.problem && c.p != c.end)
		c.problem = "expecting operator";
	if (c.problem)
		return error_set(err, RC_ERROR,
		    "error in expression evaluation: %s (after processing \"%.*s\")", c.problem,
		    (int)(c.p - c.s), c.s ? c.s : "");
	*out = v;
	return RC_OK;
}
