/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config/config_private: what the parts of config/ share: the snapshot's fields, and the state of
 * one loading.
 */
#ifndef HEDDLE_CONFIG_PRIVATE_H
#define HEDDLE_CONFIG_PRIVATE_H
#include "base/map.h"
#include "config/config.h"
#include "config/lexer.h"
#include "config/options.h"
#include "config/reader.h"

struct macro {
	slice_t name, value;
	bool from_command_line; /* definitions in the file are then ignored */
};

struct named_list {
	enum match_kind kind;
	slice_t name, text;
	const char *file;
	unsigned line;
	bool hide, cache;
	bool busy; /* being compiled: a reference to it is a loop */
	struct match_list *list;
};
#define NAMED_LIST_KINDS 4

/* A section of instances. */
enum section_class { SECTION_ROUTERS, SECTION_TRANSPORTS, SECTION_AUTHS, SECTION_CLASSES };
struct instances {
	struct heddle_instance *items;
	uint32_t count;
	struct map *by_name;
	struct vec raw; /* struct raw_instance, while loading */
};
struct raw_instance {
	slice_t name;
	const char *file;
	unsigned line;
	struct vec options; /* struct raw_option */
};

struct config {
	struct arena *arena;
	struct config *self;    /* for config_ref, whose callers have it const */
	_Atomic uint32_t *refs; /* in the arena; acq_rel on the last release */
	/* all that follows is const once published */
	uint64_t serial;
	const char *path;
	struct process_facts facts; /* the source's, with what the main options set */
	struct drivers *drivers;
	struct services *services; /* whose look-ups are told when this goes; may be NULL */
	struct option_table main;
	struct vec owned; /* struct owned_options *: main options of drivers, where one is set */
	struct vec named; /* struct named_list *, in the file's order */
	struct map *named_maps[NAMED_LIST_KINDS];
	struct instances sections[SECTION_CLASSES];
	struct vec acls; /* struct acl_source */
	const void *compiled_acls;
	struct vec retry, rewrite;
	struct vec macros; /* struct macro */
	struct vec lines;  /* struct source_line: what -bP config shows */
};

struct loader {
	const struct config_source *src;
	struct config *cfg;
	struct arena *a;       /* the snapshot's */
	struct arena *scratch; /* the caller's: problems and warnings */
	struct vec *problems, *warnings;
	struct reader reader;
	struct vec compile_warnings; /* on a, from expr_compile */
};

#define PROBLEMS_MOST 200
/* Note an error, or a warning; both live in scratch. */
void loader_problem(struct loader *l, const char *file, unsigned line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void loader_warning(struct loader *l, const char *file, unsigned line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* "TEXT", in quotes and cut to what a message can hold; "; did you mean \"NEAR\"?", or "" for NULL.
 * On scratch. */
const char *loader_brief(struct loader *l, slice_t text);
const char *loader_suggestion(struct loader *l, const char *near);

/* sections.c */
extern const char *const section_class_names[SECTION_CLASSES]; /* "router" ... */
void section_line(struct loader *l, enum section_class which, const struct source_line *line);
void section_end(
    struct loader *l, enum section_class which); /* a macro definition between instances */
void sections_build(struct loader *l);
void sections_check(struct loader *l);
void sections_start(struct loader *l);
void sections_free(struct config *cfg);
/* main_section.c */
void main_line(struct loader *l, const struct source_line *line);
void main_compile(struct loader *l);
void named_lists_compile(struct loader *l);
/* driver_options.c: false: no driver has it.  known: the kernel has a row too, for Exim's */
bool driver_option_assign(struct loader *l, struct raw_option *raw, bool known);
void driver_options_compile(struct loader *l);
void driver_options_start(struct loader *l, struct eval *ev);
/* For -bP: those of the drivers of which the main section sets one. */
const struct option_value *driver_option_find(const struct config *cfg, slice_t name);
const struct option_value *driver_option_next(
    const struct config *cfg, const struct option_value *last);
/* rules.c: acl, retry, rewrite */
void rules_acl_line(struct loader *l, const struct source_line *line);
void rules_retry_line(struct loader *l, const struct source_line *line);
void rules_rewrite_line(struct loader *l, const struct source_line *line);
/* builtin.c: is NAME (with its underscore) a builtin macro?  all of them into out, for -bP macros
 */
bool builtin_is_defined(struct drivers *drivers, slice_t name);
void builtin_list(struct drivers *drivers, struct arena *a, struct vec *out_names);
/* known.c: Exim's drivers and their private options */
struct known_driver {
	uint16_t driver_class;
	bool needs_transport;
	const char *name;
};
const struct known_driver *known_driver_find(uint16_t driver_class, slice_t name);
const char *known_driver_near(uint16_t driver_class, slice_t name);
bool known_options(uint16_t driver_class, slice_t driver, struct option_table *out);
#endif
