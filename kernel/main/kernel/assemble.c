/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hints/hints.h"
#include "main/kernel/kernel.h"
#include "match/text_cache.h"
#include "net/tls/tls.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_BUDGET                                                                   \
	((int64_t)256 << 20) /* bodies that are being received, all sessions together \
	                      */
#define WRITERS_MAX   64
#define STOP_SESSIONS (20 * US_PER_SEC)
#define STOP_DELIVERY (5 * US_PER_SEC)
#define STOP_PARKS    (2 * US_PER_SEC)
#define TIDY_EVERY    (30 * US_PER_SEC)
#define LOOKUP_IDLE   (60 * US_PER_SEC)
#define TEXTS_MAX     4096
#define TEXTS_BYTES   ((size_t)32 << 20)
#define NEVER_DUE     INT64_MAX

static enum rc find_user(struct services *s, struct arena *a, slice_t login, int64_t deadline_us,
    struct user_info *out, struct error *err)
{
	return agents_user(s->agents, a, login, deadline_us, out, err);
}

static enum rc find_group(struct services *s, struct arena *a, slice_t name, int64_t deadline_us,
    int64_t *out_gid, struct error *err)
{
	(void)a;
	return agents_group(s->agents, name, deadline_us, out_gid, err);
}

static enum rc run_command(struct eval *ev, const slice_t *argv, uint32_t argc, slice_t *out_text,
    int *out_status, struct error *err)
{
	struct agent_identity who = {
	    .user = slice_absent(), .group = slice_absent(), .purpose = SL("expansion")};

	return agents_run(ev->services->agents, &who, ev, argv, argc, out_text, out_status, err);
}

static const struct eval_hooks eval_hooks = {
    .acl = acl_eval_hook, .run = run_command, .host_name = smtp_host_name_hook};

static void store_event(void *ctx, const struct store_event *ev)
{
	struct kernel *k = ctx;
	char id[QUEUE_ID_LEN + 1];
	struct error err;
	bool about_message = ev->kind == STORE_EVENT_LOST;

	queue_id_text(ev->id, id);
	log_panic(k->services.log, about_message ? slice_cstr(id) : slice_absent(), "queue: %s%s%s",
	    ev->name ? ev->name : "", ev->name ? ": " : "", ev->text);
	if (about_message && k->index)
		(void)(queue_index_remove(k->index, ev->id, &err) == RC_OK);
}

static enum rc make_threads(struct kernel *k, struct error *err)
{
	/* more writers at a time only wait for each other, and each is a thread with a stack */
	struct pool_config pc = {.name = "worker", .limits[POOL_FOR_DISK].total = WRITERS_MAX};
	struct reactor_config rc_cfg = {.name = "reactor"};
	unsigned cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	/* these never block, and each holds some MiB of the library's */
	struct pool_config hc = {.name = "handshake",
	    .min = cores ? cores : 1,
	    .max = cores ? cores : 1,
	    .stack_bytes = (size_t)512 << 10};
	enum rc rc = pool_new(&pc, &k->pool, err);
	if (rc == RC_OK)
		rc = pool_new(&hc, &k->handshake_pool, err);
	if (rc == RC_OK) {
		pool_on_thread_exit(k->pool, tls_thread_exit); /* deliveries shake hands here */
		pool_on_thread_exit(k->handshake_pool, tls_thread_exit);
	}
	if (rc == RC_OK)
		rc = reactor_new(&rc_cfg, k->pool, &k->reactor, err);
	if (rc == RC_OK) /* master decides whether it is passed on */
		rc = dns_resolver_for(getenv("HEDDLE_DNS"), &k->resolver, err);
	return rc;
}

static enum rc make_queue(struct kernel *k, struct error *err)
{
	struct store_options so = {.event = store_event, .event_ctx = k};
	const char *dir =
	    arena_printf(k->process.arena, "%.*s/queue", SL_ARG(k->process.facts.spool_directory))
	        .ptr;
	enum rc rc = storage_real_new(dir, &k->io, err);

	k->index = queue_index_new();
	return rc == RC_OK ? store_open(k->io, &so, &k->store, err) : rc;
}

static void accepted(void *ctx, struct message *m, struct queue_entry *entry, bool now)
{
	struct kernel *k = ctx;

	if (!now || !deliver_now(k->deliverer, m, &entry))
		queue_index_release(
		    k->index, &entry, NEVER_DUE); /* until a queue run asks for it */
}

