/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routers, transports, authenticators: instances with generic and private options.  The lines of an
 * instance are collected first, so that `driver` may stand behind private options.
 */
#include "base/clock.h"
#include "config/config_private.h"
#include "driver/call.h"
#include "expand/phases.h"

const char *const section_class_names[SECTION_CLASSES] = {"router", "transport", "authenticator"};
static const uint16_t driver_classes[SECTION_CLASSES] = {
    HEDDLE_ROUTER, HEDDLE_TRANSPORT, HEDDLE_AUTH};
static const struct option_table *const generic_tables[SECTION_CLASSES] = {
    &options_router, &options_transport, &options_auth};
static const uint32_t driver_rows[SECTION_CLASSES] = {RO_driver, TO_driver, AO_driver};

static void begin_instance(struct loader *l, enum section_class which,
    const struct source_line *line, slice_t name, slice_t rest)
{
	struct instances *s = &l->cfg->sections[which];
	if (rest.len)
		loader_problem(l, line->file, line->line,
		    "%s \"%.*s\": extra characters follow the name: %s", section_class_names[which],
		    SL_ARG(name), loader_brief(l, rest));
	VEC_FOREACH(&s->raw, struct raw_instance, r)
	if (slice_eq(r->name, name))
		loader_problem(l, line->file, line->line,
		    "there are two %ss called \"%.*s\"; the other begins in line %u of %s",
		    section_class_names[which], SL_ARG(name), r->line, r->file);
	*VEC_PUSH(l->a, &s->raw, struct raw_instance) =
	    (struct raw_instance){.name = name, .file = line->file, .line = line->line};
}

void section_end(struct loader *l, enum section_class which)
{
	struct instances *s = &l->cfg->sections[which];
	if (s->raw.count && VEC_AT(&s->raw, struct raw_instance, s->raw.count - 1)->name.len)
		*VEC_PUSH(l->a, &s->raw, struct raw_instance) =
		    (struct raw_instance){.name = slice_absent()};
}

void section_line(struct loader *l, enum section_class which, const struct source_line *line)
{
	struct instances *s = &l->cfg->sections[which];
	slice_t name, rest;
	struct raw_option raw;
	struct error e = {0};
	if (lex_label(line->text, &name, &rest)) {
		begin_instance(l, which, line, name, rest);
		return;
	}
	struct raw_instance *r =
	    s->raw.count ? VEC_AT(&s->raw, struct raw_instance, s->raw.count - 1) : NULL;
	if (!r || !r->name.len) {
		loader_problem(l, line->file, line->line,
		    "the name of a %s followed by a colon was expected, found %s",
		    section_class_names[which], loader_brief(l, line->text));
		return;
	}
	if (lex_option(line, &raw, &e) != RC_OK) {
		loader_problem(l, line->file, line->line, "%s %.*s: %s", section_class_names[which],
		    SL_ARG(r->name), e.text);
		return;
	}
	*VEC_PUSH(l->a, &r->options, struct raw_option) = raw;
}

/* ---- building ---- */
struct building {
	enum section_class which;
	struct heddle_instance *inst;
	const struct raw_instance *raw;
	const char *scope; /* "router NAME: " */
	struct option_table generic, own, later;
	bool own_unknown; /* no driver, and no list of its options: nothing can be said about
	                     private ones */
};

/* Options of a group are the kernel's; none is built yet, so they are judged by Exim's smtp
 * transport's. */
static void find_groups(struct building *b)
{
	for (uint32_t i = 0; i < b->own.count && !b->later.count; i++)
		if (b->own.rows[i].type == HEDDLE_T_GROUP)
			(void)known_options(HEDDLE_TRANSPORT, SL("smtp"), &b->later);
}

/* The driver that `driver = NAME` asks for; instance->driver stays NULL where it is known but not
 * there. */
