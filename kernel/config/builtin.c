/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Builtin macros: each is defined from the day that what it names works.  _OPT_ come from the
 * options' rows, _DRIVER_ from the heads of the installed drivers (no code of them runs), _HAVE_
 * from the table below and the lookups' heads.
 */
#include "config/config_private.h"
#include "driver/driver.h"

static const char *const have[] = {"_HAVE_IPV6", "_HAVE_I18N", "_HAVE_PIPE_CONNECT", "_HAVE_PRDR",
    "_HAVE_TLS", "_HAVE_TLS_ALPN", "_HAVE_TLS_OCSP", "_HAVE_TLS_OCSP_LIST"};

static const struct {
	const char *prefix;
	const struct option_table *table;
} option_classes[] = {
    {"_OPT_MAIN_", &options_main},
    {"_OPT_ROUTERS_", &options_router},
    {"_OPT_TRANSPORTS_", &options_transport},
    {"_OPT_AUTHENTICATORS_", &options_auth},
};
static const struct {
	const char *prefix;
	uint16_t driver_class;
} driver_classes[] = {
    {"_DRIVER_ROUTER_", HEDDLE_ROUTER},
    {"_DRIVER_TRANSPORT_", HEDDLE_TRANSPORT},
    {"_DRIVER_AUTHENTICATOR_", HEDDLE_AUTH},
    {"_HAVE_LOOKUP_", HEDDLE_LOOKUP},
};
static const struct {
	const char *prefix;
	uint16_t driver_class;
} private_classes[] = {
    {"_OPT_ROUTER_", HEDDLE_ROUTER},
    {"_OPT_TRANSPORT_", HEDDLE_TRANSPORT},
    {"_OPT_AUTHENTICATOR_", HEDDLE_AUTH},
};
#define COUNT(x) (sizeof(x) / sizeof(x)[0])

/* The macro's tail is the name in upper case, and only that. */
static bool is_upper_of(slice_t tail, slice_t name)
{
	for (uint32_t i = 0; i < tail.len; i++)
		if (tail.ptr[i] >= 'a' && tail.ptr[i] <= 'z')
			return false;
	return slice_eqi(tail, name);
}

static bool option_is_there(const struct option_table *t, slice_t tail)
{
	for (uint32_t i = 0; i < t->count; i++)
		if ((!t->support || t->support[i] == OPT_FULL) &&
		    is_upper_of(tail, slice_cstr(t->rows[i].name)))
			return true;
	return false;
}

/* NAME of a macro as a driver's name: small letters; empty: the macro is not all capitals. */
static slice_t lower(struct arena *a, slice_t tail)
{
	slice_t name = arena_dup(a, tail);
	char *bytes = arena_cstr(a, tail);
	for (uint32_t i = 0; i < tail.len; i++) {
		if (bytes[i] >= 'a' && bytes[i] <= 'z')
			return slice_sub(name, 0, 0);
		bytes[i] = ascii_lower(bytes[i]);
	}
	name.ptr = bytes;
	return name;
}

static bool driver_is_there(struct drivers *d, uint16_t driver_class, slice_t tail)
{
	struct arena *a = arena_new(0);
	struct vec found = {0};
	const struct driver *drv;
	slice_t name = lower(a, tail);
	bool yes = false;
	drivers_list(d, driver_class, a, &found);
	VEC_FOREACH(&found, struct driver_listing, it)
	yes |= it->readable && slice_eq(name, it->name);
	/* drivers that were only described stand in no folder */
	yes = yes ||
	      (!found.count && name.len && driver_find(d, driver_class, name, &drv, NULL) == RC_OK);
	arena_free(&a);
	return yes;
}

/* _OPT_ROUTER_REDIRECT_DATA: the only ones for which a driver has to be opened.  Names of both may
 * hold underscores. */
static bool private_option_is_there(struct drivers *d, uint16_t driver_class, slice_t tail)
{
	struct arena *a = arena_new(0);
	slice_t name = lower(a, tail);
	bool yes = false;
	for (uint32_t i = 1; i + 1 < name.len && !yes; i++) {
		const struct driver *drv;
		if (name.ptr[i] != '_' ||
		    driver_find(d, driver_class, slice_sub(name, 0, i), &drv, NULL) != RC_OK)
			continue;
		struct option_table t = {.rows = drv->options, .count = drv->option_count};
		yes = option_is_there(&t, slice_sub(tail, i + 1, tail.len));
	}
	arena_free(&a);
	return yes;
}

bool builtin_is_defined(struct drivers *d, slice_t name)
{
	for (size_t i = 0; i < COUNT(have); i++)
		if (slice_eqs(name, have[i]))
			return true;
	for (size_t i = 0; i < COUNT(option_classes); i++)
		if (slice_starts(name, option_classes[i].prefix))
			return option_is_there(option_classes[i].table,
			    slice_sub(name, strlen(option_classes[i].prefix), name.len));
	for (size_t i = 0; d && i < COUNT(driver_classes); i++)
		if (slice_starts(name, driver_classes[i].prefix))
			return driver_is_there(d, driver_classes[i].driver_class,
			    slice_sub(name, strlen(driver_classes[i].prefix), name.len));
	for (size_t i = 0; d && i < COUNT(private_classes); i++)
		if (slice_starts(name, private_classes[i].prefix))
			return private_option_is_there(d, private_classes[i].driver_class,
			    slice_sub(name, strlen(private_classes[i].prefix), name.len));
	return false;
}

static void list_one(struct arena *a, struct vec *out, const char *prefix, slice_t name)
{
	char *text = arena_cstr(a, arena_printf(a, "%s%.*s", prefix, SL_ARG(name)));
	for (char *p = text; *p; p++)
		*p = ascii_upper(*p);
	*VEC_PUSH(a, out, slice_t) = slice_cstr(text);
}

void builtin_list(struct drivers *d, struct arena *a, struct vec *out)
{
	for (size_t i = 0; i < COUNT(have); i++)
		list_one(a, out, "", slice_cstr(have[i]));
	for (size_t i = 0; i < COUNT(option_classes); i++) {
		const struct option_table *t = option_classes[i].table;
		for (uint32_t k = 0; k < t->count; k++)
			if (t->support[k] == OPT_FULL)
				list_one(
				    a, out, option_classes[i].prefix, slice_cstr(t->rows[k].name));
	}
	for (size_t i = 0; d && i < COUNT(driver_classes); i++) {
		struct vec found = {0};
		drivers_list(d, driver_classes[i].driver_class, a, &found);
		VEC_FOREACH(&found, struct driver_listing, it)
		if (it->readable)
			list_one(a, out, driver_classes[i].prefix, it->name);
	}
}
