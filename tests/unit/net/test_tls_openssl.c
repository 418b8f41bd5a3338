/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Our server against another's client: openssl s_client over a unix socket.  What it shows of us,
 * and what it can do to us. */
#include "base/io.h"
#include "tls_pair.h"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/un.h>

/* wolfSSL 5.5.4 loses what it parsed of its own certificate whenever it staples: known, see
 * kernel/net/tls/README.md. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libwolfssl";
}

struct client {
	pid_t pid;
	int in; /* what we type */
	slice_t log;
};

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)unlink(path);
	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0 &&
	      listen(fd, 1) == 0);
	return fd;
}

/* args: words behind "openssl s_client -unix PATH". */
static struct client start(const char *path, const char *args)
{
	static char words[256];
	char *argv[24] = {(char *)(uintptr_t) "openssl", (char *)(uintptr_t) "s_client",
	    (char *)(uintptr_t) "-unix", (char *)(uintptr_t)path};
	int n = 4, pipes[2];
	struct client c = {.log = in_dir("s_client.log")};
	(void)snprintf(words, sizeof words, "%s", args);
	for (char *save, *w = strtok_r(words, " ", &save); w && n < 23;
	     w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	c.pid = fork();
	if (c.pid == 0) {
		int out = open(c.log.ptr, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		(void)dup2(pipes[0], 0);
		(void)dup2(out, 1);
		(void)dup2(out, 2);
		execvp("openssl", argv);
		_exit(127);
	}
	(void)close(pipes[0]);
	c.in = pipes[1];
	return c;
}

static bool wait_for(int fd, enum tls_io io)
{
	struct pollfd p = {.fd = fd, .events = io == TLS_WANT_WRITE ? POLLOUT : POLLIN};
	return poll(&p, 1, 5000) == 1;
}

/* Accepts one connection and shakes hands. */
static bool serve(int listener, const struct tls_settings *s, struct end *e)
{
	char buf[TLS_HELLO_MAX];
	size_t n = 0;
	struct tls_hello h;
	*e = (struct end){
	    .io = TLS_WANT_READ, .fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)};
	if (!CHECK_EQ_INT(tls_context_get(cache, s, arena, &e->ctx, NULL, &e->err), RC_OK))
		return false;
	enum rc rc = RC_DEFER;
	while (rc == RC_DEFER && wait_for(e->fd, TLS_WANT_READ)) {
		ssize_t got = recv(e->fd, buf + n, sizeof buf - n, 0);
		if (got <= 0)
			return false;
		n += (size_t)got;
		rc = tls_hello_parse(slice_tainted(buf, n), &h, &e->err);
	}
	if (rc != RC_OK ||
	    tls_server_new(e->ctx, e->fd, &h, slice_tainted(buf, n), &e->t, &e->err) != RC_OK)
		return false;
	do /* the hello was read: the first step waits for nothing */
		e->io = tls_handshake(e->t, &e->err);
	while (!is_over(e) && wait_for(e->fd, e->io));
	return e->io == TLS_DONE;
}

static enum tls_io read_some(struct end *e, char *buf, size_t cap, size_t *n)
{
	enum tls_io io;
	while ((io = tls_read(e->t, buf, cap, n, &e->err)) == TLS_WANT_READ && wait_for(e->fd, io))
		;
	return io;
}

static slice_t finish(struct client *c, struct end *e)
{
	slice_t text = SL("");
	int status;
	(void)close(c->in);
	end_close(e);
	(void)waitpid(c->pid, &status, 0);
	CHECK(io_read_file(arena, c->log.ptr, 1 << 20, &text, NULL) == RC_OK);
	return text;
}

static bool says(slice_t log, const char *what)
{
	bool found = slice_search(log, slice_cstr(what)) != SIZE_MAX;
	if (!found)
		fprintf(stderr, "# s_client does not say \"%s\":\n%.*s\n", what, SL_ARG(log));
	return found;
}

TEST(a_proof_of_the_certificates_status_is_stapled)
{
	static const struct {
		const char *how, *said, *also;
		enum tls_ocsp fact;
	} cases[] = {
	    {"-status -tls1_2", "OCSP Response Status: successful", "Cert Status: good",
	        TLS_OCSP_NOT_VERIFIED},
	    {"-status", "OCSP response: no response sent", "TLSv1.3", TLS_OCSP_NONE},
	    {"-tls1_2", "TLSv1.2", "TLSv1.2", TLS_OCSP_NOT_ASKED},
	};
	enum { CASES = sizeof cases / sizeof *cases };
	if (!CHECK(tls_setup()))
		return;
	for (int i = 0; i < 2 * CASES; i++) {
		struct end e;
		slice_t path = in_dir("s");
		int l = listen_at(path.ptr);
		struct tls_settings s = server_settings("chain_ec.pem", "ec.key");
		s.ocsp_file = in_dir("ec.ocsp");
		struct client c = start(path.ptr, cases[i % CASES].how);
		struct tls_facts f;
		if (CHECK(serve(l, &s, &e))) {
			tls_session_facts(e.t, arena, &f);
			CHECK_EQ_INT(f.ocsp, cases[i % CASES].fact);
		}
		slice_t log = finish(&c, &e);
		CHECK(says(log, cases[i % CASES].said));
		CHECK(says(log, cases[i % CASES].also));
		(void)close(l);
	}
	struct tls_context *ctx = NULL;
	struct tls_settings s = server_settings("ec.pem", "ec.key");
	s.ocsp_file = in_dir("ec.pem");
	CHECK_EQ_INT(tls_context_get(cache, &s, arena, &ctx, NULL, NULL), RC_ERROR);
}

/* wolfSSL 5.5.4 loses 8 KiB for each client of TLS 1.3 that asks where stapling is switched on. */
TEST(asking_for_a_proof_loses_no_memory)
{
	static const char *const how[] = {
	    "-status -tls1_3", "-status -tls1_3 -groups P-521:X25519", "-status -tls1_2"};
	enum { WARM = 2, ROUNDS = 4, SLACK = 4096 };
	if (!CHECK(tls_setup()))
		return;
	for (int i = 0; i < 3; i++) {
		size_t before = 0, now = 0;
		for (int k = 0; k < WARM + ROUNDS; k++) {
			struct arena_mark m = arena_mark(arena);
			struct end e;
			slice_t path = in_dir("s");
			int l = listen_at(path.ptr);
			struct tls_settings s = server_settings("chain_ec.pem", "ec.key");
			s.ocsp_file = in_dir("ec.ocsp");
			struct client c = start(path.ptr, how[i]);
			CHECK(serve(l, &s, &e));
			CHECK(says(finish(&c, &e), "Verification"));
			(void)close(l);
			arena_release(arena, m);
			now = mallinfo2().uordblks;
			before = k < WARM ? now : before;
		}
		if (!CHECK(now < before + SLACK))
			fprintf(stderr, "# %s: %zu bytes a handshake\n", how[i],
			    (now - before) / ROUNDS);
	}
}

/* In TLS 1.3 a signature algorithm names its curve, and a group that was not offered may not be
 * asked for. */
TEST(groups_and_signatures_are_what_both_can_do)
{
	static const struct {
		const char *words, *says;
		bool good;
	} rows[] = {
	    {"-groups X25519", "Peer signature type: ECDSA", true},
	    {"-groups X448:P-384", "Server Temp Key: ECDH, secp384r1", true},
	    {"-groups X448", "alert handshake failure", false},
	    {"-sigalgs ECDSA+SHA384:RSA-PSS+SHA384", "Peer signature type: RSA-PSS", true},
	    {"-sigalgs ECDSA+SHA256:RSA-PSS+SHA384", "Peer signature type: ECDSA", true},
	};
	if (!CHECK(tls_setup()))
		return;
	struct tls_settings s = server_settings("ec.pem", "ec.key");
	s.certificate = arena_printf(arena, "%s/ec.pem : %s/rsa.pem", certs, certs);
	s.privatekey = arena_printf(arena, "%s/ec.key : %s/rsa.key", certs, certs);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct end e;
		slice_t path = in_dir("s");
		int l = listen_at(path.ptr);
		struct client c =
		    start(path.ptr, arena_printf(arena, "-tls1_3 %s", rows[i].words).ptr);
		CHECK_EQ_INT(serve(l, &s, &e), rows[i].good);
		CHECK(says(finish(&c, &e), rows[i].says));
		(void)close(l);
	}
}

