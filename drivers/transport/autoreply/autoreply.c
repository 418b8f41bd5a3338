/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * autoreply: an answer to the message that is delivered.  Exim specification, chapter 27; RFC 3834
 * (Auto-Submitted), 5322 3.6.4 (References).  What is sent is handed to the queue, durably, before
 * the delivery counts as done.
 */
#include "autoreply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX_BYTES (1u << 20)
#define COPY_PIECE     16384

slice joined(struct reply *r, slice a, slice b, slice c, slice d)
{
	const slice parts[4] = {a, b, c, d};
	slice out = heddle_text("");

	(void)r->host->join(r->call, parts, 4, &out);
	return out;
}

int32_t problem(struct reply *r, const char *what, slice about)
{
	r->host->reason(r->call, 0, heddle_text(NULL),
	    joined(r, heddle_text("autoreply: "), heddle_text(what), about, heddle_text("")));
	return HEDDLE_DEFER;
}

static int is_set(slice s)
{
	return !(s.flags & HEDDLE_ABSENT) && s.len > 0;
}

static int64_t number(const struct reply *r, uint32_t option)
{
	int64_t v = 0;
	return r->host->opt_int(r->call, r->in->cfg, option, &v) == HEDDLE_OK ? v : 0;
}

static int32_t expand_all(struct reply *r)
{
	static const uint8_t texts[] = {O_TO, O_CC, O_BCC, O_FROM, O_REPLY_TO, O_SUBJECT, O_HEADERS,
	    O_TEXT, O_FILE, O_LOG, O_ONCE};

	for (size_t i = 0; i < sizeof texts; i++) {
		slice v = {NULL, 0, HEDDLE_ABSENT, 0};
		int32_t rc = r->host->opt_text(r->call, r->in->cfg, texts[i], &v);
		if (rc == HEDDLE_FAIL) /* forced: as if it were not set */
			v = (slice){NULL, 0, HEDDLE_ABSENT, 0};
		else if (rc != HEDDLE_OK)
			return rc;
		r->text[texts[i]] = v;
	}
	return HEDDLE_OK;
}

/* ---- whom, and whether ---- */

/* Under which name it is remembered that this user has answered that address. */
static slice once_key(struct reply *r, slice address)
{
	char uid[24];

	(void)snprintf(uid, sizeof uid, "%lu ", (unsigned long)getuid());
	return joined(r, heddle_text(uid), r->text[O_ONCE], heddle_text(" "), address);
}

/* 1: it has been answered before, and not so long ago that it may be again. */
static int32_t was_answered(struct reply *r, slice address, int *answered)
{
	slice was;

	*answered = 0;
	if (!r->hints)
		return problem(r, "there is no database for once", heddle_text(""));
	int32_t rc = r->hints->get(r->call, heddle_text("autoreply"), once_key(r, address), &was);
	*answered = rc == HEDDLE_OK;
	return rc == HEDDLE_FAIL ? HEDDLE_OK : rc;
}

/* once_repeat is expanded, and then a time. */
static int32_t repeat_seconds(struct reply *r, uint32_t *out)
{
	int64_t ms = 0;
	int32_t rc = r->host->opt_int(r->call, r->in->cfg, O_ONCE_REPEAT, &ms);

	if (rc != HEDDLE_OK && rc != HEDDLE_FAIL)
		return rc;
	*out = ms <= 0 ? 0 : ms / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ms / 1000);
	return HEDDLE_OK;
}

static int32_t remember(struct reply *r, uint32_t people)
{
	uint32_t keep = 0;
	int32_t rc = repeat_seconds(r, &keep);

	for (uint32_t i = 0; rc == HEDDLE_OK && i < people; i++)
		rc = r->hints->put(r->call, heddle_text("autoreply"), once_key(r, r->to[i]),
		    heddle_text("sent"), keep);
	return rc;
}

/* ---- the header ---- */

/* What goes into a header line may hold no control character but a newline before white space. */
static int32_t check_header(struct reply *r, slice s, const char *name)
{
	for (uint32_t i = 0; !(s.flags & HEDDLE_ABSENT) && i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		int folded =
		    c == '\n' && i + 1 < s.len && (s.ptr[i + 1] == ' ' || s.ptr[i + 1] == '\t');
		if ((c < ' ' && c != '\t' && !folded) || c == 127)
			return problem(r, "a non-printing character in ", heddle_text(name));
	}
	return HEDDLE_OK;
}

static slice field(struct reply *r, slice all, const char *name, slice value)
{
	if (!is_set(value))
		return all;
	return joined(r, all, heddle_text(name), value, heddle_text("\n"));
}

