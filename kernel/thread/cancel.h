/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * thread/cancel: one flag that ends a piece of work, wherever it waits.
 * Asking costs one atomic load; a descriptor that polls readable is made when first asked for; a
 * wait on a condition variable registers a listener.  Owns: the descriptor.  Threads: all
 * functions, any thread. Locks: takes lk_cancel; listeners run under it and must be short.  Setting
 * is for good.
 */
#ifndef HEDDLE_THREAD_CANCEL_H
#define HEDDLE_THREAD_CANCEL_H
#include "thread/lock.h"

#include <stdatomic.h>

struct cancel_listener {
	void (*fn)(void *arg);
	void *arg;
	struct cancel_listener *next, **link; /* link NULL: not registered */
};

struct cancel {
	struct mutex lock;
	int fd GUARDED_BY(lk_cancel); /* eventfd or -1 */
	struct cancel_listener *listeners GUARDED_BY(lk_cancel);
	_Atomic bool set; /* release in cancel_set, acquire in cancel_is_set */
};

void cancel_init(struct cancel *c);
/* No listener may be left. */
void cancel_fini(struct cancel *c);
void cancel_set(struct cancel *c) EXCLUDES(lk_cancel);
/* NULL is a token that is never set. */
static inline bool cancel_is_set(const struct cancel *c)
{
	return c && atomic_load_explicit(&c->set, memory_order_acquire);
}
/* A descriptor that polls readable once the token is set; the token's own.  -1: no descriptor to be
 * had. */
int cancel_fd(struct cancel *c) EXCLUDES(lk_cancel);
/* Call l->fn(l->arg) when the token is set; at once if it is.  After cancel_unlisten returns fn is
 * not running. */
void cancel_listen(struct cancel *c, struct cancel_listener *l) EXCLUDES(lk_cancel);
void cancel_unlisten(struct cancel *c, struct cancel_listener *l) EXCLUDES(lk_cancel);
#endif
