/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/map.h"

#include "lib/tap.h"

#include <pthread.h>
#include <stdio.h>

/* The published vectors: key 00..0f, input 00, 01, .. of that length. */
TEST(siphash_vectors)
{
	static const struct {
		size_t len;
		uint64_t want;
	} rows[] = {{0, UINT64_C(0x726fdb47dd0e0e31)}, {1, UINT64_C(0x74f839c593dc67fd)},
	    {7, UINT64_C(0xab0200f58b01d137)}, {8, UINT64_C(0x93f5f5799a932462)},
	    {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)}};
	char in[64];
	for (int i = 0; i < 64; i++)
		in[i] = (char)i;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		CHECK_EQ_INT(hash_siphash(UINT64_C(0x0706050403020100),
		                 UINT64_C(0x0f0e0d0c0b0a0908), slice_tainted(in, rows[i].len)),
		    rows[i].want);
}

TEST(caseless_hash_folds_ascii_only)
{
	char upper[64], lower[64];
	for (size_t n = 0; n < 40; n++) {
		for (size_t i = 0; i < n; i++) {
			upper[i] = (char)('A' + i % 26);
			lower[i] = (char)('a' + i % 26);
		}
		CHECK(hash_nocase(slice_tainted(upper, n)) == hash_nocase(slice_tainted(lower, n)));
		CHECK(hash_nocase(slice_tainted(upper, n)) == hash_bytes(slice_tainted(lower, n)));
		CHECK(n == 0 ||
		      hash_bytes(slice_tainted(upper, n)) != hash_bytes(slice_tainted(lower, n)));
	}
	for (int c = 0; c < 256; c++) {
		char in[9], want[9];
		memset(in, c, 9);
		memset(want, ascii_lower((char)c), 9);
		CHECK(hash_nocase(slice_tainted(in, 9)) == hash_bytes(slice_tainted(want, 9)));
	}
}

static void *hash_one(void *out)
{
	*(uint64_t *)out = hash_bytes(SL("the same everywhere"));
	return NULL;
}

TEST(one_key_for_all_threads)
{
	pthread_t t[4];
	uint64_t got[4] = {0};
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, hash_one, &got[i]) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(got[i] == hash_bytes(SL("the same everywhere")));
}

TEST(put_get_replace_remove)
{
	struct arena *a = arena_new(0);
	struct map *m = map_new(a, MAP_EXACT);
	int one, two;
	CHECK(map_get(m, SL("x")) == NULL && map_remove(m, SL("x")) == NULL && map_count(m) == 0);
	CHECK(map_put(m, SL("x"), &one) == NULL);
	CHECK(map_get(m, SL("x")) == &one && map_get(m, SL("X")) == NULL);
	CHECK(map_put(m, SL("x"), &two) == &one);
	CHECK_EQ_INT(map_count(m), 1);
	CHECK(map_put(m, SL(""), &one) == NULL && map_get(m, slice_absent()) == &one);
	CHECK(map_put(m, SL("x\0y"), &one) == NULL && map_get(m, SL("x")) == &two);
	CHECK_EQ_INT(map_count(m), 3);
	CHECK(map_remove(m, SL("x")) == &two && map_remove(m, SL("x")) == NULL);
	CHECK(map_get(m, SL("x")) == NULL && map_get(m, SL("x\0y")) == &one);
	CHECK_EQ_INT(map_count(m), 2);
	arena_free(&a);
}

TEST(caseless)
{
	struct arena *a = arena_new(0);
	struct map *m = map_new(a, MAP_NOCASE);
	int v, w;
	CHECK(map_put(m, SL("Example.ORG"), &v) == NULL);
	CHECK(map_get(m, SL("eXAMPLE.org")) == &v && map_put(m, SL("example.org"), &w) == &v);
	CHECK(map_get(m, SL("example-org")) == NULL);
	CHECK(map_remove(m, SL("EXAMPLE.ORG")) == &w && map_count(m) == 0);
	arena_free(&a);
}

static slice_t key_of(struct arena *a, unsigned i)
{
	return arena_printf(a, "key-%u", i);
}

/* Against a plain array: whatever order of puts and removals, probe chains that wrap and close up.
 */
TEST(random_changes_agree_with_a_model)
{
	enum { KEYS = 700 };
	struct arena *a = arena_new(0);
	struct map *m = map_new(a, MAP_EXACT);
	static char values[2];
	void *model[KEYS] = {NULL};
	size_t count = 0;
	uint32_t seed = 12345;
	bool agree = true;
	for (int step = 0; step < 40000; step++) {
		seed = seed * 1664525 + 1013904223;
		unsigned k = (seed >> 8) % KEYS;
		/* grows first, then shrinks to almost nothing */
		bool put = (seed >> 28) < (step % 20000 < 10000 ? 11U : 4U);
		void *value = &values[seed >> 27 & 1], *old;
		if (put) {
			old = map_put(m, key_of(a, k), value);
			count += model[k] == NULL;
		} else {
			old = map_remove(m, key_of(a, k));
			count -= model[k] != NULL;
			value = NULL;
		}
		agree = agree && old == model[k] && map_count(m) == count;
		model[k] = value;
		if (step % 1000 == 0)
			for (unsigned i = 0; i < KEYS; i++)
				agree = agree && map_get(m, key_of(a, i)) == model[i];
	}
	CHECK(agree);
	size_t pos = 0, seen = 0;
	slice_t key;
	void *value;
	while (map_next(m, &pos, &key, &value)) {
		seen++;
		CHECK(map_get(m, key) == value);
	}
	CHECK_EQ_INT(seen, count);
	arena_free(&a);
}

TEST(walk_of_nothing)
{
	struct arena *a = arena_new(0);
	struct map *m = map_new(a, MAP_EXACT);
	size_t pos = 0;
	slice_t key;
	void *value;
	CHECK(!map_next(m, &pos, &key, &value));
	arena_free(&a);
}

TAP_MAIN()
