/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/reader.h"

#include "base/io.h"
#include "base/strbuf.h"
#include "config/config_private.h"

static bool push_file(struct loader *l, const char *name, slice_t content)
{
	struct reader *r = &l->reader;
	r->total += content.len;
	if (r->total > READER_TOTAL_MOST)
		return false;
	content.flags |= HEDDLE_CLEAN; /* the configuration is the site's own text */
	r->files[r->depth++] =
	    (struct reader_file){name, content, 0, (uint32_t)r->conditions.count};
	return true;
}

bool reader_begin(struct loader *l)
{
	struct error e = {0};
	slice_t content = l->src->content;
	const char *name =
	    arena_cstr(l->a, slice_cstr(l->src->path ? l->src->path : "configuration"));
	if (slice_is_absent(content)) {
		if (io_read_file(l->a, name, READER_TOTAL_MOST, &content, &e) != RC_OK) {
			loader_problem(l, name, 0, "%s", e.text);
			return false;
		}
	} else {
		content = arena_dup(l->a, content);
	}
	if (!push_file(l, name, content)) {
		loader_problem(l, name, 0, "the file is too large: more than %llu bytes",
		    (unsigned long long)READER_TOTAL_MOST);
		return false;
	}
	return true;
}

static bool is_reading(const struct reader *r)
{
	return !r->conditions.count ||
	       VEC_AT(&r->conditions, struct reader_condition, r->conditions.count - 1)->active;
}

/* The file on top has ended. */
static void pop_file(struct loader *l)
{
	struct reader *r = &l->reader;
	struct reader_file *f = &r->files[--r->depth];
	while (r->conditions.count > f->conditions) {
		struct reader_condition *c =
		    VEC_AT(&r->conditions, struct reader_condition, --r->conditions.count);
		loader_problem(l, c->file, c->line,
		    ".endif missing: the condition that begins here is still open at "
		    "the end of the file");
	}
}

/* "FILE" or FILE, behind .include. */
static const char *include_name(
    struct loader *l, const struct reader_file *from, slice_t rest, bool if_exists)
{
	slice_t name;
	struct error e = {0};
	if (lex_string(l->a, rest, &name, &e) != RC_OK) {
		loader_problem(l, from->name, from->line, ".include: %s", e.text);
		return NULL;
	}
	if (!name.len || slice_find(name, '\0') != SIZE_MAX) {
		loader_problem(l, from->name, from->line, ".include: a file name was expected");
		return NULL;
	}
	if (name.ptr[0] == '/')
		return arena_cstr(l->a, name);
	slice_t base = slice_cstr(from->name);
	size_t slash = slice_rfind(base, '/');
	if (if_exists || slash == SIZE_MAX) {
		loader_problem(l, from->name, from->line,
		    "%s: an absolute path was expected, found \"%.*s\"",
		    if_exists ? ".include_if_exists" : ".include", SL_ARG(name));
		return NULL;
	}
	return arena_cstr(
	    l->a, arena_printf(l->a, "%.*s/%.*s", (int)slash, base.ptr, SL_ARG(name)));
}

static void include(struct loader *l, slice_t rest, bool if_exists)
{
	struct reader *r = &l->reader;
	struct reader_file *from = &r->files[r->depth - 1];
	struct error e = {0};
	slice_t content;
	if (l->src->no_includes) {
		loader_problem(l, from->name, from->line, ".include is not allowed here");
		return;
	}
	const char *name = include_name(l, from, rest, if_exists);
	if (!name)
		return;
	if (r->depth >= READER_DEPTH_MOST) {
		loader_problem(l, from->name, from->line,
		    ".include \"%s\": more than %d files include each other", name,
		    READER_DEPTH_MOST);
		r->stopped = true;
		return;
	}
	enum rc rc = io_read_file(l->a, name, READER_TOTAL_MOST, &content, &e);
	if (rc == RC_FAIL && if_exists)
		return;
	if (rc != RC_OK) {
		loader_problem(l, from->name, from->line, ".include \"%s\": %s", name, e.text);
	} else if (!push_file(l, name, content)) {
		loader_problem(l, from->name, from->line,
		    ".include \"%s\": all files together are larger than %llu bytes", name,
		    (unsigned long long)READER_TOTAL_MOST);
		r->stopped = true;
	}
}

enum directive {
	D_IFDEF,
	D_IFNDEF,
	D_ELIFDEF,
	D_ELIFNDEF,
	D_ELSE,
	D_ENDIF,
	D_INCLUDE,
	D_INCLUDE_IF_EXISTS,
	D_NONE
};
static const char *const directive_names[] = {".ifdef", ".ifndef", ".elifdef", ".elifndef", ".else",
    ".endif", ".include", ".include_if_exists"};

