/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/index: see index.h.  An entry is one block: fixed part, a link for the schedule and one for
 * each recipient, texts.
 *
 * The schedule and each destination are heaps of links, ordered by the entry's next attempt; the
 * schedule is a destination that every message has.  A recipient that is pending is attached to its
 * destination; its link stands in the heap only while the message is deferred.  All of it changes
 * under lk_queue_index; what a holder of a reference may read without it is atomic.
 */
#include "queue/index.h"

#include "base/map.h"

#include <stdatomic.h>
#include <stdlib.h>

/* 16 bytes, because there is one for each recipient of each queued message. */
struct link {
	uint32_t dest;  /* number of its destination; 0: not pending */
	uint32_t pos;   /* 1 + index in its heap; 0: not in it */
	uint32_t index; /* of this link in its entry: 0 is the schedule's */
	/* relaxed.  Recipient: where its address begins (it ends where the next one's begins),
	 * then, in the low bits, its enum queue_recipient_state */
	_Atomic uint32_t text_state;
};
#define STATE_BITS 3u
#define TEXTS_MAX  (UINT32_MAX >> STATE_BITS)
_Static_assert(QUEUE_RCPT_STATES <= 1u << STATE_BITS, "a state fits");

struct destination {
	struct destination *next; /* in its bucket */
	uint32_t number;
	struct link **heap;
	uint32_t count, cap;
	uint32_t pending; /* attached links */
	uint32_t key_len;
	char key[];
};

struct queue_entry {
	struct queue_entry *next; /* in its bucket; lk_queue_index */
	struct queue_id id;
	int64_t received_us;
	uint64_t size;
	_Atomic int64_t next_attempt_us; /* these: written under lk_queue_index, read relaxed */
	_Atomic int64_t frozen_us;
	_Atomic uint32_t flags;
	_Atomic uint32_t n_pending;
	_Atomic uint8_t state;
	_Atomic uint32_t refs; /* acq_rel on the way down */
	uint32_t n_recipients, sender_len;
	struct link
	    links[]; /* n_recipients + 2: schedule, recipients, end of the texts; then the texts */
};

struct queue_index {
	struct mutex lock;
	struct queue_entry **entries GUARDED_BY(lk_queue_index);
	size_t n_buckets GUARDED_BY(lk_queue_index);
	struct destination **dests GUARDED_BY(lk_queue_index);
	size_t n_dest_buckets GUARDED_BY(lk_queue_index);
	struct destination *schedule GUARDED_BY(lk_queue_index);
	/* by number, which starts at 1; free places hold the number of the next free one */
	union numbered {
		struct destination *dest;
		uintptr_t next_free;
	} * numbers GUARDED_BY(lk_queue_index);
	size_t n_numbers GUARDED_BY(lk_queue_index);
	uintptr_t free_number GUARDED_BY(lk_queue_index);
	struct queue_counts counts GUARDED_BY(lk_queue_index);
	bool gathering GUARDED_BY(lk_queue_index);
};

LOCK_FNS(index, struct queue_index, lock, lk_queue_index)

static struct queue_entry *entry_of(const struct link *l)
{
	const struct link *first = l - l->index;

	return (struct queue_entry *)(uintptr_t)((const char *)first -
	                                         offsetof(struct queue_entry, links));
}

static char *texts_of(const struct queue_entry *e)
{
	return (char *)(uintptr_t)(e->links + e->n_recipients + 2);
}

static uint8_t state_of(const struct queue_entry *e)
{
	return atomic_load_explicit(&e->state, memory_order_relaxed);
}

static int64_t next_of(const struct queue_entry *e)
{
	return atomic_load_explicit(&e->next_attempt_us, memory_order_relaxed);
}

static uint32_t text_of(const struct link *l)
{
	return atomic_load_explicit(&l->text_state, memory_order_relaxed) >> STATE_BITS;
}

static enum queue_recipient_state link_state(const struct link *l)
{
	uint32_t bits = atomic_load_explicit(&l->text_state, memory_order_relaxed);

	return (enum queue_recipient_state)(bits & ((1u << STATE_BITS) - 1));
}

