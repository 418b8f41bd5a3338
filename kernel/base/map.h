/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * base/map: text to pointer, hashed with a key of this process (keys may come from a hostile peer).
 * Lives in an arena: cannot be freed by itself.  Threads: as the arena; a map that is no longer
 * changed may be read by all.
 */
#ifndef HEDDLE_BASE_MAP_H
#define HEDDLE_BASE_MAP_H
#include "base/arena.h"

struct map;
enum map_case { MAP_EXACT, MAP_NOCASE };
struct map *map_new(struct arena *a, enum map_case mode);
/* Key is not copied.  Replaces; returns the old value or NULL. */
void *map_put(struct map *m, slice_t key, void *value);
void *map_get(const struct map *m, slice_t key);
void *map_remove(struct map *m, slice_t key);
size_t map_count(const struct map *m);
/* Walk in no particular order: *pos starts at 0; false at the end.  The map must not change
 * meanwhile. */
bool map_next(const struct map *m, size_t *pos, slice_t *out_key, void **out_value);
/* SipHash-2-4 under the process's key; caseless folds ASCII first. */
uint64_t hash_bytes(slice_t s);
uint64_t hash_nocase(slice_t s);
/* Under a key of the caller's: for hashes that are written down. */
uint64_t hash_siphash(uint64_t k0, uint64_t k1, slice_t s);
#endif
