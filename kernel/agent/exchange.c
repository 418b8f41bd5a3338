/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/exchange.h"

#include "base/clock.h"
#include "config/config.h"
#include "log/log.h"
#include "thread/cancel.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define HANDLES_MAX    4095U
#define PARTS_TRIED    256U
#define PARTS_TEXT_MAX ((size_t)64 << 10)
#define BODIES_MAX     4U   /* it needs one; each costs memory of its own */
#define NOTES_MAX      200U /* log lines of one operation */
#define MEMORY_MAX \
	((size_t)256 << 20) /* of the call and of the exchange: what an agent can make us keep */
#define WAIT_MAX_US                                                                   \
	(3000 * US_PER_SEC) /* of a call without a deadline: less than an agent lives \
	                     */
#define SLICE_FIELD_MIN 8U  /* bytes of an empty slice on the wire */
#define THE_INSTANCE    1U

void exchange_init(struct exchange *x, struct heddle_call *c, int sock, uint32_t serial)
{
	int64_t latest = clock_mono_us() + WAIT_MAX_US;
	*x = (struct exchange){.call = c, .sock = sock, .serial = serial};
	x->deadline_us = c->deadline_us < latest ? c->deadline_us + EXCHANGE_GRACE_US : latest;
	x->arena = arena_new(0);
	x->scratch = arena_new(0);
	x->clean = map_new(x->arena, MAP_EXACT);
}

void exchange_fini(struct exchange *x)
{
	arena_free(&x->scratch);
	arena_free(&x->arena);
}

void exchange_break(struct exchange *x, const char *fmt, ...)
{
	va_list ap;
	if (x->broken)
		return;
	va_start(ap, fmt);
	(void)error_set(&x->why, RC_DEFER, "%.*s", SL_ARG(arena_vprintf(x->arena, fmt, ap)));
	va_end(ap);
	x->broken = true;
}

/* ---- fields
 * ------------------------------------------------------------------------------------------- */

void exchange_put_slice(struct exchange *x, struct wire_out *out, slice_t s)
{
	/* a copy: an item of a list may point into the request that it came in */
	if (slice_is_clean(s) && s.len && s.len != UINT32_MAX && !map_get(x->clean, s))
		(void)map_put(x->clean, arena_dup(x->arena, s), x);
	wire_put_slice(out, s);
}

/* A constant option of the instance: given in an earlier operation, perhaps, and remembered. */
static bool is_option(const struct exchange *x, slice_t s, bool part)
{
	const struct heddle_instance *inst = x->call->instance;
	uint32_t n = inst && inst->own && inst->driver ? inst->driver->option_count : 0;
	for (uint32_t i = 0; s.len && i < n; i++) {
		slice_t text = inst->own[i].text;
		if (inst->own[i].expr && !expr_constant(inst->own[i].expr, &text))
			continue;
		if (slice_is_clean(text) &&
		    (part ? slice_search(text, s) != SIZE_MAX : slice_eq(text, s)))
			return true;
	}
	return false;
}

slice_t exchange_get_slice(struct exchange *x, struct wire_in *in)
{
	slice_t s = wire_get_slice(in);
	bool believed = slice_is_absent(s) || (x->in_result && x->trusts_results) ||
	                map_get(x->clean, s) != NULL ||
	                (slice_is_clean(s) && is_option(x, s, false));
	if (!believed)
		s.flags &= (uint16_t)~HEDDLE_CLEAN;
	s.quoter = 0;
	return s;
}

/* A piece in one go of a text that was given as clean: as clean as that.  A copy, since what is
 * compiled from it points to it. */
