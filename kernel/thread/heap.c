/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "thread/heap.h"

#include <stdlib.h>

static void place(struct heap *h, struct heap_node *n, size_t i)
{
	h->nodes[i] = n;
	n->pos = i + 1;
}

static void sift_up(struct heap *h, struct heap_node *n, size_t i)
{
	while (i > 0) {
		size_t up = (i - 1) / 2;
		if (h->nodes[up]->at <= n->at)
			break;
		place(h, h->nodes[up], i);
		i = up;
	}
	place(h, n, i);
}

static void sift_down(struct heap *h, struct heap_node *n, size_t i)
{
	for (;;) {
		size_t kid = 2 * i + 1;
		if (kid >= h->count)
			break;
		if (kid + 1 < h->count && h->nodes[kid + 1]->at < h->nodes[kid]->at)
			kid++;
		if (n->at <= h->nodes[kid]->at)
			break;
		place(h, h->nodes[kid], i);
		i = kid;
	}
	place(h, n, i);
}

static void settle(struct heap *h, struct heap_node *n, size_t i)
{
	if (i > 0 && n->at < h->nodes[(i - 1) / 2]->at)
		sift_up(h, n, i);
	else
		sift_down(h, n, i);
}

void heap_fini(struct heap *h)
{
	free(h->nodes);
	*h = (struct heap){0};
}

void heap_set(struct heap *h, struct heap_node *n, int64_t at)
{
	n->at = at;
	if (n->pos) {
		settle(h, n, n->pos - 1);
		return;
	}
	if (h->count == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 64;
		struct heap_node **nodes = reallocarray(h->nodes, cap, sizeof(*nodes));
		MUST(nodes != NULL);
		h->nodes = nodes;
		h->cap = cap;
	}
	sift_up(h, n, h->count++);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
	if (n->pos == 0)
		return;
	size_t i = n->pos - 1;
	struct heap_node *last = h->nodes[--h->count];
	n->pos = 0;
	if (last != n)
		settle(h, last, i);
}
