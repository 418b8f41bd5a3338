/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an administrator does to an envelope, and what he looks at.  The message is taken first, so
 * that no attempt runs meanwhile; then the edit is on stable storage; then memory follows.
 */
#include "base/io.h"
#include "deliver/deliver_private.h"
#include "log/log.h"

#define LOG_MAX   ((size_t)64 << 20)
#define READ_SIZE 32768u

/* ---- editing
 * -------------------------------------------------------------------------------------------- */

static enum rc mark_one(struct deliverer *d, struct queue_id id, const struct queue_message *q,
    uint32_t i, slice_t who, struct error *err)
{
	struct queue_edit e = {
	    .kind = QUEUE_EDIT_MARK_DELIVERED, .recipient = i, .when_us = clock_wall_us()};
	struct arena *a = arena_new(0);
	char text[QUEUE_ID_LEN + 1];
	enum rc rc = store_edit_wait(d->cfg.store, a, id, &e, err);

	queue_id_text(id, text);
	if (rc == RC_OK)
		log_main(d->cfg.log, slice_cstr(text), "address <%.*s> marked delivered by %.*s",
		    SL_ARG(q->recipients[i].address), SL_ARG(who));
	arena_free(&a);
	return rc;
}

/* All that are pending (address: ABSENT), or this one. */
static enum rc mark(struct deliverer *d, struct queue_id id, const struct queue_message *q,
    slice_t address, slice_t who, struct error *err)
{
	bool found = slice_is_absent(address);
	enum rc rc = RC_OK;

	for (uint32_t i = 0; i < q->n_recipients && rc == RC_OK; i++) {
		const struct queue_recipient *r = &q->recipients[i];
		bool is_it = slice_is_absent(address) || slice_eq(r->address, address);
		found = found || is_it;
		if (is_it && r->state == QUEUE_RCPT_PENDING)
			rc = mark_one(d, id, q, i, who, err);
	}
	return found ? rc
	             : error_set(err, RC_FAIL,
	                   "- error while marking as delivered:\n  %.*s is not a recipient: "
	                   "message not updated",
	                   SL_ARG(address));
}

static enum rc change(struct deliverer *d, struct queue_id id, const struct queue_message *q,
    enum envelope_edit what, slice_t address, slice_t who, struct error *err)
{
	struct queue_edit e = {
	    .kind = what == ENVELOPE_ADD ? QUEUE_EDIT_ADD_RECIPIENT : QUEUE_EDIT_SET_SENDER,
	    .when_us = clock_wall_us(),
	    .text = address};
	char text[QUEUE_ID_LEN + 1];

	if (what == ENVELOPE_MARK || what == ENVELOPE_MARK_ALL)
		return mark(d, id, q, address, who, err);
	struct arena *a = arena_new(0);
	enum rc rc = store_edit_wait(d->cfg.store, a, id, &e, err);
	arena_free(&a);
	if (rc != RC_OK)
		return rc;
	queue_id_text(id, text);
	if (what == ENVELOPE_ADD)
		log_main(d->cfg.log, slice_cstr(text), "recipient <%.*s> added by %.*s",
		    SL_ARG(address), SL_ARG(who));
	else
		log_main(d->cfg.log, slice_cstr(text), "sender address changed to <%.*s> by %.*s",
		    SL_ARG(address), SL_ARG(who));
	return RC_OK;
}

enum rc deliver_edit_envelope(struct deliverer *d, struct queue_id id, enum envelope_edit what,
    slice_t address, slice_t who, struct error *err)
{
	struct queue_entry *e = queue_index_take(d->cfg.index, id, true);
	struct queue_message q;

	if (!e)
		return error_set(
		    err, RC_FAIL, "is locked: it is being delivered, or is not on the queue");
	struct arena *a = arena_new(0);
	enum rc rc = store_load(d->cfg.store, a, id, 0, &q, err);
	if (rc == RC_OK)
		rc = change(d, id, &q, what, address, who, err);
	if (rc == RC_OK)
		rc = store_load(d->cfg.store, a, id, 0, &q, err);
	if (rc == RC_OK)
		rc = queue_index_update(d->cfg.index, &q, err);
	struct queue_view v;
	queue_entry_view(e, &v);
	queue_index_release(d->cfg.index, &e, v.next_attempt_us);
	arena_free(&a);
	return rc;
}

