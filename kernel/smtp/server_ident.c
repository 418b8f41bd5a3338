/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who the client's host says is connecting (RFC 1413).  The session's own park waits for the
 * answer, at another descriptor; no answer in time, or a bad one, is none.
 */
#include "smtp/server_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 1000 /* RFC 1413 8 */
#define IDENT_MAX  127

struct ident {
	int fd;
	int64_t deadline_us;
	bool asked;
	size_t have;
	char answer[ANSWER_MAX + 1];
};

void ident_drop(struct session *s)
{
	struct ident *q = s->ident;
	if (!q)
		return;
	s->ident = NULL;
	park_set_fd(s->park, s->fd);
	(void)close(q->fd);
}

bool ident_start(struct run *r)
{
	struct session *s = r->s;
	struct net_addr to = s->peer, from;
	struct error err;
	int64_t ms = config_int(s->cfg, MO_rfc1413_query_timeout),
	        port = config_int(s->cfg, MO_rfc1413_port);
	if (ms <= 0 || s->ident || s->layer != LAYER_PLAIN || !host_matches(r, MO_rfc1413_hosts) ||
	    !net_local_addr(s->fd, &from))
		return false;
	to.port = (uint16_t)port;
	from.port = 0;
	struct ident *q = ARENA_NEW(s->arena, struct ident);
	if (net_connect_start(&to, &from, &q->fd, NULL, &err))
		return false;
	q->deadline_us = clock_mono_us() + ms * 1000;
	s->ident = q;
	park_set_fd(s->park, q->fd);
	return true;
}

/* "6193 , 23 : USERID : UNIX : stjohns" */
static void take_answer(struct session *s, slice_t line)
{
	slice_t rest = line, ports, kind, system;
	if (!slice_next(&rest, ':', &ports) || !slice_next(&rest, ':', &kind) ||
	    !slice_next(&rest, ':', &system) || !slice_eqis(slice_trim(kind), "USERID"))
		return;
	slice_t comma = ports, theirs, ours;
	int64_t a, b;
	if (!slice_next(&comma, ',', &theirs) || !slice_to_i64(slice_trim(theirs), 10, false, &a) ||
	    a != s->peer.port)
		return;
	ours = slice_trim(comma);
	if (!slice_to_i64(ours, 10, false, &b) || b != s->facts.interface_port)
		return;
	slice_t name = slice_trim(rest);
	if (!name.len)
		return;
	char *p = arena_bytes(s->arena, IDENT_MAX);
	uint32_t n = name.len < IDENT_MAX ? name.len : IDENT_MAX;
	for (uint32_t i = 0; i < n; i++)
		p[i] = (unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 127 ? '?' : name.ptr[i];
	s->facts.sender_ident = slice_tainted(p, n);
	session_update_host(&s->facts);
}

/* false: more is to come */
static bool read_answer(struct session *s, struct ident *q)
{
	for (;;) {
		ssize_t n = read(q->fd, q->answer + q->have, ANSWER_MAX - q->have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0)
			return true;
		q->have += (size_t)n;
		slice_t all = slice_tainted(q->answer, q->have);
		size_t nl = slice_find(all, '\n');
		if (nl != SIZE_MAX)
			take_answer(s, slice_trim(slice_sub(all, 0, nl)));
		if (nl != SIZE_MAX || q->have == ANSWER_MAX)
			return true;
	}
}

static bool ask(struct session *s, struct ident *q)
{
	char line[32];
	struct error err;
	if (net_connect_finish(q->fd, &s->peer, NULL, &err))
		return false;
	int n = snprintf(line, sizeof line, "%u , %u\r\n", (unsigned)s->peer.port,
	    (unsigned)s->facts.interface_port);
	q->asked = true;
	return send(q->fd, line, (size_t)n, MSG_NOSIGNAL) == n;
}

uint32_t ident_events(const struct session *s, int64_t *deadline_us)
{
	*deadline_us = s->ident->deadline_us;
	return s->ident->asked ? EPOLLIN : EPOLLOUT;
}

/* Nothing may be read before the descriptor has polled: a connection is not made yet. */
bool ident_done(struct run *r, bool io)
{
	struct session *s = r->s;
	struct ident *q = s->ident;
	bool late = clock_mono_us() >= q->deadline_us, over = late;
	if (!over && io)
		over = q->asked ? read_answer(s, q) : !ask(s, q);
	if (late && !q->asked && log_selected(s->log, LOG_IDENT_TIMEOUT))
		log_line(r, LOG_TO_MAIN, "ident connection to %.*s timed out",
		    SL_ARG(s->facts.sender_host_address));
	if (over)
		ident_drop(s);
	return over;
}
