/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/check: what a head, a descriptor and an option table must be.  Numbers of the checks:
 * abi/README.md. Nothing here runs code of the driver; check_ops and check_option read its tables
 * once it is mapped.
 */
#include "driver/loader_parts.h"

#define END_OF(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
/* what was there in 1.0; a driver built later may have more */
#define DESCRIPTOR_MIN END_OF(struct heddle_driver, extension)
#define OPTION_MIN     END_OF(struct heddle_option, reserved)
#define FLAGS_KNOWN \
	(HEDDLE_F_BLOCKS | HEDDLE_F_CPU | HEDDLE_F_SERIAL | HEDDLE_F_ISOLATE | HEDDLE_F_NET)
#define FLAGS_MUST_KNOW UINT64_C(0xffffffff)
#define OPTION_FLAGS                                                             \
	(HEDDLE_O_EXPAND | HEDDLE_O_SECRET | HEDDLE_O_REQUIRED | HEDDLE_O_MAIN | \
	    HEDDLE_O_UNTAINTED | HEDDLE_O_DEPRECATED | HEDDLE_O_SERVER | HEDDLE_O_CLIENT)
#define OPTIONS_MAX 1000U

static const char *const class_names[] = {
    [HEDDLE_AUTH] = "auth",
    [HEDDLE_ROUTER] = "router",
    [HEDDLE_TRANSPORT] = "transport",
    [HEDDLE_LOOKUP] = "lookup",
};

const char *driver_class_name(uint16_t driver_class)
{
	size_t n = sizeof class_names / sizeof *class_names;
	const char *name = driver_class < n ? class_names[driver_class] : NULL;
	return name ? name : "unknown class";
}

static bool is_text(const char *s, size_t cap)
{
	return memchr(s, '\0', cap) != NULL;
}

bool driver_head_is_named(const struct heddle_driver *head, slice_t name)
{
	if (!is_text(head->name, sizeof head->name) ||
	    !is_text(head->aliases, sizeof head->aliases))
		return false;
	if (slice_eqs(name, head->name))
		return true;
	slice_t rest = slice_cstr(head->aliases), alias;
	while (slice_next(&rest, ' ', &alias))
		if (alias.len && slice_eq(alias, name))
			return true;
	return false;
}

static enum rc check_version(const struct heddle_driver *h, struct error *err)
{
	if (h->abi_major == HEDDLE_ABI_MAJOR && h->abi_minor <= HEDDLE_ABI_MINOR)
		return RC_OK;
	if (h->abi_major != HEDDLE_ABI_MAJOR)
		return error_set(err, RC_ERROR,
		    "ABI %u.%u, wanted %d.0 to %d.%d: rebuild it for major %d",
		    (unsigned)h->abi_major, (unsigned)h->abi_minor, HEDDLE_ABI_MAJOR,
		    HEDDLE_ABI_MAJOR, HEDDLE_ABI_MINOR, HEDDLE_ABI_MAJOR);
	return error_set(err, RC_ERROR,
	    "ABI %u.%u, wanted %d.0 to %d.%d: upgrade heddle, or rebuild with "
	    "-DHEDDLE_ABI_TARGET=%d",
	    (unsigned)h->abi_major, (unsigned)h->abi_minor, HEDDLE_ABI_MAJOR, HEDDLE_ABI_MAJOR,
	    HEDDLE_ABI_MINOR, HEDDLE_ABI_MINOR);
}

enum rc driver_check_head(
    const struct heddle_driver *h, uint16_t driver_class, slice_t name, struct error *err)
{
	enum rc rc = check_version(h, err);
	if (rc != RC_OK)
		return rc;
	if (h->driver_class != driver_class)
		return error_set(err, RC_ERROR, "class %s, wanted %s",
		    driver_class_name(h->driver_class), driver_class_name(driver_class));
	if (!driver_head_is_named(h, name))
		return error_set(err, RC_ERROR, "is named \"%.*s\", wanted \"%.*s\"",
		    (int)strnlen(h->name, sizeof h->name), h->name, SL_ARG(name));
	if (!is_text(h->version, sizeof h->version) || !is_text(h->licence, sizeof h->licence) ||
	    !is_text(h->author, sizeof h->author))
		return error_set(err, RC_ERROR, "version, licence or author has no end");
	uint64_t unknown = h->flags & FLAGS_MUST_KNOW & ~FLAGS_KNOWN;
	if (unknown)
		return error_set(err, RC_ERROR,
		    "needs flag bits 0x%llx that this kernel does not know",
		    (unsigned long long)unknown);
	if (h->flags & (HEDDLE_F_ISOLATE | HEDDLE_F_SERIAL))
		return error_set(err, RC_ERROR, "must be isolated: set isolate = true");
	if (h->struct_size < DESCRIPTOR_MIN)
		return error_set(err, RC_ERROR, "descriptor of %lu bytes, wanted at least %zu",
		    (unsigned long)h->struct_size, DESCRIPTOR_MIN);
	return RC_OK;
}

