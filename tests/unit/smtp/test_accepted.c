/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the socket into the real store and back out of it; and what is done to the header on the
 * way. */
#include "smtp/server.h"
#include "unit/smtp/rig.h"

#define CONFIG                                                                                    \
	"primary_hostname = mx.test.example\nqualify_domain = qual.example\nhost_lookup =\n"      \
	"smtp_accept_max = 0\nsmtp_banner = $smtp_active_hostname ESMTP\ntls_advertise_hosts =\n" \
	"acl_smtp_rcpt = check_rcpt\n"
#define ACLS                                                         \
	"begin acl\ncheck_rcpt:\n"                                   \
	"  warn local_parts = submit\n       control = submission\n" \
	"  warn local_parts = queue\n       control = queue_only\n"  \
	"  warn local_parts = freeze\n       control = freeze\n"     \
	"  accept set acl_m_x = kept\n"
#define DATA "354 Enter message, ending with \".\" on a line by itself"

static struct rig g;

static bool has(slice_t text, const char *part)
{
	return slice_search(text, slice_cstr(part)) != SIZE_MAX;
}

static void send_one(const char *rcpt, const char *content)
{
	static struct rig_client c;
	char line[100];
	rig_connect(&g, &c);
	(void)rig_want(&c, "220 *");
	(void)rig_say(&c, "EHLO c.example", "250-*");
	(void)rig_say(&c, "MAIL FROM:<a@b.example>", "250 OK");
	(void)snprintf(line, sizeof line, "RCPT TO:<%s@d.example>", rcpt);
	(void)rig_say(&c, line, "250 Accepted");
	(void)rig_say(&c, "DATA", DATA);
	(void)rig_send(&c, content, strlen(content));
	(void)rig_say(&c, "\r\n.", "250 OK id=*");
	rig_close(&c);
}

TEST(fixups)
{
	if (rig_start(&g, CONFIG ACLS)) {
		send_one("plain", "Return-path: <x@y>\r\nDelivery-date: z\r\nTo: x\r\n\r\nbody");
		slice_t t = slice_tainted(g.messages[0].text, g.messages[0].header_len);
		CHECK(!has(t, "Return-path") && !has(t, "Delivery-date"));
		CHECK(!has(t, "Message-Id:") && !has(t, "\nDate:") && !has(t, "\nFrom:"));
		CHECK(g.messages[0].deliver_now);
		send_one("submit", "To: x\r\nSender: evil@x\r\n\r\nbody");
		t = slice_tainted(g.messages[1].text, g.messages[1].header_len);
		CHECK(has(t, "\nMessage-Id: <E1aaaaa-000001-AA@mx.test.example>\n"));
		CHECK(has(t, "\nFrom: a@b.example\n"));
		CHECK(has(t, "\nDate: "));
		CHECK(!has(t, "\nSender:"));
		send_one("submit", "From: q@r\r\nDate: today\r\nMessage-ID: <z@y>\r\n\r\nbody");
		t = slice_tainted(g.messages[2].text, g.messages[2].header_len);
		CHECK(has(t, "\nFrom: q@r\nDate: today\nMessage-ID: <z@y>\n"));
		send_one("queue", "\r\nx");
		CHECK(!g.messages[3].deliver_now);
		send_one("freeze", "\r\nx");
		CHECK(!g.messages[4].deliver_now);
	}
	rig_stop(&g);
}

struct store_rig {
	struct storage_io *io;
	struct store *store;
	struct queue_index *index;
	struct smtp_queue_hooks *hooks;
	_Atomic int handed_over;
};

static void taken(void *ctx, struct message *m, struct queue_entry *entry, bool deliver_now)
{
	struct store_rig *s = ctx;
	(void)m, (void)deliver_now;
	atomic_fetch_add(&s->handed_over, 1);
	queue_index_release(s->index, &entry, INT64_MAX);
}

static bool open_store(struct store_rig *s)
{
	char dir[600];
	struct error err = {0};
	(void)snprintf(dir, sizeof dir, "%s/queue", tap_dir());
	if (!CHECK_EQ_INT(storage_real_new(dir, &s->io, &err), RC_OK) ||
	    !CHECK_EQ_INT(store_open(s->io, &(struct store_options){0}, &s->store, &err), RC_OK))
		return false;
	CHECK_EQ_INT(store_recover(s->store, NULL, NULL, &err), RC_OK);
	s->index = queue_index_new();
	s->hooks = smtp_store_hooks(s->store, s->index, taken, s);
	return true;
}

