/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Look-ups through the built lsearch and json drivers: types, keys, taint, files that change, many
 * threads. */
#include "unit/match/site.h"

#include <pthread.h>
#include <time.h>

static slice_t tainted(const char *s)
{
	return slice_tainted(s, strlen(s));
}

static void with_site(struct site *s)
{
	site_init(s);
	if (!CHECK(site_load(s, "primary_hostname = mx.example.org\n", NULL)))
		site_say_problems(s);
}

static enum rc look(struct site *s, const char *type, slice_t source, slice_t key, slice_t *out)
{
	struct lookup_type t;
	s->err = (struct error){0};
	*out = slice_absent();
	enum rc rc = lookup_type_parse(s->drivers, s->scratch, slice_cstr(type), &t, &s->err);
	return rc == RC_OK ? lookup_run(&s->ev, &t, source, key, out, &s->err) : rc;
}

struct row {
	const char *type, *key;
	enum rc want;
	const char *value;
};

static void check_rows(struct site *s, const char *path, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		slice_t out;
		enum rc rc = look(s, rows[i].type, slice_cstr(path), tainted(rows[i].key), &out);
		if (!CHECK_EQ_INT(rc, rows[i].want) ||
		    (rc == RC_OK && !CHECK_EQ_STR(out, rows[i].value)))
			printf("# %s \"%s\": %s\n", rows[i].type, rows[i].key, s->err.text);
	}
}
#define CHECK_ROWS(s, path, rows) check_rows((s), (path), (rows), sizeof(rows) / sizeof *(rows))

static const char plain_file[] = "# comment\nplain: one\n\"quoted key:x\": two\nwhite   three "
                                 "words\nesc\\t: four\n\"es\\\"c\\\\q\": five\n"
                                 "cont: a\n   b\n# comment inside\n\n\tc\nnext: x\nnocolon\ndup: "
                                 "1\ndup: 2\nUpper: up\nk:\nempty2\nlater:\n  data\n"
                                 "baduser:  :fail:\n\"unterminated: x\ntrail:   sp   "
                                 "\n\"tab\\tkey\" : x y\nq   :z  w \nlast: no newline";

TEST(lsearch_keys)
{
	static const struct row rows[] = {
	    {"lsearch", "plain", RC_OK, "one"},
	    {"lsearch", "PLAIN", RC_OK, "one"},
	    {"lsearch", "quoted key:x", RC_OK, "two"},
	    {"lsearch", "white", RC_OK, "three words"},
	    {"lsearch", "esc\\t", RC_OK, "four"},
	    {"lsearch", "es\"c\\q", RC_OK, "five"},
	    {"lsearch", "cont", RC_OK, "a b c"},
	    {"lsearch", "next", RC_OK, "x"},
	    {"lsearch", "nocolon", RC_OK, ""},
	    {"lsearch", "dup", RC_OK, "1"},
	    {"lsearch", "upper", RC_OK, "up"},
	    {"lsearch", "k", RC_OK, ""},
	    {"lsearch", "later", RC_OK, " data"},
	    {"lsearch", "baduser", RC_OK, ":fail:"},
	    {"lsearch", "unterminated: x", RC_OK, ""},
	    {"lsearch", "trail", RC_OK, "sp"},
	    {"lsearch", "tab\tkey", RC_OK, "x y"},
	    {"lsearch,ret=full", "q", RC_OK, "q   :z  w"},
	    {"lsearch,ret=full", "tab\tkey", RC_OK, "tab\tkey : x y"},
	    {"lsearch", "last", RC_OK, "no newline"},
	    {"lsearch", "", RC_FAIL, NULL},
	    {"lsearch", "a", RC_FAIL, NULL},
	    {"lsearch", "comment", RC_FAIL, NULL},
	    {"lsearch,ret=key", "PLAIN", RC_OK, "PLAIN"},
	    {"lsearch,cache=no_rd", "plain", RC_OK, "one"},
	    {"lsearch,foo=bar", "plain", RC_OK, "one"},
	};
	struct site s;
	slice_t out;
	with_site(&s);
	const char *path = site_file(&s, "plain", plain_file);
	CHECK_ROWS(&s, path, rows);
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), tainted("plain"), &out), RC_OK);
	CHECK(slice_is_clean(out));
	CHECK_EQ_INT(look(&s, "lsearch,ret=key", slice_cstr(path), tainted("plain"), &out), RC_OK);
	CHECK(!slice_is_clean(out));
	site_free(&s);
}

