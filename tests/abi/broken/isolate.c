/* SPDX-License-Identifier: GPL-3.0-or-later */
#define FLAGS HEDDLE_F_SERIAL
#include "broken.h"
DRIVER("isolate");
