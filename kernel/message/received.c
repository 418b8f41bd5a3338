/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "message/fixups.h"

/* "Tue, 24 Nov 2026 21:30:24 +0000" */
#define DATE_LEN 31

enum rc received_prepend(struct arena *a, struct header_list *list, struct eval *ev,
    int64_t wall_us, struct header **out, struct error *err)
{
	slice_t text;
	*out = NULL;
	enum rc rc = config_expand(ev, MO_received_header_text, &text, err);
	if (rc)
		return rc == RC_FAIL ? RC_OK
		                     : error_wrap(err, rc, "expansion of received_header_text");
	if (slice_is_absent(text) || !text.len)
		return RC_OK;
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_add(&sb, text);
	if (text.ptr[text.len - 1] != ';')
		strbuf_char(&sb, ';');
	strbuf_text(&sb, "\n\t");
	strbuf_add(&sb, clock_rfc5322(a, wall_us));
	strbuf_char(&sb, '\n');
	*out = header_prepend(a, list, strbuf_slice(&sb));
	return RC_OK;
}

void received_set_time(struct header *h, int64_t wall_us)
{
	struct arena *a = arena_new(256);
	slice_t date = clock_rfc5322(a, wall_us);
	if (date.len == DATE_LEN && h->text.len > DATE_LEN + 1) {
		/* the field is in the arena of its message, made by received_prepend; nobody else
		 * has seen it */
		char *at;
		const char *place = h->text.ptr + h->text.len - DATE_LEN - 1;
		memcpy(&at, &place, sizeof at);
		memcpy(at, date.ptr, DATE_LEN);
	}
	arena_free(&a);
}

uint32_t message_received_count(const struct header_list *list)
{
	uint32_t n = 0;
	for (const struct header *h = list->first; h; h = h->next)
		n += h->type == 'P';
	return n;
}

slice_t message_header_id(const struct header_list *list)
{
	const struct header *h = header_find(list, SL("Resent-Message-Id"), NULL);
	if (!h)
		h = header_find(list, SL("Message-Id"), NULL);
	if (!h)
		return slice_absent();
	slice_t v = header_value(h);
	size_t open = slice_find(v, '<'), close = slice_find(v, '>');
	if (open != SIZE_MAX && close != SIZE_MAX && open < close)
		v = slice_sub(v, open + 1, close - open - 1);
	return v;
}
