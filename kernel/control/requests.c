/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One row and one function for each request. */
#include "base/codec.h"
#include "control/control.h"
#include "expand/regex.h"
#include "log/log.h"
#include "message/message.h"

#include <unistd.h>

#define MAX_WORDS 4096

struct request {
	const struct control_config *cfg;
	const struct control_asker *asker;
	slice_t who;          /* the asker's name */
	const slice_t *words; /* behind the name */
	uint32_t count;
	struct strbuf *out;
};
typedef enum rc request_fn(const struct request *r, struct error *err);

/* Words: letters of -bp behind a hyphen ("-ru"), then ids. */
static enum rc do_list(const struct request *r, struct error *err)
{
	struct control_list l = {
	    .only = r->words, .count = r->count, .now_us = clock_wall_us(), .store = r->cfg->store};

	if (r->count && r->words[0].len && r->words[0].ptr[0] == '-') {
		l.unordered = slice_find(r->words[0], 'r') != SIZE_MAX;
		l.undelivered = slice_find(r->words[0], 'u') != SIZE_MAX;
		l.children = slice_find(r->words[0], 'a') != SIZE_MAX;
		l.only++;
		l.count--;
	}
	for (uint32_t i = 0; i < l.count; i++) {
		struct queue_id id;
		if (!queue_id_parse(l.only[i], &id))
			return error_set(
			    err, RC_FAIL, "malformed message id %.*s", SL_ARG(l.only[i]));
	}
	control_list_queue(r->cfg->index, &l, r->out);
	return RC_OK;
}

static enum rc do_undelivered(const struct request *r, struct error *err)
{
	struct control_list l = {.only = r->words,
	    .count = r->count,
	    .undelivered = true,
	    .now_us = clock_wall_us(),
	    .store = r->cfg->store};

	(void)err;
	control_list_queue(r->cfg->index, &l, r->out);
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

static enum rc take_pattern(
    const struct request *r, slice_t text, const struct regex **out, struct error *err)
{
	text.flags |= HEDDLE_CLEAN; /* an administrator's */
	return regex_compile(r->out->arena, text, REGEX_CASELESS, out, err);
}

static enum rc take_id(slice_t text, struct queue_id *out, struct error *err)
{
	return queue_id_parse(text, out)
	           ? RC_OK
	           : error_set(err, RC_FAIL, "malformed message id %.*s", SL_ARG(text));
}

/* What stands behind NAME= in a word. */
static bool value_of(slice_t word, const char *name, slice_t *out)
{
	if (!slice_starts(word, name))
		return false;
	*out = slice_sub(word, strlen(name), word.len);
	return true;
}

/* Words: force, frozen, first; recipient=, sender=, recipient-matches=, sender-matches= with a text
 * in base64; from=ID, to=ID. */
static enum rc do_run(const struct request *r, struct error *err)
{
	struct queue_run_request q = {
	    .select_recipient = slice_absent(), .select_sender = slice_absent()};
	enum rc rc = RC_OK;

	for (uint32_t i = 0; i < r->count && rc == RC_OK; i++) {
		slice_t w = r->words[i], v, text = SL("");
		bool encoded = value_of(w, "recipient=", &v) || value_of(w, "sender=", &v) ||
		               value_of(w, "recipient-matches=", &v) ||
		               value_of(w, "sender-matches=", &v);
		if (encoded && !base64_decode(r->out->arena, v, &text))
			return error_set(err, RC_FAIL, "no base64: %.*s", SL_ARG(w));
		if (slice_eqs(w, "force"))
			q.force = true;
		else if (slice_eqs(w, "frozen"))
			q.force = q.force_frozen = true;
		else if (slice_eqs(w, "first"))
			q.first_only = true;
		else if (slice_starts(w, "recipient="))
			q.select_recipient = text;
		else if (slice_starts(w, "sender="))
			q.select_sender = text;
		else if (slice_starts(w, "recipient-matches="))
			rc = take_pattern(r, text, &q.recipient_regex, err);
		else if (slice_starts(w, "sender-matches="))
			rc = take_pattern(r, text, &q.sender_regex, err);
		else if (value_of(w, "from=", &v))
			rc = take_id(v, &q.from, err);
		else if (value_of(w, "to=", &v))
			rc = take_id(v, &q.to, err);
		else
			return error_set(err, RC_FAIL, "unknown word: %.*s", SL_ARG(w));
	}
	if (rc == RC_OK)
		deliver_queue_run(r->cfg->deliverer, &q);
	return rc == RC_OK ? RC_OK : RC_FAIL;
}

static bool is_active(struct queue_index *index, struct queue_id id)
{
	struct queue_entry *e = queue_index_find(index, id);
	struct queue_view v;

	if (!e)
		return false;
	queue_entry_view(e, &v);
	queue_entry_unref(&e);
	return v.state == QUEUE_ACTIVE;
}

/* Is one of these being delivered?  Whoever waits for that asks again: no thread of ours does. */
static enum rc do_busy(const struct request *r, struct error *err)
{
	bool active = false;
	struct queue_id id;

	for (uint32_t i = 0; i < r->count; i++) {
		if (take_id(r->words[i], &id, err) != RC_OK)
			return RC_FAIL;
		active = active || is_active(r->cfg->index, id);
	}
	strbuf_text(r->out, active ? "busy\n" : "done\n");
	return RC_OK;
}

/* -z: a line for the log. */
static enum rc do_note(const struct request *r, struct error *err)
{
	slice_t text;

