/* SPDX-License-Identifier: GPL-3.0-or-later */
/* struct smtp_queue_hooks over the store and the index. */
#include "smtp/server.h"

#include <stdatomic.h>
#include <stdlib.h>

struct store_hooks {
	struct smtp_queue_hooks hooks; /* first */
	struct store *store;
	struct queue_index *index;
	smtp_accepted_fn *accepted;
	void *ctx;
	/* the file system's answer; relaxed: each is good enough by itself, and old ones are for a
	 * moment only */
	_Atomic int64_t space_until_us;
	_Atomic uint64_t space_bytes, space_inodes;
};
#define SPACE_US (US_PER_SEC / 20)

static void next_id(void *ctx, char out[MESSAGE_ID_LEN + 1])
{
	struct store_hooks *h = ctx;
	queue_id_text(store_next_id(h->store), out);
}

static enum rc id_of(const char *text, struct queue_id *out, struct error *err)
{
	if (queue_id_parse(slice_cstr(text), out))
		return RC_OK;
	return error_set(err, RC_ERROR, "\"%s\" is no message id", text);
}

static enum rc spill_begin(void *ctx, const char *id, void **out_file, struct error *err)
{
	struct store_hooks *h = ctx;
	struct queue_id q;
	struct store_body *b = NULL;
	enum rc rc = id_of(id, &q, err);
	if (!rc)
		rc = store_body_begin(h->store, q, &b, err);
	if (!rc)
		*out_file = b;
	return rc;
}

static enum rc spill_write(void *file, const struct iovec *iov, size_t n, struct error *err)
{
	return store_body_write(file, iov, n, err);
}

static enum rc spill_finish(void **file, uint32_t *out_crc, struct error *err)
{
	struct queue_message q = {0};
	struct store_body *b = *file;
	enum rc rc = store_body_finish(&b, &q, err);
	*file = NULL;
	*out_crc = q.body_crc;
	return rc;
}

static void spill_abort(void **file)
{
	struct store_body *b = *file;
	store_body_abort(&b);
	*file = NULL;
}

static void discard_body(void *ctx, const char *id)
{
	struct store_hooks *h = ctx;
	struct queue_id q;
	if (!id_of(id, &q, NULL))
		store_body_discard(h->store, q);
}

/* What the index keeps. */
static enum rc index_part(struct message *m, struct queue_message *out, struct error *err)
{
	*out = (struct queue_message){0};
	enum rc rc = id_of(m->id, &out->id, err);
	if (rc)
		return rc;
	out->received_us = m->received_us;
	out->next_attempt_us = m->queue_only ? INT64_MAX : 0; /* a queue run makes it due */
	out->sender = m->sender;
	out->flags = (m->deliver_freeze ? QUEUE_MSG_FROZEN : 0u) |
	             (m->body.in_file ? QUEUE_MSG_BODY_FILE : 0u) |
	             (m->sender_set_untrusted ? MESSAGE_FLAG_SENDER_SET : 0u);
	out->frozen_us = m->deliver_freeze ? m->received_us : 0;
	out->n_recipients = m->recipient_count;
	out->recipients = ARENA_ARRAY(
	    m->arena, struct queue_recipient, m->recipient_count ? m->recipient_count : 1);
	for (uint32_t i = 0; i < m->recipient_count; i++)
		out->recipients[i].address = m->recipients[i].address;
	out->headers_size = header_section_size(&m->headers);
	out->body_size = m->body.bytes;
	return RC_OK;
}

enum rc smtp_queue_message(struct message *m, struct queue_message *out, struct error *err)
{
	struct arena *a = m->arena;
	enum rc rc = index_part(m, out, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < m->recipient_count; i++)
		out->recipients[i].params = message_encode_recipient(a, &m->recipients[i]);
	out->facts = message_encode_envelope(a, m);
	slice_t *pieces;
	out->n_headers = header_pieces(a, &m->headers, &pieces);
	out->headers = pieces;
	out->body_crc = m->body.crc;
	if (m->body.in_file)
		return RC_OK;
	struct iovec *iov =
	    ARENA_ARRAY(a, struct iovec, m->body.chunk_count ? m->body.chunk_count : 1);
	for (uint32_t i = 0; i < m->body.chunk_count; i++) {
		const void *p = m->body.chunks[i].ptr;
		memcpy(&iov[i].iov_base, &p,
		    sizeof p); /* an iovec is not const; the store only reads */
		iov[i].iov_len = m->body.chunks[i].len;
	}
	out->body = iov;
	out->n_body = m->body.chunk_count;
	return RC_OK;
}

struct append {
	smtp_commit_fn *fn;
	void *arg;
};

static void appended(void *arg, enum rc rc, const struct error *why)
{
	struct append *ap = arg;
	ap->fn(ap->arg, rc, why);
}

static enum rc append(void *ctx, struct message *m, struct worker *w, smtp_commit_fn *fn, void *arg,
    struct error *err)
{
	struct store_hooks *h = ctx;
	struct queue_message *q = ARENA_NEW(m->arena, struct queue_message);
	enum rc rc = smtp_queue_message(m, q, err);
	if (rc)
		return rc;
	struct append *ap = ARENA_NEW(m->arena, struct append);
	*ap = (struct append){fn, arg};
	return store_append(h->store, m->arena, q, w, appended, ap, err);
}

static void accepted(void *ctx, struct message *m, bool deliver_now)
{
	struct store_hooks *h = ctx;
	struct queue_message q;
	struct queue_entry *entry = NULL;
	struct error err;
	if (!h->index || index_part(m, &q, &err))
		return;
	bool active = deliver_now && h->accepted && !m->deliver_freeze;
	if (queue_index_insert(h->index, &q, active, active ? &entry : NULL, &err))
		return;
	if (h->accepted && entry)
		h->accepted(h->ctx, m, entry, deliver_now);
}

static enum rc space(void *ctx, uint64_t *out_bytes, uint64_t *out_inodes, struct error *err)
{
	struct store_hooks *h = ctx;
	int64_t now = clock_mono_us();
	if (now < atomic_load_explicit(&h->space_until_us, memory_order_relaxed)) {
		*out_bytes = atomic_load_explicit(&h->space_bytes, memory_order_relaxed);
		*out_inodes = atomic_load_explicit(&h->space_inodes, memory_order_relaxed);
		return RC_OK;
	}
	enum rc rc = store_space(h->store, out_bytes, out_inodes, err);
	if (rc)
		return rc;
	atomic_store_explicit(&h->space_bytes, *out_bytes, memory_order_relaxed);
	atomic_store_explicit(&h->space_inodes, *out_inodes, memory_order_relaxed);
	atomic_store_explicit(&h->space_until_us, now + SPACE_US, memory_order_relaxed);
	return RC_OK;
}

struct smtp_queue_hooks *smtp_store_hooks(
    struct store *store, struct queue_index *index, smtp_accepted_fn *fn, void *ctx)
{
	struct store_hooks *h = calloc(1, sizeof *h); /* as long as the server */
	MUST(h != NULL);
	h->store = store;
	h->index = index;
	h->accepted = fn;
	h->ctx = ctx;
	h->hooks = (struct smtp_queue_hooks){.ctx = h,
	    .next_id = next_id,
	    .body_threshold = store_body_threshold(store),
	    .spill = {spill_begin, spill_write, spill_finish, spill_abort},
	    .discard_body = discard_body,
	    .append = append,
	    .accepted = accepted,
	    .space = space};
	return &h->hooks;
}

void smtp_store_hooks_free(struct smtp_queue_hooks **hp)
{
	if (*hp)
		free((*hp)->ctx);
	*hp = NULL;
}
