/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -bS: batched SMTP (Exim's specification, 49.11).  Commands are read here and told to the daemon
 * one by one; what it answers is not shown, but the first error ends the batch, in the two forms
 * that callers of Exim know.
 */
#include "base/io.h"
#include "base/strbuf.h"
#include "main/cli_submit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define REPLY_MAX 8192

struct batch {
	int sock;
	FILE *replies;
	struct arena *arena;
	unsigned line, started_in, accepted;
	char *text; /* of the present line, without its end */
	size_t cap;
	char reply[REPLY_MAX]; /* lines, '\n' between them */
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

/* The three digits that a reply begins with, or 0. */
static int code_of(const char *line)
{
	int code = 0;

	for (int i = 0; i < 3; i++) {
		if (!ascii_isdigit(line[i]))
			return 0;
		code = code * 10 + (line[i] - '0');
	}
	return code;
}

static int read_reply(struct batch *b)
{
	char *line = NULL;
	size_t cap = 0, used = 0;
	int code = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, b->replies)) > 0) {
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		line[n] = '\0';
		size_t room = sizeof b->reply - used - 2,
		       take = (size_t)n < room ? (size_t)n : room;
		if (used)
			b->reply[used++] = '\n';
		memcpy(b->reply + used, line, take);
		used += take;
		b->reply[used] = '\0';
		if (room < 2)
			break;
		code = n >= 3 ? code_of(line) : 0;
		if (n < 4 || line[3] != '-')
			break;
	}
	free(line);
	if (!code)
		(void)snprintf(b->reply, sizeof b->reply, "421 Lost the connection to the daemon");
	return code ? code : 421;
}

static int fault(struct batch *b, const char *command)
{
	printf("%s\nTransaction started in line %u\nError detected in line %u\n", b->reply,
	    b->started_in, b->line);
	if (command)
		printf("%s\n", command);
	fprintf(stderr,
	    "An error was detected while processing a file of BSMTP input.\nThe error message "
	    "was:\n\n  %s\n\n"
	    "The SMTP transaction started in line %u.\nThe error was detected in line %u.\n",
	    b->reply, b->started_in, b->line);
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
	slice_t all = arena_printf(b->arena, "%.*s\r\n", (int)len, command);

	if (io_write_full(b->sock, all.ptr, all.len) < 0) {
		(void)snprintf(b->reply, sizeof b->reply, "421 Lost the connection to the daemon");
		return 421;
	}
	int code = read_reply(b);
	return code < 400 ? 0 : code;
}

/* From 354 to the final dot.  false: the input ended before it. */
static bool send_data(struct batch *b, bool *lost)
{
	size_t len;

	while (next_line(b, &len)) {
		bool end = len == 1 && b->text[0] == '.';
		if (io_write_full(b->sock, b->text, len) < 0 ||
		    io_write_full(b->sock, "\r\n", 2) < 0)
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
		(void)snprintf(b->reply, sizeof b->reply, "421 Lost incoming connection");
		*status = fault(b, NULL);
	} else if (lost || read_reply(b) >= 400) {
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

	if (read_reply(b) >= 400 || tell(b, "EHLO localhost", 14))
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
	struct batch b = {.sock = -1, .arena = arena_new(0)};
	int status;

	enum rc rc = cli_submit_open(p, c, "bsmtp", &b.sock, &err);
	if (rc != RC_OK) {
		(void)snprintf(b.reply, sizeof b.reply, "421 %s", err.text);
		status = fault(&b, NULL);
		status = rc == RC_DEFER ? EX_TEMPFAIL : status;
	} else {
		b.replies = fdopen(b.sock, "r");
		status = b.replies ? run(&b) : 1;
	}
	if (b.replies)
		(void)fclose(b.replies);
	free(b.text);
	arena_free(&b.arena);
	return status;
}
