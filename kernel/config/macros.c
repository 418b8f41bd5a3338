/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Macros are applied to each physical line in the order of their definition; the text of one is not
 * searched for the same macro again, but for those defined later.  Hence the rule that no name may
 * hold an earlier one.  Builtin macros count only as whole words: _HAVE_TLS_RESUME is not _HAVE_TLS
 * with something behind it.
 */
#include "base/strbuf.h"
#include "config/config_private.h"

static bool is_word(char c)
{
	return ascii_isalnum(c) || c == '_';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

bool macros_is_definition(slice_t line)
{
	if (!line.len || !is_upper(line.ptr[0]))
		return false;
	(void)lex_name(&line);
	lex_space(&line);
	return line.len && line.ptr[0] == '=';
}

static struct macro *find(const struct config *cfg, slice_t name)
{
	VEC_FOREACH(&cfg->macros, struct macro, m)
	if (slice_eq(m->name, name))
		return m;
	return NULL;
}

static struct macro *add(struct loader *l, const struct source_line *at, slice_t name)
{
	VEC_FOREACH(&l->cfg->macros, struct macro, m)
	{
		if (slice_search(name, m->name) == SIZE_MAX)
			continue;
		loader_problem(l, at->file, at->line,
		    "macro \"%.*s\" cannot be defined: the name of the earlier macro \"%.*s\" is a "
		    "part of it, and would be "
		    "replaced there; define the longer name first",
		    SL_ARG(name), SL_ARG(m->name));
		return NULL;
	}
	if (l->cfg->macros.count >= READER_MACROS_MOST) {
		loader_problem(
		    l, at->file, at->line, "too many macros: more than %d", READER_MACROS_MOST);
		l->reader.stopped = true;
		return NULL;
	}
	struct macro *m = VEC_PUSH(l->a, &l->cfg->macros, struct macro);
	m->name = name;
	return m;
}

void macros_define(struct loader *l, const struct source_line *line)
{
	slice_t rest = line->text, name = lex_name(&rest);
	lex_space(&rest);
	if (!name.len || !rest.len || rest.ptr[0] != '=') {
		loader_problem(l, line->file, line->line,
		    "malformed macro definition: \"%.*s\" must be followed by = or ==; options "
		    "begin with a small letter",
		    SL_ARG(name));
		return;
	}
	bool again = rest.len > 1 && rest.ptr[1] == '=';
	slice_t value = slice_trim(slice_sub(rest, again ? 2 : 1, rest.len));
	struct macro *m = find(l->cfg, name);
	if (m && m->from_command_line)
		return;
	if (again && !m) {
		loader_problem(l, line->file, line->line,
		    "macro \"%.*s\" is redefined with == but was never defined", SL_ARG(name));
		return;
	}
	if (!again && m) {
		loader_problem(l, line->file, line->line,
		    "macro \"%.*s\" is already defined; == redefines it", SL_ARG(name));
		return;
	}
	if (!m)
		m = add(l, line, name);
	if (m)
		m->value = value;
}

void macros_begin(struct loader *l)
{
	struct source_line at = {.file = NULL};
	for (uint32_t i = 0; i < l->src->define_count; i++) {
		slice_t rest = slice_trim(arena_dup(l->a, l->src->defines[i]));
		rest.flags |= HEDDLE_CLEAN;
		bool upper = rest.len && is_upper(rest.ptr[0]);
		slice_t name = lex_name(&rest);
		lex_space(&rest);
		if (!upper || (rest.len && rest.ptr[0] != '=')) {
			loader_problem(l, NULL, 0,
			    "-D: NAME=value was expected, NAME beginning with an upper-case "
			    "letter; "
			    "found \"%.*s\"",
			    SL_ARG(l->src->defines[i]));
			continue;
		}
		if (find(l->cfg, name)) {
			loader_problem(
			    l, NULL, 0, "-D: macro \"%.*s\" is given twice", SL_ARG(name));
			continue;
		}
		struct macro *m = add(l, &at, name);
		if (!m)
			continue;
		m->value = slice_trim(slice_sub(rest, 1, rest.len));
		m->from_command_line = true;
	}
}

/* Length of the builtin macro that begins at text[i], 0: none. */
static uint32_t builtin_at(struct loader *l, slice_t text, uint32_t i)
{
	uint32_t n = 1;
	if (text.ptr[i] != '_' || (i && is_word(text.ptr[i - 1])) || i + 1 >= text.len ||
	    !is_upper(text.ptr[i + 1]))
		return 0;
	while (i + n < text.len && is_word(text.ptr[i + n]))
		n++;
	return builtin_is_defined(l->src->drivers, slice_sub(text, i, n)) ? n : 0;
}

static slice_t replace_builtins(struct loader *l, slice_t text, bool *any)
{
	struct strbuf sb;
	bool changed = false;
	if (slice_find(text, '_') == SIZE_MAX)
		return text;
	for (uint32_t i = 0, from = 0; i <= text.len; i++) {
		uint32_t n = i < text.len ? builtin_at(l, text, i) : 0;
		if (!n && (i < text.len || !changed))
			continue;
		if (!changed)
			strbuf_init(&sb, l->a, READER_LINE_MOST);
		changed = true;
		strbuf_add(&sb, slice_sub(text, from, i - from));
		if (n) {
			strbuf_char(&sb, 'y');
			from = i + n;
			i = from - 1;
		}
	}
	if (!changed)
		return text;
	*any = true;
	return strbuf_slice(&sb);
}

/* Text with every `m` replaced; an overfull result stops the reader. */
static slice_t replace_one(struct loader *l, slice_t text, const struct macro *m, size_t at)
{
	struct strbuf sb;
	strbuf_init(&sb, l->a, READER_LINE_MOST);
	while (at != SIZE_MAX) {
		strbuf_add(&sb, slice_sub(text, 0, at));
		strbuf_add(&sb, m->value);
		text = slice_sub(text, at + m->name.len, text.len);
		at = slice_search(text, m->name);
	}
	strbuf_add(&sb, text);
	l->reader.produced += sb.len;
	if (strbuf_is_overfull(&sb) || l->reader.produced > READER_TOTAL_MOST) {
		struct reader_file *f = &l->reader.files[l->reader.depth - 1];
		loader_problem(l, f->name, f->line,
		    "macro \"%.*s\" makes the configuration too large", SL_ARG(m->name));
		l->reader.stopped = true;
		return text;
	}
	return strbuf_slice(&sb);
}

/* No macro's name is without a capital: most lines need no search. */
static bool has_capital(slice_t text)
{
	for (uint32_t i = 0; i < text.len; i++)
		if (is_upper(text.ptr[i]))
			return true;
	return false;
}

slice_t macros_replace(struct loader *l, slice_t text, bool skip_name, bool *out_any)
{
	slice_t head = slice_sub(text, 0, 0), rest = text;
	bool any = false;
	if (skip_name && macros_is_definition(text)) {
		size_t eq = slice_find(text, '=');
		head = slice_sub(text, 0, eq + 1);
		rest = slice_sub(text, eq + 1, text.len);
	}
	*out_any = false;
	if (!has_capital(rest))
		return text;
	slice_t now = replace_builtins(l, rest, &any);
	VEC_FOREACH(&l->cfg->macros, struct macro, m)
	{
		size_t at = now.len >= m->name.len ? slice_search(now, m->name) : SIZE_MAX;
		if (at == SIZE_MAX)
			continue;
		any = true;
		now = replace_one(l, now, m, at);
		if (l->reader.stopped)
			break;
	}
	*out_any = any;
	if (!any)
		return text;
	struct strbuf sb;
	if (!head.len)
		return now;
	strbuf_init(&sb, l->a, 2 * READER_LINE_MOST);
	strbuf_add(&sb, head);
	strbuf_add(&sb, now);
	return strbuf_slice(&sb);
}
