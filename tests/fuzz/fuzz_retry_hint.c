/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The value of a hint about retries, and what is shown of it. */
#include "deliver/deliver_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct retry_hint r, again;
	char buf[RETRY_HINT_MAX];
	struct arena *a;
	struct strbuf out;

	if (size > 2048)
		return 0;
	struct retry_state state = retry_decode(slice_tainted(data, size));
	MUST(state.first_failed_us >= 0 && state.last_try_us >= state.first_failed_us);
	if (!retry_hint_decode(slice_tainted(data, size), &r))
		return 0;
	MUST(r.first_failed_us >= 0 && r.last_try_us >= r.first_failed_us &&
	     r.next_try_us >= r.last_try_us);
	size_t n = retry_hint_encode(&r, buf);
	MUST(retry_hint_decode(slice_tainted(buf, n), &again) && slice_eq(r.why, again.why) &&
	     again.number == r.number);
	a = arena_new(0);
	strbuf_init(&out, a, 0);
	deliver_show_hint(SL("T:host:192.0.2.1"), slice_tainted(data, size), true, &out);
	deliver_show_hint(SL("R:dom.ain"), slice_tainted(data, size), false, &out);
	MUST(strbuf_slice(&out).len > 0);
	arena_free(&a);
	return 0;
}
