/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/record: what is inside MESSAGE, PROGRESS and EDIT records, and how the latter two change a
 * message. A reader and a writer of fields do the bounds checks in one place each.
 */
#include "queue/record.h"

#include "base/codec.h"
#include "base/strbuf.h"

#define ENVELOPE_FIXED    72u
#define RECIPIENT_FIXED   28u
#define PROGRESS_FIXED    20u
#define OUTCOME_FIXED     20u
#define EDIT_FIXED        28u
#define REPLACEMENT_FIXED 12u

/* ---- a cursor over untrusted bytes ---- */
struct cursor {
	const uint8_t *p;
	size_t left;
	bool bad; /* sticks */
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	static const uint8_t nothing[ENVELOPE_FIXED];

	if (c->bad || n > c->left) {
		c->bad = true;
		return n <= sizeof nothing ? nothing : NULL;
	}
	const uint8_t *p = c->p;
	c->p += n;
	c->left -= n;
	return p;
}

static slice_t take_text(struct cursor *c, uint32_t n)
{
	const uint8_t *p = take(c, n);

	return c->bad ? slice_tainted("", 0) : slice_tainted(p, n);
}

static uint8_t *put_text(uint8_t *p, slice_t s)
{
	if (s.len)
		memcpy(p, s.ptr, s.len);
	return p + s.len;
}

/* ---- MESSAGE ---- */
static uint64_t envelope_size(const struct queue_message *m)
{
	uint64_t size = ENVELOPE_FIXED + (uint64_t)m->sender.len;

	for (size_t i = 0; i < m->n_recipients; i++)
		size += RECIPIENT_FIXED + (uint64_t)m->recipients[i].address.len +
		        m->recipients[i].params.len + m->recipients[i].retry.len;
	for (size_t i = 0; i < m->n_notes; i++)
		size += 4 + (uint64_t)m->notes[i].len;
	return size;
}

static uint8_t *put_recipient(uint8_t *p, const struct queue_recipient *r)
{
	put_le32(p, r->address.len);
	put_le32(p + 4, r->params.len);
	put_le32(p + 8, r->flags);
	put_le32(p + 12, (uint32_t)r->state);
	put_le64(p + 16, (uint64_t)r->next_attempt_us);
	put_le32(p + 24, r->retry.len);
	p = put_text(p + RECIPIENT_FIXED, r->address);
	p = put_text(p, r->params);
	return put_text(p, r->retry);
}

enum rc record_message_encode(
    struct arena *a, const struct queue_message *m, slice_t *out_envelope, struct error *err)
{
	uint64_t headers = m->headers_size, size = envelope_size(m);

	if (m->n_headers) {
		headers = 0;
		for (size_t i = 0; i < m->n_headers; i++)
			headers += m->headers[i].len;
	}
	if (m->n_recipients > UINT32_MAX || size + headers + m->facts.len > RECORD_MAX_BYTES)
		return error_set(err, RC_FAIL, "message envelope and headers are too large");
	uint8_t *start = (uint8_t *)arena_bytes(a, (size_t)size), *p = start;
	put_le32(p, (uint32_t)size);
	put_le32(p + 4, RECORD_VERSION);
	put_le32(p + 8, m->flags);
	put_le32(p + 12, (uint32_t)m->n_recipients);
	put_le64(p + 16, (uint64_t)m->received_us);
	put_le64(p + 24, (uint64_t)m->next_attempt_us);
	put_le64(p + 32, (uint64_t)m->frozen_us);
	put_le64(p + 40, m->body_size);
	put_le32(p + 48, m->body_crc);
	put_le32(p + 52, m->sender.len);
	put_le32(p + 56, m->facts.len);
	put_le32(p + 60, (uint32_t)headers);
	put_le32(p + 64, (uint32_t)m->n_notes);
	put_le32(p + 68, 0);
	p = put_text(p + ENVELOPE_FIXED, m->sender);
	for (size_t i = 0; i < m->n_recipients; i++)
		p = put_recipient(p, &m->recipients[i]);
	for (size_t i = 0; i < m->n_notes; i++) {
		put_le32(p, m->notes[i].len);
		p = put_text(p + 4, m->notes[i]);
	}
	MUST(p == start + size);
	*out_envelope = slice_tainted(start, (size_t)size);
	return RC_OK;
}

bool record_envelope_len(const void *p, size_t n, uint32_t *out)
{
	const uint8_t *b = p;

	if (n < 8 || get_le32(b + 4) != RECORD_VERSION || get_le32(b) < ENVELOPE_FIXED)
		return false;
	*out = get_le32(b);
	return true;
}

