/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening a session without a thread: it comes to the same as with one, whatever the server does;
 * who waits for a place gets the connection that is given back; a cancellation ends each wait. */
#include "base/clock.h"
#include "lib/tap.h"
#include "smtp/client.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Greets as it is told to, then answers each line with 250. */
struct server {
	int fd;
	uint16_t port;
	const char *greeting; /* NULL: none, and it stays; "": it closes at once */
	pthread_t thread;
	_Atomic bool stop;
	_Atomic unsigned connections;
};

static bool has_input(struct server *s, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	while (!atomic_load(&s->stop))
		if (poll(&p, 1, 10) > 0)
			return true;
	return false;
}

static void serve(struct server *s, int fd)
{
	char buf[1000];
	size_t n = s->greeting ? strlen(s->greeting) : 0;
	if (n) {
		(void)send(fd, s->greeting, n / 2, MSG_NOSIGNAL); /* it need not come at once */
		(void)usleep(2000);
		(void)send(fd, s->greeting + n / 2, n - n / 2, MSG_NOSIGNAL);
	}
	while ((n || !s->greeting) && has_input(s, fd) && recv(fd, buf, sizeof buf, 0) > 0)
		(void)send(fd, "250 fine\r\n", 10, MSG_NOSIGNAL);
	(void)close(fd);
}

struct one {
	struct server *s;
	int fd;
};

static void *one_main(void *arg)
{
	struct one *o = arg;
	serve(o->s, o->fd);
	atomic_fetch_sub(&o->s->connections, 1);
	free(o);
	return NULL;
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	while (has_input(s, s->fd)) {
		struct one *o = malloc(sizeof *o);
		pthread_t t;
		MUST(o != NULL);
		*o = (struct one){.s = s, .fd = accept(s->fd, NULL, NULL)};
		atomic_fetch_add(&s->connections, 1);
		MUST(pthread_create(&t, NULL, one_main, o) == 0);
		(void)pthread_detach(t);
	}
	return NULL;
}

static void server_start(struct server *s, const char *greeting)
{
	struct net_addr at = {.family = AF_INET, .bytes = {127, 0, 0, 1}}, bound;
	memset(s, 0, sizeof *s);
	s->greeting = greeting;
	MUST(net_listen(&at, 16, &s->fd, &bound, NULL) == RC_OK);
	s->port = bound.port;
	MUST(pthread_create(&s->thread, NULL, server_main, s) == 0);
}

static void server_stop(struct server *s)
{
	atomic_store(&s->stop, true);
	(void)pthread_join(s->thread, NULL);
	while (atomic_load(&s->connections) > 0)
		(void)usleep(1000);
	(void)close(s->fd);
}

/* ---- the client's side ---- */
static struct pool *pool;
static struct reactor *reactor;

struct trial {
	struct arena *a;
	struct smtp_clients *clients;
	struct client_target t;
	struct client_wait w;
	struct client_async async;
	struct client_session *s;
	struct client_outcome why;
	enum client_step step;
	_Atomic unsigned ready; /* how often it was told */
};

static void on_ready(
    void *ctx, enum client_step step, const struct client_outcome *why, struct worker *w)
{
	struct trial *x = ctx;
	(void)w;
	x->step = step;
	x->why = *why;
	atomic_fetch_add(&x->ready, 1);
}

static void begin_threads(void)
{
	struct pool_config pc = {.name = "t", .min = 2, .max = 4};
	struct reactor_config rc = {.name = "t-r", .threads = 1};
	struct error err;
	MUST(
	    pool_new(&pc, &pool, &err) == RC_OK && reactor_new(&rc, pool, &reactor, &err) == RC_OK);
}

static void end_threads(void)
{
	reactor_cancel_all(reactor);
	CHECK(reactor_wait_empty(reactor, clock_mono_us() + US_PER_SEC));
	pool_stop(pool);
	reactor_free(&reactor);
	pool_free(&pool);
}

static void trial_begin(struct trial *x, struct smtp_clients *clients, uint16_t port)
{
	memset(x, 0, sizeof *x);
	x->a = arena_new(0);
	x->clients = clients;
	x->t =
	    (struct client_target){.to = {.family = AF_INET, .bytes = {127, 0, 0, 1}, .port = port},
	        .name = SL("mx.example"),
	        .key = SL("key"),
	        .helo = SL("me.example"),
	        .connect_ms = 300,
	        .command_ms = 300};
	x->w.deadline_us = clock_mono_us() + 10 * US_PER_SEC;
	x->async =
	    (struct client_async){.reactor = reactor, .pool = pool, .ready = on_ready, .ctx = x};
}

