/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "thread/gate.h"
#include "thread/start.h"

#include <pthread.h>
#include <stdlib.h>

TEST(an_open_gate_lets_through_at_once)
{
	struct gate g;

	gate_init(&g);
	gate_open(&g);
	CHECK(gate_wait(&g, 0));
	CHECK(gate_wait(&g, DEADLINE_NEVER));
}

TEST(a_closed_gate_holds_until_the_deadline)
{
	struct gate g;
	int64_t before = clock_mono_us();

	gate_init(&g);
	CHECK(!gate_wait(&g, before - 1));
	CHECK(!gate_wait(&g, before + 20000));
	CHECK(clock_mono_us() >= before + 20000);
	gate_open(&g); /* after a wait that ended it can still be opened and waited for */
	CHECK(gate_wait(&g, 0));
}

/* One object for each crossing, freed by the waiter at once: a sanitizer sees an opener that
 * touches it too late. */
struct crossing {
	struct gate gate;
	long what;
};

struct stage {
	_Atomic(struct crossing *) next;
	_Atomic bool end;
};

static void *open_them(void *arg)
{
	struct stage *s = arg;

	while (!atomic_load(&s->end)) {
		struct crossing *c = atomic_exchange(&s->next, NULL);
		if (!c)
			continue;
		c->what = 42;
		gate_open(&c->gate);
	}
	return NULL;
}

TEST(the_waiter_sees_what_came_before_and_may_free_it)
{
	struct stage s;
	pthread_t opener;

	atomic_init(&s.next, NULL);
	atomic_init(&s.end, false);
	CHECK_EQ_INT(thread_start(&opener, 0, open_them, &s), 0);
	for (int i = 0; i < 20000; i++) {
		struct crossing *c = calloc(1, sizeof *c);
		gate_init(&c->gate);
		atomic_store(&s.next, c);
		if (i % 3 == 0) /* sometimes it is open before anybody waits */
			while (atomic_load(&s.next))
				;
		if (!gate_wait(&c->gate, DEADLINE_NEVER) || c->what != 42) {
			CHECK(false);
			break;
		}
		free(c);
	}
	atomic_store(&s.end, true);
	CHECK_EQ_INT(pthread_join(opener, NULL), 0);
}

TAP_MAIN()
