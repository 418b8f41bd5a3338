/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "thread/cancel.h"

#include "base/io.h"

#include <sys/eventfd.h>
#include <unistd.h>

LOCK_FNS(cancel, struct cancel, lock, lk_cancel)

void cancel_init(struct cancel *c) NO_TSA /* nobody else knows it yet */
{
	*c = (struct cancel){.fd = -1};
	mutex_init(&c->lock, LOCK_cancel);
	atomic_init(&c->set, false);
}

void cancel_fini(struct cancel *c) NO_TSA /* nobody else knows it any more */
{
	MUST(c->listeners == NULL);
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	mutex_fini(&c->lock);
}

static void make_readable(int fd)
{
	uint64_t one = 1;

	(void)io_write_full(fd, &one, sizeof one);
}

void cancel_set(struct cancel *c)
{
	cancel_lock(c);
	if (!atomic_exchange_explicit(&c->set, true, memory_order_acq_rel)) {
		if (c->fd >= 0)
			make_readable(c->fd);
		for (struct cancel_listener *l = c->listeners; l; l = l->next)
			l->fn(l->arg);
	}
	cancel_unlock(c);
}

int cancel_fd(struct cancel *c)
{
	cancel_lock(c);
	if (c->fd < 0) {
		c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (c->fd >= 0 && cancel_is_set(c))
			make_readable(c->fd);
	}
	int fd = c->fd;
	cancel_unlock(c);
	return fd;
}

void cancel_listen(struct cancel *c, struct cancel_listener *l)
{
	cancel_lock(c);
	l->next = c->listeners;
	l->link = &c->listeners;
	if (l->next)
		l->next->link = &l->next;
	c->listeners = l;
	if (cancel_is_set(c))
		l->fn(l->arg);
	cancel_unlock(c);
}

void cancel_unlisten(struct cancel *c, struct cancel_listener *l)
{
	cancel_lock(c);
	if (l->link) {
		*l->link = l->next;
		if (l->next)
			l->next->link = l->link;
		l->link = NULL;
		l->next = NULL;
	}
	cancel_unlock(c);
}