static void start(struct trial *x)
{
	enum client_step step =
	    client_prepare(x->clients, &x->t, &x->w, &x->async, x->a, &x->s, &x->why);
	if (step == CLIENT_WAITS)
		return;
	x->step = step;
	atomic_fetch_add(&x->ready, 1);
}

static bool settled(struct trial *x)
{
	for (int i = 0; i < 400 && !atomic_load(&x->ready); i++)
		(void)usleep(10000);
	return CHECK_EQ_INT(atomic_load(&x->ready), 1);
}

static enum rc finish(struct trial *x)
{
	if (!settled(x))
		return RC_ERROR;
	return x->step == CLIENT_OPENED ? client_open_prepared(x->s, &x->w, &x->why)
	                                : x->why.result;
}

static struct smtp_clients *clients_with(struct smtp_clients_config cfg)
{
	struct smtp_clients *c = NULL;
	struct error err;
	MUST(smtp_clients_new(&cfg, &c, &err) == RC_OK);
	return c;
}

/* ---- what a server may do ---- */
static const struct {
	const char *what, *greeting, *text;
	bool listens, takes;
	int code;
} rows[] = {
    {"good", "220 hello\r\n", NULL, true, true, 0},
    {"two lines", "220-hello\r\n220 there\r\n", NULL, true, true, 0},
    {"refuses", "554 no\r\n", "SMTP error from remote mail server after initial connection: 554 no",
        true, true, 554},
    {"later", "450-not\r\n450 now\r\n",
        "SMTP error from remote mail server after initial connection: 450-not\n450 now", true, true,
        450},
    {"goes", "421 bye\r\n", "SMTP error from remote mail server after initial connection: 421 bye",
        true, true, 421},
    {"babbles", "hello there\r\n",
        "Malformed SMTP reply in response to initial connection: hello there", true, true, 0},
    {"closes", "", "Remote host closed connection in response to initial connection", true, true,
        0},
    {"silent", NULL, "Connection timed out: SMTP timeout after initial connection", true, true, 0},
    {"half a line", "220 hel", "Connection timed out: SMTP timeout after initial connection", true,
        true, 0},
    {"nobody", NULL, "Connection refused", false, false, 0},
    {"full", NULL, "Connection timed out", true, false, 0},
};

static int fill_backlog(int fd, uint16_t port, int *out, int most)
{
	struct net_addr to = {.family = AF_INET, .bytes = {127, 0, 0, 1}, .port = port};
	int n = 0;
	(void)listen(fd, 0);
	for (; n < most; n++) {
		struct error err;
		MUST(net_connect_start(&to, NULL, &out[n], NULL, &err) == RC_OK);
		struct pollfd p = {.fd = out[n], .events = POLLOUT};
		if (poll(&p, 1, 100) == 0)
			return n + 1;
	}
	return n;
}

TEST(it_comes_to_the_same)
{
	begin_threads();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct server s = {.fd = -1};
		struct trial x, y;
		int held[8], n = 0;
		printf("# %s\n", rows[i].what);
		server_start(&s, rows[i].greeting);
		if (!rows[i].takes) {
			atomic_store(&s.stop, true);
			(void)pthread_join(s.thread, NULL);
			if (rows[i].listens)
				n = fill_backlog(s.fd, s.port, held, 8);
			else
				(void)close(s.fd);
		}
		struct smtp_clients *c = clients_with((struct smtp_clients_config){0});
		struct smtp_clients *other = clients_with((struct smtp_clients_config){0});
		trial_begin(&x, c, s.port);
		trial_begin(&y, other, s.port);
		start(&x);
		enum rc rc = finish(&x);
		enum rc with = client_open(other, &y.t, &y.w, y.a, &y.s, &y.why);
		CHECK_EQ_INT(rc, with);
		CHECK_EQ_INT(rc, rows[i].text ? (rows[i].code >= 500 ? RC_FAIL : RC_DEFER) : RC_OK);
		if (rc != RC_OK) {
			CHECK_EQ_STR(x.why.text, rows[i].text);
			CHECK_EQ_STR(y.why.text, rows[i].text);
			CHECK_EQ_INT(x.why.smtp, rows[i].code);
			CHECK_EQ_INT(x.why.smtp, y.why.smtp);
			CHECK_EQ_INT(x.why.about, y.why.about);
			/* a host that is not there is left alone by the next; one that says no is
			 * there */
			struct trial z;
			trial_begin(&z, c, s.port);
			start(&z);
			(void)settled(&z);
			CHECK_EQ_INT(
			    z.step == CLIENT_REFUSED &&
			        slice_eqs(z.why.text, "retry time not reached for any host"),
			    rc == RC_DEFER);
			if (z.step == CLIENT_OPENED)
				client_close(&z.s);
			arena_free(&z.a);
		} else {
			client_close(&x.s);
			client_close(&y.s);
		}
		arena_free(&x.a);
		arena_free(&y.a);
		smtp_clients_free(&c);
		smtp_clients_free(&other);
		while (n)
			(void)close(held[--n]);
		if (rows[i].takes)
			server_stop(&s);
		else if (rows[i].listens)
			(void)close(s.fd);
	}
	end_threads();
}