slice_t exchange_get_part(struct exchange *x, struct wire_in *in)
{
	struct wire_in again = *in;
	slice_t whole = arena_dup(x->arena, exchange_get_slice(x, in)),
	        as_sent = wire_get_slice(&again), key;
	size_t pos = 0;
	void *value;
	unsigned tried = 0;
	if (slice_is_clean(whole) || !slice_is_clean(as_sent) || whole.len == 0)
		return whole;
	if (is_option(x, whole, true))
		whole.flags |= HEDDLE_CLEAN;
	while (map_next(x->clean, &pos, &key, &value) && ++tried <= PARTS_TRIED)
		if (key.len <= PARTS_TEXT_MAX && slice_search(key, whole) != SIZE_MAX) {
			whole.flags |= HEDDLE_CLEAN;
			break;
		}
	return whole;
}

const slice_t *exchange_get_slices(struct exchange *x, struct wire_in *in, uint32_t *count)
{
	uint32_t n = (uint32_t)wire_get_uint(in, UINT32_MAX);
	if (in->bad || n > in->left / SLICE_FIELD_MIN) {
		in->bad = true;
		return NULL;
	}
	slice_t *all = ARENA_ARRAY(x->scratch, slice_t, n + 1U);
	for (uint32_t i = 0; i < n; i++)
		all[i] = exchange_get_slice(x, in);
	*count = n;
	return all;
}

/* A handle is the exchange's serial, so that one of an earlier call is known for stale, and a
 * place. */
uint64_t exchange_handle_number(const struct exchange *x, size_t place)
{
	return ((uint64_t)(x->serial & 0xffff) << 16 | (place + 1)) & UINT32_MAX;
}

void exchange_put_handle(struct exchange *x, struct wire_out *out, uint32_t kind, const void *ptr)
{
	if (!ptr) {
		wire_put_u64(out, 0);
		return;
	}
	size_t place = 0;
	while (place < x->handles.count &&
	       (VEC_AT(&x->handles, struct exchange_handle, place)->ptr != ptr ||
	           VEC_AT(&x->handles, struct exchange_handle, place)->kind != kind))
		place++;
	if (place == x->handles.count) {
		if (place >= HANDLES_MAX) {
			exchange_break(x, "the agent holds too many handles");
			return;
		}
		*VEC_PUSH(x->arena, &x->handles, struct exchange_handle) =
		    (struct exchange_handle){ptr, kind};
	}
	wire_put_u64(out, exchange_handle_number(x, place));
}

/* Gives back what drivers get as a pointer they may change through: who made it handed it out so.
 */
static void *writable(const void *p)
{
	void *w;
	memcpy(&w, &p, sizeof w);
	return w;
}

/* For foresight: where in the request it stood.  One too many, or one that this operation has yet
 * to make: no hint. */
static void note_handle(struct exchange *x, const struct wire_in *in, size_t place)
{
	uint32_t i = x->n_request_handles++;
	if (!x->request || i >= FORESIGHT_HANDLES || place >= x->own_handles) {
		x->request = NULL;
		return;
	}
	x->request_handles[i].offset = (uint32_t)(in->p - x->request - (ptrdiff_t)sizeof(uint64_t));
	x->request_handles[i].place = (uint32_t)place;
}

void *exchange_get_handle(struct exchange *x, struct wire_in *in, uint32_t kind, bool optional)
{
	uint64_t n = wire_get_uint(in, UINT32_MAX);
	size_t place = (size_t)(n & 0xffff) - 1;
	if (n == 0 && optional)
		return NULL;
	if (place >= x->handles.count || exchange_handle_number(x, place) != n ||
	    VEC_AT(&x->handles, struct exchange_handle, place)->kind != kind) {
		x->stale = true;
		return NULL;
	}
	note_handle(x, in, place);
	return writable(VEC_AT(&x->handles, struct exchange_handle, place)->ptr);
}

const struct heddle_instance *exchange_get_instance(struct exchange *x, struct wire_in *in)
{
	if (wire_get_uint(in, UINT32_MAX) == THE_INSTANCE)
		return x->call->instance;
	x->stale = true;
	return NULL;
}

void exchange_put_own(struct exchange *x, struct wire_out *out, const void *number)
{
	(void)x;
	wire_put_u64(out, (uint64_t)(uintptr_t)number);
}

