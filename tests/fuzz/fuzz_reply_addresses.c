/* SPDX-License-Identifier: GPL-3.0-or-later */
/* transport/autoreply: the lists of addresses that a reply goes to, often those of a foreign
 * message's header. */
#include "../../drivers/transport/autoreply/addresses.c"

#include "base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heddle_call {
	struct arena *arena;
	bool said_why;
};

static int32_t host_var_get(struct heddle_call *c, slice_t name, slice_t *out)
{
	(void)c, (void)name;
	*out = SL("site.example");
	return HEDDLE_OK;
}
static int32_t host_opt_match(struct heddle_call *c, const struct heddle_instance *cfg, uint32_t i,
    slice_t subject, slice_t *out)
{
	(void)c, (void)cfg;
	MUST(i == O_NEVER_MAIL);
	*out = slice_absent();
	return slice_starts(subject, "never") ? HEDDLE_OK : HEDDLE_FAIL;
}
static const struct heddle_host host_table = {
    .struct_size = sizeof host_table, .var_get = host_var_get, .opt_match = host_opt_match};

slice joined(struct reply *r, slice a, slice b, slice c, slice d)
{
	struct strbuf sb;
	strbuf_init(&sb, r->call->arena, 0);
	strbuf_add(&sb, a);
	strbuf_add(&sb, b);
	strbuf_add(&sb, c);
	strbuf_add(&sb, d);
	return strbuf_slice(&sb);
}
int32_t problem(struct reply *r, const char *what, slice about)
{
	MUST(what[0] && (!about.len || about.ptr));
	r->call->said_why = true;
	return HEDDLE_DEFER;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct autoreply in = {.host = &host_table};
	static struct reply r;
	if (size > (1U << 16))
		return 0;
	struct heddle_call c = {.arena = arena_new(0)};
	r.call = &c;
	r.in = &in;
	r.host = &host_table;
	r.count = 0;
	int32_t rc = add_addresses(&r, slice_tainted(data, size));
	MUST(rc == HEDDLE_OK || (rc == HEDDLE_DEFER && c.said_why));
	MUST(r.count <= ADDRESSES_MAX);
	for (uint32_t i = 0; i < r.count; i++) {
		slice_t a = r.to[i];
		MUST(a.len && slice_find(a, '@') != SIZE_MAX && !slice_is_clean(a) &&
		     !slice_starts(a, "never"));
		for (uint32_t k = 0; k < a.len; k++)
			MUST((unsigned char)a.ptr[k] >= ' ' && a.ptr[k] != 127);
	}
	arena_free(&c.arena);
	return 0;
}