TEST(who_waits_gets_the_connection)
{
	struct server s;
	struct trial x[4], stranger;
	struct client_stats stats;
	begin_threads();
	server_start(&s, "220 hello\r\n");
	struct smtp_clients *c = clients_with((struct smtp_clients_config){.per_host = 1});
	trial_begin(&stranger, c, s.port);
	stranger.t.key = SL("other");
	for (int i = 0; i < 4; i++)
		trial_begin(&x[i], c, s.port);
	start(&x[0]);
	CHECK_EQ_INT(finish(&x[0]), RC_OK);
	start(&x[1]);
	(void)usleep(20000); /* they stand in the order in which they came */
	start(&stranger);
	(void)usleep(20000);
	start(&x[2]);
	(void)usleep(20000);
	smtp_clients_stats(c, &stats);
	CHECK_EQ_INT(stats.waiting, 3);
	CHECK_EQ_INT(stats.active, 1);
	client_close(&x[0].s);
	CHECK_EQ_INT(finish(&x[1]), RC_OK);
	struct client_facts facts;
	client_session_facts(x[1].s, &facts);
	CHECK(facts.reused);
	client_close(&x[1].s);
	CHECK_EQ_INT(finish(&stranger), RC_OK); /* its key is another's: a connection of its own */
	client_session_facts(stranger.s, &facts);
	CHECK(!facts.reused);
	start(&x[3]); /* it comes last, and must not be first, though a connection is there */
	(void)usleep(20000);
	CHECK_EQ_INT(atomic_load(&x[2].ready) + atomic_load(&x[3].ready), 0);
	client_close(&stranger.s);
	CHECK_EQ_INT(finish(&x[2]), RC_OK); /* the first one has been kept for it */
	client_session_facts(x[2].s, &facts);
	CHECK(facts.reused);
	client_close(&x[2].s);
	CHECK_EQ_INT(finish(&x[3]), RC_OK);
	client_close(&x[3].s);
	smtp_clients_stats(c, &stats);
	CHECK_EQ_INT(stats.handed, 3);
	CHECK_EQ_INT(stats.connects, 2);
	CHECK_EQ_INT(stats.waiting + stats.active, 0);
	for (int i = 0; i < 4; i++)
		arena_free(&x[i].a);
	arena_free(&stranger.a);
	smtp_clients_free(&c);
	server_stop(&s);
	end_threads();
}

/* In each state: for a place, a connection, a greeting. */
TEST(cancelled)
{
	struct server s;
	struct trial x[4];
	struct client_stats stats;
	struct cancel cancel;
	int held[8];
	begin_threads();
	server_start(&s, NULL);
	struct server full;
	server_start(&full, NULL);
	atomic_store(&full.stop, true);
	(void)pthread_join(full.thread, NULL);
	int n = fill_backlog(full.fd, full.port, held, 8);
	cancel_init(&cancel);
	struct smtp_clients *c =
	    clients_with((struct smtp_clients_config){.per_host = 1, .unproven = 1});
	for (int i = 0; i < 4; i++) {
		trial_begin(&x[i], c, i == 2 ? full.port : s.port);
		x[i].t.connect_ms = x[i].t.command_ms = 60000;
		x[i].w.cancel = &cancel;
		if (i == 3)
			break;
		start(&x[i]);
		(void)usleep(20000);
	}
	smtp_clients_stats(c, &stats);
	CHECK_EQ_INT(stats.waiting, 1);
	CHECK_EQ_INT(stats.active, 2);
	cancel_set(&cancel);
	start(&x[3]); /* too late */
	for (int i = 0; i < 4; i++) {
		CHECK_EQ_INT(finish(&x[i]), RC_DEFER);
		CHECK_EQ_STR(x[i].why.text, "delivery was cut short");
		CHECK_EQ_INT(x[i].why.about, 0);
		arena_free(&x[i].a);
	}
	smtp_clients_stats(c, &stats);
	CHECK_EQ_INT(stats.waiting + stats.active, 0);
	smtp_clients_free(&c);
	while (n)
		(void)close(held[--n]);
	(void)close(full.fd);
	server_stop(&s);
	cancel_fini(&cancel);
	end_threads();
}

TAP_MAIN()