void *exchange_get_own(struct exchange *x, struct wire_in *in)
{
	(void)x;
	uintptr_t number = (uintptr_t)wire_get_uint(in, UINT32_MAX);
	void *p;
	memcpy(&p, &number, sizeof p);
	return p;
}

/* ---- answers
 * ------------------------------------------------------------------------------------------ */

void exchange_put_result(struct exchange *x, struct wire_out *out, int32_t result)
{
	const struct heddle_call *c = x->call;
	if (result < HEDDLE_OK || result > HEDDLE_ERROR)
		result = HEDDLE_ERROR;
	wire_put_u64(out, (uint64_t)result);
	if (result == HEDDLE_OK)
		return;
	wire_put_u64(out, c->reason_given);
	wire_put_u64(out, (uint64_t)(int64_t)c->reason_smtp);
	wire_put_slice(out, c->reason_shown);
	wire_put_slice(out, c->reason_logged);
	wire_put_u64(out, c->service_deferred);
}

void exchange_note_constant(struct exchange *x, const struct heddle_instance *inst, uint32_t i)
{
	slice_t text;
	const struct option_value *v = NULL;
	if (inst->own && inst->driver && i < inst->driver->option_count)
		v = &inst->own[i];
	x->constant = v && (!v->expr || expr_constant(v->expr, &text));
}

static int32_t refuse(struct exchange *x, struct wire_out *out, int32_t result, const char *why)
{
	result = call_refuse(x->call, result, "%s", why);
	exchange_put_result(x, out, result);
	return result;
}

bool exchange_ready(
    struct exchange *x, const struct wire_in *in, struct wire_out *out, bool offered)
{
	if (!wire_is_done(in))
		exchange_break(x, "the agent sent a malformed request");
	else if (x->stale)
		(void)refuse(x, out, HEDDLE_ERROR, "stale handle");
	else if (!offered)
		(void)refuse(x, out, HEDDLE_ERROR, "this service is not offered here");
	else
		return true;
	return false;
}

/* ---- the conversation
 * --------------------------------------------------------------------------------- */

static void put_context(struct exchange *x, struct wire_out *w)
{
	const struct heddle_call *c = x->call;
	const struct heddle_instance *inst = c->instance;
	const struct driver *drv = inst ? inst->driver : NULL;
	wire_put_u64(w, (uint64_t)c->deadline_us);
	wire_put_u64(w, c->services ? (uint64_t)c->services->host.debugging(x->call) : 0);
	wire_put_u64(w, c->services ? proxy_offered(c->services) : 0);
	wire_put_u64(w, drv ? drv->head.driver_class : 0U);
	wire_put_slice(w, drv ? slice_cstr(drv->head.name) : slice_absent());
	wire_put_slice(w, inst ? inst->name : slice_absent());
	wire_put_u64(w, inst && inst->cfg ? config_serial(inst->cfg) : 0);
}

struct wire_out *exchange_begin(struct exchange *x, uint16_t op)
{
	x->op = op;
	wire_out_init(&x->out, x->arena);
	return &x->out;
}

static bool over_memory(const struct exchange *x)
{
	return arena_used(x->arena) > MEMORY_MAX ||
	       (x->call->arena && arena_used(x->call->arena) > MEMORY_MAX);
}

static void answer_body(
    struct exchange *x, const struct wire_in *in, struct wire_out *out, int *out_fd)
{
	const struct services *s = x->call->services;
	int32_t result = HEDDLE_ERROR;
	if (++x->bodies > BODIES_MAX)
		exchange_break(x, "the agent asked for the message again and again");
	if (x->broken ||
	    !exchange_ready(x, in, out, s && s->message && s->message->open && s->message->read))
		return;
	*out_fd = exchange_body_fd(x->call, &result);
	exchange_put_result(x, out, *out_fd >= 0 ? HEDDLE_OK : result);
}

