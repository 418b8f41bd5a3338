/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Built without -z defs: what it needs exists nowhere, so dlopen must refuse it. */
#define LOAD load
#include "broken.h"
int32_t nobody_has_this(void);
static int32_t load(struct heddle_call *call, const struct heddle_host *host, void **state)
{
	(void)call, (void)host, (void)state;
	return nobody_has_this();
}
DRIVER("unresolved");
