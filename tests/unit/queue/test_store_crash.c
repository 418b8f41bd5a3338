/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The promise: what was acknowledged survives a power cut at any moment, what was finished does not
 * return.
 *
 * A run of accepting, recording, finishing, compacting, with restarts in between, on a disk that
 * keeps only what was synced. After EVERY write the disk that a power cut would leave is taken (all
 * unsynced forgotten; torn, several seeds), another store recovers from it and is compared with
 * what had been acknowledged by then.  Some of these stores go on to compact, and are cut after
 * every write in their turn.
 */
#include "lib/storage_shim.h"
#include "lib/tap.h"

#include "mail.inc"

#include <stdlib.h>

#define MAILS_MAX 4000u
/* A sanitizer build makes the run some ten times slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEPS(n) ((n) / 4)
#else
#define STEPS(n) (n)
#endif

enum promise { NOT_YET, ASKED, SURE }; /* not asked for; asked, no answer yet; acknowledged */

struct item {
	struct queue_id id;
	uint64_t number;
	enum promise queued, finished, frozen;
	bool refused, ever_frozen;
	uint8_t n_recipients;
	enum promise delivered[MAIL_RECIPIENTS_MAX];
	enum promise replaced; /* the first one, by two */
	unsigned notes_asked, notes_sure;
};

struct world {
	struct shim *disk;
	struct store *store;
	struct item items[MAILS_MAX];
	size_t n;
	struct arena *ops; /* memory of what is being committed */
	uint64_t random, number;
	uint64_t segment_bytes;
	size_t max_body;
	unsigned cuts, deep_every, nested;
	uint64_t compacted, unlinked; /* segments */
	bool failed, dead;            /* dead: the power is off, answers come too late */
};

static struct store *open_store(struct shim *disk, const struct world *w)
{
	struct store_options o = {.segment_bytes = w->segment_bytes,
	    .body_threshold = w->max_body / 3,
	    .compact_age_us = -1,
	    .zero_bytes = w->segment_bytes / 4,
	    .manual = true};
	struct store *s = NULL;
	struct error err = {0};

	if (store_open(shim_io(disk), &o, &s, &err) != RC_OK)
		(void)CHECK(false); /* store opens */
	return s;
}

/* ---- comparing ---- */
struct seen {
	const struct world *w;
	uint8_t found[MAILS_MAX];
	const char *why;
	uint64_t number;
};

#define REPLACEMENTS 2u
static slice_t replacement(struct arena *a, const struct item *it, unsigned i)
{
	return arena_printf(a, "n%u.%llu@new.example", i, (unsigned long long)it->number);
}

/* All of it or nothing. */
static bool replacement_is_possible(const struct item *it, const struct queue_message *m)
{
	struct arena *a = arena_new(0);
	size_t extra = m->n_recipients - it->n_recipients;
	bool good = extra == 0 ? it->replaced != SURE
	                       : extra == REPLACEMENTS && it->replaced != NOT_YET &&
	                             m->recipients[0].state == QUEUE_RCPT_DELIVERED;

	for (unsigned i = 0; good && i < extra; i++) {
		const struct queue_recipient *r = &m->recipients[it->n_recipients + i];
		good = slice_eq(r->address, replacement(a, it, i)) && slice_eqs(r->params, "p") &&
		       r->state == QUEUE_RCPT_PENDING;
	}
	arena_free(&a);
	return good;
}

static bool state_is_possible(const struct item *it, const struct queue_message *m)
{
	if (m->n_recipients < it->n_recipients || !replacement_is_possible(it, m))
		return false;
	for (size_t i = m->n_recipients > it->n_recipients ? 1 : 0; i < it->n_recipients; i++) {
		bool delivered = m->recipients[i].state == QUEUE_RCPT_DELIVERED;

		if (delivered ? it->delivered[i] == NOT_YET : it->delivered[i] == SURE)
			return false;
		if (delivered && m->recipients[i].retry.len != 2)
			return false;
	}
	if (m->n_notes < it->notes_sure || m->n_notes > it->notes_asked)
		return false;
	bool frozen = m->flags & QUEUE_MSG_FROZEN;
	return frozen ? it->ever_frozen : it->frozen != SURE;
}

static void compare_found(void *ctx, const struct queue_message *m)
{
	struct seen *seen = ctx;
	const struct world *w = seen->w;
	struct arena *a = arena_new(0);
	struct mail want;
	size_t i = 0;

	while (i < w->n && w->items[i].id.serial != m->id.serial)
		i++;
	seen->number = i < w->n ? w->items[i].number : 0;
	if (i == w->n || w->items[i].queued == NOT_YET) {
		seen->why = "a message nobody gave";
	} else if (seen->found[i]++) {
		seen->why = "found twice";
	} else if (w->items[i].finished == SURE) {
		seen->why = "a finished message returned";
	} else if (!state_is_possible(&w->items[i], m)) {
		seen->why = "its state is not what was recorded";
	} else {
		mail_make(a, w->items[i].id, w->items[i].number, w->max_body, &want);
		want.extra = REPLACEMENTS;
		if (!mail_same_envelope(&want, m))
			seen->why = "its envelope differs";
	}
	arena_free(&a);
}

