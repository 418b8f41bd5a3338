/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config/options: one parser for all options, whether their rows are the kernel's or a driver's.
 * A value is taken in two steps: assigned as text when its line is read, compiled when all named
 * lists are known.
 */
#ifndef HEDDLE_CONFIG_OPTIONS_H
#define HEDDLE_CONFIG_OPTIONS_H
#include "config/config.h"
#include "config/lexer.h"

/* How far the rest of the kernel has come; decides what a setting does at load time. */
enum option_support {
	OPT_FULL,          /* works */
	OPT_IGNORED,       /* accepted and without effect, by design: exim_user and the like */
	OPT_LATER_OFF,     /* a value that switches it off loads, others are refused: 'not supported
	                      yet: NAME' */
	OPT_LATER_PERMITS, /* only permits something: loads with a warning */
	OPT_LATER_DEMANDS, /* asks for something: refused */
};

/* Rows and their values.  support NULL: all FULL, a driver's own table. */
struct option_table {
	const struct heddle_option *rows;
	const uint8_t *support;
	uint32_t count;
	struct option_value *values; /* count of them and an end mark */
	uint32_t phases; /* PHASE_ bits: where its expansions are evaluated; 0: see options.c, or
	                    not known */
};

struct loader;
extern const struct option_table options_main, options_router, options_transport,
    options_auth; /* values NULL */

/* Index of the row of that name, UINT32_MAX: none. */
uint32_t options_find(const struct option_table *t, slice_t name);
/* The row that `raw` means; sets raw->negated for the no_ or not_ of a boolean. */
uint32_t options_match(const struct option_table *t, struct raw_option *raw);
/* Values with the rows' defaults as text, on the snapshot's arena. */
void options_begin(struct loader *l, struct option_table *t);
/* Take one setting.  scope: "router NAME: ", or "" for the main section. */
void options_assign(struct loader *l, struct option_table *t, uint32_t index,
    const struct raw_option *raw, const char *scope);
/* Convert and compile all values, check what is not supported yet. */
void options_compile(struct loader *l, struct option_table *t, const char *scope);
/* Nearest name of the table, NULL: nothing is near. */
const char *options_near(const struct option_table *t, slice_t name);
#endif
