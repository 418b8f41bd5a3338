/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hints: what is kept, what becomes of a file that is damaged, locked, on a full disk, or of a
 * killed process. */
#include "hints/record.h"
#include "lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <kclangc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW (INT64_C(1700000000) * US_PER_SEC)

static char folder[64];

static struct hints *make(int64_t patience_us)
{
	struct hints_config c = {.folder = folder, .name = "retry", .patience_us = patience_us};
	struct hints *h = NULL;
	struct error err = {.text = ""};

	if (hints_new(&c, &h, &err) != RC_OK) {
		printf("# %s\n", err.text);
		exit(1);
	}
	return h;
}

static struct hints *fresh(void)
{
	(void)snprintf(folder, sizeof folder, "/tmp/test_hints.XXXXXX");
	if (!mkdtemp(folder))
		exit(1);
	return make(US_PER_SEC / 5);
}

static const char *file(const char *suffix)
{
	static char path[200];

	(void)snprintf(path, sizeof path, "%s/retry.kch%s", folder, suffix);
	return path;
}

static void finish(struct hints **h)
{
	static const char *const all[] = {"", ".aside", ".opening"};

	hints_free(h);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		(void)unlink(file(all[i]));
	CHECK_EQ_INT(rmdir(folder), 0); /* nothing else is left behind */
}

static void write_garbage(const char *path, size_t n)
{
	FILE *f = fopen(path, "w");

	for (size_t i = 0; f && i < n; i++)
		(void)fputc((int)(i * 7919 >> 3) & 255, f);
	if (f)
		(void)fclose(f);
}

TEST(what_is_put_is_there)
{
	struct hints *h = fresh();
	struct arena *a = arena_new(0);
	struct hint got;
	char big[HINTS_KEY_MAX + 1] = {0};

	CHECK_EQ_INT(hints_get(h, SL("k"), a, &got, NULL), RC_DEFER); /* not open yet */
	CHECK_EQ_INT(hints_put(h, SL("k"), SL("v"), NOW, NULL), RC_DEFER);
	CHECK(hints_open(h));
	CHECK_EQ_INT(hints_get(h, SL("k"), a, &got, NULL), RC_FAIL);
	CHECK_EQ_INT(hints_put(h, SL("k"), SL("value"), NOW, NULL), RC_OK);
	CHECK_EQ_INT(hints_put(h, SL("empty"), SL(""), NOW, NULL), RC_OK);
	if (CHECK_EQ_INT(hints_get(h, SL("k"), a, &got, NULL), RC_OK)) {
		CHECK_EQ_STR(got.value, "value");
		CHECK_EQ_INT(got.time_us, NOW);
		CHECK(!slice_is_clean(got.value));
	}
	CHECK_EQ_INT(hints_get(h, SL("empty"), a, &got, NULL), RC_OK);
	CHECK_EQ_INT(got.value.len, 0);
	CHECK_EQ_INT(hints_put(h, slice_tainted(big, sizeof big), SL(""), NOW, NULL), RC_DEFER);
	CHECK_EQ_INT(hints_put(h, SL("k2"), slice_tainted(big, sizeof big), NOW, NULL), RC_DEFER);
	CHECK_EQ_INT(hints_get(h, SL(""), a, &got, NULL), RC_DEFER);
	hints_free(&h); /* and it is there the next time */
	h = make(0);
	CHECK(hints_open(h));
	CHECK_EQ_INT(hints_get(h, SL("k"), a, &got, NULL), RC_OK);
	CHECK_EQ_INT(hints_remove(h, SL("k"), NULL), RC_OK);
	CHECK_EQ_INT(hints_remove(h, SL("k"), NULL), RC_FAIL);
	CHECK_EQ_INT(hints_get(h, SL("k"), a, &got, NULL), RC_FAIL);
	arena_free(&a);
	finish(&h);
}

TEST(names_that_cannot_be_used)
{
	struct hints *h = NULL;
	struct hints_config c = {.folder = "/tmp/a#b", .name = "retry"};

	CHECK_EQ_INT(hints_new(&c, &h, NULL), RC_FAIL);
	c.folder = "/nonexistent";
	if (CHECK_EQ_INT(hints_new(&c, &h, NULL), RC_OK)) {
		CHECK(!hints_open(h));
		hints_free(&h);
	}
}

static enum hints_verb count_up(void *ctx, const struct hint *old, slice_t *value)
{
	char *buf = ctx;
	uint64_t n = 0;

	if (old && old->value.len == sizeof n)
		memcpy(&n, old->value.ptr, sizeof n);
	n++;
	memcpy(buf, &n, sizeof n);
	*value = slice_tainted(buf, sizeof n);
	return HINTS_WRITE;
}

