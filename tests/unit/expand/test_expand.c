/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What rows cannot say: taint, results other than text, limits, hooks, memory, variables by name.
 */
#include "expand/tree.h"
#include "lib/tap.h"
#include "unit/expand/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct fixture f;

static enum rc run(const char *text, slice_t *out, struct error *err)
{
	*out = SL("?");
	*err = (struct error){0};
	return fixture_eval(&f, text, out, err);
}

static bool value_is(const char *text, const char *want)
{
	slice_t out;
	struct error err;
	bool good = CHECK(run(text, &out, &err) == RC_OK) && CHECK_EQ_STR(out, want);
	if (!good)
		(void)printf("# %s: %s\n", text, err.text);
	return good;
}

static bool fails_with(const char *text, enum rc want, const char *why)
{
	slice_t out;
	struct error err;
	enum rc rc = run(text, &out, &err);
	bool good = CHECK_EQ_INT(rc, want) && CHECK(strstr(err.text, why) != NULL);
	if (!good)
		(void)printf("# %s: %s\n", text, err.text);
	return good;
}

static bool clean(const char *text)
{
	slice_t out;
	struct error err;
	return run(text, &out, &err) == RC_OK && slice_is_clean(out);
}

TEST(taint_is_carried)
{
	fixture_init(&f);
	static const char *const tainted[] = {"$local_part", "x$local_part", "${lc:$local_part}",
	    "${uc:$local_part}", "${quote:$local_part!}", "${length_2:$local_part}",
	    "${substr_1:$local_part}", "${sg{$local_part}{l}{x}}", "${sg{abc}{b}{$local_part}}",
	    "${tr{$local_part}{l}{x}}", "${tr{abc}{b}{$local_part}}",
	    "${extract{1}{i}{$local_part}}", "${map{a:$local_part}{$item}}",
	    "${filter{a:$local_part}{eq{$item}{Alice}}}",
	    "${reduce{$local_part:b}{x}{$value$item}}", "${sort{b:$local_part}{lt}{$item}}",
	    "${base64:$local_part}", "${if match{$local_part}{A(.*)}{$1}}",
	    "${if eq{a}{a}{$local_part}}", "${listextract{1}{$local_part}}",
	    "${rxquote:$local_part.}", "${escape:$local_part\\x01}", "${domain:a@$domain}",
	    "${rfc2047:$local_part\\xe4}", "${utf8clean:$local_part}", "${from_utf8:$local_part}",
	    "${hex2b64:${base64d:NDE=}}$local_part", "${listquote{:}{$local_part}}",
	    "${sender_address}", "${sender_address_domain}"};
	for (size_t i = 0; i < sizeof tainted / sizeof tainted[0]; i++)
		if (!CHECK(!clean(tainted[i])))
			(void)printf("# %s\n", tainted[i]);
	static const char *const untainted[] = {"abc", "${lc:ABC}", "$primary_hostname",
	    "${strlen:$local_part}", "${md5:$local_part}", "${eval:${strlen:$local_part}+1}",
	    "${if eq{$local_part}{Alice}{yes}{no}}", "${if inlist{$local_part}{Bob:Alice}{$value}}",
	    "a$acl_m_unset", "${map{$local_part}{x}}", "${nhash_9:$domain}",
	    "${hmac{md5}{k}{$local_part}}", "${length_0:$local_part}x",
	    "${filter{a:b}{eq{$item}{$local_part}}}"};
	for (size_t i = 0; i < sizeof untainted / sizeof untainted[0]; i++)
		if (!CHECK(clean(untainted[i])))
			(void)printf("# %s\n", untainted[i]);
	fixture_free(&f);
}

TEST(taint_is_enforced)
{
	fixture_init(&f);
	fails_with("${readfile{/etc/$local_part}}", RC_ERROR, "Tainted filename '/etc/Alice'");
	fails_with("${expand:$local_part}", RC_ERROR, "attempt to expand tainted string 'Alice'");
	fails_with("${expand:\\$x$local_part}", RC_ERROR, "attempt to expand tainted string");
	fails_with("${run{/bin/$local_part x}}", RC_ERROR, "Tainted command for run: '/bin/Alice'");
	fails_with(
	    "${run,preexpand{/bin/echo $local_part}}", RC_ERROR, "Tainted arguments for run");
	value_is("${expand:\\$local_part}", "Alice");
	value_is("${if exists{/nowhere/$local_part}{y}{n}}", "n");
	fixture_free(&f);
}

