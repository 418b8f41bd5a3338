/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -bm: one message on standard input (Exim's specification, 5.3).  Its header section is read here,
 * since it may say who the recipients are; what is true of it the daemon decides, to which it goes
 * as a session of the submission socket.  The body is passed on as it comes.
 */
#include "main/cli_message.h"

#include "base/clock.h"
#include "config/config.h"
#include "main/cli_talk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const struct config *config_of(const struct sending *t)
{
	return t->s->loaded.cfg;
}

static void begin_eval(const struct sending *t, struct eval *ev)
{
	eval_init(ev, t->arena, config_of(t));
	ev->process = &t->s->p->facts;
	ev->deadline_us = clock_mono_us() + 60 * US_PER_SEC;
}

static slice_t own_domain(const struct sending *t, bool of_recipient)
{
	slice_t domain =
	    of_recipient ? config_text(config_of(t), MO_qualify_recipient) : slice_absent();

	if (slice_is_absent(domain) || !domain.len)
		domain = config_text(config_of(t), MO_qualify_domain);
	return slice_is_absent(domain) || !domain.len ? t->s->p->facts.primary_hostname : domain;
}

static slice_t qualified(const struct sending *t, slice_t address, bool of_recipient)
{
	slice_t local, domain;

	if (!address.len || address_split(address, &local, &domain))
		return address;
	return arena_printf(
	    t->arena, "%.*s@%.*s", SL_ARG(address), SL_ARG(own_domain(t, of_recipient)));
}

/* ---- who it is for -----------------------------------------------------------------------------
 */
static void add_bad(struct sending *t, slice_t text, slice_t why)
{
	struct bad_address *b = VEC_PUSH(t->arena, &t->bad, struct bad_address);

	b->text = text;
	b->why = arena_dup(t->arena, why);
}

static bool contains(const struct vec *v, slice_t address)
{
	VEC_FOREACH(v, slice_t, one)
	if (slice_eq(*one, address))
		return true;
	return false;
}

/* The addresses of a list; what is none is noted in t->bad. */
static void take_list(struct sending *t, slice_t list, struct vec *to)
{
	size_t pos = 0;

	for (;;) {
		size_t before = pos;
		struct error err = {.text = ""};
		slice_t address;
		enum rc rc = address_list_next(
		    t->arena, list, address_flags(config_of(t)), &pos, &address, &err);
		slice_t text = slice_trim(slice_sub(list, before, pos - before));
		if (text.len && text.ptr[text.len - 1] == ',')
			text = slice_trim(slice_sub(text, 0, text.len - 1));
		if (rc != RC_OK) {
			add_bad(t, text, slice_cstr(err.text));
			continue;
		}
		if (slice_is_absent(address))
			return;
		slice_t local, domain;
		if (!address.len)
			continue;
		if (t->s->c->unqualified && !address_split(address, &local, &domain)) {
			add_bad(t, text, SL("unqualified recipient address not allowed"));
			continue;
		}
		address = qualified(t, address, true);
		if (!contains(to, address))
			*VEC_PUSH(t->arena, to, slice_t) = address;
	}
}

static void take_words(struct sending *t, struct vec *to)
{
	VEC_FOREACH(&t->s->c->words, slice_t, w)
	{
		bool blank = w->len && !slice_trim(*w).len;
		size_t bad = t->bad.count;
		if (blank)
			add_bad(t, *w, SL("empty address"));
		else
			take_list(t, *w, to);
		if (t->bad.count > bad) /* it is called by the whole word */
			VEC_AT(&t->bad, struct bad_address, bad)->text = *w;
	}
}

/* -t: To, Cc, Bcc, or those of Resent- alone if there are any; Bcc goes. */
static void take_fields(struct sending *t, struct vec *to)
{
	static const char *const names[2][3] = {
	    {"To", "Cc", "Bcc"}, {"Resent-To", "Resent-Cc", "Resent-Bcc"}};
	bool resent = false;

	for (const struct header *h = t->fields.first; h; h = h->next)
		resent = resent || slice_startsi(h->text, "Resent-");
	for (struct header *h = t->fields.first; h; h = h->next)
		for (size_t i = 0; i < 3; i++) {
			slice_t name = slice_sub(h->text, 0, h->name_len);
			if (!slice_eqi(name, slice_cstr(names[resent][i])))
				continue;
			take_list(t, header_value(h), to);
			if (i == 2)
				header_delete(&t->fields, h);
		}
}

void message_recipients(struct sending *t)
{
	struct vec words = {0}, found = {0};

	take_words(t, &words);
	if (!t->s->c->extract) {
		t->recipients = words;
		return;
	}
	t->bad = (struct vec){0}; /* of what is only taken away */
	take_fields(t, &found);
	bool removes = config_bool(config_of(t), MO_extract_addresses_remove_arguments);
	VEC_FOREACH(&found, slice_t, address)
	if (!removes || !contains(&words, *address))
		*VEC_PUSH(t->arena, &t->recipients, slice_t) = *address;
	VEC_FOREACH(&words, slice_t, address)
	if (!removes && !contains(&t->recipients, *address))
		*VEC_PUSH(t->arena, &t->recipients, slice_t) = *address;
	t->overridden = found.count && !t->recipients.count;
}

/* ---- to the daemon -----------------------------------------------------------------------------
 */
static void keep(struct sending *t, slice_t line)
{
	size_t room = t->copy_max - t->copy_len, n = line.len + 1u < room ? line.len + 1u : room;

	if (!t->copy || !n)
		return;
	memcpy(t->copy + t->copy_len, line.len ? line.ptr : "", n < line.len ? n : line.len);
	if (n > line.len)
		t->copy[t->copy_len + line.len] = '\n';
	t->copy_len += n;
}

void message_keep_rest(struct sending *t)
{
	slice_t line;

	while (t->copy_len < t->copy_max && input_body(&t->in, &line) == INPUT_LINE)
		keep(t, line);
}

static void put_line(FILE *up, slice_t line)
{
	if (line.len && line.ptr[0] == '.')
		(void)fputc('.', up);
	(void)fwrite(line.len ? line.ptr : "", 1, line.len, up);
	(void)fputs("\r\n", up);
}

/* Fields, an empty line, the body; false: reading it timed out, and nothing of it is a message. */
static bool put_message(struct sending *t, FILE *up)
{
	struct eval ev;
	struct error err;
	slice_t text = slice_absent(), line = SL("");
	int64_t max = 0;
	uint64_t bytes = 0;

	begin_eval(t, &ev);
	if (config_expand(&ev, MO_message_size_limit, &text, &err) != RC_OK ||
	    !slice_to_i64(slice_trim(text), 10, true, &max))
		max = 0;
	for (const struct header *h = t->fields.first; h; h = h->next) {
		slice_t rest = h->type == '*' ? SL("") : h->text;
		bytes += h->text.len;
		while (rest.len && slice_next(&rest, '\n', &line))
			if (line.len || rest.len)
				put_line(up, line);
	}
	put_line(up, SL(""));
	/* what is too much already need not be read to its end */
	while (!t->in.fault && (max <= 0 || bytes <= (uint64_t)max)) {
		enum input_end end = input_body(&t->in, &line);
		if (end == INPUT_TIMEOUT)
			return false;
		if (end == INPUT_END)
			break;
		bytes += line.len + 1u;
		keep(t, line);
		put_line(up, line);
	}
	(void)fputs(".\r\n", up);
	return true;
}

static enum rc refused(const struct talk *talk, int code, struct error *err)
{
	const char *text = talk->reply + (strlen(talk->reply) > 4 ? 4 : 0);

	return error_set(err, code >= 500 ? RC_FAIL : RC_DEFER, "%s", text);
}

static enum rc say_envelope(struct sending *t, struct talk *talk, struct error *err)
{
	int code = talk_reply(talk);

	if (code < 400)
		code = talk_say(talk, t->arena, SL("EHLO localhost"));
	if (code < 400)
		code = talk_say(
		    talk, t->arena, arena_printf(t->arena, "MAIL FROM:<%.*s>", SL_ARG(t->sender)));
	if (code >= 400)
		return refused(talk, code, err);
	VEC_FOREACH(&t->recipients, slice_t, to)
	{
		code =
		    talk_say(talk, t->arena, arena_printf(t->arena, "RCPT TO:<%.*s>", SL_ARG(*to)));
		if (code >= 400) {
			enum rc rc = refused(talk, code, err);
			add_bad(t, *to, slice_cstr(err->text));
			return rc;
		}
	}
	code = talk_say(talk, t->arena, SL("DATA"));
	return code >= 400 ? refused(talk, code, err) : RC_OK;
}

static enum message_fault fault_of(const char *text)
{
	static const struct {
		const char *text;
		enum message_fault fault;
	} rows[] = {{"Message size exceeds maximum permitted", FAULT_TOO_BIG},
	    {"Message header is ridiculously long", FAULT_SECTION},
	    {"A message header line is too long", FAULT_LINE},
	    {"Too many recipients", FAULT_TOO_MANY}};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(text, rows[i].text) == 0)
			return rows[i].fault;
	return FAULT_POLICY;
}

