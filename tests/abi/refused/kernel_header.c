/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A driver that includes a header of the kernel must not build. */
#include "base/arena.h"
#include <heddle/lookup.h>

const struct heddle_driver heddle_driver_v1 = {.magic = HEDDLE_MAGIC};
