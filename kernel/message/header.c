/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Header sections as lists of fields.  Source: RFC 5322 2.2, with Exim's tolerance for space before
 * the colon. */
#include "message/message.h"

struct type_row {
	const char *name;
	char type;
};
/* Letters of Exim's spool files, which reject logs show too. */
static const struct type_row types[] = {
    {"bcc", 'B'},
    {"cc", 'C'},
    {"date", ' '},
    {"from", 'F'},
    {"message-id", 'I'},
    {"received", 'P'},
    {"reply-to", 'R'},
    {"sender", 'S'},
    {"subject", ' '},
    {"to", 'T'},
};

uint32_t header_name_length(slice_t line)
{
	uint32_t n = 0;
	/* bytes over 127 too, as Exim has it: verify = header_names_ascii can then refuse them */
	while (n < line.len && (unsigned char)line.ptr[n] > ' ' && line.ptr[n] != 127 &&
	       line.ptr[n] != ':')
		n++;
	uint32_t i = n;
	while (i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t'))
		i++;
	return n && i < line.len && line.ptr[i] == ':' ? n : 0;
}

static char type_of(slice_t name)
{
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (slice_eqis(name, types[i].name))
			return types[i].type;
	return ' ';
}

static struct header *field_new(struct arena *a, slice_t text)
{
	struct header *h = ARENA_NEW(a, struct header);
	h->text = text;
	h->name_len = header_name_length(text);
	h->type = type_of(slice_sub(text, 0, h->name_len));
	return h;
}

struct header *header_append(struct arena *a, struct header_list *list, slice_t text)
{
	struct header *h = field_new(a, text);
	h->prev = list->last;
	*(list->last ? &list->last->next : &list->first) = h;
	list->last = h;
	list->count++;
	list->bytes += text.len;
	return h;
}

struct header *header_prepend(struct arena *a, struct header_list *list, slice_t text)
{
	struct header *h = field_new(a, text);
	h->next = list->first;
	*(list->first ? &list->first->prev : &list->last) = h;
	list->first = h;
	list->count++;
	list->bytes += text.len;
	return h;
}

struct header *header_insert_after(
    struct arena *a, struct header_list *list, struct header *after, slice_t text)
{
	if (!after)
		return header_prepend(a, list, text);
	if (!after->next)
		return header_append(a, list, text);
	struct header *h = field_new(a, text);
	h->prev = after;
	h->next = after->next;
	after->next->prev = h;
	after->next = h;
	list->count++;
	list->bytes += text.len;
	return h;
}

void header_parse(struct arena *a, slice_t section, struct header_list *list)
{
	size_t at = 0;
	while (at < section.len) {
		size_t end = at;
		for (;;) { /* a field goes on while the next line begins with white space */
			size_t nl = slice_find(slice_sub(section, end, section.len - end), '\n');
			end = nl == SIZE_MAX ? section.len : end + nl + 1;
			if (end >= section.len ||
			    (section.ptr[end] != ' ' && section.ptr[end] != '\t'))
				break;
		}
		(void)header_append(a, list, slice_sub(section, at, end - at));
		at = end;
	}
}

void header_delete(struct header_list *list, struct header *h)
{
	if (h->type == '*')
		return;
	h->type = '*';
	list->count--;
	list->bytes -= h->text.len;
}

struct header *header_find(const struct header_list *list, slice_t name, const struct header *from)
{
	struct header *h = from ? from->next : list->first;
	for (; h; h = h->next)
		if (h->type != '*' && h->name_len == name.len && name.len &&
		    slice_eqi(slice_sub(h->text, 0, h->name_len), name))
			return h;
	return NULL;
}

slice_t header_value(const struct header *h)
{
	if (!h->name_len)
		return slice_sub(h->text, h->text.len, 0);
	size_t colon = h->name_len + slice_find(slice_sub(h->text, h->name_len, h->text.len), ':');
	return slice_trim(slice_sub(h->text, colon + 1, h->text.len - colon - 1));
}

uint64_t header_section_size(const struct header_list *list)
{
	return list->bytes;
}

uint32_t header_pieces(struct arena *a, const struct header_list *list, slice_t **out)
{
	uint32_t n = 0;
	*out = ARENA_ARRAY(a, slice_t, list->count ? list->count : 1);
	for (const struct header *h = list->first; h; h = h->next) {
		if (h->type == '*')
			continue;
		/* neighbours in one buffer, as they came from the peer, are one piece */
		if (n && (*out)[n - 1].ptr + (*out)[n - 1].len == h->text.ptr && h->text.len)
			(*out)[n - 1].len += h->text.len;
		else
			(*out)[n++] = h->text;
	}
	return n;
}
