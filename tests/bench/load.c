/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An SMTP client that keeps many sessions busy, from one thread: what a server accepts in a second,
 * how long a message takes from MAIL to its 250, and what this program itself cost.  See usage()
 * for the options; README.md for what they are used for.
 *
 * A session is a dialogue: a step says something and waits for a number of replies, the last one
 * leads to the next step.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STALL_MS  60000
#define LINE_SIZE 600

enum step { STEP_BANNER, STEP_HELLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_TEXT, STEP_BYE };

struct client {
	int fd;
	enum step step;
	unsigned replies; /* still to come in this step */
	unsigned sent;    /* messages on this connection */
	unsigned to;      /* recipients named so far */
	uint64_t number;  /* of the message */
	int64_t since_ns;
	size_t held;
	char line[2048]; /* the beginning of a reply line */
};

struct plan {
	struct sockaddr_in server;
	unsigned sessions, per_connection, recipients, modulus;
	uint64_t messages;
	size_t bytes;
	bool pipelining, patient;
	const char *from, *to;
};

struct load {
	struct plan plan;
	int epoll;
	uint64_t begun, accepted, refused;
	unsigned live;
	char *text;
	size_t text_len;
	int64_t *times; /* of the accepted, in ns */
	int64_t last_ns;
};

static int64_t now_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

/* ---- talking ---- */
static void say(struct client *c, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) { /* a server that does not read: its own time is what
			                         we measure */
			struct pollfd full = {.fd = c->fd, .events = POLLOUT};
			(void)poll(&full, 1, 1000);
		} else if (errno != EINTR) {
			return; /* the read that follows says so too */
		}
	}
}

/* "user%@d&.test": % becomes the number, & the number modulo -m, so that addresses can differ. */
static size_t put_address(
    const struct plan *p, char *out, size_t room, const char *pattern, uint64_t number)
{
	size_t len = 0;
	for (; *pattern && len + 24 < room; pattern++) {
		if (*pattern == '%' || *pattern == '&')
			len += (size_t)snprintf(out + len, room - len, "%llu",
			    (unsigned long long)(*pattern == '&' ? number % p->modulus : number));
		else
			out[len++] = *pattern;
	}
	return len;
}

static size_t put_command(
    const struct plan *p, char *out, const char *verb, const char *pattern, uint64_t number)
{
	size_t len = (size_t)snprintf(out, LINE_SIZE, "%s:<", verb);
	len += put_address(p, out + len, LINE_SIZE - len - 4, pattern, number);
	return len + (size_t)snprintf(out + len, 4, ">\r\n");
}

