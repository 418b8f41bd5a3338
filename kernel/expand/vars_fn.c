/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Variables that are more than a field of some facts: the functions that rows of variables.c name.
 */
#include "base/clock.h"
#include "config/config.h"
#include "expand/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static const char *variant(const struct node *n)
{
	return ((const struct var_row *)n->row)->without;
}

enum rc var_acl_narg(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	*out = number_text(ev->arena, ev->acl_narg);
	return RC_OK;
}

enum rc var_runrc(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	/* Exim's value before any command was run */
	*out = number_text(ev->arena, ev->runrc < 0 ? 127 : ev->runrc);
	return RC_OK;
}

enum rc var_pid(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	*out =
	    number_text(ev->arena, ev->process && ev->process->pid ? ev->process->pid : getpid());
	return RC_OK;
}

enum rc var_lookup_dnssec(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	*out = ev->lookup_dnssec ? SL("yes") : SL("no");
	return RC_OK;
}

enum rc var_host_lookup(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	enum host_lookup_state want =
	    *variant(n) == 'D' ? HOST_LOOKUP_DEFERRED : HOST_LOOKUP_FAILED;
	*out = ev->session && ev->session->host_lookup == want ? SL("1") : SL("0");
	return RC_OK;
}

/* The deprecated names: of the session that mail goes out by, where it does. */
enum rc var_tls_old(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	char name[40];
	(void)snprintf(name, sizeof name, "tls_%s_%s", ev->host ? "out" : "in", variant(n));
	const struct node now = {.row = var_find(slice_cstr(name)), .eval = var_eval};
	return now.row ? var_eval(ev, &now, out, err)
	               : error_set(err, RC_ERROR, "unknown variable %s", name);
}

enum rc var_host_name(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n;
	struct session_facts *s = ev->session;
	*out = slice_absent();
	if (!s)
		return RC_OK;
	bool looked_up = s->host_lookup != HOST_LOOKUP_NONE || s->sender_host_name.len > 0;
	if (!looked_up && s->sender_host_address.len && ev->hooks && ev->hooks->host_name) {
		enum rc rc = ev->hooks->host_name(ev);
		if (rc == RC_ERROR)
			return error_set(
			    err, rc, "looking up the name of the client's host failed");
	}
	*out = s->sender_host_name;
	return RC_OK;
}

enum rc var_sender_part(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	*out = slice_absent();
	if (!ev->message)
		return RC_OK;
	slice_t sender = ev->message->sender_address;
	size_t at = slice_rfind(sender, '@');
	if (*variant(n) == 'D')
		*out = at == SIZE_MAX ? slice_absent() : slice_sub(sender, at + 1, sender.len);
	else
		*out = at == SIZE_MAX ? sender : slice_sub(sender, 0, at);
	return RC_OK;
}

/* ---- time ---- */

enum rc var_tod(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	const char *form = variant(n);
	int64_t now = clock_wall_us();
	if (*form == 's' || *form == 'u') {
		*out = number_text(ev->arena, *form == 's' ? now / US_PER_SEC : now);
		return RC_OK;
	}
	time_t t = (time_t)(now / US_PER_SEC);
	struct tm tm;
	bool zulu = *form == 'Z';
	if (!(zulu ? gmtime_r(&t, &tm) : localtime_r(&t, &tm))) {
		*out = SL("");
		return RC_OK;
	}
	char text[80];
	/* the forms are those of the rows */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	size_t len = strftime(text, sizeof text, form + zulu, &tm);
#pragma GCC diagnostic pop
	*out = arena_dup(ev->arena, slice_of(text, len, HEDDLE_CLEAN));
	return RC_OK;
}

enum rc var_message_age(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	int64_t since = ev->message ? ev->message->received_time_us : 0;
	*out = number_text(ev->arena, since ? (clock_wall_us() - since) / US_PER_SEC : 0);
	return RC_OK;
}

enum rc var_received_time(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	*out = number_text(ev->arena, ev->message ? ev->message->received_time_us / US_PER_SEC : 0);
	return RC_OK;
}

/* ---- the message ---- */

enum rc var_recipients(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n;
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, 0);
	const struct message_facts *m = ev->message;
	for (int64_t i = 0; m && m->recipients && i < m->recipients_count; i++) {
		if (i)
			strbuf_text(&sb, ", ");
		strbuf_add(&sb, m->recipients[i]);
	}
	return text_done(&sb, out, err);
}

