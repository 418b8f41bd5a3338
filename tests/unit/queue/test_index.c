/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "lib/tap.h"
#include "queue/index.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct queue_recipient three[] = {{.address = SL_INIT("a@One.example")},
    {.address = SL_INIT("b@two.example")}, {.address = SL_INIT("c@one.EXAMPLE")}};

static struct queue_message message(uint64_t n, int64_t next_us)
{
	return (struct queue_message){.id = {n, 1000 + n},
	    .next_attempt_us = next_us,
	    .sender = SL("s@x"),
	    .recipients = three,
	    .n_recipients = 3,
	    .headers_size = 10,
	    .body_size = 32};
}

static void insert(struct queue_index *idx, uint64_t n, int64_t next_us)
{
	struct queue_message m = message(n, next_us);

	CHECK_EQ_INT(queue_index_insert(idx, &m, false, NULL, NULL), RC_OK);
}

static uint64_t serial_and_unref(struct queue_entry *e)
{
	uint64_t serial = e ? queue_entry_id(e).serial : 0;

	queue_entry_unref(&e);
	return serial;
}

TEST(order_of_the_schedule)
{
	struct queue_index *idx = queue_index_new();
	struct queue_entry *e;

	insert(idx, 1, 300);
	insert(idx, 2, 100);
	insert(idx, 3, 200);
	insert(idx, 4, 100);
	CHECK_EQ_INT(queue_index_next(idx), 100);
	CHECK(queue_index_due(idx, 99) == NULL);
	CHECK_EQ_INT(serial_and_unref(queue_index_due(idx, 1000)), 2);
	CHECK_EQ_INT(serial_and_unref(queue_index_due(idx, 1000)), 4);
	e = queue_index_due(idx, 1000);
	CHECK_EQ_INT(queue_entry_id(e).serial, 3);
	queue_index_release(idx, &e, 50);
	CHECK(e == NULL);
	CHECK_EQ_INT(serial_and_unref(queue_index_due(idx, 60)), 3);
	CHECK(queue_index_due(idx, 60) == NULL);
	CHECK_EQ_INT(queue_index_set_next(idx, (struct queue_id){1, 1001}, 10), RC_OK);
	CHECK_EQ_INT(serial_and_unref(queue_index_due(idx, 60)), 1);
	CHECK_EQ_INT(queue_index_next(idx), INT64_MAX);
	queue_index_free(&idx);
}

TEST(a_gathered_schedule_is_that_of_single_insertions)
{
	struct queue_index *idx = queue_index_new();
	struct queue_entry *e;

	queue_index_gather(idx, true);
	insert(idx, 1, 300);
	insert(idx, 2, 100);
	insert(idx, 3, 200);
	CHECK_EQ_INT(queue_index_next(idx), INT64_MAX);
	CHECK(queue_index_due(idx, 1000) == NULL);
	e = queue_index_take(idx, (struct queue_id){3, 1003}, true);
	CHECK(e != NULL); /* somebody is at work on it when the gathering ends */
	CHECK_EQ_INT(queue_index_remove(idx, (struct queue_id){1, 1001}, NULL), RC_OK);
	insert(idx, 4, 50);
	queue_index_gather(idx, false);
	CHECK_EQ_INT(queue_index_next(idx), 50);
	CHECK_EQ_INT(serial_and_unref(queue_index_due_for(idx, SL("one.example"), 1000)), 4);
	CHECK_EQ_INT(serial_and_unref(queue_index_due(idx, 1000)), 2);
	CHECK(queue_index_due(idx, 1000) == NULL);
	queue_index_release(idx, &e, 70);
	CHECK_EQ_INT(serial_and_unref(queue_index_due(idx, 1000)), 3);
	queue_index_free(&idx);
}

TEST(what_was_taken_is_not_given_again)
{
	struct queue_index *idx = queue_index_new();
	struct queue_entry *e, *f;
	struct queue_message m = message(9, 0);

	CHECK_EQ_INT(queue_index_insert(idx, &m, true, &e, NULL), RC_OK);
	CHECK_EQ_INT(queue_index_insert(idx, &m, true, &f, NULL), RC_FAIL);
	CHECK(queue_index_due(idx, 1000) == NULL);
	CHECK(queue_index_due_for(idx, SL("one.example"), 1000) == NULL);
	CHECK(queue_index_take(idx, m.id, true) == NULL);
	CHECK_EQ_INT(queue_index_freeze(idx, m.id, true, 5), RC_OK);
	queue_index_release(idx, &e, 0);
	CHECK(queue_index_due(idx, 1000) == NULL); /* frozen now */
	CHECK(queue_index_take(idx, m.id, false) == NULL);
	e = queue_index_take(idx, m.id, true);
	CHECK(e != NULL);
	CHECK_EQ_INT(queue_index_freeze(idx, m.id, false, 0), RC_OK);
	queue_index_release(idx, &e, 0);
	e = queue_index_due(idx, 1000);
	CHECK(e != NULL);
	CHECK_EQ_INT(queue_index_remove(idx, m.id, NULL), RC_OK);
	CHECK_EQ_INT(queue_index_remove(idx, m.id, NULL), RC_FAIL);
	struct queue_view v;
	queue_entry_view(e, &v); /* alive as long as it is held */
	CHECK_EQ_STR(v.sender, "s@x");
	CHECK_EQ_INT(v.size, 42);
	queue_index_release(idx, &e, 0);
	queue_index_free(&idx);
}