static void find_driver(struct loader *l, struct building *b)
{
	const struct option_value *v = &b->generic.values[driver_rows[b->which]];
	uint16_t class = driver_classes[b->which];
	struct error e = {0};
	if (!v->is_set || !v->text.len) {
		loader_problem(l, b->raw->file, b->raw->line,
		    "%sno driver defined: \"driver = NAME\" was expected", b->scope);
		b->own_unknown = true;
		return;
	}
	const struct known_driver *known = known_driver_find(class, v->text);
	b->own_unknown = !known_options(class, v->text, &b->later) && !known;
	if (!l->src->drivers) { /* nothing is installed as far as we can see: only the form is
		                   checked */
		b->own_unknown = true;
		return;
	}
	enum rc rc = driver_find(l->src->drivers, class, v->text, &b->inst->driver, &e);
	if (rc == RC_OK) {
		b->own = (struct option_table){
		    .rows = b->inst->driver->options, .count = b->inst->driver->option_count};
		b->own_unknown = false;
	} else if (rc == RC_FAIL && known) {
		loader_warning(l, v->file, v->line, "%snot supported yet: %s driver %.*s", b->scope,
		    section_class_names[b->which], SL_ARG(v->text));
	} else if (rc == RC_FAIL) {
		const char *near = known_driver_near(class, v->text);
		loader_problem(l, v->file, v->line, "%scannot find %s driver \"%.*s\"%s", b->scope,
		    section_class_names[b->which], SL_ARG(v->text), loader_suggestion(l, near));
	} else {
		loader_problem(l, v->file, v->line, "%s%s", b->scope, e.text);
	}
}

static void unknown_option(struct loader *l, const struct building *b, const struct raw_option *raw)
{
	const char *near = options_near(&b->generic, raw->name);
	if (!near && b->own.count)
		near = options_near(&b->own, raw->name);
	if (!near && b->later.count)
		near = options_near(&b->later, raw->name);
	loader_problem(l, raw->at.file, raw->at.line, "%soption \"%.*s\" unknown%s", b->scope,
	    SL_ARG(raw->name), loader_suggestion(l, near));
}

/* generic: first pass, which gives the driver; private: second pass. */
static void assign_options(struct loader *l, struct building *b, bool private)
{
	VEC_FOREACH(&b->raw->options, struct raw_option, raw)
	{
		uint32_t i = options_match(&b->generic, raw);
		if (i != UINT32_MAX) {
			if (!private)
				options_assign(l, &b->generic, i, raw, b->scope);
			continue;
		}
		if (!private)
			continue;
		if ((i = options_match(&b->own, raw)) != UINT32_MAX)
			options_assign(l, &b->own, i, raw, b->scope);
		else if ((i = options_match(&b->later, raw)) != UINT32_MAX)
			options_assign(l, &b->later, i, raw, b->scope);
		else if (!b->own_unknown)
			unknown_option(l, b, raw);
	}
}

static void compile_sets(struct loader *l, struct building *b)
{
	const struct option_value *v = &b->inst->generic[RO_set];
	uint64_t pos = 0;
	slice_t item;
	while (!slice_is_absent(v->text) && expand_list_next(l->a, v->text, &pos, &item)) {
		struct error e = {0};
		slice_t rest = slice_trim(item), name = lex_name(&rest);
		if (!rest.len && !name.len)
			continue;
		lex_space(&rest);
		if (!slice_starts(name, "r_") || name.len < 3 || !rest.len || rest.ptr[0] != '=') {
			loader_problem(l, v->file, v->line,
			    "%soption \"set\": r_NAME = VALUE was expected, found %s", b->scope,
			    loader_brief(l, item));
			continue;
		}
		struct config_set *set = VEC_PUSH(l->a, &b->inst->sets, struct config_set);
		set->name = name;
		struct expr_env env = {.cfg = l->cfg,
		    .file = v->file,
		    .line = v->line,
		    .warnings = &l->compile_warnings,
		    .phases = PHASE_ROUTE,
		    .option =
		        arena_cstr(l->a, arena_printf(l->a, "%sset %.*s", b->scope, SL_ARG(name)))};
		if (expr_compile(l->a, slice_trim(slice_sub(rest, 1, rest.len)), &env, &set->value,
		        &e) != RC_OK)
			loader_problem(l, v->file, v->line, "%soption \"set\": %.*s: %s", b->scope,
			    SL_ARG(name), e.text);
	}
}

/* An option of a router may be kept for the transport. */
static const uint32_t section_phases[SECTION_CLASSES] = {
    [SECTION_ROUTERS] = PHASE_ROUTE | PHASE_TRANSPORT,
    [SECTION_TRANSPORTS] = PHASE_TRANSPORT,
};

