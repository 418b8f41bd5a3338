/* SPDX-License-Identifier: GPL-3.0-or-later */
/* expand/text: what items and operators of the same name share; private to this module. */
#ifndef HEDDLE_EXPAND_TEXT_H
#define HEDDLE_EXPAND_TEXT_H
#include "expand/tree.h"

struct text_numbers {
	int64_t n[2];
	uint32_t count;
};
slice_t text_substr(slice_t text, const struct text_numbers *nums);
MUST_USE enum rc text_nhash(struct arena *a, slice_t text, const struct text_numbers *nums,
    slice_t *out, struct error *err);
MUST_USE enum rc text_hash(struct arena *a, slice_t text, const struct text_numbers *nums,
    slice_t *out, struct error *err);
/* In double quotes, with backslashes. */
slice_t text_quote(struct arena *a, slice_t text);
/* Bytes of the UTF-8 character at i, 0: malformed; *code is what it stands for. */
uint32_t text_utf8_char(slice_t s, uint32_t i, uint32_t *code);
/* Newlines become eol.  The text is the caller's own copy. */
MUST_USE enum rc replace_newlines(
    struct eval *ev, slice_t text, slice_t eol, slice_t *out, struct error *err);
#endif
