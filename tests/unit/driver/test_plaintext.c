/* SPDX-License-Identifier: GPL-3.0-or-later */
/* drivers/auth/plaintext against a host that keeps the variables and prompts in arrays; the driver
 * is the real file. */
#include "base/arena.h"
#include "lib/tap.h"

#include <dlfcn.h>
#include <heddle/auth.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

struct heddle_call {
	struct arena *arena;
	slice_t auth[4];     /* by number; 0 unused */
	unsigned numbered;   /* how many of $1.. were set */
	const char *prompts; /* items with '|' between; NULL: unset */
	int32_t opt_result;
};

static int32_t opt_text(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, slice_t *out)
{
	(void)inst;
	CHECK_EQ_INT(i, 0);
	if (c->opt_result == HEDDLE_OK)
		*out = slice_cstr(c->prompts);
	return c->opt_result;
}
static int32_t item(struct heddle_call *c, slice_t list, uint64_t *pos, slice_t *out)
{
	(void)c;
	if (*pos >= list.len)
		return HEDDLE_FAIL;
	slice_t rest = slice_sub(list, (size_t)*pos, list.len);
	size_t n = slice_find(rest, '|');
	*out = slice_sub(rest, 0, n == SIZE_MAX ? rest.len : n);
	*pos += out->len + 1U;
	return HEDDLE_OK;
}
static int32_t var_set(struct heddle_call *c, slice_t name, slice_t value)
{
	if (slice_starts(name, "auth"))
		c->auth[name.ptr[4] - '0'] = arena_dup(c->arena, value);
	else
		c->numbered = (unsigned)(name.ptr[0] - '0');
	return HEDDLE_OK;
}
static void reason(struct heddle_call *c, int32_t smtp, slice_t shown, slice_t logged)
{
	(void)c, (void)smtp, (void)shown, (void)logged;
}

static const struct heddle_driver *driver(void)
{
	char exe[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	(void)snprintf(path, sizeof path, "%s/../../../drivers/auth/plaintext.so", dirname(exe));
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		printf("# %s\n", dlerror());
	return object ? dlsym(object, "heddle_driver_v1") : NULL;
}

#define NONE                              \
	{                                 \
		NULL, 0, HEDDLE_ABSENT, 0 \
	}
#define GIVEN(lit)                         \
	{                                  \
		lit, sizeof(lit) - 1, 0, 0 \
	}

static const struct exchange {
	const char *prompts;
	slice_t sent[4]; /* with AUTH, then the responses */
	unsigned steps;  /* how many of them */
	const char *asked[3];
	const char *auth[3]; /* what they are at the end; NULL: unset */
} exchanges[] = {
    {"|", {GIVEN("\0ph10\0secret")}, 1, {NULL}, {"", "ph10", "secret"}},
    {"|", {NONE, GIVEN("\0ph10\0secret")}, 2, {""}, {"", "ph10", "secret"}},
    {"Username:|Password:", {NONE, GIVEN("ph10"), GIVEN("secret")}, 3, {"Username:", "Password:"},
        {"ph10", "secret"}},
    {"Username:|Password:", {GIVEN("ph10"), GIVEN("secret")}, 2, {"Password:"}, {"ph10", "secret"}},
    {"Username:|Password:", {NONE, GIVEN("ph10\0secret")}, 2, {"Username:"}, {"ph10", "secret"}},
    {"Username:|Password:", {NONE, GIVEN(""), GIVEN("")}, 3, {"Username:", "Password:"}, {"", ""}},
    {NULL, {GIVEN("a\0")}, 1, {NULL}, {"a"}},
    {NULL, {GIVEN("")}, 1, {NULL}, {""}},
    {NULL, {NONE}, 1, {NULL}, {NULL}},
    {"x",
        {GIVEN("1\0"
               "2\0"
               "3\0"
               "4\0"
               "5")},
        1, {NULL}, {"1", "2", "3"}},
};

static void run(
    const struct heddle_auth_ops *ops, void *inst, struct heddle_call *c, const struct exchange *x)
{
	void *conv = NULL;
	struct heddle_auth_turn t = {.struct_size = sizeof t};
	for (unsigned i = 0; i < x->steps; i++) {
		t.state = 0;
		t.data = x->sent[i];
		CHECK_EQ_INT(i == 0 ? ops->server_begin(c, inst, &t, &conv)
		                    : ops->server_step(c, inst, conv, &t),
		    HEDDLE_OK);
		bool last = i + 1 == x->steps;
		CHECK_EQ_INT(t.state, last ? HEDDLE_AUTH_DONE : HEDDLE_AUTH_MORE);
		if (!last)
			CHECK_EQ_STR(t.data, x->asked[i]);
	}
	CHECK(conv != NULL);
	ops->end(inst, conv);
	for (int i = 0; i < 3; i++) {
		CHECK(slice_is_absent(c->auth[i + 1]) == !x->auth[i]);
		if (x->auth[i]) {
			CHECK_EQ_STR(c->auth[i + 1], x->auth[i]);
			CHECK(!slice_is_clean(c->auth[i + 1]));
		}
	}
}

TEST(plain_and_login)
{
	const struct heddle_driver *d = driver();
	CHECK(d != NULL);
	if (!d)
		return;
	const struct heddle_auth_ops *ops = d->ops;
	struct heddle_host host = {.struct_size = sizeof host,
	    .opt_text = opt_text,
	    .item = item,
	    .var_set = var_set,
	    .reason = reason};
	struct heddle_call c = {.arena = arena_new(0)};
	void *inst = NULL;
	CHECK_EQ_INT(d->instance_new(&c, &host, NULL, NULL, &inst), HEDDLE_OK);
	for (size_t i = 0; i < sizeof exchanges / sizeof *exchanges; i++) {
		for (int k = 0; k < 4; k++)
			c.auth[k] = slice_absent();
		c.prompts = exchanges[i].prompts;
		run(ops, inst, &c, &exchanges[i]);
	}
	CHECK_EQ_INT(c.numbered, 5);
	/* what the expansion of the prompts says is no verdict on the client */
	static const int32_t results[][2] = {{HEDDLE_FAIL, HEDDLE_DEFER},
	    {HEDDLE_DEFER, HEDDLE_DEFER}, {HEDDLE_ERROR, HEDDLE_ERROR}};
	for (size_t i = 0; i < 3; i++) {
		struct heddle_auth_turn t = {.struct_size = sizeof t, .data = slice_absent()};
		void *conv = NULL;
		c.opt_result = results[i][0];
		CHECK_EQ_INT(ops->server_begin(&c, inst, &t, &conv), results[i][1]);
		CHECK(conv == NULL);
	}
	/* an exchange that the client cancels is ended without a step */
	struct heddle_auth_turn t = {.struct_size = sizeof t, .data = slice_absent()};
	void *conv = NULL;
	c.opt_result = HEDDLE_OK;
	c.prompts = "User:";
	CHECK_EQ_INT(ops->server_begin(&c, inst, &t, &conv), HEDDLE_OK);
	ops->end(inst, conv);
	d->instance_free(inst);
	arena_free(&c.arena);
}

TAP_MAIN()
