/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lists as Exim matches them: what matches, what the value is, and that an index of any size does
 * not change it. */
#include "site.h"

#include "base/clock.h"

#include <pthread.h>

static const char config[] = "primary_hostname = mx.example.org\n"
                             "domainlist local = a.example : *.b.example\n"
                             "domainlist outer = !no.b.example : +local\n"
                             "domainlist allbut = !a.example\n"
                             "hostlist lan = 10.0.0.0/8 : <; 192.168.0.1\n"
                             "addresslist friends = joe@a.example : *@friends.example\n"
                             "localpartlist roles = postmaster : abuse\n";

static slice_t tainted(const char *s)
{
	return slice_tainted(s, strlen(s));
}

static enum rc match_one(
    struct site *s, enum match_kind kind, struct match_list *l, const char *subject, slice_t *data)
{
	slice_t t = subject ? tainted(subject) : slice_absent();
	struct match_host h = {.address = t, .name = slice_absent()};
	*data = slice_absent();
	s->ev.capture_count = 0;
	switch (kind) {
	case MATCH_DOMAINS:
		return match_domain(&s->ev, l, t, data, &s->err);
	case MATCH_HOSTS:
		return match_host(&s->ev, l, &h, data, &s->err);
	case MATCH_ADDRESSES:
		return match_address(&s->ev, l, t, data, &s->err);
	case MATCH_LOCALPARTS:
		return match_local_part(&s->ev, l, t, data, &s->err);
	case MATCH_STRINGS:
		break;
	}
	return match_string(&s->ev, l, t, data, &s->err);
}

struct row {
	enum match_kind kind;
	const char *list, *subject;
	enum rc want;
	const char *data; /* NULL: not looked at; "-": ABSENT */
};

static void check_rows(struct site *s, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct match_list *l = NULL;
		slice_t data = slice_absent();
		struct expr_env env = {.cfg = s->cfg, .file = "row", .line = 1};
		s->err = (struct error){0};
		enum rc rc = match_compile(
		    s->arena, rows[i].kind, slice_cstr(rows[i].list), false, &env, &l, &s->err);
		if (rc == RC_OK)
			rc = match_one(s, rows[i].kind, l, rows[i].subject, &data);
		bool ok = CHECK_EQ_INT(rc, rows[i].want);
		if (ok && rc == RC_OK && rows[i].data && *rows[i].data == '-')
			ok = CHECK(slice_is_absent(data));
		else if (ok && rc == RC_OK && rows[i].data)
			ok = CHECK_EQ_STR(data, rows[i].data);
		if (!ok)
			printf("# list \"%s\" subject \"%s\": %s\n", rows[i].list,
			    rows[i].subject ? rows[i].subject : "-", s->err.text);
		/* the same list when it is a text at run time */
		if (rows[i].kind != MATCH_HOSTS || rows[i].subject) {
			rc = match_text(&s->ev, rows[i].kind, slice_cstr(rows[i].list),
			    rows[i].subject ? tainted(rows[i].subject) : slice_absent(), &data,
			    &s->err);
			CHECK_EQ_INT(rc, rows[i].want);
		}
		arena_reset(s->scratch);
	}
}
#define CHECK_ROWS(s, rows) check_rows((s), (rows), sizeof(rows) / sizeof *(rows))

static void with_site(struct site *s)
{
	site_init(s);
	if (!CHECK(site_load(s, config, NULL)))
		site_say_problems(s);
}