static enum rc make_delivery(struct kernel *k, struct error *err)
{
	struct deliver_config dc = {.services = &k->services,
	    .store = k->store,
	    .index = k->index,
	    .reactor = k->reactor,
	    .pool = k->pool,
	    .log = k->services.log,
	    .snapshot = kernel_snapshot,
	    .snapshot_log = kernel_snapshot_log,
	    .ctx = k,
	    .eval_hooks = &eval_hooks};
	enum rc rc = agents_new(LINK_FD, 0, 0, k->services.log, &k->agents, err);

	dc.agents = k->services.agents = k->agents;
	kernel_make_hints(k);
	dc.hints = k->hints;
	dc.driver_hints = k->driver_hints;
	return rc == RC_OK ? deliver_new(&dc, &k->deliverer, err) : rc;
}

/* ETRN */
static void run_queue_for(void *ctx, slice_t recipient)
{
	struct kernel *k = ctx;
	struct queue_run_request run = {
	    .select_recipient = recipient, .select_sender = slice_absent()};

	deliver_queue_run(k->deliverer, &run);
}

static enum rc make_server(struct kernel *k, struct error *err)
{
	struct smtp_server_config sc = {.snapshot = kernel_snapshot,
	    .snapshot_log = kernel_snapshot_log,
	    .ctx = k,
	    .log = k->services.log,
	    .services = &k->services,
	    .reactor = k->reactor,
	    .pool = k->pool,
	    .handshake_pool = k->handshake_pool,
	    .queue_only = (k->link_flags & LINK_QUEUE_ONLY) != 0,
	    .tls_on_connect = (k->link_flags & LINK_TLS_ON_CONNECT) != 0,
	    .resolver = k->resolver,
	    .eval_hooks = &eval_hooks,
	    .verify_address = deliver_verify_address,
	    .expand_address = deliver_expand_address,
	    .queue_run = run_queue_for};

	k->budget = calloc(1, sizeof *k->budget);
	MUST(k->budget != NULL);
	k->budget->limit = BODY_BUDGET;
	k->queue_hooks = smtp_store_hooks(k->store, k->index, accepted, k);
	sc.queue = k->queue_hooks;
	sc.budget = k->budget;
	enum rc rc = smtp_server_new(&sc, &k->server, err);
	for (unsigned i = 0; rc == RC_OK && i < k->listener_count; i++)
		rc = smtp_server_listen(k->server, k->listeners[i], err);
	if (rc == RC_OK)
		rc = smtp_server_listen_local(k->server,
		    smtp_submission_path(k->process.arena, k->process.facts.spool_directory).ptr,
		    err);
	return rc;
}

static enum rc ask_reload(void *ctx, struct error *err)
{
	struct link_message m = {.type = LINK_RELOAD};

	(void)ctx;
	return link_send(LINK_FD, &m, -1) == 0 ? RC_OK
	                                       : error_errno(err, RC_DEFER, errno, "ask master");
}

static enum rc make_control(struct kernel *k, struct error *err)
{
	struct control_config cc = {
	    .path = control_path(k->process.arena, k->process.facts.spool_directory).ptr,
	    .reactor = k->reactor,
	    .pool = k->pool,
	    .index = k->index,
	    .store = k->store,
	    .deliverer = k->deliverer,
	    .drivers = k->drivers,
	    .hints = k->hints,
	    .services = &k->services,
	    .ordinary_user = k->process.ordinary_user,
	    .log = k->services.log,
	    .snapshot = kernel_snapshot,
	    .reload = ask_reload,
	    .ctx = k};

	return control_new(&cc, &k->control, err);
}

/* One message of an earlier run.  A delivery that a crash cut short is due at once, like all that
 * has no next attempt. */
static void found_message(void *ctx, const struct queue_message *m)
{
	struct kernel *k = ctx;
	struct error err;
	char id[QUEUE_ID_LEN + 1];

	if (queue_index_insert(k->index, m, false, NULL, &err) != RC_OK) {
		queue_id_text(m->id, id);
		log_panic(k->services.log, slice_cstr(id), "queue: %s", err.text);
	}
}

static void *recover(void *arg)
{
	struct kernel *k = arg;
	struct error err = {.text = ""};

	kernel_open_hints(k); /* first: what is accepted meanwhile is tried at once */
	queue_index_gather(k->index, true);
	if (store_recover(k->store, found_message, k, &err) != RC_OK)
		log_panic(k->services.log, slice_absent(), "queue: %s", err.text);
	queue_index_gather(k->index, false);
	(void)malloc_trim(0); /* what reading the segments took */
	deliver_enable(k->deliverer, true);
	return NULL;
}