/* What the store gives back is what the client sent. */
static void check_stored(
    struct store_rig *s, struct queue_id id, const char *rcpt, size_t body_size)
{
	struct arena *a = arena_new(0);
	struct queue_message q;
	struct error err = {0};
	struct message *m = message_new();
	if (CHECK_EQ_INT(store_load(s->store, a, id, STORE_LOAD_HEADERS, &q, &err), RC_OK)) {
		CHECK_EQ_STR(q.sender, "a@b.example");
		CHECK_EQ_INT(q.n_recipients, 1);
		CHECK_EQ_STR(q.recipients[0].address, rcpt);
		CHECK_EQ_INT(q.body_size, body_size);
		CHECK(has(q.headers[0], "\nSubject: stored\n"));
		CHECK_EQ_INT(message_decode_envelope(m, q.facts, &err), RC_OK);
		CHECK_EQ_STR(m->session.sender_host_address, "192.0.2.1");
		CHECK_EQ_STR(m->session.sender_fullhost, "(c.example) [192.0.2.1]");
		CHECK_EQ_STR(m->session.received_protocol, "esmtp");
		slice_t *v = m->facts.acl_m ? map_get(m->facts.acl_m, SL("_x")) : NULL;
		if (CHECK(v != NULL))
			CHECK_EQ_STR(*v, "kept");
	}
	struct store_reader *r = NULL;
	if (CHECK_EQ_INT(store_reader_open(s->store, id, &r, &err), RC_OK)) {
		char buf[10000];
		size_t n, total = 0;
		while (store_reader_read(r, buf, sizeof buf, &n, &err) == RC_OK && n)
			total += n;
		CHECK_EQ_INT(total, body_size);
		store_reader_close(&r);
	}
	message_unref(&m);
	arena_free(&a);
}

TEST(through_the_store)
{
	struct store_rig s = {0};
	size_t large = 400000;
	char *text = malloc(large + 100);
	if (rig_start(&g, CONFIG ACLS) && open_store(&s)) {
		struct error err = {0};
		smtp_server_free(&g.server);
		struct smtp_server_config sc = {.snapshot = rig_snapshot,
		    .ctx = &g,
		    .log = g.log,
		    .reactor = g.reactor,
		    .pool = g.pool,
		    .queue = s.hooks,
		    .budget = &g.budget,
		    .services = &g.services};
		CHECK_EQ_INT(smtp_server_new(&sc, &g.server, &err), RC_OK);
		send_one("small", "Subject: stored\r\n\r\nbody");
		int n = snprintf(text, 100, "Subject: stored\r\n\r\n");
		memset(text + n, 'x', large);
		text[(size_t)n + large] = '\0';
		send_one("large", text);
		struct queue_list l;
		for (int i = 0; i < 200 && atomic_load(&s.handed_over) < 2; i++)
			(void)poll(NULL, 0, 10);
		CHECK_EQ_INT(atomic_load(&s.handed_over), 2);
		queue_index_list(s.index, QUEUE_BY_ID, &l);
		if (CHECK_EQ_INT(l.count, 2))
			for (size_t i = 0; i < 2; i++) {
				bool small = slice_eqs(queue_entry_recipient(l.entries[i], 0, NULL),
				    "small@d.example");
				check_stored(&s, queue_entry_id(l.entries[i]),
				    small ? "small@d.example" : "large@d.example",
				    small ? 5 : large + 1);
			}
		queue_list_free(&l);
		/* the committer may still be on its way out of a post: it ends before the pool */
		smtp_server_stop(g.server);
		CHECK(reactor_wait_empty(g.reactor, clock_mono_us() + 10 * US_PER_SEC));
		store_close(&s.store);
	}
	rig_stop(&g);
	smtp_store_hooks_free(&s.hooks);
	queue_index_free(&s.index);
	store_close(&s.store);
	storage_real_free(&s.io);
	free(text);
}

TAP_MAIN()
