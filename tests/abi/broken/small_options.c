/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broken.h"
static const struct heddle_option table[] = {{.name = "x", .type = HEDDLE_T_STRING, .doc = ""}};
DRIVER_WITH("small_options", table, 1, 24);
