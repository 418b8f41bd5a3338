/* SPDX-License-Identifier: GPL-3.0-or-later */
/* drivers/transport/appendfile, the real file, against a host that has the options of a table: what
 * it writes, and what it will not write to. */
#include "base/clock.h"
#include "lib/tap.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <heddle/transport.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIVEN_MAX 8
struct given {
	const char *name, *value;
};

struct heddle_call {
	struct arena *arena;
	const struct given *given; /* ends with a NULL name */
	const char *home;
	slice_t path, body; /* path: of a child, or ABSENT */
	bool path_tainted, tainted_file;
	size_t read_at;
	int64_t deadline_us;
	int cancel;
	char why[1000];
	int outcomes;
	struct heddle_outcome outcome;
};

static const struct heddle_driver *drv;

static const char *value_of(const struct heddle_call *c, uint32_t i)
{
	for (const struct given *g = c->given; g && g->name; g++)
		if (strcmp(g->name, drv->options[i].name) == 0)
			return g->value;
	return drv->options[i].initial;
}
static int32_t opt_int(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, int64_t *out)
{
	const char *v = value_of(c, i);
	(void)inst;
	if (!v)
		return HEDDLE_FAIL;
	if (drv->options[i].type == HEDDLE_T_BOOL)
		*out = strcmp(v, "true") == 0;
	else if (drv->options[i].type == HEDDLE_T_TIME)
		MUST(slice_to_ms(slice_cstr(v), out));
	else
		MUST(slice_to_i64(
		    slice_cstr(v), drv->options[i].type == HEDDLE_T_OCTAL ? 8 : 10, true, out));
	return HEDDLE_OK;
}
static int32_t opt_text(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, slice_t *out)
{
	(void)inst;
	*out = slice_cstr(value_of(c, i));
	if (c->tainted_file && strcmp(drv->options[i].name, "file") == 0)
		out->flags = 0;
	return HEDDLE_OK;
}
static void *alloc(struct heddle_call *c, uint64_t size, uint32_t align)
{
	(void)align;
	return arena_alloc(c->arena, (size_t)size);
}
static int32_t join(struct heddle_call *c, const slice_t *parts, uint32_t n, slice_t *out)
{
	char *p = arena_bytes(c->arena, 100000);
	size_t at = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (parts[i].len)
			memcpy(p + at, parts[i].ptr, parts[i].len);
		at += parts[i].len;
	}
	*out = slice_of(p, at, HEDDLE_CLEAN);
	return HEDDLE_OK;
}
static int32_t cstr(struct heddle_call *c, slice_t s, const char **out)
{
	*out = arena_cstr(c->arena, s);
	return HEDDLE_OK;
}
static void host_log(struct heddle_call *c, uint32_t level, slice_t s)
{
	(void)c, (void)level, (void)s;
}
static void reason(struct heddle_call *c, int32_t smtp, slice_t shown, slice_t logged)
{
	(void)smtp, (void)shown;
	(void)slice_copy(logged, c->why, sizeof c->why);
}
static int64_t time_left(struct heddle_call *c)
{
	int64_t left = (c->deadline_us - clock_mono_us()) / 1000;
	return left > 0 ? left : 0;
}
static int32_t get_cancel_fd(struct heddle_call *c)
{
	return c->cancel;
}
static void block(struct heddle_call *c)
{
	(void)c;
}
static slice_t instance_name(const struct heddle_instance *i)
{
	(void)i;
	return SL("box");
}
static int32_t var_get(struct heddle_call *c, slice_t name, slice_t *out)
{
	static const struct given vars[] = {{"return_path", "from@a.example"},
	    {"tod_bsdinbox", "Tue Nov 24 21:30:24 2026"}, {"primary_hostname", "mx/x:y"}};
	for (size_t i = 0; i < 3; i++)
		if (slice_eqs(name, vars[i].name)) {
			*out = slice_cstr(vars[i].value);
			return HEDDLE_OK;
		}
	*out = slice_cstr(c->home);
	return slice_eqs(name, "home") && c->home ? HEDDLE_OK : HEDDLE_FAIL;
}
static int32_t get_random(struct heddle_call *c, void *buf, uint64_t n)
{
	static _Atomic unsigned next;
	unsigned v = next++;
	(void)c;
	memcpy(buf, &v, n < sizeof v ? (size_t)n : sizeof v);
	return HEDDLE_OK;
}
static int32_t info(struct heddle_call *c, const struct heddle_job *j, struct heddle_job_info *out)
{
	(void)j;
	out->recipients = 1;
	out->path = c->path;
	return HEDDLE_OK;
}
static int32_t outcome(
    struct heddle_call *c, struct heddle_job *j, uint32_t i, const struct heddle_outcome *o)
{
	(void)j, (void)i;
	c->outcomes++;
	c->outcome = *o;
	return HEDDLE_OK;
}
static int32_t open_message(
    struct heddle_call *c, uint32_t wire, slice_t from, slice_t prefix, struct heddle_reader **out)
{
	(void)wire, (void)from, (void)prefix, (void)out;
	c->read_at = 0;
	return HEDDLE_OK;
}
/* In pieces of seven bytes, so that every line start falls on an edge sometime. */
static int32_t read_message(
    struct heddle_call *c, struct heddle_reader *r, void *buf, uint64_t cap, uint64_t *got)
{
	size_t n = c->body.len - c->read_at, most = c->body.len > 10000 ? (size_t)cap : 7;
	(void)r;
	n = n < most ? n : most;
	if (n)
		memcpy(buf, c->body.ptr + c->read_at, n);
	c->read_at += n;
	*got = n;
	return HEDDLE_OK;
}
static const struct heddle_delivery_service delivery = {
    .struct_size = sizeof delivery, .info = info, .outcome = outcome};
