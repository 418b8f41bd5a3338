/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/services: the core host table as the kernel fills it in: what reads options, expands,
 * looks up and logs.  What needs no configuration is in services_basic.c.  Each service runs on the
 * thread and under the eval of its call; a service that fails has given the reason before it
 * returns.
 */
#include "driver/call.h"
#include "driver/lookup.h"

#include "log/log.h"
#include "net/tls/tls.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TYPE_MAX 256U

static int32_t from_rc(struct heddle_call *c, enum rc rc, const struct error *e)
{
	return rc == RC_OK ? HEDDLE_OK : call_refuse(c, (int32_t)rc, "%s", e->text);
}

static struct eval *eval_of(struct heddle_call *c)
{
	if (!c->eval)
		(void)call_refuse(
		    c, HEDDLE_ERROR, "no expansion is possible while a driver is loaded");
	return c->eval;
}

/* ---- logging
 * ------------------------------------------------------------------------------------------ */

static struct log *log_of(const struct heddle_call *c)
{
	return c->services ? c->services->log : NULL;
}

static enum log_debug debug_category(const struct heddle_call *c)
{
	static const enum log_debug of_class[] = {
	    [HEDDLE_AUTH] = LOG_D_AUTH,
	    [HEDDLE_ROUTER] = LOG_D_ROUTE,
	    [HEDDLE_TRANSPORT] = LOG_D_TRANSPORT,
	    [HEDDLE_LOOKUP] = LOG_D_LOOKUP,
	};
	uint16_t cls = c->instance && c->instance->driver ? c->instance->driver->head.driver_class
	                                                  : HEDDLE_LOOKUP;
	return cls < sizeof of_class / sizeof *of_class ? of_class[cls] : LOG_D_LOOKUP;
}

static int32_t host_debugging(struct heddle_call *c)
{
	return log_debugging(log_of(c), debug_category(c));
}

static void host_log(struct heddle_call *c, uint32_t level, slice_t text)
{
	struct log *log = log_of(c);
	slice_t id = c->eval && c->eval->message ? c->eval->message->id : slice_absent();
	if (text.len == UINT32_MAX || (text.len && !text.ptr))
		return;
	if (text.flags & HEDDLE_SECRET)
		text = SL("<secret>");
	if (level == HEDDLE_LOG_DEBUG)
		log_debug(log, debug_category(c), "%.*s", SL_ARG(text));
	else if (level == HEDDLE_LOG_MAIN)
		log_main(log, id, "%.*s", SL_ARG(text));
	else if (level == HEDDLE_LOG_WARN)
		log_main(log, id, "Warning: %.*s", SL_ARG(text));
	else
		log_panic(log, id, "%.*s", SL_ARG(text));
}

/* ---- options
 * ------------------------------------------------------------------------------------------ */

static const struct option_value *option(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i)
{
	if (inst && inst->driver && inst->own && i < inst->driver->option_count && inst->own[i].row)
		return &inst->own[i];
	(void)call_refuse(c, HEDDLE_ERROR, "option number %lu does not exist", (unsigned long)i);
	return NULL;
}

static int32_t expand_option(struct heddle_call *c, const struct option_value *v, slice_t *out)
{
	struct error e = {0};
	if (expr_constant(v->expr, out))
		return HEDDLE_OK;
	if (!eval_of(c))
		return HEDDLE_ERROR;
	enum rc rc = expr_eval(c->eval, v->expr, out, &e);
	if (rc != RC_OK)
		(void)error_wrap(&e, rc, "option %s", v->row->name);
	return from_rc(c, rc, &e);
}

/* The number in an expanded text, by the option's type. */
static bool number_in(const struct heddle_option *row, slice_t text, int64_t *out)
{
	text = slice_trim(text);
	switch (row->type) {
	case HEDDLE_T_OCTAL:
		return slice_to_i64(text, 8, false, out);
	case HEDDLE_T_TIME:
		return slice_to_ms(text, out);
	case HEDDLE_T_UID:
	case HEDDLE_T_GID:
		return slice_to_i64(text, 10, false, out);
	case HEDDLE_T_ENUM: {
		slice_t rest = slice_cstr(row->type_arg), word;
		for (int64_t n = 0; slice_next(&rest, '|', &word); n++)
			if (slice_eq(word, text)) {
				*out = n;
				return true;
			}
		return false;
	}
	default:
		return slice_to_i64(text, 0, true, out);
	}
}

