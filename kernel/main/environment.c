/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The environment that the configuration wants: what keep_environment lets through, what
 * add_environment sets, TZ as timezone says and never as it came.
 */
#include "main/environment.h"
#include "config/config.h"
#include "match/match.h"

#include <string.h>

/* A list of patterns where case counts. */
static enum rc compile_kept(
    struct arena *a, const struct config *cfg, struct match_list **out, struct error *err)
{
	struct expr_env env = {.cfg = cfg, .option = "keep_environment"};
	slice_t list = config_text(cfg, MO_keep_environment);

	if (slice_is_absent(list) || !list.len)
		return RC_OK;
	return match_compile(a, MATCH_LOCALPARTS, list, false, &env, out, err);
}

static slice_t name_of(const char *setting)
{
	const char *end = strchr(setting, '=');

	return end ? slice_of(setting, (size_t)(end - setting), HEDDLE_CLEAN) : slice_absent();
}

/* The last setting of a name counts. */
static void put(struct arena *a, struct vec *list, const char *setting)
{
	slice_t name = name_of(setting);

	VEC_FOREACH(list, const char *, s)
	if (slice_eq(name_of(*s), name)) {
		*s = setting;
		return;
	}
	*VEC_PUSH(a, list, const char *) = setting;
}

enum rc environment_make(struct arena *a, const struct config *cfg, char *const *from,
    struct vec *out, struct error *err)
{
	slice_t add = config_text(cfg, MO_add_environment), zone = config_text(cfg, MO_timezone),
	        item;
	struct match_list *kept = NULL;
	struct eval ev;
	uint64_t pos = 0;
	enum rc rc = compile_kept(a, cfg, &kept, err);

	eval_init(&ev, a, cfg);
	ev.process = config_process(cfg);
	for (; rc < RC_DEFER && from && *from; from++) {
		slice_t name = name_of(*from);
		if (slice_is_absent(name) || slice_eqs(name, "TZ"))
			continue;
		rc = match_local_part_caseful(&ev, kept, name, NULL, err);
		if (rc == RC_OK)
			put(a, out, arena_cstr(a, slice_cstr(*from)));
	}
	if (rc == RC_ERROR || rc == RC_DEFER)
		return error_wrap(err, RC_ERROR, "keep_environment");
	while (!slice_is_absent(add) && expand_list_next(a, add, &pos, &item))
		if (slice_find(item, '=') != SIZE_MAX)
			put(a, out, arena_cstr(a, item));
	if (!slice_is_absent(zone) && zone.len)
		put(a, out, arena_printf(a, "TZ=%.*s", SL_ARG(zone)).ptr);
	return RC_OK;
}
