/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pool of agents: reuse, limits, agents that hang, die or lie, master's refusals, users. */
#include "unit/agent/rig.inc"

#include "base/io.h"
#include "thread/cancel.h"

#include <sys/stat.h>

static const struct agent_identity self = {.user = {NULL, 0, HEDDLE_ABSENT, 0},
    .group = {NULL, 0, HEDDLE_ABSENT, 0},
    .purpose = SL_INIT("test")};

/* "PID CALLS NUMBER" */
static slice_t pid_of(slice_t text)
{
	slice_t rest = text, pid = slice_absent();
	(void)slice_next(&rest, ' ', &pid);
	return pid;
}

TEST(an_agent_and_its_instances_are_used_again)
{
	struct rig r;
	struct site s;
	slice_t texts[3];
	struct arena *a = arena_new(0);
	rig_start(&r, 0, 0);
	for (int i = 0; i < 3; i++) {
		site_init(&s, i == 2 ? "other" : "one", "pid", NULL, 7);
		CHECK_EQ_INT(site_deliver(&r, &s, NULL), RC_OK);
		texts[i] = arena_dup(a, s.outcomes[0].text);
		site_fini(&s);
	}
	CHECK(slice_eq(pid_of(texts[0]), pid_of(texts[1])) &&
	      slice_eq(pid_of(texts[0]), pid_of(texts[2])));
	CHECK(slice_search(texts[0], SL(" 1 7")) != SIZE_MAX);
	CHECK(slice_search(texts[1], SL(" 2 7")) != SIZE_MAX);
	CHECK(slice_search(texts[2], SL(" 1 7")) != SIZE_MAX);
	CHECK_EQ_INT(atomic_load(&r.started), 1);
	agents_tidy(r.agents); /* it was idle for no minute */
	site_init(&s, "one", "pid", NULL, 7);
	CHECK_EQ_INT(site_deliver(&r, &s, NULL), RC_OK);
	CHECK_EQ_INT(atomic_load(&r.started), 1);
	site_fini(&s);
	rig_stop(&r);
	arena_free(&a);
}

TEST(an_option_that_cannot_change_is_asked_for_once)
{
	struct rig r;
	rig_start(&r, 0, 0);
	for (unsigned i = 0; i < 4; i++) {
		struct site s;
		site_init(
		    &s, i < 2 ? "changes" : "constant", "recipients", i == 3 ? "" : "text", 0);
		s.driver.option_count = 3;
		s.instance.own = i < 2 ? NULL : s.own; /* without expressions */
		CHECK_EQ_INT(site_deliver(&r, &s, NULL), RC_OK);
		CHECK_EQ_INT(s.asked, i < 3 ? 2 : 0);
		CHECK_EQ_STR(s.outcomes[0].text, i < 2 ? "user0@example.org via changes text"
		                                       : "user0@example.org via constant text");
		site_fini(&s);
	}
	rig_stop(&r);
}

/* The second delivery needs no question, and yet sees what has changed. */
TEST(what_was_asked_once_comes_along)
{
	static const char *const texts[] = {"red", "green", "blue"};
	struct rig r;
	rig_start(&r, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		struct site s;
		uint64_t before = agents_questions(r.agents);
		site_init(&s, "seen", "recipients", texts[i], 0);
		s.instance.own = NULL; /* no option is known to be constant */
		s.recipients = 2;
		CHECK_EQ_INT(site_deliver(&r, &s, NULL), RC_OK);
		slice_t want = arena_printf(s.arena, "user1@example.org via seen %s", texts[i]);
		CHECK(slice_eq(s.outcomes[1].text, want));
		if (i == 0)
			CHECK(agents_questions(r.agents) - before >= 4);
		else
			CHECK_EQ_INT(agents_questions(r.agents) - before, 0);
		site_fini(&s);
	}
	rig_stop(&r);
}

