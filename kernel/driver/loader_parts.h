/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/loader_parts: what the loader's files share; no other module includes it.
 * find.c: from a name to an open, trusted file.  head.c: from its bytes to the head.  check.c: what
 * a head and the tables behind it must be.  loader.c: opening, and who has been opened. describe.c:
 * option tables as text.
 */
#ifndef HEDDLE_DRIVER_LOADER_PARTS_H
#define HEDDLE_DRIVER_LOADER_PARTS_H
#include "driver/driver.h"
#include "thread/lock.h"

#include <limits.h>
#include <sys/types.h>

#define DRIVER_PATH_MAX (PATH_MAX + 64)
#define DRIVER_FILE_MAX ((size_t)64 << 20)

/* find.c */
struct driver_file {
	int fd; /* open for reading; the caller's */
	dev_t dev;
	ino_t ino;
	char path[DRIVER_PATH_MAX]; /* of the file itself, an alias resolved */
};
bool driver_name_is_valid(slice_t name);
/* Checks 2 to 5.  FAIL: in none of the folders. */
MUST_USE enum rc driver_file_open(const struct drivers_config *cfg, uint16_t driver_class,
    slice_t name, struct driver_file *out, struct error *err);

/* head.c, checks 6 to 9.  Pure: looks at the bytes and nothing else; any bytes are fine. */
MUST_USE enum rc driver_head_from_elf(
    const void *bytes, size_t n, struct heddle_driver *out_head, struct error *err);

/* check.c */
/* Checks 10 to 15; name: what the configuration says. */
MUST_USE enum rc driver_check_head(
    const struct heddle_driver *head, uint16_t driver_class, slice_t name, struct error *err);
/* Checks 18 to 20 of an opened one; `ops` and `options` come from desc. */
MUST_USE enum rc driver_check_ops(const struct heddle_driver *desc, struct error *err);
/* One option of the table, number i; earlier: those before it. */
MUST_USE enum rc driver_check_option(const struct heddle_option *earlier, uint32_t i,
    const struct heddle_option *o, const char *const *generic_names, struct error *err);
/* NULL-ended, or NULL: none. */
const char *const *driver_generic_names(uint16_t driver_class);
/* Is this the name or one of the aliases? */
bool driver_head_is_named(const struct heddle_driver *head, slice_t name);

/* loader.c */
struct opened {
	struct driver drv;
	struct arena *arena; /* the copies that drv points to */
	const char *refusal; /* described ones only: why it cannot be had; else NULL */
	dev_t dev;
	ino_t ino;
	bool mapped;
	bool ready; /* written under lk_drivers; drv is immutable from then on */
	struct opened *next;
};
struct drivers {
	struct drivers_config cfg; /* immutable */
	bool described;            /* made from a description: no file is looked for */
	struct mutex lock;
	struct condvar changed; /* an opened one became ready or is gone */
	struct arena *arena GUARDED_BY(lk_drivers);
	struct map *names GUARDED_BY(lk_drivers); /* "CLASS/NAME": struct opened, ready */
	struct opened *opened GUARDED_BY(lk_drivers);
	uint16_t last_quoter GUARDED_BY(lk_drivers);
};
LOCK_FNS(drivers, struct drivers, lock, lk_drivers)
/* A registry with no folder and no lock held by anyone: describe.c fills it in. */
struct drivers *drivers_alloc(const struct drivers_config *cfg);
struct opened *opened_new(void);
/* Under the name and the aliases of its head. */
void drivers_add_described(struct drivers *d, struct opened *o) EXCLUDES(lk_drivers);
#endif
