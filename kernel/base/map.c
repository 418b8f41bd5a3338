/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Open addressing with linear probing in a table of a power of two, at most three quarters full;
 * each slot keeps its key's hash, so that growing does not hash again.  Removal moves the followers
 * up, there are no tombstones.
 *
 * hash_key is the one static of the kernel that is not const: written once (pthread_once), never
 * changed, and the same for all; passing it through every call that hashes would buy nothing.
 * SipHash-2-4: Aumasson and Bernstein, 2012.
 */
#include "base/map.h"

#include "base/codec.h"
#include "base/io.h"

#include <pthread.h>

struct slot {
	slice_t key;
	void *value;
	uint64_t hash;
	bool used;
};

struct map {
	struct arena *arena;
	struct slot *slots;
	size_t count, mask;
	enum map_case mode;
};

enum { FIRST_SLOTS = 8 };

/* ---- SipHash ----------------------------------------------------------------------------------
 */

static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;
static uint64_t hash_key[2];

static void hash_key_make(void)
{
	io_random(hash_key, sizeof hash_key);
}

static inline uint64_t rotl(uint64_t x, unsigned b)
{
	return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
}

/* ASCII capitals of eight bytes at once to small letters. */
static inline uint64_t fold8(uint64_t x)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	uint64_t low7 = x & ~high;
	uint64_t from_a = low7 + ones * (0x80 - 'A'), above_z = low7 + ones * (0x7f - 'Z');
	return x | ((from_a ^ above_z) & high & ~x) >> 2;
}

static inline uint64_t sip(uint64_t k0, uint64_t k1, slice_t s, bool fold)
{
	uint64_t v[4] = {
	    k0 ^ UINT64_C(0x736f6d6570736575),
	    k1 ^ UINT64_C(0x646f72616e646f6d),
	    k0 ^ UINT64_C(0x6c7967656e657261),
	    k1 ^ UINT64_C(0x7465646279746573),
	};
	size_t whole = s.len & ~(size_t)7;
	for (size_t i = 0; i < whole; i += 8) {
		uint64_t m = get_le64(s.ptr + i);
		sip_word(v, fold ? fold8(m) : m);
	}
	uint8_t tail[8] = {0};
	for (size_t i = whole; i < s.len; i++)
		tail[i - whole] = (uint8_t)s.ptr[i];
	uint64_t last = get_le64(tail);
	if (fold)
		last = fold8(last);
	sip_word(v, last | (uint64_t)s.len << 56);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_siphash(uint64_t k0, uint64_t k1, slice_t s)
{
	return sip(k0, k1, s, false);
}

uint64_t hash_bytes(slice_t s)
{
	MUST(pthread_once(&hash_key_once, hash_key_make) == 0);
	return sip(hash_key[0], hash_key[1], s, false);
}

uint64_t hash_nocase(slice_t s)
{
	MUST(pthread_once(&hash_key_once, hash_key_make) == 0);
	return sip(hash_key[0], hash_key[1], s, true);
}

/* ---- the map ----------------------------------------------------------------------------------
 */

struct map *map_new(struct arena *a, enum map_case mode)
{
	struct map *m = ARENA_NEW(a, struct map);
	m->arena = a;
	m->mode = mode;
	return m;
}

static uint64_t key_hash(const struct map *m, slice_t key)
{
	return m->mode == MAP_NOCASE ? hash_nocase(key) : hash_bytes(key);
}

/* The slot of this key, or the free one where it would go.  There always is a free one. */
static struct slot *locate(const struct map *m, slice_t key, uint64_t hash)
{
	for (size_t i = (size_t)hash & m->mask;; i = (i + 1) & m->mask) {
		struct slot *s = &m->slots[i];
		if (!s->used)
			return s;
		if (s->hash != hash)
			continue;
		if (m->mode == MAP_NOCASE ? slice_eqi(s->key, key) : slice_eq(s->key, key))
			return s;
	}
}

static void grow(struct map *m)
{
	struct slot *old = m->slots;
	size_t old_slots = old ? m->mask + 1 : 0;
	size_t slots = old ? arena_times(old_slots, 2) : FIRST_SLOTS;
	m->slots = ARENA_ARRAY(m->arena, struct slot, slots);
	m->mask = slots - 1;
	for (size_t i = 0; i < old_slots; i++) {
		if (!old[i].used)
			continue;
		size_t at = (size_t)old[i].hash & m->mask;
		while (m->slots[at].used)
			at = (at + 1) & m->mask;
		m->slots[at] = old[i];
	}
}

void *map_put(struct map *m, slice_t key, void *value)
{
	uint64_t hash = key_hash(m, key);
	if (m->slots) {
		struct slot *s = locate(m, key, hash);
		if (s->used) {
			void *old = s->value;
			s->value = value;
			return old;
		}
	}
	if (!m->slots || m->count >= (m->mask + 1) / 4 * 3)
		grow(m);
	struct slot *s = locate(m, key, hash);
	*s = (struct slot){key, value, hash, true};
	m->count++;
	return NULL;
}

void *map_get(const struct map *m, slice_t key)
{
	if (m->count == 0)
		return NULL;
	const struct slot *s = locate(m, key, key_hash(m, key));
	return s->used ? s->value : NULL;
}

void *map_remove(struct map *m, slice_t key)
{
	if (m->count == 0)
		return NULL;
	struct slot *hole = locate(m, key, key_hash(m, key));
	if (!hole->used)
		return NULL;
	void *old = hole->value;
	/* A follower moves into the hole unless that would put it before its own place. */
	size_t at = (size_t)(hole - m->slots);
	for (size_t i = (at + 1) & m->mask; m->slots[i].used; i = (i + 1) & m->mask) {
		size_t home = (size_t)m->slots[i].hash & m->mask;
		if (((i - home) & m->mask) >= ((i - at) & m->mask)) {
			m->slots[at] = m->slots[i];
			at = i;
		}
	}
	m->slots[at] = (struct slot){0};
	m->count--;
	return old;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, size_t *pos, slice_t *out_key, void **out_value)
{
	if (!m->slots)
		return false;
	while (*pos <= m->mask) {
		const struct slot *s = &m->slots[(*pos)++];
		if (s->used) {
			*out_key = s->key;
			*out_value = s->value;
			return true;
		}
	}
	return false;
}
