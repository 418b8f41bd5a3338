/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The message to syntax_errors_to: what was left out of a list.  Specification, 22.8. */
#include "redirect.h"

#include <string.h>

struct letter {
	const struct heddle_message_service *message;
	struct heddle_call *call;
	struct heddle_draft *draft;
	int32_t rc; /* of the first thing that went wrong */
};

static void put(struct letter *m, slice s)
{
	if (m->rc == HEDDLE_OK && s.len)
		m->rc = m->message->draft_write(m->call, m->draft, s.ptr, s.len);
}

static void put_text(struct letter *m, const char *s)
{
	put(m, heddle_text(s));
}

static slice variable(struct list *l, const char *name)
{
	slice v;

	if (l->r->host->var_get(l->call, heddle_text(name), &v) != HEDDLE_OK ||
	    (v.flags & HEDDLE_ABSENT))
		return heddle_text("");
	return v;
}

static slice headers(struct list *l, slice to)
{
	slice domain = variable(l, "qualify_domain"), id = variable(l, "message_exim_id");
	slice parts[9] = {
	    heddle_text("Auto-Submitted: auto-replied\nFrom: Mail Delivery System <Mailer-Daemon@"),
	    domain.len ? domain : variable(l, "primary_hostname"), heddle_text(">\nTo: "), to,
	    heddle_text("\nSubject: error(s) in forwarding or filtering\nReferences: <E"), id,
	    heddle_text("@"), variable(l, "primary_hostname"), heddle_text(">\n")};
	slice all = heddle_text("");

	(void)l->r->host->join(l->call, parts, 9, &all);
	return all;
}

static void put_faults(struct list *l, struct letter *m)
{
	put_text(m, "The ");
	put(m, l->r->host->instance_name(l->r->cfg));
	put_text(m, " router encountered the following error(s):\n");
	for (const struct fault *f = l->faults; f; f = f->next) {
		put_text(m, "\n  ");
		put(m, f->why);
		put_text(m, " in the address\n  \"");
		put(m, f->item);
		put_text(m, "\"\n");
	}
	put_text(m, l->children ? "\nOther addresses were processed normally.\n"
	                        : "\nNo valid addresses were generated.\n");
}

int32_t report_faults(struct list *l)
{
	const struct redirect *r = l->r;
	struct letter m = {.call = l->call};
	slice to, text, id;

	if ((l->address->flags & (HEDDLE_A_VERIFY | HEDDLE_A_TEST | HEDDLE_A_EXPN)) ||
	    r->host->opt_text(l->call, r->cfg, O_SYNTAX_ERRORS_TO, &to) != HEDDLE_OK ||
	    (to.flags & HEDDLE_ABSENT) || to.len == 0)
		return HEDDLE_OK;
	int32_t rc = r->host->opt_text(l->call, r->cfg, O_SYNTAX_ERRORS_TEXT, &text);
	if (rc != HEDDLE_OK && rc != HEDDLE_FAIL)
		return rc;
	m.message = r->host->service(r->host, HEDDLE_MESSAGE_ID);
	if (!m.message)
		return HEDDLE_DEFER;
	m.rc = m.message->draft(l->call, heddle_text(""), &to, 1, headers(l, to), &m.draft);
	if (rc == HEDDLE_OK && !(text.flags & HEDDLE_ABSENT) && text.len) {
		put(&m, text);
		put_text(&m, "\n\n");
	}
	put_faults(l, &m);
	return m.rc == HEDDLE_OK ? m.message->commit(l->call, m.draft, &id) : m.rc;
}
