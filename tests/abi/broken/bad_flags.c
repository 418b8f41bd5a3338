/* SPDX-License-Identifier: GPL-3.0-or-later */
#define FLAGS 0x40
#include "broken.h"
DRIVER("bad_flags");
