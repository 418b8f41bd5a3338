/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -bh and -bhc: an SMTP session as if from another host, in this process.  The server is the real
 * one, with a queue that forgets what it is given; what would be logged, and what the ACLs decide,
 * goes to standard error. Threads: the server's; this one copies between standard input, standard
 * output and the server's socket.
 */
#include "acl/acl.h"
#include "base/io.h"
#include "config/config.h"
#include "deliver/deliver.h"
#include "main/cli.h"
#include "main/cli_relay.h"
#include "net/net.h"
#include "net/tls/tls.h"
#include "smtp/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUDGET ((int64_t)256 << 20)

struct play {
	struct process *p;
	struct loaded loaded;
	struct log *log;
	struct pool *pool;
	struct reactor *reactor;
	struct smtp_server *server;
	struct body_budget budget;
	struct smtp_queue_hooks queue;
	uint32_t ids;
};

/* ---- the queue that forgets ---- */
static void next_id(void *ctx, char out[MESSAGE_ID_LEN + 1])
{
	struct play *t = ctx;
	struct queue_id id = {
	    .seconds = (uint64_t)(clock_wall_us() / US_PER_SEC), .serial = ++t->ids};

	queue_id_text(id, out);
}

static enum rc append(void *ctx, struct message *m, struct worker *w, smtp_commit_fn *fn, void *arg,
    struct error *err)
{
	(void)ctx, (void)m, (void)w, (void)err;
	fn(arg, RC_OK, NULL);
	return RC_OK;
}

static struct config *snapshot(void *ctx)
{
	struct play *t = ctx;

	return config_ref(t->loaded.cfg);
}

/* ---- start and end ---- */
static const struct eval_hooks eval_hooks = {
    .acl = acl_eval_hook, .host_name = smtp_host_name_hook};

static enum rc open_log(struct play *t, struct error *err)
{
	struct log_config lc;
	slice_t sel = config_text(t->loaded.cfg, MO_log_selector);

	log_config_init(&lc);
	lc.testing = true;
	lc.print_topbitchars = config_bool(t->loaded.cfg, MO_print_topbitchars);
	enum rc rc = slice_is_absent(sel) ? RC_OK : log_selector_parse(sel, &lc.selector, err);
	return rc == RC_OK ? log_open(&lc, &t->log, err) : rc;
}

static enum rc assemble(
    struct play *t, const struct cli *c, struct smtp_played *facts, struct error *err)
{
	struct pool_config pc = {.name = "worker"};
	struct reactor_config rc_cfg = {.name = "reactor"};
	struct smtp_server_config sc = {.snapshot = snapshot,
	    .ctx = t,
	    .services = t->loaded.sv,
	    .queue = &t->queue,
	    .budget = &t->budget,
	    .eval_hooks = &eval_hooks,
	    .verify_address = deliver_verify_address,
	    .expand_address = deliver_expand_address,
	    .played = facts};

	t->budget.limit = BUDGET;
	t->queue = (struct smtp_queue_hooks){
	    .ctx = t, .next_id = next_id, .append = append, .body_threshold = SIZE_MAX};
	enum rc rc = open_log(t, err);
	if (rc == RC_OK && !t->loaded.sv->tls)
		rc = tls_contexts_new(&t->loaded.sv->tls, err);
	if (rc == RC_OK)
		rc = pool_new(&pc, &t->pool, err);
	if (rc == RC_OK)
		rc = reactor_new(&rc_cfg, t->pool, &t->reactor, err);
	facts->login = c->ident;
	facts->host_name = c->host_name;
	facts->auth = c->auth;
	facts->auth_id = c->auth_id;
	sc.log = t->loaded.sv->log = t->log;
	t->loaded.sv->pool = sc.pool = t->pool;
	sc.reactor = t->reactor;
	sc.resolver = t->loaded.sv->resolver;
	return rc == RC_OK ? smtp_server_new(&sc, &t->server, err) : rc;
}

static void take_apart(struct play *t)
{
	if (t->server) {
		smtp_server_stop(t->server);
		int64_t until = clock_mono_us() + 5 * US_PER_SEC;
		while (smtp_server_count(t->server) > 0 && clock_mono_us() < until)
			usleep(1000);
	}
	if (t->reactor)
		reactor_cancel_all(t->reactor);
	if (t->reactor && !reactor_wait_empty(t->reactor, clock_mono_us() + 2 * US_PER_SEC))
		_exit(0);
	if (t->pool)
		pool_stop(t->pool);
	dns_resolver_free(&t->loaded.sv->resolver); /* its thread may still be waking a worker for
	                                               an answer that has been taken */
	reactor_free(&t->reactor);
	if (t->pool)
		pool_free(&t->pool);
	smtp_server_free(&t->server);
	tls_contexts_free(&t->loaded.sv->tls);
	log_close(&t->log);
}

/* ---- the client's side ---- */
/* The form that Exim gives an address here: IPv6 in full. */
static const char *canonical(struct arena *a, const struct net_addr *addr)
{
	char buf[NET_ADDR_TEXT];
	struct strbuf sb;

	if (addr->family != AF_INET6)
		return arena_cstr(a, net_addr_text(addr, buf));
	strbuf_init(&sb, a, 0);
	for (size_t i = 0; i < 16; i += 2)
		strbuf_printf(&sb, "%s%02x%02x", i ? ":" : "", addr->bytes[i], addr->bytes[i + 1]);
	return arena_cstr(a, strbuf_slice(&sb));
}

static enum rc addresses(
    const struct cli *c, struct net_addr *peer, struct smtp_played *facts, struct error *err)
{
	if (!net_addr_parse_port(slice_cstr(c->host), peer))
		return error_set(err, RC_FAIL, "abandoned: \"%s\" is not an IP address", c->host);
	if (c->interface && !net_addr_parse_port(slice_cstr(c->interface), &facts->interface))
		return error_set(
		    err, RC_FAIL, "abandoned: \"%s\" is not an IP address", c->interface);
	return RC_OK;
}

int cli_run_host_test(struct process *p, const struct cli *c)
{
	struct play t = {.p = p};
	struct smtp_played facts = {.login = NULL};
	struct error err = {.text = ""};
	struct net_addr peer;
	int pair[2];

	if (addresses(c, &peer, &facts, &err) != RC_OK)
		return cli_fail(&err);
	facts.address = canonical(p->arena, &peer);
	if (cli_load(p, c, false, &t.loaded) != RC_OK)
		return 1;
	process_adopt(p, t.loaded.cfg);
	enum rc rc = cli_check_rights(p, t.loaded.cfg, &err);
	if (rc == RC_OK)
		rc = assemble(&t, c, &facts, &err);
	if (rc == RC_OK && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		rc = error_errno(&err, RC_ERROR, errno, "socketpair");
	if (rc == RC_OK) {
		printf("\n**** SMTP testing session as if from host %s\n**** but without any ident "
		       "(RFC 1413) callback.\n"
		       "**** This is not for real!\n\n",
		    facts.address);
		(void)fflush(stdout);
		(void)io_nonblock(pair[0]);
		smtp_server_take(t.server, pair[0], &peer);
		cli_relay(pair[1]);
		close(pair[1]);
	}
	take_apart(&t);
	cli_unload(&t.loaded);
	return rc == RC_OK ? 0 : cli_fail(&err);
}
