/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "log/file.h"
#include "log/line.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEBUG_TAG_MAX 128

struct log {
	struct arena *arena; /* of the strings */
	struct log_config cfg;
	struct log_file main, reject, panic;
	struct log_zone zone;
	_Atomic uint64_t failures; /* relaxed: a count */
};

/* ---- configuration ----------------------------------------------------------------------------
 */

void log_config_init(struct log_config *cfg)
{
	*cfg = (struct log_config){.selector = log_selector_default(),
	    .mode = 0640,
	    .write_rejectlog = true,
	    .message_logs = true};
}

struct paths {
	slice_t first;
	unsigned count;
};

static enum rc check_path(slice_t path, struct error *err)
{
	if (slice_search(path, SL("%s")) == SIZE_MAX)
		return error_set(
		    err, RC_ERROR, "log_file_path \"%.*s\" does not contain \"%%s\"", SL_ARG(path));
	if (path.ptr[0] != '/')
		return error_set(
		    err, RC_ERROR, "log_file_path \"%.*s\" is not an absolute path", SL_ARG(path));
	if (slice_find(path, '\0') != SIZE_MAX || path.len > PATH_MAX - 64)
		return error_set(err, RC_ERROR, "log_file_path is too long or holds a NUL");
	return RC_OK;
}

/* The colon-separated list; empty items stand for the default path. */
static enum rc read_paths(slice_t list, struct paths *out, struct error *err)
{
	slice_t item;
	while (slice_next(&list, ':', &item)) {
		item = slice_trim(item);
		if (slice_eqs(item, "syslog"))
			return error_set(
			    err, RC_ERROR, "not supported yet: log_file_path = syslog");
		if (item.len == 0)
			continue;
		enum rc rc = check_path(item, err);
		if (rc != RC_OK)
			return rc;
		if (out->count++ == 0)
			out->first = item;
	}
	return RC_OK;
}

static const char *pattern_of(struct log *log, slice_t path)
{
	slice_t spool = log->cfg.spool_directory;
	if (path.len)
		return arena_cstr(log->arena, path);
	if (spool.len)
		return arena_printf(log->arena, "%.*s/log/%%slog", SL_ARG(spool)).ptr;
	return NULL;
}

/* The debug log's pattern has its own end of the name. */
static bool debug_path(
    const struct log *log, slice_t tag, const struct log_time *now, char *out, size_t cap)
{
	if (!log || log->cfg.testing || !log->main.pattern || !log_debug_tag_ok(tag))
		return false;
	size_t n = 0;
	if (!log_file_name(log->main.pattern, "debug", now, out, cap))
		return false;
	n = strlen(out);
	if (n + tag.len >= cap)
		return false;
	if (tag.len)
		memcpy(out + n, tag.ptr, tag.len);
	out[n + tag.len] = '\0';
	return true;
}

static enum rc open_files(struct log *log, const char *pattern, struct error *err)
{
	mode_t mode = log->cfg.mode;
	enum rc rc = log_file_init(&log->main, pattern, "main", mode, err);
	if (rc == RC_OK)
		rc = log_file_init(
		    &log->reject, log->cfg.write_rejectlog ? pattern : NULL, "reject", mode, err);
	if (rc == RC_OK)
		rc = log_file_init(&log->panic, pattern, "panic", mode, err);
	return rc;
}

enum rc log_open(const struct log_config *cfg, struct log **out_log, struct error *err)
{
	struct paths paths = {0};
	enum rc rc = read_paths(cfg->path, &paths, err);
	if (rc != RC_OK)
		return rc;
	struct arena *arena = arena_new(0);
	struct log *log = ARENA_NEW(arena, struct log);
	log->arena = arena;
	log->cfg = *cfg;
	log->cfg.mode = cfg->mode ? cfg->mode : 0640;
	log->cfg.path = arena_dup(arena, cfg->path);
	log->cfg.spool_directory = slice_cstr(arena_cstr(arena, cfg->spool_directory));
	log->main.fd = log->reject.fd = log->panic.fd = -1;
	tzset(); /* localtime_r need not look at TZ itself */
	rc = open_files(log, pattern_of(log, paths.first), err);
	if (rc != RC_OK) {
		log_close(&log);
		return rc;
	}
	if (paths.count > 1)
		log_panic(log, slice_absent(),
		    "More than one path given in log_file_path: using %.*s", SL_ARG(paths.first));
	*out_log = log;
	return RC_OK;
}

