/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * appendfile: into a file or a folder: mbox, Maildir, a plain file for each message.  Exim
 * specification, chapter 26. What this version does not do (maildirsize files, mbx, mailstore,
 * batch SMTP) is refused when the configuration is loaded.
 */
#include "appendfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT_MAX 2048

/* ---- what the parts share
 * ------------------------------------------------------------------------------- */

const char *format(struct delivery *d, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *out = n < 0 ? NULL : d->host->alloc(d->call, (uint64_t)n + 1, 1);
	if (!out)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(out, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return out;
}

__attribute__((format(printf, 4, 0))) static int32_t say_list(
    struct delivery *d, int32_t result, int errnum, const char *fmt, va_list ap)
{
	char text[TEXT_MAX], buf[128];
	if (errnum == ENOSPC || errnum == EDQUOT)
		d->flags |= HEDDLE_X_QUOTA;
	int n =
	    errnum ? snprintf(text, sizeof text, "%s: ", strerror_r(errnum, buf, sizeof buf)) : 0;
	int more = vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
	size_t len = more < 0 ? (size_t)n : (size_t)n + (size_t)more;
	struct heddle_slice s = heddle_bytes(text, len < sizeof text ? len : sizeof text - 1, 0);
	if (d->host->join(d->call, &s, 1, &d->why) != HEDDLE_OK)
		d->why = heddle_text("out of memory");
	return result;
}

int32_t say(struct delivery *d, int32_t result, int errnum, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	result = say_list(d, result, errnum, fmt, ap);
	va_end(ap);
	return result;
}

int32_t say_frozen(struct delivery *d, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int32_t result = say_list(d, HEDDLE_DEFER, 0, fmt, ap);
	va_end(ap);
	d->flags |= HEDDLE_X_FREEZE;
	return result;
}

int32_t pause_ms(struct delivery *d, int64_t ms)
{
	int64_t left = d->host->time_left(d->call);
	int32_t cancel = d->host->cancel_fd(d->call);
	if (left <= 0 || cancel < 0)
		return HEDDLE_DEFER;
	struct pollfd p = {.fd = cancel, .events = POLLIN};
	d->host->block_begin(d->call);
	int n = poll(&p, 1, (int)(ms < left ? ms : left < INT_MAX ? left : INT_MAX));
	d->host->block_end(d->call);
	return n == 0 && ms < left ? HEDDLE_OK : HEDDLE_DEFER;
}

const char *host_part(struct delivery *d)
{
	struct heddle_slice name;
	if (d->host->var_get(d->call, heddle_text("primary_hostname"), &name) != HEDDLE_OK ||
	    name.len == 0 || name.len > 200)
		name = heddle_text("localhost");
	char *out = d->host->alloc(d->call, name.len * 4 + 1, 1), *p = out;
	for (uint32_t i = 0; out && i < name.len; i++) {
		char c = name.ptr[i];
		if (c == '/' || c == ':' || c == '\0')
			p += snprintf(p, 5, "\\%03o", (unsigned)(unsigned char)c);
		else
			*p++ = c;
	}
	return out;
}

int sync_folder_of(struct delivery *d, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *folder = slash == path ? "/" : format(d, "%.*s", (int)(slash - path), path);
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		return -1;
	int r = fsync(fd), e = errno;
	(void)close(fd);
	errno = e;
	return r;
}

/* ---- folders
 * -------------------------------------------------------------------------------------------- */

static int is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int32_t make_one(struct delivery *d, const char *path)
{
	if (mkdir(path, d->in->directory_mode) != 0) {
		if (errno == EEXIST && is_folder(path))
			return HEDDLE_OK; /* another was faster */
		return say(d, HEDDLE_DEFER, errno, "failed to create directories for %s", d->path);
	}
	if (chmod(path, d->in->directory_mode) != 0 || sync_folder_of(d, path) != 0)
		return say(d, HEDDLE_DEFER, errno, "failed to create directories for %s", d->path);
	return HEDDLE_OK;
}

int32_t make_folder(struct delivery *d, const char *path)
{
	struct stat st;
	char *walk;
	int32_t rc = HEDDLE_OK;
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? HEDDLE_OK : say(d, HEDDLE_DEFER, ENOTDIR, "%s", path);
	if (errno != ENOENT || !d->in->create_directory)
		return say(d, HEDDLE_DEFER, errno, "failed to find directory %s", path);
	const struct heddle_slice copy = heddle_text(path);
	struct heddle_slice own;
	if (d->host->join(d->call, &copy, 1, &own) != HEDDLE_OK ||
	    !(walk = d->host->alloc(d->call, (uint64_t)own.len + 1, 1)))
		return say(d, HEDDLE_DEFER, 0, "out of memory");
	memcpy(walk, path, (size_t)own.len + 1);
	for (char *p = walk + 1; *p && rc == HEDDLE_OK; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (!is_folder(walk))
			rc = make_one(d, walk);
		*p = '/';
	}
	return rc == HEDDLE_OK && !is_folder(path) ? make_one(d, path) : rc;
}

/* Is path in folder, by name? */
static int is_in(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	while (n > 1 && folder[n - 1] == '/')
		n--;
	return strncmp(path, folder, n) == 0 && (path[n] == '/' || n == 1);
}

static int climbs(const char *path)
{
	for (const char *p = path; (p = strstr(p, "/..")) != NULL; p += 3)
		if (p[3] == '/' || p[3] == '\0')
			return 1;
	return 0;
}

/* The nearest folder above path that exists must really lie in the folder: links are followed. */
static int really_in(struct delivery *d, const char *path, const char *folder)
{
	char *real_folder = realpath(folder, NULL), *real = NULL;
	const char *above = path;
	while (real_folder && !real) {
		const char *slash = strrchr(above, '/');
		if (!slash || slash == above)
			break;
		above = format(d, "%.*s", (int)(slash - above), above);
		real = above ? realpath(above, NULL) : NULL;
		if (!above)
			break;
	}
	int in = real && (strcmp(real, real_folder) == 0 || is_in(real, real_folder));
	free(real);
	free(real_folder);
	return in;
}

/* The folder that create_file names; NULL: none (no home is set). */
static const char *limit_folder(struct delivery *d)
{
	struct heddle_slice s;
	const char *out = NULL;
	int32_t rc = d->in->create == CREATE_BELOW_PATH
	                 ? d->host->opt_text(d->call, d->in->cfg, OPT_CREATE_FILE, &s)
	                 : d->host->var_get(d->call, heddle_text("home"), &s);
	return rc == HEDDLE_OK && s.len && s.ptr[0] == '/' &&
	               d->host->cstr(d->call, s, &out) == HEDDLE_OK
	           ? out
	           : NULL;
}

int may_create(struct delivery *d, const char *path)
{
	if (d->in->create == CREATE_ANYWHERE)
		return 1;
	const char *folder = limit_folder(d);
	if (!folder || !is_in(path, folder))
		return 0;
	return d->in->create == CREATE_IN_HOME || (!climbs(path) && really_in(d, path, folder));
}

/* ---- where to
 * ------------------------------------------------------------------------------------------- */

/* Text from outside becomes a path only if create_file fixes the folder that it must lie in. */
static int32_t check_taint(struct delivery *d, struct heddle_slice s)
{
	const char *path = NULL, *folder;
	if (s.flags & HEDDLE_CLEAN)
		return HEDDLE_OK;
	struct heddle_slice name = d->host->instance_name(d->in->cfg);
	if (d->in->create >= CREATE_BELOW_HOME && (folder = limit_folder(d)) != NULL &&
	    d->host->cstr(d->call, s, &path) == HEDDLE_OK && is_in(path, folder) && !climbs(path) &&
	    really_in(d, path, folder))
		return HEDDLE_OK;
	return say(d, HEDDLE_DEFER, 0,
	    "Tainted '%.*s' (file or directory name for %.*s transport) not permitted", (int)s.len,
	    s.ptr, (int)name.len, name.ptr);
}

static int32_t raw_path(struct delivery *d, struct heddle_slice *out)
{
	struct heddle_job_info info = {
	    .struct_size = sizeof info, .path = {.flags = HEDDLE_ABSENT}};
	struct heddle_slice file, directory;
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_FILE, &file);
	if (rc == HEDDLE_OK)
		rc = d->host->opt_text(d->call, d->in->cfg, OPT_DIRECTORY, &directory);
	if (rc == HEDDLE_OK)
		rc = d->service->info(d->call, d->job, &info);
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, 0, "the file or directory name could not be expanded");
	int both = !(file.flags & HEDDLE_ABSENT) && !(directory.flags & HEDDLE_ABSENT);
	if (both) /* found out here, since options that are expanded cannot be looked at when the
	             configuration is loaded */
		return say(
		    d, HEDDLE_DEFER, 0, "only one of \"file\" or \"directory\" can be specified");
	if (!(file.flags & HEDDLE_ABSENT) && d->in->maildir)
		return say(
		    d, HEDDLE_DEFER, 0, "maildir_format requires \"directory\" to be specified");
	if (!(file.flags & HEDDLE_ABSENT)) {
		*out = file;
	} else if (!(directory.flags & HEDDLE_ABSENT)) {
		*out = directory;
		d->to_folder = 1;
	} else if (!(info.path.flags & HEDDLE_ABSENT)) {
		*out = info.path;
	} else {
		return say(d, HEDDLE_DEFER, 0,
		    "Mandatory file or directory option missing from the transport");
	}
	return HEDDLE_OK;
}

