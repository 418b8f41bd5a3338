/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent/process: the loop, and how a stub asks the kernel. */
#include "agent/process.h"

#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define CHECK_LEAKS() __lsan_do_leak_check()
#else
#define CHECK_LEAKS() (void)0
#endif

#define EXIT_PROTOCOL 76
#define THE_INSTANCE  1U

_Noreturn static void protocol_error(void)
{
	_exit(EXIT_PROTOCOL); /* nothing of ours is half done that a destructor would finish */
}

void process_end(int status)
{
	CHECK_LEAKS();
	_exit(status);
}

/* ---- asking the kernel
 * -------------------------------------------------------------------------------- */

bool process_ask(struct heddle_call *c, struct request *r)
{
	*r = (struct request){.call = c};
	if (!c->services) {
		(void)call_refuse(c, HEDDLE_ERROR, "not possible while a driver is loaded");
		return false;
	}
	wire_out_init(&r->out, c->arena);
	return true;
}

static bool send_request(struct request *r, enum wire_type type, uint16_t fn)
{
	struct process *p = process_of(r->call);
	const struct wire_head head = {.type = (uint16_t)type, .fn = fn, .serial = p->serial};
	return wire_send(p->sock, head, &r->out, -1) == 0;
}

void process_note(struct request *r, uint16_t fn)
{
	(void)send_request(
	    r, WIRE_NOTE, fn); /* if the kernel is gone, the next request finds out */
}

int32_t process_malformed(struct request *r)
{
	return call_refuse(r->call, HEDDLE_ERROR, "malformed argument given to a service");
}

/* The answer to this request, if it came with the operation (foresight.h). */
static bool find_foreseen(
    const struct wire_in *all, uint16_t fn, slice_t request, struct wire_in *answer)
{
	struct wire_in in = *all;
	while (in.left && !in.bad) {
		uint64_t number = wire_get_uint(&in, UINT16_MAX);
		slice_t r = wire_get_slice(&in), a = wire_get_slice(&in);
		if (!in.bad && number == fn && slice_eq(r, request)) {
			*answer = (struct wire_in){a.ptr, a.len, false};
			return true;
		}
	}
	return false;
}

int32_t process_exchange(struct request *r, uint16_t fn)
{
	struct heddle_call *c = r->call;
	struct process *p = process_of(c);
	struct wire_frame f;
	if (r->out.bad)
		return process_malformed(r);
	if (find_foreseen(&p->foreseen, fn, strbuf_slice(&r->out.sb), &r->in))
		return (int32_t)wire_get_int(&r->in, HEDDLE_OK, HEDDLE_OK);
	if (!send_request(r, WIRE_SERVICE, fn))
		return call_refuse(c, HEDDLE_DEFER, "asking the kernel failed: errno %d", errno);
	int n = wire_receive(p->sock, c->arena, &f);
	if (n == 0)
		return call_refuse(c, HEDDLE_DEFER, "the kernel is gone");
	if (n < 0 || f.head.type != WIRE_SERVICE_END || f.head.serial != p->serial ||
	    f.head.fn != fn)
		protocol_error();
	if (f.fd >= 0)
		p->body_fd = f.fd;
	r->in = f.in;
	r->constant = f.head.constant != 0;
	int32_t result = (int32_t)wire_get_int(&r->in, HEDDLE_OK, HEDDLE_ERROR);
	if (result != HEDDLE_OK) {
		c->reason_given = wire_get_uint(&r->in, 1) != 0;
		c->reason_smtp = (int32_t)wire_get_int(&r->in, 0, 999);
		c->reason_shown = wire_get_slice(&r->in);
		c->reason_logged = wire_get_slice(&r->in);
		c->service_deferred |= wire_get_uint(&r->in, 1) != 0;
	}
	return result;
}

int32_t process_finish(struct request *r, int32_t result)
{
	if (result == HEDDLE_OK && !wire_is_done(&r->in))
		protocol_error();
	return result;
}

void process_put_instance(struct request *r, const struct heddle_instance *inst)
{
	/* one that is not of this call is no instance the kernel would answer for now */
	wire_put_u64(&r->out, inst == r->call->instance ? THE_INSTANCE : 0);
}

static void *pointer_of(uint64_t number)
{
	uintptr_t u = (uintptr_t)number;
	void *p;
	memcpy(&p, &u, sizeof p);
	return p;
}

void *process_handle(struct wire_in *in)
{
	return pointer_of(wire_get_uint(in, UINT32_MAX));
}

/* ---- being asked
 * -------------------------------------------------------------------------------------- */

void process_op_result(struct op *o, int32_t result)
{
	const struct heddle_call *c = o->call;
	wire_put_u64(&o->out, (uint64_t)(int64_t)result);
	if (result == HEDDLE_OK)
		return;
	wire_put_u64(&o->out, c->reason_given);
	wire_put_u64(&o->out, (uint64_t)(int64_t)c->reason_smtp);
	wire_put_slice(&o->out, c->reason_shown);
	wire_put_slice(&o->out, c->reason_logged);
	wire_put_u64(&o->out, c->service_deferred);
}

bool process_op_ready(struct op *o, bool offered)
{
	if (!wire_is_done(o->in))
		protocol_error();
	if (o->stale)
		process_op_result(
		    o, call_refuse(o->call, HEDDLE_ERROR, "stale handle of a driver"));
	else if (!offered)
		process_op_result(
		    o, call_refuse(o->call, HEDDLE_ERROR, "the driver has no such operation"));
	else
		return true;
	return false;
}

