/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log.h"

#include "base/io.h"
#include "lib/tap.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	struct arena *a;
	struct log_config cfg;
	struct log *log;
	char spool[PATH_MAX / 2];
	int saved_stderr;
};

/* stderr goes to SPOOL/stderr meanwhile. */
static void set_up(struct fixture *f, const char *name)
{
	f->a = arena_new(0);
	f->log = NULL;
	(void)snprintf(f->spool, sizeof f->spool, "%s/%s", tap_dir(), name);
	(void)mkdir(f->spool, 0700);
	log_config_init(&f->cfg);
	f->cfg.spool_directory = slice_cstr(f->spool);
	f->cfg.utc = true;
	f->saved_stderr = dup(STDERR_FILENO);
	int fd =
	    open(arena_printf(f->a, "%s/stderr", f->spool).ptr, O_RDWR | O_CREAT | O_APPEND, 0600);
	(void)dup2(fd, STDERR_FILENO);
	(void)close(fd);
}

static void tear_down(struct fixture *f)
{
	(void)dup2(f->saved_stderr, STDERR_FILENO);
	(void)close(f->saved_stderr);
	log_close(&f->log);
	CHECK(f->log == NULL);
	arena_free(&f->a);
}

static void start(struct fixture *f)
{
	struct error err = {0};
	CHECK_EQ_INT(log_open(&f->cfg, &f->log, &err), RC_OK);
	CHECK_EQ_STR(slice_cstr(err.text), "");
}

static slice_t content(struct fixture *f, const char *name)
{
	slice_t out = slice_absent();
	const char *path = arena_printf(f->a, "%s/%s", f->spool, name).ptr;
	return io_read_file(f->a, path, 32 << 20, &out, NULL) == RC_OK ? out : SL("(none)");
}

/* The content with each line's time taken off, after a look at its form. */
static slice_t untimed(struct fixture *f, const char *name)
{
	slice_t rest = content(f, name), line;
	char *out = arena_bytes(f->a, rest.len + 1);
	size_t n = 0;
	while (slice_next(&rest, '\n', &line)) {
		bool timed = line.len > 20 && line.ptr[4] == '-' && line.ptr[13] == ':' &&
		             line.ptr[19] == ' ';
		slice_t shown = timed ? slice_sub(line, 20, line.len) : line;
		memcpy(out + n, shown.ptr, shown.len);
		n += shown.len;
		if (!slice_is_absent(rest))
			out[n++] = '\n';
	}
	return slice_tainted(out, n);
}

TEST(lines_go_where_they_belong)
{
	struct fixture f;
	set_up(&f, "where");
	start(&f);
	slice_t id = SL("1xVyW9-0002sO-1k");
	log_main(f.log, slice_absent(), "Start queue run: pid=%d", 5);
	log_main(f.log, id, "<= %s", "a@b");
	CHECK_EQ_STR(
	    untimed(&f, "log/mainlog"), "Start queue run: pid=5\n1xVyW9-0002sO-1k <= a@b\n");
	CHECK_EQ_STR(content(&f, "log/rejectlog"), "(none)");
	CHECK_EQ_STR(content(&f, "log/paniclog"), "(none)");
	CHECK_EQ_STR(content(&f, "stderr"), "");
	log_reject(f.log, id, "rejected: %s", "no\nway");
	CHECK_EQ_STR(untimed(&f, "log/rejectlog"), "1xVyW9-0002sO-1k rejected: no\\nway\n");
	log_panic(f.log, slice_absent(), "out of %s", "luck");
	CHECK_EQ_STR(untimed(&f, "log/paniclog"), "out of luck\n");
	CHECK_EQ_STR(untimed(&f, "stderr"), "out of luck\n");
	CHECK_EQ_STR(untimed(&f, "log/mainlog"),
	    "Start queue run: pid=5\n1xVyW9-0002sO-1k <= a@b\n"
	    "1xVyW9-0002sO-1k rejected: no\\nway\nout of luck\n");
	log_text(f.log, LOG_TO_REJECT, id, SL("only here"), SL("Envelope-from: <a>\nF From: x\n"));
	CHECK_EQ_STR(untimed(&f, "log/rejectlog"),
	    "1xVyW9-0002sO-1k rejected: no\\nway\n"
	    "1xVyW9-0002sO-1k only here\nEnvelope-from: <a>\nF From: x\n");
	CHECK_EQ_INT(log_failures(f.log), 0);
	tear_down(&f);
}