static int32_t find_path(struct delivery *d)
{
	struct heddle_slice s;
	int32_t rc = raw_path(d, &s);
	if (rc != HEDDLE_OK)
		return rc;
	if (s.len == 0 || s.ptr[0] != '/')
		return say(d, HEDDLE_DEFER, 0,
		    "appendfile: file or directory name \"%.*s\" is not absolute", (int)s.len,
		    s.len ? s.ptr : "");
	rc = check_taint(d, s);
	if (rc != HEDDLE_OK)
		return rc;
	if (s.len > 1 && s.ptr[s.len - 1] == '/') {
		d->to_folder = 1;
		while (s.len > 1 && s.ptr[s.len - 1] == '/')
			s.len--;
	}
	if (d->in->maildir)
		d->to_folder = 1;
	if (d->host->cstr(d->call, s, &d->path) != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, 0, "the file or directory name holds a NUL byte");
	return HEDDLE_OK;
}

static int32_t tell(struct delivery *d, int32_t result)
{
	struct heddle_job_info info = {.struct_size = sizeof info};
	struct heddle_outcome o = {.struct_size = sizeof o,
	    .result = result,
	    .host = -1,
	    .flags = d->flags,
	    .text = d->why,
	    .idle_s = d->unread_s};
	if (result != HEDDLE_OK)
		d->host->reason(d->call, 0, heddle_text(NULL), d->why);
	int32_t rc = d->service->info(d->call, d->job, &info);
	for (uint32_t i = 0; rc == HEDDLE_OK && i < info.recipients; i++)
		rc = d->service->outcome(d->call, d->job, i, &o);
	return rc == HEDDLE_OK ? result : rc;
}

