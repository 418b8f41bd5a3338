/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is wrong with a message on standard input, as -oem, -oee and -oep want it told: in a message
 * to its sender, or on standard error.  The words are Exim's, since programs that submit mail show
 * them.
 */
#include "base/clock.h"
#include "config/config.h"
#include "main/cli_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *subject, *text;
} mails[] = {
    [FAULT_BAD_ARGUMENT] = {"malformed recipient address",
        "A message that you sent contained a recipient address that was incorrectly\n"
        "constructed:\n\n"},
    [FAULT_BAD_FIELDS] = {"malformed recipient address",
        "A message that you sent contained one or more recipient addresses that were\n"
        "incorrectly constructed:\n\n"},
    [FAULT_SOME_BAD] = {"malformed recipient address",
        "A message that you sent contained one or more recipient addresses that were\n"
        "incorrectly constructed:\n\n"},
    [FAULT_NO_RECIPIENTS] = {"no recipient addresses",
        "A message that you sent contained no recipient addresses, and therefore no\n"
        "delivery could be attempted.\n"},
    [FAULT_OVERRIDDEN] = {"no recipient addresses",
        "A message that you sent using the -t command line option contained no\n"
        "addresses that were not also on the command line, and were therefore\n"
        "suppressed. This left no recipient addresses, and so no delivery could\n"
        "be attempted.\n"},
    [FAULT_TOO_MANY] = {"too many recipients",
        "A message that you sent contained more recipients than allowed on this\n"
        "system. It was not delivered to any recipients.\n"},
    [FAULT_TOO_BIG] = {"message too big",
        "A message that you sent was longer than the maximum size allowed on this\n"
        "system. It was not delivered to any recipients.\n"},
    [FAULT_SECTION] = {"overlong header section",
        "A message that you sent contained a header section that was excessively\n"
        "long and could not be handled by the mail transmission software. The\n"
        "message has not been delivered to any recipients.\n"},
    [FAULT_LINE] = {"overlong header line",
        "A message that you sent contained a header line that was excessively\n"
        "long and could not be handled by the mail transmission software. The\n"
        "message has not been delivered to any recipients.\n"},
    [FAULT_POLICY] = {"rejected by local scanning code",
        "A message that you sent was rejected by the local scanning code that\n"
        "checks incoming messages on this system. The following error was given:\n\n"},
};

/* ---- on standard error -------------------------------------------------------------------------
 */
static void put_bad_fields(const struct sending *t, FILE *out)
{
	fprintf(out, "heddle: invalid address%s:%s", t->bad.count > 1 ? "es" : "",
	    t->bad.count > 1 ? "\n" : " ");
	VEC_FOREACH(&t->bad, struct bad_address, b)
	fprintf(out, " %.*s: %.*s\n", SL_ARG(b->text), SL_ARG(b->why));
}

static void to_stderr(const struct sending *t, enum message_fault fault, slice_t text)
{
	const struct config *cfg = t->s->loaded.cfg;
	const struct bad_address *b = t->bad.count ? VEC_AT(&t->bad, struct bad_address, 0) : NULL;
	FILE *out = stderr;

	switch (fault) {
	case FAULT_BAD_ARGUMENT:
		if (b)
			fprintf(out, "heddle: bad recipient address \"%.*s\": %.*s\n",
			    SL_ARG(b->text), SL_ARG(b->why));
		break;
	case FAULT_BAD_FIELDS:
	case FAULT_SOME_BAD:
		put_bad_fields(t, out);
		break;
	case FAULT_NO_RECIPIENTS:
		fprintf(out, "heddle: no recipients in message\n");
		break;
	case FAULT_OVERRIDDEN:
		fprintf(out, "heddle: all -t recipients overridden by command line\n");
		break;
	case FAULT_TOO_MANY:
		fprintf(out, "heddle: too many recipients\n");
		break;
	case FAULT_TOO_BIG:
		fprintf(out, "heddle: message rejected: message too big (max=%.*s)\n",
		    SL_ARG(config_text(cfg, MO_message_size_limit)));
		break;
	case FAULT_SECTION:
		fprintf(out,
		    "heddle: message header longer than %lld characters received: message not "
		    "accepted\n",
		    (long long)config_int(cfg, MO_header_maxsize));
		break;
	case FAULT_LINE:
		fprintf(out,
		    "heddle: message header line longer than %lld characters received: message "
		    "not accepted\n",
		    (long long)config_int(cfg, MO_header_line_maxsize));
		break;
	case FAULT_POLICY:
		fprintf(out, "heddle: message rejected by non-SMTP ACL: %.*s\n", SL_ARG(text));
		break;
	}
}

/* ---- by mail -----------------------------------------------------------------------------------
 */
/* Each further line of a policy's text stands under the first. */
static void put_policy(slice_t text, struct strbuf *out)
{
	slice_t line;

	while (slice_next(&text, '\n', &line)) {
		/* a reply of several lines has its code before each */
		if (line.len > 4 && ascii_isdigit(line.ptr[0]) && ascii_isdigit(line.ptr[1]) &&
		    ascii_isdigit(line.ptr[2]) && strchr(" -", line.ptr[3]))
			line = slice_sub(line, 4, line.len);
		strbuf_printf(out, "  %.*s\n", SL_ARG(line));
	}
}

