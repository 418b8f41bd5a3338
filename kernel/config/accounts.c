/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The users and groups that a configuration names as constants: what is misspelt is to be known
 * when it is loaded.  Who is who is asked by others (main): NSS is not for every process. */
#include "config/config_private.h"
#include "expand/expand.h"

struct gathering {
	struct arena *a;
	struct vec *out;
};

static void add(struct gathering *g, const struct option_value *v, slice_t name, bool is_group,
    slice_t section, const char *kind)
{
	name = slice_trim(name);
	if (name.len == 0)
		return;
	struct config_account *c = VEC_PUSH(g->a, g->out, struct config_account);
	*c = (struct config_account){
	    .name = name, .is_group = is_group, .file = v->file, .line = v->line};
	c->is_never = strcmp(v->row->name, "never_users") == 0;
	c->where = section.len ? arena_printf(g->a, "%s %.*s: option \"%s\"", kind, SL_ARG(section),
	                             v->row->name)
	                       : arena_printf(g->a, "option \"%s\"", v->row->name);
}

/* The text, if no expansion decides it. */
static bool constant(const struct option_value *v, slice_t *out)
{
	*out = v->text;
	if (!v->is_set || slice_is_absent(v->text))
		return false;
	return v->expr ? expr_constant(v->expr, out) : true;
}

static void of_values(
    struct gathering *g, const struct option_value *values, slice_t section, const char *kind)
{
	slice_t text;

	for (const struct option_value *v = values; v && v->row; v++) {
		bool group = v->row->type == HEDDLE_T_GID;
		/* what an expansion gives is looked up when it is used, even if it is always the
		 * same */
		if ((group || v->row->type == HEDDLE_T_UID) && constant(v, &text) &&
		    slice_find(v->text, '$') == SIZE_MAX)
			add(g, v, text, group, section, kind);
	}
}

void config_accounts(const struct config *cfg, struct arena *a, struct vec *out)
{
	static const struct {
		enum main_option option;
		bool is_group;
	} lists[] = {{MO_never_users, false}, {MO_trusted_users, false}, {MO_trusted_groups, true},
	    {MO_admin_groups, true}};
	struct gathering g = {a, out};
	const struct heddle_instance *i;
	slice_t text, item;

	for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
		const struct option_value *v = &cfg->main.values[lists[k].option];
		uint64_t pos = 0;
		while (constant(v, &text) && expand_list_next(a, text, &pos, &item))
			add(&g, v, item, lists[k].is_group, SL(""), "");
	}
	for (uint32_t n = 0; (i = config_router(cfg, n)) != NULL; n++) {
		of_values(&g, i->generic, i->name, "router");
		of_values(&g, i->own, i->name, "router");
	}
	for (uint32_t n = 0; (i = config_transport(cfg, n)) != NULL; n++) {
		of_values(&g, i->generic, i->name, "transport");
		of_values(&g, i->own, i->name, "transport");
	}
}

void config_account_unknown(const struct config_account *c, struct arena *a, struct vec *problems)
{
	struct error *e;
	int64_t number;

	if (slice_to_i64(c->name, 10, false, &number))
		return; /* a number needs no account */
	e = VEC_PUSH(a, problems, struct error);
	*e = (struct error){.file = c->file, .line = c->line};
	(void)error_set(e, RC_ERROR, "%.*s: %s \"%.*s\" was not found", SL_ARG(c->where),
	    c->is_group ? "group" : "user", SL_ARG(c->name));
}
