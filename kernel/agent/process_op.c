/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent/process: one operation: which driver, which instance, what comes of it. */
#include "agent/agent.h"
#include "agent/exchange.h"
#include "agent/process.h"

#include "base/clock.h"

#include <sys/wait.h>
#include <unistd.h>

#define INSTANCES_MAX 32
#define ARGS_MAX      4096U
#define REMEMBER_MAX  1024U /* bytes of an answer */
#define REMEMBER_MOST 256U  /* of them */

/* An instance is one section of one snapshot; what it was made from is compared, not trusted to be
 * at an address. */
struct instance_slot {
	struct heddle_instance inst;
	struct arena *arena;
	uint64_t snapshot;
	uint32_t used;         /* tick */
	struct vec remembered; /* struct answer: constant options, on arena */
};
struct answer {
	uint16_t fn;
	uint32_t i;
	slice_t payload;
};

static void slot_free(struct instance_slot *s)
{
	const struct heddle_driver *d = s->inst.driver ? s->inst.driver->desc : NULL;
	if (d && d->instance_free && s->inst.inst)
		d->instance_free(s->inst.inst);
	arena_free(&s->arena);
	*s = (struct instance_slot){.snapshot = 0};
}

void process_instances_free(struct process *p)
{
	VEC_FOREACH(&p->instances, struct instance_slot *, s)
	slot_free(*s);
}

/* A slot is an allocation of its own: drivers keep the address of the instance in it. */
static struct instance_slot *free_slot(struct process *p)
{
	struct instance_slot *oldest = NULL;
	VEC_FOREACH(&p->instances, struct instance_slot *, s)
	{
		if (!(*s)->arena)
			return *s;
		if (!oldest || (*s)->used < oldest->used)
			oldest = *s;
	}
	if (p->instances.count < INSTANCES_MAX) {
		struct instance_slot *fresh = ARENA_NEW(p->arena, struct instance_slot);
		*VEC_PUSH(p->arena, &p->instances, struct instance_slot *) = fresh;
		return fresh;
	}
	slot_free(oldest);
	return oldest;
}

static const struct answer *remembered(const struct instance_slot *s, uint16_t fn, uint32_t i)
{
	VEC_FOREACH(&s->remembered, const struct answer, a)
	if (a->fn == fn && a->i == i)
		return a;
	return NULL;
}

int32_t process_exchange_cached(
    struct request *r, uint16_t fn, const struct heddle_instance *inst, uint32_t i)
{
	struct instance_slot *s = NULL;
	VEC_FOREACH(&process_of(r->call)->instances, struct instance_slot *, it)
	if (&(*it)->inst == inst && inst == r->call->instance)
		s = *it;
	const struct answer *known = s ? remembered(s, fn, i) : NULL;
	if (known) {
		r->in = (struct wire_in){known->payload.ptr, known->payload.len, false};
		return HEDDLE_OK;
	}
	int32_t result = process_exchange(r, fn);
	if (s && result == HEDDLE_OK && r->constant && r->in.left <= REMEMBER_MAX &&
	    s->remembered.count < REMEMBER_MOST)
		*VEC_PUSH(s->arena, &s->remembered, struct answer) =
		    (struct answer){fn, i, arena_dup(s->arena, slice_of(r->in.p, r->in.left, 0))};
	return result;
}

static int32_t make_instance(struct process *p, struct heddle_call *c, const struct driver *drv,
    slice_t name, uint64_t snapshot, struct instance_slot **out)
{
	struct instance_slot *s = free_slot(p);
	int32_t result = HEDDLE_OK;
	s->arena = arena_new(512);
	s->snapshot = snapshot;
	s->inst = (struct heddle_instance){.name = arena_dup(s->arena, name), .driver = drv};
	c->instance = &s->inst;
	if (drv->desc->instance_new)
		result = drv->desc->instance_new(
		    c, &p->services.host, drv->state, &s->inst, &s->inst.inst);
	if (result != HEDDLE_OK) {
		s->inst.inst = NULL;
		slot_free(s);
		return result;
	}
	*out = s;
	return result;
}

struct context {
	uint64_t driver_class, snapshot;
	slice_t driver, name;
};

static int32_t find_instance(
    struct process *p, struct heddle_call *c, const struct context *x, struct instance_slot **out)
{
	struct error e = {.text = ""};
	const struct driver *drv = NULL;
	enum rc rc = driver_find(p->drivers, (uint16_t)x->driver_class, x->driver, &drv, &e);
	/* for the kernel, which has this driver, its absence here is no answer about the message */
	if (rc != RC_OK)
		return call_refuse(c, rc == RC_DEFER ? HEDDLE_DEFER : HEDDLE_ERROR, "%s", e.text);
	*out = NULL;
	VEC_FOREACH(&p->instances, struct instance_slot *, s)
	if ((*s)->arena && (*s)->inst.driver == drv && (*s)->snapshot == x->snapshot &&
	    slice_eq((*s)->inst.name, x->name))
		*out = *s;
	int32_t result = *out ? HEDDLE_OK : make_instance(p, c, drv, x->name, x->snapshot, out);
	if (result != HEDDLE_OK)
		return result;
	(*out)->used = ++p->instance_tick;
	c->instance = &(*out)->inst;
	return HEDDLE_OK;
}

/* ---- the agent's own operations
 * ----------------------------------------------------------------------- */