static slice original(struct reply *r, const char *name)
{
	uint64_t pos = 0;
	slice n, v;

	while (r->message->header(r->call, &pos, &n, &v) == HEDDLE_OK)
		if (n.len == strlen(name) && strncasecmp(n.ptr, name, n.len) == 0)
			return v;
	return (slice){NULL, 0, HEDDLE_ABSENT, 0};
}

/* A header's text without what would end the line. */
static slice one_line(struct reply *r, slice v)
{
	char *p = is_set(v) ? r->host->alloc(r->call, v.len, 1) : NULL;

	if (!p)
		return (slice){NULL, 0, HEDDLE_ABSENT, 0};
	for (uint32_t i = 0; i < v.len; i++)
		p[i] = (unsigned char)v.ptr[i] < ' ' ? ' ' : v.ptr[i];
	return heddle_bytes(p, v.len, v.flags & HEDDLE_CLEAN);
}

static slice thread_fields(struct reply *r, slice all)
{
	slice id = one_line(r, original(r, "Message-ID")),
	      refs = one_line(r, original(r, "References"));

	if (!is_set(refs))
		refs = one_line(r, original(r, "In-Reply-To"));
	all = field(r, all, "In-Reply-To: ", id);
	if (is_set(id) && is_set(refs))
		return field(r, all,
		    "References: ", joined(r, refs, heddle_text("\n "), id, heddle_text("")));
	return field(r, all, "References: ", is_set(id) ? id : refs);
}

static int32_t make_header(struct reply *r, slice *out)
{
	static const struct {
		uint8_t option;
		const char *name;
	} fields[] = {{O_FROM, "From: "}, {O_REPLY_TO, "Reply-To: "}, {O_TO, "To: "},
	    {O_CC, "Cc: "}, {O_SUBJECT, "Subject: "}};
	slice all = heddle_text("");

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		int32_t rc = check_header(r, r->text[fields[i].option], fields[i].name);
		if (rc != HEDDLE_OK)
			return rc;
		all = field(r, all, fields[i].name, r->text[fields[i].option]);
	}
	all = thread_fields(r, all);
	all = joined(r, all, heddle_text("Auto-Submitted: auto-replied\n"), heddle_text(""),
	    heddle_text(""));
	*out = field(r, all, "", r->text[O_HEADERS]);
	return HEDDLE_OK;
}

/* ---- the body ---- */

static int32_t write_text(struct reply *r, struct heddle_draft *d, slice s)
{
	int32_t rc = s.len ? r->message->draft_write(r->call, d, s.ptr, s.len) : HEDDLE_OK;

	if (rc == HEDDLE_OK && s.len && s.ptr[s.len - 1] != '\n')
		rc = r->message->draft_write(r->call, d, "\n", 1);
	return rc;
}

static int32_t write_file(struct reply *r, struct heddle_draft *d)
{
	slice path = r->text[O_FILE], text;
	struct heddle_expr *e = NULL;

	if (!is_set(path))
		return HEDDLE_OK;
	if (!r->file)
		return problem(r, "nothing here reads files", heddle_text(""));
	int32_t rc = r->file->read_all(r->call, path, UINT32_MAX, FILE_MAX_BYTES, &text);
	if (rc != HEDDLE_OK)
		return number(r, O_FILE_OPTIONAL) ? HEDDLE_OK
		       : rc == HEDDLE_FAIL        ? problem(r, "failed to open file: ", path)
		                                  : rc;
	if (number(r, O_FILE_EXPAND)) {
		rc = r->host->compile(r->call, text, HEDDLE_FORBID_ALL, &e);
		if (rc == HEDDLE_OK)
			rc = r->host->expand(r->call, e, &text);
		if (rc != HEDDLE_OK)
			return problem(r, "failed to expand the file ", path);
	}
	return write_text(r, d, text);
}

static int32_t write_copy(struct reply *r, struct heddle_draft *d)
{
	struct heddle_reader *in = NULL;
	slice none = {NULL, 0, HEDDLE_ABSENT, 0};
	char *buf = r->host->alloc(r->call, COPY_PIECE, 1);

	if (!number(r, O_RETURN_MESSAGE))
		return HEDDLE_OK;
	if (!buf)
		return problem(r, "out of memory", heddle_text(""));
	int32_t rc = write_text(r, d,
	    heddle_text("\n------ This is a copy of the message, including all the headers.\n\n"));
	if (rc == HEDDLE_OK)
		rc = r->message->open(r->call, HEDDLE_WIRE_LF, none, none, &in);
	for (uint64_t got = 1; rc == HEDDLE_OK && got;) {
		rc = r->message->read(r->call, in, buf, COPY_PIECE, &got);
		if (rc == HEDDLE_OK && got)
			rc = r->message->draft_write(r->call, d, buf, got);
	}
	return rc;
}