static int32_t deliver(struct heddle_call *call, void *inst, struct heddle_job *job)
{
	struct appendfile *in = inst;
	struct delivery d = {.call = call,
	    .in = in,
	    .host = in->host,
	    .job = job,
	    .service = in->host->service(in->host, HEDDLE_DELIVERY_ID),
	    .message = in->host->service(in->host, HEDDLE_MESSAGE_ID)};
	if (!d.service || !d.message) {
		in->host->reason(call, 0, heddle_text(NULL),
		    heddle_text("the kernel offers no messages to deliver"));
		return HEDDLE_DEFER;
	}
	d.unread_s = -1;
	int32_t rc = find_path(&d);
	if (rc == HEDDLE_OK)
		rc = quota_read(&d);
	if (rc == HEDDLE_OK)
		rc = d.to_folder ? deliver_new_file(&d) : deliver_mbox(&d);
	if (rc == HEDDLE_OK)
		quota_warn(&d);
	return tell(&d, rc);
}

/* ---- options
 * -------------------------------------------------------------------------------------------- */

#define ROW(n, i, t, f, text)                                                                  \
	{                                                                                      \
		.name = n, .initial = i, .type = t, .flags = f, .doc = text, .since_major = 0, \
		.since_minor = 1                                                               \
	}
#define X HEDDLE_O_EXPAND

