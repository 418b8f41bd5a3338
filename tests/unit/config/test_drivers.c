/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sections with drivers whose option tables are known by description, as master sees them. */
#include "driver/driver.h"
#include "load.h"

#include <unistd.h>

#define ROUTER    "driver\t2\t0\t0\t0\t0\t"
#define TRANSPORT "driver\t3\t0\t0\t0\t0\t"
#define TAIL      "\t\t1.0\tMIT\tme\t/x.so\n"
#define BOOL(n)   "option\t1\t0\t1\t0\t" n "\tfalse\t-\t\n"
#define TEXT(n)   "option\t6\t1\t1\t0\t" n "\t-\t-\t\n" /* expanded */
#define HOSTS(n)  "option\t9\t1\t1\t0\t" n "\t-\t-\t\n"
static const char description[] =
    "heddle-drivers 1\n" ROUTER "accept" TAIL ROUTER
    "dnslookup" TAIL BOOL("same_domain_copy_routing") ROUTER "redirect" TAIL TEXT("data")
        TEXT("file") BOOL("allow_fail") BOOL("allow_defer") BOOL("check_ancestor")
            TEXT("file_transport") TEXT("pipe_transport") TEXT("reply_transport") TRANSPORT
    "smtp" TAIL TEXT("helo_data") "option\t5\t0\t1\t0\tcommand_timeout\t5m\t-\t\n"
                                  "option\t1\t1\t1\t0\tmulti_domain\ttrue\t-\t\n" HOSTS(
                                      "hosts_require_tls") HOSTS("tls_verify_hosts") TRANSPORT
    "appendfile" TAIL TEXT(
        "file") "option\t3\t0\t1\t0\tmode\t0600\t-\t\n"
                "option\t14\t0\t1\t0\tfile_format_choice\tmbox\tmbox|"
                "maildir\t\n" TRANSPORT "pipe" TAIL TEXT("command")
                    BOOL("return_output") "driver\t1\t0\t0\t0\t0\tplaintext" TAIL TEXT(
                        "server_prompts") "driver\t4\t0\t0\t1\t0\tlsearch" TAIL "end\n";

static struct drivers *described(void)
{
	struct drivers *d = NULL;
	struct error e = {0};
	if (!CHECK_EQ_INT(drivers_from_description(slice_cstr(description), &d, &e), RC_OK))
		fprintf(stderr, "# %s\n", e.text);
	return d;
}

static struct loaded load_source(struct drivers *d, const char *path, slice_t content)
{
	struct loaded r = {.a = arena_new(0)};
	struct config_source src = {
	    .path = path, .content = content, .drivers = d, .no_instances = true};
	if (config_load(&src, r.a, &r.problems, &r.warnings, &r.cfg) != RC_OK)
		r.cfg = NULL;
	r.problem_text = loaded_text(r.a, &r.problems);
	r.warning_text = loaded_text(r.a, &r.warnings);
	return r;
}

static const char *data_file(const char *name)
{
	static char path[4400];
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	/* BUILD/tests/unit/config/test_drivers: the tree is the nearest folder above that has the
	 * file */
	for (char *slash = strrchr(exe, '/'); slash; slash = strrchr(exe, '/')) {
		*slash = '\0';
		(void)snprintf(path, sizeof path, "%s/tests/data/config/%s", exe, name);
		if (access(path, R_OK) == 0)
			return path;
	}
	(void)snprintf(path, sizeof path, "tests/data/config/%s", name);
	return path;
}

/* What both configurations share: it loads, the missing driver and what only permits are warned
 * about. */
static void check_site(struct loaded *r)
{
	if (!CHECK(r->cfg != NULL))
		fprintf(stderr, "# %.*s\n", SL_ARG(r->problem_text));
	CHECK(text_has(r->warning_text,
	    "transport address_reply: not supported yet: transport driver autoreply"));
	if (!r->cfg)
		return;
	const struct heddle_instance *t = config_transport_named(r->cfg, SL("address_reply"));
	CHECK(t && t->driver == NULL);
	t = config_transport_named(r->cfg, SL("local_delivery"));
	CHECK(t && t->driver && t->generic[TO_envelope_to_add].number == 1);
	const struct heddle_instance *forward = config_router_named(r->cfg, SL("userforward"));
	if (CHECK(forward && forward->driver)) {
		CHECK_EQ_INT(forward->index, 2);
		CHECK_EQ_STR(forward->own[1].text, "$home/.forward");
		CHECK(forward->own[1].expr != NULL);
		CHECK_EQ_INT(forward->own[4].number, 1);
		CHECK_EQ_INT(forward->generic[RO_verify_sender].number, 0);
		CHECK_EQ_INT(forward->generic[RO_expn].number, 0);
	}
	const struct vec *retry = config_retry_rules(r->cfg);
	CHECK(retry->count >= 1);
	CHECK_EQ_INT(VEC_AT(retry, struct retry_rule, retry->count - 1)->steps.count, 3);
}