TEST(partial_and_defaults)
{
	static const struct row rows[] = {
	    {"partial-lsearch", "2001.dates.fict.example", RC_OK, "dates"},
	    {"partial-lsearch", "dates.fict.example", RC_OK, "dates"},
	    {"partial-lsearch", "own.dates.fict.example", RC_OK, "own"},
	    {"partial-lsearch", "x.top", RC_FAIL, NULL},
	    {"partial1-lsearch", "x.top", RC_OK, "top"},
	    {"partial4-lsearch", "2001.dates.fict.example", RC_FAIL, NULL},
	    {"partial(.)lsearch", "a.b.c", RC_OK, "dot"},
	    {"partial1()lsearch", "a.b.bare", RC_OK, "bare"},
	    {"partial1()lsearch", "bare", RC_OK, "bare"},
	    {"partial0-lsearch", "no.where", RC_OK, "star"},
	    {"partial0(.)lsearch", "no.where", RC_OK, "only dot"},
	    {"partial0()lsearch", "no.where", RC_FAIL, NULL},
	    {"lsearch", "no.where", RC_FAIL, NULL},
	    {"lsearch*", "no.where", RC_OK, "star"},
	    {"lsearch*@", "jane@eyre.example", RC_OK, "eyre"},
	    {"lsearch*@", "jane@other.example", RC_OK, "star"},
	    {"lsearch*@,ret=key", "jane@other.example", RC_OK, "jane@other.example"},
	    {"partial-lsearch*", "a.b", RC_OK, "star"},
	};
	struct site s;
	slice_t out;
	with_site(&s);
	const char *path = site_file(&s, "partial",
	    "*.dates.fict.example: dates\nown.dates.fict.example: own\n*.top: top\n.b.c: "
	    "dot\nbare: bare\n*: star\n.: only dot\n"
	    "*@eyre.example: eyre\n");
	CHECK_ROWS(&s, path, rows);
	CHECK_EQ_INT(
	    look(&s, "partial-lsearch", slice_cstr(path), tainted("x.y.dates.fict.example"), &out),
	    RC_OK);
	CHECK_EQ_STR(s.ev.captures[1], "x.y");
	CHECK_EQ_STR(s.ev.captures[2], "dates.fict.example");
	site_free(&s);
}

TEST(types_that_are_refused)
{
	static const struct {
		const char *type, *why;
	} rows[] = {
	    {"foolook", "unknown lookup type \"foolook\""},
	    {"", "unknown lookup type"},
	    {"partiallsearch", "format error"},
	    {"partial(lsearch", "missing \")\""},
	    {"../lsearch", "name is not"},
	};
	struct site s;
	struct lookup_type t;
	with_site(&s);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		s.err = (struct error){0};
		CHECK_EQ_INT(
		    lookup_type_parse(s.drivers, s.arena, slice_cstr(rows[i].type), &t, &s.err),
		    RC_ERROR);
		if (!CHECK(strstr(s.err.text, rows[i].why) != NULL))
			printf("# %s: %s\n", rows[i].type, s.err.text);
	}
	site_free(&s);
}

TEST(sources)
{
	struct site s;
	slice_t out;
	with_site(&s);
	const char *path = site_file(&s, "plain", "k: v\n");
	CHECK_EQ_INT(look(&s, "lsearch", tainted(path), SL("k"), &out), RC_ERROR);
	CHECK(strstr(s.err.text, "Tainted filename") != NULL);
	CHECK_EQ_INT(look(&s, "lsearch", SL("plain"), SL("k"), &out), RC_ERROR);
	CHECK_EQ_INT(look(&s, "lsearch", SL("/no/such/file"), SL("k"), &out), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(s.err.text),
	    "failed to open /no/such/file for linear search: No such file or directory");
	CHECK_EQ_INT(look(&s, "lsearch", SL("/dev"), SL("k"), &out), RC_DEFER);
	s.ev.forbid = HEDDLE_FORBID_LOOKUPS;
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_ERROR);
	site_free(&s);
}