static const struct heddle_option options[OPT_COUNT] = {
    [OPT_ALLOW_FIFO] = ROW("allow_fifo", "false", HEDDLE_T_BOOL, 0, "deliver to a named pipe too"),
    [OPT_ALLOW_SYMLINK] =
        ROW("allow_symlink", "false", HEDDLE_T_BOOL, 0, "deliver through a symbolic link"),
    [OPT_BATCH_ID] = ROW("batch_id", NULL, HEDDLE_T_STRING, X,
        "addresses for which this comes to the same may share a delivery"),
    [OPT_BATCH_MAX] = ROW("batch_max", "1", HEDDLE_T_INT, 0, "addresses in one delivery"),
    [OPT_CHECK_GROUP] = ROW("check_group", "false", HEDDLE_T_BOOL, 0,
        "an existing file must have the group of the delivery"),
    [OPT_CHECK_OWNER] = ROW("check_owner", "true", HEDDLE_T_BOOL, 0,
        "an existing file must belong to the user of the delivery"),
    [OPT_CHECK_STRING] = ROW("check_string", NULL, HEDDLE_T_STRING, 0,
        "what no line may begin with: it is replaced by escape_string; \"From \" when file is set"),
    [OPT_CREATE_DIRECTORY] =
        ROW("create_directory", "true", HEDDLE_T_BOOL, 0, "make missing folders"),
    [OPT_CREATE_FILE] = ROW("create_file", "anywhere", HEDDLE_T_STRING, 0,
        "where files and folders may be made: anywhere, inhome, belowhome, or below the path "
        "given"),
    [OPT_DIRECTORY] = ROW(
        "directory", NULL, HEDDLE_T_STRING, X, "folder in which each message becomes a new file"),
    [OPT_DIRECTORY_FILE] =
        ROW("directory_file", NULL, HEDDLE_T_STRING, 0, "name of the new file; not supported yet"),
    [OPT_DIRECTORY_MODE] =
        ROW("directory_mode", "0700", HEDDLE_T_OCTAL, 0, "mode of folders that are made"),
    [OPT_ESCAPE_STRING] = ROW(
        "escape_string", NULL, HEDDLE_T_STRING, 0, "see check_string; \">From \" when file is set"),
    [OPT_FILE] = ROW("file", NULL, HEDDLE_T_STRING, X, "file that messages are appended to"),
    [OPT_FILE_FORMAT] = ROW("file_format", NULL, HEDDLE_T_STRING, 0,
        "other transports by a file's first bytes; not supported yet"),
    [OPT_FILE_MUST_EXIST] =
        ROW("file_must_exist", "false", HEDDLE_T_BOOL, 0, "never make the file"),
    [OPT_LOCK_FCNTL_TIMEOUT] = ROW("lock_fcntl_timeout", "0s", HEDDLE_T_TIME, 0,
        "how long to wait for another's lock with the file open"),
    [OPT_LOCK_FLOCK_TIMEOUT] =
        ROW("lock_flock_timeout", "0s", HEDDLE_T_TIME, 0, "the same for flock, which is not used"),
    [OPT_LOCK_INTERVAL] =
        ROW("lock_interval", "3s", HEDDLE_T_TIME, 0, "time between attempts to lock"),
    [OPT_LOCK_RETRIES] = ROW("lock_retries", "10", HEDDLE_T_INT, 0, "attempts to lock"),
    [OPT_LOCKFILE_MODE] = ROW("lockfile_mode", "0600", HEDDLE_T_OCTAL, 0, "mode of lock files"),
    [OPT_LOCKFILE_TIMEOUT] =
        ROW("lockfile_timeout", "30m", HEDDLE_T_TIME, 0, "a lock file older than this is removed"),
    [OPT_MAILBOX_FILECOUNT] = ROW(
        "mailbox_filecount", NULL, HEDDLE_T_STRING, X, "files in the mailbox, for quota_filecount"),
    [OPT_MAILBOX_SIZE] =
        ROW("mailbox_size", NULL, HEDDLE_T_STRING, X, "size of the mailbox, for quota"),
    [OPT_MAILDIR_FORMAT] =
        ROW("maildir_format", "false", HEDDLE_T_BOOL, 0, "the folder is a Maildir"),
    [OPT_MAILDIR_QUOTA_DIRECTORY_REGEX] = ROW(
        "maildir_quota_directory_regex", NULL, HEDDLE_T_STRING, 0, "folders that count for quota"),
    [OPT_MAILDIR_RETRIES] =
        ROW("maildir_retries", "10", HEDDLE_T_INT, 0, "attempts to find a free name"),
    [OPT_MAILDIR_TAG] =
        ROW("maildir_tag", NULL, HEDDLE_T_STRING, X, "added to the name of the file in new/"),
    [OPT_MAILDIR_USE_SIZE_FILE] = ROW(
        "maildir_use_size_file", "false", HEDDLE_T_BOOL, 0, "maildirsize files; not supported yet"),
    [OPT_MAILDIRFOLDER_CREATE_REGEX] = ROW("maildirfolder_create_regex", NULL, HEDDLE_T_STRING, 0,
        "Maildirs that get a maildirfolder file; not supported yet"),
    [OPT_MAILSTORE_FORMAT] = ROW("mailstore_format", "false", HEDDLE_T_BOOL, 0,
        "two files for each message; not supported yet"),
    [OPT_MAILSTORE_PREFIX] =
        ROW("mailstore_prefix", NULL, HEDDLE_T_STRING, 0, "for mailstore_format"),
    [OPT_MAILSTORE_SUFFIX] =
        ROW("mailstore_suffix", NULL, HEDDLE_T_STRING, 0, "for mailstore_format"),
    [OPT_MBX_FORMAT] =
        ROW("mbx_format", "false", HEDDLE_T_BOOL, 0, "c-client's format; not supported yet"),
    [OPT_MESSAGE_PREFIX] = ROW("message_prefix", NULL, HEDDLE_T_STRING, X,
        "put before each message; when file is set a line of \"From \", return path and date"),
    [OPT_MESSAGE_SUFFIX] = ROW("message_suffix", NULL, HEDDLE_T_STRING, X,
        "put after each message; an empty line when file is set"),
    [OPT_MODE] = ROW("mode", "0600", HEDDLE_T_OCTAL, 0, "mode of the file"),
    [OPT_MODE_FAIL_NARROWER] = ROW("mode_fail_narrower", "true", HEDDLE_T_BOOL, 0,
        "defer if an existing file has less than mode"),
    [OPT_NOTIFY_COMSAT] = ROW(
        "notify_comsat", "false", HEDDLE_T_BOOL, 0, "tell the comsat daemon; not supported yet"),
    [OPT_QUOTA] = ROW("quota", NULL, HEDDLE_T_STRING, X, "limit of the mailbox's size"),
    [OPT_QUOTA_DIRECTORY] =
        ROW("quota_directory", NULL, HEDDLE_T_STRING, X, "folder that quota is about"),
    [OPT_QUOTA_FILECOUNT] =
        ROW("quota_filecount", "0", HEDDLE_T_STRING, X, "limit of the number of files in a folder"),
    [OPT_QUOTA_IS_INCLUSIVE] =
        ROW("quota_is_inclusive", "true", HEDDLE_T_BOOL, 0, "the message itself counts"),
    [OPT_QUOTA_SIZE_REGEX] =
        ROW("quota_size_regex", NULL, HEDDLE_T_STRING, 0, "finds sizes in file names"),
    [OPT_QUOTA_WARN_MESSAGE] =
        ROW("quota_warn_message", NULL, HEDDLE_T_STRING, X, "header and body of the warning"),
    [OPT_QUOTA_WARN_THRESHOLD] = ROW("quota_warn_threshold", "0", HEDDLE_T_STRING, X,
        "size, or with % a part of quota, above which a warning is sent"),
    [OPT_USE_BSMTP] = ROW("use_bsmtp", "false", HEDDLE_T_BOOL, 0, "batch SMTP; not supported yet"),
    [OPT_USE_CRLF] = ROW("use_crlf", "false", HEDDLE_T_BOOL, 0, "lines end with CR and LF"),
    [OPT_USE_FCNTL_LOCK] =
        ROW("use_fcntl_lock", "true", HEDDLE_T_BOOL, 0, "lock the file with fcntl"),
    [OPT_USE_FLOCK_LOCK] = ROW(
        "use_flock_lock", "false", HEDDLE_T_BOOL, 0, "lock the file with flock; not supported yet"),
    [OPT_USE_LOCKFILE] =
        ROW("use_lockfile", "true", HEDDLE_T_BOOL, 0, "make a lock file beside the file"),
    [OPT_USE_MBX_LOCK] =
        ROW("use_mbx_lock", "false", HEDDLE_T_BOOL, 0, "for mbx_format; not supported yet"),
};

