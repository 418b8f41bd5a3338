/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A redirection with one_time is done once: what it made and could not be delivered becomes a
 * recipient of its own, and the one that it came from is done with.  Exim specification, 22.
 *
 * Order: what has been delivered below such an address is noted as the new recipient's before there
 * is one, which does no harm; then one record replaces the old recipient by the new ones; then
 * their times are recorded with all others.  A cut before that record leaves everything as it was,
 * one after it nothing that would be delivered twice.
 */
#include "deliver/deliver_private.h"

struct head { /* the address that becomes a recipient */
	struct address *of;
	uint32_t index;
};

struct change {
	uint32_t recipient;
	size_t first, count; /* of heads */
};

/* The nearest one at or above it that a one_time redirection made. */
static struct address *head_of(struct address *a)
{
	while (a && !a->one_time)
		a = a->parent;
	return a;
}

static bool is_below(const struct address *a, const struct address *head)
{
	while (a && a != head)
		a = a->parent;
	return a != NULL;
}

/* The heads of one recipient; none if something of it is deferred that has no head: then the whole
 * is redirected again. */
static size_t collect(struct attempt *t, uint32_t recipient, struct vec *heads)
{
	size_t before = heads->count;

	VEC_FOREACH(&t->deferred, struct address *, it)
	{
		struct address *h = (*it)->recipient == recipient ? head_of(*it) : NULL;
		bool known = false;
		if ((*it)->recipient != recipient)
			continue;
		if (!h) {
			heads->count = before;
			return 0;
		}
		for (size_t i = before; i < heads->count && !known; i++)
			known = VEC_AT(heads, struct head, i)->of == h;
		if (!known)
			*VEC_PUSH(t->arena, heads, struct head) = (struct head){.of = h};
	}
	return heads->count - before;
}

/* What is through below it goes on being so. */
static void note_below(struct attempt *t, const struct head *h)
{
	for (size_t i = 0; i < t->routing.addresses.count; i++) {
		struct address *a = *VEC_AT(&t->routing.addresses, struct address *, i);
		if (a == h->of || !is_below(a, h->of))
			continue;
		bool through = a->result == ROUTE_DELIVER || a->result == ROUTE_FAILED ||
		               a->result == ROUTE_DISCARDED || a->result == ROUTE_DUPLICATE;
		a->recipient = h->index;
		if (!through)
			continue;
		strbuf_add(&t->note, address_note(t->arena, a));
		strbuf_char(&t->note, '\n');
	}
}

static enum rc store_notes(struct attempt *t, struct error *err)
{
	struct queue_progress p = {
	    .id = t->id, .next_attempt_us = -1, .note = strbuf_slice(&t->note)};
	enum rc rc = RC_OK;

	if (p.note.len)
		rc = store_progress_wait(t->d->cfg.store, t->arena, &p, 1, err);
	if (rc == RC_OK)
		strbuf_reset(&t->note);
	return rc;
}

static enum rc store_change(
    struct attempt *t, const struct change *c, const struct vec *heads, struct error *err)
{
	struct queue_recipient *by = ARENA_ARRAY(t->arena, struct queue_recipient, c->count);
	const struct recipient *was = &t->m->recipients[c->recipient];
	struct queue_edit e = {.kind = QUEUE_EDIT_REPLACE_RECIPIENT,
	    .recipient = c->recipient,
	    .by = by,
	    .n_by = c->count};

	for (size_t i = 0; i < c->count; i++) {
		const struct address *a = VEC_AT(heads, struct head, c->first + i)->of;
		struct recipient r = {.address = a->text,
		    .errors_to = a->errors_to,
		    .orcpt = was->orcpt,
		    .dsn_flags = was->dsn_flags,
		    .one_time_parent = address_top(a)->text};
		by[i].address = a->text;
		by[i].params = message_encode_recipient(t->arena, &r);
	}
	return store_edit_wait(t->d->cfg.store, t->arena, t->id, &e, err);
}

/* The same in memory: the state of the message, and what is still to be recorded. */
static void apply(struct attempt *t, const struct change *c, const struct vec *heads,
    struct queue_outcome *outcomes, size_t *n)
{
	struct queue_recipient *was = &t->state.recipients[c->recipient];
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++)
		if (outcomes[i].recipient != c->recipient)
			outcomes[kept++] = outcomes[i];
	*n = kept;
	for (size_t i = 0; i < c->count; i++) {
		const struct head *h = VEC_AT(heads, struct head, c->first + i);
		struct queue_recipient *r = &t->state.recipients[t->state.n_recipients++];
		*r = (struct queue_recipient){.address = h->of->text,
		    .next_attempt_us = was->next_attempt_us,
		    .retry = was->retry};
		outcomes[(*n)++] = (struct queue_outcome){.recipient = h->index,
		    .state = QUEUE_RCPT_PENDING,
		    .next_attempt_us = r->next_attempt_us,
		    .retry = r->retry};
	}
	was->state = QUEUE_RCPT_DELIVERED;
}

static bool find_changes(struct attempt *t, struct vec *heads, struct vec *changes)
{
	bool any = false;

	VEC_FOREACH(&t->deferred, struct address *, a)
	any = any || head_of(*a) != NULL;
	for (uint32_t i = 0; any && i < t->state.n_recipients; i++) {
		size_t first = heads->count;
		if (t->state.recipients[i].state != QUEUE_RCPT_PENDING || t->left[i] == 0 ||
		    collect(t, i, heads) == 0)
			continue;
		*VEC_PUSH(t->arena, changes, struct change) =
		    (struct change){.recipient = i, .first = first, .count = heads->count - first};
	}
	for (size_t i = 0; i < heads->count; i++)
		VEC_AT(heads, struct head, i)->index = (uint32_t)(t->state.n_recipients + i);
	return changes->count > 0;
}

/* The index has from the store what is in the message now, and what is not on record yet. */
static enum rc update_index(
    struct attempt *t, const struct queue_outcome *o, size_t n, struct error *err)
{
	struct queue_message q;
	enum rc rc = store_load(t->d->cfg.store, t->arena, t->id, 0, &q, err);

	if (rc == RC_OK)
		rc = queue_index_update(t->d->cfg.index, &q, err);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (o[i].state != QUEUE_RCPT_PENDING)
			rc = queue_index_set_recipient(
			    t->d->cfg.index, t->id, o[i].recipient, o[i].state);
	return rc;
}

void one_time_settle(struct attempt *t, struct queue_outcome *outcomes, size_t *n)
{
	struct vec heads = {0}, changes = {0};
	struct error err = {.text = ""};

	if (!find_changes(t, &heads, &changes))
		return;
	struct queue_recipient *all =
	    ARENA_ARRAY(t->arena, struct queue_recipient, t->state.n_recipients + heads.count);
	memcpy(all, t->state.recipients, t->state.n_recipients * sizeof *all);
	t->state.recipients = all;
	VEC_FOREACH(&heads, struct head, h)
	note_below(t, h);
	enum rc rc = store_notes(t, &err);
	/* their indexes follow from the order: after one that could not be recorded there is none
	 */
	for (size_t i = 0; rc == RC_OK && i < changes.count; i++) {
		const struct change *c = VEC_AT(&changes, struct change, i);
		rc = store_change(t, c, &heads, &err);
		if (rc == RC_OK)
			apply(t, c, &heads, outcomes, n);
	}
	if (rc == RC_OK)
		rc = update_index(t, outcomes, *n, &err);
	if (rc != RC_OK)
		log_panic(t->log, t->id_text, "a one_time redirection could not be recorded: %s",
		    err.text);
}
