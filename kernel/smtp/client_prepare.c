/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What opening a session has to wait for, as a state machine that holds no thread: a place at the
 * host, TCP, the greeting.  TLS from the first byte, EHLO and what follows are left to who takes
 * the session.  What fails has the same outcome as in client_open.
 */
#include "smtp/client_private.h"

static bool is_cancelled(const struct client_session *s)
{
	return cancel_is_set(s->wait.cancel);
}

static enum client_step refuse(struct client_session *s)
{
	park_free(&s->prep.park); /* it watches the descriptor that is closed now */
	session_give_up(s);
	return CLIENT_REFUSED;
}

static enum client_step wait_for(struct client_session *s, uint32_t events, const char *what)
{
	park_wait(s->prep.park, events, s->prep.deadline_us, what);
	return CLIENT_WAITS; /* s may be gone */
}

/* ---- the greeting
 * ---------------------------------------------------------------------------------------- */

static enum client_step greeting_is(
    struct client_session *s, enum io io, struct client_outcome *why)
{
	enum rc rc = session_greeting_end(s, io, why);

	s->greeted = rc == RC_OK;
	if (rc == RC_OK)
		return CLIENT_OPENED;
	cache_note(s, rc != RC_DEFER);
	return refuse(s);
}

static enum client_step read_greeting(
    struct client_session *s, enum wake woken, struct client_outcome *why)
{
	bool again = false;

	while (!again) {
		bool more, lines;
		enum io io = reply_take(s, &more, &lines);
		if (io != IO_OK || !more)
			return greeting_is(s, io, why);
		if (lines)
			s->prep.deadline_us = phase_deadline(s, s->t.command_ms);
		io = io_fill_now(s, &again);
		if (io != IO_OK)
			return greeting_is(s, io, why);
	}
	if (woken == WAKE_TIMEOUT && clock_mono_us() >= s->prep.deadline_us)
		return greeting_is(s, IO_TIMEOUT, why);
	return wait_for(s, EPOLLIN, "greeting of a host");
}

static enum client_step begin_greeting(struct client_session *s, struct client_outcome *why)
{
	s->connected = true;
	if (s->t.tls.on_connect)
		return CLIENT_OPENED;
	if (session_greeting_begin(s, why) != RC_OK) {
		cache_note(s, false);
		return refuse(s);
	}
	s->prep.stage = CLIENT_GREETING;
	s->prep.deadline_us = phase_deadline(s, s->t.command_ms);
	reply_begin(&s->reply);
	return read_greeting(s, WAKE_START, why);
}

/* ---- TCP
 * -------------------------------------------------------------------------------------------------
 */

static enum client_step not_connected(
    struct client_session *s, enum io io, struct client_outcome *why)
{
	cache_note(s, false);
	(void)session_no_connection(s, why, io);
	return refuse(s);
}

static enum client_step connected(
    struct client_session *s, enum wake woken, struct client_outcome *why)
{
	if (woken == WAKE_TIMEOUT)
		return not_connected(s, IO_TIMEOUT, why);
	if (woken != WAKE_IO)
		return wait_for(s, EPOLLOUT, "connection to a host");
	enum io io = io_connect_end(s);
	return io == IO_OK ? begin_greeting(s, why) : not_connected(s, io, why);
}

static enum client_step has_place(struct client_session *s, struct client_outcome *why)
{
	s->prep.entered = true;
	if (s->conn)
		return CLIENT_OPENED;
	s->conn = conn_new(s->t.key);
	s->error = 0;
	enum io io = io_connect_begin(s);
	if (io != IO_OK)
		return not_connected(s, io, why);
	park_set_fd(s->prep.park, s->conn->fd);
	s->prep.stage = CLIENT_CONNECT;
	s->prep.deadline_us = phase_deadline(s, s->t.connect_ms);
	return wait_for(s, EPOLLOUT, "connection to a host");
}

/* ---- a place
 * --------------------------------------------------------------------------------------------- */

