/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "main/cli_talk.h"

#include "base/io.h"
#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOST "421 Lost the connection to the daemon"

bool talk_begin(struct talk *t, int sock)
{
	t->sock = sock;
	t->replies = fdopen(sock, "r");
	t->reply[0] = '\0';
	if (!t->replies)
		(void)close(sock);
	return t->replies != NULL;
}

void talk_end(struct talk *t)
{
	if (t->replies)
		(void)fclose(t->replies);
	t->replies = NULL;
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

int talk_reply(struct talk *t)
{
	char *line = NULL;
	size_t cap = 0, used = 0;
	int code = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, t->replies)) > 0) {
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		line[n] = '\0';
		size_t room = sizeof t->reply - used - 2,
		       take = (size_t)n < room ? (size_t)n : room;
		if (used)
			t->reply[used++] = '\n';
		memcpy(t->reply + used, line, take);
		used += take;
		t->reply[used] = '\0';
		if (room < 2)
			break;
		code = n >= 3 ? code_of(line) : 0;
		if (n < 4 || line[3] != '-')
			break;
	}
	free(line);
	if (!code)
		(void)snprintf(t->reply, sizeof t->reply, LOST);
	return code ? code : 421;
}

int talk_say(struct talk *t, struct arena *a, slice_t command)
{
	slice_t all = arena_printf(a, "%.*s\r\n", SL_ARG(command));

	if (io_write_full(t->sock, all.ptr, all.len) < 0) {
		(void)snprintf(t->reply, sizeof t->reply, LOST);
		return 421;
	}
	return talk_reply(t);
}
