/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PCRE2 with everything on the arena: the compiled code and its contexts live where the caller
 * says; only JIT code does not, and is freed by the arena's end.  Measured: a limit of 400,000
 * steps is reached in about a millisecond, while real patterns use some hundreds.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "expand/regex.h"

#include <pcre2.h>

enum { MATCH_LIMIT = 400000, HEAP_LIMIT_KIB = 1024, PATTERN_MAX = 65536 };

struct regex {
	pcre2_code *code;
	pcre2_match_context *limits; /* read only once made */
	uint32_t groups;
	bool jit;
};

/* Not cleared: the interpreter asks for 20 KiB of working space in each match. */
static void *from_arena(size_t size, void *arena)
{
	const size_t align = _Alignof(max_align_t);
	char *p = arena_bytes(arena, size + align - 1);
	return p + (align - (uintptr_t)p % align) % align;
}

static void to_nobody(void *p, void *arena)
{
	(void)p, (void)arena;
}

static void free_code(void *code)
{
	pcre2_code_free(code);
}

static enum rc compile_error(int code, size_t at, slice_t pattern, struct error *err)
{
	unsigned char text[160];
	if (pcre2_get_error_message(code, text, sizeof text) < 0)
		text[0] = '\0';
	return error_set(err, RC_ERROR, "regular expression error in \"%.*s\": %s at offset %zu",
	    SL_ARG(pattern), (const char *)text, at);
}

enum rc regex_compile(struct arena *a, slice_t pattern, unsigned flags, const struct regex **out_re,
    struct error *err)
{
	if (pattern.len > PATTERN_MAX)
		return error_set(err, RC_ERROR, "regular expression is too long (%u bytes)",
		    (unsigned)pattern.len);
	pcre2_general_context *gc = pcre2_general_context_create(from_arena, to_nobody, a);
	pcre2_compile_context *cc = pcre2_compile_context_create(gc);
	MUST(gc && cc);
	(void)pcre2_set_parens_nest_limit(cc, 100);
	int code;
	size_t at;
	uint32_t options = flags & REGEX_CASELESS ? PCRE2_CASELESS : 0;
	const unsigned char *text = (const unsigned char *)(pattern.len ? pattern.ptr : "");
	pcre2_code *re = pcre2_compile(text, pattern.len, options, &code, &at, cc);
	if (!re)
		return compile_error(code, at, pattern, err);
	struct regex *r = ARENA_NEW(a, struct regex);
	r->code = re;
	r->limits = pcre2_match_context_create(gc);
	MUST(r->limits);
	(void)pcre2_set_match_limit(r->limits, MATCH_LIMIT);
	(void)pcre2_set_heap_limit(r->limits, HEAP_LIMIT_KIB);
	(void)pcre2_pattern_info(re, PCRE2_INFO_CAPTURECOUNT, &r->groups);
	/* Where executable memory is refused (-48) the interpreter does the work. */
	if ((flags & REGEX_JIT) && pcre2_jit_compile(re, PCRE2_JIT_COMPLETE) == 0) {
		r->jit = true;
		arena_on_free(a, free_code, re);
	}
	*out_re = r;
	return RC_OK;
}

static enum rc match_error(int rc, struct error *err)
{
	if (rc == PCRE2_ERROR_NOMATCH)
		return RC_FAIL;
	unsigned char text[160];
	if (pcre2_get_error_message(rc, text, sizeof text) < 0)
		text[0] = '\0';
	return error_set(err, RC_DEFER, "regular expression gave up: %s", (const char *)text);
}

static void take_captures(
    const size_t *ov, uint32_t pairs, slice_t subject, slice_t *captures, uint32_t max)
{
	for (uint32_t i = 0; i < pairs && i < max; i++) {
		size_t from = ov[2 * i], to = ov[2 * i + 1];
		/* \K can put the start behind the end */
		if (from == PCRE2_UNSET || to < from)
			captures[i] = slice_sub(subject, 0, 0);
		else
			captures[i] = slice_sub(subject, from, to - from);
		captures[i].quoter = 0;
	}
}

enum rc regex_match_at(struct arena *scratch, const struct regex *re, slice_t subject, size_t from,
    bool not_empty, slice_t *captures, uint32_t max, uint32_t *out_count, struct error *err)
{
	struct arena_mark mark = arena_mark(scratch);
	pcre2_general_context *gc = pcre2_general_context_create(from_arena, to_nobody, scratch);
	pcre2_match_data *md = pcre2_match_data_create(re->groups + 1, gc);
	MUST(gc && md);
	const unsigned char *text = (const unsigned char *)(subject.len ? subject.ptr : "");
	uint32_t options = not_empty ? PCRE2_NOTEMPTY_ATSTART | PCRE2_ANCHORED : 0;
	/* JIT code has no anchored form of what was compiled without it */
	int rc = re->jit && options == 0
	             ? pcre2_jit_match(re->code, text, subject.len, from, 0, md, re->limits)
	             : pcre2_match(re->code, text, subject.len, from, options, md, re->limits);
	if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
		rc = pcre2_match(
		    re->code, text, subject.len, from, options | PCRE2_NO_JIT, md, re->limits);
	enum rc result;
	if (rc > 0) {
		uint32_t count = re->groups + 1 < max ? re->groups + 1 : max;
		take_captures(pcre2_get_ovector_pointer(md), count, subject, captures, max);
		*out_count = count;
		result = RC_OK;
	} else {
		result = match_error(rc, err);
	}
	arena_release(scratch, mark);
	return result;
}

enum rc regex_match(struct arena *scratch, const struct regex *re, slice_t subject,
    slice_t *captures, uint32_t max, uint32_t *out_count, struct error *err)
{
	return regex_match_at(scratch, re, subject, 0, false, captures, max, out_count, err);
}
