/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is known about retries, shown and forgotten. */
#include "hints/hints.h"
#include "control/control.h"

struct listing {
	slice_t part; /* of the key; empty: all */
	bool full;
	struct strbuf *out;
};

static bool show_one(void *ctx, slice_t key, const struct hint *hint)
{
	struct listing *l = ctx;

	if (l->part.len == 0 || slice_search(key, l->part) != SIZE_MAX)
		deliver_show_hint(key, hint->value, l->full, l->out);
	return true;
}

static enum rc delete_all(
    struct hints *h, const slice_t *keys, uint32_t count, struct strbuf *out, struct error *err)
{
	bool all = true;

	for (uint32_t i = 0; i < count; i++) {
		enum rc rc = hints_remove(h, keys[i], err);
		if (rc == RC_DEFER)
			return rc;
		strbuf_printf(out, "%.*s %s\n", SL_ARG(keys[i]),
		    rc == RC_OK ? "is forgotten" : "is not known");
		all = all && rc == RC_OK;
	}
	return all ? RC_OK : error_set(err, RC_FAIL, "not all of them");
}

enum rc control_hints(
    struct hints *h, const slice_t *words, uint32_t count, struct strbuf *out, struct error *err)
{
	struct listing l = {.part = count > 1 ? words[1] : SL(""), .out = out};

	if (!h)
		return error_set(err, RC_DEFER, "there are no hints");
	if (slice_eqs(words[0], "delete") && count > 1)
		return delete_all(h, words + 1, count - 1, out, err);
	l.full = slice_eqs(words[0], "show");
	if ((!l.full && !slice_eqs(words[0], "list")) || count > 2)
		return error_set(err, RC_FAIL, "hints list [TEXT] | show [TEXT] | delete KEY...");
	return hints_each(h, show_one, &l, err);
}
