/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A real server on socket pairs, with a queue that is memory, and a client that sends text and
 * compares replies. Replies are given as in a session: lines joined by "\n", no CR.
 */
#ifndef HEDDLE_TESTS_SMTP_RIG_H
#define HEDDLE_TESTS_SMTP_RIG_H
#include "base/io.h"
#include "lib/tap.h"
#include "smtp/server.h"

#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RIG_MESSAGES 20000

struct rig_message {
	char id[MESSAGE_ID_LEN + 1];
	char *envelope; /* "sender>rcpt,rcpt," */
	char *text;     /* header, empty line, body */
	size_t text_len, header_len;
	bool in_file, deliver_now;
};
struct rig_file {
	struct rig *g;
	char *bytes;
	size_t len, cap;
};
struct rig {
	struct arena *arena;
	struct config *cfg;
	struct process_facts facts;
	struct pool *pool;
	struct reactor *reactor;
	struct log *log;
	struct smtp_server *server;
	struct smtp_queue_hooks hooks;
	struct body_budget budget;
	struct services services;
	struct drivers *drivers; /* of the build; only if rig_with_drivers was asked for */
	struct dns_resolver *resolver;
	struct rig_message *messages;
	_Atomic size_t begun, count;
	_Atomic uint64_t ids;
	/* what the queue is to do */
	_Atomic bool hold, fail, refuse;
	_Atomic(smtp_commit_fn *) held_fn;
	void *held_arg;
	_Atomic int files_open;
	uint64_t free_bytes;
	struct rig_file *files[1000]; /* finished body files; a message has the index as its crc */
	_Atomic uint32_t file_count;
	char log_path[600];
};

static inline void rig_next_id(void *ctx, char out[MESSAGE_ID_LEN + 1])
{
	struct rig *g = ctx;
	(void)snprintf(out, MESSAGE_ID_LEN + 1, "1aaaaa-%06u-AA",
	    (unsigned)(atomic_fetch_add(&g->ids, 1) % 1000000));
}

static inline char *rig_dup(const char *p, size_t n)
{
	char *s = malloc(n + 1);
	memcpy(s, p, n);
	s[n] = '\0';
	return s;
}

static inline enum rc rig_append(void *ctx, struct message *m, struct worker *w, smtp_commit_fn *fn,
    void *arg, struct error *err)
{
	(void)w;
	struct rig *g = ctx;
	if (g->refuse)
		return error_set(err, RC_DEFER, "store has stopped");
	struct arena *a = arena_new(0);
	struct strbuf sb;
	struct rig_message *r = &g->messages[atomic_fetch_add(&g->begun, 1) % RIG_MESSAGES];
	strbuf_init(&sb, a, 0);
	strbuf_add(&sb, m->sender);
	strbuf_char(&sb, '>');
	for (uint32_t i = 0; i < m->recipient_count; i++) {
		strbuf_add(&sb, m->recipients[i].address);
		strbuf_char(&sb, ',');
	}
	*r = (struct rig_message){.envelope = rig_dup(strbuf_slice(&sb).ptr, strbuf_slice(&sb).len),
	    .in_file = m->body.in_file};
	memcpy(r->id, m->id, sizeof r->id);
	strbuf_init(&sb, a, (size_t)64 << 20);
	slice_t *pieces;
	uint32_t n = header_pieces(a, &m->headers, &pieces);
	for (uint32_t i = 0; i < n; i++)
		strbuf_add(&sb, pieces[i]);
	r->header_len = strbuf_slice(&sb).len;
	CHECK_EQ_INT(r->header_len, header_section_size(&m->headers));
	strbuf_char(&sb, '\n');
	for (uint32_t i = 0; i < m->body.chunk_count; i++)
		strbuf_add(&sb, m->body.chunks[i]);
	if (m->body.in_file)
		strbuf_add(
		    &sb, slice_tainted(g->files[m->body.crc]->bytes, g->files[m->body.crc]->len));
	CHECK_EQ_INT(strbuf_slice(&sb).len, m->size_bytes);
	r->text_len = strbuf_slice(&sb).len;
	r->text = rig_dup(strbuf_slice(&sb).ptr, r->text_len);
	arena_free(&a);
	atomic_fetch_add(&g->count, 1);
	if (g->hold) {
		g->held_arg = arg;
		atomic_store(&g->held_fn, fn);
	} else {
		struct error why;
		(void)error_set(&why, RC_DEFER, "sync failed");
		fn(arg, g->fail ? RC_DEFER : RC_OK, g->fail ? &why : NULL);
	}
	return RC_OK;
}