static const struct heddle_message_service message = {
    .struct_size = sizeof message, .open = open_message, .read = read_message};
static const void *service(const struct heddle_host *h, const char *id)
{
	(void)h;
	return strcmp(id, HEDDLE_DELIVERY_ID) == 0  ? (const void *)&delivery
	       : strcmp(id, HEDDLE_MESSAGE_ID) == 0 ? &message
	                                            : NULL;
}
static const struct heddle_host host = {.struct_size = sizeof host,
    .service = service,
    .alloc = alloc,
    .join = join,
    .cstr = cstr,
    .log = host_log,
    .reason = reason,
    .time_left = time_left,
    .cancel_fd = get_cancel_fd,
    .block_begin = block,
    .block_end = block,
    .opt_int = opt_int,
    .opt_text = opt_text,
    .instance_name = instance_name,
    .var_get = var_get,
    .random = get_random};

static void load(void)
{
	char exe[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	(void)snprintf(
	    path, sizeof path, "%s/../../../drivers/transport/appendfile.so", dirname(exe));
	void *object = drv ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (object)
		drv = dlsym(object, "heddle_driver_v1");
	MUST(drv != NULL);
}

static void begin(struct heddle_call *c, const struct given *given)
{
	load();
	*c = (struct heddle_call){.arena = arena_new(0),
	    .given = given,
	    .path = slice_absent(),
	    .cancel = -2,
	    .body = SL("Subject: x\n\nFrom here\nFrom\n>From there\nlast\n"),
	    .deadline_us = clock_mono_us() + 5 * US_PER_SEC};
	int fds[2];
	MUST(pipe(fds) == 0);
	c->cancel = fds[0];
}
static void end(struct heddle_call *c)
{
	(void)close(c->cancel);
	arena_free(&c->arena);
}

/* Make an instance, deliver, free it; -1: refused. */
static int32_t deliver(struct heddle_call *c)
{
	const struct heddle_transport_ops *ops = drv->ops;
	void *inst = NULL;
	if (drv->instance_new(c, &host, NULL, NULL, &inst) != HEDDLE_OK)
		return -1;
	int32_t rc = ops->deliver(c, inst, NULL);
	drv->instance_free(inst);
	CHECK_EQ_INT(c->outcomes, 1);
	CHECK_EQ_INT(c->outcome.result, rc);
	return rc;
}

static const char *in_dir(const char *dir, const char *name)
{
	static char paths[8][500];
	static unsigned next;
	char *p = paths[next++ % 8],
	     whole[sizeof paths[0]]; /* dir may be one of paths: built aside */
	(void)snprintf(whole, sizeof whole, "%.200s/%.200s", dir, name);
	return memcpy(p, whole, sizeof whole);
}
static slice_t content(struct arena *a, const char *path)
{
	int fd = open(path, O_RDONLY);
	char *buf = arena_bytes(a, 100000);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, 100000);
	if (fd >= 0)
		(void)close(fd);
	return n < 0 ? SL("<none>") : slice_of(buf, (size_t)n, 0);
}
static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
	     fchmod(fd, mode) == 0);
	(void)close(fd);
}