static void nap(void)
{
	struct timespec ts = {.tv_nsec = 60 * 1000 * 1000};
	(void)nanosleep(&ts, NULL);
}

TEST(a_changed_file_is_read_again)
{
	struct site s;
	slice_t out;
	with_site(&s);
	const char *path = site_file(&s, "changing", "k: first\n");
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
	CHECK_EQ_STR(out, "first");
	nap();
	(void)site_file(&s, "changing", "k: other\n"); /* the same size */
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
	CHECK_EQ_STR(out, "other");
	(void)unlink(path);
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_DEFER);
	(void)site_file(&s, "changing", "k: third time\n");
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
	CHECK_EQ_STR(out, "third time");
	lookups_tidy(s.services.lookups, 0);
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
	lookups_drop_snapshot(s.services.lookups, config_serial(s.cfg));
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
	site_free(&s);
}

TEST(a_snapshot_that_goes_closes_what_it_had_open)
{
	struct site s;
	struct config *old;
	slice_t out;
	with_site(&s);
	old = s.cfg;
	const char *path = site_file(&s, "kept", "k: v\n");
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
	CHECK(site_load(&s, "primary_hostname = other.example.org\n", NULL));
	CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
	CHECK_EQ_INT(lookups_open(s.services.lookups), 2);
	config_unref(&old);
	CHECK_EQ_INT(lookups_open(s.services.lookups), 1);
	config_unref(&s.cfg);
	CHECK_EQ_INT(lookups_open(s.services.lookups), 0);
	site_free(&s);
}

TEST(more_files_than_may_be_open)
{
	struct site s;
	slice_t out;
	with_site(&s);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 60; i++) {
			char name[16], content[32];
			(void)snprintf(name, sizeof name, "f%d", i);
			(void)snprintf(content, sizeof content, "k: %d\n", i);
			const char *path = site_file(&s, name, content);
			CHECK_EQ_INT(look(&s, "lsearch", slice_cstr(path), SL("k"), &out), RC_OK);
			CHECK_EQ_STR(out, arena_cstr(s.arena, slice_trim(slice_cstr(content + 3))));
		}
	site_free(&s);
}

static const char json_file[] =
    "{\"list\":[\"a\",{\"b\":1},3],\"o\":{\"k\":\"v\\\"q\",\"z\":[1,2]},\"n\":42,\"t\":true,"
    "\"s\":\"a/b\",\"nul\":null,\"d\":1.50,\"colon:key\":\"c\",\"5\":\"five\",\"u\":\"\\u00e4\"}\n";

TEST(json_selectors)
{
	static const struct row rows[] = {
	    {"json", "list : 0", RC_OK, "a"},
	    {"json", "list:1", RC_OK, "{\"b\":1}"},
	    {"json", "list : 1 : b", RC_OK, "1"},
	    {"json", "o : k", RC_OK, "v\"q"},
	    {"json", "o", RC_OK, "{\"k\":\"v\\\"q\",\"z\":[1,2]}"},
	    {"json", "o : z", RC_OK, "[1,2]"},
	    {"json", "n", RC_OK, "42"},
	    {"json", "t", RC_OK, "true"},
	    {"json", "s", RC_OK, "a/b"},
	    {"json", "d", RC_OK, "1.50"},
	    {"json", "u", RC_OK, "\xc3\xa4"},
	    {"json", "<; colon:key", RC_OK, "c"},
	    {"json", "colon::key", RC_OK, "c"},
	    {"json", "nul", RC_FAIL, NULL},
	    {"json", "list : 9", RC_FAIL, NULL},
	    {"json", "list : 99999999999999999999999999", RC_FAIL, NULL},
	    {"json", "list : x", RC_FAIL, NULL},
	    {"json", "list : -1", RC_FAIL, NULL},
	    {"json", "o : 1", RC_FAIL, NULL},
	    {"json", "5", RC_FAIL, NULL},
	    {"json", "n : 0", RC_FAIL, NULL},
	    {"json", "N", RC_FAIL, NULL},
	};
	struct site s;
	with_site(&s);
	CHECK_ROWS(&s, site_file(&s, "x.json", json_file), rows);
	site_free(&s);
}

