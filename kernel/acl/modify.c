/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Modifiers that change variables, the message's header or the session's pace, and those that write
 * to the log. */
#include "acl/acl_private.h"
#include "message/message.h"

ACL_FN(set)
{
	slice_t value;
	enum rc rc = acl_expand(st, c, &value, err);
	if (st->ignored)
		return RC_OK;
	return rc == RC_OK ? expand_variable_set(st->ev, c->text, value, err) : rc;
}

ACL_FN(continue)
{
	slice_t unused;
	return acl_arg(st, c, &unused, err);
}

ACL_FN(delay)
{
	slice_t text;
	int64_t ms;
	enum rc rc = acl_arg(st, c, &text, err);
	if (rc != RC_OK || st->ignored)
		return rc;
	if (!slice_to_ms(slice_trim(text), &ms) || ms < 0)
		return error_set(err, RC_ERROR,
		    "syntax error in argument for \"delay\" modifier: \"%.*s\" is not a time value",
		    SL_ARG(slice_sub(text, 0, 100)));
	int64_t *sum = &st->run->effects->delay_ms;
	if (__builtin_add_overflow(*sum, ms, sum))
		*sum = INT64_MAX;
	return RC_OK;
}

/* ---- header lines
 * ------------------------------------------------------------------------------------------ */

static enum acl_header_place take_place(slice_t *line)
{
	static const struct {
		const char *word;
		enum acl_header_place place;
	} places[] = {{":after_received:", ACL_AFTER_RECEIVED},
	    {":at_start_rfc:", ACL_AT_START_RFC}, {":at_start:", ACL_AT_START},
	    {":at_end:", ACL_AT_END}};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (!slice_startsi(*line, places[i].word))
			continue;
		*line = slice_sub(*line, strlen(places[i].word), line->len);
		return places[i].place;
	}
	return ACL_AT_END;
}

static void add_line(struct acl_effects *fx, slice_t line)
{
	struct strbuf sb;
	enum acl_header_place place = take_place(&line);
	strbuf_init(&sb, fx->arena, 0);
	if (!header_name_length(line))
		strbuf_text(&sb, "X-ACL-Warn: ");
	strbuf_add(&sb, line);
	strbuf_char(&sb, '\n');
	slice_t whole = strbuf_slice(&sb);
	for (size_t i = 0; i < fx->headers_added.count; i++)
		if (slice_eq(*VEC_AT(&fx->headers_added, slice_t, i), whole))
			return;
	*VEC_PUSH(fx->arena, &fx->headers_added, slice_t) = whole;
	*VEC_PUSH(fx->arena, &fx->headers_where, uint8_t) = (uint8_t)place;
}

static slice_t without_newlines(slice_t s)
{
	while (s.len && s.ptr[0] == '\n')
		s = slice_sub(s, 1, s.len);
	while (s.len && s.ptr[s.len - 1] == '\n')
		s = slice_sub(s, 0, s.len - 1U);
	return s;
}

/* Several lines if there is a newline that no white space follows. */
void acl_add_header(struct acl_state *st, slice_t text)
{
	slice_t s = without_newlines(text);
	while (s.len) {
		uint32_t n = 0;
		while (n < s.len && !(s.ptr[n] == '\n' && n + 1 < s.len && s.ptr[n + 1] != ' ' &&
		                        s.ptr[n + 1] != '\t'))
			n++;
		if (n)
			add_line(st->run->effects, slice_sub(s, 0, n));
		s = n < s.len ? slice_sub(s, n + 1, s.len) : SL("");
	}
}

ACL_FN(add_header)
{
	slice_t text;
	enum rc rc = acl_arg(st, c, &text, err);
	if (rc == RC_OK && !st->ignored)
		acl_add_header(st, text);
	return rc;
}

ACL_FN(remove_header)
{
	slice_t text;
	struct acl_effects *fx = st->run->effects;
	enum rc rc = acl_arg(st, c, &text, err);
	if (rc == RC_OK && text.len)
		*VEC_PUSH(fx->arena, &fx->headers_removed, slice_t) = arena_dup(fx->arena, text);
	return rc;
}

/* ---- logs
 * --------------------------------------------------------------------------------------------------
 */

void acl_log(struct acl_state *st, slice_t text, bool to_main, bool reject, bool panic)
{
	const struct acl_hooks *h = st->run->hooks;
	if (h && h->log_line)
		h->log_line(st->ev, st->run->where, text, to_main, reject, panic);
}

slice_t acl_host_and_ident(struct eval *ev)
{
	return session_host_text(ev->arena, ev->session, true);
}

void acl_log_warning(struct acl_state *st, slice_t text)
{
	struct acl_effects *fx = st->run->effects;
	VEC_FOREACH(&fx->warned, slice_t, seen)
	if (slice_eq(*seen, text))
		return;
	*VEC_PUSH(fx->arena, &fx->warned, slice_t) = arena_dup(fx->arena, text);
	struct strbuf sb;
	strbuf_init(&sb, st->ev->arena, 0);
	strbuf_add(&sb, acl_host_and_ident(st->ev));
	strbuf_text(&sb, sb.len ? " Warning: " : "Warning: ");
	strbuf_add(&sb, text);
	acl_log(st, strbuf_slice(&sb), true, false, false);
}

/* One name of a log; false: no such. */
static bool set_target(slice_t word, bool *to_main, bool *reject, bool *panic)
{
	bool *which = slice_eqs(word, "main")     ? to_main
	              : slice_eqs(word, "reject") ? reject
	              : slice_eqs(word, "panic")  ? panic
	                                          : NULL;
	if (which)
		*which = true;
	return which;
}

/* ":main,reject: text" */
ACL_FN(logwrite)
{
	slice_t text, word;
	bool to_main = false, reject = false, panic = false;
	enum rc rc = acl_arg(st, c, &text, err);
	if (rc != RC_OK || st->ignored)
		return rc;
	size_t end = text.len && text.ptr[0] == ':' ? slice_find(slice_sub(text, 1, text.len), ':')
	                                            : SIZE_MAX;
	if (end != SIZE_MAX) {
		slice_t names = slice_sub(text, 1, end);
		while (slice_next(&names, ',', &word))
			if (!set_target(slice_trim(word), &to_main, &reject, &panic)) {
				acl_log(st,
				    arena_printf(st->ev->arena,
				        "unknown log name in \"%.*s\" in \"logwrite\" in %s ACL",
				        SL_ARG(slice_sub(text, 0, 100)),
				        acl_where_name(st->run->where)),
				    true, false, true);
				return RC_OK;
			}
		text = slice_sub(text, end + 2, text.len);
	}
	while (text.len && ascii_isspace(text.ptr[0]))
		text = slice_sub(text, 1, text.len);
	if (!to_main && !reject && !panic)
		to_main = true;
	acl_log(st, text, to_main, reject, panic);
	return RC_OK;
}

ACL_FN(log_reject_target)
{
	slice_t text, word;
	uint64_t pos = 0;
	bool to_main = false, reject = false, panic = false;
	enum rc rc = acl_arg(st, c, &text, err);
	if (rc != RC_OK || st->ignored)
		return rc;
	while (expand_list_next(st->ev->arena, text, &pos, &word))
		if (!set_target(word, &to_main, &reject, &panic))
			return error_set(err, RC_ERROR,
			    "unknown log name \"%.*s\" in \"log_reject_target\" in ACL",
			    SL_ARG(word));
	st->log_main = to_main;
	st->log_reject = reject;
	st->log_panic = panic;
	return RC_OK;
}
