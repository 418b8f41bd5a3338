/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an administrator does to an envelope, and what he looks at.  The message is taken first, so
 * that no attempt runs meanwhile; then the edit is on stable storage; then memory follows.
 */
#include "base/codec.h"
#include "base/io.h"
#include "deliver/deliver_private.h"
#include "log/log.h"

#include <unistd.h>

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

/* Exim's tree of addresses that need nothing more, as one that only branches to the right. */
static void put_nonrecipients(const struct queue_message *q, struct strbuf *out)
{
	size_t left = 0;

	for (size_t i = 0; i < q->n_recipients; i++)
		left += q->recipients[i].state != QUEUE_RCPT_PENDING;
	if (!left)
		strbuf_text(out, "XX\n");
	for (size_t i = 0; i < q->n_recipients; i++)
		if (q->recipients[i].state != QUEUE_RCPT_PENDING)
			strbuf_printf(out, "N%c %.*s\n", --left ? 'Y' : 'N',
			    SL_ARG(q->recipients[i].address));
}

static void put_acl_variables(char letter, const struct map *vars, struct strbuf *out)
{
	size_t pos = 0;
	slice_t name;
	void *value;

	while (vars && map_next(vars, &pos, &name, &value)) {
		const slice_t *v = value;
		if (v && !slice_is_absent(*v))
			strbuf_printf(out, "%s-acl%c %.*s %u\n%.*s\n",
			    slice_is_clean(*v) ? "" : "-", letter, SL_ARG(name), v->len,
			    SL_ARG(*v));
	}
}

static void put_fact(struct strbuf *out, const char *name, slice_t value)
{
	if (!slice_is_absent(value) && value.len)
		strbuf_printf(out, "%s %.*s\n", name, SL_ARG(value));
}

static void put_address(struct strbuf *out, const char *name, slice_t address, int64_t port)
{
	if (slice_is_absent(address) || !address.len)
		return;
	strbuf_printf(out, "%s [%.*s]", name, SL_ARG(address));
	if (port)
		strbuf_printf(out, ":%lld", (long long)port);
	strbuf_char(out, '\n');
}

/* How it came in: the lines between the times and the recipients; two hyphens where a peer said it.
 */
static void put_facts(const struct message *m, const struct queue_message *q, struct strbuf *out)
{
	const struct session_facts *s = &m->session;
	const char *host = m->origin_uid ? "" : "-";
	bool tried = q->n_notes > 0;

	for (size_t i = 0; i < q->n_recipients; i++)
		tried = tried || q->recipients[i].state != QUEUE_RCPT_PENDING ||
		        q->recipients[i].retry.len;
	strbuf_printf(
	    out, "-received_time_usec .%06lld\n", (long long)(q->received_us % US_PER_SEC));
	put_fact(out, "--helo_name", s->sender_helo_name);
	put_address(out, "--host_address", s->sender_host_address, s->sender_host_port);
	put_fact(out, "--host_name", s->sender_host_name);
	put_fact(out, "--host_auth", s->sender_host_authenticated);
	put_address(out, "--interface_address", s->interface_address, s->interface_port);
	put_fact(out, arena_printf(out->arena, "%s-ident", host).ptr, s->sender_ident);
	put_fact(out, "-received_protocol", s->received_protocol);
	put_acl_variables('c', s->acl_c, out);
	put_acl_variables('m', m->facts.acl_m, out);
	strbuf_printf(out, "-body_linecount %lld\n", (long long)m->body.lines);
	if (m->facts.body_zerocount)
		strbuf_printf(out, "-body_zerocount %lld\n", (long long)m->facts.body_zerocount);
	strbuf_printf(
	    out, "-max_received_linelength %lld\n", (long long)m->facts.max_received_linelength);
	put_fact(out, arena_printf(out->arena, "%s-auth_id", host).ptr, s->authenticated_id);
	put_fact(out, arena_printf(out->arena, "%s-auth_sender", host).ptr,
	    m->facts.authenticated_sender);
	if (!tried)
		strbuf_text(out, "-deliver_firsttime\n");
	if (q->flags & QUEUE_MSG_FROZEN)
		strbuf_printf(out, "-frozen %lld\n", (long long)(q->frozen_us / US_PER_SEC));
	strbuf_text(out, m->sender_local ? "-local\n" : "");
	strbuf_text(out, m->sender_set_untrusted ? "-sender_set_untrusted\n" : "");
	strbuf_text(out, m->smtputf8 ? "-smtputf8\n" : "");
	put_fact(out, "-tls_cipher", s->tls_in_cipher);
	put_fact(out, "-tls_peerdn", s->tls_in_peerdn);
	put_fact(out, "-tls_sni", s->tls_in_sni);
}

/* What an administrator expects of an -H file, as far as it is known; nothing reads it back. */
static void put_envelope(
    const struct message *m, const struct queue_message *q, slice_t headers, struct strbuf *out)
{
	char text[QUEUE_ID_LEN + 1];

	queue_id_text(q->id, text);
	if (m->origin_uid)
		strbuf_printf(out, "%s-H\n%.*s %lld %lld\n", text, SL_ARG(m->origin_user),
		    (long long)m->origin_uid - 1, (long long)m->origin_gid - 1);
	else
		strbuf_printf(out, "%s-H\nheddle %lu %lu\n", text, (unsigned long)geteuid(),
		    (unsigned long)getegid());
	strbuf_printf(
	    out, "<%.*s>\n%lld 0\n", SL_ARG(q->sender), (long long)(q->received_us / US_PER_SEC));
	put_facts(m, q, out);
	put_nonrecipients(q, out);
	strbuf_printf(out, "%zu\n", q->n_recipients);
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

static enum rc show_facts(const struct queue_message *q, enum message_view what, slice_t headers,
    struct strbuf *out, struct error *err)
{
	struct message *m = message_new();
	enum rc rc = message_decode_envelope(m, q->facts, err);

	if (rc == RC_OK && what == VIEW_HEADERS)
		put_envelope(m, q, headers, out);
	if (rc == RC_OK && what == VIEW_FACTS) {
		strbuf_printf(out, "sender %.*s\nreceived %lld\n", SL_ARG(q->sender),
		    (long long)q->received_us);
		strbuf_printf(out, "facts %.*s\n", SL_ARG(base64_encode(out->arena, q->facts)));
		strbuf_printf(out, "headers %.*s\n", SL_ARG(base64_encode(out->arena, headers)));
		for (size_t i = 0; i < q->n_recipients; i++)
			strbuf_printf(out, "recipient %.*s\n", SL_ARG(q->recipients[i].address));
		strbuf_printf(out, "size %llu\nbody\n",
		    (unsigned long long)(q->headers_size + 1 + q->body_size));
	}
	message_unref(&m);
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
	if (what == VIEW_HEADERS || what == VIEW_FACTS)
		rc = show_facts(&q, what, s, out, err);
	if (rc != RC_OK || what == VIEW_HEADERS)
		return rc;
	if (what == VIEW_FACTS)
		return put_body(d, id, out, err);
	strbuf_add(out, s);
	strbuf_char(out, '\n');
	return put_body(d, id, out, err);
}
