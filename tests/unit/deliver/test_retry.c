/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Retry rules: which one, and when next.  Specification, chapter 32. */
#include "base/codec.h"
#include "unit/deliver/mill.h"

#include <stdlib.h>

#define NOW (INT64_C(1700000000) * US_PER_SEC)

static struct mill m; /* no queue of its own: configuration and drivers only */
static struct attempt at;
static struct queue_recipient recipient;
static struct address addr;
static struct group group;
static struct vec hosts;

static void begin(const char *rules)
{
	mill_rules(&m,
	    "begin routers\nuser:\n driver = accept\n local_parts = joe\n transport = p\n"
	    "all:\n driver = accept\n transport = p\n"
	    "begin transports\np:\n driver = probe\nlocal:\n driver = appendfile\n file = "
	    "/nowhere/x\n user = nobody\n"
	    "domainwide:\n driver = appendfile\n file = /nowhere/x\n user = nobody\n "
	    "no_retry_use_local_part\n",
	    rules);
	static struct message msg;
	msg.sender = SL("s@from.example");
	recipient = (struct queue_recipient){.retry = slice_absent()};
	at = (struct attempt){.arena = m.arena, .cfg = m.cfg, .m = &msg};
	at.state.recipients = &recipient;
	at.state.n_recipients = 1;
	eval_init(&at.ev, m.arena, m.cfg);
	at.ev.services = &m.services;
	at.ev.process = config_process(m.cfg);
	at.ev.deadline_us = clock_mono_us() + 60 * US_PER_SEC;
	addr = (struct address){.text = SL("joe@a.example"), .logged = slice_absent()};
	addr.router = config_router_named(m.cfg, SL("all"));
	hosts = (struct vec){0};
	group =
	    (struct group){.transport = config_transport_named(m.cfg, SL("p")), .hosts = &hosts};
}

static void end(void)
{
	mill_rules_end(&m);
}

static void add_host(const char *name, const char *address, uint32_t flags)
{
	struct heddle_route_host *h = VEC_PUSH(m.arena, &hosts, struct heddle_route_host);
	*h = (struct heddle_route_host){
	    .name = slice_cstr(name), .address = slice_cstr(address), .flags = flags};
}

/* The interval in seconds, when it failed first `since` seconds ago and last `last`; -1: given up.
 */
static int64_t next_after(
    int64_t since, int64_t last, const struct group *g, const struct outcome *o)
{
	struct retry_state now = {.first_failed_us = NOW - since * US_PER_SEC,
	    .last_try_us = NOW,
	    .tries = 2,
	    .why = SL("x")};
	struct retry_state old = {.first_failed_us = NOW - since * US_PER_SEC,
	    .last_try_us = NOW - last * US_PER_SEC,
	    .tries = 1,
	    .why = SL("x")};
	int64_t next = 0;

	recipient.retry = last >= 0 ? retry_encode(m.arena, &old) : slice_absent();
	if (!retry_next(&at, &addr, g, o, &now, NOW, &next))
		return -1;
	CHECK_EQ_INT((next - NOW) % US_PER_SEC, 0);
	return (next - NOW) / US_PER_SEC;
}

TEST(state_survives_being_written_down)
{
	struct arena *a = arena_new(0);
	struct retry_state r = {
	    .first_failed_us = NOW, .last_try_us = NOW + 5, .tries = 77, .why = SL("because")};
	slice_t bytes = retry_encode(a, &r);
	struct retry_state back = retry_decode(bytes);
	CHECK_EQ_INT(back.first_failed_us, NOW);
	CHECK_EQ_INT(back.last_try_us, NOW + 5);
	CHECK_EQ_INT(back.tries, 77);
	CHECK_EQ_STR(back.why, "because");
	/* what is not ours is nothing */
	for (uint32_t n = 0; n < 21; n++)
		CHECK_EQ_INT(retry_decode(slice_sub(bytes, 0, n)).tries, 0);
	char *p = arena_bytes(a, bytes.len);
	memcpy(p, bytes.ptr, bytes.len);
	p[0] = 9;
	CHECK_EQ_INT(retry_decode(slice_tainted(p, bytes.len)).first_failed_us, 0);
	p[0] = 1;
	put_le64(p + 9, 1); /* tried last before it failed first */
	CHECK_EQ_INT(retry_decode(slice_tainted(p, bytes.len)).first_failed_us, 0);
	/* a long text is cut */
	char *big = arena_bytes(a, 5000);
	memset(big, 'x', 5000);
	r.why = slice_tainted(big, 5000);
	CHECK_EQ_INT(retry_decode(retry_encode(a, &r)).why.len, 400);
	arena_free(&a);
}