#define D MATCH_DOMAINS
TEST(domains)
{
	static const struct row rows[] = {
	    {D, "", "a.b", RC_FAIL, NULL},
	    {D, ":", "", RC_OK, ""},
	    {D, "a.b", "A.B", RC_OK, "a.b"},
	    {D, "a.b : c.d", "c.d", RC_OK, "c.d"},
	    {D, "<; a.b ; c.d", "c.d", RC_OK, "c.d"},
	    {D, "*", "", RC_OK, "*"},
	    {D, "*.b.c", "x.y.b.c", RC_OK, "*.b.c"},
	    {D, "*.b.c", "b.c", RC_FAIL, NULL},
	    {D, "*key.ex", "donkey.ex", RC_OK, "*key.ex"},
	    {D, "!a.b.c : *.b.c", "a.b.c", RC_FAIL, NULL},
	    {D, "!a.b.c : *.b.c", "x.b.c", RC_OK, "*.b.c"},
	    {D, "!a.b.c : *.b.c", "b.c.d", RC_FAIL, NULL},
	    {D, "!a.b.c", "x.y", RC_OK, "-"},
	    {D, "! a.b.c", "a.b.c", RC_FAIL, NULL},
	    {D, "*.b.c : !a.b.c", "a.b.c", RC_OK, "*.b.c"},
	    {D, "*:!c", "a.b", RC_OK, "*"},
	    {D, "^x(.)y$", "X.Y", RC_OK, "^x(.)y$"},
	    {D, "^(?-i)x.y", "X.Y", RC_FAIL, NULL},
	    {D, "^([", "a", RC_ERROR, NULL},
	    {D, "@", "MX.example.org", RC_OK, "mx.example.org"},
	    {D, "@[]", "[127.0.0.1]", RC_OK, "@[]"},
	    {D, "@[]", "[192.0.2.200]", RC_FAIL, NULL},
	    {D, "@mx_any", "a.b", RC_ERROR, NULL},
	    {D, "+local", "x.b.example", RC_OK, "*.b.example"},
	    {D, "!+local : *", "a.example", RC_FAIL, NULL},
	    {D, "+outer", "no.b.example", RC_FAIL, NULL},
	    {D, "+outer", "yes.b.example", RC_OK, "*.b.example"},
	    {D, "+allbut : *.z", "q.q", RC_OK, "-"},
	    {D, "+nowhere", "a.b", RC_ERROR, NULL},
	    {D, "foolook;/x", "a.b", RC_ERROR, NULL},
	};
	struct site s;
	with_site(&s);
	CHECK_ROWS(&s, rows);
	site_free(&s);
}

#define H MATCH_HOSTS
TEST(hosts)
{
	static const struct row rows[] = {
	    {H, ":", NULL, RC_OK, "-"},
	    {H, ":", "1.2.3.4", RC_FAIL, NULL},
	    {H, "*", NULL, RC_OK, NULL},
	    {H, "*", "1.2.3.4", RC_OK, "-"},
	    {H, "!1.2.3.4", NULL, RC_OK, NULL},
	    {H, "10.0.0.0/8", "10.200.1.1", RC_OK, "-"},
	    {H, "10.0.0.0/8", "11.0.0.1", RC_FAIL, NULL},
	    {H, "10.1.2.3/8", "10.200.1.1", RC_OK, NULL},
	    {H, "0.0.0.0/0", "::1", RC_FAIL, NULL},
	    {H, "0.0.0.0/0", "9.9.9.9", RC_OK, NULL},
	    {H, "<; 3ffe:ffff:836f::/48", "3ffe:ffff:836f:1::1", RC_OK, NULL},
	    {H, "3ffe::ffff::836f::::/48", "3ffe:ffff:836f:1::1", RC_OK, NULL},
	    {H, "10.0.0.1", "::ffff:10.0.0.1", RC_OK, NULL},
	    {H, "!10.1.0.0/16 : 10.0.0.0/8", "10.1.2.3", RC_FAIL, NULL},
	    {H, "10.0.0.0/8 : !10.1.0.0/16", "10.1.2.3", RC_OK, NULL},
	    {H, "!10.1.0.0/16 : 10.0.0.0/8", "10.2.2.3", RC_OK, NULL},
	    {H, "10.0.0.0/33", "10.0.0.1", RC_ERROR, NULL},
	    {H, "+lan", "10.1.1.1", RC_OK, NULL},
	    {H, "@[]", "127.0.0.1", RC_OK, NULL},
	    {H, "localhost", "127.0.0.1", RC_OK, NULL},
	    {H, "localhost", "10.0.0.1", RC_FAIL, NULL},
	    /* no resolver here: a name cannot be found out */
	    {H, "some.name.example", "10.0.0.1", RC_DEFER, NULL},
	    {H, "+ignore_defer : some.name.example : 10.0.0.1", "10.0.0.1", RC_OK, NULL},
	    {H, "+include_defer : some.name.example", "10.0.0.1", RC_OK, NULL},
	    {H, "10.0.0.1 : some.name.example", "10.0.0.1", RC_OK, NULL},
	    /* the host has no name */
	    {H, "*.enemy.example : 10.0.0.1", "10.0.0.1", RC_FAIL, NULL},
	    {H, "+include_unknown : *.enemy.example", "10.0.0.1", RC_OK, NULL},
	    {H, "+ignore_unknown : *.enemy.example : 10.0.0.1", "10.0.0.1", RC_OK, NULL},
	    {H, "+include_unknown : +ignore_unknown : *.enemy.example", "10.0.0.1", RC_FAIL, NULL},
	    {H, "!*.enemy.example", "10.0.0.1", RC_FAIL, NULL},
	    {H, "*", "nonsense", RC_ERROR, NULL},
	};
	struct site s;
	with_site(&s);
	CHECK_ROWS(&s, rows);
	site_free(&s);
}