TEST(a_site_loads)
{
	struct drivers *d = described();
	struct loaded r = load_source(d, data_file("site.conf"), slice_absent());
	check_site(&r);
	CHECK_EQ_STR(
	    printed(&r, "spool_directory", true), "spool_directory = /var/spool/heddle-test\n");
	CHECK(text_has(r.warning_text,
	    "router userforward: option \"allow_filter\": not supported yet: allow_filter"));
	CHECK(text_has(printed(&r, "transport local_delivery", true),
	    "\nfile = /var/spool/heddle-test/mail/$local_part_data\n"));
	CHECK(text_has(printed(&r, "transport local_delivery", true), "\nmode = 0600\n"));
	CHECK(text_has(printed(&r, "transport remote_smtp", true),
	    "\ncommand_timeout = 5m\nhelo_data = \nhosts_require_tls = \nmulti_domain\n"));
	loaded_free(&r);
	drivers_free(&d);
}

TEST(upstreams_default_configuration_loads_unmodified)
{
	static const char *const places[] = {"/usr/share/doc/exim4-base/examples/example.conf",
	    "/tmp/exim/root/usr/share/doc/exim4-base/examples/example.conf"};
	const char *path = getenv("HEDDLE_EXIM_EXAMPLE");
	for (size_t i = 0; !path && i < sizeof places / sizeof places[0]; i++)
		if (access(places[i], R_OK) == 0)
			path = places[i];
	if (!path) {
		tap_skip(
		    "exim4-base's example.conf is not here; HEDDLE_EXIM_EXAMPLE=PATH names it");
		return;
	}
	struct drivers *d = described();
	struct loaded r = load_source(d, path, slice_absent());
	check_site(&r);
	if (r.cfg) {
		CHECK_EQ_INT(config_acl_count(r.cfg), 3); /* with PRDR's */
		CHECK_EQ_STR(printed(&r, "router_list", true),
		    "dnslookup\nsystem_aliases\nuserforward\nlocaluser\n");
		CHECK_EQ_INT(config_int(r.cfg, MO_timeout_frozen_after), 7 * 86400000);
	}
	loaded_free(&r);
	drivers_free(&d);
}

static const struct {
	const char *text, *want;
} bad[] = {
    {"begin transports\nt:\n driver = smpt\n",
        "c:3: transport t: cannot find transport driver \"smpt\"; did you mean \"smtp\"?"},
    {"begin transports\nt:\n driver = nosuchthing\n",
        "cannot find transport driver \"nosuchthing\"\n"},
    {"begin transports\nt:\n driver = smtp\n foo = 1\n",
        "c:4: transport t: option \"foo\" unknown\n"},
    {"begin transports\nt:\n driver = smtp\n comand_timeout = 1m\n",
        "did you mean \"command_timeout\"?"},
    {"begin transports\nt:\n driver = smtp\n dkim_domain = a\n",
        "transport t: option \"dkim_domain\": not supported yet: dkim_domain"},
    {"begin transports\nt:\n driver = smtp\n hosts_require_dane = *\n",
        "not supported yet: hosts_require_dane"},
    {"begin transports\nt:\n driver = appendfile\n maildir_format = true\n",
        "not supported yet: maildir_format"},
    {"begin transports\nt:\n driver = appendfile\n mode = 9\n",
        "option \"mode\": an octal number was expected, found \"9\""},
    {"begin transports\nt:\n driver = appendfile\n file_format_choice = mbx\n",
        "mbox|maildir was expected, found \"mbx\""},
    {"begin transports\nt:\n driver = smtp\n command_timeout = 5\n",
        "a time such as 1d2h3m4s was expected"},
    {"begin transports\nt:\n driver = autoreply\n nonsense = 5\n",
        "transport t: option \"nonsense\" unknown"},
    {"begin routers\nr:\n driver = redirect\n data = x\n file_transport = nosuch\n",
        "c:5: router r: option \"file_transport\": there is no transport called \"nosuch\""},
};

