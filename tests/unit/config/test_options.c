/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "load.h"

static const struct {
	const char *text, *what, *want;
} good[] = {
    /* booleans */
    {"queue_only", "queue_only", "queue_only\n"},
    {"no_queue_only", "queue_only", "no_queue_only\n"},
    {"not_queue_only", "queue_only", "no_queue_only\n"},
    {"queue_only = yes", "queue_only", "queue_only\n"},
    {"queue_only = TRUE", "queue_only", "queue_only\n"},
    {"queue_only = no", "queue_only", "no_queue_only\n"},
    {"queue_only=false", "queue_only", "no_queue_only\n"},
    {"queue_only =", "queue_only", "queue_only\n"},
    {"", "queue_only", "no_queue_only\n"},
    /* numbers */
    {"smtp_accept_max = 0x10K", "smtp_accept_max", "smtp_accept_max = 16384\n"},
    {"smtp_accept_max = 010", "smtp_accept_max", "smtp_accept_max = 8\n"},
    {"smtp_accept_max = -5", "smtp_accept_max", "smtp_accept_max = -5\n"},
    {"smtp_accept_max = 0", "smtp_accept_max", "smtp_accept_max = 0\n"},
    {"check_spool_space = 3G", "check_spool_space", "check_spool_space = 3G\n"},
    {"check_spool_space = 10240", "check_spool_space", "check_spool_space = 10K\n"},
    {"", "check_spool_space", "check_spool_space = 10M\n"},
    /* times */
    {"auto_thaw = 90m", "auto_thaw", "auto_thaw = 1h30m\n"},
    {"auto_thaw = 1w2d3h4m5s", "auto_thaw", "auto_thaw = 1w2d3h4m5s\n"},
    {"", "auto_thaw", "auto_thaw = 0s\n"},
    /* strings */
    {"qualify_domain = \"a\\tb\\x41\\101\\q\\\"\\\\\"", "qualify_domain",
        "qualify_domain = a\\tbAAq\"\\\n"},
    {"qualify_domain = \" a \"", "qualify_domain", "qualify_domain =  a \n"},
    {"qualify_domain = a\"b", "qualify_domain", "qualify_domain = a\"b\n"},
    {"qualify_domain = \"\\x4\\x4g\\1012\"", "qualify_domain", "qualify_domain = \\004\\004gA2\n"},
    {"qualify_domain =", "qualify_domain", "qualify_domain = \n"},
    {"local_interfaces = <; 127.0.0.1 ; ::1", "local_interfaces",
        "local_interfaces = <; 127.0.0.1 ; ::1\n"},
    {"", "timezone", "timezone = \n"},
    /* named lists */
    {"domainlist a = x : y\nhostlist b_cache = 127.0.0.1\nhostlist a = 127.0.0.2", "+a",
        "domainlist a = x : y\nhostlist a = 127.0.0.2\n"},
    {"hostlist b_cache = 127.0.0.1", "+b_cache", "hostlist b_cache = 127.0.0.1\n"},
    {"hostlist_cache c = 127.0.0.1", "+c", "hostlist c = 127.0.0.1\n"},
    {"localpartlist d = \"a : b\"", "+d", "localpartlist d = a : b\n"},
    {"domainlist a = !+b\ndomainlist b = x", "+a", "domainlist a = !+b\n"},
    {"domainlist a = x", "+b", "no address, domain, host, or local part list called \"b\" exists"},
    /* what is not there yet, switched off */
    {"tls_certificate =\nrfc1413_query_timeout = "
     "0s\nno_mua_wrapper\nqueue_only_file =",
        "mua_wrapper", "no_mua_wrapper\n"},
    /* what has no effect by design */
    {"exim_user = mail\nexim_group = mail\nsplit_spool_directory\nspool_wireformat = true",
        "exim_user", "exim_user = mail\n"},
    {"return_size_limit = 20K", "bounce_return_size_limit", "bounce_return_size_limit = 20K\n"},
    {"", "nosuch", "nosuch is not a known option"},
    {"AA = b\\\n c", "macro AA", "AA=bc\n"},
    {"", "macro AA", "macro AA not found"},
    {"", "config_file", "test.conf\n"},
    {"#x\nA = 1\n.ifdef A\nqualify_domain = A  \\\n b\n.endif", "config",
        "A = 1\nqualify_domain = 1  b\n"},
};