/* What nobody has used for a while is closed. */
static void tidy(void *arg, enum wake why, struct worker *w)
{
	struct kernel *k = arg;
	struct error err = {.text = ""};

	if (why == WAKE_CANCEL)
		return;
	if (pool_blocking_begin(w, POOL_FOR_LOOKUP, 0, &err) == RC_OK) {
		lookups_tidy(k->services.lookups, LOOKUP_IDLE);
		agents_tidy(k->agents);
		kernel_tend_hints(k);
		pool_blocking_end(w);
	}
	(void)timer_add(k->reactor, clock_mono_us() + TIDY_EVERY, tidy, k, &err);
}

enum rc kernel_assemble(struct kernel *k, struct error *err)
{
	(void)mallopt(M_ARENA_MAX, 8);
	(void)mallopt(M_MMAP_THRESHOLD,
	    128 << 10); /* fixed: what is large goes back to the system when it is freed */
	enum rc rc = make_threads(k, err);

	k->services.pool = k->pool;
	k->services.resolver = k->resolver;
	k->services.find_user = find_user;
	k->services.find_group = find_group;
	k->texts_arena = arena_new(0);
	k->services.texts = text_cache_new(k->texts_arena, TEXTS_MAX, TEXTS_BYTES);
	if (net_interfaces_new(&k->interfaces, NULL) == RC_OK)
		k->services.own_addresses = k->interfaces;
	if (rc == RC_OK)
		rc = make_queue(k, err);
	if (rc == RC_OK)
		rc = make_delivery(k, err);
	if (rc == RC_OK)
		rc = make_server(k, err);
	if (rc == RC_OK)
		rc = make_control(k, err);
	if (rc == RC_OK && pthread_create(&k->recovery, NULL, recover, k) != 0)
		rc = error_set(err, RC_ERROR, "no thread for the recovery of the queue");
	k->recovery_started = rc == RC_OK;
	if (rc == RC_OK)
		(void)timer_add(k->reactor, clock_mono_us() + TIDY_EVERY, tidy, k, err);
	return rc;
}

/* A timer that ran while all were cancelled may have set itself again. */
static bool end_parks(struct reactor *r)
{
	int64_t until = clock_mono_us() + STOP_PARKS, now;

	do {
		reactor_cancel_all(r);
		now = clock_mono_us();
	} while (!reactor_wait_empty(r, now + STOP_PARKS / 10) && now < until);
	return reactor_wait_empty(r, now);
}

/* In the reverse order; what has a deadline is waited for, what is left stays on the queue. */
void kernel_take_apart(struct kernel *k)
{
	if (k->server)
		smtp_server_stop(k->server);
	/* nobody is to wait in the backlog for a server that goes; the numbers stay ours until the
	 * listeners are done */
	for (unsigned i = 0; i < k->listener_count; i++)
		(void)shutdown(k->listeners[i], SHUT_RDWR);
	int64_t until = clock_mono_us() + STOP_SESSIONS;
	while (k->server && smtp_server_count(k->server) > 0 && clock_mono_us() < until)
		usleep(10000);
	control_free(&k->control);
	bool ended = !k->deliverer || deliver_stop(k->deliverer, clock_mono_us() + STOP_DELIVERY);
	if (k->recovery_started)
		(void)pthread_join(k->recovery, NULL);
	if (!ended || (k->reactor && !end_parks(k->reactor)))
		_exit(0); /* what still runs is on the queue: nothing is lost by ending here */
	store_close(&k->store); /* commits what is pending */
	/* whoever posts to a park or wakes a worker has ended before either is freed */
	pool_stop(k->handshake_pool);
	pool_stop(k->pool);
	dns_resolver_free(&k->resolver);
	reactor_free(&k->reactor);
	pool_free(&k->handshake_pool);
	pool_free(&k->pool);
	deliver_free(&k->deliverer);
	smtp_server_free(&k->server);
	smtp_store_hooks_free(
	    k->queue_hooks ? &k->queue_hooks : &(struct smtp_queue_hooks *){NULL});
	agents_free(&k->agents);
	hints_free(&k->hints);
	hints_free(&k->driver_hints);
	queue_index_free(&k->index);
	storage_real_free(&k->io);
	tls_contexts_free(&k->services.tls);
}