static void serve_read_file(struct op *o)
{
	slice_t path = wire_get_slice(o->in), text = slice_absent();
	uint64_t max = wire_get_uint(o->in, UINT32_MAX);
	if (!process_op_ready(o, true))
		return;
	struct agent_file_facts facts;
	int32_t result = agent_file_read(o->call, path, max, &text, &facts);
	process_op_result(o, result);
	wire_put_u64(&o->out, facts.uid);
	wire_put_u64(&o->out, facts.gid);
	wire_put_u64(&o->out, facts.mode);
	wire_put_u64(&o->out, (uint64_t)facts.error);
	wire_put_u64(&o->out, facts.folder_gone);
	if (result == HEDDLE_OK)
		wire_put_slice(&o->out, text);
}

static int32_t run_command(
    struct heddle_call *c, const struct heddle_command *cmd, slice_t *out_text, int32_t *status)
{
	struct heddle_child *child = NULL;
	struct strbuf sb;
	char piece[4096];
	uint64_t got = 0;
	int32_t result = agent_spawn_start(c, cmd, &child);
	strbuf_init(&sb, c->arena, (size_t)cmd->output_limit + 1);
	if (result == HEDDLE_OK)
		result = agent_spawn_feed_end(c, child);
	while (result == HEDDLE_OK) {
		result = agent_spawn_read(c, child, piece, sizeof piece, &got);
		if (result != HEDDLE_OK || got == 0)
			break;
		strbuf_add(&sb, slice_tainted(piece, (size_t)got));
	}
	if (result == HEDDLE_OK)
		result = agent_spawn_wait(c, child, status);
	*out_text = strbuf_slice(&sb);
	return result;
}

static void serve_run(struct op *o)
{
	static const slice_t env[] = {SL_INIT("PATH=/bin:/usr/bin")};
	struct heddle_command cmd = {.struct_size = sizeof cmd,
	    .uid = UINT32_MAX,
	    .gid = UINT32_MAX,
	    .env = env,
	    .envc = 1,
	    .directory = slice_absent()};
	cmd.output_limit = wire_get_uint(o->in, UINT32_MAX);
	cmd.argc = (uint32_t)wire_get_uint(o->in, ARGS_MAX);
	slice_t *argv = ARENA_ARRAY(o->call->arena, slice_t, cmd.argc + 1U);
	for (uint32_t i = 0; i < cmd.argc; i++)
		argv[i] = wire_get_slice(o->in);
	cmd.argv = argv;
	if (!process_op_ready(o, true))
		return;
	slice_t text = slice_absent();
	int32_t status = 0;
	int32_t result = run_command(o->call, &cmd, &text, &status);
	process_op_result(o, result);
	if (result == HEDDLE_OK) {
		wire_put_slice(&o->out, text);
		wire_put_u64(&o->out, (uint64_t)(int64_t)status);
	}
}

/* ---- operations of drivers
 * ----------------------------------------------------------------------------- */

static void serve_driver(struct op *o, uint16_t fn, const struct context *x)
{
	struct instance_slot *s = NULL;
	int32_t result = find_instance(o->process, o->call, x, &s);
	if (result != HEDDLE_OK || !s) {
		process_op_result(o, result);
		return;
	}
	o->ops = s->inst.driver->ops;
	o->inst = s->inst.inst;
	proxy_ops[fn](o);
}

static void get_context(
    struct process *p, struct heddle_call *c, struct wire_in *in, struct context *x)
{
	c->deadline_us = wire_get_int(in, 0, INT64_MAX);
	p->debugging = wire_get_uint(in, 1) != 0;
	p->offered = (uint32_t)wire_get_uint(in, UINT32_MAX);
	x->driver_class = wire_get_uint(in, UINT16_MAX);
	x->driver = wire_get_slice(in);
	x->name = wire_get_slice(in);
	x->snapshot = wire_get_uint(in, UINT64_MAX);
	slice_t foreseen = wire_get_slice(in);
	p->foreseen = (struct wire_in){foreseen.ptr, foreseen.len, false};
}

void process_serve(struct process *p, struct wire_frame *f)
{
	struct heddle_call c;
	struct context x;
	struct op o = {.process = p, .call = &c, .in = &f->in};
	uint16_t fn = f->head.fn;
	call_init(&c, NULL, NULL);
	c.arena = arena_new(0);
	c.services = &p->services;
	wire_out_init(&o.out, c.arena);
	p->serial = f->head.serial;
	p->body_fd = f->fd;
	get_context(p, &c, &f->in, &x);
	process_arm(p, c.deadline_us);
	if (fn == EXCHANGE_OP_READ_FILE)
		serve_read_file(&o);
	else if (fn == EXCHANGE_OP_RUN)
		serve_run(&o);
	else if (fn < PROXY_OPS)
		serve_driver(&o, fn, &x);
	else
		process_op_result(&o, call_refuse(&c, HEDDLE_ERROR,
		                          "operation %u is unknown to this agent", (unsigned)fn));
	const struct wire_head head = {.type = WIRE_OP_END, .fn = fn, .serial = p->serial};
	int sent = wire_send(p->sock, head, &o.out, -1);
	if (p->body_fd >= 0)
		(void)close(p->body_fd);
	p->body_fd = -1;
	p->foreseen = (struct wire_in){.left = 0};
	process_arm(p, 0);
	arena_free(&c.arena); /* kills what commands are left */
	if (sent != 0)
		_exit(1); /* the kernel is gone, or a driver's texts are malformed: it learns of the
		             latter by our end */
}
