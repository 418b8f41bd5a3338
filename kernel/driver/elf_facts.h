/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/elf_facts: what heddle-driver-check wants to know of a file beside its head.  Pure: any
 * bytes are fine. */
#ifndef HEDDLE_DRIVER_ELF_FACTS_H
#define HEDDLE_DRIVER_ELF_FACTS_H
#include "base/slice.h"

struct elf_facts {
	unsigned exported;      /* defined dynamic symbols */
	char other_export[64];  /* one that is not the descriptor; "" */
	char banned_import[64]; /* a function that no driver may call (exit, fork, setlocale ...);
	                           "" */
	bool rpath, textrel, executable_stack, binds_now;
};
/* false: not an ELF shared object that can be read. */
bool elf_facts(const void *bytes, size_t n, struct elf_facts *out);
#endif
