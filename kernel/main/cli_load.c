/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The snapshot and services of the modes that run in the command's own process. */
#include "acl/acl.h"
#include "base/io.h"
#include "config/config.h"
#include "config/rights.h"
#include "deliver/deliver.h"
#include "driver/lookup.h"
#include "main/cli.h"
#include "main/environment.h"
#include "net/dns/dns.h"
#include "net/net.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX  ((size_t)64 << 20)
#define GROUP_BYTES ((size_t)1 << 20) /* one with very many members */

static slice_t copy(struct arena *a, const char *s)
{
	return arena_dup(a, slice_cstr(s ? s : ""));
}

/* This process may ask NSS: it is no daemon and opens no network to strangers. */
static enum rc find_user(struct services *s, struct arena *a, slice_t login, int64_t deadline_us,
    struct user_info *out, struct error *err)
{
	struct passwd pw, *found = NULL;
	char *buf = arena_bytes(a, 65536);

	(void)s, (void)deadline_us;
	int64_t number;
	int e = slice_to_i64(login, 10, false, &number)
	            ? getpwuid_r((uid_t)number, &pw, buf, 65536, &found)
	            : getpwnam_r(arena_cstr(a, login), &pw, buf, 65536, &found);
	if (e == 0 && !found)
		return error_set(err, RC_FAIL, "no such user");
	if (e != 0)
		return error_errno(err, e == ENOENT ? RC_FAIL : RC_DEFER, e, "user lookup");
	*out = (struct user_info){.name = copy(a, pw.pw_name),
	    .home = copy(a, pw.pw_dir),
	    .shell = copy(a, pw.pw_shell),
	    .gecos = copy(a, pw.pw_gecos),
	    .uid = pw.pw_uid,
	    .gid = pw.pw_gid};
	return RC_OK;
}

static enum rc find_group(struct services *s, struct arena *a, slice_t name, int64_t deadline_us,
    int64_t *out_gid, struct error *err)
{
	struct group gr, *found = NULL;
	char *buf = arena_bytes(a, GROUP_BYTES);

	(void)s, (void)deadline_us;
	int e = getgrnam_r(arena_cstr(a, name), &gr, buf, GROUP_BYTES, &found);
	if (e == 0 && !found)
		return error_set(err, RC_FAIL, "no such group");
	if (e != 0)
		return error_errno(err, e == ENOENT ? RC_FAIL : RC_DEFER, e, "group lookup");
	*out_gid = gr.gr_gid;
	return RC_OK;
}

/* Started by root: root goes before a driver is opened.  The daemon's account, else nobody's. */
static enum rc drop_root(struct error *err)
{
	static const char *const accounts[] = {"heddle", "nobody"};
	struct passwd pw, *found = NULL;
	char buf[16384];

	if (geteuid() != 0)
		return RC_OK;
	for (size_t i = 0; i < sizeof accounts / sizeof *accounts && !found; i++)
		if (getpwnam_r(accounts[i], &pw, buf, sizeof buf, &found) != 0)
			found = NULL;
	if (!found)
		return error_set(
		    err, RC_ERROR, "there is no account to run as: neither heddle nor nobody");
	if (setgroups(0, NULL) != 0 || setgid(pw.pw_gid) != 0 || setuid(pw.pw_uid) != 0)
		return error_errno(err, RC_ERROR, errno, "become user %s", pw.pw_name);
	return RC_OK;
}

static void print_all(const char *kind, const struct vec *v)
{
	VEC_FOREACH(v, struct error, e)
	{
		if (e->file)
			fprintf(stderr, "heddle: %s: %s:%u: %s\n", kind, e->file, e->line, e->text);
		else
			fprintf(stderr, "heddle: %s: %s\n", kind, e->text);
	}
}

static enum rc make_services(
    struct process *p, struct loaded *l, bool no_instances, struct error *err)
{
	struct services *sv = l->sv = ARENA_NEW(p->arena, struct services);
	struct net_interfaces *own = NULL;
	struct drivers_config dc = {
	    .folders = p->driver_folders, .any_owner = p->ordinary_user, .host = &sv->host};
	struct error none;

