/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config/reader: files, .include, comments, continuations, macros, .ifdef: gives logical lines.
 * Limits: READER_* below.  Blocks: reads files.  Source: Exim specification 6.2 to 6.10.
 */
#ifndef HEDDLE_CONFIG_READER_H
#define HEDDLE_CONFIG_READER_H
#include "base/vec.h"
#include "config/lexer.h"

#define READER_DEPTH_MOST 50 /* files that include each other */
#define READER_TOTAL_MOST                                                                       \
	((uint64_t)64 << 20)                 /* bytes of all files; again of all replaced lines \
	                                      */
#define READER_LINE_MOST   ((size_t)1 << 20) /* one logical line */
#define READER_MACROS_MOST 10000

struct loader;
struct reader_file {
	const char *name;
	slice_t rest;
	unsigned line;
	uint32_t conditions; /* open when it began */
};
struct reader_condition {
	const char *file;
	unsigned line;
	bool outer;  /* what is round it is read */
	bool taken;  /* a branch was */
	bool active; /* this branch is read */
	bool in_else;
};
struct reader {
	struct reader_file files[READER_DEPTH_MOST];
	uint32_t depth;
	struct vec conditions; /* struct reader_condition */
	uint64_t total, produced;
	bool stopped; /* a limit was passed */
};
/* Begin with the loader's source; false: it cannot be read, the problem is noted. */
bool reader_begin(struct loader *l);
/* Next logical line, false at the end. */
bool reader_next(struct loader *l, struct source_line *out_line);

/* macros.c */
void macros_begin(struct loader *l); /* -D */
/* "NAME = value", "NAME == value" */
void macros_define(struct loader *l, const struct source_line *line);
/* Is this line of the form NAME =, NAME beginning with an upper-case letter? */
bool macros_is_definition(slice_t line);
/* Replace; skip_name: the line may be a definition, whose name is left alone.  *out_any: something
 * was replaced. */
slice_t macros_replace(struct loader *l, slice_t text, bool skip_name, bool *out_any);
#endif
