/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The server: listeners, the count of each client, new sessions and the end of old ones. */
#include "base/io.h"
#include "smtp/server_private.h"

#include <stdlib.h>
#include <unistd.h>

#define STOP_GRACE    (60 * US_PER_SEC) /* for what is in DATA */
#define ACCEPT_BATCH  64
#define ACCEPT_PAUSE  US_PER_SEC
#define SESSION_ARENA 4096

LOCK_FNS(clients, struct smtp_server, lock, lk_smtp_clients)

struct listener {
	struct smtp_server *server;
	struct net_acceptor acceptor;
	struct park *park;
	struct park_ref ref;
	struct listener *next;
};

/* For who plays a session. */
static void trace_acl(struct eval *ev, slice_t line)
{
	slice_t text = arena_printf(ev->arena, ">>> %.*s\n", SL_ARG(line));
	(void)io_write_full(STDERR_FILENO, text.ptr, text.len);
}

enum rc smtp_server_new(
    const struct smtp_server_config *cfg, struct smtp_server **out, struct error *err)
{
	if (!cfg->reactor || !cfg->pool || !cfg->queue || !cfg->budget || !cfg->snapshot)
		return error_set(err, RC_ERROR, "smtp server: configuration is incomplete");
	struct smtp_server *s = calloc(1, sizeof *s); /* outlives every arena */
	if (!s)
		return error_set(err, RC_DEFER, "no memory");
	s->cfg = *cfg;
	if (cfg->eval_hooks)
		s->eval_hooks = *cfg->eval_hooks;
	s->eval_hooks.host_name = session_host_name;
	s->acl_hooks = (struct acl_hooks){.verify_address = cfg->verify_address,
	    .verify_helo = server_verify_helo,
	    .verify_reverse_host = server_verify_reverse_host,
	    .log_line = server_acl_log_line,
	    .trace = cfg->played ? trace_acl : NULL};
	mutex_init(&s->lock, LOCK_smtp_clients);
	*out = s;
	return RC_OK;
}

void smtp_server_free(struct smtp_server **sp)
{
	struct smtp_server *s = *sp;
	*sp = NULL;
	if (!s)
		return;
	mutex_fini(&s->lock);
	free(s);
}

size_t smtp_server_count(const struct smtp_server *s)
{
	return atomic_load_explicit(&s->sessions, memory_order_acquire);
}

void smtp_server_stats(const struct smtp_server *s, struct smtp_server_stats *out)
{
	*out = (struct smtp_server_stats){
	    .connections = atomic_load_explicit(&s->connections, memory_order_relaxed),
	    .refused = atomic_load_explicit(&s->refused, memory_order_relaxed),
	    .messages = atomic_load_explicit(&s->messages, memory_order_relaxed),
	    .rejected_messages = atomic_load_explicit(&s->rejected, memory_order_relaxed),
	    .sessions = smtp_server_count(s),
	    .body_bytes = atomic_load_explicit(&s->cfg.budget->used, memory_order_relaxed),
	};
}

/* ---- how many sessions each client has ---- */
static struct smtp_client **client_slot(struct smtp_server *s, const struct net_addr *peer)
    REQUIRES(lk_smtp_clients)
{
	slice_t key = slice_tainted(peer->bytes, sizeof peer->bytes);
	struct smtp_client **p = &s->clients[hash_bytes(key) % CLIENT_BUCKETS];
	while (*p && !net_addr_eq(&(*p)->addr, peer))
		p = &(*p)->next;
	return p;
}

static void server_add(struct smtp_server *server, struct session *s) EXCLUDES(lk_smtp_clients)
{
	struct smtp_client *spare = calloc(1, sizeof *spare);
	clients_lock(server);
	struct smtp_client **p = client_slot(server, &s->counted_as);
	if (!*p && spare) {
		*p = spare;
		spare = NULL;
		(*p)->addr = s->counted_as;
	}
	if (*p) {
		(*p)->count++;
		s->counted = true;
	}
	s->next = server->first;
	s->link = &server->first;
	if (s->next)
		s->next->link = &s->next;
	server->first = s;
	clients_unlock(server);
	free(spare);
}

void server_remove(struct session *s)
{
	struct smtp_server *server = s->server;
	struct smtp_client *gone = NULL;
	clients_lock(server);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	struct smtp_client **p = client_slot(server, &s->counted_as);
	if (s->counted && *p && !--(*p)->count) {
		gone = *p;
		*p = gone->next;
	}
	clients_unlock(server);
	free(gone);
}

