/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Builds, but exports more than its descriptor: the check of exported symbols must see it. */
#include <heddle/lookup.h>

__attribute__((visibility("default"))) int also_exported;
const struct heddle_driver heddle_driver_v1 = {.magic = HEDDLE_MAGIC};
