/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sessions of this host's own users: a unix socket to which the command line (-bs, -bS) connects.
 *
 * The first line says what is wanted: "heddle-submission 1 MODE LOGIN FLAGS [NAME]", MODE smtp or
 * bsmtp, FLAGS "-" or letters
 * ("u": addresses are not qualified, -bnq), NAME what -F says, in base64, if it was given.  Who it
 * is tells the socket (peer credentials); the name is believed if the user data base gives the same
 * uid for it.  Then a session begins, on the same connection, that differs from one over TCP/IP
 * only by what struct local_user says. Threads: one park accepts, one park for each caller reads
 * its line.  Looking the name up is bracketed.
 */
#include "base/codec.h"
#include "base/io.h"
#include "smtp/server_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_LINE_MAX 2048
#define FIRST_LINE_US  (10 * US_PER_SEC)
#define NAME_LOOKUP_US (30 * US_PER_SEC)

struct local_listener {
	struct smtp_server *server;
	struct park *park;
	int fd;
};

/* One that has not said its first line. */
struct caller {
	struct smtp_server *server;
	struct park *park;
	int fd;
	int64_t deadline_us;
	size_t have;
	char line[FIRST_LINE_MAX];
};

static void caller_end(struct caller *c, const char *why)
{
	if (why)
		(void)!send(c->fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);
	park_free(&c->park);
	if (c->fd >= 0)
		(void)close(c->fd);
	(void)atomic_fetch_sub_explicit(&c->server->sessions, 1, memory_order_acq_rel);
	free(c);
}

/* The words of the first line; false: it is none. */
static bool take_words(struct arena *a, slice_t line, struct local_user *u, slice_t *login)
{
	slice_t rest = slice_trim(line), word[6];
	size_t n = 0;
	while (n < 6 && slice_next(&rest, ' ', &word[n]))
		n++;
	u->given_name = slice_absent();
	if (n == 6 && !base64_decode(a, word[5], &u->given_name))
		return false;
	if (n < 5 || !slice_eqs(word[0], "heddle-submission") || !slice_eqs(word[1], "1"))
		return false;
	u->batch = slice_eqs(word[2], "bsmtp");
	u->unqualified = slice_find(word[4], 'u') != SIZE_MAX;
	*login = word[3];
	return u->batch || slice_eqs(word[2], "smtp");
}

/* trusted_users, trusted_groups: names or numbers. */
static bool listed_as_trusted(struct eval *ev, const struct net_peer *peer)
{
	struct error err;
	slice_t users = slice_absent(), groups = slice_absent();
	if (config_expand(ev, MO_trusted_users, &users, &err) != RC_OK)
		users = slice_absent();
	if (config_expand(ev, MO_trusted_groups, &groups, &err) != RC_OK)
		groups = slice_absent();
	return services_peer_listed(ev, users, groups, peer, &err) == RC_OK;
}

/* The gecos field; '&' in it is the login with a capital. */
static slice_t name_of_user(struct arena *a, slice_t gecos, slice_t login)
{
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	for (size_t i = 0; i < gecos.len; i++) {
		if (gecos.ptr[i] != '&' || !login.len) {
			strbuf_char(&sb, gecos.ptr[i]);
			continue;
		}
		strbuf_char(&sb, login.ptr[0] >= 'a' && login.ptr[0] <= 'z'
		                     ? (char)(login.ptr[0] - 'a' + 'A')
		                     : login.ptr[0]);
		strbuf_add(&sb, slice_sub(login, 1, login.len));
	}
	return strbuf_slice(&sb);
}

/* RC_FAIL: the name is not that of the uid; RC_DEFER: nobody can say. */
static enum rc identify(struct caller *c, struct worker *w, struct config *cfg, slice_t login,
    struct arena *a, struct local_user *u, struct error *err)
{
	struct services *sv = c->server->cfg.services;
	struct net_peer peer;
	struct user_info info;
	struct eval ev;
	if (!sv || !sv->find_user)
		return error_set(err, RC_DEFER, "nobody to ask about users");
	enum rc rc = net_peer_of(c->fd, a, &peer, err);
	if (!rc)
		rc = pool_blocking_begin(w, POOL_FOR_LOOKUP, peer.uid, err);
	if (rc)
		return rc;
	eval_init(&ev, a, cfg);
	ev.process = config_process(cfg);
	ev.services = sv;
	ev.deadline_us = clock_mono_us() + NAME_LOOKUP_US;
	rc = sv->find_user(sv, a, login, ev.deadline_us, &info, err);
	if (!rc)
		u->trusted =
		    peer.uid == 0 || peer.uid == geteuid() || listed_as_trusted(&ev, &peer);
	pool_blocking_end(w);
	if (rc)
		return rc;
	if (info.uid != (int64_t)peer.uid)
		return error_set(err, RC_FAIL, "the name is another user's");
	u->login = arena_dup(a, login);
	u->login.flags = HEDDLE_CLEAN; /* the system's own */
	if (slice_is_absent(u->given_name))
		u->full_name = name_of_user(a, info.gecos, u->login);
	else
		u->full_name = u->given_name;
	return RC_OK;
}

