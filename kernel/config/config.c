/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loading: the walk over the lines, and the snapshot's life; what readers of a snapshot call. */
#include "config/config.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "config/config_private.h"
#include "driver/lookup.h"

/* ---- problems ---- */
static void note(struct loader *l, struct vec *to, const char *file, unsigned line, slice_t text)
{
	struct error *e = VEC_PUSH(l->scratch, to, struct error);
	size_t n = text.len < sizeof e->text - 1 ? text.len : sizeof e->text - 1;
	for (size_t i = 0; i < n; i++) { /* quoted pieces of the file may hold anything */
		unsigned char c = (unsigned char)text.ptr[i];
		e->text[i] = text.ptr[i];
		if (c < ' ' || c == 127)
			e->text[i] = '?';
	}
	e->file =
	    file ? arena_cstr(l->scratch, slice_cstr(file)) : NULL; /* outlives the snapshot */
	e->line = line;
}

void loader_problem(struct loader *l, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;
	if (l->problems->count >= PROBLEMS_MOST) {
		l->reader.stopped = true;
		return;
	}
	va_start(ap, fmt);
	note(l, l->problems, file, line, arena_vprintf(l->scratch, fmt, ap));
	va_end(ap);
}

void loader_warning(struct loader *l, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;
	if (l->warnings->count >= PROBLEMS_MOST)
		return;
	va_start(ap, fmt);
	note(l, l->warnings, file, line, arena_vprintf(l->scratch, fmt, ap));
	va_end(ap);
}

static bool same_file(const struct error *a, const struct error *b)
{
	return a->file == b->file || (a->file && b->file && strcmp(a->file, b->file) == 0);
}

/* By line within each run of one file's: there are few, and files come one behind the other. */
static void in_order(struct vec *v, size_t from)
{
	struct error *e = v->items;
	for (size_t i = from + 1; i < v->count; i++) {
		struct error moved = e[i];
		size_t k = i;
		while (k > from && same_file(&e[k - 1], &moved) && e[k - 1].line > moved.line)
			k--;
		memmove(&e[k + 1], &e[k], (i - k) * sizeof moved);
		e[k] = moved;
	}
}

const char *loader_brief(struct loader *l, slice_t text)
{
	slice_t shown = slice_sub(text, 0, 60);
	return arena_cstr(l->scratch, arena_printf(l->scratch, "\"%.*s\"", SL_ARG(shown)));
}

const char *loader_suggestion(struct loader *l, const char *near)
{
	if (!near)
		return "";
	return arena_cstr(l->scratch, arena_printf(l->scratch, "; did you mean \"%s\"?", near));
}

/* ---- the walk over the lines ---- */
enum section {
	S_MAIN,
	S_ACL,
	S_ROUTERS,
	S_TRANSPORTS,
	S_AUTHS,
	S_RETRY,
	S_REWRITE,
	S_LOCAL_SCAN,
	S_UNKNOWN
};
static const char *const section_names[] = {
    "main", "acl", "routers", "transports", "authenticators", "retry", "rewrite", "local_scan"};

static enum section begin_section(struct loader *l, const struct source_line *line, bool *seen)
{
	slice_t name = slice_trim(slice_sub(line->text, 5, line->text.len));
	const char *near = NULL;
	unsigned best = 4;
	for (int s = S_ACL; s < S_UNKNOWN; s++) {
		if (slice_eqs(name, section_names[s])) {
			if (seen[s])
				loader_problem(l, line->file, line->line,
				    "section \"%s\" is repeated in the configuration",
				    section_names[s]);
			if (s == S_LOCAL_SCAN)
				loader_problem(l, line->file, line->line,
				    "not supported yet: section local_scan");
			seen[s] = true;
			return (enum section)s;
		}
		unsigned d = lex_distance(name, slice_cstr(section_names[s]), best);
		if (d < best) {
			best = d;
			near = section_names[s];
		}
	}
	loader_problem(l, line->file, line->line, "%s is not a known section%s",
	    loader_brief(l, name), loader_suggestion(l, near));
	return S_UNKNOWN;
}

static bool is_begin(slice_t text)
{
	return slice_starts(text, "begin") && text.len > 5 && ascii_isspace(text.ptr[5]);
}

/* Macros are defined in the main section, and between ACLs and instances. */
static bool takes_definitions(enum section s)
{
	return s <= S_AUTHS;
}

