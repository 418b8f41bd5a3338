/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/cli_message: a message on standard input, on its way to the running daemon (cli_message.c),
 * and how its errors are reported (cli_errors.c): to standard error, or by a message to its sender.
 */
#ifndef HEDDLE_MAIN_CLI_MESSAGE_H
#define HEDDLE_MAIN_CLI_MESSAGE_H
#include "main/cli_input.h"
#include "main/cli_submit.h"
#include "message/message.h"

struct bad_address {
	slice_t text, why;
};
struct sending {
	struct submission *s;
	struct arena *arena;
	struct input in;
	slice_t sender;
	struct header_list fields; /* of in.header */
	struct vec recipients;     /* slice_t */
	struct vec bad;            /* struct bad_address */
	bool overridden;           /* -t: those that there were are on the command line */
	char *copy;                /* the beginning of the body, for a report */
	size_t copy_len, copy_max;
	char id[MESSAGE_ID_LEN + 1]; /* of what was accepted */
};

enum message_fault {
	FAULT_BAD_ARGUMENT, /* bad[0] */
	FAULT_BAD_FIELDS,   /* bad: of -t, none is good */
	FAULT_SOME_BAD,     /* the same, but others are good: the message goes on */
	FAULT_NO_RECIPIENTS,
	FAULT_OVERRIDDEN,
	FAULT_TOO_MANY,
	FAULT_TOO_BIG,
	FAULT_SECTION,
	FAULT_LINE,
	FAULT_POLICY, /* text */
};
/* Tells whoever is to be told; the exit status of the command. */
int message_report(struct sending *t, enum message_fault fault, slice_t text);
/* What is left of the input, as far as a report shows it. */
void message_keep_rest(struct sending *t);

/* Recipients of words, or (-t) of header fields without those in the words. */
void message_recipients(struct sending *t);
/* A message whose envelope and fields are known: RC_OK; RC_FAIL: refused, *out_fault says how and
 * err has the daemon's words; RC_DEFER: the daemon cannot take it, or there is none; RC_ERROR:
 * reading timed out. */
MUST_USE enum rc message_send(struct sending *t, enum message_fault *out_fault, struct error *err);
#endif
