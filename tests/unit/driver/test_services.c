/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/services_basic and services_digest: memory, taint, reasons, time, digests. */
#include "base/clock.h"
#include "driver/call.h"
#include "lib/tap.h"
#include "thread/cancel.h"

#include <poll.h>
#include <stdio.h>

struct fixture {
	struct arena *arena;
	struct heddle_host host;
	struct heddle_call call;
};
static void begin(struct fixture *f)
{
	*f = (struct fixture){.arena = arena_new(0)};
	services_init_basic(&f->host);
	call_init(&f->call, NULL, NULL);
	f->call.arena = f->arena;
}
static void finish(struct fixture *f)
{
	arena_free(&f->arena);
}

TEST(join_keeps_taint_secrecy_and_quoting)
{
#define CLEAN                            \
	{                                \
		"ab", 2, HEDDLE_CLEAN, 0 \
	}
#define TAINTED               \
	{                     \
		"cd", 2, 0, 0 \
	}
#define QUOTED                  \
	{                       \
		"q\\'", 3, 0, 7 \
	}
#define OTHER                \
	{                    \
		"o", 1, 0, 8 \
	}
#define SECRET                           \
	{                                \
		"s", 1, HEDDLE_SECRET, 0 \
	}
#define EMPTY               \
	{                   \
		"", 0, 0, 0 \
	}
#define ABSENT                            \
	{                                 \
		NULL, 0, HEDDLE_ABSENT, 0 \
	}
	static const struct {
		slice_t parts[3];
		const char *text;
		uint16_t flags, quoter;
	} cases[] = {
	    {{CLEAN, CLEAN, CLEAN}, "ababab", HEDDLE_CLEAN, 0},
	    {{CLEAN, EMPTY, ABSENT}, "ab", HEDDLE_CLEAN, 0},
	    {{CLEAN, TAINTED, CLEAN}, "abcdab", 0, 0},
	    {{CLEAN, QUOTED, CLEAN}, "abq\\'ab", 0, 7},
	    {{QUOTED, EMPTY, QUOTED}, "q\\'q\\'", 0, 7},
	    {{QUOTED, OTHER, QUOTED}, "q\\'oq\\'", 0, 0},
	    {{QUOTED, TAINTED, CLEAN}, "q\\'cdab", 0, 0},
	    {{TAINTED, QUOTED, QUOTED}, "cdq\\'q\\'", 0, 0},
	    {{CLEAN, SECRET, CLEAN}, "absab", HEDDLE_SECRET, 0},
	    {{EMPTY, EMPTY, ABSENT}, "", HEDDLE_CLEAN, 0},
	};
	struct fixture f;
	begin(&f);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		slice_t out = {0};
		CHECK_EQ_INT(f.host.join(&f.call, cases[i].parts, 3, &out), HEDDLE_OK);
		CHECK_EQ_STR(out, cases[i].text);
		CHECK_EQ_INT(out.flags, cases[i].flags);
		CHECK_EQ_INT(out.quoter, cases[i].quoter);
	}
	slice_t out = {0}, broken = {NULL, UINT32_MAX, 0, 0}, null_with_length = {NULL, 3, 0, 0};
	CHECK_EQ_INT(f.host.join(&f.call, &broken, 1, &out), HEDDLE_ERROR);
	CHECK_EQ_INT(f.host.join(&f.call, &null_with_length, 1, &out), HEDDLE_ERROR);
	CHECK(f.call.reason_given && out.ptr == NULL);
	CHECK_EQ_INT(f.host.join(&f.call, NULL, 0, &out), HEDDLE_OK);
	CHECK_EQ_INT(out.len, 0);
	finish(&f);
}

TEST(cstr_refuses_an_inner_nul)
{
	struct fixture f;
	begin(&f);
	const char *s = NULL;
	CHECK_EQ_INT(f.host.cstr(&f.call, slice_tainted("a\0b", 3), &s), HEDDLE_FAIL);
	CHECK(s == NULL && f.call.reason_given);
	CHECK_EQ_INT(f.host.cstr(&f.call, slice_tainted("abc", 2), &s), HEDDLE_OK);
	CHECK_EQ_STR(slice_cstr(s), "ab");
	CHECK_EQ_INT(f.host.cstr(&f.call, (slice_t){NULL, 9, 0, 0}, &s), HEDDLE_ERROR);
	finish(&f);
}

TEST(alloc_aligns_zeroes_and_has_a_limit)
{
	struct fixture f;
	begin(&f);
	for (uint32_t align = 1; align <= 4096; align *= 2) {
		unsigned char *p = f.host.alloc(&f.call, 100, align);
		CHECK(p && (uintptr_t)p % align == 0);
		for (int i = 0; p && i < 100; i++)
			CHECK(p[i] == 0);
		memset(p, 0xff, p ? 100 : 0);
	}
	CHECK(f.host.alloc(&f.call, 10, 0) == NULL);
	CHECK(f.host.alloc(&f.call, 10, 3) == NULL);
	CHECK(f.host.alloc(&f.call, UINT64_MAX, 1) == NULL);
	CHECK(f.host.alloc(&f.call, (uint64_t)1 << 40, 16) == NULL);
	finish(&f);
}

