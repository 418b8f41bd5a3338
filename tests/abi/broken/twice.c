/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broken.h"
static const struct heddle_option table[] = {
    {.name = "same", .type = HEDDLE_T_INT, .doc = ""},
    {.name = "other", .type = HEDDLE_T_INT, .doc = ""},
    {.name = "same", .type = HEDDLE_T_STRING, .doc = ""},
};
DRIVER_OPTIONS("twice");
