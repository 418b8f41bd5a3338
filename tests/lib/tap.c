/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"

#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tap_test *first_test, **last_test = &first_test;
static _Atomic unsigned failed_checks; /* of the running test; checks may come from any thread */
static _Atomic unsigned checks;
static char skip_why[200];
static bool any_failed;
static char dir_path[PATH_MAX];
static pid_t dir_owner;

void tap_register(struct tap_test *t)
{
	*last_test = t;
	last_test = &t->next;
}

/* One write for each line, so that those of several threads do not mix. */
static void note(const char *text)
{
	flockfile(stdout);
	(void)printf("# %s\n", text);
	(void)fflush(stdout);
	funlockfile(stdout);
}

bool tap_check(bool ok, const char *file, int line, const char *what)
{
	atomic_fetch_add(&checks, 1);
	if (ok)
		return true;
	atomic_fetch_add(&failed_checks, 1);
	char text[512];
	(void)snprintf(text, sizeof text, "%s:%d: not true: %s", file, line, what);
	note(text);
	return false;
}

bool tap_check_int(int64_t got, int64_t want, const char *file, int line, const char *what)
{
	atomic_fetch_add(&checks, 1);
	if (got == want)
		return true;
	atomic_fetch_add(&failed_checks, 1);
	char text[512];
	(void)snprintf(text, sizeof text,
	    "%s:%d: %s: got %" PRId64 " (0x%" PRIx64 "), want %" PRId64, file, line, what, got,
	    (uint64_t)got, want);
	note(text);
	return false;
}

/* Visible form of a text, cut when it is long. */
static const char *shown(char *buf, size_t cap, slice_t s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (n + 8 > cap) {
			memcpy(buf + n, "...", 3);
			n += 3;
			break;
		}
		bool plain = c >= ' ' && c < 127 && c != '\\';
		int w = snprintf(buf + n, cap - n, plain ? "%c" : "\\x%02x", c);
		n += w > 0 ? (size_t)w : 0;
	}
	buf[n] = '\0';
	return buf;
}

bool tap_check_str(slice_t got, const char *want, const char *file, int line, const char *what)
{
	atomic_fetch_add(&checks, 1);
	if (slice_eqs(got, want))
		return true;
	atomic_fetch_add(&failed_checks, 1);
	char text[2600], a[1024], b[1024];
	(void)snprintf(text, sizeof text, "%s:%d: %s:\n#    got  \"%s\"%s\n#    want \"%s\"", file,
	    line, what, shown(a, sizeof a, got), slice_is_absent(got) ? " (absent)" : "",
	    shown(b, sizeof b, slice_cstr(want)));
	note(text);
	return false;
}

void tap_skip(const char *why)
{
	(void)snprintf(skip_why, sizeof skip_why, "%s", why);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static void remove_dir(void)
{
	/* a child that a test forked runs this too */
	if (!dir_path[0] || getpid() != dir_owner)
		return;
	if (any_failed || failed_checks)
		(void)printf("# kept %s\n", dir_path);
	else
		(void)nftw(dir_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *tap_dir(void)
{
	if (dir_path[0])
		return dir_path;
	const char *base = getenv("TMPDIR");
	if (!base || !*base) {
		base = "build";
		(void)mkdir(base, 0777);
	}
	char made[PATH_MAX];
	int n = snprintf(made, sizeof made, "%s/tap-XXXXXX", base);
	if (n < 0 || (size_t)n >= sizeof made || !mkdtemp(made) || !realpath(made, dir_path)) {
		perror(base);
		exit(2);
	}
	dir_owner = getpid();
	(void)atexit(remove_dir);
	return dir_path;
}

static void run_one(unsigned number, const struct tap_test *t)
{
	failed_checks = checks = 0;
	skip_why[0] = '\0';
	t->run();
	bool ok = failed_checks == 0;
	if (ok && !skip_why[0] && checks == 0) {
		note("no check was made: a test that cannot fail");
		ok = false;
	}
	any_failed = any_failed || !ok;
	(void)printf("%s %u - %s%s%s\n", ok ? "ok" : "not ok", number, t->name,
	    skip_why[0] ? " # SKIP " : "", skip_why);
	(void)fflush(stdout);
}

static const struct tap_test *find_test(const char *name)
{
	for (const struct tap_test *t = first_test; t; t = t->next)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

int tap_main(int argc, char **argv)
{
	unsigned count = 0, number = 0;
	for (const struct tap_test *t = first_test; t; t = t->next)
		count++;
	if (argc > 1 && strcmp(argv[1], "--list") == 0) {
		for (const struct tap_test *t = first_test; t; t = t->next)
			(void)puts(t->name);
		return 0;
	}
	(void)printf("1..%u\n", argc > 1 ? (unsigned)argc - 1 : count);
	(void)fflush(stdout);
	if (argc > 1) {
		for (int i = 1; i < argc; i++) {
			const struct tap_test *t = find_test(argv[i]);
			if (!t) {
				(void)printf("Bail out! no test %s\n", argv[i]);
				return 2;
			}
			run_one(++number, t);
		}
	} else {
		for (const struct tap_test *t = first_test; t; t = t->next)
			run_one(++number, t);
	}
	return any_failed ? 1 : 0;
}
