/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/head: the first 320 bytes of heddle_driver_v1, taken from the file's bytes before any code
 * of it runs. The symbol is found in .dynsym, its address is turned into a place in the file by the
 * loadable segments.  Every offset and count comes from the file and is checked against its length;
 * nothing is read in place that may be misaligned. Source: System V ABI, chapters 4 and 5 (ELF).
 */
#include "driver/loader_parts.h"

#include "base/io.h"
#include "driver/elf_image.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define SYMBOL        "heddle_driver_v1"
#define SYMBOL_PREFIX "heddle_driver_v"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif
#if UINTPTR_MAX == UINT64_MAX
#define NATIVE_CLASS ELFCLASS64
#else
#define NATIVE_CLASS ELFCLASS32
#endif

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#elif defined(__i386__)
#define NATIVE_MACHINE EM_386
#elif defined(__arm__)
#define NATIVE_MACHINE EM_ARM
#elif defined(__riscv)
#define NATIVE_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define NATIVE_MACHINE EM_PPC64
#elif defined(__s390__)
#define NATIVE_MACHINE EM_S390
#else
#define NATIVE_MACHINE EM_NONE /* not known here: dlopen will see to it */
#endif

static const struct machine {
	unsigned em;
	const char *name;
} machines[] = {
    {EM_X86_64, "x86-64"},
    {EM_AARCH64, "aarch64"},
    {EM_386, "i386"},
    {EM_ARM, "arm"},
    {EM_RISCV, "riscv"},
    {EM_PPC64, "ppc64"},
    {EM_S390, "s390"},
};

static const char *machine_name(unsigned em)
{
	for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
		if (machines[i].em == em)
			return machines[i].name;
	return em == EM_NONE ? "this machine" : "an unknown machine";
}

static enum rc check_ident(const struct elf_image *im, struct error *err)
{
	const unsigned char *id = im->eh.e_ident;
	if (memcmp(id, ELFMAG, SELFMAG) != 0 || im->eh.e_type != ET_DYN)
		return error_set(err, RC_ERROR, "is not an ELF shared object");
	bool machine_fits = NATIVE_MACHINE == EM_NONE || im->eh.e_machine == NATIVE_MACHINE;
	if (!machine_fits || id[EI_CLASS] != NATIVE_CLASS || id[EI_DATA] != NATIVE_DATA)
		return error_set(err, RC_ERROR, "is ELF for %s%s%s, wanted %s",
		    machine_name(im->eh.e_machine),
		    id[EI_CLASS] != NATIVE_CLASS ? " with another word size" : "",
		    id[EI_DATA] != NATIVE_DATA ? " with another byte order" : "",
		    machine_name(NATIVE_MACHINE));
	return RC_OK;
}

/* The string at `at` of a string table, if it begins with the prefix of our symbols; it may be cut
 * to the buffer. */
static bool symbol_name(
    const struct elf_image *im, const ElfW(Shdr) * str, uint32_t at, char *buf, size_t cap)
{
	size_t i = 0;
	for (; i + 1 < cap; i++) {
		if ((uint64_t)at + i >= str->sh_size || str->sh_offset > im->n ||
		    !elf_take(im, str->sh_offset + at + i, &buf[i], 1))
			return false;
		if (buf[i] == '\0')
			break;
		if (i < sizeof SYMBOL_PREFIX - 1 && buf[i] != SYMBOL_PREFIX[i])
			return false;
	}
	buf[i] = '\0';
	return i >= sizeof SYMBOL_PREFIX - 1;
}

/* `others`: further heddle_driver_ names that were met. */
static bool find_symbol(
    const struct elf_image *im, ElfW(Sym) * out, char *others, size_t others_cap)
{
	others[0] = '\0';
	for (uint32_t s = 0; s < im->eh.e_shnum; s++) {
		ElfW(Shdr) dyn, str;
		if (!elf_section(im, s, &dyn) || dyn.sh_type != SHT_DYNSYM)
			continue;
		if (!elf_section(im, dyn.sh_link, &str) || dyn.sh_offset > im->n)
			return false;
		uint64_t count = dyn.sh_size / sizeof *out;
		for (uint64_t i = 0; i < count && i < ELF_SYMBOLS_MAX; i++) {
			ElfW(Sym) sym;
			char name[40];
			if (!elf_take(im, dyn.sh_offset + i * sizeof sym, &sym, sizeof sym))
				return false;
			if (sym.st_shndx == SHN_UNDEF ||
			    !symbol_name(im, &str, sym.st_name, name, sizeof name))
				continue;
			if (strcmp(name, SYMBOL) == 0) {
				*out = sym;
				return true;
			}
			if (!others[0])
				(void)snprintf(others, others_cap, "%s", name);
		}
		return false;
	}
	return false;
}

