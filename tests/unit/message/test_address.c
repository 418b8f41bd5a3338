/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Texts and outcomes as Debian's exim4 gives them in replies to MAIL and RCPT. */
#include "lib/tap.h"
#include "message/message.h"

#include <stdio.h>

struct path_case {
	const char *text;
	const char *want; /* address, or the error text when `fails` */
	bool fails;
};
static const struct path_case paths[] = {
    {"<a@b>", "a@b", false},
    {"a@b.c", "a@b.c", false},
    {" <a@b.c> ", "a@b.c", false},
    {"<a..b@c>", "a..b@c", false},
    {"<.ab@c>", ".ab@c", false},
    {"<\"a b\"@c>", "\"a b\"@c", false},
    {"<\"a\\\"b\"@c>", "\"a\\\"b\"@c", false},
    {"foo <a@b>", "a@b", false},
    {"Foo Bar <a@b>", "a@b", false},
    {"(c) <a@b>", "a@b", false},
    {"<a(x)@b>", "a@b", false},
    {"<a(x(y))@b (z)>", "a@b", false},
    {"<a\\@x@b>", "a\\@x@b", false},
    {"<\xe9@b>", "\xe9@b", false},
    {"<@x:a@b>", "a@b", false},
    {"<@a,@b:c@d.example>", "c@d.example", false},
    {"<unq>", "unq", false},
    {"<\"\"@c>", "\"\"@c", false},
    {"<>", "", false},
    {"", "empty address", true},
    {"a@b c", "malformed address: c may not follow a@b ", true},
    {"<a@b", "'>' missing at end of address", true},
    {"<a@@b>", "domain missing or malformed", true},
    {"<a@[1.2.3.4]>", "domain literals not allowed", true},
    {"<a@[IPv6:::1]>", "domain literals not allowed", true},
    {"<a@b> FOO=BAR", "malformed address: FOO=BAR may not follow <a@b> ", true},
    {"<a b@c>", "\"@\" or \".\" expected after \"a\"", true},
    {"<\"a@c>", "unmatched doublequote in local part", true},
    {"<a@c.>", "domain missing or malformed", true},
    {"<a@-c>", "domain missing or malformed", true},
    {"<a@c..d>", "domain missing or malformed", true},
    {"<a@>", "domain missing or malformed", true},
    {"<@>", "domain missing or malformed", true},
    {"a@b>", "malformed address: > may not follow a@b", true},
    {"<<a@b>>", "missing or malformed local part", true},
    {"<a@b_c>", "malformed address: _c> may not follow <a@b", true},
    {"<a@b!c>", "malformed address: !c> may not follow <a@b", true},
    {"<a\x01@b>", "\"@\" or \".\" expected after \"a\"", true},
    {"<a@\xe9>", "domain missing or malformed", true},
    {"<a@b\xc3\xbc.example>", "a@b\xc3\xbc.example", false},
    {"<a@b,c@d>", "malformed address: ,c@d> may not follow <a@b", true},
    {"<@x a@b>", "no local part", true},
    {"<a@b>x", "malformed address: x may not follow <a@b>", true},
    {"<a:b;@c>", "\"@\" or \".\" expected after \"a\"", true},
    {"a;", "malformed address: ; may not follow a", true},
    {"a b;", "missing or malformed local part (expected word or \"<\")", true},
    {"a b@c", "missing or malformed local part (expected word or \"<\")", true},
    {"<a", "\"@\" or \".\" expected after \"a\"", true},
    {"a:b@c;", "missing or malformed local part (expected word or \"<\")", true},
};

TEST(paths)
{
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		struct arena *a = arena_new(0);
		slice_t out = SL("untouched");
		struct error err = {0};
		enum rc rc = address_parse_path(a,
		    slice_tainted(paths[i].text, strlen(paths[i].text)), true, false, &out, &err);
		if (!CHECK_EQ_INT(rc, paths[i].fails ? RC_FAIL : RC_OK))
			printf("# %s: %s\n", paths[i].text, err.text);
		if (!CHECK_EQ_STR(paths[i].fails ? slice_cstr(err.text) : out, paths[i].want))
			printf("# %s\n", paths[i].text);
		if (paths[i].fails)
			CHECK_EQ_STR(out, "untouched");
		else
			CHECK(!slice_is_clean(out));
		arena_free(&a);
	}
}

TEST(literals_and_null)
{
	struct arena *a = arena_new(0);
	slice_t out;
	struct error err;
	CHECK_EQ_INT(address_parse_path(a, SL("<a@[1.2.3.4]>"), false, true, &out, &err), RC_OK);
	CHECK_EQ_STR(out, "a@[1.2.3.4]");
	CHECK_EQ_INT(address_parse_path(a, SL("<a@[IPv6:::1]>"), false, true, &out, &err), RC_OK);
	CHECK_EQ_INT(address_parse_path(a, SL("<a@[junk]>"), false, true, &out, &err), RC_FAIL);
	CHECK_EQ_INT(address_parse_path(a, SL("<a@[1.2.3.4>"), false, true, &out, &err), RC_FAIL);
	CHECK_EQ_INT(address_parse_path(a, SL("<>"), false, true, &out, &err), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(err.text), "missing or malformed local part");
	arena_free(&a);
}

TEST(ridiculously_long)
{
	struct arena *a = arena_new(0);
	char buf[400];
	slice_t out;
	struct error err;
	memset(buf, 'x', sizeof buf);
	memcpy(buf + 300, "@b", 2);
	CHECK_EQ_INT(
	    address_parse_path(a, slice_tainted(buf, 302), true, false, &out, &err), RC_FAIL);
	CHECK(!strncmp(err.text, "address is ridiculously long: xxx", 32));
	memcpy(buf + 200, "@b", 2);
	CHECK_EQ_INT(
	    address_parse_path(a, slice_tainted(buf, 202), true, false, &out, &err), RC_OK);
	arena_free(&a);
}

TEST(lists)
{
	struct arena *a = arena_new(0);
	slice_t list = SL("a@b, \"x, y\" <c@d> (e, f), Group: g@h, i@j;, , k@l"), out;
	const char *want[] = {"a@b", "c@d", "g@h", "i@j", "k@l"};
	size_t pos = 0;
	for (size_t i = 0; i < 5; i++) {
		CHECK_EQ_INT(address_list_next(a, list, 0, &pos, &out, NULL), RC_OK);
		CHECK_EQ_STR(out, want[i]);
	}
	CHECK_EQ_INT(address_list_next(a, list, 0, &pos, &out, NULL), RC_OK);
	CHECK(slice_is_absent(out));
	pos = 0;
	CHECK_EQ_INT(address_list_next(a, SL("a@@b"), 0, &pos, &out, NULL), RC_FAIL);
	arena_free(&a);
}

TEST(split)
{
	slice_t l, d;
	CHECK(address_split(SL("\"a@b\"@c"), &l, &d));
	CHECK_EQ_STR(l, "\"a@b\"");
	CHECK_EQ_STR(d, "c");
	CHECK(!address_split(SL("abc"), &l, &d));
	CHECK_EQ_STR(l, "abc");
	CHECK_EQ_STR(d, "");
	CHECK(address_split(SL("a\\@x@b"), &l, &d));
	CHECK_EQ_STR(d, "b");
}

TAP_MAIN()