struct dest_seen {
	size_t n, pending_at_one;
};
static void see(void *arg, slice_t domain, size_t pending, int64_t next_us)
{
	struct dest_seen *d = arg;

	d->n++;
	if (slice_eqs(domain, "one.example"))
		d->pending_at_one = pending;
	(void)next_us;
}

TEST(destinations)
{
	struct queue_index *idx = queue_index_new();
	struct queue_counts c;
	struct dest_seen d = {0, 0};

	insert(idx, 1, 100);
	insert(idx, 2, 50);
	queue_index_counts(idx, &c);
	CHECK_EQ_INT(c.destinations, 2);
	CHECK_EQ_INT(c.pending_recipients, 6);
	CHECK_EQ_INT(c.state[QUEUE_DEFERRED], 2);
	queue_index_each_destination(idx, see, &d);
	CHECK_EQ_INT(d.n, 2);
	CHECK_EQ_INT(d.pending_at_one, 4);
	CHECK_EQ_INT(
	    queue_index_set_recipient(idx, (struct queue_id){2, 1002}, 1, QUEUE_RCPT_DELIVERED),
	    RC_OK);
	CHECK_EQ_INT(
	    queue_index_set_recipient(idx, (struct queue_id){2, 1002}, 7, QUEUE_RCPT_DELIVERED),
	    RC_FAIL);
	struct queue_entry *e = queue_index_due_for(idx, SL("TWO.example"), 1000);
	CHECK_EQ_INT(queue_entry_id(e).serial, 1);
	queue_index_release(idx, &e, 100);
	e = queue_index_due_for(idx, SL("one.example"), 1000);
	CHECK_EQ_INT(queue_entry_id(e).serial, 2);
	enum queue_recipient_state st;
	CHECK_EQ_STR(queue_entry_recipient(e, 1, &st), "b@two.example");
	CHECK_EQ_INT(st, QUEUE_RCPT_DELIVERED);
	CHECK_EQ_STR(queue_entry_recipient(e, 2, NULL), "c@one.EXAMPLE");
	queue_index_release(idx, &e, 50);
	CHECK(queue_index_due_for(idx, SL("three.example"), 1000) == NULL);
	CHECK_EQ_INT(queue_index_remove(idx, (struct queue_id){1, 1001}, NULL), RC_OK);
	CHECK(queue_index_due_for(idx, SL("two.example"), 1000) == NULL);
	queue_index_counts(idx, &c);
	CHECK_EQ_INT(c.destinations, 1);
	CHECK_EQ_INT(c.pending_recipients, 2);
	queue_index_free(&idx);
}

TEST(an_update_keeps_the_lease)
{
	struct queue_index *idx = queue_index_new();
	struct queue_message m = message(5, 0);
	struct queue_entry *e;

	CHECK_EQ_INT(queue_index_insert(idx, &m, true, &e, NULL), RC_OK);
	m.n_recipients = 1;
	CHECK_EQ_INT(queue_index_update(idx, &m, NULL), RC_OK);
	CHECK(queue_index_due(idx, 1000) == NULL);
	struct queue_view v;
	queue_entry_view(e, &v);
	CHECK_EQ_INT(v.n_recipients, 3); /* the old one, as long as it is held */
	queue_index_release(idx, &e, 7);
	e = queue_index_due(idx, 7);
	queue_entry_view(e, &v);
	CHECK_EQ_INT(v.n_recipients, 1);
	CHECK_EQ_INT(v.state, QUEUE_ACTIVE);
	queue_entry_unref(&e);
	queue_index_free(&idx);
}

