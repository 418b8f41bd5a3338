/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/file.h"

#include "base/io.h"
#include "lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct log_time at(int64_t second, int day)
{
	return (struct log_time){.second = second, .year = 2003, .month = 12, .day = day};
}

/* The examples of the manual. */
TEST(names)
{
	static const struct {
		const char *pattern, *main, *panic;
	} rows[] = {
	    {"/l/%slog", "/l/mainlog", "/l/paniclog"},
	    {"/l/%slog-%D", "/l/mainlog-20031225", "/l/paniclog"},
	    {"/l/exim-%s-%D.log", "/l/exim-main-20031225.log", "/l/exim-panic.log"},
	    {"/l/%D-%slog", "/l/20031225-mainlog", "/l/paniclog"},
	    {"/l/%s.%M", "/l/main.200312", "/l/panic"},
	    {"/l/%D/%s", "/l/20031225/main", "/l/panic"},
	    {"/l/%d%%%s%", "/l/%d%%main%", "/l/%d%%panic%"},
	};
	struct log_time t = at(0, 25);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char out[64];
		CHECK(log_file_name(rows[i].pattern, "main", &t, out, sizeof out));
		CHECK_EQ_STR(slice_cstr(out), rows[i].main);
		CHECK(log_file_name(rows[i].pattern, "panic", &t, out, sizeof out));
		CHECK_EQ_STR(slice_cstr(out), rows[i].panic);
	}
	char small[11];
	CHECK(log_file_name("/l/%slog", "main", &t, small, sizeof small));
	CHECK(!log_file_name("/l/%slogs", "main", &t, small, sizeof small));
}

struct place {
	char dir[PATH_MAX - 100], pattern[PATH_MAX], path[PATH_MAX];
	struct arena *a;
};

static void place_init(struct place *p, const char *name)
{
	(void)snprintf(p->dir, sizeof p->dir, "%s/%s", tap_dir(), name);
	(void)snprintf(p->pattern, sizeof p->pattern, "%s/%%s-%%D", p->dir);
	p->a = arena_new(0);
}

static slice_t content(struct place *p, const char *name)
{
	slice_t out = slice_absent();
	(void)snprintf(p->path, sizeof p->path, "%s/%s", p->dir, name);
	return io_read_file(p->a, p->path, 1 << 20, &out, NULL) == RC_OK ? out
	                                                                 : slice_cstr("(none)");
}

static bool put(struct log_file *f, const char *text, int64_t second, int day)
{
	struct log_time t = at(second, day);
	return log_file_write(f, text, strlen(text), &t);
}

TEST(follows_renames_and_dates)
{
	struct place p;
	struct log_file f;
	place_init(&p, "follow");
	CHECK_EQ_INT(log_file_init(&f, p.pattern, "main", 0640, NULL), RC_OK);
	CHECK_EQ_STR(content(&p, "main-20031225"), "(none)"); /* nothing written, no file */
	(void)umask(077);
	CHECK(put(&f, "a\n", 100, 25) && put(&f, "b\n", 100, 25));
	(void)umask(022);
	CHECK_EQ_STR(content(&p, "main-20031225"), "a\nb\n");
	struct stat st;
	CHECK(stat(p.path, &st) == 0 && (st.st_mode & 07777) == 0640);
	char old[PATH_MAX];
	(void)snprintf(old, sizeof old, "%s/old", p.dir);
	CHECK(rename(p.path, old) == 0);
	CHECK(put(&f, "same second\n", 100, 25));
	CHECK(put(&f, "c\n", 101, 25));
	CHECK_EQ_STR(content(&p, "old"), "a\nb\nsame second\n");
	CHECK_EQ_STR(content(&p, "main-20031225"), "c\n");
	CHECK(unlink(p.path) == 0 && put(&f, "d\n", 102, 25));
	CHECK_EQ_STR(content(&p, "main-20031225"), "d\n");
	CHECK(put(&f, "e\n", 103, 26));
	CHECK_EQ_STR(content(&p, "main-20031226"), "e\n");
	CHECK_EQ_STR(content(&p, "main-20031225"), "d\n");
	log_file_fini(&f);
	/* and an existing one is continued */
	CHECK_EQ_INT(log_file_init(&f, p.pattern, "main", 0640, NULL), RC_OK);
	CHECK(put(&f, "f\n", 104, 26));
	CHECK_EQ_STR(content(&p, "main-20031226"), "e\nf\n");
	log_file_fini(&f);
	arena_free(&p.a);
}

