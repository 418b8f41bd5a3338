/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PCRE2 gets the arena as its allocator: the compiled code, its contexts and the data of each match.  Only JIT code lies
 * elsewhere, and is given back by a hook of the arena.
 */
#include "match/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* A hostile subject against a careless pattern: measured 0.3 ms with JIT at the first figure, 96 ms by default. */
enum { MATCH_LIMIT = 500000, HEAP_LIMIT_KIB = 1024, DEPTH_LIMIT = 100000 };

struct regex {
	pcre2_code *code;
	pcre2_match_context *limits; /* only read by matches, so shared */
	uint32_t groups;
};

static void *arena_malloc(size_t n, void *a)
{
	return arena_alloc(a, n);
}

static void arena_no_free(void *p, void *a)
{
	(void)p, (void)a;
}

static void drop_code(void *arg)
{
	struct regex *re = arg;
	pcre2_code_free(re->code); /* the arena keeps its own part, the JIT memory is given back */
}

enum rc regex_compile(struct arena *a, slice_t pattern, unsigned flags, const struct regex **out_regex,
    struct error *err)
{
	pcre2_general_context *general = pcre2_general_context_create(arena_malloc, arena_no_free, a);
	pcre2_compile_context *cc = pcre2_compile_context_create(general);
	struct regex *re = ARENA_NEW(a, struct regex);
	int code = 0;
	PCRE2_SIZE at = 0;
	uint32_t options = flags & REGEX_CASELESS ? PCRE2_CASELESS : 0;
	const char *text = pattern.len ? pattern.ptr : "";
	re->code = pcre2_compile((PCRE2_SPTR)text, pattern.len, options, &code, &at, cc);
	if (!re->code) {
		PCRE2_UCHAR why[160] = "";
		(void)pcre2_get_error_message(code, why, sizeof why);
		return error_set(err, RC_ERROR, "regular expression error in \"%.*s\": %s at offset %zu",
		    SL_ARG(slice_sub(pattern, 0, 200)), (const char *)why, (size_t)at);
	}
	arena_on_free(a, drop_code, re);
	(void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE); /* without it the interpreter does the same, slower */
	(void)pcre2_pattern_info(re->code, PCRE2_INFO_CAPTURECOUNT, &re->groups);
	re->limits = pcre2_match_context_create(general);
	(void)pcre2_set_match_limit(re->limits, MATCH_LIMIT);
	(void)pcre2_set_heap_limit(re->limits, HEAP_LIMIT_KIB);
	(void)pcre2_set_depth_limit(re->limits, DEPTH_LIMIT);
	*out_regex = re;
	return RC_OK;
}

static enum rc no_match(int n, struct error *err)
{
	if (n == PCRE2_ERROR_NOMATCH)
		return error_set(err, RC_FAIL, "no match");
	PCRE2_UCHAR why[160] = "";
	(void)pcre2_get_error_message(n, why, sizeof why);
	return error_set(err, RC_DEFER, "regular expression match failed: %s", (const char *)why);
}

static slice_t capture(slice_t text, const PCRE2_SIZE *pair)
{
	if (pair[0] == PCRE2_UNSET || pair[1] < pair[0])
		return slice_absent();
	return slice_sub(text, pair[0], pair[1] - pair[0]);
}

enum rc regex_match(const struct regex *re, struct arena *a, const struct regex_subject *s,
    slice_t *captures, uint32_t max, uint32_t *out_count, struct error *err)
{
	pcre2_general_context *general = pcre2_general_context_create(arena_malloc, arena_no_free, a);
	pcre2_match_data *md = pcre2_match_data_create(re->groups + 1, general);
	uint32_t options = s->anchored_nonempty ? PCRE2_ANCHORED | PCRE2_NOTEMPTY_ATSTART : 0;
	PCRE2_SPTR text = (PCRE2_SPTR)(s->text.len ? s->text.ptr : "");
	int n = pcre2_match(re->code, text, s->text.len, s->from, options, md, re->limits);
	if (n == PCRE2_ERROR_JIT_STACKLIMIT) /* the JIT's 32 KiB are used up; the interpreter has a heap */
		n = pcre2_match(re->code, text, s->text.len, s->from, options | PCRE2_NO_JIT, md, re->limits);
	if (n < 0)
		return no_match(n, err);
	const PCRE2_SIZE *pairs = pcre2_get_ovector_pointer(md);
	uint32_t count = re->groups + 1 < max ? re->groups + 1 : max;
	for (uint32_t i = 0; i < count; i++)
		captures[i] = i < (uint32_t)n ? capture(s->text, pairs + 2 * (size_t)i) : slice_absent();
	if (out_count)
		*out_count = count;
	return RC_OK;
}

uint32_t regex_groups(const struct regex *re)
{
	return re->groups;
}
