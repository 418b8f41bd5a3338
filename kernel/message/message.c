/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/message.h"

#include <stdatomic.h>

#define MESSAGE_ARENA_FIRST 4096

struct message *message_new(void)
{
	struct arena *a = arena_new(MESSAGE_ARENA_FIRST);
	struct message *m = ARENA_NEW(a, struct message);
	m->arena = a;
	m->body.fd = -1;
	m->session.arena = m->facts.arena = a;
	m->session.sender_host_address = slice_absent();
	m->facts.message_size = -1;
	m->origin_user = slice_absent();
	atomic_init(&m->refs, 1);
	return m;
}

struct message *message_ref(struct message *m)
{
	(void)atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void message_unref(struct message **mp)
{
	struct message *m = *mp;
	*mp = NULL;
	if (!m)
		return;
	/* release: what this holder wrote; acquire: what the others wrote, before it is freed */
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct arena *a = m->arena; /* m lies in it */
	arena_free(&a);
}
