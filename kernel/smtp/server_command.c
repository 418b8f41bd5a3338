/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a line to the function that serves it: recognition, order of arrival, and what a client may
 * do too often. */
#include "smtp/server_private.h"

#define HIDDEN "********" /* what may be a secret, in logs */

struct command_row {
	const char *name;
	void (*serve)(struct run *r);
	bool sync, nonmail;
};
static const struct command_row commands[] = {
#define SMTP_COMMAND(NAME, fn, sync, nonmail) {#NAME, fn, sync, nonmail},
#include "smtp/commands.def"
#undef SMTP_COMMAND
};

/* What has to follow the word. */
enum follow { FOLLOW_SPACE, FOLLOW_FROM, FOLLOW_TO, FOLLOW_NOTHING };
static enum follow follow_of(enum command c)
{
	switch (c) {
	case CMD_MAIL:
		return FOLLOW_FROM;
	case CMD_RCPT:
		return FOLLOW_TO;
	case CMD_DATA:
	case CMD_RSET:
	case CMD_QUIT:
	case CMD_STARTTLS:
		return FOLLOW_NOTHING;
	case CMD_HELO:
	case CMD_EHLO:
	case CMD_NOOP:
	case CMD_VRFY:
	case CMD_EXPN:
	case CMD_HELP:
	case CMD_ETRN:
	case CMD_AUTH:
	case CMD_BDAT:
	case CMD_XCLIENT:
	case CMD_COUNT:
		return FOLLOW_SPACE;
	}
	return FOLLOW_SPACE;
}

const char *command_name(enum command c)
{
	return c < CMD_COUNT ? commands[c].name : "?";
}

static enum command recognise(struct run *r)
{
	for (enum command c = 0; c < CMD_COUNT; c++) {
		size_t n = strlen(commands[c].name);
		if (!slice_startsi(r->line, commands[c].name))
			continue;
		slice_t rest = slice_sub(r->line, n, r->line.len);
		enum follow f = follow_of(c);
		const char *word = f == FOLLOW_FROM ? " FROM:" : " TO:";
		if (f == FOLLOW_FROM || f == FOLLOW_TO) {
			if (!slice_startsi(rest, word) || r->line.len == n)
				continue;
			rest = slice_sub(rest, strlen(word), rest.len);
		} else if (r->line.len > n && rest.ptr[0] != ' ') {
			continue;
		}
		if (r->line.len == n)
			rest = SL("");
		r->arg = slice_trim(rest);
		return c;
	}
	return CMD_UNKNOWN;
}

static void too_many(struct run *r, const char *what, slice_t last)
{
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
	    "SMTP call from %.*s dropped: too many %s (last was \"%.*s\")",
	    SL_ARG(host_for_text(r)), what, SL_ARG(last));
	session_close(r, "bad-commands");
}

void synprot_error(struct run *r, bool protocol, int code, slice_t text)
{
	synprot_error_told(r, protocol, code, text, text);
}

void synprot_error_told(struct run *r, bool protocol, int code, slice_t logged, slice_t text)
{
	struct session *s = r->s;
	if (log_selected(s->log, protocol ? LOG_SMTP_PROTOCOL_ERROR : LOG_SMTP_SYNTAX_ERROR))
		log_line(r, LOG_TO_MAIN, "SMTP %s error in \"%.*s\" %.*s %.*s",
		    protocol ? "protocol" : "syntax", SL_ARG(r->line),
		    SL_ARG(host_for_log(r, true)), SL_ARG(logged));
	if ((int64_t)++s->synprot_errors <= config_int(s->cfg, MO_smtp_max_synprot_errors)) {
		reply(r, code, text);
		return;
	}
	replyf(r, code, "%.*s\nToo many syntax or protocol errors", SL_ARG(text));
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
	    "SMTP call from %.*s dropped: too many syntax or protocol errors (last command was "
	    "\"%.*s\", %.*s)",
	    SL_ARG(host_for_text(r)), SL_ARG(r->line), SL_ARG(log_history(r)));
	session_close(r, "bad-commands");
}

static void unknown(struct run *r)
{
	struct session *s = r->s;
	if ((int64_t)++s->unknown_commands <= config_int(s->cfg, MO_smtp_max_unknown_commands)) {
		synprot_error(r, false, 500, SL("unrecognized command"));
		return;
	}
	if (log_selected(s->log, LOG_SMTP_SYNTAX_ERROR))
		log_line(r, LOG_TO_MAIN, "SMTP syntax error in \"%.*s\" %.*s unrecognized command",
		    SL_ARG(r->line), SL_ARG(host_for_log(r, true)));
	reply(r, 500, SL("Too many unrecognized commands"));
	too_many(r, "unrecognized commands", r->line);
}

bool sync_violated(struct run *r)
{
	struct session *s = r->s;
	slice_t next = run_pending(r);
	if (!s->enforce_sync || !next.len)
		return false;
	if (next.len > 150)
		next.len = 150;
	if (r->command == CMD_AUTH)
		next = SL(HIDDEN);
	for (uint32_t i = 0; i < next.len; i++)
		if ((!i || next.ptr[i - 1] == '\n') &&
		    slice_startsi(slice_sub(next, i, next.len), "AUTH"))
			next.len = i + 4;
	struct strbuf sb;
	strbuf_init(&sb, r->scratch, 0);
	for (uint32_t i = 0; i < next.len; i++) {
		char c = next.ptr[i];
		if (c == '\r' || c == '\n')
			strbuf_text(&sb, c == '\r' ? "\\r" : "\\n");
		else
			strbuf_char(&sb, c);
	}
	reply(r, 554, SL("SMTP synchronization error"));
	log_transaction_cut(r, "sync failure");
	log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
	    "SMTP protocol synchronization error (next input sent too soon: pipelining was%s "
	    "advertised): rejected \"%.*s\" "
	    "%.*s next input=\"%.*s\"",
	    s->pipelining_advertised ? "" : " not", SL_ARG(r->line), SL_ARG(host_for_log(r, true)),
	    SL_ARG(strbuf_slice(&sb)));
	session_close(r, "synchronization-error");
	return true;
}

