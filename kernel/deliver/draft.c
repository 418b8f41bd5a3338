/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Messages that transports make (autoreply), and routers (redirect, about errors in lists): draft,
 * draft_write, commit of heddle.message.1.
 * A draft lies in the arena of the call and comes to nothing unless it is committed; commit means
 * that it is on stable storage. Source: Exim specification, chapter 27; RFC 3834.
 */
#include "deliver/deliver_private.h"
#include "message/arrival.h"
#include "message/fixups.h"
#include "smtp/server.h"

#define DRAFT_MAX      ((size_t)16 << 20)
#define RECIPIENTS_MAX 1000u

struct heddle_draft {
	struct attempt *attempt;
	struct heddle_job *job; /* NULL: a router's */
	const void *of;         /* the delivery or routing that it is open in */
	slice_t sender, headers;
	slice_t *to;
	uint32_t count;
	struct strbuf body;
	bool is_done;
};

static int32_t refuse(struct heddle_call *c, int32_t result, const char *why, slice_t about)
{
	slice_t text = arena_printf(c->arena, "%s%.*s", why, SL_ARG(about));

	c->services->host.reason(c, 0, slice_absent(), text);
	return result;
}

/* Clean of what would end a line: a peer's text is part of it. */
static bool is_line_safe(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 127)
			return false;
	return true;
}

static struct attempt *attempt_of(const struct heddle_call *c)
{
	const struct heddle_job *j = c->job;
	const struct route_step *s = c->routing;

	return j ? j->attempt : s ? s->run->attempt : NULL;
}

int32_t message_draft(struct heddle_call *c, slice_t sender, const slice_t *to, uint32_t count,
    slice_t headers, struct heddle_draft **out)
{
	if (!attempt_of(c))
		return refuse(c, HEDDLE_ERROR, "a message is made while one is delivered", SL(""));
	if (count == 0 || count > RECIPIENTS_MAX)
		return refuse(c, HEDDLE_FAIL, "no recipients, or too many", SL(""));
	struct heddle_draft *d = ARENA_NEW(c->arena, struct heddle_draft);
	d->attempt = attempt_of(c);
	d->job = c->job;
	d->of = c->job ? c->job : c->routing;
	d->sender = sender;
	d->headers = arena_dup(c->arena, headers);
	d->to = ARENA_ARRAY(c->arena, slice_t, count);
	d->count = count;
	for (uint32_t i = 0; i < count; i++) {
		slice_t local, domain;
		if (!is_line_safe(to[i]) || !address_split(to[i], &local, &domain) || !domain.len)
			return refuse(c, HEDDLE_FAIL, "not an address: ", to[i]);
		d->to[i] = arena_dup(c->arena, to[i]);
	}
	strbuf_init(&d->body, c->arena, DRAFT_MAX);
	*out = d;
	return HEDDLE_OK;
}

int32_t message_draft_write(
    struct heddle_call *c, struct heddle_draft *d, const void *buf, uint64_t len)
{
	if (d->is_done || d->of != (c->job ? c->job : c->routing))
		return refuse(c, HEDDLE_ERROR, "a draft that is not open", SL(""));
	strbuf_add(&d->body, slice_tainted(buf, (size_t)len));
	return strbuf_is_overfull(&d->body)
	           ? refuse(c, HEDDLE_FAIL, "the message is too large", SL(""))
	           : HEDDLE_OK;
}

/* The login of whom the transport runs as; a number if its name is not known here. */
static slice_t author(const struct heddle_job *j, struct arena *a)
{
	if (!j || j->uid == UINT32_MAX) /* the daemon's own account */
		return SL("heddle");
	const struct address *of = *VEC_AT(&j->group->addresses, struct address *, 0);
	if (of->facts.local_user_uid == (int64_t)j->uid && of->facts.local_part.len)
		return arena_dup(a, of->facts.local_part);
	return arena_printf(a, "%u", j->uid);
}

static void put_received(struct attempt *t, struct message *m, slice_t who)
{
	const struct process_facts *p = config_process(t->cfg);
	slice_t text =
	    arena_printf(m->arena, "Received: from %.*s by %.*s with local (Heddle %.*s)\n\t",
	        SL_ARG(who), SL_ARG(p->primary_hostname), SL_ARG(p->heddle_version));

	if (m->sender.len)
		text = arena_printf(
		    m->arena, "%.*s(envelope-from <%.*s>)\n\t", SL_ARG(text), SL_ARG(m->sender));
	text = arena_printf(m->arena, "%.*sid %s", SL_ARG(text), m->id);
	if (m->recipient_count == 1)
		text = arena_printf(
		    m->arena, "%.*s\n\tfor %.*s", SL_ARG(text), SL_ARG(m->recipients->address));
	text = arena_printf(m->arena, "%.*s;\n\t%.*s\n", SL_ARG(text),
	    SL_ARG(clock_rfc5322(m->arena, m->received_us)));
	(void)header_prepend(m->arena, &m->headers, text);
}

