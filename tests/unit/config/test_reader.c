/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "load.h"

#include <unistd.h>

static const struct {
	const char *text, *what, *want;
} good[] = {
    /* comments, blank lines, white space */
    {"  # c\n\n\t qualify_domain \t=  a b  \n#x\n", "qualify_domain", "qualify_domain = a b\n"},
    {"qualify_domain = a # b\n", "qualify_domain", "qualify_domain = a # b\n"},
    {"qualify_domain = a", "qualify_domain", "qualify_domain = a\n"},
    {"qualify_domain = a\r\nqualify_recipient = b\r\n", "qualify_recipient",
        "qualify_recipient = b\n"},
    /* continuations */
    {"qualify_domain = a\\\n   b \\  \n  c\n", "qualify_domain", "qualify_domain = ab c\n"},
    {"qualify_domain = a\\\n  # comment\n  b\\\n\nqueue_only\n", "qualify_domain",
        "qualify_domain = ab\n"},
    {"qualify_domain = a\\", "qualify_domain", "qualify_domain = a\n"},
    {"qualify_domain = a\\\n.ifdef NO\nx\\\n.else\ny\\\n.endif\nz\n", "qualify_domain",
        "qualify_domain = ayz\n"},
    {"\\\n\\\n\nqualify_domain = a\n", "qualify_domain", "qualify_domain = a\n"},
    /* macros */
    {"ABC = y\nAB = x\nqualify_domain = ABC AB ABD\n", "qualify_domain",
        "qualify_domain = y x xD\n"},
    {"ABC = 1\nqualify_domain = xABCy\n", "qualify_domain", "qualify_domain = x1y\n"},
    {"A_1b = \"q\"  \nqualify_domain = (A_1b)\n", "qualify_domain", "qualify_domain = (\"q\")\n"},
    {"MAC = 1\nMAC == MAC and 2\nqualify_domain = MAC\n", "qualify_domain",
        "qualify_domain = 1 and 2\n"},
    {"AA = BB CC\nBB = AA\nCC = 3\nqualify_domain = AA\n", "qualify_domain",
        "qualify_domain = BB 3 3\n"},
    {"XX = #\nXX qualify_domain = b\nqualify_domain = a\n", "qualify_domain",
        "qualify_domain = a\n"},
    {"EMPTY =\nEMPTY\nqualify_domain = aEMPTYb\n", "qualify_domain", "qualify_domain = ab\n"},
    {"LONG = a \\\n  b\nqualify_domain = LONG\n", "qualify_domain", "qualify_domain = a b\n"},
    /* conditions */
    {"A = 1\n.ifdef B\nqualify_domain = b\n.elifdef A\nqualify_domain = a\n.else\nqualify_domain = "
     "c\n.endif\n",
        "qualify_domain", "qualify_domain = a\n"},
    {".ifndef B\nqualify_domain = b\n.else\nqualify_domain = a\n.endif comment\n", "qualify_domain",
        "qualify_domain = b\n"},
    {"A=1\n.ifdef NO\n.else\nqualify_domain = b\n.endif\n", "qualify_domain",
        "qualify_domain = b\n"},
    {"A=1\n.ifdef NO\n.ifdef A\nqualify_domain = x\n.else\nqualify_domain = y\n.endif\n.elifndef "
     "NO\nqualify_domain = z\n.endif\n",
        "qualify_domain", "qualify_domain = z\n"},
    {"A=1\n.ifdef X or A\nqualify_domain = b\n.endif\n", "qualify_domain", "qualify_domain = b\n"},
    {"A=1\n.ifdef A\nqualify_domain = a\n.elifdef A\nqualify_domain = b\n.endif\n",
        "qualify_domain", "qualify_domain = a\n"},
    {".ifdef NO\n.include /does/not/exist\nnonsense\n.endif\nqualify_domain = b\n",
        "qualify_domain", "qualify_domain = b\n"},
    /* builtin macros: whole words, and only for what works */
    {".ifdef _OPT_MAIN_QUALIFY_DOMAIN\nqualify_domain = yes\n.endif\n", "qualify_domain",
        "qualify_domain = yes\n"},
    {".ifdef _OPT_MAIN_ACL_SMTP_DKIM\nqualify_domain = yes\n.else\nqualify_domain = no\n.endif\n",
        "qualify_domain", "qualify_domain = no\n"},
    {".ifdef _OPT_MAIN_QUALIFY\nqualify_domain = yes\n.else\nqualify_domain = no\n.endif\n",
        "qualify_domain", "qualify_domain = no\n"},
    {".ifdef _OPT_ROUTERS_CONDITION\nqualify_domain = yes\n.endif\n", "qualify_domain",
        "qualify_domain = yes\n"},
    {".ifdef _HAVE_TLS\nqualify_domain = yes\n.endif\n.ifdef _HAVE_GNUTLS\nx\n.endif\n.ifdef "
     "_HAVE_OPENSSL\nx\n.endif\n",
        "qualify_domain", "qualify_domain = yes\n"},
    {"qualify_domain = x_HAVE_IPV6 _HAVE_IPV6 _HAVE_IPV6X\n", "qualify_domain",
        "qualify_domain = x_HAVE_IPV6 y _HAVE_IPV6X\n"},
};

