/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loads a configuration given as text; what went wrong is collected as "FILE:LINE: TEXT" lines. */
#ifndef HEDDLE_TESTS_CONFIG_LOAD_H
#define HEDDLE_TESTS_CONFIG_LOAD_H
#include "base/strbuf.h"
#include "config/config.h"
#include "lib/tap.h"

#include <stdio.h>
#include <stdlib.h>

struct loaded {
	struct arena *a;
	struct config *cfg; /* NULL: refused */
	struct vec problems, warnings;
	slice_t problem_text, warning_text;
};

static inline slice_t loaded_text(struct arena *a, const struct vec *v)
{
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	VEC_FOREACH(v, struct error, e)
	strbuf_printf(&sb, "%s:%u: %s\n", e->file ? e->file : "-", e->line, e->text);
	return strbuf_slice(&sb);
}

static inline struct loaded load_with(
    const char *text, const slice_t *defines, uint32_t define_count)
{
	struct loaded r = {.a = arena_new(0)};
	struct config_source src = {.path = "test.conf",
	    .content = slice_cstr(text),
	    .defines = defines,
	    .define_count = define_count};
	if (config_load(&src, r.a, &r.problems, &r.warnings, &r.cfg) != RC_OK)
		r.cfg = NULL;
	r.problem_text = loaded_text(r.a, &r.problems);
	r.warning_text = loaded_text(r.a, &r.warnings);
	return r;
}

static inline struct loaded load(const char *text)
{
	return load_with(text, NULL, 0);
}

static inline void loaded_free(struct loaded *r)
{
	config_unref(&r->cfg);
	arena_free(&r->a);
}

static inline bool text_has(slice_t text, const char *part)
{
	return slice_search(text, slice_cstr(part)) != SIZE_MAX;
}

static inline slice_t printed(struct loaded *r, const char *what, bool admin)
{
	struct strbuf sb;
	struct error e = {0};
	strbuf_init(&sb, r->a, 0);
	if (!r->cfg)
		return slice_cstr("(not loaded)");
	if (config_print(r->cfg, slice_cstr(what), admin, &sb, &e) != RC_OK)
		return arena_dup(r->a, slice_cstr(e.text));
	return strbuf_slice(&sb);
}

/* The configuration must load, and -bP WHAT say this. */
static inline void check_prints(const char *text, const char *what, const char *want)
{
	struct loaded r = load(text);
	if (!r.cfg)
		fprintf(stderr, "# refused: %.*s\n# %s\n", SL_ARG(r.problem_text), text);
	CHECK_EQ_STR(printed(&r, what, true), want);
	loaded_free(&r);
}

/* The configuration must be refused with a problem that says this. */
static inline void check_refused(const char *text, const char *want)
{
	struct loaded r = load(text);
	CHECK(r.cfg == NULL);
	if (!CHECK(text_has(r.problem_text, want)))
		fprintf(stderr, "# wanted: %s\n# got: %.*s\n# from: %s\n", want,
		    SL_ARG(r.problem_text), text);
	loaded_free(&r);
}
#endif
