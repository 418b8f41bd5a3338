/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A simulated host for authenticators: options, variables and verdicts are in tables; the driver is
 * the real file. */
#ifndef HEDDLE_TESTS_UNIT_DRIVER_SASL_H
#define HEDDLE_TESTS_UNIT_DRIVER_SASL_H
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include "base/arena.h"
#include "lib/tap.h"

#include <dlfcn.h>
#include <heddle/auth.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#define SASL_OPTIONS 4

struct heddle_call {
	struct arena *arena;
	const char *option[SASL_OPTIONS]; /* by index; NULL: unset */
	int32_t result[SASL_OPTIONS];     /* of its expansion */
	slice_t auth[10];                 /* $auth1.. by number */
	unsigned numbered;                /* the highest of $1.. that was set */
	int32_t smtp;
	slice_t shown, logged; /* of reason() */
};

static slice_t sasl_text(const struct heddle_call *c, uint32_t i)
{
	return i < SASL_OPTIONS ? slice_cstr(c->option[i]) : slice_absent();
}
static int32_t sasl_opt_text(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, slice_t *out)
{
	(void)inst;
	if (i >= SASL_OPTIONS || c->result[i] != HEDDLE_OK)
		return i >= SASL_OPTIONS ? HEDDLE_ERROR : c->result[i];
	*out = sasl_text(c, i);
	return HEDDLE_OK;
}
static int32_t sasl_opt_int(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, int64_t *out)
{
	(void)inst;
	slice_t s = sasl_text(c, i);
	*out = slice_eqs(s, "true");
	return slice_is_absent(s) ? HEDDLE_FAIL : HEDDLE_OK;
}
/* Lists have '|' between items. */
static int32_t sasl_item(struct heddle_call *c, slice_t list, uint64_t *pos, slice_t *out)
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
/* A compiled text is a copy of it; "fail" is a forced failure, "defer" another, "$1" the first
 * $auth. */
static int32_t sasl_compile(
    struct heddle_call *c, slice_t text, uint64_t forbid, struct heddle_expr **out)
{
	(void)forbid;
	slice_t *kept = ARENA_NEW(c->arena, slice_t);
	*kept = arena_dup(c->arena, text);
	memcpy(out, &kept, sizeof *out);
	return HEDDLE_OK;
}
static int32_t sasl_expand(struct heddle_call *c, const struct heddle_expr *x, slice_t *out)
{
	const void *p = x;
	const slice_t *text = p;
	if (slice_eqs(*text, "fail") || slice_eqs(*text, "defer"))
		return slice_eqs(*text, "fail") ? HEDDLE_FAIL : HEDDLE_ERROR;
	*out = slice_eqs(*text, "$1") ? c->auth[1] : *text;
	return HEDDLE_OK;
}
static int32_t sasl_var_set(struct heddle_call *c, slice_t name, slice_t value)
{
	unsigned n = (unsigned)(name.ptr[name.len - 1] - '0');
	if (slice_starts(name, "auth"))
		c->auth[n] = arena_dup(c->arena, value);
	else if (n > c->numbered)
		c->numbered = n;
	return HEDDLE_OK;
}
static int32_t sasl_var_get(struct heddle_call *c, slice_t name, slice_t *out)
{
	(void)c;
	CHECK(slice_eqs(name, "primary_hostname"));
	*out = SL("mx.test.example");
	return HEDDLE_OK;
}
static void sasl_reason(struct heddle_call *c, int32_t smtp, slice_t shown, slice_t logged)
{
	c->smtp = smtp;
	c->shown = shown;
	c->logged = logged;
}
static int32_t sasl_join(struct heddle_call *c, const slice_t *parts, uint32_t count, slice_t *out)
{
	char *p = arena_bytes(c->arena, 4096);
	size_t n = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (parts[i].len)
			memcpy(p + n, parts[i].ptr, parts[i].len);
		n += parts[i].len;
	}
	*out = slice_of(p, n, HEDDLE_SECRET);
	return HEDDLE_OK;
}
static void *sasl_alloc(struct heddle_call *c, uint64_t size, uint32_t align)
{
	(void)align;
	return arena_bytes(c->arena, (size_t)size);
}
static int32_t sasl_random(struct heddle_call *c, void *buf, uint64_t n)
{
	(void)c;
	FILE *f = fopen("/dev/urandom", "rb");
	MUST(f && fread(buf, 1, (size_t)n, f) == n);
	(void)fclose(f);
	return HEDDLE_OK;
}
static int32_t sasl_digest(
    struct heddle_call *c, uint32_t algo, slice_t key, slice_t in, slice_t *out)
{
	Hmac h;
	char *sum = arena_bytes(c->arena, 16);
	CHECK_EQ_INT(algo, HEDDLE_MD5);
	MUST(wc_HmacInit(&h, NULL, INVALID_DEVID) == 0);
	MUST(wc_HmacSetKey(&h, WC_MD5, (const byte *)key.ptr, key.len) == 0);
	MUST(wc_HmacUpdate(&h, (const byte *)in.ptr, in.len) == 0);
	MUST(wc_HmacFinal(&h, (byte *)sum) == 0);
	wc_HmacFree(&h);
	*out = slice_of(sum, 16, HEDDLE_SECRET);
	return HEDDLE_OK;
}
static int32_t sasl_same(slice_t a, slice_t b)
{
	return slice_eq(a, b);
}

static const struct heddle_host sasl_host = {.struct_size = sizeof sasl_host,
    .opt_text = sasl_opt_text,
    .opt_int = sasl_opt_int,
    .item = sasl_item,
    .compile = sasl_compile,
    .expand = sasl_expand,
    .var_set = sasl_var_set,
    .var_get = sasl_var_get,
    .reason = sasl_reason,
    .join = sasl_join,
    .alloc = sasl_alloc,
    .random = sasl_random,
    .digest = sasl_digest,
    .same = sasl_same};

static const struct heddle_driver *sasl_driver(const char *name)
{
	char exe[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	(void)snprintf(path, sizeof path, "%s/../../../drivers/auth/%s.so", dirname(exe), name);
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		printf("# %s\n", dlerror());
	const struct heddle_driver *d = object ? dlsym(object, "heddle_driver_v1") : NULL;
	MUST(d != NULL);
	return d;
}

/* The index of an option of the driver's. */
static uint32_t sasl_option(const struct heddle_driver *d, const char *name)
{
	for (uint32_t i = 0; i < d->option_count; i++)
		if (strcmp(d->options[i].name, name) == 0)
			return i;
	MUST(false);
	return 0;
}

static void sasl_forget(struct heddle_call *c)
{
	for (size_t i = 0; i < sizeof c->auth / sizeof *c->auth; i++)
		c->auth[i] = slice_absent();
	c->numbered = 0;
	c->smtp = 0;
	c->shown = c->logged = slice_absent();
}

#define NONE                              \
	{                                 \
		NULL, 0, HEDDLE_ABSENT, 0 \
	}
#define GIVEN(lit)                         \
	{                                  \
		lit, sizeof(lit) - 1, 0, 0 \
	}
#endif
