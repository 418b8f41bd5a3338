/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Before a transport's deliver() is called the kernel goes through the hosts that plan() has named,
 * until it has a connection: no thread is there while it waits.  What it finds is kept by host, and
 * is what session() says when the transport asks for that host; so the order of hosts, and what a
 * failure means, stay the transport's affair.  Lines in the log are written when it happens.
 */
#include "deliver/remote_private.h"

static bool can_plan(const struct heddle_transport_ops *ops)
{
	return ops->struct_size >= offsetof(struct heddle_transport_ops, plan) + sizeof ops->plan &&
	       ops->plan;
}

enum rc remote_plan(struct heddle_call *c, struct heddle_job *j, remote_ready_fn ready, void *ctx,
    struct error *err)
{
	const struct heddle_transport_ops *ops = j->transport->driver->ops;
	struct heddle_plan plan = {.struct_size = sizeof plan};

	if (!can_plan(ops))
		return RC_OK;
	enum rc rc = call_result(c, ops->plan(c, j->transport->inst, j, &plan), "plan", err);
	if (rc != RC_OK)
		return rc;
	if (plan.end > j->group->hosts->count)
		plan.end = (uint32_t)j->group->hosts->count;
	j->connector = ARENA_NEW(j->arena, struct connector);
	*j->connector =
	    (struct connector){.plan = plan, .ready = ready, .ctx = ctx, .at = plan.first};
	return RC_OK;
}

int32_t remote_planned(struct heddle_call *c, const struct heddle_job *j, struct heddle_plan *out)
{
	uint32_t size = out->struct_size;

	(void)c;
	if (!j->connector)
		return HEDDLE_FAIL;
	memcpy(out, &j->connector->plan, size < sizeof *out ? size : sizeof *out);
	out->struct_size = size;
	return HEDDLE_OK;
}

/* ---- the order
 * ------------------------------------------------------------------------------------------- */

static const struct heddle_route_host *host_at(const struct heddle_job *j, uint32_t i)
{
	return VEC_AT(j->group->hosts, struct heddle_route_host, i);
}

/* Enough have been tried: the next whose MX record is worse than that of the one before. */
static void skip_equal(const struct heddle_job *j, struct connector *k)
{
	const struct heddle_route_host *last = host_at(j, k->at - 1);

	for (; k->at < k->plan.end; k->at++) {
		const struct heddle_route_host *h = host_at(j, k->at);
		if ((h->flags & HEDDLE_H_MX) && (last->flags & HEDDLE_H_MX) &&
		    h->preference > last->preference)
			return;
	}
}

static bool has_host(const struct heddle_job *j, struct connector *k)
{
	const struct heddle_plan *p = &k->plan;

	if (p->hard_limit && k->looked >= p->hard_limit)
		return false;
	if (p->max_try && k->tries >= p->max_try && k->at > p->first)
		skip_equal(j, k);
	return k->at < p->end;
}

static void go_on(struct connector *k, bool tried)
{
	k->at++;
	k->looked++;
	k->tries += tried;
}

/* ---- one host
 * -------------------------------------------------------------------------------------------- */

static struct host_found *note(struct heddle_job *j, const struct host_found *f)
{
	struct host_found *to = VEC_PUSH(j->arena, &j->connector->found, struct host_found);

	*to = *f;
	to->host = j->connector->at;
	to->port = j->connector->target.to.port;
	return to;
}

static void refused(struct heddle_job *j, int32_t result, slice_t text)
{
	note(j, &(struct host_found){
	            .what = FOUND_REFUSED, .result = result, .text = arena_dup(j->arena, text)});
}

/* A wait is over: the owner goes on with remote_connect. */
static void on_step(
    void *ctx, enum client_step step, const struct client_outcome *why, struct worker *w)
{
	struct heddle_job *j = ctx;
	struct connector *k = j->connector;

	k->has_step = true;
	k->step = step;
	k->why = *why;
	k->ready(k->ctx, w);
}

/* False: it is not to be tried, and go_on has been told. */
static bool begin_host(struct heddle_call *c, struct heddle_job *j, enum client_step *out_step)
{
	struct connector *k = j->connector;
	struct attempt *t = j->attempt;
	const struct heddle_route_host *h = host_at(j, k->at);
	const struct client_wait w = {.deadline_us = c->deadline_us, .cancel = &t->d->connecting};
	const struct client_async async = {
	    .reactor = t->d->cfg.reactor, .pool = t->d->cfg.pool, .ready = on_step, .ctx = j};
	struct error err = {.text = ""};

	remote_set_host(j, h);
	enum rc rc = remote_target(c, j, h, k->plan.lmtp != 0, &k->target, &err);
	if (rc != RC_OK) {
		refused(j, rc == RC_ERROR ? HEDDLE_ERROR : HEDDLE_DEFER, slice_cstr(err.text));
		go_on(k, true);
		return false;
	}
	if (!retry_host_may_try(t, j->group, k->at, k->target.to.port, &k->target.is_due)) {
		refused(j, HEDDLE_DEFER, SL(NOT_YET " for any host"));
		go_on(k, false);
		return false;
	}
	/* it may have waited, and be somebody else's, when this returns */
	*out_step =
	    client_prepare(t->d->clients, &k->target, &w, &async, j->arena, &k->client, &k->why);
	return true;
}

enum remote_step remote_connect(struct heddle_call *c, struct heddle_job *j)
{
	struct connector *k = j->connector;
	enum client_step step;

	if (!k || remote_is_too_long(j))
		return REMOTE_DONE;
	for (;;) {
		if (k->has_step)
			step = k->step;
		else if (!has_host(j, k) || clock_mono_us() >= c->deadline_us)
			return REMOTE_DONE;
		else if (!begin_host(c, j, &step))
			continue;
		if (step == CLIENT_WAITS)
			return REMOTE_WAITS;
		k->has_step = false;
		if (step == CLIENT_OPENED) {
			note(j, &(struct host_found){.what = FOUND_OPEN, .client = k->client});
			return REMOTE_DONE;
		}
		if (cancel_is_set(&j->attempt->d->connecting) && k->why.about == 0)
			return REMOTE_CUT;
		remote_log_host(j, host_at(j, k->at), k->target.to.port, &k->why);
		note(j, &(struct host_found){.what = FOUND_FAILED, .why = k->why});
		if (k->why.result == RC_FAIL)
			return REMOTE_DONE;
		go_on(k, true);
	}
}

/* ---- what was found
 * -------------------------------------------------------------------------------------- */

struct host_found *remote_find(struct heddle_job *j, uint32_t host)
{
	if (!j->connector)
		return NULL;
	VEC_FOREACH(&j->connector->found, struct host_found, f)
	if (f->host == host && f->what != FOUND_TAKEN)
		return f;
	return NULL;
}

bool remote_is_failing(const struct heddle_job *j)
{
	if (!j->connector)
		return false;
	VEC_FOREACH(&j->connector->found, const struct host_found, f)
	if (f->what == FOUND_OPEN)
		return client_is_failing(f->client);
	return false;
}

void remote_drop(struct heddle_job *j)
{
	if (!j->connector)
		return;
	VEC_FOREACH(&j->connector->found, struct host_found, f)
	if (f->what == FOUND_OPEN) {
		f->what = FOUND_TAKEN;
		client_close(&f->client);
	}
}
