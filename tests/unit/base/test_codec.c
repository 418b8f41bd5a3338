/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/codec.h"

#include "base/io.h"
#include "lib/tap.h"

TEST(base62)
{
	static const struct {
		unsigned digits;
		uint64_t v;
		const char *want;
	} rows[] = {{6, 0, "000000"}, {1, 9, "9"}, {1, 10, "A"}, {1, 35, "Z"}, {1, 36, "a"},
	    {1, 61, "z"}, {2, 62, "10"}, {6, 123456789, "08M0kX"}, {11, UINT64_MAX, "LygHa16AHYF"},
	    {2, 62 * 62 + 1, "01"}, {0, 5, ""}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char out[16] = "................";
		base62_put(out, rows[i].digits, rows[i].v);
		CHECK_EQ_STR(slice_tainted(out, rows[i].digits), rows[i].want);
		CHECK(out[rows[i].digits] == '.');
	}
	uint64_t v = 0;
	CHECK(base62_get(SL("08M0kX"), &v) && v == 123456789);
	CHECK(base62_get(SL("LygHa16AHYF"), &v) && v == UINT64_MAX);
	CHECK(base62_get(SL("0000000000000000000z"), &v) && v == 61);
	static const char *const bad[] = {
	    "", "-", "1-", "a b", "LygHa16AHYG", "zzzzzzzzzzzz", "\xe4"};
	v = 7;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK(!base62_get(slice_cstr(bad[i]), &v));
	CHECK_EQ_INT(v, 7);
}

/* RFC 4648 section 10 */
TEST(base64_vectors)
{
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
	    {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
	    {"\xff\xfe\xfb", "//77"}, {"\xfb\xff", "+/8="}};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		slice_t out;
		CHECK_EQ_STR(base64_encode(a, slice_cstr(rows[i][0])), rows[i][1]);
		CHECK(base64_decode(a, slice_cstr(rows[i][1]), &out));
		CHECK_EQ_STR(out, rows[i][0]);
	}
	arena_free(&a);
}

TEST(base64_refuses)
{
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=",
	    "====", "Z===", "Zm9vYg=", "Zm9v=", "Zm=v", "Zh==", "Zm9=", "Zm9v Zm9v", "Zm9v\n",
	    "Zm9*", "Zm-_", "Zg==Zg==", "=Zg=", "Zm9v===="};
	struct arena *a = arena_new(0);
	slice_t out = SL("untouched");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (!CHECK(!base64_decode(a, slice_cstr(bad[i]), &out)))
			tap_check(false, __FILE__, __LINE__, bad[i]);
	CHECK(!base64_decode(a, SL("Zm\0v"), &out));
	CHECK_EQ_STR(out, "untouched");
	arena_free(&a);
}

TEST(base64_there_and_back)
{
	struct arena *a = arena_new(0);
	char in[100];
	io_random(in, sizeof in);
	for (size_t n = 0; n <= sizeof in; n++) {
		slice_t s = slice_tainted(in, n), out;
		CHECK(base64_decode(a, base64_encode(a, s), &out) && slice_eq(s, out));
		CHECK(!slice_is_clean(out));
	}
	arena_free(&a);
}

TEST(coding_keeps_taint)
{
	struct arena *a = arena_new(0);
	slice_t s = SL("x"), out;
	CHECK(slice_is_clean(base64_encode(a, s)) && slice_is_clean(hex_encode(a, s)));
	s.flags = HEDDLE_SECRET;
	s.quoter = 4;
	slice_t e = base64_encode(a, s);
	CHECK(e.flags == HEDDLE_SECRET && e.quoter == 0);
	CHECK(hex_encode(a, s).flags == HEDDLE_SECRET);
	CHECK(base64_decode(a, e, &out) && out.flags == HEDDLE_SECRET);
	arena_free(&a);
}

TEST(hex)
{
	struct arena *a = arena_new(0);
	CHECK_EQ_STR(hex_encode(a, slice_tainted("\x00\x7f\xff\xa5", 4)), "007fffa5");
	CHECK_EQ_STR(hex_encode(a, SL("")), "");
	arena_free(&a);
}

/* RFC 3720 B.4 */
TEST(crc32c_vectors)
{
	uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
	memset(ones, 0xff, sizeof ones);
	for (int i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	const struct {
		const void *p;
		size_t n;
		uint32_t want;
	} rows[] = {{"123456789", 9, 0xe3069283}, {"", 0, 0}, {zeros, 32, 0x8a9136aa},
	    {ones, 32, 0x62a8ab43}, {up, 32, 0x46dd794e}, {down, 32, 0x113fdb5c}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		CHECK_EQ_INT(crc32c(0, rows[i].p, rows[i].n), rows[i].want);
		CHECK_EQ_INT(crc32c_portable(0, rows[i].p, rows[i].n), rows[i].want);
	}
}

TEST(crc32c_continues_at_any_cut)
{
	char in[67];
	io_random(in, sizeof in);
	uint32_t whole = crc32c(0, in, sizeof in);
	for (size_t cut = 0; cut <= sizeof in; cut++) {
		uint32_t c = crc32c(crc32c(0, in, cut), in + cut, sizeof in - cut);
		CHECK_EQ_INT(c, whole);
		CHECK_EQ_INT(crc32c(0, in + cut, sizeof in - cut),
		    crc32c_portable(0, in + cut, sizeof in - cut));
	}
}

TEST(little_endian_fields)
{
	uint8_t b[9] = {0};
	put_le16(b + 1, 0x1234);
	CHECK(b[1] == 0x34 && b[2] == 0x12 && get_le16(b + 1) == 0x1234);
	put_le32(b + 1, 0x89abcdef);
	CHECK(b[1] == 0xef && b[4] == 0x89 && get_le32(b + 1) == 0x89abcdef);
	put_le64(b + 1, UINT64_C(0xf123456789abcdef));
	CHECK(b[1] == 0xef && b[8] == 0xf1 && get_le64(b + 1) == UINT64_C(0xf123456789abcdef));
	put_le16(b, 0xffff);
	CHECK_EQ_INT(get_le16(b), 0xffff);
}

TAP_MAIN()