/* Which operations a class must have: rows are checked in order, a row only if `when` is present
 * (or is 0). */
struct must_have {
	uint16_t driver_class;
	size_t when, member; /* offsets of function pointers */
	const char *name;
};
#define ROW(cls, type, when, member)                                \
	{                                                           \
		cls, (when), offsetof(struct type, member), #member \
	}
static const struct must_have must_have[] = {
    ROW(HEDDLE_AUTH, heddle_auth_ops, offsetof(struct heddle_auth_ops, server_begin), server_step),
    ROW(HEDDLE_AUTH, heddle_auth_ops, offsetof(struct heddle_auth_ops, client_begin), client_step),
    ROW(HEDDLE_ROUTER, heddle_router_ops, 0, route),
    ROW(HEDDLE_TRANSPORT, heddle_transport_ops, 0, deliver),
    ROW(HEDDLE_LOOKUP, heddle_lookup_ops, 0, find),
    ROW(HEDDLE_LOOKUP, heddle_lookup_ops, offsetof(struct heddle_lookup_ops, open), close),
};

static const size_t ops_min[] = {
    [HEDDLE_AUTH] = END_OF(struct heddle_auth_ops, end),
    [HEDDLE_ROUTER] = END_OF(struct heddle_router_ops, route),
    [HEDDLE_TRANSPORT] = END_OF(struct heddle_transport_ops, probe),
    [HEDDLE_LOOKUP] = END_OF(struct heddle_lookup_ops, close),
};

static bool has_operation(const void *ops, size_t member)
{
	void (*fn)(void) = NULL;
	memcpy(&fn, (const char *)ops + member, sizeof fn);
	return fn != NULL;
}

static enum rc check_kind(const struct heddle_driver *d, struct error *err)
{
	if (d->driver_class == HEDDLE_AUTH) {
		const struct heddle_auth_ops *ops = d->ops;
		if (!ops->server_begin && !ops->client_begin && !ops->server_implicit)
			return error_set(err, RC_ERROR,
			    "operation server_begin is missing (and client_begin, and "
			    "server_implicit)");
	}
	if (d->driver_class == HEDDLE_TRANSPORT) {
		uint32_t kind = ((const struct heddle_transport_ops *)d->ops)->kind;
		if (kind != HEDDLE_TR_LOCAL && kind != HEDDLE_TR_REMOTE)
			return error_set(
			    err, RC_ERROR, "kind 0x%x, wanted LOCAL or REMOTE", (unsigned)kind);
	}
	if (d->driver_class == HEDDLE_LOOKUP) {
		const struct heddle_lookup_ops *ops = d->ops;
		if (!(ops->kind & HEDDLE_L_KEY) == !(ops->kind & HEDDLE_L_QUERY))
			return error_set(
			    err, RC_ERROR, "kind 0x%x, wanted KEY or QUERY", (unsigned)ops->kind);
		if (!(ops->kind & HEDDLE_L_QUERY) && !ops->open)
			return error_set(err, RC_ERROR, "operation open is missing");
	}
	return RC_OK;
}

enum rc driver_check_ops(const struct heddle_driver *d, struct error *err)
{
	uint32_t size = 0;
	if (d->ops)
		memcpy(&size, d->ops, sizeof size);
	if (size < ops_min[d->driver_class])
		return error_set(err, RC_ERROR, "operations of %lu bytes, wanted at least %zu",
		    (unsigned long)size, ops_min[d->driver_class]);
	if (!d->instance_new != !d->instance_free)
		return error_set(err, RC_ERROR, "operation %s is missing",
		    d->instance_new ? "instance_free" : "instance_new");
	for (size_t i = 0; i < sizeof must_have / sizeof *must_have; i++) {
		const struct must_have *m = &must_have[i];
		if (m->driver_class != d->driver_class ||
		    (m->when && !has_operation(d->ops, m->when)))
			continue;
		if (!has_operation(d->ops, m->member))
			return error_set(err, RC_ERROR, "operation %s is missing", m->name);
	}
	enum rc rc = check_kind(d, err);
	if (rc != RC_OK)
		return rc;
	if (d->option_count && (!d->options || d->option_size < OPTION_MIN))
		return error_set(err, RC_ERROR, "options of %lu bytes, wanted at least %zu",
		    (unsigned long)(d->options ? d->option_size : 0), OPTION_MIN);
	if (d->option_count > OPTIONS_MAX)
		return error_set(err, RC_ERROR, "%lu options, wanted at most %u",
		    (unsigned long)d->option_count, OPTIONS_MAX);
	return RC_OK;
}

