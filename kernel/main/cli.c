/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "main/cli.h"

#include "main/cli_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum rc cli_unknown(struct parse *p)
{
	return error_set(p->err, RC_FAIL,
	    "abandoned: unknown, malformed, or incomplete option %.*s", SL_ARG(p->word));
}

static bool is_flags(slice_t tail)
{
	static const char *const flags[] = {"", "f", "ff", "r", "rf", "rff"};

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (slice_eqs(tail, flags[i]))
			return true;
	return false;
}

/* The row's option, with what belongs to it; *i moves on past the next word if that was taken. */
static enum rc take_row(
    struct parse *p, const struct option_row *row, int argc, char **argv, int *i)
{
	slice_t tail = slice_sub(p->word, strlen(row->word), p->word.len);
	bool flags = row->tail == TAIL_FLAGS && is_flags(tail);
	bool next =
	    row->tail == TAIL_NEXT_WORD || flags || (row->tail == TAIL_NEEDED && tail.len == 0);

	p->letters = flags ? tail : SL("");
	if (next && *i + 1 >= argc)
		return flags ? error_set(p->err, RC_FAIL, "string expected after %s", argv[*i])
		             : cli_unknown(p);
	if (next)
		tail = slice_cstr(argv[++*i]);
	return row->take(p, tail);
}

static enum rc take_option(struct parse *p, int argc, char **argv, int *i)
{
	p->word = slice_cstr(argv[*i]);
	for (const struct option_row *row = cli_options; row->word; row++) {
		bool whole = row->tail == TAIL_NONE || row->tail == TAIL_NEXT_WORD;
		if (whole ? slice_eqs(p->word, row->word) : slice_starts(p->word, row->word))
			return take_row(p, row, argc, argv, i);
	}
	return cli_unknown(p);
}

static void name_decides(slice_t name, struct cli *c)
{
	static const struct {
		const char *name;
		enum cli_mode mode;
		const char *request;
	} rows[] = {{"mailq", CLI_LIST, "list"}, {"runq", CLI_QUEUE_RUN, "run"},
	    {"newaliases", CLI_NEWALIASES, NULL}, {"rsmtp", CLI_BATCH_SMTP, NULL}};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (slice_eqs(name, rows[i].name)) {
			c->mode = rows[i].mode;
			c->request = rows[i].request;
		}
	if (slice_eqs(name, "rmail")) {
		c->rmail = c->dot_is_text = true;
		c->errors = ERRORS_BY_MAIL_ZERO;
	}
}

/* What only makes sense together, or not at all. */
static enum rc check(const struct cli *c, struct error *err)
{
	bool ids = c->mode == CLI_EDIT;

	if ((c->set_id && c->mode != CLI_EXPAND) ||
	    (c->extract && c->mode != CLI_MESSAGE && c->mode != CLI_NONE && c->mode != CLI_EXPAND))
		return error_set(err, RC_FAIL, "incompatible command-line options or arguments");
	if (ids && c->words.count == 0)
		return error_set(err, RC_FAIL, "no message ids given after %s option", c->option);
	return RC_OK;
}

/* -C may be a list: the first that exists. */
static enum rc choose_file(struct arena *a, struct cli *c, struct error *err)
{
	slice_t rest = slice_cstr(c->config_file), one;

	if (!c->config_file || slice_find(rest, ':') == SIZE_MAX)
		return RC_OK;
	while (slice_next(&rest, ':', &one)) {
		const char *path = arena_cstr(a, slice_trim(one));
		if (access(path, F_OK) != 0 && errno == ENOENT)
			continue;
		c->config_file = path;
		return RC_OK;
	}
	return error_set(err, RC_FAIL, "non-existent configuration file(s): %s", c->config_file);
}

enum rc cli_parse(struct arena *a, int argc, char **argv, struct cli *out, struct error *err)
{
	struct parse p = {.a = a, .c = out, .err = err};
	slice_t name = slice_cstr(argc > 0 ? argv[0] : "heddle");
	size_t slash = slice_rfind(name, '/');

	*out = (struct cli){.mode = CLI_NONE};
	name_decides(slash == SIZE_MAX ? name : slice_sub(name, slash + 1, name.len), out);
	int i = 1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		enum rc rc = take_option(&p, argc, argv, &i);
		if (rc != RC_OK)
			return rc;
	}
	for (; i < argc; i++)
		*VEC_PUSH(a, &out->words, slice_t) = slice_cstr(argv[i]);
	enum rc rc = check(out, err);
	if (rc == RC_OK)
		rc = choose_file(a, out, err);
	if (rc == RC_OK && (out->mode == CLI_NONE || out->mode == CLI_MESSAGE))
		out->mode = out->words.count || out->extract ? CLI_MESSAGE : CLI_NONE;
	return rc;
}

int cli_fail(const struct error *err)
{
	bool abandoned = strncmp(err->text, "abandoned: ", 11) == 0;

	fprintf(stderr, abandoned ? "heddle %s\n" : "heddle: %s\n", err->text);
	return 1;
}