/* What the operation said at its end: the result, why, and what follows are its outputs. */
static int32_t take_result(struct exchange *x, struct wire_frame *f)
{
	struct heddle_call *c = x->call;
	int32_t result = (int32_t)wire_get_int(&f->in, INT32_MIN, INT32_MAX);
	x->in_result = true;
	if (result != HEDDLE_OK) {
		bool given = wire_get_uint(&f->in, 1) != 0;
		int64_t smtp = wire_get_int(&f->in, 0, 999);
		slice_t shown = exchange_get_slice(x, &f->in),
		        logged = exchange_get_slice(x, &f->in);
		bool deferred = wire_get_uint(&f->in, 1) != 0;
		if (f->in.bad) {
			exchange_break(x, "the agent sent a malformed result");
			return HEDDLE_DEFER;
		}
		c->reason_given = given;
		c->reason_smtp = smtp >= 400 && smtp <= 599 ? (int32_t)smtp : 0;
		c->reason_shown = arena_dup(c->arena, shown);
		c->reason_logged = arena_dup(c->arena, logged);
		c->service_deferred |= deferred;
	}
	x->in = f->in;
	/* what the outputs point to must last as long as the call's other results */
	slice_t rest = arena_dup(c->arena, slice_of(f->in.p, f->in.left, 0));
	x->in.p = rest.ptr;
	return result;
}

static bool is_expected(const struct wire_frame *f)
{
	switch (f->head.type) {
	case WIRE_SERVICE:
	case WIRE_OP_END:
		return true;
	case WIRE_NOTE:
		return f->head.fn < PROXY_SERVICES && proxy_kinds[f->head.fn] == PROXY_TOLD;
	default:
		return false;
	}
}

static void learn(struct exchange *x, uint16_t fn, slice_t request)
{
	if (!x->foresight)
		return;
	if (fn == EXCHANGE_SERVICE_BODY)
		foresight_learn_body(*x->foresight);
	else if (x->request && proxy_kinds[fn] == PROXY_PURE)
		foresight_learn(
		    *x->foresight, fn, request, x->request_handles, x->n_request_handles);
}

bool exchange_take(struct exchange *x, struct wire_frame *f, bool *out_answer, int *out_answer_fd,
    int32_t *out_result)
{
	*out_answer = false;
	*out_answer_fd = -1;
	if (f->fd >= 0) {
		(void)close(f->fd);
		f->fd = -1;
		exchange_break(x, "the agent sent a descriptor");
	} else if (f->head.serial != x->serial || !is_expected(f)) {
		exchange_break(x, "the agent sent a message of type %u, which is not due",
		    (unsigned)f->head.type);
	} else if (over_memory(x)) {
		exchange_break(x, "the agent asked for too much memory");
	}
	if (x->broken)
		return false;
	if (f->head.type == WIRE_OP_END) {
		*out_result = take_result(x, f);
		return true;
	}
	if (f->head.fn == PROXY_host_log && ++x->notes > NOTES_MAX)
		return false;
	const slice_t request = slice_tainted(f->in.p, f->in.left);
	x->request = f->in.p;
	x->n_request_handles = 0;
	x->stale = false;
	x->constant = false;
	wire_out_init(&x->out, x->scratch);
	*out_answer = f->head.type == WIRE_SERVICE;
	if (f->head.fn == EXCHANGE_SERVICE_BODY)
		answer_body(x, &f->in, &x->out, out_answer_fd);
	else if (f->head.fn < PROXY_SERVICES && x->call->services)
		proxy_services[f->head.fn](x, &f->in, &x->out);
	else
		exchange_break(x, "the agent asked for service %u, which does not exist",
		    (unsigned)f->head.fn);
	*out_answer = *out_answer && !x->broken;
	if (*out_answer && !x->stale && !x->constant)
		learn(x, f->head.fn, request);
	return false;
}