static void one_line(struct loader *l, enum section section, const struct source_line *line)
{
	if (takes_definitions(section) && macros_is_definition(line->text)) {
		macros_define(l, line);
		if (section >= S_ROUTERS)
			section_end(l, (enum section_class)(section - S_ROUTERS));
		return;
	}
	switch (section) {
	case S_MAIN:
		main_line(l, line);
		break;
	case S_ACL:
		rules_acl_line(l, line);
		break;
	case S_ROUTERS:
		section_line(l, SECTION_ROUTERS, line);
		break;
	case S_TRANSPORTS:
		section_line(l, SECTION_TRANSPORTS, line);
		break;
	case S_AUTHS:
		section_line(l, SECTION_AUTHS, line);
		break;
	case S_RETRY:
		rules_retry_line(l, line);
		break;
	case S_REWRITE:
		rules_rewrite_line(l, line);
		break;
	case S_LOCAL_SCAN: /* the section as such was refused */
	case S_UNKNOWN:
	default:
		break;
	}
}

static void main_end(struct loader *l)
{
	named_lists_compile(l);
	main_compile(l);
}

static void read_all(struct loader *l)
{
	struct source_line line;
	enum section section = S_MAIN;
	bool seen[S_UNKNOWN] = {false};
	if (!reader_begin(l))
		return;
	while (reader_next(l, &line)) {
		*VEC_PUSH(l->a, &l->cfg->lines, struct source_line) = line;
		if (!is_begin(line.text)) {
			one_line(l, section, &line);
			continue;
		}
		if (section == S_MAIN)
			main_end(l);
		section = begin_section(l, &line, seen);
	}
	if (section == S_MAIN)
		main_end(l);
}

/* Warnings of the compilers were made on the snapshot's arena. */
static void copy_warnings(struct loader *l)
{
	VEC_FOREACH(&l->compile_warnings, struct error, w)
	loader_warning(l, w->file, w->line, "%s", w->text);
}

static struct config *config_new(const struct config_source *src)
{
	struct arena *a = arena_new(16384);
	struct config *cfg = ARENA_NEW(a, struct config);
	cfg->arena = a;
	cfg->self = cfg;
	cfg->refs = ARENA_NEW(a, _Atomic uint32_t);
	atomic_init(cfg->refs, 1);
	cfg->serial = src->serial ? src->serial : (uint64_t)clock_wall_us();
	cfg->path = src->path ? arena_cstr(a, slice_cstr(src->path)) : NULL;
	if (src->process)
		cfg->facts = *src->process;
	cfg->drivers = src->drivers;
	cfg->services = src->services;
	cfg->main = options_main;
	for (uint32_t k = 0; k < NAMED_LIST_KINDS; k++)
		cfg->named_maps[k] = map_new(a, MAP_EXACT);
	return cfg;
}

enum rc config_load(const struct config_source *src, struct arena *scratch, struct vec *problems,
    struct vec *warnings, struct config **out_cfg)
{
	struct config *cfg = config_new(src);
	struct loader *l = ARENA_NEW(scratch, struct loader);
	size_t before = problems->count, warned = warnings->count;
	*l = (struct loader){.src = src,
	    .cfg = cfg,
	    .a = cfg->arena,
	    .scratch = scratch,
	    .problems = problems,
	    .warnings = warnings};
	options_begin(l, &cfg->main);
	macros_begin(l);
	read_all(l);
	sections_build(l);
	sections_check(l);
	copy_warnings(l);
	if (src->hooks && src->hooks->compile_acls) {
		struct vec found = {0};
		l->compile_warnings = (struct vec){0};
		enum rc rc = src->hooks->compile_acls(
		    cfg, cfg->arena, &found, &l->compile_warnings, &cfg->compiled_acls);
		copy_warnings(l);
		VEC_FOREACH(&found, struct error, e)
		loader_problem(l, e->file, e->line, "%s", e->text);
		if (rc != RC_OK && !found.count)
			loader_problem(l, NULL, 0, "the ACLs could not be compiled");
	}
	if (problems->count == before && src->drivers && src->services && !src->no_instances)
		sections_start(l);
	in_order(problems, before);
	in_order(warnings, warned);
	if (problems->count != before) {
		config_unref(&cfg);
		return RC_ERROR;
	}
	*out_cfg = cfg;
	return RC_OK;
}