void log_close(struct log **log)
{
	if (!*log)
		return;
	log_file_fini(&(*log)->main);
	log_file_fini(&(*log)->reject);
	log_file_fini(&(*log)->panic);
	struct arena *arena = (*log)->arena;
	*log = NULL;
	arena_free(&arena);
}

bool log_selected(const struct log *log, enum log_item item)
{
	return log_selector_has(log ? log->cfg.selector : log_selector_default(), item);
}

uint64_t log_failures(const struct log *log)
{
	return log ? atomic_load_explicit(&log->failures, memory_order_relaxed) : 0;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static void count_failure(struct log *log)
{
	if (log)
		atomic_fetch_add_explicit(&log->failures, 1, memory_order_relaxed);
}

static void to_stderr(const char *p, size_t n)
{
	ssize_t put;
	do
		put = write(STDERR_FILENO, p, n);
	while (put < 0 && errno == EINTR);
}

static void put_number(struct log_line *l, const char *before, long v, const char *behind)
{
	char text[40];
	int n = snprintf(text, sizeof text, "%s%ld%s", before, v, behind);
	log_line_raw(l, text, n > 0 ? (size_t)n : 0);
}

static slice_t showable(slice_t s)
{
	return s.flags & HEDDLE_SECRET ? SL("<secret>") : s;
}

static void put_time(struct log *log, struct log_line *l, struct log_time *now)
{
	struct log_zone none = {0};
	log_time_of(log ? &log->zone : &none, clock_wall_us(), log && log->cfg.utc, now);
	log_line_time(l, now, log_selected(log, LOG_MILLISEC), log && log->cfg.zone);
}

/* TIME [PID] ID TEXT */
static void build(
    struct log *log, struct log_line *l, struct log_time *now, slice_t id, slice_t text)
{
	bool topbit = log && log->cfg.print_topbitchars;
	put_time(log, l, now);
	if (log_selected(log, LOG_PID))
		put_number(l, "[", (long)getpid(), "] ");
	if (id.len) {
		log_line_escaped(l, id, topbit);
		log_line_char(l, ' ');
	}
	log_line_escaped(l, showable(text), topbit);
	log_line_end(l);
}

/* Answers whether somebody has it. */
static bool to_file(
    struct log *log, struct log_file *f, const struct log_line *l, const struct log_time *now)
{
	if (log_file_write(f, l->ptr, l->len, now))
		return true;
	if (f->pattern)
		count_failure(log);
	return false;
}

/* The reject log takes line and detail in one write, so that they stay together. */
static bool to_reject(
    struct log *log, const struct log_line *head, slice_t detail, const struct log_time *now)
{
	if (!log->reject.pattern)
		return true; /* switched off: nothing is missing */
	if (!detail.len)
		return to_file(log, &log->reject, head, now);
	struct log_line l;
	log_line_init(&l);
	log_line_raw(&l, head->ptr, head->len);
	log_line_detail(&l, showable(detail));
	if (l.cut)
		log_line_end(&l);
	bool ok = to_file(log, &log->reject, &l, now);
	log_line_fini(&l);
	return ok;
}

/* Of a played session. */
static void log_played(struct log *log, slice_t id, slice_t text)
{
	struct log_line l;
	log_line_init(&l);
	log_line_raw(&l, "LOG: ", 5);
	if (id.len) {
		log_line_escaped(&l, id, log->cfg.print_topbitchars);
		log_line_char(&l, ' ');
	}
	log_line_escaped(&l, showable(text), log->cfg.print_topbitchars);
	log_line_end(&l);
	to_stderr(l.ptr, l.len);
	log_line_fini(&l);
}

void log_text(struct log *log, unsigned where, slice_t id, slice_t text, slice_t detail)
{
	struct log_line l;
	struct log_time now;
	if (!where)
		return;
	if (log && log->cfg.testing) {
		log_played(log, id, text);
		return;
	}
	log_line_init(&l);
	build(log, &l, &now, id, text);
	bool told = false;
	if (log) {
		bool ok = true;
		if (where & LOG_TO_MAIN)
			ok = to_file(log, &log->main, &l, &now) && ok;
		if (where & LOG_TO_REJECT)
			ok = to_reject(log, &l, detail, &now) && ok;
		if (where & LOG_TO_PANIC)
			ok = to_file(log, &log->panic, &l, &now) && ok;
		told = ok;
	}
	if (!told || (where & LOG_TO_PANIC) || log->cfg.also_stderr)
		to_stderr(l.ptr, l.len);
	log_line_fini(&l);
}

static void log_vprintf(struct log *log, unsigned where, slice_t id, const char *fmt, va_list ap)
    PRINTF_LIKE(4, 0);
static void log_vprintf(struct log *log, unsigned where, slice_t id, const char *fmt, va_list ap)
{
	char small[2048];
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	if (n >= 0 && (size_t)n < sizeof small) {
		log_text(log, where, id, slice_tainted(small, (size_t)n), slice_absent());
	} else if (n > 0) {
		struct arena *a = arena_new((size_t)n + 64);
		log_text(log, where, id, arena_vprintf(a, fmt, again), slice_absent());
		arena_free(&a);
	}
	va_end(again);
}

void log_main(struct log *log, slice_t id, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vprintf(log, LOG_TO_MAIN, id, fmt, ap);
	va_end(ap);
}

void log_reject(struct log *log, slice_t id, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vprintf(log, LOG_TO_MAIN | LOG_TO_REJECT, id, fmt, ap);
	va_end(ap);
}

void log_panic(struct log *log, slice_t id, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vprintf(log, LOG_TO_MAIN | LOG_TO_PANIC, id, fmt, ap);
	va_end(ap);
}

/* ---- a message's own log ----------------------------------------------------------------------
 */

enum { SPLIT_BY = 5 }; /* the id's character that names the subdirectory */

/* false: message logs are off, or this is no message id. */
static bool message_path(
    const struct log *log, const char *folder, slice_t id, char *out, size_t cap)
{
	if (!log || !log->cfg.message_logs || !log->cfg.spool_directory.len)
		return false;
	if (id.len <= SPLIT_BY || id.len > 64)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!ascii_isalnum(id.ptr[i]) && id.ptr[i] != '-')
			return false;
	bool split = log->cfg.split_spool_directory;
	const slice_t parts[] = {log->cfg.spool_directory, SL("/"), slice_cstr(folder), SL("/"),
	    slice_sub(id, SPLIT_BY, split), split ? SL("/") : SL(""), id, SL("\0")};
	size_t len = 0;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i].len > cap - len)
			return false;
		if (parts[i].len)
			memcpy(out + len, parts[i].ptr, parts[i].len);
		len += parts[i].len;
	}
	return true;
}

