/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hosts and addresses that are left alone across messages. */
#include "hints/hints.h"
#include "unit/deliver/mill.h"

#include <stdlib.h>
#include <unistd.h>

static struct mill m; /* no queue of its own: configuration and drivers only */
static struct deliverer d;
static struct attempt at;
static struct queue_recipient recipient;
static struct address addr;
static struct group group;
static struct vec hosts;
static struct message msg;
static char folder[64];

static void begin(const char *rules)
{
	struct error err = {.text = ""};

	mill_rules(&m,
	    "begin routers\nall:\n driver = accept\n transport = p\n"
	    "begin transports\np:\n driver = probe\nlocal:\n driver = appendfile\n file = "
	    "/nowhere/x\n user = nobody\n",
	    rules);
	(void)snprintf(folder, sizeof folder, "/tmp/test_retry_hints.XXXXXX");
	if (!mkdtemp(folder))
		exit(1);
	const struct hints_config hc = {.folder = folder, .name = "retry"};
	d = (struct deliverer){.forced_us = 0};
	mutex_init(&d.lock, LOCK_deliver);
	d.cfg.index = queue_index_new();
	MUST(hints_new(&hc, &d.cfg.hints, &err) == RC_OK && hints_open(d.cfg.hints));
	msg = (struct message){.sender = SL("s@from.example"), .received_us = clock_wall_us()};
	recipient =
	    (struct queue_recipient){.retry = slice_absent(), .address = SL("joe@a.example")};
	at = (struct attempt){
	    .d = &d, .arena = m.arena, .cfg = m.cfg, .m = &msg, .id_text = SL("1aaaaa-000001-00")};
	at.state.recipients = &recipient;
	at.state.n_recipients = 1;
	eval_init(&at.ev, m.arena, m.cfg);
	at.ev.services = &m.services;
	at.ev.process = config_process(m.cfg);
	at.ev.deadline_us = clock_mono_us() + 60 * US_PER_SEC;
	addr = (struct address){.text = SL("joe@A.example"), .logged = slice_absent()};
	addr.facts.domain = SL("a.example");
	addr.router = config_router_named(m.cfg, SL("all"));
	hosts = (struct vec){0};
	*VEC_PUSH(m.arena, &hosts, struct heddle_route_host) =
	    (struct heddle_route_host){.name = SL("MX1.example"), .address = SL("192.0.2.1")};
	*VEC_PUSH(m.arena, &hosts, struct heddle_route_host) =
	    (struct heddle_route_host){.name = SL("mx2.example"), .address = SL("192.0.2.2")};
}

static void end(void)
{
	char path[100];

	hints_free(&d.cfg.hints);
	queue_index_free(&d.cfg.index);
	mutex_fini(&d.lock);
	(void)snprintf(path, sizeof path, "%s/retry.kch", folder);
	(void)unlink(path);
	(void)rmdir(folder);
	mill_rules_end(&m);
}

/* A new attempt at a remote group of one address. */
static void attempt(const char *id)
{
	at.id_text = slice_cstr(id);
	group =
	    (struct group){.transport = config_transport_named(m.cfg, SL("p")), .hosts = &hosts};
	group.outcomes = ARENA_ARRAY(m.arena, struct outcome, 1);
	group.host_outcomes = ARENA_ARRAY(m.arena, struct outcome, 3);
	*VEC_PUSH(m.arena, &group.addresses, struct address *) = &addr;
}

static bool may_try(uint32_t host, uint32_t port)
{
	bool due;
	return retry_host_may_try(&at, &group, host, port, &due);
}

static void host_says(uint32_t host, enum rc rc, uint32_t about, const char *text)
{
	group.host_outcomes[host] = (struct outcome){.is_set = true,
	    .result = rc,
	    .about = about,
	    .host = (int32_t)host,
	    .text = slice_cstr(text)};
	group.outcomes[0] = group.host_outcomes[host];
}

/* In how many seconds it is tried again; -1: given up. */
static int64_t again(void)
{
	struct retry_state rs = {.first_failed_us = clock_wall_us(), .why = SL("")};
	int64_t now = clock_wall_us(), next = 0;

	if (group.outcomes[0].waits_until_us)
		return (group.outcomes[0].waits_until_us - now + US_PER_SEC / 2) / US_PER_SEC;
	return retry_failed(&at, &addr, &group, &group.outcomes[0], &rs, now, &next)
	           ? (next - now + US_PER_SEC / 2) / US_PER_SEC
	           : -1;
}

