/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A group in its transport: the delivery service, and the call itself. */
#include "deliver/delivery.h"

static int32_t job_info(
    struct heddle_call *c, const struct heddle_job *j, struct heddle_job_info *out)
{
	const struct address *a = *VEC_AT(&j->group->addresses, struct address *, 0);

	(void)c;
	out->recipients = (uint32_t)j->group->addresses.count;
	out->hosts = (uint32_t)j->group->hosts->count;
	out->flags = 0;
	out->sender = j->sender;
	out->path = a->kind == ADDRESS_PLAIN ? slice_absent() : a->text;
	out->uid = j->uid;
	out->gid = j->gid;
	return HEDDLE_OK;
}

/* What goes into RCPT: prefix and suffix are for us alone, unless the transport keeps them. */
static slice_t without_affixes(const struct heddle_job *j, const struct address *a)
{
	const struct address_facts *f = &a->facts;
	bool has = !slice_is_absent(f->local_part_prefix) || !slice_is_absent(f->local_part_suffix);

	if (!has || j->transport->generic[TO_rcpt_include_affixes].number != 0)
		return a->text;
	slice_t s = arena_printf(j->arena, "%.*s@%.*s", SL_ARG(f->local_part), SL_ARG(f->domain));
	s.flags = a->text.flags;
	return s;
}

static int32_t job_recipient(
    struct heddle_call *c, const struct heddle_job *j, uint32_t i, struct heddle_recipient *out)
{
	(void)c;
	if (i >= j->group->addresses.count)
		return HEDDLE_FAIL;
	const struct address *a = *VEC_AT(&j->group->addresses, struct address *, i);
	const struct message *m = j->attempt->m;
	const struct recipient *r = &m->recipients[a->recipient];
	out->flags = r->dsn_flags | (slice_eqs(m->facts.dsn_ret, "FULL")      ? HEDDLE_DSN_RET_FULL
	                                : slice_eqs(m->facts.dsn_ret, "HDRS") ? HEDDLE_DSN_RET_HDRS
	                                                                      : 0u);
	out->address = a->kind == ADDRESS_PLAIN ? without_affixes(j, a) : address_top(a)->text;
	out->local_part = a->facts.local_part;
	out->domain = a->facts.domain;
	out->original = r->orcpt.len ? r->orcpt : slice_absent();
	out->envid = m->facts.dsn_envid.len ? m->facts.dsn_envid : slice_absent();
	return HEDDLE_OK;
}

static int32_t job_host(
    struct heddle_call *c, const struct heddle_job *j, uint32_t i, struct heddle_route_host *out)
{
	(void)c;
	if (i >= j->group->hosts->count)
		return HEDDLE_FAIL;
	*out = *VEC_AT(j->group->hosts, struct heddle_route_host, i);
	out->flags &= ~(uint32_t)HEDDLE_H_WAITS;
	VEC_FOREACH(&j->group->host_tries, const struct host_try, h)
	if (h->host == i && h->waits)
		out->flags |= HEDDLE_H_WAITS;
	return HEDDLE_OK;
}

static int32_t job_field(
    struct heddle_call *c, const struct heddle_job *j, slice_t name, slice_t *out)
{
	const struct address *a = *VEC_AT(&j->group->addresses, struct address *, 0);

	(void)c;
	VEC_FOREACH(&a->fields, struct route_field, f)
	if (slice_eqi(f->name, name)) {
		*out = f->value;
		return HEDDLE_OK;
	}
	return HEDDLE_FAIL;
}

/* The first one stands.  What a driver (perhaps behind the proxy) says is checked before it is
 * kept. */
static int32_t keep(struct heddle_job *j, struct outcome *o, const struct heddle_outcome *in)
{
	if (o->is_set)
		return HEDDLE_OK;
	o->is_set = true;
	o->result =
	    in->result >= HEDDLE_OK && in->result <= HEDDLE_ERROR ? (enum rc)in->result : RC_ERROR;
	if (o->result == RC_ERROR)
		o->result = RC_DEFER;
	o->smtp = in->smtp >= 200 && in->smtp <= 599 ? in->smtp : 0;
	o->host = in->host >= 0 && (size_t)in->host < j->group->hosts->count ? in->host : -1;
	o->about = in->flags;
	o->idle_s = in->struct_size >= sizeof *in ? in->idle_s : -1;
	memcpy(o->enhanced, in->enhanced, sizeof o->enhanced);
	o->enhanced[sizeof o->enhanced - 1] = '\0';
	o->text = arena_dup(j->attempt->arena, in->text);
	return HEDDLE_OK;
}

static int32_t job_outcome(
    struct heddle_call *c, struct heddle_job *j, uint32_t i, const struct heddle_outcome *in)
{
	(void)c;
	return i < j->group->addresses.count ? keep(j, &j->group->outcomes[i], in) : HEDDLE_ERROR;
}

static int32_t job_host_result(
    struct heddle_call *c, struct heddle_job *j, uint32_t i, const struct heddle_outcome *in)
{
	(void)c;
	return i < j->group->hosts->count ? keep(j, &j->group->host_outcomes[i], in) : HEDDLE_ERROR;
}

/* Sessions go from job to job by themselves when deliver() returns: smtp/client hands them over. */
static int32_t job_next(struct heddle_call *c, struct heddle_job **io, uint32_t i)
{
	(void)c, (void)io, (void)i;
	return HEDDLE_FAIL;
}

static int32_t job_session(struct heddle_call *c, struct heddle_job *j, uint32_t i,
    struct heddle_conn *conn, uint32_t lmtp, struct heddle_session **out)
{
	return remote_session(c, j, i, conn, lmtp, out);
}

