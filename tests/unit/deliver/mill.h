/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole deliveries in one process, on a real store and index, with the probe transport;
 * mill_restart is a new process as far as the queue can tell. */
#ifndef HEDDLE_TESTS_DELIVER_MILL_H
#define HEDDLE_TESTS_DELIVER_MILL_H
#include "base/io.h"
#include "deliver/deliver_private.h"
#include "lib/tap.h"
#include "message/message.h"
#include "smtp/server.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct mill {
	struct arena *arena;
	const char *dir, *config_text;
	struct services services;
	struct drivers *drivers;
	struct process_facts process;
	struct config *cfg;
	struct log *log;
	struct storage_io *io;
	struct pool *pool;
	struct reactor *reactor;
	struct store *store;
	struct queue_index *index;
	struct deliverer *deliverer;
	const struct eval_hooks *hooks; /* in force after the next mill_restart */
};

static inline struct config *mill_snapshot(void *ctx)
{
	struct mill *m = ctx;
	return config_ref(m->cfg);
}

static inline void mill_found(void *ctx, const struct queue_message *q)
{
	struct mill *m = ctx;
	struct error err;
	CHECK_EQ_INT(queue_index_insert(m->index, q, false, NULL, &err), RC_OK);
}

static inline const char *mill_path(struct mill *m, const char *name)
{
	return arena_printf(m->arena, "%s/%s", m->dir, name).ptr;
}

static inline void mill_drivers(struct mill *m, struct error *err)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	const char *here = dirname(exe);
	const char **folders = ARENA_ARRAY(m->arena, const char *, 3);
	services_init(&m->services);
	deliver_services(&m->services);
	m->services.delivery = &delivery_service; /* instances ask for these when they are made */
	m->services.message = &message_service;
	folders[0] = arena_printf(m->arena, "%s/../../../drivers", here).ptr;
	folders[1] = arena_printf(m->arena, "%s/drivers", here).ptr;
	struct drivers_config dc = {
	    .folders = folders, .any_owner = true, .host = &m->services.host};
	MUST(drivers_new(&dc, &m->drivers, err) == RC_OK);
}

static inline bool mill_config(struct mill *m)
{
	struct vec problems = {0}, warnings = {0};
	struct config_source src = {.path = "test.conf",
	    .content = slice_cstr(m->config_text),
	    .drivers = m->drivers,
	    .process = &m->process,
	    .services = &m->services};
	bool ok = config_load(&src, m->arena, &problems, &warnings, &m->cfg) == RC_OK;
	VEC_FOREACH(&problems, struct error, e)
	printf("# %s:%u: %s\n", e->file ? e->file : "-", e->line, e->text);
	return ok;
}

/* Configuration and drivers only, for a test of rules.  Ends the program if they do not load. */
static inline void mill_rules(struct mill *m, const char *sections, const char *retry)
{
	static char conf[4000];
	struct error err = {.text = ""};

	(void)snprintf(conf, sizeof conf, "%sbegin retry\n%s", sections, retry);
	*m = (struct mill){.arena = arena_new(0), .dir = "/nowhere", .config_text = conf};
	m->process.primary_hostname = SL("mx.example.org");
	m->process.spool_directory = SL("/nowhere");
	mill_drivers(m, &err);
	if (!CHECK(mill_config(m)))
		exit(1);
}

static inline void mill_rules_end(struct mill *m)
{
	config_unref(&m->cfg);
	drivers_free(&m->drivers);
	services_fini(&m->services);
	arena_free(&m->arena);
}

static inline void mill_open_queue(struct mill *m)
{
	struct error err = {.text = ""};
	struct pool_config pc = {.name = "mill", .min = 2, .max = 8};
	struct reactor_config rc = {.name = "mill-r", .threads = 1};
	struct store_options so = {.compact_age_us = -1};

	MUST(pool_new(&pc, &m->pool, &err) == RC_OK);
	MUST(reactor_new(&rc, m->pool, &m->reactor, &err) == RC_OK);
	m->services.pool = m->pool;
	MUST(store_open(m->io, &so, &m->store, &err) == RC_OK);
	m->index = queue_index_new();
	struct deliver_config dc = {.services = &m->services,
	    .store = m->store,
	    .index = m->index,
	    .reactor = m->reactor,
	    .pool = m->pool,
	    .log = m->log,
	    .snapshot = mill_snapshot,
	    .eval_hooks = m->hooks,
	    .ctx = m};
	MUST(deliver_new(&dc, &m->deliverer, &err) == RC_OK);
	CHECK_EQ_INT(store_recover(m->store, mill_found, m, &err), RC_OK);
}

static inline bool mill_start(struct mill *m, const char *config)
{
	struct error err = {.text = ""};
	struct log_config lc;

	*m = (struct mill){.arena = arena_new(0), .dir = tap_dir(), .config_text = config};
	m->process.primary_hostname = SL("mx.example.org");
	m->process.heddle_version = SL("0.1");
	m->process.spool_directory = slice_cstr(m->dir);
	mill_drivers(m, &err);
	if (!mill_config(m))
		return false;
	log_config_init(&lc);
	lc.path = arena_printf(m->arena, "%s/%%slog", m->dir);
	lc.message_logs = false;
	(void)unlink(mill_path(m, "mainlog"));
	(void)unlink(mill_path(m, "saved"));
	MUST(log_open(&lc, &m->log, &err) == RC_OK);
	m->services.log = m->log;
	static _Atomic unsigned serial; /* each mill has a queue of its own */
	MUST(storage_real_new(
	         arena_printf(m->arena, "%s/queue%u", m->dir, atomic_fetch_add(&serial, 1)).ptr,
	         &m->io, &err) == RC_OK);
	mill_open_queue(m);
	return true;
}