TEST(values)
{
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		check_prints(good[i].text, good[i].what, good[i].want);
}

static const struct {
	const char *text, *want;
} bad[] = {
    {"queue_only = maybe",
        "test.conf:1: option \"queue_only\": true, false, yes or no was expected, found \"maybe\""},
    {"no_queue_only = true", "option \"no_queue_only\": extra characters follow"},
    {"queue_only true",
        "option \"queue_only\": extra characters follow the boolean option: \"true\""},
    {"no_qualify_domain", "main option \"no_qualify_domain\" unknown"},
    {"smtp_accept_max = 10x",
        "option \"smtp_accept_max\": a number (K, M or G may follow) was expected, found \"10x\""},
    {"smtp_accept_max = 99999999999", "found \"99999999999\""},
    {"smtp_accept_max = abc", "found \"abc\""},
    {"smtp_accept_max = 10 20", "found \"10 20\""},
    {"smtp_accept_max =", "a number (K, M or G may follow) was expected, found \"\""},
    {"smtp_accept_max = 08", "found \"08\""},
    {"auto_thaw = 1d3", "a time such as 1d2h3m4s was expected, found \"1d3\""},
    {"auto_thaw = abc", "found \"abc\""},
    {"qualify_domain",
        "option \"qualify_domain\": \"=\" and a value were expected, found the end of the line"},
    {"qualify_domain a", "\"=\" and a value were expected, found \"a\""},
    {"qualify_domain = \"ab", "option \"qualify_domain\": missing quote"},
    {"qualify_domain = \"ab\" x", "extra characters behind the quoted string: \"x\""},
    {"qualify_domain = a\n\nqualify_domain = b",
        "test.conf:3: option \"qualify_domain\" is set for the second time; the first setting is "
        "in line 1 of test.conf"},
    {"%%%", "an option setting was expected, found \"%%%\""},
    {"hide", "main option \"hide\" unknown"},
    {"qualify_domian = x",
        "main option \"qualify_domian\" unknown; did you mean \"qualify_domain\"?"},
    {"acl_smtp_rctp = x", "did you mean \"acl_smtp_rcpt\"?"},
    {"acl_smtp_dkim = x", "option \"acl_smtp_dkim\": not supported yet: acl_smtp_dkim"},
    {"tls_early_banner_hosts = *", "not supported yet: tls_early_banner_hosts"},
    {"mua_wrapper", "not supported yet: mua_wrapper"},
    {"system_filter = /x", "not supported yet: system_filter"},
    {"acl_smtp_mime = x", "not supported yet: acl_smtp_mime"},
    {"domainlist a = x\ndomainlist a = y",
        "domainlist \"a\" is defined for the second time; the first is in line 1"},
    {"domainlist a x", "domainlist: a name, \"=\" and a list were expected, found \"a x\""},
    {"domainlist = x", "a name, \"=\" and a list were expected"},
    {"domainlist a-b = x", "a name, \"=\" and a list were expected"},
    {"domainlist a = \"x", "domainlist a: missing quote"},
    {"domainlist a = +b\ndomainlist b = +a", "refers to itself by way of"},
    {"begin foo", "test.conf:1: \"foo\" is not a known section"},
    {"begin router", "\"router\" is not a known section; did you mean \"routers\"?"},
    {"begin acl\nbegin acl", "test.conf:2: section \"acl\" is repeated"},
    {"begin", "main option \"begin\" unknown"},
    {"begin local_scan\n x = 1", "not supported yet: section local_scan"},
};