/* After each of these the next delivery finds a new agent that works. */
TEST(agents_that_hang_die_or_lie_defer)
{
	static const struct {
		const char *act, *why;
	} cases[] = {
	    {"hang", "timed out: the agent is overdue"},
	    {"crash", "the agent died"},
	    {"garbage", "the agent sent what is no message"},
	};
	struct rig r;
	rig_start(&r, 0, 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct site s;
		struct error e = {.text = ""};
		site_init(&s, "bad", cases[i].act, NULL, 0);
		s.call.deadline_us = clock_mono_us() + (i == 0 ? US_PER_SEC / 5 : 20 * US_PER_SEC);
		CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_DEFER);
		CHECK_EQ_STR(slice_cstr(e.text), cases[i].why);
		CHECK_EQ_INT(s.outcomes[0].count, 0);
		site_fini(&s);
		site_init(&s, "good", "pid", NULL, 0);
		CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_OK);
		CHECK_EQ_INT(s.outcomes[0].count, 1);
		site_fini(&s);
		CHECK_EQ_INT(atomic_load(&r.started), i + 2);
	}
	rig_stop(&r);
}

static void *set_soon(void *arg)
{
	usleep(200000);
	cancel_set(arg);
	return NULL;
}

TEST(a_call_can_be_cancelled)
{
	struct rig r;
	struct site s;
	struct cancel c;
	struct error e = {.text = ""};
	pthread_t t;
	rig_start(&r, 0, 0);
	cancel_init(&c);
	site_init(&s, "hang", "hang", NULL, 0);
	s.call.cancel = &c;
	MUST(pthread_create(&t, NULL, set_soon, &c) == 0);
	int64_t began = clock_mono_us();
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(e.text), "cancelled while an agent was at work");
	CHECK(clock_mono_us() - began < 10 * US_PER_SEC);
	(void)pthread_join(t, NULL);
	site_fini(&s);
	cancel_fini(&c);
	rig_stop(&r);
}

TEST(masters_refusals_are_waited_out_or_told)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	rig_start(&r, 0, 0);
	atomic_store(&r.refusals, 3);
	site_init(&s, "a", "pid", NULL, 0);
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_OK);
	CHECK_EQ_INT(atomic_load(&r.refusals), 0);
	const struct agent_identity who = {
	    .user = SL("nosuch"), .group = slice_absent(), .purpose = SL("test")};
	struct heddle_job job = {&s};
	CHECK_EQ_INT(agents_deliver(r.agents, &who, &s.call, &job, &e), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(e.text), "no agent for user \"nosuch\": no such user");
	site_fini(&s);
	rig_stop(&r);
	/* for longer than there is time */
	rig_start(&r, 0, 0);
	atomic_store(&r.refusals, 1000);
	site_init(&s, "a", "pid", NULL, 0);
	s.call.deadline_us = clock_mono_us() + US_PER_SEC / 2;
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_DEFER);
	CHECK_EQ_INT(atomic_load(&r.started), 0);
	site_fini(&s);
	rig_stop(&r);
}

TEST(a_silent_master_is_not_waited_for)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	rig_start(&r, 0, 0);
	atomic_store(&r.silent, true);
	site_init(&s, "a", "pid", NULL, 0);
	s.call.deadline_us = clock_mono_us() + US_PER_SEC / 4;
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(e.text), "master did not answer in time");
	site_fini(&s);
	rig_stop(&r);
}

TEST(only_local_transports_are_served)
{
	struct rig r;
	struct site s;
	rig_start(&r, 0, 0);
	site_init(&s, "a", "pid", NULL, 0);
	s.driver.kind = HEDDLE_TR_REMOTE;
	CHECK_EQ_INT(site_deliver(&r, &s, NULL), RC_ERROR);
	CHECK_EQ_INT(atomic_load(&r.started), 0);
	site_fini(&s);
	rig_stop(&r);
}

/* ---- many at once
 * ---------------------------------------------------------------------------------------- */

struct job_arg {
	struct rig *r;
	enum rc rc;
	unsigned outcomes;
};

