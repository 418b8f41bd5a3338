/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Exim's command line: which words are taken, what they ask for, what is refused. */
#include "lib/tap.h"
#include "main/cli.h"

#include <stdio.h>
#include <string.h>

static struct arena *arena;
static struct cli cli;
static struct error err;

/* Words separated by spaces; "''" is an empty one. */
static enum rc parse(const char *line)
{
	char *argv[30];
	int argc = 0;
	slice_t rest = slice_cstr(line), word;

	while (argc < 29 && slice_next(&rest, ' ', &word)) {
		if (word.len == 0)
			continue;
		char *p = arena_bytes(arena, word.len + 1U);
		memcpy(p, word.ptr, word.len);
		p[slice_eqs(word, "''") ? 0 : word.len] = '\0';
		argv[argc++] = p;
	}
	argv[argc] = NULL;
	err = (struct error){.text = ""};
	return cli_parse(arena, argc, argv, &cli, &err);
}

struct row {
	const char *line;
	enum cli_mode mode;
	const char *request; /* NULL: none */
};

TEST(modes)
{
	static const struct row rows[] = {
	    {"heddle -bd", CLI_DAEMON, NULL},
	    {"heddle -bdf", CLI_DAEMON, NULL},
	    {"heddle -bd -q30m", CLI_DAEMON, NULL},
	    {"heddle -q30m", CLI_DAEMON, NULL},
	    {"heddle -q30m -bd", CLI_DAEMON, NULL},
	    {"heddle -q", CLI_QUEUE_RUN, "run"},
	    {"heddle -qf", CLI_QUEUE_RUN, "run force"},
	    {"heddle -qff", CLI_QUEUE_RUN, "run force frozen"},
	    {"heddle -qql", CLI_QUEUE_RUN, "run local"},
	    {"heddle -qifl", CLI_QUEUE_RUN, "run force local first"},
	    {"heddle -bp", CLI_LIST, "list"},
	    {"heddle -bpr", CLI_LIST, "list"},
	    {"heddle -bpi", CLI_LIST, "ids"},
	    {"heddle -bpc", CLI_COUNT, NULL},
	    {"heddle -be", CLI_EXPAND, NULL},
	    {"heddle -be text", CLI_EXPAND, NULL},
	    {"heddle -bt a@b", CLI_ADDRESS_TEST, NULL},
	    {"heddle -bv a@b", CLI_VERIFY, NULL},
	    {"heddle -bvs a@b", CLI_VERIFY_SENDER, NULL},
	    {"heddle -bV", CLI_VERSION, NULL},
	    {"heddle --version", CLI_VERSION, NULL},
	    {"heddle --help", CLI_HELP, NULL},
	    {"heddle -bP", CLI_PRINT, NULL},
	    {"heddle -bi", CLI_NEWALIASES, NULL},
	    {"heddle -M 1aaaaa-000000-00", CLI_EDIT, "deliver"},
	    {"heddle -Mc 1aaaaa-000000-00", CLI_EDIT, "deliver-due"},
	    {"heddle -Mf 1aaaaa-000000-00", CLI_EDIT, "freeze"},
	    {"heddle -Mt 1aaaaa-000000-00", CLI_EDIT, "thaw"},
	    {"heddle -Mg 1aaaaa-000000-00", CLI_EDIT, "give-up"},
	    {"heddle -Mrm 1aaaaa-000000-00", CLI_EDIT, "remove"},
	    {"/usr/bin/mailq", CLI_LIST, "list"},
	    {"runq", CLI_QUEUE_RUN, "run"},
	    {"newaliases", CLI_NEWALIASES, NULL},
	    {"heddle -C /etc/x -bV", CLI_VERSION, NULL},
	    {"heddle -v -om -bV", CLI_VERSION, NULL},
	};
	arena = arena_new(0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool ok = CHECK_EQ_INT(parse(rows[i].line), RC_OK);
		ok &= CHECK_EQ_INT(cli.mode, rows[i].mode);
		if (rows[i].request)
			ok &= CHECK_EQ_STR(
			    slice_cstr(cli.request ? cli.request : "(null)"), rows[i].request);
		if (!ok)
			printf("# %s: %s\n", rows[i].line, err.text);
	}
	arena_free(&arena);
}

