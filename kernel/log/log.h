/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log: main, reject and panic log, a log for each message, debug output; Exim's names, places and
 * line forms. Owns: its descriptors; strings of the configuration are copied.  A snapshot has a log
 * of its own: two logs may write to the same files, since a line is one write() on a descriptor
 * opened O_APPEND. Threads: every call, any thread.  Locks: none; a file that was renamed is
 * replaced under its writers by dup3(). Failure: nothing here fails for the caller or ends the
 * process.  What cannot be written goes to stderr and is counted. Text: whole lines are escaped
 * (control characters, and bytes over 126 unless print_topbitchars), so that what a peer sent can
 * neither end a line nor forge one.  A SECRET slice is shown as "<secret>". A NULL log is fine
 * everywhere: lines then go to stderr, debug output nowhere.
 */
#ifndef HEDDLE_LOG_LOG_H
#define HEDDLE_LOG_LOG_H
#include "base/slice.h"
#include "log/selector.h"

#include <sys/types.h>

struct log; /* opaque */

struct log_config {
	slice_t path; /* log_file_path, expanded: an absolute path with %s (and %D or %M); empty:
	                 the default */
	slice_t spool_directory; /* default path (log/%slog) and message logs are below it; empty:
	                            neither */
	struct log_selector selector;
	uint64_t debug; /* enum log_debug bits (-d); 0: off */
	mode_t mode;    /* of new files; 0: 0640 */
	bool utc;       /* timezone = UTC */
	bool zone;      /* log_timezone: " +0100" behind the time */
	bool write_rejectlog;
	bool print_topbitchars;
	bool message_logs;
	bool preserve_message_logs; /* keep finished ones in msglog.OLD */
	bool split_spool_directory; /* msglog/X/ID */
	bool also_stderr;           /* running in the foreground */
	bool testing;               /* -bh: to stderr as "LOG: ...", to no file */
};

/* Exim's defaults: default selectors, rejectlog and message logs on. */
void log_config_init(struct log_config *cfg);
/* Check the configuration and make a log of it; files are opened when their first line is written.
 */
MUST_USE enum rc log_open(const struct log_config *cfg, struct log **out_log, struct error *err);
/* Free *log and null it; NULL is fine.  No other thread may still use it. */
void log_close(struct log **log);

bool log_selected(const struct log *log, enum log_item item);

/* id: the message it is about, or ABSENT.  One line in the main log. */
void log_main(struct log *log, slice_t id, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Main and reject log. */
void log_reject(struct log *log, slice_t id, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Main and panic log (and stderr). */
void log_panic(struct log *log, slice_t id, const char *fmt, ...) PRINTF_LIKE(3, 4);

enum log_where { LOG_TO_MAIN = 1, LOG_TO_REJECT = 2, LOG_TO_PANIC = 4 };
/* The same from text.  detail: lines that only the reject log shows below it (header fields), or
 * ABSENT. */
void log_text(struct log *log, unsigned where, slice_t id, slice_t text, slice_t detail);

/* SPOOL/msglog/ID: append a line, behind `first` where the file is new (ABSENT: nothing); forget it
 * (or set it aside) when the message is done. */
void log_message(struct log *log, slice_t id, slice_t first, slice_t text);
void log_message_done(struct log *log, slice_t id);
/* What has been written there so far. */
struct arena;
MUST_USE enum rc log_message_text(
    struct log *log, slice_t id, struct arena *a, size_t max, slice_t *out, struct error *err);

bool log_debugging(const struct log *log, enum log_debug what);
/* To stderr when -d asked for this category; arguments are evaluated in any case. */
void log_debug(const struct log *log, enum log_debug what, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* control = debug: a line for the log "debug" with tag behind its name, opened for this line alone,
 * so that nobody has to close it. */
void log_debug_file(struct log *log, slice_t tag, slice_t text);
/* control = debug/kill */
void log_debug_remove(struct log *log, slice_t tag);
/* A tag that can be the end of a file's name. */
bool log_debug_tag_ok(slice_t tag);

/* Lines that did not reach their file. */
uint64_t log_failures(const struct log *log);
#endif
