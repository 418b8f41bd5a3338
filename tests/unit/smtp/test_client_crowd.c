/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Many threads send to one server at once: the limit holds, connections are shared, nothing is
 * lost. */
#include "base/clock.h"
#include "lib/tap.h"
#include "smtp/client.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SENDERS 24
#define EACH    20
#define LIMIT   6

struct sink {
	int fd;
	uint16_t port;
	_Atomic bool stop;
	_Atomic unsigned open, most, connections, messages, live;
};

struct one {
	struct sink *s;
	int fd;
};

/* Answers whatever a client of ours says, line by line; drops every 37th message's connection after
 * it was taken. */
static void *one_main(void *arg)
{
	struct one *o = arg;
	struct sink *s = o->s;
	FILE *f = fdopen(o->fd, "r+");
	char line[2000];
	bool data = false, close_now = false;
	MUST(f != NULL);
	setvbuf(f, NULL, _IONBF, 0);
	unsigned now = atomic_fetch_add(&s->open, 1) + 1, most = atomic_load(&s->most);
	while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now))
		;
	(void)dprintf(o->fd, "220 sink\r\n");
	while (!close_now && fgets(line, sizeof line, f)) {
		if (data) {
			if (strcmp(line, ".\r\n") != 0)
				continue;
			data = false;
			close_now = atomic_fetch_add(&s->messages, 1) % 37 == 36;
			(void)dprintf(o->fd, "250 taken\r\n");
		} else if (strncmp(line, "EHLO", 4) == 0) {
			(void)dprintf(o->fd, "250-sink\r\n250 PIPELINING\r\n");
		} else if (strncmp(line, "DATA", 4) == 0) {
			data = true;
			(void)dprintf(o->fd, "354 go\r\n");
		} else if (strncmp(line, "QUIT", 4) == 0) {
			break;
		} else {
			(void)dprintf(o->fd, "250 ok\r\n");
		}
	}
	atomic_fetch_sub(&s->open, 1);
	(void)fclose(f);
	free(o);
	atomic_fetch_sub(&s->live, 1);
	return NULL;
}

static void *sink_main(void *arg)
{
	struct sink *s = arg;
	while (!atomic_load(&s->stop)) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};
		pthread_t t;
		int fd = poll(&p, 1, 20) > 0 ? accept(s->fd, NULL, NULL) : -1;
		if (fd < 0)
			continue;
		struct one *o = malloc(sizeof *o);
		MUST(o != NULL);
		*o = (struct one){s, fd};
		atomic_fetch_add(&s->connections, 1);
		atomic_fetch_add(&s->live, 1);
		MUST(pthread_create(&t, NULL, one_main, o) == 0);
		(void)pthread_detach(t);
	}
	return NULL;
}

static enum rc body_open(void *ctx, bool dotted, struct error *err)
{
	(void)dotted, (void)err;
	*(bool *)ctx = false;
	return RC_OK;
}
static enum rc body_read(void *ctx, char *buf, size_t cap, size_t *got, struct error *err)
{
	bool *done = ctx;
	(void)err, (void)cap;
	*got = *done ? 0 : 7;
	memcpy(buf, "a: b\r\n\n", 7);
	*done = true;
	return RC_OK;
}

struct sender {
	pthread_t t;
	struct smtp_clients *c;
	uint16_t port;
	unsigned delivered;
};

static void *sender_main(void *arg)
{
	struct sender *x = arg;
	for (int i = 0; i < EACH; i++) {
		struct arena *a = arena_new(0);
		bool done = false;
		struct client_session *s = NULL;
		struct client_outcome why;
		struct client_target t = {
		    .to = {.family = AF_INET, .bytes = {127, 0, 0, 1}, .port = x->port},
		    .name = SL("sink"),
		    .key = SL("k"),
		    .helo = SL("me"),
		    .connect_ms = 20000,
		    .command_ms = 5000,
		    .data_ms = 5000,
		    .final_ms = 5000};
		struct client_wait w = {.deadline_us = clock_mono_us() + 30 * US_PER_SEC};
		struct client_message m = {
		    .sender = SL("a@b"), .ctx = &done, .open = body_open, .read = body_read};
		struct client_recipient r = {.address = SL("c@d")};
		enum rc rc = client_open(x->c, &t, &w, a, &s, &why);
		if (rc == RC_OK)
			rc = client_send(s, &m, &r, 1, &why);
		client_close(&s);
		x->delivered += rc == RC_OK && r.has_outcome && r.outcome.result == RC_OK;
		arena_free(&a);
	}
	return NULL;
}

TEST(crowd)
{
	static struct sink s;
	static struct sender x[SENDERS];
	struct net_addr at = {.family = AF_INET, .bytes = {127, 0, 0, 1}}, bound;
	struct smtp_clients_config cfg = {
	    .per_host = LIMIT, .unproven = 2, .unproven_wait_us = 20 * US_PER_SEC};
	struct smtp_clients *c = NULL;
	struct client_stats st;
	pthread_t t;
	unsigned delivered = 0;
	MUST(net_listen(&at, 64, &s.fd, &bound, NULL) == RC_OK);
	s.port = bound.port;
	MUST(pthread_create(&t, NULL, sink_main, &s) == 0);
	MUST(smtp_clients_new(&cfg, &c, NULL) == RC_OK);
	for (int i = 0; i < SENDERS; i++) {
		x[i] = (struct sender){.c = c, .port = s.port};
		MUST(pthread_create(&x[i].t, NULL, sender_main, &x[i]) == 0);
	}
	for (int i = 0; i < SENDERS; i++) {
		(void)pthread_join(x[i].t, NULL);
		delivered += x[i].delivered;
		smtp_clients_tidy(c);
	}
	smtp_clients_stats(c, &st);
	CHECK_EQ_INT(delivered, SENDERS * EACH);
	CHECK_EQ_INT(atomic_load(&s.messages), SENDERS * EACH);
	CHECK(atomic_load(&s.most) <=
	      LIMIT + 2); /* one that we have closed may not be through yet at the other end */
	CHECK(atomic_load(&s.connections) < SENDERS * EACH / 4);
	CHECK_EQ_INT(st.active, 0);
	CHECK(st.idle <= LIMIT);
	smtp_clients_free(&c);
	atomic_store(&s.stop, true);
	(void)pthread_join(t, NULL);
	for (int i = 0; atomic_load(&s.live) && i < 1000; i++)
		usleep(1000);
	(void)close(s.fd);
}
TAP_MAIN()