#define A MATCH_ADDRESSES
#define L MATCH_LOCALPARTS
TEST(addresses_and_local_parts)
{
	static const struct row rows[] = {
	    {A, "*", "", RC_FAIL, NULL},
	    {A, ":", "", RC_OK, ""},
	    {A, "", "", RC_FAIL, NULL},
	    {A, "*@*", "", RC_FAIL, NULL},
	    {A, "!foo@bar", "", RC_OK, "-"},
	    {A, "bar.com", "", RC_FAIL, NULL},
	    {A, "^", "", RC_OK, NULL},
	    {A, "bar.com", "a@BAR.com", RC_OK, "bar.com"},
	    {A, "*.bar.com", "a@x.bar.com", RC_OK, "*.bar.com"},
	    {A, "*@*bar.com", "a@foobar.com", RC_OK, "*@*bar.com"},
	    {A, "*@bar.com", "a@bar.com", RC_OK, "*@bar.com"},
	    {A, "a@X.com", "A@x.com", RC_OK, "a@X.com"},
	    {A, "+caseful : a@x.com", "A@x.com", RC_FAIL, NULL},
	    {A, "+caseful : a@x.com", "a@X.COM", RC_OK, "a@x.com"},
	    {A, "*er@dom.ex", "user@dom.ex", RC_OK, NULL},
	    {A, "us*@dom.ex", "user@dom.ex", RC_FAIL, NULL},
	    {A, "*@+local", "q@x.b.example", RC_OK, "*.b.example"},
	    {A, "+friends", "joe@A.example", RC_OK, "joe@a.example"},
	    {A, "+friends", "ann@friends.example", RC_OK, "*@friends.example"},
	    {A, "postmaster@@", "postmaster@mx.example.org", RC_OK, "postmaster@mx.example.org"},
	    {A, "^us(.*)@", "USER@dom.ex", RC_OK, "^us(.*)@"},
	    {A, "+caseful : ^us(.*)@", "USER@dom.ex", RC_FAIL, NULL},
	    {A, "postmaster", "postmaster", RC_FAIL, NULL},
	    {A, "*", "postmaster", RC_FAIL, NULL},
	    {A, "*@*", "a@b", RC_OK, "*@*"},
	    {A, "!x@y : *", "x@y", RC_FAIL, NULL},
	    {L, "*er", "user", RC_OK, "*er"},
	    {L, "user", "USER", RC_OK, "user"},
	    {L, "+caseful : user", "USER", RC_FAIL, NULL},
	    {L, "User : +caseful : ROOT", "root", RC_FAIL, NULL},
	    {L, "User : +caseful : ROOT", "ROOT", RC_OK, "ROOT"},
	    {L, "@", "mx.example.org", RC_FAIL, NULL},
	    {L, "+roles", "Abuse", RC_OK, "abuse"},
	    {L, ":", "", RC_OK, ""},
	    {MATCH_STRINGS, "plain : login", "login", RC_OK, "login"},
	    {MATCH_STRINGS, "*", "login", RC_OK, "*"},
	    {MATCH_STRINGS, "+local", "a.example", RC_FAIL, NULL},
	};
	struct site s;
	with_site(&s);
	CHECK_ROWS(&s, rows);
	site_free(&s);
}

