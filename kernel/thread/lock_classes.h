/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/lock_classes: every kind of lock in the kernel, in the order in which they may be taken.
 *
 * A row is X(NAME, AFTER, "what it guards").  AFTER names the row above, so that clang can refuse
 * an acquisition against the order; the first row names `none`.  To add a class, put its row
 * between the locks that may be held when it is taken (above) and those that its holder may take
 * (below), and repair AFTER of the row that follows.  The lower end is for leaves: code that holds
 * any lock may wake a park or submit a job, so what belongs to other modules goes above cancel.
 *
 * Row NAME yields the capability lk_NAME (GUARDED_BY, REQUIRES ...) and the rank LOCK_NAME (for
 * mutex_init).
 */
#ifndef HEDDLE_THREAD_LOCK_CLASSES_H
#define HEDDLE_THREAD_LOCK_CLASSES_H

/* clang-format off */
#define LOCK_CLASSES(X) \
	X(snapshot, none, "which configuration new sessions get") \
	X(deliver, snapshot, "the scheduler's counters") \
	X(agents, deliver, "idle agents, requests that wait for master") \
	X(queue_index, agents, "the queued messages in memory") \
	X(store_table, queue_index, "where the store's records lie, its segments, the housekeeping") \
	X(store_queue, store_table, "records on their way to the committer, sequence and id counters") \
	X(lookup_pool, store_queue, "open lookup handles and who uses them") \
	X(text_cache, lookup_pool, "lists and ACLs that were compiled at run time, by text") \
	X(drivers, text_cache, "which drivers are open, under which names") \
	X(smtp_clients, drivers, "how many sessions each client has") \
	X(smtp_hosts, smtp_clients, "hosts that mail is sent to, and connections kept to them") \
	X(hints, smtp_hosts, "the handle of a hints file and who uses it") \
	X(tls_contexts, hints, "loaded certificates, keys and roots, by the texts that name them") \
	X(tls_resume, tls_contexts, "TLS sessions that this client may take up again") \
	X(cancel, tls_resume, "listeners and descriptor of one cancellation token") \
	X(dns, cancel, "a resolver's outstanding questions") \
	X(dns_wait, dns, "one worker's wait for an answer") \
	X(reactor_slots, dns_wait, "free slots of a reactor") \
	X(timers, reactor_slots, "the timer heap of one reactor thread") \
	X(pool, timers, "a pool's job queues, idle workers and blocking quotas")
/* clang-format on */

#endif