/* ---- the log ---- */

static slice noted(struct reply *r, slice all, const char *name, uint32_t option)
{
	return is_set(r->text[option])
	           ? joined(r, all, heddle_text(name), r->text[option], heddle_text("\n"))
	           : all;
}

/* Not being able to note it is no reason not to have answered. */
static void note(struct reply *r, slice previously)
{
	char when[40];
	time_t now = time(NULL);
	struct tm tm;
	int32_t fd = -1;

	if (!is_set(r->text[O_LOG]) || !r->file || !localtime_r(&now, &tm) ||
	    !strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S\n", &tm))
		return;
	slice text = heddle_text(when);
	if (is_set(previously)) {
		text = joined(
		    r, text, heddle_text("  previously sent to "), previously, heddle_text("\n"));
	} else {
		text = noted(r, text, "  From: ", O_FROM);
		text = noted(r, text, "  To: ", O_TO);
		text = noted(r, text, "  Cc: ", O_CC);
		text = noted(r, text, "  Bcc: ", O_BCC);
		text = noted(r, text, "  Subject: ", O_SUBJECT);
		text = noted(r, text, "  ", O_HEADERS);
	}
	if (r->file->open(r->call, r->text[O_LOG], O_WRONLY | O_APPEND | O_CREAT,
	        (uint32_t)number(r, O_MODE), &fd) != HEDDLE_OK ||
	    write(fd, text.ptr, text.len) != (ssize_t)text.len)
		r->host->log(r->call, HEDDLE_LOG_WARN,
		    joined(r, heddle_text("Failed to log autoreply to "), r->text[O_LOG],
		        heddle_text(""), heddle_text("")));
	if (fd >= 0)
		(void)close(fd);
}

/* ---- all of it ---- */

static int32_t send(struct reply *r, uint32_t people)
{
	struct heddle_draft *d = NULL;
	slice header, id;
	int32_t rc = make_header(r, &header);

	if (rc == HEDDLE_OK)
		rc = r->message->draft(r->call, heddle_text(""), r->to, r->count, header, &d);
	if (rc == HEDDLE_OK && is_set(r->text[O_TEXT]))
		rc = write_text(r, d, r->text[O_TEXT]);
	if (rc == HEDDLE_OK)
		rc = write_file(r, d);
	if (rc == HEDDLE_OK)
		rc = write_copy(r, d);
	if (rc == HEDDLE_OK)
		rc = r->message->commit(r->call, d, &id);
	/* it is on its way: what could not be noted of it does not send it again */
	if (rc == HEDDLE_OK && is_set(r->text[O_ONCE]) && remember(r, people) != HEDDLE_OK)
		r->host->log(
		    r->call, HEDDLE_LOG_WARN, heddle_text("autoreply: once could not be noted"));
	return rc == HEDDLE_FAIL ? HEDDLE_DEFER : rc;
}

/* Who has been answered is left out; people: those of To:, which once is about. */
static int32_t choose(struct reply *r, uint32_t *people, slice *previously)
{
	uint32_t kept = 0;
	int32_t rc = add_addresses(r, r->text[O_TO]);

	if (rc == HEDDLE_OK && is_set(r->text[O_ONCE])) {
		for (uint32_t i = 0; rc == HEDDLE_OK && i < r->count; i++) {
			int answered;
			rc = was_answered(r, r->to[i], &answered);
			if (answered)
				*previously = r->to[i];
			else
				r->to[kept++] = r->to[i];
		}
		r->count = kept;
	}
	*people = r->count;
	return rc;
}

static int32_t answer(struct reply *r)
{
	slice previously = {NULL, 0, HEDDLE_ABSENT, 0};
	uint32_t people = 0;
	int32_t rc = expand_all(r);

	if (rc == HEDDLE_OK)
		rc = choose(r, &people, &previously);
	if (rc == HEDDLE_OK && people == 0 && is_set(previously)) {
		note(r, previously);
		return HEDDLE_OK;
	}
	if (rc == HEDDLE_OK)
		rc = add_addresses(r, r->text[O_CC]);
	if (rc == HEDDLE_OK)
		rc = add_addresses(r, r->text[O_BCC]);
	if (rc != HEDDLE_OK || r->count == 0)
		return rc;
	rc = send(r, people);
	if (rc == HEDDLE_OK)
		note(r, (slice){NULL, 0, HEDDLE_ABSENT, 0});
	return rc;
}

/* Done is what has been said to be: the result alone would not be believed. */
static int32_t done(struct reply *r)
{
	struct heddle_job_info info = {.struct_size = sizeof info};
	const struct heddle_outcome o = {.struct_size = sizeof o,
	    .result = HEDDLE_OK,
	    .host = -1,
	    .text = {NULL, 0, HEDDLE_ABSENT, 0}};
	int32_t rc = r->delivery->info(r->call, r->job, &info);

	for (uint32_t i = 0; rc == HEDDLE_OK && i < info.recipients; i++)
		rc = r->delivery->outcome(r->call, r->job, i, &o);
	return rc;
}

static int32_t deliver(struct heddle_call *call, void *inst, struct heddle_job *job)
{
	struct autoreply *in = inst;
	struct reply *r = in->host->alloc(call, sizeof *r, 16);

	if (!r) {
		in->host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	*r = (struct reply){.call = call, .in = in, .host = in->host, .job = job};
	r->delivery = r->host->service(r->host, HEDDLE_DELIVERY_ID);
	r->message = r->host->service(r->host, HEDDLE_MESSAGE_ID);
	r->hints = r->host->service(r->host, HEDDLE_HINTS_ID);
	r->file = r->host->service(r->host, HEDDLE_FILE_ID);
	if (!r->delivery || !r->message || r->message->struct_size < sizeof *r->message)
		return problem(r, "nothing here makes messages", heddle_text(""));
	int32_t rc = answer(r);
	return rc == HEDDLE_OK ? done(r) : rc;
}

#define ROW(n, i, t, f, text)                                                                  \
	{                                                                                      \
		.name = n, .initial = i, .type = t, .flags = f, .doc = text, .since_major = 0, \
		.since_minor = 1                                                               \
	}
#define X HEDDLE_O_EXPAND

static const struct heddle_option options[O_COUNT] = {
    [O_BCC] = ROW("bcc", NULL, HEDDLE_T_STRING, X, "recipients that the header does not show"),
    [O_CC] = ROW("cc", NULL, HEDDLE_T_STRING, X, "further recipients, and the Cc: field"),
    [O_FILE] = ROW("file", NULL, HEDDLE_T_STRING, X | HEDDLE_O_UNTAINTED,
        "a file whose content goes behind text"),
    [O_FILE_EXPAND] =
        ROW("file_expand", "false", HEDDLE_T_BOOL, 0, "the file's content is expanded"),
    [O_FILE_OPTIONAL] =
        ROW("file_optional", "false", HEDDLE_T_BOOL, 0, "a file that is not there is no error"),
    [O_FROM] = ROW("from", NULL, HEDDLE_T_STRING, X, "the From: field"),
    [O_HEADERS] = ROW("headers", NULL, HEDDLE_T_STRING, X, "further header lines"),
    [O_LOG] = ROW("log", NULL, HEDDLE_T_STRING, X | HEDDLE_O_UNTAINTED,
        "a file to which what is sent is noted"),
    [O_MODE] = ROW("mode", "0600", HEDDLE_T_OCTAL, 0, "of the log, when it is made"),
    [O_NEVER_MAIL] =
        ROW("never_mail", NULL, HEDDLE_T_ADDRESSES, X, "addresses that are quietly left out"),
    [O_ONCE] = ROW("once", NULL, HEDDLE_T_STRING, X | HEDDLE_O_UNTAINTED,
        "the name under which is kept who has been answered"),
    [O_ONCE_FILE_SIZE] = ROW(
        "once_file_size", "0", HEDDLE_T_INT, 0, "bounds Exim's file; there is no such file here"),
    [O_ONCE_REPEAT] = ROW("once_repeat", "0s", HEDDLE_T_TIME, X,
        "after which time somebody is answered again; 0: never"),
    [O_REPLY_TO] = ROW("reply_to", NULL, HEDDLE_T_STRING, X, "the Reply-To: field"),
    [O_RETURN_MESSAGE] = ROW("return_message", "false", HEDDLE_T_BOOL, 0,
        "a copy of the message is put behind the text"),
    [O_SUBJECT] = ROW("subject", NULL, HEDDLE_T_STRING, X, "the Subject: field"),
    [O_TEXT] = ROW("text", NULL, HEDDLE_T_STRING, X, "the text of the answer"),
    [O_TO] = ROW("to", NULL, HEDDLE_T_STRING, X, "recipients, and the To: field"),
};

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct autoreply *in = malloc(sizeof *in);

	(void)call, (void)state;
	if (!in)
		return HEDDLE_DEFER;
	*in = (struct autoreply){.host = host, .cfg = cfg};
	*out = in;
	return HEDDLE_OK;
}

static const struct heddle_transport_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_TR_LOCAL, .deliver = deliver};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_TRANSPORT,
    .flags = HEDDLE_F_BLOCKS,
    .name = "autoreply",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "an answer to the message",
    .options = options,
    .option_count = O_COUNT,
    .option_size = sizeof *options,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
