/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The message as one transport sends it: header changes of router and transport applied, then the
 * body, in the wire form asked for.  A reader holds no copy of the body: it walks over what is in
 * memory or reads from the store.
 */
#include "deliver/deliver_private.h"
#include "message/body.h"

#define BODY_PIECE 65536

slice_t render_sender(const struct heddle_job *j)
{
	const struct address *a = *VEC_AT(&j->group->addresses, struct address *, 0);
	const struct option_value *o = &j->transport->generic[TO_return_path];
	slice_t from = slice_is_absent(a->errors_to) ? j->attempt->m->sender : a->errors_to, v;
	struct error err;

	if (o->expr && expr_eval(&j->attempt->ev, o->expr, &v, &err) == RC_OK &&
	    !slice_is_absent(v))
		from = v;
	return from;
}

/* Is the field named in a colon-separated list of names (a name may end in *)? */
static bool is_listed(struct arena *a, slice_t list, const struct header *h)
{
	slice_t name = slice_sub(h->text, 0, h->name_len), item;
	uint64_t pos = 0;

	if (slice_is_absent(list) || h->name_len == 0)
		return false;
	while (expand_list_next(a, list, &pos, &item)) {
		bool star = item.len && item.ptr[item.len - 1] == '*';
		slice_t fixed = slice_sub(item, 0, star ? item.len - 1 : item.len);
		if (star ? slice_eqi(slice_sub(name, 0, fixed.len), fixed)
		         : (item.len && slice_eqi(name, item)))
			return true;
	}
	return false;
}

static void put_line(struct strbuf *sb, slice_t text)
{
	if (slice_is_absent(text) || text.len == 0)
		return;
	strbuf_add(sb, text);
	if (text.ptr[text.len - 1] != '\n')
		strbuf_char(sb, '\n');
}

static void put_added(struct heddle_call *c, const struct heddle_job *j, struct strbuf *sb)
{
	const struct heddle_instance *t = j->transport;
	const struct group *g = j->group;

	if (t->generic[TO_return_path_add].number != 0)
		strbuf_printf(sb, "Return-path: <%.*s>\n", SL_ARG(j->sender));
	if (t->generic[TO_envelope_to_add].number != 0) {
		strbuf_text(sb, "Envelope-to: ");
		for (size_t i = 0; i < g->addresses.count; i++)
			strbuf_printf(sb, "%s%.*s", i ? ",\n " : "",
			    SL_ARG(address_top(*VEC_AT(&g->addresses, struct address *, i))->text));
		strbuf_char(sb, '\n');
	}
	if (t->generic[TO_delivery_date_add].number != 0)
		strbuf_printf(
		    sb, "Delivery-date: %.*s\n", SL_ARG(clock_rfc5322(c->arena, clock_wall_us())));
}

static enum rc option_text(struct heddle_call *c, const struct heddle_job *j,
    enum transport_option which, slice_t *out, struct error *err)
{
	return route_expand_items(
	    c->eval, &j->transport->generic[which], which == TO_headers_add ? '\n' : ':', out, err);
}

enum rc render_header(
    struct heddle_call *c, const struct heddle_job *j, slice_t *out, struct error *err)
{
	const struct address *a = *VEC_AT(&j->group->addresses, struct address *, 0);
	struct strbuf sb;
	slice_t add, remove = slice_absent();
	enum rc rc = option_text(c, j, TO_headers_add, &add, err);

	if (rc == RC_OK)
		rc = option_text(c, j, TO_headers_remove, &remove, err);
	if (rc != RC_OK)
		return rc;
	strbuf_init(&sb, c->arena, 0);
	if (j->transport->generic[TO_body_only].number == 0) {
		put_added(c, j, &sb);
		for (const struct header *h = j->attempt->m->headers.first; h; h = h->next)
			if (h->type != '*' && !is_listed(c->arena, a->headers_remove, h) &&
			    !is_listed(c->arena, remove, h))
				put_line(&sb, h->text);
		put_line(&sb, a->headers_add);
		put_line(&sb, add);
		strbuf_char(&sb, '\n');
	}
	if (strbuf_is_overfull(&sb))
		return error_set(err, RC_DEFER, "the header has become too long");
	*out = strbuf_slice(&sb);
	return RC_OK;
}

