/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/cli_relay: a user at the keyboard, or a program, speaks SMTP with a session (-bs, -bh).
 * Lines typed may end in LF alone: the session gets CRLF.
 */
#ifndef HEDDLE_MAIN_CLI_RELAY_H
#define HEDDLE_MAIN_CLI_RELAY_H

/* Copies between standard input, standard output and the session until the session ends; sock stays
 * the caller's. */
void cli_relay(int sock);
#endif
