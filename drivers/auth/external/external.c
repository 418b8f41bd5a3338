/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * external: the SASL mechanism EXTERNAL (RFC 4422, appendix A).  The client names an identity;
 * whether it is who it says is for the configuration to find out from what the connection has
 * proved otherwise, most often by a client certificate. server_param2 and server_param3 become
 * $auth2 and $auth3 before the kernel expands server_condition, which decides. As a client it sends
 * what client_send says, which may be empty: the server then takes the identity from what it knows.
 * State: none; an exchange has one turn, or two when the client waits to be asked.
 */
#include <heddle/auth.h>
#include <stdlib.h>

enum { OPT_CLIENT_SEND, OPT_SERVER_PARAM2, OPT_SERVER_PARAM3 };

struct external {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
};

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct external *x = calloc(1, sizeof *x);
	(void)state;
	if (!x) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	x->host = host;
	x->cfg = cfg;
	*out = x;
	return HEDDLE_OK;
}

/* Both names of it. */
static int32_t set(struct heddle_call *call, const struct external *x, const char *number,
    struct heddle_slice value)
{
	char name[] = "auth1";
	name[4] = number[0];
	int32_t rc = x->host->var_set(call, heddle_text(name), value);
	return rc == HEDDLE_OK ? x->host->var_set(call, heddle_text(number), value) : rc;
}

/* The expansion of a parameter; a forced failure is a verdict, any other is none. */
static int32_t set_parameter(
    struct heddle_call *call, const struct external *x, uint32_t option, const char *number)
{
	struct heddle_slice value;
	int32_t rc = x->host->opt_text(call, x->cfg, option, &value);
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL ? HEDDLE_FAIL : HEDDLE_DEFER;
	return value.flags & HEDDLE_ABSENT ? HEDDLE_OK : set(call, x, number, value);
}

static int32_t take_identity(
    struct heddle_call *call, const struct external *x, struct heddle_auth_turn *turn)
{
	struct heddle_slice who = turn->data;
	if (who.flags & HEDDLE_ABSENT)
		who = heddle_bytes("", 0, 0);
	if (who.len && memchr(who.ptr, '\0', who.len)) {
		x->host->reason(call, 0, heddle_text(NULL), heddle_text("NUL in the identity"));
		return HEDDLE_FAIL;
	}
	int32_t rc = set(call, x, "1", who);
	if (rc == HEDDLE_OK)
		rc = set_parameter(call, x, OPT_SERVER_PARAM2, "2");
	if (rc == HEDDLE_OK)
		rc = set_parameter(call, x, OPT_SERVER_PARAM3, "3");
	if (rc != HEDDLE_OK)
		return rc;
	turn->data = heddle_text(NULL);
	turn->state = HEDDLE_AUTH_DONE;
	return HEDDLE_OK;
}

static int32_t server_begin(
    struct heddle_call *call, void *inst, struct heddle_auth_turn *turn, void **conv)
{
	(void)conv;
	if (!(turn->data.flags & HEDDLE_ABSENT))
		return take_identity(call, inst, turn);
	turn->data = heddle_text("");
	turn->state = HEDDLE_AUTH_MORE;
	return HEDDLE_OK;
}

static int32_t server_step(
    struct heddle_call *call, void *inst, void *conv, struct heddle_auth_turn *turn)
{
	(void)conv;
	return take_identity(call, inst, turn);
}

static int32_t client_begin(
    struct heddle_call *call, void *inst, struct heddle_auth_turn *turn, void **conv)
{
	const struct external *x = inst;
	(void)conv;
	int32_t rc = x->host->opt_text(call, x->cfg, OPT_CLIENT_SEND, &turn->data);
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL ? HEDDLE_FAIL : HEDDLE_DEFER;
	turn->state = HEDDLE_AUTH_DONE;
	return HEDDLE_OK;
}

/* The identity was sent with the command: there is nothing that a server could ask for. */
static int32_t client_step(
    struct heddle_call *call, void *inst, void *conv, struct heddle_auth_turn *turn)
{
	const struct external *x = inst;
	(void)conv;
	x->host->reason(
	    call, 0, heddle_text(NULL), heddle_text("the server asks for more than the identity"));
	turn->data = heddle_text(NULL);
	turn->state = HEDDLE_AUTH_CANCEL;
	return HEDDLE_OK;
}

static void end(void *inst, void *conv)
{
	(void)inst, (void)conv;
}

static const struct heddle_option options[] = {
    [OPT_CLIENT_SEND] = {.name = "client_send",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND | HEDDLE_O_CLIENT,
        .doc = "The identity that is asserted, sent with the AUTH command. Empty: the one that the "
               "server knows already.",
        .since_major = 1},
    [OPT_SERVER_PARAM2] = {.name = "server_param2",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND,
        .doc = "Expanded before server_condition into $auth2. A forced failure refuses the client, "
               "any other is temporary.",
        .since_major = 1},
    [OPT_SERVER_PARAM3] = {.name = "server_param3",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND,
        .doc = "The same for $auth3; it may use $auth2.",
        .since_major = 1},
};

static const struct heddle_auth_ops ops = {
    .struct_size = sizeof ops,
    .server_begin = server_begin,
    .server_step = server_step,
    .client_begin = client_begin,
    .client_step = client_step,
    .end = end,
};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_AUTH,
    .name = "external",
    .version = "1.0",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle project",
    .summary = "EXTERNAL: an identity that the connection proves, as a client certificate does",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .option_size = sizeof *options,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
