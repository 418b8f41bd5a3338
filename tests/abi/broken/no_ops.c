/* SPDX-License-Identifier: GPL-3.0-or-later */
#define OPS NULL
#include "broken.h"
DRIVER("no_ops");
