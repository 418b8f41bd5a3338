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
	CLI_NOTE,
	CLI_HELP,
	CLI_INFO,
	CLI_MESSAGE, /* -bm */
	CLI_SMTP,
	CLI_BATCH_SMTP,
	CLI_HOST_TEST,
	CLI_RETRY_TEST,
};
/* -oem, -oee, -oep: where an error of a message on standard input is reported. */
enum cli_errors { ERRORS_BY_MAIL, ERRORS_BY_MAIL_ZERO, ERRORS_TO_STDERR };
enum cli_delivery { DELIVER_AS_CONFIGURED, DELIVER_BACKGROUND, DELIVER_FOREGROUND, DELIVER_QUEUE };

struct cli {
	enum cli_mode mode;
	bool foreground;           /* -bdf */
	bool wait_socket;          /* -bw */
	bool tls_on_connect;       /* -tls-on-connect */
	int64_t queue_interval_ms; /* -qTIME; 0: none */
	const char *request;       /* of the control socket: "run force", "remove", ... */
	const char *option;        /* -Mrm and the like, for messages */
	const char *config_file;   /* -C */
	struct vec defines;        /* slice_t: -D */
	const char *ports;         /* -oX */
	const char *pid_file;      /* -oP */
	bool debug, verbose;
	bool terse;          /* -n */
	bool callouts;       /* -bhc */
	bool unqualified;    /* -bnq */
	slice_t full_name;   /* -F; zeroed: not given */
	const char *log_tag; /* -L */
	const char *set_id;  /* -Mset */
	const char *file;    /* -bem */
	const char *aliases; /* -oA */
	const char *info;    /* what stands behind -bI: */
	slice_t list_form;   /* behind -bp: "", "r", "a", ... */
	/* a message on standard input */
	const char *sender; /* -f; NULL: not given */
	bool extract;       /* -t */
	bool dot_is_text;   /* -i */
	bool rmail;         /* called by that name */
	bool no_fixups;     /* -G */
	enum cli_errors errors;
	enum cli_delivery delivery;
	int64_t receive_ms, smtp_ms; /* -or, -os; 0: not given */
	/* where it is said to be from; NULL: not said */
	const char *host;           /* -oMa, and what -bh says */
	const char *interface;      /* -oMi */
	const char *ident;          /* -oMt */
	const char *host_name;      /* -oMs */
	const char *auth, *auth_id; /* -oMaa, -oMai */
	const char *auth_sender;    /* -oMas */
	const char *protocol;       /* -oMr */
	const char *reference;      /* -oMm, -E */
	struct vec words;           /* slice_t: what is left */
};
/* argv[0] decides too (mailq, runq, ...).  RC_FAIL: err says which word and why. */
MUST_USE enum rc cli_parse(
    struct arena *a, int argc, char **argv, struct cli *out, struct error *err);

/* One function for each mode; each returns the exit status. */
int cli_run_daemon(struct process *p, const struct cli *c);
int cli_run_control(struct process *p, const struct cli *c);
int cli_run_test(struct process *p, const struct cli *c);
int cli_run_message(struct process *p, const struct cli *c);
int cli_run_smtp(struct process *p, const struct cli *c);
int cli_run_batch(struct process *p, const struct cli *c);
int cli_run_host_test(struct process *p, const struct cli *c);
int cli_run_version(struct process *p, const struct cli *c);
int cli_run_newaliases(struct process *p, const struct cli *c);
int cli_run_info(const struct cli *c);
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

/* What the caller may do: root, the owner of the spool, and what the configuration says. */
bool cli_is_admin(struct process *p, const struct config *cfg);
bool cli_is_trusted(struct process *p, const struct config *cfg);
/* commandline_checks_require_admin: may the caller play? */
MUST_USE enum rc cli_check_rights(struct process *p, const struct config *cfg, struct error *err);
/* -d is for admin users; false: that has been said. */
bool cli_may_debug(struct process *p, const struct cli *c);
/* The login of who runs this.  RC_FAIL: the system knows none. */
MUST_USE enum rc cli_login(struct arena *a, slice_t *out, struct error *err);
/* One request of the running daemon, in the caller's name.  false: it has been said why not, and
 * the status is 1. */
bool cli_ask(struct process *p, slice_t request, slice_t *out_answer, struct error *err);
#endif
