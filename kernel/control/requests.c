/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One row and one function for each request. */
#include "control/control.h"
#include "message/message.h"

#include <unistd.h>

#define MAX_WORDS 1024

struct request {
	const struct control_config *cfg;
	slice_t who;
	const slice_t *words; /* behind the name */
	uint32_t count;
	struct strbuf *out;
};
typedef enum rc request_fn(const struct request *r, struct error *err);

static enum rc do_list(const struct request *r, struct error *err)
{
	(void)err;
	control_list_queue(r->cfg->index, r->words, r->count, false, clock_wall_us(), r->out);
	return RC_OK;
}

static enum rc do_undelivered(const struct request *r, struct error *err)
{
	(void)err;
	control_list_queue(r->cfg->index, r->words, r->count, true, clock_wall_us(), r->out);
	return RC_OK;
}

static enum rc do_count(const struct request *r, struct error *err)
{
	struct queue_counts n;

	(void)err;
	queue_index_counts(r->cfg->index, &n);
	strbuf_printf(r->out, "%zu\n", n.messages);
	return RC_OK;
}

static enum rc do_ids(const struct request *r, struct error *err)
{
	struct queue_list l;
	char id[QUEUE_ID_LEN + 1];

	(void)err;
	queue_index_list(r->cfg->index, QUEUE_BY_ID, &l);
	for (size_t i = 0; i < l.count; i++) {
		queue_id_text(queue_entry_id(l.entries[i]), id);
		strbuf_printf(r->out, "%s\n", id);
	}
	queue_list_free(&l);
	return RC_OK;
}

/* Words: force, frozen, local, first; recipient=TEXT, sender=TEXT. */
static enum rc do_run(const struct request *r, struct error *err)
{
	struct queue_run_request q = {
	    .select_recipient = slice_absent(), .select_sender = slice_absent()};

	for (uint32_t i = 0; i < r->count; i++) {
		slice_t w = r->words[i];
		if (slice_eqs(w, "force"))
			q.force = true;
		else if (slice_eqs(w, "frozen"))
			q.force = q.force_frozen = true;
		else if (slice_eqs(w, "local"))
			q.local_only = true;
		else if (slice_eqs(w, "first"))
			q.first_only = true;
		else if (slice_starts(w, "recipient="))
			q.select_recipient = slice_sub(w, 10, w.len);
		else if (slice_starts(w, "sender="))
			q.select_sender = slice_sub(w, 7, w.len);
		else
			return error_set(err, RC_FAIL, "unknown word: %.*s", SL_ARG(w));
	}
	deliver_queue_run(r->cfg->deliverer, &q);
	return RC_OK;
}

static enum rc deliver_all(const struct request *r, bool force, struct error *err)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct queue_id id;
		if (!queue_id_parse(r->words[i], &id))
			return error_set(
			    err, RC_FAIL, "%.*s is not a message id", SL_ARG(r->words[i]));
		if (!deliver_message(r->cfg->deliverer, id, force))
			strbuf_printf(r->out,
			    "Message %.*s is not on the queue or is being delivered\n",
			    SL_ARG(r->words[i]));
	}
	return RC_OK;
}

static enum rc do_deliver(const struct request *r, struct error *err)
{
	return deliver_all(r, true, err);
}
/* -Mc: its retry times count. */
static enum rc do_deliver_due(const struct request *r, struct error *err)
{
	return deliver_all(r, false, err);
}

static enum rc do_edit(
    const struct request *r, enum admin_edit what, const char *done, struct error *err)
{
	enum rc worst = RC_OK;

	for (uint32_t i = 0; i < r->count; i++) {
		struct queue_id id;
		struct error why;
		if (!queue_id_parse(r->words[i], &id))
			return error_set(
			    err, RC_FAIL, "%.*s is not a message id", SL_ARG(r->words[i]));
		enum rc rc = deliver_edit(r->cfg->deliverer, id, what, r->who, &why);
		strbuf_printf(r->out, "Message %.*s %s\n", SL_ARG(r->words[i]),
		    rc == RC_OK ? done : why.text);
		if (rc > worst)
			worst = rc;
	}
	return worst == RC_OK ? RC_OK : error_set(err, RC_FAIL, "not all of them");
}

static enum rc do_freeze(const struct request *r, struct error *err)
{
	return do_edit(r, ADMIN_FREEZE, "is now frozen", err);
}
static enum rc do_thaw(const struct request *r, struct error *err)
{
	return do_edit(r, ADMIN_THAW, "is no longer frozen", err);
}
static enum rc do_remove(const struct request *r, struct error *err)
{
	return do_edit(r, ADMIN_REMOVE, "has been removed", err);
}
static enum rc do_give_up(const struct request *r, struct error *err)
{
	return do_edit(r, ADMIN_GIVE_UP, "has been marked for return to its sender", err);
}

