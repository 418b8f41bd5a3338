/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a file lookup driver, whose source is included before this, on foreign bytes: the first line
 * is the key, the rest the file. */
#include "base/arena.h"
#include "base/io.h"
#include "expand/expand.h"

#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heddle_call {
	struct arena *arena;
};

static int32_t host_join(struct heddle_call *c, const slice_t *parts, uint32_t count, slice_t *out)
{
	MUST(count == 1);
	*out = arena_dup(c->arena, parts[0]);
	return HEDDLE_OK;
}
static int32_t host_cstr(struct heddle_call *c, slice_t s, const char **out)
{
	if (s.len && memchr(s.ptr, '\0', s.len))
		return HEDDLE_FAIL;
	*out = arena_cstr(c->arena, s);
	return HEDDLE_OK;
}
static void host_reason(struct heddle_call *c, int32_t smtp, slice_t shown, slice_t logged)
{
	(void)c, (void)smtp, (void)shown;
	MUST(logged.len);
}
static void host_block(struct heddle_call *c)
{
	(void)c;
}
/* nothing is expanded here, and no other lookup is there */
static int32_t host_compile(
    struct heddle_call *c, slice_t text, uint64_t forbid, struct heddle_expr **out)
{
	(void)c, (void)text, (void)forbid, (void)out;
	return HEDDLE_ERROR;
}
static int32_t host_lookup(
    struct heddle_call *c, slice_t type, slice_t source, slice_t text, slice_t *out)
{
	(void)c, (void)text, (void)out;
	MUST(type.len < (1U << 20) && source.len < (1U << 20));
	return HEDDLE_FAIL;
}
static int64_t host_time_left(struct heddle_call *c)
{
	(void)c;
	return 1000;
}
static int32_t host_item(struct heddle_call *c, slice_t list, uint64_t *pos, slice_t *out)
{
	return expand_list_next(c->arena, list, pos, out) ? HEDDLE_OK : HEDDLE_FAIL;
}

static const struct heddle_host host = {.struct_size = sizeof host,
    .join = host_join,
    .cstr = host_cstr,
    .reason = host_reason,
    .block_begin = host_block,
    .block_end = host_block,
    .time_left = host_time_left,
    .compile = host_compile,
    .lookup = host_lookup,
    .item = host_item};

static void ask(struct heddle_call *c, void *inst, slice_t path, slice_t key)
{
	void *handle = NULL;
	struct heddle_found found = {.struct_size = sizeof found};
	if (ops.open(c, inst, path, &handle) != HEDDLE_OK)
		return;
	for (int i = 0; i < 2; i++) {
		slice_t options = i ? SL("ret=full") : SL("");
		int32_t rc = ops.find(c, inst, handle, key, options, &found);
		MUST(rc == HEDDLE_OK || rc == HEDDLE_FAIL || rc == HEDDLE_DEFER);
		if (rc == HEDDLE_OK)
			MUST(found.value.len == 0 || found.value.ptr);
	}
	ops.close(inst, handle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	slice_t text = slice_tainted(data, size);
	size_t nl = slice_find(text, '\n');
	if (size > (1U << 20) || nl == SIZE_MAX || nl == 0)
		return 0;
	struct heddle_call c = {.arena = arena_new(0)};
	void *inst = NULL;
	int fd = io_sealed_memfd("fuzz", slice_sub(text, nl + 1, size));
	MUST(fd >= 0);
	MUST(heddle_driver_v1.instance_new(&c, &host, NULL, NULL, &inst) == HEDDLE_OK);
	slice_t path = arena_printf(c.arena, "/proc/self/fd/%d", fd);
	ask(&c, inst, path, slice_sub(text, 0, nl));
#ifdef LOOKUP_NEXT_KIND /* a driver of several names is asked under each */
	while (LOOKUP_NEXT_KIND(inst))
		ask(&c, inst, path, slice_sub(text, 0, nl));
#endif
	heddle_driver_v1.instance_free(inst);
	(void)close(fd);
	arena_free(&c.arena);
	return 0;
}