static bool append_timed(struct log *log, int fd, slice_t text)
{
	struct log_line l;
	struct log_time now;
	log_line_init(&l);
	put_time(log, &l, &now);
	log_line_escaped(&l, showable(text), log->cfg.print_topbitchars);
	log_line_end(&l);
	bool whole = write(fd, l.ptr, l.len) == (ssize_t)l.len;
	log_line_fini(&l);
	return whole;
}

void log_message(struct log *log, slice_t id, slice_t first, slice_t text)
{
	char path[PATH_MAX];
	struct stat st;
	if (!message_path(log, "msglog", id, path, sizeof path))
		return;
	int fd = log_file_open(path, log->cfg.mode);
	bool is_new = !slice_is_absent(first) && fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0;
	if (fd < 0 || (is_new && !append_timed(log, fd, first)) || !append_timed(log, fd, text))
		count_failure(log);
	if (fd >= 0)
		(void)close(fd);
}

enum rc log_message_text(
    struct log *log, slice_t id, struct arena *a, size_t max, slice_t *out, struct error *err)
{
	char path[PATH_MAX];

	if (!message_path(log, "msglog", id, path, sizeof path))
		return error_set(err, RC_FAIL, "there are no message logs");
	return io_read_file(a, path, max, out, err);
}

void log_message_done(struct log *log, slice_t id)
{
	char path[PATH_MAX], kept[PATH_MAX];
	if (!message_path(log, "msglog", id, path, sizeof path))
		return;
	if (!log->cfg.preserve_message_logs) {
		if (unlink(path) != 0 && errno != ENOENT)
			count_failure(log);
		return;
	}
	if (!message_path(log, "msglog.OLD", id, kept, sizeof kept))
		return;
	bool done = rename(path, kept) == 0;
	if (!done && errno == ENOENT && access(path, F_OK) != 0)
		return; /* nothing was written about it */
	if (!done && !(log_file_make_parent(kept, 2) && rename(path, kept) == 0))
		count_failure(log);
}