static bool is_bool(slice_t s)
{
	return slice_eqis(s, "true") || slice_eqis(s, "false") || slice_eqis(s, "yes") ||
	       slice_eqis(s, "no");
}

static bool is_one_of(slice_t s, const char *words)
{
	slice_t rest = slice_cstr(words), word;
	while (slice_next(&rest, '|', &word))
		if (word.len && slice_eq(word, s))
			return true;
	return false;
}

/* NULL: fits; else what it should have been. */
static const char *default_problem(const struct heddle_option *o)
{
	slice_t text = slice_cstr(o->initial);
	int64_t n = 0;
	/* an expandable default may be anything; it is compiled with the section that uses it */
	if (slice_is_absent(text) ||
	    (o->flags & HEDDLE_O_EXPAND && slice_find(text, '$') != SIZE_MAX))
		return NULL;
	switch (o->type) {
	case HEDDLE_T_BOOL:
		return is_bool(text) ? NULL : "a boolean";
	case HEDDLE_T_INT:
		return slice_to_i64(text, 0, true, &n) ? NULL : "an integer";
	case HEDDLE_T_OCTAL:
		return slice_to_i64(text, 8, false, &n) && n >= 0 ? NULL : "an octal number";
	case HEDDLE_T_SIZE:
		return slice_to_i64(text, 0, true, &n) && n >= 0 ? NULL : "a size";
	case HEDDLE_T_TIME:
		return slice_to_ms(text, &n) ? NULL : "a time";
	case HEDDLE_T_ENUM:
		return is_one_of(text, o->type_arg) ? NULL : "one of its words";
	default:
		return NULL;
	}
}

static bool is_group(const char *name)
{
	return is_one_of(slice_cstr(name), "tls_client|smtp_client|socks");
}

enum rc driver_check_option(const struct heddle_option *earlier, uint32_t i,
    const struct heddle_option *o, const char *const *generic_names, struct error *err)
{
	const char *name = o->name ? o->name : "";
	if (!driver_name_is_valid(slice_cstr(name)) &&
	    strlen(name) < sizeof((struct heddle_driver *)0)->name)
		return error_set(err, RC_ERROR, "option %lu \"%s\": name is not [a-z][a-z0-9_]*",
		    (unsigned long)i, name);
	if (o->type < HEDDLE_T_BOOL || o->type > HEDDLE_T_GROUP)
		return error_set(err, RC_ERROR, "option %lu \"%s\": type %lu is unknown",
		    (unsigned long)i, name, (unsigned long)o->type);
	if (o->flags & ~(uint32_t)OPTION_FLAGS)
		return error_set(err, RC_ERROR, "option %lu \"%s\": flag bits 0x%lx are unknown",
		    (unsigned long)i, name, (unsigned long)(o->flags & ~(uint32_t)OPTION_FLAGS));
	if (o->type == HEDDLE_T_ENUM && (!o->type_arg || !o->type_arg[0]))
		return error_set(err, RC_ERROR, "option %lu \"%s\": has no words to choose from",
		    (unsigned long)i, name);
	if (o->type == HEDDLE_T_GROUP && !is_group(name))
		return error_set(
		    err, RC_ERROR, "option %lu \"%s\": group is unknown", (unsigned long)i, name);
	const char *wanted = default_problem(o);
	if (wanted)
		return error_set(err, RC_ERROR, "option %lu \"%s\": default \"%s\" is not %s",
		    (unsigned long)i, name, o->initial, wanted);
	for (const char *const *g = generic_names; g && *g; g++)
		if (strcmp(*g, name) == 0)
			return error_set(err, RC_ERROR,
			    "option %lu \"%s\": is also a generic option", (unsigned long)i, name);
	for (uint32_t k = 0; k < i; k++)
		if (strcmp(earlier[k].name, name) == 0)
			return error_set(err, RC_ERROR, "option %lu \"%s\": occurs twice",
			    (unsigned long)i, name);
	return RC_OK;
}
