/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the kernel makes of a hostile agent: datagrams, and the requests and results in them.
 * The input is a row of frames: two bytes of length, then the frame as it would come from the
 * socket; the head's version and serial are put right, so that the fuzzer gets past them.  Whatever
 * comes: no text is CLEAN that was not given as clean, and no service sees a handle that is not of
 * this call.
 */
#include "agent/exchange.h"
#include "base/clock.h"
#include "config/config.h"

#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heddle_job {
	int magic;
};
#define SERIAL 7U
static const char given[] = "the site's own";
static struct heddle_job the_job = {42};
static const struct driver the_driver = {
    .head = {.driver_class = HEDDLE_TRANSPORT, .name = "probe"}};
static const struct heddle_instance the_instance = {
    .name = SL_INIT("local"), .driver = &the_driver};

static void check(slice_t s)
{
	MUST(!slice_is_clean(s) || slice_is_absent(s) || slice_eqs(s, given));
	MUST(s.quoter == 0);
	volatile char sum = 0;
	for (uint32_t i = 0; i < s.len; i++)
		sum = (char)(sum + s.ptr[i]); /* asan looks at each byte */
}

static int32_t opt_text(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, slice_t *out)
{
	MUST(inst == &the_instance);
	*out = slice_cstr(given);
	return i < 3 ? HEDDLE_OK : call_refuse(c, HEDDLE_ERROR, "no such option");
}

static int32_t opt_match(struct heddle_call *c, const struct heddle_instance *inst, uint32_t i,
    slice_t subject, slice_t *out)
{
	(void)c, (void)i;
	MUST(inst == &the_instance);
	check(subject);
	*out = subject;
	return HEDDLE_OK;
}

static int32_t item(struct heddle_call *c, slice_t list, uint64_t *pos, slice_t *out)
{
	(void)c;
	check(list);
	*out = slice_sub(list, (size_t)(*pos & 0xffff), 4);
	*out = slice_tainted(out->ptr, out->len);
	*pos += 4;
	return out->len ? HEDDLE_OK : HEDDLE_FAIL;
}

static int32_t var_set(struct heddle_call *c, slice_t name, slice_t value)
{
	(void)c;
	check(name);
	check(value);
	return HEDDLE_OK;
}

static void note(struct heddle_call *c, uint32_t level, slice_t text)
{
	(void)c, (void)level;
	check(text);
}

static int32_t debugging(struct heddle_call *c)
{
	(void)c;
	return 0;
}

static int32_t outcome(
    struct heddle_call *c, struct heddle_job *job, uint32_t i, const struct heddle_outcome *o)
{
	(void)c, (void)i;
	MUST(job == &the_job);
	MUST(o->struct_size == sizeof *o && memchr(o->enhanced, '\0', sizeof o->enhanced));
	check(o->text);
	return HEDDLE_OK;
}

static int32_t draft(struct heddle_call *c, slice_t sender, const slice_t *to, uint32_t count,
    slice_t headers, struct heddle_draft **out)
{
	(void)c;
	void *place = &the_job; /* something to be a handle of another kind */
	check(sender);
	for (uint32_t i = 0; i < count; i++)
		check(to[i]);
	check(headers);
	*out = place;
	return HEDDLE_OK;
}

static int32_t draft_write(
    struct heddle_call *c, struct heddle_draft *d, const void *buf, uint64_t len)
{
	const void *place = d;
	(void)c;
	MUST(place == &the_job);
	check(slice_tainted(buf, (size_t)len));
	return HEDDLE_OK;
}

static const struct heddle_delivery_service delivery = {
    .struct_size = sizeof delivery, .outcome = outcome};
static const struct heddle_message_service message = {
    .struct_size = sizeof message, .draft = draft, .draft_write = draft_write};

static bool one_frame(struct exchange *x, const uint8_t *bytes, size_t n)
{
	char copy[4096];
	struct wire_frame f;
	struct wire_head head;
	bool answers;
	int fd;
	int32_t result;
	memcpy(copy, bytes, n);
	if (n >= sizeof head) {
		memcpy(&head, copy, sizeof head);
		head.version = WIRE_VERSION;
		head.serial = SERIAL;
		head.length = (uint32_t)(n - sizeof head);
		head.is_memfd = head.fds = 0;
		memcpy(copy, &head, sizeof head);
	}
	if (wire_parse(x->scratch, copy, n, NULL, 0, &f) < 0)
		return true;
	bool done = exchange_take(x, &f, &answers, &fd, &result);
	if (fd >= 0)
		(void)close(fd);
	if (done) {
		slice_t s = exchange_get_slice(x, &x->in);
		check(s);
		(void)exchange_finish(x, result);
	}
	arena_reset(x->scratch);
	return !done && !x->broken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct services s = {.delivery = &delivery, .message = &message};
	struct heddle_call c;
	struct exchange x;
	services_init_basic(&s.host);
	s.host.opt_text = opt_text;
	s.host.opt_match = opt_match;
	s.host.item = item;
	s.host.var_set = var_set;
	s.host.log = note;
	s.host.debugging = debugging;
	call_init(&c, NULL, &the_instance);
	c.arena = arena_new(0);
	c.services = &s;
	exchange_init(&x, &c, -1, SERIAL);
	struct wire_out *w = exchange_begin(&x, PROXY_OP_transport_ops_deliver);
	exchange_put_handle(&x, w, PROXY_H_heddle_job, &the_job);
	bool going = true;
	while (going && size >= 2) {
		size_t n = data[0] | (size_t)data[1] << 8;
		data += 2;
		size -= 2;
		if (n > size || n > 4096)
			break;
		going = one_frame(&x, data, n);
		data += n;
		size -= n;
	}
	exchange_fini(&x);
	arena_free(&c.arena);
	return 0;
}