TEST(intervals_and_cutoffs)
{
	begin("* * F,2h,15m; G,16h,1h,1.5; F,4d,6h\n");
	static const struct {
		int64_t since, last, want;
	} rows[] = {
	    {0, -1, 900},     /* the first failure */
	    {3600, 900, 900}, /* F: always the same */
	    {7199, 900, 900},
	    {7200, 900, 3600},   /* the first set is over: G begins with its first interval */
	    {10000, 3600, 5400}, /* times 1.5 */
	    {20000, 5400, 8100},
	    {20000, 5399, 5400}, /* the first of the series that is longer than the last */
	    {20000, 5401, 8100},
	    {57600, 8100, 21600}, /* F again */
	    {345599, 21600, 21600},
	    {345600, 21600, -1}, /* the last cutoff: given up */
	    {999999999, 21600, -1},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!CHECK_EQ_INT(
		        next_after(rows[i].since, rows[i].last, NULL, NULL), rows[i].want))
			printf("# row %zu\n", i);
	end();
}

/* An attempt that came late does not make the next interval longer; one that somebody forced makes
 * it no longer either. */
TEST(the_planned_interval_counts)
{
	begin("* * G,16h,1h,2\n");
	recipient.next_attempt_us =
	    NOW - 1800 * US_PER_SEC; /* planned an hour after the last one; now half an hour late */
	CHECK_EQ_INT(next_after(10000, 5400, NULL, NULL), 7200);
	recipient.next_attempt_us = NOW + 1800 * US_PER_SEC; /* forced, half an hour early */
	CHECK_EQ_INT(next_after(10000, 1800, NULL, NULL), 3600);
	end();
}

TEST(never_longer_than_retry_interval_max)
{
	begin("* * G,100d,1h,3; F,200d,50h\n");
	CHECK_EQ_INT(next_after(900000, 20 * 3600, NULL, NULL), 24 * 3600);
	CHECK_EQ_INT(next_after(100 * 86400, 24 * 3600, NULL, NULL), 24 * 3600);
	end();
}

TEST(random_intervals_stay_between)
{
	begin("* * H,16h,10m,2\n");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 600);
	bool differ = false;
	int64_t first = 0;
	for (int i = 0; i < 200; i++) {
		int64_t got = next_after(7000, 3600, NULL, NULL);
		CHECK(got >= 600 && got <= 7200);
		if (i == 0)
			first = got;
		differ = differ || got != first;
	}
	CHECK(differ);
	end();
}

TEST(no_rule_no_retry)
{
	begin("b.example * F,1h,15m\nc.example *\n");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), -1);
	addr.text = SL("x@b.example");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 900);
	addr.text = SL("x@c.example"); /* a rule without parameters */
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), -1);
	end();
}

TEST(errors_by_name)
{
	static const struct {
		const char *error, *text;
		int smtp;
		uint32_t about;
		bool mx, want;
	} rows[] = {
	    {"rcpt_4xx", "SMTP error from remote mail server after RCPT TO:<a@b>: 452 no", 452,
	        HEDDLE_X_RECIPIENT, false, true},
	    {"rcpt_45x", "after RCPT", 452, HEDDLE_X_RECIPIENT, false, true},
	    {"rcpt_452", "after RCPT", 452, HEDDLE_X_RECIPIENT, false, true},
	    {"rcpt_451", "after RCPT", 452, HEDDLE_X_RECIPIENT, false, false},
	    {"rcpt_4xx", "after RCPT", 552, HEDDLE_X_RECIPIENT, false, false},
	    {"rcpt_4xx", "after MAIL", 452, HEDDLE_X_MESSAGE, false, false},
	    {"mail_4xx", "after MAIL FROM:<a@b>: 452", 452, HEDDLE_X_MESSAGE, false, true},
	    {"mail_4xx", "after end of data: 452", 452, HEDDLE_X_MESSAGE, false, false},
	    {"data_4xx", "after end of data: 452", 452, HEDDLE_X_MESSAGE, false, true},
	    {"data_45x", "after DATA: 452", 452, HEDDLE_X_MESSAGE, false, true},
	    {"data_4xx", "after MAIL FROM:<a@b>: 452", 452, HEDDLE_X_MESSAGE, false, false},
	    {"timeout", "Connection timed out", 0, HEDDLE_X_HOST, false, true},
	    {"timeout", "Connection timed out: SMTP timeout after DATA", 0, HEDDLE_X_HOST, true,
	        true},
	    {"timeout_connect", "Connection timed out", 0, HEDDLE_X_HOST, false, true},
	    {"timeout_connect", "Connection timed out: SMTP timeout after DATA", 0, HEDDLE_X_HOST,
	        false, false},
	    {"timeout_connect_MX", "Connection timed out", 0, HEDDLE_X_HOST, true, true},
	    {"timeout_connect_MX", "Connection timed out", 0, HEDDLE_X_HOST, false, false},
	    {"timeout_A", "Connection timed out", 0, HEDDLE_X_HOST, false, true},
	    {"timeout_A", "Connection timed out", 0, HEDDLE_X_HOST, true, false},
	    {"refused", "Connection refused", 0, HEDDLE_X_HOST, true, true},
	    {"refused_MX", "Connection refused", 0, HEDDLE_X_HOST, true, true},
	    {"refused_A", "Connection refused", 0, HEDDLE_X_HOST, true, false},
	    {"refused", "Connection timed out", 0, HEDDLE_X_HOST, true, false},
	    {"lost_connection", "Remote host closed connection in response to EHLO", 0,
	        HEDDLE_X_HOST, true, true},
	    {"quota", "mailbox is over quota", 0, HEDDLE_X_QUOTA, true, true},
	    {"quota", "mailbox is over quota", 0, 0, true,
	        false}, /* a text is not enough: the driver says so */
	    {"quota", "Connection refused", 0, HEDDLE_X_HOST, true, false},
	    {"auth_failed", "authentication required but authentication attempt(s) failed", 0,
	        HEDDLE_X_HOST, true, true},
	    {"auth_failed", "Connection refused", 0, HEDDLE_X_HOST, true, false},
	    {"tls_required", "a TLS session is required, but the server did not offer TLS support",
	        0, HEDDLE_X_HOST, true, true},
	    {"tls_required", "SMTP error from remote mail server after STARTTLS: 454 later", 454,
	        HEDDLE_X_HOST, true, true},
	    {"tls_required", "SMTP error from remote mail server after EHLO mx: 454 later", 454,
	        HEDDLE_X_HOST, true, false},
	    {"quota_4d", "mailbox is over quota", 0, HEDDLE_X_QUOTA, true,
	        false}, /* somebody read it just now */
	    {"lookup", "Connection refused", 0, HEDDLE_X_HOST, true, false},
	    {"*", "whatever", 0, 0, true, true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char rules[100];
		(void)snprintf(rules, sizeof rules, "* %s F,1h,15m\n", rows[i].error);
		begin(rules);
		add_host("mx1.example", "192.0.2.1", rows[i].mx ? HEDDLE_H_MX : 0);
		struct outcome o = {.is_set = true,
		    .result = RC_DEFER,
		    .smtp = rows[i].smtp,
		    .about = rows[i].about,
		    .text = slice_cstr(rows[i].text)};
		if (!CHECK_EQ_INT(next_after(0, -1, &group, &o), rows[i].want ? 900 : -1))
			printf("# row %zu: %s\n", i, rows[i].error);
		end();
	}
	begin("* lookup F,1h,15m\n");
	addr.logged = SL("host lookup did not complete");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 900);
	addr.logged = SL("said :defer:");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), -1);
	end();
}

