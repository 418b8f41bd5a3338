/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The socket: one park accepts, one park for each request reads its line; the answer is written by
 * the worker that made it. */
#include "base/io.h"
#include "control/control.h"
#include "net/net.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX  65536
#define PEER_TIMEOUT (10 * US_PER_SEC)
#define ANSWER_MAX   ((size_t)256 << 20)
/* Connections at a time of all users but root and our own account: everybody may ask. */
#define OTHERS_MAX 64

struct control {
	struct control_config cfg; /* constant */
	int fd;
	struct park *park;
	_Atomic unsigned others; /* relaxed: a count */
	/* reference count: the listener's and one for each connection */
	_Atomic unsigned refs;
};

/* One connection; belongs to whoever runs its park. */
struct asker {
	struct control *of; /* a reference: the listener may go first */
	struct park *park;
	int fd;
	bool is_other; /* counted in others */
	int64_t deadline_us;
	size_t have;
	char line[REQUEST_MAX];
};

static void control_unref(struct control *c)
{
	if (atomic_fetch_sub(&c->refs, 1) == 1)
		free(c);
}

static void asker_free(struct asker *q)
{
	close(q->fd);
	if (q->is_other)
		(void)atomic_fetch_sub_explicit(&q->of->others, 1, memory_order_relaxed);
	control_unref(q->of);
	free(q);
}

static void asker_end(struct asker *q)
{
	park_free(&q->park);
	asker_free(q);
}

/* One of the many, and there is no more room for them. */
static bool is_one_too_many(struct control *c, int fd, bool *out_is_other)
{
	struct arena *a = arena_new(0);
	struct net_peer p;
	bool known = net_peer_of(fd, a, &p, NULL) == RC_OK;

	arena_free(&a);
	*out_is_other = !known || (p.uid != 0 && p.uid != geteuid());
	return *out_is_other &&
	       atomic_load_explicit(&c->others, memory_order_relaxed) >= OTHERS_MAX;
}

/* All of it, waiting for the peer at most PEER_TIMEOUT for each piece. */
static void write_out(int fd, slice_t s)
{
	size_t at = 0;

	while (at < s.len) {
		ssize_t n = send(fd, s.ptr + at, s.len - at, MSG_NOSIGNAL);
		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (n == 0 || errno != EAGAIN || poll(&p, 1, (int)(PEER_TIMEOUT / 1000)) <= 0)
			return;
	}
}

static void answer(struct asker *q, slice_t request, struct worker *w)
{
	struct arena *a = arena_new(0);
	struct strbuf out;
	struct error err = {.text = ""};
	struct control_asker who = {.uid = (uid_t)-1};
	slice_t login = SL("");

	strbuf_init(&out, a, ANSWER_MAX);
	if (request.len && request.ptr[0] == '@') {
		size_t space = slice_find(request, ' ');
		login = slice_sub(request, 1, space == SIZE_MAX ? request.len : space - 1);
		request = slice_sub(request, login.len + 1, request.len);
	}
	enum rc rc = control_rights(&q->of->cfg, q->fd, login, a, w, &who, &err);
	if (rc == RC_OK)
		rc = control_answer(&q->of->cfg, request, &who, &out, &err);
	if (rc == RC_OK && strbuf_is_overfull(&out)) {
		strbuf_reset(&out);
		rc = error_set(&err, RC_FAIL, "the answer is too long");
	}
	if (rc == RC_OK)
		strbuf_text(&out, "ok\n");
	else
		strbuf_printf(&out, "%s %s\n", rc == RC_DEFER ? "defer" : "fail", err.text);
	/* a peer that reads slowly holds this worker: say so, so that another one runs in its place
	 */
	if (pool_blocking_begin(w, POOL_FOR_ACL, who.uid, NULL) == RC_OK) {
		write_out(q->fd, strbuf_slice(&out));
		pool_blocking_end(w);
	}
	arena_free(&a);
}

static void asker_run(void *owner, enum wake why, struct worker *w)
{
	struct asker *q = owner;

	if (why == WAKE_TIMEOUT || why == WAKE_CANCEL) {
		asker_end(q);
		return;
	}
	for (;;) {
		ssize_t n = read(q->fd, q->line + q->have, sizeof q->line - q->have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			park_wait(q->park, EPOLLIN, q->deadline_us, "control request");
			return;
		}
		if (n <= 0)
			break;
		q->have += (size_t)n;
		const char *nl = memchr(q->line, '\n', q->have);
		if (nl) {
			answer(q, slice_tainted(q->line, (size_t)(nl - q->line)), w);
			break;
		}
		if (q->have == sizeof q->line)
			break;
	}
	asker_end(q);
}

static void accept_one(struct control *c, int fd)
{
	bool is_other;
	struct asker *q = is_one_too_many(c, fd, &is_other) ? NULL : calloc(1, sizeof *q);

	if (!q) {
		close(fd);
		return;
	}
	q->of = c;
	q->fd = fd;
	q->is_other = is_other;
	(void)atomic_fetch_add(&c->refs, 1);
	(void)atomic_fetch_add_explicit(&c->others, is_other, memory_order_relaxed);
	q->deadline_us = clock_mono_us() + PEER_TIMEOUT;
	q->park = park_new(c->cfg.reactor, fd, asker_run, q, NULL);
	if (!q->park) {
		asker_free(q);
		return;
	}
	park_start(q->park);
}

static void accept_run(void *owner, enum wake why, struct worker *w)
{
	struct control *c = owner;

	(void)w;
	if (why == WAKE_CANCEL) {
		park_free(&c->park);
		close(c->fd);
		control_unref(c);
		return;
	}
	for (int i = 0; i < 64; i++) {
		int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			accept_one(c, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	/* out of descriptors: look again in a second rather than at once */
	bool full = errno == EMFILE || errno == ENFILE;
	park_wait(c->park, full ? 0 : EPOLLIN, full ? clock_mono_us() + US_PER_SEC : DEADLINE_NEVER,
	    "control connections");
}

enum rc control_new(const struct control_config *cfg, struct control **out, struct error *err)
{
	struct control *c = calloc(1, sizeof *c);

	MUST(c != NULL);
	c->cfg = *cfg;
	atomic_init(&c->refs, 1);
	if (io_listen_unix(cfg->path, 0666, &c->fd, err) != RC_OK) {
		free(c);
		return RC_ERROR;
	}
	c->park = park_new(cfg->reactor, c->fd, accept_run, c, err);
	if (!c->park) {
		close(c->fd);
		free(c);
		return RC_ERROR;
	}
	*out = c;
	park_start(c->park);
	return RC_OK;
}

void control_free(struct control **c)
{
	if (*c)
		park_cancel((*c)->cfg.reactor, park_ref_of((*c)->park));
	*c = NULL;
}