static const char *missing_or_broken(struct store *s, const struct seen *seen, uint64_t *out_number)
{
	const struct world *w = seen->w;
	const char *why = NULL;

	for (size_t i = 0; i < w->n && !why; i++) {
		const struct item *it = &w->items[i];
		struct arena *a = arena_new(0);
		struct mail want;

		*out_number = it->number;
		if (!seen->found[i]) {
			if (it->queued == SURE && it->finished == NOT_YET)
				why = "an acknowledged message is gone";
		} else {
			const char *reason;

			mail_make(a, it->id, it->number, w->max_body, &want);
			want.extra = REPLACEMENTS;
			if (!mail_is_whole(s, a, &want, &reason))
				why = reason;
		}
		arena_free(&a);
	}
	return why;
}

/* Recover from `disk` and compare; returns the store. */
static struct store *recover_and_compare(struct world *w, struct shim *disk, const char *when)
{
	struct seen seen = {.w = w};
	struct store *s = open_store(disk, w);
	struct error err = {0};
	uint64_t number = 0;

	if (!s)
		return NULL;
	if (store_recover(s, compare_found, &seen, &err) != RC_OK)
		seen.why = "recovery failed";
	const char *why = seen.why;
	number = seen.number;
	if (!why)
		why = missing_or_broken(s, &seen, &number);
	if (why) {
		w->failed = true;
		slice_t text = {0};
		struct arena *a = arena_new(0);

		text = arena_printf(a, "%s, message %llu, cut %u, %s", why,
		    (unsigned long long)number, w->cuts, when);
		CHECK_EQ_STR(text, "nothing wrong");
		arena_free(&a);
	}
	return s;
}

/* ---- cutting ---- */
struct nested {
	struct world *w;
	struct shim *disk;
};

static void nested_cut(void *arg)
{
	struct nested *n = arg;

	if (n->w->failed)
		return;
	for (enum shim_loss loss = SHIM_FORGET; loss <= SHIM_TEAR; loss++) {
		struct shim *after = shim_crash(n->disk, loss, ++n->w->nested);
		struct store *s = recover_and_compare(n->w, after, "cut again while it recovered");

		store_close(&s);
		shim_free(&after);
	}
}

static void cut_once(struct world *w, enum shim_loss loss, uint64_t seed, bool deep)
{
	struct shim *after = shim_crash(w->disk, loss, seed);
	struct nested n = {w, after};

	if (deep)
		shim_on_write(after, nested_cut, &n);
	struct store *s = recover_and_compare(w, after, loss == SHIM_TEAR ? "torn" : "forgotten");
	if (deep && s && !w->failed) {
		while (store_compact_step(s) && !w->failed)
			;
		shim_on_write(after, NULL, NULL);
		struct shim *again = shim_crash(after, SHIM_FORGET, 0);
		store_close(&s);
		s = recover_and_compare(w, again, "after compaction");
		store_close(&s);
		shim_free(&again);
	}
	store_close(&s);
	shim_free(&after);
}

static void cut(void *arg)
{
	struct world *w = arg;

	if (w->failed)
		return;
	w->cuts++;
	cut_once(w, SHIM_FORGET, 0, w->cuts % w->deep_every == 0);
	for (uint64_t seed = 1; seed <= 2 && !w->failed; seed++)
		cut_once(w, SHIM_TEAR, w->cuts * 10 + seed, w->cuts % w->deep_every == seed);
}

/* ---- the run ---- */
struct answer {
	struct world *w;
	struct item *item;
	int what; /* 0 queued, 1 progress, 2 finished, 3 frozen, 4 thawed, 5 replaced */
	unsigned mask;
};

static void answered(void *arg, enum rc rc, const struct error *why)
{
	struct answer *x = arg;
	struct item *it = x->item;

	(void)why;
	if (x->w->dead)
		return;
	if (rc != RC_OK) {
		it->refused = true;
		return;
	}
	if (x->what == 0)
		it->queued = SURE;
	if (x->what == 2)
		it->finished = SURE;
	if (x->what == 3)
		it->frozen = SURE;
	if (x->what == 5)
		it->replaced = SURE;
	if (x->what == 1) {
		it->notes_sure++;
		for (unsigned i = 0; i < it->n_recipients; i++)
			if (x->mask & 1u << i)
				it->delivered[i] = SURE;
	}
}

