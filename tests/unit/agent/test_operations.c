/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One operation in a real agent, behind the proxy: what crosses, and what must not. */
#include "unit/agent/rig.inc"

#include "base/io.h"

static enum rc one(const char *name, const char *act, const char *text, int64_t number,
    struct site *s, struct error *err)
{
	struct rig r;
	rig_start(&r, 0, 0);
	site_init(s, name, act, text, number);
	*err = (struct error){.text = ""};
	enum rc rc = site_deliver(&r, s, err);
	rig_stop(&r);
	return rc;
}

TEST(options_recipients_and_outcomes_cross)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	rig_start(&r, 0, 0);
	site_init(&s, "local", "recipients", "an option", 0);
	s.recipients = 3;
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_OK);
	CHECK_EQ_STR(slice_cstr(e.text), "");
	CHECK_EQ_STR(s.outcomes[0].text, "user0@example.org via local an option");
	CHECK_EQ_STR(s.outcomes[2].text, "user2@example.org via local an option");
	CHECK(!slice_is_clean(s.outcomes[0].text));
	CHECK_EQ_INT(s.outcomes[1].result, HEDDLE_FAIL);
	CHECK_EQ_INT(s.outcomes[2].smtp, 250);
	CHECK_EQ_STR(slice_cstr(s.outcomes[2].enhanced), "2.0.0");
	site_fini(&s);
	rig_stop(&r);
}

TEST(a_message_takes_the_wire_form_asked_for)
{
	static const struct {
		int64_t wire;
		const char *from, *want;
	} cases[] = {
	    {HEDDLE_WIRE_LF, NULL, "Subject: x\n\nFrom here\n.dot\n"},
	    {HEDDLE_WIRE_LF, "From ", "Subject: x\n\n>From here\n.dot\n"},
	    {HEDDLE_WIRE_CRLF, NULL, "Subject: x\r\n\r\nFrom here\r\n.dot\r\n"},
	    {HEDDLE_WIRE_DOTS, NULL, "Subject: x\r\n\r\nFrom here\r\n..dot\r\n"},
	};
	struct rig r;
	rig_start(&r, 0, 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct site s;
		struct error e = {.text = ""};
		slice_t got = slice_absent();
		char name[8];
		(void)snprintf(name, sizeof name, "w%zu", i);
		site_init(&s, name, "stream", cases[i].from, cases[i].wire);
		s.path = arena_printf(s.arena, "%s/out", tap_dir());
		CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_OK);
		CHECK_EQ_STR(slice_cstr(e.text), "");
		CHECK_EQ_INT(
		    io_read_file(s.arena, arena_cstr(s.arena, s.path), 4096, &got, &e), RC_OK);
		CHECK_EQ_STR(got, cases[i].want);
		site_fini(&s);
	}
	rig_stop(&r);
}

/* Lines that straddle every buffer's edge: the form made here is the form made there. */
TEST(a_long_message_survives_every_edge)
{
	struct rig r;
	struct site s;
	struct strbuf text, want;
	struct error e = {.text = ""};
	slice_t got = slice_absent();
	rig_start(&r, 0, 0);
	site_init(&s, "long", "stream", "From ", HEDDLE_WIRE_DOTS);
	strbuf_init(&text, s.arena, 0);
	strbuf_init(&want, s.arena, 0);
	for (unsigned i = 0; i < 9000; i++) {
		const char *start = i % 3 == 0 ? "From " : i % 3 == 1 ? ".x" : "plain";
		strbuf_printf(&text, "%s%.*s\n", start, (int)(i % 60),
		    "0123456789012345678901234567890123456789012345678901234567890");
		strbuf_printf(&want, "%s%s%.*s\r\n",
		    i % 3 == 0   ? ">"
		    : i % 3 == 1 ? "."
		                 : "",
		    start, (int)(i % 60),
		    "0123456789012345678901234567890123456789012345678901234567890");
	}
	s.message = strbuf_slice(&text);
	s.path = arena_printf(s.arena, "%s/out", tap_dir());
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_OK);
	CHECK_EQ_INT(io_read_file(s.arena, arena_cstr(s.arena, s.path), 1 << 24, &got, &e), RC_OK);
	CHECK(slice_eq(got, strbuf_slice(&want)));
	site_fini(&s);
	rig_stop(&r);
}

TEST(a_command_is_fed_while_its_output_is_drained)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	rig_start(&r, 0, 0);
	site_init(&s, "cat", "cat", NULL, 0);
	char *big = arena_bytes(s.arena, 700000);
	memset(big, 'x', 700000);
	s.message = slice_tainted(big, 700000);
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_OK);
	CHECK_EQ_STR(slice_cstr(e.text), "");
	CHECK_EQ_STR(s.outcomes[0].text, "700000 of 700000 status 0");
	site_fini(&s);
	rig_stop(&r);
}

