/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tests/lib/storage_shim: a disk in memory that keeps only what was synced.
 *
 * A file's bytes are stable after fdatasync, a name after sync_dir.  shim_crash gives the disk that
 * a power cut at this moment leaves: SHIM_FORGET without anything unsynced, SHIM_TEAR with a random
 * choice of it (each 512-byte sector, each change of a name by itself, in any order).  A sync that
 * was made to fail has lost its pages for good: later syncs of that file say 0 and keep nothing, as
 * kernels do. Threads: one.
 */
#ifndef HEDDLE_TESTS_STORAGE_SHIM_H
#define HEDDLE_TESTS_STORAGE_SHIM_H
#include "queue/storage_io.h"

struct shim;
enum shim_loss { SHIM_FORGET, SHIM_TEAR };
enum shim_op {
	SHIM_CREATE,
	SHIM_PWRITEV,
	SHIM_FDATASYNC,
	SHIM_SYNC_DIR,
	SHIM_RENAME,
	SHIM_UNLINK,
	SHIM_TRUNCATE,
	SHIM_PREAD,
	SHIM_OPS
};

struct shim *shim_new(void);
void shim_free(struct shim **s);
const struct storage_io *shim_io(struct shim *s);
/* Called after each operation that changes something. */
void shim_on_write(struct shim *s, void (*fn)(void *arg), void *arg);
struct shim *shim_crash(const struct shim *s, enum shim_loss loss, uint64_t seed);
/* The nth next call of op (1: the next) gives -errnum; `times` calls from there on. */
void shim_fail(struct shim *s, enum shim_op op, unsigned nth, unsigned times, int errnum);
/* No more than this many bytes a pwritev; 0: all. */
void shim_short_writes(struct shim *s, size_t max);
/* -ENOSPC when all files together would grow over this; 0: no limit. */
void shim_capacity(struct shim *s, uint64_t bytes);
/* Change bytes on the disk. */
void shim_damage(struct shim *s, const char *name, uint64_t at, size_t n);
bool shim_exists(const struct shim *s, const char *name);
uint64_t shim_size(const struct shim *s, const char *name); /* 0: not there */
/* The i-th name that ends in this; false: there are fewer. */
bool shim_nth(const struct shim *s, const char *suffix, size_t i, char out[64]);
unsigned shim_calls(const struct shim *s, enum shim_op op);
#endif
