/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lmtp, shared by its parts.
 *	lmtp.c      options, life
 *	link.c      bytes to and from the server: a unix socket, or a command's standard input and
 *output dialogue.c  the protocol (RFC 2033) A delivery belongs to one thread, in a process that
 *already is the user it delivers for: what the server is allowed to say to us, it says to that
 *user.
 */
#ifndef HEDDLE_LMTP_H
#define HEDDLE_LMTP_H
#include <heddle/transport.h>

enum { ARGS_MAX = 200, LINE_BYTES = 4096, REPLY_TEXT = 1024, WHY_BYTES = 2048 };

enum {
	OPT_BATCH_ID,
	OPT_BATCH_MAX,
	OPT_COMMAND,
	OPT_IGNORE_QUOTA,
	OPT_SOCKET,
	OPT_TIMEOUT,
	OPT_COUNT
};

struct lmtp { /* one section; constant after instance_new */
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	int64_t timeout_ms;
	int ignore_quota, by_command;
};

struct reply {
	int code; /* 0: none yet */
	uint32_t len;
	char enhanced[12];
	char text[REPLY_TEXT]; /* lines with '\n' between, clean */
};

struct delivery {
	struct heddle_call *call;
	const struct lmtp *in;
	const struct heddle_host *host;
	const struct heddle_delivery_service *service;
	const struct heddle_message_service *message;
	const struct heddle_spawn_service *spawn;
	struct heddle_job *job;
	struct heddle_job_info info;
	int fd; /* of the socket; -1: the command's */
	struct heddle_child *child;
	char input[LINE_BYTES]; /* what came and was not read yet */
	uint32_t at, have;
	struct reply reply;
	unsigned char *good; /* of each recipient: the server takes it */
	char why[WHY_BYTES]; /* of the failure */
	char after[400];     /* the command that is being answered, for texts */
};

/* Note why; returns result. */
int32_t say(struct delivery *d, int32_t result, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- link.c: DEFER has its reason in d->why */
int32_t link_open(struct delivery *d);
int32_t link_write(struct delivery *d, const void *buf, size_t n);
/* More input behind what is there; OK with *got 0: the server has closed. */
int32_t link_read(struct delivery *d, void *buf, size_t cap, size_t *got);
void link_close(struct delivery *d);
/* A socket or a command, for texts. */
const char *link_kind(const struct delivery *d);
/* Can the command's words be told apart, and be compiled? */
int32_t link_check_command(
    struct heddle_call *call, const struct lmtp *in, struct heddle_slice line);

/* ---- dialogue.c: all of it; recipients get their outcomes.  Not OK: what the others get, its
 * reason in d->why. */
int32_t dialogue(struct delivery *d);
#endif
