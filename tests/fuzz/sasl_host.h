/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs an authenticator, whose source is included before this, on foreign bytes.  The first byte
 * says which side it is and whether the first turn comes with the command; the turns have a byte
 * 255 between them.  Defined before: SASL_NEVER_DONE, where no foreign bytes may ever be accepted
 * by the server's side.
 */
#include "base/strbuf.h"
#include "expand/expand.h"

#include <sys/random.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TURNS_MAX 50

struct heddle_call {
	struct arena *arena;
	uint32_t random;
	bool is_server;
};

static int32_t host_opt_text(
    struct heddle_call *c, const struct heddle_instance *cfg, uint32_t i, slice_t *out)
{
	(void)c, (void)cfg;
	/* every text option is set: a list, a secret, a parameter, whatever it is for this driver
	 */
	*out = i < driver_options ? SL("one:two^^^x:three") : slice_absent();
	return HEDDLE_OK;
}
static int32_t host_opt_int(
    struct heddle_call *c, const struct heddle_instance *cfg, uint32_t i, int64_t *out)
{
	(void)cfg, (void)i;
	*out = c->random & 1;
	return HEDDLE_OK;
}
static int32_t host_item(struct heddle_call *c, slice_t list, uint64_t *pos, slice_t *out)
{
	return expand_list_next(c->arena, list, pos, out) ? HEDDLE_OK : HEDDLE_FAIL;
}
static int32_t host_compile(
    struct heddle_call *c, slice_t text, uint64_t forbid, struct heddle_expr **out)
{
	(void)forbid;
	slice_t *kept = ARENA_NEW(c->arena, slice_t);
	*kept = text;
	memcpy(out, &kept, sizeof *out);
	return HEDDLE_OK;
}
static int32_t host_expand(struct heddle_call *c, const struct heddle_expr *x, slice_t *out)
{
	const void *p = x;
	(void)c;
	*out = *(const slice_t *)p;
	return HEDDLE_OK;
}
static int32_t host_var_set(struct heddle_call *c, slice_t name, slice_t value)
{
	bool ours = slice_eqs(value, "one:two^^^x:three"); /* a parameter of the configuration */
	MUST(name.len == 1 || (name.len == 5 && slice_starts(name, "auth")));
	MUST(value.len == 0 || ours || !slice_is_clean(value));
	MUST(!c->is_server || ours || value.len == 0 || value.flags & HEDDLE_SECRET);
	(void)arena_dup(c->arena, value);
	return HEDDLE_OK;
}
static int32_t host_var_get(struct heddle_call *c, slice_t name, slice_t *out)
{
	(void)c, (void)name;
	*out = SL("mx.test.example");
	return HEDDLE_OK;
}
static void host_reason(struct heddle_call *c, int32_t smtp, slice_t shown, slice_t logged)
{
	(void)c;
	MUST(smtp == 0 || (smtp >= 400 && smtp <= 599));
	MUST(slice_is_absent(shown) || slice_is_clean(shown));
	MUST(slice_is_absent(logged) || slice_is_clean(logged)); /* nothing of the peer's */
}
static int32_t host_join(struct heddle_call *c, const slice_t *parts, uint32_t count, slice_t *out)
{
	struct strbuf sb;
	strbuf_init(&sb, c->arena, 0);
	for (uint32_t i = 0; i < count; i++)
		strbuf_add(&sb, parts[i]);
	*out = strbuf_slice(&sb);
	return HEDDLE_OK;
}
static void *host_alloc(struct heddle_call *c, uint64_t n, uint32_t align)
{
	(void)align;
	return arena_bytes(c->arena, (size_t)n);
}
/* Another one in each run: a fuzzer that watches comparisons would else learn the answer. */
static int32_t host_random(struct heddle_call *c, void *buf, uint64_t n)
{
	(void)c;
	MUST(getrandom(buf, n, 0) == (ssize_t)n);
	return HEDDLE_OK;
}
static int32_t host_digest(
    struct heddle_call *c, uint32_t algo, slice_t key, slice_t in, slice_t *out)
{
	uint32_t sum = 5381;
	char *p = arena_bytes(c->arena, 16);
	(void)algo;
	MUST(key.flags & HEDDLE_SECRET);
	for (uint32_t i = 0; i < in.len; i++)
		sum = sum * 31U + (uint8_t)in.ptr[i];
	for (int i = 0; i < 16; i++)
		p[i] = (char)((sum = sum * 1664525U + 1013904223U) >> 24);
	*out = slice_tainted(p, 16);
	return HEDDLE_OK;
}
static int32_t host_same(slice_t a, slice_t b)
{
	return slice_eq(a, b);
}

static const struct heddle_host host_table = {.struct_size = sizeof host_table,
    .opt_text = host_opt_text,
    .opt_int = host_opt_int,
    .item = host_item,
    .compile = host_compile,
    .expand = host_expand,
    .var_set = host_var_set,
    .var_get = host_var_get,
    .reason = host_reason,
    .join = host_join,
    .alloc = host_alloc,
    .random = host_random,
    .digest = host_digest,
    .same = host_same};

/* The next turn of the input; false: there is none. */
static bool next_turn(slice_t *rest, slice_t *out)
{
	if (slice_is_absent(*rest))
		return false;
	size_t n = slice_find(*rest, (char)255);
	*out = slice_sub(*rest, 0, n == SIZE_MAX ? rest->len : n);
	out->flags = HEDDLE_SECRET;
	*rest = n == SIZE_MAX ? slice_absent() : slice_sub(*rest, n + 1, rest->len);
	return true;
}

static void converse(struct heddle_call *c, void *inst, slice_t rest, uint8_t how)
{
	const struct heddle_auth_ops *ops_now = heddle_driver_v1.ops;
	struct heddle_auth_turn t = {.struct_size = sizeof t, .data = slice_absent()};
	void *conv = NULL;
	if (c->is_server && (how & 2))
		(void)next_turn(&rest, &t.data);
	int32_t rc = c->is_server ? ops_now->server_begin(c, inst, &t, &conv)
	                          : ops_now->client_begin(c, inst, &t, &conv);
	for (int i = 0; rc == HEDDLE_OK && t.state == HEDDLE_AUTH_MORE && i < TURNS_MAX; i++) {
		slice_t data;
		if (!next_turn(&rest, &data))
			break;
		bool garbled = !c->is_server && (how & 4) && slice_is_absent(rest);
		t.data = garbled ? slice_absent() : data;
		t.state = garbled ? HEDDLE_AUTH_GARBLED : 0;
		rc = c->is_server ? ops_now->server_step(c, inst, conv, &t)
		                  : ops_now->client_step(c, inst, conv, &t);
	}
	MUST(rc >= HEDDLE_OK && rc <= HEDDLE_ERROR);
#ifdef SASL_NEVER_DONE
	MUST(!c->is_server || rc != HEDDLE_OK || t.state != HEDDLE_AUTH_DONE);
#endif
	if (conv)
		ops_now->end(inst, conv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct heddle_call c = {
	    .arena = arena_new(0), .random = (uint32_t)size, .is_server = data[0] & 1};
	void *inst = NULL;
	if (heddle_driver_v1.instance_new(&c, &host_table, NULL, NULL, &inst) == HEDDLE_OK) {
		converse(&c, inst, slice_tainted((const char *)data + 1, size - 1), data[0]);
		heddle_driver_v1.instance_free(inst);
	}
	arena_free(&c.arena);
	return 0;
}