static void take_recipient(struct cursor *c, struct queue_recipient *r)
{
	const uint8_t *p = take(c, RECIPIENT_FIXED);
	uint32_t state = get_le32(p + 12);

	if (state >= QUEUE_RCPT_STATES) {
		c->bad = true;
		return;
	}
	r->flags = get_le32(p + 8);
	r->state = (enum queue_recipient_state)state;
	r->next_attempt_us = (int64_t)get_le64(p + 16);
	r->address = take_text(c, get_le32(p));
	r->params = take_text(c, get_le32(p + 4));
	r->retry = take_text(c, get_le32(p + 24));
}

static void take_lists(struct arena *a, struct cursor *c, uint32_t n_notes, struct queue_message *m)
{
	/* an array is made only when the bytes for it are there */
	if (m->n_recipients > c->left / RECIPIENT_FIXED) {
		c->bad = true;
		return;
	}
	m->recipients = ARENA_ARRAY(a, struct queue_recipient, m->n_recipients + 1);
	for (size_t i = 0; i < m->n_recipients && !c->bad; i++)
		take_recipient(c, &m->recipients[i]);
	if (c->bad || n_notes > c->left / 4) {
		c->bad = true;
		return;
	}
	m->n_notes = n_notes;
	m->notes = ARENA_ARRAY(a, slice_t, m->n_notes + 1);
	for (size_t i = 0; i < m->n_notes && !c->bad; i++)
		m->notes[i] = take_text(c, get_le32(take(c, 4)));
}

enum rc record_message_decode(struct arena *a, const void *p, size_t n, struct queue_message *out,
    struct record_message_sizes *out_sizes, struct error *err)
{
	struct record_message_sizes sizes = {0};
	struct queue_message m = {0};

	if (!record_envelope_len(p, n, &sizes.envelope_len) || sizes.envelope_len > n)
		return error_set(err, RC_ERROR, "damaged envelope: its length is wrong");
	struct cursor c = {p, sizes.envelope_len, false};
	const uint8_t *b = take(&c, ENVELOPE_FIXED);
	m.flags = get_le32(b + 8);
	m.n_recipients = get_le32(b + 12);
	m.received_us = (int64_t)get_le64(b + 16);
	m.next_attempt_us = (int64_t)get_le64(b + 24);
	m.frozen_us = (int64_t)get_le64(b + 32);
	m.body_size = get_le64(b + 40);
	m.body_crc = get_le32(b + 48);
	sizes.facts_len = get_le32(b + 56);
	sizes.headers_len = get_le32(b + 60);
	m.headers_size = sizes.headers_len;
	m.sender = take_text(&c, get_le32(b + 52));
	take_lists(a, &c, get_le32(b + 64), &m);
	if (c.bad || c.left)
		return error_set(err, RC_ERROR, "damaged envelope: a field does not fit");
	*out = m;
	*out_sizes = sizes;
	return RC_OK;
}

/* ---- PROGRESS ---- */
enum rc record_progress_encode(
    struct arena *a, const struct queue_progress *p, slice_t *out, struct error *err)
{
	uint64_t size = PROGRESS_FIXED + (uint64_t)p->note.len;

	for (size_t i = 0; i < p->n_outcomes; i++)
		size += OUTCOME_FIXED + (uint64_t)p->outcomes[i].retry.len;
	if (size > RECORD_MAX_BYTES)
		return error_set(err, RC_FAIL, "progress record is too large");
	uint8_t *start = (uint8_t *)arena_bytes(a, (size_t)size), *b = start;
	put_le32(b, RECORD_VERSION);
	put_le32(b + 4, (uint32_t)p->n_outcomes);
	put_le64(b + 8, (uint64_t)p->next_attempt_us);
	put_le32(b + 16, p->note.len);
	b += PROGRESS_FIXED;
	for (size_t i = 0; i < p->n_outcomes; i++) {
		const struct queue_outcome *o = &p->outcomes[i];

		put_le32(b, o->recipient);
		put_le32(b + 4, (uint32_t)o->state);
		put_le64(b + 8, (uint64_t)o->next_attempt_us);
		put_le32(b + 16, o->retry.len);
		b = put_text(b + OUTCOME_FIXED, o->retry);
	}
	b = put_text(b, p->note);
	MUST(b == start + size);
	*out = slice_tainted(start, (size_t)size);
	return RC_OK;
}