static inline void rig_accepted(void *ctx, struct message *m, bool deliver_now)
{
	struct rig *g = ctx;
	for (size_t i = 0; i < atomic_load(&g->count); i++)
		if (!memcmp(g->messages[i].id, m->id, sizeof m->id))
			g->messages[i].deliver_now = deliver_now;
}

static inline enum rc rig_space(void *ctx, uint64_t *bytes, uint64_t *inodes, struct error *err)
{
	struct rig *g = ctx;
	(void)err;
	*bytes = g->free_bytes;
	*inodes = 1000000;
	return RC_OK;
}

static inline enum rc rig_begin(void *ctx, const char *id, void **out, struct error *err)
{
	struct rig *g = ctx;
	struct rig_file *f = calloc(1, sizeof *f);
	(void)id, (void)err;
	f->g = g;
	atomic_fetch_add(&g->files_open, 1);
	*out = f;
	return RC_OK;
}
static inline enum rc rig_write(void *file, const struct iovec *iov, size_t n, struct error *err)
{
	struct rig_file *f = file;
	(void)err;
	for (size_t i = 0; i < n; i++) {
		if (f->len + iov[i].iov_len > f->cap) {
			f->cap = (f->cap + iov[i].iov_len) * 2;
			f->bytes = realloc(f->bytes, f->cap);
		}
		memcpy(f->bytes + f->len, iov[i].iov_base, iov[i].iov_len);
		f->len += iov[i].iov_len;
	}
	return RC_OK;
}
static inline enum rc rig_finish(void **file, uint32_t *crc, struct error *err)
{
	struct rig_file *f = *file;
	struct rig *g = f->g;
	(void)err;
	*file = NULL;
	*crc = atomic_fetch_add(&g->file_count, 1);
	g->files[*crc] = f;
	atomic_fetch_sub(&g->files_open, 1);
	return RC_OK;
}
static inline void rig_abort(void **file)
{
	struct rig_file *f = *file;
	*file = NULL;
	atomic_fetch_sub(&f->g->files_open, 1);
	free(f->bytes);
	free(f);
}

static inline struct config *rig_snapshot(void *ctx)
{
	return config_ref(((struct rig *)ctx)->cfg);
}

/* Next rig_start: drivers and a resolver (ours from then on).  Cleared by it. */
struct rig_wants {
	bool drivers;
	struct dns_resolver *resolver;
};
static struct rig_wants rig_wants;

static inline void rig_open_drivers(struct rig *g)
{
	char exe[4096];
	const char **folders = ARENA_ARRAY(g->arena, const char *, 2);
	struct error err = {0};
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	folders[0] =
	    arena_cstr(g->arena, arena_printf(g->arena, "%s/../../../drivers", dirname(exe)));
	services_init(&g->services);
	struct drivers_config dc = {
	    .folders = folders, .any_owner = true, .host = &g->services.host};
	if (!CHECK_EQ_INT(drivers_new(&dc, &g->drivers, &err), RC_OK))
		printf("# %s\n", err.text);
}

/* What most tests do not ask for is not offered, so that they can say what they expect in full. */
static inline slice_t rig_plain_options(struct rig *g, const char *text)
{
	static const char *const names[] = {"chunking_advertise_hosts", "limits_advertise_hosts",
	    "pipelining_connect_advertise_hosts", "smtputf8_advertise_hosts"};
	struct strbuf sb;
	strbuf_init(&sb, g->arena, 0);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!strstr(text, names[i]))
			strbuf_printf(&sb, "%s =\n", names[i]);
	strbuf_text(&sb, text);
	return strbuf_slice(&sb);
}