/* Does this one count against smtp_accept_max_nonmail? */
static bool counts(struct session *s, enum command c)
{
	bool *free_one = c == CMD_RSET                    ? &s->count_rset
	                 : c == CMD_HELO || c == CMD_EHLO ? &s->count_helo
	                 : c == CMD_AUTH                  ? &s->count_auth
	                 : c == CMD_STARTTLS              ? &s->count_starttls
	                                                  : NULL;
	if (c == CMD_UNKNOWN || !commands[c].nonmail)
		return false;
	if (free_one && !*free_one) {
		*free_one = true;
		return false;
	}
	return true;
}

static bool too_many_nonmail(struct run *r)
{
	struct session *s = r->s;
	if (!counts(s, r->command) || (int64_t)++s->nonmail <= s->nonmail_limit ||
	    !host_matches(r, MO_smtp_accept_max_nonmail_hosts))
		return false;
	reply(r, 554, SL("Too many nonmail commands"));
	log_transaction_cut(r, "too many non-mail commands");
	size_t sp = slice_find(r->line, ' ');
	too_many(r, "nonmail commands", sp == SIZE_MAX ? r->line : slice_sub(r->line, 0, sp));
	return true;
}

/* The line as it is shown: AUTH ends before its response, in whatever form it is wrong; and what is
 * no command is likely the rest of an exchange that has failed. */
static slice_t shown(struct run *r, enum command c)
{
	const struct session *s = r->s;
	bool after_auth = s->history_count && s->facts.authentication_failed &&
	                  s->history[(s->history_count - 1) % HISTORY] == CMD_AUTH;
	uint32_t n = 4;
	if (c == CMD_UNKNOWN && after_auth)
		return SL(HIDDEN);
	if (!slice_startsi(r->line, "AUTH"))
		return r->line;
	while (n < r->line.len && ascii_isspace(r->line.ptr[n]))
		n++;
	while (n < r->line.len && !ascii_isspace(r->line.ptr[n]) && r->line.ptr[n])
		n++;
	return slice_sub(r->line, 0, n);
}

static bool has_nul(struct run *r)
{
	if (!r->line.len || !memchr(r->line.ptr, '\0', r->line.len))
		return false;
	r->line = shown(r, CMD_UNKNOWN);
	char *copy = arena_bytes(r->scratch, r->line.len + 1u);
	for (uint32_t i = 0; i < r->line.len; i++)
		copy[i] = r->line.ptr[i] ? r->line.ptr[i] : '?';
	r->line = slice_tainted(copy, r->line.len);
	synprot_error_told(r, false, 501, SL("NUL character(s) present (shown as '?')"),
	    SL("NUL characters are not allowed in SMTP commands"));
	return true;
}

void command_serve(struct run *r)
{
	struct session *s = r->s;
	while (r->line.len && ascii_isspace(r->line.ptr[r->line.len - 1]))
		r->line.len--;
	if (has_nul(r))
		return;
	r->arg = slice_absent();
	s->after_rcpt = s->was_rcpt;
	s->after_bad_mail = s->was_bad_mail;
	s->was_rcpt = s->was_bad_mail = false;
	r->command = recognise(r);
	enum command c = r->command;
	r->line = shown(r, c);
	s->facts.smtp_command = r->line;
	s->facts.smtp_command_argument =
	    c == CMD_AUTH ? slice_sub(r->line, r->line.len < 5 ? r->line.len : 5, r->line.len)
	                  : r->arg;
	bool may_pipeline = c < CMD_COUNT && !commands[c].sync && s->pipelining_advertised;
	if (may_pipeline && c != CMD_BDAT && run_pending(r).len)
		s->pipelining_used = true;
	if (c == CMD_EHLO && !s->helo_seen) /* PIPECONNECT: it knows already what it will be told */
		may_pipeline =
		    !s->no_pipelining && host_matches(r, MO_pipelining_connect_advertise_hosts);
	/* what follows BDAT is no command: server_bdat.c looks behind the chunk */
	bool too_soon = c != CMD_QUIT && c != CMD_BDAT && !may_pipeline && sync_violated(r);
	if (c < CMD_COUNT && !too_soon)
		s->history[s->history_count++ % HISTORY] = (uint8_t)c;
	if (too_soon) {
		/* closed */
	} else if (chunks_forbid(r)) {
		/* answered */
	} else if (c == CMD_UNKNOWN) {
		unknown(r);
	} else if (too_many_nonmail(r)) {
		/* closed */
	} else if (follow_of(c) == FOLLOW_NOTHING && r->arg.len) {
		synprot_error(r, false, 501, SL("unexpected argument data"));
	} else {
		commands[c].serve(r);
	}
	/* these point into the input buffer */
	s->facts.smtp_command = s->facts.smtp_command_argument = slice_absent();
}
