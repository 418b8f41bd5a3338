/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Warnings at load about what the texts of ACLs read: an ACL may be used in several places, and
 * what it reads need be set in one. */
#include "acl/acl_private.h"
#include "expand/phases.h"

static const uint32_t phase_of[ACL_WHERE_COUNT] = {
    [ACL_CONNECT] = PHASE_CONNECT,
    [ACL_HELO] = PHASE_HELO,
    [ACL_STARTTLS] = PHASE_AUTH,
    [ACL_AUTH] = PHASE_AUTH,
    [ACL_MAIL] = PHASE_MAIL,
    [ACL_MAILAUTH] = PHASE_MAIL,
    [ACL_RCPT] = PHASE_RCPT,
    [ACL_PREDATA] = PHASE_PREDATA,
    [ACL_DATA_PRDR] = PHASE_RCPT | PHASE_DATA,
    [ACL_MIME] = PHASE_DATA,
    [ACL_DKIM] = PHASE_DATA,
    [ACL_DATA] = PHASE_DATA,
    [ACL_QUIT] = PHASE_QUIT,
    [ACL_NOTQUIT] = PHASE_NOTQUIT,
    [ACL_NOT_SMTP_START] = PHASE_NOT_SMTP,
    [ACL_NOT_SMTP_MIME] = PHASE_NOT_SMTP,
    [ACL_NOT_SMTP] = PHASE_NOT_SMTP,
};

/* Of all places where it was seen to be used; ANY: one of them may be any. */
static uint32_t phases_of(const struct acl *acl)
{
	uint32_t phases = 0;
	for (unsigned w = 0; w < ACL_WHERE_COUNT; w++)
		if (acl->checked & WHERE(w))
			phases |= phase_of[w] ? phase_of[w] : PHASE_ANY;
	return phases;
}

/* Names of variables that some statement sets whatever happens. */
static void add_sets(struct arena *a, const struct acl *acl, struct map *sets)
{
	for (const struct acl_stmt *s = acl->stmts; s; s = s->next)
		for (const struct acl_cond *c = s->conds; c && c->row->is_modifier; c = c->next)
			if (c->row->arg == ARG_SET && !map_get(sets, c->text))
				map_put(sets, arena_dup(a, c->text), a);
}

static void warn_of(struct acl_compile *c, const struct acl *acl, const struct map *sets)
{
	uint32_t phases = phases_of(acl);
	VEC_FOREACH(&acl->uses, const struct var_use, u)
	{
		struct error e = {0};
		bool wrong = u->kind == USE_READ && var_use_is_unset(u, phases, &e);
		if (u->kind != USE_READ && !map_get(sets, u->name)) {
			var_use_warn_empty(u, &e);
			wrong = true;
		}
		const struct error *last =
		    c->warnings->count ? VEC_AT(c->warnings, struct error, c->warnings->count - 1)
		                       : NULL;
		if (wrong && !(last && last->line == e.line && strcmp(last->text, e.text) == 0))
			*VEC_PUSH(c->arena, c->warnings, struct error) = e;
	}
}

void acl_warn(struct acl_compile *c)
{
	struct map *sets = map_new(c->arena, MAP_EXACT);
	struct map *const maps[] = {c->acls->named, c->acls->inlined};
	slice_t name;
	void *acl;
	for (size_t m = 0; m < 2; m++)
		for (size_t at = 0; map_next(maps[m], &at, &name, &acl);)
			add_sets(c->arena, acl, sets);
	for (size_t m = 0; m < 2; m++)
		for (size_t at = 0; map_next(maps[m], &at, &name, &acl);)
			warn_of(c, acl, sets);
}
