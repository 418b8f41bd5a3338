/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddle.hints.1: what drivers keep from one message to the next (whom an automatic answer has been
 * sent to). One small database for all of them, apart from the retry hints; a record is the second
 * at which it expires (eight bytes, little-endian, 0: never), then the value.  Keys are DB, a NUL,
 * KEY.
 */
#include "base/codec.h"
#include "deliver/deliver_private.h"
#include "hints/hints.h"

#define HEAD 8u

static int32_t refuse(struct heddle_call *c, enum rc rc, const struct error *err)
{
	if (rc != RC_FAIL)
		c->services->host.reason(
		    c, 0, slice_absent(), arena_dup(c->arena, slice_cstr(err->text)));
	return (int32_t)rc;
}

static enum rc open_for(struct heddle_call *c, slice_t db, slice_t key, struct hints **out,
    slice_t *out_key, struct error *err)
{
	struct deliverer *d = c->services->deliver;

	*out = d ? d->cfg.driver_hints : NULL;
	if (!*out)
		return error_set(err, RC_DEFER, "there is no database for drivers");
	if (slice_find(db, '\0') != SIZE_MAX || db.len + key.len + 1u > HINTS_KEY_MAX)
		return error_set(err, RC_ERROR, "a key of %zu bytes is not one for hints",
		    (size_t)db.len + key.len);
	struct strbuf sb;
	strbuf_init(&sb, c->arena, 0);
	strbuf_add(&sb, db);
	strbuf_char(&sb, '\0');
	strbuf_add(&sb, key);
	*out_key = strbuf_slice(&sb);
	return RC_OK;
}

/* The value of a record that is still good; false: none. */
static bool value_of(slice_t record, int64_t now_s, slice_t *out)
{
	if (record.len < HEAD)
		return false;
	uint64_t until = get_le64((const uint8_t *)record.ptr);
	if (until && (uint64_t)now_s >= until)
		return false;
	*out = slice_sub(record, HEAD, record.len);
	return true;
}

static slice_t record_of(struct arena *a, slice_t value, uint32_t keep_seconds, int64_t now_s)
{
	char *p = arena_bytes(a, HEAD + value.len);

	put_le64((uint8_t *)p, keep_seconds ? (uint64_t)now_s + keep_seconds : 0);
	if (value.len)
		memcpy(p + HEAD, value.ptr, value.len);
	return slice_tainted(p, HEAD + value.len);
}

static int32_t get(struct heddle_call *c, slice_t db, slice_t key, slice_t *out)
{
	struct error err = {.text = ""};
	struct hints *h;
	struct hint got;
	slice_t whole;
	enum rc rc = open_for(c, db, key, &h, &whole, &err);

	if (rc == RC_OK)
		rc = hints_get(h, whole, c->arena, &got, &err);
	if (rc == RC_OK && !value_of(got.value, clock_wall_us() / US_PER_SEC, out))
		rc = RC_FAIL;
	return rc == RC_OK ? HEDDLE_OK : refuse(c, rc, &err);
}

static int32_t put(
    struct heddle_call *c, slice_t db, slice_t key, slice_t value, uint32_t keep_seconds)
{
	struct error err = {.text = ""};
	struct hints *h;
	slice_t whole;
	int64_t now = clock_wall_us();
	enum rc rc = open_for(c, db, key, &h, &whole, &err);

	if (rc == RC_OK)
		rc = hints_put(h, whole, record_of(c->arena, value, keep_seconds, now / US_PER_SEC),
		    now, &err);
	return rc == RC_OK ? HEDDLE_OK : refuse(c, rc, &err);
}

struct swap {
	slice_t was, record;
	int64_t now_s;
	bool done;
};

static enum hints_verb swap_if_same(void *ctx, const struct hint *old, slice_t *value)
{
	struct swap *s = ctx;
	slice_t present = slice_absent();

	bool there = old && value_of(old->value, s->now_s, &present);
	s->done = slice_is_absent(s->was) ? !there : there && slice_eq(present, s->was);
	*value = s->record;
	return s->done ? HINTS_WRITE : HINTS_KEEP;
}

static int32_t swap(struct heddle_call *c, slice_t db, slice_t key, slice_t was, slice_t value,
    uint32_t keep_seconds)
{
	struct error err = {.text = ""};
	struct hints *h;
	slice_t whole;
	int64_t now = clock_wall_us();
	struct swap s = {.was = was, .now_s = now / US_PER_SEC};
	enum rc rc = open_for(c, db, key, &h, &whole, &err);

	s.record = record_of(c->arena, value, keep_seconds, s.now_s);
	if (rc == RC_OK)
		rc = hints_update(h, whole, swap_if_same, &s, now, &err);
	if (rc == RC_OK && !s.done)
		rc = error_set(&err, RC_DEFER, "the stored value is another one by now");
	return rc == RC_OK ? HEDDLE_OK : refuse(c, rc, &err);
}

const struct heddle_hints_service hints_service = {
    .struct_size = sizeof hints_service, .get = get, .put = put, .swap = swap};

/* ---- expiry ---- */
struct sweep {
	struct hints *h;
	int64_t now_s;
};

static bool drop_expired(void *ctx, slice_t key, const struct hint *hint)
{
	struct sweep *s = ctx;
	slice_t value;
	struct error err;

	if (!value_of(hint->value, s->now_s, &value))
		(void)(hints_remove(s->h, key, &err) == RC_OK);
	return true;
}

void deliver_expire_driver_hints(struct hints *h)
{
	struct sweep s = {.h = h, .now_s = clock_wall_us() / US_PER_SEC};
	struct error err;

	(void)(hints_each(h, drop_expired, &s, &err) == RC_OK);
}
