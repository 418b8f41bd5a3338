/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the machine allows: an SMTP sink with no policy, no queue and no index.  One thread talks to
 * all clients and gathers what they have sent; another writes what has gathered behind a log, syncs
 * once, and has them told.  Nothing that keeps the promise of 250 on one disk can be much faster.
 * usage: limit PORT LOGFILE; SIGTERM prints messages and syncs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
	int fd;
	bool in_data;
	size_t held, body_len, body_cap;
	char *body;
	struct peer *next; /* of those that wait for the same sync */
	char in[16384];
};

struct sink {
	int epoll, listener, told_fd, signal_fd, log_fd;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct peer *waiting, **waiting_end, *synced; /* under lock */
	unsigned long messages, syncs;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void append_all(struct sink *s, struct peer *batch, char **buf, size_t *cap)
{
	size_t len = 0;
	for (struct peer *p = batch; p; p = p->next, s->messages++) {
		if (len + p->body_len > *cap) {
			*cap = (len + p->body_len) * 2;
			*buf = realloc(*buf, *cap);
			if (!*buf)
				fail("realloc");
		}
		memcpy(*buf + len, p->body, p->body_len);
		len += p->body_len;
	}
	if (write(s->log_fd, *buf, len) != (ssize_t)len || fdatasync(s->log_fd) != 0)
		fail("log");
	s->syncs++;
}

static void *committer(void *arg)
{
	struct sink *s = arg;
	char *buf = NULL;
	size_t cap = 0;
	for (;;) {
		(void)pthread_mutex_lock(&s->lock);
		while (!s->waiting)
			(void)pthread_cond_wait(&s->work, &s->lock);
		struct peer *batch = s->waiting;
		s->waiting = NULL;
		s->waiting_end = &s->waiting;
		(void)pthread_mutex_unlock(&s->lock);
		append_all(s, batch, &buf, &cap);
		(void)pthread_mutex_lock(&s->lock);
		struct peer *last = batch;
		while (last->next)
			last = last->next;
		last->next = s->synced;
		s->synced = batch;
		(void)pthread_mutex_unlock(&s->lock);
		uint64_t one = 1;
		if (write(s->told_fd, &one, sizeof one) != (ssize_t)sizeof one)
			fail("eventfd");
	}
	return NULL;
}

static void say(struct peer *p, const char *text)
{
	(void)!send(p->fd, text, strlen(text), MSG_NOSIGNAL);
}

static void hang_up(struct peer *p)
{
	(void)close(p->fd);
	free(p->body);
	free(p);
}

static void hand_in(struct sink *s, struct peer *p)
{
	(void)pthread_mutex_lock(&s->lock);
	p->next = NULL;
	*s->waiting_end = p;
	s->waiting_end = &p->next;
	(void)pthread_cond_signal(&s->work);
	(void)pthread_mutex_unlock(&s->lock);
}

enum after { GO_ON, WAIT, CLOSE };

static enum after data_line(struct sink *s, struct peer *p, const char *line, size_t len)
{
	if (len == 3 && line[0] == '.') {
		p->in_data = false;
		hand_in(s, p);
		return WAIT;
	}
	if (p->body_len + len > p->body_cap) {
		p->body_cap = (p->body_len + len) * 2;
		p->body = realloc(p->body, p->body_cap);
		if (!p->body)
			fail("realloc");
	}
	memcpy(p->body + p->body_len, line, len);
	p->body_len += len;
	return GO_ON;
}

static enum after command_line(struct peer *p, const char *line)
{
	if (strncasecmp(line, "DATA", 4) == 0) {
		p->in_data = true;
		p->body_len = 0;
		say(p, "354 go on\r\n");
	} else if (strncasecmp(line, "EHLO", 4) == 0) {
		say(p, "250-limit\r\n250-8BITMIME\r\n250 PIPELINING\r\n");
	} else if (strncasecmp(line, "QUIT", 4) == 0) {
		say(p, "221 closing\r\n");
		return CLOSE;
	} else {
		say(p, "250 OK\r\n");
	}
	return GO_ON;
}

static void consume(struct sink *s, struct peer *p)
{
	size_t at = 0;
	enum after after = GO_ON;
	for (const char *nl;
	     after == GO_ON && (nl = memchr(p->in + at, '\n', p->held - at)) != NULL;) {
		const char *line = p->in + at;
		size_t len = (size_t)(nl + 1 - line);
		at += len;
		after = p->in_data ? data_line(s, p, line, len) : command_line(p, line);
	}
	if (after == CLOSE) {
		hang_up(p);
		return;
	}
	if (after == GO_ON || at < p->held) { /* a client that waits for us has sent nothing more */
		p->held -= at;
		memmove(p->in, p->in + at, p->held);
	} else {
		p->held = 0;
	}
}

static void welcome(struct sink *s)
{
	int one = 1;
	for (int fd; (fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct peer *p = calloc(1, sizeof *p);
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
		if (!p)
			fail("calloc");
		p->fd = fd;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
			fail("epoll_ctl");
		say(p, "220 limit\r\n");
	}
}

static void tell(struct sink *s)
{
	uint64_t n;
	(void)!read(s->told_fd, &n, sizeof n);
	(void)pthread_mutex_lock(&s->lock);
	struct peer *p = s->synced;
	s->synced = NULL;
	(void)pthread_mutex_unlock(&s->lock);
	while (p) {
		struct peer *next = p->next;
		say(p, "250 OK\r\n");
		consume(s, p);
		p = next;
	}
}

static void take_input(struct sink *s, struct peer *p)
{
	ssize_t n = recv(p->fd, p->in + p->held, sizeof p->in - p->held, 0);
	if (n > 0) {
		p->held += (size_t)n;
		consume(s, p);
	} else if (n == 0 || errno != EAGAIN) {
		hang_up(p);
	}
}

static void watch(struct sink *s, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	ev.data.fd = fd;
	if (fd < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
		fail("start");
}

static void serve(struct sink *s)
{
	for (;;) {
		struct epoll_event ev[256];
		int n = epoll_wait(s->epoll, ev, 256, -1);
		for (int i = 0; i < n; i++) {
			uint64_t what =
			    ev[i].data.u64; /* a small number is one of ours, else a pointer */
			if (what == (uint64_t)s->listener)
				welcome(s);
			else if (what == (uint64_t)s->told_fd)
				tell(s);
			else if (what == (uint64_t)s->signal_fd)
				return;
			else
				take_input(s, ev[i].data.ptr);
		}
	}
}

int main(int argc, char **argv)
{
	int one = 1;
	pthread_t thread;
	sigset_t end;
	struct sink s = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};
	if (argc != 3) {
		(void)fputs("usage: limit PORT LOGFILE\n", stderr);
		return 2;
	}
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	s.waiting_end = &s.waiting;
	(void)sigemptyset(&end);
	(void)sigaddset(&end, SIGTERM);
	(void)sigaddset(&end, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &end, NULL);
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	s.log_fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	s.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	s.told_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	s.signal_fd = signalfd(-1, &end, SFD_CLOEXEC);
	(void)setsockopt(s.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (s.log_fd < 0 || bind(s.listener, (struct sockaddr *)&at, sizeof at) != 0 ||
	    listen(s.listener, 1024) != 0)
		fail("start");
	watch(&s, s.listener);
	watch(&s, s.told_fd);
	watch(&s, s.signal_fd);
	if (pthread_create(&thread, NULL, committer, &s) != 0)
		fail("thread");
	serve(&s);
	printf("messages=%lu syncs=%lu\n", s.messages, s.syncs);
	return 0;
}