/* ---- debug output -----------------------------------------------------------------------------
 */

bool log_debug_tag_ok(slice_t tag)
{
	if (tag.len > DEBUG_TAG_MAX)
		return false;
	for (uint32_t i = 0; i < tag.len; i++)
		if (tag.ptr[i] == '/' || (unsigned char)tag.ptr[i] <= ' ' || tag.ptr[i] == 127)
			return false;
	return true;
}

void log_debug_file(struct log *log, slice_t tag, slice_t text)
{
	char path[PATH_MAX];
	struct log_line l;
	struct log_time now;
	log_line_init(&l);
	put_time(log, &l, &now);
	if (!debug_path(log, tag, &now, path, sizeof path)) {
		log_line_fini(&l);
		return;
	}
	put_number(&l, "", (long)getpid(), " ");
	log_line_escaped(&l, showable(text), true);
	log_line_end(&l);
	int fd = log_file_open(path, log->cfg.mode);
	if (fd < 0 || write(fd, l.ptr, l.len) != (ssize_t)l.len)
		count_failure(log);
	if (fd >= 0)
		(void)close(fd);
	log_line_fini(&l);
}

void log_debug_remove(struct log *log, slice_t tag)
{
	char path[PATH_MAX];
	struct log_zone none = {0};
	struct log_time now;
	log_time_of(log ? &log->zone : &none, clock_wall_us(), log && log->cfg.utc, &now);
	if (debug_path(log, tag, &now, path, sizeof path) && unlink(path) != 0 && errno != ENOENT)
		count_failure(log);
}

bool log_debugging(const struct log *log, enum log_debug what)
{
	return log && log_debug_has(log->cfg.debug, what);
}

void log_debug(const struct log *log, enum log_debug what, const char *fmt, ...)
{
	if (!log_debugging(log, what))
		return;
	struct log_line l;
	log_line_init(&l);
	if (log_debug_has(log->cfg.debug, LOG_D_TIMESTAMP)) {
		struct log_zone none = {0};
		struct log_time now;
		log_time_of(&none, clock_wall_us(), log->cfg.utc, &now);
		log_line_time(&l, &now, log_selected(log, LOG_MILLISEC), log->cfg.zone);
	}
	if (log_debug_has(log->cfg.debug, LOG_D_PID))
		put_number(&l, "", (long)getpid(), " ");
	char text[2048];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? 0 : (size_t)n;
	bool cut = len >= sizeof text;
	log_line_escaped(&l, slice_tainted(text, cut ? sizeof text - 1 : len), true);
	l.cut = cut;
	log_line_end(&l);
	to_stderr(l.ptr, l.len);
	log_line_fini(&l);
}
