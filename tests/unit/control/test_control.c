/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control socket: what requests answer, the forms of listings, and both ends over a real
 * socket. */
#include "control/control.h"
#include "lib/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NOW (INT64_C(1700000000) * US_PER_SEC)

static struct arena *arena;
static struct queue_index *idx;

static void add(uint64_t serial, int64_t age_s, uint64_t size, const char *sender, uint32_t flags,
    const char *to, enum queue_recipient_state state)
{
	struct queue_recipient *r = ARENA_ARRAY(arena, struct queue_recipient, 3);
	struct queue_message m = {.id = {serial, 1700000000},
	    .received_us = NOW - age_s * US_PER_SEC,
	    .sender = slice_cstr(sender),
	    .flags = flags,
	    .recipients = r,
	    .headers_size = size,
	    .n_recipients = 2,
	    .next_attempt_us = INT64_MAX};
	struct error err;

	r[0].address = slice_cstr(to);
	r[0].state = state;
	r[1].address = SL("second@x.example");
	CHECK_EQ_INT(queue_index_insert(idx, &m, false, NULL, &err), RC_OK);
}

static void begin(void)
{
	arena = arena_new(0);
	idx = queue_index_new();
}

static void end(void)
{
	queue_index_free(&idx);
	arena_free(&arena);
}

static slice_t listing(const slice_t *only, uint32_t n)
{
	struct strbuf sb;
	strbuf_init(&sb, arena, 0);
	const struct control_list what = {.only = only, .count = n, .now_us = NOW};
	control_list_queue(idx, &what, &sb);
	return strbuf_slice(&sb);
}

static const char *id_of(uint64_t serial)
{
	char *p = arena_bytes(arena, QUEUE_ID_LEN + 1);
	queue_id_text((struct queue_id){serial, 1700000000}, p);
	return p;
}

/* What exim4 -bp prints for such messages. */
TEST(listing_form)
{
	begin();
	CHECK_EQ_STR(listing(NULL, 0), "");
	add(1, 25 * 60, 2900, "caesar@rome.example", 0, "brutus@rome.example", QUEUE_RCPT_PENDING);
	add(2, 100 * 3600, 800, "", QUEUE_MSG_FROZEN, "done@rome.example", QUEUE_RCPT_DELIVERED);
	add(3, 0, 5, "a@b", 0, "gone@rome.example", QUEUE_RCPT_REMOVED);
	slice_t want = arena_printf(arena,
	    "25m  2.8K %s <caesar@rome.example>\n          brutus@rome.example\n          "
	    "second@x.example\n\n"
	    " 4d   800 %s <> *** frozen ***\n        D done@rome.example\n          "
	    "second@x.example\n\n"
	    " 0m     5 %s <a@b>\n          second@x.example\n\n",
	    id_of(1), id_of(2), id_of(3));
	CHECK_EQ_STR(listing(NULL, 0), arena_cstr(arena, want));
	slice_t only[2] = {slice_cstr(id_of(3)), SL("1aaaaa-000000-00")};
	CHECK_EQ_STR(listing(only, 2),
	    arena_cstr(arena, arena_printf(arena,
	                          " 0m     5 %s <a@b>\n          second@x.example\n\n", id_of(3))));
	end();
}

TEST(ages_and_sizes)
{
	static const struct {
		int64_t age_s;
		uint64_t size;
		const char *want;
	} rows[] = {
	    {-5, 0, " 0m     0 "},
	    {29, 1023, " 0m  1023 "},
	    {30, 1024, " 1m  1.0K "},
	    {89 * 60, 10239, "89m 10.0K "},
	    {90 * 60, 10240, " 2h   10K "},
	    {71 * 3600, 1024 * 1024 - 1, "71h 1024K "},
	    {72 * 3600, 1024 * 1024, " 3d  1.0M "},
	    {30 * 86400, 50 * 1024 * 1024, "30d   50M "},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin();
		add(1, rows[i].age_s, rows[i].size, "", 0, "x@y", QUEUE_RCPT_PENDING);
		slice_t got = listing(NULL, 0);
		CHECK_EQ_STR(slice_sub(got, 0, strlen(rows[i].want)), rows[i].want);
		end();
	}
}

/* ---- requests
 * ------------------------------------------------------------------------------------------- */

static struct control_config cfg;
static struct control_asker asker = {.name = SL_INIT("uid 0"), .admin = true};