/* What a hint says, moved into the past. */
static void age(const char *key, int64_t seconds)
{
	struct retry_hint h;
	struct hint got;
	char buf[RETRY_HINT_MAX];

	if (!CHECK_EQ_INT(hints_get(d.cfg.hints, slice_cstr(key), m.arena, &got, NULL), RC_OK) ||
	    !CHECK(retry_hint_decode(got.value, &h)))
		return;
	h.first_failed_us -= seconds * US_PER_SEC;
	h.last_try_us -= seconds * US_PER_SEC;
	h.next_try_us -= seconds * US_PER_SEC;
	h.claimed_until_us = 0;
	size_t n = retry_hint_encode(&h, buf);
	CHECK_EQ_INT(
	    hints_put(d.cfg.hints, slice_cstr(key), slice_tainted(buf, n), got.time_us, NULL),
	    RC_OK);
}

static bool is_known(const char *key)
{
	struct hint got;
	return hints_get(d.cfg.hints, slice_cstr(key), m.arena, &got, NULL) == RC_OK;
}

static void refuse(const char *id)
{
	attempt(id);
	CHECK(may_try(0, 25));
	host_says(0, RC_DEFER, HEDDLE_X_HOST, "Connection refused");
	retry_settle_hosts(&at, &group);
}

TEST(a_hint_survives_being_written_down)
{
	struct retry_hint h = {.first_failed_us = 1,
	                      .last_try_us = 2,
	                      .next_try_us = 3,
	                      .claimed_until_us = 4,
	                      .number = -44,
	                      .is_expired = true,
	                      .why = SL("because")},
	                  back = {.why = SL("")};
	char buf[RETRY_HINT_MAX];
	size_t n = retry_hint_encode(&h, buf);

	CHECK(retry_hint_decode(slice_tainted(buf, n), &back));
	CHECK_EQ_INT(back.first_failed_us, 1);
	CHECK_EQ_INT(back.next_try_us, 3);
	CHECK_EQ_INT(back.number, -44);
	CHECK(back.is_expired);
	CHECK_EQ_STR(back.why, "because");
	for (size_t i = 0; i < 40; i++)
		CHECK(!retry_hint_decode(slice_tainted(buf, i), &back));
	h.last_try_us = 0; /* tried before it failed */
	n = retry_hint_encode(&h, buf);
	CHECK(!retry_hint_decode(slice_tainted(buf, n), &back));
}

TEST(a_host_that_failed_is_left_alone)
{
	begin("* * F,1h,10m\n");
	refuse("1aaaaa-000001-00");
	CHECK(is_known("T:mx1.example:192.0.2.1"));
	CHECK_EQ_INT(again(), 600);
	attempt("1bbbbb-000001-00"); /* another message */
	CHECK(!may_try(0, 25));
	CHECK(may_try(1, 25)); /* the other host */
	CHECK(may_try(0, 26)); /* another port is another host */
	attempt("1bbbbb-000001-00");
	CHECK(!may_try(0, 25));
	retry_settle_hosts(&at, &group);
	CHECK_EQ_STR(group.outcomes[0].text, "retry time not reached for any host");
	CHECK_EQ_INT(again(), 600);
	at.forced = true; /* somebody does not want to wait */
	attempt("1bbbbb-000001-00");
	CHECK(may_try(0, 25));
	at.forced = false;
	age("T:mx1.example:192.0.2.1", 601);
	attempt("1bbbbb-000001-00");
	CHECK(may_try(0, 25)); /* its time has come */
	attempt("1ccccc-000001-00");
	CHECK(!may_try(0, 25)); /* one at a time */
	attempt("1bbbbb-000001-00");
	age("T:mx1.example:192.0.2.1", 0);
	CHECK(may_try(0, 25));
	group.outcomes[0] = (struct outcome){.is_set = true, .result = RC_OK};
	retry_settle_hosts(&at, &group);
	CHECK(!is_known("T:mx1.example:192.0.2.1")); /* it answers: forgotten */
	end();
}

TEST(what_is_about_a_message_stops_that_message_alone)
{
	begin("* * F,1h,10m\n");
	attempt("1aaaaa-000001-00");
	CHECK(may_try(0, 25));
	host_says(0, RC_DEFER, HEDDLE_X_MESSAGE, "after MAIL: 451");
	retry_settle_hosts(&at, &group);
	CHECK_EQ_INT(again(), 600);
	CHECK(is_known("T:mx1.example:192.0.2.1:1aaaaa-000001-00"));
	CHECK(!is_known("T:mx1.example:192.0.2.1"));
	attempt("1aaaaa-000001-00");
	CHECK(!may_try(0, 25));
	attempt("1bbbbb-000001-00");
	CHECK(may_try(0, 25));
	end();
}

