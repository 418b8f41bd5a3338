/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tests/abi/broken: drivers with one thing wrong each.  A source includes this, overrides what it
 * wants to be wrong and defines DRIVER last; the file's name without ".c" is the driver's name.
 */
#ifndef HEDDLE_TESTS_ABI_BROKEN_H
#define HEDDLE_TESTS_ABI_BROKEN_H
#include <heddle/lookup.h>
#include <heddle/router.h>

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	(void)call, (void)host, (void)state, (void)cfg;
	*out = NULL;
	return HEDDLE_OK;
}
static void instance_free(void *inst)
{
	(void)inst;
}
__attribute__((unused)) static int32_t find(struct heddle_call *call, void *inst, void *handle,
    struct heddle_slice key, struct heddle_slice options, struct heddle_found *out)
{
	(void)call, (void)inst, (void)handle, (void)options;
	out->value = key;
	return HEDDLE_OK;
}
__attribute__((unused)) static const struct heddle_lookup_ops good_ops = {
    .struct_size = sizeof good_ops, .kind = HEDDLE_L_QUERY, .find = find};

#ifndef MAGIC
#define MAGIC HEDDLE_MAGIC
#endif
#ifndef HEAD_SIZE
#define HEAD_SIZE HEDDLE_HEAD_SIZE
#endif
#ifndef STRUCT_SIZE
#define STRUCT_SIZE sizeof(struct heddle_driver)
#endif
#ifndef MAJOR
#define MAJOR HEDDLE_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR HEDDLE_ABI_TARGET
#endif
#ifndef CLASS
#define CLASS HEDDLE_LOOKUP
#endif
#ifndef FLAGS
#define FLAGS 0
#endif
#ifndef ALIASES
#define ALIASES ""
#endif
#ifndef OPS
#define OPS &good_ops
#endif
#ifndef LOAD
#define LOAD NULL
#endif
#ifndef UNLOAD
#define UNLOAD NULL
#endif
#ifndef SYMBOL
#define SYMBOL heddle_driver_v1
#endif
#define DRIVER_WITH(its_name, table, count, size)            \
	extern const struct heddle_driver SYMBOL;            \
	__attribute__((visibility("default")))               \
	const struct heddle_driver SYMBOL = {.magic = MAGIC, \
	    .head_size = HEAD_SIZE,                          \
	    .struct_size = STRUCT_SIZE,                      \
	    .abi_major = MAJOR,                              \
	    .abi_minor = MINOR,                              \
	    .driver_class = CLASS,                           \
	    .flags = FLAGS,                                  \
	    .name = its_name,                                \
	    .aliases = ALIASES,                              \
	    .version = "1.0",                                \
	    .licence = "MIT",                                \
	    .author = "tests",                               \
	    .summary = "for tests",                          \
	    .options = table,                                \
	    .option_count = count,                           \
	    .option_size = size,                             \
	    .ops = OPS,                                      \
	    .load = LOAD,                                    \
	    .unload = UNLOAD,                                \
	    .instance_new = instance_new,                    \
	    .instance_free = instance_free}
#define DRIVER(its_name) DRIVER_WITH(its_name, NULL, 0, 0)
#define DRIVER_OPTIONS(its_name) \
	DRIVER_WITH(its_name, table, sizeof table / sizeof *table, sizeof *table)
#endif
