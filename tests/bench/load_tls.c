/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * STARTTLS and one message for each connection, on loopback: what a server's handshakes cost.
 * Threads that wait; OpenSSL is the client, so that no server is measured by its own library.  See
 * usage() for the options. Prints: RATE/s failed N resumed N CIPHER own-cpu SECONDS
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS_MAX 1000
#define FROM         "a@bench.test"
#define RCPT         "b@bench.test"

struct work {
	uint16_t port;
	int sessions, total;
	bool resume;
	char *body;
	size_t body_len;
	SSL_CTX *ctx;
	atomic_int started, done, failed, resumed;
	pthread_mutex_t lock;
	char cipher[64]; /* by lock: of the newest session */
};

struct link {
	int fd;
	SSL *ssl; /* NULL: in clear */
};

static double now(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static ssize_t get(struct link *l, char *p, size_t n)
{
	return l->ssl ? SSL_read(l->ssl, p, (int)n) : read(l->fd, p, n);
}

static bool say(struct link *l, const char *p, size_t n)
{
	return (l->ssl ? SSL_write(l->ssl, p, (int)n) : write(l->fd, p, n)) == (ssize_t)n;
}

/* The code of the next whole reply; 0: the connection is gone. */
static long reply(struct link *l)
{
	char buf[8192];
	size_t have = 0;
	while (have < sizeof buf - 1) {
		ssize_t n = get(l, buf + have, sizeof buf - 1 - have);
		if (n <= 0)
			return 0;
		have += (size_t)n;
		buf[have] = 0;
		for (char *line = buf, *end; (end = strstr(line, "\r\n")); line = end + 2)
			if (end - line >= 3 && line[3] != '-')
				return strtol(line, NULL, 10);
	}
	return 0;
}

static bool ask(struct link *l, const char *line, long want)
{
	return say(l, line, strlen(line)) && reply(l) == want;
}

static bool open_link(const struct work *w, struct link *l)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons(w->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;
	l->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (l->fd < 0 || connect(l->fd, (const struct sockaddr *)&a, sizeof a) != 0)
		return false;
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return reply(l) == 220 && ask(l, "EHLO load.test\r\n", 250) && ask(l, "STARTTLS\r\n", 220);
}

static bool shake(struct work *w, struct link *l, SSL_SESSION *ticket)
{
	SSL *s = SSL_new(w->ctx);
	if (!s)
		return false;
	(void)SSL_set_fd(s, l->fd);
	if (ticket)
		(void)SSL_set_session(s, ticket);
	l->ssl = s;
	if (SSL_connect(s) != 1)
		return false;
	w->resumed += SSL_session_reused(s);
	(void)pthread_mutex_lock(&w->lock);
	(void)snprintf(w->cipher, sizeof w->cipher, "%s", SSL_get_cipher_name(s));
	(void)pthread_mutex_unlock(&w->lock);
	return true;
}

static bool send_message(const struct work *w, struct link *l)
{
	return ask(l, "EHLO load.test\r\n", 250) && ask(l, "MAIL FROM:<" FROM ">\r\n", 250) &&
	       ask(l, "RCPT TO:<" RCPT ">\r\n", 250) && ask(l, "DATA\r\n", 354) &&
	       say(l, w->body, w->body_len) && reply(l) == 250;
}

static bool one(struct work *w, SSL_SESSION **ticket)
{
	struct link l = {.fd = -1};
	bool ok =
	    open_link(w, &l) && shake(w, &l, w->resume ? *ticket : NULL) && send_message(w, &l);
	if (ok) {
		(void)say(&l, "QUIT\r\n", 6);
		if (w->resume) {
			SSL_SESSION_free(*ticket);
			*ticket = SSL_get1_session(l.ssl);
		}
	}
	if (l.ssl) {
		SSL_set_quiet_shutdown(l.ssl, 1);
		(void)SSL_shutdown(l.ssl);
		SSL_free(l.ssl);
	}
	if (l.fd >= 0)
		(void)close(l.fd);
	return ok;
}

static void *run(void *arg)
{
	struct work *w = arg;
	SSL_SESSION *ticket = NULL;
	while (w->started++ < w->total) {
		if (one(w, &ticket))
			w->done++;
		else
			w->failed++;
	}
	SSL_SESSION_free(ticket);
	return NULL;
}

static bool make_body(struct work *w, size_t bytes)
{
	static const char head[] = "From: <" FROM ">\r\nTo: <" RCPT
	                           ">\r\nSubject: load\r\nMessage-ID: <load@bench.test>\r\n\r\n";
	w->body = malloc(bytes + sizeof head + 100);
	if (!w->body)
		return false;
	memcpy(w->body, head, sizeof head - 1);
	w->body_len = sizeof head - 1;
	while (w->body_len < bytes) {
		size_t n = bytes - w->body_len < 72 ? bytes - w->body_len : 72;
		memset(w->body + w->body_len, 'x', n);
		memcpy(w->body + w->body_len + n, "\r\n", 2);
		w->body_len += n + 2;
	}
	memcpy(w->body + w->body_len, ".\r\n", 3);
	w->body_len += 3;
	return true;
}

static int usage(void)
{
	(void)fputs("usage: load_tls PORT [-s sessions] [-n messages] [-l bytes] [-r: resume] [-2: "
	            "TLS 1.2] [-g groups]\n",
	    stderr);
	return 2;
}

static double own_cpu(void)
{
	struct rusage ru;
	(void)getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	struct work w = {.sessions = 20, .total = 500, .lock = PTHREAD_MUTEX_INITIALIZER};
	static pthread_t threads[SESSIONS_MAX];
	char usual[] = "X25519:P-256", *groups = usual;
	size_t bytes = 4096;
	bool old = false;
	if (argc < 2)
		return usage();
	w.port = (uint16_t)strtoul(argv[1], NULL, 10);
	optind = 2;
	for (int o; (o = getopt(argc, argv, "s:n:l:r2g:")) != -1;) {
		switch (o) {
		case 's':
			w.sessions = (int)strtol(optarg, NULL, 10);
			break;
		case 'n':
			w.total = (int)strtol(optarg, NULL, 10);
			break;
		case 'l':
			bytes = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			w.resume = true;
			break;
		case '2':
			old = true;
			break;
		case 'g':
			groups = optarg;
			break;
		default:
			return usage();
		}
	}
	w.ctx = SSL_CTX_new(TLS_client_method());
	if (!w.ctx || !make_body(&w, bytes) || w.sessions < 1 || w.sessions > SESSIONS_MAX ||
	    SSL_CTX_set1_groups_list(w.ctx, groups) != 1)
		return usage();
	SSL_CTX_set_verify(w.ctx, SSL_VERIFY_NONE, NULL);
	if (old)
		(void)SSL_CTX_set_max_proto_version(w.ctx, TLS1_2_VERSION);
	double began = now();
	for (int i = 0; i < w.sessions; i++)
		if (pthread_create(&threads[i], NULL, run, &w) != 0)
			return 2;
	for (int i = 0; i < w.sessions; i++)
		(void)pthread_join(threads[i], NULL);
	(void)printf("%.0f/s failed %d resumed %d %s own-cpu %.2f\n", w.done / (now() - began),
	    w.failed, w.resumed, w.cipher, own_cpu());
	return w.failed != 0;
}