TEST(case_counts_from_the_start)
{
	struct site s;
	struct match_list *l = NULL;
	with_site(&s);
	CHECK_EQ_INT(match_compile(s.arena, L, SL("Root : *ER"), false, NULL, &l, &s.err), RC_OK);
	CHECK_EQ_INT(match_local_part_caseful(&s.ev, l, SL("root"), NULL, &s.err), RC_FAIL);
	CHECK_EQ_INT(match_local_part_caseful(&s.ev, l, SL("Root"), NULL, &s.err), RC_OK);
	CHECK_EQ_INT(match_local_part_caseful(&s.ev, l, SL("user"), NULL, &s.err), RC_FAIL);
	CHECK_EQ_INT(match_local_part_caseful(&s.ev, l, SL("usER"), NULL, &s.err), RC_OK);
	site_free(&s);
}

TEST(captures)
{
	struct site s;
	struct match_list *l = NULL;
	with_site(&s);
	CHECK_EQ_INT(
	    match_compile(s.arena, D, SL("*c.ex : ^(.)\\.(.)$"), false, NULL, &l, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, l, tainted("abc.ex"), NULL, &s.err), RC_OK);
	CHECK_EQ_INT(s.ev.capture_count, 2);
	CHECK_EQ_STR(s.ev.captures[0], "abc.ex");
	CHECK_EQ_STR(s.ev.captures[1], "ab");
	CHECK(!slice_is_clean(s.ev.captures[1]));
	CHECK_EQ_INT(match_domain(&s.ev, l, tainted("x.y"), NULL, &s.err), RC_OK);
	CHECK_EQ_INT(s.ev.capture_count, 3);
	CHECK_EQ_STR(s.ev.captures[2], "y");
	site_free(&s);
}

TEST(values_are_the_sites_own)
{
	struct site s;
	struct match_list *l = NULL;
	slice_t data;
	with_site(&s);
	CHECK_EQ_INT(match_compile(s.arena, D, SL("a.b : *.c"), false, NULL, &l, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, l, tainted("A.B"), &data, &s.err), RC_OK);
	CHECK(slice_is_clean(data));
	/* a list that came from outside gives no clean value */
	CHECK_EQ_INT(match_text(&s.ev, D, tainted("a.b"), tainted("a.b"), &data, &s.err), RC_OK);
	CHECK(!slice_is_clean(data));
	CHECK_EQ_INT(match_text(&s.ev, D, SL("a.b"), tainted("a.b"), &data, &s.err), RC_OK);
	CHECK(slice_is_clean(data));
	site_free(&s);
}

