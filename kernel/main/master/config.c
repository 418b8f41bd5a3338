/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading the configuration once: every file that is read goes into the bundle, and the kernel gets
 * exactly these bytes. Option tables come from heddle-kernel --describe-drivers, which runs without
 * privilege.
 */
#include "config/config.h"
#include "base/clock.h"
#include "base/io.h"
#include "driver/driver.h"
#include "main/environment.h"
#include "main/master/master.h"
#include "net/net.h"

#include <fcntl.h>
#include <unistd.h>

#define CONFIG_MAX       ((size_t)64 << 20)
#define DESCRIPTION_MAX  ((size_t)16 << 20)
#define DESCRIBE_TIMEOUT (30 * US_PER_SEC)
#define DEFAULT_SPOOL    "/var/spool/heddle"

struct reading {
	struct arena *arena;
	struct strbuf bundle;
};

static enum rc read_one(void *ctx, const char *path, slice_t *out, struct error *err)
{
	struct reading *r = ctx;
	enum rc rc = io_read_file(r->arena, path, CONFIG_MAX, out, err);

	if (rc == RC_OK) {
		out->flags |= HEDDLE_CLEAN;
		link_bundle_add(&r->bundle, path, *out);
	}
	return rc;
}

static enum rc describe(struct master *m, struct arena *a, struct drivers **out, struct error *err)
{
	static const char *const args[] = {"--describe-drivers", NULL};
	struct strbuf text;
	int status = 0;

	strbuf_init(&text, a, DESCRIPTION_MAX);
	enum rc rc =
	    master_ask_helper(m, "heddle-kernel", args, DESCRIBE_TIMEOUT, &text, &status, err);
	if (rc == RC_OK && status != 0)
		rc = error_set(err, RC_ERROR,
		    "the drivers' description failed (status %d): is %s readable for the kernel's "
		    "account?",
		    status, m->process.libexec);
	return rc == RC_OK ? drivers_from_description(strbuf_slice(&text), out, err) : rc;
}

static void say_all(struct master *m, const char *kind, const struct vec *v)
{
	VEC_FOREACH(v, struct error, e)
	{
		if (e->file)
			master_say(m, "%s: %s:%u: %s", kind, e->file, e->line, e->text);
		else
			master_say(m, "%s: %s", kind, e->text);
	}
}

/* local_interfaces gives addresses, some with a port; daemon_smtp_ports the ports of the others.
 * -oX ADDRESS.PORT or PORT. */
static enum rc listen_addresses(
    struct master *m, const struct config *cfg, struct arena *a, struct vec *out, struct error *err)
{
	struct vec addrs = {0};
	slice_t ports = config_text(cfg, MO_daemon_smtp_ports), item;
	slice_t ifs = config_text(cfg, MO_local_interfaces);
	slice_t over = slice_cstr(m->opt.ports);
	uint64_t pos = 0;
	int64_t port;

	if (!slice_is_absent(over)) {
		bool only_ports = true;
		for (uint32_t i = 0; i < over.len; i++)
			only_ports = only_ports && (ascii_isdigit(over.ptr[i]) ||
			                               over.ptr[i] == ':' || over.ptr[i] == ' ');
		*(only_ports ? &ports : &ifs) = over;
	}
	if (slice_is_absent(ifs) || ifs.len == 0)
		ifs = config_bool(cfg, MO_disable_ipv6) ? SL("0.0.0.0") : SL("<; ::0 ; 0.0.0.0");
	if (slice_is_absent(ports) || ports.len == 0)
		ports = SL("25");
	enum rc rc = net_addr_parse_list(a, ifs, &addrs, err);
	if (rc != RC_OK)
		return error_wrap(err, RC_ERROR, "local_interfaces");
	while (expand_list_next(a, ports, &pos, &item)) {
		if (slice_eqs(item, "smtp"))
			item = SL("25");
		if (!slice_to_i64(item, 10, false, &port) || port < 0 || port > 65535)
			return error_set(err, RC_ERROR,
			    "daemon_smtp_ports: \"%.*s\" is not a port number", SL_ARG(item));
		VEC_FOREACH(&addrs, struct net_addr, x)
		if (x->port == 0) {
			struct net_addr *n = VEC_PUSH(a, out, struct net_addr);
			*n = *x;
			n->port = (uint16_t)port;
		}
	}
	VEC_FOREACH(&addrs, struct net_addr, x)
	if (x->port != 0)
		*VEC_PUSH(a, out, struct net_addr) = *x;
	return RC_OK;
}

static void adopt(struct master *m, const struct config *cfg, struct arena *a, struct reading *r)
{
	slice_t spool = config_text(cfg, MO_spool_directory);
	slice_t pid = config_text(cfg, MO_pid_file_path);

	m->backlog = config_main(cfg, MO_smtp_connect_backlog)->is_set
	                 ? (int)config_int(cfg, MO_smtp_connect_backlog)
	                 : 0;
	m->bundle = strbuf_slice(&r->bundle);
	m->snapshot++;
	m->spool =
	    slice_is_absent(spool) || spool.len == 0 ? SL(DEFAULT_SPOOL) : arena_dup(a, spool);
	if (m->opt.pid_file)
		m->pid_path = m->opt.pid_file;
	else if (slice_is_absent(pid) || pid.len == 0)
		m->pid_path = arena_printf(a, "%.*s/heddle-daemon.pid", SL_ARG(m->spool)).ptr;
	else
		m->pid_path = arena_cstr(a, pid);
}

enum rc master_read_config(struct master *m, struct vec *out_listen, struct error *err)
{
	struct arena *a = arena_new(0);
	struct reading r = {.arena = a};
	struct vec problems = {0}, warnings = {0}, never = {0};
	struct drivers *d = NULL;
	struct config *cfg = NULL;
	enum rc rc = describe(m, a, &d, err);

	strbuf_init(&r.bundle, a, CONFIG_MAX);
	if (rc == RC_OK) {
		struct config_source src = {.path = m->opt.config_path,
		    .content = slice_absent(),
		    .defines = m->opt.defines,
		    .define_count = m->opt.define_count,
		    .drivers = d,
		    .process = &m->process.facts,
		    .no_instances = true,
		    .read_file = read_one,
		    .read_ctx = &r};
		rc = config_load(&src, a, &problems, &warnings, &cfg);
		if (rc == RC_OK)
			master_check_accounts(m, cfg, a, &problems, &never);
		say_all(m, "error", &problems);
		if (rc == RC_OK && problems.count)
			rc = RC_ERROR;
		if (rc != RC_OK)
			(void)error_set(err, RC_ERROR, "%s is refused", m->opt.config_path);
	}
	if (rc == RC_OK)
		rc = listen_addresses(m, cfg, m->process.arena, out_listen, err);
	struct vec environment = {0};
	if (rc == RC_OK)
		rc = environment_make(a, cfg, environ, &environment, err);
	if (rc == RC_OK) {
		adopt(m, cfg, a, &r);
		m->environment = environment;
		m->never = never;
		arena_free(&m->snapshot_arena);
		m->snapshot_arena = a;
		a = NULL;
	}
	config_unref(&cfg);
	drivers_free(&d);
	arena_free(&a);
	return rc;
}