TEST(kinds_of_failure)
{
	fixture_init(&f);
	fails_with("a${if eq{a}{b}{c}fail}", RC_FAIL, "\"if\" failed and \"fail\" requested");
	fails_with("${lc:${extract{a}{b=1}{$value}fail}}", RC_FAIL, "\"extract\" failed");
	fails_with("${map{a:b}{${if eq{$item}{b}{c}fail}}}", RC_FAIL, "fail");
	fails_with("${if eq{${if eq{a}{b}{c}fail}}{}{x}{y}}", RC_FAIL, "fail");
	fails_with("${eval:1/0}", RC_ERROR, "divide by zero");
	fails_with(
	    "${if match{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!}{^(a|aa)+\\$}}",
	    RC_DEFER, "match limit");
	fails_with(
	    "${sg{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!}{^(a|aa)+\\$}{}}",
	    RC_DEFER, "match limit");
	fixture_free(&f);
}

TEST(unknown_names_are_found_at_once)
{
	fixture_init(&f);
	fails_with("${if eq{a}{b}{$nosuch}{x}}", RC_ERROR, "unknown variable name \"nosuch\"");
	fails_with("$sender_adress", RC_ERROR, "did you mean \"sender_address\"");
	fails_with("${sender_adress}", RC_ERROR, "did you mean \"sender_address\"");
	fails_with("${strlenn:a}", RC_ERROR, "did you mean \"strlen\"");
	fails_with("${if mtach{a}{b}}", RC_ERROR, "did you mean \"match\"");
	fails_with("${lookpu{a}lsearch{/x}}", RC_ERROR, "did you mean \"${lookup\"");
	fails_with("${if eq{a}{b}{${lookup{a}lsearch{/x}}}{x}}", RC_ERROR,
	    "lookups are not available here");
	fails_with("$spam_score", RC_ERROR, "not supported yet: $spam_score");
	fails_with("${perl{x}}", RC_ERROR, "not supported yet: perl");
	fails_with("${if pam{x}}", RC_ERROR, "not supported yet: pam");
	fails_with("${if def:spam_score}", RC_ERROR, "not supported yet: $spam_score");
	fails_with("${if match{a}{(}{x}{y}}", RC_ERROR, "regular expression error in \"(\"");
	fixture_free(&f);
}

TEST(forbidden_things)
{
	fixture_init(&f);
	const struct expr *e;
	struct error err = {0};
	const struct expr_env env = {
	    .forbid = HEDDLE_FORBID_FILES | HEDDLE_FORBID_RUN | HEDDLE_FORBID_LOOKUPS};
	static const char *const texts[] = {"${readfile{/etc/passwd}}", "${run{/bin/true}}",
	    "${lookup{a}lsearch{/x}}", "${stat:/etc}"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		CHECK_EQ_INT(expr_compile(f.arena, slice_cstr(texts[i]), &env, &e, &err), RC_ERROR);
		CHECK(strstr(err.text, "not permitted") != NULL);
	}
	f.ev.forbid = env.forbid;
	fails_with("${readfile{/etc/passwd}}", RC_ERROR, "not permitted");
	fails_with("${if exists{/etc}}", RC_ERROR, "not permitted");
	fails_with("${expand:\\${stat:/etc\\}}", RC_ERROR, "not permitted");
	fixture_free(&f);
}

