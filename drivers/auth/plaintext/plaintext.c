/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plaintext: SASL mechanisms whose data are plain strings: PLAIN (RFC 4616) and LOGIN, as a server.
 * What the client sends is a list of strings with NUL between them; they become $auth1, $auth2,
 * $auth3 (and $1 ...). server_prompts asks for those that did not come by themselves.  Whether the
 * strings are good is for the generic server_condition to say, which the kernel expands once we are
 * done.
 */
#include <heddle/auth.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPT_SERVER_PROMPTS };
enum { AUTH_VARIABLES = 3, NUMBERED_VARIABLES = 9, STRINGS_MAX = 20 };

struct plaintext {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
};

/* One exchange.  The prompts' text outlives the calls, so it is our own copy behind the struct. */
struct exchange {
	uint32_t strings; /* got so far */
	uint32_t prompts; /* of the list, looked at so far */
	uint64_t list_at;
	uint32_t list_len;
	char list[];
};

static int32_t no_memory(struct heddle_call *call, const struct heddle_host *host)
{
	host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
	return HEDDLE_DEFER;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct plaintext *p = calloc(1, sizeof *p);
	(void)state;
	if (!p)
		return no_memory(call, host);
	p->host = host;
	p->cfg = cfg;
	*out = p;
	return HEDDLE_OK;
}

/* Set one variable; both names of it. */
static int32_t set_string(
    struct heddle_call *call, const struct heddle_host *host, uint32_t n, struct heddle_slice value)
{
	char name[16];
	int32_t rc = HEDDLE_OK;
	if (n <= AUTH_VARIABLES) {
		(void)snprintf(name, sizeof name, "auth%u", n);
		rc = host->var_set(call, heddle_text(name), value);
	}
	if (rc == HEDDLE_OK && n <= NUMBERED_VARIABLES) {
		(void)snprintf(name, sizeof name, "%u", n);
		rc = host->var_set(call, heddle_text(name), value);
	}
	return rc;
}

/* Split at NUL; an empty response is one empty string, a NUL at the very end starts no further one.
 */
static int32_t take_strings(struct heddle_call *call, const struct heddle_host *host,
    struct exchange *x, struct heddle_slice data)
{
	uint32_t at = 0;
	do {
		const char *begin = data.len ? data.ptr + at : "";
		const char *nul = data.len ? memchr(begin, '\0', data.len - at) : NULL;
		uint32_t len = nul ? (uint32_t)(nul - begin) : data.len - at;
		if (x->strings == STRINGS_MAX)
			break;
		x->strings++;
		int32_t rc =
		    set_string(call, host, x->strings, heddle_bytes(begin, len, data.flags));
		if (rc != HEDDLE_OK)
			return rc;
		at += len + (nul ? 1U : 0U);
	} while (at < data.len);
	return HEDDLE_OK;
}

/* The next prompt for a string that has not come yet; none is left: done. */
static int32_t ask(struct heddle_call *call, const struct heddle_host *host, struct exchange *x,
    struct heddle_auth_turn *turn)
{
	struct heddle_slice prompt;
	while (host->item(call, heddle_bytes(x->list, x->list_len, HEDDLE_CLEAN), &x->list_at,
	           &prompt) == HEDDLE_OK) {
		if (++x->prompts <= x->strings)
			continue;
		turn->data = prompt;
		turn->state = HEDDLE_AUTH_MORE;
		return HEDDLE_OK;
	}
	turn->data = heddle_text(NULL);
	turn->state = HEDDLE_AUTH_DONE;
	return HEDDLE_OK;
}

static int32_t server_begin(
    struct heddle_call *call, void *inst, struct heddle_auth_turn *turn, void **conv)
{
	const struct plaintext *p = inst;
	struct heddle_slice prompts;
	int32_t rc = p->host->opt_text(call, p->cfg, OPT_SERVER_PROMPTS, &prompts);
	if (rc !=
	    HEDDLE_OK) /* the service has said why; a forced failure is no verdict on the client */
		return rc == HEDDLE_FAIL ? HEDDLE_DEFER : rc;
	struct exchange *x = calloc(1, sizeof *x + prompts.len);
	if (!x)
		return no_memory(call, p->host);
	x->list_len = prompts.len;
	if (prompts.len)
		memcpy(x->list, prompts.ptr, prompts.len);
	if (!(turn->data.flags & HEDDLE_ABSENT))
		rc = take_strings(call, p->host, x, turn->data);
	if (rc == HEDDLE_OK)
		rc = ask(call, p->host, x, turn);
	if (rc != HEDDLE_OK) {
		free(x);
		return rc;
	}
	*conv = x;
	return HEDDLE_OK;
}

static int32_t server_step(
    struct heddle_call *call, void *inst, void *conv, struct heddle_auth_turn *turn)
{
	const struct plaintext *p = inst;
	int32_t rc = take_strings(call, p->host, conv, turn->data);
	return rc == HEDDLE_OK ? ask(call, p->host, conv, turn) : rc;
}

static void end(void *inst, void *conv)
{
	(void)inst;
	free(conv);
}

static const struct heddle_option options[] = {
    [OPT_SERVER_PROMPTS] = {.name = "server_prompts",
        .type = HEDDLE_T_LIST,
        .flags = HEDDLE_O_EXPAND,
        .doc = "A list of prompts, each sent to obtain a string that the client has not supplied "
               "yet. An empty item is "
               "an empty prompt.",
        .since_major = 1},
};

static const struct heddle_auth_ops ops = {
    .struct_size = sizeof ops,
    .server_begin = server_begin,
    .server_step = server_step,
    .end = end,
};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_AUTH,
    .name = "plaintext",
    .version = "1.0",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle project",
    .summary = "PLAIN, LOGIN and other mechanisms of plain strings",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .option_size = sizeof *options,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