static const uint32_t not_yet[] = {OPT_DIRECTORY_FILE, OPT_FILE_FORMAT, OPT_MAILDIR_USE_SIZE_FILE,
    OPT_MAILDIRFOLDER_CREATE_REGEX, OPT_MAILSTORE_FORMAT, OPT_MBX_FORMAT, OPT_NOTIFY_COMSAT,
    OPT_USE_BSMTP, OPT_USE_FLOCK_LOCK, OPT_USE_MBX_LOCK};

struct setup {
	struct heddle_call *call;
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
};

static int32_t refuse(const struct setup *s, const char *what, const char *name)
{
	const struct heddle_slice parts[] = {heddle_text(what), heddle_text(name)};
	struct heddle_slice text;
	if (s->host->join(s->call, parts, 2, &text) != HEDDLE_OK)
		text = heddle_text("out of memory");
	s->host->reason(s->call, 0, heddle_text(NULL), text);
	return HEDDLE_ERROR;
}

static int64_t number(const struct setup *s, uint32_t i)
{
	int64_t v = 0;
	return s->host->opt_int(s->call, s->cfg, i, &v) == HEDDLE_OK ? v : 0;
}

static int is_set(const struct setup *s, uint32_t i)
{
	struct heddle_slice v;
	return s->host->opt_text(s->call, s->cfg, i, &v) == HEDDLE_OK && v.len > 0 &&
	       !(v.len == 1 && v.ptr[0] == '0');
}

