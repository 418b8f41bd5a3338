/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * $h_x: $rh_x: $bh_x: $lh_x: and the encoded words of RFC 2047 in them.
 * The text is put together from all headers of that name; see the specification, "$header_<header
 * name>:".
 */
#include "base/codec.h"
#include "config/config.h"
#include "expand/notes.h"

#include <errno.h>
#include <iconv.h>

enum { HEADER_TEXT_MAX = 64 << 10 };

struct header_prefix {
	const char *prefix;
	char form;
};
static const struct header_prefix prefixes[] = {
    {"h_", 'h'},
    {"header_", 'h'},
    {"rh_", 'r'},
    {"rheader_", 'r'},
    {"bh_", 'b'},
    {"bheader_", 'b'},
    {"lh_", 'l'},
    {"lheader_", 'l'},
};

static const struct header_prefix *prefix_of(slice_t name)
{
	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (slice_startsi(name, prefixes[i].prefix))
			return &prefixes[i];
	return NULL;
}

char header_form(slice_t name)
{
	const struct header_prefix *row = prefix_of(name);
	return row ? row->form : 0;
}

char header_split(slice_t text, slice_t *out_name)
{
	const struct header_prefix *row = prefix_of(text);
	if (!row)
		return 0;
	slice_t name = slice_sub(text, strlen(row->prefix), text.len);
	if (name.len && name.ptr[name.len - 1] == ':')
		name.len--;
	*out_name = name;
	return row->form;
}

/* At the prefix. */
enum rc parse_header(struct parser *p, struct node *n)
{
	const char *from = p->at;
	while (p->at<p->end && * p->at> ' ' && *p->at < 127 && *p->at != ':')
		p->at++;
	slice_t name;
	char form = header_split(parse_slice(p, from, p->at), &name);
	if (parse_is(p, ':'))
		p->at++;
	else
		p->header_open = true;
	n->text = name;
	n->number[0] = form;
	n->eval = header_eval;
	parse_note_header(p, parse_slice(p, from, from + (p->at - from)));
	return RC_OK;
}

/* ---- finding ---- */

static bool is_named(const struct header *h, slice_t name)
{
	return h->type != '*' && h->name_len == name.len &&
	       slice_eqi(slice_sub(h->text, 0, h->name_len), name);
}

static const struct header *next_named(const struct header *h, slice_t name)
{
	while (h && !is_named(h, name))
		h = h->next;
	return h;
}

static const struct header *first_named(const struct eval *ev, slice_t name)
{
	const struct header_list *l = ev->message ? ev->message->headers : NULL;
	return l && name.len ? next_named(l->first, name) : NULL;
}

bool header_exists(const struct eval *ev, slice_t name)
{
	return first_named(ev, name) != NULL;
}

static slice_t content(const struct header *h)
{
	return slice_sub(h->text, h->name_len + 1, h->text.len);
}

static slice_t without_newline(slice_t s)
{
	if (s.len && s.ptr[s.len - 1] == '\n')
		s.len--;
	return s;
}

static bool holds_addresses(const struct header *h)
{
	return h->type && strchr("BCFRST", h->type) != NULL;
}

static void add_header(struct strbuf *sb, char form, const struct header *h, bool *first)
{
	slice_t text = content(h);
	switch (form) {
	case 'r':
		strbuf_add(sb, text);
		break;
	case 'l':
		list_add(sb, ':', *first, without_newline(text));
		break;
	default:
		text = slice_trim(text);
		if (text.len == 0)
			return;
		if (!*first)
			strbuf_text(sb, holds_addresses(h) ? ",\n" : "\n");
		strbuf_add(sb, text);
		break;
	}
	*first = false;
}

enum rc header_text(struct eval *ev, char form, slice_t name, slice_t *out)
{
	const struct header *h = first_named(ev, name);
	if (!h) {
		*out = slice_absent();
		return RC_OK;
	}
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, 0);
	bool first = true;
	for (; h && sb.len < HEADER_TEXT_MAX; h = next_named(h->next, name))
		add_header(&sb, form, h, &first);
	slice_t text = strbuf_slice(&sb);
	if (form == 'h' || form == 'b')
		return rfc2047_decode(ev, text, form == 'h', out, NULL);
	*out = text;
	return RC_OK;
}

enum rc header_eval(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	enum rc rc = header_text(ev, (char)n->number[0], n->text, out);
	if (rc == RC_OK && out->len == 0)
		*out = SL("");
	return rc;
}

/* ---- RFC 2047 ---- */

struct encoded_word {
	slice_t charset, text;
	char how; /* 'q' or 'b' */
	size_t len;
};
enum { WORD_MAX = 75 }; /* section 2 */

