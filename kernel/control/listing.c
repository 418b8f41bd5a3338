/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Exim's -bp form: age, size, id, sender, "*** frozen ***", then the recipients, one a line,
 * delivered ones with D. */
#include "control/control.h"
#include "message/message.h"

/* "25m", "10h", "4d": Exim prints minutes up to 90, hours up to 72, then days. */
static void put_age(struct strbuf *out, int64_t seconds)
{
	int64_t minutes = seconds < 0 ? 0 : (seconds + 30) / 60;

	if (minutes < 90) {
		strbuf_printf(out, "%2lldm ", (long long)minutes);
		return;
	}
	int64_t hours = (minutes + 30) / 60;
	if (hours < 72)
		strbuf_printf(out, "%2lldh ", (long long)hours);
	else
		strbuf_printf(out, "%2lldd ", (long long)((hours + 12) / 24));
}

/* Exim's five columns: "123", "1.2K", "21K", "1.5M". */
static void put_size(struct strbuf *out, uint64_t bytes)
{
	if (bytes < 1024)
		strbuf_printf(out, "%5llu", (unsigned long long)bytes);
	else if (bytes < 10 * 1024)
		strbuf_printf(out, "%4.1fK", (double)bytes / 1024.0);
	else if (bytes < 1024 * 1024)
		strbuf_printf(out, "%4lluK", (unsigned long long)((bytes + 512) / 1024));
	else if (bytes < 10 * 1024 * 1024)
		strbuf_printf(out, "%4.1fM", (double)bytes / 1048576.0);
	else
		strbuf_printf(out, "%4lluM", (unsigned long long)((bytes + 524288) / 1048576));
}

/* What PROGRESS says of recipient `index`: "KIND INDEX TRANSPORT PARENT TEXT" in lines, and lines
 * of other kinds.  Those that it has become are shown, each once. */
static void put_children(const struct queue_message *q, size_t index, struct strbuf *out)
{
	for (size_t i = 0; i < q->n_notes; i++) {
		slice_t rest = q->notes[i], line;
		while (slice_next(&rest, '\n', &line)) {
			slice_t words = line, field[4];
			int64_t recipient;
			unsigned n = 0;
			while (n < 4 && slice_next(&words, ' ', &field[n]))
				n++;
			/* the first is a digit and the recipient's number in one */
			if (n < 4 || field[0].len < 2 || !ascii_isdigit(field[0].ptr[0]) ||
			    !slice_to_i64(
			        slice_sub(field[0], 1, field[0].len), 10, false, &recipient) ||
			    recipient != (int64_t)index ||
			    slice_eq(words, q->recipients[index].address))
				continue;
			strbuf_printf(out, "       +D %.*s\n", SL_ARG(words));
		}
	}
}

/* The login of an untrusted user who said who the sender is; or nothing. */
static void put_login(const struct queue_message *q, struct strbuf *out)
{
	struct message *m = message_new();
	struct error err;

	if (message_decode_envelope(m, q->facts, &err) == RC_OK && !slice_is_absent(m->origin_user))
		strbuf_printf(out, " (%.*s)", SL_ARG(m->origin_user));
	message_unref(&m);
}

static void put_entry(
    const struct queue_entry *e, const struct control_list *what, struct strbuf *out)
{
	struct queue_view v;
	struct queue_message q = {.n_notes = 0};
	struct error err;
	char id[QUEUE_ID_LEN + 1];

	queue_entry_view(e, &v);
	queue_id_text(v.id, id);
	struct arena *a = NULL;
	if (what->store && (what->children || (v.flags & MESSAGE_FLAG_SENDER_SET))) {
		a = arena_new(0);
		if (store_load(what->store, a, v.id, 0, &q, &err) != RC_OK)
			q = (struct queue_message){.n_notes = 0}; /* it has gone meanwhile */
	}
	put_age(out, (what->now_us - v.received_us) / US_PER_SEC);
	put_size(out, v.size);
	strbuf_printf(out, " %s <%.*s>", id, SL_ARG(v.sender));
	if (v.flags & MESSAGE_FLAG_SENDER_SET)
		put_login(&q, out);
	strbuf_text(out, v.state == QUEUE_FROZEN ? " *** frozen ***\n" : "\n");
	for (uint32_t i = 0; i < v.n_recipients; i++) {
		enum queue_recipient_state st;
		slice_t addr = queue_entry_recipient(e, i, &st);
		if (st == QUEUE_RCPT_REMOVED || (what->undelivered && st != QUEUE_RCPT_PENDING))
			continue;
		strbuf_printf(
		    out, "        %c %.*s\n", st == QUEUE_RCPT_PENDING ? ' ' : 'D', SL_ARG(addr));
		if (what->children && i < q.n_recipients)
			put_children(&q, i, out);
	}
	strbuf_char(out, '\n');
	arena_free(&a);
}

static bool is_wanted(const struct queue_entry *e, const struct control_list *what)
{
	char id[QUEUE_ID_LEN + 1];

	if (what->count == 0)
		return true;
	queue_id_text(queue_entry_id(e), id);
	for (uint32_t i = 0; i < what->count; i++)
		if (slice_eqs(what->only[i], id))
			return true;
	return false;
}

void control_list_queue(
    struct queue_index *index, const struct control_list *what, struct strbuf *out)
{
	struct queue_list l;

	queue_index_list(index, what->unordered ? QUEUE_UNORDERED : QUEUE_BY_ID, &l);
	for (size_t i = 0; i < l.count; i++)
		if (is_wanted(l.entries[i], what))
			put_entry(l.entries[i], what, out);
	queue_list_free(&l);
}
