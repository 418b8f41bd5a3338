/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * base/strbuf: a growing text on an arena, with a maximum.  Adding to a full one sticks: check
 * once, at the end. Taint: the result is CLEAN only if every added part was (an empty one is
 * CLEAN), SECRET if one was; the quoter is kept only if every tainted part had the same.
 */
#ifndef HEDDLE_BASE_STRBUF_H
#define HEDDLE_BASE_STRBUF_H
#include "base/arena.h"

struct strbuf {
	struct arena *arena;
	char *ptr;
	size_t len, cap, max;
	uint16_t flags, quoter;
	bool overfull, any_tainted;
};

#define STRBUF_MAX_DEFAULT ((size_t)16 << 20)

void strbuf_init(struct strbuf *sb, struct arena *a, size_t max /* 0: STRBUF_MAX_DEFAULT */);
void strbuf_add(struct strbuf *sb, slice_t s);
void strbuf_char(struct strbuf *sb, char c);
void strbuf_text(struct strbuf *sb, const char *s); /* our own text: CLEAN */
void strbuf_printf(struct strbuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3); /* does not taint */
void strbuf_reset(struct strbuf *sb);
static inline bool strbuf_is_overfull(const struct strbuf *sb)
{
	return sb->overfull;
}
/* What was built; lives in the arena.  More may be added afterwards (the slice then shows the old
 * length). */
slice_t strbuf_slice(const struct strbuf *sb);
/* NUL-terminated view. */
const char *strbuf_cstr(struct strbuf *sb);
#endif
