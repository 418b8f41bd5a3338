/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The text of an ACL that is not in the configuration (inline, or a file) to the lines that config/
 * gives for the others. */
#include "acl/acl_private.h"

bool acl_is_verb(slice_t word)
{
	static const char *const verbs[] = {
	    "accept", "defer", "deny", "discard", "drop", "require", "warn"};
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (slice_eqs(word, verbs[i]))
			return true;
	return false;
}

/* A line with its continuations; comments between them are skipped as in the configuration file. */
static bool next_line(struct arena *a, slice_t *rest, unsigned *line, slice_t *out)
{
	struct strbuf sb;
	slice_t piece;
	bool more = false, any = false;
	strbuf_init(&sb, a, 0);
	while (slice_next(rest, '\n', &piece)) {
		(*line)++;
		slice_t s = slice_trim(piece);
		if (s.len && s.ptr[0] == '#')
			continue;
		any = true;
		more = s.len && s.ptr[s.len - 1] == '\\';
		if (more)
			s = slice_sub(s, 0, s.len - 1U);
		strbuf_add(&sb, s);
		if (!more)
			break;
	}
	*out = strbuf_slice(&sb);
	return any;
}

static slice_t take_word(slice_t *s)
{
	uint32_t n = 0;
	while (n < s->len && (ascii_isalnum(s->ptr[n]) || s->ptr[n] == '_'))
		n++;
	slice_t word = slice_sub(*s, 0, n);
	*s = slice_trim(slice_sub(*s, n, s->len));
	return word;
}

static enum rc split_item(slice_t s, struct acl_line *line, struct error *err)
{
	slice_t whole = s;
	if (s.len && s.ptr[0] == '!') {
		line->negated = true;
		s = slice_trim(slice_sub(s, 1, s.len));
	}
	line->keyword = take_word(&s);
	line->value = slice_absent();
	if (!line->keyword.len)
		return error_set(err, RC_ERROR,
		    "a verb, condition or modifier was expected, found \"%.*s\"", SL_ARG(whole));
	if (slice_eqs(line->keyword, "set")) {
		line->value = s;
	} else if (s.len && s.ptr[0] == '=') {
		line->value = slice_trim(slice_sub(s, 1, s.len));
	} else if (s.len) {
		return error_set(
		    err, RC_ERROR, "\"=\" missing after ACL \"%.*s\"", SL_ARG(line->keyword));
	}
	return RC_OK;
}

enum rc acl_split_lines(
    struct arena *a, slice_t text, const char *file, struct vec *lines, struct error *err)
{
	slice_t s;
	unsigned number = 0;
	while (next_line(a, &text, &number, &s)) {
		s = slice_trim(s);
		if (!s.len)
			continue;
		slice_t rest = s;
		slice_t word = take_word(&rest);
		struct acl_line line = {.file = file, .line = number};
		if (acl_is_verb(word) && !(rest.len && rest.ptr[0] == '=')) {
			line.keyword = word;
			line.value = slice_absent();
			line.is_verb = true;
			*VEC_PUSH(a, lines, struct acl_line) = line;
			line.is_verb = false;
			s = rest;
			if (!s.len)
				continue;
		} else if (!lines->count) {
			return error_set(err, RC_ERROR, "unknown ACL verb \"%.*s\"", SL_ARG(word));
		}
		enum rc rc = split_item(s, &line, err);
		if (rc != RC_OK)
			return rc;
		*VEC_PUSH(a, lines, struct acl_line) = line;
	}
	return RC_OK;
}
