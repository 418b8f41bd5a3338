/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hints: shared by hints.c (the calls) and open.c (the file), by nobody else. */
#ifndef HEDDLE_HINTS_PRIVATE_H
#define HEDDLE_HINTS_PRIVATE_H
#include "hints/record.h"
#include "thread/lock.h"

#include <kclangc.h>

struct hints {
	char path[600]; /* FOLDER/NAME.kch */
	char name[32];
	struct log *log;
	int64_t patience_us;
	struct mutex lock;
	struct condvar changed;
	KCDB *db GUARDED_BY(lk_hints);       /* NULL: not open */
	unsigned users GUARDED_BY(lk_hints); /* calls that use it now */
	bool is_broken GUARDED_BY(lk_hints); /* new calls keep away; to be set aside */
	int64_t quiet_until_us GUARDED_BY(lk_hints);
};
LOCK_FNS(hints, struct hints, lock, lk_hints)

/* The handle until hints_give; NULL: there is none. */
KCDB *hints_take(struct hints *h, struct error *err) EXCLUDES(lk_hints);
void hints_give(struct hints *h) EXCLUDES(lk_hints);
#endif
