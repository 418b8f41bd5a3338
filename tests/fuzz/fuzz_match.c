/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any list against any subject: a byte for the kind, a line for the subject, the rest is the list.
 * What the index finds must be what the items one by one find.
 */
#include "expand/expand.h"
#include "match/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum rc match(
    struct eval *ev, enum match_kind kind, struct match_list *l, slice_t s, struct error *err)
{
	struct match_host h = {
	    .address = s.len ? s : slice_absent(), .name = slice_absent(), .name_is_final = true};
	switch (kind) {
	case MATCH_DOMAINS:
		return match_domain(ev, l, s, NULL, err);
	case MATCH_HOSTS:
		return match_host(ev, l, &h, NULL, err);
	case MATCH_ADDRESSES:
		return match_address(ev, l, s, NULL, err);
	case MATCH_LOCALPARTS:
		return match_local_part(ev, l, s, NULL, err);
	case MATCH_STRINGS:
		break;
	}
	return match_string(ev, l, s, NULL, err);
}

/* The answer of a walk over lists of one item each; RC_ERROR: cannot be told this way. */
static enum rc walk(
    struct eval *ev, struct arena *a, enum match_kind kind, slice_t list, slice_t subject)
{
	uint64_t pos = 0;
	slice_t item;
	bool negated = false, any = false;
	while (expand_list_next(a, list, &pos, &item)) {
		struct match_list *l = NULL;
		item = slice_trim(item);
		if (!item.len || item.ptr[0] == '+' || item.ptr[0] == '<' ||
		    memchr(item.ptr, ':', item.len))
			return RC_ERROR;
		negated = item.ptr[0] == '!';
		if (negated)
			item = slice_trim(slice_sub(item, 1, item.len));
		if (!item.len || item.ptr[0] == '<' || item.ptr[0] == '!')
			return RC_ERROR;
		any = true;
		enum rc rc = match_compile(a, kind, item, false, NULL, &l, NULL);
		if (rc == RC_OK)
			rc = match(ev, kind, l, subject, NULL);
		if (rc == RC_OK)
			return negated ? RC_FAIL : RC_OK;
		if (rc != RC_FAIL)
			return RC_ERROR;
	}
	return any && negated ? RC_OK : RC_FAIL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > (16U << 10))
		return 0;
	enum match_kind kind = (enum match_kind)(data[0] % 5);
	slice_t text = slice_tainted(data + 1, size - 1);
	size_t nl = slice_find(text, '\n');
	if (nl == SIZE_MAX)
		return 0;
	slice_t subject = slice_sub(text, 0, nl), list = slice_sub(text, nl + 1, text.len);
	struct arena *a = arena_new(0);
	struct process_facts p = {.primary_hostname = SL("mx.example")};
	struct match_list *l = NULL;
	struct eval ev;
	struct error err = {0};
	eval_init(&ev, a, NULL);
	ev.process = &p;
	enum rc rc = match_compile(a, kind, list, false, NULL, &l, &err);
	if (rc == RC_OK) {
		rc = match(&ev, kind, l, subject, &err);
		enum rc want = kind == MATCH_HOSTS ? RC_ERROR : walk(&ev, a, kind, list, subject);
		if (want != RC_ERROR && (rc == RC_OK || rc == RC_FAIL))
			MUST(rc == want);
	}
	if (rc != RC_OK)
		MUST(err.text[0]);
	arena_free(&a);
	return 0;
}