static inline void mill_close_queue(struct mill *m)
{
	MUST(deliver_stop(m->deliverer, clock_mono_us() + 10 * US_PER_SEC));
	reactor_cancel_all(m->reactor);
	CHECK(reactor_wait_empty(m->reactor, clock_mono_us() + 5 * US_PER_SEC));
	store_close(&m->store);
	pool_stop(m->pool);
	reactor_free(&m->reactor);
	pool_free(&m->pool);
	deliver_free(&m->deliverer);
	queue_index_free(&m->index);
}

static inline void mill_restart(struct mill *m)
{
	mill_close_queue(m);
	mill_open_queue(m);
}

static inline void mill_stop(struct mill *m)
{
	mill_close_queue(m);
	storage_real_free(&m->io);
	config_unref(&m->cfg);
	drivers_free(&m->drivers);
	services_fini(&m->services);
	log_close(&m->log);
	arena_free(&m->arena);
}

/* Queue a message; recipients separated by spaces, the header as one text.  now: its first delivery
 * begins. */
static inline struct queue_id mill_post_body(
    struct mill *m, const char *sender, const char *to, const char *header, slice_t body, bool now)
{
	struct error err = {.text = ""};
	struct message *msg = message_new();
	struct queue_id id = store_next_id(m->store);
	struct queue_message q;
	struct queue_entry *e = NULL;
	slice_t rest = slice_cstr(to), word;
	struct vec all = {0};

	queue_id_text(id, msg->id);
	msg->sender = slice_tainted(sender, strlen(sender));
	msg->received_us = clock_wall_us();
	msg->session.sender_host_address = SL("192.0.2.1");
	while (slice_next(&rest, ' ', &word))
		*VEC_PUSH(msg->arena, &all, struct recipient) =
		    (struct recipient){.address = slice_tainted(word.ptr, word.len),
		        .errors_to = slice_absent(),
		        .orcpt = slice_absent()};
	msg->recipients = VEC_AT(&all, struct recipient, 0);
	msg->recipient_count = (uint32_t)all.count;
	header_parse(msg->arena, slice_tainted(header, strlen(header)), &msg->headers);
	slice_t *chunk = ARENA_NEW(msg->arena, slice_t);
	*chunk = body;
	msg->body = (struct body){.chunks = chunk, .chunk_count = 1, .fd = -1, .bytes = body.len};
	slice_t lines = body, line;
	while (slice_next(&lines, '\n', &line))
		if ((int64_t)line.len > msg->facts.max_received_linelength)
			msg->facts.max_received_linelength = (int64_t)line.len;
	msg->size_bytes = header_section_size(&msg->headers) + 1 + body.len;
	MUST(smtp_queue_message(msg, &q, &err) == RC_OK);
	MUST(store_append_wait(m->store, msg->arena, &q, &err) == RC_OK);
	MUST(queue_index_insert(m->index, &q, true, &e, &err) == RC_OK);
	if (!now || !deliver_now(m->deliverer, msg, &e))
		queue_index_release(m->index, &e, INT64_MAX);
	message_unref(&msg);
	return id;
}

static inline struct queue_id mill_post(struct mill *m, const char *sender, const char *to)
{
	return mill_post_body(m, sender, to, "Subject: test\nTo: you\n", SL("a body\n"), true);
}

static inline slice_t mill_file(struct mill *m, const char *name)
{
	struct error err;
	slice_t s = SL("");
	(void)(io_read_file(m->arena, mill_path(m, name), (size_t)16 << 20, &s, &err) == RC_OK);
	return s;
}

static inline unsigned mill_count(slice_t text, const char *part)
{
	unsigned n = 0;
	size_t at;
	for (slice_t s = text; (at = slice_search(s, slice_cstr(part))) != SIZE_MAX; n++)
		s = slice_sub(s, at + strlen(part), s.len);
	return n;
}

static inline unsigned mill_logged(struct mill *m, const char *part)
{
	return mill_count(mill_file(m, "mainlog"), part);
}

/* Wait until no delivery runs or is about to. */
static inline bool mill_settle(struct mill *m)
{
	for (int i = 0; i < 3000; i++) {
		deliverer_lock(m->deliverer);
		unsigned active = m->deliverer->attempts;
		deliverer_unlock(m->deliverer);
		if (active == 0)
			return true;
		usleep(5000);
	}
	return false;
}

static inline size_t mill_messages(struct mill *m)
{
	struct queue_counts n;
	queue_index_counts(m->index, &n);
	return n.messages;
}

static inline void mill_run(struct mill *m, bool force, bool frozen)
{
	struct queue_run_request r = {.force = force,
	    .force_frozen = frozen,
	    .select_recipient = slice_absent(),
	    .select_sender = slice_absent()};
	deliver_enable(m->deliverer, true);
	deliver_queue_run(m->deliverer, &r);
	CHECK(mill_settle(m));
}

static inline bool mill_expect(struct mill *m, const char *part, unsigned times)
{
	unsigned got = mill_logged(m, part);
	if (CHECK_EQ_INT(got, times))
		return true;
	slice_t all = mill_file(m, "mainlog");
	printf("# wanted %u times: %s\n# log:\n%.*s", times, part, SL_ARG(all));
	return false;
}
#endif