static enum rc ask(const char *request, slice_t *out, struct error *err)
{
	static struct strbuf sb;
	strbuf_init(&sb, arena, 0);
	*err = (struct error){.text = ""};
	enum rc rc =
	    control_answer(&cfg, slice_tainted(request, strlen(request)), &asker, &sb, err);
	*out = strbuf_slice(&sb);
	return rc;
}

static enum rc reload(void *ctx, struct error *err)
{
	int *n = ctx;
	return ++*n == 1 ? RC_OK : error_set(err, RC_DEFER, "master is busy");
}

TEST(words)
{
	static const struct {
		const char *request;
		enum rc rc;
		const char *want; /* answer, or error */
	} rows[] = {
	    {"count", RC_OK, "2\n"},
	    {"  count  ", RC_OK, "2\n"},
	    {"", RC_FAIL, "empty request"},
	    {"   ", RC_FAIL, "empty request"},
	    {"counts", RC_FAIL, "unknown request: counts"},
	    {"COUNT", RC_FAIL, "unknown request: COUNT"},
	    {"freeze", RC_FAIL, "freeze wants at least 1 words"},
	    {"deliver", RC_FAIL, "deliver wants at least 1 words"},
	    {"remove nonsense", RC_FAIL, "nonsense is not a message id"},
	    {"deliver 1", RC_FAIL, "1 is not a message id"},
	    {"run sideways", RC_FAIL, "unknown word: sideways"},
	    {"reload", RC_OK, ""},
	    {"reload", RC_DEFER, "master is busy"},
	};
	int reloads = 0;
	begin();
	cfg = (struct control_config){.index = idx, .reload = reload, .ctx = &reloads};
	add(1, 0, 1, "", 0, "x@y", QUEUE_RCPT_PENDING);
	add(2, 0, 1, "", 0, "x@y", QUEUE_RCPT_PENDING);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct error err;
		slice_t out;
		CHECK_EQ_INT(ask(rows[i].request, &out, &err), rows[i].rc);
		CHECK_EQ_STR(rows[i].rc == RC_OK ? out : slice_cstr(err.text), rows[i].want);
	}
	struct error err;
	slice_t out;
	CHECK_EQ_INT(ask("ids", &out, &err), RC_OK);
	CHECK_EQ_STR(out, arena_cstr(arena, arena_printf(arena, "%s\n%s\n", id_of(1), id_of(2))));
	char *many = arena_bytes(arena, 9000);
	memset(many, ' ', 8999);
	for (size_t i = 0; i < 8900; i += 2)
		many[i] = 'x';
	CHECK_EQ_INT(ask(many, &out, &err), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(err.text), "more than 4096 words");
	end();
}

/* ---- both ends
 * ------------------------------------------------------------------------------------------ */

static struct pool *pool;
static struct reactor *reactor;
static struct control *control;
static char path[80];

static void serve(void)
{
	struct pool_config pc = {.name = "ctl", .min = 2, .max = 8};
	struct reactor_config rc = {.name = "ctl-r", .threads = 1};
	struct error err = {.text = ""};

	begin();
	CHECK_EQ_INT(pool_new(&pc, &pool, &err), RC_OK);
	CHECK_EQ_INT(reactor_new(&rc, pool, &reactor, &err), RC_OK);
	(void)snprintf(path, sizeof path, "/tmp/heddle-test-%ld.sock", (long)getpid());
	cfg = (struct control_config){.path = path, .reactor = reactor, .pool = pool, .index = idx};
	if (!CHECK_EQ_INT(control_new(&cfg, &control, &err), RC_OK))
		printf("# %s\n", err.text);
}

static void unserve(void)
{
	control_free(&control);
	reactor_cancel_all(reactor);
	CHECK(reactor_wait_empty(reactor, clock_mono_us() + 5 * US_PER_SEC));
	pool_stop(pool);
	reactor_free(&reactor);
	pool_free(&pool);
	(void)unlink(path);
	end();
}

TEST(ask_and_answer)
{
	struct error err = {.text = ""};
	slice_t out = SL("untouched");
	struct stat st;

	serve();
	for (uint64_t i = 1; i <= 5000; i++)
		add(i, 60, 1000, "sender@from.example", 0, "recipient@x.example",
		    QUEUE_RCPT_PENDING);
	CHECK_EQ_INT(control_ask(path, SL("count"), arena, &out, &err), RC_OK);
	CHECK_EQ_STR(out, "5000\n");
	CHECK_EQ_INT(control_ask(path, SL("list"), arena, &out, &err),
	    RC_OK); /* more than a socket's buffer */
	CHECK(slice_eq(out, listing(NULL, 0)) || out.len > 400000);
	CHECK(slice_eq(slice_sub(out, out.len - 2, out.len), SL("\n\n")));
	out = SL("untouched");
	CHECK_EQ_INT(control_ask(path, SL("nonsense"), arena, &out, &err), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(err.text), "unknown request: nonsense");
	CHECK_EQ_STR(out, ""); /* what was answered before it failed */
	/* anybody may connect: who is an administrator is asked of each peer */
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0666);
	unserve();
	CHECK_EQ_INT(control_ask("/nowhere/at/all.sock", SL("count"), arena, &out, &err), RC_DEFER);
}

