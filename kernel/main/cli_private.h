/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two halves of reading a command line: cli.c goes through it, cli_options.c has the options.
 */
#ifndef HEDDLE_MAIN_CLI_PRIVATE_H
#define HEDDLE_MAIN_CLI_PRIVATE_H
#include "main/cli.h"

/* What stands behind the letters of an option. */
enum tail {
	TAIL_NONE,
	TAIL_SAME_WORD,
	TAIL_NEEDED,    /* in this word or the next */
	TAIL_NEXT_WORD, /* in the next */
	TAIL_FLAGS      /* letters of -R and the next word, or a text in this one */
};
struct parse {
	struct arena *a;
	struct cli *c;
	slice_t word;    /* the one that is read */
	slice_t letters; /* TAIL_FLAGS */
	struct error *err;
};
typedef enum rc take_fn(struct parse *p, slice_t tail);
struct option_row {
	const char *word;
	enum tail tail;
	take_fn *take;
};
extern const struct option_row cli_options[]; /* ends with a NULL word */

/* "abandoned: unknown, malformed, or incomplete option WORD" */
enum rc cli_unknown(struct parse *p);
#endif
