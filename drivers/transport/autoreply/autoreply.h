/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of the autoreply transport. */
#ifndef AUTOREPLY_H
#define AUTOREPLY_H
#include <heddle/transport.h>

typedef struct heddle_slice slice;

enum option {
	O_BCC,
	O_CC,
	O_FILE,
	O_FILE_EXPAND,
	O_FILE_OPTIONAL,
	O_FROM,
	O_HEADERS,
	O_LOG,
	O_MODE,
	O_NEVER_MAIL,
	O_ONCE,
	O_ONCE_FILE_SIZE,
	O_ONCE_REPEAT,
	O_REPLY_TO,
	O_RETURN_MESSAGE,
	O_SUBJECT,
	O_TEXT,
	O_TO,
	O_COUNT
};

struct autoreply { /* immutable after instance_new */
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
};

#define ADDRESSES_MAX 1000
#define ADDRESS_BYTES 1024

/* One reply in the making. */
struct reply {
	struct heddle_call *call;
	const struct autoreply *in;
	const struct heddle_host *host;
	struct heddle_job *job;
	const struct heddle_delivery_service *delivery;
	const struct heddle_message_service *message;
	const struct heddle_hints_service *hints;
	const struct heddle_file_service *file;
	slice text[O_COUNT]; /* expanded; ABSENT: unset */
	slice to[ADDRESSES_MAX];
	uint32_t count;
};

/* Text of up to 4 parts. */
slice joined(struct reply *r, slice a, slice b, slice c, slice d);
int32_t problem(struct reply *r, const char *what, slice about);
/* addresses.c: the addresses of a header's list into r->to, those of never_mail left out; DEFER:
 * not a list. */
int32_t add_addresses(struct reply *r, slice list);
#endif
