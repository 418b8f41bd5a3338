/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/driver: finds, checks and opens drivers; holds their descriptors and what load() gave.
 * The checks and the wording of each refusal: abi/README.md, "What is checked".
 * Life: a `struct drivers` for the process; a driver once opened is never closed (dlclose unmaps code that threads may
 * still run); a file that was replaced is opened as a second copy through its descriptor.
 * Threads: driver_find any (takes lk_drivers); the rest of a struct driver is immutable after it was opened.
 */
#ifndef HEDDLE_DRIVER_DRIVER_H
#define HEDDLE_DRIVER_DRIVER_H
#include "base/vec.h"

#include <heddle/auth.h>
#include <heddle/lookup.h>
#include <heddle/router.h>
#include <heddle/transport.h>

struct drivers;
struct services;

struct driver {
	struct heddle_driver head;           /* a copy; the strings in it are terminated */
	const struct heddle_driver *desc;    /* in the opened object; NULL: described only (no code of it ran) */
	const char *path;
	void *state;                         /* from load() */
	/* the option table, wherever it came from; option_count of them, our own stride */
	const struct heddle_option *options;
	uint32_t option_count;
	const void *ops;                     /* struct heddle_CLASS_ops of at least the minimum size; NULL: described only */
	uint16_t quoter;                     /* lookups: id of slices that its quote() made */
};

struct drivers_config {
	const char *const *folders;          /* each holds auth/ router/ transport/ lookup/; searched in order; NULL-ended */
	bool any_owner;                      /* started by an ordinary user: files of our own uid are accepted too */
	const struct heddle_host *host;      /* the services; outlives everything */
};
MUST_USE enum rc drivers_new(const struct drivers_config *cfg, struct drivers **out, struct error *err);
void drivers_free(struct drivers **d); /* only when no call runs and none will */

/* The driver of this class and name (or alias), opened if it was not.  RC_ERROR: refused, err says file, found, wanted;
 * RC_FAIL: there is no such file.  driver_class: HEDDLE_AUTH... */
MUST_USE enum rc driver_find(struct drivers *d, uint16_t driver_class, slice_t name, const struct driver **out,
    struct error *err);
/* Only the head, read from the file: no code of the driver runs (heddlectl drivers, -bV, _DRIVER_ macros). */
MUST_USE enum rc driver_read_head(int fd, struct heddle_driver *out_head, struct error *err);
/* Installed drivers of a class: names (and aliases), heads that could be read. */
struct driver_listing {
	slice_t name;
	const char *path;
	struct heddle_driver head;
	bool readable;
	struct error problem;
};
void drivers_list(struct drivers *d, uint16_t driver_class, struct arena *a, struct vec *out_listings);
const char *driver_class_name(uint16_t driver_class); /* "router" */
#endif
