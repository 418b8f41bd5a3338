/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -bS: batched SMTP (Exim's specification, 49.11).  Commands are read here and told to the daemon
 * one by one; what it answers is not shown, but the first error ends the batch, in the two forms
 * that callers of Exim know.
 */
#include "base/io.h"
#include "base/strbuf.h"
#include "main/cli_submit.h"
#include "main/cli_talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

struct batch {
	struct talk talk;
	struct arena *arena;
	unsigned line, started_in, accepted;
	char *text; /* of the present line, without its end */
	size_t cap;
};

/* false: the end of the input. */
static bool next_line(struct batch *b, size_t *len)
{
	ssize_t n = getline(&b->text, &b->cap, stdin);

	if (n <= 0)
		return false;
	b->line++;
	if (n && b->text[n - 1] == '\n')
		n--;
	if (n && b->text[n - 1] == '\r')
		n--;
	b->text[n] = '\0';
	*len = (size_t)n;
	return true;
}

static int fault(struct batch *b, const char *command)
{
	printf("%s\nTransaction started in line %u\nError detected in line %u\n", b->talk.reply,
	    b->started_in, b->line);
	if (command)
		printf("%s\n", command);
	fprintf(stderr,
	    "An error was detected while processing a file of BSMTP input.\nThe error message "
	    "was:\n\n  %s\n\n"
	    "The SMTP transaction started in line %u.\nThe error was detected in line %u.\n",
	    b->talk.reply, b->started_in, b->line);
	if (command)
		fprintf(stderr, "The SMTP command at fault was:\n\n   %s\n\n", command);
	fprintf(stderr,
	    "%u previous message%s successfully processed.\nThe rest of the batch was abandoned.\n",
	    b->accepted, b->accepted == 1 ? " was" : "s were");
	(void)fflush(stdout);
	return b->accepted ? 1 : 2;
}

/* 0, or the code of the refusal. */
static int tell(struct batch *b, const char *command, size_t len)
{
	int code = talk_say(&b->talk, b->arena, slice_tainted(command, len));

	return code < 400 ? 0 : code;
}

/* From 354 to the final dot.  false: the input ended before it. */
static bool send_data(struct batch *b, bool *lost)
{
	size_t len;

	while (next_line(b, &len)) {
		bool end = len == 1 && b->text[0] == '.';
		if (io_write_full(b->talk.sock, b->text, len) < 0 ||
		    io_write_full(b->talk.sock, "\r\n", 2) < 0)
			*lost = true;
		if (end)
			return true;
	}
	return false;
}

static bool is(const char *line, const char *command)
{
	slice_t s = slice_cstr(line);
	size_t n = strlen(command);

	return slice_startsi(s, command) && (line[n] == '\0' || line[n] == ' ' || line[n] == ':');
}

/* One command; *status >= 0: the batch is over. */
static void one_command(struct batch *b, size_t len, int *status)
{
	static const char *const ignored[] = {"VRFY", "EXPN", "ETRN", "HELP", "NOOP"};
	bool lost = false;

	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		if (is(b->text, ignored[i]))
			return;
	if (is(b->text, "QUIT")) {
		*status = 0;
		return;
	}
	if (is(b->text, "MAIL"))
		b->started_in = b->line - 1;
	bool reset = is(b->text, "HELO") || is(b->text, "EHLO");
	bool data = is(b->text, "DATA");
	char *command = arena_cstr(b->arena, slice_cstr(b->text));
	if (tell(b, reset ? "RSET" : command, reset ? 4 : len)) {
		*status = fault(b, command);
		return;
	}
	if (!data)
		return;
	if (!send_data(b, &lost)) {
		(void)snprintf(b->talk.reply, sizeof b->talk.reply, "421 Lost incoming connection");
		*status = fault(b, NULL);
	} else if (lost || talk_reply(&b->talk) >= 400) {
		*status = fault(b, NULL);
	} else {
		b->accepted++;
		b->started_in = b->line;
	}
}

static int run(struct batch *b)
{
	int status = -1;
	size_t len;

	if (talk_reply(&b->talk) >= 400 || tell(b, "EHLO localhost", 14))
		return fault(b, NULL);
	while (status < 0 && next_line(b, &len)) {
		arena_reset(b->arena);
		if (len)
			one_command(b, len, &status);
	}
	return status < 0 ? 0 : status;
}

int cli_run_batch(struct process *p, const struct cli *c)
{
	struct error err = {.text = ""};
	struct batch b = {.talk = {.sock = -1}, .arena = arena_new(0)};
	struct submission s;
	int status;

	enum rc rc = cli_submit_begin(p, c, &s, &err);
	if (rc == RC_OK)
		rc = cli_submit_dial(&s, "bsmtp", -1, &err);
	int sock = s.fd;
	s.fd = -1; /* closed with the stream */
	cli_submit_end(&s);
	if (rc == RC_FAIL) {
		status = cli_fail(&err);
	} else if (rc != RC_OK) {
		(void)snprintf(b.talk.reply, sizeof b.talk.reply, "421 %s", err.text);
		status = fault(&b, NULL);
		status = rc == RC_DEFER ? EX_TEMPFAIL : status;
	} else {
		status = talk_begin(&b.talk, sock) ? run(&b) : 1;
	}
	talk_end(&b.talk);
	free(b.text);
	arena_free(&b.arena);
	return status;
}