	services_init(sv);
	deliver_services(sv);
	sv->find_user = find_user;
	sv->find_group = find_group;
	/* name servers of a test or a site; not for what was given another's rights */
	const char *forward = getuid() == geteuid() ? getenv("HEDDLE_DNS") : NULL;
	enum rc rc = no_instances ? RC_OK : dns_resolver_for(forward, &sv->resolver, err);
	if (rc == RC_OK && net_interfaces_new(&own, &none) == RC_OK)
		sv->own_addresses = own;
	if (rc == RC_OK)
		rc = drivers_new(&dc, &l->drivers, err);
	if (rc == RC_OK)
		sv->lookups = lookups_new(l->drivers);
	return rc;
}

/* Ours is as the daemon's processes have it; nobody else runs yet who could be reading it. */
static enum rc adopt_environment(struct arena *a, const struct config *cfg, struct error *err)
{
	struct vec list = {0};
	enum rc rc = environment_make(a, cfg, environ, &list, err);

	if (rc != RC_OK)
		return rc;
	(void)clearenv();
	VEC_FOREACH(&list, char *, s)(void) putenv(*s);
	tzset();
	return RC_OK;
}

/* Who is named in the configuration has to be there. */
static enum rc check_accounts(const struct config *cfg, struct arena *a, struct vec *problems)
{
	struct vec accounts = {0};

	config_accounts(cfg, a, &accounts);
	VEC_FOREACH(&accounts, struct config_account, c)
	{
		struct user_info user;
		struct error err;
		int64_t gid;
		enum rc found = c->is_group ? find_group(NULL, a, c->name, 0, &gid, &err)
		                            : find_user(NULL, a, c->name, 0, &user, &err);
		if (found == RC_FAIL)
			config_account_unknown(c, a, problems);
	}
	return problems->count ? RC_ERROR : RC_OK;
}

/* -bV says of ACLs what the kernel would say. */
static const struct config_hooks hooks = {.compile_acls = acl_compile_all};

enum rc cli_load(struct process *p, const struct cli *c, bool no_instances, struct loaded *out)
{
	struct vec problems = {0}, warnings = {0};
	struct error err = {.text = ""};
	struct config_source src = {.path = p->facts.config_file.ptr,
	    .content = slice_absent(),
	    .defines = c->defines.items,
	    .define_count = (uint32_t)c->defines.count,
	    .process = &p->facts,
	    .no_instances = no_instances};

	*out = (struct loaded){.sv = NULL};
	enum rc rc = io_read_file(p->arena, src.path, CONFIG_MAX, &src.content, &err);
	if (rc == RC_OK && !no_instances)
		rc = drop_root(&err);
	if (rc == RC_OK)
		rc = make_services(p, out, no_instances, &err);
	if (rc != RC_OK) {
		(void)cli_fail(&err);
		cli_unload(out);
		return rc;
	}
	src.drivers = out->drivers;
	src.services = no_instances ? NULL : out->sv;
	src.hooks = no_instances ? NULL : &hooks;
	src.content.flags |= HEDDLE_CLEAN;
	rc = config_load(&src, p->arena, &problems, &warnings, &out->cfg);
	if (rc == RC_OK && !no_instances)
		rc = check_accounts(out->cfg, p->arena, &problems);
	print_all("error", &problems);
	if (rc == RC_OK && (rc = adopt_environment(p->arena, out->cfg, &err)) != RC_OK)
		(void)cli_fail(&err);
	if (c->mode == CLI_VERSION)
		print_all("warning", &warnings);
	if (rc != RC_OK)
		cli_unload(out);
	return rc;
}

void cli_unload(struct loaded *l)
{
	struct services *sv = l->sv;

	config_unref(&l->cfg);
	if (sv) {
		struct net_interfaces *own = (struct net_interfaces *)(uintptr_t)sv->own_addresses;
		lookups_free(&sv->lookups);
		dns_resolver_free(&sv->resolver);
		net_interfaces_free(&own);
		services_fini(sv);
	}
	drivers_free(&l->drivers);
	l->sv = NULL;
}

