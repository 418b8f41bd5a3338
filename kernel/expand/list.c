/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lists in a text: separated by colons, or by what "<x" at the beginning says; a doubled separator
 * is one of the item's own; white space round items is dropped; an empty item needs white space
 * ("a: :b") or stands first. Items are parts of the list's text unless a doubled separator makes a
 * copy necessary. Source: Exim specification 6.21.
 */
#include "expand/tree.h"

#include <ctype.h>

void list_begin(slice_t list, struct list_iter *it)
{
	*it = (struct list_iter){.list = list, .sep = ':'};
	const char *p = list.ptr, *end = list.ptr + list.len;
	while (p < end && ascii_isspace(*p))
		p++;
	/* "<" and a punctuation or control character */
	if (end - p >= 2 && p[0] == '<' &&
	    (ispunct((unsigned char)p[1]) || iscntrl((unsigned char)p[1]))) {
		it->sep = p[1];
		it->explicit_sep = true;
		p += 2;
		while (p < end && ascii_isspace(*p) && *p != it->sep)
			p++;
	}
	it->pos = (uint32_t)(p - list.ptr);
	it->first = true;
}

/* Length of the item's text up to its separator; *doubled: how many pairs there are in it. */
static const char *item_end(const char *p, const char *end, char sep, uint32_t *doubled)
{
	*doubled = 0;
	while (p < end) {
		p = memchr(p, sep, (size_t)(end - p));
		if (!p)
			return end;
		if (p + 1 == end || p[1] != sep || iscntrl((unsigned char)sep))
			return p;
		(*doubled)++;
		p += 2;
	}
	return end;
}

static slice_t undouble(struct arena *a, slice_t s, char sep)
{
	char *copy = arena_bytes(a, s.len);
	uint32_t n = 0;
	for (uint32_t i = 0; i < s.len; i++) {
		copy[n++] = s.ptr[i];
		if (s.ptr[i] == sep && i + 1 < s.len && s.ptr[i + 1] == sep)
			i++;
	}
	s.ptr = copy;
	s.len = n;
	return s;
}

bool list_next(struct arena *a, struct list_iter *it, slice_t *out_item)
{
	const char *base = it->list.ptr, *end = base + it->list.len;
	const char *p = base + it->pos;
	while (p < end && ascii_isspace(*p) && *p != it->sep)
		p++;
	if (p >= end)
		return false;
	uint32_t doubled;
	const char *to = item_end(p, end, it->sep, &doubled);
	slice_t item = it->list;
	item.ptr = p;
	item.len = (uint32_t)(to - p);
	while (item.len && ascii_isspace(item.ptr[item.len - 1]))
		item.len--;
	it->pos = (uint32_t)(to - base) + (to < end ? 1 : 0);
	*out_item = doubled ? undouble(a, item, it->sep) : item;
	return true;
}

bool expand_list_next(struct arena *a, slice_t list, uint64_t *pos, slice_t *out_item)
{
	struct list_iter it;
	if (slice_is_absent(list))
		return false;
	list_begin(list, &it);
	if (*pos)
		it.pos = (uint32_t)*pos;
	if (!list_next(a, &it, out_item))
		return false;
	*pos = it.pos;
	return true;
}

void list_add(struct strbuf *sb, char sep, bool first, slice_t item)
{
	if (!first)
		strbuf_char(sb, sep);
	if (item.len == 0 && !first)
		strbuf_char(sb, ' ');
	bool control = iscntrl((unsigned char)sep);
	while (item.len) {
		size_t at = control ? SIZE_MAX : slice_find(item, sep);
		if (at == SIZE_MAX) {
			strbuf_add(sb, item);
			return;
		}
		strbuf_add(sb, slice_sub(item, 0, at + 1));
		strbuf_char(sb, sep);
		item = slice_sub(item, at + 1, item.len);
	}
}