static void build_instance(struct loader *l, enum section_class which, struct heddle_instance *inst,
    const struct raw_instance *raw)
{
	struct building b = {
	    .which = which, .inst = inst, .raw = raw, .generic = *generic_tables[which]};
	b.scope = arena_cstr(
	    l->a, arena_printf(l->a, "%s %.*s: ", section_class_names[which], SL_ARG(raw->name)));
	inst->name = raw->name;
	inst->file = raw->file;
	inst->line = raw->line;
	inst->cfg = l->cfg;
	options_begin(l, &b.generic);
	inst->generic = b.generic.values;
	assign_options(l, &b, false);
	find_driver(l, &b);
	find_groups(&b);
	options_begin(l, &b.own);
	options_begin(l, &b.later);
	b.generic.phases = b.own.phases = b.later.phases = section_phases[which];
	inst->own = b.own.values;
	assign_options(l, &b, true);
	options_compile(l, &b.generic, b.scope);
	options_compile(l, &b.own, b.scope);
	/* a driver that is not there defers as a whole; else what its table lacks is judged option
	 * by option */
	if (inst->driver)
		options_compile(l, &b.later, b.scope);
	if (which == SECTION_AUTHS && !inst->generic[AO_public_name].is_set)
		inst->generic[AO_public_name].text = inst->name;
	if (which == SECTION_ROUTERS)
		compile_sets(l, &b);
}

void sections_build(struct loader *l)
{
	for (uint32_t which = 0; which < SECTION_CLASSES; which++) {
		struct instances *s = &l->cfg->sections[which];
		s->by_name = map_new(l->a, MAP_EXACT);
		s->items = ARENA_ARRAY(l->a, struct heddle_instance, s->raw.count + 1);
		VEC_FOREACH(&s->raw, struct raw_instance, raw)
		{
			if (!raw->name.len)
				continue;
			struct heddle_instance *inst = &s->items[s->count];
			inst->index = s->count++;
			build_instance(l, (enum section_class)which, inst, raw);
			if (!map_get(s->by_name, raw->name))
				(void)map_put(s->by_name, inst->name, inst);
		}
	}
}

/* ---- checks across sections ---- */
static const char *instance_near(const struct instances *s, struct arena *a, slice_t name)
{
	unsigned best = 3;
	const char *near = NULL;
	for (uint32_t i = 0; i < s->count; i++) {
		unsigned d = lex_distance(name, s->items[i].name, best);
		if (d < best) {
			best = d;
			near = arena_cstr(a, s->items[i].name);
		}
	}
	return near;
}

/* A constant value must name an instance of that section. */
static const struct heddle_instance *check_name(struct loader *l, const struct heddle_instance *in,
    const struct option_value *v, enum section_class wanted)
{
	slice_t name = v->text;
	if (!v->is_set || (v->expr && !expr_constant(v->expr, &name)) || !name.len)
		return NULL;
	const struct instances *s = &l->cfg->sections[wanted];
	const struct heddle_instance *found = map_get(s->by_name, name);
	if (found)
		return found;
	const char *near = instance_near(s, l->a, name);
	loader_problem(l, v->file, v->line,
	    "router %.*s: option \"%s\": there is no %s called \"%.*s\"%s", SL_ARG(in->name),
	    v->row->name, section_class_names[wanted], SL_ARG(name), loader_suggestion(l, near));
	return NULL;
}

static bool ends_with(slice_t s, const char *tail)
{
	size_t n = strlen(tail);
	return s.len > n && memcmp(s.ptr + (s.len - n), tail, n) == 0;
}

static void check_router(struct loader *l, const struct heddle_instance *r)
{
	const struct option_value *driver = &r->generic[RO_driver];
	const struct known_driver *known = known_driver_find(HEDDLE_ROUTER, driver->text);
	if (known && known->needs_transport && !r->generic[RO_transport].is_set &&
	    !r->generic[RO_verify_only].number)
		loader_problem(l, r->file, r->line,
		    "router %.*s: a transport is required for this router", SL_ARG(r->name));
	(void)check_name(l, r, &r->generic[RO_transport], SECTION_TRANSPORTS);
	(void)check_name(l, r, &r->generic[RO_redirect_router], SECTION_ROUTERS);
	const struct heddle_instance *pass =
	    check_name(l, r, &r->generic[RO_pass_router], SECTION_ROUTERS);
	if (pass && pass->index <= r->index)
		loader_problem(l, r->generic[RO_pass_router].file, r->generic[RO_pass_router].line,
		    "router %.*s: option \"pass_router\": router \"%.*s\" does not come later",
		    SL_ARG(r->name), SL_ARG(pass->name));
	for (uint32_t i = 0; r->driver && i < r->driver->option_count; i++)
		if (ends_with(slice_cstr(r->own[i].row->name), "_transport"))
			(void)check_name(l, r, &r->own[i], SECTION_TRANSPORTS);
}

