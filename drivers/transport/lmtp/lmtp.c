/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lmtp: to a mail store on this machine, by LMTP over a unix socket or a command's standard input
 * and output.  Exim specification, chapter 28.  LMTP over TCP is the smtp transport's.
 */
#include "lmtp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int32_t say(struct delivery *d, int32_t result, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(d->why, sizeof d->why, fmt, ap);
	va_end(ap);
	return result;
}

static int32_t no_memory(struct heddle_call *call, const struct heddle_host *host)
{
	host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
	return HEDDLE_DEFER;
}

static int32_t deliver(struct heddle_call *call, void *inst, struct heddle_job *job)
{
	const struct lmtp *in = inst;
	const struct heddle_host *host = in->host;
	struct delivery *d = host->alloc(call, sizeof *d, 16);
	if (!d)
		return no_memory(call, host);
	*d = (struct delivery){.call = call, .in = in, .host = host, .job = job, .fd = -1};
	d->service = host->service(host, HEDDLE_DELIVERY_ID);
	d->message = host->service(host, HEDDLE_MESSAGE_ID);
	d->spawn = host->service(host, HEDDLE_SPAWN_ID);
	if (!d->service || !d->message || (in->by_command && !d->spawn)) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("nothing here delivers"));
		return HEDDLE_DEFER;
	}
	d->info = (struct heddle_job_info){
	    .struct_size = sizeof d->info, .path = {.flags = HEDDLE_ABSENT}};
	int32_t rc = d->service->info(call, job, &d->info);
	if (rc != HEDDLE_OK)
		return rc;
	d->good = host->alloc(call, (uint64_t)d->info.recipients + 1, 1);
	if (!d->good)
		return no_memory(call, host);
	rc = link_open(d);
	if (rc == HEDDLE_OK)
		rc = dialogue(d);
	link_close(d);
	if (rc != HEDDLE_OK && d->why[0])
		host->reason(call, d->reply.code >= 400 ? d->reply.code : 0, heddle_text(NULL),
		    heddle_bytes(d->why, strlen(d->why), 0));
	return rc;
}

/* ---- options
 * -------------------------------------------------------------------------------------------- */

#define ROW(n, i, t, f, text)                                                                  \
	{                                                                                      \
		.name = n, .initial = i, .type = t, .flags = f, .doc = text, .since_major = 0, \
		.since_minor = 1                                                               \
	}
#define X HEDDLE_O_EXPAND

static const struct heddle_option options[OPT_COUNT] = {
    [OPT_BATCH_ID] = ROW("batch_id", NULL, HEDDLE_T_STRING, X,
        "addresses for which this comes to the same may share a delivery"),
    [OPT_BATCH_MAX] = ROW("batch_max", "1", HEDDLE_T_INT, 0, "addresses in one delivery"),
    [OPT_COMMAND] = ROW("command", NULL, HEDDLE_T_STRING, 0,
        "what to run: split into arguments, each of which is expanded by itself; it speaks LMTP on "
        "standard input and output"),
    [OPT_IGNORE_QUOTA] = ROW("ignore_quota", "false", HEDDLE_T_BOOL, 0,
        "IGNOREQUOTA for recipients, where the server offers it"),
    [OPT_SOCKET] = ROW(
        "socket", NULL, HEDDLE_T_STRING, X | HEDDLE_O_UNTAINTED, "the unix socket of the server"),
    [OPT_TIMEOUT] = ROW("timeout", "5m", HEDDLE_T_TIME, 0,
        "how long to wait for an answer; of a command: how long it may take"),
};

static int64_t number(struct heddle_call *call, const struct lmtp *in, uint32_t i)
{
	int64_t v = 0;
	return in->host->opt_int(call, in->cfg, i, &v) == HEDDLE_OK ? v : 0;
}

/* Is the option there at all?  What its expansion gives depends on the delivery. */
static int is_set(struct heddle_call *call, const struct lmtp *in, uint32_t i)
{
	struct heddle_slice v;
	return in->host->opt_text(call, in->cfg, i, &v) != HEDDLE_OK || !(v.flags & HEDDLE_ABSENT);
}

static int32_t check(struct heddle_call *call, struct lmtp *in)
{
	struct heddle_slice command;
	int has_socket = is_set(call, in, OPT_SOCKET);
	int32_t rc = in->host->opt_text(call, in->cfg, OPT_COMMAND, &command);
	if (rc != HEDDLE_OK)
		return rc;
	in->by_command = !(command.flags & HEDDLE_ABSENT) && command.len > 0;
	in->ignore_quota = number(call, in, OPT_IGNORE_QUOTA) != 0;
	in->timeout_ms = number(call, in, OPT_TIMEOUT);
	if (in->by_command == has_socket) {
		in->host->reason(call, 0, heddle_text(NULL),
		    heddle_text(has_socket ? "only one of \"command\" and \"socket\" may be set"
		                           : "\"command\" or \"socket\" must be set"));
		return HEDDLE_ERROR;
	}
	return in->by_command ? link_check_command(call, in, command) : HEDDLE_OK;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct lmtp *in = calloc(1, sizeof *in);
	(void)state;
	if (!in)
		return no_memory(call, host);
	in->host = host;
	in->cfg = cfg;
	int32_t rc = check(call, in);
	if (rc != HEDDLE_OK) {
		free(in);
		return rc;
	}
	*out = in;
	return HEDDLE_OK;
}

static const struct heddle_transport_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_TR_LOCAL, .deliver = deliver};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_TRANSPORT,
    .flags = HEDDLE_F_BLOCKS,
    .name = "lmtp",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "to a mail store on this machine by LMTP",
    .options = options,
    .option_count = OPT_COUNT,
    .option_size = sizeof(struct heddle_option),
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
