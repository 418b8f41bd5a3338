/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What master hands over, and the snapshots that are made of it. */
#include "acl/acl.h"
#include "base/io.h"
#include "main/kernel/kernel.h"
#include "net/tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUNDLE_MAX (64 << 20)

static enum rc read_from_bundle(void *ctx, const char *path, slice_t *out, struct error *err)
{
	const slice_t *bundle = ctx;

	if (!link_bundle_find(*bundle, slice_cstr(path), out))
		return error_set(err, RC_FAIL, "%s: master did not read it", path);
	out->flags |= HEDDLE_CLEAN;
	return RC_OK;
}

static void say_warnings(struct log *log, const struct vec *v)
{
	VEC_FOREACH(v, struct error, e)
	log_main(log, slice_absent(), "Warning: %s:%u: %s", e->file ? e->file : "configuration",
	    e->line, e->text);
}

static void first_problem(const struct vec *v, struct error *err)
{
	const struct error *e = v->count ? v->items : NULL;

	if (e)
		(void)error_set(err, RC_ERROR, "%s:%u: %s", e->file ? e->file : "configuration",
		    e->line, e->text);
	else
		(void)error_set(err, RC_ERROR, "the configuration is refused");
}

static bool same_log(const struct log_config *a, const struct log_config *b)
{
	return slice_eq(a->path, b->path) && slice_eq(a->spool_directory, b->spool_directory) &&
	       a->selector.bits == b->selector.bits && a->debug == b->debug &&
	       a->write_rejectlog == b->write_rejectlog && a->message_logs == b->message_logs &&
	       a->preserve_message_logs == b->preserve_message_logs && a->zone == b->zone &&
	       a->print_topbitchars == b->print_topbitchars && a->also_stderr == b->also_stderr;
}

/* Reloads that change nothing about the log open no files. */
static enum rc open_or_share(
    struct kernel *k, const struct log_config *lc, struct log **out, struct error *err)
{
	struct open_log o = {.asked = *lc};

	VEC_FOREACH(&k->open_logs, struct open_log, i)
	if (same_log(&i->asked, lc)) {
		*out = i->log;
		return RC_OK;
	}
	enum rc rc = log_open(lc, &o.log, err);
	if (rc != RC_OK)
		return rc;
	o.asked.path = arena_dup(k->process.arena, lc->path);
	o.asked.spool_directory = arena_dup(k->process.arena, lc->spool_directory);
	*VEC_PUSH(k->process.arena, &k->open_logs, struct open_log) = o;
	*out = o.log;
	return RC_OK;
}

static enum rc log_for(
    struct kernel *k, const struct config *cfg, struct log **out, struct error *err)
{
	struct log_config lc;
	struct eval ev;
	struct arena *a = arena_new(0);
	slice_t path = slice_absent(), sel = config_text(cfg, MO_log_selector);

	log_config_init(&lc);
	eval_init(&ev, a, cfg);
	ev.process = &k->process.facts;
	enum rc rc = config_expand(&ev, MO_log_file_path, &path, err);
	lc.path = slice_is_absent(path) ? SL("") : path;
	lc.spool_directory = k->process.facts.spool_directory;
	lc.also_stderr =
	    (k->link_flags & LINK_FOREGROUND) != 0 && (k->link_flags & LINK_DEBUG) != 0;
	lc.debug = (k->link_flags & LINK_DEBUG) ? UINT64_MAX : 0;
	lc.write_rejectlog = config_bool(cfg, MO_write_rejectlog);
	lc.message_logs = config_bool(cfg, MO_message_logs);
	lc.preserve_message_logs = config_bool(cfg, MO_preserve_message_logs);
	lc.zone = config_bool(cfg, MO_log_timezone);
	lc.print_topbitchars = config_bool(cfg, MO_print_topbitchars);
	if (rc == RC_OK && !slice_is_absent(sel))
		rc = log_selector_parse(sel, &lc.selector, err);
	if (rc == RC_OK)
		rc = open_or_share(k, &lc, out, err);
	arena_free(&a);
	return rc;
}

static void publish(struct kernel *k, struct config *cfg, struct log *log)
{
	struct config *old;
	struct generation *place = NULL;

	kernel_lock(k);
	old = k->now.cfg;
	k->now = (struct generation){cfg, log};
	/* one that lay at the same address is gone */
	VEC_FOREACH(&k->logs, struct generation, g)
	if (g->cfg == cfg)
		place = g;
	if (!place)
		place = VEC_PUSH(k->process.arena, &k->logs, struct generation);
	*place = k->now;
	if (!k->services.log)
		k->services.log = log; /* read without a lock from now on; later snapshots' own logs
		                          come with them */
	kernel_unlock(k);
	config_unref(&old);
}

/* The process's facts are settled by the first snapshot: others read them without a lock. */
static bool is_reload(struct kernel *k)
{
	kernel_lock(k);
	bool yes = k->now.cfg != NULL;
	kernel_unlock(k);
	return yes;
}

