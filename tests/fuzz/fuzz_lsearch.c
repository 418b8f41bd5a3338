/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lookup/lsearch, under each of its names, on any file and key. */
#include "../../drivers/lookup/lsearch/lsearch.c"
#include "../../drivers/lookup/lsearch/wild.c"

static int next_kind(void *inst)
{
	struct inst *in = inst;
	if (in->kind == KIND_IP)
		return 0;
	in->kind = (enum kind)(in->kind + 1); /* in the order of the enum */
	return 1;
}
#define LOOKUP_NEXT_KIND next_kind

#include "lookup_host.h"