static int64_t header_lines(const struct header_list *l)
{
	int64_t lines = 0;
	for (const struct header *h = l ? l->first : NULL; h; h = h->next)
		for (uint32_t i = 0; h->type != '*' && i < h->text.len; i++)
			lines += h->text.ptr[i] == '\n';
	return lines;
}

enum rc var_message_linecount(
    struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	int64_t lines = 0;
	if (ev->message && ev->message->headers)
		lines = (ev->message->header_linecount ? ev->message->header_linecount
		                                       : header_lines(ev->message->headers)) +
		        1 + ev->message->body_linecount;
	*out = number_text(ev->arena, lines);
	return RC_OK;
}

enum rc var_message_headers(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, 0);
	const struct header_list *l = ev->message ? ev->message->headers : NULL;
	for (const struct header *h = l ? l->first : NULL; h; h = h->next)
		if (h->type != '*')
			strbuf_add(&sb, h->text);
	slice_t text;
	enum rc rc = text_done(&sb, &text, err);
	if (rc != RC_OK)
		return rc;
	if (*variant(n) == 'D') {
		while (text.len && text.ptr[text.len - 1] == '\n')
			text.len--;
		rc = rfc2047_decode(ev, text, false, &text, err);
	}
	*out = text;
	return rc;
}

enum rc var_message_body(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	*out = slice_absent();
	if (!ev->message)
		return RC_OK;
	slice_t text = *variant(n) == 'B' ? ev->message->body_start : ev->message->body_end;
	bool newlines = ev->cfg && config_bool(ev->cfg, MO_message_body_newlines);
	text = arena_dup(ev->arena, text);
	char *p = arena_bytes(ev->arena, text.len);
	for (uint32_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		p[i] = c == '\0' || (c == '\n' && !newlines) ? ' ' : c;
	}
	text.ptr = p;
	*out = text;
	return RC_OK;
}

enum rc var_reply_address(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	enum rc rc = header_text(ev, 'h', SL("reply-to"), out);
	if (rc == RC_OK && slice_trim(*out).len == 0)
		rc = header_text(ev, 'h', SL("from"), out);
	return rc;
}

/* ---- the machine ---- */

enum rc var_load_average(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)n, (void)err;
	double load;
	*out = number_text(ev->arena, getloadavg(&load, 1) == 1 ? (int64_t)(load * 1000.0) : -1);
	return RC_OK;
}

/* KiB or inodes free to us; -1: cannot be known. */
enum rc var_space(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	char which = *variant(n);
	struct statvfs fs;
	int64_t v = -1;
	slice_t dir = ev->process ? ev->process->spool_directory : slice_absent();
	/* the log's file system is the spool's unless it is syslog, which has none */
	if (dir.len && statvfs(arena_cstr(ev->arena, dir), &fs) == 0) {
		if (which == 's' || which == 'S')
			v = (int64_t)(fs.f_bavail * (fs.f_frsize / 512) / 2);
		else if (fs.f_files)
			v = (int64_t)fs.f_favail;
	}
	*out = number_text(ev->arena, v);
	return RC_OK;
}

struct option_variable {
	const char *name;
	enum main_option option, otherwise;
	bool number;
};

enum rc var_main_option(struct eval *ev, const struct node *n, slice_t *out, struct error *err)
{
	(void)err;
	static const struct option_variable rows[] = {
	    {"bounce_return_size_limit", MO_bounce_return_size_limit, MO_COUNT, true},
	    {"localhost_number", MO_localhost_number, MO_COUNT, false},
	    {"qualify_domain", MO_qualify_domain, MO_COUNT, false},
	    {"qualify_recipient", MO_qualify_recipient, MO_qualify_domain, false},
	};
	*out = slice_absent();
	const struct option_variable *row = NULL;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (slice_eqs(slice_cstr(rows[i].name), variant(n)))
			row = &rows[i];
	if (!row || !ev->cfg)
		return RC_OK;
	if (row->number) {
		*out = number_text(ev->arena, config_int(ev->cfg, row->option));
		return RC_OK;
	}
	*out = config_text(ev->cfg, row->option);
	if (out->len == 0 && row->otherwise != MO_COUNT)
		*out = config_text(ev->cfg, row->otherwise);
	bool host = row->option == MO_qualify_domain || row->option == MO_qualify_recipient;
	if (out->len == 0 && host && ev->process)
		*out = ev->process->primary_hostname;
	return RC_OK;
}