TEST(bool_and_int)
{
	struct row {
		const char *text;
		enum rc rc;
		bool value;
	};
	static const struct row rows[] = {{"", RC_OK, false}, {"0", RC_OK, false},
	    {"no", RC_OK, false}, {"False", RC_OK, false}, {" ", RC_OK, false}, {"1", RC_OK, true},
	    {"22", RC_OK, true}, {"yes", RC_OK, true}, {" TRUE ", RC_OK, true},
	    {"maybe", RC_ERROR, false}, {"${if eq{a}{a}}", RC_OK, true},
	    {"${if eq{a}{b}}", RC_OK, false}, {"${if eq{a}{b}{x}fail}", RC_FAIL, false}};
	fixture_init(&f);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct expr *e;
		struct error err;
		bool v = !rows[i].value;
		CHECK(expr_compile(f.arena, slice_cstr(rows[i].text), NULL, &e, &err) == RC_OK);
		CHECK_EQ_INT(expr_eval_bool(&f.ev, e, &v, &err), rows[i].rc);
		CHECK(v == (rows[i].rc == RC_OK ? rows[i].value : !rows[i].value));
	}
	const struct expr *e;
	int64_t n = -1;
	CHECK(expr_compile(f.arena, SL("${if eq{a}{a}{10K}}"), NULL, &e, NULL) == RC_OK);
	CHECK(expr_eval_int(&f.ev, e, &n, NULL) == RC_OK);
	CHECK_EQ_INT(n, 10240);
	CHECK(expr_compile(f.arena, SL("10x"), NULL, &e, NULL) == RC_OK);
	CHECK(expr_eval_int(&f.ev, e, &n, NULL) == RC_ERROR);
	fixture_free(&f);
}

TEST(constants_are_folded)
{
	fixture_init(&f);
	const struct expr *e;
	slice_t text;
	CHECK(expr_compile(f.arena, SL("a${lc:B}${eval:1+1}${md5:}${substr{1}{2}{abcd}}\\n"), NULL,
	          &e, NULL) == RC_OK);
	CHECK(expr_constant(e, &text) && slice_is_clean(text));
	CHECK_EQ_STR(text, "ab2d41d8cd98f00b204e9800998ecf8427ebc\n");
	CHECK(expr_compile(f.arena, SL("${lc:$domain}"), NULL, &e, NULL) == RC_OK);
	CHECK(!expr_constant(e, &text));
	CHECK(expr_compile(f.arena, SL("${if eq{a}{b}{${eval:1/0}}{${randint:1}}}"), NULL, &e,
	          NULL) == RC_OK);
	CHECK(!expr_constant(e, &text));
	fixture_free(&f);
}

static char *repeat(const char *head, const char *s, size_t n, const char *tail)
{
	size_t hl = strlen(head), sl = strlen(s), tl = strlen(tail);
	char *p = malloc(hl + n * (sl + tl) + 1), *to = p;
	CHECK(p != NULL);
	if (!p)
		abort();
	memcpy(to, head, hl);
	to += hl;
	for (size_t i = 0; i < n; i++, to += sl)
		memcpy(to, s, sl);
	for (size_t i = 0; i < n; i++, to += tl)
		memcpy(to, tail, tl);
	*to = '\0';
	return p;
}

TEST(nesting_is_bounded)
{
	struct row {
		const char *head, *open, *close;
	};
	static const struct row rows[] = {{"", "${lc:", "}"}, {"", "${if eq{a}{a}{", "}}"},
	    {"", "${if !", "}"}, {"", "${if and{{", "}}}"}, {"", "${map{a}{", "}}"},
	    {"", "${expand:\\$", "}"}, {"${eval:", "(", ")"}, {"${eval:", "-", ""}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		fixture_init(&f);
		char *text = repeat(rows[i].head, rows[i].open, 20000, rows[i].close);
		slice_t out;
		struct error err;
		CHECK(run(text, &out, &err) != RC_OK);
		free(text);
		text = repeat("", rows[i].open, 90, rows[i].close);
		(void)run(text, &out, &err);
		free(text);
		fixture_free(&f);
	}
	fixture_init(&f);
	char *text = repeat("", "${lc:", 90, "}");
	CHECK(value_is(text, ""));
	free(text);
	/* what calls itself through ${expand:} */
	CHECK(expand_variable_set(&f.ev, SL("acl_m_x"), SL("a${expand:$acl_m_x}"), NULL) == RC_OK);
	fails_with("$acl_m_x${expand:$acl_m_x}", RC_ERROR, "nested too deeply");
	fixture_free(&f);
}

