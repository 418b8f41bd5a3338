/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Exim's -bp form: age, size, id, sender, "*** frozen ***", then the recipients, one a line,
 * delivered ones with D. */
#include "control/control.h"

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

static void put_entry(
    const struct queue_entry *e, bool undelivered_only, int64_t now_us, struct strbuf *out)
{
	struct queue_view v;
	char id[QUEUE_ID_LEN + 1];

	queue_entry_view(e, &v);
	queue_id_text(v.id, id);
	put_age(out, (now_us - v.received_us) / US_PER_SEC);
	put_size(out, v.size);
	strbuf_printf(out, " %s <%.*s>%s\n", id, SL_ARG(v.sender),
	    v.state == QUEUE_FROZEN ? " *** frozen ***" : "");
	for (uint32_t i = 0; i < v.n_recipients; i++) {
		enum queue_recipient_state st;
		slice_t addr = queue_entry_recipient(e, i, &st);
		if (st == QUEUE_RCPT_REMOVED || (undelivered_only && st != QUEUE_RCPT_PENDING))
			continue;
		strbuf_printf(
		    out, "        %c %.*s\n", st == QUEUE_RCPT_PENDING ? ' ' : 'D', SL_ARG(addr));
	}
	strbuf_char(out, '\n');
}

static bool is_wanted(const struct queue_entry *e, const slice_t *only, uint32_t count)
{
	char id[QUEUE_ID_LEN + 1];

	if (count == 0)
		return true;
	queue_id_text(queue_entry_id(e), id);
	for (uint32_t i = 0; i < count; i++)
		if (slice_eqs(only[i], id))
			return true;
	return false;
}

void control_list_queue(struct queue_index *index, const slice_t *only, uint32_t count,
    bool undelivered_only, int64_t now_us, struct strbuf *out)
{
	struct queue_list l;

	queue_index_list(index, QUEUE_BY_ID, &l);
	for (size_t i = 0; i < l.count; i++)
		if (is_wanted(l.entries[i], only, count))
			put_entry(l.entries[i], undelivered_only, now_us, out);
	queue_list_free(&l);
}
