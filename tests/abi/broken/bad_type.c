/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broken.h"
static const struct heddle_option table[] = {{.name = "nmae", .type = 99, .doc = ""}};
DRIVER_OPTIONS("bad_type");
