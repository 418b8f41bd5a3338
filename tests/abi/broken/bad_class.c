/* SPDX-License-Identifier: GPL-3.0-or-later */
#define CLASS HEDDLE_ROUTER
#include "broken.h"
DRIVER("bad_class");
