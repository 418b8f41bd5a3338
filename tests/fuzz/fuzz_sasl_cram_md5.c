/* SPDX-License-Identifier: GPL-3.0-or-later */
/* auth/cram_md5, both sides, on anything that a peer may send. */
#include "../../drivers/auth/cram_md5/cram_md5.c"

enum { driver_options = sizeof options / sizeof *options };
#define SASL_NEVER_DONE /* nobody can guess the digest of a challenge */

#include "sasl_host.h"
