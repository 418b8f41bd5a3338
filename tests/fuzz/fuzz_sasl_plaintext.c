/* SPDX-License-Identifier: GPL-3.0-or-later */
/* auth/plaintext, both sides, on anything that a peer may send. */
#include "../../drivers/auth/plaintext/plaintext.c"

enum { driver_options = sizeof options / sizeof *options };

#include "sasl_host.h"