TEST(options_of_a_line)
{
	struct fixture f;
	set_up(&f, "options");
	f.cfg.zone = true;
	f.cfg.write_rejectlog = false;
	f.cfg.also_stderr = true;
	f.cfg.print_topbitchars = true;
	CHECK_EQ_INT(log_selector_parse(SL("+pid +millisec"), &f.cfg.selector, NULL), RC_OK);
	f.cfg.path = slice_cstr(arena_printf(f.a, " %s/l-%%s : ", f.spool).ptr);
	start(&f);
	CHECK(log_selected(f.log, LOG_PID) && !log_selected(f.log, LOG_SUBJECT));
	log_reject(f.log, SL("id"), "\xc3\xa4");
	slice_t line = content(&f, "l-main");
	/* 2026-11-24 21:57:37.541 +0000 [11060] id x */
	CHECK(line.len > 31 && line.ptr[19] == '.');
	CHECK(slice_eqs(slice_sub(line, 23, 8), " +0000 ["));
	CHECK_EQ_STR(slice_sub(line, 30, line.len),
	    arena_printf(f.a, "[%ld] id \xc3\xa4\n", (long)getpid()).ptr);
	CHECK_EQ_STR(content(&f, "l-reject"), "(none)");
	CHECK(slice_eq(content(&f, "stderr"), line));
	CHECK_EQ_INT(log_failures(f.log), 0);
	tear_down(&f);
}

