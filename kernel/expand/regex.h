/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * expand/regex: PCRE2 as expansions and lists use it: bytes, not UTF; bounded; compiled patterns
 * are shared by threads. A regex lives in the arena that it was compiled in; its JIT code is freed
 * with that arena. Exceeding a limit is RC_DEFER, never "does not match".
 */
#ifndef HEDDLE_EXPAND_REGEX_H
#define HEDDLE_EXPAND_REGEX_H
#include "base/arena.h"

struct regex;
enum { REGEX_CASELESS = 1, REGEX_JIT = 2 };
/* RC_ERROR: the pattern is malformed, in Exim's words. */
MUST_USE enum rc regex_compile(struct arena *a, slice_t pattern, unsigned flags,
    const struct regex **out_re, struct error *err);
/* Captures are parts of subject (its flags too); up to max of them are written, *out_count says how
 * many there are. Unset groups are empty.  RC_OK, RC_FAIL (no match), RC_DEFER (a limit), RC_ERROR.
 * Uses scratch and gives it back. */
MUST_USE enum rc regex_match(struct arena *scratch, const struct regex *re, slice_t subject,
    slice_t *captures, uint32_t max, uint32_t *out_count, struct error *err);
/* The same from an offset, with offsets: for substitution. not_empty: an empty match there does not
 * count. */
MUST_USE enum rc regex_match_at(struct arena *scratch, const struct regex *re, slice_t subject,
    size_t from, bool not_empty, slice_t *captures, uint32_t max, uint32_t *out_count,
    struct error *err);
#endif