#define FROM_LINE "From from@a.example Tue Nov 24 21:30:24 2026\n"

TEST(an_mbox_grows_by_whole_messages)
{
	const char *dir = tap_dir(), *box = in_dir(dir, "sub/box");
	const struct given given[] = {{"file", box}, {NULL, NULL}};
	struct heddle_call c;
	struct stat st;
	for (int i = 0; i < 2; i++) {
		begin(&c, given);
		CHECK_EQ_INT(deliver(&c), HEDDLE_OK);
		CHECK_EQ_STR(slice_sub(content(c.arena, box), (size_t)i * 91, 10000),
		    FROM_LINE "Subject: x\n\n>From here\nFrom\n>From there\nlast\n\n");
		end(&c);
	}
	CHECK_EQ_INT(stat(box, &st), 0);
	CHECK_EQ_INT(st.st_mode & 07777, 0600);
	CHECK_EQ_INT(stat(in_dir(dir, "sub"), &st), 0);
	CHECK_EQ_INT(st.st_mode & 07777, 0700);
	CHECK(access(in_dir(dir, "sub/box.lock"), F_OK) != 0);
}

TEST(other_separators_and_line_ends)
{
	const char *box = in_dir(tap_dir(), "separators");
	const struct given given[] = {{"file", box}, {"message_prefix", "\1\1\n"},
	    {"message_suffix", ""}, {"check_string", "From\n"}, {"escape_string", "From \n"},
	    {"use_crlf", "true"}, {NULL, NULL}};
	struct heddle_call c;
	begin(&c, given);
	CHECK_EQ_INT(deliver(&c), HEDDLE_OK);
	CHECK_EQ_STR(content(c.arena, box),
	    "\1\1\nSubject: x\r\n\r\nFrom here\r\nFrom \n>From there\r\nlast\r\n");
	end(&c);
}

TEST(a_maildir)
{
	const char *dir = tap_dir(), *box = in_dir(dir, "md");
	const struct given given[] = {
	    {"directory", box}, {"maildir_format", "true"}, {"maildir_tag", ",S=42"}, {NULL, NULL}};
	struct heddle_call c;
	glob_t g;
	for (int i = 0; i < 3; i++) {
		begin(&c, given);
		CHECK_EQ_INT(deliver(&c), HEDDLE_OK);
		end(&c);
	}
	CHECK_EQ_INT(glob(in_dir(dir, "md/new/*.H*P*.mx\\\\057x\\\\072y,S=42"), 0, NULL, &g), 0);
	CHECK_EQ_INT(g.gl_pathc, 3);
	begin(&c, given);
	CHECK_EQ_STR(
	    content(c.arena, g.gl_pathv[0]), "Subject: x\n\nFrom here\nFrom\n>From there\nlast\n");
	end(&c);
	globfree(&g);
	CHECK(glob(in_dir(dir, "md/tmp/*"), 0, NULL, &g) == GLOB_NOMATCH);
	CHECK_EQ_INT(access(in_dir(dir, "md/cur"), F_OK), 0);
}

/* What stands at the path before, and why nothing is written to it. */
static const struct refusal {
	const char *what; /* how `prepare` makes it */
	struct given given;
	int32_t rc;
	const char *why;
} refusals[] = {
    {"symlink", {NULL, NULL}, HEDDLE_DEFER, "is not a regular file"},
    {"symlink", {"allow_symlink", "true"}, HEDDLE_OK, NULL},
    {"fifo", {NULL, NULL}, HEDDLE_DEFER, "is not a regular file"},
    {"fifo", {"allow_fifo", "true"}, HEDDLE_DEFER, "could mean no process is reading it"},
    {"folder", {NULL, NULL}, HEDDLE_DEFER, "is not a regular file"},
    {"two links", {NULL, NULL}, HEDDLE_DEFER, "has too many links (2)"},
    {"narrow", {"mode", "0660"}, HEDDLE_DEFER, "has the wrong mode 600 (660 expected)"},
    {"wide", {NULL, NULL}, HEDDLE_OK, NULL},
    {"none", {"file_must_exist", "true"}, HEDDLE_DEFER,
        "does not exist, but file_must_exist is set"},
    {"none", {"create_file", "inhome"}, HEDDLE_DEFER,
        "creation outside the home directory is not permitted"},
    {"none", {"create_file", "/nowhere"}, HEDDLE_DEFER,
        "creation outside the home directory is not permitted"},
    {"locked", {NULL, NULL}, HEDDLE_DEFER, "(lock file)"},
    {"stale lock", {NULL, NULL}, HEDDLE_OK, NULL},
    {"fcntl", {NULL, NULL}, HEDDLE_DEFER, "(fcntl/flock)"},
};

