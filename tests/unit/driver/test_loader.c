/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/loader and its parts against drivers with one thing wrong each: tests/abi/broken. */
#include "driver/call.h"
#include "lib/tap.h"

#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* BUILD/tests/abi/drivers, found from BUILD/tests/unit/driver/test_loader */
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

static struct drivers *registry(const char *folder, struct heddle_host *host)
{
	static const char *const generic[] = {"driver", "public_name", NULL};
	const char *folders[] = {folder, NULL};
	struct drivers_config cfg = {.folders = folders, .any_owner = true, .host = host};
	cfg.generic_names[HEDDLE_LOOKUP] = generic;
	struct drivers *d = NULL;
	services_init_basic(host);
	CHECK_EQ_INT(drivers_new(&cfg, &d, NULL), RC_OK);
	return d;
}

/* A folder for one test. */
static const char *fresh_dir(const char *name)
{
	static char path[4200];
	(void)snprintf(path, sizeof path, "%s/%s", tap_dir(), name);
	MUST(mkdir(path, 0755) == 0);
	return path;
}

/* A copy of a built driver as FOLDER/lookup/NAME.so. */
static void install(const char *folder, const char *from, const char *as)
{
	char cmd_from[4400], to[4400], buf[65536];
	(void)snprintf(to, sizeof to, "%s/lookup", folder);
	(void)mkdir(to, 0755);
	(void)snprintf(cmd_from, sizeof cmd_from, "%s/lookup/%s.so", built_folder(), from);
	(void)snprintf(to, sizeof to, "%s/lookup/%s.so", folder, as);
	int in = open(cmd_from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	MUST(in >= 0 && out >= 0);
	for (ssize_t n = read(in, buf, sizeof buf); n > 0; n = read(in, buf, sizeof buf))
		MUST(write(out, buf, (size_t)n) == n);
	(void)close(in);
	(void)close(out);
}

static void in_lookup(char *buf, size_t cap, const char *folder, const char *name)
{
	(void)snprintf(buf, cap, "%s/lookup/%s", folder, name);
}

TEST(refuses_each_broken_driver)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
	    {"bad_magic", "bad magic"},
	    {"bad_head_size", "head of 288 bytes, wanted 320"},
	    {"bad_struct_size", "descriptor of 300 bytes, wanted at least 392"},
	    {"bad_major", "ABI 2.0, wanted 1.0 to 1.0: rebuild it for major 1"},
	    {"bad_minor", "ABI 1.4, wanted 1.0 to 1.0: upgrade heddle, or rebuild with "
	                  "-DHEDDLE_ABI_TARGET=0"},
	    {"bad_class", "class router, wanted lookup"},
	    {"bad_name", "is named \"another_name\", wanted \"bad_name\""},
	    {"bad_flags", "needs flag bits 0x40 that this kernel does not know"},
	    {"isolate", "must be isolated: set isolate = true"},
	    {"no_symbol", "exports no heddle_driver_v1 (found: none): not a Heddle driver"},
	    {"other_major", "exports no heddle_driver_v1 (found: heddle_driver_v2): built for ABI "
	                    "major 2, wanted 1"},
	    {"short_ops", "operations of 24 bytes, wanted at least 48"},
	    {"no_ops", "operations of 0 bytes, wanted at least 48"},
	    {"no_find", "operation find is missing"},
	    {"no_open", "operation open is missing"},
	    {"no_kind", "kind 0x0, wanted KEY or QUERY"},
	    {"twice", "option 2 \"same\": occurs twice"},
	    {"bad_type", "option 0 \"nmae\": type 99 is unknown"},
	    {"bad_default", "option 0 \"wait\": default \"5x\" is not a time"},
	    {"bad_option_name", "option 0 \"Wait-A\": name is not [a-z][a-z0-9_]*"},
	    {"generic", "option 0 \"driver\": is also a generic option"},
	    {"small_options", "options of 24 bytes, wanted at least 48"},
	    {"load_error", "load: its library is too old"},
	    {"changes_head", "head differs in memory"},
	};
	struct heddle_host host = {0};
	struct drivers *d = registry(built_folder(), &host);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error e = {0};
		char want[4800], real[4096];
		const struct driver *drv = NULL;
		MUST(realpath(built_folder(), real));
		(void)snprintf(want, sizeof want, "lookup driver \"%s\": %s/lookup/%s.so: %s",
		    cases[i].name, real, cases[i].name, cases[i].text);
		want[sizeof e.text - 1] = '\0';
		CHECK_EQ_INT(
		    driver_find(d, HEDDLE_LOOKUP, slice_cstr(cases[i].name), &drv, &e), RC_ERROR);
		CHECK_EQ_STR(slice_cstr(e.text), want);
		CHECK(drv == NULL);
	}
	struct error e = {0};
	const struct driver *drv = NULL;
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("unresolved"), &drv, &e), RC_ERROR);
	CHECK(strstr(e.text, "unresolved.so: cannot be opened: ") &&
	      strstr(e.text, "undefined symbol"));
	drivers_free(&d);
}

