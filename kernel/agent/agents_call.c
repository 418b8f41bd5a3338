/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent/agent: what is asked of agents. */
#include "agent/agents_private.h"
#include "agent/exchange.h"

#include "config/config.h"
#include "log/log.h"

#include <stdlib.h>
#include <sys/wait.h>

#define RUN_OUTPUT_MAX ((uint64_t)1 << 20)

struct conversation {
	struct agents *agents;
	struct agent *agent;
	struct exchange x;
};

static enum rc begin(struct agents *a, const struct agent_identity *who, struct heddle_call *c,
    struct conversation *v, struct error *err)
{
	if (!a)
		return error_set(err, RC_DEFER, "there are no agents in this process");
	v->agents = a;
	enum rc rc = agents_take(a, who, c->cancel, c->deadline_us, &v->agent, err);
	/* that there is no such user is no answer about what was to be done as this user */
	if (rc == RC_FAIL)
		rc = RC_DEFER;
	if (rc == RC_OK)
		exchange_init(&v->x, c, v->agent->sock, ++v->agent->serial);
	return rc;
}

static enum rc end(struct conversation *v, const struct agent_identity *who, int32_t result,
    const char *what, struct error *err)
{
	struct heddle_call *c = v->x.call;
	v->agent->broken = v->x.broken;
	(void)atomic_fetch_add_explicit(
	    &v->agents->questions, v->x.questions, memory_order_relaxed);
	if (v->x.broken)
		log_panic(v->agents->log,
		    c->eval && c->eval->message ? c->eval->message->id : slice_absent(),
		    "agent of user \"%.*s\" (%s): %s", SL_ARG(who->user), what, v->x.why.text);
	exchange_fini(&v->x);
	agents_give(v->agents, &v->agent);
	return call_result(c, result, what, err);
}

enum rc agents_deliver(struct agents *a, const struct agent_identity *who, struct heddle_call *c,
    struct heddle_job *job, struct error *err)
{
	struct conversation v;
	const struct driver *drv = c->instance ? c->instance->driver : NULL;
	if (!drv || drv->head.driver_class != HEDDLE_TRANSPORT || !(drv->kind & HEDDLE_TR_LOCAL))
		return error_set(err, RC_ERROR, "only a local transport runs in an agent");
	enum rc rc = begin(a, who, c, &v, err);
	if (rc != RC_OK)
		return rc;
	v.x.foresight = &v.agent->foresight;
	int32_t result = proxy_transport_ops_deliver(&v.x, job);
	return end(&v, who, result, drv->head.name, err);
}

/* Outputs of our own operations are read here: the generator knows the tables only. */
enum rc agents_read_file(struct agents *a, const struct agent_identity *who, struct heddle_call *c,
    slice_t path, uint64_t max, slice_t *out, struct agent_file_facts *out_facts, struct error *err)
{
	struct conversation v;
	struct agent_file_facts facts = {.error = 0};
	slice_t text = slice_absent();
	if (out_facts)
		*out_facts = facts;
	if (!slice_is_clean(path))
		return error_set(err, RC_ERROR, "tainted file name \"%.*s\"", SL_ARG(path));
	enum rc rc = begin(a, who, c, &v, err);
	if (rc != RC_OK)
		return rc;
	struct wire_out *w = exchange_begin(&v.x, EXCHANGE_OP_READ_FILE);
	wire_put_slice(w, path);
	wire_put_u64(w, max < UINT32_MAX ? max : UINT32_MAX);
	/* who is this user could own such a file: what the agent says of the owner is as good as
	 * the file */
	int32_t result = exchange_run(&v.x, true);
	if (!v.x.broken) {
		facts.uid = (uint32_t)wire_get_uint(&v.x.in, UINT32_MAX);
		facts.gid = (uint32_t)wire_get_uint(&v.x.in, UINT32_MAX);
		facts.mode = (uint32_t)wire_get_uint(&v.x.in, UINT32_MAX);
		facts.error = (int32_t)wire_get_uint(&v.x.in, 4096);
		facts.folder_gone = wire_get_uint(&v.x.in, 1) != 0;
	}
	if (result == HEDDLE_OK)
		text = exchange_get_slice(&v.x, &v.x.in);
	result = exchange_finish(&v.x, result);
	rc = end(&v, who, result, "reading a file", err);
	if (rc == RC_OK)
		*out = text;
	if (out_facts)
		*out_facts = facts;
	return rc;
}

enum rc agents_run(struct agents *a, const struct agent_identity *who, struct eval *ev,
    const slice_t *argv, uint32_t argc, slice_t *out_text, int *out_status, struct error *err)
{
	struct heddle_call c;
	struct conversation v;
	slice_t text = slice_absent();
	int64_t status = 0;
	if (argc == 0 || !slice_is_clean(argv[0]))
		return error_set(err, RC_ERROR, "tainted or empty command name");
	call_init(&c, ev, NULL);
	enum rc rc = begin(a, who, &c, &v, err);
	if (rc != RC_OK)
		return rc;
	struct wire_out *w = exchange_begin(&v.x, EXCHANGE_OP_RUN);
	wire_put_u64(w, RUN_OUTPUT_MAX);
	wire_put_u64(w, argc);
	for (uint32_t i = 0; i < argc; i++)
		wire_put_slice(w, argv[i]);
	int32_t result = exchange_run(&v.x, false);
	if (result == HEDDLE_OK) {
		text = exchange_get_slice(&v.x, &v.x.in);
		status = wire_get_int(&v.x.in, INT32_MIN, INT32_MAX);
	}
	result = exchange_finish(&v.x, result);
	rc = end(&v, who, result, "running a command", err);
	if (rc != RC_OK)
		return rc;
	*out_text = text;
	*out_status = (int)status;
	return RC_OK;
}
