/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * match/text_cache: what was compiled at run time out of a text, found again by that text: lists
 * that come out of an expansion, files in lists, ACLs given inline.  Bounded by number and by
 * bytes; the least recently used one goes. Ownership: an entry has an arena of its own and a
 * reference count; whoever got one gives it back with text_entry_unref. Threads: any.  Locks: takes
 * lk_text_cache, never across a compilation.
 */
#ifndef HEDDLE_MATCH_TEXT_CACHE_H
#define HEDDLE_MATCH_TEXT_CACHE_H
#include "base/arena.h"
#include "thread/lock.h"

#include <stdatomic.h>

struct text_cache;

struct text_entry {
	struct arena *arena; /* for the object; freed with the last reference */
	void *object;        /* set by the maker before text_cache_put, immutable afterwards */
	slice_t key;
	uint64_t hash;
	size_t bytes;
	struct text_entry *chain GUARDED_BY(lk_text_cache);
	struct text_entry *gone; /* of the thread that took it out of the cache */
	struct text_entry *newer GUARDED_BY(lk_text_cache), *older GUARDED_BY(lk_text_cache);
	_Atomic uint32_t refs;
};

/* Lives as long as the arena.  An entry bigger than max_bytes / 2 is not kept. */
struct text_cache *text_cache_new(struct arena *a, uint32_t max_entries, size_t max_bytes);
/* With a reference for the caller, or NULL: not there (or c is NULL).  A clean and a tainted text
 * are two keys. */
struct text_entry *text_cache_get(struct text_cache *c, slice_t key) EXCLUDES(lk_text_cache);
/* A fresh entry with one reference, the caller's. */
struct text_entry *text_entry_new(size_t arena_first);
/* Let others find it; the key is copied.  The caller keeps its reference.  Replaces what has the
 * same key. */
void text_cache_put(struct text_cache *c, slice_t key, struct text_entry *e)
    EXCLUDES(lk_text_cache);
void text_entry_unref(struct text_entry **e);
uint32_t text_cache_count(struct text_cache *c) EXCLUDES(lk_text_cache);
#endif
