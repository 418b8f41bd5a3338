/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An eval with a session, a message and an address, for the tests of expand/. */
#ifndef HEDDLE_TESTS_EXPAND_FIXTURE_H
#define HEDDLE_TESTS_EXPAND_FIXTURE_H
#include "base/clock.h"
#include "base/strbuf.h"
#include "expand/expand.h"

struct fixture {
	struct arena *arena;
	struct process_facts process;
	struct session_facts session;
	struct message_facts message;
	struct address_facts address;
	struct host_facts host;
	struct header_list headers;
	struct eval ev;
};

static inline void fixture_header(struct fixture *f, const char *text)
{
	struct header *h = ARENA_NEW(f->arena, struct header);
	h->text = slice_tainted(text, strlen(text));
	h->name_len = (uint32_t)strcspn(text, ":");
	h->type = text[0] == 'F' || text[0] == 'T' ? text[0] : ' ';
	h->prev = f->headers.last;
	if (f->headers.last)
		f->headers.last->next = h;
	else
		f->headers.first = h;
	f->headers.last = h;
	f->headers.count++;
}

static inline void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	f->arena = arena_new(0);
	f->process.primary_hostname = SL("mx.example.org");
	f->process.version_number = SL("4.96");
	f->process.spool_directory = SL("/tmp");
	f->session.arena = f->message.arena = f->address.arena = f->arena;
	f->session.sender_host_address = slice_tainted("192.0.2.7", 9);
	f->message.headers = &f->headers;
	f->message.sender_address = slice_tainted("joe@sender.example", 18);
	f->address.local_part = slice_tainted("Alice", 5);
	f->address.domain = slice_tainted("example.com", 11);
	eval_init(&f->ev, f->arena, NULL);
	f->ev.process = &f->process;
	f->ev.session = &f->session;
	f->ev.message = &f->message;
	f->ev.address = &f->address;
}

static inline void fixture_free(struct fixture *f)
{
	arena_free(&f->arena);
}

static inline enum rc fixture_eval(
    struct fixture *f, const char *text, slice_t *out, struct error *err)
{
	const struct expr_env env = {.file = "test", .line = 1};
	const struct expr *e;
	enum rc rc = expr_compile(f->arena, slice_cstr(text), &env, &e, err);
	return rc == RC_OK ? expr_eval(&f->ev, e, out, err) : rc;
}

/* The value, or "Failed: why" as -be prints it. */
static inline slice_t fixture_result(struct fixture *f, const char *text)
{
	struct error err = {0};
	slice_t out;
	if (fixture_eval(f, text, &out, &err) == RC_OK)
		return out;
	return arena_printf(f->arena, "Failed: %s", err.text);
}
#endif
