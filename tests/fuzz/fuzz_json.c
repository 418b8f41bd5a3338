/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lookup/json on any file and key.  Needs json-c. */
#include "../../drivers/lookup/json/json.c"

#include "lookup_host.h"
