/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/describe: what is written is what is read, and nothing else is accepted. */
#include "base/strbuf.h"
#include "driver/call.h"
#include "lib/tap.h"

#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

static const char *built_folder(void)
{
	static char path[4200];
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	(void)snprintf(path, sizeof path, "%s/../../abi/drivers", dirname(exe));
	return path;
}

static bool same_text(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

TEST(a_description_says_what_the_driver_says)
{
	struct heddle_host host = {0};
	const char *folders[] = {built_folder(), NULL};
	const struct drivers_config cfg = {.folders = folders, .any_owner = true, .host = &host};
	struct drivers *opened = NULL, *described = NULL;
	struct arena *a = arena_new(0);
	struct strbuf text;
	struct error e = {0};
	services_init_basic(&host);
	CHECK_EQ_INT(drivers_new(&cfg, &opened, &e), RC_OK);
	strbuf_init(&text, a, 0);
	drivers_describe(opened, &text);
	CHECK_EQ_INT(drivers_from_description(strbuf_slice(&text), &described, &e), RC_OK);
	CHECK_EQ_STR(slice_cstr(e.text), "");
	const struct driver *was = NULL, *is = NULL, *alias = NULL;
	CHECK_EQ_INT(driver_find(opened, HEDDLE_LOOKUP, SL("good"), &was, &e), RC_OK);
	if (described && was) {
		CHECK_EQ_INT(driver_find(described, HEDDLE_LOOKUP, SL("good"), &is, &e), RC_OK);
		CHECK_EQ_INT(
		    driver_find(described, HEDDLE_LOOKUP, SL("second_alias"), &alias, &e), RC_OK);
		CHECK(is && is == alias);
	}
	if (is) {
		CHECK(!is->desc && !is->ops && !is->state);
		CHECK_EQ_STR(slice_cstr(is->path), was->path);
		CHECK_EQ_STR(slice_cstr(is->head.author), "tests");
		CHECK_EQ_INT(is->kind, was->kind);
		CHECK_EQ_INT(is->option_count, was->option_count);
		for (uint32_t i = 0; i < is->option_count && i < was->option_count; i++) {
			const struct heddle_option *x = &is->options[i], *y = &was->options[i];
			CHECK(same_text(x->name, y->name) && same_text(x->initial, y->initial));
			CHECK(same_text(x->type_arg, y->type_arg) && same_text(x->doc, y->doc));
			CHECK(x->type == y->type && x->flags == y->flags &&
			      x->since_major == y->since_major);
		}
		/* a refused one is refused in the same words; nothing is looked for in a folder */
		struct error first = {0}, second = {0};
		CHECK_EQ_INT(
		    driver_find(opened, HEDDLE_LOOKUP, SL("twice"), &alias, &first), RC_ERROR);
		CHECK_EQ_INT(
		    driver_find(described, HEDDLE_LOOKUP, SL("twice"), &alias, &second), RC_ERROR);
		CHECK(strstr(first.text, "occurs twice") && strcmp(first.text, second.text) == 0);
		CHECK_EQ_INT(
		    driver_find(described, HEDDLE_LOOKUP, SL("nobody"), &alias, &e), RC_FAIL);
		CHECK_EQ_STR(slice_cstr(e.text),
		    "lookup driver \"nobody\": not found among the drivers that were described");
		drivers_rescan(described);
		CHECK_EQ_INT(driver_find(described, HEDDLE_LOOKUP, SL("good"), &is, &e), RC_OK);
	}
	drivers_free(&described);
	drivers_free(&opened);
	arena_free(&a);
}

#define FIRST "heddle-drivers 1\n"
#define DRV   "driver\t4\t0\t0\t2\t0\tx\t\t1.0\tMIT\tme\t/x.so\n"

TEST(refuses_what_it_did_not_write)
{
	static const struct {
		const char *text, *problem;
	} cases[] = {
	    {"", "not a description of drivers: wanted \"heddle-drivers 1\""},
	    {"heddle-drivers 2\nend\n",
	        "not a description of drivers: wanted \"heddle-drivers 1\""},
	    {FIRST, "description of drivers, line 2: neither a driver nor an option of one"},
	    {FIRST DRV, "description of drivers, line 3: neither a driver nor an option of one"},
	    {FIRST "option\t2\t0\t1\t0\tx\t-\t-\t\nend\n",
	        "description of drivers, line 2: neither a driver nor an option of one"},
	    {FIRST "driver\t9\t0\t0\t2\t0\tx\t\t1.0\tMIT\tme\t/x.so\nend\n",
	        "description of drivers, line 2: malformed driver"},
	    {FIRST "driver\t4\t0\t0\t2\t0\t../x\t\t1.0\tMIT\tme\t/x.so\nend\n",
	        "description of drivers, line 2: malformed driver"},
	    {FIRST "driver\t4\t0\t0\t2\t0\tx\t\t1.0\tMIT\tme\t/x.so\tmore\nend\n",
	        "description of drivers, line 2: malformed driver"},
	    {FIRST "refused\t4\tx\nend\n", "description of drivers, line 2: malformed refusal"},
	    {FIRST DRV "refused\t4\ty\tno\noption\t2\t0\t1\t0\tx\t-\t-\t\nend\n",
	        "description of drivers, line 4: neither a driver nor an option of one"},
	    {FIRST DRV "option\t2\t0\t1\t0\tx\nend\n",
	        "description of drivers, line 3: malformed option"},
	    {FIRST DRV "option\t77\t0\t1\t0\tx\t-\t-\t\nend\n",
	        "description of drivers, line 3: option 0 \"x\": type 77 is unknown"},
	    {FIRST DRV "option\t2\t0\t1\t0\tx\t-\t-\t\noption\t2\t0\t1\t0\tx\t-\t-\t\nend\n",
	        "description of drivers, line 4: option 1 \"x\": occurs twice"},
	    {FIRST DRV "option\t2\t0\t1\t0\tx\t5x\t-\t\nend\n",
	        "description of drivers, line 3: option 0 \"x\": default \"5x\" is not an integer"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct drivers *d = NULL;
		struct error e = {0};
		CHECK_EQ_INT(drivers_from_description(slice_cstr(cases[i].text), &d, &e), RC_ERROR);
		CHECK_EQ_STR(slice_cstr(e.text), cases[i].problem);
		CHECK(d == NULL);
	}
	struct drivers *d = NULL;
	CHECK_EQ_INT(drivers_from_description(SL(FIRST DRV "end\n"), &d, NULL), RC_OK);
	drivers_free(&d);
	CHECK_EQ_INT(drivers_from_description(SL(FIRST "end\n"), &d, NULL), RC_OK);
	drivers_free(&d);
}

TAP_MAIN()
