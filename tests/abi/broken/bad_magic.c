/* SPDX-License-Identifier: GPL-3.0-or-later */
#define MAGIC "HEDDLE?"
#include "broken.h"
DRIVER("bad_magic");