static int dial(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fd >= 0);
	CHECK_EQ_INT(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	return fd;
}

static size_t read_rest(int fd, char *buf, size_t cap)
{
	size_t n = 0;
	ssize_t k;
	while (n < cap && (k = read(fd, buf + n, cap - n)) > 0)
		n += (size_t)k;
	return n;
}

/* Pieces, lines that are too long, peers that go away: the next one is served all the same. */
TEST(odd_peers)
{
	char buf[5000];
	struct error err = {.text = ""};
	slice_t out;

	serve();
	int fd = dial();
	CHECK(write(fd, "co", 2) == 2);
	usleep(20000);
	CHECK(write(fd, "unt\nlist\n", 9) == 9); /* one request for each connection */
	size_t n = read_rest(fd, buf, sizeof buf);
	CHECK_EQ_STR(slice_of(buf, n, 0), "0\nok\n");
	close(fd);
	fd = dial();
	memset(buf, 'x', sizeof buf);
	CHECK(send(fd, buf, sizeof buf, MSG_NOSIGNAL) > 0);
	CHECK_EQ_INT(read_rest(fd, buf, sizeof buf), 0); /* no answer, and the end */
	close(fd);
	fd = dial();
	CHECK(write(fd, "count", 5) == 5); /* and no newline */
	CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK_EQ_INT(read_rest(fd, buf, sizeof buf), 0);
	close(fd);
	for (int i = 0; i < 50; i++)
		close(dial());
	CHECK_EQ_INT(control_ask(path, SL("count"), arena, &out, &err), RC_OK);
	CHECK_EQ_STR(out, "0\n");
	unserve();
}

/* A daemon that was killed has left its socket behind. */
TEST(an_old_socket_is_replaced)
{
	struct error err = {.text = ""};
	slice_t out;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	(void)snprintf(
	    sun.sun_path, sizeof sun.sun_path, "/tmp/heddle-test-%ld.sock", (long)getpid());
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ_INT(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	close(fd);
	serve();
	CHECK_EQ_INT(control_ask(path, SL("count"), arena, &out, &err), RC_OK);
	unserve();
}

/* What an answer that is cut short, or no answer at all, is taken for. */
static const char *canned;

static void *canned_server(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	char buf[100];
	(void)!read(fd, buf, sizeof buf);
	(void)!write(fd, canned, strlen(canned));
	close(fd);
	return NULL;
}

TEST(answers_that_are_none)
{
	static const struct {
		const char *text;
		enum rc rc;
		const char *want;
	} rows[] = {
	    {"", RC_DEFER, "the answer was cut short"},
	    {"ok", RC_DEFER, "the answer was cut short"},
	    {"half a li", RC_DEFER, "the answer was cut short"},
	    {"fail no such", RC_DEFER, "the answer was cut short"},
	    {"a\nokay", RC_DEFER, "the answer was cut short"},
	    {"lines\nwithout a verdict\n", RC_DEFER, "the answer was cut short"},
	    {"ok\n", RC_OK, ""},
	    {"a\nb\nok\n", RC_OK, "a\nb\n"},
	    {"a\nfail no such thing\n", RC_FAIL, "no such thing"},
	    {"defer later\n", RC_DEFER, "later"},
	};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	begin();
	(void)snprintf(path, sizeof path, "/tmp/heddle-test-%ld.sock", (long)getpid());
	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ_INT(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	CHECK_EQ_INT(listen(fd, 5), 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		pthread_t t;
		struct error err = {.text = ""};
		slice_t out = SL("");
		canned = rows[i].text;
		CHECK_EQ_INT(pthread_create(&t, NULL, canned_server, &fd), 0);
		CHECK_EQ_INT(control_ask(path, SL("x"), arena, &out, &err), rows[i].rc);
		CHECK_EQ_STR(rows[i].rc == RC_OK ? out : slice_cstr(err.text), rows[i].want);
		(void)pthread_join(t, NULL);
	}
	close(fd);
	(void)unlink(path);
	end();
}

TAP_MAIN()