/* One message; what each word behind it asks for.  No message is changed by a list that has a
 * mistake in it. */
static enum rc do_envelope(
    const struct request *r, enum envelope_edit what, const char *doing, struct error *err)
{
	slice_t *to = ARENA_ARRAY(r->out->arena, slice_t, r->count);
	struct queue_id id;
	struct error why = {.text = ""};
	enum rc rc = RC_OK;

	if (!queue_id_parse(r->words[0], &id))
		return error_set(err, RC_FAIL, "%.*s is not a message id", SL_ARG(r->words[0]));
	if (r->count < 2 || (what == ENVELOPE_SENDER && r->count > 2)) {
		strbuf_printf(r->out, "Message %.*s - ", SL_ARG(r->words[0]));
		if (r->count < 2)
			strbuf_printf(r->out, "error while %s: no address given\n", doing);
		else
			strbuf_text(r->out, "only one sender address can be specified\n");
		return error_set(err, RC_FAIL, "nothing has been changed");
	}
	for (uint32_t i = 1; i < r->count; i++) {
		rc = address_parse_path(r->out->arena, r->words[i], what == ENVELOPE_SENDER,
		    ADDRESS_LITERAL, &to[i], &why);
		bool bare = rc == RC_OK && to[i].len && slice_find(to[i], '@') == SIZE_MAX;
		if (rc == RC_OK && !bare)
			continue;
		strbuf_printf(r->out, "Message %.*s - error while %s:\n  bad address %.*s: %s\n",
		    SL_ARG(r->words[0]), doing, SL_ARG(r->words[i]),
		    bare ? "domain missing" : why.text);
		return error_set(err, RC_FAIL, "nothing has been changed");
	}
	for (uint32_t i = 1; i < r->count && rc == RC_OK; i++)
		rc = deliver_edit_envelope(r->cfg->deliverer, id, what, to[i], r->who, &why);
	if (rc != RC_OK) {
		strbuf_printf(r->out, "Message %.*s %s\n", SL_ARG(r->words[0]), why.text);
		return error_set(err, RC_FAIL, "not all has been changed");
	}
	strbuf_printf(r->out, "Message %.*s has been modified\n", SL_ARG(r->words[0]));
	return RC_OK;
}

static enum rc do_add(const struct request *r, struct error *err)
{
	return do_envelope(r, ENVELOPE_ADD, "adding recipient", err);
}
static enum rc do_mark(const struct request *r, struct error *err)
{
	return do_envelope(r, ENVELOPE_MARK, "marking as delivered", err);
}
static enum rc do_sender(const struct request *r, struct error *err)
{
	return do_envelope(r, ENVELOPE_SENDER, "editing sender", err);
}

static enum rc do_mark_all(const struct request *r, struct error *err)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct queue_id id;
		struct error why;
		if (!queue_id_parse(r->words[i], &id))
			return error_set(
			    err, RC_FAIL, "%.*s is not a message id", SL_ARG(r->words[i]));
		if (deliver_edit_envelope(r->cfg->deliverer, id, ENVELOPE_MARK_ALL, slice_absent(),
		        r->who, &why) != RC_OK)
			return error_set(
			    err, RC_FAIL, "Message %.*s %s", SL_ARG(r->words[i]), why.text);
		strbuf_printf(r->out, "Message %.*s has been modified\n", SL_ARG(r->words[i]));
	}
	return RC_OK;
}

static enum rc show(const struct request *r, enum message_view what, struct error *err)
{
	struct queue_id id;

	if (r->count != 1 || !queue_id_parse(r->words[0], &id))
		return error_set(err, RC_FAIL, "malformed message id %.*s", SL_ARG(r->words[0]));
	return deliver_show(r->cfg->deliverer, id, what, r->out, err);
}
static enum rc do_view_headers(const struct request *r, struct error *err)
{
	return show(r, VIEW_HEADERS, err);
}
static enum rc do_view_body(const struct request *r, struct error *err)
{
	return show(r, VIEW_BODY, err);
}
static enum rc do_view_message(const struct request *r, struct error *err)
{
	return show(r, VIEW_MESSAGE, err);
}
static enum rc do_view_log(const struct request *r, struct error *err)
{
	return show(r, VIEW_LOG, err);
}

static enum rc do_reload(const struct request *r, struct error *err)
{
	return r->cfg->reload ? r->cfg->reload(r->cfg->ctx, err)
	                      : error_set(err, RC_FAIL, "nobody to ask");
}

/* What parked machines wait for, each with how many there are. */
struct waits {
	struct {
		const char *what;
		size_t n;
	} rows[24];
	size_t count;
};