TEST(files)
{
	struct site s;
	struct match_list *plain = NULL, *negated = NULL, *missing = NULL;
	slice_t data;
	with_site(&s);
	const char *path =
	    site_file(&s, "domains", "!a.b.c # not this\n\n# a comment\n*.b.c\n+local\n");
	slice_t not_list = arena_printf(s.arena, "!%s", path);
	struct expr_env env = {.cfg = s.cfg};
	CHECK_EQ_INT(
	    match_compile(s.arena, D, slice_cstr(path), false, &env, &plain, &s.err), RC_OK);
	CHECK_EQ_INT(match_compile(s.arena, D, not_list, false, &env, &negated, &s.err), RC_OK);
	CHECK_EQ_INT(
	    match_compile(s.arena, D, SL("/no/such/file"), false, &env, &missing, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, plain, tainted("a.b.c"), &data, &s.err), RC_FAIL);
	CHECK_EQ_INT(match_domain(&s.ev, plain, tainted("x.b.c"), &data, &s.err), RC_OK);
	CHECK_EQ_STR(data, "*.b.c");
	CHECK_EQ_INT(match_domain(&s.ev, plain, tainted("a.example"), &data, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, plain, tainted("z.z"), &data, &s.err), RC_FAIL);
	CHECK_EQ_INT(match_domain(&s.ev, negated, tainted("a.b.c"), &data, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, negated, tainted("x.b.c"), &data, &s.err), RC_FAIL);
	CHECK_EQ_INT(match_domain(&s.ev, negated, tainted("z.z"), &data, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, missing, tainted("z.z"), &data, &s.err), RC_DEFER);
	/* another file under the same name is read */
	(void)unlink(path);
	(void)site_file(&s, "domains", "zz.zz\n");
	CHECK_EQ_INT(match_domain(&s.ev, plain, tainted("x.b.c"), &data, &s.err), RC_FAIL);
	CHECK_EQ_INT(match_domain(&s.ev, plain, tainted("zz.zz"), &data, &s.err), RC_OK);
	/* one level only, and no name from a message */
	slice_t inner = arena_printf(s.arena, "%s\n", path);
	const char *outer = site_file(&s, "outer", arena_cstr(s.arena, inner));
	CHECK_EQ_INT(
	    match_text(&s.ev, D, slice_cstr(outer), tainted("zz.zz"), &data, &s.err), RC_ERROR);
	CHECK_EQ_INT(
	    match_text(&s.ev, D, tainted(path), tainted("zz.zz"), &data, &s.err), RC_ERROR);
	CHECK(strstr(s.err.text, "Tainted filename") != NULL);
	site_free(&s);
}

TEST(comments_in_address_files)
{
	struct site s;
	struct match_list *l = NULL;
	with_site(&s);
	const char *path =
	    site_file(&s, "addresses", "not#comment@x.y.z   # but this is a comment\n#all\n");
	CHECK_EQ_INT(match_compile(s.arena, A, slice_cstr(path), false, NULL, &l, &s.err), RC_OK);
	CHECK_EQ_INT(match_address(&s.ev, l, tainted("not#comment@x.y.z"), NULL, &s.err), RC_OK);
	CHECK_EQ_INT(match_address(&s.ev, l, tainted("not@x.y.z"), NULL, &s.err), RC_FAIL);
	site_free(&s);
}