static int32_t check_not_yet(const struct setup *s)
{
	for (size_t i = 0; i < sizeof not_yet / sizeof *not_yet; i++) {
		uint32_t o = not_yet[i];
		if (options[o].type == HEDDLE_T_BOOL ? number(s, o) != 0 : is_set(s, o))
			return refuse(s, "not supported yet: ", options[o].name);
	}
	return HEDDLE_OK;
}

static int32_t read_create(const struct setup *s, struct appendfile *in)
{
	static const char *const words[] = {"anywhere", "inhome", "belowhome"};
	struct heddle_slice v;
	int32_t rc = s->host->opt_text(s->call, s->cfg, OPT_CREATE_FILE, &v);
	if (rc != HEDDLE_OK)
		return rc;
	if (v.flags & HEDDLE_ABSENT)
		return HEDDLE_OK;
	for (int i = 0; i < 3; i++)
		if (v.len == strlen(words[i]) && memcmp(v.ptr, words[i], v.len) == 0) {
			in->create = (enum create_where)i;
			return HEDDLE_OK;
		}
	in->create = CREATE_BELOW_PATH;
	return v.len && v.ptr[0] == '/' ? HEDDLE_OK
	                                : refuse(s, "invalid value given for \"create_file\"", "");
}

static void read_numbers(const struct setup *s, struct appendfile *in)
{
	in->allow_fifo = number(s, OPT_ALLOW_FIFO) != 0;
	in->allow_symlink = number(s, OPT_ALLOW_SYMLINK) != 0;
	in->check_group = number(s, OPT_CHECK_GROUP) != 0;
	in->check_owner = number(s, OPT_CHECK_OWNER) != 0;
	in->create_directory = number(s, OPT_CREATE_DIRECTORY) != 0;
	in->file_must_exist = number(s, OPT_FILE_MUST_EXIST) != 0;
	in->maildir = number(s, OPT_MAILDIR_FORMAT) != 0;
	in->mode_fail_narrower = number(s, OPT_MODE_FAIL_NARROWER) != 0;
	in->quota_is_inclusive = number(s, OPT_QUOTA_IS_INCLUSIVE) != 0;
	in->use_crlf = number(s, OPT_USE_CRLF) != 0;
	in->use_fcntl = number(s, OPT_USE_FCNTL_LOCK) != 0;
	in->use_lockfile = number(s, OPT_USE_LOCKFILE) != 0;
	in->mode = (mode_t)(number(s, OPT_MODE) & 07777);
	in->directory_mode = (mode_t)(number(s, OPT_DIRECTORY_MODE) & 07777);
	in->lockfile_mode = (mode_t)(number(s, OPT_LOCKFILE_MODE) & 07777);
	in->lock_retries = number(s, OPT_LOCK_RETRIES) > 0 ? number(s, OPT_LOCK_RETRIES) : 1;
	in->maildir_retries =
	    number(s, OPT_MAILDIR_RETRIES) > 0 ? number(s, OPT_MAILDIR_RETRIES) : 1;
	in->lock_interval_ms = number(s, OPT_LOCK_INTERVAL);
	in->lockfile_timeout_ms = number(s, OPT_LOCKFILE_TIMEOUT);
	in->fcntl_timeout_ms = number(s, OPT_LOCK_FCNTL_TIMEOUT);
}

