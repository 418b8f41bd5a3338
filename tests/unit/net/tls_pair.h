/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two ends of TLS sessions over a socket pair, in one thread; certificates by tls_certs.sh, made
 * once for the program. */
#ifndef HEDDLE_TESTS_TLS_PAIR_H
#define HEDDLE_TESTS_TLS_PAIR_H
#include "lib/tap.h"
#include "net/tls/tls.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct tls_contexts *cache;
static struct arena *arena;
static const char *certs; /* directory */

static slice_t in_dir(const char *name)
{
	return name ? arena_printf(arena, "%s/%s", certs, name) : slice_absent();
}

/* Run once, by whichever test comes first. */
static bool tls_setup(void)
{
	struct error e = {0};
	if (cache)
		return true;
	arena = arena_new(0);
	certs = tap_dir();
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "tests/unit/net/tls_certs.sh", certs, (char *)NULL);
		_exit(127);
	}
	int status = -1;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "# tls_certs.sh: status %d\n", status);
		return false;
	}
	return tls_contexts_new(&cache, &e) == RC_OK;
}

struct end {
	int fd;
	struct tls_context *ctx;
	struct tls_session *t;
	enum tls_io io;
	struct error err;
};
struct pair {
	struct end s, c;
};

static struct tls_settings server_settings(const char *cert, const char *key)
{
	slice_t no = slice_absent();
	return (struct tls_settings){.server = true,
	    .certificate = in_dir(cert),
	    .privatekey = in_dir(key),
	    .self_signed_for = cert ? no : SL("self.example.org"),
	    .trust = no,
	    .crl = no,
	    .ciphers = no,
	    .groups = no,
	    .alpn = no,
	    .dhparam = no,
	    .ocsp_file = no};
}
static inline struct tls_settings client_settings(void)
{
	struct tls_settings s = server_settings(NULL, NULL);
	s.server = false;
	s.self_signed_for = slice_absent();
	return s;
}

static bool is_over(const struct end *e)
{
	return e->io != TLS_WANT_READ && e->io != TLS_WANT_WRITE;
}

/* The server's side reads a ClientHello as the SMTP server does. */
static void server_begin(struct end *s)
{
	static char buf[TLS_HELLO_MAX];
	struct tls_hello h;
	ssize_t n = recv(s->fd, buf, sizeof buf, MSG_PEEK);
	slice_t got = slice_tainted(buf, n > 0 ? (size_t)n : 0);
	enum rc rc = n == 0 ? RC_FAIL : tls_hello_parse(got, &h, &s->err);
	if (rc == RC_DEFER)
		return;
	if (rc == RC_OK && recv(s->fd, buf, (size_t)n, 0) == n)
		rc = tls_server_new(s->ctx, s->fd, &h, got, &s->t, &s->err);
	if (rc != RC_OK)
		s->io = TLS_FAILED;
}

static void step(struct end *e, bool server)
{
	if (is_over(e))
		return;
	if (server && !e->t)
		server_begin(e);
	if (e->t)
		e->io = tls_handshake(e->t, &e->err);
}

static inline void pair_shake(struct pair *p)
{
	for (int i = 0; i < 60 && !(is_over(&p->s) && is_over(&p->c)); i++) {
		step(&p->c, false);
		if (is_over(&p->c) && p->c.io != TLS_DONE)
			(void)shutdown(p->c.fd, SHUT_WR);
		step(&p->s, true);
		if (is_over(&p->s) && p->s.io != TLS_DONE)
			(void)shutdown(p->s.fd, SHUT_WR);
	}
}

static inline bool pair_open(struct pair *p, const struct tls_settings *ss,
    const struct tls_settings *cs, slice_t sni, slice_t verify_name, slice_t resume_key)
{
	int fds[2];
	struct error e = {0};
	*p = (struct pair){
	    .s = {.fd = -1, .io = TLS_WANT_READ}, .c = {.fd = -1, .io = TLS_WANT_READ}};
	if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0))
		return false;
	p->s.fd = fds[0];
	p->c.fd = fds[1];
	bool ok = tls_context_get(cache, ss, arena, &p->s.ctx, NULL, &e) == RC_OK &&
	          tls_context_get(cache, cs, arena, &p->c.ctx, NULL, &e) == RC_OK &&
	          tls_client_new(
	              cache, p->c.ctx, p->c.fd, sni, verify_name, resume_key, &p->c.t, &e) == RC_OK;
	if (!CHECK(ok))
		fprintf(stderr, "# %s\n", e.text);
	return ok;
}

static void end_close(struct end *e)
{
	tls_free(&e->t, true);
	tls_context_unref(&e->ctx);
	if (e->fd >= 0)
		(void)close(e->fd);
}
static inline void pair_close(struct pair *p)
{
	end_close(&p->c);
	end_close(&p->s);
}

/* Sends from one end and reads at the other; what came. */
static inline slice_t pass(struct end *from, struct end *to, const char *text)
{
	char *buf = arena_bytes(arena, 4096);
	size_t put, got = 0;
	from->io = tls_write(from->t, text, strlen(text), &put, &from->err);
	to->io = tls_read(to->t, buf, 4096, &got, &to->err);
	return slice_tainted(buf, got);
}
#endif
