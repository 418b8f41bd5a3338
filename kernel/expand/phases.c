/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of phases, and what a text that is compiled reads. */
#include "expand/phases.h"
#include "expand/notes.h"

enum {
	/* bits of rows */
	DELIVERY = PHASE_ROUTE | PHASE_TRANSPORT,
	TEXT = PHASE_DATA | PHASE_NOT_SMTP | DELIVERY,
	ENVELOPE = PHASE_MAIL | PHASE_RCPT | PHASE_PREDATA | PHASE_QUIT | PHASE_NOTQUIT | TEXT,
	ADDRESS = PHASE_RCPT | DELIVERY,
};

struct phase_row {
	const char *name;
	uint32_t set_in;
	const char *when;
};
static const char from_mail[] = "from MAIL on",
                  for_address[] = "for RCPT, and when an address is routed or delivered",
                  from_data[] = "when the message's text is there",
                  for_delivery[] = "when an address is routed or delivered",
                  for_transport[] = "when a message is delivered",
                  behind_helo[] = "behind HELO or EHLO",
                  in_session[] = "for a session or a message";
/* Those that are not here may be set anywhere. */
static const struct phase_row table[] = {
    {"address_data", ENVELOPE, from_mail},
    {"authenticated_id", PHASE_ANY & ~(PHASE_START | PHASE_CONNECT), behind_helo},
    {"authenticated_sender", PHASE_ANY & ~(PHASE_START | PHASE_CONNECT), behind_helo},
    {"body_linecount", TEXT, from_data},
    {"body_zerocount", TEXT, from_data},
    {"domain", ADDRESS, for_address},
    {"domain_data", ADDRESS, for_address},
    {"home", DELIVERY, for_delivery},
    {"host", DELIVERY, for_delivery},
    {"host_address", DELIVERY, for_delivery},
    {"host_port", DELIVERY, for_delivery},
    {"local_part", ADDRESS, for_address},
    {"local_part_data", ADDRESS, for_address},
    {"local_part_prefix", ADDRESS, for_address},
    {"local_part_suffix", ADDRESS, for_address},
    {"local_user_gid", DELIVERY, for_delivery},
    {"local_user_uid", DELIVERY, for_delivery},
    {"message_body", TEXT, from_data},
    {"message_body_end", TEXT, from_data},
    {"message_body_size", TEXT, from_data},
    {"message_headers", TEXT, from_data},
    {"message_headers_raw", TEXT, from_data},
    {"message_linecount", TEXT, from_data},
    {"original_domain", DELIVERY, for_delivery},
    {"original_local_part", DELIVERY, for_delivery},
    {"parent_domain", DELIVERY, for_delivery},
    {"parent_local_part", DELIVERY, for_delivery},
    {"recipients", PHASE_PREDATA | TEXT, from_data},
    {"reply_address", TEXT, from_data},
    {"router_name", DELIVERY, for_delivery},
    {"self_hostname", DELIVERY, for_delivery},
    {"sender_address", ENVELOPE, from_mail},
    {"sender_address_data", ENVELOPE, from_mail},
    {"sender_address_domain", ENVELOPE, from_mail},
    {"sender_address_local_part", ENVELOPE, from_mail},
    {"sender_fullhost", PHASE_ANY & ~PHASE_START, in_session},
    {"sender_helo_name", PHASE_ANY & ~(PHASE_START | PHASE_CONNECT | PHASE_NOT_SMTP), behind_helo},
    {"sender_host_address", PHASE_ANY & ~PHASE_START, in_session},
    {"sender_host_name", PHASE_ANY & ~PHASE_START, in_session},
    {"sending_ip_address", PHASE_TRANSPORT, for_transport},
    {"sending_port", PHASE_TRANSPORT, for_transport},
    {"smtp_notquit_reason", PHASE_NOTQUIT, "in the ACL for a session that ends without QUIT"},
    {"transport_name", PHASE_TRANSPORT, for_transport},
};

static const struct phase_row *row_of(slice_t name)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (slice_eqs(name, table[i].name))
			return &table[i];
	return NULL;
}

bool var_use_is_unset(const struct var_use *u, uint32_t phases, struct error *out)
{
	if (u->kind != USE_READ || (u->set_in & phases) || !phases)
		return false;
	*out = (struct error){.file = u->file, .line = u->line};
	(void)error_set(out, RC_ERROR, "%s%s\"$%.*s\" is never set here: it is set %s",
	    u->option ? u->option : "", u->option ? ": " : "", SL_ARG(u->name), u->when);
	return true;
}

void var_use_warn_empty(const struct var_use *u, struct error *out)
{
	*out = (struct error){.file = u->file, .line = u->line};
	(void)error_set(out, RC_ERROR, "%s%s\"$%.*s\" may be empty where a number is wanted: %s",
	    u->option ? u->option : "", u->option ? ": " : "", SL_ARG(u->name),
	    u->kind == USE_COMPARED ? "it then counts as 0" : "the expansion then fails");
}

/* ---- while a text is compiled ---- */

/* Is what it reads of interest to anybody? */
static bool is_wanted(const struct parser *p)
{
	return p->env && (p->env->uses || (p->env->phases && p->env->warnings));
}

static void note(
    struct parser *p, slice_t name, enum var_use_kind kind, uint32_t set_in, const char *when)
{
	*VEC_PUSH(p->arena, &p->uses, struct var_use) = (struct var_use){.name = name,
	    .kind = kind,
	    .set_in = set_in,
	    .when = when,
	    .file = p->env->file,
	    .option = p->env->option,
	    .line = p->env->line};
}

void parse_note_read(struct parser *p, slice_t name)
{
	const struct phase_row *row = is_wanted(p) ? row_of(name) : NULL;
	if (row)
		note(p, name, USE_READ, row->set_in, row->when);
}

void parse_note_header(struct parser *p, slice_t written)
{
	if (is_wanted(p))
		note(p, written, USE_READ, TEXT, from_data);
}

void parse_note_def(struct parser *p, slice_t name)
{
	if (is_wanted(p))
		*VEC_PUSH(p->arena, &p->guards, slice_t) = name;
}

void parse_note_number(struct parser *p, const struct expr *e, bool computed)
{
	if (!is_wanted(p) || !p->env->uses)
		return;
	for (uint32_t i = 0; i < e->count; i++) {
		slice_t name = parse_user_variable(&e->nodes[i]);
		/* all of an operand; in eval "+1" is a number, so what stands first before a sign
		 * may be empty */
		const struct node *next = i + 1 < e->count ? &e->nodes[i + 1] : NULL;
		slice_t sign = next && !next->eval ? slice_trim(next->text) : (slice_t){0};
		bool harmless =
		    computed ? i == 0 && sign.len && (sign.ptr[0] == '+' || sign.ptr[0] == '-')
		             : e->count > 1;
		if (name.len && !harmless)
			note(p, name, computed ? USE_COMPUTED : USE_COMPARED, 0, NULL);
	}
}

static bool is_guarded(const struct parser *p, const struct var_use *u)
{
	VEC_FOREACH(&p->guards, const slice_t, name)
	if (slice_eq(*name, u->name))
		return true;
	return false;
}

void parse_uses_done(struct parser *p)
{
	VEC_FOREACH(&p->uses, const struct var_use, u)
	{
		struct error e;
		if (is_guarded(p, u))
			continue;
		if (p->env->uses)
			*VEC_PUSH(p->arena, p->env->uses, struct var_use) = *u;
		else if (var_use_is_unset(u, p->env->phases, &e))
			*VEC_PUSH(p->arena, p->env->warnings, struct error) = e;
	}
}