TEST(lines_macros_and_conditions)
{
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		check_prints(good[i].text, good[i].what, good[i].want);
}

static const struct {
	const char *text, *want;
} bad[] = {
    {"AB = x\nABC = y\n", "test.conf:2: macro \"ABC\" cannot be defined"},
    {"AB = x\nAB = y\n", "test.conf:2: macro \"AB\" is already defined"},
    {"AB == x\n", "test.conf:1: macro \"AB\" is redefined with == but was never defined"},
    {"Foo\n", "test.conf:1: malformed macro definition"},
    {"FOO bar\n", "test.conf:1: malformed macro definition"},
    {"queue_only\n.ifdef B\n\n", "test.conf:2: .endif missing"},
    {".else\n", "test.conf:1: .else without a matching .ifdef"},
    {".endif\n", "test.conf:1: .endif without a matching .ifdef"},
    {".ifdef A\n.else\n.else\n.endif\n", "test.conf:3: .else behind .else"},
    {".ifdef A\n.else\n.elifdef B\n.endif\n", "test.conf:3: .elifdef behind .else"},
    {".foo\n", "test.conf:1: an option setting was expected, found \".foo\""},
    {".include\n", "test.conf:1: .include: a file name was expected"},
    {".include \"a\n", "test.conf:1: .include: missing quote"},
    {".include_if_exists nofile\n", "an absolute path was expected, found \"nofile\""},
    {".include /does/not/exist\n", "test.conf:1: .include \"/does/not/exist\": "},
    {".include /\n", "test.conf:1: .include \"/\": "},
    {"\n\nfoo_bar = 1\\\n  x\nqualify_domian = 2\n",
        "test.conf:3: main option \"foo_bar\" unknown"},
    {"begin routers\nFOO = x\nr:\n foo = 1\nBAR = y\n driver = accept\n",
        "test.conf:6: the name of a router"},
    {"begin retry\nFOO = x\n", "test.conf:2: unknown or malformed retry error \"=\""},
};

TEST(refused)
{
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_refused(bad[i].text, bad[i].want);
}

TEST(command_line_macros_win)
{
	slice_t defines[] = {SL("A=5"), SL(" B = six "), SL("EMPTY")};
	struct loaded r = load_with("A = 1\nA == 2\nqualify_domain = A B [EMPTY]\n", defines, 3);
	CHECK_EQ_STR(printed(&r, "qualify_domain", true), "qualify_domain = 5 six []\n");
	loaded_free(&r);
}

TEST(command_line_macros_refused)
{
	static const char *const wrong[] = {"a=b", "=b", "A B", "", "1=2"};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		slice_t d = slice_cstr(wrong[i]);
		struct loaded r = load_with("", &d, 1);
		CHECK(text_has(r.problem_text, "-D: NAME=value was expected"));
		loaded_free(&r);
	}
}

static const char *write_file(const char *name, const char *text)
{
	static char path[8][512];
	static unsigned next;
	char *p = path[next++ % 8];
	(void)snprintf(p, sizeof path[0], "%s/%s", tap_dir(), name);
	FILE *f = fopen(p, "w");
	if (f) {
		(void)fputs(text, f);
		(void)fclose(f);
	}
	return p;
}

