/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A small site for the tests of lists, lookups and ACLs: a loaded configuration, the built drivers,
 * an eval with a session, a message and an address. */
#ifndef HEDDLE_TESTS_MATCH_SITE_H
#define HEDDLE_TESTS_MATCH_SITE_H
#include "config/config.h"
#include "driver/call.h"
#include "driver/lookup.h"
#include "lib/tap.h"
#include "match/text_cache.h"
#include "net/net.h"

#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

struct site {
	struct arena *arena;   /* of the site */
	struct arena *scratch; /* of one evaluation */
	struct services services;
	struct drivers *drivers;
	struct net_interfaces *own;
	struct config *cfg;
	struct vec problems, warnings;
	struct process_facts process;
	struct session_facts session;
	struct message_facts message;
	struct address_facts address;
	struct header_list headers;
	struct eval ev;
	struct error err;
};

static inline const char *site_folder(struct arena *a)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	return arena_cstr(a, arena_printf(a, "%s/../../../drivers", dirname(exe)));
}

static inline void site_drivers(struct site *s)
{
	const char **folders = ARENA_ARRAY(s->arena, const char *, 2);
	services_init(&s->services);
	folders[0] = site_folder(s->arena);
	struct drivers_config dc = {
	    .folders = folders, .any_owner = true, .host = &s->services.host};
	if (drivers_new(&dc, &s->drivers, &s->err) != RC_OK)
		printf("# %s\n", s->err.text);
	s->services.lookups = lookups_new(s->drivers);
	s->services.texts = text_cache_new(s->arena, 100, 1 << 20);
	if (net_interfaces_new(&s->own, &s->err) == RC_OK)
		s->services.own_addresses = s->own;
}

/* Everything but the configuration; site_load next. */
static inline void site_init(struct site *s)
{
	memset(s, 0, sizeof *s);
	s->arena = arena_new(0);
	s->scratch = arena_new(0);
	site_drivers(s);
	s->process.primary_hostname = SL("mx.example.org");
	s->process.spool_directory = SL("/tmp");
}

static inline void site_facts(struct site *s)
{
	s->session.arena = s->message.arena = s->address.arena = s->arena;
	s->session.sender_host_address = slice_absent();
	s->session.sender_host_name = s->session.sender_fullhost = s->session.sender_ident =
	    slice_absent();
	s->message.sender_address = slice_absent();
	s->message.headers = &s->headers;
	eval_init(&s->ev, s->scratch, s->cfg);
	s->ev.process = &s->process;
	s->ev.session = &s->session;
	s->ev.message = &s->message;
	s->ev.address = &s->address;
	s->ev.services = &s->services;
}

/* false: refused; the problems are in s->problems. */
static inline bool site_load(struct site *s, const char *text, const struct config_hooks *hooks)
{
	struct config_source src = {.path = "test.conf",
	    .content = slice_cstr(text),
	    .drivers = s->drivers,
	    .process = &s->process,
	    .services = &s->services,
	    .hooks = hooks};
	s->problems = s->warnings = (struct vec){0};
	bool ok = config_load(&src, s->arena, &s->problems, &s->warnings, &s->cfg) == RC_OK;
	if (ok)
		site_facts(s);
	return ok;
}

static inline void site_say_problems(const struct site *s)
{
	VEC_FOREACH(&s->problems, struct error, e)
	printf("# %s:%u: %s\n", e->file ? e->file : "-", e->line, e->text);
}

static inline bool site_has_problem(const struct site *s, unsigned line, const char *part)
{
	VEC_FOREACH(&s->problems, struct error, e)
	if (strstr(e->text, part) && (!line || e->line == line))
		return true;
	site_say_problems(s);
	return false;
}

static inline void site_free(struct site *s)
{
	if (s->cfg)
		config_unref(&s->cfg);
	lookups_free(&s->services.lookups);
	drivers_free(&s->drivers);
	services_fini(&s->services);
	net_interfaces_free(&s->own);
	arena_free(&s->scratch);
	arena_free(&s->arena);
}

/* A file in the test's own folder; the name is the site's. */
static inline const char *site_file(struct site *s, const char *name, const char *content)
{
	const char *path = arena_cstr(s->arena, arena_printf(s->arena, "%s/%s", tap_dir(), name));
	FILE *f = fopen(path, "w");
	MUST(f);
	(void)fputs(content, f);
	(void)fclose(f);
	return path;
}
#endif
