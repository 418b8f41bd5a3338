/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chained hash buckets and a ring in order of use, both through the entries themselves. */
#include "match/text_cache.h"

#include "base/map.h"

#include <stdlib.h>

enum { BUCKETS = 64 };

struct text_cache {
	uint32_t max_entries;
	size_t max_bytes;
	struct mutex lock;
	struct text_entry *bucket[BUCKETS] GUARDED_BY(lk_text_cache);
	struct text_entry *newest GUARDED_BY(lk_text_cache), *oldest GUARDED_BY(lk_text_cache);
	uint32_t count GUARDED_BY(lk_text_cache);
	size_t bytes GUARDED_BY(lk_text_cache);
};
LOCK_FNS(cache, struct text_cache, lock, lk_text_cache)

struct text_entry *text_entry_new(size_t arena_first)
{
	struct arena *a = arena_new(arena_first);
	struct text_entry *e = ARENA_NEW(a, struct text_entry);
	e->arena = a;
	atomic_init(&e->refs, 1);
	return e;
}

void text_entry_unref(struct text_entry **e)
{
	struct text_entry *gone = *e;
	*e = NULL;
	if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1) {
		struct arena *a = gone->arena;
		arena_free(&a);
	}
}

static void unlink_ring(struct text_cache *c, struct text_entry *e) REQUIRES(lk_text_cache)
{
	if (e->newer)
		e->newer->older = e->older;
	else
		c->newest = e->older;
	if (e->older)
		e->older->newer = e->newer;
	else
		c->oldest = e->newer;
	e->newer = e->older = NULL;
}

static void link_newest(struct text_cache *c, struct text_entry *e) REQUIRES(lk_text_cache)
{
	e->older = c->newest;
	e->newer = NULL;
	if (c->newest)
		c->newest->newer = e;
	else
		c->oldest = e;
	c->newest = e;
}

static struct text_entry *find(struct text_cache *c, slice_t key, uint64_t hash)
    REQUIRES(lk_text_cache)
{
	struct text_entry *e = c->bucket[hash % BUCKETS];
	while (
	    e && !(e->hash == hash && slice_eq(e->key, key) &&
	             slice_is_clean(e->key) == slice_is_clean(key) && e->key.quoter == key.quoter))
		e = e->chain;
	return e;
}

/* Out of the cache; the caller drops the reference when it no longer holds the lock. */
static void take_out(struct text_cache *c, struct text_entry *e) REQUIRES(lk_text_cache)
{
	struct text_entry **at = &c->bucket[e->hash % BUCKETS];
	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	unlink_ring(c, e);
	c->count--;
	c->bytes -= e->bytes;
}

/* Outside of the lock: an entry may own a cache of its own. */
static void drop_gone(struct text_entry *gone)
{
	while (gone) {
		struct text_entry *next = gone->gone;
		text_entry_unref(&gone);
		gone = next;
	}
}

static struct text_entry *evict_above(struct text_cache *c, uint32_t max_entries, size_t max_bytes)
    REQUIRES(lk_text_cache)
{
	struct text_entry *gone = NULL;
	while (c->count > max_entries || c->bytes > max_bytes) {
		struct text_entry *e = c->oldest;
		take_out(c, e);
		e->gone = gone;
		gone = e;
	}
	return gone;
}

static void cache_end(void *arg)
{
	struct text_cache *c = arg;
	cache_lock(c);
	struct text_entry *gone = evict_above(c, 0, 0);
	cache_unlock(c);
	drop_gone(gone);
	mutex_fini(&c->lock);
}

struct text_cache *text_cache_new(struct arena *a, uint32_t max_entries, size_t max_bytes)
{
	struct text_cache *c = ARENA_NEW(a, struct text_cache);
	c->max_entries = max_entries;
	c->max_bytes = max_bytes;
	mutex_init(&c->lock, LOCK_text_cache);
	arena_on_free(a, cache_end, c);
	return c;
}

struct text_entry *text_cache_get(struct text_cache *c, slice_t key)
{
	if (!c)
		return NULL;
	uint64_t hash = hash_bytes(key);
	cache_lock(c);
	struct text_entry *e = find(c, key, hash);
	if (e) {
		unlink_ring(c, e);
		link_newest(c, e);
		atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	}
	cache_unlock(c);
	return e;
}

void text_cache_put(struct text_cache *c, slice_t key, struct text_entry *e)
{
	if (!c)
		return;
	e->key = arena_dup(e->arena, key);
	e->hash = hash_bytes(key);
	e->bytes = arena_used(e->arena);
	if (e->bytes > c->max_bytes / 2)
		return;
	cache_lock(c);
	struct text_entry *same = find(c, key, e->hash);
	if (same)
		take_out(c, same);
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	e->chain = c->bucket[e->hash % BUCKETS];
	c->bucket[e->hash % BUCKETS] = e;
	link_newest(c, e);
	c->count++;
	c->bytes += e->bytes;
	struct text_entry *gone = evict_above(c, c->max_entries, c->max_bytes);
	cache_unlock(c);
	drop_gone(gone);
	text_entry_unref(&same);
}

uint32_t text_cache_count(struct text_cache *c)
{
	cache_lock(c);
	uint32_t n = c->count;
	cache_unlock(c);
	return n;
}