static void put_details(
    const struct sending *t, enum message_fault fault, slice_t text, struct strbuf *out)
{
	bool one = t->bad.count == 1, argument = fault == FAULT_BAD_ARGUMENT;

	if (fault == FAULT_POLICY)
		put_policy(text, out);
	if (fault > FAULT_SOME_BAD)
		return;
	VEC_FOREACH(&t->bad, struct bad_address, b)
	{
		strbuf_printf(
		    out, "  %.*s%s %.*s\n", SL_ARG(b->text), argument ? " " : ":", SL_ARG(b->why));
		if (argument)
			break;
	}
	if (argument)
		strbuf_text(out, "\nThe message has not been delivered to any recipients.\n");
	else if (fault == FAULT_SOME_BAD)
		strbuf_printf(out,
		    "\n%s been ignored. The other addresses in the message were\n"
		    "syntactically valid and have been passed on for an attempt at delivery.\n",
		    one ? "This address has" : "These addresses have");
	else
		strbuf_printf(out,
		    "\n%s been ignored. There were no other addresses in your\n"
		    "message, and so no attempt at delivery was possible.\n",
		    one ? "This address has" : "These addresses have");
}

static slice_t fields_of_report(const struct sending *t, enum message_fault fault, struct arena *a)
{
	const struct config *cfg = t->s->loaded.cfg;
	slice_t from = slice_absent(), reply_to = config_text(cfg, MO_errors_reply_to);
	struct strbuf out;
	struct error err;
	struct eval ev;

	eval_init(&ev, a, cfg);
	ev.process = &t->s->p->facts;
	ev.deadline_us = clock_mono_us() + 60 * US_PER_SEC;
	if (config_expand(&ev, MO_dsn_from, &from, &err) != RC_OK || slice_is_absent(from))
		from = SL("Mail Delivery System <Mailer-Daemon>");
	strbuf_init(&out, a, 0);
	strbuf_printf(&out, "Auto-Submitted: auto-replied\nFrom: %.*s\n", SL_ARG(from));
	if (!slice_is_absent(reply_to) && reply_to.len)
		strbuf_printf(&out, "Reply-To: %.*s\n", SL_ARG(reply_to));
	strbuf_printf(&out, "To: %.*s\nSubject: Mail failure - %s\n", SL_ARG(t->sender),
	    mails[fault].subject);
	return strbuf_slice(&out);
}

static FILE *text_of_report(struct sending *t, enum message_fault fault, slice_t text)
{
	FILE *f = tmpfile();
	struct strbuf out;

	if (!f)
		return NULL;
	message_keep_rest(t);
	strbuf_init(&out, t->arena, 0);
	strbuf_text(&out, mails[fault].text);
	put_details(t, fault, text, &out);
	strbuf_text(
	    &out, "\n------ This is a copy of your message, including all the headers. ------\n");
	if (t->copy_len == t->copy_max && t->copy_max)
		strbuf_printf(&out,
		    "------ No more than %zu characters of the body are included.\n", t->copy_max);
	strbuf_char(&out, '\n');
	slice_t s = strbuf_slice(&out);
	(void)fwrite(s.ptr, 1, s.len, f);
	s = strbuf_slice(&t->in.header);
	(void)fwrite(s.len ? s.ptr : "", 1, s.len, f);
	(void)fputc('\n', f);
	if (t->copy_len)
		(void)fwrite(t->copy, 1, t->copy_len, f);
	if (fflush(f) != 0 || fseek(f, 0, SEEK_SET) != 0) {
		(void)fclose(f);
		return NULL;
	}
	return f;
}

/* A message of its own, which never leads to another. */
static bool by_mail(struct sending *t, enum message_fault fault, slice_t text)
{
	enum message_fault none;
	struct error err = {.text = ""};
	struct cli c = {.mode = CLI_MESSAGE, .delivery = t->s->c->delivery, .dot_is_text = true};
	struct submission s = *t->s;
	struct sending report = {.s = &s, .arena = t->arena, .sender = SL("")};
	FILE *f = t->sender.len ? text_of_report(t, fault, text) : NULL;

	if (!f)
		return false;
	s.c = &c;
	s.fd = -1;
	s.own_sender = false;
	input_init(&report.in, t->arena, fileno(f));
	report.in.dot_is_text = true;
	slice_t fields = fields_of_report(t, fault, t->arena);
	header_parse(t->arena, fields, &report.fields);
	*VEC_PUSH(t->arena, &report.recipients, slice_t) = t->sender;
	enum rc rc = message_send(&report, &none, &err);
	input_fini(&report.in);
	(void)fclose(f);
	if (rc != RC_OK)
		(void)cli_fail(&err);
	return rc == RC_OK;
}

int message_report(struct sending *t, enum message_fault fault, slice_t text)
{
	enum cli_errors how = t->s->c->errors;
	bool nobody = fault == FAULT_NO_RECIPIENTS || fault == FAULT_OVERRIDDEN;

	if (how == ERRORS_TO_STDERR) {
		to_stderr(t, fault, text);
		return 1;
	}
	if (!by_mail(t, fault, text)) {
		to_stderr(t, fault, text);
		return nobody ? 2 : 1;
	}
	if (fault == FAULT_SOME_BAD)
		return -1;
	return how == ERRORS_BY_MAIL_ZERO ? 0 : 1;
}
