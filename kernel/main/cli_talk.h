/* SPDX-License-Identifier: GPL-3.0-or-later */
/* main/cli_talk: the client's side of a session with the daemon: one command, one reply. */
#ifndef HEDDLE_MAIN_CLI_TALK_H
#define HEDDLE_MAIN_CLI_TALK_H
#include "base/arena.h"

#include <stdio.h>

#define TALK_REPLY_MAX 8192

struct talk {
	int sock;
	FILE *replies;
	char reply[TALK_REPLY_MAX]; /* the last one: lines, '\n' between them */
};
/* Takes sock over, whatever happens. */
bool talk_begin(struct talk *t, int sock);
void talk_end(struct talk *t);
/* The code of the next reply; 421 when the connection is lost. */
int talk_reply(struct talk *t);
/* Say it, and read the reply: its code. */
int talk_say(struct talk *t, struct arena *a, slice_t command);
#endif