/* Those that were built, whichever they are: none is refused, by the generic options' names
 * neither. */
TEST(opens_each_built_driver)
{
	char folder[4300];
	(void)snprintf(folder, sizeof folder, "%s/../../../drivers", built_folder());
	struct heddle_host host = {0};
	struct drivers *d = registry(folder, &host);
	struct arena *a = arena_new(0);
	struct vec v = {0};
	for (uint16_t cls = HEDDLE_AUTH; cls <= HEDDLE_LOOKUP; cls++) {
		v.count = 0;
		drivers_list(d, cls, a, &v);
		VEC_FOREACH(&v, struct driver_listing, l)
		{
			struct error e = {0};
			const struct driver *drv = NULL;
			CHECK_EQ_INT(driver_find(d, cls, l->name, &drv, &e), RC_OK);
			CHECK_EQ_STR(slice_cstr(e.text), "");
		}
	}
	arena_free(&a);
	drivers_free(&d);
}

TEST(opens_a_good_driver_once)
{
	struct heddle_host host = {0};
	struct drivers *d = registry(built_folder(), &host);
	const struct driver *drv = NULL, *again = NULL;
	struct error e = {0};
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &drv, &e), RC_OK);
	CHECK_EQ_STR(slice_cstr(e.text), "");
	if (!drv)
		return;
	CHECK_EQ_STR(slice_cstr(drv->head.version), "1.0");
	CHECK_EQ_INT(drv->option_count, 6);
	CHECK_EQ_STR(slice_cstr(drv->options[1].name), "wait");
	CHECK_EQ_INT(drv->kind, HEDDLE_L_QUERY);
	CHECK_EQ_INT(drv->quoter, 0);
	CHECK(drv->state && *(int *)drv->state == 1);
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &again, &e), RC_OK);
	CHECK(again == drv);
	drivers_rescan(d);
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &again, &e), RC_OK);
	CHECK(again == drv && *(int *)drv->state == 1);
	again = NULL;
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("high_flags"), &again, &e), RC_OK);
	int *loads = drv->state;
	drivers_free(&d);
	CHECK_EQ_INT(*loads, 0);
	CHECK(d == NULL);
}

TEST(refuses_names_and_says_what_to_install)
{
	static const struct {
		const char *name, *text;
		enum rc rc;
	} cases[] = {
	    {"../etc/x", "lookup driver \"../etc/x\": name is not [a-z][a-z0-9_]*", RC_ERROR},
	    {"", "lookup driver \"\": name is not [a-z][a-z0-9_]*", RC_ERROR},
	    {"Good", "lookup driver \"Good\": name is not [a-z][a-z0-9_]*", RC_ERROR},
	    {"9x", "lookup driver \"9x\": name is not [a-z][a-z0-9_]*", RC_ERROR},
	    {"no_such",
	        "lookup driver \"no_such\": not found; is package heddle-lookup-no-such installed?",
	        RC_FAIL},
	};
	struct heddle_host host = {0};
	struct drivers *d = registry(built_folder(), &host);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error e = {0};
		const struct driver *drv = NULL;
		CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, slice_cstr(cases[i].name), &drv, &e),
		    cases[i].rc);
		CHECK_EQ_STR(slice_cstr(e.text), cases[i].text);
	}
	struct error e = {0};
	const struct driver *drv = NULL;
	CHECK_EQ_INT(driver_find(d, HEDDLE_HINTS, SL("good"), &drv, &e), RC_ERROR);
	drivers_free(&d);
}

static void expect(struct drivers *d, const char *name, const char *end)
{
	struct error e = {0};
	const struct driver *drv = NULL;
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, slice_cstr(name), &drv, &e), RC_ERROR);
	size_t n = strlen(e.text), want = strlen(end);
	CHECK_EQ_STR(slice_cstr(e.text + (n > want ? n - want : 0)), end);
}