struct config *config_ref(const struct config *cfg)
{
	atomic_fetch_add_explicit(cfg->refs, 1, memory_order_relaxed);
	return cfg->self;
}

void config_unref(struct config **cfg)
{
	struct config *c = *cfg;
	*cfg = NULL;
	if (!c || atomic_fetch_sub_explicit(c->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (c->services && c->services->lookups)
		lookups_drop_snapshot(c->services->lookups, c->serial);
	sections_free(c);
	struct arena *a = c->arena;
	arena_free(&a);
}

/* ---- reading ---- */
uint64_t config_serial(const struct config *cfg)
{
	return cfg->serial;
}

const struct process_facts *config_process(const struct config *cfg)
{
	return &cfg->facts;
}

struct drivers *config_drivers(const struct config *cfg)
{
	return cfg->drivers;
}

const struct option_value *config_main(const struct config *cfg, enum main_option which)
{
	return &cfg->main.values[which];
}

bool config_bool(const struct config *cfg, enum main_option which)
{
	return cfg->main.values[which].number != 0;
}

int64_t config_int(const struct config *cfg, enum main_option which)
{
	return cfg->main.values[which].number;
}

slice_t config_text(const struct config *cfg, enum main_option which)
{
	return cfg->main.values[which].text;
}

struct match_list *config_list(const struct config *cfg, enum main_option which)
{
	return cfg->main.values[which].list;
}

enum rc config_expand(struct eval *ev, enum main_option which, slice_t *out, struct error *err)
{
	const struct option_value *v = &ev->cfg->main.values[which];
	if (!v->expr) {
		*out = v->text;
		return RC_OK;
	}
	enum rc rc = expr_eval(ev, v->expr, out, err);
	return rc == RC_OK ? rc : error_wrap(err, rc, "option \"%s\"", v->row->name);
}

static const struct heddle_instance *instance_at(
    const struct config *cfg, enum section_class which, uint32_t i)
{
	const struct instances *s = &cfg->sections[which];
	return i < s->count ? &s->items[i] : NULL;
}

const struct heddle_instance *config_router(const struct config *cfg, uint32_t i)
{
	return instance_at(cfg, SECTION_ROUTERS, i);
}

const struct heddle_instance *config_transport(const struct config *cfg, uint32_t i)
{
	return instance_at(cfg, SECTION_TRANSPORTS, i);
}

const struct heddle_instance *config_auth(const struct config *cfg, uint32_t i)
{
	return instance_at(cfg, SECTION_AUTHS, i);
}

/* The maps are made when the sections are built, behind the first compiling that could ask. */
static const struct heddle_instance *instance_named(
    const struct config *cfg, enum section_class which, slice_t name)
{
	const struct instances *s = &cfg->sections[which];
	return s->by_name ? map_get(s->by_name, name) : NULL;
}

const struct heddle_instance *config_router_named(const struct config *cfg, slice_t name)
{
	return instance_named(cfg, SECTION_ROUTERS, name);
}

const struct heddle_instance *config_transport_named(const struct config *cfg, slice_t name)
{
	return instance_named(cfg, SECTION_TRANSPORTS, name);
}

struct match_list *config_named_list(const struct config *cfg, enum match_kind kind, slice_t name)
{
	if ((unsigned)kind >= NAMED_LIST_KINDS)
		return NULL;
	const struct named_list *n = map_get(cfg->named_maps[kind], name);
	return n ? n->list : NULL;
}

bool config_named_text(const struct config *cfg, enum match_kind kind, slice_t name, slice_t *out)
{
	const struct named_list *n =
	    (unsigned)kind < NAMED_LIST_KINDS ? map_get(cfg->named_maps[kind], name) : NULL;
	if (n)
		*out = n->text;
	return n != NULL;
}

uint32_t config_acl_count(const struct config *cfg)
{
	return (uint32_t)cfg->acls.count;
}

const struct acl_source *config_acl_source(const struct config *cfg, uint32_t i)
{
	return i < cfg->acls.count ? VEC_AT(&cfg->acls, struct acl_source, i) : NULL;
}

const void *config_acls(const struct config *cfg)
{
	return cfg->compiled_acls;
}

const struct vec *config_retry_rules(const struct config *cfg)
{
	return &cfg->retry;
}

const struct vec *config_rewrite_rules(const struct config *cfg)
{
	return &cfg->rewrite;
}