/* frames are larger in a sanitizer build */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SMALL_STACK = 4 << 20 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SMALL_STACK = 4 << 20 };
#else
enum { SMALL_STACK = 256 << 10 };
#endif
#else
enum { SMALL_STACK = 256 << 10 };
#endif

struct deep {
	const char *open, *close;
};

static void *eval_deep(void *arg)
{
	const struct deep *d = arg;
	struct fixture own;
	slice_t out;
	struct error err = {0};
	char *text = repeat("", d->open, strstr(d->open, "any") ? 24 : 98, d->close);
	fixture_init(&own);
	if (!CHECK(fixture_eval(&own, text, &out, &err) == RC_OK))
		(void)printf("# %s: %s\n", d->open, err.text);
	fixture_free(&own);
	free(text);
	return NULL;
}

/* The deepest text that is let through fits the stack of a worker that may block: 256 KiB. */
TEST(nesting_fits_a_small_stack)
{
	static const struct deep rows[] = {
	    {"${lc:$value", "}"},
	    {"a$value${if match{abcabc$value}{^(a|b|c)*c\\$}{", "}}$value"},
	    {"${map{a:$value}{b", "$item}}"},
	    {"${reduce{a}{", "}{$value}}"},
	    {"${sort{b}{lt}{", "$item}}"},
	    {"${sg{abc}{b}{", "x}}"},
	    {"${extract{1}{:}{a:b}{", "$value}}"},
	    {"${if !forany{a:b}{eq{a}{${lc:", "a}}}}"},
	    {"${listextract{1}{a}{", "$value}}"},
	    {"${hmac{md5}{k}{$value", "}}"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		pthread_t thread;
		pthread_attr_t attr;
		struct deep d = rows[i];
		CHECK(pthread_attr_init(&attr) == 0);
		CHECK(pthread_attr_setstacksize(&attr, SMALL_STACK) == 0);
		if (CHECK(pthread_create(&thread, &attr, eval_deep, &d) == 0))
			(void)pthread_join(thread, NULL);
		(void)pthread_attr_destroy(&attr);
	}
}

TEST(time_is_bounded)
{
	fixture_init(&f);
	char *text = repeat("", "${reduce{a:b}{}{", 90, "}}");
	slice_t out;
	struct error err;
	f.ev.deadline_us = clock_mono_us() + 20000;
	CHECK_EQ_INT(run(text, &out, &err), RC_DEFER);
	if (!CHECK(strstr(err.text, "took too long") != NULL))
		(void)printf("# %s\n", err.text);
	free(text);
	f.ev.deadline_us = clock_mono_us() + 20000;
	CHECK(expand_variable_set(
	          &f.ev, SL("acl_m_x"), SL("${expand:$acl_m_x}${expand:$acl_m_x}"), NULL) == RC_OK);
	CHECK(run("${expand:$acl_m_x}", &out, &err) != RC_OK);
	fixture_free(&f);
}

TEST(results_are_bounded)
{
	fixture_init(&f);
	fails_with("${reduce{1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20:21:22:23:24:25:26}{"
	           "ab}{$value$value}}",
	    RC_ERROR, "too long");
	fixture_free(&f);
}

TEST(loops_give_their_memory_back)
{
	struct row {
		const char *text;
		size_t limit;
	};
	static const struct row rows[] = {
	    {"${reduce{$acl_m_list}{0}{${if match{$item}{...}{${eval:$value+1}}{0}}}}", 4096},
	    {"${reduce{$acl_m_list}{0}{${if match{${uc:$item}}{(...)}{${strlen:$1$1}}{0}}}}", 4096},
	    {"${strlen:${filter{$acl_m_list}{eq{${lc:$item}}{x}}}}", 4096},
	    {"${if forall{$acl_m_list}{!eq{${lc:$item}}{x}}}", 4096},
	    {"${listcount:${map{$acl_m_list}{${uc:$item}}}}", 400000},
	    {"${reduce{$acl_m_list}{}{${substr{-100}{100}{$value$item}}}}", 8192},
	    {"${if inlist{x}{$acl_m_list}}", 4096},
	};
	fixture_init(&f);
	struct strbuf sb;
	strbuf_init(&sb, f.arena, 0);
	for (int i = 0; i < 10000; i++)
		strbuf_printf(&sb, "%sitem%d", i ? ":" : "", i);
	CHECK(expand_variable_set(&f.ev, SL("acl_m_list"), strbuf_slice(&sb), NULL) == RC_OK);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct expr *e;
		slice_t out;
		CHECK(expr_compile(f.arena, slice_cstr(rows[i].text), NULL, &e, NULL) == RC_OK);
		size_t before = arena_used(f.arena);
		CHECK(expr_eval(&f.ev, e, &out, NULL) == RC_OK);
		if (!CHECK(arena_used(f.arena) - before < rows[i].limit))
			(void)printf(
			    "# %s: %zu bytes\n", rows[i].text, arena_used(f.arena) - before);
	}
	fixture_free(&f);
}

