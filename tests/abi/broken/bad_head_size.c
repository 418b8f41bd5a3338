/* SPDX-License-Identifier: GPL-3.0-or-later */
#define HEAD_SIZE 288
#include "broken.h"
DRIVER("bad_head_size");