/* At "=?"; false: not an encoded word. */
static bool read_word(slice_t s, size_t max, struct encoded_word *w)
{
	slice_t rest = slice_sub(s, 2, s.len);
	size_t end = slice_find(rest, '?');
	if (end == SIZE_MAX || end == 0 || rest.len < end + 3 || rest.ptr[end + 2] != '?')
		return false;
	w->charset = slice_sub(rest, 0, end);
	w->how = ascii_lower(rest.ptr[end + 1]);
	rest = slice_sub(rest, end + 3, rest.len);
	size_t close = slice_search(rest, SL("?="));
	if (close == SIZE_MAX || (w->how != 'q' && w->how != 'b'))
		return false;
	w->text = slice_sub(rest, 0, close);
	w->len = (size_t)(rest.ptr - s.ptr) + close + 2;
	for (uint32_t i = 0; i < w->text.len; i++)
		if (ascii_isspace(w->text.ptr[i]))
			return false;
	return w->len <= max;
}

static int hex_digit(char c)
{
	c = ascii_upper(c);
	return ascii_isdigit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode_q(struct arena *a, slice_t in, slice_t *out)
{
	char *p = arena_bytes(a, in.len);
	uint32_t n = 0;
	for (uint32_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		if (c == '_') {
			c = ' ';
		} else if (c == '=') {
			bool whole = in.len - i > 2;
			int high = whole ? hex_digit(in.ptr[i + 1]) : -1;
			int low = whole ? hex_digit(in.ptr[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		p[n++] = c ? c : '?';
	}
	*out = with_flags(slice_of(p, n, 0), in);
	return true;
}

/* Bytes that are no character in the one set, or have none in the other, stay. */
static slice_t converted(struct arena *a, iconv_t cd, slice_t text)
{
	size_t left = text.len, room = (size_t)text.len * 4 + 16, cap = room;
	char *in = arena_bytes(a, left + 1), *out = arena_bytes(a, cap), *at = out;
	memcpy(in, text.ptr, left);
	while (left && iconv(cd, &in, &left, &at, &room) == (size_t)-1 && room && errno != E2BIG) {
		*at++ = *in++;
		room--;
		left--;
	}
	return with_flags(slice_of(out, cap - room, 0), text);
}

static enum rc add_decoded(struct strbuf *sb, const struct encoded_word *w, slice_t text,
    slice_t charset, struct error *err)
{
	if (slice_is_absent(charset) || slice_eqi(w->charset, charset)) {
		strbuf_add(sb, text);
		return RC_OK;
	}
	/* RFC 2231 5: "charset*language" */
	slice_t from = slice_sub(w->charset, 0, slice_find(w->charset, '*'));
	const char *to = arena_cstr(sb->arena, charset), *of = arena_cstr(sb->arena, from);
	iconv_t cd = iconv_open(to, of);
	if (cd == (iconv_t)-1 && !err) {
		strbuf_add(sb, text);
		return RC_OK;
	}
	if (cd == (iconv_t)-1)
		return error_set(err, RC_ERROR, "iconv_open(\"%s\", \"%s\") failed: %s%s", to, of,
		    strerrordesc_np(errno),
		    errno == EINVAL ? " (maybe unsupported conversion)" : "");
	strbuf_add(sb, converted(sb->arena, cd, text));
	(void)iconv_close(cd);
	return RC_OK;
}

static bool all_space(slice_t s)
{
	return slice_trim(s).len == 0;
}

enum rc rfc2047_decode(
    const struct eval *ev, slice_t s, bool convert, slice_t *out, struct error *err)
{
	struct arena *a = ev->arena;
	size_t at = slice_search(s, SL("=?"));
	if (at == SIZE_MAX) {
		*out = s;
		return RC_OK;
	}
	slice_t charset = !convert  ? slice_absent()
	                  : ev->cfg ? config_text(ev->cfg, MO_headers_charset)
	                            : SL("UTF-8");
	size_t max =
	    ev->cfg && !config_bool(ev->cfg, MO_check_rfc2047_length) ? SIZE_MAX : WORD_MAX;
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	bool after_word = false;
	while (at != SIZE_MAX) {
		struct encoded_word w;
		slice_t text = SL("");
		bool good = read_word(slice_sub(s, at, s.len), max, &w);
		if (good)
			good = w.how == 'q' ? decode_q(a, w.text, &text)
			                    : base64_decode(a, w.text, &text);
		slice_t before = slice_sub(s, 0, at);
		if (good) {
			/* white space between two encoded words is not text: section 6.2 */
			if (!after_word || !all_space(before))
				strbuf_add(&sb, before);
			enum rc rc = add_decoded(&sb, &w, with_flags(text, s), charset, err);
			if (rc)
				return rc;
			s = slice_sub(s, at + w.len, s.len);
		} else {
			strbuf_add(&sb, slice_sub(s, 0, at + 2));
			s = slice_sub(s, at + 2, s.len);
		}
		after_word = good;
		at = slice_search(s, SL("=?"));
	}
	strbuf_add(&sb, s);
	*out = strbuf_slice(&sb);
	return RC_OK;
}