void process_put_own(struct op *o, struct wire_out *out, void *ptr)
{
	struct vec *own = &o->process->own;
	size_t i = 0;
	while (i < own->count && *VEC_AT(own, void *, i))
		i++;
	if (i == own->count)
		(void)VEC_PUSH(o->process->arena, own, void *);
	*VEC_AT(own, void *, i) = ptr;
	wire_put_u64(out, i + 1);
}

void *process_get_own(struct op *o, struct wire_in *in)
{
	struct vec *own = &o->process->own;
	uint64_t n = wire_get_uint(in, UINT32_MAX);
	if (n == 0 || n > own->count || !*VEC_AT(own, void *, n - 1)) {
		o->stale = true;
		return NULL;
	}
	return *VEC_AT(own, void *, n - 1);
}

void *process_forget_own(struct op *o, struct wire_in *in)
{
	struct wire_in again = *in;
	void *ptr = process_get_own(o, in);
	if (ptr)
		*VEC_AT(&o->process->own, void *, wire_get_uint(&again, UINT32_MAX) - 1) = NULL;
	return ptr;
}

/* ---- the host table, as far as it is answered here
 * ---------------------------------------------------- */

static const struct service_row {
	const char *id;
	uint32_t needs; /* bit of the table that the kernel must offer; 0: ours alone */
	const void *table;
} service_rows[] = {
    {HEDDLE_SPAWN_ID, 0, &proxy_client_spawn},
    {HEDDLE_FILE_ID, 0, &proxy_client_file},
    {HEDDLE_MESSAGE_ID, PROXY_HAS_message, &proxy_client_message},
    {HEDDLE_DELIVERY_ID, PROXY_HAS_delivery, &proxy_client_delivery},
    {HEDDLE_ROUTING_ID, PROXY_HAS_routing, &proxy_client_routing},
    {HEDDLE_HINTS_ID, PROXY_HAS_hints, &proxy_client_hints},
    {HEDDLE_DNS_ID, PROXY_HAS_dns, &proxy_client_dns},
};

const void *agent_host_service(const struct heddle_host *host, const char *id)
{
	const void *self =
	    host; /* the first member of struct services, which is the first of struct process */
	const struct process *p = self;
	for (size_t i = 0; id && i < sizeof service_rows / sizeof *service_rows; i++)
		if (strcmp(service_rows[i].id, id) == 0)
			return (p->offered & service_rows[i].needs) == service_rows[i].needs
			           ? service_rows[i].table
			           : NULL;
	return NULL;
}

int32_t agent_host_debugging(struct heddle_call *c)
{
	return c->services && process_of(c)->debugging;
}

int64_t agent_host_time_left(struct heddle_call *c)
{
	if (c->services && process_is_cancelled(process_of(c)))
		return 0;
	if (c->deadline_us == DEADLINE_NEVER)
		return INT64_MAX / US_PER_SEC;
	int64_t left = c->deadline_us - clock_mono_us();
	return left > 0 ? (left + 999) / 1000 : 0;
}

int32_t agent_host_cancel_fd(struct heddle_call *c)
{
	return !c->services || process_is_cancelled(process_of(c)) ? -1 : process_of(c)->sock;
}

struct heddle_slice agent_host_instance_name(const struct heddle_instance *inst)
{
	return inst ? inst->name : slice_absent();
}

int32_t agent_host_digest(struct heddle_call *c, uint32_t algo, struct heddle_slice key,
    struct heddle_slice in, struct heddle_slice *out)
{
	return services_digest(c, algo, key, in, out);
}

/* ---- the loop
 * ----------------------------------------------------------------------------------------- */

static bool prepare(struct process *p, bool any_owner, const char *const *folders)
{
	struct heddle_host *h = &p->services.host;
	const struct drivers_config cfg = {.folders = folders, .any_owner = any_owner, .host = h};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGCHLD, &plain, NULL); /* ignored, it would reap our commands without us */
	(void)umask(0);                         /* modes are the configuration's, as written */
	services_init_basic(h);
	h->release = "heddle";
	proxy_client_host(h);
	p->services.never_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->services.spawn = &proxy_client_spawn;
	p->services.file = &proxy_client_file;
	return io_cloexec(p->sock, true) == 0 && p->services.never_fd >= 0 &&
	       drivers_new(&cfg, &p->drivers, NULL) == RC_OK;
}

int process_run(int sock, bool any_owner, const char *const *folders)
{
	/* Each operation gives its memory back; the system need not have it until the process ends.
	 */
	(void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
	struct process p = {.sock = sock, .arena = arena_new(0), .body_fd = -1, .timer_fd = -1};
	struct arena *frame = arena_new(0);
	struct wire_frame f;
	int n = prepare(&p, any_owner, folders) ? 1 : -1;
	if (n > 0)
		process_watch(&p);
	while (n > 0 && (n = wire_receive(sock, frame, &f)) > 0) {
		if (f.head.type != WIRE_OP)
			protocol_error();
		process_serve(&p, &f);
		arena_reset(frame);
	}
	/* no clean-up: the watcher may be about to end us, and the system frees better */
	process_instances_free(&p);
	process_end(n == 0 ? 0 : EXIT_PROTOCOL);
}