TEST(refuses_files_that_cannot_be_trusted)
{
	const char *dir = fresh_dir("trust");
	char path[4400], other[4400];
	install(dir, "good", "good");
	install(dir, "good", "writable");
	in_lookup(path, sizeof path, dir, "writable.so");
	CHECK_EQ_INT(chmod(path, 0664), 0);
	in_lookup(path, sizeof path, dir, "fifo.so");
	CHECK_EQ_INT(mkfifo(path, 0600), 0);
	in_lookup(path, sizeof path, dir, "folder.so");
	CHECK_EQ_INT(mkdir(path, 0755), 0);
	in_lookup(path, sizeof path, dir, "out.so");
	CHECK_EQ_INT(symlink("../lookup/good.so", path), 0);
	in_lookup(path, sizeof path, dir, "gone.so");
	CHECK_EQ_INT(symlink("nothing.so", path), 0);
	in_lookup(path, sizeof path, dir, "twice.so");
	CHECK_EQ_INT(symlink("gone.so", path), 0);
	in_lookup(path, sizeof path, dir, "good_alias.so");
	CHECK_EQ_INT(symlink("good.so", path), 0);
	in_lookup(path, sizeof path, dir, "not_an_alias.so");
	CHECK_EQ_INT(symlink("good.so", path), 0);
	in_lookup(path, sizeof path, dir, "text.so");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK_EQ_INT(write(fd, "#!/bin/sh\n", 10), 10);
	(void)close(fd);

	struct heddle_host host = {0};
	struct drivers *d = registry(dir, &host);
	expect(d, "writable", "writable.so: mode 0664, wanted no write for group or others");
	expect(d, "fifo", "fifo.so: is not a regular file");
	expect(d, "folder", "folder.so: is not a regular file");
	expect(d, "out", "out.so: is not a regular file (a link that leads out of its folder)");
	expect(d, "gone", "nothing.so: is not a regular file");
	expect(d, "twice", "gone.so: is not a regular file (a link to a link)");
	expect(d, "not_an_alias", "good.so: is named \"good\", wanted \"not_an_alias\"");
	expect(d, "text", "text.so: is not an ELF shared object");

	const struct driver *drv = NULL, *alias = NULL;
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good_alias"), &alias, NULL), RC_OK);
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &drv, NULL), RC_OK);
	CHECK(drv && drv == alias);
	drivers_rescan(d);
	(void)snprintf(other, sizeof other, "%s/lookup", dir);
	CHECK_EQ_INT(chmod(other, 0777), 0);
	expect(d, "good", "lookup: mode 0777, wanted no write for group or others");
	CHECK_EQ_INT(chmod(other, 01777), 0);
	expect(d, "good", "lookup: mode 1777, wanted no write for group or others");
	CHECK_EQ_INT(chmod(other, 0755), 0);
	CHECK_EQ_INT(chmod(dir, 0775), 0);
	expect(d, "good", "mode 0775, wanted no write for group or others");
	CHECK_EQ_INT(chmod(dir, 0755), 0);
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &drv, NULL), RC_OK);
	drivers_free(&d);
}

TEST(refuses_files_of_another_owner)
{
	if (geteuid() != 0) {
		tap_skip("only root can give files away");
		return;
	}
	const char *dir = fresh_dir("owner");
	char path[4400];
	install(dir, "good", "good");
	in_lookup(path, sizeof path, dir, "good.so");
	CHECK_EQ_INT(chown(path, 4242, 0), 0);
	struct heddle_host host = {0};
	struct drivers *d = registry(dir, &host);
	expect(d, "good", "good.so: owned by uid 4242, wanted 0");
	drivers_free(&d);
}

TEST(a_replaced_file_is_a_second_copy)
{
	const char *dir = fresh_dir("replaced");
	char path[4400], was[4400];
	install(dir, "good", "good");
	struct heddle_host host = {0};
	struct drivers *d = registry(dir, &host);
	const struct driver *first = NULL, *second = NULL;
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &first, NULL), RC_OK);
	install(dir, "good", "fresh");
	in_lookup(was, sizeof was, dir, "fresh.so");
	in_lookup(path, sizeof path, dir, "good.so");
	CHECK_EQ_INT(rename(was, path), 0);
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &second, NULL), RC_OK);
	CHECK(first == second);
	drivers_rescan(d);
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &second, NULL), RC_OK);
	CHECK(first && second && first != second && first->desc != second->desc &&
	      first->state != second->state);
	CHECK_EQ_INT(unlink(path), 0);
	drivers_rescan(d);
	CHECK_EQ_INT(driver_find(d, HEDDLE_LOOKUP, SL("good"), &second, NULL), RC_FAIL);
	drivers_free(&d);
}

