/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/call: a call's beginning, and what its result means. */
#include "driver/call.h"

#include "base/clock.h"

void call_init(struct heddle_call *c, struct eval *ev, const struct heddle_instance *inst)
{
	*c = (struct heddle_call){
	    .instance = inst,
	    .deadline_us = DEADLINE_NEVER,
	    .reason_shown = slice_absent(),
	    .reason_logged = slice_absent(),
	};
	if (!ev)
		return;
	c->arena = ev->arena;
	c->eval = ev;
	c->services = ev->services;
	c->deadline_us = ev->deadline_us;
	c->cancel = ev->cancel;
	c->worker = ev->worker;
}

int32_t call_refuse(struct heddle_call *c, int32_t result, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	c->reason_logged = arena_vprintf(c->arena, fmt, ap);
	va_end(ap);
	c->reason_logged.flags = 0; /* it may quote what came from outside */
	c->reason_shown = slice_absent();
	c->reason_smtp = 0;
	c->reason_given = true;
	if (result == HEDDLE_DEFER)
		c->service_deferred = true;
	return result;
}

enum rc call_result(struct heddle_call *c, int32_t result, const char *what, struct error *err)
{
	if (result == HEDDLE_OK)
		return RC_OK;
	if (result < HEDDLE_OK || result > HEDDLE_ERROR)
		return error_set(
		    err, RC_ERROR, "%s returned %ld, which is no result", what, (long)result);
	enum rc rc = (enum rc)result;
	if (!c->reason_given)
		return error_set(err, rc, "%s gave no reason", what);
	slice_t text = c->reason_logged.len ? c->reason_logged : c->reason_shown;
	if (text.flags & HEDDLE_SECRET)
		return error_set(err, rc, "(secret)");
	return error_set(err, rc, "%.*s", SL_ARG(text));
}