TEST(refused)
{
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_refused(bad[i].text, bad[i].want);
}

TEST(all_errors_at_once)
{
	struct loaded r =
	    load("foo = 1\nqueue_only = maybe\nsmtp_accept_max = x\nbegin routers\n driver = x\n"
	         "begin retry\n* bad F,1h\n");
	CHECK_EQ_STR(r.problem_text,
	    "test.conf:1: main option \"foo\" unknown\n"
	    "test.conf:2: option \"queue_only\": true, false, yes or no was expected, found "
	    "\"maybe\"\n"
	    "test.conf:3: option \"smtp_accept_max\": a number (K, M or G may follow) was "
	    "expected, found \"x\"\n"
	    "test.conf:5: the name of a router followed by a colon was expected, found \"driver = "
	    "x\"\n"
	    "test.conf:7: unknown or malformed retry error \"bad\"\n"
	    "test.conf:7: retry rule: F,CUTOFF,INTERVAL was expected, found \"F,1h\"\n");
	loaded_free(&r);
}

TEST(permitting_options_warn)
{
	struct loaded r = load("dns_dnssec_ok = 1\nav_scanner = clamd:/x\n");
	CHECK(r.cfg != NULL);
	CHECK_EQ_STR(r.warning_text,
	    "test.conf:1: option \"dns_dnssec_ok\": not supported yet: dns_dnssec_ok\n"
	    "test.conf:2: option \"av_scanner\": not supported yet: av_scanner\n");
	loaded_free(&r);
}

TEST(hidden_values)
{
	struct loaded r =
	    load("hide qualify_domain = secret\nhide addresslist d = 3@x\nhide queue_only\n");
	CHECK_EQ_STR(printed(&r, "qualify_domain", true), "qualify_domain = secret\n");
	CHECK_EQ_STR(
	    printed(&r, "qualify_domain", false), "qualify_domain = <value not displayable>\n");
	CHECK_EQ_STR(printed(&r, "+d", false), "addresslist d = <value not displayable>\n");
	CHECK_EQ_STR(printed(&r, "+d", true), "addresslist d = 3@x\n");
	CHECK_EQ_STR(printed(&r, "queue_only", false), "queue_only = <value not displayable>\n");
	CHECK(text_has(printed(&r, "macros", false), "administrators only"));
	CHECK(text_has(printed(&r, "config", false), "administrators only"));
	CHECK(!text_has(printed(&r, "", false), "secret"));
	loaded_free(&r);
}

TEST(values_for_the_kernel)
{
	struct loaded r = load(
	    "auto_thaw = 1h\nsmtp_accept_max = 2K\nmessage_size_limit = 5M\nno_accept_8bitmime\n"
	    "qualify_domain = q.example\nhold_domains = a.example\nlog_timezone\nqueue_run_max = "
	    "3\nsmtp_receive_timeout = ${if def:sender_host_name{1m}{2m}}\n");
	if (!CHECK(r.cfg != NULL))
		fprintf(stderr, "# %.*s\n", SL_ARG(r.problem_text));
	if (r.cfg) {
		CHECK_EQ_INT(config_int(r.cfg, MO_auto_thaw), 3600000);
		CHECK_EQ_INT(config_int(r.cfg, MO_smtp_accept_max), 2048);
		CHECK_EQ_INT(config_int(r.cfg, MO_message_size_limit), 5 << 20);
		CHECK_EQ_INT(config_int(r.cfg, MO_timeout_frozen_after), 0);
		CHECK_EQ_INT(config_int(r.cfg, MO_retry_interval_max), 86400000);
		CHECK_EQ_INT(config_int(r.cfg, MO_queue_run_max), 3);
		CHECK(config_main(r.cfg, MO_smtp_receive_timeout)->expr != NULL);
		CHECK(!config_bool(r.cfg, MO_accept_8bitmime));
		CHECK(config_bool(r.cfg, MO_log_timezone));
		CHECK(config_bool(r.cfg, MO_write_rejectlog));
		CHECK_EQ_STR(config_text(r.cfg, MO_qualify_domain), "q.example");
		CHECK(slice_is_clean(config_text(r.cfg, MO_qualify_domain)));
		CHECK_EQ_STR(config_text(r.cfg, MO_qualify_recipient), "q.example");
		CHECK(slice_is_absent(config_text(r.cfg, MO_timezone)));
		CHECK(config_list(r.cfg, MO_hold_domains) != NULL);
		CHECK(config_list(r.cfg, MO_queue_domains) == NULL);
		CHECK_EQ_INT(config_main(r.cfg, MO_qualify_domain)->line, 5);
		CHECK(config_main(r.cfg, MO_qualify_domain)->is_set);
		CHECK(!config_main(r.cfg, MO_qualify_recipient)->is_set);
	}
	loaded_free(&r);
}

