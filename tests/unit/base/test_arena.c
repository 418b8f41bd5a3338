/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/arena.h"

#include "lib/tap.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

static bool all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

TEST(alloc_is_zeroed_and_aligned)
{
	struct arena *a = arena_new(64);
	for (int round = 0; round < 3; round++) {
		for (size_t n = 0; n < 300; n += 7) {
			char *p = arena_alloc(a, n);
			CHECK((uintptr_t)p % 16 == 0);
			CHECK(all_zero(p, n));
			memset(p, 0xff, n);
			memset(arena_bytes(a, 3), 0xff, 3);
		}
		arena_reset(a);
	}
	arena_free(&a);
	CHECK(a == NULL);
	arena_free(&a);
}

TEST(allocations_do_not_overlap)
{
	struct arena *a = arena_new(0);
	char *p[2000];
	for (size_t i = 0; i < 2000; i++) {
		p[i] = arena_bytes(a, i % 97 + 1);
		memset(p[i], (int)(i & 0x7f), i % 97 + 1);
	}
	bool whole = true;
	for (size_t i = 0; i < 2000; i++)
		for (size_t j = 0; j < i % 97 + 1; j++)
			whole = whole && p[i][j] == (char)(i & 0x7f);
	CHECK(whole);
	arena_free(&a);
}

TEST(larger_than_any_block)
{
	struct arena *a = arena_new(0);
	size_t big = (size_t)3 << 20;
	char *p = arena_alloc(a, big);
	CHECK(all_zero(p, big));
	p[0] = p[big - 1] = 'x';
	CHECK_EQ_STR(arena_dup(a, SL("after")), "after");
	CHECK_EQ_INT(arena_used(a), big + 5);
	arena_reset(a);
	CHECK_EQ_INT(arena_used(a), 0);
	arena_free(&a);
}

TEST(marks_nest)
{
	struct arena *a = arena_new(128);
	slice_t keep = arena_dup(a, SL("keep this"));
	struct arena_mark outer = arena_mark(a);
	size_t used = arena_used(a);
	for (int i = 0; i < 50; i++) {
		(void)arena_alloc(a, 100);
		struct arena_mark inner = arena_mark(a);
		size_t before = arena_used(a);
		(void)arena_alloc(a, 5000);
		arena_release(a, inner);
		CHECK_EQ_INT(arena_used(a), before);
	}
	arena_release(a, outer);
	CHECK_EQ_INT(arena_used(a), used);
	CHECK_EQ_STR(keep, "keep this");
	/* a mark of an arena that had nothing */
	struct arena *b = arena_new(0);
	struct arena_mark none = arena_mark(b);
	(void)arena_alloc(b, 10);
	arena_release(b, none);
	CHECK_EQ_INT(arena_used(b), 0);
	CHECK(all_zero(arena_alloc(b, 4000), 4000));
	arena_free(&b);
	arena_free(&a);
}

TEST(growing_does_not_cross_a_mark)
{
	struct arena *a = arena_new(0);
	char *p = arena_bytes(a, 8);
	struct arena_mark m = arena_mark(a);
	CHECK(!arena_extend(a, p, 8, 16));
	arena_release(a, m);
	CHECK(!arena_extend(a, p, 8, 16));
	arena_free(&a);
}

TEST(extend_in_place)
{
	struct arena *a = arena_new(256);
	char *p = arena_bytes(a, 8);
	memcpy(p, "12345678", 8);
	CHECK(!arena_extend(a, NULL, 0, 8));
#ifndef ARENA_MALLOC
	char *longer = arena_extend(a, p, 8, 100);
	CHECK(longer == p);
	CHECK_EQ_INT(arena_used(a), 100);
	memset(longer + 8, 'x', 92);
	CHECK(memcmp(longer, "12345678x", 9) == 0);
	CHECK(!arena_extend(a, p, 100, 4000));
	CHECK(!arena_extend(a, p, 100, SIZE_MAX));
#endif
	char *q = arena_bytes(a, 1);
	*q = 'q';
	CHECK(!arena_extend(a, p, 8, 120)); /* no longer the newest */
	CHECK(*q == 'q');
	arena_free(&a);
}

#ifndef ARENA_MALLOC
TEST(steady_state_reuses_its_memory)
{
	struct arena *a = arena_new(0);
	void *seen = NULL;
	for (int round = 0; round < 20; round++) {
		void *first = arena_alloc(a, 64);
		if (round > 8)
			CHECK(first == seen);
		seen = first;
		for (int i = 0; i < 150; i++)
			(void)arena_alloc(a, 200);
		arena_reset(a);
	}
	/* the block behind a mark comes back too */
	struct arena *b = arena_new(64);
	(void)arena_alloc(b, 40);
	for (int round = 0; round < 20; round++) {
		struct arena_mark m = arena_mark(b);
		void *p = arena_alloc(b, 100);
		if (round > 1)
			CHECK(p == seen);
		seen = p;
		arena_release(b, m);
	}
	arena_free(&b);
	arena_free(&a);
}
#endif

