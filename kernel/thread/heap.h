/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/heap: nodes ordered by time, earliest first; add, move and remove in log n.
 * Owns: its array, not the nodes.  Threads: the caller locks.
 */
#ifndef HEDDLE_THREAD_HEAP_H
#define HEDDLE_THREAD_HEAP_H
#include "base/result.h"

struct heap_node {
	int64_t at;
	size_t pos; /* 1 + index; 0: in no heap */
};
struct heap {
	struct heap_node **nodes;
	size_t count, cap;
};

void heap_fini(struct heap *h);
/* Put n at time `at`, or move it there. */
void heap_set(struct heap *h, struct heap_node *n, int64_t at);
/* Nothing happens when it is in no heap. */
void heap_remove(struct heap *h, struct heap_node *n);
static inline struct heap_node *heap_first(const struct heap *h)
{
	return h->count ? h->nodes[0] : NULL;
}
#define HEAP_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#endif
