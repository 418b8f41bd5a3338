/* SPDX-License-Identifier: GPL-3.0-or-later */
#define SYMBOL heddle_driver_v2
#include "broken.h"
DRIVER("other_major");
