/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/cli: Exim's command line (specification, chapter 5): the words, and what they ask for.
 * What is not built yet is refused by name; what Exim ignores for sendmail's sake is ignored.
 */
#ifndef HEDDLE_MAIN_CLI_H
#define HEDDLE_MAIN_CLI_H
#include "base/vec.h"
#include "main/process.h"

enum cli_mode {
	CLI_NONE,
	CLI_DAEMON,
	CLI_QUEUE_RUN,
	CLI_LIST,
	CLI_COUNT,
	CLI_EXPAND,
	CLI_ADDRESS_TEST,
	CLI_VERIFY,
	CLI_VERIFY_SENDER,
	CLI_VERSION,
	CLI_PRINT,
	CLI_NEWALIASES,
	CLI_EDIT,
	CLI_HELP,
	CLI_SMTP,
	CLI_BATCH_SMTP,
	CLI_HOST_TEST,
	CLI_RETRY_TEST,
};
struct cli {
	enum cli_mode mode;
	bool foreground;           /* -bdf */
	int64_t queue_interval_ms; /* -qTIME; 0: none */
	const char *request;       /* of the control socket: "run force", "remove", ... */
	const char *config_file;   /* -C */
	struct vec defines;        /* slice_t: -D */
	const char *ports;         /* -oX */
	const char *pid_file;      /* -oP */
	bool debug;
	bool callouts;                        /* -bhc */
	bool unqualified;                     /* -bnq */
	slice_t full_name;                    /* -F; zeroed: not given */
	const char *test_host;                /* of -bh */
	const char *test_interface;           /* -oMi */
	const char *test_ident;               /* -oMt */
	const char *test_name;                /* -oMs */
	const char *test_auth, *test_auth_id; /* -oMaa, -oMai */
	slice_t list_form;                    /* behind -bp: "", "r", "a", ... */
	struct vec words;                     /* slice_t: what is left */
};
/* argv[0] decides too (mailq, runq, newaliases).  RC_FAIL: err says which word and why. */
MUST_USE enum rc cli_parse(
    struct arena *a, int argc, char **argv, struct cli *out, struct error *err);

/* One function for each mode; each returns the exit status. */
int cli_run_daemon(struct process *p, const struct cli *c, char **argv);
int cli_run_control(struct process *p, const struct cli *c);
int cli_run_test(struct process *p, const struct cli *c);
int cli_run_smtp(struct process *p, const struct cli *c);
int cli_run_batch(struct process *p, const struct cli *c);
int cli_run_host_test(struct process *p, const struct cli *c);
int cli_run_version(struct process *p, const struct cli *c);
/* Print "heddle: TEXT" and give status 1. */
int cli_fail(const struct error *err);
/* The snapshot for the modes that run in this process: problems and warnings go to stderr. */
struct config;
struct services;
struct drivers;
struct loaded {
	struct services *sv;
	struct drivers *drivers;
	struct config *cfg;
};
enum rc cli_load(struct process *p, const struct cli *c, bool no_instances, struct loaded *out);
/* Also when nothing, or not all, was loaded. */
void cli_unload(struct loaded *l);
#endif