TEST(secrets_and_long_texts)
{
	struct fixture f;
	set_up(&f, "texts");
	start(&f);
	slice_t secret = SL("hunter2");
	secret.flags |= HEDDLE_SECRET;
	log_text(f.log, LOG_TO_MAIN, slice_absent(), secret, slice_absent());
	char big[9000];
	memset(big, 'b', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	log_main(f.log, slice_absent(), "<%s>", big);
	slice_t got = untimed(&f, "log/mainlog");
	CHECK(slice_starts(got, "<secret>\n<bbb"));
	CHECK_EQ_INT(got.len, 9 + 9001 + 1);
	tear_down(&f);
}

TEST(refused_configurations)
{
	static const struct {
		const char *path, *why;
	} rows[] = {
	    {"syslog", "not supported yet: log_file_path = syslog"},
	    {"/tmp/%slog : syslog", "not supported yet: log_file_path = syslog"},
	    {":syslog", "not supported yet: log_file_path = syslog"},
	    {"/tmp/abc", "log_file_path \"/tmp/abc\" does not contain \"%s\""},
	    {"log/%slog", "log_file_path \"log/%slog\" is not an absolute path"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct log_config cfg;
		struct log *log = NULL;
		struct error err = {0};
		log_config_init(&cfg);
		cfg.path = slice_cstr(rows[i].path);
		CHECK_EQ_INT(log_open(&cfg, &log, &err), RC_ERROR);
		CHECK_EQ_STR(slice_cstr(err.text), rows[i].why);
		CHECK(log == NULL);
	}
}

TEST(more_than_one_path)
{
	struct fixture f;
	set_up(&f, "two");
	f.cfg.path = slice_cstr(arena_printf(f.a, "%s/a%%s:%s/b%%s", f.spool, f.spool).ptr);
	start(&f);
	slice_t want = arena_printf(
	    f.a, "More than one path given in log_file_path: using %s/a%%s\n", f.spool);
	CHECK(slice_eq(untimed(&f, "apanic"), want));
	CHECK_EQ_STR(content(&f, "bmain"), "(none)");
	tear_down(&f);
}

TEST(no_log_falls_back_to_stderr)
{
	struct fixture f;
	set_up(&f, "null");
	log_main(NULL, SL("id"), "one");
	log_debug(NULL, LOG_D_ACL, "not shown");
	log_message(NULL, SL("1xVyW9-0002sO-1k"), slice_absent(), SL("x"));
	log_message_done(NULL, SL("1xVyW9-0002sO-1k"));
	struct log *none = NULL;
	log_close(&none);
	CHECK_EQ_STR(untimed(&f, "stderr"), "id one\n");
	CHECK_EQ_INT(log_failures(NULL), 0);
	tear_down(&f);
}

TEST(what_cannot_be_written_is_counted)
{
	struct fixture f;
	set_up(&f, "fail");
	f.cfg.path = slice_cstr(arena_printf(f.a, "%s/stderr/%%s", f.spool).ptr); /* below a file */
	start(&f);
	log_main(f.log, slice_absent(), "first");
	log_reject(f.log, slice_absent(), "second");
	CHECK_EQ_STR(untimed(&f, "stderr"), "first\nsecond\n");
	CHECK_EQ_INT(log_failures(f.log), 3);
	tear_down(&f);
}

TEST(short_writes_are_told)
{
	struct fixture f;
	set_up(&f, "full");
	f.cfg.also_stderr = false;
	start(&f);
	log_main(f.log, slice_absent(), "fits");
	/* a limit on the file's size stands for a full disk: the write is cut or refused */
	struct rlimit was, small;
	CHECK(getrlimit(RLIMIT_FSIZE, &was) == 0);
	small = was;
	small.rlim_cur = 40;
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	log_main(f.log, slice_absent(), "does not fit any more");
	CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
	(void)signal(SIGXFSZ, handler);
	CHECK_EQ_INT(log_failures(f.log), 1);
	log_main(f.log, slice_absent(), "again");
	CHECK_EQ_INT(log_failures(f.log), 1);
	tear_down(&f);
}

TEST(message_logs)
{
	struct fixture f;
	set_up(&f, "msglog");
	start(&f);
	slice_t id = SL("1xVyW9-0002sO-1k");
	log_message(f.log, id, slice_absent(), SL("Received\nfrom"));
	log_message(f.log, id, slice_absent(), SL("again"));
	CHECK_EQ_STR(untimed(&f, "msglog/1xVyW9-0002sO-1k"), "Received\\nfrom\nagain\n");
	log_message_done(f.log, id);
	CHECK_EQ_STR(content(&f, "msglog/1xVyW9-0002sO-1k"), "(none)");
	log_message_done(f.log, id);
	log_message(f.log, SL("../../etc/x"), slice_absent(), SL("no"));
	log_message(f.log, SL("short"), slice_absent(), SL("no"));
	log_message(f.log, slice_absent(), slice_absent(), SL("no"));
	CHECK_EQ_INT(log_failures(f.log), 0);
	log_close(&f.log);
	f.cfg.split_spool_directory = f.cfg.preserve_message_logs = true;
	start(&f);
	log_message(f.log, id, SL("Received"), SL("kept"));
	log_message(f.log, id, SL("Received"), SL("too"));
	CHECK_EQ_STR(untimed(&f, "msglog/W/1xVyW9-0002sO-1k"), "(none)");
	CHECK_EQ_STR(untimed(&f, "msglog/9/1xVyW9-0002sO-1k"), "Received\nkept\ntoo\n");
	log_message_done(f.log, id);
	CHECK_EQ_STR(content(&f, "msglog/9/1xVyW9-0002sO-1k"), "(none)");
	CHECK_EQ_STR(untimed(&f, "msglog.OLD/9/1xVyW9-0002sO-1k"), "Received\nkept\ntoo\n");
	log_message_done(f.log, id);
	CHECK_EQ_INT(log_failures(f.log), 0);
	log_close(&f.log);
	f.cfg.message_logs = false;
	start(&f);
	log_message(f.log, SL("1xVyW9-0002sO-1z"), slice_absent(), SL("off"));
	CHECK_EQ_STR(content(&f, "msglog/9/1xVyW9-0002sO-1z"), "(none)");
	tear_down(&f);
}

TEST(debug_output)
{
	struct fixture f;
	set_up(&f, "debug");
	CHECK_EQ_INT(log_debug_parse(SL("-all+acl"), &f.cfg.debug, NULL), RC_OK);
	start(&f);
	CHECK(log_debugging(f.log, LOG_D_ACL) && !log_debugging(f.log, LOG_D_DNS));
	log_debug(f.log, LOG_D_ACL, "processing \"%s\"", "accept\x01");
	log_debug(f.log, LOG_D_DNS, "not asked for");
	CHECK_EQ_STR(content(&f, "stderr"), "processing \"accept\\001\"\n");
	log_close(&f.log);
	CHECK_EQ_INT(log_debug_parse(SL("-all+acl+pid"), &f.cfg.debug, NULL), RC_OK);
	start(&f);
	log_debug(f.log, LOG_D_ACL, "x");
	CHECK(slice_search(content(&f, "stderr"), arena_printf(f.a, "\n%ld x\n", (long)getpid())) !=
	      SIZE_MAX);
	tear_down(&f);
}

enum { WRITERS = 6, LINES = 2000 };
struct writer {
	struct log *log;
	int number;
};

static void *write_lines(void *arg)
{
	const struct writer *w = arg;
	for (int i = 0; i < LINES; i++)
		log_main(w->log, SL("1xVyW9-0002sO-1k"), "writer %d line %04d", w->number, i);
	return NULL;
}

static _Atomic bool rotating;

/* Takes the file away again and again, as a rotation does. */
static void *rotate(void *arg)
{
	struct fixture *f = arg;
	char from[PATH_MAX], to[PATH_MAX];
	(void)snprintf(from, sizeof from, "%s/log/mainlog", f->spool);
	for (int i = 0; atomic_load(&rotating);) {
		(void)snprintf(to, sizeof to, "%s/log/old%d", f->spool, i);
		if (rename(from, to) == 0)
			i++;
		(void)usleep(2000);
	}
	return NULL;
}

/* Each line whole, each writer's lines in order and all there, over all files that were rotated
 * away. */
TEST(threads_and_rotation_lose_nothing)
{
	struct fixture f;
	set_up(&f, "threads");
	start(&f);
	pthread_t threads[WRITERS], rotator;
	struct writer writers[WRITERS];
	atomic_store(&rotating, true);
	CHECK(pthread_create(&rotator, NULL, rotate, &f) == 0);
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){f.log, i};
		CHECK(pthread_create(&threads[i], NULL, write_lines, &writers[i]) == 0);
	}
	for (int i = 0; i < WRITERS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	atomic_store(&rotating, false);
	CHECK(pthread_join(rotator, NULL) == 0);
	static char seen[WRITERS][LINES];
	size_t lines = 0, bad = 0;
	for (int i = -1;; i++) {
		char name[40] = "log/mainlog";
		if (i >= 0)
			(void)snprintf(name, sizeof name, "log/old%d", i);
		slice_t rest = untimed(&f, name), line;
		if (slice_eqs(rest, "(none)")) {
			if (i >= 0)
				break;
			continue;
		}
		while (slice_next(&rest, '\n', &line) && line.len) {
			int w, n;
			char text[80] = "";
			memcpy(text, line.ptr, line.len < 79 ? line.len : 79);
			lines++;
			if (line.len != 35 ||
			    sscanf(text, "1xVyW9-0002sO-1k writer %d line %d", &w, &n) != 2)
				bad++;
			else
				seen[w][n]++;
		}
	}
	size_t once = 0;
	for (int w = 0; w < WRITERS; w++)
		for (int n = 0; n < LINES; n++)
			once += seen[w][n] == 1;
	CHECK_EQ_INT(lines, WRITERS * LINES);
	CHECK_EQ_INT(bad, 0);
	CHECK_EQ_INT(once, WRITERS * LINES);
	CHECK_EQ_INT(log_failures(f.log), 0);
	tear_down(&f);
}

TAP_MAIN()