TEST(lookups_in_lists)
{
	struct site s;
	slice_t data = slice_absent();
	with_site(&s);
	const char *path = site_file(&s, "data",
	    "dom.ex: data1\n*.par.ex: data2\nbad.com: !postmaster : *\nuser@foo.ex: "
	    "udata\n*@star.ex: sdata\n"
	    "192.168.34.0/24: net\n10.1.1.1: one\nchain.ex: a : >more\nmore: b\nloop.ex: x : "
	    ">loop.ex\n"
	    "3ffe.0000.0000.0000.0000.0000.0000.0001: six\n");
	static const struct {
		enum match_kind kind;
		const char *type, *subject;
		enum rc want;
		const char *data;
	} rows[] = {
	    {D, "lsearch", "DOM.ex", RC_OK, "data1"},
	    {D, "lsearch,ret=key", "DOM.ex", RC_OK, "dom.ex"},
	    {D, "lsearch", "q.par.ex", RC_FAIL, NULL},
	    {D, "partial-lsearch", "q.z.par.ex", RC_OK, "data2"},
	    {D, "!lsearch", "dom.ex", RC_FAIL, NULL},
	    {D, "!lsearch", "other.ex", RC_OK, "-"},
	    {A, "lsearch", "User@foo.ex", RC_OK, "udata"},
	    {A, "lsearch*@", "any@star.ex", RC_OK, "sdata"},
	    {A, "lsearch", "", RC_FAIL, NULL},
	    {A, "*@lsearch", "user@dom.ex", RC_OK, "data1"},
	    {A, "@@lsearch", "foo@bad.com", RC_OK, "*"},
	    {A, "@@lsearch", "postmaster@bad.com", RC_FAIL, NULL},
	    {A, "@@lsearch", "b@chain.ex", RC_OK, "b"},
	    {A, "@@lsearch", "c@chain.ex", RC_FAIL, NULL},
	    {A, "@@lsearch", "y@loop.ex", RC_DEFER, NULL},
	    {H, "net-lsearch", "10.1.1.1", RC_OK, "one"},
	    {H, "net-lsearch", "3ffe::1", RC_OK, "six"},
	    {H, "net24-lsearch", "192.168.34.6", RC_OK, "net"},
	    {H, "net24-lsearch", "192.168.35.6", RC_FAIL, NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct match_list *l = NULL;
		struct expr_env env = {.cfg = s.cfg};
		slice_t text = arena_printf(s.arena, "%s;%s", rows[i].type, path);
		enum rc rc = match_compile(s.arena, rows[i].kind, text, false, &env, &l, &s.err);
		if (rc == RC_OK)
			rc = match_one(&s, rows[i].kind, l, rows[i].subject, &data);
		if (!CHECK_EQ_INT(rc, rows[i].want))
			printf("# %s %s: %s\n", rows[i].type, rows[i].subject, s.err.text);
		else if (rc == RC_OK && *rows[i].data != '-' && CHECK_EQ_STR(data, rows[i].data))
			CHECK(slice_is_clean(data) || strstr(rows[i].type, "ret=key"));
	}
	CHECK_EQ_INT(match_text(&s.ev, D, arena_printf(s.arena, "partial-lsearch;%s", path),
	                 tainted("q.z.par.ex"), &data, &s.err),
	    RC_OK);
	CHECK_EQ_STR(s.ev.captures[1], "q.z");
	CHECK_EQ_STR(s.ev.captures[2], "par.ex");
	site_free(&s);
}

TEST(expanded_lists)
{
	struct site s;
	struct match_list *l = NULL;
	slice_t data;
	with_site(&s);
	struct expr_env env = {.cfg = s.cfg};
	CHECK_EQ_INT(
	    match_compile(s.arena, D,
	        SL("x.y : ${if eq{$sender_helo_name}{h}{+local : $sender_helo_name.z}fail}"), true,
	        &env, &l, &s.err),
	    RC_OK);
	s.session.sender_helo_name = tainted("h");
	for (int i = 0; i < 3; i++) {
		CHECK_EQ_INT(match_domain(&s.ev, l, tainted("a.example"), &data, &s.err), RC_OK);
		CHECK_EQ_STR(data, "a.example");
		CHECK_EQ_INT(match_domain(&s.ev, l, tainted("h.z"), &data, &s.err), RC_OK);
		CHECK_EQ_STR(data, "h.z");
		CHECK(!slice_is_clean(data));
		arena_reset(s.scratch);
	}
	s.session.sender_helo_name = tainted("other"); /* a forced failure: not in the list */
	CHECK_EQ_INT(match_domain(&s.ev, l, tainted("a.example"), &data, &s.err), RC_FAIL);
	site_free(&s);
}

/* The client's name is looked up when an item needs it, once. */
static int asked;
static enum rc give_name(struct eval *ev)
{
	asked++;
	ev->session->sender_host_name = SL("Host.friend.example");
	return RC_OK;
}
static enum rc defer_name(struct eval *ev)
{
	(void)ev;
	asked++;
	return RC_DEFER;
}

TEST(client_names)
{
	static const struct eval_hooks hooks = {.host_name = give_name},
	                               deferring = {.host_name = defer_name};
	struct site s;
	struct match_list *l = NULL;
	with_site(&s);
	s.session.sender_host_address = tainted("10.9.8.7");
	s.ev.hooks = &hooks;
	asked = 0;
	CHECK_EQ_INT(
	    match_compile(s.arena, H, SL("10.0.0.1 : *.enemy.example : ^host\\. : 10.9.8.7"), false,
	        NULL, &l, &s.err),
	    RC_OK);
	CHECK_EQ_INT(match_client(&s.ev, l, NULL, &s.err), RC_OK);
	CHECK_EQ_INT(asked, 1);
	s.ev.hooks = &deferring;
	s.session.sender_host_name = slice_absent();
	CHECK_EQ_INT(match_client(&s.ev, l, NULL, &s.err), RC_DEFER);
	/* an address before the name decides without it */
	asked = 0;
	CHECK_EQ_INT(
	    match_compile(s.arena, H, SL("10.9.8.7 : *.enemy.example"), false, NULL, &l, &s.err),
	    RC_OK);
	CHECK_EQ_INT(match_client(&s.ev, l, NULL, &s.err), RC_OK);
	CHECK_EQ_INT(asked, 0);
	site_free(&s);
}

/* A list of pseudo-random items against a walk over each item alone: the index must not change
 * which item decides. */
TEST(index_keeps_the_order)
{
	static const char *const pieces[] = {
	    "a.b", "*.b", "c.a.b", "*.a.b", "^a\\.", "b", "*", "*a.b", "q.q", "*.q", "^z"};
	static const char *const subjects[] = {
	    "a.b", "c.a.b", "x.c.a.b", "b", "q.q", "za.b", "none.net"};
	enum { PIECES = sizeof pieces / sizeof *pieces };
	struct site s;
	uint32_t seed = 12345;
	with_site(&s);
	for (int round = 0; round < 300; round++) {
		struct strbuf sb;
		struct match_list *l = NULL, *single[8];
		bool negated[8];
		int n = 1 + round % 8;
		strbuf_init(&sb, s.arena, 0);
		for (int i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			const char *p = pieces[(seed >> 8) % PIECES];
			negated[i] = (seed >> 20) % 3 == 0;
			strbuf_printf(&sb, "%s%s%s", i ? " : " : "", negated[i] ? "!" : "", p);
			CHECK_EQ_INT(
			    match_compile(s.arena, D, slice_cstr(p), false, NULL, &single[i], NULL),
			    RC_OK);
		}
		CHECK_EQ_INT(
		    match_compile(s.arena, D, strbuf_slice(&sb), false, NULL, &l, NULL), RC_OK);
		for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++) {
			slice_t subject = tainted(subjects[k]);
			enum rc want = negated[n - 1] ? RC_OK : RC_FAIL;
			for (int i = 0; i < n; i++)
				if (match_domain(&s.ev, single[i], subject, NULL, NULL) == RC_OK) {
					want = negated[i] ? RC_FAIL : RC_OK;
					break;
				}
			if (!CHECK_EQ_INT(match_domain(&s.ev, l, subject, NULL, NULL), want))
				printf(
				    "# %.*s against %s\n", SL_ARG(strbuf_slice(&sb)), subjects[k]);
		}
		arena_reset(s.scratch);
	}
	site_free(&s);
}

