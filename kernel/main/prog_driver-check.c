/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddle-driver-check FILE.so: opens a driver as the kernel does and exercises its life cycle
 * against a simulated host; TAP. The file is copied to a folder of its own first, so that it may
 * lie anywhere and have any owner.  The driver's code runs in this process: run it as an ordinary
 * user.  What a driver does in its operations is for its own tests.
 */
#include "driver/call.h"
#include "driver/elf_facts.h"

#include "base/clock.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define INSTANCES 100
#define FILE_MAX  ((size_t)64 << 20)

/* What the simulated host does; `call` is first, since that is what services get. */
struct sim {
	struct heddle_call call;
	bool options_unset, no_memory;
};

static unsigned count, failed;

static void report(bool ok, const char *what, const char *why)
{
	count++;
	failed += !ok;
	printf("%s %u - %s\n", ok ? "ok" : "not ok", count, what);
	if (!ok && why && why[0])
		printf("# %s\n", why);
}

/* ---- the simulated host: options have their defaults, variables are unset, nothing is found
 * ----------------- */

static const struct sim *sim_of(const struct heddle_call *c)
{
	const void *p = c;
	return p;
}
static const struct heddle_option *option(
    const struct heddle_call *c, const struct heddle_instance *inst, uint32_t i)
{
	const struct driver *drv = inst ? inst->driver : NULL;
	return !drv || i >= drv->option_count || sim_of(c)->options_unset ? NULL : &drv->options[i];
}
static int32_t sim_opt_int(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, int64_t *out)
{
	const struct heddle_option *o = option(c, inst, i);
	slice_t text = slice_cstr(o ? o->initial : NULL);
	int64_t n = 0;
	if (slice_is_absent(text))
		return HEDDLE_FAIL;
	if (o->type == HEDDLE_T_BOOL)
		n = slice_eqis(text, "true") || slice_eqis(text, "yes");
	else if (!(o->type == HEDDLE_T_TIME
	                 ? slice_to_ms(text, &n)
	                 : slice_to_i64(text, o->type == HEDDLE_T_OCTAL ? 8 : 0, true, &n)))
		n = 0; /* an enum's word: any place will do */
	*out = n;
	return HEDDLE_OK;
}
static int32_t sim_opt_text(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, slice_t *out)
{
	const struct heddle_option *o = option(c, inst, i);
	*out = slice_cstr(o ? o->initial : NULL);
	return HEDDLE_OK;
}
static int32_t sim_opt_match(
    struct heddle_call *c, const struct heddle_instance *inst, uint32_t i, slice_t s, slice_t *d)
{
	(void)c, (void)inst, (void)i, (void)s, (void)d;
	return HEDDLE_FAIL;
}
static slice_t sim_instance_name(const struct heddle_instance *inst)
{
	return inst->name;
}
static int32_t sim_item(struct heddle_call *c, slice_t list, uint64_t *pos, slice_t *out)
{
	(void)c;
	if (*pos >= list.len)
		return HEDDLE_FAIL;
	slice_t rest = slice_sub(list, (size_t)*pos, list.len);
	size_t n = slice_find(rest, ':');
	*pos += (n == SIZE_MAX ? rest.len : n) + 1;
	*out = slice_trim(slice_sub(rest, 0, n == SIZE_MAX ? rest.len : n));
	return HEDDLE_OK;
}
static int32_t sim_compile(
    struct heddle_call *c, slice_t text, uint64_t forbid, struct heddle_expr **out)
{
	(void)text, (void)forbid, (void)out;
	return call_refuse(c, HEDDLE_ERROR, "no expansions in a simulated host");
}
static int32_t sim_expand(struct heddle_call *c, const struct heddle_expr *x, slice_t *out)
{
	(void)x, (void)out;
	return call_refuse(c, HEDDLE_ERROR, "no expansions in a simulated host");
}
static int32_t sim_var_get(struct heddle_call *c, slice_t name, slice_t *out)
{
	(void)c, (void)name;
	*out = slice_absent();
	return HEDDLE_OK;
}
static int32_t sim_var_set(struct heddle_call *c, slice_t name, slice_t value)
{
	(void)c, (void)name, (void)value;
	return HEDDLE_OK;
}
static int32_t sim_lookup(
    struct heddle_call *c, slice_t type, slice_t source, slice_t text, slice_t *out)
{
	(void)c, (void)type, (void)source, (void)text, (void)out;
	return HEDDLE_FAIL;
}
static int32_t sim_tls_fact(
    struct heddle_call *c, struct heddle_conn *conn, uint32_t which, slice_t *out)
{
	(void)c, (void)conn, (void)which, (void)out;
	return HEDDLE_FAIL;
}
static const void *sim_service(const struct heddle_host *h, const char *id)
{
	(void)h, (void)id;
	return NULL;
}
static int32_t sim_debugging(struct heddle_call *c)
{
	(void)c;
	return 1;
}
static void sim_log(struct heddle_call *c, uint32_t level, slice_t text)
{
	(void)c, (void)level;
	printf("# log: %.*s\n", SL_ARG(text.flags & HEDDLE_SECRET ? SL("<secret>") : text));
}
static void *sim_alloc(struct heddle_call *c, uint64_t size, uint32_t align)
{
	(void)align;
	return sim_of(c)->no_memory || size > FILE_MAX ? NULL : arena_alloc(c->arena, (size_t)size);
}

