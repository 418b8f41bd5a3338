/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config/lexer: the pieces of a logical line: names, settings, quoted strings.  Pure: text in, text
 * out.
 */
#ifndef HEDDLE_CONFIG_LEXER_H
#define HEDDLE_CONFIG_LEXER_H
#include "base/arena.h"

/* One logical line: macros replaced, continuations joined, white space trimmed.  Text lives in the
 * snapshot's arena. */
struct source_line {
	slice_t text;
	const char *file;
	unsigned line; /* of its first physical line */
};

/* "hide name = value", not yet looked up in any table. */
struct raw_option {
	struct source_line at;
	slice_t name;
	bool hide;
	bool has_equals;
	bool negated; /* set by options_match */
	slice_t rest; /* behind the '=' (or behind the name), trimmed at the left */
};

/* Take a leading [A-Za-z][A-Za-z0-9_]* off *rest; empty: there is none. */
slice_t lex_name(slice_t *rest);
void lex_space(slice_t *rest);
/* Split a setting; RC_FAIL: there is no name. */
MUST_USE enum rc lex_option(
    const struct source_line *at, struct raw_option *out_raw, struct error *err);
/* A string value: quoted with escapes, or the text itself.  RC_FAIL: missing quote, characters
 * behind it. */
MUST_USE enum rc lex_string(struct arena *a, slice_t rest, slice_t *out_text, struct error *err);
/* A quoted string at the front of *rest, or all up to white space. */
MUST_USE enum rc lex_word(struct arena *a, slice_t *rest, slice_t *out_word, struct error *err);
/* A line "NAME:" or "NAME: rest" (acl): true, *out_rest is what follows the colon. */
bool lex_label(slice_t line, slice_t *out_name, slice_t *out_rest);
/* Levenshtein distance, ASCII case ignored; more than `limit` gives limit + 1. */
unsigned lex_distance(slice_t a, slice_t b, unsigned limit);
#endif
