/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/radix.h"

struct node {
	struct node *child[2];
	uint32_t number; /* RADIX_NONE: only a fork */
	uint8_t bits;    /* how many bits of key count */
	uint8_t key[16];
};

struct radix {
	struct arena *arena;
	struct node *v4, *v6;
};

struct radix *radix_new(struct arena *a)
{
	struct radix *r = ARENA_NEW(a, struct radix);
	r->arena = a;
	return r;
}

static unsigned bit_at(const uint8_t *key, unsigned i)
{
	return (unsigned)(key[i / 8] >> (7 - i % 8)) & 1U;
}

/* How many leading bits agree, at most max. */
static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned max)
{
	unsigned n = 0;
	while (n + 8 <= max && a[n / 8] == b[n / 8])
		n += 8;
	while (n < max && bit_at(a, n) == bit_at(b, n))
		n++;
	return n;
}

static struct node *node_new(struct radix *r, const uint8_t *key, unsigned bits, uint32_t number)
{
	struct node *n = ARENA_NEW(r->arena, struct node);
	memcpy(n->key, key, sizeof n->key);
	n->bits = (uint8_t)bits;
	n->number = number;
	return n;
}

void radix_add(struct radix *r, const struct net_cidr *net, uint32_t number)
{
	struct node **at = net->net.family == AF_INET ? &r->v4 : &r->v6;
	const uint8_t *key = net->net.bytes;
	for (;;) {
		struct node *n = *at;
		if (!n) {
			*at = node_new(r, key, net->bits, number);
			return;
		}
		unsigned least = n->bits < net->bits ? n->bits : net->bits;
		unsigned same = common_bits(n->key, key, least);
		if (same == n->bits && same == net->bits) {
			if (number < n->number)
				n->number = number;
			return;
		}
		if (same <
		    n->bits) { /* n goes below a new node, which is the network itself or a fork */
			bool is_net = same == net->bits;
			struct node *up = node_new(r, key, same, is_net ? number : RADIX_NONE);
			up->child[bit_at(n->key, same)] = n;
			*at = up;
			if (is_net)
				return;
			at = &up->child[bit_at(key, same)];
		} else {
			at = &n->child[bit_at(key, same)];
		}
	}
}

uint32_t radix_lowest(const struct radix *r, const struct net_addr *addr)
{
	if (addr->family != AF_INET && addr->family != AF_INET6)
		return RADIX_NONE;
	unsigned all = addr->family == AF_INET ? 32 : 128;
	uint32_t best = RADIX_NONE;
	for (const struct node *n = all == 32 ? r->v4 : r->v6; n;) {
		if (common_bits(n->key, addr->bytes, n->bits) < n->bits)
			break;
		if (n->number < best)
			best = n->number;
		if (n->bits >= all)
			break;
		n = n->child[bit_at(addr->bytes, n->bits)];
	}
	return best;
}
