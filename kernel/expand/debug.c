/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Debug output that follows what an evaluation is about, from the session to the deliveries. */
#include "base/arena.h"
#include "expand/expand.h"
#include "log/log.h"

static bool to_file(const struct eval *ev, enum log_debug what)
{
	return ev->log && ev->session && ev->session->debug_bits &&
	       log_debug_has((uint64_t)ev->session->debug_bits, what);
}

bool eval_debugging(const struct eval *ev, enum log_debug what)
{
	return log_debugging(ev->log, what) || to_file(ev, what);
}

void eval_debug(const struct eval *ev, enum log_debug what, const char *fmt, ...)
{
	if (!eval_debugging(ev, what))
		return;
	va_list ap;
	va_start(ap, fmt);
	slice_t text = arena_vprintf(ev->arena, fmt, ap);
	va_end(ap);
	log_debug(ev->log, what, "%.*s", SL_ARG(text));
	if (to_file(ev, what))
		log_debug_file(ev->log, ev->session->debug_tag, text);
}
