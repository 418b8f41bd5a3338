/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/strbuf.h"

#include <stdio.h>

void strbuf_init(struct strbuf *sb, struct arena *a, size_t max)
{
	if (max == 0)
		max = STRBUF_MAX_DEFAULT;
	if (max > UINT32_MAX)
		max = UINT32_MAX; /* a slice holds no more */
	*sb = (struct strbuf){.arena = a, .max = max, .flags = HEDDLE_CLEAN};
}

void strbuf_reset(struct strbuf *sb)
{
	sb->len = 0;
	sb->flags = HEDDLE_CLEAN;
	sb->quoter = 0;
	sb->overfull = sb->any_tainted = false;
	/* what was built before may still be looked at */
	sb->ptr = NULL;
	sb->cap = 0;
}

/* Room for `more` bytes and a NUL; false: overfull. */
static bool reserve(struct strbuf *sb, size_t more)
{
	if (sb->overfull || more > sb->max - sb->len) {
		sb->overfull = true;
		return false;
	}
	size_t need = sb->len + more + 1;
	if (need <= sb->cap)
		return true;
	size_t cap = sb->cap ? sb->cap * 2 : 64;
	if (cap < need)
		cap = need;
	char *p = arena_extend(sb->arena, sb->ptr, sb->cap, cap);
	if (!p) {
		p = arena_bytes(sb->arena, cap);
		if (sb->len)
			memcpy(p, sb->ptr, sb->len);
	}
	sb->ptr = p;
	sb->cap = cap;
	return true;
}

static void join_flags(struct strbuf *sb, slice_t s)
{
	if (s.flags & HEDDLE_SECRET) {
		sb->flags |= HEDDLE_SECRET;
		arena_wipes(sb->arena);
	}
	if (slice_is_clean(s))
		return;
	if (!sb->any_tainted)
		sb->quoter = s.quoter;
	else if (sb->quoter != s.quoter)
		sb->quoter = 0;
	sb->any_tainted = true;
	sb->flags &= (uint16_t)~HEDDLE_CLEAN;
}

void strbuf_add(struct strbuf *sb, slice_t s)
{
	if (s.len == 0 || !reserve(sb, s.len))
		return;
	join_flags(sb, s);
	memcpy(sb->ptr + sb->len, s.ptr, s.len);
	sb->len += s.len;
}

void strbuf_char(struct strbuf *sb, char c)
{
	if (reserve(sb, 1))
		sb->ptr[sb->len++] = c;
}

void strbuf_text(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, slice_cstr(s));
}

void strbuf_printf(struct strbuf *sb, const char *fmt, ...)
{
	char small[256];
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	MUST(n >= 0);
	size_t len = (size_t)n;
	if (reserve(sb, len)) {
		if (len < sizeof small)
			memcpy(sb->ptr + sb->len, small, len);
		else
			(void)vsnprintf(sb->ptr + sb->len, len + 1, fmt, again);
		sb->len += len;
	}
	va_end(again);
}

slice_t strbuf_slice(const struct strbuf *sb)
{
	slice_t s = slice_of(sb->ptr ? sb->ptr : "", sb->len, sb->flags);
	s.quoter = sb->quoter;
	return s;
}

const char *strbuf_cstr(struct strbuf *sb)
{
	if (!sb->ptr)
		return "";
	sb->ptr[sb->len] = '\0'; /* reserve always leaves room for it */
	return sb->ptr;
}