size_t server_client_count(struct smtp_server *server, const struct net_addr *peer)
{
	clients_lock(server);
	struct smtp_client *c = *client_slot(server, peer);
	size_t n = c ? c->count : 0;
	clients_unlock(server);
	return n;
}

/* ---- sessions ---- */
static void set_played(struct session *s, const struct smtp_played *p)
{
	struct session_facts *f = &s->facts;
	char buf[NET_ADDR_TEXT];
	if (p->interface.family) {
		f->interface_address = arena_dup(s->arena, net_addr_text(&p->interface, buf));
		f->interface_port = p->interface.port;
	}
	if (p->address)
		f->sender_host_address = slice_cstr(p->address);
	if (p->login)
		f->sender_ident = slice_cstr(p->login);
	if (p->host_name) {
		f->sender_host_name = slice_cstr(p->host_name);
		f->host_lookup = HOST_LOOKUP_OK;
	}
	if (p->auth)
		f->sender_host_authenticated = slice_cstr(p->auth);
	if (p->auth_id)
		f->authenticated_id = slice_cstr(p->auth_id);
}

/* What is known of a session that came by the submission socket. */
static void set_handed(struct session *s, const struct local_user *u)
{
	struct session_facts *f = &s->facts;
	char buf[NET_ADDR_TEXT];
	f->sender_ident = slice_is_absent(u->ident) ? u->login : u->ident;
	if (!slice_is_absent(u->auth_id))
		f->authenticated_id = u->auth_id;
	else if (!u->trusted || u->own_sender) /* else who it is is not what has been said */
		f->authenticated_id = u->login;
	f->sender_host_authenticated = u->auth;
	if (!slice_is_absent(u->host_name)) {
		f->sender_host_name = u->host_name;
		f->host_lookup = HOST_LOOKUP_OK;
	}
	if (u->interface.family) {
		f->interface_address = arena_dup(s->arena, net_addr_text(&u->interface, buf));
		f->interface_port = u->interface.port;
	}
}

static void set_addresses(struct session *s)
{
	char buf[NET_ADDR_TEXT];
	struct net_addr local;
	session_facts_clear(&s->facts, s->arena);
	s->facts.log_port = log_selected(s->log, LOG_INCOMING_PORT);
	s->facts.log_interface = log_selected(s->log, LOG_INCOMING_INTERFACE);
	if (s->handed)
		set_handed(s, s->handed);
	if (!s->local) {
		s->facts.sender_host_address = arena_dup(s->arena, net_addr_text(&s->peer, buf));
		s->facts.sender_host_port = s->peer.port;
	}
	if (!s->handed && net_local_addr(s->fd, &local)) {
		s->facts.interface_address = arena_dup(s->arena, net_addr_text(&local, buf));
		s->facts.interface_port = local.port;
	}
	if (s->server->cfg.played)
		set_played(s, s->server->cfg.played);
	s->facts.received_protocol = session_protocol(s);
	s->facts.smtp_active_hostname = SL("");
	s->facts.connection_start_us = clock_wall_us();
	session_update_host(&s->facts);
}