/* Which text a pattern is held against depends on what failed. */
TEST(patterns)
{
	struct outcome o = {.is_set = true, .result = RC_DEFER, .text = SL("no")};

	begin("joe@a.example * F,1h,1m\na.example * F,1h,2m\n* * F,1h,3m\n");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 120); /* routing by the domain */
	addr.router = config_router_named(m.cfg, SL("user"));
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 60); /* this router looks at local parts */
	group.transport = config_transport_named(m.cfg, SL("local"));
	group.is_local = true;
	o.host = -1;
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 60); /* a local delivery */
	group.transport = config_transport_named(m.cfg, SL("domainwide"));
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 120); /* retry_use_local_part = false */
	group.transport = config_transport_named(m.cfg, SL("p"));
	group.is_local = false;
	o.about = HEDDLE_X_RECIPIENT;
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 60); /* the remote said it of this recipient */
	o.about = HEDDLE_X_HOST;
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 120);
	addr.text = SL("joe@z.example");
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 180);
	end();
	/* an error of a host: each rule sees the host's name, then the domain */
	begin("mx2.example * F,1h,1m\na.example * F,1h,2m\nmx1.example * F,1h,3m\n");
	o.host = 0;
	add_host("mx1.example", "192.0.2.1", 0);
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 120); /* the domain's rule stands first */
	addr.text = SL("joe@z.example");
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 180);
	end();
	begin("192.0.2.7 * F,1h,1m\n");
	add_host("", "192.0.2.7", 0);
	CHECK_EQ_INT(next_after(0, -1, &group, &o), 60);
	end();
	/* a child is retried by its own address, a file by that of its ancestor */
	begin("a.example * F,1h,1m\nb.example * F,1h,2m\n");
	struct address parent = {.text = SL("list@b.example")};
	addr.parent = &parent;
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 60);
	addr.kind = ADDRESS_FILE;
	addr.text = SL("/var/mail/x");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 120);
	end();
	begin("^\\\\*@[a-z]+\\\\.example\\$ * F,1h,1m\n* * F,1h,2m\n"); /* regex: "*" stands for the
	                                                                   local part */
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 60);
	end();
}

TEST(senders)
{
	begin("* * senders=: F,1h,1m\n* * senders=\"s@from.example : t@from.example\" F,1h,2m\n* * "
	      "F,1h,3m\n");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 120);
	at.m->sender = SL("");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 60);
	at.m->sender = SL("u@from.example");
	CHECK_EQ_INT(next_after(0, -1, NULL, NULL), 180);
	end();
}

TAP_MAIN()