TEST(names_follow_from_each_other)
{
	static const struct process_facts facts = {
	    .primary_hostname = SL_INIT("host.example"), .spool_directory = SL_INIT("/s")};
	static const struct {
		const char *text, *primary, *qualify, *recipient, *fact;
	} rows[] = {
	    {"", "host.example", "host.example", "host.example", "host.example"},
	    {"primary_hostname = p", "p", "p", "p", "p"},
	    {"qualify_domain = q", "host.example", "q", "q", "host.example"},
	    {"qualify_recipient = r", "host.example", "host.example", "r", "host.example"},
	    {"qualify_domain = q\nqualify_recipient = r\nprimary_hostname = p", "p", "q", "r", "p"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct arena *a = arena_new(0);
		struct vec problems = {0}, warnings = {0};
		struct config *cfg = NULL;
		struct config_source src = {
		    .path = "c", .content = slice_cstr(rows[i].text), .process = &facts};
		CHECK_EQ_INT(config_load(&src, a, &problems, &warnings, &cfg), RC_OK);
		if (cfg) {
			CHECK_EQ_STR(config_text(cfg, MO_primary_hostname), rows[i].primary);
			CHECK_EQ_STR(config_text(cfg, MO_qualify_domain), rows[i].qualify);
			CHECK_EQ_STR(config_text(cfg, MO_qualify_recipient), rows[i].recipient);
			CHECK_EQ_STR(config_process(cfg)->primary_hostname, rows[i].fact);
			CHECK_EQ_STR(config_process(cfg)->spool_directory, "/s");
		}
		config_unref(&cfg);
		arena_free(&a);
	}
}

TEST(snapshot_is_counted)
{
	struct loaded r = load("domainlist a = x.example\nqualify_domain = q\n");
	CHECK(r.cfg != NULL);
	if (r.cfg) {
		struct config *second = config_ref(r.cfg);
		config_unref(&r.cfg);
		CHECK(r.cfg == NULL);
		CHECK_EQ_STR(config_text(second, MO_qualify_domain), "q");
		CHECK(config_named_list(second, MATCH_DOMAINS, SL("a")) != NULL);
		CHECK(config_named_list(second, MATCH_HOSTS, SL("a")) == NULL);
		config_unref(&second);
	}
	config_unref(&r.cfg); /* NULL is fine */
	loaded_free(&r);
}

TEST(every_row_is_well_formed)
{
	struct loaded r = load("");
	CHECK(r.cfg != NULL);
	for (int i = 0; r.cfg && i < MO_COUNT; i++) {
		const struct option_value *v = config_main(r.cfg, (enum main_option)i);
		const struct option_value *before =
		    i ? config_main(r.cfg, (enum main_option)(i - 1)) : NULL;
		CHECK(v->row->doc && v->row->doc[0]);
		CHECK(v->row->type >= HEDDLE_T_BOOL && v->row->type < HEDDLE_T_GROUP);
		if (before)
			CHECK(strcmp(before->row->name, v->row->name) <
			      0); /* -bP's order, and no name twice */
	}
	loaded_free(&r);
}
TAP_MAIN()
