/* SPDX-License-Identifier: GPL-3.0-or-later */
#define MINOR (HEDDLE_ABI_MINOR + 4)
#include "broken.h"
DRIVER("bad_minor");