static void add_note(struct arena *a, struct queue_message *m, slice_t note)
{
	slice_t *notes = ARENA_ARRAY(a, slice_t, m->n_notes + 1);

	if (m->n_notes)
		memcpy(notes, m->notes, m->n_notes * sizeof *notes);
	notes[m->n_notes++] = note;
	m->notes = notes;
}

enum rc record_progress_apply(
    struct arena *a, const void *p, size_t n, struct queue_message *m, struct error *err)
{
	struct cursor c = {p, n, false};
	const uint8_t *b = take(&c, PROGRESS_FIXED);

	if (c.bad || get_le32(b) != RECORD_VERSION)
		return error_set(err, RC_ERROR, "damaged progress record");
	uint32_t count = get_le32(b + 4), note_len = get_le32(b + 16);
	int64_t next = (int64_t)get_le64(b + 8);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *o = take(&c, OUTCOME_FIXED);
		uint32_t recipient = get_le32(o), state = get_le32(o + 4);
		slice_t retry = take_text(&c, get_le32(o + 16));

		if (c.bad || recipient >= m->n_recipients || state >= QUEUE_RCPT_STATES)
			return error_set(err, RC_ERROR, "damaged progress record: outcome");
		m->recipients[recipient].state = (enum queue_recipient_state)state;
		m->recipients[recipient].next_attempt_us = (int64_t)get_le64(o + 8);
		m->recipients[recipient].retry = retry;
	}
	slice_t note = take_text(&c, note_len);
	if (c.bad || c.left)
		return error_set(err, RC_ERROR, "damaged progress record: note");
	if (note.len)
		add_note(a, m, note);
	if (next != -1)
		m->next_attempt_us = next;
	return RC_OK;
}

/* ---- EDIT ---- */
/* What a recipient is replaced by, in the place of the text: flags, lengths, address, params of
 * each. */
static slice_t put_replacements(struct arena *a, const struct queue_edit *e)
{
	struct strbuf sb;
	char fixed[REPLACEMENT_FIXED];

	strbuf_init(&sb, a, 0);
	for (size_t i = 0; i < e->n_by; i++) {
		const struct queue_recipient *r = &e->by[i];
		put_le32(fixed, r->flags);
		put_le32(fixed + 4, r->address.len);
		put_le32(fixed + 8, r->params.len);
		strbuf_add(&sb, slice_tainted(fixed, sizeof fixed));
		strbuf_add(&sb, r->address);
		strbuf_add(&sb, r->params);
	}
	return strbuf_slice(&sb);
}

enum rc record_edit_encode(
    struct arena *a, const struct queue_edit *e, slice_t *out, struct error *err)
{
	slice_t text = e->kind == QUEUE_EDIT_REPLACE_RECIPIENT ? put_replacements(a, e) : e->text;
	uint64_t size = EDIT_FIXED + (uint64_t)text.len + e->params.len;

	if (size > RECORD_MAX_BYTES || e->kind >= QUEUE_EDIT_KINDS)
		return error_set(err, RC_FAIL, "impossible edit");
	uint8_t *b = (uint8_t *)arena_bytes(a, (size_t)size);
	put_le16(b, RECORD_VERSION);
	put_le16(b + 2, (uint16_t)e->kind);
	put_le32(b + 4, e->recipient);
	put_le32(b + 8, e->flags);
	put_le64(b + 12, (uint64_t)e->when_us);
	put_le32(b + 20, text.len);
	put_le32(b + 24, e->params.len);
	(void)put_text(put_text(b + EDIT_FIXED, text), e->params);
	*out = slice_tainted(b, (size_t)size);
	return RC_OK;
}

static void add_recipient(struct arena *a, struct queue_message *m, const struct queue_edit *e)
{
	struct queue_recipient *r = ARENA_ARRAY(a, struct queue_recipient, m->n_recipients + 1);

	if (m->n_recipients)
		memcpy(r, m->recipients, m->n_recipients * sizeof *r);
	r[m->n_recipients++] = (struct queue_recipient){.address = e->text,
	    .params = e->params,
	    .flags = e->flags,
	    .next_attempt_us = e->when_us};
	m->recipients = r;
}

/* One of what a recipient is replaced by; false: at the end, or c is bad. */
static bool next_replacement(struct cursor *c, int64_t when_us, struct queue_recipient *out)
{
	const uint8_t *b = c->left ? take(c, REPLACEMENT_FIXED) : NULL;

	if (!b || c->bad)
		return false;
	*out = (struct queue_recipient){.flags = get_le32(b), .next_attempt_us = when_us};
	uint32_t params = get_le32(b + 8);
	out->address = take_text(c, get_le32(b + 4));
	out->params = take_text(c, params);
	return !c->bad;
}

