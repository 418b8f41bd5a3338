/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The message of an attempt: handed over by its receiver, or read back from the store (then nothing
 * in it is trusted). */
#include "deliver/load.h"

static enum rc take_recipients(struct message *m, const struct queue_message *q, struct error *err)
{
	m->recipients = ARENA_ARRAY(m->arena, struct recipient, q->n_recipients + 1);
	m->recipient_count = (uint32_t)q->n_recipients;
	for (size_t i = 0; i < q->n_recipients; i++) {
		enum rc rc = message_decode_recipient(
		    m->arena, q->recipients[i].params, &m->recipients[i], err);
		if (rc != RC_OK)
			return rc;
		m->recipients[i].address = q->recipients[i].address;
	}
	return RC_OK;
}

static void take_body(struct message *m, const struct queue_message *q)
{
	m->body.bytes = q->body_size;
	m->body.in_file = (q->flags & QUEUE_MSG_BODY_FILE) != 0;
	m->body.fd = -1;
	if (m->body.in_file || q->n_body == 0)
		return;
	slice_t *pieces = ARENA_ARRAY(m->arena, slice_t, q->n_body);
	for (size_t i = 0; i < q->n_body; i++)
		pieces[i] = slice_tainted(q->body[i].iov_base, q->body[i].iov_len);
	m->body.chunks = pieces;
	m->body.chunk_count = (uint32_t)q->n_body;
}

enum rc load_message(struct store *s, struct queue_id id, struct message **out_m,
    struct queue_message *out_q, struct error *err)
{
	struct message *m = message_new();
	enum rc rc = store_load(s, m->arena, id, STORE_LOAD_HEADERS | STORE_LOAD_BODY, out_q, err);

	if (rc == RC_OK)
		rc = message_decode_envelope(m, out_q->facts, err);
	if (rc == RC_OK)
		rc = take_recipients(m, out_q, err);
	if (rc != RC_OK) {
		message_unref(&m);
		return rc;
	}
	queue_id_text(id, m->id);
	m->sender = out_q->sender;
	m->received_us = out_q->received_us;
	take_body(m, out_q);
	if (out_q->n_headers)
		header_parse(m->arena, out_q->headers[0], &m->headers);
	*out_m = m;
	return RC_OK;
}

void load_fresh(
    struct arena *a, const struct message *m, struct queue_id id, struct queue_message *out_q)
{
	*out_q = (struct queue_message){.id = id,
	    .received_us = m->received_us,
	    .sender = m->sender,
	    .n_recipients = m->recipient_count};
	out_q->recipients = ARENA_ARRAY(a, struct queue_recipient, m->recipient_count + 1u);
	for (uint32_t i = 0; i < m->recipient_count; i++)
		out_q->recipients[i].address = m->recipients[i].address;
}

slice_t load_text(struct arena *a, const struct message *m, uint64_t max)
{
	struct strbuf sb;

	strbuf_init(&sb, a, (size_t)max + 1);
	for (uint32_t i = 0; i < m->body.chunk_count && sb.len < max; i++)
		strbuf_add(&sb, slice_sub(m->body.chunks[i], 0, (size_t)max - sb.len));
	return strbuf_slice(&sb);
}
