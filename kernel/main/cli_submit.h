/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/cli_submit: the way from a command to the running daemon's submission socket
 * (smtp/server_local.c).
 */
#ifndef HEDDLE_MAIN_CLI_SUBMIT_H
#define HEDDLE_MAIN_CLI_SUBMIT_H
#include "main/cli.h"

struct submission {
	struct process *p;
	const struct cli *c;
	struct loaded loaded; /* the configuration, without drivers */
	slice_t login;
	bool own_sender; /* nobody has said who the sender is */
	int fd;          /* the session; -1: none */
};
/* Who runs this, and the configuration.  FAIL, ERROR: who we are, what was asked for, or the
 * configuration. */
MUST_USE enum rc cli_submit_begin(
    struct process *p, const struct cli *c, struct submission *out, struct error *err);
/* mode: "smtp", "bsmtp", "message", or "inetd" with the connection that is handed over (else -1).
 * DEFER: no daemon. */
MUST_USE enum rc cli_submit_dial(
    struct submission *s, const char *mode, int handed, struct error *err);
void cli_submit_end(struct submission *s);
/* -odf: until these have been tried. */
void cli_wait_for(struct process *p, slice_t ids);
#endif