static void *deliver_one(void *arg)
{
	struct job_arg *j = arg;
	struct site s;
	site_init(&s, "par", "cat", NULL, 0);
	s.call.deadline_us = clock_mono_us() + 60 * US_PER_SEC;
	j->rc = site_deliver(j->r, &s, NULL);
	j->outcomes = s.outcomes[0].count && slice_eqs(s.outcomes[0].text, "27 of 27 status 0");
	site_fini(&s);
	return NULL;
}

TEST(many_calls_share_a_few_agents)
{
	enum { N = 64 };
	struct rig r;
	pthread_t t[N];
	struct job_arg jobs[N];
	unsigned good = 0;
	rig_start(&r, 5, 0);
	for (int i = 0; i < N; i++) {
		jobs[i] = (struct job_arg){.r = &r, .rc = RC_ERROR};
		MUST(pthread_create(&t[i], NULL, deliver_one, &jobs[i]) == 0);
	}
	for (int i = 0; i < N; i++) {
		(void)pthread_join(t[i], NULL);
		good += jobs[i].rc == RC_OK && jobs[i].outcomes == 1;
	}
	CHECK_EQ_INT(good, N);
	CHECK(atomic_load(&r.started) >= 1 && atomic_load(&r.started) <= 5);
	rig_stop(&r);
}

TEST(an_idle_agent_makes_room_for_another_identity)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	rig_start(&r, 0, 1);
	for (int i = 0; i < 3; i++) {
		const struct agent_identity who = {
		    .user = i == 1 ? SL("other") : slice_absent(), .group = slice_absent()};
		site_init(&s, "a", "pid", NULL, 0);
		struct heddle_job job = {&s};
		CHECK_EQ_INT(agents_deliver(r.agents, &who, &s.call, &job, &e), RC_OK);
		site_fini(&s);
	}
	CHECK_EQ_INT(atomic_load(&r.started), 3);
	rig_stop(&r);
}

/* ---- files and commands
 * ---------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "we");
	MUST(f && fputs(text, f) >= 0 && fclose(f) == 0 && chmod(path, mode) == 0);
}

TEST(files_are_read_as_the_user)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	slice_t out = slice_absent();
	char path[4300], link_path[4300];
	rig_start(&r, 0, 0);
	site_init(&s, "a", "pid", NULL, 0);
	(void)snprintf(path, sizeof path, "%s/forward", tap_dir());
	write_file(path, "someone@example.org\n", 0600);
	CHECK_EQ_INT(
	    agents_read_file(r.agents, &self, &s.call, slice_cstr(path), 1000, &out, NULL, &e),
	    RC_OK);
	CHECK_EQ_STR(out, "someone@example.org\n");
	CHECK(slice_is_clean(out));
	write_file(path, "x\n", 0666);
	CHECK_EQ_INT(
	    agents_read_file(r.agents, &self, &s.call, slice_cstr(path), 1000, &out, NULL, &e),
	    RC_OK);
	CHECK(!slice_is_clean(out));
	CHECK_EQ_INT(
	    agents_read_file(r.agents, &self, &s.call, slice_cstr(path), 1, &out, NULL, &e),
	    RC_DEFER);
	(void)snprintf(link_path, sizeof link_path, "%s/link", tap_dir());
	MUST(symlink("forward", link_path) == 0);
	CHECK_EQ_INT(
	    agents_read_file(r.agents, &self, &s.call, slice_cstr(link_path), 1000, &out, NULL, &e),
	    RC_OK);
	CHECK_EQ_STR(out, "x\n");
	if (getuid() == 0) { /* a link that somebody else made */
		MUST(lchown(link_path, 12345, 12345) == 0);
		CHECK_EQ_INT(agents_read_file(r.agents, &self, &s.call, slice_cstr(link_path), 1000,
		                 &out, NULL, &e),
		    RC_DEFER);
	}
	CHECK_EQ_INT(
	    agents_read_file(r.agents, &self, &s.call, SL("/nowhere/at/all"), 1000, &out, NULL, &e),
	    RC_FAIL);
	CHECK_EQ_INT(
	    agents_read_file(r.agents, &self, &s.call, slice_cstr(tap_dir()), 1000, &out, NULL, &e),
	    RC_DEFER);
	CHECK_EQ_INT(agents_read_file(r.agents, &self, &s.call, slice_tainted(path, strlen(path)),
	                 1000, &out, NULL, &e),
	    RC_ERROR);
	site_fini(&s);
	rig_stop(&r);
}