static int32_t job_send(struct heddle_call *c, struct heddle_session *s, struct heddle_job *j)
{
	return remote_send(c, s, j);
}

static int32_t job_planned(
    struct heddle_call *c, const struct heddle_job *j, struct heddle_plan *out)
{
	return remote_planned(c, j, out);
}

static int32_t job_add_host(
    struct heddle_call *c, struct heddle_job *j, const struct heddle_route_host *in)
{
	return remote_add_host(c, j, in);
}

const struct heddle_delivery_service delivery_service = {
    .struct_size = sizeof delivery_service,
    .info = job_info,
    .recipient = job_recipient,
    .host = job_host,
    .field = job_field,
    .outcome = job_outcome,
    .host_result = job_host_result,
    .next_job = job_next,
    .session = job_session,
    .send = job_send,
    .add_host = job_add_host,
    .planned = job_planned,
};

/* ---- the call
 * ------------------------------------------------------------------------------------------- */

static void all_get(struct group *g, enum rc rc, slice_t text)
{
	for (size_t i = 0; i < g->addresses.count; i++)
		if (!g->outcomes[i].is_set && g->outcomes[i].result != RC_OK)
			g->outcomes[i].is_set = true; /* what the last host said of it */
		else if (!g->outcomes[i].is_set)
			g->outcomes[i] = (struct outcome){.is_set = true,
			    .result = rc == RC_ERROR ? RC_DEFER : rc,
			    .host = -1,
			    .text = text};
}

static enum rc run_local(
    struct attempt *t, struct heddle_call *c, struct heddle_job *j, struct error *err)
{
	struct agent_identity who;
	enum rc rc = local_identity(t, j->group, &who, err);

	if (rc != RC_OK)
		return rc;
	if (!t->d->cfg.agents)
		return error_set(err, RC_DEFER, "there is no agent to run it");
	return agents_deliver(t->d->cfg.agents, &who, c, j, err);
}

static enum rc run_remote(struct heddle_call *c, struct heddle_job *j, struct error *err)
{
	const struct heddle_transport_ops *ops = j->transport->driver->ops;

	enum rc rc = call_result(c, ops->deliver(c, j->transport->inst, j), "deliver", err);

	remote_done(j);
	remote_drop(j);
	return rc;
}

static bool too_big(struct attempt *t, struct group *g)
{
	const struct option_value *o = &g->transport->generic[TO_message_size_limit];
	int64_t limit = o->number;
	struct error err;

	if (o->expr && expr_eval_int(&t->ev, o->expr, &limit, &err) != RC_OK)
		limit = 0;
	if (limit <= 0 || (int64_t)t->m->size_bytes <= limit)
		return false;
	all_get(g, RC_FAIL,
	    arena_printf(
	        t->arena, "message is too big (transport limit = %lld)", (long long)limit));
	return true;
}

static void print_debug(struct attempt *t, const struct group *g)
{
	const struct option_value *o = &g->transport->generic[TO_debug_print];
	struct error err;
	slice_t v;

	if (log_debugging(t->log, LOG_D_TRANSPORT) && o->expr &&
	    expr_eval(&t->ev, o->expr, &v, &err) == RC_OK)
		log_debug(t->log, LOG_D_TRANSPORT, "%.*s", SL_ARG(v));
}

void delivery_begin(struct delivery *x, struct attempt *t, struct group *g)
{
	struct address *first = *VEC_AT(&g->addresses, struct address *, 0);

	*x = (struct delivery){.t = t, .g = g, .began_us = clock_mono_us(), .rc = RC_OK};
	x->job = (struct heddle_job){.attempt = t,
	    .group = g,
	    .arena = t->arena,
	    .outcomes = g->outcomes,
	    .transport = g->transport,
	    .uid = UINT32_MAX,
	    .gid = UINT32_MAX};
	t->ev.address = &first->facts;
	if (g->is_local)
		local_set_home(t, g);
	x->job.sender = render_sender(&x->job);
	t->facts.return_path = g->return_path = x->job.sender;
	g->took_it = true;
	print_debug(t, g);
	call_init(&x->call, &t->ev, g->transport);
	x->call.job = &x->job;
	x->is_over = x->is_settled = too_big(t, g);
	if (x->is_over || (g->transport->driver && (g->is_local || g->transport->driver->ops)))
		return;
	x->is_over = true;
	x->rc = error_set(&x->err, RC_DEFER, "not supported yet: the driver of transport %.*s",
	    SL_ARG(g->transport->name));
}

void delivery_run(struct delivery *x)
{
	if (!x->is_over)
		x->rc = x->g->is_local ? run_local(x->t, &x->call, &x->job, &x->err)
		                       : run_remote(&x->call, &x->job, &x->err);
	x->is_over = true;
}

void delivery_end(struct delivery *x)
{
	const struct heddle_call *c = &x->call;
	struct attempt *t = x->t;
	struct group *g = x->g;
	slice_t why = c->reason_given && !slice_is_absent(c->reason_logged)
	                  ? c->reason_logged
	                  : slice_cstr(x->err.text);

	t->ev.address = NULL;
	if (x->is_settled)
		return;
	g->took_us = clock_mono_us() - x->began_us;
	g->reason = arena_dup(t->arena, why);
	g->shown = c->reason_given ? arena_dup(t->arena, c->reason_shown) : slice_absent();
	/* OK without an outcome is no delivery */
	all_get(g, x->rc == RC_OK ? RC_DEFER : x->rc,
	    x->rc == RC_OK ? SL("the transport recorded no outcome") : g->reason);
}

void attempt_deliver_group(struct attempt *t, struct group *g)
{
	struct delivery x;

	delivery_begin(&x, t, g);
	delivery_run(&x);
	delivery_end(&x);
}