TEST(json_files)
{
	static const struct {
		const char *content, *key;
		enum rc want;
	} rows[] = {
	    {"{\"a\":1}", "a", RC_OK},
	    {" \n[5] \n", "0", RC_OK},
	    {"", "a", RC_DEFER},
	    {"{\"a\":1} x", "a", RC_DEFER},
	    {"{\"a\":1}{}", "a", RC_DEFER},
	    {"{\"a\":1,}", "a", RC_DEFER},
	    {"{'a':1}", "a", RC_DEFER},
	    {"{\"a\":1 /* c */}", "a", RC_DEFER},
	    {"{\"a\":\"\x01\"}", "a", RC_DEFER},
	    {"{\"a\":\"\xff\"}", "a", RC_DEFER},
	    {"{\"a\":", "a", RC_DEFER},
	    {"{\"a\":NaN}", "a", RC_DEFER},
	    {"{\"a\":True}", "a", RC_DEFER},
	    {"{\"a\":-Infinity}", "a", RC_DEFER},
	    {"{\"a\":007}", "a", RC_DEFER},
	    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	        "0", RC_DEFER},
	};
	struct site s;
	slice_t out;
	with_site(&s);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "j%zu", i);
		const char *path = site_file(&s, name, rows[i].content);
		if (!CHECK_EQ_INT(look(&s, "json", slice_cstr(path), tainted(rows[i].key), &out),
		        rows[i].want))
			printf("# %s: %s\n", rows[i].content, s.err.text);
	}
	site_free(&s);
}

/* Threads share a handle of lsearch and have one each of json's. */
struct worker {
	struct site *site;
	const char *lsearch, *json;
	int wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct arena *a = arena_new(0);
	struct eval ev;
	struct lookup_type ls, js;
	struct error err;
	struct arena *mine = arena_new(0);
	if (lookup_type_parse(w->site->drivers, mine, SL("lsearch"), &ls, &err) != RC_OK) {
		w->wrong++;
		return NULL;
	}
	eval_init(&ev, a, w->site->cfg);
	ev.services = &w->site->services;
	if (lookup_type_parse(w->site->drivers, mine, SL("json"), &js, &err) != RC_OK)
		w->wrong++;
	for (int i = 0; i < 2000 && !w->wrong; i++) {
		slice_t out;
		if (lookup_run(&ev, &ls, slice_cstr(w->lsearch), SL("cont"), &out, &err) != RC_OK ||
		    !slice_eqs(out, "a b c"))
			w->wrong++;
		if (lookup_run(&ev, &js, slice_cstr(w->json), SL("o : z"), &out, &err) != RC_OK ||
		    !slice_eqs(out, "[1,2]"))
			w->wrong++;
		if (i % 500 == 0)
			lookups_tidy(w->site->services.lookups, 0);
		arena_reset(a);
	}
	arena_free(&mine);
	arena_free(&a);
	return NULL;
}

TEST(many_threads)
{
	enum { THREADS = 8 };
	struct site s;
	pthread_t t[THREADS];
	struct worker w[THREADS];
	with_site(&s);
	const char *lsearch = site_file(&s, "plain", plain_file),
	           *json = site_file(&s, "x.json", json_file);
	nap();
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){&s, lsearch, json, 0};
		CHECK_EQ_INT(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		(void)pthread_join(t[i], NULL);
		CHECK_EQ_INT(w[i].wrong, 0);
	}
	site_free(&s);
}

TAP_MAIN()
