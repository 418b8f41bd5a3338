/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hints/hints: one small database of what is good to know and may be lost: what was tried when, and
 * how it went.
 *
 * A hint is a key, a value of at most HINTS_VALUE_MAX bytes and the time when it was written.  The
 * file is NAME.kch in the hints' folder, made and read by Kyoto Cabinet; README.md has the layout
 * of a record. Life: hints_new opens nothing; hints_open does, and may take seconds (a file that
 * was not closed is rebuilt), so whoever greets clients does not wait for it.  Until then, and
 * whenever the file cannot be used, every call says DEFER, and its caller goes on as if nothing
 * were known. Owns: the file, exclusively among processes.  Threads: all functions, any thread, but
 * hints_open, hints_tend and hints_free: one at a time.  Blocks: on the disk.  Locks: lk_hints,
 * held across no call of the library. Failure: a full disk is a DEFER.  A file that is damaged, of
 * another kind, or locked by somebody else for too long is renamed to NAME.kch.aside, named in the
 * panic log, and a new one is begun.
 */
#ifndef HEDDLE_HINTS_HINTS_H
#define HEDDLE_HINTS_HINTS_H
#include "base/clock.h"
#include "log/log.h"

#define HINTS_KEY_MAX   1024u
#define HINTS_VALUE_MAX 1024u

struct hints; /* opaque */

struct hints_config {
	const char *folder;  /* exists; copied, as name is */
	const char *name;    /* "retry" */
	struct log *log;     /* or NULL */
	int64_t patience_us; /* how long a file that another process holds is waited for; 0: 10 s */
};
/* FAIL: the folder's name cannot be used (too long, or a '#' in it). */
MUST_USE enum rc hints_new(const struct hints_config *cfg, struct hints **out, struct error *err);
/* Closes the file; no other thread may use it.  Nulls; NULL is fine. */
void hints_free(struct hints **h);
/* Open, or open again.  Says in the panic log what is wrong.  True: it is open. */
bool hints_open(struct hints *h);
/* To be called now and then: what was found damaged is set aside, what could not be opened is tried
 * again. */
void hints_tend(struct hints *h);
bool hints_is_open(struct hints *h);
/* How many there are; 0 also when it is not open. */
uint64_t hints_count(struct hints *h);

struct hint {
	int64_t time_us; /* when it was written (wall clock) */
	slice_t value;   /* tainted */
};
/* Everywhere below: FAIL: there is no such hint; DEFER: nothing can be said. */
MUST_USE enum rc hints_get(
    struct hints *h, slice_t key, struct arena *a, struct hint *out, struct error *err);
MUST_USE enum rc hints_put(
    struct hints *h, slice_t key, slice_t value, int64_t now_us, struct error *err);
MUST_USE enum rc hints_remove(struct hints *h, slice_t key, struct error *err);

/* Read and write as one step that no other thread gets between.  fn is given what is there (NULL:
 * nothing) and says what is to be done; it may be called more than once, must not block, log, or
 * use any hints.  *value lives until hints_update returns. */
enum hints_verb { HINTS_KEEP, HINTS_WRITE, HINTS_DELETE };
typedef enum hints_verb hints_update_fn(void *ctx, const struct hint *old, slice_t *value);
MUST_USE enum rc hints_update(struct hints *h, slice_t key, hints_update_fn *fn, void *ctx,
    int64_t now_us, struct error *err);

/* Every hint, in no order; what is written meanwhile may be met or not.  fn may use the hints;
 * false ends it. */
MUST_USE enum rc hints_each(struct hints *h,
    bool (*fn)(void *ctx, slice_t key, const struct hint *hint), void *ctx, struct error *err);
/* Remove what was written before that time, and what cannot be read. */
MUST_USE enum rc hints_expire(
    struct hints *h, int64_t before_us, uint64_t *out_removed, struct error *err);
#endif
