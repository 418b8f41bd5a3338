/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bits of the high half may be ignored */
#define FLAGS (UINT64_C(1) << 40 | HEDDLE_F_EXPERIMENTAL)
#include "broken.h"
DRIVER("high_flags");