/* ---- the reader
 * ----------------------------------------------------------------------------------------- */

struct heddle_reader {
	struct attempt *t;
	slice_t header;
	bool skip_body;
	uint32_t wire, chunk;
	slice_t from, prefix; /* check_string, escape_string; ABSENT: none */
	bool line_start;
	struct dot_writer dots;
	struct store_reader *file; /* a body that is not in memory */
	slice_t piece;             /* what is left of the present piece */
	char *buf;
};

static int32_t say(struct heddle_call *c, const struct error *err)
{
	c->services->host.reason(c, 0, slice_absent(), arena_dup(c->arena, slice_cstr(err->text)));
	return HEDDLE_DEFER;
}

static void close_file(void *arg)
{
	struct heddle_reader *r = arg;
	store_reader_close(&r->file);
}

static int32_t open_message(
    struct heddle_call *c, uint32_t wire, slice_t from, slice_t prefix, struct heddle_reader **out)
{
	struct heddle_job *j = c->job;
	struct error err = {.text = ""};

	if (!j)
		return HEDDLE_ERROR;
	struct heddle_reader *r = ARENA_NEW(c->arena, struct heddle_reader);
	r->t = j->attempt;
	r->wire = wire;
	r->from = from;
	r->prefix = prefix;
	r->line_start = true;
	r->skip_body = j->transport->generic[TO_headers_only].number != 0;
	dot_writer_init(&r->dots);
	if (render_header(c, j, &r->header, &err) != RC_OK)
		return say(c, &err);
	const struct body *b = &r->t->m->body;
	if (!b->chunks && b->bytes && !r->skip_body) {
		if (store_reader_open(r->t->d->cfg.store, r->t->id, &r->file, &err) != RC_OK)
			return say(c, &err);
		arena_on_free(c->arena, close_file, r);
		r->buf = arena_bytes(c->arena, BODY_PIECE);
	}
	r->piece = r->header;
	*out = r;
	return HEDDLE_OK;
}

/* The next piece in LF form; empty at the end. */
static enum rc refill(struct heddle_reader *r, struct error *err)
{
	const struct body *b = &r->t->m->body;
	size_t n;

	if (r->skip_body)
		return RC_OK;
	if (!r->file) {
		while (r->piece.len == 0 && r->chunk < b->chunk_count)
			r->piece = b->chunks[r->chunk++];
		return RC_OK;
	}
	enum rc rc = store_reader_read(r->file, r->buf, BODY_PIECE, &n, err);
	if (rc == RC_OK)
		r->piece = slice_tainted(r->buf, n);
	return rc;
}

/* A prefix before each line that begins with `from`: line by line, only when it was asked for. */
static size_t put_checked(struct heddle_reader *r, char *buf, size_t cap)
{
	size_t n = 0;

	while (r->piece.len && n < cap) {
		if (r->line_start && slice_eq(slice_sub(r->piece, 0, r->from.len), r->from)) {
			if (r->prefix.len > cap - n)
				break;
			memcpy(buf + n, r->prefix.ptr, r->prefix.len);
			n += r->prefix.len;
			r->line_start = false;
			continue;
		}
		size_t nl = slice_find(r->piece, '\n');
		size_t take = nl == SIZE_MAX ? r->piece.len : nl + 1;
		if (take > cap - n)
			take = cap - n;
		memcpy(buf + n, r->piece.ptr, take);
		r->line_start = r->piece.ptr[take - 1] == '\n';
		n += take;
		r->piece = slice_sub(r->piece, take, r->piece.len);
	}
	return n;
}