TEST(what_stands_behind_options)
{
	arena = arena_new(0);
	CHECK_EQ_INT(
	    parse("heddle -C/etc/one -D A=b -DC -oX 25:26 -oP /run/pid -bdf -q1h30m"), RC_OK);
	CHECK_EQ_STR(slice_cstr(cli.config_file), "/etc/one");
	CHECK_EQ_INT(cli.defines.count, 2);
	CHECK_EQ_STR(*VEC_AT(&cli.defines, slice_t, 0), "A=b");
	CHECK_EQ_STR(*VEC_AT(&cli.defines, slice_t, 1), "C");
	CHECK_EQ_STR(slice_cstr(cli.ports), "25:26");
	CHECK_EQ_STR(slice_cstr(cli.pid_file), "/run/pid");
	CHECK(cli.foreground);
	CHECK_EQ_INT(cli.queue_interval_ms, 5400000);
	CHECK_EQ_INT(cli.words.count, 0);
	CHECK_EQ_INT(parse("heddle -bt a@b c@d"), RC_OK);
	CHECK_EQ_INT(cli.words.count, 2);
	CHECK_EQ_STR(*VEC_AT(&cli.words, slice_t, 1), "c@d");
	CHECK(!cli.foreground);
	/* "--" ends the options; a lone "-" and an empty word are none */
	CHECK_EQ_INT(parse("heddle -bt -- -dash@b"), RC_OK);
	CHECK_EQ_STR(*VEC_AT(&cli.words, slice_t, 0), "-dash@b");
	CHECK_EQ_INT(parse("heddle -be - x"), RC_OK);
	CHECK_EQ_INT(cli.words.count, 2);
	CHECK_EQ_INT(parse("heddle -be ''"), RC_OK);
	CHECK_EQ_INT(cli.words.count, 1);
	CHECK_EQ_INT(parse("heddle -d+all -bV"), RC_OK);
	CHECK(cli.debug);
	arena_free(&arena);
}

TEST(refused)
{
	static const struct {
		const char *line, *want;
	} rows[] = {
	    {"heddle", "nothing to do; try --help"},
	    {"heddle someone@x", "not supported yet: a message on standard input; send it by SMTP"},
	    {"heddle -bd -bp", "incompatible command-line options or arguments"},
	    {"heddle -bV -bt x", "incompatible command-line options or arguments"},
	    {"heddle -q -bp", "incompatible command-line options or arguments"},
	    {"heddle -C", "-C needs something behind it"},
	    {"heddle -D", "-D needs something behind it"},
	    {"heddle -qx", "unknown letter in -qx"},
	    {"heddle -q30x", "bad time value 30x: abandoned"},
	    {"heddle -q0", "bad time value 0: abandoned"},
	    {"heddle -bpx", "not supported yet: -bpx"},
	    {"heddle -Mzz x", "not supported yet: -Mzz"},
	    {"heddle -bh", "-bh needs something behind it"},
	    {"heddle -bh 192.0.2.1 -oMx y", "not supported yet: -oMx y"},
	    {"heddle -bdx", "not supported yet, or no option: -bdx"},
	    {"heddle -nonsense", "not supported yet, or no option: -nonsense"},
	    {"heddle --nonsense", "not supported yet, or no option: --nonsense"},
	};
	arena = arena_new(0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool ok = CHECK_EQ_INT(parse(rows[i].line), RC_FAIL);
		ok &= CHECK_EQ_STR(slice_cstr(err.text), rows[i].want);
		if (!ok)
			printf("# %s\n", rows[i].line);
	}
	char *none[] = {NULL};
	CHECK_EQ_INT(cli_parse(arena, 0, none, &cli, &err), RC_FAIL);
	arena_free(&arena);
}

TAP_MAIN()