/* Threads share a list whose text changes all the time: each must get the answer to its own text.
 */
struct sharer {
	struct site *site;
	struct match_list *list;
	unsigned number, wrong;
};

static void *share(void *arg)
{
	struct sharer *w = arg;
	struct arena *a = arena_new(0);
	struct session_facts session = w->site->session;
	struct eval ev;
	eval_init(&ev, a, w->site->cfg);
	ev.session = &session;
	for (unsigned i = 0; i < 2000; i++) {
		slice_t name =
		    arena_printf(a, "h%u", (w->number * 37 + i) % 150); /* more than are kept */
		slice_t good = arena_printf(a, "%.*s.example", SL_ARG(name)), data;
		session.sender_helo_name = name;
		if (match_domain(&ev, w->list, good, &data, NULL) != RC_OK || !slice_eq(data, good))
			w->wrong++;
		if (match_domain(&ev, w->list, SL("q.q"), &data, NULL) != RC_FAIL)
			w->wrong++;
		arena_reset(a);
	}
	arena_free(&a);
	return NULL;
}

TEST(threads_share_a_list)
{
	enum { THREADS = 4 };
	struct site s;
	struct match_list *l = NULL;
	pthread_t t[THREADS];
	struct sharer w[THREADS];
	with_site(&s);
	CHECK_EQ_INT(match_compile(
	                 s.arena, D, SL("$sender_helo_name.example : ^zz"), true, NULL, &l, &s.err),
	    RC_OK);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct sharer){&s, l, i, 0};
		CHECK_EQ_INT(pthread_create(&t[i], NULL, share, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		(void)pthread_join(t[i], NULL);
		CHECK_EQ_INT(w[i].wrong, 0);
	}
	site_free(&s);
}