/* A table of a later minor: what lies behind the part we know must not be called. */
struct larger_host {
	struct heddle_host host;
	unsigned char garbage[256];
};
static void host_init(struct larger_host *l)
{
	struct heddle_host *h = &l->host;
	memset(l, 0xa5, sizeof *l);
	*h = (struct heddle_host){.release = "heddle-driver-check"};
	services_init_basic(h);
	h->struct_size = sizeof *l;
	h->service = sim_service;
	h->alloc = sim_alloc;
	h->debugging = sim_debugging;
	h->log = sim_log;
	h->opt_int = sim_opt_int;
	h->opt_text = sim_opt_text;
	h->opt_match = sim_opt_match;
	h->instance_name = sim_instance_name;
	h->item = sim_item;
	h->compile = sim_compile;
	h->expand = sim_expand;
	h->var_get = sim_var_get;
	h->var_set = sim_var_set;
	h->lookup = sim_lookup;
	h->tls_fact = sim_tls_fact;
	h->digest = services_digest;
}

/* ---- checks
 * -------------------------------------------------------------------------------------------------
 */

static void check_file(slice_t bytes)
{
	struct elf_facts f;
	if (!elf_facts(bytes.ptr, bytes.len, &f)) {
		report(false, "it is an ELF file", "it cannot be read as one");
		return;
	}
	report(f.exported == 1 && !f.other_export[0], "exports heddle_driver_v1 and nothing else",
	    f.other_export);
	report(!f.rpath, "has no RPATH", NULL);
	report(!f.textrel, "needs no text relocation: build with -fPIC", NULL);
	report(!f.executable_stack, "needs no executable stack", NULL);
	report(f.binds_now, "binds its symbols at once: link with -Wl,-z,now", NULL);
	report(
	    !f.banned_import[0], "calls nothing that ends or changes the process", f.banned_import);
}

static bool is_spdx(const char *s)
{
	size_t n =
	    strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-+() ");
	return *s && s[n] == '\0';
}

static void check_words(const struct driver *drv)
{
	const struct heddle_driver *h = &drv->head;
	bool reserved = h->reserved16 == 0;
	const char *undocumented = NULL;
	for (uint32_t i = 0; i < drv->option_count; i++) {
		reserved = reserved && drv->options[i].reserved == 0;
		/* a group's texts are the kernel's */
		if (drv->options[i].type != HEDDLE_T_GROUP &&
		    (!drv->options[i].doc || !drv->options[i].doc[0]))
			undocumented = drv->options[i].name;
	}
	report(reserved, "reserved members are 0", NULL);
	report(h->version[0] && h->author[0] && drv->desc->summary && drv->desc->summary[0],
	    "says its version, author and summary", NULL);
	report(is_spdx(h->licence), "its licence is an SPDX expression", h->licence);
	report(!undocumented, "each option has a text for the manual", undocumented);
}

static struct sim *sim_begin(struct sim *s, const struct heddle_instance *inst)
{
	*s = (struct sim){.options_unset = false};
	call_init(&s->call, NULL, inst);
	s->call.arena = arena_new(0);
	s->call.deadline_us = clock_mono_us() + 10 * US_PER_SEC;
	return s;
}

/* One instance, made and freed.  Fine: OK; or another result with its reason, and the output
 * untouched. */
static bool try_instance(const struct driver *drv, const struct heddle_host *host, struct sim *s,
    const struct heddle_instance *cfg, struct error *err)
{
	int untouched = 0;
	void *inst = &untouched;
	int32_t result = drv->desc->instance_new(&s->call, host, drv->state, cfg, &inst);
	enum rc rc = call_result(&s->call, result, "instance_new", err);
	bool fine =
	    rc == RC_OK || (result >= HEDDLE_OK && result <= HEDDLE_ERROR && s->call.reason_given);
	if (rc == RC_OK) {
		drv->desc->instance_free(inst == &untouched ? NULL : inst);
	} else if (inst != &untouched) {
		fine = false;
		(void)error_set(err, RC_ERROR, "it wrote its output and did not return OK");
	}
	arena_free(&s->call.arena);
	return fine;
}

