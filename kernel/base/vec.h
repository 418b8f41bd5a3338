/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * base/vec: a growing array on an arena.
 *	struct vec v = {0}; struct item *it = VEC_PUSH(arena, &v, struct item);   // zeroed
 *	VEC_AT(&v, struct item, i)   VEC_FOREACH(&v, struct item, it) { ... }
 */
#ifndef HEDDLE_BASE_VEC_H
#define HEDDLE_BASE_VEC_H
#include "base/arena.h"

struct vec {
	void *items;
	size_t count, cap;
};
/* A new zeroed element of `size` bytes at the end.  Earlier pointers into the array become stale.
 */
void *vec_push(struct arena *a, struct vec *v, size_t size);
#define VEC_PUSH(a, v, type) ((type *)vec_push((a), (v), sizeof(type)))
#define VEC_AT(v, type, i)   (&((type *)(v)->items)[i])
#define VEC_FOREACH(v, type, it) \
	for (type *it = (v)->items; (v)->count && it < (type *)(v)->items + (v)->count; it++)
#endif