static void dial(struct load *l, struct client *c)
{
	int one = 1;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		fail("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	while (connect(c->fd, (struct sockaddr *)&l->plan.server, sizeof l->plan.server) != 0)
		if (errno != EINTR)
			fail("connect");
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		fail("epoll_ctl");
	c->step = STEP_BANNER;
	c->replies = 1;
	c->sent = 0;
	c->held = 0;
	l->live++;
}

static void hang_up(struct load *l, struct client *c)
{
	(void)close(c->fd);
	c->fd = -1;
	l->live--;
	if (l->begun < l->plan.messages)
		dial(l, c);
}

static void bye(struct load *l, struct client *c)
{
	c->step = STEP_BYE;
	c->replies = 1;
	say(c, "QUIT\r\n", 6);
	if (!l->plan.patient)
		hang_up(l, c);
}

static void begin_message(struct load *l, struct client *c)
{
	if (l->begun == l->plan.messages || c->sent == l->plan.per_connection) {
		bye(l, c);
		return;
	}
	char out[LINE_SIZE * 66];
	c->number = l->begun++;
	c->sent++;
	c->to = 0;
	size_t len = put_command(&l->plan, out, "MAIL FROM", l->plan.from, c->number);
	c->step = STEP_MAIL;
	c->replies = 1;
	if (l->plan.pipelining) {
		for (; c->to < l->plan.recipients; c->to++)
			len += put_command(&l->plan, out + len, "RCPT TO", l->plan.to,
			    c->number * l->plan.recipients + c->to);
		len += (size_t)snprintf(out + len, 8, "DATA\r\n");
		c->step = STEP_DATA;
		c->replies = l->plan.recipients + 2;
	}
	c->since_ns = now_ns();
	say(c, out, len);
}

static void name_recipient(struct load *l, struct client *c)
{
	char out[LINE_SIZE];
	size_t len = put_command(
	    &l->plan, out, "RCPT TO", l->plan.to, c->number * l->plan.recipients + c->to);
	c->to++;
	c->step = STEP_RCPT;
	c->replies = 1;
	say(c, out, len);
}

static void end_message(struct load *l, struct client *c, bool ok)
{
	int64_t now = now_ns();
	if (!ok) {
		l->refused++;
		bye(l, c);
		return;
	}
	l->times[l->accepted++] = now - c->since_ns;
	l->last_ns = now;
	begin_message(l, c);
}

/* A whole reply has come. */
static void answered(struct load *l, struct client *c, unsigned code)
{
	bool ok = code < 400;
	if (ok && --c->replies > 0)
		return;
	switch (c->step) {
	case STEP_BANNER:
		if (!ok)
			break;
		c->step = STEP_HELLO;
		c->replies = 1;
		say(c, "EHLO client.bench.test\r\n", 24);
		return;
	case STEP_HELLO:
		if (!ok)
			break;
		begin_message(l, c);
		return;
	case STEP_MAIL:
	case STEP_RCPT:
		if (!ok)
			break;
		if (c->to < l->plan.recipients) {
			name_recipient(l, c);
			return;
		}
		c->step = STEP_DATA;
		c->replies = 1;
		say(c, "DATA\r\n", 6);
		return;
	case STEP_DATA:
		if (code != 354)
			break;
		c->step = STEP_TEXT;
		c->replies = 1;
		say(c, l->text, l->text_len);
		return;
	case STEP_TEXT:
		end_message(l, c, ok);
		return;
	case STEP_BYE:
		hang_up(l, c);
		return;
	}
	if (c->step < STEP_MAIL)
		l->begun++; /* a connection that was refused counts as a message, so that this ends
		             */
	end_message(l, c, false);
}

static void gone(struct load *l, struct client *c)
{
	if (c->step != STEP_BYE) {
		l->refused++;
		l->begun += c->step < STEP_MAIL;
	}
	hang_up(l, c);
}

static void readable(struct load *l, struct client *c)
{
	char in[sizeof c->line + 4096];
	int fd = c->fd;
	memcpy(in, c->line, c->held);
	ssize_t n = recv(fd, in + c->held, 4096, 0);
	if (n <= 0) {
		if (n == 0 || (errno != EINTR && errno != EAGAIN))
			gone(l, c);
		return;
	}
	size_t len = c->held + (size_t)n, at = 0;
	for (const char *nl; (nl = memchr(in + at, '\n', len - at)) != NULL;) {
		const char *line = in + at;
		at = (size_t)(nl + 1 - in);
		bool last = nl - line < 4 || line[3] != '-';
		unsigned code = (unsigned)strtoul(line, NULL, 10);
		if (last)
			answered(l, c, code);
		if (c->fd != fd || c->step == STEP_BANNER)
			return; /* that connection is over */
	}
	c->held = len - at < sizeof c->line ? len - at : 0;
	memcpy(c->line, in + at, c->held);
}

/* ---- the whole ---- */
static void make_text(struct load *l)
{
	size_t bytes = l->plan.bytes;
	l->text = malloc(bytes + 1024);
	if (!l->text)
		fail("malloc");
	size_t len = (size_t)snprintf(l->text, 1024,
	    "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: sender@bench.test\r\nTo: "
	    "user@bench.test\r\n"
	    "Subject: a message that measures\r\nMessage-ID: <1@client.bench.test>\r\n\r\n");
	for (size_t column = 0; len < bytes; len++, column++)
		l->text[len] = column % 72 == 70   ? '\r'
		               : column % 72 == 71 ? '\n'
		                                   : (char)('a' + column % 26);
	while (len % 2 || l->text[len - 1] != '\n') { /* end the last line */
		if (l->text[len - 1] != '\r' && l->text[len - 1] != '\n')
			l->text[len++] = '\r';
		else if (l->text[len - 1] == '\r')
			l->text[len++] = '\n';
		else
			break;
	}
	memcpy(l->text + len, ".\r\n", 3);
	l->text_len = len + 3;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static double part_ms(const struct load *l, uint64_t of_1000)
{
	return l->accepted ? (double)l->times[(l->accepted - 1) * of_1000 / 1000] / 1e6 : 0;
}

static void report(struct load *l, int64_t from_ns)
{
	struct rusage ru;
	double seconds = (double)(l->last_ns - from_ns) / 1e9;
	(void)getrusage(RUSAGE_SELF, &ru);
	double cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	             (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	qsort(l->times, l->accepted, sizeof *l->times, by_value);
	printf("accepted=%llu refused=%llu seconds=%.3f rate=%.1f p50_ms=%.3f p99_ms=%.3f "
	       "max_ms=%.3f cpu_s=%.3f\n",
	    (unsigned long long)l->accepted, (unsigned long long)l->refused, seconds,
	    l->accepted ? (double)l->accepted / seconds : 0.0, part_ms(l, 500), part_ms(l, 990),
	    part_ms(l, 1000), cpu);
}

static int run(struct load *l)
{
	struct client *clients = calloc(l->plan.sessions, sizeof *clients);
	l->times = calloc(l->plan.messages, sizeof *l->times);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!clients || !l->times || l->epoll < 0)
		fail("start");
	make_text(l);
	int64_t from = l->last_ns = now_ns();
	for (unsigned i = 0; i < l->plan.sessions; i++)
		dial(l, &clients[i]);
	while (l->live) {
		struct epoll_event ev[256];
		int n = epoll_wait(l->epoll, ev, 256, STALL_MS);
		if (n == 0) {
			(void)fprintf(
			    stderr, "load: the server says nothing for %d s\n", STALL_MS / 1000);
			break;
		}
		for (int i = 0; i < n; i++)
			readable(l, ev[i].data.ptr);
	}
	report(l, from);
	return l->accepted == l->plan.messages ? 0 : 1;
}

static int usage(void)
{
	(void)fputs("usage: load [-s sessions] [-n messages] [-k messages a connection] [-b bytes] "
	            "[-r recipients a message]\n"
	            "            [-f from] [-t to] [-m modulus] [-p] [-w] PORT\n"
	            "  -p  MAIL, RCPT and DATA in one write   -w  wait for the reply to QUIT\n"
	            "  in an address, % becomes the number of the message (of the recipient), & "
	            "the same modulo -m\n",
	    stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct load l = {.plan = {.sessions = 20,
	                     .messages = 1000,
	                     .per_connection = 1,
	                     .recipients = 1,
	                     .modulus = 100,
	                     .bytes = 4096,
	                     .from = "sender@bench.test",
	                     .to = "user@bench.test"}};
	struct plan *p = &l.plan;
	for (int o; (o = getopt(argc, argv, "s:n:k:b:r:f:t:m:pw")) != -1;) {
		switch (o) {
		case 's':
			p->sessions = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			p->messages = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			p->per_connection = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'b':
			p->bytes = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			p->recipients = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			p->from = optarg;
			break;
		case 't':
			p->to = optarg;
			break;
		case 'm':
			p->modulus = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			p->pipelining = true;
			break;
		case 'w':
			p->patient = true;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc - 1 || !p->sessions || !p->messages || !p->recipients || !p->modulus ||
	    p->recipients > 64 || p->bytes < 300)
		return usage();
	if (p->sessions > p->messages)
		p->sessions = (unsigned)p->messages;
	p->server = (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)strtoul(argv[optind], NULL, 10)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	return run(&l);
}