static void take_recipients(struct message *m, const struct heddle_draft *d)
{
	m->recipients = ARENA_ARRAY(m->arena, struct recipient, d->count);
	for (uint32_t i = 0; i < d->count; i++) {
		struct recipient *r = &m->recipients[i];
		r->address = arena_dup(m->arena, d->to[i]);
		r->address.flags = 0;
		r->errors_to = r->orcpt = slice_absent();
	}
	m->recipient_count = d->count;
}

static enum rc make_message(struct attempt *t, const struct heddle_draft *d, struct message *m,
    slice_t who, struct error *err)
{
	struct fixup_request fix = {.local = true,
	    .trusted = true,
	    .login = who,
	    .full_name = slice_absent(),
	    .given_name = slice_absent(),
	    .qualify_sender = true,
	    .qualify_recipient = true,
	    .submission_domain = slice_absent(),
	    .submission_name = slice_absent()};
	slice_t *chunk = ARENA_NEW(m->arena, slice_t);

	m->sender = arena_dup(m->arena, d->sender);
	m->local_message = true;
	m->received_us = clock_wall_us();
	m->session.received_protocol = SL("local");
	m->session.sender_ident = who;
	take_recipients(m, d);
	*chunk = arena_dup(m->arena, strbuf_slice(&d->body));
	m->body = (struct body){.chunks = chunk, .chunk_count = 1, .fd = -1, .bytes = chunk->len};
	for (uint32_t i = 0; i < chunk->len; i++)
		m->body.lines += chunk->ptr[i] == '\n';
	m->facts.body_linecount = (int64_t)m->body.lines;
	slice_t text = arena_dup(m->arena, d->headers);
	text.flags = 0;
	header_parse(m->arena, text, &m->headers);
	enum rc rc = message_fixup(m, &t->ev, &fix, err);
	put_received(t, m, who);
	m->size_bytes = header_section_size(&m->headers) + 1 + m->body.bytes;
	return rc;
}

static enum rc queue(struct attempt *t, struct message *m, slice_t who, struct error *err)
{
	struct queue_message q;
	struct queue_entry *e = NULL;
	struct strbuf sb;
	enum rc rc = smtp_queue_message(m, &q, err);

	if (rc == RC_OK)
		rc = store_append_wait(t->d->cfg.store, m->arena, &q, err);
	if (rc != RC_OK)
		return rc;
	strbuf_init(&sb, t->arena, 0);
	strbuf_printf(&sb, "<= %s%.*s R=%.*s U=%.*s P=local S=%llu", m->sender.len ? "" : "<>",
	    SL_ARG(m->sender), SL_ARG(t->id_text), SL_ARG(who), (unsigned long long)m->size_bytes);
	arrival_fields(&sb, t->log, t->cfg, m, m->recipients, m->recipient_count);
	log_text(t->log, LOG_TO_MAIN, slice_cstr(m->id), strbuf_slice(&sb), slice_absent());
	rc = queue_index_insert(t->d->cfg.index, &q, true, &e, err);
	if (rc == RC_OK && !deliver_now(t->d, m, &e))
		queue_index_release(t->d->cfg.index, &e, 0);
	return rc;
}

int32_t message_commit(struct heddle_call *c, struct heddle_draft *d, slice_t *id)
{
	struct error err = {.text = ""};

	if (d->is_done || d->of != (c->job ? c->job : c->routing))
		return refuse(c, HEDDLE_ERROR, "a draft that is not open", SL(""));
	struct attempt *t = d->attempt;
	struct message *m = message_new();
	slice_t who = author(d->job, m->arena);
	d->is_done = true;
	queue_id_text(store_next_id(t->d->cfg.store), m->id);
	enum rc rc = make_message(t, d, m, who, &err);
	if (rc == RC_OK)
		rc = queue(t, m, who, &err);
	if (rc == RC_OK)
		*id = arena_dup(c->arena, slice_cstr(m->id));
	message_unref(&m);
	return rc == RC_OK ? HEDDLE_OK : refuse(c, HEDDLE_DEFER, err.text, SL(""));
}