static enum client_step no_place(struct client_session *s, enum entry e, struct client_outcome *why)
{
	park_free(&s->prep.park);
	(void)cache_refused(s, e, why);
	return CLIENT_REFUSED;
}

static enum client_step place(struct client_session *s, enum wake woken, struct client_outcome *why)
{
	struct client_preparing *p = &s->prep;
	bool late = false;
	enum entry e;

	if (woken == WAKE_START) {
		e = p->entered ? ENTRY_IN : cache_try(s, true);
	} else { /* a host that answers is worth more time */
		late = woken == WAKE_TIMEOUT && clock_mono_us() >= cache_place_deadline(s);
		e = cache_granted(s, late);
	}
	if (e == ENTRY_IN)
		return has_place(s, why);
	if (e == ENTRY_AVOID || late)
		return no_place(s, e, why);
	p->deadline_us = cache_place_deadline(s);
	return wait_for(s, 0, "place at a host");
}

/* ---- the machine
 * ----------------------------------------------------------------------------------------- */

static enum client_step cut_short(struct client_session *s, struct client_outcome *why)
{
	if (!s->prep.entered)
		(void)cache_granted(s, true); /* IN: it is given back below */
	(void)outcome_io(s, why, IO_CANCELLED, 0, false, "connect");
	return refuse(s);
}

static void run(void *owner, enum wake woken, struct worker *w)
{
	static enum client_step (*const stages[])(
	    struct client_session *, enum wake, struct client_outcome *) = {[CLIENT_PLACE] = place,
	    [CLIENT_CONNECT] = connected,
	    [CLIENT_GREETING] = read_greeting};
	struct client_session *s = owner;
	struct client_outcome why = {.result = RC_OK};
	bool cut = woken == WAKE_CANCEL || is_cancelled(s);
	enum client_step step = cut ? cut_short(s, &why) : stages[s->prep.stage](s, woken, &why);

	if (step == CLIENT_WAITS)
		return;
	const struct client_async async = s->prep.async;
	if (s->wait.cancel)
		cancel_unlisten(s->wait.cancel, &s->prep.listener);
	park_free(&s->prep.park);
	async.ready(async.ctx, step, &why, w);
}

static void wake_up(void *arg)
{
	const struct client_session *s = arg;

	park_cancel(s->prep.async.reactor, s->prep.ref);
}

/* Everything that another thread may look at is in place before anything is waited for. */
static bool make_park(struct client_session *s)
{
	struct client_preparing *p = &s->prep;

	p->park = park_new(p->async.reactor, -1, run, s, NULL);
	if (!p->park)
		return false;
	park_set_pool(p->park, p->async.pool, POOL_DELIVERY);
	p->ref = park_ref_of(p->park);
	p->listener = (struct cancel_listener){.fn = wake_up, .arg = s};
	if (s->wait.cancel)
		cancel_listen(s->wait.cancel, &p->listener);
	return true;
}

enum client_step client_prepare(struct smtp_clients *c, const struct client_target *t,
    const struct client_wait *w, const struct client_async *async, struct arena *a,
    struct client_session **out, struct client_outcome *why)
{
	struct client_session *s = session_new(c, t, w, a);
	struct client_preparing *p = &s->prep;

	*out = s;
	p->async = *async;
	p->since_us = clock_mono_us();
	s->parks = true;
	if (is_cancelled(s)) {
		(void)outcome_io(s, why, IO_CANCELLED, 0, false, "connect");
		return CLIENT_REFUSED;
	}
	enum entry e = cache_try(s, false);
	if (e == ENTRY_IN && s->conn)
		return CLIENT_OPENED;
	if (e == ENTRY_AVOID) {
		(void)cache_refused(s, e, why);
		return CLIENT_REFUSED;
	}
	if (!make_park(s)) {
		session_give_up(s);
		(void)outcome_set(s, why, RC_DEFER, 0, "too many sessions and timers");
		return CLIENT_REFUSED;
	}
	/* from here on it is the machine's, which goes on on a worker */
	p->stage = CLIENT_PLACE;
	p->entered = e == ENTRY_IN;
	park_start(p->park);
	return CLIENT_WAITS;
}
