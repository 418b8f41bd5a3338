/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole deliveries: what is logged, recorded, tried again, bounced, frozen; what a new process
 * finds. */
#include "unit/deliver/mill.h"

#include <stdlib.h>

/* The probe transport does what local parts say. */
#define PROBE(dir_option) "begin transports\np:\n driver = probe\n" dir_option
#define RETRY(rule)       "begin retry\n" rule
static const char plain[] =
    "begin routers\n"
    "list:\n driver = redirect\n domains = list.example\n data = ok-a@x.example, "
    "defer-b@x.example\n"
    "badlist:\n driver = redirect\n domains = badlist.example\n data = fail-a@x.example, "
    "defer-b@x.example\n"
    "quiet:\n driver = accept\n domains = quiet.example\n errors_to =\n transport = p\n"
    "hole:\n driver = redirect\n domains = hole.example\n data = :blackhole:\n"
    "null:\n driver = redirect\n domains = null.example\n data = /dev/null\n"
    "lost:\n driver = redirect\n domains = lost.example\n allow_fail\n data = :fail: nobody here\n"
    "copy:\n driver = accept\n domains = copy.example\n unseen\n transport = p\n"
    "copy2:\n driver = accept\n domains = copy.example\n transport = later\n"
    "all:\n driver = accept\n transport = p\n" PROBE(
        " save = $spool_directory/saved\n max = 1\n"
        "later:\n driver = probe\n save = $spool_directory/saved\n text = later said so\n")
        RETRY("* * F,1h,1h\n");

static struct mill m;

static void begin(const char *config)
{
	if (!CHECK(mill_start(&m, config)))
		exit(1);
}

