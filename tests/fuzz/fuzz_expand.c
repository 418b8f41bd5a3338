/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any text as an expansion, compiled and evaluated with hostile facts; and any text as a list.
 * Nothing may crash, and what was clean only in part must not come out clean. */
#include "base/clock.h"
#include "expand/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TIME_LIMIT_US = 200000 };

static void set_header(struct header *h, struct header_list *l, slice_t text)
{
	h->text = text;
	h->name_len = 1;
	h->type = 'F';
	l->first = l->last = h;
	l->count = 1;
}

static void walk_list(struct arena *a, slice_t list)
{
	uint64_t pos = 0, before = 0;
	slice_t item;
	while (expand_list_next(a, list, &pos, &item)) {
		MUST(pos > before && pos <= list.len && item.len <= list.len);
		before = pos;
	}
	(void)expand_is_true_lax(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	slice_t text = slice_of(data, size, HEDDLE_CLEAN), out;
	slice_t hostile = slice_tainted(data, size);
	struct process_facts process = {.primary_hostname = SL("h.example")};
	struct session_facts session = {.arena = a, .sender_host_address = hostile};
	struct message_facts message = {
	    .arena = a, .sender_address = hostile, .body_start = hostile};
	struct address_facts address = {.arena = a, .local_part = hostile, .domain = hostile};
	struct header header = {0};
	struct header_list headers = {0};
	/* h: an unfinished escape, quotes and encoded words among others */
	set_header(&header, &headers, size && size < 4096 ? hostile : SL("h: =?utf-8?Q?x=?="));
	if (size < 4096 && size > 1)
		message.headers = &headers;
	const struct expr_env env = {.file = "fuzz", .line = 1, .forbid = HEDDLE_FORBID_RUN};
	const struct expr *e;
	struct error err = {0};
	/* file names come from the fuzzer: none is to be opened */
	uint64_t forbid =
	    HEDDLE_FORBID_RUN | HEDDLE_FORBID_FILES | HEDDLE_FORBID_LOOKUPS | HEDDLE_FORBID_NET;
	if (expr_compile(a, text, &env, &e, &err) == RC_OK) {
		struct eval ev;
		eval_init(&ev, a, NULL);
		ev.process = &process;
		ev.session = &session;
		ev.message = &message;
		ev.address = &address;
		ev.forbid = forbid;
		ev.deadline_us = clock_mono_us() + TIME_LIMIT_US;
		if (expr_eval(&ev, e, &out, &err) == RC_OK)
			MUST(out.len == 0 || out.ptr);
		MUST(ev.depth == 0 && ev.capture_count <= EVAL_CAPTURES);
	}
	walk_list(a, text);
	arena_free(&a);
	return 0;
}