static struct answer *answer(struct world *w, struct item *it, int what)
{
	struct answer *x = ARENA_NEW(w->ops, struct answer);

	*x = (struct answer){w, it, what, 0};
	return x;
}

static void commit(struct world *w)
{
	while (store_commit_step(w->store))
		;
	arena_reset(w->ops);
}

static void accept_one(struct world *w)
{
	if (w->n == MAILS_MAX)
		return;
	struct item *it = &w->items[w->n++];
	struct mail *mail = ARENA_NEW(w->ops, struct mail);

	memset(it, 0, sizeof *it);
	it->id = store_next_id(w->store);
	it->number = ++w->number;
	mail_make(w->ops, it->id, it->number, w->max_body, mail);
	it->n_recipients = (uint8_t)mail->m.n_recipients;
	it->queued = ASKED;
	if (!CHECK_EQ_INT(mail_append(w->store, w->ops, mail, answered, answer(w, it, 0)), RC_OK))
		w->failed = true;
}

static struct item *some_queued(struct world *w)
{
	for (int tries = 0; tries < 20 && w->n; tries++) {
		struct item *it = &w->items[mail_random(&w->random) % w->n];

		if (it->queued == SURE && it->finished == NOT_YET)
			return it;
	}
	return NULL;
}

static void progress_one(struct world *w)
{
	struct item *it = some_queued(w);
	struct error err = {0};

	if (!it)
		return;
	unsigned r = (unsigned)(mail_random(&w->random) % it->n_recipients);
	struct queue_outcome *o = ARENA_NEW(w->ops, struct queue_outcome);
	struct queue_progress *p = ARENA_NEW(w->ops, struct queue_progress);
	struct answer *x = answer(w, it, 1);
	*o = (struct queue_outcome){r, QUEUE_RCPT_DELIVERED, 7, SL("ok")};
	*p = (struct queue_progress){
	    it->id, o, 1, 99, mail_note(w->ops, it->number, it->notes_asked)};
	x->mask = 1u << r;
	it->notes_asked++;
	if (it->delivered[r] == NOT_YET)
		it->delivered[r] = ASKED;
	CHECK_EQ_INT(store_progress(w->store, w->ops, p, 1, answered, x, &err), RC_OK);
}

static void edit_one(struct world *w)
{
	struct item *it = some_queued(w);
	struct error err = {0};

	if (!it)
		return;
	bool freeze = mail_random(&w->random) % 2;
	struct queue_edit *e = ARENA_NEW(w->ops, struct queue_edit);
	*e =
	    (struct queue_edit){.kind = freeze ? QUEUE_EDIT_FREEZE : QUEUE_EDIT_THAW, .when_us = 3};
	if (freeze)
		it->ever_frozen = true;
	else
		it->frozen = NOT_YET;
	CHECK_EQ_INT(
	    store_edit(w->store, w->ops, it->id, e, answered, answer(w, it, freeze ? 3 : 4), &err),
	    RC_OK);
}

static void replace_one(struct world *w)
{
	struct item *it = some_queued(w);
	struct error err = {0};

	if (!it || it->replaced != NOT_YET)
		return;
	struct queue_recipient *by = ARENA_ARRAY(w->ops, struct queue_recipient, REPLACEMENTS);
	struct queue_edit *e = ARENA_NEW(w->ops, struct queue_edit);
	for (unsigned i = 0; i < REPLACEMENTS; i++)
		by[i] = (struct queue_recipient){
		    .address = replacement(w->ops, it, i), .params = SL("p")};
	*e = (struct queue_edit){
	    .kind = QUEUE_EDIT_REPLACE_RECIPIENT, .by = by, .n_by = REPLACEMENTS};
	it->replaced = ASKED;
	CHECK_EQ_INT(
	    store_edit(w->store, w->ops, it->id, e, answered, answer(w, it, 5), &err), RC_OK);
}

static void finish_one(struct world *w)
{
	struct item *it = some_queued(w);
	struct error err = {0};

	if (!it)
		return;
	it->finished = ASKED;
	CHECK_EQ_INT(
	    store_finish(w->store, w->ops, it->id, answered, answer(w, it, 2), &err), RC_OK);
}

/* Forget what is over for good, so that comparing stays quick; but some, to see that they do not
 * return. */
static void tidy(struct world *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->n; i++)
		if (w->items[i].finished != SURE || w->n - i < 60 || i % 4 == 0)
			w->items[kept++] = w->items[i];
	w->n = kept;
}