static void set_link(struct link *l, uint32_t text, enum queue_recipient_state state)
{
	atomic_store_explicit(
	    &l->text_state, text << STATE_BITS | (uint32_t)state, memory_order_relaxed);
}

static struct destination *dest_of(struct queue_index *idx, const struct link *l)
    REQUIRES(lk_queue_index);
static struct destination *dest_of(struct queue_index *idx, const struct link *l)
{
	return l->dest ? idx->numbers[l->dest].dest : NULL;
}

/* ---- heaps of links ---- */
static bool is_before(const struct link *a, const struct link *b)
{
	const struct queue_entry *x = entry_of(a), *y = entry_of(b);
	int64_t at = next_of(x), bt = next_of(y);

	return at != bt ? at < bt : x->id.serial < y->id.serial;
}

static void place(struct destination *d, uint32_t i, struct link *l)
{
	d->heap[i] = l;
	l->pos = i + 1;
}

static void sift_up(struct destination *d, uint32_t i, struct link *l)
{
	while (i && is_before(l, d->heap[(i - 1) / 2])) {
		place(d, i, d->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(d, i, l);
}

static void sift_down(struct destination *d, uint32_t i, struct link *l)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= d->count)
			break;
		if (child + 1 < d->count && is_before(d->heap[child + 1], d->heap[child]))
			child++;
		if (!is_before(d->heap[child], l))
			break;
		place(d, i, d->heap[child]);
		i = child;
	}
	place(d, i, l);
}

static void heap_add(struct queue_index *idx, struct link *l) REQUIRES(lk_queue_index);
static void heap_add(struct queue_index *idx, struct link *l)
{
	struct destination *d = dest_of(idx, l);

	if (!d || l->pos || idx->gathering)
		return;
	if (d->count == d->cap) {
		d->cap = d->cap ? d->cap * 2 : d->pending > 1 ? d->pending : 1;
		d->heap = reallocarray(d->heap, d->cap, sizeof(struct link *));
		MUST(d->heap);
	}
	sift_up(d, d->count++, l);
}

static void heap_drop(struct queue_index *idx, struct link *l) REQUIRES(lk_queue_index);
static void heap_drop(struct queue_index *idx, struct link *l)
{
	struct destination *d = dest_of(idx, l);

	if (!d || !l->pos)
		return;
	uint32_t i = l->pos - 1;
	struct link *last = d->heap[--d->count];
	l->pos = 0;
	if (last == l)
		return;
	if (i && is_before(last, d->heap[(i - 1) / 2]))
		sift_up(d, i, last);
	else
		sift_down(d, i, last);
}

/* ---- destinations ---- */
static void more_numbers(struct queue_index *idx) REQUIRES(lk_queue_index);
static void more_numbers(struct queue_index *idx)
{
	size_t n = idx->n_numbers ? idx->n_numbers * 2 : 64;

	MUST(n <= UINT32_MAX);
	idx->numbers = reallocarray(idx->numbers, n, sizeof *idx->numbers);
	MUST(idx->numbers);
	for (size_t i = n; i-- > (idx->n_numbers ? idx->n_numbers : 1);) {
		idx->numbers[i].next_free = idx->free_number;
		idx->free_number = i;
	}
	idx->n_numbers = n;
}

static struct destination *destination_new(struct queue_index *idx, const char *key, uint32_t len)
    REQUIRES(lk_queue_index);
static struct destination *destination_new(struct queue_index *idx, const char *key, uint32_t len)
{
	struct destination *d = calloc(1, sizeof *d + len);

	MUST(d);
	if (!idx->free_number)
		more_numbers(idx);
	d->number = (uint32_t)idx->free_number;
	idx->free_number = idx->numbers[d->number].next_free;
	idx->numbers[d->number].dest = d;
	d->key_len = len;
	if (len)
		memcpy(d->key, key, len);
	return d;
}

static size_t dest_bucket(slice_t key, size_t n_buckets)
{
	return (size_t)hash_bytes(key) & (n_buckets - 1);
}