static enum hints_verb drop(void *ctx, const struct hint *old, slice_t *value)
{
	(void)ctx, (void)old, (void)value;
	return HINTS_DELETE;
}

static enum hints_verb keep(void *ctx, const struct hint *old, slice_t *value)
{
	(void)value;
	*(bool *)ctx = old != NULL;
	return HINTS_KEEP;
}

#define THREADS 8
#define TIMES   3000
static void *counter(void *arg)
{
	struct arena *a = arena_new(0);
	struct hint got;
	char buf[8], key[20];
	intptr_t bad = 0;

	for (int i = 0; i < TIMES; i++) {
		bad += hints_update(arg, SL("counter"), count_up, buf, NOW, NULL) != RC_OK;
		(void)snprintf(key, sizeof key, "k%d", i % 50);
		bad += hints_put(arg, slice_cstr(key), SL("x"), NOW, NULL) != RC_OK;
		bad += hints_get(arg, slice_cstr(key), a, &got, NULL) != RC_OK;
		arena_reset(a);
	}
	arena_free(&a);
	return (void *)bad;
}

TEST(eight_threads_count_right)
{
	struct hints *h = fresh();
	struct arena *a = arena_new(0);
	pthread_t t[THREADS];
	struct hint got;
	uint64_t n = 0;
	bool had = true;

	CHECK(hints_open(h));
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_create(&t[i], NULL, counter, h) == 0);
	for (int i = 0; i < THREADS; i++) {
		void *bad;
		MUST(pthread_join(t[i], &bad) == 0);
		CHECK(bad == NULL);
	}
	if (CHECK_EQ_INT(hints_get(h, SL("counter"), a, &got, NULL), RC_OK))
		memcpy(&n, got.value.ptr, sizeof n);
	CHECK_EQ_INT(n, THREADS * TIMES);
	CHECK_EQ_INT(hints_update(h, SL("counter"), keep, &had, NOW, NULL), RC_OK);
	CHECK(had);
	CHECK_EQ_INT(hints_update(h, SL("counter"), drop, NULL, NOW, NULL), RC_OK);
	CHECK_EQ_INT(hints_update(h, SL("counter"), drop, NULL, NOW, NULL), RC_FAIL);
	CHECK_EQ_INT(hints_update(h, SL("counter"), keep, &had, NOW, NULL), RC_FAIL);
	CHECK(!had);
	arena_free(&a);
	finish(&h);
}

static bool count_one(void *ctx, slice_t key, const struct hint *hint)
{
	unsigned *n = ctx;

	(void)key, (void)hint;
	return ++*n < 1000;
}

TEST(expiry_takes_what_is_old)
{
	struct hints *h = fresh();
	struct arena *a = arena_new(0);
	uint64_t gone = 0;
	unsigned n = 0;
	char key[20];

	CHECK(hints_open(h));
	CHECK_EQ_INT(hints_each(h, count_one, &n, NULL), RC_OK);
	CHECK_EQ_INT(n, 0);
	CHECK_EQ_INT(hints_expire(h, NOW, &gone, NULL), RC_OK);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(key, sizeof key, "key %d", i);
		CHECK_EQ_INT(
		    hints_put(h, slice_cstr(key), SL("x"), i % 3 == 0 ? NOW - 1 : NOW, NULL),
		    RC_OK);
	}
	CHECK_EQ_INT(hints_each(h, count_one, &n, NULL), RC_OK);
	CHECK_EQ_INT(n, 300);
	CHECK_EQ_INT(hints_expire(h, NOW, &gone, NULL), RC_OK);
	CHECK_EQ_INT(gone, 100);
	n = 0;
	CHECK_EQ_INT(hints_each(h, count_one, &n, NULL), RC_OK);
	CHECK_EQ_INT(n, 200);
	struct hint got;
	CHECK_EQ_INT(hints_get(h, SL("key 0"), a, &got, NULL), RC_FAIL);
	CHECK_EQ_INT(hints_get(h, SL("key 1"), a, &got, NULL), RC_OK);
	arena_free(&a);
	finish(&h);
}

