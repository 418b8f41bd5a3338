/* SPDX-License-Identifier: GPL-3.0-or-later */
#define MAJOR 2
#include "broken.h"
DRIVER("bad_major");