/* ---- who it is ---------------------------------------------------------------------------------
 */
enum rc cli_login(struct arena *a, slice_t *out, struct error *err)
{
	struct passwd pw, *found = NULL;
	char *buf = arena_bytes(a, 65536);
	int e = getpwuid_r(getuid(), &pw, buf, 65536, &found);

	if (!found)
		return error_set(err, RC_FAIL, "failed to get user name for uid %lu%s%s",
		    (unsigned long)getuid(), e ? ": " : "", e ? strerrordesc_np(e) : "");
	*out = arena_dup(a, slice_cstr(pw.pw_name));
	return RC_OK;
}

/* The daemon's user is who owns the spool; false: there is none that anybody could be. */
static bool spool_owner(struct process *p, uid_t *uid, gid_t *gid)
{
	struct stat st;

	if (stat(arena_cstr(p->arena, p->facts.spool_directory), &st) != 0)
		return false; /* no daemon has run here: it would be the caller's own */
	*uid = st.st_uid;
	*gid = st.st_gid;
	return true;
}

static enum rc who_i_am(struct arena *a, struct net_peer *out, struct error *err)
{
	int n = getgroups(0, NULL);
	gid_t *groups = ARENA_ARRAY(a, gid_t, n > 0 ? (size_t)n : 1);

	n = n > 0 ? getgroups(n, groups) : n;
	if (n < 0)
		return error_errno(err, RC_DEFER, errno, "getgroups");
	*out = (struct net_peer){.pid = getpid(), .uid = getuid(), .gid = getgid()};
	out->groups = ARENA_ARRAY(a, uint32_t, (size_t)n + 1);
	out->group_count = (uint32_t)n;
	for (int i = 0; i < n; i++)
		out->groups[i] = groups[i];
	return RC_OK;
}

/* Who this is, and what is needed to ask the configuration about it; false: nobody of importance.
 */
static bool begin_rights(struct process *p, const struct config *cfg, struct services *sv,
    struct eval *ev, struct net_peer *self)
{
	struct error err;

	sv->find_user = find_user;
	sv->find_group = find_group;
	eval_init(ev, p->arena, cfg);
	ev->process = &p->facts;
	ev->services = sv;
	ev->deadline_us = clock_mono_us() + 60 * US_PER_SEC;
	return who_i_am(p->arena, self, &err) == RC_OK;
}

/* Who runs this, as the configuration sees it; root is not asked about. */
static bool has_right(struct process *p, const struct config *cfg, bool to_administer)
{
	struct services sv = {.find_user = NULL};
	struct net_peer self;
	struct eval ev;
	uid_t uid = 0;
	gid_t gid = 0;

	if (getuid() == 0 || !spool_owner(p, &uid, &gid))
		return true;
	if (!begin_rights(p, cfg, &sv, &ev, &self))
		return false;
	return to_administer ? config_is_admin(&ev, &self, uid, gid)
	                     : config_is_trusted(&ev, &self, uid);
}

bool cli_is_admin(struct process *p, const struct config *cfg)
{
	return has_right(p, cfg, true);
}

bool cli_is_trusted(struct process *p, const struct config *cfg)
{
	return has_right(p, cfg, false);
}

bool cli_may_debug(struct process *p, const struct cli *c)
{
	struct loaded loaded;
	struct error err = {.text = ""};

	if (!c->debug || getuid() == 0)
		return true;
	if (cli_load(p, c, true, &loaded) != RC_OK)
		return false;
	process_adopt(p, loaded.cfg);
	bool admin = cli_is_admin(p, loaded.cfg);
	cli_unload(&loaded);
	if (!admin) {
		(void)error_set(&err, RC_FAIL, "debugging permission denied");
		(void)cli_fail(&err);
	}
	return admin;
}

enum rc cli_check_rights(struct process *p, const struct config *cfg, struct error *err)
{
	if (!config_bool(cfg, MO_commandline_checks_require_admin) || cli_is_admin(p, cfg))
		return RC_OK;
	return error_set(err, RC_FAIL, "those command-line flags are set to require admin");
}
