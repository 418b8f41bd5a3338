/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/describe: option tables as text, and back.  The text comes from a process that runs
 * drivers' code, so it is read as foreign input: each line is checked, sizes are bounded, and the
 * options pass the same checks as a loaded table. Format: README.md of this module.
 */
#include "driver/loader_parts.h"

#include "base/strbuf.h"

#define FIRST_LINE  "heddle-drivers 1"
#define LINES_MAX   20000U
#define OPTIONS_MAX 1000U
#define TEXT_MAX    ((size_t)8 << 20)

/* ---- writing
 * ---------------------------------------------------------------------------------------------- */

/* A field: TAB and the text, "-" for none; backslash, TAB and newline escaped, and a lone "-". */
static void put(struct strbuf *out, const char *s)
{
	strbuf_char(out, '\t');
	if (!s) {
		strbuf_char(out, '-');
		return;
	}
	if (s[0] == '-')
		strbuf_char(out, '\\');
	for (; *s; s++) {
		const char *esc = *s == '\\'   ? "\\\\"
		                  : *s == '\t' ? "\\t"
		                  : *s == '\n' ? "\\n"
		                               : NULL;
		if (esc)
			strbuf_text(out, esc);
		else
			strbuf_char(out, *s);
	}
}

static void describe_one(const struct driver *drv, struct strbuf *out)
{
	const struct heddle_driver *h = &drv->head;
	strbuf_printf(out, "driver\t%u\t%u\t%llu\t%u\t%d", (unsigned)h->driver_class,
	    (unsigned)h->abi_minor, (unsigned long long)h->flags, (unsigned)drv->kind,
	    drv->quoter != 0);
	put(out, h->name);
	put(out, h->aliases);
	put(out, h->version);
	put(out, h->licence);
	put(out, h->author);
	put(out, drv->path);
	strbuf_char(out, '\n');
	for (uint32_t i = 0; i < drv->option_count; i++) {
		const struct heddle_option *o = &drv->options[i];
		strbuf_printf(out, "option\t%lu\t%lu\t%u\t%u", (unsigned long)o->type,
		    (unsigned long)o->flags, (unsigned)o->since_major, (unsigned)o->since_minor);
		put(out, o->name);
		put(out, o->initial);
		put(out, o->type_arg);
		put(out, o->doc);
		strbuf_char(out, '\n');
	}
}

static void describe_refusal(
    uint16_t driver_class, slice_t name, const struct error *e, struct strbuf *out)
{
	strbuf_printf(out, "refused\t%u\t%.*s", (unsigned)driver_class, SL_ARG(name));
	put(out, e->text);
	strbuf_char(out, '\n');
}

void drivers_describe(struct drivers *d, struct strbuf *out)
{
	strbuf_text(out, FIRST_LINE "\n");
	for (uint16_t cls = HEDDLE_AUTH; cls <= HEDDLE_LOOKUP; cls++) {
		struct arena *a = arena_new(0);
		struct vec found = {0};
		drivers_list(d, cls, a, &found);
		VEC_FOREACH(&found, struct driver_listing, l)
		{
			const struct driver *drv = NULL;
			struct error e = {.text = ""};
			if (driver_find(d, cls, l->name, &drv, &e) != RC_OK)
				describe_refusal(cls, l->name, &e, out);
			else if (slice_eqs(l->name, drv->head.name)) /* aliases come with it */
				describe_one(drv, out);
		}
		arena_free(&a);
	}
	strbuf_text(out, "end\n");
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------- */

struct reader {
	slice_t rest;       /* of the line; ABSENT: used up */
	struct opened *at;  /* the driver whose options are being read */
	struct vec options; /* on at->arena */
	bool bad;
};

static slice_t field(struct reader *r)
{
	slice_t piece = slice_absent();
	if (!slice_next(&r->rest, '\t', &piece))
		r->bad = true;
	return piece;
}

static uint64_t number(struct reader *r, uint64_t max)
{
	int64_t n = 0;
	if (!slice_to_i64(field(r), 10, false, &n) || n < 0 || (uint64_t)n > max)
		r->bad = true;
	return r->bad ? 0 : (uint64_t)n;
}

/* NULL for "-" */
static char *text(struct reader *r)
{
	slice_t s = field(r);
	if (r->bad || slice_eqs(s, "-"))
		return NULL;
	char *out = arena_bytes(r->at->arena, (size_t)s.len + 1), *p = out;
	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '\\') {
			c = ++i < s.len ? s.ptr[i] : '\0';
			c = c == 't' ? '\t' : c == 'n' ? '\n' : c;
		}
		if (c == '\0')
			r->bad = true;
		*p++ = c;
	}
	*p = '\0';
	return out;
}

static void text_into(struct reader *r, char *buf, size_t cap)
{
	const char *s = text(r);
	size_t n = s ? strlen(s) : 0;
	if (!s || n >= cap) {
		r->bad = true;
		return;
	}
	memcpy(buf, s, n + 1);
}

