/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broken.h"
static const struct heddle_option table[] = {{.name = "Wait-A", .type = HEDDLE_T_TIME, .doc = ""}};
DRIVER_OPTIONS("bad_option_name");
