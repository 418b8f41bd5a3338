/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "driver/elf_facts.h"

#include "driver/elf_image.h"

static const char *const banned[] = {"exit", "_exit", "_Exit", "quick_exit", "abort", "fork",
    "vfork", "execve", "system", "popen", "signal", "sigaction", "setlocale", "setenv", "putenv",
    "unsetenv", "umask", "chdir", "fchdir", "setuid", "setgid", "setgroups", NULL};

/* The whole name, or what fits. */
static bool name_at(
    const struct elf_image *im, const ElfW(Shdr) * str, uint32_t at, char *buf, size_t cap)
{
	size_t i = 0;
	for (; i + 1 < cap; i++) {
		if ((uint64_t)at + i >= str->sh_size || str->sh_offset > im->n ||
		    !elf_take(im, str->sh_offset + at + i, &buf[i], 1))
			return false;
		if (buf[i] == '\0')
			return true;
	}
	buf[i] = '\0';
	return true;
}

static bool is_banned(const char *name)
{
	for (const char *const *b = banned; *b; b++)
		if (strcmp(*b, name) == 0)
			return true;
	return false;
}

static void look_at_symbol(const ElfW(Sym) * sym, const char *name, struct elf_facts *out)
{
	size_t n = strlen(name) + 1;
	if (name[0] == '\0')
		return;
	if (sym->st_shndx == SHN_UNDEF) {
		if (is_banned(name))
			memcpy(out->banned_import, name, n);
		return;
	}
	if (strncmp(name, "__odr_asan", 10) == 0)
		return; /* a sanitizer's, beside each symbol */
	out->exported++;
	if (strcmp(name, "heddle_driver_v1") != 0)
		memcpy(out->other_export, name, n);
}

static void look_at_symbols(
    const struct elf_image *im, const ElfW(Shdr) * dyn, struct elf_facts *out)
{
	ElfW(Shdr) str;
	if (!elf_section(im, dyn->sh_link, &str) || dyn->sh_offset > im->n)
		return;
	for (uint64_t i = 0; i < dyn->sh_size / sizeof(ElfW(Sym)) && i < ELF_SYMBOLS_MAX; i++) {
		ElfW(Sym) sym;
		char name[sizeof out->other_export];
		if (!elf_take(im, dyn->sh_offset + i * sizeof sym, &sym, sizeof sym))
			return;
		if (name_at(im, &str, sym.st_name, name, sizeof name))
			look_at_symbol(&sym, name, out);
	}
}

static void look_at_dynamic(
    const struct elf_image *im, const ElfW(Shdr) * sec, struct elf_facts *out)
{
	for (uint64_t i = 0; sec->sh_offset <= im->n && i < sec->sh_size / sizeof(ElfW(Dyn)); i++) {
		ElfW(Dyn) d;
		if (!elf_take(im, sec->sh_offset + i * sizeof d, &d, sizeof d) ||
		    d.d_tag == DT_NULL)
			return;
		if (d.d_tag == DT_RPATH || d.d_tag == DT_RUNPATH)
			out->rpath = true;
		else if (d.d_tag == DT_TEXTREL)
			out->textrel = true;
		else if (d.d_tag == DT_BIND_NOW)
			out->binds_now = true;
		else if (d.d_tag == DT_FLAGS) {
			out->textrel |= (d.d_un.d_val & DF_TEXTREL) != 0;
			out->binds_now |= (d.d_un.d_val & DF_BIND_NOW) != 0;
		} else if (d.d_tag == DT_FLAGS_1)
			out->binds_now |= (d.d_un.d_val & DF_1_NOW) != 0;
	}
}

static bool stack_is_executable(const struct elf_image *im)
{
	for (uint32_t i = 0; im->eh.e_phoff <= im->n && i < im->eh.e_phnum; i++) {
		ElfW(Phdr) ph;
		if (!elf_take(im, im->eh.e_phoff + (uint64_t)i * sizeof ph, &ph, sizeof ph))
			break;
		if (ph.p_type == PT_GNU_STACK)
			return (ph.p_flags & PF_X) != 0;
	}
	return true; /* without the mark the system makes it executable */
}

bool elf_facts(const void *bytes, size_t n, struct elf_facts *out)
{
	struct elf_image im = {.bytes = bytes, .n = n};
	if (!elf_take(&im, 0, &im.eh, sizeof im.eh) || memcmp(im.eh.e_ident, ELFMAG, SELFMAG) != 0)
		return false;
	*out = (struct elf_facts){.executable_stack = stack_is_executable(&im)};
	for (uint32_t s = 0; s < im.eh.e_shnum; s++) {
		ElfW(Shdr) sec;
		if (!elf_section(&im, s, &sec))
			return false;
		if (sec.sh_type == SHT_DYNSYM)
			look_at_symbols(&im, &sec, out);
		else if (sec.sh_type == SHT_DYNAMIC)
			look_at_dynamic(&im, &sec, out);
	}
	return true;
}