static inline bool rig_load(struct rig *g, const char *text)
{
	static const struct config_hooks hooks = {.compile_acls = acl_compile_all};
	struct vec problems = {0}, warnings = {0};
	struct config_source src = {.path = "test.conf",
	    .content = rig_plain_options(g, text),
	    .process = &g->facts,
	    .hooks = &hooks,
	    .drivers = g->drivers,
	    .services = g->drivers ? &g->services : NULL};
	enum rc rc = config_load(&src, g->arena, &problems, &warnings, &g->cfg);
	VEC_FOREACH(&problems, struct error, e)
	printf("# line %u: %s\n", e->line, e->text);
	return CHECK_EQ_INT(rc, RC_OK);
}

static inline bool rig_start(struct rig *g, const char *config)
{
	memset(g, 0, sizeof *g);
	g->arena = arena_new(0);
	g->messages = calloc(RIG_MESSAGES, sizeof *g->messages);
	g->free_bytes = (uint64_t)1 << 40;
	g->budget.limit = 64 << 20;
	g->facts = (struct process_facts){.primary_hostname = SL("mx.test.example"),
	    .version_number = SL("4.98"),
	    .heddle_version = SL("0.1"),
	    .pid = 1};
	if (rig_wants.drivers)
		rig_open_drivers(g);
	g->resolver = g->services.resolver = rig_wants.resolver;
	rig_wants = (struct rig_wants){0};
	if (!rig_load(g, config))
		return false;
	struct log_config lc;
	struct error err = {0};
	char path[500];
	(void)snprintf(path, sizeof path, "%s/%%slog", tap_dir());
	(void)snprintf(g->log_path, sizeof g->log_path, "%s/mainlog", tap_dir());
	(void)unlink(g->log_path);
	log_config_init(&lc);
	lc.path = slice_cstr(path);
	lc.message_logs = false;
	(void)!log_selector_parse(
	    SL("+smtp_protocol_error +smtp_syntax_error"), &lc.selector, NULL);
	if (!CHECK_EQ_INT(log_open(&lc, &g->log, &err), RC_OK))
		printf("# %s\n", err.text);
	if (!CHECK_EQ_INT(pool_new(&(struct pool_config){.name = "test", .min = 2, .max = 16},
	                      &g->pool, &err),
	        RC_OK) ||
	    !CHECK_EQ_INT(reactor_new(&(struct reactor_config){.name = "test", .threads = 1},
	                      g->pool, &g->reactor, &err),
	        RC_OK))
		return false;
	g->hooks = (struct smtp_queue_hooks){.ctx = g,
	    .next_id = rig_next_id,
	    .body_threshold = 262144,
	    .spill = {rig_begin, rig_write, rig_finish, rig_abort},
	    .append = rig_append,
	    .accepted = rig_accepted,
	    .space = rig_space};
	struct smtp_server_config sc = {.snapshot = rig_snapshot,
	    .ctx = g,
	    .log = g->log,
	    .reactor = g->reactor,
	    .pool = g->pool,
	    .queue = &g->hooks,
	    .budget = &g->budget,
	    .services = &g->services,
	    .resolver = g->resolver};
	return CHECK_EQ_INT(smtp_server_new(&sc, &g->server, &err), RC_OK);
}

/* Stop; everything must have been given back. */
static inline void rig_stop(struct rig *g)
{
	if (g->server)
		smtp_server_stop(g->server);
	if (g->reactor) {
		CHECK(reactor_wait_empty(g->reactor, clock_mono_us() + 10 * US_PER_SEC));
	}
	if (g->pool)
		pool_stop(g->pool);
	if (g->server)
		CHECK_EQ_INT(smtp_server_count(g->server), 0);
	reactor_free(&g->reactor);
	if (g->pool)
		pool_free(&g->pool);
	CHECK_EQ_INT(atomic_load(&g->budget.used), 0);
	CHECK_EQ_INT(atomic_load(&g->files_open), 0);
	smtp_server_free(&g->server);
	log_close(&g->log);
	config_unref(&g->cfg);
	drivers_free(&g->drivers);
	if (g->resolver)
		dns_resolver_free(&g->resolver);
	for (size_t i = 0; i < RIG_MESSAGES; i++) {
		free(g->messages[i].envelope);
		free(g->messages[i].text);
	}
	free(g->messages);
	for (uint32_t i = 0; i < atomic_load(&g->file_count); i++) {
		free(g->files[i]->bytes);
		free(g->files[i]);
	}
	arena_free(&g->arena);
}