enum rc kernel_load(struct kernel *k, slice_t bundle, struct error *err)
{
	static const struct config_hooks hooks = {.compile_acls = acl_compile_all};
	struct arena *scratch = arena_new(0);
	struct vec problems = {0}, warnings = {0};
	struct config *cfg = NULL;
	struct log *log = NULL;
	struct config_source src = {.path = k->process.facts.config_file.ptr,
	    .content = slice_absent(),
	    .read_file = read_from_bundle,
	    .read_ctx = &bundle,
	    .defines = k->defines,
	    .define_count = k->define_count,
	    .drivers = k->drivers,
	    .process = &k->process.facts,
	    .hooks = &hooks,
	    .services = &k->services};
	bool self_signed = false;
	enum rc rc = config_load(&src, scratch, &problems, &warnings, &cfg);

	if (rc != RC_OK)
		first_problem(&problems, err);
	else
		rc = smtp_server_check_tls(cfg, k->services.tls, &self_signed, err);
	if (rc == RC_OK && !is_reload(k))
		process_adopt(&k->process, cfg);
	if (rc == RC_OK)
		rc = log_for(k, cfg, &log, err);
	if (rc == RC_OK) {
		say_warnings(log, &warnings);
		if (self_signed)
			log_main(log, slice_absent(),
			    "Warning: No server certificate defined; will use a selfsigned one.\n "
			    "Suggested action: either install a "
			    "certificate or change tls_advertise_hosts option");
		publish(k, cfg, log);
	} else {
		config_unref(&cfg);
	}
	arena_free(&scratch);
	return rc;
}

struct config *kernel_snapshot(void *ctx)
{
	struct kernel *k = ctx;
	struct config *cfg;

	kernel_lock(k);
	cfg = k->now.cfg ? config_ref(k->now.cfg) : NULL;
	kernel_unlock(k);
	return cfg;
}

struct log *kernel_snapshot_log(void *ctx, const struct config *cfg)
{
	struct kernel *k = ctx;
	struct log *log = NULL;

	kernel_lock(k);
	VEC_FOREACH(&k->logs, struct generation, g)
	if (g->cfg == cfg)
		log = g->log;
	kernel_unlock(k);
	return log;
}

static enum rc take_config(struct kernel *k, int fd, struct error *err)
{
	struct stat st;
	struct arena *a = arena_new(0);
	enum rc rc = RC_OK;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 0 || st.st_size > BUNDLE_MAX) {
		rc = error_set(err, RC_ERROR, "master sent no configuration");
	} else {
		char *buf = arena_bytes(a, (size_t)st.st_size + 1);
		ssize_t n = io_pread_full(fd, buf, (size_t)st.st_size, 0);
		rc = n == st.st_size ? kernel_load(k, slice_of(buf, (size_t)n, HEDDLE_CLEAN), err)
		                     : error_set(err, RC_ERROR, "the configuration was cut short");
	}
	arena_free(&a);
	return rc;
}

static enum rc take_hello(struct kernel *k, const struct link_message *m, struct error *err)
{
	k->link_flags = m->number[0];
	k->queue_interval_ms = m->number[1];
	const char *file = arena_cstr(k->process.arena, link_get_text(m, 0));
	struct process old = k->process;
	enum rc rc = process_init(&k->process, file, err);
	process_fini(&old);
	k->process.ordinary_user = (k->link_flags & LINK_ORDINARY_USER) != 0;
	if (rc != RC_OK)
		return rc;
	struct drivers_config dc = {.folders = k->process.driver_folders,
	    .any_owner = k->process.ordinary_user,
	    .host = &k->services.host};
	rc = drivers_new(&dc, &k->drivers, err);
	if (rc == RC_OK)
		k->services.lookups = lookups_new(k->drivers);
	if (rc == RC_OK)
		rc = tls_contexts_new(&k->services.tls, err);
	return rc;
}

enum rc kernel_receive_start(struct kernel *k, struct error *err)
{
	struct link_message m;
	enum rc rc = RC_OK;
	int fd;

	while (rc == RC_OK) {
		if (link_receive(LINK_FD, &m, &fd) != 1)
			return error_set(
			    err, RC_ERROR, "heddle-kernel is started by heddle-master");
		switch ((enum link_type)m.type) {
		case LINK_HELLO:
			rc = take_hello(k, &m, err);
			break;
		case LINK_LISTENER:
			if (fd < 0 ||
			    k->listener_count == sizeof k->listeners / sizeof *k->listeners)
				return error_set(err, RC_ERROR, "too many listening sockets");
			k->listeners[k->listener_count++] = fd;
			fd = -1;
			break;
		case LINK_CONFIG:
			rc = take_config(k, fd, err);
			break;
		case LINK_GO:
			return RC_OK;
		case LINK_READY:
		case LINK_FAILED:
		case LINK_USER:
		case LINK_AGENT:
		case LINK_ANSWER:
		case LINK_RELOAD:
		case LINK_STOP:
		case LINK_GROUP:
		case LINK_TYPES:
			rc = error_set(err, RC_ERROR, "unexpected message of type %u", m.type);
			break;
		}
		if (fd >= 0)
			close(fd);
	}
	return rc;
}