/* A UID or GID that is a name. */
static int32_t resolve_account(
    struct heddle_call *c, const struct option_value *v, slice_t name, int64_t *out)
{
	bool group = v->row->type == HEDDLE_T_GID;
	struct error e = {.text = ""};
	int64_t id = -1;
	enum rc rc = group ? services_gid(c->services, c->arena, name, c->deadline_us, &id, &e)
	                   : services_uid(c->services, c->arena, name, c->deadline_us, &id, &e);
	if (rc == RC_FAIL)
		return call_refuse(c, HEDDLE_ERROR, "option %s: there is no %s \"%.*s\"",
		    v->row->name, group ? "group" : "user", SL_ARG(name));
	if (rc == RC_OK)
		*out = id;
	return from_rc(c, rc, &e);
}

static bool is_account(const struct heddle_option *row)
{
	return row->type == HEDDLE_T_UID || row->type == HEDDLE_T_GID;
}

static int32_t expand_number(struct heddle_call *c, const struct option_value *v, int64_t *out)
{
	struct error e = {0};
	slice_t text;
	if (v->row->type == HEDDLE_T_BOOL) {
		bool on = false;
		if (!eval_of(c))
			return HEDDLE_ERROR;
		enum rc rc = expr_eval_bool(c->eval, v->expr, &on, &e);
		if (rc == RC_OK)
			*out = on;
		return from_rc(c, rc, &e);
	}
	int32_t result = expand_option(c, v, &text);
	if (result != HEDDLE_OK)
		return result;
	if (!number_in(v->row, text, out) && is_account(v->row))
		return resolve_account(c, v, text, out);
	if (!number_in(v->row, text, out))
		return call_refuse(c, HEDDLE_ERROR,
		    "option %s expanded to \"%.*s\", which is not a number of its kind",
		    v->row->name, SL_ARG(text));
	return HEDDLE_OK;
}

static int32_t host_opt_int(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, int64_t *out)
{
	const struct option_value *v = option(c, inst, i);
	if (!v)
		return HEDDLE_ERROR;
	if (slice_is_absent(v->text))
		return HEDDLE_FAIL; /* unset: no refusal, so no reason */
	/* config parsed what needs no expansion, a number that folds into a constant it leaves to
	 * us */
	if (v->expr && slice_find(v->text, '$') != SIZE_MAX)
		return expand_number(c, v, out);
	if (is_account(v->row) && v->number < 0)
		return resolve_account(c, v, v->text, out);
	*out = v->number;
	return HEDDLE_OK;
}

static int32_t host_opt_text(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, slice_t *out)
{
	const struct option_value *v = option(c, inst, i);
	if (!v)
		return HEDDLE_ERROR;
	if (slice_is_absent(v->text)) {
		*out = slice_absent();
		return HEDDLE_OK;
	}
	slice_t text = v->text;
	int32_t result = v->expr ? expand_option(c, v, &text) : HEDDLE_OK;
	if (result != HEDDLE_OK)
		return result;
	if ((v->row->flags & HEDDLE_O_UNTAINTED) && text.len && !slice_is_clean(text))
		return call_refuse(c, HEDDLE_ERROR, "Tainted '%.*s' (%s for %.*s %s) not permitted",
		    SL_ARG(text), v->row->name, SL_ARG(inst->name),
		    driver_class_name(inst->driver->head.driver_class));
	if (v->row->flags & HEDDLE_O_SECRET)
		text.flags |= HEDDLE_SECRET;
	*out = text;
	return HEDDLE_OK;
}

static int32_t host_opt_match(struct heddle_call *c, const struct heddle_instance *inst, uint32_t i,
    slice_t subject, slice_t *data)
{
	const struct option_value *v = option(c, inst, i);
	struct error e = {0};
	enum rc rc = RC_ERROR;
	if (!v || !eval_of(c))
		return HEDDLE_ERROR;
	if (!v->list)
		return HEDDLE_FAIL;
	const struct match_host host = {.address = subject, .name = slice_absent()};
	switch (v->row->type) {
	case HEDDLE_T_DOMAINS:
		rc = match_domain(c->eval, v->list, subject, data, &e);
		break;
	case HEDDLE_T_HOSTS:
		rc = match_host(c->eval, v->list, &host, data, &e);
		break;
	case HEDDLE_T_ADDRESSES:
		rc = match_address(c->eval, v->list, subject, data, &e);
		break;
	case HEDDLE_T_LOCALPARTS:
		rc = match_local_part(c->eval, v->list, subject, data, &e);
		break;
	default:
		return call_refuse(
		    c, HEDDLE_ERROR, "option %s is not a list to match against", v->row->name);
	}
	/* not on the list is an answer, not a refusal */
	return rc == RC_FAIL ? HEDDLE_FAIL : from_rc(c, rc, &e);
}

static slice_t host_instance_name(const struct heddle_instance *inst)
{
	return inst ? inst->name : slice_absent();
}