static void one_step(struct world *w)
{
	uint64_t dice = mail_random(&w->random) % 100;

	if (dice < 42) {
		for (uint64_t k = mail_random(&w->random) % 3; k < 3; k++)
			accept_one(w);
	} else if (dice < 60) {
		progress_one(w);
	} else if (dice < 66) {
		edit_one(w);
	} else if (dice < 72) {
		replace_one(w);
	} else if (dice < 90) {
		for (uint64_t k = mail_random(&w->random) % 4; k < 4; k++)
			finish_one(w);
	} else {
		for (uint64_t k = mail_random(&w->random) % 6; k < 6 && !w->failed; k++)
			if (!store_compact_step(w->store))
				break;
	}
	/* batches of several things */
	if (mail_random(&w->random) % 3)
		commit(w);
}

static void learn_found(void *ctx, const struct queue_message *m)
{
	struct world *w = ctx;

	for (size_t i = 0; i < w->n; i++) {
		struct item *it = &w->items[i];

		if (it->id.serial != m->id.serial)
			continue;
		it->queued = SURE;
		it->finished = NOT_YET;
		it->notes_asked = it->notes_sure = (unsigned)m->n_notes;
		it->frozen = m->flags & QUEUE_MSG_FROZEN ? SURE : NOT_YET;
		it->ever_frozen = it->frozen == SURE;
		it->replaced = m->n_recipients > it->n_recipients ? SURE : NOT_YET;
		for (unsigned r = 0; r < it->n_recipients; r++)
			it->delivered[r] =
			    m->recipients[r].state == QUEUE_RCPT_DELIVERED ? SURE : NOT_YET;
		it->refused = false;
		return;
	}
	(void)CHECK(false); /* an unknown message */
}

static void count(struct world *w)
{
	struct store_stats st;

	store_stats(w->store, &st);
	w->compacted += st.compacted;
	w->unlinked += st.unlinked;
}

/* The power fails for real; the run goes on with what is left. */
static void restart(struct world *w, enum shim_loss loss)
{
	struct error err = {0};
	struct shim *after;

	if (w->failed)
		return;
	shim_on_write(w->disk, NULL, NULL);
	after = shim_crash(w->disk, loss, ++w->random);
	/* what was asked for and not answered is open: the recovery tells */
	w->dead = true;
	count(w);
	store_close(&w->store);
	w->dead = false;
	shim_free(&w->disk);
	arena_reset(w->ops);
	w->disk = after;
	for (size_t i = 0; i < w->n; i++) {
		struct item *it = &w->items[i];

		if (it->queued == ASKED || it->finished == ASKED)
			it->queued = it->finished = it->queued == ASKED ? ASKED : SURE;
	}
	w->store = open_store(w->disk, w);
	if (!w->store || store_recover(w->store, learn_found, w, &err) != RC_OK) {
		w->failed = true;
		(void)CHECK(false); /* restart */
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		if (w->items[i].queued == ASKED)
			w->items[i].finished = SURE; /* did not survive, and nobody was told so */
	tidy(w);
	shim_on_write(w->disk, cut, w);
}

static void run(
    uint64_t seed, uint64_t segment_bytes, size_t max_body, unsigned steps, unsigned deep_every)
{
	struct world *w = calloc(1, sizeof *w);
	struct error err = {0};

	MUST(w);
	w->random = seed;
	w->segment_bytes = segment_bytes;
	w->max_body = max_body;
	w->deep_every = deep_every;
	w->ops = arena_new(0);
	w->disk = shim_new();
	w->store = open_store(w->disk, w);
	CHECK_EQ_INT(store_recover(w->store, NULL, NULL, &err), RC_OK);
	shim_on_write(w->disk, cut, w);
	for (unsigned i = 0; i < steps && !w->failed; i++) {
		one_step(w);
		if (i % 90 == 89)
			restart(w, i % 180 == 89 ? SHIM_TEAR : SHIM_FORGET);
	}
	if (w->store) {
		commit(w);
		count(w);
	}
	CHECK(w->failed || w->cuts > steps);
	CHECK(w->failed || steps < 300 || (w->compacted > 0 && w->unlinked > 0));
	(void)printf(
	    "# seed %llu: %u cuts, %u nested, %u mails, %u segments compacted, %u unlinked\n",
	    (unsigned long long)seed, w->cuts, w->nested, (unsigned)w->number,
	    (unsigned)w->compacted, (unsigned)w->unlinked);
	CHECK(w->failed || w->nested > 0);
	shim_on_write(w->disk, NULL, NULL);
	store_close(&w->store);
	shim_free(&w->disk);
	arena_free(&w->ops);
	free(w);
}

TEST(tiny_segments)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		run(seed, 12 << 10, 9000, STEPS(400), 40);
}

TEST(small_segments)
{
	for (uint64_t seed = 11; seed <= 12; seed++)
		run(seed, 64 << 10, 30000, STEPS(400), 50);
}

TEST(segments_of_256_kib)
{
	run(21, 256 << 10, 60000, STEPS(500), 50);
}

TAP_MAIN()