#ifdef WITH_ASAN
TEST(asan_sees_what_is_gone)
{
	struct arena *a = arena_new(0);
	char *p = arena_bytes(a, 5);
	CHECK(!__asan_address_is_poisoned(p + 4));
	CHECK(__asan_address_is_poisoned(p + 5));
	char *q = arena_alloc(a, 24);
#ifndef ARENA_MALLOC
	CHECK(__asan_address_is_poisoned(q - 1));
#endif
	CHECK(__asan_address_is_poisoned(q + 24));
	struct arena_mark m = arena_mark(a);
	char *r = arena_bytes(a, 100);
	CHECK(!__asan_address_is_poisoned(r));
	arena_release(a, m);
	CHECK(__asan_address_is_poisoned(r));
	CHECK(!__asan_address_is_poisoned(q));
	arena_reset(a);
	CHECK(__asan_address_is_poisoned(p) && __asan_address_is_poisoned(q));
	arena_free(&a);
}
#endif

#if !defined(WITH_ASAN) && !defined(ARENA_MALLOC)
TEST(secrets_are_wiped)
{
	struct arena *a = arena_new(0);
	slice_t s = SL("hunter2 hunter2");
	s.flags |= HEDDLE_SECRET;
	slice_t copy = arena_dup(a, s);
	CHECK(copy.flags & HEDDLE_SECRET);
	volatile const char *p = copy.ptr;
	arena_reset(a); /* keeps the block, so that looking is allowed */
	bool gone = true;
	for (size_t i = 0; i < s.len; i++)
		gone = gone && p[i] == 0;
	CHECK(gone);
	arena_free(&a);
}
#endif

TEST(copies_keep_their_flags)
{
	struct arena *a = arena_new(0);
	slice_t t = slice_tainted("a\0b", 3);
	t.quoter = 5;
	slice_t c = arena_dup(a, t);
	CHECK(c.ptr != t.ptr && c.len == 3 && c.quoter == 5 && !slice_is_clean(c));
	CHECK(slice_is_absent(arena_dup(a, slice_absent())));
	CHECK(arena_dup(a, SL("")).ptr != NULL);
	const char *z = arena_cstr(a, t);
	CHECK(memcmp(z, "a\0b", 4) == 0);
	CHECK_EQ_STR(slice_cstr(arena_cstr(a, slice_absent())), "");
	arena_free(&a);
}

TEST(printf_of_any_length)
{
	struct arena *a = arena_new(0);
	static const size_t sizes[] = {0, 1, 254, 255, 256, 257, 5000, 300000};
	char *big = arena_bytes(a, 300001);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		memset(big, 'y', sizes[i]);
		big[sizes[i]] = '\0';
		slice_t s = arena_printf(a, "%s", big);
		CHECK_EQ_INT(s.len, sizes[i]);
		CHECK(memcmp(s.ptr, big, sizes[i] + 1) == 0);
		CHECK(slice_is_clean(s));
	}
	CHECK_EQ_STR(arena_printf(a, "%d-%s", -5, "x"), "-5-x");
	arena_free(&a);
}

static bool dies(void (*what)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(STDERR_FILENO);
		(void)signal(SIGABRT, SIG_DFL);
		what();
		_exit(0);
	}
	int status = 0;
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGABRT;
}

static void overflow_times(void)
{
	(void)arena_times(SIZE_MAX / 2, 3);
}

static void alloc_everything(void)
{
	struct arena *a = arena_new(0);
	volatile size_t all = SIZE_MAX;
	(void)arena_alloc(a, all);
}

static void alloc_near_everything(void)
{
	struct arena *a = arena_new(0);
	volatile size_t all = SIZE_MAX - 8;
	(void)arena_bytes(a, all);
}

static void release_foreign_mark(void)
{
	struct arena *a = arena_new(0), *b = arena_new(0);
	(void)arena_alloc(b, 1);
	arena_release(a, arena_mark(b));
}

static char ended[16];

static void note_end(void *name)
{
	strncat(ended, name, sizeof ended - strlen(ended) - 1);
}

TEST(objects_are_told_when_it_ends)
{
	static char a1[] = "a", b1[] = "b", c1[] = "c", d1[] = "d";
	struct arena *a = arena_new(0);
	ended[0] = '\0';
	arena_on_free(a, note_end, a1);
	struct arena_mark m = arena_mark(a);
	arena_on_free(a, note_end, b1);
	(void)arena_alloc(a, 9000);
	arena_on_free(a, note_end, c1);
	arena_release(a, m);
	CHECK_EQ_STR(slice_cstr(ended), "cb");
	arena_reset(a);
	CHECK_EQ_STR(slice_cstr(ended), "cba");
	arena_on_free(a, note_end, d1);
	arena_free(&a);
	CHECK_EQ_STR(slice_cstr(ended), "cbad");
}

TEST(impossible_sizes_die)
{
	CHECK_EQ_INT(arena_times(0, SIZE_MAX), 0);
	CHECK_EQ_INT(arena_times(3, 5), 15);
	CHECK(dies(overflow_times));
	CHECK(dies(alloc_everything));
	CHECK(dies(alloc_near_everything));
	CHECK(dies(release_foreign_mark));
}

TAP_MAIN()