TEST(what_a_result_means)
{
	struct fixture f;
	struct error e = {0};
	begin(&f);
	CHECK_EQ_INT(call_result(&f.call, HEDDLE_OK, "x", &e), RC_OK);
	CHECK_EQ_INT(call_result(&f.call, HEDDLE_DEFER, "x", &e), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(e.text), "x gave no reason");
	CHECK_EQ_INT(call_result(&f.call, 99, "x", &e), RC_ERROR);
	CHECK_EQ_STR(slice_cstr(e.text), "x returned 99, which is no result");
	CHECK_EQ_INT(call_result(&f.call, -1, "x", &e), RC_ERROR);
	f.host.reason(&f.call, 550, SL("no such user"), SL("first"));
	f.host.reason(&f.call, 200, SL("shown"), SL("logged"));
	CHECK_EQ_INT(f.call.reason_smtp, 0);
	CHECK_EQ_STR(f.call.reason_shown, "shown");
	CHECK_EQ_INT(call_result(&f.call, HEDDLE_FAIL, "x", &e), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(e.text), "logged");
	f.host.reason(&f.call, 451, slice_absent(), slice_of("pw", 2, HEDDLE_SECRET));
	CHECK_EQ_INT(f.call.reason_smtp, 451);
	CHECK_EQ_INT(call_result(&f.call, HEDDLE_FAIL, "x", &e), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(e.text), "(secret)");
	finish(&f);
}

TEST(time_left_and_cancelling)
{
	struct fixture f;
	struct cancel cancel;
	begin(&f);
	CHECK(f.host.time_left(&f.call) > 1000000);
	f.call.deadline_us = clock_mono_us() + 5 * US_PER_SEC;
	int64_t left = f.host.time_left(&f.call);
	CHECK(left > 3000 && left <= 5000);
	f.call.deadline_us = clock_mono_us() - 1;
	CHECK_EQ_INT(f.host.time_left(&f.call), 0);
	f.call.deadline_us = DEADLINE_NEVER;
	struct pollfd never = {.fd = f.host.cancel_fd(&f.call), .events = POLLIN};
	CHECK(never.fd >= 0 && poll(&never, 1, 0) == 0);
	cancel_init(&cancel);
	f.call.cancel = &cancel;
	struct pollfd p = {.fd = f.host.cancel_fd(&f.call), .events = POLLIN};
	CHECK(p.fd >= 0);
	CHECK_EQ_INT(poll(&p, 1, 0), 0);
	cancel_set(&cancel);
	CHECK_EQ_INT(poll(&p, 1, 0), 1);
	CHECK_EQ_INT(f.host.cancel_fd(&f.call), -1);
	CHECK_EQ_INT(f.host.time_left(&f.call), 0);
	cancel_fini(&cancel);
	finish(&f);
}

static void check_hex(slice_t s, const char *want)
{
	char hex[129];
	for (uint32_t i = 0; i < s.len && i < 64; i++)
		(void)snprintf(hex + 2 * (size_t)i, 3, "%02x", (unsigned char)s.ptr[i]);
	CHECK_EQ_STR(slice_of(hex, s.len * 2U, 0), want);
}

TEST(digests_of_the_standards)
{
	/* FIPS 180-4 and RFC 1321 for "abc"; RFC 2202 and RFC 4231, second case */
	static const struct {
		uint32_t algo;
		const char *key, *in, *want;
	} cases[] = {
	    {HEDDLE_MD5, NULL, "abc", "900150983cd24fb0d6963f7d28e17f72"},
	    {HEDDLE_SHA1, NULL, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
	    {HEDDLE_SHA256, NULL, "",
	        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	    {HEDDLE_SHA384, NULL, "abc",
	        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358"
	        "baeca134c825a7"},
	    {HEDDLE_SHA512, NULL, "abc",
	        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
	    {HEDDLE_MD5, "Jefe", "what do ya want for nothing?",
	        "750c783e6ab0b503eaa86e310a5db738"},
	    {HEDDLE_SHA256, "Jefe", "what do ya want for nothing?",
	        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	};
	struct fixture f;
	begin(&f);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		slice_t out = {0};
		CHECK_EQ_INT(services_digest(&f.call, cases[i].algo, slice_cstr(cases[i].key),
		                 slice_tainted(cases[i].in, strlen(cases[i].in)), &out),
		    HEDDLE_OK);
		check_hex(out, cases[i].want);
		CHECK(!slice_is_clean(out));
	}
	slice_t out = {0};
	CHECK_EQ_INT(services_digest(&f.call, 77, slice_absent(), SL("x"), &out), HEDDLE_ERROR);
	CHECK_EQ_INT(
	    services_digest(&f.call, HEDDLE_SHA1, slice_of("k", 1, HEDDLE_SECRET), SL("x"), &out),
	    HEDDLE_OK);
	CHECK_EQ_INT(out.flags, HEDDLE_CLEAN | HEDDLE_SECRET);
	finish(&f);
}

TEST(same_compares_all_of_it)
{
	struct fixture f;
	begin(&f);
	CHECK_EQ_INT(f.host.same(SL("abc"), slice_tainted("abc", 3)), 1);
	CHECK_EQ_INT(f.host.same(SL("abc"), SL("abd")), 0);
	CHECK_EQ_INT(f.host.same(SL("abc"), SL("abcd")), 0);
	CHECK_EQ_INT(f.host.same(SL(""), slice_absent()), 1);
	CHECK_EQ_INT(f.host.same((slice_t){NULL, 3, 0, 0}, (slice_t){NULL, 3, 0, 0}), 0);
	unsigned char a[16] = {0}, b[16] = {0};
	CHECK_EQ_INT(f.host.random(&f.call, a, sizeof a), HEDDLE_OK);
	CHECK_EQ_INT(f.host.random(&f.call, b, sizeof b), HEDDLE_OK);
	CHECK(memcmp(a, b, sizeof a) != 0);
	finish(&f);
}

TAP_MAIN()
