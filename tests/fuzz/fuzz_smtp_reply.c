/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a server says to our client: replies one after the other, in pieces whose size the first
 * byte gives.  What is kept must be bounded, printable, and whole in itself.
 */
#include "smtp/client_private.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct reply *r, enum io io)
{
	MUST(r->len <= REPLY_TEXT_MAX && r->text[r->len] == '\0');
	MUST(r->lines <= REPLY_LINES_MAX + 1);
	for (size_t i = 0; i < r->len; i++)
		MUST(r->text[i] == '\n' || ((unsigned char)r->text[i] >= ' ' && r->text[i] != 127));
	MUST(strlen(r->enhanced) < sizeof r->enhanced);
	if (io == IO_OK)
		MUST(r->code >= 200 && r->code <= 599);
	struct arena *a = arena_new(0);
	struct offers o = {.mechanisms = slice_absent()};
	reply_offers(r, a, &o);
	MUST(o.rcpt_max <= 1000000 && o.mail_max <= 1000000 && o.rcpt_domain_max <= 1000000);
	MUST(o.mechanisms.len <= REPLY_TEXT_MAX);
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];
	static struct client_session s;
	struct client_conn conn = {.fd = -1};
	if (size < 1 || size > 60000 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
		return 0;
	size_t piece = data[0] ? data[0] : size;
	conn.fd = pair[0];
	s = (struct client_session){
	    .conn = &conn, .arena = arena_new(0), .wait = {.deadline_us = DEADLINE_NEVER}};
	enum io io = IO_OK;
	for (size_t at = 1; at <= size && io == IO_OK; at += piece) {
		size_t n = size - at < piece ? size - at : piece;
		if (n && send(pair[1], data + at, n, 0) != (ssize_t)n)
			break;
		if (n < piece)
			(void)shutdown(pair[1], SHUT_WR);
		s.wait.deadline_us =
		    n < piece ? DEADLINE_NEVER : clock_mono_us(); /* no more comes: do not wait */
		do {
			io = reply_read(&s, 0);
			check(&s.reply, io);
		} while (io == IO_OK && conn.in_at < conn.in_len);
		if (io == IO_TIMEOUT)
			io = IO_OK;
	}
	struct client_outcome o;
	if (s.reply.code >= 400)
		(void)outcome_reply(&s, &o, HEDDLE_X_HOST, true, "X");
	(void)close(pair[0]);
	(void)close(pair[1]);
	arena_free(&s.arena);
	return 0;
}
