/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ACLs: what is refused when they are loaded, and what they decide when they run. */
#include "acl/acl.h"
#include "message/message.h"
#include "unit/match/site.h"

static const struct config_hooks load_hooks = {.compile_acls = acl_compile_all};

/* ---- what an ACL logs
 * ------------------------------------------------------------------------------------------ */
static char logged[4096];

static void log_line(
    struct eval *ev, enum acl_where where, slice_t text, bool to_main, bool reject, bool panic)
{
	(void)ev, (void)where;
	FILE *f = fmemopen(logged, sizeof logged, "a");
	MUST(f);
	(void)fprintf(f, "%s%s%s %.*s\n", to_main ? "m" : "", reject ? "r" : "", panic ? "p" : "",
	    SL_ARG(text));
	(void)fclose(f);
}

static enum rc verify_address(struct eval *ev, slice_t address, bool is_sender,
    const struct verify_options *o, slice_t *out_user_text, slice_t *out_log_text,
    struct error *err)
{
	(void)ev, (void)is_sender, (void)o;
	if (slice_starts(address, "good"))
		return RC_OK;
	if (slice_starts(address, "later"))
		return error_set(err, RC_DEFER, "router deferred");
	*out_user_text = SL("Unrouteable address");
	*out_log_text = SL("verify failed");
	return error_set(err, RC_FAIL, "unrouteable");
}

static const struct acl_hooks hooks = {.verify_address = verify_address, .log_line = log_line};
static const struct eval_hooks eval_hooks = {.acl = acl_eval_hook};

struct acl_site {
	struct site s;
	struct acl_effects fx;
	struct acl_outcome out;
};

static bool acl_site_init(struct acl_site *t, const char *config)
{
	memset(t, 0, sizeof *t);
	logged[0] = '\0';
	site_init(&t->s);
	bool ok = site_load(&t->s, config, &load_hooks);
	if (ok) {
		t->s.ev.hooks = &eval_hooks;
		t->fx.arena = t->s.arena;
	}
	return ok;
}

static enum rc run(struct acl_site *t, enum acl_where where, const char *acl)
{
	struct acl_run r = {
	    .where = where, .recipient = slice_absent(), .effects = &t->fx, .hooks = &hooks};
	if (where == ACL_RCPT) {
		struct strbuf sb;
		strbuf_init(&sb, t->s.arena, 0);
		strbuf_add(&sb, t->s.address.local_part);
		strbuf_char(&sb, '@');
		strbuf_add(&sb, t->s.address.domain);
		r.recipient = strbuf_slice(&sb);
	}
	t->s.err = (struct error){0};
	return acl_check(&t->s.ev, &r, slice_cstr(acl), &t->out, &t->s.err);
}

static void rcpt(struct acl_site *t, const char *sender, const char *local, const char *domain)
{
	t->s.message.sender_address = slice_tainted(sender, strlen(sender));
	t->s.address.local_part = slice_tainted(local, strlen(local));
	t->s.address.domain = slice_tainted(domain, strlen(domain));
}

static slice_t text_or_dash(slice_t s)
{
	return slice_is_absent(s) ? SL("-") : s;
}

/* ---- decisions
 * -----------------------------------------------------------------------------------------------------
 */