TEST(a_hundred_thousand_domains)
{
	struct site s;
	struct match_list *l = NULL;
	struct strbuf sb;
	slice_t data;
	with_site(&s);
	strbuf_init(&sb, s.arena, 0);
	for (int i = 0; i < 100000; i++)
		strbuf_printf(&sb, "%sd%d.example", i ? ":" : "", i);
	strbuf_text(&sb, ":*.last.example");
	CHECK_EQ_INT(match_compile(s.arena, D, strbuf_slice(&sb), false, NULL, &l, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, l, tainted("d99999.example"), &data, &s.err), RC_OK);
	CHECK_EQ_STR(data, "d99999.example");
	CHECK_EQ_INT(match_domain(&s.ev, l, tainted("x.last.example"), &data, &s.err), RC_OK);
	CHECK_EQ_INT(match_domain(&s.ev, l, tainted("d100000.example"), &data, &s.err), RC_FAIL);
	int64_t t = clock_mono_us();
	for (int i = 0; i < 100000; i++)
		(void)!match_domain(&s.ev, l, SL("not.in.the.list.example"), NULL, NULL);
	printf(
	    "# a miss among 100,001 domains: %lld ns\n", (long long)((clock_mono_us() - t) / 100));
	/* nothing is allocated for it */
	CHECK_EQ_INT(arena_used(s.scratch), 0);
	site_free(&s);
}

TEST(named_lists_as_text)
{
	static const struct {
		const char *text, *want; /* as exim4 gives it */
	} rows[] = {
	    {"${listnamed:d1}", "a : b : c : ^x\\$ : lsearch;/etc/$primary_hostname"},
	    {"${listnamed:+d2}", "b : c"},
	    {"${listnamed_h:d1}", "9.9.9.9"},
	    {"${listnamed_a:ad}", "x@y"},
	    {"${listnamed_l:lp}", "joe"},
	    {"${listnamed:sep}", "a : b::c"},
	    {"${listnamed:zz}", "Failed: \"zz\" is not a named list"},
	    {"${listnamed_d:h}", "Failed: \"h\" is not a domain named list"},
	    {"${listnamed_x:d1}", "Failed: bad suffix on \"list\" operator"},
	};
	struct site s;
	site_init(&s);
	if (!CHECK(site_load(&s,
	        "domainlist d1 = a : +d2 : ^x\\$ : lsearch;/etc/$primary_hostname\n"
	        "domainlist d2 = b : c\nhostlist h = 1.2.3.4\naddresslist ad = x@y\n"
	        "localpartlist lp = joe\nhostlist d1 = 9.9.9.9\ndomainlist sep = <; a;b:c\n",
	        NULL)))
		site_say_problems(&s);
	for (size_t i = 0; s.cfg && i < sizeof rows / sizeof rows[0]; i++) {
		slice_t got = SL("");
		if (expand_text(&s.ev, slice_cstr(rows[i].text), &got, &s.err) != RC_OK)
			got = arena_printf(s.scratch, "Failed: %s", s.err.text);
		CHECK_EQ_STR(got, rows[i].want);
	}
	site_free(&s);
}

TAP_MAIN()
