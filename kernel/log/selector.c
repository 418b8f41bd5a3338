/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/selector.h"

#include <string.h>

struct row {
	const char *name;
	bool by_default, later;
};

#define ITEM_ROW(name, NAME, on, later) {#name, on, later},
static const struct row items[] = {LOG_ITEMS(ITEM_ROW)};
#undef ITEM_ROW
#define ROW(name, NAME, on) {#name, on, false},
static const struct row debugs[] = {LOG_DEBUGS(ROW)};
#undef ROW

_Static_assert(LOG_ITEM_COUNT < 64 && LOG_DEBUG_COUNT < 64, "one word of bits each");

/* Names that mean another row's. */
static const struct {
	const char *name;
	enum log_item item;
} aliases[] = {{"rejected_headers", LOG_REJECTED_HEADER}};

static uint64_t defaults(const struct row *rows, unsigned count)
{
	uint64_t bits = 0;
	for (unsigned i = 0; i < count; i++)
		bits |= (uint64_t)rows[i].by_default << i;
	return bits;
}

static uint64_t named(const struct row *rows, unsigned count, slice_t name)
{
	for (unsigned i = 0; i < count; i++)
		if (slice_eqs(name, rows[i].name))
			return UINT64_C(1) << i;
	return 0;
}

static uint64_t item_named(slice_t name)
{
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
		if (slice_eqs(name, aliases[i].name))
			return UINT64_C(1) << aliases[i].item;
	return named(items, LOG_ITEM_COUNT, name);
}

static uint64_t debug_named(slice_t name)
{
	return named(debugs, LOG_DEBUG_COUNT, name);
}

struct vocabulary {
	const char *option;
	uint64_t (*find)(slice_t name);
	uint64_t all_on, all_off; /* what +all adds and -all takes away */
};

static bool in_name(char c)
{
	return ascii_isalnum(c) || c == '_';
}

static enum rc parse(const struct vocabulary *voc, slice_t text, uint64_t *io, struct error *err)
{
	uint64_t bits = *io;
	for (text = slice_trim(text); text.len; text = slice_trim(text)) {
		char sign = text.ptr[0];
		if (sign != '+' && sign != '-')
			return error_set(err, RC_FAIL,
			    "malformed %s setting: + or - expected but found \"%.*s\"", voc->option,
			    SL_ARG(text));
		size_t n = 1;
		while (n < text.len && in_name(text.ptr[n]))
			n++;
		slice_t name = slice_sub(text, 1, n - 1);
		bool all = slice_eqs(name, "all");
		uint64_t which = all ? (sign == '+' ? voc->all_on : voc->all_off) : voc->find(name);
		if (!which)
			return error_set(err, RC_FAIL, "unknown %s setting: %c%.*s", voc->option,
			    sign, SL_ARG(name));
		bits = sign == '+' ? bits | which : bits & ~which;
		text = slice_sub(text, n, text.len);
	}
	*io = bits;
	return RC_OK;
}

struct log_selector log_selector_default(void)
{
	return (struct log_selector){defaults(items, LOG_ITEM_COUNT)};
}

enum rc log_selector_parse(slice_t text, struct log_selector *io, struct error *err)
{
	const uint64_t all = (UINT64_C(1) << LOG_ITEM_COUNT) - 1;
	const struct vocabulary voc = {"log_selector", item_named, all, all};
	return parse(&voc, text, &io->bits, err);
}

const char *log_selector_later(slice_t text, unsigned *at)
{
	for (unsigned i = *at; i < LOG_ITEM_COUNT; i++) {
		const char *name = items[i].name;
		size_t n = strlen(name);
		for (uint32_t k = 0; items[i].later && k + 1 + n <= text.len; k++)
			if (text.ptr[k] == '+' && slice_eqs(slice_sub(text, k + 1U, n), name) &&
			    (k + 1 + n == text.len || !in_name(text.ptr[k + 1 + n]))) {
				*at = i + 1;
				return name;
			}
	}
	return NULL;
}

enum rc log_debug_parse(slice_t text, uint64_t *out_bits, struct error *err)
{
	const uint64_t all = (UINT64_C(1) << LOG_DEBUG_COUNT) - 1;
	/* as documented for -d: too much of it, or not output at all */
	const uint64_t not_by_all = UINT64_C(1) << LOG_D_MEMORY | UINT64_C(1) << LOG_D_NOUTF8;
	const struct vocabulary voc = {"debug_selector", debug_named, all & ~not_by_all, all};
	uint64_t bits = defaults(debugs, LOG_DEBUG_COUNT);
	enum rc rc = parse(&voc, text, &bits, err);
	if (rc == RC_OK)
		*out_bits = bits;
	return rc;
}

const char *log_item_name(enum log_item item)
{
	return (unsigned)item < LOG_ITEM_COUNT ? items[item].name : "?";
}
