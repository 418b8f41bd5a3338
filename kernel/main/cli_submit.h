/* SPDX-License-Identifier: GPL-3.0-or-later */
/* main/cli_submit: the way from a command to the running daemon's submission socket
 * (smtp/server_local.c). */
#ifndef HEDDLE_MAIN_CLI_SUBMIT_H
#define HEDDLE_MAIN_CLI_SUBMIT_H
#include "main/cli.h"

/* mode: "smtp" or "bsmtp".  DEFER: no daemon; FAIL, ERROR: who we are or the configuration. */
MUST_USE enum rc cli_submit_open(
    struct process *p, const struct cli *c, const char *mode, int *out_fd, struct error *err);
#endif