static void begin(struct caller *c, slice_t line, struct worker *w)
{
	struct smtp_server *server = c->server;
	struct arena *a = arena_new(0);
	struct config *cfg = server->cfg.snapshot(server->cfg.ctx);
	struct local_user *u = ARENA_NEW(a, struct local_user);
	struct error err = {0};
	slice_t login;
	enum rc rc = !cfg                             ? RC_DEFER
	             : take_words(a, line, u, &login) ? identify(c, w, cfg, login, a, u, &err)
	                                              : RC_FAIL;
	if (rc) {
		config_unref(&cfg);
		arena_free(&a);
		caller_end(c, rc == RC_FAIL ? "554 Who you are cannot be established\r\n"
		                            : "421 Service not available - closing connection\r\n");
		return;
	}
	int fd = c->fd;
	park_free(&c->park); /* the descriptor goes on in another park */
	c->fd = -1;
	server_take_local(server, fd, u);
	config_unref(&cfg);
	arena_free(&a);
	caller_end(c, NULL);
}

static void caller_run(void *owner, enum wake why, struct worker *w)
{
	struct caller *c = owner;
	if (why == WAKE_TIMEOUT || why == WAKE_CANCEL) {
		caller_end(c, "421 Service not available - closing connection\r\n");
		return;
	}
	for (;;) {
		/* no byte more than the line: the session reads the rest itself */
		ssize_t n = read(c->fd, c->line + c->have, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			park_wait(c->park, EPOLLIN, c->deadline_us, "first line of a submission");
			return;
		}
		if (n <= 0 || c->have + 1 == sizeof c->line) {
			caller_end(c, NULL);
			return;
		}
		if (c->line[c->have++] == '\n') {
			begin(c, slice_tainted(c->line, c->have), w);
			return;
		}
	}
}

static void call(struct smtp_server *server, int fd)
{
	struct caller *c = calloc(1, sizeof *c);
	if (!c) {
		(void)close(fd);
		return;
	}
	c->server = server;
	c->fd = fd;
	c->deadline_us = clock_mono_us() + FIRST_LINE_US;
	c->park = park_new(server->cfg.reactor, fd, caller_run, c, NULL);
	if (!c->park) {
		(void)close(fd);
		free(c);
		return;
	}
	/* counted as a session: the server's memory is needed until the last one is gone */
	(void)atomic_fetch_add_explicit(&server->sessions, 1, memory_order_acq_rel);
	park_start(c->park);
}

static void accept_run(void *owner, enum wake why, struct worker *w)
{
	struct local_listener *l = owner;
	(void)w;
	if (why == WAKE_CANCEL ||
	    atomic_load_explicit(&l->server->stopping, memory_order_relaxed)) {
		park_free(&l->park);
		(void)close(l->fd);
		free(l);
		return;
	}
	int fd = -1;
	for (int i = 0; i < 64; i++) {
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			call(l->server, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	bool full = fd < 0 && (errno == EMFILE || errno == ENFILE);
	park_wait(l->park, full ? 0 : EPOLLIN, full ? clock_mono_us() + US_PER_SEC : DEADLINE_NEVER,
	    "submissions");
}

slice_t smtp_submission_path(struct arena *a, slice_t spool_directory)
{
	return arena_printf(a, "%.*s/submission.sock", SL_ARG(spool_directory));
}

enum rc smtp_server_listen_local(struct smtp_server *s, const char *path, struct error *err)
{
	struct local_listener *l = calloc(1, sizeof *l);
	if (!l)
		return error_set(err, RC_DEFER, "no memory");
	l->server = s;
	enum rc rc = io_listen_unix(path, 0666, &l->fd, err);
	if (!rc) {
		l->park = park_new(s->cfg.reactor, l->fd, accept_run, l, err);
		if (!l->park) {
			(void)close(l->fd);
			rc = RC_DEFER;
		}
	}
	if (rc) {
		free(l);
		return rc;
	}
	park_start(l->park);
	return RC_OK;
}
