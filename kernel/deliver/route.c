/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The walk: which router, what it said, what becomes of the address. */
#include "deliver/route.h"

#include "deliver/deliver.h"
#include "log/log.h"
#include "message/message.h"
#include "thread/cancel.h"

#define MAX_ADDRESSES 10000 /* of one run: a list of lists ends somewhere */
#define MAX_DEPTH     100   /* generations */

static slice_t lower(struct arena *a, slice_t s)
{
	char *p = arena_bytes(a, s.len + 1u);

	for (uint32_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	p[s.len] = '\0';
	return slice_of(p, s.len, s.flags);
}

void routing_init(struct routing *r, struct arena *a, struct eval *ev, uint32_t flags)
{
	*r = (struct routing){.arena = a, .eval = ev, .flags = flags};
	r->seen = map_new(a, MAP_EXACT);
}

static struct address *new_address(struct routing *r, slice_t text)
{
	struct address *a = ARENA_NEW(r->arena, struct address);
	struct address_facts *f = &a->facts;
	slice_t none = slice_absent();

	*VEC_PUSH(r->arena, &r->addresses, struct address *) = a;
	a->text = arena_dup(r->arena, text);
	a->errors_to = a->headers_add = a->headers_remove = a->shown = a->logged = a->user_home =
	    none;
	a->uid = a->gid = -1;
	address_facts_clear(f, r->arena);
	if (r->flags & ROUTE_VERIFY)
		f->verify_mode = (r->flags & ROUTE_VERIFY_SENDER) ? SL("S") : SL("R");
	return a;
}

static void split(struct routing *r, struct address *a)
{
	slice_t local, domain;

	if (!address_split_hacked(r->eval, a->text, &local, &domain)) {
		local = a->text;
		domain = slice_sub(a->text, a->text.len, 0);
	}
	a->facts.local_part = local;
	a->facts.domain = lower(r->arena, domain);
}

struct address *routing_add(struct routing *r, slice_t address, uint32_t recipient)
{
	struct address *a = new_address(r, address);

	a->recipient = recipient;
	split(r, a);
	a->facts.original_local_part = a->facts.local_part;
	a->facts.original_domain = a->facts.domain;
	return a;
}

static enum rc fail(struct address *a, enum route_result result, slice_t shown, slice_t logged)
{
	a->result = result;
	a->shown = shown;
	a->logged = logged;
	return RC_OK;
}

/* Same local part and domain as an ancestor? */
bool route_is_ancestor(const struct address *a, slice_t address)
{
	for (; a; a = a->parent)
		if (a->kind == ADDRESS_PLAIN && slice_eqi(a->text, address))
			return true;
	return false;
}

/* A router is not given an address that it has already handled as an ancestor of this one (unless
 * it differs), and with repeat_use off none that descends from one of its own. */
static bool repeat_use(const struct heddle_instance *router)
{
	const struct driver *d = router->driver;

	for (uint32_t i = 0; d && i < d->option_count; i++)
		if (strcmp(d->options[i].name, "repeat_use") == 0)
			return router->own[i].number != 0;
	return true;
}

static bool is_repeat(const struct address *a, const struct heddle_instance *router)
{
	for (const struct address *p = a->parent; p; p = p->parent) {
		if (p->router != router)
			continue;
		if (!repeat_use(router) || slice_eqi(p->text, a->text))
			return true;
	}
	return false;
}

static enum rc expand_option(
    struct route_step *s, enum router_option o, slice_t *out, struct error *err)
{
	const struct option_value *v = &s->router->generic[o];

	*out = slice_absent();
	if (!v->expr)
		return RC_OK;
	enum rc rc = expr_eval(s->run->eval, v->expr, out, err);
	if (rc != RC_OK && rc != RC_FAIL)
		return error_wrap(
		    err, RC_DEFER, "router %.*s: %s", SL_ARG(s->router->name), v->row->name);
	return rc;
}

static slice_t append_text(struct arena *a, slice_t old, slice_t more, char between)
{
	struct strbuf sb;

	if (slice_is_absent(more) || more.len == 0)
		return old;
	if (slice_is_absent(old) || old.len == 0)
		return more;
	strbuf_init(&sb, a, 0);
	strbuf_add(&sb, old);
	if (old.ptr[old.len - 1] != between)
		strbuf_char(&sb, between);
	strbuf_add(&sb, more);
	return strbuf_slice(&sb);
}

/* The whole at once is what nearly always does; only a forced failure asks which of the items it
 * was. */
enum rc route_expand_items(
    struct eval *ev, const struct option_value *o, char between, slice_t *out, struct error *err)
{
	slice_t rest = o->text, item, v;
	uint64_t pos = 0;

	*out = slice_absent();
	if (!o->expr)
		return RC_OK;
	enum rc rc = expr_eval(ev, o->expr, out, err);
	if (rc != RC_FAIL)
		return rc;
	*out = slice_absent();
	while (between == ':' ? expand_list_next(ev->arena, o->text, &pos, &item)
	                      : slice_next(&rest, between, &item)) {
		rc = expand_text(ev, slice_trim(item), &v, err);
		if (rc == RC_OK)
			*out = append_text(ev->arena, *out, v, between);
		else if (rc != RC_FAIL)
			return rc;
	}
	return RC_OK;
}

/* A boolean that may be an expansion; a forced failure leaves the option's default. */
static enum rc bool_option(
    struct route_step *s, enum router_option o, bool initial, bool *out, struct error *err)
{
	const struct option_value *v = &s->router->generic[o];

	*out = v->number != 0;
	if (!v->expr)
		return RC_OK;
	enum rc rc = expr_eval_bool(s->run->eval, v->expr, out, err);
	if (rc == RC_OK)
		return RC_OK;
	*out = initial;
	return rc == RC_FAIL ? RC_OK
	                     : error_wrap(err, RC_DEFER, "router %.*s: %s", SL_ARG(s->router->name),
	                           v->row->name);
}

/* An errors_to that does not verify is as if it were not there: bounces must not go where nobody
 * is.  While it is looked at, the sender is null, as it would be for a bounce. */
static bool errors_to_verifies(struct route_step *s, slice_t to)
{
	static const struct verify_options strict = {.defer_ok = false};
	struct eval *ev = s->run->eval;
	struct message_facts *was = ev->message, bounce;
	slice_t local, domain, shown, logged;
	struct error why;

	if (!address_split(to, &local, &domain))
		return false;
	if (was) {
		bounce = *was;
		bounce.sender_address = SL("");
		ev->message = &bounce;
	}
	bool ok = deliver_verify_address(ev, to, false, &strict, &shown, &logged, &why) == RC_OK;
	ev->message = was;
	return ok;
}

static enum rc apply_errors_to(struct route_step *s, struct address *a, struct error *err)
{
	slice_t v;
	enum rc rc = expand_option(s, RO_errors_to, &v, err);

	if (rc != RC_OK && rc != RC_FAIL)
		return rc;
	if (rc == RC_OK && !slice_is_absent(v) && (v.len == 0 || errors_to_verifies(s, v)))
		a->errors_to = v;
	return RC_OK;
}

/* What an accepting router adds: errors_to and headers. */
static enum rc apply_generic(struct route_step *s, struct address *a, struct error *err)
{
	slice_t v;
	enum rc rc;

	if (s->run->flags & ROUTE_VERIFY)
		return RC_OK;
	rc = apply_errors_to(s, a, err);
	if (rc != RC_OK)
		return rc;
	rc = route_expand_items(s->run->eval, &s->router->generic[RO_headers_add], '\n', &v, err);
	if (rc != RC_OK)
		return error_wrap(
		    err, RC_DEFER, "router %.*s: headers_add", SL_ARG(s->router->name));
	a->headers_add = append_text(s->run->arena, a->headers_add, v, '\n');
	rc = route_expand_items(s->run->eval, &s->router->generic[RO_headers_remove], ':', &v, err);
	if (rc != RC_OK)
		return error_wrap(
		    err, RC_DEFER, "router %.*s: headers_remove", SL_ARG(s->router->name));
	a->headers_remove = append_text(s->run->arena, a->headers_remove, v, ':');
	return RC_OK;
}

/* The transport's name: the driver's word, else the router's option. */
static enum rc set_transport(
    struct route_step *s, const struct heddle_route *out, struct error *err)
{
	struct address *a = s->addr;
	slice_t name = out->transport;

	if (slice_is_absent(name)) {
		enum rc rc = expand_option(s, RO_transport, &name, err);
		if (rc != RC_OK)
			return rc == RC_FAIL ? error_set(err, RC_DEFER,
			                           "router %.*s: transport: forced failure",
			                           SL_ARG(s->router->name))
			                     : rc;
	}
	if (slice_is_absent(name) || name.len == 0) {
		if (s->run->flags & ROUTE_VERIFY)
			return RC_OK; /* a router that only verifies needs none */
		return error_set(
		    err, RC_DEFER, "no transport set in router %.*s", SL_ARG(s->router->name));
	}
	if (!slice_is_clean(name))
		return error_set(err, RC_DEFER,
		    "attempt to use tainted value '%.*s' from '%.*s' for transport", SL_ARG(name),
		    SL_ARG(s->router->name));
	a->transport = config_transport_named(s->run->eval->cfg, name);
	if (!a->transport)
		return error_set(err, RC_DEFER, "transport \"%.*s\" not found in router %.*s",
		    SL_ARG(name), SL_ARG(s->router->name));
	a->facts.transport_name = a->transport->name;
	return RC_OK;
}

/* Local parts differ by case, domains do not. */
static slice_t plain_text(struct routing *r, const struct address *a)
{
	slice_t local, domain;

	if (!address_split(a->text, &local, &domain))
		return a->text;
	return arena_printf(r->arena, "%.*s@%.*s", SL_ARG(local), SL_ARG(lower(r->arena, domain)));
}

/* The same place twice is delivered to once: the key is what makes two of them the same. */
static bool is_duplicate(struct routing *r, struct address *a)
{
	slice_t t = a->transport ? a->transport->name : SL("");
	slice_t key =
	    a->kind == ADDRESS_PLAIN
	        ? arena_printf(r->arena, "a%.*s\n%.*s", SL_ARG(plain_text(r, a)), SL_ARG(t))
	        : arena_printf(r->arena, "%d%.*s\n%u\n%.*s", (int)a->kind, SL_ARG(a->text),
	              a->kind == ADDRESS_PIPE || a->kind == ADDRESS_REPLY
	                  ? (unsigned)(uintptr_t)a->parent
	                  : 0u,
	              SL_ARG(t));

	if (map_get(r->seen, key))
		return true;
	map_put(r->seen, key, a);
	return false;
}

/* "unseen": this one is delivered, and a copy goes on to the next router. */
static void add_unseen_copy(struct route_step *s, const struct heddle_instance **next)
{
	struct address *c = new_address(s->run, s->addr->text);

	c->parent = s->addr->parent;
	c->recipient = s->addr->recipient;
	c->depth = s->addr->depth;
	split(s->run, c);
	c->facts.original_local_part = s->addr->facts.original_local_part;
	c->facts.original_domain = s->addr->facts.original_domain;
	c->facts.parent_local_part = s->addr->facts.parent_local_part;
	c->facts.parent_domain = s->addr->facts.parent_domain;
	c->facts.address_data = s->addr->facts.address_data;
	c->errors_to = s->errors_to;
	c->is_copied = s->addr->is_copied = true;
	c->router = *next;   /* where it goes on: see first_router */
	c->deliver = s->run; /* mark: `router` is where to begin */
}

/* An address that this router takes fails verification all the same: fail_verify_sender,
 * fail_verify_recipient. */
static bool fails_verification(const struct route_step *s)
{
	uint32_t f = s->run->flags;
	enum router_option o =
	    (f & ROUTE_VERIFY_SENDER) ? RO_fail_verify_sender : RO_fail_verify_recipient;

	return (f & ROUTE_VERIFY) && s->router->generic[o].number != 0;
}

static enum rc accept_address(
    struct route_step *s, const struct heddle_route *out, struct error *err)
{
	struct address *a = s->addr;
	enum rc rc;

	if (fails_verification(s))
		return fail(a, ROUTE_FAILED, SL("Unrouteable address"),
		    arena_printf(s->run->arena, "%.*s router forced verify failure",
		        SL_ARG(s->router->name)));
	rc = apply_generic(s, a, err);
	if (rc == RC_OK && !slice_is_absent(out->address_data))
		a->facts.address_data = arena_dup(s->run->arena, out->address_data);
	if (rc == RC_OK)
		rc = set_transport(s, out, err);
	if (rc != RC_OK)
		return rc;
	a->hosts = s->hosts;
	if (s->run_uid >= 0) {
		a->uid = s->run_uid;
		a->gid = s->run_gid;
	}
	a->result = is_duplicate(s->run, a) && !(s->run->flags & ROUTE_VERIFY) ? ROUTE_DUPLICATE
	                                                                       : ROUTE_DELIVER;
	return RC_OK;
}

/* A child that is a file, directory, pipe or reply: its transport comes from the router's own
 * options of these names. */
static enum rc child_transport(struct route_step *s, struct address *c, struct error *err)
{
	static const char *const names[] = {[HEDDLE_C_FILE] = "file_transport",
	    [HEDDLE_C_DIRECTORY] = "directory_transport",
	    [HEDDLE_C_PIPE] = "pipe_transport",
	    [HEDDLE_C_REPLY] = "reply_transport"};
	const struct driver *d = s->router->driver;

	for (uint32_t i = 0; i < d->option_count; i++) {
		const struct option_value *v = &s->router->own[i];
		slice_t name = slice_absent();
		if (!slice_eqs(slice_cstr(names[c->kind]), d->options[i].name))
			continue;
		name = v->text;
		if (v->expr) {
			enum rc rc = expr_eval(s->run->eval, v->expr, &name, err);
			if (rc != RC_OK)
				return error_wrap(err, RC_DEFER, "router %.*s: %s",
				    SL_ARG(s->router->name), names[c->kind]);
		}
		if (slice_is_absent(name))
			break;
		c->transport = config_transport_named(s->run->eval->cfg, name);
		if (!c->transport)
			return error_set(err, RC_DEFER, "%s \"%.*s\" not found in router %.*s",
			    names[c->kind], SL_ARG(name), SL_ARG(s->router->name));
		c->facts.transport_name = c->transport->name;
		return RC_OK;
	}
	return error_set(
	    err, RC_DEFER, "%s unset in router %.*s", names[c->kind], SL_ARG(s->router->name));
}

static enum rc finish_child(struct route_step *s, struct address *c, struct error *err)
{
	struct address *a = s->addr;
	enum rc rc = apply_generic(s, c, err);

	if (rc != RC_OK)
		return rc;
	if (s->run_uid >= 0) {
		c->uid = s->run_uid;
		c->gid = s->run_gid;
	} else if (c->kind != ADDRESS_PLAIN) {
		c->uid = a->uid;
		c->gid = a->gid;
	}
	if (c->kind == ADDRESS_PLAIN)
		return RC_OK;
	c->facts.local_part = a->facts.local_part;
	c->facts.domain = a->facts.domain;
	c->facts.local_part_data = a->facts.local_part_data;
	c->facts.domain_data = a->facts.domain_data;
	c->facts.home = a->facts.home;
	c->user_home = a->user_home;
	c->facts.local_user_uid = a->facts.local_user_uid;
	c->facts.local_user_gid = a->facts.local_user_gid;
	c->facts.address_data = a->facts.address_data;
	c->facts.router_name = s->router->name;
	c->router = s->router;
	if (c->kind == ADDRESS_FILE || c->kind == ADDRESS_DIRECTORY)
		c->facts.address_file = c->text;
	else
		c->facts.address_pipe = c->text;
	if (c->kind == ADDRESS_FILE && slice_eqs(c->text, "/dev/null") &&
	    !(s->run->flags & ROUTE_TEST)) {
		c->result = ROUTE_DISCARDED; /* bypassed: needs neither transport nor user */
		return RC_OK;
	}
	return child_transport(s, c, err);
}

/* A router that ended otherwise than by redirecting has no children, whatever it said on the way.
 * They are the last in the run's list: nobody else adds to it while a router runs. */
static void drop_children(struct route_step *s)
{
	s->run->addresses.count -= s->children.count;
	s->children.count = 0;
}

/* The children were made by the routing service; they have been put in the run's list as it went.
 */
static enum rc redirect_address(struct route_step *s, struct error *err)
{
	struct address *a = s->addr;

	VEC_FOREACH(&s->children, struct address *, it)
	{
		enum rc rc = finish_child(s, *it, err);
		if (rc != RC_OK) {
			drop_children(s);
			return rc;
		}
	}
	/* only now, with all of them good, do they count as seen: what is dropped must not hide
	 * another one */
	VEC_FOREACH(&s->children, struct address *, it)
	if ((*it)->kind != ADDRESS_PLAIN && (*it)->result == ROUTE_UNDONE)
		(*it)->result = is_duplicate(s->run, *it) ? ROUTE_DUPLICATE : ROUTE_DELIVER;
	a->result = s->children.count ? ROUTE_REDIRECTED : ROUTE_DISCARDED;
	return RC_OK;
}

enum walk { WALK_DONE, WALK_NEXT, WALK_PASS };

static slice_t say(struct routing *r, const struct error *err)
{
	return arena_dup(r->arena, slice_cstr(err->text));
}

static enum walk driver_failed(struct route_step *s, enum rc rc, const struct error *why)
{
	struct address *a = s->addr;
	struct heddle_call *c = &s->call;
	slice_t logged =
	    c->reason_given ? arena_dup(s->run->arena, c->reason_logged) : say(s->run, why);
	slice_t shown =
	    c->reason_given ? arena_dup(s->run->arena, c->reason_shown) : slice_absent();

	if (slice_is_absent(logged))
		logged = shown;
	a->smtp_code = c->reason_smtp;
	struct error none;
	if (!(s->run->flags & ROUTE_VERIFY))
		(void)(apply_errors_to(s, a, &none) == RC_OK); /* its bounce goes there too */
	(void)fail(a, rc == RC_FAIL ? ROUTE_FAILED : ROUTE_DEFERRED, shown, logged);
	return WALK_DONE;
}

static enum walk on_verdict(struct route_step *s, const struct heddle_route *out, struct error *err)
{
	struct address *a = s->addr;
	enum rc rc = RC_OK;

	switch (out->verdict) {
	case HEDDLE_R_DECLINE:
		return WALK_NEXT;
	case HEDDLE_R_PASS:
		return WALK_PASS;
	case HEDDLE_R_ACCEPT:
		rc = accept_address(s, out, err);
		break;
	case HEDDLE_R_REROUTE:
		rc = redirect_address(s, err);
		break;
	case HEDDLE_R_DISCARD:
		a->result = ROUTE_DISCARDED;
		break;
	case HEDDLE_R_FREEZE:
		(void)driver_failed(s, RC_DEFER, err);
		a->result = s->self_defers ? ROUTE_DEFERRED : ROUTE_FROZEN;
		return WALK_DONE;
	default:
		rc = error_set(err, RC_DEFER, "router %.*s gave the unknown verdict %u",
		    SL_ARG(s->router->name), out->verdict);
		break;
	}
	if (rc != RC_OK)
		(void)fail(a, ROUTE_DEFERRED, slice_absent(), say(s->run, err));
	return WALK_DONE;
}

static void fill_address(const struct address *a, uint32_t flags, struct heddle_address *out)
{
	const struct address_facts *f = &a->facts;

	*out = (struct heddle_address){.struct_size = sizeof *out,
	    .address = a->text,
	    .local_part = f->local_part,
	    .domain = f->domain,
	    .prefix = f->local_part_prefix,
	    .suffix = f->local_part_suffix,
	    .local_part_data = f->local_part_data,
	    .domain_data = f->domain_data,
	    .depth = a->depth};
	if (flags & ROUTE_VERIFY)
		out->flags |= HEDDLE_A_VERIFY;
	if (flags & ROUTE_VERIFY_SENDER)
		out->flags |= HEDDLE_A_VERIFY_SENDER;
	if (flags & ROUTE_EXPN)
		out->flags |= HEDDLE_A_EXPN;
	if (flags & ROUTE_TEST)
		out->flags |= HEDDLE_A_TEST;
}

/* One `set = r_NAME = value`; a forced failure declines, as the specification says. */
static enum rc set_variables(struct route_step *s, struct error *err)
{
	struct eval *ev = s->run->eval;

	VEC_FOREACH(&s->router->sets, const struct config_set, it)
	{
		slice_t v;
		enum rc rc = expr_eval(ev, it->value, &v, err);
		if (rc == RC_OK)
			rc = expand_variable_set(ev, it->name, v, err);
		if (rc != RC_OK)
			return rc == RC_FAIL ? rc
			                     : error_wrap(err, RC_DEFER, "router %.*s: set",
			                           SL_ARG(s->router->name));
	}
	return RC_OK;
}

/* set, address_data and debug_print are evaluated when the preconditions hold, before the driver
 * runs. */
static enum rc before_driver(struct route_step *s, struct error *err)
{
	slice_t v = slice_absent();
	enum rc rc = set_variables(s, err);

	if (rc == RC_OK)
		rc = expand_option(s, RO_address_data, &v, err);
	if (rc == RC_OK && !slice_is_absent(v))
		s->addr->facts.address_data = v;
	if (rc == RC_OK &&
	    log_debugging(s->call.services ? s->call.services->log : NULL, LOG_D_ROUTE) &&
	    expand_option(s, RO_debug_print, &v, err) == RC_OK && v.len)
		log_debug(s->call.services->log, LOG_D_ROUTE, "%.*s", SL_ARG(v));
	return rc;
}

/* "unseen": the router took the address, and it goes on all the same. */
static enum walk after_taking(struct route_step *s, const struct heddle_route *out)
{
	enum route_result got = s->addr->result;
	struct error err;
	bool unseen;

	if (got != ROUTE_DELIVER && got != ROUTE_DUPLICATE && got != ROUTE_REDIRECTED &&
	    got != ROUTE_DISCARDED)
		return WALK_DONE;
	if (bool_option(s, RO_unseen, false, &unseen, &err) != RC_OK) {
		drop_children(s);
		(void)fail(s->addr, ROUTE_DEFERRED, slice_absent(), say(s->run, &err));
	} else if (unseen || (out->flags & HEDDLE_R_UNSEEN)) {
		const struct heddle_instance *next =
		    config_router(s->run->eval->cfg, s->router->index + 1);
		add_unseen_copy(s, &next);
	}
	return WALK_DONE;
}

static enum walk try_router(struct route_step *s)
{
	const struct heddle_router_ops *ops = s->router->driver ? s->router->driver->ops : NULL;
	struct heddle_route out = {.struct_size = sizeof out,
	    .transport = {NULL, 0, HEDDLE_ABSENT, 0},
	    .address_data = {NULL, 0, HEDDLE_ABSENT, 0}};
	struct heddle_address ha;
	struct error err = {.text = ""};
	enum rc rc;

	call_init(&s->call, s->run->eval, s->router);
	rc = route_precondition(s, &err);
	if (rc == RC_FAIL)
		return WALK_NEXT;
	if (rc == RC_OK) {
		rc = before_driver(s, &err);
		if (rc == RC_FAIL) {
			s->declined = true;
			return WALK_NEXT;
		}
	}
	if (rc == RC_OK && !ops)
		rc = error_set(&err, RC_DEFER, "not supported yet: the driver of router %.*s",
		    SL_ARG(s->router->name));
	if (rc != RC_OK) {
		s->addr->router = s->router;
		(void)fail(s->addr, ROUTE_DEFERRED, slice_absent(), say(s->run, &err));
		return WALK_DONE;
	}
	s->call.routing = s;
	fill_address(s->addr, s->run->flags, &ha);
	s->addr->router = s->router;
	rc = call_result(&s->call, ops->route(&s->call, s->router->inst, &ha, &out), "route", &err);
	if (rc == RC_OK && out.verdict == HEDDLE_R_DECLINE && s->call.reason_given &&
	    s->call.reason_shown.len)
		s->why_declined = arena_dup(s->run->arena, s->call.reason_shown);
	if (rc != RC_OK || out.verdict != HEDDLE_R_REROUTE)
		drop_children(s);
	if (rc == RC_DEFER && s->call.service_deferred &&
	    s->router->generic[RO_pass_on_timeout].number != 0)
		return WALK_PASS;
	if (rc != RC_OK)
		return driver_failed(s, rc, &err);
	s->errors_to = s->addr->errors_to;
	enum walk w = on_verdict(s, &out, &err);
	s->declined = w == WALK_NEXT;
	return w == WALK_DONE ? after_taking(s, &out) : w;
}

/* Where a router that declines or passes leads: the next one, or pass_router's. */
static const struct heddle_instance *after(struct route_step *s, enum walk w, bool *out_stop)
{
	const struct config *cfg = s->run->eval->cfg;
	const struct option_value *p = &s->router->generic[RO_pass_router];

	*out_stop = false;
	if (w == WALK_PASS && !slice_is_absent(p->text))
		return config_router_named(cfg, p->text);
	if (w == WALK_NEXT) {
		struct error err;
		bool more;
		if (bool_option(s, RO_more, true, &more, &err) != RC_OK) {
			(void)fail(s->addr, ROUTE_DEFERRED, slice_absent(), say(s->run, &err));
			*out_stop = true;
			return NULL;
		}
		if (!more) {
			*out_stop = true;
			return NULL;
		}
	}
	return config_router(cfg, s->router->index + 1);
}

/* No router took it. */
static void unrouteable(struct route_step *s)
{
	slice_t shown = s->why_declined.len ? s->why_declined : SL("Unrouteable address");
	struct error err;
	slice_t v;

	if (s->router && s->router->generic[RO_cannot_route_message].expr &&
	    expand_option(s, RO_cannot_route_message, &v, &err) == RC_OK && v.len)
		shown = v;
	(void)fail(s->addr, ROUTE_FAILED, shown, shown);
}

static const struct heddle_instance *first_router(struct routing *r, struct address *a)
{
	const struct heddle_instance *first = config_router(r->eval->cfg, 0);

	if (a->deliver == r) { /* an unseen copy */
		first = a->router;
		a->router = NULL;
		a->deliver = NULL;
	} else if (a->parent && a->parent->router) {
		const struct option_value *v = &a->parent->router->generic[RO_redirect_router];
		if (!slice_is_absent(v->text))
			first = config_router_named(r->eval->cfg, v->text);
	}
	return first;
}

/* "no_more" ends the walk where a router declined; one that was skipped by its preconditions did
 * not. */
static void route_one(struct routing *r, struct address *a)
{
	struct route_step s = {.run = r,
	    .addr = a,
	    .local_part_full = a->facts.local_part,
	    .why_declined = slice_absent()};
	const struct heddle_instance *next = first_router(r, a);

	r->eval->address = &a->facts;
	while (next && a->result == ROUTE_UNDONE) {
		bool stop;
		s.router = next;
		s.children = s.hosts = (struct vec){0};
		s.run_uid = s.run_gid = -1;
		if (is_repeat(a, next)) {
			next = config_router(r->eval->cfg, next->index + 1);
			continue;
		}
		s.declined = s.self_defers = false;
		enum walk w = try_router(&s);
		if (w == WALK_DONE)
			break;
		a->router = NULL;
		next = s.declined || w == WALK_PASS ? after(&s, w, &stop)
		                                    : config_router(r->eval->cfg, next->index + 1);
	}
	if (a->result == ROUTE_UNDONE)
		unrouteable(&s);
	r->eval->address = NULL;
}

/* An address that was routed before, from another ancestor, is not routed again: its children would
 * be the same.  One that came back to itself is: a router that has it as ancestor passes it on.
 * Tests show all. */
static bool was_routed(struct routing *r, struct address *a)
{
	if ((r->flags & (ROUTE_VERIFY | ROUTE_TEST)) || a->kind != ADDRESS_PLAIN ||
	    a->deliver == r || route_is_ancestor(a->parent, a->text))
		return false;
	slice_t key = arena_printf(r->arena, "r%.*s", SL_ARG(plain_text(r, a)));
	if (map_get(r->seen, key))
		return true;
	map_put(r->seen, key, a);
	return false;
}

enum rc routing_run(struct routing *r, struct error *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < r->addresses.count; i++) {
		struct address *a = *VEC_AT(&r->addresses, struct address *, i);
		if (a->result != ROUTE_UNDONE)
			continue;
		if (cancel_is_set(r->eval->cancel) || clock_mono_us() >= r->eval->deadline_us)
			rc = error_set(err, RC_DEFER, "routing was cut short");
		if (rc != RC_OK)
			(void)fail(a, ROUTE_DEFERRED, slice_absent(), SL("routing was cut short"));
		else if (i >= MAX_ADDRESSES)
			(void)fail(
			    a, ROUTE_DEFERRED, slice_absent(), SL("too many generated addresses"));
		else if (a->depth > MAX_DEPTH)
			(void)fail(a, ROUTE_DEFERRED, slice_absent(),
			    SL("routing loop: more than 100 generations"));
		else if (was_routed(r, a))
			a->result = ROUTE_DUPLICATE;
		else
			route_one(r, a);
		if (r->trace && a->result != ROUTE_UNDONE)
			r->trace(r->trace_ctx, a);
	}
	return rc;
}