/* What a loop gives back must not be what a register still shows. */
TEST(registers_outlive_rounds)
{
	fixture_init(&f);
	value_is("${if forany{a1:b2:c3}{match{${uc:$item}}{^B(.)}}{$0-$1}}", "B2-2");
	value_is("${if forall{a1:b2:c3}{match{${uc:$item}}{(.)\\$}}{$0-$1}}", "3-3");
	value_is(
	    "${if !forany{a1:b2:c3}{and{{match{${uc:$item}}{(.)\\$}}{eq{$1}{9}}}}{$0-$1}}", "3-3");
	value_is("${if forany{a1:b2:c3}{inlist{${uc:$item}}{${uc:c3}:x}}{$value}}", "C3");
	value_is("${reduce{a:b:c}{x}{${if eq{$item}{b}{$value}{${uc:$value$item}}}}}", "XAC");
	fixture_free(&f);
}

static enum rc acl_hook(struct eval *ev, slice_t name, const slice_t *args, uint32_t count,
    slice_t *out_text, struct error *err)
{
	*out_text = arena_printf(
	    ev->arena, "%.*s/%u/%.*s", SL_ARG(name), (unsigned)count, SL_ARG(ev->acl_arg[0]));
	(void)args;
	if (slice_eqs(name, "defers"))
		return error_set(err, RC_DEFER, "later");
	if (slice_eqs(name, "breaks"))
		return error_set(err, RC_ERROR, "broken");
	return slice_eqs(name, "denies") ? RC_FAIL : RC_OK;
}

static enum rc run_hook(struct eval *ev, const slice_t *argv, uint32_t argc, slice_t *out_text,
    int *out_status, struct error *err)
{
	struct strbuf sb;
	strbuf_init(&sb, ev->arena, 0);
	(void)err;
	for (uint32_t i = 0; i < argc; i++) {
		strbuf_text(&sb, "[");
		strbuf_add(&sb, argv[i]);
		strbuf_text(&sb, "]");
	}
	*out_text = strbuf_slice(&sb);
	*out_status = slice_eqs(argv[0], "/false") ? 3 << 8 : 0;
	return RC_OK;
}