static void grow_dests(struct queue_index *idx) REQUIRES(lk_queue_index);
static void grow_dests(struct queue_index *idx)
{
	size_t n = idx->n_dest_buckets ? idx->n_dest_buckets * 2 : 256;
	struct destination **buckets = calloc(n, sizeof *buckets), *next;

	MUST(buckets);
	for (size_t i = 0; i < idx->n_dest_buckets; i++)
		for (struct destination *d = idx->dests[i]; d; d = next) {
			struct destination **b =
			    &buckets[dest_bucket(slice_tainted(d->key, d->key_len), n)];

			next = d->next;
			d->next = *b;
			*b = d;
		}
	free(idx->dests);
	idx->dests = buckets;
	idx->n_dest_buckets = n;
}

#define KEY_MAX 255u /* a domain has at most 255 bytes; of a longer one the end counts */

/* The domain of an address (or a domain itself), in lower case. */
static slice_t key_of(slice_t text, char buf[KEY_MAX])
{
	size_t at = slice_rfind(text, '@');
	slice_t domain = at == SIZE_MAX ? text : slice_sub(text, at + 1, text.len);

	if (domain.len > KEY_MAX)
		domain = slice_sub(domain, domain.len - KEY_MAX, KEY_MAX);
	for (uint32_t i = 0; i < domain.len; i++)
		buf[i] = ascii_lower(domain.ptr[i]);
	return slice_tainted(buf, domain.len);
}

static struct destination *find_dest(struct queue_index *idx, slice_t key) REQUIRES(lk_queue_index);
static struct destination *find_dest(struct queue_index *idx, slice_t key)
{
	if (!idx->n_dest_buckets)
		return NULL;
	for (struct destination *d = idx->dests[dest_bucket(key, idx->n_dest_buckets)]; d;
	     d = d->next)
		if (d->key_len == key.len && memcmp(d->key, key.ptr, key.len) == 0)
			return d;
	return NULL;
}

static void attach(struct queue_index *idx, struct link *l, slice_t address)
    REQUIRES(lk_queue_index);
static void attach(struct queue_index *idx, struct link *l, slice_t address)
{
	char buf[KEY_MAX];
	slice_t key =
	    slice_rfind(address, '@') == SIZE_MAX ? slice_tainted("", 0) : key_of(address, buf);
	struct destination *d = find_dest(idx, key);

	if (!d) {
		if (idx->counts.destinations >= idx->n_dest_buckets)
			grow_dests(idx);
		d = destination_new(idx, key.ptr, key.len);
		struct destination **b = &idx->dests[dest_bucket(key, idx->n_dest_buckets)];
		d->next = *b;
		*b = d;
		idx->counts.destinations++;
	}
	d->pending++;
	idx->counts.pending_recipients++;
	l->dest = d->number;
}

static void detach(struct queue_index *idx, struct link *l) REQUIRES(lk_queue_index);
static void detach(struct queue_index *idx, struct link *l)
{
	struct destination *d = dest_of(idx, l);

	if (!d)
		return;
	heap_drop(idx, l);
	l->dest = 0;
	idx->counts.pending_recipients--;
	if (--d->pending)
		return;
	slice_t key = slice_tainted(d->key, d->key_len);
	struct destination **at = &idx->dests[dest_bucket(key, idx->n_dest_buckets)];
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	idx->counts.destinations--;
	idx->numbers[d->number].next_free = idx->free_number;
	idx->free_number = d->number;
	free(d->heap);
	free(d);
}

/* ---- entries ---- */
static slice_t address_of(const struct queue_entry *e, uint32_t i)
{
	const struct link *l = &e->links[i + 1];

	return slice_tainted(texts_of(e) + text_of(l), text_of(l + 1) - text_of(l));
}

static struct queue_entry *entry_new(const struct queue_message *m)
{
	size_t texts = m->sender.len;