/* Does the driver flag options so, and is one of them set?  -1: it flags none. */
static int side_is_set(const struct heddle_instance *auth, uint32_t flag)
{
	int found = -1;
	for (uint32_t i = 0; auth->driver && i < auth->driver->option_count; i++)
		if (auth->driver->options[i].flags & flag && found < 1)
			found = auth->own[i].is_set;
	return found;
}

bool config_auth_serves(const struct heddle_instance *auth)
{
	int set = side_is_set(auth, HEDDLE_O_SERVER);
	return set < 0 ? auth->generic[AO_server_condition].is_set : set != 0;
}

bool config_auth_is_client(const struct heddle_instance *auth)
{
	return side_is_set(auth, HEDDLE_O_CLIENT) != 0;
}

/* Two server authenticators for one mechanism: the second would never be used. */
static void check_auths(struct loader *l)
{
	const struct instances *s = &l->cfg->sections[SECTION_AUTHS];
	for (uint32_t i = 0; i < s->count; i++)
		for (uint32_t k = 0; k < i; k++) {
			const struct heddle_instance *x = &s->items[k], *y = &s->items[i];
			const struct option_value *vx = &x->generic[AO_public_name],
			                          *vy = &y->generic[AO_public_name];
			if (config_auth_serves(x) && config_auth_serves(y) &&
			    slice_eqi(
			        vx->is_set ? vx->text : x->name, vy->is_set ? vy->text : y->name))
				loader_problem(l, y->file, y->line,
				    "two server authenticators (%.*s and %.*s) have the same "
				    "public name",
				    SL_ARG(x->name), SL_ARG(y->name));
		}
}

void sections_check(struct loader *l)
{
	const struct instances *s = &l->cfg->sections[SECTION_ROUTERS];
	for (uint32_t i = 0; i < s->count; i++)
		check_router(l, &s->items[i]);
	check_auths(l);
}

/* ---- the drivers' own part ---- */
void sections_start(struct loader *l)
{
	struct eval ev;
	/* what an instance compiles lives as long as the instance: in the snapshot's arena */
	eval_init(&ev, l->cfg->arena, l->cfg);
	ev.services = l->src->services;
	ev.process = &l->cfg->facts;
	ev.deadline_us = DEADLINE_NEVER;
	driver_options_start(l, &ev);
	for (uint32_t which = 0; which < SECTION_CLASSES; which++) {
		struct instances *s = &l->cfg->sections[which];
		for (uint32_t i = 0; i < s->count; i++) {
			struct heddle_instance *inst = &s->items[i];
			const struct driver *d = inst->driver;
			struct heddle_call call;
			struct error e = {0};
			void *state = NULL;
			if (!d || !d->desc || !d->desc->instance_new)
				continue;
			call_init(&call, &ev, inst);
			int32_t result = d->desc->instance_new(
			    &call, &l->src->services->host, d->state, inst, &state);
			if (call_result(&call, result, d->head.name, &e) == RC_OK)
				inst->inst = state;
			else
				loader_problem(l, inst->file, inst->line, "%s %.*s: %s",
				    section_class_names[which], SL_ARG(inst->name), e.text);
		}
	}
}

void sections_free(struct config *cfg)
{
	for (uint32_t which = 0; which < SECTION_CLASSES; which++)
		for (uint32_t i = 0; i < cfg->sections[which].count; i++) {
			struct heddle_instance *inst = &cfg->sections[which].items[i];
			if (inst->inst && inst->driver && inst->driver->desc &&
			    inst->driver->desc->instance_free)
				inst->driver->desc->instance_free(inst->inst);
			inst->inst = NULL;
		}
}