/* ---- looking
 * -------------------------------------------------------------------------------------------- */

/* The letter by which Exim's -H files tell kinds of fields apart. */
static char kind_of(slice_t field)
{
	static const struct {
		const char *name;
		char kind;
	} kinds[] = {{"Received:", 'P'}, {"From:", 'F'}, {"To:", 'T'}, {"Cc:", 'C'}, {"Bcc:", 'B'},
	    {"Message-ID:", 'I'}, {"Reply-To:", 'R'}, {"Sender:", 'S'}};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (slice_startsi(field, kinds[i].name))
			return kinds[i].kind;
	return ' ';
}

/* A field with its continuations. */
static slice_t next_field(slice_t *rest)
{
	uint32_t end = 0;

	while (end < rest->len && !(rest->ptr[end] == '\n' &&
	                              (end + 1 >= rest->len || !strchr(" \t", rest->ptr[end + 1]))))
		end++;
	if (end < rest->len)
		end++;
	slice_t field = slice_sub(*rest, 0, end);
	*rest = slice_sub(*rest, end, rest->len);
	return field;
}

/* What an administrator expects of an -H file; nothing reads it back. */
static void put_envelope(const struct queue_message *q, slice_t headers, struct strbuf *out)
{
	char text[QUEUE_ID_LEN + 1];

	queue_id_text(q->id, text);
	strbuf_printf(out, "%s-H\n<%.*s>\n%lld 0\n", text, SL_ARG(q->sender),
	    (long long)(q->received_us / US_PER_SEC));
	if (q->flags & QUEUE_MSG_FROZEN)
		strbuf_printf(out, "-frozen %lld\n", (long long)(q->frozen_us / US_PER_SEC));
	for (size_t i = 0; i < q->n_recipients; i++)
		if (q->recipients[i].state != QUEUE_RCPT_PENDING)
			strbuf_printf(
			    out, "-nonrecipient %.*s\n", SL_ARG(q->recipients[i].address));
	strbuf_printf(out, "XX\n%zu\n", q->n_recipients);
	for (size_t i = 0; i < q->n_recipients; i++)
		strbuf_printf(out, "%.*s\n", SL_ARG(q->recipients[i].address));
	strbuf_char(out, '\n');
	while (headers.len) {
		slice_t f = next_field(&headers);
		strbuf_printf(out, "%03u%c ", f.len, kind_of(f));
		strbuf_add(out, f);
	}
}

static enum rc put_body(
    struct deliverer *d, struct queue_id id, struct strbuf *out, struct error *err)
{
	struct store_reader *r = NULL;
	enum rc rc = store_reader_open(d->cfg.store, id, &r, err);
	char *buf = arena_bytes(out->arena, READ_SIZE), last = '\n';
	size_t n = 1;

	while (rc == RC_OK && n > 0) {
		rc = store_reader_read(r, buf, READ_SIZE, &n, err);
		if (rc == RC_OK && n > 0) {
			strbuf_add(out, slice_tainted(buf, n));
			last = buf[n - 1];
		}
	}
	if (last != '\n')
		strbuf_char(out, '\n'); /* the verdict that follows is a line of its own */
	store_reader_close(r ? &r : &(struct store_reader *){NULL});
	return rc;
}

enum rc deliver_show(struct deliverer *d, struct queue_id id, enum message_view what,
    struct strbuf *out, struct error *err)
{
	struct queue_message q;
	char text[QUEUE_ID_LEN + 1];
	slice_t s;

	queue_id_text(id, text);
	if (what == VIEW_LOG) {
		enum rc rc =
		    log_message_text(d->cfg.log, slice_cstr(text), out->arena, LOG_MAX, &s, err);
		if (rc == RC_OK)
			strbuf_add(out, s);
		return rc;
	}
	if (what == VIEW_BODY) {
		strbuf_printf(out, "%s-D\n", text);
		return put_body(d, id, out, err);
	}
	enum rc rc = store_load(d->cfg.store, out->arena, id, STORE_LOAD_HEADERS, &q, err);
	if (rc != RC_OK)
		return rc;
	s = q.n_headers ? q.headers[0] : SL("");
	if (what == VIEW_HEADERS) {
		put_envelope(&q, s, out);
		return RC_OK;
	}
	strbuf_add(out, s);
	strbuf_char(out, '\n');
	return put_body(d, id, out, err);
}
