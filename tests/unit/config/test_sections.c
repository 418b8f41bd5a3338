/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Without drivers: what the kernel itself says about sections.  test_drivers has the rest. */
#include "load.h"

#define RT  "begin routers\n"
#define TR  "begin transports\n"
#define T_T TR "t:\n driver = smtp\n"

static const struct {
	const char *text, *what, *want;
} good[] = {
    {RT "r:\n driver = redirect\nr2 :\n driver = redirect\n", "router_list", "r\nr2\n"},
    {RT "r:\n driver = accept\n transport = t\nM = 1\nr2:\n driver = accept\n transport = t\n" T_T,
        "router_list", "r\nr2\n"},
    {T_T "begin authenticators\na:\n driver = plaintext\n", "authenticator_list", "a\n"},
    {T_T, "router x", "router x not found"},
    {T_T, "transport t",
        "no_body_only\ncurrent_directory = \ndebug_print = "
        "\nno_delivery_date_add\nno_disable_logging\ndriver = smtp\n"
        "no_envelope_to_add\nevent_action = \ngroup = \nheaders_add = "
        "\nno_headers_only\nheaders_remove = \n"
        "headers_rewrite = \nhome_directory = \nno_initgroups\nno_isolate\nmax_parallel = "
        "\nmessage_size_limit "
        "= 0\n"
        "no_rcpt_include_affixes\nno_retry_use_local_part\nreturn_path = "
        "\nno_return_path_add\nshadow_condition = \n"
        "shadow_transport = \ntransport_filter = \ntransport_filter_timeout = 5m\nuser = \n"},
};

TEST(instances)
{
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		check_prints(good[i].text, good[i].what, good[i].want);
}

TEST(router_options)
{
	struct loaded r =
	    load(RT "a:\n no_verify\n condition = a\n condition = ${if bool{b}}\n set = r_x = 1\n"
	            " set = r_y = 2;;3\n headers_add = X: 1\n headers_add = Y: 2\n headers_remove "
	            "= A:B\n headers_remove = C\n"
	            " unseen = false\n user = root\n group = 8\n transport = t\n fail_verify\n "
	            "driver = accept\n" T_T);
	slice_t text = printed(&r, "router a", true);
	static const char *const want[] = {
	    "condition = ${if and{{bool_lax{a}}{bool_lax{${if bool{b}}}}}}\n",
	    "\nheaders_add = X: 1\\nY: 2\n", "\nheaders_remove = A:B:C\n",
	    "\nset = r_x = 1;r_y = 2;;3\n", "\nno_verify_sender\n", "\nno_verify_recipient\n",
	    "\nfail_verify_sender\n", "\nfail_verify_recipient\n", "\nno_unseen\n", "\nmore\n",
	    "\nuser = root\n", "\ngroup = 8\n", "\nself = freeze\n", "\ntransport = t\n",
	    "\ndriver = accept\n"};
	if (!CHECK(r.cfg != NULL))
		fprintf(stderr, "# %.*s\n", SL_ARG(r.problem_text));
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
		if (!CHECK(text_has(text, want[i])))
			fprintf(stderr, "# missing: %s", want[i]);
	const struct heddle_instance *a = r.cfg ? config_router(r.cfg, 0) : NULL;
	if (CHECK(a != NULL)) {
		CHECK_EQ_STR(a->name, "a");
		CHECK_EQ_INT(a->line, 2);
		CHECK(a->driver == NULL);
		CHECK_EQ_INT(a->generic[RO_group].number, 8);
		CHECK_EQ_INT(a->generic[RO_user].number, -1);
		CHECK_EQ_INT(a->generic[RO_verify_sender].number, 0);
		CHECK_EQ_INT(a->sets.count, 2);
		CHECK_EQ_STR(VEC_AT(&a->sets, struct config_set, 0)->name, "r_x");
		CHECK_EQ_STR(VEC_AT(&a->sets, struct config_set, 1)->name, "r_y");
		slice_t value;
		CHECK(expr_constant(VEC_AT(&a->sets, struct config_set, 1)->value, &value));
		CHECK_EQ_STR(value, "2;3");
		CHECK(config_router_named(r.cfg, SL("a")) == a);
		CHECK(config_router(r.cfg, 1) == NULL);
		CHECK(config_transport_named(r.cfg, SL("t")) == config_transport(r.cfg, 0));
	}
	loaded_free(&r);
}