	for (size_t i = 0; i < m->n_recipients; i++)
		texts += m->recipients[i].address.len;
	MUST(m->n_recipients < UINT32_MAX - 2 && texts < TEXTS_MAX);
	struct queue_entry *e =
	    calloc(1, sizeof *e + (m->n_recipients + 2) * sizeof(struct link) + texts);
	MUST(e);
	e->id = m->id;
	e->received_us = m->received_us;
	e->size = m->headers_size + m->body_size;
	atomic_init(&e->next_attempt_us, m->next_attempt_us);
	atomic_init(&e->frozen_us, m->frozen_us);
	atomic_init(&e->flags, m->flags);
	atomic_init(&e->refs, 1);
	e->n_recipients = (uint32_t)m->n_recipients;
	e->sender_len = m->sender.len;
	char *text = texts_of(e);
	uint32_t at = m->sender.len, pending = 0;
	if (m->sender.len)
		memcpy(text, m->sender.ptr, m->sender.len);
	for (uint32_t i = 0; i < e->n_recipients + 2; i++) {
		struct link *l = &e->links[i];

		l->index = i;
		set_link(l, at, QUEUE_RCPT_PENDING);
		if (i == 0 || i > e->n_recipients)
			continue;
		const struct queue_recipient *r = &m->recipients[i - 1];
		set_link(l, at, r->state);
		pending += r->state == QUEUE_RCPT_PENDING;
		if (r->address.len)
			memcpy(text + at, r->address.ptr, r->address.len);
		at += r->address.len;
	}
	atomic_init(&e->n_pending, pending);
	return e;
}

void queue_entry_unref(struct queue_entry **e)
{
	if (*e && atomic_fetch_sub_explicit(&(*e)->refs, 1, memory_order_acq_rel) == 1)
		free(*e);
	*e = NULL;
}

