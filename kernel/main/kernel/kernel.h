/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/kernel: the threaded process: put together here from its modules, and taken apart again at
 * the end. Start-up order matters: the snapshot, then what greets clients (pool, reactor, resolver,
 * store in append mode, server), then, behind the greeting, recovery of the queue and deliveries.
 * Threads: the main thread waits for master and for the end; all else is the modules'.
 */
#ifndef HEDDLE_MAIN_KERNEL_H
#define HEDDLE_MAIN_KERNEL_H
#include "agent/agent.h"
#include "agent/link.h"
#include "config/config.h"
#include "control/control.h"
#include "deliver/deliver.h"
#include "driver/lookup.h"
#include "log/log.h"
#include "main/process.h"
#include "smtp/server.h"

/* One snapshot and the log that it asks for. */
struct generation {
	struct config *cfg;
	struct log *log;
};

/* A log that is open: configurations that ask for the same share it. */
struct open_log {
	struct log_config asked;
	struct log *log;
};

struct kernel {
	struct process process;
	struct services services;
	const slice_t *defines;
	uint32_t define_count;
	int64_t link_flags, queue_interval_ms;
	int listeners[64];
	unsigned listener_count;

	struct mutex lock;
	struct generation now GUARDED_BY(lk_snapshot); /* what new sessions get */
	struct vec logs GUARDED_BY(
	    lk_snapshot);     /* struct generation: all that may still be in use */
	struct vec open_logs; /* struct open_log; the loading thread's; never closed */

	struct drivers *drivers;
	struct arena *texts_arena; /* services.texts' */
	struct net_interfaces *interfaces;
	struct dns_resolver *resolver;
	struct pool *pool, *handshake_pool;
	struct reactor *reactor;
	struct storage_io *io;
	struct store *store;
	struct queue_index *index;
	struct agents *agents;
	struct hints *hints;
	struct hints *driver_hints;
	_Atomic bool hints_ready;
	int64_t hints_expire_us; /* the tidying worker's */
	struct deliverer *deliverer;
	struct smtp_queue_hooks *queue_hooks;
	struct body_budget *budget;
	struct smtp_server *server;
	struct control *control;
	pthread_t recovery;
	bool recovery_started;
};
LOCK_FNS(kernel, struct kernel, lock, lk_snapshot)

/* start.c: everything from HELLO to GO; loads the configuration. */
MUST_USE enum rc kernel_receive_start(struct kernel *k, struct error *err);
/* A configuration's bundle becomes the present snapshot. */
MUST_USE enum rc kernel_load(struct kernel *k, slice_t bundle, struct error *err);
/* Referenced for the caller. */
struct config *kernel_snapshot(void *k);
struct log *kernel_snapshot_log(void *k, const struct config *cfg);
/* hints.c: open is for a thread that nobody waits for, tend for a worker that may wait, now and
 * then. */
void kernel_make_hints(struct kernel *k);
void kernel_open_hints(struct kernel *k);
void kernel_tend_hints(struct kernel *k);
/* assemble.c */
MUST_USE enum rc kernel_assemble(struct kernel *k, struct error *err);
void kernel_take_apart(struct kernel *k);
#endif
