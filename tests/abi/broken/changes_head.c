/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Its constructor makes itself into something else than what the file says. */
#include "broken.h"

#include <stdint.h>
#include <sys/mman.h>

DRIVER("changes_head");

__attribute__((constructor)) static void change(void)
{
	/* volatile: a compiler may take a write to what is const for one that does not happen */
	volatile uintptr_t where = (uintptr_t)&heddle_driver_v1;
	volatile char *at = (volatile char *)where;
	char *page = (char *)(where & ~(uintptr_t)4095);
	if (mprotect(page, 8192, PROT_READ | PROT_WRITE) == 0)
		at[offsetof(struct heddle_driver, version)] = '9';
}