/* Ready for what is asked for?  Else the exchange is broken. */
static bool wait_for(struct exchange *x, short events)
{
	struct cancel *cancel = x->call->cancel;
	for (;;) {
		struct pollfd p[2] = {{.fd = x->sock, .events = events},
		    {.fd = cancel ? cancel_fd(cancel) : -1, .events = POLLIN}};
		int64_t left = x->deadline_us - clock_mono_us();
		if (cancel_is_set(cancel)) {
			exchange_break(x, "cancelled while an agent was at work");
			return false;
		}
		if (left <= 0) {
			exchange_break(x, "timed out: the agent is overdue");
			return false;
		}
		int n = poll(
		    p, 2, (int)((left < 3600 * US_PER_SEC ? left : 3600 * US_PER_SEC) / 1000) + 1);
		if (n < 0 && errno != EINTR) {
			exchange_break(x, "waiting for an agent failed");
			return false;
		}
		if (n > 0 && p[0].revents)
			return true;
	}
}

static bool send_out(struct exchange *x, enum wire_type type, uint16_t fn, int fd)
{
	const struct wire_head head = {
	    .type = (uint16_t)type, .fn = fn, .serial = x->serial, .constant = x->constant};
	while (!x->broken) {
		if (wire_send(x->sock, head, &x->out, fd) == 0)
			return true;
		if (errno == EAGAIN)
			(void)wait_for(x, POLLOUT);
		else if (errno == EMSGSIZE)
			exchange_break(x, "a text is too long for an agent");
		else
			exchange_break(x, "the agent is gone");
	}
	return false;
}

static bool receive(struct exchange *x, struct wire_frame *f)
{
	while (wait_for(x, POLLIN)) {
		int n = wire_receive(x->sock, x->scratch, f);
		if (n > 0)
			return true;
		if (n == 0)
			exchange_break(x, "the agent died");
		else if (errno != EAGAIN)
			exchange_break(x, "the agent sent what is no message");
		if (x->broken)
			return false;
	}
	return false;
}

/* Context, what is foreseen, arguments; the message's descriptor goes along if it will be wanted.
 */
static bool send_operation(struct exchange *x)
{
	struct wire_out foreseen, whole;
	const slice_t args = strbuf_slice(&x->out.sb);
	const bool bad = x->out.bad || strbuf_is_overfull(&x->out.sb);
	const struct services *s = x->call->services;
	int32_t ignored;
	int fd = -1;
	x->own_handles = (uint32_t)x->handles.count;
	wire_out_init(&foreseen, x->arena);
	if (x->foresight) {
		foresight_begin(x->foresight, x->call->instance, x->op);
		bool body = foresight_answer(*x->foresight, x, &foreseen);
		if (body && s && s->message && s->message->open && s->message->read &&
		    ++x->bodies <= BODIES_MAX)
			fd = exchange_body_fd(
			    x->call, &ignored); /* without it the agent asks, and is told why not */
		arena_reset(x->scratch);
	}
	wire_out_init(&whole, x->arena);
	put_context(x, &whole);
	wire_put_slice(&whole, strbuf_slice(&foreseen.sb));
	strbuf_add(&whole.sb, args);
	whole.bad |= bad;
	x->out = whole;
	x->constant = false;
	bool ok = send_out(x, WIRE_OP, x->op, fd);
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

int32_t exchange_run(struct exchange *x, bool trusts_results)
{
	struct wire_frame f;
	int32_t result = HEDDLE_DEFER;
	x->trusts_results = trusts_results;
	bool going = send_operation(x);
	while (going && receive(x, &f)) {
		bool answers = false;
		int fd = -1;
		if (exchange_take(x, &f, &answers, &fd, &result))
			return x->broken ? HEDDLE_DEFER : result;
		x->questions += answers;
		if (answers)
			going = send_out(x, WIRE_SERVICE_END, f.head.fn, fd);
		if (fd >= 0)
			(void)close(fd);
		arena_reset(x->scratch);
	}
	return HEDDLE_DEFER;
}

int32_t exchange_finish(struct exchange *x, int32_t result)
{
	if (!x->broken && !wire_is_done(&x->in))
		exchange_break(x, "the agent sent a malformed result");
	if (!x->broken)
		return result;
	return call_refuse(x->call, HEDDLE_DEFER, "%s", x->why.text);
}