/* ---- lists, expansion, variables
 * ----------------------------------------------------------------------- */

static int32_t host_item(struct heddle_call *c, slice_t list, uint64_t *pos, slice_t *out)
{
	return expand_list_next(c->arena, list, pos, out) ? HEDDLE_OK : HEDDLE_FAIL;
}

static int32_t host_compile(
    struct heddle_call *c, slice_t text, uint64_t forbid, struct heddle_expr **out)
{
	/* what can do nothing but read variables may be anybody's */
	if (!slice_is_clean(text) && text.len && (forbid & HEDDLE_FORBID_ALL) != HEDDLE_FORBID_ALL)
		return call_refuse(
		    c, HEDDLE_ERROR, "attempt to expand tainted string '%.*s'", SL_ARG(text));
	const struct heddle_instance *inst = c->instance;
	const struct expr_env env = {
	    .cfg = c->eval ? c->eval->cfg
	           : inst  ? inst->cfg
	                   : NULL,
	    .file = inst ? inst->file : NULL,
	    .line = inst ? inst->line : 0,
	    .forbid = forbid | (c->eval ? c->eval->forbid : 0),
	};
	struct error e = {0};
	const struct expr *x = NULL;
	enum rc rc = expr_compile(c->arena, text, &env, &x, &e);
	if (rc == RC_OK)
		memcpy(out, &x,
		    sizeof *out); /* struct heddle_expr is the drivers' name of struct expr */
	return from_rc(c, rc, &e);
}

static int32_t host_expand(struct heddle_call *c, const struct heddle_expr *x, slice_t *out)
{
	struct error e = {0};
	const void *expr = x;
	if (!eval_of(c))
		return HEDDLE_ERROR;
	return from_rc(c, expr_eval(c->eval, expr, out, &e), &e);
}

static int32_t host_var_get(struct heddle_call *c, slice_t name, slice_t *out)
{
	struct error e = {0};
	if (!eval_of(c))
		return HEDDLE_ERROR;
	return from_rc(c, expand_variable(c->eval, name, out, &e), &e);
}

static int32_t host_var_set(struct heddle_call *c, slice_t name, slice_t value)
{
	struct error e = {0};
	if (!eval_of(c))
		return HEDDLE_ERROR;
	enum rc rc = expand_variable_set(c->eval, name, value, &e);
	return from_rc(c, rc == RC_FAIL ? RC_ERROR : rc, &e);
}

/* ---- lookups
 * -------------------------------------------------------------------------------------------- */

static int32_t host_lookup(
    struct heddle_call *c, slice_t type, slice_t source, slice_t text, slice_t *out)
{
	struct error e = {0};
	struct lookup_type t;
	if (!eval_of(c))
		return HEDDLE_ERROR;
	if (!c->eval->cfg || type.len > TYPE_MAX)
		return call_refuse(c, HEDDLE_ERROR, "no lookup is possible here");
	enum rc rc = lookup_type_parse(config_drivers(c->eval->cfg), c->arena, type, &t, &e);
	if (rc == RC_OK)
		rc = lookup_run(c->eval, &t, source, text, out, &e);
	return from_rc(c, rc, &e);
}

/* ---- TLS ---- */

