/* SPDX-License-Identifier: GPL-3.0-or-later */
#define OPS &ops
#include "broken.h"
static const struct heddle_lookup_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_L_KEY, .find = find};
DRIVER("no_open");