TEST(drivers_options_refused)
{
	struct drivers *d = described();
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct loaded r = load_source(d, "c", slice_cstr(bad[i].text));
		CHECK(r.cfg == NULL);
		if (!CHECK(text_has(r.problem_text, bad[i].want)))
			fprintf(
			    stderr, "# wanted %s, got %.*s\n", bad[i].want, SL_ARG(r.problem_text));
		loaded_free(&r);
	}
	drivers_free(&d);
}

TEST(driver_may_stand_last)
{
	struct drivers *d = described();
	struct loaded r = load_source(d, "c",
	    SL("begin transports\nt:\n no_multi_domain\n hosts_try_fastopen = *\n"
	       " no_maildir_format\n forbid_x = 1\n driver = smtp\n"));
	CHECK_EQ_STR(r.problem_text, "c:5: transport t: option \"no_maildir_format\" unknown\n"
	                             "c:6: transport t: option \"forbid_x\" unknown\n");
	loaded_free(&r);
	r = load_source(d, "c",
	    SL("begin transports\nt:\n no_multi_domain\n mode = x\n file_format_choice = maildir\n"
	       " driver = appendfile\n"));
	CHECK(text_has(r.problem_text, "option \"no_multi_domain\" unknown"));
	CHECK(text_has(r.problem_text, "an octal number was expected, found \"x\""));
	loaded_free(&r);
	r = load_source(d, "c",
	    SL("begin transports\nt:\n mode = 640\n file_format_choice = maildir\n driver = "
	       "appendfile\n"));
	const struct heddle_instance *t = r.cfg ? config_transport(r.cfg, 0) : NULL;
	if (CHECK(t != NULL)) {
		CHECK_EQ_INT(t->own[1].number, 0640);
		CHECK_EQ_INT(t->own[2].number, 1);
	}
	loaded_free(&r);
	drivers_free(&d);
}

TEST(groups_have_no_value_of_their_own)
{
	struct drivers *d = NULL;
	struct error e = {0};
	CHECK_EQ_INT(drivers_from_description(
	                 SL("heddle-drivers 1\n" TRANSPORT "mine" TAIL
	                    "option\t15\t0\t1\t0\ttls_client\t-\t-\t\n" BOOL("x") "end\n"),
	                 &d, &e),
	    RC_OK);
	struct loaded r = load_source(d, "c",
	    SL("begin transports\nt:\n driver = mine\n tls_client = 1\n tls_certificate = /x\n"
	       " no_tls_tempfail_tryclear\n x\n tls_sni = a\n"));
	CHECK_EQ_STR(r.problem_text,
	    "c:4: transport t: option \"tls_client\" unknown\n"
	    "c:5: transport t: option \"tls_certificate\": not supported yet: tls_certificate\n");
	CHECK_EQ_STR(
	    r.warning_text, "c:8: transport t: option \"tls_sni\": not supported yet: tls_sni\n");
	loaded_free(&r);
	r = load_source(d, "c", SL("begin transports\nt:\n driver = mine\n"));
	CHECK(!text_has(printed(&r, "transport t", true), "tls_client"));
	CHECK(text_has(printed(&r, "transport t", true), "\nno_x\n"));
	loaded_free(&r);
	drivers_free(&d);
}

TEST(macros_of_drivers)
{
	struct drivers *d = described();
	struct loaded r = load_source(d, "c",
	    SL(".ifdef _DRIVER_ROUTER_REDIRECT\nqualify_domain = a\\\n.endif\n"
	       ".ifdef _DRIVER_TRANSPORT_AUTOREPLY\nb\\\n.endif\n.ifdef "
	       "_HAVE_LOOKUP_LSEARCH\nc\\\n.endif\n"
	       ".ifdef _OPT_ROUTER_REDIRECT_DATA\nd\\\n.endif\n.ifdef "
	       "_OPT_ROUTER_REDIRECT_ALLOW_FILTER\ne\\\n.endif\n"
	       ".ifdef _OPT_TRANSPORT_SMTP_COMMAND_TIMEOUT\nf\\\n.endif\ng\n"));
	CHECK_EQ_STR(printed(&r, "qualify_domain", true), "qualify_domain = acdfg\n");
	loaded_free(&r);
	drivers_free(&d);
}
TAP_MAIN()
