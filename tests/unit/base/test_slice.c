/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/slice.h"

#include "lib/tap.h"

static const slice_t zero;

TEST(zeroed_is_empty_and_tainted)
{
	CHECK_EQ_INT(zero.len, 0);
	CHECK(!slice_is_clean(zero));
	CHECK(!slice_is_absent(zero));
	CHECK(slice_is_clean(SL("x")));
	CHECK(slice_is_absent(slice_cstr(NULL)));
	CHECK(slice_is_absent(slice_absent()));
	CHECK(!slice_is_clean(slice_tainted("x", 1)));
}

TEST(sub_is_clipped_and_keeps_flags)
{
	static const struct {
		size_t from, n;
		const char *want;
	} rows[] = {{0, 5, "hello"}, {0, 0, ""}, {1, 3, "ell"}, {4, 99, "o"}, {5, 1, ""},
	    {6, 1, ""}, {SIZE_MAX, SIZE_MAX, ""}, {2, SIZE_MAX, "llo"}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		CHECK_EQ_STR(slice_sub(SL("hello"), rows[i].from, rows[i].n), rows[i].want);
	slice_t t = slice_tainted("abc", 3);
	t.quoter = 9;
	t.flags = HEDDLE_SECRET;
	t = slice_sub(t, 1, 1);
	CHECK_EQ_INT(t.quoter, 9);
	CHECK_EQ_INT(t.flags, HEDDLE_SECRET);
	CHECK_EQ_INT(slice_sub(zero, 1, 1).len, 0);
}

TEST(copy_says_what_does_not_fit)
{
	char buf[6];
	CHECK(slice_copy(SL("hello"), buf, sizeof buf));
	CHECK_EQ_STR(slice_cstr(buf), "hello");
	CHECK(!slice_copy(SL("hello!"), buf, sizeof buf));
	CHECK_EQ_STR(slice_cstr(buf), "hello");
	CHECK(!slice_copy(slice_tainted("a\0b", 3), buf, sizeof buf));
	CHECK(slice_copy(zero, buf, sizeof buf));
	CHECK_EQ_STR(slice_cstr(buf), "");
	CHECK(slice_copy(slice_absent(), buf, 1));
}

TEST(trim)
{
	static const char *const rows[][2] = {{"", ""}, {" ", ""}, {" \t\r\n\f\v", ""}, {"a", "a"},
	    {"  a b\t", "a b"}, {"\na", "a"}, {"a ", "a"}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		CHECK_EQ_STR(slice_trim(slice_cstr(rows[i][0])), rows[i][1]);
	CHECK_EQ_INT(slice_trim(SL("\0 ")).len, 1);
	CHECK_EQ_INT(slice_trim(zero).len, 0);
}

TEST(comparing)
{
	CHECK(slice_eq(zero, SL("")));
	CHECK(slice_eq(SL("ab"), SL("ab")) && !slice_eq(SL("ab"), SL("aB")));
	CHECK(!slice_eq(SL("ab"), SL("abc")));
	CHECK(slice_eqi(SL("aB[z"), SL("Ab[Z")) && !slice_eqi(SL("@"), SL("`")) &&
	      !slice_eqi(SL("["), SL("{")));
	CHECK(!slice_eqi(SL("\xc4"), SL("\xe4")));
	CHECK(slice_eqs(SL("x"), "x") && !slice_eqs(SL("x\0"), "x") && slice_eqs(zero, ""));
	CHECK(slice_eqis(SL("Quit"), "QUIT") && !slice_eqis(SL("Quit"), "QUI"));
	CHECK(slice_starts(SL("MAIL FROM"), "MAIL") && !slice_starts(SL("MA"), "MAIL"));
	CHECK(slice_starts(zero, "") && slice_startsi(SL("mail from"), "MAIL"));
	CHECK(!slice_startsi(zero, "a"));
	CHECK(slice_cmp(SL("a"), SL("b")) < 0 && slice_cmp(SL("b"), SL("a")) > 0);
	CHECK(slice_cmp(SL("a"), SL("ab")) < 0 && slice_cmp(SL("ab"), SL("a")) > 0);
	CHECK(slice_cmp(SL("\xff"), SL("a")) > 0 && slice_cmpi(SL("\xff"), SL("a")) > 0);
	CHECK(slice_cmp(zero, SL("")) == 0 && slice_cmp(SL("B"), SL("a")) < 0);
	CHECK(slice_cmpi(SL("B"), SL("a")) > 0 && slice_cmpi(SL("AB"), SL("ab")) == 0);
	CHECK(slice_cmpi(SL("A"), SL("ab")) < 0);
}

TEST(finding)
{
	CHECK_EQ_INT(slice_find(SL("a:b:c"), ':'), 1);
	CHECK_EQ_INT(slice_rfind(SL("a:b:c"), ':'), 3);
	CHECK(slice_find(SL("abc"), ':') == SIZE_MAX && slice_rfind(zero, 'a') == SIZE_MAX);
	CHECK(slice_find(zero, 'a') == SIZE_MAX);
	CHECK_EQ_INT(slice_search(SL("hello"), SL("lo")), 3);
	CHECK_EQ_INT(slice_search(SL("a\0b"), SL("\0b")), 1);
	CHECK(slice_search(SL("lo"), SL("hello")) == SIZE_MAX);
	CHECK_EQ_INT(slice_search(zero, zero), 0);
	CHECK(slice_search(zero, SL("x")) == SIZE_MAX);
}

TEST(next_walks_all_pieces)
{
	static const struct {
		const char *text, *pieces;
	} rows[] = {
	    {"", "[]"}, {"a", "[a]"}, {"a:b", "[a][b]"}, {":", "[][]"}, {"a::b:", "[a][][b][]"}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char got[64];
		size_t n = 0;
		slice_t rest = slice_tainted(rows[i].text, strlen(rows[i].text)), piece;
		while (slice_next(&rest, ':', &piece)) {
			CHECK(!slice_is_clean(piece) && !slice_is_absent(piece));
			got[n++] = '[';
			memcpy(got + n, piece.ptr, piece.len);
			n += piece.len;
			got[n++] = ']';
		}
		CHECK(!slice_next(&rest, ':', &piece));
		CHECK_EQ_STR(slice_tainted(got, n), rows[i].pieces);
	}
	slice_t none = slice_absent(), piece;
	CHECK(!slice_next(&none, ':', &piece));
}

TEST(integers)
{
	static const struct {
		const char *text;
		int base;
		bool scale, ok;
		int64_t want;
	} rows[] = {
	    {"0", 10, false, true, 0},
	    {"42", 10, false, true, 42},
	    {"+42", 10, false, true, 42},
	    {"-42", 10, false, true, -42},
	    {"010", 10, false, true, 10},
	    {"010", 0, false, true, 8},
	    {"0", 0, false, true, 0},
	    {"0x1F", 0, false, true, 31},
	    {"0x1f", 16, false, true, 31},
	    {"1f", 16, false, true, 31},
	    {"0x", 0, false, false, 0},
	    {"0x", 16, false, false, 0},
	    {"0x10", 10, false, false, 0},
	    {"08", 0, false, false, 0},
	    {"777", 8, false, true, 511},
	    {"zz", 36, false, true, 1295},
	    {"9223372036854775807", 10, false, true, INT64_MAX},
	    {"9223372036854775808", 10, false, false, 0},
	    {"-9223372036854775808", 10, false, true, INT64_MIN},
	    {"-9223372036854775809", 10, false, false, 0},
	    {"99999999999999999999999", 10, false, false, 0},
	    {"18446744073709551616", 10, false, false, 0},
	    {"", 10, false, false, 0},
	    {"-", 10, false, false, 0},
	    {"+-1", 10, false, false, 0},
	    {" 1", 10, false, false, 0},
	    {"1 ", 10, false, false, 0},
	    {"1a", 10, false, false, 0},
	    {"1K", 10, false, false, 0},
	    {"1K", 10, true, true, 1024},
	    {"2m", 10, true, true, 2 << 20},
	    {"3G", 10, true, true, INT64_C(3) << 30},
	    {"-1k", 10, true, true, -1024},
	    {"K", 10, true, false, 0},
	    {"1KK", 10, true, false, 0},
	    {"1T", 10, true, false, 0},
	    {"8589934591G", 10, true, true, INT64_C(8589934591) << 30},
	    {"8589934592G", 10, true, false, 0},
	    {"99999999999G", 10, true, false, 0},
	    {"0x1K", 0, true, true, 1024},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int64_t got = 77;
		bool ok = slice_to_i64(slice_cstr(rows[i].text), rows[i].base, rows[i].scale, &got);
		if (!CHECK(ok == rows[i].ok) || !CHECK_EQ_INT(got, ok ? rows[i].want : 77))
			tap_check(false, __FILE__, __LINE__, rows[i].text);
	}
	int64_t v = 77;
	CHECK(!slice_to_i64(SL("1\0"), 10, false, &v));
	CHECK_EQ_INT(v, 77);
}

TEST(times)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t want;
	} rows[] = {
	    {"0s", true, 0},
	    {"1s", true, 1000},
	    {"5m", true, 300000},
	    {"2h", true, 7200000},
	    {"1d", true, 86400000},
	    {"1w", true, 604800000},
	    {"1w2d3h4m5s", true, (604800 + 2 * 86400 + 3 * 3600 + 4 * 60 + 5) * INT64_C(1000)},
	    {"1s1w", true, 604801000},
	    {"0.5s", true, 500},
	    {"1.25m", true, 75000},
	    {"0.0019s", true, 1},
	    {"0.123456789s", true, 123},
	    {"1h0.1s", true, 3600100},
	    {"90s", true, 90000},
	    {"", false, 0},
	    {"10", false, 0},
	    {"1m10", false, 0},
	    {"s", false, 0},
	    {".5s", false, 0},
	    {"1.s", false, 0},
	    {"1.", false, 0},
	    {"1M", false, 0},
	    {"1x", false, 0},
	    {"-1s", false, 0},
	    {"3h 5m", false, 0},
	    {"1s ", false, 0},
	    {"9223372036854775s", true, INT64_C(9223372036854775000)},
	    {"9223372036854776s", false, 0},
	    {"9223372036854775s1s", false, 0},
	    {"99999999999999999999s", false, 0},
	    {"15250284453w", false, 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int64_t got = 77;
		bool ok = slice_to_ms(slice_cstr(rows[i].text), &got);
		if (!CHECK(ok == rows[i].ok) || !CHECK_EQ_INT(got, ok ? rows[i].want : 77))
			tap_check(false, __FILE__, __LINE__, rows[i].text);
	}
}

TAP_MAIN()
