/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/vec.h"

#include "lib/tap.h"

struct item {
	uint64_t number;
	char pad[21];
};

TEST(empty_is_not_walked)
{
	struct vec v = {0};
	int seen = 0;
	VEC_FOREACH(&v, struct item, it)
	seen++;
	CHECK_EQ_INT(seen, 0);
}

TEST(push_zeroes_and_keeps)
{
	struct arena *a = arena_new(0);
	struct vec v = {0};
	bool zeroed = true;
	for (size_t i = 0; i < 5000; i++) {
		struct item *it = VEC_PUSH(a, &v, struct item);
		zeroed = zeroed && it->number == 0 && it->pad[20] == 0;
		memset(it, 0xff, sizeof *it);
		it->number = i;
		if (i % 3 == 0) /* so that some growths are in place and some are not */
			memset(arena_bytes(a, 1), 0xee, 1);
	}
	CHECK(zeroed);
	CHECK_EQ_INT(v.count, 5000);
	uint64_t want = 0;
	bool right = true;
	VEC_FOREACH(&v, struct item, it)
	right = right && it->number == want++;
	CHECK(right);
	CHECK_EQ_INT(want, 5000);
	CHECK_EQ_INT(VEC_AT(&v, struct item, 4999)->number, 4999);
	arena_free(&a);
}

TEST(used_again)
{
	struct arena *a = arena_new(0);
	struct vec v = {0};
	*VEC_PUSH(a, &v, int) = 5;
	v.count = 0;
	CHECK_EQ_INT(*VEC_PUSH(a, &v, int), 0);
	arena_free(&a);
}

TAP_MAIN()
