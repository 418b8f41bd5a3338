/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Its constructor makes itself into something else than what the file says. */
#include "broken.h"

#include <stdint.h>
#include <sys/mman.h>

DRIVER("changes_head");

__attribute__((constructor)) static void change(void)
{
	char *at = (char *)(uintptr_t)&heddle_driver_v1;
	char *page = (char *)((uintptr_t)at & ~(uintptr_t)4095);
	if (mprotect(page, 8192, PROT_READ | PROT_WRITE) == 0)
		at[offsetof(struct heddle_driver, version)] = '9';
}