static struct loaded load_file(const char *path)
{
	struct loaded r = {.a = arena_new(0)};
	struct config_source src = {.path = path, .content = slice_absent()};
	if (config_load(&src, r.a, &r.problems, &r.warnings, &r.cfg) != RC_OK)
		r.cfg = NULL;
	r.problem_text = loaded_text(r.a, &r.problems);
	return r;
}

TEST(includes_are_read_where_they_stand)
{
	(void)write_file("inc1", "XYZ\n");
	(void)write_file("inc2", "MAC = 7\nprimary_hostname = p\n.include \"inc3\"\n");
	(void)write_file("inc3", "recipients_max = MAC\n");
	struct loaded r = load_file(
	    write_file("main.conf", "qualify_domain = a\\\n.include inc1\n.include inc2\n"
	                            ".include_if_exists /does/not/exist\nsmtp_accept_max = MAC\n"));
	CHECK_EQ_STR(printed(&r, "qualify_domain", true), "qualify_domain = aXYZ\n");
	CHECK_EQ_STR(printed(&r, "primary_hostname", true), "primary_hostname = p\n");
	CHECK_EQ_STR(printed(&r, "recipients_max", true), "recipients_max = 7\n");
	CHECK_EQ_STR(printed(&r, "smtp_accept_max", true), "smtp_accept_max = 7\n");
	loaded_free(&r);
}

TEST(errors_in_an_included_file_name_it)
{
	(void)write_file("bad", "\nnonsense = 1\n.ifdef X\n");
	struct loaded r = load_file(write_file("main2.conf", ".include bad\nmore_nonsense\n"));
	CHECK(r.cfg == NULL);
	CHECK(text_has(r.problem_text, "/bad:2: main option \"nonsense\" unknown"));
	CHECK(text_has(r.problem_text, "/bad:3: .endif missing"));
	CHECK(text_has(r.problem_text, "main2.conf:2: main option \"more_nonsense\" unknown"));
	loaded_free(&r);
}

TEST(include_loop_ends)
{
	const char *path = write_file("loop.conf", ".include loop.conf\n");
	struct loaded r = load_file(path);
	CHECK(r.cfg == NULL);
	CHECK(text_has(r.problem_text, "more than 50 files include each other"));
	CHECK_EQ_INT(r.problems.count, 1);
	loaded_free(&r);
}

TEST(missing_file)
{
	struct loaded r = load_file("/does/not/exist.conf");
	CHECK(r.cfg == NULL);
	CHECK(text_has(r.problem_text, "/does/not/exist.conf"));
	loaded_free(&r);
}

TEST(macros_that_grow_without_end_are_stopped)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_text(&sb, "A = 1234567890123456\n");
	for (int i = 0; i < 40; i++)
		strbuf_text(&sb, "A == AAAA\n");
	struct loaded r = load(strbuf_cstr(&sb));
	CHECK(r.cfg == NULL);
	CHECK(text_has(r.problem_text, "makes the configuration too large"));
	if (!CHECK_EQ_INT(r.problems.count, 1))
		fprintf(stderr, "# %.*s\n", SL_ARG(r.problem_text));
	loaded_free(&r);
	arena_free(&a);
}

TEST(too_long_a_line)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_text(&sb, "qualify_domain = ");
	for (int i = 0; i < 120000; i++)
		strbuf_text(&sb, "0123456789\\\n");
	struct loaded r = load(strbuf_cstr(&sb));
	CHECK(text_has(r.problem_text, "test.conf:1: the line is too long"));
	loaded_free(&r);
	arena_free(&a);
}

TEST(number_of_problems_is_bounded)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	for (int i = 0; i < 5000; i++)
		strbuf_printf(&sb, "nonsense%d = 1\n", i);
	struct loaded r = load(strbuf_cstr(&sb));
	CHECK(r.cfg == NULL);
	CHECK_EQ_INT(r.problems.count, 200);
	loaded_free(&r);
	arena_free(&a);
}
TAP_MAIN()
