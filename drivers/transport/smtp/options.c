/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The option table.  What the kernel's sessions honour (timeouts, helo_data, ...) they read under
 * these names. */
#include "smtp.h"

const struct heddle_option smtp_options[OPT_COUNT] = {
#define ROW(n, i, t, f, text) \
	{.name = #n,          \
	    .initial = i,     \
	    .type = t,        \
	    .flags = f,       \
	    .doc = text,      \
	    .since_major = 0, \
	    .since_minor = 1},
#define REFUSED(n, i, t, off, text) \
	{.name = #n, .initial = i, .type = t, .doc = text "; not supported yet", .since_minor = 1},
#include "options.def"
#undef ROW
#undef REFUSED
};

static const struct {
	uint32_t option;
	const char *off;
} refused[] = {
#define ROW(n, i, t, f, text)
#define REFUSED(n, i, t, off, text) {OPT_##n, off},
#include "options.def"
#undef ROW
#undef REFUSED
};

int32_t smtp_refuse(
    struct heddle_call *call, const struct smtp *in, const char *what, const char *name)
{
	const struct heddle_slice parts[] = {heddle_text(what), heddle_text(name)};
	struct heddle_slice text;
	if (in->host->join(call, parts, 2, &text) != HEDDLE_OK)
		text = heddle_text("out of memory");
	in->host->reason(call, 0, heddle_text(NULL), text);
	return HEDDLE_ERROR;
}

static int is_on(struct heddle_call *call, const struct smtp *in, uint32_t i, const char *off)
{
	int64_t n = 0;
	struct heddle_slice v;
	if (smtp_options[i].type == HEDDLE_T_BOOL)
		return in->host->opt_int(call, in->cfg, i, &n) == HEDDLE_OK && n != 0;
	if (in->host->opt_text(call, in->cfg, i, &v) != HEDDLE_OK || v.len == 0)
		return 0;
	/* an empty list, in either of its forms */
	if ((v.len == 1 && v.ptr[0] == ':') || (v.len == 2 && memcmp(v.ptr, "!*", 2) == 0))
		return 0;
	return !(v.len == strlen(off) && memcmp(v.ptr, off, v.len) == 0);
}

int32_t smtp_check_refused(struct heddle_call *call, const struct smtp *in)
{
	for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
		if (is_on(call, in, refused[k].option, refused[k].off))
			return smtp_refuse(
			    call, in, "not supported yet: ", smtp_options[refused[k].option].name);
	return HEDDLE_OK;
}