static void count_wait(void *arg, const char *what, int64_t deadline_us)
{
	struct waits *waits = arg;
	size_t i = 0;

	(void)deadline_us;
	while (i < waits->count && strcmp(waits->rows[i].what, what) != 0)
		i++;
	if (i == sizeof waits->rows / sizeof *waits->rows)
		return;
	if (i == waits->count)
		waits->rows[waits->count++].what = what;
	waits->rows[i].n++;
}

static enum rc do_stats(const struct request *r, struct error *err)
{
	struct queue_counts n;
	struct store_stats s;
	struct pool_stats p;
	struct reactor_counts rc;
	struct waits waits = {.count = 0};

	(void)err;
	queue_index_counts(r->cfg->index, &n);
	store_stats(r->cfg->store, &s);
	pool_stats(r->cfg->pool, &p);
	reactor_count(r->cfg->reactor, &rc);
	strbuf_printf(r->out, "pid %ld\n", (long)getpid());
	strbuf_printf(r->out,
	    "queue messages=%zu deferred=%zu active=%zu frozen=%zu pending=%zu destinations=%zu\n",
	    n.messages, n.state[QUEUE_DEFERRED], n.state[QUEUE_ACTIVE], n.state[QUEUE_FROZEN],
	    n.pending_recipients, n.destinations);
	strbuf_printf(r->out,
	    "store recovered=%d stopped=%d segments=%llu bytes=%llu appended=%llu records=%llu "
	    "syncs=%llu\n",
	    store_is_recovered(r->cfg->store), store_is_stopped(r->cfg->store),
	    (unsigned long long)s.segments, (unsigned long long)s.bytes,
	    (unsigned long long)s.appended, (unsigned long long)s.records,
	    (unsigned long long)s.syncs);
	strbuf_printf(r->out, "pool workers=%u idle=%u blocked=%u peak=%u refused=%llu\n",
	    p.workers, p.idle, p.blocked, p.peak, (unsigned long long)p.refused);
	strbuf_printf(
	    r->out, "sessions live=%zu running=%zu parked=%zu\n", rc.live, rc.running, rc.parked);
	reactor_each_parked(r->cfg->reactor, count_wait, &waits);
	for (size_t i = 0; i < waits.count; i++)
		strbuf_printf(
		    r->out, "waiting n=%zu for %s\n", waits.rows[i].n, waits.rows[i].what);
	return RC_OK;
}

static enum rc do_hints(const struct request *r, struct error *err)
{
	return control_hints(r->cfg->hints, r->words, r->count, r->out, err);
}

static const struct {
	const char *name;
	request_fn *fn;
	uint32_t min_words;
} table[] = {
    {"list", do_list, 0},
    {"undelivered", do_undelivered, 0},
    {"count", do_count, 0},
    {"ids", do_ids, 0},
    {"run", do_run, 0},
    {"deliver", do_deliver, 1},
    {"deliver-due", do_deliver_due, 1},
    {"add-recipients", do_add, 1},
    {"mark-delivered", do_mark, 1},
    {"mark-all", do_mark_all, 1},
    {"sender", do_sender, 1},
    {"view-headers", do_view_headers, 1},
    {"view-body", do_view_body, 1},
    {"view-message", do_view_message, 1},
    {"view-log", do_view_log, 1},
    {"freeze", do_freeze, 1},
    {"thaw", do_thaw, 1},
    {"remove", do_remove, 1},
    {"give-up", do_give_up, 1},
    {"reload", do_reload, 0},
    {"stats", do_stats, 0},
    {"hints", do_hints, 1},
};

enum rc control_answer(const struct control_config *cfg, slice_t request, slice_t who,
    struct strbuf *out, struct error *err)
{
	slice_t *words = ARENA_ARRAY(out->arena, slice_t, MAX_WORDS);
	slice_t rest = request, w;
	uint32_t n = 0;

	while (slice_next(&rest, ' ', &w)) {
		if (w.len == 0)
			continue;
		if (n == MAX_WORDS)
			return error_set(err, RC_FAIL, "more than %d words", MAX_WORDS);
		words[n++] = w;
	}
	if (n == 0)
		return error_set(err, RC_FAIL, "empty request");
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (!slice_eqs(words[0], table[i].name))
			continue;
		if (n - 1 < table[i].min_words)
			return error_set(err, RC_FAIL, "%s wants at least %u words", table[i].name,
			    table[i].min_words);
		struct request r = {
		    .cfg = cfg, .who = who, .words = words + 1, .count = n - 1, .out = out};
		return table[i].fn(&r, err);
	}
	return error_set(err, RC_FAIL, "unknown request: %.*s", SL_ARG(words[0]));
}