static const char decisions[] =
    "primary_hostname = mx.example.org\n"
    "domainlist ld = a.example\n"
    "begin acl\n"
    "empty:\n"
    "verbs:\n"
    "  deny senders = d1@x.y\n message = 450 4.7.1 wrong digit\n"
    "  deny senders = d2@x.y\n message = 550-5.7.1 dash\n"
    "  deny senders = d3@x.y\n message = 559 5.7.1 right\n"
    "  deny senders = d4@x.y\n message = 559 5.7.1\n log_message = LM\n"
    "  defer senders = d6@x.y\n message = 451 4.3.1 later\n"
    "  deny senders = d7@x.y\n condition = maybe\n"
    "  drop senders = d8@x.y\n message = line1\\nline2\n"
    "  deny senders = d9@x.y\n condition = ${if eq {a}{b}{yes}fail}\n"
    "  deny senders = d9b@x.y\n !condition = ${if eq {a}{b}{yes}fail}\n"
    "  deny senders = d11@x.y\n acl = sub a b ${uc:c}\n"
    "  deny senders = d12@x.y\n set acl_c_x = foo\n set acl_m1 = bar\n message = x=$acl_c_x "
    "1=$acl_m1 q=$acl_m_zzz.\n"
    "  deny senders = d13@x.y\n log_message = only log\n"
    "  discard senders = d14@x.y\n log_message = gone\n"
    "  deny senders = d15@x.y\n message = ${if eq{a}{b}{x}fail}\n"
    "  deny senders = d16@x.y\n log_reject_target = panic\n"
    "  deny senders = d17@x.y\n log_reject_target =\n"
    "  accept senders = d18@x.y\n endpass\n message = not you\n condition = no\n"
    "  accept senders = d19@x.y\n endpass\n message = not you\n condition = yes\n"
    "  deny senders = d20@x.y\n condition = ${acl{yesno}{yes}}\n message = via expansion $value\n"
    "  deny senders = d21@x.y\n condition = ${if acl{{yesno}{no}}{yes}{no}}\n"
    "  deny senders = d22@x.y\n acl = ${if eq{a}{a}{yesno yes}}\n message = chosen\n"
    "  deny senders = d23@x.y\n acl = deny message = inner\n"
    "  require senders = !d24@x.y\n acl = accept condition = yes\n"
    "  deny senders = d25@x.y\n acl = loop\n"
    "  accept senders = d26@x.y\n acl = discards\n"
    "  deny senders = d27@x.y\n acl = discards\n"
    "  require senders = !d28@x.y : *\n acl = drops\n"
    "  accept message = 250 2.1.0 sure\n"
    "sub:\n"
    "  accept message = sub: $acl_narg 1=$acl_arg1 2=$acl_arg2 3=$acl_arg3\n condition = yes\n"
    "yesno:\n"
    "  accept condition = $acl_arg1\n message = yes\n"
    "  deny message = no\n"
    "loop:\n"
    "  deny acl = loop\n"
    "discards:\n"
    "  discard\n"
    "drops:\n"
    "  accept senders = !d28@x.y\n"
    "  drop message = dropped\n"
    "local:\n"
    "  accept domains = +ld\n local_parts = !root\n"
    "  require message = need $domain\n domains = other.example\n local_parts = ^[a-z]+\\$\n "
    "recipients = *@other.example\n"
    "  accept sender_domains = x.y\n hosts = :\n"
    "  deny sender_domains = :\n message = bounce\n";

struct decision {
	const char *sender;
	enum acl_verdict verdict;
	int code;
	const char *enhanced, *user, *log;
};

TEST(verbs_and_messages)
{
	static const struct decision rows[] = {
	    {"d1@x.y", ACL_DENY, 0, "-", "wrong digit", "550 wrong digit"},
	    {"d2@x.y", ACL_DENY, 0, "-", "550-5.7.1 dash", "-"},
	    {"d3@x.y", ACL_DENY, 559, "5.7.1", "right", "-"},
	    {"d4@x.y", ACL_DENY, 559, "-", "5.7.1", "LM"},
	    {"d6@x.y", ACL_DEFER, 451, "4.3.1", "later", "-"},
	    {"d7@x.y", ACL_DEFER, 0, "-", "-", "invalid \"condition\" value \"maybe\""},
	    {"d8@x.y", ACL_DROP, 0, "-", "line1\nline2", "-"},
	    {"d9@x.y", ACL_DENY, 0, "-", "-", "-"},
	    {"d9b@x.y", ACL_DENY, 0, "-", "-", "-"},
	    {"d11@x.y", ACL_DENY, 0, "-", "sub: 3 1=a 2=b 3=C", "-"},
	    {"d12@x.y", ACL_DENY, 0, "-", "x=foo 1=bar q=.", "-"},
	    {"d13@x.y", ACL_DENY, 0, "-", "-", "only log"},
	    {"d14@x.y", ACL_DISCARD, 0, "-", "-", "gone"},
	    {"d15@x.y", ACL_DENY, 0, "-", "-", "-"},
	    {"d18@x.y", ACL_DENY, 0, "-", "not you", "-"},
	    {"d19@x.y", ACL_ACCEPT, 0, "-", "-", "-"},
	    {"d20@x.y", ACL_DENY, 0, "-", "via expansion ", "-"},
	    {"d21@x.y", ACL_ACCEPT, 250, "2.1.0", "sure", "-"},
	    {"d22@x.y", ACL_DENY, 0, "-", "chosen", "-"},
	    {"d23@x.y", ACL_ACCEPT, 250, "2.1.0", "sure", "-"},
	    {"d24@x.y", ACL_DENY, 0, "-", "-", "-"},
	    {"d25@x.y", ACL_DEFER, 0, "-", "-", NULL},
	    {"d26@x.y", ACL_DISCARD, 0, "-", "-", "-"},
	    {"d27@x.y", ACL_DEFER, 0, "-", "-", NULL},
	    {"d28@x.y", ACL_DENY, 0, "-", "-", "-"},
	};
	struct acl_site t;
	if (!CHECK(acl_site_init(&t, decisions)))
		site_say_problems(&t.s);
	for (size_t i = 0; t.s.cfg && i < sizeof rows / sizeof *rows; i++) {
		const struct decision *d = &rows[i];
		rcpt(&t, d->sender, "joe", "a.example");
		CHECK_EQ_INT(run(&t, ACL_MAIL, "verbs"), RC_OK);
		bool ok = CHECK_EQ_INT(t.out.verdict, d->verdict);
		ok &= CHECK_EQ_INT(t.out.smtp_code, d->code);
		ok &= CHECK_EQ_STR(text_or_dash(t.out.enhanced), d->enhanced);
		ok &= CHECK_EQ_STR(text_or_dash(t.out.user_text), d->user);
		if (d->log)
			ok &= CHECK_EQ_STR(text_or_dash(t.out.log_text), d->log);
		if (!ok)
			printf("# %s\n", d->sender);
		arena_reset(t.s.scratch);
	}
	CHECK(strstr(logged, "p configured error code starts with incorrect digit (expected 5) in "
	                     "\"450 4.7.1 wrong digit\"") != NULL);
	site_free(&t.s);
}