TEST(past_the_cutoff)
{
	begin("* * F,1h,10m\n");
	refuse("1aaaaa-000001-00");
	age("T:mx1.example:192.0.2.1", 3601);
	refuse("1aaaaa-000001-00"); /* one more try, and the end */
	CHECK_EQ_INT(again(), -1);
	attempt("1bbbbb-000001-00"); /* the next message is not even tried */
	CHECK(!may_try(0, 25));
	retry_settle_hosts(&at, &group);
	CHECK_EQ_INT(group.outcomes[0].result, RC_FAIL);
	CHECK_EQ_STR(group.outcomes[0].text, "all hosts for 'a.example' have been failing for a "
	                                     "long time (and retry time not reached)");
	attempt("1bbbbb-000001-00"); /* but another host may do */
	CHECK(!may_try(0, 25));
	CHECK(may_try(1, 25));
	host_says(1, RC_DEFER, HEDDLE_X_HOST, "Connection refused");
	retry_settle_hosts(&at, &group);
	CHECK_EQ_INT(again(), 600);
	end();
}

TEST(old_hints_do_not_count)
{
	begin("* * F,1h,10m\n");
	struct retry_hint h = {.first_failed_us = 1,
	    .last_try_us = 2,
	    .next_try_us = INT64_MAX - 1,
	    .is_expired = true};
	char buf[RETRY_HINT_MAX];
	size_t n = retry_hint_encode(&h, buf);
	int64_t then = clock_wall_us() - 8 * 86400 * US_PER_SEC; /* retry_data_expire is 7d */
	CHECK_EQ_INT(hints_put(d.cfg.hints, SL("T:mx1.example:192.0.2.1"), slice_tainted(buf, n),
	                 then, NULL),
	    RC_OK);
	refuse("1aaaaa-000001-00");
	CHECK_EQ_INT(again(), 600); /* as if it failed for the first time */
	end();
}

TEST(addresses)
{
	begin("* rcpt_4xx senders=t@from.example F,1h,1m\n* rcpt_45x F,1h,5m\n* * F,1h,10m\n");
	int64_t until = 0;
	attempt("1aaaaa-000001-00");
	CHECK(may_try(0, 25));
	group.outcomes[0] = (struct outcome){.is_set = true,
	    .result = RC_DEFER,
	    .smtp = 450,
	    .about = HEDDLE_X_RECIPIENT,
	    .text = SL("450 greylisted")};
	retry_settle_hosts(&at, &group);
	CHECK_EQ_INT(again(), 300);
	CHECK(is_known("R:joe@a.example:<s@from.example>"));
	CHECK(!retry_address_waits(
	    &at, &recipient, &until)); /* a first attempt is made in any case */
	struct retry_state rs = {.first_failed_us = 5, .last_try_us = 5, .tries = 1, .why = SL("")};
	recipient.retry = retry_encode(m.arena, &rs);
	CHECK(retry_address_waits(&at, &recipient, &until));
	msg.sender = SL("t@from.example"); /* from somebody else */
	CHECK(!retry_address_waits(&at, &recipient, &until));
	CHECK_EQ_INT(again(), 60); /* the rule for that sender */
	CHECK(retry_address_waits(&at, &recipient, &until));
	msg.received_us -=
	    3601 * US_PER_SEC; /* it has been here for longer than the rule goes on */
	CHECK(!retry_address_waits(&at, &recipient, &until));
	CHECK_EQ_INT(again(), -1);
	retry_forget(&at, &addr, &group);
	CHECK(!is_known("R:joe@a.example:<t@from.example>"));
	CHECK(is_known("R:joe@a.example:<s@from.example>"));
	msg.received_us = clock_wall_us();
	addr.logged = SL("not now"); /* routing */
	int64_t next, now = clock_wall_us();
	CHECK(retry_failed(&at, &addr, NULL, NULL, &rs, now, &next));
	CHECK(is_known("R:a.example"));
	CHECK(retry_address_waits(&at, &recipient, &until));
	retry_forget(&at, &addr, NULL);
	CHECK(!is_known("R:a.example"));
	end();
}

TEST(local_deliveries)
{
	begin("* * F,1h,10m\n");
	attempt("1aaaaa-000001-00");
	group.transport = config_transport_named(m.cfg, SL("local"));
	group.is_local = true;
	group.outcomes[0] = (struct outcome){
	    .is_set = true, .result = RC_DEFER, .host = -1, .text = SL("mailbox is locked")};
	CHECK_EQ_INT(again(), 600);
	CHECK(is_known("T:joe@a.example"));
	CHECK(!retry_local_waits(&at, &group)); /* the first attempt of a message */
	struct retry_state rs = {.first_failed_us = 5, .last_try_us = 5, .tries = 1, .why = SL("")};
	recipient.retry = retry_encode(m.arena, &rs);
	CHECK(!retry_local_waits(
	    &at, &group)); /* what failed in this very attempt was another copy */
	at.began_us = clock_mono_us() + US_PER_SEC;
	CHECK(retry_local_waits(&at, &group));
	CHECK_EQ_STR(group.outcomes[0].text, "Retry time not yet reached");
	CHECK_EQ_INT(line_defer_number(&group, &group.outcomes[0]), -53);
	retry_forget(&at, &addr, &group);
	CHECK(!retry_local_waits(&at, &group));
	end();
}

TAP_MAIN()