/* ---- the client ---- */
struct rig_client {
	int fd;
	char buf[65536];
	size_t len;
	char reply[65536]; /* the last one */
};

static inline void rig_connect_from(struct rig *g, struct rig_client *c, const char *address)
{
	int fds[2];
	struct net_addr peer = {0};
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	MUST(!io_nonblock(fds[1]));
	MUST(net_addr_parse(slice_cstr(address), &peer));
	peer.port = 4321;
	c->fd = fds[0];
	c->len = 0;
	smtp_server_take(g->server, fds[1], &peer);
}

static inline void rig_connect(struct rig *g, struct rig_client *c)
{
	rig_connect_from(g, c, "192.0.2.1");
}

static inline void rig_close(struct rig_client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

static inline bool rig_send(struct rig_client *c, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* One whole reply into c->reply; "" at the end of the connection, "(timeout)" after 10 s. */
static inline const char *rig_reply(struct rig_client *c)
{
	size_t at = 0, out = 0;
	for (;;) {
		char *nl = memchr(c->buf + at, '\n', c->len - at);
		if (!nl) {
			struct pollfd p = {.fd = c->fd, .events = POLLIN};
			if (poll(&p, 1, 10000) <= 0) {
				memcpy(c->reply, "(timeout)", 10);
				return c->reply;
			}
			ssize_t k = read(c->fd, c->buf + c->len, sizeof c->buf - c->len);
			if (k <= 0) {
				c->reply[out] = '\0';
				return c->reply;
			}
			c->len += (size_t)k;
			continue;
		}
		size_t n = (size_t)(nl - c->buf) + 1 - at;
		bool last = n >= 4 && c->buf[at + 3] == ' ';
		if (out)
			c->reply[out++] = '\n';
		size_t keep = n >= 2 && nl[-1] == '\r' ? n - 2 : n - 1;
		memcpy(c->reply + out, c->buf + at, keep);
		out += keep;
		at += n;
		if (last) {
			c->reply[out] = '\0';
			memmove(c->buf, c->buf + at, c->len - at);
			c->len -= at;
			return c->reply;
		}
	}
}

/* Send a line (CRLF is added) and compare the reply; "" wants the end; a want that ends in * is a
 * beginning. */
static inline bool rig_want(struct rig_client *c, const char *want)
{
	const char *got = rig_reply(c);
	size_t n = strlen(want);
	bool ok = n && want[n - 1] == '*' ? !strncmp(got, want, n - 1) : !strcmp(got, want);
	if (!CHECK(ok))
		printf("# got \"%s\"\n# want \"%s\"\n", got, want);
	return ok;
}
static inline bool rig_say(struct rig_client *c, const char *line, const char *want)
{
	/* one write: a line that came in two pieces would be judged before its end is there */
	struct arena *a = arena_new(0);
	slice_t whole = arena_printf(a, "%s\r\n", line);
	(void)rig_send(c, whole.ptr, whole.len);
	arena_free(&a);
	if (!rig_want(c, want)) {
		printf("# after \"%.200s\"\n", line);
		return false;
	}
	return true;
}

struct rig_line {
	const char *say, *want;
};
static inline void rig_dialogue(struct rig *g, const struct rig_line *lines)
{
	static struct rig_client c;
	rig_connect(g, &c);
	(void)rig_want(&c, "220 *");
	for (; lines->say; lines++)
		if (!rig_say(&c, lines->say, lines->want))
			break;
	rig_close(&c);
}

/* The main log so far; waits (briefly) until it holds `part`. */
static inline bool rig_logged(struct rig *g, const char *part)
{
	for (int i = 0; i < 100; i++) {
		struct arena *a = arena_new(0);
		slice_t text = SL("");
		(void)!io_read_file(a, g->log_path, 16 << 20, &text, NULL);
		bool found = slice_search(text, slice_cstr(part)) != SIZE_MAX;
		if (!found && i == 99)
			printf("# log: %.*s\n# lacks: %s\n",
			    SL_ARG(slice_sub(text, text.len > 3000 ? text.len - 3000 : 0, 3000)),
			    part);
		arena_free(&a);
		if (found)
			return true;
		(void)poll(NULL, 0, 20);
	}
	return false;
}
#define CHECK_LOGGED(g, part) CHECK(rig_logged((g), (part)))
#endif