static const struct {
	size_t in, out; /* of a slice in the facts of the session, of the host */
} tls_rows[] = {
#define TLS_FACT(field)                                          \
	{                                                        \
		offsetof(struct session_facts, tls_in_##field),  \
		    offsetof(struct host_facts, tls_out_##field) \
	}
    [HEDDLE_TLS_VERSION] = TLS_FACT(ver),
    [HEDDLE_TLS_CIPHER] = TLS_FACT(cipher),
    [HEDDLE_TLS_SNI] = TLS_FACT(sni),
    [HEDDLE_TLS_PEER_DN] = TLS_FACT(peerdn),
    [HEDDLE_TLS_PEER_DER] = TLS_FACT(peercert),
    [HEDDLE_TLS_OWN_DER] = TLS_FACT(ourcert),
    [HEDDLE_TLS_ALPN] = TLS_FACT(alpn),
    [HEDDLE_TLS_CB_EXPORTER] = TLS_FACT(binding[TLS_BINDING_EXPORTER]),
    [HEDDLE_TLS_CB_UNIQUE] = TLS_FACT(binding[TLS_BINDING_UNIQUE]),
    [HEDDLE_TLS_CB_ENDPOINT] = TLS_FACT(binding[TLS_BINDING_END_POINT]),
#undef TLS_FACT
};

/* A connection of a driver's own (conn) has no TLS that we speak; NULL is the session the call is
 * for: towards a host if there is one, else the client's. */
static int32_t host_tls_fact(
    struct heddle_call *c, struct heddle_conn *conn, uint32_t which, slice_t *out)
{
	const struct session_facts *s = c->eval ? c->eval->session : NULL;
	const struct host_facts *h = c->eval ? c->eval->host : NULL;
	bool outward = h && h->tls_out_cipher.len;
	if (conn || (!outward && (!s || !s->tls_in_cipher.len)))
		return HEDDLE_FAIL;
	if (which == HEDDLE_TLS_VERIFIED) {
		bool yes =
		    outward ? h->tls_out_certificate_verified : s->tls_in_certificate_verified;
		*out = yes ? SL("1") : SL("0");
		return HEDDLE_OK;
	}
	if (which == HEDDLE_TLS_BITS) {
		*out = arena_printf(
		    c->arena, "%lld", (long long)(outward ? h->tls_out_bits : s->tls_in_bits));
		return HEDDLE_OK;
	}
	if (which >= sizeof tls_rows / sizeof tls_rows[0] || !tls_rows[which].in)
		return call_refuse(c, HEDDLE_ERROR, "there is no such fact of TLS");
	slice_t v;
	memcpy(&v,
	    outward ? (const char *)h + tls_rows[which].out : (const char *)s + tls_rows[which].in,
	    sizeof v);
	if (slice_is_absent(v) || v.len == 0)
		return HEDDLE_FAIL;
	*out = v;
	return HEDDLE_OK;
}

static int32_t user_by_name(struct heddle_call *c, slice_t login, struct heddle_user *out)
{
	struct services *s = c->services;
	struct user_info info;
	struct error e = {.text = ""};

	if (!s || !s->find_user)
		return call_refuse(c, HEDDLE_DEFER, "nobody here knows users");
	enum rc rc = s->find_user(s, c->arena, login, c->deadline_us, &info, &e);
	if (rc != RC_OK)
		return from_rc(c, rc, &e);
	out->uid = (uint32_t)info.uid;
	out->gid = (uint32_t)info.gid;
	out->name = info.name;
	out->gecos = info.gecos;
	out->home = info.home;
	out->shell = info.shell;
	return HEDDLE_OK;
}

static const struct heddle_user_service user_service = {
    .struct_size = sizeof user_service, .by_name = user_by_name};

/* ---- further services by id
 * ------------------------------------------------------------------------------ */

static const struct service_row {
	const char *id;
	size_t member; /* offset in struct services of the pointer to its table */
} service_rows[] = {
    {HEDDLE_ROUTING_ID, offsetof(struct services, routing)},
    {HEDDLE_DELIVERY_ID, offsetof(struct services, delivery)},
    {HEDDLE_MESSAGE_ID, offsetof(struct services, message)},
    {HEDDLE_SPAWN_ID, offsetof(struct services, spawn)},
    {HEDDLE_FILE_ID, offsetof(struct services, file)},
    {HEDDLE_USER_ID, offsetof(struct services, user)},
    {HEDDLE_DNS_ID, offsetof(struct services, dns)},
    {HEDDLE_NET_ID, offsetof(struct services, net)},
    {HEDDLE_HINTS_ID, offsetof(struct services, hints)},
};

static const void *find_service(const struct services *s, const char *id)
{
	for (size_t i = 0; id && i < sizeof service_rows / sizeof *service_rows; i++) {
		const void *table = NULL;
		if (strcmp(service_rows[i].id, id) != 0)
			continue;
		memcpy(&table, (const char *)s + service_rows[i].member, sizeof table);
		return table;
	}
	return NULL;
}

static const void *host_service(const struct heddle_host *host, const char *id)
{
	const void *self = host; /* the host table is a struct services' first member */
	const struct services *s = self;
	return s->find_service(s, id);
}

void services_init(struct services *s)
{
	struct heddle_host *h = &s->host;
	services_init_basic(h);
	h->release = "heddle";
	h->service = host_service;
	h->debugging = host_debugging;
	h->log = host_log;
	h->opt_int = host_opt_int;
	h->opt_text = host_opt_text;
	h->opt_match = host_opt_match;
	h->instance_name = host_instance_name;
	h->item = host_item;
	h->compile = host_compile;
	h->expand = host_expand;
	h->var_get = host_var_get;
	h->var_set = host_var_set;
	h->lookup = host_lookup;
	h->tls_fact = host_tls_fact;
	h->digest = services_digest;
	s->find_service = find_service;
	s->user = &user_service;
	s->never_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void services_fini(struct services *s)
{
	if (s->never_fd >= 0)
		(void)close(s->never_fd);
	s->never_fd = -1;
}