TEST(refuses_what_is_no_file)
{
	struct place p;
	struct log_file f;
	char target[PATH_MAX];
	place_init(&p, "refuse");
	CHECK(mkdir(p.dir, 0700) == 0);
	(void)snprintf(target, sizeof target, "%s/target", p.dir);
	(void)snprintf(p.path, sizeof p.path, "%s/main-20031225", p.dir);
	CHECK(symlink(target, p.path) == 0);
	CHECK_EQ_INT(log_file_init(&f, p.pattern, "main", 0640, NULL), RC_OK);
	CHECK(!put(&f, "a\n", 100, 25));
	CHECK(access(target, F_OK) == -1);
	/* a failure is remembered for its second only */
	CHECK(unlink(p.path) == 0);
	CHECK(!put(&f, "b\n", 100, 25));
	CHECK(put(&f, "c\n", 101, 25));
	CHECK_EQ_STR(content(&p, "main-20031225"), "c\n");
	CHECK(unlink(p.path) == 0 && mkfifo(p.path, 0600) == 0);
	CHECK(!put(&f, "d\n", 102, 25));
	CHECK(unlink(p.path) == 0 && mkdir(p.path, 0700) == 0);
	CHECK(!put(&f, "e\n", 103, 25));
	CHECK(rmdir(p.path) == 0 && put(&f, "f\n", 104, 25));
	CHECK_EQ_STR(content(&p, "main-20031225"), "f\n");
	log_file_fini(&f);
	arena_free(&p.a);
}

enum { WRITERS = 4, LINES = 3000 };
static struct log_file shared;
static _Atomic int64_t fake_second;
static _Atomic bool rotating;
static _Atomic unsigned refused;

/* A second goes by with every line, so that each of them looks at the name. */
static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++) {
		char text[40];
		(void)snprintf(text, sizeof text, "%d %d\n", *(int *)arg, i);
		if (!put(&shared, text, atomic_fetch_add(&fake_second, 1), 25))
			atomic_fetch_add(&refused, 1);
	}
	return NULL;
}

static void *rotate(void *arg)
{
	struct place *p = arg;
	char from[PATH_MAX], to[PATH_MAX];
	(void)snprintf(from, sizeof from, "%s/main-20031225", p->dir);
	for (int i = 0; atomic_load(&rotating);) {
		(void)snprintf(to, sizeof to, "%s/old%d", p->dir, i);
		if (rename(from, to) == 0)
			i++;
		(void)usleep(500);
	}
	return NULL;
}

static size_t count_lines(slice_t text, char seen[WRITERS][LINES])
{
	slice_t line;
	size_t bad = 0;
	while (slice_next(&text, '\n', &line) && line.len) {
		slice_t number;
		int64_t w = -1, n = -1;
		if (slice_next(&line, ' ', &number) && slice_to_i64(number, 10, false, &w) &&
		    slice_to_i64(line, 10, false, &n) && w >= 0 && w < WRITERS && n >= 0 &&
		    n < LINES)
			seen[w][n]++;
		else
			bad++;
	}
	return bad;
}

/* Each line whole and once, over all the files that were renamed under the writers. */
TEST(writers_and_rotation_lose_nothing)
{
	struct place p;
	place_init(&p, "threads");
	CHECK_EQ_INT(log_file_init(&shared, p.pattern, "main", 0640, NULL), RC_OK);
	pthread_t threads[WRITERS], rotator;
	int numbers[WRITERS];
	atomic_store(&rotating, true);
	CHECK(pthread_create(&rotator, NULL, rotate, &p) == 0);
	for (int i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		CHECK(pthread_create(&threads[i], NULL, write_lines, &numbers[i]) == 0);
	}
	for (int i = 0; i < WRITERS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	atomic_store(&rotating, false);
	CHECK(pthread_join(rotator, NULL) == 0);
	static char seen[WRITERS][LINES];
	size_t bad = 0, once = 0;
	int files = 0;
	slice_t last = content(&p, "main-20031225");
	if (!slice_eqs(last, "(none)"))
		bad += count_lines(last, seen);
	for (;; files++) {
		slice_t old = content(&p, arena_printf(p.a, "old%d", files).ptr);
		if (slice_eqs(old, "(none)"))
			break;
		bad += count_lines(old, seen);
	}
	for (int w = 0; w < WRITERS; w++)
		for (int n = 0; n < LINES; n++)
			once += seen[w][n] == 1;
	CHECK(files > 3);
	CHECK_EQ_INT(bad, 0);
	CHECK_EQ_INT(once, WRITERS * LINES);
	CHECK_EQ_INT(refused, 0);
	log_file_fini(&shared);
	arena_free(&p.a);
}

TEST(no_such_log)
{
	struct log_file f;
	CHECK_EQ_INT(log_file_init(&f, NULL, "main", 0640, NULL), RC_OK);
	CHECK(!put(&f, "a\n", 1, 1));
	log_file_fini(&f);
}

TEST(makes_two_directories_at_most)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof path, "%s/x/y/z/log", tap_dir());
	CHECK(log_file_open(path, 0640) == -1 && errno == ENOENT);
	(void)snprintf(path, sizeof path, "%s/x/y/log", tap_dir());
	int fd = log_file_open(path, 0640);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(fd >= 0 && (fcntl(fd, F_GETFL) & O_APPEND));
	(void)close(fd);
}

TAP_MAIN()