static enum rc say_data(
    struct sending *t, struct talk *talk, enum message_fault *out_fault, struct error *err)
{
	int fd = dup(talk->sock);
	FILE *up = fd < 0 ? NULL : fdopen(fd, "w");

	if (!up)
		return error_errno(err, RC_DEFER, errno, "the connection to the daemon");
	bool whole = put_message(t, up);
	bool sent = fflush(up) == 0;
	(void)fclose(up);
	if (!whole)
		return error_set(err, RC_ERROR, "timed out while reading - message abandoned");
	int code = sent ? talk_reply(talk) : 421;
	if (code >= 400) {
		enum rc rc = refused(talk, code, err);
		*out_fault = fault_of(err->text);
		return rc;
	}
	slice_t all = slice_cstr(talk->reply);
	size_t at = slice_search(all, SL("id="));
	if (at != SIZE_MAX && all.len >= at + 3 + MESSAGE_ID_LEN)
		memcpy(t->id, all.ptr + at + 3, MESSAGE_ID_LEN);
	(void)talk_say(talk, t->arena, SL("QUIT"));
	return RC_OK;
}

enum rc message_send(struct sending *t, enum message_fault *out_fault, struct error *err)
{
	struct talk talk = {.sock = -1};
	enum rc rc = cli_submit_dial(t->s, "message", -1, err);