/* All or nothing: what is damaged changes nothing. */
static enum rc replace_recipient(
    struct arena *a, struct queue_message *m, const struct queue_edit *e, struct error *err)
{
	struct cursor c = {(const uint8_t *)e->text.ptr, e->text.len, false}, again = c;
	struct queue_recipient one, *all;
	size_t n = 0;

	while (next_replacement(&c, e->when_us, &one))
		n++;
	if (c.bad || e->recipient >= m->n_recipients)
		return error_set(err, RC_ERROR, "damaged edit record: replacements");
	all = ARENA_ARRAY(a, struct queue_recipient, m->n_recipients + n);
	memcpy(all, m->recipients, m->n_recipients * sizeof *all);
	all[e->recipient].state = QUEUE_RCPT_DELIVERED;
	m->recipients = all;
	while (next_replacement(&again, e->when_us, &one))
		all[m->n_recipients++] = one;
	return RC_OK;
}

static void change_pending(struct queue_message *m, const struct queue_edit *e)
{
	for (size_t i = 0; i < m->n_recipients; i++) {
		struct queue_recipient *r = &m->recipients[i];

		if (r->state != QUEUE_RCPT_PENDING)
			continue;
		if (e->kind == QUEUE_EDIT_MARK_ALL)
			r->state = QUEUE_RCPT_DELIVERED;
		else
			r->next_attempt_us = e->when_us;
	}
}

static enum rc apply_edit(
    struct arena *a, const struct queue_edit *e, struct queue_message *m, struct error *err)
{
	switch (e->kind) {
	case QUEUE_EDIT_FREEZE:
		m->flags |= QUEUE_MSG_FROZEN;
		m->frozen_us = e->when_us;
		return RC_OK;
	case QUEUE_EDIT_THAW:
		m->flags &= ~QUEUE_MSG_FROZEN;
		m->frozen_us = 0;
		return RC_OK;
	case QUEUE_EDIT_CANCEL:
		m->flags |= QUEUE_MSG_CANCELLED;
		return RC_OK;
	case QUEUE_EDIT_ADD_RECIPIENT:
		add_recipient(a, m, e);
		return RC_OK;
	case QUEUE_EDIT_REMOVE_RECIPIENT:
	case QUEUE_EDIT_MARK_DELIVERED:
		if (e->recipient >= m->n_recipients)
			return error_set(err, RC_ERROR, "damaged edit record: recipient");
		m->recipients[e->recipient].state = e->kind == QUEUE_EDIT_MARK_DELIVERED
		                                        ? QUEUE_RCPT_DELIVERED
		                                        : QUEUE_RCPT_REMOVED;
		return RC_OK;
	case QUEUE_EDIT_MARK_ALL:
		change_pending(m, e);
		return RC_OK;
	case QUEUE_EDIT_SET_SENDER:
		m->sender = e->text;
		return RC_OK;
	case QUEUE_EDIT_SET_NEXT:
		m->next_attempt_us = e->when_us;
		change_pending(m, e);
		return RC_OK;
	case QUEUE_EDIT_REPLACE_RECIPIENT:
		return replace_recipient(a, m, e, err);
	case QUEUE_EDIT_KINDS:
		break;
	}
	return error_set(err, RC_ERROR, "damaged edit record: kind");
}

enum rc record_edit_apply(
    struct arena *a, const void *p, size_t n, struct queue_message *m, struct error *err)
{
	struct cursor c = {p, n, false};
	const uint8_t *b = take(&c, EDIT_FIXED);

	if (c.bad || get_le16(b) != RECORD_VERSION || get_le16(b + 2) >= QUEUE_EDIT_KINDS)
		return error_set(err, RC_ERROR, "damaged edit record");
	struct queue_edit e = {.kind = (enum queue_edit_kind)get_le16(b + 2),
	    .recipient = get_le32(b + 4),
	    .flags = get_le32(b + 8),
	    .when_us = (int64_t)get_le64(b + 12)};
	e.text = take_text(&c, get_le32(b + 20));
	e.params = take_text(&c, get_le32(b + 24));
	if (c.bad || c.left)
		return error_set(err, RC_ERROR, "damaged edit record: text");
	return apply_edit(a, &e, m, err);
}
