/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pipe, shared by its parts.
 *	pipe.c     options, and what became of the command
 *	command.c  which command, its arguments, its environment
 *	feed.c     the message on its way to the command
 * A delivery belongs to one thread, in a process that already is the user it delivers for.
 */
#ifndef HEDDLE_PIPE_H
#define HEDDLE_PIPE_H
#include <heddle/transport.h>

enum { ARGS_MAX = 1000, ENV_MAX = 256, TEMP_MAX = 64 };

struct pipe { /* one section; constant after instance_new */
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	int force_command, freeze_exec_fail, freeze_signal, ignore_status, log_defer, log_fail,
	    log_output;
	int restrict_to_path, return_output, return_fail_output, timeout_defer, use_crlf;
	int64_t max_output, timeout_ms, umask;
	int all_temporary; /* temp_errors = * */
	int temporary[TEMP_MAX], temporary_count;
};

struct delivery {
	struct heddle_call *call;
	const struct pipe *in;
	const struct heddle_host *host;
	const struct heddle_delivery_service *service;
	const struct heddle_message_service *message;
	const struct heddle_spawn_service *spawn;
	struct heddle_job *job;
	struct heddle_job_info info;
	struct heddle_slice argv[ARGS_MAX];
	uint32_t argc;
	struct heddle_slice env[ENV_MAX];
	uint32_t envc;
	struct heddle_slice why, shown; /* of the failure; shown: for the bounce */
	uint32_t flags;
};

enum {
	OPT_ALLOW_COMMANDS,
	OPT_BATCH_ID,
	OPT_BATCH_MAX,
	OPT_CHECK_STRING,
	OPT_COMMAND,
	OPT_ENVIRONMENT,
	OPT_ESCAPE_STRING,
	OPT_FORCE_COMMAND,
	OPT_FREEZE_EXEC_FAIL,
	OPT_FREEZE_SIGNAL,
	OPT_IGNORE_STATUS,
	OPT_LOG_DEFER_OUTPUT,
	OPT_LOG_FAIL_OUTPUT,
	OPT_LOG_OUTPUT,
	OPT_MAX_OUTPUT,
	OPT_MESSAGE_PREFIX,
	OPT_MESSAGE_SUFFIX,
	OPT_PATH,
	OPT_PERMIT_COREDUMP,
	OPT_PIPE_AS_CREATOR,
	OPT_RESTRICT_TO_PATH,
	OPT_RETURN_FAIL_OUTPUT,
	OPT_RETURN_OUTPUT,
	OPT_TEMP_ERRORS,
	OPT_TIMEOUT,
	OPT_TIMEOUT_DEFER,
	OPT_UMASK,
	OPT_USE_BSMTP,
	OPT_USE_CLASSRESOURCES,
	OPT_USE_CRLF,
	OPT_USE_SHELL,
	OPT_COUNT
};

/* Note why; returns result. */
int32_t say(struct delivery *d, int32_t result, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A text of the call's own; empty: no memory. */
struct heddle_slice format(struct delivery *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The next argument of a command line, as it stands there; *at moves behind it.  0: no more; -1: a
 * quote is not closed. */
int next_word(struct delivery *d, struct heddle_slice line, uint32_t *at, struct heddle_slice *out);
/* argv, its first element an absolute path, and env. */
int32_t make_command(struct delivery *d);
int32_t make_environment(struct delivery *d);
/* The message with prefix and suffix; FAIL: the command does not read on. */
int32_t feed_message(struct delivery *d, struct heddle_child *child);
#endif