static pid_t prepare(const char *what, const char *dir, const char *box)
{
	pid_t child = 0;
	if (strcmp(what, "symlink") == 0)
		MUST(symlink(in_dir(dir, "elsewhere"), box) == 0);
	else if (strcmp(what, "fifo") == 0)
		MUST(mkfifo(box, 0600) == 0);
	else if (strcmp(what, "folder") == 0)
		MUST(mkdir(box, 0700) == 0);
	else if (strcmp(what, "none") != 0)
		put(box, "old\n", strcmp(what, "wide") == 0 ? 0666 : 0600);
	if (strcmp(what, "two links") == 0)
		MUST(link(box, in_dir(dir, "second")) == 0);
	if (strstr(what, "lock"))
		put(in_dir(dir, "box.lock"), "", 0600);
	const struct timespec old[2] = {{1000000, 0}, {1000000, 0}};
	if (strcmp(what, "stale lock") == 0)
		MUST(utimensat(AT_FDCWD, in_dir(dir, "box.lock"), old, 0) == 0);
	if (strcmp(what, "fcntl") == 0) { /* of another process, the old way */
		int ready[2];
		char b;
		MUST(pipe(ready) == 0);
		child = fork();
		if (child == 0) {
			struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
			int fd = open(box, O_RDWR);
			MUST(fcntl(fd, F_SETLK, &all) == 0 && write(ready[1], "x", 1) == 1);
			(void)sleep(30);
			_exit(0);
		}
		MUST(read(ready[0], &b, 1) == 1);
		(void)close(ready[0]);
		(void)close(ready[1]);
	}
	return child;
}

TEST(what_stands_in_the_way)
{
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		const struct refusal *r = &refusals[i];
		char dir[300], box[400];
		(void)snprintf(dir, sizeof dir, "%s/r%zu", tap_dir(), i);
		MUST(mkdir(dir, 0700) == 0);
		(void)snprintf(box, sizeof box, "%s/box", dir);
		const struct given fast[] = {{"file", box}, {"lock_interval", "0.02s"},
		    {"lock_retries", "3"}, r->given, {NULL, NULL}};
		struct heddle_call c;
		begin(&c, fast);
		c.home = "/home/somebody";
		pid_t child = prepare(r->what, dir, box);
		int32_t rc = deliver(&c);
		bool good = rc == r->rc && (!r->why || strstr(c.why, r->why));
		tap_check(good, __FILE__, __LINE__, r->what);
		if (!good)
			printf("# %d %s\n", (int)rc, c.why);
		if (r->rc != HEDDLE_OK && strcmp(r->what, "symlink") == 0)
			CHECK(access(in_dir(dir, "elsewhere"), F_OK) != 0);
		if (child > 0) {
			(void)kill(child, SIGKILL);
			(void)waitpid(child, NULL, 0);
		}
		end(&c);
	}
}

TEST(another_users_file)
{
	const char *box = in_dir(tap_dir(), "theirs");
	const struct given given[] = {{"file", box}, {NULL, NULL}};
	struct heddle_call c;
	if (geteuid() != 0) {
		tap_skip("only root can give a file away");
		return;
	}
	put(box, "theirs\n", 0600);
	MUST(chown(box, 12345, 12345) == 0);
	begin(&c, given);
	CHECK_EQ_INT(deliver(&c), HEDDLE_DEFER);
	CHECK(strstr(c.why, "has wrong uid (12345 != 0)"));
	CHECK_EQ_STR(content(c.arena, box), "theirs\n");
	end(&c);
}

