/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broken.h"
static const struct heddle_option table[] = {
    {.name = "wait", .type = HEDDLE_T_TIME, .initial = "5x", .doc = ""},
};
DRIVER_OPTIONS("bad_default");
