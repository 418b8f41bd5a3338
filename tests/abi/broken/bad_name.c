/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broken.h"
DRIVER("another_name");
