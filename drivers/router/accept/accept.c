/* SPDX-License-Identifier: GPL-3.0-or-later */
/* accept: takes every address that has passed the preconditions.  Exim specification, chapter 16.
 */
#include <heddle/router.h>

static int32_t route(struct heddle_call *call, void *inst, const struct heddle_address *address,
    struct heddle_route *out)
{
	(void)call, (void)inst, (void)address;
	out->verdict = HEDDLE_R_ACCEPT;
	return HEDDLE_OK;
}

static const struct heddle_router_ops ops = {.struct_size = sizeof ops, .route = route};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_ROUTER,
    .name = "accept",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "takes every address that has passed the preconditions",
    .option_size = sizeof(struct heddle_option),
    .ops = &ops,
};