static bool read_at_address(const struct elf_image *im, uint64_t address, void *out, size_t n)
{
	if (im->eh.e_phentsize != sizeof(ElfW(Phdr)) || im->eh.e_phoff > im->n)
		return false;
	for (uint32_t i = 0; i < im->eh.e_phnum; i++) {
		ElfW(Phdr) ph;
		if (!elf_take(im, im->eh.e_phoff + (uint64_t)i * sizeof ph, &ph, sizeof ph))
			return false;
		if (ph.p_type != PT_LOAD || address < ph.p_vaddr ||
		    address - ph.p_vaddr > ph.p_filesz || n > ph.p_filesz - (address - ph.p_vaddr))
			continue;
		return ph.p_offset <= im->n &&
		       elf_take(im, ph.p_offset + (address - ph.p_vaddr), out, n);
	}
	return false;
}

static enum rc missing_symbol(const char *others, struct error *err)
{
	const char *digits = others + sizeof SYMBOL_PREFIX - 1;
	if (others[0] && strspn(digits, "0123456789") == strlen(digits) && *digits)
		return error_set(err, RC_ERROR,
		    "exports no " SYMBOL " (found: %s): built for ABI major %s, wanted %d", others,
		    digits, HEDDLE_ABI_MAJOR);
	return error_set(err, RC_ERROR, "exports no " SYMBOL " (found: none): not a Heddle driver");
}

enum rc driver_head_from_elf(
    const void *bytes, size_t n, struct heddle_driver *out_head, struct error *err)
{
	struct elf_image im = {.bytes = bytes, .n = n};
	ElfW(Sym) sym = {.st_name = 0};
	char others[40];
	if (!elf_take(&im, 0, &im.eh, sizeof im.eh))
		return error_set(err, RC_ERROR, "is not an ELF shared object");
	enum rc rc = check_ident(&im, err);
	if (rc != RC_OK)
		return rc;
	if (!find_symbol(&im, &sym, others, sizeof others))
		return missing_symbol(others, err);
	struct heddle_driver head = {.head_size = 0};
	size_t have = sym.st_size < HEDDLE_HEAD_SIZE ? (size_t)sym.st_size : HEDDLE_HEAD_SIZE;
	if (have < offsetof(struct heddle_driver, struct_size) ||
	    !read_at_address(&im, sym.st_value, &head, have))
		return error_set(err, RC_ERROR,
		    "its " SYMBOL " is not in the file, wanted %d bytes of data", HEDDLE_HEAD_SIZE);
	if (memcmp(head.magic, HEDDLE_MAGIC, sizeof head.magic) != 0)
		return error_set(err, RC_ERROR, "bad magic");
	if (head.head_size != HEDDLE_HEAD_SIZE || have < HEDDLE_HEAD_SIZE)
		return error_set(err, RC_ERROR, "head of %lu bytes, wanted %d",
		    (unsigned long)(have < HEDDLE_HEAD_SIZE ? have : head.head_size),
		    HEDDLE_HEAD_SIZE);
	*out_head = head;
	return RC_OK;
}

enum rc driver_read_head(int fd, struct heddle_driver *out_head, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return error_errno(err, RC_ERROR, errno, "fstat");
	if (st.st_size < 0 || (uint64_t)st.st_size > DRIVER_FILE_MAX)
		return error_set(err, RC_ERROR, "is a file of %lld bytes, wanted at most %zu",
		    (long long)st.st_size, DRIVER_FILE_MAX);
	struct arena *a = arena_new(0);
	char *bytes = arena_bytes(a, (size_t)st.st_size + 1);
	ssize_t n = io_pread_full(fd, bytes, (size_t)st.st_size, 0);
	enum rc rc = n < 0 ? error_errno(err, RC_ERROR, errno, "cannot be read")
	                   : driver_head_from_elf(bytes, (size_t)n, out_head, err);
	arena_free(&a);
	return rc;
}
