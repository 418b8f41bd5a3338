/* SPDX-License-Identifier: GPL-3.0-or-later */
/* main/environment: keep_environment, add_environment and timezone, for the processes that master
 * starts and for the command line's own. */
#ifndef HEDDLE_MAIN_ENVIRONMENT_H
#define HEDDLE_MAIN_ENVIRONMENT_H
#include "base/vec.h"

struct config;
/* The settings (const char *, on a) that are left of `from`, and those that are added. */
MUST_USE enum rc environment_make(struct arena *a, const struct config *cfg, char *const *from,
    struct vec *out, struct error *err);
#endif