static struct queue_entry *ref(struct queue_entry *e)
{
	(void)atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

static size_t entry_bucket(uint64_t serial, size_t n_buckets)
{
	return (size_t)((serial * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (n_buckets - 1);
}

static struct queue_entry *find(struct queue_index *idx, struct queue_id id)
    REQUIRES(lk_queue_index);
static struct queue_entry *find(struct queue_index *idx, struct queue_id id)
{
	if (!idx->n_buckets)
		return NULL;
	for (struct queue_entry *e = idx->entries[entry_bucket(id.serial, idx->n_buckets)]; e;
	     e = e->next)
		if (e->id.serial == id.serial && e->id.seconds == id.seconds)
			return e;
	return NULL;
}

static void grow_entries(struct queue_index *idx) REQUIRES(lk_queue_index);
static void grow_entries(struct queue_index *idx)
{
	size_t n = idx->n_buckets ? idx->n_buckets * 2 : 1024;
	struct queue_entry **buckets = calloc(n, sizeof *buckets), *next;

	MUST(buckets);
	for (size_t i = 0; i < idx->n_buckets; i++)
		for (struct queue_entry *e = idx->entries[i]; e; e = next) {
			struct queue_entry **b = &buckets[entry_bucket(e->id.serial, n)];

			next = e->next;
			e->next = *b;
			*b = e;
		}
	free(idx->entries);
	idx->entries = buckets;
	idx->n_buckets = n;
}

/* Into the state that it should have: in the heaps or out of them. */
static void set_state(struct queue_index *idx, struct queue_entry *e, bool taken)
    REQUIRES(lk_queue_index);
static void set_state(struct queue_index *idx, struct queue_entry *e, bool taken)
{
	bool frozen = atomic_load_explicit(&e->flags, memory_order_relaxed) & QUEUE_MSG_FROZEN;
	uint8_t state = taken ? QUEUE_ACTIVE : frozen ? QUEUE_FROZEN : QUEUE_DEFERRED;

	idx->counts.state[state_of(e)]--;
	idx->counts.state[state]++;
	atomic_store_explicit(&e->state, state, memory_order_relaxed);
	for (uint32_t i = 0; i <= e->n_recipients; i++) {
		if (state == QUEUE_DEFERRED)
			heap_add(idx, &e->links[i]);
		else
			heap_drop(idx, &e->links[i]);
	}
}

static void move_to(struct queue_index *idx, struct queue_entry *e, int64_t when_us)
    REQUIRES(lk_queue_index);
static void move_to(struct queue_index *idx, struct queue_entry *e, int64_t when_us)
{
	bool taken = state_of(e) == QUEUE_ACTIVE;

	for (uint32_t i = 0; i <= e->n_recipients; i++)
		heap_drop(idx, &e->links[i]);
	atomic_store_explicit(&e->next_attempt_us, when_us, memory_order_relaxed);
	set_state(idx, e, taken);
}

static void put_in(struct queue_index *idx, struct queue_entry *e, bool taken)
    REQUIRES(lk_queue_index);
static void put_in(struct queue_index *idx, struct queue_entry *e, bool taken)
{
	if (idx->counts.messages >= idx->n_buckets)
		grow_entries(idx);
	struct queue_entry **b = &idx->entries[entry_bucket(e->id.serial, idx->n_buckets)];
	e->next = *b;
	*b = e;
	idx->counts.messages++;
	idx->counts.state[state_of(e)]++;
	e->links[0].dest = idx->schedule->number;
	for (uint32_t i = 0; i < e->n_recipients; i++)
		if (link_state(&e->links[i + 1]) == QUEUE_RCPT_PENDING)
			attach(idx, &e->links[i + 1], address_of(e, i));
	set_state(idx, e, taken);
}

static void take_out(struct queue_index *idx, struct queue_entry *e) REQUIRES(lk_queue_index);
static void take_out(struct queue_index *idx, struct queue_entry *e)
{
	struct queue_entry **at = &idx->entries[entry_bucket(e->id.serial, idx->n_buckets)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	heap_drop(idx, &e->links[0]);
	for (uint32_t i = 1; i <= e->n_recipients; i++)
		detach(idx, &e->links[i]);
	idx->counts.messages--;
	idx->counts.state[state_of(e)]--;
	queue_entry_unref(&e);
}

/* ---- life ---- */
struct queue_index *queue_index_new(void)
{
	struct queue_index *idx = calloc(1, sizeof *idx);

	MUST(idx);
	mutex_init(&idx->lock, LOCK_queue_index);
	index_lock(idx);
	idx->schedule = destination_new(idx, NULL, 0);
	index_unlock(idx);
	return idx;
}

void queue_index_free(struct queue_index **index)
{
	struct queue_index *idx = *index;

	if (!idx)
		return;
	index_lock(idx);
	for (size_t i = 0; i < idx->n_buckets; i++)
		while (idx->entries[i])
			take_out(idx, idx->entries[i]);
	free(idx->entries);
	free(idx->dests);
	free(idx->schedule->heap);
	free(idx->schedule);
	free(idx->numbers);
	index_unlock(idx);
	mutex_fini(&idx->lock);
	free(idx);
	*index = NULL;
}

void queue_index_gather(struct queue_index *idx, bool on)
{
	index_lock(idx);
	idx->gathering = on;
	if (!on) {
		idx->schedule->pending = (uint32_t)idx->counts.messages; /* room for all at once */
		for (size_t i = 0; i < idx->n_buckets; i++)
			for (struct queue_entry *e = idx->entries[i]; e; e = e->next)
				set_state(idx, e, state_of(e) == QUEUE_ACTIVE);
	}
	index_unlock(idx);
}

/* ---- changing ---- */
static enum rc absent(struct queue_id id, struct error *err)
{
	char text[QUEUE_ID_LEN + 1];

	queue_id_text(id, text);
	return error_set(err, RC_FAIL, "%s: no such message", text);
}

enum rc queue_index_insert(struct queue_index *idx, const struct queue_message *m, bool active,
    struct queue_entry **out_entry, struct error *err)
{
	struct queue_entry *e = entry_new(m);
	char text[QUEUE_ID_LEN + 1];

	index_lock(idx);
	bool there = find(idx, m->id) != NULL;
	if (!there) {
		put_in(idx, e, active);
		if (active && out_entry)
			*out_entry = ref(e);
	}
	index_unlock(idx);
	if (!there)
		return RC_OK;
	queue_entry_unref(&e);
	queue_id_text(m->id, text);
	return error_set(err, RC_FAIL, "%s is in the queue already", text);
}

enum rc queue_index_update(
    struct queue_index *idx, const struct queue_message *m, struct error *err)
{
	struct queue_entry *e = entry_new(m);

	index_lock(idx);
	struct queue_entry *old = find(idx, m->id);
	if (old) {
		bool taken = state_of(old) == QUEUE_ACTIVE;

		take_out(idx, old);
		put_in(idx, e, taken);
	}
	index_unlock(idx);
	if (old)
		return RC_OK;
	queue_entry_unref(&e);
	return absent(m->id, err);
}

enum rc queue_index_remove(struct queue_index *idx, struct queue_id id, struct error *err)
{
	index_lock(idx);
	struct queue_entry *e = find(idx, id);
	if (e)
		take_out(idx, e);
	index_unlock(idx);
	return e ? RC_OK : absent(id, err);
}

enum rc queue_index_set_recipient(struct queue_index *idx, struct queue_id id, uint32_t recipient,
    enum queue_recipient_state state)
{
	index_lock(idx);
	struct queue_entry *e = find(idx, id);
	if (e && recipient >= e->n_recipients)
		e = NULL;
	if (e) {
		struct link *l = &e->links[recipient + 1];

		if (state == QUEUE_RCPT_PENDING && !l->dest) {
			attach(idx, l, address_of(e, recipient));
			(void)atomic_fetch_add_explicit(&e->n_pending, 1, memory_order_relaxed);
			set_state(idx, e, state_of(e) == QUEUE_ACTIVE);
		} else if (state != QUEUE_RCPT_PENDING && l->dest) {
			detach(idx, l);
			(void)atomic_fetch_sub_explicit(&e->n_pending, 1, memory_order_relaxed);
		}
		set_link(l, text_of(l), state);
	}
	index_unlock(idx);
	return e ? RC_OK : RC_FAIL;
}

enum rc queue_index_freeze(
    struct queue_index *idx, struct queue_id id, bool frozen, int64_t when_us)
{
	index_lock(idx);
	struct queue_entry *e = find(idx, id);
	if (e) {
		uint32_t flags = atomic_load_explicit(&e->flags, memory_order_relaxed);

		flags = frozen ? flags | QUEUE_MSG_FROZEN : flags & ~QUEUE_MSG_FROZEN;
		atomic_store_explicit(&e->flags, flags, memory_order_relaxed);
		atomic_store_explicit(&e->frozen_us, frozen ? when_us : 0, memory_order_relaxed);
		set_state(idx, e, state_of(e) == QUEUE_ACTIVE);
	}
	index_unlock(idx);
	return e ? RC_OK : RC_FAIL;
}

enum rc queue_index_set_next(struct queue_index *idx, struct queue_id id, int64_t when_us)
{
	index_lock(idx);
	struct queue_entry *e = find(idx, id);
	if (e)
		move_to(idx, e, when_us);
	index_unlock(idx);
	return e ? RC_OK : RC_FAIL;
}

/* ---- scheduling ---- */
static struct queue_entry *take_first(
    struct queue_index *idx, struct destination *d, int64_t now_us) REQUIRES(lk_queue_index);
static struct queue_entry *take_first(
    struct queue_index *idx, struct destination *d, int64_t now_us)
{
	if (!d || !d->count || next_of(entry_of(d->heap[0])) > now_us)
		return NULL;
	struct queue_entry *e = ref(entry_of(d->heap[0]));
	set_state(idx, e, true);
	return e;
}

struct queue_entry *queue_index_due(struct queue_index *idx, int64_t now_us)
{
	index_lock(idx);
	struct queue_entry *e = take_first(idx, idx->schedule, now_us);
	index_unlock(idx);
	return e;
}

struct queue_entry *queue_index_due_for(struct queue_index *idx, slice_t domain, int64_t now_us)
{
	char buf[KEY_MAX];
	slice_t key = key_of(domain, buf);

	index_lock(idx);
	struct queue_entry *e = take_first(idx, find_dest(idx, key), now_us);
	index_unlock(idx);
	return e;
}

struct queue_entry *queue_index_take(struct queue_index *idx, struct queue_id id, bool force)
{
	index_lock(idx);
	struct queue_entry *e = find(idx, id);
	if (e && (state_of(e) == QUEUE_ACTIVE || (state_of(e) == QUEUE_FROZEN && !force)))
		e = NULL;
	if (e) {
		(void)ref(e);
		set_state(idx, e, true);
	}
	index_unlock(idx);
	return e;
}

void queue_index_release(struct queue_index *idx, struct queue_entry **held, int64_t next_us)
{
	index_lock(idx);
	struct queue_entry *e =
	    find(idx, (*held)->id); /* an update has put another one in its place */
	if (e && state_of(e) == QUEUE_ACTIVE) {
		atomic_store_explicit(&e->next_attempt_us, next_us, memory_order_relaxed);
		set_state(idx, e, false);
	}
	index_unlock(idx);
	queue_entry_unref(held);
}

int64_t queue_index_next(struct queue_index *idx)
{
	index_lock(idx);
	int64_t at = idx->schedule->count ? next_of(entry_of(idx->schedule->heap[0])) : INT64_MAX;
	index_unlock(idx);
	return at;
}

/* ---- looking ---- */
struct queue_entry *queue_index_find(struct queue_index *idx, struct queue_id id)
{
	index_lock(idx);
	struct queue_entry *e = find(idx, id);
	if (e)
		(void)ref(e);
	index_unlock(idx);
	return e;
}

void queue_entry_view(const struct queue_entry *e, struct queue_view *out)
{
	*out = (struct queue_view){.id = e->id,
	    .state = (enum queue_state)state_of(e),
	    .flags = atomic_load_explicit(&e->flags, memory_order_relaxed),
	    .received_us = e->received_us,
	    .next_attempt_us = next_of(e),
	    .frozen_us = atomic_load_explicit(&e->frozen_us, memory_order_relaxed),
	    .size = e->size,
	    .sender = slice_tainted(texts_of(e), e->sender_len),
	    .n_recipients = e->n_recipients,
	    .n_pending = atomic_load_explicit(&e->n_pending, memory_order_relaxed)};
}

slice_t queue_entry_recipient(
    const struct queue_entry *e, uint32_t i, enum queue_recipient_state *out_state)
{
	MUST(i < e->n_recipients);
	if (out_state)
		*out_state = link_state(&e->links[i + 1]);
	return address_of(e, i);
}

struct queue_id queue_entry_id(const struct queue_entry *e)
{
	return e->id;
}

static int by_id(const void *a, const void *b)
{
	const struct queue_entry *x = *(struct queue_entry *const *)a,
	                         *y = *(struct queue_entry *const *)b;

	if (x->id.seconds != y->id.seconds)
		return x->id.seconds < y->id.seconds ? -1 : 1;
	return x->id.serial < y->id.serial ? -1 : x->id.serial > y->id.serial;
}

void queue_index_list(struct queue_index *idx, enum queue_order order, struct queue_list *out)
{
	index_lock(idx);
	struct queue_list l = {calloc(idx->counts.messages + 1, sizeof(struct queue_entry *)), 0};
	MUST(l.entries);
	for (size_t i = 0; i < idx->n_buckets; i++)
		for (struct queue_entry *e = idx->entries[i]; e; e = e->next)
			l.entries[l.count++] = ref(e);
	index_unlock(idx);
	if (order == QUEUE_BY_ID && l.count)
		qsort(l.entries, l.count, sizeof *l.entries, by_id);
	*out = l;
}

void queue_list_free(struct queue_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		queue_entry_unref(&l->entries[i]);
	free(l->entries);
	*l = (struct queue_list){NULL, 0};
}

void queue_index_counts(struct queue_index *idx, struct queue_counts *out)
{
	index_lock(idx);
	*out = idx->counts;
	index_unlock(idx);
}

struct dest_copy {
	slice_t key;
	size_t pending;
	int64_t next_us;
};

void queue_index_each_destination(struct queue_index *idx,
    void (*fn)(void *arg, slice_t domain, size_t pending, int64_t next_us), void *arg)
{
	struct arena *a = arena_new(0);
	size_t n = 0;

	index_lock(idx);
	struct dest_copy *copies = ARENA_ARRAY(a, struct dest_copy, idx->counts.destinations + 1);
	for (size_t i = 0; i < idx->n_dest_buckets; i++)
		for (struct destination *d = idx->dests[i]; d; d = d->next)
			copies[n++] =
			    (struct dest_copy){arena_dup(a, slice_tainted(d->key, d->key_len)),
			        d->pending, d->count ? next_of(entry_of(d->heap[0])) : INT64_MAX};
	index_unlock(idx);
	for (size_t i = 0; i < n; i++)
		fn(arg, copies[i].key, copies[i].pending, copies[i].next_us);
	arena_free(&a);
}
