/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/driver: finds, checks and opens drivers; holds their descriptors and what load() gave.
 * The checks and the wording of each refusal: abi/README.md, "What is checked".
 * Life: a `struct drivers` for the process; a driver once opened is never closed (dlclose unmaps
 * code that threads may still run); a file that was replaced is opened as a second copy through its
 * descriptor.
 * Threads: driver_find any (takes lk_drivers); a struct driver is immutable after it was opened.
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
	/* a copy; the strings in it are terminated */
	struct heddle_driver head;
	/* in the opened object; NULL: described only (no code of it ran) */
	const struct heddle_driver *desc;
	const char *path;
	void *state; /* from load() */
	/* the option table, wherever it came from; option_count of them, our own stride */
	const struct heddle_option *options;
	uint32_t option_count;
	/* struct heddle_CLASS_ops of at least the minimum size; NULL: described only */
	const void *ops;
	uint32_t kind;   /* lookups, transports: ops->kind; known of a described one too */
	uint16_t quoter; /* lookups: id of slices that its quote() made; 0: it has no quote() */
};

struct drivers_config {
	/* each holds auth/ router/ transport/ lookup/; searched in order; NULL-ended */
	const char *const *folders;
	bool any_owner; /* started by an ordinary user: files of our own uid are accepted too */
	const struct heddle_host *host; /* the services; outlives everything */
	/* By class: names of options that no driver may declare, NULL-ended; NULL: those of
	 * config's tables. */
	const char *const *generic_names[HEDDLE_LOOKUP + 1];
};
MUST_USE enum rc drivers_new(
    const struct drivers_config *cfg, struct drivers **out, struct error *err);
void drivers_free(struct drivers **d); /* only when no call runs and none will */

/* The driver of this class and name (or alias), opened if it was not.  RC_ERROR: refused, err says
 * file, found, wanted; RC_FAIL: there is no such file.  driver_class: HEDDLE_AUTH... */
MUST_USE enum rc driver_find(struct drivers *d, uint16_t driver_class, slice_t name,
    const struct driver **out, struct error *err);
/* Before a reload: look at the files again.  One that was replaced is opened as a second copy; an
 * unchanged one gives the same struct driver as before. */
void drivers_rescan(struct drivers *d);
/* Only the head, read from the file: no code of the driver runs (heddlectl drivers, -bV, _DRIVER_
 * macros). */
MUST_USE enum rc driver_read_head(int fd, struct heddle_driver *out_head, struct error *err);
/* Installed drivers of a class: names (and aliases), heads that could be read. */
struct driver_listing {
	slice_t name;
	const char *path;
	struct heddle_driver head;
	bool readable;
	struct error problem;
};
void drivers_list(
    struct drivers *d, uint16_t driver_class, struct arena *a, struct vec *out_listings);
const char *driver_class_name(uint16_t driver_class); /* "router" */

/* The option tables as text, so that who parses a configuration need not open a driver: a process
 * without privilege describes what is installed, others read that.  driver_find then gives drivers
 * without desc and ops. For a refused driver the text has the reason, and driver_find gives that.
 * The format: kernel/driver/README.md. */
struct strbuf;
void drivers_describe(struct drivers *d, struct strbuf *out);
MUST_USE enum rc drivers_from_description(slice_t text, struct drivers **out, struct error *err);
#endif