TEST(hooks)
{
	static const struct eval_hooks hooks = {.acl = acl_hook, .run = run_hook};
	fixture_init(&f);
	fails_with("${acl{x}}", RC_ERROR, "no ACLs");
	f.ev.hooks = &hooks;
	value_is("${acl{accepts}{a}{b}}$acl_arg1$acl_narg", "accepts/2/a0");
	value_is("${acl{denies}}", "denies/0/");
	value_is("${if acl{{accepts}{z}}{yes $value}{no}}", "yes accepts/1/z");
	value_is("${if acl{{denies}}{yes}{no}}", "no");
	fails_with("${acl{defers}}", RC_FAIL, "DEFER from acl \"defers\"");
	fails_with("${if acl{{defers}}}", RC_FAIL, "DEFER from acl \"defers\"");
	fails_with("${acl{breaks}}", RC_ERROR, "ERROR from acl \"breaks\"");
	value_is(
	    "${run{/bin/x a \"b c\" $local_part ${lc:A B}d}}", "[/bin/x][a][b c][Alice][a bd]");
	value_is("${run{/bin/x $acl_m_unset ''}}", "[/bin/x][][]");
	value_is("${run,preexpand{/bin/x ${lc:A B} 'c d'}}", "[/bin/x][a][b][c d]");
	value_is("${run{/false x}{yes}{no $value}} $runrc", "no [/false][x] 3");
	value_is("${run{/true}{yes $value}{no}} $runrc", "yes [/true] 0");
	value_is("${run{relative}{yes}{no}} $runrc", "no 127");
	fails_with("${run{/false}{yes}fail}", RC_FAIL, "\"run\" failed");
	fixture_free(&f);
}

TEST(variables_by_name)
{
	fixture_init(&f);
	slice_t v;
	CHECK(expand_variable(&f.ev, SL("local_part"), &v, NULL) == RC_OK);
	CHECK_EQ_STR(v, "Alice");
	CHECK(expand_variable(&f.ev, SL("host"), &v, NULL) == RC_OK && slice_is_absent(v));
	CHECK_EQ_INT(expand_variable(&f.ev, SL("nosuch"), &v, NULL), RC_FAIL);
	fixture_header(&f, "Subject: hi\n");
	CHECK(expand_variable(&f.ev, SL("h_subject:"), &v, NULL) == RC_OK);
	CHECK_EQ_STR(v, "hi");
	static const char *const names[] = {"acl_c0", "acl_m_x", "auth1", "r_x", "1", "value"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		CHECK(expand_variable_set(&f.ev, slice_cstr(names[i]), SL("set"), NULL) == RC_OK);
		CHECK(expand_variable(&f.ev, slice_cstr(names[i]), &v, NULL) == RC_OK);
		CHECK_EQ_STR(v, "set");
	}
	CHECK_EQ_INT(expand_variable_set(&f.ev, SL("local_part"), SL("x"), NULL), RC_FAIL);
	CHECK_EQ_INT(expand_variable_set(&f.ev, SL("auth4"), SL("x"), NULL), RC_FAIL);
	f.ev.session = NULL;
	f.ev.message = NULL;
	f.ev.address = NULL;
	CHECK_EQ_INT(expand_variable_set(&f.ev, SL("acl_c0"), SL("x"), NULL), RC_FAIL);
	value_is("$local_part$sender_address$acl_c0$acl_m0$r_x$message_size$tls_in_bits$h_subject:$"
	         "sender_host_port",
	    "00");
	fixture_free(&f);
}

TEST(headers)
{
	fixture_init(&f);
	fixture_header(&f, "From: Joe <joe@example.com>\n");
	fixture_header(&f, "To: a@b.c\n");
	fixture_header(&f, "To: d@e.f\n");
	fixture_header(&f, "Subject:  Hello\n World \n");
	fixture_header(&f, "X-Enc: =?utf-8?Q?caf=C3=A9?= =?iso-8859-1?B?6Q==?=\n");
	fixture_header(&f, "X-L: a:b\n");
	fixture_header(&f, "X-L: c\n");
	value_is("$h_subject:|", "Hello\n World|");
	value_is("$rh_subject:|", "  Hello\n World \n|");
	value_is("$H_SUBJECT:|", "Hello\n World|");
	value_is("$h_to:|$lh_to:|$rh_to:|", "a@b.c,\nd@e.f| a@b.c: d@e.f| a@b.c\n d@e.f\n|");
	value_is("$lh_x-l:", " a::b: c");
	value_is("$h_x-enc:", "caf\xc3\xa9\xc3\xa9");
	value_is("$bh_x-enc:", "caf\xc3\xa9\xe9");
	value_is("$h_nosuch:|${if def:h_to:{y}{n}}${if def:h_nosuch:{y}{n}}", "|yn");
	value_is("$reply_address", "Joe <joe@example.com>");
	value_is("${domain:$h_from:}", "example.com");
	f.headers.first->type = '*';
	value_is("$h_from:", "");
	fails_with("${lc:$h_subject}", RC_ERROR, "could be header name not terminated by colon");
	fixture_free(&f);
}