TEST(lists_what_is_installed)
{
	const char *dir = fresh_dir("list");
	char path[4400];
	install(dir, "good", "good");
	install(dir, "bad_magic", "bad_magic");
	in_lookup(path, sizeof path, dir, "good_alias.so");
	CHECK_EQ_INT(symlink("good.so", path), 0);
	in_lookup(path, sizeof path, dir, "README");
	(void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	struct heddle_host host = {0};
	struct drivers *d = registry(dir, &host);
	struct arena *a = arena_new(0);
	struct vec v = {0};
	drivers_list(d, HEDDLE_LOOKUP, a, &v);
	CHECK_EQ_INT(v.count, 3);
	if (v.count == 3) {
		const struct driver_listing *l = VEC_AT(&v, struct driver_listing, 0);
		CHECK_EQ_STR(l[0].name, "bad_magic");
		CHECK(!l[0].readable && strstr(l[0].problem.text, "bad_magic.so: bad magic"));
		CHECK_EQ_STR(l[1].name, "good");
		CHECK(l[1].readable && l[1].problem.text[0] == '\0');
		CHECK_EQ_STR(l[2].name, "good_alias");
		CHECK_EQ_STR(slice_cstr(l[2].head.name), "good");
	}
	drivers_list(d, HEDDLE_AUTH, a, &v);
	CHECK_EQ_INT(v.count, 3);
	arena_free(&a);
	drivers_free(&d);
}

struct finder {
	struct drivers *d;
	const struct driver *found;
	pthread_t thread;
};
static void *find_it(void *arg)
{
	struct finder *f = arg;
	for (int i = 0; i < 50; i++) {
		if (i == 25)
			drivers_rescan(f->d);
		if (driver_find(f->d, HEDDLE_LOOKUP, SL("good"), &f->found, NULL) != RC_OK)
			f->found = NULL;
		const struct driver *no = NULL;
		if (i % 10 == 0 &&
		    driver_find(f->d, HEDDLE_LOOKUP, SL("load_error"), &no, NULL) == RC_OK)
			f->found = NULL;
	}
	return NULL;
}

TEST(many_threads_open_it_once)
{
	struct heddle_host host = {0};
	struct drivers *d = registry(built_folder(), &host);
	struct finder f[8];
	for (size_t i = 0; i < 8; i++) {
		f[i] = (struct finder){.d = d};
		MUST(pthread_create(&f[i].thread, NULL, find_it, &f[i]) == 0);
	}
	for (size_t i = 0; i < 8; i++)
		MUST(pthread_join(f[i].thread, NULL) == 0);
	for (size_t i = 0; i < 8; i++)
		CHECK(f[i].found && f[i].found == f[0].found);
	if (f[0].found)
		CHECK_EQ_INT(*(int *)f[0].found->state, 1);
	drivers_free(&d);
}

/* Any bytes may be in a file: cut a good one at each length of its tables, and change each byte of
 * its headers. */
TEST(head_of_damaged_files)
{
	char path[4400];
	static char bytes[4 << 20];
	in_lookup(path, sizeof path, built_folder(), "good.so");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof bytes);
	(void)close(fd);
	MUST(n > 4096);
	int out = open(tap_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (out < 0) {
		tap_skip("no O_TMPFILE here");
		return;
	}
	unsigned refused = 0;
	for (size_t i = 0; i < 4096; i += 7) {
		struct heddle_driver head;
		char was = bytes[i];
		bytes[i] = (char)~was;
		MUST(pwrite(out, bytes, (size_t)n, 0) == n);
		refused += driver_read_head(out, &head, NULL) != RC_OK;
		bytes[i] = was;
	}
	CHECK(refused > 5);
	bytes[18] = (char)183; /* e_machine: EM_AARCH64 */
	bytes[19] = 0;
	struct heddle_driver other;
	struct error machine = {0};
	MUST(pwrite(out, bytes, (size_t)n, 0) == n);
#if defined(__x86_64__)
	CHECK_EQ_INT(driver_read_head(out, &other, &machine), RC_ERROR);
	CHECK_EQ_STR(slice_cstr(machine.text), "is ELF for aarch64, wanted x86-64");
#else
	(void)other, (void)machine;
#endif
	for (size_t i = 0; i < (size_t)n; i += 997) {
		struct heddle_driver head;
		struct error e = {0};
		MUST(ftruncate(out, 0) == 0 && pwrite(out, bytes, i, 0) == (ssize_t)i);
		if (i < (size_t)n - 4096)
			CHECK_EQ_INT(driver_read_head(out, &head, &e), RC_ERROR);
	}
	(void)close(out);
}

TAP_MAIN()
