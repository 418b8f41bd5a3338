/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/arrival.h"

#include "base/clock.h"
#include "expand/expand.h"
#include "message/fixups.h"

void log_quoted(struct strbuf *sb, const char *name, slice_t text)
{
	strbuf_printf(sb, " %s=\"", name);
	for (uint32_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"' || text.ptr[i] == '\\')
			strbuf_char(sb, '\\');
		strbuf_char(sb, text.ptr[i]);
	}
	strbuf_char(sb, '"');
}

void log_duration(struct strbuf *sb, const struct log *log, const char *name, int64_t us)
{
	if (log_selected(log, LOG_MILLISEC))
		strbuf_printf(sb, " %s=%lld.%03llds", name, (long long)(us / US_PER_SEC),
		    (long long)(us / 1000 % 1000));
	else
		strbuf_printf(
		    sb, " %s=%.*s", name, SL_ARG(clock_interval(sb->arena, us / US_PER_SEC)));
}

/* Of the header, or, marked, of the one that was added: that has the message's own id in it. */
static void put_id(struct strbuf *sb, const struct log *log, const struct message *m)
{
	slice_t id = message_header_id(&m->headers);
	bool made = id.len > 1 && id.ptr[0] == 'E' && slice_starts(slice_sub(id, 1, id.len), m->id);

	if (!slice_is_absent(id) && id.len &&
	    log_selected(log, made ? LOG_MSG_ID_CREATED : LOG_MSG_ID)) {
		strbuf_text(sb, made ? " id*=" : " id=");
		strbuf_add(sb, id);
	}
}

/* " T=", what its encoded words mean. */
static void put_subject(struct strbuf *sb, const struct config *cfg, const struct message *m)
{
	const struct header *h = header_find(&m->headers, SL("Subject"), NULL);
	struct eval ev;
	slice_t text;

	if (!h)
		return;
	eval_init(&ev, sb->arena, cfg);
	if (rfc2047_decode(&ev, header_value(h), false, &text, NULL) == RC_OK)
		log_quoted(sb, "T", text);
}

void arrival_fields(struct strbuf *sb, const struct log *log, const struct config *cfg,
    const struct message *m, const struct recipient *to, size_t to_count)
{
	if (log_selected(log, LOG_M8BITMIME))
		strbuf_printf(sb, " M8S=%d", m->body_8bit ? 8 : m->body_7bit ? 7 : 0);
	if (log_selected(log, LOG_RECEIVE_TIME))
		log_duration(sb, log, "RT", m->received_in_us);
	put_id(sb, log, m);
	if (log_selected(log, LOG_SUBJECT))
		put_subject(sb, cfg, m);
	if (log_selected(log, LOG_RECEIVED_SENDER))
		strbuf_printf(sb, " from <%.*s>", SL_ARG(m->sender));
	for (size_t i = 0; i < to_count && log_selected(log, LOG_RECEIVED_RECIPIENTS); i++)
		strbuf_printf(sb, "%s %.*s", i ? "" : " for", SL_ARG(to[i].address));
}