TEST(delivered_and_gone)
{
	begin(plain);
	(void)mill_post(&m, "ok-s@from.example", "ok@x.example ok-two@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " => ok@x.example R=all T=p", 1);
	(void)mill_expect(&m, " => ok-two@x.example R=all T=p", 1);
	(void)mill_expect(&m, "Completed", 1);
	CHECK_EQ_INT(mill_messages(&m), 0);
	mill_restart(&m);
	CHECK_EQ_INT(mill_messages(&m), 0); /* DONE is on record */
	mill_stop(&m);
}

TEST(discarded_is_done)
{
	begin(plain);
	(void)mill_post(&m, "ok-s@from.example", "x@hole.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " => :blackhole: <x@hole.example> R=hole\n", 1);
	(void)mill_expect(&m, "Completed", 1);
	(void)mill_post(&m, "ok-s@from.example", "x@null.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " => /dev/null <x@null.example> R=null T=**bypassed**\n", 1);
	(void)mill_expect(&m, "Completed", 2);
	CHECK_EQ_INT(mill_messages(&m), 0);
	mill_stop(&m);
}

TEST(a_failure_is_told_to_the_sender)
{
	begin(plain);
	(void)mill_post(&m, "ok-s@from.example", "fail@x.example x@lost.example ok@x.example");
	for (int i = 0; i < 500 && mill_logged(&m, "Completed") < 2; i++)
		usleep(10000);
	(void)mill_expect(&m, " ** fail@x.example R=all T=p: said so", 1);
	(void)mill_expect(&m, " ** x@lost.example R=lost: nobody here", 1);
	(void)mill_expect(&m, " <= <> R=", 1);
	(void)mill_expect(&m, " => ok-s@from.example R=all T=p", 1);
	(void)mill_expect(&m, "Completed", 2);
	slice_t saved = mill_file(&m, "saved");
	CHECK_EQ_INT(mill_count(saved, "MAIL <>\nRCPT <ok-s@from.example>\n"), 1);
	static const char *const parts[] = {
	    "\nX-Failed-Recipients: x@lost.example,\n  fail@x.example\n",
	    "\nAuto-Submitted: auto-replied\n",
	    "\nFrom: Mail Delivery System <Mailer-Daemon@mx.example.org>\n",
	    "\nTo: ok-s@from.example\n",
	    "\nSubject: Mail delivery failed: returning message to sender\n",
	    "\n  fail@x.example\n    said so\n", "\n  x@lost.example\n    nobody here\n",
	    "\nAction: failed\nFinal-Recipient: rfc822;fail@x.example\nStatus: 5.0.0\n",
	    "\nDiagnostic-Code: smtp; said so\n", "\nReporting-MTA: dns; mx.example.org\n",
	    ("\nContent-type: message/rfc822\n\nReturn-path: <ok-s@from.example>\nSubject: "
	     "test\nTo: you\n\na body\n")};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (!CHECK_EQ_INT(mill_count(saved, parts[i]), 1))
			printf("# missing: %s\n", parts[i]);
	mill_stop(&m);
}

static const char limited[] =
    "bounce_return_linesize_limit = 9\nbegin routers\nall:\n driver = accept\n transport = "
    "p\n" PROBE(" save = $spool_directory/saved\n") RETRY("* * F,1h,1h\n");

/* Lines that are too long do not go back, whether the body is in memory or in the store. */
TEST(a_bounce_returns_no_long_lines)
{
	for (int stored = 0; stored < 2; stored++) {
		begin(limited);
		struct queue_id id =
		    mill_post_body(&m, "ok-s@from.example", "fail@x.example", "Subject: long\n",
		        SL("0123456789\n0123456789\n0123456789\n0123456789\n"), !stored);
		if (stored) {
			mill_restart(&m);
			CHECK(deliver_message(m.deliverer, id, true));
		}
		for (int i = 0; i < 500 && mill_logged(&m, "Completed") < 2; i++)
			usleep(10000);
		slice_t saved = mill_file(&m, "saved");
		CHECK_EQ_INT(
		    mill_count(saved, "\nSubject: long\nX-Heddle-DSN-Information: Due to "
		                      "administrative limits only headers are returned\n\n\n--"),
		    1);
		mill_stop(&m);
	}
}

TEST(no_bounce_for_a_bounce)
{
	begin(plain);
	(void)mill_post(&m, "", "fail@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " ** fail@x.example R=all T=p: said so", 1);
	(void)mill_expect(&m, "<= <>", 0);
	(void)mill_expect(&m, " Frozen (delivery error message)\n", 1);
	(void)mill_expect(&m, "Completed", 0);
	/* frozen: not tried again by itself, nor by a queue run, nor by a new process */
	mill_run(&m, true, false);
	mill_restart(&m);
	mill_run(&m, true, false);
	(void)mill_expect(&m, " ** fail@x.example", 1);
	CHECK_EQ_INT(mill_messages(&m), 1);
	mill_run(&m, true, true); /* -qff */
	(void)mill_expect(&m, " ** fail@x.example", 2);
	mill_stop(&m);
}

TEST(errors_that_nobody_wants)
{
	begin(plain);
	(void)mill_post(&m, "ok-s@from.example", "fail@quiet.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " ** fail@quiet.example R=quiet T=p: said so", 1);
	(void)mill_expect(&m, "<= <>", 0);
	(void)mill_expect(&m, "Completed", 1);
	CHECK_EQ_INT(mill_messages(&m), 0);
	mill_stop(&m);
}

static struct queue_view only_entry(void)
{
	struct queue_list l;
	struct queue_view v = {.n_recipients = 99};

	queue_index_list(m.index, QUEUE_BY_ID, &l);
	if (CHECK_EQ_INT(l.count, 1)) {
		queue_entry_view(l.entries[0], &v);
		v.sender = slice_absent();
	}
	queue_list_free(&l);
	return v;
}

TEST(a_deferral_waits_for_its_time)
{
	begin(plain);
	int64_t before = clock_wall_us();
	(void)mill_post(&m, "ok-s@from.example", "defer@x.example ok@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " == defer@x.example R=all T=p defer (0): said so", 1);
	struct queue_view v = only_entry();
	CHECK_EQ_INT(v.state, QUEUE_DEFERRED);
	CHECK_EQ_INT(v.n_pending, 1);
	CHECK(v.next_attempt_us >= before + 3600 * US_PER_SEC &&
	      v.next_attempt_us < before + 3700 * US_PER_SEC);
	mill_restart(&m);
	struct queue_view after = only_entry();
	CHECK_EQ_INT(after.next_attempt_us, v.next_attempt_us);
	CHECK_EQ_INT(after.n_pending, 1);
	mill_run(&m, false, false); /* not due */
	(void)mill_expect(&m, " == defer@x.example", 1);
	mill_run(&m, true, false); /* whether due or not; what was delivered stays so */
	mill_run(&m, true, false);
	(void)mill_expect(&m, " == defer@x.example", 3);
	(void)mill_expect(&m, " => ok@x.example", 1);
	CHECK_EQ_INT(mill_messages(&m), 1);
	mill_stop(&m);
}

TEST(a_forced_message_ignores_its_retry_time)
{
	begin(plain);
	struct queue_id id = mill_post(&m, "ok-s@from.example", "defer@x.example");
	CHECK(mill_settle(&m));
	CHECK(deliver_message(m.deliverer, id, true));
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " == defer@x.example", 2);
	mill_stop(&m);
}

/* What was planned while the clock was wrong does not keep a message for days when it is right. */
TEST(a_clock_that_was_ahead)
{
	begin(plain);
	struct queue_id id = mill_post(&m, "ok-s@from.example", "defer@x.example");
	CHECK(mill_settle(&m));
	for (int ahead = 0; ahead < 2; ahead++) {
		int64_t then = clock_wall_us() + (ahead ? 300 * 24 * 3600 * US_PER_SEC : 0);
		struct retry_state rs = {.first_failed_us = then, .last_try_us = then, .tries = 1};
		struct queue_outcome o = {.recipient = 0,
		    .state = QUEUE_RCPT_PENDING,
		    .next_attempt_us = then + 3600 * US_PER_SEC,
		    .retry = retry_encode(m.arena, &rs)};
		struct queue_progress p = {.id = id,
		    .outcomes = &o,
		    .n_outcomes = 1,
		    .next_attempt_us = o.next_attempt_us};
		struct error err;
		CHECK_EQ_INT(store_progress_wait(m.store, m.arena, &p, 1, &err), RC_OK);
		mill_restart(&m);
		mill_run(&m, false, false);
		(void)mill_expect(&m, " == defer@x.example", ahead ? 2 : 1);
	}
	int64_t next = only_entry().next_attempt_us - clock_wall_us();
	CHECK(next > 0 && next <= 3600 * US_PER_SEC);
	mill_stop(&m);
}

static void try_again(struct queue_id id)
{
	CHECK(deliver_message(m.deliverer, id, true));
	CHECK(mill_settle(&m));
}

/* One child delivered, one deferred: the first is not repeated, by this process or the next. */
TEST(children_are_delivered_once)
{
	begin(plain);
	struct queue_id id = mill_post(&m, "ok-s@from.example", "all@list.example");
	CHECK(mill_settle(&m));
	try_again(id);
	mill_restart(&m);
	try_again(id);
	(void)mill_expect(&m, " => ok-a@x.example <all@list.example> R=all T=p", 1);
	(void)mill_expect(
	    &m, " == defer-b@x.example <all@list.example> R=all T=p defer (0): said so", 3);
	CHECK_EQ_INT(mill_count(mill_file(&m, "saved"), "RCPT <ok-a@x.example>"), 1);
	CHECK_EQ_INT(mill_messages(&m), 1);
	mill_stop(&m);
}

/* A failed child and a deferred one: the sender is told once. */
TEST(children_fail_once)
{
	begin(plain);
	struct queue_id id = mill_post(&m, "ok-s@from.example", "all@badlist.example");
	for (int i = 0; i < 500 && mill_logged(&m, "Completed") < 1; i++)
		usleep(10000);
	CHECK(mill_settle(&m));
	try_again(id);
	mill_restart(&m);
	try_again(id);
	(void)mill_expect(&m, " ** fail-a@x.example <all@badlist.example>", 1);
	(void)mill_expect(&m, "<= <>", 1);
	(void)mill_expect(&m, " == defer-b@x.example", 3);
	mill_stop(&m);
}

/* "unseen": both ends have the same address.  What one transport took is not the other's. */
TEST(copies_are_told_apart)
{
	begin(plain);
	struct queue_id id = mill_post(&m, "ok-s@from.example", "ok@copy.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " => ok@copy.example R=copy T=p", 1);
	(void)mill_expect(&m, " => ok@copy.example R=copy2 T=later", 1);
	(void)mill_expect(&m, "Completed", 1);
	(void)id;
	mill_stop(&m);
}

static const char halves[] =
    "begin routers\n"
    "copy:\n driver = accept\n unseen\n condition = ${if eq{$local_part}{ok}}\n transport = p\n"
    "copy2:\n driver = redirect\n condition = ${if !eq{$sender_address}{}}\n allow_defer\n"
    " data = ${if exists{$spool_directory/open}{:unknown:}{:defer: not now}}\n"
    "all:\n driver = accept\n transport = q\n" PROBE(
        " save = $spool_directory/saved\nq:\n driver = probe\n save = $spool_directory/saved\n")
        RETRY("* * F,1h,1h\n");

TEST(half_of_an_unseen_pair)
{
	begin(halves);
	struct queue_id id = mill_post(&m, "ok-s@from.example", "ok@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " => ok@x.example R=copy T=p", 1);
	(void)mill_expect(&m, " == ok@x.example R=copy2 defer (-1): not now", 1);
	mill_restart(&m);
	FILE *f = fopen(mill_path(&m, "open"), "w");
	MUST(f);
	(void)fclose(f);
	try_again(id);
	(void)mill_expect(&m, " => ok@x.example R=copy T=p", 1); /* once */
	(void)mill_expect(&m, " => ok@x.example R=all T=q", 1); /* and the other half is not lost */
	(void)mill_expect(&m, "Completed", 1);
	(void)unlink(mill_path(&m, "open"));
	mill_stop(&m);
}

static const char short_retry[] = "begin routers\nall:\n driver = accept\n transport = p\n" PROBE(
    "") RETRY("never.example * \n* * F,1s,1s\n");

TEST(giving_up)
{
	begin(short_retry);
	struct queue_id id = mill_post(&m, "ok-s@from.example", "defer@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " == defer@x.example", 1);
	(void)mill_expect(&m, "retry timeout exceeded", 0);
	usleep(1100000);
	try_again(id);
	for (int i = 0; i < 500 && mill_logged(&m, "Completed") < 2; i++)
		usleep(10000);
	(void)mill_expect(&m, " == defer@x.example", 2);
	(void)mill_expect(&m, " ** defer@x.example: retry timeout exceeded", 1);
	(void)mill_expect(&m, "<= <>", 1);
	(void)mill_expect(&m, "Completed", 2);
	/* a rule without parameters: at once */
	(void)mill_post(&m, "ok-s@from.example", "defer@never.example");
	for (int i = 0; i < 500 && mill_logged(&m, "Completed") < 4; i++)
		usleep(10000);
	(void)mill_expect(&m, " ** defer@never.example: retry timeout exceeded", 1);
	mill_stop(&m);
}

/* The interval grows from one attempt to the next, also in another process: what is known of the
 * last one was kept. */
TEST(the_last_attempt_is_remembered)
{
	begin("begin routers\nall:\n driver = accept\n transport = p\n" PROBE("")
	        RETRY("* * G,1h,1s,20\n"));
	struct queue_id id = mill_post(&m, "ok-s@from.example", "defer@x.example");
	CHECK(mill_settle(&m));
	usleep(1100000);
	mill_restart(&m);
	try_again(id);
	CHECK(only_entry().next_attempt_us - clock_wall_us() > 10 * US_PER_SEC);
	mill_stop(&m);
}

TEST(what_an_administrator_does)
{
	begin(plain);
	struct error err;
	struct queue_id id = mill_post(&m, "ok-s@from.example", "defer@x.example");
	CHECK(mill_settle(&m));
	CHECK_EQ_INT(deliver_edit(m.deliverer, id, ADMIN_FREEZE, SL("root"), &err), RC_OK);
	(void)mill_expect(&m, "frozen by root", 1);
	mill_restart(&m);
	CHECK_EQ_INT(only_entry().state, QUEUE_FROZEN);
	mill_run(&m, true, false);
	(void)mill_expect(&m, " == defer@x.example", 1); /* frozen: left alone */
	CHECK_EQ_INT(deliver_edit(m.deliverer, id, ADMIN_THAW, SL("root"), &err), RC_OK);
	CHECK_EQ_INT(only_entry().state, QUEUE_DEFERRED);
	mill_run(&m, true, false);
	(void)mill_expect(&m, " == defer@x.example", 2);
	CHECK_EQ_INT(deliver_edit(m.deliverer, id, ADMIN_GIVE_UP, SL("root"), &err), RC_OK);
	for (int i = 0; i < 500 && mill_logged(&m, "Completed") < 2; i++)
		usleep(10000);
	(void)mill_expect(&m, " ** defer@x.example: delivery cancelled by administrator", 1);
	(void)mill_expect(&m, "<= <>", 1);
	CHECK_EQ_INT(mill_messages(&m), 0);
	CHECK_EQ_INT(deliver_edit(m.deliverer, id, ADMIN_THAW, SL("root"), &err), RC_FAIL);
	id = mill_post(&m, "ok-s@from.example", "defer@x.example");
	CHECK(mill_settle(&m));
	CHECK_EQ_INT(deliver_edit(m.deliverer, id, ADMIN_REMOVE, SL("root"), &err), RC_OK);
	(void)mill_expect(&m, "removed by root", 1);
	(void)mill_expect(&m, "<= <>", 1); /* no second bounce */
	mill_restart(&m);
	CHECK_EQ_INT(mill_messages(&m), 0);
	mill_stop(&m);
}

TEST(a_transport_that_freezes_or_says_nothing)
{
	begin(plain);
	(void)mill_post(&m, "ok-s@from.example", "silent@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(
	    &m, " == silent@x.example R=all T=p defer (0): the transport recorded no outcome", 1);
	(void)mill_post(&m, "ok-s@from.example", "freeze@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, "Frozen", 1);
	struct queue_counts n;
	queue_index_counts(m.index, &n);
	CHECK_EQ_INT(n.state[QUEUE_FROZEN], 1);
	CHECK_EQ_INT(n.state[QUEUE_DEFERRED], 1);
	mill_stop(&m);
}

TEST(held_back)
{
	begin("hold_domains = held.example\n"
	      "begin routers\nall:\n driver = accept\n transport = p\n" PROBE("")
	          RETRY("* * F,1h,1h\n"));
	(void)mill_post(&m, "ok-s@from.example", "ok@held.example ok@x.example");
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, " => ok@x.example", 1);
	(void)mill_expect(&m, "ok@held.example", 1);
	(void)mill_expect(&m, " == ok@held.example routing defer (-55): domain is held", 1);
	CHECK_EQ_INT(only_entry().n_pending, 1);
	mill_stop(&m);
}

/* ---- batching and the message itself
 * -------------------------------------------------------------------- */

static const char batches[] =
    "begin routers\n"
    "own:\n driver = accept\n domains = own.example\n errors_to = ok-owner@x.example\n transport = "
    "p\n"
    "one:\n driver = accept\n domains = d1.example : d2.example\n transport = one\n"
    "all:\n driver = accept\n transport = p\n" PROBE(
        " save = $spool_directory/saved\n max = 2\n"
        "one:\n driver = probe\n one_domain\n save = $spool_directory/saved\n")
        RETRY("* * F,1h,1h\n");

TEST(what_goes_together)
{
	begin(batches);
	(void)mill_post(
	    &m, "ok-s@from.example", "ok1@x.example ok2@y.example ok3@x.example ok4@own.example");
	CHECK(mill_settle(&m));
	slice_t saved = mill_file(&m, "saved");
	CHECK_EQ_INT(mill_count(saved, "MAIL "), 3);
	CHECK_EQ_INT(
	    mill_count(saved,
	        "MAIL <ok-s@from.example>\nRCPT <ok1@x.example>\nRCPT <ok2@y.example>\nMESSAGE\n"),
	    1);
	CHECK_EQ_INT(
	    mill_count(saved, "MAIL <ok-s@from.example>\nRCPT <ok3@x.example>\nMESSAGE\n"), 1);
	CHECK_EQ_INT(
	    mill_count(saved, "MAIL <ok-owner@x.example>\nRCPT <ok4@own.example>\nMESSAGE\n"), 1);
	(void)mill_expect(&m, " => ok1@x.example R=all T=p", 1);
	(void)mill_expect(&m, " -> ok2@y.example R=all T=p", 1);
	(void)mill_post(&m, "ok-s@from.example", "ok1@d1.example ok2@d2.example ok3@d1.example");
	CHECK(mill_settle(&m));
	saved = mill_file(&m, "saved");
	CHECK_EQ_INT(
	    mill_count(saved, "RCPT <ok1@d1.example>\nRCPT <ok3@d1.example>\nMESSAGE\n"), 1);
	CHECK_EQ_INT(
	    mill_count(saved, "MAIL <ok-s@from.example>\nRCPT <ok2@d2.example>\nMESSAGE\n"), 1);
	mill_stop(&m);
}

static enum rc slow_acl(struct eval *ev, slice_t name, const slice_t *args, uint32_t count,
    slice_t *out_text, struct error *err)
{
	MUST(count == 1);
	*out_text = SL("");
	enum rc rc = expand_variable_set(ev, name, args[0], err);
	usleep(20000); /* so that they run at the same time */
	return rc;
}

static enum rc slow_host_name(struct eval *ev)
{
	struct session_facts *s = ev->session;

	s->sender_host_name = arena_printf(s->arena, "host-for-%.*s", SL_ARG(ev->address->domain));
	s->host_lookup = HOST_LOOKUP_OK;
	return RC_OK;
}

TEST(side_by_side_each_has_its_own_variables)
{
	static const struct eval_hooks hooks = {.acl = slow_acl, .host_name = slow_host_name};
	begin(
	    "remote_max_parallel = 4\nbegin routers\nall:\n driver = accept\n transport = "
	    "p\n" PROBE(" one_domain\n text = ${acl{acl_m_x}{$domain}}$acl_m_x $sender_host_name\n")
	        RETRY("* * F,1h,1h\n"));
	m.hooks = &hooks;
	mill_restart(&m);
	deliver_enable(m.deliverer, true);
	(void)mill_post(&m, "ok-s@from.example",
	    "defer@d0.example defer@d1.example defer@d2.example defer@d3.example defer@d4.example "
	    "defer@d5.example");
	CHECK(mill_settle(&m));
	for (int i = 0; i < 6; i++) {
		char line[200];
		(void)snprintf(line, sizeof line,
		    " == defer@d%d.example R=all T=p defer (0): d%d.example host-for-d%d.example",
		    i, i, i);
		(void)mill_expect(&m, line, 1);
	}
	mill_stop(&m);
}

static _Atomic bool has_come, may_go;

static enum rc waiting_acl(struct eval *ev, slice_t name, const slice_t *args, uint32_t count,
    slice_t *out_text, struct error *err)
{
	(void)ev, (void)name, (void)args, (void)count, (void)err;
	has_come = true;
	while (!may_go)
		usleep(1000);
	*out_text = SL("");
	return RC_OK;
}

/* What it uses must not be freed. */
TEST(stopping_tells_of_a_delivery_that_goes_on)
{
	static const struct eval_hooks hooks = {.acl = waiting_acl};
	has_come = may_go = false;
	begin("begin routers\nall:\n driver = accept\n transport = p\n" PROBE(
	    " text = ${acl{acl_m_x}}\n") RETRY("* * F,1h,1h\n"));
	m.hooks = &hooks;
	mill_restart(&m);
	deliver_enable(m.deliverer, true);
	(void)mill_post(&m, "ok-s@from.example", "ok@x.example");
	for (int i = 0; i < 1000 && !has_come; i++)
		usleep(10000);
	CHECK(has_come);
	CHECK(!deliver_stop(m.deliverer, clock_mono_us()));
	may_go = true;
	mill_stop(&m);
}

static const char header_text[] =
    "Received: from somewhere\n\tfar away\nX-Gone: 1\nx-goner: 2\nSubject: kept\nX-Stay: 3\n";

static slice_t sent(const char *transport_options, const char *router_options, slice_t body)
{
	static char conf[4000];
	(void)snprintf(conf, sizeof conf,
	    "begin routers\nall:\n driver = accept\n transport = p\n%sbegin transports\np:\n"
	    " driver = probe\n save = $spool_directory/saved\n%s",
	    router_options, transport_options);
	begin(conf);
	(void)mill_post_body(&m, "ok-s@from.example", "ok@x.example", header_text, body, true);
	CHECK(mill_settle(&m));
	(void)mill_expect(&m, "Completed", 1);
	slice_t s = mill_file(&m, "saved");
	size_t at = slice_search(s, SL("MESSAGE\n"));
	static char out[70000];
	size_t n = at == SIZE_MAX ? 0 : s.len - at - 8;
	MUST(n < sizeof out);
	memcpy(out, s.ptr + s.len - n, n);
	mill_stop(&m);
	return slice_tainted(out, n);
}

TEST(what_a_transport_sends)
{
#define PLAIN \
	"Received: from somewhere\n\tfar away\nX-Gone: 1\nx-goner: 2\nSubject: kept\nX-Stay: 3\n"
	static const struct {
		const char *transport, *router, *body, *want;
	} rows[] = {
	    {"", "", "one\n.two\n", PLAIN "\none\n.two\n"},
	    {"", " headers_remove = x-gone*\n headers_add = X-R: r\n", "b\n",
	        "Received: from somewhere\n\tfar away\nSubject: kept\nX-Stay: 3\nX-R: r\n\nb\n"},
	    {" headers_remove = X-GONE:subject\n headers_add = X-T: $local_part\n",
	        " headers_add = X-R: r\n", "b\n",
	        "Received: from somewhere\n\tfar away\nx-goner: 2\nX-Stay: 3\nX-R: r\nX-T: "
	        "ok\n\nb\n"},
	    /* an item that is forced to fail is left out, the others stay */
	    {" headers_add = ${if eq{$local_part}{no}{X-No: 1}fail}\n headers_add = X-T: 2\n"
	     " headers_remove = ${if eq{1}{2}{x}fail}:x-gone\n",
	        " headers_add = X-R: $local_part\n headers_add = ${if eq{1}{2}{x}fail}\n "
	        "headers_remove = x-stay : ${if eq{1}{2}{x}fail}\n",
	        "b\n",
	        "Received: from somewhere\n\tfar away\nx-goner: 2\nSubject: kept\nX-R: ok\nX-T: "
	        "2\n\nb\n"},
	    {" return_path_add\n envelope_to_add\n", "", "b\n",
	        "Return-path: <ok-s@from.example>\nEnvelope-to: ok@x.example\n" PLAIN "\nb\n"},
	    {" return_path = other@from.example\n return_path_add\n", "", "b\n",
	        "Return-path: <other@from.example>\n" PLAIN "\nb\n"},
	    {" body_only\n", "", "b\n", "b\n"},
	    {" headers_only\n", "", "b\n", PLAIN "\n"},
	    {" from = \"From \"\n", "", "From here\nnot From\nFrom there\n",
	        PLAIN "\n>From here\nnot From\n>From there\n"},
	    {" wire = 1\n body_only\n", "", "a\n.b\n", "a\r\n.b\r\n"},
	    {" wire = 3\n body_only\n", "", "a\n.b\n..\n", "a\r\n..b\r\n...\r\n"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!CHECK_EQ_STR(sent(rows[i].transport, rows[i].router, slice_cstr(rows[i].body)),
		        rows[i].want))
			printf("# row %zu\n", i);
	/* pieces end anywhere */
	static char big[60000];
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = i % 7 == 6 ? '\n' : i % 7 == 0 ? '.' : 'x';
	big[sizeof big - 1] = '\n';
	slice_t got = sent(" wire = 3\n body_only\n", "", slice_tainted(big, 20000));
	CHECK_EQ_INT(mill_count(got, "\r\n..xxxxx"), 20000 / 7 - 1);
	got = sent(" body_only\n", "", slice_tainted(big, sizeof big));
	CHECK(slice_eq(got, slice_tainted(big, sizeof big)));
}

struct probe_turn {
	struct turn turn; /* first */
	_Atomic bool has_come;
};

static void turn_comes(struct job *job, struct worker *w)
{
	(void)w;
	atomic_store(&((struct probe_turn *)(void *)job)->has_come, true);
}

/* It comes to one of them, and to no other. */
static unsigned came(struct probe_turn *t, unsigned n)
{
	unsigned who = n;

	for (int i = 0; i < 100 && who == n; i++) {
		usleep(2000);
		for (unsigned k = 0; k < n; k++)
			if (atomic_exchange(&t[k].has_come, false))
				who = k;
	}
	return who;
}

TEST(at_most_half_of_the_workers_are_with_failing_hosts)
{
	enum { N = 7 };
	struct probe_turn t[N] = {0};
	begin(plain);
	struct deliverer *d = m.deliverer;
	d->max_active = 4;
	for (unsigned i = 0; i < N; i++) {
		t[i].turn.job.run = turn_comes;
		t[i].turn.is_failing = i < 4;
	}
	CHECK(scheduler_turn(d, &t[0].turn));
	CHECK(scheduler_turn(d, &t[1].turn));
	CHECK(!scheduler_turn(d, &t[2].turn)); /* there is room, but not for these */
	CHECK(!scheduler_turn(d, &t[3].turn));
	CHECK(scheduler_turn(d, &t[4].turn));
	CHECK(scheduler_turn(d, &t[5].turn));
	CHECK(!scheduler_turn(d, &t[6].turn)); /* there is none */
	scheduler_rest(d, false);
	CHECK_EQ_INT(came(t, N), 6);
	scheduler_rest(d, false); /* still two of four */
	CHECK_EQ_INT(came(t, N), N);
	scheduler_rest(d, true);
	CHECK_EQ_INT(came(t, N), 2); /* in their order */
	scheduler_rest(d, true);
	CHECK_EQ_INT(came(t, N), 3);
	for (int i = 0; i < 3; i++)
		scheduler_rest(d, i < 2);
	deliverer_lock(d);
	CHECK_EQ_INT(d->active, 0);
	CHECK_EQ_INT(d->failing, 0);
	deliverer_unlock(d);
	mill_stop(&m);
}

TEST(too_big_for_the_transport)
{
	begin("begin routers\nall:\n driver = accept\n transport = p\n" PROBE(
	    " message_size_limit = 50\n"));
	(void)mill_post_body(&m, "", "ok@x.example", header_text, SL("b\n"), true);
	CHECK(mill_settle(&m));
	(void)mill_expect(
	    &m, " ** ok@x.example R=all T=p: message is too big (transport limit = 50)", 1);
	mill_stop(&m);
}

TAP_MAIN()
