/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A driver that declares a function of the kernel by itself must not link. */
#include <heddle/lookup.h>

struct arena;
struct arena *arena_new(size_t first);
static int32_t load(struct heddle_call *call, const struct heddle_host *host, void **state)
{
	(void)call, (void)host;
	*state = arena_new(0);
	return HEDDLE_OK;
}
const struct heddle_driver heddle_driver_v1 = {.magic = HEDDLE_MAGIC, .load = load};