static void read_driver(struct reader *r)
{
	struct driver *drv = &r->at->drv;
	struct heddle_driver *h = &drv->head;
	memcpy(h->magic, HEDDLE_MAGIC, sizeof h->magic);
	h->head_size = HEDDLE_HEAD_SIZE;
	h->struct_size = sizeof *h;
	h->abi_major = HEDDLE_ABI_MAJOR;
	h->driver_class = (uint16_t)number(r, HEDDLE_LOOKUP);
	h->abi_minor = (uint16_t)number(r, HEDDLE_ABI_MINOR);
	h->flags = number(r, INT64_MAX);
	drv->kind = (uint32_t)number(r, UINT32_MAX);
	drv->quoter = (uint16_t)number(r, 1);
	text_into(r, h->name, sizeof h->name);
	text_into(r, h->aliases, sizeof h->aliases);
	text_into(r, h->version, sizeof h->version);
	text_into(r, h->licence, sizeof h->licence);
	text_into(r, h->author, sizeof h->author);
	drv->path = text(r);
	r->bad = r->bad || !slice_is_absent(r->rest) || !drv->path ||
	         h->driver_class < HEDDLE_AUTH || !driver_name_is_valid(slice_cstr(h->name));
}

static void read_refusal(struct reader *r)
{
	struct heddle_driver *h = &r->at->drv.head;
	h->driver_class = (uint16_t)number(r, HEDDLE_LOOKUP);
	text_into(r, h->name, sizeof h->name);
	r->at->refusal = text(r);
	r->bad = r->bad || !slice_is_absent(r->rest) || !r->at->refusal ||
	         h->driver_class < HEDDLE_AUTH || !driver_name_is_valid(slice_cstr(h->name));
}

static enum rc read_option(struct reader *r, struct error *err)
{
	struct heddle_option o = {.reserved = 0};
	o.type = (uint32_t)number(r, UINT32_MAX);
	o.flags = (uint32_t)number(r, UINT32_MAX);
	o.since_major = (uint16_t)number(r, UINT16_MAX);
	o.since_minor = (uint16_t)number(r, UINT16_MAX);
	o.name = text(r);
	o.initial = text(r);
	o.type_arg = text(r);
	o.doc = text(r);
	uint32_t i = (uint32_t)r->options.count;
	if (r->bad || !slice_is_absent(r->rest) || i >= OPTIONS_MAX)
		return error_set(err, RC_ERROR, "malformed option");
	enum rc rc = driver_check_option(r->options.items, i, &o, NULL, err);
	if (rc == RC_OK)
		*VEC_PUSH(r->at->arena, &r->options, struct heddle_option) = o;
	return rc;
}

/* Put what has been read into the registry. */
static void finish(struct drivers *d, struct reader *r)
{
	if (!r->at)
		return;
	r->at->drv.options = r->options.items;
	r->at->drv.option_count = (uint32_t)r->options.count;
	drivers_add_described(d, r->at);
	r->at = NULL;
	r->options = (struct vec){0};
}

static enum rc read_line(struct drivers *d, struct reader *r, slice_t line, struct error *err)
{
	r->rest = line;
	r->bad = false;
	slice_t what = field(r);
	if (slice_eqs(what, "driver")) {
		finish(d, r);
		r->at = opened_new();
		read_driver(r);
		return r->bad ? error_set(err, RC_ERROR, "malformed driver") : RC_OK;
	}
	if (slice_eqs(what, "refused")) {
		finish(d, r);
		r->at = opened_new();
		read_refusal(r);
		return r->bad ? error_set(err, RC_ERROR, "malformed refusal") : RC_OK;
	}
	if (slice_eqs(what, "option") && r->at && !r->at->refusal)
		return read_option(r, err);
	return error_set(err, RC_ERROR, "neither a driver nor an option of one");
}

enum rc drivers_from_description(slice_t desc, struct drivers **out, struct error *err)
{
	const struct drivers_config none = {.folders = NULL};
	struct reader r = {.at = NULL};
	slice_t rest = desc, line = slice_absent();
	if (desc.len > TEXT_MAX || !slice_next(&rest, '\n', &line) || !slice_eqs(line, FIRST_LINE))
		return error_set(
		    err, RC_ERROR, "not a description of drivers: wanted \"" FIRST_LINE "\"");
	struct drivers *d = drivers_alloc(&none);
	d->described = true;
	enum rc rc = RC_OK;
	bool ended = false;
	unsigned n = 1;
	while (rc == RC_OK && !ended && slice_next(&rest, '\n', &line)) {
		ended = slice_eqs(line, "end");
		if (++n > LINES_MAX)
			rc = error_set(err, RC_ERROR, "more than %u lines", LINES_MAX);
		else if (!ended)
			rc = read_line(d, &r, line, err);
	}
	finish(d, &r);
	if (rc == RC_OK && !ended)
		rc = error_set(err, RC_ERROR, "it was cut off");
	if (rc != RC_OK) {
		drivers_free(&d);
		return error_wrap(err, rc, "description of drivers, line %u", n);
	}
	*out = d;
	return RC_OK;
}
