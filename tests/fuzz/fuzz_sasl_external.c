/* SPDX-License-Identifier: GPL-3.0-or-later */
/* auth/external, both sides, on anything that a peer may send. */
#include "../../drivers/auth/external/external.c"

enum { driver_options = sizeof options / sizeof *options };

#include "sasl_host.h"
