/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/foresight.h"

#include "agent/exchange.h"

#include <stdlib.h>

#define HINTS_MAX   32U
#define REQUEST_MAX 256U
#define ANSWERS_MAX ((uint32_t)16 << 10) /* what goes along with each operation */

struct hint {
	uint16_t fn;
	uint32_t n_handles;
	struct foresight_handle handles[FORESIGHT_HANDLES];
	slice_t request;
};

struct foresight {
	struct arena *arena;
	const struct heddle_instance *instance;
	slice_t name; /* the instance's: another one may come to lie at its address */
	uint16_t op;
	bool wants_body;
	uint32_t n;
	struct hint hints[HINTS_MAX];
};

void foresight_free(struct foresight **fp)
{
	struct foresight *f = *fp;
	*fp = NULL;
	if (f)
		arena_free(&f->arena);
	free(f);
}

void foresight_begin(struct foresight **fp, const struct heddle_instance *instance, uint16_t op)
{
	struct foresight *f = *fp;
	if (!f) {
		f = *fp = calloc(1, sizeof *f); /* as long as the agent */
		MUST(f);
		f->arena = arena_new(512);
	}
	slice_t name = instance ? instance->name : slice_absent();
	if (f->instance == instance && f->op == op && slice_eq(f->name, name))
		return;
	arena_reset(f->arena);
	f->instance = instance;
	f->name = arena_dup(f->arena, name);
	f->op = op;
	f->wants_body = false;
	f->n = 0;
}

/* ---- learning ---- */

/* Handles differ from operation to operation: they are kept as zeros. */
static slice_t without_handles(
    struct arena *a, slice_t request, const struct foresight_handle *handles, uint32_t n)
{
	static const uint64_t none = 0;
	char *copy = arena_bytes(a, request.len ? request.len : 1);
	if (request.len)
		memcpy(copy, request.ptr, request.len);
	for (uint32_t i = 0; i < n; i++)
		memcpy(copy + handles[i].offset, &none, sizeof none);
	return slice_tainted(copy, request.len);
}

void foresight_learn(struct foresight *f, uint16_t fn, slice_t request,
    const struct foresight_handle *handles, uint32_t n)
{
	if (f->n == HINTS_MAX || request.len > REQUEST_MAX || n > FORESIGHT_HANDLES)
		return;
	struct arena_mark mark = arena_mark(f->arena);
	struct hint h = {
	    .fn = fn, .n_handles = n, .request = without_handles(f->arena, request, handles, n)};
	for (uint32_t i = 0; i < n; i++)
		h.handles[i] = handles[i];
	for (uint32_t i = 0; i < f->n; i++)
		if (f->hints[i].fn == fn && slice_eq(f->hints[i].request, h.request)) {
			arena_release(f->arena, mark);
			return;
		}
	f->hints[f->n++] = h;
}

void foresight_learn_body(struct foresight *f)
{
	f->wants_body = true;
}

/* ---- answering ---- */

static bool serve_hint(struct exchange *x, const struct hint *h, struct wire_out *out)
{
	struct wire_out answer;
	char request[REQUEST_MAX];
	if (h->request.len)
		memcpy(request, h->request.ptr, h->request.len);
	slice_t r = slice_tainted(request, h->request.len);
	for (uint32_t i = 0; i < h->n_handles; i++) {
		uint64_t number = exchange_handle_number(x, h->handles[i].place);
		memcpy(request + h->handles[i].offset, &number, sizeof number);
	}
	wire_out_init(&answer, x->scratch);
	struct wire_in in = {r.ptr, r.len, false};
	x->stale = x->constant = false;
	proxy_services[h->fn](x, &in, &answer);
	slice_t a = strbuf_slice(&answer.sb);
	struct wire_in result = {a.ptr, a.len, false};
	bool ok = !x->broken && !x->stale && !x->constant && !answer.bad &&
	          !strbuf_is_overfull(&answer.sb) && a.len >= sizeof(uint64_t) &&
	          wire_get_uint(&result, UINT64_MAX) == HEDDLE_OK &&
	          strbuf_slice(&out->sb).len + a.len + r.len < ANSWERS_MAX;
	if (ok) {
		wire_put_u64(out, h->fn);
		wire_put_slice(out, r);
		wire_put_slice(out, slice_tainted(a.ptr, a.len));
	}
	return ok;
}

bool foresight_answer(struct foresight *f, struct exchange *x, struct wire_out *out)
{
	struct heddle_call *c = x->call;
	const struct heddle_call before = *c;
	for (uint32_t i = 0; i < f->n && !x->broken; i++) {
		if (serve_hint(x, &f->hints[i], out))
			continue;
		/* nobody has asked yet: no reason is on record */
		c->reason_given = before.reason_given;
		c->reason_smtp = before.reason_smtp;
		c->reason_shown = before.reason_shown;
		c->reason_logged = before.reason_logged;
		c->service_deferred = before.service_deferred;
	}
	return f->wants_body;
}
