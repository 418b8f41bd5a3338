/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/strbuf.h"

#include "lib/tap.h"

static slice_t part(const char *text, uint16_t flags, uint16_t quoter)
{
	slice_t s = slice_of(text, strlen(text), flags);
	s.quoter = quoter;
	return s;
}

TEST(empty)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	slice_t s = strbuf_slice(&sb);
	CHECK(s.len == 0 && s.ptr && s.flags == HEDDLE_CLEAN);
	CHECK_EQ_STR(slice_cstr(strbuf_cstr(&sb)), "");
	strbuf_add(&sb, slice_absent());
	strbuf_text(&sb, "");
	strbuf_printf(&sb, "%s", "");
	CHECK_EQ_INT(strbuf_slice(&sb).len, 0);
	arena_free(&a);
}

TEST(all_ways_to_add)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_text(&sb, "a");
	strbuf_char(&sb, 'b');
	strbuf_add(&sb, SL("cd"));
	strbuf_printf(&sb, "%03d", 7);
	CHECK_EQ_STR(strbuf_slice(&sb), "abcd007");
	CHECK(slice_is_clean(strbuf_slice(&sb)));
	CHECK_EQ_STR(slice_cstr(strbuf_cstr(&sb)), "abcd007");
	slice_t before = strbuf_slice(&sb);
	strbuf_char(&sb, 'x');
	CHECK_EQ_STR(before, "abcd007");
	strbuf_reset(&sb);
	strbuf_text(&sb, "new");
	CHECK_EQ_STR(before, "abcd007");
	CHECK_EQ_STR(strbuf_slice(&sb), "new");
	arena_free(&a);
}

TEST(taint_joins)
{
	enum { C = HEDDLE_CLEAN, S = HEDDLE_SECRET };
	static const struct {
		uint16_t flags[3], quoter[3];
		uint16_t want_flags, want_quoter;
	} rows[] = {
	    {{C, C, C}, {0}, C, 0},
	    {{C, 0, C}, {0, 3, 0}, 0, 3},
	    {{0, 0, 0}, {3, 3, 3}, 0, 3},
	    {{0, 0, 0}, {3, 4, 3}, 0, 0},
	    {{0, 0, 0}, {3, 0, 3}, 0, 0},
	    {{0, C, 0}, {0, 0, 3}, 0, 0},
	    {{C, C | S, C}, {0}, C | S, 0},
	    {{S, C, 0}, {0}, S, 0},
	    {{C, S, C}, {0, 5, 0}, S, 5},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct strbuf sb;
		strbuf_init(&sb, a, 0);
		for (int p = 0; p < 3; p++)
			strbuf_add(&sb, part("x", rows[i].flags[p], rows[i].quoter[p]));
		slice_t s = strbuf_slice(&sb);
		CHECK_EQ_INT(s.flags, rows[i].want_flags);
		CHECK_EQ_INT(s.quoter, rows[i].want_quoter);
	}
	/* an empty part says nothing, our own text does not disturb a quoter */
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_add(&sb, part("", 0, 0));
	CHECK(slice_is_clean(strbuf_slice(&sb)));
	strbuf_add(&sb, part("q", 0, 8));
	strbuf_text(&sb, "ours");
	strbuf_char(&sb, '!');
	strbuf_printf(&sb, "%d", 1);
	CHECK_EQ_INT(strbuf_slice(&sb).quoter, 8);
	CHECK(!slice_is_clean(strbuf_slice(&sb)));
	strbuf_reset(&sb);
	CHECK(slice_is_clean(strbuf_slice(&sb)) && strbuf_slice(&sb).quoter == 0);
	arena_free(&a);
}

TEST(a_full_one_sticks)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;
	strbuf_init(&sb, a, 5);
	strbuf_text(&sb, "12345");
	CHECK(!strbuf_is_overfull(&sb));
	CHECK_EQ_STR(slice_cstr(strbuf_cstr(&sb)), "12345");
	strbuf_char(&sb, '6');
	CHECK(strbuf_is_overfull(&sb));
	CHECK_EQ_STR(strbuf_slice(&sb), "12345");
	strbuf_reset(&sb);
	CHECK(!strbuf_is_overfull(&sb));
	strbuf_text(&sb, "123456");
	strbuf_text(&sb, "1"); /* would fit, but there is a hole before it */
	strbuf_printf(&sb, "%d", 1);
	CHECK(strbuf_is_overfull(&sb));
	CHECK_EQ_INT(strbuf_slice(&sb).len, 0);
	arena_free(&a);
}

TEST(grows_over_other_allocations)
{
	struct arena *a = arena_new(0);
	struct strbuf one, two;
	strbuf_init(&one, a, 0);
	strbuf_init(&two, a, 0);
	for (int i = 0; i < 20000; i++) {
		strbuf_char(&one, (char)('a' + i % 26));
		strbuf_printf(&two, "%c", 'A' + i % 26);
	}
	slice_t x = strbuf_slice(&one), y = strbuf_slice(&two);
	CHECK_EQ_INT(x.len, 20000);
	CHECK(slice_eqi(x, y) && !slice_eq(x, y));
	/* a part of itself, over its own growth */
	for (int i = 0; i < 4; i++)
		strbuf_add(&one, strbuf_slice(&one));
	CHECK_EQ_INT(strbuf_slice(&one).len, 320000);
	CHECK(slice_eq(slice_sub(strbuf_slice(&one), 300000, 20000), x));
	char big[1000];
	memset(big, 'z', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	strbuf_reset(&two);
	strbuf_printf(&two, "<%s>", big);
	CHECK_EQ_INT(strbuf_slice(&two).len, 1001);
	CHECK(strbuf_slice(&two).ptr[1000] == '>');
	arena_free(&a);
}

TAP_MAIN()
