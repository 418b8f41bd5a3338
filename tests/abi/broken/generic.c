/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broken.h"
static const struct heddle_option table[] = {
    {.name = "driver", .type = HEDDLE_T_STRING, .doc = ""}};
DRIVER_OPTIONS("generic");