TEST(a_client_that_asks_for_renegotiation_is_hung_up_on)
{
	struct end e;
	char buf[256];
	size_t n;
	if (!CHECK(tls_setup()))
		return;
	slice_t path = in_dir("s");
	int l = listen_at(path.ptr);
	struct tls_settings s = server_settings("ec.pem", "ec.key");
	struct client c = start(path.ptr, "-tls1_2");
	if (CHECK(serve(l, &s, &e))) {
		CHECK(write(c.in, "hello\n", 6) == 6);
		CHECK_EQ_INT(read_some(&e, buf, sizeof buf, &n), TLS_DONE);
		CHECK_EQ_STR(slice_tainted(buf, n), "hello\n");
		CHECK(write(c.in, "R\n", 2) == 2);
		CHECK_EQ_INT(read_some(&e, buf, sizeof buf, &n), TLS_FAILED);
		CHECK_EQ_INT(tls_write(e.t, "x", 1, &n, NULL), TLS_FAILED);
	}
	(void)finish(&c, &e);
	(void)close(l);
}

TEST(new_keys_are_taken_by_a_parked_session)
{
	struct end e;
	char buf[256];
	size_t n;
	if (!CHECK(tls_setup()))
		return;
	slice_t path = in_dir("s");
	int l = listen_at(path.ptr);
	struct tls_settings s = server_settings("ec.pem", "ec.key");
	struct client c = start(path.ptr, "-tls1_3");
	if (CHECK(serve(l, &s, &e))) {
		CHECK(!tls_pending(e.t));
		tls_park(e.t);
		CHECK(write(c.in, "K\n", 2) == 2); /* update, and ask the other side to */
		usleep(100000);
		CHECK(write(c.in, "hello\n", 6) == 6);
		CHECK_EQ_INT(read_some(&e, buf, sizeof buf, &n), TLS_DONE);
		CHECK_EQ_STR(slice_tainted(buf, n), "hello\n");
		CHECK_EQ_INT(tls_write(e.t, "250 heard\r\n", 11, &n, NULL), TLS_DONE);
		CHECK(write(c.in, "Q\n", 2) == 2);
		CHECK_EQ_INT(read_some(&e, buf, sizeof buf, &n), TLS_CLOSED);
	}
	CHECK(says(finish(&c, &e), "250 heard"));
	(void)close(l);
}
TAP_MAIN()