	if (!r->cfg->log || !base64_decode(r->out->arena, r->words[0], &text))
		return error_set(err, RC_FAIL, "there is no log, or no text");
	log_main(r->cfg->log, slice_absent(), "%.*s", SL_ARG(text));
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

/* It is what it is to become. */
static bool no_use(
    const struct request *r, struct queue_id id, enum admin_edit what, struct error *why)
{
	struct queue_entry *e = queue_index_find(r->cfg->index, id);
	struct queue_view v;

	if (!e)
		return false;
	queue_entry_view(e, &v);
	queue_entry_unref(&e);
	if (what == ADMIN_FREEZE && v.state == QUEUE_FROZEN)
		(void)error_set(why, RC_FAIL, "is already frozen");
	else if (what == ADMIN_THAW && v.state == QUEUE_DEFERRED)
		(void)error_set(why, RC_FAIL, "is not frozen");
	else
		return false;
	return true;
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
		enum rc rc = no_use(r, id, what, &why)
		                 ? RC_FAIL
		                 : deliver_edit(r->cfg->deliverer, id, what, r->who, &why);
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
/* Did that user of this host send it? */
static bool is_own(const struct request *r, slice_t word)
{
	struct queue_id id;
	struct queue_message q;
	struct error err;
	struct message *m = message_new();
	bool own = r->cfg->store && queue_id_parse(word, &id) &&
	           store_load(r->cfg->store, r->out->arena, id, 0, &q, &err) == RC_OK &&
	           message_decode_envelope(m, q.facts, &err) == RC_OK && m->origin_uid > 0 &&
	           m->origin_uid - 1 == (int64_t)r->asker->uid;

	message_unref(&m);
	return own;
}

static enum rc do_remove(const struct request *r, struct error *err)
{
	for (uint32_t i = 0; i < r->count && !r->asker->admin; i++)
		if (!is_own(r, r->words[i]))
			return error_set(err, RC_FAIL, "Permission denied");
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
static enum rc do_view_facts(const struct request *r, struct error *err)
{
	return show(r, VIEW_FACTS, err);
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

/* What the asker must be allowed; remove looks itself. */
enum need { NEED_NOTHING, NEED_LIST, NEED_PROD, NEED_ADMIN };

static bool may(const struct control_asker *who, enum need need)
{
	return who->admin || need == NEED_NOTHING || (need == NEED_LIST && who->may_list) ||
	       (need == NEED_PROD && who->may_prod);
}

static const struct {
	const char *name;
	request_fn *fn;
	uint32_t min_words;
	enum need need;
} table[] = {
    {"list", do_list, 0, NEED_LIST},
    {"undelivered", do_undelivered, 0, NEED_LIST},
    {"count", do_count, 0, NEED_LIST},
    {"ids", do_ids, 0, NEED_LIST},
    {"run", do_run, 0, NEED_PROD},
    {"deliver", do_deliver, 1, NEED_PROD},
    {"deliver-due", do_deliver_due, 1, NEED_PROD},
    {"add-recipients", do_add, 1, NEED_ADMIN},
    {"mark-delivered", do_mark, 1, NEED_ADMIN},
    {"mark-all", do_mark_all, 1, NEED_ADMIN},
    {"sender", do_sender, 1, NEED_ADMIN},
    {"view-headers", do_view_headers, 1, NEED_ADMIN},
    {"view-body", do_view_body, 1, NEED_ADMIN},
    {"view-message", do_view_message, 1, NEED_ADMIN},
    {"view-log", do_view_log, 1, NEED_ADMIN},
    {"view-facts", do_view_facts, 1, NEED_ADMIN},
    {"busy", do_busy, 1, NEED_NOTHING},
    {"note", do_note, 1, NEED_ADMIN},
    {"freeze", do_freeze, 1, NEED_ADMIN},
    {"thaw", do_thaw, 1, NEED_ADMIN},
    {"remove", do_remove, 1, NEED_NOTHING},
    {"give-up", do_give_up, 1, NEED_ADMIN},
    {"reload", do_reload, 0, NEED_ADMIN},
    {"stats", do_stats, 0, NEED_ADMIN},
    {"hints", do_hints, 1, NEED_ADMIN},
};

enum rc control_answer(const struct control_config *cfg, slice_t request,
    const struct control_asker *who, struct strbuf *out, struct error *err)
{
	slice_t *words = ARENA_ARRAY(out->arena, slice_t, MAX_WORDS);
	slice_t rest = request, word;
	uint32_t n = 0;

	while (slice_next(&rest, ' ', &word)) {
		if (word.len == 0)
			continue;
		if (n == MAX_WORDS)
			return error_set(err, RC_FAIL, "more than %d words", MAX_WORDS);
		words[n++] = word;
	}
	if (n == 0)
		return error_set(err, RC_FAIL, "empty request");
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (!slice_eqs(words[0], table[i].name))
			continue;
		if (n - 1 < table[i].min_words)
			return error_set(err, RC_FAIL, "%s wants at least %u words", table[i].name,
			    table[i].min_words);
		if (!may(who, table[i].need))
			return error_set(err, RC_FAIL, "permission denied");
		struct request r = {.cfg = cfg,
		    .asker = who,
		    .who = who->name,
		    .words = words + 1,
		    .count = n - 1,
		    .out = out};
		return table[i].fn(&r, err);
	}
	return error_set(err, RC_FAIL, "unknown request: %.*s", SL_ARG(words[0]));
}
