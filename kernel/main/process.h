/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/process: where this program's files are and what it is: what all of our programs settle
 * before anything else. A binary that runs from a build tree finds its drivers and helpers beside
 * itself; an installed one in the folders that were compiled in.  Immutable after process_init.
 */
#ifndef HEDDLE_MAIN_PROCESS_H
#define HEDDLE_MAIN_PROCESS_H
#include "expand/facts.h"

#define HEDDLE_VERSION "0.1"
#define EXIM_LANGUAGE \
	"4.98" /* the version whose configuration language is spoken: $version_number */
#ifndef HEDDLE_LIBDIR
#define HEDDLE_LIBDIR "/usr/lib/heddle"
#endif
#ifndef HEDDLE_CONFIG
#define HEDDLE_CONFIG "/etc/heddle/heddle.conf"
#endif

struct process {
	struct arena *arena;
	struct process_facts facts;
	const char *driver_folders[3]; /* NULL-ended */
	const char *libexec; /* folder of heddle-master, heddle-kernel, heddle-agent, heddle-nss */
	bool ordinary_user;  /* not started by root: everything runs as the caller */
};
/* config_file: of -C, or NULL for the default. */
MUST_USE enum rc process_init(struct process *p, const char *config_file, struct error *err);
void process_fini(struct process *p);
/* Once the snapshot is there: primary_hostname, spool_directory and so on are taken from it. */
struct config;
void process_adopt(struct process *p, const struct config *cfg);
#endif
