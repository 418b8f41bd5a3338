/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/vec.h"

void *vec_push(struct arena *a, struct vec *v, size_t size)
{
	if (v->count == v->cap) {
		size_t cap = v->cap ? arena_times(v->cap, 2) : 8;
		size_t bytes = arena_times(cap, size), had = v->cap * size;
		void *items = arena_extend(a, v->items, had, bytes);
		if (!items) {
			items = arena_alloc(a, bytes);
			if (had)
				memcpy(items, v->items, had);
		}
		v->items = items;
		v->cap = cap;
	}
	char *slot = (char *)v->items + v->count++ * size;
	memset(slot, 0, size);
	return slot;
}
