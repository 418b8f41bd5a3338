/* SPDX-License-Identifier: GPL-3.0-or-later */
/* heddle: Exim's command line. */
#include "main/cli.h"

#include <stdio.h>

static const char help[] =
    "usage: heddle [-C FILE] [-DMACRO=VALUE] MODE [WORDS]\n"
    "  -bd, -bdf         daemon, in the background or the foreground; -qTIME: with queue runs; -oX "
    "PORTS\n"
    "  [-t] [-i] [-f SENDER] [RECIPIENT...]  take a message on standard input\n"
    "  -bp, -bpc         list, count the queue          -q[i][f[f]]  run it once\n"
    "  -M, -Mc, -Mf, -Mt, -Mrm, -Mg, -Mmad ID...  deliver (-Mc: what is due), freeze, thaw, "
    "remove, give up, mark as delivered\n"
    "  -Mar, -Mmd ID ADDRESS..., -Mes ID ADDRESS  add recipients, mark them as delivered, change "
    "the sender\n"
    "  -Mvh, -Mvb, -Mvc, -Mvl ID  view header, body, message, log\n"
    "  -R[f[f]], -S[f[f]] TEXT  run what has this in a recipient, in the sender\n"
    "  -be [TEXT...]     expand; reads lines when no text is given\n"
    "  -bt, -bv ADDRESS...  show the route of an address, verify it\n"
    "  -brt ADDRESS [DOMAIN] [ERROR]  show the retry rule\n"
    "  -bs, -bS          messages by SMTP (-bS: a batch) on standard input\n"
    "  -bh, -bhc HOST    play an SMTP session as if from that host: nothing is kept\n"
    "  -bP [NAME...]     print options                  -bV  version and drivers, check the "
    "configuration\n"
    "See heddle(8).\n";

/* Without an option that says what to do, and without a recipient. */
static const char brief[] =
    "Heddle is a Mail Transfer Agent. It is normally called by Mail User Agents,\n"
    "not directly from a shell command line. Options and/or arguments control\n"
    "what it does when called. For a list of options, try --help.\n";

int main(int argc, char **argv)
{
	struct process p = {0};
	struct cli c;
	struct error err = {.text = ""};
	struct arena *a = arena_new(0);
	int status = 0;

	if (cli_parse(a, argc, argv, &c, &err) != RC_OK ||
	    process_init(&p, c.config_file, &err) != RC_OK) {
		status = cli_fail(&err);
	} else if (!cli_may_debug(&p, &c)) {
		status = 1;
	} else {
		switch (c.mode) {
		case CLI_DAEMON:
			status = cli_run_daemon(&p, &c);
			break;
		case CLI_NOTE:
		case CLI_LIST:
		case CLI_COUNT:
		case CLI_QUEUE_RUN:
		case CLI_EDIT:
			status = cli_run_control(&p, &c);
			break;
		case CLI_EXPAND:
		case CLI_ADDRESS_TEST:
		case CLI_VERIFY:
		case CLI_VERIFY_SENDER:
		case CLI_PRINT:
		case CLI_RETRY_TEST:
			status = cli_run_test(&p, &c);
			break;
		case CLI_SMTP:
			status = cli_run_smtp(&p, &c);
			break;
		case CLI_BATCH_SMTP:
			status = cli_run_batch(&p, &c);
			break;
		case CLI_HOST_TEST:
			status = cli_run_host_test(&p, &c);
			break;
		case CLI_VERSION:
			status = cli_run_version(&p, &c);
			break;
		case CLI_MESSAGE:
			status = cli_run_message(&p, &c);
			break;
		case CLI_NEWALIASES:
			status = cli_run_newaliases(&p, &c);
			break;
		case CLI_INFO:
			status = cli_run_info(&c);
			break;
		case CLI_NONE:
			fputs(brief, stderr);
			status = 1;
			break;
		case CLI_HELP:
			fputs(help, stdout);
			break;
		}
	}
	process_fini(&p);
	arena_free(&a);
	return status;
}