TEST(garbage_is_set_aside)
{
	struct hints *h = fresh();

	write_garbage(file(""), 100000);
	CHECK(hints_open(h));
	CHECK_EQ_INT(hints_put(h, SL("k"), SL("v"), NOW, NULL), RC_OK);
	CHECK_EQ_INT(access(file(".aside"), F_OK), 0);
	finish(&h);
	h = fresh(); /* a folder in its place, too */
	CHECK_EQ_INT(mkdir(file(""), 0755), 0);
	CHECK(hints_open(h));
	CHECK_EQ_INT(rmdir(file(".aside")), 0);
	finish(&h);
	h = fresh(); /* a link is not followed */
	CHECK_EQ_INT(symlink("/nonexistent/x", file("")), 0);
	CHECK(hints_open(h));
	finish(&h);
	h = fresh(); /* whoever opened it last did not live to the end of it */
	CHECK(hints_open(h));
	CHECK_EQ_INT(hints_put(h, SL("k"), SL("v"), NOW, NULL), RC_OK);
	hints_free(&h);
	write_garbage(file(".opening"), 1);
	h = make(0);
	struct arena *a = arena_new(0);
	struct hint got;
	CHECK(hints_open(h));
	CHECK_EQ_INT(hints_get(h, SL("k"), a, &got, NULL), RC_FAIL);
	arena_free(&a);
	finish(&h);
}

/* What the library cannot see: a record whose bytes are not those that were written. */
TEST(a_changed_record_is_none)
{
	struct hints *h = fresh();
	struct arena *a = arena_new(0);
	struct hint got;
	char path[300];
	KCDB *db = kcdbnew();

	(void)snprintf(path, sizeof path, "%s#msiz=0", file(""));
	CHECK(kcdbopen(db, path, KCOWRITER | KCOCREATE));
	CHECK(kcdbset(db, "k", 1, "not a record of ours", 20));
	CHECK(kcdbset(db, "long", 4, path, sizeof path));
	CHECK(kcdbclose(db));
	kcdbdel(db);
	CHECK(hints_open(h));
	CHECK_EQ_INT(hints_get(h, SL("k"), a, &got, NULL), RC_FAIL);
	CHECK_EQ_INT(hints_get(h, SL("long"), a, &got, NULL), RC_FAIL);
	unsigned n = 0;
	CHECK_EQ_INT(hints_each(h, count_one, &n, NULL), RC_OK);
	CHECK_EQ_INT(n, 0);
	CHECK_EQ_INT(
	    hints_put(h, SL("k"), SL("v"), NOW, NULL), RC_OK); /* it is simply written again */
	uint64_t gone = 0;
	CHECK_EQ_INT(hints_expire(h, NOW, &gone, NULL), RC_OK);
	CHECK_EQ_INT(gone, 1);
	arena_free(&a);
	finish(&h);
}

TEST(records_are_checked)
{
	char buf[HINT_BYTES_MAX];
	struct hint got;
	size_t n = hint_encode(SL("key"), SL("value"), NOW, buf);

	CHECK_EQ_INT(n, HINT_HEADER_BYTES + 5);
	CHECK(hint_decode(SL("key"), buf, n, &got));
	CHECK(!hint_decode(SL("kez"), buf, n, &got)); /* another's */
	for (size_t i = 0; i < n; i++)
		CHECK(!hint_decode(SL("key"), buf, i, &got));
	for (size_t i = 0; i < n * 8; i++) { /* each bit counts */
		buf[i / 8] = (char)(buf[i / 8] ^ 1 << i % 8);
		CHECK(!hint_decode(SL("key"), buf, n, &got));
		buf[i / 8] = (char)(buf[i / 8] ^ 1 << i % 8);
	}
	CHECK(hint_decode(SL("key"), buf, n, &got));
	hint_encode(SL("key"), SL("value"), -5, buf);
	CHECK(!hint_decode(SL("key"), buf, n, &got));
}

/* ---- other processes
 * ------------------------------------------------------------------------------------ */

/* A child that holds the file, and says so when it does. */
static pid_t child_that(void (*fn)(struct hints *h, int fd), int *from)
{
	int p[2];

	MUST(pipe(p) == 0);
	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(p[0]);
		struct hints *h = make(0);
		if (hints_open(h))
			fn(h, p[1]);
		_exit(1);
	}
	(void)close(p[1]);
	*from = p[0];
	return pid;
}

static void hold(struct hints *h, int fd)
{
	(void)(hints_put(h, SL("his"), SL("x"), NOW, NULL) == RC_OK);
	(void)!write(fd, "!", 1);
	for (;;)
		(void)pause();
}