/* CRLF without dots. */
static size_t put_crlf(struct heddle_reader *r, char *buf, size_t cap)
{
	size_t n = 0;

	while (r->piece.len && n + 2 < cap) {
		size_t nl = slice_find(r->piece, '\n');
		size_t take = nl == SIZE_MAX ? r->piece.len : nl, room = cap - n - 2;
		if (take > room) {
			take = room;
			nl = SIZE_MAX;
		}
		memcpy(buf + n, r->piece.ptr, take);
		n += take;
		if (nl != SIZE_MAX) {
			buf[n++] = '\r';
			buf[n++] = '\n';
			take++;
		}
		r->piece = slice_sub(r->piece, take, r->piece.len);
	}
	return n;
}

static size_t put_piece(struct heddle_reader *r, char *buf, size_t cap)
{
	if (r->wire == HEDDLE_WIRE_DOTS) {
		size_t used = 0;
		size_t n = dot_writer_put(&r->dots, r->piece, &used, buf, cap);
		r->piece = slice_sub(r->piece, used, r->piece.len);
		return n;
	}
	if (r->wire == HEDDLE_WIRE_CRLF)
		return put_crlf(r, buf, cap);
	if (!slice_is_absent(r->from) && r->from.len)
		return put_checked(r, buf, cap);
	size_t n = r->piece.len < cap ? r->piece.len : cap;
	memcpy(buf, r->piece.ptr, n);
	r->piece = slice_sub(r->piece, n, r->piece.len);
	return n;
}

static int32_t read_message(
    struct heddle_call *c, struct heddle_reader *r, void *buf, uint64_t cap, uint64_t *got)
{
	struct error err = {.text = ""};
	size_t n = 0, room = cap > SIZE_MAX ? SIZE_MAX : (size_t)cap;

	if (room < 256)
		return HEDDLE_ERROR;
	while (n + 256 <= room) {
		if (r->piece.len == 0 && refill(r, &err) != RC_OK)
			return say(c, &err);
		if (r->piece.len == 0)
			break;
		size_t put = put_piece(r, (char *)buf + n, room - n);
		if (put == 0)
			break;
		n += put;
	}
	*got = n;
	return HEDDLE_OK;
}

static int32_t message_length(struct heddle_call *c, struct heddle_reader *r, uint64_t *bytes)
{
	(void)c;
	if (r->wire != HEDDLE_WIRE_LF || !slice_is_absent(r->from))
		return HEDDLE_FAIL;
	*bytes = r->header.len + (r->skip_body ? 0 : r->t->m->body.bytes);
	return HEDDLE_OK;
}

static int32_t message_info(struct heddle_call *c, struct heddle_message_info *out)
{
	struct heddle_job *j = c->job;
	const struct message *m;

	if (!j)
		return HEDDLE_ERROR;
	m = j->attempt->m;
	out->recipients = m->recipient_count;
	out->id = j->attempt->id_text;
	out->sender = m->sender;
	out->size = m->size_bytes;
	out->body_lines = m->body.lines;
	out->received_at = m->received_us / US_PER_SEC;
	out->body_8bit = m->body_8bit;
	out->smtputf8 = m->smtputf8;
	return HEDDLE_OK;
}

static int32_t message_header(struct heddle_call *c, uint64_t *pos, slice_t *name, slice_t *value)
{
	struct heddle_job *j = c->job;
	uint64_t k = 0;

	if (!j)
		return HEDDLE_ERROR;
	for (const struct header *h = j->attempt->m->headers.first; h; h = h->next) {
		if (h->type == '*' || h->name_len == 0 || k++ < *pos)
			continue;
		*name = slice_sub(h->text, 0, h->name_len);
		*value = header_value(h);
		*pos = k;
		return HEDDLE_OK;
	}
	return HEDDLE_FAIL;
}

const struct heddle_message_service message_service = {
    .struct_size = sizeof message_service,
    .info = message_info,
    .header = message_header,
    .open = open_message,
    .read = read_message,
    .length = message_length,
    .draft = message_draft,
    .draft_write = message_draft_write,
    .commit = message_commit,
};
