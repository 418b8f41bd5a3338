/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/services_basic: the services that need no configuration: memory, texts, reasons, time,
 * blocking. Slices that a driver hands in are looked at before use: one that is malformed ends in
 * ERROR, never in a read.
 */
#include "driver/call.h"

#include "base/clock.h"
#include "base/io.h"
#include "thread/cancel.h"
#include "thread/pool.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define CALL_MEMORY_MAX ((uint64_t)256 << 20) /* of one call, over all its allocations */
#define REASON_MAX      4096U
#define ALIGN_MAX       4096U

static bool is_malformed(slice_t s)
{
	return s.len == UINT32_MAX || (!s.ptr && s.len);
}

static bool over_limit(const struct heddle_call *c, uint64_t size)
{
	return !c->arena || size > CALL_MEMORY_MAX || arena_used(c->arena) > CALL_MEMORY_MAX - size;
}

static void *host_alloc(struct heddle_call *c, uint64_t size, uint32_t align)
{
	if (align == 0 || (align & (align - 1)) != 0 || align > ALIGN_MAX || over_limit(c, size) ||
	    over_limit(c, size + align))
		return NULL;
	size_t extra = align > _Alignof(max_align_t) ? align : 0;
	char *p = arena_alloc(c->arena, (size_t)size + extra);
	size_t off = extra ? (uintptr_t)p & (align - 1U) : 0;
	return off ? p + (align - off) : p;
}

/* Flags of a text of all parts: see abi.h, join.  An empty part says nothing about taint; once two
 * tainted parts disagree on who quoted them, the quoter stays 0. */
static void mix_flags(const slice_t *parts, uint32_t count, slice_t *out)
{
	bool tainted = false;
	out->flags = HEDDLE_CLEAN;
	out->quoter = 0;
	for (uint32_t i = 0; i < count; i++) {
		out->flags |= parts[i].flags & HEDDLE_SECRET;
		if (parts[i].len == 0 || slice_is_clean(parts[i]))
			continue;
		out->flags &= (uint16_t)~HEDDLE_CLEAN;
		out->quoter = tainted && out->quoter != parts[i].quoter ? 0 : parts[i].quoter;
		tainted = true;
	}
}

static int32_t host_join(struct heddle_call *c, const slice_t *parts, uint32_t count, slice_t *out)
{
	uint64_t total = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (is_malformed(parts[i]))
			return call_refuse(c, HEDDLE_ERROR, "malformed slice given to join");
		total += parts[i].len;
	}
	if (total >= UINT32_MAX || over_limit(c, total + 1))
		return call_refuse(c, HEDDLE_DEFER,
		    "a text of %llu bytes is over this call's memory limit",
		    (unsigned long long)total);
	slice_t all = {.len = (uint32_t)total};
	mix_flags(parts, count, &all);
	if (all.flags & HEDDLE_SECRET)
		arena_wipes(c->arena);
	char *p = arena_bytes(c->arena, (size_t)total + 1);
	all.ptr = p;
	for (uint32_t i = 0; i < count; i++) {
		if (parts[i].len)
			memcpy(p, parts[i].ptr, parts[i].len);
		p += parts[i].len;
	}
	*p = '\0';
	*out = all;
	return HEDDLE_OK;
}

static int32_t host_cstr(struct heddle_call *c, slice_t s, const char **out)
{
	if (is_malformed(s))
		return call_refuse(c, HEDDLE_ERROR, "malformed slice given to cstr");
	if (s.len && memchr(s.ptr, '\0', s.len))
		return call_refuse(c, HEDDLE_FAIL, "a NUL byte in what must be a C string");
	if (over_limit(c, (uint64_t)s.len + 1))
		return call_refuse(c, HEDDLE_DEFER,
		    "a text of %lu bytes is over this call's memory limit", (unsigned long)s.len);
	if (s.flags & HEDDLE_SECRET)
		arena_wipes(c->arena);
	*out = arena_cstr(c->arena, s);
	return HEDDLE_OK;
}

static slice_t reason_text(struct heddle_call *c, slice_t s)
{
	if (is_malformed(s) || slice_is_absent(s))
		return slice_absent();
	return arena_dup(c->arena, slice_sub(s, 0, REASON_MAX));
}

static void host_reason(struct heddle_call *c, int32_t smtp, slice_t shown, slice_t logged)
{
	c->reason_smtp = smtp >= 400 && smtp <= 599 ? smtp : 0;
	c->reason_shown = reason_text(c, shown);
	c->reason_logged = reason_text(c, logged);
	c->reason_given = true;
}

static int64_t host_time_left(struct heddle_call *c)
{
	if (cancel_is_set(c->cancel))
		return 0;
	if (c->deadline_us == DEADLINE_NEVER)
		return INT64_MAX / US_PER_SEC;
	int64_t left = c->deadline_us - clock_mono_us();
	return left > 0 ? (left + 999) / 1000 : 0;
}

static void close_fd(void *fd)
{
	(void)close((int)(intptr_t)fd);
}

static int32_t host_cancel_fd(struct heddle_call *c)
{
	if (cancel_is_set(c->cancel))
		return -1;
	if (c->cancel)
		return cancel_fd(c->cancel);
	if (c->services)
		return c->services->never_fd;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* -1 would say: cancelled */
	if (fd >= 0)
		arena_on_free(c->arena, close_fd, (void *)(intptr_t)fd);
	return fd;
}

static enum pool_purpose purpose_of(const struct heddle_call *c)
{
	static const enum pool_purpose of_class[] = {
	    [HEDDLE_AUTH] = POOL_FOR_ACL,
	    [HEDDLE_ROUTER] = POOL_FOR_LOOKUP,
	    [HEDDLE_TRANSPORT] = POOL_FOR_DELIVER,
	    [HEDDLE_LOOKUP] = POOL_FOR_LOOKUP,
	};
	uint16_t cls = c->instance && c->instance->driver ? c->instance->driver->head.driver_class
	                                                  : HEDDLE_LOOKUP;
	return cls < sizeof of_class / sizeof *of_class ? of_class[cls] : POOL_FOR_LOOKUP;
}

static void host_block_begin(struct heddle_call *c)
{
	/* the driver waits in any case: without a place in the quota it keeps this worker busy */
	if (!c->blocking && c->worker)
		c->blocking = pool_blocking_begin(c->worker, purpose_of(c), 0, NULL) == RC_OK;
}

static void host_block_end(struct heddle_call *c)
{
	if (c->blocking)
		pool_blocking_end(c->worker);
	c->blocking = false;
}

static int32_t host_random(struct heddle_call *c, void *buf, uint64_t len)
{
	(void)c;
	if (len)
		io_random(buf, (size_t)len);
	return HEDDLE_OK;
}

static int32_t host_same(slice_t a, slice_t b)
{
	if (is_malformed(a) || is_malformed(b) || a.len != b.len)
		return 0;
	volatile unsigned char differs = 0;
	for (uint32_t i = 0; i < a.len; i++)
		differs |= (unsigned char)(a.ptr[i] ^ b.ptr[i]);
	return differs == 0;
}

void services_init_basic(struct heddle_host *h)
{
	h->struct_size = sizeof *h;
	h->abi_major = HEDDLE_ABI_MAJOR;
	h->abi_minor = HEDDLE_ABI_MINOR;
	h->alloc = host_alloc;
	h->join = host_join;
	h->cstr = host_cstr;
	h->reason = host_reason;
	h->time_left = host_time_left;
	h->cancel_fd = host_cancel_fd;
	h->block_begin = host_block_begin;
	h->block_end = host_block_end;
	h->random = host_random;
	h->same = host_same;
}