static const struct {
	const char *text, *want;
} bad[] = {
    {RT " driver = accept\n", "test.conf:2: the name of a router followed by a colon was expected"},
    {RT "a:\n verify_only\n", "test.conf:2: router a: no driver defined"},
    {RT "a: driver = accept\n verify_only\n",
        "router \"a\": extra characters follow the name: \"driver = accept\""},
    {RT "a:\n driver = redirect\na:\n driver = redirect\n",
        "test.conf:4: there are two routers called \"a\""},
    {RT "a b:\n driver = redirect\n", "test.conf:2: the name of a router"},
    {RT "a:\n driver = redirect\n driver = redirect\n",
        "router a: option \"driver\" is set for the second time"},
    {RT "a:\n driver = accept\n", "router a: a transport is required for this router"},
    {RT "a:\n driver = accept\n transport = tt\n" TR "ttt:\n driver = smtp\n",
        "test.conf:4: router a: option \"transport\": there is no transport called \"tt\"; did you "
        "mean \"ttt\"?"},
    {RT "a:\n driver = redirect\n redirect_router = b\n", "there is no router called \"b\""},
    {RT "b:\n driver = redirect\na:\n driver = redirect\n pass_router = b\n",
        "router \"b\" does not come later"},
    {RT "a:\n driver = redirect\n more = perhaps\n",
        "router a: option \"more\": true, false, yes or no was expected"},
    {RT "a:\n driver = redirect\n set = x = 1\n",
        "option \"set\": r_NAME = VALUE was expected, found \"x = 1\""},
    {RT "a:\n driver = redirect\n dnssec_require_domains = *\n",
        "router a: option \"dnssec_require_domains\": not supported yet"},
    {TR "t:\n driver = smtp\n shadow_transport = u\n",
        "transport t: option \"shadow_transport\": not supported yet"},
    {"begin authenticators\nx:\n driver = plaintext\n public_name = PLAIN\n server_condition = "
     "q\ny:\n driver = plaintext\n"
     " public_name = plain\n server_condition = q\n",
        "two server authenticators (x and y) have the same public name"},
    {"begin rewrite\n*@a b@c\n", "test.conf:2: not supported yet: rewriting rules"},
    {"begin rewrite\n*@a\n", "a replacement was expected"},
    {"begin rewrite\n*@a b@c XZ\n", "unknown flag 'X'"},
};

TEST(refused)
{
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_refused(bad[i].text, bad[i].want);
}

/* ---- acl
 * ------------------------------------------------------------------------------------------------
 */
static slice_t acl_text(struct loaded *r)
{
	struct strbuf sb;
	strbuf_init(&sb, r->a, 0);
	if (!r->cfg)
		return r->problem_text;
	for (uint32_t i = 0; i < config_acl_count(r->cfg); i++) {
		const struct acl_source *s = config_acl_source(r->cfg, i);
		strbuf_printf(&sb, "%.*s:", SL_ARG(s->name));
		VEC_FOREACH(&s->lines, struct acl_line, x)
		strbuf_printf(&sb, " %u%s%s[%.*s]%s%.*s", x->line, x->is_verb ? "*" : "",
		    x->negated ? "!" : "", SL_ARG(x->keyword),
		    slice_is_absent(x->value) ? "-" : "=", SL_ARG(x->value));
		strbuf_char(&sb, '\n');
	}
	return strbuf_slice(&sb);
}

TEST(acl_lines)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
	    {"begin acl\nx:\n accept\n", "x: 3*[accept]-\n"},
	    {"begin acl\nx: accept\ny:\n", "x: 2*[accept]-\ny:\n"},
	    {"begin acl\nx:\n accept hosts = a : \\\n b\n  !condition = b\n  ! verify = "
	     "sender/callout\n deny\n",
	        "x: 3*[accept]- 3[hosts]=a : b 5![condition]=b 6![verify]=sender/callout "
	        "7*[deny]-\n"},
	    {"begin acl\nx:\n warn set acl_m_a = b = c\n accept endpass\n",
	        "x: 3*[warn]- 3[set]=acl_m_a = b = c 4*[accept]- 4[endpass]-\n"},
	    {"begin acl\nM = accept\nx:\n M\nN = deny\ny:\n N\n", "x: 4*[accept]-\ny: 7*[deny]-\n"},
	    {"begin acl\nx:\n accept hosts = :\n", "x: 3*[accept]- 3[hosts]=:\n"},
	    {"begin acl\nx:\n accept hosts =\n", "x: 3*[accept]- 3[hosts]=\n"},
	    {"begin acl\nX:\n accept\n", "X: 3*[accept]-\n"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct loaded r = load(rows[i].text);
		CHECK_EQ_STR(acl_text(&r), rows[i].want);
		loaded_free(&r);
	}
}