	if (rc != RC_OK)
		return rc;
	int fd = t->s->fd;
	t->s->fd = -1;
	if (!talk_begin(&talk, fd))
		return error_errno(err, RC_DEFER, errno, "the connection to the daemon");
	*out_fault = FAULT_BAD_ARGUMENT;
	rc = say_envelope(t, &talk, err);
	if (rc == RC_OK)
		rc = say_data(t, &talk, out_fault, err);
	else if (!t->bad.count)
		*out_fault = fault_of(err->text);
	talk_end(&talk);
	return rc;
}

/* ---- the command -------------------------------------------------------------------------------
 */
/* -f, else the "From " line, else who runs this.  The daemon has the last word. */
static enum rc take_sender(struct sending *t, struct error *err)
{
	const char *said = t->s->c->sender;
	slice_t text = said ? slice_trim(slice_cstr(said)) : slice_absent();

	t->s->own_sender = !said;
	if (!said) {
		t->sender = arena_printf(
		    t->arena, "%.*s@%.*s", SL_ARG(t->s->login), SL_ARG(own_domain(t, false)));
		return RC_OK;
	}
	if (text.len &&
	    address_parse_path(t->arena, text, true, address_flags(config_of(t)) | ADDRESS_LITERAL,
	        &t->sender, err) != RC_OK) {
		struct error why = *err;
		return error_set(
		    err, RC_FAIL, "bad -f address \"%s\": %s", t->s->c->sender, why.text);
	}
	t->sender = qualified(t, text.len ? t->sender : SL(""), false);
	return RC_OK;
}

static enum rc from_pattern(struct sending *t, const struct regex **out, struct error *err)
{
	slice_t text = config_text(config_of(t), MO_uucp_from_pattern);

	*out = NULL;
	if (slice_is_absent(text) || !text.len)
		return RC_OK;
	return regex_compile(t->arena, text, 0, out, err);
}

/* uucp_from_sender, with what the pattern has found. */
static void heed_from_line(struct sending *t, const struct regex *pattern)
{
	struct eval ev;
	struct error err;
	slice_t captures[EVAL_CAPTURES], text = slice_absent(), address;
	uint32_t n = 0;

	if (slice_is_absent(t->in.from_line) || t->s->c->sender ||
	    regex_match(t->arena, pattern, t->in.from_line, captures, EVAL_CAPTURES, &n, &err) !=
	        RC_OK)
		return;
	begin_eval(t, &ev);
	for (uint32_t i = 0; i < n && i < EVAL_CAPTURES; i++)
		ev.captures[i] = captures[i];
	ev.capture_count = n < EVAL_CAPTURES ? n : EVAL_CAPTURES;
	if (config_expand(&ev, MO_uucp_from_sender, &text, &err) != RC_OK ||
	    slice_is_absent(text) ||
	    address_parse_path(t->arena, text, true, address_flags(config_of(t)) | ADDRESS_LITERAL,
	        &address, &err) != RC_OK)
		return;
	if (!cli_is_trusted(t->s->p, config_of(t)))
		return; /* it is no more than what he says */
	t->sender = qualified(t, address, false);
	t->s->own_sender = false;
}

