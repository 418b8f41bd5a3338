/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a client's host answers when it is asked who is connecting (RFC 1413), cut at bytes 255. */
#include "park_host.h"

#include "../../kernel/smtp/server_ident.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned updates;

void session_update_host(struct session_facts *f)
{
	slice_t who = f->sender_ident;
	updates++;
	MUST(who.len > 0 && who.len <= IDENT_MAX && !slice_is_clean(who));
	for (uint32_t i = 0; i < who.len; i++) /* it goes into the log and Received: */
		MUST((unsigned char)who.ptr[i] >= ' ' && who.ptr[i] != 127);
}
void log_line(struct run *r, unsigned where, const char *fmt, ...)
{
	(void)r, (void)where, (void)fmt;
}
bool host_matches(struct run *r, enum main_option o)
{
	(void)r, (void)o;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct session s;
	int fds[2];
	if (size > 3000)
		return 0;
	struct arena *a = arena_new(0);
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
	s = (struct session){.arena = a, .park = &the_park, .fd = -1};
	s.peer.port = 6193;
	s.facts.interface_port = 25;
	s.facts.sender_ident = slice_absent();
	struct ident *q = s.ident = ARENA_NEW(a, struct ident);
	*q = (struct ident){.fd = fds[0], .asked = true, .deadline_us = INT64_MAX};
	struct run r = {.s = &s};
	bool over = false;
	updates = 0;
	slice_t rest = slice_tainted(data, size), piece;
	while (!over && slice_next(&rest, '\xff', &piece)) {
		if (piece.len)
			MUST(
			    send(fds[1], piece.ptr, piece.len, MSG_NOSIGNAL) == (ssize_t)piece.len);
		over = ident_done(&r, true);
	}
	(void)shutdown(fds[1], SHUT_WR);
	MUST(over || ident_done(&r, true)); /* its end is the end */
	MUST(!s.ident && updates <= 1 && (updates == 1) == !slice_is_absent(s.facts.sender_ident));
	(void)close(fds[1]);
	arena_free(&a);
	return 0;
}
