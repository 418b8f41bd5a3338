/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A configuration file from anywhere: no file is opened (.include is refused), no driver is there.
 * Whatever loads can be printed, for those who may see hidden values and for those who may not.
 */
#include "base/strbuf.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_all(const struct config *cfg, struct arena *a)
{
	static const char *const what[] = {"", "config", "macros", "routers", "transports",
	    "authenticators", "router_list", "+a", "macro A", "router a", "qualify_domain",
	    "config_file"};
	for (size_t i = 0; i < sizeof what / sizeof what[0]; i++)
		for (int admin = 0; admin < 2; admin++) {
			struct strbuf sb;
			struct error e = {0};
			strbuf_init(&sb, a, 0);
			enum rc rc = config_print(cfg, slice_cstr(what[i]), admin != 0, &sb, &e);
			MUST(rc == RC_OK || e.text[0]);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > (64U << 10))
		return 0;
	struct arena *a = arena_new(0);
	struct vec problems = {0}, warnings = {0};
	struct config *cfg = NULL;
	struct config_source src = {.path = "fuzz",
	    .content = slice_tainted(data, size),
	    .no_includes = true,
	    .no_instances = true};
	enum rc rc = config_load(&src, a, &problems, &warnings, &cfg);
	MUST((rc == RC_OK) == (problems.count == 0));
	if (rc == RC_OK) {
		for (uint32_t i = 0; i < config_acl_count(cfg); i++)
			MUST(config_acl_source(cfg, i)->name.len);
		print_all(cfg, a);
	} else {
		VEC_FOREACH(&problems, struct error, e)
		MUST(e->text[0]);
	}
	config_unref(&cfg);
	arena_free(&a);
	return 0;
}
