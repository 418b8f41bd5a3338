/* SPDX-License-Identifier: GPL-3.0-or-later */
#define LOAD load
#include "broken.h"

static int32_t load(struct heddle_call *call, const struct heddle_host *host, void **state)
{
	(void)state;
	host->reason(call, 0, heddle_text(NULL), heddle_text("its library is too old"));
	return HEDDLE_ERROR;
}
DRIVER("load_error");