static enum directive directive_of(slice_t text, slice_t *out_rest)
{
	uint32_t n = 0;
	while (n < text.len && !ascii_isspace(text.ptr[n]))
		n++;
	slice_t word = slice_sub(text, 0, n);
	*out_rest = slice_trim(slice_sub(text, n, text.len));
	for (int d = 0; d < D_NONE; d++)
		if (slice_eqs(word, directive_names[d]))
			return (enum directive)d;
	return D_NONE;
}

static void condition_open(struct loader *l, bool yes)
{
	struct reader *r = &l->reader;
	struct reader_file *f = &r->files[r->depth - 1];
	bool outer = is_reading(r);
	struct reader_condition *c = VEC_PUSH(l->a, &r->conditions, struct reader_condition);
	*c = (struct reader_condition){f->name, f->line, outer, yes, outer && yes, false};
}

/* .elifdef, .elifndef, .else, .endif */
static void condition_next(struct loader *l, enum directive d, bool any)
{
	struct reader *r = &l->reader;
	struct reader_file *f = &r->files[r->depth - 1];
	if (r->conditions.count <= f->conditions) {
		loader_problem(
		    l, f->name, f->line, "%s without a matching .ifdef", directive_names[d]);
		return;
	}
	struct reader_condition *c =
	    VEC_AT(&r->conditions, struct reader_condition, r->conditions.count - 1);
	if (d == D_ENDIF) {
		r->conditions.count--;
		return;
	}
	if (c->in_else) {
		loader_problem(l, f->name, f->line, "%s behind .else; .endif was expected",
		    directive_names[d]);
		return;
	}
	bool yes = d == D_ELSE || any == (d == D_ELIFDEF);
	c->in_else = d == D_ELSE;
	c->active = c->outer && !c->taken && yes;
	c->taken |= yes;
}

static bool run_directive(struct loader *l, slice_t text, bool any)
{
	slice_t rest;
	enum directive d = directive_of(text, &rest);
	switch (d) {
	case D_IFDEF:
		condition_open(l, any);
		return true;
	case D_IFNDEF:
		condition_open(l, !any);
		return true;
	case D_ELIFDEF:
	case D_ELIFNDEF:
	case D_ELSE:
	case D_ENDIF:
		condition_next(l, d, any);
		return true;
	case D_INCLUDE:
	case D_INCLUDE_IF_EXISTS:
		if (is_reading(&l->reader))
			include(l, rest, d == D_INCLUDE_IF_EXISTS);
		return true;
	case D_NONE:
	default:
		return false;
	}
}

/* One physical line that counts: macros replaced, trimmed; directives and comments are taken care
 * of. */
static bool next_physical(struct loader *l, bool continues, slice_t *out_text)
{
	struct reader *r = &l->reader;
	while (r->depth && !r->stopped) {
		struct reader_file *f = &r->files[r->depth - 1];
		slice_t text;
		if (!f->rest.len) {
			pop_file(l);
			continue;
		}
		size_t end = slice_find(f->rest, '\n');
		text = slice_sub(f->rest, 0, end == SIZE_MAX ? f->rest.len : end);
		f->rest = slice_sub(f->rest, end == SIZE_MAX ? f->rest.len : end + 1, f->rest.len);
		f->line++;
		text = slice_trim(text);
		if (text.len && text.ptr[0] == '#')
			continue;
		bool any = false;
		text = slice_trim(macros_replace(l, text, !continues, &any));
		if (r->stopped)
			return false;
		if (text.len && text.ptr[0] == '#')
			continue;
		if (text.len && text.ptr[0] == '.' && run_directive(l, text, any))
			continue;
		if (!is_reading(r))
			continue;
		*out_text = text;
		return true;
	}
	return false;
}

/* All continuations of the line that begins with `text`; false: a limit was passed. */
static bool join_continuations(struct loader *l, struct source_line *line, slice_t text)
{
	struct strbuf sb;
	strbuf_init(&sb, l->a, READER_LINE_MOST);
	strbuf_add(&sb, slice_sub(text, 0, text.len - 1));
	while (next_physical(l, true, &text)) { /* a blank line ends it */
		bool more = text.len && text.ptr[text.len - 1] == '\\';
		strbuf_add(&sb, slice_sub(text, 0, text.len - (more ? 1 : 0)));
		if (!more)
			break;
	}
	if (strbuf_is_overfull(&sb)) {
		loader_problem(l, line->file, line->line,
		    "the line is too long: more than %zu bytes with its continuations",
		    READER_LINE_MOST);
		l->reader.stopped = true;
		return false;
	}
	line->text = slice_trim(strbuf_slice(&sb));
	return !l->reader.stopped;
}

bool reader_next(struct loader *l, struct source_line *out_line)
{
	struct reader *r = &l->reader;
	slice_t text;
	while (next_physical(l, false, &text)) {
		if (!text.len)
			continue;
		const struct reader_file *f = &r->files[r->depth - 1];
		struct source_line line = {text, f->name, f->line};
		if (text.ptr[text.len - 1] == '\\' && !join_continuations(l, &line, text))
			return false;
		if (!line.text.len)
			continue;
		*out_line = line;
		return true;
	}
	return false;
}
