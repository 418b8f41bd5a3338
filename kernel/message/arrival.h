/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * message/arrival: the fields of an arrival line ("<=") that log_selector chooses and that are
 * about the message itself: of one that came in, and of a bounce.  Text goes to the caller's
 * strbuf; any thread.
 */
#ifndef HEDDLE_MESSAGE_ARRIVAL_H
#define HEDDLE_MESSAGE_ARRIVAL_H
#include "base/strbuf.h"
#include "log/log.h"
#include "message/message.h"

struct config;

/* Where S= is done: " M8S= RT= id= T= from for".  to: whom it was for when it came, which an ACL
 * may have changed. */
void arrival_fields(struct strbuf *sb, const struct log *log, const struct config *cfg,
    const struct message *m, const struct recipient *to, size_t to_count);
/* " NAME=1m2s", or with milliseconds where the log has them. */
void log_duration(struct strbuf *sb, const struct log *log, const char *name, int64_t us);
/* " NAME="text"" */
void log_quoted(struct strbuf *sb, const char *name, slice_t text);
#endif
