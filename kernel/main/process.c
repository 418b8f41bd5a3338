/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "main/process.h"

#include "base/io.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The folder of the running program, without a slash at the end. */
static slice_t own_folder(struct arena *a)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path);
	if (n <= 0 || (size_t)n >= sizeof path)
		return slice_absent();
	slice_t s = arena_dup(a, slice_of(path, (size_t)n, HEDDLE_CLEAN));
	return slice_sub(s, 0, slice_rfind(s, '/'));
}

static bool try_folder(struct process *p, slice_t folder)
{
	const char *drivers = arena_printf(p->arena, "%.*s/drivers", SL_ARG(folder)).ptr;
	const char *libexec = arena_printf(p->arena, "%.*s/libexec", SL_ARG(folder)).ptr;

	if (!is_folder(drivers) || !is_folder(libexec))
		return false;
	p->driver_folders[0] = drivers;
	p->libexec = libexec;
	return true;
}

static slice_t parent_of(slice_t path)
{
	size_t slash = slice_rfind(path, '/');

	return slash == SIZE_MAX ? slice_sub(path, 0, 0) : slice_sub(path, 0, slash);
}

/* build/heddle has build/drivers beside it; build/libexec/heddle-kernel has it one folder up;
 * PREFIX/sbin/heddle has PREFIX/lib/heddle; else where it was to be installed. */
static void find_folders(struct process *p)
{
	slice_t here = own_folder(p->arena), up;

	p->driver_folders[1] = NULL;
	if (!slice_is_absent(here)) {
		up = parent_of(here);
		if (try_folder(p, here) || try_folder(p, up) ||
		    try_folder(p, arena_printf(p->arena, "%.*s/lib/heddle", SL_ARG(up))))
			return;
	}
	p->driver_folders[0] = HEDDLE_LIBDIR "/drivers";
	p->libexec = HEDDLE_LIBDIR "/libexec";
}

static slice_t host_name(struct arena *a)
{
	struct utsname u;
	if (uname(&u) != 0)
		return SL("localhost");
	return arena_dup(a, slice_cstr(u.nodename));
}

enum rc process_init(struct process *p, const char *config_file, struct error *err)
{
	*p = (struct process){.arena = arena_new(0)};
	struct process_facts *f = &p->facts;
	char cwd[PATH_MAX];

	f->version_number = SL(EXIM_LANGUAGE);
	f->heddle_version = SL(HEDDLE_VERSION);
	f->compile_number = SL("1");
	f->compile_date = SL(HEDDLE_VERSION);
	f->primary_hostname = host_name(p->arena);
	f->pid = getpid();
	f->caller_uid = getuid();
	f->caller_gid = getgid();
	f->exim_uid = geteuid();
	f->exim_gid = getegid();
	f->initial_cwd = getcwd(cwd, sizeof cwd) ? arena_dup(p->arena, slice_cstr(cwd)) : SL("/");
	f->config_file =
	    slice_cstr(arena_cstr(p->arena, slice_cstr(config_file ? config_file : HEDDLE_CONFIG)));
	if (f->config_file.len == 0 || f->config_file.ptr[0] != '/')
		return error_set(err, RC_ERROR, "the configuration's path must be absolute: %.*s",
		    SL_ARG(f->config_file));
	size_t slash = slice_rfind(f->config_file, '/');
	f->config_dir = slash ? slice_sub(f->config_file, 0, slash) : SL("/");
	slice_t here = own_folder(p->arena);
	f->exim_path = slice_is_absent(here) ? SL("/usr/sbin/heddle")
	                                     : arena_printf(p->arena, "%.*s/heddle", SL_ARG(here));
	p->ordinary_user = getuid() != 0;
	find_folders(p);
	return RC_OK;
}

void process_fini(struct process *p)
{
	arena_free(&p->arena);
}