static int32_t read_regex(const struct setup *s, struct appendfile *in)
{
	struct heddle_slice v;
	int32_t rc = s->host->opt_text(s->call, s->cfg, OPT_QUOTA_SIZE_REGEX, &v);
	if (rc != HEDDLE_OK)
		return rc;
	return (v.flags & HEDDLE_ABSENT) || quota_compile(&v, &in->size_regex)
	           ? HEDDLE_OK
	           : refuse(s, "quota_size_regex is not a regular expression", "");
}

static int32_t check(const struct setup *s, struct appendfile *in)
{
	int32_t rc = check_not_yet(s);
	read_numbers(s, in);
	if (rc == HEDDLE_OK)
		rc = read_create(s, in);
	if (rc == HEDDLE_OK)
		rc = read_regex(s, in);
	if (rc == HEDDLE_OK && !in->use_fcntl && !in->use_lockfile)
		rc = refuse(s, "no locking configured", "");
	return rc;
}

static void instance_free(void *inst)
{
	struct appendfile *in = inst;
	quota_free(in->size_regex);
	free(in);
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	const struct setup s = {call, host, cfg};
	struct appendfile *in = calloc(1, sizeof *in);
	(void)state;
	if (!in) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	in->host = host;
	in->cfg = cfg;
	int32_t rc = check(&s, in);
	if (rc != HEDDLE_OK) {
		instance_free(in);
		return rc;
	}
	*out = in;
	return HEDDLE_OK;
}

static const struct heddle_transport_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_TR_LOCAL, .deliver = deliver};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_TRANSPORT,
    .flags = HEDDLE_F_BLOCKS,
    .name = "appendfile",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "into a file or a folder: mbox, Maildir",
    .options = options,
    .option_count = OPT_COUNT,
    .option_size = sizeof(struct heddle_option),
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = instance_free,
};
