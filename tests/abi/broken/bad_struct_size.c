/* SPDX-License-Identifier: GPL-3.0-or-later */
#define STRUCT_SIZE 300
#include "broken.h"
DRIVER("bad_struct_size");
