/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * match/regex: regular expressions by PCRE2, compiled with JIT, with limits on what a match may cost.
 * Ownership: a regex lives in the arena that it was compiled in (its JIT memory is given back with that arena) and is
 * immutable: any number of threads match with it at once.  Memory of one match comes from the arena given.
 * Bytes, not UTF-8: mail is bytes.  Source: Exim specification, chapter 8; pcre2api(3).
 */
#ifndef HEDDLE_MATCH_REGEX_H
#define HEDDLE_MATCH_REGEX_H
#include "base/arena.h"

struct regex;
enum regex_flag { REGEX_CASELESS = 1 };

/* RC_ERROR: syntax, with offset and PCRE2's words. */
MUST_USE enum rc regex_compile(struct arena *a, slice_t pattern, unsigned flags,
    const struct regex **out_regex, struct error *err);
/* Search from offset `from` of subject.  RC_OK: captures[0..*out_count) are slices of subject (with its flags), an unset
 * group empty and ABSENT; RC_FAIL: no match; RC_DEFER: a limit was hit, which is not "no match".
 * captures may be NULL when max is 0.  anchored_nonempty: the retry after an empty match (as Perl's /g). */
struct regex_subject {
	slice_t text;
	size_t from;
	bool anchored_nonempty;
};
MUST_USE enum rc regex_match(const struct regex *re, struct arena *a, const struct regex_subject *s,
    slice_t *captures, uint32_t max, uint32_t *out_count, struct error *err);
/* Number of capturing groups in the pattern. */
uint32_t regex_groups(const struct regex *re);
#endif