TEST(locked_by_another_process)
{
	struct hints *h = fresh();
	struct arena *a = arena_new(0);
	struct hint got;
	char c;
	int from;
	pid_t pid = child_that(hold, &from);

	CHECK_EQ_INT(read(from, &c, 1), 1);
	int64_t began = clock_mono_us();
	CHECK(hints_open(h));
	CHECK(clock_mono_us() - began >= US_PER_SEC / 5); /* it was given time to go */
	CHECK_EQ_INT(hints_put(h, SL("k"), SL("v"), NOW, NULL), RC_OK);
	CHECK_EQ_INT(hints_get(h, SL("his"), a, &got, NULL), RC_FAIL);
	CHECK_EQ_INT(access(file(".aside"), F_OK), 0);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)close(from);
	arena_free(&a);
	finish(&h);
}

static void write_until_killed(struct hints *h, int fd)
{
	char key[20], buf[8];

	for (uint32_t i = 0;; i++) {
		(void)snprintf(key, sizeof key, "k%u", i);
		if (hints_put(h, slice_cstr(key),
		        SL("a value that is worth to be kept, if it can be"), NOW + i,
		        NULL) != RC_OK ||
		    hints_update(h, SL("counter"), count_up, buf, NOW, NULL) != RC_OK)
			_exit(1);
		(void)!write(fd, &i, sizeof i); /* acknowledged */
	}
}

TEST(a_killed_process_loses_nothing)
{
	for (int round = 0; round < 3; round++) {
		struct hints *h = fresh();
		struct arena *a = arena_new(0);
		struct hint got;
		uint32_t last = 0, x;
		char key[20];
		int from;
		unsigned bad = 0;
		pid_t pid = child_that(write_until_killed, &from);
		while (last < 300 + (uint32_t)round * 431 && read(from, &x, sizeof x) == sizeof x)
			last = x;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		while (read(from, &x, sizeof x) == sizeof x)
			last = x;
		(void)close(from);
		CHECK(last >= 300);
		CHECK(hints_open(h));
		CHECK(access(file(".aside"), F_OK) != 0);
		for (uint32_t i = 0; i <= last; i++) {
			(void)snprintf(key, sizeof key, "k%u", i);
			bad += hints_get(h, slice_cstr(key), a, &got, NULL) != RC_OK ||
			       got.time_us != NOW + i;
		}
		CHECK_EQ_INT(bad, 0);
		arena_free(&a);
		finish(&h);
	}
}

static bool tell(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool told = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		(void)close(fd);
	return told;
}

/* A file system may be mounted here, and files made on it: an ordinary user is root of a name space
 * for that. */
static bool may_mount(void)
{
	char users[40], groups[40];
	uid_t uid = geteuid();

	(void)snprintf(users, sizeof users, "0 %u 1", (unsigned)uid);
	(void)snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
	if (uid == 0)
		return unshare(CLONE_NEWNS) == 0 &&
		       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && tell("/proc/self/uid_map", users) &&
	       tell("/proc/self/setgroups", "deny") && tell("/proc/self/gid_map", groups);
}

/* In a child with a small file system of its own: its exit status is the number of the step that
 * went wrong. */
static int fill_the_disk(void)
{
	struct arena *a = arena_new(0);
	char value[1000], key[20];
	struct hint got;
	int i;

	if (!may_mount() || mount("tmpfs", folder, "tmpfs", 0, "size=1m") != 0)
		return 77;
	struct hints *h = make(0);
	memset(value, 'x', sizeof value);
	if (!hints_open(h))
		return 1;
	for (i = 0; i < 5000; i++) {
		(void)snprintf(key, sizeof key, "k%d", i);
		if (hints_put(h, slice_cstr(key), slice_tainted(value, sizeof value), NOW, NULL) !=
		    RC_OK)
			break;
	}
	if (i < 50 || i == 5000)
		return 2;
	for (int k = 0; k < 100; k++) /* it goes on saying so */
		if (hints_put(h, SL("more"), slice_tainted(value, sizeof value), NOW, NULL) !=
		    RC_DEFER)
			return 3;
	if (hints_get(h, SL("k0"), a, &got, NULL) != RC_OK || got.value.len != sizeof value)
		return 4;
	hints_free(&h);
	h = make(0);
	if (!hints_open(
	        h)) /* on the full disk: what can be read of it is read, or nothing is there */
		return hints_get(h, SL("k0"), a, &got, NULL) == RC_DEFER ? 0 : 5;
	(void)!hints_get(h, SL("k0"), a, &got, NULL);
	(void)!hints_remove(h, SL("k0"), NULL);
	hints_tend(h);
	hints_free(&h);
	arena_free(&a);
	return 0;
}

TEST(a_full_disk_is_no_end)
{
	struct hints *h = fresh();
	int status = -1;

	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fill_the_disk());
	(void)waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		printf("# no small file system can be mounted here\n");
	else
		CHECK_EQ_INT(status, 0);
	finish(&h);
}

TAP_MAIN()