TEST(commands_run_without_a_shell)
{
	struct rig r;
	struct eval ev = {.arena = arena_new(0), .deadline_us = clock_mono_us() + 20 * US_PER_SEC};
	slice_t out = slice_absent();
	int status = -1;
	struct error e = {.text = ""};
	const slice_t echo[] = {SL("/bin/echo"), SL("$HOME"), slice_tainted("a;b", 3)};
	const slice_t fails[] = {SL("/bin/false")};
	const slice_t tainted[] = {slice_tainted("/bin/echo", 9)};
	const slice_t missing[] = {SL("/no/such/command")};
	rig_start(&r, 0, 0);
	CHECK_EQ_INT(agents_run(r.agents, &self, &ev, echo, 3, &out, &status, &e), RC_OK);
	CHECK_EQ_STR(out, "$HOME a;b\n");
	CHECK(!slice_is_clean(out));
	CHECK_EQ_INT(status, 0);
	CHECK_EQ_INT(agents_run(r.agents, &self, &ev, fails, 1, &out, &status, &e), RC_OK);
	CHECK_EQ_INT(status, 256);
	CHECK_EQ_INT(agents_run(r.agents, &self, &ev, missing, 1, &out, &status, &e), RC_OK);
	CHECK_EQ_INT(status, 127 << 8);
	CHECK_EQ_INT(agents_run(r.agents, &self, &ev, tainted, 1, &out, &status, &e), RC_ERROR);
	rig_stop(&r);
	arena_free(&ev.arena);
}

/* ---- users
 * ------------------------------------------------------------------------------------------------
 */

static void *ask_alice(void *arg)
{
	struct rig *r = arg;
	struct arena *a = arena_new(0);
	struct user_info u = {.uid = -1};
	CHECK_EQ_INT(
	    agents_user(r->agents, a, SL("alice"), clock_mono_us() + 10 * US_PER_SEC, &u, NULL),
	    RC_OK);
	CHECK_EQ_INT(u.uid, 1001);
	CHECK_EQ_INT(u.gid, 1002);
	CHECK_EQ_STR(u.home, "/home/alice");
	CHECK(slice_is_clean(u.home));
	arena_free(&a);
	return NULL;
}

TEST(many_who_ask_for_one_user_ask_master_once)
{
	struct rig r;
	struct user_info u;
	pthread_t t[8];
	struct arena *a = arena_new(0);
	int64_t until = clock_mono_us() + 10 * US_PER_SEC;
	rig_start(&r, 0, 0);
	for (int i = 0; i < 8; i++)
		MUST(pthread_create(&t[i], NULL, ask_alice, &r) == 0);
	for (int i = 0; i < 8; i++)
		(void)pthread_join(t[i], NULL);
	(void)ask_alice(&r);
	CHECK_EQ_INT(atomic_load(&r.user_requests), 1);
	CHECK_EQ_INT(agents_user(r.agents, a, SL("bob"), until, &u, NULL), RC_FAIL);
	CHECK_EQ_INT(agents_user(r.agents, a, SL("bob"), until, &u, NULL), RC_FAIL);
	CHECK_EQ_INT(atomic_load(&r.user_requests), 2);
	CHECK_EQ_INT(agents_user(r.agents, a, SL("away"), until, &u, NULL), RC_DEFER);
	CHECK_EQ_INT(agents_user(r.agents, a, SL("away"), until, &u, NULL), RC_DEFER);
	CHECK_EQ_INT(atomic_load(&r.user_requests), 4); /* "cannot say" is not kept */
	CHECK_EQ_INT(agents_user(r.agents, a, SL(""), until, &u, NULL), RC_FAIL);
	rig_stop(&r);
	arena_free(&a);
}

TAP_MAIN()
