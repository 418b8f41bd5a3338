/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * base/arena: memory that is freed all at once.  The first parameter of what allocates says where
 * the result lives. Owns: its blocks.  Threads: one arena, one thread at a time.  Out of memory:
 * the process dies (the queue is durable, master restarts us); sizes that a peer chooses are
 * checked against limits before they come here. Under ASan freed ranges are poisoned;
 * -DARENA_MALLOC makes each allocation a malloc of its own.
 */
#ifndef HEDDLE_BASE_ARENA_H
#define HEDDLE_BASE_ARENA_H
#include "base/slice.h"

struct arena;

/* first: size of the first block in bytes, 0 for the default (4 KiB); later blocks double up to 256
 * KiB. */
struct arena *arena_new(size_t first);
/* Free *a and null it; NULL is fine. */
void arena_free(struct arena **a);
/* Forget everything, keep one block of at most 64 KiB: a steady state allocates nothing. */
void arena_reset(struct arena *a);
/* Zeroed, aligned for anything; never NULL. */
void *arena_alloc(struct arena *a, size_t size)
    __attribute__((returns_nonnull, malloc, alloc_size(2)));
/* Not zeroed, aligned to 1: for bytes. */
char *arena_bytes(struct arena *a, size_t size)
    __attribute__((returns_nonnull, malloc, alloc_size(2)));
#define ARENA_NEW(a, type)      ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc((a), arena_times((n), sizeof(type))))
size_t arena_times(size_t n, size_t size); /* dies on overflow */
/* Grow the newest allocation where it lies, from `old` to `size` bytes; NULL: it cannot, allocate
 * anew.  Not zeroed. Go on with the answer, not with p, although they are equal: the compiler
 * believes that p still has its first size. */
MUST_USE void *arena_extend(struct arena *a, void *p, size_t old, size_t size);
/* Wipe with zeros what is given up until the next reset; copying a SECRET slice into the arena does
 * this by itself. */
void arena_wipes(struct arena *a);
/* Copy; keeps the flags.  An ABSENT slice stays ABSENT. */
slice_t arena_dup(struct arena *a, slice_t s);
/* NUL-terminated copy; a NUL inside stays as it is. */
char *arena_cstr(struct arena *a, slice_t s);
/* Formatted text, flagged CLEAN: only for formats whose arguments are ours; else clear the flag. */
slice_t arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
slice_t arena_vprintf(struct arena *a, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Bytes handed out since new or reset. */
size_t arena_used(const struct arena *a);

/* Call fn(arg) when the arena is freed or reset, or a frame that began before this call is
 * released; last in, first out. For what an arena's object holds outside of it: a descriptor, JIT
 * memory, a lock. */
void arena_on_free(struct arena *a, void (*fn)(void *arg), void *arg);

/* Frames: what was allocated after the mark is gone after the release. */
struct arena_mark {
	void *block;
	size_t used, total;
	void *cleanup;
};
struct arena_mark arena_mark(struct arena *a);
void arena_release(struct arena *a, struct arena_mark m);
#endif
