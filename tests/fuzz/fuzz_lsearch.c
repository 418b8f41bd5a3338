/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lookup/lsearch on any file and key. */
#include "../../drivers/lookup/lsearch/lsearch.c"

#include "lookup_host.h"
