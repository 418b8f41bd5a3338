/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/elf_image: bounds-checked reading of an ELF file's bytes; for head.c and elf_facts.c. */
#ifndef HEDDLE_DRIVER_ELF_IMAGE_H
#define HEDDLE_DRIVER_ELF_IMAGE_H
#include "base/slice.h"

#include <elf.h>
#include <link.h>

#define ELF_SYMBOLS_MAX                                                           \
	(1U << 20) /* more make a file that is not a driver a way to keep us busy \
	            */

struct elf_image {
	const char *bytes;
	size_t n;
	ElfW(Ehdr) eh;
};

/* n bytes at `at`, copied to out; false: they are not all in the file. */
static inline bool elf_take(const struct elf_image *im, uint64_t at, void *out, size_t n)
{
	if (at > im->n || n > im->n - at)
		return false;
	memcpy(out, im->bytes + at, n);
	return true;
}

static inline bool elf_section(const struct elf_image *im, uint32_t i, ElfW(Shdr) * out)
{
	if (i >= im->eh.e_shnum || im->eh.e_shentsize != sizeof *out)
		return false;
	uint64_t skip = (uint64_t)i * sizeof *out;
	return im->eh.e_shoff <= im->n && elf_take(im, im->eh.e_shoff + skip, out, sizeof *out);
}
#endif
