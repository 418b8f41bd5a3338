/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the generator on the same processors permits at most: a sink with STARTTLS by OpenSSL that
 * keeps nothing, asks nobody and logs nothing.  Two threads, each with all that its clients need;
 * they share the listener.  usage: limit_tls PORT CERT KEY
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 2

struct peer {
	int fd;
	SSL *ssl; /* NULL: in clear */
	bool in_data, shaking;
	size_t held;
	char in[16384];
};

struct sink {
	int listener;
	SSL_CTX *ctx;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void say(struct peer *p, const char *text)
{
	size_t n = strlen(text);
	if (p->ssl)
		(void)SSL_write(p->ssl, text, (int)n);
	else
		(void)!send(p->fd, text, n, MSG_NOSIGNAL);
}

static void hang_up(struct peer *p)
{
	SSL_free(p->ssl);
	(void)close(p->fd);
	free(p);
}

/* false: the session ends. */
static bool line(struct sink *s, struct peer *p, const char *text, size_t len)
{
	if (p->in_data) {
		if (len == 3 && text[0] == '.') {
			p->in_data = false;
			say(p, "250 OK\r\n");
		}
	} else if (strncasecmp(text, "DATA", 4) == 0) {
		p->in_data = true;
		say(p, "354 go on\r\n");
	} else if (strncasecmp(text, "EHLO", 4) == 0) {
		say(p, p->ssl ? "250-limit\r\n250 PIPELINING\r\n"
		              : "250-limit\r\n250-STARTTLS\r\n250 PIPELINING\r\n");
	} else if (strncasecmp(text, "STARTTLS", 8) == 0) {
		say(p, "220 go on\r\n");
		p->ssl = SSL_new(s->ctx);
		if (!p->ssl)
			return false;
		(void)SSL_set_fd(p->ssl, p->fd);
		SSL_set_accept_state(p->ssl);
		p->shaking = true;
	} else if (strncasecmp(text, "QUIT", 4) == 0) {
		say(p, "221 closing\r\n");
		return false;
	} else {
		say(p, "250 OK\r\n");
	}
	return true;
}

static bool consume(struct sink *s, struct peer *p)
{
	size_t at = 0;
	for (const char *nl; (nl = memchr(p->in + at, '\n', p->held - at)) != NULL;) {
		const char *text = p->in + at;
		at = (size_t)(nl + 1 - p->in);
		if (!line(s, p, text, (size_t)(nl + 1 - text)))
			return false;
	}
	p->held -= at;
	memmove(p->in, p->in + at, p->held);
	return p->held < sizeof p->in;
}

/* > 0: bytes; 0: the end; < 0: nothing at present. */
static int get(struct peer *p)
{
	int room = (int)(sizeof p->in - p->held);
	if (!p->ssl) {
		ssize_t n = recv(p->fd, p->in + p->held, (size_t)room, 0);
		return n < 0 && errno != EAGAIN ? 0 : (int)n;
	}
	int n = SSL_read(p->ssl, p->in + p->held, room);
	if (n > 0)
		return n;
	int why = SSL_get_error(p->ssl, n);
	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

/* false: the peer is gone. */
static bool take_input(struct sink *s, struct peer *p)
{
	for (;;) {
		if (p->shaking) {
			int r = SSL_do_handshake(p->ssl);
			if (r != 1)
				return SSL_get_error(p->ssl, r) == SSL_ERROR_WANT_READ;
			p->shaking = false;
		}
		int n = get(p);
		if (n <= 0)
			return n < 0;
		p->held += (size_t)n;
		if (!consume(s, p))
			return false;
	}
}

static void welcome(const struct sink *s, int epoll)
{
	int one = 1;
	for (int fd; (fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct peer *p = calloc(1, sizeof *p);
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
		if (!p)
			fail("calloc");
		p->fd = fd;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
			fail("epoll_ctl");
		say(p, "220 limit\r\n");
	}
}

static void *serve(void *arg)
{
	struct sink *s = arg;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event listening = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = NULL};
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, s->listener, &listening) != 0)
		fail("epoll");
	for (;;) {
		struct epoll_event ev[64];
		int n = epoll_wait(epoll, ev, 64, -1);
		for (int i = 0; i < n; i++) {
			if (!ev[i].data.ptr)
				welcome(s, epoll);
			else if (!take_input(s, ev[i].data.ptr))
				hang_up(ev[i].data.ptr);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int one = 1;
	pthread_t thread;
	struct sink s = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	    .ctx = SSL_CTX_new(TLS_server_method())};
	if (argc != 4) {
		(void)fputs("usage: limit_tls PORT CERT KEY\n", stderr);
		return 2;
	}
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (!s.ctx || SSL_CTX_use_certificate_chain_file(s.ctx, argv[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(s.ctx, argv[3], SSL_FILETYPE_PEM) != 1)
		fail("certificate");
	(void)SSL_CTX_set_session_id_context(s.ctx, (const unsigned char *)"limit", 5);
	(void)SSL_CTX_set_num_tickets(s.ctx, 1);
	(void)setsockopt(s.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(s.listener, (struct sockaddr *)&at, sizeof at) != 0 ||
	    listen(s.listener, 1024) != 0)
		fail("start");
	for (int i = 1; i < THREADS; i++)
		if (pthread_create(&thread, NULL, serve, &s) != 0)
			fail("thread");
	(void)serve(&s);
	return 0;
}