TEST(times_and_machine)
{
	fixture_init(&f);
	value_is(
	    "${if match{$tod_log}{\\N^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d$\\N}{y}{n}}", "y");
	value_is("${if match{$tod_full}{\\N^\\w{3}, \\d\\d \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d "
	         "[+-]\\d{4}$\\N}{y}{n}}",
	    "y");
	value_is("${if match{$tod_zulu}{\\N^\\d{14}Z$\\N}{y}{n}}", "y");
	value_is("${if match{$tod_bsdinbox}{\\N^\\w{3} \\w{3} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d "
	         "\\d{4}$\\N}{y}{n}}",
	    "y");
	value_is("${if >{$tod_epoch}{1700000000}{y}{n}}${if "
	         "={${length_10:$tod_epoch_l}}{$tod_epoch}{y}{n}}",
	    "yy");
	value_is(
	    "${if >{$spool_space}{-2}{y}}${if >{$load_average}{-2}{y}}${if >{$pid}{1}{y}}", "yyy");
	fixture_free(&f);
}

TEST(list_items_are_not_copied)
{
	struct arena *a = arena_new(0);
	slice_t list = SL(" a : b::c : d "), item;
	uint64_t pos = 0;
	CHECK(expand_list_next(a, list, &pos, &item) && item.ptr == list.ptr + 1);
	CHECK_EQ_STR(item, "a");
	CHECK(expand_list_next(a, list, &pos, &item));
	CHECK_EQ_STR(item, "b:c");
	CHECK(expand_list_next(a, list, &pos, &item));
	CHECK_EQ_STR(item, "d");
	CHECK(!expand_list_next(a, list, &pos, &item));
	pos = 0;
	CHECK(!expand_list_next(a, SL("   "), &pos, &item));
	CHECK(!expand_list_next(a, slice_absent(), &pos, &item));
	CHECK(expand_list_next(a, SL("<\n x\n\ny"), &pos, &item));
	arena_free(&a);
}

TEST(every_variable_is_found)
{
	fixture_init(&f);
	const struct var_row *row;
	slice_t v;
	uint32_t i = 0;
	for (; (row = var_row_at(i)) != NULL; i++)
		if (!CHECK(expand_variable(&f.ev, slice_cstr(row->name), &v, NULL) == RC_OK))
			(void)printf("# %s: the table is not sorted\n", row->name);
	CHECK(i > 150);
	fixture_free(&f);
}

TEST(warnings_about_taint)
{
	struct row {
		const char *text, *want;
	};
	static const struct row rows[] = {
	    {"${readfile{/var/$local_part}}", "use $local_part_data"},
	    {"${readfile{/var/$domain}{,}}", "use $domain_data"},
	    {"${readfile{/var/$local_part_data}}", NULL},
	    {"${if eq{a}{b}{${readfile{$h_x:}}}}", "$h_..."},
	    {"${run{/bin/$domain}}", "the command of \"run\""},
	    {"${run{/bin/x $domain}}", NULL},
	    {"${run,preexpand{/bin/x $domain}}", "use $domain_data"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct vec warnings = {0};
		const struct expr_env env = {
		    .file = "conf", .line = 7, .option = "router r: data", .warnings = &warnings};
		const struct expr *e;
		fixture_init(&f);
		CHECK(expr_compile(f.arena, slice_cstr(rows[i].text), &env, &e, NULL) == RC_OK);
		CHECK_EQ_INT(warnings.count, rows[i].want ? 1 : 0);
		if (warnings.count && rows[i].want) {
			const struct error *w = VEC_AT(&warnings, struct error, 0);
			CHECK(strstr(w->text, rows[i].want) && strstr(w->text, "router r: data") &&
			      w->line == 7);
		}
		fixture_free(&f);
	}
}

TAP_MAIN()