static void turn_away(int fd, slice_t line)
{
	(void)!send(fd, line.ptr, line.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static const struct local_user *keep_user(struct arena *a, const struct local_user *u)
{
	struct local_user *kept = ARENA_NEW(a, struct local_user);
	*kept = *u;
	kept->login = arena_dup(a, u->login);
	kept->full_name = arena_dup(a, u->full_name);
	kept->given_name = arena_dup(a, u->given_name);
	kept->host_name = arena_dup(a, u->host_name);
	kept->auth = arena_dup(a, u->auth);
	kept->auth_id = arena_dup(a, u->auth_id);
	kept->auth_sender = arena_dup(a, u->auth_sender);
	kept->protocol = arena_dup(a, u->protocol);
	kept->ident = arena_dup(a, u->ident);
	kept->reference = arena_dup(a, u->reference);
	return kept;
}

static void take(
    struct smtp_server *server, int fd, const struct net_addr *peer, const struct local_user *u)
{
	const struct smtp_server_config *c = &server->cfg;
	struct config *cfg = c->snapshot(c->ctx);
	struct error err;
	if (!cfg || atomic_load_explicit(&server->stopping, memory_order_relaxed)) {
		config_unref(&cfg);
		turn_away(fd, SL("421 Service not available - closing connection\r\n"));
		return;
	}
	struct arena *a = arena_new(SESSION_ARENA);
	struct session *s = ARENA_NEW(a, struct session);
	s->arena = a;
	s->server = server;
	s->fd = fd;
	s->cfg = cfg;
	s->log = c->snapshot_log ? c->snapshot_log(c->ctx, cfg) : c->log;
	s->peer = *peer;
	net_addr_unmap(&s->peer);
	s->counted_as = s->peer;
	s->handed = u ? keep_user(a, u) : NULL;
	s->local = u && !u->host.family ? s->handed : NULL;
	s->connected_us = clock_mono_us();
	s->command_timeout_us = INT64_C(300) * US_PER_SEC;
	s->state = ST_START;
	set_addresses(s);
	session_reset_transaction(s);
	s->tls_on_connect = session_tls_begins_at_once(s);
	s->layer = s->tls_on_connect ? LAYER_HELLO : LAYER_PLAIN;
	s->park = park_new(c->reactor, fd, session_run, s, &err);
	if (!s->park) {
		config_unref(&s->cfg);
		arena_free(&a);
		turn_away(fd,
		    SL("421 Too many concurrent SMTP connections; please try again later.\r\n"));
		return;
	}
	s->ref = park_ref_of(s->park);
	if (!u) {
		net_set_nodelay(fd, true);
		if (config_bool(cfg, MO_smtp_accept_keepalive))
			net_set_keepalive(fd, true);
	}
	(void)atomic_fetch_add_explicit(&server->sessions, 1, memory_order_acq_rel);
	(void)atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
	server_add(server, s);
	park_start(s->park);
}

void smtp_server_take(struct smtp_server *server, int fd, const struct net_addr *peer)
{
	take(server, fd, peer, NULL);
}

void server_take_local(struct smtp_server *server, int fd, const struct local_user *u)
{
	take(server, fd, &u->host, u);
}

/* ---- listeners ---- */
static void on_accept(void *arg, int fd, const struct net_addr *peer)
{
	smtp_server_take(arg, fd, peer);
}

static void listener_run(void *owner, enum wake why, struct worker *w)
{
	struct listener *l = owner;
	struct error err = {0};
	(void)w;
	if (why == WAKE_CANCEL ||
	    atomic_load_explicit(&l->server->stopping, memory_order_relaxed)) {
		net_acceptor_fini(&l->acceptor);
		park_free(&l->park);
		struct smtp_server *server = l->server;
		clients_lock(server);
		struct listener **p = &server->listeners;
		while (*p && *p != l)
			p = &(*p)->next;
		if (*p)
			*p = l->next;
		clients_unlock(server);
		free(l);
		return;
	}
	enum rc rc = net_accept_all(&l->acceptor, ACCEPT_BATCH,
	    SL("421 Too many concurrent SMTP connections; please try again later.\r\n"), on_accept,
	    l->server, &err);
	if (!rc) {
		park_wait(l->park, EPOLLIN, DEADLINE_NEVER, "connections");
		return;
	}
	log_main(l->server->cfg.log, slice_absent(), "accept() failed: %s", err.text);
	park_wait(l->park, 0, clock_mono_us() + ACCEPT_PAUSE, "descriptors to accept with");
}

enum rc smtp_server_listen(struct smtp_server *s, int listen_fd, struct error *err)
{
	struct listener *l = calloc(1, sizeof *l);
	if (!l)
		return error_set(err, RC_DEFER, "no memory");
	l->server = s;
	net_acceptor_init(&l->acceptor, listen_fd);
	l->park = park_new(s->cfg.reactor, listen_fd, listener_run, l, err);
	if (!l->park) {
		net_acceptor_fini(&l->acceptor);
		free(l);
		return RC_DEFER;
	}
	l->ref = park_ref_of(l->park);
	clients_lock(s);
	l->next = s->listeners;
	s->listeners = l;
	clients_unlock(s);
	park_start(l->park);
	return RC_OK;
}

void smtp_server_stop(struct smtp_server *s)
{
	atomic_store_explicit(&s->stop_by_us, clock_mono_us() + STOP_GRACE, memory_order_relaxed);
	atomic_store_explicit(&s->stopping, true, memory_order_release);
	clients_lock(s);
	for (struct listener *l = s->listeners; l; l = l->next)
		park_cancel(s->cfg.reactor, l->ref);
	for (struct session *it = s->first; it; it = it->next)
		park_cancel(s->cfg.reactor, it->ref);
	clients_unlock(s);
}