/* Against a plain array. */
TEST(random_operations)
{
	enum { N = 300 };
	static int64_t next[N];
	static bool there[N];
	struct queue_index *idx = queue_index_new();
	uint64_t x = 99;

	for (int step = 0; step < 20000; step++) {
		x = x * UINT64_C(6364136223846793005) + 1;
		unsigned i = (unsigned)(x >> 40) % N, what = (unsigned)(x >> 33) % 4;
		int64_t when = (int64_t)(x >> 50);
		struct queue_id id = {i + 1, 1001 + i};

		if (what == 0 && !there[i]) {
			insert(idx, i + 1, when);
			there[i] = true;
			next[i] = when;
		} else if (what == 1 && there[i]) {
			CHECK_EQ_INT(queue_index_set_next(idx, id, when), RC_OK);
			next[i] = when;
		} else if (what == 2 && there[i] && when % 3 == 0) {
			CHECK_EQ_INT(queue_index_remove(idx, id, NULL), RC_OK);
			there[i] = false;
		} else if (what == 3) {
			int64_t first = INT64_MAX;

			for (int k = 0; k < N; k++)
				if (there[k] && next[k] < first)
					first = next[k];
			CHECK_EQ_INT(queue_index_next(idx), first);
			struct queue_entry *e =
			    step % 2 ? queue_index_due(idx, INT64_MAX - 1)
			             : queue_index_due_for(idx, SL("two.example"), INT64_MAX - 1);
			if (e) {
				i = (unsigned)queue_entry_id(e).serial - 1;
				CHECK_EQ_INT(next[i], first);
				next[i] = when;
				queue_index_release(idx, &e, when);
			}
		}
	}
	queue_index_free(&idx);
}

static struct queue_message numbered(
    uint64_t i, struct queue_recipient *r, size_t n, char *buf, char *sender)
{
	for (size_t k = 0; k < n; k++)
		r[k].address = slice_tainted(buf + 64 * k,
		    (size_t)snprintf(buf + 64 * k, 64, "user%llu.%zu@d%llu.example",
		        (unsigned long long)i, k, (unsigned long long)(i + k) % 10000));
	return (struct queue_message){.id = {i, 5},
	    .next_attempt_us = (int64_t)(i * 7919 % 100000),
	    .sender = slice_tainted(sender,
	        (size_t)snprintf(sender, 64, "sender%llu@x.example", (unsigned long long)i)),
	    .recipients = r,
	    .n_recipients = n};
}

static size_t fill(struct queue_index *idx, uint64_t count, size_t n_recipients)
{
	struct queue_recipient r[8] = {0};
	char buf[64 * 8], sender[64];
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;

	for (uint64_t i = 1; i <= count; i++) {
		struct queue_message m = numbered(i, r, n_recipients, buf, sender);

		(void)!queue_index_insert(idx, &m, false, NULL, NULL);
	}
	return (mallinfo2().uordblks + mallinfo2().hblkhd - before) / count;
}

TEST(memory_of_a_hundred_thousand)
{
	struct queue_index *idx = queue_index_new(), *more = queue_index_new();
	size_t one = fill(idx, 100000, 1), five = fill(more, 100000, 5);

	(void)printf("# %zu bytes a message, %zu each further recipient\n", one, (five - one) / 4);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	CHECK(one > 0 && one < 300);
	CHECK((five - one) / 4 <=
	      72); /* an address of 26 bytes and a destination that is mostly its own */
#endif
	queue_index_free(&more);
	int64_t from = clock_mono_us();
	struct queue_list l;
	struct queue_view v;
	queue_index_list(idx, QUEUE_BY_ID, &l);
	uint64_t sum = 0;
	for (size_t i = 0; i < l.count; i++) {
		queue_entry_view(l.entries[i], &v);
		CHECK(v.id.serial == i + 1);
		sum += queue_entry_recipient(l.entries[i], 0, NULL).len;
	}
	(void)printf("# listed in %lld us\n", (long long)(clock_mono_us() - from));
	CHECK(sum > 0);
	CHECK_EQ_INT(l.count, 100000);
	queue_list_free(&l);
	queue_index_free(&idx);
}

static void *hammer(void *arg)
{
	struct queue_index *idx = arg;

	for (int i = 0; i < 3000; i++) {
		struct queue_entry *e = queue_index_due(idx, i);
		struct queue_list l;

		if (e) {
			struct queue_view v;

			queue_entry_view(e, &v);
			if (v.state != QUEUE_ACTIVE)
				(void)CHECK(false); /* taken is active */
			(void)!queue_index_set_recipient(
			    idx, v.id, 1, i % 2 ? QUEUE_RCPT_DELIVERED : QUEUE_RCPT_PENDING);
			queue_index_release(idx, &e, i + 3);
		}
		if (i % 100 == 0) {
			queue_index_list(idx, QUEUE_UNORDERED, &l);
			queue_list_free(&l);
		}
	}
	return NULL;
}

TEST(many_threads)
{
	struct queue_index *idx = queue_index_new();
	pthread_t t[4];

	for (uint64_t i = 1; i <= 50; i++)
		insert(idx, i, 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, hammer, idx) == 0);
	for (int i = 0; i < 4; i++)
		(void)pthread_join(t[i], NULL);
	struct queue_counts c;
	queue_index_counts(idx, &c);
	CHECK_EQ_INT(c.messages, 50);
	CHECK_EQ_INT(c.state[QUEUE_DEFERRED], 50);
	queue_index_free(&idx);
}

TAP_MAIN()
