/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tests/lib/tap: the C unit tests' vocabulary; output is TAP, exit status 1 if anything failed.
 *	TEST(name) { CHECK(cond); CHECK_EQ_INT(got, want); CHECK_EQ_STR(slice, "want"); }
 *	TAP_MAIN()   at the end of the file.  `test_x NAME` runs one test, `test_x --list` names
 *them.
 */
#ifndef HEDDLE_TESTS_TAP_H
#define HEDDLE_TESTS_TAP_H
#include "base/slice.h"

struct tap_test {
	const char *name;
	void (*run)(void);
	struct tap_test *next;
};
void tap_register(struct tap_test *t);
int tap_main(int argc, char **argv);
bool tap_check(bool ok, const char *file, int line, const char *what);
bool tap_check_int(int64_t got, int64_t want, const char *file, int line, const char *what);
bool tap_check_str(slice_t got, const char *want, const char *file, int line, const char *what);
/* The running test is skipped (counts as passed, says why) when conditions are missing. */
void tap_skip(const char *why);
/* A fresh directory (absolute path) under $TMPDIR (or build/), removed at exit unless the test
 * failed. */
const char *tap_dir(void);

#define TEST(name)                                                     \
	static void test_##name(void);                                 \
	__attribute__((constructor)) static void tap_add_##name(void)  \
	{                                                              \
		static struct tap_test t = {#name, test_##name, NULL}; \
		tap_register(&t);                                      \
	}                                                              \
	static void test_##name(void)
#define CHECK(cond) tap_check((cond), __FILE__, __LINE__, #cond)
#define CHECK_EQ_INT(got, want) \
	tap_check_int((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, #got)
#define CHECK_EQ_STR(got, want) tap_check_str((got), (want), __FILE__, __LINE__, #got)
#define TAP_MAIN()                           \
	int main(int argc, char **argv)      \
	{                                    \
		return tap_main(argc, argv); \
	}
#endif