TEST(where_rejections_are_logged)
{
	struct acl_site t;
	CHECK(acl_site_init(&t, decisions));
	rcpt(&t, "d3@x.y", "joe", "a.example");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "verbs"), RC_OK);
	CHECK(t.out.log_reject_main && t.out.log_reject_reject && !t.out.log_reject_panic);
	CHECK_EQ_STR(t.out.verb_name, "deny");
	CHECK_EQ_STR(t.out.acl_name, "verbs");
	rcpt(&t, "d16@x.y", "joe", "a.example");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "verbs"), RC_OK);
	CHECK(!t.out.log_reject_main && !t.out.log_reject_reject && t.out.log_reject_panic);
	rcpt(&t, "d17@x.y", "joe", "a.example");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "verbs"), RC_OK);
	CHECK(!t.out.log_reject_main && !t.out.log_reject_reject && !t.out.log_reject_panic);
	site_free(&t.s);
}

TEST(recipients_and_senders)
{
	struct acl_site t;
	CHECK(acl_site_init(&t, decisions));
	rcpt(&t, "s@x.y", "joe", "A.example");
	CHECK_EQ_INT(run(&t, ACL_RCPT, "local"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	CHECK_EQ_STR(t.s.address.domain_data, "a.example");
	CHECK(slice_is_clean(t.s.address.domain_data));
	rcpt(&t, "s@x.y", "root", "a.example");
	CHECK_EQ_INT(run(&t, ACL_RCPT, "local"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DENY);
	CHECK_EQ_STR(t.out.user_text, "need a.example");
	rcpt(&t, "s@x.y", "joe", "other.example");
	CHECK_EQ_INT(run(&t, ACL_RCPT, "local"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	CHECK_EQ_STR(t.s.message.recipient_data, "*@other.example");
	t.s.session.sender_host_address = slice_tainted("10.0.0.1", 8); /* not "no host" any more */
	CHECK_EQ_INT(run(&t, ACL_RCPT, "local"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DENY); /* implicit */
	CHECK(slice_is_absent(t.out.user_text) && slice_is_absent(t.out.verb_name));
	rcpt(&t, "", "joe", "other.example");
	CHECK_EQ_INT(run(&t, ACL_RCPT, "local"), RC_OK);
	CHECK_EQ_STR(t.out.user_text, "bounce");
	/* conditions where they mean nothing */
	CHECK_EQ_INT(run(&t, ACL_HELO, "local"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DEFER);
	CHECK_EQ_STR(t.out.log_text, "cannot test domains condition in EHLO or HELO ACL");
	site_free(&t.s);
}

TEST(texts_found_at_run_time)
{
	struct acl_site t;
	CHECK(acl_site_init(&t, decisions));
	rcpt(&t, "s@x.y", "joe", "a.example");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "accept"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	CHECK_EQ_INT(run(&t, ACL_MAIL, "empty"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DENY);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ_INT(
		    run(&t, ACL_MAIL, "deny message = 553 in line\n senders = s@x.y"), RC_OK);
		CHECK_EQ_INT(t.out.smtp_code, 553);
	}
	const char *path = site_file(&t.s, "acl",
	    "# a comment\ndeny senders = \\\n   # within\n   s@x.y\n     message = from a "
	    "file\naccept\n");
	CHECK_EQ_INT(run(&t, ACL_MAIL, path), RC_OK);
	CHECK_EQ_STR(t.out.user_text, "from a file");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "nonsense"), RC_ERROR);
	CHECK(strstr(t.s.err.text, "unknown ACL verb \"nonsense\"") != NULL);
	CHECK_EQ_INT(run(&t, ACL_MAIL, "deny colour = red"), RC_ERROR);
	CHECK_EQ_INT(run(&t, ACL_MAIL, "/no/such/acl"), RC_ERROR);
	struct acl_run r = {
	    .where = ACL_MAIL, .recipient = slice_absent(), .effects = &t.fx, .hooks = &hooks};
	CHECK_EQ_INT(
	    acl_check(&t.s.ev, &r, slice_tainted("accept", 6), &t.out, &t.s.err), RC_ERROR);
	CHECK(strstr(t.s.err.text, "tainted ACL text") != NULL);
	site_free(&t.s);
}

/* ---- effects
 * ---------------------------------------------------------------------------------------------------------
 */

static const char effects[] =
    "primary_hostname = mx.example.org\n"
    "begin acl\n"
    "headers:\n"
    "  warn add_header = X-Foo: bar\n"
    "       add_header = :at_start:X-Start: a\n"
    "       add_header = :after_received:X-After: b\\nX-Second: c\\n d\\n\n"
    "       add_header = :at_start_rfc:X-Rfc: e\n"
    "       add_header = no header here\n"
    "       add_header = X-Foo: bar\n"
    "  warn message = X-Old: style\n"
    "       condition = yes\n"
    "  warn message = X-Not: this\n"
    "       condition = no\n"
    "  accept remove_header = a : b\n"
    "controls:\n"
    "  warn control = submission/domain=d.example/sender_retain/name=A/B\n"
    "       control = freeze/no_tell\n"
    "       control = queue_only\n"
    "       control = fakereject/go ${uc:away}\n"
    "       control = no_multiline_responses\n"
    "       control = dkim_disable_verify\n"
    "       control = ${if eq{a}{a}{suppress_local_fixups}}\n"
    "       delay = 1m30s\n"
    "       delay = 0.5s\n"
    "  accept\n"
    "badcontrol:\n"
    "  accept control = caseful_local_part\n"
    "logs:\n"
    "  warn log_message = once\n"
    "  warn log_message = once\n"
    "  warn logwrite = :main,reject: both $acl_arg1\n"
    "       logwrite = :panic:only panic\n"
    "       logwrite = plain\n"
    "  warn log_message = never\n"
    "       condition = no\n"
    "  warn condition = wrong\n"
    "       log_message = not logged\n"
    "  warn logwrite = :unknown: x\n"
    "  accept continue = ${if eq{a}{a}{}}\n";

TEST(header_lines)
{
	static const struct {
		const char *text;
		enum acl_header_place place;
	} want[] = {{"X-Foo: bar\n", ACL_AT_END}, {"X-Start: a\n", ACL_AT_START},
	    {"X-After: b\n", ACL_AFTER_RECEIVED}, {"X-Second: c\n d\n", ACL_AT_END},
	    {"X-Rfc: e\n", ACL_AT_START_RFC}, {"X-ACL-Warn: no header here\n", ACL_AT_END},
	    {"X-Old: style\n", ACL_AT_END}};
	enum { WANT = sizeof want / sizeof *want };
	struct acl_site t;
	if (!CHECK(acl_site_init(&t, effects)))
		site_say_problems(&t.s);
	CHECK_EQ_INT(run(&t, ACL_MAIL, "headers"), RC_OK);
	CHECK_EQ_INT(t.fx.headers_added.count, WANT);
	CHECK_EQ_INT(t.fx.headers_where.count, WANT);
	for (size_t i = 0; i < WANT && i < t.fx.headers_added.count; i++) {
		CHECK_EQ_STR(*VEC_AT(&t.fx.headers_added, slice_t, i), want[i].text);
		CHECK_EQ_INT(*VEC_AT(&t.fx.headers_where, uint8_t, i), want[i].place);
	}
	CHECK_EQ_INT(t.fx.headers_removed.count, 1);
	CHECK_EQ_STR(*VEC_AT(&t.fx.headers_removed, slice_t, 0), "a : b");
	site_free(&t.s);
}

TEST(controls)
{
	struct acl_site t;
	CHECK(acl_site_init(&t, effects));
	rcpt(&t, "s@x.y", "joe", "a.example");
	CHECK_EQ_INT(run(&t, ACL_RCPT, "controls"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	CHECK(t.fx.submission && t.fx.submission_sender_retain);
	CHECK_EQ_STR(t.fx.submission_domain, "d.example");
	CHECK_EQ_STR(t.fx.submission_name, "A/B");
	CHECK(t.fx.freeze && t.fx.freeze_no_tell && t.fx.queue_only && t.fx.fake_reject &&
	      !t.fx.fake_defer);
	CHECK_EQ_STR(t.fx.fake_text, "go AWAY");
	CHECK(t.fx.no_multiline && t.fx.suppress_local_fixups);
	CHECK_EQ_INT(t.fx.delay_ms, 90500);
	CHECK_EQ_INT(run(&t, ACL_RCPT, "badcontrol"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	CHECK(t.fx.caseful_local_part);
	CHECK_EQ_INT(run(&t, ACL_MAIL, "badcontrol"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DEFER);
	CHECK_EQ_STR(t.out.log_text, "cannot use \"control=caseful_local_part\" in MAIL ACL");
	site_free(&t.s);
}

TEST(log_lines)
{
	struct acl_site t;
	CHECK(acl_site_init(&t, effects));
	t.s.session.sender_fullhost = slice_tainted("(x) [1.2.3.4]", 13);
	t.s.session.sender_ident = slice_tainted("me", 2);
	CHECK_EQ_INT(run(&t, ACL_CONNECT, "logs"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	CHECK_EQ_STR(slice_cstr(logged),
	    "m H=(x) [1.2.3.4] U=me Warning: once\n"
	    "mr both \n"
	    "p only panic\n"
	    "m plain\n"
	    "m H=(x) [1.2.3.4] U=me Warning: ACL \"warn\" statement skipped: condition test "
	    "deferred: "
	    "invalid \"condition\" value \"wrong\"\n"
	    "mp unknown log name in \":unknown: x\" in \"logwrite\" in connection ACL\n");
	site_free(&t.s);
}

/* ---- verification
 * ------------------------------------------------------------------------------------------------------
 */

static const char verification[] =
    "primary_hostname = mx.example.org\n"
    "begin acl\n"
    "sender:\n"
    "  require verify = sender\n"
    "  accept\n"
    "ok:\n"
    "  require verify = sender/defer_ok\n"
    "  accept\n"
    "given:\n"
    "  require message = no: $acl_verify_message\n"
    "          log_message = L\n"
    "          verify = sender=${local_part:$sender_address}@q/no_details\n"
    "  accept\n"
    "recipient:\n"
    "  deny !verify = recipient\n"
    "  accept\n"
    "data:\n"
    "  require verify = header_syntax\n"
    "  require verify = header_names_ascii\n"
    "  require verify = not_blind\n"
    "  require verify = header_sender\n"
    "  accept\n"
    "client:\n"
    "  require verify = helo\n"
    "  require verify = reverse_host_lookup\n"
    "  deny encrypted = *\n"
    "  deny authenticated = *\n"
    "  deny verify = certificate\n"
    "  accept\n";

TEST(verified_addresses)
{
	struct acl_site t;
	if (!CHECK(acl_site_init(&t, verification)))
		site_say_problems(&t.s);
	rcpt(&t, "good@x.y", "bad", "a.example");
	CHECK_EQ_INT(run(&t, ACL_RCPT, "sender"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	CHECK_EQ_INT(run(&t, ACL_RCPT, "recipient"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DENY);
	CHECK(t.out.recipient_verify_failed && !t.out.sender_verify_failed);
	CHECK_EQ_STR(t.out.user_text, "Unrouteable address");
	rcpt(&t, "bad@x.y", "good", "a.example");
	CHECK_EQ_INT(run(&t, ACL_RCPT, "sender"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DENY);
	CHECK(t.out.sender_verify_failed && !t.out.no_details);
	CHECK_EQ_STR(t.out.user_text, "Sender verify failed");
	CHECK_EQ_STR(t.out.log_text, "Sender verify failed");
	CHECK_EQ_STR(t.out.verified_sender, "bad@x.y");
	CHECK_EQ_STR(t.out.verify_detail, "Unrouteable address");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "given"), RC_OK);
	CHECK_EQ_STR(t.out.user_text, "no: Sender verify failed");
	CHECK_EQ_STR(t.out.log_text, "L: Sender verify failed");
	CHECK(t.out.no_details);
	/* for who answers, until the next one */
	CHECK_EQ_STR(t.s.message.acl_verify_message, "Sender verify failed");
	rcpt(&t, "later@x.y", "good", "a.example");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "sender"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_DEFER);
	CHECK_EQ_STR(t.out.log_text, "Could not complete sender verify");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "ok"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	rcpt(&t, "", "good", "a.example");
	CHECK_EQ_INT(run(&t, ACL_MAIL, "sender"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	/* no client host: nothing to verify, nothing encrypted */
	CHECK_EQ_INT(run(&t, ACL_MAIL, "client"), RC_OK);
	CHECK_EQ_INT(t.out.verdict, ACL_ACCEPT);
	site_free(&t.s);
}

TEST(verified_headers)
{
	static const struct {
		const char *header;
		enum acl_verdict want;
		const char *logged; /* the client is told by smtp_return_error_details only */
	} rows[] = {
	    {"From: good@x.y\nTo: rcpt@a.b\n", ACL_ACCEPT, "-"},
	    {"From: bad@x.y\nSender: good@z\nTo: <rcpt@A.B>\n", ACL_ACCEPT, "-"},
	    {"From: good@x.y\nTo: @\n", ACL_DENY,
	        "domain missing or malformed: failing address in \"To:\" header is: @"},
	    {"From: good@x.y\nTo: <>, rcpt@a.b\n", ACL_DENY,
	        "missing or malformed local part: failing address in \"To:\" header is: <>"},
	    {"From: good@x.y\nTo: undisclosed;\n", ACL_DENY,
	        "malformed address: ; may not follow undisclosed: failing address in \"To:\" "
	        "header "
	        "is: undisclosed;"},
	    {"From: good@x.y\nTo: group: rcpt@a.b;\n", ACL_ACCEPT, "-"},
	    {"From: good@x.y\nX-\xc3\xa4: 1\nTo: rcpt@a.b\n", ACL_DENY,
	        "Invalid character in header \"X-\303\244\" found"},
	    {"From: good@x.y\nTo: other@a.b\n", ACL_DENY, "bcc recipient detected"},
	    {"From: good@x.y\nTo: RCPT@a.b\n", ACL_DENY, "bcc recipient detected"},
	    {"From: bad@x.y\nCc: rcpt@a.b\n", ACL_DENY,
	        "there is no valid sender in any header line"},
	    {"To: rcpt@a.b\n", ACL_DENY, "there is no valid sender in any header line"},
	};
	slice_t recipient = SL("rcpt@a.b");
	struct acl_site t;
	CHECK(acl_site_init(&t, verification));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		t.s.headers = (struct header_list){0};
		header_parse(
		    t.s.arena, slice_tainted(rows[i].header, strlen(rows[i].header)), &t.s.headers);
		t.s.message.recipients = &recipient;
		t.s.message.recipients_count = 1;
		CHECK_EQ_INT(run(&t, ACL_DATA, "data"), RC_OK);
		bool ok = CHECK_EQ_INT(t.out.verdict, rows[i].want);
		ok &= CHECK_EQ_STR(text_or_dash(t.out.log_text), rows[i].logged);
		ok &= CHECK_EQ_STR(text_or_dash(t.out.user_text), "-");
		if (!ok)
			printf("# %s# %.*s\n", rows[i].header, SL_ARG(t.out.log_text));
	}
	site_free(&t.s);
}

/* ---- loading
 * -----------------------------------------------------------------------------------------------------------
 */

TEST(problems_at_load)
{
	static const struct {
		const char *config;
		unsigned line;
		const char *why;
	} rows[] = {
	    {"begin acl\na:\n deny colour = red\n", 3,
	        "unknown ACL condition/modifier in \"colour\""},
	    {"begin acl\na:\n deny domain = red\n", 3, "did you mean \"domains\"?"},
	    {"begin acl\na:\n deny hosts\n", 3, "\"=\" missing"},
	    {"begin acl\na:\n deny dnslists = x.y\n", 3, "not supported yet: dnslists"},
	    {"begin acl\na:\n deny ratelimit = 1/m\n", 3, "not supported yet: ratelimit"},
	    {"begin acl\na:\n deny !message = x\n", 3, "negation is not allowed"},
	    {"begin acl\na:\n deny endpass\n", 3, "\"endpass\" is not allowed with \"deny\""},
	    {"begin acl\na:\n deny set x = y\n", 3, "invalid variable name after \"set\""},
	    {"begin acl\na:\n deny verify = nonsense\n", 3, "at start of ACL condition"},
	    {"begin acl\na:\n deny verify = recipient/callout\n", 3,
	        "not supported yet: verify = recipient/callout"},
	    {"begin acl\na:\n deny verify = sender/nonsense\n", 3, "unknown option \"nonsense\""},
	    {"begin acl\na:\n deny control = nonsense\n", 3,
	        "syntax error in \"control=nonsense\""},
	    {"begin acl\na:\n deny control = debug/pretrigger=10\n", 3,
	        "not supported yet: control = debug/pretrigger"},
	    {"begin acl\na:\n deny control = freeze/nonsense\n", 3,
	        "syntax error in \"control=freeze/nonsense\""},
	    {"begin acl\na:\n deny domains = +nowhere\n", 3,
	        "unknown named domain list \"+nowhere\""},
	    {"begin acl\na:\n deny condition = ${nonsense:x}\n", 3, "nonsense"},
	    {"acl_smtp_mail = nowhere\n", 1, "there is no ACL \"nowhere\""},
	    {"acl_smtp_mail = no where\n", 1, "unknown ACL verb \"no\""},
	    {"begin acl\nabc:\n deny acl = abd\n", 3,
	        "there is no ACL \"abd\" (did you mean \"abc\"?)"},
	    {"begin acl\na:\n deny acl = accept domain = x\n", 3,
	        "unknown ACL condition/modifier in \"domain\""},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct acl_site t;
		if (!CHECK(!acl_site_init(&t, rows[i].config)) ||
		    !CHECK(site_has_problem(&t.s, rows[i].line, rows[i].why)))
			printf("# %s\n", rows[i].config);
		site_free(&t.s);
	}
}

TEST(several_problems_in_one_go)
{
	struct acl_site t;
	CHECK(!acl_site_init(
	    &t, "begin acl\na:\n deny colour = red\n deny hosts = +x\nb:\n accept spf = pass\n"));
	CHECK(site_has_problem(&t.s, 3, "colour"));
	CHECK(site_has_problem(&t.s, 4, "+x"));
	CHECK(site_has_problem(&t.s, 6, "not supported yet: spf"));
	site_free(&t.s);
}

/* Running the same ACL again and again takes no more memory than once. */
TEST(steady_state)
{
	struct acl_site t;
	CHECK(acl_site_init(&t, decisions));
	rcpt(&t, "d27b@x.y", "joe", "a.example");
	size_t once = 0;
	for (int i = 0; i < 100; i++) {
		CHECK_EQ_INT(run(&t, ACL_MAIL, "verbs"), RC_OK);
		if (i == 1)
			once = arena_used(t.s.scratch);
		if (i > 1)
			CHECK_EQ_INT(arena_used(t.s.scratch), once);
		arena_reset(t.s.scratch);
	}
	site_free(&t.s);
}

/* Who comes there is deferred; nobody need ever come there. */
TEST(misplaced_conditions_are_warned_of)
{
	static const struct {
		const char *config;
		unsigned line;
		const char *why;
	} rows[] = {
	    {"acl_smtp_helo = a\nbegin acl\na:\n deny domains = x\n", 4,
	        "cannot test domains condition in EHLO or HELO ACL"},
	    {"acl_smtp_helo = a\nbegin acl\na:\n deny acl = b\nb:\n deny domains = x\n", 6,
	        "in EHLO or HELO ACL"},
	    {"acl_smtp_mail = a\nbegin acl\na:\n deny verify = recipient\n", 4,
	        "cannot verify recipient in ACL for MAIL"},
	    {"acl_smtp_connect = a\nbegin acl\na:\n deny control = freeze\n", 4,
	        "cannot use \"control=freeze\" in connection ACL"},
	    {"acl_smtp_helo = a\nbegin acl\na:\n accept\n discard\n", 5,
	        "\"discard\" is not allowed"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct acl_site t;
		bool found = false;
		CHECK(acl_site_init(&t, rows[i].config));
		VEC_FOREACH(&t.s.warnings, const struct error, w)
		found |= w->line == rows[i].line && strstr(w->text, rows[i].why) != NULL;
		if (!CHECK(found))
			printf("# %s\n", rows[i].config);
		site_free(&t.s);
	}
}

TEST(warnings_at_load)
{
	static const struct {
		const char *config;
		unsigned line;
		const char *what; /* NULL: there is no warning */
	} rows[] = {
	    {"acl_smtp_connect = a\nbegin acl\na:\n deny condition = ${if eq{$local_part}{x}}\n", 4,
	        "condition: \"$local_part\" is never set here: it is set for RCPT"},
	    {"acl_smtp_helo = a\nbegin acl\na:\n deny message = no\n condition = $sender_address\n",
	        5, "\"$sender_address\" is never set here: it is set from MAIL on"},
	    {"acl_smtp_data = a\nbegin acl\na:\n deny hosts = $domain\n", 4,
	        "\"$domain\" is never set"},
	    {"acl_smtp_rcpt = a\nbegin acl\na:\n deny condition = ${if match{$h_subject:}{x}}\n", 4,
	        "\"$h_subject:\" is never set here: it is set when the message's text is there"},
	    {"acl_smtp_connect = a\nbegin acl\na:\n deny acl = b\nb:\n accept condition = $home\n",
	        6, "\"$home\" is never set"},
	    {"acl_smtp_connect = deny condition = ${if def:home{$domain}}\n", 1,
	        "\"$domain\" is never"},
	    /* set in one of the places; asked for first; where any place may be meant */
	    {"acl_smtp_mail = a\nacl_smtp_rcpt = a\nbegin acl\na:\n deny condition = $domain\n", 0,
	        NULL},
	    {"acl_smtp_mail = a\nbegin acl\na:\n deny condition = ${if def:domain{$domain}}\n", 0,
	        NULL},
	    {"acl_smtp_vrfy = a\nbegin acl\na:\n deny condition = $domain\n", 0, NULL},
	    {"begin acl\na:\n deny condition = $domain\n", 0, NULL},
	    {"begin acl\na:\n deny condition = ${if >{$acl_m_x}{3}}\n", 3,
	        "condition: \"$acl_m_x\" may be empty where a number is wanted: it then counts as "
	        "0"},
	    {"begin acl\na:\n warn condition = x\n set acl_m_x = 1\n"
	     " deny condition = ${eval:2*$acl_m_x}\n",
	        5, "\"$acl_m_x\" may be empty where a number is wanted: the expansion then fails"},
	    {"begin acl\na:\n deny condition = ${if >{$acl_m_x}{3}}\nb:\n warn set acl_m_x = 0\n",
	        0, NULL},
	    {"begin acl\na:\n deny condition = ${if >{0$acl_m_x}{3}}\n set acl_m_y = "
	     "${eval:$acl_m_y+1}\n",
	        0, NULL},
	    {"begin acl\na:\n deny condition = ${if and{{def:acl_m_x}{>{$acl_m_x}{3}}}}\n", 0,
	        NULL},
	    {"smtp_banner = $sender_address\n", 1,
	        "smtp_banner: \"$sender_address\" is never set here"},
	    {"acl_smtp_rcpt = ${if eq{$message_body}{}{accept}{deny}}\n", 1,
	        "\"$message_body\" is never"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct acl_site t;
		bool ok = CHECK(acl_site_init(&t, rows[i].config));
		size_t found = 0;
		VEC_FOREACH(&t.s.warnings, const struct error, w)
		found += rows[i].what && w->line == rows[i].line && strstr(w->text, rows[i].what);
		ok &= CHECK_EQ_INT(found, rows[i].what != NULL);
		ok &= CHECK_EQ_INT(t.s.warnings.count, rows[i].what != NULL);
		VEC_FOREACH(&t.s.warnings, const struct error, w)
		if (!ok)
			printf("# %u: %s\n", w->line, w->text);
		if (!ok)
			printf("# row %zu\n", i);
		site_free(&t.s);
	}
}

TAP_MAIN()