static int timed_out(void)
{
	fprintf(stderr, "heddle: timed out while reading - message abandoned\n");
	return 1;
}

static int check_recipients(struct sending *t)
{
	int64_t max = config_int(config_of(t), MO_recipients_max);

	if (t->bad.count && !t->s->c->extract)
		return message_report(t, FAULT_BAD_ARGUMENT, SL(""));
	if (max > 0 && (int64_t)t->recipients.count > max)
		return message_report(t, FAULT_TOO_MANY, SL(""));
	return -1;
}

static int go_on(struct sending *t)
{
	enum message_fault fault = FAULT_POLICY;
	struct error err = {.text = ""};
	int status = -1;

	if (t->s->c->extract) {
		message_recipients(t);
		if (t->bad.count)
			status = message_report(
			    t, t->recipients.count ? FAULT_SOME_BAD : FAULT_BAD_FIELDS, SL(""));
		if (status < 0)
			status = check_recipients(t);
	}
	if (status < 0 && !t->recipients.count)
		status = message_report(
		    t, t->overridden ? FAULT_OVERRIDDEN : FAULT_NO_RECIPIENTS, SL(""));
	if (status >= 0)
		return status;
	enum rc rc = message_send(t, &fault, &err);
	if (rc == RC_FAIL)
		return message_report(t, fault, slice_cstr(err.text));
	if (rc != RC_OK)
		return (void)cli_fail(&err), rc == RC_DEFER ? EX_TEMPFAIL : 1;
	if (t->s->c->delivery == DELIVER_FOREGROUND && t->id[0])
		cli_wait_for(t->s->p, slice_cstr(t->id));
	return 0;
}

static int run(struct sending *t, struct error *err)
{
	const struct config *cfg = config_of(t);
	const struct cli *c = t->s->c;
	const struct regex *pattern = NULL;
	int64_t ms = c->receive_ms ? c->receive_ms : config_int(cfg, MO_receive_timeout);
	int status = -1;

	if (take_sender(t, err) != RC_OK || from_pattern(t, &pattern, err) != RC_OK)
		return cli_fail(err);
	if (ms > 0)
		t->in.deadline_us = clock_mono_us() + ms * 1000;
	t->in.dot_is_text = c->dot_is_text;
	t->in.header_max = (uint64_t)config_int(cfg, MO_header_maxsize);
	t->in.line_max = (uint64_t)config_int(cfg, MO_header_line_maxsize);
	if (!c->extract) {
		message_recipients(t);
		if (t->bad.count && c->errors == ERRORS_TO_STDERR)
			return check_recipients(t);
	}
	if (input_header(&t->in, pattern) == INPUT_TIMEOUT)
		return timed_out();
	header_parse(t->arena, strbuf_slice(&t->in.header), &t->fields);
	heed_from_line(t, pattern);
	if (!c->extract)
		status = check_recipients(t);
	return status >= 0 ? status : go_on(t);
}

int cli_run_message(struct process *p, const struct cli *c)
{
	struct error err = {.text = ""};
	struct submission s;
	struct sending t = {.s = &s, .arena = arena_new(0)};

	(void)signal(SIGPIPE, SIG_IGN); /* a daemon that goes away is told from its reply */
	if (cli_submit_begin(p, c, &s, &err) != RC_OK) {
		arena_free(&t.arena);
		return cli_fail(&err);
	}
	int64_t copy = config_int(s.loaded.cfg, MO_bounce_return_size_limit);
	t.copy_max = copy > 0 ? (size_t)copy : 0;
	t.copy = t.copy_max ? malloc(t.copy_max) : NULL;
	if (!t.copy)
		t.copy_max = 0;
	input_init(&t.in, t.arena, STDIN_FILENO);
	int status = run(&t, &err);
	input_fini(&t.in);
	free(t.copy);
	cli_submit_end(&s);
	arena_free(&t.arena);
	return status;
}