TEST(acl_refused)
{
	check_refused(
	    "begin acl\n accept\n", "test.conf:2: an ACL's name followed by a colon was expected");
	check_refused(
	    "begin acl\nx:\n accept\nx:\n deny\n", "test.conf:4: there are two ACLs called \"x\"");
	check_refused("begin acl\nx:\n foo = bar\n", "test.conf:3: ACL \"x\": a verb");
	check_refused(
	    "begin acl\nx:\n accept hosts a\n", "\"=\" was expected behind \"hosts\", found \"a\"");
	check_refused("begin acl\nx:\n accept\n = b\n",
	    "a verb, condition or modifier was expected, found \"= b\"");
	check_refused(
	    "begin acl\nx y:\n accept\n", "an ACL's name followed by a colon was expected");
}

/* ---- retry
 * ---------------------------------------------------------------------------------------------- */
TEST(retry_rules)
{
	struct loaded r = load("begin retry\n* * F,2h,15m; G,16h,1h,1.5; F,4d,6h\n"
	                       "\"a.example : b.example\" rcpt_45x senders=\": x@y.example\" h, 1d "
	                       ", 10m , 2 ;\nc.example quota_5d\n* refused_a F,1h,1m\n");
	if (!CHECK(r.cfg != NULL))
		fprintf(stderr, "# %.*s\n", SL_ARG(r.problem_text));
	const struct vec *rules = r.cfg ? config_retry_rules(r.cfg) : NULL;
	if (rules && CHECK_EQ_INT(rules->count, 4)) {
		const struct retry_rule *x = VEC_AT(rules, struct retry_rule, 0);
		CHECK_EQ_INT(x->line, 2);
		CHECK_EQ_STR(x->pattern_text, "*");
		CHECK_EQ_STR(x->error, "*");
		CHECK(x->pattern != NULL && x->senders == NULL);
		CHECK_EQ_INT(x->steps.count, 3);
		const struct retry_step *g = VEC_AT(&x->steps, struct retry_step, 1);
		CHECK(g->form == RETRY_GEOMETRIC);
		CHECK_EQ_INT(g->until_s, 57600);
		CHECK_EQ_INT(g->interval_s, 3600);
		CHECK_EQ_INT(g->factor_milli, 1500);
		CHECK_EQ_INT(VEC_AT(&x->steps, struct retry_step, 2)->until_s, 345600);
		x = VEC_AT(rules, struct retry_rule, 1);
		CHECK(x->senders != NULL);
		CHECK_EQ_INT(x->steps.count, 1);
		CHECK(VEC_AT(&x->steps, struct retry_step, 0)->form == RETRY_RANDOM);
		CHECK_EQ_INT(VEC_AT(rules, struct retry_rule, 2)->steps.count, 0);
	}
	loaded_free(&r);
}

TEST(retry_refused)
{
	static const struct {
		const char *rule, *want;
	} rows[] = {
	    {"* * F,2h", "F,CUTOFF,INTERVAL was expected, found \"F,2h\""},
	    {"* * X,2h,3m", "F, G or H was expected, found \"X\""},
	    {"* * G,2h,3m", "G or H,CUTOFF,INTERVAL,FACTOR was expected"},
	    {"* * G,2h,3m,0.5", "a factor of at least 1"},
	    {"* * G,2h,3m,1.5x", "a factor of at least 1"},
	    {"* * F,2h,3m,4", "F,CUTOFF,INTERVAL was expected"},
	    {"* * F,1h,0s", "a time such as 2h30m was expected as the interval, found \"0s\""},
	    {"* * F,x,1m", "as the cutoff, found \"x\""},
	    {"* bad F,2h,3m", "unknown or malformed retry error \"bad\""},
	    {"* timeout_conect F,2h,3m", "did you mean \"timeout_connect\"?"},
	    {"*", "an error name was expected"},
	    {"* rcpt_460x F,1h,1m", "behind rcpt_4 two digits were expected"},
	    {"* mail_4x1 F,1h,1m", "behind mail_4 two digits were expected"},
	    {"* quota_x F,1h,1m", "unknown or malformed retry error \"quota_x\""},
	    {"\"* * F,1h,1m", "missing quote"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char text[256];
		(void)snprintf(text, sizeof text, "begin retry\n%s\n", rows[i].rule);
		check_refused(text, rows[i].want);
	}
}
TAP_MAIN()
