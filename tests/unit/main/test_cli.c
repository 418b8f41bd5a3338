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
	    {"heddle -qqf", CLI_QUEUE_RUN, "run force"},
	    {"heddle -qiff", CLI_QUEUE_RUN, "run first force frozen"},
	    {"heddle -R abc", CLI_QUEUE_RUN, "run recipient=YWJj"},
	    {"heddle -Rabc", CLI_QUEUE_RUN, "run recipient=YWJj"},
	    {"heddle -Sf a -R abc", CLI_QUEUE_RUN, "run force sender=YQ== recipient=YWJj"},
	    {"heddle -qRrff abc", CLI_QUEUE_RUN, "run force frozen recipient-matches=YWJj"},
	    {"heddle someone@x", CLI_MESSAGE, NULL},
	    {"heddle -t", CLI_MESSAGE, NULL},
	    {"heddle -bm", CLI_NONE, NULL},
	    {"heddle", CLI_NONE, NULL},
	    {"heddle -bs", CLI_SMTP, NULL},
	    {"heddle -bs -bS", CLI_BATCH_SMTP, NULL},
	    {"rsmtp", CLI_BATCH_SMTP, NULL},
	    {"rmail a@b", CLI_MESSAGE, NULL},
	    {"sendmail -i -f x@y -oem a@b", CLI_MESSAGE, NULL},
	    {"heddle -bw", CLI_DAEMON, NULL},
	    {"heddle -bem file text", CLI_EXPAND, NULL},
	    {"heddle -Mset 1aaaaa-000000-00 -be", CLI_EXPAND, NULL},
	    {"heddle -bpra", CLI_LIST, "list -ra"},
	    {"heddle -bpu", CLI_LIST, "list -u"},
	    {"heddle -Mes 1aaaaa-000000-00 a@b", CLI_EDIT, "sender"},
	    {"heddle -z text", CLI_NOTE, "note dGV4dA=="},
	    {"heddle -bp", CLI_LIST, "list"},
	    {"heddle -bpr", CLI_LIST, "list -r"},
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
	CHECK_EQ_STR(*VEC_AT(&cli.defines, slice_t, 1), "C=");
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
	    {"heddle -bd -bp", "incompatible command-line options or arguments"},
	    {"heddle -bV -bt x", "incompatible command-line options or arguments"},
	    {"heddle -q -bp", "incompatible command-line options or arguments"},
	    {"heddle -t -bt x", "incompatible command-line options or arguments"},
	    {"heddle -Mset 1aaaaa-000000-00", "incompatible command-line options or arguments"},
	    {"heddle -C", "abandoned: unknown, malformed, or incomplete option -C"},
	    {"heddle -D", "abandoned: unknown, malformed, or incomplete option -D"},
	    {"heddle -f", "abandoned: unknown, malformed, or incomplete option -f"},
	    {"heddle -Dlow=x", "macro name set by -D must start with an upper case letter"},
	    {"heddle -qx", "bad time value -qx: abandoned"},
	    {"heddle -q30x", "bad time value -q30x: abandoned"},
	    {"heddle -q0", "bad time value -q0: abandoned"},
	    {"heddle -ql",
	        "not supported yet: -ql (remote deliveries cannot be held back by themselves)"},
	    {"heddle -qGx", "not supported yet: -qGx (there are no named queues)"},
	    {"heddle -bpx", "abandoned: unknown, malformed, or incomplete option -bpx"},
	    {"heddle -Mzz x", "abandoned: unknown, malformed, or incomplete option -Mzz"},
	    {"heddle -Mrm", "no message ids given after -Mrm option"},
	    {"heddle -bh", "abandoned: unknown, malformed, or incomplete option -bh"},
	    {"heddle -bh 192.0.2.1 -oMx y",
	        "abandoned: unknown, malformed, or incomplete option -oMx"},
	    {"heddle -bdx", "abandoned: unknown, malformed, or incomplete option -bdx"},
	    {"heddle -nonsense", "abandoned: unknown, malformed, or incomplete option -nonsense"},
	    {"heddle --nonsense", "abandoned: unknown, malformed, or incomplete option --nonsense"},
	    {"heddle -R", "string expected after -R"},
	    {"heddle -Sff", "string expected after -Sff"},
	    {"heddle -or 1x a@b", "bad time value 1x: abandoned"},
	    {"heddle -oMm zz a@b", "-oMm must be a valid message ID"},
	    {"heddle -bf x", "not supported yet: -bf (there are no filters)"},
	    {"heddle -N a@b", "not supported yet: -N (deliveries cannot be suppressed)"},
	    {"heddle -oMr a -oMr b x@y", "received_protocol is set already"},
	};
	arena = arena_new(0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool ok = CHECK_EQ_INT(parse(rows[i].line), RC_FAIL);
		ok &= CHECK_EQ_STR(slice_cstr(err.text), rows[i].want);
		if (!ok)
			printf("# %s\n", rows[i].line);
	}
	char *none[] = {NULL};
	CHECK_EQ_INT(cli_parse(arena, 0, none, &cli, &err), RC_OK);
	CHECK_EQ_INT(cli.mode, CLI_NONE);
	arena_free(&arena);
}

TAP_MAIN()
