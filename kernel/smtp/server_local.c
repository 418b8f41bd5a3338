/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sessions of this host's own users: a unix socket to which the command line connects.
 *
 * The first line says what is wanted: "heddle-submission 1 MODE LOGIN FLAGS [LETTER:BASE64]...".
 * MODE: smtp; bsmtp, which is smtp by the rules of -bS; message, the same for one message that came
 * on standard input; inetd, with which a connection of another host's comes, as a descriptor beside
 * the first byte.  FLAGS: "-" or letters, see flag_letters below; the other words are the texts of
 * text_letters.  Who it is tells the socket (peer credentials); the name is believed if the user
 * data base gives the same uid for it; what only trusted users may say is passed over for others.
 * Then a session begins, on the same connection, that differs from one over TCP/IP only by what
 * struct local_user says; that of inetd is one over TCP/IP.  Its descriptor is taken from root, the
 * daemon's own user and trusted users alone: others could make one in a network of their own, whose
 * addresses mean nothing.  Threads: one park accepts, one park for each caller reads its line.
 * Looking the name up is bracketed.
 */
#include "base/codec.h"
#include "base/io.h"
#include "config/rights.h"
#include "expand/regex.h"
#include "smtp/server_private.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_LINE_MAX 8192
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
	int passed; /* the descriptor that came with the line; -1: none */
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
	if (c->passed >= 0)
		(void)close(c->passed);
	(void)atomic_fetch_sub_explicit(&c->server->sessions, 1, memory_order_acq_rel);
	free(c);
}

/* What the first line asks for. */
struct request {
	struct local_user *user;
	slice_t login;
	bool inetd;
};

#define FLAG(letter, member)                                \
	{                                                   \
		letter, offsetof(struct local_user, member) \
	}
static const struct {
	char letter;
	size_t at; /* a bool */
} flag_letters[] = {FLAG('u', unqualified), FLAG('d', own_sender), FLAG('q', queue_only),
    FLAG('b', deliver_now), FLAG('G', suppress_fixups), FLAG('R', rmail)};
static const struct {
	char letter;
	size_t at;    /* a slice_t */
	bool trusted; /* for others it is not said */
} text_letters[] = {{'n', offsetof(struct local_user, given_name), false},
    {'m', offsetof(struct local_user, reference), false},
    {'s', offsetof(struct local_user, host_name), true},
    {'A', offsetof(struct local_user, auth), true},
    {'I', offsetof(struct local_user, auth_id), true},
    {'S', offsetof(struct local_user, auth_sender), true},
    {'r', offsetof(struct local_user, protocol), true},
    {'t', offsetof(struct local_user, ident), true}};
#undef FLAG
enum {
	FLAGS = sizeof flag_letters / sizeof *flag_letters,
	TEXTS = sizeof text_letters / sizeof *text_letters
};

static slice_t *text_at(struct local_user *u, size_t at)
{
	return (slice_t *)(void *)((char *)u + at);
}

static bool take_flags(struct local_user *u, slice_t letters)
{
	for (uint32_t i = 0; i < letters.len; i++) {
		bool known = letters.ptr[i] == '-';
		for (size_t k = 0; k < FLAGS && !known; k++)
			if (letters.ptr[i] == flag_letters[k].letter) {
				known = true;
				*(bool *)((char *)u + flag_letters[k].at) = true;
			}
		if (!known)
			return false;
	}
	return true;
}

