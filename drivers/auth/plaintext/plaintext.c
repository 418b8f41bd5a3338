/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plaintext: SASL mechanisms whose data are plain strings: PLAIN (RFC 4616) and LOGIN.
 * Server: what the client sends is a list of strings with NUL between them; they become $auth1,
 * $auth2, $auth3 (and $1 ...). server_prompts asks for those that did not come by themselves.
 * Whether the strings are good is for the generic server_condition to say, which the kernel expands
 * once we are done.
 * Client: the items of client_send, one with the command and one for each prompt.  They are
 * compiled one by one when the configuration is loaded, since splitting comes before expansion.
 */
#include <heddle/auth.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPT_CLIENT_IGNORE_INVALID_BASE64, OPT_CLIENT_SEND, OPT_SERVER_PROMPTS };
enum { AUTH_VARIABLES = 3, NUMBERED_VARIABLES = 9, STRINGS_MAX = 20 };

struct plaintext {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	bool ignore_invalid;
	uint32_t sends;
	struct heddle_expr *send[STRINGS_MAX];
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

static int32_t compile_sends(struct heddle_call *call, struct plaintext *p)
{
	struct heddle_slice list, item;
	uint64_t at = 0;
	int64_t ignore = 0;
	int32_t rc = p->host->opt_text(call, p->cfg, OPT_CLIENT_SEND, &list);
	if (rc != HEDDLE_OK)
		return rc;
	p->ignore_invalid = p->host->opt_int(call, p->cfg, OPT_CLIENT_IGNORE_INVALID_BASE64,
	                        &ignore) == HEDDLE_OK &&
	                    ignore != 0;
	if (list.flags & HEDDLE_ABSENT)
		return HEDDLE_OK;
	while (p->host->item(call, list, &at, &item) == HEDDLE_OK) {
		if (p->sends == STRINGS_MAX) {
			p->host->reason(call, 0, heddle_text(NULL),
			    heddle_text("client_send has more than 20 strings"));
			return HEDDLE_ERROR;
		}
		rc = p->host->compile(call, item, 0, &p->send[p->sends]);
		if (rc != HEDDLE_OK)
			return rc;
		p->sends++;
	}
	return HEDDLE_OK;
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
	int32_t rc = compile_sends(call, p);
	if (rc != HEDDLE_OK) {
		free(p);
		return rc;
	}
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
	if (rc != HEDDLE_OK) /* the service has said why; it is no verdict on the client */
		return HEDDLE_DEFER;
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

/* ---- client ---- */

/* A circumflex is a NUL, two are one. */
static int32_t convert(struct heddle_call *call, const struct plaintext *p, struct heddle_slice in,
    struct heddle_slice *out)
{
	int32_t rc;
	in.flags |= HEDDLE_SECRET;
	rc = p->host->join(call, &in, 1, out); /* a copy of our own, wiped after the call */
	if (rc != HEDDLE_OK || !in.len)
		return rc;
	char *to = p->host->alloc(call, in.len, 1);
	if (!to)
		return no_memory(call, p->host);
	uint32_t n = 0;
	for (uint32_t i = 0; i < in.len; i++) {
		bool caret = in.ptr[i] == '^',
		     twice = caret && i + 1 < in.len && in.ptr[i + 1] == '^';
		to[n++] = caret && !twice ? '\0' : in.ptr[i];
		i += twice;
	}
	*out = heddle_bytes(to, n, in.flags);
	return HEDDLE_OK;
}

/* The next string, if there is one. */
static int32_t send_next(struct heddle_call *call, const struct plaintext *p, struct exchange *x,
    struct heddle_auth_turn *turn)
{
	struct heddle_slice text = heddle_text("");
	int32_t rc = HEDDLE_OK;
	if (x->strings < p->sends)
		rc = p->host->expand(call, p->send[x->strings], &text);
	if (rc == HEDDLE_OK)
		rc = convert(call, p, text, &turn->data);
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL ? HEDDLE_FAIL : HEDDLE_DEFER;
	x->strings++;
	turn->state = x->strings < p->sends ? HEDDLE_AUTH_MORE : HEDDLE_AUTH_DONE;
	return HEDDLE_OK;
}

static int32_t client_begin(
    struct heddle_call *call, void *inst, struct heddle_auth_turn *turn, void **conv)
{
	struct exchange *x = calloc(1, sizeof *x);
	if (!x)
		return no_memory(call, ((const struct plaintext *)inst)->host);
	int32_t rc = send_next(call, inst, x, turn);
	if (rc != HEDDLE_OK) {
		free(x);
		return rc;
	}
	if (!turn->data
	         .len) /* nothing with the command, which is not the same as an empty string */
		turn->data = heddle_text(NULL);
	*conv = x;
	return HEDDLE_OK;
}

static int32_t client_step(
    struct heddle_call *call, void *inst, void *conv, struct heddle_auth_turn *turn)
{
	const struct plaintext *p = inst;
	struct exchange *x = conv;
	bool garbled = turn->state == HEDDLE_AUTH_GARBLED;
	if (garbled && !p->ignore_invalid) {
		p->host->reason(call, 0, heddle_text(NULL),
		    heddle_text("Invalid base64 string in server response"));
		turn->data = heddle_text(NULL);
		turn->state = HEDDLE_AUTH_CANCEL;
		return HEDDLE_OK;
	}
	/* one for each string sent so far */
	int32_t rc = set_string(call, p->host, x->strings, garbled ? heddle_text("") : turn->data);
	return rc == HEDDLE_OK ? send_next(call, p, x, turn) : rc;
}

static void end(void *inst, void *conv)
{
	(void)inst;
	free(conv);
}

static const struct heddle_option options[] = {
    [OPT_CLIENT_IGNORE_INVALID_BASE64] = {.name = "client_ignore_invalid_base64",
        .initial = "false",
        .type = HEDDLE_T_BOOL,
        .doc = "As a client, go on when a prompt is not base64: its variable is then empty.",
        .since_major = 1},
    [OPT_CLIENT_SEND] = {.name = "client_send",
        .type = HEDDLE_T_LIST,
        .flags = HEDDLE_O_SECRET | HEDDLE_O_CLIENT,
        .doc =
            "A list of strings, each expanded by itself when it is sent: the first with the AUTH "
            "command, the others in answer to prompts. A circumflex becomes a binary zero, two "
            "become one.",
        .since_major = 1},
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
