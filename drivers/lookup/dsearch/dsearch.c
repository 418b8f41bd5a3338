/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lookup/dsearch: is there an entry of this name in a directory?  Exim specification, 9.3. */
#include <heddle/lookup.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct heddle_slice slice;

struct inst {
	const struct heddle_host *host;
};

struct directory {
	int fd;
	struct stat st;
	char path[];
};

static int32_t say(struct heddle_call *call, const struct inst *in, int32_t result,
    const char *what, slice name, const char *why)
{
	char text[500];
	(void)snprintf(text, sizeof text, "%s%.*s%s", what, name.len > 300 ? 300 : (int)name.len,
	    name.len ? name.ptr : "", why);
	in->host->reason(call, 0, heddle_text(NULL), heddle_bytes(text, strlen(text), 0));
	return result;
}

static int32_t open_directory(struct heddle_call *call, void *inst, slice source, void **handle)
{
	const struct inst *in = inst;
	const char *path;
	char why[200], buf[128];
	if (in->host->cstr(call, source, &path) != HEDDLE_OK)
		return say(call, in, HEDDLE_ERROR, "NUL character in the name of a directory",
		    heddle_text(""), "");
	struct directory *d = calloc(1, sizeof *d + source.len + 1);
	if (!d)
		return say(call, in, HEDDLE_DEFER, "dsearch: no memory", heddle_text(""), "");
	memcpy(d->path, path, source.len + 1);
	in->host->block_begin(call);
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = d->fd < 0 || fstat(d->fd, &d->st) < 0 ? errno : 0;
	in->host->block_end(call);
	if (n == 0) {
		*handle = d;
		return HEDDLE_OK;
	}
	if (d->fd >= 0)
		(void)close(d->fd);
	free(d);
	(void)snprintf(
	    why, sizeof why, " for directory search: %s", strerror_r(n, buf, sizeof buf));
	return say(call, in, HEDDLE_DEFER, "failed to open ", source, why);
}

/* Another directory may have its name now. */
static int32_t fresh(struct heddle_call *call, void *inst, void *handle)
{
	const struct directory *d = handle;
	struct stat st;
	(void)call, (void)inst;
	return stat(d->path, &st) == 0 && st.st_dev == d->st.st_dev && st.st_ino == d->st.st_ino
	           ? HEDDLE_OK
	           : HEDDLE_FAIL;
}

/* Is "name=value" among the options? */
static int has_option(slice options, const char *text)
{
	size_t n = strlen(text);
	for (size_t i = 0; i + n <= options.len; i++)
		if ((i == 0 || options.ptr[i - 1] == ',') &&
		    memcmp(options.ptr + i, text, n) == 0 &&
		    (i + n == options.len || options.ptr[i + n] == ','))
			return 1;
	return 0;
}

static int is_wanted(slice options, const char *name, mode_t mode)
{
	int dots = name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
	if (has_option(options, "filter=file"))
		return S_ISREG(mode);
	if (has_option(options, "filter=dir"))
		return S_ISDIR(mode);
	if (has_option(options, "filter=subdir"))
		return S_ISDIR(mode) && !dots;
	return 1;
}

static int32_t find(struct heddle_call *call, void *inst, void *handle, slice key, slice options,
    struct heddle_found *out)
{
	const struct inst *in = inst;
	const struct directory *d = handle;
	const char *name;
	struct stat st;
	if (key.len && memchr(key.ptr, '/', key.len))
		return say(
		    call, in, HEDDLE_DEFER, "key for dsearch lookup contains a slash: ", key, "");
	if (key.len == 0 || in->host->cstr(call, key, &name) != HEDDLE_OK)
		return HEDDLE_FAIL;
	in->host->block_begin(call);
	int n = fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
	in->host->block_end(call);
	if (n == ENOENT || n == ENAMETOOLONG)
		return HEDDLE_FAIL;
	if (n) {
		char buf[128], why[160];
		(void)snprintf(why, sizeof why, ": %s", strerror_r(n, buf, sizeof buf));
		return say(call, in, HEDDLE_DEFER, "lstat of ", key, why);
	}
	if (!is_wanted(options, name, st.st_mode))
		return HEDDLE_FAIL;
	/* the file system has confirmed it: the site's own name */
	slice parts[] = {
	    heddle_text(d->path), heddle_text("/"), heddle_bytes(key.ptr, key.len, HEDDLE_CLEAN)};
	int full = has_option(options, "ret=full");
	out->cache_seconds = 0;
	return in->host->join(call, full ? parts : parts + 2, full ? 3 : 1, &out->value);
}

static void close_directory(void *inst, void *handle)
{
	struct directory *d = handle;
	(void)inst;
	(void)close(d->fd);
	free(d);
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct inst *in = malloc(sizeof *in);
	(void)call, (void)state, (void)cfg;
	if (!in)
		return HEDDLE_DEFER;
	in->host = host;
	*out = in;
	return HEDDLE_OK;
}

static const struct heddle_lookup_ops ops = {.struct_size = sizeof ops,
    .kind = HEDDLE_L_KEY | HEDDLE_L_FILE | HEDDLE_L_SHARED,
    .open = open_directory,
    .fresh = fresh,
    .find = find,
    .close = close_directory};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_LOOKUP,
    .flags = HEDDLE_F_BLOCKS,
    .name = "dsearch",
    .version = "1.0",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle project",
    .summary = "entries of a directory",
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