static void check_instances(const struct driver *drv, const struct heddle_host *host)
{
	const struct heddle_instance cfg = {.name = slice_cstr(drv->head.name), .driver = drv};
	struct sim s;
	struct error err = {.text = ""};
	bool all = true;
	/* a driver may want one of two options set: then a refusal with its reason is right */
	for (int i = 0; all && i < INSTANCES; i++)
		all = try_instance(drv, host, sim_begin(&s, &cfg), &cfg, &err);
	report(all, "100 instances with all options at their defaults, or a reason", err.text);
	(void)sim_begin(&s, &cfg);
	s.options_unset = true;
	report(try_instance(drv, host, &s, &cfg, &err),
	    "an instance with all options unset, or a reason", err.text);
	(void)sim_begin(&s, &cfg);
	s.no_memory = true;
	report(try_instance(drv, host, &s, &cfg, &err),
	    "an instance when alloc gives NULL, or a reason", err.text);
	(void)sim_begin(&s, &cfg);
	s.call.deadline_us = clock_mono_us() - 1;
	report(try_instance(drv, host, &s, &cfg, &err),
	    "an instance when the deadline is over, or a reason", err.text);
}

/* ---- a folder of its own
 * -------------------------------------------------------------------------------------- */

static bool put_file(const char *path, slice_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	bool ok = io_write_full(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len;
	return close(fd) == 0 && ok;
}

static void check_opened(const char *dir, const struct heddle_driver *head)
{
	struct larger_host host;
	host_init(&host);
	const char *folders[] = {dir, NULL};
	const struct drivers_config cfg = {
	    .folders = folders, .any_owner = true, .host = &host.host};
	struct drivers *d = NULL;
	const struct driver *drv = NULL;
	struct error err = {.text = ""};
	enum rc rc = drivers_new(&cfg, &d, &err);
	if (rc == RC_OK)
		rc = driver_find(d, head->driver_class, slice_cstr(head->name), &drv, &err);
	report(rc == RC_OK, "passes the checks of the kernel's loader", err.text);
	if (rc == RC_OK) {
		check_words(drv);
		if (drv->desc->instance_new)
			check_instances(drv, &host.host);
	}
	drivers_free(&d);
	if (rc == RC_OK)
		report(true, "unloads", NULL);
}

static int check(struct arena *a, const char *path)
{
	struct error err = {.text = ""};
	struct heddle_driver head;
	slice_t bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || io_read_file(a, path, FILE_MAX, &bytes, &err) != RC_OK) {
		fprintf(stderr, "heddle-driver-check: %s cannot be read%s%s\n", path,
		    err.text[0] ? ": " : "", err.text);
		return 2;
	}
	enum rc rc = driver_read_head(fd, &head, &err);
	(void)close(fd);
	report(rc == RC_OK, "its head can be read from the file", err.text);
	if (rc != RC_OK)
		return 1;
	head.name[sizeof head.name - 1] = '\0';
	check_file(bytes);
	const char *tmp = getenv("TMPDIR");
	char *dir = arena_cstr(a, arena_printf(a, "%s/heddle-check.XXXXXX", tmp ? tmp : "/tmp"));
	if (!mkdtemp(dir)) {
		perror("heddle-driver-check: mkdtemp");
		return 2;
	}
	const char *folder =
	    arena_cstr(a, arena_printf(a, "%s/%s", dir, driver_class_name(head.driver_class)));
	const char *file = arena_cstr(a, arena_printf(a, "%s/%s.so", folder, head.name));
	bool ready = !strchr(head.name, '/') && mkdir(folder, 0700) == 0 && put_file(file, bytes);
	report(ready, "can be copied under its name", head.name);
	if (ready)
		check_opened(dir, &head);
	(void)unlink(file);
	(void)rmdir(folder);
	(void)rmdir(dir);
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: heddle-driver-check FILE.so\n");
		return 2;
	}
	struct arena *a = arena_new(0);
	(void)setvbuf(
	    stdout, NULL, _IOLBF, 0); /* if the driver crashes, what came before is seen */
	int status = check(a, argv[1]);
	printf("1..%u\n", count);
	arena_free(&a);
	return status;
}