/* The disk fills up in the middle of the message: the mailbox is as it was. */
TEST(a_full_disk)
{
	const char *dir = in_dir(tap_dir(), "small"), *box = in_dir(dir, "box"),
	           *md = in_dir(dir, "md");
	const struct given given[] = {{"file", box}, {NULL, NULL}},
	                   as_maildir[] = {
	                       {"directory", md}, {"maildir_format", "true"}, {NULL, NULL}};
	static char big[200000];
	struct heddle_call c;
	if (geteuid() != 0 || mkdir(dir, 0700) != 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=64k") != 0) {
		tap_skip("no small file system can be made here");
		return;
	}
	memset(big, 'x', sizeof big);
	put(box, "old\n", 0600);
	begin(&c, given);
	c.body = slice_tainted(big, sizeof big);
	CHECK_EQ_INT(deliver(&c), HEDDLE_DEFER);
	CHECK(strstr(c.why, "mailbox is full: error while writing to"));
	CHECK_EQ_STR(content(c.arena, box), "old\n");
	CHECK(access(in_dir(dir, "box.lock"), F_OK) != 0);
	end(&c);
	begin(&c, as_maildir);
	c.body = slice_tainted(big, sizeof big);
	CHECK_EQ_INT(deliver(&c), HEDDLE_DEFER);
	CHECK(strstr(c.why, "mailbox is full"));
	glob_t g;
	CHECK(glob(in_dir(dir, "md/*/*"), 0, NULL, &g) == GLOB_NOMATCH);
	end(&c);
	(void)umount2(dir, MNT_DETACH);
}

TEST(a_tainted_path)
{
	const char *dir = tap_dir(), *box = in_dir(dir, "tainted");
	const struct given given[] = {{"file", box}, {NULL, NULL}},
	                   below[] = {{"file", box}, {"create_file", dir}, {NULL, NULL}};
	struct heddle_call c;
	begin(&c, given);
	c.tainted_file = true;
	CHECK_EQ_INT(deliver(&c), HEDDLE_DEFER);
	CHECK(strstr(c.why, "Tainted '"));
	CHECK(access(box, F_OK) != 0);
	end(&c);
	begin(&c, below); /* the folder that it must lie in makes it good */
	c.tainted_file = true;
	CHECK_EQ_INT(deliver(&c), HEDDLE_OK);
	end(&c);
	const struct given climbs[] = {
	    {"file", in_dir(dir, "../box")}, {"create_file", dir}, {NULL, NULL}};
	begin(&c, climbs);
	c.tainted_file = true;
	CHECK_EQ_INT(deliver(&c), HEDDLE_DEFER);
	end(&c);
}

TEST(a_childs_path)
{
	const char *dir = tap_dir();
	static const struct given none[] = {{NULL, NULL}};
	struct heddle_call c;
	begin(&c, none);
	CHECK_EQ_INT(deliver(&c), HEDDLE_DEFER); /* nothing says where */
	end(&c);
	begin(&c, none);
	c.path = slice_cstr(in_dir(dir, "file"));
	CHECK_EQ_INT(deliver(&c), HEDDLE_OK);
	CHECK(slice_starts(content(c.arena, in_dir(dir, "file")), "From from@a"));
	end(&c);
	begin(&c, none);
	c.path = slice_cstr(in_dir(dir, "folder/"));
	CHECK_EQ_INT(deliver(&c), HEDDLE_OK);
	glob_t g;
	CHECK_EQ_INT(glob(in_dir(dir, "folder/q*-*"), 0, NULL, &g), 0);
	globfree(&g);
	end(&c);
	begin(&c, none);
	c.path = SL("relative");
	CHECK_EQ_INT(deliver(&c), HEDDLE_DEFER);
	CHECK(strstr(c.why, "is not absolute"));
	end(&c);
	begin(&c, none);
	c.path = SL("/dev/null");
	CHECK_EQ_INT(deliver(&c), HEDDLE_OK);
	end(&c);
}

TEST(what_it_cannot_do_is_refused_at_once)
{
	static const struct given refused[][3] = {{{"mbx_format", "true"}},
	    {{"mailstore_format", "true"}}, {{"use_flock_lock", "true"}}, {{"use_bsmtp", "true"}},
	    {{"create_file", "somewhere"}}, {{"file_format", "a:b"}},
	    {{"use_fcntl_lock", "false"}, {"use_lockfile", "false"}}};
	static const struct given fine[][2] = {{{"quota", "0"}}, {{"quota", "10M"}},
	    {{"batch_max", "10"}}, {{"quota_size_regex", "x"}}};
	struct heddle_call c;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		void *inst = NULL;
		begin(&c, refused[i]);
		CHECK_EQ_INT(drv->instance_new(&c, &host, NULL, NULL, &inst), HEDDLE_ERROR);
		CHECK(c.why[0] != '\0');
		end(&c);
	}
	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
		void *inst = NULL;
		begin(&c, fine[i]);
		CHECK_EQ_INT(drv->instance_new(&c, &host, NULL, NULL, &inst), HEDDLE_OK);
		drv->instance_free(inst);
		end(&c);
	}
}
TAP_MAIN()