/* One of the further words: a letter, a colon, and a text without line ends. */
static bool take_text(struct arena *a, struct local_user *u, slice_t word)
{
	slice_t text;
	int64_t ms;

	if (word.len < 2 || word.ptr[1] != ':' ||
	    !base64_decode(a, slice_sub(word, 2, word.len), &text))
		return false;
	for (uint32_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\n' || text.ptr[i] == '\r' || text.ptr[i] == '\0')
			return false;
	for (size_t i = 0; i < TEXTS; i++)
		if (text_letters[i].letter == word.ptr[0]) {
			*text_at(u, text_letters[i].at) = text;
			return true;
		}
	switch (word.ptr[0]) {
	case 'a':
		return net_addr_parse_port(text, &u->host);
	case 'i':
		return net_addr_parse_port(text, &u->interface);
	case 'o':
		if (!slice_to_ms(text, &ms))
			return false;
		u->timeout_us = ms * 1000;
		return true;
	default:
		return false;
	}
}

/* The words of the first line; false: it is none. */
static bool take_words(struct arena *a, slice_t line, struct request *q)
{
	slice_t rest = slice_trim(line), word[5], more;
	struct local_user *u = q->user;
	size_t n = 0;
	while (n < 5 && slice_next(&rest, ' ', &word[n]))
		n++;
	for (size_t i = 0; i < TEXTS; i++)
		*text_at(u, text_letters[i].at) = slice_absent();
	if (n < 5 || !slice_eqs(word[0], "heddle-submission") || !slice_eqs(word[1], "1") ||
	    !take_flags(u, word[4]))
		return false;
	while (slice_next(&rest, ' ', &more))
		if (!take_text(a, u, more))
			return false;
	u->message = slice_eqs(word[2], "message");
	u->batch = u->message || slice_eqs(word[2], "bsmtp");
	q->inetd = slice_eqs(word[2], "inetd");
	q->login = word[3];
	return u->batch || q->inetd || slice_eqs(word[2], "smtp");
}

/* Somebody who is not trusted has not said it. */
static void forget_what_needs_trust(struct local_user *u)
{
	for (size_t i = 0; i < TEXTS; i++)
		if (text_letters[i].trusted)
			*text_at(u, text_letters[i].at) = slice_absent();
	u->host = u->interface = (struct net_addr){.family = 0};
	u->suppress_fixups = false;
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

/* gecos_pattern and gecos_name: the part of the field that is a name. */
static slice_t picked_name(struct eval *ev, struct config *cfg, slice_t name)
{
	slice_t pattern = config_text(cfg, MO_gecos_pattern), picked = slice_absent();
	const struct regex *re;
	struct error err;
	uint32_t n = 0;
	if (slice_is_absent(pattern) || !config_main(cfg, MO_gecos_name)->is_set)
		return name;
	if (regex_compile(ev->arena, pattern, 0, &re, &err) ||
	    regex_match(ev->arena, re, name, ev->captures, EVAL_CAPTURES, &n, &err))
		return name;
	ev->capture_count = n < EVAL_CAPTURES ? n : EVAL_CAPTURES;
	if (config_expand(ev, MO_gecos_name, &picked, &err) || slice_is_absent(picked))
		return name;
	return picked;
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
		u->trusted = config_is_trusted(&ev, &peer, geteuid());
	pool_blocking_end(w);
	if (rc)
		return rc;
	if (info.uid != (int64_t)peer.uid)
		return error_set(err, RC_FAIL, "the name is another user's");
	u->uid = peer.uid;
	u->gid = peer.gid;
	u->login = arena_dup(a, login);
	u->login.flags = HEDDLE_CLEAN; /* the system's own */
	if (slice_is_absent(u->given_name))
		u->full_name = picked_name(&ev, cfg, name_of_user(a, info.gecos, u->login));
	else
		u->full_name = u->given_name;
	if (!u->trusted)
		forget_what_needs_trust(u);
	return RC_OK;
}

/* A connection that somebody else has accepted; NULL: it goes on as each does. */
static const char *take_passed(struct caller *c, const struct local_user *u)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct net_addr peer;
	if (!u->trusted)
		return "554 Only trusted users hand over connections\r\n";
	if (c->passed < 0 || getpeername(c->passed, (struct sockaddr *)&sa, &len) != 0 ||
	    !net_addr_from_sockaddr(&sa, len, &peer))
		return "554 There is no connection\r\n";
	(void)io_nonblock(c->passed);
	int fd = c->passed;
	c->passed = -1;
	smtp_server_take(c->server, fd, &peer);
	return NULL;
}

static void begin(struct caller *c, slice_t line, struct worker *w)
{
	struct smtp_server *server = c->server;
	struct arena *a = arena_new(0);
	struct config *cfg = server->cfg.snapshot(server->cfg.ctx);
	struct request q = {.user = ARENA_NEW(a, struct local_user)};
	struct error err = {0};
	enum rc rc = !cfg                      ? RC_DEFER
	             : take_words(a, line, &q) ? identify(c, w, cfg, q.login, a, q.user, &err)
	                                       : RC_FAIL;
	const char *said = NULL;
	if (rc) {
		said = rc == RC_FAIL ? "554 Who you are cannot be established\r\n"
		                     : "421 Service not available - closing connection\r\n";
	} else if (q.inetd) {
		said = take_passed(c, q.user);
	} else {
		int fd = c->fd;
		park_free(&c->park); /* the descriptor goes on in another park */
		c->fd = -1;
		server_take_local(server, fd, q.user);
	}
	config_unref(&cfg);
	arena_free(&a);
	caller_end(c, said);
}

/* One byte, and what descriptor comes with it: no byte more than the line, the session reads the
 * rest itself. */
static ssize_t read_byte(struct caller *c)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {c->line + c->have, 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof control.bytes};
	ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
	    h->cmsg_len == CMSG_LEN(sizeof(int))) {
		if (c->passed >= 0)
			(void)close(c->passed);
		memcpy(&c->passed, CMSG_DATA(h), sizeof(int));
	}
	return n;
}

static void caller_run(void *owner, enum wake why, struct worker *w)
{
	struct caller *c = owner;
	if (why == WAKE_TIMEOUT || why == WAKE_CANCEL) {
		caller_end(c, "421 Service not available - closing connection\r\n");
		return;
	}
	for (;;) {
		ssize_t n = read_byte(c);
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
	c->passed = -1;
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
