/* SPDX-License-Identifier: GPL-3.0-or-later */
#define OPS &ops
#include "broken.h"
static const struct heddle_lookup_ops ops = {
    .struct_size = 24, .kind = HEDDLE_L_QUERY, .find = find};
DRIVER("short_ops");