TEST(a_command_inherits_nothing)
{
	struct site s;
	struct error e;
	CHECK_EQ_INT(
	    one("env", "shell", "env | grep -v PWD | sort | tr '\\n' ,; ls /proc/$$/fd; exit 3", 0,
	        &s, &e),
	    RC_OK);
	CHECK_EQ_STR(s.outcomes[0].text, "768: PATH=/bin:/usr/bin,PROBE=yes,0\n1\n2\n");
	site_fini(&s);
}

TEST(a_command_that_floods_or_hangs_is_killed)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	rig_start(&r, 0, 0);
	site_init(&s, "flood", "shell", "exec yes", 0);
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(e.text), "the command wrote more than 4096 bytes");
	site_fini(&s);
	site_init(&s, "hang", "shell", "sleep 60 & sleep 60", 0);
	s.call.deadline_us = clock_mono_us() + US_PER_SEC / 2;
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(e.text), "the command timed out");
	site_fini(&s);
	CHECK_EQ_INT(atomic_load(&r.started), 1); /* the agent itself is well */
	rig_stop(&r);
}

TEST(reasons_and_bad_results_cross)
{
	struct site s;
	struct error e;
	CHECK_EQ_INT(one("a", "fail", NULL, 0, &s, &e), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(e.text), "no mailbox here");
	CHECK_EQ_INT(s.call.reason_smtp, 550);
	CHECK_EQ_STR(s.call.reason_shown, "shown");
	CHECK(!slice_is_clean(s.call.reason_shown));
	site_fini(&s);
	CHECK_EQ_INT(one("b", "nonsense", NULL, 0, &s, &e), RC_ERROR);
	CHECK_EQ_STR(slice_cstr(e.text), "probe returned 99, which is no result");
	site_fini(&s);
	CHECK_EQ_INT(one("c", "defer", NULL, 0, &s, &e), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(e.text), "the server of $deferring is away");
	CHECK(s.call.service_deferred);
	site_fini(&s);
	CHECK_EQ_INT(one("d", "fail", NULL, 13, &s, &e), RC_ERROR);
	CHECK_EQ_STR(slice_cstr(e.text), "13 is not served");
	site_fini(&s);
}

TEST(clean_is_believed_only_of_what_we_gave_as_clean)
{
	struct site s;
	struct error e;
	CHECK_EQ_INT(one("taint", "taint", "the site's words", 0, &s, &e), RC_OK);
	CHECK_EQ_INT(s.var_count, 3);
	CHECK_EQ_STR(s.vars[0].value, "the site's words");
	CHECK(slice_is_clean(s.vars[0].value));
	CHECK_EQ_STR(s.vars[1].value, "forged");
	CHECK(!slice_is_clean(s.vars[1].value));
	CHECK_EQ_STR(s.vars[2].value, "peer's");
	CHECK(!slice_is_clean(s.vars[2].value));
	site_fini(&s);
}

TEST(a_text_too_long_for_a_datagram_crosses)
{
	struct site s;
	struct error e;
	CHECK_EQ_INT(one("big", "big", NULL, 0, &s, &e), RC_OK);
	CHECK_EQ_INT(s.vars[0].value.len, 300000);
	CHECK(s.vars[0].value.len == 300000 && s.vars[0].value.ptr[299999] == 'e');
	site_fini(&s);
}

TEST(items_keep_their_taint_and_place)
{
	struct site s;
	struct error e;
	CHECK_EQ_INT(one("items", "items", "a:bb::c", 0, &s, &e), RC_OK);
	CHECK_EQ_STR(s.outcomes[0].text, "[a][bb][][c]");
	site_fini(&s);
}

TEST(a_handle_of_an_earlier_call_is_stale)
{
	struct rig r;
	struct site s;
	struct error e = {.text = ""};
	rig_start(&r, 0, 0);
	site_init(&s, "stale", "stale", NULL, 0);
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_OK);
	site_fini(&s);
	site_init(&s, "stale", "stale", NULL, 0);
	CHECK_EQ_INT(site_deliver(&r, &s, &e), RC_ERROR);
	CHECK_EQ_STR(slice_cstr(e.text), "stale handle");
	site_fini(&s);
	rig_stop(&r);
}

TEST(log_lines_are_limited_and_debugging_is_known)
{
	struct site s;
	struct error e;
	CHECK_EQ_INT(one("log", "log", NULL, 1, &s, &e), RC_OK);
	CHECK_EQ_STR(s.outcomes[0].text, "debugging");
	CHECK_EQ_INT(s.lines, 200);
	site_fini(&s);
}

TAP_MAIN()
