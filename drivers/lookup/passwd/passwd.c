/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lookup/passwd: what the system knows of a login, as a line of /etc/passwd.  The kernel answers;
 * it never asks NSS itself. */
#include <heddle/lookup.h>

#include <stdio.h>
#include <stdlib.h>

struct inst {
	const struct heddle_host *host;
	const struct heddle_user_service *users;
};

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct inst *in = malloc(sizeof *in);
	(void)call, (void)state, (void)cfg;
	if (!in)
		return HEDDLE_DEFER;
	in->host = host;
	in->users = host->service(host, HEDDLE_USER_ID);
	*out = in;
	return HEDDLE_OK;
}

static int32_t find(struct heddle_call *call, void *inst, void *handle, struct heddle_slice key,
    struct heddle_slice options, struct heddle_found *out)
{
	const struct inst *in = inst;
	struct heddle_user u = {.struct_size = sizeof u};
	char numbers[40];
	(void)handle, (void)options;
	if (key.len == 0)
		return HEDDLE_FAIL;
	if (!in->users) {
		in->host->reason(
		    call, 0, heddle_text(NULL), heddle_text("users are not known to this process"));
		return HEDDLE_DEFER;
	}
	int32_t rc = in->users->by_name(call, key, &u);
	if (rc != HEDDLE_OK)
		return rc;
	(void)snprintf(
	    numbers, sizeof numbers, "*:%lu:%lu:", (unsigned long)u.uid, (unsigned long)u.gid);
	struct heddle_slice colon = heddle_text(":");
	struct heddle_slice parts[] = {heddle_bytes(numbers, strlen(numbers), HEDDLE_CLEAN),
	    u.gecos, colon, u.home, colon, u.shell};
	out->cache_seconds = 0;
	return in->host->join(call, parts, sizeof parts / sizeof *parts, &out->value);
}

static const struct heddle_lookup_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_L_QUERY | HEDDLE_L_SHARED, .find = find};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_LOOKUP,
    .flags = HEDDLE_F_BLOCKS,
    .name = "passwd",
    .version = "1.0",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle project",
    .summary = "what the system knows of a user",
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
